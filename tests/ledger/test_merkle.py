"""RFC 9162, section 2.1: against known answers, the RFC's own definition, and another library."""

import itertools
from collections.abc import Sequence
from hashlib import sha256

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle
from ledger.errors import VerificationError

SMALL = 64
LEAVES = [merkle.leaf_hash(i.to_bytes(2, "big")) for i in range(300)]

# The tree that RFC 6962 implementations share as their first test.
KNOWN_ENTRIES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
KNOWN_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def mth(d: Sequence[bytes]) -> bytes:
    """MTH as 2.1.1 writes it."""
    n = len(d)
    if n == 0:
        return sha256(b"").digest()
    if n == 1:
        return d[0]
    k = largest_power_below(n)
    return sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: Sequence[bytes]) -> list[bytes]:
    """PATH as 2.1.3.1 writes it."""
    n = len(d)
    if n == 1:
        return []
    k = largest_power_below(n)
    return [*path(m, d[:k]), mth(d[k:])] if m < k else [*path(m - k, d[k:]), mth(d[:k])]


def subproof(m: int, d: Sequence[bytes], *, b: bool) -> list[bytes]:
    """SUBPROOF as 2.1.4.1 writes it."""
    n = len(d)
    if m == n:
        return [] if b else [mth(d)]
    k = largest_power_below(n)
    if m <= k:
        return [*subproof(m, d[:k], b=b), mth(d[k:])]
    return [*subproof(m - k, d[k:], b=False), mth(d[:k])]


def largest_power_below(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def test_the_known_answers() -> None:
    leaves = [merkle.leaf_hash(entry) for entry in KNOWN_ENTRIES]
    assert merkle.EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert [merkle.root(leaves[:n]).hex() for n in range(1, 9)] == KNOWN_ROOTS
    assert [p.hex()[:8] for p in merkle.prove_inclusion(5, leaves)] == ["bc1a0643", "ca854ea1", "d37ee418"]


@pytest.mark.parametrize("n", range(SMALL + 1))
def test_every_small_proof_is_the_rfcs_and_verifies(n: int) -> None:
    leaves, root = LEAVES[:n], mth(LEAVES[:n])
    assert merkle.root(leaves) == root
    for m in range(n):
        proof = merkle.prove_inclusion(m, leaves)
        assert proof == path(m, leaves)
        merkle.verify_inclusion(leaves[m], m, n, proof, root)
    for m in range(n + 1):
        proof = merkle.prove_consistency(m, leaves)
        assert proof == (subproof(m, leaves, b=True) if 0 < m < n else [])
        merkle.verify_consistency(m, n, mth(LEAVES[:m]), root, proof)


@pytest.mark.parametrize("n", range(1, 24))
def test_no_proof_verifies_anywhere_else(n: int) -> None:
    leaves, root = LEAVES[:n], merkle.root(LEAVES[:n])
    for m in range(n):
        proof = merkle.prove_inclusion(m, leaves)
        for other in range(n):
            if other != m:
                with pytest.raises(VerificationError):
                    merkle.verify_inclusion(leaves[m], other, n, proof, root)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 100, 255, 300])
def test_pymerkle_agrees(size: int) -> None:
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for i in range(size):
        tree.append_entry(i.to_bytes(2, "big"))
    assert tree.get_root() == merkle.root(LEAVES[:size])
    for m in {0, size // 2, size - 1}:
        theirs = tree.prove_inclusion(m + 1)
        pymerkle.verify_inclusion(LEAVES[m], merkle.root(LEAVES[:size]), theirs)


@given(st.data())
def test_a_changed_proof_never_verifies(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 300))
    m = data.draw(st.integers(0, n - 1))
    proof, root = merkle.prove_inclusion(m, LEAVES[:n]), merkle.root(LEAVES[:n])
    merkle.verify_inclusion(LEAVES[m], m, n, proof, root)
    at, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    changed = bytearray(proof[at])
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(VerificationError):
        merkle.verify_inclusion(LEAVES[m], m, n, [*proof[:at], bytes(changed), *proof[at + 1 :]], root)


@given(st.integers(0, 300), st.integers(0, 300), st.binary(min_size=32, max_size=32))
def test_a_tree_extends_only_what_it_extends(m: int, n: int, forged: bytes) -> None:
    m, n = sorted((m, n))
    first, second = merkle.root(LEAVES[:m]), merkle.root(LEAVES[:n])
    proof = merkle.prove_consistency(m, LEAVES[:n])
    merkle.verify_consistency(m, n, first, second, proof)
    with pytest.raises(VerificationError):
        merkle.verify_consistency(m, n, forged, second, proof)
    if m:
        with pytest.raises(VerificationError):
            merkle.verify_consistency(m, n, first, forged, proof)


@given(st.integers(1, 2**53), st.data())
def test_the_ranges_of_an_inclusion_proof_cover_the_tree_once(n: int, data: st.DataObject) -> None:
    m = data.draw(st.integers(0, n - 1))
    spans = sorted([(m, m + 1), *merkle.inclusion_ranges(m, n)])
    assert spans[0][0] == 0
    assert spans[-1][1] == n
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))


@given(st.integers(1, 2**53), st.data())
def test_the_ranges_of_a_consistency_proof_split_at_the_smaller_tree(n: int, data: st.DataObject) -> None:
    m = data.draw(st.integers(1, n))
    assert all(end <= m or start >= m for start, end in merkle.consistency_ranges(m, n))


@pytest.mark.parametrize(("m", "n"), [(-1, 3), (3, 3), (0, 0), (7, 3)])
def test_there_is_no_path_to_a_leaf_that_is_not_there(m: int, n: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_ranges(m, n)
