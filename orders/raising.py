"""Pick orders raised by sales: what was sold and is not on its way yet becomes kilograms asked of plots."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import func
from sqlmodel import Session, col, select

from ledger.kernel.clock import format_time
from ledger.kernel.ids import DocumentType, Numbering, PartyId, product_id
from ledger.log import record
from ledger.vocabulary import Action
from orders import events, products
from orders.documents import next_document
from orders.errors import LotStateError
from orders.models import Broadcast, Listing, PickOrder, Plot, Product, SalesLine, TierStock, TierTotal
from orders.picking import FILLED_PER_MILLE, pick_order
from orders.places import House
from orders.planning import MARGIN_PER_MILLE, MINIMUM_LOT_G, Offer, PickTask, plan
from orders.plots import yield_left_g
from orders.states import OPEN_STATES, OrderState
from orders.tiers import Tier, expected_shares

PICK_WITHIN = timedelta(hours=12)
ACCEPT_WITHIN = timedelta(minutes=30)


def raise_orders(
    session: Session,
    *,
    now: datetime,
    numbering: Numbering,
    zone: str,
    house: House | None = None,
    minimum_lot_g: int = MINIMUM_LOT_G,
) -> list[PickOrder]:
    """Raise pick orders for what was sold and is not on its way yet; return the new ones.

    Cheap when nothing changed, so it may be called every half second. What no plot can give is kept
    on the listing as `unmet_g`.
    """
    changed = session.exec(
        select(Listing.broadcast_id)
        .join(TierStock, col(TierStock.listing_id) == Listing.id)
        .where(TierStock.held != Listing.planned_pieces)
        .distinct()
    ).all()
    if not changed:
        return []
    # One planner at a time per broadcast; what it read before the lock is read again below.
    session.exec(
        select(Broadcast.id).where(col(Broadcast.id).in_(changed)).order_by(Broadcast.id).with_for_update()
    ).all()
    raised: list[PickOrder] = []
    at_house = house or House.of(numbering)
    for rows in _groups(session, changed).values():
        raised += _raise_group(
            session, rows, now=now, numbering=numbering, zone=zone, house=at_house, minimum_lot_g=minimum_lot_g
        )
    session.flush()
    return raised


def withdraw(session: Session, name: str, *, recorder: PartyId, now: datetime, zone: str) -> PickOrder:
    """Take a pick order back and record it. Raises LotStateError once picking has begun.

    What it would have brought is asked for again by the next `raise_orders`.
    """
    # The planner's lock first: it must not plan with an order that is being taken back.
    broadcast_id = pick_order(session, name).broadcast_id
    session.exec(select(Broadcast.id).where(Broadcast.id == broadcast_id).with_for_update()).one()
    row = pick_order(session, name, is_for_update=True)
    if row.state == OrderState.WITHDRAWN:
        return row
    if row.state != OrderState.RAISED:
        raise LotStateError(row.ref, state=row.state, needed="an order nobody has begun")
    row.state = OrderState.WITHDRAWN
    plot = session.get_one(Plot, row.plot_id)
    _record_order(
        session, row, plot, Action.DELETE, recorder=recorder, harvest=_harvest_of(session, plot), now=now, zone=zone
    )
    for listing in session.exec(
        select(Listing).where(Listing.broadcast_id == row.broadcast_id, Listing.variety == row.variety)
    ):
        listing.planned_pieces = -1  # plan again, whatever is held
        session.add(listing)
    session.add(row)
    session.flush()
    return row


# --- raising --------------------------------------------------------------------------------------

_Row = tuple[Listing, int]


def _groups(session: Session, broadcast_ids: Sequence[str]) -> Mapping[tuple[str, str, tuple[str, ...]], list[_Row]]:
    """Return listings with the pieces they hold, grouped by what can be harvested together."""
    groups: defaultdict[tuple[str, str, tuple[str, ...]], list[_Row]] = defaultdict(list)
    for listing, held in session.exec(
        select(Listing, TierStock.held)
        .join(TierStock, col(TierStock.listing_id) == Listing.id)
        .where(col(Listing.broadcast_id).in_(broadcast_ids))
        .order_by(col(Listing.id))
        .execution_options(populate_existing=True)
    ):
        groups[listing.broadcast_id, listing.variety, tuple(listing.plots)].append((listing, held))
    return groups


def _raise_group(
    session: Session,
    rows: Sequence[_Row],
    *,
    now: datetime,
    numbering: Numbering,
    zone: str,
    house: House,
    minimum_lot_g: int,
) -> list[PickOrder]:
    first = rows[0][0]
    plots = {
        plot.id: plot
        for plot in session.exec(select(Plot).where(col(Plot.id).in_(first.plots)).order_by(Plot.id)).all()
    }
    coming, asked, open_plots = _on_the_way(session, first.broadcast_id, first.variety, list(plots))
    demand = {
        Tier(listing.tier): held * listing.nominal_mass_g - coming.get(Tier(listing.tier), 0) for listing, held in rows
    }
    shares = expected_shares(_graded_totals(session, first.variety))
    offers = [
        Offer(plot.id, yield_left_g(plot) - asked.get(plot.id, 0), shares, is_open=plot.id in open_plots)
        for plot in plots.values()
    ]
    found = plan(demand, offers, minimum_lot_g=minimum_lot_g)
    raised = [
        _raise_one(session, task, plots[task.plot], rows, shares, now=now, numbering=numbering, zone=zone, house=house)
        for task in found.tasks
    ]
    for listing, held in rows:
        listing.planned_pieces = held
        listing.unmet_g = found.unmet_g.get(Tier(listing.tier), 0)
        session.add(listing)
    return raised


def _on_the_way(
    session: Session, broadcast_id: str, variety: str, plot_ids: Sequence[str]
) -> tuple[dict[Tier, int], dict[str, int], set[str]]:
    """Return grams per tier that earlier orders bring, grams still asked of each plot, and open plots.

    Grams still asked count against a plot's season over all broadcasts.
    """
    coming: defaultdict[Tier, int] = defaultdict(int)
    asked: defaultdict[str, int] = defaultdict(int)
    open_plots: set[str] = set()
    for order in session.exec(
        select(PickOrder)
        .where(col(PickOrder.plot_id).in_(plot_ids), PickOrder.state != OrderState.WITHDRAWN)
        .execution_options(populate_existing=True)
    ):
        if order.broadcast_id == broadcast_id and order.variety == variety:
            for tier, grams in _still_expected(order).items():
                coming[tier] += grams
        if order.state in OPEN_STATES:
            asked[order.plot_id] += max(0, order.ordered_g - order.picked_g)
            open_plots.add(order.plot_id)
    return coming, asked, open_plots


def _still_expected(order: PickOrder) -> dict[Tier, int]:
    """Return what an order brings per tier: what was asked, or less where too little came and no more will."""
    is_filled = order.picked_g * 1000 >= order.ordered_g * FILLED_PER_MILLE
    keeps_promise = is_filled or order.state in OPEN_STATES
    factor = max(order.ordered_g, order.picked_g) if keeps_promise else order.picked_g
    return {Tier(tier): grams * factor // order.ordered_g for tier, grams in order.expected_g.items()}


def _graded_totals(session: Session, variety: str) -> dict[Tier, int]:
    rows = session.exec(select(TierTotal.tier, TierTotal.mass_g).where(TierTotal.variety == variety))
    return {Tier(tier): mass_g for tier, mass_g in rows}


def _raise_one(
    session: Session,
    task: PickTask,
    plot: Plot,
    rows: Sequence[_Row],
    shares: Mapping[Tier, int],
    *,
    now: datetime,
    numbering: Numbering,
    zone: str,
    house: House,
) -> PickOrder:
    document = next_document(session, DocumentType.PICK_ORDER, "PO", now=now, zone=zone, numbering=numbering)
    sold_at = session.exec(
        select(func.max(SalesLine.taken_at)).where(SalesLine.broadcast_id == rows[0][0].broadcast_id)
    ).one()
    order = PickOrder(
        id=document.id,
        ref=document.ref,
        broadcast_id=rows[0][0].broadcast_id,
        plot_id=plot.id,
        holder=plot.holder,
        variety=plot.variety,
        tier_wanted=task.tier_wanted,
        ordered_g=task.harvest_g,
        expected_g={str(tier): grams for tier, grams in task.expected_g.items()},
        why=[dict(reason) for reason in task.why],
        sale_documents=sorted(listing.sale_document for listing, held in rows if held),
        demand_g=task.demand_g,
        share_per_mille=shares[task.tier_wanted],
        house_place=house.place,
        house_party=house.party,
        state=OrderState.RAISED,
        raised_at=now,
        sold_at=sold_at,
        pick_by=now + PICK_WITHIN,
        event_id="",
    )
    harvest = products.harvest_product(session, crop=plot.crop, variety=plot.variety, numbering=numbering).gtin
    order.event_id = _record_order(
        session, order, plot, Action.ADD, recorder=house.party, harvest=harvest, now=now, zone=zone
    )
    session.add(order)
    session.flush()
    return order


def _harvest_of(session: Session, plot: Plot) -> str:
    return session.exec(
        select(Product.gtin).where(Product.kind == products.HARVEST, Product.variety == plot.variety)
    ).one()


def _record_order(
    session: Session,
    order: PickOrder,
    plot: Plot,
    action: Action,
    *,
    recorder: str,
    harvest: str,
    now: datetime,
    zone: str,
) -> str:
    said = events.Said.by(recorder, at=now, zone=zone)
    event = events.pick_order_raised(
        said,
        action=action,
        pick_order=order.id,
        sale_documents=order.sale_documents,
        harvest=product_id(harvest),
        mass_g=order.ordered_g,
        plot=plot.id,
        holder=order.holder,
        house_place=order.house_place,
        house_party=order.house_party,
        order={
            "gy:tierWanted": order.tier_wanted,
            "gy:soldG": order.demand_g,
            "gy:expectedSharePerMille": order.share_per_mille,
            "gy:marginPerMille": MARGIN_PER_MILLE,
            "gy:pickBy": format_time(order.pick_by),
            "gy:acceptBy": format_time(order.raised_at + ACCEPT_WITHIN),
        },
    )
    record(session, event, now=now)
    return said.event_id
