"""EPCIS 2.0 over HTTP (REST binding): documents of others into the log, and events back out of it.

Capturing is done when it is answered: the job that `POST /capture` points to has ended by then.
"""

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from sqlmodel import Session

from api import epcis
from api.deps import RuntimeDep, allow, body_schema
from api.epcis import CAPTURE_LIMITS, PREFIX, answer, discovery, query_document
from api.errors import BusyError, NotHereError
from api.runtime import Runtime
from ledger import capture, query
from ledger.capture import Captured, OnError, Ready, Refused
from ledger.epcis.profile import Profile
from ledger.epcis.reading import Kind, read
from ledger.errors import (
    BorrowedWordsError,
    ConflictingEventError,
    DocumentError,
    EventError,
    LedgerError,
    Problem,
    QueryParameterError,
)
from ledger.events import EVENT_TYPES
from ledger.kernel.actors import Actor, Role
from ledger.kernel.clock import format_time
from ledger.kernel.ids import PartyId
from ledger.models import CaptureJob
from ledger.vocabulary import EPCIS_CONTEXT

router = APIRouter(prefix=PREFIX, tags=["epcis"], dependencies=[Depends(epcis.negotiate)])

AT_WORK: Final = 2
"""Documents worked on at once: enough to use the database while Python computes, few enough that others get a turn."""
IN_LINE: Final = 10
"""Documents that wait for that. One more is asked to come again."""

Sender = Annotated[Actor, Depends(allow(Role.MANAGER, Role.STATION))]
Reader = Annotated[Actor, Depends(allow(Role.MANAGER, Role.STATION, Role.AUDITOR, Role.HOST))]
Watcher = Annotated[Actor, Depends(allow(Role.MANAGER, Role.STATION, Role.AUDITOR))]

_JSON: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"application/json": {}}, "description": "JSON."}}
_TAKEN: Final[dict[int | str, dict[str, Any]]] = {202: {"description": "The job stands at the Location."}}
_CREATED: Final[dict[int | str, dict[str, Any]]] = {
    201: {"content": {"application/json": {}}, "description": "The event as it stands in the log."}
}
_NOTHING: Final[dict[int | str, dict[str, Any]]] = {204: {"description": "The headers say it."}}


PROFILE: Final = "guoyuan:profile"
"""Our own parameter of capture: `lenient` also takes the known deviations of real documents."""

_PAGED: Final = ("perPage", "nextPageToken")


def _parameters(names: Iterable[str]) -> dict[str, Any]:
    """The query parameters of an operation: all are text, and read by `ledger.query`."""
    schema = {"type": "string"}
    listed = [{"name": name, "in": "query", "required": False, "schema": schema} for name in sorted(names)]
    return {"parameters": listed}


async def _document_body(request: Request) -> bytes:
    epcis.demand_json(request)
    return await request.body()


Body = Annotated[bytes, Depends(_document_body)]


class _Desk:
    """Where documents are worked on. A burst of them must not take every thread, nor the memory for all at once."""

    def __init__(self) -> None:
        self._line = threading.BoundedSemaphore(AT_WORK + IN_LINE)
        self._work = threading.BoundedSemaphore(AT_WORK)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Wait for a place. Raises BusyError where too many wait already."""
        if not self._line.acquire(blocking=False):
            raise BusyError
        try:
            with self._work:
                yield
        finally:
            self._line.release()


_desk = _Desk()


# --- capture ------------------------------------------------------------------------------------------


@router.options("/capture", status_code=204, response_class=Response, responses=_NOTHING)
def capture_options() -> Response:
    """Say what may be captured: versions, limits, and what a bad event does to the others."""
    return discovery("GET", "POST", more=CAPTURE_LIMITS)


@router.post(
    "/capture",
    status_code=202,
    response_class=Response,
    responses=_TAKEN,
    openapi_extra={**body_schema(*epcis.MEDIA_TYPES), **_parameters([PROFILE])},
)
def capture_document(rt: RuntimeDep, actor: Sender, request: Request, body: Body) -> Response:
    """Record the events of an EPCISDocument or EPCISQueryDocument: all or none, or with
    `GS1-Capture-Error-Behaviour: proceed` the good ones. The same document again changes nothing.
    """
    on_error, profile, received_at = _behaviour(request), _profile(request), rt.clock.now()
    with _desk.place():
        ready = _read(body, on_error=on_error, profile=profile, kinds=(Kind.DOCUMENT, Kind.QUERY_DOCUMENT))
        with rt.db.write() as session:
            _, job = _record(rt, session, actor, body, ready, on_error=on_error, received_at=received_at)
    headers = {"Location": f"{PREFIX}/capture/{job.id}", "GS1-Capture-Error-Behaviour": on_error.value}
    return Response(status_code=202, headers={**epcis.HEADERS, **headers})


@router.get("/capture", response_class=Response, responses=_JSON, openapi_extra=_parameters(_PAGED))
def capture_jobs(rt: RuntimeDep, actor: Watcher, request: Request) -> Response:
    """List capture jobs, the newest first: your own, or everybody's for a manager or an auditor."""
    per_page, before = _page_of(request)
    with rt.db.read() as session:
        found = capture.jobs(session, party=_own(actor), before=before, limit=per_page + 1)
    headers = {}
    if len(found) > per_page:
        headers = _next(rt, request, str(found[per_page - 1].number))
    return answer([_job_document(each) for each in found[:per_page]], headers=headers)


@router.options("/capture/{capture_id}", status_code=204, response_class=Response, responses=_NOTHING)
def capture_job_options(capture_id: str) -> Response:
    """Say which versions are spoken here."""
    del capture_id
    return discovery("GET")


@router.get("/capture/{capture_id}", response_class=Response, responses=_JSON)
def capture_job(rt: RuntimeDep, actor: Watcher, capture_id: str) -> Response:
    """Return what became of a document. `success` is false where an event was refused; `errors` says which and why."""
    with rt.db.read() as session:
        return answer(_job_document(capture.job(session, capture_id, party=_own(actor))))


# --- events -------------------------------------------------------------------------------------------


@router.options("/events", status_code=204, response_class=Response, responses=_NOTHING)
def events_options() -> Response:
    """Say which versions are spoken here."""
    return discovery("GET", "POST")


@router.post(
    "/events",
    status_code=201,
    response_class=Response,
    responses=_CREATED,
    openapi_extra={**body_schema(*epcis.MEDIA_TYPES), **_parameters([PROFILE])},
)
def capture_event(rt: RuntimeDep, actor: Sender, request: Request, body: Body) -> Response:
    """Record one bare event with its `@context` and return it as it stands in the log. Again changes nothing."""
    on_error, received_at = OnError.ROLLBACK, rt.clock.now()
    with _desk.place():
        ready = _read(body, on_error=on_error, profile=_profile(request), kinds=(Kind.EVENT,))
        with rt.db.write() as session:
            captured, _ = _record(rt, session, actor, body, ready, on_error=on_error, received_at=received_at)
            if captured.refused:
                raise _why(captured.refused)
            event_id = captured.recorded[0].event_id
            is_declaration = ready.events[0].event.error_declaration is not None
            stored = query.events_of(session, event_id)[-1 if is_declaration else 0]
    return answer(stored, status=201, headers={"Location": f"{PREFIX}/events/{quote(event_id, safe=':')}"})


@router.get("/events", response_class=Response, responses=_JSON, openapi_extra=_parameters(query.PARAMETERS))
def events(rt: RuntimeDep, _reader: Reader, request: Request) -> Response:
    """Return the events that match the EPCIS query parameters, as an EPCISQueryDocument.

    `guoyuan:effective=true` leaves out what was declared wrong. Several values of a parameter are separated by `|`.
    """
    return _answer_query(rt, request)


@router.options("/events/{event_id:path}", status_code=204, response_class=Response, responses=_NOTHING)
def event_options(event_id: str) -> Response:
    """Say which versions are spoken here."""
    del event_id
    return discovery("GET")


@router.get("/events/{event_id:path}", response_class=Response, responses=_JSON)
def event(rt: RuntimeDep, _reader: Reader, event_id: str) -> Response:
    """Return the event with this eventID and, where it was declared wrong, the declaration too."""
    with rt.db.read() as session:
        found = query.events_of(session, event_id)
    if not found:
        raise NotHereError(f"no event {event_id[:80]!r}")
    return answer(query_document(found, created=format_time(rt.clock.now())))


# --- what else one may ask about ------------------------------------------------------------------------

_BY_RESOURCE: Final = {
    "eventTypes": "eventType",
    "epcs": "MATCH_anyEPC",
    "bizSteps": "EQ_bizStep",
    "bizLocations": "EQ_bizLocation",
    "readPoints": "EQ_readPoint",
    "dispositions": "EQ_disposition",
}


@router.get("", response_class=Response, responses=_JSON)
def resources() -> Response:
    """List what is here."""
    return answer(_collection(["capture", "events", *_BY_RESOURCE]))


@router.options("", status_code=204, response_class=Response, responses=_NOTHING)
def resources_options() -> Response:
    """Say which versions are spoken here."""
    return discovery("GET")


@router.get("/eventTypes", response_class=Response, responses=_JSON)
def event_types() -> Response:
    """List the five event types."""
    return answer(_collection(sorted(EVENT_TYPES)))


@router.get("/{resource}/{value:path}/events", response_class=Response, responses=_JSON)
def events_of_resource(rt: RuntimeDep, _reader: Reader, request: Request, resource: str, value: str) -> Response:
    """Return the events of one event type, EPC, business step, place or disposition; other parameters narrow it."""
    if resource not in _BY_RESOURCE or "|" in value:
        raise NotHereError(f"nothing is kept at {request.url.path}")
    return _answer_query(rt, request, (_BY_RESOURCE[resource], value))


# --- how ------------------------------------------------------------------------------------------------


def _behaviour(request: Request) -> OnError:
    said = request.headers.get("GS1-Capture-Error-Behaviour", OnError.ROLLBACK.value)
    if said not in set(OnError):
        raise EventError("GS1-Capture-Error-Behaviour", f"{said[:40]!r} is neither rollback nor proceed")
    return OnError(said)


def _profile(request: Request) -> Profile:
    asked = dict(request.query_params)
    said = asked.pop(PROFILE, Profile.STRICT.value)
    if said not in set(Profile):
        raise QueryParameterError(PROFILE, f"{said[:40]!r} is neither strict nor lenient")
    if asked:
        raise QueryParameterError(next(iter(asked))[:80], "is not a query parameter known here")
    return Profile(said)


def _read(body: bytes, *, on_error: OnError, profile: Profile, kinds: Collection[Kind]) -> Ready:
    """Read and check a document: all that needs no database is done before the transaction that others wait for."""
    try:
        return _checked(body, on_error=on_error, profile=profile, kinds=kinds)
    except LedgerError as error:
        # A traceback's frames hold the whole parsed document for as long as the error lives, which is past our
        # turn: many refused at once would then all be in memory.
        error.__context__ = None
        raise error.with_traceback(None) from None


def _checked(body: bytes, *, on_error: OnError, profile: Profile, kinds: Collection[Kind]) -> Ready:
    document = read(body)
    if document.kind not in kinds:
        wanted = " or ".join(f"an {kind}" if kind is not Kind.EVENT else "one bare event" for kind in kinds)
        raise DocumentError([Problem("$", f"is not {wanted}, which this address takes")])
    ready = capture.prepare(document, profile=profile)
    if ready.refused and on_error is OnError.ROLLBACK:
        # What the document alone shows is answered at once; a job tells of what only the log could know.
        raise _why(ready.refused)
    return ready


def _record(
    rt: Runtime, session: Session, actor: Actor, body: bytes, ready: Ready, *, on_error: OnError, received_at: datetime
) -> tuple[Captured, CaptureJob]:
    captured = capture.record_ready(session, ready, on_error=on_error, now=rt.clock.now())
    job = capture.keep(
        session,
        captured,
        party=actor.party,
        body=body,
        on_error=on_error,
        received_at=received_at,
        now=rt.clock.now(),
    )
    return captured, job


def _why(refused: Sequence[Refused]) -> LedgerError:
    first = refused[0]
    if first.code == ConflictingEventError.code:
        return ConflictingEventError(str(first.event_id))
    if first.code == BorrowedWordsError.code:
        return BorrowedWordsError(first.path, first.reason)
    return DocumentError([Problem(each.path, each.reason) for each in refused])


_EXCEPTIONS: Final = {kind.code: kind for kind in (ConflictingEventError, BorrowedWordsError)}


def _job_document(job: CaptureJob) -> dict[str, Any]:
    return {
        "captureID": job.id,
        "createdAt": format_time(job.received_at),
        "finishedAt": format_time(job.finished_at),
        "running": False,
        "success": job.errors == "[]",
        "captureErrorBehaviour": job.on_error,
        "errors": [_error_document(each) for each in msgspec.json.decode(job.errors)],
        "gy:sender": job.party,
        "gy:digest": job.digest,
        "gy:events": job.events,
        "gy:new": job.new,
        "gy:repeated": job.repeated,
        "gy:refused": job.refused,
        "gy:firstIndex": job.first_index,
    }


def _error_document(error: dict[str, Any]) -> dict[str, Any]:
    kind = _EXCEPTIONS.get(error["code"], EventError)
    return {
        "type": epcis.exception_of(kind),
        "title": error["code"].replace("_", " ").capitalize(),
        "status": epcis.status_at(PREFIX, kind),
        "detail": f"{error['path']}: {error['reason']}",
        "code": error["code"],
        "path": error["path"],
        "eventID": error["event_id"],
    }


def _own(actor: Actor) -> PartyId | None:
    """Whose jobs someone may see: a manager's and an auditor's eyes are for everybody's."""
    return None if actor.role in {Role.MANAGER, Role.AUDITOR} else actor.party


def _answer_query(rt: Runtime, request: Request, *fixed: tuple[str, str]) -> Response:
    asked = query.parse([*request.query_params.multi_items(), *fixed])
    with rt.db.read() as session:
        page = query.run(session, asked)
    headers = {} if page.next_token is None else _next(rt, request, page.next_token)
    return answer(query_document(list(page.events), created=format_time(rt.clock.now())), headers=headers)


def _page_of(request: Request) -> tuple[int, int | None]:
    """The two parameters of a list of jobs."""
    asked = dict(request.query_params)
    per_page, before = asked.pop("perPage", str(query.PER_PAGE)), asked.pop("nextPageToken", None)
    for name, value in (("perPage", per_page), ("nextPageToken", before)):
        if value is not None and not (value.isascii() and value.isdigit() and int(value[:19]) > 0 and len(value) < 19):
            raise QueryParameterError(name, "is not a whole number from 1")
    if asked:
        raise QueryParameterError(next(iter(asked))[:80], "is not a query parameter known here")
    return min(int(per_page), query.MOST_PER_PAGE), None if before is None else int(before)


def _next(rt: Runtime, request: Request, token: str) -> dict[str, str]:
    others = [(name, value) for name, value in request.query_params.multi_items() if name != "nextPageToken"]
    address = rt.settings.public_url.rstrip("/") + quote(request.url.path, safe="/:;@!$&'()*+,=~")
    return {"Link": f'<{address}?{urlencode([*others, ("nextPageToken", token)])}>; rel="next"'}


def _collection(members: list[str]) -> dict[str, Any]:
    return {"@context": EPCIS_CONTEXT, "type": "Collection", "member": members}
