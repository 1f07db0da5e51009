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


def _coin_photo(radius: float, *, metal: tuple[int, int, int] = (150, 154, 152), seed: int = 3) -> np.ndarray:
    """A coin with a raised rim and relief on a wooden table, and a shadow beside it."""
    rng = np.random.default_rng(seed)
    pixels = np.empty((600, 800, 3), np.float32)
    pixels[:] = (90, 140, 190)
    pixels += cv2.GaussianBlur(rng.standard_normal((600, 800, 1)).astype(np.float32) * 60, (0, 0), 3)[..., None]
    centre = (400 * 16, 300 * 16)
    cv2.circle(pixels, (404 * 16, 305 * 16), round(radius * 16), (60, 95, 130), -1, cv2.LINE_AA, 4)
    for share, shade in ((1.0, 1.0), (0.9, 0.75), (0.86, 1.1), (0.55, 0.6), (0.5, 1.15), (0.2, 0.7)):
        cv2.circle(pixels, centre, round(radius * share * 16), [c * shade for c in metal], -1, cv2.LINE_AA, 4)
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("radius", [14.0, 27.5, 60.0, 130.0])
@pytest.mark.parametrize("metal", [(150, 154, 152), (90, 170, 200)], ids=["steel", "brass"])
def test_a_coin_is_measured_where_it_was_seen_however_roughly(radius: float, metal: tuple[int, int, int]) -> None:
    pixels = _coin_photo(radius, metal=metal)
    rng = np.random.default_rng(5)
    for _ in range(4):
        box = np.array([400 - radius, 300 - radius, 400 + radius, 300 + radius]) + rng.normal(0, 0.08 * radius, 4)
        found = find_scale(pixels, Coin(), coins=[tuple(box)])
        assert 25_000_000 / found.nm_per_px == pytest.approx(2 * radius, rel=0.035)
        assert found.outline.mean(axis=0) == pytest.approx([400, 300], abs=0.05 * radius + 1)


@pytest.mark.parametrize("radius", [27.5, 60.0])
@pytest.mark.parametrize("turned", [False, True], ids=["lying", "upright"])
def test_a_coin_that_a_leaning_camera_shows_as_an_oval_is_not_sure(radius: float, *, turned: bool) -> None:
    """The fruit would be told a seventh too large."""
    for across in (1.0, 0.95, 0.8, 0.7):
        pixels = cv2.resize(_stamped(radius), (800, round(600 * across)), interpolation=cv2.INTER_AREA)
        box = (400 - radius, (300 - radius) * across, 400 + radius, (300 + radius) * across)
        if turned:
            pixels, box = np.ascontiguousarray(pixels.transpose(1, 0, 2)), (box[1], box[0], box[3], box[2])
        assert find_scale(pixels, Coin(), coins=[box]).is_sure == (across > 0.9), across


def test_where_the_coin_was_not_the_whole_photograph_is_searched() -> None:
    plain = np.full((600, 800, 3), 128, np.uint8)
    with pytest.raises(NoScaleError):
        find_scale(plain, Coin(), coins=[(100, 100, 150, 150), (0, 0, 2, 2)])
    found = find_scale(coin_on_table(40), Coin(), coins=[(0, 0, 3, 3)])
    assert found.nm_per_px == find_scale(coin_on_table(40), Coin()).nm_per_px


@pytest.mark.parametrize("box", [(-50, -50, 20, 20), (780, 580, 840, 640), (0, 0, 800, 600), (30, 30, 10, 10)])
def test_places_partly_outside_the_photograph_are_no_harm(box: tuple[float, float, float, float]) -> None:
    found = find_scale(_coin_photo(40.0), Coin(), coins=[box, (362, 258, 441, 339)])
    assert found.nm_per_px > 0


def _cap(radius: float, colour: tuple[int, int, int]) -> np.ndarray:
    """A smooth cap with a knurled wall, where `_coin_photo` has a coin."""
    pixels = _coin_photo(radius).astype(np.float32)
    ys, xs = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    away = np.hypot(xs - 400, ys - 300) / radius
    light = 1 + 0.1 * (xs - 400 + ys - 300) / radius / 1.4
    wall = np.where(away > 0.9, 0.85 + 0.08 * np.sign(np.cos(80 * np.arctan2(ys - 300, xs - 400))), 1)
    pixels[away <= 1] = ((light * wall)[..., None] * np.array(colour, np.float32))[away <= 1]
    return np.clip(cv2.GaussianBlur(pixels, (0, 0), 0.7), 0, 255).astype(np.uint8)


def _stamped(radius: float) -> np.ndarray:
    """`_coin_photo` with relief on the coin's face: blotches a tenth of it across."""
    pixels = _coin_photo(radius).astype(np.float32)
    ys, xs = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    relief = np.random.default_rng(2).normal(0, 1, pixels.shape[:2])
    relief = cv2.GaussianBlur(relief, (0, 0), radius / 15)
    inside = np.hypot(xs - 400, ys - 300) < 0.85 * radius
    pixels[inside] *= 1 + 0.12 * (relief / relief.std())[inside, None]
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("radius", [20.0, 32.0, 60.0])
@pytest.mark.parametrize("colour", [(232, 234, 236), (140, 144, 146), (60, 62, 64)], ids=["white", "grey", "black"])
def test_a_smooth_cap_is_no_sure_scale_and_a_coin_is(radius: float, colour: tuple[int, int, int]) -> None:
    box = (400 - radius, 300 - radius, 400 + radius, 300 + radius)
    found = [find_scale(pixels, Coin(), coins=[box]) for pixels in (_cap(radius, colour), _stamped(radius))]
    assert [each.is_sure for each in found] == [False, True]
    assert find_scale(_cap(radius, colour), Coin(), coins=[box], edition=3).is_sure, "nobody asked before"


def test_a_coin_without_a_clear_rim_is_as_large_as_its_place_and_not_sure() -> None:
    dark = np.full((600, 800, 3), 12, np.uint8)
    boxes = [(100.0, 100.0, 150.0, 146.0), (300.0, 200.0, 380.0, 280.0)]
    found = find_scale(dark, Coin(), coins=boxes, scores_permille=[770, 150])
    assert found.mm_per_px == pytest.approx(25 / 48, rel=0.01)
    assert not found.is_sure
    for scores, edition in (([400, 150], 5), ([770, 150], 4)):
        with pytest.raises(NoScaleError):
            find_scale(dark, Coin(), coins=boxes, scores_permille=scores, edition=edition)


def test_something_else_nearly_as_likely_the_coin_makes_it_unsure() -> None:
    coin, other = (360.0, 260.0, 440.0, 340.0), (100.0, 100.0, 220.0, 220.0)
    sure = [
        find_scale(_stamped(40), Coin(), coins=[coin, other], scores_permille=scores, edition=edition).is_sure
        for scores, edition in (([690, 300], 5), ([690, 420], 5), ([690, 420], 4))
    ]
    assert sure == [True, False, True]


def test_a_coin_that_the_network_did_not_see_is_not_sure() -> None:
    assert find_scale(_stamped(40), Coin()).is_sure
    assert not find_scale(_stamped(40), Coin(), coins=[]).is_sure
