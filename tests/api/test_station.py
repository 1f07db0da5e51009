"""The station over HTTP: a lot from the dock to the receiver, and what is refused on the way."""

import asyncio
import io
import json
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from api import accounts, live, packhouse  # every table must be known before the installation is opened
from api.runtime import Runtime
from grading import samples
from grading.camera import to_jpeg
from ledger.follow import drain
from ledger.kernel.actors import Role
from orders.stock import GradedStock
from tests.api.conftest import SignIn
from tests.api.orchard import Orchard

TRAY = samples.tray(7).jpeg


class House:
    """A packing house with one received lot, and its staff's browser."""

    def __init__(self, rt: Runtime, app: FastAPI) -> None:
        self.rt = rt
        self.orchard = Orchard(rt)
        self.client = TestClient(app, follow_redirects=False, headers=self.orchard.header("station-1"))

    def post(self, path: str, body: object = None, *, status: int = 201, **extra: object) -> dict[str, object]:
        answer = self.client.post(f"/api/v1/station/{path}", json=body, **extra)
        assert answer.status_code == status, answer.text
        return answer.json()

    def send(self, path: str, image: bytes, *, status: int = 201, media_type: str = "image/jpeg") -> dict[str, object]:
        answer = self.client.post(f"/api/v1/station/{path}", content=image, headers={"content-type": media_type})
        assert answer.status_code == status, answer.text
        return answer.json()

    def state(self) -> dict[str, object]:
        answer = self.client.get("/api/v1/station/state")
        assert answer.status_code == 200
        return answer.json()

    def lot(self, mass_g: int = 3600) -> str:
        lot = self.orchard.pick(self.orchard.order(A=1), mass_g).lot
        self.post("receipts", {"lot": lot, "mass_g": mass_g})
        return lot

    def batch(self, mass_g: int = 3600) -> str:
        self.send("calibrations", samples.target(1).jpeg)
        return str(self.post("batches", {"lot": self.lot(mass_g)})["ref"])

    def graded(self) -> str:
        ref = self.batch()
        for fruit in self.send(f"batches/{ref}/photographs", TRAY)["fruit"]:
            if fruit["tier"] == "doubtful":
                self.post(f"fruits/{fruit['id']}/judgement", {"tier": fruit["nominal_tier"]}, status=200)
        self.post(f"batches/{ref}/close", {}, status=200)
        drain(self.rt.db, [GradedStock()], now=self.rt.clock.now())
        return ref


@pytest.fixture
def house(rt: Runtime, app: FastAPI) -> House:
    return House(rt, app)


def test_a_lot_goes_from_the_dock_to_the_receiver(house: House, app: FastAPI) -> None:
    house.graded()
    stock = {lot["tier"]: lot for lot in house.state()["graded_lots"]}
    assert sum(lot["mass_g"] for lot in stock.values()) <= 3600
    proposed = house.client.get("/api/v1/station/fillings", params={"graded_lot": stock["A"]["number"]}).json()
    assert 2500 <= proposed["mass_g"] <= stock["A"]["mass_g"]
    pack = house.post("packs", {"graded_lot": stock["A"]["number"], "scale_g": proposed["mass_g"]})
    assert pack["is_sold"]
    label = house.client.get(pack["label_png"])
    assert label.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(label.content)).size[0] > 400
    assert house.client.get(pack["label_pdf"]).content.startswith(b"%PDF")
    load = house.post("loads", {"packs": [pack["id"]]})
    receiver = _receiver(house, app)
    shipped = house.post(
        "shipments", {"load": load["ref"], "destination": house.rt.numbering.place(30), "receiver": "receiver-1"}
    )
    assert shipped["shipped_at"] is not None
    answer = receiver.post("/api/v1/station/deliveries", json={"load": load["id"], "packs_seen": [pack["id"]]})
    assert answer.status_code == 201, answer.text
    assert answer.json()["is_complete"]
    again = receiver.post("/api/v1/station/deliveries", json={"load": load["id"], "packs_seen": [pack["id"]]})
    assert again.json()["is_duplicate"]


def test_photographs_are_counted_once_over_http(house: House) -> None:
    ref = house.batch()
    first = house.send(f"batches/{ref}/photographs", TRAY)
    assert first["fruits"] == 12
    assert house.send(f"batches/{ref}/photographs", TRAY) == first
    view = house.state()["batch"]
    assert (view["fruits"], view["photographs"], view["doubtful"]) == (12, 1, first["doubtful"])
    assert sum(each["fruits"] for each in view["tiers"]) + view["doubtful"] == 12
    assert sum(each["fruits"] for each in view["widths"]) == 12
    picture = house.client.get(view["photograph"]["picture"])
    assert picture.content == TRAY
    assert picture.headers["content-type"] == "image/jpeg"
    crop = house.client.get(view["photograph"]["fruit"][0]["crop"])
    assert crop.content.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("image", "media_type", "status", "code"),
    [
        (b"not a picture", "image/jpeg", 422, "image_broken"),
        (TRAY[:20_000], "image/jpeg", 422, "image_broken"),
        (samples.target(2).jpeg, "image/jpeg", 422, "no_fruit"),
        (to_jpeg(samples.tray(1).pixels[:, 300:]), "image/jpeg", 422, "no_scale"),
        (TRAY, "image/tiff", 415, "unsupported_media"),
        (b"\x00" * (24 * 1024 * 1024 + 1), "image/jpeg", 413, "body_too_large"),
    ],
    ids=["text", "cut short", "no fruit", "no scale", "tiff", "too large"],
)
def test_a_photograph_that_cannot_be_graded_gets_a_problem_that_says_why(
    house: House, image: bytes, media_type: str, status: int, code: str
) -> None:
    ref = house.batch()
    problem = house.send(f"batches/{ref}/photographs", image, status=status, media_type=media_type)
    assert problem["code"] == code
    assert problem["detail"]
    assert house.state()["batch"]["photographs"] == 0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("receipts", {"lot": "H000000-P01-1", "mass_g": 100}, 404),
        ("receipts", {"lot": "x", "mass_g": 0}, 422),
        ("receipts", {"lot": "x", "mass_g": 1.5}, 422),
        ("receipts", {"lot": "x", "mass_g": 1, "colour": "red"}, 422),
        ("batches", {"lot": "https://id.gs1.org/01/99521002000415/10/X", "crop": "durian"}, 422),
        ("batches", {"lot": "https://id.gs1.org/01/99521002000415/10/X"}, 404),
        ("batches", {"lot": "not a lot"}, 422),
        ("batches/GR000000-0001/close", {}, 404),
        ("fruits/1/judgement", {"tier": "A"}, 404),
        ("fruits/1/judgement", {"tier": "A", "reason": "because"}, 422),
        ("packs", {"graded_lot": "G000000-1A", "scale_g": 100}, 404),
        ("loads", {"packs": []}, 422),
        ("loads", {"packs": ["https://id.gs1.org/01/09521002001013/21/NOPE"]}, 404),
        ("shipments", {"load": "D000000-0001", "destination": "here", "receiver": "x"}, 422),
        ("deliveries", {"load": "D000000-0001", "packs_seen": []}, 404),
    ],
)
def test_what_cannot_be_is_refused_as_a_problem(house: House, path: str, body: object, status: int) -> None:
    problem = house.post(path, body, status=status)
    assert problem["status"] == status
    assert problem["detail"]


def test_nothing_is_graded_before_the_line_is_calibrated(house: House) -> None:
    assert house.post("batches", {"lot": house.lot()}, status=409)["code"] == "calibration_missing"


def test_cooling_without_a_probe_is_no_evidence(house: House) -> None:
    lot = house.lot()
    assert house.post("coolings", {"lot": lot}, status=409)["code"]
    assert house.state()["lots"][0]["state"] == "received"


def test_a_lot_weighed_wrong_is_held_and_alarms(house: House) -> None:
    lot = house.orchard.pick(house.orchard.order(A=1), 3600).lot
    receipt = house.post("receipts", {"lot": lot, "mass_g": 3000})
    assert receipt["state"] == "held"
    (alarm,) = house.state()["alarms"]
    assert (alarm["kind"], alarm["is_grave"]) == ("lot_held", True)
    house.send("calibrations", samples.target(1).jpeg)
    assert house.post("batches", {"lot": lot}, status=409)["code"] == "lot_held"


def test_a_lot_past_its_two_hours_alarms_until_it_is_cooled(house: House) -> None:
    lot = house.orchard.pick(house.orchard.order(A=1), 3600, minutes_ago=125).lot
    assert [alarm["kind"] for alarm in house.state()["alarms"]] == ["cooling_late"]
    house.post("receipts", {"lot": lot, "mass_g": 3600})
    house.orchard.cool(lot, minutes_ago=3)
    assert house.state()["alarms"] == []


def test_a_better_tier_needs_a_second_persons_own_code(house: House) -> None:
    ref = house.batch()
    worst = max(house.send(f"batches/{ref}/photographs", TRAY)["fruit"], key=lambda each: each["nominal_tier"])
    path, wanted = f"fruits/{worst['id']}/judgement", {"tier": "A", "reason": "sap-mark"}
    assert house.post(path, wanted, status=403)["code"] == "second_person"
    assert house.post(path, {**wanted, "second_code": "AAAA-BBBB-CCCC"}, status=401)["code"] == "sign_in_refused"
    with house.rt.db.write() as session:
        other = accounts.create_person(
            session, house.rt.numbering, ref="manager-1", role=Role.MANAGER, site=None, now=house.rt.clock.now()
        )
        own = accounts.new_code(session, accounts.person(session, "station-1"), now=house.rt.clock.now())
        code = accounts.new_code(session, other, now=house.rt.clock.now())
    assert house.post(path, {**wanted, "second_code": own}, status=403)["code"] == "second_person"
    assert house.post(path, {**wanted, "second_code": code}, status=200)["tier"] == "A"


def test_more_packs_than_measured_mass_are_refused(house: House) -> None:
    house.graded()
    stock = {lot["tier"]: lot for lot in house.state()["graded_lots"]}
    lot = stock["A"]
    proposed = house.client.get("/api/v1/station/fillings", params={"graded_lot": lot["number"]}).json()
    house.post("packs", {"graded_lot": lot["number"], "scale_g": proposed["mass_g"]})
    problem = house.post("packs", {"graded_lot": lot["number"], "scale_g": 2500}, status=422)
    assert problem["detail"]
    assert len(house.state()["packs"]) == 1


@pytest.mark.parametrize("role", [Role.FARMER, Role.HOST, Role.AUDITOR])
def test_the_station_belongs_to_its_people(house: House, signed_in: SignIn, role: Role) -> None:
    visitor = signed_in(role, ref="stranger")
    assert visitor.get("/api/v1/station/state").status_code == 403
    assert visitor.post("/api/v1/station/receipts", json={"lot": "x", "mass_g": 1}).status_code == 403


def test_a_stranger_is_asked_to_sign_in(client: TestClient) -> None:
    assert client.get("/api/v1/station/state").status_code == 401
    page = client.get("/station", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=%2Fstation")


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_page_says_what_stands_without_scripts(house: House, lang: str) -> None:
    ref = house.batch()
    house.send(f"batches/{ref}/photographs", TRAY)
    page = house.client.get(f"/station?lang={lang}", headers={"accept": "text/html"})
    assert page.status_code == 200
    assert page.headers["content-language"].startswith(lang)
    assert house.state()["batch"]["lot_number"] in page.text
    assert "/api/v1/station/files/" in page.text
    assert "<script>" not in page.text
    assert " style=" not in page.text


def test_the_stream_tells_what_the_state_tells(house: House) -> None:
    house.lot()

    async def first_state() -> dict[str, object]:
        visitor = SimpleNamespace(is_disconnected=AsyncMock(return_value=False))
        view = station_view_of(house)
        async for text in live.events(visitor, "state", lambda: (view, view), every_s=0.01, lifetime_s=0.05):
            if "data: " in text:
                return dict(json.loads(text.split("data: ", 1)[1]))
        raise AssertionError("nothing was told")

    assert asyncio.run(first_state())["lots"] == house.state()["lots"]


def station_view_of(house: House) -> str:
    with house.rt.db.read() as session:
        view = packhouse.station_view(
            session, house.rt.files, line=packhouse.line_of(house.rt), now=house.rt.clock.now()
        )
    return view.model_dump_json()


def test_an_unknown_file_is_not_here(house: House) -> None:
    assert house.client.get(f"/api/v1/station/files/{'0' * 64}").status_code == 404
    assert house.client.get("/api/v1/station/files/nonsense").status_code == 422


def _receiver(house: House, app: FastAPI) -> TestClient:
    with house.rt.db.write() as session:
        house.orchard._sign_in(session, "receiver-1", Role.STATION, house.rt.numbering.place(30))
    return TestClient(app, headers=house.orchard.header("receiver-1"))


def test_a_cooperative_may_grade_by_its_own_standard(house: House, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    shipped = resources.files("grading.standards").joinpath("mango-small-sample.toml").read_text(encoding="utf-8")
    own.write_text(shipped.replace('id = "mango-small-sample"', 'id = "own-mangoes"'), encoding="utf-8")
    house.rt.settings = house.rt.settings.model_copy(update={"standard_file": str(own)})
    house.send("calibrations", samples.target(1).jpeg)
    assert house.post("batches", {"lot": house.lot()})["standard"] == "own-mangoes"
