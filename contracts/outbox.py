"""The outbox as the rest of the system reads it. Written by `contracts.anchor` alone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, func, select

from contracts import trouble
from contracts.heads import Place
from contracts.models import Anchor, AnchorState
from contracts.policy import Backlog, Policy, choose
from contracts.transactions import GWEI
from ledger.kernel.settings import Settings
from ledger.log import latest_checkpoint
from ledger.models import Checkpoint

UNSETTLED: Final = (AnchorState.SIGNED, AnchorState.BROADCAST, AnchorState.INCLUDED)
ON_ITS_WAY: Final = (*UNSETTLED, AnchorState.FINAL)
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


def policy_of(settings: Settings) -> Policy:
    """Return the policy an installation's settings describe."""
    return Policy(
        after_s=settings.anchor_after_s,
        after_entries=settings.anchor_after_entries,
        fee_wei=round(settings.anchor_fee_gwei * GWEI),
        cheap_percent=settings.anchor_cheap_percent,
        max_fee_wei=round(settings.max_fee_gwei * GWEI),
    )


def largest(session: Session, states: Sequence[AnchorState], *, origin: str, place: Place | None = None) -> int:
    """Return the leaves of the largest head in one of these states, or 0."""
    wanted = select(func.max(Anchor.size)).where(
        Anchor.log_origin == origin, col(Anchor.state).in_(states), *_at(place)
    )
    return session.exec(wanted).one() or 0


def backlog(session: Session, *, origin: str, place: Place | None = None) -> Backlog:
    """Return what is published and neither in the chain nor on its way there."""
    anchored = largest(session, ON_ITS_WAY, origin=origin, place=place)
    newest = latest_checkpoint(session)
    return Backlog(
        anchored=anchored,
        oldest_at=_signed_beyond(session, anchored),
        newest=newest.size if newest else 0,
    )


def needs_a_look(session: Session, policy: Policy, *, origin: str, now: datetime) -> bool:
    """Whether the chain has to be asked: something is on its way, or may be sent now. Asks only our own tables."""
    if trouble.is_waiting(session, origin=origin, now=now):
        return False
    if unsettled(session, origin=origin):
        return True
    choice = choose(policy, backlog(session, origin=origin), fee=None, now=now)
    return choice.size is not None or choice.asks_fee


def waiting_since(session: Session, *, origin: str) -> datetime | None:
    """Return when the oldest published head was signed that no block holds, or None."""
    held = largest(session, IN_CHAIN, origin=origin)
    return _signed_beyond(session, held)


def counts(session: Session, *, origin: str) -> dict[AnchorState, int]:
    """Return how many anchors are in each state, those with none included."""
    wanted = select(Anchor.state, func.count()).where(Anchor.log_origin == origin).group_by(Anchor.state)
    found = dict(session.exec(wanted).all())
    return {state: found.get(state, 0) for state in AnchorState}


def _signed_beyond(session: Session, size: int) -> datetime | None:
    """Return when the first head of more leaves was signed, or None."""
    wanted = select(Checkpoint.signed_at).where(col(Checkpoint.size) > size).order_by(col(Checkpoint.size)).limit(1)
    return session.exec(wanted).one_or_none()


def _at(place: Place | None) -> tuple[ColumnElement[bool], ...]:
    if place is None:
        return ()
    return col(Anchor.chain_id) == place.chain_id, col(Anchor.contract) == place.contract
