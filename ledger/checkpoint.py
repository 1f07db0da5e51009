"""Signed tree heads: C2SP tlog-checkpoint inside C2SP signed-note, Ed25519.

Parsing is strict: one spelling of every checkpoint is accepted. All that a stranger can feed in comes
back as VerificationError.
"""

import base64
import binascii
import os
import re
import stat
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Final, Self

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from ledger.errors import VerificationError
from ledger.kernel.errors import SettingsError

MAX_NOTE_CHARACTERS: Final = 131_072
"""Room for the sixteen signatures that every reader of signed notes takes, post-quantum ones included."""
MAX_SIZE: Final = 2**53 - 1
"""No tree is larger: JavaScript must be able to count its leaves."""

_DASH: Final = "— "
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# signed-note, "Format": no Unicode spaces and no plus sign. Control characters are refused everywhere.
_NAME: Final = re.compile(
    r"[^\x00-\x20\x7f-\xa0+\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff]{1,200}"
)
_OWN_NAME: Final = re.compile(r"[!-*,-~]{1,200}")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class TreeHead:
    """What a checkpoint states: this log, at this size, has this root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public Ed25519 key that signs notes under a name; its kinds differ in what they sign."""

    name: str
    public_key: bytes

    ALGORITHM: ClassVar[bytes]
    """The signature type of signed-note, section "Signature types"."""
    WHAT: ClassVar[str]

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand before each of its signatures."""
        return sha256(self.name.encode() + b"\n" + self.ALGORITHM + self.public_key).digest()[:4]

    def text(self) -> str:
        """Return the C2SP verifier key: `name+1a2b3c4d+base64`."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self.ALGORITHM + self.public_key).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key in a C2SP verifier key text. Raises VerificationError."""
        parts = text.split("+", 2) if len(text) <= 400 else []
        if len(parts) != 3 or not _NAME.fullmatch(parts[0]):
            raise VerificationError(f"{cls.WHAT} is not of the form name+id+key")
        material = _base64(parts[2], cls.WHAT)
        if len(material) != 33 or material[:1] != cls.ALGORITHM:
            raise VerificationError(f"{cls.WHAT} is not an Ed25519 key of type {cls.ALGORITHM[0]}")
        key = cls(parts[0], material[1:])
        if parts[1] != key.key_id.hex():
            raise VerificationError(f"{cls.WHAT} does not match its own id")
        return key


class LogKey(NoteKey):
    """The public key of a log, under the name it signs with."""

    __slots__ = ()
    ALGORITHM = b"\x01"
    WHAT = "the log key"


def parse_head(note: str) -> tuple[TreeHead, list[tuple[str, bytes, bytes]]]:
    """Return the head in a signed note and its signatures (name, key id, signature), unchecked.

    Raises VerificationError for any text that is not exactly a checkpoint.
    """
    if len(note) > MAX_NOTE_CHARACTERS:
        raise VerificationError("the checkpoint is not text of at most 131,072 characters")
    if _UNPRINTABLE.search(note.replace("\n", "")):
        raise VerificationError("the checkpoint holds control characters or broken text")
    body, gap, signatures = note.rpartition("\n\n")
    if not gap or not signatures.endswith("\n"):
        raise VerificationError("the checkpoint has no signatures")
    lines = body.split("\n")
    if len(lines) < 3 or not all(lines):
        raise VerificationError("the checkpoint does not begin with origin, size and root")
    origin, size, root = lines[:3]
    if not _SIZE.fullmatch(size) or int(size) > MAX_SIZE:
        raise VerificationError("the checkpoint's size is not a plain number")
    head = TreeHead(origin, int(size), _base64(root, "the checkpoint's root"))
    if len(head.root) != 32:
        raise VerificationError("the checkpoint's root is not 32 bytes")
    return head, [_signature(line) for line in signatures[:-1].split("\n")]


def verify(note: str, key: LogKey) -> TreeHead:
    """Return the head that this key signed as the log's own. Raises VerificationError.

    Signatures of other keys (witnesses) are passed over; one that claims to be this key's must hold.
    """
    head, signatures = parse_head(note)
    if head.origin != key.name:
        raise VerificationError(f"the checkpoint is of the log {head.origin[:200]!r}, not of {key.name!r}")
    ours = [signature for name, key_id, signature in signatures if (name, key_id) == (key.name, key.key_id)]
    if len(ours) != 1:
        raise VerificationError(f"the checkpoint carries {len(ours)} signatures of {key.name!r}, not one")
    if not holds(key.public_key, ours[0], signed_text(note).encode()):
        raise VerificationError(f"the signature of {key.name!r} on the checkpoint does not hold")
    return head


def signed_text(note: str) -> str:
    """Return the text that a note's signatures are over, its last newline included."""
    return note.rpartition("\n\n")[0] + "\n"


def holds(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether an Ed25519 signature is one of this key over these bytes, whatever it is fed."""
    try:
        VerifyKey(public_key).verify(message, signature)
    except (BadSignatureError, ValueError, TypeError):
        return False
    return True


def signature_line(key: NoteKey, signature: bytes) -> str:
    """Return a line of a signed note, its newline included."""
    return f"{_DASH}{key.name} {base64.b64encode(key.key_id + signature).decode()}\n"


class LogSigner:
    """The private key of a log, which signs nothing but tree heads."""

    def __init__(self, origin: str, seed: bytes) -> None:
        refuse_name(origin, "a log's origin")
        self.origin = origin
        self._key = SigningKey(seed)

    @classmethod
    def load_or_create(cls, path: Path, *, origin: str) -> "LogSigner":
        """Return the signer whose key is in a file; the file is made, readable by its owner alone, on first use.

        Raises SettingsError when the file belongs to another origin or others may read it.
        """
        return cls(origin, load_or_create_seed(path, LogKey, name=origin, whose="the log"))

    @property
    def key(self) -> LogKey:
        """The public key that verifies what this signs."""
        return LogKey(self.origin, bytes(self._key.verify_key))

    def sign(self, size: int, root: bytes) -> str:
        """Return the signed note for a head of this log."""
        text = TreeHead(self.origin, size, root).text()
        return f"{text}\n{signature_line(self.key, self._key.sign(text.encode()).signature)}"


def refuse_name(name: str, what: str) -> None:
    """Raise SettingsError for a name of ours that would not stand on a signature line and in an address."""
    if not _OWN_NAME.fullmatch(name):
        raise SettingsError(f"{name!r} cannot be {what}: printable ASCII, no spaces, no plus sign")


def load_or_create_seed(path: Path, kind: type[NoteKey], *, name: str, whose: str) -> bytes:
    """Return the Ed25519 seed in a key file; the file is made, readable by its owner alone, on first use.

    Raises SettingsError when the file belongs to another name or kind of key, or others may read it.
    """
    prefix = f"PRIVATE+KEY+{name}+"
    if not path.exists():
        _create(path, f"{prefix}{base64.b64encode(kind.ALGORITHM + os.urandom(32)).decode()}\n")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SettingsError(f"{path} can be read by others; set its mode to 0600")
    text = path.read_text().strip()
    if not text.startswith(prefix):
        raise SettingsError(f"{path} does not hold the key of {whose} {name!r}")
    try:
        material = base64.b64decode(text.removeprefix(prefix), validate=True)
    except binascii.Error as error:
        raise SettingsError(f"{path} does not hold a key") from error
    if len(material) != 33 or material[:1] != kind.ALGORITHM:
        raise SettingsError(f"{path} does not hold an Ed25519 key of {whose}")
    return material[1:]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not _NAME.fullmatch(name):
        raise VerificationError("a signature line is not of the form '— name signature'")
    material = _base64(encoded, "a signature")
    if len(material) < 5:
        raise VerificationError("a signature is too short")
    return name, material[:4], material[4:]


def _base64(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise VerificationError(f"{what} is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise VerificationError(f"{what} is not written in the one way base64 allows")
    return data


def _create(path: Path, text: str) -> None:
    """Write a private file whole, or leave the one that another process made first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as part:  # made with mode 0600
        part.write(text)
        part.flush()
        os.fsync(part.fileno())
    try:
        os.link(part.name, path)
    except FileExistsError:
        pass
    finally:
        Path(part.name).unlink()
