"""Defects on a fruit, by a network that was trained on drawn fruit and a few real ones: what kind, where, how large.

It sees one fruit at a time, cut out and laid on grey. It knows stem and calyx as well, so that they are not taken
for marks: they are no defects, and are told apart from them. What it can and cannot do is in grading/README.md,
"Defects".
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.camera import Pixels
from grading.detect import box_overlap
from grading.learned import Model, row_box, shipped

Mask = NDArray[np.bool_]

NO_DEFECTS: Final = ("stem", "calyx")
KINDS: Final = ("stem", "calyx", "scab", "bruise", "russet", "rot", "cut", "sap-burn", "mark")
"""What the network tells apart; `mark` is a defect whose kind nobody said."""
LEAST_END_PERMILLE: Final = 200
"""From this score on, what looks like a stem or a calyx is taken for one."""
_GREY: Final = 114
_LEAST_PERMILLE: Final = 15
_SAME: Final = 0.55
"""Boxes that overlap by this share are of one defect."""


@dataclass(frozen=True, slots=True, eq=False)
class Defect:
    """One defect. `box` is left, top, width, height in pixels of the fruit's box, `part` what lies in that box."""

    kind: str
    score_permille: int
    box: tuple[int, int, int, int]
    part: Mask
    area_mm2: int
    """As seen: what lies askew to the camera looks smaller."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What the network sees on a fruit: its defects, largest first, and its ends (stem, calyx), surest first."""

    defects: tuple[Defect, ...]
    ends: tuple[Defect, ...]

    def defects_mm2(self, *, mm_per_px: float) -> int:
        """Return the area that the defects cover together."""
        return defects_mm2(list(self.defects), mm_per_px=mm_per_px)


@dataclass(frozen=True, slots=True, eq=False)
class FruitOnGrey:
    """A fruit as the network sees it: `scale` pixels of it for one of the photograph, from `left` and `top` on."""

    pixels: Pixels
    mask: Mask
    scale: float
    left: int
    top: int


def on_grey(pixels: Pixels, mask: Mask, side: int) -> FruitOnGrey:
    """Return the fruit in `mask`, cut out of its box and fitted into a grey square."""
    h, w = mask.shape
    scale = side / max(h, w)
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(pixels, size, interpolation=smooth)
    inside = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    canvas = np.full((side, side, 3), _GREY, np.uint8)
    part = canvas[top : top + size[1], left : left + size[0]]
    part[inside > 0] = small[inside > 0]
    covers = np.zeros((side, side), bool)
    covers[top : top + size[1], left : left + size[0]] = inside > 0
    return FruitOnGrey(canvas, covers, scale, left, top)


@dataclass(frozen=True, slots=True, eq=False)
class DefectModel:
    """A network that finds defects. Weights that are not their card's are refused by `learned.load_model`."""

    model: Model
    least_permille: int | None = None
    """From this score on a defect is returned; the card's own where none is said."""

    def find(self, pixels: Pixels, mask: Mask, *, mm_per_px: float) -> list[Defect]:
        """Return the defects of the fruit in `mask`, as `look`."""
        return list(self.look(pixels, mask, mm_per_px=mm_per_px).defects)

    def look(self, pixels: Pixels, mask: Mask, *, mm_per_px: float) -> Found:
        """Return defects and ends of the fruit in `mask` (both cut to its box). Raises ModelFileError.

        `mm_per_px` is that of the fruit, not of the belt below it: `measure.belt_to_fruit` gives the share.
        """
        card = self.model.card
        least = card.least_score_permille if self.least_permille is None else self.least_permille
        seen = on_grey(pixels, mask, card.side)
        image = seen.pixels[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
        rows, prototypes = self.model.run(np.ascontiguousarray(image))
        defects: list[Defect] = []
        ends: list[Defect] = []
        for group in _groups(rows[rows[:, 4] * 1000 >= _LEAST_PERMILLE]):
            kind = card.classes[int(group[0][5])]
            score = min(1000, round(1000 * sum(float(row[4]) for row in group)))
            is_end = kind in NO_DEFECTS
            if score < (LEAST_END_PERMILLE if is_end else least):
                continue
            covers = self._covers(group[0], prototypes, seen, mask)
            ys, xs = np.flatnonzero(covers.any(axis=1)), np.flatnonzero(covers.any(axis=0))
            if not len(ys):
                continue
            part = covers[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
            box = (int(xs[0]), int(ys[0]), int(part.shape[1]), int(part.shape[0]))
            area_mm2 = round(int(part.sum()) * mm_per_px * mm_per_px)
            (ends if is_end else defects).append(Defect(kind, score, box, part, area_mm2))
        return Found(
            tuple(sorted(defects, key=lambda each: (-each.area_mm2, each.box))),
            # A fruit has two ends, and from most sides shows one.
            tuple(sorted(ends, key=lambda each: (-each.score_permille, each.box)))[:2],
        )

    def _covers(self, row: NDArray[np.float32], prototypes: NDArray[np.float32], seen: FruitOnGrey, mask: Mask) -> Mask:
        """Return a find's mask in the fruit's own pixels."""
        side = self.model.card.side
        cells = prototypes.shape[1] / side
        logits = np.tensordot(row[6:], prototypes, axes=1).astype(np.float32)
        h, w = mask.shape
        xs = ((np.arange(w) + 0.5) * seen.scale + seen.left).astype(np.float32)
        ys = ((np.arange(h) + 0.5) * seen.scale + seen.top).astype(np.float32)
        across, down = np.meshgrid(xs * np.float32(cells) - 0.5, ys * np.float32(cells) - 0.5)
        enlarged = cv2.remap(logits, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        x0, y0, x1, y1 = (float(value) for value in row[:4])
        in_box = ((xs >= x0) & (xs <= x1))[None, :] & ((ys >= y0) & (ys <= y1))[:, None]
        return np.asarray((np.asarray(enlarged) > 0) & in_box & mask, bool)


def defects_mm2(found: list[Defect], *, mm_per_px: float) -> int:
    """Return the area that defects cover together: what two of them cover counts once."""
    if not found:
        return 0
    right, bottom = (max(each.box[axis] + each.box[axis + 2] for each in found) for axis in (0, 1))
    covered = np.zeros((bottom, right), bool)
    for each in found:
        x, y, w, h = each.box
        covered[y : y + h, x : x + w] |= each.part
    return round(int(covered.sum()) * mm_per_px * mm_per_px)


@cache
def shipped_model() -> DefectModel:
    """Return the model that comes with the product. Raises ModelFileError."""
    return DefectModel(shipped("defects"))


def _groups(rows: NDArray[np.float32]) -> list[list[NDArray[np.float32]]]:
    """Group finds of one place: a defect that may be a scab or a rot is one. Stem and calyx stand for themselves."""
    groups: list[list[NDArray[np.float32]]] = []
    for row in rows[np.argsort(-rows[:, 4], kind="stable")]:
        is_defect = KINDS[int(row[5])] not in NO_DEFECTS if int(row[5]) < len(KINDS) else True
        group = next((each for each in groups if box_overlap(row_box(each[0]), row_box(row)) >= _SAME), None)
        if group is None:
            groups.append([row])
        elif is_defect == (KINDS[int(group[0][5])] not in NO_DEFECTS):
            group.append(row)
    return groups
