"""Pixels become millimetres: laws of the geometry, and marks that are marks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading import samples
from grading.calibrate import Marker
from grading.look import Setup, look
from grading.measure import (
    Band,
    Beside,
    Error,
    Measures,
    Solid,
    belt_to_fruit,
    beside_to_fruit,
    feret_px,
    marks,
    measure,
)
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


@settings(max_examples=60, deadline=None)
@given(st.floats(10, 130), st.floats(200, 1500), st.floats(0.76, 1.24), st.floats(0, 0.5))
def test_beside_a_coin_the_feet_tell_how_far_a_fruit_stands(
    diameter: float, coin_away: float, nearer: float, angle: float
) -> None:
    """A pinhole 105 mm above the table: fruit's middle at its foot's distance, `angle` radians off the axis."""
    r, away = diameter / 2, coin_away / nearer
    lower = 105 * (coin_away / away - 1)
    half = math.asin(r * math.cos(angle) / away)
    apparent = 2 * coin_away * math.tan(half) / math.cos(angle) ** 1.5
    found = beside_to_fruit(apparent, Beside(coin_away, lower), axis_cosine=math.cos(angle))
    assert found == pytest.approx(diameter, rel=1e-9)
    assert beside_to_fruit(apparent, Beside(None, lower)) >= found


def test_from_the_side_an_outline_counts_by_its_area_and_no_lean_is_believed_far() -> None:
    flat, ball = disc(100, 81), disc(90, 90)
    seen = [measure(skin(each), each, mm_per_px=0.4, solid=ROUND, beside=Beside(400, 0.0)) for each in (flat, ball)]
    assert seen[0].equatorial_um == pytest.approx(seen[1].equatorial_um, rel=0.005)
    assert seen[0].volume_mm3 == pytest.approx(math.pi / 6 * (seen[0].equatorial_um / 1000) ** 3, rel=1e-3)
    lower, lowest, higher = (beside_to_fruit(70, Beside(400, mm)) for mm in (10, 90, -90))
    level = beside_to_fruit(70, Beside(400, 0))
    assert 0.79 * level < lowest < lower < level < higher < 1.34 * level


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


def spotted(*spots: tuple[int, int, int, tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """A shaded fruit with round spots: left, top and radius in pixels, and their colour in Lab."""
    mask = disc(120, 110)
    lab = skin(mask)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    for left, top, radius, colour in spots:
        lab[(x - left) ** 2 + (y - top) ** 2 <= radius**2] = colour
    return lab, mask


def test_every_mark_is_told_alone_and_together_they_are_the_blemish() -> None:
    lab, mask = spotted((80, 90, 9, (28, 8, 12)), (150, 130, 6, (28, 8, 12)), (110, 170, 4, (28, 8, 12)))
    measures = measure(lab, mask, mm_per_px=0.5, solid=ROUND)
    assert [mark.kind for mark in measures.marks] == ["scab"] * 3
    assert sum(mark.area_mm2 for mark in measures.marks) == pytest.approx(measures.blemish_mm2, abs=2)
    first = measures.marks[0]
    assert first.across_um == pytest.approx(19 * 500, rel=0.2)
    assert first.box[0] < 80 < first.box[0] + first.box[2]
    assert first.box[1] < 90 < first.box[1] + first.box[3]


def test_a_large_soft_dull_patch_is_called_a_bruise() -> None:
    lab, mask = spotted()
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    patch = (x - 110) ** 2 + (y - 120) ** 2 <= 20**2
    lab[patch] -= (16, 0, 22)
    assert measure(lab, mask, mm_per_px=0.5, solid=ROUND).marks[0].kind == "bruise"


def test_bands_share_the_skin_by_hue_and_go_on_past_red() -> None:
    mask = disc(60, 60)
    lab = np.zeros((*mask.shape, 3))
    lab[...] = (50, 40, -4)
    lab[:, : mask.shape[1] // 2] = (60, -30, 40)
    bands = (Band("red", -20, 40), Band("green", 90, 180), Band("dull", 0, 360, most_chroma=5))
    shares = dict(measure(lab, mask, mm_per_px=1, solid=ROUND, bands=bands).bands)
    assert shares["red"] + shares["green"] == pytest.approx(1000, abs=1)
    assert shares["red"] == pytest.approx(500, abs=15)
    assert shares["dull"] == 0


@settings(max_examples=30, deadline=None)
@given(st.floats(30, 80), st.floats(0.6, 1.0), st.integers(0, 60), st.integers(20, 300))
def test_a_mass_lies_in_its_interval_which_grows_with_what_is_unknown(
    a: float, share: float, scale: int, shape: int
) -> None:
    mask = disc(a, a * share)
    lab = skin(mask)

    def told(scale_permille: int, shape_permille: int, height: float | None) -> Measures:
        solid, error = Solid(900, 1000, "long", shape_permille), Error(scale_permille)
        return measure(lab, mask, mm_per_px=0.5, solid=solid, camera_height_mm=height, error=error)

    near, far = told(scale, shape, 900), told(scale + 10, shape + 50, 900)
    assert far.mass_low_g <= near.mass_low_g <= near.mass_g <= near.mass_high_g <= far.mass_high_g
    blind = told(scale, shape, None)
    assert blind.mass_low_g <= near.mass_low_g, "a camera that may stand close makes fruit look heavy"


def test_a_round_fruits_diameter_is_its_spheres_and_a_long_ones_its_width() -> None:
    mask = disc(100, 80)
    ball = measure(skin(mask), mask, mm_per_px=0.5, solid=Solid(1000, 1000, "round"))
    long = measure(skin(mask), mask, mm_per_px=0.5, solid=Solid(1000, 1000, "long"))
    assert ball.equatorial_um == pytest.approx((ball.length_um * ball.width_um**2) ** (1 / 3), rel=1e-3)
    assert measure(skin(mask), mask, mm_per_px=0.5, solid=Solid(1000, 1000, "round"), edition=2).equatorial_um == (
        ball.equivalent_diameter_um
    ), "as older records have it"
    assert long.equatorial_um == long.width_um == pytest.approx(80_000, rel=0.02)
    assert ball.roundness_permille == pytest.approx(800, rel=0.03)


@pytest.mark.parametrize("degrees", [0, 10, 20, 30])
@pytest.mark.parametrize("radius", [20.0, 45.0])
def test_a_sphere_anywhere_in_the_picture_keeps_its_size(degrees: float, radius: float) -> None:
    """A sphere on the plane, drawn by a pinhole camera from the tangent cone itself: what `measure` must take back."""
    height, focal = 400.0, 800.0
    tilt = math.radians(degrees)
    away = (height - radius) / math.cos(tilt)
    half = math.asin(radius / away)
    # Outwards the cone meets the picture between tan(tilt - half) and tan(tilt + half); across, at its middle.
    outwards = focal * (math.tan(tilt + half) - math.tan(tilt - half)) / 2
    across = focal * math.tan(half) / math.cos(tilt)
    seen_mm = 2 * math.sqrt(outwards * across) * height / focal
    found = belt_to_fruit(seen_mm, height, axis_cosine=math.cos(tilt))
    assert found == pytest.approx(2 * radius, rel=0.006)
    if degrees >= 20:
        assert belt_to_fruit(seen_mm, height) > 1.02 * 2 * radius, "without the angle it reads too large"
