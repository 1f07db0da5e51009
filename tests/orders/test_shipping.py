import pytest

from ledger.kernel.errors import IdentifierError
from ledger.kernel.files import FileStore
from orders import certificates, shipping
from orders.errors import InvalidInputError, LoadError, NotFoundError, SamePartyError
from orders.models import Load, Pack
from tests.orders.conftest import ZONE, Farm


@pytest.fixture
def packs(farm: Farm) -> list[Pack]:
    show = farm.open()
    lots = farm.graded({"A": 9_000, "B": 6_000}, show, A=2)
    gtin = farm.listing(show, "A").gtin
    farm.grant(lots["A"], gtin)
    return [farm.pack(lots["A"], gtin) for _ in range(3)]


def _load(farm: Farm, packs: list[str], **changes: object) -> Load:
    with farm.write() as session:
        return shipping.load(
            session, packs, actor=farm.station, numbering=farm.numbering, now=farm.at, zone=ZONE, **changes
        )


def _ship(farm: Farm, load: Load, **changes: object) -> Load:
    values = {"destination": farm.numbering.place(30), "receiver": farm.receiver.party} | changes
    with farm.write() as session:
        return shipping.ship(
            session, load.id, actor=farm.station, numbering=farm.numbering, now=farm.at, zone=ZONE, **values
        )


def _deliver(farm: Farm, load: Load, seen: list[str], *, actor=None, **changes: object) -> shipping.DeliveryOutcome:
    with farm.write() as session:
        return shipping.deliver(
            session,
            load.id,
            packs_seen=seen,
            actor=actor or farm.receiver,
            numbering=farm.numbering,
            now=farm.at,
            zone=ZONE,
            **changes,
        )


def test_load_names_its_packs_and_logger(farm: Farm, packs: list[Pack]) -> None:
    logger = farm.numbering.device("LOGGER0031")
    load = _load(farm, [pack.id for pack in packs], logger=logger)
    (loaded,) = farm.events("loaded")
    assert loaded.parent_id == load.id
    assert set(loaded.child_epcs) == {pack.id for pack in packs} | {logger}
    assert loaded.extensions["gy:load"] == {"gy:packs": 3, "gy:netMassG": 7_680, "gy:logger": logger}


def test_pack_lies_in_one_load_only(farm: Farm, packs: list[Pack]) -> None:
    _load(farm, [packs[0].id])
    with pytest.raises(LoadError, match="in it already"):
        _load(farm, [packs[0].id, packs[1].id])
    assert len(farm.events("loaded")) == 1


def test_load_without_packs_or_with_a_stranger_is_refused(farm: Farm, packs: list[Pack]) -> None:
    with pytest.raises(InvalidInputError, match="0 packs"):
        _load(farm, [])
    with pytest.raises(NotFoundError):
        _load(farm, [packs[0].id, packs[0].id + "X"])


def test_shipment_names_lots_certificates_sales_and_wanted_temperatures(
    farm: Farm, packs: list[Pack], tmp_path
) -> None:
    with farm.write() as session:
        certificate = certificates.issue_certificate(
            session,
            packs[0].graded_lot_id,
            files=FileStore(tmp_path),
            promisor=farm.numbering.party(1),
            product="芒果 样例",
            contact="sample contact",
            address="sample address",
            numbering=farm.numbering,
            now=farm.at,
            zone=ZONE,
        )
    load = _ship(farm, _load(farm, [pack.id for pack in packs]))
    (shipped,) = farm.events("shipped")
    assert shipped.extensions["gy:shipment"] == {
        "gy:lots": [packs[0].graded_lot_id],
        "gy:certificates": [certificate.id],
        "gy:wantedMilliCelMin": 10_000,
        "gy:wantedMilliCelMax": 14_000,
    }
    assert [t.type for t in shipped.biz_transaction_list] == ["desadv", "po"]
    assert load.shipped_at == farm.at


def test_shipping_again_changes_nothing_and_elsewhere_is_refused(farm: Farm, packs: list[Pack]) -> None:
    load = _load(farm, [packs[0].id])
    _ship(farm, load)
    _ship(farm, load)
    assert len(farm.events("shipped")) == 1
    with pytest.raises(LoadError, match="on its way"):
        _ship(farm, load, destination=farm.numbering.place(31))


def test_temperatures_the_wrong_way_round_are_refused(farm: Farm, packs: list[Pack]) -> None:
    with pytest.raises(InvalidInputError, match="14000 is not below 10000"):
        _ship(farm, _load(farm, [packs[0].id]), wanted_milli_celsius=(14_000, 10_000))


def test_complete_delivery_confirms_the_shipment(farm: Farm, packs: list[Pack]) -> None:
    load = _ship(farm, _load(farm, [pack.id for pack in packs], logger=farm.numbering.device("L1")))
    labels = [f"http://shop.example/01/{pack.gtin}/10/{'G260418-1A'}/21/{pack.serial}" for pack in packs]
    outcome = _deliver(farm, load, labels, leg={"expected": 525, "received": 520, "suspect": 1})
    (delivered,), (shipped,) = farm.events("delivered"), farm.events("shipped")
    assert outcome.is_complete
    assert delivered.disposition == "completeness_verified"
    assert delivered.extensions["gy:confirms"] == [shipped.event_id]
    assert delivered.extensions["gy:leg"]["gy:packsSeen"] == 3
    assert len(delivered.child_epcs) == 4


def test_missing_or_strange_pack_is_a_mismatch_never_mended(farm: Farm, packs: list[Pack]) -> None:
    load = _ship(farm, _load(farm, [packs[0].id, packs[1].id]))
    outcome = _deliver(farm, load, [packs[1].id, packs[2].id])
    assert not outcome.is_complete
    assert outcome.missing == (packs[0].id,)
    assert outcome.unexpected == (packs[2].id,)
    assert farm.events("delivered")[0].disposition == "mismatch_quantity"
    again = _deliver(farm, load, [packs[0].id, packs[1].id])
    assert again.is_duplicate
    assert (again.missing, again.unexpected) == (outcome.missing, outcome.unexpected)


def test_nothing_arriving_at_all_is_a_mismatch(farm: Farm, packs: list[Pack]) -> None:
    outcome = _deliver(farm, _ship(farm, _load(farm, [packs[0].id])), [])
    assert outcome.missing == (packs[0].id,)


def test_load_not_shipped_cannot_arrive(farm: Farm, packs: list[Pack]) -> None:
    with pytest.raises(LoadError, match="not been shipped"):
        _deliver(farm, _load(farm, [packs[0].id]), [packs[0].id])


def test_who_shipped_cannot_confirm_arrival(farm: Farm, packs: list[Pack]) -> None:
    with pytest.raises(SamePartyError):
        _deliver(farm, _ship(farm, _load(farm, [packs[0].id])), [packs[0].id], actor=farm.station)


def test_thing_that_is_no_pack_is_refused(farm: Farm, packs: list[Pack]) -> None:
    load = _ship(farm, _load(farm, [packs[0].id]))
    with pytest.raises(InvalidInputError, match="no single pack"):
        _deliver(farm, load, [f"https://id.gs1.org/01/{packs[0].gtin}"])
    with pytest.raises(IdentifierError):
        _deliver(farm, load, ["my pack"])
    assert farm.events("delivered") == []


# --- certificates -----------------------------------------------------------------------------------


def test_certificate_keeps_people_out_of_the_log_and_is_issued_once(farm: Farm, packs: list[Pack], tmp_path) -> None:
    def issue(**changes: object) -> certificates.Certificate:
        values = {
            "files": FileStore(tmp_path),
            "promisor": farm.numbering.party(1),
            "product": "芒果 样例",
            "contact": "sample phone 1",
            "address": "sample road 2",
        } | changes
        with farm.write() as session:
            return certificates.issue_certificate(
                session, packs[0].graded_lot_id, numbering=farm.numbering, now=farm.at, zone=ZONE, **values
            )

    with pytest.raises(InvalidInputError, match="hearsay"):
        issue(basis=("hearsay",))
    assert issue().id == issue().id
    (event,) = farm.events("certificate_issued")
    text = FileStore(tmp_path).get(event.extensions["gy:certificate"]["gy:document"])
    assert "承诺达标合格证" in text.decode()
    log = b"".join(entry.data for entry in farm.entries())
    assert b"sample phone" not in log
    assert b"sample road" not in log
