"""The bytes that are hashed: RFC 8785 (JSON Canonicalization Scheme), and the entry made of an event.

Nothing else in Guoyuan turns a value into bytes for hashing. Pure: values in, bytes out.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
import rfc8785

from ledger.errors import EventError
from ledger.events import Event, parse_event, unfolded
from ledger.kernel.clock import format_time
from ledger.vocabulary import CONTEXT

MAX_SAFE_INTEGER: Final = 2**53 - 1
"""Largest whole number that RFC 8785 (through IEEE 754) can hold exactly."""

MAX_DEPTH: Final = 64
"""No event is nested deeper; a verifier must not be made to recurse without end."""

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_CONTEXT: Final = list(CONTEXT)


class _NeedsReference(Exception):  # noqa: N818  # a signal between two functions of this module, not an error
    """A value whose canonical form msgspec would write differently."""


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a JSON value.

    Raises EventError for what has no canonical form: NaN, infinities, whole numbers beyond 2^53 - 1,
    lone surrogates, keys that are not text, values nested deeper than MAX_DEPTH.
    """
    try:
        try:
            return _ENCODER.encode(value if _is_plain(value) else _plain(value))
        except _NeedsReference:
            _limit_depth(value)
            return rfc8785.dumps(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise EventError("$", f"has no canonical form: {error}") from error


def entry_bytes(event: Event, record_time: datetime) -> bytes:
    """Return the bytes of a log entry: the bare event with `@context` and the log's `recordTime`."""
    return canonical(entry_document(event, record_time))


def entry_document(event: Event, record_time: datetime) -> dict[str, Any]:
    """Return the JSON object whose canonical bytes are the entry."""
    return as_entry(unfolded(event), format_time(record_time))


def as_entry(built: dict[str, Any], record_time: str) -> dict[str, Any]:
    """Return an unfolded event with what the log writes into it: its own `@context` and `recordTime`."""
    built["@context"] = _CONTEXT
    built["recordTime"] = record_time
    return built


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Return whether `_plain` would give the value back as it is; False is always a safe answer.

    Looking costs a third of copying, and nearly every event passes. Whatever `_plain` would refuse is not passed.
    """
    kind = type(value)
    if kind is dict:
        if depth >= MAX_DEPTH or not "".join(value).isascii():
            return False
        items = value.values()
    elif kind is list or kind is tuple:
        if depth >= MAX_DEPTH:
            return False
        items = value
    else:
        return kind is str
    for item in items:
        kind = type(item)
        if kind is str:
            continue
        if kind is int:
            if not -MAX_SAFE_INTEGER <= item <= MAX_SAFE_INTEGER:
                return False
        elif kind is float:
            if item.is_integer() or not 1e-5 <= abs(item) < 1e15:
                return False
        elif kind is not bool and item is not None and not _is_plain(item, depth + 1):
            return False
    return True


def _plain(value: Any, depth: int = 0) -> Any:
    """Return the value with whole floats as integers, or signal that msgspec must not write it.

    msgspec sorts keys by code point and writes exponents and negative zero in its own way; RFC 8785
    sorts by UTF-16 unit and writes numbers as ECMAScript does. They agree on all that passes here.
    """
    kind = type(value)
    if kind is str:
        return value
    if kind is dict:
        _limit(depth)
        if not "".join(value).isascii():
            raise _NeedsReference
        # Most values are text: not calling for those halves the time.
        return {key: item if type(item) is str else _plain(item, depth + 1) for key, item in value.items()}
    if kind is list or kind is tuple:
        _limit(depth)
        return [item if type(item) is str else _plain(item, depth + 1) for item in value]
    if kind is bool or value is None:
        return value
    if kind is int:
        if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
            raise ValueError("it holds a whole number beyond 2^53 - 1")
        return value
    if kind is float:
        return _plain_float(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return _plain(dict(value), depth)
    raise TypeError(f"{kind.__name__} is not a JSON value")


def _limit_depth(value: Any, depth: int = 0) -> None:
    if isinstance(value, dict | list | tuple):
        _limit(depth)
        for item in value.values() if isinstance(value, dict) else value:
            _limit_depth(item, depth + 1)


def _limit(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def _plain_float(value: float) -> int | float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON number")
    if value.is_integer() and abs(value) <= MAX_SAFE_INTEGER:
        return int(value)
    if 1e-5 <= abs(value) < 1e15:
        return value
    raise _NeedsReference


def decode_entry(data: bytes) -> Event:
    """Return the event in an entry's bytes. Raises EventError."""
    try:
        built = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventError("$", f"is not JSON: {error}") from error
    if not isinstance(built, dict):
        raise EventError("$", "is not an object")
    return parse_event(built)
