"""Makes the derived tables again from the entries: the index of identifiers and the tiles of the tree."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from sqlmodel import Session, col, delete, select

from ledger import tree
from ledger.errors import LogInconsistentError
from ledger.kernel.database import insert_rows
from ledger.lineage import names
from ledger.log import NAMING_COLUMNS, NAMING_TABLE, latest_checkpoint, lock_integrator, naming_rows
from ledger.merkle import leaf_hash
from ledger.models import Entry, Naming, Tile

_PAGE: Final = 2000


def rebuild(session: Session, *, progress: Callable[[int], None] | None = None) -> int:
    """Drop and make again what is derived from the entries; return how many entries there are.

    Raises LogInconsistentError when the entries do not give the root that was last signed: then they
    are what is damaged, and the transaction must not be committed.
    """
    lock_integrator(session)
    session.exec(delete(Tile))
    session.exec(delete(Naming))
    size = done = 0
    for page in _pages(session):
        rows = [
            row
            for entry in page
            for row in naming_rows(entry.id, entry.sentence, entry.event_time, names(msgspec.json.decode(entry.data)))
        ]
        insert_rows(session, NAMING_TABLE, NAMING_COLUMNS, rows)
        done += len(page)
        if progress:
            progress(done)
    for leaves in _leaf_pages(session):
        tree.append(session, size, leaves)
        size += len(leaves)
    checkpoint = latest_checkpoint(session)
    if checkpoint is not None and (size < checkpoint.size or tree.root(session, checkpoint.size) != checkpoint.root):
        raise LogInconsistentError(f"the entries do not give the root that was signed at size {checkpoint.size}")
    return done


def _pages(session: Session) -> Iterator[Sequence[Any]]:
    last = 0
    while True:
        page = session.exec(select(Entry).where(col(Entry.id) > last).order_by(col(Entry.id)).limit(_PAGE)).all()
        if not page:
            return
        yield page
        last = page[-1].id
        session.expunge_all()


def _leaf_pages(session: Session) -> Iterator[list[bytes]]:
    last = -1
    while True:
        page = session.exec(
            select(Entry.leaf_index, Entry.data)
            .where(col(Entry.leaf_index) > last)
            .order_by(col(Entry.leaf_index))
            .limit(_PAGE)
        ).all()
        if not page:
            return
        yield [leaf_hash(data) for _, data in page]
        last = page[-1][0] or 0
