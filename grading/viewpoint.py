"""From where a photograph beside a coin was taken: from above, or from the side, the coin standing beside the fruit.

Two signs together. Seen from the side, coin and fruit stand on one table, so they end on one level; from above that
happens by chance. And the table ends before a wall: a nearly level line along which the light changes right across the
picture. Pure: pixels, a rim and boxes in, an answer out.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

import cv2
import numpy as np

from grading.calibrate import Polygon
from grading.camera import Pixels

View: TypeAlias = Literal["above", "side"]
ViewAsked: TypeAlias = Literal["automatic", "above", "side"]
VIEWS: Final[tuple[ViewAsked, ...]] = ("automatic", "above", "side")

_BESIDE: Final = (-0.15, 0.25)
"""How much lower than a fruit, in shares of its height, a coin ends that stands beside it: in 97 of 100 photographs
from the side, and in 4 of 100 taken from above (grading/README.md)."""
_ROUGHLY: Final = (-0.3, 0.4)
"""The same of a camera held a few degrees askew."""
_LEAST_HORIZON: Final = 6.0
"""Change of lightness (CIE L*) along a table's far edge: all 249 photographs from the side have more, one in the dark
6.2, the others over 10; and 5 of the 34 from above whose coin ends level with a fruit (grading/README.md)."""
_CLEAR_HORIZON: Final = 10.0
"""From here on the table's edge is so clear that coin and fruit need be level only roughly."""
_WIDTH_PX: Final = 200
_GAP_PX: Final = 5
_SLOPES: Final = np.tan(np.radians((-6, -4, -2, 0, 2, 4, 6)))


def is_from_side(pixels: Pixels, coin: Polygon, boxes: Iterable[tuple[int, int, int, int]]) -> bool:
    """Whether a photograph was taken from the side; `boxes` are those of its fruit: left, top, width, height."""
    roughly = [box for box in boxes if stands_level(coin, box, within=_ROUGHLY)]
    clear = horizon(pixels) if roughly else 0.0
    return clear > _CLEAR_HORIZON or (clear > _LEAST_HORIZON and any(stands_level(coin, box) for box in roughly))


def stands_level(coin: Polygon, box: tuple[int, int, int, int], *, within: tuple[float, float] = _BESIDE) -> bool:
    """Whether a coin stands beside a fruit, as far down as the fruit's lowest point."""
    x, y, w, h = box
    (left, _), (right, bottom) = coin.min(axis=0), coin.max(axis=0)
    return bool((left > x + w or right < x) and within[0] < (float(bottom) - y - h) / h < within[1])


def most_are_level(level: Sequence[bool], scores_permille: Sequence[int]) -> bool:
    """Whether more speaks for a view from the side than against it, each fruit counted by how sure it is one.

    Of several fruit seen from above one ends level with the coin by chance; from the side all do, and a cable does not.
    """
    return sum(score if yes else -score for yes, score in zip(level, scores_permille, strict=True)) > 0


def horizon(pixels: Pixels) -> float:
    """Return by how much lightness (CIE L*) changes across the clearest nearly level line, for half its length."""
    height, width = pixels.shape[:2]
    rows = max(1, round(height * _WIDTH_PX / width))
    small = cv2.resize(pixels, (_WIDTH_PX, rows), interpolation=cv2.INTER_AREA)
    light = cv2.cvtColor(small, cv2.COLOR_BGR2LAB)[..., 0].astype(np.float32) * (100 / 255)
    light = np.asarray(cv2.GaussianBlur(light, (0, 0), 1.0), np.float32)
    step = light[_GAP_PX:] - light[:-_GAP_PX]
    columns = np.arange(_WIDTH_PX)
    clearest = 0.0
    for slope in _SLOPES:
        shift = np.rint(slope * (columns - _WIDTH_PX / 2)).astype(np.intp)
        reach = int(np.abs(shift).max())
        at = np.arange(reach, len(step) - reach)[:, None] + shift[None, :]
        if len(at):
            clearest = max(clearest, float(np.abs(np.median(step[at, columns[None, :]], axis=1)).max()))
    return clearest
