"""Fruit as bodies: a shape with its skin, and marks on it whose area in mm2 is known.

A body is an ellipsoid with gentle shape noise: a radius for every direction. Directions are kept as maps of latitude
(rows, from the stem to the blossom end) and longitude (columns), so that whatever is drawn on the skin turns with it.
Sizes, colours and marks are ours, made to look plausible, and no sample of any orchard; densities are those of the
standards' files.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.errors import RenderingError

Map: TypeAlias = NDArray[np.float32]
"""Numbers by latitude and longitude."""

ROWS: Final = 192
"""Latitudes of a skin: on a mango one is half a millimetre."""
_COARSE: Final = 96
"""Latitudes of a shape, which is smoother than its skin."""
MARKS: Final = ("scab", "bruise", "russet", "rot", "cut", "sap-burn")
STEM: Final = 250
CALYX: Final = 251
"""What the skin's labels say where the fruit was held, and where it bloomed: neither is a defect."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How fruit of one kind look. Millimetres; `colours` are blue, green, red of the sound skin, dull to bright."""

    name: str
    diameter_mm: tuple[float, float]
    """Mean and standard deviation of the largest diameter around the stem's axis; two and a half of them at most."""
    length: tuple[float, float]
    """Length from stem to blossom end by diameter."""
    thickness: float
    """The smaller diameter by the larger."""
    density: float
    """Grams per cm3."""
    gloss: float
    lies: bool
    """It rolls about its own length; others roll any way."""


KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind("mango", (78, 6.0), (1.34, 0.06), 0.88, 1.02, 0.16, lies=True),
        Kind("orange", (73, 5.0), (0.95, 0.03), 0.98, 0.94, 0.10, lies=False),
        Kind("apple", (75, 5.0), (0.88, 0.04), 0.98, 0.81, 0.22, lies=False),
        Kind("tomato", (66, 5.5), (0.84, 0.05), 0.97, 0.98, 0.34, lies=False),
        Kind("lemon", (56, 4.0), (1.38, 0.07), 0.97, 0.93, 0.12, lies=True),
    )
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A mark to be put on a skin: its kind (one of `MARKS`), its area, and the direction it lies in, else anywhere."""

    kind: str
    area_mm2: float
    towards: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class SkinMark:
    """A mark on a skin: the area of the surface it covers, and where on the body its middle is (a direction)."""

    kind: str
    area_mm2: float
    towards: tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """One thing with its skin. Axes x and y lie around the stem, z points from blossom end to stem."""

    kind: str
    semi_mm: tuple[float, float, float]
    """Half axes of the ellipsoid that the shape noise starts from."""
    radius: Map
    """Radius by direction, as a factor on the ellipsoid."""
    normal: Map
    skin: Map
    """Blue, green, red and gloss."""
    label: NDArray[np.uint8]
    """Number of the mark from 1, STEM, CALYX, or 0."""
    marks: tuple[SkinMark, ...]
    diameter_mm: float
    """The largest extent around the stem's axis."""
    thickness_mm: float
    """The smallest extent around the stem's axis."""
    length_mm: float
    """The extent along the stem's axis."""
    surface_mm2: float
    volume_mm3: float
    mass_g: float


def fruit(
    kind: str,
    rng: np.random.Generator,
    *,
    marks: Sequence[Wanted] | None = None,
    diameter_mm: float | None = None,
    uneven: float = 1.0,
    rows: int = ROWS,
) -> Body:
    """Return a fruit of a kind, with the marks given, else with such as come; the same numbers give the same fruit.

    `uneven` 0 gives a plain ellipsoid. Raises RenderingError for kinds that are not known.
    """
    if kind not in KINDS:
        raise RenderingError(f"{kind} is no kind of fruit here; there are {', '.join(KINDS)}")
    known = KINDS[kind]
    mean, deviation = known.diameter_mm
    across = float(np.clip(rng.normal(mean, deviation), mean - 2.5 * deviation, mean + 2.5 * deviation))
    across = across if diameter_mm is None else diameter_mm
    ratio = known.length[0] + known.length[1] * float(np.clip(rng.normal(), -2.5, 2.5))
    thick = known.thickness + 0.012 * float(np.clip(rng.normal(), -2, 2))
    semi = (across / 2, across / 2 * min(1.0, thick), across / 2 * ratio)
    shape = 1 + uneven * _SHAPES[kind](rng)
    paint = _Painter(kind, semi, shape, rng, rows)
    _SKINS[kind](paint)
    wanted = _marks_that_come(kind, rng, paint.surface_mm2) if marks is None else marks
    for each in wanted:
        paint.mark(each)
    return paint.finished(known.density, known.gloss)


def thing(
    name: str,
    rng: np.random.Generator,
    *,
    semi_mm: tuple[float, float, float],
    colour: tuple[float, float, float],
    gloss: float = 0.05,
    rough: float = 0.03,
) -> Body:
    """Return something that is no fruit: an uneven ellipsoid of one colour (a stone, a leaf, a finger)."""
    paint = _Painter(name, semi_mm, 1 + rough * _noise(rng, 2, _COARSE), rng, 64)
    paint.fill(colour)
    paint.speckle(0.10, grain=2)
    return paint.finished(2.0, gloss)


# --- shapes --------------------------------------------------------------------------------------
# Each returns what is added to a radius of 1, by direction.


def _mango_shape(rng: np.random.Generator) -> Map:
    z, turn = _directions(_COARSE)[..., 2], _turn(_COARSE)
    egg = rng.uniform(0.02, 0.05)
    beak = rng.uniform(0.02, 0.05) * np.exp(-(((z + 0.55) / 0.22) ** 2)) * np.cos(turn)
    return np.asarray(egg * z + beak + 0.008 * _noise(rng, 1, _COARSE), np.float32)


def _orange_shape(rng: np.random.Generator) -> Map:
    z = _directions(_COARSE)[..., 2]
    return np.asarray(-0.02 * np.exp(-(((1 - z) / 0.03) ** 2)) + 0.007 * _noise(rng, 1, _COARSE), np.float32)


def _apple_shape(rng: np.random.Generator) -> Map:
    z, turn = _directions(_COARSE)[..., 2], _turn(_COARSE)
    # Two hollows, five crowns about the lower one, broader shoulders above.
    hollow = -0.22 * np.exp(-(((1 - z) / 0.055) ** 1.0)) - 0.15 * np.exp(-(((1 + z) / 0.04) ** 1.0))
    crowns = 0.015 * np.cos(5 * turn) * np.clip(-z, 0, 1) ** 2
    return np.asarray(hollow + crowns + 0.045 * z + 0.010 * _noise(rng, 1, _COARSE), np.float32)


def _tomato_shape(rng: np.random.Generator) -> Map:
    z, turn = _directions(_COARSE)[..., 2], _turn(_COARSE)
    hollow = -0.10 * np.exp(-((1 - z) / 0.06))
    ribs = rng.uniform(0.004, 0.02) * np.cos(rng.integers(5, 8) * turn) * np.clip(z, 0, 1)
    return np.asarray(hollow + ribs + 0.010 * _noise(rng, 1, _COARSE), np.float32)


def _lemon_shape(rng: np.random.Generator) -> Map:
    z = _directions(_COARSE)[..., 2]
    nipple = rng.uniform(0.05, 0.11) * np.exp(-((1 + z) / 0.05)) + rng.uniform(0.0, 0.04) * np.exp(-((1 - z) / 0.05))
    waist = -0.05 * np.exp(-(((np.abs(z) - 0.82) / 0.13) ** 2))
    return np.asarray(nipple + waist + 0.010 * _noise(rng, 1, _COARSE), np.float32)


_SHAPES: Final[dict[str, Callable[[np.random.Generator], Map]]] = {
    "mango": _mango_shape,
    "orange": _orange_shape,
    "apple": _apple_shape,
    "tomato": _tomato_shape,
    "lemon": _lemon_shape,
}


# --- the painter ---------------------------------------------------------------------------------


class _Painter:
    """A body while its skin is being drawn."""

    def __init__(
        self, kind: str, semi: tuple[float, float, float], radius: Map, rng: np.random.Generator, rows: int
    ) -> None:
        self.kind, self.semi, self.rng, self.rows = kind, semi, rng, rows
        coarse = _directions(_COARSE) * np.asarray(semi, np.float32) * radius[..., None]
        self.radius, self.coarse = radius.astype(np.float32), coarse
        self.normal, share = _normals(coarse)
        self.points = _finer(coarse, rows)
        # An area is divided among finer cells as they divide the coarse one.
        self.area = np.maximum(_finer(share, rows), 0) * np.float32((_COARSE / rows) ** 2)
        self.area *= np.float32(share.sum() / self.area.sum())
        self.surface_mm2 = float(share.sum())
        self.z = _directions(rows)[..., 2]
        self.skin = np.zeros((3, rows, 2 * rows), np.float32)
        self.gloss = np.ones((rows, 2 * rows), np.float32)
        self.label = np.zeros((rows, 2 * rows), np.uint8)
        self.marks: list[SkinMark] = []

    def noise(self, grain: int) -> Map:
        return _noise(self.rng, grain, self.rows)

    def fill(self, colour: Sequence[float]) -> None:
        self.skin[:] = np.asarray(colour, np.float32)[:, None, None]

    def mix(self, colour: Sequence[float], weight: Map) -> None:
        for channel, value in enumerate(colour):
            self.skin[channel] += (np.float32(value) - self.skin[channel]) * weight

    def shade(self, factor: Map) -> None:
        self.skin *= factor

    def speckle(self, depth: float, *, grain: int) -> None:
        self.shade(1 + np.float32(depth) * self.noise(grain))

    def pores(self, count: int, colour: Sequence[float], *, mm: float) -> None:
        """Scatter small round points: lenticels, oil glands."""
        layer = np.zeros(self.label.shape, np.float32)
        z, turn = self.rng.uniform(-0.97, 0.97, count), self.rng.uniform(0, 2 * self.rows, count)
        rows = np.arccos(z) / math.pi * self.rows
        texel = math.pi * self.semi[2] / self.rows
        for row, column, size, depth in zip(
            rows, turn, self.rng.uniform(0.6, 1.3, count), self.rng.uniform(0.3, 1.0, count), strict=True
        ):
            high = size * mm / texel / 2
            wide = high / max(0.25, math.sin(math.pi * row / self.rows)) * self.semi[2] / self.semi[0]
            centre, axes = (round(column * 16), round(row * 16)), (max(9, round(wide * 16)), max(9, round(high * 16)))
            cv2.ellipse(layer, centre, axes, 0, 0, 360, float(depth), -1, cv2.LINE_AA, 4)
        self.mix(colour, np.asarray(cv2.GaussianBlur(layer, (0, 0), 0.6), np.float32))

    def stem(self, *, scar_mm: float, colour: Sequence[float], dimple_mm: float = 0.0) -> None:
        """Draw where the fruit was held."""
        self._end(1.0, scar_mm, colour, dimple_mm, STEM)

    def calyx(self, *, scar_mm: float, colour: Sequence[float], dimple_mm: float = 0.0) -> None:
        """Draw where the blossom was."""
        self._end(-1.0, scar_mm, colour, dimple_mm, CALYX)

    def _end(self, side: float, scar_mm: float, colour: Sequence[float], dimple_mm: float, label: int) -> None:
        distance = np.hypot(self.points[..., 0], self.points[..., 1])
        distance = np.where(self.z * side > 0, distance, 1e3)
        ragged = scar_mm * (1 + 0.18 * self.noise(2))
        if dimple_mm:
            self.shade(np.asarray(1 - 0.25 * np.exp(-((distance / dimple_mm) ** 2)), np.float32))
        weight = np.clip((ragged - distance) / 0.9 + 0.5, 0, 1)
        self.mix(colour, np.asarray(weight, np.float32))
        self.gloss *= 1 - 0.8 * weight
        self.label[weight > 0.5] = label

    def sepals(self, *, reach_mm: float, colour: Sequence[float]) -> None:
        """Draw the green star that stays on a tomato."""
        distance, turn = np.hypot(self.points[..., 0], self.points[..., 1]), _turn(self.rows)
        leaf = reach_mm * np.clip(1.15 * np.abs(np.cos(2.5 * turn + self.rng.uniform(0, 6))) ** 1.6, 0.14, 1)
        weight = np.clip((leaf - distance) / 0.9 + 0.5, 0, 1) * (self.z > 0)
        self.mix(colour, np.asarray(weight, np.float32))
        self.gloss *= 1 - 0.8 * weight
        self.label[weight > 0.5] = STEM

    def mark(self, wanted: Wanted) -> None:
        """Draw a mark that covers the wanted area of what is bare of ends and other marks."""
        if wanted.kind not in MARKS:
            raise RenderingError(f"{wanted.kind} is no kind of mark here; there are {', '.join(MARKS)}")
        towards = _unit(np.asarray(wanted.towards, float)) if wanted.towards else self._anywhere(wanted.kind)
        at = towards * np.asarray(self.semi)
        first, second = _tangents(towards, self.rng.uniform(0, math.pi))
        offset = self.points - np.asarray(at, np.float32)
        u, v = offset @ first.astype(np.float32), offset @ second.astype(np.float32)
        height = offset @ towards.astype(np.float32)
        size = math.sqrt(wanted.area_mm2 / math.pi)
        order = _FORMS[wanted.kind](self, u, v, height, size)
        free = (self.label == 0) & (_directions(self.rows) @ towards.astype(np.float32) > 0.2)
        cells = np.flatnonzero(free)
        if not len(cells):
            raise RenderingError("no skin is left for a mark")
        ranked = cells[np.argsort(order.ravel()[cells], kind="stable")]
        covered = np.cumsum(self.area.ravel()[ranked])
        count = int(np.searchsorted(covered, wanted.area_mm2)) + 1
        if count > len(ranked):
            raise RenderingError(f"a mark of {wanted.area_mm2:.0f} mm2 does not fit on this side of the fruit")
        # The cell at the edge is in or out, whichever is nearer to what was wanted.
        if count > 1 and covered[count - 1] - wanted.area_mm2 > wanted.area_mm2 - covered[count - 2]:
            count -= 1
        edge = float(order.ravel()[ranked[count - 1]])
        self.marks.append(
            SkinMark(wanted.kind, float(covered[count - 1]), (float(towards[0]), float(towards[1]), float(towards[2])))
        )
        inside = np.zeros(self.label.size, bool)
        inside[ranked[:count]] = True
        covers = inside.reshape(self.label.shape)
        self.label[covers] = len(self.marks)
        soft = np.asarray(np.clip((edge - order) / _SOFT_MM[wanted.kind] + 0.5, 0, 1) * (covers | free), np.float32)
        _COLOURS[wanted.kind](self, soft, np.asarray(np.clip(1 + (order - edge) / max(size, 0.5), 0, 1), np.float32))

    def _anywhere(self, kind: str) -> NDArray[np.float64]:
        high = self.rng.uniform(0.35, 0.75) if kind == "sap-burn" else self.rng.uniform(-0.85, 0.85)
        turn = self.rng.uniform(0, 2 * math.pi)
        return _unit(np.array([math.cos(turn) * math.sqrt(1 - high**2), math.sin(turn) * math.sqrt(1 - high**2), high]))

    def finished(self, density: float, gloss: float) -> Body:
        points = self.coarse[::2, ::2].reshape(-1, 3)
        turns = np.arange(60) * (math.pi / 60)
        around = np.stack([np.cos(turns), np.sin(turns)]).astype(np.float32)
        widths = np.ptp(points[:, :2] @ around, axis=0)
        volume = float((self.radius**3 * _solid_angle(_COARSE)).sum()) / 3 * self.semi[0] * self.semi[1] * self.semi[2]
        planes = [*np.clip(self.skin, 0.01, 1), self.gloss * np.float32(gloss)]
        skin = np.asarray(cv2.merge(planes), np.float32)
        return Body(
            kind=self.kind,
            semi_mm=self.semi,
            radius=self.radius,
            normal=self.normal,
            skin=skin,
            label=self.label,
            marks=tuple(self.marks),
            diameter_mm=float(widths.max()),
            thickness_mm=float(widths.min()),
            length_mm=float(np.ptp(points[:, 2])),
            surface_mm2=self.surface_mm2,
            volume_mm3=volume,
            mass_g=volume * density / 1000,
        )


# --- skins ---------------------------------------------------------------------------------------


def _mango_skin(paint: _Painter) -> None:
    rng, z = paint.rng, paint.z
    drift = paint.noise(1)
    ripe, blush = float(np.clip(rng.normal(0.7, 0.2), 0.1, 1)), float(np.clip(rng.normal(0.5, 0.3), 0, 1))
    paint.fill((0.085, 0.585, 0.985))
    paint.mix((0.045, 0.420, 0.950), 0.45 * _smooth(-z + 0.18 * drift, -0.2, 0.9) * ripe)
    paint.mix((0.150, 0.560, 0.560), (1 - ripe) * (0.35 + 0.65 * _smooth(z + 0.22 * drift, -0.35, 0.75)))
    side = 0.6 * z + 0.75 * np.cos(_turn(paint.rows) + rng.uniform(0, 6)) * np.sqrt(1 - z * z) + 0.2 * drift
    paint.mix((0.130, 0.165, 0.800), 0.88 * blush * _smooth(side, 0.05, 0.95))
    paint.speckle(0.03, grain=2)
    paint.speckle(0.014, grain=4)
    paint.pores(int(rng.integers(220, 420)), (0.30, 0.78, 0.95), mm=0.9)
    paint.stem(scar_mm=3.2, colour=(0.09, 0.17, 0.24), dimple_mm=11)


def _orange_skin(paint: _Painter) -> None:
    rng, z = paint.rng, paint.z
    drift, ripe = paint.noise(1), float(np.clip(rng.normal(0.85, 0.15), 0.3, 1))
    paint.fill((0.03, 0.42, 0.98))
    paint.mix((0.03, 0.33, 0.95), 0.5 * _smooth(drift, -1.5, 1.5))
    paint.mix((0.12, 0.52, 0.55), (1 - ripe) * _smooth(z + 0.3 * drift, -0.4, 0.9))
    paint.speckle(0.045, grain=4)
    paint.pores(int(rng.integers(500, 800)), (0.02, 0.30, 0.80), mm=0.8)
    paint.stem(scar_mm=2.6, colour=(0.16, 0.36, 0.34), dimple_mm=7)
    paint.calyx(scar_mm=float(rng.choice([1.2, 3.8], p=[0.7, 0.3])), colour=(0.06, 0.28, 0.55), dimple_mm=4)


def _apple_skin(paint: _Painter) -> None:
    rng, z = paint.rng, paint.z
    drift, red = paint.noise(1), float(np.clip(rng.normal(0.65, 0.25), 0, 1))
    paint.fill((0.16, 0.72, 0.86))
    paint.mix((0.22, 0.70, 0.66), 0.8 * _smooth(-drift, -1.0, 1.4))
    streak = cv2.GaussianBlur(paint.noise(4), (0, 0), sigmaX=1.6, sigmaY=14, borderType=cv2.BORDER_REFLECT)
    streaks = np.asarray(streak / (streak.std() + 1e-6), np.float32)
    side = 0.8 * np.cos(_turn(paint.rows) + rng.uniform(0, 6)) * np.sqrt(1 - z * z) + 0.3 * z + 0.3 * drift
    cover = _smooth(side + 0.28 * streaks, 0.9 - 2.1 * red, 1.5 - 1.7 * red)
    paint.mix((0.10, 0.09, 0.62), 0.93 * cover)
    paint.speckle(0.025, grain=3)
    paint.pores(int(rng.integers(130, 300)), (0.40, 0.70, 0.86), mm=0.8)
    paint.mix((0.14, 0.36, 0.48), 0.55 * _smooth(z + 0.035 * paint.noise(3), 0.90, 0.99))
    paint.stem(scar_mm=2.0, colour=(0.06, 0.11, 0.17), dimple_mm=9)
    paint.calyx(scar_mm=4.0, colour=(0.08, 0.15, 0.20), dimple_mm=8)


def _tomato_skin(paint: _Painter) -> None:
    rng, z = paint.rng, paint.z
    drift, ripe = paint.noise(1), float(np.clip(rng.normal(0.8, 0.25), 0, 1))
    paint.fill((0.045, 0.075, 0.84))
    paint.mix((0.07, 0.36, 0.90), (1 - ripe) * _smooth(0.5 * z + 0.35 * drift, -0.9, 0.5))
    paint.mix((0.20, 0.52, 0.50), max(0.0, 0.9 - 1.2 * ripe) * _smooth(z + 0.3 * drift, -0.2, 0.9))
    paint.speckle(0.015, grain=2)
    paint.calyx(scar_mm=1.2, colour=(0.08, 0.22, 0.42))
    if rng.random() < 0.5:
        paint.sepals(reach_mm=float(rng.uniform(14, 22)), colour=(0.09, 0.34, 0.16))
    paint.stem(scar_mm=3.0, colour=(0.12, 0.34, 0.24), dimple_mm=8)


def _lemon_skin(paint: _Painter) -> None:
    rng, z = paint.rng, paint.z
    drift, ripe = paint.noise(1), float(np.clip(rng.normal(0.85, 0.18), 0.2, 1))
    paint.fill((0.08, 0.80, 0.97))
    paint.mix((0.05, 0.68, 0.95), 0.5 * _smooth(drift, -1.4, 1.4))
    paint.mix((0.16, 0.60, 0.52), (1 - ripe) * _smooth(0.7 * np.abs(z) + 0.35 * drift, -0.2, 0.9))
    paint.speckle(0.04, grain=4)
    paint.pores(int(rng.integers(350, 600)), (0.05, 0.60, 0.82), mm=0.8)
    paint.stem(scar_mm=2.6, colour=(0.14, 0.34, 0.32), dimple_mm=6)
    paint.calyx(scar_mm=1.4, colour=(0.10, 0.34, 0.44), dimple_mm=4)


_SKINS: Final[dict[str, Callable[[_Painter], None]]] = {
    "mango": _mango_skin,
    "orange": _orange_skin,
    "apple": _apple_skin,
    "tomato": _tomato_skin,
    "lemon": _lemon_skin,
}


# --- marks ---------------------------------------------------------------------------------------
# A form orders the skin's cells by how far in millimetres they are from belonging to the mark; a mark takes them in
# this order until its area is filled.


def _scab_form(paint: _Painter, u: Map, v: Map, height: Map, size: float) -> Map:
    return np.asarray(np.sqrt(u * u + v * v + height * height) + 0.22 * size * paint.noise(3), np.float32)


def _bruise_form(paint: _Painter, u: Map, v: Map, height: Map, size: float) -> Map:
    return np.asarray(np.sqrt(u * u + 1.5 * v * v + height * height) + 0.06 * size * paint.noise(2), np.float32)


def _russet_form(paint: _Painter, u: Map, v: Map, height: Map, size: float) -> Map:
    return np.asarray(np.sqrt(u * u + 2.2 * v * v + height * height) + 1.1 * size * np.abs(paint.noise(3)), np.float32)


def _rot_form(paint: _Painter, u: Map, v: Map, height: Map, size: float) -> Map:
    return np.asarray(np.sqrt(u * u + v * v + height * height) + 0.10 * size * paint.noise(2), np.float32)


def _cut_form(paint: _Painter, u: Map, v: Map, height: Map, size: float) -> Map:
    del height
    bent = v - 0.10 * size * np.sin(u / max(size, 1.0))
    return np.asarray(np.maximum(np.abs(u) / 7, np.abs(bent)) + 0.02 * size * paint.noise(4), np.float32)


def _sap_form(paint: _Painter, u: Map, v: Map, height: Map, size: float) -> Map:
    """Sap runs down from the stem in branches."""
    del u, v
    turn = _turn(paint.rows) + 0.05 * paint.noise(2)
    middle = float(turn.ravel()[int(height.argmax())])
    aside = np.abs((turn - middle + math.pi) % (2 * math.pi) - math.pi) * paint.semi[0] * np.sqrt(1 - paint.z**2)
    down = np.abs(height - float(height.max()))
    return np.asarray(aside + 0.12 * down + 0.20 * size * paint.noise(3), np.float32)


_FORMS: Final = {
    "scab": _scab_form,
    "bruise": _bruise_form,
    "russet": _russet_form,
    "rot": _rot_form,
    "cut": _cut_form,
    "sap-burn": _sap_form,
}
_SOFT_MM: Final = {"scab": 0.8, "bruise": 4.0, "russet": 1.2, "rot": 1.6, "cut": 0.5, "sap-burn": 1.0}
"""Over how many millimetres a mark passes into sound skin."""


def _scab_colour(paint: _Painter, weight: Map, depth: Map) -> None:
    del depth
    paint.mix((0.075, 0.13, 0.21), 0.9 * weight)
    paint.shade(1 + np.float32(0.22) * weight * paint.noise(4))
    paint.gloss *= 1 - 0.9 * weight


def _bruise_colour(paint: _Painter, weight: Map, depth: Map) -> None:
    del depth
    for channel, loss in enumerate((0.30, 0.46, 0.40)):
        paint.skin[channel] *= 1 - np.float32(loss) * weight
    paint.mix((0.12, 0.22, 0.33), 0.30 * weight)


def _russet_colour(paint: _Painter, weight: Map, depth: Map) -> None:
    del depth
    paint.mix((0.16, 0.34, 0.48), 0.75 * weight)
    paint.gloss *= 1 - 0.8 * weight


def _rot_colour(paint: _Painter, weight: Map, depth: Map) -> None:
    paint.mix((0.07, 0.17, 0.32), 0.92 * weight)
    # Sunken and wet in the middle, sometimes mouldy.
    paint.shade(1 - np.float32(0.35) * weight * (1 - depth))
    if paint.rng.random() < 0.35:
        paint.mix(
            (0.62, 0.66, 0.66),
            np.asarray(0.8 * weight * _smooth(0.45 - depth + 0.1 * paint.noise(3), 0, 0.3), np.float32),
        )


def _cut_colour(paint: _Painter, weight: Map, depth: Map) -> None:
    paint.mix((0.06, 0.11, 0.20), 0.85 * weight)
    paint.mix((0.22, 0.45, 0.60), np.asarray(0.6 * weight * _smooth(depth, 0.6, 0.95), np.float32))


def _sap_colour(paint: _Painter, weight: Map, depth: Map) -> None:
    del depth
    paint.mix((0.06, 0.10, 0.16), 0.8 * weight)
    paint.gloss *= 1 + 0.6 * weight


_COLOURS: Final = {
    "scab": _scab_colour,
    "bruise": _bruise_colour,
    "russet": _russet_colour,
    "rot": _rot_colour,
    "cut": _cut_colour,
    "sap-burn": _sap_colour,
}


def _marks_that_come(kind: str, rng: np.random.Generator, surface_mm2: float) -> list[Wanted]:
    """Most fruit have none or a few small ones, some have many or a large one."""
    lot = rng.choice(4, p=[0.45, 0.33, 0.15, 0.07])
    names = [name for name in MARKS if name != "sap-burn" or kind == "mango"]
    wanted = []
    for _ in range(int(rng.integers(*((0, 1), (1, 4), (2, 6), (3, 8))[lot]))):
        name = str(rng.choice(names))
        low, high = _SIZES_MM2[name]
        area = math.exp(rng.uniform(math.log(low), math.log(high))) * (1.0, 0.5, 0.9, 1.3)[lot]
        wanted.append(Wanted(name, min(area, 0.06 * surface_mm2)))
    return wanted


_SIZES_MM2: Final = {
    "scab": (6, 130),
    "bruise": (90, 700),
    "russet": (60, 600),
    "rot": (80, 900),
    "cut": (15, 90),
    "sap-burn": (40, 350),
}


# --- the sphere ----------------------------------------------------------------------------------


@cache
def _directions(rows: int) -> Map:
    """Return the direction in the middle of every cell."""
    latitude = (np.arange(rows) + 0.5) * (math.pi / rows)
    longitude = (np.arange(2 * rows) + 0.5) * (math.pi / rows)
    sine = np.sin(latitude)[:, None]
    z = np.broadcast_to(np.cos(latitude)[:, None], (rows, 2 * rows))
    return np.stack([sine * np.cos(longitude), sine * np.sin(longitude), z], axis=-1).astype(np.float32)


@cache
def _turn(rows: int) -> Map:
    return np.broadcast_to(((np.arange(2 * rows) + 0.5) * (math.pi / rows)).astype(np.float32), (rows, 2 * rows))


@cache
def _solid_angle(rows: int) -> Map:
    edges = np.cos(np.arange(rows + 1) * (math.pi / rows))
    return np.broadcast_to(((edges[:-1] - edges[1:]) * (math.pi / rows)).astype(np.float32)[:, None], (rows, 2 * rows))


@cache
def _noises(grain: int, rows: int) -> tuple[Map, ...]:
    """Return a few fields of mean 0 and deviation 1 without a seam: random waves through space, cut by the sphere."""
    frequency = (1.6, 4.0, 10.0, 24.0, 48.0)[grain]
    rng = np.random.default_rng([grain, rows, 5])
    flat = _directions(rows).reshape(-1, 3)
    fields = []
    for _ in range(3):
        field = np.zeros(len(flat), np.float32)
        for _ in range(20 + 6 * grain):
            wave = _unit(rng.standard_normal(3)) * frequency * rng.uniform(0.55, 1.3)
            field += np.cos(flat @ wave.astype(np.float32) + np.float32(rng.uniform(0, 2 * math.pi)))
        fields.append(((field - field.mean()) / field.std()).reshape(rows, 2 * rows))
    return tuple(fields)


def _noise(rng: np.random.Generator, grain: int, rows: int) -> Map:
    """Return smooth noise on the sphere; `grain` 0 (half the fruit) to 4 (a pore)."""
    fields = _noises(grain, rows)
    field = np.roll(fields[int(rng.integers(len(fields)))], int(rng.integers(2 * rows)), axis=1)
    return field[:: int(rng.choice([-1, 1]))] * np.float32(rng.choice([-1, 1]))


def _normals(points: Map) -> tuple[Map, Map]:
    """Return the unit normal of every cell, and the area it covers."""
    wrapped = np.concatenate([points[:, -1:], points, points[:, :1]], axis=1)
    along = (wrapped[:, 2:] - wrapped[:, :-2]) / 2
    half = points.shape[1] // 2
    # Over a pole, the next latitude is the same one half a turn on.
    over = np.concatenate([np.roll(points[:1], half, axis=1), points, np.roll(points[-1:], half, axis=1)], axis=0)
    down = (over[2:] - over[:-2]) / 2
    cross = np.cross(down, along)
    size = np.linalg.norm(cross, axis=-1, keepdims=True)
    return np.asarray(cross / np.maximum(size, 1e-9), np.float32), np.asarray(size[..., 0], np.float32)


def _finer(values: Map, rows: int) -> Map:
    if rows == len(values):
        return values.copy()
    padded = np.concatenate([values[:, -4:], values, values[:, :4]], axis=1)
    scale = rows / len(values)
    larger = cv2.resize(padded, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    edge = round(4 * scale)
    return np.ascontiguousarray(np.asarray(larger, np.float32)[:, edge : edge + 2 * rows])


def _smooth(values: Map, low: float, high: float) -> Map:
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector))


def _tangents(normal: NDArray[np.float64], turn: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    other = np.array([0.0, 0.0, 1.0]) if abs(normal[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    first = _unit(np.cross(normal, other))
    second = np.cross(normal, first)
    return math.cos(turn) * first + math.sin(turn) * second, math.cos(turn) * second - math.sin(turn) * first
