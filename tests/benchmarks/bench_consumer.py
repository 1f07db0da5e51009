"""The consumer's page over a history of 200 events: milliseconds of server time, bytes on the way to the phone.

`make bench`, or: python -m pytest -m benchmark -s tests/benchmarks/bench_consumer.py
"""

import sys
import time
from collections.abc import Iterator
from statistics import median

import pytest
from fastapi import FastAPI
from starlette.requests import Request

from api.app import create_app
from api.migrations.tables import metadata
from api.routers import consumer
from api.runtime import Runtime
from ledger.kernel.settings import Environment, Settings
from ledger.trace import history
from tests.api import golden
from tests.api.golden import PACK, PACK_PATH, WHEN
from tests.browsing import chromium, served

pytestmark = pytest.mark.benchmark

HOURS, STATIONS = 48, 4
ROUNDS = 40
MOST_MS = 30
MOST_BYTES = 150_000


@pytest.fixture(scope="module")
def rt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    settings = Settings(
        home=tmp_path_factory.mktemp("bench") / "home",
        environment=Environment.DEMO,
        public_url="http://127.0.0.1",
        mqtt_port=0,
    )
    opened = Runtime.open(settings)
    settings.clock.move_to(WHEN)  # type: ignore[attr-defined]  # the demonstration's clock
    metadata.create_all(opened.db.engine)
    golden.load(opened, golden.furnish(opened.files, hours=HOURS, stations=STATIONS), anchored=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def app(rt: Runtime) -> FastAPI:
    return create_app(runtime=rt)


def ask(app: FastAPI, rt: Runtime) -> None:
    """Answer the page once, without a network or a client between: what the server itself takes."""
    scope = {
        "type": "http", "method": "GET", "path": PACK_PATH, "raw_path": PACK_PATH.encode(), "query_string": b"",
        "headers": [(b"accept", b"text/html"), (b"user-agent", b"bench")], "client": ("192.0.2.1", 1), "app": app,
        "server": ("127.0.0.1", 80), "scheme": "http", "root_path": "",
    }  # fmt: skip
    answer = consumer.thing(Request(scope), rt, rest=PACK_PATH, link_type=None, fruit=1)
    assert answer.status_code == 200


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def test_server_time_of_a_200_event_history(rt: Runtime, app: FastAPI) -> None:
    with rt.db.read() as session:
        events = len(history(session, PACK).steps)
    assert events >= 200

    def measure(*, is_cold: bool) -> str:
        wall, cpu = [], []
        for _ in range(ROUNDS):
            if is_cold:
                consumer.forget()
            started = time.perf_counter(), time.thread_time()
            ask(app, rt)
            wall.append((time.perf_counter() - started[0]) * 1000)
            cpu.append((time.thread_time() - started[1]) * 1000)
        return f"{median(wall):.1f} ms ({median(cpu):.1f} ms of processor)"

    measure(is_cold=True)
    cold, warm = measure(is_cold=True), measure(is_cold=False)
    say(f"\nconsumer page, {events} events, median of {ROUNDS}")
    say(f"  {cold} after the log has grown")
    say(f"  {warm} until it grows again")
    say(f"  wanted: at most {MOST_MS} ms")


def test_bytes_of_a_first_visit(app: FastAPI) -> None:
    urls: dict[str, str] = {}
    sizes: dict[str, int] = {}
    with served(app) as address, chromium() as browser:
        context = browser.new_context(
            viewport={"width": 390, "height": 844}, device_scale_factor=3, service_workers="block"
        )
        page = context.new_page()
        wire = context.new_cdp_session(page)
        wire.send("Network.enable")
        wire.on("Network.responseReceived", lambda e: urls.__setitem__(e["requestId"], e["response"]["url"]))
        wire.on("Network.loadingFinished", lambda e: sizes.__setitem__(e["requestId"], int(e["encodedDataLength"])))
        page.goto(address + PACK_PATH)
        page.wait_for_selector("html[data-checked=ok]")
        for y in range(0, 7000, 500):  # a reader who goes to the end: whatever loads late is counted too
            page.evaluate(f"window.scrollTo(0, {y})")
            page.wait_for_timeout(40)
        page.wait_for_load_state("networkidle")
    kinds = {"proof": "/api/v1/proof", "photographs and readings": "/files/", "scripts and styles": "/web/"}
    told = {name: sum(n for r, n in sizes.items() if part in urls[r]) for name, part in kinds.items()}
    told["page and the rest"] = sum(sizes.values()) - sum(told.values())
    say(f"\nconsumer page, first visit: {sum(sizes.values()):,} bytes in {len(sizes)} answers, checked by the phone")
    for name, count in sorted(told.items(), key=lambda item: -item[1]):
        say(f"  {count:>8,}  {name}")
    say(f"  wanted: at most {MOST_BYTES:,}")
