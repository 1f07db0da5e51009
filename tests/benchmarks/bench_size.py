# ruff: noqa: T201  # a benchmark is read on the terminal
"""Diameter of real fruit beside a coin, against the sphere of their measured volume: the geometric model and baselines.

Every photograph of one nearly round fruit (`GUOYUAN_SHARED`, ECUSTFD) is looked at as `guoyuan grade` does.
From above, three ways to make millimetres of the same pixels: none (the coin's scale alone), one factor, and the
geometry with one focal length. From the side, where the coin stands upright beside the fruit: taken for a view from
above, calipers at the coin's distance (what `--view side` once was), and the geometry with one height of the camera.
Factor, focal length and height are fitted to other fruit than they are judged by: ten parts by physical fruit, each
judged with what the other nine gave. Intervals: fruit drawn again 2,000 times. How often the view is told right is
counted on all photographs, several fruit and bananas too.
"""

import csv
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from grading.automatic import AutomaticDetector
from grading.calibrate import Coin, Scale, find_scale
from grading.camera import Pixels, decode
from grading.detect import Detection
from grading.detectors import AUTOMATIC, detector_named
from grading.errors import CannotGradeError
from grading.learned import shipped
from grading.measure import CAMERA_ABOVE_MM, Beside, belt_to_fruit, beside_to_fruit, feret_px
from grading.report import ASSUMED_FOCAL_MM
from grading.viewpoint import is_from_side, stands_level

pytestmark = [pytest.mark.benchmark, pytest.mark.shared]
KINDS = ("apple", "orange", "peach", "plum", "tomato", "kiwi", "lemon", "mango", "pear", "litchi")
PARTS = 10
FOCALS = [share / 1000 for share in range(450, 1300, 10)]
"""Focal lengths that are tried, in shares of the picture's diagonal."""
FACTORS = [factor / 1000 for factor in range(700, 1101, 5)]
HEIGHTS = [float(height) for height in range(40, 301, 5)]
"""Heights of the camera above the table, in mm, that are tried for photographs from the side."""
MISFILED = {"apple001S_1.jpg": "top", "mix002S_4.jpg": "top", "mix002T_4.jpg": "side"}
"""Photographs whose name says another view than they show."""


@dataclass(frozen=True)
class Case:
    """One photograph: what was measured in pixels, and the truth."""

    fruit: str
    kind: str
    true_mm: float
    length_px: float
    width_px: float
    mm_per_px: float
    away: float
    """Distance of the fruit from the middle of the picture, in its diagonals."""
    diagonal_px: float
    circle_px: float
    """Diameter of the circle with the outline's area."""
    lower_px: float
    """How much lower in the picture than the coin it ends."""
    view: str
    seen: str
    """From where it was taken, and what was seen of that."""
    is_level: bool

    @property
    def flat_mm(self) -> float:
        """The diameter by the coin's scale alone."""
        return (self.length_px * self.width_px**2) ** (1 / 3) * self.mm_per_px

    def geometric_mm(self, focal: float) -> float:
        """The diameter with the fruit's widest circle above the coin's plane, `focal` in diagonals."""
        height = focal * self.diagonal_px * self.mm_per_px
        apparent = self.width_px * self.mm_per_px
        return (
            self.flat_mm * belt_to_fruit(apparent, height, axis_cosine=1 / math.hypot(1, self.away / focal)) / apparent
        )

    def beside_mm(self, height: float) -> float:
        """The diameter seen from the side by a camera so high above the table, in mm."""
        focal = ASSUMED_FOCAL_MM / 43.267
        lower_mm = self.lower_px * self.mm_per_px * CAMERA_ABOVE_MM / height
        return beside_to_fruit(
            self.circle_px * self.mm_per_px,
            Beside(focal * self.diagonal_px * self.mm_per_px, lower_mm),
            axis_cosine=1 / math.hypot(1, self.away / focal),
        )


def cases(shared: Path) -> Iterator[Case]:
    """Every fruit found where one lies, of whatever kind and in whatever company."""
    folder = shared / "images" / "ecust_fruit_coin"
    rows = defaultdict(list)
    for row in csv.DictReader((folder / "size.csv").read_text().splitlines()):
        rows[row["file"]].append(row)
    detector = detector_named(AUTOMATIC)
    assert isinstance(detector, AutomaticDetector)
    for file, told in sorted(rows.items()):
        pixels = decode((folder / "images" / file).read_bytes()).pixels
        try:
            scale = find_scale(
                pixels, Coin(), coins=detector.coins(pixels), scores_permille=detector.coin_scores(pixels)
            )
        except CannotGradeError:
            continue
        found = detector.detect(pixels, ignore=[scale.outline])
        whole = [each.box for each in found if not each.is_cut]
        seen = "side" if is_from_side(pixels, scale.outline, whole) else "top"
        is_level = any(stands_level(scale.outline, box) for box in whole)
        for row in told:
            box = [float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax")]
            best = max(found, key=lambda each: overlap(each.box, box), default=None)
            if best is not None and overlap(best.box, box) >= 0.5:
                yield case(row, best, scale, pixels, seen=seen, is_level=is_level, is_alone=len(told) == 1)


def case(
    row: Mapping[str, str], found: Detection, scale: Scale, pixels: Pixels, *, seen: str, is_level: bool, is_alone: bool
) -> Case:
    length, width = feret_px(found.mask)
    x, y, w, h = found.box
    diagonal = math.hypot(*pixels.shape[:2])
    return Case(
        row["fruit_id"] if is_alone else "",
        row["class"],
        float(row["equiv_sphere_mm"] or "nan"),
        length,
        width,
        scale.mm_per_px,
        math.hypot(x + (w - pixels.shape[1]) / 2, y + (h - pixels.shape[0]) / 2) / diagonal,
        diagonal,
        2 * math.sqrt(float(found.mask.sum()) / math.pi),
        y + h - float(scale.outline[:, 1].max()),
        MISFILED.get(row["file"], row["view"]),
        seen,
        is_level,
    )


def overlap(box: tuple[int, int, int, int], truth: list[float]) -> float:
    x, y, w, h = box
    width, height = min(x + w, truth[2]) - max(x, truth[0]), min(y + h, truth[3]) - max(y, truth[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (w * h + (truth[2] - truth[0]) * (truth[3] - truth[1]) - shared)


def fitted(own: list[Case], model: Callable[[Case, float], float], choices: list[float]) -> float:
    return min(choices, key=lambda value: np.mean([abs(model(case, value) - case.true_mm) for case in own]))


def judged(known: list[Case], model: Callable[[Case, float], float], choices: list[float]) -> list[tuple[Case, float]]:
    """Return every case with its error, made with what fruit of other parts gave."""
    fruit = sorted({case.fruit for case in known})
    part = {name: index % PARTS for index, name in enumerate(np.random.default_rng(4).permutation(fruit))}
    told = []
    for number in range(PARTS):
        value = fitted([case for case in known if part[case.fruit] != number], model, choices)
        told += [(case, model(case, value) - case.true_mm) for case in known if part[case.fruit] == number]
    return told


def line(name: str, errors: list[tuple[Case, float]]) -> str:
    by_fruit = defaultdict(list)
    for case, error in errors:
        by_fruit[case.fruit].append(error)
    groups, rng = [np.abs(group) for group in by_fruit.values()], np.random.default_rng(5)
    again = [
        float(np.concatenate([groups[index] for index in rng.integers(len(groups), size=len(groups))]).mean())
        for _ in range(2000)
    ]
    values = np.array([error for _, error in errors])
    low, high = np.percentile(again, [2.5, 97.5])
    return (
        f"  {name:46} {np.abs(values).mean():5.2f} ({low:.2f} to {high:.2f})  bias {values.mean():+5.2f}  "
        f"90 % within {np.percentile(np.abs(values), 90):4.1f}   n {len(values)}, {len(groups)} fruit"
    )


@pytest.fixture(scope="module")
def everything(shared: Path) -> list[Case]:
    return list(cases(shared))


@pytest.fixture(scope="module")
def unseen() -> set[str]:
    """Fruit the network never saw."""
    report = json.loads((shipped().path.parent / "fruit.report.json").read_text("utf-8"))["held_out"]
    return {*report["fruit"], *report.get("scores_chosen_on", ())}


def nearly_round(everything: list[Case], view: str) -> list[Case]:
    """Return the photographs from there of one fruit that a sphere describes."""
    return [each for each in everything if each.view == view and each.fruit and each.kind in KINDS]


def test_diameter_against_the_measured_volume(everything: list[Case], unseen: set[str]) -> None:
    known = nearly_round(everything, "top")
    assumed = ASSUMED_FOCAL_MM / 43.267
    print("\nmean absolute error of the diameter, mm (95 % interval over fruit)")
    print(line("coin's scale alone", [(case, case.flat_mm - case.true_mm) for case in known]))
    print(line("one factor, fitted to other fruit", judged(known, lambda case, value: case.flat_mm * value, FACTORS)))
    print(line("geometry, focal length fitted to other fruit", judged(known, Case.geometric_mm, FOCALS)))
    told = [(case, case.geometric_mm(assumed) - case.true_mm) for case in known]
    print(line(f"geometry with {ASSUMED_FOCAL_MM} mm, as guoyuan grade has it", told))
    own = [(case, error) for case, error in told if case.fruit in unseen]
    print(line("  the same, fruit the network never saw", own))
    focal = fitted([case for case in known if case.fruit not in unseen], Case.geometric_mm, FOCALS)
    factor = fitted(
        [case for case in known if case.fruit not in unseen], lambda case, value: case.flat_mm * value, FACTORS
    )
    print(f"  fitted to what the network was trained on: {focal * 43.267:.1f} mm, factor {factor:.3f}")
    fresh = [case for case in known if case.fruit in unseen]
    print(line("  that focal length on unseen fruit", [(c, c.geometric_mm(focal) - c.true_mm) for c in fresh]))
    print(line("  that factor on unseen fruit", [(c, c.flat_mm * factor - c.true_mm) for c in fresh]))
    for kind in KINDS:
        print(line(f"    {kind}", [(case, error) for case, error in told if case.kind == kind]))
    assert np.mean([abs(error) for _, error in told]) < 3.2
    assert np.mean([abs(error) for _, error in own]) < 2.8


def test_diameter_from_the_side(everything: list[Case], unseen: set[str]) -> None:
    known = nearly_round(everything, "side")
    assumed = ASSUMED_FOCAL_MM / 43.267
    print("\nthe same from the side")
    above = [(each, each.geometric_mm(assumed) - each.true_mm) for each in known]
    flat = [(each, each.flat_mm - each.true_mm) for each in known]
    told = [(each, each.beside_mm(CAMERA_ABOVE_MM) - each.true_mm) for each in known]
    for name, errors in (
        ("taken for a view from above", above),
        ("calipers at the coin's distance", flat),
        ("one factor, fitted to other fruit", judged(known, lambda case, value: case.flat_mm * value, FACTORS)),
        ("geometry, height fitted to other fruit", judged(known, Case.beside_mm, HEIGHTS)),
        (f"geometry with {CAMERA_ABOVE_MM:.0f} mm, as guoyuan grade has it", told),
    ):
        print(line(name, errors))
        print(line("  fruit the network never saw", [(each, error) for each, error in errors if each.fruit in unseen]))
    for kind in KINDS:
        print(line(f"    {kind}", [(each, error) for each, error in told if each.kind == kind]))
    own = [error for each, error in told if each.fruit in unseen]
    assert np.mean([abs(error) for _, error in told]) < 4.0
    assert np.mean([abs(error) for error in own]) < 2.8


def test_the_view_is_told_right(everything: list[Case], unseen: set[str]) -> None:
    for name, own in (("fruit seen", everything), ("of fruit unseen", [e for e in everything if e.fruit in unseen])):
        for view in ("side", "top"):
            there = [each for each in own if each.view == view]
            told = sum(each.seen == "side" for each in there)
            level = sum(each.is_level for each in there)
            print(f"  {name} from the {view}: {told} of {len(there)} taken for the side; the coin alone: {level}")
    side = [each for each in everything if each.view == "side"]
    above = [each for each in everything if each.view == "top"]
    assert sum(each.seen == "side" for each in side) > 0.95 * len(side)
    assert sum(each.seen == "side" for each in above) < 0.02 * len(above)
