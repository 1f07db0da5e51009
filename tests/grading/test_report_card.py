"""A report card says what was measured: every find and every label is counted once, and failures can be looked at."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading import report_card
from grading.dataset import Photo
from grading.errors import DatasetError
from grading.learned import Model, load_model
from grading.report_card import Tally, Tried, average_precision, calibration, choose, confusion, halves
from grading.scores import believed
from tests.grading.tiny_network import KINDS, card, network


def row(x: int, y: int, radius: int, score: float, kind: int) -> tuple[float, ...]:
    return ((x - radius) / 10, (y - radius) / 10, (x + radius) / 10, (y + radius) / 10, score, kind, 25, -25, -25)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """Finds a tomato, takes another tomato for an orange, sees a fruit where there is none, and knows the coin."""
    rows = [row(160, 320, 80, 0.9, 2), row(460, 330, 90, 0.7, 1), row(100, 560, 50, 0.6, 1), row(560, 80, 30, 0.8, 0)]
    return load_model(card(tmp_path / "model", network(np.array(rows))))


@pytest.fixture
def photos(tmp_path: Path) -> list[Photo]:
    """One photograph with two tomatoes that are found, an orange that is not, and a coin."""
    pixels = np.full((640, 640, 3), 90, np.uint8)
    for x, y, radius in ((160, 320, 80), (460, 330, 90), (560, 80, 30), (330, 560, 60), (100, 560, 50)):
        cv2.circle(pixels, (x, y), radius, (30, 40, 220), -1, cv2.LINE_AA)
    path = tmp_path / "house" / "images" / "a.png"
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), pixels)
    boxes = [(2, 160, 320, 80), (2, 460, 330, 90), (0, 560, 80, 30), (1, 330, 560, 60)]
    labels = tuple((kind, (x / 640, y / 640, r / 320, r / 320)) for kind, x, y, r in boxes)
    return [Photo(path, "one", labels, KINDS)]


def test_every_find_and_every_label_is_counted_once(model: Model, photos: list[Photo]) -> None:
    found = report_card.tally(photos, model)
    assert found.labelled == {"tomato": 2, "coin": 1, "orange": 1}
    assert confusion(found) == {
        "coin": {"coin": 1},
        "nothing": {"orange": 1},
        "orange": {"missed": 1},
        "tomato": {"orange": 1, "tomato": 1},
    }
    assert {each.what for each in found.missed} == {"tomato-as-orange", "nothing-as-orange", "orange-missed"}
    assert all(abs(each.size_permille - 1000) < 40 for each in found.tried if each.truth)


def test_the_card_says_what_the_tally_shows(model: Model, photos: list[Photo]) -> None:
    told = report_card.card(report_card.tally(photos, model), model, held_out=["one"], notes=["a note"])
    assert told["fruit"]["at_least_score"] == {"score_permille": 100, "recall": 0.667, "precision": 0.667}
    assert told["fruit"]["kind_right"] == 0.5
    assert told["fruit"]["ap50_by_kind"] == {"orange": 0.0, "tomato": 0.5}
    assert told["coin"] == {"score_permille": 100, "recall": 1.0, "precision": 1.0}
    assert told["model"]["sha256"] == model.card.sha256
    assert (told["notes"], told["held_out"]["fruit"]) == (["a note"], ["one"])


def test_the_card_plots_and_failures_are_written(model: Model, photos: list[Photo], tmp_path: Path) -> None:
    found = report_card.tally(photos, model)
    report_card.write(report_card.card(found, model, held_out=["one"]), found, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "report-card.json").read_text())["held_out"]["labelled"] == 3
    for name in ("calibration.svg", "confusion.svg", "precision.svg"):
        assert ET.parse(tmp_path / "out" / name).getroot().tag.endswith("svg")  # noqa: S314  # our own
    assert len(list((tmp_path / "out" / "failures").iterdir())) == len(found.missed) == 3


def test_photographs_of_what_the_model_does_not_know_measure_nothing(model: Model, photos: list[Photo]) -> None:
    foreign = [Photo(photos[0].path, "one", ((0, (0.5, 0.5, 0.1, 0.1)),), ("durian",))]
    with pytest.raises(DatasetError, match="shows nothing that the model knows"):
        report_card.tally(foreign, model)


@pytest.mark.parametrize(
    ("scored", "labelled", "area"),
    [
        ([], 3, 0.0),
        ([(900, True)], 0, 0.0),
        ([(900, True), (800, True)], 2, 1.0),
        ([(900, False), (800, True)], 1, 0.5),
        ([(900, True), (800, False), (700, True)], 2, 0.833),
        ([(900, True)], 4, 0.25),
    ],
)
def test_average_precision_is_the_area_under_the_curve(
    scored: list[tuple[int, bool]], labelled: int, area: float
) -> None:
    assert average_precision(scored, labelled) == area


def test_calibration_puts_every_find_into_one_tenth() -> None:
    tried = [
        Tried("orange", truth, score) for truth, score in (("orange", 0), ("", 99), ("tomato", 950), ("orange", 1000))
    ]
    bins = calibration(tried)
    assert [(each["finds"], each["right_permille"]) for each in bins if each["finds"]] == [(2, 500), (2, 1000)]
    assert sum(each["finds"] for each in bins) == 4


def test_an_empty_tally_draws_empty_plots() -> None:
    assert report_card.calibration_svg(calibration([])).startswith("<svg")
    assert report_card.confusion_svg(confusion(Tally())).startswith("<svg")


def photo_of(fruit: str, number: int) -> Photo:
    return Photo(Path(f"{fruit}_{number}.jpg"), fruit, (), KINDS)


@given(st.lists(st.integers(1, 40), min_size=2, max_size=15))
def test_no_fruit_both_chooses_scores_and_is_reported_on(counts: list[int]) -> None:
    photos = [photo_of(f"f{fruit}", number) for fruit, count in enumerate(counts) for number in range(count)]
    first, second = halves(photos)
    assert not {photo.fruit for photo in first} & {photo.fruit for photo in second}
    assert sorted(map(str, (photo.path for photo in [*first, *second]))) == sorted(str(p.path) for p in photos)
    assert abs(len(first) - len(second)) <= max(counts)
    assert halves(list(reversed(photos)))[0] == list(reversed(first))


def test_chosen_scores_reach_the_recall_and_mean_what_they_say() -> None:
    found = Tally(labelled={"orange": 100, "coin": 5})
    # Of finds told 0.3 most are fruit: the network is shy. Of those told 0.03 few are.
    found.tried += [Tried("orange", "orange", 300)] * 99 + [Tried("orange", "", 300)] * 6
    found.tried += [Tried("orange", "orange", 30)] + [Tried("tomato", "", 30)] * 60
    choice = choose(found, least_score_permille=50, sure_score_permille=500)
    assert choice is not None
    means = believed(0.3, choice.curve.slope_permille, choice.curve.offset_permille)
    assert means == pytest.approx(99 / 105, abs=0.03)
    assert choice.least_score_permille > 1000 * believed(
        0.03, choice.curve.slope_permille, choice.curve.offset_permille
    )
    assert choice.least_score_permille <= 1000 * means
    assert choice.least_score_permille <= choice.sure_score_permille


def test_too_few_finds_choose_nothing() -> None:
    found = Tally(labelled={"orange": 3}, tried=[Tried("orange", "orange", 300)] * 3)
    assert choose(found, least_score_permille=50, sure_score_permille=500) is None
