"""How often a code was looked at: a row per visit, and nothing that tells who came.

A visitor is a salted hash of address and browser. The salt is random, lives one day and is then deleted,
so yesterday's rows can no longer be tied to anybody, by us either.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import Column, Index, LargeBinary, func
from sqlmodel import Field, Session, SQLModel, col, delete, select

from ledger.kernel.columns import BigKey, UtcTime
from ledger.kernel.database import insert_into

SAME_VISIT = timedelta(minutes=30)
"""Looking again within this time is one scan: turning the phone, another fruit, another language."""
UNKNOWN_REGION = "unknown"


class Scan(SQLModel, table=True):
    """One visit to the page of a thing."""

    __tablename__ = "api_scan"
    __table_args__ = (Index("api_scan_subject", "subject", "at"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=BigKey)
    subject: str = Field(max_length=200)
    at: datetime = Field(sa_type=UtcTime)
    region: str = Field(default=UNKNOWN_REGION, max_length=40)
    visitor: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ScanSalt(SQLModel, table=True):
    """The salt of one day (UTC). Deleted when the next one is made."""

    __tablename__ = "api_scan_salt"

    day: str = Field(primary_key=True, max_length=10)
    salt: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


@dataclass(frozen=True, slots=True)
class Scans:
    """How often a thing was scanned, the visit being answered included."""

    count: int
    first_at: datetime | None


def scans_of(session: Session, subject: str, *, visitor: str, now: datetime) -> Scans:
    """Return the scans of a thing as this visitor sees them; their own visit counts once."""
    count, first_at = session.exec(
        select(func.count(), func.min(col(Scan.at))).select_from(Scan).where(col(Scan.subject) == subject)
    ).one()
    salt = session.get(ScanSalt, _day(now))
    is_new = salt is None or not _was_here(session, subject, _hash(salt.salt, subject, visitor), now)
    return Scans(count + is_new, first_at)


def note_scan(session: Session, subject: str, *, visitor: str, now: datetime) -> bool:
    """Write a visit; return whether it counts. The same visitor within half an hour writes nothing."""
    hashed = _hash(_salt(session, now), subject, visitor)
    if _was_here(session, subject, hashed, now):
        return False
    session.add(Scan(subject=subject, at=now, visitor=hashed))
    session.flush()
    return True


def _was_here(session: Session, subject: str, hashed: bytes, now: datetime) -> bool:
    found = select(Scan.id).where(
        col(Scan.subject) == subject, col(Scan.at) > now - SAME_VISIT, col(Scan.visitor) == hashed
    )
    return session.exec(found.limit(1)).first() is not None


def _salt(session: Session, now: datetime) -> bytes:
    day = _day(now)
    known = session.get(ScanSalt, day)
    if known is not None:
        return known.salt
    session.exec(delete(ScanSalt).where(col(ScanSalt.day) < day))
    table = ScanSalt.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
    fresh = {"day": day, "salt": secrets.token_bytes(32)}
    session.execute(insert_into(session, table).values(fresh).on_conflict_do_nothing())
    return session.exec(select(ScanSalt.salt).where(col(ScanSalt.day) == day)).one()


def _hash(salt: bytes, subject: str, visitor: str) -> bytes:
    return hmac.digest(salt, sha256(subject.encode()).digest() + visitor.encode(), "sha256")[:16]


def _day(now: datetime) -> str:
    return f"{now:%Y-%m-%d}"
