"""Many buyers, one crate. Each race is run on SQLite and on PostgreSQL."""

import threading
from collections import Counter
from functools import partial

import pytest
from sqlalchemy import update
from sqlmodel import func, select

from ledger.kernel.sequences import next_number
from orders import allocation, fulfilment, listings, packing, picking, sales, stock
from orders.allocation import LineState
from orders.errors import PackError, QuotaError
from orders.models import Broadcast, Listing, Quota, SalesLine, TierStock
from tests.orders.conftest import ZONE, Farm
from tests.races.conftest import at_once

THREADS = 8


def _states(outcomes: list) -> Counter[LineState]:
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return Counter(line.state for outcome in outcomes for line in outcome.lines)


def _take_each(farm: Farm, messages: list) -> list[sales.Outcome]:
    return [farm.take(message) for message in messages]


def _kept(farm: Farm, state: LineState) -> int:
    with farm.db.read() as session:
        query = select(func.coalesce(func.sum(SalesLine.quantity), 0)).where(SalesLine.state == state)
        return int(session.exec(query).one())


def test_buyers_at_once_never_get_more_than_is_offered(race_farm: Farm) -> None:
    show = race_farm.open({"A": 50})
    shares = [[race_farm.paid(show, ("A", 1 + n % 3)) for n in range(10)] for _ in range(THREADS)]
    results = at_once([partial(_take_each, race_farm, share) for share in shares])
    outcomes = [outcome for result in results for outcome in result]
    assert len(outcomes) == THREADS * 10
    assert set(_states(outcomes)) == {LineState.HELD, LineState.SOLD_OUT}
    (offered, held) = race_farm.stock(show)["A"]
    assert held == _kept(race_farm, LineState.HELD) <= offered
    # Only a line larger than what is left may have been turned away.
    assert offered - held < 3
    with race_farm.write() as session:
        assert allocation.recount(session) == []


def test_without_the_guard_the_same_buyers_are_oversold(race_farm: Farm) -> None:
    """The control: look in one transaction, write in the next, as shops that oversell do."""
    show = race_farm.open({"A": THREADS // 2})
    gate = threading.Barrier(THREADS)

    def buy() -> bool:
        with race_farm.db.read() as session:
            (_, row), *_ = sales.stock(session, show.id)
            listing_id, offered, held = row.listing_id, row.offered, row.held
        gate.wait(timeout=30)
        if held + 1 > offered:
            return False
        with race_farm.write() as session:
            session.execute(update(TierStock).where(TierStock.listing_id == listing_id).values(held=held + 1))
        return True

    promised = at_once([buy] * THREADS).count(True)
    assert promised > THREADS // 2
    assert race_farm.stock(show)["A"][1] < promised


def test_one_message_delivered_many_times_at_once_is_taken_once(race_farm: Farm) -> None:
    show = race_farm.open({"A": 50})
    message = race_farm.paid(show, ("A", 2))
    outcomes = at_once([partial(race_farm.take, message)] * THREADS)
    assert sorted(outcome.is_duplicate for outcome in outcomes) == [False] + [True] * (THREADS - 1)
    assert len({outcome.lines for outcome in outcomes}) == 1
    assert race_farm.stock(show)["A"] == (50, 2)


def test_one_order_under_many_message_ids_at_once_is_held_once(race_farm: Farm) -> None:
    show = race_farm.open({"A": 50, "B": 50})
    messages = [race_farm.paid(show, ("A", 2), ("Z", 1), order="S-1") for _ in range(THREADS)]
    outcomes = at_once([partial(race_farm.take, message) for message in messages])
    assert _states(outcomes) == {LineState.HELD: THREADS, LineState.UNKNOWN_TIER: THREADS}
    assert race_farm.stock(show)["A"] == (50, 2)


def test_orders_that_name_tiers_in_opposite_order_do_not_lock_each_other_out(race_farm: Farm) -> None:
    show = race_farm.open({"A": 200, "B": 200})
    shares = [
        [race_farm.paid(show, *([("A", 1), ("B", 1)] if n % 2 else [("B", 1), ("A", 1)])) for _ in range(8)]
        for n in range(THREADS)
    ]
    results = at_once([partial(_take_each, race_farm, share) for share in shares])
    assert _states([outcome for result in results for outcome in result]) == {LineState.HELD: THREADS * 16}


def test_sales_and_cancellations_at_once_keep_the_books(race_farm: Farm) -> None:
    show = race_farm.open({"A": 20, "B": 20})

    def trade(name: int) -> None:
        for n in range(6):
            order = f"S-{name}-{n}"
            race_farm.take(race_farm.paid(show, ("A", 1), ("B", 2), order=order, message=f"paid-{order}"))
            if n % 2:
                race_farm.take(race_farm.cancelled(order, message=f"off-{order}"))

    results = at_once([partial(trade, name) for name in range(THREADS)])
    assert [result for result in results if result is not None] == []
    with race_farm.write() as session:
        assert allocation.recount(session) == []
    for offered, held in race_farm.stock(show).values():
        assert 0 <= held <= offered


def test_order_and_its_cancellation_at_once_hold_nothing_in_the_end(race_farm: Farm) -> None:
    show = race_farm.open({"A": 50})
    for n in range(6):
        paid, off = race_farm.paid(show, ("A", 1), order=f"S-{n}"), race_farm.cancelled(f"S-{n}")
        for result in at_once([partial(race_farm.take, paid), partial(race_farm.take, off)]):
            assert isinstance(result, sales.Outcome)
    assert race_farm.stock(show)["A"] == (50, 0)


def test_many_planners_at_once_order_no_kilogram_twice(race_farm: Farm) -> None:
    show = race_farm.open({"A": 50})
    race_farm.take(race_farm.paid(show, ("A", 40)))
    raised = at_once([race_farm.raise_orders] * THREADS)
    assert sorted(len(orders) for orders in raised) == [0] * (THREADS - 1) + [1]


def test_one_confirmation_sent_many_times_at_once_is_recorded_once(race_farm: Farm) -> None:
    (order,) = race_farm.sell(race_farm.open(), A=8)
    given = race_farm.confirmation(order, 18_000)
    outcomes = at_once([partial(race_farm.confirm, given)] * THREADS)
    assert sorted(outcome.is_duplicate for outcome in outcomes) == [False] + [True] * (THREADS - 1)
    assert len({outcome.lot for outcome in outcomes}) == 1
    assert len(race_farm.entries("picked")) == 1


def test_stations_at_once_never_pack_more_than_was_measured(race_farm: Farm) -> None:
    show = race_farm.open()
    lots = race_farm.graded({"A": 10_000, "B": 6_000}, show, A=2)
    gtin = race_farm.listing(show, "A").gtin
    race_farm.grant(lots["A"], gtin)
    results = at_once([partial(race_farm.pack, lots["A"], gtin, 2_600, fruits=race_farm.fruits())] * 1)
    results += at_once(
        [partial(race_farm.pack, lots["A"], gtin, 2_600, fruits=race_farm.fruits()) for _ in range(THREADS)]
    )
    refused = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(result, (PackError, QuotaError)) for result in refused)
    with race_farm.db.read() as session:
        lot = stock.graded_lot(session, lots["A"].id)
        packs = packing.packs(session, graded_lot_id=lot.id)
        quota = session.exec(select(Quota)).one()
    assert lot.packed_g == sum(pack.mass_g for pack in packs) == 3 * 2_600
    assert quota.activated == len(packs) == 3


def test_order_cancelled_while_it_is_packed_keeps_the_books(race_farm: Farm) -> None:
    show = race_farm.open({"A": 10, "B": 10}, mass_g=1_000)
    orders = [f"S-{n}" for n in range(5)]
    for order in orders:
        race_farm.take(race_farm.paid(show, ("A", 1), order=order))
    lots = race_farm.graded({"A": 10_000, "B": 6_000}, show, B=1)
    gtin = race_farm.listing(show, "A").gtin
    race_farm.grant(lots["A"], gtin)
    results = at_once(
        [partial(race_farm.take, race_farm.cancelled(order)) for order in orders[:3]]
        + [partial(race_farm.pack, lots["A"], gtin, 1_020, fruits=race_farm.fruits()) for _ in range(5)]
    )
    assert [result for result in results if isinstance(result, BaseException)] == []
    with race_farm.write() as session:
        fulfilment.assign_spare(session)
        assert allocation.recount(session) == []
        served = session.exec(select(SalesLine.order_ref).where(SalesLine.packed > 0, SalesLine.tier == "A")).all()
    assert set(served) >= {"S-3", "S-4"}


def test_first_listings_of_a_new_pack_at_once_share_one_gtin(race_farm: Farm) -> None:
    shows = [race_farm.open({}) for _ in range(4)]

    def offer(show: Broadcast) -> str:
        with race_farm.write() as session:
            return listings.list_tier(
                session,
                show.id,
                tier="A",
                variety="Guifei",
                nominal_mass_g=777,
                price_fen=1,
                pieces=1,
                plots=[race_farm.numbering.place(1, "P01")],
                numbering=race_farm.numbering,
                now=race_farm.at,
                zone=ZONE,
            ).gtin

    assert len(set(at_once([partial(offer, show) for show in shows]))) == 1


def test_documents_numbered_at_once_get_different_numbers(race_farm: Farm) -> None:
    def number() -> int:
        with race_farm.write() as session:
            return next_number(session, "PO260418")

    assert sorted(at_once([number] * THREADS)) == list(range(1, THREADS + 1))


@pytest.mark.parametrize("batch", [1, 4])
def test_batches_that_overlap_do_not_deadlock(race_farm: Farm, batch: int) -> None:
    show = race_farm.open({"A": 500, "B": 500})
    messages = [race_farm.paid(show, ("B", 1), ("A", 1)) for _ in range(16)]

    def take(start: int) -> None:
        turned = messages[start:] + messages[:start]
        for at in range(0, len(turned), batch):
            with race_farm.write() as session:
                sales.take_many(session, turned[at : at + batch], now=race_farm.at)

    results = at_once([partial(take, start * 2) for start in range(THREADS)])
    assert [result for result in results if result is not None] == []
    assert race_farm.stock(show) == {"A": (500, 16), "B": (500, 16)}


def test_plan_read_before_a_sale_does_not_hide_it(race_farm: Farm) -> None:
    """A sale that commits while a planner works is planned by the next one."""
    show = race_farm.open({"A": 100})

    def sell() -> None:
        for _ in range(5):
            race_farm.take(race_farm.paid(show, ("A", 4)))

    def plan() -> None:
        for _ in range(5):
            race_farm.raise_orders()

    results = at_once([sell, plan, sell, plan])
    assert [result for result in results if result is not None] == []
    race_farm.raise_orders()
    with race_farm.db.read() as session:
        held = session.exec(select(TierStock.held)).one()
        planned = session.exec(select(Listing.planned_pieces)).one()
        expected = sum(order.expected_g["A"] for order in picking.pick_orders(session))
        assert session.exec(select(Broadcast.id)).one() == show.id
    assert held == planned == 40
    assert expected >= 40 * 2_500
