"""Followers: others react to the log later, at their own pace, as often as they need.

A follower sees integrated entries in log order, at least once. Its cursor moves in the same
transaction as what it writes, so its own rows change exactly once; anything else it does must bear
being done twice. A follower that throws stops there, keeps the error, and tries again at the next
drain; the others go on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlmodel import Session, col, select

from ledger.canonical import decode_entry
from ledger.events import Event
from ledger.kernel.database import Database
from ledger.log import integrate, tree_size
from ledger.models import Entry, FollowerCursor


class Follower(Protocol):
    """Something that reacts to certain sentences of the log."""

    name: str
    sentences: frozenset[str]

    def handle(self, session: Session, entry: Entry, event: Event) -> None:
        """React to one entry. Doing it twice changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class FollowerState:
    """How far behind a follower is, and what stopped it."""

    name: str
    position: int
    behind: int
    error: str | None
    failed_index: int | None
    failed_at: datetime | None


def drain(db: Database, followers: Sequence[Follower], *, now: datetime, limit: int = 1000) -> int:
    """Integrate what is recorded, then let every follower handle up to `limit` entries; return how many.

    Zero means that all have caught up or stand still with an error: see `lag`.
    """
    with db.write() as session:
        integrate(session)
    return sum(_advance(db, follower, now=now, limit=limit) for follower in followers)


def lag(session: Session, *, names: Collection[str] = ()) -> list[FollowerState]:
    """Return every follower's state, by name; `names` adds those that have not run yet."""
    size = tree_size(session)
    cursors = {name: FollowerCursor(name=name) for name in names}
    cursors |= {cursor.name: cursor for cursor in session.exec(select(FollowerCursor))}
    return [
        FollowerState(c.name, c.position, size - c.position, c.error, c.failed_index, c.failed_at)
        for _, c in sorted(cursors.items())
    ]


def restart(session: Session, name: str) -> None:
    """Send a follower back to the first entry, to build its tables again."""
    cursor = _cursor(session, name)
    cursor.position, cursor.error, cursor.failed_index, cursor.failed_at = 0, None, None, None


class _StoppedError(Exception):
    """A handler threw; carries what was handled before it in this batch."""

    def __init__(self, handled: int, index: int | None, cause: Exception) -> None:
        super().__init__(str(cause))
        self.handled, self.index, self.cause = handled, index, cause


def _advance(db: Database, follower: Follower, *, now: datetime, limit: int) -> int:
    try:
        return _handle_batch(db, follower, limit=limit)
    except _StoppedError as stop:
        # The whole batch was rolled back: do again what went well, then write down what did not.
        handled = _handle_batch(db, follower, limit=stop.handled) if stop.handled else 0
        with db.write() as session:
            cursor = _cursor(session, follower.name)
            cursor.error = f"{type(stop.cause).__name__}: {stop.cause}"[:2000]
            cursor.failed_index, cursor.failed_at = stop.index, now
        return handled


def _handle_batch(db: Database, follower: Follower, *, limit: int) -> int:
    with db.write() as session:
        cursor = _cursor(session, follower.name)
        entries = session.exec(
            select(Entry)
            .where(col(Entry.leaf_index) >= cursor.position, col(Entry.sentence).in_(sorted(follower.sentences)))
            .order_by(col(Entry.leaf_index))
            .limit(limit)
        ).all()
        end = tree_size(session) if len(entries) < limit else (entries[-1].leaf_index or 0) + 1
        for handled, entry in enumerate(entries):
            index = entry.leaf_index  # not to be had from the entry once the session has failed
            try:
                follower.handle(session, entry, decode_entry(entry.data))
                session.flush()
            except Exception as error:
                raise _StoppedError(handled, index, error) from error
        cursor.position, cursor.error, cursor.failed_index, cursor.failed_at = end, None, None, None
        return len(entries)


def _cursor(session: Session, name: str) -> FollowerCursor:
    cursor = session.exec(select(FollowerCursor).where(FollowerCursor.name == name).with_for_update()).one_or_none()
    if cursor is None:
        cursor = FollowerCursor(name=name)
        session.add(cursor)
        session.flush()
    return cursor
