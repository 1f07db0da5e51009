"""What a host's console is told: tiers and their stock, speed of sale, what went wrong, who answers in the field."""

import base64
import hmac
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from pydantic import BaseModel
from sqlalchemy import BigInteger, func, literal_column, type_coerce
from sqlmodel import Session, col, select

from api.errors import NotHereError
from api.farm import STAYS_FOR, Moment, PlotView
from api.models import OnAir, Site
from grading.models import Fruit, Photograph
from ledger.kernel.actors import Actor, Role
from ledger.kernel.errors import IdentifierError
from ledger.kernel.files import ni_uri, parse_ni
from ledger.kernel.ids import CANONICAL_HOST, Numbering, PlaceId
from ledger.kernel.settings import Settings
from orders import listings, sales
from orders.allocation import LineState
from orders.errors import InvalidInputError, NotFoundError
from orders.models import (
    Broadcast,
    GradedLot,
    Listing,
    Lot,
    PickOrder,
    Plot,
    SalesLine,
    SalesOrder,
    TierStock,
)
from orders.picking import FILLED_PER_MILLE
from orders.states import OPEN_STATES, LotState, OrderState
from orders.tiers import SELLABLE

SPEED_OVER: Final = timedelta(minutes=5)
SPARK_MINUTES: Final = 30
UNSEEN_AFTER: Final = timedelta(minutes=3)
"""A pick order nobody has looked at for so long is somebody to call."""
PHOTOGRAPHS: Final = 12
LATEST: Final = 6
_MINUTE_MS: Final = 60_000
_STUDIO_REFERENCE: Final = 20


class BroadcastView(BaseModel):
    """One live session. `ref` names it in addresses."""

    broadcast: str
    ref: str
    title: str
    place: str
    opened_at: Moment
    closes_at: Moment
    closed_at: Moment | None


class ListingView(BaseModel):
    """One tier and where its grams are.

    What is offered is either sold or free. Sold grams are `ready_g` (packed or graded) or `to_pick_g`;
    free ones are `on_hand_g` (graded, unsold) or `on_tree_g`.
    """

    listing: int
    tier: str
    variety: str
    nominal_mass_g: int
    price_fen: int
    pieces: int
    sold_pieces: int
    offered_g: int
    sold_g: int
    ready_g: int
    to_pick_g: int
    free_g: int
    on_hand_g: int
    on_tree_g: int
    unmet_g: int
    speed_g_per_minute: int
    minutes_left: int | None
    """At this speed, until it is sold out; None while nothing is being sold or all is."""
    left_at_close_g: int
    spark_g: list[int]
    """Grams sold in each of the last 30 minutes, the newest last."""
    plots: list[PlotView]
    is_on_air: bool


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


class PaceView(BaseModel):
    """Grams sold since the broadcast opened, minute by minute, and where the speed of now leads."""

    sold_g: list[int]
    """Sold up to the end of each minute since opening."""
    minutes: int
    """Whole length of the broadcast."""
    at_close_g: int


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


@dataclass(frozen=True, slots=True)
class Sold:
    """Sales of one listing in one minute since 1970."""

    listing_id: int
    minute: int
    mass_g: int


def own_broadcast(session: Session, name: str, actor: Actor) -> Broadcast:
    """Return a broadcast by its ref, its GDTI or the value of its GDTI.

    Raises NotFoundError, also for a host who asks for another's.
    """
    show = listings.broadcast(session, f"{CANONICAL_HOST}/253/{name}" if name[:13].isdigit() else name)
    if actor.role is Role.HOST and show.host != actor.party:
        raise NotFoundError("broadcast", name)
    return show


def current_broadcast(session: Session, actor: Actor) -> Broadcast | None:
    """Return the actor's newest open broadcast, or the newest of all, or None."""
    mine = _broadcasts(session, actor)
    return next((show for show in mine if show.closed_at is None), mine[0] if mine else None)


def studio_of(session: Session, actor: Actor, place: str | None, numbering: Numbering) -> PlaceId:
    """Return the place a broadcast comes from: named by ref or id, the host's own, or the studio.

    Raises NotFoundError.
    """
    if place is None:
        return actor.site or numbering.place(_STUDIO_REFERENCE)
    row = session.exec(select(Site).where((Site.ref == place) | (Site.place == place))).one_or_none()
    if row is None:
        raise NotFoundError("place", place)
    return PlaceId(row.place)


def plot_ids(session: Session, names: Sequence[str]) -> list[str]:
    """Return the ids of plots named by ref or id. Raises NotFoundError or InvalidInputError (a ref of two plots)."""
    found = []
    for position, name in enumerate(names):
        ids = session.exec(select(Plot.id).where((Plot.ref == name) | (Plot.id == name))).all()
        if not ids:
            raise NotFoundError("plot", name)
        if len(ids) > 1:
            raise InvalidInputError(f"plots[{position}]", f"{name!r} names {len(ids)} plots; give the id of one")
        found.append(ids[0])
    return found


def listing_of(session: Session, show: Broadcast, tier: str) -> Listing:
    """Return what a broadcast lists as a tier. Raises NotFoundError."""
    found = next((row for row in listings.listings(session, show.id) if row.tier == tier), None)
    if found is None:
        raise NotFoundError("listing", f"{show.ref} {tier}")
    return found


# --- on air ---------------------------------------------------------------------------------------


def put_on_air(session: Session, show: Broadcast, *, kind: str, value: str, now: datetime) -> OnAir:
    """Show a `tier` or a `photograph` (its hash in hex) in the overlay; an empty value takes it off.

    Raises NotFoundError.
    """
    row = session.get(OnAir, show.id) or OnAir(broadcast=show.id, changed_at=now)
    if kind == "tier":
        row.tier = listing_of(session, show, value).tier if value else None
    else:
        row.photograph = fruit_photograph(session, value) if value else None
    row.changed_at = now
    session.add(row)
    session.flush()
    return row


def on_air_photograph(session: Session, show: Broadcast) -> str:
    """Return the `ni:` name of the picture on air. Raises NotFoundError while there is none."""
    row = session.get(OnAir, show.id)
    if row is None or row.photograph is None:
        raise NotFoundError("photograph", "on air")
    return row.photograph


def overlay_token(settings: Settings, show: Broadcast) -> str:
    """Return the token of a broadcast's overlay: good for looking at it, and for nothing else."""
    secret = settings.secret.get_secret_value().encode()
    mac = hmac.digest(secret, b"overlay\0" + show.id.encode(), "sha256")
    return f"{show.ref}.{base64.urlsafe_b64encode(mac[:18]).decode()}"


def overlay_broadcast(session: Session, settings: Settings, token: str) -> Broadcast:
    """Return the broadcast an overlay token is for. Raises NotHereError, whatever is wrong with it."""
    try:
        show = listings.broadcast(session, token.rpartition(".")[0])
    except NotFoundError as error:
        raise NotHereError("/overlay") from error
    if not hmac.compare_digest(overlay_token(settings, show).encode(), token.encode()):
        raise NotHereError("/overlay")
    return show


def fruit_photograph(session: Session, name: str) -> str:
    """Return the `ni:` name of a graded fruit's picture, given its hash in hex. Raises NotFoundError."""
    try:
        wanted = ni_uri(bytes.fromhex(name))
    except ValueError as error:
        raise NotFoundError("photograph", name) from error
    if session.exec(select(Fruit.id).where(Fruit.crop == wanted).limit(1)).first() is None:
        raise NotFoundError("photograph", name)
    return wanted


def crop_name(ni: str) -> str:
    """Return the hash in an `ni:` name as hex, for an address; empty where it is none."""
    try:
        return parse_ni(ni).hex()
    except IdentifierError:
        return ""


# --- the board ------------------------------------------------------------------------------------


def host_view(session: Session, show: Broadcast | None, *, actor: Actor, settings: Settings, now: datetime) -> HostView:
    """Return everything the console shows of a broadcast (None: there is none yet)."""
    recent = [_broadcast_view(row) for row in _broadcasts(session, actor)[:6]]
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
    sold = _sold_by_minute(session, show.id)
    plots = _plots(session, show, stock)
    rows = [
        _listing_view(session, row, counter, sold, plots, show=show, end=end, on_air=air.tier if air else None)
        for row, counter in stock
    ]
    return HostView(
        as_of=now,
        zone=settings.time_zone,
        broadcast=_broadcast_view(show),
        broadcasts=recent,
        listings=rows,
        offered_g=sum(row.offered_g for row in rows),
        sold_g=sum(row.sold_g for row in rows),
        exceptions=_exceptions(session, show, rows, plots),
        answers=_answers(session, show, plots, now=tick),
        latest=_latest(session, show),
        photographs=_photographs(session, air.photograph if air else None, now=tick),
        pace=_pace(sold, rows, show=show, end=end),
        overlay=f"/overlay/{overlay_token(settings, show)}",
    )


def _broadcasts(session: Session, actor: Actor) -> Sequence[Broadcast]:
    return listings.broadcasts(session, host=None if actor.role is not Role.HOST else actor.party, limit=20)


def _broadcast_view(show: Broadcast) -> BroadcastView:
    return BroadcastView(
        broadcast=show.id,
        ref=show.ref,
        title=show.title,
        place=show.place,
        opened_at=show.opened_at,
        closes_at=show.closes_at,
        closed_at=show.closed_at,
    )


def _sold_by_minute(session: Session, broadcast_id: str) -> list[Sold]:
    # Written out, not bound: PostgreSQL takes two bound parameters in SELECT and GROUP BY for two expressions.
    minute = type_coerce(col(SalesLine.taken_at), BigInteger) // literal_column(str(_MINUTE_MS), BigInteger)
    rows = session.exec(
        select(Listing.id, minute, func.sum(SalesLine.quantity * Listing.nominal_mass_g))
        .select_from(SalesLine)
        .join(Listing, col(Listing.id) == SalesLine.listing_id)
        .where(SalesLine.broadcast_id == broadcast_id, SalesLine.state == LineState.HELD)
        .group_by(col(Listing.id), minute)
    )
    return [Sold(int(listing_id or 0), int(at), int(mass_g)) for listing_id, at, mass_g in rows]


def _listing_view(
    session: Session,
    row: Listing,
    counter: TierStock,
    sold: Sequence[Sold],
    plots: dict[str, PlotView],
    *,
    show: Broadcast,
    end: datetime,
    on_air: str | None,
) -> ListingView:
    offered_g, sold_g = counter.offered * row.nominal_mass_g, counter.held * row.nominal_mass_g
    packed_g, graded_g = _in_the_house(session, row)
    ready_g = min(sold_g, packed_g + graded_g)
    free_g = offered_g - sold_g
    on_hand_g = min(free_g, max(0, graded_g - (sold_g - packed_g)))
    mine = {each.minute: each.mass_g for each in sold if each.listing_id == row.id}
    this_minute = _minute(end)
    spark = [mine.get(this_minute - back, 0) for back in reversed(range(SPARK_MINUTES))]
    speed = _speed(mine, show=show, end=end)
    until_close = max(0.0, (show.closes_at - end) / timedelta(minutes=1))
    return ListingView(
        listing=row.id or 0,
        tier=row.tier,
        variety=row.variety,
        nominal_mass_g=row.nominal_mass_g,
        price_fen=row.price_fen,
        pieces=counter.offered,
        sold_pieces=counter.held,
        offered_g=offered_g,
        sold_g=sold_g,
        ready_g=ready_g,
        to_pick_g=sold_g - ready_g,
        free_g=free_g,
        on_hand_g=on_hand_g,
        on_tree_g=free_g - on_hand_g,
        unmet_g=row.unmet_g,
        speed_g_per_minute=speed,
        minutes_left=-(-free_g // speed) if speed and free_g else None,
        left_at_close_g=max(0, free_g - int(speed * until_close)),
        spark_g=spark,
        plots=[plots[plot] for plot in row.plots],
        is_on_air=row.tier == on_air,
    )


def _speed(by_minute: dict[int, int], *, show: Broadcast, end: datetime) -> int:
    """Return grams a minute over the last five, or since opening where that is less; at least one minute."""
    since = max(show.opened_at, end - SPEED_OVER)
    minutes = max(1.0, (end - since) / timedelta(minutes=1))
    recent = sum(mass_g for at, mass_g in by_minute.items() if at >= _minute(since))
    return round(recent / minutes)


def _in_the_house(session: Session, row: Listing) -> tuple[int, int]:
    """Return grams packed for this listing, and grams graded that older sales have not claimed."""
    packed = session.exec(
        select(func.coalesce(func.sum(SalesLine.packed), 0)).where(
            SalesLine.listing_id == row.id, SalesLine.state == LineState.HELD
        )
    ).one()
    graded = session.exec(
        select(func.coalesce(func.sum(GradedLot.mass_g - GradedLot.packed_g), 0)).where(
            GradedLot.variety == row.variety, GradedLot.tier == row.tier
        )
    ).one()
    claimed = session.exec(
        select(func.coalesce(func.sum((SalesLine.quantity - SalesLine.packed) * Listing.nominal_mass_g), 0))
        .select_from(SalesLine)
        .join(Listing, col(Listing.id) == SalesLine.listing_id)
        .where(
            Listing.variety == row.variety,
            Listing.tier == row.tier,
            col(Listing.id) < row.id,
            SalesLine.state == LineState.HELD,
        )
    ).one()
    return int(packed) * row.nominal_mass_g, max(0, int(graded) - int(claimed))


def _exceptions(
    session: Session, show: Broadcast, rows: Sequence[ListingView], plots: dict[str, PlotView]
) -> list[ExceptionView]:
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


def _line_exception(session: Session, line: SalesLine, by_tier: dict[str, ListingView]) -> ExceptionView:
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
    rows = session.exec(
        select(Fruit, Photograph.seen_at)
        .join(Photograph, col(Photograph.id) == Fruit.photograph_id)
        .where(tier.in_(SELLABLE), Fruit.crop != "", col(Photograph.seen_at) >= now - STAYS_FOR)
        .order_by(col(Fruit.id).desc())
        .limit(PHOTOGRAPHS)
    )
    return [
        PhotographView(
            id=crop_name(fruit.crop),
            tier=fruit.judged_tier or fruit.nominal_tier,
            width_um=fruit.width_um,
            mass_g=fruit.mass_g,
            graded_at=seen_at,
            is_on_air=fruit.crop == on_air,
        )
        for fruit, seen_at in rows
    ]


def _pace(sold: Sequence[Sold], rows: Sequence[ListingView], *, show: Broadcast, end: datetime) -> PaceView:
    first, last = _minute(show.opened_at), _minute(end)
    by_minute: defaultdict[int, int] = defaultdict(int)
    for each in sold:
        by_minute[max(first, min(last, each.minute))] += each.mass_g
    total, course = 0, []
    for minute in range(first, last + 1):
        total += by_minute[minute]
        course.append(total)
    is_over = show.closed_at is not None
    return PaceView(
        sold_g=course,
        minutes=max(len(course), _minute(show.closes_at) - first + 1),
        at_close_g=total if is_over else sum(row.offered_g - row.left_at_close_g for row in rows),
    )


def _plots(session: Session, show: Broadcast, stock: Sequence[tuple[Listing, TierStock]]) -> dict[str, PlotView]:
    named = {plot for row, _ in stock for plot in row.plots}
    asked = session.exec(select(PickOrder.plot_id).where(PickOrder.broadcast_id == show.id).distinct()).all()
    rows = session.exec(select(Plot).where(col(Plot.id).in_(named | set(asked))))
    return {row.id: PlotView(id=row.id, ref=row.ref, name=row.name) for row in rows}


def _minute(moment: datetime) -> int:
    return int(moment.timestamp() * 1000) // _MINUTE_MS
