"""Colour's marks, looked at again by the network for defects.

Colour takes for a mark what is darker and duller than the skin around it, and the hollow about a stem is both. The
network tells where stem and calyx are; marks that lie there are left out. It also says of what kind a mark is, and
where the two see so differently that another class would follow, a person decides.

Nothing here makes a mark or enlarges one: colour's marks are kept or left out whole. So a fruit never comes out worse
than by colour alone, and one mark more never makes it better.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from grading.camera import Pixels
from grading.grade import Verdict, grade
from grading.measure import Mark, Mask, Measures
from grading.standard import Standard, Tariff

if TYPE_CHECKING:
    # It brings the inference runtime along, which stations that grade by colour alone do without.
    from grading.defects import Defect, DefectModel, Found

_HOLLOW: Final = 0.18
"""How far from the middle of a stem or calyx its hollow reaches, in shares of the root of the fruit's area."""
_WITHIN: Final = 0.5
"""A mark is of a hollow where this share of its box lies there."""
_SAME: Final = 0.3
"""A mark is the network's defect where this share of its box is covered by it."""
_CLEARLY_MM2: Final = 40
_CLEARLY_MORE: Final = 3
"""Colour and network differ clearly where one sees more than twice as much as the other, and more by this: in area,
and in number where the standard counts marks."""
_MANY: Final = 99

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the network says of the marks that colour sees on one side of a fruit."""

    left: Measures
    """As they were, without the marks of stem and calyx."""
    by_network: Measures
    """As they were, with the network's own defects for marks."""


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What is left of colour's marks, and what the network says of them."""

    measures: Measures
    """As they were, without the marks of stem and calyx."""
    left_out: tuple[Mark, ...] = ()
    kinds: tuple[str, ...] = ()
    """What each mark in `measures` is called: by the network where it is sure of the kind, else by colour."""
    network_mm2: int = 0
    """What the network's own defects cover together."""
    is_doubted: bool = False
    """Whether the network's defects would give another class or tier, and clearly differ from colour's marks."""


def shows_ends(standard: Standard) -> bool:
    """Whether rollers bring stem and calyx of such fruit into view: long fruit turn about the axis between them."""
    return standard.solid.form == "round"


def decides(measures: Measures, standard: Standard, tariff: Tariff, *, brix_tenths: int | None = None) -> bool:
    """Whether marks can decide the fruit's class or tier at all: what is too small stays so, marked or not."""
    area_mm2 = max(1, measures.area_mm2)
    whole = Mark("mark", (0, 0, 1, 1), area_mm2, round(2000 * math.sqrt(area_mm2 / math.pi)))
    ruined = replace(measures, blemish_mm2=area_mm2, blemish_permille=1000, marks=(whole,) * _MANY)
    ends = without_marks(measures), ruined
    return differ(*(grade(each, standard, tariff, brix_tenths=brix_tenths) for each in ends))


def look_again(
    pixels: Pixels,
    mask: Mask,
    measures: Measures,
    model: "DefectModel",
    *,
    standard: Standard,
    tariff: Tariff,
    brix_tenths: int | None = None,
) -> SecondLook:
    """Return colour's marks as the network leaves them. Raises ModelFileError.

    `pixels` and `mask` are cut to the fruit's box, as `measures` were taken.
    """
    answer, defects = _asked(pixels, mask, measures, model)
    left, by_network = answer.left, answer.by_network
    verdicts = [grade(each, standard, tariff, brix_tenths=brix_tenths) for each in (left, by_network)]
    sure = model.model.card.sure_score_permille
    return SecondLook(
        measures=left,
        left_out=tuple(mark for mark in measures.marks if mark not in left.marks),
        kinds=tuple(_kind(mark, defects, sure) for mark in left.marks),
        network_mm2=by_network.blemish_mm2,
        is_doubted=clearly_differ(left, by_network, standard) and differ(*verdicts),
    )


def ask(pixels: Pixels, mask: Mask, measures: Measures, model: "DefectModel") -> Answer:
    """Return what the network says of one side of a fruit, cut as for `look_again`. Raises ModelFileError."""
    return _asked(pixels, mask, measures, model)[0]


def _asked(pixels: Pixels, mask: Mask, measures: Measures, model: "DefectModel") -> "tuple[Answer, tuple[Defect, ...]]":
    area_px = int(mask.sum())
    mm_per_px = math.sqrt(measures.area_mm2 / max(1, area_px))
    found = model.look(pixels, mask, mm_per_px=mm_per_px)
    covered = found.defects_mm2(mm_per_px=mm_per_px)
    by_network = replace(
        measures,
        marks=tuple(_as_mark(each, mm_per_px) for each in found.defects),
        blemish_mm2=covered,
        blemish_permille=min(1000, round(1000 * covered / max(1, measures.area_mm2))),
    )
    return Answer(without_ends(measures, found, area_px=area_px), by_network), found.defects


def without_ends(measures: Measures, found: "Found", *, area_px: int) -> Measures:
    """Return the measures without the marks that are of the hollow about a stem or a calyx.

    A mark there that the network takes for a defect, and surer than for an end, stays: fruit rot from the stem, too.
    """
    kept = tuple(mark for mark in measures.marks if not is_hollow(mark.box, found, area_px=area_px))
    # Summed mark by mark even where all stay, so that rounding never lets one mark more come to less.
    left_mm2 = min(measures.blemish_mm2, sum(mark.area_mm2 for mark in kept))
    share = min(measures.blemish_permille, round(1000 * left_mm2 / max(1, measures.area_mm2)))
    return replace(measures, marks=kept, blemish_mm2=left_mm2, blemish_permille=share)


def is_hollow(box: Box, found: "Found", *, area_px: int) -> bool:
    """Whether what colour marks in a box is of the hollow about a stem or a calyx; `area_px` is the fruit's."""
    reach = _HOLLOW * math.sqrt(area_px)
    return any(
        _share_within(box, _middle(end), reach) >= _WITHIN
        and not any(
            each.score_permille > end.score_permille and _share_covered(box, each) >= _SAME for each in found.defects
        )
        for end in found.ends
    )


def without_marks(measures: Measures) -> Measures:
    """Return the measures as if the skin were sound."""
    return replace(measures, marks=(), blemish_mm2=0, blemish_permille=0)


def differ(a: Verdict, b: Verdict) -> bool:
    """Whether the numbers are of another class or tier."""
    return (a.quality, a.nominal_tier) != (b.quality, b.nominal_tier)


def clearly_differ(a: Measures, b: Measures, standard: Standard) -> bool:
    """Whether one has far more marks than the other: in area, and in number where the standard counts them."""
    told = [(a.blemish_mm2, b.blemish_mm2, _CLEARLY_MM2)]
    if any(limit.quantity == "mark_count" for quality in standard.content.classes for limit in quality.limits):
        told.append((len(a.marks), len(b.marks), _CLEARLY_MORE))
    return any(max(pair) > 2 * min(pair) and max(pair) - min(pair) > least for *pair, least in told)


def _kind(mark: Mark, defects: "Sequence[Defect]", sure_permille: int) -> str:
    named = [each for each in defects if each.score_permille >= sure_permille and each.kind != "mark"]
    best = max(named, key=lambda each: _share_covered(mark.box, each), default=None)
    return mark.kind if best is None or _share_covered(mark.box, best) < _SAME else best.kind


def _as_mark(defect: "Defect", mm_per_px: float) -> Mark:
    _, _, width, height = defect.box
    return Mark(defect.kind, defect.box, defect.area_mm2, round(1000 * mm_per_px * max(width, height)))


def _middle(end: "Defect") -> tuple[float, float]:
    ys, xs = np.nonzero(end.part)
    return end.box[0] + float(xs.mean()), end.box[1] + float(ys.mean())


def _share_within(box: Box, middle: tuple[float, float], reach: float) -> float:
    """Return how much of a box lies no farther than `reach` from a point."""
    x, y, w, h = box
    across = (np.arange(x, x + w) - middle[0]) ** 2
    down = (np.arange(y, y + h) - middle[1]) ** 2
    return float((across[None, :] + down[:, None] < reach * reach).mean())


def _share_covered(box: Box, defect: "Defect") -> float:
    """Return how much of a box a defect covers."""
    x, y, w, h = box
    left, top, width, height = defect.box
    x0, y0, x1, y1 = max(x, left), max(y, top), min(x + w, left + width), min(y + h, top + height)
    if x0 >= x1 or y0 >= y1:
        return 0.0
    return float(defect.part[y0 - top : y1 - top, x0 - left : x1 - left].sum()) / (w * h)
