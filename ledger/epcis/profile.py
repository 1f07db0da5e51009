"""Whether a document is valid EPCIS 2.0, and if not, everything that is wrong with it.

The strict profile is the official JSON schema of EPCIS 2.0 with its formats asserted, said again as
checks that run forty times as fast as a general validator and say what to do. docs/conformance.md
lists where either profile departs from the schema. Pure.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from ledger.epcis import words
from ledger.epcis.checks import (
    MAX_FOUND,
    Check,
    Found,
    all_of,
    any_key,
    anything,
    boolean,
    by_kind,
    closed_key,
    did_you_mean,
    many,
    matching,
    number,
    object_of,
    shown,
    text,
    time,
    unique_uris,
    uri,
    uris,
    word,
    word_or_uri,
    wrong,
)
from ledger.epcis.reading import Document, Kind, Problem


class Profile(StrEnum):
    """How strictly documents are taken: docs/conformance.md says what each takes."""

    STRICT = "strict"
    """Exactly what the official JSON schema takes, its formats asserted."""
    LENIENT = "lenient"
    """Also the known deviations of real documents, each of which can be normalised without guessing."""


def problems(document: Document, profile: Profile = Profile.STRICT) -> tuple[Problem, ...]:  # noqa: ARG001
    """Return all that is wrong with a document, at most 100 problems; empty means valid."""
    found = _CHECKS[document.kind](document.value)
    return () if found is None else tuple(Problem("$" + path, reason) for path, reason in found[:MAX_FOUND])


_CBV: Final = r"urn:epcglobal:cbv|https?://ns\.gs1\.org/cbv/"
_WEB_VOCABULARY: Final = r"https?://(?:www\.)?gs1\.org/voc/"

_BIZ_STEP: Final = word_or_uri(words.BIZ_STEPS, "a business step", _CBV)
_DISPOSITION: Final = word_or_uri(words.DISPOSITIONS, "a disposition", _CBV)
_UNIT: Final = matching(r"[A-Z0-9]{2,3}", "a UN/CEFACT unit code of 2 or 3 capitals or digits, such as KGM")
_OFFSET: Final = matching(r"[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00)", "an offset such as +08:00")

_CONTEXT: Final = by_kind(
    {str: uri, dict: anything, list: many(by_kind({str: uri, dict: anything}, "a URI or an object"), unique=True)},
    "a URI, an object of prefixes, or a list of these",
)
_QUANTITY: Final = object_of(
    {"epcClass": uri, "quantity": number, "uom": _UNIT},
    required=["epcClass"],
    further=closed_key,
    what="a quantity",
)
_PLACE: Final = object_of({"id": uri}, required=["id"], further=any_key, what="a place")
_TRANSACTION: Final = object_of(
    {"type": word_or_uri(words.TRANSACTION_TYPES, "a type of business transaction", _CBV), "bizTransaction": uri},
    required=["bizTransaction"],
    further=closed_key,
    what="a business transaction",
)
_SIDE: Final = word_or_uri(words.SOURCE_DESTINATION_TYPES, "a type of source or destination", _CBV)
_SOURCE: Final = object_of(
    {"type": _SIDE, "source": uri}, required=["type", "source"], further=closed_key, what="a source"
)
_DESTINATION: Final = object_of(
    {"type": _SIDE, "destination": uri}, required=["type", "destination"], further=closed_key, what="a destination"
)
_DISPOSITIONS: Final = many(_DISPOSITION, at_least=1, unique=True)
_PERSISTENT: Final = all_of(
    object_of({"set": _DISPOSITIONS, "unset": _DISPOSITIONS}, further=closed_key, what="a persistent disposition"),
    lambda value: None if "set" in value or "unset" in value else wrong("must hold 'set' or 'unset'"),
)
_ERROR: Final = object_of(
    {
        "declarationTime": time,
        "reason": word_or_uri(words.ERROR_REASONS, "a reason for an error declaration", _CBV),
        "correctiveEventIDs": uris,
    },
    required=["declarationTime"],
    what="an error declaration",
)
_METADATA: Final = object_of(
    {
        **dict.fromkeys(("time", "startTime", "endTime"), time),
        **dict.fromkeys(("deviceID", "deviceMetadata", "rawData", "dataProcessingMethod", "bizRules"), uri),
    },
    what="sensor metadata",
)
_REPORT: Final = object_of(
    {
        "type": word_or_uri(words.MEASUREMENTS, "a type of measurement", _WEB_VOCABULARY),
        "exception": word_or_uri(words.SENSOR_ALERTS, "a type of sensor alert", _WEB_VOCABULARY),
        "component": word_or_uri(words.COMPONENTS, "a component", _CBV),
        "time": time,
        "stringValue": text,
        "booleanValue": boolean,
        "hexBinaryValue": matching(r"[A-Fa-f0-9]+", "hexadecimal digits"),
        "uom": text,
        **dict.fromkeys(("value", "minValue", "maxValue", "meanValue", "sDev", "percRank", "percValue"), number),
        **dict.fromkeys(
            (
                *("deviceID", "deviceMetadata", "rawData", "dataProcessingMethod", "bizRules", "microorganism"),
                *("chemicalSubstance", "coordinateReferenceSystem", "uriValue"),
            ),
            uri,
        ),
    },
    required=["type"],
    what="a sensor report",
)
_SENSOR: Final = object_of(
    {"sensorMetadata": _METADATA, "sensorReport": many(_REPORT, at_least=1)},
    required=["sensorReport"],
    what="a sensor element",
)
_ILMD: Final = object_of({}, what="instance and lot master data")

_COMMON: Final[Mapping[str, Check]] = {
    "@context": _CONTEXT,
    "type": anything,  # the event was chosen by it
    "eventTime": time,
    "recordTime": time,
    "eventTimeZoneOffset": _OFFSET,
    "eventID": uri,
    "certificationInfo": by_kind({str: uri, list: uris}, "a URI or a list of URIs"),
    "errorDeclaration": _ERROR,
}
_SHARED: Final[Mapping[str, Check]] = {
    **_COMMON,
    "bizStep": _BIZ_STEP,
    "disposition": _DISPOSITION,
    "readPoint": _PLACE,
    "bizLocation": _PLACE,
    "bizTransactionList": many(_TRANSACTION),
    "sourceList": many(_SOURCE),
    "destinationList": many(_DESTINATION),
    "sensorElementList": many(_SENSOR),
}
_ACTION: Final = word(("ADD", "OBSERVE", "DELETE"), "an action")
_TIMES: Final = ("eventTime", "eventTimeZoneOffset")
_QUANTITIES: Final = many(_QUANTITY)
_PARENT_AND_CHILDREN: Final[Mapping[str, Check]] = {
    **_SHARED,
    "action": _ACTION,
    "parentID": uri,
    "childEPCs": uris,
    "childQuantityList": _QUANTITIES,
}


def _names_what(event: dict[str, Any]) -> Found:
    if "epcList" in event or event.get("quantityList") or (event.get("sensorElementList") and "readPoint" in event):
        return None
    return wrong("must hold an epcList, a quantityList with members, or sensor elements with a readPoint")


def _lot_data_only_when_added(event: dict[str, Any]) -> Found:
    if "ilmd" in event and event.get("action") in {"OBSERVE", "DELETE"}:
        return [(".ilmd", "may stand only where the action is ADD: it describes what comes into being")]
    return None


def _names_children(event: dict[str, Any]) -> Found:
    if event.get("action") == "DELETE" or event.get("childEPCs") or event.get("childQuantityList"):
        return None
    return wrong("must hold childEPCs or a childQuantityList with members, unless the action is DELETE")


def _names_objects(event: dict[str, Any]) -> Found:
    if event.get("action") == "DELETE" or "epcList" in event or event.get("quantityList"):
        return None
    return wrong("must hold an epcList or a quantityList with members, unless the action is DELETE")


def _names_both_sides(event: dict[str, Any]) -> Found:
    inputs = event.get("inputEPCList") or event.get("inputQuantityList")
    outputs = event.get("outputEPCList") or event.get("outputQuantityList")
    if (inputs and outputs) or ((inputs or outputs) and "transformationID" in event):
        return None
    return wrong("must hold inputs and outputs, or one of them and a transformationID")


_EVENTS: Final[Mapping[str, Check]] = {
    "ObjectEvent": all_of(
        object_of(
            {
                **_SHARED,
                "action": _ACTION,
                "epcList": unique_uris,
                "quantityList": _QUANTITIES,
                "persistentDisposition": _PERSISTENT,
                "ilmd": _ILMD,
            },
            required=[*_TIMES, "action"],
            what="an ObjectEvent",
        ),
        _names_what,
        _lot_data_only_when_added,
    ),
    "AggregationEvent": all_of(
        object_of(_PARENT_AND_CHILDREN, required=[*_TIMES, "action"], what="an AggregationEvent"), _names_children
    ),
    "AssociationEvent": all_of(
        object_of(_PARENT_AND_CHILDREN, required=[*_TIMES, "action", "parentID"], what="an AssociationEvent"),
        _names_children,
    ),
    "TransactionEvent": all_of(
        object_of(
            {
                **_SHARED,
                "action": _ACTION,
                "parentID": uri,
                "epcList": uris,
                "quantityList": _QUANTITIES,
                "bizTransactionList": many(_TRANSACTION, at_least=1),
            },
            required=[*_TIMES, "action", "bizTransactionList"],
            what="a TransactionEvent",
        ),
        _names_objects,
    ),
    "TransformationEvent": all_of(
        object_of(
            {
                **_SHARED,
                "inputEPCList": unique_uris,
                "inputQuantityList": _QUANTITIES,
                "outputEPCList": unique_uris,
                "outputQuantityList": _QUANTITIES,
                "transformationID": uri,
                "persistentDisposition": _PERSISTENT,
                "ilmd": _ILMD,
            },
            required=_TIMES,
            what="a TransformationEvent",
        ),
        _names_both_sides,
    ),
}
_EXTENDED_EVENT: Final = object_of(_COMMON, required=_TIMES, further=any_key, what="an event")


def _event(value: Any) -> Found:
    if type(value) is not dict:
        return wrong("must be an object: one event")
    name = value.get("type")
    check = _EVENTS.get(name) if type(name) is str else None
    if check is not None:
        return check(value)
    if "type" not in value:
        return [(".type", "is missing: it says which of the five kinds of event this is")]
    if uri(name) is None:
        return _EXTENDED_EVENT(value)
    listed = ", ".join(_EVENTS)
    return [(".type", f"{shown(name)} is not a type of event: it must be one of {listed}{did_you_mean(name, _EVENTS)}")]


def _bare_event(value: Any) -> Found:
    found = _event(value)
    if type(value) is dict and "@context" not in value:
        return [*(found or ()), (".@context", "is missing: outside a document, an event names its context itself")]
    return found


_VERSION: Final = matching(r"[0-9]+(?:\.[0-9]+)*", "a version such as '2.0'")
_ATTRIBUTE: Final = object_of(
    {"id": uri, "attribute": by_kind(dict.fromkeys((int, float, str, dict), anything), "a number, text or an object")},
    required=["id"],
    further=any_key,
    what="an attribute",
)
_ELEMENT: Final = object_of(
    {"id": uri, "attributes": many(_ATTRIBUTE), "children": uris},
    required=["id"],
    further=any_key,
    what="a vocabulary element",
)
_VOCABULARIES: Final = many(
    object_of(
        {"type": uri, "vocabularyElementList": many(_ELEMENT)}, required=["type"], further=any_key, what="a vocabulary"
    )
)
_HEADER: Final = object_of(
    {"epcisMasterData": object_of({"vocabularyList": _VOCABULARIES}, further=any_key, what="master data")},
    what="the header",
)
_RESULTS: Final = object_of(
    {"eventList": many(_event), "vocabularyList": _VOCABULARIES}, required=["eventList"], what="the results body"
)
_ANSWER: Final = object_of(
    {"queryName": text, "subscriptionID": text, "resultsBody": _RESULTS},
    required=["queryName", "resultsBody"],
    what="the query results",
)
_BODY: Final = object_of({"eventList": many(_event)}, required=["eventList"], further=any_key, what="the body")
_CHECKS: Final[Mapping[Kind, Check]] = {
    Kind.DOCUMENT: object_of(
        {
            "@context": _CONTEXT,
            "id": uri,
            "type": anything,
            "schemaVersion": _VERSION,
            "creationDate": time,
            **dict.fromkeys(("instanceIdentifier", "sender", "receiver"), text),
            "epcisHeader": _HEADER,
            "epcisBody": _BODY,
        },
        required=["@context", "schemaVersion", "creationDate", "epcisBody"],
        what="an EPCISDocument",
    ),
    Kind.QUERY_DOCUMENT: object_of(
        {
            "@context": _CONTEXT,
            "id": uri,
            "type": anything,
            "schemaVersion": _VERSION,
            "creationDate": time,
            "epcisBody": object_of({"queryResults": _ANSWER}, required=["queryResults"], what="the body"),
        },
        required=["@context", "epcisBody"],
        what="an EPCISQueryDocument",
    ),
    Kind.EVENT: _bare_event,
    Kind.LIST: many(_bare_event),
}
