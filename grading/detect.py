"""Finding the fruit in a photograph. A `Detector` gives outlines; what they mean is measured elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.calibrate import Box, Polygon
from grading.camera import Pixels, Plane

if TYPE_CHECKING:
    from grading.defects import DefectModel

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One fruit: its mask inside its box, its outline, and how sure the detector is (0 to 1000)."""

    x: int
    y: int
    mask: Mask
    outline: NDArray[np.int32]
    score_permille: int
    is_cut: bool
    """It touches the picture's edge, so its size cannot be known."""
    kind: str = ""
    """What fruit it is, where the detector can tell."""
    kinds: Mapping[str, int] = field(default_factory=dict)
    """How likely each kind is, in thousandths, if it is a fruit at all; empty where the detector cannot tell."""
    is_exact: bool = False
    """Whether the outline follows the picture's own pixels, so that a dent in it is a dent."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, width, height in pixels."""
        return self.x, self.y, int(self.mask.shape[1]), int(self.mask.shape[0])

    @property
    def corners(self) -> Box:
        """Left, top, right, bottom in pixels."""
        x, y, w, h = self.box
        return x, y, x + w, y + h


def largest_contour(mask: Plane) -> Plane | None:
    """Return the outline of a mask's largest piece, or None where there is none."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(max(contours, key=cv2.contourArea)) if contours else None


def box_overlap(a: Box, b: Box) -> float:
    """Return the intersection over the union of two boxes (left, top, right, bottom)."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / either if either > 0 else 0.0


class Detector(Protocol):
    """Whatever finds fruit. The same pixels always give the same detections in the same order."""

    @property
    def description(self) -> Mapping[str, str | int]:
        """Name, version and every parameter: hashed, it is the model a verdict names."""
        ...

    def detect(self, pixels: Pixels, *, ignore: Sequence[Polygon] = ()) -> list[Detection]:
        """Return the fruit, reading order; `ignore` holds the outlines of markers and coins."""
        ...


@runtime_checkable
class SeesCoins(Protocol):
    """A detector that also knows coins when it sees them."""

    def coins(self, pixels: Pixels) -> list[tuple[float, float, float, float]]:
        """Return where coins lie (left, top, right, bottom), best first."""
        ...


@runtime_checkable
class WeighsCoins(Protocol):
    """A detector that also says how sure it is of the coins it sees."""

    def coin_scores(self, pixels: Pixels) -> list[int]:
        """Return how sure it is of each of its `coins`, in thousandths."""
        ...


@runtime_checkable
class NamesKinds(Protocol):
    """A detector that says what fruit a photograph shows before any of them is outlined."""

    def kinds(self, pixels: Pixels) -> Mapping[str, int]:
        """Return what the fruit seen may be: each kind's likelihood, weighed by how sure a fruit is and added up."""
        ...


@runtime_checkable
class TellsGround(Protocol):
    """A detector that looks at the ground first, and can say what it took it for."""

    def ground(self, pixels: Pixels) -> str:
        """Return the name of the ground the fruit lie on."""
        ...


@runtime_checkable
class SeesDefects(Protocol):
    """A detector whose fruit a network for defects looks at again (`second_look`), where it has one."""

    @property
    def defects(self) -> "DefectModel | None":
        """The network, or None where colour judges marks alone."""
        ...


@dataclass(frozen=True, slots=True)
class ClassicalDetector:
    """Colour against the ground: Lab chroma distance to the median ground colour, Otsu, split where two touch.

    A belt or table is poorer in colour than fruit. Where a white plate lies on a coloured table, both
    count as ground and fruit are looked for on the plate.
    """

    least_area_permille: int = 2
    most_area_permille: int = 600
    least_distance: int = 9
    touching_solidity_permille: int = 930

    @property
    def description(self) -> Mapping[str, str | int]:
        """Name, version and parameters."""
        return {
            "name": "classical",
            "version": "v1",
            "leastAreaPermille": self.least_area_permille,
            "mostAreaPermille": self.most_area_permille,
            "leastDistance": self.least_distance,
            "touchingSolidityPermille": self.touching_solidity_permille,
        }

    def detect(self, pixels: Pixels, *, ignore: Sequence[Polygon] = ()) -> list[Detection]:
        """Return every fruit, top to bottom and left to right."""
        lab = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_BGR2LAB), (5, 5), 0)
        not_fruit = _ignored(lab.shape[:2], ignore)
        plate = _plate(lab)
        distance = _distance(lab, plate, not_fruit)
        foreground = self._foreground(distance, plate, not_fruit)
        found = [
            detection
            for mask, x, y in self._pieces(foreground)
            if (detection := self._detection(mask, x, y, distance, pixels.shape[:2])) is not None
        ]
        row = max(1, pixels.shape[0] // 8)
        return sorted(found, key=lambda d: ((d.y + d.mask.shape[0] // 2) // row, d.x))

    def _foreground(self, distance: Plane, plate: Plane | None, not_fruit: Mask) -> Plane:
        allowed = ~not_fruit
        if plate is not None:
            reach = max(3, round(0.06 * np.sqrt(float((plate > 0).sum()))))
            allowed = allowed & (cv2.dilate(plate, _disc(reach)) > 0)
        values = distance[allowed].reshape(-1, 1)
        if values.size == 0:
            return np.zeros(distance.shape, np.uint8)
        threshold, _ = cv2.threshold(values, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        # Otsu's cut lies in the middle between ground and fruit; the shaded side of a fruit lies below it.
        # On a plate the table's colour, thrown onto the china, fills that gap instead.
        share = 0.62 if plate is None else 1.0
        cut = max(share * float(threshold), float(self.least_distance))
        mask = ((distance > cut) & allowed).astype(np.uint8) * 255
        grain = max(3, round(min(distance.shape) / 160)) | 1
        opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _disc(grain // 2))
        return _filled(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, _disc(grain)))

    def _pieces(self, foreground: Plane) -> list[tuple[Plane, int, int]]:
        area = foreground.size
        count, labels, stats, _ = cv2.connectedComponentsWithStats(foreground)
        pieces: list[tuple[Plane, int, int]] = []
        for label in range(1, count):
            x, y, w, h, size = (int(v) for v in stats[label])
            if size * 1000 < self.least_area_permille * area:
                continue
            mask = (labels[y : y + h, x : x + w] == label).astype(np.uint8)
            pieces.extend((part, x + dx, y + dy) for part, dx, dy in _split(mask, self.touching_solidity_permille))
        return [
            p
            for p in pieces
            if self.least_area_permille * area <= int(p[0].sum()) * 1000 <= self.most_area_permille * area
        ]

    def _detection(self, mask: Plane, x: int, y: int, distance: Plane, shape: tuple[int, ...]) -> Detection | None:
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        contour = max(contours, key=cv2.contourArea)
        area = float(cv2.contourArea(contour))
        hull = float(cv2.contourArea(cv2.convexHull(contour)))
        (_, axes, _) = cv2.minAreaRect(contour)
        if min(axes) < 8 or hull <= 0 or max(axes) / min(axes) > 6:
            return None
        h, w = mask.shape
        solid = area / hull
        inside = distance[y : y + h, x : x + w][mask > 0]
        contrast = min(1.0, float(np.median(inside)) / 28.0)
        is_cut = x <= 1 or y <= 1 or x + w >= shape[1] - 1 or y + h >= shape[0] - 1
        if solid < 0.75:
            return None
        return Detection(
            x=x,
            y=y,
            mask=mask.astype(bool),
            outline=(contour.reshape(-1, 2) + np.array([x, y])).astype(np.int32),
            score_permille=round(1000 * contrast * min(1.0, max(0.0, (solid - 0.70) / 0.22))),
            is_cut=is_cut,
            is_exact=True,
        )


def _ignored(shape: tuple[int, ...], outlines: Sequence[Polygon]) -> Mask:
    mask = np.zeros(shape, np.uint8)
    for outline in outlines:
        middle = outline.mean(axis=0)
        # A marker's quiet zone and a coin's shadow belong to it: a quarter more on every side.
        cv2.fillPoly(mask, [np.rint(middle + (outline - middle) * 1.25).astype(np.int32)], 1)
    return mask.astype(bool)


def _plate(lab: Plane) -> Plane | None:
    """Return the filled outline of a white plate on a coloured table, or None where the ground is plain."""
    scale = 4
    small = lab[::scale, ::scale]
    chroma = np.hypot(small[..., 1].astype(np.float32) - 128, small[..., 2].astype(np.float32) - 128)
    edge = np.concatenate([chroma[0], chroma[-1], chroma[:, 0], chroma[:, -1]])
    if float(np.median(edge)) < 12:
        return None
    bright = ((chroma < 12) & (small[..., 0] > 110)).astype(np.uint8)
    white = cv2.morphologyEx(bright, cv2.MORPH_OPEN, _disc(2))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(white)
    if count < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    if stats[largest, cv2.CC_STAT_AREA] < 0.08 * white.size:
        return None
    contours, _ = cv2.findContours((labels == largest).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(contours))
    filled = np.zeros(white.shape, np.uint8)
    cv2.fillConvexPoly(filled, hull, 255)
    return np.asarray(cv2.resize(filled, (lab.shape[1], lab.shape[0]), interpolation=cv2.INTER_NEAREST), np.uint8)


def _distance(lab: Plane, plate: Plane | None, not_fruit: Mask) -> Plane:
    """Return the chroma distance of every pixel to the nearest ground colour, 0 to 255."""
    colour = lab[..., 1:].astype(np.float32)
    if plate is None:
        sample = colour[::4, ::4][~not_fruit[::4, ::4]].reshape(-1, 2)
        border = np.concatenate(
            [
                colour[:6].reshape(-1, 2),
                colour[-6:].reshape(-1, 2),
                colour[:, :6].reshape(-1, 2),
                colour[:, -6:].reshape(-1, 2),
            ]
        )
        # The picture's edge is ground nearly everywhere; the whole picture may be mostly fruit.
        grounds = [np.median(border if border.size else sample, axis=0)]
    else:
        on_plate = (plate > 0) & ~not_fruit
        chroma = np.hypot(colour[..., 0] - 128, colour[..., 1] - 128)
        grounds = [np.median(colour[on_plate & (chroma < 14)].reshape(-1, 2), axis=0)]
        table = colour[plate == 0].reshape(-1, 2)
        if table.size:
            grounds.extend(np.percentile(table, q, axis=0) for q in (15, 50, 85))
    nearest = np.min([np.hypot(colour[..., 0] - g[0], colour[..., 1] - g[1]) for g in grounds], axis=0)
    if plate is not None:
        # On the plate itself the table's colour is no ground: a brown fruit may lie there.
        inner = cv2.erode(plate, _disc(9)) > 0
        to_plate = np.hypot(colour[..., 0] - grounds[0][0], colour[..., 1] - grounds[0][1])
        nearest = np.where(inner, to_plate, nearest)
    return np.asarray(np.clip(nearest, 0, 255), np.uint8)


def _split(mask: Plane, solidity_permille: int) -> list[tuple[Plane, int, int]]:
    """Return the parts of a mask: itself where it is convex enough, else cut at the necks."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=cv2.contourArea)
    hull = float(cv2.contourArea(cv2.convexHull(contour)))
    if hull <= 0 or float(cv2.contourArea(contour)) * 1000 >= solidity_permille * hull:
        return [(mask, 0, 0)]
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)
    cores = (depth > 0.62 * depth.max()).astype(np.uint8)
    count, markers = cv2.connectedComponents(cores)
    if count <= 2:
        return [(mask, 0, 0)]
    seeds = markers.astype(np.int32) + 1
    seeds[(padded > 0) & (cores == 0)] = 0
    relief = cv2.cvtColor((255 * (1 - depth / depth.max())).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    flooded = cv2.watershed(relief, seeds)[1:-1, 1:-1]
    parts = []
    for label in range(2, count + 1):
        part = ((flooded == label) & (mask > 0)).astype(np.uint8)
        if part.any():
            ys, xs = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
            parts.append((part[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1], int(xs[0]), int(ys[0])))
    return parts


def _filled(mask: Plane) -> Plane:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return np.asarray(cv2.drawContours(np.zeros_like(mask), contours, -1, 255, -1), np.uint8)


def _disc(radius: int) -> Plane:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)
