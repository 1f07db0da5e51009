"""A lot's report: prices add up to the fen, tolerances count what the standard counts."""

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from grading import station
from grading.lot_report import lot_report
from grading.models import Fruit
from grading.standard import load_standard, load_tariff
from grading.station import Line
from ledger.kernel.database import Database
from ledger.kernel.files import FileStore
from tests.grading.conftest import NUMBERING, lot_named, receive, tray

TARIFF = load_tariff()


@pytest.fixture
def batch(db: Database, files: FileStore, line: Line, now: datetime) -> str:
    """An open batch of one tray, nobody in doubt: classes and tiers as a test sets them."""
    lot = lot_named("H260418-7")
    with db.write() as session:
        receive(session, lot, now=now)
        ref = station.open_batch(session, files, lot, line=line, numbering=NUMBERING, now=now).ref
        station.inspect(session, files, ref, tray(7), now=now)
        for row in session.exec(select(Fruit)):
            row.camera_tier, row.quality, row.size, row.mass_g = "A", "extra", "A", 300
            row.price_fen = TARIFF.price_fen("A", 300)
            session.add(row)
    return ref


def test_a_batch_that_is_what_it_says_keeps_its_tolerance(db: Database, files: FileStore, batch: str) -> None:
    with db.read() as session:
        report = lot_report(session, files, batch)
    assert {(each.tier, each.kind, each.is_met) for each in report.tolerances} == {
        ("A", "class", True),
        ("A", "size", True),
    }
    assert report.value_fen == 12 * 690
    assert [bar.fruits for bar in report.classes] == [12, 0, 0, 0]
    assert report.classes[0].share.low == pytest.approx(0.7575, abs=1e-3), "twelve of twelve is not certain"


def test_number_and_mass_are_counted_apart_and_both_must_keep_it(db: Database, files: FileStore, batch: str) -> None:
    with db.write() as session:
        one = session.exec(select(Fruit).order_by(col(Fruit.number))).first()
        assert one is not None
        one.quality, one.mass_g = "class-1", 30
        session.add(one)
    with db.read() as session:
        (found,) = [each for each in lot_report(session, files, batch).tolerances if each.kind == "class"]
    # 1 of 12 by number (84 thousandths, rounded up), 30 g of 3330 g by mass; Extra allows 50.
    assert (found.missed, found.number_permille, found.mass_permille, found.allowed_permille) == (1, 84, 10, 50)
    assert not found.is_met


def test_fruit_below_the_least_size_count_against_the_size_tolerance(
    db: Database, files: FileStore, batch: str
) -> None:
    with db.write() as session:
        for row in session.exec(select(Fruit).where(col(Fruit.number) <= 2)):
            row.size, row.quality = "-", "none"
            session.add(row)
    with db.read() as session:
        found = {each.kind: each for each in lot_report(session, files, batch).tolerances}
    assert (found["size"].missed, found["size"].number_permille, found["size"].is_met) == (2, 167, False)
    assert (found["class"].missed, found["class"].is_met) == (0, True), "what is too small is not also too poor"


def test_the_spread_counts_every_measured_fruit_once_by_what_the_standard_sizes_by(
    db: Database, files: FileStore, batch: str
) -> None:
    with db.write() as session:
        for row in session.exec(select(Fruit)):
            row.mass_g = 200 + 31 * row.number
            row.volume_mm3 = 0 if row.number == 12 else row.volume_mm3
            session.add(row)
    with db.read() as session:
        spread = lot_report(session, files, batch).spread
    assert spread.of == "mass_g"
    assert sum(each.fruits for each in spread.bins) == 11, "nothing was measured of the twelfth"
    assert (spread.bins[0].at, spread.bins[-1].at, spread.step) == (220, 540, 20)
    assert [each.at for each in spread.bins] == list(range(220, 541, 20)), "empty ones too"
    assert [(each.code, each.at) for each in spread.sizes] == [("A", 200), ("B", 351), ("C", 551), ("C+", 801)]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(TARIFF.tiers), st.integers(0, 3000)), max_size=60))
def test_the_prices_of_a_lots_fruit_are_whole_fen_and_sum_by_tier_to_the_total(fruit: list[tuple[str, int]]) -> None:
    prices = [TARIFF.price_fen(tier, mass_g) for tier, mass_g in fruit]
    assert all(price == int(price) >= 0 for price in prices)
    by_tier = {tier: sum(p for p, (t, _) in zip(prices, fruit, strict=True) if t == tier) for tier in TARIFF.tiers}
    assert sum(by_tier.values()) == sum(prices)


def test_every_shipped_class_says_how_many_may_miss_it() -> None:
    for name in ("mango", "citrus", "apple", "tomato"):
        found = [quality.tolerance_permille for quality in load_standard(name).content.classes]
        assert found == [50, 100, 100]
