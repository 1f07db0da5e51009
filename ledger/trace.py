"""Which entries tell of an identifier."""

from collections.abc import Collection

from sqlmodel import Session, col, select

from ledger.models import Entry, Naming


def entries_naming(session: Session, identifier: str, *, sentences: Collection[str] = ()) -> list[Entry]:
    """Return the entries that name an identifier in any role, in log order; those not yet integrated come last."""
    statement = select(Entry).join(Naming, col(Naming.entry_id) == col(Entry.id)).where(Naming.identifier == identifier)
    if sentences:
        statement = statement.where(col(Naming.sentence).in_(sorted(sentences)))
    return list(session.exec(statement.order_by(col(Entry.leaf_index).nulls_last(), col(Entry.id))))
