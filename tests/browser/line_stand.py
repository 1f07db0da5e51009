"""A stand-in for the line program: answers with any state a test sets, takes what the console posts, can die.

Its belt is rendered; its frames carry the outlines, its crops show one fruit from several sides.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from api import pages
from api.deploy.services import free_port
from grading.camera import to_jpeg
from grading.rendering import Belt, Rendered
from ledger.kernel.settings import Settings
from tests.browsing import served

OPENED = "2026-11-22T06:42:00.000Z"
FRAMES = 6
TIERS = (
    ("A", "A 果", "Tier A", 1, 5218, 2_271_400, 1240),
    ("B", "B 果", "Tier B", 2, 3634, 1_411_200, 860),
    ("C", "C 果", "Tier C", 3, 742, 249_100, 430),
    ("cull", "剔除", "Cull", 4, 112, 38_200, 0),
)
REASONS = ["looked", "bruise", "sap-mark", "rot", "insect", "shape", "not-a-fruit"]


@cache
def rendered_belt() -> tuple[Rendered, ...]:
    """Every fourth picture of a slow belt: the fruit turn between them."""
    belt = Belt(seed=4, fruit_per_s=14, speed_mm_s=420)
    return tuple(belt.frame(40 + 4 * i) for i in range(FRAMES))


@cache
def belt_pictures() -> tuple[bytes, ...]:
    """JPEGs of a rendered belt, outlined as the line program outlines them."""
    drawn = []
    for rendered in rendered_belt():
        pixels = rendered.pixels.copy()
        for each in rendered.truth:
            edges, _ = cv2.findContours(
                each.mask(pixels.shape).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
            )
            cv2.drawContours(pixels, edges, -1, (255, 255, 255), 2, cv2.LINE_AA)
            x, y, w, _ = each.box
            letter = "ABC"[each.id % 3]
            cv2.putText(pixels, letter, (x + w // 2 - 9, y + 24), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 5, 16)
            cv2.putText(pixels, letter, (x + w // 2 - 9, y + 24), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (71, 181, 255), 2, 16)
        drawn.append(to_jpeg(pixels, quality=80))
    return tuple(drawn)


@cache
def crops() -> dict[str, bytes]:
    """Crops by their SHA-256: the fruit of the belt, several sides of each, side after side."""
    sides: dict[int, list[bytes]] = {}
    for rendered in rendered_belt():
        for each in rendered.truth:
            x, y, w, h = each.box
            if each.is_whole:
                part = rendered.pixels[max(0, y - 8) : y + h + 8, max(0, x - 8) : x + w + 8]
                part = cv2.resize(part, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
                sides.setdefault(each.id, []).append(to_jpeg(part, quality=85))
    whole = sorted(sides.values(), key=len, reverse=True)[:8]
    return {sha256(data).hexdigest(): data for fruit in whole for data in fruit[:5]}


def crop_names(fruit: int, count: int = 4) -> list[str]:
    """Addresses of a fruit's crops."""
    names = list(crops())
    return [f"/files/{names[(fruit * 5 + i) % len(names)]}" for i in range(count)]


def text(zh: str, en: str) -> dict[str, str]:
    return {"zh": zh, "en": en}


def stamp(ago_s: float = 0) -> str:
    return (datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat().replace("+00:00", "Z")


def idle() -> dict[str, Any]:
    """A well line with no lot on it."""
    return {
        "as_of": stamp(),
        "line": "LINE-1",
        "house": "SAMPLE-HOUSE",
        "source": {"name": "rendered:mango", "state": "running", "fps": 29.8, "since": stamp(3600)},
        "batch": None,
        "queue": [],
        "last": [],
        "calibration": {
            "state": "valid",
            "valid_until": (datetime.now(UTC) + timedelta(days=6, hours=2)).isoformat().replace("+00:00", "Z"),
            "name": "camera 1, edition 3",
        },
        "alarms": [],
        "delivery": {"state": "up_to_date", "waiting": 0, "delivered_at": stamp(40), "error": None},
        "outputs": [{"name": "modbus", "state": "ready", "detail": "127.0.0.1:5020"}],
        "reasons": REASONS,
    }


def running(doubtful: int = 0) -> dict[str, Any]:
    """A line at work, with some fruit for a person."""
    state = idle()
    tiers = [
        {"tier": tier, "name": text(zh, en), "fruit": n, "mass_g": mass, "price_fen": n * fen, "lane": lane}
        for tier, zh, en, lane, n, mass, fen in TIERS
    ]
    state["batch"] = {
        "ref": "B-0618-07",
        "lot": "0618-07",
        "crop": "mango",
        "variety": "Tainong No. 1",
        "standard": {"id": "mango-codex-184", "edition": "2003"},
        "opened_at": OPENED,
        "received_g": 5_200_000,
        "fruit": sum(each["fruit"] for each in tiers),
        "mass_g": sum(each["mass_g"] for each in tiers),
        "rate_per_min": 1710,
        "doubtful": doubtful,
        "rejected": 112,
        "tiers": tiers,
    }
    state["last"] = [
        {
            "number": 9706 - i,
            "tier": ["A", "A", "B", "A", "C", "B", "A", "cull"][i % 8],
            "lane": [1, 1, 2, 1, 3, 2, 1, 4][i % 8],
            "crop": crop_names(i, 1)[0],
            "mass_g": 435 - 9 * i,
            "price_fen": [1240, 1240, 860, 1240, 430, 860, 1240, 0][i % 8],
            "reason": text("大小和外观都够 A 果", "Large and clean enough for tier A"),
            "at": stamp(i),
        }
        for i in range(16)
    ]
    state["queue"] = [doubtful_fruit(17 + 4 * i, i) for i in range(doubtful)]
    return state


def doubtful_fruit(number: int, sort: int = 0) -> dict[str, Any]:
    """A fruit whose marks lie at the limit between two tiers; the numbers say B."""
    return {
        "number": number,
        "crops": crop_names(sort, 5),
        "candidates": ["A", "B"],
        "nominal_tier": "B",
        "why": [
            text("斑痕 3.1 cm², 误差跨过 A 果上限 3.0 cm²", "Marks of 3.1 cm² lie within error of tier A's 3.0 cm²")
        ],
        "measures": {"diameter_mm": 71.2, "length_mm": 98.4, "mass_g": 310, "marks_mm2": 312},
        "at": stamp(9 + sort),
    }


def alarm(kind: str, level: str, zh: str, en: str) -> dict[str, Any]:
    return {"id": kind, "kind": kind, "level": level, "since": stamp(42), "text": text(zh, en)}


TOO_DARK = ("too_dark", "stop", "亮度 71, 至少要 110。", "Brightness 71, at least 110 is needed.")
DRIFT = ("drift", "warning", "白参考 226, 开始时 234。", "White reference 226, 234 at the start.")
CAMERA_LOST = ("camera_lost", "stop", "相机不再送画面。", "The camera sends no more pictures.")
EXPIRED = ("calibration", "stop", "标定 11 月 20 日到期。", "The calibration expired on 20 November.")
EMERGENCY = ("emergency", "stop", "操作员在本机按下。", "Pressed by the operator on this console.")


def scenes() -> dict[str, dict[str, Any]]:
    """Every state the console must show, by name."""
    offline = running()
    offline["delivery"] = {"state": "offline", "waiting": 42, "delivered_at": stamp(1900), "error": None}
    refused = running()
    refused["delivery"] = {"state": "refused", "waiting": 3, "delivered_at": stamp(1900), "error": "lot is held"}
    refused["alarms"] = [alarm("delivery", "warning", "批次被扣, 重量不符。", "The lot is held: weights disagree.")]
    dark = running(2) | {"alarms": [alarm(*TOO_DARK)]}
    drift = running() | {"alarms": [alarm(*DRIFT)]}
    emergency = running(1) | {"alarms": [alarm(*EMERGENCY)]}
    expired = running()
    expired["calibration"] = {"state": "expired", "valid_until": stamp(170000), "name": "camera 1, edition 2"}
    expired["alarms"] = [alarm(*EXPIRED)]
    lost = running()
    lost["source"] = {"name": "rtsp://10.0.0.9/belt", "state": "lost", "fps": 0.0, "since": stamp(75)}
    lost["alarms"] = [alarm(*CAMERA_LOST)]
    unwired = running()
    unwired["outputs"] = [{"name": "modbus", "state": "lost", "detail": "10.0.0.20:502 refuses"}]
    unwired["alarms"] = [alarm("output_lost", "stop", "分选柜 10.0.0.20 不回答。", "Sorter 10.0.0.20 does not answer.")]
    astray = running()
    astray["source"] |= {"dropped": 4210, "skipped": 3}
    astray["batch"] |= {"weighed": 9650, "near": {"fruit": 812, "fen": 154_280}}
    why = text("分选柜没有回答", "the sorter did not answer")
    astray["batch"]["lost"] = {
        "fruit": 23,
        "last": [
            {"number": 9701 - 7 * i, "tier": "AB"[i % 2], "lane": None if i == 2 else 0, "why": why} for i in range(5)
        ],
    }
    astray["last"][1] |= {"lane": 0, "lost": why}
    astray["delivery"] = {"state": "off", "waiting": 9706, "delivered_at": None, "error": None}
    many = running(9)
    many["alarms"] = [
        alarm(*CAMERA_LOST),
        alarm("output_lost", "stop", "分选柜不回答。", "The sorter does not answer."),
        alarm(*DRIFT),
        alarm("disk", "warning", "还剩 4 GB。", "4 GB left."),
    ]
    many["source"] = lost["source"]
    return {
        "idle": idle(),
        "running": running(),
        "queue": running(6),
        "stop": dark,
        "drift": drift,
        "offline": offline,
        "refused": refused,
        "emergency": emergency,
        "expired": expired,
        "camera-lost": lost,
        "outputs-lost": unwired,
        "astray": astray,
        "many": many,
    }


class Stand:
    """The state it answers with, and what was posted to it."""

    def __init__(self, home: Path, state: dict[str, Any] | None = None) -> None:
        self.settings = Settings(home=home, public_url="http://127.0.0.1", mqtt_port=0)
        self.port = free_port()
        self.reset(state)

    def reset(self, state: dict[str, Any] | None = None) -> None:
        """Begin again with nothing posted."""
        self.state = state or idle()
        self.posted: list[tuple[str, Any]] = []
        self.answers: dict[str, tuple[int, dict[str, Any]]] = {}
        self.swallows: set[str] = set()
        """Paths whose posts are taken but never answered, as when the program dies in between."""
        self.has_stream = True
        self.is_frozen = False
        self.is_shut = False
        """Asks for a code first, as a line on another machine's address does."""

    def posts(self, path: str) -> list[Any]:
        """What was posted to one path."""
        return [body for where, body in self.posted if where == path]

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve until the block ends; the second time on the same port, as a restarted program."""
        with served(self.app(), port=self.port) as address:
            yield address

    def app(self) -> FastAPI:
        app = FastAPI(openapi_url=None)
        app.state.runtime = SimpleNamespace(settings=self.settings)
        app.state.is_stopping = False
        pages.mount_static(app)
        app.get("/")(self._page)
        app.get("/sign-in")(self._sign_in)
        app.get("/state")(self._state)
        app.get("/stream")(self._stream)
        app.get("/picture.jpg")(self._picture)
        app.get("/picture.mjpg")(self._pictures)
        app.get("/files/{name}")(self._file)
        app.post("/{path:path}")(self._post)
        return app

    def _now(self) -> dict[str, Any]:
        return self.state | {"as_of": stamp()}

    async def _page(self, request: Request) -> Response:
        return pages.render(request, "line/console.html", state=self._now())

    async def _sign_in(self) -> Response:
        return Response("code?")

    async def _state(self) -> Response:
        return Response(status_code=401) if self.is_shut else JSONResponse(self._now())

    async def _stream(self, request: Request) -> Response:
        async def events() -> AsyncIterator[str]:
            told = ""
            while not self.is_shut and not request.app.state.is_stopping and not await request.is_disconnected():
                standing = json.dumps(self.state)
                if standing != told:
                    told = standing
                    yield f"event: state\ndata: {json.dumps(self._now())}\n\n"
                await asyncio.sleep(0.1)

        return StreamingResponse(events(), media_type="text/event-stream")

    async def _picture(self) -> Response:
        return Response(belt_pictures()[0], media_type="image/jpeg")

    async def _pictures(self, request: Request) -> Response:
        if not self.has_stream:
            return Response(status_code=503)

        async def parts() -> AsyncIterator[bytes]:
            number = 0
            while not request.app.state.is_stopping and not await request.is_disconnected():
                if not self.is_frozen:
                    data = belt_pictures()[number % FRAMES]
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    yield head.encode() + data + b"\r\n"
                    number += 1
                await asyncio.sleep(0.2)

        return StreamingResponse(parts(), media_type="multipart/x-mixed-replace; boundary=frame")

    async def _file(self, name: str) -> Response:
        data = crops().get(name)
        if data is None:
            return Response(status_code=404)
        return Response(data, media_type="image/jpeg", headers={"cache-control": "max-age=3600, immutable"})

    async def _post(self, path: str, request: Request) -> Response:
        body = await request.json()
        if path in self.swallows:
            self.posted.append((f"/{path}", body))
            await asyncio.sleep(30)
        if path in self.answers:
            self.posted.append((f"/{path}", body))
            status, problem = self.answers[path]
            return JSONResponse(problem, status_code=status, media_type="application/problem+json")
        self.take(path, body)
        return JSONResponse({})

    def take(self, path: str, body: Any) -> None:
        """Do what was posted."""
        self.posted.append((f"/{path}", body))
        state = json.loads(json.dumps(self.state))
        if path == "batches":
            state["batch"] = running()["batch"]
        elif path == "batches/close":
            state["batch"], state["queue"], state["last"] = None, [], []
        elif path == "emergency":
            state["alarms"] = [alarm(*EMERGENCY), *state["alarms"]]
        elif path == "emergency/clear":
            state["alarms"] = [each for each in state["alarms"] if each["kind"] != "emergency"]
        elif path.startswith("fruit/"):
            number = int(path.split("/")[1])
            state["queue"] = [each for each in state["queue"] if each["number"] != number]
        self.state = state


class Behind:
    """A stand as what `api.line_app.create_app` asks: its `Console`."""

    def __init__(self, stand: Stand) -> None:
        self._stand, self._number = stand, 0
        self.settings = stand.settings

    def state(self) -> dict[str, Any]:
        return self._stand.state | {"as_of": stamp()}

    def picture(self) -> tuple[int, bytes]:
        self._number += 1
        return self._number, belt_pictures()[self._number % FRAMES]

    def file(self, digest: bytes) -> bytes | None:
        return crops().get(digest.hex())

    def open_batch(self, scanned: str) -> None:
        self._stand.take("batches", {"scanned": scanned})

    def close_batch(
        self, weighed_g: Mapping[str, int] | None, *, leaves_doubtful: bool = False, opened_at: str | None = None
    ) -> None:
        assert opened_at == OPENED
        self._stand.take("batches/close", {"weighed_g": weighed_g, "leaves_doubtful": leaves_doubtful})

    def judge(
        self,
        number: int,
        tier: str,
        reason: str,
        second_code: str | None,
        *,
        opened_at: str | None = None,
        was: str | None = None,
    ) -> None:
        assert (opened_at, was) == (OPENED, "doubtful")
        self._stand.take(f"fruit/{number}/judge", {"tier": tier, "reason": reason, "second_code": second_code})

    def emergency(self, reason: str) -> None:
        self._stand.take("emergency", {"reason": reason})

    def clear_emergency(self) -> None:
        self._stand.take("emergency/clear", {})
