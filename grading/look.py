"""One photograph, from bytes to verdicts: scale, fruit, measures, grade. No database and no clock."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.bodies import BODIES
from grading.calibrate import Coin, Marker, Reference, Scale, camera_height_mm, find_scale
from grading.camera import Frame, Pixels, decode, to_jpeg, to_lab
from grading.detect import ClassicalDetector, Detection, Detector, SeesCoins, SeesDefects, WeighsCoins
from grading.errors import NoFruitError
from grading.grade import Verdict, grade
from grading.measure import Beside, Error, Mark, Measures, measure
from grading.plausible import IMPLAUSIBLE, implausible, is_of_one_hue, waist_permille
from grading.second_look import SecondLook, decides, look_again
from grading.standard import Standard, Tariff, Text
from grading.viewpoint import View, ViewAsked, is_from_side, most_are_level, stands_level
from ledger.canonical import canonical

EDITION: Final = 5
"""How photographs are looked at: the edition of fruit records. Until the fourth all were taken for views from above."""
_DOUBTED_PERMILLE: Final = 300
"""A doubted fruit is graded as if its detector were no surer: no standard here accepts it without a person."""
_CLIPPED: Final = 253
_MOST_CLIPPED_PERMILLE: Final = 100
"""Share of a fruit where two of three colours may be at their end (a lamp's reflection) before colour and marks are
doubted: in 99 of 100 photographs of the collection in grading/README.md it is under 40."""
_DARK: Final = 40
_WAIST_PERMILLE: Final = 20
"""Two dents this deep, in shares of the width, and it is two fruit on one another. One may be where the stem was."""
_MOST_CONTACT_PERMILLE: Final = 100
"""Share of its outline along which a fruit may lie against another before its size is doubted."""
_ROUND_KINDS: Final = frozenset({"apple", "orange", "peach", "plum", "tomato", "litchi", "kiwi", "pear", "lemon"})
"""Kinds that are spheres rather than spindles, where their outline is nearly a circle."""
_POSSIBLE_PERMILLE: Final = 100
"""A fruit less likely than this to be one the named standard is for goes to a person."""
_SURE_PERMILLE: Final = 600
"""The same where nobody named a standard, and the network chose it."""
SURE_ANYWHERE_PERMILLE: Final = 900
"""Kinds were learned from photographs beside coins. Elsewhere (drawn mangoes on a belt look like lemons to the network)
only a kind it is so sure of says anything against the standard."""
_CROP_MARGIN_PERMILLE = 70
_CROP_SIDE_PX = 520
_SCALE_PERMILLE: Final = {"marker": 4, "coin": 15, "given": 10}
"""One standard deviation of a scale: of a printed marker, of a coin in whatever light, of a number somebody states."""
_SIDE_SCALE: Final = 45
"""The same from the side, where how far coin and fruit stand is told by their feet alone: nine weights in ten of the
collection's fruit lie in the interval that follows (grading/README.md)."""
_DOUBTED_SCALE: Final = 100
"""The same where coin and fruit may be at other distances from the camera, or the coin may be none."""


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
    view: ViewAsked = "automatic"
    """Where the camera is: above the fruit, or level with coin and fruit; `automatic` looks at the photograph."""
    is_chosen_by_kind: bool = False
    """Whether nobody named the standard: then each fruit must surely be one it is for."""
    edition: int = EDITION
    """How it is measured: the edition of fruit records that this makes (`evidence.FORMATS`)."""

    def focused(self, focal_px: int | None) -> "Setup":
        """Return the same with this focal length."""
        return replace(self, focal_px=focal_px)

    @property
    def model(self) -> bytes:
        """The canonical bytes that describe the detector: their hash is the model a verdict names."""
        return canonical(dict(self.detector.description))


DOUBTS: Final[Mapping[str, Text]] = {
    "scale": Text(
        "比例尺不可靠：硬币看不清，或拍斜了，或像瓶盖一样没有花纹，或画面中还有另一枚大小不同的硬币",  # noqa: RUF001  # Chinese has its own comma
        "the scale is unsure: the coin is hardly seen, or askew, or smooth like a cap, or another thing of another "
        "size looks like one",
    ),
    "kind": Text(
        "看起来不是这份标准所管的果子，或不能确定是哪种果子",  # noqa: RUF001  # Chinese has its own comma
        "it looks like another fruit than the standard is for, or nobody can say which",
    ),
    "view": Text(
        "按侧拍量的：硬币立在果旁；侧拍的大小不如俯拍准，若是俯拍请说明（--view above）",  # noqa: RUF001  # Chinese punctuation
        "taken for a view from the side, the coin standing beside the fruit: sizes are less sure than from above "
        "(--view above if it was)",
    ),
    "level": Text(
        "硬币与果底齐平，可能是从侧面拍的；若是，实际比所报的大（--view side）",  # noqa: RUF001  # Chinese punctuation
        "the coin ends level with the fruit: if the picture was taken from the side, it is larger than told here "
        "(--view side)",
    ),
    "light": Text(
        "果面过亮或过暗，颜色和斑痕看不出来",  # noqa: RUF001  # Chinese has its own comma
        "overexposed or too dark: colour and marks cannot be seen",
    ),
    "touching": Text(
        "与另一个果子相贴或相叠，大小可能量错",  # noqa: RUF001  # Chinese has its own comma
        "it touches or hides another fruit: its size may be wrong",
    ),
    "marks": Text(
        "颜色和网络看到的斑痕相差很大，等级会因此不同",  # noqa: RUF001  # Chinese has its own comma
        "colour and network see very different marks on it, and its class would be another",
    ),
    **IMPLAUSIBLE,
}
"""Why a fruit is doubted, whatever its numbers say."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenFruit:
    """One fruit in a photograph: where, how large, what grade, and its own small picture as JPEG."""

    detection: Detection
    measures: Measures
    verdict: Verdict
    outline: tuple[tuple[int, int], ...]
    crop: bytes
    doubts: tuple[str, ...] = ()
    """Why a person should look, whatever the numbers say: names of DOUBTS."""
    again: SecondLook | None = None
    """What the network for defects says of colour's marks, where it was asked."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Everything seen in one photograph. `cut` fruit touch its edge and are not graded."""

    frame: Frame
    scale: Scale | Given
    camera_height_um: int | None
    fruit: tuple[SeenFruit, ...]
    cut: int
    cut_boxes: tuple[tuple[int, int, int, int], ...] = ()
    view: View = "above"
    view_from: str = "assumed"
    """Who told the view: `given`, `seen` in the photograph, or `assumed` because no coin shows it."""


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
        raise NoFruitError(cut, tuple(each.box for each in detections))
    view, view_from = _view(frame.pixels, whole, scale, setup)
    away_um = None if setup.focal_px is None else round(camera_height_mm(setup.focal_px, scale.mm_per_px) * 1000)
    place = _Place(frame.pixels, scale, away_um, is_from_side=view == "side")
    doubts = (
        _doubts(frame.pixels, whole, scale, setup, view=view, view_from=view_from)
        if setup.edition >= 3
        else [()] * len(whole)
    )
    fruit = tuple(_judge(place, *each, setup) for each in zip(whole, doubts, strict=True))
    return Seen(
        frame,
        scale,
        None if view == "side" else away_um,
        fruit,
        cut,
        tuple(d.box for d in detections if d.is_cut),
        view=view,
        view_from=view_from,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """What all fruit of a photograph share. `away_um` is how far the camera is from coin or marker, where known."""

    pixels: Pixels
    scale: Scale | Given
    away_um: int | None
    is_from_side: bool

    @property
    def away_mm(self) -> float | None:
        return None if self.away_um is None else self.away_um / 1000

    def beside(self, box: tuple[int, int, int, int]) -> Beside | None:
        """Return how a fruit stands beside what gives the scale, seen from the side; None from above."""
        if not self.is_from_side:
            return None
        if isinstance(self.scale, Given):
            return Beside(self.away_mm, 0.0)
        lower_px = box[1] + box[3] - float(self.scale.outline[:, 1].max())
        return Beside(self.away_mm, lower_px * self.scale.mm_per_px)


def _view(pixels: Pixels, fruit: Sequence[Detection], scale: Scale | Given, setup: Setup) -> tuple[View, str]:
    """Return from where a photograph was taken, and who told it. Only a coin stands upright by itself and is seen."""
    if setup.view != "automatic":
        return setup.view, "given"
    if setup.edition < 5 or not isinstance(scale, Scale) or not isinstance(scale.reference, Coin):
        return "above", "assumed"
    return ("side" if is_from_side(pixels, scale.outline, [each.box for each in fruit]) else "above"), "seen"


def _scale(pixels: Pixels, setup: Setup) -> Scale | Given:
    if isinstance(setup.reference, Given):
        return setup.reference
    detector = setup.detector
    if isinstance(setup.reference, Coin) and isinstance(detector, SeesCoins):
        scores = detector.coin_scores(pixels) if isinstance(detector, WeighsCoins) else ()
        return find_scale(
            pixels,
            setup.reference,
            coins=detector.coins(pixels),
            scores_permille=scores,
            edition=setup.edition,
        )
    return find_scale(pixels, setup.reference, edition=setup.edition)


def _doubts(
    pixels: Pixels, fruit: Sequence[Detection], scale: Scale | Given, setup: Setup, *, view: View, view_from: str
) -> list[tuple[str, ...]]:
    """Return for every fruit what is doubted about it."""
    unsure_scale = isinstance(scale, Scale) and not scale.is_sure
    is_side_seen = view == "side" and view_from == "seen"
    coin = scale.outline if isinstance(scale, Scale) and isinstance(scale.reference, Coin) else None
    is_asked = coin is not None and setup.focal_px is not None and view == "above" and view_from != "given"
    level = [is_asked and coin is not None and stands_level(coin, each.box) for each in fruit]
    if setup.edition > 4 and not most_are_level(level, [each.score_permille for each in fruit]):
        level = [False] * len(fruit)
    return [
        tuple(
            name
            for name, is_doubted in (
                ("scale", unsure_scale),
                ("view", is_side_seen or (is_level and setup.edition < 5)),
                ("level", is_level and setup.edition > 4),
                ("kind", setup.edition > 3 and not _is_meant(pixels, each, setup)),
                ("light", not _is_well_lit(pixels, each)),
                ("touching", _contact_permille(each, fruit) > _MOST_CONTACT_PERMILLE or _has_waist(each)),
            )
            if is_doubted
        )
        for each, is_level in zip(fruit, level, strict=True)
    ]


def is_of_standard(fruit: Detection, standard: Standard) -> bool:
    """Whether a fruit is one the standard is for, as far as kinds are known."""
    is_known = bool(BODIES.keys() & set(standard.kinds))
    return not fruit.kind or not is_known or fruit.kind in standard.kinds


def _is_meant(pixels: Pixels, fruit: Detection, setup: Setup) -> bool:
    """Whether a fruit is one the standard is for: surely where its kind chose the standard, else possibly."""
    if not isinstance(setup.reference, Coin) and max(fruit.kinds.values(), default=0) < SURE_ANYWHERE_PERMILLE:
        return True
    likely = sum(fruit.kinds.get(kind, 0) for kind in setup.standard.kinds)
    if setup.is_chosen_by_kind:
        x, y, w, h = fruit.box
        # The network is as sure of some tomatoes as of apples.
        is_maybe_tomato = fruit.kind == "apple" and is_of_one_hue(pixels[y : y + h, x : x + w], fruit.mask)
        return likely >= _SURE_PERMILLE and not is_maybe_tomato
    return is_of_standard(fruit, setup.standard) or likely >= _POSSIBLE_PERMILLE


def _is_well_lit(pixels: Pixels, fruit: Detection) -> bool:
    """Whether a fruit is neither burnt out nor so dark that its brightest parts have no colour to speak of."""
    x, y, w, h = fruit.box
    colours = pixels[y : y + h, x : x + w][fruit.mask]
    clipped = int(((colours >= _CLIPPED).sum(axis=1) >= 2).sum())
    return clipped * 1000 <= _MOST_CLIPPED_PERMILLE * len(colours) and bool(
        np.percentile(colours.max(axis=1), 95) >= _DARK
    )


def _contact_permille(fruit: Detection, others: Sequence[Detection]) -> int:
    """Return how much of a fruit's outline lies within two pixels of another fruit's mask."""
    x, y, w, h = fruit.box
    near = np.zeros((h + 4, w + 4), np.uint8)
    for other in others:
        ox, oy, ow, oh = other.box
        left, top, right, bottom = max(x - 2, ox), max(y - 2, oy), min(x + w + 2, ox + ow), min(y + h + 2, oy + oh)
        if other is not fruit and left < right and top < bottom:
            near[top - y + 2 : bottom - y + 2, left - x + 2 : right - x + 2] |= other.mask[
                top - oy : bottom - oy, left - ox : right - ox
            ]
    if not near.any():
        return 0
    reached = cv2.dilate(near, np.ones((5, 5), np.uint8))
    at = fruit.outline - (x - 2, y - 2)
    return 1000 * int((reached[at[:, 1], at[:, 0]] > 0).sum()) // max(1, len(at))


def _has_waist(fruit: Detection) -> bool:
    return fruit.is_exact and waist_permille(fruit.outline) > _WAIST_PERMILLE


def _judge(place: _Place, detection: Detection, doubts: tuple[str, ...], setup: Setup) -> SeenFruit:
    x, y, w, h = detection.box
    beside = place.beside(detection.box)
    is_maybe_from_side = beside is None and bool({"view", "level"} & {*doubts})
    sure_permille = _SCALE_PERMILLE[method_of(setup.reference)] if beside is None else _SIDE_SCALE
    # A peach is as heavy as a peach, whatever it is graded as.
    is_other = "kind" in doubts and not is_of_standard(detection, setup.standard)
    other = BODIES.get(detection.kind) if is_other else None
    measures = measure(
        to_lab(place.pixels[y : y + h, x : x + w]),
        detection.mask,
        mm_per_px=place.scale.nm_per_px / 1e6,
        solid=setup.standard.solid if other is None else other,
        camera_height_mm=place.away_mm if beside is None else None,
        beside=beside,
        bands=setup.standard.bands,
        error=Error(scale_permille=_DOUBTED_SCALE if is_maybe_from_side or "scale" in doubts else sure_permille),
        axis_cosine=_axis_cosine(detection.box, place.pixels.shape, setup),
        is_round_kind=detection.kind in _ROUND_KINDS,
        edition=setup.edition,
    )
    again = _looked_again(place, detection, measures, setup)
    if again is not None:
        measures = again.measures
        doubts += ("marks",) if again.is_doubted else ()
    if setup.edition > 4 and "kind" not in doubts:
        doubts += implausible(place.pixels[y : y + h, x : x + w], detection.mask, measures, setup.standard)
    if is_maybe_from_side:
        # Seen from the side nothing was to be shrunk: the interval holds that mass too.
        larger = (1000 / max(1, measures.height_corrected_permille)) ** 3
        measures = replace(measures, mass_high_g=round(measures.mass_high_g * larger))
    verdict = grade(
        measures,
        setup.standard,
        setup.tariff,
        score_permille=min(detection.score_permille, _DOUBTED_PERMILLE if doubts else 1000),
        brix_tenths=setup.brix_tenths,
    )
    crop = crop_jpeg(place.pixels, detection)
    return SeenFruit(detection, measures, verdict, simplified(detection.outline), crop, doubts, again)


def _looked_again(place: _Place, fruit: Detection, measures: Measures, setup: Setup) -> SecondLook | None:
    """Return what the network for defects says, where there is one and marks can decide the fruit's class."""
    model = setup.detector.defects if isinstance(setup.detector, SeesDefects) and setup.edition > 3 else None
    if model is None or not decides(measures, setup.standard, setup.tariff, brix_tenths=setup.brix_tenths):
        return None
    x, y, w, h = fruit.box
    return look_again(
        place.pixels[y : y + h, x : x + w],
        fruit.mask,
        measures,
        model,
        standard=setup.standard,
        tariff=setup.tariff,
        brix_tenths=setup.brix_tenths,
    )


def _axis_cosine(box: tuple[int, int, int, int], shape: tuple[int, ...], setup: Setup) -> float:
    """Return the cosine of the angle under which a camera sees a fruit, its axis in the middle of the picture."""
    if setup.focal_px is None or setup.edition < 3:
        return 1.0
    x, y, w, h = box
    return 1 / math.hypot(1, (x + (w - shape[1]) / 2) / setup.focal_px, (y + (h - shape[0]) / 2) / setup.focal_px)


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
