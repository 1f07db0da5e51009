"""Kept files as a page can show them: temperatures, fruit records, photographs, the reason for a tier.

What cannot be read is left out: evidence is shown, never guessed at.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
from PIL import Image, ImageOps, UnidentifiedImageError

from api.drawing import Reading
from api.facts import fact_at, walk
from api.story import Fruit, Photo, Plate
from grading.errors import GradingError
from grading.evidence import FORMATS
from grading.grade import grade
from grading.look import recorded
from grading.measure import Measures
from grading.standard import Standard, Tariff, parse_standard, parse_tariff
from ledger.kernel.clock import TimeError, parse_time
from ledger.kernel.errors import IdentifierError
from ledger.kernel.files import parse_ni

Files = Callable[[str], bytes | None]
"""Gives the bytes of an `ni:` name, or None where they are not kept here."""

READINGS_FORMAT: Final = "guoyuan-readings/1"
_TEMPERATURES: Final = ("pulp-temperature", "load-temperature", "air-temperature", "room-temperature")
_USABLE: Final = (1, 2)
"""QARTOD flags good and not evaluated: what a summary counts."""
_LARGEST: Final = 4_000_000
SHEET_SIDE: Final = 112
SHEET_COLUMNS: Final = 8
_MARGIN_PERMILLE: Final = 70
"""How much ground a crop keeps around the fruit, of its longer side (`grading.look`)."""
_FRUIT_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "tier": ("verdict", "tier"),
    "mass": ("measures", "massG"),
    "length": ("measures", "lengthUm"),
    "width": ("measures", "widthUm"),
    "blemish": ("measures", "blemishMm2"),
    "price": ("verdict", "priceFen"),
    "rule": ("verdict", "rule"),
    "margin": ("verdict", "marginPermille"),
    "standard": ("standard", "id"),
    "edition": ("standard", "edition"),
    "number": ("number",),
}


@dataclass(frozen=True, slots=True)
class Series:
    """The usable readings of one quantity in a kept file."""

    quantity: str
    readings: tuple[Reading, ...]


@lru_cache(maxsize=256)
def kept_series(data: bytes) -> Series | None:
    """Return the temperatures in a file of readings: of several quantities pulp before load, air and room."""
    try:
        document = msgspec.json.decode(data)
        if document["format"] != READINGS_FORMAT:
            return None
        found: dict[str, dict[datetime, float]] = {}
        for row in document["readings"]:
            if row["flag"] in _USABLE and row["quantity"] in _TEMPERATURES:
                found.setdefault(row["quantity"], {})[parse_time(row["at"])] = float(row["value"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, TimeError):
        return None
    quantity = next((name for name in _TEMPERATURES if name in found), None)
    if quantity is None:
        return None
    series = found[quantity]
    return Series(quantity, tuple(Reading(at, series[at]) for at in sorted(series)))


def photo(files: Files, name: str | None) -> Photo | None:
    """Return a photograph or document by its `ni:` name, measured where it is a picture that is kept."""
    digest = _hex(name)
    if name is None or digest is None:
        return None
    data = files(name)
    if data is None or len(data) > _LARGEST:
        return Photo(digest, is_kept=False)
    return _measured(digest, data)


def fruit(files: Files, number: int, name: str) -> Fruit | None:
    """Return one fruit by the `ni:` name of its record, or None where that is not kept or not a record."""
    digest, data = _hex(name), files(name)
    if digest is None or data is None or len(data) > _LARGEST:
        return None
    try:
        record = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return None
    if walk(record, ("format",)) not in FORMATS:
        return None
    crop = walk(record, ("crop",))
    picture = photo(files, crop if isinstance(crop, str) else None)
    reason, title = _reason(files, record)
    facts = {key: fact for key, path in _FRUIT_PATHS.items() if (fact := fact_at(record, path, digest))}
    return Fruit(number, digest, picture, _plate(record, picture), facts, reason, title)


def crop_names(files: Files, records: list[str]) -> set[str]:
    """Return the `ni:` names of the crops that fruit records name."""
    names = set()
    for name in records:
        data = files(name)
        try:
            crop = walk(msgspec.json.decode(data), ("crop",)) if data is not None else None
        except msgspec.DecodeError:
            continue
        if isinstance(crop, str):
            names.add(crop)
    return names


def sheet(pictures: Sequence[bytes | None]) -> bytes:
    """Return small square pictures side by side as one WebP, `SHEET_COLUMNS` in a row; None leaves its place empty.

    For looking at only: one request instead of a dozen.
    """
    rows = -(-len(pictures) // SHEET_COLUMNS)
    size = (min(len(pictures), SHEET_COLUMNS) * SHEET_SIDE, rows * SHEET_SIDE)
    whole = Image.new("RGB", size, (244, 241, 232))
    for number, data in enumerate(pictures):
        if data is None:
            continue
        try:
            with Image.open(io.BytesIO(data)) as opened:
                opened.draft("RGB", (SHEET_SIDE * 2, SHEET_SIDE * 2))
                small = ImageOps.fit(opened.convert("RGB"), (SHEET_SIDE, SHEET_SIDE), Image.Resampling.LANCZOS)
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
            continue
        whole.paste(small, sheet_place(number))
    out = io.BytesIO()
    whole.save(out, "WEBP", quality=55, method=6)
    return out.getvalue()


def sheet_place(number: int) -> tuple[int, int]:
    """Return where the picture of this number (from 0) stands in the sheet."""
    return number % SHEET_COLUMNS * SHEET_SIDE, number // SHEET_COLUMNS * SHEET_SIDE


def media_type(data: bytes) -> str:
    """Return what the bytes are, by looking at them: never a type a browser would run."""
    starts = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n", "image/png"), (b"%PDF-", "application/pdf"))
    for start, name in starts:
        if data.startswith(start):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return "application/json" if data[:1] in (b"{", b"[") else "application/octet-stream"


@lru_cache(maxsize=2048)
def _measured(digest: str, data: bytes) -> Photo:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            width, height = opened.size
            opened.draft("RGB", (64, 64))
            small = opened.convert("RGB").resize((16, 16))
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return Photo(digest, is_kept=True)
    edge = [small.getpixel((x, y)) for x in range(16) for y in (0, 15)]
    edge += [small.getpixel((x, y)) for x in (0, 15) for y in range(16)]
    middle = [sorted(channel)[len(channel) // 2] for channel in zip(*edge, strict=True)]
    return Photo(digest, True, width, height, "#" + "".join(f"{value:02x}" for value in middle))


def _plate(record: Mapping[str, Any], picture: Photo | None) -> Plate | None:
    """Return where the fruit stands in its crop. The crop keeps a margin, less where the photograph ended."""
    box, nm = record.get("box"), walk(record, ("scale", "nmPerPixel"))
    shrink = walk(record, ("measures", "heightCorrectedPermille"))
    if picture is None or not picture.width or not isinstance(box, list) or len(box) != 4 or not isinstance(nm, int):
        return None
    try:
        x, _, w, h = (int(value) for value in box)
    except (TypeError, ValueError):
        return None
    if w <= 0 or h <= 0 or nm <= 0:
        return None
    margin = max(w, h) * _MARGIN_PERMILLE // 1000
    left = min(x, margin)
    scale = picture.width / (left + w + margin)
    mm_per_px = nm / 1e6 * (shrink if isinstance(shrink, int) and shrink > 0 else 1000) / 1000
    return Plate(left * scale, (left + w) * scale, scale / mm_per_px)


def _reason(files: Files, record: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return why the record's tier is what it is, and the standard's title, by grading its measures again."""
    standard_name, tariff_name = walk(record, ("standard", "file")), walk(record, ("tariff", "file"))
    if not isinstance(standard_name, str) or not isinstance(tariff_name, str):
        return {}, {}
    standard_data, tariff_data = files(standard_name), files(tariff_name)
    if standard_data is None or tariff_data is None:
        return {}, {}
    try:
        names = str(walk(record, ("standard", "id"))), str(walk(record, ("tariff", "id")))
        brix = record.get("brixTenths", -1)
        rule, reason, title = _judged(recorded(record), brix, names, standard_data, tariff_data)
    except (GradingError, AttributeError, KeyError, TypeError, ValueError):
        return {}, {}
    return (reason if rule == walk(record, ("verdict", "rule")) else {}), title


@lru_cache(maxsize=4096)
def _judged(
    measures: Measures, brix: int, names: tuple[str, str], standard_data: bytes, tariff_data: bytes
) -> tuple[str, dict[str, str], dict[str, str]]:
    """Return the rule that decides about measures, why, and the standard's title. Raises GradingError."""
    standard, tariff = _standard(names[0], standard_data), _tariff(names[1], tariff_data)
    verdict = grade(measures, standard, tariff, brix_tenths=brix if brix >= 0 else None)
    title = standard.content.title
    return verdict.rule, {"zh": verdict.reason.zh, "en": verdict.reason.en}, {"zh": title.zh, "en": title.en}


@lru_cache(maxsize=32)
def _standard(name: str, data: bytes) -> Standard:
    return parse_standard(name, data)


@lru_cache(maxsize=32)
def _tariff(name: str, data: bytes) -> Tariff:
    return parse_tariff(name, data)


def _hex(name: str | None) -> str | None:
    try:
        return None if name is None else parse_ni(name).hex()
    except IdentifierError:
        return None
