"""Transactions of ours: what they cost, and what became of them. Wei and gas are whole numbers."""

from dataclasses import dataclass

from contracts.heads import AnchoredHead


@dataclass(frozen=True, slots=True)
class Fees:
    """What a unit of gas may cost, in wei (EIP-1559)."""

    max_wei: int
    priority_wei: int


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


def raise_fees(paid: Fees, asked: Fees) -> Fees:
    """Return fees that replace a stuck transaction: what the chain asks now, and at least an eighth more.

    Nodes refuse a replacement that does not raise both fees, most by a tenth.
    """
    priority = max(_eighth_more(paid.priority_wei), asked.priority_wei)
    return Fees(max_wei=max(_eighth_more(paid.max_wei), asked.max_wei, priority), priority_wei=priority)


def _eighth_more(wei: int) -> int:
    return wei + max(1, -(-wei // 8))
