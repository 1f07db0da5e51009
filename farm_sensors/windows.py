"""Windows: one closed hour of one place, or of one load on its way, is one event in the log.

Hours are UTC hours of event time. An hour closes once it is over and a stated patience has passed.
What arrives after that is kept, marked, and counted on the window for a later correction; the event
is not rewritten.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias, cast

from sqlalchemy import CursorResult, Table, Update, bindparam, text, update
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, func, select

from farm_sensors.events import WINDOW_METHOD, WindowCounts, WindowGap, is_load, window_closed
from farm_sensors.models import NO_WINDOW, Attachment, Device, Message, StoredReading, Window
from farm_sensors.quality import Flag
from farm_sensors.quantities import QUANTITIES
from farm_sensors.series import Completeness, Judged, Point, completeness, judge, moment, report
from ledger.canonical import canonical
from ledger.events import SensorElement, SensorMetadata
from ledger.kernel.clock import format_time, whole_ms
from ledger.kernel.files import FileStore
from ledger.kernel.ids import DeviceId, LoadId, PartyId, PlaceId, new_event_id
from ledger.log import record

HOUR: Final = timedelta(hours=1)
SILENT_HOURS: Final = 3
"""Empty hours that are recorded after a device was last heard; then its silence is told by `last_seen`."""

LOOK_BACK: Final = timedelta(hours=12)
"""How far the flat-line test may look back before a window."""

_LANE: Final = 0x67_7977_696E  # "gywin": one closer in the whole PostgreSQL database

_DEVICE: Final[Table] = Device.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
_READING: Final[Table] = StoredReading.__table__  # type: ignore[attr-defined]
_MESSAGE: Final[Table] = Message.__table__  # type: ignore[attr-defined]
_Places: TypeAlias = dict[int, list[tuple[Attachment, Device]]]


@dataclass(frozen=True, slots=True)
class _Presence:
    """A device at a target within one hour."""

    device: Device
    start: datetime
    end: datetime


@dataclass(slots=True)
class _Due:
    """An hour of a target that may be closed now."""

    target: str
    hour: int
    has_open: bool = False
    presences: list[_Presence] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Part:
    """One device's share of a window."""

    presence: _Presence
    judged: list[Judged]
    counts: Completeness
    element: SensorElement


def close_due(
    session: Session, files: FileStore, *, now: datetime, patience_s: int, zone: str, limit: int = 500
) -> int:
    """Close every hour that is over for at least `patience_s` seconds; return how many were closed.

    Safe to call again and after a crash: an hour of a target is closed once. At most `limit` windows
    are closed in one call, the oldest first. Each records `window_closed`; its raw readings go to
    `files` and their hash into the event. With one device at the target that device is the recorder;
    with several, the party that enrolled the first of them, and each device has its own element.
    """
    _take_lane(session)
    moment_now = whole_ms(now)
    last_hour = int((moment_now.timestamp() - patience_s) // 3600) - 1
    places = _attached(session)
    _leave_homeless(session, places, last_hour=last_hour)
    due = _due(session, places, last_hour=last_hour)
    windows = _windows(session, {one.hour for one in due})
    fresh = [one for one in due if (one.target, one.hour) not in windows]
    for one in fresh[:limit]:
        _close(session, files, one, now=moment_now, zone=zone)
    for one in due:
        window = windows.get((one.target, one.hour))
        if window is not None and one.has_open:
            _note_missed(session, window, one)
    return len(fresh[:limit])


def _windows(session: Session, hours: Collection[int]) -> dict[tuple[str, int], Window]:
    found = session.exec(select(Window).where(col(Window.hour).in_(sorted(hours))))
    return {(window.target, window.hour): window for window in found}


def _take_lane(session: Session) -> None:
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LANE})


def _attached(session: Session) -> _Places:
    rows = session.exec(
        select(Attachment, Device)
        .join(Device, col(Attachment.device) == col(Device.number))
        .where(col(Device.cadence_s).is_not(None))
        .order_by(Device.id, col(Attachment.from_at))
    )
    places: _Places = defaultdict(list)
    for attachment, device in rows:
        places[attachment.device].append((attachment, device))
    return places


def _due(session: Session, places: _Places, *, last_hour: int) -> list[_Due]:
    """Return every hour of a target that has open readings, or was empty while its device fell silent."""
    waiting = _open_hours(session, last_hour)
    heard = {number: set(hours) for number, hours in waiting.items()}
    for number, hour in _last_heard(session, places.keys(), last_hour):
        heard.setdefault(number, set()).add(hour)
    due: dict[tuple[int, str], _Due] = {}
    for number, hours in heard.items():
        attached = [attachment for attachment, _ in places.get(number, ())]
        for hour in hours:
            here = {attachment.target for attachment in attached if _overlap(attachment, hour) is not None}
            for later in range(hour, min(hour + SILENT_HOURS, last_hour) + 1):
                # Silence counts where the device was last heard: a logger at rest at home misses nothing.
                for attachment in attached:
                    if attachment.target in here and _overlap(attachment, later) is not None:
                        due.setdefault((later, attachment.target), _Due(attachment.target, later))
            for target in here if hour in waiting.get(number, ()) else ():
                due[hour, target].has_open = True
    for one in due.values():
        one.presences = _presences(places, one)
    return [due[key] for key in sorted(due)]


def _open_hours(session: Session, last_hour: int) -> dict[int, set[int]]:
    hours: dict[int, set[int]] = defaultdict(set)
    found = session.exec(
        select(StoredReading.device, StoredReading.hour)
        .where(col(StoredReading.window_id).is_(None), StoredReading.hour <= last_hour)
        .distinct()
    )
    for number, hour in found:
        hours[number].add(hour)
    return hours


def _last_heard(session: Session, numbers: Iterable[int], last_hour: int) -> list[tuple[int, int]]:
    # One look at the end of each device's series: grouping would read every reading there is.
    end = _bounds(last_hour)[1]
    latest = (
        select(func.max(StoredReading.at))
        .where(
            StoredReading.device == Device.number,
            col(StoredReading.at) < end,
            col(StoredReading.window_id).is_distinct_from(NO_WINDOW),
        )
        .correlate(Device)
        .scalar_subquery()
    )
    found = session.execute(select(_DEVICE.c.number, latest).where(_DEVICE.c.number.in_(sorted(numbers))))
    return [(number, int(at.timestamp() // 3600)) for number, at in found if at is not None]


def _leave_homeless(session: Session, places: _Places, *, last_hour: int) -> None:
    """Take readings from before a device's enrolment out of the queue: they belong to no place."""
    c = _READING.c
    for number, attached in places.items():
        session.execute(
            update(_READING)
            .where(c.window_id.is_(None), c.hour <= last_hour, c.device == number, c.at < attached[0][0].from_at)
            .values(window_id=NO_WINDOW)
        )


def _overlap(attachment: Attachment, hour: int) -> tuple[datetime, datetime] | None:
    start, end = _bounds(hour)
    start = max(start, attachment.from_at)
    if attachment.until_at is not None:
        end = min(end, attachment.until_at)
    return (start, end) if start < end else None


def _presences(places: _Places, one: _Due) -> list[_Presence]:
    found = []
    for attached in places.values():
        for attachment, device in attached:
            stretch = _overlap(attachment, one.hour) if attachment.target == one.target else None
            if stretch is not None:
                found.append(_Presence(device, *stretch))
    return sorted(found, key=lambda presence: (presence.device.id, presence.start))


def _close(session: Session, files: FileStore, due: _Due, *, now: datetime, zone: str) -> None:
    start, end = _bounds(due.hour)
    parts = [_part(session, files, presence, start=start, end=end) for presence in due.presences]
    counts = WindowCounts(
        expected=sum(part.counts.expected for part in parts),
        received=sum(part.counts.received for part in parts),
        suspect=sum(part.counts.suspect for part in parts),
        late=sum(part.counts.late for part in parts),
        gaps=tuple(
            WindowGap(DeviceId(part.presence.device.id), moment(gap.from_s), moment(gap.to_s))
            for part in parts
            for gap in part.counts.gaps
        ),
        closed_at=now,
    )
    first = due.presences[0].device
    is_alone = len({presence.device.id for presence in due.presences}) == 1
    event_id = new_event_id(now)
    record(
        session,
        window_closed(
            event_id=event_id,
            end=end,
            zone=zone,
            target=LoadId(due.target) if is_load(due.target) else PlaceId(due.target),
            recorder=DeviceId(first.id) if is_alone else PartyId(first.recorder),
            elements=[part.element for part in parts],
            counts=counts,
        ),
        now=now,
    )
    window = Window(
        target=due.target,
        hour=due.hour,
        closed_at=now,
        event_id=event_id,
        expected=counts.expected,
        received=counts.received,
        suspect=counts.suspect,
        late=counts.late,
    )
    session.add(window)
    session.flush()
    _set_flags(session, parts, cast("int", window.id))


def _part(session: Session, files: FileStore, presence: _Presence, *, start: datetime, end: datetime) -> _Part:
    device, cadence_s = presence.device, cast("int", presence.device.cadence_s)
    points, messages = points_of(session, device, start=presence.start - LOOK_BACK, end=presence.end + HOUR)
    names = [name for name in device.quantities if name in QUANTITIES]
    judged: dict[str, list[Judged]] = {
        name: judge(
            QUANTITIES[name],
            [point for point in points if point.quantity == name],
            start=presence.start,
            end=presence.end,
            cadence_s=cadence_s,
        )
        for name in names
    }
    every = sorted((one for group in judged.values() for one in group), key=lambda one: (one.point.at, one.point.id))
    raw = files.put(raw_bytes(device, every, messages, start=start, end=end)) if every else None
    element = SensorElement(
        sensor_metadata=SensorMetadata(
            start_time=format_time(start),
            end_time=format_time(end),
            device_id=device.id,
            raw_data=raw,
            data_processing_method=WINDOW_METHOD,
        ),
        sensor_report=tuple(report(QUANTITIES[name], judged[name]) for name in names),
    )
    around = [point.at for point in points if not presence.start <= point.at < presence.end]
    counts = completeness(every, start=presence.start, end=presence.end, cadence_s=cadence_s, moments_around=around)
    return _Part(presence, every, counts, element)


def points_of(
    session: Session, device: Device, *, start: datetime, end: datetime
) -> tuple[list[Point], dict[int, str]]:
    """Return a device's readings in [start, end) by time, and the digest (hex) of the message of each."""
    r, m = _READING.c, _MESSAGE.c
    rows = session.execute(
        select_columns(r.id, r.quantity, r.at, r.value, r.is_late, r.suspect, m.digest)
        .join(_MESSAGE, r.message_id == m.id)
        .where(r.device == device.number, r.at >= start, r.at < end)
        .order_by(r.at, r.id)
    ).all()
    # `suspect` set on arrival stays; what a window found is found again from the values.
    on_arrival = ("conflict", "repeat")
    points = [Point(row[0], row[1], row[2], row[3], row[4], row[5] if row[5] in on_arrival else None) for row in rows]
    return points, {row[0]: row[6].hex() for row in rows}


def raw_bytes(
    device: Device, judged: Sequence[Judged], messages: dict[int, str], *, start: datetime, end: datetime
) -> bytes:
    """Return the bytes behind a summary: every reading with its flag, and the messages that carried them."""
    ordered = sorted({messages[one.point.id] for one in judged})
    place = {digest: index for index, digest in enumerate(ordered)}
    document: dict[str, Any] = {
        "format": "guoyuan-readings/1",
        "device": device.id,
        "from": format_time(start),
        "to": format_time(end),
        "messages": ordered,
        "readings": [
            {
                "at": format_time(one.point.at),
                "quantity": one.point.quantity,
                "value": one.point.value,
                "unit": QUANTITIES[one.point.quantity].unit,
                "flag": int(one.flag),
                "message": place[messages[one.point.id]],
                **({"suspect": one.reason} if one.reason else {}),
            }
            for one in judged
        ],
    }
    return canonical(document)


def _set_flags(session: Session, parts: Sequence[_Part], window_id: int) -> None:
    """Note on each reading which window holds it and what its tests said: most are good, at one stroke."""
    for part in parts:
        session.execute(_of(part.presence).values(window_id=window_id, flag=int(Flag.GOOD)))

    marked = [
        {"reading": one.point.id, "flag_": int(one.flag), "reason": one.reason}
        for part in parts
        for one in part.judged
        if one.flag is not Flag.GOOD
    ]
    if marked:
        session.execute(
            update(_READING)
            .where(_READING.c.id == bindparam("reading"))
            .values(flag=bindparam("flag_"), suspect=bindparam("reason")),
            marked,
        )


def _of(presence: _Presence) -> Update:
    """Return an update of the readings of one device at one target within one hour that no window holds."""
    c = _READING.c
    return update(_READING).where(
        c.window_id.is_(None), c.device == presence.device.number, c.at >= presence.start, c.at < presence.end
    )


def _note_missed(session: Session, window: Window, due: _Due) -> None:
    """Mark what came after the window was closed, and count it there."""
    for presence in due.presences:
        missed = session.execute(_of(presence).values(window_id=window.id, missed_window=True))
        window.missed += cast("CursorResult[Any]", missed).rowcount
    session.add(window)
    session.flush()


def _bounds(hour: int) -> tuple[datetime, datetime]:
    start = datetime.fromtimestamp(hour * 3600, UTC)
    return start, start + HOUR
