# ruff: noqa: T201  # a benchmark is read on the terminal
"""A log of a million entries: proofs from the database, checking them, fsck, starting up, and how much memory it takes.

    pytest -m benchmark tests/benchmarks/bench_scale.py -s

GUOYUAN_BENCH_ENTRIES chooses another size. pymerkle's SQLite store stands beside the proofs, of the same size in the
same run; its proofs hash every leaf, so it is asked a few times only. GUOYUAN_TEST_POSTGRES names a server to measure
too.
"""

import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pymerkle
import pytest
from sqlmodel import select

from api.migrations import migrate
from api.runtime import Runtime
from ledger import merkle, tree
from ledger.bundle import prove
from ledger.kernel.settings import Settings
from ledger.models import Entry
from ledger.proof import verify
from ledger.trace import history
from tests.simulators import bulk

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).resolve().parent.parent.parent
ENTRIES = int(os.environ.get("GUOYUAN_BENCH_ENTRIES", "1000000"))
_THEIRS = 5
"""Proofs asked of pymerkle: each takes as long as hashing the whole log."""


def median_us(work: Callable[[], object], times: int = 300) -> float:
    """Median microseconds of one call, warm."""
    work()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def rt(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """An installation whose log has ENTRIES entries, on each kind of database."""
    url, server, name = "", os.environ.get("GUOYUAN_TEST_POSTGRES"), f"scale_{os.getpid()}"
    if request.param == "postgresql":
        if not server:
            pytest.skip("GUOYUAN_TEST_POSTGRES names no PostgreSQL server")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        url = server.rpartition("/")[0] + f"/{name}"
    settings = Settings(home=tmp_path_factory.mktemp(request.param) / "home", database_url=url, mqtt_port=0)
    migrate(settings)
    opened = Runtime.open(settings)
    began = time.perf_counter()
    bulk.fill(opened.db, ENTRIES, opened.signer)
    print(f"\n{request.param}: {ENTRIES:,} entries written in {time.perf_counter() - began:.0f} s")
    if url:
        with opened.db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as maintenance:
            maintenance.exec_driver_sql("ANALYZE")
    yield opened
    opened.close()
    if server and url:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_proofs_from_the_database(rt: Runtime) -> None:
    dice = random.Random(9162)
    with rt.db.read() as session:
        inclusion = median_us(lambda: tree.inclusion(session, dice.randrange(ENTRIES), ENTRIES))
        consistency = median_us(lambda: tree.consistency(session, dice.randrange(1, ENTRIES), ENTRIES))
        index, first = dice.randrange(ENTRIES), dice.randrange(1, ENTRIES)
        path, extension = tree.inclusion(session, index, ENTRIES), tree.consistency(session, first, ENTRIES)
        root, first_root = tree.root(session, ENTRIES), tree.root(session, first)
        leaf = merkle.leaf_hash(session.exec(select(Entry.data).where(Entry.leaf_index == index)).one())
        pack = bulk.pack_of(ENTRIES // 60)
        walking = median_us(lambda: history(session, pack), times=30)
        proving = median_us(lambda: prove(session, pack, key=rt.signer.key).encode(), times=30)
        file = prove(session, pack, key=rt.signer.key).encode()
    checking = median_us(lambda: merkle.verify_inclusion(leaf, index, ENTRIES, path, root))
    extending = median_us(lambda: merkle.verify_consistency(first, ENTRIES, first_root, root, extension))
    verifying = median_us(lambda: verify(file), times=30)
    kind = "sqlite" if rt.db.is_sqlite else "postgresql"
    print(f"\n{kind}, {ENTRIES:,} entries: inclusion {inclusion:,.0f} us, consistency {consistency:,.0f} us")
    print(f"checking in Python: inclusion {checking:.1f} us, consistency {extending:.1f} us")
    print(
        f"a pack: history {walking / 1000:.1f} ms, with its proof file ({len(file) / 1000:.0f} kB)"
        f" {proving / 1000:.1f} ms, verified in {verifying / 1000:.1f} ms"
    )


def test_pymerkle_beside_it(rt: Runtime, tmp_path: Path) -> None:
    if not rt.db.is_sqlite:
        pytest.skip("once is enough")
    dice = random.Random(9162)
    with pymerkle.SqliteTree(str(tmp_path / "pymerkle.db"), algorithm="sha256") as theirs:
        for start in range(0, ENTRIES, 10_000):
            end = min(start + 10_000, ENTRIES)
            theirs.append_entries([number.to_bytes(8, "big") for number in range(start, end)])
        inclusion = median_us(lambda: theirs.prove_inclusion(dice.randrange(1, ENTRIES)), times=_THEIRS)
        consistency = median_us(lambda: theirs.prove_consistency(dice.randrange(1, ENTRIES), ENTRIES), times=_THEIRS)
    print(f"\npymerkle sqlite, {ENTRIES:,} entries: inclusion {inclusion:,.0f} us, consistency {consistency:,.0f} us")


def test_fsck(rt: Runtime) -> None:
    """The command as a process of its own, whole: index, tree, checkpoints and all."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, "fsck", "--json", "--no-chain", "--from-start"],
        cwd=ROOT,
        env=environment(rt),
        capture_output=True,
        text=True,
        check=True,
    )
    taken = time.perf_counter() - began
    found = json.loads(done.stdout)
    assert found["sound"]
    assert found["entries"] == ENTRIES
    print(f"\nfsck of {ENTRIES:,} entries: {taken:.1f} s ({ENTRIES / taken:,.0f}/s), {int(done.stderr) / 1024:.0f} MB")


_MEASURED = """
import resource, sys
from api.cli import app
try:
    app()
finally:
    sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


def test_start(rt: Runtime) -> None:
    """`guoyuan up` from the shell until it says it is ready; then some requests, and its memory."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pack = bulk.pack_of(ENTRIES // 60)
    settings = {"GUOYUAN_PORT": str(port), "GUOYUAN_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    for with_tasks in (False, True):
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "api.cli", "up", "--json", "--tasks" if with_tasks else "--no-tasks"],
            cwd=ROOT,
            env=environment(rt) | settings,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not _asked(f"http://127.0.0.1:{port}/readyz"):
                assert process.poll() is None
                time.sleep(0.01)
            ready = time.perf_counter() - began
            early = _resident_mb(process.pid)
            taken = []
            for path in ("/api/v1/status", f"/api/v1/proof?id={pack}", f"/api/v1/trace?id={pack}", "/metrics"):
                began = time.perf_counter()
                assert _asked(f"http://127.0.0.1:{port}{path}"), path
                taken.append(f"{path.partition('?')[0]} {(time.perf_counter() - began) * 1000:.0f} ms")
            time.sleep(3)
            late = _resident_mb(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
        what = "with tasks" if with_tasks else "the web server alone"
        print(f"\nstart at {ENTRIES:,} entries, {what}: ready in {ready:.2f} s with {early:.0f} MB; then {late:.0f} MB")
        print(f"first answers: {', '.join(taken)}")


def environment(rt: Runtime) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GUOYUAN_")}
    return kept | {
        "GUOYUAN_HOME": str(rt.settings.home),
        "GUOYUAN_DATABASE_URL": rt.settings.database_url,
        "GUOYUAN_MQTT_PORT": "0",
    }


def _asked(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  # our own address
            return answer.read()
    except OSError:
        return None


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024
