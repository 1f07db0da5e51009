"""Pixels become millimetres: laws of the geometry, and marks that are marks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading import samples
from grading.calibrate import Marker
from grading.look import Setup, look
from grading.measure import Solid, belt_to_fruit, feret_px, marks, measure
from grading.standard import load_standard, load_tariff

ROUND = Solid(1000, 1000)


def disc(a: float, b: float, turn: float = 0.0, pad: int = 6) -> np.ndarray:
    reach = math.ceil(max(a, b)) + pad
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    u, v = x * math.cos(turn) + y * math.sin(turn), -x * math.sin(turn) + y * math.cos(turn)
    return (u / a) ** 2 + (v / b) ** 2 <= 1


def skin(mask: np.ndarray) -> np.ndarray:
    """A shaded gold fruit: bright in the middle, dark at the rim."""
    h, w = mask.shape
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    light = 74 - 22 * (x * x + y * y) + 4 * x
    return np.dstack([light, np.full_like(light, 18), np.full_like(light, 62)])


@settings(max_examples=40, deadline=None)
@given(st.floats(20, 90), st.floats(0.55, 1.0), st.floats(0, math.pi))
def test_calipers_find_the_axes_of_any_ellipse(a: float, share: float, turn: float) -> None:
    longest, shortest = feret_px(disc(a, a * share, turn))
    assert longest == pytest.approx(2 * a, rel=0.03, abs=1.2)
    assert shortest == pytest.approx(2 * a * share, rel=0.03, abs=1.2)


def test_a_ball_weighs_what_its_volume_says() -> None:
    mask = disc(100, 100)
    measures = measure(skin(mask), mask, mm_per_px=0.4, solid=ROUND)
    assert measures.equivalent_diameter_um == pytest.approx(80_000, rel=0.005)
    assert measures.volume_mm3 == pytest.approx(math.pi / 6 * 80**3, rel=0.03)
    assert measures.mass_g == round(measures.volume_mm3 / 1000)
    assert measures.height_corrected_permille == 1000


@settings(max_examples=60, deadline=None)
@given(st.floats(10, 130), st.floats(300, 3000))
def test_the_height_correction_undoes_the_tangent_cone(diameter: float, height: float) -> None:
    r = diameter / 2
    apparent = 2 * height * r / math.sqrt(height**2 - 2 * height * r)
    assert belt_to_fruit(apparent, height) == pytest.approx(diameter, rel=1e-9)


def test_a_known_camera_height_takes_back_what_perspective_added() -> None:
    seen = samples.tray(9, fruits=4, camera_height_mm=900)
    focal_px = round(900 / samples.MM_PER_PX)
    known = look(seen.jpeg, Setup(load_standard("mango"), load_tariff(), Marker(), focal_px))
    blind = look(seen.jpeg, Setup(load_standard("mango"), load_tariff(), Marker()))
    true_g = sum(fruit.mass_g for fruit in seen.fruit)
    assert sum(f.measures.mass_g for f in known.fruit) == pytest.approx(true_g, rel=0.06)
    assert sum(f.measures.mass_g for f in blind.fruit) > 1.1 * true_g


def test_shading_and_blush_are_no_marks() -> None:
    mask = disc(90, 70)
    lab = skin(mask)
    x = np.linspace(-1, 1, mask.shape[1])[None, :]
    blush = 1 / (1 + np.exp(-12 * (x - 0.1)))
    lab[..., 0] -= 9 * blush
    lab[..., 1] += 30 * blush
    assert marks(lab, mask).sum() < 0.002 * mask.sum()


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 16), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_a_brown_spot_is_found_with_its_area(radius: int, dx: float, dy: float) -> None:
    mask = disc(90, 80)
    lab = skin(mask)
    h, w = mask.shape
    y, x = np.mgrid[:h, :w]
    spot = (x - w / 2 - dx * 80) ** 2 + (y - h / 2 - dy * 70) ** 2 <= radius**2
    lab[spot] = (30, 9, 14)
    assert marks(lab, mask).sum() == pytest.approx(spot.sum(), rel=0.3, abs=45)


def test_a_fruit_too_small_to_judge_has_no_marks_rather_than_an_error() -> None:
    mask = disc(5, 4)
    assert measure(skin(mask), mask, mm_per_px=1, solid=ROUND).blemish_mm2 == 0
