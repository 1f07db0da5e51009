"""What a chain must show before it is believed.

A door to a chain may be behind, cut off, or lie. What one answer says is held against others: an anchor
counts only where its receipt, the block at that height, the contract's event and state, and the account's
count of transactions all say the same. A door that lies in all of them is caught by a second door alone.
"""

from collections.abc import Iterable
from typing import Final

from contracts.chain import Chain
from contracts.errors import ChainMismatchError, ChainUnreachableError
from contracts.models import Anchor
from contracts.transactions import Receipt

_MOST: Final = 2**63
"""No block number, gas or fee in wei comes near."""


def require_same_chain(chain: Chain) -> None:
    """Raise ChainMismatchError where the door now leads to another chain than when it was opened."""
    said = chain.ask("eth_chainId", []).get("result")
    if said is None:
        raise ChainUnreachableError("it does not say which chain it is")
    if said != hex(chain.chain_id):
        raise ChainMismatchError(f"the door led to chain {chain.chain_id}, and now says {said!s:.20}")


def receipt_of(chain: Chain, hashes: Iterable[bytes]) -> Receipt | None:
    """Return the receipt of the first of these transactions that a block holds; a failed one only where none did.

    Raises ChainMismatchError for a receipt of something else than what was asked for.
    """
    failed: Receipt | None = None
    for tx_hash in hashes:
        found = chain.receipt(tx_hash)
        if found is not None and (found.tx_hash != tx_hash or not _is_possible(found)):
            raise ChainMismatchError(f"asked for 0x{tx_hash.hex()}, the chain answers with no receipt of it")
        if found is not None and found.succeeded:
            return found
        failed = failed or found
    return failed


def shows_head(receipt: Receipt, row: Anchor, *, name: bytes) -> bool:
    """Whether a receipt holds the event that anchors this head."""
    return any((head.log_id, head.size, head.root) == (name, row.size, row.root) for head in receipt.heads)


def is_deep(door: Chain, block: int, *, confirmations: int) -> bool:
    """Whether so many blocks stand on one, each asked for itself, or the chain itself calls it final."""
    return door.block_hash(block + confirmations) is not None or block <= door.finalized_block()


def is_final(door: Chain, row: Anchor, receipt: Receipt, *, name: bytes, nonce: int | None, confirmations: int) -> bool:
    """Whether a door shows an anchor in every way it can, at least so many blocks deep.

    `receipt` is the one that is believed so far, from this door or another. False while it is not that deep.
    Raises ChainMismatchError where the answers contradict each other.
    """
    require_same_chain(door)
    if not is_deep(door, receipt.block, confirmations=confirmations):
        return False
    found = door.receipt(receipt.tx_hash)
    if found is None or (found.block, found.block_hash) != (receipt.block, receipt.block_hash):
        return False  # reorganised in between, or this door is behind
    if not (found.succeeded and shows_head(found, row, name=name)):
        raise ChainMismatchError(f"0x{receipt.tx_hash.hex()} anchored, says one answer; another shows no such head")
    event = door.find_anchor(name, row.size)
    if event is None or (event.root, event.tx_hash) != (row.root, receipt.tx_hash):
        raise ChainMismatchError(f"the chain shows a receipt for {row.size} leaves, and no such event")
    if (event.block, event.block_hash) != (receipt.block, receipt.block_hash):
        return False  # moved by a reorganisation, or the receipt names an older block than the true one
    if door.head(name).size < row.size:
        raise ChainMismatchError(f"the chain shows an event for {row.size} leaves, and the contract does not hold them")
    if nonce is not None and door.nonce(row.sender) <= nonce:
        raise ChainMismatchError(f"the chain shows transaction {nonce} in a block, and counts fewer")
    # Asked last: a reorganisation between the questions shows as another hash at this height.
    return door.block_hash(receipt.block) == receipt.block_hash


def _is_possible(receipt: Receipt) -> bool:
    numbers = (receipt.block, receipt.gas_used, receipt.fee_wei)
    return len(receipt.block_hash) == 32 and all(0 <= number < _MOST for number in numbers)
