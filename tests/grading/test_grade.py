"""Verdicts: a better fruit never gets a worse tier, and what the camera cannot tell it does not guess."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.grade import DOUBTFUL, grade
from grading.measure import MARK_KINDS, Mark, Measures
from grading.standard import Standard, every_standard, load_standard, load_tariff, parse_tariff

TARIFF = load_tariff()
MANGO = load_standard("mango")
STANDARDS = every_standard()


def fruit(
    mass_g: int = 300,
    marks_mm2: int = 0,
    *,
    permille: int | None = None,
    diameter_um: int = 75_000,
    marks: tuple[Mark, ...] = (),
    bands: tuple[tuple[str, int], ...] = (),
) -> Measures:
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
        equatorial_um=diameter_um,
        bands=bands,
        marks=marks,
    )


def mark(across_um: int, kind: str = "scab") -> Mark:
    return Mark(kind, (0, 0, 9, 9), across_um // 100, across_um)


fruits = st.builds(
    fruit,
    st.integers(0, 1200),
    st.integers(0, 1200),
    permille=st.integers(0, 1000),
    diameter_um=st.integers(20_000, 120_000),
    marks=st.lists(st.builds(mark, st.integers(200, 9000), st.sampled_from(MARK_KINDS)), max_size=10).map(tuple),
    bands=st.fixed_dictionaries({"green": st.integers(0, 1000), "red": st.integers(0, 1000)}).map(
        lambda shares: tuple(shares.items())
    ),
)


def rank(standard: Standard, quality: str) -> int:
    """A class's place, 0 the best; none at all comes last."""
    ids = [each.id for each in standard.content.classes]
    return ids.index(quality) if quality in ids else len(ids)


@settings(max_examples=600, deadline=None)
@given(
    fruits,
    st.sampled_from(STANDARDS),
    st.integers(0, 500),
    st.integers(0, 500),
    st.integers(0, 300),
    st.integers(0, 10),
    st.integers(0, 400),
)
def test_a_better_fruit_never_gets_a_worse_class_or_tier(
    worse: Measures, standard: Standard, heavier: int, cleaner: int, wider: int, healed: int, paler: int
) -> None:
    # Where a class has a largest size, a larger fruit is not a better one.
    grows = all(quality.most_size is None for quality in standard.content.classes)
    wanted = {limit.of for quality in standard.content.classes for limit in quality.limits}
    better = replace(
        worse,
        mass_g=worse.mass_g + heavier * grows,
        equivalent_diameter_um=worse.equivalent_diameter_um + wider * 100 * grows,
        equatorial_um=worse.equatorial_um + wider * 100 * grows,
        blemish_mm2=max(0, worse.blemish_mm2 - cleaner),
        blemish_permille=max(0, worse.blemish_permille - cleaner),
        marks=worse.marks[healed:],
        bands=tuple((name, max(0, share - paler * (name in wanted))) for name, share in worse.bands),
    )
    low, high = grade(worse, standard, TARIFF), grade(better, standard, TARIFF)
    assert rank(standard, high.quality) <= rank(standard, low.quality)
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


def test_a_class_may_ask_for_a_size_of_its_own() -> None:
    danling = load_standard("citrus-danling-2020")
    sizes = {mm: grade(fruit(diameter_um=mm * 1000), danling, TARIFF) for mm in (65, 72, 77, 85, 95)}
    assert {mm: verdict.quality for mm, verdict in sizes.items()} == {
        65: "class-3",
        72: "class-2",
        77: "class-1",
        85: "extra",
        95: "class-3",
    }
    assert sizes[77].reason.en == "77 mm; Select asks for at least 80 mm"
    assert sizes[95].rule == "class-2-size"


@pytest.mark.parametrize(
    ("marks", "rule", "says"),
    [
        ((1000, 1000, 1000), "extra-spots", "3 spots; Select allows 2"),
        ((2000,), "extra-largest", "the largest spot is 2.0 mm; Select allows 1.5 mm"),
    ],
)
def test_spots_count_by_number_and_by_the_largest(marks: tuple[int, ...], rule: str, says: str) -> None:
    spotted = fruit(diameter_um=85_000, marks=tuple(map(mark, marks)))
    verdict = grade(spotted, load_standard("citrus-danling-2020"), TARIFF)
    assert (verdict.quality, verdict.rule, verdict.reason.en) == ("class-1", rule, says)


def test_a_green_orange_is_no_orange_of_any_class() -> None:
    verdict = grade(fruit(diameter_um=80_000, bands=(("green", 300),)), load_standard("citrus"), TARIFF)
    assert (verdict.quality, verdict.nominal_tier, verdict.rule) == ("none", "cull", "green-colour")
    assert verdict.reason.zh == "绿色占 30%，至多 20%"  # noqa: RUF001  # Chinese has its own comma


@pytest.mark.parametrize(("red", "stage"), [(950, "red"), (700, "light-red"), (200, "turning"), (0, "green")])
def test_a_tomatos_colour_tells_its_stage(red: int, stage: str) -> None:
    found = load_standard("tomato").stage(fruit(bands=(("red", red),)))
    assert found is not None
    assert found.id == stage


def test_a_tier_may_ask_for_sugar_and_colour_and_says_what_is_missing() -> None:
    text = TARIFF.data.decode().replace('class = "extra"', 'class = "extra"\nleast_brix_tenths = 125', 1)
    tariff = parse_tariff("sweet", text.encode())
    assert grade(fruit(), MANGO, tariff, brix_tenths=130).nominal_tier == "A"
    sour, unknown = grade(fruit(), MANGO, tariff, brix_tenths=110), grade(fruit(), MANGO, tariff)
    assert (sour.nominal_tier, sour.quality, sour.rule) == ("B", "extra", "tier-A-brix")
    assert sour.reason.en == "11.0 degrees Brix; tier A asks for 12.5"
    assert unknown.reason.en == "tier A asks for 12.5 degrees Brix; nobody has measured"
    text = TARIFF.data.decode().replace('class = "extra"', 'class = "extra"\nleast_band_permille = { red = 500 }', 1)
    tariff = parse_tariff("red", text.encode())
    assert grade(fruit(bands=(("red", 600),)), MANGO, tariff).nominal_tier == "A"
    assert grade(fruit(bands=(("red", 400),)), MANGO, tariff).reason.en == "40 % red; tier A asks for 50 %"
