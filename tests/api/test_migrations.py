import os
import subprocess
import sys
import threading
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

import api.migrations
from api.migrations import configuration, current, migrate, newest
from api.migrations.tables import metadata
from ledger.kernel.database import Database
from ledger.kernel.settings import Settings
from tests.api.test_errors import every_refusal


def test_migrating_an_empty_database_makes_exactly_our_tables(either: Settings) -> None:
    assert current(either) is None
    migrate(either)
    assert current(either) == "0001"
    database = Database(either.sqlalchemy_url)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = compare_metadata(context, metadata)
    database.dispose()
    assert differences == [], "run: python -m api.migrations.regenerate"


def test_migrating_again_changes_nothing(either: Settings) -> None:
    migrate(either)
    migrate(either)
    assert current(either) == "0001"


def test_two_that_migrate_at_once_wait_for_each_other(either: Settings) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        done = subprocess.run(
            [sys.executable, "-m", "api.cli", "migrate"],
            env=os.environ
            | {"GUOYUAN_HOME": str(either.home), "GUOYUAN_DATABASE_URL": either.database_url, "GUOYUAN_MQTT_PORT": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            failed.append(AssertionError(done.stderr))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert current(either) == "0001"


def test_no_table_of_any_module_is_left_out() -> None:
    every_refusal()  # imports every module there is
    listing = "from api.migrations.tables import metadata; print('\\n'.join(metadata.tables))"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == set(metadata.tables)


def test_every_table_is_named_after_its_package() -> None:
    prefixes = {"ledger", "contracts", "sensors", "orders", "grading", "api", "sequence"}
    assert {name.partition("_")[0] for name in metadata.tables} <= prefixes


def test_a_kept_migration_does_not_change_with_our_code() -> None:
    for path in (Path(api.migrations.__file__).parent / "versions").glob("*.py"):
        text = path.read_text()
        assert "ledger.kernel" not in text
        assert "sqlmodel" not in text


def test_the_database_refuses_an_unknown_account_for_a_session(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    migrate(settings)
    database = Database(settings.sqlalchemy_url)
    keys = inspect(database.engine).get_foreign_keys("api_session")
    database.dispose()
    assert [key["referred_table"] for key in keys] == ["api_person"]


def test_the_newest_step_is_the_one_that_migrating_ends_at(either: Settings) -> None:
    """Found by its file's name, so that a start with nothing to migrate loads none of Alembic."""
    assert newest() == ScriptDirectory.from_config(configuration("sqlite://")).get_current_head()
