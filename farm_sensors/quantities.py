"""What devices measure, as data: one row per quantity.

A row holds the word we use, its unit on the wire (SenML, RFC 8428 and the secondary units of RFC
8798) and in events (UN/CEFACT Rec 20), the EPCIS sensor type, what is physically possible, what is
usual, and how fast it may change. Limits are ours unless a source is named; they are for open
orchards, packing houses and cold rooms.

`kPa` is the one unit taken that the SenML registry does not list; barometers on farms print it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from ledger.vocabulary import COMPONENT, Unit

HOUR_S: Final = 3600


class Summary(StrEnum):
    """What a window says of a quantity."""

    MIN = "min"
    MAX = "max"
    MEAN = "mean"
    DEVIATION = "deviation"
    SUM = "sum"


_ALL = frozenset({Summary.MIN, Summary.MAX, Summary.MEAN, Summary.DEVIATION})
_RANGE = frozenset({Summary.MIN, Summary.MAX, Summary.MEAN})
_PEAK = frozenset({Summary.MAX, Summary.MEAN})


@dataclass(frozen=True, slots=True)
class Span:
    """A closed range."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Two thresholds of one test, in the quantity's unit (or seconds, for a flat line)."""

    suspect: float
    fail: float


@dataclass(frozen=True, slots=True)
class Quantity:
    """One thing a device may measure. Readings are kept in `unit`."""

    name: str
    sensor_type: str
    unit: str
    uom: Unit
    plausible: Span
    usual: Span
    summaries: frozenset[Summary]
    component: str | None = None
    decimals: int = 1
    spike: Limits | None = None
    step: float | None = None
    flat_s: Limits | None = None
    flat_exempt: Span | None = None
    converts: Mapping[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    """Other units taken: value x factor + offset gives `unit`, exactly."""

    @property
    def units(self) -> tuple[str, ...]:
        """Every SenML unit this quantity is taken in, the kept one first."""
        return (self.unit, *self.converts)

    def in_unit(self, value: float, unit: str) -> float:
        """Return a value in the kept unit. Raises KeyError for a unit outside `units`.

        Conversion is decimal, so that 293.15 K is exactly 20 Cel.
        """
        if unit == self.unit:
            return value
        factor, offset = self.converts[unit]
        return float(Decimal(repr(value)) * factor + offset)


_KELVIN: Final = {"K": (Decimal(1), Decimal("-273.15"))}


def _scale(factor: str) -> tuple[Decimal, Decimal]:
    return Decimal(factor), Decimal(0)


def _temperature(
    name: str,
    component: str | None,
    *,
    usual: Span,
    flat_h: tuple[float, float],
    summaries: frozenset[Summary] = _RANGE,
    moves: bool = False,
) -> Quantity:
    return Quantity(
        name,
        "Temperature",
        "Cel",
        Unit.CELSIUS,
        plausible=Span(-40, 60),
        usual=usual,
        summaries=summaries,
        component=component and COMPONENT + component,
        spike=None if moves else Limits(4, 10),
        step=None if moves else 6,
        flat_s=Limits(flat_h[0] * HOUR_S, flat_h[1] * HOUR_S),
        converts=_KELVIN,
    )


_TABLE: Final = (
    _temperature("air-temperature", None, usual=Span(-25, 48), flat_h=(3, 6), summaries=_ALL),
    # A good cold room holds a tenth of a degree for hours.
    _temperature("room-temperature", "room", usual=Span(-2, 40), flat_h=(8, 12)),
    # A probe is pulled out of one fruit and pushed into the next: its jumps are no fault.
    _temperature("pulp-temperature", "pulp", usual=Span(-2, 45), flat_h=(8, 12), moves=True),
    _temperature("load-temperature", None, usual=Span(-5, 45), flat_h=(8, 12)),
    _temperature("soil-temperature", "soil-20cm", usual=Span(-5, 45), flat_h=(8, 12)),
    Quantity(
        "air-humidity",
        "RelativeHumidity",
        "%RH",
        Unit.PERCENT,
        # Capacitive sensors read a little over 100 in fog.
        plausible=Span(0, 103),
        usual=Span(3, 100.5),
        summaries=_RANGE,
        spike=Limits(20, 45),
        step=35,
        flat_s=Limits(6 * HOUR_S, 12 * HOUR_S),
        flat_exempt=Span(98.5, 103),
    ),
    Quantity(
        "soil-moisture",
        "VolumeFraction",
        "%",
        Unit.PERCENT,
        # A probe that lost contact with the soil reads below zero.
        plausible=Span(0, 100),
        usual=Span(2, 65),
        summaries=frozenset({Summary.MEAN}),
        component=COMPONENT + "soil-20cm",
        spike=Limits(10, 25),
        converts={"/": _scale("100")},
    ),
    Quantity(
        "irradiance",
        "Irradiance",
        "W/m2",
        Unit.WATT_PER_SQUARE_METRE,
        # Cloud edges lift it above the solar constant for minutes; pyranometers read a little below zero at night.
        plausible=Span(-10, 1600),
        usual=Span(-5, 1361),
        summaries=_PEAK,
    ),
    Quantity(
        # A plain light sensor calibrated in W/m2 is enrolled for `light`.
        "light",
        "Irradiance",
        "W/m2",
        Unit.WATT_PER_SQUARE_METRE,
        plausible=Span(-10, 1600),
        usual=Span(-5, 1361),
        summaries=_PEAK,
    ),
    Quantity(
        "illuminance",
        "Illuminance",
        "lx",
        Unit.LUX,
        plausible=Span(0, 200_000),
        usual=Span(0, 150_000),
        summaries=_PEAK,
        decimals=0,
    ),
    Quantity(
        "rain",
        "Length",
        "mm",
        Unit.MILLIMETRE,
        # Each reading is what fell since the one before it.
        plausible=Span(0, 120),
        usual=Span(0, 40),
        summaries=frozenset({Summary.SUM}),
        component=COMPONENT + "rain-sum",
        converts={"m": _scale("1000"), "cm": _scale("10")},
    ),
    Quantity(
        "wind-speed",
        "Speed",
        "m/s",
        Unit.METRE_PER_SECOND,
        plausible=Span(0, 75),
        usual=Span(0, 40),
        summaries=_PEAK,
        spike=Limits(15, 30),
        converts={"km/h": (Decimal(1) / Decimal("3.6"), Decimal(0))},
    ),
    Quantity(
        "air-pressure",
        "Pressure",
        "kPa",
        Unit.KILOPASCAL,
        plausible=Span(50, 110),
        usual=Span(60, 107),
        summaries=_RANGE,
        decimals=2,
        spike=Limits(0.6, 2),
        step=1,
        converts={"Pa": _scale("0.001"), "hPa": _scale("0.1")},
    ),
)

QUANTITIES: Final[Mapping[str, Quantity]] = {row.name: row for row in _TABLE}
"""Every quantity a pack may carry, by its word."""

STATION_QUANTITIES: Final = frozenset({"fruit-image", "mass"})
"""What cameras and scales are enrolled for. The station records those; no pack carries them."""

SEQUENCE: Final = "sequence"
"""The record that numbers a pack: SenML unit `count`, a whole number that grows with each pack of a device."""

WARM_TEMPERATURES: Final = ("load-temperature", "room-temperature", "air-temperature", "pulp-temperature")
"""The temperatures a cold chain is judged by, the most telling first."""
