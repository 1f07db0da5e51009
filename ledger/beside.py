"""What stands beside the entries: the index of identifiers, cursors, private text, files. Is it what they say?

The index holds several rows for each entry, in an order of its own. To compare it in one pass and little memory,
both sides are added up: a keyed hash of every row, summed by range of entries. Rows that differ give other
sums, whatever their order, and nobody who does not know the key of this run can choose rows that do not. Only
ranges whose sums differ are then read row by row, to name what is wrong.
"""

import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from hashlib import sha256
from typing import Final

import msgspec
from sqlalchemy import text, tuple_
from sqlmodel import Session, col, func, select

from ledger import digests
from ledger.cosign import WitnessKey, cosignatures
from ledger.errors import EventError, VerificationError
from ledger.findings import Kind, Problem, Report
from ledger.kernel.clock import TimeError, parse_time
from ledger.kernel.columns import milliseconds
from ledger.kernel.files import FileStore, MissingFileError
from ledger.lineage import names, sentence_of
from ledger.models import Checkpoint, Cosignature, Disclosure, Entry, FollowerCursor, WitnessState

_RANGE_BITS: Final = 12
"""Sums are kept for every 4,096 entry keys."""
_PAGE: Final = 1000
_ROWS_AT_ONCE: Final = 5000
_MOST_RANGES: Final = 8
"""So many differing ranges are read row by row."""
_SEPARATOR: Final = "\t"
_ROW: Final = (
    "identifier || :tab || sentence || :tab || CAST(event_time AS TEXT) || :tab || CAST(entry_id AS TEXT)"
    " || :tab || CAST(roles AS TEXT)"
)
_ALL_ROWS: Final = text(f"SELECT entry_id, {_ROW} FROM ledger_naming")  # noqa: S608  # constants
_ROWS_BETWEEN: Final = text(
    "SELECT entry_id, identifier, sentence, event_time, roles FROM ledger_naming"
    " WHERE entry_id BETWEEN :first AND :last"
)
_ENTRIES_BETWEEN: Final = text(
    "SELECT id, leaf_index, event_id, data FROM ledger_entry WHERE id BETWEEN :first AND :last ORDER BY id"
)
_PENDING: Final = text(
    "SELECT id, data FROM ledger_entry WHERE leaf_index IS NULL AND id > :last ORDER BY id LIMIT :most"
)
_NI: Final = re.compile(rb'"(ni:///sha-256;[A-Za-z0-9_-]{43})"')
_FILES_REMEMBERED: Final = 100_000


class IndexSums:
    """What the index of identifiers should add up to, by range of entries."""

    def __init__(self, salt: bytes, sums: dict[int, int]) -> None:
        self.salt = salt
        self._keyed = sha256(salt)
        self.sums = sums

    @classmethod
    def fresh(cls) -> "IndexSums":
        """Nothing added up yet, under a new key. It fills one block of SHA-256, so no row can reach into it."""
        return cls(secrets.token_bytes(64), {})

    @classmethod
    def restored(cls, salt: bytes, sums: Mapping[int, str]) -> "IndexSums":
        """What `texts` gave."""
        return cls(salt, {range_: int(value, 16) for range_, value in sums.items()})

    def texts(self) -> dict[int, str]:
        """Return the sums as hex."""
        return {range_: f"{value:x}" for range_, value in self.sums.items()}

    def add(self, entry_id: int, sentence: str, time_ms: int, named: Mapping[str, int]) -> None:
        """Add the index rows of one entry."""
        middle = f"{_SEPARATOR}{sentence}{_SEPARATOR}{time_ms}{_SEPARATOR}{entry_id}{_SEPARATOR}"
        total = 0
        for identifier, roles in named.items():
            total += self._hash(f"{identifier}{middle}{roles}")
        range_ = entry_id >> _RANGE_BITS
        self.sums[range_] = self.sums.get(range_, 0) + total

    def differing(self, session: Session) -> list[int]:
        """Return the ranges whose stored rows add up to something else, in order."""
        stored: dict[int, int] = {}
        rows = session.execute(_ALL_ROWS, {"tab": _SEPARATOR}, execution_options={"yield_per": _ROWS_AT_ONCE})
        hash_, get = self._hash, stored.get
        for part in rows.partitions(_ROWS_AT_ONCE):
            for entry_id, row in part:
                range_ = entry_id >> _RANGE_BITS
                stored[range_] = get(range_, 0) + hash_(row)
        ranges = stored.keys() | self.sums.keys()
        return sorted(range_ for range_ in ranges if stored.get(range_, 0) != self.sums.get(range_, 0))

    def _hash(self, row: str) -> int:
        keyed = self._keyed.copy()
        keyed.update(row.encode())
        return int.from_bytes(keyed.digest(), "big")


def add_pending(session: Session, sums: IndexSums) -> int:
    """Add the index rows of entries that have no place in the log yet; return how many entries there are."""
    last, count = 0, 0
    while True:
        page = session.execute(_PENDING, {"last": last, "most": _PAGE}).all()
        for entry_id, data in page:
            found = _naming_of(data)
            if found is not None:
                sums.add(entry_id, *found)
        count += len(page)
        if len(page) < _PAGE:
            return count
        last = page[-1].id


def naming_problems(session: Session, sums: IndexSums, *, except_for: Collection[int | None]) -> Iterator[Problem]:
    """Yield where the index of identifiers does not say what the entries name.

    Entries that something else is wrong with (`except_for`) are passed over: their own bytes say too little.
    """
    ranges = sums.differing(session)
    for range_ in ranges[:_MOST_RANGES]:
        yield from _naming_problems_in(session, range_, except_for)
    if len(ranges) > _MOST_RANGES:
        yield Problem(
            Kind.NAMING, f"{len(ranges) - _MOST_RANGES} more ranges of {1 << _RANGE_BITS} entries are indexed wrongly"
        )


_Names = dict[str, tuple[str, int, int]]
"""Sentence, time in milliseconds and roles under which an identifier is named."""


def _naming_problems_in(session: Session, range_: int, except_for: Collection[int | None]) -> Iterator[Problem]:
    bounds = {"first": range_ << _RANGE_BITS, "last": ((range_ + 1) << _RANGE_BITS) - 1}
    stored: dict[int, list[tuple[str, tuple[str, int, int]]]] = {}
    for entry_id, identifier, sentence, time_ms, roles in session.execute(_ROWS_BETWEEN, bounds):
        stored.setdefault(entry_id, []).append((identifier, (sentence, time_ms, roles)))
    for entry_id, index, event_id, data in session.execute(_ENTRIES_BETWEEN, bounds).all():
        rows, found = stored.pop(entry_id, []), _naming_of(data)
        if found is None or (index is not None and index in except_for):
            continue
        sentence, time_ms, named = found
        wanted = {identifier: (sentence, time_ms, roles) for identifier, roles in named.items()}
        for what in _differences(wanted, rows):
            yield Problem(Kind.NAMING, what, index, event_id)
    for entry_id in sorted(stored):
        names_ = ", ".join(sorted(identifier for identifier, _ in stored[entry_id])[:3])
        yield Problem(Kind.NAMING, f"the index has {names_} for the row {entry_id}, where no entry is")


def _differences(wanted: _Names, rows: list[tuple[str, tuple[str, int, int]]]) -> Iterator[str]:
    seen: dict[str, list[tuple[str, int, int]]] = {}
    for identifier, row in rows:
        seen.setdefault(identifier, []).append(row)
    for identifier in sorted(wanted.keys() | seen.keys()):
        expected, got = wanted.get(identifier), seen.get(identifier, [])
        if expected is None:
            yield f"the index has {identifier}, which it does not name"
        elif not got:
            yield f"the index lacks {identifier}, which it names"
        elif got != [expected]:
            yield f"the index says something else of {identifier} than it does"


def _naming_of(data: bytes) -> tuple[str, int, dict[str, int]] | None:
    """Return sentence, time in milliseconds and named identifiers of an entry, or None where it is no event."""
    try:
        event = msgspec.json.decode(data)
        return sentence_of(event), milliseconds(parse_time(event["eventTime"])), names(event)
    except (msgspec.MsgspecError, ValueError, LookupError, TypeError, AttributeError, RecursionError, TimeError):
        return None
    except EventError:
        return None


def follower_problems(session: Session, size: int) -> Iterator[Problem]:
    """Yield the followers that say they have handled more than there is."""
    cursors = session.exec(select(FollowerCursor).order_by(col(FollowerCursor.name)))
    for cursor in cursors:
        if not 0 <= cursor.position <= size:
            what = f"{cursor.name} says it has handled {cursor.position} entries; the log has {size}"
            yield Problem(Kind.FOLLOWER, what)


def cosignature_problems(session: Session, report: Report) -> Iterator[Problem]:
    """Yield what witnesses signed that is no longer there, or was never theirs; count them all in the report."""
    last = (-1, "")
    while True:
        rows = session.execute(
            select(Cosignature.size, Cosignature.key, Cosignature.line, Checkpoint.note)
            .join(Checkpoint, col(Checkpoint.size) == col(Cosignature.size), isouter=True)
            .where(tuple_(col(Cosignature.size), col(Cosignature.key)) > last)
            .order_by(col(Cosignature.size), col(Cosignature.key))
            .limit(_PAGE)
        ).all()
        if not rows:
            break
        for size, key, line, note in rows:
            report.cosignatures += 1
            wrong = _cosignature_differs(key, line, note)
            if wrong:
                name = key.partition("+")[0]
                yield Problem(Kind.COSIGNATURE, f"of {name} on the checkpoint of size {size}: {wrong}")
        last = (rows[-1].size, rows[-1].key)
    newest = session.exec(select(func.max(Checkpoint.size))).one() or 0
    for state in session.exec(select(WitnessState).order_by(col(WitnessState.key))):
        if state.size > newest:
            name = state.key.partition("+")[0]
            what = f"{name} signed a checkpoint of size {state.size}; the newest here has {newest}: it was cut short"
            yield Problem(Kind.COSIGNATURE, what, newest)


def _cosignature_differs(key: str, line: str, note: str | None) -> str | None:
    if note is None:
        return "the checkpoint is gone"
    try:
        found = cosignatures(note + line, [WitnessKey.parse(key)])
    except VerificationError as error:
        return str(error)
    return None if found else "it is somebody else's"


def disclosure_problems(session: Session, report: Report) -> Iterator[Problem]:
    """Yield the private texts that their events do not commit to; count them all in the report."""
    last = ""
    while True:
        page = session.execute(
            select(Disclosure.digest, Disclosure.event_id, Disclosure.name, Disclosure.disclosure)
            .where(col(Disclosure.digest) > last)
            .order_by(col(Disclosure.digest))
            .limit(_PAGE)
        ).all()
        if not page:
            return
        committed: dict[str, list[tuple[int | None, bytes]]] = {}
        event_ids = sorted({event_id for _, event_id, _, _ in page})
        entries = session.execute(
            select(Entry.event_id, Entry.leaf_index, Entry.data).where(col(Entry.event_id).in_(event_ids))
        )
        for event_id, index, data in entries:
            committed.setdefault(event_id, []).append((index, data))
        for digest, event_id, name, disclosure in page:
            report.disclosures += 1
            wrong = _disclosure_differs(digest, name, disclosure, committed.get(event_id, []))
            if wrong:
                index = next((index for index, _ in committed.get(event_id, [])), None)
                yield Problem(Kind.DISCLOSURE, f"the private field {name[:80]!r} {wrong}", index, event_id)
        last = page[-1].digest


def _disclosure_differs(digest: str, name: str, disclosure: str, entries: list[tuple[int | None, bytes]]) -> str | None:
    try:
        opened = digests.open_disclosure(disclosure)
    except VerificationError as error:
        return f"cannot be opened: {error}"
    if digests.digest_of(disclosure) != digest:
        return "is not the text that its digest stands for"
    if opened.name != name:
        return f"is called {opened.name[:80]!r} inside"
    if not any(f'"{digest}"'.encode() in data for _, data in entries):
        return "stands in no entry of its event"
    return None


class NamedFiles:
    """Looks after every file that entries name, each once as far as memory allows."""

    def __init__(self, files: FileStore) -> None:
        self._files = files
        self._seen: dict[bytes, bool] = {}
        self.count = 0
        self.gone = 0
        """Files that are not kept here: erased, as they may be, or never ours."""

    def altered_in(self, data: bytes) -> Iterator[str]:
        """Yield the names in an entry's bytes under which other bytes are kept."""
        for name in dict.fromkeys(_NI.findall(data)):
            if name not in self._seen:
                if len(self._seen) >= _FILES_REMEMBERED:
                    self._seen.clear()
                self._seen[name] = self._is_altered(name.decode())
            if self._seen[name]:
                yield name.decode()

    def _is_altered(self, name: str) -> bool:
        self.count += 1
        if not self._files.has(name):
            self.gone += 1
            return False
        try:
            self._files.get(name)
        except (MissingFileError, OSError):
            return True
        return False
