"""SenML in JSON (RFC 8428): base values resolved, rules checked, nothing about fruit known.

Comments name its sections. Only what a resolved record says comes back; the bytes themselves are
what a device signs, so they are never written again from here.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from farm_sensors.errors import MalformedPackError

RELATIVE_BELOW: Final = 2**28
"""Times below this are seconds from now (4.5.3)."""

VERSIONS: Final = frozenset({10, 26})
"""Version 10, and 10 with the secondary-units feature (RFC 9100, 3; RFC 8798, 4)."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")  # 4.5.1
_Positive = Annotated[int, Meta(gt=0)]


class _Raw(Struct, frozen=True):
    """One record as written (4.3). Unknown labels are skipped, except those that end in `_` (4.4)."""

    bn: str | UnsetType = UNSET
    bt: float | UnsetType = UNSET
    bu: str | UnsetType = UNSET
    bv: float | UnsetType = UNSET
    bs: float | UnsetType = UNSET
    bver: _Positive | UnsetType = UNSET
    n: str | UnsetType = UNSET
    u: str | UnsetType = UNSET
    v: float | UnsetType = UNSET
    vs: str | UnsetType = UNSET
    vb: bool | UnsetType = UNSET
    vd: str | UnsetType = UNSET
    s: float | UnsetType = UNSET
    t: float | UnsetType = UNSET
    ut: float | UnsetType = UNSET


_DECODER: Final = msgspec.json.Decoder(list[_Raw])


@dataclass(frozen=True, slots=True)
class Record:
    """One resolved record (4.6). `time` is as the pack wrote it: below 2^28 it means seconds from now."""

    name: str
    unit: str | None
    time: float
    value: float | str | bool | bytes | None
    sum: float | None = None
    update_time: float | None = None

    @property
    def is_relative(self) -> bool:
        """Whether `time` counts from the moment of receiving."""
        return self.time < RELATIVE_BELOW


def decode(body: bytes) -> list[Record]:
    """Return the resolved records of a JSON pack. Raises MalformedPackError naming the path."""
    try:
        raws = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `")
        raise MalformedPackError(path.rstrip("`") or "$", reason) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedPackError("$", f"is not JSON: {error}") from error
    if not raws:
        raise MalformedPackError("$", "holds no record")
    if b'_"' in body:
        _refuse_unknown_must_understand(body)
    return _resolve(raws)


def encode(records: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the JSON bytes of records written with SenML labels, ready to be signed."""
    return msgspec.json.encode(list(records))


def _resolve(raws: list[_Raw]) -> list[Record]:
    base_name, base_unit, version = "", None, None
    base_time = base_value = base_sum = 0.0
    resolved = []
    for index, raw in enumerate(raws):
        if raw.bn is not UNSET:
            base_name = raw.bn
        if raw.bt is not UNSET:
            base_time = raw.bt
        if raw.bu is not UNSET:
            base_unit = raw.bu
        if raw.bv is not UNSET:
            base_value = raw.bv
        if raw.bs is not UNSET:
            base_sum = raw.bs
        if raw.bver is not UNSET:
            if raw.bver not in VERSIONS:
                raise MalformedPackError(f"$[{index}].bver", f"version {raw.bver} is not one we read (10 or 26)")
            if version not in (None, raw.bver):
                raise MalformedPackError(f"$[{index}].bver", f"changes the version within the pack from {version}")
            version = raw.bver
        name = base_name + (raw.n or "")
        if _NAME.fullmatch(name) is None:
            raise MalformedPackError(f"$[{index}].n", f"{name!r} is not a SenML name")
        time = base_time + (0.0 if raw.t is UNSET else raw.t)
        value, total = _value(raw, index, base_value), None if raw.s is UNSET else base_sum + raw.s
        if value is None and total is None:
            raise MalformedPackError(f"$[{index}]", "has no value")
        if not isfinite(time) or (isinstance(value, float) and not isfinite(value)):
            raise MalformedPackError(f"$[{index}]", "does not resolve to a finite number")
        unit = raw.u or base_unit or None
        update = None if raw.ut is UNSET else raw.ut
        resolved.append(Record(name, unit, time, value, total, update))
    return resolved


def _value(raw: _Raw, index: int, base_value: float) -> float | str | bool | bytes | None:
    given = [value for value in (raw.v, raw.vs, raw.vb, raw.vd) if value is not UNSET]
    if len(given) > 1:
        raise MalformedPackError(f"$[{index}]", "has more than one value")  # 4.2: exactly one
    if raw.v is not UNSET:
        return base_value + raw.v
    if raw.vd is not UNSET:
        try:
            # b64decode would skip characters outside the alphabet; altchars with validate refuses them.
            padded = raw.vd.rstrip("=") + "=" * (-len(raw.vd.rstrip("=")) % 4)
            return base64.b64decode(padded, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise MalformedPackError(f"$[{index}].vd", "is not base64url") from error
    return given[0] if given else None


def _refuse_unknown_must_understand(body: bytes) -> None:
    for index, record in enumerate(msgspec.json.decode(body)):
        for label in record:
            if label.endswith("_"):
                raise MalformedPackError(f"$[{index}].{label}", "must be understood (RFC 8428, 4.4), and is not")
