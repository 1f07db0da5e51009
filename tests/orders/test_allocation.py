import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import func, text, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel, select

from ledger.kernel.database import Database
from orders import allocation, sales
from orders.allocation import Drift, LineState
from orders.errors import BelowHeldError
from orders.models import SalesLine, TierStock
from tests.orders.conftest import Farm


def test_recount_repairs_a_counter_that_drifted(farm: Farm) -> None:
    show = farm.open({"A": 5, "B": 5})
    farm.take(farm.paid(show, ("A", 2), ("B", 1)))
    with farm.write() as session:
        assert allocation.recount(session) == []
        session.execute(update(TierStock).where(TierStock.listing_id == 1).values(held=4))
    with farm.write() as session:
        assert allocation.recount(session) == [Drift(1, counted=2, stood=4)]
    assert farm.stock(show) == {"A": (5, 2), "B": (5, 1)}


@pytest.mark.parametrize("held", [6, -1])
def test_database_itself_refuses_an_impossible_counter(farm: Farm, held: int) -> None:
    farm.open({"A": 5})
    with pytest.raises(IntegrityError, match="never_oversold"), farm.write() as session:
        session.execute(text("UPDATE orders_tier_stock SET held = :held"), {"held": held})


def test_offer_cannot_shrink_below_what_is_held(farm: Farm) -> None:
    show = farm.open({"A": 5})
    farm.take(farm.paid(show, ("A", 3)))
    with farm.write() as session:
        row, _ = sales.stock(session, show.id)[0]
        with pytest.raises(BelowHeldError) as caught:
            allocation.change_offer(session, row, pieces=2)
        allocation.change_offer(session, row, pieces=3)
    assert (caught.value.wanted, caught.value.held) == (2, 3)
    assert farm.stock(show) == {"A": (3, 3)}


class Burst(RuleBasedStateMachine):
    """Any order of sales, repeats, cancellations and changes of the offer keeps the books."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        db = Database(f"sqlite:///{Path(self.folder.name) / 'burst.db'}")
        SQLModel.metadata.create_all(db.engine)
        self.farm = Farm(db, datetime(2026, 4, 18, 3, 5, tzinfo=UTC))
        self.farm.register()
        self.show = self.farm.open({"A": 7, "B": 3})
        self.messages: list = []
        self.orders: list[str] = []
        self.answers: dict[str, sales.Outcome] = {}

    def teardown(self) -> None:
        self.farm.db.dispose()
        self.folder.cleanup()

    def _take(self, *messages) -> None:
        with self.farm.write() as session:
            outcomes = sales.take_many(session, list(messages), now=self.farm.at)
        for message, outcome in zip(messages, outcomes, strict=True):
            first = self.answers.setdefault(message.message_id, outcome)
            assert outcome.lines == first.lines
            assert outcome.order_ref == message.order_ref

    @rule(lines=st.lists(st.tuples(st.sampled_from("ABZ"), st.integers(1, 4)), min_size=1, max_size=3))
    def sell(self, lines: list[tuple[str, int]]) -> None:
        message = self.farm.paid(self.show, *lines)
        self._take(message)
        self.messages.append(message)
        self.orders.append(message.order_ref)

    @rule(sizes=st.lists(st.integers(1, 3), min_size=2, max_size=5), repeats=st.integers(0, 1))
    def sell_a_batch(self, sizes: list[int], repeats: int) -> None:
        batch = [self.farm.paid(self.show, ("A", n)) for n in sizes]
        self._take(*batch, *batch[:repeats])
        self.messages += batch
        self.orders += [message.order_ref for message in batch]

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        self._take(data.draw(st.sampled_from(self.messages)))

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self._take(self.farm.cancelled(data.draw(st.sampled_from(self.orders))))

    @rule(pieces=st.integers(1, 12))
    def change_offer(self, pieces: int) -> None:
        with self.farm.write() as session:
            row, counter = sales.stock(session, self.show.id)[0]
            if pieces >= counter.held:
                allocation.change_offer(session, row, pieces=pieces)
            else:
                with pytest.raises(BelowHeldError):
                    allocation.change_offer(session, row, pieces=pieces)

    @invariant()
    def books_agree(self) -> None:
        for offered, held in self.farm.stock(self.show).values():
            assert 0 <= held <= offered
        with self.farm.write() as session:
            assert allocation.recount(session) == []

    @invariant()
    def nothing_is_lost(self) -> None:
        with self.farm.db.read() as session:
            kept = session.exec(select(func.count()).select_from(SalesLine)).one()
            states = set(session.exec(select(SalesLine.state)))
        assert kept == sum(len(message.lines) for message in self.messages)
        assert states <= set(LineState)


TestBurst = Burst.TestCase
TestBurst.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
