"""Valid is what the official schema says is valid; what is not is named, with a path and what to do."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.epcis import words
from ledger.epcis.checks import MAX_FOUND, is_time, is_uri
from ledger.epcis.contexts import Context
from ledger.epcis.normal import normal_event
from ledger.epcis.profile import Profile, house_problems, problems
from ledger.epcis.reading import read
from ledger.errors import EventError
from ledger.events import parse_event
from tests.ledger.epcis.mutants import mutants
from tests.ledger.epcis.oracle import documents, good, ours, schema

GOLDEN = Path(__file__).resolve().parents[2] / "vectors" / "golden"
CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"

DEVIATIONS = {
    "not UTF-8, a repeated key, half a surrogate pair, NaN": "has no one meaning; reading refuses it",
    "a number beyond 2^53 - 1, or deeper than 64 levels": "no canonical form; reading refuses it",
    "a list of events": "the schema knows single events alone; each is judged as one",
}
"""Where the strict profile departs from the schema on purpose: ledger/docs/conformance.md says the same."""


def event(**fields: Any) -> dict[str, Any]:
    """A small valid event with other fields, None for one that is left out."""
    whole = {
        "@context": [CONTEXT, {"example": "https://ns.example.com/"}],
        "type": "ObjectEvent",
        "eventTime": "2026-04-18T11:05:00+08:00",
        "eventTimeZoneOffset": "+08:00",
        "action": "OBSERVE",
        "epcList": ["urn:epc:id:sgtin:4012345.011111.9876"],
        **fields,
    }
    return {key: value for key, value in whole.items() if value is not None}


def found_in(value: Any, profile: Profile = Profile.STRICT) -> dict[str, str]:
    """Path and reason of every problem."""
    return {problem.path: problem.reason for problem in ours(json.dumps(value).encode(), profile)}


# --- the same verdict as the schema ------------------------------------------------------------------


@pytest.mark.shared
def test_every_shared_document_has_the_verdict_of_the_schema(shared: Path) -> None:
    judged = 0
    for name, data in documents(shared).items():
        try:
            value = json.loads(data)
        except ValueError:
            assert ours(data), name
            continue
        if isinstance(value, dict):
            assert (not ours(data)) == schema(shared).is_valid(value), name
            judged += 1
    assert judged >= 200


@pytest.mark.shared
def test_every_official_example_is_valid(shared: Path) -> None:
    examples = [data for name, data in documents(shared).items() if name.startswith("gs1-EPCIS/JSON/")]
    assert len(examples) >= 31
    assert not [found for data in examples if (found := ours(data))]


@pytest.mark.shared
def test_every_invalid_document_of_openepcis_is_refused_with_path_and_reason(shared: Path) -> None:
    invalid = {name: data for name, data in documents(shared).items() if "/Invalid/" in name}
    assert len(invalid) >= 13
    for name, data in invalid.items():
        found = ours(data)
        assert found, name
        assert all(problem.path.startswith("$.") and problem.reason for problem in found), name


@pytest.mark.shared
@pytest.mark.parametrize("seed", range(4))
def test_thousands_of_small_mistakes_have_the_verdict_of_the_schema(shared: Path, seed: int) -> None:
    validator, verdicts = schema(shared), {True: 0, False: 0}
    for mutant, done in mutants(good(shared), 3000, seed=seed):
        valid = validator.is_valid(mutant)
        found = ours(json.dumps(mutant).encode())
        assert valid == (not found), f"{done}: the schema says {valid}, we say {found}"
        verdicts[valid] += 1
    assert min(verdicts.values()) > 500


@pytest.mark.shared
def test_the_words_are_those_of_the_schema(shared: Path) -> None:
    official = json.loads((shared / "vectors/gs1-EPCIS/EPCIS-JSON-Schema.json").read_text())["definitions"]
    ours_ = {
        "bizStep": words.BIZ_STEPS,
        "disposition": words.DISPOSITIONS,
        "bizTransaction-type": words.TRANSACTION_TYPES,
        "source-dest-type": words.SOURCE_DESTINATION_TYPES,
        "error-reason": words.ERROR_REASONS,
        "measurementType": words.MEASUREMENTS,
        "sensorAlertType": words.SENSOR_ALERTS,
        "component": words.COMPONENTS,
    }
    assert {name: tuple(official[name]["anyOf"][1]["enum"]) for name in ours_} == ours_


_URI_PARTS = [
    "a",
    "urn:",
    "http:",
    "//",
    "/",
    "?",
    "#",
    "@",
    ":",
    "[",
    "]",
    "::1",
    "1.2.3.4",
    "%4a",
    "%zz",
    "é",
    " ",
    "-._~",
]
_URI_PARTS += [
    "!$&'()*+,;=",
    "{",
    "|",
    "^",
    "\\",
    "\n",
    "v1.x",
    "80",
    "_",
    '"',
    "<",
    "0",
    "Z9",
    "f:f",
    "1:2:3:4:5:6:7:8",
]
_near_uri = st.lists(st.sampled_from(_URI_PARTS), max_size=9).map("".join)
_two = st.integers(0, 99).map("{:02}".format)
_near_time = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format,
    st.sampled_from(["2020", "1900", "2000", "0000", "9999", "202"]),
    st.sampled_from(["01", "02", "04", "12", "00", "13"]),
    st.sampled_from(["01", "28", "29", "30", "31", "32", "00"]),
    st.sampled_from(["T", "t", " "]),
    st.sampled_from(["00", "15", "23", "24"]),
    st.sampled_from(["00", "29", "59", "60"]),
    st.sampled_from(["00", "59", "60", "61"]),
    st.sampled_from(["", ".5", ".", ".123456789012", ",5"]),
    st.sampled_from(["Z", "z", "", "+00:00", "-08:00", "+08:30", "+23:59", "+24:00", "+0800", "-00:30"]),
)
_format = {
    name: jsonschema_rs.Draft7Validator({"format": name}, validate_formats=True).is_valid
    for name in ("uri", "date-time")
}


@settings(max_examples=1500, deadline=None)
@given(_near_uri)
def test_a_uri_is_what_rfc_3986_says(text: str) -> None:
    assert is_uri(text) == _format["uri"](text)


@settings(max_examples=1500, deadline=None)
@given(_near_time)
def test_a_time_is_what_rfc_3339_says(text: str) -> None:
    assert is_time(text) == _format["date-time"](text)


# --- where and why -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (event(bizStep="shiping"), "$.bizStep", "did you mean 'shipping'?"),
        (event(bizStep="Shipping"), "$.bizStep", "did you mean 'shipping'?"),
        (event(bizStep="retail selling"), "$.bizStep", "did you mean 'retail_selling'?"),
        (event(bizStep="urn:epcglobal:cbv:bizstep:shipping"), "$.bizStep", "stand bare; write 'shipping'"),
        (event(bizStep="https://ns.gs1.org/cbv/BizStep-shiping"), "$.bizStep", "did you mean 'shipping'?"),
        (event(disposition=7), "$.disposition", "must be a disposition, not a number"),
        (event(action="observe"), "$.action", "did you mean 'OBSERVE'?"),
        (event(type="ObjectEvnt"), "$.type", "did you mean 'ObjectEvent'?"),
        (event(type=None), "$.type", "is missing"),
        (event(eventTime=None), "$.eventTime", "is missing"),
        (event(eventTime="2026-04-18T11:05:00"), "$.eventTime", "not a time with an offset"),
        (event(eventTime="2026-02-30T11:05:00Z"), "$.eventTime", "not a time"),
        (event(eventTimeZoneOffset="8"), "$.eventTimeZoneOffset", "+08:00"),
        (event(bizstep="shipping"), "$.bizstep", "did you mean 'bizStep'?"),
        (event(lotNumber="1"), "$.lotNumber", "'example:lotNumber'"),
        (event(epcList=["4012345"]), "$.epcList[0]", "has no scheme"),
        (event(epcList=["urn:a", "urn:b c"]), "$.epcList[1]", "white space"),
        (event(epcList=["urn:ä"]), "$.epcList[0]", "ASCII"),
        (event(epcList=["http://h:port/"]), "$.epcList[0]", "RFC 3986"),
        (event(epcList=[""]), "$.epcList[0]", "is empty"),
        (event(epcList=["urn:a", "urn:b", "urn:a"]), "$.epcList[2]", "repeats member 0"),
        (event(epcList="urn:a"), "$.epcList", "must be a list, not text"),
        (event(epcList=None), "$", "must hold an epcList"),
        (event(ilmd={"example:a": 1}), "$.ilmd", "only where the action is ADD"),
        (event(action="ADD", ilmd={"a b": 1}), "$.ilmd['a b']", "needs a prefix"),
        (event(quantityList=[{"epcClass": "urn:a", "uom": "kg"}]), "$.quantityList[0].uom", "such as KGM"),
        (event(quantityList=[{"epcClass": "urn:a", "x:y": 1}]), "$.quantityList[0]['x:y']", "takes no extensions"),
        (event(quantityList=[{"quantity": "1"}]), "$.quantityList[0].quantity", "must be a number, not text"),
        (event(readPoint="urn:a"), "$.readPoint", "must be an object, not text"),
        (event(readPoint={}), "$.readPoint.id", "is missing"),
        (event(sourceList=[{"type": "owner", "source": "urn:a"}]), "$.sourceList[0].type", "not a type of source"),
        (event(errorDeclaration={}), "$.errorDeclaration.declarationTime", "is missing"),
        (event(persistentDisposition={}), "$.persistentDisposition", "'set' or 'unset'"),
        (event(persistentDisposition={"set": []}), "$.persistentDisposition.set", "must not be empty"),
        (event(sensorElementList=[{}]), "$.sensorElementList[0].sensorReport", "is missing"),
        (event(sensorElementList=[{"sensorReport": [{"type": "Temprature"}]}]),
         "$.sensorElementList[0].sensorReport[0].type", "did you mean 'Temperature'?"),
        (event(sensorElementList=[{"sensorReport": [{"type": "https://gs1.org/voc/Mass"}]}]),
         "$.sensorElementList[0].sensorReport[0].type", "write 'Mass'"),
        (event(**{"@context": None}), "$.@context", "is missing"),
        (event(**{"@context": ["not a URI"]}), "$.@context[0]", "is not a URI"),
        (event(type="AggregationEvent", epcList=None), "$", "childEPCs"),
        (event(type="AssociationEvent", epcList=None, childEPCs=["urn:a"]), "$.parentID", "is missing"),
        (event(type="TransactionEvent"), "$.bizTransactionList", "is missing"),
        (event(type="TransformationEvent", epcList=None, inputEPCList=["urn:a"]), "$", "inputs and outputs"),
        ({"type": "EPCISDocument"}, "$.epcisBody", "is missing"),
        ({"type": "EPCISQueryDocument", "epcisBody": {"queryResults": {"resultsBody": {"eventList": [1]}}}},
         "$.epcisBody.queryResults.resultsBody.eventList[0]", "must be an object"),
        ({"type": "EPCISQueryDocument", "sender": "me"}, "$.sender", "is not a field of an EPCISQueryDocument"),
        ([], "$", "must not be empty"),
        ([event(), event(bizStep="shiping")], "$[1].bizStep", "did you mean 'shipping'?"),
    ],
)  # fmt: skip
def test_a_problem_is_named_by_its_path_and_says_what_to_do(value: Any, path: str, reason: str) -> None:
    assert reason in found_in(value)[path]


@pytest.mark.parametrize(
    "fields",
    [
        {"bizStep": "https://example.com/steps/washing"},
        {"bizStep": "cbv:BizStep-shipping"},
        {"bizStep": "https://ref.gs1.org/cbv/BizStep-shipping"},
        {"type": "example:OwnEvent", "action": None, "epcList": None, "anything": "goes"},
        {"readPoint": {"id": "urn:a", "door": "left"}},
        {"eventTime": "2016-12-31T23:59:60Z"},
        {"epcList": []},
        {"epcList": None, "sensorElementList": [{"sensorReport": [{"type": "Mass"}]}], "readPoint": {"id": "urn:a"}},
        {"certificationInfo": ["urn:a", "urn:a"]},
        {"action": "DELETE", "type": "AggregationEvent", "epcList": None},
        {"quantityList": [{"epcClass": "urn:a", "quantity": 1e300}]},
    ],
)
def test_what_the_schema_takes_is_taken(fields: dict[str, Any]) -> None:
    assert found_in(event(**fields)) == {}


def test_all_problems_are_told_and_no_more_than_a_hundred() -> None:
    wrong = event(bizStep="shiping", disposition="activ", action="SEE")
    assert found_in(wrong).keys() == {"$.bizStep", "$.disposition", "$.action"}
    assert len(found_in([wrong] * 5)) == 15
    assert len(ours(json.dumps([wrong] * 500).encode())) == MAX_FOUND
    assert len(ours(json.dumps(event(epcList=["x"] * 100_000)).encode())) == MAX_FOUND
    assert len(ours(json.dumps(event(**{f"f{i}": 1 for i in range(10_000)})).encode())) == MAX_FOUND


# --- the lenient profile -----------------------------------------------------------------------------

LOOSE = [
    ({"bizStep": "shipping"}, {"bizStep": "urn:epcglobal:cbv:bizstep:shipping"}),
    ({"disposition": "active"}, {"disposition": "urn:epcglobal:cbv:disp:active"}),
    (
        {"sourceList": [{"type": "owning_party", "source": "urn:a:b"}]},
        {"sourceList": [{"type": "urn:epcglobal:cbv:sdt:owning_party", "source": "urn:a:b"}]},
    ),
    (
        {"bizTransactionList": [{"type": "po", "bizTransaction": "urn:a:b"}]},
        {"bizTransactionList": {"type": "urn:epcglobal:cbv:btt:po", "bizTransaction": "urn:a:b"}},
    ),
    ({}, {"disposition": ""}),
    ({}, {"disposition": None}) ,
    ({}, {"_comment": "for people"}),
    ({"readPoint": {"id": "urn:a:b"}}, {"readPoint": "urn:a:b"}),
    ({"epcList": ["urn:a:b"]}, {"epcList": "urn:a:b"}),
    (
        {"quantityList": [{"epcClass": "urn:a:b", "quantity": 1.5}]},
        {"quantityList": [{"epcClass": "urn:a:b", "quantity": "1.5"}]},
    ),
    (
        {"sensorElementList": [{"sensorReport": [{"type": "Mass", "value": 4, "booleanValue": True}]}]},
        {"sensorElementList": [{"sensorReport": [{"type": "Mass", "value": "4.0", "booleanValue": "true"}]}]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("strict", "loose"), LOOSE)
def test_a_loose_spelling_has_the_normal_form_of_the_strict_one(strict: dict[str, Any], loose: dict[str, Any]) -> None:
    given_null = {key for key, value in loose.items() if value is None}
    exact, spelt = event(**strict), {**event(**loose), **dict.fromkeys(given_null)}
    assert found_in(exact) == {}
    assert found_in(spelt)
    assert found_in(spelt, Profile.LENIENT) == {}
    context = Context.of(exact["@context"])
    assert normal_event(spelt, context) == normal_event(exact, context)


@pytest.mark.parametrize(
    "fields",
    [
        {"eventID": "389bc906-8d68-4ee3-ad8a-e586028d25fa"},
        {"sensorElementList": [{"sensorReport": [{"type": "EffectiveDoseRate", "value": 1}]}]},
        {"sensorElementList": [{"sensorReport": [{"exception": "ALARM_CONDITION", "booleanValue": True}]}]},
        {
            "type": "AggregationEvent",
            "epcList": None,
            "childEPCs": ["urn:a"],
            "persistentDisposition": {"set": ["active"]},
        },
    ],
)  # fmt: skip
def test_other_looseness_is_kept_as_it_is_written(fields: dict[str, Any]) -> None:
    assert found_in(event(**fields))
    assert found_in(event(**fields), Profile.LENIENT) == {}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"bizStep": "shiping"}, "$.bizStep"),
        ({"bizStep": "urn:epcglobal:cbv:bizstep:shiping"}, "$.bizStep"),
        ({"lotNumber": "1"}, "$.lotNumber"),
        ({"epcList": ["two words"]}, "$.epcList[0]"),
        ({"eventTime": "2026-04-18T11:05:00"}, "$.eventTime"),
        ({"eventTime": 1666400400000}, "$.eventTime"),
        ({"eventTimeZoneOffset": None}, "$.eventTimeZoneOffset"),
        ({"@context": None}, "$.@context"),
        ({"action": ""}, "$.action"),
        ({"quantityList": [{"epcClass": "urn:a", "quantity": "many"}]}, "$.quantityList[0].quantity"),
        ({"quantityList": [{"epcClass": "urn:a", "quantity": "99999999999999999999"}]}, "$.quantityList[0].quantity"),
        ({"sensorElementList": [{"sensorReport": [{"value": "NaN"}]}]}, "$.sensorElementList[0].sensorReport[0].value"),
        ({"disposition": "", "epcList": ["urn:a:" + "b" * 2048]}, "$.epcList[0]"),
        ({"_comment": 1, "readPoint": {"id": "urn:a", "door": "left"}}, "$.readPoint.door"),
        ({"_comment": 1, "type": "example:OwnEvent"}, None),
    ],
)
def test_the_lenient_profile_still_refuses_what_would_be_a_guess(fields: dict[str, Any], path: str | None) -> None:
    found = found_in(event(**fields), Profile.LENIENT)
    assert path in found if path else not found


@pytest.mark.shared
def test_the_lenient_profile_takes_the_known_deviations_of_real_documents(shared: Path) -> None:
    refused = {
        name: found
        for name, data in documents(shared).items()
        if ours(data) and (found := ours(data, Profile.LENIENT)) and "/Invalid/" not in name
    }
    assert not [name for name in refused if name.startswith(("openepcis-dpp-ready/extensions", "openepcis-test-res"))]
    reasons = [problem.reason for name in refused if "opentraceability" in name for problem in refused[name]]
    assert all("needs a prefix" in reason or "is not JSON" in reason for reason in reasons)
    assert len([name for name in refused if "opentraceability" in name]) <= 12


@pytest.mark.shared
def test_whatever_the_lenient_profile_adds_can_be_recorded(shared: Path) -> None:
    added = 0
    for mutant, done in mutants(good(shared), 4000, seed=99):
        data = json.dumps(mutant).encode()
        if not ours(data):
            assert not ours(data, Profile.LENIENT), done
        elif not ours(data, Profile.LENIENT):
            added += 1
            document = read(data)
            for each, context in zip(document.events, document.contexts(), strict=True):
                bare = {key: value for key, value in each.items() if key != "@context"}
                parse_event(normal_event(bare, Context.of([CONTEXT, *_known(context)])))
    assert added > 50


def _known(context: Any) -> list[Any]:
    return [part for part in (context if isinstance(context, list) else [context]) if isinstance(part, dict)]


# --- the rules of the house --------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.jsonld")), ids=lambda path: path.stem)
def test_the_golden_chain_is_valid_and_keeps_the_rules_of_the_house(path: Path) -> None:
    document = read(path.read_bytes())
    assert problems(document) == ()
    assert [house_problems(each) for each in document.events] == [()] * len(document.events)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"gy:a": True}, "$['gy:a']"),
        ({"gy:a": None}, "$['gy:a']"),
        ({"gy:a": 1.5}, "$['gy:a']"),
        ({"gy:a": []}, "$['gy:a']"),
        ({"gy:a": {"gy:b": ["aa", 0.5]}}, "$['gy:a']['gy:b']"),
        ({"gy:a": {"b": 1}}, "$['gy:a'].b"),
        ({"ilmd": {"b": 1}}, "$.ilmd.b"),
        ({"gy:packList": ["aa"]}, "$['gy:packList']"),
        ({"gy:a": {"gy:transaction": "aa"}}, "$['gy:a']['gy:transaction']"),
        ({"gy:closes": "2026-04-18T03:05:00.000Z"}, "$['gy:closes']"),
        ({"gy:a": "12"}, "$['gy:a']"),
        ({"gy:a": "1e5"}, "$['gy:a']"),
        ({"gy:a": "nan"}, "$['gy:a']"),
        ({"gy:a": "recalled"}, "$['gy:a']"),
        ({"errorDeclaration": {"declarationTime": "x", "gy:a": False}}, "$.errorDeclaration['gy:a']"),
        ({"sensorElementList": [{"sensorReport": [{"gy:a": "x"}]}]}, "$.sensorElementList[0].sensorReport[0]['gy:a']"),
        ({"sensorElementList": [{"gy:a": "x", "sensorReport": []}]}, "$.sensorElementList[0]['gy:a']"),
        ({"epcList": ["urn:a"] * 300, "quantityList": [{}] * 201}, "$"),
    ],
)
def test_a_broken_rule_of_the_house_is_named(fields: dict[str, Any], path: str) -> None:
    [problem] = house_problems(fields)
    assert problem.path == path


@pytest.mark.parametrize(
    "fields",
    [
        {"gy:sentence": "recalled/1", "gy:digests": ["aa", "bb"], "gy:a": {"gy:b": 1, "gy:c": {"gy:d": "cc"}}},
        {"gy:closesAt": "2026-04-18T03:05:00.000Z", "gy:pickBy": "2026-04-18T03:05:00.000Z"},
        {"ilmd": {"cbvmda:bestBeforeDate": "2026-04-18T03:05:00.000Z", "gy:tier": "A"}},
        {"epcList": ["urn:a"] * 500},
        {"readPoint": {"id": "urn:a"}, "action": "ADD", "bizStep": "recalled"},
    ],
)
def test_what_keeps_the_rules_of_the_house_passes(fields: dict[str, Any]) -> None:
    assert house_problems(fields) == ()


def test_every_deviation_from_the_schema_stands_in_the_conformance_page() -> None:
    page = re.sub(r"\s+", " ", (Path(__file__).resolve().parents[3] / "ledger/docs/conformance.md").read_text())
    for what, why in DEVIATIONS.items():
        assert f"| {what} | {why}" in page


@pytest.mark.parametrize(
    "fields",
    [
        {"eventTime": "2026-04-18t11:05:00z", "recordTime": "2026-04-18t11:05:01.5+08:00"},
        {"sensorElementList": [{"sensorReport": [{"type": "Count", "value": 3, "uom": "", "stringValue": ""}]}]},
        {"errorDeclaration": {"declarationTime": "2026-04-18t11:05:00z"}},
    ],
)
def test_rarer_spellings_that_the_schema_takes_can_be_recorded_too(fields: dict[str, Any]) -> None:
    value = event(**fields)
    assert found_in(value) == found_in(value, Profile.LENIENT) == {}
    parse_event(normal_event(value, Context.of(value["@context"])))


@pytest.mark.parametrize("value", [event(type="example:OwnEvent"), event(readPoint={"id": "urn:a", "door": "left"})])
def test_what_is_valid_and_yet_cannot_be_recorded_is_refused_by_name(value: dict[str, Any]) -> None:
    assert found_in(value) == {}
    with pytest.raises(EventError):
        parse_event(normal_event(value, Context.of(value["@context"])))
