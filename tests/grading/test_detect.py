"""Fruit are found once each, in a fixed order, and nothing else is."""

import cv2
import numpy as np
import pytest

from grading import samples
from grading.calibrate import Marker, find_scale
from grading.camera import decode
from grading.detect import ClassicalDetector
from tests.grading.conftest import tray

DETECTOR = ClassicalDetector()


@pytest.mark.parametrize("seed", [3, 7, 21])
def test_every_fruit_of_a_tray_is_found_where_it_was_drawn(seed: int) -> None:
    drawn = samples.tray(seed)
    found = DETECTOR.detect(drawn.pixels, ignore=[find_scale(drawn.pixels, Marker()).outline])
    assert len(found) == len(drawn.fruit)
    for fruit in drawn.fruit:
        assert sum(d.mask[fruit.y - d.y, fruit.x - d.x] for d in found if _covers(d, fruit)) == 1
    for detection, fruit in zip(
        sorted(found, key=lambda d: d.box), sorted(drawn.fruit, key=lambda f: f.x), strict=True
    ):
        del detection, fruit  # same number on both sides is what strict asserts


def _covers(detection: object, fruit: samples.SampleFruit) -> bool:
    x, y, w, h = detection.box
    return x <= fruit.x < x + w and y <= fruit.y < y + h


def test_the_same_pixels_give_the_same_detections() -> None:
    pixels = decode(tray(7)).pixels
    first, second = DETECTOR.detect(pixels), DETECTOR.detect(pixels)
    assert [d.box for d in first] == [d.box for d in second]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(first, second, strict=True))


def belt(*ellipses: tuple[tuple[int, int], tuple[int, int], int]) -> np.ndarray:
    pixels = np.full((500, 700, 3), 84, np.uint8)
    for centre, axes, turn in ellipses:
        cv2.ellipse(pixels, centre, axes, turn, 0, 360, (30, 150, 240), -1, cv2.LINE_AA)
    return pixels


def test_two_fruit_that_touch_are_two() -> None:
    found = DETECTOR.detect(belt(((240, 250), (90, 70), 0), ((408, 250), (90, 70), 0)))
    assert len(found) == 2


def test_a_fruit_on_the_edge_is_cut() -> None:
    found = DETECTOR.detect(belt(((10, 250), (90, 70), 0), ((350, 250), (90, 70), 0)))
    assert sorted(detection.is_cut for detection in found) == [False, True]


def test_an_empty_belt_holds_no_fruit() -> None:
    pixels = samples.target(5).pixels
    assert DETECTOR.detect(pixels, ignore=[find_scale(pixels, Marker()).outline]) == []


def test_a_stick_is_no_fruit() -> None:
    assert DETECTOR.detect(belt(((350, 250), (200, 14), 10))) == []


def test_the_description_names_every_parameter() -> None:
    assert set(DETECTOR.description) == {
        "name",
        "version",
        "leastAreaPermille",
        "mostAreaPermille",
        "leastDistance",
        "touchingSolidityPermille",
    }
