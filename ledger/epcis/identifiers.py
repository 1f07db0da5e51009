"""One spelling for every GS1 identifier: EPC URNs and Digital Links become canonical `https://id.gs1.org/` URIs.

EPC URNs are those of the EPC Tag Data Standard 2.0 (sections 6 and 7). The canonical form is that of GS1 Digital
Link URI Syntax 1.2, section 4.11, constrained as CBV 2.0, section 8.9 asks: the finest level of identification alone,
no query. Pure, and does not judge: a wrong check digit in a link stays wrong, for the profile to refuse.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from ledger.kernel.ids import CANONICAL_HOST, path_segment, with_check_digit

_MAX_LENGTH: Final = 2048
"""Longer texts name nothing; they are not searched."""

_PLAIN: Final = re.compile(
    re.escape(CANONICAL_HOST) + r"/(?:01/[0-9]{14}(?:/(?:10|21)/[0-9A-Za-z_.\-]{1,20})?|00/[0-9]{18}|417/[0-9]{13}"
    r"|414/[0-9]{13}(?:/254/[0-9A-Za-z_.\-]{1,20})?)"
)
"""The most common links that are canonical already."""


def canonical_identifier(text: str) -> str:
    """Return the canonical Digital Link URI of an EPC URN or of any Digital Link; other text unchanged.

    `https://brand.example/gtin/9780345418913/lot/12/ser/7?x=1` is `https://id.gs1.org/01/09780345418913/21/7`.
    Compressed links are not read: they stay as they are.
    """
    return _canonical(text) if len(text) <= _MAX_LENGTH else text


@lru_cache(maxsize=8192)
def _canonical(text: str) -> str:
    if text.startswith("urn:epc:"):
        return _from_urn(text) or text
    if _PLAIN.fullmatch(text) or text[:4].lower() != "http":
        return text
    return _from_link(text) or text


# --- EPC URNs -----------------------------------------------------------------------------------

_AI82: Final = re.compile(r"""[!"%&'()*+,\-./0-9:;<=>?A-Z_a-z]+""")
"""What a serial, lot or extension may hold (GS1 General Specifications, figure 7.11-1)."""
_AI39: Final = re.compile(r"[#\-/0-9A-Z]+")
_DIGITS: Final = re.compile(r"[0-9]+")


def _serial(text: str, longest: int, allowed: re.Pattern[str] = _AI82) -> str | None:
    # TDS 2.0 wants `"%&/<>?` escaped; where a sender left one as it is, what he means is still plain.
    plain = unquote(text) if "%" in text else text
    return path_segment(plain) if len(plain) <= longest and allowed.fullmatch(plain) else None


def _company(prefix: str) -> bool:
    return 6 <= len(prefix) <= 12 and _DIGITS.fullmatch(prefix) is not None


def _key(prefix: str, reference: str, digits: int) -> str | None:
    """Return company prefix and reference with their check digit, or None unless they have `digits` digits."""
    if not _company(prefix) or len(prefix) + len(reference) != digits or (reference and not reference.isdecimal()):
        return None
    if not (prefix + reference).isascii():
        return None
    return with_check_digit(prefix + reference)


def _leading(prefix: str, reference: str, digits: int) -> str | None:
    """The same where the first digit of the reference (indicator, extension) stands before the prefix."""
    if not reference or not _company(prefix) or len(prefix) + len(reference) != digits:
        return None
    digits_in_order = reference[0] + prefix + reference[1:]
    return with_check_digit(digits_in_order) if _DIGITS.fullmatch(digits_in_order) else None


def _serialised(key: str | None, path: str, serial: str | None) -> str | None:
    return f"{path.format(key)}{serial}" if key and serial else None


_Builder = Callable[[list[str]], str | None]
"""From a URN's dotted parts to the path of its link; None where they are not of its form."""


def _keyed(path: str, digits: int) -> _Builder:
    """Company prefix and reference, together so many digits."""

    def build(parts: list[str]) -> str | None:
        key = _key(parts[0], parts[1], digits)
        return key and path.format(key)

    return build


def _numbered(path: str, digits: int, longest: int) -> _Builder:
    """The same, and a serial of at most so many characters."""

    def build(parts: list[str]) -> str | None:
        prefix, reference, serial = parts
        return _serialised(_key(prefix, reference, digits), path, _serial(serial, longest))

    return build


def _of_item(path: str, longest: int) -> _Builder:
    """A trade item's GTIN, and a lot or serial of at most so many characters."""

    def build(parts: list[str]) -> str | None:
        prefix, item, serial = parts
        return _serialised(_leading(prefix, item, 13), path, _serial(serial, longest))

    return build


def _free(path: str) -> _Builder:
    """A company prefix, and a reference that fills thirty characters with it."""

    def build(parts: list[str]) -> str | None:
        prefix, reference = parts
        return _serialised(prefix if _company(prefix) else None, path, _serial(reference, 30 - len(prefix)))

    return build


def _sscc(parts: list[str]) -> str | None:
    key = _leading(parts[0], parts[1], 17)
    return key and f"/00/{key}"


def _sgln(parts: list[str]) -> str | None:
    prefix, location, extension = parts
    key = _key(prefix, location, 12)
    if extension == "0":
        return key and f"/414/{key}"
    return _serialised(key, "/414/{}/254/", _serial(extension, 20))


def _sgcn(parts: list[str]) -> str | None:
    prefix, coupon, serial = parts
    digits = serial if _DIGITS.fullmatch(serial) and len(serial) <= 12 else None
    return _serialised(_key(prefix, coupon, 12), "/255/{}", digits)


def _cpi(parts: list[str]) -> str | None:
    prefix, component, serial = parts
    reference = _serial(component, 30 - len(prefix), _AI39) if _company(prefix) else None
    if reference is None or not (_DIGITS.fullmatch(serial) and len(serial) <= 12):
        return None
    return f"/8010/{prefix}{reference}/8011/{serial}"


def _itip(parts: list[str]) -> str | None:
    prefix, item, piece, total, serial = parts
    counted = _DIGITS.fullmatch(piece + total) and len(piece) == len(total) == 2
    key = _leading(prefix, item, 13) if counted else None
    return _serialised(key and key + piece + total, "/8006/{}/21/", _serial(serial, 20))


def _gtin_pattern(parts: list[str]) -> str | None:
    key = _leading(parts[0], parts[1], 13)
    return key and f"/01/{key}"


def _cpi_pattern(parts: list[str]) -> str | None:
    prefix, component = parts
    reference = _serial(component, 30 - len(prefix), _AI39) if _company(prefix) else None
    return reference and f"/8010/{prefix}{reference}"


def _itip_pattern(parts: list[str]) -> str | None:
    prefix, item, piece, total = parts
    counted = _DIGITS.fullmatch(piece + total) and len(piece) == len(total) == 2
    key = _leading(prefix, item, 13) if counted else None
    return key and f"/8006/{key}{piece}{total}"


_URNS: Final[Mapping[str, tuple[int, _Builder]]] = {
    "id:sgtin": (3, _of_item("/01/{}/21/", 20)),
    "id:sscc": (2, _sscc),
    "id:sgln": (3, _sgln),
    "id:grai": (3, _numbered("/8003/0{}", 12, 16)),
    "id:giai": (2, _free("/8004/{}")),
    "id:gsrn": (2, _keyed("/8018/{}", 17)),
    "id:gsrnp": (2, _keyed("/8017/{}", 17)),
    "id:gdti": (3, _numbered("/253/{}", 12, 17)),
    "id:cpi": (3, _cpi),
    "id:sgcn": (3, _sgcn),
    "id:ginc": (2, _free("/401/{}")),
    "id:gsin": (2, _keyed("/402/{}", 16)),
    "id:itip": (5, _itip),
    "id:upui": (3, _of_item("/01/{}/235/", 28)),
    "id:pgln": (2, _keyed("/417/{}", 12)),
    "class:lgtin": (3, _of_item("/01/{}/10/", 20)),
    "idpat:sgtin": (2, _gtin_pattern),
    "idpat:upui": (2, _gtin_pattern),
    "idpat:grai": (2, _keyed("/8003/0{}", 12)),
    "idpat:gdti": (2, _keyed("/253/{}", 12)),
    "idpat:sgcn": (2, _keyed("/255/{}", 12)),
    "idpat:cpi": (2, _cpi_pattern),
    "idpat:itip": (4, _itip_pattern),
}
"""Each scheme that has a Digital Link form: how many dotted parts, and what they become. Others have none."""


def _from_urn(text: str) -> str | None:
    kind, _, rest = text.removeprefix("urn:epc:").partition(":")
    name, _, body = rest.partition(":")
    known = _URNS.get(f"{kind}:{name}")
    if known is None:
        return None
    count, build = known
    if kind == "idpat":
        if not body.endswith(".*"):
            return None
        body = body[:-2]
    parts = body.split(".", count - 1)
    path = build(parts) if len(parts) == count else None
    return path and CANONICAL_HOST + path


# --- Digital Links ------------------------------------------------------------------------------

_NAMES: Final[Mapping[str, str]] = {
    "gtin": "01",
    "itip": "8006",
    "cpid": "8010",
    "gln": "414",
    "party": "417",
    "gsrnp": "8017",
    "gsrn": "8018",
    "gcn": "255",
    "sscc": "00",
    "gdti": "253",
    "ginc": "401",
    "gsin": "402",
    "grai": "8003",
    "giai": "8004",
    "cpv": "22",
    "lot": "10",
    "ser": "21",
    "cpsn": "8011",
    "glnx": "254",
    "srin": "8019",
}
"""Short names for application identifiers (Digital Link URI Syntax 1.1, retired in 1.2 but still about)."""

_KEYS: Final[Mapping[str, re.Pattern[str]]] = {
    "00": re.compile(r"[0-9]{18}"),
    "01": re.compile(r"[0-9]{8}|[0-9]{12,14}"),
    "253": re.compile(r"""[0-9]{13}[!"%&'()*+,\-./0-9:;<=>?A-Z_a-z]{0,17}"""),
    "255": re.compile(r"[0-9]{13,25}"),
    "401": re.compile(r"""[0-9]{4}[!"%&'()*+,\-./0-9:;<=>?A-Z_a-z]{1,26}"""),
    "402": re.compile(r"[0-9]{17}"),
    "414": re.compile(r"[0-9]{13}"),
    "417": re.compile(r"[0-9]{13}"),
    "8003": re.compile(r"""[0-9]{14}[!"%&'()*+,\-./0-9:;<=>?A-Z_a-z]{0,16}"""),
    "8004": re.compile(r"""[0-9]{4}[!"%&'()*+,\-./0-9:;<=>?A-Z_a-z]{1,26}"""),
    "8006": re.compile(r"[0-9]{18}"),
    "8010": re.compile(r"[0-9]{4}[#\-/0-9A-Z]{1,26}"),
    "8017": re.compile(r"[0-9]{18}"),
    "8018": re.compile(r"[0-9]{18}"),
}
"""What the value of each primary key looks like (General Specifications, section 3), check digits apart."""

_QUALIFIERS: Final[Mapping[str, Mapping[str, int]]] = {
    "01": {"21": 20, "235": 28, "10": 20, "22": 20},
    "8006": {"21": 20, "10": 20, "22": 20},
    "414": {"254": 20, "7040": 4},
    "417": {"7040": 4},
    "8004": {"7040": 4},
    "8010": {"8011": 12},
    "8017": {"8019": 10},
    "8018": {"8019": 10},
}
"""The qualifiers each key may have and how long they are; the finest first. Of a GTIN's, one alone is kept."""

_ONE_QUALIFIER: Final = ("01", "8006")
_LINK: Final = re.compile(r"https?://[^/?#]+(/[^?#]*)(?:\?[^#]*)?", re.IGNORECASE)
_LIKELY: Final = re.compile(r"/(?:" + "|".join((*_KEYS, *(name for name, ai in _NAMES.items() if ai in _KEYS))) + r")/")


def _from_link(text: str) -> str | None:
    if not _LIKELY.search(text):
        return None
    link = _LINK.fullmatch(text)
    if link is None:
        return None
    segments = link[1].removesuffix("/").split("/")
    for start in range(1, len(segments) - 1):
        ai = _NAMES.get(segments[start], segments[start])
        if ai in _KEYS and (len(segments) - start) % 2 == 0:
            path = _canonical_path(ai, segments[start + 1 :])
            if path is not None:
                return CANONICAL_HOST + path
    return None


def _canonical_path(key: str, rest: list[str]) -> str | None:
    """Return the canonical path of a key, its value and the qualifiers behind it; None where they are not that."""
    value = unquote(rest[0])
    if not _KEYS[key].fullmatch(value):
        return None
    pairs = [unquote(segment) for segment in rest[1:]]
    if key == "01":
        value = value.zfill(14)
    allowed = _QUALIFIERS.get(key, {})
    found: dict[str, str] = {}
    for name, qualifier in zip(pairs[::2], pairs[1::2], strict=True):
        ai = _NAMES.get(name, name)
        if ai not in allowed or ai in found or len(qualifier) > allowed[ai] or not _AI82.fullmatch(qualifier):
            return None
        found[ai] = qualifier
    if not _DIGITS.fullmatch(found.get("8011", "0")):
        return None
    kept = [ai for ai in allowed if ai in found and ai != "22"]
    if key in _ONE_QUALIFIER:
        kept = kept[:1]
    return f"/{key}/{path_segment(value)}" + "".join(f"/{ai}/{path_segment(found[ai])}" for ai in kept)
