from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders import intake, picking
from orders.errors import InvalidInputError, LotStateError, NotFoundError, SamePartyError
from orders.intake import clock_of
from orders.states import LotState, OrderState
from tests.orders.conftest import Farm


def _lot(farm: Farm, mass_g: int = 40_000) -> str:
    (order,) = farm.sell(farm.open(), A=7)
    return farm.pick(order, mass_g).lot


def test_receipt_confirms_the_pick_from_the_other_side(farm: Farm) -> None:
    outcome = farm.receive(lot := _lot(farm), 39_900)
    (picked,), (received,) = farm.events("picked"), farm.events("received")
    assert (outcome.difference_g, outcome.allowed_g, outcome.state) == (-100, 800, LotState.RECEIVED)
    assert received.extensions["gy:confirms"] == [picked.event_id]
    assert received.extensions["gy:recorder"] != picked.extensions["gy:recorder"]
    assert received.quantity_list[0].epc_class == lot
    assert len(received.epc_list) == 2


@pytest.mark.parametrize("mass_g", [39_199, 40_801])
def test_more_than_two_per_cent_off_is_held_with_its_reason(farm: Farm, mass_g: int) -> None:
    outcome = farm.receive(_lot(farm), mass_g)
    assert outcome.state == LotState.HELD
    assert f"{mass_g - 40_000:+d} g" in outcome.reason
    assert len(farm.events("received")) == 1


@pytest.mark.parametrize("mass_g", [39_200, 40_800])
def test_exactly_two_per_cent_off_is_received(farm: Farm, mass_g: int) -> None:
    assert farm.receive(_lot(farm), mass_g).state == LotState.RECEIVED


def test_crate_that_did_not_arrive_holds_the_lot(farm: Farm) -> None:
    lot = _lot(farm)
    with farm.db.read() as session:
        crates = [crate.crate_id for crate in picking.crates_of(session, lot)]
    outcome = farm.receive(lot, 40_000, crates=crates[:1])
    assert outcome.state == LotState.HELD
    assert crates[1] in outcome.reason


def test_crate_of_another_lot_is_refused(farm: Farm) -> None:
    with pytest.raises(InvalidInputError, match="did not bring"):
        farm.receive(_lot(farm), 40_000, crates=["C-9999"])


def test_weighing_a_held_lot_again_releases_it(farm: Farm) -> None:
    lot = _lot(farm)
    farm.receive(lot, 30_000)
    assert farm.receive(lot, 40_000).state == LotState.RECEIVED
    assert len(farm.events("received")) == 2


def test_same_weight_again_changes_nothing(farm: Farm) -> None:
    lot = _lot(farm)
    assert farm.receive(lot, 40_000) == farm.receive(lot, 40_000)
    assert len(farm.events("received")) == 1


def test_received_lot_is_not_weighed_in_with_another_weight(farm: Farm) -> None:
    lot = _lot(farm)
    farm.receive(lot, 40_000)
    with pytest.raises(LotStateError):
        farm.receive(lot, 40_001)


def test_who_picked_cannot_weigh_in(farm: Farm) -> None:
    with pytest.raises(SamePartyError):
        farm.receive(_lot(farm), 40_000, actor=farm.farmer)


@pytest.mark.parametrize("mass_g", [0, -1, 100_000_001])
def test_mass_no_scale_shows_is_refused(farm: Farm, mass_g: int) -> None:
    with pytest.raises(InvalidInputError, match="mass_g"):
        farm.receive(_lot(farm), mass_g)


def test_unknown_lot_is_named(farm: Farm) -> None:
    with pytest.raises(NotFoundError, match="no lot H999999-P09-1"):
        farm.receive("H999999-P09-1", 1_000)


def test_order_closes_when_everything_picked_for_it_is_received(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=8)
    half = order.ordered_g // 2
    lots = [farm.pick(order, half).lot, farm.pick(order, order.ordered_g - half).lot]
    states = []
    for lot, mass_g in zip(lots, (half, order.ordered_g - half), strict=True):
        farm.receive(lot, mass_g)
        with farm.db.read() as session:
            states.append(picking.pick_order(session, order.id).state)
    assert states == [OrderState.FILLED, OrderState.CLOSED]


def test_vehicle_is_committed_but_not_logged(farm: Farm) -> None:
    farm.receive(_lot(farm), 40_000, vehicle="sample vehicle 7")
    assert b"sample vehicle" not in b"".join(entry.data for entry in farm.entries())


# --- cooling ----------------------------------------------------------------------------------------


def test_cooling_stops_the_clock_and_records_its_minutes(farm: Farm) -> None:
    lot = _lot(farm)
    farm.receive(lot, 40_000)
    clock = farm.cool(lot, after=timedelta(minutes=58))
    (cooled,) = farm.events("pre_cooled")
    assert cooled.extensions["gy:cooling"]["gy:minutesFromPick"] == clock.minutes == 58
    assert cooled.extensions["gy:cooling"]["gy:limitMinutes"] == 120
    assert cooled.quantity_list[0].quantity == 40_000
    assert not clock.is_late


def test_late_cooling_is_recorded_as_late(farm: Farm) -> None:
    lot = _lot(farm)
    farm.receive(lot, 40_000)
    clock = farm.cool(lot, after=timedelta(minutes=121))
    assert (clock.minutes, clock.is_late, clock.remaining_minutes) == (121, True, -1)


def test_cooling_again_changes_nothing(farm: Farm) -> None:
    lot = _lot(farm)
    farm.receive(lot, 40_000)
    first = farm.cool(lot)
    assert farm.cool(lot) == first
    assert len(farm.events("pre_cooled")) == 1


def test_lot_not_received_or_held_is_not_cooled(farm: Farm) -> None:
    lot = _lot(farm)
    with pytest.raises(LotStateError, match="created"):
        farm.cool(lot)
    farm.receive(lot, 10_000)
    with pytest.raises(LotStateError, match=r"held \(weighed -30000 g"):
        farm.cool(lot)


def test_cooling_cannot_start_before_picking_ended(farm: Farm) -> None:
    lot = _lot(farm)
    farm.receive(lot, 40_000)
    with pytest.raises(InvalidInputError, match="after picking ended"):
        farm.cool(lot, after=timedelta(minutes=-1))


def test_cooling_without_a_temperature_is_no_evidence(farm: Farm) -> None:
    lot = _lot(farm)
    farm.receive(lot, 40_000)
    farm.later(hours=1)
    with pytest.raises(InvalidInputError, match="temperature"), farm.write() as session:
        intake.pre_cool(
            session,
            lot,
            cooler=farm.house.spot("COOL-1"),
            started_at=farm.at - timedelta(minutes=30),
            ended_at=farm.at,
            sensor_elements=[],
            actor=farm.station,
            **farm.said(),
        )


@given(st.integers(0, 10_000))
def test_clock_runs_down_by_the_minute(minutes: int) -> None:
    from datetime import UTC, datetime

    ended = datetime(2026, 4, 18, tzinfo=UTC)
    clock = clock_of(ended, now=ended + timedelta(minutes=minutes, seconds=59))
    assert clock.minutes == minutes
    assert clock.remaining_minutes == 120 - minutes
    assert clock.is_late == (minutes > 120)
    assert clock.due_at == ended + timedelta(hours=2)
    assert not clock.is_stopped
