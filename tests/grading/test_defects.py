"""Defects by network: what its answer becomes, what it is taught, and how it is told apart from colour alone."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest

from grading import defect_data, defect_report, defects
from grading.dataset import read_folder
from grading.defects import KINDS, DefectModel, defects_mm2, on_grey, shipped_model
from grading.errors import DatasetError, ModelFileError
from grading.learned import load_model
from grading.rendered_fruit import Wanted, fruit
from grading.rendering import Camera, Light, Placed, lowest_mm, rendered
from tests.grading.tiny_network import card, network

RED, YELLOW = (0, 0, 255), (0, 220, 255)
SIDE = 64


def _fruit(*, marked: bool) -> tuple[np.ndarray, np.ndarray]:
    """A yellow disc of 128 pixels, and a red square on it."""
    pixels = np.full((128, 128, 3), 60, np.uint8)
    mask = np.zeros((128, 128), np.uint8)
    cv2.circle(pixels, (64, 64), 62, YELLOW, -1)
    cv2.circle(mask, (64, 64), 62, 1, -1)
    if marked:
        pixels[40:72, 48:80] = RED
    return pixels, mask.astype(bool)


def _model(folder: Path, *rows: tuple[float, ...]) -> DefectModel:
    """Weights -40 on green: yellow and grey are outside, red inside."""
    made = network(np.array(rows), side=SIDE)
    return DefectModel(load_model(card(folder, made, classes=list(KINDS), least_score_permille=250)))


def _row(box: tuple[float, float, float, float], score: float, kind: str) -> tuple[float, ...]:
    # The prototypes are the input's red, green, blue: red without green is what counts.
    return (*box, score, KINDS.index(kind), 20.0, -40.0, 0.0)


def test_a_mark_has_its_kind_its_place_and_its_square_millimetres(tmp_path: Path) -> None:
    pixels, mask = _fruit(marked=True)
    model = _model(tmp_path, _row((20, 16, 44, 40), 0.8, "scab"))
    (found,) = model.find(pixels, mask, mm_per_px=0.5)
    assert (found.kind, found.score_permille) == ("scab", 800)
    # 32 x 32 pixels of 0.5 mm; the network's cells are 8 of the fruit's pixels wide.
    assert found.area_mm2 == pytest.approx(256, rel=0.15)
    left, top, wide, high = found.box
    assert (left, top, left + wide, top + high) == pytest.approx((48, 40, 80, 72), abs=3)
    assert defects_mm2([found, found], mm_per_px=0.5) == found.area_mm2
    assert defects_mm2([], mm_per_px=0.5) == 0


def test_a_clean_fruit_has_none_and_neither_stem_nor_calyx_is_one(tmp_path: Path) -> None:
    pixels, mask = _fruit(marked=True)
    box = (20, 16, 44, 40)
    assert _model(tmp_path / "a", _row(box, 0.9, "stem"), _row(box, 0.2, "scab")).find(pixels, mask, mm_per_px=1) == []
    assert _model(tmp_path / "b", _row(box, 0.2, "scab")).find(pixels, mask, mm_per_px=1) == []
    clean, _ = _fruit(marked=False)
    assert _model(tmp_path / "c", _row(box, 0.9, "scab")).find(clean, mask, mm_per_px=1) == []


def test_what_may_be_of_two_kinds_is_one_defect_and_surer_for_it(tmp_path: Path) -> None:
    pixels, mask = _fruit(marked=True)
    rows = (_row((20, 16, 44, 40), 0.2, "rot"), _row((20, 16, 44, 41), 0.15, "bruise"))
    (found,) = _model(tmp_path, *rows).find(pixels, mask, mm_per_px=1)
    assert (found.kind, found.score_permille) == ("rot", 350)


def test_nothing_outside_the_fruit_is_its_defect(tmp_path: Path) -> None:
    pixels, mask = _fruit(marked=False)
    pixels[:16, :16] = RED  # beside the fruit
    assert _model(tmp_path, _row((0, 0, 64, 64), 0.9, "rot")).find(pixels, mask, mm_per_px=1) == []


def test_weights_that_are_not_the_cards_are_refused(tmp_path: Path) -> None:
    file = card(tmp_path, network(np.array([_row((0, 0, 1, 1), 0.1, "rot")]), side=SIDE), classes=list(KINDS))
    weights = tmp_path / "tiny.onnx"
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(ModelFileError, match="SHA-256"):
        load_model(file)


def test_a_fruit_on_grey_is_all_that_is_left_of_the_picture() -> None:
    pixels, mask = _fruit(marked=True)
    wide = np.concatenate([pixels, pixels], axis=1)
    seen = on_grey(wide, np.concatenate([mask, np.zeros_like(mask)], axis=1), 96)
    assert seen.pixels.shape == (96, 96, 3)
    assert (seen.pixels[~seen.mask] == 114).all()
    assert int(seen.mask.sum()) == pytest.approx(int(mask.sum()) * seen.scale**2, rel=0.03)


# --- what it is taught ----------------------------------------------------------------------------


def test_drawn_fruit_come_with_outlines_of_what_is_on_them() -> None:
    samples = list(defect_data.drawn_fruit(24, side=128, seed=5))
    assert len(samples) == 24
    kinds = {kind for sample in samples for kind, _ in sample.regions}
    assert kinds <= set(KINDS)
    assert {"stem", "calyx"} & kinds
    marked = [sample for sample in samples if any(kind not in ("stem", "calyx") for kind, _ in sample.regions)]
    assert len(marked) >= 14
    for sample in samples:
        assert 0.4 < sample.mm_per_px < 1.6
        for _, outline in sample.regions:
            middle = outline.mean(axis=0).astype(int)
            assert sample.mask[max(0, middle[1] - 6) : middle[1] + 7, max(0, middle[0] - 6) : middle[0] + 7].any()
    again = list(defect_data.drawn_fruit(3, side=128, seed=5))
    assert [sha256(a.pixels.tobytes()).digest() for a in again] == [
        sha256(b.pixels.tobytes()).digest() for b in samples[:3]
    ]


def test_painted_marks_are_where_their_outlines_say_and_nowhere_else() -> None:
    painted = 0
    for seed, sample in enumerate(defect_data.drawn_fruit(6, side=128, seed=6)):
        made, again = (defect_data.painted(sample, np.random.default_rng(seed)) for _ in range(2))
        assert made.pixels.tobytes() == again.pixels.tobytes()
        assert made.regions[: len(sample.regions)] == sample.regions
        changed = (made.pixels.astype(int) - sample.pixels).any(axis=2)
        assert not changed[~sample.mask].any()
        new = np.zeros(changed.shape, np.uint8)
        for kind, outline in made.regions[len(sample.regions) :]:
            assert kind == "mark"
            cv2.fillPoly(new, [np.rint(outline).astype(np.int32)], 1)
            painted += 1
        # Their edges are soft: half of what a mark darkens lies outside its outline.
        assert not changed[cv2.dilate(new, np.ones((19, 19))) == 0].any()
        assert changed[cv2.erode(new, np.ones((3, 3))) > 0].all()
    assert painted >= 6


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Four photographs of four lemons with outlines, two of them with a defect."""
    folder = tmp_path / "house"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    (folder / "data.yaml").write_text("names: [lemon, pedicel, defect]\n")
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([0.5 + 0.3 * np.cos(turns), 0.5 + 0.3 * np.sin(turns)], axis=1)
    for index, name in enumerate("abcd"):
        pixels, _ = _fruit(marked=index < 2)
        cv2.imwrite(str(folder / "images" / f"{name}_1.png"), cv2.resize(pixels, (160, 160)))
        lines = ["0 " + " ".join(f"{value:.4f}" for value in ring.ravel())]
        if index < 2:
            lines.append("2 0.40 0.35 0.60 0.35 0.60 0.55 0.40 0.55")
        lines.append("1 0.48 0.20 0.52 0.20 0.50 0.26")
        (folder / "labels" / f"{name}_1.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_a_data_set_parts_fruit_and_turns_real_ones(house: Path, tmp_path: Path) -> None:
    training, held_out = defect_data.split(read_folder(house), seed=1)
    assert {photo.fruit for photo in training}.isdisjoint({photo.fruit for photo in held_out})
    # Of those with a defect and of those without, one each.
    assert {photo.fruit in "ab" for photo in held_out} == {True, False}
    told = defect_data.prepare(training, held_out, tmp_path / "out", drawn=20, side=64)
    assert (told.drawn, told.real, told.held_out_drawn, told.held_out_real) == (20, 28, 2, 2)
    assert len(list((tmp_path / "out" / "images" / "train").iterdir())) == 48
    names = {
        line.split()[0]
        for file in (tmp_path / "out" / "labels" / "train").glob("real-*")
        for line in file.read_text().splitlines()
    }
    assert {KINDS[int(name)] for name in names} == {"stem", "mark"}
    with pytest.raises(DatasetError, match="is not empty"):
        defect_data.prepare(training, held_out, tmp_path / "out", drawn=20, side=64)
    with pytest.raises(DatasetError, match="held-out fruit"):
        defect_data.prepare(training, training, tmp_path / "other", drawn=20, side=64)


def test_boxes_alone_are_refused(house: Path, tmp_path: Path) -> None:
    for file in (house / "labels").iterdir():
        file.write_text("0 0.5 0.5 0.6 0.6\n")
    with pytest.raises(DatasetError, match="outlines are needed"):
        defect_data.prepare(read_folder(house), [], tmp_path / "out", drawn=0, side=64)


# --- what it can do -------------------------------------------------------------------------------


def test_average_precision_is_the_area_under_the_curve() -> None:
    assert defect_report.average_precision([], 3) == 0.0
    assert defect_report.average_precision([], 0) is None
    assert defect_report.average_precision([(900, True), (800, True)], 2) == 1.0
    # Right, wrong, right of two: (1 + 2/3) / 2.
    assert defect_report.average_precision([(900, True), (800, False), (700, True)], 2) == pytest.approx(
        0.833, abs=1e-3
    )


def test_a_report_tells_network_and_colour_apart_and_drawn_from_real(house: Path, tmp_path: Path) -> None:
    model = _model(tmp_path / "model", _row((0, 0, 64, 64), 0.8, "mark"))
    real = defect_report.report(defect_data.held_out_real(read_folder(house), side=64), model)
    assert (real["fruit"], real["defects"]) == (4, 2)
    assert real["network"]["recall"] == real["network"]["precision"] == 1.0
    assert real["network"]["clean_fruit_with_a_mark"] == 0.0
    assert set(real["colour"]) == set(real["network"])
    drawn = defect_report.report(defect_data.drawn_fruit(8, side=64, seed=2), model)
    assert drawn["network"]["area_mean_mm2"] > 0
    assert drawn["colour"]["area_mean_mm2"] == drawn["network"]["area_mean_mm2"]
    defect_report.write({"drawn": drawn, "real": real}, tmp_path / "r.json", tmp_path / "r.svg")
    assert json.loads((tmp_path / "r.json").read_text())["real"]["defects"] == 2
    assert (tmp_path / "r.svg").read_text().count("<rect") > 20


# --- the model that comes with the product --------------------------------------------------------


def _drawn(kind: str, *wanted: Wanted, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """A drawn fruit under the camera, cut to its box, and millimetres per pixel of the belt."""
    body = fruit(kind, np.random.default_rng(seed), marks=list(wanted))
    # The body's x axis points up, at the camera.
    rotation = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
    camera, ground = Camera(), np.full((480, 1280, 3), 0.25, np.float32)
    placed = Placed(1, body, (0, 0, lowest_mm(body, rotation)), rotation)
    shot = rendered(camera, [placed], Light(), ground, np.random.default_rng(2))
    x, y, w, h = shot.truth[0].box
    return np.ascontiguousarray(shot.pixels[y : y + h, x : x + w]), shot.truth[0].part, camera.mm_per_px


def test_most_scabs_are_found_where_they_are_and_clean_fruit_have_none() -> None:
    """It is no more than a cross-check: the few it misses are why."""
    found = clean = 0
    for kind in ("orange", "apple", "tomato", "lemon"):
        for seed in (1, 2, 3):
            pixels, mask, mm = _drawn(kind, seed=seed)
            clean += not shipped_model().find(pixels, mask, mm_per_px=mm)
            pixels, mask, mm = _drawn(kind, Wanted("scab", 150, (1, 0, 0)), seed=seed)
            h, w = mask.shape
            for each in shipped_model().find(pixels, mask, mm_per_px=mm):
                left, top, wide, high = each.box
                if left < w / 2 < left + wide and top < h / 2 < top + high:
                    found += 100 < each.area_mm2 < 300
    assert found >= 8
    assert clean >= 10


def test_the_shipped_report_is_about_the_shipped_weights(tmp_path: Path) -> None:
    folder = Path(defects.__file__).parent / "weights"
    report = json.loads((folder / "defects.report.json").read_text())
    told = shipped_model().model.card
    assert told.classes == KINDS
    assert report["model"]["sha256"] == told.sha256
    shutil.copy(folder / "defects.toml", tmp_path)
    weights = bytearray((folder / "defects.onnx").read_bytes())
    weights[len(weights) // 2] ^= 1
    (tmp_path / "defects.onnx").write_bytes(weights)
    with pytest.raises(ModelFileError, match="SHA-256"):
        load_model(tmp_path / "defects.toml")


@pytest.mark.shared
def test_on_real_lemons_it_is_no_basis_for_a_verdict(shared: Path) -> None:
    """What grading/README.md says of held-out lemons; when this fails because it got better, say so there."""
    _, held_out = defect_data.split(read_folder(shared / "images" / "lemon_polygons"), seed=1)
    assert {photo.fruit for photo in held_out} == {"lemon2", "lemon4", "lemon9"}
    told = defect_report.report(defect_data.held_out_real(held_out, side=128), shipped_model())
    assert (told["fruit"], told["defects"]) == (21, 11)
    assert told["network"]["recall"] == 0.0
