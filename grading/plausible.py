"""Whether what was outlined and measured can be one fruit of the crop at all. Pure functions.

A network that knows fruit also takes discs of paper, plates and hands for some, and a wrong scale makes giants of all.
Form, light, size and colour speak against that.
"""

from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np

from grading.camera import Pixels, Plane, to_lab
from grading.measure import Mask, Measures
from grading.standard import Standard, Text

IMPLAUSIBLE: Final[Mapping[str, Text]] = {
    "form": Text(
        "轮廓不像一个完整的果子",
        "its outline is not that of one whole fruit",
    ),
    "flat": Text(
        "表面明暗处处一样，像纸片，不像圆的果子",  # noqa: RUF001  # Chinese has its own comma
        "it is equally bright all over, like paper and not like a round fruit",
    ),
    "size": Text(
        "大小超出该品类的范围：不是这种果子，或比例尺不对",  # noqa: RUF001  # Chinese punctuation
        "a size this crop does not have: it is none, or the scale is wrong",
    ),
    "colour": Text(
        "颜色不是这种果子的颜色，或画面没有颜色",  # noqa: RUF001  # Chinese has its own comma
        "not the colour of such a fruit, or a picture without colours",
    ),
}
"""Why something may be no fruit of the crop."""

LEAST_LIKE_ELLIPSE: Final = {"round": 0.905, "long": 0.86}
"""Of the fruit in the collection of grading/README.md that a standard is for, seen from above and from the side, the
least have 0.909 and 0.876. A square has 0.83, but more as the network rounds its corners off."""
_LEAST_SHADED: Final = 8.0
"""How far the brighter parts of a fruit are from its darker ones (CIE L*): 16 or more on all photographs of the
collection, below 6 on paper."""
_LEAST_IN_BANDS_PERMILLE: Final = 400
"""Of the photographs graded in the collection none has less than 593 in the colours of its crop."""
_SIZE_RANGE: Final = (0.5, 1.8)
"""Least and largest plausible size, as shares of the standard's least size and of its last group's beginning."""
_ONE_HUE: Final = 8.0
"""Degrees of hue (CIE) that four fifths of a ripe tomato's skin share in half of the 50 photographs from above; so do
those of one apple's in 109, which are streaked."""


def implausible(pixels: Pixels, mask: Mask, measures: Measures, standard: Standard) -> tuple[str, ...]:
    """Return what speaks against this being one fruit of the crop: names of IMPLAUSIBLE."""
    told = {
        "form": like_ellipse(mask) < LEAST_LIKE_ELLIPSE[standard.solid.form],
        "flat": not _is_shaded(pixels, mask),
        "size": not has_size_of(measures, standard),
        "colour": not has_colour_of(measures),
    }
    return tuple(name for name, is_so in told.items() if is_so)


def has_size_of(measures: Measures, standard: Standard) -> bool:
    """Whether a fruit is neither far smaller nor far larger than those the standard sizes."""
    sizing = standard.content.size
    # A cube, so that grams and millimetres have the same range.
    power = 3 if sizing.by == "mass_g" else 1
    least, most = _SIZE_RANGE[0] ** power * sizing.minimum, _SIZE_RANGE[1] ** power * max(1, sizing.codes[-1].from_)
    return least <= standard.size_of(measures) <= most


def has_colour_of(measures: Measures) -> bool:
    """Whether most of the skin has one of the crop's colours, where its standard names any."""
    return not measures.bands or sum(share for _, share in measures.bands) >= _LEAST_IN_BANDS_PERMILLE


def is_of_one_hue(pixels: Pixels, mask: Mask) -> bool:
    """Whether a skin, short of its edge, has one hue all over, as ripe tomatoes have."""
    width = max(3, mask.shape[1] // 10)
    inner = cv2.erode(np.pad(np.asarray(mask, np.uint8), 1), np.ones((width, width), np.uint8))[1:-1, 1:-1] > 0
    if not inner.any():
        return False
    lab = to_lab(pixels)[inner]
    low, high = np.percentile(np.degrees(np.arctan2(lab[:, 2], lab[:, 1])), (10, 90))
    return bool(high - low < _ONE_HUE)


def like_ellipse(mask: Mask | Plane) -> float:
    """Return the overlap (intersection over union) of a mask with the ellipse that has its moments."""
    drawn = np.ascontiguousarray(mask, np.uint8)
    moments = cv2.moments(drawn, binaryImage=True)
    area = moments["m00"]
    if not area:
        return 0.0
    xx, xy, yy = (moments[name] / area for name in ("mu20", "mu11", "mu02"))
    spread = xx * yy - xy * xy
    if spread <= 0:
        return 0.0
    x = np.arange(drawn.shape[1], dtype=np.float32) - np.float32(moments["m10"] / area)
    y = (np.arange(drawn.shape[0], dtype=np.float32) - np.float32(moments["m01"] / area))[:, None]
    # Along a row it is a parabola: what is constant in it is reckoned once.
    rest = np.float32(4 * spread) - np.float32(xx) * y * y
    ellipse = ((np.float32(yy) * x - np.float32(2 * xy) * y) * x <= rest).view(np.uint8)
    both = cv2.countNonZero(cv2.bitwise_and(ellipse, drawn))
    return both / (cv2.countNonZero(ellipse) + area - both)


def waist_permille(outline: Plane) -> float:
    """Return how deep the second deepest hollow of an outline is, in thousandths of its narrowest width.

    Two bodies on one another have two hollows where their outlines meet; one body hardly has a second.
    """
    smooth = cv2.approxPolyDP(outline.reshape(-1, 1, 2), 1.5, closed=True)
    if len(smooth) < 4:
        return 0.0
    try:
        found = cv2.convexityDefects(smooth, cv2.convexHull(smooth, returnPoints=False))
    except cv2.error:  # an outline that crosses itself has no hollows to speak of
        return 0.0
    if np.size(found) < 8:  # None, or a single hollow
        return 0.0
    depths = np.sort(np.asarray(found).reshape(-1, 4)[:, 3] / 256)
    _, axes, _ = cv2.minAreaRect(smooth)
    return float(depths[-2]) * 1000 / min(axes)


def _is_shaded(pixels: Pixels, mask: Mask) -> bool:
    light = cv2.cvtColor(pixels, cv2.COLOR_BGR2LAB)[..., 0][mask] * (100 / 255)
    dark, bright = np.percentile(light, (5, 95))
    return bool(bright - dark >= _LEAST_SHADED)
