"""One photograph, from bytes to verdicts: scale, fruit, measures, grade. No database and no clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.calibrate import Reference, Scale, camera_height_mm, find_scale
from grading.camera import Frame, Pixels, decode, to_jpeg, to_lab
from grading.detect import ClassicalDetector, Detection, Detector
from grading.errors import NoFruitError
from grading.grade import Verdict, grade
from grading.measure import Measures, measure
from grading.standard import Standard, Tariff
from ledger.canonical import canonical

_CROP_MARGIN_PERMILLE = 70
_CROP_SIDE_PX = 520


@dataclass(frozen=True, slots=True)
class Setup:
    """What a photograph is judged by. `focal_px` is the camera's focal length in pixels, where it is known."""

    standard: Standard
    tariff: Tariff
    reference: Reference
    focal_px: int | None = None
    detector: Detector = field(default_factory=ClassicalDetector)

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
    scale: Scale
    camera_height_um: int | None
    fruit: tuple[SeenFruit, ...]
    cut: int


def look(image: bytes, setup: Setup) -> Seen:
    """Return what a photograph shows. Raises CannotGradeError, naming why, and then nothing counts."""
    frame = decode(image)
    scale = find_scale(frame.pixels, setup.reference)
    detections = setup.detector.detect(frame.pixels, ignore=[scale.outline])
    whole = [detection for detection in detections if not detection.is_cut]
    cut = len(detections) - len(whole)
    if not whole:
        raise NoFruitError(cut)
    height_um = None if setup.focal_px is None else round(camera_height_mm(setup.focal_px, scale.mm_per_px) * 1000)
    fruit = tuple(
        _judge(frame.pixels, detection, setup, nm_per_px=scale.nm_per_px, camera_height_um=height_um)
        for detection in whole
    )
    return Seen(frame, scale, height_um, fruit, cut)


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
    )
    verdict = grade(measures, setup.standard, setup.tariff, score_permille=detection.score_permille)
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


def measured(measures: Measures) -> Mapping[str, int]:
    """Return measures under the names that fruit records carry."""
    return {
        "lengthUm": measures.length_um,
        "widthUm": measures.width_um,
        "equivalentDiameterUm": measures.equivalent_diameter_um,
        "areaMm2": measures.area_mm2,
        "labLCenti": measures.lab_l_centi,
        "labACenti": measures.lab_a_centi,
        "labBCenti": measures.lab_b_centi,
        "blemishMm2": measures.blemish_mm2,
        "blemishPermille": measures.blemish_permille,
        "volumeMm3": measures.volume_mm3,
        "massG": measures.mass_g,
        "heightCorrectedPermille": measures.height_corrected_permille,
    }
