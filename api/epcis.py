"""The manners of the EPCIS 2.0 door (REST binding): its headers, its versions, and the names of its exceptions."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

import msgspec
from fastapi import Request, Response

from api import errors
from api.errors import NotAcceptableError, UnsupportedMediaError, status_of
from ledger import errors as ledger_errors
from ledger.capture import EVENT_LIMIT
from ledger.kernel.errors import OriginError
from ledger.vocabulary import EPCIS_CONTEXT, GY

PREFIX: Final = "/epcis"
BODY_LIMIT: Final = 2 * 1024 * 1024
"""Most bytes of one document."""
MEDIA_TYPES: Final = ("application/json", "application/ld+json")
VERSION: Final = "2.0.0"
MOST_QUERY_CHARACTERS: Final = 8000

HEADERS: Final[Mapping[str, str]] = {
    "GS1-EPCIS-Version": VERSION,
    "GS1-CBV-Version": VERSION,
    "GS1-EPC-Format": "Always_GS1_Digital_Link",
    "GS1-Extensions": f"gy={GY}",
}
"""What every answer says of itself."""

DISCOVERED: Final[Mapping[str, str]] = {
    **HEADERS,
    "GS1-EPCIS-Min": VERSION,
    "GS1-EPCIS-Max": VERSION,
    "GS1-CBV-Min": VERSION,
    "GS1-CBV-Max": VERSION,
    "GS1-CBV-XML-Format": "No_Preference",
    "GS1-Vendor-Version": f"guoyuan-{version('guoyuan')}",
}
"""What OPTIONS says besides."""

CAPTURE_LIMITS: Final[Mapping[str, str]] = {
    "GS1-EPCIS-Capture-Limit": str(EVENT_LIMIT),
    "GS1-EPCIS-Capture-File-Size-Limit": str(BODY_LIMIT),
    "GS1-Capture-Error-Behaviour": "all",
}

_EXCEPTIONS: Final[Mapping[type[OriginError], str]] = {
    OriginError: "ImplementationException",
    errors.AccessError: "SecurityException",
    errors.BodyTooLargeError: "CaptureLimitExceededException",
    errors.SlowBodyError: "ValidationException",
    errors.BusyError: "ImplementationException",
    errors.UnsupportedMediaError: "UnsupportedMediaTypeException",
    errors.NotAcceptableError: "NotAcceptableException",
    errors.AddressTooLongError: "URITooLongException",
    errors.NotHereError: "NoSuchResourceException",
    ledger_errors.EventError: "ValidationException",
    ledger_errors.DocumentError: "ValidationException",
    ledger_errors.EntryTooLargeError: "ValidationException",
    ledger_errors.FutureEventError: "ValidationException",
    ledger_errors.BorrowedWordsError: "SecurityException",
    ledger_errors.ConflictingEventError: "ResourceAlreadyExistsException",
    ledger_errors.TooManyEventsError: "CaptureLimitExceededException",
    ledger_errors.UnknownCaptureError: "NoSuchResourceException",
    ledger_errors.QueryParameterError: "QueryParameterException",
    ledger_errors.QueryTooLargeError: "QueryTooLargeException",
    ledger_errors.QueryTooComplexError: "QueryTooComplexException",
}


def exception_of(kind: type[OriginError]) -> str:
    """Return the `type` of the problem document that the standard names for a refusal."""
    return "epcisException:" + next(_EXCEPTIONS[base] for base in kind.__mro__ if base in _EXCEPTIONS)


def status_at(path: str, kind: type[OriginError]) -> HTTPStatus:
    """Return the status of a refusal at an address: what is unreadable is 422 with us, and 400 in EPCIS."""
    status = status_of(kind)
    return HTTPStatus.BAD_REQUEST if is_here(path) and status is HTTPStatus.UNPROCESSABLE_ENTITY else status


def is_here(path: str) -> bool:
    """Return whether an address belongs to the EPCIS door."""
    return path == PREFIX or path.startswith(PREFIX + "/")


def answer(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return JSON with the headers of this door."""
    body = msgspec.json.encode(value)
    return Response(body, status_code=status, media_type="application/json", headers={**HEADERS, **(headers or {})})


def discovery(*methods: str, more: Mapping[str, str] | None = None) -> Response:
    """Return the answer to OPTIONS."""
    headers = {"Allow": ", ".join(("OPTIONS", *methods)), **DISCOVERED, **(more or {})}
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)


def query_document(events: list[dict[str, Any]], *, created: str) -> dict[str, Any]:
    """Return an EPCISQueryDocument over events as they stand in the log; their `@context` becomes the document's."""
    context: Any = [EPCIS_CONTEXT]
    for event in events:
        context = event.pop("@context")  # the same in every entry
    return {
        "@context": context,
        "type": "EPCISQueryDocument",
        "schemaVersion": "2.0",
        "creationDate": created,
        "epcisBody": {"queryResults": {"queryName": "SimpleEventQuery", "resultsBody": {"eventList": events}}},
    }


# --- what a request asks for ------------------------------------------------------------------------


_VERSION: Final = re.compile(r"(\d{1,4})(?:\.(\d{1,4}))?(?:\.(\d{1,4}))?", re.ASCII)
_SPOKEN: Final = (2, 0, 0)
_FORMATS: Final = {"No_Preference", "Always_GS1_Digital_Link"}
_XML_FORMATS: Final = {"No_Preference", "Always_Web_URI", "Always_URN", "Never_Translates"}
_ACCEPTED: Final = frozenset({*MEDIA_TYPES, "application/problem+json", "application/*", "*/*"})


def negotiate(request: Request) -> None:
    """Refuse what cannot be answered as it is asked: NotAcceptableError, AddressTooLongError."""
    if len(request.url.query) > MOST_QUERY_CHARACTERS:
        raise errors.AddressTooLongError(MOST_QUERY_CHARACTERS)
    wanted = request.headers.get("accept", "*/*")
    if not any(_is_taken(part) for part in wanted.split(",")):
        raise NotAcceptableError("Accept", wanted, f"only {MEDIA_TYPES[0]} is written here")
    for words in ("EPCIS", "CBV"):
        _speak(request, f"GS1-{words}-Version", lambda asked: asked[: len(asked)] == _SPOKEN[: len(asked)])
        _speak(request, f"GS1-{words}-Min", lambda asked: asked <= _SPOKEN)
        _speak(request, f"GS1-{words}-Max", lambda asked: asked >= _SPOKEN[: len(asked)])
    form = request.headers.get("GS1-EPC-Format", "No_Preference")
    if form not in _FORMATS:
        raise NotAcceptableError("GS1-EPC-Format", form, "identifiers are written as GS1 Digital Link URIs here")
    form = request.headers.get("GS1-CBV-XML-Format", "No_Preference")
    if form not in _XML_FORMATS:
        raise NotAcceptableError("GS1-CBV-XML-Format", form, "there is no such format")


def demand_json(request: Request) -> None:
    """Raise UnsupportedMediaError unless the body is said to be JSON in UTF-8."""
    said = request.headers.get("content-type", "")
    media_type, *parameters = [part.strip().lower() for part in said.split(";")]
    charset = next((p.partition("=")[2].strip('"') for p in parameters if p.startswith("charset=")), "utf-8")
    if media_type not in MEDIA_TYPES or charset not in {"utf-8", "utf8"}:
        raise UnsupportedMediaError(said[:80], accepted=[f"{name} in UTF-8" for name in MEDIA_TYPES])


def _is_taken(part: str) -> bool:
    media_type, *parameters = [each.strip().lower() for each in part.split(";")]
    return media_type in _ACCEPTED and "q=0" not in parameters


def _speak(request: Request, name: str, is_fine: Any) -> None:
    said = request.headers.get(name)
    if said is None:
        return
    found = _VERSION.fullmatch(said.strip())
    if found is None or not is_fine(tuple(int(part) for part in found.groups() if part is not None)):
        raise NotAcceptableError(name, said, f"EPCIS and CBV {VERSION} are spoken here")
