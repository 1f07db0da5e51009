"""Sale platforms: one file each. A platform proves a message and turns it into one of our types.

A message is a fact that a buyer has paid: it cannot be refused for lack of stock, only for being
forged, stale or unreadable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from ledger.kernel.ids import DocumentId


@dataclass(frozen=True, slots=True)
class PaidLine:
    """One line of a paid order."""

    line_no: int
    tier: str
    quantity: int
    unit_price_fen: int


@dataclass(frozen=True, slots=True)
class PaidOrder:
    """A buyer has paid."""

    source: str
    message_id: str
    body: bytes
    order_ref: str
    broadcast: DocumentId
    paid_at: datetime
    lines: tuple[PaidLine, ...]


@dataclass(frozen=True, slots=True)
class CancelledOrder:
    """A paid order is off. May arrive before the order itself."""

    source: str
    message_id: str
    body: bytes
    order_ref: str


Message: TypeAlias = PaidOrder | CancelledOrder


class OrderSource(Protocol):
    """A sale platform that sends its orders."""

    name: str

    def read(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Message:
        """Return the message, proven to come from the platform. Raises MessageError."""
        ...
