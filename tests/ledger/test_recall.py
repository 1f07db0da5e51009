"""Recall in one call: from anything to everything it touched, with grams, states and reasons."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import pytest

from ledger import log
from ledger.errors import UnknownIdentifierError
from ledger.events import ErrorDeclaration, Event, parse_event
from ledger.flow import Amount
from ledger.kernel.database import Database
from ledger.reach import State
from ledger.recall import Recall, recall
from ledger.vocabulary import Sentence
from tests.simulators.orchard import GRADED_LOT, HARVEST_LOT, LOAD, PACK, PLOT

HOST = "https://id.gs1.org"
CRATE = f"{HOST}/8003/09521002002010C0017"
RECEIVER = f"{HOST}/414/9521004000106"
VOIDED = f"{HOST}/01/09521002001013/21/E4GM7S1QWX8V"
TREATMENT = f"{HOST}/253/9521001003131T260320-0001"
LATER = "2026-04-30T00:00:00.000Z"

exactly = Amount.exactly


def record(db: Database, events: list[Event], now: datetime) -> None:
    with db.write() as session:
        log.record_all(session, events, now=now)
        log.integrate(session)


def recalled(db: Database, identifier: str) -> Recall:
    with db.read() as session:
        return recall(session, identifier)


def of_kind(found: Recall, kind: str) -> dict[str, Amount]:
    return {thing.identifier: thing.amount for thing in found.reach.things if thing.kind == kind}


def made(number: int, at: str = LATER, **rest: Any) -> Event:
    return parse_event(
        {
            "eventID": f"urn:uuid:00000000-0000-4000-8000-{number:012d}",
            "eventTime": at,
            "eventTimeZoneOffset": "+08:00",
            **rest,
        }
    )


# --- the golden chain, from every kind of cause ----------------------------------------------------

ALL, GRADED, PACKS, LOTS = exactly(40_200), exactly(25_300), exactly(22_870), 5


@pytest.mark.parametrize(
    ("identifier", "reached", "packs", "shipped"),
    [
        (PLOT, ALL, 5, PACKS),
        (HARVEST_LOT, ALL, 5, PACKS),
        (GRADED_LOT, GRADED, 5, PACKS),
        (LOAD, PACKS, 5, PACKS),
        (PACK, exactly(4560), 1, exactly(4560)),
        (CRATE, exactly(20_400), 5, Amount(3070, 20_400)),
        (f"{HOST}/8004/9521001SENSOR0007", ALL, 5, PACKS),
        (f"{HOST}/8004/9521002LOGGER0031", PACKS, 5, PACKS),
        (f"{HOST}/8004/9521002CAMERA01", exactly(40_100), 5, PACKS),
        (f"{HOST}/8004/9521002PROBE02", ALL, 5, PACKS),
        (f"{HOST}/253/9521001003087CC260418-0001", GRADED, 5, PACKS),
        (TREATMENT, ALL, 5, PACKS),
        (f"{HOST}/01/09521005000112/10/SAMPLE-F1", ALL, 5, PACKS),
        (f"{HOST}/414/9521002000108/254/DOCK-IN", ALL, 5, PACKS),
        (f"{HOST}/414/9521002000108/254/DOCK-OUT", PACKS, 5, PACKS),
        (RECEIVER, PACKS, 5, PACKS),
        (f"{HOST}/417/9521004000014", PACKS, 5, PACKS),
        (f"{HOST}/417/9521001482134", ALL, 5, PACKS),
        (f"{HOST}/253/9521001003018P03-2026", ALL, 5, PACKS),
        (f"{HOST}/253/9521003003023L260417-1", ALL, 5, PACKS),
        (f"{HOST}/253/9521002003048PO260418-0001", ALL, 5, PACKS),
        (f"{HOST}/253/9521009003072Q260418-0001", PACKS, 5, PACKS),
        (f"{HOST}/253/9521002003116RC260424-01", exactly(3900), 0, exactly(0)),
        ("urn:uuid:019d9e8c-7b60-73d0-a7c5-0f0aef7d374b", exactly(40_100), 5, PACKS),
    ],
    ids=[
        "plot", "harvest lot", "graded lot", "load", "pack", "crate", "sensor", "logger", "camera", "probe",
        "certificate", "treatment", "product lot", "dock in", "dock out", "receiver", "receiving party", "holder",
        "passport", "broadcast", "pick order", "quota", "recall", "event",
    ],
)  # fmt: skip
def test_everything_that_can_be_at_fault_leads_to_what_it_touched(
    golden_db: Database, identifier: str, reached: Amount, packs: int, shipped: Amount
) -> None:
    found = recalled(golden_db, identifier)
    assert found.reach.amount == reached
    assert len(of_kind(found, "pack")) == packs
    assert found.reach.shipped == shipped
    assert not found.is_cut


def test_a_plots_recall_says_what_where_how_much_and_why(
    any_db: Database, golden: list[Event], later: datetime
) -> None:
    record(any_db, golden, later)
    found = recalled(any_db, PLOT)
    lots = of_kind(found, "lot")
    assert lots[HARVEST_LOT] == ALL
    assert lots[GRADED_LOT] == GRADED
    assert sum(amount.least for name, amount in lots.items() if name != HARVEST_LOT) == 39_900
    assert of_kind(found, "crate")[CRATE] == exactly(20_400)
    assert found.reach.lost == exactly(200)
    assert found.reach.not_shipped == exactly(40_200 - 22_870 - 200)
    (load,) = found.reach.loads
    assert (load.identifier, load.packs, load.amount, load.state) == (LOAD, 5, PACKS, State.DELIVERED)
    (receiver,) = found.reach.receivers
    assert (receiver.identifier, receiver.amount, receiver.has_confirmed) == (RECEIVER, PACKS, True)
    assert receiver.parties == (f"{HOST}/417/9521004000014",)
    told = [found.events[link.key].name for link in receiver.why]
    assert told == ["picked", "crated", "graded", "packed", "loaded", "shipped"]
    assert receiver.why[0].source == PLOT
    assert receiver.why[-1].target == RECEIVER
    pairs = zip(receiver.why, receiver.why[1:], strict=False)
    assert all(one.target == other.source for one, other in pairs)
    on_hand = {end.identifier: end.amount for end in found.reach.open_ends if end.what == "on_hand"}
    assert on_hand[HARVEST_LOT] == exactly(100)
    assert on_hand[GRADED_LOT] == exactly(2430)


def test_a_crate_may_be_in_any_pack_of_its_batch(golden_db: Database) -> None:
    found = recalled(golden_db, CRATE)
    assert of_kind(found, "pack")[PACK] == Amount(0, 4560)
    # 40,200 g went in, 20,400 g of them from this crate; the load holds 22,870 g of the 40,100 g graded.
    assert found.reach.loads[0].amount == Amount(3070, 20_400)
    assert {share.identifier for share in found.behind} == {HARVEST_LOT, PLOT}


def test_the_lot_a_recall_names_is_marked_and_its_neighbours_are_not(golden_db: Database) -> None:
    found = recalled(golden_db, PLOT)
    marked = [thing.identifier for thing in found.reach.things if thing.is_recalled]
    assert marked == [f"{HOST}/01/99521002000439/10/G260418-1C"]
    assert [found.events[key].name for key in found.notices] == ["recalled"]


def test_a_recall_in_force_follows_every_descendant_until_it_is_lifted(
    db: Database, golden: list[Event], later: datetime
) -> None:
    def notice(number: int, change: str) -> Event:
        return made(
            number,
            at=f"2026-04-30T00:00:0{number}.000Z",
            type="ObjectEvent",
            action="OBSERVE",
            bizStep="holding",
            persistentDisposition={change: ["recalled"]},
            quantityList=[{"epcClass": HARVEST_LOT, "quantity": 40_200, "uom": "GRM"}],
        )

    record(db, [*golden, notice(1, "set")], later)
    found = recalled(db, PLOT)
    assert all(thing.is_recalled for thing in found.reach.things if thing.kind in {"lot", "pack"})
    record(db, [notice(2, "unset")], later)
    assert sum(thing.is_recalled for thing in recalled(db, PLOT).reach.things) == 1


def test_a_voided_code_is_shown_although_nothing_was_ever_in_it(golden_db: Database) -> None:
    (thing,) = recalled(golden_db, VOIDED).reach.things
    assert (thing.identifier, thing.state, thing.amount) == (VOIDED, State.VOIDED, exactly(0))


def test_an_unknown_identifier_is_unknown(golden_db: Database) -> None:
    for identifier in (PACK[:-1] + "0", "urn:uuid:019d9e8c-7b60-73d0-a7c5-0f0aef7d374c", ""):
        with pytest.raises(UnknownIdentifierError):
            recalled(golden_db, identifier)


def test_a_sensor_touched_nothing_after_it_was_taken_away_or_before_it_came(
    db: Database, golden: list[Event], later: datetime
) -> None:
    sensor = f"{HOST}/8004/9521001SENSOR0009"

    def attached(number: int, at: str, action: str) -> Event:
        return made(
            number, at, type="AssociationEvent", action=action, parentID=PLOT, childEPCs=[sensor], bizStep="installing"
        )

    def window(number: int, at: str) -> Event:
        return made(
            number,
            at,
            type="ObjectEvent",
            action="OBSERVE",
            readPoint={"id": PLOT},
            sensorElementList=[{"sensorMetadata": {"deviceID": sensor}, "sensorReport": [{"type": "Temperature"}]}],
            **{"gy:sentence": Sentence.WINDOW_CLOSED.value},
        )

    early = [attached(1, "2026-03-01T00:00:00.000Z", "ADD"), window(2, "2026-03-02T00:00:00.000Z")]
    record(db, [*golden, *early, attached(3, "2026-03-03T00:00:00.000Z", "DELETE")], later)
    assert recalled(db, sensor).reach.things == ()
    record(db, [attached(4, "2026-04-17T00:00:00.000Z", "ADD"), window(5, "2026-04-17T05:00:00.000Z")], later)
    assert HARVEST_LOT in of_kind(recalled(db, sensor), "lot")


def test_a_treatment_after_the_harvest_touched_nothing_of_it(
    db: Database, golden: list[Event], later: datetime
) -> None:
    treated = next(event for event in golden if event.sentence == Sentence.TREATED)
    late = msgspec.structs.replace(treated, event_id="urn:uuid:late", event_time="2026-04-19T00:00:00.000Z")
    record(db, [*(event for event in golden if event is not treated), late], later)
    found = recalled(db, f"{HOST}/01/09521005000112/10/SAMPLE-F1")
    assert found.reach.things == ()


# --- corrections -----------------------------------------------------------------------------------


def corrected(event: Event, grams: int) -> Callable[[str], list[Event]]:
    """A declaration that an event is wrong, and the same with another weight."""

    def build(new_id: str) -> list[Event]:
        right = msgspec.structs.replace(event, event_id=new_id)
        held = msgspec.structs.replace(right.child_quantity_list[0], quantity=grams)  # type: ignore[union-attr]
        right = msgspec.structs.replace(right, child_quantity_list=(held,))
        declaration = ErrorDeclaration(
            declaration_time="2026-04-29T00:00:00.000Z", reason="incorrect_data", corrective_event_ids=(new_id,)
        )
        return [msgspec.structs.replace(event, error_declaration=declaration), right]

    return build


@pytest.mark.parametrize("comes_first", [True, False], ids=["after", "before"])
def test_a_corrected_weight_is_the_one_that_counts(
    db: Database,
    golden: list[Event],
    later: datetime,
    comes_first: bool,  # noqa: FBT001  # a table's column
) -> None:
    packed = next(e for e in golden if e.sentence == Sentence.PACKED and getattr(e, "parent_id", "") == PACK)
    correction = corrected(packed, 4600)("urn:uuid:right")
    record(db, golden if comes_first else [e for e in golden if e is not packed] + correction, later)
    record(db, correction if comes_first else [packed], later)
    found = recalled(db, PLOT)
    assert of_kind(found, "pack")[PACK] == exactly(4600)
    assert found.reach.loads[0].amount == exactly(22_870 + 40)
    record(db, corrected(correction[1], 4550)("urn:uuid:more-right"), later)
    assert of_kind(recalled(db, PLOT), "pack")[PACK] == exactly(4550)


def test_a_harvest_declared_wrong_takes_everything_behind_it_out(
    db: Database, golden: list[Event], later: datetime
) -> None:
    picked = next(event for event in golden if event.sentence == Sentence.PICKED)
    declared = msgspec.structs.replace(
        picked, error_declaration=ErrorDeclaration(declaration_time="2026-04-29T00:00:00.000Z", reason="did_not_occur")
    )
    record(db, [*golden, declared], later)
    assert recalled(db, PLOT).reach.amount != ALL
    assert HARVEST_LOT in of_kind(recalled(db, HARVEST_LOT), "lot")


# --- what is missing -------------------------------------------------------------------------------


def test_what_was_shipped_and_never_received_is_an_open_end(db: Database, golden: list[Event], later: datetime) -> None:
    record(db, [event for event in golden if event.sentence != Sentence.DELIVERED], later)
    found = recalled(db, PLOT)
    assert {thing.state for thing in found.reach.things if thing.kind == "pack"} == {State.SHIPPED}
    assert [end.identifier for end in found.reach.open_ends if end.what == "not_arrived"] == [LOAD]
    assert found.reach.receivers[0].has_confirmed is False


def test_a_code_in_force_without_a_pack_is_an_open_end(db: Database, golden: list[Event], later: datetime) -> None:
    packed = next(e for e in golden if e.sentence == Sentence.PACKED and getattr(e, "parent_id", "") == PACK)
    record(db, [event for event in golden if event is not packed], later)
    found = recalled(db, PLOT)
    assert [end.identifier for end in found.reach.open_ends if end.what == "not_packed"] == [PACK]


def test_more_than_the_limit_is_cut_and_says_so(golden_db: Database) -> None:
    with golden_db.read() as session:
        found = recall(session, PLOT, limit=8)
    assert found.is_cut
    assert found.events_read <= 8


def test_what_an_operator_records_twice_is_reached_once(db: Database, golden: list[Event], later: datetime) -> None:
    record(db, golden, later)
    record(db, golden, later)
    assert recalled(db, PLOT).reach.amount == ALL


# --- things of others, of which the log never heard how they were made -------------------------------

SERIALS = [f"{HOST}/01/09530005000017/21/{serial}" for serial in ("S1", "S2")]
PALLET = f"{HOST}/00/395300050000000014"
BEFORE, AFTER = "2026-04-21T08:00:00.000Z", "2026-04-22T08:00:00.000Z"


def journey_of(thing: str) -> list[Event]:
    """A thing is seen off, and seen arriving."""
    shipped = {"bizStep": "shipping", "destinationList": [{"type": "location", "destination": RECEIVER}]}
    received = {"bizStep": "receiving", "bizLocation": {"id": RECEIVER}}
    observed = {"type": "ObjectEvent", "action": "OBSERVE", "epcList": [thing]}
    return [made(91, BEFORE, **observed, **shipped), made(92, AFTER, **observed, **received)]


def loaded(at: str = "2026-04-21T07:00:00.000Z") -> Event:
    return made(90, at, type="AggregationEvent", action="ADD", parentID=PALLET, childEPCs=SERIALS)


def commissioned() -> Event:
    return made(89, "2026-04-21T06:00:00.000Z", type="ObjectEvent", action="ADD", epcList=SERIALS)


@pytest.mark.parametrize(
    ("events", "subject", "things", "loads"),
    [
        (journey_of(SERIALS[0]), SERIALS[0], SERIALS[:1], []),
        ([loaded(), *journey_of(PALLET)], SERIALS[0], SERIALS[:1], [PALLET]),
        ([loaded(), *journey_of(PALLET)], PALLET, SERIALS, [PALLET]),
        ([loaded(), *journey_of(PALLET)], RECEIVER, SERIALS, [PALLET]),
        ([loaded(), *journey_of(PALLET)], "urn:uuid:00000000-0000-4000-8000-000000000091", SERIALS, [PALLET]),
        ([commissioned(), loaded(), *journey_of(PALLET)], PALLET, SERIALS, [PALLET]),
        (journey_of(PALLET), PALLET, [PALLET], []),
    ],
    ids=[
        "serial",
        "serial on a pallet",
        "pallet",
        "receiver",
        "event",
        "serials commissioned",
        "pallet of nobody knows",
    ],
)
def test_what_nobody_was_seen_making_is_reached_all_the_same(
    db: Database, later: datetime, events: list[Event], subject: str, things: list[str], loads: list[str]
) -> None:
    record(db, events, later)
    found = recalled(db, subject).reach
    assert [thing.identifier for thing in found.things] == things
    assert {thing.state for thing in found.things} == {State.DELIVERED}
    assert {thing.amount for thing in found.things} == {Amount(0, None)}, "nobody said how much it weighs"
    assert [load.identifier for load in found.loads] == loads
    assert [(each.identifier, each.has_confirmed) for each in found.receivers] == [(RECEIVER, True)]


def test_a_thing_that_was_seen_and_no_more_is_where_it_was_seen(db: Database, later: datetime) -> None:
    record(db, [made(91, BEFORE, type="ObjectEvent", action="OBSERVE", epcList=SERIALS[:1])], later)
    found = recalled(db, SERIALS[0]).reach
    assert [(thing.identifier, thing.state) for thing in found.things] == [(SERIALS[0], State.HERE)]
    assert [end.what for end in found.open_ends] == ["mass_unknown"]
