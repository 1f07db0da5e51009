"""How anchoring stands: how far each head has come, whether one is late, what is in the way, and what it costs."""

from datetime import datetime

from pydantic import BaseModel
from sqlmodel import Session

from contracts import outbox, trouble
from contracts.costs import costs
from contracts.models import AnchorState
from contracts.policy import is_late
from ledger.kernel.clock import format_time
from ledger.kernel.settings import Settings


class AnchoringTrouble(BaseModel):
    """What keeps anchors from going on."""

    code: str
    message: str
    since: str
    times: int
    retry_at: str


class AnchoringCost(BaseModel):
    """What anchoring has cost since the first anchor, refused transactions included."""

    anchors: int
    events: int
    gas: int
    fee_wei: int
    gas_per_event: float
    fee_wei_per_event: float


class Anchoring(BaseModel):
    """How anchoring stands. Only what is final counts as anchored."""

    by_state: dict[str, int]
    sent_size: int
    """Entries under the largest head that is signed, broadcast, included or final."""
    included_size: int
    """Entries under the largest head that a block holds."""
    final_size: int
    """Entries under the largest head whose block is deep enough."""
    is_late: bool
    """A published head has waited longer than the configured delay for a block."""
    waiting_since: str | None
    trouble: AnchoringTrouble | None
    cost: AnchoringCost


def anchoring(session: Session, settings: Settings, *, now: datetime) -> Anchoring:
    """Return how anchoring stands."""
    origin = settings.log_origin
    since, found = outbox.waiting_since(session, origin=origin), trouble.trouble(session, origin=origin)
    total = costs(session, origin=origin).total
    return Anchoring(
        by_state={state.value: count for state, count in outbox.counts(session, origin=origin).items()},
        sent_size=outbox.largest(session, outbox.ON_ITS_WAY, origin=origin),
        included_size=outbox.largest(session, outbox.IN_CHAIN, origin=origin),
        final_size=outbox.largest(session, (AnchorState.FINAL,), origin=origin),
        is_late=is_late(outbox.policy_of(settings), since, now=now),
        waiting_since=format_time(since) if since else None,
        trouble=None
        if found is None
        else AnchoringTrouble(
            code=found.code,
            message=found.message,
            since=format_time(found.since),
            times=found.times,
            retry_at=format_time(found.retry_at),
        ),
        cost=AnchoringCost(
            anchors=total.anchors,
            events=total.events,
            gas=total.gas,
            fee_wei=total.fee_wei,
            gas_per_event=round(total.gas_per_event or 0.0, 4),
            fee_wei_per_event=round(total.wei_per_event or 0.0, 2),
        ),
    )
