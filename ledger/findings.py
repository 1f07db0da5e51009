"""What a check of the log says: what is wrong, and which signed or anchored heads still hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

MOST_PROBLEMS: Final = 100
"""A report names at most so many problems; whoever has more has a log to restore, not a list to read."""

Progress = Callable[[int, int], None]
"""Told how many entries were checked, of how many."""


class Kind(StrEnum):
    """What sort of thing is wrong."""

    ENTRY = "entry"
    """An entry's bytes are not those that were integrated."""
    ENTRY_OR_TREE = "entry_or_tree"
    """An entry's bytes and the stored tree differ, and no checkpoint says which is right."""
    INDEX = "index"
    """An index is missing: entries were removed."""
    ROW = "row"
    """The columns beside an entry do not say what its bytes say."""
    TIME = "time"
    """An entry says that it was recorded long before one that stands before it: somebody set the log's clock back."""
    TREE = "tree"
    """The stored tree is damaged; the entries are not. It can be rebuilt."""
    CHECKPOINT = "checkpoint"
    """A checkpoint is not ours, or does not fit the entries."""
    COSIGNATURE = "cosignature"
    """A witness's signature is not one, or stands under another checkpoint."""
    CHAIN = "chain"
    """A chain holds a head that does not fit the entries."""
    PROOF = "proof"
    """A proof file handed out earlier holds a head that does not fit the entries."""
    NAMING = "naming"
    """The index of identifiers does not say what the entries name: queries are misled. It can be rebuilt."""
    FOLLOWER = "follower"
    """A follower's cursor stands beyond the log."""
    DISCLOSURE = "disclosure"
    """The text kept of a private field is not what its event commits to."""
    FILE = "file"
    """The bytes kept of a file are not those that an entry names."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `index` is the log index, where there is one."""

    kind: Kind
    what: str
    index: int | None = None
    event_id: str | None = None


Problems = Iterator[Problem]


class Verdict(StrEnum):
    """What has become of a signed or anchored head."""

    HOLDS = "holds"
    HOLDS_EXCEPT = "holds_except_wrong_entries"
    """The stored tree still gives its root: every entry that is not wrong can still be proved under it."""
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class OutsideHead:
    """A head that stands where the operator cannot change it: in a chain, or in a file somebody saved.

    `where` says where, for people: chain and transaction, or the file's name.
    """

    size: int
    root: bytes
    where: str
    kind: Kind = Kind.CHAIN


@dataclass(frozen=True, slots=True)
class Claim:
    """A head that was signed or anchored, and whether it still holds."""

    kind: Kind
    size: int
    verdict: Verdict


@dataclass
class Report:
    """What was checked and what was found."""

    entries: int = 0
    resumed_from: int = 0
    """How many of them an earlier, interrupted run read; this one took its word for them."""
    pending: int = 0
    """Recorded, not yet integrated: these are in no tree and are not checked."""
    checkpoints: int = 0
    chain_heads: int = 0
    proof_heads: int = 0
    cosignatures: int = 0
    disclosures: int = 0
    files: int | None = None
    """How many different files entries name; None where they were not asked for."""
    files_gone: int = 0
    """How many of them are not kept here. They may have been erased, or never have been ours: that is nothing wrong."""
    problems: list[Problem] = field(default_factory=list)
    is_cut: bool = False
    """Whether there are more problems than are listed."""
    claims: list[Claim] = field(default_factory=list)
    """Heads that do not simply hold."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def first_wrong(self) -> Problem | None:
        """The problem with the lowest log index; where none has an index, the first found."""
        indexed = [problem for problem in self.problems if problem.index is not None]
        return min(indexed, key=lambda problem: problem.index or 0) if indexed else next(iter(self.problems), None)

    def add(self, kind: Kind, what: str, *, index: int | None = None, event_id: str | None = None) -> None:
        """Note one problem, as long as there is room."""
        self.note(Problem(kind, what, index, event_id))

    def note(self, problem: Problem) -> None:
        """Note one problem, as long as there is room."""
        if self.is_full:
            self.is_cut = True
        else:
            self.problems.append(problem)

    def claim(self, kind: Kind, size: int, verdict: Verdict) -> None:
        """Say what has become of a head, as long as there is room."""
        if len(self.claims) < MOST_PROBLEMS:
            self.claims.append(Claim(kind, size, verdict))

    @property
    def is_full(self) -> bool:
        """Whether no more problems are taken."""
        return len(self.problems) >= MOST_PROBLEMS
