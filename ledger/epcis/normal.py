"""The normal form of an event: the one spelling that is hashed and stored, whatever spelling came in.

What changes is spelling alone: CBV words become bare words, CURIEs full IRIs, GS1 identifiers canonical Digital
Links, times UTC with milliseconds, `1.0` the number `1`. What cannot be read as its field demands is left as it is,
for the profile to refuse. Doing it twice changes nothing. Pure.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

from ledger.canonical import MAX_SAFE_INTEGER
from ledger.epcis.contexts import (
    BIZ_STEP,
    COMPONENT,
    DISPOSITION,
    ENTRY_CONTEXT,
    ERROR_REASON,
    MEASUREMENT,
    PARTY_TYPE,
    SENSOR_ALERT,
    TRANSACTION_TYPE,
    Context,
    Vocabulary,
)
from ledger.epcis.identifiers import canonical_identifier
from ledger.epcis.reading import Document, Kind
from ledger.errors import EventError, UnknownContextError

_Reading: TypeAlias = Callable[[Any, Context], Any]
_EPCIS: Final = "https://ref.gs1.org/epcis/"
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_NUMBER: Final = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\s*")
_HALF_MS: Final = timedelta(microseconds=500)
_BOOLEANS: Final[Mapping[str, bool]] = {"true": True, "True": True, "false": False, "False": False}


def normal_event(event: Mapping[str, Any], context: Context = ENTRY_CONTEXT) -> dict[str, Any]:
    """Return the event in normal form, without `@context`.

    `context` is the document's; the event's own `@context`, if it has one, is read on top of it. Raises
    UnknownContextError for that, and EventError for a prefix that passes for ours and is not declared.
    """
    if "@context" in event:
        context = context.within(event["@context"])
    return _part(event, context, _EVENT)


def normal_events(document: Document) -> list[dict[str, Any]]:
    """Return every event of a document in normal form, in order.

    Raises as normal_event does, with the event's path, and EventError for something among the events that is none.
    """
    _refuse_others(document)
    bare = document.kind in {Kind.EVENT, Kind.LIST}
    around = Context() if bare else Context.of(document.context)
    found = []
    for event, path in zip(document.events, document.paths, strict=True):
        context = ENTRY_CONTEXT if bare and event.get("@context") is None else around
        try:
            found.append(normal_event(event, context))
        except UnknownContextError as error:
            raise UnknownContextError(path + error.path[1:], error.context) from error
        except EventError as error:
            raise EventError(path + error.path[1:], error.reason) from error
    return found


def _refuse_others(document: Document) -> None:
    for event, path in zip(document.events, document.paths, strict=True):
        if not isinstance(event.get("type"), str):
            raise EventError(f"{path}.type", "is missing: this is not an EPCIS event")
    if document.kind is Kind.EVENT:
        return
    where, listed = "$", document.value
    if document.kind is not Kind.LIST:
        inner = ("queryResults", "resultsBody") if document.kind is Kind.QUERY_DOCUMENT else ()
        for name in ("epcisBody", *inner, "eventList"):
            where, listed = f"{where}.{name}", listed.get(name) if isinstance(listed, dict) else None
    if isinstance(listed, list):
        for i, event in enumerate(listed):
            if not isinstance(event, dict):
                raise EventError(f"{where}[{i}]", "is not an object, so not an event")
    elif not document.events:
        raise EventError(where, "is not a list of events")


# --- readings of single values ------------------------------------------------------------------


def _identifier(value: Any, context: Context) -> Any:
    return canonical_identifier(context.expand(value)) if type(value) is str else value


def _uri(value: Any, context: Context) -> Any:
    return context.expand(value) if type(value) is str else value


def _same(value: Any, _: Context) -> Any:
    return value


def _time(value: Any, _: Context) -> Any:
    """UTC, `Z`, milliseconds, half a millisecond rounded up (CBV 2.0, 8.9: as the hash has it)."""
    if type(value) is not str or _TIME.fullmatch(value):
        return value
    try:
        moment = datetime.fromisoformat(value.strip().upper())  # RFC 3339 has `t` and `z` too
        if moment.tzinfo is None:
            return value
        moment = moment.astimezone(UTC) + _HALF_MS
    except (ValueError, OverflowError):
        return value
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def _number(value: Any, _: Context) -> Any:
    kind = type(value)
    if kind is float:
        return int(value) if value.is_integer() and abs(value) <= MAX_SAFE_INTEGER else value
    if kind is str and _NUMBER.fullmatch(value):
        return _number_in(value)
    return value


def _number_in(text: str) -> Any:
    """The number that text spells, unless a float cannot hold it exactly as it is written."""
    try:
        exact = Decimal(text.strip())
        near = float(exact)
        if exact == exact.to_integral_value():
            return int(exact) if abs(exact) <= MAX_SAFE_INTEGER else text
        return near if Decimal(repr(near)) == exact else text
    except (InvalidOperation, OverflowError, ValueError):
        return text


def _boolean(value: Any, _: Context) -> Any:
    return _BOOLEANS.get(value, value) if type(value) is str else value


def _word(vocabulary: Vocabulary) -> _Reading:
    known, bare = vocabulary.words, vocabulary.bare

    def read(value: Any, context: Context) -> Any:
        if type(value) is not str or value in known:
            return value
        return bare(context.expand(value))

    return read


def _event_type(value: Any, context: Context) -> Any:
    return context.expand(value).removeprefix(_EPCIS) if type(value) is str else value


# --- readings of parts --------------------------------------------------------------------------


def _part(part: Mapping[str, Any], context: Context, fields: Mapping[str, _Reading]) -> dict[str, Any]:
    """Return an object with each standard field as its reading says and extensions under their full names."""
    built: dict[str, Any] = {}
    for name, value in part.items():
        if value is None:
            continue
        reading = fields.get(name)
        if reading is not None:
            if value == "" and reading is not _same:
                continue  # no identifier, word or time: the field does not stand
            read = reading(value, context)
            if read is not None:
                built[name] = read
        elif name[:1] == "_" or name == "@context":
            continue  # a comment, for no JSON-LD term starts so; a context that was read
        elif ":" in name:
            _extend(built, context.key(name), _extension(value, context))
        else:
            _extend(built, name, value)
    return built


def _extend(built: dict[str, Any], key: str, value: Any) -> None:
    """Add an extension; two spellings of one name are two values of it."""
    if value is None or value == []:
        return
    if key in built:
        built[key] = [*_as_list(built[key]), *_as_list(value)]
    else:
        built[key] = value


def _extension(value: Any, context: Context) -> Any:
    kind = type(value)
    if kind is str:
        return context.literal(value) if ":" in value else value
    if kind is float:
        return _number(value, context)
    if kind is dict:
        built: dict[str, Any] = {}
        for name, item in value.items():
            _extend(built, context.key(name) if ":" in name else name, _extension(item, context))
        return built
    if kind is list:
        kept = [_extension(item, context) for item in value if item is not None]
        return [item for item in kept if item != []]
    return value


def _as_list(value: Any) -> list[Any]:
    return value if type(value) is list else [value]


def _many(reading: _Reading) -> _Reading:
    """A list; one value alone is a list of one (a JSON-LD set), an empty one is left away."""

    def read(value: Any, context: Context) -> Any:
        items = value if type(value) is list else [value]
        read = [reading(item, context) for item in items if item is not None]
        return ([item for item in read if item is not None] if None in read else read) or None

    return read


def _object(fields: Mapping[str, _Reading]) -> _Reading:
    def read(value: Any, context: Context) -> Any:
        return (_part(value, context, fields) or None) if isinstance(value, dict) else value

    return read


def _objects(fields: Mapping[str, _Reading]) -> _Reading:
    return _many(_object(fields))


def _place(value: Any, context: Context) -> Any:
    return {"id": _identifier(value, context)} if type(value) is str else _in_place(value, context)


def _certification(value: Any, context: Context) -> Any:
    read = [_uri(item, context) for item in _as_list(value) if item is not None]
    return read[0] if len(read) == 1 else read or None


def _ilmd(value: Any, context: Context) -> Any:
    return _extension(value, context) or None


_in_place: Final = _object({"id": _identifier})
_quantities: Final = _objects({"epcClass": _identifier, "quantity": _number, "uom": _same})
_identifiers: Final = _many(_identifier)
_dispositions: Final = _many(_word(DISPOSITION))

_METADATA: Final[Mapping[str, _Reading]] = {
    "time": _time,
    "startTime": _time,
    "endTime": _time,
    "deviceID": _identifier,
    "deviceMetadata": _uri,
    "rawData": _uri,
    "dataProcessingMethod": _uri,
    "bizRules": _uri,
}
_REPORT: Final[Mapping[str, _Reading]] = {
    "type": _word(MEASUREMENT),
    "exception": _word(SENSOR_ALERT),
    "component": _word(COMPONENT),
    "time": _time,
    "deviceID": _identifier,
    "deviceMetadata": _uri,
    "rawData": _uri,
    "dataProcessingMethod": _uri,
    "bizRules": _uri,
    "microorganism": _uri,
    "chemicalSubstance": _uri,
    "coordinateReferenceSystem": _uri,
    "uriValue": _uri,
    "stringValue": _same,
    "hexBinaryValue": _same,
    "booleanValue": _boolean,
    "uom": _same,
    **dict.fromkeys(
        ("value", "minValue", "maxValue", "meanValue", "sDev", "percRank", "percValue"),
        _number,
    ),
}
_EVENT: Final[Mapping[str, _Reading]] = {
    "type": _event_type,
    "eventID": _uri,
    "eventTime": _time,
    "recordTime": _time,
    "eventTimeZoneOffset": _same,
    "action": _same,
    "certificationInfo": _certification,
    "bizStep": _word(BIZ_STEP),
    "disposition": _word(DISPOSITION),
    "persistentDisposition": _object({"set": _dispositions, "unset": _dispositions}),
    "readPoint": _place,
    "bizLocation": _place,
    "parentID": _identifier,
    "transformationID": _identifier,
    **dict.fromkeys(("epcList", "childEPCs", "inputEPCList", "outputEPCList"), _identifiers),
    **dict.fromkeys(
        ("quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList"),
        _quantities,
    ),
    "bizTransactionList": _objects({"type": _word(TRANSACTION_TYPE), "bizTransaction": _identifier}),
    "sourceList": _objects({"type": _word(PARTY_TYPE), "source": _identifier}),
    "destinationList": _objects({"type": _word(PARTY_TYPE), "destination": _identifier}),
    "sensorElementList": _objects({"sensorMetadata": _object(_METADATA), "sensorReport": _objects(_REPORT)}),
    "errorDeclaration": _object(
        {"declarationTime": _time, "reason": _word(ERROR_REASON), "correctiveEventIDs": _many(_uri)}
    ),
    "ilmd": _ilmd,
}
