# ruff: noqa: T201  # a benchmark is read on the terminal
"""What looking again at marks brings on drawn belts: false marks, real ones kept, classes right, fruit for a person.

The baseline is the same belt by colour alone. What is right is what the same views would come to if each showed exactly
the marks that were drawn on it. `BELT_FRUIT` says how many fruit (500 without it).
"""

import os
from collections import Counter, deque
from dataclasses import replace

import cv2
import numpy as np
import pytest

from grading.camera import Pixels
from grading.defects import shipped_model
from grading.grade import Verdict
from grading.line.belt import Line, LineSetup, Looked, Passed, View
from grading.line.fusing import Side, judge
from grading.measure import Mark, Measures
from grading.profile import CameraProfile
from grading.rendering import Belt, Rendered
from grading.standard import load_tariff, standard_for

pytestmark = pytest.mark.benchmark
FRUIT = int(os.environ.get("BELT_FRUIT", "500"))
_LEAST_REAL = 0.3
"""A mark of colour's is real where so much of its box was drawn as one."""


class Truth:
    """What was drawn in the last frames."""

    def __init__(self) -> None:
        self._frames: deque[Rendered] = deque(maxlen=40)

    def saw(self, rendered: Rendered) -> None:
        """Keep a frame."""
        self._frames.append(rendered)

    def marks(self, view: View, side: Side) -> tuple[bool, Pixels]:
        """Return whether a view's fruit was drawn without any mark, and each pixel's mark in its box, 0 for none."""
        shot = next(each for each in self._frames if each.number == view.shot)
        x, y = view.outline.min(axis=0)
        w, h = side.extent
        owners = shot.owner[y : y + h, x : x + w]
        owner = int(np.bincount(owners[owners > 0].ravel()).argmax())
        fruit = next(each for each in shot.truth if each.id == owner - 1)
        labels = shot.label[y : y + h, x : x + w]
        drawn = np.where((owners == owner) & (labels <= len(fruit.marks)), labels, 0)
        return not fruit.marks, np.asarray(drawn, np.uint8)


def as_drawn(side: Side, drawn: Pixels) -> Side:
    """The view as if exactly the drawn marks were seen on it."""
    measures = side.measures
    mm = (measures.area_mm2 / max(1, round(np.pi / 4 * side.extent[0] * side.extent[1]))) ** 0.5
    marks = []
    for number in np.unique(drawn[drawn > 0]):
        x, y, w, h = cv2.boundingRect((drawn == number).astype(np.uint8))
        area = round(int((drawn == number).sum()) * mm * mm)
        marks.append(Mark("mark", (x, y, w, h), area, round(1000 * mm * max(w, h))))
    total = sum(mark.area_mm2 for mark in marks)
    share = min(1000, round(1000 * total / max(1, measures.area_mm2)))
    seen = replace(measures, marks=tuple(marks), blemish_mm2=total, blemish_permille=share)
    return replace(side, measures=seen, again=None)


def is_alike(a: Verdict, b: Verdict) -> bool:
    return (a.quality, a.nominal_tier) == (b.quality, b.nominal_tier)


def told(counts: Counter[str], fruit: Passed, truth: Truth, setup: LineSetup) -> None:
    """Count what became of one fruit, by colour alone and looked at again."""
    pairs = [(view, view.side) for view in fruit.views if view.side is not None]
    if not pairs or fruit.measures is None:
        return
    by = replace(setup.judging, looks_again=False)
    seen = [truth.marks(view, side) for view, side in pairs]
    before = judge([replace(side, again=None) for _, side in pairs], fruit.noted, by)
    right = judge([as_drawn(side, drawn) for (_, side), (_, drawn) in zip(pairs, seen, strict=True)], fruit.noted, by)
    assert isinstance(before.measures, Measures)
    counts["fruit"] += 1
    counts["looks"] += sum(side.again is not None for _, side in pairs)
    counts[fruit.looked_again] += 1
    is_person = fruit.looked_again in {Looked.DISPUTED, Looked.TOO_LATE}
    for name, verdict, is_asked in (("before", before.verdict, False), ("after", fruit.verdict, is_person)):
        is_right = is_alike(verdict, right.verdict)
        counts[f"{name} {'asked' if is_asked else 'told'} {'right' if is_right else 'wrong'}"] += 1
    if all(is_sound for is_sound, _ in seen):
        counts["sound"] += 1
        for name, measures, verdict in (
            ("before", before.measures, before.verdict),
            ("after", fruit.measures, fruit.verdict),
        ):
            counts[f"{name} false"] += bool(measures.marks)
            counts[f"{name} false mm2"] += measures.blemish_mm2
            counts[f"{name} sound right"] += is_alike(verdict, right.verdict)
    for (_, side), (_, drawn) in zip(pairs, seen, strict=True):
        for mark in side.measures.marks if side.again is not None else ():
            x, y, w, h = mark.box
            if (drawn[y : y + h, x : x + w] > 0).mean() >= _LEAST_REAL:
                counts["real"] += 1
                counts["real kept"] += mark in side.again.left.marks if side.again is not None else 0


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["apple", "tomato", "orange", "mango"])
def test_belt_marks(kind: str) -> None:
    cv2.setNumThreads(1)
    belt = Belt(seed=2027, kind=kind, fruit=FRUIT)
    camera = CameraProfile.plain(nm_per_px=belt.profile().nm_per_px, camera_height_um=belt.profile().camera_height_um)
    standard = standard_for({"orange": "citrus"}.get(kind, kind))
    setup = LineSetup(standard, load_tariff(), camera, defects=shipped_model())
    line, truth, counts = Line(setup), Truth(), Counter[str]()
    for rendered in belt.shots():
        truth.saw(rendered)
        for fruit in line.feed(rendered):
            told(counts, fruit, truth, setup)
    for fruit in line.flush():
        told(counts, fruit, truth, setup)
    n, sound = counts["fruit"], max(1, counts["sound"])
    print(f"\n{kind}: {n} fruit, {counts['looks'] / n:.2f} views a fruit looked at again")
    print(f"  sound: {sound}; with a false mark {counts['before false']} -> {counts['after false']}", end="; ")
    print(f"{counts['before false mm2'] / sound:.0f} -> {counts['after false mm2'] / sound:.0f} mm2 a fruit", end="; ")
    print(f"class right {counts['before sound right']} -> {counts['after sound right']}")
    print(f"  real marks looked at: {counts['real']}, kept {counts['real kept']}")
    print(f"  told by colour alone: right {counts['before told right']}, wrong {counts['before told wrong']}")
    print(f"  told after looking again: right {counts['after told right']}, wrong {counts['after told wrong']}")
    print(f"  to a person for marks: {counts['after asked right'] + counts['after asked wrong']}", end=", of them ")
    print(f"{counts['after asked wrong']} wrong by their numbers")
    print("  " + ", ".join(f"{each.value} {counts[each]}" for each in Looked))
