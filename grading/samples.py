"""Sample photographs: mango-like fruit on a grey belt with a printed marker, drawn from a seed.

They are for trying out, tests and screenshots, and each carries the word SAMPLE. What was drawn is
known exactly, so tests can hold the camera against it. The same seed gives the same picture.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.camera import Pixels, to_jpeg
from grading.errors import StandardError

Field: TypeAlias = NDArray[Any]
"""A float picture; float32, or float64 where numpy prefers it."""

MARKER_MM = 60
MM_PER_PX = 0.38
WIDTH_PX, HEIGHT_PX = 1600, 1000

_STRIP_PX = 262
_LIGHT = np.array([-0.36, -0.46, 0.81]) / math.sqrt(0.36**2 + 0.46**2 + 0.81**2)
_HALF = (_LIGHT + np.array([0, 0, 1])) / np.linalg.norm(_LIGHT + np.array([0, 0, 1]))


@dataclass(frozen=True, slots=True)
class SampleFruit:
    """What was drawn: axes in millimetres, brown marks in square millimetres, centre in pixels."""

    length_mm: float
    width_mm: float
    marks_mm2: float
    x: int
    y: int

    @property
    def mass_g(self) -> int:
        """What such a fruit weighs: an ellipsoid 0.88 as thick as wide, 1.02 g/cm3."""
        return round(math.pi / 6 * self.length_mm * self.width_mm * self.width_mm * 0.88 * 1.02e-3)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One drawn photograph with its truth."""

    pixels: Pixels
    fruit: tuple[SampleFruit, ...]

    @property
    def jpeg(self) -> bytes:
        """The photograph as JPEG bytes."""
        return to_jpeg(self.pixels, quality=92)

    @property
    def mass_g(self) -> int:
        """What the fruit in it weigh together."""
        return sum(each.mass_g for each in self.fruit)


def tray(seed: int, *, fruits: int = 12, camera_height_mm: float | None = None) -> Sample:
    """Return a belt with up to twelve mangoes and the marker.

    With a camera height, fruit are drawn as large as such a camera sees them above the belt.
    """
    if not 0 <= fruits <= 12:
        raise StandardError("sample tray", f"{fruits} fruit do not fit; 0 to 12 do")
    rng = np.random.default_rng(seed)
    picture = _belt(rng, WIDTH_PX, HEIGHT_PX)
    _draw_marker(picture, x=_STRIP_PX // 2 + 6, y=HEIGHT_PX // 2)
    _write(picture, "SAMPLE", x=_STRIP_PX // 2 + 6, y=HEIGHT_PX - 52, size=0.9)
    cell_w, cell_h = (WIDTH_PX - _STRIP_PX) / 4, HEIGHT_PX / 3
    drawn = []
    for index in range(fruits):
        row, column = divmod(index, 4)
        x = round(_STRIP_PX + (column + 0.5) * cell_w + rng.uniform(-18, 18))
        y = round((row + 0.5) * cell_h * 0.985 + 7 + rng.uniform(-3, 3))
        angle = math.pi / 2 + rng.normal(0, 0.22)
        drawn.append(_draw_mango(picture, rng, x=x, y=y, angle=angle, camera_height_mm=camera_height_mm))
    return Sample(_developed(picture, rng), tuple(drawn))


def single(seed: int) -> Sample:
    """Return one mango beside the marker."""
    rng = np.random.default_rng(seed)
    picture = _belt(rng, 760, 520)
    _draw_marker(picture, x=140, y=240)
    _write(picture, "SAMPLE", x=140, y=480, size=0.7)
    fruit = _draw_mango(picture, rng, x=490, y=260, angle=math.pi / 2 + rng.normal(0, 0.5), camera_height_mm=None)
    return Sample(_developed(picture, rng), (fruit,))


def target(seed: int) -> Sample:
    """Return an empty belt with the marker: the photograph a line is calibrated with."""
    return tray(seed, fruits=0)


def write_trays(folder: Path, *, count: int, seed: int = 1) -> list[Path]:
    """Write `count` trays as JPEG files and return their paths; writing again changes nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"sample-tray-{seed + index:03d}.jpg" for index in range(count)]
    for index, path in enumerate(paths):
        path.write_bytes(tray(seed + index).jpeg)
    return paths


# --- the belt ------------------------------------------------------------------------------------


def _noise(rng: np.random.Generator, h: int, w: int, grain: float) -> Field:
    """Return smooth noise of mean 0 and deviation 1; `grain` is the size of its features in pixels."""
    step = max(1.0, grain / 2)
    small = rng.standard_normal((max(3, round(h / step)) + 3, max(3, round(w / step)) + 3)).astype(np.float32)
    field = cv2.resize(cv2.GaussianBlur(small, (0, 0), 0.75), (w, h), interpolation=cv2.INTER_CUBIC)
    return np.asarray((field - field.mean()) / (field.std() + 1e-6))


def _belt(rng: np.random.Generator, w: int, h: int) -> Field:
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    grey = np.full((h, w), 0.285, np.float32)
    # Woven rubber: a fine cross ribbing, a few soft worn patches, slats across the belt.
    grey += 0.010 * np.sin(x * 2 * np.pi / 7) + 0.006 * np.sin(y * 2 * np.pi / 5)
    grey += 0.012 * _noise(rng, h, w, 90) + 0.010 * _noise(rng, h, w, 3)
    slat = np.abs((x % 200) - 100) - 98.5
    grey -= 0.07 * np.clip(slat + 1.5, 0, 1.5)
    # One lamp, upper left of the middle.
    fall = ((x - 0.44 * w) / w) ** 2 + ((y - 0.36 * h) / h) ** 2
    grey *= 1.10 - 0.62 * fall
    tint = np.array([1.012, 1.004, 0.985], np.float32)
    return np.repeat(grey[:, :, None], 3, axis=2) * tint


def _draw_marker(picture: Field, *, x: int, y: int) -> None:
    side = round(MARKER_MM / MM_PER_PX)
    card = round(side * 1.36)
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    printed = cv2.aruco.generateImageMarker(dictionary, 7, side).astype(np.float32) / 255
    paper = np.full((card, card), 0.90, np.float32)
    start = (card - side) // 2
    paper[start : start + side, start : start + side] = 0.055 + printed * 0.845
    left, top = x - card // 2, y - card // 2
    soft = np.zeros(picture.shape[:2], np.float32)
    soft[top + 5 : top + card + 7, left + 4 : left + card + 6] = 1
    picture *= (1 - 0.45 * cv2.GaussianBlur(soft, (0, 0), 5))[:, :, None]
    picture[top : top + card, left : left + card] = paper[:, :, None] * np.array([0.975, 0.99, 1.0], np.float32)
    _write(picture, f"{MARKER_MM} mm", x=x, y=top + card + 34, size=0.62)


def _write(picture: Field, text: str, *, x: int, y: int, size: float) -> None:
    (w, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, size, 1)
    layer = np.zeros(picture.shape[:2], np.uint8)
    cv2.putText(layer, text, (x - w // 2, y), cv2.FONT_HERSHEY_DUPLEX, size, 255, 1, cv2.LINE_AA)
    picture += 0.34 * (layer.astype(np.float32) / 255)[:, :, None]


# --- a mango -------------------------------------------------------------------------------------


def _draw_mango(
    picture: Field, rng: np.random.Generator, *, x: int, y: int, angle: float, camera_height_mm: float | None
) -> SampleFruit:
    width_mm = float(np.clip(rng.normal(78, 6.5), 64, 92))
    length_mm = float(np.clip(width_mm * rng.normal(1.34, 0.06), 88, 117))
    grown = 1.0
    if camera_height_mm is not None:
        r = width_mm / 2
        grown = camera_height_mm / math.sqrt(camera_height_mm**2 - 2 * camera_height_mm * r)
    a, b = length_mm / 2 / MM_PER_PX * grown, width_mm / 2 / MM_PER_PX * grown
    reach = math.ceil(a * 1.12) + 3
    ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    u = (xs * math.cos(angle) + ys * math.sin(angle)) / a
    v = (-xs * math.sin(angle) + ys * math.cos(angle)) / b
    egg, bend = rng.uniform(0.09, 0.17), rng.uniform(-0.10, 0.10)
    v = (v - bend * (u**2 - 0.4)) / (1 - egg * (u + 0.25) - 0.03 * u**2)
    shoulder = 1 + 0.035 * np.exp(-(((u + 0.8) / 0.25) ** 2)) * np.sign(v)
    rho = np.sqrt(u**2 + (v * shoulder) ** 2)
    inside = np.clip((1 - rho) * min(a, b) + 0.5, 0, 1)
    body = np.sqrt(np.clip(1 - np.clip(rho, 0, 1) ** 2.25, 0, 1))
    h, w = rho.shape
    body = body + 0.007 * _noise(rng, h, w, 46) * inside + 0.0005 * _noise(rng, h, w, 6) * inside
    normal = _normals(body * b * 0.86)

    colour = _skin(rng, u, v)
    _pores(rng, colour, inside)
    marks = _marks(rng, colour, u, v, rho, mm=MM_PER_PX / grown)
    _stem(colour, u, v, a)

    lambert = np.clip((normal * _LIGHT).sum(axis=2), 0, 1)
    facing = np.clip(normal[..., 2], 0, 1)
    gloss = np.clip((normal * _HALF).sum(axis=2), 0, 1)
    lit = colour * (0.40 + 0.78 * lambert[..., None]) * (0.70 + 0.30 * facing[..., None] ** 0.7)
    bounce = np.clip(normal[..., 1], 0, 1) * (1 - facing)
    lit += colour * 0.16 * bounce[..., None]
    shine = 0.15 * gloss**22 + 0.16 * gloss**140
    lit += (shine * (1 - 0.7 * (marks > 0.3)))[..., None] * np.array([0.90, 0.97, 1.0])

    _shadow(picture, inside, x=x, y=y, height=b)
    _place(picture, lit, inside, x=x, y=y)
    # Half the fruit's skin faces the camera; what it sees of a mark is counted where it would measure it.
    seen = (marks > 0.42) & (rho < 0.93)
    true_mm = MM_PER_PX / grown
    return SampleFruit(length_mm, width_mm, float(seen.sum()) * true_mm**2, x, y)


def _normals(height: Field) -> Field:
    dy, dx = np.gradient(height)
    normal = np.dstack([-dx, -dy, np.ones_like(dx)])
    return np.asarray(normal / np.linalg.norm(normal, axis=2, keepdims=True))


def _skin(rng: np.random.Generator, u: Field, v: Field) -> Field:
    """Return the skin in blue green red: gold, green towards the stem, blushed on one shoulder."""
    h, w = u.shape
    gold = np.array([0.085, 0.585, 0.985])
    deep = np.array([0.045, 0.420, 0.950])
    green = np.array([0.150, 0.560, 0.560])
    red = np.array([0.130, 0.165, 0.800])
    ripe = float(np.clip(rng.normal(0.72, 0.18), 0.15, 1))
    blush = float(np.clip(rng.normal(0.55, 0.28), 0, 1))
    drift = _noise(rng, h, w, 70)
    colour = np.broadcast_to(gold, (*u.shape, 3)).copy()
    colour = _mix(colour, deep, 0.45 * _smooth(u + 0.18 * drift, -0.2, 0.9) * ripe)
    colour = _mix(colour, green, (1 - ripe) * (0.35 + 0.65 * _smooth(-u + 0.22 * drift, -0.35, 0.75)))
    turn = rng.uniform(-math.pi, math.pi)
    side = 0.75 * (-u) + 0.65 * (v * math.cos(turn)) + 0.20 * drift
    colour = _mix(colour, red, 0.88 * blush * _smooth(side, 0.05, 0.95))
    colour *= 1 + 0.035 * _noise(rng, h, w, 20)[..., None] + 0.016 * _noise(rng, h, w, 4)[..., None]
    return np.asarray(np.clip(colour, 0.01, 1))


def _pores(rng: np.random.Generator, colour: Field, inside: Field) -> None:
    """Scatter lenticels: small pale points, a few brownish."""
    h, w = inside.shape
    layer = np.zeros((h, w), np.float32)
    for _ in range(rng.integers(110, 200)):
        px, py = rng.uniform(0, w), rng.uniform(0, h)
        cv2.circle(
            layer,
            (round(px * 4), round(py * 4)),
            int(rng.uniform(2.4, 4.6)),
            float(rng.uniform(0.3, 1)),
            -1,
            cv2.LINE_AA,
            2,
        )
    points = np.asarray(cv2.GaussianBlur(layer, (0, 0), 0.7))
    colour += points[..., None] * np.array([0.10, 0.13, 0.05]) * inside[..., None]


def _marks(rng: np.random.Generator, colour: Field, u: Field, v: Field, rho: Field, *, mm: float) -> Field:
    """Put brown marks on the skin and return how strong they are: most fruit have few, some have many."""
    h, w = rho.shape
    kind = rng.choice(4, p=[0.52, 0.23, 0.17, 0.08])
    total = np.zeros((h, w), np.float32)
    spots = int([rng.integers(0, 4), rng.integers(3, 7), rng.integers(5, 10), rng.integers(7, 13)][kind])
    largest_mm = (2.0, 6.5, 10.0, 15.0)[kind]
    rough = _noise(rng, h, w, 9)
    for _ in range(spots):
        t, r = rng.uniform(0, 2 * math.pi), math.sqrt(rng.uniform(0, 0.62))
        distance_u, distance_v = u - r * math.cos(t), v - r * math.sin(t)
        size = rng.uniform(0.8, largest_mm) / mm / 2
        reach = np.hypot(distance_u * (w / 2.3), distance_v * (h / 3.1))
        total = np.maximum(total, np.clip((size - reach + 0.38 * size * rough) / (0.35 * size + 1.2) + 0.5, 0, 1))
    if kind >= 1 and rng.uniform() < 0.5:
        # A dried run of sap from the stem.
        path = 0.10 * np.sin(u * 5 + rng.uniform(0, 6)) + rng.uniform(-0.35, 0.35)
        run = np.clip(1.6 - np.abs(v - path) * (h / 3.0) / (0.8 + 1.4 * kind * 0.5), 0, 1)
        total = np.maximum(total, run * _smooth(-u, -0.1 * kind, 0.55) * (0.7 + 0.3 * rough))
    total = np.clip(total, 0, 1) * (rho < 0.985)
    brown = np.array([0.085, 0.165, 0.300]) * (1 + 0.18 * rough[..., None])
    colour[:] = _mix(colour, brown, 0.86 * total)
    return np.asarray(total)


def _stem(colour: Field, u: Field, v: Field, a: float) -> None:
    """Sink the stem end and leave the scar of the stalk."""
    distance = np.hypot((u + 0.90) * a, v * a * 0.72)
    scar = np.clip((5.0 - distance) / 2.5, 0, 1)
    dimple = np.exp(-((distance / 13) ** 2))
    colour *= (1 - 0.22 * dimple)[..., None]
    colour[:] = _mix(colour, np.array([0.09, 0.17, 0.24]), scar)


def _shadow(picture: Field, inside: Field, *, x: int, y: int, height: float) -> None:
    reach = math.ceil(height)
    padded = np.pad(inside.astype(np.float32), reach)
    h, w = padded.shape
    # Shadows are soft, so a quarter of the pixels is enough to draw them.
    small = cv2.resize(padded, (w // 4, h // 4), interpolation=cv2.INTER_AREA)
    layer = np.zeros_like(padded)
    for shift, blur, strength in ((0.26, 0.24, 0.40), (0.07, 0.07, 0.55)):
        moved = np.roll(small, (round(shift * height / 4), round(shift * height / 5)), axis=(0, 1))
        soft = cv2.GaussianBlur(moved, (0, 0), max(0.6, blur * height / 4))
        layer = np.maximum(layer, strength * cv2.resize(soft, (w, h), interpolation=cv2.INTER_LINEAR))
    (ty, tx), (py, px) = _overlap(picture.shape, layer.shape, x, y)
    picture[ty, tx] *= (1 - layer[py, px])[..., None]


def _place(picture: Field, part: Field, alpha: Field, *, x: int, y: int) -> None:
    (ty, tx), (py, px) = _overlap(picture.shape, part.shape, x, y)
    weight = alpha[py, px][..., None]
    picture[ty, tx] = picture[ty, tx] * (1 - weight) + part[py, px] * weight


def _overlap(
    whole: tuple[int, ...], part: tuple[int, ...], x: int, y: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    top, left = y - part[0] // 2, x - part[1] // 2
    y0, x0 = max(0, top), max(0, left)
    y1, x1 = min(whole[0], top + part[0]), min(whole[1], left + part[1])
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def _developed(picture: Field, rng: np.random.Generator) -> Pixels:
    """Return 8-bit pixels: a soft tone curve, a lens's slight blur, the sensor's slight noise."""
    soft = cv2.GaussianBlur(np.clip(picture, 0, 1.4).astype(np.float32), (0, 0), 0.6)
    toned = soft * (1 + soft / 1.9) / (1 + soft * 0.62)
    encoded = np.clip(toned, 0, 1) ** (1 / 1.28)
    shot = rng.standard_normal(encoded.shape[:2]).astype(np.float32)[..., None] * 0.7
    shot = shot + rng.standard_normal(encoded.shape).astype(np.float32) * 0.4
    noisy = encoded * 255 + shot * (0.7 + 0.9 * encoded)
    return np.asarray(np.clip(np.rint(noisy), 0, 255), dtype=np.uint8)


def _mix(base: Field, other: Field, weight: Field) -> Field:
    part = np.asarray(weight)[..., None]
    return np.asarray(base * (1 - part) + other * part)


def _smooth(value: Field, low: float, high: float) -> Field:
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
