"""Belts that never were: drawn frames of fruit on their way, with the truth about every pixel.

Fruit (`rendered_fruit`) lie on a belt of rollers that carries and turns them; a pinhole camera looks straight down.
Each pixel's ray is met with each body, so that perspective, the widest circle above the belt, occlusion and the
turning of marks are exact; light, shadow, blur and noise only look right. The same seed draws the same bytes.

    belt = Belt(seed=1, kind="mango")
    for rendered in belt.shots(frames=100):
        rendered.pixels, rendered.truth
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.camera import Pixels
from grading.errors import RenderingError
from grading.rendered_fruit import CALYX, KINDS, STEM, Body, Map, fruit, thing

Box = tuple[int, int, int, int]
"""Left, top, width, height."""
Rotation = NDArray[np.float64]
"""Columns are where a body's axes point in the world: x along the belt, y across it, z up."""

TROUBLES: Final = ("stacked", "hand", "foreign", "edge", "still", "slip", "overexposed")
"""What can be asked to happen now and then."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole straight above the belt; `mm_per_px` holds on the belt's plane."""

    width: int = 640
    height: int = 480
    mm_per_px: float = 0.85
    height_mm: float = 680.0

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return self.height_mm / self.mm_per_px


class Profile(NamedTuple):
    """What a calibration of this camera would find."""

    nm_per_px: int
    camera_height_um: int


@dataclass(frozen=True, slots=True)
class TrueMark:
    """A mark: the area of the surface it covers, and how many pixels of it are seen in this frame."""

    kind: str
    area_mm2: float
    visible_px: int


@dataclass(frozen=True, slots=True, eq=False)
class TrueFruit:
    """What is true of one fruit (or of one thing that is none) in one frame."""

    id: int
    kind: str
    box: Box
    """Around what is seen of it."""
    part: NDArray[np.bool_]
    """What is seen of it, inside the box."""
    diameter_mm: float
    thickness_mm: float
    length_mm: float
    volume_mm3: float
    mass_g: float
    marks: tuple[TrueMark, ...]
    stem_px: int
    calyx_px: int
    is_whole: bool
    """Its whole outline lies inside the picture, whatever may lie over it."""
    hidden_permille: int
    """Share of its outline that other things hide or the picture's edge cuts."""
    belt_um: int
    """The encoder's reading when its centre passes the middle of the picture (if it goes with the belt)."""
    centre_mm: tuple[float, float, float]
    """Along and across the belt from the picture's middle, and above the belt."""

    def mask(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return what is seen of it in a picture of this shape."""
        whole = np.zeros(shape[:2], bool)
        x, y, w, h = self.box
        whole[y : y + h, x : x + w] = self.part
        return whole


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """One frame. `owner` is a pixel's fruit id plus one, 0 for none; `label` its mark's number, STEM or CALYX."""

    pixels: Pixels
    number: int
    at_s: float
    belt_um: int
    truth: tuple[TrueFruit, ...]
    strangers: tuple[TrueFruit, ...]
    """What is on the belt and no fruit."""
    owner: NDArray[np.int32]
    label: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A body in the world."""

    id: int
    body: Body
    centre_mm: tuple[float, float, float]
    rotation: Rotation
    is_fruit: bool = True
    belt_um: int = 0


@dataclass(frozen=True, slots=True)
class Light:
    """The lamp and what the sensor makes of it. `cast` multiplies blue, green, red."""

    exposure: float = 1.0
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    noise: float = 1.6
    blur_px: float = 0.6
    smear_px: float = 0.3
    """How far things move along the belt while the shutter is open, as a deviation."""


@dataclass(slots=True)
class Belt:
    """A run of fruit over the belt. With `fruit` it ends when the last has left the picture.

    Raises RenderingError for kinds and troubles that are not known, and where fruit would have to lie in each other.
    """

    seed: int
    kind: str = "mango"
    """One of the kinds, or several with commas, in turn."""
    lanes: int = 3
    fruit_per_s: int = 30
    speed_mm_s: int = 1200
    fps: int = 30
    fruit: int | None = None
    touching: float = 0.04
    """Share of the fruit that touch the one before them in their lane."""
    mm_a_turn: int = 400
    """Way on the belt in which the rollers turn a fruit once."""
    uneven: float = 1.0
    troubles: tuple[str, ...] = ()
    light: Light = Light()
    camera: Camera = Camera()
    ground: str = "rollers"
    """`rollers` or `rubber`."""
    _slots: list["_Slot"] = field(default_factory=list, init=False, repr=False)
    _alive: dict[int, Body] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if unknown := [name for name in self.kinds if name not in KINDS]:
            raise RenderingError(f"{unknown[0]} is no kind of fruit here; there are {', '.join(KINDS)}")
        if unknown := [name for name in self.troubles if name not in TROUBLES]:
            raise RenderingError(f"{unknown[0]} is no trouble here; there are {', '.join(TROUBLES)}")
        widest = max(KINDS[name].diameter_mm[0] for name in self.kinds)
        if self.pitch_mm < 1.05 * widest:
            raise RenderingError(
                f"{self.fruit_per_s} fruit a second on {self.lanes} lanes at {self.speed_mm_s} mm/s lie "
                f"{self.pitch_mm:.0f} mm apart; {widest:.0f} mm is their mean diameter"
            )

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of fruit, in turn."""
        return tuple(self.kind.split(","))

    @property
    def pitch_mm(self) -> float:
        """How far apart the fruit of one lane come, on the whole."""
        return self.speed_mm_s * self.lanes / self.fruit_per_s

    def profile(self) -> Profile:
        """Return what a calibration would find: nanometres per pixel on the belt, and the camera's height."""
        return Profile(round(self.camera.mm_per_px * 1e6), round(self.camera.height_mm * 1000))

    def shots(self, frames: int | None = None, *, first: int = 0) -> Iterator[Rendered]:
        """Yield frames in order: so many, or until the last fruit has left, or without end."""
        number = first
        while frames is None or number < first + frames:
            if frames is None and self.fruit is not None and self._is_over(number):
                return
            yield self.frame(number)
            number += 1

    def frame(self, number: int) -> Rendered:
        """Return a frame by its number; no frame needs those before it."""
        belt_um = self.belt_um(number)
        placed = [self._placed(slot, belt_um) for slot in self._in_view(belt_um)]
        self._alive = {each.id: each.body for each in placed}
        light = self.light
        if "hand" in self.troubles and 100 <= number % 300 < 130:
            placed += _hand(self.seed, (number % 300 - 100) / 30, self.camera)
        if "overexposed" in self.troubles and 200 <= number % 300 < 230:
            light = Light(2.6 * light.exposure, light.cast, light.noise, light.blur_px, light.smear_px)
        rng = np.random.default_rng([self.seed, 1, number])
        ground = _ground(self.ground, self.seed, self.camera, self.lanes, round(self.speed_mm_s / self.fruit_per_s))
        return rendered(self.camera, placed, light, ground, rng, number=number, at_s=number / self.fps, belt_um=belt_um)

    def belt_um(self, number: int) -> int:
        """Return the encoder's reading at a frame, in micrometres."""
        return self.speed_mm_s * 1000 * number // self.fps

    def _is_over(self, number: int) -> bool:
        slots = self._slots_to(self.fruit or 0)
        return not slots or self.belt_um(number) > max(slot.leaves_um for slot in slots) + 1000 * self._reach_mm()

    def _reach_mm(self) -> float:
        return self.camera.width * self.camera.mm_per_px / 2 + 75

    def _in_view(self, belt_um: int) -> list["_Slot"]:
        reach = round(self._reach_mm() * 1000)
        count = max(0, belt_um + 2 * reach) * self.lanes // round(self.pitch_mm * 1000) + 4 * self.lanes
        slots = self._slots_to(count if self.fruit is None else min(count, self.fruit))
        return [slot for slot in slots if -reach <= belt_um - slot.belt_um and belt_um - slot.leaves_um <= reach]

    def _slots_to(self, count: int) -> list["_Slot"]:
        while len(self._slots) < count:
            self._slots.append(self._slot(len(self._slots)))
        return self._slots[:count] if self.fruit is not None else self._slots

    def _slot(self, index: int) -> "_Slot":
        """Decide where a fruit lies and what befalls it, from its number and the fruit before it in its lane."""
        rng = np.random.default_rng([self.seed, 0, index])
        lane = index % self.lanes
        kind = self.kinds[index % len(self.kinds)]
        known = KINDS[kind]
        mean, deviation = known.diameter_mm
        diameter = mean + deviation * float(np.clip(rng.normal(), -2.2, 2.2))
        trouble = self._trouble(index)
        half = diameter / 2 * (1.03 if known.lies else 1.06)
        lane_mm = 0.88 * self.camera.height * self.camera.mm_per_px / self.lanes
        across = (lane - (self.lanes - 1) / 2) * lane_mm + float(rng.uniform(-3, 3))
        due = self._reach_mm() + index // self.lanes * self.pitch_mm + lane * self.pitch_mm / self.lanes
        jitter = float(rng.uniform(-0.05, 0.05)) * self.pitch_mm
        before = self._slots[index - self.lanes] if index >= self.lanes else None
        along = due + jitter
        if before is not None:
            touches = before.belt_um / 1000 + before.half_mm + half
            along = touches if rng.random() < self.touching else max(along, touches + 1.0)
            along = max(along, before.leaves_um / 1000 + before.half_mm + half) if before.trouble in _LATE else along
        belt_um = round(along * 1000)
        if trouble == "edge":
            across = math.copysign(self.camera.height * self.camera.mm_per_px / 2, across)
        late_mm = {"still": 450.0, "slip": 80.0}.get(trouble, 0.0)
        return _Slot(index, kind, lane, belt_um, belt_um + round(late_mm * 1000), across, half, diameter, trouble)

    def _trouble(self, index: int) -> str:
        due = {5: "stacked", 11: "foreign", 17: "edge", 23: "still", 29: "slip"}.get(index % 40, "")
        return due if due in self.troubles else ""

    def _placed(self, slot: "_Slot", belt_um: int) -> Placed:
        body = self._alive.get(slot.id) or self._body(slot)
        x_mm = _along(slot, belt_um) / 1000
        rng = np.random.default_rng([self.seed, 3, slot.id])
        turned = (x_mm + float(rng.uniform(0, self.mm_a_turn))) / (self.mm_a_turn * float(rng.uniform(0.85, 1.15)))
        if KINDS[slot.kind].lies and slot.trouble != "foreign":
            start = _ACROSS if rng.random() < 0.5 else _ACROSS @ np.diag([1.0, -1.0, -1.0])
            yaw = float(rng.normal(0, math.radians(7)))
        else:
            start, yaw = _any_rotation(rng), float(rng.uniform(-math.pi, math.pi))
        rotation = _about_z(yaw) @ _about_y(2 * math.pi * turned) @ start
        if slot.trouble == "foreign":
            rotation = _about_z(yaw)
        high = lowest_mm(body, rotation)
        if slot.trouble == "stacked":
            under = self._slots[slot.id - self.lanes]
            below = self._placed(under, belt_um)
            x, y, z = below.centre_mm
            return Placed(
                slot.id,
                body,
                (x + 0.5 * slot.half_mm, y + 0.3 * slot.half_mm, z + 1.55 * slot.half_mm),
                rotation,
                belt_um=under.belt_um - round(500 * slot.half_mm),
            )
        return Placed(
            slot.id,
            body,
            (x_mm, slot.across_mm, high),
            rotation,
            is_fruit=slot.trouble != "foreign",
            belt_um=slot.belt_um,
        )

    def _body(self, slot: "_Slot") -> Body:
        rng = np.random.default_rng([self.seed, 2, slot.id])
        if slot.trouble == "foreign":
            return _foreign(rng)
        return fruit(slot.kind, rng, diameter_mm=slot.diameter_mm, uneven=self.uneven)


def write_video(path: Path, belt: Belt, frames: int) -> Path:
    """Write so many frames as a motion JPEG film (.avi) and return its path. Raises RenderingError."""
    camera = belt.camera
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), float(belt.fps), (camera.width, camera.height))
    if not film.isOpened():
        raise RenderingError(f"{path.name} cannot be written")
    try:
        for shot in belt.shots(frames=frames):
            film.write(shot.pixels)
    finally:
        film.release()
    return path


# --- one picture ---------------------------------------------------------------------------------


def rendered(
    camera: Camera,
    placed: Sequence[Placed],
    light: Light,
    ground: Map,
    rng: np.random.Generator,
    *,
    number: int = 0,
    at_s: float = 0.0,
    belt_um: int = 0,
) -> Rendered:
    """Return the picture of bodies on a ground, and what is true of each. `ground` is drawn for a belt at 0."""
    shape = (camera.height, camera.width)
    canvas = _Canvas(
        camera=camera,
        picture=_moved(ground, belt_um / 1000 / camera.mm_per_px, camera.width),
        depth=np.full(shape, np.inf, np.float32),
        owner=np.zeros(shape, np.int32),
        label=np.zeros(shape, np.uint8),
    )
    # What lies lower is drawn first, so that edges blend with what is behind them.
    order = sorted(placed, key=lambda each: (each.centre_mm[2], each.id))
    ellipses = [outline(camera, each) for each in order]
    canvas.throw_shadows(order, ellipses)
    outlines_px = [canvas.draw(each, ellipse) for each, ellipse in zip(order, ellipses, strict=True)]
    told = [canvas.truth(*each) for each in zip(order, ellipses, outlines_px, strict=True)]
    by_id = sorted((each for each in told if each is not None), key=lambda each: each.id)
    strange = {each.id for each in placed if not each.is_fruit}
    return Rendered(
        pixels=_developed(canvas.picture, light, camera, rng),
        number=number,
        at_s=at_s,
        belt_um=belt_um,
        truth=tuple(each for each in by_id if each.id not in strange),
        strangers=tuple(each for each in by_id if each.id in strange),
        owner=canvas.owner,
        label=canvas.label,
    )


@dataclass(frozen=True, slots=True)
class Ellipse:
    """What a camera sees of an ellipsoid: centre, half axes (longer first) and the longer one's angle, in pixels."""

    x: float
    y: float
    longer: float
    shorter: float
    angle: float

    @property
    def reach(self) -> tuple[float, float]:
        """How far it goes from its centre, across and down."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return math.hypot(self.longer * c, self.shorter * s), math.hypot(self.longer * s, self.shorter * c)


def outline(camera: Camera, placed: Placed, *, grown: float = 1.0) -> Ellipse:
    """Return the exact outline of a body's ellipsoid, or of one so many times as large: the tangent cone's section."""
    origin, rays = _in_body(camera, placed)
    quadric = np.outer(origin, origin) - (origin @ origin - grown * grown) * np.eye(3)
    conic = rays.T @ quadric @ rays
    part, vector = conic[:2, :2], conic[:2, 2]
    centre = np.linalg.solve(part, -vector)
    level = conic[2, 2] + vector @ centre
    values, axes = np.linalg.eigh(part / -level)
    half = 1 / np.sqrt(np.maximum(values, 1e-12))
    longer = axes[:, 0]
    return Ellipse(float(centre[0]), float(centre[1]), float(half[0]), float(half[1]), math.atan2(longer[1], longer[0]))


def lowest_mm(body: Body, rotation: Rotation) -> float:
    """Return how high a turned body's centre is when its ellipsoid lies on the belt."""
    return float(np.linalg.norm(np.asarray(body.semi_mm) * rotation[2]))


def _in_body(camera: Camera, placed: Placed) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the camera, and the rays through (x, y, 1) of the picture, where the ellipsoid is a sphere of radius 1."""
    into = (placed.rotation / np.asarray(placed.body.semi_mm)).T
    f = camera.focal_px
    through = np.array([[1 / f, 0, -camera.width / 2 / f], [0, 1 / f, -camera.height / 2 / f], [0, 0, -1]])
    return into @ (np.array([0, 0, camera.height_mm]) - np.asarray(placed.centre_mm)), into @ through


_LAMP: Final = np.array([-0.30, -0.42, 0.857])
_BETWEEN: Final = (_LAMP + np.array([0, 0, 1])) / np.linalg.norm(_LAMP + np.array([0, 0, 1]))
_LAMPS: Final = np.stack([_LAMP, np.array([0.22, 0.30, 0.928]), _BETWEEN, np.array([0, 0, 1.0])], axis=1)
"""Directions: the lamp, a second and weaker one, half way between lamp and camera (where it shines), up."""


@dataclass(frozen=True, slots=True, eq=False)
class _Canvas:
    """A picture while it is drawn: light, how far away each pixel's surface is, whose it is, and its label."""

    camera: Camera
    picture: Map
    depth: Map
    owner: NDArray[np.int32]
    label: NDArray[np.uint8]

    def throw_shadows(self, placed: Sequence[Placed], ellipses: Sequence[Ellipse]) -> None:
        """Darken the ground under and beside what lies on it; soft, so a quarter of the pixels will do."""
        camera = self.camera
        h, w = camera.height // 4, camera.width // 4
        thrown, close = np.zeros((h, w), np.float32), np.zeros((h, w), np.float32)
        for each, ellipse in zip(placed, ellipses, strict=True):
            away = -_LAMP[:2] / _LAMP[2] * 0.55 * each.centre_mm[2] / camera.mm_per_px
            for layer, share, shift in ((thrown, 1.0, away), (close, 0.93, away * 0.25)):
                centre = (round((ellipse.x + shift[0]) * 4), round((ellipse.y + shift[1]) * 4))
                axes = (max(1, round(ellipse.longer * share * 4)), max(1, round(ellipse.shorter * share * 4)))
                cv2.ellipse(layer, centre, axes, math.degrees(ellipse.angle), 0, 360, 1.0, -1, cv2.LINE_AA, 4)
        soft = 1 - np.maximum(0.42 * cv2.GaussianBlur(thrown, (0, 0), 4.5), 0.62 * cv2.GaussianBlur(close, (0, 0), 1.7))
        self.picture[:] *= cv2.resize(soft, (camera.width, camera.height), interpolation=cv2.INTER_LINEAR)[..., None]

    def draw(self, placed: Placed, ellipse: Ellipse) -> int:
        """Draw a body where nothing is nearer, and return how many pixels its whole outline has in the picture."""
        body, camera, depth = placed.body, self.camera, self.depth
        grown = float(body.radius.max())
        wide, high = ellipse.reach
        x0, x1 = math.floor(ellipse.x - wide * grown) - 2, math.ceil(ellipse.x + wide * grown) + 2
        y0, y1 = math.floor(ellipse.y - high * grown) - 2, math.ceil(ellipse.y + high * grown) + 2
        x0, y0, x1, y1 = max(0, x0), max(0, y0), min(camera.width, x1), min(camera.height, y1)
        if x0 >= x1 or y0 >= y1:
            return 0
        origin, rays = _in_body(camera, placed)
        xs = (np.arange(x0, x1) + 0.5)[None, :]
        ys = (np.arange(y0, y1) + 0.5)[:, None]
        ox, oy, oz = (np.float32(value) for value in origin)
        dx, dy, dz = ((rays[i, 0] * xs + rays[i, 1] * ys + rays[i, 2]).astype(np.float32) for i in range(3))
        square = dx * dx + dy * dy + dz * dz
        nearest = -(ox * dx + oy * dy + oz * dz) / square
        px, py, pz = ox + nearest * dx, oy + nearest * dy, oz + nearest * dz
        aside = np.sqrt(px * px + py * py + pz * pz)
        limit = _looked_up(body.radius, *_place_on(px, py, pz, aside, len(body.radius)))
        # How much of a pixel lies inside: half where the ray touches the body.
        cover = np.clip((limit - aside) * np.float32(math.sqrt(ellipse.longer * ellipse.shorter)) + 0.5, 0, 1)
        back = np.sqrt(np.maximum(limit * limit - aside * aside, 0) / square)
        for _ in range(2):
            met = nearest - back
            px, py, pz = ox + met * dx, oy + met * dy, oz + met * dz
            size = np.sqrt(px * px + py * py + pz * pz)
            column, row = _place_on(px, py, pz, size, len(body.radius))
            reached = _looked_up(body.radius, column, row)
            back = np.sqrt(np.maximum(reached * reached - aside * aside, 0) / square)
        met = nearest - back
        finer = np.float32(len(body.skin) / len(body.radius))
        fine_column, fine_row = (column + 0.5) * finer - 0.5, (row + 0.5) * finer - 0.5
        skin = _looked_up(body.skin, fine_column, fine_row)
        lit = _lit(skin, _looked_up(body.normal, column, row), placed.rotation)

        part = (slice(y0, y1), slice(x0, x1))
        nearer = met < depth[part]
        weight = (cover * nearer)[..., None]
        self.picture[part] += (lit - self.picture[part]) * weight
        inside = cover >= 0.5
        taken = inside & nearer
        depth[part][taken] = met[taken]
        self.owner[part][taken] = placed.id + 1
        rows = np.clip(np.rint(fine_row).astype(np.int32), 0, len(body.skin) - 1)
        columns = np.rint(fine_column).astype(np.int32) % body.label.shape[1]
        self.label[part][taken] = body.label[rows[taken], columns[taken]]
        return int(inside.sum())

    def truth(self, placed: Placed, ellipse: Ellipse, outline_px: int) -> TrueFruit | None:
        camera = self.camera
        body, grown = placed.body, float(placed.body.radius.max())
        wide, high = (grown * reach + 2 for reach in ellipse.reach)
        x0, y0 = max(0, math.floor(ellipse.x - wide)), max(0, math.floor(ellipse.y - high))
        x1, y1 = min(camera.width, math.ceil(ellipse.x + wide)), min(camera.height, math.ceil(ellipse.y + high))
        part = self.owner[y0 : max(y0, y1), x0 : max(x0, x1)] == placed.id + 1
        if not part.any():
            return None
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        left, top = x0 + int(columns[0]), y0 + int(rows[0])
        right, bottom = x0 + int(columns[-1]) + 1, y0 + int(rows[-1]) + 1
        counts = np.bincount(self.label[y0:y1, x0:x1][part], minlength=256)
        # Of what the picture's edge cuts away no pixels were drawn: its share follows from the ellipse.
        drawn = int(part.sum())
        is_cut = _is_cut(camera, ellipse, body)
        whole_px = max(outline_px, round(math.pi * ellipse.longer * ellipse.shorter)) if is_cut else outline_px
        return TrueFruit(
            id=placed.id,
            kind=body.kind,
            box=(left, top, right - left, bottom - top),
            part=part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1],
            diameter_mm=body.diameter_mm,
            thickness_mm=body.thickness_mm,
            length_mm=body.length_mm,
            volume_mm3=body.volume_mm3,
            mass_g=body.mass_g,
            marks=tuple(
                TrueMark(m.kind, m.area_mm2, int(counts[index])) for index, m in enumerate(body.marks, start=1)
            ),
            stem_px=int(counts[STEM]),
            calyx_px=int(counts[CALYX]),
            is_whole=not is_cut,
            hidden_permille=max(0, 1000 - round(1000 * drawn / max(1, whole_px))),
            belt_um=placed.belt_um,
            centre_mm=placed.centre_mm,
        )


def _place_on(x: Map, y: Map, z: Map, size: Map, rows: int) -> tuple[Map, Map]:
    """Return column and row of a direction in a map of so many rows."""
    scale = np.float32(rows / math.pi)
    row = np.arccos(np.clip(z / np.maximum(size, 1e-6), -1, 1)) * scale - np.float32(0.5)
    column = np.arctan2(y, x) * scale
    column += (column < 0) * np.float32(2 * rows)
    return column - np.float32(0.5), np.clip(row, 0, rows - 1)


def _looked_up(values: Map, column: Map, row: Map) -> Map:
    return np.asarray(cv2.remap(values, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


def _lit(skin: Map, normal: Map, rotation: Rotation) -> Map:
    """Return what the camera sees of a skin; `normal` is the body's, so the lamps are turned to it."""
    lamps = (rotation.T @ _LAMPS).astype(np.float32)
    facing = normal.reshape(-1, 3) @ lamps
    lambert, second, glance = (np.maximum(facing[:, column], 0) for column in (0, 1, 2))
    up = facing[:, 3]
    # Below its widest circle a fruit sees the dark belt instead of the ceiling.
    diffuse = (0.26 + 0.14 * up) * np.clip(0.55 + 0.9 * up, 0.35, 1) + 0.56 * lambert + 0.16 * second
    eighth = np.square(np.square(np.square(glance)))
    sharp = np.square(np.square(eighth))
    flat = skin.reshape(-1, 4)
    aside = np.square(np.maximum(second - 0.55, 0))
    shine = flat[:, 3] * (0.55 * eighth * eighth * eighth + 1.5 * sharp * sharp * sharp * sharp * sharp + 0.35 * aside)
    channels = [(flat[:, channel] * diffuse + shine).reshape(skin.shape[:2]) for channel in range(3)]
    return np.asarray(cv2.merge(channels), np.float32)


def _is_cut(camera: Camera, ellipse: Ellipse, body: Body) -> bool:
    grown = float(body.radius.max())
    wide, high = (grown * reach for reach in ellipse.reach)
    return (
        ellipse.x - wide < 1
        or ellipse.y - high < 1
        or ellipse.x + wide > camera.width - 1
        or ellipse.y + high > camera.height - 1
    )


# --- the ground and the sensor -------------------------------------------------------------------

_STRIP_ROLLERS: Final = 24
"""After so many rollers the belt's pattern comes again."""


@cache
def _ground(name: str, seed: int, camera: Camera, lanes: int, pitch_mm: int) -> Map:
    """Return a stretch of belt, longer than the picture by what comes again."""
    rng = np.random.default_rng([seed, 4])
    while pitch_mm < 28:
        pitch_mm *= 2
    again = round(_STRIP_ROLLERS * pitch_mm / camera.mm_per_px)
    width, height = again, camera.height
    x, y = np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None]
    if name == "rollers":
        # Turning cylinders of grey plastic: light on their backs, dark between them, worn where fruit run.
        phase = (x * (_STRIP_ROLLERS / width)) % 1
        back = np.sqrt(np.clip(1 - ((phase - 0.5) / 0.43) ** 2, 0, 1))
        grey = 0.06 + 0.20 * back + 0.10 * np.exp(-(((phase - 0.40) / 0.09) ** 2))
        grey = np.repeat(grey, height, axis=0)
        worn = np.cos(y / height * lanes * 2 * math.pi) * 0.012
        grey = (
            grey
            - worn
            + 0.010 * cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 1.2) * 3
        )
    elif name == "rubber":
        grey = np.full((height, width), 0.27, np.float32) + 0.010 * np.sin(x * 2 * math.pi / 7)
        grey = grey + 0.05 * cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 1.0)
    else:
        raise RenderingError(f"{name} is no ground here; there are rollers and rubber")
    picture = np.repeat(grey[..., None], 3, axis=2).astype(np.float32) * np.array([1.02, 1.0, 0.985], np.float32)
    for lane in range(1, lanes):
        # Rails between the lanes.
        at = round(lane * height / lanes)
        picture[at - 3 : at + 3] = (
            np.array([0.40, 0.41, 0.40], np.float32) * np.array([0.6, 1, 1.2, 1, 0.8, 0.5])[:, None, None]
        )
    return np.ascontiguousarray(np.concatenate([picture, picture[:, : camera.width + 2]], axis=1), np.float32)


def _moved(ground: Map, by_px: float, width: int) -> Map:
    again = ground.shape[1] - width - 2
    start = -by_px % again
    shift = np.array([[1, 0, start % 1], [0, 1, 0]])
    first = int(start)
    part = ground[:, first : first + width + 1]
    return np.asarray(
        cv2.warpAffine(
            part,
            shift,
            (width, ground.shape[0]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.float32,
    )


@cache
def _gain(camera: Camera, light: Light) -> Map:
    """Return what turns light into the sensor's levels: the lamp falls off towards the corners."""
    y, x = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float32)
    away = ((x - 0.46 * camera.width) / camera.width) ** 2 + ((y - 0.42 * camera.height) / camera.width) ** 2
    fall = (1.06 - 0.42 * away) * np.float32(light.exposure * (_LEVELS - 1) / 1.6)
    return np.ascontiguousarray(fall[..., None] * np.asarray(light.cast, np.float32), np.float32)


@cache
def _grain() -> NDArray[np.int16]:
    rng = np.random.default_rng(11)
    plane = rng.standard_normal((1100, 1400, 1)) * 0.75 + rng.standard_normal((1100, 1400, 3)) * 0.66
    return np.asarray(np.rint(plane * 64), np.int16)


_LEVELS: Final = 4096


@cache
def _tone() -> NDArray[np.uint8]:
    linear = np.linspace(0, 1.6, _LEVELS)
    toned = linear * (1 + linear / 1.9) / (1 + linear * 0.62)
    return np.asarray(np.rint(255 * np.clip(toned, 0, 1) ** (1 / 1.28)), np.uint8)


def _developed(picture: Map, light: Light, camera: Camera, rng: np.random.Generator) -> Pixels:
    levels = np.asarray(cv2.multiply(picture, _gain(camera, light), dtype=cv2.CV_16U), np.uint16)
    exposed = np.take(_tone(), levels, mode="clip")
    across, down = math.hypot(light.blur_px, light.smear_px), light.blur_px
    blurred = cv2.GaussianBlur(exposed, (0, 0), sigmaX=max(0.01, across), sigmaY=max(0.01, down))
    grain = _grain()
    if light.noise <= 0 or camera.height > grain.shape[0] or camera.width > grain.shape[1]:
        return np.asarray(blurred, np.uint8)
    y, x = int(rng.integers(grain.shape[0] - camera.height + 1)), int(rng.integers(grain.shape[1] - camera.width + 1))
    noise = grain[y : y + camera.height, x : x + camera.width]
    return np.asarray(cv2.addWeighted(blurred, 1.0, noise, light.noise / 64, 0, dtype=cv2.CV_8U), np.uint8)


# --- what lies on the belt -----------------------------------------------------------------------

_LATE: Final = ("still", "slip")
_ACROSS: Final = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""A body whose stem points across the belt."""


@dataclass(frozen=True, slots=True)
class _Slot:
    id: int
    kind: str
    lane: int
    belt_um: int
    leaves_um: int
    """Like `belt_um`, once it has stood still or slipped."""
    across_mm: float
    half_mm: float
    diameter_mm: float
    trouble: str


def _along(slot: _Slot, belt_um: int) -> int:
    """Return how far past the picture's middle a fruit is."""
    ahead = belt_um - slot.belt_um
    late = slot.leaves_um - slot.belt_um
    if slot.trouble == "still":
        return ahead if ahead < 0 else max(0, ahead - late)
    if slot.trouble == "slip":
        return ahead - min(late, max(0, (ahead + 150_000) // 4))
    return ahead


def _foreign(rng: np.random.Generator) -> Body:
    if rng.random() < 0.5:
        semi = (float(rng.uniform(18, 30)), float(rng.uniform(15, 24)), float(rng.uniform(10, 16)))
        return thing("stone", rng, semi_mm=semi, colour=(0.30, 0.31, 0.33), rough=0.06)
    semi = (float(rng.uniform(40, 60)), float(rng.uniform(12, 20)), 1.5)
    return thing("leaf", rng, semi_mm=semi, colour=(0.10, 0.34, 0.20), rough=0.006)


_HAND_ID: Final = 1_000_000_000


@cache
def _hand_bodies(seed: int) -> tuple[Body, ...]:
    rng = np.random.default_rng([seed, 5])
    colour = (0.42, 0.56, 0.86)
    palm = thing("hand", rng, semi_mm=(43, 54, 17), colour=colour, rough=0.008)
    finger = thing("hand", rng, semi_mm=(10, 44, 10), colour=colour, rough=0.006)
    arm = thing("hand", rng, semi_mm=(31, 150, 28), colour=colour, rough=0.006)
    return palm, finger, arm


def _hand(seed: int, share: float, camera: Camera) -> list[Placed]:
    """Return a hand that reaches in from the picture's top and goes back again."""
    palm, finger, arm = _hand_bodies(seed)
    edge = -camera.height * camera.mm_per_px / 2
    y = edge - 60 + 190 * math.sin(math.pi * share)
    placed = [
        Placed(_HAND_ID, arm, (0, y - 170, 105), np.eye(3), is_fruit=False),
        Placed(_HAND_ID + 1, palm, (0, y, 100), np.eye(3), is_fruit=False),
    ]
    for index, (x, reach, turn) in enumerate(
        ((-34, 62, 0.14), (-12, 76, 0.04), (11, 74, -0.05), (33, 58, -0.16), (54, 8, -0.75))
    ):
        placed.append(Placed(_HAND_ID + 2 + index, finger, (x, y + reach, 98), _about_z(turn), is_fruit=False))
    return placed


def _about_y(angle: float) -> Rotation:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _about_z(angle: float) -> Rotation:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _any_rotation(rng: np.random.Generator) -> Rotation:
    four = rng.standard_normal(4)
    w, x, y, z = four / np.linalg.norm(four)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
