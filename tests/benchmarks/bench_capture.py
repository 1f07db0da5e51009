# ruff: noqa: T201  # a benchmark is read on the terminal
"""Bulk capture over HTTP: a real server, documents of 100 events, beside one event per request.

    pytest -m benchmark tests/benchmarks/bench_capture.py -s

GUOYUAN_TEST_POSTGRES names a server to measure too.
"""

import os
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlmodel import SQLModel

from api import accounts
from api.deploy.services import free_port
from api.runtime import Runtime
from ledger.kernel.actors import Role
from ledger.kernel.settings import Settings
from tests.simulators.partner import documents

pytestmark = pytest.mark.benchmark

EVENTS, PER_DOCUMENT, SINGLES, CLIENTS = 10_000, 100, 300, 2
JSON = {"Content-Type": "application/json"}


@contextmanager
def server(kind: str, home: Path) -> Iterator[tuple[str, str, int]]:
    """A served installation on an empty database: its address, a manager's token, the process."""
    settings = Settings(home=home, mqtt_port=0, port=free_port(), database_url="")
    with _database(kind) as url:
        settings = settings.model_copy(update={"database_url": url})
        rt = Runtime.open(settings)
        SQLModel.metadata.create_all(rt.db.engine)
        now = rt.clock.now()
        with rt.db.write() as session:
            person = accounts.create_person(session, rt.numbering, ref="m", role=Role.MANAGER, site=None, now=now)
            token = accounts.open_session(session, person, now=now).token
        rt.close()
        environment = {
            **os.environ,
            "GUOYUAN_HOME": str(home),
            "GUOYUAN_DATABASE_URL": url,
            "GUOYUAN_MQTT_PORT": "0",
            "GUOYUAN_PUBLIC_URL": f"http://127.0.0.1:{settings.port}",
        }
        command = [sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app", "--port", str(settings.port)]
        process = subprocess.Popen([*command, "--log-level", "warning", "--no-access-log"], env=environment)
        address = f"http://127.0.0.1:{settings.port}"
        try:
            _wait(address)
            yield address, token, process.pid
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def _database(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        yield ""
        return
    admin = os.environ.get("GUOYUAN_TEST_POSTGRES")
    if not admin:
        pytest.skip("GUOYUAN_TEST_POSTGRES names no PostgreSQL server")
    name = f"bench_{uuid.uuid4().hex}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield admin.rpartition("/")[0] + f"/{name}"
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _wait(address: str) -> None:
    for _ in range(200):
        try:
            httpx.get(f"{address}/healthz", timeout=1)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(address)


def resident_mib(pid: int) -> float:
    """What a process holds in memory now."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


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
    with server(kind, tmp_path) as (address, token, pid):
        post_all(address, token, documents(10**9, 500, PER_DOCUMENT), CLIENTS)  # warm
        before = resident_mib(pid)
        for clients in (1, CLIENTS):
            bulk = documents(clients * 10**7, EVENTS, PER_DOCUMENT)
            seconds, taken = post_all(address, token, bulk, clients)
            ordered = sorted(taken)
            print(
                f"\ncapture over HTTP, {kind}, {clients} client(s), {PER_DOCUMENT} events a document: "
                f"{EVENTS / seconds:,.0f} events/s; p50 {statistics.median(ordered) * 1000:.0f} ms, "
                f"p99 {ordered[int(len(ordered) * 0.99)] * 1000:.0f} ms a request; "
                f"resident {before:.0f} MiB before, {resident_mib(pid):.0f} MiB after"
            )
        seconds, taken = post_all(address, token, documents(9 * 10**7, SINGLES, 1), CLIENTS)
        print(
            f"one event a request, {kind}: {SINGLES / seconds:,.0f} events/s; "
            f"p50 {statistics.median(taken) * 1000:.0f} ms; ratio {EVENTS / SINGLES:.0f} times the events"
        )
