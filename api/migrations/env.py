"""Run by Alembic for every command."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import text
from sqlalchemy.types import TypeDecorator
from sqlmodel.sql.sqltypes import AutoString

from api.migrations.tables import metadata
from ledger.kernel.database import Database

_MIGRATION_LOCK = 0x6779_6D69_67  # "gymig": one migration at a time in the whole PostgreSQL database


def _render(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write our column types as the plain ones they are kept in: a migration must not change with our code."""
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    if kind == "type" and isinstance(item, TypeDecorator) and type(item).__module__.startswith("ledger."):
        return f"sa.{type(item.impl_instance).__name__}()"
    del autogen
    return False


database = Database(context.config.attributes["url"])
connection_from = (
    database.engine.connect().execution_options(guoyuan_write=True) if database.is_sqlite else database.engine.connect()
)
try:
    with connection_from as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_item=_render,
            transaction_per_migration=False,
            compare_type=True,
        )
        with context.begin_transaction():
            if not database.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            context.run_migrations()
finally:
    database.dispose()
