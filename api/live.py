"""Server-sent events: a page is told what stands, and told again when it changes.

Every stream looks at the database a few times a second, in a small pool of threads of its own: however
many pages are open, they take no thread from the endpoints, and a slow look delays other pages only.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

import anyio
from anyio import CapacityLimiter, to_thread
from fastapi import Request
from fastapi.responses import StreamingResponse

LOOK_EVERY_S: Final = 0.4
HEARTBEAT_S: Final = 15.0
LIFETIME_S: Final = 600.0
"""After this a stream ends and the page comes back, so that someone signed out is not served for ever."""
_THREADS: Final = 4

_limiters: dict[int, CapacityLimiter] = {}


class Visitor(Protocol):
    """The part of a request a stream needs."""

    async def is_disconnected(self) -> bool:
        """Return whether the page has gone."""
        ...


def stream(request: Request, name: str, look: Callable[[], tuple[str, str]]) -> StreamingResponse:
    """Answer with a stream of events called `name`.

    `look` returns what stands and its JSON; it runs in a thread, and the JSON is sent when what stands
    differs from what was sent last (the JSON may also hold the time of looking). The stream ends soon
    after `app.state.is_stopping` is set: a server that stops must not wait for pages that stay.
    """

    def is_stopping() -> bool:
        return bool(getattr(request.app.state, "is_stopping", False))

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    body = events(request, name, look, is_stopping=is_stopping)
    return StreamingResponse(body, media_type="text/event-stream", headers=headers)


async def events(
    visitor: Visitor,
    name: str,
    look: Callable[[], tuple[str, str]],
    *,
    every_s: float = LOOK_EVERY_S,
    lifetime_s: float = LIFETIME_S,
    is_stopping: Callable[[], bool] = bool,
) -> AsyncIterator[str]:
    """Yield the stream's text: the first state at once, each change soon after it, a comment while all is quiet."""
    yield "retry: 2000\n\n"
    standing = None
    started = quiet_since = anyio.current_time()
    number = 0
    while not is_stopping() and not await visitor.is_disconnected():
        found, body = await to_thread.run_sync(look, limiter=_limiter())
        time = anyio.current_time()
        if found != standing:
            standing, quiet_since, number = found, time, number + 1
            yield f"id: {number}\nevent: {name}\ndata: {body}\n\n"
        elif time - quiet_since >= HEARTBEAT_S:
            quiet_since = time
            yield ": still here\n\n"
        if time - started >= lifetime_s:
            return
        await anyio.sleep(every_s)


def _limiter() -> CapacityLimiter:
    # A limiter belongs to one event loop; tests run several after one another.
    loop = id(anyio.lowlevel.current_token().native_token)
    if loop not in _limiters:
        _limiters.clear()
        _limiters[loop] = CapacityLimiter(_THREADS)
    return _limiters[loop]
