"""Readings of one device over a stretch of time, judged and summed up. Pure.

Windows and cold-chain legs are both made of this: the same flags, the same counts, the same gaps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import fsum
from statistics import fmean, stdev

from farm_sensors.quality import Flag, Gap, Verdict, assess, gaps
from farm_sensors.quantities import Quantity, Summary
from ledger.events import SensorReport

ERROR_CONDITION = "ERROR_CONDITION"


@dataclass(frozen=True, slots=True)
class Point:
    """One stored reading. `suspect` is set where it was marked on arrival (`conflict`, `repeat`)."""

    id: int
    quantity: str
    at: datetime
    value: float
    is_late: bool
    suspect: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A reading with its flag and, where it is not good, the reason."""

    point: Point
    flag: Flag
    reason: str | None

    @property
    def is_usable(self) -> bool:
        """Whether a summary may count this reading."""
        return self.flag in (Flag.GOOD, Flag.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Completeness:
    """How many moments of measuring were due, came, were doubtful, came late, and what is missing."""

    expected: int
    received: int
    suspect: int
    late: int
    gaps: tuple[Gap, ...]


def judge(
    quantity: Quantity, points: Sequence[Point], *, start: datetime, end: datetime, cadence_s: float
) -> list[Judged]:
    """Return the readings of [start, end) with their flags.

    `points` is one quantity of one device in order of time; those outside the stretch are context
    for tests that look back or ahead. A repeated reading is left out of the tests and of the counts.
    """
    fresh = [point for point in points if point.suspect is None]
    verdicts = assess(
        quantity,
        [point.at.timestamp() for point in fresh],
        [point.value for point in fresh],
        cadence_s=cadence_s,
    )
    by_id = {point.id: verdict for point, verdict in zip(fresh, verdicts, strict=True)}
    judged = []
    for point in points:
        if start <= point.at < end:
            verdict = by_id.get(point.id, Verdict(Flag.FAIL, point.suspect))
            judged.append(Judged(point, verdict.flag, verdict.reason))
    return judged


def completeness(
    judged: Sequence[Judged],
    *,
    start: datetime,
    end: datetime,
    cadence_s: int,
    moments_around: Sequence[datetime] = (),
) -> Completeness:
    """Return how complete a device's stretch is, over all of its quantities together."""
    counted = [one for one in judged if one.reason != "repeat"]
    moments = {one.point.at for one in counted}
    times = sorted({moment.timestamp() for moment in moments.union(moments_around)})
    start_s, end_s = start.timestamp(), end.timestamp()
    return Completeness(
        expected=int((end_s - start_s) // cadence_s),
        received=len(moments),
        suspect=len({one.point.at for one in counted if not one.is_usable}),
        late=len({one.point.at for one in counted if one.point.is_late}),
        gaps=tuple(gaps(times, start_s=start_s, end_s=end_s, cadence_s=cadence_s)),
    )


def report(quantity: Quantity, judged: Sequence[Judged]) -> SensorReport:
    """Return a quantity's summary for an event; ERROR_CONDITION where no good reading stands."""
    values = [one.point.value for one in judged if one.is_usable]
    if not values:
        return SensorReport(
            type=quantity.sensor_type, component=quantity.component, exception=ERROR_CONDITION, uom=quantity.uom
        )
    has = quantity.summaries.__contains__
    return SensorReport(
        type=quantity.sensor_type,
        component=quantity.component,
        value=rounded(fsum(values), quantity) if has(Summary.SUM) else None,
        min_value=rounded(min(values), quantity) if has(Summary.MIN) else None,
        max_value=rounded(max(values), quantity) if has(Summary.MAX) else None,
        mean_value=rounded(fmean(values), quantity) if has(Summary.MEAN) else None,
        s_dev=rounded(stdev(values), quantity) if has(Summary.DEVIATION) and len(values) > 1 else None,
        uom=quantity.uom,
    )


def rounded(value: float, quantity: Quantity) -> int | float:
    """Return a value as events carry it: to the quantity's decimals, whole numbers as integers."""
    short = round(value, quantity.decimals)
    return int(short) if short == int(short) else short


def moment(seconds: float) -> datetime:
    """Return the UTC time of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
