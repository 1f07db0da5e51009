"""Reads from the index what an account of some things needs: what happened to them, behind them and ahead of them.

Breadth first and many things at a time. An identifier that a hundred thousand events name (a plot with its readings, a
dock) is asked only for what moves goods, by sentence, so that the index is never read through.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from ledger.holdings import Account, Fact, fact_in, is_device, is_pack, is_place
from ledger.lineage import Role
from ledger.log import pages
from ledger.vocabulary import Sentence

_PAGE: Final = 1000


class Way:
    """In which directions to go from a thing: bits, added up. Plain integers, because every line of the index asks."""

    AHEAD: Final = 1
    """What was made of it, what it was put into."""
    BEHIND: Final = 2
    """What it was made of, what was put into it."""
    WITHIN: Final = 4
    """What lay in it, and where that went."""
    AROUND: Final = 8
    """What happened to the container it lay in."""
    STEP_AHEAD: Final = 16
    STEP_BEHIND: Final = 32
    """It is the number of a transformation that several events tell of."""
    GROWN: Final = 64
    """It is a place: what came into the world there."""


FLOW_LIMIT: Final = 2_000
"""A trace reads at most so many events for its quantities; a longer one says that it was cut."""
UNMOVED: Final = frozenset(
    {
        Sentence.READING_CONFLICT.value,
        Sentence.WINDOW_CLOSED.value,
        Sentence.BROADCAST_OPENED.value,
        Sentence.SOLD.value,
        Sentence.PICK_ORDER_RAISED.value,
        Sentence.CALIBRATED.value,
        Sentence.OVERRIDE_MADE.value,
        Sentence.QUOTA_GRANTED.value,
        Sentence.CERTIFICATE_ISSUED.value,
        Sentence.SCAN_ALARM.value,
        Sentence.FEEDBACK_GIVEN.value,
    }
)
"""Sentences that say something of a thing and move nothing: an account need not read them."""
_SEALED: Final = (Sentence.DELIVERED.value, Sentence.LOADED.value, Sentence.PACKED.value)
"""Whoever looks behind a thing need not read what else was packed from its lot."""
_FILLED: Final = 128
_FILLING: Final = frozenset({Sentence.PACKED.value, Sentence.CODE_ACTIVATED.value})
_CREATING: Final = ("", Sentence.PICKED.value)
_THING: Final = Role.OBJECT | Role.PARENT | Role.CHILD | Role.INPUT | Role.OUTPUT


@dataclass(frozen=True, slots=True)
class Gathered:
    """The events that an account of some things needs."""

    accounts: tuple[Account, ...]
    index: Mapping[int, int | None]
    """The place in the log of each."""
    is_cut: bool


def gather(
    session: Session,
    start: Mapping[str, int],
    *,
    keys: Collection[int] = (),
    limit: int = FLOW_LIMIT,
) -> Gathered:
    """Read what happened to some things, to what they were made of and to what became of them.

    `keys` are entries to read besides. Stops at `limit` entries and says so.
    """
    reader = Reader(session, limit)
    reader.read(keys)
    asked: dict[str, int] = {}
    waiting = dict(start)
    gone: set[tuple[int, int, int]] = set()
    while waiting and not reader.is_cut:
        following: dict[str, int] = {}
        for identifier, way, roles, key in reader.ask(waiting):
            fact = reader.facts.get(key)
            if fact is None or (key, way, roles) in gone:
                continue
            if fact.type != "ObjectEvent":
                # A hundred packs lead by one event to one load: what it leads to is the same for all of them.
                gone.add((key, way, roles))
            for other, onward in leads(identifier, way, roles, fact):
                following[other] = following.get(other, 0) | onward
        for identifier, way in waiting.items():
            asked[identifier] = asked.get(identifier, 0) | way
        fresh = {other: onward & ~asked.get(other, 0) for other, onward in following.items() if other}
        waiting = {other: onward for other, onward in fresh.items() if onward}
    return Gathered(
        tuple(Account(key, fact) for key, fact in sorted(reader.facts.items())), reader.index, reader.is_cut
    )


def leads(identifier: str, way: int, roles: int, fact: Fact) -> Iterator[tuple[str, int]]:
    """Yield where an event leads that names a thing in these roles: the next things, and in which direction."""
    if fact.type == "TransformationEvent":
        yield from _through(way, roles, fact)
    elif fact.is_aggregation and fact.parent_id:
        if roles & Role.CHILD and way & Way.AHEAD:
            yield fact.parent_id, Way.AHEAD
        if roles & Role.CHILD and way & (Way.BEHIND | Way.AROUND):
            yield fact.parent_id, Way.AROUND
        if roles & Role.PARENT and way & (Way.WITHIN | Way.BEHIND):
            yield from _inside(way, fact)
    elif fact.type == "ObjectEvent" and fact.action == "ADD":
        lot = fact.text("gy:gradedLot")
        if way & Way.AHEAD and roles & Role.REFERENCE and lot == identifier:
            for epc in fact.epc_list:
                yield epc, Way.AHEAD
        if way & Way.BEHIND and roles & Role.OBJECT and lot:
            yield lot, Way.BEHIND
        if way & Way.GROWN and roles & Role.PLACE:
            for other in fact.objects():
                yield other, Way.AHEAD


def _through(way: int, roles: int, fact: Fact) -> Iterator[tuple[str, int]]:
    is_ahead = way & Way.STEP_AHEAD or (way & Way.AHEAD and roles & Role.INPUT)
    is_behind = way & Way.STEP_BEHIND or (way & Way.BEHIND and roles & Role.OUTPUT)
    if is_ahead:
        for other in fact.outputs():
            yield other, Way.AHEAD
        yield fact.transformation_id, Way.STEP_AHEAD
    if is_behind:
        for other in fact.inputs():
            yield other, Way.BEHIND
        yield fact.transformation_id, Way.STEP_BEHIND


def _inside(way: int, fact: Fact) -> Iterator[tuple[str, int]]:
    for epc in fact.child_epcs:
        if not is_device(epc):
            if way & Way.WITHIN:
                yield epc, Way.WITHIN | Way.AHEAD
            if way & Way.BEHIND and fact.action != "DELETE":
                yield epc, Way.BEHIND
    for held in fact.child_quantity_list:
        # What is in a retail pack stays there, unless it was seen being taken out.
        if way & Way.WITHIN and (fact.action == "DELETE" or not is_pack(fact.parent_id)):
            yield held.epc_class, Way.AHEAD
        if way & Way.BEHIND and fact.action != "DELETE":
            yield held.epc_class, Way.BEHIND


class Reader:
    """Asks the index about many things at once and reads each entry once."""

    def __init__(self, session: Session, limit: int) -> None:
        self._session, self._limit = session, limit
        self.facts: dict[int, Fact] = {}
        self.index: dict[int, int | None] = {}
        self.is_cut = False

    def ask(self, things: Mapping[str, int]) -> list[tuple[str, int, int, int]]:
        """Return (thing, way, roles, entry) for each event that concerns it; the entries are read."""
        hits: list[tuple[str, int, int, int]] = []
        by_way: dict[int, list[str]] = {}
        for identifier, way in things.items():
            if is_place(identifier):
                way &= Way.GROWN  # noqa: PLW2901  # nothing lies in a place as in a box; it is not scanned for that
            if way == Way.AHEAD and is_pack(identifier):
                way |= _FILLED  # noqa: PLW2901  # a pack reached from its lot: what filled it is read already
            if way:
                by_way.setdefault(way, []).append(identifier)
        for way, identifiers in by_way.items():
            for page in pages(identifiers, _PAGE):
                hits += [(name, way, roles, key) for name, key, roles in self._named(way, page)]
        self.read({key for *_, key in hits})
        return hits

    def read(self, keys: Collection[int]) -> None:
        """Read entries that were not read yet, the oldest first; at the limit, note that some were not."""
        wanted = sorted(key for key in keys if key not in self.facts)
        room = max(0, self._limit - len(self.facts))
        if len(wanted) > room:
            self.is_cut = True
            wanted = wanted[:room]
        for page in pages(wanted, _PAGE):
            for key, index, data in self._rows("SELECT id, leaf_index, data FROM ledger_entry WHERE id", page):
                fact = fact_in(data)
                if fact is not None:
                    self.facts[key] = fact
                    self.index[key] = index

    def _named(self, way: int, identifiers: Sequence[str]) -> Sequence[Any]:
        """The lines of the index that a way of looking at things asks for."""
        head, tail = "SELECT identifier, entry_id, roles FROM ledger_naming WHERE identifier", _wanted(way)
        return self._rows(head, identifiers, f"AND {tail} LIMIT {8 * self._limit}")

    def _rows(self, head: str, values: Sequence[Any], tail: str = "") -> Sequence[Any]:
        """Ask the driver itself: a thousand parameters through SQLAlchemy cost more than the answer."""
        connection = self._session.connection()
        if connection.dialect.name == "postgresql":
            # In binary: an entry's bytes come as they are, not twice as long in hexadecimal digits.
            with connection.connection.driver_connection.cursor(binary=True) as cursor:  # type: ignore[union-attr]
                found: Sequence[Any] = cursor.execute(f"{head} = ANY(%s) {tail}", (list(values),)).fetchall()
                return found
        marks = ",".join("?" * len(values))
        return connection.exec_driver_sql(f"{head} IN ({marks}) {tail}", tuple(values)).all()


@cache
def _wanted(way: int) -> str:
    """The condition that finds the events a way of looking at a thing asks for. Holds nothing but our own words."""
    if way == Way.GROWN:
        return f"(roles & {Role.PLACE}) <> 0 AND sentence IN {_listed(_CREATING)}"
    wanted: list[str] = []
    if way & (Way.AHEAD | Way.WITHIN):
        wanted.append(f"(roles & {_THING}) <> 0")
        wanted.append(f"((roles & {Role.REFERENCE}) <> 0 AND sentence = '{Sentence.CODE_ACTIVATED.value}')")
    if way & Way.BEHIND:
        wanted.append(f"(roles & {Role.OBJECT | Role.PARENT | Role.OUTPUT}) <> 0")
        wanted.append(f"((roles & {Role.CHILD}) <> 0 AND sentence NOT IN {_listed(_SEALED)})")
    if way & Way.AROUND:
        wanted.append(f"(roles & {Role.OBJECT | Role.PARENT | Role.CHILD}) <> 0")
    if way & (Way.STEP_AHEAD | Way.STEP_BEHIND):
        wanted.append(f"(roles & {Role.DOCUMENT}) <> 0")
    if way & Way.GROWN:
        wanted.append(f"((roles & {Role.PLACE}) <> 0 AND sentence IN {_listed(_CREATING)})")
    known = UNMOVED | _FILLING if way & _FILLED else UNMOVED
    return f"({' OR '.join(wanted)}) AND sentence NOT IN {_listed(sorted(known))}"


def _listed(words: Iterable[str]) -> str:
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"


_SENTENCES: Final = text(
    "WITH RECURSIVE found (sentence) AS ("
    " SELECT MIN(sentence) FROM ledger_naming WHERE identifier = :identifier"
    " UNION ALL SELECT (SELECT MIN(sentence) FROM ledger_naming"
    "  WHERE identifier = :identifier AND sentence > found.sentence) FROM found WHERE found.sentence IS NOT NULL"
    ") SELECT sentence FROM found WHERE sentence IS NOT NULL"
)
"""Steps from one sentence of an identifier to the next: a few seeks, however many entries name it."""


def sentences_naming(session: Session, identifier: str) -> list[str]:
    """Return the sentences of the entries that name an identifier, each once; empty where none does."""
    return list(session.execute(_SENTENCES, {"identifier": identifier}).scalars())
