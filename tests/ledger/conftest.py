"""Databases of both kinds, and the golden chain as a log."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from ledger import log
from ledger.checkpoint import LogSigner
from ledger.events import Event, parse_event
from ledger.kernel.database import Database
from tests.databases import KINDS, each_kind

GOLDEN = Path(__file__).resolve().parent.parent / "vectors" / "golden"
ORIGIN = "guoyuan.example/sample-log"


@pytest.fixture(params=KINDS)
def any_db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    with each_kind(request.param, tmp_path) as database:
        yield database


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
