"""A small farm of simulated devices: real keys, real packs, no network."""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlmodel import SQLModel, create_engine

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


POSTGRES = os.environ.get("GUOYUAN_TEST_POSTGRES", "").replace("postgresql://", "postgresql+psycopg://", 1)
KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)] if POSTGRES else ["sqlite"]


@pytest.fixture(params=KINDS)
def db(request, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind there is: PostgreSQL where GUOYUAN_TEST_POSTGRES names a server."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'test.db'}")
        SQLModel.metadata.create_all(database.engine)
        yield database
        database.dispose()
        return
    schema = f"sensors_{uuid4().hex}"
    admin = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    database = Database(f"{POSTGRES}{'&' if '?' in POSTGRES else '?'}options=-csearch_path%3D{schema}")
    SQLModel.metadata.create_all(database.engine)
    yield database
    database.dispose()
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
    admin.dispose()


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
