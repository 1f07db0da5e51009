"""Heads of a log, as the contract holds and announces them."""

from dataclasses import dataclass
from hashlib import sha256


def log_id(origin: str) -> bytes:
    """Return the name the contract knows a log by: the SHA-256 of its origin line."""
    return sha256(origin.encode()).digest()


@dataclass(frozen=True, slots=True)
class Place:
    """Where heads are anchored: a contract of ours on a chain."""

    chain_id: int
    contract: str


@dataclass(frozen=True, slots=True)
class Head:
    """The newest head the contract holds for a log; size 0 while there is none."""

    size: int
    root: bytes
    block: int


@dataclass(frozen=True, slots=True)
class AnchoredHead:
    """One `HeadAnchored` event."""

    log_id: bytes
    size: int
    root: bytes
    previous_size: int
    block: int
    block_hash: bytes
    tx_hash: bytes
