"""How much of one thing is in another: bounds that hold, that are as close as can be, and that add up."""

import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.flow import NOTHING, UNKNOWN, Amount, Graph, Kind, Node, portion, spread, supply, together, total
from ledger.holdings import Account, Books, Fact, Held, effective, in_grams, replay
from ledger.holdings import Declared as Declaration

exactly = Amount.exactly


# --- the arithmetic --------------------------------------------------------------------------------


def test_what_is_drawn_from_a_mixed_mass_may_hold_all_or_none_of_a_part() -> None:
    assert portion(exactly(4), mass=exactly(10), content=exactly(6)) == Amount(0, 4)
    assert portion(exactly(7), mass=exactly(10), content=exactly(6)) == Amount(3, 6)
    assert portion(exactly(10), mass=exactly(10), content=exactly(6)) == exactly(6)


def test_what_nobody_weighed_stays_unknown_and_still_bounds_nothing_away() -> None:
    assert portion(UNKNOWN, mass=UNKNOWN, content=exactly(6)) == Amount(0, 6)
    assert portion(exactly(4), mass=UNKNOWN, content=UNKNOWN) == Amount(0, 4)
    assert exactly(3) + UNKNOWN == Amount(3, None)


# --- any graph -------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Graph, list[int]]:
    """Origins, stocks and steps with whole grams, each node giving out no more than it holds; no circles."""
    graph = Graph()
    numbers = random.Random(draw(st.integers(0, 2**32)))  # shapes, not secrets
    origins = [graph.add(Node(Kind.ORIGIN, f"o{i}")) for i in range(draw(st.integers(1, 2)))]
    stocks = [graph.add(Node(Kind.STOCK, f"s{i}")) for i in range(draw(st.integers(1, 5)))]
    for origin in origins:
        graph.move(origin, numbers.choice(stocks[: max(1, len(stocks) // 2)]), exactly(numbers.randint(1, 5)), 0)
    for place, node in enumerate(stocks):
        left = graph.entering(node).least
        for target in numbers.sample(stocks[place + 1 :], min(2, len(stocks) - place - 1)):
            grams = numbers.randint(0, left)
            if grams:
                graph.move(node, target, exactly(grams), 1)
                left -= grams
    return graph, origins


def extremes(graph: Graph, source: int, group: Sequence[int], *, backward: bool) -> tuple[int, int]:
    """The least and most grams of a source that can come into a group: by trying every way to divide them."""
    order = range(len(graph.nodes) - 1, -1, -1) if backward else range(len(graph.nodes))
    found: set[int] = set()

    def divide(grams: int, rooms: Sequence[int]) -> Iterator[tuple[int, ...]]:
        if not rooms:
            if grams == 0:
                yield ()
            return
        for part in range(max(0, grams - sum(rooms[1:])), min(grams, rooms[0]) + 1):
            for others in divide(grams - part, rooms[1:]):
                yield (part, *others)

    def go(place: int, ours: dict[int, int]) -> None:
        if place == len(order):
            found.add(sum(ours.get(node, 0) for node in group))
            return
        node = order[place]
        at = graph.nodes[node]
        edges = at.incoming if backward else at.outgoing
        rooms = [graph.edges[edge].amount.least for edge in edges]
        grams = graph.mass(node).least if node == source else ours.get(node, 0)
        if backward and not edges:
            rooms = [grams]  # an origin: nothing is behind it
        elif not backward:
            rooms.append(graph.rest(node).least)
        for parts in divide(grams, rooms):
            then = dict(ours)
            for edge, part in zip(edges, parts, strict=False):
                end = graph.edges[edge].source if backward else graph.edges[edge].target
                then[end] = then.get(end, 0) + part
            go(place + 1, then)

    go(0, {})
    return min(found), max(found)


@settings(max_examples=120, deadline=None)
@given(graphs(), st.integers(0, 2**32))
def test_bounds_are_the_least_and_most_of_all_ways_to_divide_a_mass(made: tuple[Graph, list[int]], seed: int) -> None:
    graph, origins = made
    pick = random.Random(seed)  # shapes, not secrets
    found = spread(graph, [pick.choice(origins)])
    ahead = [node for node in found.content if node not in found.sources]
    leaves = [node for node in ahead if not graph.nodes[node].outgoing]
    if not leaves:
        return
    group = pick.sample(leaves, pick.randint(1, len(leaves)))
    amount = together(graph, found, group)
    assert (amount.least, amount.most) == extremes(graph, *found.sources, group, backward=False)
    for node in group:
        least, most = extremes(graph, *found.sources, [node], backward=False)
        bound = found.content[node]
        assert bound.least <= least
        assert bound.most is None or most <= bound.most


@settings(max_examples=80, deadline=None)
@given(graphs(), st.integers(0, 2**32))
def test_looking_back_is_bounded_alike(made: tuple[Graph, list[int]], seed: int) -> None:
    graph, origins = made
    stocks = [n for n, node in enumerate(graph.nodes) if node.kind is Kind.STOCK and node.incoming]
    found = spread(graph, [random.Random(seed).choice(stocks)], backward=True)
    group = [node for node in origins if node in found.content]
    amounts = [together(graph, found, [node]) for node in group]
    assert together(graph, found, group) == found.supply
    assert sum(a.least for a in amounts) <= found.supply.least <= sum(a.most or 0 for a in amounts)
    for node, amount in zip(group, amounts, strict=True):
        assert (amount.least, amount.most) == extremes(graph, *found.sources, [node], backward=True)


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_grams_are_neither_made_nor_lost(made: tuple[Graph, list[int]]) -> None:
    graph, origins = made
    for origin in origins:
        found = spread(graph, [origin])
        assert found.supply == graph.leaving(origin)
        resting = total(found.rest.values())
        assert resting.least <= found.supply.least <= (resting.most or 0)
        for node, amount in found.content.items():
            assert 0 <= amount.least <= (amount.most or 0) <= (graph.mass(node).most or 0)
    everything = spread(graph, origins)
    assert total(everything.rest.values()) == everything.supply
    assert all(amount.is_exact for amount in everything.content.values())


def test_a_circle_ends_and_is_bounded_by_its_mass() -> None:
    graph = Graph()
    origin = graph.add(Node(Kind.ORIGIN, "o"))
    a, b = graph.add(Node(Kind.STOCK, "a")), graph.add(Node(Kind.STOCK, "b"))
    graph.move(origin, a, exactly(5), 0)
    graph.move(a, b, exactly(5), 1)
    graph.move(b, a, exactly(3), 2)
    found = spread(graph, [origin])
    assert found.content[b].most == 5
    assert spread(graph, [b], backward=True).content[origin].most == 5


# --- from events -----------------------------------------------------------------------------------

PLOT, OTHER_PLOT = "https://id.gs1.org/414/9521001000109/254/P03", "https://id.gs1.org/414/9521001000109/254/P04"


def lot(name: str) -> str:
    return f"https://id.gs1.org/01/99521001000218/10/{name}"


def pack(name: str) -> str:
    return f"https://id.gs1.org/01/09521002001013/21/{name}"


def sscc(number: int) -> str:
    return f"https://id.gs1.org/00/09521002000000731{number}"


def held(**grams: float | None) -> list[Held]:
    return [Held(lot(name), value, "GRM") for name, value in grams.items()]


def picked(name: str, grams: int, plot: str = PLOT) -> Fact:
    return Fact(type="ObjectEvent", action="ADD", quantity_list=held(**{name: grams}), ilmd={"gy:plot": plot})


def transformed(inputs: dict[str, float | None], outputs: dict[str, float | None], number: str = "") -> Fact:
    return Fact(
        type="TransformationEvent",
        input_quantity_list=held(**inputs),
        output_quantity_list=held(**outputs),
        transformation_id=number,
    )


def put(parent: str, *, action: str = "ADD", epcs: Sequence[str] = (), **grams: float | None) -> Fact:
    return Fact(
        type="AggregationEvent",
        action=action,
        parent_id=parent,
        child_epcs=list(epcs),
        child_quantity_list=held(**grams),
    )


def books_of(*facts: Fact) -> Books:
    return replay(effective(Account(key, fact) for key, fact in enumerate(facts)))


def amount_behind(books: Books, subject: Sequence[int], name: str) -> Amount:
    return together(books.graph, spread(books.graph, subject, backward=True), books.nodes_of[name])


def test_a_pack_of_a_mixed_batch_may_hold_either_lot_between_nothing_and_all_of_it() -> None:
    books = books_of(
        picked("h1", 600),
        picked("h2", 400, OTHER_PLOT),
        transformed({"h1": 600, "h2": 400}, {"a": 700, "b": 290}),
        put(pack("p"), a=450),
        put(pack("q"), a=250),
    )
    inside = books.holdings(pack("p"))
    assert amount_behind(books, inside, lot("a")) == exactly(450)
    # 1000 g were mixed and 450 g of them are in the pack: all 400 g of the other lot could be, so 50 g are not.
    assert amount_behind(books, inside, lot("h1")) == Amount(50, 450)
    assert amount_behind(books, inside, lot("h2")) == Amount(0, 400)
    assert amount_behind(books, inside, PLOT) == Amount(50, 450)
    ahead = spread(books.graph, books.nodes_of[PLOT])
    both = books.holdings(pack("p")) + books.holdings(pack("q"))
    assert together(books.graph, ahead, both) == Amount(300, 600)


def test_two_lots_of_one_plot_are_exact_together_where_each_is_not() -> None:
    books = books_of(
        picked("h1", 600), picked("h2", 400), transformed({"h1": 600, "h2": 400}, {"a": 1000}), put(pack("p"), a=450)
    )
    inside = books.holdings(pack("p"))
    assert amount_behind(books, inside, lot("h1")) == Amount(50, 450)
    assert amount_behind(books, inside, PLOT) == exactly(450)


def test_what_a_step_loses_and_gains_is_nobodys() -> None:
    lost = books_of(picked("h", 1000), transformed({"h": 1000}, {"a": 900}))
    assert [n.note for n in lost.graph.nodes if n.kind is Kind.END] == ["unaccounted"]
    grown = books_of(picked("h", 250), transformed({"h": 250}, {"a": 1000}))
    assert amount_behind(grown, grown.nodes_of[lot("a")], lot("h")) == exactly(250)


def test_a_parents_content_is_what_was_put_in_and_not_yet_taken_out() -> None:
    books = books_of(
        picked("h", 100),
        put(sscc(1), h=60),
        put(sscc(1), action="DELETE", h=20),
        put(pack("p"), h=50),
        put(sscc(1), action="DELETE"),
    )
    graph = books.graph
    assert [graph.mass(n) for n in books.holdings(sscc(1), since=1, until=1)] == [exactly(60)]
    assert not [n for n in books.holdings(sscc(1)) if graph.nodes[n].closed is None]
    free = [n for n in books.nodes_of[lot("h")] if not graph.nodes[n].holder]
    assert total(graph.rest(n) for n in free) == exactly(50)


def test_a_container_in_a_container_carries_what_is_in_it_until_it_is_taken_out() -> None:
    books = books_of(
        picked("h", 100),
        put(pack("p"), h=40),
        put(sscc(1), epcs=[pack("p")]),
        put(sscc(2), epcs=[sscc(1)]),
        put(sscc(1), action="DELETE"),
        put(sscc(3), epcs=[pack("p")]),
    )
    inside = books.holdings(pack("p"))
    assert books.holdings(sscc(1)) == books.holdings(sscc(2)) == books.holdings(sscc(3)) == inside
    assert books.holdings(sscc(2), since=4) == []
    assert [stay.parent for stay in books.carriers(pack("p"))] == [sscc(1), sscc(3), sscc(2)]


def test_an_observation_fills_nothing_that_is_known_to_be_full() -> None:
    books = books_of(
        picked("h", 100),
        put(sscc(1), h=60),
        put(sscc(1), action="OBSERVE", h=60),
        Fact(type="AggregationEvent", action="OBSERVE", parent_id=sscc(1)),
    )
    assert total(books.graph.mass(n) for n in books.holdings(sscc(1))) == exactly(60)


def test_a_container_nobody_was_seen_filling_holds_what_was_seen_in_it() -> None:
    books = books_of(put(sscc(1), action="OBSERVE", h=60))
    assert total(books.graph.mass(n) for n in books.holdings(sscc(1))) == exactly(60)
    assert [n.note for n in books.graph.nodes if n.kind is Kind.ORIGIN] == ["first_seen"]


def test_what_is_used_was_taken_out_of_its_containers_even_if_nobody_said_so() -> None:
    crate = "https://id.gs1.org/8003/09521002002010C0017"
    books = books_of(picked("h", 100), put(crate, h=100), transformed({"h": 99}, {"a": 99}))
    assert amount_behind(books, books.nodes_of[lot("a")], lot("h")) == exactly(99)
    assert books.graph.rest(books.holdings(crate)[0]) == NOTHING
    sealed = books_of(picked("h", 100), put(pack("p"), h=100), transformed({"h": 30}, {"a": 30}))
    assert sealed.graph.rest(sealed.holdings(pack("p"))[0]) == exactly(100)
    assert "unexplained" in [n.note for n in sealed.graph.nodes]


def test_several_events_of_one_transformation_are_one_step() -> None:
    books = books_of(
        picked("h1", 60),
        picked("h2", 40, OTHER_PLOT),
        transformed({"h1": 60}, {}, "urn:x:1"),
        transformed({}, {"a": 50}, "urn:x:1"),
        transformed({"h2": 40}, {"b": 50}, "urn:x:1"),
    )
    ahead = spread(books.graph, books.nodes_of[OTHER_PLOT])
    assert together(books.graph, ahead, books.nodes_of[lot("a")]) == Amount(0, 40)
    assert together(books.graph, ahead, [*books.nodes_of[lot("a")], *books.nodes_of[lot("b")]]) == exactly(40)


def test_grams_that_come_back_count_once() -> None:
    books = books_of(picked("h", 100), put(sscc(1), h=100), put(sscc(1), action="DELETE"), put(sscc(1), h=100))
    assert supply(books.graph, books.holdings(sscc(1))) == exactly(100)


def test_a_mass_without_a_unit_of_mass_is_unknown_and_still_followed() -> None:
    boxes = [Held(lot("a"), 500, "CS")]
    books = books_of(
        picked("h", 1000),
        Fact(type="TransformationEvent", input_quantity_list=held(h=1000), output_quantity_list=boxes),
        Fact(type="AggregationEvent", action="ADD", parent_id=sscc(1), child_quantity_list=[Held(lot("a"), 25, "CS")]),
    )
    ahead = spread(books.graph, books.nodes_of[PLOT])
    assert together(books.graph, ahead, books.holdings(sscc(1))) == Amount(0, 1000)


@pytest.mark.parametrize(
    ("quantity", "uom", "grams"),
    [
        (40, "KGM", 40_000),
        (2.5, "KGM", 2500),
        (25_000, "LBR", 11_339_809),
        (0.0005, "KGM", 0),
        (0.0015, "KGM", 2),
        (1, "TNE", 1_000_000),
        (500, "CS", None),
        (3, None, None),
        (-1, "GRM", None),
        (float("1e300"), "GRM", None),
    ],
)
def test_masses_are_read_in_whole_grams(quantity: float, uom: str | None, grams: int | None) -> None:
    assert in_grams(quantity, uom) == grams


# --- corrections -----------------------------------------------------------------------------------


def wrong(event_id: str, *instead: str) -> Fact:
    return Fact(
        type="ObjectEvent", event_id=event_id, error_declaration=Declaration(corrective_event_ids=list(instead))
    )


def said(event_id: str, at: str = "1") -> Fact:
    return Fact(type="ObjectEvent", event_id=event_id, event_time=at)


@pytest.mark.parametrize(
    ("facts", "kept"),
    [
        ([said("a"), wrong("a", "b"), said("b")], ["b"]),
        ([wrong("a", "b"), said("b"), said("a")], ["b"]),
        ([said("a"), wrong("a", "b"), said("b"), wrong("b", "c"), said("c")], ["c"]),
        ([said("a"), wrong("a", "b")], []),
        ([said("a"), wrong("a", "b"), wrong("a", "c"), said("b"), said("c")], ["b", "c"]),
        ([said("a"), wrong("a", "a")], []),
        ([said("b", "2"), said("a", "1"), said("c", "1")], ["a", "c", "b"]),
    ],
    ids=["corrected", "declared before", "a chain", "not corrected", "declared twice", "by itself", "by time"],
)
def test_what_counts_is_what_nobody_declared_wrong(facts: list[Fact], kept: list[str]) -> None:
    assert [each.fact.event_id for each in effective(Account(k, f) for k, f in enumerate(facts))] == kept
