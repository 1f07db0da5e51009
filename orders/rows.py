"""Inserting a row at most once, alike on SQLite and PostgreSQL."""

from typing import Any

from sqlalchemy import literal
from sqlmodel import Session, SQLModel

from ledger.kernel.database import insert_into


def insert_once(session: Session, model: type[SQLModel], **values: Any) -> bool:
    """Insert a row unless one with the same key stands; return whether it was inserted.

    On PostgreSQL a rival that inserted first but has not committed is waited for.
    """
    table = model.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
    # RETURNING, because the row count of such an INSERT is -1 with psycopg.
    statement = insert_into(session, table).values(**values).on_conflict_do_nothing().returning(literal(1))
    return session.execute(statement).first() is not None
