"""The database's shape, in steps that go forward. `guoyuan migrate` takes every step not taken yet."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from ledger.kernel.settings import Settings


def configuration(url: str) -> Config:
    """Return Alembic's configuration for a database."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["url"] = url
    return config


def migrate(settings: Settings) -> None:
    """Bring the database to the newest shape. Calling twice is safe; two callers wait for each other."""
    settings.home.mkdir(parents=True, exist_ok=True)
    command.upgrade(configuration(settings.sqlalchemy_url), "head")


def current(settings: Settings) -> str | None:
    """Return the revision the database is at, or None where no step was taken yet."""
    settings.home.mkdir(parents=True, exist_ok=True)
    engine = create_engine(settings.sqlalchemy_url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
