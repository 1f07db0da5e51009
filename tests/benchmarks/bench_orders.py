"""Holding stock under a burst: what we do, beside the two ways shops usually do it.

Every way takes the same paid orders on the same database from the same threads. The naive way reads
in one transaction and writes in the next; the locking way takes SELECT ... FOR UPDATE per order.
Both keep a unique order line, as ours does; only ours also keeps the raw message and its answer.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import insert, update
from sqlmodel import select

from orders import sales
from orders.channels import PaidOrder
from orders.models import SalesLine, TierStock
from tests.databases import each_kind
from tests.orders.conftest import Farm

pytestmark = pytest.mark.benchmark

THREADS = 8
ORDERS = 800
STOCK = 600
BATCH = 32


@pytest.fixture(params=["sqlite", "postgresql"])
def farm(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Farm]:
    with each_kind(request.param, tmp_path, pool_size=20) as database:
        farm = Farm(database, datetime(2026, 4, 18, 3, 5, tzinfo=UTC))
        farm.register()
        yield farm


def _line(session, message: PaidOrder, state: str) -> None:
    session.execute(
        insert(SalesLine).values(
            source=message.source,
            order_ref=message.order_ref,
            line_no=1,
            broadcast_id=message.broadcast,
            tier="A",
            listing_id=None,
            quantity=1,
            unit_price_fen=1,
            state=state,
            taken_at=message.paid_at,
            packed=0,
        )
    )


def _naive(farm: Farm, listing_id: int, message: PaidOrder) -> bool:
    with farm.db.read() as session:
        row = session.get_one(TierStock, listing_id)
        offered, held = row.offered, row.held
    if held >= offered:
        return False
    with farm.db.write() as session:
        session.execute(update(TierStock).where(TierStock.listing_id == listing_id).values(held=held + 1))
        _line(session, message, "held")
    return True


def _locking(farm: Farm, listing_id: int, message: PaidOrder) -> bool:
    with farm.db.write() as session:
        row = session.exec(select(TierStock).where(TierStock.listing_id == listing_id).with_for_update()).one()
        if row.held >= row.offered:
            _line(session, message, "sold_out")
            return False
        row.held += 1
        session.add(row)
        _line(session, message, "held")
    return True


def _ours(farm: Farm, message: PaidOrder) -> bool:
    return farm.take(message).lines[0].state == "held"


class _Lane:
    """Messages gathered while the last batch commits, as one process's intake would."""

    def __init__(self, farm: Farm) -> None:
        self.farm, self.waiting, self.answers = farm, [], {}
        self.changed, self.busy = threading.Condition(), False

    def take(self, message: PaidOrder) -> bool:
        with self.changed:
            self.waiting.append(message)
            while message.message_id not in self.answers:
                if self.busy:
                    self.changed.wait()
                    continue
                batch, self.waiting = self.waiting[:BATCH], self.waiting[BATCH:]
                self.busy = True
                self.changed.release()
                try:
                    with self.farm.write() as session:
                        outcomes = sales.take_many(session, batch, now=self.farm.at)
                finally:
                    self.changed.acquire()
                    self.busy = False
                self.answers |= {outcome.message_id: outcome.lines[0].state == "held" for outcome in outcomes}
                self.changed.notify_all()
            return self.answers[message.message_id]


def _burst(farm: Farm, take: Callable[[PaidOrder], bool], messages: list[PaidOrder]) -> tuple[float, float, int]:
    """Return orders per second, the 99th percentile in ms, and how many were promised."""
    waits: list[float] = []
    queue = iter(messages)
    lock = threading.Lock()

    def buyer() -> int:
        promised = 0
        while True:
            with lock:
                message = next(queue, None)
            if message is None:
                return promised
            start = time.perf_counter()
            promised += take(message)
            waits.append(time.perf_counter() - start)

    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        promised = sum(pool.map(lambda _: buyer(), range(THREADS)))
    seconds = time.perf_counter() - start
    return len(messages) / seconds, sorted(waits)[int(len(waits) * 0.99)] * 1000, promised


def test_burst_of_paid_orders(farm: Farm) -> None:
    numbers = count(1)

    def fresh() -> tuple[int, list[PaidOrder]]:
        show = farm.open({"A": STOCK})
        messages = [
            farm.paid(show, ("A", 1), order=f"B-{next(numbers)}", message=f"b-{next(numbers)}") for _ in range(ORDERS)
        ]
        return farm.listing(show, "A").id or 0, messages

    rows = []
    for name, make in (
        ("naive read, then write", lambda listing: lambda m: _naive(farm, listing, m)),
        ("SELECT FOR UPDATE", lambda listing: lambda m: _locking(farm, listing, m)),
        ("ours, one message a time", lambda _: lambda m: _ours(farm, m)),
        ("ours, take_many behind a lane", lambda _: _Lane(farm).take),
    ):
        listing, messages = fresh()
        rate, p99, promised = _burst(farm, make(listing), messages)
        rows.append((name, rate, p99, promised))
    base = next(rate for name, rate, _, _ in rows if name.startswith("SELECT"))
    kind = "SQLite" if farm.db.is_sqlite else "PostgreSQL"
    says = [f"{kind}: {ORDERS} paid orders, {THREADS} threads, {STOCK} pieces"]
    says += [
        f"  {name:32s} {rate:7.0f} orders/s  {rate / base:5.2f} x FOR UPDATE  p99 {p99:7.1f} ms  "
        f"promised {promised} ({max(0, promised - STOCK)} too many)"
        for name, rate, p99, promised in rows
    ]
    print("", *says, sep="\n")  # noqa: T201  # a benchmark is read
    assert all(promised == STOCK for name, _, _, promised in rows if name.startswith("ours"))
