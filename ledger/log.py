"""The log itself: `record` in the caller's transaction, `integrate` into the tree, `publish` a signed head.

Nothing else writes entries. An entry is *recorded*, then *integrated* (it has an index), then
*published* (a signed checkpoint covers it), then *anchored* (the chain holds that checkpoint).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Table, text
from sqlalchemy.orm import class_mapper
from sqlalchemy.orm.attributes import instance_state
from sqlmodel import Session, col, select

from ledger import tree
from ledger.canonical import as_entry, canonical, entry_bytes
from ledger.checkpoint import LogKey, LogSigner
from ledger.checkpoint import verify as verify_checkpoint
from ledger.errors import (
    ConflictingEventError,
    EntryTooLargeError,
    EventError,
    FutureEventError,
    LedgerError,
    LogInconsistentError,
    VerificationError,
)
from ledger.events import Event, readable
from ledger.kernel.clock import format_time, parse_time, whole_ms
from ledger.kernel.columns import milliseconds
from ledger.kernel.database import RowExistsError, insert_rows
from ledger.lineage import names
from ledger.merkle import leaf_hash, verify_consistency
from ledger.models import Checkpoint, Entry, Naming
from ledger.tiles import MAX_ENTRY_BYTES

AHEAD_ALLOWED: Final = timedelta(minutes=5)
"""How far a recorder's clock may run ahead of the log's."""

_ENTRY: Final[Table] = Entry.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
NAMING_TABLE: Final[Table] = Naming.__table__  # type: ignore[attr-defined]
_INTEGRATOR_LOCK: Final = 0x6779_6C6F_67  # "gylog": one integrator in the whole PostgreSQL database
_MANAGER: Final = class_mapper(Entry).class_manager
_PAGE: Final = 500
_MANY: Final = 50_000
"""Entries integrated in one step: what fits the memory of a small machine."""

T = TypeVar("T")

_Key = tuple[str, bool]


class _Draft(NamedTuple):
    """An entry about to be written, and what it names."""

    key: _Key
    sentence: str
    event_type: str
    event_time_ms: int
    data: bytes
    names: dict[str, int]


def record(session: Session, event: Event, *, now: datetime) -> Entry:
    """Write one event in the caller's transaction and return its entry.

    The same event again returns the first entry and changes nothing. Raises ConflictingEventError for
    other content under a known eventID, FutureEventError, EntryTooLargeError, EventError.
    """
    return record_all(session, [event], now=now)[0]


def record_all(session: Session, events: Sequence[Event], *, now: datetime) -> list[Entry]:
    """Write many events in their order, as `record` does. After an exception the transaction must not be committed."""
    moment = whole_ms(now)
    recorded = format_time(moment)
    drafts = [_draft(event, moment, recorded) for event in events]
    fresh: dict[_Key, _Draft] = {}
    for draft in drafts:
        fresh.setdefault(draft.key, draft)  # the first of a repeated event stands, and the order stays
    entries = _insert(session, list(fresh.values()), moment)
    repeated = [
        (event, draft)
        for event, draft in zip(events, drafts, strict=True)
        if draft.key not in entries or fresh[draft.key] is not draft
    ]
    if repeated:
        entries |= find(session, {draft.key for _, draft in repeated} - entries.keys())
    for event, draft in repeated:
        first = entries[draft.key]
        if entry_bytes(event, first.record_time) != first.data:
            raise ConflictingEventError(first.event_id)
    return [entries[draft.key] for draft in drafts]


class Recorded(NamedTuple):
    """What became of one event of a batch."""

    event_id: str
    leaf_index: int | None
    """None where the event was recorded before and is not integrated yet."""
    is_new: bool
    """False for an event that was there already, or stood in the batch before."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of many events: None in `recorded` where one is refused, and why by its place."""

    recorded: Sequence[Recorded | None]
    refused: Mapping[int, LedgerError]


def record_batch(session: Session, events: Sequence[Event], *, now: datetime, is_whole: bool) -> Batch:
    """Write many events in their order and integrate them in the same step: for bulk, in a transaction of its own.

    Costs two thirds of `record_all` and `integrate`, which write every row twice. Refuses what `record` would
    raise for; where it `is_whole`, one refused event leaves nothing written. What is recorded and not yet
    integrated is integrated first. Waits for other integrators before it writes.
    """
    moment = whole_ms(now)
    drafts, unfit = _drafts(events, moment)
    fresh: dict[_Key, _Draft] = {}
    for draft in drafts:
        if draft is not None:
            fresh.setdefault(draft.key, draft)
    lock_integrator(session)
    while _extend(session, _MANY):
        pass
    size = tree_size(session)
    known: dict[_Key, Entry] = {}
    while True:
        refused = {**unfit, **_conflicts(events, drafts, fresh, known)}
        if refused and is_whole:
            return Batch([None] * len(events), refused)
        new = [draft for draft in fresh.values() if draft.key not in known]
        if not new or _insert_integrated(session, new, moment, first=size):
            break
        found = find(session, fresh.keys())
        if len(found) <= len(known):
            raise LogInconsistentError("entries could not be written, and none of them stands there already")
        known = found
    indexes = {draft.key: size + number for number, draft in enumerate(new)}
    recorded = [
        None
        if draft is None or number in refused
        else Recorded(draft.key[0], indexes[draft.key], fresh[draft.key] is draft)
        if draft.key in indexes
        else Recorded(draft.key[0], known[draft.key].leaf_index, is_new=False)
        for number, draft in enumerate(drafts)
    ]
    return Batch(recorded, refused)


def _drafts(events: Sequence[Event], moment: datetime) -> tuple[list[_Draft | None], dict[int, LedgerError]]:
    recorded = format_time(moment)
    drafts: list[_Draft | None] = []
    unfit: dict[int, LedgerError] = {}
    for number, event in enumerate(events):
        try:
            drafts.append(_draft(event, moment, recorded))
        except LedgerError as error:
            unfit[number] = error
            drafts.append(None)
    return drafts, unfit


def _conflicts(
    events: Sequence[Event],
    drafts: Sequence[_Draft | None],
    fresh: Mapping[_Key, _Draft],
    known: Mapping[_Key, Entry],
) -> dict[int, LedgerError]:
    """Return who says something else than an entry, or than an event before it in the batch, of the same key."""
    if not known and len(fresh) == len(drafts):
        return {}
    found: dict[int, LedgerError] = {}
    for number, (event, draft) in enumerate(zip(events, drafts, strict=True)):
        if draft is None:
            continue
        first = known.get(draft.key)
        if first is None:
            is_same = draft.data == fresh[draft.key].data
        else:
            is_same = entry_bytes(event, first.record_time) == first.data
        if not is_same:
            found[number] = ConflictingEventError(draft.key[0])
    return found


def integrate(session: Session, *, limit: int = _MANY) -> int:
    """Give recorded entries their index and extend the tree; return how many. Safe to call at any time.

    One integrator works at a time: SQLite's writer lane or PostgreSQL's advisory lock sees to it.
    """
    lock_integrator(session)
    return _extend(session, limit)


def _extend(session: Session, limit: int) -> int:
    """Integrate, under the lock."""
    pending = session.execute(
        select(_ENTRY.c.id, _ENTRY.c.data).where(_ENTRY.c.leaf_index.is_(None)).order_by(_ENTRY.c.id).limit(limit)
    ).all()
    if not pending:
        return 0
    size = tree_size(session)
    _give_indexes(session, [row.id for row in pending], first=size)
    tree.append(session, size, [leaf_hash(row.data) for row in pending])
    return len(pending)


def publish(session: Session, signer: LogSigner, *, now: datetime) -> Checkpoint | None:
    """Sign the tree as it stands and return the checkpoint, or None when nothing is new.

    Raises LogInconsistentError, and signs nothing, unless the tree is proved to extend the last head signed.
    """
    lock_integrator(session)
    size, last = tree_size(session), latest_checkpoint(session)
    if size == (last.size if last else 0):
        return None
    root = tree.root(session, size)
    if last is not None:
        _prove_extends(session, last, size=size, root=root, key=signer.key)
    checkpoint = Checkpoint(
        size=size,
        previous_size=last.size if last else 0,
        root=root,
        note=signer.sign(size, root),
        signed_at=whole_ms(now),
    )
    session.add(checkpoint)
    session.flush()
    return checkpoint


def latest_checkpoint(session: Session) -> Checkpoint | None:
    """Return the last head that was signed."""
    return session.exec(select(Checkpoint).order_by(col(Checkpoint.size).desc()).limit(1)).one_or_none()


def tree_size(session: Session) -> int:
    """Return how many entries are integrated."""
    highest: int | None = session.connection().exec_driver_sql("SELECT max(leaf_index) FROM ledger_entry").scalar()
    return 0 if highest is None else highest + 1


def lock_integrator(session: Session) -> None:
    """Wait until no other transaction integrates or publishes; held until this one ends."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _INTEGRATOR_LOCK})


def _prove_extends(session: Session, last: Checkpoint, *, size: int, root: bytes, key: LogKey) -> None:
    try:
        signed = verify_checkpoint(last.note, key)
        proof = tree.consistency(session, signed.size, size) if signed.size <= size else []
        verify_consistency(signed.size, size, signed.root, root, proof)
    except VerificationError as error:
        raise LogInconsistentError(f"nothing was signed: {error}") from error


def _give_indexes(session: Session, ids: Sequence[int], *, first: int) -> None:
    connection = session.connection()
    indexes = range(first, first + len(ids))
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            "UPDATE ledger_entry SET leaf_index = given.leaf_index"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS given (id, leaf_index) WHERE ledger_entry.id = given.id",
            (list(ids), list(indexes)),
        )
    else:
        connection.exec_driver_sql(
            "UPDATE ledger_entry SET leaf_index = ? WHERE id = ?", list(zip(indexes, ids, strict=True))
        )


def _draft(event: Event, moment: datetime, recorded: str) -> _Draft:
    if event.event_id is None:
        raise EventError("$.eventID", "is missing: the recorder makes it before anything is sent")
    # What cannot be read back would stop every follower for good.
    built = as_entry(readable(event), recorded)
    event_time = parse_time(event.event_time)
    if event_time > moment + AHEAD_ALLOWED:
        raise FutureEventError(event.event_time, recorded)
    data = canonical(built)
    if len(data) > MAX_ENTRY_BYTES:
        raise EntryTooLargeError(len(data))
    named = names(built)
    if b"\\u0000" in data:
        _refuse_nul((event.event_id, event.sentence or "", *named))
    return _Draft(
        key=(event.event_id, event.error_declaration is not None),
        sentence=event.sentence or "",
        event_type=type(event).__name__,
        event_time_ms=milliseconds(event_time),
        data=data,
        names=named,
    )


def _refuse_nul(identifiers: Iterable[str]) -> None:
    for identifier in identifiers:
        if "\0" in identifier:
            raise EventError("$", f"names {identifier[:80]!r}, which holds the character U+0000: no index can hold it")


_ENTRY_COLUMNS: Final = ("event_id", "is_declaration", "sentence", "event_type", "event_time", "record_time", "data")
NAMING_COLUMNS: Final = ("identifier", "sentence", "event_time", "entry_id", "roles")


def _insert(session: Session, drafts: Sequence[_Draft], moment: datetime) -> dict[_Key, Entry]:
    """Write those whose key is new, with their namings; return them."""
    recorded_ms = milliseconds(moment)
    rows = [(*d.key, d.sentence, d.event_type, d.event_time_ms, recorded_ms, d.data) for d in drafts]
    written = insert_rows(
        session,
        _ENTRY,
        _ENTRY_COLUMNS,
        rows,
        unless=("event_id", "is_declaration"),
        returning=("id", "event_id", "is_declaration"),
    )
    ids = {(event_id, bool(is_declaration)): entry_id for entry_id, event_id, is_declaration in written}
    fresh = [draft for draft in drafts if draft.key in ids]
    _insert_namings(session, [(ids[draft.key], draft) for draft in fresh])
    return {draft.key: _entry(draft, ids[draft.key], moment) for draft in fresh}


def _insert_integrated(session: Session, drafts: Sequence[_Draft], moment: datetime, *, first: int) -> bool:
    """Write all of them under the indexes from `first` on; write none, and return False, where one is there already."""
    recorded_ms, ids = milliseconds(moment), _new_ids(session, len(drafts))
    rows = [
        (entry_id, *d.key, d.sentence, d.event_type, d.event_time_ms, recorded_ms, d.data, index)
        for index, (entry_id, d) in enumerate(zip(ids, drafts, strict=True), start=first)
    ]
    try:
        # The connection's savepoint: the session's would look through all its objects first.
        with session.connection().begin_nested():
            insert_rows(session, _ENTRY, ("id", *_ENTRY_COLUMNS, "leaf_index"), rows)
            _insert_namings(session, zip(ids, drafts, strict=True))
    except RowExistsError:
        return False
    tree.append(session, first, [leaf_hash(draft.data) for draft in drafts])
    return True


def _insert_namings(session: Session, drafts: Iterable[tuple[int, _Draft]]) -> None:
    rows = [
        (identifier, draft.sentence, draft.event_time_ms, entry_id, roles)
        for entry_id, draft in drafts
        for identifier, roles in draft.names.items()
    ]
    rows.sort()  # in the order of the key: neighbours fall on one page
    insert_rows(session, NAMING_TABLE, NAMING_COLUMNS, rows)


def _new_ids(session: Session, count: int) -> Sequence[int]:
    """Return the ids of rows about to be written."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        taken = connection.exec_driver_sql(
            "SELECT nextval(pg_get_serial_sequence('ledger_entry', 'id')) FROM generate_series(1, %s)", (count,)
        )
        return [number for (number,) in taken]
    highest = connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM ledger_entry").scalar_one()
    return range(highest + 1, highest + 1 + count)


def _entry(draft: _Draft, entry_id: int, moment: datetime) -> Entry:
    """The row just written, as an object that is detached and clean.

    Put together by hand: building a SQLModel object field by field takes as long as hashing, writing
    and indexing the event.
    """
    entry: Entry = Entry.__new__(Entry)
    _MANAGER.setup_instance(entry)
    instance_state(entry).key = (Entry, (entry_id,), None)
    entry.__dict__.update(
        id=entry_id,
        event_id=draft.key[0],
        is_declaration=draft.key[1],
        sentence=draft.sentence,
        event_type=draft.event_type,
        event_time=datetime.fromtimestamp(draft.event_time_ms / 1000, UTC),
        record_time=moment,
        data=draft.data,
        leaf_index=None,
    )
    return entry


def naming_rows(
    entry_id: int, sentence: str, event_time: datetime, named: Mapping[str, int]
) -> list[tuple[str, str, int, int, int]]:
    """Return the index rows of an entry, as the driver takes them."""
    time_ms = milliseconds(event_time)
    return [(identifier, sentence, time_ms, entry_id, roles) for identifier, roles in named.items()]


def find(session: Session, keys: Collection[tuple[str, bool]]) -> dict[tuple[str, bool], Entry]:
    """Return the entries of these eventIDs that are recorded: the event (False), or its error declaration (True)."""
    found: dict[_Key, Entry] = {}
    wanted = set(keys)
    # By eventID alone: of a list of pairs SQLite makes no use of the index, and reads the whole log.
    for page in pages(sorted({event_id for event_id, _ in wanted}), _PAGE):
        rows = session.exec(select(Entry).where(col(Entry.event_id).in_(page)))
        found.update({(entry.event_id, entry.is_declaration): entry for entry in rows})
    return {key: entry for key, entry in found.items() if key in wanted}


def pages(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield a sequence in pieces that fit one statement."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
