"""Packs: closed over weighed fruit of one graded lot, under one active code each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import CursorResult, update
from sqlmodel import Session, col, select

from ledger.kernel.actors import Actor
from ledger.kernel.files import parse_ni
from ledger.kernel.ids import pack_id
from ledger.log import record_all
from orders import codes, events
from orders.documents import local_day
from orders.errors import InvalidInputError, NotFoundError, PackError
from orders.fulfilment import assign
from orders.models import GradedLot, Pack, PackFruit, Quota
from orders.products import product
from orders.stock import graded_lot, left_g

MAX_FRUITS: Final = 500
SPOT_LINE: Final = "LINE-1"


@dataclass(frozen=True, slots=True)
class Fruit:
    """One graded fruit: the `ni:` name of its record, and what it weighs."""

    record: str
    mass_g: int


def pack(
    session: Session,
    *,
    graded_lot_name: str,
    gtin: str,
    fruits: Sequence[Fruit],
    scale_g: int,
    scale: str,
    actor: Actor,
    label_host: str,
    now: datetime,
    zone: str,
    photo: str | None = None,
    serial: str | None = None,
    line: str | None = None,
) -> Pack:
    """Close a pack: activate a code and record `code_activated`, then `packed`, in this transaction.

    The pack goes to the sold line that waits longest for it. Raises PackError (lighter than nominal,
    heavier than what the lot has left, a fruit already in a pack, a serial that is not free, no
    quota), QuotaError, NotFoundError or InvalidInputError; then nothing was written.
    """
    lot = graded_lot(session, graded_lot_name, is_for_update=True)
    quota = _quota(session, lot, gtin)
    _check_fruits(session, fruits)
    _check_mass(lot, quota, scale_g)
    code = codes.activate(session, quota, lot, serial, now=now)
    _take_from_lot(session, lot, scale_g)

    name = pack_id(gtin, code.serial)
    packed_on = local_day(now, zone)
    best_before = packed_on + timedelta(days=product(session, gtin).shelf_life_days)
    at_line = line or lot.line
    house = at_line.split("/254/", maxsplit=1)[0]
    activated = events.Said.by(actor.party, at=now, zone=zone)
    closed = events.Said.by(actor.party, at=now, zone=zone)
    record_all(
        session,
        [
            events.code_activated(
                activated,
                packs=[name],
                line=at_line,
                house_place=house,
                quota=quota.id,
                lot_number=lot.number,
                best_before=best_before,
                graded_lot=lot.id,
                tier=lot.tier,
                nominal_mass_g=quota.nominal_mass_g,
                packed_on=packed_on,
                label_host=label_host,
            ),
            events.packed(
                closed,
                pack=name,
                graded_lot=lot.id,
                mass_g=scale_g,
                line=at_line,
                house_place=house,
                quota=quota.id,
                fruits=len(fruits),
                records=sorted(fruit.record for fruit in fruits),
                scale=scale,
                evidence=[] if photo is None else [photo],
            ),
        ],
        now=now,
    )
    code.event_id = activated.event_id
    row = Pack(
        id=name,
        gtin=gtin,
        serial=code.serial,
        graded_lot_id=lot.id,
        quota_id=quota.id,
        mass_g=scale_g,
        fruits=len(fruits),
        packed_at=now,
        packed_on=packed_on.isoformat(),
        best_before=best_before.isoformat(),
        event_id=closed.event_id,
    )
    session.add_all([code, row])
    session.flush()
    session.add_all([PackFruit(record=fruit.record, pack_id=name, mass_g=fruit.mass_g) for fruit in fruits])
    session.flush()
    assign(session, row)
    return row


def packs(session: Session, *, graded_lot_id: str | None = None, unloaded_only: bool = False) -> Sequence[Pack]:
    """Return packs in the order they were closed."""
    query = select(Pack).order_by(col(Pack.packed_at), Pack.id)
    if graded_lot_id is not None:
        query = query.where(Pack.graded_lot_id == graded_lot_id)
    if unloaded_only:
        query = query.where(col(Pack.load_id).is_(None))
    return session.exec(query).all()


def pack_of(session: Session, gtin: str, serial: str) -> Pack:
    """Return one pack by GTIN and serial. Raises NotFoundError."""
    row = session.exec(select(Pack).where(Pack.gtin == gtin.zfill(14), Pack.serial == serial)).one_or_none()
    if row is None:
        raise NotFoundError("pack", f"{gtin} {serial}")
    return row


def fruits_of(session: Session, pack_id: str) -> Sequence[PackFruit]:
    """Return the fruit of a pack."""
    return session.exec(select(PackFruit).where(PackFruit.pack_id == pack_id).order_by(PackFruit.record)).all()


def _quota(session: Session, lot: GradedLot, gtin: str) -> Quota:
    for quota in codes.quotas(session, lot.id):
        if quota.gtin == gtin:
            return quota
    raise PackError("no_quota", f"lot {lot.number} has no quota for product {gtin}", lot=lot.number, gtin=gtin)


def _check_fruits(session: Session, fruits: Sequence[Fruit]) -> None:
    if not 1 <= len(fruits) <= MAX_FRUITS:
        raise InvalidInputError("fruits", f"{len(fruits)} fruits; a pack has 1 to {MAX_FRUITS}")
    records = [fruit.record for fruit in fruits]
    for fruit in fruits:
        parse_ni(fruit.record)
        if fruit.mass_g <= 0:
            raise InvalidInputError("fruits", f"fruit {fruit.record} weighs {fruit.mass_g} g")
    if len(set(records)) != len(records):
        raise PackError("fruit_twice", "a fruit stands twice in this pack")
    taken = session.exec(select(PackFruit).where(col(PackFruit.record).in_(records)).order_by(PackFruit.record)).first()
    if taken is not None:
        raise PackError(
            "fruit_packed", f"fruit {taken.record} lies in pack {taken.pack_id} already", pack=taken.pack_id
        )


def _check_mass(lot: GradedLot, quota: Quota, scale_g: int) -> None:
    if scale_g < quota.nominal_mass_g:
        raise PackError(
            "below_nominal",
            f"the scale says {scale_g} g; the label promises {quota.nominal_mass_g} g",
            scale_g=scale_g,
            nominal_mass_g=quota.nominal_mass_g,
        )
    if scale_g > left_g(lot):
        raise PackError(
            "lot_exceeded",
            f"the scale says {scale_g} g; lot {lot.number} has {left_g(lot)} g left of {lot.mass_g} g",
            scale_g=scale_g,
            left_g=left_g(lot),
            lot=lot.number,
        )


def _take_from_lot(session: Session, lot: GradedLot, mass_g: int) -> None:
    moved = session.execute(
        update(GradedLot)
        .where(col(GradedLot.id) == lot.id, col(GradedLot.packed_g) + mass_g <= col(GradedLot.mass_g))
        .values(packed_g=col(GradedLot.packed_g) + mass_g)
        .execution_options(synchronize_session=False)
    )
    if not isinstance(moved, CursorResult) or moved.rowcount != 1:
        raise PackError("lot_exceeded", f"lot {lot.number} has no {mass_g} g left", lot=lot.number, scale_g=mass_g)
    session.refresh(lot)
