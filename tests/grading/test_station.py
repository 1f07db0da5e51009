"""A batch from receipt to graded lots: counted once, judged by people where it must be, balanced to the gram."""

import json
import threading
from datetime import datetime, timedelta

import pytest
from sqlmodel import Session, col, select

from grading import samples, station
from grading.calibrate import Coin, Marker
from grading.errors import (
    CalibrationExpiredError,
    CalibrationFailedError,
    CalibrationMissingError,
    ClosedBatchError,
    DoubtfulLeftError,
    EmptyBatchError,
    GradedLotError,
    HeldLotError,
    JudgementError,
    NoFruitError,
    NoScaleError,
    ScaleMovedError,
    SecondPersonError,
    UnbalancedError,
    UnknownBatchError,
    UnknownFruitError,
    UnknownLotError,
    UsedPhotographError,
)
from grading.evidence import regrade_kept
from grading.models import Batch, Calibration, Fruit, Photograph
from grading.station import Line
from ledger import merkle
from ledger.canonical import decode_entry
from ledger.disclosure import opened
from ledger.kernel.actors import Actor
from ledger.kernel.database import Database
from ledger.kernel.files import FileStore, ni_uri
from ledger.kernel.ids import parse_digital_link
from ledger.models import Entry
from ledger.vocabulary import Sentence
from tests.grading.conftest import LINE, NUMBERING, ORDER, PLOT, lot_named, receive, target, tray

LOT = lot_named("H260418-P03-1")


@pytest.fixture
def batch(db: Database, files: FileStore, line: Line, now: datetime) -> str:
    """An open batch of four kilograms."""
    with db.write() as session:
        receive(session, LOT, now=now)
        return station.open_batch(session, files, LOT, line=line, numbering=NUMBERING, now=now).ref


def graded_event(session: Session, sentence: Sentence = Sentence.GRADED) -> object:
    (entry,) = session.exec(select(Entry).where(Entry.sentence == sentence.value)).all()
    return decode_entry(entry.data)


def judge_all(session: Session, files: FileStore, batch: str, worker: Actor, now: datetime) -> int:
    judged = 0
    for row in session.exec(
        select(Fruit).where(Fruit.batch == batch, Fruit.camera_tier == "doubtful", col(Fruit.judged_tier).is_(None))
    ).all():
        station.judge(session, files, row.id, row.nominal_tier, worker, now=now)
        judged += 1
    return judged


def close(session: Session, files: FileStore, batch: str, now: datetime, **given: object) -> station.Closing:
    return station.close_batch(session, files, batch, line=LINE, numbering=NUMBERING, now=now, **given)


# --- calibration ---------------------------------------------------------------------------------


def test_a_calibration_is_recorded_with_what_the_reference_read(
    db: Database, files: FileStore, line: Line, now: datetime
) -> None:
    with db.read() as session:
        event = graded_event(session, Sentence.CALIBRATED)
        made = session.exec(select(Calibration)).one()
    told = event.extensions["gy:calibration"]
    assert told["gy:referenceUm"] == 60_000
    assert abs(told["gy:measuredUm"] - 60_000) <= told["gy:allowedUm"] == 300
    assert told["gy:nmPerPixel"] == made.nm_per_pixel
    assert event.read_point.id == line.line
    assert files.get(event.sensor_element_list[0].sensor_metadata.raw_data) == target()


def test_a_reference_that_reads_wrong_is_not_a_calibration(
    db: Database, files: FileStore, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from grading import calibrate

    true = calibrate.find_scale(samples.target(1).pixels, Marker())
    monkeypatch.setattr(station, "find_scale", lambda *_: dataclasses.replace(true, worst_um=60_400))
    with pytest.raises(CalibrationFailedError), db.write() as session:
        station.calibrate(session, files, target(), reference=Marker(), line=LINE, numbering=NUMBERING, now=now)
    with db.read() as session:
        assert session.exec(select(Calibration)).all() == []


def test_nothing_is_graded_on_a_line_that_was_never_calibrated(db: Database, files: FileStore, now: datetime) -> None:
    with db.write() as session:
        receive(session, LOT, now=now)
    with pytest.raises(CalibrationMissingError), db.write() as session:
        station.open_batch(session, files, LOT, line=LINE, numbering=NUMBERING, now=now)


def test_nothing_is_graded_by_an_old_calibration(db: Database, files: FileStore, batch: str, now: datetime) -> None:
    with pytest.raises(CalibrationExpiredError), db.write() as session:
        station.inspect(session, files, batch, tray(7), now=now + timedelta(hours=13))


# --- lots ----------------------------------------------------------------------------------------


def test_a_lot_nobody_received_is_refused(db: Database, files: FileStore, line: Line, now: datetime) -> None:
    with pytest.raises(UnknownLotError), db.write() as session:
        station.open_batch(session, files, LOT, line=line, numbering=NUMBERING, now=now)


def test_a_lot_whose_weights_disagree_is_held(db: Database, files: FileStore, line: Line, now: datetime) -> None:
    with db.write() as session:
        receive(session, LOT, now=now, difference_g=-300)
    with pytest.raises(HeldLotError, match="300 g"), db.write() as session:
        station.open_batch(session, files, LOT, line=line, numbering=NUMBERING, now=now)


def test_opening_a_batch_twice_is_one_batch(
    db: Database, files: FileStore, line: Line, batch: str, now: datetime
) -> None:
    with db.write() as session:
        again = station.open_batch(session, files, LOT, line=line, numbering=NUMBERING, now=now)
        assert again.ref == batch
        assert len(session.exec(select(Batch)).all()) == 1


# --- photographs ---------------------------------------------------------------------------------


def test_every_fruit_is_counted_once_however_often_its_photograph_comes(
    db: Database, files: FileStore, batch: str, now: datetime
) -> None:
    with db.write() as session:
        first = station.inspect(session, files, batch, tray(7), now=now)
    with db.write() as session:
        second = station.inspect(session, files, batch, tray(7), now=now + timedelta(minutes=5))
    assert first == second
    assert [fruit.number for fruit in first] == list(range(1, 13))
    with db.read() as session:
        assert len(session.exec(select(Fruit)).all()) == 12


def test_two_hands_sending_one_photograph_at_once_count_it_once(
    db: Database, files: FileStore, batch: str, now: datetime
) -> None:
    answers: list[object] = []

    def send() -> None:
        with db.write() as session:
            answers.append(station.inspect(session, files, batch, tray(7), now=now))

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers[0] == answers[1] == answers[2]
    with db.read() as session:
        assert len(session.exec(select(Photograph)).all()) == 1


def test_one_photograph_cannot_serve_two_batches(
    db: Database, files: FileStore, line: Line, batch: str, now: datetime
) -> None:
    other = lot_named("H260418-P03-2")
    with db.write() as session:
        station.inspect(session, files, batch, tray(7), now=now)
        receive(session, other, now=now)
        second = station.open_batch(session, files, other, line=line, numbering=NUMBERING, now=now).ref
    with pytest.raises(UsedPhotographError) as refused, db.write() as session:
        station.inspect(session, files, second, tray(7), now=now)
    assert refused.value.batch == batch


@pytest.mark.parametrize(
    ("image", "error"),
    [(target(), NoFruitError), (samples.tray(1).pixels[:, 300:], NoScaleError)],
    ids=["no fruit", "no scale"],
)
def test_a_photograph_that_cannot_be_graded_leaves_nothing_behind(
    db: Database, files: FileStore, batch: str, now: datetime, image: object, error: type[Exception]
) -> None:
    from grading.camera import to_jpeg

    data = image if isinstance(image, bytes) else to_jpeg(image)
    with pytest.raises(error), db.write() as session:
        station.inspect(session, files, batch, data, now=now)
    with db.read() as session:
        assert session.exec(select(Photograph)).all() == []
        assert session.exec(select(Fruit)).all() == []


def test_a_camera_that_moved_is_noticed(db: Database, files: FileStore, batch: str, now: datetime) -> None:
    import cv2

    from grading.camera import to_jpeg

    nearer = cv2.resize(samples.tray(7).pixels, None, fx=1.06, fy=1.06)
    with pytest.raises(ScaleMovedError), db.write() as session:
        station.inspect(session, files, batch, to_jpeg(nearer), now=now)


def test_an_unknown_batch_is_refused(db: Database, files: FileStore, now: datetime) -> None:
    with pytest.raises(UnknownBatchError), db.write() as session:
        station.inspect(session, files, "GR260418-9999", tray(7), now=now)


# --- judging -------------------------------------------------------------------------------------


def test_a_batch_with_doubtful_fruit_does_not_close(db: Database, files: FileStore, batch: str, now: datetime) -> None:
    with db.write() as session:
        seen = station.inspect(session, files, batch, tray(7), now=now)
    waiting = tuple(fruit.number for fruit in seen if fruit.is_doubtful)
    assert waiting
    with pytest.raises(DoubtfulLeftError) as refused, db.write() as session:
        close(session, files, batch, now)
    assert refused.value.numbers == waiting


def test_a_better_tier_than_the_cameras_needs_a_second_person(
    db: Database, files: FileStore, batch: str, worker: Actor, now: datetime
) -> None:
    with db.write() as session:
        worst = max(station.inspect(session, files, batch, tray(7), now=now), key=lambda fruit: fruit.nominal_tier)
    for second in (None, worker.party):
        with pytest.raises(SecondPersonError), db.write() as session:
            station.judge(session, files, worst.id, "A", worker, now=now, second_person=second)
    with db.write() as session:
        judged = station.judge(
            session, files, worst.id, "A", worker, now=now, second_person=NUMBERING.party(77777), reason="sap-mark"
        )
        assert judged.tier == "A"
        judge_all(session, files, batch, worker, now)
        close(session, files, batch, now)
    with db.read() as session:
        told = graded_event(session, Sentence.OVERRIDE_MADE)
        assert told.extensions["gy:override"]["gy:secondPerson"] == "present"
        assert NUMBERING.party(77777) in opened(session, told.event_id).values()
    assert NUMBERING.party(77777) not in str(told)


def test_a_worse_tier_needs_nobody_else(
    db: Database, files: FileStore, batch: str, worker: Actor, now: datetime
) -> None:
    with db.write() as session:
        fruit = station.inspect(session, files, batch, tray(7), now=now)[1]
        assert station.judge(session, files, fruit.id, "cull", worker, now=now, reason="rot").price_fen == 0


@pytest.mark.parametrize(("tier", "reason"), [("Z", "looked"), ("C", "because")])
def test_a_judgement_nobody_can_make_is_refused(
    db: Database, files: FileStore, batch: str, worker: Actor, now: datetime, tier: str, reason: str
) -> None:
    with db.write() as session:
        fruit = station.inspect(session, files, batch, tray(7), now=now)[0]
    with pytest.raises(JudgementError), db.write() as session:
        station.judge(session, files, fruit.id, tier, worker, now=now, reason=reason)


def test_a_fruit_nobody_saw_cannot_be_judged(db: Database, files: FileStore, worker: Actor, now: datetime) -> None:
    with pytest.raises(UnknownFruitError), db.write() as session:
        station.judge(session, files, 4711, "A", worker, now=now)


# --- closing -------------------------------------------------------------------------------------


def test_the_received_grams_are_shared_out_to_the_last_one(
    db: Database, files: FileStore, batch: str, worker: Actor, now: datetime
) -> None:
    with db.write() as session:
        station.inspect(session, files, batch, tray(7), now=now)
        station.inspect(session, files, batch, tray(3), now=now)
        judged = judge_all(session, files, batch, worker, now)
        closing = close(session, files, batch, now)
        assert sum(lot.mass_g for lot in closing.lots) + closing.unaccounted_g == closing.received_g == 4000
    with db.read() as session:
        event = graded_event(session)
        verdicts = event.extensions["gy:verdicts"]
        assert verdicts["gy:massFrom"] == "camera"
        assert verdicts["gy:fruits"] == 24
        assert verdicts["gy:overridden"] == verdicts["gy:doubtful"] == judged
        assert sum(q.quantity for q in event.output_quantity_list) == 4000
        assert [q.epc_class for q in event.input_quantity_list] == [LOT]
        assert event.ilmd["gy:plots"] == [PLOT]
        assert event.ilmd["gy:variety"] == "Guifei"
        assert event.biz_transaction_list[1].biz_transaction == ORDER
        first = parse_digital_link(event.output_quantity_list[0].epc_class)
        assert first.values == {"01": "99521002000415", "10": "G260418-1A"}


def test_the_event_leads_to_every_fruit_and_each_grades_again(
    db: Database, files: FileStore, batch: str, worker: Actor, now: datetime
) -> None:
    with db.write() as session:
        station.inspect(session, files, batch, tray(7), now=now)
        judge_all(session, files, batch, worker, now)
        close(session, files, batch, now)
    with db.read() as session:
        event = graded_event(session)
    (name,) = event.extensions["gy:evidence"]
    manifest = json.loads(files.get(name))
    records = [each["record"] for each in manifest["fruit"]]
    leaves = [merkle.leaf_hash(files.get(record)) for record in records]
    assert event.extensions["gy:verdicts"]["gy:recordsRoot"] == ni_uri(merkle.root(leaves))
    assert files.get(manifest["frames"][0]) == tray(7)
    for record in records[:2]:
        assert regrade_kept(files, record).nominal_tier == json.loads(files.get(record))["verdict"]["nominalTier"]


def test_scale_readings_are_taken_as_they_are(
    db: Database, files: FileStore, batch: str, worker: Actor, now: datetime
) -> None:
    with db.write() as session:
        station.inspect(session, files, batch, tray(7), now=now)
        judge_all(session, files, batch, worker, now)
        tiers = sorted({fruit.judged_tier or fruit.camera_tier for fruit in session.exec(select(Fruit)).all()})
        weighed = dict.fromkeys(tiers, 990 // len(tiers) * 4)
        weighed[tiers[0]] += 3970 - sum(weighed.values())
        closing = close(session, files, batch, now, weighed_g=weighed)
    assert {lot.tier: lot.mass_g for lot in closing.lots} == weighed
    assert (closing.unaccounted_g, closing.mass_from) == (30, "scale")


@pytest.mark.parametrize("off_g", [-41, 1])
def test_scale_readings_that_do_not_add_up_are_refused(
    db: Database, files: FileStore, batch: str, worker: Actor, now: datetime, off_g: int
) -> None:
    with db.write() as session:
        station.inspect(session, files, batch, tray(7), now=now)
        judge_all(session, files, batch, worker, now)
        tiers = sorted({fruit.judged_tier or fruit.camera_tier for fruit in session.exec(select(Fruit)).all()})
    weighed = dict.fromkeys(tiers, 100)
    weighed[tiers[0]] += 4000 + off_g - sum(weighed.values())
    with pytest.raises(UnbalancedError), db.write() as session:
        close(session, files, batch, now, weighed_g=weighed)
    with pytest.raises(JudgementError), db.write() as session:
        close(session, files, batch, now, weighed_g={"A": 4000, "Z": 0})


def test_closing_twice_is_closing_once_and_ends_the_batch(
    db: Database, files: FileStore, line: Line, batch: str, worker: Actor, now: datetime
) -> None:
    with db.write() as session:
        fruit = station.inspect(session, files, batch, tray(7), now=now)[0]
        judge_all(session, files, batch, worker, now)
        first = close(session, files, batch, now)
    with db.write() as session:
        assert close(session, files, batch, now + timedelta(minutes=1)) == first
        graded_event(session)
    with pytest.raises(ClosedBatchError), db.write() as session:
        station.inspect(session, files, batch, tray(3), now=now)
    with pytest.raises(ClosedBatchError), db.write() as session:
        station.judge(session, files, fruit.id, "C", worker, now=now)
    with pytest.raises(GradedLotError), db.write() as session:
        station.open_batch(session, files, LOT, line=line, numbering=NUMBERING, now=now)


def test_an_empty_batch_does_not_close(db: Database, files: FileStore, batch: str, now: datetime) -> None:
    with pytest.raises(EmptyBatchError), db.write() as session:
        close(session, files, batch, now)


def test_a_hand_held_coin_may_stand_at_another_scale_each_time() -> None:
    """The scale of a coin is its photograph's own, so only markers are compared with the calibration."""
    from types import SimpleNamespace

    sighting = SimpleNamespace(seen=SimpleNamespace(scale=SimpleNamespace(nm_per_px=500_000)))
    coin = SimpleNamespace(reference="coin", nm_per_pixel=300_000, reference_um=Coin().diameter_um)
    station._refuse_moved(sighting, coin)
    with pytest.raises(ScaleMovedError):
        station._refuse_moved(sighting, SimpleNamespace(reference="marker", nm_per_pixel=300_000))
