# ruff: noqa: T201  # a benchmark is read on the terminal
"""Bulk capture over HTTP: a real server, documents of 100 events, beside one event per request.

    pytest -m benchmark tests/benchmarks/bench_capture.py -s

GUOYUAN_TEST_POSTGRES names a server to measure too.
"""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.databases import postgres_url
from tests.serving import served_apart
from tests.simulators.partner import documents

pytestmark = pytest.mark.benchmark

EVENTS, PER_DOCUMENT, SINGLES, CLIENTS = 10_000, 100, 300, 2
JSON = {"Content-Type": "application/json"}


@contextmanager
def database(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        yield ""
        return
    with postgres_url() as url:
        yield url


def post_all(address: str, token: str, bodies: list[bytes], clients: int) -> tuple[float, list[float]]:
    """Send every body from so many clients at once; seconds in all, and of each request."""
    taken: list[float] = []
    waiting = iter(bodies)
    lock = threading.Lock()

    def client() -> None:
        with httpx.Client(base_url=address, headers={**JSON, "Authorization": f"Bearer {token}"}, timeout=60) as http:
            while True:
                with lock:
                    body = next(waiting, None)
                if body is None:
                    return
                began = time.perf_counter()
                answer = http.post("/epcis/capture", content=body)
                taken.append(time.perf_counter() - began)
                assert answer.status_code == 202, answer.text

    began = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began, taken


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_bulk_capture(kind: str, tmp_path: Path) -> None:
    """A client process and a server process share the machine: the client's work is in these figures too."""
    with database(kind) as url, served_apart(tmp_path, database_url=url) as server:
        address, token = server.address, server.token
        post_all(address, token, documents(10**9, 500, PER_DOCUMENT), CLIENTS)  # warm
        before = server.resident_mib()
        for clients in (1, CLIENTS):
            bulk = documents(clients * 10**7, EVENTS, PER_DOCUMENT)
            seconds, taken = post_all(address, token, bulk, clients)
            ordered = sorted(taken)
            print(
                f"\ncapture over HTTP, {kind}, {clients} client(s), {PER_DOCUMENT} events a document: "
                f"{EVENTS / seconds:,.0f} events/s; p50 {statistics.median(ordered) * 1000:.0f} ms, "
                f"p99 {ordered[int(len(ordered) * 0.99)] * 1000:.0f} ms a request; "
                f"resident {before:.0f} MiB before, {server.resident_mib():.0f} MiB after"
            )
        seconds, taken = post_all(address, token, documents(9 * 10**7, SINGLES, 1), CLIENTS)
        print(
            f"one event a request, {kind}: {SINGLES / seconds:,.0f} events/s; "
            f"p50 {statistics.median(taken) * 1000:.0f} ms; ratio {EVENTS / SINGLES:.0f} times the events"
        )
