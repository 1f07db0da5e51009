"""Reading events back: the EPCIS 2.0 query parameters with fixed names, over the log.

Identifiers, eventIDs and times are asked of indexes; the rest is looked at in each entry that these leave
over. One request looks at a bounded number of entries and says where to go on, so a query that nothing
matches costs many small requests and never one endless one.
"""

import base64
import binascii
import operator
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Select, Table, exists, tuple_, type_coerce
from sqlmodel import Session, select

from ledger.epcis.contexts import BIZ_STEP, DISPOSITION, ERROR_REASON, MEASUREMENT, Vocabulary
from ledger.epcis.identifiers import canonical_identifier
from ledger.errors import QueryParameterError, QueryTooComplexError, QueryTooLargeError
from ledger.events import EVENT_TYPES
from ledger.kernel.clock import TimeError, parse_time
from ledger.kernel.columns import milliseconds
from ledger.lineage import Role
from ledger.models import Entry, Naming
from ledger.vocabulary import Action

Json = Mapping[str, Any]

PER_PAGE: Final = 30
"""Events of a page, where the query does not say (EPCIS 2.0 OpenAPI)."""
MOST_PER_PAGE: Final = 1000
MOST_VALUES: Final = 100
"""Most values of one parameter."""
MOST_LOOKED_AT: Final = 20_000
"""Most entries that one request looks at."""
EFFECTIVE: Final = "guoyuan:effective"
"""Our own parameter: `true` leaves out events that were declared wrong, and the declarations."""

_ENTRY: Final[Table] = Entry.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
_NAMING: Final[Table] = Naming.__table__  # type: ignore[attr-defined]
_CHUNK: Final = 1000


class Order(StrEnum):
    """What a page is sorted by. `RECORDED` is our own order where the query names none: that of writing."""

    EVENT_TIME = "eventTime"
    RECORD_TIME = "recordTime"
    RECORDED = ""


Condition = Callable[[Json], bool]
"""Something that an event must be, asked of its JSON form."""


@dataclass(frozen=True, slots=True)
class Named:
    """The event names one of these identifiers in one of these roles, says the index."""

    identifiers: tuple[str, ...]
    roles: int


@dataclass(frozen=True, slots=True)
class Span:
    """A time on one side of a moment."""

    order: Order
    is_from: bool
    """`GE_`, not `LT_`."""
    moment_ms: int


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for. Made by `parse` alone."""

    event_ids: tuple[str, ...] | None = None
    spans: tuple[Span, ...] = ()
    named: tuple[Named, ...] = ()
    conditions: tuple[Condition, ...] = ()
    is_effective: bool = False
    order: Order = Order.RECORDED
    is_descending: bool = False
    at_most: int | None = None
    """eventCountLimit: the first so many."""
    refuse_above: int | None = None
    """maxEventCount: none at all if there are more."""
    per_page: int = PER_PAGE
    after: tuple[int, int] | None = None
    """Where the page before ended: sort key and id."""


@dataclass(frozen=True, slots=True)
class Page:
    """The events of a page as they stand in the log, and how to ask for the next."""

    events: tuple[dict[str, Any], ...]
    next_token: str | None = None


def events_of(session: Session, event_id: str) -> list[dict[str, Any]]:
    """Return the event with this eventID and its error declaration, as far as they are recorded."""
    rows = session.execute(select(_ENTRY.c.data).where(_ENTRY.c.event_id == event_id).order_by(_ENTRY.c.is_declaration))
    return [msgspec.json.decode(data) for (data,) in rows]


def run(session: Session, query: Query) -> Page:
    """Return one page of what matches, perhaps fewer than `per_page` although there are more.

    Raises QueryTooLargeError for more than `refuse_above`, QueryTooComplexError where that cannot be said.
    """
    if query.refuse_above is not None:
        _refuse_too_many(session, query, query.refuse_above)
    wanted = query.per_page if query.at_most is None else min(query.per_page, query.at_most)
    found, place, is_end = _look(session, query, wanted)
    left = None if query.at_most is None else query.at_most - len(found)
    if is_end or place is None or left == 0:
        return Page(tuple(found))
    return Page(tuple(found), _token(query, place, left))


def _refuse_too_many(session: Session, query: Query, limit: int) -> None:
    found, _, is_end = _look(session, replace(query, after=None), limit + 1)
    if len(found) > limit:
        raise QueryTooLargeError(limit)
    if not is_end:
        raise QueryTooComplexError(MOST_LOOKED_AT)


def _look(session: Session, query: Query, wanted: int) -> tuple[list[dict[str, Any]], tuple[int, int] | None, bool]:
    """Return up to so many events that match, where looking ended, and whether nothing is behind that."""
    found: list[dict[str, Any]] = []
    place, looked = query.after, 0
    while len(found) < wanted and looked < MOST_LOOKED_AT:
        rows = session.execute(_chunk(query, place)).all()
        looked += len(rows)
        for key, entry_id, data in rows:
            event = msgspec.json.decode(data)
            place = (key, entry_id)
            if all(holds(event) for holds in query.conditions):
                found.append(event)
                if len(found) == wanted:
                    break
        if len(rows) < _CHUNK and (not rows or place == tuple(rows[-1][:2])):
            return found, place, True
    return found, place, wanted == 0


_KEYS: Final[Mapping[Order, ColumnElement[Any]]] = {
    Order.EVENT_TIME: _ENTRY.c.event_time,
    Order.RECORD_TIME: _ENTRY.c.record_time,
    Order.RECORDED: _ENTRY.c.id,
}


def _chunk(query: Query, after: tuple[int, int] | None) -> Select[Any]:
    """The next entries that indexes leave over. What no index answers is a condition: it is looked at, and counted."""
    key = type_coerce(_KEYS[query.order], BigInteger)
    both = tuple_(key, _ENTRY.c.id)
    wanted = select(key, _ENTRY.c.id, _ENTRY.c.data).limit(_CHUNK)
    if query.is_descending:
        wanted = wanted.order_by(key.desc(), _ENTRY.c.id.desc())
        wanted = wanted if after is None else wanted.where(both < tuple_(*after))
    else:
        wanted = wanted.order_by(key, _ENTRY.c.id)
        wanted = wanted if after is None else wanted.where(both > tuple_(*after))
    if query.event_ids is not None:
        wanted = wanted.where(_ENTRY.c.event_id.in_(query.event_ids))
    for named in query.named:
        wanted = wanted.where(
            _ENTRY.c.id.in_(
                select(_NAMING.c.entry_id).where(
                    _NAMING.c.identifier.in_(named.identifiers),
                    _NAMING.c.roles.op("&")(named.roles) != 0,
                )
            )
        )
    for span in query.spans:
        column = type_coerce(_KEYS[span.order], BigInteger)
        wanted = wanted.where(column >= span.moment_ms if span.is_from else column < span.moment_ms)
    if query.is_effective:
        declaration = _ENTRY.alias()
        is_declared = exists().where(declaration.c.event_id == _ENTRY.c.event_id, declaration.c.is_declaration)
        wanted = wanted.where(~_ENTRY.c.is_declaration, ~is_declared)
    return wanted


# --- pages ----------------------------------------------------------------------------------------------


def _token(query: Query, place: tuple[int, int], left: int | None) -> str:
    text = msgspec.json.encode([query.order.value, query.is_descending, *place, left])
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _continue(query: Query, token: str) -> Query:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        order, is_descending, key, entry_id, left = msgspec.json.decode(
            text, type=tuple[str, bool, _Whole, _Whole, _Whole | None]
        )
    except (binascii.Error, ValueError) as error:  # msgspec's errors are ValueErrors
        raise QueryParameterError("nextPageToken", "is none that was given out here") from error
    if (order, is_descending) != (query.order.value, query.is_descending):
        raise QueryParameterError("nextPageToken", "belongs to another order; ask with the parameters of its page")
    return replace(query, after=(key, entry_id), at_most=left if left is not None else query.at_most)


_Whole = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]


# --- parameters -----------------------------------------------------------------------------------------


@dataclass
class _Draft:
    """A query on its way."""

    event_ids: tuple[str, ...] | None = None
    spans: list[Span] = field(default_factory=list)
    named: list[Named] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    is_effective: bool = False
    order: Order = Order.RECORDED
    is_descending: bool | None = None
    at_most: int | None = None
    refuse_above: int | None = None
    per_page: int = PER_PAGE
    token: str | None = None


def parse(parameters: Iterable[tuple[str, str]]) -> Query:
    """Return the query that the parameters of an address describe. Raises QueryParameterError for the first wrong."""
    draft, given = _Draft(), set[str]()
    for name, value in parameters:
        reader = _PARAMETERS.get(name)
        if reader is None:
            raise QueryParameterError(name[:80], "is not a query parameter known here")
        if name in given:
            raise QueryParameterError(name, "stands more than once; put | between several values")
        given.add(name)
        reader(draft, name, value)
    if draft.at_most is not None and draft.refuse_above is not None:
        raise QueryParameterError("maxEventCount", "and eventCountLimit exclude each other")
    if draft.at_most is not None and "orderBy" not in given:
        raise QueryParameterError("eventCountLimit", "needs orderBy: the first of what?")
    query = _indexed(draft, is_ordered="orderBy" in given)
    return query if draft.token is None else _continue(query, draft.token)


def _indexed(draft: _Draft, *, is_ordered: bool) -> Query:
    """Choose what indexes are asked. A time that none of them answers becomes a condition."""
    order, is_narrow = draft.order, bool(draft.named or draft.event_ids is not None)
    if not is_ordered and not is_narrow and draft.spans:
        order = draft.spans[0].order
    asked = [span for span in draft.spans if is_narrow or span.order is order]
    return Query(
        event_ids=draft.event_ids,
        spans=tuple(asked),
        named=tuple(draft.named),
        conditions=(*draft.conditions, *(_in_span(span) for span in draft.spans if span not in asked)),
        is_effective=draft.is_effective,
        order=order,
        # EPCIS 2.0: DESC where orderBy is given and orderDirection is not.
        is_descending=is_ordered if draft.is_descending is None else draft.is_descending and is_ordered,
        at_most=draft.at_most,
        refuse_above=draft.refuse_above,
        per_page=draft.per_page,
    )


def _in_span(span: Span) -> Condition:
    def holds(event: Json) -> bool:
        moment = milliseconds(parse_time(event[span.order.value]))
        return moment >= span.moment_ms if span.is_from else moment < span.moment_ms

    return holds


_Reader = Callable[[_Draft, str, str], None]
_Places = Callable[[Json], Iterable[Any]]


def _values(name: str, text: str) -> list[str]:
    values = text.split("|")
    if not all(values):
        raise QueryParameterError(name, "lacks a value")
    if len(values) > MOST_VALUES:
        raise QueryParameterError(name, f"has more than {MOST_VALUES} values")
    return values


def _moment(name: str, text: str) -> int:
    if _TIME.fullmatch(text) is None:
        reason = f"{text[:80]!r} is not an RFC 3339 time with an offset; a + in an address is written %2B"
        raise QueryParameterError(name, reason)
    try:
        return milliseconds(parse_time(text))
    except TimeError as error:
        raise QueryParameterError(name, str(error)) from error


_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _whole(name: str, text: str, *, least: int) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) < least:
        raise QueryParameterError(name, f"is not a whole number from {least}")
    return int(text)


def _truth(name: str, text: str) -> bool:
    if text not in {"true", "false"}:
        raise QueryParameterError(name, "is neither true nor false")
    return text == "true"


def _identifiers(name: str, text: str) -> tuple[str, ...]:
    found = tuple(canonical_identifier(value) for value in _values(name, text))
    for identifier in found:
        if "*" in identifier or identifier.startswith("urn:epc:idpat:"):
            raise QueryParameterError(name, f"{identifier[:80]!r} is a pattern; patterns are not matched here")
    return found


def _has_any(values: Collection[Any], places: _Places) -> Condition:
    return lambda event: any(value in values for value in places(event))


def _span(order: Order, *, is_from: bool) -> _Reader:
    return lambda draft, name, text: draft.spans.append(Span(order, is_from, _moment(name, text)))


def _from_list(allowed: Collection[str], key: str) -> _Reader:
    def read(draft: _Draft, name: str, text: str) -> None:
        values = _values(name, text)
        for value in values:
            if value not in allowed:
                raise QueryParameterError(name, f"{value[:80]!r} is none of {', '.join(sorted(allowed))}")
        draft.conditions.append(_has_any(frozenset(values), _field(key)))

    return read


def _words(vocabulary: Vocabulary | None, places: _Places) -> _Reader:
    def read(draft: _Draft, name: str, text: str) -> None:
        values = [vocabulary.bare(value) if vocabulary else value for value in _values(name, text)]
        draft.conditions.append(_has_any(frozenset(values), places))

    return read


def _match(roles: int, places: _Places) -> _Reader:
    """An identifier: the index says which entries name it so, a look at the field says whether exactly there."""

    def read(draft: _Draft, name: str, text: str) -> None:
        identifiers = _identifiers(name, text)
        draft.named.append(Named(identifiers, roles))
        draft.conditions.append(_has_any(frozenset(identifiers), places))

    return read


def _field(key: str, *inner: str) -> _Places:
    def places(event: Json) -> Iterator[Any]:
        value: Any = event.get(key)
        for name in inner:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, list):
            yield from value
        elif value is not None:
            yield value

    return places


def _all_of(*keys: str, member: str = "") -> _Places:
    def places(event: Json) -> Iterator[Any]:
        for key in keys:
            value = event.get(key, ())
            for item in [value] if isinstance(value, str) else value:
                yield item.get(member) if member and isinstance(item, Mapping) else item

    return places


def _sensors(key: str) -> _Places:
    """A field of sensor metadata, or of a sensor report."""

    def places(event: Json) -> Iterator[Any]:
        for element in event.get("sensorElementList", ()):
            for part in (element.get("sensorMetadata", {}), *element.get("sensorReport", ())):
                if key in part:
                    yield part[key]

    return places


_QUANTITIES: Final = ("quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList")


def _quantity(compare: Callable[[float, float], bool]) -> _Reader:
    def read(draft: _Draft, name: str, text: str) -> None:
        if not re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", text, re.ASCII):
            raise QueryParameterError(name, "is not a number")
        limit, places = float(text), _all_of(*_QUANTITIES, member="quantity")
        draft.conditions.append(lambda event: any(q is not None and compare(q, limit) for q in places(event)))

    return read


def _time_within(places: _Places, *, is_from: bool) -> _Reader:
    """A time that no index holds."""

    def read(draft: _Draft, name: str, text: str) -> None:
        limit = _moment(name, text)

        def holds(event: Json) -> bool:
            for value in places(event):
                try:
                    moment = milliseconds(parse_time(value))
                except TimeError:  # sensor times are kept as they were written
                    continue
                if moment >= limit if is_from else moment < limit:
                    return True
            return False

        draft.conditions.append(holds)

    return read


def _event_ids(draft: _Draft, name: str, text: str) -> None:
    draft.event_ids = tuple(_values(name, text))


def _declarations(draft: _Draft, name: str, text: str) -> None:
    if _truth(name, text):
        draft.conditions.append(lambda event: "errorDeclaration" in event)


def _boolean_value(draft: _Draft, name: str, text: str) -> None:
    wanted, places = _truth(name, text), _sensors("booleanValue")
    draft.conditions.append(lambda event: any(value is wanted for value in places(event)))


def _effective(draft: _Draft, name: str, text: str) -> None:
    draft.is_effective = _truth(name, text)


def _order_by(draft: _Draft, name: str, text: str) -> None:
    if text not in {Order.EVENT_TIME.value, Order.RECORD_TIME.value}:
        raise QueryParameterError(name, "is neither eventTime nor recordTime; nothing else is sorted by here")
    draft.order = Order(text)


def _order_direction(draft: _Draft, name: str, text: str) -> None:
    if text not in {"ASC", "DESC"}:
        raise QueryParameterError(name, "is neither ASC nor DESC")
    draft.is_descending = text == "DESC"


def _at_most(draft: _Draft, name: str, text: str) -> None:
    draft.at_most = _whole(name, text, least=1)


def _refuse_above(draft: _Draft, name: str, text: str) -> None:
    draft.refuse_above = _whole(name, text, least=1)


def _per_page(draft: _Draft, name: str, text: str) -> None:
    draft.per_page = min(_whole(name, text, least=1), MOST_PER_PAGE)


def _next_page(draft: _Draft, name: str, text: str) -> None:
    if len(text) > 200:
        raise QueryParameterError(name, "is none that was given out here")
    draft.token = text


_EPCS: Final = ("epcList", "childEPCs")
_CLASSES: Final = ("quantityList", "childQuantityList")

_PARAMETERS: Final[Mapping[str, _Reader]] = {
    "eventType": _from_list(EVENT_TYPES, "type"),
    "GE_eventTime": _span(Order.EVENT_TIME, is_from=True),
    "LT_eventTime": _span(Order.EVENT_TIME, is_from=False),
    "GE_recordTime": _span(Order.RECORD_TIME, is_from=True),
    "LT_recordTime": _span(Order.RECORD_TIME, is_from=False),
    "EQ_action": _from_list({each.value for each in Action}, "action"),
    "EQ_bizStep": _words(BIZ_STEP, _field("bizStep")),
    "EQ_disposition": _words(DISPOSITION, _field("disposition")),
    "EQ_persistentDisposition_set": _words(DISPOSITION, _field("persistentDisposition", "set")),
    "EQ_persistentDisposition_unset": _words(DISPOSITION, _field("persistentDisposition", "unset")),
    "EQ_readPoint": _match(Role.PLACE, _field("readPoint", "id")),
    "EQ_bizLocation": _match(Role.PLACE, _field("bizLocation", "id")),
    "EQ_transformationID": _match(Role.DOCUMENT, _field("transformationID")),
    "MATCH_epc": _match(Role.OBJECT | Role.CHILD, _all_of(*_EPCS)),
    "MATCH_parentID": _match(Role.PARENT, _field("parentID")),
    "MATCH_inputEPC": _match(Role.INPUT, _all_of("inputEPCList")),
    "MATCH_outputEPC": _match(Role.OUTPUT, _all_of("outputEPCList")),
    "MATCH_anyEPC": _match(
        Role.OBJECT | Role.CHILD | Role.PARENT | Role.INPUT | Role.OUTPUT,
        _all_of(*_EPCS, "parentID", "inputEPCList", "outputEPCList"),
    ),
    "MATCH_epcClass": _match(Role.OBJECT | Role.CHILD, _all_of(*_CLASSES, member="epcClass")),
    "MATCH_inputEPCClass": _match(Role.INPUT, _all_of("inputQuantityList", member="epcClass")),
    "MATCH_outputEPCClass": _match(Role.OUTPUT, _all_of("outputQuantityList", member="epcClass")),
    "MATCH_anyEPCClass": _match(
        Role.OBJECT | Role.CHILD | Role.INPUT | Role.OUTPUT, _all_of(*_QUANTITIES, member="epcClass")
    ),
    "EQ_quantity": _quantity(operator.eq),
    "GT_quantity": _quantity(operator.gt),
    "GE_quantity": _quantity(operator.ge),
    "LT_quantity": _quantity(operator.lt),
    "LE_quantity": _quantity(operator.le),
    "EQ_eventID": _event_ids,
    "EXISTS_errorDeclaration": _declarations,
    "GE_errorDeclarationTime": _time_within(_field("errorDeclaration", "declarationTime"), is_from=True),
    "LT_errorDeclarationTime": _time_within(_field("errorDeclaration", "declarationTime"), is_from=False),
    "EQ_errorReason": _words(ERROR_REASON, _field("errorDeclaration", "reason")),
    "EQ_correctiveEventID": _match(Role.REFERENCE, _field("errorDeclaration", "correctiveEventIDs")),
    "GE_startTime": _time_within(_sensors("startTime"), is_from=True),
    "LT_startTime": _time_within(_sensors("startTime"), is_from=False),
    "GE_endTime": _time_within(_sensors("endTime"), is_from=True),
    "LT_endTime": _time_within(_sensors("endTime"), is_from=False),
    "EQ_type": _words(MEASUREMENT, _sensors("type")),
    "EQ_deviceID": _match(Role.DEVICE, _sensors("deviceID")),
    "EQ_dataProcessingMethod": _words(None, _sensors("dataProcessingMethod")),
    "EQ_microorganism": _words(None, _sensors("microorganism")),
    "EQ_chemicalSubstance": _words(None, _sensors("chemicalSubstance")),
    "EQ_bizRules": _words(None, _sensors("bizRules")),
    "EQ_stringValue": _words(None, _sensors("stringValue")),
    "EQ_hexBinaryValue": _words(None, _sensors("hexBinaryValue")),
    "EQ_uriValue": _words(None, _sensors("uriValue")),
    "EQ_booleanValue": _boolean_value,
    "orderBy": _order_by,
    "orderDirection": _order_direction,
    "eventCountLimit": _at_most,
    "maxEventCount": _refuse_above,
    "perPage": _per_page,
    "nextPageToken": _next_page,
    EFFECTIVE: _effective,
}

PARAMETERS: Final = frozenset(_PARAMETERS)
"""The names of the parameters that are known here."""
