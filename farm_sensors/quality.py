"""Quality flags of QARTOD (IOOS manuals for real-time quality control), streaming and pure.

The single tests give the flags of `ioos_qc` on regular series; `assess` combines them for one
series of one device. Readings are marked, never dropped.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final

from farm_sensors.quantities import Limits, Quantity, Span

_BEAT_S: Final = 600
"""Spike and step limits in the table are for readings ten minutes apart."""

_MIN_FLAT_POINTS: Final = 3


class Flag(IntEnum):
    """QARTOD flag values."""

    GOOD = 1
    UNKNOWN = 2
    SUSPECT = 3
    FAIL = 4
    MISSING = 9


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tests say of one reading. `reason` names the worst test, where it is not good."""

    flag: Flag
    reason: str | None = None

    @property
    def is_usable(self) -> bool:
        """Whether a summary may count this reading."""
        return self.flag in (Flag.GOOD, Flag.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch in which readings were due and none came: from the first one due to the next that came."""

    from_s: float
    to_s: float


def gross_range(value: float | None, *, plausible: Span, usual: Span) -> Flag:
    """Return FAIL outside what is possible, SUSPECT outside what is usual (QARTOD test 4)."""
    if value is None:
        return Flag.MISSING
    if not plausible.low <= value <= plausible.high:
        return Flag.FAIL
    return Flag.GOOD if usual.low <= value <= usual.high else Flag.SUSPECT


def spike(values: Sequence[float | None], limits: Limits) -> list[Flag]:
    """Return a flag per value by how far it sticks out from both neighbours (QARTOD test 6).

    Only a move out and back is a spike, so that a change of level is none (`ioos_qc` calls this the
    differential method). The first and the last value have one neighbour: UNKNOWN.
    """
    flags = [Flag.MISSING if value is None else Flag.UNKNOWN for value in values]
    for index in range(1, len(values) - 1):
        before, value, after = values[index - 1 : index + 2]
        if before is None or value is None or after is None:
            continue
        there, back = value - before, after - value
        flags[index] = _by_size(min(abs(there), abs(back)) if there * back < 0 else 0.0, limits)
    return flags


def rate_of_change(values: Sequence[float | None], times_s: Sequence[float], per_second: float) -> list[Flag]:
    """Return SUSPECT for a value that differs from the one before by more than `per_second` x time (test 7)."""
    flags = [Flag.MISSING if value is None else Flag.GOOD for value in values]
    for index in range(1, len(values)):
        before, value = values[index - 1], values[index]
        if before is None or value is None:
            continue
        if abs(value - before) > per_second * (times_s[index] - times_s[index - 1]):
            flags[index] = Flag.SUSPECT
    return flags


def flat_line(
    values: Sequence[float | None], times_s: Sequence[float], limits_s: Limits, *, tolerance: float
) -> list[Flag]:
    """Return a flag per value: it and all others of the last `limits_s` lie within `tolerance` (test 8).

    Windows are measured in time, so that a gap does not shorten them; at least three values must
    stand in one.
    """
    suspect = _stuck_for(values, times_s, limits_s.suspect, tolerance)
    fail = _stuck_for(values, times_s, limits_s.fail, tolerance)
    return [
        Flag.MISSING if value is None else Flag.FAIL if is_fail else Flag.SUSPECT if is_suspect else Flag.GOOD
        for value, is_suspect, is_fail in zip(values, suspect, fail, strict=True)
    ]


def gaps(times_s: Sequence[float], *, start_s: float, end_s: float, cadence_s: float) -> Iterator[Gap]:
    """Yield the gaps of a stretch, given the moments that were received.

    `times_s` is sorted and may reach beyond the stretch: the nearest moments outside tell the
    device's beat. Without them a reading is due at `start_s` and nothing is due at `end_s`.
    """
    before = [moment for moment in times_s if moment < start_s]
    after = [moment for moment in times_s if moment >= end_s]
    inside = [moment for moment in times_s if start_s <= moment < end_s]
    first = before[-1] if before and start_s - before[-1] <= cadence_s else start_s - cadence_s
    last = after[0] if after and after[0] - end_s < cadence_s else end_s
    for earlier, later in pairwise([first, *inside, last]):
        if later - earlier > 1.5 * cadence_s:
            yield Gap(max(earlier + cadence_s, start_s), min(later, end_s))


def assess(quantity: Quantity, times_s: Sequence[float], values: Sequence[float], *, cadence_s: float) -> list[Verdict]:
    """Return a verdict per reading of one series, sorted by time.

    Impossible values are set aside first, so that a 999 makes no spike or step of its neighbours.
    """
    ranges = [gross_range(value, plausible=quantity.plausible, usual=quantity.usual) for value in values]
    verdicts = [Verdict(flag, "range") if flag in (Flag.FAIL, Flag.SUSPECT) else Verdict(Flag.GOOD) for flag in ranges]
    kept = [index for index, flag in enumerate(ranges) if flag is not Flag.FAIL]
    moments, left = [times_s[index] for index in kept], [values[index] for index in kept]
    widen = min(3.0, max(0.5, (cadence_s / _BEAT_S) ** 0.5))
    if quantity.spike is not None:
        limits = Limits(quantity.spike.suspect * widen, quantity.spike.fail * widen)
        _mark(verdicts, kept, _near_spikes(left, moments, limits, reach_s=4 * cadence_s), "spike")
    if quantity.step is not None:
        failed = [verdicts[index].flag is Flag.FAIL for index in kept]
        _mark(verdicts, kept, _steps(left, moments, failed, limit=quantity.step * widen, reach_s=3 * cadence_s), "step")
    if quantity.flat_s is not None:
        flags = flat_line(left, moments, quantity.flat_s, tolerance=0.5 * 10**-quantity.decimals)
        exempt = quantity.flat_exempt
        if exempt is not None:
            flags = [
                Flag.GOOD if exempt.low <= value <= exempt.high else flag
                for flag, value in zip(flags, left, strict=True)
            ]
        _mark(verdicts, kept, flags, "flatline")
    return verdicts


def _by_size(deviation: float, limits: Limits) -> Flag:
    if deviation > limits.fail:
        return Flag.FAIL
    return Flag.SUSPECT if deviation > limits.suspect else Flag.GOOD


def _stuck_for(values: Sequence[float | None], times_s: Sequence[float], span_s: float, tolerance: float) -> list[bool]:
    # Monotonic queues hold the candidates for the smallest and the largest value of the last span.
    # `start` trails behind as the latest value that is at least a whole span old.
    lows: deque[int] = deque()
    highs: deque[int] = deque()
    present: deque[int] = deque()
    stuck = []
    for index, value in enumerate(values):
        if value is None:
            stuck.append(False)
            continue
        for queue, worse in ((lows, False), (highs, True)):
            while queue and _not_better(values[queue[-1]], value, is_high=worse):
                queue.pop()
            queue.append(index)
        present.append(index)
        while len(present) > 1 and times_s[index] - times_s[present[1]] >= span_s:
            gone = present.popleft()
            for queue in (lows, highs):
                if queue[0] == gone:
                    queue.popleft()
        covers = times_s[index] - times_s[present[0]] >= span_s and len(present) >= _MIN_FLAT_POINTS
        low, high = values[lows[0]], values[highs[0]]
        stuck.append(covers and low is not None and high is not None and high - low < tolerance)
    return stuck


def _not_better(old: float | None, new: float, *, is_high: bool) -> bool:
    if old is None:
        return True
    return old <= new if is_high else old >= new


def _near_spikes(values: Sequence[float], times_s: Sequence[float], limits: Limits, *, reach_s: float) -> list[Flag]:
    flags = spike(values, limits)
    for index in range(1, len(values) - 1):
        if times_s[index + 1] - times_s[index - 1] > reach_s:
            flags[index] = Flag.UNKNOWN  # neighbours beyond a gap say nothing
    return flags


def _steps(
    values: Sequence[float], times_s: Sequence[float], failed: Sequence[bool], *, limit: float, reach_s: float
) -> list[Flag]:
    flags = [Flag.UNKNOWN] * len(values)
    last: int | None = None
    for index in range(len(values)):
        if failed[index]:
            continue
        if last is not None and times_s[index] - times_s[last] <= reach_s:
            flags[index] = Flag.SUSPECT if abs(values[index] - values[last]) > limit else Flag.GOOD
        last = index
    return flags


def _mark(verdicts: list[Verdict], kept: Sequence[int], flags: Sequence[Flag], reason: str) -> None:
    for index, flag in zip(kept, flags, strict=True):
        if flag in (Flag.SUSPECT, Flag.FAIL) and flag > verdicts[index].flag:
            verdicts[index] = Verdict(flag, reason)
