"""Followers: at least once, in order, each for itself."""

import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from sqlmodel import Session

from ledger import follow, log
from ledger.events import Event
from ledger.kernel.database import Database
from ledger.kernel.sequences import next_number
from ledger.models import Entry
from ledger.vocabulary import Sentence

PACKED = frozenset({Sentence.PACKED.value})
EVERYTHING = frozenset(sentence.value for sentence in Sentence)


@dataclass
class Counter:
    """Counts what it sees, in a table of its own; may throw at some entries."""

    name: str = "counter"
    sentences: frozenset[str] = PACKED
    throws_at: set[int] = field(default_factory=set)
    seen: list[int] = field(default_factory=list)

    def handle(self, session: Session, entry: Entry, event: Event) -> None:
        assert entry.leaf_index is not None
        assert event.sentence == entry.sentence
        self.seen.append(entry.leaf_index)
        next_number(session, self.name)
        if entry.leaf_index in self.throws_at:
            raise RuntimeError(f"cannot handle {entry.leaf_index}")


def counted(db: Database, name: str) -> int:
    """How often a follower's own rows say that it handled something."""
    with db.write() as session:
        count = next_number(session, name) - 1
        session.rollback()
    return count


@pytest.fixture
def recorded(any_db: Database, golden: list[Event], later: datetime) -> Database:
    with any_db.write() as session:
        log.record_all(session, golden, now=later)
    return any_db


def test_a_follower_sees_its_sentences_in_order_once(recorded: Database, later: datetime) -> None:
    follower = Counter()
    assert follow.drain(recorded, [follower], now=later) == 5
    assert follower.seen == [25, 26, 27, 28, 29]
    assert follow.drain(recorded, [follower], now=later) == 0
    assert counted(recorded, "counter") == 5


def test_what_comes_later_is_handled_later(any_db: Database, golden: list[Event], later: datetime) -> None:
    follower = Counter()
    for part in (golden[:26], golden[26:]):
        with any_db.write() as session:
            log.record_all(session, part, now=later)
        follow.drain(any_db, [follower], now=later)
    assert follower.seen == [25, 26, 27, 28, 29]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_limit_only_makes_it_take_longer(recorded: Database, later: datetime, limit: int) -> None:
    follower = Counter(sentences=EVERYTHING)
    drained = 0
    while handled := follow.drain(recorded, [follower], now=later, limit=limit):
        assert handled <= limit
        drained += handled
    assert drained == 38
    assert follower.seen == list(range(38))


def test_a_follower_that_throws_stops_itself_and_not_the_others(recorded: Database, later: datetime) -> None:
    failing, working = Counter("failing", throws_at={27}), Counter("working")
    follow.drain(recorded, [failing, working], now=later)
    assert working.seen == [25, 26, 27, 28, 29]
    assert counted(recorded, "failing") == 2, "what went well before is kept, what failed is not"
    with recorded.read() as session:
        stopped, fine = follow.lag(session)
    assert (stopped.name, stopped.position, stopped.failed_index, stopped.failed_at) == ("failing", 27, 27, later)
    assert stopped.error == "RuntimeError: cannot handle 27"
    assert stopped.behind == 11
    assert (fine.behind, fine.error) == (0, None)


def test_it_tries_again_and_goes_on_where_it_stopped(recorded: Database, later: datetime) -> None:
    follower = Counter(throws_at={27})
    follow.drain(recorded, [follower], now=later)
    follow.drain(recorded, [follower], now=later)
    follower.throws_at.clear()
    assert follow.drain(recorded, [follower], now=later) == 3
    assert counted(recorded, "counter") == 5
    with recorded.read() as session:
        assert [state.error for state in follow.lag(session)] == [None]


def test_an_entry_that_fails_in_the_database_stops_it_too(recorded: Database, later: datetime) -> None:
    class Breaking(Counter):
        def handle(self, session: Session, entry: Entry, event: Event) -> None:  # noqa: ARG002  # the protocol has them
            session.add(Entry(event_id="x", event_type="x", event_time=None, record_time=None, data=b""))

    follow.drain(recorded, [Breaking("breaking")], now=later)
    with recorded.read() as session:
        assert "IntegrityError" in str(follow.lag(session)[0].error)


def test_a_follower_builds_its_tables_again_from_zero(recorded: Database, later: datetime) -> None:
    follower = Counter()
    follow.drain(recorded, [follower], now=later)
    with recorded.write() as session:
        follow.restart(session, "counter")
    assert follow.drain(recorded, [follower], now=later) == 5
    assert follower.seen == [25, 26, 27, 28, 29] * 2


def test_lag_counts_what_is_left(recorded: Database, later: datetime) -> None:
    follower = Counter(sentences=EVERYTHING)
    follow.drain(recorded, [follower], now=later, limit=30)
    with recorded.read() as session:
        assert [(state.position, state.behind) for state in follow.lag(session)] == [(30, 8)]


def test_a_follower_may_record_what_others_follow(any_db: Database, golden: list[Event], later: datetime) -> None:
    class Answering(Counter):
        def handle(self, session: Session, entry: Entry, event: Event) -> None:  # noqa: ARG002  # the protocol has them
            log.record_all(session, golden[26:30], now=later)

    with any_db.write() as session:
        log.record(session, golden[25], now=later)
    reader = Counter("reader")
    for _ in range(3):
        follow.drain(any_db, [Answering("answering"), reader], now=later)
    assert len(reader.seen) == 5


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from ledger import follow
from ledger.kernel.database import Database
from ledger.kernel.sequences import next_number

class Killed:
    name, sentences = "counter", frozenset({"packed/1"})
    def handle(self, session, entry, event):
        next_number(session, "counter")
        with open(sys.argv[2], "a") as file:
            file.write(f"{entry.leaf_index}\\n")
        if entry.leaf_index == 28:
            os.kill(os.getpid(), signal.SIGKILL)

follow.drain(Database(sys.argv[1]), [Killed()], now=datetime(2026, 5, 1, tzinfo=UTC))
"""


def test_killed_between_its_work_and_its_cursor_it_does_its_own_rows_once(
    recorded: Database, later: datetime, tmp_path: Path
) -> None:
    """The control is beside it: what it writes elsewhere is written twice, so that must bear it."""
    elsewhere = tmp_path / "elsewhere"
    url = recorded.engine.url.render_as_string(hide_password=False)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, url, str(elsewhere)], cwd=Path(__file__).parents[2], check=False, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    follower = Counter()
    assert follow.drain(recorded, [follower], now=later) == 5
    assert counted(recorded, "counter") == 5
    assert elsewhere.read_text().split() + [str(index) for index in follower.seen] == [
        *("25", "26", "27", "28"),
        *("25", "26", "27", "28", "29"),
    ]
