"""The log itself: `record` in the caller's transaction, `integrate` into the tree, `publish` a signed head.

Nothing else writes entries. An entry is *recorded*, then *integrated* (it has an index), then
*published* (a signed checkpoint covers it), then *anchored* (the chain holds that checkpoint).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import Table, func, text, tuple_
from sqlalchemy.orm import class_mapper, make_transient_to_detached
from sqlmodel import Session, col, select

from ledger import tree
from ledger.canonical import canonical, entry_bytes, entry_document
from ledger.checkpoint import LogKey, LogSigner
from ledger.checkpoint import verify as verify_checkpoint
from ledger.errors import (
    ConflictingEventError,
    EntryTooLargeError,
    EventError,
    FutureEventError,
    LogInconsistentError,
    VerificationError,
)
from ledger.events import Event, parse_event
from ledger.kernel.clock import format_time, parse_time, whole_ms
from ledger.kernel.columns import milliseconds
from ledger.kernel.database import insert_rows
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

T = TypeVar("T")


def record(session: Session, event: Event, *, now: datetime) -> Entry:
    """Write one event in the caller's transaction and return its entry.

    The same event again returns the first entry and changes nothing. Raises ConflictingEventError for
    other content under a known eventID, FutureEventError, EntryTooLargeError, EventError.
    """
    return record_all(session, [event], now=now)[0]


def record_all(session: Session, events: Sequence[Event], *, now: datetime) -> list[Entry]:
    """Write many events in their order, as `record` does. After an exception the transaction must not be committed."""
    moment = whole_ms(now)
    drafts = [_draft(event, moment) for event in events]
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
        entries |= _find(session, {draft.key for _, draft in repeated} - entries.keys())
    for event, draft in repeated:
        first = entries[draft.key]
        if entry_bytes(event, first.record_time) != first.data:
            raise ConflictingEventError(first.event_id)
    return [entries[draft.key] for draft in drafts]


def integrate(session: Session, *, limit: int = 50_000) -> int:
    """Give recorded entries their index and extend the tree; return how many. Safe to call at any time.

    One integrator works at a time: SQLite's writer lane or PostgreSQL's advisory lock sees to it.
    """
    lock_integrator(session)
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
    highest = session.exec(select(func.max(col(Entry.leaf_index)))).one()
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


_Key = tuple[str, bool]


@dataclass(frozen=True, slots=True)
class _Draft:
    """An entry about to be written, and what it names."""

    key: _Key
    sentence: str
    event_type: str
    event_time: datetime
    data: bytes
    names: dict[str, int]


def _draft(event: Event, moment: datetime) -> _Draft:
    if event.event_id is None:
        raise EventError("$.eventID", "is missing: the recorder makes it before anything is sent")
    event_time = parse_time(event.event_time)
    if event_time > moment + AHEAD_ALLOWED:
        raise FutureEventError(event.event_time, format_time(moment))
    built = entry_document(event, moment)
    # What cannot be read back would stop every follower for good.
    parse_event(built)
    data = canonical(built)
    if len(data) > MAX_ENTRY_BYTES:
        raise EntryTooLargeError(len(data))
    return _Draft(
        key=(event.event_id, event.error_declaration is not None),
        sentence=event.sentence or "",
        event_type=type(event).__name__,
        event_time=event_time,
        data=data,
        names=names(built),
    )


_ENTRY_COLUMNS: Final = ("event_id", "is_declaration", "sentence", "event_type", "event_time", "record_time", "data")
NAMING_COLUMNS: Final = ("identifier", "sentence", "event_time", "entry_id", "roles")


def _insert(session: Session, drafts: Sequence[_Draft], moment: datetime) -> dict[_Key, Entry]:
    """Write those whose key is new, with their namings; return them."""
    recorded_ms = milliseconds(moment)
    rows = [(*d.key, d.sentence, d.event_type, milliseconds(d.event_time), recorded_ms, d.data) for d in drafts]
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
    namings = [row for d in fresh for row in naming_rows(ids[d.key], d.sentence, d.event_time, d.names)]
    insert_rows(session, NAMING_TABLE, NAMING_COLUMNS, namings)
    return {draft.key: _entry(draft, ids[draft.key], moment) for draft in fresh}


def _entry(draft: _Draft, entry_id: int, moment: datetime) -> Entry:
    """The row just written, as an object that is detached and clean.

    Put together by hand: building a SQLModel object field by field takes as long as hashing, writing
    and indexing the event.
    """
    entry: Entry = Entry.__new__(Entry)
    _MANAGER.setup_instance(entry)
    entry.__dict__.update(
        id=entry_id,
        event_id=draft.key[0],
        is_declaration=draft.key[1],
        sentence=draft.sentence,
        event_type=draft.event_type,
        event_time=draft.event_time,
        record_time=moment,
        data=draft.data,
        leaf_index=None,
    )
    make_transient_to_detached(entry)
    return entry


def naming_rows(
    entry_id: int, sentence: str, event_time: datetime, named: Mapping[str, int]
) -> list[tuple[str, str, int, int, int]]:
    """Return the index rows of an entry, as the driver takes them."""
    time_ms = milliseconds(event_time)
    return [(identifier, sentence, time_ms, entry_id, roles) for identifier, roles in named.items()]


def _find(session: Session, keys: Collection[_Key]) -> dict[_Key, Entry]:
    found: dict[_Key, Entry] = {}
    for page in pages(sorted(keys), _PAGE):
        rows = session.exec(select(Entry).where(tuple_(col(Entry.event_id), col(Entry.is_declaration)).in_(page)))
        found.update({(entry.event_id, entry.is_declaration): entry for entry in rows})
    return found


def pages(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield a sequence in pieces that fit one statement."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
