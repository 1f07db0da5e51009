from datetime import timedelta

import pytest
from sqlmodel import select

from ledger import follow
from ledger.kernel.errors import IdentifierError
from ledger.kernel.ids import parse_digital_link
from orders import codes, fulfilment, packing, stock
from orders.errors import InvalidInputError, NotFoundError, PackError, QuotaError
from orders.models import Broadcast, Code, GradedLot, Pack, Quota, SalesLine, TierTotal
from orders.states import CodeState, LotState
from tests.orders.conftest import ZONE, Farm

TIERS_G = {"A": 9_000, "B": 6_000, "C": 3_000, "cull": 1_900}


@pytest.fixture
def show(farm: Farm) -> Broadcast:
    return farm.open()


@pytest.fixture
def lots(farm: Farm, show: Broadcast) -> dict[str, GradedLot]:
    return farm.graded(TIERS_G, show, A=2)


@pytest.fixture
def gtin(farm: Farm, show: Broadcast) -> str:
    return farm.listing(show, "A").gtin


def _nothing_written(farm: Farm) -> bool:
    with farm.db.read() as session:
        active = session.exec(select(Code).where(Code.state == CodeState.ACTIVE)).all()
        return not active and not session.exec(select(Pack)).all() and not farm.events("code_activated")


# --- graded stock -----------------------------------------------------------------------------------


def test_graded_event_becomes_stock_and_consumes_the_harvest_lot(farm: Farm, lots: dict[str, GradedLot]) -> None:
    assert {tier: lot.mass_g for tier, lot in lots.items()} == TIERS_G
    assert lots["A"].number.endswith("A")
    with farm.db.read() as session:
        harvest = lots["A"].harvest_lots[0]
        assert packing.packs(session) == []
        assert session.get_one(stock.Lot, harvest).state == LotState.CONSUMED
        assert {row.tier for row in stock.graded_lots(session, open_only=True)} == {"A", "B", "C"}


def test_following_the_same_event_again_changes_nothing(farm: Farm, lots: dict[str, GradedLot]) -> None:
    with farm.write() as session:
        follow.restart(session, stock.GradedStock.name)
    farm.follow()
    with farm.db.read() as session:
        assert len(stock.graded_lots(session)) == len(lots)
        assert session.get_one(TierTotal, ("Guifei", "A")).mass_g == TIERS_G["A"]


def test_what_was_graded_teaches_the_next_plan(farm: Farm, show: Broadcast, lots: dict[str, GradedLot]) -> None:
    farm.later(minutes=5)
    (order,) = farm.sell(show, C=8)
    assert order.share_per_mille == round((150 * 200_000 + 3_000 * 1000) / 219_900)


# --- quota ------------------------------------------------------------------------------------------


def test_quota_is_measured_mass_over_nominal_mass(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    quota = farm.grant(lots["A"], gtin)
    (granted,) = farm.events("quota_granted")
    assert quota.codes == granted.extensions["gy:quota"]["gy:codes"] == 9_000 // 2_500
    assert granted.extensions["gy:quota"]["gy:measuredBy"] == lots["A"].graded_event_id
    assert farm.grant(lots["A"], gtin).id == quota.id


@pytest.mark.parametrize("wanted", [0, -1, 4])
def test_more_codes_than_measured_mass_allows_are_refused(
    farm: Farm, lots: dict[str, GradedLot], gtin: str, wanted: int
) -> None:
    with pytest.raises(QuotaError) as caught:
        farm.grant(lots["A"], gtin, codes=wanted)
    assert (caught.value.wanted, caught.value.allowed) == (wanted, 3)


def test_two_products_share_one_lot_and_count_it_once(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    small = farm.open({"A": 5}, mass_g=1_000)
    farm.grant(lots["A"], gtin, codes=2)
    assert farm.grant(lots["A"], farm.listing(small, "A").gtin).codes == (9_000 - 2 * 2_500) // 1_000


def test_lot_of_another_tier_gets_no_quota(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    for tier in ("B", "cull"):
        with pytest.raises(PackError) as caught:
            farm.grant(lots[tier], gtin)
        assert caught.value.rule == "wrong_product"


def test_unknown_product_or_lot_is_named(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    with pytest.raises(NotFoundError, match="product"):
        farm.grant(lots["A"], "09521002999999")
    lots["A"].id = "G0"
    with pytest.raises(NotFoundError, match="no graded lot G0"):
        farm.grant(lots["A"], gtin)


def test_printed_serials_differ_and_grant_nothing(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    quota = farm.grant(lots["A"], gtin)
    with farm.write() as session:
        serials = [code.serial for count in (1, 40, 500) for code in codes.issue(session, quota.id, count, now=farm.at)]
        assert session.get_one(Quota, quota.id).activated == 0
        for count in (0, 501):
            with pytest.raises(InvalidInputError, match="count"):
                codes.issue(session, quota.id, count, now=farm.at)
    assert len(set(serials)) == 541
    assert {len(serial) for serial in serials} == {12}


# --- packs ------------------------------------------------------------------------------------------


def test_pack_activates_its_code_and_is_packed_in_that_order(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    farm.grant(lots["A"], gtin)
    pack = farm.pack(lots["A"], gtin, 2_560)
    said = [entry.sentence for entry in farm.entries()][-2:]
    assert said == ["code_activated/1", "packed/1"]
    (activated,), (packed,) = farm.events("code_activated"), farm.events("packed")
    assert activated.epc_list == (pack.id,) == (packed.parent_id,)
    assert packed.child_quantity_list[0].quantity == 2_560
    assert packed.extensions["gy:pack"]["gy:fruits"] == len(packed.extensions["gy:pack"]["gy:records"]) == 8
    assert activated.ilmd["cbvmda:bestBeforeDate"] == "2026-05-02"
    assert parse_digital_link(pack.id).values == {"01": gtin, "21": pack.serial}


def test_pack_below_nominal_is_refused_with_its_numbers(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    farm.grant(lots["A"], gtin)
    with pytest.raises(PackError, match="2499 g; the label promises 2500 g") as caught:
        farm.pack(lots["A"], gtin, 2_499)
    assert caught.value.rule == "below_nominal"
    assert _nothing_written(farm)


def test_lot_never_gives_more_than_was_measured(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    farm.grant(lots["A"], gtin)
    farm.pack(lots["A"], gtin, 4_000)
    with pytest.raises(PackError, match="5000 g left of 9000 g") as caught:
        farm.pack(lots["A"], gtin, 5_001)
    assert caught.value.rule == "lot_exceeded"
    farm.pack(lots["A"], gtin, 5_000)
    with farm.db.read() as session:
        assert stock.left_g(stock.graded_lot(session, lots["A"].id)) == 0


def test_no_more_codes_become_active_than_the_quota_has(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    farm.grant(lots["A"], gtin, codes=1)
    farm.pack(lots["A"], gtin)
    with pytest.raises(QuotaError, match="all 1 codes are active"):
        farm.pack(lots["A"], gtin)
    assert len(farm.events("packed")) == 1


def test_pack_without_a_quota_is_refused(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    with pytest.raises(PackError) as caught:
        farm.pack(lots["A"], gtin)
    assert caught.value.rule == "no_quota"


def test_quota_ends(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    farm.grant(lots["A"], gtin)
    farm.later(days=3, seconds=1)
    with pytest.raises(QuotaError, match="ended"):
        farm.pack(lots["A"], gtin)


def test_fruit_lies_in_one_pack_only(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    farm.grant(lots["A"], gtin)
    fruits = farm.fruits()
    farm.pack(lots["A"], gtin, fruits=fruits)
    with pytest.raises(PackError) as caught:
        farm.pack(lots["A"], gtin, fruits=[*farm.fruits(2), fruits[3]])
    assert caught.value.rule == "fruit_packed"
    with pytest.raises(PackError) as caught:
        farm.pack(lots["A"], gtin, fruits=farm.fruits(1) * 2)
    assert caught.value.rule == "fruit_twice"


def test_fruit_that_cannot_be_is_refused(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    farm.grant(lots["A"], gtin)
    with pytest.raises(InvalidInputError, match="0 fruits"):
        farm.pack(lots["A"], gtin, fruits=[])
    with pytest.raises(IdentifierError):
        farm.pack(lots["A"], gtin, fruits=[packing.Fruit("fruit 7", 300)])
    with pytest.raises(InvalidInputError, match="weighs 0 g"):
        farm.pack(lots["A"], gtin, fruits=farm.fruits(mass_g=0))
    assert _nothing_written(farm)


def test_printed_serial_is_used_once(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    quota = farm.grant(lots["A"], gtin)
    with farm.write() as session:
        serial = codes.issue(session, quota.id, 1, now=farm.at)[0].serial
    assert farm.pack(lots["A"], gtin, serial=serial).serial == serial
    for wanted, rule in ((serial, "code_used"), ("NEVERPRINTED", "code_unknown")):
        with pytest.raises(PackError) as caught:
            farm.pack(lots["A"], gtin, serial=wanted)
        assert caught.value.rule == rule


def test_spare_label_is_voided_once_and_never_packs(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    quota = farm.grant(lots["A"], gtin)
    with farm.write() as session:
        serial = codes.issue(session, quota.id, 1, now=farm.at)[0].serial
    for _ in range(2):
        with farm.write() as session:
            codes.void(
                session,
                gtin,
                [serial],
                reason="spare-label",
                line=farm.house.spot("LINE-1"),
                actor=farm.station,
                now=farm.at,
                zone=ZONE,
            )
    assert len(farm.events("code_voided")) == 1
    with pytest.raises(PackError, match="void already"):
        farm.pack(lots["A"], gtin, serial=serial)


def test_active_code_is_not_voided(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    farm.grant(lots["A"], gtin)
    pack = farm.pack(lots["A"], gtin)
    with pytest.raises(PackError, match="recall it"), farm.write() as session:
        codes.void(session, gtin, [pack.serial], reason="x", line="l", actor=farm.station, now=farm.at, zone=ZONE)


# --- who gets which pack ----------------------------------------------------------------------------


def test_pack_goes_to_the_line_that_waits_longest(farm: Farm, show: Broadcast, gtin: str) -> None:
    farm.take(farm.paid(show, ("A", 1), order="S-first"))
    farm.later(seconds=5)
    farm.take(farm.paid(show, ("A", 1), order="S-second"))
    lots = farm.graded(TIERS_G, show, B=1)
    farm.grant(lots["A"], gtin)
    served = []
    for _ in range(3):
        pack = farm.pack(lots["A"], gtin)
        with farm.db.read() as session:
            served.append(None if pack.line_id is None else session.get_one(SalesLine, pack.line_id).order_ref)
    assert served == ["S-first", "S-second", None]


def test_shortage_stays_visible_until_everything_sold_is_packed(
    farm: Farm, show: Broadcast, lots: dict[str, GradedLot], gtin: str
) -> None:
    farm.grant(lots["A"], gtin)
    missing = []
    for _ in range(2):
        with farm.db.read() as session:
            missing += [(row.tier, row.missing) for row in fulfilment.shortages(session, show.id)]
        farm.pack(lots["A"], gtin)
    with farm.db.read() as session:
        assert fulfilment.shortages(session, show.id) == []
    assert missing == [("A", 2), ("A", 1)]


def test_cancelled_order_frees_its_pack_for_who_comes_next(farm: Farm, show: Broadcast, gtin: str) -> None:
    farm.take(farm.paid(show, ("A", 1), order="S-1"))
    lots = farm.graded(TIERS_G, show, B=1)
    farm.grant(lots["A"], gtin)
    pack = farm.pack(lots["A"], gtin)
    farm.take(farm.cancelled("S-1"))
    assert farm.stock(show)["A"] == (10, 0)
    farm.take(farm.paid(show, ("A", 1), order="S-2"))
    with farm.write() as session:
        assert fulfilment.assign_spare(session) == 1
        line = session.get_one(SalesLine, session.get_one(Pack, pack.id).line_id)
        assert line.order_ref == "S-2"


def test_quota_lasts_three_days(farm: Farm, lots: dict[str, GradedLot], gtin: str) -> None:
    quota = farm.grant(lots["A"], gtin)
    assert quota.expires_at == farm.at + timedelta(days=3)
