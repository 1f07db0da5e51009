"""The proof of one entry as text: C2SP `tlog-proof@v1`. Parse, write, verify. Pure.

`verify` raises VerificationError and nothing else, whatever bytes it is fed.
"""

import base64
import re
from dataclasses import dataclass
from typing import Final

from ledger import merkle
from ledger.checkpoint import MAX_NOTE_CHARACTERS, MAX_SIZE, LogKey, TreeHead
from ledger.cosign import Cosignature
from ledger.errors import VerificationError
from ledger.policy import Policy
from ledger.tiles import MAX_ENTRY_BYTES

FORMAT: Final = "c2sp.org/tlog-proof@v1"
MAX_FILE_BYTES: Final = 4 * MAX_NOTE_CHARACTERS + 2 * MAX_ENTRY_BYTES
MAX_PATH: Final = 63

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof file, parsed. `extra` is not authenticated; we put the entry there."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        extra = [] if self.extra is None else [f"extra {_base64(self.extra)}"]
        lines = [FORMAT, *extra, f"index {self.index}", *map(_base64, self.path), ""]
        return ("\n".join(lines) + "\n" + self.checkpoint).encode()

    @classmethod
    def decode(cls, data: bytes) -> "TlogProof":
        """Return the proof in a file's bytes, unverified. Raises VerificationError unless it is well formed."""
        if len(data) > MAX_FILE_BYTES:
            raise VerificationError(f"the file is {len(data)} bytes; a proof has at most {MAX_FILE_BYTES}")
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise VerificationError("the file is not UTF-8") from error
        header, gap, checkpoint = text.partition("\n\n")
        first, *lines = header.split("\n")
        if first != FORMAT or not gap:
            raise VerificationError(f"the file is not a {FORMAT}")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = _bytes(lines.pop(0).removeprefix("extra "), "the extra data")
            if len(extra) > MAX_ENTRY_BYTES:
                raise VerificationError(f"the extra data are {len(extra)} bytes; an entry has at most 65,535")
        index = lines.pop(0).removeprefix("index ") if lines and lines[0].startswith("index ") else ""
        if not _INDEX.fullmatch(index) or int(index) > MAX_SIZE:
            raise VerificationError("the file's index is not a plain number")
        if len(lines) > MAX_PATH:
            raise VerificationError(f"the inclusion path has {len(lines)} hashes; {MAX_PATH} reach any root")
        path = tuple(_bytes(line, "a hash of the path") for line in lines)
        if any(len(node) != 32 for node in path):
            raise VerificationError("a hash of the path is not 32 bytes")
        return cls(int(index), path, checkpoint, extra)


@dataclass(frozen=True, slots=True)
class Included:
    """An entry that stands in a log at its index, under a head that the log and these witnesses signed."""

    index: int
    entry: bytes
    head: TreeHead
    log: LogKey
    cosignatures: tuple[Cosignature, ...]


def is_tlog_proof(data: bytes) -> bool:
    """Return whether a file says that it is of this format."""
    return data.startswith(FORMAT.encode() + b"\n")


def verify(
    data: bytes, *, entry: bytes | None = None, log_key: LogKey | None = None, policy: Policy | None = None
) -> Included:
    """Return what a proof file shows of an entry: the one given, else the one it carries.

    Needs the log's key or a policy that names the log. Raises VerificationError, and nothing else, when
    it does not hold.
    """
    proof = TlogProof.decode(data)
    given = proof.extra if entry is None else entry
    if given is None:
        raise VerificationError("the file does not carry its entry; give the entry beside it")
    approval = (policy or Policy.parse(b"quorum none\n")).check(proof.checkpoint, log=log_key)
    merkle.verify_inclusion(merkle.leaf_hash(given), proof.index, approval.head.size, proof.path, approval.head.root)
    return Included(proof.index, given, approval.head, approval.log, approval.cosignatures)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:  # binascii.Error, and text that is not ASCII
        raise VerificationError(f"{what} is not base64") from error
    if _base64(data) != text:
        raise VerificationError(f"{what} is not written in the one way base64 allows")
    return data
