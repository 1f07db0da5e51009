"""Fruit that passed a drawn belt, as the line gives them: drawn once for all tests that need them."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

from grading.line.belt import Line, LineSetup, Passed
from grading.line.doubts import Doubt
from grading.line.fusing import judge
from grading.line.record import belt_record, model_of
from grading.line.sources import Shot
from grading.line.weights import Unweighed, Weight
from grading.profile import CameraProfile
from grading.rendering import Belt
from grading.standard import load_standard, load_tariff

NOW = datetime(2026, 4, 18, 3, 5, tzinfo=UTC)
BELT = Belt(seed=5, lanes=2, fruit_per_s=12, speed_mm_s=500, fps=15, touching=0.0)
PROFILE = CameraProfile.plain(
    nm_per_px=BELT.profile().nm_per_px, camera_height_um=BELT.profile().camera_height_um, name="drawn"
)
SETUP = LineSetup(load_standard("mango"), load_tariff(), PROFILE)
TOUCHED = frozenset({2, 9})
"""Fruit of `seen` that a person must look at: they are said to have touched another all the way."""


@cache
def seen(most: int = 10) -> tuple[Passed, ...]:
    """The first fruit of the belt, some of them doubtful, some near a limit."""
    line, found = Line(SETUP), []
    for rendered in BELT.shots(400):
        found += line.feed(Shot(rendered.pixels, rendered.number, rendered.at_s, NOW, rendered.belt_um))
        if len(found) >= most:
            break
    return tuple(doubted(each) if each.number in TOUCHED else each for each in found[:most])


def doubted(fruit: Passed, setup: LineSetup = SETUP, doubt: Doubt = Doubt.TOUCHING) -> Passed:
    """The same fruit, its way along the belt speaking against it."""
    judged = judge([view.side for view in fruit.views if view.side is not None], (doubt,), setup.judging)
    return replace(fruit, noted=(doubt,), reasons=judged.reasons, verdict=judged.verdict)


def regraded(fruit: Passed, setup: LineSetup) -> Passed:
    """The same fruit as another line would grade it."""
    sides = [view.side for view in fruit.views if view.side is not None]
    judged = judge(sides, fruit.noted, setup.judging, weight=fruit.weight)
    return replace(fruit, reasons=judged.reasons, verdict=judged.verdict)


def weighed(fruit: Passed, mass_g: int | None, why: Unweighed | None = None) -> Passed:
    """The same fruit with what a scale said of it."""
    return regraded(replace(fruit, weight=Weight(mass_g, why)), SETUP)


def passed(first: int, count: int) -> list[Passed]:
    """So many fruit from a number on: the same few again and again, each under its own number."""
    drawn = seen()
    return [replace(drawn[number % len(drawn)], number=number) for number in range(first, first + count)]


def unlike(fruit: Passed) -> Passed:
    """The same fruit with pictures of its own: what follows a JPEG's end is part of the file, not of the picture."""
    views = [replace(view, crop=view.crop + fruit.number.to_bytes(4, "big")) for view in fruit.views]
    return replace(fruit, views=tuple(views))


def record_of(fruit: Passed, run: str, setup: LineSetup = SETUP) -> bytes:
    """The fruit's record in a run."""
    return belt_record(fruit, setup, run=run)


MODEL = model_of(SETUP)
