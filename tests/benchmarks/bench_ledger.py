# ruff: noqa: T201  # a benchmark is read on the terminal
"""The log beside pymerkle's SQLite store: recording, proving, and the history of one pack.

    pytest -m benchmark tests/benchmarks/bench_ledger.py -s

Each prints what it measured and the baseline of the same run. GUOYUAN_TEST_POSTGRES names a server to measure too.
"""

import json
import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pymerkle
import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from ledger import log, merkle, tree
from ledger.bundle import prove
from ledger.canonical import entry_bytes
from ledger.checkpoint import LogSigner
from ledger.events import Event
from ledger.kernel.database import Database
from ledger.models import Entry
from ledger.proof import verify
from ledger.trace import history
from tests.databases import each_kind
from tests.simulators.orchard import PACK, golden_events, noise, windows

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).resolve().parent.parent.parent
NOW = datetime(2026, 5, 1, tzinfo=UTC)
RECORDED = 20_000
BATCH = 1000
LEAVES = 100_000
SIGNER = LogSigner("guoyuan.example/benchmark-log", bytes(32))


def median_us(work: Callable[[], object], times: int = 200) -> float:
    """Median microseconds of one call, warm."""
    work()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_record_and_integrate(kind: str, tmp_path: Path) -> None:
    """Parse-checked, canonical, indexed by identifier, in the tree; pymerkle keeps bytes and hashes alone."""
    golden = [event for event in golden_events() if event.error_declaration is None]
    events = [
        _renamed(golden[i % len(golden)], i)
        for i in range(RECORDED)  # every sentence, as often as in the golden chain
    ]

    def in_one_step(session: Session, batch: list[Event]) -> None:
        assert not log.record_batch(session, batch, now=NOW, is_whole=True).refused

    def in_two_steps(session: Session, batch: list[Event]) -> None:
        log.record_all(session, batch, now=NOW)
        log.integrate(session)

    (ours, cost), (apart, cost_apart) = (
        _rate(kind, tmp_path / work.__name__, events, work) for work in (in_one_step, in_two_steps)
    )
    entries = [entry_bytes(event, NOW) for event in events]
    with pymerkle.SqliteTree(str(tmp_path / "pymerkle.db"), algorithm="sha256") as theirs:
        began = time.perf_counter()
        for start in range(0, RECORDED, BATCH):
            theirs.append_entries(entries[start : start + BATCH])
        baseline = RECORDED / (time.perf_counter() - began)
    print(
        f"\nrecord + integrate, {kind}: {ours:,.0f} events/s in one step ({cost:.0f} us of processor time each), "
        f"{apart:,.0f} in two ({cost_apart:.0f} us); "
        f"pymerkle sqlite, bytes only: {baseline:,.0f}/s; ratio {ours / baseline:.2f}"
    )


def _rate(
    kind: str, folder: Path, events: list[Event], work: Callable[[Session, list[Event]], None]
) -> tuple[float, float]:
    """Events per second and microseconds of processor time for each, in transactions of BATCH, from empty."""
    folder.mkdir()
    with each_kind(kind, folder) as db:
        began, spent = time.perf_counter(), _processor_s(db)
        for start in range(0, RECORDED, BATCH):
            with db.write() as session:
                work(session, events[start : start + BATCH])
        return RECORDED / (time.perf_counter() - began), (_processor_s(db) - spent) / RECORDED * 1e6


def _processor_s(db: Database) -> float:
    """Processor seconds of this process, and of the PostgreSQL server's process that serves it, if on this machine."""
    mine = time.process_time()
    if db.is_sqlite:
        return mine
    with db.read() as session:
        stat = Path(f"/proc/{session.execute(text('SELECT pg_backend_pid()')).scalar_one()}/stat")
    if not stat.exists():
        return mine
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return mine + (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _renamed(event: Event, number: int) -> Event:
    return msgspec.structs.replace(event, event_id=f"urn:uuid:019d9d9b-b2c0-730c-9fdc-{number:012x}")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_inclusion_proof_from_the_database(kind: str, tmp_path: Path) -> None:
    leaves = [i.to_bytes(8, "big") for i in range(LEAVES)]
    dice = random.Random(1)
    with each_kind(kind, tmp_path) as db:
        with db.write() as session:
            tree.append(session, 0, [merkle.leaf_hash(leaf) for leaf in leaves])
        with db.read() as session:
            ours = median_us(lambda: tree.inclusion(session, dice.randrange(LEAVES), LEAVES))
            consistency = median_us(lambda: tree.consistency(session, dice.randrange(1, LEAVES), LEAVES))
            root = tree.root(session, LEAVES)
            path = tree.inclusion(session, 7, LEAVES)
    checking = median_us(lambda: merkle.verify_inclusion(merkle.leaf_hash(leaves[7]), 7, LEAVES, path, root))
    with pymerkle.SqliteTree(str(tmp_path / "pymerkle.db"), algorithm="sha256") as theirs:
        theirs.append_entries(leaves)
        baseline = median_us(lambda: theirs.prove_inclusion(dice.randrange(1, LEAVES)), times=30)
    print(
        f"\ninclusion proof at {LEAVES:,} leaves, {kind}: {ours:,.0f} us; consistency {consistency:,.0f} us; "
        f"checking in Python {checking:,.0f} us; pymerkle sqlite: {baseline:,.0f} us; ratio {baseline / ours:.0f}"
    )


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_history_of_two_hundred_events(kind: str, tmp_path: Path) -> None:
    """Beside it, what each event costs without an index: reading all entries and looking at each."""
    around = noise(LEAVES // 2)
    golden = golden_events()
    events = [*around[: LEAVES // 4], *golden[:30], *windows(168), *golden[30:], *around[LEAVES // 4 :]]
    with each_kind(kind, tmp_path) as db:
        for start in range(0, len(events), 5000):
            with db.write() as session:
                log.record_all(session, events[start : start + 5000], now=NOW)
                log.integrate(session)
        with db.write() as session:
            log.publish(session, SIGNER, now=NOW)
        with db.read() as session:
            assert len(history(session, PACK).steps) == 200
            walking = median_us(lambda: history(session, PACK), times=30)
            proving = median_us(lambda: prove(session, PACK, key=SIGNER.key).encode(), times=30)
            data = prove(session, PACK, key=SIGNER.key).encode()
            scanning = median_us(lambda: _scan(session), times=1)
    checking = median_us(lambda: verify(data), times=30)
    file = tmp_path / "proof.json"
    file.write_bytes(data)
    print(
        f"\nhistory of 200 events among {len(events):,}, {kind}: {walking / 1000:.1f} ms; with its proof file "
        f"({len(data) / 1000:.0f} kB) {proving / 1000:.1f} ms; checking: Python {checking / 1000:.1f} ms, "
        f"browser code in Node {_in_node(file)}; reading every entry instead: {scanning / 1000:,.0f} ms; "
        f"ratio {scanning / walking:.0f}"
    )


def _scan(session: Session) -> int:
    return sum(PACK.encode() in data for data in session.exec(select(Entry.data)))


def _in_node(file: Path) -> str:
    """The browser's verifier on the same file: first call of a fresh process, then the median of 20."""
    script = f"""
      import {{ readFileSync }} from "node:fs";
      import {{ verify }} from "{ROOT}/api/web/shared/static/verify/index.js";
      const file = readFileSync("{file}");
      const taken = [];
      for (let i = 0; i < 21; i++) {{ const t = performance.now(); verify(file); taken.push(performance.now() - t); }}
      console.log(JSON.stringify([taken[0], taken.slice(1).sort((a, b) => a - b)[10]]));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True, timeout=60
    )
    first, median = json.loads(done.stdout)
    return f"{first:.0f} ms first, {median:.0f} ms then"
