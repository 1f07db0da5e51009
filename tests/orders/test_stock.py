"""Graded stock as a follower keeps it: made again from the log, whatever was lost."""

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, select, update

from ledger import follow
from ledger.kernel.database import Database
from orders.models import GradedLot, TierTotal
from orders.stock import GradedStock
from tests.orders.conftest import Farm

TIERS_G = {"A": 9_000, "B": 6_000, "C": 3_000, "cull": 1_900}


@pytest.fixture
def graded(farm: Farm) -> Farm:
    show = farm.open()
    for _ in range(2):
        farm.graded(TIERS_G, show, A=2)
        farm.later(minutes=30)
    return farm


def tables(db: Database) -> tuple[list[GradedLot], list[TierTotal]]:
    with db.read() as session:
        lots = session.exec(select(GradedLot).order_by(GradedLot.id)).all()
        totals = session.exec(select(TierTotal).order_by(TierTotal.variety, TierTotal.tier)).all()
    return list(lots), list(totals)


def from_zero(farm: Farm) -> None:
    with farm.write() as session:
        follow.restart(session, GradedStock.name)
    farm.follow()


def test_graded_stock_is_made_again_from_nothing(graded: Farm) -> None:
    before = tables(graded.db)
    assert before[0]
    with graded.write() as session:
        session.exec(delete(GradedLot))
        session.exec(delete(TierTotal))
    from_zero(graded)
    assert tables(graded.db) == before


@pytest.mark.parametrize("lost", ["totals", "one lot", "nothing"])
def test_what_is_left_is_neither_doubled_nor_forgotten(graded: Farm, lost: str) -> None:
    before = tables(graded.db)
    with graded.write() as session:
        if lost == "totals":
            session.exec(update(TierTotal).values(mass_g=1, fruits=1))
        elif lost == "one lot":
            session.exec(delete(GradedLot).where(col(GradedLot.id) == before[0][0].id))
    for _ in range(2):
        from_zero(graded)
        assert tables(graded.db) == before


def test_a_lot_that_was_packed_from_cannot_be_lost(farm: Farm) -> None:
    """What was packed of it is no follower's to make again, so the database keeps the row."""
    show = farm.open()
    lot = farm.graded(TIERS_G, show, A=2)["A"]
    gtin = farm.listing(show, "A").gtin
    farm.grant(lot, gtin)
    farm.pack(lot, gtin)
    before = tables(farm.db)
    with pytest.raises(IntegrityError), farm.write() as session:
        session.exec(delete(GradedLot).where(col(GradedLot.id) == lot.id))
    from_zero(farm)
    assert tables(farm.db) == before
    assert [row.packed_g for row in before[0] if row.id == lot.id] == [2560]
