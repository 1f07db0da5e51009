"""Real databases to race on: SQLite in a file, and a fresh PostgreSQL database where a server is named."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pytest

from ledger.kernel.database import Database
from tests.databases import KINDS, each_kind
from tests.orders.conftest import Farm

T = TypeVar("T")


@pytest.fixture(params=KINDS)
def race_db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind, with a connection for every racer."""
    with each_kind(request.param, tmp_path, pool_size=20) as database:
        yield database


@pytest.fixture
def race_farm(race_db: Database, now: datetime) -> Farm:
    """A cooperative with one plot, in a database that many threads share."""
    farm = Farm(race_db, now)
    farm.register()
    return farm


def at_once(tasks: Sequence[Callable[[], T]]) -> list[T | BaseException]:
    """Run all tasks, each on its own thread, released together; return results or what was raised."""
    gate = threading.Barrier(len(tasks))

    def run(task: Callable[[], T]) -> T:
        gate.wait(timeout=30)
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        futures = [pool.submit(run, task) for task in tasks]
    return [future.exception() or future.result() for future in futures]
