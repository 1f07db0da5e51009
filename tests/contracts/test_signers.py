"""A signature comes from the publisher's key over the very digest, or nothing is signed at all."""

import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from random import Random

import pytest
from eth_account import Account
from eth_keys.datatypes import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from contracts.anchor import Anchorer
from contracts.chain import Chain
from contracts.errors import SignerError, SignerRefusedError, SignerUnreachableError, WrongSignatureError
from contracts.keys import PublisherKey
from contracts.models import AnchorState
from contracts.signers import ORDER, KmsSigner, LocalSigner, complete, read_der
from ledger.kernel.database import Database
from tests.contracts.kms import KmsStub, der
from tests.contracts.simulators import ORIGIN, SampleLog, rows
from tests.contracts.test_keys import TRANSACTION

LIES = {
    "another key": "is not one of",
    "another digest": "is not one of",
    "r is zero": "out of range",
    "s is the order": "out of range",
    "no DER": "not DER",
    "cut DER": "not DER",
    "bytes after": "not DER",
    "padded": "negative or padded|two DER integers",
    "negative": "negative or padded",
    "empty": "not DER",
    "no JSON": "not JSON",
    "a list": "not a JSON object",
    "deep": "not JSON",
    "no signature": "no base64",
    "no base64": "no base64",
    "a number": "no base64",
    "large": "larger than any signature",
    "compressed": "not an uncompressed",
    "another curve": "not secp256k1",
}


def key_at(stub: KmsStub, **choices: str) -> PublisherKey:
    return PublisherKey(KmsSigner(stub.url, "alias/publisher", **choices))


@pytest.mark.parametrize("high_s", [False, True])
def test_a_service_that_signs_digests_signs_our_transactions(*, high_s: bool) -> None:
    """Both halves of s and both recovery ids come by; any wallet with the key would sign the same bytes."""
    with KmsStub(high_s=high_s) as stub:
        key, local = key_at(stub), Account.from_key(b"\x07" * 32)
        assert key.address == local.address == stub.address
        parities = set()
        for nonce in range(8):
            wanted = local.sign_transaction(TRANSACTION | {"nonce": nonce})
            assert key.sign(TRANSACTION | {"nonce": nonce}).raw == bytes(wanted.raw_transaction)
            parities.add(wanted.v)
        assert parities == {0, 1}
        assert [action for action, _ in stub.asked].count("GetPublicKey") == 1


@pytest.fixture(scope="module")
def kept_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KmsStub, Chain]]:
    """A service, and a chain whose contract knows its key as the publisher."""
    with KmsStub() as stub:
        chain = Chain.embedded(tmp_path_factory.mktemp("kms") / "chain.db", funded=stub.address)
        Anchorer(chain, key_at(stub), origin=ORIGIN).prepare()
        yield stub, chain
        chain.close()


@pytest.mark.parametrize("lie", LIES)
def test_a_service_that_lies_is_named_and_nothing_is_sent(
    lie: str,
    kept_outside: tuple[KmsStub, Chain],
    sample_log: SampleLog,
    db: Database,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stub, chain = kept_outside
    monkeypatch.setattr(stub, "lie", lie)
    with pytest.raises(WrongSignatureError, match=LIES[lie]):
        Anchorer(chain, key_at(stub), origin=ORIGIN, tree=sample_log).anchor(db, sample_log.grow(5), now=now)
    assert rows(db) == []
    assert chain.nonce(stub.address) == 2  # the contract and the log's opening


@pytest.mark.parametrize(
    ("lie", "error"),
    [("broken", SignerUnreachableError), ("hangs up", SignerUnreachableError), ("throttled", SignerRefusedError)],
)
def test_a_service_that_fails_is_told_from_one_that_lies(lie: str, error: type[SignerError]) -> None:
    with KmsStub(lie=lie) as stub, pytest.raises(error):
        key_at(stub).sign(TRANSACTION)


def test_a_service_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/secret-path"
        with pytest.raises(SignerUnreachableError) as caught:
            KmsSigner(url, "alias/publisher", timeout_s=0.2).sign_digest(bytes(32))
    assert "secret-path" not in str(caught.value)


def test_a_token_goes_along_and_a_wrong_one_is_refused() -> None:
    with KmsStub(token="right") as stub:
        assert key_at(stub, token="right").address == stub.address
        with pytest.raises(SignerRefusedError, match="AccessDenied"):
            key_at(stub, token="wrong").sign(TRANSACTION)


def test_an_unknown_key_is_refused_by_name() -> None:
    with KmsStub() as stub, pytest.raises(SignerRefusedError, match="NotFoundException"):
        PublisherKey(KmsSigner(stub.url, "alias/other")).sign(TRANSACTION)


def test_a_log_is_anchored_by_a_key_that_this_process_never_sees(
    tmp_path: Path, sample_log: SampleLog, db: Database, now: datetime
) -> None:
    with KmsStub(high_s=True) as stub:
        chain = Chain.embedded(tmp_path / "chain.db", funded=stub.address)
        row = Anchorer(chain, key_at(stub), origin=ORIGIN, tree=sample_log).anchor(db, sample_log.grow(5), now=now)
    assert row is not None
    assert (row.state, row.sender) == (AnchorState.FINAL, stub.address)
    chain.close()


@given(st.integers(1, ORDER - 1), st.integers(1, ORDER - 1))
def test_der_is_read_back_as_it_was_written(r: int, s: int) -> None:
    assert read_der(der(r, s)) == (r, s)


@given(st.binary(max_size=80))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    try:
        r, s = read_der(data)
    except WrongSignatureError:
        return
    assert der(r, s) == data  # one spelling is read, and no other


@given(st.binary(min_size=32, max_size=32))
def test_whatever_is_completed_verifies_and_is_low(digest: bytes) -> None:
    key = PrivateKey(b"\x09" * 32)
    address, signed = str(key.public_key.to_checksum_address()), key.sign_msg_hash(digest)
    for s in (signed.s, ORDER - signed.s):
        done = complete(digest, signed.r, s, address=address)
        assert (done.r, done.s, done.y_parity) == (signed.r, signed.s, signed.v)
        assert done.s <= ORDER // 2


def test_numbers_drawn_at_random_are_no_signature() -> None:
    random = Random(9162)
    address = LocalSigner(b"\x09" * 32).address
    for _ in range(20):
        with pytest.raises(WrongSignatureError):
            complete(bytes(32), random.randrange(2**256), random.randrange(2**256), address=address)
