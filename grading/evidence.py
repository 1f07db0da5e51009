"""What is kept of every fruit, so that anyone can grade it again.

A fruit record is a small canonical JSON file named by its SHA-256: the photograph's hash, the crop's,
where in the photograph, the scale, what was measured, and by which edition of which file what was
decided. The batch's Merkle root over these records goes into the log; the records and photographs
themselves stay in the file store.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from grading.calibrate import Coin, Marker
from grading.detect import Detector
from grading.detectors import detector_described
from grading.errors import EvidenceError, GradingError
from grading.grade import Verdict
from grading.look import EDITION, Given, Known, Seen, SeenFruit, Setup, look, marks_recorded, measured, method_of
from grading.standard import Standard, parse_standard, parse_tariff
from ledger.canonical import canonical
from ledger.errors import LedgerError
from ledger.kernel.errors import OriginError
from ledger.kernel.files import FileStore, ni_uri

FORMATS = tuple(f"guoyuan-fruit-record/{edition}" for edition in range(1, EDITION + 1))
"""Every edition that is read and graded again. The first one has neither marks, bands nor an interval of the mass;
the first two measure without regard to where in the picture a fruit lies, and doubt nothing; the third takes every
fruit for one of the standard's, and caps for coins; the fourth every photograph for a view from above (`measure`,
`look`, `calibrate`). Colours and marks are reckoned on
fewer pixels since the fourth: of records before it, `regrade` tells the numbers that differ by that."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The names of the files kept for one fruit."""

    record: str
    crop: str


def keep_setup(files: FileStore, setup: Setup) -> None:
    """Keep the files a verdict names: standard, tariff, description of the detector."""
    for data in (setup.standard.data, setup.tariff.data, setup.model):
        files.put(data)


def keep_fruit(files: FileStore, seen: Seen, fruit: SeenFruit, *, number: int, run: str, setup: Setup) -> Kept:
    """Keep one fruit's crop and record; keeping the same again changes nothing."""
    crop = files.put(fruit.crop)
    return Kept(files.put(fruit_record(seen, fruit, crop=crop, number=number, run=run, setup=setup)), crop)


def fruit_record(seen: Seen, fruit: SeenFruit, *, crop: str, number: int, run: str, setup: Setup) -> bytes:
    """Return the canonical bytes of one fruit's record, in the edition that the setup measures by."""
    edition = setup.edition
    new: dict[str, Any] = {}
    if edition > 1:
        stage = setup.standard.stage(fruit.measures)
        new = {
            "bands": dict(fruit.measures.bands),
            "marks": marks_recorded(fruit.measures),
            "stage": stage.id if stage else "",
            "brixTenths": -1 if setup.brix_tenths is None else setup.brix_tenths,
        }
    if edition > 2:
        new["doubts"] = list(fruit.doubts)
    if edition > 4:
        new |= {"view": seen.view, "viewFrom": seen.view_from}
    if fruit.again is not None:
        new |= {
            "marksLeftOut": marks_recorded(replace(fruit.measures, marks=fruit.again.left_out)),
            "markKinds": list(fruit.again.kinds),
            "defectsByNetworkMm2": fruit.again.network_mm2,
        }
    return canonical(
        {
            **new,
            "format": FORMATS[edition - 1],
            "run": run,
            "number": number,
            "frame": ni_uri(seen.frame.digest),
            "crop": crop,
            "box": list(fruit.detection.box),
            "scale": {
                "reference": method_of(setup.reference),
                "referenceUm": setup.reference.size_um,
                "nmPerPixel": seen.scale.nm_per_px,
                "focalPx": setup.focal_px or 0,
                "cameraHeightUm": seen.camera_height_um or 0,
            },
            "model": ni_uri(_digest(setup.model)),
            "scorePermille": fruit.detection.score_permille,
            "measures": measured(fruit.measures, edition=edition),
            "standard": _file(setup.standard),
            "tariff": {
                "id": setup.tariff.id,
                "edition": setup.tariff.content.edition,
                "file": ni_uri(setup.tariff.digest),
            },
            "verdict": decided(fruit.verdict),
        }
    )


def decided(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict under the names that fruit records carry."""
    return {
        "tier": verdict.tier,
        "nominalTier": verdict.nominal_tier,
        "candidates": list(verdict.candidates),
        "class": verdict.quality,
        "size": verdict.size,
        "rule": verdict.rule,
        "priceFen": verdict.price_fen,
        "marginPermille": verdict.margin_permille,
    }


class Looked:
    """The photograph looked at last: a tray's dozen records are graded again from one look."""

    def __init__(self) -> None:
        self._key: object = None
        self._seen: Seen | None = None

    def look(self, frame: bytes, setup: Setup) -> Seen:
        """Return what a photograph shows, from memory where nothing that decides it has changed. As `look`."""
        given = (setup.reference, setup.focal_px, setup.brix_tenths, setup.edition, setup.view)
        key = (_digest(frame), setup.standard.digest, setup.tariff.digest, setup.model, given)
        if self._seen is None or key != self._key:
            self._seen, self._key = look(frame, setup), key
        return self._seen


def regrade(
    record: bytes,
    frame: bytes,
    *,
    standard: bytes,
    tariff: bytes,
    detector: Detector | None = None,
    looked: Looked | None = None,
) -> Verdict:
    """Grade the fruit of a record again, from the photograph on, and return the verdict.

    `detector` is the one the record's model describes; without, it is looked for among those that ship.

    Raises EvidenceError where the photograph or a file is not the one the record names, or where any
    measure or the verdict comes out otherwise.
    """
    told = _parsed(record)
    try:
        if ni_uri(_digest(frame)) != told["frame"]:
            raise EvidenceError("the photograph is not the one the record names")
        if ni_uri(_digest(standard)) != told["standard"]["file"]:
            raise EvidenceError("the standard is not the file the record names")
        if ni_uri(_digest(tariff)) != told["tariff"]["file"]:
            raise EvidenceError("the tariff is not the file the record names")
        setup = Setup(
            standard=parse_standard(told["standard"]["id"], standard),
            tariff=parse_tariff(told["tariff"]["id"], tariff),
            reference=_reference(told["scale"]),
            focal_px=told["scale"]["focalPx"] or None,
            detector=detector or detector_described(lambda model: ni_uri(_digest(model)) == told["model"]),
            brix_tenths=brix if (brix := told.get("brixTenths", -1)) >= 0 else None,
            view=told["view"] if told.get("viewFrom") == "given" else "automatic",
            edition=FORMATS.index(told["format"]) + 1,
        )
        if ni_uri(_digest(setup.model)) != told["model"]:
            raise EvidenceError("the record was made by another detector than this one")
        seen = (looked or Looked()).look(frame, setup)
        fruit = next((each for each in seen.fruit if list(each.detection.box) == told["box"]), None)
        if fruit is None:
            raise EvidenceError("no fruit stands where the record says")
        again = fruit_record(
            seen,
            fruit,
            crop=told["crop"],
            number=told["number"],
            run=told["run"],
            setup=setup,
        )
        if again != record:
            raise EvidenceError(f"{', '.join(_differing(_parsed(again), told))} come out otherwise")
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"the record is not complete: {error}") from error
    except GradingError as error:
        if isinstance(error, EvidenceError):
            raise
        raise EvidenceError(f"the evidence cannot be graded again: {error}") from error
    return fruit.verdict


def regrade_kept(files: FileStore, record: str, *, looked: Looked | None = None) -> Verdict:
    """Grade a kept record again with the kept photograph or crops, standard and tariff. Raises EvidenceError."""
    # It reads our `decided`, and only belts need it.
    from grading.line.record import is_belt_record, regrade_belt  # noqa: PLC0415

    try:
        data = files.get(record)
        if is_belt_record(data):
            return regrade_belt(data, files.get)
        told = _parsed(data)
        return regrade(
            data,
            files.get(told["frame"]),
            standard=files.get(told["standard"]["file"]),
            tariff=files.get(told["tariff"]["file"]),
            looked=looked,
        )
    except (KeyError, TypeError) as error:
        raise EvidenceError(f"the record is not complete: {error}") from error
    except OriginError as error:
        if isinstance(error, EvidenceError):
            raise
        raise EvidenceError(str(error)) from error


def _differing(again: Mapping[str, Any], told: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*again, *told} if again.get(name) != told.get(name))


def _parsed(record: bytes) -> dict[str, Any]:
    try:
        told = json.loads(record)
        is_canonical = canonical(told) == record
    except (ValueError, RecursionError, LedgerError) as error:
        raise EvidenceError("the record is not canonical JSON") from error
    if not is_canonical or not isinstance(told, dict) or told.get("format") not in FORMATS:
        raise EvidenceError(f"the record is none of {', '.join(FORMATS)} in canonical form")
    return told


def _file(standard: Standard) -> dict[str, str]:
    return {"id": standard.id, "edition": standard.edition, "file": ni_uri(standard.digest)}


def _reference(scale: Mapping[str, Any]) -> Known:
    kind, size_um = scale["reference"], scale["referenceUm"]
    if kind == "given":
        return Given(scale["nmPerPixel"])
    if kind not in {"marker", "coin"}:
        raise EvidenceError(f"{kind!r} is no reference")
    return Marker(size_um) if kind == "marker" else Coin(size_um)


def _digest(data: bytes) -> bytes:
    return sha256(data).digest()
