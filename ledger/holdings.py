"""What events did to things: who made what of what, what lay in what and when, where it went. Pure.

`replay` reads events in their order and keeps the books: a graph of holdings (`ledger.flow`), which thing was in which
container from when to when, which were shipped, received, voided or recalled. It needs nothing of our own sentences:
events of others are read by their EPCIS types, actions and CBV steps alone. `ledger/docs/trace.md` has the rules.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

import msgspec

from ledger.flow import UNKNOWN, Amount, Graph, Kind, Node

_GRAMS: Final[Mapping[str, Decimal]] = {
    "GRM": Decimal(1),
    "MGM": Decimal("0.001"),
    "HGM": Decimal(100),
    "KGM": Decimal(1000),
    "DTN": Decimal(100_000),
    "TNE": Decimal(1_000_000),
    "LBR": Decimal("453.59237"),
    "ONZ": Decimal("28.349523125"),
    "STN": Decimal("907184.74"),
}
"""Grams in the units of mass of UN/CEFACT Recommendation 20. Pounds and ounces are the international ones."""
_MOST_GRAMS: Final = 10**15

SHIPPING: Final = frozenset({"shipping", "departing", "transporting", "staging_outbound"})
RECEIVING: Final = frozenset({"receiving", "arriving", "accepting", "receiving_inspecting"})
_DESTROYING: Final = frozenset({"destroying", "consuming", "dispensing"})
_DESTROYED: Final = frozenset({"destroyed", "disposed", "consumed", "dispensed"})
ALMOST_ALL: Final = 98
"""Per cent of what containers hold: whoever uses so much of it has opened them all, by whatever scales."""


class Held(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A quantity of a class, as an event says it."""

    epc_class: str = ""
    quantity: float | int | None = None
    uom: str | None = None

    @property
    def grams(self) -> int | None:
        """Whole grams, a half to even; None where no unit of mass is given."""
        return in_grams(self.quantity, self.uom)


class Declared(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """An error declaration."""

    declaration_time: str = ""
    reason: str = ""
    corrective_event_ids: list[str] = msgspec.field(default_factory=list, name="correctiveEventIDs")


class Fact(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What an account needs of an event. Decoding an entry into one passes over all the rest."""

    type: str = ""
    event_id: str = msgspec.field(default="", name="eventID")
    event_time: str = ""
    action: str = ""
    biz_step: str = ""
    disposition: str = ""
    epc_list: list[str] = []
    quantity_list: list[Held] = []
    parent_id: str = msgspec.field(default="", name="parentID")
    child_epcs: list[str] = msgspec.field(default=[], name="childEPCs")
    child_quantity_list: list[Held] = []
    input_epc_list: list[str] = msgspec.field(default=[], name="inputEPCList")
    input_quantity_list: list[Held] = []
    output_epc_list: list[str] = msgspec.field(default=[], name="outputEPCList")
    output_quantity_list: list[Held] = []
    transformation_id: str = msgspec.field(default="", name="transformationID")
    biz_transaction_list: list[dict[str, Any]] = []
    source_list: list[dict[str, Any]] = []
    destination_list: list[dict[str, Any]] = []
    read_point: dict[str, Any] = {}
    biz_location: dict[str, Any] = {}
    persistent_disposition: dict[str, Any] = {}
    ilmd: dict[str, Any] = {}
    error_declaration: Declared | None = None
    sentence: str = msgspec.field(default="", name="gy:sentence")

    @property
    def place(self) -> str:
        """Where it happened: the read point, or where things were afterwards."""
        return _id(self.read_point) or _id(self.biz_location)

    @property
    def location(self) -> str:
        """Where things were afterwards, or the read point."""
        return _id(self.biz_location) or _id(self.read_point)

    @property
    def name(self) -> str:
        """`packed`; for events of others `TransformationEvent commissioning` or the like."""
        return self.sentence.partition("/")[0] or " ".join(filter(None, (self.type, self.action, self.biz_step)))

    @property
    def is_aggregation(self) -> bool:
        """Whether it says what is in what. (An association says what is attached to what.)"""
        return self.type == "AggregationEvent"

    def inputs(self) -> Iterator[str]:
        """Everything that went in."""
        yield from self.input_epc_list
        yield from (held.epc_class for held in self.input_quantity_list)

    def outputs(self) -> Iterator[str]:
        """Everything that came out."""
        yield from self.output_epc_list
        yield from (held.epc_class for held in self.output_quantity_list)

    def children(self) -> Iterator[str]:
        """Everything inside the parent."""
        yield from self.child_epcs
        yield from (held.epc_class for held in self.child_quantity_list)

    def objects(self) -> Iterator[str]:
        """Everything it is about."""
        yield from self.epc_list
        yield from (held.epc_class for held in self.quantity_list)

    def text(self, key: str) -> str:
        """Return a text of the master data, or an empty one."""
        value = self.ilmd.get(key)
        return value if isinstance(value, str) else ""


_DECODER: Final = msgspec.json.Decoder(Fact)


def fact_in(data: bytes) -> Fact | None:
    """Return what an entry says, or None where its bytes are damaged."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        return None


def in_grams(quantity: float | None, uom: str | None) -> int | None:
    """Return a quantity in whole grams, a half to even; None without a unit of mass or beyond every scale."""
    factor = _GRAMS.get(uom or "")
    if factor is None or quantity is None:
        return None
    grams = Decimal(str(quantity)) * factor
    if not 0 <= grams <= _MOST_GRAMS:
        return None
    return int(grams.to_integral_value(ROUND_HALF_EVEN))


def _id(place: Mapping[str, Any]) -> str:
    value = place.get("id")
    return value if isinstance(value, str) else ""


# --- which events count --------------------------------------------------------------------------


class Account(msgspec.Struct, frozen=True, gc=False):
    """One event of the log. `key` tells it from all others and rises in log order."""

    key: int
    fact: Fact


def effective(accounts: Iterable[Account]) -> list[Account]:
    """Return what counts, in the order it happened: without declarations and without what any of them declares wrong.

    A declaration works wherever it stands: before or after the event it is about, and on every event of that id. What
    it names as corrective is an event like any other, and may be declared wrong in turn. No event brings back one that
    was declared wrong: EPCIS has the right facts recorded anew, under an id of their own.
    """
    given = list(accounts)
    wrong = {each.fact.event_id for each in given if each.fact.error_declaration is not None}
    kept = [each for each in given if each.fact.error_declaration is None and each.fact.event_id not in wrong]
    return sorted(kept, key=lambda each: (each.fact.event_time, each.key))


# --- the books -------------------------------------------------------------------------------------


class Stay(msgspec.Struct, gc=False):
    """How long one thing was inside another: between two places in the order of events."""

    child: str
    parent: str
    since: int
    until: int | None
    key: int
    """The event that put it there."""


class Seen(msgspec.Struct, frozen=True, gc=False):
    """An event that says something of a thing without moving grams."""

    order: int
    key: int
    fact: Fact


@dataclass(slots=True)
class Books:
    """What a sequence of events comes to."""

    graph: Graph = field(default_factory=Graph)
    facts: dict[int, Fact] = field(default_factory=dict)
    order: dict[int, int] = field(default_factory=dict)
    """The place of each event in the order."""
    stays: list[Stay] = field(default_factory=list)
    shipped: dict[str, list[Seen]] = field(default_factory=dict)
    received: dict[str, list[Seen]] = field(default_factory=dict)
    voided: dict[str, Seen] = field(default_factory=dict)
    recalled: dict[str, Seen] = field(default_factory=dict)
    """What a recall in force names."""
    activated: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Codes that came into force, with the lot they are said to be filled from, and the event."""
    nodes_of: dict[str, list[int]] = field(default_factory=dict)
    """The holdings of each item, and of each container what is in it."""
    inside_of: dict[str, list[int]] = field(default_factory=dict)
    stays_of: dict[str, list[Stay]] = field(default_factory=dict)
    stays_in: dict[str, list[Stay]] = field(default_factory=dict)

    def holdings(self, container: str, *, since: int = -1, until: int | None = None) -> list[int]:
        """Return what was in a container, and in what was in it, at some time of a span of the order.

        A thing in it that is not known to hold anything counts itself.
        """
        found: dict[int, None] = {}
        waiting, asked = [(container, since, until)], set()
        while waiting:
            asked_for = waiting.pop()
            if asked_for in asked:
                continue
            asked.add(asked_for)
            holder, start, end = asked_for
            own = self.nodes_of.get(holder, ()) if holder != container and holder not in self.inside_of else ()
            for node in (*self.inside_of.get(holder, ()), *own):
                at = self.graph.nodes[node]
                if _overlap(at.born, at.closed, start, end):
                    found[node] = None
            for stay in self.stays_in.get(holder, ()):
                if _overlap(stay.since, stay.until, start, end):
                    later = stay.until if end is None else end if stay.until is None else min(end, stay.until)
                    waiting.append((stay.child, max(start, stay.since), later))
        return list(found)

    def carriers(self, thing: str) -> list[Stay]:
        """Return every stay of a thing in a container, and of that container in another while the thing was in it."""
        stays = self.stays_of.get(thing, [])
        if len(stays) < 2 and not any(stay.parent in self.stays_of for stay in stays):
            return stays[:]
        found: dict[int, Stay] = {}
        waiting: list[tuple[str, int, int | None]] = [(thing, -1, None)]
        while waiting:
            child, start, end = waiting.pop()
            for stay in self.stays_of.get(child, ()):
                if id(stay) not in found and _overlap(stay.since, stay.until, start, end):
                    found[id(stay)] = stay
                    later = stay.until if end is None else end if stay.until is None else min(end, stay.until)
                    waiting.append((stay.parent, max(start, stay.since), later))
        return list(found.values())


def _overlap(born: int, closed: int | None, start: int, end: int | None) -> bool:
    return (end is None or born <= end) and (closed is None or closed > start or closed == born)


def replay(accounts: Sequence[Account]) -> Books:
    """Keep the books over effective events in the order they happened."""
    clerk = _Clerk()
    for order, each in enumerate(accounts):
        clerk.take(order, each.key, each.fact)
    clerk.close()
    return clerk.books


def is_container(identifier: str) -> bool:
    """Whether a GS1 key names something whose own mass is of no interest: an SSCC, a GRAI, a GIAI."""
    return any(key in identifier for key in ("/00/", "/8003/", "/8004/", ":sscc:", ":grai:", ":giai:"))


def is_device(identifier: str) -> bool:
    """Whether a key names an individual asset (GIAI): a logger that travels along is nobody's content."""
    return "/8004/" in identifier or ":giai:" in identifier


def is_pack(identifier: str) -> bool:
    """Whether a key names one trade item with its serial (SGTIN)."""
    return "/21/" in identifier or ":sgtin:" in identifier


def is_document(identifier: str) -> bool:
    """Whether a key names a document (GDTI)."""
    return "/253/" in identifier or ":gdti:" in identifier


def is_place(identifier: str) -> bool:
    """Whether a key names a place (GLN, SGLN)."""
    return "/414/" in identifier or ":sgln:" in identifier


class _Clerk:
    """Writes the books, event by event."""

    def __init__(self) -> None:
        self.books = Books()
        self._graph = self.books.graph
        self._stock: dict[tuple[str, str], int] = {}
        self._left: dict[int, int | None] = {}
        self._holders: dict[str, dict[str, None]] = {}
        self._items: dict[str, dict[str, None]] = {}
        self._stay: dict[str, Stay] = {}
        self._seen_at: dict[str, str] = {}
        self._met: dict[str, tuple[int, int]] = {}
        """What events told of without making it: where it was first met."""
        self._steps: dict[str, int] = {}
        self._order = 0
        self._key = -1
        self._fact = Fact()

    def take(self, order: int, key: int, fact: Fact) -> None:
        """Write one event down."""
        self._order, self._key, self._fact = order, key, fact
        self.books.facts[key] = fact
        self.books.order[key] = order
        if fact.type == "TransformationEvent":
            self._transform(fact)
        elif fact.is_aggregation:
            self._aggregate(fact)
        elif fact.type == "ObjectEvent":
            self._observe(fact)
        if fact.type in {"ObjectEvent", "AggregationEvent"}:
            self._mark(fact)

    def close(self) -> None:
        """Balance every transformation: what came out less is lost, what came out more has grown.

        What was seen, sent or put into something, and nobody said that it was made or filled, is there all the same.
        """
        for thing, met in self._met.items():
            self._order, self._key = met
            if not (self._knows(thing) or self._is_told_of(thing)):
                self._first_seen(thing, None)
        for node in [n for n, at in enumerate(self._graph.nodes) if at.kind is Kind.STEP]:
            entered, left = self._graph.entering(node), self._graph.leaving(node)
            key = self._graph.nodes[node].key
            if not entered.is_exact or not left.is_exact:
                continue
            gained = left.least - entered.least
            if gained > 0:
                origin = self._add(Node(Kind.ORIGIN, "", note="growth", key=key, born=self._graph.nodes[node].born))
                self._graph.move(origin, node, Amount.exactly(gained), key)
            elif gained < 0:
                end = self._add(Node(Kind.END, "", note="unaccounted", key=key, born=self._graph.nodes[node].born))
                self._graph.move(node, end, Amount.exactly(-gained), key)

    # --- one kind of event after the other

    def _transform(self, fact: Fact) -> None:
        step = self._steps.get(fact.transformation_id) if fact.transformation_id else None
        if step is None:
            step = self._add(Node(Kind.STEP, "", key=self._key, born=self._order))
            if fact.transformation_id:
                self._steps[fact.transformation_id] = step
        for held in fact.input_quantity_list:
            self._draw(held.epc_class, held.grams, step)
        for epc in fact.input_epc_list:
            self._empty(epc, step)
        for held in fact.output_quantity_list:
            self._put(held.epc_class, "", held.grams, step)
        for epc in fact.output_epc_list:
            self._put(epc, "", None, step)

    def _aggregate(self, fact: Fact) -> None:
        parent = fact.parent_id
        if not parent:
            return
        if fact.action == "DELETE":
            if not fact.child_epcs and not fact.child_quantity_list:
                self._release_all(parent)
                return
            for held in fact.child_quantity_list:
                self._release(held.epc_class, parent, held.grams)
            for epc in fact.child_epcs:
                self._leave(epc, parent)
            return
        is_new = fact.action == "ADD"
        for held in fact.child_quantity_list:
            if is_new or not self._has(held.epc_class, parent):
                self._fill(held.epc_class, parent, held.grams)
        for epc in fact.child_epcs:
            if not is_device(epc) and (is_new or epc not in self._stay):
                self._enter(epc, parent)

    def _observe(self, fact: Fact) -> None:
        if fact.action == "ADD":
            self._create(fact)
        elif fact.action == "DELETE":
            self._end(fact)
        else:
            for held in fact.quantity_list:
                if not self._knows(held.epc_class) and held.grams is not None:
                    self._first_seen(held.epc_class, held.grams)
            for thing in fact.objects():
                self._meet(thing)

    def _create(self, fact: Fact) -> None:
        origin = -1
        for held in fact.quantity_list:
            origin = self._origin(fact) if origin < 0 else origin
            self._put(held.epc_class, "", held.grams, origin)
        lot = fact.text("gy:gradedLot")
        for epc in fact.epc_list:
            if lot:
                self.books.activated[epc] = (lot, self._key)
            elif not is_container(epc) and not is_document(epc) and not self._knows(epc):
                origin = self._origin(fact) if origin < 0 else origin
                self._put(epc, "", None, origin)

    def _origin(self, fact: Fact) -> int:
        place = fact.text("gy:plot") or fact.place
        return self._add(Node(Kind.ORIGIN, place, note="created", key=self._key, born=self._order))

    def _end(self, fact: Fact) -> None:
        is_gone = fact.biz_step in _DESTROYING or fact.disposition in _DESTROYED
        end = -1
        if fact.quantity_list or (is_gone and fact.epc_list):
            note = "destroyed" if is_gone else "withdrawn"
            end = self._add(Node(Kind.END, fact.place, note=note, key=self._key, born=self._order))
        for held in fact.quantity_list:
            self._draw(held.epc_class, held.grams, end)
        for epc in fact.epc_list:
            self.books.voided[epc] = Seen(self._order, self._key, fact)
            if is_gone:
                self._empty(epc, end)

    def _mark(self, fact: Fact) -> None:
        """Remember who was shipped, received or recalled by an event that moves nothing."""
        things = list(fact.objects()) if fact.type == "ObjectEvent" else [fact.parent_id]
        seen = Seen(self._order, self._key, fact)
        if fact.biz_step in SHIPPING and fact.action != "DELETE":
            for thing in things:
                self.books.shipped.setdefault(thing, []).append(seen)
        elif fact.biz_step in RECEIVING and fact.action != "DELETE":
            # What came in another container than it is listed in was received all the same.
            strays = [epc for epc in fact.child_epcs if epc not in self._stay or self._stay[epc].parent != things[0]]
            for thing in (*things, *strays):
                self.books.received.setdefault(thing, []).append(seen)
        for thing in things:
            if not is_pack(thing) and fact.location:
                self._seen_at[thing] = fact.location
        if fact.persistent_disposition:
            for thing in things:
                if "recalled" in fact.persistent_disposition.get("set", ()):
                    self.books.recalled[thing] = seen
                elif "recalled" in fact.persistent_disposition.get("unset", ()):
                    self.books.recalled.pop(thing, None)

    # --- moving grams

    def _add(self, node: Node) -> int:
        number = self._graph.add(node)
        if node.item:
            self.books.nodes_of.setdefault(node.item, []).append(number)
        if node.holder:
            self.books.inside_of.setdefault(node.holder, []).append(number)
        return number

    def _meet(self, thing: str) -> None:
        self._met.setdefault(thing, (self._order, self._key))

    def _is_told_of(self, thing: str) -> bool:
        """Whether the books know a thing by what is in it, or as a code; devices and documents are no goods."""
        books = self.books
        return (
            any(thing in known for known in (books.inside_of, books.stays_in, books.activated, books.voided))
            or is_device(thing)
            or is_document(thing)
            or is_place(thing)
        )

    def _knows(self, item: str) -> bool:
        return item in self.books.nodes_of

    def _has(self, item: str, holder: str) -> bool:
        node = self._stock.get((item, holder))
        return node is not None and self._left[node] != 0

    def _open(self, item: str, holder: str) -> int:
        """The holding that may take something in: a new one once something was taken out of the last."""
        node = self._stock.get((item, holder))
        if node is not None and not self._graph.nodes[node].outgoing:
            return node
        fresh = self._add(Node(Kind.STOCK, item, holder, key=self._key, born=self._order))
        if node is not None:
            left = self._left[node]
            if left != 0:
                self._graph.move(node, fresh, UNKNOWN if left is None else Amount.exactly(left), -1)
            self._graph.nodes[node].closed = self._order
            self._left[fresh] = left
        else:
            self._left[fresh] = 0
        self._stock[item, holder] = fresh
        if holder:
            self._holders.setdefault(item, {})[holder] = None
            self._items.setdefault(holder, {})[item] = None
        return fresh

    def _put(self, item: str, holder: str, grams: int | None, source: int) -> int:
        """Let grams of an item come into a holding."""
        node = self._open(item, holder)
        self._graph.move(source, node, UNKNOWN if grams is None else Amount.exactly(grams), self._key)
        left = self._left[node]
        self._left[node] = None if left is None or grams is None else left + grams
        return node

    def _first_seen(self, item: str, grams: int | None) -> None:
        origin = self._add(Node(Kind.ORIGIN, "", note="first_seen", key=self._key, born=self._order))
        self._put(item, "", grams, origin)

    def _take(self, node: int, grams: int | None, target: int) -> None:
        """Let grams leave a holding that has them; None: an unknown part of it."""
        left = self._left[node]
        if grams is None:
            # Used again after the scales said it was used up: it cannot be nothing.
            self._graph.move(node, target, Amount(0, left) if left else UNKNOWN, self._key)
            self._left[node] = None
        else:
            self._graph.move(node, target, Amount.exactly(grams), self._key)
            self._left[node] = None if left is None else left - grams
        if self._left[node] == 0:
            self._graph.nodes[node].closed = self._order

    def _draw(self, item: str, grams: int | None, target: int) -> None:
        """Take grams of an item from what is free of it; where that is too little, from opened containers."""
        if not self._knows(item):
            self._first_seen(item, grams)
        free = self._stock.get((item, ""))
        left = 0 if free is None else self._left[free]
        if left is not None and (grams is None or left < grams):
            self._open_containers(item, None if grams is None else grams - left)
            free = self._stock.get((item, ""))
            left = 0 if free is None else self._left[free]
        if grams is not None and left is not None and left < grams:
            origin = self._add(Node(Kind.ORIGIN, item, note="unexplained", key=self._key, born=self._order))
            self._put(item, "", grams - left, origin)
        elif free is None:
            self._first_seen(item, None)
        self._take(self._stock[item, ""], grams, target)

    def _open_containers(self, item: str, missing: int | None) -> None:
        """Release an item from containers that nobody was seen unpacking: it is used, so it was taken out.

        Those at the place of use first, then others; a retail pack (a trade item with a serial) is not opened for it.
        """
        holding = [holder for holder in self._holders.get(item, ()) if self._has(item, holder) and not is_pack(holder)]
        here = [holder for holder in holding if _same_site(self._whereabouts(holder), self._fact.place)]
        for holders in (here, [holder for holder in holding if holder not in here]):
            if missing is not None and missing <= 0:
                return
            amounts = [self._left[self._stock[item, holder]] for holder in holders]
            for holder in holders:
                self._release(item, holder, None)
            if missing is not None:
                missing = 0 if None in amounts else missing - sum(filter(None, amounts))

    def _whereabouts(self, thing: str) -> str:
        """Where a thing was last seen, or what it is in."""
        for _ in range(16):
            stay = self._stay.get(thing)
            if stay is None:
                break
            thing = stay.parent
        return self._seen_at.get(thing, "")

    def _fill(self, item: str, holder: str, grams: int | None) -> None:
        """Put grams of an item into a container; without a number, all that is free of it."""
        if grams is None:
            free = self._stock.get((item, ""))
            if free is not None and self._left[free] != 0:
                grams = self._left[free]
        if not self._knows(item):
            self._first_seen(item, grams)
        node = self._open(item, holder)
        self._draw(item, grams, node)
        left = self._left[node]
        self._left[node] = None if left is None or grams is None else left + grams

    def _release(self, item: str, holder: str, grams: int | None) -> None:
        """Take an item out of a container: all of it, or so many grams."""
        node = self._stock.get((item, holder))
        if node is None:
            if grams is not None and not self._knows(item):
                self._first_seen(item, grams)
            return
        left = self._left[node]
        if left == 0:
            return
        free = self._open(item, "")
        if left is None:
            self._graph.move(node, free, UNKNOWN, self._key)
            self._left[free] = None
            self._left[node] = 0
        else:
            taken = left if grams is None or grams * 100 >= left * ALMOST_ALL else grams
            self._take(node, taken, free)
            known = self._left[free]
            self._left[free] = None if known is None else known + taken
        if self._left[node] == 0:
            self._graph.nodes[node].closed = self._order

    def _release_all(self, holder: str) -> None:
        for item in list(self._items.get(holder, ())):
            self._release(item, holder, None)
        for stay in self.books.stays_in.get(holder, ()):
            if stay.until is None:
                self._leave(stay.child, holder)

    def _enter(self, epc: str, parent: str) -> None:
        last = self._stay.get(epc)
        if last is not None:
            if last.parent == parent:
                return
            last.until = self._order
        self._meet(epc)
        stay = Stay(epc, parent, self._order, None, self._key)
        self._stay[epc] = stay
        self.books.stays.append(stay)
        self.books.stays_of.setdefault(epc, []).append(stay)
        self.books.stays_in.setdefault(parent, []).append(stay)

    def _leave(self, epc: str, parent: str) -> None:
        stay = self._stay.get(epc)
        if stay is not None and stay.parent == parent:
            stay.until = self._order
            del self._stay[epc]
            self._seen_at[epc] = self._seen_at.get(parent, "")

    def _empty(self, epc: str, target: int) -> None:
        """Let everything in an individual thing, and the thing itself, go into a step or out of the account."""
        things, asked = [epc], set()
        found = False
        while things:
            thing = things.pop()
            if thing in asked:
                continue
            asked.add(thing)
            for item in list(self._items.get(thing, ())):
                node = self._stock[item, thing]
                if self._left[node] != 0:
                    self._take(node, self._left[node], target)
                    self._left[node] = 0
                    self._graph.nodes[node].closed = self._order
                    found = True
            things += [stay.child for stay in self.books.stays_in.get(thing, ()) if stay.until is None]
            own = self._stock.get((thing, ""))
            if own is not None:
                self._take(own, None, target)
                found = True
        if not found and not self._knows(epc):
            self._first_seen(epc, None)
            self._take(self._stock[epc, ""], None, target)


def _same_site(one: str, other: str) -> bool:
    """Whether two places are the same or parts of the same: `/414/{GLN}` and `/414/{GLN}/254/{ext}`."""
    return bool(one) and one.partition("/254/")[0] == other.partition("/254/")[0]
