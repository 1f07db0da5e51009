"""What every test may use: the real input folder, a clock that stands still, a fresh database."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlmodel import SQLModel, col, select

from ledger.epcis.profile import house_problems
from ledger.kernel.database import Database
from ledger.models import Entry

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("GUOYUAN_SHARED", ROOT.parent / "shared"))

# How long an example takes says how busy the machine is, not what the code does.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real test input, or a plain skip where a clone does not have it (never in CI)."""
    if not SHARED.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"CI must have the real input: {SHARED} is missing")
        pytest.skip(f"real test input not found at {SHARED}; set GUOYUAN_SHARED to run this test")
    return SHARED


@pytest.fixture
def now() -> datetime:
    """One fixed moment."""
    return datetime(2026, 4, 18, 3, 5, tzinfo=UTC)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """An empty SQLite database with every table the imported packages define."""
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    SQLModel.metadata.create_all(database.engine)
    yield database
    database.dispose()


@pytest.fixture(autouse=True)
def house_rules(request: pytest.FixtureRequest) -> Iterator[None]:
    """What our own builders recorded in any test is hashed alike by every implementation of the event hash."""
    builds = {"orders", "grading", "farm_sensors"} & set(request.path.parts)
    database = request.getfixturevalue("db") if builds and "db" in request.fixturenames else None
    yield
    if database is not None:
        assert broken_house_rules(database) == []


def broken_house_rules(database: Database) -> list[str]:
    """The house rules that the newest 500 sentences of a database break."""
    with database.read() as session:
        newest = select(Entry).where(col(Entry.sentence) != "").order_by(col(Entry.id).desc()).limit(500)
        return [
            f"{entry.sentence} {problem.path}: {problem.reason}"
            for entry in session.exec(newest)
            for problem in house_problems(json.loads(entry.data))
        ]
