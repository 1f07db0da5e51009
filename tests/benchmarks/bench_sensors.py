"""Taking signed packs: messages per second, what the signature costs, and plain libraries beside it."""

import json
import timeit
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nacl.signing import VerifyKey
from pydantic import BaseModel, TypeAdapter
from sqlmodel import SQLModel

import ledger.models  # noqa: F401  # the tables must be known before the database is made
from farm_sensors.devices import NewDevice, enrol
from farm_sensors.ingest import accept
from farm_sensors.keys import DeviceKey
from farm_sensors.packs import Reading, open_pack, pack_bytes
from farm_sensors.quality import assess
from farm_sensors.quantities import QUANTITIES
from farm_sensors.windows import close_due
from ledger.kernel.database import Database
from ledger.kernel.files import FileStore
from ledger.kernel.ids import DeviceId, Numbering

pytestmark = pytest.mark.benchmark

NUMBERING = Numbering("9521002")
START = datetime(2026, 4, 17, 21, 0, tzinfo=UTC)
NAMES = ("air-temperature", "air-humidity", "soil-moisture", "irradiance", "wind-speed", "rain")
MESSAGES = 500
KEY = DeviceKey(bytes(range(32)))


class PydanticRecord(BaseModel):
    """The same record as a pydantic model, for the baseline."""

    n: str
    u: str
    v: float
    t: float = 0
    bn: str = ""
    bt: float = 0


BASELINE = TypeAdapter(list[PydanticRecord])


@pytest.fixture
def db(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'bench.db'}")
    SQLModel.metadata.create_all(database.engine)
    yield database
    database.dispose()


def enrolled(db: Database) -> DeviceId:
    new = NewDevice(
        reference="W01",
        model="sample-weather-1",
        place=NUMBERING.place(1, "P01"),
        quantities=NAMES,
        public_key=KEY.public,
        cadence_s=60,
    )
    with db.write() as session:
        made = enrol(session, new, recorder=NUMBERING.party(1), numbering=NUMBERING, now=START, zone="Asia/Shanghai")
        return DeviceId(made.id)


@pytest.fixture
def device(db) -> DeviceId:
    return enrolled(db)


def packs(device: str) -> list[bytes]:
    """One pack a minute with six readings: 390 bytes or so each."""
    return [
        pack_bytes(device, i + 1, [Reading(name, START + timedelta(minutes=i), 20 + (i % 40) / 10) for name in NAMES])
        for i in range(MESSAGES)
    ]


def test_accept(benchmark, db, device):
    """Verify, decode, store: one unit of work per hundred messages, as the MQTT subscriber does."""
    bodies = [(body, KEY.sign(body)) for body in packs(device)]
    now = START + timedelta(minutes=MESSAGES)

    def setup():
        with db.write() as session:
            for table in ("sensors_reading", "sensors_message"):
                session.execute(SQLModel.metadata.tables[table].delete())

    def run():
        for first in range(0, MESSAGES, 100):
            with db.write() as session:
                for body, signature in bodies[first : first + 100]:
                    accept(session, device_id=device, body=body, signature=signature, now=now)

    benchmark.pedantic(run, setup=setup, rounds=5)
    verify_key = VerifyKey(KEY.public)
    verify_s = min(timeit.repeat(lambda: [verify_key.verify(*pair) for pair in bodies], number=1, repeat=5))
    plain_s = min(
        timeit.repeat(lambda: [BASELINE.validate_python(json.loads(b)) for b, _ in bodies], number=1, repeat=5)
    )
    took_s = benchmark.stats.stats.median
    says = {
        "messages/s": round(MESSAGES / took_s),
        "readings/s": round(MESSAGES * len(NAMES) / took_s),
        "verify share": f"{verify_s / took_s:.0%}",
        "json + pydantic alone, messages/s": round(MESSAGES / plain_s),
    }
    benchmark.extra_info |= says
    print("\naccept:", says)  # noqa: T201  # a benchmark is read


def test_verify_alone(benchmark, device):
    """The share of Ed25519 in the above."""
    bodies = [(body, KEY.sign(body)) for body in packs(device)]
    verify_key = VerifyKey(KEY.public)
    benchmark(lambda: [verify_key.verify(body, signature) for body, signature in bodies])


def test_open_alone(benchmark, device):
    """The share of decoding: SenML resolved, units and times checked."""
    bodies = packs(device)
    now = START + timedelta(minutes=MESSAGES)
    benchmark(lambda: [open_pack(body, device_id=device, quantities=NAMES, now=now) for body in bodies])


def test_baseline_pydantic(benchmark, device):
    """json and pydantic on the same bytes: form only, no base values, units or times."""
    bodies = packs(device)
    benchmark(lambda: [BASELINE.validate_python(json.loads(body)) for body in bodies])


def test_assess_a_day(benchmark):
    """One day by the minute of air temperature through all tests."""
    times = [60.0 * i for i in range(1440)]
    values = [22 + (i % 100) / 20 for i in range(1440)]
    benchmark(assess, QUANTITIES["air-temperature"], times, values, cadence_s=60)


def test_close_windows(benchmark, tmp_path):
    """Close eight hours of one place: 2,880 readings in, eight events out."""

    def setup():
        database = Database(f"sqlite:///{tmp_path / f'{next(numbers)}.db'}")
        SQLModel.metadata.create_all(database.engine)
        made = enrolled(database)
        with database.write() as session:
            for body in packs(made)[:480]:
                accept(session, device_id=made, body=body, signature=KEY.sign(body), now=START + timedelta(hours=9))
        return (database,), {}

    def run(database):
        with database.write() as session:
            closed = close_due(
                session,
                FileStore(Path(tmp_path) / "files"),
                now=START + timedelta(hours=9),
                patience_s=600,
                zone="Asia/Shanghai",
            )
        assert closed == 8
        database.dispose()

    numbers = iter(range(100))
    benchmark.pedantic(run, setup=setup, rounds=3)
