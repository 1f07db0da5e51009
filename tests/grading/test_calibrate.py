"""The scale is found where it is, and refused where it cannot be trusted."""

import cv2
import numpy as np
import pytest

from grading import samples
from grading.calibrate import Coin, Marker, camera_height_mm, find_scale
from grading.errors import NoScaleError, TiltedScaleError


def test_a_printed_marker_gives_the_scale_within_half_a_percent() -> None:
    scale = find_scale(samples.target(3).pixels, Marker())
    assert abs(scale.mm_per_px / samples.MM_PER_PX - 1) < 0.005
    assert abs(scale.worst_um - 60_000) <= 300
    assert scale.spread_permille < 5


def test_the_known_length_is_what_counts_not_the_pixels() -> None:
    pixels = samples.target(3).pixels
    assert find_scale(pixels, Marker(30_000)).nm_per_px == pytest.approx(
        find_scale(pixels, Marker()).nm_per_px / 2, abs=1
    )


def test_a_tilted_marker_is_refused() -> None:
    pixels = samples.target(3).pixels
    h, w = pixels.shape[:2]
    leaning = np.float32([[0, 0], [w, 0], [w * 0.78, h], [w * 0.22, h]])
    matrix = cv2.getPerspectiveTransform(np.float32([[0, 0], [w, 0], [w, h], [0, h]]), leaning)
    with pytest.raises(TiltedScaleError):
        find_scale(cv2.warpPerspective(pixels, matrix, (w, h)), Marker())


@pytest.mark.parametrize("reference", [Marker(), Coin()])
def test_an_empty_belt_has_no_scale(reference: Marker | Coin) -> None:
    with pytest.raises(NoScaleError):
        find_scale(np.full((400, 500, 3), 90, np.uint8), reference)


def coin_on_table(radius: int) -> np.ndarray:
    rng = np.random.default_rng(4)
    table = np.full((600, 800, 3), (70, 130, 190), np.uint8)
    cv2.circle(table, (250, 300), radius, (175, 178, 180), -1, cv2.LINE_AA)
    for _ in range(14):
        x, y = rng.integers(-radius // 2, radius // 2, 2)
        cv2.line(table, (250 + int(x), 300 + int(y)), (250 + int(y), 300 + int(x)), (110, 110, 112), 2)
    return cv2.GaussianBlur(table, (0, 0), 1.0)


@pytest.mark.parametrize("radius", [26, 34, 45])
def test_a_coin_gives_the_scale_within_five_percent(radius: int) -> None:
    scale = find_scale(coin_on_table(radius), Coin())
    assert scale.mm_per_px == pytest.approx(25 / (2 * radius), rel=0.05)


def test_the_camera_height_follows_from_focal_length_and_scale() -> None:
    assert camera_height_mm(860, 0.4) == pytest.approx(344)
