"""How much a request may bring: a limit for each address, and a budget for all bodies held at once."""

import re
import threading
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import BodyTooLargeError, BusyError
from api.problems import RefusedBody, refusal

KILOBYTE, MEGABYTE = 1024, 1024 * 1024

DEFAULT_LIMIT: Final = 256 * KILOBYTE
BUDGET: Final = 96 * MEGABYTE
"""All bodies in flight together. Above it a large upload is asked to come again in a moment."""

LIMITS: Final = (
    (re.compile(r"/api/v1/station/batches/[^/]+/photographs"), 24 * MEGABYTE),
    (re.compile(r"/api/v1/station/calibrations"), 24 * MEGABYTE),
    (re.compile(r"/api/v1/farmer/picks/photographs?"), 24 * MEGABYTE),
    (re.compile(r"/rpc"), 64 * KILOBYTE),
)


def limit_of(path: str) -> int:
    """Return how many bytes of body an address takes."""
    return next((limit for pattern, limit in LIMITS if pattern.fullmatch(path)), DEFAULT_LIMIT)


class BodyLimits:
    """ASGI middleware: answers 413 before a byte too many is kept, and 503 above the common budget."""

    def __init__(self, app: ASGIApp, *, budget: int = BUDGET) -> None:
        self._app = app
        self._budget = budget
        self._held = 0
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a receive channel that counts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = limit_of(scope["path"])
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > limit:
            await refusal(BodyTooLargeError(limit))(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                size = len(message.get("body", b""))
                taken += size
                self._take(size)
                if taken > limit:
                    raise RefusedBody(BodyTooLargeError(limit))
                if size and self._held > self._budget and taken > DEFAULT_LIMIT:
                    raise RefusedBody(BusyError())
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._take(-taken)

    def _take(self, size: int) -> None:
        with self._lock:
            self._held += size
