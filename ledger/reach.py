"""What a mass has reached: lots, packs, crates, loads, receivers, what is left, what nobody accounts for. Pure.

The books say what moved, a spread says how much of it was ours; this puts names on it and says of each thing why.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec

from ledger.flow import NOTHING, Amount, Kind, Spread, together, total
from ledger.holdings import Books, Fact, Seen, Stay, is_container, is_pack
from ledger.vocabulary import PartyRole, Sentence

MOST_LINKS: Final = 100
"""A reason names at most so many events, those nearest to the thing."""


class State(StrEnum):
    """How far a thing has come."""

    ACTIVATED = "activated"
    """Its code is valid; nobody said what is in it."""
    HERE = "here"
    """Made or packed, in no load."""
    LOADED = "loaded"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    PACKED = "packed"
    """All of it that is left lies in packs or other containers."""
    USED = "used"
    """All of it went into something else."""
    VOIDED = "voided"


class Link(msgspec.Struct, frozen=True, gc=False):
    """One event on the way from the cause to a thing."""

    key: int
    source: str
    target: str


class Thing(msgspec.Struct, frozen=True, gc=False):
    """A lot, pack, crate or other thing that was reached."""

    identifier: str
    kind: str
    """`lot`, `pack`, `crate`, `load` or `thing`."""
    amount: Amount
    """How many grams of the cause came into it."""
    here: Amount
    """How many of them are in it still, by the books. For a lot: free, in no container."""
    state: State
    loads: tuple[str, ...]
    receivers: tuple[str, ...]
    is_recalled: bool
    """Whether a recall in force names it or something it came from, among the things reached."""
    why: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """A container that carried things reached."""

    identifier: str
    packs: int
    amount: Amount
    state: State
    receivers: tuple[str, ...]
    why: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Receiver:
    """A place or party that things were sent to, or that said it received them."""

    identifier: str
    """The place, or the party where no place was said; empty where neither was."""
    parties: tuple[str, ...]
    packs: int
    loads: tuple[str, ...]
    amount: Amount
    has_confirmed: bool
    why: tuple[Link, ...]


class OpenEnd(msgspec.Struct, frozen=True, gc=False):
    """Something that is not accounted for."""

    what: str
    """`on_hand`, `unaccounted`, `unexplained`, `first_seen`, `not_arrived`, `not_packed` or `mass_unknown`."""
    identifier: str
    amount: Amount
    key: int
    """The event it shows at; -1 where it is no event's."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Everything ahead of a cause."""

    amount: Amount
    things: tuple[Thing, ...]
    loads: tuple[Load, ...]
    receivers: tuple[Receiver, ...]
    open_ends: tuple[OpenEnd, ...]
    packed: Amount
    shipped: Amount
    lost: Amount
    keys: frozenset[int]
    """The events that moved or marked what was reached."""

    @property
    def not_shipped(self) -> Amount:
        """What is still within reach: neither shipped nor lost."""
        gone = self.shipped + self.lost
        most = None if self.amount.most is None else max(0, self.amount.most - gone.least)
        least = 0 if gone.most is None else max(0, self.amount.least - gone.most)
        return Amount(least, most)


@dataclass(frozen=True, slots=True)
class Share:
    """Something behind the subject, and how many grams of the subject came from it."""

    identifier: str
    kind: str
    amount: Amount
    why: tuple[str, ...]
    """The ids of the events that lead from it to the subject."""


def kind_of(identifier: str) -> str:
    """Return what a key names, by its form: `pack`, `lot`, `load`, `crate` ... or `thing`."""
    for parts, kind in _KINDS:
        if any(part in identifier for part in parts):
            return kind
    return "thing"


_KINDS: Final = (
    (("/21/", ":sgtin:"), "pack"),
    (("/10/", ":lgtin:", ":lot:"), "lot"),
    (("/00/", ":sscc:"), "load"),
    (("/8003/", ":grai:"), "crate"),
    (("/8004/", ":giai:"), "device"),
    (("/253/", ":gdti:"), "document"),
    (("/414/", ":sgln:"), "place"),
    (("/417/", ":pgln:"), "party"),
    (("urn:uuid:", "ni:///"), "event"),
)


def reach(
    books: Books, spread: Spread, *, because: Mapping[int, Link] | None = None, codes: Collection[str] = ()
) -> Reach:
    """Return everything the sources of a spread forward came to, the sources themselves with it.

    `because` says of a source by which event the cause touched it, where it is not the cause itself. `codes` are asked
    about by name, and listed even where nobody ever put anything into them.
    """
    survey = _Survey(books, spread, because or {})
    return survey.survey([code for code in codes if code in books.voided or code in books.activated])


def subject_nodes(books: Books, identifier: str) -> list[int]:
    """Return the holdings that are a thing: what lies in a container, else all there ever was of it."""
    inside = books.holdings(identifier)
    return inside or list(books.nodes_of.get(identifier, ()))


def shares(books: Books, backward: Spread, subject: str) -> Iterator[Share]:
    """Yield what is behind, the nearest first: items, containers on the way, places where things were made."""
    grouped: dict[str, list[int]] = {}
    for node in backward.content:
        if node in backward.sources:
            continue
        at = books.graph.nodes[node]
        for name in (at.item, at.holder):
            if name and name != subject and at.kind in {Kind.STOCK, Kind.ORIGIN} and at.note != "unexplained":
                grouped.setdefault(name, []).append(node)
    for name, nodes in grouped.items():
        amount = together(books.graph, backward, nodes)
        if amount != NOTHING:
            way = min((backward.way(node) for node in nodes), key=len)
            keys = dict.fromkeys(books.graph.edges[edge].key for edge in reversed(way))
            why = tuple(books.facts[key].event_id for key in keys if key >= 0)
            yield Share(name, kind_of(name), amount, why)


class _Survey:
    def __init__(self, books: Books, spread: Spread, because: Mapping[int, Link]) -> None:
        self._books, self._spread, self._because = books, spread, because
        self._graph = books.graph
        self._keys: set[int] = set()
        self._went: dict[str, dict[str, _Leg]] = {}
        self._loads: dict[str, dict[str, Stay]] = {}
        """For each load, the things reached that were in it, each with its stay."""
        self._carriers: dict[str, tuple[str, ...]] = {}
        self._inside: dict[str, list[int]] = {}
        self._of: dict[str, list[int]] = {}
        self._distance: dict[int, int] = {}
        self._steps_of: dict[str, int] = {}
        self._links: dict[int, tuple[Link, ...]] = {}
        self._alike: dict[tuple[str, int, int | None], dict[str, _Leg]] = {}
        self._sendings: dict[str, list[_Sending]] = {}
        for node in spread.content:
            at = self._graph.nodes[node]
            if at.kind is Kind.STOCK:
                self._of.setdefault(at.item, []).append(node)
                if at.holder:
                    self._inside.setdefault(at.holder, []).append(node)

    def survey(self, codes: Collection[str]) -> Reach:
        books, spread = self._books, self._spread
        named = {edge.key for number, edge in enumerate(self._graph.edges) if number in spread.moved}
        self._keys = {key for key in named if key >= 0}
        activated = self._activated()
        self._find_ways()
        names = dict.fromkeys((*self._of, *self._inside, *activated, *codes))
        for name in names:
            self._follow(name)
        recalled = self._recalled()
        things = [self._thing(name, recalled) for name in names]
        loads = [self._load(load, inside) for load, inside in self._loads.items()]
        shipped_nodes = [
            node
            for name in names
            if self._went.get(name) and books.voided.get(name) is None
            for node in self._nodes(name)
        ]
        lost = [n for n in spread.content if self._graph.nodes[n].kind is Kind.END]
        packed = [node for name, nodes in self._inside.items() if is_pack(name) for node in nodes]
        return Reach(
            amount=spread.supply,
            things=tuple(sorted(things, key=lambda thing: (thing.kind, thing.identifier))),
            loads=tuple(sorted(loads, key=lambda load: load.identifier)),
            receivers=tuple(sorted(self._receivers(), key=lambda each: each.identifier)),
            open_ends=tuple(self._open_ends(activated)),
            packed=self._sum(packed),
            shipped=self._sum(shipped_nodes),
            lost=self._sum(lost),
            keys=frozenset(self._keys),
        )

    def _sum(self, nodes: Iterable[int]) -> Amount:
        return together(self._graph, self._spread, nodes)

    def _nodes(self, name: str) -> list[int]:
        """What was reached of a thing: what lay in it, or it itself."""
        return self._inside.get(name) or self._of.get(name, [])

    # --- where things went

    def _follow(self, name: str) -> None:
        """Note the loads a thing was in, and who it was sent to."""
        books, nodes = self._books, self._nodes(name)
        began = self._graph.nodes[nodes[0]].born if nodes else -1
        for node in nodes[1:]:
            began = min(began, self._graph.nodes[node].born)
        ended = self._ended(name)
        stays = [stay for stay in books.carriers(name) if not _is_past(stay, began, ended)]
        spans = [(stay.parent, max(stay.since, began), _earlier(stay.until, ended)) for stay in stays]
        for stay in stays:
            self._keys.add(stay.key)
            self._loads.setdefault(stay.parent, {})[name] = stay
        if stays:
            self._carriers[name] = tuple(dict.fromkeys(stay.parent for stay in stays))
        is_sent = name in books.shipped or name in books.received
        if len(spans) == 1 and not is_sent:
            # All packs of one load went the same way: it is looked up once.
            if spans[0] not in self._alike:
                self._alike[spans[0]] = {}
                self._sent(self._alike[spans[0]], *spans[0])
            self._went[name] = self._alike[spans[0]]
            return
        legs = self._went.setdefault(name, {})
        for span in [(name, began, ended), *spans] if is_sent else spans:
            self._sent(legs, *span)

    def _ended(self, name: str) -> int | None:
        """When the last of what was reached left a thing; None: some is in it still."""
        ended = -1
        for node in self._inside.get(name, ()):
            closed = self._graph.nodes[node].closed
            if closed is None:
                return None
            ended = max(ended, closed)
        return None if ended < 0 else ended

    def _sent(self, legs: "dict[str, _Leg]", carrier: str, since: int, until: int | None) -> None:
        """Note to whom something was sent, itself or in a carrier, in the order it happened."""
        if carrier not in self._sendings:
            self._sendings[carrier] = _sendings(self._books, carrier)
        for sending in self._sendings[carrier]:
            order = sending.seen.order
            if order >= since and (until is None or order <= until):
                if sending.is_confirmed:
                    _meet(legs, sending.receiver)
                _note(legs, sending, carrier)
                self._keys.add(sending.seen.key)

    # --- one thing, load, receiver

    def _thing(self, name: str, recalled: Mapping[str, bool]) -> Thing:
        nodes, is_holder = self._nodes(name), name in self._inside
        rest = [self._spread.rest.get(node, NOTHING) for node in nodes if is_holder or self._is_free(node)]
        here = rest[0] if len(rest) == 1 else total(rest)
        if is_holder:
            amount = self._entered(nodes) if is_pack(name) else self._sum(nodes)
        else:
            amount = self._sum(self._of.get(name, ()))
        kind = kind_of(name)
        most = here.most if amount.most is None else amount.most if here.most is None else min(here.most, amount.most)
        return Thing(
            identifier=name,
            kind="lot" if kind == "thing" and not is_container(name) and name in self._of else kind,
            amount=amount,
            here=Amount(here.least, most),
            state=self._state(name, here),
            loads=self._carriers.get(name, ()),
            receivers=tuple(self._went.get(name, ())),
            is_recalled=recalled.get(name, False),
            why=self._why(name),
        )

    def _is_free(self, node: int) -> bool:
        return not self._graph.nodes[node].holder

    def _entered(self, nodes: list[int]) -> Amount:
        """What came into a pack: there are many, and what comes in by one door needs no search."""
        incoming = self._graph.nodes[nodes[0]].incoming
        if len(nodes) == len(incoming) == 1:
            return self._spread.moved.get(incoming[0]) or self._sum(nodes)
        group = set(nodes)
        edges = [e for n in nodes for e in self._graph.nodes[n].incoming if self._graph.edges[e].source not in group]
        if len(edges) == 1 and edges[0] in self._spread.moved:
            return self._spread.moved[edges[0]]
        return self._sum(nodes)

    def _state(self, name: str, here: Amount) -> State:
        if name in self._books.voided:
            return State.VOIDED
        legs = self._went.get(name)
        if legs:
            return State.DELIVERED if _is_confirmed(legs.values()) else State.SHIPPED
        if name in self._carriers:
            return State.LOADED
        if not self._nodes(name):
            return State.ACTIVATED
        if here != NOTHING:
            return State.HERE
        is_packed = any(self._spread.rest.get(node, NOTHING) != NOTHING for node in self._of.get(name, ()))
        return State.PACKED if is_packed and name not in self._inside else State.USED

    def _load(self, name: str, inside: Mapping[str, Stay]) -> Load:
        nodes = {node for thing in inside for node in self._nodes(thing)} | set(self._inside.get(name, ()))
        legs = self._legs_by(name, inside)
        first = min(inside, key=lambda thing: (self._steps(thing), inside[thing].since))
        return Load(
            identifier=name,
            packs=sum(is_pack(thing) for thing in inside),
            amount=self._sum(nodes),
            state=State.DELIVERED if _is_confirmed(legs.values()) else State.SHIPPED if legs else State.LOADED,
            receivers=tuple(legs),
            why=(*self._why(first), Link(inside[first].key, first, name)),
        )

    def _legs_by(self, load: str, inside: Iterable[str]) -> dict[str, "_Leg"]:
        ways = {id(legs): legs for thing in inside if (legs := self._went.get(thing))}  # packs of one load share theirs
        return {place: leg for legs in ways.values() for place, leg in legs.items() if load in leg.carriers}

    def _receivers(self) -> Iterator[Receiver]:
        by_place: dict[str, list[tuple[str, _Leg]]] = {}
        for name, legs in self._went.items():
            for place, leg in legs.items():
                by_place.setdefault(place, []).append((name, leg))
        for place, found in by_place.items():
            name, leg = min(found, key=lambda each: (self._steps(each[0]), each[1].first.order))
            shared = {id(each): each for _, each in found}.values()
            carrier = leg.carrier
            why = self._why(name)
            if carrier != name and carrier in self._loads and name in self._loads[carrier]:
                why = (*why, Link(self._loads[carrier][name].key, name, carrier))
            yield Receiver(
                identifier=place,
                parties=tuple(sorted({party for each in shared for party in each.parties})),
                packs=sum(is_pack(name) for name, _ in found),
                loads=tuple(sorted({c for each in shared for c in each.carriers if c in self._loads})),
                amount=self._sum({node for name, _ in found for node in self._nodes(name)}),
                has_confirmed=_is_confirmed(shared),
                why=(*why, Link(leg.first.key, carrier, place)),
            )

    def _why(self, name: str) -> tuple[Link, ...]:
        """The shortest way from the cause to a thing."""
        nodes = self._nodes(name)
        if len(nodes) == 1:
            return self._links[nodes[0]]
        if not nodes:
            return self._why_activated(name)
        return self._links[min(nodes, key=lambda node: self._distance.get(node, 0))]

    def _why_activated(self, name: str) -> tuple[Link, ...]:
        if name not in self._books.activated:
            return ()
        lot, key = self._books.activated[name]
        return (*self._why(lot), Link(key, lot, name)) if lot in self._of else (Link(key, lot, name),)

    def _steps(self, name: str) -> int:
        """How many movements a thing is away from the sources."""
        steps = self._steps_of.get(name)
        if steps is None:
            nodes = self._nodes(name)
            steps = self._distance.get(nodes[0], 0) if nodes else 0
            for node in nodes[1:]:
                steps = min(steps, self._distance.get(node, 0))
            self._steps_of[name] = steps
        return steps

    def _find_ways(self) -> None:
        """Note how far each node is from the sources, and by which events: the spread found them nearest first."""
        edges, via = self._graph.edges, self._spread.via
        for node in self._spread.sources:
            self._links[node] = (self._because[node],) if node in self._because else ()
        for node, number in via.items():
            edge = edges[number]
            self._distance[node] = self._distance.get(edge.source, 0) + 1
            links = self._links[edge.source]
            if edge.key < 0:
                self._links[node] = links
            elif links and links[-1].key == edge.key:
                last = Link(edge.key, links[-1].source, self._name(node) or links[-1].target)
                self._links[node] = (*links[:-1], last)
            else:
                self._links[node] = (*links[-MOST_LINKS:], Link(edge.key, self._name(edge.source), self._name(node)))

    def _name(self, node: int) -> str:
        at = self._graph.nodes[node]
        return at.holder or at.item

    # --- what is not accounted for

    def _activated(self) -> dict[str, int]:
        """Codes in force for a lot that was reached, of which nobody said what is in them."""
        return {
            code: key
            for code, (lot, key) in self._books.activated.items()
            if code not in self._books.inside_of and any(self._is_free(node) for node in self._of.get(lot, ()))
        }

    def _recalled(self) -> dict[str, bool]:
        """The things that a recall in force reaches: it names them, or something they came from."""
        cause = {
            node for name in self._books.recalled for node in (*self._of.get(name, ()), *self._inside.get(name, ()))
        }
        waiting = list(cause)
        while waiting:
            for edge in self._graph.nodes[waiting.pop()].outgoing:
                target = self._graph.edges[edge].target
                if edge in self._spread.moved and target not in cause:
                    cause.add(target)
                    waiting.append(target)
        found = dict.fromkeys(self._books.recalled, True)
        for node in cause:
            found[self._name(node)] = True
        for load, inside in self._loads.items():
            if self._books.recalled.get(load):
                found.update(dict.fromkeys(inside, True))
        return found

    def _open_ends(self, activated: Mapping[str, int]) -> Iterator[OpenEnd]:
        spread, graph = self._spread, self._graph
        for item, nodes in self._of.items():
            rest = total(spread.rest[node] for node in nodes if self._is_free(node))
            if rest != NOTHING and not (self._went.get(item)):
                what = "on_hand" if rest.most is not None else "mass_unknown"
                yield OpenEnd(what, item, rest, -1)
        for node, content in spread.content.items():
            at = graph.nodes[node]
            if at.kind is Kind.END and content != NOTHING:
                yield OpenEnd(at.note, self._before(node), content, at.key)
        for at in graph.nodes:
            if at.kind is Kind.ORIGIN and at.note == "unexplained" and at.item in self._of:
                yield OpenEnd("unexplained", at.item, total(graph.edges[e].amount for e in at.outgoing), at.key)
        for code, key in activated.items():
            if code not in self._books.voided:
                yield OpenEnd("not_packed", code, Amount(0, None), key)
        for load, inside in self._loads.items():
            legs = self._legs_by(load, inside)
            if legs and not _is_confirmed(legs.values()):
                carried = {node for thing in inside for node in self._nodes(thing)}
                yield OpenEnd("not_arrived", load, self._sum(carried), next(iter(legs.values())).first.key)

    def _before(self, node: int) -> str:
        """What a loss was lost from: the item, or what came out of the same step."""
        edge = graph_edge = self._graph.nodes[node].incoming[0]
        source = self._graph.edges[graph_edge].source
        while self._graph.nodes[source].kind is Kind.STEP and self._graph.nodes[source].incoming:
            edge = next((e for e in self._graph.nodes[source].incoming if e in self._spread.moved), edge)
            if self._graph.edges[edge].source == source:
                break
            source = self._graph.edges[edge].source
        return self._name(source)


@dataclass(slots=True)
class _Leg:
    """What is known of one thing's way to one receiver."""

    first: Seen
    carrier: str
    """What the first event named: the thing, or what it was in."""
    parties: set[str]
    carriers: dict[str, None]
    has_place: bool
    is_confirmed: bool


def _is_confirmed(legs: Iterable[_Leg]) -> bool:
    return any(leg.is_confirmed for leg in legs)


def _meet(legs: dict[str, "_Leg"], place: str) -> None:
    """What was sent to nobody in particular, or to a party without a place, is what is received next."""
    for name in [name for name, leg in legs.items() if not leg.is_confirmed and not leg.has_place]:
        waiting = legs.pop(name)
        known = legs.setdefault(place, waiting)
        known.parties |= waiting.parties
        known.carriers |= waiting.carriers
        if waiting.first.order < known.first.order:
            known.first, known.carrier = waiting.first, waiting.carrier


def _note(legs: dict[str, _Leg], sending: "_Sending", carrier: str) -> None:
    leg = legs.get(sending.receiver)
    if leg is None:
        leg = legs[sending.receiver] = _Leg(sending.seen, carrier, set(), {}, has_place=False, is_confirmed=False)
    elif sending.seen.order < leg.first.order:
        leg.first, leg.carrier = sending.seen, carrier
    if sending.party:
        leg.parties.add(sending.party)
    leg.carriers[carrier] = None
    leg.has_place = leg.has_place or sending.receiver != sending.party
    leg.is_confirmed = leg.is_confirmed or sending.is_confirmed


class _Sending(msgspec.Struct, frozen=True, gc=False):
    """An event that sent something to somebody, or that received it."""

    seen: Seen
    receiver: str
    party: str
    is_confirmed: bool


def _sendings(books: Books, carrier: str) -> list[_Sending]:
    """What was sent with a carrier, in the order it happened."""
    found = []
    for seen in books.shipped.get(carrier, ()):
        place, party = _destination(seen.fact)
        found.append(_Sending(seen, place or party, party, is_confirmed=False))
    for seen in books.received.get(carrier, ()):
        # The harvest that comes into our own house was not sent to anybody.
        if seen.fact.sentence != Sentence.RECEIVED.value:
            place, party = _destination(seen.fact)
            found.append(_Sending(seen, seen.fact.location or place or party, party, is_confirmed=True))
    return sorted(found, key=lambda sending: sending.seen.order)


def _earlier(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def _is_past(stay: Stay, began: int, ended: int | None) -> bool:
    """Whether a stay was over before what was reached came in, or began after it was gone."""
    return (stay.until is not None and stay.until <= began) or (ended is not None and stay.since > ended)


def _destination(fact: Fact) -> tuple[str, str]:
    """Where things were sent: place and party, empty where not said."""
    found: dict[str, str] = {}
    for each in fact.destination_list:
        found.setdefault(str(each.get("type")), _text(each.get("destination")))
    party = found.get(PartyRole.POSSESSING) or found.get(PartyRole.OWNING) or ""
    return found.get(PartyRole.LOCATION, ""), party


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
