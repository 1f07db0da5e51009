import stat
from pathlib import Path

import pytest

from contracts.errors import PublisherKeyError
from contracts.keys import PublisherKey


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "publisher.key"
    first = PublisherKey.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PublisherKey.load_or_create(path).address == first.address
    assert list(path.parent.iterdir()) == [path]


def test_the_same_transaction_is_signed_with_the_same_bytes(tmp_path: Path) -> None:
    """What the outbox keeps is what any later life of the process would have signed."""
    path = tmp_path / "publisher.key"
    transaction = {
        "chainId": 1,
        "type": 2,
        "nonce": 0,
        "to": "0x" + "11" * 20,
        "value": 0,
        "gas": 21_000,
        "maxFeePerGas": 5,
        "maxPriorityFeePerGas": 1,
    }
    one, two = (PublisherKey.load_or_create(path).sign(transaction) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("text", ["", "hello", "00" * 32, "ff" * 32, "12" * 31], ids=range(5))
def test_a_file_that_holds_no_key_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "publisher.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(PublisherKeyError, match=r"publisher\.key"):
        PublisherKey.load_or_create(path)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "publisher.key"
    PublisherKey.load_or_create(path)
    path.chmod(0o640)
    with pytest.raises(PublisherKeyError, match="0600"):
        PublisherKey.load_or_create(path)


def test_the_key_never_shows_in_what_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "publisher.key"
    key = PublisherKey.load_or_create(path)
    assert path.read_text().strip() not in repr(key) + str(key) + repr(vars(key))
