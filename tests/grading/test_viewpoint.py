"""From where a photograph was taken: what a table's edge and a coin beside the fruit say, drawn and real."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.calibrate import Coin, Polygon
from grading.camera import Pixels
from grading.detectors import AUTOMATIC, detector_named
from grading.evidence import fruit_record, regrade
from grading.look import EDITION, Setup, look
from grading.report import grade_files
from grading.standard import load_standard, load_tariff
from grading.viewpoint import horizon, is_from_side, most_are_level, stands_level

PHOTOGRAPHS = Path("images", "ecust_fruit_coin", "images")
FROM_SIDE = ("apple013S_1", "lemon001S_1", "litchi002S_1", "orange008S_1", "tomato004S_1")
FROM_ABOVE = ("apple013T_1", "lemon001T_1", "litchi002T_1", "orange008T_1", "tomato004T_1")


def room(
    *, at: float = 0.5, tilt: float = 0.0, wall: int = 90, table: int = 170, size: tuple[int, int] = (400, 300)
) -> Pixels:
    """A table before a wall, its far edge at a share of the picture's height, `tilt` degrees askew."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    is_table = y > at * height + np.tan(np.radians(tilt)) * (x - width / 2)
    grey = np.where(is_table, table, wall) + np.random.default_rng(3).normal(0, 3, (height, width))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def rim(x: float, y: float, radius: float) -> Polygon:
    turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    return np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.2, 0.8), st.floats(-6, 6), st.sampled_from([(400, 300), (300, 400), (600, 450)]))
def test_a_tables_edge_is_a_horizon_wherever_it_lies(at: float, tilt: float, size: tuple[int, int]) -> None:
    picture = room(at=at, tilt=tilt, size=size)
    seen, step = horizon(picture), horizon(room())
    assert seen > 0.6 * step > 9
    assert horizon(np.ascontiguousarray(picture[::-1])) == pytest.approx(seen, rel=0.2)


@settings(max_examples=30, deadline=None)
@given(st.integers(30, 225), st.integers(-60, 60), st.integers(-60, 60))
def test_a_bare_table_has_none_however_the_light_falls(grey: int, down: int, across: int) -> None:
    y, x = np.mgrid[-0.5:0.5:300j, -0.5:0.5:400j]
    light = np.clip(grey + down * y + across * x, 0, 255).astype(np.uint8)
    assert horizon(np.repeat(light[..., None], 3, axis=2)) < 3


def test_an_upright_edge_is_none() -> None:
    assert horizon(np.ascontiguousarray(room().transpose(1, 0, 2))) < 3


def test_a_picture_of_a_few_rows_has_none() -> None:
    assert horizon(np.zeros((4, 900, 3), np.uint8)) == 0


coins = st.tuples(st.floats(0, 800), st.floats(0, 600), st.floats(8, 60))
boxes = st.tuples(st.integers(0, 800), st.integers(0, 600), st.integers(20, 300), st.integers(20, 300))


@settings(max_examples=80, deadline=None)
@given(coins, boxes, st.integers(-300, 300), st.sampled_from([1, 2, 4]))
def test_standing_level_is_the_same_anywhere_and_mirrored(
    coin: tuple[float, float, float], box: tuple[int, int, int, int], shift: int, zoom: int
) -> None:
    x, y, w, h = box
    # Eighths of a pixel are added and doubled without rounding, so that nothing hangs on the last bit.
    seen = np.asarray(np.rint(rim(*coin) * 8) / 8, np.float32)
    here = stands_level(seen, box)
    assert stands_level(seen + np.float32(shift), (x + shift, y + shift, w, h)) == here
    assert stands_level(seen * np.float32(zoom), (x * zoom, y * zoom, w * zoom, h * zoom)) == here
    mirrored = seen * np.float32([-1, 1])
    assert stands_level(mirrored, (-x - w, y, w, h)) == here


def test_both_signs_are_needed() -> None:
    beside, above = rim(60, 180, 20), rim(60, 60, 20)
    fruit = (150, 100, 100, 100)
    bare = np.full((300, 400, 3), 150, np.uint8)
    assert is_from_side(room(), beside, [fruit])
    assert not is_from_side(room(), above, [fruit])
    assert not is_from_side(bare, beside, [fruit])
    assert not is_from_side(room(), beside, [])
    assert is_from_side(room(), beside, [(150, 0, 50, 50), fruit]), "one beside it will do"


def test_the_clearer_the_tables_edge_the_less_exactly_need_they_be_level() -> None:
    fruit, askew = (150, 100, 100, 100), rim(60, 210, 20)
    assert not stands_level(askew, fruit)
    clear, faint = room(), room(wall=150, table=172)
    assert horizon(clear) > 10 > horizon(faint) > 6
    assert is_from_side(clear, askew, [fruit])
    assert not is_from_side(faint, askew, [fruit])
    assert is_from_side(faint, rim(60, 180, 20), [fruit])


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 1000)), max_size=6))
def test_most_are_level_by_how_sure_they_are(fruit: list[tuple[bool, int]]) -> None:
    level, scores = [yes for yes, _ in fruit], [score for _, score in fruit]
    assert not (most_are_level(level, scores) and most_are_level([not yes for yes in level], scores))
    assert most_are_level([*level, True], [*scores, sum(scores) + 1])
    assert not most_are_level([*level, False], [*scores, sum(scores)])


# --- real photographs --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reports(shared: Path) -> dict[str, dict[str, object]]:
    paths = [shared / PHOTOGRAPHS / f"{name}.jpg" for name in (*FROM_SIDE, *FROM_ABOVE)]
    return {Path(each["image"]).stem: each for each in grade_files(paths, references=[Coin()])}


def rules(report: dict) -> set[str]:
    return {reason["rule"] for fruit in report["fruits"] for reason in fruit["reasons"]}


@pytest.mark.shared
def test_photographs_from_the_side_are_known_and_those_from_above_are(reports: dict[str, dict]) -> None:
    told = {name: (report["scale"]["view"], report["scale"]["view_from"]) for name, report in reports.items()}
    assert sum(told[name] == ("side", "seen") for name in FROM_SIDE) >= len(FROM_SIDE) - 1
    assert sum(told[name] == ("above", "seen") for name in FROM_ABOVE) >= len(FROM_ABOVE) - 1


@pytest.mark.shared
def test_from_the_side_fruit_are_measured_as_such_and_left_to_a_person(shared: Path, reports: dict[str, dict]) -> None:
    rows = csv.DictReader((shared / PHOTOGRAPHS.parent / "size.csv").read_text().splitlines())
    true = {row["file"].removesuffix(".jpg"): row for row in rows}
    off, inside = [], []
    for name in FROM_SIDE:
        report = reports[name]
        assert "doubt-view" in rules(report)
        assert {fruit["tier"] for fruit in report["fruits"]} == {"doubtful"}
        best = max(report["fruits"], key=lambda fruit: fruit["confidence"])
        off.append(abs(best["sphere_mm"] - float(true[name]["equiv_sphere_mm"])))
        low, high = best["mass_g_interval"]
        inside.append(low <= float(true[name]["weight_g"]) <= high)
    assert np.mean(off) < 5
    assert sum(inside) >= len(inside) - 2


def _coin_setup(**named: object) -> Setup:
    detector = detector_named(AUTOMATIC)
    return Setup(load_standard("citrus"), load_tariff(), Coin(), 684, detector, **named)  # type: ignore[arg-type]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("view", "edition", "told"),
    [
        ("automatic", EDITION, ("side", "seen")),
        ("above", EDITION, ("above", "given")),
        ("automatic", 4, ("above", "assumed")),
    ],
)
def test_a_record_says_the_view_and_grades_again_by_it(
    shared: Path, view: str, edition: int, told: tuple[str, str]
) -> None:
    frame = (shared / PHOTOGRAPHS / "orange008S_1.jpg").read_bytes()
    setup = _coin_setup(view=view, edition=edition)
    seen = look(frame, setup)
    assert (seen.view, seen.view_from) == told
    (fruit,) = seen.fruit
    record = fruit_record(seen, fruit, crop="", number=1, run="run", setup=setup)
    assert (f'"view":"{told[0]}"'.encode() in record) == (edition > 4)
    assert ("view" in fruit.doubts) == (view == "automatic"), "the fourth edition doubted, and measured from above"
    again = regrade(record, frame, standard=setup.standard.data, tariff=setup.tariff.data)
    assert again == fruit.verdict


@pytest.mark.shared
def test_what_a_person_says_of_the_view_holds(shared: Path) -> None:
    frame = (shared / PHOTOGRAPHS / "orange008S_1.jpg").read_bytes()
    seen, side, above = (look(frame, _coin_setup(view=view)) for view in ("automatic", "side", "above"))
    assert side.fruit[0].measures == seen.fruit[0].measures
    assert side.camera_height_um is seen.camera_height_um is None
    assert {"view", "level"}.isdisjoint(side.fruit[0].doubts + above.fruit[0].doubts)
    assert above.fruit[0].measures.volume_mm3 < 0.8 * side.fruit[0].measures.volume_mm3


@pytest.mark.shared
def test_level_by_chance_without_a_horizon_stays_a_view_from_above_with_a_doubt(shared: Path) -> None:
    pixels = cv2.imread(str(shared / PHOTOGRAPHS / "orange013T_3.jpg"))
    ok, frame = cv2.imencode(".png", pixels)
    assert ok
    seen = look(frame.tobytes(), _coin_setup())
    assert (seen.view, seen.view_from) == ("above", "seen")
    assert all("level" in fruit.doubts for fruit in seen.fruit)
