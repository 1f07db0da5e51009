"""What was sold, said once per broadcast, tier and minute.

A line belongs to the minute in which we took it, not in which it was paid: a late message can
then never fall into a minute that was already said.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TypeAlias

import msgspec
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from ledger.disclosure import commit_fields
from ledger.kernel.files import ni_uri
from ledger.kernel.ids import new_serial, product_id
from ledger.log import record
from ledger.vocabulary import Action
from orders import events
from orders.allocation import LineState
from orders.models import Broadcast, Listing, SaleMinute, SalesLine

_MINUTE = timedelta(minutes=1)
_TICK = timedelta(milliseconds=1)
_Groups: TypeAlias = dict[tuple[int, datetime], list[SalesLine]]


def write_sold(
    session: Session, *, now: datetime, zone: str, final: bool = False, broadcast: str | None = None
) -> list[str]:
    """Record `sold` for every minute that is over, and its DELETE for sales cancelled since.

    With `final`, the running minute counts as over. Returns the event ids; calling again records
    nothing twice, a crash before commit loses nothing.
    """
    over = now + _TICK if final else _minute(now)
    sold, gone = _not_said(session, before=over, broadcast=broadcast), _cancelled(session, now, broadcast=broadcast)
    return [
        _say(session, action, listing_id, minute, lines, now=now, zone=zone)
        for action, groups in ((Action.ADD, sold), (Action.DELETE, gone))
        for (listing_id, minute), lines in sorted(groups.items())
    ]


def _not_said(session: Session, *, before: datetime, broadcast: str | None) -> _Groups:
    query = select(SalesLine).where(
        SalesLine.state == LineState.HELD, col(SalesLine.sold_event_id).is_(None), SalesLine.taken_at < before
    )
    groups: _Groups = defaultdict(list)
    for line in _locked(session, query, broadcast):
        if line.listing_id is not None:
            groups[line.listing_id, _minute(line.taken_at)].append(line)
    return groups


def _cancelled(session: Session, now: datetime, *, broadcast: str | None) -> _Groups:
    query = select(SalesLine).where(
        SalesLine.state == LineState.CANCELLED,
        col(SalesLine.sold_event_id).is_not(None),
        col(SalesLine.unsold_event_id).is_(None),
    )
    groups: _Groups = defaultdict(list)
    for line in _locked(session, query, broadcast):
        if line.listing_id is not None:
            groups[line.listing_id, now].append(line)
    return groups


def _locked(session: Session, query: SelectOfScalar[SalesLine], broadcast: str | None) -> Iterator[SalesLine]:
    if broadcast is not None:
        query = query.where(SalesLine.broadcast_id == broadcast)
    ordered = query.order_by(col(SalesLine.id)).with_for_update().execution_options(populate_existing=True)
    return iter(session.exec(ordered))


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _say(
    session: Session,
    action: Action,
    listing_id: int,
    minute: datetime,
    lines: Sequence[SalesLine],
    *,
    now: datetime,
    zone: str,
) -> str:
    listing = session.get_one(Listing, listing_id)
    host = session.get_one(Broadcast, listing.broadcast_id).host
    pieces = sum(line.quantity for line in lines)
    at = min(minute + _MINUTE, now) if action is Action.ADD else now
    said = events.Said.by(host, at=at, zone=zone)
    # The salt keeps anyone from guessing order numbers against the digest.
    text = msgspec.json.encode(
        {"salt": new_serial(26), "lines": [[n.source, n.order_ref, n.line_no, n.quantity] for n in lines]}
    )
    total_fen = sum(line.quantity * line.unit_price_fen for line in lines)
    event = events.sold(
        said,
        action=action,
        sale_document=listing.sale_document,
        broadcast=listing.broadcast_id,
        product=product_id(listing.gtin),
        pieces=pieces,
        owner=listing.owner,
        sale={
            "gy:tier": listing.tier,
            "gy:orderLines": len(lines),
            "gy:nominalMassG": pieces * listing.nominal_mass_g,
            "gy:linesDigest": ni_uri(sha256(text).digest()),
        },
        digests=commit_fields(session, said.event_id, {"totalFen": str(total_fen)}),
    )
    record(session, event, now=now)
    session.add(SaleMinute(event_id=said.event_id, listing_id=listing_id, lines=text))
    for line in lines:
        if action is Action.ADD:
            line.sold_event_id = said.event_id
        else:
            line.unsold_event_id = said.event_id
        session.add(line)
    session.flush()
    return said.event_id
