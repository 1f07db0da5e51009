"""Cosignatures of witnesses. The ways one can be wrong are in tests/vectors/cosignature.json."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import checkpoint
from ledger.checkpoint import LogSigner
from ledger.cosign import MAX_TIME_S, Cosignature, WitnessKey, WitnessSigner, cosignatures
from ledger.errors import VerificationError
from ledger.kernel.errors import SettingsError

LOG = LogSigner("guoyuan.example/sample-log", bytes(32))
NORTH = WitnessSigner("witness.example/north", b"n" * 32)
SOUTH = WitnessSigner("witness.example/south", b"s" * 32)
NOTE = LOG.sign(38, bytes(range(32)))
TIME_S = 1_776_500_000


def test_a_witness_signs_the_log_s_own_words_and_a_time() -> None:
    line = NORTH.cosign(NOTE, time_s=TIME_S)
    cosigned = NOTE + line
    assert cosignatures(cosigned, [NORTH.key, SOUTH.key]) == (Cosignature(NORTH.key, TIME_S, line),)
    assert checkpoint.verify(cosigned, LOG.key).size == 38


def test_unknown_witnesses_are_passed_over() -> None:
    assert cosignatures(NOTE + SOUTH.cosign(NOTE, time_s=TIME_S), [NORTH.key]) == ()


def test_the_latest_word_of_a_witness_counts() -> None:
    late, early = (NORTH.cosign(NOTE, time_s=TIME_S - ago) for ago in (0, 60))
    for lines in (late + early, early + late):
        assert cosignatures(NOTE + lines, [NORTH.key]) == (Cosignature(NORTH.key, TIME_S, late),)


def test_one_that_does_not_hold_spoils_the_note() -> None:
    other = LOG.sign(39, bytes(range(32)))
    with pytest.raises(VerificationError, match="north"):
        cosignatures(NOTE + NORTH.cosign(NOTE, time_s=TIME_S) + NORTH.cosign(other, time_s=TIME_S), [NORTH.key])


def test_a_note_s_other_signatures_may_come_before() -> None:
    body, _, line = NOTE.rpartition("\n\n")
    cosigned = f"{body}\n\n{NORTH.cosign(NOTE, time_s=1)}{line}{SOUTH.cosign(NOTE, time_s=MAX_TIME_S)}"
    assert [c.time_s for c in cosignatures(cosigned, [NORTH.key, SOUTH.key])] == [1, MAX_TIME_S]


def test_log_and_witness_keys_are_told_apart() -> None:
    assert WitnessKey.parse(NORTH.key.text()) == NORTH.key
    for parse, text in ((WitnessKey.parse, LOG.key.text()), (checkpoint.LogKey.parse, NORTH.key.text())):
        with pytest.raises(VerificationError):
            parse(text)


@pytest.mark.parametrize(
    "text",
    [
        # Keys that transparency-dev/formats tests its own reader with, the second one a witness in public use.
        "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    ],
)
def test_keys_in_public_use_are_read(text: str) -> None:
    kind = WitnessKey if "+B" in text else checkpoint.LogKey
    assert kind.parse(text).text() == text


@pytest.mark.parametrize("time_s", [0, -1, MAX_TIME_S + 1])
def test_no_time_that_a_verifier_refuses_is_signed(time_s: int) -> None:
    with pytest.raises(ValueError, match="second"):
        NORTH.cosign(NOTE, time_s=time_s)


@given(st.integers(1, MAX_TIME_S), st.integers(0, 2**53 - 1), st.binary(min_size=32, max_size=32))
def test_every_cosignature_comes_back(time_s: int, size: int, root: bytes) -> None:
    note = LOG.sign(size, root)
    line = NORTH.cosign(note, time_s=time_s)
    assert cosignatures(note + line, [NORTH.key]) == (Cosignature(NORTH.key, time_s, line),)


@given(st.data())
def test_no_character_of_a_cosignature_can_be_changed(data: st.DataObject) -> None:
    line = NORTH.cosign(NOTE, time_s=TIME_S)
    at = data.draw(st.integers(0, len(line) - 1))
    changed = line[:at] + data.draw(st.characters()) + line[at + 1 :]
    if changed != line:
        try:
            assert cosignatures(NOTE + changed, [NORTH.key]) == (), "another name or id: nobody we know"
        except VerificationError:
            return


def test_the_key_is_its_owner_s_alone_and_no_log_s(tmp_path: Path) -> None:
    path = tmp_path / "witness.key"
    first = WitnessSigner.load_or_create(path, name="witness.example/north")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert WitnessSigner.load_or_create(path, name="witness.example/north").key == first.key
    with pytest.raises(SettingsError, match="south"):
        WitnessSigner.load_or_create(path, name="witness.example/south")
    with pytest.raises(SettingsError, match="of the log"):
        LogSigner.load_or_create(path, origin="witness.example/north")
