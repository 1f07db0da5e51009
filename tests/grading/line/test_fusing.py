"""Views of one fruit become one set of measures, and a better fruit never gets a worse class."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.line.doubts import Doubt
from grading.line.fusing import Judging, Side, disagree, fuse, judge
from grading.measure import Mark, Measures, Solid
from grading.standard import load_tariff, standard_for

SOLID = Solid(880, 1020, "long")
STANDARD, TARIFF = standard_for("mango"), load_tariff()
BY = Judging(STANDARD, TARIFF, 4, across_is_y=True, is_turned=True)
EXTENT = (90, 120)


def side(*, length: int = 100_000, width: int = 70_000, marks: tuple[Mark, ...] = (), score: int = 1000) -> Side:
    """One view of a mango; volume and mass as `measure` makes them."""
    area = round(0.785 * length * width / 1e6)
    volume = round(0.5236 * length * width * width * 0.88 / 1e9)
    mass = round(volume * 1.02 / 1000)
    marked = sum(mark.area_mm2 for mark in marks)
    measures = Measures(
        length_um=length,
        width_um=width,
        equivalent_diameter_um=round((length * width) ** 0.5),
        area_mm2=area,
        lab_l_centi=6000,
        lab_a_centi=1000,
        lab_b_centi=5000,
        blemish_mm2=marked,
        blemish_permille=round(1000 * marked / area),
        volume_mm3=volume,
        mass_g=mass,
        height_corrected_permille=950,
        equatorial_um=width,
        roundness_permille=700,
        mass_low_g=round(mass / 1.2),
        mass_high_g=round(mass * 1.2),
        bands=(("green", 200), ("yellow", 800)),
        marks=marks,
    )
    return Side(measures, EXTENT, score)


def mark(across: int, area: int = 40, kind: str = "scab") -> Mark:
    """A mark so far across the belt, in pixels of 120; turning moves it along, never across."""
    return Mark(kind, (30, across - 3, 6, 6), area, 7000)


def fused(*sides: Side) -> Measures:
    return fuse(sides, SOLID, across_is_y=True, is_turned=True)


def test_a_mark_seen_in_every_view_counts_once() -> None:
    seen = fused(*[side(marks=(mark(60 + shift, 30 + 5 * shift),)) for shift in (-2, -1, 0, 1, 2)])
    assert len(seen.marks) == 1
    assert seen.blemish_mm2 == 40


@pytest.mark.parametrize("across", range(8, 114, 7))
def test_a_mark_between_two_zones_counts_once_as_well(across: int) -> None:
    seen = fused(*[side(marks=(mark(across + shift),)) for shift in (-3, 3, -2, 2)])
    assert (len(seen.marks), seen.blemish_mm2) == (1, 40)


def test_marks_in_different_places_across_the_belt_all_count() -> None:
    seen = fused(side(marks=(mark(20, 30),)), side(marks=(mark(60, 50),)), side(), side(marks=(mark(100, 70),)))
    assert (len(seen.marks), seen.blemish_mm2) == (3, 150)


def test_two_marks_that_one_view_shows_at_once_are_two() -> None:
    seen = fused(side(marks=(mark(60, 30), mark(61, 20))), side(marks=(mark(60, 35),)), side(), side())
    assert (len(seen.marks), seen.blemish_mm2) == (2, 55)


def test_control_adding_up_views_would_count_a_mark_five_times() -> None:
    views = [side(marks=(mark(60),))] * 5
    assert sum(view.measures.blemish_mm2 for view in views) == 5 * fused(*views).blemish_mm2


def test_a_turned_fruit_is_as_wide_as_its_widest_sides_and_as_heavy_as_their_mean_square() -> None:
    # Diameters 80 and 70.4 (0.88): a quarter turn between views; each alone is off by up to 22 per cent.
    widths = [80_000, 75_350, 70_400, 75_350]
    views = [side(width=width) for width in widths]
    seen = fused(*views)
    true_mm3 = 0.5236 * 100 * 80 * 70.4
    assert seen.volume_mm3 == pytest.approx(true_mm3, rel=0.01)
    assert max(abs(view.measures.volume_mm3 / true_mm3 - 1) for view in views) > 0.2
    assert seen.equatorial_um == round((80_000 + 75_350) / 2)
    assert seen.length_um == 100_000


def test_the_equator_of_a_round_fruit_is_the_caliper_that_does_not_change() -> None:
    flat = [side(length=80_000, width=width) for width in (70_000, 74_000, 79_000, 71_000)]
    tall = [side(length=length, width=80_000) for length in (96_000, 84_000, 81_000, 90_000)]
    for views in (flat, tall):
        assert fuse(views, Solid(880, 900, "round"), across_is_y=True, is_turned=True).equatorial_um == 80_000


def test_more_views_narrow_the_mass_but_never_below_what_they_share() -> None:
    spreads = [
        measures.mass_high_g / measures.mass_g for count in (1, 2, 4, 9, 60) for measures in [fused(*[side()] * count)]
    ]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[0] == pytest.approx(1.2, abs=0.02)
    assert spreads[-1] > 1.13


def test_one_view_that_differs_is_outvoted_and_two_are_a_doubt() -> None:
    odd = side(length=130_000)
    assert not disagree([side()] * 4 + [odd], "long")
    assert disagree([side()] * 3 + [odd, odd], "long")
    assert fused(*[side()] * 4, odd).length_um == 100_000
    assert disagree([side(), odd], "long")


def test_widths_that_no_section_has_are_a_doubt() -> None:
    piled = [side(width=width) for width in (76_000, 92_000, 95_000, 107_000)]
    assert disagree(piled, "long")
    assert not disagree(piled, "round")
    assert not disagree([side(width=width) for width in (70_000, 75_000, 80_000, 72_000)], "long")


def test_one_spoilt_view_is_left_out_and_two_are_a_doubt() -> None:
    spoilt = replace(side(length=150_000), doubts=(Doubt.OVEREXPOSED,))
    judged = judge([*[side()] * 4, spoilt], (), BY)
    assert judged.reasons == ()
    assert judged.measures is not None
    assert judged.measures.length_um == 100_000
    judged = judge([*[side()] * 4, spoilt, spoilt, spoilt], (), BY)
    assert judged.reasons == (Doubt.OVEREXPOSED,)
    assert judged.verdict.is_doubtful
    assert judged.verdict.candidates == tuple(TARIFF.tiers)


def test_too_few_views_and_none_at_all_are_for_a_person() -> None:
    few = judge([side()] * 3, (), BY)
    assert few.reasons == (Doubt.FEW_VIEWS,)
    assert few.verdict.is_doubtful
    none = judge([], (Doubt.NEVER_WHOLE,), BY)
    assert none.measures is None
    assert (none.verdict.tier, none.verdict.price_fen) == ("doubtful", 0)
    assert none.reasons == (Doubt.FEW_VIEWS, Doubt.NEVER_WHOLE)


def test_what_the_way_along_the_belt_says_stands_whatever_the_pictures_show() -> None:
    for doubt in set(Doubt) - {Doubt.SCALE_DIFFERS}:
        judged = judge([side()] * 5, (doubt,), BY)
        assert judged.reasons == (doubt,)
        assert judged.verdict.is_doubtful
        assert doubt.text.zh
        assert doubt.text.en


def test_every_doubt_has_a_text_in_both_languages() -> None:
    assert all(doubt.text.zh and doubt.text.en for doubt in Doubt)


def test_a_fruit_near_a_limit_is_lowered_unless_something_else_speaks_against_it() -> None:
    near = [side(marks=(mark(60, 95),))] * 5
    lower = replace(BY, near="lower")
    assert judge(near, (), BY).verdict.is_doubtful
    given = judge(near, (), lower).verdict
    assert (given.tier, given.is_near, given.candidates) == ("B", True, ("A", "B"))
    touching = judge(near, (Doubt.TOUCHING,), lower).verdict
    assert (touching.is_doubtful, touching.is_near, touching.nominal_tier) == (True, False, "A")


MARKS = st.lists(st.builds(mark, st.integers(4, 116), st.integers(1, 400)), max_size=4)


@settings(max_examples=200, deadline=None)
@given(
    views=st.lists(MARKS, min_size=4, max_size=6),
    more=st.tuples(st.integers(0, 5), st.integers(4, 116), st.integers(1, 600)),
    width=st.integers(55_000, 95_000),
)
def test_a_fruit_with_one_mark_more_never_has_fewer_marks_nor_a_better_class(
    views: list[list[Mark]], more: tuple[int, int, int], width: int
) -> None:
    at, across, area = more
    better = [side(width=width, marks=tuple(marks)) for marks in views]
    worse = list(better)
    chosen = at % len(views)
    worse[chosen] = side(width=width, marks=(*views[chosen], mark(across, area)))
    one, other = fused(*better), fused(*worse)
    assert other.blemish_mm2 >= one.blemish_mm2
    assert other.blemish_permille >= one.blemish_permille
    assert len(other.marks) >= len(one.marks)
    assert max(m.across_um for m in other.marks) >= max((m.across_um for m in one.marks), default=0)
    tiers = list(TARIFF.tiers)
    nominal = [judge(sides, (), BY).verdict.nominal_tier for sides in (better, worse)]
    assert tiers.index(nominal[0]) <= tiers.index(nominal[1])


@settings(max_examples=60, deadline=None)
@given(views=st.lists(MARKS, min_size=1, max_size=6), order=st.randoms())
def test_the_order_of_views_does_not_matter(views: list[list[Mark]], order: Random) -> None:
    sides = [side(marks=tuple(marks)) for marks in views]
    shuffled = list(sides)
    order.shuffle(shuffled)
    one, other = fused(*sides), fused(*shuffled)
    assert replace(one, marks=()) == replace(other, marks=())
    assert len(one.marks) == len(other.marks)
