"""Which events concern a thing: what an event names, and how one leads to the next.

Pure: JSON objects in, identifiers out. `ledger.trace` walks the database by these rules, and a
verifier walks a proof file by the same ones, so a file cannot hold an event that has nothing to do
with its subject. `ledger/docs/format.md`, section "Connection", says them in words.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, IntFlag
from typing import Any, Final

from ledger.kernel.clock import format_time, parse_time
from ledger.vocabulary import BTT, Sentence


class Role(IntFlag):
    """How an event names an identifier."""

    OBJECT = 1
    PARENT = 2
    CHILD = 4
    INPUT = 8
    OUTPUT = 16
    DOCUMENT = 32
    PLACE = 64
    SOURCE = 128
    DESTINATION = 256
    DEVICE = 512
    REFERENCE = 1024


THINGS: Final = Role.OBJECT | Role.PARENT | Role.CHILD | Role.INPUT | Role.OUTPUT
"""The roles of what an event is about (the EPCIS *what*)."""

_LISTS: Final = (
    ("epcList", None, Role.OBJECT),
    ("quantityList", "epcClass", Role.OBJECT),
    ("childEPCs", None, Role.CHILD),
    ("childQuantityList", "epcClass", Role.CHILD),
    ("inputEPCList", None, Role.INPUT),
    ("inputQuantityList", "epcClass", Role.INPUT),
    ("outputEPCList", None, Role.OUTPUT),
    ("outputQuantityList", "epcClass", Role.OUTPUT),
    ("bizTransactionList", "bizTransaction", Role.DOCUMENT),
    ("sourceList", "source", Role.SOURCE),
    ("destinationList", "destination", Role.DESTINATION),
)
_NOT_A_REFERENCE: Final = frozenset({"gy:recorder", "gy:sentence", "gy:evidence", "gy:digests"})


def names(event: Mapping[str, Any]) -> dict[str, Role]:
    """Return every identifier that an event names, with its roles. `event` is its JSON-LD form."""
    found: dict[str, Role] = {}
    for identifier, role in _named(event):
        found[identifier] = found.get(identifier, Role(0)) | role
    return found


def _named(event: Mapping[str, Any]) -> Iterator[tuple[str, Role]]:
    for field, key, role in _LISTS:
        for item in event.get(field, ()):
            yield (item if key is None else item[key]), role
    if "parentID" in event:
        yield event["parentID"], Role.PARENT
    for field in ("readPoint", "bizLocation"):
        if field in event:
            yield event[field]["id"], Role.PLACE
    if "transformationID" in event:
        yield event["transformationID"], Role.DOCUMENT
    certificates = event.get("certificationInfo", ())
    for identifier in (certificates,) if isinstance(certificates, str) else certificates:
        yield identifier, Role.DOCUMENT
    for element in event.get("sensorElementList", ()):
        for part in (element.get("sensorMetadata", {}), *element.get("sensorReport", ())):
            if "deviceID" in part:
                yield part["deviceID"], Role.DEVICE
    for identifier in event.get("errorDeclaration", {}).get("correctiveEventIDs", ()):
        yield identifier, Role.REFERENCE
    for key, value in event.items():
        if key == "ilmd" or (":" in key and key not in _NOT_A_REFERENCE):
            for identifier in _references(value):
                yield identifier, Role.REFERENCE


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.startswith(("https://", "http://", "urn:uuid:")):
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _references(item)


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
    roles: Role
    sentences: frozenset[str] = frozenset()
    """Only these, unless empty."""
    without: frozenset[str] = frozenset()
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

READINGS: Final = frozenset({Sentence.WINDOW_CLOSED.value, Sentence.READING_CONFLICT.value})
BEFORE_PICKING: Final = timedelta(hours=48)
"""How long before a picking the plot's readings belong to the lot."""
AFTER_PICKING: Final = timedelta(hours=1)
"""The window of the picking itself closes within the hour."""
_NEWEST_READINGS: Final = 96

_ANY: Final = Role(2047)
_OF_PLOT: Final = frozenset({Sentence.PLOT_REGISTERED.value, Sentence.DEVICE_ENROLLED.value, Sentence.TREATED.value})
_DEFINING: Final = {
    "prodorder": frozenset({Sentence.PICK_ORDER_RAISED.value}),
    "po": frozenset({Sentence.SOLD.value}),
    BTT + "broadcast": frozenset({Sentence.BROADCAST_OPENED.value}),
    BTT + "quota": frozenset({Sentence.QUOTA_GRANTED.value}),
    BTT + "cert": frozenset({Sentence.CERTIFICATE_ISSUED.value}),
    "cert": frozenset({Sentence.CERTIFICATE_ISSUED.value}),
}
"""By which sentence each type of document comes into the world."""


def walk(subject: str, find: Finder, *, limit: int) -> tuple[dict[int, Stance], bool]:
    """Return the keys of all events that concern the subject, and whether the limit cut some off.

    Breadth first, every question asked once: circles end, and what two ways lead to appears once.
    """
    reached: dict[int, Stance] = {}
    asked: set[Query] = set()
    round_ = list(_about_subject(subject))
    while round_:
        asked.update(round_)
        following: dict[Query, None] = {}
        for found in find(round_):
            if found.key not in reached:
                if len(reached) >= limit:
                    return reached, True
                reached[found.key] = found.query.stance
            following.update(dict.fromkeys(_next(found)))
        round_ = [query for query in following if query not in asked]
    return reached, False


def answers(query: Query, event: Mapping[str, Any], roles: Role) -> bool:
    """Return whether an event that names the query's identifier in these roles answers it."""
    sentence, time = event.get("gy:sentence", ""), event["eventTime"]
    return (
        bool(roles & query.roles)
        and (not query.sentences or sentence in query.sentences)
        and sentence not in query.without
        and query.since <= time <= query.until
    )


def _about_subject(subject: str) -> Iterator[Query]:
    yield Query(subject, Stance.SUBJECT, _ANY, without=READINGS)
    yield Query(subject, Stance.SUBJECT, _ANY, sentences=READINGS, newest=_NEWEST_READINGS)


def _behind(identifier: str) -> Iterator[Query]:
    # Not as a child or an input: the other packs filled from the same lot are not this pack's past.
    yield Query(identifier, Stance.BEHIND, Role.OBJECT | Role.PARENT | Role.OUTPUT)
    yield Query(identifier, Stance.BEHIND, Role.CHILD, sentences=frozenset({Sentence.CRATED.value}))


def _ahead(identifier: str) -> Iterator[Query]:
    yield Query(identifier, Stance.AHEAD, Role.OBJECT | Role.PARENT | Role.CHILD | Role.INPUT)


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


def _next(found: Found) -> Iterator[Query]:
    """Where one event leads, depending on why we came to it."""
    event, stance, identifier = found.event, found.query.stance, found.query.identifier
    named = names(event)
    role = named.get(identifier, Role(0))
    is_adding = event.get("action") == "ADD"
    if stance in {Stance.SUBJECT, Stance.BEHIND}:
        if role & Role.OUTPUT:
            for other in _in_role(named, Role.INPUT):
                yield from _behind(other)
        if role & Role.PARENT and event["type"] == "AggregationEvent" and is_adding:
            for other in _in_role(named, Role.CHILD):
                yield from _behind(other)
        if role & Role.OBJECT and event["type"] == "ObjectEvent" and is_adding:
            yield from _origins(event)
    if stance in {Stance.SUBJECT, Stance.AHEAD}:
        if role & Role.CHILD and event["type"] == "AggregationEvent":
            yield from _ahead(event["parentID"]) if "parentID" in event else ()
        if role & Role.INPUT:
            for other in _in_role(named, Role.OUTPUT):
                yield from _ahead(other)
    if stance in {Stance.SUBJECT, Stance.BEHIND, Stance.DOCUMENT}:
        for reference in event.get("bizTransactionList", ()):
            sentences = _DEFINING.get(reference.get("type", ""))
            if sentences:
                yield Query(reference["bizTransaction"], Stance.DOCUMENT, Role.DOCUMENT, sentences=sentences)
    if stance not in {Stance.DEVICE, Stance.DOCUMENT}:
        for other, how in named.items():
            if how & Role.DEVICE or "/8004/" in other:
                yield Query(other, Stance.DEVICE, Role.CHILD, sentences=frozenset({Sentence.DEVICE_ENROLLED.value}))
    if stance in {Stance.SUBJECT, Stance.BEHIND, Stance.AHEAD}:
        for other in _in_role(named, Role.REFERENCE):
            if other.startswith("urn:uuid:"):
                yield Query(other, Stance.EVENT, _ANY)


def _origins(event: Mapping[str, Any]) -> Iterator[Query]:
    """Where a lot or pack that came into the world with this event says it is from."""
    ilmd = event.get("ilmd", {})
    if isinstance(ilmd.get("gy:gradedLot"), str):
        yield from _behind(ilmd["gy:gradedLot"])
    if isinstance(ilmd.get("gy:plot"), str):
        yield from _plot(ilmd["gy:plot"], event["eventTime"])


def _in_role(named: Mapping[str, Role], role: Role) -> list[str]:
    return [identifier for identifier, roles in named.items() if roles & role]
