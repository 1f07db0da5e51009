"""A signed pack of readings becomes rows: verified, decoded, refused whole or stored whole.

What is taken twice is stored once. What comes under a number or a moment already used, but says
something else, is kept beside the first and marked: nothing that was accepted is ever overwritten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from nacl.exceptions import BadSignatureError as _BadSignature
from nacl.signing import VerifyKey
from sqlalchemy import Table
from sqlmodel import Session, col, select

from farm_sensors.codecs import senml
from farm_sensors.errors import (
    BadSignatureError,
    MalformedPackError,
    PackError,
    PackTooLargeError,
    ReadingFromFutureError,
    SensorError,
    UnknownDeviceError,
    UnknownQuantityError,
    WrongUnitError,
)
from farm_sensors.models import Device, Message, Reading, Refusal
from farm_sensors.quality import Flag
from farm_sensors.quantities import QUANTITIES, SEQUENCE, Quantity
from ledger.kernel.clock import format_time, whole_ms

MAX_PACK_BYTES: Final = 65_536
MAX_PACK_RECORDS: Final = 2_000
SIGNATURE_BYTES: Final = 64
AHEAD_ALLOWED: Final = timedelta(minutes=5)
HOUR_S: Final = 3600

_MAX_SEQUENCE: Final = 2**53 - 1
_EARLIEST_S: Final = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_READING: Final[Table] = Reading.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
_MESSAGE: Final[Table] = Message.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a pack. `conflict` is None, `sequence` (its number was used before with other
    bytes) or `value` (another value stands for the same quantity and moment).
    """

    readings: int
    duplicate: bool
    late: int = 0
    conflict: str | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One decoded reading, in the unit of its quantity."""

    quantity: str
    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Pack:
    """What a pack says: its number among the device's packs, if it has one, and its readings by time."""

    sequence: int | None
    readings: tuple[Measured, ...]


def accept(session: Session, *, device_id: str, body: bytes, signature: bytes, now: datetime) -> Accepted:
    """Take one signed pack. The same bytes again are acknowledged and stored once.

    Raises UnknownDeviceError or a PackError, and then nothing is stored. A conflict is no error: the
    pack is kept, its readings are marked and count in no summary.
    """
    if len(body) > MAX_PACK_BYTES:
        raise PackTooLargeError(len(body), MAX_PACK_BYTES, "bytes")
    # One pack of a device at a time: what follows looks for earlier packs and then writes.
    device = session.exec(select(Device).where(Device.id == device_id).with_for_update(key_share=True)).one_or_none()
    if device is None:
        raise UnknownDeviceError(device_id)
    verify(device, body, signature)
    digest = sha256(body).digest()
    known = session.exec(select(Message).where(Message.device == device.number, Message.digest == digest)).one_or_none()
    if known is not None:
        return Accepted(known.readings, duplicate=True, conflict=known.conflict)
    pack = open_pack(body, device_id=device.id, quantities=device.quantities, now=now)
    return _store(session, device, pack, body=body, digest=digest, signature=signature, now=whole_ms(now))


def verify(device: Device, body: bytes, signature: bytes) -> None:
    """Check the device's Ed25519 signature over the exact bytes. Raises BadSignatureError."""
    try:
        VerifyKey(device.public_key).verify(body, signature)
    except (_BadSignature, ValueError) as error:
        raise BadSignatureError(device.id) from error


def open_pack(body: bytes, *, device_id: str, quantities: Sequence[str], now: datetime) -> Pack:
    """Return what a pack says, or raise a PackError: wrong form, unknown quantity, wrong unit, future.

    Pure. A record is named by a quantity alone or by the device's id, a slash and the quantity.
    """
    records = senml.decode(body)
    if len(records) > MAX_PACK_RECORDS:
        raise PackTooLargeError(len(records), MAX_PACK_RECORDS, "records")
    own = f"{device_id}/"
    sequence: int | None = None
    taken: dict[tuple[str, datetime], Measured] = {}
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


def note_refusal(session: Session, *, device_id: str, body: bytes, error: SensorError, now: datetime) -> None:
    """Remember that a pack was refused and why, for whoever mends the device.

    For doors that cannot answer the sender, such as MQTT. The bytes are kept only where the
    signature was good; anyone can send the rest.
    """
    digest = sha256(body).digest()
    known = session.exec(
        select(Refusal).where(
            Refusal.device_id == device_id[:120], Refusal.digest == digest, Refusal.code == error.code
        )
    ).first()
    if known is not None:
        known.times += 1
        known.received_at = now
        session.add(known)
        return
    is_signed = isinstance(error, PackError) and not isinstance(error, BadSignatureError | PackTooLargeError)
    session.add(
        Refusal(
            device_id=device_id[:120],
            digest=digest,
            code=error.code,
            detail=str(error)[:500],
            received_at=now,
            body=body if is_signed else None,
        )
    )


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


def _measured(record: senml.Record, quantity: Quantity, path: str, now: datetime) -> Measured:
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
    return Measured(quantity.name, whole_ms(at), quantity.in_unit(record.value, record.unit))


def _time_text(seconds: float) -> str:
    try:
        return format_time(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s after 1970"


def _store(
    session: Session, device: Device, pack: Pack, *, body: bytes, digest: bytes, signature: bytes, now: datetime
) -> Accepted:
    first, last = pack.readings[0].at, pack.readings[-1].at
    suspects = _earlier_readings(session, device, pack, first=first, last=last)
    conflict = None
    if pack.sequence is not None and _sequence_used(session, device, pack.sequence):
        conflict = "sequence"
    elif "conflict" in suspects.values():
        conflict = "value"
    message_id = session.execute(
        _MESSAGE.insert().returning(_MESSAGE.c.id),
        {
            "device": device.number,
            "digest": digest,
            "sequence": pack.sequence,
            "received_at": now,
            "first_at": first,
            "last_at": last,
            "readings": len(pack.readings),
            "conflict": conflict,
            "signature": signature,
            "body": body,
        },
    ).scalar_one()
    rows = [
        _row(
            reading,
            device,
            message_id,
            now=now,
            suspect="conflict" if conflict == "sequence" else suspects.get(reading),
        )
        for reading in pack.readings
    ]
    session.execute(_READING.insert(), rows)
    late = sum(1 for row in rows if row["is_late"])
    return Accepted(len(rows), duplicate=False, late=late, conflict=conflict)


def _row(reading: Measured, device: Device, message_id: int, *, now: datetime, suspect: str | None) -> dict[str, Any]:
    hour = int(reading.at.timestamp() // HOUR_S)
    return {
        "message_id": message_id,
        "device": device.number,
        "quantity": reading.quantity,
        "at": reading.at,
        "hour": hour,
        "value": reading.value,
        # Late: its hour was over, and the device's next beat too, when it came.
        "is_late": now.timestamp() > (hour + 1) * HOUR_S + (device.cadence_s or 0),
        "flag": None if suspect is None else int(Flag.FAIL),
        "suspect": suspect,
        "window_id": None,
        "missed_window": False,
    }


def _sequence_used(session: Session, device: Device, sequence: int) -> bool:
    found = session.exec(
        select(Message.id).where(Message.device == device.number, Message.sequence == sequence).limit(1)
    ).first()
    return found is not None


def _earlier_readings(
    session: Session, device: Device, pack: Pack, *, first: datetime, last: datetime
) -> Mapping[Measured, str]:
    """Say which readings were given before: `repeat` with the same value, `conflict` with another."""
    overlapping = session.exec(
        select(Message.id)
        .where(Message.device == device.number, Message.last_at >= first, Message.first_at <= last)
        .limit(1)
    ).first()
    if overlapping is None:
        return {}
    stored = session.exec(
        select(Reading.quantity, Reading.at, Reading.value).where(
            Reading.device == device.number,
            col(Reading.at) >= first,
            col(Reading.at) <= last,
            col(Reading.suspect).is_(None),
        )
    )
    values = {(quantity, at): value for quantity, at, value in stored}
    return {
        reading: "repeat" if values[key] == reading.value else "conflict"
        for reading in pack.readings
        if (key := (reading.quantity, reading.at)) in values
    }
