"""What cannot be one fruit of the crop goes to a person: paper, hands, squares, giants, pictures without colours."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from grading import samples
from grading.calibrate import Coin
from grading.camera import Pixels, decode
from grading.detect import largest_contour
from grading.look import Given
from grading.plausible import is_of_one_hue, like_ellipse, waist_permille
from grading.report import grade_files
from grading.standard import load_standard

COIN_FOLDER = Path("images") / "ecust_fruit_coin" / "images"


def graded(pixels: Pixels, tmp_path: Path, **options: Any) -> dict[str, Any]:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), pixels)
    (report,) = grade_files([path], **options)
    return report


def rules(report: dict[str, Any]) -> set[str]:
    (fruit,) = report["fruits"]
    found = {reason["rule"] for reason in fruit["reasons"]}
    assert (fruit["tier"] == "doubtful") == any(rule.startswith("doubt-") for rule in found)
    return found


def drawn(draw: Any) -> NDArray[np.bool_]:
    mask = np.zeros((200, 200), np.uint8)
    draw(mask)
    return mask > 0


@pytest.mark.parametrize(
    ("draw", "low", "high"),
    [
        (lambda m: cv2.ellipse(m, (100, 100), (80, 55), 30, 0, 360, 1, -1), 0.99, 1),
        (lambda m: cv2.rectangle(m, (40, 40), (160, 160), 1, -1), 0.8, 0.9),
        (lambda m: [cv2.line(m, (100, 150), end, 1, 20) for end in ((30, 40), (100, 20), (170, 40))], 0, 0.8),
        (np.copy, 0, 0),
        (lambda m: cv2.line(m, (10, 10), (100, 10), 1, 1), 0, 0),
    ],
    ids=["ellipse", "square", "fingers", "nothing", "line"],
)
def test_how_like_an_ellipse_an_outline_is(draw: Any, low: float, high: float) -> None:
    assert low <= like_ellipse(drawn(draw)) <= high


@pytest.mark.parametrize(
    ("draw", "low", "high"),
    [
        (lambda m: cv2.ellipse(m, (100, 100), (80, 55), 30, 0, 360, 1, -1), 0, 15),
        (lambda m: [cv2.circle(m, (100, 100), 80, 1, -1), cv2.circle(m, (180, 60), 50, 0, -1)], 0, 15),
        (lambda m: [cv2.circle(m, (x, 100), 40, 1, -1) for x in (75, 125)], 90, 200),
        (lambda m: cv2.line(m, (10, 10), (100, 10), 1, 1), 0, 0),
    ],
    ids=["ellipse", "bitten once", "two discs", "line"],
)
def test_an_outline_of_two_bodies_has_a_waist(draw: Any, low: float, high: float) -> None:
    assert low <= waist_permille(largest_contour(drawn(draw).astype(np.uint8)).astype(np.int32)) <= high


def test_an_outline_that_crosses_itself_has_none() -> None:
    assert waist_permille(np.array([[0, 0], [40, 40], [40, 0], [0, 41]], np.int32)) == 0


def test_a_skin_of_one_hue_is_told_from_a_streaked_one() -> None:
    whole = np.ones((60, 60), bool)
    red = np.full((60, 60, 3), (40, 40, 190), np.uint8)
    assert is_of_one_hue(red, whole)
    streaked = red.copy()
    streaked[:, ::3] = (60, 170, 220)
    assert not is_of_one_hue(streaked, whole)
    assert not is_of_one_hue(red, np.zeros((60, 60), bool))


@pytest.mark.parametrize("times", [1, 5.5, 0.1])
def test_no_scale_makes_a_giant_or_a_dwarf_without_a_word(tmp_path: Path, times: float) -> None:
    report = graded(
        decode(samples.single(3).jpeg).pixels,
        tmp_path,
        standard=load_standard("mango"),
        references=[Given(round(samples.MM_PER_PX * times * 1e6))],
    )
    assert ("doubt-size" in rules(report)) == (times != 1)


def photograph(shared: Path, name: str) -> Pixels:
    return decode((shared / COIN_FOLDER / name).read_bytes()).pixels


@pytest.mark.shared
@pytest.mark.parametrize("name", ["apple016T_22.jpg", "tomato004T_10.jpg"])
def test_a_picture_without_colours_is_left_to_a_person(shared: Path, tmp_path: Path, name: str) -> None:
    grey = cv2.cvtColor(cv2.cvtColor(photograph(shared, name), cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    found = rules(graded(np.asarray(grey, np.uint8), tmp_path, standard=load_standard("apple"), references=[Coin()]))
    assert {"doubt-colour", "doubt-kind"} & found


@pytest.mark.shared
@pytest.mark.parametrize(("lobes", "shade", "rule"), [(0.0, 0.0, "doubt-flat"), (0.18, 0.5, "doubt-form")])
def test_a_red_thing_that_is_flat_or_has_lobes_is_no_tomato(
    shared: Path, tmp_path: Path, lobes: float, shade: float, rule: str
) -> None:
    pixels = photograph(shared, "apple014T_7.jpg")
    (fruit,) = graded(pixels, tmp_path, references=[Coin()])["fruits"]
    x1, y1, x2, y2 = fruit["box"]
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    radii = ((x2 - x1) / 2 + 6) * (1 + lobes * np.sin(3 * angles + 1) + lobes / 2 * np.sin(5 * angles))
    middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    outline = middle + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    thing = np.zeros(pixels.shape[:2], np.uint8)
    cv2.fillPoly(thing, [outline.astype(np.int32)], 1)
    light = 1 + shade * np.linspace(-1, 1, pixels.shape[1])[None, :, None] * np.ones((pixels.shape[0], 1, 1))
    shown = np.where(thing[..., None] > 0, np.array((40, 40, 190)) * light, pixels).clip(0, 255).astype(np.uint8)
    report = graded(shown, tmp_path, references=[Coin()])
    assert rule in rules({"fruits": [each for each in report["fruits"] if each["kind"] == "tomato"]})


@pytest.mark.shared
@pytest.mark.parametrize("name", ["tomato004T_1.jpg", "tomato004T_11.jpg", "tomato004T_27.jpg"])
def test_a_tomato_taken_for_an_apple_is_left_to_a_person(shared: Path, tmp_path: Path, name: str) -> None:
    report = graded(photograph(shared, name), tmp_path, references=[Coin()])
    assert report["fruits"][0]["kind"] == "apple", "the network names another kind now: choose other photographs"
    assert "doubt-kind" in rules(report)
