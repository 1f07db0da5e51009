"""What ground the fruit lie on decides whom to ask; on a belt nothing gets worse than by colour alone."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from grading import samples
from grading.automatic import AutomaticDetector, Ground, _cut_or_not, _cut_out, _starts, _whole_bananas, ground_of
from grading.camera import decode
from grading.detect import Detection, box_overlap
from grading.detectors import AUTOMATIC, detector_named
from grading.evidence import fruit_record, regrade
from grading.look import look
from tests.grading.conftest import setup, tray


def wood() -> np.ndarray:
    rng = np.random.default_rng(3)
    grain = cv2.GaussianBlur(rng.normal(0, 30, (400, 600, 1)).astype(np.float32), (0, 0), sigmaX=9, sigmaY=1)
    return np.clip(np.array([95.0, 145, 195]) + grain[..., None], 0, 255).astype(np.uint8)


def leaves() -> np.ndarray:
    rng = np.random.default_rng(3)
    noise = cv2.GaussianBlur(rng.normal(0, 1, (400, 600, 3)).astype(np.float32), (0, 0), 1.5)
    return np.clip(np.array([60.0, 120, 90]) + 160 * noise, 0, 255).astype(np.uint8)


def test_the_pictures_edge_tells_the_ground() -> None:
    assert ground_of(decode(tray(7)).pixels) == Ground.PLAIN
    assert ground_of(samples.single(1).pixels) == Ground.PLAIN
    assert ground_of(wood()) == Ground.OTHER
    assert ground_of(leaves()) == Ground.BUSY
    assert ground_of(cv2.resize(leaves(), None, fx=3, fy=3)) == Ground.BUSY, "whatever the picture's size"


def test_on_a_belt_every_fruit_is_what_colour_alone_says_it_is() -> None:
    by_colour = look(tray(7), setup())
    automatic = look(tray(7), replace(setup(), detector=detector_named(AUTOMATIC)))
    assert len(automatic.fruit) == len(by_colour.fruit) == 12
    for ours, theirs in zip(automatic.fruit, by_colour.fruit, strict=True):
        assert ours.detection.box == theirs.detection.box
        assert {"kind", "marks"} & {*ours.doubts} or ours.verdict.tier == theirs.verdict.tier
        assert ours.measures.length_um == theirs.measures.length_um
        assert "kind" in ours.doubts or ours.measures.mass_g == theirs.measures.mass_g
        assert ours.detection.kind, "and the network says what it is"
    assert sum("kind" in each.doubts for each in automatic.fruit) <= 2, "a drawn mango may look like an orange"


@pytest.mark.parametrize("half_width", [14, 20])
def test_a_stand_that_colour_takes_for_fruit_is_left_out(half_width: int) -> None:
    automatic = detector_named(AUTOMATIC)
    pixels = decode(tray(7)).pixels.copy()
    x, y, w, h = max(automatic.detect(pixels), key=lambda each: each.score_permille).box
    middle = x + w // 2
    cv2.rectangle(pixels, (middle - half_width, y + h - 10), (middle + half_width, y + h + 60), (40, 40, 200), -1)

    def lowest(name: str) -> int:
        found = detector_named(name).detect(pixels)
        return max(e.y + e.mask.shape[0] for e in found if abs(e.x - x) < 20 and abs(e.y - y) < 20)

    assert lowest("classical") > y + h + 40
    assert abs(lowest(AUTOMATIC) - (y + h)) < 12


def test_a_fruit_graded_so_is_graded_again_so() -> None:
    used = replace(setup(), detector=detector_named(AUTOMATIC))
    seen = look(tray(8), used)
    record = fruit_record(seen, seen.fruit[3], crop="", number=1, run="run", setup=used)
    assert regrade(record, tray(8), standard=used.standard.data, tariff=used.tariff.data) == seen.fruit[3].verdict


def cut_out(rng: np.random.Generator, shave: int = 0) -> np.ndarray:
    """A fruit, red on one side and yellow on the other, cut out of its photograph and trimmed on white."""
    y, x = np.mgrid[-1:1:240j, -1:1:300j]
    inside = x * x + y * y < 1
    share = (x[..., None] + 1) / 2
    skin = share * np.array([40, 180, 235]) + (1 - share) * np.array([40, 45, 150])
    skin = skin * (1 - 0.45 * (x * x + y * y)[..., None]) + rng.normal(0, 3, (240, 300, 1))
    picture = np.where(inside[..., None], skin, 255.0)
    picture[(x - 0.3) ** 2 + (y + 0.4) ** 2 < 0.01] = 255  # a highlight
    return np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8)[:, shave:])


def test_a_fruit_cut_out_and_trimmed_is_one_whole_fruit() -> None:
    rng = np.random.default_rng(4)
    (fruit,) = detector_named(AUTOMATIC).detect(cut_out(rng))
    assert fruit.mask.mean() == pytest.approx(np.pi / 4, abs=0.03)
    assert fruit.box[2] > 290, "both of its colours"
    assert not fruit.is_cut
    (half,) = detector_named(AUTOMATIC).detect(cut_out(rng, shave=110))
    assert half.is_cut
    pieces = detector_named("classical").detect(cut_out(rng))
    assert all(each.mask.sum() < 0.7 * fruit.mask.sum() for each in pieces), "colour alone takes it to pieces"


def test_other_pictures_have_their_ground() -> None:
    assert _cut_out(decode(tray(7)).pixels) is None
    assert _cut_out(samples.single(1).pixels) is None
    assert _cut_out(wood()) is None
    assert _cut_out(np.full((300, 300, 3), 255, np.uint8)) is None


def test_finds_are_not_kept_for_another_picture() -> None:
    detector = detector_named(AUTOMATIC)
    assert isinstance(detector, AutomaticDetector)
    first, second = samples.single(1).pixels, samples.single(2).pixels
    alone = [each.box for each in AutomaticDetector(detector.learned).detect(second)]
    detector.detect(first)
    assert [each.box for each in detector.detect(second)] == alone
    changed = second.copy()
    changed[:] = 90
    assert detector.detect(changed) == []


@pytest.mark.parametrize("length", [300, 540, 541, 900, 1080, 1920, 4000])
def test_parts_cover_a_picture_and_overlap(length: int) -> None:
    starts = _starts(length)
    assert starts[0] == 0
    assert starts[-1] + 540 >= length
    assert all(b - a <= 0.76 * 540 for a, b in pairwise(starts))


@pytest.mark.parametrize(("missing", "is_cut"), [(0, False), (1, False), (8, True), (60, True)])
def test_a_fruit_that_only_touches_the_edge_is_whole(missing: int, *, is_cut: bool) -> None:
    """A disc 200 pixels wide of which the picture's edge takes so many pixels."""
    ys, xs = np.mgrid[:200, :200]
    disc = ((xs - 99.5) ** 2 + (ys - 99.5) ** 2 < 100**2)[:, missing:]
    outline = np.array([[0, 0]], np.int32)
    fruit = Detection(0, 100, disc, outline, 900, is_cut=True)
    assert _cut_or_not(fruit, np.zeros((500, 700, 3), np.uint8)).is_cut == is_cut


def piece(*points: tuple[int, int], kind: str = "banana", score: int = 700, width: int = 60) -> Detection:
    """A drawn piece of something bent, along these points."""
    canvas = np.zeros((800, 1000), np.uint8)
    cv2.polylines(canvas, [np.array(points, np.int32)], isClosed=False, color=1, thickness=width)
    (contour,), _ = cv2.findContours(canvas, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    x, y, w, h = cv2.boundingRect(contour)
    return Detection(x, y, canvas[y : y + h, x : x + w] > 0, contour.reshape(-1, 2), score, is_cut=False, kind=kind)


LEFT = ((150, 200), (220, 380), (380, 500))
RIGHT = ((455, 525), (640, 560), (820, 500))


def test_two_halves_of_a_banana_are_one() -> None:
    (whole,) = _whole_bananas([piece(*LEFT, score=300), piece(*RIGHT)])
    assert whole.corners == pytest.approx((120, 170, 850, 591), abs=8)
    assert whole.score_permille == 700
    assert int(whole.mask.sum()) >= sum(int(piece(*half).mask.sum()) for half in (LEFT, RIGHT))
    assert len(_whole_bananas([piece(*LEFT), piece(*RIGHT), piece((880, 480), (900, 420), width=40)])) == 1


def test_two_bananas_beside_one_another_or_apart_stay_two() -> None:
    beside = [piece(*[(x + dx, y) for x, y in LEFT]) for dx in (0, 75)]
    assert _whole_bananas(beside) == beside
    apart = [piece(*LEFT), piece(*[(x + 90, y) for x, y in RIGHT])]
    assert _whole_bananas(apart) == apart


def test_touching_fruit_of_other_kinds_stay_two() -> None:
    pears = [piece(*half, kind="pear") for half in (LEFT, RIGHT)]
    assert _whole_bananas(pears) == pears


@pytest.mark.parametrize(("at", "across", "is_cut"), [(470, 24, True), (470, 60, False), (300, 24, False)])
def test_a_speck_at_the_pictures_edge_may_be_cut_and_a_fruit_there_is_whole(
    at: int, across: int, *, is_cut: bool
) -> None:
    automatic = detector_named(AUTOMATIC)
    assert isinstance(automatic, AutomaticDetector)
    speck = Detection(at, 100, np.ones((across, across), np.bool_), np.array([[0, 0]], np.int32), 900, is_cut=False)
    picture = np.zeros((400, 496 if across == 24 else 532, 3), np.uint8)
    assert automatic._cut_if_speck(speck, picture).is_cut == is_cut


def test_an_older_record_is_graded_again_by_the_detector_of_its_time() -> None:
    older = AutomaticDetector(detector_named(AUTOMATIC).learned, edition=1)
    given = replace(setup(), detector=older, edition=3)
    seen = look(tray(7), given)
    record = fruit_record(seen, seen.fruit[0], crop="", number=1, run="run", setup=given)
    assert older.description["version"] == "v1"
    assert b'"guoyuan-fruit-record/3"' in record
    again = regrade(record, tray(7), standard=given.standard.data, tariff=given.tariff.data)
    assert again == seen.fruit[0].verdict


@pytest.mark.shared
@pytest.mark.parametrize(("name", "box"), [("orange003S_4", None), ("tomato004S_19", (494, 147, 692, 290))])
def test_what_the_network_missed_it_may_see_with_the_picture_turned(
    shared: Path, name: str, box: tuple[int, int, int, int] | None
) -> None:
    pixels = decode((shared / "images" / "ecust_fruit_coin" / "images" / f"{name}.jpg").read_bytes()).pixels
    newer = detector_named(AUTOMATIC)
    assert isinstance(newer, AutomaticDetector)
    older = AutomaticDetector(newer.learned, edition=1)
    if box is None:
        assert not older.coins(pixels)
        assert newer.coins(pixels)
    else:
        assert not older.detect(pixels)
        assert max(box_overlap(each.corners, box) for each in newer.detect(pixels)) > 0.7
