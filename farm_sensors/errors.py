"""What the sensor doors refuse.

SensorError
├── UnknownDeviceError       no device is enrolled under this id
├── AlreadyEnrolledError     the device is enrolled with another key, place or model
├── NotAttachableError       a device travels with loads; to another place it is enrolled anew
├── InvalidDeviceError       an enrolment that cannot be: key length, cadence, unknown quantity
├── PackError                a pack that is not taken; nothing of it is kept as readings
│   ├── BadSignatureError        not signed by the key the device was enrolled with
│   ├── PackTooLargeError        more bytes or records than a pack may have
│   ├── MalformedPackError       not the SenML it claims to be; `path` says where
│   ├── UnknownQuantityError     the device was not enrolled for this quantity
│   ├── WrongUnitError           a known quantity in a unit it is not measured in
│   └── ReadingFromFutureError   a reading more than five minutes ahead of us
├── NoSeriesError            no reading stands in the stretch of time that was asked for
├── UnreadableFileError      a weather file that is neither AgriMet hourly nor our own CSV
├── KeyFileError             a device key file that cannot be used
└── TransportError           the other side cannot be reached or will not answer now; try again later
"""

from collections.abc import Sequence

from ledger.kernel.errors import OriginError


class SensorError(OriginError):
    """The sensor side refuses."""

    code = "sensor"


class UnknownDeviceError(SensorError):
    """No device is enrolled under this id."""

    code = "unknown_device"

    def __init__(self, device_id: str) -> None:
        super().__init__(f"no device is enrolled as {device_id}")
        self.device_id = device_id


class AlreadyEnrolledError(SensorError):
    """The device is enrolled already, and not as the caller now says."""

    code = "already_enrolled"

    def __init__(self, device_id: str, differs: Sequence[str]) -> None:
        super().__init__(f"{device_id} is enrolled already with another {', '.join(differs)}")
        self.device_id, self.differs = device_id, tuple(differs)


class NotAttachableError(SensorError):
    """A device may be attached to a load, or go back to the place it was enrolled at."""

    code = "not_attachable"

    def __init__(self, device_id: str, target: str) -> None:
        super().__init__(f"{device_id} cannot be attached to {target}: only to a load, or back to its own place")
        self.device_id, self.target = device_id, target


class InvalidDeviceError(SensorError):
    """An enrolment that cannot be as written."""

    code = "invalid_device"

    def __init__(self, reference: str, reason: str) -> None:
        super().__init__(f"device {reference}: {reason}")
        self.reference, self.reason = reference, reason


class PackError(SensorError):
    """A pack of readings that is refused whole."""

    code = "pack_refused"


class BadSignatureError(PackError):
    """The bytes are not signed by the device's key."""

    code = "bad_signature"

    def __init__(self, device_id: str) -> None:
        super().__init__(f"the signature is not that of {device_id} over these bytes")
        self.device_id = device_id


class PackTooLargeError(PackError):
    """More than a pack may hold."""

    code = "pack_too_large"

    def __init__(self, size: int, limit: int, what: str) -> None:
        super().__init__(f"the pack has {size} {what}; at most {limit} are taken")
        self.size, self.limit, self.what = size, limit, what


class MalformedPackError(PackError):
    """Not the SenML (RFC 8428) it claims to be. `path` says where."""

    code = "pack_malformed"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


class UnknownQuantityError(PackError):
    """The device was not enrolled for this quantity."""

    code = "unknown_quantity"

    def __init__(self, path: str, quantity: str, known: Sequence[str]) -> None:
        super().__init__(f"{path}: {quantity!r} is not among this device's quantities ({', '.join(known)})")
        self.path, self.quantity, self.known = path, quantity, tuple(known)


class WrongUnitError(PackError):
    """A known quantity in a unit that does not measure it."""

    code = "wrong_unit"

    def __init__(self, path: str, quantity: str, unit: str | None, expected: Sequence[str]) -> None:
        named = "no unit" if unit is None else repr(unit)
        super().__init__(f"{path}: {quantity} came in {named}; expected {' or '.join(expected)}")
        self.path, self.quantity, self.unit, self.expected = path, quantity, unit, tuple(expected)


class ReadingFromFutureError(PackError):
    """A reading more than five minutes ahead of our clock."""

    code = "reading_from_future"

    def __init__(self, path: str, at: str, now: str) -> None:
        super().__init__(f"{path}: measured at {at}, which is in the future (now {now})")
        self.path, self.at, self.now = path, at, now


class NoSeriesError(SensorError):
    """No usable reading stands in the stretch of time that was asked for."""

    code = "no_series"

    def __init__(self, target: str, start: str, end: str) -> None:
        super().__init__(f"no temperature was measured for {target} between {start} and {end}")
        self.target, self.start, self.end = target, start, end


class UnreadableFileError(SensorError):
    """A weather file in no form we know, or with a line that cannot be read."""

    code = "weather_file"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


class KeyFileError(SensorError):
    """A device key file that is missing or not a key."""

    code = "key_file"


class TransportError(SensorError):
    """The other side cannot be reached, or asks to come back later. Packs stay with the gateway."""

    code = "transport"
