"""What a cold chain says of a load or a room: the curve, its extremes, and the minutes outside the range.

The packing house and the receiver put these sensor elements into `pre_cooled` and `delivered`; they
hold summaries, and the hash of the readings behind them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import fsum
from typing import Final, cast

from sqlmodel import Session

from farm_sensors.devices import attachments
from farm_sensors.errors import NoSeriesError
from farm_sensors.events import LEG_METHOD, PULP_METHOD
from farm_sensors.models import Device
from farm_sensors.quality import Gap
from farm_sensors.quantities import QUANTITIES, WARM_TEMPERATURES, Quantity, Span
from farm_sensors.series import Completeness, Judged, completeness, judge, report, rounded
from farm_sensors.windows import LOOK_BACK, points_of, raw_bytes
from ledger.events import SensorElement, SensorMetadata, SensorReport
from ledger.kernel.clock import format_time, whole_ms
from ledger.kernel.files import FileStore
from ledger.kernel.ids import DeviceId, LoadId, PlaceId
from ledger.vocabulary import COMPONENT, Unit

ALARM_CONDITION: Final = "ALARM_CONDITION"
_PULP: Final = "pulp-temperature"
_ROOM: Final = "room-temperature"


@dataclass(frozen=True, slots=True)
class Summary:
    """A temperature series in short. Minutes are whole; time inside gaps counts for neither side."""

    readings: int
    min_celsius: float
    max_celsius: float
    mean_celsius: float
    minutes_above: int
    minutes_below: int
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class Leg:
    """A load's (or a place's) temperatures over a stretch of time, ready for an event and a page."""

    device: DeviceId
    quantity: str
    element: SensorElement
    summary: Summary
    counts: Completeness
    curve: tuple[tuple[datetime, float], ...]


@dataclass(frozen=True, slots=True)
class Cooling:
    """A lot's pulp on its way down and the room around it. Either side is None where nobody measured it.

    `started_at` and `ended_at` are the first and the last pulp reading, or those of the room.
    """

    elements: tuple[SensorElement, ...]
    started_at: datetime
    ended_at: datetime
    pulp_start_celsius: float | None
    pulp_end_celsius: float | None
    room: Summary | None
    curve: tuple[tuple[datetime, float], ...]


def summarise(
    times_s: Sequence[float], celsius: Sequence[float], *, wanted: Span, cadence_s: float, gaps: Sequence[Gap] = ()
) -> Summary:
    """Return the summary of a series in order of time, of at least one value. Pure.

    Between two readings the temperature is taken as a straight line, so a crossing counts from where
    the line crosses. Two readings further apart than one and a half beats are not joined.
    """
    above = below = 0.0
    held = 0.0
    weights: list[float] = []
    for (t0, c0), (t1, c1) in pairwise(zip(times_s, celsius, strict=True)):
        if t1 - t0 > 1.5 * cadence_s:
            continue
        above += (t1 - t0) * _share_above(c0 - wanted.high, c1 - wanted.high)
        below += (t1 - t0) * _share_above(wanted.low - c0, wanted.low - c1)
        weights.append((t1 - t0) * (c0 + c1) / 2)
        held += t1 - t0
    return Summary(
        readings=len(celsius),
        min_celsius=min(celsius),
        max_celsius=max(celsius),
        mean_celsius=fsum(weights) / held if held else fsum(celsius) / len(celsius),
        minutes_above=round(above / 60),
        minutes_below=round(below / 60),
        gaps=tuple(gaps),
    )


def leg(
    session: Session,
    files: FileStore,
    target: LoadId | PlaceId,
    *,
    start: datetime,
    end: datetime,
    wanted: Span,
) -> Leg:
    """Return the temperatures of a load, or of a place, from `start` to `end`.

    Of several temperatures the load's own is taken before the room's. Raises NoSeriesError where
    nothing usable was measured. Writes the readings behind it to `files`; asking twice changes nothing.
    """
    start, end = whole_ms(start), whole_ms(end)
    for name in WARM_TEMPERATURES:
        for attachment, device in attachments(session, target, start=start, end=end):
            if name not in device.quantities:
                continue
            since = max(start, attachment.from_at)
            until = end if attachment.until_at is None else min(end, attachment.until_at)
            found = _leg(session, files, device, QUANTITIES[name], start=since, end=until, wanted=wanted)
            if found is not None:
                return found
    raise NoSeriesError(target, format_time(start), format_time(end))


def pulp_series(session: Session, files: FileStore, cooler: PlaceId, *, start: datetime, end: datetime) -> Cooling:
    """Return what the probes in a cooler measured while a lot was cooled, for `pre_cooled`.

    Raises NoSeriesError where neither pulp nor room temperature was measured.
    """
    start, end = whole_ms(start), whole_ms(end)
    elements: list[SensorElement] = []
    pulp: list[Judged] = []
    room: list[Judged] = []
    summary: Summary | None = None
    for _, device in attachments(session, cooler, start=start, end=end):
        names = [name for name in (_PULP, _ROOM) if name in device.quantities]
        judged, digests = _judged(session, device, names, start=start, end=end)
        usable = {name: [one for one in judged if one.is_usable and one.point.quantity == name] for name in names}
        reports = _pulp_reports(usable.get(_PULP, [])) + _room_reports(usable.get(_ROOM, []))
        if not reports:
            continue
        pulp, room = pulp or usable.get(_PULP, []), room or usable.get(_ROOM, [])
        elements.append(
            SensorElement(
                sensor_metadata=SensorMetadata(
                    start_time=format_time(start),
                    end_time=format_time(end),
                    device_id=device.id,
                    raw_data=files.put(raw_bytes(device, judged, digests, start=start, end=end)),
                    data_processing_method=PULP_METHOD,
                ),
                sensor_report=tuple(reports),
            )
        )
        if room and summary is None:
            times, values = _columns(room)
            summary = summarise(times, values, wanted=Span(-273, 273), cadence_s=cast("int", device.cadence_s))
    if not elements:
        raise NoSeriesError(cooler, format_time(start), format_time(end))
    told = pulp or room
    return Cooling(
        elements=tuple(elements),
        started_at=told[0].point.at,
        ended_at=told[-1].point.at,
        pulp_start_celsius=pulp[0].point.value if pulp else None,
        pulp_end_celsius=pulp[-1].point.value if pulp else None,
        room=summary,
        curve=tuple((one.point.at, one.point.value) for one in told),
    )


def _leg(
    session: Session,
    files: FileStore,
    device: Device,
    quantity: Quantity,
    *,
    start: datetime,
    end: datetime,
    wanted: Span,
) -> Leg | None:
    cadence_s = cast("int", device.cadence_s)
    judged, digests = _judged(session, device, [quantity.name], start=start, end=end)
    usable = [one for one in judged if one.is_usable]
    if not usable:
        return None
    counts = completeness(judged, start=start, end=end, cadence_s=cadence_s)
    times, values = _columns(usable)
    summary = summarise(times, values, wanted=wanted, cadence_s=cadence_s, gaps=counts.gaps)
    reports = [
        SensorReport(
            type=quantity.sensor_type,
            component=quantity.component,
            min_value=rounded(summary.min_celsius, quantity),
            max_value=rounded(summary.max_celsius, quantity),
            mean_value=rounded(summary.mean_celsius, quantity),
            uom=quantity.uom,
        )
    ]
    for side, minutes in (("above-range", summary.minutes_above), ("below-range", summary.minutes_below)):
        if minutes:
            reports.append(
                SensorReport(
                    type="Time",
                    component=COMPONENT + side,
                    exception=ALARM_CONDITION,
                    value=minutes,
                    uom=Unit.MINUTE,
                )
            )
    element = SensorElement(
        sensor_metadata=SensorMetadata(
            start_time=format_time(start),
            end_time=format_time(end),
            device_id=device.id,
            raw_data=files.put(raw_bytes(device, judged, digests, start=start, end=end)),
            data_processing_method=LEG_METHOD,
        ),
        sensor_report=tuple(reports),
    )
    curve = tuple((one.point.at, one.point.value) for one in usable)
    return Leg(DeviceId(device.id), quantity.name, element, summary, counts, curve)


def _judged(
    session: Session, device: Device, names: Sequence[str], *, start: datetime, end: datetime
) -> tuple[list[Judged], dict[int, str]]:
    # A leg ends at the moment of delivery, and a reading of that very moment belongs to it.
    end += timedelta(milliseconds=1)
    points, digests = points_of(session, device, start=start - LOOK_BACK, end=end)
    judged = [
        one
        for name in names
        for one in judge(
            QUANTITIES[name],
            [point for point in points if point.quantity == name],
            start=start,
            end=end,
            cadence_s=cast("int", device.cadence_s),
        )
    ]
    return sorted(judged, key=lambda one: (one.point.at, one.point.id)), digests


def _pulp_reports(usable: Sequence[Judged]) -> list[SensorReport]:
    quantity = QUANTITIES[_PULP]
    ends = [usable[0], usable[-1]] if len(usable) > 1 else usable
    return [
        SensorReport(
            type=quantity.sensor_type,
            component=quantity.component,
            time=format_time(one.point.at),
            value=rounded(one.point.value, quantity),
            uom=quantity.uom,
        )
        for one in ends
    ]


def _room_reports(usable: Sequence[Judged]) -> list[SensorReport]:
    return [report(QUANTITIES[_ROOM], usable)] if usable else []


def _columns(judged: Sequence[Judged]) -> tuple[list[float], list[float]]:
    return [one.point.at.timestamp() for one in judged], [one.point.value for one in judged]


def _share_above(over0: float, over1: float) -> float:
    """Return which share of a straight line between two values lies above zero."""
    if over0 <= 0 and over1 <= 0:
        return 0.0
    if over0 > 0 and over1 > 0:
        return 1.0
    return max(over0, over1) / (abs(over0) + abs(over1))
