"""The station over HTTP: a lot from the dock to the receiver, and what is refused on the way."""

import io

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from api.runtime import Runtime
from grading import samples  # tables must be known before the installation is opened
from ledger.follow import drain
from ledger.kernel.actors import Role
from orders.stock import GradedStock
from tests.api.orchard import Orchard

JPEG = {"content-type": "image/jpeg"}
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


def _receiver(house: House, app: FastAPI) -> TestClient:
    with house.rt.db.write() as session:
        house.orchard._sign_in(session, "receiver-1", Role.STATION, house.rt.numbering.place(30))
    return TestClient(app, headers=house.orchard.header("receiver-1"))
