"""Who may come in: people with a role and a pseudonymous party, printed codes, one-time links, sessions.

A printed code is `K7Q2-9FMX-3TRB`: the first group finds it, the rest is checked against argon2. A link
and a session are random tokens of 256 bits, kept as SHA-256. Unknown codes cost the same work as known
ones, and failures are counted by address and by code. Names stand apart and can be erased.
"""

import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import Table
from sqlmodel import Session, col, delete, select

from api.errors import SignInRefusedError, TooManyAttemptsError, UnknownPersonError
from api.models import AccountSession, Credential, Name, Person, SignInFailure
from ledger import disclosure
from ledger.kernel.actors import Actor, Role
from ledger.kernel.database import Database, insert_into
from ledger.kernel.ids import SERIAL_ALPHABET, Numbering, PartyId, PlaceId, new_serial
from orders import plots

LINK_LASTS: Final = timedelta(days=7)
SESSION_LASTS: Final = timedelta(days=90)
FAILURES_ALLOWED: Final = 10
FAILURES_FORGOTTEN_AFTER: Final = timedelta(minutes=10)

_CODE_LENGTH, _LOOKUP_LENGTH = 12, 4

_FAILURE: Final[Table] = SignInFailure.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it

# 19 MiB, 2 passes: OWASP's smaller argon2id setting. The semaphore keeps a burst of guesses from taking
# more than 40 MiB of a small machine.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_hashing = threading.BoundedSemaphore(2)
_NOBODY = _hasher.hash(secrets.token_hex(16))


class CredentialKind(StrEnum):
    """The two ways to prove who one is."""

    CODE = "code"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A fresh session: the token goes to the browser or machine and is kept nowhere."""

    token: str
    actor: Actor
    expires_at: datetime


def create_person(
    session: Session, numbering: Numbering, *, ref: str, role: Role, site: PlaceId | None, now: datetime
) -> Person:
    """Add an account under a random party id that nobody has. The name, if any, is set apart."""
    taken = set(session.exec(select(Person.party)).all())
    party = numbering.random_party()
    while party in taken or _is_low(numbering, party):
        party = numbering.random_party()
    person = Person(party=party, ref=ref, role=role.value, site=site, created_at=now)
    session.add(person)
    session.flush()
    return person


def _is_low(numbering: Numbering, party: PartyId) -> bool:
    # References below 1000 are given to places by hand; a person drawn there would share a place's GLN.
    gln = party.rpartition("/")[2]
    return len(numbering.prefix) < 9 and int(gln[len(numbering.prefix) : -1]) < 1000


def person(session: Session, ref: str) -> Person:
    """Return the account of a reference. Raises UnknownPersonError."""
    found = session.exec(select(Person).where(Person.ref == ref)).one_or_none()
    if found is None:
        raise UnknownPersonError(ref)
    return found


def active_person(session: Session, ref: str) -> Person:
    """Return an account that was not erased. Raises UnknownPersonError."""
    found = person(session, ref)
    if found.erased_at is not None:
        raise UnknownPersonError(ref)
    return found


def people(session: Session) -> list[tuple[Person, str | None]]:
    """Return every account with its name, by reference."""
    rows = session.exec(
        select(Person, Name.name).join(Name, col(Name.subject) == Person.party, isouter=True).order_by(Person.ref)
    ).all()
    return [(each, name) for each, name in rows]


def actor_of(person: Person) -> Actor:
    """Return who an account acts as."""
    return Actor(PartyId(person.party), Role(person.role), PlaceId(person.site) if person.site else None)


def set_name(session: Session, subject: str, name: str) -> None:
    """Say what a party or place is called."""
    session.merge(Name(subject=subject, name=name))
    session.flush()


def name_of(session: Session, subject: str) -> str | None:
    """Return what a party or place is called, or None where that was never said or was erased."""
    row = session.get(Name, subject)
    return row.name if row else None


def erase(session: Session, ref: str, *, now: datetime) -> PartyId:
    """Forget a person's name and every way to sign in; the party id stays, and so does the log.

    The text behind salted digests goes too: the name and contract in the passports of the plots they hold,
    and every private field of what they recorded themselves. Calling twice is safe. Raises
    UnknownPersonError.
    """
    found = person(session, ref)
    session.exec(delete(Name).where(col(Name.subject) == found.party))
    passports = [plot.event_id for plot in plots.plots(session, holder=PartyId(found.party))]
    disclosure.erase(session, passports, names=["contract", "holderName"])
    disclosure.erase_of_party(session, found.party)
    _close(session, found.party)
    found.erased_at = found.erased_at or now
    session.add(found)
    session.flush()
    return PartyId(found.party)


def _close(session: Session, party: str) -> None:
    session.exec(delete(AccountSession).where(col(AccountSession.party) == party))
    session.exec(delete(Credential).where(col(Credential.party) == party))


# --- codes and links -------------------------------------------------------------------------------


def new_code(session: Session, person: Person, *, now: datetime) -> str:
    """Return a new printed code, `K7Q2-9FMX-3TRB`. Older codes of this person stop working."""
    session.exec(
        delete(Credential).where(col(Credential.party) == person.party, col(Credential.kind) == CredentialKind.CODE)
    )
    text = new_serial(_CODE_LENGTH)
    while session.exec(select(Credential.id).where(Credential.lookup == text[:_LOOKUP_LENGTH])).first() is not None:
        text = new_serial(_CODE_LENGTH)
    with _hashing:
        secret_hash = _hasher.hash(text)
    session.add(
        Credential(
            party=person.party,
            kind=CredentialKind.CODE,
            lookup=text[:_LOOKUP_LENGTH],
            secret_hash=secret_hash,
            created_at=now,
        )
    )
    session.flush()
    return "-".join(text[i : i + 4] for i in range(0, _CODE_LENGTH, 4))


def new_link_token(session: Session, person: Person, *, now: datetime) -> str:
    """Return the token of a link that signs this person in once, within seven days."""
    token = secrets.token_urlsafe(32)
    digest = _digest(token).hex()
    session.add(
        Credential(
            party=person.party,
            kind=CredentialKind.LINK,
            lookup=digest,
            secret_hash="",
            created_at=now,
            expires_at=now + LINK_LASTS,
        )
    )
    session.flush()
    return token


def clean_code(text: str) -> str:
    """Return a typed code without spaces and dashes, upper case, with look-alikes read as meant (I, L: 1; O: 0)."""
    kept = "".join(text.upper().split()).replace("-", "").translate(str.maketrans("ILO", "110"))
    return kept if all(character in SERIAL_ALPHABET for character in kept) else ""


def sign_in_with_code(db: Database, code: str, *, address: str, now: datetime) -> SignedIn:
    """Open a session for a printed code. Raises SignInRefusedError, TooManyAttemptsError.

    The hash is computed outside any transaction: it takes long, and the writer lane is one.
    """
    text = clean_code(code)
    lookup = text[:_LOOKUP_LENGTH]
    keys = [f"address:{address[:80]}", f"code:{lookup}"]
    with db.read() as session:
        _refuse_throttled(session, keys, now=now)
        found = session.exec(
            select(Credential).where(Credential.lookup == lookup, Credential.kind == CredentialKind.CODE)
        ).one_or_none()
    is_right = _matches(found.secret_hash if found else _NOBODY, text) and found is not None
    with db.write() as session:
        if is_right and found is not None and session.get(Credential, found.id) is not None:
            session.exec(delete(SignInFailure).where(col(SignInFailure.key).in_(keys)))
            return open_session(session, session.get_one(Person, found.party), now=now)
        _count_failure(session, keys, now=now)
    raise SignInRefusedError


def holder_of_link(session: Session, token: str, *, now: datetime) -> Person:
    """Return whom a one-time link would sign in, without using it up. Raises SignInRefusedError."""
    credential = _open_link(session, token, now=now)
    return session.get_one(Person, credential.party)


def sign_in_with_link(session: Session, token: str, *, now: datetime) -> SignedIn:
    """Use up a one-time link and open a session. Raises SignInRefusedError the second time."""
    credential = _open_link(session, token, now=now)
    credential.used_at = now
    session.add(credential)
    return open_session(session, session.get_one(Person, credential.party), now=now)


def _open_link(session: Session, token: str, *, now: datetime) -> Credential:
    digest = _digest(token).hex()
    credential = session.exec(
        select(Credential).where(Credential.lookup == digest, Credential.kind == CredentialKind.LINK).with_for_update()
    ).one_or_none()
    if credential is None or credential.used_at is not None:
        raise SignInRefusedError
    if credential.expires_at is not None and credential.expires_at <= now:
        raise SignInRefusedError
    return credential


def _matches(secret_hash: str, text: str) -> bool:
    with _hashing:
        try:
            return _hasher.verify(secret_hash, text)
        except VerifyMismatchError:
            return False


def _refuse_throttled(session: Session, keys: list[str], *, now: datetime) -> None:
    rows = session.exec(select(SignInFailure).where(col(SignInFailure.key).in_(keys))).all()
    waits = [
        row.since + FAILURES_FORGOTTEN_AFTER - now
        for row in rows
        if row.failures >= FAILURES_ALLOWED and row.since + FAILURES_FORGOTTEN_AFTER > now
    ]
    if waits:
        raise TooManyAttemptsError(int(max(waits).total_seconds()) + 1)


def _count_failure(session: Session, keys: list[str], *, now: datetime) -> None:
    session.exec(delete(SignInFailure).where(col(SignInFailure.since) <= now - FAILURES_FORGOTTEN_AFTER))
    insert = insert_into(session, _FAILURE)
    # Two guesses at once both count: the row is counted up where it stands. Keys are always in this order.
    counted = insert.on_conflict_do_update(index_elements=["key"], set_={"failures": _FAILURE.c.failures + 1})
    for key in keys:
        session.execute(counted, {"key": key, "failures": 1, "since": now})


# --- sessions --------------------------------------------------------------------------------------


def open_session(session: Session, person: Person, *, now: datetime) -> SignedIn:
    """Open a session for someone who has proved who they are."""
    token = secrets.token_urlsafe(32)
    expires_at = now + SESSION_LASTS
    session.add(AccountSession(token_hash=_digest(token), party=person.party, created_at=now, expires_at=expires_at))
    session.flush()
    return SignedIn(token, actor_of(person), expires_at)


def actor_of_token(session: Session, token: str, *, now: datetime) -> Actor | None:
    """Return who holds a session token, or None for an unknown or ended one."""
    row = session.exec(
        select(Person, AccountSession)
        .join(AccountSession, col(AccountSession.party) == Person.party)
        .where(AccountSession.token_hash == _digest(token))
    ).one_or_none()
    if row is None or row[1].expires_at <= now:
        return None
    return actor_of(row[0])


def close_session(session: Session, token: str) -> None:
    """End a session. Ending one that is not there changes nothing."""
    session.exec(delete(AccountSession).where(col(AccountSession.token_hash) == _digest(token)))


def forget_ended(session: Session, *, now: datetime) -> int:
    """Delete sessions, links and counted failures that are over; return how many. Calling twice is safe."""
    over = (
        delete(AccountSession).where(col(AccountSession.expires_at) <= now),
        delete(Credential).where(col(Credential.expires_at) <= now),
        delete(SignInFailure).where(col(SignInFailure.since) <= now - FAILURES_FORGOTTEN_AFTER),
    )
    return sum(session.exec(statement).rowcount for statement in over)


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
