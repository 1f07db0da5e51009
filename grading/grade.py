"""From measures to a verdict: the class and size a standard gives, the tier and price a tariff makes of them.

Pure. A better fruit (no smaller, no more marks) never gets a worse tier: the standard's and tariff's
files are checked for that when they are read, and this function only compares. Where the camera's own
uncertainty spans two tiers, the verdict is doubtful and a person decides.
"""

from dataclasses import dataclass, replace

from grading.measure import Measures
from grading.standard import CULL, Limit, QualityClass, Standard, Tariff, Text

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


def grade(measures: Measures, standard: Standard, tariff: Tariff, *, score_permille: int = 1000) -> Verdict:
    """Return the verdict on one fruit; `score_permille` is how sure the detector was of its outline."""
    nominal = _decide(measures, standard, tariff)
    best = _decide(_shifted(measures, standard, better=True), standard, tariff)
    worst = _decide(_shifted(measures, standard, better=False), standard, tariff)
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


def _shifted(measures: Measures, standard: Standard, *, better: bool) -> Measures:
    """Return the measures at the good or bad end of what the camera cannot tell apart."""
    doubt = standard.content.doubt
    marks = max(measures.blemish_mm2 * doubt.marks_permille // 1000, doubt.marks_mm2)
    share = measures.blemish_permille * doubt.marks_permille // 1000
    up = 1000 + doubt.size_permille if better else 1000 - doubt.size_permille
    sign = -1 if better else 1
    return replace(
        measures,
        blemish_mm2=max(0, measures.blemish_mm2 + sign * marks),
        blemish_permille=max(0, measures.blemish_permille + sign * share),
        mass_g=measures.mass_g * up // 1000,
        equivalent_diameter_um=measures.equivalent_diameter_um * up // 1000,
    )


def _decide(measures: Measures, standard: Standard, tariff: Tariff) -> _Outcome:
    size = standard.size_of(measures)
    code = standard.size_code(size)
    quality, rule, reason = _quality(measures, standard, code or standard.content.size.codes[0].code)
    if quality is None:
        return _Outcome(CULL, NO_CLASS, code, rule, reason)
    if code is None:
        sizing = standard.content.size
        small = tariff.content.small
        tier = small.tier if measures.mass_g >= small.from_g else CULL
        return _Outcome(tier, NO_CLASS, None, sizing.rule, sizing.reason.filled(size=size, limit=sizing.minimum))
    rank = [entry.id for entry in standard.content.classes].index(quality.id)
    for offer in tariff.content.tiers:
        if offer.class_ is None:
            break
        wanted = [entry.id for entry in standard.content.classes].index(offer.class_)
        least = offer.from_.get(standard.id)
        if rank <= wanted and (least is None or standard.size_rank(code) >= standard.size_rank(least)):
            return _Outcome(offer.id, quality.id, code, rule, reason)
    small = tariff.content.small
    return _Outcome(small.tier, quality.id, code, rule, reason)


def _quality(measures: Measures, standard: Standard, code: str) -> tuple[QualityClass | None, str, Text]:
    """Return the best class the fruit meets, with the rule that kept it from a better one, or let it in."""
    barred: tuple[str, Text] | None = None
    classes = standard.content.classes
    for index, quality in enumerate(classes):
        # What a lower class forbids, a higher one forbids as well.
        limits = [limit for each in classes[index:] for limit in each.limits]
        broken = next((limit for limit in limits if _value(measures, limit) > limit.at_most[code]), None)
        if broken is None:
            met = quality.limits[0]
            rule, reason = barred or (met.rule, _told(measures, met, code))
            return quality, rule, reason
        barred = broken.rule, _told(measures, broken, code)
    assert barred is not None  # noqa: S101  # a standard has at least one class with at least one limit
    return None, *barred


def _value(measures: Measures, limit: Limit) -> int:
    return measures.blemish_mm2 if limit.quantity == "blemish_mm2" else measures.blemish_permille


def _told(measures: Measures, limit: Limit, code: str) -> Text:
    shown = (100, 1) if limit.quantity == "blemish_mm2" else (10, 0)
    value, most = _value(measures, limit) / shown[0], limit.at_most[code] / shown[0]
    return limit.reason.filled(value=f"{value:.{shown[1]}f}", limit=f"{most:.{shown[1]}f}")


def _margin(measures: Measures, standard: Standard) -> int:
    code = standard.size_code(standard.size_of(measures)) or standard.content.size.codes[0].code
    limits = [
        limit for quality in standard.content.classes for limit in quality.limits if limit.quantity == "blemish_mm2"
    ]
    gaps = [abs(limit.at_most[code] - measures.blemish_mm2) * 1000 // max(1, limit.at_most[code]) for limit in limits]
    return min(gaps)
