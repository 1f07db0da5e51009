"""How a broadcast sells: where every offered gram is, how fast it goes, when it runs out."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel
from sqlalchemy import BigInteger, func, literal_column, type_coerce
from sqlmodel import Session, col, select

from api.farm import PlotView
from orders.allocation import LineState
from orders.models import Broadcast, GradedLot, Listing, SalesLine, TierStock

SPEED_OVER: Final = timedelta(minutes=5)
SPARK_MINUTES: Final = 30
_MINUTE_MS: Final = 60_000


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


class PaceView(BaseModel):
    """Grams sold since the broadcast opened, minute by minute, and where the speed of now leads."""

    sold_g: list[int]
    """Sold up to the end of each minute since opening."""
    minutes: int
    """Whole length of the broadcast."""
    at_close_g: int


@dataclass(frozen=True, slots=True)
class Sold:
    """Sales of one listing in one minute since 1970."""

    listing_id: int
    minute: int
    mass_g: int


def sold_by_minute(session: Session, broadcast_id: str) -> list[Sold]:
    """Return what each listing of a broadcast sold, minute by minute."""
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


def listing_view(
    session: Session,
    row: Listing,
    counter: TierStock,
    sold: Sequence[Sold],
    plots: Mapping[str, PlotView],
    *,
    show: Broadcast,
    end: datetime,
    on_air: str | None,
) -> ListingView:
    """Return one tier as it stands at `end`."""
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


def pace(sold: Sequence[Sold], rows: Sequence[ListingView], *, show: Broadcast, end: datetime) -> PaceView:
    """Return the course of a broadcast up to `end`, and where it leads."""
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


def _minute(moment: datetime) -> int:
    return int(moment.timestamp() * 1000) // _MINUTE_MS
