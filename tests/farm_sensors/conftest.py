"""A small farm of simulated devices: real keys, real packs, no network."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import farm_sensors.models  # noqa: F401  # the tables must be known before the database is made
import ledger.models  # noqa: F401
from farm_sensors import ingest
from farm_sensors.codecs import senml
from farm_sensors.devices import NewDevice, enrol
from farm_sensors.keys import DeviceKey
from farm_sensors.quantities import QUANTITIES
from ledger.kernel.database import Database
from ledger.kernel.files import FileStore
from ledger.kernel.ids import DeviceId, Numbering, PartyId, PlaceId
from tests.databases import KINDS, each_kind

ZONE = "Asia/Shanghai"
NUMBERING = Numbering("9521002")
PLOT = NUMBERING.place(1, "P01")
COOLER = NUMBERING.place(10, "COOL-1")
COOPERATIVE = NUMBERING.party(2)


class SimulatedDevice:
    """A device with its key: writes packs, signs them, hands them in."""

    def __init__(self, db: Database, device_id: DeviceId, key: DeviceKey) -> None:
        self.db, self.id, self.key = db, device_id, key
        self.sequence = 0

    def pack(self, readings: list[tuple[str, datetime, float]], *, sequence: int | None = None) -> bytes:
        self.sequence = self.sequence + 1 if sequence is None else sequence
        start = readings[0][1].timestamp()
        records: list[dict[str, object]] = [
            {"bn": f"{self.id}/", "bt": start, "n": "sequence", "u": "count", "v": self.sequence}
        ]
        records += [
            {"n": name, "u": QUANTITIES[name].unit, "t": round(at.timestamp() - start, 3), "v": value}
            for name, at, value in readings
        ]
        return senml.encode(records)

    def sign(self, body: bytes) -> bytes:
        return self.key.sign(body)

    def send(self, body: bytes, *, now: datetime, signature: bytes | None = None) -> ingest.Accepted:
        with self.db.write() as session:
            return ingest.accept(
                session,
                device_id=self.id,
                body=body,
                signature=self.sign(body) if signature is None else signature,
                now=now,
            )

    def report(
        self,
        series: Mapping[str, Callable[[int], float]],
        *,
        start: datetime,
        count: int,
        cadence_s: int,
        delay_s: int = 5,
    ) -> None:
        """Send `count` packs, one per beat, each arriving `delay_s` after it was measured."""
        for index in range(count):
            at = start + timedelta(seconds=cadence_s * index)
            body = self.pack([(name, at, value(index)) for name, value in series.items()])
            self.send(body, now=at + timedelta(seconds=delay_s))


@pytest.fixture(params=KINDS)
def db(request, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    with each_kind(request.param, tmp_path) as database:
        yield database


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "files")


@pytest.fixture
def make_device(db: Database) -> Callable[..., SimulatedDevice]:
    def make(
        reference: str = "W01",
        *,
        at: datetime,
        place: PlaceId = PLOT,
        quantities: tuple[str, ...] = ("air-temperature", "air-humidity", "soil-moisture", "rain", "irradiance"),
        cadence_s: int = 600,
        recorder: PartyId = COOPERATIVE,
    ) -> SimulatedDevice:
        key = DeviceKey((reference * 32).encode()[:32])
        new = NewDevice(
            reference=reference,
            model="sample-weather-1",
            place=place,
            quantities=quantities,
            public_key=key.public,
            cadence_s=cadence_s,
        )
        with db.write() as session:
            device = enrol(session, new, recorder=recorder, numbering=NUMBERING, now=at, zone=ZONE)
            return SimulatedDevice(db, DeviceId(device.id), key)

    return make
