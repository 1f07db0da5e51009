"""Two detectors check each other: alike is sure, differing goes to a person, nothing is dropped or counted twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from grading.agree import CrossCheckedDetector, overlap
from grading.calibrate import Polygon
from grading.camera import Pixels
from grading.detect import ClassicalDetector, Detection
from grading.learned import LearnedDetector, load_model
from grading.standard import load_standard
from tests.grading.tiny_network import card, network

LEAST_TAKEN = load_standard("mango").content.doubt.least_score_permille
RED, GREY = (30, 40, 220), (90, 90, 90)


@dataclass(frozen=True)
class Says:
    """A detector that says what it was told to."""

    found: tuple[Detection, ...]

    @property
    def description(self) -> Mapping[str, str | int]:
        return {"name": "says", "version": "1"}

    def detect(self, pixels: Pixels, *, ignore: Sequence[Polygon] = ()) -> list[Detection]:  # noqa: ARG002
        return list(self.found)


def disc(x: int, y: int, radius: int, *, score: int = 900, kind: str = "", cut: bool = False) -> Detection:
    mask = cv2.circle(np.zeros((2 * radius + 1, 2 * radius + 1), np.uint8), (radius, radius), radius, 1, -1)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = (contours[0].reshape(-1, 2) + np.array([x - radius, y - radius])).astype(np.int32)
    return Detection(x - radius, y - radius, mask > 0, outline, score, cut, kind)


def network_of(folder: Path, *finds: tuple[tuple[int, int, int], int, float]) -> LearnedDetector:
    """A network that finds discs (x, y, radius of a 640 pixel square) as kinds with scores."""
    rows = [
        ((x - r) / 10, (y - r) / 10, (x + r) / 10, (y + r) / 10, score, kind, 25.0, -25.0, -25.0)
        for (x, y, r), kind, score in finds
    ]
    model = load_model(card(folder, network(np.array(rows or [(0.0,) * 9]))))
    # The tiny network's own masks are too coarse to agree with anything.
    return LearnedDetector(model, finds_edges=True)


def picture(*discs: tuple[int, int, int]) -> Pixels:
    pixels = np.full((640, 640, 3), GREY, np.uint8)
    for x, y, r in discs:
        cv2.circle(pixels, (x, y), r, RED, -1, cv2.LINE_AA)
    return pixels


A, B = (160, 320, 80), (460, 330, 90)


def test_what_both_outline_alike_is_taken_with_the_networks_kind(tmp_path: Path) -> None:
    # The network alone is not sure of either: 200 and 150 permille.
    detector = CrossCheckedDetector(network_of(tmp_path, (A, 1, 0.2), (B, 2, 0.15)))
    found = detector.detect(picture(A, B))
    assert [each.kind for each in found] == ["orange", "tomato"]
    assert all(each.score_permille > 900 for each in found)


def test_what_only_colour_finds_is_left_to_a_person(tmp_path: Path) -> None:
    found = CrossCheckedDetector(network_of(tmp_path, (A, 1, 0.9))).detect(picture(A, B))
    assert [each.score_permille >= LEAST_TAKEN for each in found] == [True, False]
    assert [each.kind for each in found] == ["orange", ""]


def test_what_only_the_network_finds_is_left_to_a_person(tmp_path: Path) -> None:
    learned = network_of(tmp_path, (A, 1, 0.9), (B, 2, 0.99))
    found = CrossCheckedDetector(learned, classical=Says((disc(*A),))).detect(picture(A, B))
    assert [each.score_permille >= LEAST_TAKEN for each in found] == [True, False]
    assert found[1].kind == "tomato"


def test_the_less_alike_the_outlines_the_lower_the_score(tmp_path: Path) -> None:
    learned = network_of(tmp_path, (A, 1, 0.9))
    scores = []
    for radius in (80, 84, 88, 92, 100, 110):
        x, y, _ = A
        (found,) = CrossCheckedDetector(learned, classical=Says((disc(x, y, radius),))).detect(picture(A))
        scores.append(found.score_permille)
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1000
    assert scores[-1] < LEAST_TAKEN


def test_two_seen_as_one_come_out_as_two_for_a_person(tmp_path: Path) -> None:
    touching = ((240, 320, 80), (400, 320, 80))
    learned = network_of(tmp_path, (touching[0], 1, 0.9), (touching[1], 1, 0.9))
    both = Detection(160, 240, np.ones((161, 321), bool), np.array([[160, 240], [480, 240], [480, 400]]), 900, False)
    found = CrossCheckedDetector(learned, classical=Says((both,))).detect(picture(*touching))
    assert len(found) == 2
    assert all(each.score_permille < LEAST_TAKEN for each in found)
    turned = CrossCheckedDetector(
        network_of(tmp_path / "one", ((320, 320, 150), 1, 0.9)),
        classical=Says((disc(*touching[0]), disc(*touching[1]))),
    ).detect(picture(*touching))
    assert len(turned) == 2
    assert all(each.score_permille < LEAST_TAKEN for each in turned)


def test_nothing_is_shown_twice(tmp_path: Path) -> None:
    learned = network_of(tmp_path, (A, 1, 0.9), (B, 1, 0.9))
    x, y, r = A
    classical = Says((disc(x + 30, y, r), disc(*B), disc(320, 560, 40)))
    found = CrossCheckedDetector(learned, classical=classical).detect(picture(A, B))
    assert len(found) == 3
    assert all(overlap(a, b) == 0 for i, a in enumerate(found) for b in found[:i])


def test_a_coin_the_network_is_sure_of_is_no_fruit(tmp_path: Path) -> None:
    for score, count in ((0.9, 1), (0.3, 2)):
        learned = network_of(tmp_path / str(count), (A, 1, 0.9), (B, 0, score))
        assert len(CrossCheckedDetector(learned).detect(picture(A, B))) == count


def test_cut_for_one_is_cut(tmp_path: Path) -> None:
    learned = network_of(tmp_path, (A, 1, 0.9))
    (found,) = CrossCheckedDetector(learned, classical=Says((disc(*A, cut=True),))).detect(picture(A))
    assert found.is_cut


def test_fruit_come_in_reading_order_and_the_same_every_time(tmp_path: Path) -> None:
    discs = ((150, 150, 60), (420, 160, 70), (160, 450, 80), (450, 460, 60))
    learned = network_of(tmp_path, *((each, 1, 0.9) for each in reversed(discs)))
    detector = CrossCheckedDetector(learned)
    first, second = detector.detect(picture(*discs)), detector.detect(picture(*discs))
    assert [(round(each.x + each.mask.shape[1] / 2, -1), each.score_permille) for each in first] == [
        (pytest.approx(x, abs=10), 1000) for x, _, _ in discs
    ]
    assert all(np.array_equal(a.mask, b.mask) and a.box == b.box for a, b in zip(first, second, strict=True))


def test_the_description_names_both_detectors_and_the_weights(tmp_path: Path) -> None:
    learned = network_of(tmp_path, (A, 1, 0.9))
    told = CrossCheckedDetector(learned).description
    assert told["learned.weights"] == learned.model.card.sha256
    assert told["classical.leastDistance"] == ClassicalDetector().least_distance
    assert told != CrossCheckedDetector(learned, alone_permille=299).description
    assert told != CrossCheckedDetector(learned, ClassicalDetector(least_distance=10)).description


def test_the_networks_coins_are_its_own(tmp_path: Path) -> None:
    learned = network_of(tmp_path, (A, 0, 0.9), (B, 1, 0.9))
    (box,) = CrossCheckedDetector(learned).coins(picture(A, B))
    assert box == pytest.approx((80, 240, 240, 400), abs=0.1)
