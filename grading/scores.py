"""Scores that mean what they say: how often a find is right, from how sure the network is. Pure.

A network's own confidence is no probability. On held-out fruit it is seen how often finds of each confidence are
right, and a logistic curve (Platt 1999) over the confidence's log odds makes of it a share that comes true.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_LEAST, _MOST = 1e-4, 1 - 1e-4
_ROUNDS: Final = 50


@dataclass(frozen=True, slots=True)
class Curve:
    """Log odds of being right = slope x log odds of the network's confidence + offset, in thousandths."""

    slope_permille: int = 1000
    offset_permille: int = 0


def believed(told: float, slope_permille: int, offset_permille: int) -> float:
    """Return the share of finds with a network's confidence (0 to 1) that are right; the identity for 1000 and 0."""
    if (slope_permille, offset_permille) == (1000, 0):
        return told
    odds = _log_odds(told) * slope_permille / 1000 + offset_permille / 1000
    return 1 / (1 + math.exp(-odds)) if odds >= 0 else 1 - 1 / (1 + math.exp(odds))


def fitted(told: Sequence[tuple[float, bool]]) -> Curve:
    """Return the curve that fits confidences and whether they were right; the identity where either is missing.

    By Newton's method, towards targets that are never quite 0 or 1 (Platt), so that few finds do not make it sure.
    A curve that would turn the order around is refused: then the identity comes back.
    """
    right = sum(is_right for _, is_right in told)
    wrong = len(told) - right
    if not right or not wrong:
        return Curve()
    targets = (1 / (wrong + 2), (right + 1) / (right + 2))
    points = [(_log_odds(value), targets[is_right]) for value, is_right in told]
    slope, offset = 1.0, 0.0
    for _ in range(_ROUNDS):
        g0 = g1 = h00 = h01 = h11 = 0.0
        for x, target in points:
            share = 1 / (1 + math.exp(-min(30.0, max(-30.0, slope * x + offset))))
            weight = max(1e-9, share * (1 - share))
            g0, g1 = g0 + (share - target) * x, g1 + share - target
            h00, h01, h11 = h00 + weight * x * x, h01 + weight * x, h11 + weight
        determinant = h00 * h11 - h01 * h01
        if abs(determinant) < 1e-12:
            return Curve()
        by_slope, by_offset = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        # Steps of at most one: from far away Newton's method overshoots.
        shrink = 1 / max(1.0, abs(by_slope), abs(by_offset))
        slope, offset = slope - shrink * by_slope, offset - shrink * by_offset
        if max(abs(by_slope), abs(by_offset)) < 1e-6:
            break
    curve = Curve(round(1000 * slope), round(1000 * offset))
    return curve if 1 <= curve.slope_permille <= 10_000 and abs(curve.offset_permille) <= 10_000 else Curve()


def least_for_recall(scored: Sequence[tuple[int, bool]], labelled: int, *, recall_permille: int) -> int | None:
    """Return the highest score from which on a recall is reached, in thousandths; None where it never is."""
    reached = 0
    for score, is_right in sorted(scored, key=lambda each: (-each[0], not each[1])):
        reached += is_right
        if reached * 1000 >= recall_permille * labelled:
            return score
    return None


def _log_odds(share: float) -> float:
    share = min(_MOST, max(_LEAST, share))
    return math.log(share / (1 - share))
