"""What EPCIS 2.0 demands of a document, said as checks: the official JSON schema, and its loose reading.

The schema's `format: uri` and `format: date-time` are asserted. docs/conformance.md says what the loose
reading takes beyond it, and why each of that is safe. Pure.
"""

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final

from ledger.epcis import contexts
from ledger.epcis.checks import (
    Check,
    Found,
    all_of,
    any_key,
    anything,
    boolean,
    by_kind,
    closed_key,
    did_you_mean,
    extension_key,
    many,
    matching,
    number,
    object_of,
    one_of,
    shown,
    text,
    time,
    unique_uris,
    uri,
    uris,
    word,
    wrong,
)
from ledger.epcis.contexts import Vocabulary
from ledger.epcis.reading import Kind

_CBV: Final = re.compile(r"urn:epcglobal:cbv|https?://ns\.gs1\.org/cbv/").match
_WEB_VOCABULARY: Final = re.compile(r"https?://(?:www\.)?gs1\.org/voc/").match
"""URIs that may not stand for a word of the standard: its words stand bare (JSON schema, `vocab-other-uri`)."""

_TIMES: Final = ("eventTime", "eventTimeZoneOffset")
_OFFSET: Final = matching(r"[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00)", "an offset such as +08:00")
_UNIT: Final = matching(r"[A-Z0-9]{2,3}", "a UN/CEFACT unit code of 2 or 3 capitals or digits, such as KGM")
_VERSION: Final = matching(r"[0-9]+(?:\.[0-9]+)*", "a version such as '2.0'")
_ACTION: Final = one_of(("ADD", "OBSERVE", "DELETE"), "an action")
_CONTEXT: Final = by_kind(
    {str: uri, dict: anything, list: many(by_kind({str: uri, dict: anything}, "a URI or an object"), unique=True)},
    "a URI, an object of prefixes, or a list of these",
)

_LOOSE_ID: Final = matching(r"[^\s\x00-\x1f\x7f]{1,2048}", "an identifier without white space")
_LOOSE_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?").fullmatch
_TOKEN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}").fullmatch


def checks_of(*, loose: bool) -> Mapping[Kind, Check]:
    """Return the check of each kind of document."""
    event = _event_check(loose=loose)
    return {
        Kind.DOCUMENT: _document(event, loose=loose),
        Kind.QUERY_DOCUMENT: _query_document(event, loose=loose),
        Kind.EVENT: _bare(event),
        Kind.LIST: many(_bare(event), at_least=1),
    }


# --- documents ---------------------------------------------------------------------------------------


def _document(event: Check, *, loose: bool) -> Check:
    body = object_of({"eventList": many(event)}, required=["eventList"], further=any_key, what="the body")
    return object_of(
        {**_envelope(loose=loose), **_header(loose=loose), "epcisBody": body},
        required=["@context", "epcisBody"] if loose else ["@context", "schemaVersion", "creationDate", "epcisBody"],
        what="an EPCISDocument",
        loose=loose,
    )


def _query_document(event: Check, *, loose: bool) -> Check:
    results = object_of(
        {"eventList": many(event), "vocabularyList": _vocabularies(loose=loose)},
        required=["eventList"],
        what="the results body",
        loose=loose,
    )
    answer = object_of(
        {"queryName": text, "subscriptionID": text, "resultsBody": results},
        required=["resultsBody"] if loose else ["queryName", "resultsBody"],
        what="the query results",
        loose=loose,
    )
    body = object_of({"queryResults": answer}, required=["queryResults"], what="the body", loose=loose)
    return object_of(
        {**_envelope(loose=loose), **(_header(loose=loose) if loose else {}), "epcisBody": body},
        required=["@context", "epcisBody"],
        what="an EPCISQueryDocument",
        loose=loose,
    )


def _envelope(*, loose: bool) -> Mapping[str, Check]:
    return {
        "@context": _CONTEXT,
        "id": _LOOSE_ID if loose else uri,
        "type": anything,  # the check was chosen by it
        "schemaVersion": _VERSION,
        "creationDate": time,
    }


def _header(*, loose: bool) -> Mapping[str, Check]:
    master_data = object_of({"vocabularyList": _vocabularies(loose=loose)}, further=any_key, what="master data")
    header = object_of({"epcisMasterData": master_data}, further=any_key if loose else extension_key, what="the header")
    return {**dict.fromkeys(("instanceIdentifier", "sender", "receiver"), text), "epcisHeader": header}


def _vocabularies(*, loose: bool) -> Check:
    identifier = _LOOSE_ID if loose else uri
    value = by_kind(dict.fromkeys((int, float, str, dict), anything), "a number, text or an object")
    part = partial(object_of, further=any_key, loose=loose)
    attribute = part({"id": identifier, "attribute": value}, required=["id"], what="an attribute")
    element = part(
        {"id": identifier, "attributes": many(attribute), "children": many(identifier)},
        required=["id"],
        what="a vocabulary element",
    )
    return many(
        part({"type": identifier, "vocabularyElementList": many(element)}, required=["type"], what="a vocabulary")
    )


# --- events ------------------------------------------------------------------------------------------


def _event_check(*, loose: bool) -> Check:
    known, extended = _events(loose=loose), object_of(_common(loose=loose), required=_TIMES, further=any_key, what="")

    def check(value: Any) -> Found:
        if type(value) is not dict:
            return wrong("must be an object: one event")
        name = value.get("type")
        one = known.get(name) if type(name) is str else None
        if one is not None:
            return one(value)
        if "type" not in value:
            return [(".type", f"is missing: it must be one of {', '.join(known)}")]
        if uri(name) is None:
            return extended(value)
        hint = did_you_mean(name, known)
        return [(".type", f"{shown(name)} is not a type of event: it must be one of {', '.join(known)}{hint}")]

    return check


def _bare(event: Check) -> Check:
    def check(value: Any) -> Found:
        found = event(value)
        if type(value) is dict and "@context" not in value:
            return [*(found or ()), (".@context", "is missing: outside a document, an event names its context itself")]
        return found

    return check


def _common(*, loose: bool) -> dict[str, Check]:
    identifier, identifiers = (_LOOSE_ID, many(_LOOSE_ID, loose=True)) if loose else (uri, uris)
    reason = _word(contexts.ERROR_REASON, "a reason for an error declaration", _CBV, loose=loose)
    return {
        "@context": _CONTEXT,
        "type": anything,
        "eventTime": time,
        "recordTime": time,
        "eventTimeZoneOffset": _OFFSET,
        "eventID": identifier,
        "certificationInfo": by_kind({str: identifier, list: identifiers}, "a URI or a list of URIs"),
        "errorDeclaration": object_of(
            {"declarationTime": time, "reason": reason, "correctiveEventIDs": identifiers},
            required=["declarationTime"],
            what="an error declaration",
            loose=loose,
        ),
    }


def _events(*, loose: bool) -> Mapping[str, Check]:
    part, some = partial(object_of, loose=loose), partial(many, loose=loose)
    closed = partial(part, further=closed_key)
    identifier: Check = _LOOSE_ID if loose else uri
    identifiers: Check = some(_LOOSE_ID) if loose else uris
    unique: Check = some(_LOOSE_ID, unique=True) if loose else unique_uris
    disposition = _word(contexts.DISPOSITION, "a disposition", _CBV, loose=loose)
    side = _word(contexts.PARTY_TYPE, "a type of source or destination", _CBV, loose=loose)
    transaction_type = _word(contexts.TRANSACTION_TYPE, "a type of business transaction", _CBV, loose=loose)
    place = part({"id": identifier}, required=["id"], further=any_key, what="a place")
    if loose:
        place = by_kind({str: _LOOSE_ID, dict: part({"id": identifier}, required=["id"], what="a place")}, "a place")
    quantities = some(
        closed(
            {"epcClass": identifier, "quantity": _number(loose=loose), "uom": _UNIT},
            required=["epcClass"],
            what="a quantity",
        )
    )
    transactions = partial(
        some,
        closed(
            {"type": transaction_type, "bizTransaction": identifier},
            required=["bizTransaction"],
            what="a business transaction",
        ),
    )
    dispositions = some(disposition, at_least=1, unique=True)
    persistent: Mapping[str, Check] = {
        "persistentDisposition": all_of(
            closed({"set": dispositions, "unset": dispositions}, what="a persistent disposition"),
            lambda value: None if "set" in value or "unset" in value else wrong("must hold 'set' or 'unset'"),
        )
    }
    shared: Mapping[str, Check] = {
        **_common(loose=loose),
        **(persistent if loose else {}),
        "bizStep": _word(contexts.BIZ_STEP, "a business step", _CBV, loose=loose),
        "disposition": disposition,
        "readPoint": place,
        "bizLocation": place,
        "bizTransactionList": transactions(),
        "sourceList": some(closed({"type": side, "source": identifier}, required=["type", "source"], what="a source")),
        "destinationList": some(
            closed({"type": side, "destination": identifier}, required=["type", "destination"], what="a destination")
        ),
        "sensorElementList": some(_sensor(loose=loose)),
    }
    parts: Mapping[str, Check] = {
        **shared,
        "action": _ACTION,
        "parentID": identifier,
        "childEPCs": identifiers,
        "childQuantityList": quantities,
    }
    lot_data: Mapping[str, Check] = {"ilmd": part({}, what="instance and lot master data")}
    with_action = (*_TIMES, "action")
    return {
        "ObjectEvent": all_of(
            part(
                {
                    **shared,
                    **persistent,
                    **lot_data,
                    "action": _ACTION,
                    "epcList": unique,
                    "quantityList": quantities,
                },
                required=with_action,
                what="an ObjectEvent",
            ),
            _names_something,
            _lot_data_only_when_added,
        ),
        "AggregationEvent": all_of(
            part(parts, required=with_action, what="an AggregationEvent"),
            _names_children,
        ),
        "TransactionEvent": all_of(
            part(
                {
                    **shared,
                    "action": _ACTION,
                    "parentID": identifier,
                    "epcList": identifiers,
                    "quantityList": quantities,
                    "bizTransactionList": transactions(at_least=1),
                },
                required=[*with_action, "bizTransactionList"],
                what="a TransactionEvent",
            ),
            _names_objects,
        ),
        "TransformationEvent": all_of(
            part(
                {
                    **shared,
                    **persistent,
                    **lot_data,
                    "inputEPCList": unique,
                    "inputQuantityList": quantities,
                    "outputEPCList": unique,
                    "outputQuantityList": quantities,
                    "transformationID": identifier,
                },
                required=_TIMES,
                what="a TransformationEvent",
            ),
            _names_both_ends,
        ),
        "AssociationEvent": all_of(
            part(parts, required=[*with_action, "parentID"], what="an AssociationEvent"),
            _names_children,
        ),
    }


def _sensor(*, loose: bool) -> Check:
    identifier: Check = _LOOSE_ID if loose else uri
    metadata = object_of(
        {
            **dict.fromkeys(("time", "startTime", "endTime"), time),
            **dict.fromkeys(("deviceID", "deviceMetadata", "rawData", "dataProcessingMethod", "bizRules"), identifier),
        },
        what="sensor metadata",
        loose=loose,
    )
    measurement = _word(contexts.MEASUREMENT, "a type of measurement", _WEB_VOCABULARY, loose=loose)
    report = object_of(
        {
            "type": _open(measurement) if loose else measurement,
            "exception": _word(contexts.SENSOR_ALERT, "a type of sensor alert", _WEB_VOCABULARY, loose=loose),
            "component": _word(contexts.COMPONENT, "a component", _CBV, loose=loose),
            "time": time,
            "stringValue": text,
            "booleanValue": _boolean(loose=loose),
            "hexBinaryValue": matching(r"[A-Fa-f0-9]+", "hexadecimal digits"),
            "uom": text,
            **dict.fromkeys(
                ("value", "minValue", "maxValue", "meanValue", "sDev", "percRank", "percValue"), _number(loose=loose)
            ),
            **dict.fromkeys(
                (
                    *("deviceID", "deviceMetadata", "rawData", "dataProcessingMethod", "bizRules", "microorganism"),
                    *("chemicalSubstance", "coordinateReferenceSystem", "uriValue"),
                ),
                identifier,
            ),
        },
        required=() if loose else ["type"],
        what="a sensor report",
        loose=loose,
    )
    return object_of(
        {"sensorMetadata": metadata, "sensorReport": many(report, at_least=1, loose=loose)},
        required=["sensorReport"],
        what="a sensor element",
        loose=loose,
    )


# --- rules over several fields -------------------------------------------------------------------------


def _names_something(event: dict[str, Any]) -> Found:
    if "epcList" in event or event.get("quantityList") or (event.get("sensorElementList") and "readPoint" in event):
        return None
    return wrong("must hold an epcList, a quantityList with members, or sensor elements with a readPoint")


def _lot_data_only_when_added(event: dict[str, Any]) -> Found:
    if "ilmd" in event and event.get("action") in _NOT_ADDING:
        return [(".ilmd", "may stand only where the action is ADD: it describes what comes into being")]
    return None


_NOT_ADDING: Final = ("OBSERVE", "DELETE")


def _names_children(event: dict[str, Any]) -> Found:
    if event.get("action") == "DELETE" or event.get("childEPCs") or event.get("childQuantityList"):
        return None
    return wrong("must hold childEPCs or a childQuantityList with members, unless the action is DELETE")


def _names_objects(event: dict[str, Any]) -> Found:
    if event.get("action") == "DELETE" or "epcList" in event or event.get("quantityList"):
        return None
    return wrong("must hold an epcList or a quantityList with members, unless the action is DELETE")


def _names_both_ends(event: dict[str, Any]) -> Found:
    inputs = event.get("inputEPCList") or event.get("inputQuantityList")
    outputs = event.get("outputEPCList") or event.get("outputQuantityList")
    if (inputs and outputs) or ((inputs or outputs) and "transformationID" in event):
        return None
    return wrong("must hold inputs and outputs, or one of them and a transformationID")


# --- single values, strictly and loosely ---------------------------------------------------------------


def _word(vocabulary: Vocabulary, what: str, standard: Callable[[str], object], *, loose: bool) -> Check:
    strictly = word(vocabulary.words, what, standard)
    if not loose:
        return strictly

    def check(value: Any) -> Found:
        is_known = type(value) is str and vocabulary.bare(value) in vocabulary.words
        return None if is_known else strictly(value)

    return check


def _open(check: Check) -> Check:
    """Return a check that takes any bare word too: the list of measurements grows with the GS1 Web Vocabulary."""
    return lambda value: None if type(value) is str and _TOKEN(value) else check(value)


def _number(*, loose: bool) -> Check:
    return (lambda value: None if type(value) is str and _LOOSE_NUMBER(value) else number(value)) if loose else number


def _boolean(*, loose: bool) -> Check:
    return (lambda value: None if value in _BOOLEANS else boolean(value)) if loose else boolean


_BOOLEANS: Final[Collection[Any]] = ("true", "false")
