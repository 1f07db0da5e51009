"""Asking witnesses for cosignatures over HTTP, all at once and for a bounded time."""

import asyncio
from collections.abc import Sequence
from typing import Final

import httpx

from api.runtime import Runtime
from ledger.witnessed import Answer, Cosigned, Doubts, Failed, Question, Remembers, Watcher, question, take

ASK_S: Final = 4.0
"""How long one witness may take in all, from the first byte of the name look-up to the last of the answer."""
MAX_ANSWER_BYTES: Final = 16_384


def ask_witnesses(rt: Runtime) -> None:
    """Ask every witness that is due for its cosignature on the newest checkpoint, and keep what it says.

    Returns within about twice ASK_S whatever the witnesses do. Safe to call at any time.
    """
    now = rt.clock.now()
    with rt.db.read() as session:
        due = [(watcher, asked) for watcher in rt.witnesses if (asked := question(session, watcher.key, now=now))]
    while due:
        answers = asyncio.run(_ask_all(due))
        again = []
        with rt.db.write() as session:
            for (watcher, asked), answer in zip(due, answers, strict=True):
                second = take(session, asked, answer, now=now)
                if second is not None:
                    again.append((watcher, second))
        due = again


async def _ask_all(due: Sequence[tuple[Watcher, Question]]) -> list[Answer]:
    headers = {"accept-encoding": "identity", "user-agent": "guoyuan"}
    async with httpx.AsyncClient(headers=headers, timeout=ASK_S, follow_redirects=False) as client:
        return await asyncio.gather(*(_ask(client, watcher.url, asked) for watcher, asked in due))


async def _ask(client: httpx.AsyncClient, url: str, asked: Question) -> Answer:
    address = url.rstrip("/") + "/add-checkpoint"
    try:
        async with asyncio.timeout(ASK_S), client.stream("POST", address, content=asked.body) as response:
            body = b""
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    return Failed(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
            return _read(response.status_code, response.headers.get("content-type", ""), body)
    except TimeoutError:
        return Failed(f"it did not answer within {ASK_S:g} s")
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError) as error:
        return Failed(f"it could not be asked: {type(error).__name__} {error}".strip())


def _read(status: int, content_type: str, body: bytes) -> Answer:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return Failed(f"it answered {status} with bytes that are no text")
    if status == 200:
        return Cosigned(text)
    size = text.removesuffix("\n")
    if status == 409 and content_type == "text/x.tlog.size" and size.isascii() and size.isdigit() and len(size) < 17:
        return Remembers(int(size))
    said = " ".join(text[:200].split())
    if status == 422:
        return Doubts(said)
    return Failed(f"it answered {status}: {said}")
