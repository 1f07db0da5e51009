"""A recall and the quantities of a trace as JSON and as a spreadsheet. Shared by the addresses and the commands."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Final

from pydantic import BaseModel

from ledger.flow import Amount
from ledger.holdings import Fact
from ledger.reach import Link, Load, OpenEnd, Reach, Receiver, Share, Thing
from ledger.recall import Recall
from ledger.trace import Flow

BOM: Final = "\ufeff"
"""Spreadsheets take a file that begins with it for UTF-8; without it Chinese becomes rubbish."""
COLUMNS: Final = (
    "row", "identifier", "kind", "state", "recalled", "least_g", "most_g", "here_least_g", "here_most_g",
    "packs", "loads", "receivers", "why",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


class Grams(BaseModel):
    """Whole grams between two bounds; equal where they are known, `most_g` null where nothing bounds them."""

    least_g: int
    most_g: int | None

    @classmethod
    def of(cls, amount: Amount) -> "Grams":
        """Return an amount of the ledger."""
        return cls(least_g=amount.least, most_g=amount.most)


class SourceJson(BaseModel):
    """Something the subject came from. `why` lists the ids of the events that lead from it."""

    id: str
    kind: str
    grams: Grams
    why: list[str]


class ThingJson(BaseModel):
    """A lot, pack or crate that was reached. `here`: how much is in it still, for a lot in no container."""

    id: str
    kind: str
    state: str
    grams: Grams
    here: Grams
    loads: list[str]
    receivers: list[str]
    is_recalled: bool
    why: list[str]


class LoadJson(BaseModel):
    """A container that carried what was reached."""

    id: str
    state: str
    packs: int
    grams: Grams
    receivers: list[str]
    why: list[str]


class ReceiverJson(BaseModel):
    """A place, or a party where no place was said. `has_confirmed`: it said itself that it received."""

    id: str
    parties: list[str]
    packs: int
    loads: list[str]
    grams: Grams
    has_confirmed: bool
    why: list[str]


class OpenEndJson(BaseModel):
    """Something nobody accounts for. `event` is where it shows, empty where it is no event's."""

    what: str
    id: str
    grams: Grams
    event: str


class ReachJson(BaseModel):
    """Everything ahead, with grams."""

    grams: Grams
    packed: Grams
    shipped: Grams
    not_shipped: Grams
    lost: Grams
    packs: int
    packs_by_state: dict[str, int]
    things: list[ThingJson]
    loads: list[LoadJson]
    receivers: list[ReceiverJson]
    open_ends: list[OpenEndJson]


class FlowJson(BaseModel):
    """Where the grams of a thing came from and went, over the effective history."""

    grams: Grams
    unexplained: Grams
    behind: list[SourceJson]
    ahead: ReachJson
    is_cut: bool


class EventJson(BaseModel):
    """An event that some `why` names."""

    event_id: str
    name: str
    time: str
    place: str
    index: int | None


class RecallJson(BaseModel):
    """Everything a cause touched. `behind` is where it came from itself; `is_cut`: there is more than was read."""

    id: str
    kind: str
    is_cut: bool
    events_read: int
    reach: ReachJson
    behind: list[SourceJson]
    events: dict[str, EventJson]
    notices: list[str]


def recall_json(found: Recall) -> RecallJson:
    """Return a recall as it is answered."""
    ids = {key: fact.event_id for key, fact in found.events.items()}
    named = (
        {link.key for why in _whys(found.reach) for link in why}
        | {end.key for end in found.reach.open_ends}
        | {*found.notices}
    )
    return RecallJson(
        id=found.subject,
        kind=found.kind,
        is_cut=found.is_cut,
        events_read=found.events_read,
        reach=_reach(found.reach, ids),
        behind=[_source(share) for share in found.behind],
        events={ids[key]: _event(found.events[key], found.index[key]) for key in sorted(named & ids.keys())},
        notices=[ids[key] for key in found.notices if key in ids],
    )


def flow_json(found: Flow) -> FlowJson:
    """Return the quantities of a trace; the subject is not among what is ahead of it."""
    ahead = _reach(found.ahead, {key: fact.event_id for key, fact in found.events.items()})
    ahead.things = [thing for thing in ahead.things if thing.id != found.subject]
    return FlowJson(
        grams=Grams.of(found.amount),
        unexplained=Grams.of(found.unexplained),
        behind=[_source(share) for share in found.behind],
        ahead=ahead,
        is_cut=found.is_cut,
    )


def recall_csv(found: Recall) -> Iterator[str]:
    """Yield a recall line by line as a UTF-8 spreadsheet: one row for each thing, load, receiver and open end.

    A text that a spreadsheet would take for a formula stands behind an apostrophe (OWASP, CSV injection).
    """
    ids = {key: fact.event_id for key, fact in found.events.items()}
    yield BOM + _line(COLUMNS)
    for row in _rows(found.reach, ids):
        yield _line(row)
    if found.is_cut:
        yield _line(("cut", "there is more than was read", *[""] * (len(COLUMNS) - 2)))


def _whys(reach: Reach) -> Iterator[tuple[Link, ...]]:
    yield from (thing.why for thing in reach.things)
    yield from (load.why for load in reach.loads)
    yield from (receiver.why for receiver in reach.receivers)


def _rows(reach: Reach, ids: Mapping[int, str]) -> Iterator[tuple[object, ...]]:
    for thing in reach.things:
        yield (
            "thing", thing.identifier, thing.kind, thing.state, "yes" if thing.is_recalled else "no",
            *_bounds(thing.amount), *_bounds(thing.here), "", " ".join(thing.loads), " ".join(thing.receivers),
            " ".join(_why(thing.why, ids)),
        )  # fmt: skip
    for load in reach.loads:
        yield (
            "load", load.identifier, "load", load.state, "", *_bounds(load.amount), "", "", load.packs, "",
            " ".join(load.receivers), " ".join(_why(load.why, ids)),
        )  # fmt: skip
    for to in reach.receivers:
        yield (
            "receiver", to.identifier, "receiver", "confirmed" if to.has_confirmed else "not confirmed", "",
            *_bounds(to.amount), "", "", to.packs, " ".join(to.loads), " ".join(to.parties),
            " ".join(_why(to.why, ids)),
        )  # fmt: skip
    for end in reach.open_ends:
        yield (
            "open end", end.identifier, end.what, "", "", *_bounds(end.amount), "", "", "", "", "", ids.get(end.key, "")
        )  # fmt: skip


def _bounds(amount: Amount) -> tuple[object, object]:
    return amount.least, "" if amount.most is None else amount.most


def _line(row: Iterable[object]) -> str:
    file = StringIO()
    csv.writer(file).writerow([_cell(value) for value in row])
    return file.getvalue()


def _cell(value: object) -> object:
    return "'" + value if isinstance(value, str) and value.startswith(_FORMULA) else value


def _reach(reach: Reach, ids: Mapping[int, str]) -> ReachJson:
    packs = [thing for thing in reach.things if thing.kind == "pack"]
    states: dict[str, int] = {}
    for pack in packs:
        states[pack.state] = states.get(pack.state, 0) + 1
    return ReachJson(
        grams=Grams.of(reach.amount),
        packed=Grams.of(reach.packed),
        shipped=Grams.of(reach.shipped),
        not_shipped=Grams.of(reach.not_shipped),
        lost=Grams.of(reach.lost),
        packs=len(packs),
        packs_by_state=states,
        things=[_thing(thing, ids) for thing in reach.things],
        loads=[_load(load, ids) for load in reach.loads],
        receivers=[_receiver(receiver, ids) for receiver in reach.receivers],
        open_ends=[_open_end(end, ids) for end in reach.open_ends],
    )


def _thing(thing: Thing, ids: Mapping[int, str]) -> ThingJson:
    return ThingJson(
        id=thing.identifier,
        kind=thing.kind,
        state=thing.state,
        grams=Grams.of(thing.amount),
        here=Grams.of(thing.here),
        loads=list(thing.loads),
        receivers=list(thing.receivers),
        is_recalled=thing.is_recalled,
        why=_why(thing.why, ids),
    )


def _load(load: Load, ids: Mapping[int, str]) -> LoadJson:
    return LoadJson(
        id=load.identifier,
        state=load.state,
        packs=load.packs,
        grams=Grams.of(load.amount),
        receivers=list(load.receivers),
        why=_why(load.why, ids),
    )


def _receiver(receiver: Receiver, ids: Mapping[int, str]) -> ReceiverJson:
    return ReceiverJson(
        id=receiver.identifier,
        parties=list(receiver.parties),
        packs=receiver.packs,
        loads=list(receiver.loads),
        grams=Grams.of(receiver.amount),
        has_confirmed=receiver.has_confirmed,
        why=_why(receiver.why, ids),
    )


def _open_end(end: OpenEnd, ids: Mapping[int, str]) -> OpenEndJson:
    return OpenEndJson(what=end.what, id=end.identifier, grams=Grams.of(end.amount), event=ids.get(end.key, ""))


def _source(share: Share) -> SourceJson:
    return SourceJson(id=share.identifier, kind=share.kind, grams=Grams.of(share.amount), why=list(share.why))


def _event(fact: Fact, index: int | None) -> EventJson:
    return EventJson(event_id=fact.event_id, name=fact.name, time=fact.event_time, place=fact.place, index=index)


def _why(links: Iterable[Link], ids: Mapping[int, str]) -> list[str]:
    return [ids[link.key] for link in links if link.key in ids]
