"""A witness: it remembers the largest tree of each log it saw and cosigns what extends that (C2SP tlog-witness).

Its memory is an SQLite file of its own, beside its key. A witness that forgot could sign a fork: what it
remembers is on the disk before anybody sees its signature.
"""

import base64
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from ledger import merkle
from ledger.checkpoint import MAX_SIZE, LogKey, TreeHead, parse_head, signature_line, signed_text
from ledger.checkpoint import verify as verify_checkpoint
from ledger.cosign import WitnessKey, WitnessSigner
from ledger.errors import (
    ForkedLogError,
    MalformedRequestError,
    OtherSizeError,
    UnsignedCheckpointError,
    UnwatchedLogError,
    VerificationError,
)
from ledger.kernel.errors import SettingsError

MAX_BODY_BYTES: Final = 140_000
MAX_PROOF_LINES: Final = 63

_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,15})")
_BUSY_TIMEOUT_S: Final = 10
_MOST_FORKS: Final = 100
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS latest (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL, time_s INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS fork (
    size INTEGER NOT NULL, one TEXT NOT NULL, other TEXT NOT NULL, time_s INTEGER NOT NULL, UNIQUE (one, other)
);
"""


@dataclass(frozen=True, slots=True)
class Submission:
    """What a log asks: this checkpoint, and the proof that it extends the tree of `old_size`."""

    old_size: int
    path: tuple[bytes, ...]
    note: str

    @classmethod
    def parse(cls, body: bytes) -> "Submission":
        """Return the submission in a request's body. Raises MalformedRequestError."""
        if len(body) > MAX_BODY_BYTES:
            raise MalformedRequestError(f"the body is longer than {MAX_BODY_BYTES} bytes")
        try:
            header, gap, note = body.decode().partition("\n\n")
        except UnicodeDecodeError as error:
            raise MalformedRequestError("the body is not UTF-8") from error
        first, *lines = header.split("\n")
        old = _OLD.fullmatch(first)
        if old is None or not gap or int(old[1]) > MAX_SIZE:
            raise MalformedRequestError("the body does not begin with the old size and a proof")
        if len(lines) > MAX_PROOF_LINES:
            raise MalformedRequestError(f"{len(lines)} proof lines; {MAX_PROOF_LINES} reach any size")
        return cls(int(old[1]), tuple(_hash(line) for line in lines), note)

    def encode(self) -> bytes:
        """Return the body of the request."""
        lines = [f"old {self.old_size}", *(base64.b64encode(node).decode() for node in self.path), "", self.note]
        return "\n".join(lines).encode()


class Latest(NamedTuple):
    """The newest head of a log that a witness cosigned, and when."""

    origin: str
    size: int
    root: bytes
    note: str
    time_s: int


class Fork(NamedTuple):
    """Two checkpoints of one log and one size, both signed by the log: proof that it showed two histories."""

    size: int
    one: str
    other: str
    time_s: int


def judge(submission: Submission, head: TreeHead, *, size: int, root: bytes) -> None:
    """Return if a signed head extends the one remembered; raises OtherSizeError or ForkedLogError."""
    if submission.old_size != size:
        raise OtherSizeError(size, f"the newest checkpoint of this log here has {size} entries")
    if head.size == size:
        if head.root != root:
            raise OtherSizeError(size, f"another checkpoint of this log with {size} entries was cosigned before")
        if submission.path:
            raise ForkedLogError("a consistency proof between equal trees must be empty")
        return
    try:
        merkle.verify_consistency(size, head.size, root, head.root, submission.path)
    except VerificationError as error:
        raise ForkedLogError(str(error)) from error


class Witness:
    """A witness with its key and memory. Threads and processes may share it."""

    def __init__(
        self, memory: Path, signer: WitnessSigner, logs: Sequence[LogKey], *, clock: Callable[[], int]
    ) -> None:
        self._memory, self._signer, self._logs, self._clock = memory, signer, tuple(logs), clock
        with closing(self._connect()) as connection:
            connection.executescript(_TABLES)

    @classmethod
    def open(cls, folder: Path, *, name: str, logs: Sequence[LogKey], clock: Callable[[], int]) -> "Witness":
        """Return the witness that lives in a folder, made on first use. `clock` gives seconds since 1970.

        Raises SettingsError where the key is there and its memory is not: what it signed before is not known.
        """
        key, memory = folder / "witness.key", folder / "witness.db"
        if key.exists() and not memory.exists():
            raise SettingsError(
                f"{memory} is gone: under the key in {folder} it could sign a fork; begin anew under another name"
            )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with closing(_opened(memory)) as connection:
            connection.executescript(_TABLES)
        return cls(memory, WitnessSigner.load_or_create(key, name=name), logs, clock=clock)

    @property
    def key(self) -> WitnessKey:
        """The public key that its cosignatures verify under."""
        return self._signer.key

    @property
    def logs(self) -> tuple[LogKey, ...]:
        """The logs it watches."""
        return self._logs

    def add_checkpoint(self, body: bytes) -> str:
        """Return the cosignature line of a submission, which is remembered before. Raises WitnessRefusalError."""
        submission = Submission.parse(body)
        head, note = self._signed_head(submission.note)
        if submission.old_size > head.size:
            raise MalformedRequestError(f"old {submission.old_size} is beyond the checkpoint of size {head.size}")
        # Compared and written as one step: between the two, another request could go further.
        with self._turn() as connection:
            before = self._latest(connection, head.origin)
            size, root = (before.size, before.root) if before else (0, merkle.EMPTY_ROOT)
            refusal: OtherSizeError | None = None
            try:
                judge(submission, head, size=size, root=root)
            except OtherSizeError as error:
                refusal = error
            time_s = self._clock()
            if refusal is None:
                connection.execute(
                    "INSERT INTO latest VALUES (?, ?, ?, ?, ?) ON CONFLICT (origin) DO UPDATE SET"
                    " size = excluded.size, root = excluded.root, note = excluded.note, time_s = excluded.time_s",
                    (head.origin, head.size, head.root, note, time_s),
                )
            elif before and before.size == head.size and before.root != head.root:
                connection.execute(
                    "INSERT OR IGNORE INTO fork SELECT ?, ?, ?, ? WHERE (SELECT count(*) FROM fork) < ?",
                    (before.size, before.note, note, time_s, _MOST_FORKS),
                )
        if refusal is not None:
            raise refusal
        return self._signer.cosign(submission.note, time_s=time_s)

    def latest(self) -> list[Latest]:
        """Return what it remembers of every log."""
        with closing(self._connect()) as connection:
            return [Latest(*row) for row in connection.execute("SELECT * FROM latest ORDER BY origin")]

    def forks(self) -> list[Fork]:
        """Return the proofs of misbehaviour it was given, oldest first."""
        with closing(self._connect()) as connection:
            return [Fork(*row) for row in connection.execute("SELECT * FROM fork ORDER BY time_s, size")]

    def _signed_head(self, note: str) -> tuple[TreeHead, str]:
        """Return the head of a checkpoint that its log signed, and the note with that log's signatures alone."""
        try:
            head, signatures = parse_head(note)
        except VerificationError as error:
            raise MalformedRequestError(str(error)) from error
        known = {(key.name, key.key_id): key for key in self._logs if key.name == head.origin}
        if not known:
            raise UnwatchedLogError(head.origin)
        lines = []
        for name, key_id, signature in signatures:
            if key := known.get((name, key_id)):
                try:
                    verify_checkpoint(note, key)
                except VerificationError as error:
                    raise UnsignedCheckpointError(str(error)) from error
                lines.append(signature_line(key, signature))
        if not lines:
            raise UnsignedCheckpointError("the checkpoint carries no signature of a key of its log")
        return head, "".join([signed_text(note), "\n", *lines])

    @contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        """Hold the memory's one writer lock; what was written is on the disk when the block ends."""
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection  # closing a connection rolls back what was not committed
            connection.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        return _opened(self._memory)

    def _latest(self, connection: sqlite3.Connection, origin: str) -> Latest | None:
        row = connection.execute("SELECT * FROM latest WHERE origin = ?", (origin,)).fetchone()
        return Latest(*row) if row else None


def _opened(memory: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(memory, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _hash(line: str) -> bytes:
    try:
        node = base64.b64decode(line, validate=True)
    except ValueError as error:  # binascii.Error, and text that is not ASCII
        raise MalformedRequestError("a proof line is not base64") from error
    if len(node) != 32 or base64.b64encode(node).decode() != line:
        raise MalformedRequestError("a proof line is not 32 bytes in the one way base64 allows")
    return node
