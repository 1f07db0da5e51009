"""Empty databases for a test: SQLite in a file, and PostgreSQL where GUOYUAN_TEST_POSTGRES names a server."""

import atexit
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlmodel import SQLModel

from ledger.kernel.database import Database

KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
"""What a fixture takes as `params` to be of each kind."""
_templates: dict[frozenset[str], str] = {}


@contextmanager
def each_kind(kind: str, folder: Path, *, pool_size: int = 10) -> Iterator[Database]:
    """An empty database of a kind, with every table the imported packages define."""
    if kind == "sqlite":
        with _opened(f"sqlite:///{folder / secrets.token_hex(8)}.db") as database:
            SQLModel.metadata.create_all(database.engine)
            yield database
        return
    with postgres_url(template=_template()) as url, _opened(url, pool_size=pool_size) as database:
        yield database


@contextmanager
def postgres_url(*, template: str = "template1") -> Iterator[str]:
    """The address of a PostgreSQL database of one's own, as empty as its template. Skips plainly without a server."""
    name = f"test_{secrets.token_hex(8)}"
    _ask(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _address(name)
    _ask(f"DROP DATABASE {name} WITH (FORCE)")


def _template() -> str:
    """Return a database that has all tables: copying it takes a fraction of making them again for every test."""
    tables = frozenset(SQLModel.metadata.tables)
    if tables not in _templates:
        name = f"tables_{secrets.token_hex(8)}"
        _ask(f"CREATE DATABASE {name}")
        atexit.register(_ask, f"DROP DATABASE {name}")
        with _opened(_address(name)) as database:
            SQLModel.metadata.create_all(database.engine)
        _templates[tables] = name
    return _templates[tables]


@contextmanager
def _opened(url: str, *, pool_size: int = 10) -> Iterator[Database]:
    database = Database(url.replace("postgresql://", "postgresql+psycopg://", 1), pool_size=pool_size)
    yield database
    database.dispose()


def _ask(statement: str) -> None:
    with psycopg.connect(_server(), autocommit=True) as connection:
        connection.execute(statement.encode())


def _address(name: str) -> str:
    return urlsplit(_server())._replace(path=f"/{name}").geturl()


def _server() -> str:
    server = os.environ.get("GUOYUAN_TEST_POSTGRES", "")
    if not server:
        if os.environ.get("CI"):
            pytest.fail("CI must have PostgreSQL: GUOYUAN_TEST_POSTGRES is not set")
        pytest.skip("GUOYUAN_TEST_POSTGRES names no server")
    return server
