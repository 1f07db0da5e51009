"""Pixels become numbers here: a mask, its colours and a scale give sizes, colour, marks and an estimated mass.

Pure functions of arrays. Floats live inside; what comes out is whole numbers with their units in the names, so that
the same picture always gives the same verdict.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]
Corners = NDArray[np.int32]

EDITION: Final = 3
"""How a fruit is measured; older records say an older one, and are graded again by it."""
_EVERY_WAY: Final = np.column_stack([f(np.radians(np.arange(0, 180, 2))) for f in (np.cos, np.sin)])
"""Unit vectors of half a turn, two degrees apart: a caliper a degree askew reads a few ten-thousandths off."""
_LONG: Final = 1.25
"""From this ratio of length to width on, no fruit is round."""
_RIM_PERMILLE = 55
_MARK_DEPTH = 9.0
"""How much darker (CIE L*) than the skin around it a mark is. Lenticels stay under it, scabs do not."""
_MARK_DULLNESS = 5.0
"""How much less colour (CIE chroma) a mark has."""
_BRUISE_MM2 = 40.0
"""A bruise is as large as what pressed on the fruit; smaller soft marks are not told apart."""
_SAMPLE_PX = 1250
"""A fruit's colour is that of about so many of its pixels, taken evenly; surfaces are fitted to a third of that."""
_RIDGE: Final = 1e-6 * np.eye(10)
_UPRIGHT: Final = ((1.0, 0.0), (0.0, 1.0))

_NORMAL_90: Final = 1.645
"""How many standard deviations on either side hold nine values in ten."""
_UNCORRECTED_LOW: Final = 0.715
"""Share of the mass that is left when a camera only five fruit widths above the belt was not corrected for."""
CAMERA_ABOVE_MM: Final = 105.0
"""How far above the table a camera is held that looks at fruit from the side: fitted to the fruit of the collection in
grading/README.md, and much the same for every nine tenths of them."""
_MOST_NEARER: Final = 0.25
_END_ON: Final = 0.13
"""One standard deviation that the mass of a long fruit seen from the side has more: its end may point at the camera."""
MARK_KINDS: Final = ("scab", "bruise", "russet", "mark")

Form = Literal["long", "round"]


@dataclass(frozen=True, slots=True)
class Solid:
    """How a crop's body follows from its outline: thickness per width, and density.

    A `long` fruit lies on its side, so its shorter caliper is the diameter of its equatorial section. Of a
    `round` one it is the sphere as large as length times width squared: of two calipers the longer one takes
    every shadow along, so the shorter counts twice.
    `shape_permille` is one standard deviation of the mass that outline and form leave open.
    """

    thickness_permille: int
    density_g_per_l: int
    form: Form = "long"
    shape_permille: int = 110


@dataclass(frozen=True, slots=True)
class Band:
    """A range of skin colour: CIE hue angle in degrees (counted on past 360), chroma and lightness."""

    name: str
    hue_from: int
    hue_to: int
    least_chroma: int = 0
    most_chroma: int = 200
    least_light: int = 0
    most_light: int = 100


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark on the skin. `box` is left, top, width, height in pixels of the fruit's box.

    `kind` is as much as darkness and shape can tell: dark and sharp is a `scab`, large and soft a
    `bruise`, thin or scattered and hardly darker a `russet`; what fits none is a `mark`.
    """

    kind: str
    box: tuple[int, int, int, int]
    area_mm2: int
    across_um: int


@dataclass(frozen=True, slots=True)
class Beside:
    """How a fruit stands beside an upright coin, both seen from the side.

    `away_mm` is the camera's distance from the coin's plane, where it is known; `lower_mm` how much lower in the
    picture the fruit's lowest point is than the coin's, by the coin's scale.
    """

    away_mm: float | None
    lower_mm: float

    @property
    def nearer(self) -> float:
        """The coin's distance over the fruit's. Of two feet on one table, the lower one is nearer to the camera.

        A camera h above the table sees a foot at distance Z by f h / Z under its horizon. From the two feet's
        difference, made millimetres by the coin's scale Z / f, follows Z / Z' = 1 + difference / h.
        """
        return 1 + min(_MOST_NEARER, max(-_MOST_NEARER, self.lower_mm / CAMERA_ABOVE_MM))


@dataclass(frozen=True, slots=True)
class Error:
    """One standard deviation of what lengths come from: of the scale in thousandths, of the outline in pixels."""

    scale_permille: int = 8
    outline_px: float = 1.0


@dataclass(frozen=True, slots=True)
class Measures:
    """What the camera measured on one fruit. Mass and volume are estimated, the rest is seen.

    `height_corrected_permille` is the factor by which lengths were shrunk for the fruit standing above the marker's
    plane (from the side: nearer to the camera than the coin; over 1000 where it is farther); 1000 says that the
    camera's height is unknown and nothing was corrected.
    The fields with a default are those that records of the first edition do not have.
    """

    length_um: int
    width_um: int
    equivalent_diameter_um: int
    area_mm2: int
    lab_l_centi: int
    lab_a_centi: int
    lab_b_centi: int
    blemish_mm2: int
    blemish_permille: int
    volume_mm3: int
    mass_g: int
    height_corrected_permille: int
    equatorial_um: int = 0
    roundness_permille: int = 0
    mass_low_g: int = 0
    mass_high_g: int = 0
    bands: tuple[tuple[str, int], ...] = ()
    """Share of each colour band in thousandths of the fruit that is seen."""
    marks: tuple[Mark, ...] = ()

    def share_permille(self, band: str) -> int:
        """Return a colour band's share, 0 where it was not measured."""
        return dict(self.bands).get(band, 0)


def measure(
    lab: Floats,
    mask: Mask,
    *,
    mm_per_px: float,
    solid: Solid,
    camera_height_mm: float | None = None,
    beside: Beside | None = None,
    bands: Sequence[Band] = (),
    error: Error = Error(),
    axis_cosine: float = 1.0,
    is_round_kind: bool = False,
    straightened: Sequence[Sequence[float]] = _UPRIGHT,
    hull: Corners | None = None,
    edition: int = EDITION,
) -> Measures:
    """Return the measures of the fruit in `mask`; `lab` holds CIE L*a*b* of the same box.

    With `beside` the fruit is seen from the side, and is the sphere whose outline has the area seen: a stalk or a
    shadow has little area, and lying or standing, flat or tall fruit are as deep as they are wide and high on the mean.
    The solid's thickness is about what a view from above does not show.
    `axis_cosine` is the cosine of the angle between the camera's axis and the way to the fruit: 1 straight below.
    `is_round_kind` says that the fruit looks like one of a round kind, whatever crop it is graded as.
    `straightened` is a 2 x 2 matrix: what way in the picture as it would be from straight above belongs to one here.
    `hull` are the corners of the mask's convex hull, x and y in it, where the caller knows them.
    Until the second edition a round fruit's diameter was that of the circle with its outline's area.
    """
    length_px, width_px = feret_px(mask, straightened, hull=hull)
    (xx, xy), (yx, yy) = straightened
    stretch = abs(xx * yy - xy * yx)
    pixels = int(np.count_nonzero(mask))
    area_px = pixels * stretch
    circle_px = 2 * math.sqrt(area_px / math.pi)
    shrink = 1.0
    if beside is not None:
        apparent = circle_px * mm_per_px
        shrink = beside_to_fruit(apparent, beside, axis_cosine=axis_cosine) / apparent
    elif camera_height_mm is not None:
        apparent = width_px * mm_per_px
        shrink = belt_to_fruit(apparent, camera_height_mm, axis_cosine=axis_cosine) / apparent
    mm = mm_per_px * shrink
    length_mm, width_mm, circle_mm = length_px * mm, width_px * mm, circle_px * mm
    form: Form = "round" if edition >= 3 and is_round_kind and length_px < _LONG * width_px else solid.form
    marked, depth = _marks(lab, mask)
    marks_px = int(np.count_nonzero(marked))
    mark_mm = mm * math.sqrt(stretch)
    lying_mm3 = math.pi / 6 * length_mm * width_mm * (width_mm * solid.thickness_permille / 1000)
    volume_mm3 = lying_mm3 if beside is None else math.pi / 6 * circle_mm**3
    mass_g = volume_mm3 * solid.density_g_per_l / 1e6
    spread = _mass_spread(length_px, width_px, solid, error, unseen=_END_ON if beside and solid.form == "long" else 0.0)
    skin = _sampled(lab, mask)
    colour = _medians(skin)
    return Measures(
        length_um=round(length_mm * 1000),
        width_um=round(width_mm * 1000),
        equivalent_diameter_um=round(circle_mm * 1000),
        area_mm2=round(area_px * mm * mm),
        lab_l_centi=round(float(colour[0]) * 100),
        lab_a_centi=round(float(colour[1]) * 100),
        lab_b_centi=round(float(colour[2]) * 100),
        blemish_mm2=round(marks_px * mark_mm * mark_mm),
        blemish_permille=round(1000 * marks_px / pixels),
        volume_mm3=round(volume_mm3),
        mass_g=round(mass_g),
        height_corrected_permille=round(shrink * 1000),
        equatorial_um=round(
            1000
            * (
                circle_mm
                if beside is not None or (edition < 3 and solid.form == "round")
                else _equatorial_mm(length_mm, width_mm, form)
            )
        ),
        roundness_permille=min(1000, round(4000 * area_px / (math.pi * length_px**2))),
        mass_low_g=round(mass_g / spread * (_UNCORRECTED_LOW if camera_height_mm is None and beside is None else 1.0)),
        mass_high_g=round(mass_g * spread),
        bands=_shares(skin, bands),
        marks=_described(marked, depth, mark_mm) if marks_px else (),
    )


def _mass_spread(length_px: float, width_px: float, solid: Solid, error: Error, *, unseen: float) -> float:
    """Return the factor up and down that holds the mass nine times in ten: scale, outline and form together."""
    scale = 3 * error.scale_permille / 1000
    outline = math.hypot(error.outline_px / length_px, 2 * error.outline_px / width_px)
    return math.exp(_NORMAL_90 * math.hypot(scale, outline, solid.shape_permille / 1000, unseen))


def _sampled(lab: Floats, mask: Mask) -> Floats:
    """Return L, a and b of one in so many pixels of the mask, counted along its rows; one row each."""
    step = max(1, np.count_nonzero(mask) // _SAMPLE_PX)
    return np.stack([lab[..., channel][mask][::step] for channel in range(3)])


def _medians(rows: Floats) -> Floats:
    """Return the median of every row, of an even number the upper one of the two in the middle."""
    middle = rows.shape[1] // 2
    return np.partition(rows, middle, axis=1)[:, middle]


def _shares(skin: Floats, bands: Sequence[Band]) -> tuple[tuple[str, int], ...]:
    """Return every band's name and share in thousandths, by name."""
    if not bands:
        return ()
    light, a, b = skin
    chroma, hue = (plane.ravel() for plane in cv2.cartToPolar(a, b, angleInDegrees=True))
    shares = []
    for band in bands:
        past = hue - band.hue_from
        # The angle above the band's beginning, 0 to 360; written so because remainders are slow.
        within = past - 360 * np.floor(past / 360) < band.hue_to - band.hue_from
        for values, least, most, largest in (
            (chroma, band.least_chroma, band.most_chroma, 200),
            (light, band.least_light, band.most_light, 100),
        ):
            # Most bands leave these open, and what every pixel is need not be asked.
            if least > 0:
                within &= values >= least
            if most < largest:
                within &= values < most
        shares.append((band.name, round(1000 * np.count_nonzero(within) / len(within))))
    return tuple(sorted(shares))


def _equatorial_mm(length_mm: float, width_mm: float, form: Form) -> float:
    return width_mm if form == "long" else (length_mm * width_mm * width_mm) ** (1 / 3)


def belt_to_fruit(apparent_mm: float, camera_height_mm: float, *, axis_cosine: float = 1.0) -> float:
    """Return the true diameter of a sphere that lies on the plane and looks `apparent_mm` wide there.

    Pinhole camera at height H, its axis upright, sphere of radius r resting on the plane, seen under the angle t to
    the axis: its centre is (H - r) / cos t away, and it fills a cone of half angle a with sin a = r / that. Hence
    r = H sin a / (cos t + sin a). Off the axis a picture is stretched by 1 / cos^2 t outwards and by 1 / cos t
    around, so by cos^-1.5 t on the mean; straight below this is R = H r / sqrt(H^2 - 2 H r) solved for r.
    """
    half = math.atan(apparent_mm / 2 / camera_height_mm * axis_cosine**1.5)
    return 2 * camera_height_mm * math.sin(half) / (axis_cosine + math.sin(half))


def beside_to_fruit(apparent_mm: float, beside: Beside, *, axis_cosine: float = 1.0) -> float:
    """Return the true diameter of a sphere that looks `apparent_mm` wide by the scale of a coin that stands beside it.

    As `belt_to_fruit`, but its middle is as far from the camera as its foot: Z' = Z / nearer, r = Z' sin a / cos t.
    """
    if beside.away_mm is None:
        return apparent_mm / beside.nearer
    half = math.atan(apparent_mm / 2 / beside.away_mm * axis_cosine**1.5)
    return 2 * beside.away_mm / beside.nearer * math.sin(half) / axis_cosine


def feret_px(
    mask: Mask, straightened: Sequence[Sequence[float]] = _UPRIGHT, *, hull: Corners | None = None
) -> tuple[float, float]:
    """Return the longest and the shortest caliper width of a mask, in pixels."""
    if hull is None:
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        hull = np.asarray(cv2.convexHull(np.vstack(contours)), np.int32)
    along = _EVERY_WAY @ (np.asarray(straightened, np.float64) @ hull.reshape(-1, 2).T)
    # Centres of pixels lie half a pixel inside the outline on both sides.
    widths = along.max(axis=1) - along.min(axis=1) + 1.0
    return float(widths.max()), float(widths.min())


def marks(lab: Floats, mask: Mask) -> Mask:
    """Return where the skin is clearly darker and duller than the fruit's own shading says it should be.

    Shading and blush are slow: a cubic surface is fitted to lightness and to chroma. Blush that ends
    sharply is darker but not duller; a scab is both. The rim is left out, because light falls off there.
    """
    return _marks(lab, mask)[0]


def _marks(lab: Floats, mask: Mask) -> tuple[Mask, Floats]:
    """Return the marks, and how much darker than its surroundings every pixel is."""
    none = np.zeros(mask.shape, dtype=bool)
    flat = np.zeros(mask.shape, dtype=np.float32)
    side = 2 * max(2, round(min(mask.shape) * _RIM_PERMILLE / 1000)) + 1
    square = np.ones((side, side), np.uint8)
    core = cv2.erode(mask.astype(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0).view(bool)
    if np.count_nonzero(core) < 60:
        return none, flat
    ys, xs = _grid(core, _SAMPLE_PX // 3)
    terms = _cubic(*_unit(xs, ys, mask.shape))
    light, a, b = (np.ascontiguousarray(lab[..., channel], np.float32) for channel in range(3))
    # Nine pixels around each of the core lie within the mask: the core is eroded by more than one.
    smooth = cv2.blur(light, (3, 3))
    light_surface, sound = _sound_surface(terms, smooth[ys, xs].astype(np.float64))
    depth = np.where(core, _surface(light_surface, mask.shape) - smooth, np.float32(0))
    if depth.max() <= _MARK_DEPTH:
        return none, depth
    colour = cv2.blur(cv2.magnitude(a, b), (3, 3))
    faded = _surface(_fitted(terms[sound], colour[ys, xs][sound].astype(np.float64)), mask.shape) - colour
    depths = depth[ys, xs]
    noise = 1.4826 * _median(np.abs(depths - _median(depths)))
    found = (depth > max(_MARK_DEPTH, 3.2 * noise)) & ((faded > _MARK_DULLNESS) | (depth > 3 * _MARK_DEPTH))
    # A mark is more than a grain of sensor noise: at least five of nine neighbours.
    crowd = cv2.boxFilter(found.view(np.uint8), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return found & (crowd >= 5), depth


def _median(values: Floats) -> float:
    return float(_medians(values[None, :])[0])


def _described(marked: Mask, depth: Floats, mm: float) -> tuple[Mark, ...]:
    """Return every connected part (eight neighbours) as a mark, largest first, then as read."""
    count, parts, told, _ = cv2.connectedComponentsWithStats(marked.view(np.uint8), connectivity=8)
    found = []
    for part, (left, top, width, height, area_px) in enumerate(told.tolist()[1:count], 1):
        box = (slice(top, top + height), slice(left, left + width))
        dark = _median(depth[box][parts[box] == part])
        across_px = math.hypot(width, height) if min(width, height) * 2 < max(width, height) else max(width, height)
        area_mm2, fills = area_px * mm * mm, area_px / (width * height)
        kind = "mark"
        if dark >= 2.5 * _MARK_DEPTH:
            kind = "scab"
        elif area_mm2 >= _BRUISE_MM2 and fills >= 0.5:
            kind = "bruise"
        elif fills < 0.4:
            kind = "russet"
        mark = Mark(kind, (left, top, width, height), round(area_mm2), round(across_px * mm * 1000))
        found.append((-area_px, top, left, mark))
    return tuple(mark for *_, mark in sorted(found, key=lambda each: each[:3]))


def _sound_surface(terms: Floats, values: Floats) -> tuple[Floats, Mask]:
    """Return a surface through the sound skin, and which values it was fitted to: those not far below it."""
    sound = np.ones(len(values), dtype=bool)
    surface = _fitted(terms, values)
    for _ in range(2):
        above = values - terms @ surface > -_MARK_DEPTH * 0.6
        if np.count_nonzero(above) < 40 or np.array_equal(above, sound):
            break
        sound = above
        surface = _fitted(terms[sound], values[sound])
    return surface, sound


def _fitted(terms: Floats, values: Floats) -> Floats:
    # Normal equations: ten terms in [-1, 1] are well conditioned, and this is thirty times faster than by SVD.
    return np.asarray(np.linalg.solve(terms.T @ terms + _RIDGE, terms.T @ values))


def _grid(mask: Mask, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of about `wanted` pixels of a mask on an even grid; of all where there are few."""
    step = max(1, round(math.sqrt(np.count_nonzero(mask) / wanted)))
    ys, xs = np.nonzero(mask[::step, ::step])
    if len(ys) < 60:
        step, (ys, xs) = 1, np.nonzero(mask)
    return ys * step, xs * step


def _unit(xs: NDArray[np.intp], ys: NDArray[np.intp], shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return places in a box of this shape as numbers from -1 to 1."""
    return 2 * xs / max(1, shape[1] - 1) - 1, 2 * ys / max(1, shape[0] - 1) - 1


def _cubic(x: Floats, y: Floats) -> Floats:
    """Return the ten terms of a cubic surface, one column each: powers of x and y as listed below."""
    xx, yy = x * x, y * y
    return np.stack([np.ones_like(x), x, y, xx, x * y, yy, x * xx, xx * y, x * yy, y * yy], axis=1)


_X_POWERS: Final = (0, 1, 0, 2, 1, 0, 3, 2, 1, 0)
_Y_POWERS: Final = (0, 0, 1, 0, 1, 2, 0, 1, 2, 3)


def _surface(of: Floats, shape: tuple[int, ...]) -> Floats:
    """Return the cubic surface with these factors over a whole box."""
    factors = np.zeros((4, 4))
    factors[_Y_POWERS, _X_POWERS] = of
    return np.asarray((_powers(shape[0]).T @ factors @ _powers(shape[1])).astype(np.float32))


@lru_cache(maxsize=1024)
def _powers(size: int) -> Floats:
    """Return the powers, 0 to 3, of the places along a side of a box: few sides come again and again."""
    along, _ = _unit(np.arange(size), np.arange(1), (1, size))
    return np.vander(along, 4, increasing=True).T.copy()
