"""Column types that behave alike on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Dialect, Integer, String
from sqlalchemy.types import TypeDecorator

BigKey = BigInteger().with_variant(Integer, "sqlite")
"""A growing primary key: SQLite only counts up by itself on INTEGER."""

Key = String(2048).with_variant(String(2048, collation="C"), "postgresql")
"""Text compared byte by byte, as SQLite does; a language's order would cost PostgreSQL most of an index."""


def milliseconds(moment: datetime) -> int:
    """Return the milliseconds since 1970 that a UtcTime column keeps. Raises ValueError without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return round(moment.timestamp() * 1000)


class UtcTime(TypeDecorator[datetime]):
    """An aware time, kept as whole milliseconds since 1970, so that both databases sort it alike."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002  # SQLAlchemy's signature
        """Return milliseconds. Raises ValueError for a time without a zone."""
        if value is None:
            return None
        return milliseconds(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002  # SQLAlchemy's signature
        """Return the aware UTC time."""
        return None if value is None else datetime.fromtimestamp(value / 1000, UTC)
