"""One photograph, from bytes to verdicts: scale, fruit, measures, grade. No database and no clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.calibrate import Coin, Marker, Reference, Scale, camera_height_mm, find_scale
from grading.camera import Frame, Pixels, decode, to_jpeg, to_lab
from grading.detect import ClassicalDetector, Detection, Detector, SeesCoins
from grading.errors import NoFruitError
from grading.grade import Verdict, grade
from grading.measure import Error, Mark, Measures, measure
from grading.standard import Standard, Tariff
from ledger.canonical import canonical

_CROP_MARGIN_PERMILLE = 70
_CROP_SIDE_PX = 520
_SCALE_PERMILLE: Final = {"marker": 4, "coin": 15, "given": 10}
"""One standard deviation of a scale: of a printed marker, of a coin in whatever light, of a number somebody states."""


@dataclass(frozen=True, slots=True)
class Given:
    """A scale that a person states for the plane the fruit lie on; nothing is looked for in the photograph."""

    nm_per_px: int

    @property
    def size_um(self) -> int:
        """No thing of known length lies in the photograph."""
        return 0

    @property
    def name(self) -> str:
        """How a report names it."""
        return "given"

    @property
    def mm_per_px(self) -> float:
        """Millimetres per pixel."""
        return self.nm_per_px / 1e6


Known: TypeAlias = Reference | Given
"""What a photograph's scale is taken from."""


def method_of(reference: Known) -> str:
    """Return `marker`, `coin` or `given`."""
    if isinstance(reference, Given):
        return "given"
    return "marker" if isinstance(reference, Marker) else "coin"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a photograph is judged by. `focal_px` is the camera's focal length in pixels, where it is known."""

    standard: Standard
    tariff: Tariff
    reference: Known
    focal_px: int | None = None
    detector: Detector = field(default_factory=ClassicalDetector)
    brix_tenths: int | None = None
    """A meter's reading of the lot in tenths of a degree, where somebody took one."""

    def focused(self, focal_px: int | None) -> "Setup":
        """Return the same with this focal length."""
        return replace(self, focal_px=focal_px)

    @property
    def model(self) -> bytes:
        """The canonical bytes that describe the detector: their hash is the model a verdict names."""
        return canonical(dict(self.detector.description))


@dataclass(frozen=True, slots=True, eq=False)
class SeenFruit:
    """One fruit in a photograph: where, how large, what grade, and its own small picture as JPEG."""

    detection: Detection
    measures: Measures
    verdict: Verdict
    outline: tuple[tuple[int, int], ...]
    crop: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Everything seen in one photograph. `cut` fruit touch its edge and are not graded."""

    frame: Frame
    scale: Scale | Given
    camera_height_um: int | None
    fruit: tuple[SeenFruit, ...]
    cut: int
    cut_boxes: tuple[tuple[int, int, int, int], ...] = ()


def look(image: bytes, setup: Setup) -> Seen:
    """Return what a photograph shows. Raises CannotGradeError, naming why, and then nothing counts."""
    return look_at(decode(image), setup)


def look_at(frame: Frame, setup: Setup) -> Seen:
    """Return what a decoded photograph shows; as `look`."""
    scale = _scale(frame.pixels, setup)
    ignored = [] if isinstance(scale, Given) else [scale.outline]
    detections = setup.detector.detect(frame.pixels, ignore=ignored)
    whole = [detection for detection in detections if not detection.is_cut]
    cut = len(detections) - len(whole)
    if not whole:
        raise NoFruitError(cut)
    height_um = None if setup.focal_px is None else round(camera_height_mm(setup.focal_px, scale.mm_per_px) * 1000)
    fruit = tuple(
        _judge(frame.pixels, detection, setup, nm_per_px=scale.nm_per_px, camera_height_um=height_um)
        for detection in whole
    )
    return Seen(frame, scale, height_um, fruit, cut, tuple(d.box for d in detections if d.is_cut))


def _scale(pixels: Pixels, setup: Setup) -> Scale | Given:
    if isinstance(setup.reference, Given):
        return setup.reference
    if isinstance(setup.reference, Coin) and isinstance(setup.detector, SeesCoins):
        return find_scale(pixels, setup.reference, coins=setup.detector.coins(pixels))
    return find_scale(pixels, setup.reference)


def _judge(
    pixels: Pixels, detection: Detection, setup: Setup, *, nm_per_px: int, camera_height_um: int | None
) -> SeenFruit:
    x, y, w, h = detection.box
    measures = measure(
        to_lab(pixels[y : y + h, x : x + w]),
        detection.mask,
        mm_per_px=nm_per_px / 1e6,
        solid=setup.standard.solid,
        camera_height_mm=None if camera_height_um is None else camera_height_um / 1000,
        bands=setup.standard.bands,
        error=Error(scale_permille=_SCALE_PERMILLE[method_of(setup.reference)]),
    )
    verdict = grade(
        measures,
        setup.standard,
        setup.tariff,
        score_permille=detection.score_permille,
        brix_tenths=setup.brix_tenths,
    )
    return SeenFruit(detection, measures, verdict, simplified(detection.outline), crop_jpeg(pixels, detection))


def simplified(outline: NDArray[np.int32]) -> tuple[tuple[int, int], ...]:
    """Return an outline with only the points a screen needs."""
    points = cv2.approxPolyDP(outline.reshape(-1, 1, 2), 1.2, closed=True).reshape(-1, 2)
    return tuple((int(x), int(y)) for x, y in points)


def crop_jpeg(pixels: Pixels, detection: Detection) -> bytes:
    """Return the fruit's own picture, with a little of its ground around it."""
    x, y, w, h = detection.box
    margin = max(w, h) * _CROP_MARGIN_PERMILLE // 1000
    part = pixels[max(0, y - margin) : y + h + margin, max(0, x - margin) : x + w + margin]
    longest = max(part.shape[:2])
    if longest > _CROP_SIDE_PX:
        small = cv2.resize(
            part, None, fx=_CROP_SIDE_PX / longest, fy=_CROP_SIDE_PX / longest, interpolation=cv2.INTER_AREA
        )
        part = np.asarray(small, dtype=np.uint8)
    return to_jpeg(part)


_NAMES: Final[Mapping[str, str]] = {
    "lengthUm": "length_um",
    "widthUm": "width_um",
    "equivalentDiameterUm": "equivalent_diameter_um",
    "areaMm2": "area_mm2",
    "labLCenti": "lab_l_centi",
    "labACenti": "lab_a_centi",
    "labBCenti": "lab_b_centi",
    "blemishMm2": "blemish_mm2",
    "blemishPermille": "blemish_permille",
    "volumeMm3": "volume_mm3",
    "massG": "mass_g",
    "heightCorrectedPermille": "height_corrected_permille",
}
_NAMES_2: Final[Mapping[str, str]] = {
    "equatorialUm": "equatorial_um",
    "roundnessPermille": "roundness_permille",
    "massLowG": "mass_low_g",
    "massHighG": "mass_high_g",
}
"""What the second edition of fruit records adds."""


def measured(measures: Measures, *, edition: int = 2) -> dict[str, int]:
    """Return measures under the names that fruit records of an edition carry."""
    names = {**_NAMES, **(_NAMES_2 if edition > 1 else {})}
    return {name: getattr(measures, attribute) for name, attribute in names.items()}


def marks_recorded(measures: Measures) -> list[list[int | str]]:
    """Return marks as fruit records carry them: kind, box within the fruit's box, square millimetres, micrometres."""
    return [[mark.kind, *mark.box, mark.area_mm2, mark.across_um] for mark in measures.marks]


def recorded(record: Mapping[str, Any]) -> Measures:
    """Return the measures in a fruit record of either edition. Raises KeyError, TypeError, ValueError."""
    told = record["measures"]
    known = {attribute: int(told[name]) for name, attribute in _NAMES.items()}
    known |= {attribute: int(told[name]) for name, attribute in _NAMES_2.items() if name in told}
    marks = tuple(
        Mark(str(kind), (int(x), int(y), int(w), int(h)), int(area), int(across))
        for kind, x, y, w, h, area, across in record.get("marks", ())
    )
    bands = tuple((str(name), int(share)) for name, share in sorted(record.get("bands", {}).items()))
    return Measures(**known, bands=bands, marks=marks)
