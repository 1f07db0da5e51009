"""What a farmer's phone is told: the pick orders of her plots, crate by crate, and what is still warm."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Final

from pydantic import BaseModel, PlainSerializer
from sqlmodel import Session, col, select

from ledger.canonical import decode_entry
from ledger.kernel.actors import Actor
from ledger.kernel.clock import format_time
from ledger.kernel.files import FileStore, ni_uri
from ledger.kernel.ids import PartyId, parse_digital_link
from ledger.models import Entry
from orders.errors import InvalidInputError, NotFoundError
from orders.intake import COOLING_LIMIT
from orders.models import Crate, Lot, Pick, PickOrder, Plot
from orders.picking import FILLED_PER_MILLE
from orders.states import OPEN_STATES, LotState, OrderState

STAYS_FOR: Final = timedelta(hours=18)
"""How long an order that is over stays on the phone: until the end of the day it was worked on."""
MAX_PHOTOGRAPH_BYTES: Final = 4 * 1024 * 1024
_JPEG: Final = b"\xff\xd8\xff"
Moment = Annotated[datetime, PlainSerializer(format_time, return_type=str, when_used="json")]
"""A time that JSON writes as RFC 3339, UTC, with milliseconds."""

_UNCOOLED: Final = (LotState.CREATED, LotState.RECEIVED, LotState.HELD)


class PlotView(BaseModel):
    """A plot, as its holder calls it."""

    id: str
    ref: str
    name: str


class CrateView(BaseModel):
    """A crate that was confirmed, with how far its lot has come."""

    crate: str
    code: str
    mass_g: int
    command_id: str
    started_at: Moment
    ended_at: Moment
    lot: str
    lot_state: LotState
    lot_picked_g: int
    lot_received_g: int | None
    received_at: Moment | None
    cooling_started_at: Moment | None


class OrderView(BaseModel):
    """A pick order. It counts as filled from `enough_g` on."""

    pick_order: str
    number: str
    variety: str
    tier: str
    plot: PlotView
    ordered_g: int
    enough_g: int
    picked_g: int
    raised_at: Moment
    pick_by: Moment
    seen_at: Moment | None
    state: OrderState
    crates: list[CrateView]


class FarmView(BaseModel):
    """What stands for one farmer at a moment."""

    as_of: Moment
    zone: str
    cool_within_minutes: int
    orders: list[OrderView]


class Standing(StrEnum):
    """What an order asks of the farmer now. `static/orders.js` says the same on the phone."""

    PICKING = "picking"
    BRING = "bring"
    RAISED = "raised"
    DELIVERED = "delivered"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Card:
    """An order as the first screen draws it. Minutes are whole; `minutes_left` is below zero when late."""

    order: OrderView
    serial: str
    standing: Standing
    minutes_left: int | None
    minutes_late: int
    to_go_g: int


def farm_view(session: Session, party: PartyId, *, now: datetime, zone: str) -> FarmView:
    """Return the open orders of a party's plots, and those of today that are over."""
    since = now - STAYS_FOR
    orders = session.exec(
        select(PickOrder)
        .where(PickOrder.holder == party, (col(PickOrder.state).in_(OPEN_STATES)) | (col(PickOrder.raised_at) >= since))
        .order_by(col(PickOrder.pick_by), col(PickOrder.id))
    ).all()
    plots = {
        row.id: row for row in session.exec(select(Plot).where(col(Plot.id).in_({each.plot_id for each in orders})))
    }
    crates = _crates(session, [order.id for order in orders])
    return FarmView(
        as_of=now,
        zone=zone,
        cool_within_minutes=int(COOLING_LIMIT.total_seconds() // 60),
        orders=[_order_view(order, plots[order.plot_id], crates[order.id]) for order in orders],
    )


def cards(view: FarmView) -> list[Card]:
    """Return the first screen's cards: begun first, then by when they are wanted, what is over last."""
    made = [_card(order, now=view.as_of, minutes=view.cool_within_minutes) for order in view.orders]
    rank = list(Standing)
    return sorted(made, key=lambda c: (rank.index(c.standing), c.order.pick_by, c.order.number))


def clashes(view: FarmView) -> list[CrateView]:
    """Return one crate of each lot that is held because its two weights do not agree."""
    held = {c.lot: c for order in view.orders for c in order.crates if c.lot_state is LotState.HELD}
    return [crate for crate in held.values() if crate.lot_received_g is not None]


def keep_photograph(session: Session, files: FileStore, data: bytes, *, claimed: str, pick: str, actor: Actor) -> str:
    """Keep the photograph that a recorded pick named, and return its `ni:` name. Keeping it twice is safe.

    Raises NotFoundError (no such pick of this person) or InvalidInputError (other bytes than the pick
    named, no JPEG, more than 4 MiB).
    """
    if sha256(data).hexdigest() != claimed.lower():
        raise InvalidInputError("sha256", f"the body's hash is {sha256(data).hexdigest()}, not {claimed}")
    if not data.startswith(_JPEG):
        raise InvalidInputError("body", "is not a JPEG photograph")
    if len(data) > MAX_PHOTOGRAPH_BYTES:
        raise InvalidInputError("body", f"has {len(data)} bytes; at most {MAX_PHOTOGRAPH_BYTES} are kept")
    row = session.exec(
        select(Lot).join(Pick, col(Pick.lot_id) == Lot.id).where(Pick.command_id == pick, Lot.picked_by == actor.party)
    ).one_or_none()
    if row is None:
        raise NotFoundError("pick", pick)
    entry = session.exec(select(Entry).where(Entry.event_id == row.picked_event_id)).first()
    named = [] if entry is None else decode_entry(entry.data).extensions.get("gy:evidence", [])
    if not isinstance(named, list | tuple) or ni_uri(bytes.fromhex(claimed)) not in named:
        raise InvalidInputError("sha256", f"pick {pick} names no such photograph")
    return files.put(data)


def crate_code(crate: str) -> str:
    """Return a crate's short name, `C-0417`, from its GRAI."""
    serial = parse_digital_link(crate).key[1][14:]
    letters = serial.rstrip("0123456789")
    return f"{letters}-{serial.removeprefix(letters)}" if letters and letters.isalpha() else serial


def _crates(session: Session, order_ids: Sequence[str]) -> dict[str, list[CrateView]]:
    found: defaultdict[str, list[CrateView]] = defaultdict(list)
    rows = session.exec(
        select(Crate, Lot, Pick.command_id)
        .join(Lot, col(Lot.id) == Crate.lot_id)
        .join(Pick, col(Pick.lot_id) == Lot.id)
        .where(col(Lot.pick_order_id).in_(order_ids))
        .order_by(col(Lot.pick_ended_at), Lot.id, Crate.crate_id)
    )
    for crate, lot, command_id in rows:
        found[lot.pick_order_id].append(
            CrateView(
                crate=crate.crate_id,
                code=crate_code(crate.crate_id),
                mass_g=crate.mass_g,
                command_id=command_id,
                started_at=lot.pick_started_at,
                ended_at=lot.pick_ended_at,
                lot=lot.id,
                lot_state=LotState(lot.state),
                lot_picked_g=lot.picked_g,
                lot_received_g=lot.received_g,
                received_at=lot.received_at,
                cooling_started_at=lot.cooling_started_at,
            )
        )
    return found


def _order_view(order: PickOrder, plot: Plot, crates: list[CrateView]) -> OrderView:
    return OrderView(
        pick_order=order.id,
        number=order.ref,
        variety=order.variety,
        tier=order.tier_wanted,
        plot=PlotView(id=plot.id, ref=plot.ref, name=plot.name),
        ordered_g=order.ordered_g,
        enough_g=-(-order.ordered_g * FILLED_PER_MILLE // 1000),
        picked_g=order.picked_g,
        raised_at=order.raised_at,
        pick_by=order.pick_by,
        seen_at=order.seen_at,
        state=OrderState(order.state),
        crates=crates,
    )


def _card(order: OrderView, *, now: datetime, minutes: int) -> Card:
    warm = [c for c in order.crates if c.cooling_started_at is None and c.lot_state in _UNCOOLED]
    to_go_g = 0 if order.picked_g >= order.enough_g else order.ordered_g - order.picked_g
    is_over = to_go_g == 0 or order.state not in OPEN_STATES
    if is_over and warm:
        standing = Standing.BRING
    elif is_over:
        is_off = order.state is OrderState.WITHDRAWN and not order.crates
        standing = Standing.WITHDRAWN if is_off else Standing.DELIVERED
    else:
        standing = Standing.PICKING if order.crates or order.state is OrderState.PICKING else Standing.RAISED
    oldest = min((c.ended_at for c in warm), default=None)
    left = None if oldest is None else (oldest + timedelta(minutes=minutes) - now) / timedelta(minutes=1)
    late = (now - order.pick_by) / timedelta(minutes=1)
    return Card(
        order=order,
        serial=order.pick_order.rpartition("/")[2],
        standing=standing,
        minutes_left=None if left is None else _whole(left),
        minutes_late=0 if late <= 0 else max(1, math.floor(late)),
        to_go_g=to_go_g,
    )


def _whole(minutes: float) -> int:
    """Return whole minutes: what is left is rounded up, what is over (below zero) down, and never 0."""
    return max(1, math.ceil(minutes)) if minutes >= 0 else min(-1, -math.floor(-minutes))
