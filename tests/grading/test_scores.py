"""A score of 0.8 comes true eight times in ten, and no fitting turns the order of finds around."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.scores import Curve, believed, fitted, least_for_recall

TOLD = st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60)


def test_a_confidence_that_is_too_shy_is_believed_more() -> None:
    rng = np.random.default_rng(1)
    told = rng.uniform(0.02, 0.98, 4000)
    true = 1 / (1 + np.exp(-(1.6 * np.log(told / (1 - told)) + 1.2)))
    curve = fitted(list(zip(told.tolist(), (rng.random(4000) < true).tolist(), strict=True)))
    assert (curve.slope_permille, curve.offset_permille) == (
        pytest.approx(1600, abs=180),
        pytest.approx(1200, abs=180),
    )
    for value, share in zip(told[:50], true[:50], strict=True):
        assert believed(value, curve.slope_permille, curve.offset_permille) == pytest.approx(share, abs=0.03)


@given(TOLD)
def test_whatever_is_fitted_keeps_the_order_and_stays_a_share(told: list[tuple[float, bool]]) -> None:
    curve = fitted(told)
    shares = [believed(value / 50, curve.slope_permille, curve.offset_permille) for value in range(51)]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1


@pytest.mark.parametrize("told", [[], [(0.5, True)] * 9, [(0.5, False)] * 9, [(0.9, False), (0.1, True)] * 40])
def test_what_teaches_nothing_changes_nothing(told: list[tuple[float, bool]]) -> None:
    assert fitted(told) == Curve()
    assert believed(0.37, 1000, 0) == 0.37


def test_separated_finds_do_not_make_it_sure() -> None:
    curve = fitted([(0.9, True)] * 10 + [(0.1, False)] * 10)
    assert 0.85 < believed(0.9, curve.slope_permille, curve.offset_permille) < 0.97


@pytest.mark.parametrize(("recall", "least"), [(1000, 200), (970, 200), (660, 500), (600, 500), (300, 900), (0, 900)])
def test_the_least_score_reaches_the_recall_and_no_higher_one_does(recall: int, least: int) -> None:
    scored = [(900, True), (600, False), (500, True), (200, True), (100, False)]
    assert least_for_recall(scored, 3, recall_permille=recall) == least


def test_a_recall_beyond_what_was_found_has_no_score() -> None:
    assert least_for_recall([(900, True)], 2, recall_permille=970) is None
