"""Which sold line gets which pack, and what is still missing."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import Session, col, select

from orders.allocation import LineState
from orders.models import Listing, Pack, SalesLine


@dataclass(frozen=True, slots=True)
class Shortage:
    """A listing that has sold more pieces than are packed so far."""

    listing_id: int
    broadcast_id: str
    tier: str
    gtin: str
    sold: int
    packed: int

    @property
    def missing(self) -> int:
        """Pieces still to be packed."""
        return self.sold - self.packed


def assign(session: Session, pack: Pack) -> SalesLine | None:
    """Give a pack to the line that waits longest for its product; None while nobody waits."""
    line = session.exec(
        select(SalesLine)
        .join(Listing, col(Listing.id) == SalesLine.listing_id)
        .where(
            Listing.gtin == pack.gtin,
            SalesLine.state == LineState.HELD,
            SalesLine.packed < SalesLine.quantity,
        )
        .order_by(col(SalesLine.taken_at), col(SalesLine.id))
        .limit(1)
        .with_for_update(of=SalesLine)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if line is None:
        return None
    line.packed += 1
    pack.line_id = line.id
    session.add_all([line, pack])
    session.flush()
    return line


def free_packs(session: Session, lines: Sequence[SalesLine]) -> list[Pack]:
    """Take the packs that have not been loaded yet from some lines, which the caller has locked."""
    by_id = {line.id: line for line in lines}
    freed = session.exec(
        select(Pack)
        .where(col(Pack.line_id).in_(by_id), col(Pack.load_id).is_(None))
        .order_by(Pack.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    for pack in freed:
        by_id[pack.line_id].packed -= 1
        pack.line_id = None
        session.add(pack)
    session.flush()
    return list(freed)


def assign_spare(session: Session) -> int:
    """Give every pack nobody has yet to a line that waits for it; return how many found one."""
    spare = session.exec(
        select(Pack).where(col(Pack.line_id).is_(None), col(Pack.load_id).is_(None)).order_by(Pack.packed_at, Pack.id)  # type: ignore[arg-type]  # columns, typed as their values
    ).all()
    return sum(assign(session, pack) is not None for pack in spare)


def shortages(session: Session, broadcast_id: str | None = None) -> list[Shortage]:
    """Return the listings with sold pieces not packed yet, by listing."""
    query = (
        select(Listing, func.sum(SalesLine.quantity), func.sum(SalesLine.packed))
        .join(SalesLine, col(SalesLine.listing_id) == Listing.id)
        .where(SalesLine.state == LineState.HELD)
        .group_by(col(Listing.id))
        .order_by(col(Listing.id))
    )
    if broadcast_id is not None:
        query = query.where(Listing.broadcast_id == broadcast_id)
    return [
        Shortage(row.id or 0, row.broadcast_id, row.tier, row.gtin, sold=int(sold), packed=int(packed))
        for row, sold, packed in session.exec(query)
        if sold > packed
    ]
