"""Foreign events into the log: read elsewhere, checked, brought into normal form, recorded all or not at all.

A captured event never speaks in our own words (`gy:`): followers act on our sentences, and histories show
them as ours, so whoever may capture could otherwise have grades and quotas written that nobody measured.
Who sent a document stands in `ledger_capture`, not in its events.
"""

import base64
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

import msgspec
from sqlmodel import Session, col, select

from ledger.canonical import entry_bytes
from ledger.epcis.cbv_hash import event_hash, ignored_fields
from ledger.epcis.contexts import ENTRY_CONTEXT, Context
from ledger.epcis.normal import normal_event
from ledger.epcis.profile import Profile, problems
from ledger.epcis.reading import Document, Kind
from ledger.errors import (
    BorrowedWordsError,
    DocumentError,
    EventError,
    LedgerError,
    Problem,
    TooManyEventsError,
    UnknownCaptureError,
)
from ledger.events import Event, parse_event
from ledger.kernel.clock import whole_ms
from ledger.kernel.ids import PartyId
from ledger.log import Recorded, find, record_batch
from ledger.models import CaptureJob, Entry

EVENT_LIMIT: Final = 2000
"""Most events in one document."""

MAX_ERRORS: Final = 100
"""Most errors that are kept of one document."""

_OURS: Final = "gy:"


class OnError(StrEnum):
    """What one bad event does to the others (EPCIS 2.0, `GS1-Capture-Error-Behaviour`)."""

    ROLLBACK = "rollback"
    """All events of the document are recorded, or none."""
    PROCEED = "proceed"
    """The good ones are recorded."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that is not recorded: where it stands in the document, and why."""

    path: str
    reason: str
    code: str
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Captured:
    """What became of a document. `recorded` holds the events that stand in the log now, in the document's order."""

    recorded: tuple[Recorded, ...]
    refused: tuple[Refused, ...]
    total: int

    @property
    def new(self) -> int:
        """How many were not in the log before."""
        return sum(each.is_new for each in self.recorded)

    @property
    def first_index(self) -> int | None:
        """Where the new ones begin in the log."""
        return next((each.leaf_index for each in self.recorded if each.is_new), None)


@dataclass(frozen=True, slots=True)
class Foreign:
    """An event in normal form, where it stands in its document, and whether it speaks in our own words."""

    path: str
    event: Event
    is_borrowing: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """A document whose events have been checked and brought into normal form: nothing of it is recorded yet."""

    events: tuple[Foreign, ...]
    refused: tuple[Refused, ...]
    total: int


def capture(session: Session, document: Document, *, profile: Profile, on_error: OnError, now: datetime) -> Captured:
    """Record the events of a document in the caller's transaction and return what became of each.

    The same document again changes nothing. Under ROLLBACK one refused event leaves the log as it was; under
    PROCEED the others are recorded. Raises DocumentError where the document as a whole is not valid, and
    TooManyEventsError.
    """
    return record_ready(session, prepare(document, profile=profile), on_error=on_error, now=now)


def prepare(document: Document, *, profile: Profile) -> Ready:
    """Check a document and bring its events into normal form: all that needs no database. Raises as `capture` does."""
    if len(document.events) > EVENT_LIMIT:
        raise TooManyEventsError(len(document.events), EVENT_LIMIT)
    wrong = _wrong_by_path(document, profile)
    around, ignored = _around(document), ignored_fields(document)
    ready: list[Foreign] = []
    refused: list[Refused] = []
    for event, path in zip(document.events, document.paths, strict=True):
        if path in wrong:
            refused += [Refused(each.path, each.reason, EventError.code, _id_of(event)) for each in wrong[path]]
            continue
        try:
            ready.append(_foreign(event, path, around, ignored))
        except LedgerError as error:
            refused.append(_refused(path, error, _id_of(event)))
    return Ready(tuple(ready), tuple(refused), len(document.events))


def record_ready(session: Session, ready: Ready, *, on_error: OnError, now: datetime) -> Captured:
    """Record what `prepare` made ready, in the caller's transaction. The second half of `capture`."""
    refused = list(ready.refused)
    if refused and on_error is OnError.ROLLBACK:
        return Captured((), tuple(refused), ready.total)
    allowed = _without_borrowed(session, ready.events, refused)
    is_whole = on_error is OnError.ROLLBACK
    if refused and is_whole:
        return Captured((), tuple(refused), ready.total)
    batch = record_batch(session, [foreign.event for foreign in allowed], now=now, is_whole=is_whole)
    for place, error in sorted(batch.refused.items()):
        refused.append(_refused(allowed[place].path, error, allowed[place].event.event_id))
    return Captured(tuple(each for each in batch.recorded if each is not None), tuple(refused), ready.total)


# --- checking -----------------------------------------------------------------------------------------


def _wrong_by_path(document: Document, profile: Profile) -> Mapping[str, Sequence[Problem]]:
    """Return what is wrong with each event, by its path.

    Raises DocumentError for what is wrong around them, and where so much is wrong that the list was cut: then
    nobody can say which events are good.
    """
    found = problems(document, profile)
    if len(found) >= MAX_ERRORS:
        raise DocumentError(found)
    paths, wrong = set(document.paths), dict[str, list[Problem]]()
    for problem in found:
        path = _event_path(problem.path, paths)
        if path is None:
            raise DocumentError(found)
        wrong.setdefault(path, []).append(problem)
    return wrong


def _event_path(path: str, paths: Collection[str]) -> str | None:
    """Return the path of the event that a path leads into."""
    while path not in paths:
        cut = max(path.rfind("."), path.rfind("["))
        if cut <= 0:
            return None
        path = path[:cut]
    return path


def _around(document: Document) -> Context | None:
    """Return the context around the events, or None where each has its own alone."""
    if document.kind in {Kind.EVENT, Kind.LIST}:
        return None
    try:
        return Context.of(document.context)
    except EventError as error:
        raise DocumentError([Problem(error.path, error.reason)]) from error


def _foreign(event: Mapping[str, Any], path: str, around: Context | None, ignored: Collection[str]) -> Foreign:
    if around is None:
        around = Context() if event.get("@context") is not None else ENTRY_CONTEXT
    normal = normal_event(event, around)
    normal.pop("recordTime", None)  # ours says when we took it; theirs says when somebody else did
    for name in ignored:  # fields of the repository that answered a query, not of the event
        normal.pop(name, None)
    if "eventID" not in normal:
        normal["eventID"] = event_hash(normal)
    return Foreign(path, parse_event(normal), is_borrowing=_borrows(normal))


def _borrows(value: Any) -> bool:
    """Return whether a field in our own name space stands anywhere in a value."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key.startswith(_OURS) or (type(item) is not str and _borrows(item)):
                return True
    elif isinstance(value, list):
        return any(type(item) is not str and _borrows(item) for item in value)
    return False


def _without_borrowed(session: Session, events: Sequence[Foreign], refused: list[Refused]) -> list[Foreign]:
    """Return the events that do not pass for ours; what stands in the log already, word for word, may come again."""
    doubtful = {str(each.event.event_id) for each in events if _is_doubtful(each)}
    if not doubtful:
        return list(events)
    standing = find(session, [(event_id, is_declaration) for event_id in doubtful for is_declaration in (False, True)])
    kept = []
    for each in events:
        error = _borrowed(each, standing) if _is_doubtful(each) else None
        if error is None:
            kept.append(each)
        else:
            refused.append(_refused(each.path, error, each.event.event_id))
    return kept


def _is_doubtful(foreign: Foreign) -> bool:
    return foreign.is_borrowing or foreign.event.error_declaration is not None


def _borrowed(foreign: Foreign, standing: Mapping[tuple[str, bool], Entry]) -> BorrowedWordsError | None:
    event_id, is_declaration = str(foreign.event.event_id), foreign.event.error_declaration is not None
    same = standing.get((event_id, is_declaration))
    if same is not None and entry_bytes(foreign.event, same.record_time) == same.data:
        return None
    if foreign.is_borrowing:
        return BorrowedWordsError("$", "holds a field in our own name space, which only our own events have")
    declared = standing.get((event_id, False))
    if declared is not None and declared.sentence:
        return BorrowedWordsError("$.errorDeclaration", "declares an event wrong that is ours: only we can do that")
    return None


def _refused(path: str, error: LedgerError, event_id: str | None) -> Refused:
    if isinstance(error, EventError | BorrowedWordsError):
        return Refused(path + error.path[1:], error.reason, error.code, event_id)
    return Refused(path, str(error), error.code, event_id)


def _id_of(event: Mapping[str, Any]) -> str | None:
    event_id = event.get("eventID")
    return event_id if isinstance(event_id, str) else None


# --- who sent it --------------------------------------------------------------------------------------


def keep(
    session: Session,
    captured: Captured,
    *,
    party: PartyId,
    body: bytes,
    on_error: OnError,
    received_at: datetime,
    now: datetime,
) -> CaptureJob:
    """Write down who sent a document and what became of it, in the transaction that records its events."""
    errors = [{name: getattr(each, name) for name in Refused.__slots__} for each in captured.refused[:MAX_ERRORS]]
    new = captured.new
    job = CaptureJob(
        id=secrets.token_hex(16),
        party=party,
        digest="ni:///sha-256;" + base64.urlsafe_b64encode(sha256(body).digest()).decode().rstrip("="),
        body_bytes=len(body),
        on_error=on_error.value,
        received_at=whole_ms(received_at),
        finished_at=whole_ms(now),
        events=captured.total,
        new=new,
        repeated=len(captured.recorded) - new,
        refused=captured.total - len(captured.recorded),
        first_index=captured.first_index,
        errors=msgspec.json.encode(errors).decode(),
    )
    session.add(job)
    session.flush()
    return job


def job(session: Session, capture_id: str, *, party: PartyId | None = None) -> CaptureJob:
    """Return a capture job; with a party, only one of its own. Raises UnknownCaptureError."""
    found = session.exec(select(CaptureJob).where(CaptureJob.id == capture_id)).one_or_none()
    if found is None or (party is not None and found.party != party):
        raise UnknownCaptureError(capture_id)
    return found


def jobs(
    session: Session, *, party: PartyId | None = None, before: int | None = None, limit: int = 30
) -> Sequence[CaptureJob]:
    """Return capture jobs, the newest first; `before` is the number of the last one of the page before."""
    wanted = select(CaptureJob).order_by(col(CaptureJob.number).desc()).limit(limit)
    if party is not None:
        wanted = wanted.where(CaptureJob.party == party)
    if before is not None:
        wanted = wanted.where(col(CaptureJob.number) < before)
    return session.exec(wanted).all()


def sender_of(session: Session, leaf_index: int) -> CaptureJob | None:
    """Return the job that brought an entry into the log, or None for one of our own."""
    newest = session.exec(
        select(CaptureJob)
        .where(col(CaptureJob.first_index) <= leaf_index)
        .order_by(col(CaptureJob.first_index).desc())
        .limit(1)
    ).one_or_none()
    if newest is None or newest.first_index is None or leaf_index >= newest.first_index + newest.new:
        return None
    return newest
