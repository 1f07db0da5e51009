"""What a host's console is told: tiers and their stock, what went wrong, who answers in the field, real fruit."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel
from sqlmodel import Session, col, func, select

from api import studio
from api.farm import STAYS_FOR, Moment, PlotView
from api.models import OnAir
from api.selling import ListingView, PaceView, listing_view, pace, sold_by_minute
from api.troubles import ExceptionView, exceptions
from grading.models import Fruit, Photograph
from ledger.kernel.actors import Actor
from ledger.kernel.settings import Settings
from orders import sales
from orders.allocation import LineState
from orders.models import Broadcast, Listing, PickOrder, Plot, SalesLine, TierStock
from orders.states import OPEN_STATES, OrderState
from orders.tiers import SELLABLE

UNSEEN_AFTER: Final = timedelta(minutes=3)
"""A pick order nobody has looked at for so long is somebody to call."""
PHOTOGRAPHS: Final = 12
LATEST: Final = 6


class BroadcastView(BaseModel):
    """One live session. `ref` names it in addresses."""

    broadcast: str
    ref: str
    title: str
    place: str
    opened_at: Moment
    closes_at: Moment
    closed_at: Moment | None


class AnswerView(BaseModel):
    """A pick order, and whether somebody in the field has answered it."""

    pick_order: str
    number: str
    tier: str
    plot: PlotView
    ordered_g: int
    picked_g: int
    state: OrderState
    raised_at: Moment
    seen_at: Moment | None
    is_late: bool


class SaleView(BaseModel):
    """One line of a paid order, as it came."""

    order_ref: str
    line: int
    tier: str
    pieces: int
    state: LineState
    at: Moment


class PhotographView(BaseModel):
    """A fruit graded today, as the camera saw it."""

    id: str
    tier: str
    width_um: int
    mass_g: int
    graded_at: Moment
    is_on_air: bool


class HostView(BaseModel):
    """What stands for a host at a moment."""

    as_of: Moment
    zone: str
    broadcast: BroadcastView | None
    broadcasts: list[BroadcastView]
    listings: list[ListingView]
    offered_g: int
    sold_g: int
    exceptions: list[ExceptionView]
    answers: list[AnswerView]
    latest: list[SaleView]
    photographs: list[PhotographView]
    pace: PaceView
    overlay: str | None
    """Path of the page for the broadcasting software; whoever has it may look, and nothing else."""


def host_view(session: Session, show: Broadcast | None, *, actor: Actor, settings: Settings, now: datetime) -> HostView:
    """Return everything the console shows of a broadcast (None: there is none yet)."""
    recent = [broadcast_view(row) for row in studio.broadcasts_of(session, actor)[:6]]
    return _view(session, show, recent, settings=settings, now=now)


def overlay_view(session: Session, show: Broadcast, *, settings: Settings, now: datetime) -> HostView:
    """Return what the overlay shows: the broadcast and its listings, and no orders, people or exceptions."""
    full = _view(session, show, [], settings=settings, now=now)
    return full.model_copy(update={"exceptions": [], "answers": [], "latest": [], "overlay": None})


def _view(
    session: Session, show: Broadcast | None, recent: list[BroadcastView], *, settings: Settings, now: datetime
) -> HostView:
    air = None if show is None else session.get(OnAir, show.id)
    if show is None:
        return HostView(
            as_of=now,
            zone=settings.time_zone,
            broadcast=None,
            broadcasts=recent,
            listings=[],
            offered_g=0,
            sold_g=0,
            exceptions=[],
            answers=[],
            latest=[],
            photographs=[],
            pace=PaceView(sold_g=[], minutes=0, at_close_g=0),
            overlay=None,
        )
    # Speeds are of whole five seconds, so that a board nothing happens to stands still for a moment.
    tick = now.replace(second=now.second // 5 * 5, microsecond=0)
    end = min(tick, show.closed_at or tick)
    stock = sales.stock(session, show.id)
    sold = sold_by_minute(session, show.id)
    plots = _plots(session, show, stock)
    rows = [
        listing_view(session, row, counter, sold, plots, show=show, end=end, on_air=air.tier if air else None)
        for row, counter in stock
    ]
    return HostView(
        as_of=now,
        zone=settings.time_zone,
        broadcast=broadcast_view(show),
        broadcasts=recent,
        listings=rows,
        offered_g=sum(row.offered_g for row in rows),
        sold_g=sum(row.sold_g for row in rows),
        exceptions=exceptions(session, show, rows, plots),
        answers=_answers(session, show, plots, now=tick),
        latest=_latest(session, show),
        photographs=_photographs(session, air.photograph if air else None, now=tick),
        pace=pace(sold, rows, show=show, end=end),
        overlay=f"/overlay/{studio.overlay_token(settings, show)}",
    )


def broadcast_view(show: Broadcast) -> BroadcastView:
    """Return a broadcast as a host is told of it."""
    return BroadcastView(
        broadcast=show.id,
        ref=show.ref,
        title=show.title,
        place=show.place,
        opened_at=show.opened_at,
        closes_at=show.closes_at,
        closed_at=show.closed_at,
    )


def _answers(session: Session, show: Broadcast, plots: dict[str, PlotView], *, now: datetime) -> list[AnswerView]:
    rows = session.exec(
        select(PickOrder).where(PickOrder.broadcast_id == show.id).order_by(col(PickOrder.raised_at), PickOrder.id)
    )
    made = [
        AnswerView(
            pick_order=row.id,
            number=row.ref,
            tier=row.tier_wanted,
            plot=plots[row.plot_id],
            ordered_g=row.ordered_g,
            picked_g=row.picked_g,
            state=OrderState(row.state),
            raised_at=row.raised_at,
            seen_at=row.seen_at,
            is_late=row.seen_at is None and row.state in OPEN_STATES and now - row.raised_at > UNSEEN_AFTER,
        )
        for row in rows
        if row.state != OrderState.WITHDRAWN
    ]
    return sorted(made, key=lambda each: not each.is_late)


def _latest(session: Session, show: Broadcast) -> list[SaleView]:
    rows = session.exec(
        select(SalesLine).where(SalesLine.broadcast_id == show.id).order_by(col(SalesLine.id).desc()).limit(LATEST)
    )
    return [
        SaleView(
            order_ref=row.order_ref,
            line=row.line_no,
            tier=row.tier,
            pieces=row.quantity,
            state=LineState(row.state),
            at=row.taken_at,
        )
        for row in rows
    ]


def _photographs(session: Session, on_air: str | None, *, now: datetime) -> list[PhotographView]:
    tier = func.coalesce(Fruit.judged_tier, Fruit.nominal_tier)
    seen = func.coalesce(Fruit.seen_at, Photograph.seen_at)
    rows = session.exec(
        select(Fruit, Photograph.seen_at)
        .join(Photograph, col(Photograph.id) == Fruit.photograph_id, isouter=True)
        .where(tier.in_(SELLABLE), Fruit.crop != "", seen >= now - STAYS_FOR)
        .order_by(col(Fruit.id).desc())
        .limit(PHOTOGRAPHS)
    )
    return [
        PhotographView(
            id=studio.crop_name(fruit.crop),
            tier=fruit.judged_tier or fruit.nominal_tier,
            width_um=fruit.width_um,
            mass_g=fruit.mass_g,
            graded_at=fruit.seen_at or seen_at,
            is_on_air=fruit.crop == on_air,
        )
        for fruit, seen_at in rows
    ]


def _plots(session: Session, show: Broadcast, stock: Sequence[tuple[Listing, TierStock]]) -> dict[str, PlotView]:
    named = {plot for row, _ in stock for plot in row.plots}
    asked = session.exec(select(PickOrder.plot_id).where(PickOrder.broadcast_id == show.id).distinct()).all()
    rows = session.exec(select(Plot).where(col(Plot.id).in_(named | set(asked))))
    return {row.id: PlotView(id=row.id, ref=row.ref, name=row.name) for row in rows}
