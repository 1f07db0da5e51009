"""The database and its one way to commit: a unit of work.

SQLite runs in WAL with a single writer lane: write transactions start as BEGIN IMMEDIATE and wait
for each other in this process, because SQLite's own busy wait starves some of them for seconds.
PostgreSQL needs neither.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, create_engine

_BUSY_TIMEOUT_MS = 15_000


class Database:
    """One engine, two kinds of session."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.is_sqlite = url.startswith("sqlite")
        self.engine = (
            _sqlite_engine(url) if self.is_sqlite else create_engine(url, pool_size=pool_size, pool_pre_ping=True)
        )
        # A plain lock: a web server may open and close one unit of work on different threads.
        self._writer = threading.Lock()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a unit of work: committed at the end, rolled back on any exception.

        Units do not nest: opening a second one inside the first on SQLite waits for ever.
        """
        if not self.is_sqlite:
            with Session(self.engine, expire_on_commit=False) as session, session.begin():
                yield session
            return
        with self._writer, self.engine.connect().execution_options(guoyuan_write=True) as connection:
            with Session(connection, expire_on_commit=False) as session, session.begin():
                yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that sees one snapshot and never commits; rows read in it stay readable after it."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def insert_into(session: Session, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that knows ON CONFLICT, in the dialect the session speaks."""
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": _BUSY_TIMEOUT_MS / 1000})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # SQLAlchemy begins transactions itself (below); the driver must not.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "cache_size=-32000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        is_write = connection.get_execution_options().get("guoyuan_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")

    return engine
