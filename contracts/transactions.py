"""Transactions of ours: what they cost, and what became of them. Wei and gas are whole numbers."""

from dataclasses import dataclass
from typing import Final

from contracts.heads import AnchoredHead

GWEI: Final = 10**9


@dataclass(frozen=True, slots=True)
class Fees:
    """What a unit of gas may cost, in wei (EIP-1559)."""

    max_wei: int
    priority_wei: int

    def at_most(self, caps: "Fees") -> "Fees":
        """Return these fees, neither above its cap."""
        max_wei = min(self.max_wei, caps.max_wei)
        return Fees(max_wei=max_wei, priority_wei=min(self.priority_wei, caps.priority_wei, max_wei))


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A transaction that can be sent any number of times and counts once."""

    raw: bytes
    tx_hash: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction that is in a block."""

    tx_hash: bytes
    block: int
    block_hash: bytes
    succeeded: bool
    gas_used: int
    fee_wei: int
    heads: tuple[AnchoredHead, ...]


def raise_fees(paid: Fees, asked: Fees, *, caps: Fees) -> Fees | None:
    """Return fees that replace a stuck transaction: what the chain asks now, and at least an eighth more of both.

    Nodes refuse a replacement that does not raise both, most by a tenth. None where an eighth more passes a cap.
    """
    least = Fees(max_wei=_eighth_more(paid.max_wei), priority_wei=_eighth_more(paid.priority_wei))
    if least.max_wei > caps.max_wei or least.priority_wei > caps.priority_wei:
        return None
    priority = min(max(least.priority_wei, asked.priority_wei), caps.priority_wei, caps.max_wei)
    return Fees(max_wei=min(max(least.max_wei, asked.max_wei, priority), caps.max_wei), priority_wei=priority)


def _eighth_more(wei: int) -> int:
    return wei + max(1, -(-wei // 8))
