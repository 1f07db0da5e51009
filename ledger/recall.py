"""Recall in one call: from anything the log names to everything it touched, with quantities and reasons.

The cause may be a plot, device, lot, pack, crate, load, certificate, treatment, product lot, document, place, party or
event. First the events by which it touched goods are found (`_Causes`), then goods are followed forward from there
(`ledger.gather`, `ledger.holdings`, `ledger.flow`). `ledger/docs/trace.md` has the rules and a worked example.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Select, Table, bindparam, func
from sqlmodel import Session, col, select

from ledger.errors import UnknownIdentifierError
from ledger.flow import Kind, spread
from ledger.gather import UNMOVED, Gathered, Reader, Way, gather, sentences_naming
from ledger.holdings import Books, Fact, effective, is_device, is_pack, replay
from ledger.kernel.clock import parse_time
from ledger.lineage import BEFORE_PICKING, READINGS, Role
from ledger.models import Entry, Naming
from ledger.reach import Link, Reach, Share, kind_of, reach, shares, subject_nodes
from ledger.vocabulary import Sentence

RECALL_LIMIT: Final = 20_000
"""A recall reads at most so many events, the oldest first; a larger one says that it was cut."""
_READINGS_LOOKED_AT: Final = 200
"""So many of a device's newest readings are read for what they were about."""

_NAMING: Final[Table] = Naming.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
_THING: Final = Role.OBJECT | Role.PARENT | Role.CHILD | Role.INPUT | Role.OUTPUT
_BESIDE: Final = Role.PLACE | Role.DOCUMENT | Role.SOURCE | Role.DESTINATION
_DEFINING: Final = frozenset(
    {
        Sentence.BROADCAST_OPENED.value,
        Sentence.SOLD.value,
        Sentence.PICK_ORDER_RAISED.value,
        Sentence.QUOTA_GRANTED.value,
        Sentence.CERTIFICATE_ISSUED.value,
    }
)
"""Sentences that make a document, the first they name, for the sake of the others they name."""
_CREATING: Final = ("", Sentence.PICKED.value)
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Recall:
    """Everything a cause touched."""

    subject: str
    kind: str
    reach: Reach
    behind: tuple[Share, ...]
    """Where the cause itself came from: what to recall instead, if that is at fault."""
    events: Mapping[int, Fact]
    """The effective events, those that the links of the reach name among them."""
    index: Mapping[int, int | None]
    """The place in the log of each; None while it is recorded only."""
    notices: tuple[int, ...]
    """The recalls in force that name something reached."""
    events_read: int
    is_cut: bool
    """Whether there is more than RECALL_LIMIT events: then things are missing, the newest first."""


def recall(session: Session, identifier: str, *, limit: int = RECALL_LIMIT) -> Recall:
    """Return everything that a thing, place, device, document, party or event touched, over the effective history.

    Raises UnknownIdentifierError.
    """
    causes = _Causes(session, identifier, limit)
    causes.find()
    gathered = gather(session, causes.start, keys=causes.touched, limit=limit)
    return recall_in(gathered, identifier, things=causes.things, touched=causes.touched, is_cut=causes.is_cut)


def recall_in(
    gathered: Gathered, identifier: str, *, things: Collection[str], touched: Mapping[int, Link], is_cut: bool
) -> Recall:
    """Return the recall over events that were read: of whole things, and of what certain events touched. Pure."""
    books = replay(effective(gathered.accounts))
    nodes = {node for thing in things for node in subject_nodes(books, thing)}
    because: dict[int, Link] = {}
    by_key = _nodes_by_key(books)
    for key, link in touched.items():
        if key in books.facts:
            for node in _touched_by(books, key, by_key):
                if node not in nodes:
                    because.setdefault(node, link)
    sources = nodes | because.keys()
    found = reach(books, spread(books.graph, sources), because=because, codes=things)
    backward = spread(books.graph, nodes, backward=True)
    reached = {thing.identifier for thing in found.things} | {load.identifier for load in found.loads}
    notices = dict.fromkeys(seen.key for name, seen in books.recalled.items() if name in reached)
    return Recall(
        subject=identifier,
        kind=kind_of(identifier),
        reach=found,
        behind=tuple(shares(books, backward, identifier)) if nodes else (),
        events=books.facts,
        index=gathered.index,
        notices=tuple(sorted(notices)),
        events_read=len(gathered.accounts),
        is_cut=gathered.is_cut or is_cut,
    )


# --- which holdings an event touched ---------------------------------------------------------------


def _nodes_by_key(books: Books) -> dict[int, list[int]]:
    """The nodes that each event made or filled."""
    found: dict[int, list[int]] = {}
    for number, node in enumerate(books.graph.nodes):
        if node.kind in {Kind.ORIGIN, Kind.STEP}:
            found.setdefault(node.key, []).append(number)
    for edge in books.graph.edges:
        if edge.key >= 0 and books.graph.nodes[edge.target].kind is Kind.STOCK:
            found.setdefault(edge.key, []).append(edge.target)
    return found


def _touched_by(books: Books, key: int, by_key: Mapping[int, list[int]]) -> set[int]:
    """The holdings that an event made, filled, or saw."""
    fact, order = books.facts[key], books.order[key]
    nodes = books.graph.nodes
    made = by_key.get(key, [])
    if fact.type == "TransformationEvent":
        steps = {node for node in made if nodes[node].kind is Kind.STEP}
        # A transformation told in several events is one step, made by the first of them.
        return steps or {
            edge.source for edge in books.graph.edges if edge.key == key and nodes[edge.source].kind is Kind.STEP
        }
    if fact.type == "ObjectEvent" and fact.action == "ADD":
        origins = {node for node in made if nodes[node].kind is Kind.ORIGIN and nodes[node].note == "created"}
        return origins | {node for epc in fact.epc_list for node in books.holdings(epc)}
    found = {node for node in made if nodes[node].kind is Kind.STOCK}
    if fact.action != "ADD" or fact.child_epcs:
        for thing in (*fact.objects(), *filter(None, (fact.parent_id,)), *fact.child_epcs):
            found.update(books.holdings(thing, since=order - 1, until=order))
            found.update(
                node
                for node in books.nodes_of.get(thing, ())
                if nodes[node].kind is Kind.STOCK
                and nodes[node].born <= order
                and (nodes[node].closed is None or (nodes[node].closed or 0) >= order)
            )
    return found


# --- how a cause touched goods ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Named:
    """One line of the index."""

    key: int
    roles: int
    sentence: str


class _Causes:
    """Finds the goods and events to start from."""

    def __init__(self, session: Session, identifier: str, limit: int) -> None:
        self._session, self._identifier, self._limit = session, identifier, limit
        self._reader = Reader(session, limit)
        self._documents: set[str] = set()
        self._wrong: set[str] = set()
        self.things: set[str] = set()
        """Goods that are the cause, whole."""
        self.touched: dict[int, Link] = {}
        """Events by which the cause touched goods."""
        self.start: dict[str, int] = {}
        """Where to go from."""

    @property
    def is_cut(self) -> bool:
        """Whether not every event could be looked at."""
        return self._reader.is_cut

    def find(self) -> None:
        """Look at everything that names the cause. Raises UnknownIdentifierError."""
        identifier = self._identifier
        sentences = sentences_naming(self._session, identifier)
        own = [key for (key,) in self._session.execute(select(Entry.id).where(col(Entry.event_id) == identifier))]
        if not sentences and not own:
            raise UnknownIdentifierError(identifier)
        self._reader.read(own)
        if any(fact.error_declaration is not None for fact in self._reader.facts.values()):
            self._wrong.add(identifier)
        for key in own:
            self._touch(key, identifier, is_itself=True)
        kind = kind_of(identifier)
        for named in self._named(identifier, [s for s in sentences if s not in READINGS]):
            self._consider(identifier, named, kind)
        if kind == "device":
            self._installed(identifier, sentences)

    # --- one line of the index after the other

    def _consider(self, identifier: str, named: _Named, kind: str) -> None:
        roles, sentence = named.roles, named.sentence
        if sentence == Sentence.TREATED.value:
            self._treated(named.key)
        elif sentence in _DEFINING:
            if roles & (Role.DOCUMENT | (Role.REFERENCE if kind == "document" else 0)):
                self._defined(identifier, named.key)
            elif roles & Role.OBJECT:
                self._whole(identifier)
        elif sentence == Sentence.PLOT_REGISTERED.value:
            self._registered(named.key)
        elif sentence == Sentence.DEVICE_ENROLLED.value or (kind == "device" and sentence in UNMOVED):
            return
        elif kind == "device" and roles & (_THING | Role.DEVICE | Role.REFERENCE):
            self._touch(named.key, identifier)
        elif roles & _THING:
            self._whole(identifier)
        elif sentence not in UNMOVED and (
            roles & _BESIDE or (roles & Role.REFERENCE and kind in {"document", "party"})
        ):
            self._touch(named.key, identifier)

    def _whole(self, identifier: str) -> None:
        """A thing that events name as goods is the cause itself."""
        if "/414/" in identifier or is_device(identifier):
            return
        self.things.add(identifier)
        self._go(identifier, Way.AHEAD | Way.WITHIN | Way.BEHIND)

    def _treated(self, key: int) -> None:
        """What grew on a plot after it was treated was touched."""
        fact = self._fact(key)
        if fact is not None and fact.place:
            self._grown(fact.place, since=parse_time(fact.event_time), until=None, key=key)

    def _registered(self, key: int) -> None:
        """What grew on a plot is touched by its passport and by who holds it."""
        fact = self._fact(key)
        if fact is not None and fact.place and fact.place != self._identifier:
            self._grown(fact.place, since=None, until=None, key=key)

    def _defined(self, identifier: str, key: int) -> None:
        """Go from a document to the goods it is about, and to documents that were made for its sake."""
        fact = self._fact(key)
        if fact is None:
            return
        documents = [str(each.get("bizTransaction", "")) for each in fact.biz_transaction_list]
        made = documents[0] if documents else ""
        if fact.sentence == Sentence.CERTIFICATE_ISSUED.value:
            # Whether it is the certificate, or a treatment that it names as its basis: it speaks for these lots.
            for item in fact.objects():
                self._whole_because(item, Link(key, identifier, item))
        elif made and made != identifier and made not in self._documents:
            self._documents.add(made)
            sentences = [s for s in sentences_naming(self._session, made) if s not in READINGS]
            for named in self._named(made, sentences):
                if named.sentence in _DEFINING:
                    self._defined(made, named.key)
                elif named.roles & (Role.DOCUMENT | Role.REFERENCE) and named.sentence not in UNMOVED:
                    self._touch(named.key, made)

    def _whole_because(self, item: str, link: Link) -> None:
        if kind_of(item) in {"lot", "pack", "load", "crate"}:
            self.things.add(item)
            self._go(item, Way.AHEAD | Way.WITHIN)
            self.touched.setdefault(link.key, link)

    # --- devices

    def _installed(self, device: str, sentences: Iterable[str]) -> None:
        """A device touched what grew where it was, while it was there and gave readings.

        One that gave none and that no event names, such as a camera over a line, touched what was handled there.
        """
        is_named = bool(self.touched)
        readings = [sentence for sentence in sentences if sentence in READINGS]
        first, last = self._span(device, readings)
        for place, since, until, key in self._stations(device, sentences):
            if first is None or last is None:
                if not is_named:
                    self._handled(place, since=since, until=until)
            elif (until is None or first <= until) and last >= since:
                end = last if until is None else min(last, until)
                self._grown(place, since=max(first, since), until=end + BEFORE_PICKING, key=key)
        for key in self._newest(device, readings):
            fact = self._fact(key)
            if fact is not None and any(True for _ in fact.objects()):
                self._touch(key, device)

    def _stations(self, device: str, sentences: Iterable[str]) -> Iterator[tuple[str, datetime, datetime | None, int]]:
        """Where a device was attached, from when to when: a new place, or taking it off, ends the last."""
        facts = [
            (fact.event_time, named.key, fact)
            for named in self._named(device, [s for s in sentences if s in {"", Sentence.DEVICE_ENROLLED.value}])
            if named.roles & Role.CHILD and (fact := self._fact(named.key)) is not None
            if fact.type == "AssociationEvent"
        ]
        open_: tuple[str, datetime, int] | None = None
        for at, key, fact in sorted(facts, key=lambda each: each[:2]):
            moment = parse_time(at)
            if open_ is not None and (fact.action == "DELETE" or fact.parent_id != open_[0]):
                yield open_[0], open_[1], moment, open_[2]
                open_ = None
            if fact.action != "DELETE" and open_ is None and fact.parent_id:
                open_ = (fact.parent_id, moment, key)
        if open_ is not None:
            yield open_[0], open_[1], None, open_[2]

    def _span(self, device: str, readings: Iterable[str]) -> tuple[datetime | None, datetime | None]:
        """When a device's first and last reading is of."""
        times = [
            (first, last)
            for sentence in readings
            for first, last in self._session.execute(_SPAN, {"identifier": device, "sentence": sentence})
            if first is not None
        ]
        return min((first for first, _ in times), default=None), max((last for _, last in times), default=None)

    def _newest(self, device: str, readings: Iterable[str]) -> list[int]:
        return [
            key
            for sentence in readings
            for (key,) in self._session.execute(
                _NEWEST, {"identifier": device, "sentence": sentence, "most": _READINGS_LOOKED_AT}
            )
        ]

    def _handled(self, place: str, *, since: datetime, until: datetime | None) -> None:
        """What was done at a place in some time: a camera or scale has seen it."""
        sentences = [s for s in sentences_naming(self._session, place) if s not in UNMOVED]
        for named in self._named(place, sentences, since=since, until=until):
            if named.roles & Role.PLACE:
                fact = self._fact(named.key)
                if fact is not None and fact.place == place:
                    self._touch(named.key, place)

    # --- what to start from

    def _grown(self, place: str, *, since: datetime | None, until: datetime | None, key: int) -> None:
        """What came into the world at a place in some time; `key` is the event by which the cause touched the place."""
        for named in self._named(place, _CREATING, since=since, until=until):
            if named.roles & Role.PLACE:
                fact = self._fact(named.key)
                if fact is not None and fact.type == "ObjectEvent" and fact.action == "ADD":
                    self._touch(named.key, place, because=key)

    def _touch(self, key: int, name: str, *, because: int | None = None, is_itself: bool = False) -> None:
        """Start from what an event made, filled or saw."""
        fact = self._fact(key)
        if fact is None or key in self.touched:
            return
        if fact.sentence == Sentence.TREATED.value and is_itself:
            self._treated(key)
            return
        if fact.sentence in _DEFINING or fact.type in {"TransactionEvent", "AssociationEvent"}:
            if is_itself:
                for item in fact.objects():
                    self._whole_because(item, Link(key, name, item))
            return
        if because is not None:
            self._reader.read([because])
        self.touched[key] = Link(key if because is None else because, self._identifier, "" if is_itself else name)
        for thing in (*fact.outputs(), *fact.objects(), *fact.child_epcs, *filter(None, (fact.parent_id,))):
            if not is_device(thing):
                self._go(thing, Way.AHEAD | Way.WITHIN)
        if fact.is_aggregation and not is_pack(fact.parent_id):
            for held in fact.child_quantity_list:
                self._go(held.epc_class, Way.AHEAD)

    def _go(self, thing: str, way: int) -> None:
        self.start[thing] = self.start.get(thing, 0) | way

    # --- reading

    def _fact(self, key: int) -> Fact | None:
        """What an entry says, or None where it was declared wrong, or declares."""
        self._reader.read([key])
        fact = self._reader.facts.get(key)
        return None if fact is None or fact.event_id in self._wrong else fact

    def _named(
        self,
        identifier: str,
        sentences: Iterable[str],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[_Named]:
        """The lines of the index that name an identifier, and their entries read at once."""
        given = {
            "identifier": identifier,
            "since": since or _BEGINNING,
            "until": until or _END,
            "most": self._limit + 1,
        }
        lines = [
            _Named(key, roles, sentence)
            for sentence in sentences
            for key, roles in self._session.execute(_LINES, given | {"sentence": sentence})
        ]
        self._reader.read([line.key for line in lines])
        facts = [fact for line in lines if (fact := self._reader.facts.get(line.key)) is not None]
        self._wrong |= {fact.event_id for fact in facts if fact.error_declaration is not None}
        return [line for line in lines if self._fact(line.key) is not None]


_LINES: Final[Select[Any]] = (
    select(_NAMING.c.entry_id, _NAMING.c.roles)
    .where(
        _NAMING.c.identifier == bindparam("identifier"),
        _NAMING.c.sentence == bindparam("sentence"),
        _NAMING.c.event_time.between(bindparam("since"), bindparam("until")),
    )
    .order_by(_NAMING.c.event_time, _NAMING.c.entry_id)
    .limit(bindparam("most"))
)
_SPAN: Final[Select[Any]] = select(func.min(_NAMING.c.event_time), func.max(_NAMING.c.event_time)).where(
    _NAMING.c.identifier == bindparam("identifier"), _NAMING.c.sentence == bindparam("sentence")
)
_NEWEST: Final[Select[Any]] = (
    select(_NAMING.c.entry_id)
    .where(_NAMING.c.identifier == bindparam("identifier"), _NAMING.c.sentence == bindparam("sentence"))
    .order_by(_NAMING.c.event_time.desc(), _NAMING.c.entry_id.desc())
    .limit(bindparam("most"))
)
