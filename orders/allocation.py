"""Holding stock: the one place that moves the scarce counters, and the one lock order.

Lock order of the orders side: broadcast, tier stock, graded lot, quota, order lines, packs; rows of
one table by primary key. Stock never passes through memory between two transactions:
it is read, judged and moved under one lock, and the moving statement carries its own guard.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CursorResult, and_, func, or_
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from orders.errors import BelowHeldError, NotFoundError
from orders.models import Listing, SalesLine, TierStock
from orders.rows import table_of


class LineState(StrEnum):
    """What became of an order line."""

    HELD = "held"
    SOLD_OUT = "sold_out"
    UNKNOWN_TIER = "unknown_tier"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """One order line that wants pieces. Without a listing there is nothing it could hold."""

    source: str
    order_ref: str
    line_no: int
    broadcast_id: str
    tier: str
    listing_id: int | None
    quantity: int
    unit_price_fen: int
    in_time: bool = True
    """Whether it was paid before its broadcast closed."""
    is_new: bool = False
    """Whether its order was unheard of before this unit of work: then the line cannot stand yet."""

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes the line the same line when it comes again."""
        return (self.source, self.order_ref, self.line_no)


@dataclass(frozen=True, slots=True)
class Held:
    """The answer to one request: the line's state, and whether it was answered before."""

    request: HoldRequest
    state: LineState
    is_duplicate: bool


@dataclass(frozen=True, slots=True)
class Drift:
    """A counter that did not match the rows it counts."""

    listing_id: int
    counted: int
    stood: int


def lock_stock(session: Session, listing_ids: Collection[int]) -> dict[int, TierStock]:
    """Lock the counters of some listings in the one order and return them fresh."""
    query = (
        select(TierStock)
        .where(col(TierStock.listing_id).in_(sorted(listing_ids)))
        .order_by(col(TierStock.listing_id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.listing_id: row for row in session.exec(query)}


def reserve_many(session: Session, requests: Sequence[HoldRequest], *, now: datetime) -> list[Held]:
    """Hold pieces for many lines at once, first come first served, and keep every line.

    A line is held whole or is `sold_out`. A line that was answered before (same source, order and
    line number) gets its first answer again. Never holds more than is offered.
    """
    free = _lock_free(session, {r.listing_id for r in requests if r.listing_id is not None})
    # After the lock: a rival that answered the same line has committed by now.
    known = _known_states(session, requests)
    taken: defaultdict[int, int] = defaultdict(int)
    answers: list[Held] = []
    rows: list[dict[str, Any]] = []
    for request in requests:
        if request.key in known:
            answers.append(Held(request, known[request.key], is_duplicate=True))
            continue
        state = _decide(request, free)
        if state is LineState.HELD and request.listing_id is not None:
            # Counted down here: two lines of one batch must not be judged by the same stock.
            free[request.listing_id] -= request.quantity
            taken[request.listing_id] += request.quantity
        known[request.key] = state
        answers.append(Held(request, state, is_duplicate=False))
        rows.append(_row(request, state, now))
    if rows:
        session.execute(table_of(SalesLine).insert(), rows)
    for listing_id in sorted(taken):
        _move(session, listing_id, taken[listing_id])
    return answers


def release_many(session: Session, lines: Sequence[SalesLine]) -> None:
    """Give back what held lines hold and mark them cancelled. Lines already cancelled stay as they are.

    The caller has locked stock and lines, and freed the packs that could be freed: pieces still packed
    stay counted.
    """
    back: defaultdict[int, int] = defaultdict(int)
    for line in lines:
        if line.state == LineState.HELD and line.listing_id is not None:
            back[line.listing_id] += line.quantity - line.packed
        line.state = LineState.CANCELLED
        session.add(line)
    session.flush()
    for listing_id in sorted(back):
        _move(session, listing_id, -back[listing_id])


def change_offer(session: Session, listing: Listing, *, pieces: int) -> None:
    """Set how many pieces a listing offers. Raises BelowHeldError below what is held."""
    if listing.id is None or listing.id not in (stock := lock_stock(session, [listing.id])):
        raise NotFoundError("listing", str(listing.id))
    row = stock[listing.id]
    if pieces < row.held:
        raise BelowHeldError(listing.tier, wanted=pieces, held=row.held)
    row.offered = pieces
    session.add(row)
    session.flush()


def counted_held(session: Session, listing_id: int) -> int:
    """Return the pieces that a listing's lines hold, counted from the lines."""
    held = session.exec(
        select(func.coalesce(func.sum(SalesLine.quantity), 0)).where(
            SalesLine.listing_id == listing_id, SalesLine.state == LineState.HELD
        )
    ).one()
    gone = session.exec(
        select(func.coalesce(func.sum(SalesLine.packed), 0)).where(
            SalesLine.listing_id == listing_id, SalesLine.state == LineState.CANCELLED
        )
    ).one()
    return int(held) + int(gone)


def recount(session: Session) -> list[Drift]:
    """Rebuild every counter from the lines it counts; return those that had drifted."""
    ids = session.exec(select(TierStock.listing_id)).all()
    drifts = []
    for listing_id, row in lock_stock(session, ids).items():
        counted = counted_held(session, listing_id)
        if counted != row.held:
            drifts.append(Drift(listing_id, counted=counted, stood=row.held))
            row.held = counted
            session.add(row)
    session.flush()
    return drifts


def _lock_free(session: Session, listing_ids: Collection[int]) -> dict[int, int]:
    """Lock counters as `lock_stock` does and return only the pieces still free: the path of every sale."""
    if not listing_ids:
        return {}
    stock = table_of(TierStock)
    rows = session.execute(
        sql_select(stock.c.listing_id, stock.c.offered - stock.c.held)
        .where(stock.c.listing_id.in_(sorted(listing_ids)))
        .order_by(stock.c.listing_id)
        .with_for_update()
    )
    return {row[0]: row[1] for row in rows}


def _known_states(session: Session, requests: Sequence[HoldRequest]) -> dict[tuple[str, str, int], LineState]:
    keys = [request.key for request in requests if not request.is_new]
    if not keys:
        return {}
    # Not as a list of triples: for that SQLite reads the whole table.
    by_source = [(source, sorted({order for s, order, _ in keys if s == source})) for source in {s for s, *_ in keys}]
    rows = session.exec(
        select(SalesLine.source, SalesLine.order_ref, SalesLine.line_no, SalesLine.state).where(
            or_(
                *(
                    and_(col(SalesLine.source) == source, col(SalesLine.order_ref).in_(refs))
                    for source, refs in by_source
                )
            )
        )
    )
    states = {(source, order, line): LineState(state) for source, order, line, state in rows}
    return {key: states[key] for key in keys if key in states}


def _decide(request: HoldRequest, free: dict[int, int]) -> LineState:
    if request.listing_id is None or request.listing_id not in free:
        return LineState.UNKNOWN_TIER
    fits = request.in_time and request.quantity <= free[request.listing_id]
    return LineState.HELD if fits else LineState.SOLD_OUT


def _row(request: HoldRequest, state: LineState, now: datetime) -> dict[str, Any]:
    return {
        "source": request.source,
        "order_ref": request.order_ref,
        "line_no": request.line_no,
        "broadcast_id": request.broadcast_id,
        "tier": request.tier,
        "listing_id": request.listing_id,
        "quantity": request.quantity,
        "unit_price_fen": request.unit_price_fen,
        "state": state,
        "taken_at": now,
        "packed": 0,
    }


def _move(session: Session, listing_id: int, pieces: int) -> None:
    stock = table_of(TierStock)
    result = session.execute(
        stock.update()
        .where(
            stock.c.listing_id == listing_id,
            stock.c.held + pieces <= stock.c.offered,
            stock.c.held + pieces >= 0,
        )
        .values(held=stock.c.held + pieces)
    )
    if not isinstance(result, CursorResult) or result.rowcount != 1:
        # Cannot happen under the lock; if it does, the whole unit of work must fail.
        raise AssertionError(f"listing {listing_id}: {pieces} pieces do not fit its counter")
