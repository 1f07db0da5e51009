"""Marks looked at again: hollows are none, real ones stay, and a better fruit never gets a worse class."""

import json
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.camera import to_lab
from grading.defects import KINDS, Defect, DefectModel, Found, shipped_model
from grading.detect import ClassicalDetector, SeesDefects
from grading.detectors import detector_described, detector_named
from grading.errors import EvidenceError
from grading.evidence import Looked, fruit_record, regrade
from grading.grade import grade
from grading.learned import load_model
from grading.look import DOUBTS, look
from grading.measure import Mark, Measures, measure
from grading.rendered_fruit import fruit
from grading.rendering import Camera, Light, Placed, lowest_mm, rendered
from grading.report import grade_files
from grading.second_look import decides, look_again, without_ends
from grading.standard import load_standard, load_tariff
from ledger.canonical import canonical
from tests.grading.conftest import setup, tray
from tests.grading.tiny_network import card, network

SIDE, AREA_PX, MM = 200, 30_000, 0.4
SIZES = ("blemish_mm2", "blemish_permille")


def _defect(kind: str, at: tuple[int, int], radius: int, score: int) -> Defect:
    part = np.zeros((2 * radius, 2 * radius), np.uint8)
    cv2.circle(part, (radius, radius), radius - 1, 1, -1)
    box = (at[0] - radius, at[1] - radius, 2 * radius, 2 * radius)
    return Defect(kind, score, box, part > 0, round(float(part.sum()) * MM * MM))


@cache
def _bare() -> Measures:
    yellow = np.zeros((SIDE, SIDE, 3), np.float32) + np.array([70, 10, 60], np.float32)
    disc = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(disc, (100, 100), 97, 1, -1)
    return measure(yellow, disc > 0, mm_per_px=MM, solid=load_standard("apple").solid)


def _measures(*marks: Mark) -> Measures:
    bare = _bare()
    total = sum(mark.area_mm2 for mark in marks)
    return replace(bare, marks=marks, blemish_mm2=total, blemish_permille=round(1000 * total / bare.area_mm2))


def _mark(x: int, y: int, side: int) -> Mark:
    return Mark("mark", (x, y, side, side), round(side * side * MM * MM), round(side * MM * 1000))


BOOKS = tuple((load_standard(crop), load_tariff()) for crop in ("apple", "citrus", "mango"))
STEM = _defect("stem", (100, 90), 6, 800)
marks = st.lists(st.builds(_mark, st.integers(0, 180), st.integers(0, 180), st.integers(2, 20)), max_size=6)
places = st.tuples(st.integers(20, 180), st.integers(20, 180))
finds = st.builds(
    Found,
    st.lists(st.builds(_defect, st.sampled_from(KINDS[2:]), places, st.integers(3, 15), st.integers(200, 1000))).map(
        tuple
    ),
    st.lists(
        st.builds(_defect, st.sampled_from(KINDS[:2]), places, st.integers(3, 15), st.integers(200, 1000)), max_size=2
    ).map(tuple),
)


def test_a_hollow_about_the_stem_is_no_mark_and_everything_else_is() -> None:
    hollow, beside = _mark(92, 82, 16), _mark(160, 90, 16)
    left = without_ends(_measures(hollow, beside), Found((), (STEM,)), area_px=AREA_PX)
    assert left.marks == (beside,)
    assert left.blemish_mm2 == beside.area_mm2
    assert without_ends(_measures(hollow), Found((), (STEM,)), area_px=AREA_PX).blemish_permille == 0
    assert without_ends(_measures(hollow, beside), Found((), ()), area_px=AREA_PX).marks == (hollow, beside)


def test_rot_that_starts_at_the_stem_stays_a_mark() -> None:
    rot = _mark(92, 82, 16)
    surer = _defect("rot", (100, 90), 14, 900)
    assert without_ends(_measures(rot), Found((surer,), (STEM,)), area_px=AREA_PX).marks == (rot,)
    less_sure = replace(surer, score_permille=700)
    assert without_ends(_measures(rot), Found((less_sure,), (STEM,)), area_px=AREA_PX).marks == ()


@settings(deadline=None, max_examples=60)
@given(marks, marks, finds)
def test_a_better_fruit_never_comes_out_worse(some: list[Mark], more: list[Mark], found: Found) -> None:
    """Whatever the network sees: nothing is added to colour's marks, and further marks never make less of them."""
    fewer, all_ = _measures(*some), _measures(*some, *more)
    left, left_of_all = (without_ends(each, found, area_px=AREA_PX) for each in (fewer, all_))
    for name in SIZES:
        assert getattr(left, name) <= getattr(fewer, name)
        assert getattr(left, name) <= getattr(left_of_all, name)
    assert set(left.marks) <= set(fewer.marks)
    assert set(left.marks) <= set(left_of_all.marks)
    for standard, tariff in BOOKS:
        better, worse = (grade(each, standard, tariff) for each in (left, left_of_all))
        assert tariff.rank(better.nominal_tier) <= tariff.rank(worse.nominal_tier)


def _model(folder: Path, *rows: tuple[float, ...]) -> DefectModel:
    return DefectModel(
        load_model(card(folder, network(np.array(rows), side=64), classes=list(KINDS), least_score_permille=250))
    )


def _row(box: tuple[float, float, float, float], score: float, kind: str) -> tuple[float, ...]:
    return (*box, score, KINDS.index(kind), 20.0, -40.0, 0.0)


def _red_square(side: int) -> tuple[np.ndarray, np.ndarray]:
    pixels, mask = np.full((SIDE, SIDE, 3), 60, np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(pixels, (100, 100), 97, (0, 220, 255), -1)
    cv2.circle(mask, (100, 100), 97, 1, -1)
    pixels[100 : 100 + side, 60 : 60 + side] = (0, 0, 255)
    return pixels, mask > 0


def test_what_only_one_of_them_sees_goes_to_a_person_where_the_class_hangs_on_it(tmp_path: Path) -> None:
    apple, tariff = load_standard("apple"), load_tariff()
    pixels, mask = _red_square(60)
    box = (18.0, 30.0, 40.0, 54.0)
    seen, blind = _model(tmp_path / "a", _row(box, 0.9, "rot")), _model(tmp_path / "b", _row(box, 0.1, "rot"))
    clean, marked = _measures(), _measures(_mark(60, 100, 60))

    def again(measures: Measures, model: DefectModel) -> tuple[bool, tuple[str, ...]]:
        told = look_again(pixels, mask, measures, model, standard=apple, tariff=tariff)
        assert told.measures == measures
        return told.is_doubted, told.kinds

    assert again(clean, seen) == (True, ())
    assert again(marked, blind) == (True, ("mark",))
    assert again(marked, seen) == (False, ("rot",)), "they agree, and the network names it"
    assert again(clean, blind) == (False, ())
    # So little that Extra allows it.
    assert again(_measures(_mark(60, 100, 6)), blind)[0] is False


def test_a_fruit_that_is_too_small_anyhow_is_not_asked_about() -> None:
    apple, tariff = load_standard("apple"), load_tariff()
    assert decides(_measures(), apple, tariff)
    small = replace(_measures(), equatorial_um=20_000, mass_g=10)
    assert not decides(small, apple, tariff)


@dataclass(frozen=True)
class _Checked:
    """The classical detector, and a network that looks at its marks again."""

    defects: DefectModel | None
    classical: ClassicalDetector = field(default_factory=ClassicalDetector)

    @property
    def description(self) -> dict[str, str | int]:
        told = "" if self.defects is None else self.defects.model.card.sha256
        return {**self.classical.description, "defects": told}

    def detect(self, pixels: np.ndarray, *, ignore: list[np.ndarray] = ()) -> list:  # type: ignore[type-arg]
        return self.classical.detect(pixels, ignore=ignore)


def test_a_record_says_what_was_left_out_and_grades_again_to_the_same_bytes(tmp_path: Path) -> None:
    """The tiny network masks what is red: on a mango's blush it sees rot, and a stem in the middle."""
    rows = (_row((8, 8, 56, 56), 0.8, "rot"), _row((24, 24, 40, 40), 0.9, "stem"))
    checked = replace(setup(), detector=_Checked(_model(tmp_path, *rows)))
    seen = look(tray(7), checked)
    assert all(each.again is not None for each in seen.fruit if "small" not in each.verdict.rule)
    assert any("marks" in each.doubts for each in seen.fruit)
    looked = Looked()
    for number, each in enumerate(seen.fruit, start=1):
        record = fruit_record(seen, each, crop="", number=number, run="run", setup=checked)
        told = json.loads(record)
        assert ("marksLeftOut" in told) == (each.again is not None)
        assert (told["verdict"]["tier"] == "doubtful") or "marks" not in told["doubts"]
        files = {"standard": checked.standard.data, "tariff": checked.tariff.data}
        assert regrade(record, tray(7), detector=checked.detector, looked=looked, **files) == each.verdict
        with pytest.raises(EvidenceError, match="another detector"):
            regrade(record, tray(7), detector=_Checked(None), **files)


def test_no_edition_before_the_fourth_asks_the_network(tmp_path: Path) -> None:
    checked = replace(setup(), detector=_Checked(_model(tmp_path, _row((8, 8, 56, 56), 0.8, "rot"))), edition=3)
    assert all(each.again is None and "marks" not in each.doubts for each in look(tray(7), checked).fruit)


def test_the_doubt_is_told_in_both_languages() -> None:
    assert DOUBTS["marks"].zh
    assert DOUBTS["marks"].en


def test_every_detector_that_learned_is_described_with_and_without_it() -> None:
    for name in ("learned", "both", "automatic"):
        told, older = (detector_named(name, looks_again=again).description for again in (True, False))
        added = {key: value for key, value in told.items() if key not in older}
        assert list(added.values()) == [shipped_model().model.card.sha256]
        # A record from before is graded again without it.
        found = detector_described(lambda each, older=older: each == canonical(dict(older)))
        assert isinstance(found, SeesDefects)
        assert found.defects is None
    assert "defects" not in detector_named("classical").description


@pytest.mark.parametrize("crop", ["apple", "citrus-qingjian"])
def test_numbers_are_compared_only_where_the_standard_counts_marks(tmp_path: Path, crop: str) -> None:
    """Eight specks against one mark of their size: for one standard the same, for the other another class."""
    standard, tariff = load_standard(crop), load_tariff()
    specks = _measures(*(_mark(20 + 20 * column, 100, 9) for column in range(8)))
    pixels, mask = _red_square(25)
    model = _model(tmp_path, _row((18, 30, 40, 54), 0.9, "scab"))
    told = look_again(pixels, mask, specks, model, standard=standard, tariff=tariff)
    assert told.network_mm2 == pytest.approx(specks.blemish_mm2, rel=0.4)
    assert told.is_doubted == (crop != "apple")


def _from_above(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """A sound drawn fruit whose stem leans towards the camera, cut to its box, and millimetres per pixel."""
    body = fruit(kind, np.random.default_rng(seed), marks=[])
    lean = 0.5
    rotation = np.array([[1.0, 0, 0], [0, np.cos(lean), np.sin(lean)], [0, -np.sin(lean), np.cos(lean)]])
    camera, ground = Camera(), np.full((480, 1280, 3), 0.25, np.float32)
    placed = Placed(1, body, (0, 0, lowest_mm(body, rotation)), rotation)
    shot = rendered(camera, [placed], Light(), ground, np.random.default_rng(2))
    x, y, w, h = shot.truth[0].box
    return np.ascontiguousarray(shot.pixels[y : y + h, x : x + w]), shot.truth[0].part, camera.mm_per_px


def test_sound_apples_lose_their_class_to_colour_and_get_it_back() -> None:
    apple, by_colour, again = load_standard("apple"), 0, 0
    for seed in range(1, 9):
        pixels, mask, mm = _from_above("apple", seed)
        seen = measure(to_lab(pixels), mask, mm_per_px=mm, solid=apple.solid, bands=apple.bands)
        left = look_again(pixels, mask, seen, shipped_model(), standard=apple, tariff=load_tariff()).measures
        by_colour += seen.blemish_mm2 > 40
        again += left.blemish_mm2 > 40
    assert by_colour >= 4, "else there is nothing to leave out"
    assert again <= 1


@pytest.mark.shared
def test_photographed_apples_that_no_network_was_trained_on_are_sound(shared: Path) -> None:
    """Seen from above, with their hollow; colour alone gives none of them the best class."""
    folder = shared / "images" / "ecust_fruit_coin" / "images"
    names = [folder / f"{name}.jpg" for name in ("apple001T_1", "apple001T_2", "apple012T_1", "apple012T_2")]
    apple = load_standard("apple")
    told = {
        again: [
            fruit["class"]
            for report in grade_files(names, standard=apple, detector=detector_named("automatic", looks_again=again))
            for fruit in report["fruits"]
        ]
        for again in (True, False)
    }
    assert told[True] == ["extra"] * 4
    assert told[False].count("extra") <= 1
