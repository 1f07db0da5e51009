"""What the embedded chain need not keep: the nodes of states that are over.

A block leaves its header, its transaction and its receipt, which prove what was anchored; the state before it
is only of use to whoever asks what a balance used to be, and it is most of what a block writes.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import rlp  # type: ignore[import-untyped]  # it has no stubs
from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3
from eth.db.schema import SchemaV1
from eth.db.trie import make_trie_root_and_nodes

_HASH_BYTES: Final = 32
_LEAF: Final = 0x20
"""A bit in the first byte of a two-item node's path: it is a leaf, not an extension (Yellow Paper, appendix C)."""


def stale(
    nodes: Mapping[bytes, bytes], *, written: Iterable[bytes], before: bytes, block: Any, receipts: Any
) -> set[bytes]:
    """Return the keys that may be dropped once a block is there: of the state before it, and of its own making.

    `written` are the keys the block wrote, `before` is its parent's state root.
    """
    kept = {block.hash} | reachable(nodes, block.header.state_root)
    for items in (block.transactions, receipts):
        kept |= make_trie_root_and_nodes(items)[1].keys()
    made = {key for key in written if len(key) == _HASH_BYTES}  # what is looked up by name is longer
    # Only the newest block's total difficulty is ever asked for, to add the next one's to it.
    score = SchemaV1.make_block_hash_to_score_lookup_key(block.header.parent_hash)
    return ((made | reachable(nodes, before)) - kept) | {score}


def reachable(nodes: Mapping[bytes, bytes], state_root: bytes) -> set[bytes]:
    """Return the keys of a state: the nodes of its accounts and of their storage, and their code.

    It reads them all: some dozens, on a chain of ours.
    """
    found: set[bytes] = set()
    for account in _values(nodes, state_root, found):
        _nonce, _balance, storage_root, code_hash = rlp.decode(account)
        _values(nodes, storage_root, found)
        if code_hash != EMPTY_SHA3:
            found.add(code_hash)
    return found


def _values(nodes: Mapping[bytes, bytes], root: bytes, found: set[bytes]) -> list[bytes]:
    """Return the values in a trie, and put the keys of its nodes into `found`."""
    values: list[bytes] = []
    waiting: list[Any] = [] if root == BLANK_ROOT_HASH else [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, bytes):  # a node of its own; shorter ones stand inside the node above
            if not node:
                continue
            found.add(node)
            node = rlp.decode(nodes[node])
        if len(node) == 2:
            path, below = node
            if path[0] & _LEAF:
                values.append(below)
            else:
                waiting.append(below)
        else:
            waiting += node[:16]  # the seventeenth is a value, which keys of one length do not have
    return values
