"""The history of a thing: everything behind it, the journey ahead, and nothing of its neighbours."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledger import log
from ledger.canonical import entry_document
from ledger.capture import OnError, capture
from ledger.epcis.profile import Profile
from ledger.epcis.reading import read
from ledger.errors import EventError, UnknownIdentifierError
from ledger.events import AggregationEvent, Event, ObjectEvent, Quantity, TransformationEvent
from ledger.flow import Amount
from ledger.kernel.clock import format_time, parse_time
from ledger.kernel.database import Database
from ledger.lineage import Role, Stance, names
from ledger.recall import recall
from ledger.trace import Trace, entries_naming, history, trace
from ledger.vocabulary import Action, Sentence
from tests.simulators.orchard import GRADED_LOT, HARVEST_LOT, LOAD, PACK, PLOT, WINDOW, windows

exactly = Amount.exactly
SIBLING = "https://id.gs1.org/01/09521002001013/21/B5WZ8N1RCG6H"
TIME = "2026-04-18T03:05:00.000Z"


def record(db: Database, events: list[Event], now: datetime) -> None:
    with db.write() as session:
        log.record_all(session, events, now=now)
        log.integrate(session)


def sentences_of(db: Database, identifier: str) -> list[str]:
    with db.read() as session:
        return [step.sentence.partition("/")[0] for step in history(session, identifier).steps]


def test_the_golden_pack_has_its_whole_history(any_db: Database, golden: list[Event], later: datetime) -> None:
    record(any_db, golden, later)
    with any_db.read() as session:
        found = history(session, PACK)
    assert [step.event_id for step in found.steps] == [
        event.event_id
        for event in sorted(golden, key=lambda event: event.event_time)
        if event.sentence not in {Sentence.CODE_VOIDED, Sentence.RECALLED}
        and (event.sentence != Sentence.PACKED or PACK in names(entry_document(event, later)))
    ]
    assert not found.is_cut
    stances = {step.sentence: step.stance for step in found.steps}
    assert stances[Sentence.PACKED] is Stance.SUBJECT
    assert stances[Sentence.PICKED] is Stance.BEHIND
    assert stances[Sentence.SHIPPED] is Stance.AHEAD
    assert stances[Sentence.WINDOW_CLOSED] is Stance.PLOT
    assert stances[Sentence.SOLD] is Stance.DOCUMENT


def test_the_siblings_of_a_pack_stay_out(golden_db: Database) -> None:
    with golden_db.read() as session:
        mine, theirs = ({step.event_id for step in history(session, pack).steps} for pack in (PACK, SIBLING))
        packed = {entry.event_id for entry in entries_naming(session, GRADED_LOT, sentences=[Sentence.PACKED])}
    assert len(packed) == 5
    assert len(packed & mine) == len(packed & theirs) == 1
    assert not packed & mine & theirs


def test_a_harvest_lot_shows_what_became_of_it(golden_db: Database) -> None:
    found = sentences_of(golden_db, HARVEST_LOT)
    assert found.count("packed") == 5
    assert {"plot_registered", "picked", "graded", "shipped", "recalled"} <= set(found)


def test_a_plot_a_load_and_a_device_have_histories(golden_db: Database) -> None:
    assert {"plot_registered", "device_enrolled", "treated", "window_closed", "picked"} <= set(
        sentences_of(golden_db, PLOT)
    )
    assert {"loaded", "shipped", "delivered", "packed", "picked"} <= set(sentences_of(golden_db, LOAD))
    assert "device_enrolled" in sentences_of(golden_db, "https://id.gs1.org/8004/9521001SENSOR0008")


def test_an_unknown_identifier_is_unknown(golden_db: Database) -> None:
    with golden_db.read() as session, pytest.raises(UnknownIdentifierError):
        history(session, PACK[:-1] + "0")


@pytest.mark.parametrize(
    ("moved", "is_shown"),
    [
        (-timedelta(hours=48), True),
        (-timedelta(hours=48, milliseconds=1), False),
        (timedelta(hours=1), True),
        (timedelta(hours=1, milliseconds=1), False),
    ],
)
def test_readings_of_the_two_days_before_picking_belong_to_the_lot(
    db: Database,
    golden: list[Event],
    later: datetime,
    moved: timedelta,
    is_shown: bool,  # noqa: FBT001  # a table's column
) -> None:
    picked = next(event for event in golden if event.sentence == Sentence.PICKED)
    time = format_time(parse_time(picked.event_time) + moved)
    window = msgspec.structs.replace(golden[WINDOW], event_id="urn:uuid:window", event_time=time)
    record(db, [*golden, window], later)
    assert sentences_of(db, PACK).count("window_closed") == (2 if is_shown else 1)


def test_a_declared_error_is_marked_and_both_sides_stay(golden_db: Database) -> None:
    with golden_db.read() as session:
        found = history(session, PACK)
    crated = [step for step in found.steps if step.sentence == Sentence.CRATED]
    assert [(step.declared_wrong_by, step.is_declaration) for step in crated] == [
        (None, False),
        ("incorrect_data", False),
        (None, True),
        (None, False),
    ]
    effective = [step for step in found.effective() if step.sentence == Sentence.CRATED]
    grams = [step.event["childQuantityList"][0]["quantity"] for step in effective]
    assert grams == [20_400, 19_800]


def test_a_history_that_is_too_long_says_so(golden_db: Database) -> None:
    with golden_db.read() as session:
        found = history(session, PACK, limit=10)
    assert found.is_cut
    assert len(found.steps) == 10


def test_only_what_is_below_an_index(golden_db: Database) -> None:
    with golden_db.read() as session:
        found = history(session, PACK, below=34)
    assert [step.index for step in found.steps if step.index is None or step.index >= 34] == []
    assert Sentence.DELIVERED not in [step.sentence for step in found.steps]


def test_two_hundred_windows_are_all_found(db: Database, golden: list[Event], later: datetime) -> None:
    record(db, [*golden, *windows(168)], later)
    assert len(sentences_of(db, PACK)) == 200


# --- shapes that could make a walk go wrong --------------------------------------------------------

Made = Callable[..., Event]


def lot(name: str) -> str:
    return f"https://id.gs1.org/01/99521001000218/10/{name}"


def transformed(number: int, inputs: list[str], outputs: list[str]) -> Event:
    return TransformationEvent(
        event_id=f"urn:uuid:t{number}",
        event_time=TIME,
        event_time_zone_offset="+08:00",
        input_quantity_list=tuple(Quantity(epc_class=lot(name)) for name in inputs),
        output_quantity_list=tuple(Quantity(epc_class=lot(name)) for name in outputs),
    )


def contained(number: int, parent: str, child: str) -> Event:
    return AggregationEvent(
        event_id=f"urn:uuid:a{number}",
        event_time=TIME,
        event_time_zone_offset="+08:00",
        action=Action.ADD,
        parent_id=lot(parent),
        child_epcs=(lot(child),),
    )


def found_in(db: Database, events: list[Event], name: str, now: datetime) -> list[str]:
    record(db, events, now)
    with db.read() as session:
        return sorted(step.event_id.removeprefix("urn:uuid:") for step in history(session, lot(name)).steps)


def test_what_two_ways_lead_to_appears_once(any_db: Database, later: datetime) -> None:
    diamond = [transformed(1, ["a"], ["b", "c"]), transformed(2, ["b"], ["d"]), transformed(3, ["c"], ["d"])]
    assert found_in(any_db, diamond, "d", later) == ["t1", "t2", "t3"]


def test_a_circle_ends(any_db: Database, later: datetime) -> None:
    circle = [
        transformed(1, ["a"], ["b"]),
        transformed(2, ["b"], ["a"]),
        contained(1, "a", "b"),
        contained(2, "b", "a"),
        contained(3, "a", "a"),
        transformed(3, ["a"], ["a"]),
    ]
    assert found_in(any_db, circle, "a", later) == ["a1", "a2", "a3", "t1", "t2", "t3"]


def test_a_long_chain_is_followed_to_its_end(db: Database, later: datetime) -> None:
    chain = [transformed(i, [str(i)], [str(i + 1)]) for i in range(120)]
    assert len(found_in(db, chain, "120", later)) == 120


def test_other_uses_of_a_lot_are_not_the_past_of_what_came_of_it(db: Database, later: datetime) -> None:
    events = [transformed(1, ["a"], ["b"]), transformed(2, ["b"], ["mine"]), transformed(3, ["b"], ["theirs"])]
    assert found_in(db, events, "mine", later) == ["t1", "t2"]


# --- the index ------------------------------------------------------------------------------------


def test_entries_are_found_by_any_identifier_they_name(any_db: Database, golden: list[Event], later: datetime) -> None:
    record(any_db, golden[:20], later)
    with any_db.write() as session:
        log.record_all(session, golden[20:], now=later)
    with any_db.read() as session:
        for event in golden:
            for identifier in names(entry_document(event, later)):
                assert event.event_id in [entry.event_id for entry in entries_naming(session, identifier)]
        lots = entries_naming(session, HARVEST_LOT)
        assert [entry.id for entry in lots] == sorted(entry.id for entry in lots)
        received = entries_naming(session, HARVEST_LOT, sentences=[Sentence.RECEIVED])
        assert [entry.sentence for entry in received] == ["received/1"]
        assert entries_naming(session, "https://id.gs1.org/417/9521001482134", sentences=["sold/1"]) == []


def test_names_have_roles(golden: list[Event], later: datetime) -> None:
    graded = names(entry_document(next(e for e in golden if e.sentence == Sentence.GRADED), later))
    assert graded[HARVEST_LOT] == Role.INPUT
    assert graded[GRADED_LOT] == Role.OUTPUT | Role.REFERENCE
    assert graded[PLOT] == Role.REFERENCE
    assert graded["https://id.gs1.org/253/9521002003062GR260418-0001"] == Role.DOCUMENT
    window = names(entry_document(golden[WINDOW], later))
    assert window["https://id.gs1.org/8004/9521001SENSOR0007"] == Role.DEVICE


def test_recorders_evidence_and_digests_are_not_names(golden: list[Event], later: datetime) -> None:
    for event in golden:
        named = names(entry_document(event, later))
        assert not [name for name in named if name.startswith("ni:")]


@pytest.mark.parametrize(
    "event",
    [
        {"epcList": "x"},
        {"epcList": [1]},
        {"readPoint": "x"},
        {"readPoint": {}},
        {"quantityList": [{}]},
        {"sensorElementList": [[]]},
        {"errorDeclaration": {"correctiveEventIDs": "x"}},
        {"certificationInfo": 7},
    ],
    ids=repr,
)
def test_an_object_of_another_shape_names_nothing(event: dict[str, object]) -> None:
    with pytest.raises(EventError):
        names(event)


def test_an_event_without_a_sentence_can_be_found(db: Database, later: datetime) -> None:
    event = ObjectEvent(
        event_id="urn:uuid:1", event_time=TIME, event_time_zone_offset="+00:00", action=Action.OBSERVE, epc_list=(PACK,)
    )
    record(db, [event], later)
    assert sentences_of(db, PACK) == [""]


# --- with quantities -------------------------------------------------------------------------------


def traced(db: Database, identifier: str) -> Trace:
    with db.read() as session:
        return trace(session, identifier)


def behind(found: Trace) -> dict[str, Amount]:
    return {share.identifier: share.amount for share in found.flow.behind}


def test_a_pack_is_traced_to_its_plot_gram_by_gram(any_db: Database, golden: list[Event], later: datetime) -> None:
    record(any_db, golden, later)
    found = traced(any_db, PACK)
    assert found.flow.amount == exactly(4560)
    assert behind(found) == {
        GRADED_LOT: exactly(4560),
        HARVEST_LOT: exactly(4560),
        # Two crates were emptied into one batch: nobody knows from which of them these mangoes are.
        "https://id.gs1.org/8003/09521002002010C0017": Amount(0, 4560),
        "https://id.gs1.org/8003/09521002002010C0018": Amount(0, 4560),
        PLOT: exactly(4560),
    }
    why = next(share.why for share in found.flow.behind if share.identifier == PLOT)
    sentences = {step.event_id: step.sentence for step in found.history.steps}
    assert [sentences[event_id] for event_id in why] == ["picked/1", "crated/1", "graded/1", "packed/1"]


def test_a_trace_holds_the_steps_of_its_history_and_of_our_own_chain_no_others(golden_db: Database) -> None:
    for identifier in (PACK, HARVEST_LOT, GRADED_LOT, LOAD, PLOT):
        with golden_db.read() as session:
            proved = history(session, identifier)
        steps = {step.entry_id for step in traced(golden_db, identifier).history.steps}
        assert {step.entry_id for step in proved.steps} <= steps
    with golden_db.read() as session:
        assert history(session, PACK).steps == traced(golden_db, PACK).history.steps


def test_a_plot_is_traced_to_its_receivers(golden_db: Database) -> None:
    ahead = traced(golden_db, PLOT).flow.ahead
    assert [load.amount for load in ahead.loads] == [exactly(22_870)]
    assert [(each.identifier, each.amount) for each in ahead.receivers] == [
        ("https://id.gs1.org/414/9521004000106", exactly(22_870))
    ]


def test_what_is_no_goods_has_an_empty_flow(golden_db: Database) -> None:
    found = traced(golden_db, "https://id.gs1.org/417/9521001482134")
    assert found.flow.behind == ()
    assert found.flow.ahead.things == ()
    assert found.history.steps


def test_both_sides_of_a_correction_name_each_other(golden_db: Database) -> None:
    crated = [step for step in traced(golden_db, HARVEST_LOT).history.steps if step.sentence == Sentence.CRATED]
    wrong = next(step for step in crated if step.declared_wrong_by)
    right = next(step for step in crated if step.corrects)
    assert wrong.corrected_by == (right.event_id,)
    assert right.corrects == (wrong.event_id,)
    assert [step.is_effective for step in crated] == [True, False, False, True]


def test_the_readings_of_a_busy_plot_do_not_hide_what_grew_there(
    db: Database, golden: list[Event], later: datetime
) -> None:
    record(db, [*golden, *windows(2000)], later)
    found = traced(db, PLOT)
    assert not found.history.is_cut
    assert not found.flow.is_cut
    assert {"picked/1", "plot_registered/1"} <= {step.sentence for step in found.history.steps}
    assert len(found.flow.ahead.loads) == 1


# --- chains of others ------------------------------------------------------------------------------

TUNA = "urn:gdst:example.org:product:lot:class:"
WHOLE = "urn:gdst:wholechain.com:product:lot:class:fishcompany."
FILET = "urn:gdst:wholechain.com:product:lot:class:processingcompany.tunafilet.34e5e863"
KILO = 1000


def captured(db: Database, path: Path, now: datetime) -> None:
    """Capture a document of others as it came; what repeats an eventID with other content is refused."""
    with db.write() as session:
        document = read(path.read_bytes())
        capture(session, document, profile=Profile.LENIENT, on_error=OnError.PROCEED, now=now)
        log.integrate(session)


def test_the_trace_back_of_opentraceability_finds_its_sixteen_events(
    any_db: Database, shared: Path, later: datetime
) -> None:
    captured(any_db, shared / "vectors/opentraceability-testdata/traceback_tests.jsonld", later)
    found = traced(any_db, f"{TUNA}processor.2u.v1-0122-2022")
    assert len(found.history.steps) == 16
    assert found.flow.amount == exactly(5000 * KILO)
    assert behind(found)[f"{TUNA}processor.10u.commingle-01232022"] == exactly(5000 * KILO)
    assert behind(found)[f"{TUNA}hatchery.1u.tf12012021"] == Amount(0, 1000 * KILO)


@pytest.mark.parametrize(
    ("identifier", "steps"),
    [
        (FILET, 11),
        (f"{WHOLE}tuna.23423", 10),
        (f"{WHOLE}sal-fry.weio348", 6),
        (f"{TUNA}processor.2.v1-0122-2022", 18),
        (f"{TUNA}hatchery.1.tf12012021", 12),
        ("https://id.gs1.org/00/106141412345678908", 13),
    ],
)
def test_a_whole_chain_is_traced_exactly(
    db: Database, shared: Path, later: datetime, identifier: str, steps: int
) -> None:
    captured(db, shared / "vectors/opentraceability-testdata/all_wholechain_events.jsonld", later)
    assert len(traced(db, identifier).history.steps) == steps


def test_a_filet_is_traced_through_the_container_its_fish_came_in(db: Database, shared: Path, later: datetime) -> None:
    captured(db, shared / "vectors/opentraceability-testdata/all_wholechain_events.jsonld", later)
    found = traced(db, FILET)
    assert behind(found)[f"{WHOLE}hgtuna.8a25a035"] == exactly(6000 * KILO)
    # 10,000 kg were mixed of two catches of 5,000 kg: 4,000 kg of the mix are not in it.
    assert behind(found)[f"{WHOLE}tuna.23423"] == Amount(1000 * KILO, 5000 * KILO)
    assert behind(found)["urn:gdst:wholechain.com:location:loc:fishcompany.boat1"] == exactly(6000 * KILO)
    steps = [step.event.get("bizStep") for step in found.history.steps]
    assert [step for step in steps if step in {"packing", "shipping", "receiving", "unpacking"}] == [
        "packing", "shipping", "receiving", "unpacking",
    ]  # fmt: skip
    assert not any("sal-" in identifier for identifier in behind(found))


def test_the_recall_of_a_hatchery_reaches_the_importer(db: Database, shared: Path, later: datetime) -> None:
    captured(db, shared / "vectors/opentraceability-testdata/traceback_tests.jsonld", later)
    with db.read() as session:
        found = recall(session, f"{TUNA}hatchery.1u.tf12012021")
    reached = {thing.identifier: thing.amount for thing in found.reach.things}
    assert reached[f"{TUNA}fishfarm.1u.farmed-tuna-01192022"] == exactly(1000 * KILO)
    assert reached[f"{TUNA}processor.2u.v1-0122-2022"] == Amount(0, 1000 * KILO)


@pytest.mark.parametrize(
    ("name", "identifier", "source", "amount"),
    [
        ("initial-packing-cte", "10860009999920", "00860009999923", Amount(0, 11_339_809)),
        ("receiving-cte", "10860009999920", "00860009999923", Amount(0, 11_339_809)),
        ("shipping-cte", "10860009999920", "00860009999923", Amount(0, 113_398)),
    ],
)
def test_a_packed_lot_of_the_fsma_guideline_leads_back_to_its_harvest(  # fixtures and a table
    db: Database, shared: Path, later: datetime, tmp_path: Path, name: str, identifier: str, source: str, amount: Amount
) -> None:
    path = shared / f"vectors/openepcis-dpp-ready/extensions/us/fsma204/epcis/{name}.jsonld"
    document = json.loads(path.read_text())
    document["@context"] = "https://ref.gs1.org/standards/epcis/epcis-context.jsonld"
    plain = tmp_path / "plain.jsonld"
    plain.write_text(json.dumps(_without_comments(document)))
    captured(db, plain, later)
    found = traced(db, f"https://id.gs1.org/01/{identifier}/10/ABC1234")
    assert behind(found)[f"https://id.gs1.org/01/{source}/10/ABC1234"] == amount


def _without_comments(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_comments(item) for key, item in value.items() if not key.startswith("_")}
    return [_without_comments(item) for item in value] if isinstance(value, list) else value
