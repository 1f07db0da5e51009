"""What a pack of readings says: SenML records into our quantities and units, and back. Pure.

Shared by both ends: the gateway writes packs, the ingest opens them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from farm_sensors.codecs import senml
from farm_sensors.errors import (
    MalformedPackError,
    PackTooLargeError,
    ReadingFromFutureError,
    UnknownQuantityError,
    WrongUnitError,
)
from farm_sensors.quantities import QUANTITIES, SEQUENCE, Quantity
from ledger.kernel.clock import format_time, whole_ms

MAX_PACK_BYTES: Final = 65_536
MAX_PACK_RECORDS: Final = 2_000
SIGNATURE_BYTES: Final = 64
AHEAD_ALLOWED: Final = timedelta(minutes=5)

_MAX_SEQUENCE: Final = 2**53 - 1
_EARLIEST_S: Final = datetime(2000, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Reading:
    """One decoded reading, in the unit of its quantity."""

    quantity: str
    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Pack:
    """What a pack says: its number among the device's packs, if it has one, and its readings by time."""

    sequence: int | None
    readings: tuple[Reading, ...]


def open_pack(body: bytes, *, device_id: str, quantities: Sequence[str], now: datetime) -> Pack:
    """Return what a pack says, or raise a PackError: wrong form, unknown quantity, wrong unit, future.

    Pure. A record is named by a quantity alone or by the device's id, a slash and the quantity.
    """
    records = senml.decode(body)
    if len(records) > MAX_PACK_RECORDS:
        raise PackTooLargeError(len(records), MAX_PACK_RECORDS, "records")
    own = f"{device_id}/"
    sequence: int | None = None
    taken: dict[tuple[str, datetime], Reading] = {}
    is_timed = True
    for index, record in enumerate(records):
        path = f"$[{index}]"
        name = record.name.removeprefix(own)
        if name == SEQUENCE:
            sequence = _sequence(record, path, sequence)
            continue
        quantity = _quantity(name, path, quantities)
        measured = _measured(record, quantity, path, now)
        if taken.setdefault((name, measured.at), measured) is not measured:
            raise MalformedPackError(path, f"gives {name} at {format_time(measured.at)} a second time")
        is_timed = is_timed and not record.is_relative
    if not taken:
        raise MalformedPackError("$", "holds no reading")
    if sequence is None and not is_timed:
        # Two such packs may be alike byte for byte, and a copy would look like a second measurement.
        raise MalformedPackError("$", f"needs absolute times or a {SEQUENCE!r} record, or a copy cannot be told")
    return Pack(sequence, tuple(sorted(taken.values(), key=lambda reading: (reading.at, reading.quantity))))


def pack_bytes(device_id: str, sequence: int, readings: Sequence[Reading]) -> bytes:
    """Return the SenML of a numbered pack, ready to be signed. Times are kept to the millisecond."""
    start = min(reading.at for reading in readings)
    records: list[dict[str, object]] = [
        {"bn": f"{device_id}/", "bt": start.timestamp(), "n": SEQUENCE, "u": "count", "v": sequence}
    ]
    for reading in readings:
        record: dict[str, object] = {
            "n": reading.quantity,
            "u": QUANTITIES[reading.quantity].unit,
            "v": reading.value,
        }
        if reading.at != start:
            record["t"] = _seconds_after(start, reading.at)
        records.append(record)
    return senml.encode(records)


def _sequence(record: senml.Record, path: str, earlier: int | None) -> int:
    if earlier is not None:
        raise MalformedPackError(path, "numbers the pack a second time")
    value = record.value
    if isinstance(value, bool) or not isinstance(value, float) or not value.is_integer():
        raise MalformedPackError(path, "a sequence is a whole number")
    if not 0 <= value <= _MAX_SEQUENCE:
        raise MalformedPackError(path, f"a sequence lies between 0 and {_MAX_SEQUENCE}")
    if record.unit not in (None, "count"):
        raise WrongUnitError(path, SEQUENCE, record.unit, ("count",))
    return int(value)


def _quantity(name: str, path: str, enrolled: Sequence[str]) -> Quantity:
    if name not in enrolled or name not in QUANTITIES:
        raise UnknownQuantityError(path, name, sorted(QUANTITIES.keys() & set(enrolled)))
    return QUANTITIES[name]


def _measured(record: senml.Record, quantity: Quantity, path: str, now: datetime) -> Reading:
    if isinstance(record.value, bool) or not isinstance(record.value, float):
        raise MalformedPackError(path, f"{quantity.name} is a number")
    if record.unit is None or record.unit not in quantity.units:
        raise WrongUnitError(path, quantity.name, record.unit, quantity.units)
    seconds = now.timestamp() + record.time if record.is_relative else record.time
    if seconds > (now + AHEAD_ALLOWED).timestamp():
        raise ReadingFromFutureError(path, _time_text(seconds), format_time(now))
    if seconds < _EARLIEST_S:
        raise MalformedPackError(path, "was measured before the year 2000")
    at = datetime.fromtimestamp(round(seconds * 1000) / 1000, UTC)
    return Reading(quantity.name, whole_ms(at), quantity.in_unit(record.value, record.unit))


def _time_text(seconds: float) -> str:
    try:
        return format_time(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s after 1970"


def _seconds_after(start: datetime, at: datetime) -> float:
    return round((at - start).total_seconds(), 3)
