"""The outbox as the rest of the system reads it. Written by `contracts.anchor` alone."""

from datetime import datetime, timedelta
from typing import Final, Protocol

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, func, select

from contracts.heads import Place
from contracts.models import Anchor, AnchorState

UNSETTLED: Final = (AnchorState.SIGNED, AnchorState.BROADCAST, AnchorState.INCLUDED)
IN_CHAIN: Final = (AnchorState.INCLUDED, AnchorState.FINAL)


class TreeHead(Protocol):
    """A head to be anchored: a published checkpoint, or anything that has its size and root."""

    @property
    def size(self) -> int:
        """Leaves in the tree."""
        ...

    @property
    def root(self) -> bytes:
        """Root hash of the tree."""
        ...


def anchors(session: Session, *, origin: str, place: Place | None = None, limit: int = 100) -> list[Anchor]:
    """Return the newest anchors of a log, the largest first, in whatever state; of one place, where one is given."""
    wanted = select(Anchor).where(Anchor.log_origin == origin, *_at(place))
    return list(session.exec(wanted.order_by(col(Anchor.size).desc(), col(Anchor.id).desc()).limit(limit)))


def unsettled(session: Session, *, origin: str, place: Place | None = None) -> list[Anchor]:
    """Return the anchors that still have a way to go, in the order they were signed."""
    wanted = select(Anchor).where(Anchor.log_origin == origin, col(Anchor.state).in_(UNSETTLED), *_at(place))
    return list(session.exec(wanted.order_by(col(Anchor.nonce), col(Anchor.id))))


def latest_final(session: Session, *, origin: str) -> Anchor | None:
    """Return the anchor of the largest head that is final, or None."""
    wanted = select(Anchor).where(Anchor.log_origin == origin, Anchor.state == AnchorState.FINAL)
    return session.exec(wanted.order_by(col(Anchor.size).desc(), col(Anchor.id).desc()).limit(1)).one_or_none()


def covering(session: Session, *, origin: str, index: int) -> Anchor | None:
    """Return the first final anchor whose tree holds the leaf at an index, or None while there is none."""
    wanted = select(Anchor).where(
        Anchor.log_origin == origin, Anchor.state == AnchorState.FINAL, col(Anchor.size) > index
    )
    return session.exec(wanted.order_by(col(Anchor.size), col(Anchor.id)).limit(1)).one_or_none()


def gas_per_event(session: Session, *, origin: str) -> float | None:
    """Return the gas spent so far for each leaf anchored, or None before the first anchor."""
    wanted = select(func.sum(Anchor.gas_used), func.max(Anchor.size)).where(
        Anchor.log_origin == origin, col(Anchor.state).in_(IN_CHAIN), col(Anchor.gas_used).is_not(None)
    )
    gas, leaves = session.exec(wanted).one()
    return gas / leaves if gas and leaves else None


def is_due(session: Session, head: TreeHead, *, origin: str, after_s: float, now: datetime) -> bool:
    """Whether a published head should be anchored now: it is new, nothing is on its way, the last is old enough."""
    newest = next(iter(anchors(session, origin=origin, limit=1)), None)
    if newest is None:
        return head.size > 0
    if newest.state is AnchorState.REFUSED:
        return head.size >= newest.size
    if newest.state in (AnchorState.SIGNED, AnchorState.BROADCAST) or head.size <= newest.size:
        return False
    return now - newest.signed_at >= timedelta(seconds=after_s)


def _at(place: Place | None) -> tuple[ColumnElement[bool], ...]:
    if place is None:
        return ()
    return col(Anchor.chain_id) == place.chain_id, col(Anchor.contract) == place.contract
