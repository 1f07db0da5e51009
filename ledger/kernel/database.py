"""The database and its one way to commit: a unit of work.

SQLite runs in WAL with a single writer lane: write transactions start as BEGIN IMMEDIATE and wait
for each other in this process, because SQLite's own busy wait starves some of them for seconds.
PostgreSQL needs neither.
"""

import itertools
import re
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, create_engine

_BUSY_TIMEOUT_MS = 15_000
_PAGE = 500


class RowExistsError(Exception):
    """A row with this unique key is there already. What `insert_rows` wrote before it must be rolled back."""


class Database:
    """One engine, two kinds of session."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.is_sqlite = url.startswith("sqlite")
        self.engine = (
            _sqlite_engine(url) if self.is_sqlite else create_engine(url, pool_size=pool_size, pool_pre_ping=True)
        )
        self._writer = _Lane()

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

    def scrub(self, *tables: str) -> None:
        """Let nothing of what was deleted from some tables stay in their files; call it outside a unit of work.

        What backups and PostgreSQL's own write-ahead log still hold goes with them, in their time.
        """
        if self.is_sqlite:  # deleted bytes were overwritten at once (secure_delete); now in the log of writes too
            with closing(self.engine.raw_connection()) as raw:
                raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in tables:
                connection.exec_driver_sql(f"VACUUM (FULL) {table}")

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


class _Lane:
    """A lock that is handed on in the order it was asked for: nobody is overtaken for seconds in a burst.

    It belongs to no thread: a web server may open and close one unit of work on different ones.
    """

    def __init__(self) -> None:
        self._door = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._is_taken = False

    def __enter__(self) -> None:
        turn = threading.Event()
        with self._door:
            if self._is_taken:
                self._waiting.append(turn)
            else:
                self._is_taken = True
                turn.set()
        turn.wait()

    def __exit__(self, *_: object) -> None:
        with self._door:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_taken = False


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
    handling cost more than writing them. Raises RowExistsError where `unless` does not pass a row over.
    """
    if not rows:
        return []
    connection = session.connection()
    try:
        if connection.dialect.name == "postgresql" and not (unless or returning):
            _copy(connection, table, columns, rows)
            return []
        return _insert(connection, table, columns, rows, unless=unless, returning=returning)
    except (sqlite3.IntegrityError, psycopg.errors.UniqueViolation) as error:
        raise RowExistsError(str(error)) from error


def _insert(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    *,
    unless: Sequence[str],
    returning: Sequence[str],
) -> list[tuple[Any, ...]]:
    insert = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES "  # noqa: S608  # our own names
    tail = f" ON CONFLICT ({', '.join(unless)}) DO NOTHING" if unless else ""
    tail += f" RETURNING {', '.join(returning)}" if returning else ""
    marks_for = _numbered_marks if connection.dialect.name == "postgresql" else _marks
    written: list[tuple[Any, ...]] = []
    with closing(_cursor(connection)) as cursor:
        for start in range(0, len(rows), _PAGE):
            page = rows[start : start + _PAGE]
            values = tuple(value for row in page for value in row)
            cursor.execute(insert + marks_for(len(page), len(columns)) + tail, values)
            written += cursor.fetchall() if returning else []
    return written


def _cursor(connection: Connection) -> Any:
    """The driver's cursor. On PostgreSQL the raw one: the other searches a long statement for marks, slowly."""
    driver: Any = connection.connection.driver_connection
    return psycopg.RawCursor(driver) if connection.dialect.name == "postgresql" else driver.cursor()


@cache
def _marks(rows: int, columns: int) -> str:
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


@cache
def _numbered_marks(rows: int, columns: int) -> str:
    numbers = itertools.count(1)
    return ", ".join(f"({', '.join(f'${next(numbers)}' for _ in range(columns))})" for _ in range(rows))


def _copy(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Send rows by PostgreSQL's COPY, in the connection's own transaction.

    In its binary form: the server reads it in three quarters of the time, and bytes need no escaping.
    """
    cursor: Any = connection.connection.cursor()  # psycopg's: the DBAPI knows no COPY
    with cursor, cursor.copy(f"COPY {table.name} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(_binary_types(table, tuple(columns)))
        for row in rows:
            copy.write_row(row)


_BINARY: Final = {"BIGINT": "int8", "INTEGER": "int4", "BOOLEAN": "bool", "BYTEA": "bytea", "VARCHAR": "text"}


@cache
def _binary_types(table: Table, columns: tuple[str, ...]) -> list[str]:
    """The types that COPY must be told, each the first word of the column's own."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy brings no type for it
    return [_BINARY[re.split(r"\W", table.c[name].type.compile(dialect))[0]] for name in columns]


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": _BUSY_TIMEOUT_MS / 1000})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # SQLAlchemy begins transactions itself (below); the driver must not.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "secure_delete=ON",
            "foreign_keys=ON",
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "cache_size=-32000",
            # 16 MiB of WAL before its pages go to the database: a page that many transactions touch goes once.
            "wal_autocheckpoint=4000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        is_write = connection.get_execution_options().get("guoyuan_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")

    return engine
