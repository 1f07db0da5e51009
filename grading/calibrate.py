"""The scale of a photograph: millimetres per pixel on the plane the fruit lie on.

A printed ArUco marker (DICT_4X4_50) is the station's reference; a coin serves photographs taken by
hand. The scale holds on the plane of the reference. A fruit's widest circle stands above it, nearer
to the camera, and looks too large: `measure.belt_to_fruit` takes that back when the camera's height is known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.camera import Pixels, Plane
from grading.errors import NoScaleError, TiltedScaleError

Polygon: TypeAlias = NDArray[np.float32]
"""Corner points, one (x, y) per row."""

MAX_TILT_PERMILLE = 60
MIN_MARKER_PX = 24
_SURE_COIN_PERMILLE: Final = 500
"""Of 917 photographed coins that the network found, 20 had a lower score; of 32 other things it took for coins half."""
_SURE_COIN_PERMILLE_3: Final = 300
_RELIEF_RADIUS_PX: Final = 32.0
_LEAST_RELIEF: Final = 0.010
_DARKEST: Final = 20.0
"""Coins have relief: lightness (CIE L*) within one, shown 64 pixels wide, changes from pixel to pixel by more than this
share of itself. Of 917 photographed coins 48 show less (most are burnt out), of plain drawn caps nearly all."""
_RIVAL_PERMILLE: Final = 400
_RIVAL_PERMILLE_4: Final = 500
_MOST_COIN_CHROMA: Final = 50.0
"""Steel in the warmest light of the collection has 29, brass up to 48; coloured plastic 60 and more."""
_TILTED_INSIDE: Final = 0.6
_TILTED_NEAR: Final = (0.55, 1.36)
_MOST_OVAL: Final = 0.08
"""How much an outline's radius may swing twice a turn, as a share of itself: of 172 coins photographed from above none
does by more than 0.075; of 28 shrunk to 0.8 across, as a camera 37 degrees off shows them, all by 0.09 and more."""
_SAME_SIZE: Final = 0.10
"""Equal coins on one table look alike to this share; a hand-held camera stands a little nearer to one of them."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A printed ArUco marker of the 4x4 family; `side_um` is the black square's side."""

    side_um: int = 60_000

    @property
    def size_um(self) -> int:
        """The known length in micrometres."""
        return self.side_um

    @property
    def name(self) -> str:
        """How an event names the target."""
        return f"aruco-4x4-{self.side_um // 1000}mm"


@dataclass(frozen=True, slots=True)
class Coin:
    """A round coin; 25.0 mm is the one-yuan coin of the fifth series."""

    diameter_um: int = 25_000

    @property
    def size_um(self) -> int:
        """The known length in micrometres."""
        return self.diameter_um

    @property
    def name(self) -> str:
        """How an event names the target."""
        return f"coin-{self.diameter_um // 1000}mm"


Reference: TypeAlias = Marker | Coin


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """What one reference says. `spread_permille` is how far its sides (or radii) disagree.

    `worst_um` is the reference measured along its worst side by its own mean: what a check against
    the known length should look at.
    """

    reference: Reference
    nm_per_px: int
    worst_um: int
    spread_permille: int
    outline: Polygon
    is_sure: bool = True
    """Whether nothing else in the photograph could as well be the reference."""

    @property
    def mm_per_px(self) -> float:
        """Millimetres per pixel on the reference's plane."""
        return self.nm_per_px / 1e6


Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""
EDITION: Final = 5
"""How a coin is judged: until the second edition its rim lay on the strongest edge alone, until the third nobody
asked whether it has relief, until the fourth a coin without a clear rim gave way to the next thing like one."""


def find_scale(
    pixels: Pixels,
    reference: Reference,
    *,
    coins: Sequence[Box] | None = None,
    scores_permille: Sequence[int] = (),
    edition: int = EDITION,
) -> Scale:
    """Return the scale that the reference gives. Raises NoScaleError or TiltedScaleError.

    `coins` are places where something that knows coins saw one, best first, and how sure it was of each; the rim is
    measured there. One that surely is a coin and shows no rim, in the dark, is as large as its place, and not sure.
    Where none of them has a rim, and where there are none, the whole photograph is searched; what is found then is not
    sure, unless nobody who knows coins was asked (None).
    """
    if isinstance(reference, Marker):
        return _marker_scale(pixels, reference)
    asked = coins or ()
    scores = [*scores_permille, *[1000] * (len(asked) - len(scores_permille))]
    least = _SURE_COIN_PERMILLE if edition > 3 else _SURE_COIN_PERMILLE_3
    least_rival = _RIVAL_PERMILLE if edition > 4 else _RIVAL_PERMILLE_4
    for box, score in zip(asked, scores, strict=True):
        rim = _rim_near(pixels, box)
        is_traced = rim is not None
        if rim is None and edition > 4 and scores_permille and score >= _SURE_COIN_PERMILLE:
            rim = _drawn_rim(box)
        if rim is not None and edition < 3:
            return _scale_of_rim(rim, reference)
        # A bottle's cap is as round, but seldom as grey.
        if rim is not None and _chroma_within(pixels, rim) <= _MOST_COIN_CHROMA:
            settled = _settled(pixels, rim) if is_traced else rim
            is_sure = (
                is_traced
                and score >= least
                and not any(
                    rival >= max(least_rival, score * 3 // 5) and abs(_width(other) / _width(box) - 1) > _SAME_SIZE
                    for other, rival in zip(asked, scores, strict=True)
                )
            )
            is_sure = is_sure and (edition < 4 or _has_relief(pixels, settled))
            is_sure = is_sure and (edition < 5 or not _is_tilted(pixels, settled))
            return replace(_scale_of_rim(settled, reference), is_sure=is_sure)
    rim = _searched_rim(pixels, reference)
    is_sure = edition < 4 or (coins is None and _has_relief(pixels, rim))
    return replace(_scale_of_rim(rim, reference), is_sure=is_sure)


def _has_relief(pixels: Pixels, rim: Polygon) -> bool:
    """Whether what a rim encloses is stamped, as coins are, and neither smooth as caps are nor burnt out."""
    (x, y), radius = cv2.minEnclosingCircle(rim)
    zoom = _RELIEF_RADIUS_PX / max(1.0, radius)
    middle = 1.5 * _RELIEF_RADIUS_PX
    side = round(2 * middle)
    shown = cv2.warpAffine(
        pixels,
        np.array([[zoom, 0, middle - x * zoom], [0, zoom, middle - y * zoom]]),
        (side, side),
        flags=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    light = cv2.cvtColor(shown, cv2.COLOR_BGR2LAB)[..., 0].astype(np.float32) * (100 / 255)
    inside = np.zeros(light.shape, np.uint8)
    cv2.circle(inside, (round(middle), round(middle)), round(0.85 * _RELIEF_RADIUS_PX), 1, -1)
    relief = float(np.median(_edges(light)[inside > 0])) / 8
    return relief >= _LEAST_RELIEF * max(_DARKEST, float(np.median(light[inside > 0])))


def _chroma_within(pixels: Pixels, rim: Polygon) -> float:
    (x, y), radius = cv2.minEnclosingCircle(rim)
    left, top = max(0, int(x - radius)), max(0, int(y - radius))
    part = pixels[top : max(top + 1, round(y + radius)), left : max(left + 1, round(x + radius))]
    if part.size == 0:
        return 0.0
    lab = cv2.cvtColor(part, cv2.COLOR_BGR2LAB).astype(np.float32)
    inside = np.zeros(part.shape[:2], np.uint8)
    cv2.circle(inside, (round(x) - left, round(y) - top), max(1, round(0.85 * radius)), 1, -1)
    chroma = np.hypot(lab[..., 1] - 128, lab[..., 2] - 128)[inside > 0]
    return float(np.median(chroma)) if chroma.size else 0.0


def _width(box: Box) -> float:
    return (box[2] - box[0] + box[3] - box[1]) / 2


def camera_height_mm(focal_px: float, mm_per_px: float) -> float:
    """Return the camera's height over the plane: similar triangles of focal length and scale."""
    return focal_px * mm_per_px


def _marker_scale(pixels: Pixels, reference: Marker) -> Scale:
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50), parameters)
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    found, _, _ = detector.detectMarkers(grey)
    markers = [np.asarray(quad, dtype=np.float32).reshape(4, 2) for quad in found]
    markers = [quad for quad in markers if _sides(quad).min() >= MIN_MARKER_PX]
    if not markers:
        raise NoScaleError(f"an ArUco 4x4 marker of {reference.side_um / 1000:.0f} mm")
    best = max(markers, key=lambda quad: float(_sides(quad).mean()))
    sides = _sides(best)
    mean = float(sides.mean())
    spread = (float(sides.max()) - float(sides.min())) / mean
    if spread * 1000 > MAX_TILT_PERMILLE:
        raise TiltedScaleError(spread_permille=round(spread * 1000), allowed_permille=MAX_TILT_PERMILLE)
    worst = sides[int(np.abs(sides - mean).argmax())]
    return Scale(
        reference=reference,
        nm_per_px=round(reference.side_um * 1000 / mean),
        worst_um=round(reference.side_um * float(worst) / mean),
        spread_permille=round(spread * 1000),
        outline=best,
    )


def _sides(quad: Polygon) -> NDArray[np.float32]:
    return np.asarray(np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1), dtype=np.float32)


# --- the coin ------------------------------------------------------------------------------------
# Classical: circles by the Hough transform, then each is scored by what a coin is: grey metal, a rim
# with an edge nearly all the way round, and relief inside.

_RAYS = 72
_LEAST_RIM = 0.55


def _searched_rim(pixels: Pixels, reference: Coin) -> Polygon:
    """Return the rim of the best coin in the photograph. Raises NoScaleError."""
    shrink = min(1.0, 820 / max(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else pixels
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    lab = cv2.cvtColor(small, cv2.COLOR_BGR2LAB).astype(np.float32)
    blurred = cv2.medianBlur(grey, 5)
    short = min(grey.shape)
    circles = cv2.HoughCircles(
        blurred,
        cv2.HOUGH_GRADIENT,
        dp=1.5,
        minDist=short / 30,
        param1=120,
        param2=28,
        minRadius=round(short / 45),
        maxRadius=round(short / 8),
    )
    magnitude = _edges(blurred)
    # On a coloured table a grey patch is the whole coin; circles may also be its relief, so they come second.
    valid = _valid_coins(_grey_blobs(lab, short), magnitude, lab, grey)
    if not valid and circles is not None:
        drawn = [tuple(map(float, circle)) for circle in np.asarray(circles).reshape(-1, 3)[:60]]
        valid = _valid_coins([(x, y, radius) for x, y, radius in drawn], magnitude, lab, grey)
    if not valid:
        raise NoScaleError(f"a coin of {reference.diameter_um / 1000:.1f} mm")
    return max(valid, key=lambda each: each[0])[1] / np.float32(shrink)


def _scale_of_rim(rim: Polygon, reference: Coin) -> Scale:
    centre, axes, _ = cv2.fitEllipse(rim.astype(np.float32))
    small_axis, large_axis = sorted((float(axes[0]), float(axes[1])))
    mean = (small_axis + large_axis) / 2
    worst = large_axis if large_axis - mean >= mean - small_axis else small_axis
    angles = np.linspace(0, 2 * np.pi, _RAYS, endpoint=False)
    outline = np.stack([centre[0] + mean / 2 * np.cos(angles), centre[1] + mean / 2 * np.sin(angles)], axis=1)
    return Scale(
        reference=reference,
        nm_per_px=round(reference.diameter_um * 1000 / mean),
        worst_um=round(reference.diameter_um * worst / mean),
        spread_permille=round((large_axis - small_axis) / mean * 1000),
        outline=outline.astype(np.float32),
    )


_Circle: TypeAlias = tuple[float, float, float]


def _valid_coins(circles: Sequence[_Circle], magnitude: Plane, lab: Plane, grey: Plane) -> list[tuple[float, Polygon]]:
    """Return score and rim of every circle that has a rim and looks like metal."""
    valid = []
    for x, y, radius in circles:
        rim = _rim(magnitude, x, y, radius)
        score = 0.0 if rim is None else _coin_score(lab, grey, rim)
        if rim is not None and score > 0:
            valid.append((score, rim))
    return valid


def _grey_blobs(lab: NDArray[np.float32], short: int) -> list[_Circle]:
    """Return the round grey patches on a coloured table: coins too dim for the Hough transform."""
    chroma = np.hypot(lab[..., 1] - 128, lab[..., 2] - 128)
    table = float(
        np.median(
            np.concatenate([chroma[:8].ravel(), chroma[-8:].ravel(), chroma[:, :8].ravel(), chroma[:, -8:].ravel()])
        )
    )
    if table < 12:
        return []
    blobs = []
    for share in (0.5, 0.62, 0.75):
        patches = cv2.morphologyEx(
            (chroma < share * table).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)
        )
        patches = cv2.morphologyEx(patches, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        contours, _ = cv2.findContours(patches, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            (x, y), radius = cv2.minEnclosingCircle(contour)
            area = cv2.contourArea(contour)
            if short / 45 <= radius <= short / 8 and area > 0.74 * np.pi * radius**2:
                blobs.append((float(x), float(y), float(np.sqrt(area / np.pi))))
    return blobs


def _edges(grey: Plane) -> NDArray[np.float32]:
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    return np.asarray(cv2.magnitude(dx, dy), dtype=np.float32)


def _rim(magnitude: Plane, x: float, y: float, radius: float) -> Polygon | None:
    """Return the rim as one point per ray with a strong edge, or None where too few have one."""
    angles = np.linspace(0, 2 * np.pi, _RAYS, endpoint=False)
    radii = np.linspace(0.82, 1.18, 37) * radius
    xs = x + np.cos(angles)[:, None] * radii[None, :]
    ys = y + np.sin(angles)[:, None] * radii[None, :]
    h, w = magnitude.shape
    if xs.min() < 1 or ys.min() < 1 or xs.max() > w - 2 or ys.max() > h - 2:
        return None
    along = magnitude[ys.astype(np.int32), xs.astype(np.int32)]
    # The outermost strong edge of a ray is the rim; relief and shadow lie inside or are weaker.
    strong = along >= np.maximum(0.6 * along.max(axis=1, keepdims=True), 24.0)
    has_edge = strong.any(axis=1)
    outer = along.shape[1] - 1 - strong[:, ::-1].argmax(axis=1)
    # The rim lies between the edge's outer flank and its crest: metal shines over into the table.
    inward = np.maximum(outer[:, None] - np.arange(10)[None, :], 0)
    crest = outer - np.take_along_axis(along, inward, axis=1).argmax(axis=1)
    outermost = np.maximum((outer + crest + 1) // 2, 0)
    middle = float(np.median(radii[outermost[has_edge]])) if has_edge.any() else 0.0
    at = radii[outermost]
    kept = has_edge & (np.abs(at - middle) < 0.08 * radius)
    if kept.mean() < _LEAST_RIM or kept.sum() < 8:
        return None
    index = np.flatnonzero(kept)
    return np.stack([xs[index, outermost[index]], ys[index, outermost[index]]], axis=1).astype(np.float32)


def _coin_score(lab: Plane, grey: Plane, rim: Polygon) -> float:
    (x, y), radius = cv2.minEnclosingCircle(rim)
    mask = np.zeros(grey.shape, np.uint8)
    cv2.circle(mask, (round(x), round(y)), max(2, round(radius * 0.85)), 255, -1)
    inside = mask > 0
    chroma = np.hypot(lab[..., 1] - 128, lab[..., 2] - 128)
    colour = float(np.median(chroma[inside]))
    relief = float(grey[inside].std())
    if colour > 22 or relief < 6:
        return 0.0
    return float(len(rim)) / _RAYS * (1 + min(relief, 40) / 40) * (1 - colour / 40)


# Where a coin is known to lie, only its rim is left to find: along each of many rays the edge against the
# table, on the circle that most rays agree about. Relief makes circles of its own, so the outer one is taken.

_SIDES = 96
_RADIUS_PX = 100.0
_OUTER_SHARE = 0.55
"""A circle further out is the rim if its edge is at least this strong beside the strongest."""
_LEAST_ON_RIM = 0.35


def _rim_near(pixels: Pixels, box: Box) -> Polygon | None:
    """Return the rim of the coin in a roughly drawn box as points, or None where no circle shows."""
    x0, y0, x1, y1 = box
    drawn = (x1 - x0 + y1 - y0) / 4
    if drawn < 4:
        return None
    zoom = min(4.0, _RADIUS_PX / drawn)
    side = round(3 * drawn * zoom)
    shift = np.array([[zoom, 0, side / 2 - (x0 + x1) / 2 * zoom], [0, zoom, side / 2 - (y0 + y1) / 2 * zoom]])
    smooth = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    part = cv2.warpAffine(pixels, shift, (side, side), flags=smooth, borderMode=cv2.BORDER_REPLICATE)
    lab = cv2.cvtColor(part, cv2.COLOR_BGR2LAB).astype(np.float32)
    radius, centre = drawn * zoom, np.array([side / 2, side / 2])
    lab = np.asarray(cv2.GaussianBlur(lab, (0, 0), max(1.0, 0.02 * radius)), np.float32)
    points = np.zeros((0, 2))
    for shares, step, is_first in (
        (np.arange(0.70, 1.35, 0.010), 4, True),
        (np.arange(0.88, 1.12, 0.005), 6, False),
        (np.arange(0.88, 1.12, 0.005), 6, False),
    ):
        edge, at = _edges_along_rays(lab, centre, radius * shares, step)
        votes = np.minimum(edge / (np.median(edge.max(axis=1)) + 1e-6), 1).mean(axis=0)
        ring = int(votes.argmax())
        if is_first:
            peaks = np.flatnonzero((votes[1:-1] >= votes[:-2]) & (votes[1:-1] >= votes[2:])) + 1
            outer = peaks[(votes[peaks] >= _OUTER_SHARE * votes.max()) & (shares[peaks] < 1.25)]
            ring = int(outer.max()) if len(outer) else ring
        low = max(0, ring - 2 * step)
        best = low + edge[:, low : ring + 2 * step + 1].argmax(axis=1)
        rays = np.arange(_SIDES)
        strength = edge[rays, best]
        points, circle = _on_one_circle(at[rays, best][strength > 0.35 * float(np.median(strength))])
        if circle is None:
            return None
        centre, radius = np.array(circle[:2]), circle[2]
    # A circle of quite another size is not the coin that was seen.
    return np.asarray((points - shift[:, 2]) / zoom, np.float32) if 0.75 < radius / (drawn * zoom) < 1.3 else None


def _drawn_rim(box: Box) -> Polygon:
    """Return the circle as wide as a box is on the mean."""
    x0, y0, x1, y1 = box
    turn = np.linspace(0, 2 * np.pi, _SIDES, endpoint=False)
    around = np.stack([np.cos(turn), np.sin(turn)], axis=1) * (x1 - x0 + y1 - y0) / 4
    return np.asarray(around + np.array([(x0 + x1) / 2, (y0 + y1) / 2]), np.float32)


def _edges_along_rays(
    lab: NDArray[np.float32], centre: NDArray[np.float64], radii: NDArray[np.float64], step: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return per ray and radius how much the colour changes there, and where that is."""
    angles = np.linspace(0, 2 * np.pi, _SIDES, endpoint=False)
    at = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None, :] * radii[None, :, None]
    xs, ys = (np.ascontiguousarray(at[..., axis], np.float32) for axis in (0, 1))
    along = cv2.remap(lab, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    change = along[:, 2 * step :] - along[:, : -2 * step]
    edge = np.zeros(at.shape[:2], np.float32)
    # Light changes on the metal too; against the table colour does.
    edge[:, step:-step] = np.sqrt(0.5 * change[..., 0] ** 2 + change[..., 1] ** 2 + change[..., 2] ** 2)
    return edge, at


def _on_one_circle(
    points: NDArray[np.float64], *, of: int = _SIDES
) -> tuple[NDArray[np.float64], tuple[float, float, float] | None]:
    """Return the points on the circle that most agree about, and that circle (x, y, radius); None without one."""
    circle = None
    for _ in range(6):
        if len(points) < _LEAST_ON_RIM * of:
            return points, None
        terms = np.column_stack([2 * points, np.ones(len(points))])
        solved = np.linalg.lstsq(terms, (points**2).sum(axis=1), rcond=None)[0]
        radius = float(np.sqrt(max(1e-6, solved[2] + solved[0] ** 2 + solved[1] ** 2)))
        circle = (float(solved[0]), float(solved[1]), radius)
        gaps = np.abs(np.hypot(points[:, 0] - solved[0], points[:, 1] - solved[1]) - radius)
        near = gaps < max(0.02 * radius, 2 * float(np.median(gaps)))
        if near.all():
            break
        points = points[near]
    return points, circle


# The strongest edge of a coin is often the ring inside its rim, and sometimes the end of its shadow. Where the
# colour of the table is half taken over by that of the coin is the true edge of a blurred one, and a shadow has
# the table's hue. Both estimates err for different reasons, so their mean is taken.

_INSIDE: Final = 0.85
_OUTSIDE: Final = (1.38, 1.72)
_MOST_LEAN: Final = 0.08
_LEAST_CONTRAST: Final = 12.0
"""How differently coloured coin and table must be; beside less the strongest edge is the better witness."""


def _settled(pixels: Pixels, rim: Polygon) -> Polygon:
    """Return the rim moved halfway to where colours say that the coin ends; the rim itself where they do not say."""
    centre, axes, _ = cv2.fitEllipse(rim)
    radius = (float(axes[0]) + float(axes[1])) / 4
    halfway = _halfway_radius(pixels, (float(centre[0]), float(centre[1])), radius)
    if halfway is None:
        return rim
    middle = np.array(centre, np.float32)
    return np.asarray(middle + (rim - middle) * np.float32(math.sqrt(halfway / radius)), np.float32)


def _halfway_radius(pixels: Pixels, centre: tuple[float, float], radius: float) -> float | None:
    """Return the radius of the circle on which the coin's colour has half given way to the table's."""
    rays, shares, away, ground = _away_from_table(pixels, centre, radius)
    coin = float(np.median(np.median(away[:, shares < _INSIDE], axis=1)))
    if coin - ground < _LEAST_CONTRAST:
        return None
    ends = _last_falls(away, shares, (coin + ground) / 2)
    points, circle = _on_one_circle(rays[ends > 0] * ends[ends > 0, None], of=_RAYS)
    if circle is None or len(points) < _RAYS // 2 or not 0.8 < circle[2] < 1.25:
        return None
    # A circle that leans to one side has a shadow in it.
    return circle[2] * radius if math.hypot(circle[0], circle[1]) < _MOST_LEAN else None


def _is_tilted(pixels: Pixels, rim: Polygon) -> bool:
    """Whether a coin's colours end on an oval: then nobody knows which of its widths is the coin's."""
    (x, y), radius = cv2.minEnclosingCircle(rim)
    rays, shares, away, ground = _away_from_table(pixels, (x, y), radius)
    coin = float(np.median(np.median(away[:, shares < _TILTED_INSIDE], axis=1)))
    if coin - ground < _LEAST_CONTRAST:
        return False
    ends = _last_falls(away, shares, (coin + ground) / 2, between=_TILTED_NEAR)
    rays, ends = rays[ends > 0], ends[ends > 0]
    angles = np.arctan2(rays[:, 1], rays[:, 0])
    # The circle, its place, and the oval on it; shadows and relief lie off all three.
    terms = np.stack(
        [np.ones_like(angles), np.cos(angles), np.sin(angles), np.cos(2 * angles), np.sin(2 * angles)], axis=1
    )
    kept = np.ones(len(ends), bool)
    found = np.zeros(5)
    for _ in range(4):
        if int(kept.sum()) < _RAYS // 2:
            return False
        found = np.linalg.lstsq(terms[kept], ends[kept], rcond=None)[0]
        gaps = np.abs(terms @ found - ends)
        kept = gaps < max(0.03, 2.5 * float(np.median(gaps)))
    return math.hypot(found[3], found[4]) > _MOST_OVAL * float(found[0])


def _away_from_table(
    pixels: Pixels, centre: tuple[float, float], radius: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    """Return rays around a coin, radii as shares of its own, how far from the table's colour each place on them is, and
    how far the table itself.
    """
    zoom = min(4.0, 48.0 / radius)
    side = round(3.6 * radius * zoom)
    shift = np.array([[zoom, 0, side / 2 - centre[0] * zoom], [0, zoom, side / 2 - centre[1] * zoom]])
    smooth = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    part = cv2.warpAffine(pixels, shift, (side, side), flags=smooth, borderMode=cv2.BORDER_REPLICATE)
    lab = cv2.cvtColor(part, cv2.COLOR_BGR2LAB).astype(np.float32)
    lab = np.asarray(cv2.GaussianBlur(lab, (0, 0), max(0.8, 0.03 * radius * zoom)), np.float32)
    shares = np.arange(0.1, _OUTSIDE[1], 0.02)
    angles = np.linspace(0, 2 * np.pi, _RAYS, endpoint=False)
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    at = side / 2 + rays[:, None, :] * (shares * radius * zoom)[None, :, None]
    xs, ys = (np.ascontiguousarray(at[..., axis], np.float32) for axis in (0, 1))
    along = cv2.remap(lab, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    table = np.median(along[:, shares > _OUTSIDE[0]].reshape(-1, 3), axis=0)
    # Lightness does not count: a shadow is darker too.
    away = np.hypot(along[..., 1] - table[1], along[..., 2] - table[2])
    return rays, shares, away, float(np.median(away[:, shares > _OUTSIDE[0]]))


def _last_falls(
    away: NDArray[np.float64],
    shares: NDArray[np.float64],
    level: float,
    *,
    between: tuple[float, float] = (0.72, 1.32),
) -> NDArray[np.float64]:
    """Return for every ray the radius where it last falls below a level near the rim; 0 where it does not."""
    near = (shares >= between[0]) & (shares <= between[1])
    values, radii = away[:, near], shares[near]
    falls = (values[:, :-1] >= level) & (values[:, 1:] < level)
    last = falls.shape[1] - 1 - falls[:, ::-1].argmax(axis=1)
    rows = np.arange(len(values))
    above, below = values[rows, last], values[rows, last + 1]
    share = (above - level) / np.maximum(above - below, 1e-9)
    return np.where(falls.any(axis=1), radii[last] + share * (radii[1] - radii[0]), 0.0)
