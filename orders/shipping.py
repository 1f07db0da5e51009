"""Loads: packs and a logger under one SSCC, sent, and seen again at the other end."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session, col, select

from ledger.disclosure import commit_fields
from ledger.events import SensorElement
from ledger.kernel.actors import Actor
from ledger.kernel.ids import DocumentType, Numbering, parse_digital_link
from ledger.kernel.sequences import next_number
from ledger.log import record
from orders import events
from orders.documents import next_document
from orders.errors import InvalidInputError, LoadError, NotFoundError, SamePartyError
from orders.models import GradedLot, Listing, Load, Pack, SalesLine
from orders.places import House, cooperative

MAX_PACKS: Final = 499
"""An event names at most 500 identifiers; the logger is one of them."""
WANTED_MILLI_CELSIUS: Final = (10_000, 14_000)


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """Whether what arrived is what was sent; if not, which packs differ."""

    load: str
    is_complete: bool
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    is_duplicate: bool = False


def load(
    session: Session,
    pack_ids: Collection[str],
    *,
    actor: Actor,
    numbering: Numbering,
    now: datetime,
    zone: str,
    logger: str | None = None,
    photo: str | None = None,
    dock: str | None = None,
    house: House | None = None,
) -> Load:
    """Put closed packs, and a logger, under a new SSCC and record `loaded`.

    Raises LoadError for a pack that is in another load, NotFoundError, InvalidInputError.
    """
    wanted = sorted(set(pack_ids))
    if not 1 <= len(wanted) <= MAX_PACKS:
        raise InvalidInputError("packs", f"{len(wanted)} packs; a load has 1 to {MAX_PACKS}")
    rows = _packs(session, wanted)
    for row in rows:
        if row.load_id is not None:
            raise LoadError(row.load_id, f"pack {row.id} is in it already")
    at_house = house or House.of(numbering)
    name = numbering.load(next_number(session, "sscc"))
    despatch = next_document(session, DocumentType.DESPATCH, "D", now=now, zone=zone, numbering=numbering)
    net_mass_g = sum(row.mass_g for row in rows)
    said = events.Said.by(actor.party, at=now, zone=zone)
    event = events.loaded(
        said,
        load=name,
        packs=wanted,
        logger=logger,
        net_mass_g=net_mass_g,
        dock=dock or at_house.spot("DOCK-OUT"),
        house_place=at_house.place,
        despatch=despatch.id,
        evidence=[] if photo is None else [photo],
    )
    record(session, event, now=now)
    new = Load(
        id=name,
        ref=despatch.ref,
        despatch=despatch.id,
        logger=logger,
        net_mass_g=net_mass_g,
        packs=len(rows),
        house_place=at_house.place,
        house_party=at_house.party,
        loaded_at=now,
        loaded_event_id=said.event_id,
        mismatch=[],
    )
    session.add(new)
    session.flush()
    for row in rows:
        row.load_id = new.id
        session.add(row)
    session.flush()
    return new


def ship(
    session: Session,
    load_name: str,
    *,
    destination: str,
    receiver: str,
    actor: Actor,
    numbering: Numbering,
    now: datetime,
    zone: str,
    wanted_milli_celsius: tuple[int, int] = WANTED_MILLI_CELSIUS,
    vehicle: str | None = None,
    dock: str | None = None,
) -> Load:
    """Send a load on its way and record `shipped`. Shipping it again to the same place changes nothing."""
    row = load_of(session, load_name, is_for_update=True)
    if row.shipped_at is not None:
        if (row.destination, row.receiver) != (destination, receiver):
            raise LoadError(row.ref, f"is on its way to {row.destination} already")
        return row
    low, high = wanted_milli_celsius
    if low >= high:
        raise InvalidInputError("wanted_milli_celsius", f"{low} is not below {high}")
    lots = _graded_lots(session, row.id)
    said = events.Said.by(actor.party, at=now, zone=zone)
    event = events.shipped(
        said,
        load=row.id,
        dock=dock or f"{row.house_place}/254/DOCK-OUT",
        house_place=row.house_place,
        house_party=row.house_party,
        owner=cooperative(numbering),
        destination=destination,
        receiver=receiver,
        despatch=row.despatch,
        sale_documents=_sale_documents(session, row.id),
        lots=[lot.id for lot in lots],
        certificates=sorted(lot.certificate_id for lot in lots if lot.certificate_id is not None),
        wanted_milli_celsius=wanted_milli_celsius,
        digests=[] if vehicle is None else commit_fields(session, said.event_id, {"vehicle": vehicle}),
    )
    record(session, event, now=now)
    row.destination, row.receiver = destination, receiver
    row.shipped_at, row.shipped_by, row.shipped_event_id = now, actor.party, said.event_id
    session.add(row)
    session.flush()
    return row


def deliver(
    session: Session,
    load_name: str,
    *,
    packs_seen: Collection[str],
    actor: Actor,
    numbering: Numbering,
    now: datetime,
    zone: str,
    sensor_elements: Sequence[SensorElement] = (),
    leg: Mapping[str, int] | None = None,
    is_logger_seen: bool = True,
) -> DeliveryOutcome:
    """Record what the receiver saw arrive. A set that differs is `mismatch_quantity`, never mended.

    `leg` carries the logger's counts: expected, received, suspect. Delivering again returns the first
    outcome. Raises LoadError before shipping, SamePartyError, InvalidInputError.
    """
    row = load_of(session, load_name, is_for_update=True)
    if row.shipped_event_id is None or row.destination is None or row.receiver is None:
        raise LoadError(row.ref, "has not been shipped")
    sent = {pack.id for pack in packs_in(session, row.id)}
    if row.delivered_at is not None:
        return _first_outcome(row, sent)
    if row.shipped_by == actor.party:
        raise SamePartyError(f"load {row.ref}", actor.party)
    seen = {_pack_name(text) for text in packs_seen}
    if len(seen) > MAX_PACKS:
        raise InvalidInputError("packs_seen", f"{len(seen)} packs; a load has at most {MAX_PACKS}")
    logger = [row.logger] if row.logger is not None and is_logger_seen else []
    is_complete = seen == sent
    said = events.Said.by(actor.party, at=now, zone=zone)
    event = events.delivered(
        said,
        load=row.id,
        seen=[*sorted(seen), *logger],
        is_complete=is_complete,
        destination=row.destination,
        receiver=row.receiver,
        house_place=row.house_place,
        house_party=row.house_party,
        receipt_document=next_document(session, DocumentType.DELIVERY, "R", now=now, zone=zone, numbering=numbering).id,
        despatch=row.despatch,
        confirms=row.shipped_event_id,
        sensor_elements=sensor_elements,
        leg={**(leg or {}), "packsSeen": len(seen)},
    )
    record(session, event, now=now)
    row.delivered_at, row.delivered_event_id = now, said.event_id
    row.mismatch = sorted(seen ^ sent)
    session.add(row)
    session.flush()
    return DeliveryOutcome(row.id, is_complete, tuple(sorted(sent - seen)), tuple(sorted(seen - sent)))


def load_of(session: Session, name: str, *, is_for_update: bool = False) -> Load:
    """Return a load by its SSCC id or its despatch ref. Raises NotFoundError."""
    query = select(Load).where((Load.id == name) | (Load.ref == name))
    if is_for_update:
        query = query.with_for_update().execution_options(populate_existing=True)
    row = session.exec(query).one_or_none()
    if row is None:
        raise NotFoundError("load", name)
    return row


def loads(session: Session) -> Sequence[Load]:
    """Return all loads, newest first."""
    return session.exec(select(Load).order_by(col(Load.loaded_at).desc(), col(Load.id).desc())).all()


def packs_in(session: Session, load_id: str) -> Sequence[Pack]:
    """Return the packs of a load."""
    return session.exec(select(Pack).where(Pack.load_id == load_id).order_by(Pack.id)).all()


def _packs(session: Session, ids: Sequence[str]) -> Sequence[Pack]:
    rows = session.exec(
        select(Pack)
        .where(col(Pack.id).in_(ids))
        .order_by(Pack.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    unknown = sorted(set(ids) - {row.id for row in rows})
    if unknown:
        raise NotFoundError("pack", unknown[0])
    return rows


def _graded_lots(session: Session, load_id: str) -> Sequence[GradedLot]:
    return session.exec(
        select(GradedLot)
        .where(col(GradedLot.id).in_(select(Pack.graded_lot_id).where(Pack.load_id == load_id)))
        .order_by(GradedLot.id)
    ).all()


def _sale_documents(session: Session, load_id: str) -> list[str]:
    query = (
        select(Listing.sale_document)
        .join(SalesLine, col(SalesLine.listing_id) == Listing.id)
        .join(Pack, col(Pack.line_id) == SalesLine.id)
        .where(Pack.load_id == load_id)
        .distinct()
    )
    return sorted(session.exec(query))


def _pack_name(text: str) -> str:
    """Return the canonical id of a pack scanned as an id or as a label's link."""
    link = parse_digital_link(text)
    if "21" not in link.values:
        raise InvalidInputError("packs_seen", f"{text!r} names no single pack")
    return link.canonical()


def _first_outcome(row: Load, sent: Collection[str]) -> DeliveryOutcome:
    differ = set(row.mismatch)
    missing, unexpected = differ & set(sent), differ - set(sent)
    return DeliveryOutcome(row.id, not differ, tuple(sorted(missing)), tuple(sorted(unexpected)), is_duplicate=True)
