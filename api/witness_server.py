"""The HTTP of a witness (C2SP tlog-witness): one address that writes, one page that says who it is.

An application of its own: it runs on somebody else's machine, without our database, pages or settings.
"""

import asyncio
import logging
import sqlite3
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from api.errors import status_of
from ledger.errors import OtherSizeError, WitnessRefusalError
from ledger.witness import MAX_BODY_BYTES, Witness

BODY_S: Final = 10
"""How long a log may take to send its request."""

_log = logging.getLogger(__name__)


def create_witness_app(witness: Witness) -> Starlette:
    """Return the application that answers for a witness."""

    async def add_checkpoint(request: Request) -> Response:
        try:
            body = await asyncio.wait_for(_body(request), BODY_S)
        except (TimeoutError, ClientDisconnect):
            return PlainTextResponse("the request did not come in time\n", 408, headers={"connection": "close"})
        if body is None:
            return PlainTextResponse("the body is too long\n", 413, headers={"connection": "close"})
        return await run_in_threadpool(_answer, witness, body)

    def who(_request: Request) -> Response:
        lines = [f"witness {witness.key.text()}", *(f"log {key.text()}" for key in witness.logs)]
        return PlainTextResponse("\n".join(lines) + "\n")

    return Starlette(routes=[Route("/add-checkpoint", add_checkpoint, methods=["POST"]), Route("/", who)])


async def _body(request: Request) -> bytes | None:
    """Return the body, or None where it is longer than any submission; no more than that is ever held."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return body


def _answer(witness: Witness, body: bytes) -> Response:
    try:
        line = witness.add_checkpoint(body)
    except OtherSizeError as error:
        return Response(f"{error.size}\n", status_of(type(error)), headers={"content-type": "text/x.tlog.size"})
    except WitnessRefusalError as error:
        return PlainTextResponse(f"{error}\n", status_of(type(error)))
    except sqlite3.Error:
        _log.exception("the witness's memory cannot be written; nothing is cosigned")
        return PlainTextResponse("the witness's memory cannot be written\n", 503)
    return PlainTextResponse(line)
