"""`guoyuan epcis hash`: one line of JSON for each file, and nothing refused that has a hash."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli import app

OFFICIAL = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
EVENT = {
    "type": "ObjectEvent",
    "eventTime": "2020-03-04T11:00:30+01:00",
    "eventTimeZoneOffset": "+01:00",
    "epcList": ["urn:epc:id:sgtin:0614141.011111.987"],
    "action": "OBSERVE",
}
TEXT = (
    "eventType=ObjectEventeventTime=2020-03-04T10:00:30.000ZeventTimeZoneOffset=+01:00"
    "epcListepc=https://id.gs1.org/01/00614141111114/21/987action=OBSERVE"
)


def document(**others: Any) -> dict[str, Any]:
    return {
        "@context": OFFICIAL,
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2020-03-04T11:00:30Z",
        "epcisBody": {"eventList": [EVENT, {**EVENT, "action": "ADD"}]},
        **others,
    }


def run(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["epcis", "hash", *arguments])
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result


def written(folder: Path, name: str, value: Any) -> str:
    path = folder / name
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return str(path)


def test_each_file_is_one_line_of_json_with_its_hashes_in_order(tmp_path: Path) -> None:
    first, second = (
        written(tmp_path, "a.json", document()),
        written(tmp_path, "b.json", {"@context": OFFICIAL, **EVENT}),
    )
    lines = [json.loads(line) for line in run(first, second, "--json").stdout.splitlines()]
    assert [line["file"] for line in lines] == [first, second]
    assert [len(line["hashes"]) for line in lines] == [2, 1]
    assert lines[0]["hashes"][0] == lines[1]["hashes"][0] != lines[0]["hashes"][1]
    assert all(set(line) == {"file", "hashes"} for line in lines)


def test_for_a_person_each_hash_is_one_line_and_the_text_above_it_if_asked(tmp_path: Path) -> None:
    file = written(tmp_path, "a.json", {"@context": OFFICIAL, **EVENT})
    (digest,) = run(file).stdout.splitlines()
    assert run(file, "--prehash").stdout.splitlines() == [TEXT, digest]
    assert json.loads(run(file, "--prehash", "--json").stdout)["prehashes"] == [TEXT]


def test_an_invalid_document_is_hashed_and_named(tmp_path: Path) -> None:
    file = written(tmp_path, "a.json", document(schemaVersion=2, epcisBody={"event": EVENT}))
    result = run(file, "--json")
    assert len(json.loads(result.stdout)["hashes"]) == 1
    assert "not valid EPCIS 2.0 (strict)" in result.stderr


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (b"<?xml version='1.0'?><a/>", "$", "XML"),
        (b"{", "$", "not JSON"),
        (b"[1]", "$[0]", "not an event"),
        (b"{}", "$.type", "not an EPCIS event"),
        (document(**{"@context": ["https://example.com/context.jsonld"]}), "$.@context[0]", "example.com"),
        (document(epcisBody={}), "$.epcisBody.eventList", "not a list"),
    ],
    ids=["xml", "broken", "list of others", "no event", "unknown context", "no events"],
)
def test_what_has_no_hash_is_refused_with_its_path_and_the_others_go_on(
    tmp_path: Path, value: Any, path: str, reason: str
) -> None:
    bad, good = written(tmp_path, "bad", value), written(tmp_path, "good.json", document())
    result = run(bad, good, "--json", code=2)
    refused, hashed = (json.loads(line) for line in result.stdout.splitlines())
    assert refused["hashes"] == []
    assert refused["errors"][0]["path"] == path
    assert reason in refused["errors"][0]["reason"]
    assert f"{bad}: {path}: " in result.stderr
    assert len(hashed["hashes"]) == 2


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    assert "No such file" in run(str(tmp_path / "none.json"), code=2).stderr


def test_an_unreadable_file_has_its_line_and_ends_with_2(tmp_path: Path) -> None:
    good, missing = written(tmp_path, "a.json", document()), str(tmp_path / "missing.json")
    result = run(good, missing, "--json", code=2)
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert len(first["hashes"]) == 2
    assert second == {"file": missing, "hashes": [], "errors": [{"path": "$", "reason": "cannot be read"}]}
    assert [line for line in result.stderr.splitlines() if "missing.json" in line] == [
        f"guoyuan: {missing}: No such file or directory"
    ]
