"""Every query parameter: what it finds, what it leaves, and what it refuses."""

import itertools
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session

from ledger import log, query
from ledger.errors import QueryParameterError, QueryTooComplexError, QueryTooLargeError
from ledger.kernel.database import Database
from ledger.query import EFFECTIVE, PARAMETERS, events_of, parse, run
from tests.simulators import partner
from tests.simulators.partner import NOW, send, shipped

PLACE, OTHER = "https://id.gs1.org/414/9521001000109/254/P03", "https://example.org/loc/elsewhere"
SHIPMENT = {
    "type": "AggregationEvent",
    "epcList": None,
    "parentID": "urn:epc:id:sscc:9521001.0000000001",
    "childEPCs": ["https://example.org/obj/child"],
    "childQuantityList": [{"epcClass": "https://example.org/class/c/lot/1", "quantity": 30, "uom": "GRM"}],
    "bizLocation": {"id": OTHER},
    "bizStep": "packing",
    "action": "ADD",
}
JUICE = {
    "type": "TransformationEvent",
    "action": None,
    "epcList": None,
    "transformationID": "https://example.org/bt/run/1",
    "inputEPCList": ["https://example.org/obj/in"],
    "inputQuantityList": [{"epcClass": "https://example.org/class/in/lot/1", "quantity": 7.5, "uom": "KGM"}],
    "outputEPCList": ["https://example.org/obj/out"],
    "outputQuantityList": [{"epcClass": "https://example.org/class/out/lot/1", "quantity": 5}],
    "readPoint": {"id": OTHER},
    "persistentDisposition": {"set": ["completeness_verified"], "unset": ["completeness_inferred"]},
}
LOGGER = {
    "eventTime": "2026-04-20T00:00:00Z",
    "bizStep": "sensor_reporting",
    "disposition": None,
    "quantityList": [{"epcClass": "https://example.org/class/o/lot/1", "quantity": 100}],
    "sensorElementList": [
        {
            "sensorMetadata": {
                "deviceID": "urn:epc:id:giai:9521001.L1",
                "startTime": "2026-04-19T00:00:00Z",
                "endTime": "2026-04-20T00:00:00Z",
                "bizRules": "https://example.org/rules/1",
                "dataProcessingMethod": "https://example.org/method/1",
            },
            "sensorReport": [
                {"type": "Temperature", "value": 4.5, "uom": "CEL"},
                {"type": "Speed", "stringValue": "walking", "hexBinaryValue": "f0f0", "booleanValue": True},
                {"type": "RelativeHumidity", "uriValue": "https://example.org/value/1"},
                {"type": "Mass", "microorganism": "https://example.org/microbe/1", "value": 1, "uom": "C62"},
                {"type": "Mass", "chemicalSubstance": "https://example.org/substance/1", "value": 1, "uom": "C62"},
            ],
        }
    ],
}
WRONG = shipped(5)
RIGHT = {"errorDeclaration": {"declarationTime": "2026-04-25T00:00:00Z", "reason": "did_not_occur"}}
RIGHT["errorDeclaration"]["correctiveEventIDs"] = [partner.event_id(6)]  # type: ignore[assignment]  # one list among texts

EVENTS = [
    shipped(1),
    shipped(2, **SHIPMENT),
    shipped(3, **JUICE),
    shipped(4, **LOGGER),
    WRONG,
    {**WRONG, **RIGHT},
    shipped(6, disposition="in_progress", action="DELETE"),
]
"""What stands in the log of these tests: the events 1 to 6, and `5!`, the declaration of 5."""
HOUR_LATER = shipped(7, eventTime="2026-04-17T00:00:00Z")


@pytest.fixture
def session(any_db: Database) -> Any:
    with any_db.write() as session:
        assert send(session, partner.document(*EVENTS)).refused == ()
    with any_db.write() as session:
        send(session, partner.document(HOUR_LATER), now=NOW + timedelta(hours=1))
    with any_db.read() as session:
        yield session


def found(session: Session, **parameters: str) -> str:
    """The numbers of the events found, in order; `5!` is the declaration of 5."""
    return short(run(session, parse({name.replace("__", ":"): each for name, each in parameters.items()}.items())))


def short(page: query.Page) -> str:
    return " ".join(event["eventID"][-1] + ("!" if "errorDeclaration" in event else "") for event in page.events)


ALL = "1 2 3 4 5 5! 6 7"
OBJECTS = "1 4 5 5! 6 7"
PLAIN = "1 5 5! 6 7"

FINDS = [
    ("eventType", "AggregationEvent", "2"),
    ("eventType", "AggregationEvent|TransformationEvent", "2 3"),
    ("eventType", "AssociationEvent", ""),
    ("GE_eventTime", "2026-04-18T11:20:10+08:00", "1 2 3 5 5! 6 4"),
    ("GE_eventTime", "2026-04-18T03:20:10.001Z", "4"),
    ("LT_eventTime", "2026-04-18T03:20:10Z", "7"),
    ("GE_recordTime", "2026-05-01T00:00:00.001Z", "7"),
    ("LT_recordTime", "2026-05-01T00:00:00.001Z", "1 2 3 4 5 5! 6"),
    ("LT_recordTime", "2026-05-01T00:00:00Z", ""),
    ("EQ_action", "ADD", "2"),
    ("EQ_action", "DELETE|ADD", "2 6"),
    ("EQ_bizStep", "packing", "2"),
    ("EQ_bizStep", "https://ref.gs1.org/cbv/BizStep-packing|sensor_reporting", "2 4"),
    ("EQ_bizStep", "urn:epcglobal:cbv:bizstep:packing", "2"),
    ("EQ_bizStep", "https://example.org/step/other", ""),
    ("EQ_disposition", "in_progress", "6"),
    ("EQ_disposition", "https://ref.gs1.org/cbv/Disp-in_progress", "6"),
    ("EQ_persistentDisposition_set", "completeness_verified", "3"),
    ("EQ_persistentDisposition_set", "completeness_inferred", ""),
    ("EQ_persistentDisposition_unset", "completeness_inferred", "3"),
    ("EQ_persistentDisposition_unset", "completeness_verified", ""),
    ("EQ_readPoint", PLACE, "1 2 4 5 5! 6 7"),
    ("EQ_readPoint", "urn:epc:id:sgln:9521001.00010.P03", "1 2 4 5 5! 6 7"),
    ("EQ_readPoint", OTHER, "3"),
    ("EQ_bizLocation", OTHER, "2"),
    ("EQ_bizLocation", PLACE, ""),
    ("EQ_transformationID", "https://example.org/bt/run/1", "3"),
    ("EQ_transformationID", "https://example.org/bt/run/2", ""),
    ("MATCH_epc", "urn:epc:id:sgtin:9521002.001013.1", "1"),
    ("MATCH_epc", "https://id.gs1.org/01/09521002010138/21/1|https://example.org/obj/child", "1 2"),
    ("MATCH_epc", "https://example.org/obj/in", ""),
    ("MATCH_epc", "https://example.org/class/o/lot/1", ""),
    ("MATCH_parentID", "urn:epc:id:sscc:9521001.0000000001", "2"),
    ("MATCH_parentID", "https://example.org/obj/child", ""),
    ("MATCH_inputEPC", "https://example.org/obj/in", "3"),
    ("MATCH_inputEPC", "https://example.org/obj/out", ""),
    ("MATCH_outputEPC", "https://example.org/obj/out", "3"),
    ("MATCH_outputEPC", "https://example.org/obj/in", ""),
    ("MATCH_anyEPC", "https://example.org/obj/in|urn:epc:id:sscc:9521001.0000000001", "2 3"),
    ("MATCH_anyEPC", "https://example.org/class/in/lot/1", ""),
    ("MATCH_epcClass", "https://example.org/class/c/lot/1|https://example.org/class/o/lot/1", "2 4"),
    ("MATCH_epcClass", "https://example.org/class/in/lot/1", ""),
    ("MATCH_inputEPCClass", "https://example.org/class/in/lot/1", "3"),
    ("MATCH_inputEPCClass", "https://example.org/class/out/lot/1", ""),
    ("MATCH_outputEPCClass", "https://example.org/class/out/lot/1", "3"),
    ("MATCH_outputEPCClass", "https://example.org/class/in/lot/1", ""),
    ("MATCH_anyEPCClass", "https://example.org/class/in/lot/1|https://example.org/class/c/lot/1", "2 3"),
    ("MATCH_anyEPCClass", "https://example.org/obj/in", ""),
    ("EQ_quantity", "7.5", "3"),
    ("EQ_quantity", "7", ""),
    ("GT_quantity", "30", "4"),
    ("GE_quantity", "30", "2 4"),
    ("LT_quantity", "7.5", "3"),
    ("LT_quantity", "5", ""),
    ("LE_quantity", "5", "3"),
    ("EQ_eventID", partner.event_id(5), "5 5!"),
    ("EQ_eventID", f"{partner.event_id(1)}|{partner.event_id(2)}", "1 2"),
    ("EQ_eventID", "urn:uuid:unknown", ""),
    ("EXISTS_errorDeclaration", "true", "5!"),
    ("EXISTS_errorDeclaration", "false", ALL),
    ("GE_errorDeclarationTime", "2026-04-25T00:00:00Z", "5!"),
    ("GE_errorDeclarationTime", "2026-04-25T00:00:00.001Z", ""),
    ("LT_errorDeclarationTime", "2026-04-25T00:00:00.001Z", "5!"),
    ("LT_errorDeclarationTime", "2026-04-25T00:00:00Z", ""),
    ("EQ_errorReason", "did_not_occur", "5!"),
    ("EQ_errorReason", "https://ref.gs1.org/cbv/ER-did_not_occur", "5!"),
    ("EQ_errorReason", "incorrect_data", ""),
    ("EQ_correctiveEventID", partner.event_id(6), "5!"),
    ("EQ_correctiveEventID", partner.event_id(5), ""),
    ("GE_startTime", "2026-04-19T00:00:00Z", "4"),
    ("GE_startTime", "2026-04-19T00:00:01Z", ""),
    ("LT_startTime", "2026-04-19T00:00:01Z", "4"),
    ("LT_startTime", "2026-04-19T00:00:00Z", ""),
    ("GE_endTime", "2026-04-20T08:00:00+08:00", "4"),
    ("GE_endTime", "2026-04-20T00:00:01Z", ""),
    ("LT_endTime", "2026-04-20T00:00:01Z", "4"),
    ("LT_endTime", "2026-04-20T00:00:00Z", ""),
    ("EQ_type", "Temperature", "4"),
    ("EQ_type", "https://gs1.org/voc/Temperature", "4"),
    ("EQ_type", "Speed|Mass", "4"),
    ("EQ_type", "Volume", ""),
    ("EQ_deviceID", "urn:epc:id:giai:9521001.L1", "4"),
    ("EQ_deviceID", "https://id.gs1.org/8004/9521001L1", "4"),
    ("EQ_deviceID", PLACE, ""),
    ("EQ_dataProcessingMethod", "https://example.org/method/1", "4"),
    ("EQ_dataProcessingMethod", "https://example.org/method/2", ""),
    ("EQ_microorganism", "https://example.org/microbe/1", "4"),
    ("EQ_microorganism", "https://example.org/microbe/2", ""),
    ("EQ_chemicalSubstance", "https://example.org/substance/1", "4"),
    ("EQ_chemicalSubstance", "https://example.org/substance/2", ""),
    ("EQ_bizRules", "https://example.org/rules/1", "4"),
    ("EQ_bizRules", "https://example.org/rules/2", ""),
    ("EQ_stringValue", "running|walking", "4"),
    ("EQ_stringValue", "running", ""),
    ("EQ_hexBinaryValue", "f0f0", "4"),
    ("EQ_hexBinaryValue", "f0", ""),
    ("EQ_uriValue", "https://example.org/value/1", "4"),
    ("EQ_uriValue", "https://example.org/value/2", ""),
    ("EQ_booleanValue", "true", "4"),
    ("EQ_booleanValue", "false", ""),
    (EFFECTIVE, "true", "1 2 3 4 6 7"),
    (EFFECTIVE, "false", ALL),
]

TIMES = ("2026-04-18", "yesterday", "2026-04-18T03:20:10", "2026-02-30T00:00:00Z", "2026-04-18T03:20:10 08:00", "")
REFUSES = [
    ("eventType", ("QuantityEvent", "objectEvent", "ObjectEvent||AggregationEvent", "")),
    *(
        (f"{side}_{name}", TIMES)
        for side in ("GE", "LT")
        for name in ("eventTime", "recordTime", "errorDeclarationTime")
    ),
    *((f"{side}_{name}", TIMES) for side in ("GE", "LT") for name in ("startTime", "endTime")),
    ("EQ_action", ("add", "ADD,DELETE", "")),
    *((name, ("", "|")) for name in ("EQ_bizStep", "EQ_disposition", "EQ_errorReason", "EQ_type", "EQ_eventID")),
    *((f"EQ_persistentDisposition_{name}", ("", "a|")) for name in ("set", "unset")),
    *(
        (name, ("", "urn:epc:idpat:sgtin:9521002.*.*", "urn:epc:id:sgtin:9521002.001013.1|"))
        for name in sorted(PARAMETERS)
        if name.startswith("MATCH_") or name in {"EQ_readPoint", "EQ_bizLocation", "EQ_transformationID"}
    ),
    *((name, ("",)) for name in ("EQ_correctiveEventID", "EQ_deviceID", "EQ_dataProcessingMethod", "EQ_microorganism")),
    *((name, ("",)) for name in ("EQ_chemicalSubstance", "EQ_bizRules", "EQ_stringValue", "EQ_hexBinaryValue")),
    ("EQ_uriValue", ("",)),
    *((f"{side}_quantity", ("many", "", "1e5", "NaN", "9" * 40)) for side in ("EQ", "GT", "GE", "LT", "LE")),
    *((name, ("yes", "True", "1", "")) for name in ("EXISTS_errorDeclaration", "EQ_booleanValue", EFFECTIVE)),
    ("orderBy", ("quantity", "bizStep", "")),
    ("orderDirection", ("asc", "UP", "")),
    ("eventCountLimit", ("0", "-1", "many", "1.5", "9" * 30, "")),
    ("maxEventCount", ("0", "-1", "many", "")),
    ("perPage", ("0", "-1", "many", "٣", "")),
    ("nextPageToken", ("nonsense", "", "e30", "x" * 300, "WyIiLGZhbHNlLDEsMV0", "\ud800")),
]


@pytest.mark.parametrize("any_db", ["sqlite"], indirect=True)
def test_every_parameter_finds_what_it_names_and_nothing_else(session: Session) -> None:
    wrong = [
        (name, value, numbers, wanted)
        for name, value, wanted in FINDS
        if (numbers := found(session, **{name: value})) != wanted
    ]
    assert wrong == []


@pytest.mark.postgres
@pytest.mark.parametrize("any_db", ["postgresql"], indirect=True)
def test_every_parameter_finds_the_same_on_postgresql(session: Session) -> None:
    test_every_parameter_finds_what_it_names_and_nothing_else(session)


@pytest.mark.parametrize(("name", "values"), REFUSES)
def test_what_a_parameter_cannot_mean_is_refused_by_its_name(name: str, values: tuple[str, ...]) -> None:
    for value in values:
        pairs = [(name, value)] if name != "eventCountLimit" else [(name, value), ("orderBy", "eventTime")]
        with pytest.raises(QueryParameterError) as refused:
            parse(pairs)
        assert refused.value.name == name, value


def test_every_parameter_has_its_cases_here() -> None:
    paging = {"orderBy", "orderDirection", "eventCountLimit", "maxEventCount", "perPage", "nextPageToken"}
    assert {name for name, _, _ in FINDS} | paging == PARAMETERS
    assert {name for name, _ in REFUSES} == PARAMETERS


def test_every_parameter_of_the_official_document_is_known_or_refused_by_name(shared: Any) -> None:
    document = json.loads((shared / "vectors" / "gs1-EPCIS" / "REST Bindings" / "openapi.json").read_text())
    listed = document["paths"]["/events"]["get"]["parameters"]
    official = {document["components"]["parameters"][each["$ref"].rpartition("/")[2]]["name"] for each in listed}
    asked = {name for name in official if not name.startswith("GS1-")}
    assert asked - PARAMETERS == {"WD_readPoint", "WD_bizLocation"}, "they need master data, which is not kept here"
    assert PARAMETERS - asked == {EFFECTIVE}
    for name in ("WD_readPoint", "EQ_ILMD_lot", "EQ_example:lot", "GE_sDev", "x" * 5000, "", "eq_bizstep"):
        with pytest.raises(QueryParameterError, match="not a query parameter known here"):
            parse([(name, "1")])


@pytest.mark.parametrize(
    "pairs",
    [
        [("EQ_bizStep", "a"), ("EQ_bizStep", "b")],
        [("eventCountLimit", "1"), ("maxEventCount", "1"), ("orderBy", "eventTime")],
        [("eventCountLimit", "1")],
        [("EQ_bizStep", "|".join(["a"] * 101))],
    ],
    ids=["twice", "both limits", "the first of what", "too many values"],
)
def test_parameters_that_do_not_go_together_are_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(QueryParameterError):
        parse(pairs)


def test_several_parameters_all_hold(session: Session) -> None:
    assert found(session, eventType="ObjectEvent", EQ_disposition="in_transit", **{EFFECTIVE: "true"}) == "1 7"
    assert found(session, EQ_readPoint=PLACE, GE_recordTime="2026-05-01T00:30:00Z") == "7"
    assert found(session, GE_eventTime="2026-04-18T03:20:10Z", LT_eventTime="2026-04-19T00:00:00Z") == "1 2 3 5 5! 6"
    assert found(session, GE_eventTime="2026-04-18T03:20:10Z", LT_recordTime="2026-05-01T00:00:00Z") == ""
    assert found(session, EQ_eventID=partner.event_id(5), MATCH_epc="urn:epc:id:sgtin:9521002.001013.6") == ""


def test_events_come_in_the_order_asked_for(session: Session) -> None:
    assert found(session, orderBy="eventTime", orderDirection="ASC") == "7 1 2 3 5 5! 6 4"
    assert found(session, orderBy="eventTime") == "4 6 5! 5 3 2 1 7", "DESC where nothing is said"
    assert found(session, orderBy="recordTime", orderDirection="DESC") == "7 6 5! 5 4 3 2 1"
    assert found(session, orderDirection="DESC") == ALL, "without orderBy it orders nothing"
    assert found(session, orderBy="recordTime", orderDirection="ASC", GE_eventTime="2026-04-19T00:00:00Z") == "4"
    assert found(session, orderBy="eventTime", eventCountLimit="2") == "4 6"
    assert found(session, orderBy="eventTime", eventCountLimit="9", EQ_action="ADD") == "2"


def test_pages_joined_are_the_whole(session: Session) -> None:
    orders = ({}, {"orderBy": "eventTime"}, {"orderBy": "recordTime", "orderDirection": "ASC"})
    limits = ({}, {"eventCountLimit": "4"})
    narrowed = ({}, {"EQ_readPoint": PLACE}, {EFFECTIVE: "true"}, {"eventType": "ObjectEvent"})
    for order, limit, narrow, per_page in itertools.product(orders, limits, narrowed, (1, 3, 8)):
        if limit and not order:
            continue
        pairs = {**order, **limit, **narrow}
        assert joined(session, pairs, per_page) == found(session, **pairs, perPage="1000"), (pairs, per_page)


def joined(session: Session, pairs: dict[str, str], per_page: int) -> str:
    """What all pages hold, one behind the other."""
    pages, token = [], ""
    for _ in range(12):
        asked = {**pairs, "perPage": str(per_page), **({"nextPageToken": token} if token else {})}
        page = run(session, parse(asked.items()))
        pages += [short(page)] if page.events else []
        assert len(page.events) <= per_page
        if page.next_token is None:
            return " ".join(pages)
        token = page.next_token
    pytest.fail("the pages have no end")


def test_a_page_token_belongs_to_its_order(session: Session) -> None:
    token = run(session, parse([("orderBy", "eventTime"), ("perPage", "1")])).next_token
    assert token is not None
    with pytest.raises(QueryParameterError, match="another order"):
        parse([("nextPageToken", token)])


def test_more_than_max_event_count_is_an_error_and_not_a_page(session: Session) -> None:
    assert found(session, EQ_action="ADD|DELETE", maxEventCount="2") == "2 6"
    with pytest.raises(QueryTooLargeError) as refused:
        found(session, EQ_action="ADD|DELETE", maxEventCount="1", perPage="1")
    assert refused.value.limit == 1


def test_one_request_looks_at_a_bounded_number_of_entries(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nothing matches is answered by empty pages that lead on, not by a walk through the whole log."""
    monkeypatch.setattr(query, "MOST_LOOKED_AT", 4)
    monkeypatch.setattr(query, "_CHUNK", 2)
    asked = [("EQ_disposition", "in_progress")]
    first = run(session, parse(asked))
    assert (first.events, first.next_token is not None) == ((), True)
    second = run(session, parse([*asked, ("nextPageToken", str(first.next_token))]))
    assert short(second) == "6"
    with pytest.raises(QueryTooComplexError):
        run(session, parse([*asked, ("maxEventCount", "1")]))


def test_an_event_and_its_declaration_come_back_by_their_id(session: Session) -> None:
    assert ["errorDeclaration" in event for event in events_of(session, partner.event_id(5))] == [False, True]
    assert len(events_of(session, partner.event_id(1))) == 1
    assert events_of(session, "urn:uuid:unknown") == []


def test_what_is_recorded_and_not_integrated_is_found(any_db: Database, golden: Any) -> None:
    with any_db.write() as session:
        log.record(session, golden[0], now=NOW)
        assert len(run(session, parse([("EQ_eventID", golden[0].event_id)])).events) == 1
