"""Pixels become numbers here: a mask, its colours and a scale give sizes, colour, marks and an estimated mass.

Pure numpy. Floats live inside; what comes out is whole numbers with their units in the names, so that
the same picture always gives the same verdict.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

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
_SAMPLE_PX = 2500
"""A fruit's colour is that of about so many of its pixels, taken evenly; surfaces are fitted to a sixth of that."""
_UPRIGHT: Final = ((1.0, 0.0), (0.0, 1.0))

_NORMAL_90: Final = 1.645
"""How many standard deviations on either side hold nine values in ten."""
_UNCORRECTED_LOW: Final = 0.715
"""Share of the mass that is left when a camera only five fruit widths above the belt was not corrected for."""
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
class Error:
    """One standard deviation of what lengths come from: of the scale in thousandths, of the outline in pixels."""

    scale_permille: int = 8
    outline_px: float = 1.0


@dataclass(frozen=True, slots=True)
class Measures:
    """What the camera measured on one fruit. Mass and volume are estimated, the rest is seen.

    `height_corrected_permille` is the factor by which lengths were shrunk for the fruit standing above
    the marker's plane; 1000 says that the camera's height is unknown and nothing was corrected.
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
    bands: Sequence[Band] = (),
    error: Error = Error(),
    axis_cosine: float = 1.0,
    is_round_kind: bool = False,
    straightened: Sequence[Sequence[float]] = _UPRIGHT,
    edition: int = EDITION,
) -> Measures:
    """Return the measures of the fruit in `mask`; `lab` holds CIE L*a*b* of the same box.

    `axis_cosine` is the cosine of the angle between the camera's axis and the way to the fruit: 1 straight below.
    `is_round_kind` says that the fruit looks like one of a round kind, whatever crop it is graded as.
    `straightened` is a 2 x 2 matrix: what way in the picture as it would be from straight above belongs to one here.
    Until the second edition a round fruit's diameter was that of the circle with its outline's area.
    """
    length_px, width_px = feret_px(mask, straightened)
    (xx, xy), (yx, yy) = straightened
    stretch = abs(xx * yy - xy * yx)
    pixels = int(np.count_nonzero(mask))
    area_px = pixels * stretch
    shrink = 1.0
    if camera_height_mm is not None:
        apparent = width_px * mm_per_px
        shrink = belt_to_fruit(apparent, camera_height_mm, axis_cosine=axis_cosine) / apparent
    mm = mm_per_px * shrink
    length_mm, width_mm, circle_mm = length_px * mm, width_px * mm, 2 * math.sqrt(area_px / math.pi) * mm
    form: Form = "round" if edition >= 3 and is_round_kind and length_px < _LONG * width_px else solid.form
    marked, depth = _marks(lab, mask)
    marks_px = int(np.count_nonzero(marked))
    mark_mm = mm * math.sqrt(stretch)
    volume_mm3 = math.pi / 6 * length_mm * width_mm * (width_mm * solid.thickness_permille / 1000)
    mass_g = volume_mm3 * solid.density_g_per_l / 1e6
    spread = _mass_spread(length_px, width_px, solid, error)
    skin = _sampled(lab, mask)
    colour = np.median(skin, axis=1)
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
            1000 * (circle_mm if edition < 3 and solid.form == "round" else _equatorial_mm(length_mm, width_mm, form))
        ),
        roundness_permille=min(1000, round(4000 * area_px / (math.pi * length_px**2))),
        mass_low_g=round(mass_g / spread * (_UNCORRECTED_LOW if camera_height_mm is None else 1.0)),
        mass_high_g=round(mass_g * spread),
        bands=_shares(skin, bands),
        marks=tuple(_described(part, depth, mark_mm) for part in _parts(marked)),
    )


def _mass_spread(length_px: float, width_px: float, solid: Solid, error: Error) -> float:
    """Return the factor up and down that holds the mass nine times in ten: scale, outline and form together."""
    scale = 3 * error.scale_permille / 1000
    outline = math.hypot(error.outline_px / length_px, 2 * error.outline_px / width_px)
    return math.exp(_NORMAL_90 * math.hypot(scale, outline, solid.shape_permille / 1000))


def _sampled(lab: Floats, mask: Mask) -> Floats:
    """Return L, a and b of pixels of the mask on an even grid, one row each; of all where the mask is small."""
    step = max(1, round(math.sqrt(np.count_nonzero(mask) / _SAMPLE_PX)))
    on_grid = mask[::step, ::step]
    if not on_grid.any():
        step, on_grid = 1, mask
    return np.stack([lab[::step, ::step, channel][on_grid] for channel in range(3)])


def _shares(skin: Floats, bands: Sequence[Band]) -> tuple[tuple[str, int], ...]:
    """Return every band's name and share in thousandths, by name."""
    if not bands:
        return ()
    light, a, b = skin
    chroma, hue = np.sqrt(a * a + b * b), np.degrees(np.arctan2(b, a))
    shares = []
    for band in bands:
        past = hue - band.hue_from
        # The angle above the band's beginning, 0 to 360; written so because remainders are slow.
        within = past - 360 * np.floor(past / 360) < band.hue_to - band.hue_from
        within &= (chroma >= band.least_chroma) & (chroma < band.most_chroma)
        within &= (light >= band.least_light) & (light < band.most_light)
        shares.append((band.name, round(1000 * int(within.sum()) / len(within))))
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


def feret_px(mask: Mask, straightened: Sequence[Sequence[float]] = _UPRIGHT) -> tuple[float, float]:
    """Return the longest and the shortest caliper width of a mask, in pixels."""
    # The farthest points in any direction are first or last in their row.
    rows = np.flatnonzero(mask.any(axis=1))
    first, last = mask[rows].argmax(axis=1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    points = np.array([np.concatenate([first, last]), np.concatenate([rows, rows])], np.float64)
    along = _EVERY_WAY @ (np.asarray(straightened, np.float64) @ points)
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
    rim = max(2, round(min(mask.shape) * _RIM_PERMILLE / 1000))
    core = _eroded(mask, rim)
    if np.count_nonzero(core) < 60:
        return none, flat
    ys, xs = _grid(core, _SAMPLE_PX // 6)
    terms = _cubic(*_unit(xs, ys, mask.shape))
    # Nine pixels around each of the core lie within the mask: the core is eroded by more than one.
    light = _box_sum(np.asarray(lab[..., 0], np.float32)) / 9
    light_surface, sound = _sound_surface(terms, light[ys, xs])
    depth = _surface(light_surface, mask.shape) - light
    depth[~core] = 0
    if depth.max() <= _MARK_DEPTH:
        return none, depth
    a, b = (np.asarray(lab[..., channel], np.float32) for channel in (1, 2))
    colour = _box_sum(np.sqrt(a * a + b * b)) / 9
    faded = _surface(_fitted(terms[sound], colour[ys, xs][sound]), mask.shape) - colour
    depths = depth[ys, xs]
    noise = 1.4826 * float(np.median(np.abs(depths - np.median(depths))))
    found = core & (depth > max(_MARK_DEPTH, 3.2 * noise)) & ((faded > _MARK_DULLNESS) | (depth > 3 * _MARK_DEPTH))
    # A mark is more than a grain of sensor noise: at least five of nine neighbours.
    return np.asarray(found & (_box_sum(found.astype(np.uint8)) >= 5), dtype=bool), depth


_Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]


def _parts(found: Mask) -> list[_Pixels]:
    """Return the rows and columns of every connected part (eight neighbours), largest first, then as read."""
    # One run of pixels after the other, in a row that has a gap at the end of every line.
    ends = np.flatnonzero(np.diff(_padded(found, 0, 1)[:, 1:].ravel(), prepend=False)).reshape(-1, 2)
    line = found.shape[1] + 1
    runs = [(a // line, a % line, b - a // line * line) for a, b in ends.tolist()]
    parent = list(range(len(runs)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    above: list[int] = []
    here: list[int] = []
    for index, (y, a, b) in enumerate(runs):
        if here and runs[here[0]][0] != y:
            above, here = (here if runs[here[0]][0] == y - 1 else []), []
        for other in above:
            if runs[other][1] <= b and runs[other][2] >= a:
                parent[root(index)] = root(other)
        here.append(index)
    # Pixels are read off in the same order as runs were.
    ys, xs = np.nonzero(found)
    part_of = np.repeat([root(index) for index in range(len(runs))], [b - a for _, a, b in runs])
    parts = [(ys[part_of == each], xs[part_of == each]) for each in dict.fromkeys(part_of.tolist())]
    return sorted(parts, key=lambda part: (-len(part[0]), part[0][0], part[1].min()))


def _described(part: _Pixels, depth: Floats, mm: float) -> Mark:
    ys, xs = part
    left, top = int(xs.min()), int(ys.min())
    width, height = int(xs.max()) - left + 1, int(ys.max()) - top + 1
    across_px = math.hypot(width, height) if min(width, height) * 2 < max(width, height) else max(width, height)
    dark, area_mm2 = float(np.median(depth[ys, xs])), len(ys) * mm * mm
    fills = len(ys) / (width * height)
    kind = "mark"
    if dark >= 2.5 * _MARK_DEPTH:
        kind = "scab"
    elif area_mm2 >= _BRUISE_MM2 and fills >= 0.5:
        kind = "bruise"
    elif fills < 0.4:
        kind = "russet"
    return Mark(kind, (left, top, width, height), round(area_mm2), round(across_px * mm * 1000))


def _sound_surface(terms: Floats, values: Floats) -> tuple[Floats, Mask]:
    """Return a surface through the sound skin, and which values it was fitted to: those not far below it."""
    sound = np.ones(len(values), dtype=bool)
    surface = _fitted(terms, values)
    for _ in range(2):
        above = values - terms @ surface > -_MARK_DEPTH * 0.6
        if above.sum() < 40:
            break
        sound = above
        surface = _fitted(terms[sound], values[sound])
    return surface, sound


def _fitted(terms: Floats, values: Floats) -> Floats:
    # Normal equations: ten terms in [-1, 1] are well conditioned, and this is thirty times faster than by SVD.
    return np.asarray(np.linalg.solve(terms.T @ terms + 1e-6 * np.eye(terms.shape[1]), terms.T @ values))


def _grid(mask: Mask, wanted: int) -> _Pixels:
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
    xx, yy = x * x, y * y
    return np.stack([np.ones_like(x), x, y, xx, x * y, yy, x * xx, xx * y, x * yy, y * yy], axis=1)


def _surface(of: Floats, shape: tuple[int, ...]) -> Floats:
    """Return the cubic surface with these factors over a whole box."""
    x, y = _unit(np.arange(shape[1]), np.arange(shape[0]), shape)
    yy = y * y
    # By powers of x, whose factors are columns of y.
    columns = (of[0] + of[2] * y + of[5] * yy + of[9] * y * yy, of[1] + of[4] * y + of[8] * yy, of[3] + of[7] * y)
    across = x.astype(np.float32)
    surface = np.full(shape, of[6], np.float32)
    for column in reversed(columns):
        surface *= across
        surface += column.astype(np.float32)[:, None]
    return surface


def _eroded(mask: Mask, radius: int) -> Mask:
    """Return the pixels around which a square of side 2 radius + 1 lies in the mask."""
    return np.ascontiguousarray(_shrunk(_shrunk(mask, radius).T, radius).T)


def _shrunk(mask: Mask, radius: int) -> Mask:
    """Return where the column of `radius` pixels above and below is all in the mask: by doubling what is known."""
    known, side = _padded(mask, radius, 0), 2 * radius + 1
    length = 1
    while length < side:
        step = min(length, side - length)
        known = known[:-step] & known[step:]
        length += step
    return known


def _box_sum(values: NDArray[Any]) -> NDArray[Any]:
    """Return the sum of the nine values around every element; outside counts nothing."""
    padded = _padded(values, 1, 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray(rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:])


def _padded(values: NDArray[Any], y: int, x: int) -> NDArray[Any]:
    """Return values with so many zeros around them."""
    h, w = values.shape
    padded = np.zeros((h + 2 * y, w + 2 * x), values.dtype)
    padded[y : y + h, x : x + w] = values
    return padded
