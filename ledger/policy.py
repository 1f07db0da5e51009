"""Policy files: C2SP tlog-policy. Which logs a verifier believes, and whose cosignatures it demands. Pure.

    log guoyuan.example/log+1a2b3c4d+AQ...
    witness north witness.example/north+5e6f7a8b+BA...
    witness south witness.example/south+9c0d1e2f+BA...
    group both all north south
    quorum both

Reading is strict: what the format does not name is an error with its line, and so is a last line without
its newline, because a file that was cut short may demand less than the whole one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from ledger.checkpoint import LogKey, NoteKey, TreeHead, parse_head
from ledger.checkpoint import verify as verify_checkpoint
from ledger.cosign import Cosignature, WitnessKey, cosignatures
from ledger.errors import PolicyError, VerificationError

MAX_FILE_BYTES: Final = 65_536
"""Room for hundreds of keys; the format asks for 32 logs, 32 witnesses and 32 groups."""

_FORBIDDEN: Final = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,4}")
_NONE: Final = "none"

_Key = TypeVar("_Key", bound=NoteKey)


@dataclass(frozen=True, slots=True)
class Group:
    """Members of which at least `k` must have witnessed."""

    k: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness as a policy names it. `url` is its submission prefix; a verifier needs none."""

    key: WitnessKey
    url: str | None


@dataclass(frozen=True, slots=True)
class Approval:
    """A checkpoint that satisfied a policy: its head, the log that signed it, and who of the known witnesses did."""

    head: TreeHead
    log: LogKey
    cosignatures: tuple[Cosignature, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a verifier demands of a checkpoint. Names are the file's octets, one character each."""

    logs: tuple[LogKey, ...]
    witnesses: Mapping[str, Witness]
    groups: Mapping[str, Group]
    quorum: str
    """The witness or group that must have witnessed, or `none`."""

    @classmethod
    def parse(cls, data: bytes) -> "Policy":
        """Return the policy in a file's bytes. Raises PolicyError, which names the line."""
        return _Reader().read(data)

    @property
    def demands_witnesses(self) -> bool:
        """Whether a log's own signature is not enough."""
        return self.quorum != _NONE

    def check(self, note: str, *, log: LogKey | None = None) -> Approval:
        """Return what a checkpoint shows under this policy. Raises VerificationError where it does not satisfy it.

        `log` is a log known from elsewhere. It must be one of the policy's, if the policy names any;
        without either nothing says whose signature would do.
        """
        if log is not None and self.logs and log not in self.logs:
            raise VerificationError(f"the policy does not name the log key {log.text()}")
        candidates = (log,) if log is not None else self.logs
        _, signatures = parse_head(note)
        carried = {(name, key_id) for name, key_id, _ in signatures}
        signing = [key for key in candidates if (key.name, key.key_id) in carried]
        if not signing:
            raise VerificationError("the checkpoint is signed by no log that the policy names")
        # A signature of a known key that does not hold spoils the whole note (signed-note, "Signatures").
        heads = [verify_checkpoint(note, key) for key in signing]
        given = cosignatures(note, [witness.key for witness in self.witnesses.values()])
        if not self._is_met_by({cosignature.key for cosignature in given}):
            by = ", ".join(sorted(cosignature.key.name for cosignature in given)) or "nobody"
            raise VerificationError(
                f"the policy's quorum {_printable(self.quorum)} is not met: of its witnesses, {by} cosigned"
            )
        return Approval(heads[0], signing[0], given)

    def _is_met_by(self, signed: set[WitnessKey]) -> bool:
        if not self.demands_witnesses:
            return True
        witnessed = {name for name, witness in self.witnesses.items() if witness.key in signed}
        for name, group in self.groups.items():  # in the file's order: members stand before their group
            if len(witnessed.intersection(group.members)) >= group.k:
                witnessed.add(name)
        return self.quorum in witnessed


class _Reader:
    """One pass over a policy file."""

    def __init__(self) -> None:
        self._logs: list[LogKey] = []
        self._witnesses: dict[str, Witness] = {}
        self._groups: dict[str, Group] = {}
        self._members: set[str] = set()
        self._quorum: str | None = None
        self._line = 0

    def read(self, data: bytes) -> Policy:
        if len(data) > MAX_FILE_BYTES:
            raise PolicyError(0, f"the file is longer than {MAX_FILE_BYTES} bytes")
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._line += 1
            if _FORBIDDEN.search(line):
                raise self._wrong("a control character")
            self._take([word for word in re.split(r"[ \t]+", line.decode("latin-1")) if word])
        if rest:
            self._line += 1
            raise self._wrong("the last line does not end in a newline; was the file cut short?")
        if self._quorum is None:
            raise PolicyError(0, "there is no quorum line")
        return Policy(tuple(self._logs), self._witnesses, self._groups, self._quorum)

    def _take(self, words: Sequence[str]) -> None:
        if not words or words[0].startswith("#"):
            return
        keyword, *rest = words
        if keyword == "log" and len(rest) in {1, 2}:
            self._logs.append(self._key(LogKey, rest[0], self._logs))
        elif keyword == "witness" and len(rest) in {2, 3}:
            name = self._new_name(rest[0])
            key = self._key(WitnessKey, rest[1], [witness.key for witness in self._witnesses.values()])
            self._witnesses[name] = Witness(key, _printable(rest[2]) if len(rest) == 3 else None)
        elif keyword == "group" and len(rest) >= 3:
            self._take_group(rest[0], rest[1], rest[2:])
        elif keyword == "quorum" and len(rest) == 1:
            self._take_quorum(rest[0])
        elif keyword in {"log", "witness", "group", "quorum"}:
            raise self._wrong(f"a {keyword} line has another number of words")
        else:
            raise self._wrong(f"{_printable(keyword)!r} is none of log, witness, group, quorum")

    def _take_group(self, name: str, threshold: str, members: Sequence[str]) -> None:
        name = self._new_name(name)
        for member in members:
            if member not in self._witnesses and member not in self._groups:
                raise self._wrong(f"{_printable(member)!r} is defined on no line before")
            if member in self._members:
                raise self._wrong(f"{_printable(member)!r} is a member already")
            self._members.add(member)
        if threshold in {"all", "any"}:
            k = len(members) if threshold == "all" else 1
        elif _NUMBER.fullmatch(threshold) and int(threshold) <= len(members):
            k = int(threshold)
        else:
            raise self._wrong(f"{_printable(threshold)!r} is neither all, any, nor a number from 1 to {len(members)}")
        self._groups[name] = Group(k, tuple(members))

    def _take_quorum(self, name: str) -> None:
        if self._quorum is not None:
            raise self._wrong("a second quorum line")
        if name != _NONE and name not in self._witnesses and name not in self._groups:
            raise self._wrong(f"{_printable(name)!r} is defined on no line before")
        self._quorum = name

    def _new_name(self, name: str) -> str:
        if name == _NONE:
            raise self._wrong("'none' cannot be defined")
        if name in self._witnesses or name in self._groups:
            raise self._wrong(f"{_printable(name)!r} is defined twice")
        return name

    def _key(self, kind: type[_Key], text: str, known: Sequence[_Key]) -> _Key:
        try:
            key = kind.parse(text.encode("latin-1").decode())
        except (VerificationError, UnicodeDecodeError) as error:
            raise self._wrong(f"not a key of that kind: {error}") from error
        # tlog-policy, "Public key representation": the same key under another name is the same key.
        if any(key.public_key == other.public_key for other in known):
            raise self._wrong(f"the key of {key.name!r} stands on a line before")
        return key

    def _wrong(self, reason: str) -> PolicyError:
        return PolicyError(self._line, reason)


def _printable(octets: str) -> str:
    """Return opaque octets as text for a person."""
    return octets.encode("latin-1").decode(errors="replace")
