"""Standards and tariffs: TOML files read into frozen values, refused when they contradict themselves.

A verdict names the SHA-256 of the file that decided it, so a file is never changed once used: a new
edition is a new file.
"""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from hashlib import sha256
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from grading.errors import StandardError, UnknownCropError
from grading.measure import MARK_KINDS, Band, Form, Measures, Solid

Count = Annotated[int, Meta(ge=0)]
Name = Annotated[str, Meta(min_length=1, max_length=60)]
Basis = Literal["standard", "house", "unverified"]
"""Whose a number is: the cited text's; ours; said to be the text's, but not seen in it or in a copy."""
CULL = "cull"
Near = Literal["lower", "person"]
"""What becomes of a fruit so near a limit that its interval spans tiers: given the lowest of them, or to a person."""


class Text(Struct, frozen=True, forbid_unknown_fields=True):
    """A text in both languages."""

    zh: str
    en: str

    def filled(self, **facts: object) -> "Text":
        """Return the text with its placeholders filled."""
        return Text(self.zh.format(**facts), self.en.format(**facts))


class Body(Struct, frozen=True, forbid_unknown_fields=True):
    """How volume and mass follow from an outline; see `grading.measure.Solid`."""

    thickness_permille: Annotated[int, Meta(ge=100, le=2000)]
    density_g_per_l: Annotated[int, Meta(ge=300, le=2000)]
    form: Form = "long"
    shape_permille: Annotated[int, Meta(ge=10, le=500)] = 110


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """Where figures come from: the text, and where it was read (or that it was not)."""

    id: Name
    citation: str
    read: str


class Requirement(Struct, frozen=True, forbid_unknown_fields=True):
    """One of the text's minimum requirements, and whether the camera can see it."""

    text: Text
    is_seen: bool
    section: str = ""
    source: str = ""


class ColourBand(Struct, frozen=True, forbid_unknown_fields=True):
    """A range of skin colour by name; see `grading.measure.Band`."""

    name: Name
    title: Text
    hue_from: Annotated[int, Meta(ge=-180, le=360)]
    hue_to: Annotated[int, Meta(ge=-180, le=540)]
    least_chroma: Count = 0
    most_chroma: Count = 200
    least_light: Count = 0
    most_light: Count = 100
    basis: Basis = "house"


class Stage(Struct, frozen=True, forbid_unknown_fields=True):
    """One stage of ripeness, ripest first in the file: the first one whose bands together cover enough."""

    id: Name
    title: Text
    bands: Annotated[tuple[Name, ...], Meta(min_length=1)]
    least_permille: Annotated[int, Meta(ge=0, le=1000)]
    basis: Basis = "house"
    section: str = ""
    source: str = ""


class Doubt(Struct, frozen=True, forbid_unknown_fields=True):
    """What the camera cannot tell apart: marks within a share or an area, size within a share."""

    least_score_permille: Count
    marks_permille: Count
    marks_mm2: Count
    size_permille: Count
    band_permille: Count = 30


class SizeCode(Struct, frozen=True, forbid_unknown_fields=True):
    """One size group: from and to in the size's unit, and the spread allowed in a package."""

    code: Name
    from_: Count = msgspec.field(name="from")
    spread: Count
    to: Count | None = None
    basis: Basis = "standard"


class Sizing(Struct, frozen=True, forbid_unknown_fields=True):
    """How the standard sizes: by mass or diameter, the least size, the groups from small to large.

    `diameter_mm` is the diameter of the circle with the outline's area; `equatorial_mm` the diameter
    of the equatorial section. `overlapping` says that the text's groups overlap: a fruit gets the larger one.
    """

    by: Literal["mass_g", "diameter_mm", "equatorial_mm"]
    minimum: Count
    rule: Name
    reason: Text
    codes: Annotated[tuple[SizeCode, ...], Meta(min_length=1)]
    basis: Basis = "standard"
    overlapping: bool = False
    section: str = ""
    source: str = ""


class Limit(Struct, frozen=True, forbid_unknown_fields=True):
    """At most so much of one measured quantity, per size code. `basis` says whose number it is."""

    rule: Name
    quantity: Literal["blemish_mm2", "blemish_permille", "mark_count", "largest_mark_um", "kind_mm2", "band_permille"]
    basis: Basis
    at_most: Mapping[str, Count]
    reason: Text
    of: str = ""
    """Which kind of mark, or which colour band, where the quantity asks for one."""
    section: str = ""
    source: str = ""


class QualityClass(Struct, frozen=True, forbid_unknown_fields=True):
    """One class of the standard, best first in the file."""

    id: Name
    name: Text
    tolerance_permille: Annotated[int, Meta(ge=0, le=1000)]
    """Share of a lot that may miss this class and still meet the next."""
    limits: Annotated[tuple[Limit, ...], Meta(min_length=1)]
    below_permille: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Share of a lot that may miss the next class too."""
    tolerance_basis: Basis = "standard"
    least_size: Count = 0
    """Least size for this class, in the unit the standard sizes by; 0 where the class asks for none."""
    most_size: Count | None = None
    """Largest size for this class, where the class has one: then a larger fruit is not a better one."""
    size_basis: Basis = "standard"
    section: str = ""
    source: str = ""


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
    is_default: bool = True
    """Whether the crop's name alone means this standard."""
    kinds: tuple[Name, ...] = ()
    """What the network calls fruit of this crop; without, the crop's own name."""
    tolerance_by: Literal["number", "mass", "either"] = "either"
    """What lot tolerances count: fruit, grams, or whichever the parties chose."""
    size_tolerance_permille: Annotated[int, Meta(ge=0, le=1000)] = 100
    sources: tuple[Source, ...] = msgspec.field(name="cites", default=())
    minimum: tuple[Requirement, ...] = ()
    bands: tuple[ColourBand, ...] = msgspec.field(name="band", default=())
    stages: tuple[Stage, ...] = msgspec.field(name="stage", default=())


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
    least_brix_tenths: Count = 0
    """Tenths of a degree Brix that a meter must have read, of the fruit or its lot; 0 asks for no reading."""
    least_band_permille: Mapping[str, Annotated[int, Meta(ge=0, le=1000)]] = msgspec.field(default_factory=dict)
    """Share of a colour band that a fruit must show, by the band's name in the standard."""


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
    near_at_line: Near = "lower"
    """At a line nobody can look at every tenth fruit. At the station's table somebody does, whatever stands here."""


class Standard(Struct, frozen=True, dict=True):
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

    @cached_property
    def solid(self) -> Solid:
        """Body shape and density of the crop."""
        body = self.content.solid
        return Solid(body.thickness_permille, body.density_g_per_l, body.form, body.shape_permille)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What a network that names kinds calls the fruit this standard is for."""
        return self.content.kinds or (self.content.crop,)

    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """The colour bands the standard speaks of."""
        return tuple(
            Band(b.name, b.hue_from, b.hue_to, b.least_chroma, b.most_chroma, b.least_light, b.most_light)
            for b in self.content.bands
        )

    def stage(self, measures: Measures) -> Stage | None:
        """Return the stage of ripeness that the colour shows, or None where the standard defines none."""
        return next(
            (
                stage
                for stage in self.content.stages
                if sum(measures.share_permille(band) for band in stage.bands) >= stage.least_permille
            ),
            None,
        )

    def basis_of(self, rule: str) -> tuple[Basis, str]:
        """Return whose number a rule's is, and the section it stands in; the house's for rules of no standard."""
        size = self.content.size
        if rule == size.rule:
            return size.basis, size.section
        for quality in self.content.classes:
            if rule == f"{quality.id}-size":
                return quality.size_basis, quality.section
            for limit in quality.limits:
                if limit.rule == rule:
                    return limit.basis, limit.section
        return "house", ""

    def size_of(self, measures: Measures) -> int:
        """Return the fruit's size in the unit the standard sizes by, whole."""
        by = self.content.size.by
        if by == "mass_g":
            return measures.mass_g
        return (measures.equatorial_um if by == "equatorial_mm" else measures.equivalent_diameter_um) // 1000

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
    """Return the standards that a crop's name alone means, by crop."""
    return {s.content.crop: s for s in every_standard() if s.content.is_default}


def every_standard() -> list[Standard]:
    """Return all standards that come with this package."""
    return [parse_standard(name, _shipped(name)) for name in _shipped_names("tiers-", invert=True)]


def standard_for(crop: str) -> Standard:
    """Return the shipped standard for a crop. Raises UnknownCropError."""
    shipped = shipped_standards()
    if crop not in shipped:
        raise UnknownCropError(crop, sorted(shipped))
    return shipped[crop]


def load_standard(name: str) -> Standard:
    """Return a standard by crop, by id, or from the path of a TOML file. Raises StandardError, naming the known."""
    return parse_standard(*_bytes(name, by_crop=True))


def load_tariff(name: str = "tiers-sample") -> Tariff:
    """Return a tariff by id or from the path of a TOML file. Raises StandardError."""
    return parse_tariff(*_bytes(name, by_crop=False))


def parse_standard(name: str, data: bytes) -> Standard:
    """Return the standard in TOML bytes. Raises StandardError where it contradicts itself, naming where."""
    content = _parsed(name, data, _StandardFile)
    _check_sizes(name, content.size)
    _check_names(name, content)
    codes = [code.code for code in content.size.codes]
    previous: dict[tuple[str, str], Limit] = {}
    above: QualityClass | None = None
    for quality in content.classes:
        _check_window(name, quality, above, content.size.minimum if quality is content.classes[-1] else None)
        above = quality
        for limit in quality.limits:
            if set(limit.at_most) != set(codes):
                raise StandardError(name, f"rule {limit.rule} must give a limit for each of {', '.join(codes)}")
            by_size = [limit.at_most[code] for code in codes]
            if by_size != sorted(by_size):
                raise StandardError(name, f"rule {limit.rule} allows a larger fruit less: a better fruit would lose")
            better = previous.get((limit.quantity, limit.of))
            if better is not None and any(better.at_most[code] > limit.at_most[code] for code in codes):
                raise StandardError(name, f"rule {limit.rule} allows less than the class above it ({better.rule})")
            previous[limit.quantity, limit.of] = limit
    return Standard(data, sha256(data).digest(), content)


def _check_window(name: str, quality: QualityClass, above: QualityClass | None, minimum: int | None) -> None:
    """Refuse a class that takes less of the sizes than a better one, or a last one that leaves some out."""
    most = quality.most_size
    if above is not None and above.least_size < quality.least_size:
        raise StandardError(name, f"class {quality.id} asks for larger fruit than {above.id}, the class above it")
    if above is not None and most is not None and (above.most_size is None or above.most_size > most):
        raise StandardError(name, f"class {quality.id} asks for smaller fruit than {above.id}, the class above it")
    if minimum is not None and (quality.least_size > minimum or most is not None):
        raise StandardError(name, f"class {quality.id} is the last: fruit of a size it refuses would have no class")


def _check_sizes(name: str, size: Sizing) -> None:
    if size.codes[0].from_ != size.minimum:
        raise StandardError(name, "size codes must go from the minimum upwards")
    for small, large in pairwise(size.codes):
        if large.from_ <= small.from_:
            raise StandardError(
                name, f"size codes must go from the minimum upwards: {large.code} is not above {small.code}"
            )
        if small.to is None:
            raise StandardError(name, f"size {small.code} has no end, but {large.code} follows it")
        if large.from_ > small.to + 1:
            raise StandardError(
                name, f"sizes {small.to + 1} to {large.from_ - 1} lie in the gap between {small.code} and {large.code}"
            )
        if large.from_ <= small.to and not size.overlapping:
            raise StandardError(
                name, f"sizes {large.from_} to {small.to} are both {small.code} and {large.code}: they overlap"
            )
    if size.codes[-1].to is not None:
        raise StandardError(name, f"a fruit above {size.codes[-1].to} has no size code")


def _check_names(name: str, content: _StandardFile) -> None:
    """Refuse names given twice, and names that nothing in the file defines."""
    bands = [band.name for band in content.bands]
    listed = {
        "size code": [code.code for code in content.size.codes],
        "class": [quality.id for quality in content.classes],
        "rule": [content.size.rule, *(limit.rule for quality in content.classes for limit in quality.limits)],
        "band": bands,
        "stage": [stage.id for stage in content.stages],
        "source": [source.id for source in content.sources],
    }
    for what, names in listed.items():
        twice = next((each for each in names if names.count(each) > 1), None)
        if twice is not None:
            raise StandardError(name, f"{what} {twice} is there twice")
    for band in content.bands:
        if not band.hue_from < band.hue_to <= band.hue_from + 360:
            raise StandardError(name, f"band {band.name}: hues go upwards, once round at most")
    for stage in content.stages:
        if not set(stage.bands) <= set(bands):
            raise StandardError(name, f"stage {stage.id} names a band that the file does not define")
    for limit in (limit for quality in content.classes for limit in quality.limits):
        known = {"band_permille": bands, "kind_mm2": list(MARK_KINDS)}.get(limit.quantity, [""])
        if limit.of not in known:
            raise StandardError(name, f"rule {limit.rule}: {limit.of!r} is none of {', '.join(known) or 'no bands'}")
    limits = [limit for quality in content.classes for limit in quality.limits]
    named = {content.size.source, *(each.source for each in limits), *(each.source for each in content.classes)}
    named |= {each.source for each in content.minimum} | {each.source for each in content.stages}
    unknown = sorted(named - {"", *listed["source"]})
    if unknown:
        raise StandardError(name, f"{unknown[0]!r} is no source in the file")


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
    names = _shipped_names("tiers-", invert=by_crop)
    if name in names:
        return name, _shipped(name)
    crops = {s.content.crop: s.content.id for s in every_standard() if s.content.is_default} if by_crop else {}
    if name in crops:
        return crops[name], _shipped(crops[name])
    known = ", ".join([*sorted(crops), *names])
    raise StandardError(name, f"is none of those that come with Guoyuan ({known})")


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
