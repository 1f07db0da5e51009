"""The detector for photographs nobody has seen: what it trusts depends on the ground the fruit lie on.

On plain ground (a belt, a sheet, a tray) colour gives the sharper outline and misses nothing, and the network says
which of the spots are fruit. On any other ground colour goes astray, and the network is asked alone; before a busy
one (leaves) a large photograph is also shown to it in parts, because fruit are small there. Which of the three it
was follows from the pixels, so the same photograph is always looked at in the same way.
"""

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import combinations
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.agree import groups, overlap
from grading.calibrate import Box, Polygon
from grading.camera import Pixels
from grading.detect import ClassicalDetector, Detection, box_overlap, largest_contour
from grading.edges import filled, followed
from grading.learned import SURE_COIN_PERMILLE, Find, LearnedDetector, Model, find
from grading.measure import feret_px

if TYPE_CHECKING:
    from grading.defects import DefectModel

_SAME_SHAPE: Final = 0.92
_OTHER_SHAPE: Final = 0.62
_ALIKE: Final = 0.85
"""Where the two outlines, or the boxes around them, share less than this, a sure network's is taken."""
_WHITE: Final = 244
_CUT_OUT: Final = (0.45, 0.95)
"""A fruit cut out and trimmed covers so much of its picture: an ellipse in its box covers 0.785."""
_ONE_BODY: Final = 0.93
_CUT_OUT_PERMILLE: Final = 300
_MOST_SHAVED: Final = 0.45
"""Scissors shave what they trim: by a twentieth of the width at this contact."""
_PLAIN_CHROMA: Final = 14.0
"""CIE chroma up to which the ground along the picture's edge is grey; fruit may lie on a third of that edge."""
_PLAIN_PERCENT: Final = 65
_BUSY_TEXTURE: Final = 6.0
"""Change of lightness from pixel to pixel along the edge, in a picture 400 pixels wide: tables and belts stay under
2, leaves over 10."""
_PART_PX: Final = 540
_SAME_PLACE: Final = 0.6
"""Finds in parts that cover each other by this share of the smaller box mean the same thing."""
_BENDS: Final = "banana"
_NEAR_SHARE: Final = 0.06
_END_TO_END: Final = 0.72
"""Pieces of one banana lie end to end: together at least so long as both in a row. Two side by side have 0.6."""
_SPECK_CELLS: Final = 6
_SURE_TURNED_PERMILLE: Final = 300
"""What is seen only with the picture turned round counts from this score on."""
_LEAST_EDGE_SHARE: Final = 0.7
_MOST_CONTACT: Final = 0.2
"""A round fruit that touches the picture's edge along this share of its width lacks a hundredth of it."""


class Ground(StrEnum):
    """What the fruit lie on."""

    PLAIN = "plain"
    OTHER = "other"
    BUSY = "busy"


@dataclass(frozen=True, slots=True, eq=False)
class _Last:
    """The finds in the photograph looked at last: scale, fruit and ground are asked for one after the other."""

    of: list[tuple["weakref.ref[Pixels]", list[Find]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AutomaticDetector:
    """Fruit by colour and network on plain ground, by the network alone elsewhere.

    Scores: on plain ground how alike the two outlines are, or the network's own word if it is better; what only
    colour sees, or the network hardly believes, gets `alone_permille` at most, which no standard here accepts
    without a person. Kind: the network's. Outline: colour's on plain ground, else the network's with its edge
    sought in the photograph.
    """

    learned: LearnedDetector
    classical: ClassicalDetector = field(default_factory=lambda: ClassicalDetector(most_area_permille=900))
    alone_permille: int = 300
    believed_permille: int = 200
    """From this score of the network on, its find counts as a witness for what colour sees."""
    edition: int = 2
    """The first one told the halves of a bent banana apart, and specks at the picture's edge from what is cut by it."""
    _last: _Last = field(default_factory=_Last, compare=False, repr=False)

    @property
    def description(self) -> Mapping[str, str | int]:
        """Name, version and the parameters of both, the weights' hash among them."""
        parts = {
            f"{who}.{name}": value
            for who, detector in (("classical", self.classical), ("learned", self.learned))
            for name, value in detector.description.items()
        }
        return {
            "name": "automatic",
            "version": f"v{self.edition}",
            "alonePermille": self.alone_permille,
            "believedPermille": self.believed_permille,
            **parts,
        }

    @property
    def defects(self) -> "DefectModel | None":
        """The network that looks at marks again, where there is one."""
        return self.learned.defects

    def detect(self, pixels: Pixels, *, ignore: Sequence[Polygon] = ()) -> list[Detection]:
        """Return every fruit once, top to bottom and left to right."""
        if (alone := _cut_out(pixels)) is not None:
            return [self._named(alone, pixels)]
        finds = self._finds(pixels)
        outlined = self.learned.outlined(pixels, finds, ignore=ignore)
        if self.edition > 1:
            outlined = _whole_bananas(outlined)
        by_learning = [self._sharpened(pixels, each) for each in outlined]
        if self.edition > 1:
            by_learning = [self._cut_if_speck(each, pixels) for each in by_learning]
        # What reaches beyond the picture and is hardly believed is a cable or a plate's rim, not half a fruit.
        by_learning = [each for each in by_learning if not each.is_cut or each.score_permille >= self.believed_permille]
        if ground_of(pixels) != Ground.PLAIN:
            return by_learning
        sure = [each for each in finds if each.kind == "coin" and each.score_permille >= SURE_COIN_PERMILLE]
        coins = [_corners(each.box) for each in sure]
        by_colour = [_cut_or_not(each, pixels) for each in self.classical.detect(pixels, ignore=[*ignore, *coins])]
        found = [each for group in groups(by_colour, by_learning) for each in self._agreed(*group)]
        row = max(1, pixels.shape[0] // 8)
        return sorted(found, key=lambda d: ((d.y + d.mask.shape[0] // 2) // row, d.x))

    def _named(self, fruit: Detection, pixels: Pixels) -> Detection:
        """Return a cut-out fruit with what the network says of it, shown with air around it."""
        h, w = pixels.shape[:2]
        air = max(h, w) // 3
        around = cv2.copyMakeBorder(pixels, air, air, air, air, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        x, y, width, height = fruit.box
        own = (x + air, y + air, x + air + width, y + air + height)
        seen = [each for each in find(np.asarray(around, np.uint8), self.learned.model) if each.kind != "coin"]
        best = max(seen, key=lambda each: box_overlap(each.box, own), default=None)
        if best is None or box_overlap(best.box, own) < _ALIKE:
            return fruit
        score = max(fruit.score_permille, best.score_permille)
        return replace(fruit, score_permille=score, kind=best.kind, kinds=best.kinds)

    def ground(self, pixels: Pixels) -> str:
        """Return `plain`, `other` or `busy`: who was asked follows from it."""
        return ground_of(pixels).value

    def coins(self, pixels: Pixels) -> list[Box]:
        """Return where coins lie, best first."""
        return [each.box for each in self._finds(pixels) if each.kind == "coin"]

    def coin_scores(self, pixels: Pixels) -> list[int]:
        """Return how sure the network is of each of `coins`, in thousandths."""
        return [each.score_permille for each in self._finds(pixels) if each.kind == "coin"]

    def kinds(self, pixels: Pixels) -> Mapping[str, int]:
        """Return what the fruit the network believes in may be: score times likelihood of each kind, added up."""
        sums: dict[str, int] = {}
        for each in self._finds(pixels):
            if each.kind != "coin" and each.score_permille >= self.believed_permille:
                for kind, likely in each.kinds.items():
                    sums[kind] = sums.get(kind, 0) + each.score_permille * likely // 1000
        return sums

    def _finds(self, pixels: Pixels) -> list[Find]:
        if not self._last.of or self._last.of[0][0]() is not pixels:
            finds = _found(pixels, self.learned.model)
            if self.edition > 1:
                finds = _completed(finds, pixels, self.learned.model)
            self._last.of[:] = [(weakref.ref(pixels), finds)]
        return self._last.of[0][1]

    def _agreed(self, by_colour: list[Detection], by_learning: list[Detection]) -> list[Detection]:
        believed = [each for each in by_learning if each.score_permille >= self.believed_permille]
        if len(by_colour) == len(believed) == 1:
            colour, learning = by_colour[0], believed[0]
            shared = overlap(colour, learning)
            alike = round(1000 * min(1.0, max(0.0, (shared - _OTHER_SHAPE) / (_SAME_SHAPE - _OTHER_SHAPE))))
            if alike > self.alone_permille:
                score = max(alike, learning.score_permille)
                # A thin stalk changes the box, and hardly the area.
                if self._is_sure(learning) and min(shared, box_overlap(colour.corners, learning.corners)) < _ALIKE:
                    # Colour took a stand, a stalk or a shadow along, or left a part of the fruit out.
                    return [learning]
                # Colour's outline: on plain ground it is exact to the pixel.
                return [_named_by(learning, replace(colour, score_permille=score))]
        is_sure = bool(believed) and all(self._is_sure(each) for each in believed)
        if len(by_colour) > len(believed) and not is_sure:
            # What colour counts and the network does not confirm one by one is left to a person.
            return [self._left(_named_by(believed[0], each) if believed else each) for each in by_colour]
        return [self._left(each) for each in believed] if by_colour else by_learning

    def _is_sure(self, fruit: Detection | Find) -> bool:
        return fruit.score_permille >= self.learned.model.card.sure_score_permille

    def _left(self, fruit: Detection) -> Detection:
        return replace(fruit, score_permille=min(fruit.score_permille, self.alone_permille))

    def _cut_if_speck(self, fruit: Detection, pixels: Pixels) -> Detection:
        """Return the fruit, called cut where it lies at the picture's edge and is too small to tell whether it is."""
        height, width = pixels.shape[:2]
        cell = max(height, width) / (self.learned.model.card.side / 4)
        x, y, w, h = fruit.box
        is_at_edge = min(x, y, width - x - w, height - y - h) <= cell
        return replace(fruit, is_cut=fruit.is_cut or (is_at_edge and max(w, h) <= _SPECK_CELLS * cell))

    def _sharpened(self, pixels: Pixels, fruit: Detection) -> Detection:
        """Return the fruit with its edge as the photograph shows it."""
        points = None if fruit.is_cut else followed(pixels, fruit.outline)
        inside = None if points is None else filled(points, pixels.shape)
        if inside is None:
            return _cut_or_not(fruit, pixels)
        mask, x, y = inside
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if not contours:
            return _cut_or_not(fruit, pixels)
        outline = max(contours, key=cv2.contourArea).reshape(-1, 2) + np.array([x, y])
        sharp = _cut_or_not(replace(fruit, x=x, y=y, mask=mask, outline=outline.astype(np.int32)), pixels)
        return sharp if overlap(sharp, fruit) >= _LEAST_EDGE_SHARE else _cut_or_not(fruit, pixels)


def ground_of(pixels: Pixels) -> Ground:
    """Return what the picture's edge, all the way round, says of the ground."""
    shrink = min(1.0, 400 / max(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else pixels
    lab = cv2.cvtColor(small, cv2.COLOR_BGR2LAB).astype(np.float32)
    light = lab[..., 0]
    texture = np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1)) / 8
    if float(np.median(_border(texture))) > _BUSY_TEXTURE:
        return Ground.BUSY
    chroma = np.hypot(lab[..., 1] - 128, lab[..., 2] - 128)
    return Ground.PLAIN if float(np.percentile(_border(chroma), _PLAIN_PERCENT)) < _PLAIN_CHROMA else Ground.OTHER


def _border(values: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.concatenate([values[:6].ravel(), values[-6:].ravel(), values[:, :6].ravel(), values[:, -6:].ravel()])


def _found(pixels: Pixels, model: Model) -> list[Find]:
    """Return what the network sees in the photograph, and in its parts where the ground is busy; best first."""
    whole = find(pixels, model)
    h, w = pixels.shape[:2]
    if max(h, w) < 2 * _PART_PX or ground_of(pixels) != Ground.BUSY:
        return whole
    found = list(whole)
    for top in _starts(h):
        for left in _starts(w):
            part = np.ascontiguousarray(pixels[top : top + _PART_PX, left : left + _PART_PX])
            found += [
                _moved(each, left, top) for each in find(part, model) if not _is_torn(each, part, left, top, pixels)
            ]
    kept: list[Find] = []
    for each in sorted(found, key=lambda one: -one.score_permille):
        if not any(_inside(each.box, other.box) > _SAME_PLACE for other in kept):
            kept.append(each)
    return kept


def _completed(finds: list[Find], pixels: Pixels, model: Model) -> list[Find]:
    """Return the finds with coin or fruit, where either is missing, from a second look at the picture turned round.

    Turned, a network sees what it just missed, as if in another photograph. A coin seen only so is never a sure one.
    """
    missing = {each.kind == "coin" for each in finds} ^ {True, False}
    if not missing:
        return finds
    h, w = pixels.shape[:2]
    again = [
        _turned(each, w, h)
        for each in find(np.ascontiguousarray(pixels[::-1, ::-1]), model)
        if (each.kind == "coin") in missing and each.score_permille >= _SURE_TURNED_PERMILLE
    ]
    return sorted([*finds, *again], key=lambda each: -each.score_permille)


def _turned(found: Find, width: int, height: int) -> Find:
    x0, y0, x1, y1 = found.box
    rows, columns = found.mask.shape
    cells = found.cells_per_px
    score = min(found.score_permille, SURE_COIN_PERMILLE - 1) if found.kind == "coin" else found.score_permille
    return replace(
        found,
        score_permille=score,
        box=(width - x1, height - y1, width - x0, height - y0),
        mask=np.ascontiguousarray(found.mask[::-1, ::-1]),
        corner=(columns - found.corner[0] - width * cells, rows - found.corner[1] - height * cells),
    )


def _starts(length: int) -> list[int]:
    """Return where parts begin that cover a length and overlap by a quarter or more."""
    count = max(1, math.ceil((length - _PART_PX) / (_PART_PX * 0.75)) + 1)
    return [round(index * max(0, length - _PART_PX) / max(1, count - 1)) for index in range(count)]


def _moved(found: Find, left: int, top: int) -> Find:
    x0, y0, x1, y1 = found.box
    cells = found.cells_per_px
    return replace(
        found,
        box=(x0 + left, y0 + top, x1 + left, y1 + top),
        corner=(found.corner[0] - left * cells, found.corner[1] - top * cells),
    )


def _is_torn(found: Find, part: Pixels, left: int, top: int, whole: Pixels) -> bool:
    """Whether a find in a part reaches the part's edge where the photograph goes on."""
    x0, y0, x1, y1 = found.box
    h, w = part.shape[:2]
    return (
        (x0 < 3 and left > 0)
        or (y0 < 3 and top > 0)
        or (x1 > w - 3 and left + w < whole.shape[1])
        or (y1 > h - 3 and top + h < whole.shape[0])
    )


def _inside(a: Box, b: Box) -> float:
    """Return how much of the smaller of two boxes the other covers."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(0.0, width) * max(0.0, height) / max(1e-6, smaller)


def _cut_out(pixels: Pixels) -> Detection | None:
    """Return the one thing in a picture whose ground somebody made white and trimmed away; None in any other picture.

    There is no ground left to learn a colour from, and the fruit touches the picture's edge without being cut by it.
    """
    coloured = (pixels.min(axis=2) < _WHITE).astype(np.uint8)
    corners = [coloured[y, x] for y in (1, -2) for x in (1, -2)]
    if sum(corners) > 1 or not _CUT_OUT[0] <= float(coloured.mean()) <= _CUT_OUT[1]:
        return None
    opened = cv2.morphologyEx(coloured, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    contours, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    contour = max(contours, key=cv2.contourArea)
    area, hull = cv2.contourArea(contour), cv2.contourArea(cv2.convexHull(contour))
    if area < _CUT_OUT[0] * coloured.size or area < _ONE_BODY * hull or area < _ONE_BODY * int(opened.sum()):
        return None
    x, y, w, h = cv2.boundingRect(contour)
    mask = cv2.drawContours(np.zeros((h, w), np.uint8), [contour - (x, y)], -1, 1, -1).astype(bool)
    outline = contour.reshape(-1, 2).astype(np.int32)
    return _cut_or_not(Detection(x, y, mask, outline, _CUT_OUT_PERMILLE, is_cut=False), pixels, most=_MOST_SHAVED)


def _cut_or_not(fruit: Detection, pixels: Pixels, *, most: float = _MOST_CONTACT) -> Detection:
    """Return the fruit, called cut where it touches the picture's edge along more than this share of its width."""
    h, w = fruit.mask.shape
    sides = (
        (fruit.y <= 1, fruit.mask[0], w),
        (fruit.y + h >= pixels.shape[0] - 1, fruit.mask[-1], w),
        (fruit.x <= 1, fruit.mask[:, 0], h),
        (fruit.x + w >= pixels.shape[1] - 1, fruit.mask[:, -1], h),
    )
    return replace(fruit, is_cut=any(at and int(line.sum()) > most * along for at, line, along in sides))


def _whole_bananas(found: Sequence[Detection]) -> list[Detection]:
    """Return the fruit with pieces of one banana joined: the network sees a bent one as two."""
    fruit = list(found)
    joined = True
    while joined:
        joined = False
        bananas = [each for each in fruit if each.kind == _BENDS]
        for one, other in combinations(bananas, 2):
            whole = _joined(one, other)
            if whole is not None:
                at = fruit.index(one)
                fruit[at] = whole
                fruit.remove(other)
                joined = True
                break
    return fruit


def _joined(one: Detection, other: Detection) -> Detection | None:
    """Return two pieces that lie end to end as one fruit, or None where they do not."""
    lengths = [feret_px(each.mask)[0] for each in (one, other)]
    reach = max(1, round(_NEAR_SHARE * max(lengths)))
    (x0, y0, x1, y1), (u0, v0, u1, v1) = one.corners, other.corners
    if min(x1, u1) - max(x0, u0) < -reach or min(y1, v1) - max(y0, v0) < -reach:
        return None
    left, top = int(min(x0, u0)) - reach, int(min(y0, v0)) - reach
    shape = (int(max(y1, v1)) + reach - top, int(max(x1, u1)) + reach - left)
    parts = []
    for each in (one, other):
        part = np.zeros(shape, np.uint8)
        x, y, w, h = each.box
        part[y - top : y - top + h, x - left : x - left + w] = each.mask
        parts.append(part)
    across = np.ones((2 * (reach // 2) + 1, 2 * (reach // 2) + 1), np.uint8)
    closed = cv2.morphologyEx(parts[0] | parts[1], cv2.MORPH_CLOSE, across)
    contour = largest_contour(closed)
    assert contour is not None  # noqa: S101  # both pieces lie in it
    mask = cv2.drawContours(np.zeros(shape, np.uint8), [contour], -1, 1, -1)
    if any(int(mask[part > 0].sum()) < int(part.sum()) for part in parts):
        return None
    if feret_px(mask.astype(bool))[0] < _END_TO_END * sum(lengths):
        return None
    x, y, w, h = cv2.boundingRect(contour)
    surer = max(one, other, key=lambda each: each.score_permille)
    return replace(
        surer,
        x=x + left,
        y=y + top,
        mask=mask[y : y + h, x : x + w].astype(bool),
        outline=(contour.reshape(-1, 2) + np.array([left, top])).astype(np.int32),
        is_cut=one.is_cut or other.is_cut,
    )


def _named_by(learning: Detection, fruit: Detection) -> Detection:
    return replace(fruit, kind=learning.kind, kinds=learning.kinds)


def _corners(box: Box) -> Polygon:
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)
