# ruff: noqa: T201  # a benchmark is read on the terminal
"""Diameter of real fruit beside a coin, against the sphere of their measured volume: the geometric model and baselines.

Every photograph from above of a single fruit that is nearly round (`GUOYUAN_SHARED`, ECUSTFD) is looked at as
`guoyuan grade` does. Three ways to make millimetres of the same pixels: none (the coin's scale alone), one factor,
and the geometry with one focal length. Factor and focal length are fitted to other fruit than they are judged by:
ten parts by physical fruit, each judged with what the other nine gave. Intervals: fruit drawn again 2,000 times.
"""

import csv
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from grading.automatic import AutomaticDetector
from grading.calibrate import Coin, find_scale
from grading.camera import decode
from grading.detectors import AUTOMATIC, detector_named
from grading.errors import CannotGradeError
from grading.learned import shipped
from grading.measure import belt_to_fruit, feret_px
from grading.report import ASSUMED_FOCAL_MM

pytestmark = [pytest.mark.benchmark, pytest.mark.shared]
KINDS = ("apple", "orange", "peach", "plum", "tomato", "kiwi", "lemon", "mango", "pear", "litchi")
PARTS = 10
FOCALS = [share / 1000 for share in range(450, 1300, 10)]
"""Focal lengths that are tried, in shares of the picture's diagonal."""
FACTORS = [factor / 1000 for factor in range(700, 1101, 5)]


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


def cases(shared: Path) -> Iterator[Case]:
    folder = shared / "images" / "ecust_fruit_coin"
    rows = defaultdict(list)
    for row in csv.DictReader((folder / "size.csv").read_text().splitlines()):
        rows[row["file"]].append(row)
    detector = detector_named(AUTOMATIC)
    assert isinstance(detector, AutomaticDetector)
    for file, told in sorted(rows.items()):
        row = told[0]
        if len(told) > 1 or row["view"] != "top" or row["class"] not in KINDS or not row["equiv_sphere_mm"]:
            continue
        pixels = decode((folder / "images" / file).read_bytes()).pixels
        try:
            scale = find_scale(
                pixels, Coin(), coins=detector.coins(pixels), scores_permille=detector.coin_scores(pixels)
            )
        except CannotGradeError:
            continue
        box = [float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax")]
        found = max(
            detector.detect(pixels, ignore=[scale.outline]), key=lambda each: overlap(each.box, box), default=None
        )
        if found is None or overlap(found.box, box) < 0.5:
            continue
        length, width = feret_px(found.mask)
        x, y, w, h = found.box
        diagonal = math.hypot(*pixels.shape[:2])
        away = math.hypot(x + (w - pixels.shape[1]) / 2, y + (h - pixels.shape[0]) / 2) / diagonal
        yield Case(
            row["fruit_id"], row["class"], float(row["equiv_sphere_mm"]), length, width, scale.mm_per_px, away, diagonal
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


def test_diameter_against_the_measured_volume(shared: Path) -> None:
    known = list(cases(shared))
    report = json.loads((shipped().path.parent / "fruit.report.json").read_text("utf-8"))["held_out"]
    unseen = {*report["fruit"], *report.get("scores_chosen_on", ())}
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
