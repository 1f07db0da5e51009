"""Grading files on disk, for the command line: one report per photograph, refusals among them."""

import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

from grading.calibrate import Coin, Marker
from grading.camera import MAX_BYTES, Frame, decode
from grading.detect import ClassicalDetector, Detector
from grading.errors import CannotGradeError, ImageTooLargeError, NoScaleError, UnreadableFileError
from grading.grade import NO_CLASS
from grading.look import Given, Known, Seen, SeenFruit, Setup, look_at, method_of
from grading.standard import Standard, Tariff, load_tariff

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
ASSUMED_FOCAL_MM: Final = 36
"""Focal length (as on 36 x 24 mm film) taken for a hand-held camera that does not tell its own, beside a coin."""
_FILM_DIAGONAL_MM: Final = 43.267
_EXIF: Final = 0x8769
_FOCAL_LENGTH_ON_FILM: Final = 0xA405

Box = tuple[int, int, int, int]


def picture_paths(paths: Iterable[Path]) -> list[Path]:
    """Return the named files, and every picture in the named folders, sorted."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found.extend(sorted(each for each in path.rglob("*") if each.suffix.lower() in PICTURES))
        else:
            found.append(path)
    return found


def grade_files(
    paths: Iterable[Path],
    *,
    standard: Standard,
    references: Sequence[Known] = (Marker(), Coin()),
    focal_px: int | None = None,
    tariff: Tariff | None = None,
    detector: Detector | None = None,
    brix_tenths: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield one report per photograph: what it shows, its fruit, and what was refused and why.

    The first of `references` that the photograph has gives its scale. Without `focal_px`, the focal length
    that the photograph's EXIF tells is used, and beside a coin an ordinary hand-held camera's.
    """
    prices = tariff or load_tariff()
    finder = detector or ClassicalDetector()
    for path in paths:
        yield _report(path, [Setup(standard, prices, each, focal_px, finder, brix_tenths) for each in references])


def focal_px_of(data: bytes, *, width: int, height: int) -> int | None:
    """Return the focal length in pixels that a photograph's EXIF tells, or None."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            told = image.getexif().get_ifd(_EXIF).get(_FOCAL_LENGTH_ON_FILM, 0)
        return _focal_px(float(told), width, height) if 8 <= float(told) <= 600 else None
    # EXIF is written by anybody, and fails in as many ways; without it the photograph is graded all the same.
    except (OSError, ValueError, SyntaxError, TypeError, LookupError, ArithmeticError):
        return None


def _focal_px(focal_mm: float, width: int, height: int) -> int:
    return round(focal_mm / _FILM_DIAGONAL_MM * math.hypot(width, height))


def _report(path: Path, setups: list[Setup]) -> dict[str, Any]:
    # A name that is no UTF-8 is shown as well as it can be.
    report: dict[str, Any] = {
        "image": os.fsencode(path).decode("utf-8", "replace"),
        "width": None,
        "height": None,
        "scale": None,
        "fruits": [],
        "refused": [],
        "standard": {"id": setups[0].standard.id, "edition": setups[0].standard.edition},
    }
    try:
        data = _read(path)
        frame = decode(data)
        report |= {"width": frame.width, "height": frame.height}
        seen, setup = _look(frame, data, setups)
    except CannotGradeError as error:
        return report | {"refused": [{"what": error.code, "why": str(error)}]}
    return report | {
        "scale": {
            "method": method_of(setup.reference),
            "mm_per_px": round(seen.scale.nm_per_px / 1e6, 6),
            "camera_height_mm": None if seen.camera_height_um is None else round(seen.camera_height_um / 1000),
        },
        "fruits": [_fruit(fruit, setup) for fruit in seen.fruit],
        "refused": [_cut(box) for box in seen.cut_boxes],
    }


def _fruit(fruit: SeenFruit, setup: Setup) -> dict[str, Any]:
    measures, verdict, detection = fruit.measures, fruit.verdict, fruit.detection
    stage = setup.standard.stage(measures)
    left, top = detection.x, detection.y
    basis, section = setup.standard.basis_of(verdict.rule)
    return {
        "box": _corners(detection.box),
        "polygon": [list(point) for point in fruit.outline],
        "kind": detection.kind or setup.standard.content.crop,
        "diameter_mm": round(measures.equatorial_um / 1000, 1),
        "length_mm": round(measures.length_um / 1000, 1),
        "mass_g": measures.mass_g,
        "mass_g_interval": [measures.mass_low_g, measures.mass_high_g],
        "colour": {
            "lab": [measures.lab_l_centi / 100, measures.lab_a_centi / 100, measures.lab_b_centi / 100],
            "bands_percent": {name: share / 10 for name, share in measures.bands},
            "stage": stage.id if stage else None,
        },
        "roundness": measures.roundness_permille / 1000,
        "defect_percent": measures.blemish_permille / 10,
        "defects": [
            {
                "kind": mark.kind,
                "box": _corners((left + mark.box[0], top + mark.box[1], mark.box[2], mark.box[3])),
                "area_mm2": mark.area_mm2,
            }
            for mark in measures.marks
        ],
        "class": None if verdict.quality == NO_CLASS else verdict.quality,
        "size_code": None if verdict.size == "-" else verdict.size,
        "tier": verdict.tier,
        "candidates": list(verdict.candidates),
        "price_fen": verdict.price_fen,
        "confidence": detection.score_permille / 1000,
        "reasons": [
            {
                "rule": verdict.rule,
                "basis": basis,
                "section": section,
                "zh": verdict.reason.zh,
                "en": verdict.reason.en,
            }
        ],
    }


def _corners(box: Box) -> list[int]:
    x, y, w, h = box
    return [x, y, x + w, y + h]


def _cut(box: Box) -> Mapping[str, Any]:
    corners = _corners(box)
    why = f"a fruit at {corners} touches the edge of the picture: its size cannot be known"
    return {"what": "fruit_cut", "why": why, "box": corners}


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UnreadableFileError(path, "there is no such file" if not path.exists() else "it is no plain file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ImageTooLargeError("bytes", found=size, limit=MAX_BYTES)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableFileError(path, reason) from error


def _look(frame: Frame, data: bytes, setups: list[Setup]) -> tuple[Seen, Setup]:
    wanted = []
    for setup in setups:
        try:
            chosen = _focused(setup, data, frame)
            return look_at(frame, chosen), chosen
        except NoScaleError as error:
            wanted.append(error.wanted)
    raise NoScaleError(" or ".join(wanted))


def _focused(setup: Setup, data: bytes, frame: Frame) -> Setup:
    if setup.focal_px is not None or isinstance(setup.reference, Given):
        return setup
    focal = focal_px_of(data, width=frame.width, height=frame.height)
    if focal is None and isinstance(setup.reference, Coin):
        focal = _focal_px(ASSUMED_FOCAL_MM, frame.width, frame.height)
    return setup.focused(focal)
