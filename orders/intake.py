"""Lots at the packing house: weighed in by the other side, and cooled against the two-hour clock."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session, col, select

from ledger.disclosure import commit_fields
from ledger.events import SensorElement
from ledger.kernel.actors import Actor
from ledger.kernel.clock import format_time, whole_ms
from ledger.kernel.ids import DocumentType, Numbering
from ledger.kernel.quantities import MAX_MASS_G
from ledger.log import record
from orders import events
from orders.documents import next_document
from orders.errors import InvalidInputError, LotStateError, SamePartyError
from orders.models import Lot, PickOrder
from orders.picking import crates_of, lot, lots_of, parse_crate
from orders.places import House
from orders.states import LotState, OrderState

ALLOWED_PER_MILLE: Final = 20
COOLING_LIMIT: Final = timedelta(minutes=120)


@dataclass(frozen=True, slots=True)
class CoolingClock:
    """How long a lot has been waiting to be cooled. The clock stops when cooling starts."""

    minutes: int
    limit_minutes: int
    due_at: datetime
    is_stopped: bool

    @property
    def remaining_minutes(self) -> int:
        """Minutes left; below zero when it is late."""
        return self.limit_minutes - self.minutes

    @property
    def is_late(self) -> bool:
        """Whether cooling started, or still has to start, after the limit."""
        return self.minutes > self.limit_minutes


@dataclass(frozen=True, slots=True)
class ReceiptOutcome:
    """What the house's scale said, and whether the lot may go on."""

    lot: str
    received_g: int
    difference_g: int
    allowed_g: int
    state: str
    reason: str


def receive(
    session: Session,
    lot_name: str,
    *,
    mass_g: int,
    scale: str,
    actor: Actor,
    numbering: Numbering,
    now: datetime,
    zone: str,
    crates: Collection[str] = (),
    dock: str | None = None,
    photo: str | None = None,
    vehicle: str | None = None,
    house: House | None = None,
) -> ReceiptOutcome:
    """Weigh a lot in and record `received`, which confirms `picked` from the other side.

    More than 2 % away from what was picked, the lot is held and says why; weighing a held lot again
    within the allowance releases it. Raises SamePartyError, LotStateError, InvalidInputError (a crate
    that is not the lot's) or NotFoundError. The same weight of the same lot again changes nothing.
    """
    row = lot(session, lot_name, is_for_update=True)
    if row.picked_by == actor.party:
        raise SamePartyError(f"lot {row.number}", actor.party)
    _check_mass("mass_g", mass_g)
    if row.received_g == mass_g:
        return _receipt(row, mass_g)
    if row.state not in (LotState.CREATED, LotState.HELD):
        raise LotStateError(row.number, state=row.state, needed="a lot that is not received yet", reason="")
    own = [crate.crate_id for crate in crates_of(session, row.id)]
    seen = sorted(parse_crate(text, numbering) for text in crates) if crates else own
    strange = sorted(set(seen) - set(own))
    if strange:
        raise InvalidInputError("crates", f"{', '.join(strange)} did not bring lot {row.number}")
    at_house = house or House.of(numbering)
    order = session.exec(select(PickOrder).where(PickOrder.id == row.pick_order_id).with_for_update()).one()
    difference_g, allowed_g = mass_g - row.picked_g, row.picked_g * ALLOWED_PER_MILLE // 1000
    missing = sorted(set(own) - set(seen))
    said = events.Said.by(actor.party, at=now, zone=zone)
    record(
        session,
        events.received(
            said,
            crates=seen,
            lot=row.id,
            mass_g=mass_g,
            dock=dock or at_house.spot("DOCK-IN"),
            house_place=at_house.place,
            house_party=at_house.party,
            plot=row.plot_id,
            holder=order.holder,
            receipt_document=next_document(
                session, DocumentType.RECEIPT, "R", now=now, zone=zone, numbering=numbering
            ).id,
            pick_order=order.id,
            confirms=row.picked_event_id,
            scale=scale,
            difference_g=difference_g,
            allowed_g=allowed_g,
            evidence=[] if photo is None else [photo],
            digests=[] if vehicle is None else commit_fields(session, said.event_id, {"vehicle": vehicle}),
        ),
        now=now,
    )
    row.received_g, row.received_at, row.received_event_id = mass_g, now, said.event_id
    row.held_reason = _why_held(difference_g, allowed_g, missing)
    row.state = LotState.HELD if row.held_reason else LotState.RECEIVED
    for crate in crates_of(session, row.id):
        crate.is_full = False
        session.add(crate)
    session.add(row)
    session.flush()
    _close_if_all_received(session, order)
    return _receipt(row, mass_g)


def pre_cool(
    session: Session,
    lot_name: str,
    *,
    cooler: str,
    started_at: datetime,
    ended_at: datetime,
    sensor_elements: Sequence[SensorElement],
    actor: Actor,
    now: datetime,
    zone: str,
    medium: str = "forced air",
) -> CoolingClock:
    """Record that a received lot was cooled, with its temperatures; return its clock, now stopped.

    A late start is recorded as it was. Cooling the same lot again changes nothing. Raises
    LotStateError for a lot not received or held, InvalidInputError for times that cannot be.
    """
    row = lot(session, lot_name, is_for_update=True)
    start, end = whole_ms(started_at), whole_ms(ended_at)
    if row.state in (LotState.COOLED, LotState.CONSUMED) and row.cooling_started_at is not None:
        return clock_of(row.pick_ended_at, now=now, cooling_started_at=row.cooling_started_at)
    if row.state != LotState.RECEIVED or row.received_g is None:
        raise LotStateError(row.number, state=row.state, needed="a received lot", reason=row.held_reason)
    if not row.pick_ended_at <= start < end:
        raise InvalidInputError(
            "started_at",
            f"cooling must start after picking ended ({format_time(row.pick_ended_at)}) and before it ends",
        )
    if end > now + timedelta(minutes=5):
        raise InvalidInputError("ended_at", f"{format_time(end)} is in the future (now {format_time(now)})")
    if not sensor_elements:
        raise InvalidInputError("sensor_elements", "cooling without a temperature reading is no evidence")
    clock = clock_of(row.pick_ended_at, now=now, cooling_started_at=start)
    said = events.Said.by(actor.party, at=end, zone=zone)
    event = events.pre_cooled(
        said,
        lot=row.id,
        mass_g=row.received_g,
        cooler=cooler,
        sensor_elements=sensor_elements,
        started_at=start,
        minutes_from_pick=clock.minutes,
        limit_minutes=clock.limit_minutes,
        medium=medium,
    )
    record(session, event, now=now)
    row.cooling_started_at, row.cooled_at, row.cooled_event_id = start, end, said.event_id
    row.state = LotState.COOLED
    session.add(row)
    session.flush()
    return clock


def lots(session: Session, *, states: Collection[str] = ()) -> Sequence[Lot]:
    """Return harvest lots, oldest pick first; with `states`, only those."""
    query = select(Lot).order_by(col(Lot.pick_ended_at), Lot.id)
    if states:
        query = query.where(col(Lot.state).in_(states))
    return session.exec(query).all()


def clock_of(
    pick_ended_at: datetime,
    *,
    now: datetime,
    cooling_started_at: datetime | None = None,
    limit: timedelta = COOLING_LIMIT,
) -> CoolingClock:
    """Return the clock of a lot: whole minutes from the end of picking to cooling, or to now. Pure."""
    until = cooling_started_at or now
    minutes = max(0, int((until - pick_ended_at) / timedelta(minutes=1)))
    return CoolingClock(
        minutes, int(limit / timedelta(minutes=1)), pick_ended_at + limit, cooling_started_at is not None
    )


def _why_held(difference_g: int, allowed_g: int, missing: Sequence[str]) -> str:
    reasons = []
    if abs(difference_g) > allowed_g:
        reasons.append(f"weighed {difference_g:+d} g from picked; {allowed_g} g allowed")
    if missing:
        reasons.append(f"crates not seen: {', '.join(missing)}")
    return "; ".join(reasons)


def _receipt(row: Lot, mass_g: int) -> ReceiptOutcome:
    allowed_g = row.picked_g * ALLOWED_PER_MILLE // 1000
    return ReceiptOutcome(row.id, mass_g, mass_g - row.picked_g, allowed_g, row.state, row.held_reason)


def _check_mass(field: str, mass_g: int) -> None:
    if not 0 < mass_g <= MAX_MASS_G:
        raise InvalidInputError(field, f"{mass_g} g is outside 1 to {MAX_MASS_G} g")


def _close_if_all_received(session: Session, order: PickOrder) -> None:
    if order.state not in (OrderState.FILLED, OrderState.SHORT):
        return
    if all(row.state not in (LotState.CREATED, LotState.HELD) for row in lots_of(session, order.id)):
        order.state = OrderState.CLOSED
        session.add(order)
        session.flush()
