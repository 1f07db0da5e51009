"""Devices: enrolled once with a key and a place, and found again by their id.

A logger may travel: `attach` says with which load, and its readings then count for that load.
"""

import base64
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, cast

from sqlmodel import Session, col, func, or_, select

from farm_sensors.errors import AlreadyEnrolledError, InvalidDeviceError, NotAttachableError, UnknownDeviceError
from farm_sensors.events import device_enrolled, is_load
from farm_sensors.models import Attachment, Device, Message
from farm_sensors.quantities import QUANTITIES, STATION_QUANTITIES
from ledger.disclosure import commit_fields
from ledger.kernel.clock import whole_ms
from ledger.kernel.ids import DeviceId, EventId, LoadId, Numbering, PartyId, PlaceId, new_event_id
from ledger.log import record

KEY_BYTES: Final = 32
MAX_CADENCE_S: Final = 3600
"""Windows are hours; a device that speaks less often would leave most of them empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDevice:
    """What an enrolment says. `reference` is the part of the GIAI behind the company prefix.

    `cadence_s` is the device's beat in seconds; cameras and scales have none. `installed_at` says
    when, where that was before the enrolment is entered; readings before it count for no place.
    Hardware serial and installer are private: the log gets salted digests of them.
    """

    reference: str
    model: str
    place: PlaceId
    quantities: tuple[str, ...]
    public_key: bytes
    cadence_s: int | None = None
    installed_at: datetime | None = None
    hardware_serial: str | None = None
    installer: str | None = None


def enrol(
    session: Session, new: NewDevice, *, recorder: PartyId, numbering: Numbering, now: datetime, zone: str
) -> Device:
    """Enrol a device and record `device_enrolled`. Doing it again as before changes nothing.

    Raises InvalidDeviceError, and AlreadyEnrolledError where the device is known with another key,
    place, model, beat or list of quantities.
    """
    _check(new, now)
    device_id = numbering.device(new.reference)
    known = session.exec(select(Device).where(Device.id == device_id)).one_or_none()
    if known is not None:
        return _same(known, new)
    at = whole_ms(new.installed_at or now)
    event_id = new_event_id(now)
    private = {"hardwareSerial": new.hardware_serial, "installer": new.installer}
    given = {name: value for name, value in private.items() if value is not None}
    record(
        session,
        device_enrolled(
            event_id=event_id,
            at=at,
            zone=zone,
            device=device_id,
            place=new.place,
            recorder=recorder,
            model=new.model,
            quantities=new.quantities,
            key_thumbprint=thumbprint(new.public_key),
            digests=commit_fields(session, event_id, given) if given else (),
        ),
        now=now,
    )
    return _insert(session, new, device_id=device_id, recorder=recorder, at=at, event_id=event_id)


def find(session: Session, device_id: str) -> Device:
    """Return an enrolled device. Raises UnknownDeviceError."""
    device = session.exec(select(Device).where(Device.id == device_id)).one_or_none()
    if device is None:
        raise UnknownDeviceError(device_id)
    return device


def last_seen(session: Session, device_id: str) -> datetime | None:
    """Return when a pack of the device was last taken, or None. Raises UnknownDeviceError."""
    device = find(session, device_id)
    return session.exec(select(func.max(Message.received_at)).where(Message.device == device.number)).one()


def attach(session: Session, device_id: str, target: PlaceId | LoadId, *, now: datetime) -> None:
    """Let a device travel with a load, or return to the place it was enrolled at, from `now` on.

    The `loaded` and `delivered` sentences of the load say so in the log; this note lets readings count for it.
    Attaching it to where it is already, or to where it was before it last moved, changes nothing.
    Raises UnknownDeviceError, NotAttachableError.
    """
    device = find(session, device_id)
    if not is_load(target) and target != device.place:
        raise NotAttachableError(device_id, target)
    current = session.exec(
        select(Attachment).where(Attachment.device == device.number, col(Attachment.until_at).is_(None))
    ).one()
    moment = whole_ms(now)
    if current.target == target or moment < current.from_at:
        return
    current.until_at = moment
    session.add(current)
    session.add(Attachment(device=current.device, target=target, from_at=moment))
    session.flush()


def attachments(session: Session, target: str, *, start: datetime, end: datetime) -> list[tuple[Attachment, Device]]:
    """Return who was at a place or with a load at any time in [start, end), in order of device id."""
    rows = session.exec(
        select(Attachment, Device)
        .join(Device, col(Attachment.device) == col(Device.number))
        .where(
            Attachment.target == target,
            Attachment.from_at < end,
            or_(col(Attachment.until_at).is_(None), col(Attachment.until_at) > start),
        )
        .order_by(Device.id, col(Attachment.from_at))
    )
    return [(attachment, device) for attachment, device in rows]


def thumbprint(public_key: bytes) -> str:
    """Return the base64url SHA-256 of an Ed25519 public key, as `device_enrolled` carries it."""
    return base64.urlsafe_b64encode(sha256(public_key).digest()).decode().rstrip("=")


def _check(new: NewDevice, now: datetime) -> None:
    if len(new.public_key) != KEY_BYTES:
        raise InvalidDeviceError(new.reference, f"its key has {len(new.public_key)} bytes; Ed25519 has {KEY_BYTES}")
    if not new.quantities:
        raise InvalidDeviceError(new.reference, "measures nothing")
    unknown = sorted(set(new.quantities) - QUANTITIES.keys() - STATION_QUANTITIES)
    if unknown:
        known = ", ".join(sorted(QUANTITIES.keys() | STATION_QUANTITIES))
        raise InvalidDeviceError(new.reference, f"unknown quantity {', '.join(unknown)}; known are {known}")
    if len(set(new.quantities)) != len(new.quantities):
        raise InvalidDeviceError(new.reference, "names a quantity twice")
    reports = not STATION_QUANTITIES.issuperset(new.quantities)
    if reports and (new.cadence_s is None or not 1 <= new.cadence_s <= MAX_CADENCE_S):
        raise InvalidDeviceError(new.reference, f"needs a cadence of 1 to {MAX_CADENCE_S} seconds")
    if new.installed_at is not None and new.installed_at > now:
        raise InvalidDeviceError(new.reference, "is said to be installed in the future")


def _same(known: Device, new: NewDevice) -> Device:
    pairs = {
        "key": (known.public_key, new.public_key),
        "place": (known.place, new.place),
        "model": (known.model, new.model),
        "cadence": (known.cadence_s, new.cadence_s),
        "list of quantities": (sorted(known.quantities), sorted(new.quantities)),
    }
    differs = [name for name, (old, wanted) in pairs.items() if old != wanted]
    if differs:
        raise AlreadyEnrolledError(known.id, differs)
    return known


def _insert(
    session: Session, new: NewDevice, *, device_id: DeviceId, recorder: PartyId, at: datetime, event_id: EventId
) -> Device:
    device = Device(
        id=device_id,
        reference=new.reference,
        model=new.model,
        public_key=new.public_key,
        quantities=list(new.quantities),
        cadence_s=new.cadence_s,
        place=new.place,
        recorder=recorder,
        enrolled_at=at,
        event_id=event_id,
    )
    session.add(device)
    session.flush()
    session.add(Attachment(device=cast("int", device.number), target=new.place, from_at=at))
    session.flush()
    return device
