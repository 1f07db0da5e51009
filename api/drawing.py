"""Curves, rings and plots as SVG geometry. Pure: numbers in, path text out.

`api/web/consumer/static/curves.js` draws the same curve from verified readings and compares the text,
so both round one way: to tenths of a unit, halves up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

WIDTH: Final = 326
HEIGHT: Final = 164
_LEFT: Final = 30
_RIGHT: Final = 4
_TOP: Final = 22
_BOTTOM: Final = 40


@dataclass(frozen=True, slots=True)
class Reading:
    """One point of a curve: when, what, and how long it speaks for."""

    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A label on an axis, and where it stands."""

    at: float
    moment: datetime | None = None
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of the curve worth a word."""

    x: float
    y: float
    value: float
    at: datetime
    anchor: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What turns a time and a value into a place in the drawing."""

    x0: float
    x1: float
    y0: float
    y1: float
    t0_ms: int
    t1_ms: int
    low: float
    high: float

    def x(self, moment: datetime) -> float:
        """Return the horizontal place of a moment."""
        return self.x0 + (milliseconds(moment) - self.t0_ms) * (self.x1 - self.x0) / (self.t1_ms - self.t0_ms)

    def y(self, value: float) -> float:
        """Return the vertical place of a value."""
        return self.y1 - (value - self.low) * (self.y1 - self.y0) / (self.high - self.low)

    def numbers(self) -> list[float]:
        """Return the frame as the browser reads it."""
        return [self.x0, self.x1, self.y0, self.y1, self.t0_ms, self.t1_ms, self.low, self.high]


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve ready to be drawn."""

    frame: Frame
    line: str
    over: str
    gaps: tuple[tuple[float, float, datetime, datetime], ...]
    band: tuple[float, float] | None
    values: tuple[Tick, ...]
    times: tuple[Tick, ...]
    highest: Mark
    lowest: Mark
    shows_dates: bool
    points: int


def milliseconds(moment: datetime) -> int:
    """Return whole milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def span_ms(span: timedelta) -> int:
    """Return whole milliseconds of a span."""
    return span // timedelta(milliseconds=1)


def tenths(value: float) -> str:
    """Return a coordinate to one decimal, halves up, no needless zero: `12` or `12.3`."""
    whole, rest = divmod(math.floor(value * 10 + 0.5), 10)
    return f"{whole}.{rest}" if rest else str(whole)


def curve(
    readings: Sequence[Reading],
    *,
    step: timedelta,
    wanted: tuple[float, float] | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> Curve | None:
    """Return a curve with a break wherever readings lie further apart than one and a half steps.

    `wanted` is the range to shade; what lies outside it is drawn again as an excursion. Fewer than two
    readings make no curve.
    """
    if len(readings) < 2 or readings[0].at == readings[-1].at:
        return None
    values = [r.value for r in readings]
    low, high, ticks = _scale(min(values), max(values), wanted)
    frame = Frame(
        _LEFT, width - _RIGHT, _TOP, height - _BOTTOM,
        milliseconds(readings[0].at), milliseconds(readings[-1].at), low, high,
    )  # fmt: skip
    spans = pieces(readings, step)
    gaps = tuple((frame.x(a[-1].at), frame.x(b[0].at), a[-1].at, b[0].at) for a, b in pairwise(spans))
    highest = max(readings, key=lambda r: r.value)
    lowest = min(readings, key=lambda r: r.value)
    times, shows_dates = _time_ticks(readings[0].at, readings[-1].at)
    return Curve(
        frame=frame,
        line="".join(_path(frame, span) for span in spans),
        over=_outside(frame, spans, wanted) if wanted else "",
        gaps=gaps,
        band=(frame.y(wanted[1]), frame.y(wanted[0])) if wanted else None,
        values=tuple(Tick(frame.y(v), value=v) for v in ticks),
        times=tuple(Tick(frame.x(t), moment=t) for t in times),
        highest=_mark(frame, highest),
        lowest=_mark(frame, lowest),
        shows_dates=shows_dates,
        points=len(readings),
    )


def pieces(readings: Sequence[Reading], step: timedelta) -> list[list[Reading]]:
    """Return the readings in runs without a gap."""
    runs: list[list[Reading]] = [[readings[0]]]
    for before, after in pairwise(readings):
        if after.at - before.at > step * 1.5:
            runs.append([])
        runs[-1].append(after)
    return runs


def median_step(readings: Sequence[Reading]) -> timedelta:
    """Return the usual distance between readings; one minute where there are fewer than two."""
    gaps = sorted(b.at - a.at for a, b in pairwise(readings))
    return gaps[len(gaps) // 2] if gaps else timedelta(minutes=1)


def _path(frame: Frame, span: Sequence[Reading]) -> str:
    points = [f"{tenths(frame.x(r.at))} {tenths(frame.y(r.value))}" for r in span]
    if len(points) == 1:  # a lone reading is a dot: a line of no length with round ends
        points.append(points[0])
    return "M" + "L".join(points)


def _outside(frame: Frame, spans: Sequence[Sequence[Reading]], wanted: tuple[float, float]) -> str:
    runs: list[list[Reading]] = []
    for span in spans:
        run: list[Reading] = []
        for reading in span:
            if wanted[0] <= reading.value <= wanted[1]:
                if run:
                    runs.append(run)
                run = []
            else:
                run.append(reading)
        if run:
            runs.append(run)
    return "".join(_path(frame, run) for run in runs)


def _mark(frame: Frame, reading: Reading) -> Mark:
    x = frame.x(reading.at)
    middle = (frame.x0 + frame.x1) / 2
    anchor = "middle" if abs(x - middle) < (frame.x1 - frame.x0) * 0.3 else ("start" if x < middle else "end")
    return Mark(x, frame.y(reading.value), reading.value, reading.at, anchor)


def _scale(low: float, high: float, wanted: tuple[float, float] | None) -> tuple[float, float, list[float]]:
    if wanted:
        low, high = min(low, wanted[0]), max(high, wanted[1])
    span = max(high - low, 1.0)
    low, high = low - span * (0.15 if wanted else 0.3), high + span * 0.2
    return low, high, [wanted[1], wanted[0]] if wanted else [float(v) for v in _round_ticks(low, high)]


def _round_ticks(low: float, high: float) -> list[int]:
    for step in (1, 2, 5, 10, 20, 50, 100, 200, 500):
        first = math.ceil(low / step) * step
        ticks = list(range(first, math.floor(high) + 1, step))
        if len(ticks) <= 3:
            return ticks or [round((low + high) / 2)]
    return [round((low + high) / 2)]


def _time_ticks(first: datetime, last: datetime) -> tuple[list[datetime], bool]:
    return [first, last], (last - first) >= timedelta(hours=20)


# --- plots ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlotDrawing:
    """A plot in true scale: its outline where that is public, else a square of the same area."""

    outline: str
    is_outline_public: bool
    trees: str
    """A dot for each tree: how many there are, not where they stand."""
    scale_m: int
    scale_px: float
    label: tuple[float, float]


def plot_drawing(
    area_m2: int,
    tree_count: int,
    polygon: Sequence[tuple[float, float]] | None = None,
    *,
    width: int = WIDTH,
    height: int = 190,
) -> PlotDrawing:
    """Return a plot's drawing. `polygon` is longitude and latitude in degrees."""
    room = height - 46
    if polygon and len(polygon) >= 3:
        shape = _metres(polygon)
    else:
        side = math.sqrt(max(area_m2, 1))
        shape = [(0.0, 0.0), (side * 1.25, 0.0), (side * 1.25, side / 1.25), (0.0, side / 1.25)]
    wide = max(x for x, _ in shape) or 1.0
    tall = max(y for _, y in shape) or 1.0
    px = min((width - 80) / wide, room / tall)
    left, top = (width - wide * px) / 2, 14 + (room - tall * px) / 2
    points = [(left + x * px, top + y * px) for x, y in shape]
    outline = "M" + "L".join(f"{tenths(x)} {tenths(y)}" for x, y in points) + "Z"
    scale_m = next((m for m in (500, 200, 100, 50, 20, 10, 5, 2, 1) if m * px <= width * 0.3), 1)
    centre = (sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points))
    return PlotDrawing(
        outline=outline,
        is_outline_public=bool(polygon),
        trees=_trees(
            [(centre[0] + (x - centre[0]) * 0.96, centre[1] + (y - centre[1]) * 0.94) for x, y in points],
            min(tree_count, 400),
        ),
        scale_m=scale_m,
        scale_px=scale_m * px,
        label=centre,
    )


def _metres(polygon: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    west, north = min(x for x, _ in polygon), max(y for _, y in polygon)
    east_m = 111_320 * math.cos(math.radians(north))
    return [((x - west) * east_m, (north - y) * 110_574) for x, y in polygon]


def _trees(outline: Sequence[tuple[float, float]], count: int) -> str:
    """Return so many dots in rows inside the outline."""
    if count <= 0:
        return ""
    left, right = min(x for x, _ in outline), max(x for x, _ in outline)
    top, bottom = min(y for _, y in outline), max(y for _, y in outline)
    pitch = math.sqrt(max(_area(outline), 1.0) / count)
    for _ in range(12):
        places = [
            (x, y)
            for row in range(int((bottom - top) / pitch) + 1)
            for column in range(int((right - left) / pitch) + 1)
            if _inside(
                outline,
                x := left + pitch * (column + 0.5 + 0.25 * (row % 2)),
                y := top + pitch * (row + 0.5),
            )
        ]
        if len(places) >= count:
            break
        pitch *= 0.95
    rounded = [(math.floor(x * 10 + 0.5), math.floor(y * 10 + 0.5)) for x, y in places[:count]]
    moves = [(bx - ax, by - ay) for (ax, ay), (bx, by) in pairwise(rounded)]
    first = f"M{rounded[0][0] / 10:g} {rounded[0][1] / 10:g}h0" if rounded else ""
    return first + "".join(f"m{dx / 10:g} {dy / 10:g}h0" for dx, dy in moves)


def _area(outline: Sequence[tuple[float, float]]) -> float:
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(outline, (*outline[1:], outline[0]), strict=True)) / 2)


def _inside(outline: Sequence[tuple[float, float]], x: float, y: float) -> bool:
    is_inside = False
    for (ax, ay), (bx, by) in zip(outline, (*outline[1:], outline[0]), strict=True):
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            is_inside = not is_inside
    return is_inside
