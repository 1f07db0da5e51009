"""The documents name tests and cases; each must be there."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
THREATS = (ROOT / "ledger/docs/threats.md").read_text()


def named_tests() -> list[tuple[str, str]]:
    """File and test of every `path::name`; a bare `::name` is of the file named before it."""
    found, path = [], ""
    for file, name in re.findall(r"`(tests/[\w/]+\.py)?::(\w+)`", THREATS):
        path = file or path
        found.append((path, name))
    return found


@pytest.mark.parametrize(("path", "name"), named_tests())
def test_every_test_that_the_threats_name_exists(path: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / path).read_text()


@pytest.mark.parametrize("description", re.findall(r"\"([^\"]+)\"", THREATS))
def test_every_case_that_the_threats_name_exists(description: str) -> None:
    described = {
        case["description"]
        for name in ("proof", "checkpoint", "cosignature", "policy", "tlog_proof", "chain")
        for case in json.loads((ROOT / f"tests/vectors/{name}.json").read_text())
    }
    assert description in described


def test_the_threats_name_many() -> None:
    assert len(named_tests()) >= 20
