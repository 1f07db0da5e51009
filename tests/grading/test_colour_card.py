"""A drawn camera with known colour faults photographs a known card; what comes out is compared with the truth."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from grading.camera import Pixels
from grading.colour_card import (
    MARGIN_MM,
    Card,
    calibrate_colour,
    delta_e_2000,
    frame_of,
    frame_picture,
    from_lab,
    load_card,
    parse_card,
    to_lab,
)
from grading.errors import ColourCardError
from grading.profile import coded, linear, recoloured

Matrix = NDArray[np.float64]

CARD = msgspec.structs.replace(load_card(), across_mm=140.0, down_mm=84.0)
EYE = np.array([[0.62, 0.22, 0.04], [0.12, 0.66, 0.10], [0.02, 0.20, 0.52]])
"""What this camera makes of linear sRGB: a yellow lamp, and filters that let neighbours through."""
PX = 4


def sheet(
    card: Card = CARD, *, gain: float = 1.0, tilt: float = 0.0, shift_mm: float = 0.0, turned: bool = False
) -> Pixels:
    """The frame with a card in it, as the camera's sensor sees it from straight above."""
    frame = frame_of(card)
    light = np.repeat((frame_picture(frame, PX) / 255.0 * 0.86)[..., None], 3, axis=2)
    wide, high = frame.window_mm
    left, top = (round((MARGIN_MM + each) * PX) for each in (0.02 * wide, 0.02 * high))
    light[top : top + round(0.96 * high * PX), left : left + round(0.96 * wide * PX)] = 0.03
    half = frame.patch_mm / 2 / 0.7 * 0.9
    values = from_lab(card.lab, card.illuminant)
    for (x, y), colour in zip(frame.patches_mm, values[::-1] if turned else values, strict=True):
        rows = slice(round((MARGIN_MM + y + shift_mm - half) * PX), round((MARGIN_MM + y + shift_mm + half) * PX))
        columns = slice(round((MARGIN_MM + x + shift_mm - half) * PX), round((MARGIN_MM + x + shift_mm + half) * PX))
        light[rows, columns] = colour
    seen = light @ EYE.T * gain
    seen *= (1 + tilt * np.linspace(-0.5, 0.5, seen.shape[1]))[None, :, None]
    rgb = coded(np.clip(seen, 0, 1)) * 255 + np.random.default_rng(6).normal(0, 1.2, seen.shape)
    return np.clip(np.round(rgb[..., ::-1]), 0, 255).astype(np.uint8)


def photograph(picture: Pixels) -> Pixels:
    """The sheet seen a little from the side, on a grey table."""
    height, width = picture.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    onto = np.array([[90, 70], [1010, 95], [1035, 760], [60, 735]], dtype=np.float32)
    homography = cv2.getPerspectiveTransform(corners, onto)
    return np.asarray(cv2.warpPerspective(picture, homography, (1100, 820), borderValue=(70, 70, 70)), dtype=np.uint8)


def test_the_shipped_card_is_the_classic_one() -> None:
    card = load_card()
    assert (card.columns, card.rows, len(card.patches)) == (6, 4, 24)
    assert card.patches[18].name == "white"
    assert card.across_mm is None
    with pytest.raises(ColourCardError, match="measure the card"):
        frame_of(card)


def test_ciede2000_gives_the_published_pairs() -> None:
    """Sharma, Wu, Dalal: The CIEDE2000 color-difference formula, 2005, table 1: pairs 1, 4, 7, 10, 17, 25 and 34."""
    pairs = np.array(
        [
            (50, 2.6772, -79.7751, 50, 0, -82.7485, 2.0425),
            (50, -1.3802, -84.2814, 50, 0, -82.7485, 1.0),
            (50, 0, 0, 50, -1, 2, 2.3669),
            (50, 2.49, -0.001, 50, -2.49, 0.0011, 7.2195),
            (50, 2.5, 0, 73, 25, -18, 27.1492),
            (60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644),
            (2.0776, 0.0795, -1.135, 0.9033, -0.0636, -0.5514, 0.9082),
        ]
    )
    assert delta_e_2000(pairs[:, :3], pairs[:, 3:6]) == pytest.approx(pairs[:, 6], abs=1e-4)


def test_lab_goes_there_and_back() -> None:
    for illuminant in ("D50", "D65"):
        assert to_lab(from_lab(CARD.lab, illuminant), illuminant) == pytest.approx(CARD.lab, abs=1e-9)
    white = to_lab(np.ones((1, 3)), "D65")[0]
    assert white == pytest.approx([100, 0, 0], abs=0.02)


def test_the_matrix_undoes_a_known_camera() -> None:
    colour = calibrate_colour(photograph(sheet()), CARD)
    assert colour.before_centi > 700
    # Cyan lies outside sRGB, and no matrix brings it in.
    assert colour.after_centi < 100
    assert colour.worst_centi < 900
    assert colour.card == "classic-24 after-2014-11"
    assert colour.matrix @ EYE == pytest.approx(np.eye(3), abs=0.05)


def test_fruit_colours_come_out_right_through_the_whole_picture_path() -> None:
    colour = calibrate_colour(photograph(sheet()), CARD)
    lab = np.array([[62.0, 30, 58], [48, 48, 34], [70, -12, 52], [55, 5, 20]])
    seen = np.round(coded(from_lab(lab, "D65") @ EYE.T)[:, ::-1] * 255).astype(np.uint8)[None]
    right = recoloured(seen, colour)[0][:, ::-1] / 255
    before = delta_e_2000(to_lab(linear(seen[0][:, ::-1] / 255), "D65"), lab)
    after = delta_e_2000(to_lab(linear(right), "D65"), lab)
    assert before.min() > 4
    assert after.max() < 2.0


def test_an_exposure_between_dark_and_clipped_changes_nothing_of_the_colour() -> None:
    one, other = (calibrate_colour(photograph(sheet(gain=gain)), CARD) for gain in (0.6, 1.0))
    assert np.asarray(one.matrix) * 0.6 == pytest.approx(np.asarray(other.matrix), abs=0.06)


def test_a_gradient_of_light_is_taken_out_up_to_its_limit() -> None:
    even = calibrate_colour(photograph(sheet()), CARD)
    slanted = calibrate_colour(photograph(sheet(tilt=0.2, gain=0.9)), CARD)
    assert slanted.after_centi < even.after_centi + 60
    with pytest.raises(ColourCardError, match="light on the card differs") as refused:
        calibrate_colour(photograph(sheet(tilt=0.6, gain=0.8)), CARD)
    assert refused.value.kind == "uneven_light"


def covered(picture: Pixels) -> Pixels:
    picture = picture.copy()
    cv2.circle(picture, (540, 420), 150, (40, 60, 90), -1)
    return picture


@pytest.mark.parametrize(
    ("kind", "picture"),
    [
        ("clipped", photograph(sheet(gain=1.6))),
        ("too_dark", photograph(sheet(gain=0.1))),
        ("card_turned", photograph(sheet(turned=True))),
        ("card_moved", photograph(sheet(shift_mm=11.0))),
        ("no_card", np.full((600, 800, 3), 90, np.uint8)),
        ("no_card", photograph(sheet())[:, :700]),
        ("card_small", cv2.resize(photograph(sheet()), None, fx=0.14, fy=0.14, interpolation=cv2.INTER_AREA)),
    ],
    ids=["clipped", "dark", "turned", "moved", "something else", "cut off", "far away"],
)
def test_a_card_that_cannot_be_trusted_is_refused_by_name(kind: str, picture: Pixels) -> None:
    with pytest.raises(ColourCardError) as refused:
        calibrate_colour(picture, CARD)
    assert refused.value.kind in ({kind, "no_card"} if kind == "card_small" else {kind})


def test_another_card_in_the_frame_is_refused() -> None:
    patches = list(CARD.patches)
    other = msgspec.structs.replace(CARD, patches=tuple(patches[1::2] + patches[0::2]))
    with pytest.raises(ColourCardError) as refused:
        calibrate_colour(photograph(sheet(other)), CARD)
    assert refused.value.kind in {"wrong_card", "card_turned"}
    with pytest.raises(ColourCardError) as refused:
        calibrate_colour(covered(photograph(sheet())), CARD)
    assert refused.value.kind in {"wrong_card", "card_moved"}


GOOD = (Path(__file__).parents[2] / "grading" / "cards" / "classic-24.toml").read_text()


@pytest.mark.parametrize(
    ("was", "becomes", "why"),
    [
        ("", "", "is no card"),
        ('illuminant = "D50"', 'illuminant = "A"', "illuminant 'A'"),
        ("columns = 6", "columns = 5", "24 patches for 5 x 4"),
        ("columns = 6", "columns = 600", "columns and rows must be"),
        ('"light skin"', '"dark skin"', "two patches have one name"),
        ("37.54", "137.54", "must be 0 to 100"),
        ("37.54", "nan", "must be 0 to 100"),
        ("80.41", "180.41", "must be -128 to 128"),
        ("95.19", "45.19", "needs a white"),
        ("rows = 4", "rows = 4\nacross_mm = 4000.0", "must be 20 to 400"),
        ("rows = 4", "rows = 4\ncolour = 3", "unknown field"),
        ("rows = 4", "rows = ", "Invalid value"),
    ],
)
def test_a_card_file_that_cannot_be_is_refused(was: str, becomes: str, why: str) -> None:
    text = GOOD.replace(was, becomes, 1) if was else "id = 3"
    with pytest.raises(ColourCardError, match=why if was else "card.toml") as refused:
        parse_card("card.toml", text.encode())
    assert refused.value.kind == "card_file"


def test_a_card_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ColourCardError, match="there are classic-24"):
        load_card("../../etc/passwd")
