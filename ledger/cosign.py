"""Cosignatures of witnesses: C2SP tlog-cosignature, `cosignature/v1` (Ed25519). Pure.

A witness says: as of this second, the largest tree of this log that I saw has this root, and it extends
every one I saw before. All that a stranger can feed in comes back as VerificationError.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nacl.signing import SigningKey

from ledger.checkpoint import NoteKey, holds, load_or_create_seed, parse_head, refuse_name, signature_line, signed_text
from ledger.errors import VerificationError

MAX_TIME_S: Final = 253_402_300_799
"""The last second of the year 9999; tlog-cosignature allows more, nobody's clock needs it."""

_SIGNATURE_BYTES: Final = 8 + 64
"""`timestamped_signature`: eight bytes of seconds since 1970, big-endian, then the Ed25519 signature."""


class WitnessKey(NoteKey):
    """The public key of a witness, under its name."""

    __slots__ = ()
    ALGORITHM = b"\x04"
    WHAT = "the witness key"


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A witness's word on a checkpoint, and the second (since 1970, by its clock) it was given."""

    key: WitnessKey
    time_s: int
    line: str
    """As it stands in the note, its newline included."""


def cosignatures(note: str, keys: Iterable[WitnessKey]) -> tuple[Cosignature, ...]:
    """Return what these witnesses say of a checkpoint; of one that signed more than once, the latest.

    Other signatures are passed over. Raises VerificationError where the note is not a checkpoint, and
    where a signature that claims to be one of these keys' does not hold.
    """
    _, signatures = parse_head(note)
    signed = signed_text(note)
    found: list[Cosignature] = []
    for key in keys:
        mine = key.name, key.key_id
        given = [signature for name, key_id, signature in signatures if (name, key_id) == mine]
        times = [_time(key, signed, signature) for signature in given]
        if times:
            latest = given[times.index(max(times))]
            found.append(Cosignature(key, max(times), signature_line(key, latest)))
    return tuple(found)


class WitnessSigner:
    """The private key of a witness. It signs what it is given; `ledger.witness` decides what that is."""

    def __init__(self, name: str, seed: bytes) -> None:
        refuse_name(name, "a witness's name")
        self.name = name
        self._key = SigningKey(seed)

    @classmethod
    def load_or_create(cls, path: Path, *, name: str) -> "WitnessSigner":
        """Return the signer whose key is in a file; the file is made, readable by its owner alone, on first use.

        Raises SettingsError when the file belongs to another name or others may read it.
        """
        return cls(name, load_or_create_seed(path, WitnessKey, name=name, whose="the witness"))

    @property
    def key(self) -> WitnessKey:
        """The public key that verifies what this signs."""
        return WitnessKey(self.name, bytes(self._key.verify_key))

    def cosign(self, note: str, *, time_s: int) -> str:
        """Return the signature line, newline included, that says this witness saw the checkpoint at that second."""
        if not 1 <= time_s <= MAX_TIME_S:
            raise ValueError(f"{time_s} is not a second that a cosignature can carry")
        signature = self._key.sign(_message(signed_text(note), time_s)).signature
        return signature_line(self.key, time_s.to_bytes(8, "big") + signature)


def _time(key: WitnessKey, signed: str, signature: bytes) -> int:
    """Return the second of a cosignature that holds."""
    time_s = int.from_bytes(signature[:8], "big")
    if len(signature) != _SIGNATURE_BYTES or not 1 <= time_s <= MAX_TIME_S:
        raise VerificationError(f"the cosignature of {key.name!r} is not a time and an Ed25519 signature")
    if not holds(key.public_key, signature[8:], _message(signed, time_s)):
        raise VerificationError(f"the cosignature of {key.name!r} does not hold")
    return time_s


def _message(signed: str, time_s: int) -> bytes:
    """tlog-cosignature, "Ed25519 signed message"."""
    return f"cosignature/v1\ntime {time_s}\n{signed}".encode()
