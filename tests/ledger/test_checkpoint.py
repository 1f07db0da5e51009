"""Signed tree heads. The ways one can be wrong are in tests/vectors/checkpoint.json."""

import base64
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import VerifyKey

from ledger.checkpoint import LogKey, LogSigner, TreeHead, parse_head, verify
from ledger.errors import VerificationError
from ledger.kernel.errors import SettingsError

ORIGIN = "guoyuan.example/sample-log"
ROOT = bytes(range(32))
SIGNER = LogSigner(ORIGIN, bytes(32))
NOTE = SIGNER.sign(70_000, ROOT)


def test_what_was_signed_verifies() -> None:
    assert verify(NOTE, SIGNER.key) == TreeHead(ORIGIN, 70_000, ROOT)


@pytest.mark.parametrize(
    "text",
    [
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)
def test_keys_in_public_use_are_read(text: str) -> None:
    assert LogKey.parse(text).text() == text


def test_a_signature_that_others_made_holds() -> None:
    """The example of golang.org/x/mod/sumdb/note, the first implementation of signed notes."""
    key = LogKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    material = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    assert material[:4] == key.key_id
    VerifyKey(key.public_key).verify(text, material[4:])


@given(st.integers(0, len(NOTE) - 1), st.characters())
def test_no_character_of_a_checkpoint_can_be_changed(at: int, character: str) -> None:
    changed = NOTE[:at] + character + NOTE[at + 1 :]
    if changed != NOTE:
        with pytest.raises(VerificationError):
            verify(changed, SIGNER.key)


@given(st.text())
def test_any_text_is_a_checkpoint_or_refused(text: str) -> None:
    for attempt in (lambda: parse_head(text), lambda: parse_head(f"{text}\n\n{text}\n"), lambda: LogKey.parse(text)):
        try:
            attempt()
        except VerificationError:
            continue


@given(st.integers(0, 2**53 - 1), st.binary(min_size=32, max_size=32))
def test_every_head_comes_back(size: int, root: bytes) -> None:
    assert verify(SIGNER.sign(size, root), SIGNER.key) == TreeHead(ORIGIN, size, root)


def test_the_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "log.key"
    first = LogSigner.load_or_create(path, origin=ORIGIN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert LogSigner.load_or_create(path, origin=ORIGIN).key == first.key
    assert [entry.name for entry in path.parent.iterdir()] == ["log.key"]


def test_another_folder_gets_another_key(tmp_path: Path) -> None:
    one, two = (LogSigner.load_or_create(tmp_path / name / "log.key", origin=ORIGIN) for name in ("a", "b"))
    assert one.key != two.key


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    LogSigner.load_or_create(path, origin=ORIGIN)
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="0600"):
        LogSigner.load_or_create(path, origin=ORIGIN)


def test_the_key_of_another_log_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    LogSigner.load_or_create(path, origin=ORIGIN)
    with pytest.raises(SettingsError, match="other-log"):
        LogSigner.load_or_create(path, origin="guoyuan.example/other-log")


@pytest.mark.parametrize("text", ["", "hello", f"PRIVATE+KEY+{ORIGIN}+!!!", f"PRIVATE+KEY+{ORIGIN}+AAAA"])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SettingsError):
        LogSigner.load_or_create(path, origin=ORIGIN)


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "caf\u00e9", "x\n", "x" * 201])
def test_an_origin_must_fit_on_a_signature_line(origin: str) -> None:
    with pytest.raises(SettingsError):
        LogSigner(origin, bytes(32))


def test_the_private_key_is_not_in_the_signers_text() -> None:
    assert bytes(32).hex() not in repr(SIGNER)
    assert "PRIVATE" not in SIGNER.key.text()
