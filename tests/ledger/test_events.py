"""EPCIS 2.0 events in and out of their JSON-LD form."""

import json
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import EventError
from ledger.events import ObjectEvent, document, parse_event

GOLDEN = Path(__file__).resolve().parent.parent / "vectors" / "golden"
MINIMAL = {
    "type": "ObjectEvent",
    "eventTime": "2026-04-18T11:05:00+08:00",
    "eventTimeZoneOffset": "+08:00",
    "action": "OBSERVE",
}


def events_in(path: Path) -> list[dict[str, Any]]:
    """Every event of a document, or of the answer to a query."""
    document_ = json.loads(path.read_text(encoding="utf-8"))
    body = document_.get("epcisBody", {})
    answer = body.get("queryResults", {}).get("resultsBody", {})
    return list(body.get("eventList") or answer.get("eventList") or ([document_] if "eventTime" in document_ else []))


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.jsonld")), ids=lambda path: path.stem)
def test_the_golden_chain_comes_back_exactly(path: Path) -> None:
    for event in events_in(path):
        assert document(parse_event(event)) == event


@pytest.mark.shared
def test_every_official_example_is_read_and_kept(shared: Path) -> None:
    """Only times are written anew, and lists that hold nothing are left away: docs/conformance.md."""
    paths = sorted((shared / "vectors/gs1-EPCIS/JSON").rglob("*.jsonld"))
    read = 0
    for path in paths:
        for event in events_in(path):
            assert _comparable(document(parse_event(event))) == _comparable(event), path.name
            read += 1
    assert len(paths) >= 31
    assert read >= 36


def _comparable(event: dict[str, Any]) -> dict[str, Any]:
    kept = {
        key: value for key, value in event.items() if key not in {"@context", "eventTime", "recordTime"} and value != []
    }
    if "errorDeclaration" in kept:
        kept["errorDeclaration"] = {k: v for k, v in kept["errorDeclaration"].items() if k != "declarationTime"}
    return kept


@pytest.mark.shared
def test_the_shared_golden_chain_is_ours(shared: Path) -> None:
    for path in sorted((shared / "events").glob("*.jsonld")):
        assert (GOLDEN / path.name).read_bytes() == path.read_bytes()


def test_times_become_utc_with_milliseconds() -> None:
    event = parse_event({**MINIMAL, "errorDeclaration": {"declarationTime": "2026-04-18T12:00:00.5+08:00"}})
    assert event.event_time == "2026-04-18T03:05:00.000Z"
    assert event.error_declaration is not None
    assert event.error_declaration.declaration_time == "2026-04-18T04:00:00.500Z"


@pytest.mark.parametrize(
    "part",
    [
        {"gy:sentence": "packed/1", "gy:pack": {"gy:fruits": 13}},
        {"readPoint": {"id": "https://id.gs1.org/414/9521002000108", "gy:door": "left"}},
        {"bizLocation": {"id": "https://id.gs1.org/414/9521002000108", "example:room": {"example:n": 1}}},
        {
            "errorDeclaration": {
                "declarationTime": "2026-04-18T03:05:00.000Z",
                "gy:declaredBy": "https://id.gs1.org/417/9521002000016",
            }
        },
        {"sensorElementList": [{"sensorReport": [{"value": 1, "example:x": "y"}], "example:z": ["a"]}]},
        {"sensorElementList": [{"sensorReport": [{"value": 1}], "sensorMetadata": {"example:height": "2 m"}}]},
        {"sensorElementList": [{"sensorReport": [{"booleanValue": True, "bizRules": "https://x.example/1"}]}]},
    ],
)
def test_extensions_stay_where_they_were(part: dict[str, Any]) -> None:
    assert document(parse_event({**MINIMAL, **part})) == {**MINIMAL, "eventTime": "2026-04-18T03:05:00.000Z", **part}


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ({"type": "QuantityEvent"}, "$.type"),
        ({"type": 7}, "$.type"),
        ({"colour": "red"}, "$.colour"),
        ({"extensions": {}}, "$.extensions"),
        ({"parentID": "urn:x"}, "$.parentID"),
        ({"action": "MOVE"}, "$.action"),
        ({"eventTime": "yesterday"}, "$.eventTime"),
        ({"eventTime": "2026-04-18T03:05:00"}, "$.eventTime"),
        ({"eventTime": 7}, "$.eventTime"),
        ({"eventTimeZoneOffset": "8"}, "$.eventTimeZoneOffset"),
        ({"epcList": "urn:x"}, "$.epcList"),
        ({"epcList": [""]}, "$.epcList[0]"),
        ({"epcList": ["urn:x"] * 2501}, "$.epcList"),
        ({"quantityList": [{"quantity": 1}]}, "$.quantityList[0]"),
        ({"quantityList": [{"epcClass": "urn:x", "colour": "red"}]}, "$.quantityList[0]"),
        ({"quantityList": [{"epcClass": "urn:x", "gy:colour": "red"}]}, "$.quantityList[0]"),
        ({"readPoint": {"id": "urn:x", "door": "left"}}, "$.readPoint.door"),
        ({"readPoint": "urn:x"}, "$.readPoint"),
        ({"errorDeclaration": {"declarationTime": "now"}}, "$.errorDeclaration.declarationTime"),
        ({"errorDeclaration": {}}, "$.errorDeclaration"),
        ({"errorDeclaration": 7}, "$.errorDeclaration"),
        ({"sensorElementList": [7]}, "$.sensorElementList[0]"),
        ({"sensorElementList": [{"sensorReport": [7]}]}, "$.sensorElementList[0].sensorReport[0]"),
        ({"sensorElementList": [{"sensorReport": [{"colour": 1}]}]}, "$.sensorElementList[0].sensorReport[0].colour"),
        ({"sensorElementList": [{"sensorReport": [{"value": "1"}]}]}, "$.sensorElementList[0].sensorReport[0].value"),
        ({"sensorElementList": [{}]}, "$.sensorElementList[0]"),
        ({"ilmd": []}, "$.ilmd"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(part: dict[str, Any], path: str) -> None:
    with pytest.raises(EventError) as refused:
        parse_event({**MINIMAL, **part})
    assert refused.value.path == path


def test_events_are_frozen() -> None:
    event = parse_event(MINIMAL)
    assert isinstance(event, ObjectEvent)
    with pytest.raises(AttributeError):
        event.event_id = "urn:x"  # type: ignore[misc]
