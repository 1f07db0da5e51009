"""`guoyuan epcis validate`: one line per file, exit codes that a script can use."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from api.cli import app
from api.epcis_commands import MAX_FILE_BYTES

CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
EVENT = {
    "@context": CONTEXT,
    "type": "ObjectEvent",
    "eventTime": "2026-04-18T11:05:00+08:00",
    "eventTimeZoneOffset": "+08:00",
    "action": "OBSERVE",
    "epcList": ["urn:epc:id:sgtin:4012345.011111.9876"],
}


@pytest.fixture
def good(tmp_path: Path) -> str:
    return written(tmp_path / "good.jsonld", EVENT)


@pytest.fixture
def bad(tmp_path: Path) -> str:
    return written(tmp_path / "bad.jsonld", {**EVENT, "bizStep": "shiping", "action": "SEE"})


def written(path: Path, value: Any) -> str:
    path.write_text(json.dumps(value))
    return str(path)


def run(*arguments: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["epcis", "validate", *arguments], input=given)


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_valid_documents_end_with_0(good: str) -> None:
    result = run(good, good, "--json")
    assert result.exit_code == 0
    assert lines(result) == [{"file": good, "valid": True, "errors": []}] * 2


def test_an_invalid_one_among_them_ends_with_1_and_names_every_problem(good: str, bad: str) -> None:
    result = run(bad, good, "--json")
    assert result.exit_code == 1
    first, second = lines(result)
    assert (first["file"], first["valid"], second["valid"]) == (bad, False, True)
    assert [error["path"] for error in first["errors"]] == ["$.action", "$.bizStep"]
    assert all(error.keys() == {"path", "reason"} for error in first["errors"])


def test_people_read_the_same(good: str, bad: str) -> None:
    result = run(good, bad)
    assert result.exit_code == 1
    assert f"{good}: valid" in result.stdout
    assert f"{bad}: 2 problems" in result.stdout
    assert "$.bizStep: 'shiping' is not a business step" in result.stdout
    assert "did you mean 'shipping'?" in result.stdout


def test_standard_input_is_a_file_too() -> None:
    result = run("-", "--json", given=json.dumps(EVENT).encode())
    assert result.exit_code == 0
    assert lines(result) == [{"file": "-", "valid": True, "errors": []}]


def test_an_unreadable_file_ends_with_2_and_the_others_are_still_judged(tmp_path: Path, good: str, bad: str) -> None:
    result = run(str(tmp_path / "none"), bad, str(tmp_path), good, "--json")
    assert result.exit_code == 2
    assert [line["valid"] for line in lines(result)] == [False, False, False, True]
    assert result.stderr.count("guoyuan: ") == 2
    assert run().exit_code == 2
    assert run(good, "--no-such-option").exit_code == 2


def test_lenient_takes_more(tmp_path: Path) -> None:
    file = written(tmp_path / "loose.json", {**EVENT, "bizStep": "urn:epcglobal:cbv:bizstep:shipping"})
    assert run(file).exit_code == 1
    assert run(file, "--lenient").exit_code == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 1_000_000,
        b"\xff\xfe{\x00}\x00",
        b'{"type":"\\ud800"}',
        b'{"a":1,"a":2}',
        b'{"a":' + b"9" * 100_000 + b"}",
        b"\x00" * 1000,
    ],
    ids=lambda data: repr(data)[:20],
)
def test_hostile_bytes_are_invalid_and_no_more(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "hostile"
    file.write_bytes(data)
    result = run(str(file), "--json")
    assert result.exit_code == 1
    [line] = lines(result)
    assert line["errors"][0]["path"].startswith("$")
    assert line["errors"][0]["reason"]


def test_a_file_of_more_than_the_limit_is_not_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as opened:
        opened.truncate(MAX_FILE_BYTES * 100)
    result = run(str(file), "--json")
    assert result.exit_code == 1
    assert "larger than" in lines(result)[0]["errors"][0]["reason"]


def test_a_name_that_is_no_text_does_not_stop_it(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.json")
    path.write_text(json.dumps(EVENT))
    assert lines(run(str(path), "--json"))[0]["valid"]


@pytest.mark.shared
def test_the_official_examples_are_valid_and_the_invalid_ones_are_not(shared: Path) -> None:
    official = sorted(map(str, (shared / "vectors/gs1-EPCIS/JSON").rglob("*.jsonld")))
    assert run(*official, "--json").exit_code == 0
    invalid = sorted(map(str, (shared / "vectors/openepcis-test-resources").glob("*/EPCIS/JSON/*/Invalid/*.json")))
    result = run(*invalid, "--json")
    assert len(invalid) >= 13
    assert not any(line["valid"] for line in lines(result))
