"""Real photographs of fruit beside a coin: what the detectors find, and how large.

Thresholds lie under what is measured (grading/README.md), so that a change for the worse is noticed.
"""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from grading.calibrate import Coin
from grading.detectors import detector_named
from grading.errors import CannotGradeError, NoFruitError
from grading.learned import shipped
from grading.look import Setup, look
from grading.measure import Measures
from grading.standard import load_standard, load_tariff

EVERY = 5
"""One photograph in five, to keep the test short; all of them are in the README."""


@pytest.mark.shared
@pytest.mark.parametrize(
    ("kind", "least_graded", "most_error"), [("mango", 0.80, 0.25), ("orange", 0.80, 6.0), ("apple", 0.50, 9.0)]
)
def test_fruit_beside_a_coin_are_found_and_measured(
    shared: Path, kind: str, least_graded: float, most_error: float
) -> None:
    folder = shared / "images" / "ecust_fruit_coin"
    rows = [
        row
        for row in csv.DictReader((folder / "size.csv").read_text().splitlines())
        if row["class"] == kind and row["view"] == "top" and not row["file"].startswith("mix")
    ][::EVERY]
    # 840 px: the focal length that fits the other half of the apples and oranges.
    setup = Setup(load_standard("mango-small"), load_tariff(), Coin(), 840)
    outcome, errors = Counter[str](), []
    for row in rows:
        try:
            seen = look((folder / "images" / row["file"]).read_bytes(), setup)
        except CannotGradeError as refused:
            outcome[refused.code] += 1
            continue
        best = max(seen.fruit, key=lambda fruit: _overlap(fruit.detection.box, row))
        if _overlap(best.detection.box, row) < 0.75:
            outcome["wrong outline"] += 1
            continue
        outcome["graded"] += 1
        errors.append(_error(best.measures, row))
    assert outcome["graded"] >= least_graded * len(rows), outcome
    assert float(np.median(errors)) <= most_error


def _error(measures: Measures, row: dict[str, str]) -> float:
    """Millimetres of diameter for round fruit; share of the weight for mangoes, which no sphere describes."""
    if row["class"] == "mango":
        return abs(measures.mass_g / float(row["weight_g"]) - 1)
    return abs(measures.equivalent_diameter_um / 1000 - float(row["equiv_sphere_mm"]))


def _overlap(box: tuple[int, int, int, int], row: dict[str, str]) -> float:
    x, y, w, h = box
    x0, y0, x1, y1 = (int(row[name]) for name in ("xmin", "ymin", "xmax", "ymax"))
    inside = max(0, min(x + w, x1) - max(x, x0)) * max(0, min(y + h, y1) - max(y, y0))
    return inside / (w * h + (x1 - x0) * (y1 - y0) - inside)


@pytest.mark.shared
def test_a_photograph_with_neither_coin_nor_marker_is_refused(shared: Path) -> None:
    tomato = next((shared / "images" / "fgrade_tomato").rglob("*.jpg"))
    with pytest.raises(CannotGradeError):
        look(tomato.read_bytes(), Setup(load_standard("mango"), load_tariff(), Coin()))


@pytest.mark.shared
def test_on_fruit_it_never_saw_the_network_finds_coin_and_fruit_and_both_take_few_wrong_ones(shared: Path) -> None:
    folder = shared / "images" / "ecust_fruit_coin"
    told = json.loads((shipped().path.parent / "fruit.report.json").read_text("utf-8"))["held_out"]
    unseen = {*told["fruit"], *told["scores_chosen_on"]}
    rows = [
        row
        for row in csv.DictReader((folder / "size.csv").read_text().splitlines())
        if row["fruit_id"] in unseen and row["view"] == "top"
    ][::EVERY]
    assert len(rows) >= 20
    taken = []
    least = load_standard("mango").content.doubt.least_score_permille
    for name in ("learned", "both"):
        detector, right = detector_named(name), 0
        setup = Setup(load_standard("mango-small"), load_tariff(), Coin(), 840, detector)
        for row in rows:
            try:
                seen = look((folder / "images" / row["file"]).read_bytes(), setup)
            except NoFruitError:
                continue
            # The labelled coin is a hand-drawn box, good to a few pixels of sixty.
            assert 25_000_000 / seen.scale.nm_per_px / float(row["coin_px"]) == pytest.approx(0.97, abs=0.15)
            right += max(_overlap(fruit.detection.box, row) for fruit in seen.fruit) >= 0.75
            scored = [fruit.detection for fruit in seen.fruit if fruit.detection.score_permille >= least]
            taken += [_overlap(each.box, row) >= 0.75 for each in scored] if name == "both" else []
        assert right >= 0.8 * len(rows), (name, right)
    assert sum(taken) >= 0.9 * len(taken)
    assert len(taken) >= 0.4 * len(rows)
