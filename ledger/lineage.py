"""Which events concern a thing: what an event names, and how one leads to the next.

Pure: JSON objects in, identifiers out. `ledger.trace` walks the database by these rules, and a
verifier walks a proof file by the same ones, so a file cannot hold an event that has nothing to do
with its subject. `ledger/docs/format.md`, section "Connection", says them in words;
`api/web/shared/static/verify/lineage.js` says them to a browser.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from ledger.errors import EventError
from ledger.kernel.clock import format_time, parse_time
from ledger.vocabulary import BTT, Sentence


class Role:
    """How an event names an identifier: bits, added up. Plain integers, because every entry counts some."""

    OBJECT: Final = 1
    PARENT: Final = 2
    CHILD: Final = 4
    INPUT: Final = 8
    OUTPUT: Final = 16
    DOCUMENT: Final = 32
    PLACE: Final = 64
    SOURCE: Final = 128
    DESTINATION: Final = 256
    DEVICE: Final = 512
    REFERENCE: Final = 1024
    ANY: Final = 2047


_LISTS: Final[Mapping[str, int]] = {
    "epcList": Role.OBJECT,
    "childEPCs": Role.CHILD,
    "inputEPCList": Role.INPUT,
    "outputEPCList": Role.OUTPUT,
}
_OBJECT_LISTS: Final[Mapping[str, tuple[str, int]]] = {
    "quantityList": ("epcClass", Role.OBJECT),
    "childQuantityList": ("epcClass", Role.CHILD),
    "inputQuantityList": ("epcClass", Role.INPUT),
    "outputQuantityList": ("epcClass", Role.OUTPUT),
    "bizTransactionList": ("bizTransaction", Role.DOCUMENT),
    "sourceList": ("source", Role.SOURCE),
    "destinationList": ("destination", Role.DESTINATION),
}
_TEXTS: Final[Mapping[str, int]] = {"parentID": Role.PARENT, "transformationID": Role.DOCUMENT}
_PLACES: Final = frozenset({"readPoint", "bizLocation"})
_NOT_A_REFERENCE: Final = frozenset({"gy:recorder", "gy:sentence", "gy:evidence", "gy:digests"})


def names(event: Mapping[str, Any]) -> dict[str, int]:
    """Return every identifier that an event names, with its roles. `event` is its JSON-LD form.

    Raises EventError for an object that is not shaped like an event.
    """
    found: dict[str, int] = {}
    for key, value in event.items():
        if key in _LISTS:
            role = _LISTS[key]
            for item in _list(value):
                _add(found, item, role)
        elif key in _OBJECT_LISTS:
            member, role = _OBJECT_LISTS[key]
            for item in _list(value):
                _add(found, _object(item).get(member), role)
        elif key in _TEXTS:
            _add(found, value, _TEXTS[key])
        elif key in _PLACES:
            _add(found, _object(value).get("id"), Role.PLACE)
        elif key == "certificationInfo":
            for item in [value] if isinstance(value, str) else _list(value):
                _add(found, item, Role.DOCUMENT)
        elif key == "sensorElementList":
            _add_devices(found, _list(value))
        elif key == "errorDeclaration":
            for item in _list(_object(value).get("correctiveEventIDs", ())):
                _add(found, item, Role.REFERENCE)
        elif key == "ilmd" or (":" in key and key not in _NOT_A_REFERENCE):
            _add_references(found, value)
    return found


def sentence_of(event: Mapping[str, Any]) -> str:
    """Return `packed/1`, or an empty text."""
    sentence = event.get("gy:sentence", "")
    return sentence if isinstance(sentence, str) else ""


def _add(found: dict[str, int], identifier: Any, role: int) -> None:
    if not isinstance(identifier, str):
        raise EventError("$", "holds something else where an identifier belongs")
    found[identifier] = found.get(identifier, 0) | role


def _add_devices(found: dict[str, int], elements: Sequence[Any]) -> None:
    for element in elements:
        reports = _list(_object(element).get("sensorReport", ()))
        for part in (element.get("sensorMetadata", {}), *reports):
            if "deviceID" in _object(part):
                _add(found, part["deviceID"], Role.DEVICE)


def _add_references(found: dict[str, int], value: Any) -> None:
    if isinstance(value, str):
        if value.startswith(("https://", "http://", "urn:uuid:")):
            found[value] = found.get(value, 0) | Role.REFERENCE
    elif isinstance(value, dict):
        for item in value.values():
            _add_references(found, item)
    elif isinstance(value, list | tuple):
        for item in value:
            _add_references(found, item)


def _list(value: Any) -> Sequence[Any]:
    if type(value) is not list and not isinstance(value, list | tuple):  # nearly all are: asked the quick way first
        raise EventError("$", "holds something else where a list belongs")
    return value


def _object(value: Any) -> Mapping[str, Any]:
    if type(value) is not dict and not isinstance(value, Mapping):
        raise EventError("$", "holds something else where an object belongs")
    return value


# --- from one event to the next -------------------------------------------------------------------


class Stance(Enum):
    """Why we ask about an identifier."""

    SUBJECT = "subject"
    """It is what the history is of."""
    BEHIND = "behind"
    """The subject came from it."""
    AHEAD = "ahead"
    """It carries the subject, or was made of it."""
    PLOT = "plot"
    """The subject grew there."""
    DEVICE = "device"
    """It measured."""
    DOCUMENT = "document"
    """It is why the event happened."""
    EVENT = "event"
    """An event names it by its own id."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question to the index: which events name this identifier so?"""

    identifier: str
    stance: Stance
    roles: int
    sentences: tuple[str, ...] = ()
    """Only these, unless empty."""
    without: tuple[str, ...] = ()
    since: str = ""
    until: str = "~"
    """Event times between these texts, both included; "~" sorts after every time."""
    newest: int = 0
    """Only so many, the newest; 0: all."""


@dataclass(frozen=True, slots=True)
class Found:
    """An event that answers a query. `key` tells it from all others."""

    query: Query
    key: int
    event: Mapping[str, Any]


Finder = Callable[[Sequence[Query]], Iterable[Found]]

READINGS: Final = (Sentence.READING_CONFLICT.value, Sentence.WINDOW_CLOSED.value)
BEFORE_PICKING: Final = timedelta(hours=48)
"""How long before a picking the plot's readings belong to the lot."""
AFTER_PICKING: Final = timedelta(hours=1)
"""The window of the picking itself closes within the hour."""
NEWEST_READINGS: Final = 96

_OF_PLOT: Final = (Sentence.DEVICE_ENROLLED.value, Sentence.PLOT_REGISTERED.value, Sentence.TREATED.value)
_CRATED: Final = (Sentence.CRATED.value,)
_ENROLLED: Final = (Sentence.DEVICE_ENROLLED.value,)
_DEFINING: Final[Mapping[str, tuple[str, ...]]] = {
    "prodorder": (Sentence.PICK_ORDER_RAISED.value,),
    "po": (Sentence.SOLD.value,),
    BTT + "broadcast": (Sentence.BROADCAST_OPENED.value,),
    BTT + "quota": (Sentence.QUOTA_GRANTED.value,),
    BTT + "cert": (Sentence.CERTIFICATE_ISSUED.value,),
    "cert": (Sentence.CERTIFICATE_ISSUED.value,),
}
"""By which sentence each type of document comes into the world."""


def walk(subject: str, find: Finder, *, limit: int) -> tuple[dict[int, Stance], bool]:
    """Return the keys of all events that concern the subject, and whether the limit cut some off.

    Breadth first, every question asked once: circles end, and what two ways lead to appears once.
    """
    reached: dict[int, Stance] = {}
    named: dict[int, dict[str, int]] = {}
    asked: set[Query] = set()
    followed: set[tuple[int, Stance, int]] = set()
    round_ = list(_about_subject(subject))
    while round_:
        asked.update(round_)
        following: dict[Query, None] = {}
        for found in find(round_):
            if found.key not in reached:
                if len(reached) >= limit:
                    return reached, True
                reached[found.key] = found.query.stance
                named[found.key] = names(found.event)
            # Where an event leads depends on these three alone; a file may come to one by a thousand names.
            way = found.key, found.query.stance, named[found.key].get(found.query.identifier, 0)
            if way not in followed:
                followed.add(way)
                following.update(dict.fromkeys(_next(found, named[found.key])))
        round_ = [query for query in following if query not in asked]
    return reached, False


def answers(query: Query, event: Mapping[str, Any], roles: int) -> bool:
    """Return whether an event that names the query's identifier in these roles answers it."""
    sentence, time = sentence_of(event), event["eventTime"]
    return (
        bool(roles & query.roles)
        and (not query.sentences or sentence in query.sentences)
        and sentence not in query.without
        and query.since <= time <= query.until
    )


def _about_subject(subject: str) -> Iterator[Query]:
    yield Query(subject, Stance.SUBJECT, Role.ANY, without=READINGS)
    yield Query(subject, Stance.SUBJECT, Role.ANY, sentences=READINGS, newest=NEWEST_READINGS)


def _behind(identifier: str) -> Iterator[Query]:
    # Not as a child or an input: the other packs filled from the same lot are not this pack's past.
    yield Query(identifier, Stance.BEHIND, Role.OBJECT | Role.PARENT | Role.OUTPUT)
    yield Query(identifier, Stance.BEHIND, Role.CHILD, sentences=_CRATED)


def _ahead(identifier: str) -> Query:
    return Query(identifier, Stance.AHEAD, Role.OBJECT | Role.PARENT | Role.CHILD | Role.INPUT)


def _plot(identifier: str, picked_at: str) -> Iterator[Query]:
    moment = parse_time(picked_at)
    yield Query(identifier, Stance.PLOT, Role.PLACE | Role.PARENT, sentences=_OF_PLOT, until=picked_at)
    yield Query(
        identifier,
        Stance.PLOT,
        Role.PLACE,
        sentences=READINGS,
        since=format_time(moment - BEFORE_PICKING),
        until=format_time(moment + AFTER_PICKING),
    )


def _next(found: Found, named: Mapping[str, int]) -> Iterator[Query]:
    """Where one event leads, depending on why we came to it. The numbers are those of format.md."""
    event, stance = found.event, found.query.stance
    role, kind, is_adding = named.get(found.query.identifier, 0), event["type"], event.get("action") == "ADD"
    if stance in {Stance.SUBJECT, Stance.BEHIND}:  # 1
        if role & Role.OUTPUT:
            for other in _in_role(named, Role.INPUT):
                yield from _behind(other)
        if role & Role.PARENT and kind == "AggregationEvent" and is_adding:
            for other in _in_role(named, Role.CHILD):
                yield from _behind(other)
        if role & Role.OBJECT and kind == "ObjectEvent" and is_adding:
            yield from _origins(event)
    if stance in {Stance.SUBJECT, Stance.AHEAD}:  # 2
        if role & Role.CHILD and kind == "AggregationEvent":
            for other in _in_role(named, Role.PARENT):
                yield _ahead(other)
        if role & Role.INPUT:
            for other in _in_role(named, Role.OUTPUT):
                yield _ahead(other)
    if stance in {Stance.SUBJECT, Stance.BEHIND, Stance.DOCUMENT}:  # 3
        for reference in event.get("bizTransactionList", ()):
            sentences = _DEFINING.get(str(reference.get("type")))
            if sentences:
                yield Query(reference["bizTransaction"], Stance.DOCUMENT, Role.DOCUMENT, sentences=sentences)
    if stance not in {Stance.DEVICE, Stance.DOCUMENT}:  # 4
        for other, roles in named.items():
            if roles & Role.DEVICE or "/8004/" in other:
                yield Query(other, Stance.DEVICE, Role.CHILD, sentences=_ENROLLED)
    if stance in {Stance.SUBJECT, Stance.BEHIND, Stance.AHEAD}:  # 5
        for other in _in_role(named, Role.REFERENCE):
            if other.startswith("urn:uuid:"):
                yield Query(other, Stance.EVENT, Role.ANY)


def _origins(event: Mapping[str, Any]) -> Iterator[Query]:
    """Where a lot or pack that came into the world with this event says it is from."""
    ilmd = _object(event.get("ilmd", {}))
    if isinstance(ilmd.get("gy:gradedLot"), str):
        yield from _behind(ilmd["gy:gradedLot"])
    if isinstance(ilmd.get("gy:plot"), str):
        yield from _plot(ilmd["gy:plot"], event["eventTime"])


def _in_role(named: Mapping[str, int], role: int) -> list[str]:
    return [identifier for identifier, roles in named.items() if roles & role]
