"""Packs are filled to their label's mass, and fruit keep their share of it."""

from hypothesis import given
from hypothesis import strategies as st

from grading.filling import Portion, fill, portions

sizes = st.lists(st.integers(1, 600_000), min_size=1, max_size=60)


@given(sizes, st.integers(1, 50_000))
def test_shares_add_up_to_the_lot(seen: list[int], lot_g: int) -> None:
    made = portions([(f"r{i}", size) for i, size in enumerate(seen)], lot_g)
    assert sum(each.mass_g for each in made) == lot_g


@given(st.lists(st.integers(1, 500), max_size=40), st.integers(1, 5000))
def test_a_pack_weighs_enough_and_needs_each_of_its_fruit(masses: list[int], nominal_g: int) -> None:
    free = [Portion(f"r{i}", mass) for i, mass in enumerate(masses)]
    chosen = fill(free, nominal_g)
    total = sum(each.mass_g for each in chosen)
    assert bool(chosen) == (sum(masses) >= nominal_g)
    assert not chosen or total >= nominal_g
    assert all(total - each.mass_g < nominal_g for each in chosen)


def test_fruit_that_lie_in_a_pack_are_not_taken_again() -> None:
    free = [Portion("a", 300), Portion("b", 300), Portion("c", 300)]
    assert fill(free, 500, taken={"a"}) == free[1:]
    assert fill(free, 700, taken={"a"}) == []


def test_no_fruit_fill_nothing() -> None:
    assert portions([], 1000) == []
    assert fill([], 1) == []
