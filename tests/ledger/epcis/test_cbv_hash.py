"""The CBV 2.0 event hash: the vectors of the reference generator, and the laws of a hash."""

import hashlib
import json
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.epcis import cbv_hash, identifiers
from ledger.epcis.cbv_hash import document_hashes, document_prehashes, event_hash, hash_of, ignored_fields, prehash
from ledger.epcis.contexts import ENTRY_CONTEXT, Context
from ledger.epcis.normal import normal_event
from ledger.epcis.reading import Document, read
from tests.ledger.epcis import xml_events
from tests.ledger.epcis.generated import CONTEXT, NS, OFFICIAL, events, respelled, shuffled

HERE = Context.of(CONTEXT)
FEWER = settings(max_examples=60)
GENERATOR = "vectors/epcis-event-hash-generator"
EVENT = {
    "type": "ObjectEvent",
    "eventTime": "2020-03-04T11:00:30+01:00",
    "eventTimeZoneOffset": "+01:00",
    "epcList": ["urn:epc:id:sgtin:0614141.011111.987"],
    "action": "OBSERVE",
}


def text(**fields: Any) -> str:
    """What the fields add to the pre-hash text of EVENT."""
    return prehash(normal_event({**EVENT, **fields}, HERE)).replace(prehash(normal_event(EVENT, HERE)), "")


# --- the vectors -----------------------------------------------------------------------------------


def from_xml(path: Path) -> Document:
    return read(json.dumps(xml_events.document(path)).encode())


@pytest.mark.shared
def test_every_json_hash_vector_matches(shared: Path) -> None:
    paths = [path for path in sorted((shared / GENERATOR).rglob("*.json*")) if path.with_suffix(".hashes").exists()]
    assert len(paths) >= 5
    for path in paths:
        assert document_hashes(read(path.read_bytes())) == path.with_suffix(".hashes").read_text().split(), path.name


@pytest.mark.shared
def test_every_xml_hash_vector_matches_once_it_is_said_in_json(shared: Path) -> None:
    paths = [path for path in sorted((shared / GENERATOR).rglob("*.xml")) if path.with_suffix(".hashes").exists()]
    for path in paths:
        if not xml_events.has_extension_lists(path):
            assert document_hashes(from_xml(path)) == path.with_suffix(".hashes").read_text().split(), path.name


@pytest.mark.shared
def test_every_equal_set_is_equal(shared: Path) -> None:
    paths = sorted(path for path in (shared / GENERATOR / "expected_equal").iterdir() if path.is_file())
    assert paths
    for path in paths:
        document = from_xml(path) if path.suffix == ".xml" else read(path.read_bytes())
        assert len(document.events) >= 1
        assert len(set(document_hashes(document))) == 1, path.name


@pytest.mark.shared
def test_the_prehash_texts_are_those_of_the_generator_where_they_still_give_its_hashes(shared: Path) -> None:
    seen = 0
    for path in sorted((shared / GENERATOR / "examples").glob("*.jsonld")):
        expected = path.with_suffix(".prehashes")
        if expected.exists():
            hashes = path.with_suffix(".hashes").read_text().split()
            for found, line, digest in zip(
                document_prehashes(read(path.read_bytes())), expected.read_text().splitlines(), hashes, strict=False
            ):
                if hash_of(line) == digest:
                    assert found == line, path.name
                    seen += 1
    assert seen >= 5


def test_the_documented_example_is_true() -> None:
    page = (Path(__file__).resolve().parents[3] / "ledger/docs/event-hash.md").read_text()
    shown = {
        name: page.partition(f"<!-- example:{name} -->\n```")[2].partition("\n")[2].partition("```")[0]
        for name in ("document", "prehash", "hash")
    }
    document = read(shown["document"].encode())
    assert document_prehashes(document) == ["".join(shown["prehash"].splitlines())]
    assert document_hashes(document) == [shown["hash"].strip()]


# --- the laws --------------------------------------------------------------------------------------


@given(events, st.integers())
@FEWER
def test_no_order_of_keys_or_lists_changes_the_hash(event: dict[str, Any], seed: int) -> None:
    found = normal_event(event, HERE)
    assert prehash(shuffled(found, random.Random(seed))) == prehash(found)
    assert prehash(normal_event(shuffled(event, random.Random(seed)), HERE)) == prehash(found)


@given(events, st.integers())
@FEWER
def test_no_spelling_changes_the_hash(event: dict[str, Any], seed: int) -> None:
    other, context = respelled(event, random.Random(seed))
    assert prehash(normal_event(other, Context.of(context))) == prehash(normal_event(event, HERE))


@given(events, st.data())
@settings(max_examples=100)
def test_changing_any_hashed_value_changes_the_hash(event: dict[str, Any], data: st.DataObject) -> None:
    found = normal_event(event, HERE)
    places = list(_leaves(found))
    where = data.draw(st.sampled_from(places))
    changed = deepcopy(found)
    part: Any = changed
    for step in where[:-1]:
        part = part[step]
    part[where[-1]] = _other(part[where[-1]])
    assert prehash(changed) != prehash(found), where


@given(events, st.data())
@FEWER
def test_leaving_out_any_field_changes_the_hash(event: dict[str, Any], data: st.DataObject) -> None:
    found = normal_event(event, HERE)
    name = data.draw(st.sampled_from(sorted(found)))
    assert event_hash({key: value for key, value in found.items() if key != name}) != event_hash(found)


@given(events, st.text(), st.datetimes())
@FEWER
def test_what_is_not_hashed_never_changes_the_hash(event: dict[str, Any], words: str, moment: Any) -> None:
    others = {
        "eventID": f"urn:uuid:{words}",
        "recordTime": moment.isoformat() + "Z",
        "errorDeclaration": {"declarationTime": moment.isoformat() + "Z", "reason": words, "ex:why": words},
        "rdfs:comment": words,
    }
    assert event_hash(normal_event({**event, **others}, HERE)) == event_hash(normal_event(event, HERE))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "ex:a", "fooList", "id", "type", "time", "source"]), inner, max_size=3)
    ),
    max_leaves=8,
)
_NAMES = [
    *("type", "eventTime", "epcList", "quantityList", "bizTransactionList", "sourceList", "readPoint", "bizStep"),
    *("sensorElementList", "persistentDisposition", "ilmd", "errorDeclaration", "certificationInfo", "ex:a", "b"),
]


@given(st.dictionaries(st.sampled_from(_NAMES), _json))
def test_whatever_json_holds_has_a_hash(event: dict[str, Any]) -> None:
    assert event_hash(event).startswith("ni:///sha-256;")


def _leaves(value: Any, where: tuple[Any, ...] = ()) -> Any:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*where, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _leaves(item, (*where, i))
    else:
        yield where


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return value + "z"


def test_long_texts_and_names_are_not_kept_in_memory() -> None:
    def kept() -> tuple[int, ...]:
        return tuple(
            cache.cache_info().currsize
            for cache in (cbv_hash._remembered_text, cbv_hash._remembered_label, identifiers._canonical)
        )

    before = kept()
    for i in range(50):
        long = f"https://example.org/01/{i}" + "x" * 5000
        event_hash(normal_event({"ex:" + long: long, "ex:note": long}, HERE))
    assert sum(kept()) - sum(before) <= 2
    assert len(ENTRY_CONTEXT._keys) <= 1000


# --- the rules, one by one -----------------------------------------------------------------------------


def test_the_hash_is_sha_256_of_the_text_in_utf_8() -> None:
    found = normal_event({**EVENT, "ex:note": "果源"}, HERE)
    digest = hashlib.sha256(prehash(found).encode()).hexdigest()
    assert event_hash(found) == f"ni:///sha-256;{digest}?ver=CBV2.0"


def test_transactions_and_parties_stand_at_the_end_type_first() -> None:
    found = prehash(
        normal_event(
            {
                "ex:last": "x",
                "sourceList": [{"source": "urn:x:s", "type": "location"}],
                "destinationList": [{"destination": "urn:x:d", "type": "location"}],
                "bizTransactionList": [{"bizTransaction": "urn:x:2"}, {"bizTransaction": "urn:x:1", "type": "po"}],
                "sensorElementList": [{"sensorReport": [{"type": "Temperature", "value": 4.0, "uom": "CEL"}]}],
                **EVENT,
            },
            HERE,
        )
    )
    assert found.endswith(
        "action=OBSERVE"
        "sensorElementListsensorElementsensorReporttype=https://gs1.org/voc/Temperaturevalue=4uom=CEL"
        "bizTransactionListbizTransaction=urn:x:2type=https://ref.gs1.org/cbv/BTT-pobizTransaction=urn:x:1"
        "destinationListtype=https://ref.gs1.org/cbv/SDT-locationdestination=urn:x:d"
        "sourceListtype=https://ref.gs1.org/cbv/SDT-locationsource=urn:x:s"
        "{https://ns.example.com/epcis/}last=x"
    )


def test_extensions_of_a_part_stand_at_its_end_unless_they_stand_alone() -> None:
    place = "readPointid=https://id.gs1.org/414/4012345000115"
    here = {"id": "urn:epc:id:sgln:4012345.00011.0"}
    assert text(readPoint={**here, "ex:b": 2, "ex:a": 1}) == place + f"{{{NS}}}a=1{{{NS}}}b=2"
    assert text(readPoint={"ex:b": 2}) == f"readPoint{{{NS}}}b=2"
    assert text(readPoint={**here, "other:b": 2}) == place + "readPoint{https://other.example.com/voc#}b=2"
    assert text(readPoint={**here, "ex:action": 2}) == place + f"readPoint{{{NS}}}action=2"


def test_a_name_that_ends_in_list_is_a_list() -> None:
    assert text(**{"ex:colourList": ["red", "green"]}) == f"{{{NS}}}colourList{{{NS}}}colour=green{{{NS}}}colour=red"
    assert text(**{"ex:colourList": "red"}) == f"{{{NS}}}colourList{{{NS}}}colour=red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("007", "7"),
        ("+1.50", "1.5"),
        ("1e3", "1000"),
        (0.00001, "1e-05"),
        (1.0, "1"),
        ("111100001111000011110000", "111100001111000003641344"),
        ("1e400", "1e400"),
        ("-.", "-."),
        ("nan", "nan"),
        ("2023-10-09", "2023-10-09"),
        (" padded ", "padded"),
        (True, "true"),
        ("True", "True"),
        ("urn:epcglobal:cbv:disp:active", "https://ref.gs1.org/cbv/Disp-active"),
        ("https://me.example/01/09780345418913/10/A/21/7", "https://id.gs1.org/01/09780345418913/21/7"),
        ("ex:thing", "https://ns.example.com/epcis/thing"),
    ],
    ids=repr,
)
def test_values_have_one_text(value: object, expected: str) -> None:
    assert text(**{"ex:v": value}) == f"{{{NS}}}v={expected}"


def test_an_empty_value_leaves_its_name() -> None:
    assert text(**{"ex:v": ""}) == f"{{{NS}}}v"
    assert text(**{"ex:v": {}}) == f"{{{NS}}}v"


def test_prefixes_of_the_official_context_need_not_be_declared() -> None:
    report = {"type": "gs1:Angle", "component": "cbv:Comp-x", "value": 1}
    spelled = {"type": "Angle", "component": "x", "value": 1}
    assert text(sensorElementList=[{"sensorReport": [report]}]) == text(sensorElementList=[{"sensorReport": [spelled]}])
    assert text(ilmd={"cbvmda:lotNumber": "A1"}) == "ilmd{urn:epcglobal:cbv:mda:}lotNumber=A1"


def test_a_repositorys_own_fields_are_ignored_where_the_document_says_so() -> None:
    inside = {"queryName": "SimpleEventQuery", "resultsBody": {"eventList": [{**EVENT, "ex:hash": "1", "ex:kept": 2}]}}
    document = {"@context": CONTEXT, "type": "EPCISQueryDocument", "epcisBody": {"queryResults": inside}}
    plain = document_prehashes(read(msgspec.json.encode(document)))
    inside["ex:ignoreFields"] = ["ex:hash", "ex:captureID"]
    found = read(msgspec.json.encode(document))
    assert ignored_fields(found) == {NS + "hash", NS + "captureID"}
    assert document_prehashes(found) == [plain[0].replace(f"{{{NS}}}hash=1", "")]


def test_every_kind_of_document_is_hashed_in_order() -> None:
    first, second = {"@context": OFFICIAL, **EVENT}, {"@context": OFFICIAL, **EVENT, "action": "ADD"}
    hashes = document_hashes(read(msgspec.json.encode([first, second])))
    assert hashes == [event_hash(normal_event(EVENT)), event_hash(normal_event({**EVENT, "action": "ADD"}))]
    assert document_hashes(read(msgspec.json.encode(second))) == hashes[1:]
    single = {"@context": OFFICIAL, "type": "EPCISDocument", "epcisBody": {"event": EVENT}}
    assert document_hashes(read(msgspec.json.encode(single))) == hashes[:1]
    nothing = {"@context": OFFICIAL, "type": "EPCISDocument", "epcisBody": {"eventList": []}}
    assert document_hashes(read(msgspec.json.encode(nothing))) == []
