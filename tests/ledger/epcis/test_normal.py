"""The normal form: one spelling, no other meaning."""

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.canonical import canonical
from ledger.epcis.contexts import Context
from ledger.epcis.normal import normal_event, normal_events
from ledger.epcis.profile import problems
from ledger.epcis.reading import read
from ledger.errors import DocumentError, EventError, UnknownContextError
from ledger.events import document, parse_event
from tests.ledger.epcis.generated import CONTEXT, OFFICIAL, events, respelled

HERE = Context.of(CONTEXT)
FEWER = settings(max_examples=60)
EVENT = {
    "type": "ObjectEvent",
    "eventTime": "2026-04-18T11:05:00+08:00",
    "eventTimeZoneOffset": "+08:00",
    "action": "OBSERVE",
    "epcList": ["urn:epc:id:sgtin:4012345.011111.9876"],
}


def normal(**fields: Any) -> dict[str, Any]:
    return normal_event({**EVENT, **fields}, HERE)


@given(events)
@FEWER
def test_doing_it_twice_changes_nothing(event: dict[str, Any]) -> None:
    once = normal_event(event, HERE)
    assert normal_event(once) == once


@given(events, st.integers())
@FEWER
def test_every_spelling_of_an_event_has_one_normal_form(event: dict[str, Any], seed: int) -> None:
    other, context = respelled(event, random.Random(seed))
    found = normal_event(other, Context.of(context))
    assert canonical(found) == canonical(normal_event(event, HERE))


@given(events)
@FEWER
def test_the_event_itself_is_not_changed(event: dict[str, Any]) -> None:
    before = msgspec.json.encode(event)
    normal_event(event, HERE)
    assert msgspec.json.encode(event) == before


@pytest.mark.shared
def test_every_valid_document_keeps_its_events_through_the_normal_form_and_the_typed_model(shared: Path) -> None:
    seen = 0
    for path in sorted((shared / "vectors").rglob("*.json*")):
        try:
            read_document = read(path.read_bytes())
            found = normal_events(read_document)
        except (DocumentError, EventError):
            continue
        if problems(read_document):
            continue
        for event in found:
            assert normal_event(event) == event, path
            if ":" in event["type"]:
                continue  # a type of event that the standard does not have: valid, but no type of ours
            assert canonical(document(parse_event(event))) == canonical(event), path
            seen += 1
    assert seen >= 100


@pytest.mark.shared
def test_the_golden_chain_is_in_normal_form_already(shared: Path) -> None:
    for path in sorted((shared / "events").glob("*.jsonld")):
        read_document = read(path.read_bytes())
        for event, found in zip(read_document.events, normal_events(read_document), strict=True):
            assert found == {key: value for key, value in event.items() if key != "@context"}, path


@pytest.mark.parametrize(
    ("field", "given_value", "expected"),
    [
        ("type", "epcis:ObjectEvent", "ObjectEvent"),
        ("type", "https://ref.gs1.org/epcis/ObjectEvent", "ObjectEvent"),
        ("eventTime", "2026-04-18T11:05:00+08:00", "2026-04-18T03:05:00.000Z"),
        ("eventTime", "2026-04-18T03:05:00.1414Z", "2026-04-18T03:05:00.141Z"),
        ("eventTime", "2026-04-18T03:05:00.1415Z", "2026-04-18T03:05:00.142Z"),
        ("eventTime", "2026-04-18T03:05:00.1425Z", "2026-04-18T03:05:00.143Z"),
        ("eventTime", "2026-12-31T23:59:59.9996Z", "2027-01-01T00:00:00.000Z"),
        ("eventTime", "2026-04-18T03:05:00", "2026-04-18T03:05:00"),
        ("eventTime", "9999-12-31T23:59:59.9999Z", "9999-12-31T23:59:59.9999Z"),
        ("eventTime", "yesterday", "yesterday"),
        ("eventTime", 7, 7),
        ("bizStep", "cbv:BizStep-shipping", "shipping"),
        ("bizStep", "https://ref.gs1.org/cbv/BizStep-shipping", "shipping"),
        ("bizStep", "urn:epcglobal:cbv:bizstep:shipping", "shipping"),
        ("bizStep", "urn:epcglobal:cbv:bizstep:dancing", "https://ref.gs1.org/cbv/BizStep-dancing"),
        ("bizStep", "ex:dancing", "https://ns.example.com/epcis/dancing"),
        ("bizStep", "in_transit", "in_transit"),
        ("disposition", "urn:epcglobal:cbv:disp:in_transit", "in_transit"),
        ("persistentDisposition", {"set": "cbv:Disp-recalled"}, {"set": ["recalled"]}),
        ("epcList", "urn:epc:id:sscc:4012345.3111111111", ["https://id.gs1.org/00/340123451111111111"]),
        ("certificationInfo", ["https://example.org/1"], "https://example.org/1"),
        ("certificationInfo", ["https://e/1", "https://e/2"], ["https://e/1", "https://e/2"]),
        ("eventTime", "2026-04-18t03:05:00z", "2026-04-18T03:05:00.000Z"),
        ("readPoint", "urn:epc:id:sgln:4012345.00005.0", {"id": "https://id.gs1.org/414/4012345000054"}),
        ("ex:flag", True, True),
        ("ex:link", "ex:thing", "https://ns.example.com/epcis/thing"),
        ("ex:words", "ex: not a name", "ex: not a name"),
        ("ex:id", "urn:epc:id:sscc:4012345.3111111111", "urn:epc:id:sscc:4012345.3111111111"),
        ("ex:number", 1.0, 1),
        ("ex:number", "1.0", "1.0"),
        ("ex:big", 1e300, 1e300),
        ("ex:list", [[1.0, None], None, []], [[1]]),
    ],
)
def test_fields_come_out_in_one_spelling(field: str, given_value: object, expected: object) -> None:
    name = field.replace("ex:", "https://ns.example.com/epcis/")
    assert normal(**{field: given_value})[name] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.0, 1), (2, 2), ("1", 1), ("1.50", 1.5), ("1e3", 1000), (" 26 ", 26), (-0.0, 0), ("0.1", 0.1)],
    ids=repr,
)
def test_numbers_are_numbers(value: object, expected: float) -> None:
    found = normal(quantityList=[{"epcClass": "urn:x", "quantity": value}])["quantityList"][0]["quantity"]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("value", ["many", "1e400", "0.1234567890123456789", "123456789012345678901", "1_000", None])
def test_text_that_no_number_holds_exactly_is_left_to_the_profile(value: str | None) -> None:
    found = normal(quantityList=[{"epcClass": "urn:x", "quantity": value}])["quantityList"][0]
    assert found.get("quantity") == value


def test_absence_has_one_form() -> None:
    assert normal(
        disposition=None, sourceList=[], readPoint=None, ilmd={}, certificationInfo=[], persistentDisposition={}
    ) == normal(**{"ex:nothing": None, "ex:none": []})


def test_two_prefixes_for_one_name_space_are_one_field_with_two_values() -> None:
    context = Context.of([OFFICIAL, {"a": "https://ns.example.com/", "b": "https://ns.example.com/"}])
    found = normal_event({**EVENT, "a:colour": "red", "b:colour": "green"}, context)
    assert found["https://ns.example.com/colour"] == ["red", "green"]


def test_an_events_own_context_counts_for_it_alone() -> None:
    data = {
        "type": "EPCISDocument",
        "@context": [OFFICIAL],
        "epcisBody": {
            "eventList": [{**EVENT, "@context": {"p": "https://p.example/"}, "p:x": 1}, {**EVENT, "p:x": 1}],
        },
    }
    first, second = normal_events(read(msgspec.json.encode(data)))
    assert "https://p.example/x" in first
    assert "p:x" in second
    assert "@context" not in first


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([{**EVENT, "@context": "https://e/c"}], "$[0].@context"),
        ([{**EVENT, "@context": OFFICIAL}, {**EVENT, "@context": [OFFICIAL, "https://e/c"]}], "$[1].@context[1]"),
        ({**EVENT, "@context": "https://e/c"}, "$.@context"),
        ({"type": "EPCISDocument", "@context": "https://e/c", "epcisBody": {"eventList": []}}, "$.@context"),
    ],
)
def test_an_unknown_context_is_named_where_it_stands(value: object, path: str) -> None:
    with pytest.raises(UnknownContextError) as caught:
        normal_events(read(msgspec.json.encode(value)))
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": 1}, "$.type"),
        ([1], "$[0]"),
        ([EVENT, {"type": 7}], "$[1].type"),
        ({"type": "EPCISDocument", "@context": OFFICIAL}, "$.epcisBody.eventList"),
        ({"type": "EPCISDocument", "@context": OFFICIAL, "epcisBody": []}, "$.epcisBody.eventList"),
        (
            {"type": "EPCISDocument", "@context": OFFICIAL, "epcisBody": {"eventList": [EVENT, "x"]}},
            "$.epcisBody.eventList[1]",
        ),
        (
            {
                "type": "EPCISDocument",
                "@context": OFFICIAL,
                "epcisBody": {"eventList": [{**EVENT, "gy:sentence": "x"}]},
            },
            "$.epcisBody.eventList[0].gy:sentence",
        ),
    ],
)
def test_what_is_no_event_is_refused_by_its_path(value: object, path: str) -> None:
    with pytest.raises(EventError) as caught:
        normal_events(read(msgspec.json.encode(value)))
    assert caught.value.path == path


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*"abc", "ex:a", "id", "type", "time"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                *normal(),
                "readPoint",
                "ilmd",
                "sensorElementList",
                "quantityList",
                "sourceList",
                "ex:a",
                "errorDeclaration",
                "persistentDisposition",
            ]
        ),
        _json,
    )
)
def test_any_json_in_any_field_has_a_normal_form_that_stays(event: dict[str, Any]) -> None:
    once = normal_event(event, HERE)
    assert normal_event(once, Context.of(None)) == once
