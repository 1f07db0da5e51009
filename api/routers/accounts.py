"""Signing in by a printed code or a one-time link, and out again."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from api import accounts
from api.accounts import SignedIn
from api.deps import MaybeActor, RuntimeDep, cookie_name, is_secure, refuse_cross_origin, session_token
from api.errors import AccessError, NotSignedInError, SignInRefusedError, TooManyAttemptsError, status_of
from api.pages import render
from api.runtime import Runtime
from ledger.kernel.actors import Actor, Role
from ledger.kernel.clock import format_time

router = APIRouter(tags=["accounts"])

HOME: Final = {Role.FARMER: "/farmer", Role.HOST: "/host", Role.STATION: "/station"}
"""Where each role's work is; the others begin at the front page."""


class Code(BaseModel):
    """A printed code, as typed."""

    code: str = Field(min_length=1, max_length=64)


class Account(BaseModel):
    """Who is signed in."""

    party: str
    role: Role
    site: str | None


class MachineSession(Account):
    """A bearer token for a machine. It is shown once."""

    token: str
    expires_at: str


@router.get("/sign-in", include_in_schema=False)
def sign_in_page(request: Request, actor: MaybeActor, next: str = "") -> Response:  # noqa: A002  # the name in the address
    """Show the form, or go where the account's work is."""
    if actor is not None:
        return RedirectResponse(_target(next, actor), status_code=303)
    return _form(request, next_path=next)


@router.get("/sign-in/{token}", include_in_schema=False)
def link_page(request: Request, rt: RuntimeDep, token: str) -> Response:
    """Show whom the link signs in, with one button.

    Opening the page uses nothing up: messengers open links before people do.
    """
    with rt.db.read() as session:
        try:
            person = accounts.holder_of_link(session, token, now=rt.clock.now())
        except SignInRefusedError as error:
            return _form(request, error=error)
        name = accounts.name_of(session, person.party) or person.ref
    return _form(request, token=token, name=name, role=person.role)


@router.post("/sign-in", include_in_schema=False)
def sign_in(
    request: Request,
    rt: RuntimeDep,
    code: Annotated[str, Form(max_length=64)] = "",
    token: Annotated[str, Form(max_length=128)] = "",
    next: Annotated[str, Form(max_length=2048)] = "",  # noqa: A002  # the name in the form
) -> Response:
    """Open a session for a code or a link and go where the account's work is."""
    refuse_cross_origin(request)
    try:
        signed_in = _by_link(rt, token) if token else _by_code(request, rt, code)
    except (SignInRefusedError, TooManyAttemptsError) as error:
        return _form(request, next_path=next, error=error)
    response = RedirectResponse(_target(next, signed_in.actor), status_code=303)
    response.set_cookie(
        cookie_name(rt),
        signed_in.token,
        max_age=int(accounts.SESSION_LASTS.total_seconds()),
        path="/",
        secure=is_secure(rt),
        httponly=True,
        samesite="lax",
    )
    return response


@router.post("/sign-out", include_in_schema=False)
def sign_out(rt: RuntimeDep, token: Annotated[str | None, Depends(session_token)]) -> Response:
    """End the session and go to the front page."""
    if token is not None:
        with rt.db.write() as session:
            accounts.close_session(session, token)
    response = RedirectResponse("/", status_code=303)
    response.delete_cookie(cookie_name(rt), path="/", secure=is_secure(rt), httponly=True, samesite="lax")
    return response


@router.post("/api/v1/sessions", status_code=201)
def open_machine_session(request: Request, rt: RuntimeDep, body: Code) -> MachineSession:
    """Open a session for a machine (a station computer, a bridge) and return its bearer token."""
    signed_in = _by_code(request, rt, body.code)
    return MachineSession(
        token=signed_in.token, expires_at=format_time(signed_in.expires_at), **_account(signed_in.actor).model_dump()
    )


@router.delete("/api/v1/sessions", status_code=204)
def close_machine_session(rt: RuntimeDep, token: Annotated[str | None, Depends(session_token)]) -> None:
    """End the session whose token the request carries. Ending it twice changes nothing."""
    if token is None:
        raise NotSignedInError
    with rt.db.write() as session:
        accounts.close_session(session, token)


@router.get("/api/v1/account")
def account(actor: MaybeActor) -> Account:
    """Return who is signed in."""
    if actor is None:
        raise NotSignedInError
    return _account(actor)


def _account(actor: Actor) -> Account:
    return Account(party=actor.party, role=actor.role, site=actor.site)


def _by_code(request: Request, rt: Runtime, code: str) -> SignedIn:
    address = request.client.host if request.client else "unknown"
    return accounts.sign_in_with_code(rt.db, code, address=address, now=rt.clock.now())


def _by_link(rt: Runtime, token: str) -> SignedIn:
    with rt.db.write() as session:
        return accounts.sign_in_with_link(session, token, now=rt.clock.now())


def _target(wanted: str, actor: Actor) -> str:
    """Return a path on this site and nowhere else."""
    is_ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and "\n" not in wanted
    return wanted if is_ours else HOME.get(actor.role, "/")


def _form(
    request: Request,
    *,
    next_path: str = "",
    token: str = "",
    name: str = "",
    role: str = "",
    error: AccessError | None = None,
) -> Response:
    return render(
        request,
        "account/sign_in.html",
        status=status_of(type(error)) if error else 200,
        # An address that holds a token must not travel to other sites in Referer.
        headers={"referrer-policy": "no-referrer"},
        next_path=next_path,
        token=token,
        name=name,
        role=role,
        refused=error.code if error else None,
        wait_minutes=-(-error.retry_after_s // 60) if isinstance(error, TooManyAttemptsError) else 0,
    )
