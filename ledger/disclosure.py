"""Private fields of events: their digests go into the log, their text into a table that can be erased."""

from collections.abc import Collection, Mapping

from sqlmodel import Session, col, delete, select

from ledger import digests
from ledger.digests import Value
from ledger.models import Disclosure


def commit_fields(session: Session, event_id: str, fields: Mapping[str, Value]) -> list[str]:
    """Keep private fields of an event about to be recorded; return the sorted digests for `gy:digests`.

    Each call salts anew, so call it once per event and put its answer into that event.
    """
    made = []
    for name, value in fields.items():
        disclosure = digests.seal(name, value)
        digest = digests.digest_of(disclosure)
        session.add(Disclosure(digest=digest, event_id=event_id, name=name, disclosure=disclosure))
        made.append(digest)
    session.flush()
    return sorted(made)


def disclosures(session: Session, event_ids: Collection[str], *, names: Collection[str]) -> list[str]:
    """Return the disclosures still kept of the named fields of some events, in order of digest."""
    if not event_ids or not names:
        return []
    rows = session.exec(
        select(Disclosure.disclosure)
        .where(col(Disclosure.event_id).in_(sorted(event_ids)), col(Disclosure.name).in_(sorted(names)))
        .order_by(col(Disclosure.digest))
    )
    return list(rows)


def opened(session: Session, event_id: str) -> dict[str, Value]:
    """Return the private fields of an event that are still kept, for those who may read them."""
    rows = session.exec(select(Disclosure.disclosure).where(Disclosure.event_id == event_id))
    return dict(digests.open_disclosure(disclosure) for disclosure in rows)


def erase(session: Session, event_ids: Collection[str], *, names: Collection[str] = ()) -> int:
    """Erase the private text of events, or only some fields of it; return how many went. Proofs stay valid."""
    statement = delete(Disclosure).where(col(Disclosure.event_id).in_(sorted(event_ids)))
    if names:
        statement = statement.where(col(Disclosure.name).in_(sorted(names)))
    return session.exec(statement).rowcount
