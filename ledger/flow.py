"""How much of one thing is in another: holdings, what moved between them, and what that says. Pure.

A graph's nodes hold grams, its edges moved them. Once masses are mixed nobody can say which gram went where, but the
scales still bound it: a portion of `q` grams drawn from `m` grams of which `c` are ours holds at least `q - (m - c)`
and at most `min(q, c)` of them. `spread` carries these bounds along the graph, `together` says how much a group of
holdings has between them, exactly. `ledger/docs/trace.md` says it in words.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Final

import msgspec

TIGHT_EDGES: Final = 20_000
"""`together` looks for the exact bounds in a graph of at most so many edges; in a larger one it adds up."""


class Amount(msgspec.Struct, frozen=True, gc=False):
    """Grams, known to lie between two whole numbers. `most` is None where nothing bounds them."""

    least: int
    most: int | None

    @classmethod
    def exactly(cls, grams: int) -> "Amount":
        """Return an amount that is known."""
        return cls(grams, grams)

    @property
    def is_exact(self) -> bool:
        """Whether it is one number."""
        return self.least == self.most

    def __add__(self, other: "Amount") -> "Amount":
        """Return the sum, bound by bound."""
        most = None if self.most is None or other.most is None else self.most + other.most
        return Amount(self.least + other.least, most)


NOTHING: Final = Amount(0, 0)
UNKNOWN: Final = Amount(0, None)


class Kind(StrEnum):
    """What a node stands for."""

    ORIGIN = "origin"
    """Where grams come into the account: a plot, a place, growth, an item first seen, a difference nobody explained."""
    STOCK = "stock"
    """An item, free or in a holder, for as long as nothing was added after something was taken."""
    STEP = "step"
    """A transformation: what goes in is mixed and comes out."""
    END = "end"
    """Where grams leave the account: destroyed, or lost in a transformation."""


class Node(msgspec.Struct, gc=False):
    """A holding. `item` is an identifier; for an origin the place or plot, or empty."""

    kind: Kind
    item: str
    holder: str = ""
    """The identifier of what it is in; empty: free."""
    note: str = ""
    """For origins and ends: why (`created`, `first_seen`, `unexplained`, `growth`, `destroyed`, `unaccounted`)."""
    key: int = -1
    """The event that made it."""
    born: int = 0
    closed: int | None = None
    """Between which places in the order of events it was the item's holding; None: it still is."""
    incoming: list[int] = []
    outgoing: list[int] = []


class Edge(msgspec.Struct, frozen=True, gc=False):
    """Grams that moved."""

    source: int
    target: int
    amount: Amount
    key: int
    """The event that moved them; -1 where nothing happened but the next holding began."""


class Graph:
    """Nodes and edges in the order they came about."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self._entering: list[Amount] = []
        self._leaving: list[Amount] = []

    def add(self, node: Node) -> int:
        """Add a node and return its number."""
        self.nodes.append(node)
        self._entering.append(NOTHING)
        self._leaving.append(NOTHING)
        return len(self.nodes) - 1

    def move(self, source: int, target: int, amount: Amount, key: int) -> None:
        """Add an edge."""
        self.nodes[source].outgoing.append(len(self.edges))
        self.nodes[target].incoming.append(len(self.edges))
        self.edges.append(Edge(source, target, amount, key))
        self._leaving[source] += amount
        self._entering[target] += amount

    def entering(self, node: int) -> Amount:
        """Return what came into a node."""
        return self._entering[node]

    def leaving(self, node: int) -> Amount:
        """Return what went out of a node."""
        return self._leaving[node]

    def mass(self, node: int) -> Amount:
        """Return what a node held in all: what came in; for an origin, what went out."""
        return self.leaving(node) if self.nodes[node].kind is Kind.ORIGIN else self.entering(node)

    def rest(self, node: int) -> Amount:
        """Return what is left in a node."""
        mass, left = self.mass(node), self.leaving(node)
        if mass.most is None or left.most is None:
            return Amount(0, mass.most)
        return Amount(max(0, mass.least - left.most), max(0, mass.most - left.least))


def total(amounts: Iterable[Amount]) -> Amount:
    """Return the sum of amounts."""
    least, most = 0, 0
    is_bounded = True
    for amount in amounts:
        least += amount.least
        if amount.most is None:
            is_bounded = False
        else:
            most += amount.most
    return Amount(least, most if is_bounded else None)


class Spread:
    """How much of the sources is in each node they reach, and by which way they reach it first."""

    def __init__(self, graph: Graph, sources: frozenset[int], *, is_backward: bool, via: Mapping[int, int]) -> None:
        self.sources, self.is_backward = sources, is_backward
        self.via = via
        """For each node reached but the sources: the edge of a shortest way there."""
        self.supply = total(entering_from_outside(graph, node, sources) for node in sources)
        """How much the sources hold between them; grams that come back into them count once."""
        self.is_returning = False
        """Whether what left the sources comes into them again."""
        self.content: dict[int, Amount] = {}
        """For each node reached; in a spread backward, how much of the node became of the sources."""
        self.moved: dict[int, Amount] = {}
        """For each edge reached, how much of what moved was of the sources."""
        self.rest: dict[int, Amount] = {}
        """How much of the sources is still in each node reached. Only in a spread forward."""
        self._graph = graph

    @cached_property
    def network(self) -> "Network | None":
        """The network that `together` asks, or None where a mass is not known."""
        return None if self.is_returning else Network.of(self._graph, self)

    def way(self, node: int) -> list[int]:
        """Return the edges of a shortest way from the sources to a node, in the order of the way."""
        found: list[int] = []
        while node in self.via:
            edge = self.via[node]
            found.append(edge)
            node = _start(self._graph, edge, self.is_backward)
        return found[::-1]


def spread(graph: Graph, sources: Collection[int], *, backward: bool = False) -> Spread:
    """Return how much of the sources is in every node ahead of them, or behind them.

    Every bound holds. It is as close as can be wherever a thing is reached by one way; where ways part and meet again,
    `together` is closer. Circles end: what lies on one is bounded by its mass alone.
    """
    given = _first(graph, frozenset(sources), backward)
    found = Spread(graph, given, is_backward=backward, via=_reach(graph, given, backward))
    pure: set[int] = set()
    for node, is_on_circle in _in_order(graph, given | found.via.keys(), backward):
        at, mass = graph.nodes[node], graph.mass(node)
        arriving, departing = (at.outgoing, at.incoming) if backward else (at.incoming, at.outgoing)
        if node in given:
            content = mass
            pure.add(node)
        elif is_on_circle:
            content = _within(Amount(0, mass.most), found.supply)
        else:
            known = total(found.moved[edge] for edge in arriving if edge in found.moved)
            content = _within(_within(known, mass), found.supply)
            if _is_pure(graph, node, pure, backward):
                pure.add(node)
        found.content[node] = content
        is_pure = node in pure
        for edge in departing:
            amount = graph.edges[edge].amount
            found.moved[edge] = amount if is_pure else portion(amount, mass=mass, content=content)
        if not backward:
            left = graph.rest(node)
            found.rest[node] = left if is_pure else portion(left, mass=mass, content=content)
    _count_once(graph, found)
    return found


def _first(graph: Graph, sources: frozenset[int], backward: bool) -> frozenset[int]:  # noqa: FBT001  # of one caller
    """The sources without those that hold nothing but what comes of the others."""
    if len(sources) < 2 or not any(
        graph.nodes[node].outgoing if backward else graph.nodes[node].incoming for node in sources
    ):
        return sources  # none of them can come of another
    pure: set[int] = set()
    first: set[int] = set()
    for node, is_on_circle in _in_order(graph, sources | _reach(graph, sources, backward).keys(), backward):
        if not is_on_circle and _is_pure(graph, node, pure, backward):
            pure.add(node)
        elif node in sources:
            pure.add(node)
            first.add(node)
    return frozenset(first)


def _is_pure(graph: Graph, node: int, pure: Collection[int], backward: bool) -> bool:  # noqa: FBT001  # of one caller
    """Whether all that a node holds comes from pure nodes, or, backward, all of it went to them."""
    at = graph.nodes[node]
    arriving = at.outgoing if backward else at.incoming
    return (
        bool(arriving)
        and all(_start(graph, edge, backward) in pure for edge in arriving)
        and (not backward or at.kind is Kind.ORIGIN or graph.rest(node) == NOTHING)
    )


def _count_once(graph: Graph, found: Spread) -> None:
    """Take what came from the sources themselves out of what they hold between them."""
    again = [
        found.moved[edge]
        for node in found.sources
        for edge in (graph.nodes[node].outgoing if found.is_backward else graph.nodes[node].incoming)
        if _start(graph, edge, found.is_backward) not in found.sources and edge in found.moved
    ]
    returned = total(again)
    if returned.most == 0:
        return
    found.is_returning = True
    held = found.supply
    least = max(0, held.least - returned.most) if returned.most is not None else 0
    inside = [graph.mass(node).least for node in found.sources]
    found.supply = Amount(max(least, *inside), None if held.most is None else max(0, held.most - returned.least))


def portion(taken: Amount, *, mass: Amount, content: Amount) -> Amount:
    """Return how much of `content` can be in what was taken from a mass that holds it."""
    least = 0 if mass.most is None else max(0, taken.least - (mass.most - content.least))
    return Amount(least, _smaller(taken.most, content.most))


def together(graph: Graph, spread_: Spread, nodes: Iterable[int]) -> Amount:
    """Return how much of the sources came into a set of nodes, all in all.

    Exact: the bounds are the largest and the smallest flow from the sources into the set. Where a mass is not known, or
    the graph is larger than TIGHT_EDGES, the sum of the bounds of what came in, which holds but may be wider.
    """
    group = frozenset(node for node in nodes if node in spread_.content)
    entering = [
        edge
        for node in group
        for edge in (graph.nodes[node].outgoing if spread_.is_backward else graph.nodes[node].incoming)
        if edge in spread_.moved and _start(graph, edge, spread_.is_backward) not in group
    ]
    own = total(entering_from_outside(graph, node, spread_.sources) for node in group & spread_.sources)
    entering = [edge for edge in entering if _end(graph, edge, spread_.is_backward) not in spread_.sources]
    parts = [own, *(spread_.moved[edge] for edge in entering)]
    summed = _within(total(parts), spread_.supply)
    is_returning = spread_.is_returning or (
        len(parts) > 1 and _returns(graph, group, backward=spread_.is_backward)  # the same grams may come in twice
    )
    if is_returning:
        summed = Amount(min(summed.least, max(part.least for part in parts)), summed.most)
    if summed.is_exact or len(spread_.moved) > TIGHT_EDGES or spread_.network is None:
        return summed
    least, most = spread_.network.bounds(graph, entering, group & spread_.sources)
    return Amount(least, most)


def _returns(graph: Graph, group: frozenset[int], *, backward: bool) -> bool:
    """Whether a way leads out of a set of nodes and back into it."""
    waiting = [
        _end(graph, edge, backward)
        for node in group
        for edge in (graph.nodes[node].incoming if backward else graph.nodes[node].outgoing)
        if _end(graph, edge, backward) not in group
    ]
    seen = set(waiting)
    while waiting:
        at = graph.nodes[waiting.pop()]
        for edge in at.incoming if backward else at.outgoing:
            node = _end(graph, edge, backward)
            if node in group:
                return True
            if node not in seen:
                seen.add(node)
                waiting.append(node)
    return False


def supply(graph: Graph, sources: Collection[int]) -> Amount:
    """Return how many grams a set of nodes holds between them, those that come back into it counted once."""
    return spread(graph, sources).supply if sources else NOTHING


def entering_from_outside(graph: Graph, node: int, sources: frozenset[int]) -> Amount:
    """Return what came into a node from others than these; what an origin gave out."""
    at = graph.nodes[node]
    if at.kind is Kind.ORIGIN:
        return graph.leaving(node)
    return total(graph.edges[edge].amount for edge in at.incoming if graph.edges[edge].source not in sources)


def _within(amount: Amount, mass: Amount) -> Amount:
    most = _smaller(amount.most, mass.most)
    return Amount(amount.least if most is None else min(amount.least, most), most)


def _smaller(a: int | None, b: int | None) -> int | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a, b)


def _reach(graph: Graph, sources: frozenset[int], backward: bool) -> dict[int, int]:  # noqa: FBT001  # of one caller
    """The nodes that can be reached, each with the edge of a shortest way to it."""
    via: dict[int, int] = {}
    waiting = deque(sorted(sources))
    while waiting:
        at = graph.nodes[waiting.popleft()]
        for edge in at.incoming if backward else at.outgoing:
            amount = graph.edges[edge].amount
            node = graph.edges[edge].source if backward else graph.edges[edge].target
            if amount.most != 0 and node not in via and node not in sources:
                via[node] = edge
                waiting.append(node)
    return via


def _in_order(graph: Graph, reached: Collection[int], backward: bool) -> Iterator[tuple[int, bool]]:  # noqa: FBT001
    """The nodes reached, each after all that lead to it; those on a circle when nothing else is left, marked."""
    nodes = graph.nodes
    if all(not (n := nodes[node]).incoming or not n.outgoing or n.incoming[-1] < n.outgoing[0] for node in reached):
        # Whatever came into a node came before anything left it: the order of the edges will do.
        last = len(graph.edges)
        if backward:
            order = sorted(reached, key=lambda node: -nodes[node].incoming[-1] if nodes[node].incoming else 1)
        else:
            order = sorted(reached, key=lambda node: nodes[node].outgoing[0] if nodes[node].outgoing else last)
        for node in order:
            yield node, False
        return
    yield from _in_any_order(graph, reached, backward)


def _in_any_order(graph: Graph, reached: Collection[int], backward: bool) -> Iterator[tuple[int, bool]]:  # noqa: FBT001
    """The same for a graph with a step that several events tell of (Kahn, 1962)."""
    known = set(reached)

    def neighbours(node: int, *, ahead: bool) -> Iterator[int]:
        at = graph.nodes[node]
        for edge in at.outgoing if ahead is not backward else at.incoming:
            other = graph.edges[edge].target if ahead is not backward else graph.edges[edge].source
            if other in known:
                yield other

    missing = {node: sum(1 for _ in neighbours(node, ahead=False)) for node in known}
    ready = deque(sorted(node for node, count in missing.items() if count == 0))
    left = set(known)
    while left:
        is_on_circle = not ready
        if is_on_circle:
            ready.append(min(left))
        node = ready.popleft()
        if node not in left:
            continue
        left.discard(node)
        yield node, is_on_circle
        for other in neighbours(node, ahead=True):
            missing[other] -= 1
            if missing[other] == 0 and other in left:
                ready.append(other)


def _start(graph: Graph, edge: int, is_backward: bool) -> int:  # noqa: FBT001  # the direction of a spread
    return graph.edges[edge].target if is_backward else graph.edges[edge].source


def _end(graph: Graph, edge: int, is_backward: bool) -> int:  # noqa: FBT001  # the direction of a spread
    return graph.edges[edge].source if is_backward else graph.edges[edge].target


_SUPPLY: Final = -1
_GROUP: Final = -2
_ELSEWHERE: Final = -3


class Network:
    """What the sources could have sent where: capacities between nodes. What only ends somewhere is added up."""

    def __init__(self) -> None:
        self._supplies: dict[int, int] = {}
        self._inner: dict[int, tuple[int, int, int]] = {}
        self._ending: dict[int, int] = {}
        self._is_backward = False

    @classmethod
    def of(cls, graph: Graph, spread_: "Spread") -> "Network | None":
        """Return the network, or None where a mass is not known."""
        network = cls()
        backward = network._is_backward = spread_.is_backward
        for node in spread_.content:
            at = graph.nodes[node]
            if node in spread_.sources:
                outside = entering_from_outside(graph, node, spread_.sources)
                if not outside.is_exact:
                    return None
                network._supplies[node] = outside.least
            rest = NOTHING if backward else graph.rest(node)
            if not rest.is_exact:
                return None
            ending = rest.least
            for edge in at.incoming if backward else at.outgoing:
                amount, target = graph.edges[edge].amount, _end(graph, edge, backward)
                if backward and target in spread_.sources:
                    continue
                if not amount.is_exact:
                    return None
                beyond = graph.nodes[target].incoming if backward else graph.nodes[target].outgoing
                if beyond:
                    network._inner[edge] = (node, target, amount.least)
                else:
                    ending += amount.least
            network._ending[node] = ending
        return network

    def bounds(self, graph: Graph, entering: Collection[int], sources: Collection[int]) -> tuple[int, int]:
        """Return the least and the most that can come in by these edges, or be supplied by these sources."""
        capacity: dict[int, dict[int, int]] = {}

        def add(source: int, target: int, grams: int) -> None:
            if grams > 0:
                ends = capacity.setdefault(source, {})
                ends[target] = ends.get(target, 0) + grams

        ending = dict(self._ending)
        inside = set(entering)
        for edge in inside:
            start = _start(graph, edge, self._is_backward)
            grams = graph.edges[edge].amount.least
            add(start, _GROUP, grams)
            if edge not in self._inner:
                ending[start] -= grams
        for edge, (source, target, grams) in self._inner.items():
            if edge not in inside:
                add(source, target, grams)
        for node, grams in ending.items():
            add(node, _ELSEWHERE, grams)
        for node, grams in self._supplies.items():
            add(_SUPPLY, _GROUP if node in sources else node, grams)
        supplied = sum(self._supplies.values())
        return supplied - _flow(capacity, _ELSEWHERE), _flow(capacity, _GROUP)


def _flow(capacity: Mapping[int, Mapping[int, int]], sink: int) -> int:
    """Return the largest flow from the supply to a sink, by shortest augmenting paths (Edmonds and Karp, 1972)."""
    left = {node: dict(ends) for node, ends in capacity.items()}
    found = 0
    while True:
        came: dict[int, int] = {_SUPPLY: _SUPPLY}
        waiting = deque([_SUPPLY])
        while waiting and sink not in came:
            node = waiting.popleft()
            for other, grams in left.get(node, {}).items():
                if grams > 0 and other not in came:
                    came[other] = node
                    waiting.append(other)
        if sink not in came:
            return found
        path = [sink]
        while path[-1] != _SUPPLY:
            path.append(came[path[-1]])
        steps = list(zip(path[1:], path, strict=False))
        pushed = min(left[a][b] for a, b in steps)
        for a, b in steps:
            left[a][b] -= pushed
            back = left.setdefault(b, {})
            back[a] = back.get(a, 0) + pushed
        found += pushed
