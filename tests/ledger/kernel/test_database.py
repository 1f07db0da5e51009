"""The writer lane of SQLite: one after the other, in the order they came."""

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from ledger.kernel.database import Database
from tests.waiting import until

WRITERS, ROUNDS = 8, 25


@pytest.fixture
def counter(tmp_path: Path) -> Database:
    db = Database(f"sqlite:///{tmp_path / 'counter.db'}")
    with db.write() as session:
        session.execute(text("CREATE TABLE counter (value INTEGER)"))
        session.execute(text("INSERT INTO counter VALUES (0)"))
    return db


def count_up(session: Session) -> None:
    """Read, think, write: what loses counts where nobody waits."""
    value = session.execute(text("SELECT value FROM counter")).scalar_one()
    time.sleep(0.0005)
    session.execute(text("UPDATE counter SET value = :value"), {"value": value + 1})


def race(write: object) -> list[Exception]:
    failures: list[Exception] = []

    def writer() -> None:
        for _ in range(ROUNDS):
            try:
                write()  # type: ignore[operator]  # one of the two ways below
            except OperationalError as error:
                failures.append(error)

    threads = [threading.Thread(target=writer) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def value_of(db: Database) -> int:
    with db.read() as session:
        return int(session.execute(text("SELECT value FROM counter")).scalar_one())


def test_writers_at_once_lose_nothing(counter: Database) -> None:
    def write() -> None:
        with counter.write() as session:
            count_up(session)

    assert race(write) == []
    assert value_of(counter) == WRITERS * ROUNDS
    counter.dispose()


def test_control_without_the_lane_writers_are_refused(counter: Database) -> None:
    """If this passes without a refusal, the test above proves nothing."""

    def write() -> None:
        with Session(counter.engine) as session, session.begin():
            count_up(session)

    assert race(write)
    assert value_of(counter) < WRITERS * ROUNDS
    counter.dispose()


def test_writers_are_served_in_the_order_they_came(counter: Database) -> None:
    served: list[int] = []
    threads = []
    with counter.write():
        for number in range(6):

            def write(number: int = number) -> None:
                with counter.write():
                    served.append(number)

            threads.append(threading.Thread(target=write))
            threads[-1].start()
            until(lambda number=number: len(counter._writer._waiting) == number + 1)
        assert served == []
    for thread in threads:
        thread.join()
    assert served == list(range(6))
    counter.dispose()


def test_what_raises_leaves_nothing_half_written(counter: Database) -> None:
    def write() -> None:
        with counter.write() as session:
            count_up(session)
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        write()
    assert value_of(counter) == 0
    counter.dispose()
