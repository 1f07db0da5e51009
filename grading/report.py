"""Grading files on disk, for the command line: one report per photograph, refusals among them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from grading.calibrate import Coin, Marker, Reference
from grading.errors import BrokenImageError, CannotGradeError, NoScaleError
from grading.look import Seen, Setup, look
from grading.standard import Tariff, load_tariff, standard_for
from ledger.kernel.files import ni_uri

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


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
    crop: str = "mango",
    reference: Reference | None = None,
    focal_px: int | None = None,
    tariff: Tariff | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield one report per photograph: `ok` with its fruit, or the refusal's code and message.

    Without a reference, a 60 mm marker is looked for, then a 25 mm coin. Raises UnknownCropError.
    """
    standard = standard_for(crop)
    prices = tariff or load_tariff()
    references: list[Reference] = [reference] if reference else [Marker(), Coin()]
    setups = [Setup(standard, prices, each, focal_px) for each in references]
    for path in paths:
        yield _report(path, setups)


def _report(path: Path, setups: list[Setup]) -> dict[str, Any]:
    try:
        seen, setup = _look(_read(path), setups)
    except CannotGradeError as error:
        return {"path": str(path), "ok": False, "code": error.code, "message": str(error), "fruit": []}
    return {
        "path": str(path),
        "ok": True,
        "frame": ni_uri(seen.frame.digest),
        "width": seen.frame.width,
        "height": seen.frame.height,
        "reference": setup.reference.name,
        "nm_per_pixel": seen.scale.nm_per_px,
        "height_corrected": seen.camera_height_um is not None,
        "standard": setup.standard.id,
        "standard_edition": setup.standard.edition,
        "cut": seen.cut,
        "fruit": [_fruit(seen, index) for index in range(len(seen.fruit))],
    }


def _fruit(seen: Seen, index: int) -> dict[str, Any]:
    fruit = seen.fruit[index]
    verdict = fruit.verdict
    return {
        "number": index + 1,
        "box": list(fruit.detection.box),
        "tier": verdict.tier,
        "nominal_tier": verdict.nominal_tier,
        "candidates": list(verdict.candidates),
        "class": verdict.quality,
        "size": verdict.size,
        "rule": verdict.rule,
        "reason": msgspec.to_builtins(verdict.reason),
        "price_fen": verdict.price_fen,
        "score_permille": fruit.detection.score_permille,
        **msgspec.to_builtins(fruit.measures),
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BrokenImageError(f"{path} cannot be read ({error.strerror})") from error


def _look(image: bytes, setups: list[Setup]) -> tuple[Seen, Setup]:
    for setup in setups[:-1]:
        try:
            return look(image, setup), setup
        except NoScaleError:
            continue
    if len(setups) > 1:
        try:
            return look(image, setups[-1]), setups[-1]
        except NoScaleError as error:
            raise NoScaleError(" or ".join(f"{setup.reference.name}" for setup in setups)) from error
    return look(image, setups[-1]), setups[-1]
