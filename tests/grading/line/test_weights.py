"""A scale's grams beside the pictures' estimate: which count, and when neither is to be believed alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.line.weights import Unweighed, Weight, counted, differs, mass_from
from tests.grading.test_grade import fruit

SEEN = replace(fruit(300), mass_low_g=250, mass_high_g=360)


@pytest.mark.parametrize(("mass_g", "is_odd"), [(300, False), (200, False), (199, True), (420, False), (421, True)])
def test_a_weight_further_off_than_twice_the_interval_is_for_a_person(mass_g: int, *, is_odd: bool) -> None:
    assert differs(SEEN, Weight(mass_g)) == is_odd
    assert mass_from(SEEN, Weight(mass_g)) == ("camera" if is_odd else "scale")


def test_an_interval_that_claims_too_much_does_not_make_every_weight_odd() -> None:
    sure = replace(SEEN, mass_low_g=299, mass_high_g=301)
    assert not differs(sure, Weight(345))
    assert differs(sure, Weight(346))


@given(st.integers(1, 2000), st.sampled_from([None, *Unweighed]))
def test_grams_count_when_they_are_believed_and_nothing_but_the_mass_changes(
    mass_g: int, why: Unweighed | None
) -> None:
    weight = Weight(None if why else mass_g, why)
    found = counted(SEEN, weight)
    if mass_from(SEEN, weight) == "camera":
        assert found == SEEN
    else:
        assert found == replace(SEEN, mass_g=mass_g, mass_low_g=mass_g - 1, mass_high_g=mass_g + 1)


def test_what_was_not_measured_or_not_weighed_has_no_scales_grams() -> None:
    assert mass_from(None, Weight(300)) == mass_from(SEEN, None) == "camera"
    assert not differs(SEEN, None)


def test_why_there_is_no_weight_is_told_in_both_languages() -> None:
    assert all(why.text.zh and why.text.en for why in Unweighed)
