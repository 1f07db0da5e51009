"""A witness: what it cosigns, what it refuses, what it remembers through crashes and races."""

import base64
import contextlib
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle
from ledger.checkpoint import LogSigner, parse_head
from ledger.cosign import WitnessSigner, cosignatures
from ledger.errors import (
    ForkedLogError,
    MalformedRequestError,
    OtherSizeError,
    UnsignedCheckpointError,
    UnwatchedLogError,
    WitnessRefusalError,
)
from ledger.kernel.errors import SettingsError
from ledger.witness import MAX_BODY_BYTES, Submission, Witness

LOG = LogSigner("guoyuan.example/sample-log", bytes(32))
NORTH = WitnessSigner("witness.example/north", b"n" * 32)
TRUE = [merkle.leaf_hash(f"entry {number}".encode()) for number in range(200)]
FORKED = [merkle.leaf_hash(b"rewritten"), *TRUE[1:]]
NOON = 1_776_500_000
ONE_MORE = b"\n" + b"A" * 43 + b"=\n\n"


def submission(old: int, size: int, leaves: list[bytes] = TRUE, *, signer: LogSigner = LOG) -> bytes:
    """What an honest log of these leaves sends."""
    path = merkle.prove_consistency(old, leaves[:size]) if old <= size else []
    return Submission(old, tuple(path), signer.sign(size, merkle.root(leaves[:size]))).encode()


@pytest.fixture
def north(tmp_path: Path) -> Witness:
    return Witness(tmp_path / "witness.db", NORTH, [LOG.key], clock=lambda: NOON)


def remembered(witness: Witness) -> list[int]:
    return [latest.size for latest in witness.latest()]


# --- what it cosigns ------------------------------------------------------------------------------


def test_a_log_that_grows_is_cosigned_step_by_step(north: Witness) -> None:
    for old, size in ((0, 1), (1, 2), (2, 7), (7, 7), (7, 64), (64, 200)):
        body = submission(old, size)
        line = north.add_checkpoint(body)
        (given,) = cosignatures(Submission.parse(body).note + line, [north.key])
        assert (given.time_s, remembered(north)) == (NOON, [size])


def test_the_empty_tree_can_be_cosigned_and_grown(north: Witness) -> None:
    north.add_checkpoint(submission(0, 0))
    north.add_checkpoint(submission(0, 0))
    north.add_checkpoint(submission(0, 5))
    assert remembered(north) == [5]


def test_another_root_of_the_empty_tree_is_refused(north: Witness) -> None:
    with pytest.raises(OtherSizeError):
        north.add_checkpoint(Submission(0, (), LOG.sign(0, bytes(32))).encode())


def test_signatures_of_others_are_passed_over_and_not_kept(north: Witness) -> None:
    body = submission(0, 7) + b"\xe2\x80\x94 somebody.example AAAAAAAA\n" * 1000
    north.add_checkpoint(body)
    assert north.latest()[0].note == Submission.parse(submission(0, 7)).note


def test_each_log_is_remembered_for_itself(tmp_path: Path) -> None:
    other = LogSigner("guoyuan.example/other-log", b"o" * 32)
    north = Witness(tmp_path / "witness.db", NORTH, [LOG.key, other.key], clock=lambda: NOON)
    north.add_checkpoint(submission(0, 7))
    north.add_checkpoint(submission(0, 3, FORKED, signer=other))
    assert [(latest.origin, latest.size) for latest in north.latest()] == [(other.origin, 3), (LOG.origin, 7)]


def test_a_log_may_change_its_key(tmp_path: Path) -> None:
    new = LogSigner(LOG.origin, b"new" * 10 + b"xx")
    north = Witness(tmp_path / "witness.db", NORTH, [LOG.key, new.key], clock=lambda: NOON)
    north.add_checkpoint(submission(0, 7))
    north.add_checkpoint(submission(7, 9, signer=new))
    with pytest.raises(ForkedLogError):
        north.add_checkpoint(submission(9, 12, FORKED, signer=new))


# --- what it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("description", "body", "refusal"),
    [
        ("a size it does not remember", submission(0, 9), OtherSizeError),
        ("a size before it", submission(5, 9), OtherSizeError),
        ("a size beyond it", submission(8, 9), OtherSizeError),
        ("a smaller checkpoint", submission(7, 5), MalformedRequestError),
        ("another root at the same size", submission(7, 7, FORKED), OtherSizeError),
        ("a fork with an honest proof of itself", submission(7, 9, FORKED), ForkedLogError),
        ("no proof", Submission(7, (), LOG.sign(9, merkle.root(TRUE[:9]))).encode(), ForkedLogError),
        ("a proof too long", submission(7, 9).replace(b"\n\n", ONE_MORE, 1), ForkedLogError),
        ("a proof where none may be", submission(7, 7).replace(b"\n\n", ONE_MORE, 1), ForkedLogError),
        ("another log", submission(7, 9, signer=LogSigner("elsewhere.example", bytes(32))), UnwatchedLogError),
        ("another key", submission(7, 9, signer=LogSigner(LOG.origin, b"t" * 32)), UnsignedCheckpointError),
        ("a signature that does not hold", submission(7, 9).replace(b"\n9\n", b"\n10\n"), UnsignedCheckpointError),
        ("its own signature twice", submission(7, 9) + submission(7, 9).split(b"\n\n")[2], UnsignedCheckpointError),
    ],
)  # fmt: skip
def test_what_does_not_extend_what_it_saw_is_refused(
    north: Witness, description: str, body: bytes, refusal: type[WitnessRefusalError]
) -> None:
    north.add_checkpoint(submission(0, 7))
    with pytest.raises(refusal):
        north.add_checkpoint(body)
    assert remembered(north) == [7]
    north.add_checkpoint(submission(7, 9))


def test_the_size_it_remembers_is_told(north: Witness) -> None:
    for size in (0, 7):
        with pytest.raises(OtherSizeError) as raised:
            north.add_checkpoint(submission(3, 9))
        assert raised.value.size == size
        if size == 0:
            north.add_checkpoint(submission(0, 7))


GOOD = submission(7, 9)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 7\n",
        GOOD.replace(b"old 7", b"old 07"),
        GOOD.replace(b"old 7", b"old  7"),
        GOOD.replace(b"old 7", b"new 7"),
        GOOD.replace(b"old 7", b"old -7"),
        GOOD.replace(b"old 7", b"old " + b"7" * 5000),
        GOOD.replace(b"old 7", b"old \xef\xbc\x97"),
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.replace(b"\n\n", b"\n", 1),
        GOOD.replace(b"=\n", b"\n", 1),
        GOOD.replace(b"\n\n", b"\nAAAA\n\n", 1),
        GOOD.replace(b"\n\n", b"\n" + b"\n".join([b"A" * 43 + b"="] * 64) + b"\n\n", 1),
        GOOD[:-1],
        GOOD + b"x",
        b"\xff" + GOOD,
        GOOD.replace(b"\n9\n", b"\n09\n"),
        b"x" * (MAX_BODY_BYTES + 1),
    ],
)
def test_a_request_of_another_form_is_refused(north: Witness, body: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        north.add_checkpoint(body)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_submission_or_refused(data: bytes) -> None:
    for body in (data, b"old 7\n" + data, b"old 7\n\n" + data):
        with contextlib.suppress(MalformedRequestError):
            Submission.parse(body)


def test_two_checkpoints_of_one_size_are_kept_as_proof_against_the_log(north: Witness) -> None:
    north.add_checkpoint(submission(0, 7))
    for _ in range(2):
        with pytest.raises(OtherSizeError):
            north.add_checkpoint(submission(7, 7, FORKED))
    (fork,) = north.forks()
    heads = [parse_head(note)[0] for note in (fork.one, fork.other)]
    assert heads[0].size == heads[1].size == fork.size
    assert heads[0].root != heads[1].root


# --- its key and its memory -----------------------------------------------------------------------


def test_a_witness_that_forgot_does_not_go_on_under_its_key(tmp_path: Path) -> None:
    def opened() -> Witness:
        return Witness.open(tmp_path / "w", name="witness.example/north", logs=[LOG.key], clock=lambda: NOON)

    key = opened().key
    opened().add_checkpoint(submission(0, 7))
    assert opened().key == key
    assert remembered(opened()) == [7]
    (tmp_path / "w" / "witness.db").unlink()
    with pytest.raises(SettingsError, match="could sign a fork"):
        opened()


def test_nothing_is_said_before_it_is_on_the_disk(tmp_path: Path) -> None:
    """The signer looks into the file at the moment it signs, through a connection of its own."""

    class Looking(WitnessSigner):
        def cosign(self, note: str, *, time_s: int) -> str:
            seen.append(remembered(witness))
            return super().cosign(note, time_s=time_s)

    seen: list[list[int]] = []
    witness = Witness(tmp_path / "w.db", Looking("witness.example/north", b"n" * 32), [LOG.key], clock=lambda: NOON)
    witness.add_checkpoint(submission(0, 7))
    assert seen == [[7]]


class Race:
    """Two requests at once, each from a fork of its own, that both get as far as they are let before one writes."""

    def __init__(self, kind: type[Witness], memory: Path, *, patience_s: float) -> None:
        self._meeting, self._patience_s = threading.Barrier(2), patience_s
        self.witness = kind(memory, NORTH, [LOG.key], clock=self._clock)
        self.cosigned: list[bytes] = []

    def _clock(self) -> int:
        # Asked for after judging and before writing: whoever comes here waits a moment for the other.
        with contextlib.suppress(threading.BrokenBarrierError):
            self._meeting.wait(timeout=self._patience_s)
        return NOON

    def run(self, bodies: list[bytes]) -> list[bytes]:
        threads = [threading.Thread(target=self._send, args=(body,)) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.cosigned

    def _send(self, body: bytes) -> None:
        with contextlib.suppress(OtherSizeError):
            self.witness.add_checkpoint(body)
            self.cosigned.append(body)


class Lockless(Witness):
    """The control: it compares and writes as two steps."""

    def _turn(self):  # type: ignore[no-untyped-def]
        return nullcontext(self._connect())


FORKS = [submission(0, 9), submission(0, 12, FORKED)]


@pytest.mark.parametrize("attempt", range(3))
def test_of_two_forks_at_once_one_is_cosigned(tmp_path: Path, attempt: int) -> None:
    assert len(Race(Witness, tmp_path / "w.db", patience_s=0.3).run(FORKS)) == 1


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_without_its_lock_both_forks_are_cosigned(tmp_path: Path) -> None:
    """The control: the race is real."""
    assert len(Race(Lockless, tmp_path / "w.db", patience_s=60).run(FORKS)) == 2


# --- SIGKILL --------------------------------------------------------------------------------------


class Killed:
    """A witness process that is killed at moments it does not choose, by two logs that hold one key."""

    def __init__(self, memory: Path, kind: str, seed: int) -> None:
        self._command = [sys.executable, str(Path(__file__).parent / "witness_worker.py"), str(memory), kind]
        self._command.append(LOG.key.text())
        self._random = random.Random(seed)
        self.cosigned: list[tuple[int, bytes]] = []
        """Size and root of everything a client holds a cosignature for."""

    def life(self) -> None:
        """Send alternating forks until the process dies; the kill comes from another thread."""
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        killer = threading.Timer(self._random.uniform(0, 0.25), process.kill)
        killer.start()
        old = 0
        with contextlib.suppress(BrokenPipeError):
            while old < len(TRUE):
                body = submission(old, old + 1, self._random.choice([TRUE, FORKED]))
                process.stdin.write(base64.b64encode(body) + b"\n")
                process.stdin.flush()
                answer = process.stdout.readline()
                if not answer.endswith(b"\n"):
                    break
                line = base64.b64decode(answer).decode()
                if line.isdigit():
                    old = int(line)
                elif line.startswith("—"):
                    note = Submission.parse(body).note
                    assert cosignatures(note + line, [NORTH.key])
                    self.cosigned.append((parse_head(note)[0].size, parse_head(note)[0].root))
                    old += 1
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        process.wait()
        killer.join()

    def has_cosigned_a_fork(self) -> bool:
        sides = {leaves is TRUE for size, root in self.cosigned for leaves in (TRUE, FORKED)
                 if merkle.root(leaves[:size]) == root}  # fmt: skip
        return len(sides) == 2


def lives(kind: str, count: int) -> Callable[[Path], Killed]:
    def run(folder: Path) -> Killed:
        killed = Killed(folder / "witness.db", kind, seed=3)
        # Some die before they said anything, more of them on a busy machine: then others live after them.
        for number in range(150):
            killed.life()
            if killed.has_cosigned_a_fork() or (number + 1 >= count and len(killed.cosigned) > count):
                break
        return killed

    return run


def test_a_witness_killed_at_any_moment_never_cosigns_two_forks(tmp_path: Path) -> None:
    killed = lives("durable", 15)(tmp_path)
    assert len(killed.cosigned) > 15
    assert not killed.has_cosigned_a_fork()


def test_one_that_writes_after_it_answered_does(tmp_path: Path) -> None:
    """The control: the same deaths, and a memory that is written later."""
    assert lives("forgetful", 15)(tmp_path).has_cosigned_a_fork()
