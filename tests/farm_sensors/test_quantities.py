"""The table of quantities: complete, exact, and in the words of the standards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_sensors.quantities import QUANTITIES, STATION_QUANTITIES, WARM_TEMPERATURES
from ledger.vocabulary import GY


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=lambda quantity: quantity.name)
def test_every_row_can_be_judged_and_reported(quantity):
    assert quantity.plausible.low <= quantity.usual.low < quantity.usual.high <= quantity.plausible.high
    assert quantity.summaries
    assert quantity.component is None or quantity.component.startswith(GY + "component/")
    assert quantity.name not in STATION_QUANTITIES


def test_the_cold_chain_is_judged_by_known_quantities():
    assert set(WARM_TEMPERATURES) <= QUANTITIES.keys()


@pytest.mark.parametrize(
    ("name", "value", "unit", "kept"),
    [
        ("air-temperature", 293.15, "K", 20.0),
        ("air-temperature", 273.25, "K", 0.1),
        ("rain", 0.0012, "m", 1.2),
        ("wind-speed", 36, "km/h", 10.0),
        ("soil-moisture", 0.275, "/", 27.5),
        ("air-pressure", 1013.25, "hPa", 101.325),
        ("air-pressure", 101325, "Pa", 101.325),
    ],
)
def test_conversion_is_exact(name, value, unit, kept):
    assert QUANTITIES[name].in_unit(value, unit) == kept


@given(st.sampled_from(sorted(QUANTITIES)), st.decimals(-1000, 1000, places=3))
def test_conversion_keeps_order(name, value):
    quantity = QUANTITIES[name]
    for unit in quantity.units:
        assert quantity.in_unit(float(value), unit) < quantity.in_unit(float(value) + 1, unit)
