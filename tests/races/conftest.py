"""Real databases to race on: SQLite in a file, and a fresh PostgreSQL database where a server is named."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlmodel import SQLModel

from ledger.kernel.database import Database
from tests.orders.conftest import Farm

T = TypeVar("T")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def race_db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind. Without PostgreSQL it skips plainly; CI must have one."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'race.db'}")
        SQLModel.metadata.create_all(database.engine)
        yield database
        database.dispose()
        return
    server = os.environ.get("GUOYUAN_TEST_POSTGRES")
    if not server:
        if os.environ.get("CI"):
            pytest.fail("CI must race on PostgreSQL: GUOYUAN_TEST_POSTGRES is not set")
        pytest.skip("GUOYUAN_TEST_POSTGRES names no server; the races ran on SQLite only")
    url = make_url(server.replace("postgresql://", "postgresql+psycopg://", 1))
    name = f"race_{uuid4().hex[:12]}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    database = Database(url.set(database=name).render_as_string(hide_password=False), pool_size=20)
    SQLModel.metadata.create_all(database.engine)
    yield database
    database.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))
    admin.dispose()


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
