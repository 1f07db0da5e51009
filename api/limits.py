"""How much a request may bring: a limit for each address, and a budget for all bodies held at once."""

import asyncio
import re
import threading
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import epcis
from api.errors import BodyTooLargeError, BusyError, SlowBodyError, UnsupportedMediaError
from api.problems import RefusedBody, refusal

KILOBYTE, MEGABYTE = 1024, 1024 * 1024

DEFAULT_LIMIT: Final = 256 * KILOBYTE
BUDGET: Final = 96 * MEGABYTE
"""All bodies in flight together. Above it a large upload is asked to come again in a moment."""

LIMITS: Final = (
    (re.compile(r"/api/v1/station/batches/[^/]+/photographs"), 24 * MEGABYTE),
    (re.compile(r"/api/v1/station/calibrations"), 24 * MEGABYTE),
    (re.compile(r"/api/v1/station/files(/[0-9a-f]{64})?"), 4 * MEGABYTE),
    (re.compile(r"/api/v1/farmer/picks/photographs?"), 24 * MEGABYTE),
    (re.compile(r"/rpc"), 64 * KILOBYTE),
    (re.compile(re.escape(epcis.PREFIX) + "/capture"), epcis.BODY_LIMIT),
)

PATIENCE_S: Final = 30.0
"""How long a body may take, and a second more for every so many bytes that came."""
SLOWEST_BYTES_PER_S: Final = 4096
MOST_DIGITS: Final = 15


def limit_of(path: str) -> int:
    """Return how many bytes of body an address takes."""
    return next((limit for pattern, limit in LIMITS if pattern.fullmatch(path)), DEFAULT_LIMIT)


class BodyLimits:
    """ASGI middleware: answers 413 before a byte too many is kept, and 503 above the common budget.

    415 for a compressed body, which may hold any number of bytes; 408 for one that comes too slowly.
    """

    def __init__(self, app: ASGIApp, *, budget: int = BUDGET, patience_s: float = PATIENCE_S) -> None:
        self._app = app
        self._budget = budget
        self._patience_s = patience_s
        self._held = 0
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a receive channel that counts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, limit = scope["path"], limit_of(scope["path"])
        declared, coding = _header(scope, b"content-length"), _header(scope, b"content-encoding")
        # A length of thousands of digits is too long to be read as a number, and too large.
        if declared.isdigit() and (len(declared) > MOST_DIGITS or int(declared) > limit):
            await refusal(BodyTooLargeError(limit), path=path)(scope, receive, send)
            return
        if coding.strip().lower() not in {b"", b"identity"}:
            said = coding.decode("latin-1")[:40]
            await refusal(UnsupportedMediaError(f"compressed ({said})", accepted=["it uncompressed"]), path=path)(
                scope, receive, send
            )
            return
        taken, is_whole = 0, False
        began = time.monotonic()

        async def counted() -> Message:
            nonlocal taken, is_whole
            if is_whole:  # what is waited for now is that the visitor leaves
                return await receive()
            left_s = began + self._patience_s + taken / SLOWEST_BYTES_PER_S - time.monotonic()
            try:
                async with asyncio.timeout(max(left_s, 0)):
                    message = await receive()
            except TimeoutError as error:
                raise RefusedBody(SlowBodyError()) from error
            if message["type"] == "http.request":
                is_whole = not message.get("more_body", False)
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


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((bytes(value) for name, value in scope["headers"] if name == wanted), b"")
