import json
from pathlib import Path

import msgspec
import pytest

from ledger.canonical import decode_entry
from ledger.events import Event, parse_event
from orders import shipping
from orders.balance import Imbalance, check
from tests.orders.conftest import ZONE, Farm


def _chain(shared: Path, *, without: str = "") -> list[Event]:
    paths = sorted((shared / "events").glob("[0-9]*.jsonld"))
    return [
        parse_event(event)
        for path in paths
        if not (without and path.name.startswith(without))
        for event in json.loads(path.read_text())["epcisBody"]["eventList"]
    ]


@pytest.mark.shared
def test_golden_chain_balances(shared: Path) -> None:
    assert check(_chain(shared)) == []


@pytest.mark.shared
def test_mistyped_crate_shows_without_its_correction(shared: Path) -> None:
    (found,) = check(_chain(shared, without="12_"))
    assert (found.rule, found.found, found.allowed) == ("crated equals picked", 39_300, 40_200)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("sentence", "old", "new", "rule"),
    [
        ("broadcast_opened", '"quantity":8', '"quantity":4', "sold at most offered"),
        ("plot_registered", '"gy:yieldCapG":12000000', '"gy:yieldCapG":40199', "picked at most the season's yield"),
        ("received", '"quantity":40100', '"quantity":39000', "received within 2 % of picked"),
        ("graded", '"gy:unaccountedG":200', '"gy:unaccountedG":199', "graded output and unaccounted equal input"),
        ("quota_granted", '"gy:codes":5', '"gy:codes":6', "codes at most measured over nominal"),
        ("quota_granted", '"gy:codes":5', '"gy:codes":4', "active codes at most the quota"),
        ("packed", '"quantity":4560', '"quantity":4499', "a pack is at least nominal"),
        ("packed", '"quantity":4560', '"quantity":9999', "packed at most graded"),
        ("delivered", "/21/7K3Q9X2MVD4T", "/21/7K3Q9X2MVD4U", "delivered equals loaded"),
        ("code_activated", "/21/7K3Q9X2MVD4T", "/21/7K3Q9X2MVD4U", "a pack's code is active before it is packed"),
    ],
)
def test_one_changed_number_breaks_its_rule(shared: Path, sentence: str, old: str, new: str, rule: str) -> None:
    changed = []
    for event in _chain(shared):
        text = msgspec.json.encode(event).decode()
        if event.sentence == f"{sentence}/1":
            if old == '"quantity":4560' and new == '"quantity":9999':
                text = text.replace('"quantity":45', '"quantity":90').replace('"quantity":46', '"quantity":90')
            text = text.replace(old, new)
        changed.append(msgspec.json.decode(text, type=type(event)))
    assert rule in {found.rule for found in check(changed)}


def test_a_real_day_balances(farm: Farm) -> None:
    show = farm.open()
    lots = farm.graded({"A": 9_000, "B": 6_000, "C": 3_000, "cull": 1_900}, show, A=2)
    gtin = farm.listing(show, "A").gtin
    farm.grant(lots["A"], gtin)
    packs = [farm.pack(lots["A"], gtin).id for _ in range(3)]
    with farm.write() as session:
        load = shipping.load(session, packs, actor=farm.station, numbering=farm.numbering, now=farm.at, zone=ZONE)
        shipping.ship(
            session,
            load.id,
            destination=farm.numbering.place(30),
            receiver=farm.receiver.party,
            actor=farm.station,
            numbering=farm.numbering,
            now=farm.at,
            zone=ZONE,
        )
        shipping.deliver(
            session,
            load.id,
            packs_seen=packs[:2],
            actor=farm.receiver,
            numbering=farm.numbering,
            now=farm.at,
            zone=ZONE,
        )
    events = [decode_entry(entry.data) for entry in farm.entries()]
    assert check(events) == [Imbalance("delivered equals loaded", load.id, 2, 3)]
