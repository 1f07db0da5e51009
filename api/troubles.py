"""What went wrong in a broadcast, and what a host may choose from to put it right."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel
from sqlmodel import Session, col, select

from api.farm import Moment, PlotView
from api.selling import ListingView
from orders import sales
from orders.models import Broadcast, Lot, PickOrder, SalesLine, SalesOrder
from orders.picking import FILLED_PER_MILLE
from orders.states import LotState, OrderState


class Trouble(StrEnum):
    """What a host has to do something about."""

    SOLD_OUT = "sold_out"
    UNKNOWN_TIER = "unknown_tier"
    UNMET = "unmet"
    SHORT = "short"
    HELD_LOT = "held_lot"


class ExceptionView(BaseModel):
    """Something that went wrong, with what is needed to put it right."""

    id: str
    kind: Trouble
    tier: str
    order_ref: str
    source: str
    pieces: int
    mass_g: int
    paid_fen: int
    at: Moment
    plot: PlotView | None
    alternatives: list["Alternative"]


class Alternative(BaseModel):
    """Another tier that still has enough: what it costs the buyer more (below zero: less) for all pieces."""

    tier: str
    free_g: int
    difference_fen: int


def exceptions(
    session: Session, show: Broadcast, rows: Sequence[ListingView], plots: Mapping[str, PlotView]
) -> list[ExceptionView]:
    """Return what has to be settled: paid lines that hold nothing, fruit that will be missing, lots held."""
    by_tier = {row.tier: row for row in rows}
    found = [_line_exception(session, line, by_tier) for line in sales.exceptions(session, show.id)]
    found += [
        _exception(Trouble.UNMET, f"unmet {row.tier}", tier=row.tier, mass_g=row.unmet_g, at=show.opened_at)
        for row in rows
        if row.unmet_g > 0
    ]
    orders = session.exec(select(PickOrder).where(PickOrder.broadcast_id == show.id)).all()
    found += [
        _exception(
            Trouble.SHORT,
            f"short {order.ref}",
            tier=order.tier_wanted,
            order_ref=order.ref,
            mass_g=order.ordered_g - order.picked_g,
            at=order.raised_at,
            plot=plots[order.plot_id],
        )
        for order in orders
        if order.state in (OrderState.SHORT, OrderState.CLOSED)
        and order.picked_g * 1000 < order.ordered_g * FILLED_PER_MILLE
    ]
    held = session.exec(
        select(Lot).where(col(Lot.pick_order_id).in_([order.id for order in orders]), Lot.state == LotState.HELD)
    )
    tiers = {order.id: order.tier_wanted for order in orders}
    found += [
        _exception(
            Trouble.HELD_LOT,
            f"held {lot.number}",
            tier=tiers[lot.pick_order_id],
            order_ref=lot.number,
            mass_g=lot.received_g or lot.picked_g,
            at=lot.received_at or lot.pick_ended_at,
            plot=plots[lot.plot_id],
        )
        for lot in held
    ]
    return found


def _line_exception(session: Session, line: SalesLine, by_tier: Mapping[str, ListingView]) -> ExceptionView:
    listed = by_tier.get(line.tier)
    mass_g = line.quantity * listed.nominal_mass_g if listed else 0
    paid_fen = line.quantity * line.unit_price_fen
    paid_at = session.exec(
        select(SalesOrder.paid_at).where(SalesOrder.source == line.source, SalesOrder.order_ref == line.order_ref)
    ).first()
    return _exception(
        Trouble(line.state),
        f"line {line.id}",
        tier=line.tier,
        order_ref=line.order_ref,
        source=line.source,
        pieces=line.quantity,
        mass_g=mass_g,
        paid_fen=paid_fen,
        at=paid_at or line.taken_at,
        alternatives=[
            Alternative(
                tier=other.tier,
                free_g=other.free_g,
                difference_fen=line.quantity * other.price_fen - paid_fen,
            )
            for other in by_tier.values()
            if other.tier != line.tier and other.pieces - other.sold_pieces >= line.quantity
        ],
    )


def _exception(
    kind: Trouble,
    name: str,
    *,
    tier: str,
    at: datetime,
    order_ref: str = "",
    source: str = "",
    pieces: int = 0,
    mass_g: int = 0,
    paid_fen: int = 0,
    plot: PlotView | None = None,
    alternatives: Sequence[Alternative] = (),
) -> ExceptionView:
    return ExceptionView(
        id=name,
        kind=kind,
        tier=tier,
        order_ref=order_ref,
        source=source,
        pieces=pieces,
        mass_g=mass_g,
        paid_fen=paid_fen,
        at=at,
        plot=plot,
        alternatives=list(alternatives),
    )
