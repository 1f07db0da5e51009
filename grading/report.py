"""Grading files on disk, for the command line: one report per photograph, refusals among them."""

import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from PIL import Image

from grading.calibrate import Coin, Marker
from grading.camera import MAX_BYTES, Frame, decode, to_lab
from grading.detect import Detection, Detector, NamesKinds, SeesDefects, TellsGround
from grading.detectors import AUTOMATIC, detector_named
from grading.errors import (
    CannotGradeError,
    ImageTooLargeError,
    NoFruitError,
    NoScaleError,
    TiltedScaleError,
    UnreadableFileError,
)
from grading.grade import DOUBTFUL, NO_CLASS
from grading.look import (
    DOUBTS,
    SURE_ANYWHERE_PERMILLE,
    Given,
    Known,
    Seen,
    SeenFruit,
    Setup,
    is_of_standard,
    look_at,
    method_of,
    simplified,
)
from grading.measure import Measures, measure
from grading.second_look import without_ends
from grading.standard import Standard, Tariff, Text, load_tariff, shipped_standards, standard_for
from grading.viewpoint import ViewAsked

PICTURES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp"})
OTHER_PICTURES: Final = frozenset({".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp", ".gif", ".jp2", ".dng"})
"""Pictures that are not read; in a folder they are refused by name, not passed over."""
ASSUMED_FOCAL_MM: Final = 29
"""Focal length (as on 36 x 24 mm film) taken for a hand-held camera that does not tell its own, beside a coin.

Fitted to photographs of fruit of known volume by one or two telephones (grading/README.md); telephones have 24 to 35.
"""
ASSUMED_CROP: Final = "mango"
"""Whose standard is taken where none is named, and no fruit is seen that one is for."""
_LEAST_SHARE_PERMILLE: Final = 200
"""A standard for less than this share of the fruit seen is not chosen."""
_FILM_DIAGONAL_MM: Final = 43.267
_EXIF: Final = 0x8769
_FOCAL_LENGTH_ON_FILM: Final = 0xA405

Box = tuple[int, int, int, int]


def picture_paths(paths: Iterable[Path]) -> list[Path]:
    """Return the named files, and every picture in the named folders, sorted; each once."""
    found: dict[Path, None] = {}
    pictures = PICTURES | OTHER_PICTURES
    for path in paths:
        if path.is_dir():
            found |= dict.fromkeys(sorted(each for each in path.rglob("*") if each.suffix.lower() in pictures))
        else:
            found[path] = None
    return list(found)


def grade_files(
    paths: Iterable[Path],
    *,
    standard: Standard | None = None,
    references: Sequence[Known] = (Marker(), Coin()),
    focal_px: int | None = None,
    tariff: Tariff | None = None,
    detector: Detector | None = None,
    brix_tenths: int | None = None,
    view: ViewAsked = "automatic",
) -> Iterator[dict[str, Any]]:
    """Yield one report per photograph: what it shows, its fruit, and what was refused and why.

    The first of `references` that the photograph has gives its scale. Without `focal_px`, the focal length
    that the photograph's EXIF tells is used, and beside a coin an ordinary hand-held camera's. Where none of the
    references is there, the fruit are still told, without millimetres, grams or class, and left to a person.
    Without `standard`, each photograph is graded by the one for the fruit seen in it; the report says whether it was
    `given`, chosen by `kind`, or `assumed` because no fruit was named that a standard is for.
    A photograph that came before under another name is graded again, and names the first (`same_as`).
    """
    prices = tariff or load_tariff()
    finder = detector or detector_named(AUTOMATIC)
    setup = Setup(
        standard or standard_for(ASSUMED_CROP),
        prices,
        references[0],
        focal_px,
        finder,
        brix_tenths,
        view=view,
        is_chosen_by_kind=standard is None,
    )
    names: dict[bytes, str] = {}
    for path in paths:
        report, digest = _report(path, setup, references)
        if digest is not None:
            first = names.setdefault(digest, report["image"])
            report["same_as"] = first if first != report["image"] else None
        yield report


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


def _report(path: Path, setup: Setup, references: Sequence[Known]) -> tuple[dict[str, Any], bytes | None]:
    """Return the report on a file, and the SHA-256 of a photograph that could be read."""
    detector = setup.detector
    # A name that is no UTF-8 is shown as well as it can be.
    report: dict[str, Any] = {
        "image": os.fsencode(path).decode("utf-8", "replace"),
        "width": None,
        "height": None,
        "scale": None,
        "fruits": [],
        "refused": [],
        "standard": _named(setup.standard, "assumed" if setup.is_chosen_by_kind else "given"),
        "detector": detector.description["name"],
        "ground": None,
        "same_as": None,
    }
    frame = None
    try:
        data = _read(path)
        frame = decode(data)
        ground = detector.ground(frame.pixels) if isinstance(detector, TellsGround) else None
        report |= {"width": frame.width, "height": frame.height, "ground": ground}
        kinds = detector.kinds(frame.pixels) if isinstance(detector, NamesKinds) else {}
        chosen = [_by_kind(replace(setup, reference=each), kinds) for each in references]
        setup, report["standard"] = chosen[-1]
        seen, setup, told_by, report["standard"] = _look(frame, data, chosen)
    except CannotGradeError as error:
        refused = [{"what": error.code, "why": str(error)}]
        if frame is None or not isinstance(error, NoScaleError | TiltedScaleError):
            cut = error.cut_boxes if isinstance(error, NoFruitError) else ()
            told = report | {"refused": refused + [_cut(box) for box in cut]}
            return told, None if frame is None else frame.digest
        found = detector.detect(frame.pixels)
        told = report | {
            "fruits": [_without_scale(frame, each, setup) for each in found if not each.is_cut],
            "refused": refused + [_cut(each.box) for each in found if each.is_cut],
        }
        return told, frame.digest
    told = report | {
        "scale": {
            "method": method_of(setup.reference),
            "mm_per_px": round(seen.scale.nm_per_px / 1e6, 6),
            "camera_height_mm": None if seen.camera_height_um is None else round(seen.camera_height_um / 1000),
            "focal_px": setup.focal_px,
            "focal_from": told_by,
            "view": seen.view,
            "view_from": seen.view_from,
        },
        "fruits": [_fruit(fruit, setup) for fruit in seen.fruit],
        "refused": [_cut(box) for box in seen.cut_boxes],
    }
    return told, frame.digest


def _fruit(fruit: SeenFruit, setup: Setup) -> dict[str, Any]:
    measures, verdict, detection = fruit.measures, fruit.verdict, fruit.detection
    is_meant = "kind" not in fruit.doubts or is_of_standard(detection, setup.standard)
    left, top = detection.x, detection.y
    kinds = fruit.again.kinds if fruit.again else tuple(mark.kind for mark in measures.marks)
    basis, section = setup.standard.basis_of(verdict.rule)
    least = setup.standard.content.doubt.least_score_permille
    doubts = [(f"doubt-{name}", DOUBTS[name]) for name in fruit.doubts]
    if not doubts and detection.score_permille < least:
        doubts.append(("doubt-score", _unsure(detection.score_permille, least)))
    if not doubts and verdict.is_doubtful:
        doubts.append(("doubt-near", _NEAR_LIMIT))
    return {
        **_seen(detection, measures, setup),
        "diameter_mm": round(measures.equatorial_um / 1000, 1),
        "length_mm": round(measures.length_um / 1000, 1),
        "sphere_mm": round((6 * measures.volume_mm3 / math.pi) ** (1 / 3), 1),
        "mass_g": measures.mass_g,
        "mass_g_interval": [measures.mass_low_g, measures.mass_high_g],
        "defects": [
            {
                "kind": kind,
                "box": _corners((left + mark.box[0], top + mark.box[1], mark.box[2], mark.box[3])),
                "area_mm2": mark.area_mm2,
            }
            for kind, mark in zip(kinds, measures.marks, strict=True)
        ],
        # By the standard of another fruit there is neither class nor size.
        "class": verdict.quality if verdict.quality != NO_CLASS and is_meant else None,
        "size_code": verdict.size if verdict.size != "-" and is_meant else None,
        "tier": verdict.tier,
        "candidates": list(verdict.candidates) if is_meant else list(setup.tariff.tiers),
        "price_fen": verdict.price_fen if is_meant else None,
        "reasons": [
            *([_reason(verdict.rule, verdict.reason, basis=basis, section=section)] if is_meant else []),
            *(_reason(rule, text) for rule, text in doubts),
        ],
    }


def _without_scale(frame: Frame, detection: Detection, setup: Setup) -> dict[str, Any]:
    """Return what can be said of a fruit whose size is not known: place, kind, colour, share of marks."""
    x, y, w, h = detection.box
    # Shares and colours are the same at any scale; every length, area and mass is left out.
    part = frame.pixels[y : y + h, x : x + w]
    measures = measure(
        to_lab(part),
        detection.mask,
        mm_per_px=1.0,
        solid=setup.standard.solid,
        bands=setup.standard.bands,
    )
    if isinstance(setup.detector, SeesDefects) and setup.detector.defects is not None:
        found = setup.detector.defects.look(part, detection.mask, mm_per_px=1.0)
        measures = without_ends(measures, found, area_px=int(detection.mask.sum()))
    return {
        **_seen(detection, measures, setup),
        "diameter_mm": None,
        "length_mm": None,
        "sphere_mm": None,
        "mass_g": None,
        "mass_g_interval": None,
        "defects": [
            {"kind": "mark", "box": _corners((x + m.box[0], y + m.box[1], m.box[2], m.box[3])), "area_mm2": None}
            for m in measures.marks
        ],
        "class": None,
        "size_code": None,
        "tier": DOUBTFUL,
        "candidates": list(setup.tariff.tiers),
        "price_fen": None,
        "reasons": [_reason("doubt-no-scale", _NO_SCALE)],
    }


def _seen(detection: Detection, measures: Measures, setup: Setup) -> dict[str, Any]:
    stage = setup.standard.stage(measures)
    return {
        "box": _corners(detection.box),
        "polygon": [list(point) for point in simplified(detection.outline)],
        "kind": detection.kind or setup.standard.content.crop,
        "confidence": detection.score_permille / 1000,
        "colour": {
            "lab": [measures.lab_l_centi / 100, measures.lab_a_centi / 100, measures.lab_b_centi / 100],
            "bands_percent": {name: share / 10 for name, share in measures.bands},
            "stage": stage.id if stage else None,
        },
        "roundness": measures.roundness_permille / 1000,
        "defect_percent": measures.blemish_permille / 10,
    }


def _reason(rule: str, text: Text, *, basis: str = "house", section: str = "") -> dict[str, str]:
    return {"rule": rule, "basis": basis, "section": section, "zh": text.zh, "en": text.en}


def _unsure(score_permille: int, least_permille: int) -> Text:
    told, least = f"{score_permille / 1000:.2f}", f"{least_permille / 1000:.2f}"
    return Text(
        f"不能确定这是果子或轮廓是否正确：把握 {told}，至少要 {least}，请人看",  # noqa: RUF001  # Chinese punctuation
        f"not sure that this is a fruit, or of its outline: confidence {told}, at least {least} is needed; "
        "a person decides",
    )


_NO_SCALE: Final = Text(
    "画面中没有标记或硬币，量不出毫米和克，请人定",  # noqa: RUF001  # Chinese has its own comma
    "no marker or coin in the picture: neither millimetres nor grams can be told; a person decides",
)
_NEAR_LIMIT: Final = Text(
    "离界限太近，镜头分不清是哪一档，请人定",  # noqa: RUF001  # Chinese has its own comma
    "too near a limit for the camera to tell the tiers apart; a person decides",
)


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


def _named(standard: Standard, told_by: str) -> dict[str, str]:
    return {"id": standard.id, "edition": standard.edition, "from": told_by}


def _by_kind(setup: Setup, kinds: Mapping[str, int]) -> "_Chosen":
    """Return the setup with the standard for most of the fruit seen, where none was named, and who named it."""
    if not setup.is_chosen_by_kind:
        return setup, _named(setup.standard, "given")
    shipped = shipped_standards()
    seen = {crop: sum(kinds.get(kind, 0) for kind in each.kinds) for crop, each in sorted(shipped.items())}
    crop = max(seen, key=lambda each: seen[each])
    least = _LEAST_SHARE_PERMILLE if isinstance(setup.reference, Coin) else SURE_ANYWHERE_PERMILLE
    if seen[crop] * 1000 <= least * sum(kinds.values()):
        return setup, _named(setup.standard, "assumed")
    return replace(setup, standard=shipped[crop]), _named(shipped[crop], "kind")


_Chosen = tuple[Setup, dict[str, str]]


def _look(frame: Frame, data: bytes, chosen: Sequence[_Chosen]) -> tuple[Seen, Setup, str | None, dict[str, str]]:
    wanted = []
    for setup, named in chosen:
        try:
            focused, told_by = _focused(setup, data, frame)
            return look_at(frame, focused), focused, told_by, named
        except NoScaleError as error:
            wanted.append(error.wanted)
    raise NoScaleError(" or ".join(wanted))


def _focused(setup: Setup, data: bytes, frame: Frame) -> tuple[Setup, str | None]:
    """Return the setup with the camera's focal length, and who told it: `given`, `exif`, `assumed` or nobody."""
    if setup.focal_px is not None:
        return setup, "given"
    if isinstance(setup.reference, Given):
        return setup, None
    focal = focal_px_of(data, width=frame.width, height=frame.height)
    if focal is not None:
        return setup.focused(focal), "exif"
    if isinstance(setup.reference, Coin):
        return setup.focused(_focal_px(ASSUMED_FOCAL_MM, frame.width, frame.height)), "assumed"
    return setup, None
