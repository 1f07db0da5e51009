"""What anchoring costs: for an event, for a day, and beside what other ways of anchoring would have cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from typing import Final

from sqlmodel import Session, col, select

from contracts.models import Anchor
from contracts.outbox import IN_CHAIN

PER_EVENT_GAS: Final = 45_170
"""A transaction that stores one event's hash."""
TIMESTAMP_GAS: Final = 45_743
"""A transaction that stores a root and the time, as attestation services do; no head extends another."""
TWO_SLOT_GAS: Final = 73_749
"""A transaction that stores a root, its size and the time in two slots, and checks nothing."""
# The three are measured by tests/benchmarks/bench_contracts.py on contracts/test/baselines.


@dataclass(frozen=True, slots=True)
class Cost:
    """What some anchors took. Refused transactions are paid for too, and counted."""

    anchors: int = 0
    events: int = 0
    gas: int = 0
    fee_wei: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.anchors + other.anchors,
            self.events + other.events,
            self.gas + other.gas,
            self.fee_wei + other.fee_wei,
        )

    @property
    def gas_per_event(self) -> float | None:
        """Gas for an event; None where none was anchored."""
        return self.gas / self.events if self.events else None

    @property
    def wei_per_event(self) -> float | None:
        """Wei for an event; None where none was anchored."""
        return self.fee_wei / self.events if self.events else None

    @property
    def others_gas(self) -> dict[str, int]:
        """Gas the same anchors, or events, would have taken another way."""
        return {
            "transaction_per_event": PER_EVENT_GAS * self.events,
            "two_slot_store": TWO_SLOT_GAS * self.anchors,
            "timestamp_of_a_root": TIMESTAMP_GAS * self.anchors,
        }


@dataclass(frozen=True, slots=True)
class Costs:
    """What anchoring has cost, day by day, oldest first."""

    days: tuple[tuple[date, Cost], ...]

    @property
    def total(self) -> Cost:
        """All days together."""
        return sum((cost for _, cost in self.days), Cost())


def costs(session: Session, *, origin: str, zone: tzinfo = UTC) -> Costs:
    """Return what anchoring a log has cost, on every chain it was anchored in; days as a zone counts them.

    An event is counted with the first anchor that covered it.
    """
    wanted = select(Anchor).where(Anchor.log_origin == origin, col(Anchor.gas_used).is_not(None))
    return summed(session.exec(wanted.order_by(col(Anchor.id))), zone=zone)


def summed(rows: Iterable[Anchor], *, zone: tzinfo) -> Costs:
    """Return what these anchors, in the order they were signed, cost on each day."""
    days: dict[date, Cost] = {}
    covered = 0
    for row in rows:
        is_held = row.state in IN_CHAIN
        events = max(row.size - covered, 0) if is_held else 0
        covered += events
        day = (row.included_at or row.signed_at).astimezone(zone).date()
        cost = Cost(int(is_held), events, row.gas_used or 0, row.fee_wei or 0)
        days[day] = days.get(day, Cost()) + cost
    return Costs(tuple(sorted(days.items())))
