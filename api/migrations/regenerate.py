"""Write the initial migration again from the tables, until a first release has been made.

    python -m api.migrations.regenerate

Afterwards every change is a migration of its own, and this file goes.
"""

import tempfile
from pathlib import Path

from alembic import command

from api.migrations import configuration

REVISION = "0001"


def main() -> None:
    """Replace `versions/0001_initial.py`."""
    versions = Path(__file__).parent / "versions"
    versions.mkdir(exist_ok=True)
    for old in versions.glob("*.py"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        config = configuration(f"sqlite:///{folder}/empty.db")
        config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
        command.revision(config, message="initial", autogenerate=True, rev_id=REVISION)


if __name__ == "__main__":
    main()
