from datetime import timedelta

import pytest
from pydantic import ValidationError
from sqlmodel import select

import ledger.log
from ledger.events import ObjectEvent, Place, Quantity
from ledger.kernel.clock import format_time
from ledger.kernel.ids import new_event_id
from orders import picking, plots, raising
from orders.errors import (
    CrateInUseError,
    InvalidInputError,
    LotStateError,
    NotFoundError,
    NotYourPlotError,
    TooEarlyError,
    YieldCapError,
)
from orders.models import Crate, Listing, PickOrder, Plot
from orders.planning import MINIMUM_LOT_G
from orders.states import OrderState
from tests.orders.conftest import ZONE, Farm


def _order(farm: Farm, order: PickOrder) -> PickOrder:
    with farm.db.read() as session:
        return picking.pick_order(session, order.id)


# --- raising ----------------------------------------------------------------------------------------


def test_sale_raises_a_pick_order_for_the_holder_of_the_plot(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=8)
    assert order.holder == farm.farmer.party
    assert order.ordered_g >= 8 * 2500 * 1000 // 450
    assert order.why[0]["code"] == "tier_decides"
    with farm.db.read() as session:
        assert [row.id for row in picking.orders_for(session, farm.farmer.party)] == [order.id]
        assert picking.orders_for(session, farm.other_farmer.party) == []


def test_nothing_new_sold_raises_nothing(farm: Farm) -> None:
    show = farm.open()
    farm.sell(show, A=2)
    assert farm.raise_orders() == []


def test_what_is_on_its_way_is_not_ordered_again(farm: Farm) -> None:
    """The first order is a whole crate: later small sales ride on it."""
    show = farm.open()
    (order,) = farm.sell(show, A=1)
    assert order.ordered_g == MINIMUM_LOT_G
    assert farm.sell(show, A=1) == []
    assert farm.sell(show, B=1) == []
    assert len(farm.sell(show, A=8)) == 1


def test_every_tier_sold_is_covered_by_what_was_ordered(farm: Farm) -> None:
    show = farm.open({"A": 50, "B": 50, "C": 50})
    orders = [order for wave in ({"A": 3}, {"B": 9, "C": 20}, {"A": 30}) for order in farm.sell(show, **wave)]
    for tier, pieces in {"A": 33, "B": 9, "C": 20}.items():
        assert sum(order.expected_g[tier] for order in orders) >= pieces * 2500


def test_withdrawn_order_is_asked_for_again_and_leaves_the_phone(farm: Farm) -> None:
    show = farm.open()
    (order,) = farm.sell(show, A=2)
    with farm.write() as session:
        raising.withdraw(session, order.ref, recorder=farm.house.party, now=farm.at, zone=ZONE)
        raising.withdraw(session, order.ref, recorder=farm.house.party, now=farm.at, zone=ZONE)
    assert [event.action for event in farm.events("pick_order_raised")] == ["ADD", "DELETE"]
    (again,) = farm.raise_orders()
    with farm.db.read() as session:
        assert [row.id for row in picking.orders_for(session, farm.farmer.party, open_only=True)] == [again.id]


def test_order_being_picked_cannot_be_withdrawn(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=8)
    farm.pick(order, 5_000)
    with pytest.raises(LotStateError), farm.write() as session:
        raising.withdraw(session, order.ref, recorder=farm.house.party, now=farm.at, zone=ZONE)


def test_sale_beyond_the_seasons_yield_is_shown_as_unmet(db, now) -> None:
    farm = Farm(db, now)
    farm.register(yield_cap_kg=20)
    show = farm.open()
    (order,) = farm.sell(show, A=10)
    assert order.ordered_g == 20_000
    with farm.db.read() as session:
        unmet = {row.tier: row.unmet_g for row in session.exec(select(Listing))}
    assert unmet["A"] == 25_000 - 20_000 * 450 // 1070
    assert farm.raise_orders() == []


# --- the field --------------------------------------------------------------------------------------


def test_seen_keeps_the_first_time(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=2)
    first = farm.at
    for _ in range(2):
        with farm.write() as session:
            picking.seen(session, order.id, actor=farm.farmer, now=farm.at)
        farm.later(minutes=5)
    assert _order(farm, order).seen_at == first
    with pytest.raises(NotYourPlotError), farm.write() as session:
        picking.seen(session, order.id, actor=farm.other_farmer, now=farm.at)


def test_confirmation_records_one_lot_and_its_crates(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=8)
    outcome = farm.pick(order)
    (picked,) = farm.events("picked")
    crated = farm.events("crated")
    assert outcome.lot_number == "H260418-P01-1"
    assert picked.quantity_list[0].quantity == order.ordered_g == sum(c.child_quantity_list[0].quantity for c in crated)
    assert sorted(picked.ilmd["gy:crates"]) == sorted(crate.parent_id for crate in crated)
    assert picked.extensions["gy:recorder"] == farm.farmer.party
    assert outcome.order_state == OrderState.FILLED
    assert outcome.surplus_g == 0


def test_same_command_again_changes_nothing(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=8)
    given = farm.confirmation(order, 18_000)
    first, again = farm.confirm(given), farm.confirm(given)
    assert again.is_duplicate
    assert (again.lot, again.mass_g, again.surplus_g) == (first.lot, first.mass_g, first.surplus_g)
    assert len(farm.events("picked")) == 1


def test_same_command_with_other_content_is_refused(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=8)
    given = farm.confirmation(order, 18_000)
    farm.confirm(given)
    with pytest.raises(InvalidInputError, match="another confirmation"):
        farm.confirm(farm.confirmation(order, 17_000, command_id=given.command_id))


def test_more_than_ordered_is_taken_and_marked_surplus(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=1)
    farm.pick(order, 15_000)
    outcome = farm.pick(order, 8_000)
    assert (outcome.mass_g, outcome.surplus_g) == (8_000, 3_000)
    assert farm.pick(order, 1_000).surplus_g == 1_000
    assert _order(farm, order).picked_g == 24_000


def test_picking_for_a_withdrawn_order_is_all_surplus(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=1)
    with farm.write() as session:
        raising.withdraw(session, order.id, recorder=farm.house.party, now=farm.at, zone=ZONE)
    assert farm.pick(order, 5_000).surplus_g == 5_000
    assert _order(farm, order).state == OrderState.WITHDRAWN


def test_order_goes_from_raised_through_picking_to_filled(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=1)
    states = [_order(farm, order).state, *(farm.pick(order, mass_g).order_state for mass_g in (5_000, 14_700))]
    assert states == [OrderState.RAISED, OrderState.PICKING, OrderState.FILLED]


def test_holder_may_say_that_no_more_comes(farm: Farm) -> None:
    show = farm.open()
    (order,) = farm.sell(show, A=8)
    farm.pick(order, 5_000)
    with farm.write() as session:
        assert picking.finish(session, order.ref, actor=farm.farmer).state == OrderState.SHORT
        with pytest.raises(NotYourPlotError):
            picking.finish(session, order.ref, actor=farm.other_farmer)
    (more,) = farm.sell(show, A=1)
    assert sum(row.expected_g["A"] for row in (more,)) + 5_000 * 450 // 1070 >= 9 * 2500


def test_only_the_holder_confirms(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=1)
    with pytest.raises(NotYourPlotError):
        farm.confirm(farm.confirmation(order, 5_000), actor=farm.other_farmer)
    assert farm.events("picked") == []


def test_unknown_pick_order_is_named(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=1)
    with pytest.raises(NotFoundError, match="no pick order PO000000-0000"):
        farm.confirm(farm.confirmation(order, 5_000, pick_order="PO000000-0000"))


def test_season_cannot_yield_more_than_its_cap(db, now) -> None:
    farm = Farm(db, now)
    farm.register(yield_cap_kg=20)
    (order,) = farm.sell(farm.open(), A=10)
    farm.pick(order, 15_000)
    with pytest.raises(YieldCapError) as caught:
        farm.pick(order, 5_001)
    assert (caught.value.left_g, caught.value.cap_g) == (5_000, 20_000)
    assert farm.pick(order, 5_000).mass_g == 5_000


def test_crate_still_full_of_another_lot_is_refused(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=8)
    crates = ({"crate": "C-0417", "mass_g": 9_000},)
    outcome = farm.confirm(farm.confirmation(order, 9_000, crates=crates))
    with pytest.raises(CrateInUseError):
        farm.confirm(farm.confirmation(order, 9_000, crates=crates))
    farm.receive(outcome.lot, 9_000)
    assert farm.confirm(farm.confirmation(order, 9_000, crates=crates)).mass_g == 9_000


def test_short_name_and_grai_are_the_same_crate(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=8)
    grai = picking.parse_crate("c-0417", farm.numbering)
    crates = ({"crate": "C-0417", "mass_g": 9_000}, {"crate": grai, "mass_g": 9_000})
    with pytest.raises(InvalidInputError, match="twice"):
        farm.confirm(farm.confirmation(order, 18_000, crates=crates))


@pytest.mark.parametrize("crate", ["", "crate seven", "https://id.gs1.org/01/09521002001013", "https://x/8003/1"])
def test_thing_that_is_no_crate_is_refused(farm: Farm, crate: str) -> None:
    with pytest.raises(InvalidInputError, match="crate"):
        picking.parse_crate(crate, farm.numbering)


def test_confirmation_from_the_future_is_refused(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=1)
    with pytest.raises(InvalidInputError, match="future"):
        farm.confirm(farm.confirmation(order, 5_000, ended_at=farm.at + timedelta(minutes=6)))


@pytest.mark.parametrize(
    "changes",
    [
        {"crates": ()},
        {"crates": ({"crate": "C-1", "mass_g": 0},)},
        {"crates": ({"crate": "C-1", "mass_g": 1.5},)},
        {"command_id": "again"},
        {"photo_sha256": "ff"},
        {"position": {"lat": 99, "lon": 0}},
        {"started_at": "2026-04-18T12:00:00Z"},
        {"started_at": "2026-04-01T00:00:00Z"},
        {"ended_at": "2026-04-18T03:05:00"},
        {"weather": "fine"},
    ],
)
def test_confirmation_that_cannot_be_is_not_parsed(farm: Farm, changes: dict[str, object]) -> None:
    (order,) = farm.sell(farm.open(), A=1)
    with pytest.raises(ValidationError):
        farm.confirmation(order, 5_000, **changes)


def test_fruit_is_not_picked_before_the_waiting_time_after_a_treatment(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=1)
    plot = farm.numbering.place(1, "P01")
    earliest = format_time(farm.at)
    with farm.write() as session:
        ledger.log.record(
            session,
            ObjectEvent(
                event_id=new_event_id(farm.at),
                event_time=format_time(farm.at),
                event_time_zone_offset="+08:00",
                action="OBSERVE",
                biz_step="other",
                quantity_list=(
                    Quantity(epc_class="https://id.gs1.org/01/09521005000112/10/F1", quantity=1, uom="MLT"),
                ),
                read_point=Place(plot),
                extensions={"gy:sentence": "treated/1", "gy:treatment": {"gy:earliestHarvestAt": earliest}},
            ),
            now=farm.at,
        )
    with pytest.raises(TooEarlyError) as caught:
        farm.confirm(farm.confirmation(order, 5_000))
    assert caught.value.earliest_at == earliest
    farm.later(minutes=31)
    assert farm.confirm(farm.confirmation(order, 5_000)).mass_g == 5_000


def test_position_is_committed_but_not_logged(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=1)
    farm.confirm(farm.confirmation(order, 5_000, position={"lat": 18.3123, "lon": 109.5123}))
    assert b"18.3123" not in b"".join(entry.data for entry in farm.entries())
    assert len(farm.events("picked")[0].extensions["gy:digests"]) == 1


def test_refused_confirmation_leaves_nothing_behind(farm: Farm) -> None:
    (order,) = farm.sell(farm.open(), A=1)
    with pytest.raises(InvalidInputError):
        farm.confirm(
            farm.confirmation(order, 5_000, crates=({"crate": "C-1", "mass_g": 5_000}, {"crate": "?", "mass_g": 1}))
        )
    with farm.db.read() as session:
        assert session.exec(select(Crate)).all() == []
        assert plots.yield_left_g(session.exec(select(Plot)).one()) == 12_000_000
