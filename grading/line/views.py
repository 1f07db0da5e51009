"""What the belt's camera sees: coarse blobs against a belt learned by its colour, and single fruit measured in crops.

Finding is fast and coarse (half resolution), because it is done in every frame. Measuring is done in a few crops of
each fruit, and only on the JPEG that is kept: `measured` needs nothing else; the same crop gives the same numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.camera import Pixels, Plane
from grading.detect import largest_contour
from grading.line.doubts import Doubt
from grading.line.fusing import Side
from grading.line.track import Blob, running_median
from grading.measure import Error, Form, Measures, measure
from grading.plausible import LEAST_LIKE_ELLIPSE, has_colour_of, has_size_of, like_ellipse, waist_permille
from grading.standard import Standard

Box = tuple[int, int, int, int]
"""Left, top, width, height in pixels."""
Lab8 = tuple[int, int, int]
"""CIE Lab as 8 bits each, as OpenCV has it."""

_SHRINK: Final = 2
_CELL_PX: Final = 8
"""Side of the cells in which the belt's colour is learned, in shrunk pixels."""
_LEAST_DISTANCE: Final = 15
"""Sum of the differences in a and b from the belt's, above which something lies there."""
_LEAST_BRIGHTER: Final = 95
"""What is so much brighter than the belt lies on it, whatever its colour."""
_LEARNING: Final = 0.25
"""How far the belt's colour follows in one step (8-bit units)."""
_LEARN_EVERY: Final = 5
_LIT: Final = (0.6, 1.5)
"""How bright the belt may be, beside what was learned."""
_FLOODED: Final = 0.85
"""With so much of the picture unlike the belt, it is the light or the camera that changed."""
_RELEARN_AFTER: Final = 30
_CONVEX: Final = 0.93
"""Area over that of the convex hull: one fruit is above."""
_LEAST_PART: Final = 0.2
_PART: Final = 0.35
"""A part at the picture's edge is one fruit of several only if it is so large beside a usual fruit."""
_SCALE_PERMILLE: Final = 5
"""One standard deviation of a calibrated profile's scale."""
_JPEG: Final = (
    cv2.IMWRITE_JPEG_QUALITY,
    90,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    # Outlines are seen by colour: chroma keeps its full resolution.
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)
_CLIPPED: Final = (250, 250, 250)
_MOST_CLIPPED_PERMILLE: Final = 60
_MOST_ASPECT: Final = {"round": 1.45, "long": 2.1}
_SURELY_LIKE_ELLIPSE: Final = {"round": 0.945, "long": 0.955}
"""Outlines this much like an ellipse are not asked for a waist."""
_MOST_WAIST_PERMILLE: Final = 35
"""Of photographed mangoes from above, as small as on a belt, 95 in 100 have 31 or less (grading/README.md)."""


class Profile(Protocol):
    """What is needed of `grading.profile.CameraProfile`."""

    @property
    def nm_per_px(self) -> int:
        """Nanometres per pixel on the belt, in corrected pictures."""
        ...

    @property
    def camera_height_um(self) -> int:
        """The camera's height above the belt."""
        ...

    @property
    def data(self) -> bytes:
        """Canonical bytes: their hash is the profile a record names."""
        ...

    @property
    def plane(self) -> Any:
        """The corrected picture's geometry, `foot_milli_px` in it; None where the foot is the picture's middle."""
        ...

    def corrected(self, pixels: Pixels) -> Pixels:
        """Return a frame without the lens's and the light's errors."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a crop was cut, and what is known of it beforehand: all that `measured` needs beside the crop.

    `middle` is a point of the fruit in the crop's pixels, `frame` the size of the frame, `box` the crop in it.
    """

    box: Box
    middle: tuple[int, int]
    ground: Lab8
    frame: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What a crop shows; `outline` is in the crop's pixels."""

    side: Side
    outline: NDArray[np.int32]
    skin: "Skin"


@dataclass(frozen=True, slots=True, eq=False)
class Skin:
    """A fruit's own pixels, cut to its box, and which of them are the fruit."""

    pixels: Pixels
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The blobs of one frame. `is_flooded`: hardly any belt is seen, so blobs mean nothing and there are none.

    `is_lit`: the belt is about as bright as it was learned.
    """

    blobs: tuple[Blob, ...]
    outlines: tuple[NDArray[np.int32], ...]
    is_flooded: bool
    is_lit: bool


class Finder:
    """Finds what lies on the belt, and learns the belt's colour meanwhile: a running median where nothing lies."""

    def __init__(self, *, least_px: float) -> None:
        self._least_area = math.pi / 4 * (least_px / _SHRINK) ** 2
        self._cells: NDArray[np.float32] | None = None
        self._ground: NDArray[np.uint8] | None = None
        self._frames = 0
        self._flooded = 0
        self._shape = (0, 0)
        self._typical = 0.0

    def find(self, pixels: Pixels) -> Found:
        """Return what lies on the belt in a corrected frame."""
        h, w = pixels.shape[:2]
        if self._shape != (h, w):
            self._shape, self._cells = (h, w), None
        small = cv2.resize(pixels, (w // _SHRINK, h // _SHRINK), interpolation=cv2.INTER_AREA)
        lab = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2LAB), dtype=np.uint8)
        if self._cells is None or self._flooded > _RELEARN_AFTER:
            self._begin(lab)
        assert self._ground is not None  # noqa: S101  # `_begin` has set it
        mask, gain = _foreground(lab, self._ground)
        covered = cv2.countNonZero(mask) / mask.size
        self._frames += 1
        if covered > _FLOODED:
            self._flooded += 1
            return Found((), (), is_flooded=True, is_lit=False)
        self._flooded = 0
        if self._frames % _LEARN_EVERY == 1:
            self._learn(lab, mask)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        blobs: list[Blob] = []
        outlines: list[NDArray[np.int32]] = []
        for contour in contours:
            area = cv2.contourArea(contour)
            if area < self._least_area:
                continue
            hull = cv2.contourArea(cv2.convexHull(contour))
            parts = [contour]
            if area < _CONVEX * hull:
                parts = _parts(contour)
                # What peeps in at an edge has any shape: only parts as large as fruit are told apart there.
                if _is_at_edge(contour, mask.shape) and min(map(cv2.contourArea, parts)) < _PART * self._typical:
                    parts = [contour]
            elif not _is_at_edge(contour, mask.shape):
                self._typical = running_median(self._typical, area)
            for part in parts:
                blobs.append(self._blob(lab, part, is_joined=len(parts) > 1))
                outlines.append(np.asarray(part.reshape(-1, 2) * _SHRINK, dtype=np.int32))
        return Found(tuple(blobs), tuple(outlines), is_flooded=False, is_lit=_LIT[0] <= gain <= _LIT[1])

    def ground_at(self, x: float, y: float) -> Lab8:
        """Return the belt's colour at a place of the frame."""
        assert self._ground is not None  # noqa: S101  # a frame was seen before anybody asks
        h, w = self._ground.shape[:2]
        at = self._ground[min(h - 1, max(0, int(y / _SHRINK))), min(w - 1, max(0, int(x / _SHRINK)))]
        return int(at[0]), int(at[1]), int(at[2])

    def _begin(self, lab: NDArray[np.uint8]) -> None:
        """Take the commonest dull colour for the belt; cells find their own shade of it later."""
        h, w = lab.shape[:2]
        counts = cv2.calcHist([lab], [1, 2], None, [64, 64], [0, 256, 0, 256])
        counts = cv2.GaussianBlur(counts, (3, 3), 0)
        levels = np.arange(64) * 4 + 2 - 128
        dull = np.exp(-np.hypot(levels[:, None], levels[None, :]) / 20)
        a, b = (int(v) for v in np.unravel_index(int(np.argmax(counts * dull)), counts.shape))
        near = (np.abs(lab[..., 1].astype(np.int16) - (4 * a + 2)) < 8) & (
            np.abs(lab[..., 2].astype(np.int16) - (4 * b + 2)) < 8
        )
        colour = np.median(lab[near], axis=0) if near.any() else np.array([0, 4 * a + 2, 4 * b + 2])
        self._cells = np.empty((max(2, h // _CELL_PX), max(2, w // _CELL_PX), 3), np.float32)
        self._cells[:] = colour
        self._frames = self._flooded = 0
        self._spread(lab.shape)

    def _learn(self, lab: NDArray[np.uint8], mask: Plane) -> None:
        assert self._cells is not None  # noqa: S101  # `_begin` has set them
        size = (self._cells.shape[1], self._cells.shape[0])
        reach = cv2.dilate(mask, np.ones((5, 5), np.uint8))
        is_free = cv2.resize(reach, size, interpolation=cv2.INTER_AREA) == 0
        now = cv2.resize(lab, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        # The first look may be far off in lightness; later ones only follow the light through the day.
        most = 8.0 if self._frames < 60 else _LEARNING
        self._cells += np.where(is_free[..., None], np.clip(now - self._cells, -most, most), 0).astype(np.float32)
        self._spread(lab.shape)

    def _spread(self, shape: tuple[int, ...]) -> None:
        assert self._cells is not None  # noqa: S101  # `_begin` has set them
        # Rounded before it is spread: that is fifteen times as fast as after.
        cells = cv2.convertScaleAbs(self._cells)
        self._ground = np.asarray(cv2.resize(cells, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.uint8)

    @staticmethod
    def _blob(lab: NDArray[np.uint8], contour: Plane, *, is_joined: bool) -> Blob:
        x, y, w, h = cv2.boundingRect(contour)
        core = lab[y + h // 4 : y + h - h // 4, x + w // 4 : x + w - w // 4]
        light, a, b, _ = cv2.mean(core)
        return Blob(
            left=float(x * _SHRINK),
            top=float(y * _SHRINK),
            right=float((x + w) * _SHRINK),
            bottom=float((y + h) * _SHRINK),
            area=cv2.contourArea(contour) * _SHRINK**2,
            colour=(light / 2.55, a - 128, b - 128),
            is_joined=is_joined,
        )


def cut(pixels: Pixels, around: Box, *, is_joined: bool = False) -> tuple[bytes, Box]:
    """Return a fruit's own picture as JPEG, with ground around it, and where in the frame it was cut.

    Of what touches it so much is kept that both can be told apart in it.
    """
    x, y, w, h = around
    margin = max(w, h) * 2 // 3 if is_joined else 4 + max(w, h) // 16
    left, top = max(0, x - margin), max(0, y - margin)
    right, bottom = min(pixels.shape[1], x + w + margin), min(pixels.shape[0], y + h + margin)
    _, encoded = cv2.imencode(".jpg", pixels[top:bottom, left:right], _JPEG)
    return bytes(encoded.tobytes()), (left, top, right - left, bottom - top)


def measured(crop: bytes, place: Place, profile: Profile, standard: Standard) -> Measured | None:
    """Return what one crop shows of the fruit at its middle; None where there is no outline to measure.

    The same bytes give the same numbers, with one OpenCV release.
    """
    pixels = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR) if crop else None
    if pixels is None or pixels.shape[1] != place.box[2] or pixels.shape[0] != place.box[3]:
        return None
    lab = _floats(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2LAB), dtype=np.uint8))
    distance = _distance(lab, place.ground)
    outline = _outline(distance, place.middle)
    if outline is None:
        return None
    contour, hull, solidity = outline
    x, y, w, h = cv2.boundingRect(contour)
    if min(w, h) < 12:
        return None
    drawn = np.asarray(cv2.drawContours(np.zeros((h, w), np.uint8), [contour], -1, 1, -1, offset=(-x, -y)))
    skin = Skin(np.asarray(pixels[y : y + h, x : x + w], np.uint8), drawn.view(bool))
    measures = measure(
        lab[:, y : y + h, x : x + w].transpose(1, 2, 0),
        skin.mask,
        mm_per_px=profile.nm_per_px / 1e6,
        solid=standard.solid,
        camera_height_mm=profile.camera_height_um / 1000 or None,
        bands=standard.bands,
        error=Error(scale_permille=_SCALE_PERMILLE),
        straightened=_straightened(place, profile),
        hull=np.subtract(hull, (x, y), dtype=np.int32),
    )
    burnt = cv2.bitwise_and(cv2.inRange(skin.pixels, _CLIPPED, (255, 255, 255)), drawn)
    clipped = cv2.countNonZero(burnt) * 1000 / cv2.countNonZero(drawn)
    contrast = min(1.0, _median(distance[y : y + h, x : x + w], drawn) / 28)
    has_form = _is_one_body(contour, drawn, standard.solid.form)
    doubts = _implausible(measures, standard, has_form=has_form, clipped_permille=clipped)
    side = Side(
        measures=measures,
        extent=(w, h),
        score_permille=round(1000 * contrast * min(1.0, max(0.0, (solidity - 0.7) / 0.22))),
        doubts=(*([Doubt.NEVER_WHOLE] if _is_cut((x, y, w, h), place) else []), *doubts),
    )
    return Measured(side, np.asarray(contour.reshape(-1, 2), np.int32), skin)


def _is_cut(outline: Box, place: Place) -> bool:
    """Whether an outline, by its box in the crop, ends where the frame does."""
    x, y, w, h = outline
    left, top = place.box[:2]
    across, down = place.frame
    is_cut_first = (x == 0 and left == 0) or (y == 0 and top == 0)
    return is_cut_first or left + x + w == across or top + y + h == down


def _floats(lab: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return L, a and b each in a plane of its own, from their eight bits.

    To go by eight bits is a fifth faster than by floats, and fine enough for skin: a step is a twentieth of the
    darkness of a mark.
    """
    planes = np.empty((3, *lab.shape[:2]), np.float32)
    light, a, b = cv2.split(lab)
    np.multiply(light, np.float32(100 / 255), out=planes[0])
    np.subtract(a, np.float32(128), out=planes[1])
    np.subtract(b, np.float32(128), out=planes[2])
    return planes


def _median(values: NDArray[np.uint8], drawn: Plane) -> int:
    """Return the median of the values in a mask, the lower one of two."""
    counts = cv2.calcHist([values], [0], drawn, [256], [0, 256])
    below = np.cumsum(counts)
    return int(np.searchsorted(below, below[-1] / 2))


def _is_one_body(contour: Plane, drawn: Plane, form: Form) -> bool:
    """Whether an outline can be that of one fruit. Of two that lie on each other not all have another one."""
    # Every other pixel of every other row tells it to half a hundredth.
    alike = like_ellipse(drawn[::2, ::2])
    if alike >= _SURELY_LIKE_ELLIPSE[form]:
        return True
    return alike >= LEAST_LIKE_ELLIPSE[form] and waist_permille(contour) <= _MOST_WAIST_PERMILLE


def _implausible(measures: Measures, standard: Standard, *, has_form: bool, clipped_permille: float) -> Sequence[Doubt]:
    """Return what speaks against this being one fruit of the crop, well lit."""
    found = []
    if clipped_permille > _MOST_CLIPPED_PERMILLE:
        found.append(Doubt.OVEREXPOSED)
    aspect = measures.length_um / max(1, measures.width_um)
    if aspect > _MOST_ASPECT[standard.solid.form] or not has_form:
        found.append(Doubt.SHAPE)
    if not has_size_of(measures, standard):
        found.append(Doubt.SIZE)
    if not has_colour_of(measures):
        found.append(Doubt.COLOUR)
    return found


def _is_at_edge(contour: Plane, shape: tuple[int, ...]) -> bool:
    x, y, w, h = cv2.boundingRect(contour)
    return x <= 1 or y <= 1 or x + w >= shape[1] - 1 or y + h >= shape[0] - 1


def _foreground(lab: NDArray[np.uint8], ground: NDArray[np.uint8]) -> tuple[Plane, float]:
    """Return what lies on the belt, and how bright the belt is beside what was learned."""
    apart = cv2.absdiff(lab, ground)
    _, a, b = cv2.split(apart)
    _, coloured = cv2.threshold(cv2.add(a, b), _LEAST_DISTANCE, 255, cv2.THRESH_BINARY)
    light, usual = cv2.extractChannel(lab, 0), cv2.extractChannel(ground, 0)
    bare = coloured[::8, ::8] == 0
    gain = float(np.median(light[::8, ::8][bare] / np.maximum(usual[::8, ::8][bare], 1.0))) if bare.any() else 1.0
    if _LIT[0] <= gain <= _LIT[1]:
        # In other light than usual only colour tells what lies there.
        _, bright = cv2.threshold(cv2.subtract(light, usual), _LEAST_BRIGHTER, 255, cv2.THRESH_BINARY)
        coloured = cv2.bitwise_or(coloured, bright)
    return np.asarray(cv2.morphologyEx(coloured, cv2.MORPH_OPEN, _CROSS), np.uint8), gain


_CROSS: Final = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


def _parts(contour: Plane) -> list[Plane]:
    """Return the contours of the fruit that touch in one outline, cut at its necks; itself where there are none."""
    x, y, w, h = cv2.boundingRect(contour)
    mask = cv2.drawContours(np.zeros((h + 2, w + 2), np.uint8), [contour - (x - 1, y - 1)], -1, 255, -1)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    most = float(depth.max())
    for level in (0.62, 0.72, 0.82):
        cores = (depth > level * most).astype(np.uint8)
        count, _, stats, middles = cv2.connectedComponentsWithStats(cores)
        seeds = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= 3]
        if len(seeds) < 2:
            continue
        nearest = _nearest(mask, [middles[i] for i in seeds])
        parts = [largest_contour(((nearest == k) & (mask > 0)).astype(np.uint8)) for k in range(len(seeds))]
        whole = [part for part in parts if part is not None]
        total = sum(cv2.contourArea(part) for part in whole)
        if len(whole) == len(seeds) and all(cv2.contourArea(part) >= _LEAST_PART * total for part in whole):
            return [np.asarray(part + np.array([x - 1, y - 1]), np.int32) for part in whole]
    return [contour]


def _nearest(mask: Plane, cores: Sequence[NDArray[np.float64]]) -> NDArray[np.intp]:
    ys, xs = np.mgrid[0 : mask.shape[0], 0 : mask.shape[1]]
    return np.asarray(np.argmin([(xs - x) ** 2 + (ys - y) ** 2 for x, y in cores], axis=0))


def _straightened(place: Place, profile: Profile) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return what makes of a way in the crop the way as it would be were the fruit straight below the camera.

    A body off the axis is drawn longer in the direction away from it, by 1 / cos of the angle it is seen at: the
    pinhole's picture plane is flat. Across that direction it is drawn true.
    """
    x, y, w, h = place.box
    fx, fy = foot_px(profile, place.frame)
    away_x, away_y = x + w / 2 - fx, y + h / 2 - fy
    far = math.hypot(away_x, away_y)
    if far < 1 or not profile.camera_height_um:
        return (1.0, 0.0), (0.0, 1.0)
    lost = 1 - 1 / math.hypot(1.0, far * profile.nm_per_px / 1000 / profile.camera_height_um)
    dx, dy = away_x / far, away_y / far
    return (1 - lost * dx * dx, -lost * dx * dy), (-lost * dx * dy, 1 - lost * dy * dy)


def foot_px(profile: Profile, frame: tuple[int, int]) -> tuple[float, float]:
    """Return the point of a corrected frame straight below the camera."""
    if profile.plane is None:
        return frame[0] / 2, frame[1] / 2
    x, y = profile.plane.foot_milli_px
    return x / 1000, y / 1000


def _distance(lab: NDArray[np.float32], ground: Lab8) -> NDArray[np.uint8]:
    """Return how far from the ground's every pixel's colour is, lightness left aside."""
    away = cv2.magnitude(lab[1] - np.float32(ground[1] - 128), lab[2] - np.float32(ground[2] - 128))
    return np.asarray(cv2.convertScaleAbs(away), np.uint8)


def _outline(distance: NDArray[np.uint8], middle: tuple[int, int]) -> tuple[Plane, Plane, float] | None:
    """Return the outline around a point, its convex hull, and how much of that it fills.

    It is where the distance is above a share of Otsu's cut, without holes, apart from its neighbours.
    """
    threshold, _ = cv2.threshold(distance, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    # Otsu's cut lies in the middle between ground and fruit; the shaded side of a fruit lies below it.
    cut_at = max(0.62 * float(threshold), 9.0)
    mask = cv2.morphologyEx((distance > cut_at).view(np.uint8), cv2.MORPH_OPEN, _CROSS)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = _around(contours, middle)
    if contour is None:
        return None
    hull, filled = _filled(contour)
    if filled and filled < _CONVEX:
        contour = _around(_parts(contour), middle)
        if contour is None:
            return None
        hull, filled = _filled(contour)
    return (contour, hull, filled) if filled else None


def _filled(contour: Plane) -> tuple[Plane, float]:
    """Return the convex hull of an outline, and how much of it that fills: 0 for what is too small to tell."""
    hull = np.asarray(cv2.convexHull(contour))
    area, around = cv2.contourArea(contour), cv2.contourArea(hull)
    return hull, area / around if area >= 60 and around else 0.0


def _around(contours: Sequence[Plane], middle: tuple[float, float]) -> Plane | None:
    within = [(cv2.pointPolygonTest(each, middle, measureDist=True), each) for each in contours]
    if not within:
        return None
    depth, contour = max(within, key=lambda pair: pair[0])
    return contour if depth > -4 else None
