"""Weather that was really measured, read from files and played again on another day.

Two forms are known by their first line:

- AgriMet hourly (US Bureau of Reclamation): `YEAR,MONTH,DAY,HOUR,OB,TP,WS,SI`, local standard time;
  air temperature and dew point in Fahrenheit, wind in miles per hour, sun in langley per hour.
- our own: `time,quantity,value,unit`, one reading per line; RFC 3339 times, a quantity of
  `farm_sensors.quantities` and one of its SenML units.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from math import exp, inf, isfinite
from pathlib import Path
from statistics import fmean
from typing import Final

from farm_sensors.errors import UnreadableFileError
from farm_sensors.quantities import QUANTITIES
from ledger.kernel.clock import TimeError, parse_time

AGRIMET_HEADER: Final = ("YEAR", "MONTH", "DAY", "HOUR", "OB", "TP", "WS", "SI")
OWN_HEADER: Final = ("time", "quantity", "value", "unit")

WATTS_PER_LANGLEY_HOUR: Final = 41_868 / 3_600
"""A langley is a calorie per square centimetre; with the international calorie (4.1868 J): 11.63 W/m2."""

METRES_PER_MILE: Final = 1609.344
MAX_FILE_BYTES: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """All that one station measured at one moment: (quantity, value, SenML unit), in the kept units."""

    time: datetime
    values: tuple[tuple[str, float, str], ...]


def read(path: Path) -> list[Row]:
    """Return the rows of a weather file of either known form, by time. Raises UnreadableFileError."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UnreadableFileError(str(path), f"is larger than {MAX_FILE_BYTES} bytes")
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            header = tuple(cell.strip() for cell in next(lines, []))
            if header == AGRIMET_HEADER:
                rows = list(_agrimet(path, lines))
            elif header == OWN_HEADER:
                rows = _own(path, lines)
            else:
                known = f"{','.join(AGRIMET_HEADER)} or {','.join(OWN_HEADER)}"
                raise UnreadableFileError(str(path), f"its first line is neither {known}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFileError(str(path), f"cannot be read: {error}") from error
    if not rows:
        raise UnreadableFileError(str(path), "holds no readings")
    return sorted(rows, key=lambda row: row.time)


def day_of(rows: Sequence[Row], wanted: date | None = None) -> list[Row]:
    """Return one complete day of rows: as many as the fullest day has, at an even beat.

    Without `wanted` the complete day in the middle of the file is taken. Raises UnreadableFileError
    where that day is missing or has holes. AgriMet days are those of the station's own clock.
    """
    days = _days(rows)
    full = _full(rows)
    complete = [day for day in sorted(days) if len(days[day]) == full]
    if wanted is None:
        return days[complete[len(complete) // 2]]
    if wanted not in days:
        raise UnreadableFileError("weather", f"has no readings of {wanted}; it runs from {min(days)} to {max(days)}")
    if wanted not in complete:
        raise UnreadableFileError("weather", f"{wanted} has {len(days[wanted])} of {full} rows; choose a complete day")
    return days[wanted]


def warmest_day(rows: Sequence[Row]) -> list[Row]:
    """Return the complete day with the highest mean air temperature."""
    full = _full(rows)
    days = [group for group in _days(rows).values() if len(group) == full]
    return max(days, key=_mean_air_celsius)


def onto(rows: Sequence[Row], start: datetime) -> list[Row]:
    """Return a day's rows moved so that its midnight falls on `start`."""
    midnight = rows[0].time.replace(hour=0, minute=0, second=0, microsecond=0)
    return [Row(start + (row.time - midnight), row.values) for row in rows]


def beat_of(rows: Sequence[Row]) -> int:
    """Return the seconds between two rows of a complete day: the cadence to enrol its device with."""
    return round(min((later.time - earlier.time).total_seconds() for earlier, later in pairwise(rows)))


def relative_humidity(air_celsius: float, dew_point_celsius: float) -> float:
    """Return %RH from dew point: FAO-56 equations 10 to 12 and 14 (e0 = 0.6108 exp(17.27 T / (T + 237.3)))."""
    return min(100.0, 100.0 * _saturation(dew_point_celsius) / _saturation(air_celsius))


def _days(rows: Sequence[Row]) -> dict[date, list[Row]]:
    days: dict[date, list[Row]] = defaultdict(list)
    for row in rows:
        days[row.time.date()].append(row)
    return days


def _full(rows: Sequence[Row]) -> int:
    return max(len(group) for group in _days(rows).values())


def _mean_air_celsius(rows: Sequence[Row]) -> float:
    measured = [value for row in rows for name, value, _ in row.values if name == "air-temperature"]
    return fmean(measured) if measured else -inf


def _saturation(celsius: float) -> float:
    return 0.6108 * exp(17.27 * celsius / (celsius + 237.3))


def _agrimet(path: Path, lines: Iterator[list[str]]) -> Iterator[Row]:
    for number, cells in enumerate(lines, start=2):
        if not cells:
            continue
        try:
            year, month, day, hour = (int(cell) for cell in cells[:4])
            air, dew, wind, sun = (float(cell) for cell in cells[4:8])
            # Hour 24 is written by some stations for midnight. UTC stands in for the station's clock.
            at = datetime(year, month, day, tzinfo=UTC) + timedelta(hours=hour)
        except ValueError as error:
            raise UnreadableFileError(
                str(path), f"line {number}: {','.join(cells)!r} is not a row of numbers"
            ) from error
        if not all(isfinite(value) for value in (air, dew, wind, sun)):
            raise UnreadableFileError(str(path), f"line {number}: holds a value that is no number")
        air_celsius, dew_celsius = _celsius(air), _celsius(dew)
        yield _row(
            at,
            {
                "air-temperature": round(air_celsius, 2),
                "air-humidity": round(relative_humidity(air_celsius, dew_celsius), 1),
                "wind-speed": round(wind * METRES_PER_MILE / 3600, 2),
                "irradiance": round(sun * WATTS_PER_LANGLEY_HOUR, 1),
            },
        )


def _own(path: Path, lines: Iterator[list[str]]) -> list[Row]:
    moments: dict[datetime, dict[str, float]] = defaultdict(dict)
    for number, cells in enumerate(lines, start=2):
        if not cells:
            continue
        where = f"line {number}"
        if len(cells) != len(OWN_HEADER):
            raise UnreadableFileError(str(path), f"{where}: has {len(cells)} columns, expected {len(OWN_HEADER)}")
        time, name, number_text, unit = (cell.strip() for cell in cells)
        quantity = QUANTITIES.get(name)
        if quantity is None:
            known = ", ".join(sorted(QUANTITIES))
            raise UnreadableFileError(str(path), f"{where}: unknown quantity {name!r}; known are {known}")
        if unit not in quantity.units:
            raise UnreadableFileError(
                str(path), f"{where}: {name} came in {unit!r}; expected {' or '.join(quantity.units)}"
            )
        try:
            value = quantity.in_unit(float(number_text), unit)
            at = parse_time(time)
        except (ValueError, TimeError) as error:
            raise UnreadableFileError(str(path), f"{where}: {error}") from error
        if not isfinite(value):
            raise UnreadableFileError(str(path), f"{where}: {number_text!r} is no number")
        moments[at][name] = value
    return [_row(at, values) for at, values in moments.items()]


def _row(at: datetime, values: Mapping[str, float]) -> Row:
    return Row(at, tuple((name, value, QUANTITIES[name].unit) for name, value in values.items()))


def _celsius(fahrenheit: float) -> float:
    return (fahrenheit - 32) * 5 / 9
