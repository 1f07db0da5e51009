"""What a batch came to, for people who plan and sell: classes, sizes, tolerances, tier mix with its uncertainty."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sqlmodel import Session, col, select

from grading.agreement import Interval, wilson
from grading.grade import DOUBTFUL, NO_CLASS
from grading.models import Fruit
from grading.standard import CULL, QualityClass, Standard, Tariff, Text
from grading.station import find_batch, rules_of
from ledger.kernel.files import FileStore


@dataclass(frozen=True, slots=True)
class Bar:
    """One class, size or tier: how many fruit, their grams, and their share of all fruit with its 95 % interval."""

    name: str
    title: Text
    fruits: int
    mass_g: int
    share: Interval


@dataclass(frozen=True, slots=True)
class TierBar:
    """One tier: as a Bar, and what its fruit cost together, in fen."""

    bar: Bar
    value_fen: int


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Whether the fruit of a tier keep the lot tolerance of the class it takes.

    Shares are thousandths, rounded up; `kind` says whether classes or sizes were counted. `by` is what the
    standard counts: `either` means that number and mass must both keep it here, whichever the parties chose.
    """

    tier: str
    quality: str
    kind: Literal["class", "size"]
    fruits: int
    missed: int
    missed_g: int
    number_permille: int
    mass_permille: int
    allowed_permille: int
    by: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class Bin:
    """How many fruit measure at least `at`, and less than the next bin's."""

    at: int
    fruits: int


@dataclass(frozen=True, slots=True)
class SizeStart:
    """Where a size of the standard begins."""

    code: str
    at: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How the fruit spread over what was measured: bins `step` wide, and where the standard's sizes begin there.

    By mass or diameter where the standard sizes so. Where it sizes by the equatorial section, which is kept in the
    records alone, by the shorter caliper, and then without the sizes. Fruit that nothing was measured of are left out.
    """

    of: Literal["mass_g", "diameter_mm", "width_mm"]
    step: int
    bins: tuple[Bin, ...]
    sizes: tuple[SizeStart, ...]


@dataclass(frozen=True, slots=True)
class Lowered:
    """Fruit that a line gave the lower tier because they are near a limit, and what they would have brought more."""

    fruits: int
    value_fen: int


@dataclass(frozen=True, slots=True)
class LotReport:
    """One batch as it stands. `value_fen` is the sum of the fruit's own prices, and of the tiers'."""

    batch: str
    lot: str
    standard: str
    edition: str
    title: Text
    price_book: str
    is_closed: bool
    opened_at: datetime
    closed_at: datetime | None
    fruits: int
    doubtful: int
    judged: int
    mass_g: int
    received_g: int
    value_fen: int
    classes: tuple[Bar, ...]
    sizes: tuple[Bar, ...]
    tiers: tuple[TierBar, ...]
    tolerances: tuple[Tolerance, ...]
    spread: Spread
    near: Lowered = Lowered(0, 0)


_STEPS: Final = (1, 2, 5, 10, 20, 25, 50, 100, 200)
_MOST_BINS: Final = 24


def lot_report(session: Session, files: FileStore, batch: str) -> LotReport:
    """Return the report of a batch, open or closed. Raises UnknownBatchError."""
    row = find_batch(session, batch)
    standard, tariff = rules_of(session, files, batch)
    fruit = list(session.exec(select(Fruit).where(Fruit.batch == row.ref).order_by(col(Fruit.number))))
    qualities = [(quality.id, quality.name) for quality in standard.content.classes]
    codes = [(code.code, Text(code.code, code.code)) for code in standard.content.size.codes]
    tiers = [(tier, Text("等外品" if tier == CULL else tier, tier)) for tier in tariff.tiers]
    decided = _bars(fruit, _tier, [*tiers, (DOUBTFUL, Text("待定", "waiting for a person"))])
    rules = {tier.id: tier.class_ for tier in tariff.content.tiers}
    return LotReport(
        batch=row.ref,
        lot=row.lot,
        standard=standard.id,
        edition=standard.edition,
        title=standard.content.title,
        price_book=tariff.id,
        is_closed=row.closed_at is not None,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        fruits=len(fruit),
        doubtful=sum(_tier(each) == DOUBTFUL for each in fruit),
        judged=sum(each.judged_tier is not None for each in fruit),
        mass_g=sum(each.mass_g for each in fruit),
        received_g=row.received_g,
        value_fen=sum(each.price_fen for each in fruit),
        classes=_bars(fruit, lambda each: each.quality, [*qualities, (NO_CLASS, Text("无等级", "no class"))]),
        sizes=_bars(fruit, lambda each: each.size, [*codes, ("-", Text("不足", "below the least"))]),
        tiers=tuple(TierBar(bar, sum(e.price_fen for e in fruit if _tier(e) == bar.name)) for bar in decided),
        tolerances=tuple(
            tolerance
            for tier, quality in rules.items()
            if quality is not None
            for tolerance in _tolerances([e for e in fruit if _tier(e) == tier], tier, quality, standard)
        ),
        spread=_spread(fruit, standard),
        near=_lowered(fruit, tariff),
    )


def _lowered(fruit: Sequence[Fruit], tariff: Tariff) -> Lowered:
    """Return what was given the lower tier, as far as no person has decided since."""
    near = [
        each
        for each in fruit
        if each.judged_tier is None and each.camera_tier != DOUBTFUL and len(each.candidates.split()) > 1
    ]
    return Lowered(len(near), sum(tariff.price_fen(each.nominal_tier, each.mass_g) - each.price_fen for each in near))


def _bars(fruit: Sequence[Fruit], of: Callable[[Fruit], str], names: Sequence[tuple[str, Text]]) -> tuple[Bar, ...]:
    """Return a bar for every name, empty ones too; the names come from the file, so they are all there."""
    bars = []
    for name, title in names:
        own = [each for each in fruit if of(each) == name]
        share = wilson(len(own), len(fruit)) if fruit else Interval(0.0, 0.0, 1.0)
        bars.append(Bar(name, title, len(own), sum(each.mass_g for each in own), share))
    return tuple(bars)


def _spread(fruit: Sequence[Fruit], standard: Standard) -> Spread:
    sizing = standard.content.size
    of: Literal["mass_g", "diameter_mm", "width_mm"] = "width_mm" if sizing.by == "equatorial_mm" else sizing.by
    found = [
        each.mass_g if of == "mass_g" else (each.width_um if of == "width_mm" else each.equivalent_diameter_um) // 1000
        for each in fruit
        if each.volume_mm3
    ]
    low, high = min(found, default=0), max(found, default=0)
    step = next((step for step in _STEPS if (high - low) // step < _MOST_BINS - 1), -(-(high - low) // _MOST_BINS))
    counts = Counter(value // step for value in found)
    return Spread(
        of,
        step,
        tuple(Bin(at * step, counts[at]) for at in range(low // step, high // step + 1)) if found else (),
        () if of == "width_mm" else tuple(SizeStart(code.code, code.from_) for code in sizing.codes),
    )


def _tolerances(own: Sequence[Fruit], tier: str, quality: str, standard: Standard) -> list[Tolerance]:
    classes = {each.id: (rank, each) for rank, each in enumerate(standard.content.classes)}
    if not own or quality not in classes:
        return []
    rank, wanted = classes[quality]
    small = [each for each in own if each.size == "-"]
    worse = [each for each in own if each.size != "-" and classes.get(each.quality, (len(classes), None))[0] > rank]
    return [
        _tolerance(tier, wanted, standard, kind="class", own=own, missed=worse),
        _tolerance(tier, wanted, standard, kind="size", own=own, missed=small),
    ]


def _tolerance(
    tier: str,
    quality: QualityClass,
    standard: Standard,
    *,
    kind: Literal["class", "size"],
    own: Sequence[Fruit],
    missed: Sequence[Fruit],
) -> Tolerance:
    allowed = quality.tolerance_permille if kind == "class" else standard.content.size_tolerance_permille
    missed_g, mass_g = sum(each.mass_g for each in missed), max(1, sum(each.mass_g for each in own))
    number, mass = -(-1000 * len(missed) // len(own)), -(-1000 * missed_g // mass_g)
    by = standard.content.tolerance_by
    met = {"number": number <= allowed, "mass": mass <= allowed, "either": max(number, mass) <= allowed}[by]
    return Tolerance(tier, quality.id, kind, len(own), len(missed), missed_g, number, mass, allowed, by, met)


def _tier(fruit: Fruit) -> str:
    return fruit.judged_tier or fruit.camera_tier
