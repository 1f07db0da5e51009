"""Salted digests of private fields, as in RFC 9901 (SD-JWT). Pure.

A disclosure is base64url of the JSON text `[salt, name, value]`; its digest is base64url of the
SHA-256 of that text. The digest stands in the log; the disclosure stands where it can be erased.
"""

import base64
import json
import secrets
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeAlias, TypeGuard

from ledger.errors import VerificationError

SALT_BYTES: Final = 16
_MAX_SAFE: Final = 2**53 - 1


Value: TypeAlias = str | int | list[str]


class OpenedField(NamedTuple):
    """A private field that somebody chose to show."""

    name: str
    value: Value


def seal(name: str, value: Value) -> str:
    """Return a new disclosure of a field, under a fresh 128-bit salt."""
    salt = _encode(secrets.token_bytes(SALT_BYTES))
    return _encode(json.dumps([salt, name, value], ensure_ascii=False).encode())


def digest_of(disclosure: str) -> str:
    """Return the digest that commits to a disclosure."""
    return _encode(sha256(disclosure.encode()).digest())


def decoy() -> str:
    """Return a digest of nothing, which tells nobody how many fields there are."""
    return _encode(sha256(secrets.token_bytes(32)).digest())


def open_disclosure(disclosure: str) -> OpenedField:
    """Return the field inside a disclosure. Raises VerificationError."""
    try:
        raw = base64.b64decode(disclosure + "=" * (-len(disclosure) % 4), altchars=b"-_", validate=True)
        parts = json.loads(raw.decode())
    except (ValueError, RecursionError) as error:  # binascii.Error and the decoding errors are ValueErrors
        raise VerificationError("a disclosure is not base64url of a JSON text") from error
    if _encode(raw) != disclosure:
        raise VerificationError("a disclosure is not written in the one way base64url allows")
    if not (isinstance(parts, list) and len(parts) == 3 and _is_text(parts[0]) and _is_text(parts[1])):
        raise VerificationError("a disclosure is not [salt, name, value]")
    salt, name, value = parts
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JavaScript does not tell 7.0 from 7
    if not _is_value(value):
        raise VerificationError(f"the value of {name[:40]!r} is not a text, a whole number or a list of texts")
    if len(salt) < 22:
        raise VerificationError(f"the disclosure of {name[:40]!r} has a salt of less than 128 bits")
    return OpenedField(name, value)


def _is_text(part: Any) -> TypeGuard[str]:
    return isinstance(part, str) and not any("\ud800" <= character <= "\udfff" for character in part)


def _is_value(value: Any) -> TypeGuard[Value]:
    if isinstance(value, list):
        return all(_is_text(item) for item in value)
    return _is_text(value) or (type(value) is int and abs(value) <= _MAX_SAFE)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
