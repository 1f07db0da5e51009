"""Serial codes against measured mass: a quota says how many may become active, printing grants nothing."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import CursorResult, update
from sqlmodel import Session, col, select

from ledger.kernel.actors import Actor
from ledger.kernel.clock import format_time
from ledger.kernel.ids import DocumentType, Numbering, new_serial, pack_id, product_id
from ledger.log import record
from orders import events
from orders.documents import next_document
from orders.errors import InvalidInputError, NotFoundError, PackError, QuotaError
from orders.models import Code, GradedLot, Quota
from orders.places import House
from orders.products import product
from orders.rows import insert_once
from orders.states import CodeState
from orders.stock import graded_lot
from orders.tiers import SELLABLE

QUOTA_LASTS: Final = timedelta(days=3)
MAX_PRINT: Final = 500
SERIAL_LENGTH: Final = 12


def grant_quota(
    session: Session,
    graded_lot_name: str,
    *,
    gtin: str,
    recorder: str,
    numbering: Numbering,
    now: datetime,
    zone: str,
    codes: int | None = None,
    house: House | None = None,
) -> Quota:
    """Grant codes of a product against a graded lot and record `quota_granted`.

    Without `codes`, as many as the measured mass allows: grams not promised to another quota, divided
    by the nominal mass. A lot and product that have a quota get the same one again. Raises QuotaError,
    NotFoundError or PackError where product and lot do not match.
    """
    lot = graded_lot(session, graded_lot_name, is_for_update=True)
    packed_as = product(session, gtin)
    if lot.tier not in SELLABLE or (packed_as.variety, packed_as.tier) != (lot.variety, lot.tier):
        raise PackError(
            "wrong_product",
            f"lot {lot.number} is {lot.variety} {lot.tier}, product {gtin} is {packed_as.variety} {packed_as.tier}",
            lot=lot.number,
            gtin=gtin,
        )
    standing = quotas(session, lot.id)
    for known in standing:
        if known.gtin == gtin:
            return known
    promised_g = sum(known.codes * known.nominal_mass_g for known in standing)
    allowed = (lot.mass_g - promised_g) // packed_as.nominal_mass_g
    wanted = allowed if codes is None else codes
    if not 0 < wanted <= allowed:
        raise QuotaError(
            lot.number,
            f"{lot.mass_g} g measured, {promised_g} g promised, {packed_as.nominal_mass_g} g a pack",
            wanted=wanted,
            allowed=allowed,
        )
    document = next_document(session, DocumentType.QUOTA, "Q", now=now, zone=zone, numbering=numbering)
    said = events.Said.by(recorder, at=now, zone=zone)
    event = events.quota_granted(
        said,
        quota=document.id,
        graded_lot=lot.id,
        measured_g=lot.mass_g,
        house_party=(house or House.of(numbering)).party,
        codes=wanted,
        nominal_mass_g=packed_as.nominal_mass_g,
        pack_product=product_id(gtin),
        measured_by=lot.graded_event_id,
        expires_at=now + QUOTA_LASTS,
    )
    record(session, event, now=now)
    quota = Quota(
        id=document.id,
        graded_lot_id=lot.id,
        gtin=gtin,
        nominal_mass_g=packed_as.nominal_mass_g,
        codes=wanted,
        granted_at=now,
        expires_at=now + QUOTA_LASTS,
        event_id=said.event_id,
    )
    session.add(quota)
    session.flush()
    return quota


def quotas(session: Session, graded_lot_id: str) -> Sequence[Quota]:
    """Return the quotas of a graded lot, oldest first."""
    return session.exec(
        select(Quota).where(Quota.graded_lot_id == graded_lot_id).order_by(col(Quota.granted_at), Quota.id)
    ).all()


def issue(session: Session, quota_id: str, count: int, *, now: datetime) -> list[Code]:
    """Print that many serials ahead. None of them is anything until its pack is closed."""
    if not 1 <= count <= MAX_PRINT:
        raise InvalidInputError("count", f"{count} is outside 1 to {MAX_PRINT}")
    quota = _quota(session, quota_id)
    printed: list[Code] = []
    while len(printed) < count:
        serial = new_serial(SERIAL_LENGTH)
        if insert_once(
            session,
            Code,
            key=("gtin", "serial"),
            gtin=quota.gtin,
            serial=serial,
            quota_id=quota.id,
            state=CodeState.PRINTED,
            printed_at=now,
        ):
            printed.append(session.get_one(Code, (quota.gtin, serial)))
    return printed


def activate(session: Session, quota: Quota, lot: GradedLot, serial: str | None, *, now: datetime) -> Code:
    """Make one code of a quota active, a printed one or a fresh one; the caller records it with its pack.

    Raises QuotaError when the quota is used up or over, PackError for a serial that is not free.
    """
    if now > quota.expires_at:
        raise QuotaError(lot.number, f"the quota ended at {format_time(quota.expires_at)}", wanted=1, allowed=0)
    code = issue(session, quota.id, 1, now=now)[0] if serial is None else _printed(session, quota, serial)
    moved = session.execute(
        update(Quota)
        .where(col(Quota.id) == quota.id, col(Quota.activated) < col(Quota.codes))
        .values(activated=col(Quota.activated) + 1)
        .execution_options(synchronize_session=False)
    )
    if not isinstance(moved, CursorResult) or moved.rowcount != 1:
        raise QuotaError(lot.number, f"all {quota.codes} codes are active", wanted=1, allowed=0)
    session.refresh(quota)
    code.state = CodeState.ACTIVE
    session.add(code)
    session.flush()
    return code


def void(
    session: Session,
    gtin: str,
    serials: Sequence[str],
    *,
    reason: str,
    line: str,
    actor: Actor,
    now: datetime,
    zone: str,
) -> list[Code]:
    """Void printed serials that will not be used and record it. Raises PackError for an active one."""
    codes: list[Code] = []
    for serial in sorted(set(serials)):
        code = session.get(Code, (gtin, serial), with_for_update=True)
        if code is None:
            raise NotFoundError("code", f"{gtin} {serial}")
        if code.state == CodeState.ACTIVE:
            raise PackError("code_active", f"{serial} names a closed pack: recall it, do not void it", serial=serial)
        if code.state == CodeState.PRINTED:
            codes.append(code)
    for quota_id in sorted({code.quota_id for code in codes}):
        own = [code for code in codes if code.quota_id == quota_id]
        said = events.Said.by(actor.party, at=now, zone=zone)
        event = events.code_voided(
            said,
            packs=[pack_id(code.gtin, code.serial) for code in own],
            line=line,
            quota=quota_id,
            reason=reason,
            was_active=False,
        )
        record(session, event, now=now)
        for code in own:
            code.state, code.event_id = CodeState.VOID, said.event_id
            session.add(code)
    session.flush()
    return codes


def _quota(session: Session, quota_id: str) -> Quota:
    found = session.get(Quota, quota_id)
    if found is None:
        raise NotFoundError("quota", quota_id)
    return found


def _printed(session: Session, quota: Quota, serial: str) -> Code:
    code = session.get(Code, (quota.gtin, serial), with_for_update=True)
    if code is None:
        raise PackError("code_unknown", f"serial {serial} was never printed for product {quota.gtin}", serial=serial)
    if code.quota_id != quota.id:
        raise PackError("code_of_other_quota", f"serial {serial} was printed for another lot", serial=serial)
    if code.state != CodeState.PRINTED:
        raise PackError("code_used", f"serial {serial} is {code.state} already", serial=serial)
    return code
