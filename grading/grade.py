"""From measures to a verdict: the class and size a standard gives, the tier and price a tariff makes of them.

Pure. A better fruit (no smaller, no more marks) never gets a worse tier: the standard's and tariff's
files are checked for that when they are read, and this function only compares. Where the camera's own
uncertainty spans two tiers, the verdict is doubtful and a person decides; or, where the house says so (`near`), it is
the lower of the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from grading.measure import Measures
from grading.standard import CULL, Limit, Near, QualityClass, Standard, Tariff, Text, TierRule

DOUBTFUL = "doubtful"
NO_CLASS = "none"
WEIGHED_G = 1
"""How far from the truth a mass may be that a scale told in whole grams."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one fruit is. `tier` is `doubtful` where the camera will not say; `nominal_tier` is what the numbers say.

    `candidates` are the tiers that the uncertainty spans, best first; a fruit that is not doubtful and has several
    was given the lowest of them (`is_near`). `rule` decided; `margin_permille`
    is how far the fruit is from the next limit that would change its tier, in thousandths of the limit.
    """

    tier: str
    nominal_tier: str
    candidates: tuple[str, ...]
    quality: str
    size: str
    rule: str
    reason: Text
    price_fen: int
    margin_permille: int

    @property
    def is_doubtful(self) -> bool:
        """Whether a person must decide."""
        return self.tier == DOUBTFUL

    @property
    def is_near(self) -> bool:
        """Whether it was given the lowest of the tiers that it may be of."""
        return self.tier != DOUBTFUL and len(self.candidates) > 1


@dataclass(frozen=True, slots=True)
class _Outcome:
    tier: str
    quality: str
    size: str | None
    rule: str
    reason: Text


def grade(
    measures: Measures,
    standard: Standard,
    tariff: Tariff,
    *,
    score_permille: int = 1000,
    brix_tenths: int | None = None,
    near: Near = "person",
    is_weighed: bool = False,
) -> Verdict:
    """Return the verdict on one fruit; `score_permille` is how sure the detector was of its outline.

    `brix_tenths` is a meter's reading in tenths of a degree Brix, of the fruit or of its lot, where there is one.
    `near` says what becomes of a fruit too near a limit; one whose outline is unsure goes to a person in any case.
    `is_weighed` says that the mass is a scale's, not an estimate.
    """
    ends = [(0, 0), (-1, -1), (1, 1)]
    if any(quality.most_size is not None for quality in standard.content.classes):
        ends += [(-1, 1), (1, -1)]  # where a class has a largest size, the larger end is not the better one
    seen = [_View(measures, standard, marks=marks, size=size, is_weighed=is_weighed) for size, marks in ends]
    found = [_Seen(view, _decide(view, standard, tariff, brix_tenths)) for view in seen]
    nominal = found[0].outcome
    best, worst = (pick(found, key=lambda each: tariff.rank(each.outcome.tier)) for pick in (min, max))
    candidates = tuple(tariff.tiers[tariff.rank(best.outcome.tier) : tariff.rank(worst.outcome.tier) + 1])
    unsure = score_permille < standard.content.doubt.least_score_permille
    if unsure and len(candidates) == 1:
        at = tariff.rank(nominal.tier)
        candidates = tuple(tariff.tiers[max(0, at - 1) : at + 1]) if at else tuple(tariff.tiers[:2])
    is_lowered = len(candidates) > 1 and near == "lower" and not unsure
    given = worst.outcome if is_lowered else nominal
    return Verdict(
        tier=DOUBTFUL if len(candidates) > 1 and not is_lowered else given.tier,
        nominal_tier=nominal.tier,
        candidates=candidates,
        quality=nominal.quality,
        size=nominal.size or "-",
        rule=given.rule,
        reason=_near(found[0].view, best, worst, standard, tariff) if is_lowered else nominal.reason,
        price_fen=tariff.price_fen(given.tier, measures.mass_g),
        margin_permille=_margin(measures, standard),
    )


def caution_fen(verdict: Verdict, tariff: Tariff, mass_g: int) -> int:
    """Return what a fruit would have brought more, had its numbers been taken as they stand; 0 for one not near."""
    if not verdict.is_near:
        return 0
    return tariff.price_fen(verdict.nominal_tier, mass_g) - tariff.price_fen(verdict.tier, mass_g)


class _View:
    """The measures as they are (0), or at an end of what the camera cannot tell apart.

    `marks` is -1 for as few as there may be and 1 for as many, `size` -1 for as large as it may be and 1 for as small.
    """

    def __init__(self, measures: Measures, standard: Standard, *, marks: int, size: int, is_weighed: bool) -> None:
        doubt = standard.content.doubt
        up = 1000 - size * doubt.size_permille
        mass_g = max(0, measures.mass_g - size * WEIGHED_G) if is_weighed else measures.mass_g * up // 1000
        self._doubt, self._side = doubt, marks
        self.measures = measures
        if size:
            self.measures = replace(
                measures,
                mass_g=mass_g,
                equivalent_diameter_um=measures.equivalent_diameter_um * up // 1000,
                equatorial_um=measures.equatorial_um * up // 1000,
            )

    def value(self, limit: Limit) -> int:
        """Return what a limit limits."""
        measured = _value(self.measures, limit)
        doubt = self._doubt
        margin = measured * doubt.marks_permille // 1000
        if limit.quantity in {"blemish_mm2", "kind_mm2"}:
            margin = max(margin, doubt.marks_mm2)
        elif limit.quantity == "band_permille":
            margin = doubt.band_permille
        elif limit.quantity == "mark_count":
            margin = 0
        return max(0, measured + self._side * margin)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One end of what the fruit may be, and what it would be graded there."""

    view: _View
    outcome: _Outcome


def _decide(view: _View, standard: Standard, tariff: Tariff, brix_tenths: int | None) -> _Outcome:
    size = standard.size_of(view.measures)
    code = standard.size_code(size)
    quality, rule, reason = _quality(view, standard, size, code or standard.content.size.codes[0].code)
    if quality is None:
        return _Outcome(CULL, NO_CLASS, code, rule, reason)
    small = tariff.content.small
    if code is None:
        sizing = standard.content.size
        tier = small.tier if view.measures.mass_g >= small.from_g else CULL
        return _Outcome(tier, NO_CLASS, None, sizing.rule, sizing.reason.filled(size=size, limit=sizing.minimum))
    classes = [entry.id for entry in standard.content.classes]
    rank = classes.index(quality.id)
    for offer in tariff.content.tiers:
        if offer.class_ is None:
            break
        # A tier may name a class that this standard does not have: then no fruit of it is in that tier.
        wanted = classes.index(offer.class_) if offer.class_ in classes else -1
        least = offer.from_.get(standard.id)
        if rank > wanted or (least is not None and standard.size_rank(code) < standard.size_rank(least)):
            continue
        missed = _missed(view.measures, offer, brix_tenths)
        if missed is None:
            return _Outcome(offer.id, quality.id, code, rule, reason)
        rule, reason = missed
    return _Outcome(small.tier, quality.id, code, rule, reason)


def _missed(measures: Measures, offer: TierRule, brix_tenths: int | None) -> tuple[str, Text] | None:
    """Return which of a tier's own wishes (Brix, colour) the fruit misses, and why; None where it meets them."""
    if offer.least_brix_tenths and (brix_tenths is None or brix_tenths < offer.least_brix_tenths):
        least = f"{offer.least_brix_tenths / 10:.1f}"
        if brix_tenths is None:
            return f"tier-{offer.id}-brix", Text(
                f"{offer.id} 档要求糖度至少 {least}，没有测糖读数",  # noqa: RUF001  # Chinese has its own comma
                f"tier {offer.id} asks for {least} degrees Brix; nobody has measured",
            )
        return f"tier-{offer.id}-brix", Text(
            f"糖度 {brix_tenths / 10:.1f}，{offer.id} 档至少 {least}",  # noqa: RUF001  # Chinese has its own comma
            f"{brix_tenths / 10:.1f} degrees Brix; tier {offer.id} asks for {least}",
        )
    for band, least_permille in offer.least_band_permille.items():
        share = measures.share_permille(band)
        if share < least_permille:
            return f"tier-{offer.id}-{band}", Text(
                f"{band} 着色 {share / 10:.0f}%，{offer.id} 档至少 {least_permille / 10:.0f}%",  # noqa: RUF001  # Chinese has its own comma
                f"{share / 10:.0f} % {band}; tier {offer.id} asks for {least_permille / 10:.0f} %",
            )
    return None


def _quality(view: _View, standard: Standard, size: int, code: str) -> tuple[QualityClass | None, str, Text]:
    """Return the best class the fruit meets, with the rule that kept it from a better one, or let it in."""
    barred: tuple[str, Text] | None = None
    classes = standard.content.classes
    for index, quality in enumerate(classes):
        # What a lower class forbids, a higher one forbids as well.
        limits = [limit for each in classes[index:] for limit in each.limits]
        broken = next((limit for limit in limits if view.value(limit) > limit.at_most[code]), None)
        outside = _outside(standard, quality, size)
        if broken is None and outside is None:
            met = quality.limits[0]
            rule, reason = barred or (met.rule, _told(view, met, code))
            return quality, rule, reason
        barred = (broken.rule, _told(view, broken, code)) if broken else outside
    assert barred is not None  # noqa: S101  # a standard has at least one class with at least one limit
    return None, *barred


def _outside(standard: Standard, quality: QualityClass, size: int) -> tuple[str, Text] | None:
    """Return why a class does not take this size, or None where it does."""
    zh, en = ("克", "g") if standard.content.size.by == "mass_g" else ("mm", "mm")
    if size < quality.least_size:
        return f"{quality.id}-size", Text(
            f"大小 {size} {zh}，{quality.name.zh}至少 {quality.least_size} {zh}",  # noqa: RUF001  # Chinese has its own comma
            f"{size} {en}; {quality.name.en} asks for at least {quality.least_size} {en}",
        )
    if quality.most_size is not None and size > quality.most_size:
        return f"{quality.id}-size", Text(
            f"大小 {size} {zh}，{quality.name.zh}至多 {quality.most_size} {zh}",  # noqa: RUF001  # Chinese has its own comma
            f"{size} {en}; {quality.name.en} takes at most {quality.most_size} {en}",
        )
    return None


def _value(measures: Measures, limit: Limit) -> int:
    match limit.quantity:
        case "blemish_mm2":
            return measures.blemish_mm2
        case "blemish_permille":
            return measures.blemish_permille
        case "mark_count":
            return len(measures.marks)
        case "largest_mark_um":
            return max((mark.across_um for mark in measures.marks), default=0)
        case "kind_mm2":
            return sum(mark.area_mm2 for mark in measures.marks if mark.kind == limit.of)
        case "band_permille":
            return measures.share_permille(limit.of)


_SHOWN = {
    "blemish_mm2": (100, 1),
    "kind_mm2": (100, 1),
    "blemish_permille": (10, 0),
    "band_permille": (10, 0),
    "mark_count": (1, 0),
    "largest_mark_um": (1000, 1),
}
"""What a quantity is divided by to be shown (cm2, per cent, mm), and to how many places."""
_UNITS = {
    "blemish_mm2": "cm²",
    "kind_mm2": "cm²",
    "blemish_permille": "%",
    "band_permille": "%",
    "mark_count": "",
    "largest_mark_um": "mm",
}


def _told(view: _View, limit: Limit, code: str) -> Text:
    divisor, places = _SHOWN[limit.quantity]
    value, most = view.value(limit) / divisor, limit.at_most[code] / divisor
    return limit.reason.filled(value=f"{value:.{places}f}", limit=f"{most:.{places}f}")


def _near(view: _View, best: _Seen, worst: _Seen, standard: Standard, tariff: Tariff) -> Text:
    """Return which limit the fruit is too near to, by how much, and which tier it is given therefore."""
    tier = worst.outcome.tier
    given = Text("等外", "cull") if tier == CULL else Text(f"{tier} 档", f"tier {tier}")
    crossed = _crossed_limit(best, worst, standard)
    size = _crossed_size(view, best, worst, standard, tariff)
    if crossed is not None and (crossed[0].rule == worst.outcome.rule or size is None):
        limit, code = crossed
        told = _told(view, limit, code)
        divisor, places = _SHOWN[limit.quantity]
        apart = f"{abs(view.value(limit) - limit.at_most[code]) / divisor:.{places + 1}f} {_UNITS[limit.quantity]}"
        return Text(
            f"{told.zh}；距界限 {apart.strip()}，分不清，从低归{given.zh}",  # noqa: RUF001  # Chinese has its own comma
            f"{told.en}; {apart.strip()} from that limit is too near to tell: {given.en}, the lower one",
        )
    # Good and bad end are of different tiers, so that some limit or some size lies between them.
    assert size is not None  # noqa: S101
    is_grams, raw, least = size
    (zh, en), scale = (("克", "g"), 1) if is_grams else (("mm", "mm"), 1000)
    told_size, apart = (f"{each / scale:.{int(scale > 1)}f}" for each in (raw, abs(raw - least * scale)))
    return Text(
        f"大小 {told_size} {zh}，距 {least} {zh} 的界限 {apart} {zh}，分不清，从低归{given.zh}",  # noqa: RUF001
        f"{told_size} {en}; {apart} {en} from the limit of {least} {en} is too near to tell: {given.en}, the lower one",
    )


def _crossed_limit(best: _Seen, worst: _Seen, standard: Standard) -> tuple[Limit, str] | None:
    """Return the limit that the fruit keeps at its best and breaks at its worst, the one that decided first."""
    smallest = standard.content.size.codes[0].code
    codes = best.outcome.size or smallest, worst.outcome.size or smallest
    crossed = [
        limit
        for quality in standard.content.classes
        for limit in quality.limits
        if best.view.value(limit) <= limit.at_most[codes[0]] and worst.view.value(limit) > limit.at_most[codes[1]]
    ]
    decided = next((limit for limit in crossed if limit.rule == worst.outcome.rule), None)
    found = decided or next(iter(crossed), None)
    return None if found is None else (found, codes[1])


def _crossed_size(
    view: _View, best: _Seen, worst: _Seen, standard: Standard, tariff: Tariff
) -> tuple[bool, int, int] | None:
    """Return the largest size that the fruit reaches at one end and not at the other, or None.

    That is whether it is a mass in grams, what was measured in grams or micrometres, and the size.
    """
    ends = best.view.measures, worst.view.measures
    low, high = sorted(standard.size_of(each) for each in ends)
    crossed = max((size for size in _limits_of_size(standard) if low < size <= high), default=None)
    if crossed is not None:
        return standard.content.size.by == "mass_g", _raw_size(view.measures, standard), crossed
    least_g = tariff.content.small.from_g
    low, high = sorted(each.mass_g for each in ends)
    return (True, view.measures.mass_g, least_g) if low < least_g <= high else None


def _limits_of_size(standard: Standard) -> Iterator[int]:
    """Yield every size at which something changes, in the unit the standard sizes by."""
    yield standard.content.size.minimum
    for code in standard.content.size.codes:
        yield code.from_
    for quality in standard.content.classes:
        yield quality.least_size
        if quality.most_size is not None:
            yield quality.most_size + 1


def _raw_size(measures: Measures, standard: Standard) -> int:
    """Return the size that the standard sizes by, in grams or micrometres."""
    by = standard.content.size.by
    if by == "mass_g":
        return measures.mass_g
    return measures.equatorial_um if by == "equatorial_mm" else measures.equivalent_diameter_um


def _margin(measures: Measures, standard: Standard) -> int:
    code = standard.size_code(standard.size_of(measures)) or standard.content.size.codes[0].code
    limits = [
        limit for quality in standard.content.classes for limit in quality.limits if limit.quantity == "blemish_mm2"
    ]
    gaps = [abs(limit.at_most[code] - measures.blemish_mm2) * 1000 // max(1, limit.at_most[code]) for limit in limits]
    return min(gaps, default=1000)
