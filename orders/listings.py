"""Broadcasts and the tiers they list."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from ledger.disclosure import commit_fields
from ledger.kernel.actors import Actor
from ledger.kernel.clock import format_time
from ledger.kernel.ids import DocumentType, Numbering, PartyId, PlaceId, product_id
from ledger.log import record
from ledger.vocabulary import Action
from orders import events, products
from orders.allocation import change_offer, lock_stock
from orders.documents import next_document
from orders.errors import BroadcastClosedError, DuplicateListingError, InvalidInputError, NotFoundError
from orders.models import Broadcast, Listing, Plot, TierStock
from orders.plots import plot as plot_row
from orders.sentences import write_sold
from orders.tiers import SELLABLE

MAX_PIECES = 1_000_000


def open_broadcast(
    session: Session,
    *,
    host: Actor,
    title: str,
    closes_at: datetime,
    place: PlaceId,
    numbering: Numbering,
    now: datetime,
    zone: str,
) -> Broadcast:
    """Open a live session. It offers nothing until tiers are listed."""
    if not 1 <= len(title.strip()) <= 120:
        raise InvalidInputError("title", "must have 1 to 120 characters")
    if closes_at <= now:
        raise InvalidInputError("closes_at", f"{format_time(closes_at)} is not after now ({format_time(now)})")
    document = next_document(session, DocumentType.BROADCAST, "L", now=now, zone=zone, numbering=numbering)
    row = Broadcast(
        id=document.id,
        ref=document.ref,
        title=title.strip(),
        host=host.party,
        place=place,
        opened_at=now,
        closes_at=closes_at,
    )
    session.add(row)
    session.flush()
    return row


def list_tier(
    session: Session,
    broadcast: str,
    *,
    tier: str,
    variety: str,
    nominal_mass_g: int,
    price_fen: int,
    pieces: int,
    plots: Sequence[str],
    numbering: Numbering,
    now: datetime,
    zone: str,
    platform: str = "",
    standard: str = "",
    standard_edition: str = "",
) -> Listing:
    """Offer pieces of a tier from some plots and record `broadcast_opened`.

    Raises DuplicateListingError, BroadcastClosedError, NotFoundError (broadcast, plot) or
    InvalidInputError.
    """
    show = _open_show(session, broadcast)
    if tier not in SELLABLE:
        raise InvalidInputError("tier", f"{tier!r} is not sold; tiers are {', '.join(SELLABLE)}")
    for field, value, high in (
        ("nominal_mass_g", nominal_mass_g, 100_000),
        ("price_fen", price_fen, 100_000_000),
        ("pieces", pieces, MAX_PIECES),
    ):
        _within(field, value, high)
    sources = _sources(session, plots, variety)
    if _find(session, show.id, tier) is not None:
        raise DuplicateListingError(show.ref, tier)
    product = products.pack_product(
        session, crop=sources[0].crop, variety=variety, tier=tier, nominal_mass_g=nominal_mass_g, numbering=numbering
    )
    sale = next_document(session, DocumentType.SALE, "S", now=now, zone=zone, numbering=numbering)
    listing = Listing(
        broadcast_id=show.id,
        tier=tier,
        gtin=product.gtin,
        variety=variety,
        nominal_mass_g=nominal_mass_g,
        price_fen=price_fen,
        plots=[source.id for source in sources],
        owner=sources[0].owner,
        sale_document=sale.id,
        standard=standard,
        standard_edition=standard_edition,
        event_id="",
        listed_at=now,
    )
    listing.event_id = _record_offer(session, show, listing, Action.ADD, pieces, now=now, zone=zone, platform=platform)
    session.add(listing)
    session.flush()
    session.add(TierStock(listing_id=_key(listing), offered=pieces))
    session.flush()
    return listing


def offer_more(session: Session, listing_id: int, *, pieces: int, now: datetime, zone: str) -> Listing:
    """Offer that many pieces more of a listed tier, and record them as one more offer."""
    _within("pieces", pieces, MAX_PIECES)
    found = listing(session, listing_id)
    show = _open_show(session, found.broadcast_id)
    offered = lock_stock(session, [listing_id])[listing_id].offered
    change_offer(session, found, pieces=offered + pieces)
    _record_offer(session, show, found, Action.ADD, pieces, now=now, zone=zone, platform="")
    return found


def change_price(session: Session, listing_id: int, *, price_fen: int) -> Listing:
    """Set the price shown from now on. Prices are not in the log; sold lines keep what was paid."""
    _within("price_fen", price_fen, 100_000_000)
    found = listing(session, listing_id)
    _open_show(session, found.broadcast_id)
    found.price_fen = price_fen
    session.add(found)
    session.flush()
    return found


def close(session: Session, broadcast: str, *, now: datetime, zone: str) -> Broadcast:
    """End a broadcast: write what was sold to the last minute, then end every offer in the log.

    Closing again changes nothing.
    """
    show = _locked(session, broadcast)
    if show.closed_at is not None:
        return show
    show.closed_at = now
    session.add(show)
    session.flush()
    offers = listings(session, show.id)
    stock = lock_stock(session, [_key(offer) for offer in offers])
    write_sold(session, now=now, zone=zone, final=True, broadcast=show.id)
    for offer in offers:
        _record_offer(session, show, offer, Action.DELETE, stock[_key(offer)].offered, now=now, zone=zone, platform="")
    return show


def broadcast(session: Session, name: str) -> Broadcast:
    """Return a broadcast by its document id or its ref. Raises NotFoundError."""
    row = session.exec(select(Broadcast).where((Broadcast.id == name) | (Broadcast.ref == name))).one_or_none()
    if row is None:
        raise NotFoundError("broadcast", name)
    return row


def broadcasts(session: Session, *, host: PartyId | None = None, limit: int = 50) -> Sequence[Broadcast]:
    """Return the newest broadcasts, newest first; with `host`, only that party's."""
    query = select(Broadcast).order_by(col(Broadcast.opened_at).desc(), col(Broadcast.id).desc()).limit(limit)
    if host is not None:
        query = query.where(Broadcast.host == host)
    return session.exec(query).all()


def listing(session: Session, listing_id: int) -> Listing:
    """Return one listing. Raises NotFoundError."""
    row = session.get(Listing, listing_id)
    if row is None:
        raise NotFoundError("listing", str(listing_id))
    return row


def listings(session: Session, broadcast_id: str) -> Sequence[Listing]:
    """Return what a broadcast lists, by tier."""
    return session.exec(select(Listing).where(Listing.broadcast_id == broadcast_id).order_by(Listing.tier)).all()


def _record_offer(
    session: Session,
    show: Broadcast,
    offer: Listing,
    action: Action,
    pieces: int,
    *,
    now: datetime,
    zone: str,
    platform: str,
) -> str:
    said = events.Said.by(show.host, at=now, zone=zone)
    contents: dict[str, str | int | list[str]] = {
        "gy:tier": offer.tier,
        "gy:nominalMassG": offer.nominal_mass_g,
        "gy:plots": list(offer.plots),
        "gy:closesAt": format_time(show.closes_at),
    }
    if offer.standard:
        contents["gy:standard"] = offer.standard
    if offer.standard_edition:
        contents["gy:standardEdition"] = offer.standard_edition
    private = {"room": show.title, "priceFen": str(offer.price_fen)} | ({"platform": platform} if platform else {})
    event = events.broadcast_opened(
        said,
        action=action,
        broadcast=show.id,
        product=product_id(offer.gtin),
        pieces=pieces,
        studio=show.place,
        owner=offer.owner,
        offer=contents,
        digests=commit_fields(session, said.event_id, private),
    )
    record(session, event, now=now)
    return said.event_id


def _open_show(session: Session, name: str) -> Broadcast:
    show = _locked(session, name)
    if show.closed_at is not None:
        raise BroadcastClosedError(show.ref)
    return show


def _locked(session: Session, name: str) -> Broadcast:
    show = broadcast(session, name)
    session.refresh(show, with_for_update=True)
    return show


def _find(session: Session, broadcast_id: str, tier: str) -> Listing | None:
    return session.exec(select(Listing).where(Listing.broadcast_id == broadcast_id, Listing.tier == tier)).one_or_none()


def _sources(session: Session, plots: Sequence[str], variety: str) -> list[Plot]:
    if not plots:
        raise InvalidInputError("plots", "name at least one plot that the fruit will come from")
    rows = [plot_row(session, place) for place in sorted(set(plots))]
    for row in rows:
        if row.variety != variety:
            raise InvalidInputError("plots", f"plot {row.ref} grows {row.variety}, not {variety}")
    return rows


def _within(field: str, value: int, high: int) -> None:
    if not 1 <= value <= high:
        raise InvalidInputError(field, f"{value} is outside 1 to {high}")


def _key(offer: Listing) -> int:
    if offer.id is None:
        raise NotFoundError("listing", f"{offer.broadcast_id} {offer.tier}")
    return offer.id
