"""Identifiers: GS1 keys with their check digits, GS1 Digital Links, and our own typed names.

Events carry canonical `https://id.gs1.org/...` Digital Link URIs (GS1 Digital Link URI Syntax 1.5);
labels carry the same path on our own host. Every id type is a `NewType` over `str`, so swapping two
fails in the type checker.
"""

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import NewType
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from uuid import UUID

from ledger.kernel.errors import IdentifierError

EventId = NewType("EventId", str)
"""`urn:uuid:` with a version 7 UUID."""
PlaceId = NewType("PlaceId", str)
"""SGLN of a plot, dock, cooler or line: `https://id.gs1.org/414/{GLN}/254/{ext}`."""
PartyId = NewType("PartyId", str)
"""PGLN, pseudonymous: `https://id.gs1.org/417/{GLN}`."""
DeviceId = NewType("DeviceId", str)
"""GIAI: `https://id.gs1.org/8004/{reference}`."""
CrateId = NewType("CrateId", str)
"""GRAI: `https://id.gs1.org/8003/0{13 digits}{serial}`."""
LotId = NewType("LotId", str)
"""LGTIN: `https://id.gs1.org/01/{GTIN}/10/{lot}`."""
PackId = NewType("PackId", str)
"""SGTIN: `https://id.gs1.org/01/{GTIN}/21/{serial}`."""
ProductId = NewType("ProductId", str)
"""GTIN class: `https://id.gs1.org/01/{GTIN}`."""
LoadId = NewType("LoadId", str)
"""SSCC: `https://id.gs1.org/00/{18 digits}`."""
DocumentId = NewType("DocumentId", str)
"""GDTI: `https://id.gs1.org/253/{13 digits}{serial}` (pick order, sale, quota, certificate, ...)."""

CANONICAL_HOST = "https://id.gs1.org"


class DocumentType(IntEnum):
    """Reference of each kind of document we number, behind the company prefix of its GDTI."""

    PASSPORT = 301
    BROADCAST = 302
    SALE = 303
    PICK_ORDER = 304
    RECEIPT = 305
    GRADING_RUN = 306
    QUOTA = 307
    CERTIFICATE = 308
    DESPATCH = 309
    DELIVERY = 310
    RECALL = 311
    CALIBRATION = 312
    CHAIN_MOVE = 313


SERIAL_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford base 32: no I, L, O or U to misread on a wet label."""


_VALUES = {ord(digit): int(digit) for digit in "0123456789"}


def check_digit(digits: str) -> str:
    """Return the GS1 mod-10 check digit for the digits before it (GS1 General Specifications 7.9)."""
    if not digits.isascii() or not digits.isdigit():
        raise IdentifierError(digits, "is not all digits")
    values = digits.translate(_VALUES).encode()
    return str(-(3 * sum(values[::-2]) + sum(values[-2::-2])) % 10)


def with_check_digit(digits: str) -> str:
    """Return the digits followed by their check digit."""
    return digits + check_digit(digits)


def has_check_digit(digits: str) -> bool:
    """Return whether the last digit is the right check digit."""
    return len(digits) > 1 and digits.isascii() and digits.isdigit() and check_digit(digits[:-1]) == digits[-1]


def uuid7(now: datetime) -> UUID:
    """Return a version 7 UUID (RFC 9562 5.7) for the given time."""
    ms = int(now.timestamp() * 1000)
    value = (ms & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def new_event_id(now: datetime) -> EventId:
    """Return a fresh event id, made by the recorder before anything is sent."""
    return EventId(f"urn:uuid:{uuid7(now)}")


def new_serial(length: int = 12) -> str:
    """Return a random serial that cannot be guessed from its neighbours."""
    return "".join(secrets.choice(SERIAL_ALPHABET) for _ in range(length))


# --- building canonical ids ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Numbering:
    """The keys one company may allocate under its GS1 company prefix (4 to 12 digits)."""

    prefix: str

    def __post_init__(self) -> None:
        if not (self.prefix.isascii() and self.prefix.isdigit() and 4 <= len(self.prefix) <= 12):
            raise IdentifierError(self.prefix, "is not a GS1 company prefix of 4 to 12 digits")

    def _key(self, reference: int, length: int) -> str:
        room = length - 1 - len(self.prefix)
        text = str(reference).zfill(room)
        if room < 1 or len(text) > room:
            raise IdentifierError(str(reference), f"does not fit into {room} digits after {self.prefix}")
        return with_check_digit(self.prefix + text)

    def gtin(self, reference: int, *, indicator: int = 0) -> str:
        """Return a GTIN-14. Indicator 9 marks a product of variable measure."""
        room = 12 - len(self.prefix)
        text = str(reference).zfill(room)
        if len(text) > room:
            raise IdentifierError(str(reference), f"does not fit into {room} digits after {self.prefix}")
        return with_check_digit(f"{indicator}{self.prefix}{text}")

    def gln(self, reference: int) -> str:
        """Return a 13-digit GLN."""
        return self._key(reference, 13)

    def party(self, reference: int) -> PartyId:
        """Return a party id for a location reference."""
        return PartyId(f"{CANONICAL_HOST}/417/{self.gln(reference)}")

    def random_party(self) -> PartyId:
        """Return a pseudonymous party id drawn at random."""
        room = 12 - len(self.prefix)
        return self.party(secrets.randbelow(10**room))

    def place(self, reference: int, extension: str | None = None) -> PlaceId:
        """Return the id of a place, or of a spot in it."""
        base = f"{CANONICAL_HOST}/414/{self.gln(reference)}"
        return PlaceId(base if extension is None else f"{base}/254/{path_segment(extension)}")

    def document(self, document_type: DocumentType, serial: str) -> DocumentId:
        """Return a GDTI with serial."""
        return DocumentId(f"{CANONICAL_HOST}/253/{self._key(document_type, 13)}{path_segment(serial)}")

    def device(self, reference: str) -> DeviceId:
        """Return a GIAI."""
        return DeviceId(f"{CANONICAL_HOST}/8004/{self.prefix}{path_segment(reference)}")

    def crate(self, asset_type: int, serial: str) -> CrateId:
        """Return a GRAI with serial."""
        return CrateId(f"{CANONICAL_HOST}/8003/0{self._key(asset_type, 13)}{path_segment(serial)}")

    def load(self, serial: int, *, extension: int = 0) -> LoadId:
        """Return an SSCC."""
        room = 16 - len(self.prefix)
        text = str(serial).zfill(room)
        if len(text) > room:
            raise IdentifierError(str(serial), f"does not fit into {room} digits after {self.prefix}")
        return LoadId(f"{CANONICAL_HOST}/00/{with_check_digit(f'{extension}{self.prefix}{text}')}")


def product_id(gtin: str) -> ProductId:
    """Return the class id of a GTIN-14. Raises IdentifierError on a wrong check digit."""
    return ProductId(f"{CANONICAL_HOST}/01/{_gtin14(gtin)}")


def lot_id(gtin: str, lot: str) -> LotId:
    """Return the lot id of a GTIN-14 and a batch number (AI 10, at most 20 characters)."""
    if not 1 <= len(lot) <= 20:
        raise IdentifierError(lot, "is not a lot number of 1 to 20 characters")
    return LotId(f"{CANONICAL_HOST}/01/{_gtin14(gtin)}/10/{path_segment(lot)}")


def pack_id(gtin: str, serial: str) -> PackId:
    """Return the pack id of a GTIN-14 and a serial (AI 21, at most 20 characters)."""
    if not 1 <= len(serial) <= 20:
        raise IdentifierError(serial, "is not a serial of 1 to 20 characters")
    return PackId(f"{CANONICAL_HOST}/01/{_gtin14(gtin)}/21/{path_segment(serial)}")


def _gtin14(gtin: str) -> str:
    padded = gtin.zfill(14)
    if len(gtin) not in (8, 12, 13, 14) or not has_check_digit(padded):
        raise IdentifierError(gtin, "is not a GTIN with a valid check digit")
    return padded


_UNRESERVED = re.compile(r"[0-9A-Za-z_.~\-]*")


def path_segment(text: str) -> str:
    """Return a value as a canonical link has it: percent-encoded but for unreserved characters, `'`, `;` and `=`."""
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe="';=")


# --- GS1 Digital Link ---------------------------------------------------------------------------

_PRIMARY_KEYS: Mapping[str, tuple[str, ...]] = {
    "01": ("22", "10", "21"),
    "00": (),
    "253": (),
    "255": (),
    "401": (),
    "402": (),
    "414": ("254", "7040"),
    "417": ("7040",),
    "8003": (),
    "8004": ("7040",),
    "8006": ("22", "10", "21"),
    "8010": ("8011",),
    "8013": (),
    "8017": ("8019",),
    "8018": ("8019",),
}
"""Primary keys and, in order, the qualifiers each may be followed by (Digital Link 1.5, section 4)."""

_CHECKED_LENGTHS: Mapping[str, tuple[int, ...]] = {
    "01": (14,),
    "00": (18,),
    "402": (17,),
    "414": (13,),
    "417": (13,),
    "8006": (18,),
    "8017": (18,),
    "8018": (18,),
}


@dataclass(frozen=True, slots=True)
class DigitalLink:
    """One parsed GS1 Digital Link: its primary key, the qualifiers behind it, and data attributes."""

    key: tuple[str, str]
    qualifiers: tuple[tuple[str, str], ...] = ()
    attributes: tuple[tuple[str, str], ...] = field(default=())

    @property
    def values(self) -> dict[str, str]:
        """Every AI in the path with its value."""
        return dict((self.key, *self.qualifiers))

    def path(self) -> str:
        """Return `/01/.../10/.../21/...`, percent-encoded."""
        return "".join(f"/{ai}/{path_segment(value)}" for ai, value in (self.key, *self.qualifiers))

    def uri(self, host: str = CANONICAL_HOST) -> str:
        """Return the link on a host, without data attributes."""
        return host.rstrip("/") + self.path()

    def canonical(self) -> str:
        """Return the id as events carry it: a serialised trade item is named without its lot."""
        kept = self.qualifiers
        if self.key[0] == "01" and any(ai == "21" for ai, _ in kept):
            kept = tuple((ai, value) for ai, value in kept if ai == "21")
        return DigitalLink(self.key, kept).uri()


def parse_digital_link(text: str) -> DigitalLink:
    """Return the link that a URI or path names.

    Raises IdentifierError where no primary key is found, a qualifier does not belong to it, or a
    check digit is wrong.
    """
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise IdentifierError(text, f"is not a link: {error}") from error
    if parts.scheme not in ("", "http", "https"):
        raise IdentifierError(text, "is not an http(s) link")
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    start = next(
        (i for i, segment in enumerate(segments) if segment in _PRIMARY_KEYS and (len(segments) - i) % 2 == 0), None
    )
    if start is None:
        raise IdentifierError(text, "holds no GS1 key")
    pairs = list(zip(segments[start::2], segments[start + 1 :: 2], strict=True))
    (ai, value), rest = pairs[0], tuple(pairs[1:])
    value = _checked_value(ai, value)
    allowed = list(_PRIMARY_KEYS[ai])
    for qualifier, _ in rest:
        if qualifier not in allowed:
            raise IdentifierError(text, f"has qualifier {qualifier}, which cannot stand here after {ai}")
        allowed = allowed[allowed.index(qualifier) + 1 :]
    attributes = tuple(parse_qsl(parts.query, keep_blank_values=True))
    return DigitalLink((ai, value), rest, attributes)


def _checked_value(ai: str, value: str) -> str:
    if ai == "01" and len(value) in (8, 12, 13):
        value = value.zfill(14)
    lengths = _CHECKED_LENGTHS.get(ai)
    if lengths is not None and (len(value) not in lengths or not has_check_digit(value)):
        raise IdentifierError(value, f"is not a valid ({ai}): wrong length or check digit")
    if ai == "253" and not (13 <= len(value) <= 30 and has_check_digit(value[:13])):
        raise IdentifierError(value, "is not a valid (253): wrong length or check digit")
    if ai == "8003" and not (14 <= len(value) <= 30 and value.startswith("0") and has_check_digit(value[1:14])):
        raise IdentifierError(value, "is not a valid (8003): wrong length or check digit")
    return value
