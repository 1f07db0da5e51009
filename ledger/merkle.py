"""The Merkle tree of RFC 9162, section 2.1, with SHA-256. Letters are the RFC's.

Pure. Proofs are made of ranges of leaves first (`inclusion_ranges`, `consistency_ranges`), so that a
store can fetch every node it needs at once, and of hashes second.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from ledger.errors import VerificationError

EMPTY_ROOT: Final = sha256(b"").digest()
"""MTH of the empty list (2.1.1)."""

Range = tuple[int, int]
"""Leaves from the first up to, not including, the second."""


def leaf_hash(d: bytes) -> bytes:
    """Return the hash of a leaf that holds the bytes d."""
    return sha256(b"\x00" + d).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above two others."""
    return sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Return MTH(D[n]), given the leaf hashes."""
    if not leaves:
        return EMPTY_ROOT
    row = list(leaves)
    while len(row) > 1:
        above = [node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        if len(row) % 2:  # the odd one stands for itself: k is the largest power of two below n
            above.append(row[-1])
        row = above
    return row[0]


# --- which ranges a proof is made of -------------------------------------------------------------


def inclusion_ranges(m: int, n: int) -> list[Range]:
    """Return the ranges of leaves whose hashes are PATH(m, D[n]) (2.1.3.1), from the leaf upward."""
    if not 0 <= m < n:
        raise ValueError(f"no leaf {m} in a tree of {n}")
    start, path = 0, []
    while n > 1:
        k = _split(n)
        if m < k:
            path.append((start + k, start + n))
            n = k
        else:
            path.append((start, start + k))
            start, m, n = start + k, m - k, n - k
    path.reverse()
    return path


def consistency_ranges(m: int, n: int) -> list[Range]:
    """Return the ranges whose hashes are PROOF(m, D[n]) (2.1.4.1). Nothing for m = n or m = 0."""
    if not 0 <= m <= n:
        raise ValueError(f"a tree of {n} has no smaller tree of {m}")
    if m in (0, n):
        return []
    start, path, whole = 0, [], True
    while m != n:
        k = _split(n)
        if m <= k:
            path.append((start + k, start + n))
            n = k
        else:
            path.append((start, start + k))
            start, m, n, whole = start + k, m - k, n - k, False
    if not whole:
        path.append((start, start + n))
    path.reverse()
    return path


def subtrees(start: int, end: int) -> list[tuple[int, int]]:
    """Return the full subtrees (level, number) that make up a range of leaves, from the left.

    The range must begin where RFC 9162 lets one begin: its hash is then `fold` of their hashes.
    """
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the hash over neighbouring full subtrees given from the left, largest first."""
    folded = hashes[-1]
    for left in reversed(hashes[:-1]):
        folded = node_hash(left, folded)
    return folded


def prove_inclusion(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return PATH(m, D[n]) for leaf hashes held in memory."""
    return [root(leaves[a:b]) for a, b in inclusion_ranges(m, len(leaves))]


def prove_consistency(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return PROOF(m, D[n]) for leaf hashes held in memory."""
    return [root(leaves[a:b]) for a, b in consistency_ranges(m, len(leaves))]


# --- verification --------------------------------------------------------------------------------


def verify_inclusion(leaf: bytes, m: int, n: int, path: Sequence[bytes], expected: bytes) -> None:
    """Check that a leaf hash stands at m under the root of a tree of n (2.1.3.2)."""
    if not 0 <= m < n:
        raise VerificationError(f"leaf {m} cannot stand in a tree of {n}")
    fn, sn, r = m, n - 1, leaf
    for p in path:
        if sn == 0:
            raise VerificationError(f"the inclusion path of leaf {m} is too long")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise VerificationError(f"the inclusion path of leaf {m} is too short")
    if r != expected:
        raise VerificationError(f"leaf {m} is not under the root of the tree of {n}")


def verify_consistency(m: int, n: int, first: bytes, second: bytes, path: Sequence[bytes]) -> None:
    """Check that the tree (n, second) extends the tree (m, first) (2.1.4.2)."""
    if not 0 <= m <= n:
        raise VerificationError(f"a tree of {n} cannot extend one of {m}")
    if m in (0, n):
        if path:
            raise VerificationError("a consistency proof between equal or empty trees must be empty")
        if (m == n and first != second) or (m == 0 and first != EMPTY_ROOT):
            raise VerificationError(f"two roots are claimed for one tree of {m}")
        return
    fn, sn = m - 1, n - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    rest = list(path)
    # 2.1.4.2 step 2: when m is a power of two, its root is not repeated in the proof.
    if fn:
        if not rest:
            raise VerificationError("the consistency proof is too short")
        fr = sr = rest.pop(0)
    else:
        fr = sr = first
    for c in rest:
        if sn == 0:
            raise VerificationError("the consistency proof is too long")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise VerificationError("the consistency proof is too short")
    if fr != first or sr != second:
        raise VerificationError(f"the tree of {n} does not extend the tree of {m}")


NodeReader = Callable[[int, int], bytes]
"""Gives the hash of the full subtree (level, number)."""


def hash_of(span: Range, node: NodeReader) -> bytes:
    """Return the hash of a range of leaves from the full subtrees under it."""
    return fold([node(level, number) for level, number in subtrees(*span)])


def _split(n: int) -> int:
    """The largest power of two smaller than n, for n > 1: the RFC's k."""
    return 1 << ((n - 1).bit_length() - 1)
