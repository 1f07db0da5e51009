"""EPCIS 2.0 events as frozen types, and the way to and from their JSON-LD form.

The five event types share their fields through `_Event`. What the standard does not name (our
`gy:` fields among it) is kept in `extensions`, exactly as written: in the event, and in the parts of
it that may be extended too. Times are RFC 3339 text in UTC with milliseconds, the form that is
hashed; `ledger.kernel.clock` reads and writes it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct, field

from ledger.errors import EventError
from ledger.kernel.clock import TimeError, format_time, parse_time
from ledger.vocabulary import Action

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Uri = Annotated[str, Meta(min_length=1, max_length=2048)]
Text = Annotated[str, Meta(min_length=1, max_length=2048)]
Offset = Annotated[str, Meta(pattern=r"^[+-](0\d|1[0-3]):[0-5]\d$|^[+-]14:00$")]
Identifiers = Annotated[tuple[Uri, ...], Meta(max_length=2500)]
"""More do not fit an entry, at their usual length. Our own sentences stay below 500 (`ledger.epcis.profile`)."""


class Quantity(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", forbid_unknown_fields=True):
    """An amount of a class of things. Without `uom` it counts pieces."""

    epc_class: Uri
    quantity: int | float | None = None
    uom: Text | None = None


class Place(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A read point or business location."""

    id: Uri
    extensions: dict[str, Any] = field(default_factory=dict)


class TransactionReference(
    Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", forbid_unknown_fields=True
):
    """A business document that the event belongs to."""

    biz_transaction: Uri
    type: Text | None = None


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where things come from: a place or a party."""

    type: Text
    source: Uri


class Destination(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where things go to: a place or a party."""

    type: Text
    destination: Uri


_SENSOR_NAMES = {"device_id": "deviceID", "device_metadata": "deviceMetadata", "s_dev": "sDev"}


def _camel(name: str) -> str:
    return _SENSOR_NAMES.get(name) or name.split("_", maxsplit=1)[0] + "".join(
        part.title() for part in name.split("_")[1:]
    )


class SensorMetadata(Struct, frozen=True, kw_only=True, omit_defaults=True, rename=_camel, forbid_unknown_fields=True):
    """Which device measured, when, and where the raw bytes are."""

    time: Text | None = None
    start_time: Text | None = None
    end_time: Text | None = None
    device_id: Uri | None = None
    device_metadata: Uri | None = None
    raw_data: Uri | None = None
    data_processing_method: Uri | None = None
    biz_rules: Uri | None = None
    extensions: dict[str, Any] = field(default_factory=dict)


class SensorReport(Struct, frozen=True, kw_only=True, omit_defaults=True, rename=_camel, forbid_unknown_fields=True):
    """One measured quantity: a value, or the summary of many."""

    type: Text | None = None
    exception: Text | None = None
    component: Uri | None = None
    time: Text | None = None
    value: int | float | None = None
    min_value: int | float | None = None
    max_value: int | float | None = None
    mean_value: int | float | None = None
    s_dev: int | float | None = None
    perc_rank: int | float | None = None
    perc_value: int | float | None = None
    string_value: str | None = None
    boolean_value: bool | None = None
    hex_binary_value: str | None = None
    uri_value: Uri | None = None
    uom: str | None = None
    device_id: Uri | None = None
    device_metadata: Uri | None = None
    raw_data: Uri | None = None
    biz_rules: Uri | None = None
    chemical_substance: Uri | None = None
    microorganism: Uri | None = None
    coordinate_reference_system: Uri | None = None
    data_processing_method: Uri | None = None
    extensions: dict[str, Any] = field(default_factory=dict)


class SensorElement(Struct, frozen=True, kw_only=True, omit_defaults=True, rename=_camel, forbid_unknown_fields=True):
    """One sensor's metadata and reports."""

    sensor_report: tuple[SensorReport, ...]
    sensor_metadata: SensorMetadata | None = None
    extensions: dict[str, Any] = field(default_factory=dict)


class ErrorDeclaration(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"declaration_time": "declarationTime", "corrective_event_ids": "correctiveEventIDs"},
    forbid_unknown_fields=True,
):
    """Says that the event of the same id was wrong, and which later events put it right."""

    declaration_time: Text
    reason: Text | None = None
    corrective_event_ids: Identifiers = ()
    extensions: dict[str, Any] = field(default_factory=dict)


class PersistentDisposition(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Dispositions that stay until they are unset."""

    set: tuple[Text, ...] = ()
    unset: tuple[Text, ...] = ()


_EVENT_NAMES = {
    "event_id": "eventID",
    "epc_list": "epcList",
    "parent_id": "parentID",
    "child_epcs": "childEPCs",
    "transformation_id": "transformationID",
    "input_epc_list": "inputEPCList",
    "output_epc_list": "outputEPCList",
}


def _event_camel(name: str) -> str:
    return _EVENT_NAMES.get(name) or name.split("_", maxsplit=1)[0] + "".join(
        part.title() for part in name.split("_")[1:]
    )


class _Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", rename=_event_camel):
    event_time: Text
    event_time_zone_offset: Offset
    event_id: Uri | None = None
    record_time: Text | None = None
    error_declaration: ErrorDeclaration | None = None
    certification_info: Uri | tuple[Uri, ...] | None = None
    biz_step: Text | None = None
    disposition: Text | None = None
    persistent_disposition: PersistentDisposition | None = None
    read_point: Place | None = None
    biz_location: Place | None = None
    biz_transaction_list: tuple[TransactionReference, ...] = ()
    source_list: tuple[Source, ...] = ()
    destination_list: tuple[Destination, ...] = ()
    sensor_element_list: tuple[SensorElement, ...] = ()
    extensions: dict[str, Any] = field(default_factory=dict)
    """What the standard does not name, under namespaced keys, as written."""

    @property
    def sentence(self) -> str | None:
        """Our sentence and edition (`packed/1`), or None for an event that came from elsewhere."""
        value = self.extensions.get("gy:sentence")
        return value if isinstance(value, str) else None


class ObjectEvent(
    _Event, frozen=True, kw_only=True, tag="ObjectEvent", rename=_event_camel, forbid_unknown_fields=True
):
    """Something happened to objects (EPCIS 2.0, 7.4.2)."""

    action: Action
    epc_list: Identifiers = ()
    quantity_list: tuple[Quantity, ...] = ()
    ilmd: dict[str, Any] = field(default_factory=dict)


class AggregationEvent(
    _Event, frozen=True, kw_only=True, tag="AggregationEvent", rename=_event_camel, forbid_unknown_fields=True
):
    """Children were put into a parent, seen in it, or taken out (7.4.3)."""

    action: Action
    parent_id: Uri | None = None
    child_epcs: Identifiers = ()
    child_quantity_list: tuple[Quantity, ...] = ()


class AssociationEvent(
    _Event, frozen=True, kw_only=True, tag="AssociationEvent", rename=_event_camel, forbid_unknown_fields=True
):
    """Objects were fixed to a parent that may be a place (7.4.6)."""

    action: Action
    parent_id: Uri | None = None
    child_epcs: Identifiers = ()
    child_quantity_list: tuple[Quantity, ...] = ()


class TransactionEvent(
    _Event, frozen=True, kw_only=True, tag="TransactionEvent", rename=_event_camel, forbid_unknown_fields=True
):
    """Objects became part of a business transaction, or left it (7.4.4)."""

    action: Action
    parent_id: Uri | None = None
    epc_list: Identifiers = ()
    quantity_list: tuple[Quantity, ...] = ()


class TransformationEvent(
    _Event, frozen=True, kw_only=True, tag="TransformationEvent", rename=_event_camel, forbid_unknown_fields=True
):
    """Inputs were used up and outputs made (7.4.5)."""

    transformation_id: Uri | None = None
    input_epc_list: Identifiers = ()
    output_epc_list: Identifiers = ()
    input_quantity_list: tuple[Quantity, ...] = ()
    output_quantity_list: tuple[Quantity, ...] = ()
    ilmd: dict[str, Any] = field(default_factory=dict)


Event: TypeAlias = ObjectEvent | AggregationEvent | AssociationEvent | TransactionEvent | TransformationEvent

_TYPES: Final[Mapping[str, type[_Event]]] = {
    cls.__name__: cls
    for cls in (ObjectEvent, AggregationEvent, AssociationEvent, TransactionEvent, TransformationEvent)
}
EVENT_TYPES: Final = frozenset(_TYPES)
"""The names of the five event types."""
_EXTENSIBLE: Final[Sequence[type[Struct]]] = (
    *_TYPES.values(),
    ErrorDeclaration,
    Place,
    SensorElement,
    SensorMetadata,
    SensorReport,
)
_KNOWN: Final[Mapping[type[Struct], frozenset[str]]] = {
    cls: frozenset(info.encode_name for info in msgspec.structs.fields(cls)) - {"extensions"}
    | ({"type"} if issubclass(cls, _Event) else set())
    for cls in _EXTENSIBLE
}
_TIMES: Final = ("eventTime", "recordTime")
_NORMAL_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_PARTS: Final = (("errorDeclaration", ErrorDeclaration), ("readPoint", Place), ("bizLocation", Place))
"""Parts of an event that may carry extensions of their own (EPCIS 2.0 JSON schema)."""


def parse_event(document: Mapping[str, Any]) -> Event:
    """Return the event in a JSON-LD object. Raises EventError naming the path and what is wrong.

    `@context` is dropped: the log writes its own. Times come back normalised to UTC milliseconds.
    """
    name = document.get("type")
    if not isinstance(name, str) or name not in _TYPES:
        raise EventError("$.type", f"{name!r} is not an EPCIS event type")
    known = _split({key: value for key, value in document.items() if key != "@context"}, _TYPES[name], "$")
    for key in _TIMES:
        if key in known:
            known[key] = _normal_time(f"$.{key}", known[key])
    for key, cls in _PARTS:
        if isinstance(known.get(key), Mapping):
            known[key] = _split(known[key], cls, f"$.{key}")
    declaration = known.get("errorDeclaration")
    if isinstance(declaration, dict) and "declarationTime" in declaration:
        path = "$.errorDeclaration.declarationTime"
        declaration["declarationTime"] = _normal_time(path, declaration["declarationTime"])
    if isinstance(known.get("sensorElementList"), list | tuple):
        known["sensorElementList"] = [
            _sensor_element(element, f"$.sensorElementList[{i}]")
            for i, element in enumerate(known["sensorElementList"])
        ]
    try:
        return msgspec.convert(known, type=_TYPES[name], strict=True)  # type: ignore[return-value]  # _TYPES holds exactly the members of Event
    except msgspec.ValidationError as error:
        raise _named(error) from error


def document(event: Event) -> dict[str, Any]:
    """Return the event as a JSON object without `@context`."""
    plain: dict[str, Any] = _plain(unfolded(event))
    return plain


def unfolded(event: Event) -> dict[str, Any]:
    """Return what `document` returns, its lists still tuples: enough for canonical bytes.

    Raises EventError for an extension without a namespace: it has no JSON form.
    """
    return _unfold(msgspec.to_builtins(event))


def readable(event: Event) -> dict[str, Any]:
    """Return what `unfolded` returns, sure that `parse_event` would read it back. Raises EventError.

    The types say all that parsing demands, except of times and of extension keys; asking them costs a
    seventh of parsing.
    """
    built = msgspec.to_builtins(event)
    try:
        msgspec.convert(built, type=type(event), strict=True)
    except msgspec.ValidationError as error:
        raise _named(error) from error
    _demand_normal_time("$.eventTime", event.event_time)
    if event.error_declaration is not None:
        _demand_normal_time("$.errorDeclaration.declarationTime", event.error_declaration.declaration_time)
    return _unfold(built)


def _demand_normal_time(path: str, value: str) -> None:
    if _NORMAL_TIME.fullmatch(value) is None:
        raise EventError(path, f"{value!r} is not in UTC with milliseconds and Z")
    _normal_time(path, value)


def _unfold(built: dict[str, Any]) -> dict[str, Any]:
    parts = [built, *(built[key] for key, _ in _PARTS if key in built)]
    for element in built.get("sensorElementList", ()):
        parts += [element, *element["sensorReport"]]
        if "sensorMetadata" in element:
            parts.append(element["sensorMetadata"])
    for part in parts:
        extensions = part.pop("extensions", None)
        if extensions:
            for key in extensions:
                if ":" not in key:
                    raise EventError(f"$.{key}", "is not a field of this part of an event, and has no namespace")
            part.update(extensions)
    return built


def _named(error: msgspec.ValidationError) -> EventError:
    reason, _, path = str(error).partition(" - at `")
    return EventError(path.rstrip("`") or "$", reason)


def _split(part: Mapping[str, Any], cls: type[Struct], path: str) -> dict[str, Any]:
    """Put what the standard does not name, but has a namespace, under `extensions`."""
    names = _KNOWN[cls]
    if part.keys() <= names:
        return dict(part)
    known, extensions = {}, {}
    for key, value in part.items():
        if key in names:
            known[key] = value
        elif ":" in key:
            extensions[key] = value
        else:
            raise EventError(f"{path}.{key}", "is not a field of this part of an event, and has no namespace")
    known["extensions"] = extensions
    return known


def _sensor_element(element: Any, path: str) -> Any:
    if not isinstance(element, Mapping):
        return element  # msgspec names the path and what is wrong
    known = _split(element, SensorElement, path)
    if isinstance(known.get("sensorMetadata"), Mapping):
        known["sensorMetadata"] = _split(known["sensorMetadata"], SensorMetadata, f"{path}.sensorMetadata")
    if isinstance(known.get("sensorReport"), list | tuple):
        known["sensorReport"] = [
            _split(report, SensorReport, f"{path}.sensorReport[{i}]") if isinstance(report, Mapping) else report
            for i, report in enumerate(known["sensorReport"])
        ]
    return known


def _plain(value: Any) -> Any:
    """The same value with lists for tuples: what JSON would give back."""
    if isinstance(value, dict):
        return {key: item if type(item) is str else _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [item if type(item) is str else _plain(item) for item in value]
    return value


def _normal_time(path: str, value: object) -> str:
    if not isinstance(value, str):
        raise EventError(path, "is not text")
    try:
        moment = parse_time(value)
        return value if _NORMAL_TIME.fullmatch(value) else format_time(moment)
    except TimeError as error:
        raise EventError(path, str(error)) from error
