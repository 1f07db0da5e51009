"""Pick orders in the field: shown to the holder of a plot, and confirmed with crates and kilograms."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from sqlmodel import Session, col, select

from ledger.canonical import decode_entry
from ledger.disclosure import commit_fields
from ledger.events import Event
from ledger.kernel.actors import Actor
from ledger.kernel.clock import format_time, parse_time, whole_ms
from ledger.kernel.errors import IdentifierError
from ledger.kernel.files import ni_uri
from ledger.kernel.ids import CrateId, LotId, Numbering, PartyId, lot_id, parse_digital_link
from ledger.kernel.sequences import next_number
from ledger.log import record_all
from ledger.trace import entries_naming
from ledger.vocabulary import Sentence
from orders import events, products
from orders.documents import local_day
from orders.errors import (
    CrateInUseError,
    InvalidInputError,
    NotFoundError,
    NotYourPlotError,
    TooEarlyError,
    YieldCapError,
)
from orders.models import Crate, Lot, Pick, PickOrder, Plot
from orders.plots import yield_left_g
from orders.states import OPEN_STATES, LotState, OrderState

CRATE_ASSET_TYPE = 201
LONGEST_PICK = timedelta(hours=24)
FILLED_PER_MILLE = 980
"""An order counts as filled from here on: scales and leaves do not hit a kilogram exactly."""

_SHORT_CRATE = re.compile(r"[A-Z0-9]{1,4}-?[0-9]{1,8}")


class CrateWeight(BaseModel):
    """One crate as scanned and weighed in the field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crate: str = Field(min_length=1, max_length=200)
    mass_g: int = Field(gt=0, le=100_000)


class Position(BaseModel):
    """Where the phone was. Committed as a digest, never logged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)


class PickConfirmation(BaseModel):
    """What a holder says was picked for an order. `command_id` is made by the phone, once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command_id: UUID
    pick_order: str = Field(min_length=1, max_length=200)
    crates: tuple[CrateWeight, ...] = Field(min_length=1, max_length=200)
    started_at: AwareDatetime
    ended_at: AwareDatetime
    position: Position | None = None
    photo_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _in_order(self) -> "PickConfirmation":
        if not self.started_at < self.ended_at <= self.started_at + LONGEST_PICK:
            raise ValueError("ended_at must be after started_at, and within 24 hours of it")
        return self


@dataclass(frozen=True, slots=True)
class PickOutcome:
    """The answer to a confirmation. `surplus_g` was picked beyond the order: kept, and free to sell."""

    command_id: str
    pick_order: str
    lot: LotId
    lot_number: str
    mass_g: int
    surplus_g: int
    order_state: str
    is_duplicate: bool


def orders_for(session: Session, party: PartyId, *, open_only: bool = False) -> Sequence[PickOrder]:
    """Return the pick orders for one holder's plots, the most urgent first."""
    query = select(PickOrder).where(PickOrder.holder == party).order_by(col(PickOrder.pick_by), col(PickOrder.id))
    if open_only:
        query = query.where(col(PickOrder.state).in_(OPEN_STATES))
    return session.exec(query).all()


def pick_orders(session: Session, *, broadcast_id: str | None = None) -> Sequence[PickOrder]:
    """Return all pick orders, newest first; with `broadcast_id`, those its sales raised."""
    query = select(PickOrder).order_by(col(PickOrder.raised_at).desc(), col(PickOrder.id).desc())
    if broadcast_id is not None:
        query = query.where(PickOrder.broadcast_id == broadcast_id)
    return session.exec(query).all()


def pick_order(session: Session, name: str, *, is_for_update: bool = False) -> PickOrder:
    """Return a pick order by its document id or its ref. Raises NotFoundError."""
    query = select(PickOrder).where((PickOrder.id == name) | (PickOrder.ref == name))
    if is_for_update:
        query = query.with_for_update().execution_options(populate_existing=True)
    row = session.exec(query).one_or_none()
    if row is None:
        raise NotFoundError("pick order", name)
    return row


def seen(session: Session, name: str, *, actor: Actor, now: datetime) -> PickOrder:
    """Note when a pick order first stood on its holder's screen. Seeing it again changes nothing."""
    row = pick_order(session, name, is_for_update=True)
    if row.holder != actor.party:
        raise NotYourPlotError(row.ref)
    if row.seen_at is None:
        row.seen_at = now
        session.add(row)
        session.flush()
    return row


def finish(session: Session, name: str, *, actor: Actor) -> PickOrder:
    """Say that no more will be picked for an order: it is short where too little was."""
    row = pick_order(session, name, is_for_update=True)
    if row.holder != actor.party:
        raise NotYourPlotError(row.ref)
    if row.state in OPEN_STATES:
        row.state = OrderState.SHORT
        session.add(row)
        session.flush()
    return row


def confirm(
    session: Session, given: PickConfirmation, *, actor: Actor, numbering: Numbering, now: datetime, zone: str
) -> PickOutcome:
    """Record what was picked: one `picked` for the lot, one `crated` per crate.

    The same command id again changes nothing and returns the first outcome. More than was ordered is
    taken as the fact it is and marked surplus; an order withdrawn meanwhile does not undo a pick.
    Raises NotFoundError, NotYourPlotError, YieldCapError, TooEarlyError, CrateInUseError or
    InvalidInputError (other content under a known command id, a crate twice, a time ahead of ours).
    """
    order = pick_order(session, given.pick_order, is_for_update=True)
    if order.holder != actor.party:
        raise NotYourPlotError(order.ref)
    known = session.get(Pick, str(given.command_id))
    if known is not None:
        return _first_outcome(session, known, order, given)
    plot = session.exec(select(Plot).where(Plot.id == order.plot_id).with_for_update()).one()
    crates = _crates(session, given, numbering)
    mass_g = sum(crates.values())
    _check(session, given, plot, mass_g, now=now)

    started_at, ended_at = whole_ms(given.started_at), whole_ms(given.ended_at)
    day = local_day(ended_at, zone)
    prefix = f"H{day:%y%m%d}-{plot.ref}"
    number = f"{prefix}-{next_number(session, prefix)}"
    harvest = products.harvest_product(session, crop=plot.crop, variety=plot.variety, numbering=numbering)
    lot = lot_id(harvest.gtin, number)
    said = events.Said.by(actor.party, at=ended_at, zone=zone)
    position = None if given.position is None else given.position.model_dump_json()
    record_all(
        session,
        [
            events.picked(
                said,
                lot=lot,
                lot_number=number,
                mass_g=mass_g,
                plot=plot.id,
                passport=plot.passport,
                variety=plot.variety,
                region=plot.region,
                started_at=started_at,
                first_day=local_day(started_at, zone),
                last_day=day,
                crates=sorted(crates),
                pick_order=order.id,
                owner=plot.owner,
                house_place=order.house_place,
                evidence=[] if given.photo_sha256 is None else [ni_uri(bytes.fromhex(given.photo_sha256))],
                digests=[] if position is None else commit_fields(session, said.event_id, {"position": position}),
            ),
            *(
                events.crated(
                    events.Said.by(actor.party, at=ended_at, zone=zone),
                    crate=crate,
                    lot=lot,
                    mass_g=grams,
                    plot=plot.id,
                    pick_order=order.id,
                )
                for crate, grams in sorted(crates.items())
            ),
        ],
        now=now,
    )
    before_g = order.picked_g
    order.picked_g += mass_g
    plot.picked_g += mass_g
    surplus_g = max(0, order.picked_g - max(order.ordered_g, before_g))
    if order.state == OrderState.WITHDRAWN:
        surplus_g = mass_g
    elif order.state in OPEN_STATES:
        is_filled = order.picked_g * 1000 >= order.ordered_g * FILLED_PER_MILLE
        order.state = OrderState.FILLED if is_filled else OrderState.PICKING
    session.add_all([order, plot])
    session.add(
        Lot(
            id=lot,
            number=number,
            pick_order_id=order.id,
            plot_id=plot.id,
            variety=plot.variety,
            picked_by=actor.party,
            picked_g=mass_g,
            surplus_g=surplus_g,
            pick_started_at=started_at,
            pick_ended_at=ended_at,
            picked_event_id=said.event_id,
            state=LotState.CREATED,
        )
    )
    session.flush()
    session.add_all([Crate(lot_id=lot, crate_id=crate, mass_g=grams) for crate, grams in crates.items()])
    session.add(
        Pick(
            command_id=str(given.command_id),
            pick_order_id=order.id,
            lot_id=lot,
            recorded_at=now,
            fingerprint=_fingerprint(given),
            position=position,
        )
    )
    session.flush()
    return PickOutcome(str(given.command_id), order.id, lot, number, mass_g, surplus_g, order.state, is_duplicate=False)


def parse_crate(text: str, numbering: Numbering) -> CrateId:
    """Return the crate that a scanned GRAI, or the short name printed on it (`C-0417`), stands for."""
    if _SHORT_CRATE.fullmatch(text.strip().upper()):
        return numbering.crate(CRATE_ASSET_TYPE, text.strip().upper().replace("-", ""))
    try:
        link = parse_digital_link(text)
    except IdentifierError as error:
        raise InvalidInputError("crate", f"{text!r} is neither a crate's GRAI nor its short name") from error
    if link.key[0] != "8003":
        raise InvalidInputError("crate", f"{text!r} names no crate (8003)")
    return CrateId(link.canonical())


def lot(session: Session, name: str, *, is_for_update: bool = False) -> Lot:
    """Return a harvest lot by its id or number. Raises NotFoundError."""
    query = select(Lot).where((Lot.id == name) | (Lot.number == name))
    if is_for_update:
        query = query.with_for_update().execution_options(populate_existing=True)
    row = session.exec(query).one_or_none()
    if row is None:
        raise NotFoundError("lot", name)
    return row


def lots_of(session: Session, pick_order_id: str) -> Sequence[Lot]:
    """Return the lots picked for an order, in the order they were picked."""
    return session.exec(
        select(Lot).where(Lot.pick_order_id == pick_order_id).order_by(col(Lot.pick_ended_at), Lot.id)
    ).all()


def crates_of(session: Session, lot_id: str) -> Sequence[Crate]:
    """Return the crates a lot was brought in."""
    return session.exec(select(Crate).where(Crate.lot_id == lot_id).order_by(Crate.crate_id)).all()


def _first_outcome(session: Session, known: Pick, order: PickOrder, given: PickConfirmation) -> PickOutcome:
    if known.fingerprint != _fingerprint(given):
        raise InvalidInputError("command_id", f"{given.command_id} was already used for another confirmation")
    row = session.get_one(Lot, known.lot_id)
    return PickOutcome(
        known.command_id,
        order.id,
        LotId(row.id),
        row.number,
        row.picked_g,
        row.surplus_g,
        order.state,
        is_duplicate=True,
    )


def _fingerprint(given: PickConfirmation) -> str:
    return sha256(given.model_dump_json().encode()).hexdigest()


def _crates(session: Session, given: PickConfirmation, numbering: Numbering) -> dict[CrateId, int]:
    crates: dict[CrateId, int] = {}
    for weight in given.crates:
        crate = parse_crate(weight.crate, numbering)
        if crate in crates:
            raise InvalidInputError("crates", f"crate {weight.crate} stands twice in one confirmation")
        crates[crate] = weight.mass_g
    for row in session.exec(
        select(Crate).where(col(Crate.crate_id).in_(crates), col(Crate.is_full).is_(True)).order_by(Crate.crate_id)
    ):
        raise CrateInUseError(row.crate_id, row.lot_id)
    return crates


def _check(session: Session, given: PickConfirmation, plot: Plot, mass_g: int, *, now: datetime) -> None:
    if given.ended_at > now + timedelta(minutes=5):
        raise InvalidInputError("ended_at", f"{format_time(given.ended_at)} is in the future (now {format_time(now)})")
    if mass_g > yield_left_g(plot):
        raise YieldCapError(plot.ref, picked_g=mass_g, left_g=yield_left_g(plot), cap_g=plot.yield_cap_g)
    for entry in entries_naming(session, plot.id, sentences=[Sentence.TREATED]):
        earliest = _earliest_harvest(decode_entry(entry.data))
        if earliest is not None and given.started_at < parse_time(earliest):
            raise TooEarlyError(plot.ref, started_at=format_time(given.started_at), earliest_at=earliest)


def _earliest_harvest(event: Event) -> str | None:
    treatment = event.extensions.get("gy:treatment")
    value = treatment.get("gy:earliestHarvestAt") if isinstance(treatment, dict) else None
    return value if isinstance(value, str) else None
