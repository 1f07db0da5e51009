"""What endpoints ask for: the runtime, the actor, the raw body.

Endpoints are plain `def` and open their unit of work inside the body. A dependency that yielded a
session would commit after the answer was sent, and a full thread pool of such dependencies would wait
for SQLite's one writer lane for ever.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request

from api import accounts
from api.errors import CrossOriginError, NotSignedInError, RoleNotAllowedError, UnsupportedMediaError
from api.runtime import Runtime
from ledger.kernel.actors import Actor, Role

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def runtime(request: Request) -> Runtime:
    """Return the opened installation this application serves."""
    opened = request.app.state.runtime
    assert isinstance(opened, Runtime)  # noqa: S101  # create_app put it there
    return opened


RuntimeDep = Annotated[Runtime, Depends(runtime)]


def cookie_name(rt: Runtime) -> str:
    """Return the session cookie's name; `__Host-` makes a browser refuse it from anyone but this host over TLS."""
    return "__Host-guoyuan" if is_secure(rt) else "guoyuan"


def is_secure(rt: Runtime) -> bool:
    """Return whether people reach this site over TLS."""
    return rt.settings.public_url.startswith("https://")


def session_token(request: Request, rt: RuntimeDep) -> str | None:
    """Return the token of a bearer header or of the session cookie, or None.

    Raises CrossOriginError for a write that another site made a signed-in browser send.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    cookie = request.cookies.get(cookie_name(rt))
    if cookie and request.method not in SAFE_METHODS:
        refuse_cross_origin(request)
    return cookie or None


def refuse_cross_origin(request: Request) -> None:
    """Raise CrossOriginError unless the request comes from our own pages or from no browser at all.

    Browsers say where a write comes from in Sec-Fetch-Site or Origin. A request with neither is not a
    browser's, so no visitor was tricked into sending it.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site in {"same-origin", "none"}:
        return
    if site is None and (origin is None or urlsplit(origin).netloc == request.headers.get("host")):
        return
    raise CrossOriginError(origin or site or "elsewhere")


def maybe_actor(rt: RuntimeDep, token: Annotated[str | None, Depends(session_token)]) -> Actor | None:
    """Return who is signed in, or None."""
    if token is None:
        return None
    with rt.db.read() as session:
        return accounts.actor_of_token(session, token, now=rt.clock.now())


MaybeActor = Annotated[Actor | None, Depends(maybe_actor)]


def allow(*roles: Role) -> Callable[..., Actor]:
    """Return a dependency that gives the actor, if it has one of these roles.

    Otherwise 401 or 403 as a problem document; on a page, a browser is sent to sign in and back.
    """

    def actor(who: MaybeActor) -> Actor:
        if who is None:
            raise NotSignedInError
        if who.role not in roles:
            raise RoleNotAllowedError(who.role, allowed=[role.value for role in roles])
        return who

    return actor


page_actor = allow
"""The same for pages: what differs is the answer, and `api.errors` gives a browser a page or the sign-in form."""


def body_of(*media_types: str) -> Callable[[Request], Coroutine[Any, Any, bytes]]:
    """Return a dependency that gives the exact body bytes, if they are of one of these media types.

    Raises UnsupportedMediaError. The size limit of the address was kept while the body came in.
    """

    async def raw_body(request: Request) -> bytes:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in media_types:
            raise UnsupportedMediaError(media_type, accepted=media_types)
        return await request.body()

    return raw_body


def body_schema(*media_types: str) -> dict[str, Any]:
    """Return the `openapi_extra` of an endpoint that reads raw bytes of these types."""
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": dict.fromkeys(media_types, schema)}}
