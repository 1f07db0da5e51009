"""A line chart on a logarithmic scale as a standalone SVG: numbers in, text out. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from api.drawing import tenths

_WIDTH: Final = 760
_HEIGHT: Final = 400
_LEFT: Final = 72
_RIGHT: Final = 196
_TOP: Final = 44
_BOTTOM: Final = 52
_FONT: Final = 'font-family="system-ui, sans-serif" font-size="13"'
_INKS: Final = ("#0b6b3a", "#b4530a", "#1d5fa8", "#7a3a8f", "#666666")
_DASHES: Final = ("", "6 4", "2 3", "8 3 2 3", "1 4")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart. None leaves a gap."""

    name: str
    values: tuple[float | None, ...]


def chart(title: str, *, unit: str, labels: Sequence[str], lines: Sequence[Line]) -> str:
    """Return a chart of values above zero, one for each label from left to right.

    Lines differ in ink and in dash, so that they are told apart without colour too.
    """
    values = [value for line in lines for value in line.values if value]
    low = math.floor(math.log10(min(values))) if values else 0
    high = max(math.ceil(math.log10(max(values))), low + 1) if values else 1
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def x(index: int) -> float:
        return _LEFT + (right - _LEFT) * (index / (len(labels) - 1) if len(labels) > 1 else 0.5)

    def y(value: float) -> float:
        return bottom - (bottom - _TOP) * (math.log10(value) - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" {_FONT}>',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="24" font-size="16" font-weight="600">{escape(title)}</text>',
    ]
    for power in range(low, high + 1):
        height = tenths(y(10.0**power))
        parts.append(f'<path d="M{_LEFT} {height}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{height}" dy="4" text-anchor="end">{_number(power)}</text>')
    parts.append(f'<text x="{_LEFT - 8}" y="{_TOP - 14}" text-anchor="end" fill="#555">{escape(unit)}</text>')
    every = max(1, -(-len(labels) // 8))
    for index, label in enumerate(labels):
        if index % every == 0:
            parts.append(f'<text x="{tenths(x(index))}" y="{bottom + 22}" text-anchor="middle">{escape(label)}</text>')
    places = _apart([y(_last(line)) for line in lines])
    for number, line in enumerate(lines):
        ink, dash = _INKS[number % len(_INKS)], _DASHES[number % len(_DASHES)]
        path, is_new = "", True
        for index, value in enumerate(line.values):
            if value:
                path += f"{'M' if is_new else 'L'}{tenths(x(index))} {tenths(y(value))}"
                parts.append(f'<circle cx="{tenths(x(index))}" cy="{tenths(y(value))}" r="2.5" fill="{ink}"/>')
            is_new = not value
        parts.append(f'<path d="{path}" fill="none" stroke="{ink}" stroke-width="2" stroke-dasharray="{dash}"/>')
        parts.append(
            f'<text x="{right + 10}" y="{tenths(places[number])}" dy="4" fill="{ink}">{escape(line.name)}</text>'
        )
    return "".join(parts) + "</svg>\n"


def _last(line: Line) -> float:
    return next((value for value in reversed(line.values) if value), 1.0)


def _apart(heights: Sequence[float]) -> list[float]:
    """Return where names stand: beside the ends of their lines, and not on one another."""
    places = list(heights)
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    for above, below in pairwise(order):
        places[below] = max(places[below], places[above] + 16)
    return places


def _number(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:.{-power}f}"
