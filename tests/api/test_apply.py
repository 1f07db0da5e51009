from pathlib import Path

import pytest
from sqlmodel import func, select

from api import accounts
from api import apply as setup_files
from api.errors import SetupFileError
from api.runtime import Runtime
from farm_sensors.models import Device
from ledger import disclosure
from ledger.kernel.actors import Role
from ledger.kernel.ids import PartyId
from ledger.models import Entry
from ledger.vocabulary import Sentence
from orders import plots

COOP = """
[cooperative]
name = "Sample Cooperative"
[[person]]
ref = "farmer-1"
name = "Sample farmer 1"
role = "farmer"
site = "farm"
[[person]]
ref = "host-1"
name = "Sample host"
role = "host"
[[place]]
ref = "farm"
gln = 1
[[place]]
ref = "house"
gln = 10
[[plot]]
ref = "P01"
place = "farm"
name = "Sample plot 1"
crop = "mango"
variety = "Guifei"
region = "CN-460200"
area_m2 = 6400
trees = 210
season = "2026-autumn"
yield_cap_kg = 12000
holder = "farmer-1"
polygon = [[109.51, 18.31], [109.52, 18.31], [109.52, 18.32]]
[[device]]
ref = "W01"
model = "sample-weather-1"
place = "farm/P01"
quantities = ["air-temperature", "air-humidity"]
public_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
cadence_s = 600
"""


def apply(rt: Runtime, text: str) -> setup_files.Applied:
    with rt.db.write() as session:
        return setup_files.apply(
            session, setup_files.parse(text), settings=rt.settings, numbering=rt.numbering, now=rt.clock.now()
        )


def entries(rt: Runtime) -> int:
    with rt.db.read() as session:
        return session.exec(select(func.count()).select_from(Entry)).one()


def test_a_file_sets_up_people_places_plots_and_devices(rt: Runtime) -> None:
    applied = apply(rt, COOP)
    assert [person.ref for person in applied.people] == ["farmer-1", "host-1"]
    assert applied.plots[0].id == rt.numbering.place(1, "P01")
    assert applied.devices[0].id == rt.numbering.device("W01")
    with rt.db.read() as session:
        farmer = accounts.person(session, "farmer-1")
        assert accounts.actor_of(farmer).site == rt.numbering.place(1)
        assert plots.plot(session, applied.plots[0].id).holder == farmer.party
        assert session.exec(select(Device)).one().place == applied.plots[0].id
        sentences = session.exec(select(Entry.sentence).order_by(Entry.id)).all()
    assert sentences == [Sentence.PLOT_REGISTERED, Sentence.DEVICE_ENROLLED]


def test_applying_again_changes_nothing_and_gives_out_no_codes(rt: Runtime) -> None:
    first = apply(rt, COOP)
    before = entries(rt)
    second = apply(rt, COOP)
    assert entries(rt) == before
    assert [(p.ref, p.party) for p in second.people] == [(p.ref, p.party) for p in first.people]
    assert all(p.code is None and p.link is None for p in second.people)
    code = first.people[0].code
    assert code is not None
    assert accounts.sign_in_with_code(rt.db, code, address="::1", now=rt.clock.now()).actor.role is Role.FARMER


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('role = "farmer"', 'role = "boss"', "person[0].role"),
        ('site = "farm"', 'site = "barn"', "person[0].site: no [[place]] has the ref 'barn'"),
        ('holder = "farmer-1"', 'holder = "farmer-9"', "plot[0].holder: no [[person]]"),
        ('place = "farm/P01"', 'place = "barn/P01"', "device[0].place"),
        ("public_key = ", 'public_key = "AAAA" # ', "device[0].public_key: holds 3 bytes"),
        ("public_key = ", 'public_key = "?" # ', "device[0].public_key: is not base64"),
        ("area_m2 = 6400", "area_m2 = -1", "plot[0].area_m2"),
        ("[[109.51, 18.31]", "[[18.31, 109.51]", "plot[0].polygon"),
        ("gln = 10", "gln = 10\nowner = 1", "place[1].owner: extra inputs are not permitted"),
        ('ref = "house"', 'ref = "farm"', "place[1].ref: 'farm' stands twice"),
        ("[cooperative]", "[cooperative", "not TOML"),
        ('"air-humidity"', '"air-humour"', "device[0]: device W01"),
    ],
)
def test_a_wrong_file_is_refused_naming_the_path_and_nothing_is_kept(
    rt: Runtime, old: str, new: str, path: str
) -> None:
    with pytest.raises(SetupFileError) as refused:
        apply(rt, COOP.replace(old, new, 1))
    assert path in str(refused.value)
    with rt.db.read() as session:
        assert accounts.people(session) == []
    assert entries(rt) == 0


def test_a_changed_description_of_a_registered_plot_is_refused(rt: Runtime) -> None:
    apply(rt, COOP)
    with pytest.raises(SetupFileError, match=r"plot\[0\]"):
        apply(rt, COOP.replace("trees = 210", "trees = 2100"))


def test_an_erased_name_stays_erased_when_the_file_is_applied_again(rt: Runtime) -> None:
    applied = apply(rt, COOP)
    with rt.db.write() as session:
        party = accounts.erase(session, "farmer-1", now=rt.clock.now())
    assert party == applied.people[0].party
    again = apply(rt, COOP)
    assert again.people[0].code is None
    with rt.db.read() as session:
        assert accounts.name_of(session, party) is None
        plot = plots.plots(session, holder=PartyId(party))[0]
        assert "holderName" not in disclosure.opened(session, plot.event_id)
        assert "boundary" in disclosure.opened(session, plot.event_id)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupFileError, match=r"coop\.toml"):
        setup_files.read(tmp_path / "coop.toml")
