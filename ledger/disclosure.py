"""Private fields of events: their digests go into the log, their text into a table that can be erased."""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from sqlmodel import Session, col, delete, select

from ledger import digests
from ledger.digests import Value
from ledger.log import pages
from ledger.models import Disclosure, Entry

_PAGE: Final = 500


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


class KeptField(NamedTuple):
    """A private field whose text is still kept."""

    event_id: str
    name: str
    disclosure: str

    @property
    def value(self) -> Value:
        """What it says."""
        return digests.open_disclosure(self.disclosure).value


def kept_fields(session: Session, event_ids: Collection[str], *, names: Collection[str] = ()) -> list[KeptField]:
    """Return the private fields still kept of some events, only the named ones if names are given, by digest."""
    found: list[tuple[str, KeptField]] = []
    for page in pages(sorted(set(event_ids)), _PAGE):
        statement = select(Disclosure).where(col(Disclosure.event_id).in_(page))
        if names:
            statement = statement.where(col(Disclosure.name).in_(sorted(names)))
        found += [(row.digest, KeptField(row.event_id, row.name, row.disclosure)) for row in session.exec(statement)]
    return [kept for _, kept in sorted(found)]


def opened(session: Session, event_id: str) -> dict[str, Value]:
    """Return the private fields of an event that are still kept, for those who may read them."""
    rows = session.exec(select(Disclosure.disclosure).where(Disclosure.event_id == event_id))
    return dict(digests.open_disclosure(disclosure) for disclosure in rows)


def erase_of_party(session: Session, party: str) -> int:
    """Erase the private text of every event that a party recorded; return how many fields went.

    Reads every event that still has private text: who recorded an event is in its bytes, and in no index.
    """
    said, gone, last = f'"gy:recorder":"{party}"'.encode(), 0, ""
    while True:
        event_ids = session.exec(
            select(Disclosure.event_id)
            .where(col(Disclosure.event_id) > last)
            .distinct()
            .order_by(col(Disclosure.event_id))
            .limit(_PAGE)
        ).all()
        if not event_ids:
            return gone
        entries = session.exec(select(Entry.event_id, Entry.data).where(col(Entry.event_id).in_(event_ids)))
        gone += erase(session, {event_id for event_id, data in entries if said in data})
        last = event_ids[-1]


def erase(session: Session, event_ids: Collection[str], *, names: Collection[str] = ()) -> int:
    """Erase the private text of events, or only some fields of it; return how many went. Proofs stay valid."""
    gone = 0
    for page in pages(sorted(set(event_ids)), _PAGE):
        statement = delete(Disclosure).where(col(Disclosure.event_id).in_(page))
        if names:
            statement = statement.where(col(Disclosure.name).in_(sorted(names)))
        gone += session.exec(statement).rowcount
    return gone
