"""What our log makes of its witnesses' answers: kept, refused and named, or an alarm."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import Session, SQLModel, select

from ledger import log
from ledger.checkpoint import LogKey, LogSigner, parse_head
from ledger.cosign import WitnessKey, WitnessSigner, cosignatures
from ledger.errors import ForkedLogError, OtherSizeError
from ledger.events import Event
from ledger.kernel.database import Database
from ledger.kernel.errors import SettingsError
from ledger.models import Cosignature, WitnessState
from ledger.witness import Submission, Witness
from ledger.witnessed import (
    MOST_WAIT,
    Answer,
    Cosigned,
    Doubts,
    Failed,
    Question,
    Remembers,
    question,
    states,
    take,
    vouched_checkpoint,
    vouched_note,
    watchers,
)
from tests.simulators.orchard import windows

NOW = datetime(2026, 5, 1, tzinfo=UTC)
NORTH = WitnessSigner("witness.example/north", b"n" * 32)
SOUTH = WitnessSigner("witness.example/south", b"s" * 32)
EVENTS = windows(310)


def grow(db: Database, signer: LogSigner, events: Sequence[Event]) -> None:
    with db.write() as session:
        log.record_all(session, events, now=NOW)
        log.integrate(session)
        log.publish(session, signer, now=NOW)


def witness(folder: Path, key: LogKey, signer: WitnessSigner = NORTH) -> Witness:
    return Witness(folder / f"{signer.name.rpartition('/')[2]}.db", signer, [key], clock=lambda: int(NOW.timestamp()))


def answer_of(asked: Question, who: Witness) -> Answer:
    """What an honest witness says."""
    try:
        return Cosigned(who.add_checkpoint(asked.body))
    except OtherSizeError as error:
        return Remembers(error.size)
    except ForkedLogError as error:
        return Doubts(str(error))


def ask(session: Session, who: Witness, *, now: datetime = NOW) -> int:
    """Ask until there is nothing more to ask now; return how many requests it took."""
    count, asked = 0, question(session, who.key, now=now)
    while asked is not None:
        count += 1
        asked = take(session, asked, answer_of(asked, who), now=now)
    return count


def state_of(session: Session, key: WitnessKey = NORTH.key) -> WitnessState:
    return states(session, [key])[0][1]


def test_a_witness_follows_the_log_and_the_note_carries_its_word(
    any_db: Database, signer: LogSigner, tmp_path: Path
) -> None:
    north, south = (witness(tmp_path, signer.key, who) for who in (NORTH, SOUTH))
    for number in (3, 300, 301):
        grow(any_db, signer, EVENTS[:number])
        with any_db.write() as session:
            assert [ask(session, who) for who in (north, south)] == [1, 1]
            assert [ask(session, who) for who in (north, south)] == [0, 0], "it has signed the newest already"
            newest = log.latest_checkpoint(session)
            assert newest is not None
            note = vouched_note(session, newest)
        assert [c.key for c in cosignatures(note, [NORTH.key, SOUTH.key])] == [NORTH.key, SOUTH.key]
        assert parse_head(note)[0].size == number
        assert note.startswith(newest.note)


def test_a_witness_that_knows_more_than_we_remember_of_it_tells_us(
    db: Database, signer: LogSigner, tmp_path: Path
) -> None:
    """Its answer was lost, or our note of it: one more request puts it right."""
    north = witness(tmp_path, signer.key)
    grow(db, signer, EVENTS[:3])
    with db.write() as session:
        lost = question(session, north.key, now=NOW)
        assert lost is not None
        north.add_checkpoint(lost.body)
        assert ask(session, north) == 2
    grow(db, signer, EVENTS[:9])
    with db.write() as session:
        state_of(session).size = 0
        assert ask(session, north) == 2
        assert (state_of(session).size, state_of(session).alarm) == (9, None)


def test_one_that_forgot_us_is_cosigning_again_at_once(db: Database, signer: LogSigner, tmp_path: Path) -> None:
    grow(db, signer, EVENTS[:3])
    with db.write() as session:
        ask(session, witness(tmp_path, signer.key))
    grow(db, signer, EVENTS[:5])
    (tmp_path / "new").mkdir()
    with db.write() as session:
        assert ask(session, witness(tmp_path / "new", signer.key)) == 2
        assert state_of(session).error is None


# --- lies and failures ----------------------------------------------------------------------------


def _line(signer: WitnessSigner, asked: Question, *, time_s: int = int(NOW.timestamp())) -> str:
    return signer.cosign(Submission.parse(asked.body).note, time_s=time_s)


def _spoiled(asked: Question) -> str:
    name, _, encoded = _line(NORTH, asked).rpartition(" ")
    material = bytearray(base64.b64decode(encoded))
    material[40] ^= 1
    return f"{name} {base64.b64encode(material).decode()}\n"


LIES = {
    "a cosignature that does not hold": _spoiled,
    "another witness's cosignature": lambda asked: _line(SOUTH, asked),
    "one of another checkpoint": lambda _asked: NORTH.cosign(_other_note(), time_s=1),
    "one from tomorrow": lambda asked: _line(NORTH, asked, time_s=int(NOW.timestamp()) + 86_400),
    "nothing": lambda _asked: "",
    "rubbish": lambda _asked: "<html>\n\n\u2014 x",
    "no newline": lambda asked: _line(NORTH, asked)[:-1],
    "half a character": lambda _asked: "\u2014 \ud800 AAAA\n",
}  # fmt: skip


def _other_note() -> str:
    return LogSigner("guoyuan.example/sample-log", b"x" * 32).sign(3, bytes(32))


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_cosignature_is_thrown_away_and_the_witness_named(
    db: Database, signer: LogSigner, lie: str, caplog: pytest.LogCaptureFixture
) -> None:
    grow(db, signer, EVENTS[:3])
    with db.write() as session:
        asked = question(session, NORTH.key, now=NOW)
        assert asked is not None
        assert take(session, asked, Cosigned(LIES[lie](asked)), now=NOW) is None
        assert session.exec(select(Cosignature)).all() == []
        assert state_of(session).error
        assert "witness.example/north did not cosign" in caplog.text
        newest = log.latest_checkpoint(session)
        assert newest is not None
        assert vouched_note(session, newest) == newest.note
    grow(db, signer, EVENTS[:4])


def test_one_that_fails_is_asked_less_and_less_often_but_never_given_up(db: Database, signer: LogSigner) -> None:
    grow(db, signer, EVENTS[:3])
    now, waits = NOW, []
    for _ in range(12):
        with db.write() as session:
            asked = question(session, NORTH.key, now=now)
            assert asked is not None
            take(session, asked, Failed("it did not answer"), now=now)
            after = state_of(session).ask_after
            assert after is not None
            assert question(session, NORTH.key, now=after - timedelta(milliseconds=1)) is None
            waits.append(after - now)
            now = after
    assert waits[:3] == [timedelta(seconds=s) for s in (2, 4, 8)]
    assert waits == sorted(waits)
    assert waits[-1] == MOST_WAIT
    with db.write() as session:
        asked = question(session, NORTH.key, now=now)
        assert asked is not None
        take(session, asked, Cosigned(_line(NORTH, asked)), now=now)
        assert (state_of(session).failures, state_of(session).error) == (0, None)


def test_one_that_contradicts_itself_is_not_asked_in_a_circle(db: Database, signer: LogSigner) -> None:
    grow(db, signer, EVENTS[:3])
    grow(db, signer, EVENTS[:5])
    with db.write() as session:
        asked = question(session, NORTH.key, now=NOW)
        assert asked is not None
        second = take(session, asked, Remembers(3), now=NOW)
        assert second is not None
        assert second.is_second
        assert take(session, second, Remembers(0), now=NOW) is None
        assert "twice" in str(state_of(session).error)


# --- alarms ---------------------------------------------------------------------------------------


def fork_of(folder: Path, size: int, signer: LogSigner) -> Database:
    """The same key over another history: what an operator shows to somebody else."""
    other = Database(f"sqlite:///{folder / 'fork.db'}")
    SQLModel.metadata.create_all(other.engine)
    grow(other, signer, list(reversed(EVENTS[:size])))
    return other


@pytest.mark.parametrize(("theirs", "ours"), [(9, 5), (5, 5), (5, 9)])
def test_a_fork_shown_to_a_witness_is_an_alarm(
    db: Database, signer: LogSigner, tmp_path: Path, theirs: int, ours: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Two databases under one key. Whoever cosigned one refuses the other, larger, smaller or as large."""
    north = witness(tmp_path, signer.key)
    other = fork_of(tmp_path, theirs, signer)
    with other.write() as session:
        assert ask(session, north) == 1
    other.dispose()
    for size in sorted({5, ours}):
        grow(db, signer, EVENTS[:size])
    with db.write() as session:
        ask(session, north)
        state = state_of(session)
        assert state.alarm
        assert f"{theirs} entries" in state.alarm
        assert "ALARM: the witness witness.example/north" in caplog.text
        assert session.exec(select(Cosignature)).all() == []


def test_a_size_we_never_signed_is_an_alarm_that_ends_when_it_cosigns(db: Database, signer: LogSigner) -> None:
    grow(db, signer, EVENTS[:3])
    grow(db, signer, EVENTS[:5])
    with db.write() as session:
        asked = question(session, NORTH.key, now=NOW)
        assert asked is not None
        assert take(session, asked, Remembers(4), now=NOW) is None
        assert "never signed one of that size" in str(state_of(session).alarm)
        again = question(session, NORTH.key, now=NOW + MOST_WAIT)
        assert again is not None
        take(session, again, Cosigned(_line(NORTH, again)), now=NOW + MOST_WAIT)
        assert state_of(session).alarm is None


# --- which checkpoint is handed out ---------------------------------------------------------------


def test_the_checkpoint_handed_out_is_the_one_most_witnesses_signed_lately(
    db: Database, signer: LogSigner, tmp_path: Path
) -> None:
    north, south = (witness(tmp_path, signer.key, who) for who in (NORTH, SOUTH))

    def size(at_least: int) -> int | None:
        with db.read() as session:
            found = vouched_checkpoint(session, at_least=at_least)
            return found.size if found else None

    def asked(*who: Witness) -> None:
        with db.write() as session:
            for one in who:
                ask(session, one)

    assert size(1) is None
    grow(db, signer, EVENTS[:3])
    assert size(1) == 3
    asked(north, south)
    grow(db, signer, EVENTS[:4])
    asked(north)
    grow(db, signer, EVENTS[:5])
    assert [size(n) for n in (1, 3, 4, 5, 6)] == [3, 3, 4, 5, None]
    asked(north, south)
    assert size(1) == 5


# --- the setting ----------------------------------------------------------------------------------


def test_witnesses_are_named_inline_or_in_a_policy_file(tmp_path: Path) -> None:
    north, south = NORTH.key.text(), SOUTH.key.text()
    inline = watchers(f"{north} https://north.example/w, {south} http://127.0.0.1:8080")
    policy = tmp_path / "policy"
    policy.write_text(f"witness n {north} https://north.example/w\nwitness s {south} http://127.0.0.1:8080\nquorum n\n")
    assert watchers(str(policy)) == inline
    assert [watcher.key for watcher in inline] == [NORTH.key, SOUTH.key]
    assert watchers(" ") == ()


@pytest.mark.parametrize(
    "text",
    [
        NORTH.key.text(),
        f"{NORTH.key.text()} ftp://north.example",
        f"{NORTH.key.text()} https://a.example more",
        f"{NORTH.key.text()}x https://a.example",
        ", ".join([f"{NORTH.key.text()} https://a.example"] * 2),
        "/nowhere/policy",
    ],
)
def test_a_setting_that_names_no_witness_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="GUOYUAN_WITNESSES"):
        watchers(text)
