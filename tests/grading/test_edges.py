"""A coarse outline finds the edge it was near to, and one that has no edge to find stays where it was."""

import cv2
import numpy as np
import pytest

from grading.edges import filled, followed


def drawn(turn: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    """A soft orange ellipse on wood, shaded, with a darker spot inside, and its exact mask."""
    rng = np.random.default_rng(2)
    exact = np.zeros((420, 560), np.uint8)
    cv2.ellipse(exact, (280, 210), (120, 95), turn, 0, 360, 1, -1)
    cover = cv2.GaussianBlur(exact.astype(np.float32), (0, 0), 1.5)[..., None]
    table = np.array([90.0, 140, 190]) + rng.normal(0, 5, (420, 560, 1))
    fruit = np.array([20.0, 110, 235]) * np.linspace(0.8, 1.15, 560)[None, :, None]
    cv2.circle(fruit_map := np.broadcast_to(fruit, (420, 560, 3)).copy(), (300, 180), 25, (10, 60, 110), -1)
    return np.clip(table * (1 - cover) + fruit_map * cover, 0, 255).astype(np.uint8), exact.astype(bool)


def coarse(mask: np.ndarray, grow: float) -> np.ndarray:
    """The outline as a network's grid gives it: blocks, and too large or too small."""
    ys, xs = np.nonzero(mask)
    points = np.stack([xs, ys], axis=1).astype(np.float32)
    hull = cv2.convexHull(points).reshape(-1, 2)
    middle = hull.mean(axis=0)
    return (np.rint((middle + (hull - middle) * grow) / 10) * 10).astype(np.int32)


@pytest.mark.parametrize("grow", [0.93, 1.0, 1.08])
def test_the_edge_is_found_from_a_coarse_outline(grow: float) -> None:
    pixels, exact = drawn()
    start = coarse(exact, grow)
    points = followed(pixels, start)
    assert points is not None
    inside = filled(points, pixels.shape)
    assert inside is not None
    mask, x, y = inside
    found = np.zeros(exact.shape, bool)
    found[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    assert int((found & exact).sum()) / int((found | exact).sum()) > 0.975
    assert found.sum() == pytest.approx(exact.sum(), rel=0.012)
    if grow != 1.0:
        assert cv2.contourArea(start) != pytest.approx(exact.sum(), rel=0.08), "the control: it was coarse"


def test_the_same_pixels_give_the_same_edge_and_no_edge_gives_the_outline_back() -> None:
    pixels, exact = drawn()
    start = coarse(exact, 1.0)
    assert np.array_equal(followed(pixels, start), followed(pixels, start))
    flat = np.full_like(pixels, 128)
    points = followed(flat, start)
    assert points is not None
    assert cv2.contourArea(points.astype(np.float32)) == pytest.approx(cv2.contourArea(start), rel=0.06)


def test_hollow_outlines_and_specks_are_left_alone() -> None:
    pixels, _ = drawn()
    crescent = np.array([[100, 100], [300, 100], [300, 120], [130, 120], [130, 300], [100, 300]], np.int32)
    assert followed(pixels, crescent) is None
    assert followed(pixels, np.array([[5, 5], [9, 5], [9, 9], [5, 9]], np.int32)) is None


def test_a_line_outside_the_picture_has_no_mask() -> None:
    assert filled(np.array([[-40.0, -40], [-20, -40], [-20, -20], [-40, -20]]), (100, 100, 3)) is None
    partly = filled(np.array([[-20.0, 20], [30, 20], [30, 60], [-20, 60]]), (100, 100, 3))
    assert partly is not None
    assert partly[0].shape[1] <= 32
