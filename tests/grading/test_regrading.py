"""A whole house's evidence grades again; what was changed, lost or swapped is named."""

import json
from datetime import datetime

import pytest
from sqlmodel import Session, col, select

from grading import station
from grading.errors import UnknownEvidenceError
from grading.look import Seen, Setup, look
from grading.models import Fruit, Outcome
from grading.regrading import evidence_of, regrade_all, roots
from grading.station import Line
from ledger.canonical import canonical
from ledger.kernel.actors import Actor
from ledger.kernel.database import Database
from ledger.kernel.files import FileStore, parse_ni
from tests.grading.conftest import NUMBERING, lot_named, receive, tray

LOT = lot_named("H260418-1")


@pytest.fixture
def batch(db: Database, files: FileStore, line: Line, worker: Actor, now: datetime) -> str:
    """A closed batch of one tray."""
    with db.write() as session:
        receive(session, LOT, now=now)
        ref = station.open_batch(session, files, LOT, line=line, numbering=NUMBERING, now=now).ref
        for fruit in station.inspect(session, files, ref, tray(7), now=now):
            if fruit.is_doubtful:
                station.judge(session, files, fruit.id, fruit.candidates[-1], worker, now=now)
        station.close_batch(session, files, ref, line=line, numbering=NUMBERING, now=now)
    return ref


def fruit_of(session: Session, number: int) -> Fruit:
    return session.exec(select(Fruit).where(Fruit.number == number)).one()


def test_every_verdict_of_a_run_comes_out_again_from_one_look_and_the_log_agrees(
    db: Database, files: FileStore, batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def counted(frame: bytes, setup: Setup) -> Seen:
        looks.append(frame)
        return look(frame, setup)

    monkeypatch.setattr("grading.evidence.look", counted)
    with db.read() as session:
        asked = evidence_of(session, [])
        assert len(asked) == 12
        assert all(each.is_reproduced for each in regrade_all(files, asked))
        (root,) = roots(session, files, [batch])
        assert (root.state, root.records, root.lot) == ("agrees", 12, LOT)
    assert len(looks) == 1


def test_a_lot_a_graded_lot_a_batch_and_a_record_are_all_known(db: Database, batch: str) -> None:
    with db.read() as session:
        record = fruit_of(session, 3).record
        graded = session.exec(select(Outcome.lot)).first()
        assert graded is not None
        for name in (LOT, batch, graded):
            assert len(evidence_of(session, [name])) == 12
        assert [each.number for each in evidence_of(session, [record])] == [3]
        assert len(evidence_of(session, [LOT, record])) == 12, "a record asked for twice is graded once"
        with pytest.raises(UnknownEvidenceError, match="nonsense"):
            evidence_of(session, ["nonsense"])


def test_what_was_changed_lost_or_swapped_is_named_and_the_rest_stands(
    db: Database, files: FileStore, batch: str
) -> None:
    with db.write() as session:
        altered, lost, retold, swapped = (fruit_of(session, number) for number in (2, 4, 6, 8))
        path = files._path(parse_ni(altered.record))
        path.write_bytes(path.read_bytes().replace(b'"massG":', b'"massG":1'))
        files.erase(lost.record)
        retold.camera_tier = "A" if retold.camera_tier != "A" else "B"
        told = json.loads(files.get(swapped.record))
        told["model"] = "ni:///sha-256;" + "B" * 43
        swapped.record = files.put(canonical(told))
        session.add_all([retold, swapped])
    with db.read() as session:
        asked = evidence_of(session, [batch])
        failed = {each.asked.number: each.why or "" for each in regrade_all(files, asked) if not each.is_reproduced}
        (root,) = roots(session, files, [batch])
    assert sorted(number for number in failed if number is not None) == [2, 4, 6, 8]
    assert "altered on disk" in failed[2]
    assert "not kept here" in failed[4]
    assert "the station's table says" in failed[6]
    assert "another detector" in failed[8]
    assert root.state == "differs"


def test_a_photograph_with_one_byte_changed_fails_all_its_fruit(db: Database, files: FileStore, batch: str) -> None:
    with db.read() as session:
        frame = json.loads(files.get(fruit_of(session, 1).record))["frame"]
        path = files._path(parse_ni(frame))
        data = bytearray(path.read_bytes())
        data[-100] ^= 1
        path.write_bytes(data)
        results = list(regrade_all(files, evidence_of(session, [])))
    assert len(results) == 12
    assert not any(each.is_reproduced for each in results)
    assert all("altered" in (each.why or "") for each in results)


def test_a_record_from_elsewhere_needs_only_its_files(db: Database, files: FileStore, batch: str) -> None:
    with db.write() as session:
        record = fruit_of(session, 1).record
        for row in session.exec(select(Fruit).order_by(col(Fruit.id))):
            row.record = "gone"
            session.add(row)
        (asked,) = evidence_of(session, [record])
        assert asked.batch is None
        assert [each.is_reproduced for each in regrade_all(files, [asked])] == [True]
