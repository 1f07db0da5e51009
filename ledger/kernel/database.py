"""The database and its one way to commit: a unit of work.

SQLite runs in WAL with a single writer lane: write transactions start as BEGIN IMMEDIATE and wait
for each other in this process, because SQLite's own busy wait starves some of them for seconds.
PostgreSQL needs neither.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, create_engine

_BUSY_TIMEOUT_MS = 15_000
_SQLITE_PAGE = 500


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


def insert_rows(
    session: Session,
    table: Table,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    *,
    unless: Sequence[str] = (),
    returning: Sequence[str] = (),
) -> list[tuple[Any, ...]]:
    """Insert many rows in their order; return the named columns of those written.

    `unless` names unique columns: a row that is there already is passed over. Values stand as the
    driver takes them, no column type converts them: ten thousand rows through SQLAlchemy's parameter
    handling cost more than writing them.
    """
    connection = session.connection()
    insert = f"INSERT INTO {table.name} ({', '.join(columns)})"
    tail = f" ON CONFLICT ({', '.join(unless)}) DO NOTHING" if unless else ""
    tail += f" RETURNING {', '.join(returning)}" if returning else ""
    if not rows:
        return []
    if connection.dialect.name == "postgresql" and not (unless or returning):
        _copy(connection, table, columns, rows)
        return []
    if connection.dialect.name == "postgresql":
        arrays = ", ".join(f"%s::{_array_type(table, column)}" for column in columns)
        names = ", ".join(columns)
        source = f" SELECT {names} FROM unnest({arrays}) WITH ORDINALITY AS r ({names}, nth) ORDER BY nth"  # noqa: S608  # our own names
        result = connection.exec_driver_sql(insert + source + tail, tuple(map(list, zip(*rows, strict=True))))
        return [tuple(row) for row in result] if returning else []
    marks = f"({', '.join('?' * len(columns))})"
    if not returning:
        connection.exec_driver_sql(f"{insert} VALUES {marks}{tail}", list(rows))
        return []
    written: list[tuple[Any, ...]] = []
    for start in range(0, len(rows), _SQLITE_PAGE):
        page = rows[start : start + _SQLITE_PAGE]
        values = ", ".join([marks] * len(page))
        flat = tuple(value for row in page for value in row)
        written += map(tuple, connection.exec_driver_sql(f"{insert} VALUES {values}{tail}", flat))
    return written


def _copy(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Send rows by PostgreSQL's COPY, in the connection's own transaction."""
    cursor: Any = connection.connection.cursor()  # psycopg's: the DBAPI knows no COPY
    with cursor, cursor.copy(f"COPY {table.name} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _array_type(table: Table, column: str) -> str:
    """The PostgreSQL array type for a column; a cast to a length would cut text short in silence."""
    return str(table.c[column].type.compile(postgresql.dialect())).split("(", maxsplit=1)[0] + "[]"  # type: ignore[no-untyped-call]  # SQLAlchemy


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
