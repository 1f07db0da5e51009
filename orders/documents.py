"""Numbers of the documents we issue: `PO260418-0001` and its GDTI."""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlmodel import Session

from ledger.kernel.ids import DocumentId, DocumentType, Numbering
from ledger.kernel.sequences import next_number


@dataclass(frozen=True, slots=True)
class Document:
    """A document's id and the short name people use for it."""

    id: DocumentId
    ref: str


def local_day(moment: datetime, zone: str) -> date:
    """Return the calendar day a moment falls on at the farm."""
    return moment.astimezone(ZoneInfo(zone)).date()


def next_document(
    session: Session, kind: DocumentType, abbreviation: str, *, now: datetime, zone: str, numbering: Numbering
) -> Document:
    """Return the next document of a kind for today, counted from 1 each day."""
    day = f"{abbreviation}{local_day(now, zone):%y%m%d}"
    ref = f"{day}-{next_number(session, day):04d}"
    return Document(numbering.document(kind, ref), ref)
