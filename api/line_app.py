"""The touch console of one line: a small application of its own on the station's computer.

It works while the server cannot be reached. On this machine's own address it asks nobody who they are; on
any other address a person types the station's access code, or the PIN chosen when it was started.
"""

import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from hashlib import sha256
from typing import Annotated, Any, Final, Protocol

import anyio
from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, Form, Path, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware

from api import live, pages, problems
from api.deps import refuse_cross_origin
from api.errors import AccessError, NotHereError, NotSignedInError, SignInRefusedError, TooManyAttemptsError, status_of
from api.limits import BodyLimits
from api.pages import render
from ledger.kernel.settings import Settings

COOKIE: Final = "guoyuan-line"
SIGNED_IN_S: Final = 12 * 3600
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_BOUNDARY: Final = "frame"
_PICTURES_EVERY_S: Final = 0.1
_FAILURES_ALLOWED: Final = 10
_FORGOTTEN_AFTER_S: Final = 600.0


class Console(Protocol):
    """What the page shows and does; `api.line_runtime.LineRuntime` is one."""

    @property
    def settings(self) -> Settings:
        """Time zone and whether this is a rehearsal with samples."""
        ...

    def state(self) -> dict[str, Any]:
        """Return everything the page shows, as JSON."""
        ...

    def picture(self) -> tuple[int, bytes] | None:
        """Return the latest annotated picture as JPEG, with its number; None before the first one."""
        ...

    def file(self, digest: bytes) -> bytes | None:
        """Return a crop or record by its SHA-256, or None."""
        ...

    def open_batch(self, scanned: str) -> None:
        """Open a batch for what was scanned. Raises LineError."""
        ...

    def close_batch(
        self, weighed_g: Mapping[str, int] | None, *, leaves_doubtful: bool = False, opened_at: str | None = None
    ) -> None:
        """Close the open batch; with `leaves_doubtful` the house decides about fruit that wait. Raises LineError."""
        ...

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
        """Decide about a fruit. Raises LineError."""
        ...

    def emergency(self, reason: str) -> None:
        """Send everything to the reject lane and stop grading. Twice is once."""
        ...

    def clear_emergency(self) -> None:
        """Let the line run again. Twice is once."""
        ...


class Door:
    """Who may touch the console. `admits` says whether a code is right; None: everybody who reaches this address."""

    def __init__(self, admits: Callable[[str], bool] | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._admits, self._clock = admits, clock
        self._key = secrets.token_bytes(32)
        self._failures: list[float] = []

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked."""
        return self._admits is None

    def sign_in(self, code: str) -> str:
        """Return a cookie's value for the right code. Raises SignInRefusedError, TooManyAttemptsError."""
        now = self._clock()
        self._failures = [at for at in self._failures if now - at < _FORGOTTEN_AFTER_S]
        if len(self._failures) >= _FAILURES_ALLOWED:
            raise TooManyAttemptsError(int(self._failures[0] + _FORGOTTEN_AFTER_S - now) + 1)
        if self._admits is not None and not self._admits(code):
            self._failures.append(now)
            raise SignInRefusedError
        return self._cookie(now)

    def renewed(self, cookie: str | None) -> str | None:
        """Return a new value for a cookie that holds and has lost half of its time; None for any other.

        A panel that is looked at day and night has no keyboard to type a code on in the middle of a lot.
        """
        if self.is_open or not self.is_signed_in(cookie):
            return None
        now = self._clock()
        left_s = int((cookie or "").partition(".")[0]) - now
        return self._cookie(now) if left_s < SIGNED_IN_S / 2 else None

    def is_signed_in(self, cookie: str | None) -> bool:
        """Whether a cookie's value was given out here and still holds."""
        if self.is_open:
            return True
        until, _, seal = (cookie or "").partition(".")
        is_ours = hmac.compare_digest(seal.encode(), self._sealed(until).encode())
        return is_ours and until.isdigit() and int(until) > self._clock()

    def _cookie(self, now: float) -> str:
        until = str(int(now) + SIGNED_IN_S)
        return f"{until}.{self._sealed(until)}"

    def _sealed(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), sha256).hexdigest()


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scan(_Body):
    """What the scanner read: a lot's or a crate's code."""

    scanned: str = Field(min_length=1, max_length=300)


class Closing(_Body):
    """Grams on the scale per tier; without, the received mass is shared out by what the camera saw.

    `leaves_doubtful`: fruit that still wait for a person are left to the house, which closes the batch after that.
    """

    weighed_g: dict[str, Annotated[int, Field(ge=1, le=100_000_000)]] | None = Field(default=None, max_length=20)
    leaves_doubtful: bool = False


class Judgement(_Body):
    """A person's decision about a fruit."""

    tier: str = Field(min_length=1, max_length=20)
    reason: str = Field(default="looked", min_length=1, max_length=40)
    second_code: str | None = Field(default=None, max_length=40)


class Emergency(_Body):
    """Why everything goes to the reject lane."""

    reason: str = Field(default="button", min_length=1, max_length=200)


def create_app(console: Console, *, door: Door | None = None, hosts: tuple[str, ...] = LOOPBACK) -> FastAPI:
    """Return the console's application. Requests that name another host than `hosts` are refused."""
    app = FastAPI(title="Guoyuan line", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.runtime = console  # the pages ask it for the settings, and for nothing else
    app.state.console, app.state.door = console, door or Door(None)
    problems.install(app)
    app.include_router(_public)
    app.include_router(_router)
    pages.mount_static(app)
    app.add_middleware(BodyLimits)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    return app


def _console(request: Request) -> Console:
    found: Console = request.app.state.console
    return found


def _admitted(request: Request, response: Response) -> None:
    door: Door = request.app.state.door
    cookie = request.cookies.get(COOKIE)
    if not door.is_signed_in(cookie):
        raise NotSignedInError("type the station's access code first")
    if (fresh := door.renewed(cookie)) is not None:
        _keep_signed_in(response, fresh)


def _written_here(request: Request) -> None:
    """Another site's page must not press our buttons, signed in or not."""
    refuse_cross_origin(request)


ConsoleDep = Annotated[Console, Depends(_console)]
_public = APIRouter()
_router = APIRouter(dependencies=[Depends(_admitted)])
Opened = Annotated[str | None, Query(max_length=40)]
"""When the batch was opened that the page shows: what is pressed on a page left behind is refused."""
_WRITES: Final = [Depends(_written_here)]


@_public.get("/healthz")
def healthz() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@_public.get("/sign-in")
def sign_in_page(request: Request, next: str = "/") -> Response:  # noqa: A002  # the name in the address
    """Show the form."""
    return _form(request, next_path=next)


@_public.post("/sign-in", dependencies=_WRITES)
def sign_in(request: Request, code: Annotated[str, Form(max_length=64)] = "") -> Response:
    """Let whoever knows the code in."""
    door: Door = request.app.state.door
    try:
        cookie = door.sign_in(code)
    except (SignInRefusedError, TooManyAttemptsError) as error:
        return _form(request, error=error)
    response = RedirectResponse("/", status_code=303)
    _keep_signed_in(response, cookie)
    return response


@_router.get("/")
def page(request: Request, console: ConsoleDep) -> Response:
    """Show the console; the first view is true without scripts, the rest is live."""
    return render(request, "line/console.html", theme="dark", state=console.state())


@_router.get("/state")
def state(console: ConsoleDep) -> dict[str, Any]:
    """Return everything the console shows."""
    return console.state()


@_router.get("/stream")
def stream(request: Request, console: ConsoleDep) -> StreamingResponse:
    """Follow the line: server-sent events `state`, each with the whole of what `/state` answers."""

    def look() -> tuple[str, str]:
        found = console.state()
        return _json({**found, "as_of": None}), _json(found)

    return live.stream(request, "state", look)


@_router.get("/picture.jpg")
def picture(console: ConsoleDep) -> Response:
    """Return the latest annotated picture."""
    found = console.picture()
    if found is None:
        raise NotHereError("the camera has given no picture yet")
    return Response(found[1], media_type="image/jpeg", headers={"cache-control": "no-store"})


@_router.get("/picture.mjpg")
def pictures(request: Request, console: ConsoleDep) -> StreamingResponse:
    """Follow the annotated picture, at most ten times a second."""

    async def frames() -> AsyncIterator[bytes]:
        shown = None
        while not getattr(request.app.state, "is_stopping", False) and not await request.is_disconnected():
            found = await to_thread.run_sync(console.picture)
            if found is not None and found[0] != shown:
                shown = found[0]
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(found[1])}\r\n\r\n"
                yield head.encode() + found[1] + b"\r\n"
            await anyio.sleep(_PICTURES_EVERY_S)

    media_type = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
    return StreamingResponse(frames(), media_type=media_type, headers={"cache-control": "no-store"})


@_router.get("/files/{sha256}")
def file(console: ConsoleDep, sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]) -> Response:
    """Return a fruit's crop or record by its hash."""
    data = console.file(bytes.fromhex(sha256))
    if data is None:
        raise NotHereError(f"this station keeps no file {sha256}")
    media_type = "image/jpeg" if data[:2] == b"\xff\xd8" else "application/json"
    headers = {"cache-control": "private, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
    return Response(data, media_type=media_type, headers=headers)


@_router.post("/batches", status_code=201, dependencies=_WRITES)
def open_batch(console: ConsoleDep, body: Scan) -> dict[str, Any]:
    """Start a lot on the line."""
    console.open_batch(body.scanned)
    return console.state()


@_router.post("/batches/close", dependencies=_WRITES)
def close_batch(console: ConsoleDep, body: Closing, opened_at: Opened = None) -> dict[str, Any]:
    """End the lot on the line."""
    console.close_batch(body.weighed_g, leaves_doubtful=body.leaves_doubtful, opened_at=opened_at)
    return console.state()


@_router.post("/fruit/{number}/judge", dependencies=_WRITES)
def judge(
    console: ConsoleDep,
    number: Annotated[int, Path(ge=1, le=10**9)],
    body: Judgement,
    opened_at: Opened = None,
    was: Annotated[str | None, Query(max_length=20)] = None,
) -> dict[str, Any]:
    """Decide about a fruit of the open batch, doubted or graded by the camera."""
    console.judge(number, body.tier, body.reason, body.second_code, opened_at=opened_at, was=was)
    return console.state()


@_router.post("/emergency", dependencies=_WRITES)
def emergency(console: ConsoleDep, body: Emergency) -> dict[str, Any]:
    """Reject everything on the belt, now."""
    console.emergency(body.reason)
    return console.state()


@_router.post("/emergency/clear", dependencies=_WRITES)
def clear_emergency(console: ConsoleDep) -> dict[str, Any]:
    """Let the line run again."""
    console.clear_emergency()
    return console.state()


def _keep_signed_in(response: Response, cookie: str) -> None:
    response.set_cookie(COOKIE, cookie, max_age=SIGNED_IN_S, httponly=True, samesite="strict", path="/")


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _form(request: Request, *, next_path: str = "/", error: AccessError | None = None) -> Response:
    return render(
        request,
        "account/sign_in.html",
        status=status_of(type(error)) if error else 200,
        next_path=next_path,
        token="",
        name="",
        role="",
        refused=error.code if error else None,
        wait_minutes=-(-error.retry_after_s // 60) if isinstance(error, TooManyAttemptsError) else 0,
    )
