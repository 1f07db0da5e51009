"""From measures to a verdict: the class and size a standard gives, the tier and price a tariff makes of them.

Pure. A better fruit (no smaller, no more marks) never gets a worse tier: the standard's and tariff's
files are checked for that when they are read, and this function only compares. Where the camera's own
uncertainty spans two tiers, the verdict is doubtful and a person decides.
"""

from dataclasses import dataclass, replace

from grading.measure import Measures
from grading.standard import CULL, Limit, QualityClass, Standard, Tariff, Text, TierRule

DOUBTFUL = "doubtful"
NO_CLASS = "none"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one fruit is. `tier` is `doubtful` where the camera will not say; `nominal_tier` is what the numbers say.

    `candidates` are the tiers that the uncertainty spans, best first. `rule` decided; `margin_permille`
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
) -> Verdict:
    """Return the verdict on one fruit; `score_permille` is how sure the detector was of its outline.

    `brix_tenths` is a meter's reading in tenths of a degree Brix, of the fruit or of its lot, where there is one.
    """
    nominal, best, worst = (
        _decide(_View(measures, standard, side), standard, tariff, brix_tenths) for side in (0, -1, 1)
    )
    low, high = tariff.rank(best.tier), tariff.rank(worst.tier)
    candidates = tuple(tariff.tiers[low : high + 1])
    unsure = score_permille < standard.content.doubt.least_score_permille
    if unsure and len(candidates) == 1:
        at = tariff.rank(nominal.tier)
        candidates = tuple(tariff.tiers[max(0, at - 1) : at + 1]) if at else tuple(tariff.tiers[:2])
    return Verdict(
        tier=DOUBTFUL if len(candidates) > 1 else nominal.tier,
        nominal_tier=nominal.tier,
        candidates=candidates,
        quality=nominal.quality,
        size=nominal.size or "-",
        rule=nominal.rule,
        reason=nominal.reason,
        price_fen=tariff.price_fen(nominal.tier, measures.mass_g),
        margin_permille=_margin(measures, standard),
    )


class _View:
    """The measures as they are (side 0), or at the good (-1) or bad (1) end of what the camera cannot tell apart."""

    def __init__(self, measures: Measures, standard: Standard, side: int) -> None:
        doubt = standard.content.doubt
        up = 1000 - side * doubt.size_permille
        self._doubt, self._side = doubt, side
        self.measures = measures
        if side:
            self.measures = replace(
                measures,
                mass_g=measures.mass_g * up // 1000,
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


def _told(view: _View, limit: Limit, code: str) -> Text:
    divisor, places = _SHOWN[limit.quantity]
    value, most = view.value(limit) / divisor, limit.at_most[code] / divisor
    return limit.reason.filled(value=f"{value:.{places}f}", limit=f"{most:.{places}f}")


def _margin(measures: Measures, standard: Standard) -> int:
    code = standard.size_code(standard.size_of(measures)) or standard.content.size.codes[0].code
    limits = [
        limit for quality in standard.content.classes for limit in quality.limits if limit.quantity == "blemish_mm2"
    ]
    gaps = [abs(limit.at_most[code] - measures.blemish_mm2) * 1000 // max(1, limit.at_most[code]) for limit in limits]
    return min(gaps, default=1000)
