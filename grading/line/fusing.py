"""Several views of one fruit to one set of measures and one verdict. Pure.

The rollers turn a fruit about an axis across the belt, so its views differ, and each says something true. How they
are put together, so that a better fruit never gets a worse class:

- *Length*: the median; turning does not change it. *Equatorial diameter* of a long fruit: the mean of the two largest
  widths, because the section is not round and standards mean its largest diameter; of a round one: the median of that
  caliper, longest or shortest, which stays the same from all sides.
- *Volume*: over a turn the mean of the squared widths is, within a percent, the product of the section's diameters.
- *Marks*: turning moves a mark along the belt, never across it. So the fruit is cut into zones across the belt;
  in each zone the view that shows most counts, and zones are added up. A mark seen in five views counts once, two marks
  in different zones both count, two in one zone both count where one view shows both. What is missed: two marks on
  opposite sides of one zone, of which the larger counts. A mark on the border of two zones would count in both, so the
  zones are laid in several ways and the one that counts least is taken: the least of sums that only grow with the
  marks only grows with them.
- *Colour*: the mean over the views, by the area each shows. *Share of marks* likewise.

Where a network for defects is there, it is asked about a view only while the marks of views that it has not seen decide
the verdict (`next_look`). So the class, once nothing is left to ask, is what asking about every view would give.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final, Literal, TypeAlias, TypedDict

from grading.grade import DOUBTFUL, NO_CLASS, Verdict, grade
from grading.line.doubts import Doubt
from grading.line.weights import Weight, counted, differs, mass_from
from grading.measure import Form, Mark, Measures, Solid
from grading.second_look import Answer, clearly_differ, differ, without_marks
from grading.standard import CULL, Near, Standard, Tariff

_ZONES: Final = 6
_LAYINGS: Final = 4
_NORMAL_90: Final = 1.645
_SCALE: Final = 0.015
"""Standard deviation of a mass that a calibrated scale leaves: three times that of its lengths."""
_SHARED: Final = 0.6
"""Share of a view's own variance of the mass that other views of the same body have in common: its form."""
_LENGTH_SPREAD: Final = 0.13
_AREA_SPREAD: Final = 0.28
"""How far from the median of its fellows a view's length and area may be: turning explains no more."""
_WIDTH_SPREAD: Final = {"long": 0.27, "round": 0.45}
"""From the narrowest to the widest view, as a share of the median: a turning section is less out of round."""
_COLOUR_SPREAD: Final = 45.0
"""CIE76 distance of a view's skin to the median skin; a red cheek on a green fruit stays below."""


_Said: TypeAlias = Literal["left", "by_network"]


class _FusedMarks(TypedDict):
    """What of fused measures is of marks."""

    blemish_mm2: int
    blemish_permille: int
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """What one view gave. `extent` is width and height of the mask in pixels, which marks' boxes refer to."""

    measures: Measures
    extent: tuple[int, int]
    score_permille: int
    doubts: tuple[Doubt, ...] = ()
    again: Answer | None = None
    """What the network for defects says of its marks, where it was asked and answered in time."""


@dataclass(frozen=True, slots=True)
class Judging:
    """What several views are judged by. `across_is_y`: the belt runs along the picture's x."""

    standard: Standard
    tariff: Tariff
    least_views: int
    across_is_y: bool
    is_turned: bool
    brix_tenths: int | None = None
    near: Near = "person"
    """What becomes of a fruit that nothing speaks against but that its numbers are near a limit."""
    looks_again: bool = False
    """Whether a network for defects is asked about marks that decide."""

    @classmethod
    def fused(cls, standard: Standard, tariff: Tariff, *, brix_tenths: int | None) -> "Judging":
        """For a verdict on measures that are put together already: what concerns single views has no say any more."""
        return cls(
            standard,
            tariff,
            least_views=0,
            across_is_y=True,
            is_turned=True,
            brix_tenths=brix_tenths,
            near=tariff.content.near_at_line,
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """One fruit by all its views. `measures` is None where none could be measured."""

    measures: Measures | None
    verdict: Verdict
    score_permille: int
    reasons: tuple[Doubt, ...]


def judge(sides: Sequence[Side], noted: Sequence[Doubt], by: Judging, *, weight: Weight | None = None) -> Judged:
    """Return the verdict on a fruit; `noted` is what its way along the belt speaks against it.

    `weight` is what a scale said of it. The measures are the pictures' alone; the verdict is by the mass that counts.
    """
    sound = [side for side in sides if not side.doubts]
    reasons = {*noted, *_repeated(sides)}
    if len(sound) < by.least_views:
        reasons.add(Doubt.FEW_VIEWS)
    used = sound or list(sides)
    if not used:
        listed = _listed(reasons)
        return Judged(None, verdict_of(None, listed, by, score_permille=0), 0, listed)
    if disagree(used, by.standard.solid.form):
        reasons.add(Doubt.VIEWS_DISAGREE)
    measures, doubt = _looked_at(used, by)
    reasons |= set() if doubt is None else {doubt}
    score = round(median(side.score_permille for side in used))
    listed = weighed_reasons(measures, _listed(reasons), weight)
    return Judged(measures, verdict_of(measures, listed, by, score_permille=score, weight=weight), score, listed)


def next_look(sides: Sequence[Side], by: Judging) -> int | None:
    """Return which view the network for defects should be asked about next, the most marked first.

    None where it has contradicted colour for good, and where the marks it has not looked at decide nothing any more.
    """
    used = [side for side in sides if not side.doubts] or list(sides)
    unasked = [side for side in used if _is_unasked(side)]
    if not unasked or _looked_at(used, by)[1] is not Doubt.MARKS_UNCHECKED:
        return None
    most = max(unasked, key=lambda side: side.measures.blemish_mm2)
    return next(index for index, side in enumerate(sides) if side is most)


def _looked_at(used: Sequence[Side], by: Judging) -> tuple[Measures, Doubt | None]:
    """Return the fused measures without the hollows that the network named, and what its looks leave in doubt.

    They leave its word against colour's (`MARKS`) where it sees very different marks on the views it was asked about,
    and the class hangs on that whether the other views' marks are believed or not. Or they leave marks unasked that
    decide the class, or whether the two contradict each other.
    """
    measures = fuse(
        [_answered(side, "left", keeps=True) for side in used],
        by.standard.solid,
        across_is_y=by.across_is_y,
        is_turned=by.is_turned,
    )
    is_open, is_asked = any(_is_unasked(side) for side in used), any(side.again is not None for side in used)
    if not by.looks_again or not (is_open or is_asked):
        return measures, None

    def end(what: _Said, *, keeps: bool) -> Measures:
        told = [_answered(side, what, keeps=keeps) for side in used]
        return replace(measures, **_fused_marks(told, across_is_y=by.across_is_y))

    def contradicts(left: Measures, verdict: Verdict, *, keeps: bool) -> bool:
        said = end("by_network", keeps=keeps)
        return clearly_differ(left, said, by.standard) and differ(verdict, _by_marks(said, by))

    best = end("left", keeps=False)
    at_best, at_worst = _by_marks(best, by), _by_marks(measures, by)
    against_best = is_asked and contradicts(best, at_best, keeps=False)
    against_worst = is_asked and contradicts(measures, at_worst, keeps=True) if is_open else against_best
    if against_best and against_worst:
        return measures, Doubt.MARKS
    decides = differ(at_best, at_worst) or at_best.tier != at_worst.tier or against_best or against_worst
    return measures, Doubt.MARKS_UNCHECKED if is_open and decides else None


def _is_unasked(side: Side) -> bool:
    return side.again is None and bool(side.measures.marks)


def _answered(side: Side, what: _Said, *, keeps: bool) -> Side:
    """Return a view with what the network made of its marks; where it was not asked, with them or without."""
    if side.again is not None:
        return replace(side, measures=side.again.left if what == "left" else side.again.by_network)
    return side if keeps else replace(side, measures=without_marks(side.measures))


def _by_marks(measures: Measures, by: Judging) -> Verdict:
    return grade(measures, by.standard, by.tariff, brix_tenths=by.brix_tenths, near=by.near)


def weighed_reasons(measures: Measures | None, reasons: Sequence[Doubt], weight: Weight | None) -> tuple[Doubt, ...]:
    """Return the reasons for a doubt, with the scale's where it says something quite different from the pictures."""
    is_odd = measures is not None and differs(measures, weight)
    return _listed({*reasons} - {Doubt.SCALE_DIFFERS} | ({Doubt.SCALE_DIFFERS} if is_odd else set()))


def verdict_of(
    measures: Measures | None,
    reasons: tuple[Doubt, ...],
    by: Judging,
    *,
    score_permille: int,
    weight: Weight | None = None,
) -> Verdict:
    """Return the verdict on fused measures, doubtful for any reason; None for what could not be measured."""
    if measures is None:
        return _unseen(reasons, by.tariff)
    verdict = grade(
        counted(measures, weight),
        by.standard,
        by.tariff,
        score_permille=score_permille,
        brix_tenths=by.brix_tenths,
        # What somebody looks at anyway is not given a tier for caution.
        near="person" if reasons else by.near,
        is_weighed=mass_from(measures, weight) == "scale",
    )
    return _doubted(verdict, by.tariff) if reasons else verdict


def fuse(sides: Sequence[Side], solid: Solid, *, across_is_y: bool, is_turned: bool) -> Measures:
    """Return the measures of a fruit from at least one view of it."""
    all_ = [side.measures for side in sides]

    def middle(name: str) -> int:
        return round(float(median(getattr(m, name) for m in all_)))

    def mean(values: Sequence[int]) -> int:
        return _by_area(all_, values)

    volume_mm3 = _volume_mm3(all_, solid) if is_turned and len(all_) > 1 else middle("volume_mm3")
    mass_g = round(volume_mm3 * solid.density_g_per_l / 1e6)
    low, high = _interval(all_)
    return Measures(
        length_um=middle("length_um"),
        width_um=middle("width_um"),
        equivalent_diameter_um=middle("equivalent_diameter_um"),
        area_mm2=middle("area_mm2"),
        lab_l_centi=mean([m.lab_l_centi for m in all_]),
        lab_a_centi=mean([m.lab_a_centi for m in all_]),
        lab_b_centi=mean([m.lab_b_centi for m in all_]),
        volume_mm3=volume_mm3,
        mass_g=mass_g,
        height_corrected_permille=middle("height_corrected_permille"),
        equatorial_um=_equatorial_um(all_, solid, is_turned=is_turned),
        roundness_permille=middle("roundness_permille"),
        mass_low_g=round(mass_g * low),
        mass_high_g=round(mass_g * high),
        bands=tuple((name, mean([m.share_permille(name) for m in all_])) for name, _ in all_[0].bands),
        **_fused_marks(sides, across_is_y=across_is_y),
    )


def _fused_marks(sides: Sequence[Side], *, across_is_y: bool) -> _FusedMarks:
    all_ = [side.measures for side in sides]
    laid = layings(sides, across_is_y=across_is_y)
    blemish, counted = min(laid, key=lambda marks: sum(m.area_mm2 for m in marks)), min(laid, key=len)
    return {
        "blemish_mm2": max(sum(m.area_mm2 for m in blemish), *(m.blemish_mm2 for m in all_), 0),
        "blemish_permille": _by_area(all_, [m.blemish_permille for m in all_]),
        "marks": counted,
    }


def _by_area(views: Sequence[Measures], values: Sequence[int]) -> int:
    """Return the mean of what each view says, by the area it shows."""
    areas = [max(1, m.area_mm2) for m in views]
    return round(sum(value * area for value, area in zip(values, areas, strict=True)) / sum(areas))


def disagree(sides: Sequence[Side], form: Form) -> bool:
    """Whether more than one view, or more than a third, shows another fruit than the rest; or widths no body has."""
    all_ = [side.measures for side in sides]
    widths = [m.width_um for m in all_]
    if max(widths) - min(widths) > _WIDTH_SPREAD[form] * median(widths):
        return True
    length, area = median(m.length_um for m in all_), median(m.area_mm2 for m in all_)
    skin = [median(values) for values in zip(*map(_skin, all_), strict=True)]
    odd = sum(
        abs(m.length_um - length) > _LENGTH_SPREAD * length
        or abs(m.area_mm2 - area) > _AREA_SPREAD * area
        or math.dist(_skin(m), skin) > 100 * _COLOUR_SPREAD
        for m in all_
    )
    return odd > max(1, len(sides) // 3) or (odd > 0 and len(sides) < 3)


def layings(sides: Sequence[Side], *, across_is_y: bool) -> list[tuple[Mark, ...]]:
    """Return the marks of all views, each once, by every laying of the zones: the least of them counts."""
    return [_by_zones(sides, step / _LAYINGS, across_is_y=across_is_y) for step in range(_LAYINGS)]


def _skin(m: Measures) -> tuple[int, int, int]:
    return m.lab_l_centi, m.lab_a_centi, m.lab_b_centi


def _by_zones(sides: Sequence[Side], shift: float, *, across_is_y: bool) -> tuple[Mark, ...]:
    zones: dict[int, list[list[Mark]]] = {}
    for side in sides:
        here: dict[int, list[Mark]] = {}
        for mark in side.measures.marks:
            here.setdefault(math.floor(_across(mark, side.extent, across_is_y) * _ZONES + shift), []).append(mark)
        for zone, marks in here.items():
            zones.setdefault(zone, []).append(sorted(marks, key=lambda m: (-m.area_mm2, -m.across_um, m.box, m.kind)))
    return tuple(mark for zone in sorted(zones) for mark in _largest_by_rank(zones[zone]))


def _across(mark: Mark, extent: tuple[int, int], across_is_y: bool) -> float:  # noqa: FBT001  # private, one caller
    x, y, w, h = mark.box
    return (y + h / 2) / max(1, extent[1]) if across_is_y else (x + w / 2) / max(1, extent[0])


def _largest_by_rank(views: Sequence[Sequence[Mark]]) -> list[Mark]:
    """Return as many marks as the view with most of them shows: each as large as any view shows the n-th largest."""
    fused = []
    for rank in range(max(map(len, views))):
        marks = [view[rank] for view in views if len(view) > rank]
        largest = max(marks, key=lambda m: (m.area_mm2, m.across_um, m.kind))
        fused.append(replace(largest, across_um=max(m.across_um for m in marks)))
    return fused


def _equatorial_um(views: Sequence[Measures], solid: Solid, *, is_turned: bool) -> int:
    if not is_turned or len(views) < 2:
        return round(median(m.equatorial_um for m in views))
    if solid.form == "long":
        widest = sorted((m.equatorial_um for m in views), reverse=True)[:2]
        return round(sum(widest) / len(widest))
    # The equator of a body of revolution is the longest caliper from any side if it is flat, the shortest if it is
    # tall; the other caliper changes as it turns.
    calipers = [m.length_um for m in views], [m.width_um for m in views]
    return round(median(min(calipers, key=lambda each: max(each) - min(each))))


def _volume_mm3(views: Sequence[Measures], solid: Solid) -> int:
    """Return the volume of a body that turned: each view's, as if the section were round, averaged."""
    flat = solid.thickness_permille / 1000
    # For diameters d and f d: the mean of the squares is (1 + f^2) / 2, their product f.
    shape = 2 * flat / (1 + flat * flat)
    round_ = [m.volume_mm3 / flat for m in views]
    return round(shape * sum(round_) / len(round_))


def _interval(views: Sequence[Measures]) -> tuple[float, float]:
    """Return the factors that hold the mass nine times in ten.

    A view's own error has a part that every view of this body shares (its form is not quite the crop's) and one
    that they average out; the scale's is common to all.
    """
    high = median(m.mass_high_g / max(1, m.mass_g) for m in views)
    low = median(m.mass_low_g / max(1, m.mass_g) for m in views)
    up, down = (_narrowed(factor, len(views)) for factor in (max(1.0, high), 1 / max(1e-3, min(1.0, low))))
    return 1 / down, up


def _narrowed(factor: float, views: int) -> float:
    deviation = math.log(factor) / _NORMAL_90
    own = max(0.0, deviation**2 - _SCALE**2) * (_SHARED + (1 - _SHARED) / views)
    return math.exp(_NORMAL_90 * math.sqrt(own + min(deviation, _SCALE) ** 2))


def _repeated(sides: Sequence[Side]) -> set[Doubt]:
    """Return what speaks against more than one view, or a third of few: one spoilt view of many is left out instead."""
    often = max(1, len(sides) // 3)
    all_ = [doubt for side in sides for doubt in side.doubts]
    return {doubt for doubt in all_ if all_.count(doubt) > often or len(sides) < 3}


def _listed(reasons: set[Doubt]) -> tuple[Doubt, ...]:
    return tuple(doubt for doubt in Doubt if doubt in reasons)


def _doubted(verdict: Verdict, tariff: Tariff) -> Verdict:
    """Return the verdict for a person to decide: with any doubt, the numbers do not say between which tiers."""
    return replace(verdict, tier=DOUBTFUL, candidates=tuple(tariff.tiers))


def _unseen(reasons: tuple[Doubt, ...], tariff: Tariff) -> Verdict:
    """Return the verdict on what could not be measured."""
    return Verdict(
        tier=DOUBTFUL,
        nominal_tier=CULL,
        candidates=tuple(tariff.tiers),
        quality=NO_CLASS,
        size="-",
        rule="not-measured",
        reason=(reasons[0] if reasons else Doubt.FEW_VIEWS).text,
        price_fen=0,
        margin_permille=0,
    )
