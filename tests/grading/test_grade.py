"""Verdicts: a better fruit never gets a worse tier, and what the camera cannot tell it does not guess."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.grade import DOUBTFUL, grade
from grading.measure import Measures
from grading.standard import Standard, load_standard, load_tariff, shipped_standards

TARIFF = load_tariff()
MANGO = load_standard("mango")
STANDARDS = list(shipped_standards().values())


def fruit(mass_g: int = 300, marks_mm2: int = 0, *, permille: int | None = None, diameter_um: int = 75_000) -> Measures:
    return Measures(
        length_um=100_000,
        width_um=75_000,
        equivalent_diameter_um=diameter_um,
        area_mm2=6000,
        lab_l_centi=6000,
        lab_a_centi=1500,
        lab_b_centi=5500,
        blemish_mm2=marks_mm2,
        blemish_permille=marks_mm2 // 6 if permille is None else permille,
        volume_mm3=300_000,
        mass_g=mass_g,
        height_corrected_permille=1000,
    )


fruits = st.builds(
    fruit,
    st.integers(0, 1200),
    st.integers(0, 1200),
    permille=st.integers(0, 1000),
    diameter_um=st.integers(20_000, 120_000),
)


@settings(max_examples=400, deadline=None)
@given(fruits, st.sampled_from(STANDARDS), st.integers(0, 500), st.integers(0, 500), st.integers(0, 300))
def test_a_better_fruit_never_gets_a_worse_tier(
    worse: Measures, standard: Standard, heavier: int, cleaner: int, wider: int
) -> None:
    better = replace(
        worse,
        mass_g=worse.mass_g + heavier,
        equivalent_diameter_um=worse.equivalent_diameter_um + wider * 100,
        blemish_mm2=max(0, worse.blemish_mm2 - cleaner),
        blemish_permille=max(0, worse.blemish_permille - cleaner),
    )
    low, high = grade(worse, standard, TARIFF), grade(better, standard, TARIFF)
    assert TARIFF.rank(high.nominal_tier) <= TARIFF.rank(low.nominal_tier)
    assert TARIFF.rank(high.candidates[0]) <= TARIFF.rank(low.candidates[0])
    assert TARIFF.rank(high.candidates[-1]) <= TARIFF.rank(low.candidates[-1])
    assert high.price_fen >= low.price_fen


@settings(max_examples=200, deadline=None)
@given(fruits, st.sampled_from(STANDARDS), st.integers(0, 1000))
def test_a_verdict_is_doubtful_exactly_when_it_spans_tiers(measures: Measures, standard: Standard, score: int) -> None:
    verdict = grade(measures, standard, TARIFF, score_permille=score)
    assert verdict.is_doubtful == (len(verdict.candidates) > 1)
    assert verdict.nominal_tier in verdict.candidates
    assert verdict.is_doubtful or verdict.tier == verdict.nominal_tier
    assert verdict.reason.zh
    assert verdict.reason.en


@pytest.mark.parametrize(
    ("mass_g", "marks", "tier", "rule"),
    [
        (300, 0, "A", "extra-marks"),
        (300, 200, "B", "extra-marks"),
        (300, 400, "C", "class-1-marks"),
        (400, 500, "C", "class-1-marks"),
        (300, 700, "cull", "class-2-marks"),
        (600, 400, "B", "extra-marks"),
        (150, 0, "C", "minimum-size"),
        (10, 0, "cull", "minimum-size"),
    ],
)
def test_class_and_size_make_the_tier(mass_g: int, marks: int, tier: str, rule: str) -> None:
    verdict = grade(fruit(mass_g, marks), MANGO, TARIFF)
    assert (verdict.tier, verdict.rule) == (tier, rule)


def test_marks_all_over_are_refused_even_when_each_is_small() -> None:
    assert grade(fruit(600, 100, permille=500), MANGO, TARIFF).rule == "class-2-surface"


@pytest.mark.parametrize(("marks", "candidates"), [(95, ("A", "B")), (305, ("B", "C")), (510, ("C", "cull"))])
def test_marks_too_close_to_a_limit_go_to_a_person(marks: int, candidates: tuple[str, ...]) -> None:
    verdict = grade(fruit(300, marks), MANGO, TARIFF)
    assert verdict.tier == DOUBTFUL
    assert verdict.candidates == candidates


def test_a_mass_too_close_to_the_least_size_goes_to_a_person() -> None:
    assert grade(fruit(201), MANGO, TARIFF).candidates == ("A", "C") or grade(fruit(201), MANGO, TARIFF).is_doubtful


def test_an_outline_the_detector_is_unsure_of_goes_to_a_person() -> None:
    assert grade(fruit(), MANGO, TARIFF, score_permille=300).is_doubtful


def test_a_heavier_fruit_costs_more() -> None:
    assert grade(fruit(260), MANGO, TARIFF).price_fen == 690
    assert grade(fruit(360), MANGO, TARIFF).price_fen == 990


def test_the_reason_says_the_numbers_in_both_languages() -> None:
    verdict = grade(fruit(300, 200), MANGO, TARIFF)
    assert verdict.reason.en == "marks of 2.0 cm²; Extra allows 1.0 cm²"
    assert verdict.reason.zh == "斑痕 2.0 cm²，特级至多 1.0 cm²"  # noqa: RUF001  # Chinese has its own comma


def test_apples_are_sized_by_diameter() -> None:
    apple = load_standard("apple")
    assert grade(fruit(diameter_um=72_000), apple, TARIFF).size == "70"
    assert grade(fruit(diameter_um=55_000), apple, TARIFF).rule == "minimum-size"
