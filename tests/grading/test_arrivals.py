"""Belt fruit delivered by a line: counted once, in order, checked against their records, closed when all are here."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlmodel import Session, select

from grading import arrivals, samples, station
from grading.arrivals import Delivered, Judged
from grading.errors import (
    CalibrationExpiredError,
    CalibrationMissingError,
    ClockAheadError,
    EvidenceError,
    FruitGapError,
    FruitRefusedError,
    LateFruitError,
    OtherRunError,
    OtherStandardError,
    SecondPersonError,
    StillRunningError,
)
from grading.grade import caution_fen
from grading.line.belt import LineSetup, Passed
from grading.lot_report import lot_report
from grading.models import Batch, Fruit
from grading.profile import CameraProfile
from grading.regrading import evidence_of, regrade_all, roots
from grading.station import Line
from ledger.canonical import canonical, decode_entry
from ledger.kernel.actors import Actor
from ledger.kernel.database import Database
from ledger.kernel.files import FileStore, ni_uri
from ledger.models import Entry
from ledger.vocabulary import Sentence
from tests.grading.conftest import LINE, NUMBERING, lot_named, receive
from tests.simulators import belts
from tests.simulators.belts import MODEL, PROFILE, SETUP, record_of

LOT = lot_named("H260418-P03-1")
RUN = "urn:uuid:11111111-1111-4111-8111-111111111111"
OTHER = "urn:uuid:22222222-2222-4222-8222-222222222222"
RULES = (SETUP.standard.digest, SETUP.tariff.digest)


def open_run(db: Database, files: FileStore, now: datetime, **given: object) -> str:
    arrivals.keep_evidence(files, PROFILE.data)
    told = {"run": RUN, "profile": ni_uri(PROFILE.digest), "opened_at": now, "told": RULES} | given
    with db.write() as session:
        return arrivals.open_for_line(
            session, files, LOT, standard=SETUP.standard, tariff=SETUP.tariff, line=LINE, numbering=NUMBERING,
            now=now, **told,
        ).ref  # fmt: skip


@pytest.fixture
def ref(db: Database, files: FileStore, now: datetime) -> str:
    """The batch that the run fills, with nothing in it."""
    with db.write() as session:
        receive(session, LOT, now=now)
    return open_run(db, files, now)


def delivered(
    files: FileStore, fruit: Sequence[Passed], now: datetime, run: str = RUN, setup: LineSetup = SETUP
) -> list[Delivered]:
    """Keep the evidence of fruit, and tell of them."""
    arrivals.keep_evidence(files, MODEL)
    for each in fruit:
        for view in each.views:
            arrivals.keep_evidence(files, view.crop)
    return [Delivered(each.number, now, arrivals.keep_evidence(files, record_of(each, run, setup))) for each in fruit]


def count(
    db: Database,
    files: FileStore,
    ref: str,
    fruit: Sequence[Delivered],
    now: datetime,
    run: str = RUN,
    **given: object,
) -> dict[int, int]:
    with db.read() as session:
        rules = arrivals.rules_of(session, files, ref)
    examined = arrivals.examine(files, rules, run, fruit)
    with db.write() as session:
        return arrivals.count(session, ref, run, examined, now=now, **given)


def numbers(db: Database) -> list[int]:
    with db.read() as session:
        return list(session.exec(select(Fruit.number).order_by(Fruit.number)))


def settled(db: Database, files: FileStore, ref: str, worker: Actor, now: datetime) -> None:
    """Let a person decide what the camera doubted, as the numbers say."""
    with db.write() as session:
        for row in session.exec(select(Fruit).where(Fruit.batch == ref, Fruit.camera_tier == "doubtful")).all():
            station.judge(session, files, row.id, row.nominal_tier, worker, now=now)


def closed(session: Session, files: FileStore, ref: str, now: datetime) -> station.Closing:
    return station.close_batch(session, files, ref, line=LINE, numbering=NUMBERING, now=now)


# --- counting ------------------------------------------------------------------------------------


def test_fruit_are_counted_once_however_often_they_are_delivered(
    db: Database, files: FileStore, ref: str, now: datetime
) -> None:
    fruit = delivered(files, belts.passed(1, 6), now)
    first = count(db, files, ref, fruit[:4], now)
    again = count(db, files, ref, fruit, now)
    assert again | first == again
    assert count(db, files, ref, fruit, now) == again
    assert numbers(db) == [1, 2, 3, 4, 5, 6]


def test_a_counted_fruit_says_what_its_record_says(db: Database, files: FileStore, ref: str, now: datetime) -> None:
    (fruit,) = belts.passed(1, 1)
    count(db, files, ref, delivered(files, [fruit], now), now)
    with db.read() as session:
        row = session.exec(select(Fruit)).one()
    assert fruit.measures is not None
    assert (row.mass_g, row.length_um) == (fruit.measures.mass_g, fruit.measures.length_um)
    assert (row.camera_tier, row.nominal_tier) == (fruit.verdict.tier, fruit.verdict.nominal_tier)
    assert (row.reason_zh, row.price_fen) == (fruit.verdict.reason.zh, fruit.verdict.price_fen)
    assert (row.photograph_id, row.seen_at) == (None, now)
    assert files.get(row.crop) in [view.crop for view in fruit.views]


def test_a_number_that_was_left_out_is_refused_and_nothing_counts(
    db: Database, files: FileStore, ref: str, now: datetime
) -> None:
    fruit = delivered(files, belts.passed(1, 4), now)
    with pytest.raises(FruitGapError) as refused:
        count(db, files, ref, [*fruit[:2], fruit[3]], now)
    assert (refused.value.wanted, refused.value.found) == (3, 4)
    assert numbers(db) == []


def test_a_gap_that_is_told_is_kept_and_no_fruit_comes_to_it_later(
    db: Database, files: FileStore, ref: str, now: datetime, worker: Actor
) -> None:
    fruit = delivered(files, belts.passed(1, 4), now)
    count(db, files, ref, [*fruit[:2], fruit[3]], now, gaps=[3], last=4)
    with pytest.raises(FruitRefusedError, match="fruit 3: was told to be a gap"):
        count(db, files, ref, fruit[2:3], now)
    settled(db, files, ref, worker, now)
    with db.write() as session:
        closed(session, files, ref, now)
    assert (manifest(db, files)["gaps"], manifest(db, files)["lost"]) == ([3], {})


def test_the_same_number_with_another_record_is_refused(
    db: Database, files: FileStore, ref: str, now: datetime
) -> None:
    one, two = belts.passed(1, 2)
    count(db, files, ref, delivered(files, [one], now), now)
    forged = Delivered(1, now, delivered(files, [belts.replace(two, number=1)], now)[0].record)
    with pytest.raises(FruitRefusedError, match="another record"):
        count(db, files, ref, [forged], now)


def test_two_lines_on_one_lot_are_refused(db: Database, files: FileStore, ref: str, now: datetime) -> None:
    with pytest.raises(OtherRunError, match=RUN):
        open_run(db, files, now, run=OTHER)
    fruit = delivered(files, belts.passed(1, 1), now, run=OTHER)
    with pytest.raises(OtherRunError):
        count(db, files, ref, fruit, now, run=OTHER)


def test_opening_a_run_twice_is_one_batch_and_one_calibration(
    db: Database, files: FileStore, ref: str, now: datetime
) -> None:
    assert open_run(db, files, now + timedelta(minutes=1)) == ref
    with db.read() as session:
        told = [
            decode_entry(e.data) for e in session.exec(select(Entry).where(Entry.sentence == Sentence.CALIBRATED.value))
        ]
    assert [event.extensions["gy:calibration"]["gy:nmPerPixel"] for event in told] == [PROFILE.nm_per_px]


def test_photographs_and_belt_fruit_do_not_mix(
    db: Database, files: FileStore, ref: str, line: Line, now: datetime
) -> None:
    with pytest.raises(OtherRunError), db.write() as session:
        station.open_batch(session, files, LOT, line=line, numbering=NUMBERING, now=now)
    with pytest.raises(OtherRunError), db.write() as session:
        station.inspect(session, files, ref, samples.tray(7).jpeg, now=now)


def test_the_manifest_says_which_fruit_lie_in_no_lane_of_their_tier(
    db: Database, files: FileStore, ref: str, now: datetime, worker: Actor
) -> None:
    fruit = delivered(files, belts.passed(1, 5), now)
    count(db, files, ref, fruit[:3], now, lost={2: "unsure"})
    count(db, files, ref, fruit[3:], now, last=5)
    count(db, files, ref, [], now, last=5, lost={4: "too_late"})
    count(db, files, ref, [], now, last=5, lost={4: "too_late"})
    settled(db, files, ref, worker, now)
    with db.write() as session:
        closed(session, files, ref, now)
    assert manifest(db, files)["lost"] == {"2": "unsure", "4": "too_late"}
    count(db, files, ref, [], now, last=5, lost={1: "too_late"})
    with db.read() as session:
        assert arrivals.lost_of(session.exec(select(Batch)).one()) == {2: "unsure", 4: "too_late"}, "told too late"


@pytest.mark.parametrize("missing_g", [0, 20, 200])
def test_a_batch_whose_every_fruit_was_weighed_weighs_what_they_do(
    db: Database, files: FileStore, now: datetime, worker: Actor, missing_g: int
) -> None:
    fruit = []
    for each in belts.passed(1, 8):
        assert each.measures is not None
        weighed = belts.weighed(each, each.measures.mass_g + each.number)
        assert weighed.mass_from == "scale"
        fruit.append(weighed)
    whole_g = sum(each.mass_g for each in fruit)
    with db.write() as session:
        receive(session, LOT, now=now, mass_g=whole_g + missing_g)
    ref = open_run(db, files, now)
    count(db, files, ref, delivered(files, fruit, now), now, last=8)
    settled(db, files, ref, worker, now)
    with db.write() as session:
        closing = closed(session, files, ref, now)
    weighed_g = {lot.tier: lot.mass_g for lot in closing.lots}
    if missing_g * 100 <= whole_g:
        assert (closing.mass_from, closing.unaccounted_g, sum(weighed_g.values())) == ("scale", missing_g, whole_g)
    else:
        assert (closing.mass_from, sum(weighed_g.values())) == ("camera", whole_g + missing_g)


# --- what is not believed --------------------------------------------------------------------------


def altered(fruit: Passed, **changes: object) -> bytes:
    return canonical(json.loads(record_of(fruit, RUN)) | changes)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"run": OTHER}, "another run"),
        ({"number": 2}, "another run or number"),
        ({"scorePermille": 1}, "not what its measures come to"),
        ({"brixTenths": 120}, "Brix"),
        ({"standard": {"file": ni_uri(bytes(32))}}, "another standard"),
        ({"profile": ni_uri(bytes(32))}, "another camera profile"),
        ({"views": [{"crop": ni_uri(bytes(32))}]}, "not kept here"),
        ({"verdict": {"tier": "A"}}, "not what its measures come to"),
        ({"measures": {"massG": 1}}, "not complete"),
        ({"weighing": {"massG": 440, "why": ""}, "massFrom": "camera"}, "not whose it says"),
        ({"weighing": {"massG": 5000, "why": ""}, "massFrom": "camera"}, "weight and its pictures"),
        ({"weighing": {"massG": 455, "why": ""}, "massFrom": "scale"}, "not what its measures come to"),
        ({"weighing": {"massG": None, "why": ""}}, "has grams or a reason"),
        ({"weighing": {"massG": 400.5, "why": ""}}, "has grams or a reason"),
        ({"weighing": {"massG": None, "why": "lazy"}}, "not complete"),
        ({"format": "guoyuan-fruit-record/2"}, "is no guoyuan-belt-record/2"),
    ],
)
def test_a_record_that_contradicts_itself_or_its_batch_is_refused(
    db: Database, files: FileStore, ref: str, now: datetime, changes: dict[str, object], why: str
) -> None:
    fruit = next(each for each in belts.seen() if each.verdict.tier == "A")
    fruit = belts.replace(fruit, number=1)
    delivered(files, [fruit], now)
    record = files.put(altered(fruit, **changes))
    with pytest.raises(FruitRefusedError, match=why):
        count(db, files, ref, [Delivered(1, now, record)], now)
    assert numbers(db) == []


def test_near_a_limit_a_record_says_what_the_price_book_says(
    db: Database, files: FileStore, ref: str, now: datetime
) -> None:
    near = next(each for each in belts.seen() if each.verdict.is_near)
    fruit = belts.replace(near, number=1)
    count(db, files, ref, delivered(files, [fruit], now), now)
    with db.read() as session:
        row = session.exec(select(Fruit)).one()
        assert (row.camera_tier, row.price_fen) == (fruit.verdict.tier, fruit.verdict.price_fen)
        assert [each.why for each in regrade_all(files, evidence_of(session, []))] == [None]
    # A line that keeps the better tier of the two is refused: here the house decides what becomes of them.
    lowered = belts.regraded(belts.replace(near, number=2), SETUP)
    told = json.loads(record_of(lowered, RUN))
    better = canonical(told | {"verdict": told["verdict"] | {"tier": lowered.verdict.candidates[0]}})
    with pytest.raises(FruitRefusedError, match="not what its measures come to"):
        count(db, files, ref, [Delivered(2, now, files.put(better))], now)


def test_the_lot_report_counts_what_was_given_the_lower_tier_and_what_it_cost(
    db: Database, files: FileStore, ref: str, now: datetime, worker: Actor
) -> None:
    fruit = belts.passed(1, 10)
    near = [each for each in fruit if each.verdict.is_near]
    count(db, files, ref, delivered(files, fruit, now), now)
    with db.read() as session:
        told = lot_report(session, files, ref).near
    assert told.fruits == len(near) > 0
    assert told.value_fen == sum(caution_fen(each.verdict, SETUP.tariff, each.mass_g) for each in near)
    with db.write() as session:
        rows = session.exec(select(Fruit).where(Fruit.number == near[0].number)).all()
        station.judge(session, files, rows[0].id, rows[0].nominal_tier, worker, now=now)
        assert lot_report(session, files, ref).near.fruits == len(near) - 1, "a person has decided"


def test_a_weighed_fruit_counts_with_the_scales_grams(db: Database, files: FileStore, ref: str, now: datetime) -> None:
    seen = belts.seen()[3]
    assert seen.measures is not None
    grams = seen.measures.mass_g * 11 // 10
    fruit = belts.replace(belts.weighed(seen, grams), number=1)
    assert (fruit.mass_g, fruit.mass_from, fruit.measures) == (grams, "scale", seen.measures)
    count(db, files, ref, delivered(files, [fruit], now), now)
    with db.read() as session:
        row = session.exec(select(Fruit)).one()
        assert (row.mass_g, row.price_fen) == (grams, SETUP.tariff.price_fen(row.camera_tier, grams))
        assert [each.why for each in regrade_all(files, evidence_of(session, []))] == [None]


def test_fruit_that_passed_after_the_calibration_or_in_the_future_are_refused(
    db: Database, files: FileStore, now: datetime
) -> None:
    with db.write() as session:
        receive(session, LOT, now=now)
    short = CameraProfile.plain(
        nm_per_px=PROFILE.nm_per_px,
        camera_height_um=PROFILE.camera_height_um,
        made_at=now - timedelta(hours=1),
        valid_until=now + timedelta(hours=1),
    )
    name = arrivals.keep_evidence(files, short.data)
    with pytest.raises(CalibrationExpiredError):
        open_run(db, files, now + timedelta(hours=3), opened_at=now + timedelta(hours=2), profile=name)
    ref = open_run(db, files, now, profile=name)
    setup = belts.replace(SETUP, profile=short)
    fruit = delivered(files, belts.passed(1, 1), now + timedelta(minutes=61), setup=setup)
    with pytest.raises(FruitRefusedError, match="calibration had ended"):
        count(db, files, ref, fruit, now + timedelta(hours=2))
    fruit = delivered(files, belts.passed(1, 1), now + timedelta(minutes=30), setup=setup)
    with pytest.raises(ClockAheadError, match="set the line's clock"):
        count(db, files, ref, fruit, now)
    assert len(count(db, files, ref, fruit, now + timedelta(hours=9))) == 1, "delivered late is not passed late"


def test_a_line_grades_by_the_houses_standard_or_one_it_had(db: Database, files: FileStore, now: datetime) -> None:
    with db.write() as session:
        receive(session, LOT, now=now)
    with pytest.raises(OtherStandardError, match="standard"):
        open_run(db, files, now, told=(bytes(32), SETUP.tariff.digest))
    with pytest.raises(OtherStandardError, match="price book"):
        open_run(db, files, now, told=(SETUP.standard.digest, bytes(32)))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"#!/bin/sh\n", "neither"),
        (b"\xff\xd8\xff\xe0 no picture", "not kept"),
        (b'{"format":"x", "spaced":1}', "neither"),
        (b'{"nothing":1}', "neither"),
        (canonical({"format": "guoyuan-belt-record/1", "padding": "x" * arrivals.MOST_BYTES}), "at most"),
    ],
)
def test_only_what_a_record_may_name_is_kept(files: FileStore, data: bytes, why: str) -> None:
    with pytest.raises(EvidenceError, match=why):
        arrivals.keep_evidence(files, data)


def test_a_file_is_kept_under_its_own_hash_only(files: FileStore) -> None:
    with pytest.raises(EvidenceError, match="not the one its name says"):
        arrivals.keep_evidence(files, PROFILE.data, digest=bytes(32))
    assert arrivals.keep_evidence(files, PROFILE.data, digest=PROFILE.digest) == ni_uri(PROFILE.digest)


# --- judging and closing ---------------------------------------------------------------------------


def test_a_decision_at_the_line_counts_once_and_never_better_than_the_numbers(
    db: Database, files: FileStore, ref: str, now: datetime, worker: Actor
) -> None:
    count(db, files, ref, delivered(files, belts.passed(1, 8), now), now)
    decided_at = now - timedelta(hours=2)
    with db.write() as session:
        for _ in range(2):
            judged = [Judged(1, "cull", "rot", decided_at)]
            arrivals.judge_delivered(session, files, ref, RUN, judged=judged, actor=worker, now=now)
        row = session.exec(select(Fruit).where(Fruit.number == 1)).one()
        assert (row.judged_tier, row.judged_reason, row.judged_at) == ("cull", "rot", decided_at)
        assert (row.judged_by, row.second_person) == (worker.party, None)
    with db.read() as session:
        worse = session.exec(select(Fruit).where(Fruit.nominal_tier != "A")).first()
    assert worse is not None
    judged = [Judged(worse.number, "A", "looked", now)]
    with pytest.raises(SecondPersonError), db.write() as session:
        arrivals.judge_delivered(session, files, ref, RUN, judged=judged, actor=worker, now=now)


def manifest(db: Database, files: FileStore) -> dict[str, object]:
    with db.read() as session:
        (entry,) = session.exec(select(Entry).where(Entry.sentence == Sentence.GRADED.value)).all()
    return json.loads(files.get(decode_entry(entry.data).extensions["gy:evidence"][0]))


def test_a_batch_closes_when_all_up_to_the_lines_last_have_come(
    db: Database, files: FileStore, ref: str, now: datetime, worker: Actor
) -> None:
    fruit = delivered(files, belts.passed(1, 10), now)
    count(db, files, ref, fruit[:6], now)
    settled(db, files, ref, worker, now)
    with pytest.raises(StillRunningError, match="has not ended it; 6 have arrived"), db.write() as session:
        closed(session, files, ref, now)
    with pytest.raises(FruitGapError):
        count(db, files, ref, [], now, last=10)
    count(db, files, ref, fruit[6:], now, last=10)
    settled(db, files, ref, worker, now)
    with db.write() as session:
        closing = closed(session, files, ref, now)
        assert closed(session, files, ref, now) == closing
    assert sum(each.fruits for each in closing.lots) == 10
    assert sum(each.mass_g for each in closing.lots) == 4000
    with db.read() as session:
        (root,) = roots(session, files, [ref])
        report = lot_report(session, files, ref)
    assert (root.state, root.records) == ("agrees", 10)
    with db.read() as session:
        again = list(regrade_all(files, evidence_of(session, [ref])))
    assert [each.why for each in again] == [None] * 10
    assert (report.fruits, report.is_closed, report.doubtful) == (10, True, 0)
    told = manifest(db, files)
    assert (told["lineRun"], told["profile"], told["frames"]) == (RUN, ni_uri(PROFILE.digest), [])


def test_a_fruit_that_comes_after_the_end_is_refused_by_name(
    db: Database, files: FileStore, ref: str, now: datetime, worker: Actor
) -> None:
    fruit = delivered(files, belts.passed(1, 3), now)
    count(db, files, ref, fruit[:2], now, last=2)
    with pytest.raises(LateFruitError, match="ended with fruit 2; fruit 3"):
        count(db, files, ref, fruit, now)
    settled(db, files, ref, worker, now)
    with db.write() as session:
        closed(session, files, ref, now)
    with pytest.raises(LateFruitError):
        count(db, files, ref, fruit[2:], now)
    assert count(db, files, ref, fruit[:2], now, last=2).keys() == {1, 2}, "what counted is answered as before"
    with db.read() as session:
        assert session.exec(select(Batch)).one().fruit_count == 2


def test_a_line_without_a_profile_grades_nothing(db: Database, files: FileStore, now: datetime) -> None:
    with db.write() as session:
        receive(session, LOT, now=now)
    with pytest.raises(EvidenceError, match="camera profile is not usable"):
        open_run(db, files, now, profile=ni_uri(bytes(32)))
    with pytest.raises(CalibrationMissingError), db.write() as session:
        station.open_batch(session, files, LOT, line=LINE, numbering=NUMBERING, now=now)
