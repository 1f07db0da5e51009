from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from contracts.costs import PER_EVENT_GAS, TIMESTAMP_GAS, TWO_SLOT_GAS, Cost, costs, summed
from contracts.models import Anchor, AnchorState
from ledger.kernel.database import Database
from tests.contracts.simulators import ORIGIN

START = datetime(2026, 4, 18, 15, 30, tzinfo=UTC)


def row(size: int, hours: float, *, state: AnchorState = AnchorState.FINAL, chain_id: int = 1) -> Anchor:
    at = START + timedelta(hours=hours)
    return Anchor(
        log_origin=ORIGIN, size=size, root=b"", previous_size=0, chain_id=chain_id, contract="0x", sender="0x",
        nonce=None, state=state, signed_at=at, included_at=at, gas_used=50_000, fee_wei=10**14, block_hash=b"\1" * 32,
    )  # fmt: skip


def test_a_day_is_counted_where_the_farm_is() -> None:
    rows = [row(10, 0), row(20, 1)]  # 23:30 and 00:30 in Shanghai
    assert [day for day, _ in summed(rows, zone=ZoneInfo("Asia/Shanghai")).days] == [
        date(2026, 4, 18),
        date(2026, 4, 19),
    ]
    assert [day for day, _ in summed(rows, zone=UTC).days] == [date(2026, 4, 18)]


def test_an_event_is_counted_once_and_a_refusal_is_paid_for() -> None:
    rows = [
        row(10, 0),
        row(40, 1),
        row(60, 2, state=AnchorState.REFUSED),
        row(40, 3, chain_id=2),
        row(50, 4, chain_id=2),
    ]
    total = summed(rows, zone=UTC).total
    assert total == Cost(anchors=4, events=50, gas=250_000, fee_wei=5 * 10**14)
    assert total.gas_per_event == 5_000
    assert total.wei_per_event == 10**13
    assert total.others_gas == {
        "transaction_per_event": 50 * PER_EVENT_GAS,
        "two_slot_store": 4 * TWO_SLOT_GAS,
        "timestamp_of_a_root": 4 * TIMESTAMP_GAS,
    }


def test_before_the_first_anchor_nothing_has_a_price(db: Database) -> None:
    with db.read() as session:
        found = costs(session, origin=ORIGIN)
    assert found.days == ()
    assert (found.total.gas_per_event, found.total.wei_per_event) == (None, None)


@pytest.mark.parametrize("state", [AnchorState.SIGNED, AnchorState.BROADCAST])
def test_what_no_block_holds_costs_nothing_yet(db: Database, state: AnchorState) -> None:
    waiting = row(10, 0, state=state)
    waiting.gas_used = waiting.fee_wei = None
    with db.write() as session:
        session.add_all([waiting, row(5, 0)])
    with db.read() as session:
        assert costs(session, origin=ORIGIN).total == Cost(1, 5, 50_000, 10**14)
