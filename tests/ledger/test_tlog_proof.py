"""C2SP tlog-proof files. The ways one can be wrong are in tests/vectors/tlog_proof.json."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle
from ledger.checkpoint import LogSigner
from ledger.cosign import WitnessSigner
from ledger.errors import VerificationError
from ledger.policy import Policy
from ledger.tlog_proof import MAX_FILE_BYTES, TlogProof, is_tlog_proof, verify

LOG = LogSigner("guoyuan.example/sample-log", bytes(32))
NORTH = WitnessSigner("witness.example/north", b"n" * 32)
ENTRIES = [f"entry {number}".encode() for number in range(21)]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]
NOTE = LOG.sign(21, merkle.root(LEAVES))
COSIGNED = NOTE + NORTH.cosign(NOTE, time_s=7)
POLICY = Policy.parse(f"log {LOG.key.text()}\nwitness n {NORTH.key.text()}\nquorum n\n".encode())


def proof_of(index: int, *, note: str = NOTE, extra: bytes | None = None) -> bytes:
    return TlogProof(index, tuple(merkle.prove_inclusion(index, LEAVES)), note, extra).encode()


@pytest.mark.parametrize("index", [0, 1, 12, 19, 20])
def test_every_entry_of_a_log_can_be_proved_to_a_stranger(index: int) -> None:
    included = verify(proof_of(index), entry=ENTRIES[index], log_key=LOG.key)
    assert (included.index, included.head.size, included.log) == (index, 21, LOG.key)
    with pytest.raises(VerificationError, match="not under the root"):
        verify(proof_of(index), entry=ENTRIES[(index + 1) % 21], log_key=LOG.key)


def test_a_file_may_carry_its_entry() -> None:
    carried = proof_of(12, extra=ENTRIES[12])
    assert verify(carried, log_key=LOG.key).entry == ENTRIES[12]
    assert is_tlog_proof(carried)
    with pytest.raises(VerificationError, match="not under the root"):
        verify(proof_of(12, extra=b"something else"), log_key=LOG.key)
    with pytest.raises(VerificationError, match="does not carry its entry"):
        verify(proof_of(12), log_key=LOG.key)
    given = verify(proof_of(12, extra=b"something else"), entry=ENTRIES[12], log_key=LOG.key)
    assert given.entry == ENTRIES[12], "extra data are nobody's word"


def test_a_policy_says_whose_signatures_are_wanted() -> None:
    assert verify(proof_of(3, note=COSIGNED), entry=ENTRIES[3], policy=POLICY).cosignatures[0].time_s == 7
    with pytest.raises(VerificationError, match="quorum n is not met"):
        verify(proof_of(3), entry=ENTRIES[3], policy=POLICY)


def test_nobody_s_key_is_nobody_s_word() -> None:
    with pytest.raises(VerificationError, match="signed by no log"):
        verify(proof_of(3), entry=ENTRIES[3])


def test_the_lines_stand_as_the_specification_shows_them() -> None:
    lines = proof_of(20, extra=b"hello").decode().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra aGVsbG8=", "index 20"]
    assert lines[5:7] == ["", LOG.origin]
    assert TlogProof.decode(proof_of(20, extra=b"hello")).extra == b"hello"


@given(st.data())
def test_no_byte_of_a_file_can_be_changed(data: st.DataObject) -> None:
    whole = proof_of(12, note=COSIGNED, extra=ENTRIES[12])
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(VerificationError):
        verify(bytes(changed), policy=POLICY)


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"c2sp.org/tlog-proof@v1\n", b"c2sp.org/tlog-proof@v1\nindex 0\n"])
)
def test_no_bytes_make_it_crash(data: bytes, before: bytes) -> None:
    with pytest.raises(VerificationError):
        verify(before + data, entry=b"x", log_key=LOG.key)


def test_a_file_beyond_any_proof_is_not_even_read() -> None:
    with pytest.raises(VerificationError, match="at most"):
        verify(b"x" * (MAX_FILE_BYTES + 1), log_key=LOG.key)
