"""Taking what sale platforms sell: every paid order is kept, held if there is stock, answered once."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, false, or_
from sqlmodel import Session, col, select, update

from orders.allocation import Held, HoldRequest, LineState, lock_stock, release_many, reserve_many
from orders.channels import CancelledOrder, Message, PaidOrder
from orders.fulfilment import free_packs
from orders.models import Broadcast, InboxMessage, Listing, SalesLine, SalesOrder, TierStock
from orders.rows import insert_new, table_of


@dataclass(frozen=True, slots=True)
class LineOutcome:
    """What became of one line."""

    line_no: int
    tier: str
    quantity: int
    state: LineState
    is_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a message. `is_duplicate`: it was answered before, and this is that answer."""

    source: str
    message_id: str
    kind: str
    order_ref: str
    lines: tuple[LineOutcome, ...]
    is_duplicate: bool = False


def take(session: Session, message: Message, *, now: datetime) -> Outcome:
    """Take one message. See `take_many`."""
    return take_many(session, [message], now=now)[0]


def take_many(session: Session, messages: Sequence[Message], *, now: datetime) -> list[Outcome]:
    """Take messages in the order they came and return an outcome for each, in that order.

    Taking a message again (same source and message id) changes nothing and returns the first
    outcome; so does another message about the same order line. An order that nothing is left for is
    kept as `sold_out`, one for an unlisted tier as `unknown_tier`. Cancelling gives the stock back.
    """
    fresh = _file(session, messages, now)
    paid = [m for i, m in enumerate(messages) if isinstance(m, PaidOrder) and i in fresh]
    off = [m for i, m in enumerate(messages) if isinstance(m, CancelledOrder) and i in fresh]
    orders = _open_orders(session, paid, off, now)
    requests = _requests(session, paid, orders.new)
    if off:
        # Everything this unit of work will touch, locked once and in order, before anything moves.
        touched = {r.listing_id for r in requests} | {line.listing_id for line in _lines_of(session, off)}
        lock_stock(session, {listing_id for listing_id in touched if listing_id is not None})
    held = iter(reserve_many(session, requests, now=now))
    _cancel(session, [*off, *(m for m in paid if _order(m) in orders.cancelled)])
    answers: dict[int, Outcome] = {}
    for i, message in enumerate(messages):
        if i not in fresh:
            continue
        if isinstance(message, PaidOrder):
            lines = [_line(next(held), is_off=_order(message) in orders.cancelled) for _ in message.lines]
        else:
            lines = [
                LineOutcome(line.line_no, line.tier, line.quantity, LineState(line.state))
                for line in _lines_of(session, [message])
            ]
        answers[i] = Outcome(message.source, message.message_id, _kind(message), message.order_ref, tuple(lines))
    _keep(session, answers.values())
    return [answers.get(i) or _first_answer(session, message) for i, message in enumerate(messages)]


def exceptions(session: Session, broadcast_id: str | None = None) -> Sequence[SalesLine]:
    """Return the paid lines that hold nothing (sold out, unknown tier), oldest first."""
    query = (
        select(SalesLine)
        .where(col(SalesLine.state).in_([LineState.SOLD_OUT, LineState.UNKNOWN_TIER]))
        .order_by(col(SalesLine.id))
    )
    if broadcast_id is not None:
        query = query.where(SalesLine.broadcast_id == broadcast_id)
    return session.exec(query).all()


def stock(session: Session, broadcast_id: str) -> list[tuple[Listing, TierStock]]:
    """Return a broadcast's listings with what each offers and holds, by tier."""
    rows = session.exec(
        select(Listing, TierStock)
        .where(Listing.broadcast_id == broadcast_id, TierStock.listing_id == Listing.id)
        .order_by(Listing.tier)
        .execution_options(populate_existing=True)
    )
    return [(listing, counter) for listing, counter in rows]


@dataclass(frozen=True, slots=True)
class _Orders:
    """Orders of a batch: those nobody had heard of, and those that are cancelled."""

    new: set[tuple[Any, ...]]
    cancelled: set[tuple[str, str]]


def _order(message: Message) -> tuple[str, str]:
    return (message.source, message.order_ref)


def _file(session: Session, messages: Sequence[Message], now: datetime) -> set[int]:
    """Keep every message not seen before and return which those are, by their place in the batch."""
    rows = [
        {
            "source": message.source,
            "message_id": message.message_id,
            "kind": _kind(message),
            "received_at": now,
            "body": message.body,
            "outcome": "",
        }
        for message in messages
    ]
    fresh = insert_new(session, InboxMessage, rows, key=("source", "message_id"))
    places = set()
    for i, message in enumerate(messages):
        if (message.source, message.message_id) in fresh:
            fresh.remove((message.source, message.message_id))
            places.add(i)
    return places


def _open_orders(session: Session, paid: Sequence[PaidOrder], off: Sequence[CancelledOrder], now: datetime) -> _Orders:
    """Make a row per new order, mark the cancelled ones, and return which orders are new and which are off."""
    named: dict[tuple[str, str], tuple[str, datetime]] = {_order(m): ("", now) for m in off}
    named |= {_order(m): (m.broadcast, m.paid_at) for m in paid}
    rows = [
        {"source": source, "order_ref": ref, "broadcast_id": broadcast, "paid_at": paid_at, "taken_at": now}
        for (source, ref), (broadcast, paid_at) in named.items()
    ]
    new = insert_new(session, SalesOrder, rows, key=("source", "order_ref"))
    cancelled = {_order(m) for m in off}
    if off:
        session.execute(
            update(SalesOrder)
            .where(_is_among(SalesOrder, cancelled), col(SalesOrder.cancelled_at).is_(None))
            .values(cancelled_at=now)
            .execution_options(synchronize_session=False)
        )
    known = sorted(named.keys() - new)
    if known:
        found = session.exec(
            select(SalesOrder.source, SalesOrder.order_ref).where(
                _is_among(SalesOrder, known), col(SalesOrder.cancelled_at).is_not(None)
            )
        )
        cancelled |= {(source, order_ref) for source, order_ref in found}
    return _Orders(new, cancelled)


def _requests(session: Session, paid: Sequence[PaidOrder], new: Collection[tuple[Any, ...]]) -> list[HoldRequest]:
    listed = {
        (broadcast, tier): (listing_id, closed_at)
        for broadcast, tier, listing_id, closed_at in session.exec(
            select(Listing.broadcast_id, Listing.tier, Listing.id, Broadcast.closed_at)
            .join(Broadcast, col(Broadcast.id) == Listing.broadcast_id)
            .where(col(Listing.broadcast_id).in_({m.broadcast for m in paid}))
        )
    }
    requests = []
    for message in paid:
        for line in message.lines:
            listing_id, closed_at = listed.get((message.broadcast, line.tier), (None, None))
            requests.append(
                HoldRequest(
                    source=message.source,
                    order_ref=message.order_ref,
                    line_no=line.line_no,
                    broadcast_id=message.broadcast,
                    tier=line.tier,
                    listing_id=listing_id,
                    quantity=line.quantity,
                    unit_price_fen=line.unit_price_fen,
                    in_time=closed_at is None or message.paid_at <= closed_at,
                    is_new=_order(message) in new,
                )
            )
    return requests


def _is_among(table: type[SalesOrder | SalesLine], keys: Iterable[tuple[str, str]]) -> ColumnElement[bool]:
    """Whether a row is of one of these orders. Not as a list of pairs: for that SQLite reads the whole table."""
    refs: dict[str, list[str]] = {}
    for source, ref in sorted(keys):
        refs.setdefault(source, []).append(ref)
    return or_(
        false(), *(and_(col(table.source) == source, col(table.order_ref).in_(some)) for source, some in refs.items())
    )


def _lines_of(session: Session, messages: Iterable[Message], *, is_for_update: bool = False) -> list[SalesLine]:
    keys = sorted({_order(m) for m in messages})
    if not keys:
        return []
    query = select(SalesLine).where(_is_among(SalesLine, keys)).order_by(col(SalesLine.id))
    if is_for_update:
        query = query.with_for_update().execution_options(populate_existing=True)
    return list(session.exec(query))


def _cancel(session: Session, messages: Sequence[Message]) -> None:
    lines = _lines_of(session, messages, is_for_update=True)
    if lines:
        free_packs(session, lines)
        release_many(session, lines)


def _line(held: Held, *, is_off: bool) -> LineOutcome:
    request = held.request
    state = LineState.CANCELLED if is_off else held.state
    return LineOutcome(request.line_no, request.tier, request.quantity, state, held.is_duplicate)


def _keep(session: Session, outcomes: Collection[Outcome]) -> None:
    if not outcomes:
        return
    inbox = table_of(InboxMessage)
    session.execute(
        inbox.update()
        .where(inbox.c.source == bindparam("its_source"), inbox.c.message_id == bindparam("its_id"))
        .values(outcome=bindparam("its_outcome")),
        [
            {"its_source": o.source, "its_id": o.message_id, "its_outcome": msgspec.json.encode(o).decode()}
            for o in outcomes
        ],
    )


def _first_answer(session: Session, message: Message) -> Outcome:
    text = session.exec(
        select(InboxMessage.outcome).where(
            InboxMessage.source == message.source, InboxMessage.message_id == message.message_id
        )
    ).one()
    return replace(msgspec.json.decode(text, type=Outcome), is_duplicate=True)


def _kind(message: Message) -> str:
    return "order.paid" if isinstance(message, PaidOrder) else "order.cancelled"
