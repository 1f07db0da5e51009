# ruff: noqa: T201  # a benchmark is read on the terminal
"""Trace and recall over a season's log, beside a walk of one question per thing and a reading of the whole log.

    pytest -m benchmark tests/benchmarks/bench_trace.py -s

A million events unless GUOYUAN_BENCH_EVENTS says otherwise; writing them takes two minutes and 2 GB of disk in the
temporary folder. GUOYUAN_TEST_POSTGRES names a server to measure too. Every measurement is of another thing, so that no
answer comes from a page just read.
"""

import gc
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlmodel import Session, col, select

from ledger.holdings import Account, effective, fact_in, replay
from ledger.kernel.database import Database
from ledger.models import Entry, Naming
from ledger.recall import recall
from ledger.trace import history, trace
from tests.benchmarks.bench_ledger import database
from tests.simulators import seasons

pytestmark = pytest.mark.benchmark

EVENTS = int(os.environ.get("GUOYUAN_BENCH_EVENTS", "1000000"))
TIMES = 30


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def season(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, int]]:
    """The log, and how many plots it tells of."""
    folder: Path = tmp_path_factory.mktemp("season")
    with database(request.param, folder) as db:
        began = time.perf_counter()
        plots = seasons.fill(db, EVENTS)
        if not db.is_sqlite:
            with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM ANALYZE")
        seconds = time.perf_counter() - began
        gc.collect()
        gc.freeze()  # what pytest and its plug-ins hold is nothing that a server would look through
        print(f"\n{request.param}: about {EVENTS:,} events of {plots} plots written in {seconds:.0f} s")
        yield db, plots
    gc.unfreeze()
    for file in folder.glob("*"):
        file.unlink()


def measure(db: Database, what: str, things: Sequence[str], work: Callable[[Session, str], int]) -> float:
    """Print and return the 95th percentile, in milliseconds, over different things; with it this process's own time."""
    taken, spent, sizes = [], [], []
    for thing in things:
        began, used = time.perf_counter(), time.process_time()
        with db.read() as session:
            sizes.append(work(session, thing))
        taken.append((time.perf_counter() - began) * 1e3)
        spent.append((time.process_time() - used) * 1e3)
    p95 = at95(taken)
    size = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
    print(
        f"  {what:38} p50 {statistics.median(taken):7.1f} ms  p95 {p95:7.1f} ms"
        f"  (processor {statistics.median(spent):6.1f} and {at95(spent):6.1f})  reaches {size}"
    )
    return p95


def at95(values: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]


def reached(session: Session, thing: str) -> int:
    """Recall and count."""
    found = recall(session, thing).reach
    return len(found.things) + len(found.loads) + len(found.receivers)


def test_trace_and_recall(season: tuple[Database, int]) -> None:
    """A pack's history, and recalls from causes of every size."""
    db, plots = season
    pick = random.Random(1)  # a sample, not a secret
    lots = [(pick.randrange(plots), pick.randrange(seasons.LOTS)) for _ in range(TIMES)]
    packs = [seasons.pack(plot, lot, pick.randrange(seasons.PACKS)) for plot, lot in lots]
    measure(db, "history of a pack", packs, lambda s, thing: len(history(s, thing).steps))
    measure(db, "trace of a pack, with grams", packs, lambda s, thing: len(trace(s, thing).history.steps))
    measure(db, "recall of a pack", packs, reached)
    measure(db, "recall of a load", [seasons.load(plot, lot, 0) for plot, lot in lots], reached)
    measure(db, "recall of a graded lot (220 packs)", [seasons.graded_lot(*each) for each in lots], reached)
    measure(db, "recall of a harvest lot", [seasons.harvest_lot(*each) for each in lots], reached)
    measure(db, "recall of a lot of 400 packs", [seasons.graded_lot(1, seasons.LOTS - 1)] * 5, reached)
    others = [seasons.plot(number) for number in range(1, plots)][:TIMES]
    ours = measure(db, "recall of a plot's whole season", others, reached)
    measure(db, "recall of the plot with most readings", [seasons.plot(0)] * 5, reached)
    measure(db, "recall of its sensor", [seasons.sensor(0)] * 5, reached)
    measure(db, "history of the line all is packed at", [seasons.LINE] * 5, lambda s, t: len(history(s, t).steps))
    naive = measure(db, "one question per thing, a plot", others[:3], naive_walk)
    scanned = measure(db, "reading the whole log, once", others[:1], full_scan)
    print(f"  a plot's season: {naive / ours:.0f} times faster than thing by thing, {scanned / ours:.0f} than a scan")


def naive_walk(session: Session, plot: str) -> int:
    """Everything ahead of a plot, asking the index about one thing at a time and reading one entry at a time."""
    waiting, asked, accounts = [plot], set(), {}
    while waiting:
        thing = waiting.pop()
        if thing in asked:
            continue
        asked.add(thing)
        lines = session.exec(
            select(Naming).where(
                Naming.identifier == thing, col(Naming.sentence).not_in(("window_closed/1", "device_enrolled/1"))
            )
        ).all()
        for line in lines:
            if line.entry_id in accounts:
                continue
            fact = fact_in(session.get_one(Entry, line.entry_id).data)
            assert fact is not None
            accounts[line.entry_id] = fact
            waiting += [*fact.outputs(), *([fact.parent_id] if fact.parent_id else [])]
            if fact.action == "ADD" and fact.type == "ObjectEvent":
                waiting += fact.objects()
    replay(effective(Account(key, fact) for key, fact in accounts.items()))
    return len(accounts)


def full_scan(session: Session, plot: str) -> int:
    """The same from every entry of the log."""
    touched = {plot}
    count = 0
    rows = select(Entry.id, Entry.data).order_by(col(Entry.id)).execution_options(yield_per=5000)
    for _, data in session.execute(rows):
        fact = fact_in(data)
        if fact is None or fact.sentence == "window_closed/1":
            continue
        named = {fact.place, *fact.objects(), *fact.inputs(), *fact.children()}
        if named & touched:
            count += 1
            touched |= {*fact.outputs(), fact.parent_id}
            if fact.action == "ADD" and fact.type == "ObjectEvent":
                touched |= {*fact.objects()}
    return count
