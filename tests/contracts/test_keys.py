import json
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from contracts.errors import PublisherKeyError
from contracts.keys import PublisherKey
from contracts.keystore import Keystore, seal
from ledger.kernel.settings import Settings

PASSPHRASE = "correct horse battery staple"
TRANSACTION = {
    "chainId": 1,
    "type": 2,
    "nonce": 7,
    "to": "0x" + "11" * 20,
    "value": 0,
    "data": "0x0102",
    "gas": 21_000,
    "maxFeePerGas": 5,
    "maxPriorityFeePerGas": 1,
}


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "publisher.key"
    first = PublisherKey.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PublisherKey.load_or_create(path).address == first.address
    assert list(path.parent.iterdir()) == [path]


def test_the_same_transaction_is_signed_with_the_same_bytes(tmp_path: Path) -> None:
    """What the outbox keeps is what any later life of the process would have signed."""
    path = tmp_path / "publisher.key"
    one, two = (PublisherKey.load_or_create(path).sign(TRANSACTION) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("secret", [bytes([n]) * 32 for n in (1, 2, 77)], ids=range(3))
@pytest.mark.parametrize("change", [{}, {"nonce": 0, "data": b"\xff" * 300}, {"to": "", "value": 0}], ids=range(3))
def test_our_transactions_are_byte_for_byte_those_of_eth_account(
    tmp_path: Path, secret: bytes, change: dict[str, Any]
) -> None:
    path = tmp_path / "publisher.key"
    path.write_text(secret.hex())
    path.chmod(0o600)
    wanted = Account.from_key(secret).sign_transaction(TRANSACTION | change)
    signed = PublisherKey.load_or_create(path).sign(TRANSACTION | change)
    assert (signed.raw, signed.tx_hash) == (bytes(wanted.raw_transaction), bytes(wanted.hash))


def test_a_kind_of_transaction_we_never_send_is_not_signed() -> None:
    with pytest.raises(PublisherKeyError, match="EIP-1559"):
        PublisherKey.create().sign({"nonce": 0, "gasPrice": 1, "to": "", "value": 0, "gas": 21_000, "chainId": 1})


def test_a_plain_key_of_an_earlier_version_is_sealed_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "publisher.key"
    path.write_text("22" * 32 + "\n")
    path.chmod(0o600)
    key = PublisherKey.load_or_create(path)
    assert key.address == Account.from_key(b"\x22" * 32).address
    assert "22" * 32 not in path.read_text()
    assert json.loads(path.read_text())["version"] == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PublisherKey.load_or_create(path).sign(TRANSACTION) == key.sign(TRANSACTION)
    assert list(tmp_path.iterdir()) == [path]


def test_any_wallet_reads_our_keystore_and_we_read_any_wallets(tmp_path: Path) -> None:
    path = tmp_path / "publisher.key"
    key = PublisherKey.load_or_create(path)
    assert Account.from_key(Account.decrypt(json.loads(path.read_text()), "development-only")).address == key.address
    theirs = tmp_path / "theirs.json"
    theirs.write_text(json.dumps(Account.encrypt(b"\x33" * 32, "theirs", kdf="scrypt", iterations=4096)))
    theirs.chmod(0o600)
    read = PublisherKey.load_or_create(theirs, passphrase="theirs")
    assert read.sign(TRANSACTION).raw == bytes(
        Account.from_key(b"\x33" * 32).sign_transaction(TRANSACTION).raw_transaction
    )


def test_a_passphrase_of_its_own_costs_work_and_the_default_none(tmp_path: Path) -> None:
    """geth's standard where there is something to protect; nothing is protected by words in our own source."""
    paths = tmp_path / "own", tmp_path / "default"
    PublisherKey.load_or_create(paths[0], passphrase=PASSPHRASE)
    PublisherKey.load_or_create(paths[1])
    assert [json.loads(path.read_text())["crypto"]["kdfparams"]["n"] for path in paths] == [2**18, 2**12]


def test_another_passphrase_opens_nothing_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "publisher.key"
    address = PublisherKey.load_or_create(path).address
    other = PublisherKey.load_or_create(path, passphrase="zzyzx road")
    assert other.address == address  # the address is public
    with pytest.raises(PublisherKeyError, match="GUOYUAN_KEYSTORE_PASSPHRASE does not open") as caught:
        other.sign(TRANSACTION)
    assert "zzyzx" not in str(caught.value)


def test_the_passphrase_is_worked_through_once_and_only_when_something_is_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    secret = Keystore.secret
    monkeypatch.setattr(Keystore, "secret", lambda self: (opened.append(1), secret(self))[1])
    key = PublisherKey.load_or_create(tmp_path / "publisher.key")
    assert key.address.startswith("0x")
    assert opened == []
    threads = [threading.Thread(target=key.sign, args=(TRANSACTION,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [1]


def test_a_keystore_is_sealed_anew_under_another_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "publisher.key"
    before = PublisherKey.load_or_create(path)
    seal(path, Keystore(path, "development-only").secret(), PASSPHRASE)
    assert PublisherKey.load_or_create(path, passphrase=PASSPHRASE).sign(TRANSACTION) == before.sign(TRANSACTION)
    with pytest.raises(PublisherKeyError):
        PublisherKey.load_or_create(path).sign(TRANSACTION)


def _change(path: Path, **changes: Any) -> None:
    found = json.loads(path.read_text())
    crypto = found["crypto"]
    crypto["kdfparams"] |= changes.pop("kdfparams", {})
    crypto |= changes.pop("crypto", {})
    path.write_text(json.dumps(found | changes))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 4},
        {"address": "nobody"},
        {"address": None},
        {"crypto": {"kdf": "pbkdf2"}},
        {"kdfparams": {"n": 2**40}},
        {"kdfparams": {"p": 10**9}},
        {"kdfparams": {"n": "many"}},
    ],
    ids=range(7),
)
def test_a_keystore_of_another_kind_or_one_that_asks_for_all_memory_is_refused(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    path = tmp_path / "publisher.key"
    PublisherKey.load_or_create(path)
    _change(path, **change)
    with pytest.raises(PublisherKeyError, match=r"publisher\.key"):
        PublisherKey.load_or_create(path)


@pytest.mark.parametrize(
    "change",
    [
        {"address": "11" * 20},
        {"crypto": {"mac": "00" * 32}},
        {"crypto": {"ciphertext": "zz"}},
        {"crypto": {"iv": 1, "mac": 5}},
    ],
    ids=range(4),
)
def test_a_damaged_keystore_signs_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "publisher.key"
    PublisherKey.load_or_create(path)
    _change(path, **change)
    with pytest.raises(PublisherKeyError, match=r"publisher\.key"):
        PublisherKey.load_or_create(path).sign(TRANSACTION)


@pytest.mark.parametrize("text", ["", "hello", "00" * 32, "ff" * 32, "12" * 31, "[" * 100_000, "\x80"], ids=range(7))
def test_a_file_that_holds_no_key_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "publisher.key"
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(PublisherKeyError, match=r"publisher (\.)?key"):
        PublisherKey.load_or_create(path)
    assert path.read_bytes() == text.encode("latin-1")


@pytest.mark.parametrize("plain", [False, True])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, *, plain: bool) -> None:
    path = tmp_path / "publisher.key"
    PublisherKey.load_or_create(path)
    if plain:
        path.write_text("22" * 32)
    path.chmod(0o640)
    with pytest.raises(PublisherKeyError, match="0600"):
        PublisherKey.load_or_create(path)


def test_two_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    path, found = tmp_path / "publisher.key", []
    threads = [
        threading.Thread(target=lambda: found.append(PublisherKey.load_or_create(path).address)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1


def test_the_key_never_shows_in_what_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "publisher.key"
    path.write_text("22" * 32)
    path.chmod(0o600)
    key = PublisherKey.load_or_create(path)
    key.sign(TRANSACTION)
    assert "22" * 16 not in repr(key) + str(key) + repr(vars(key))
    settings = Settings(keystore_passphrase=PASSPHRASE, signer_token="hush hush")
    assert PASSPHRASE not in repr(settings)
    assert "hush" not in repr(settings)


def test_an_installation_signs_with_what_its_settings_name(tmp_path: Path) -> None:
    own = PublisherKey.open(Settings(home=tmp_path))
    assert own.address == PublisherKey.load_or_create(tmp_path / "keys" / "publisher.key").address
    # Opening asks an external signer nothing: an unreachable one shows when something is signed.
    PublisherKey.open(Settings(home=tmp_path, signer_url="http://127.0.0.1:9/", signer_key_id="alias/publisher"))
