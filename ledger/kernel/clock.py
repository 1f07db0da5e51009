"""Time: aware, UTC, whole milliseconds. Functions are given `now`; only the edge asks a clock."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from ledger.kernel.errors import OriginError

_JUMP = timedelta(seconds=0.5)


class TimeError(OriginError):
    """Text that should be an RFC 3339 time with an offset is not one."""

    code = "time"


class Clock(Protocol):
    """Whatever tells the time."""

    def now(self) -> datetime:
        """Return the current time, aware and in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the machine's time in UTC, cut to whole milliseconds."""
        return whole_ms(datetime.now(UTC))


class ShiftedClock:
    """The machine's clock moved by an offset kept in a small file, so that a demonstration can walk
    through yesterday. Settings refuse it in production.

    The file holds `{"offset_s": <seconds>}`; several processes read the same one. A missing file
    means no offset.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def now(self) -> datetime:
        """Return the shifted time in UTC."""
        return whole_ms(datetime.now(UTC) + timedelta(seconds=self.offset_s()))

    def offset_s(self) -> float:
        """Return the current offset in seconds."""
        try:
            return float(json.loads(self._path.read_text())["offset_s"])
        except FileNotFoundError:
            return 0.0

    @property
    def is_still_real(self) -> bool:
        """Whether nobody has shifted it yet."""
        return not self._path.exists()

    def move_to(self, moment: datetime) -> None:
        """Make `moment` the current time from now on."""
        offset = (moment - datetime.now(UTC)).total_seconds()
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps({"offset_s": offset}))
        part.replace(self._path)


class SteadyClock:
    """What another clock told once, carried on evenly: a machine's clock that is set does not move it.

    For whatever is aimed at a moment to come. `set` takes up the other clock's time, when nothing is under way.
    """

    def __init__(self, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._monotonic = clock, monotonic
        self._begun = clock.now(), monotonic()

    def now(self) -> datetime:
        """Return the time in UTC, cut to whole milliseconds."""
        told, at_s = self._begun
        return whole_ms(told + timedelta(seconds=self._monotonic() - at_s))

    def set(self) -> bool:
        """Take up the other clock's time and return whether that was a jump of half a second or more."""
        told, was = self._clock.now(), self.now()
        self._begun = told, self._monotonic()
        return abs(told - was) >= _JUMP


def whole_ms(moment: datetime) -> datetime:
    """Return the moment cut to whole milliseconds, as the log keeps it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def format_time(moment: datetime) -> str:
    """Return `2026-04-18T03:05:00.000Z`: the one way the log writes a time."""
    if moment.tzinfo is None:
        raise TimeError(f"{moment.isoformat()} has no time zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_time(text: str) -> datetime:
    """Return the aware UTC time that RFC 3339 text names. Raises TimeError."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise TimeError(f"{text!r} is not an RFC 3339 time") from error
    if moment.tzinfo is None:
        raise TimeError(f"{text!r} has no time zone")
    return whole_ms(moment.astimezone(UTC))


def offset_text(moment: datetime, zone: str) -> str:
    """Return the UTC offset of a place at a moment, as events carry it: `+08:00`."""
    text = f"{moment.astimezone(ZoneInfo(zone)):%z}"
    return f"{text[:3]}:{text[3:]}"
