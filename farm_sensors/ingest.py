"""A signed pack of readings becomes rows: verified, decoded, refused whole or stored whole.

What is taken twice is stored once. What comes under a number or a moment already used, but says
something else, is kept beside the first and marked: nothing that was accepted is ever overwritten.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from nacl.exceptions import BadSignatureError as _BadSignature
from nacl.signing import VerifyKey
from sqlalchemy import Table, bindparam, select
from sqlmodel import Session, col
from sqlmodel import select as select_rows

from farm_sensors.errors import BadSignatureError, PackError, PackTooLargeError, SensorError, UnknownDeviceError
from farm_sensors.models import Device, Message, Refusal, StoredReading
from farm_sensors.packs import MAX_PACK_BYTES, Pack, Reading, open_pack
from farm_sensors.quality import Flag
from ledger.kernel.clock import whole_ms

HOUR_S: Final = 3600

_READING: Final[Table] = StoredReading.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
_MESSAGE: Final[Table] = Message.__table__  # type: ignore[attr-defined]

# Statements of the hot path are built once, and run past the ORM: both cost more than the database does.
_m, _r = _MESSAGE.c, _READING.c
_DEVICE: Final = select(Device).where(col(Device.id) == bindparam("id")).with_for_update(key_share=True)
_SAME_BYTES: Final = select(_m.readings, _m.conflict).where(
    _m.device == bindparam("device_"), _m.digest == bindparam("digest_")
)
_SAME_NUMBER: Final = (
    select(_m.id).where(_m.device == bindparam("device_"), _m.sequence == bindparam("sequence_")).limit(1)
)
_SAME_TIMES: Final = (
    select(_m.id)
    .where(_m.device == bindparam("device_"), _m.last_at >= bindparam("first"), _m.first_at <= bindparam("last"))
    .limit(1)
)
_SAME_READINGS: Final = select(_r.quantity, _r.at, _r.value).where(
    _r.device == bindparam("device_"), _r.at >= bindparam("first"), _r.at <= bindparam("last"), _r.suspect.is_(None)
)
_ADD_MESSAGE: Final = _MESSAGE.insert().returning(_m.id)
_ADD_READINGS: Final = _READING.insert()


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a pack. `conflict` is None, `sequence` (its number was used before with other
    bytes) or `value` (another value stands for the same quantity and moment).
    """

    readings: int
    duplicate: bool
    late: int = 0
    conflict: str | None = None


def accept(session: Session, *, device_id: str, body: bytes, signature: bytes, now: datetime) -> Accepted:
    """Take one signed pack. The same bytes again are acknowledged and stored once.

    Raises UnknownDeviceError or a PackError before anything is written, so that others in the same
    unit of work are not harmed. A conflict is no error: the pack is kept, its readings are marked
    and count in no summary.
    """
    if len(body) > MAX_PACK_BYTES:
        raise PackTooLargeError(len(body), MAX_PACK_BYTES, "bytes")
    # One pack of a device at a time: what follows looks for earlier packs and then writes.
    device = session.execute(_DEVICE, {"id": device_id}).scalar_one_or_none()
    if device is None:
        raise UnknownDeviceError(device_id)
    verify(device, body, signature)
    digest = sha256(body).digest()
    known = session.connection().execute(_SAME_BYTES, {"device_": device.number, "digest_": digest}).one_or_none()
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


def note_refusal(session: Session, *, device_id: str, body: bytes, error: SensorError, now: datetime) -> None:
    """Remember that a pack was refused and why, for whoever mends the device.

    For doors that cannot answer the sender, such as MQTT. The bytes are kept only where the
    signature was good; anyone can send the rest.
    """
    digest = sha256(body).digest()
    known = session.exec(
        select_rows(Refusal).where(
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
            # What a stranger wrote may hold characters that PostgreSQL does not keep.
            detail=ascii(str(error))[1:-1][:500],
            received_at=now,
            body=body if is_signed else None,
        )
    )


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
    message_id = (
        session.connection()
        .execute(
            _ADD_MESSAGE,
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
        )
        .scalar_one()
    )
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
    session.connection().execute(_ADD_READINGS, rows)
    late = sum(1 for row in rows if row["is_late"])
    return Accepted(len(rows), duplicate=False, late=late, conflict=conflict)


def _row(reading: Reading, device: Device, message_id: int, *, now: datetime, suspect: str | None) -> dict[str, Any]:
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
    return (
        session.connection().execute(_SAME_NUMBER, {"device_": device.number, "sequence_": sequence}).first()
        is not None
    )


def _earlier_readings(
    session: Session, device: Device, pack: Pack, *, first: datetime, last: datetime
) -> Mapping[Reading, str]:
    """Say which readings were given before: `repeat` with the same value, `conflict` with another."""
    stretch = {"device_": device.number, "first": first, "last": last}
    if session.connection().execute(_SAME_TIMES, stretch).first() is None:
        return {}
    stored = session.connection().execute(_SAME_READINGS, stretch)
    values = {(quantity, at): value for quantity, at, value in stored}
    return {
        reading: "repeat" if values[key] == reading.value else "conflict"
        for reading in pack.readings
        if (key := (reading.quantity, reading.at)) in values
    }
