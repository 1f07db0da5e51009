"""How a refusal is answered: `application/problem+json` (RFC 9457) for programs, a page for people."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from enum import Enum
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from api import epcis
from api.errors import NotHereError, NotSignedInError, UnsupportedMediaError, status_of
from api.pages import finish, page, speech_of, wants_page
from ledger.kernel.clock import format_time
from ledger.kernel.errors import OriginError

PROBLEMS: Final = "https://ns.guoyuan.example/problems/"
MEDIA_TYPE: Final = "application/problem+json"

DOCUMENTED: Final[dict[str, Any]] = {
    "description": "The request was refused; `code` says why and further members carry the facts.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
"""How every operation documents its refusals."""

_log = logging.getLogger(__name__)
_PAGELESS: Final = (
    *("/api/", "/log/", "/epcis", "/rpc", "/metrics"),
    *("/healthz", "/readyz", "/.well-known/", "/openapi.json"),
)
_CODES: Final[Mapping[int, str]] = {404: "not_here", 405: "method_not_allowed"}


class Problem(BaseModel):
    """Why a request was refused (RFC 9457). Facts of the refusal stand beside these members."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="an address that names the kind of problem")
    title: str
    status: int
    detail: str = Field(description="what happened, for a person")
    code: str = Field(description="a stable word a client may switch on")


class RefusedBody(HTTPException):  # FastAPI passes only an HTTPException through its body reader
    """Carries a refusal out of the reading of a body."""

    def __init__(self, refusal: OriginError) -> None:
        super().__init__(status_of(type(refusal)), str(refusal))
        self.refusal = refusal


def install(app: FastAPI) -> None:
    """Make the application answer every error in one of these two shapes."""
    app.add_exception_handler(OriginError, _refused)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(UnicodeEncodeError, _unkeepable)
    app.add_exception_handler(DataError, _unkeepable)
    app.add_exception_handler(Exception, _surprised)


def describe(app: FastAPI) -> None:
    """Add the shape of a problem to the application's OpenAPI document."""
    make = app.openapi

    def described() -> dict[str, Any]:
        document = make()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        return document

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way


def problem(
    status: int,
    *,
    code: str,
    detail: str,
    facts: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    kind: str | None = None,
) -> JSONResponse:
    """Return a problem document; `facts` become members of their own. `kind` is its type, where it is not our own."""
    body = {
        **{name: _plain(value) for name, value in (facts or {}).items()},
        "type": kind or PROBLEMS + code,
        "title": code.replace("_", " ").capitalize(),
        "status": int(status),
        "detail": detail,
        "code": code,
    }
    return JSONResponse(body, status_code=int(status), headers=headers, media_type=MEDIA_TYPE)


def refusal(error: OriginError, *, path: str = "") -> JSONResponse:
    """Return the problem document of a refusal at an address: the EPCIS door speaks as its standard does."""
    return problem(
        epcis.status_at(path, type(error)),
        code=error.code,
        detail=str(error),
        facts=_facts(error),
        headers={**_headers(error), **(epcis.HEADERS if epcis.is_here(path) else {})},
        kind=epcis.exception_of(type(error)) if epcis.is_here(path) else None,
    )


def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, OriginError):  # Starlette's signature is wider than what it calls us with
        raise error
    status = status_of(type(error))
    if isinstance(error, NotSignedInError) and _for_people(request) and request.method in {"GET", "HEAD"}:
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?next={quote(here, safe='')}", status_code=HTTPStatus.SEE_OTHER)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s: %s", error.code, error)
    if _for_people(request):
        return _error_page(
            request, status, code=error.code, detail=str(error), facts=_facts(error), headers=_headers(error)
        )
    return refusal(error, path=request.url.path)


def _unreadable(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    problems = [
        {"path": _path(item["loc"]), "message": item["msg"].removeprefix("Value error, ")} for item in error.errors()
    ]
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if has_body and any(item["loc"][:1] == ("body",) for item in error.errors()) and not _is_readable(media_type):
        return _refused(request, UnsupportedMediaError(media_type, accepted=["application/json"]))
    detail = "; ".join(f"{each['path']}: {each['message']}" for each in problems)
    return _answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, code="unreadable", detail=detail, errors=problems)


def _http(request: Request, error: Exception) -> Response:
    if isinstance(error, RefusedBody):
        return _refused(request, error.refusal)
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.NOT_FOUND and epcis.is_here(request.url.path):
        return refusal(NotHereError(f"nothing is kept at {request.url.path}"), path=request.url.path)
    code = _CODES.get(status, status.phrase.lower().replace(" ", "_"))
    detail = f"nothing is kept at {request.url.path}" if error.detail == "Not Found" else str(error.detail)
    answer = _answer(request, status, code=code, detail=detail)
    answer.headers.update(error.headers or {})
    return answer


def _unkeepable(request: Request, error: Exception) -> Response:
    """Half a character, a NUL or a number beyond its column: nothing that JSON may not carry, and no text either."""
    _log.warning("a value could not be kept: %s", type(error).__name__, exc_info=error)
    detail = "a value holds half a character, the character U+0000, or more than there is room for; nothing was kept"
    return _answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, code="unreadable", detail=detail, errors=[])


def _surprised(request: Request, error: Exception) -> Response:
    del error  # the server logs it, once, behind this answer
    detail = "an error we did not expect; nothing of this request was kept, and it was written to our log"
    return _answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, code="unexpected", detail=detail)


def _answer(request: Request, status: HTTPStatus, *, code: str, detail: str, **facts: Any) -> Response:
    if _for_people(request):
        return _error_page(request, status, code=code, detail=detail, facts=facts)
    return problem(status, code=code, detail=detail, facts=facts)


def _for_people(request: Request) -> bool:
    return wants_page(request) and not request.url.path.startswith(_PAGELESS)


def _error_page(
    request: Request,
    status: HTTPStatus,
    *,
    code: str,
    detail: str,
    facts: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> Response:
    text = page(request, "shared/error.html", status=int(status), code=code, detail=_told(request, code, detail, facts))
    return finish(request, HTMLResponse(text, status_code=status), headers)


def _told(request: Request, code: str, detail: str, facts: Mapping[str, Any]) -> str:
    """Return what happened in the visitor's language, or in the refusal's own words where there are no others."""
    speech, key = speech_of(request), f"account.problem.{code}"
    if not speech.has(key):
        return detail
    said = {name: _plain(value) for name, value in facts.items()}
    if isinstance(said.get("allowed"), list):
        said["allowed"] = ", ".join(speech.word("account.role", role) for role in said["allowed"])
    try:
        return speech.text(key, **{"path": request.url.path, "detail": detail, **said})
    except KeyError:  # this refusal carries other facts than the message asks for
        return detail


def _facts(error: OriginError) -> dict[str, Any]:
    return {name: value for name, value in vars(error).items() if not name.startswith("_")}


def _headers(error: OriginError) -> dict[str, str]:
    headers = {}
    if status_of(type(error)) is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return headers


def _is_readable(media_type: str) -> bool:
    return media_type in {"application/json", "application/x-www-form-urlencoded", "multipart/form-data"} or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def _path(location: Sequence[str | int]) -> str:
    """Return `$.crates[0].mass_g` for a place in the body, `query.id` for a parameter."""
    where, *rest = location
    text = "$" if where == "body" else str(where)
    for part in rest:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text


def _plain(value: Any) -> Any:
    """Return a fact of an error as JSON can say it."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return format_time(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return str(value)
