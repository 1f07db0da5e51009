"""Inserting rows at most once, alike on SQLite and PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table
from sqlmodel import Session, SQLModel

from ledger.kernel.database import insert_into


def table_of(model: type[SQLModel]) -> Table:
    """Return the table behind a model, for statements that move many rows."""
    table: Table = model.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
    return table


def insert_new(
    session: Session, model: type[SQLModel], rows: Sequence[Mapping[str, Any]], *, key: Sequence[str]
) -> set[tuple[Any, ...]]:
    """Insert the rows whose key does not stand yet and return the keys that were inserted.

    Rows go in by key, so that two workers with the same rows wait for each other instead of
    deadlocking. On PostgreSQL a rival that inserted first but has not committed is waited for.
    """
    unique = {tuple(row[name] for name in key): row for row in reversed(rows)}
    if not unique:
        return set()
    table = table_of(model)
    # RETURNING, because the row count of such an INSERT is -1 with psycopg.
    statement = insert_into(session, table).on_conflict_do_nothing().returning(*(table.c[name] for name in key))
    return {tuple(found) for found in session.execute(statement, [dict(unique[name]) for name in sorted(unique)])}


def insert_once(session: Session, model: type[SQLModel], *, key: Sequence[str], **values: Any) -> bool:
    """Insert one row unless its key stands; return whether it was inserted."""
    return bool(insert_new(session, model, [values], key=key))
