"""A belt of boxes: what a coarse finder would give of fruit on a belt, with everything a belt does to them."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from grading.line.track import Blob, Crossing, Direction, Step, Tracker

LENGTH, BREADTH = 640, 480
UM_PER_PX = 500


@dataclass(slots=True, eq=False)
class Rolling:
    """One fruit: where its middle is when the belt has not moved, across, its width, its colour."""

    start: float
    c: float
    size: float
    colour: tuple[float, float, float]
    moves: Callable[[float], float] = field(default=lambda s: s)
    """Where it is instead of where the belt carried it."""


def belt(seed: int, count: int = 90, *, pitch: float = 110.0, lanes: Sequence[float] = (90, 240, 390)) -> list[Rolling]:
    """So many fruit in lanes, unevenly apart, none in sight yet."""
    rng = np.random.default_rng(seed)
    return [
        Rolling(
            -80 - index // len(lanes) * pitch - rng.uniform(0, 0.15 * pitch),
            lanes[index % len(lanes)] + rng.uniform(-12, 12),
            rng.uniform(60, 95),
            (rng.uniform(40, 70), rng.uniform(-30, 50), rng.uniform(20, 70)),
        )
        for index in range(count)
    ]


@dataclass(slots=True)
class Ran:
    """What came of it: crossings in order, and which fruit each was."""

    tracker: Tracker
    crossings: list[Crossing] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    seen: dict[int, Counter[int]] = field(default_factory=dict)

    @property
    def counted(self) -> Counter[int]:
        """How often each fruit was counted; -1 for what was none."""
        return Counter(
            self.seen[each.track.key].most_common(1)[0][0] if each.track.key in self.seen else -1
            for each in self.crossings
        )


def run(
    fruit: Sequence[Rolling],
    motion: Sequence[float],
    *,
    encoder: Callable[[float], int] | None = None,
    direction: Direction = Direction.RIGHT,
    dropped: Collection[int] = (),
    hidden: Callable[[int, int, float], bool] = lambda _frame, _index, _s: False,
    joined: Callable[[int, list[tuple[int, Blob]]], list[tuple[int, Blob]]] = lambda _frame, blobs: blobs,
    tracker: Tracker | None = None,
    jitter: float = 1.0,
) -> Ran:
    """Move the belt by `motion` pixels a frame and follow what is on it."""
    rng = np.random.default_rng(7)
    lengthwise = direction in {Direction.RIGHT, Direction.LEFT}
    size = (LENGTH, BREADTH) if lengthwise else (BREADTH, LENGTH)
    um_per_px = None if encoder is None else float(UM_PER_PX)
    ran = Ran(tracker or Tracker(direction, width=size[0], height=size[1], um_per_px=um_per_px))
    at = 0.0
    for frame, moved in enumerate(motion):
        at += moved
        if frame in dropped:
            continue
        found: list[tuple[int, Blob]] = []
        for index, each in enumerate(fruit):
            s = each.moves(each.start + at)
            start, end = max(0.0, s - each.size / 2), min(float(LENGTH), s + each.size / 2)
            if end - start < 10 or hidden(frame, index, s):
                continue
            noise = rng.normal(0, jitter, 4) * (start > 0, 1, end < LENGTH, 1)
            colour = np.array(each.colour) + rng.normal(0, 3, 3)
            low, high = each.c - each.size / 2, each.c + each.size / 2
            start, low, end, high = np.array([start, low, end, high]) + noise
            found.append((index, Blob(start, low, end, high, 0.785 * (end - start) * (high - low), tuple(colour))))
        found = joined(frame, found)
        step = ran.tracker.step(
            [_turned(blob, direction) for _, blob in found],
            number=frame,
            at_s=frame / 30,
            belt_um=None if encoder is None else encoder(at),
        )
        for sight in step.sights:
            ran.seen.setdefault(sight.track.key, Counter())[found[sight.blob][0]] += 1
        ran.crossings += step.crossings
        ran.steps.append(step)
    return ran


def honest(at: float) -> int:
    """An encoder that says what the belt does."""
    return round(at * UM_PER_PX)


def frozen(_at: float) -> int:
    """An encoder that has stopped counting."""
    return 7


def _turned(blob: Blob, direction: Direction) -> Blob:
    """The blob as the camera sees it when fruit move that way in its picture."""
    start, low, end, high = blob.left, blob.top, blob.right, blob.bottom
    box = {
        Direction.RIGHT: (start, low, end, high),
        Direction.LEFT: (LENGTH - end, low, LENGTH - start, high),
        Direction.DOWN: (low, start, high, end),
        Direction.UP: (low, LENGTH - end, high, LENGTH - start),
    }[direction]
    return Blob(*box, blob.area, blob.colour, blob.is_joined)
