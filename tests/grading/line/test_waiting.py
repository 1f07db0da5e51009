"""Fruit between camera and scale: each gets its own weight or none, in order, and nobody waits for ever."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.line.waiting import PATIENCE_S, Weighbridge
from grading.line.weights import Unweighed, Weight
from grading.line.wires import State, Weighing, WireState

AT = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
SCALE_UM, NEAR_UM = 400_000, 20_000


@dataclass
class Belt:
    """A belt, its encoder and its scale; `loads` are where on the belt something heavy lies, and its grams."""

    loads: Mapping[int, int] = field(default_factory=dict)
    um: int | None = 0
    delay_um: int = 0
    """How much belt runs before a reading arrives."""
    standing: State = State.READY
    twice: frozenset[int] = frozenset()
    now_s: float = 100.0
    is_counted = True
    told: set[tuple[int, int]] = field(default_factory=set)

    def belt_um(self) -> int | None:
        return self.um

    @property
    def um_per_s(self) -> int | None:
        return 250_000

    @property
    def state(self) -> WireState:
        return WireState("scale", self.standing, "")

    def stable_g(self) -> int | None:
        return None

    def close(self) -> None:
        """Nothing is open."""

    def weighings(self) -> list[Weighing]:
        if self.um is None or self.standing is State.LOST:
            return []
        found = []
        for place, grams in self.loads.items():
            for nth in range(1 + (place in self.twice)):
                at_um = place + SCALE_UM + self.delay_um + nth * 5_000
                if at_um <= self.um and (place, nth) not in self.told:
                    self.told.add((place, nth))
                    found.append(Weighing(grams, AT, at_um))
        return found

    def bridge(self) -> Weighbridge[int]:
        return Weighbridge(
            self, self, scale_um=SCALE_UM, tolerance_um=NEAR_UM, speed_um_s=250_000, monotonic=lambda: self.now_s
        )

    def run(self, bridge: Weighbridge[int], fruit: Mapping[int, int | None], *, to_um: int) -> list[tuple[int, Weight]]:
        """Let the belt run, fruit coming to the camera's line where they lie; they are numbered by their place."""
        decided = []
        waiting = list(fruit.items())
        for um in range(0, to_um, 5_000):
            self.um, self.now_s = um, self.now_s + 0.02
            while waiting and (waiting[0][1] is None or waiting[0][1] <= um):
                bridge.add(*waiting.pop(0))
            decided += bridge.decided()
        return decided


def test_each_fruit_gets_its_own_weight_as_soon_as_no_other_can_come() -> None:
    belt = Belt({0: 300, 100_000: 310, 200_000: 320})
    bridge = belt.bridge()
    decided = belt.run(bridge, {1: 0, 2: 100_000, 3: 200_000}, to_um=505_000)
    assert decided == [(1, Weight(300))], "the second still lies within the tolerance of the scale"
    assert bridge.waits
    decided += belt.run(bridge, {}, to_um=650_000)
    assert decided == [(1, Weight(300)), (2, Weight(310)), (3, Weight(320))]
    assert not bridge.waits


def test_a_fruit_that_the_scale_did_not_tell_of_is_missed_alone() -> None:
    belt = Belt({0: 300, 200_000: 320})
    decided = belt.run(belt.bridge(), {1: 0, 2: 100_000, 3: 200_000}, to_um=650_000)
    assert decided == [(1, Weight(300)), (2, Weight(None, Unweighed.MISSING)), (3, Weight(320))]


def test_what_could_be_two_fruit_is_neither_and_a_double_reading_is_none() -> None:
    belt = Belt({0: 610, 100_000: 310, 200_000: 320}, twice=frozenset({100_000}))
    decided = belt.run(belt.bridge(), {1: 0, 2: 15_000, 3: 100_000, 4: 200_000}, to_um=650_000)
    ambiguous = Weight(None, Unweighed.AMBIGUOUS)
    assert decided == [(1, ambiguous), (2, ambiguous), (3, ambiguous), (4, Weight(320))]


def test_a_fruit_that_nobody_can_place_waits_for_nothing_but_its_turn() -> None:
    belt = Belt({0: 300, 200_000: 320})
    decided = belt.run(belt.bridge(), {1: 0, 2: None, 3: 200_000}, to_um=650_000)
    assert decided == [(1, Weight(300)), (2, Weight(None, Unweighed.NO_PLACE)), (3, Weight(320))]


@pytest.mark.parametrize(("delay_um", "grams"), [(15_000, 300), (25_000, None)])
def test_a_reading_that_comes_late_is_taken_within_the_tolerance_and_else_nobodys(
    delay_um: int, grams: int | None
) -> None:
    belt = Belt({0: 300, 100_000: 310}, delay_um=delay_um)
    decided = belt.run(belt.bridge(), {1: 0, 2: 100_000}, to_um=650_000)
    assert [weight.mass_g for _, weight in decided] == [grams, grams and 310]


def test_a_scale_that_dies_is_named_and_holds_nobody_up_longer() -> None:
    belt = Belt({place * 100_000: 300 + place for place in range(6)})
    bridge, fruit = belt.bridge(), {number: number * 100_000 for number in range(6)}
    decided = belt.run(bridge, fruit, to_um=550_000)
    assert [weight.mass_g for _, weight in decided] == [300, 301]
    belt.standing = State.LOST
    later = belt.run(bridge, {}, to_um=1_000_000)
    assert [weight.why for _, weight in later] == [Unweighed.SCALE_LOST] * 4


def test_a_belt_that_stands_costs_the_weight_but_holds_nobody_for_ever() -> None:
    belt = Belt({0: 300}, um=200_000)
    bridge = belt.bridge()
    bridge.add(1, 0)
    bridge.add(2, 100_000)
    belt.now_s += PATIENCE_S - 0.1
    assert bridge.decided() == []
    belt.now_s += 0.2
    assert bridge.decided() == [(1, Weight(None, Unweighed.LATE)), (2, Weight(None, Unweighed.LATE))]


def test_who_closes_a_lot_waits_as_long_as_they_say() -> None:
    belt = Belt({0: 300}, um=200_000)
    bridge = belt.bridge()
    bridge.add(1, 0)
    bridge.until_s = belt.now_s + 1
    assert bridge.decided() == []
    belt.now_s += 1
    assert bridge.decided() == [(1, Weight(None, Unweighed.LATE))]


def test_while_the_encoder_is_away_nobody_waits() -> None:
    belt = Belt({0: 300}, um=200_000)
    bridge = belt.bridge()
    bridge.add(1, 0)
    belt.um = None
    assert bridge.decided() == [(1, Weight(None, Unweighed.NO_PLACE))]


@settings(max_examples=150, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 150_000), min_size=1, max_size=12),
    silent=st.sets(st.integers(0, 11)),
    strangers=st.sets(st.integers(0, 1_200_000), max_size=3),
)
def test_no_fruit_ever_gets_anothers_weight(gaps: list[int], silent: set[int], strangers: set[int]) -> None:
    """Weights are told by place: where a fruit gets one, it is the one that lay where it lies."""
    places, at = {}, 0
    for number, gap in enumerate(gaps):
        at += gap
        places[number] = at
    loads = {place: 1000 + number for number, place in places.items() if number not in silent}
    lone = {um: 5000 for um in strangers if all(abs(um - place) > 2 * NEAR_UM for place in places.values())}
    belt = Belt({**lone, **loads})
    decided = belt.run(belt.bridge(), places, to_um=at + SCALE_UM + 60_000)
    assert [number for number, _ in decided] == sorted(places), "each once, in order"
    apart = [second - first for first, second in pairwise(places.values())]
    for number, weight in decided:
        assert weight.mass_g in {None, 1000 + number}
        is_alone = all(gap > 2 * NEAR_UM for gap in (apart[max(0, number - 1) : number + 1]))
        if is_alone and number not in silent:
            assert weight.mass_g == 1000 + number
