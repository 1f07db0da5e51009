import re
from pathlib import Path

import pytest

import api
from ledger.kernel.settings import Settings

DEPLOY = Path(api.__file__).parent / "deploy"


def test_the_example_names_every_setting_and_no_other() -> None:
    text = (DEPLOY / ".env.example").read_text()
    named = re.findall(r"^#?GUOYUAN_([A-Z0-9_]+)=", text, re.MULTILINE)
    assert sorted(named) == sorted(name.upper() for name in Settings.model_fields)


def test_a_default_that_the_example_shows_is_the_default() -> None:
    text = (DEPLOY / ".env.example").read_text()
    for name, value in re.findall(r"^#GUOYUAN_([A-Z0-9_]+)=(.*)$", text, re.MULTILINE):
        default = Settings.model_fields[name.lower()].get_default()
        assert value == f"{default:g}" if isinstance(default, float) else value == str(default), name


@pytest.mark.parametrize("unit", ["web", "worker", "beat"])
def test_every_unit_starts_a_command_that_is_there(unit: str) -> None:
    from api.cli import app

    text = (DEPLOY / f"guoyuan-{unit}.service").read_text()
    match = re.search(r"^ExecStart=\S+/guoyuan (\w+)", text, re.MULTILINE)
    assert match is not None
    assert match[1] in {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    }
