"""Standards and tariffs: TOML files read into frozen values, refused when they contradict themselves.

A verdict names the SHA-256 of the file that decided it, so a file is never changed once used: a new
edition is a new file.
"""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from grading.errors import StandardError, UnknownCropError
from grading.measure import Measures, Solid

Count = Annotated[int, Meta(ge=0)]
Name = Annotated[str, Meta(min_length=1, max_length=60)]
Basis = Literal["standard", "house"]
CULL = "cull"


class Text(Struct, frozen=True, forbid_unknown_fields=True):
    """A text in both languages."""

    zh: str
    en: str

    def filled(self, **facts: object) -> "Text":
        """Return the text with its placeholders filled."""
        return Text(self.zh.format(**facts), self.en.format(**facts))


class Body(Struct, frozen=True, forbid_unknown_fields=True):
    """How volume and mass follow from an outline."""

    thickness_permille: Annotated[int, Meta(ge=100, le=2000)]
    density_g_per_l: Annotated[int, Meta(ge=300, le=2000)]


class Doubt(Struct, frozen=True, forbid_unknown_fields=True):
    """What the camera cannot tell apart: marks within a share or an area, size within a share."""

    least_score_permille: Count
    marks_permille: Count
    marks_mm2: Count
    size_permille: Count


class SizeCode(Struct, frozen=True, forbid_unknown_fields=True):
    """One size group: from and to in the size's unit, and the spread allowed in a package."""

    code: Name
    from_: Count = msgspec.field(name="from")
    spread: Count
    to: Count | None = None
    basis: Basis = "standard"


class Sizing(Struct, frozen=True, forbid_unknown_fields=True):
    """How the standard sizes: by mass or diameter, the least size, the groups from small to large."""

    by: Literal["mass_g", "diameter_mm"]
    minimum: Count
    rule: Name
    reason: Text
    codes: Annotated[tuple[SizeCode, ...], Meta(min_length=1)]
    basis: Basis = "standard"


class Limit(Struct, frozen=True, forbid_unknown_fields=True):
    """At most so much of one measured quantity, per size code. `basis` says whose number it is."""

    rule: Name
    quantity: Literal["blemish_mm2", "blemish_permille"]
    basis: Basis
    at_most: Mapping[str, Count]
    reason: Text


class QualityClass(Struct, frozen=True, forbid_unknown_fields=True):
    """One class of the standard, best first in the file."""

    id: Name
    name: Text
    tolerance_permille: Count
    limits: Annotated[tuple[Limit, ...], Meta(min_length=1)]


class _StandardFile(Struct, frozen=True, forbid_unknown_fields=True):
    id: Name
    edition: Name
    crop: Name
    source: str
    title: Text
    not_seen: str
    solid: Body
    doubt: Doubt
    size: Sizing
    classes: Annotated[tuple[QualityClass, ...], Meta(min_length=1)] = msgspec.field(name="class")


class PriceStep(Struct, frozen=True, forbid_unknown_fields=True):
    """What one fruit costs from a mass upwards."""

    from_g: Count
    fen: Count


class TierRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What a tier takes, and what it costs. The last one takes everything."""

    id: Name
    gtin_reference: Count
    price_fen: Annotated[tuple[PriceStep, ...], Meta(min_length=1)]
    class_: str | None = msgspec.field(name="class", default=None)
    from_: Mapping[str, str] = msgspec.field(name="from", default_factory=dict)


class Small(Struct, frozen=True, forbid_unknown_fields=True):
    """The tier that takes sound fruit below the standard's least size, from a mass upwards."""

    tier: Name
    from_g: Count


class _TariffFile(Struct, frozen=True, forbid_unknown_fields=True):
    id: Name
    edition: Name
    currency: Name
    small: Small
    tiers: Annotated[tuple[TierRule, ...], Meta(min_length=2)] = msgspec.field(name="tier")


class Standard(Struct, frozen=True):
    """A standard as read, with the bytes it was read from."""

    data: bytes
    digest: bytes
    content: _StandardFile

    @property
    def id(self) -> str:
        """Name of the file's standard."""
        return self.content.id

    @property
    def edition(self) -> str:
        """Edition of the published text."""
        return self.content.edition

    @property
    def solid(self) -> Solid:
        """Body shape and density of the crop."""
        return Solid(self.content.solid.thickness_permille, self.content.solid.density_g_per_l)

    def size_of(self, measures: Measures) -> int:
        """Return the fruit's size in the unit the standard sizes by, whole."""
        if self.content.size.by == "mass_g":
            return measures.mass_g
        return measures.equivalent_diameter_um // 1000

    def size_code(self, size: int) -> str | None:
        """Return the size code, or None below the least size."""
        sizing = self.content.size
        if size < sizing.minimum:
            return None
        return next(code.code for code in reversed(sizing.codes) if size >= code.from_)

    def size_rank(self, code: str) -> int:
        """Return a size code's place, from small to large."""
        return [entry.code for entry in self.content.size.codes].index(code)


class Tariff(Struct, frozen=True):
    """Price tiers as read, with the bytes they were read from."""

    data: bytes
    digest: bytes
    content: _TariffFile

    @property
    def id(self) -> str:
        """Name of the tariff."""
        return self.content.id

    @property
    def tiers(self) -> Sequence[str]:
        """Tier names, best first."""
        return [tier.id for tier in self.content.tiers]

    def rank(self, tier: str) -> int:
        """Return a tier's place, 0 the best. Raises StandardError for a tier this tariff does not have."""
        try:
            return self.tiers.index(tier)
        except ValueError as error:
            raise StandardError(self.id, f"has no tier {tier!r}") from error

    def rule(self, tier: str) -> TierRule:
        """Return what a tier takes and costs."""
        return self.content.tiers[self.rank(tier)]

    def price_fen(self, tier: str, mass_g: int) -> int:
        """Return the price of one fruit in fen."""
        return max(step.fen for step in self.rule(tier).price_fen if step.from_g <= mass_g)


def shipped_standards() -> dict[str, Standard]:
    """Return the standards that come with this package, by crop."""
    return {standard.content.crop: standard for standard in map(load_standard, _shipped_names("tiers-", invert=True))}


def standard_for(crop: str) -> Standard:
    """Return the shipped standard for a crop. Raises UnknownCropError."""
    shipped = shipped_standards()
    if crop not in shipped:
        raise UnknownCropError(crop, sorted(shipped))
    return shipped[crop]


def load_standard(name: str) -> Standard:
    """Return a standard by crop, by id, or from the path of a TOML file. Raises StandardError."""
    return parse_standard(*_bytes(name, by_crop=True))


def load_tariff(name: str = "tiers-sample") -> Tariff:
    """Return a tariff by id or from the path of a TOML file. Raises StandardError."""
    return parse_tariff(*_bytes(name, by_crop=False))


def parse_standard(name: str, data: bytes) -> Standard:
    """Return the standard in TOML bytes. Raises StandardError where it contradicts itself."""
    content = _parsed(name, data, _StandardFile)
    codes = [code.code for code in content.size.codes]
    starts = [code.from_ for code in content.size.codes]
    if starts != sorted(set(starts)) or starts[0] != content.size.minimum:
        raise StandardError(name, "size codes must go from the minimum upwards")
    previous: dict[str, Mapping[str, int]] = {}
    for quality in content.classes:
        for limit in quality.limits:
            if set(limit.at_most) != set(codes):
                raise StandardError(name, f"rule {limit.rule} must give a limit for each of {', '.join(codes)}")
            by_size = [limit.at_most[code] for code in codes]
            if by_size != sorted(by_size):
                raise StandardError(name, f"rule {limit.rule} allows a larger fruit less: a better fruit would lose")
            better = previous.get(limit.quantity)
            if better is not None and any(better[code] > limit.at_most[code] for code in codes):
                raise StandardError(name, f"rule {limit.rule} allows less than the class above it")
            previous[limit.quantity] = limit.at_most
    return Standard(data, sha256(data).digest(), content)


def parse_tariff(name: str, data: bytes) -> Tariff:
    """Return the tariff in TOML bytes. Raises StandardError where a better fruit would cost less."""
    content = _parsed(name, data, _TariffFile)
    names = [tier.id for tier in content.tiers]
    if len(set(names)) != len(names) or names[-1] != CULL:
        raise StandardError(name, f"tiers must be different and end with {CULL!r}")
    if content.small.tier not in names:
        raise StandardError(name, f"[small] names {content.small.tier!r}, which is no tier")
    for tier in content.tiers:
        starts = [step.from_g for step in tier.price_fen]
        prices = [step.fen for step in tier.price_fen]
        if starts[0] != 0 or starts != sorted(set(starts)) or prices != sorted(prices):
            raise StandardError(name, f"tier {tier.id}: prices must start at 0 g and rise with mass")
        if (tier.class_ is None) != (tier.id == CULL):
            raise StandardError(name, f"tier {tier.id}: every tier but {CULL} names the class it takes")
    tariff = Tariff(data, sha256(data).digest(), content)
    masses = sorted({step.from_g for tier in content.tiers for step in tier.price_fen})
    for better, worse in pairwise(names):
        if any(tariff.price_fen(better, mass) < tariff.price_fen(worse, mass) for mass in masses):
            raise StandardError(name, f"a fruit in tier {better} would cost less than in {worse}")
    return tariff


_T = TypeVar("_T")


def _parsed(name: str, data: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(tomllib.loads(data.decode()), type=kind)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise StandardError(name, str(error)) from error


def _bytes(name: str, *, by_crop: bool) -> tuple[str, bytes]:
    if name.endswith(".toml"):
        try:
            return name, Path(name).read_bytes()
        except OSError as error:
            raise StandardError(name, "cannot be read") from error
    for entry in _shipped_names("tiers-", invert=by_crop):
        data = _shipped(entry)
        if entry == name or (by_crop and tomllib.loads(data.decode())["crop"] == name):
            return entry, data
    known = ", ".join(_shipped_names("tiers-", invert=by_crop))
    raise StandardError(name, f"is none of the files that come with Guoyuan ({known})")


def _shipped_names(prefix: str, *, invert: bool) -> list[str]:
    names = sorted(
        entry.name.removesuffix(".toml")
        for entry in resources.files("grading.standards").iterdir()
        if entry.name.endswith(".toml")
    )
    return [name for name in names if name.startswith(prefix) != invert]


@cache
def _shipped(name: str) -> bytes:
    return resources.files("grading.standards").joinpath(f"{name}.toml").read_bytes()
