"""Recompute everything: entries, leaf hashes, tree, checkpoints, the heads a chain holds, and what stands beside.

Streams, so a log of any length is checked in bounded memory. Nothing is written. One snapshot is read, so it
may run on a live system. What a run has found sound so far can be kept (`Kept`) and gone on from.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct
from sqlalchemy import text
from sqlmodel import Session, col, select

from ledger import beside, merkle, tiles, tree
from ledger.beside import IndexSums
from ledger.checkpoint import LogKey
from ledger.checkpoint import verify as verify_checkpoint
from ledger.errors import EventError, LogInconsistentError, VerificationError
from ledger.findings import Claim, Kind, OutsideHead, Problem, Progress, Report, Verdict
from ledger.kernel.clock import TimeError, parse_time
from ledger.kernel.columns import milliseconds
from ledger.kernel.files import FileStore
from ledger.lineage import names, sentence_of
from ledger.log import tree_size
from ledger.models import Checkpoint, Tile

__all__ = ["Claim", "Kept", "Kind", "OutsideHead", "Problem", "Report", "Verdict", "check"]

_PAGE: Final = 4 * tiles.WIDTH
_BACK_ALLOWED_MS: Final = 3_600_000
"""A transaction that took its time is overtaken by others, but not for an hour."""
KEEP_EVERY: Final = 16 * _PAGE
"""After so many entries what is sound so far is handed to `keep`."""

_ENTRIES: Final = text(
    "SELECT leaf_index, id, data, event_id, is_declaration, sentence, event_type, event_time, record_time"
    " FROM ledger_entry WHERE leaf_index >= :first ORDER BY leaf_index LIMIT :most"
)
_NO_EVENT: Final = (
    msgspec.MsgspecError,
    UnicodeDecodeError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
    TimeError,
    EventError,
)


class Kept(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run had found sound when it was last asked: the first `size` entries and everything signed over them.

    Going on from here takes the word of whoever kept this for the entries below `size`: they are not read
    again. So it is bound to the log and its key, it is kept only while nothing is wrong, and before it is
    believed every head up to `size` and the stored tree are proved to be in keeping with its root.
    """

    origin: str
    key: str
    size: int
    root: bytes
    edge: tuple[tuple[int, bytes], ...]
    rows: tuple[tuple[bytes, ...], ...]
    recorded_ms: int
    salt: bytes
    sums: dict[int, str]


def check(
    session: Session,
    *,
    verifier_key: LogKey,
    outside_heads: Sequence[OutsideHead] = (),
    progress: Progress | None = None,
    files: FileStore | None = None,
    kept: Kept | None = None,
    keep: Callable[[Kept], None] | None = None,
) -> Report:
    """Return what is wrong with the stored log, if anything. Reads one snapshot; may run on a live system.

    With `files`, those that entries name are read too. With `kept`, it goes on where that stands, unless
    that does not fit the log; `keep` is handed what is sound so far, again and again, while nothing is wrong.
    """
    if session.get_bind().dialect.name == "postgresql" and not session.in_transaction():
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    if kept is not None and not _fits(session, kept, verifier_key, outside_heads):
        kept = None
    return _Check(session, verifier_key, outside_heads, progress=progress, files=files, kept=kept, keep=keep).run()


class _Frontier:
    """The full subtrees at the right edge of a growing tree: enough for its root."""

    def __init__(self, edge: Sequence[tuple[int, bytes]] = ()) -> None:
        self.edge = list(edge)

    def append(self, node: bytes, level: int = 0) -> None:
        """Add a leaf, or a full subtree no larger than the one at the edge."""
        while self.edge and self.edge[-1][0] == level:
            node = merkle.node_hash(self.edge.pop()[1], node)
            level += 1
        self.edge.append((level, node))

    def root(self) -> bytes:
        return merkle.fold([node for _, node in self.edge]) if self.edge else merkle.EMPTY_ROOT

    def copy(self) -> "_Frontier":
        return _Frontier(self.edge)


class _Row(NamedTuple):
    """An entry as the driver gives it: times in milliseconds."""

    leaf_index: int
    id: int
    data: bytes
    event_id: str
    is_declaration: bool
    sentence: str
    event_type: str
    event_time: int
    record_time: int


class _Check:
    """One run over the log, in order of index."""

    def __init__(
        self,
        session: Session,
        key: LogKey,
        outside_heads: Sequence[OutsideHead],
        *,
        progress: Progress | None,
        files: FileStore | None,
        kept: Kept | None,
        keep: Callable[[Kept], None] | None,
    ) -> None:
        self._session, self._key, self._progress, self._keep = session, key, progress, keep
        kinds = [head.kind for head in outside_heads]
        self._report = Report(chain_heads=kinds.count(Kind.CHAIN), proof_heads=kinds.count(Kind.PROOF))
        outside = sorted(outside_heads, key=lambda head: head.size)
        self._heads = heapq.merge(self._signed_heads(), outside, key=lambda head: head.size)
        self._head: OutsideHead | None = None
        # Two trees: of the entries as they are, and of the leaf hashes as stored, kept from where they part.
        self._computed = _Frontier(kept.edge if kept else ())
        self._stored: _Frontier | None = None
        self._parted: list[tuple[int, str]] = []
        self._good = {Kind.CHECKPOINT: 0, Kind.CHAIN: 0, Kind.PROOF: 0}
        self._broken_from: int | None = None
        self._has_wrong_entries = False
        self._rows: list[list[bytes]] = [list(row) for row in kept.rows] if kept else [[]]
        self._index = IndexSums.restored(kept.salt, kept.sums) if kept else IndexSums.fresh()
        self._files = beside.NamedFiles(files) if files is not None else None
        self._resumed = kept.size if kept else 0
        self._recorded_ms = kept.recorded_ms if kept else 0

    def run(self) -> Report:
        report, size = self._report, tree_size(self._session)
        report.entries = report.resumed_from = self._resumed
        self._head = next(self._heads, None)
        for head in self._due(self._resumed):
            if self._resumed:
                self._good[head.kind] = head.size  # `_fits` has seen to it
            else:
                self._judge(head, merkle.EMPTY_ROOT)
        for page in self._pages():
            if not self._take_page(page):
                return report
            if self._progress:
                self._progress(report.entries, size)
            if report.entries % KEEP_EVERY == 0:
                self._hand_over()
        self._finish()
        self._look_beside()
        return report

    # --- the tree ---------------------------------------------------------------------------------

    def _take_page(self, page: Sequence[_Row]) -> bool:
        """Take neighbouring entries, a tile at a time; return False where some are gone."""
        first = self._report.entries
        gap = next((i for i, row in enumerate(page) if row.leaf_index != first + i), None)
        whole = page if gap is None else page[:gap]
        numbers = range(first // tiles.WIDTH, (first + len(whole) - 1) // tiles.WIDTH + 1) if whole else range(0)
        stored = self._tiles(0, numbers)
        for start in range(0, len(whole), tiles.WIDTH):
            number = (first + start) // tiles.WIDTH
            self._take_tile(number, whole[start : start + tiles.WIDTH], stored.get(number, b""))
        if gap is not None:
            index, found = first + gap, page[gap].leaf_index
            self._report.add(Kind.INDEX, f"entries {index} to {found - 1} are gone", index=index)
        return gap is None

    def _take_tile(self, number: int, rows: Sequence[_Row], stored: bytes) -> None:
        for row in rows:
            self._read(row)
        leaves = [merkle.leaf_hash(row.data) for row in rows]
        joined = b"".join(leaves)
        if self._stored is None and stored[: len(joined)] == joined:
            self._take_sound_tile(number, leaves, tiles.expand(joined), stored)
            return
        for place, row in enumerate(rows):
            at = place * tiles.HASH_BYTES
            self._take(row, leaves[place], stored[at : at + tiles.HASH_BYTES].ljust(tiles.HASH_BYTES, b"\0"))

    def _take_sound_tile(self, number: int, leaves: Sequence[bytes], nodes: bytes, stored: bytes) -> None:
        """Take entries that agree with their stored hashes, as nearly all do: the tile's nodes are worked out once."""
        first = number * tiles.WIDTH
        end = first + len(leaves)
        for head in self._due(end):
            self._judge(head, _grown(self._computed, nodes, head.size - first).root())
        self._report.entries, self._computed = end, _grown(self._computed, nodes, len(leaves))
        if len(leaves) < tiles.WIDTH:
            self._rows[0] = list(leaves)
            return
        if stored != nodes:
            self._report.add(Kind.TREE, f"tile 0/{number} does not follow from the leaf hashes")
        self._grow(1, nodes[-tiles.HASH_BYTES :], last=end - 1)

    def _take(self, row: _Row, leaf: bytes, kept: bytes) -> None:
        """Add one entry to the tree of the entries, and its stored leaf hash to that of the hashes."""
        index = row.leaf_index
        if leaf != kept:
            self._stored = self._stored or self._computed.copy()
            self._parted.append((index, row.event_id))
        self._computed.append(leaf)
        if self._stored is not None:
            self._stored.append(kept)
        self._grow(0, kept, last=index)
        self._report.entries = index + 1
        for head in self._due(index + 1):
            self._judge(head, self._computed.root())

    def _grow(self, level: int, node: bytes, *, last: int) -> None:
        """Add a node over leaves up to `last` to a level of tiles; compare the tile that this fills with the stored."""
        if level == len(self._rows):
            self._rows.append([])
        self._rows[level].append(node)
        if len(self._rows[level]) == tiles.WIDTH:
            expected = tiles.full_tile(b"".join(self._rows[level]))
            self._compare(level, last // tiles.WIDTH ** (level + 1), expected)
            self._rows[level] = []
            self._grow(level + 1, expected[-tiles.HASH_BYTES :], last=last)

    # --- what was signed and anchored -------------------------------------------------------------

    def _due(self, size: int) -> Iterator[OutsideHead]:
        """Yield every head of at most a size, and be done with it."""
        while self._head is not None and self._head.size <= size:
            yield self._head
            self._head = next(self._heads, None)

    def _judge(self, head: OutsideHead, root: bytes) -> None:
        if head.root == root:
            for index, _ in self._parted:
                self._report.add(Kind.TREE, f"the stored leaf hash {index} is damaged; the entry is not")
            self._settle(self._computed)
            if self._has_wrong_entries:
                self._report.claim(head.kind, head.size, Verdict.HOLDS_EXCEPT)
        elif self._stored is not None and head.root == self._stored.root():
            for index, event_id in self._parted:
                self._report.add(Kind.ENTRY, "its bytes were changed after integration", index=index, event_id=event_id)
            self._has_wrong_entries = True
            self._settle(self._stored)
            self._report.claim(head.kind, head.size, Verdict.HOLDS_EXCEPT)
        else:
            self._break(head)
            return
        self._good[head.kind] = head.size

    def _break(self, head: OutsideHead) -> None:
        """Say from where on the entries cannot be what this head covered."""
        if self._broken_from is None:
            # What we signed we could have signed anew; only what stands outside vouches for what stands outside.
            outside = max(self._good[Kind.CHAIN], self._good[Kind.PROOF])
            self._broken_from = max(self._good.values()) if head.kind is Kind.CHECKPOINT else outside
        what = f"{head.where} does not fit: entries between {self._broken_from} and {head.size} were rewritten"
        self._report.add(head.kind, what, index=self._broken_from)
        self._report.claim(head.kind, head.size, Verdict.BROKEN)

    def _settle(self, right: _Frontier) -> None:
        """Go on with the tree that a head vouched for."""
        self._computed, self._stored, self._parted = right, None, []

    def _finish(self) -> None:
        """Report what no head settled, and heads beyond the end."""
        report = self._report
        for head in itertools.chain([self._head] if self._head else [], self._heads):
            what = f"{head.where} has {head.size} entries, the log only {report.entries}: it was cut short"
            report.add(head.kind, what, index=report.entries)
            report.claim(head.kind, head.size, Verdict.BROKEN)
        for index, event_id in self._parted:
            report.add(Kind.ENTRY_OR_TREE, "its bytes and the stored tree differ", index=index, event_id=event_id)
        for level, row in enumerate(self._rows):
            if row:
                self._compare(level, report.entries // tiles.WIDTH ** (level + 1), b"".join(row))

    def _compare(self, level: int, number: int, expected: bytes) -> None:
        if self._tiles(level, range(number, number + 1)).get(number) != expected:
            self._report.add(Kind.TREE, f"tile {level}/{number} does not follow from the leaf hashes")

    def _tiles(self, level: int, numbers: range) -> dict[int, bytes]:
        if not numbers:
            return {}
        wanted = (Tile.level == level, col(Tile.number).between(numbers[0], numbers[-1]))
        return dict(self._session.exec(select(Tile.number, Tile.data).where(*wanted)).all())

    def _signed_heads(self) -> Iterator[OutsideHead]:
        """Yield the heads we signed, by size; one that cannot be ours is a problem instead."""
        previous = 0
        for row in _checkpoints(self._session):
            self._report.checkpoints += 1
            try:
                head = verify_checkpoint(row.note, self._key)
            except VerificationError as error:
                self._report.add(Kind.CHECKPOINT, f"the checkpoint of size {row.size}: {error}")
                continue
            if (head.size, head.root, row.previous_size) != (row.size, row.root, previous):
                what = f"the row of the checkpoint of size {row.size} says something else"
                self._report.add(Kind.CHECKPOINT, what)
            previous = head.size
            yield OutsideHead(head.size, head.root, f"the checkpoint of size {head.size}", Kind.CHECKPOINT)

    # --- entries, and what stands beside them -----------------------------------------------------

    def _pages(self) -> Iterator[list[_Row]]:
        first = self._resumed
        while True:
            found = self._session.execute(_ENTRIES, {"first": first, "most": _PAGE})
            page = [_Row._make(row) for row in found.all()]
            if page:
                yield page
            if len(page) < _PAGE:
                return
            first = page[-1].leaf_index + 1

    def _read(self, row: _Row) -> None:
        """Compare an entry's columns with its bytes, and add up what it names."""
        try:
            said, named = _event_in(row.data)
        except _NO_EVENT as error:
            wrong = f"its bytes are no event: {str(error)[:120]}"
        else:
            self._index.add(row.id, said["sentence"], said["event_time"], named)
            differing = [name for name, value in said.items() if getattr(row, name) != value]
            wrong = f"the columns {', '.join(differing)} do not say what its bytes say" if differing else ""
            self._follow_clock(row, said["record_time"])
        if wrong:
            self._report.add(Kind.ROW, wrong, index=row.leaf_index, event_id=row.event_id)
        if self._files is not None:
            for name in self._files.altered_in(row.data):
                what = f"the bytes kept as {name} are others"
                self._report.add(Kind.FILE, what, index=row.leaf_index, event_id=row.event_id)

    def _follow_clock(self, row: _Row, recorded_ms: int) -> None:
        """See that the log's clock goes forward: what stands before an entry was recorded before it."""
        back_ms = self._recorded_ms - recorded_ms
        if back_ms > _BACK_ALLOWED_MS:
            what = f"it says it was recorded {back_ms / 3_600_000:.1f} hours before an entry that stands before it"
            self._report.add(Kind.TIME, what, index=row.leaf_index, event_id=row.event_id)
        self._recorded_ms = max(self._recorded_ms, recorded_ms)

    def _look_beside(self) -> None:
        """Check the tables that are derived from the entries, or stand beside them."""
        report, session = self._report, self._session
        report.pending = beside.add_pending(session, self._index)
        wrong = {problem.index for problem in report.problems}
        found = itertools.chain(
            beside.naming_problems(session, self._index, except_for=wrong),
            beside.cosignature_problems(session, report),
            beside.follower_problems(session, report.entries),
            beside.disclosure_problems(session, report),
        )
        for problem in found:
            report.note(problem)
            if report.is_full:
                report.is_cut = True
                break
        if self._files is not None:
            report.files, report.files_gone = self._files.count, self._files.gone

    def _hand_over(self) -> None:
        """Hand over what is sound so far, as long as all is."""
        if self._keep is None or self._report.problems or self._stored is not None:
            return
        self._keep(
            Kept(
                origin=self._key.name,
                key=self._key.text(),
                size=self._report.entries,
                root=self._computed.root(),
                edge=tuple(self._computed.edge),
                rows=tuple(tuple(row) for row in self._rows),
                recorded_ms=self._recorded_ms,
                salt=self._index.salt,
                sums=self._index.texts(),
            )
        )


def _fits(session: Session, kept: Kept, key: LogKey, outside_heads: Sequence[OutsideHead]) -> bool:
    """Return whether every head up to what was kept, and the stored tree, are in keeping with its root."""
    if (kept.key, kept.origin) != (key.text(), key.name) or kept.size % KEEP_EVERY or not kept.rows:
        return False
    if _Frontier(kept.edge).root() != kept.root or kept.size > tree_size(session):
        return False
    signed = (row for row in _checkpoints(session) if row.size <= kept.size)
    try:
        heads = [(h.size, h.root) for h in (verify_checkpoint(row.note, key) for row in signed)]
        heads += [(head.size, head.root) for head in outside_heads if head.size <= kept.size]
        if tree.root(session, kept.size) != kept.root:
            return False
        for size, root in heads:
            proof = tree.consistency(session, size, kept.size)
            merkle.verify_consistency(size, kept.size, root, kept.root, proof)
    except (VerificationError, LogInconsistentError):
        return False
    return True


def _checkpoints(session: Session) -> Iterator[Checkpoint]:
    last = -1
    while True:
        page = session.exec(
            select(Checkpoint).where(col(Checkpoint.size) > last).order_by(col(Checkpoint.size)).limit(_PAGE)
        ).all()
        if not page:
            return
        yield from page
        last = page[-1].size
        session.expunge_all()


def _grown(tree_before: _Frontier, nodes: bytes, width: int) -> _Frontier:
    """Return the tree with the first so many leaves of its next tile added, given all nodes of that tile."""
    grown = tree_before.copy()
    for level, place in merkle.subtrees(0, width):
        position = 2 * tiles.WIDTH - 2 * (tiles.WIDTH >> level) + place
        grown.append(nodes[position * tiles.HASH_BYTES : (position + 1) * tiles.HASH_BYTES], level)
    return grown


def _event_in(data: bytes) -> tuple[dict[str, Any], dict[str, int]]:
    """Return what the columns beside an entry's bytes should say, and what it names. Raises one of `_NO_EVENT`."""
    event = msgspec.json.decode(data)
    said = {
        "event_id": event["eventID"],
        "is_declaration": "errorDeclaration" in event,
        "sentence": sentence_of(event),
        "event_type": event["type"],
        "event_time": milliseconds(parse_time(event["eventTime"])),
        "record_time": _record_time(event["recordTime"]),
    }
    return said, names(event)


@lru_cache(maxsize=256)
def _record_time(said: str) -> int:
    """Milliseconds of a recordTime; whole batches share one."""
    return milliseconds(parse_time(said))
