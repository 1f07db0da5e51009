"""Databases of both kinds, and the golden chain as a log."""

import json
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlmodel import SQLModel

from ledger import log
from ledger.checkpoint import LogSigner
from ledger.events import Event, parse_event
from ledger.kernel.database import Database

GOLDEN = Path(__file__).resolve().parent.parent / "vectors" / "golden"
ORIGIN = "guoyuan.example/sample-log"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def any_db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind; PostgreSQL where GUOYUAN_TEST_POSTGRES names one."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'any.db'}")
        SQLModel.metadata.create_all(database.engine)
        yield database
        database.dispose()
        return
    url = os.environ.get("GUOYUAN_TEST_POSTGRES")
    if not url:
        pytest.skip("GUOYUAN_TEST_POSTGRES names no PostgreSQL server")
    url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    schema = f"ledger_{secrets.token_hex(6)}"
    admin = create_engine(url)
    with admin.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    database = Database(f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{schema}")
    SQLModel.metadata.create_all(database.engine)
    yield database
    database.dispose()
    with admin.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    admin.dispose()


@pytest.fixture(scope="session")
def golden() -> list[Event]:
    """The 38 events of the golden chain, in order."""
    return [
        parse_event(event)
        for path in sorted(GOLDEN.glob("*.jsonld"))
        for event in json.loads(path.read_text())["epcisBody"]["eventList"]
    ]


@pytest.fixture
def signer() -> LogSigner:
    """A log's key, the same in every test."""
    return LogSigner(ORIGIN, sha256(b"guoyuan test log key").digest())


@pytest.fixture
def later() -> datetime:
    """A moment after everything in the golden chain."""
    return datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def golden_db(db: Database, golden: list[Event], signer: LogSigner, later: datetime) -> Database:
    """The golden chain recorded, integrated and published on SQLite."""
    fill(db, golden, signer, later)
    return db


def fill(db: Database, events: list[Event], signer: LogSigner, now: datetime) -> None:
    """Record, integrate and publish events."""
    with db.write() as session:
        log.record_all(session, events, now=now)
        log.integrate(session)
        log.publish(session, signer, now=now)
