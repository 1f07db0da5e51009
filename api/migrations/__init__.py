"""The database's shape, in steps that go forward. `guoyuan migrate` takes every step not taken yet."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, inspect, text

from ledger.kernel.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config

_STEPS = Path(__file__).parent / "versions"


def configuration(url: str) -> "Config":
    """Return Alembic's configuration for a database."""
    from alembic.config import Config  # noqa: PLC0415  # loaded only where there is a step to take

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["url"] = url
    return config


def migrate(settings: Settings) -> None:
    """Bring the database to the newest shape. Calling twice is safe; two callers wait for each other."""
    if current(settings) == newest():
        return
    from alembic import command  # noqa: PLC0415  # as above

    command.upgrade(configuration(settings.sqlalchemy_url), "head")


def newest() -> str:
    """Return the revision of the last step there is; a step's file begins with its number."""
    return max(path.name.partition("_")[0] for path in _STEPS.glob("[0-9]*_*.py"))


def current(settings: Settings) -> str | None:
    """Return the revision the database is at, or None where no step was taken yet."""
    settings.home.mkdir(parents=True, exist_ok=True)
    engine = create_engine(settings.sqlalchemy_url)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    finally:
        engine.dispose()
