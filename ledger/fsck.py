"""Recompute everything: entries, leaf hashes, tree, checkpoints, and the heads a chain holds.

Streams, so a log of any length is checked in bounded memory. Nothing is written.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlmodel import Session, col, func, select

from ledger import merkle, tiles
from ledger.checkpoint import LogKey
from ledger.checkpoint import verify as verify_checkpoint
from ledger.errors import VerificationError
from ledger.kernel.clock import TimeError, parse_time
from ledger.log import tree_size
from ledger.models import Checkpoint, Entry, Tile

_PAGE: Final = 1024
_COLUMNS: Final = (
    "leaf_index",
    "data",
    "event_id",
    "is_declaration",
    "sentence",
    "event_type",
    "event_time",
    "record_time",
)
_MOST_PROBLEMS: Final = 100

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
    TREE = "tree"
    """The stored tree is damaged; the entries are not. It can be rebuilt."""
    CHECKPOINT = "checkpoint"
    """A checkpoint is not ours, or does not fit the entries."""
    CHAIN = "chain"
    """A chain holds a head that does not fit the entries."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `index` is the log index, where there is one."""

    kind: Kind
    what: str
    index: int | None = None
    event_id: str | None = None


class Verdict(StrEnum):
    """What has become of a signed or anchored head."""

    HOLDS = "holds"
    HOLDS_EXCEPT = "holds_except_wrong_entries"
    """The stored tree still gives its root: every entry that is not wrong can still be proved under it."""
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class ChainHead:
    """A head as a chain holds it. `where` names chain, contract and transaction for people."""

    size: int
    root: bytes
    where: str


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
    pending: int = 0
    """Recorded, not yet integrated: these are in no tree and are not checked."""
    checkpoints: int = 0
    chain_heads: int = 0
    problems: list[Problem] = field(default_factory=list)
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


def check(
    session: Session,
    *,
    verifier_key: LogKey,
    chain_heads: Sequence[ChainHead] = (),
    progress: Progress | None = None,
) -> Report:
    """Return what is wrong with the stored log, if anything. Reads one snapshot; may run on a live system."""
    return _Check(session, verifier_key, chain_heads, progress).run()


class _Frontier:
    """The full subtrees at the right edge of a growing tree: enough for its root."""

    def __init__(self) -> None:
        self._edge: list[tuple[int, bytes]] = []

    def append(self, leaf: bytes) -> None:
        level, node = 0, leaf
        while self._edge and self._edge[-1][0] == level:
            node = merkle.node_hash(self._edge.pop()[1], node)
            level += 1
        self._edge.append((level, node))

    def root(self) -> bytes:
        return merkle.fold([node for _, node in self._edge]) if self._edge else merkle.EMPTY_ROOT

    def copy(self) -> "_Frontier":
        twin = _Frontier()
        twin._edge = list(self._edge)
        return twin


@dataclass(frozen=True, slots=True)
class _Head:
    """A head somebody vouches for."""

    kind: Kind
    size: int
    root: bytes
    where: str


class _Check:
    """One run over the log, in order of index."""

    def __init__(
        self, session: Session, key: LogKey, chain_heads: Sequence[ChainHead], progress: Progress | None
    ) -> None:
        self._session, self._key, self._progress = session, key, progress
        self._report = Report(chain_heads=len(chain_heads))
        chained = (_Head(Kind.CHAIN, h.size, h.root, h.where) for h in sorted(chain_heads, key=lambda h: h.size))
        self._heads = heapq.merge(self._signed_heads(), chained, key=lambda head: head.size)
        self._head: _Head | None = None
        # Two trees: of the entries as they are, and of the leaf hashes as stored, kept from where they part.
        self._computed = _Frontier()
        self._stored: _Frontier | None = None
        self._parted: list[tuple[int, str]] = []
        self._good = {Kind.CHECKPOINT: 0, Kind.CHAIN: 0}
        self._broken_from: int | None = None
        self._has_wrong_entries = False
        self._rows: list[list[bytes]] = []

    def run(self) -> Report:
        report, size = self._report, tree_size(self._session)
        report.pending = self._session.exec(
            select(func.count()).select_from(Entry).where(col(Entry.leaf_index).is_(None))
        ).one()
        self._head = next(self._heads, None)
        leaves = b""
        for index, entry in enumerate(self._entries()):
            if entry.leaf_index != index:
                self._found(Kind.INDEX, f"entries {index} to {entry.leaf_index - 1} are gone", index=index)
                return report
            if index % tiles.WIDTH == 0:
                leaves = self._tile(0, index // tiles.WIDTH)[: tiles.TILE_BYTES]
            start = index % tiles.WIDTH * tiles.HASH_BYTES
            self._take(entry, index, leaves[start : start + tiles.HASH_BYTES])
            report.entries = index + 1
            self._judge_heads()
            if self._progress and (report.entries % _PAGE == 0 or report.entries == size):
                self._progress(report.entries, size)
        self._finish()
        return report

    def _take(self, entry: Any, index: int, kept: bytes) -> None:
        """Add one entry to both trees, and its stored leaf hash to the tiles."""
        leaf = merkle.leaf_hash(entry.data)
        if leaf != kept:
            self._stored = self._stored or self._computed.copy()
            self._parted.append((index, entry.event_id))
        self._computed.append(leaf)
        if self._stored is not None:
            self._stored.append(kept)
        wrong = _row_differs(entry)
        if wrong:
            self._found(Kind.ROW, wrong, index=index, event_id=entry.event_id)
        self._grow(0, kept)

    def _grow(self, level: int, node: bytes) -> None:
        """Add a node to a level of tiles and, when that fills a tile, compare it with the stored one."""
        if level == len(self._rows):
            self._rows.append([])
        self._rows[level].append(node)
        if len(self._rows[level]) % tiles.WIDTH == 0:
            number = self._report.entries // tiles.WIDTH ** (level + 1)
            expected = tiles.full_tile(b"".join(self._rows[level]))
            self._compare(level, number, expected)
            self._rows[level] = []
            self._grow(level + 1, expected[-tiles.HASH_BYTES :])

    def _judge_heads(self) -> None:
        """Judge every head of the size reached."""
        while self._head is not None and self._head.size <= self._report.entries:
            self._judge(self._head)
            self._head = next(self._heads, None)

    def _judge(self, head: _Head) -> None:
        if head.root == self._computed.root():
            for index, _ in self._parted:
                self._found(Kind.TREE, f"the stored leaf hash {index} is damaged; the entry is not")
            self._settle(self._computed)
            if self._has_wrong_entries:
                self._claim(head, Verdict.HOLDS_EXCEPT)
        elif self._stored is not None and head.root == self._stored.root():
            for index, event_id in self._parted:
                self._found(Kind.ENTRY, "its bytes were changed after integration", index=index, event_id=event_id)
            self._has_wrong_entries = True
            self._settle(self._stored)
            self._claim(head, Verdict.HOLDS_EXCEPT)
        else:
            self._break(head)
            return
        self._good[head.kind] = head.size

    def _break(self, head: _Head) -> None:
        """Say from where on the entries cannot be what this head covered."""
        if self._broken_from is None:
            # What we signed we could have signed anew; only an earlier head on a chain vouches to a chain.
            self._broken_from = max(self._good.values()) if head.kind is Kind.CHECKPOINT else self._good[Kind.CHAIN]
        what = f"{head.where} does not fit: entries between {self._broken_from} and {head.size} were rewritten"
        self._found(head.kind, what, index=self._broken_from)
        self._claim(head, Verdict.BROKEN)

    def _settle(self, right: _Frontier) -> None:
        """Go on with the tree that a head vouched for."""
        self._computed, self._stored, self._parted = right, None, []

    def _finish(self) -> None:
        """Report what no head settled, and heads beyond the end."""
        for head in itertools.chain([self._head] if self._head else [], self._heads):
            what = f"{head.where} has {head.size} entries, the log only {self._report.entries}: it was cut short"
            self._found(head.kind, what, index=self._report.entries)
            self._claim(head, Verdict.BROKEN)
        for index, event_id in self._parted:
            self._found(Kind.ENTRY_OR_TREE, "its bytes and the stored tree differ", index=index, event_id=event_id)
        for level, row in enumerate(self._rows):
            if row:
                self._compare(level, self._report.entries // tiles.WIDTH ** (level + 1), b"".join(row))

    def _compare(self, level: int, number: int, expected: bytes) -> None:
        if self._tile(level, number) != expected:
            self._found(Kind.TREE, f"tile {level}/{number} does not follow from the leaf hashes")

    def _tile(self, level: int, number: int) -> bytes:
        statement = select(Tile.data).where(Tile.level == level, Tile.number == number)
        return self._session.exec(statement).one_or_none() or b""

    def _entries(self) -> Iterator[Any]:
        columns = [Entry.__table__.c[name] for name in _COLUMNS]  # type: ignore[attr-defined]  # SQLModel
        last = -1
        while True:
            page = self._session.execute(
                select(*columns).where(columns[0] > last).order_by(columns[0]).limit(_PAGE)
            ).all()
            if not page:
                return
            yield from page
            last = page[-1].leaf_index

    def _signed_heads(self) -> Iterator[_Head]:
        """Yield the heads we signed, by size; one that cannot be ours is a problem instead."""
        last, previous = -1, 0
        while True:
            page = self._session.exec(
                select(Checkpoint).where(col(Checkpoint.size) > last).order_by(col(Checkpoint.size)).limit(_PAGE)
            ).all()
            if not page:
                return
            for row in page:
                last = row.size
                self._report.checkpoints += 1
                try:
                    head = verify_checkpoint(row.note, self._key)
                except VerificationError as error:
                    self._found(Kind.CHECKPOINT, f"the checkpoint of size {row.size}: {error}")
                    continue
                if (head.size, head.root, row.previous_size) != (row.size, row.root, previous):
                    self._found(Kind.CHECKPOINT, f"the row of the checkpoint of size {row.size} says something else")
                previous = head.size
                yield _Head(Kind.CHECKPOINT, head.size, head.root, f"the checkpoint of size {head.size}")

    def _found(self, kind: Kind, what: str, *, index: int | None = None, event_id: str | None = None) -> None:
        if len(self._report.problems) < _MOST_PROBLEMS:
            self._report.problems.append(Problem(kind, what, index, event_id))

    def _claim(self, head: _Head, verdict: Verdict) -> None:
        if len(self._report.claims) < _MOST_PROBLEMS:
            self._report.claims.append(Claim(head.kind, head.size, verdict))


def _row_differs(entry: Any) -> str | None:
    """Return how an entry's columns differ from its bytes, or None."""
    try:
        event = msgspec.json.decode(entry.data)
        said = {
            "event_id": event["eventID"],
            "is_declaration": "errorDeclaration" in event,
            "sentence": event.get("gy:sentence", ""),
            "event_type": event["type"],
            "event_time": parse_time(event["eventTime"]),
            "record_time": parse_time(event["recordTime"]),
        }
    except (
        msgspec.MsgspecError,
        UnicodeDecodeError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        TimeError,
    ) as error:
        return f"its bytes are no event: {str(error)[:120]}"
    differing = [name for name, value in said.items() if getattr(entry, name) != value]
    return f"the columns {', '.join(differing)} do not say what its bytes say" if differing else None
