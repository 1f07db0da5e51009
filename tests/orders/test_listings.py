from datetime import timedelta

import pytest
from pydantic import ValidationError

from ledger.kernel.actors import Actor, Role
from orders import listings, plots, sales, sentences
from orders.errors import BroadcastClosedError, DuplicateListingError, InvalidInputError, NotFoundError
from orders.models import Broadcast
from tests.orders.conftest import ZONE, Farm

# --- plots ------------------------------------------------------------------------------------------


def test_registering_a_plot_again_changes_nothing(farm: Farm) -> None:
    assert farm.register().event_id == farm.register().event_id
    assert len(farm.entries("plot_registered")) == 1


def test_registered_plot_is_not_edited(farm: Farm) -> None:
    with pytest.raises(InvalidInputError, match="yield_cap_g") as caught:
        farm.register(yield_cap_kg=60_000)
    assert "is registered as 12000000" in str(caught.value)


def test_passport_names_plot_holder_and_cap(farm: Farm) -> None:
    (event,) = farm.events("plot_registered")
    assert event.ilmd["gy:yieldCapG"] == 12_000_000
    assert event.ilmd["gy:holder"] == farm.farmer.party
    assert event.epc_list == ("https://id.gs1.org/253/9521002003017P01-2026-spring",)


def test_boundary_is_for_holder_and_owner_and_not_in_the_log(farm: Farm) -> None:
    place = farm.numbering.place(1, "P01")
    owner = Actor(farm.numbering.party(1), Role.MANAGER)
    with farm.db.read() as session:
        assert "109.51" in (plots.boundary(session, place, actor=farm.farmer) or "")
        assert plots.boundary(session, place, actor=owner)
        assert plots.boundary(session, place, actor=farm.other_farmer) is None
        assert len(plots.plots(session, holder=farm.farmer.party)) == 1
        assert plots.plots(session, holder=farm.other_farmer.party) == []
        with pytest.raises(NotFoundError, match="no plot nowhere"):
            plots.plot(session, "nowhere")
    assert b"109.51" not in farm.entries("plot_registered")[0].data


@pytest.mark.parametrize(
    "changes",
    [
        {"polygon": ((109.5, 18.3), (109.6, 18.3))},
        {"polygon": ((18.3, 109.5), (18.3, 109.6), (18.4, 109.6))},
        {"yield_cap_kg": 0},
        {"area_m2": -1},
        {"ref": "plot number one"},
        {"region": "Hainan"},
        {"season": "next"},
        {"colour": "green"},
    ],
)
def test_plot_that_cannot_be_is_not_parsed(farm: Farm, changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        farm.new_plot(**changes)


# --- broadcasts and listings ------------------------------------------------------------------------


def _list(farm: Farm, show: Broadcast, **changes: object) -> None:
    values = {
        "tier": "A",
        "variety": "Guifei",
        "nominal_mass_g": 2500,
        "price_fen": 4990,
        "pieces": 5,
        "plots": [farm.numbering.place(1, "P01")],
    } | changes
    with farm.write() as session:
        listings.list_tier(session, show.id, numbering=farm.numbering, now=farm.at, zone=ZONE, **values)


def test_each_tier_is_offered_in_the_log_without_its_price(farm: Farm) -> None:
    farm.open({"A": 5, "B": 6, "C": 7})
    opened = farm.events("broadcast_opened")
    assert [(e.extensions["gy:offer"]["gy:tier"], e.quantity_list[0].quantity) for e in opened] == [
        ("A", 5),
        ("B", 6),
        ("C", 7),
    ]
    assert len({e.quantity_list[0].epc_class for e in opened}) == 3
    assert b"4990" not in b"".join(entry.data for entry in farm.entries("broadcast_opened"))


def test_same_pack_has_the_same_gtin_in_every_broadcast(farm: Farm) -> None:
    first, second = farm.open({"A": 5}), farm.open({"A": 9})
    assert farm.listing(first, "A").gtin == farm.listing(second, "A").gtin
    assert first.ref != second.ref


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tier": "cull"}, "tier"),
        ({"tier": "Z"}, "tier"),
        ({"pieces": 0}, "pieces"),
        ({"pieces": 1_000_001}, "pieces"),
        ({"price_fen": 0}, "price_fen"),
        ({"nominal_mass_g": -5}, "nominal_mass_g"),
        ({"plots": []}, "plots"),
        ({"variety": "Tainong"}, "plots"),
    ],
)
def test_offer_that_cannot_be_is_refused_by_field(farm: Farm, changes: dict[str, object], field: str) -> None:
    show = farm.open({})
    with pytest.raises(InvalidInputError) as caught:
        _list(farm, show, **changes)
    assert caught.value.field == field
    assert farm.entries("broadcast_opened") == []


def test_tier_is_listed_once(farm: Farm) -> None:
    show = farm.open({"A": 5})
    with pytest.raises(DuplicateListingError):
        _list(farm, show)


def test_unknown_plot_or_broadcast_is_named(farm: Farm) -> None:
    show = farm.open({})
    with pytest.raises(NotFoundError, match="plot"):
        _list(farm, show, plots=["https://id.gs1.org/414/9521002000016/254/P99"])
    show.id = "L000000-0000"
    with pytest.raises(NotFoundError, match="no broadcast L000000-0000"):
        _list(farm, show)


@pytest.mark.parametrize(("title", "hours"), [("", 1), (" ", 1), ("x" * 121, 1), ("Sample", 0), ("Sample", -1)])
def test_broadcast_that_cannot_be_is_refused(farm: Farm, title: str, hours: int) -> None:
    with pytest.raises(InvalidInputError), farm.write() as session:
        listings.open_broadcast(
            session,
            host=farm.host,
            title=title,
            closes_at=farm.at + timedelta(hours=hours),
            place=farm.numbering.place(20),
            numbering=farm.numbering,
            now=farm.at,
            zone=ZONE,
        )


def test_offering_more_adds_to_the_stock_and_to_the_log(farm: Farm) -> None:
    show = farm.open({"A": 5})
    listing_id = farm.listing(show, "A").id
    with farm.write() as session:
        listings.offer_more(session, listing_id, pieces=3, now=farm.at, zone=ZONE)
    assert farm.stock(show) == {"A": (8, 0)}
    assert sum(e.quantity_list[0].quantity for e in farm.events("broadcast_opened")) == 8


def test_new_price_holds_for_what_is_sold_from_now_on(farm: Farm) -> None:
    show = farm.open({"A": 5})
    with farm.write() as session:
        listings.change_price(session, farm.listing(show, "A").id, price_fen=3990)
        with pytest.raises(InvalidInputError, match="price_fen"):
            listings.change_price(session, farm.listing(show, "A").id, price_fen=0)
    assert farm.listing(show, "A").price_fen == 3990


def test_closing_ends_every_offer_once_and_says_the_last_sales(farm: Farm) -> None:
    show = farm.open({"A": 5, "B": 5})
    farm.take(farm.paid(show, ("A", 2)))
    for _ in range(2):
        with farm.write() as session:
            assert listings.close(session, show.ref, now=farm.at, zone=ZONE).closed_at is not None
    assert [e.action for e in farm.events("broadcast_opened")] == ["ADD", "ADD", "DELETE", "DELETE"]
    (sold,) = farm.events("sold")
    assert sold.quantity_list[0].quantity == 2
    with pytest.raises(BroadcastClosedError):
        _list(farm, show, tier="C")
    with pytest.raises(BroadcastClosedError), farm.write() as session:
        listings.change_price(session, farm.listing(show, "A").id, price_fen=1)


def test_broadcasts_are_listed_newest_first_by_host(farm: Farm) -> None:
    first = farm.open({})
    farm.later(hours=1)
    second = farm.open({})
    with farm.db.read() as session:
        assert [row.id for row in listings.broadcasts(session, host=farm.host.party)] == [second.id, first.id]
        assert listings.broadcasts(session, host=farm.farmer.party) == []
        assert listings.broadcast(session, first.ref).id == first.id


# --- what was sold, minute by minute ----------------------------------------------------------------


def _write(farm: Farm, *, final: bool = False) -> list[str]:
    with farm.write() as session:
        return sentences.write_sold(session, now=farm.at, zone=ZONE, final=final)


def test_sold_is_said_once_per_tier_when_its_minute_is_over(farm: Farm) -> None:
    show = farm.open()
    farm.take(farm.paid(show, ("A", 2), ("B", 1)))
    farm.later(seconds=20)
    farm.take(farm.paid(show, ("A", 3)))
    assert _write(farm) == []
    farm.later(seconds=40)
    assert len(_write(farm)) == 2
    assert _write(farm) == []
    sold = {e.extensions["gy:sale"]["gy:tier"]: e for e in farm.events("sold")}
    assert sold["A"].quantity_list[0].quantity == 5
    assert sold["A"].extensions["gy:sale"]["gy:orderLines"] == 2
    assert sold["A"].extensions["gy:sale"]["gy:nominalMassG"] == 12_500
    assert sold["A"].extensions["gy:recorder"] == farm.host.party


def test_every_minute_has_its_own_sentence(farm: Farm) -> None:
    show = farm.open()
    for _ in range(3):
        farm.take(farm.paid(show, ("A", 1)))
        farm.later(minutes=1)
    assert len(_write(farm)) == 3
    assert [e.event_time for e in farm.events("sold")] == [f"2026-04-18T03:{m:02d}:00.000Z" for m in (6, 7, 8)]


def test_late_message_never_falls_into_a_minute_already_said(farm: Farm) -> None:
    show = farm.open()
    early, late = farm.paid(show, ("A", 1)), farm.paid(show, ("A", 2))
    farm.take(early)
    farm.later(minutes=1)
    _write(farm)
    farm.take(late)
    farm.later(minutes=1)
    _write(farm)
    assert [e.quantity_list[0].quantity for e in farm.events("sold")] == [1, 2]


def test_what_was_not_sold_is_not_said(farm: Farm) -> None:
    show = farm.open({"A": 1})
    farm.take(farm.paid(show, ("A", 2), ("Z", 1)))
    farm.take(farm.paid(show, ("A", 1), order="S-1"))
    farm.take(farm.cancelled("S-1"))
    assert _write(farm, final=True) == []


def test_sale_cancelled_after_it_was_said_is_taken_back_once(farm: Farm) -> None:
    show = farm.open()
    farm.take(farm.paid(show, ("A", 2), order="S-1"))
    _write(farm, final=True)
    farm.later(minutes=3)
    farm.take(farm.cancelled("S-1"))
    assert len(_write(farm)) == 1
    assert _write(farm) == []
    assert [(e.action, e.quantity_list[0].quantity) for e in farm.events("sold")] == [("ADD", 2), ("DELETE", 2)]


def test_lines_behind_a_sentence_are_kept_and_match_its_digest(farm: Farm) -> None:
    from hashlib import sha256

    from ledger.kernel.files import ni_uri
    from orders.models import SaleMinute

    show = farm.open()
    farm.take(farm.paid(show, ("A", 2), order="S-secret"))
    (event_id,) = _write(farm, final=True)
    with farm.db.read() as session:
        lines = session.get_one(SaleMinute, event_id).lines
    (sold,) = farm.events("sold")
    assert b"S-secret" in lines
    assert sold.extensions["gy:sale"]["gy:linesDigest"] == ni_uri(sha256(lines).digest())
    assert b"S-secret" not in farm.entries("sold")[0].data


def test_sum_of_what_was_said_is_what_is_held(farm: Farm) -> None:
    show = farm.open({"A": 9})
    for n in range(6):
        farm.take(farm.paid(show, ("A", 2), order=f"S-{n}"))
        farm.later(seconds=25)
        if n % 2:
            _write(farm)
        if n == 3:
            farm.take(farm.cancelled("S-1"))
    _write(farm, final=True)
    said = sum(e.quantity_list[0].quantity * (1 if e.action == "ADD" else -1) for e in farm.events("sold"))
    with farm.db.read() as session:
        ((_, counter),) = sales.stock(session, show.id)
    assert said == counter.held
