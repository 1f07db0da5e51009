"""Our classes against an inspector's: agreement table, Cohen's kappa with its interval, what errors cost. Pure.

Kappa's standard error is that of Fleiss, Cohen and Everitt, "Large sample standard errors of kappa and weighted
kappa", Psychological Bulletin 72 (1969); the share's interval is Wilson's (1927).
"""

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from grading.errors import ComparisonError
from grading.grade import NO_CLASS
from grading.standard import CULL, Standard, Tariff

Z_95: Final = 1.959964
_MOST_BYTES: Final = 50_000_000
_COLUMNS: Final = ("fruit", "inspector")


@dataclass(frozen=True, slots=True)
class Compared:
    """One fruit: the class we gave, the class the inspector gave, and its mass where it is known."""

    fruit: str
    ours: str
    inspector: str
    mass_g: int | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the interval that holds the truth 95 times in a hundred."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What wrong classes cost, in whole fen: `over` is what buyers paid too much, `under` what the grower lost."""

    fruit: int
    over_fen: int
    under_fen: int
    value_fen: int
    """What all priced fruit are worth by the inspector's classes."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How our classes agree with an inspector's. `table[i][j]`: the inspector said class i, we said j."""

    classes: tuple[str, ...]
    table: tuple[tuple[int, ...], ...]
    share: Interval
    kappa: Interval | None
    """None where one side gave every fruit the same class: then agreement by chance is certain."""
    weighted_kappa: float | None
    """With linear weights: a neighbouring class is half an error where there are three."""
    cost: Cost | None


def agree(compared: Sequence[Compared], standard: Standard, tariff: Tariff | None = None) -> Agreement:
    """Return the agreement of both sides over the standard's classes, best first, and `none` last.

    Costs are counted over the fruit whose mass is known. Raises ComparisonError for no fruit at all.
    """
    if not compared:
        raise ComparisonError(0, "there is no fruit to compare")
    classes = (*(quality.id for quality in standard.content.classes), NO_CLASS)
    place = {name: index for index, name in enumerate(classes)}
    counts = [[0] * len(classes) for _ in classes]
    for each in compared:
        counts[place[each.inspector]][place[each.ours]] += 1
    agreed = sum(counts[i][i] for i in range(len(classes)))
    return Agreement(
        classes=classes,
        table=tuple(map(tuple, counts)),
        share=wilson(agreed, len(compared)),
        kappa=kappa(counts),
        weighted_kappa=_weighted_kappa(counts),
        cost=None if tariff is None else _cost(compared, standard, tariff),
    )


def wilson(hits: int, of: int, *, z: float = Z_95) -> Interval:
    """Return a share with Wilson's score interval."""
    share, square = hits / of, z * z / of
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / of + square / (4 * of))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def kappa(table: Sequence[Sequence[int]]) -> Interval | None:
    """Return Cohen's kappa of a square table with its 95 % interval, or None where chance agreement is certain."""
    size = range(len(table))
    n = sum(map(sum, table))
    p = [[table[i][j] / n for j in size] for i in size]
    rows, columns = [sum(p[i]) for i in size], [sum(p[i][j] for i in size) for j in size]
    observed, chance = sum(p[i][i] for i in size), sum(rows[i] * columns[i] for i in size)
    if chance >= 1 - 1e-12:
        return None
    value = (observed - chance) / (1 - chance)
    on = sum(p[i][i] * (1 - (rows[i] + columns[i]) * (1 - value)) ** 2 for i in size)
    off = (1 - value) ** 2 * sum(p[i][j] * (columns[i] + rows[j]) ** 2 for i in size for j in size if i != j)
    variance = (on + off - (value - chance * (1 - value)) ** 2) / (n * (1 - chance) ** 2)
    half = Z_95 * math.sqrt(max(0.0, variance))
    return Interval(value, max(-1.0, value - half), min(1.0, value + half))


def _weighted_kappa(table: Sequence[Sequence[int]]) -> float | None:
    size = range(len(table))
    n = sum(map(sum, table))
    rows, columns = [sum(table[i]) for i in size], [sum(table[i][j] for i in size) for j in size]
    observed = sum(abs(i - j) * table[i][j] for i in size for j in size) / n
    chance = sum(abs(i - j) * rows[i] * columns[j] for i in size for j in size) / n**2
    return None if chance == 0 else 1 - observed / chance


def _cost(compared: Sequence[Compared], standard: Standard, tariff: Tariff) -> Cost:
    over = under = value = fruit = 0
    for each in compared:
        if each.mass_g is None:
            continue
        fruit += 1
        ours, theirs = (class_price_fen(name, each.mass_g, standard, tariff) for name in (each.ours, each.inspector))
        value += theirs
        over += max(0, ours - theirs)
        under += max(0, theirs - ours)
    return Cost(fruit, over, under, value)


def class_price_fen(quality: str, mass_g: int, standard: Standard, tariff: Tariff) -> int:
    """Return what a fruit of a class and mass costs: in the best tier that takes the class, whatever its size."""
    classes = [each.id for each in standard.content.classes]
    if quality == NO_CLASS:
        return tariff.price_fen(CULL, mass_g)
    for offer in tariff.content.tiers:
        if offer.class_ in classes and classes.index(quality) <= classes.index(offer.class_):
            return tariff.price_fen(offer.id, mass_g)
    return tariff.price_fen(tariff.content.small.tier, mass_g)


def read_comparison(
    file: Path, standard: Standard, kept: Callable[[str], tuple[str, int] | None]
) -> Iterator[Compared]:
    """Yield the fruit of a CSV file with columns `fruit`, `inspector` and, where wanted, `ours` and `mass_g`.

    Classes go by id or by either name. Where `ours` is empty, `kept` gives class and mass of the named fruit.
    Raises ComparisonError, naming the line.
    """
    names = _names(standard)
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ComparisonError(0, f"the file is larger than {_MOST_BYTES // 1_000_000} MB")
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ComparisonError(0, "the file is not UTF-8") from error
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    seen: dict[str, int] = {}
    try:
        missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise ComparisonError(1, f"there is no column {' or '.join(missing)}")
        for row in rows:
            line = rows.line_num
            fruit = (row["fruit"] or "").strip()
            if not fruit or fruit in seen:
                why = f"fruit {fruit} stands in line {seen[fruit]} too" if fruit else "the fruit has no name"
                raise ComparisonError(line, why)
            seen[fruit] = line
            yield _compared(row, fruit, line, names, kept)
    except csv.Error as error:
        raise ComparisonError(rows.line_num, str(error)) from error


def _compared(
    row: dict[str, str | None],
    fruit: str,
    line: int,
    names: dict[str, str],
    kept: Callable[[str], tuple[str, int] | None],
) -> Compared:
    ours, mass_g = (row.get("ours") or "").strip(), _mass(row.get("mass_g") or "", line)
    if not ours:
        known = kept(fruit)
        if known is None:
            raise ComparisonError(line, f"no class of ours is given, and {fruit} is not kept here")
        ours, mass_g = known[0], mass_g or known[1]
    return Compared(fruit, _class(ours, line, names), _class(row["inspector"] or "", line, names), mass_g)


def _names(standard: Standard) -> dict[str, str]:
    names = {NO_CLASS: NO_CLASS, CULL: NO_CLASS}
    for quality in standard.content.classes:
        names |= {name.casefold(): quality.id for name in (quality.id, quality.name.zh, quality.name.en)}
    return names


def _class(text: str, line: int, names: dict[str, str]) -> str:
    try:
        return names[text.strip().casefold()]
    except KeyError as error:
        raise ComparisonError(
            line, f"{text!r} is no class; there are {', '.join(sorted(set(names.values())))}"
        ) from error


def _mass(text: str, line: int) -> int | None:
    if not text.strip():
        return None
    if not text.strip().isascii() or not text.strip().isdigit() or not 0 < int(text) <= 100_000:
        raise ComparisonError(line, f"{text!r} is no mass in whole grams")
    return int(text)
