"""What people decided becomes training data: every fruit outlined, what is none left as ground, nobody named."""

import csv
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from sqlmodel import select

from grading import station
from grading.camera import decode, to_jpeg
from grading.corrections import NOT_A_FRUIT, export
from grading.dataset import prepare, read_folder
from grading.errors import DatasetError, UnknownBatchError
from grading.models import Fruit
from grading.station import Line
from ledger.kernel.actors import Actor
from ledger.kernel.database import Database
from ledger.kernel.files import FileStore
from tests.grading import test_arrivals
from tests.grading.conftest import NUMBERING, lot_named, receive, tray
from tests.simulators import belts


@pytest.fixture
def batches(db: Database, files: FileStore, line: Line, now: datetime) -> list[str]:
    """Three open batches with a photograph each; nobody has judged anything."""
    refs = []
    for number, seed in enumerate((7, 8, 9), 1):
        lot = lot_named(f"H260418-P03-{number}")
        with db.write() as session:
            receive(session, lot, now=now)
            refs.append(station.open_batch(session, files, lot, line=line, numbering=NUMBERING, now=now).ref)
            station.inspect(session, files, refs[-1], tray(seed), now=now)
    return refs


def judge_doubtful(db: Database, files: FileStore, ref: str, worker: Actor, now: datetime, *, first: str) -> int:
    """Let a person judge every doubtful fruit and at least one; the first with a reason. Returns how many."""
    with db.write() as session:
        rows = session.exec(select(Fruit).where(Fruit.batch == ref).order_by(Fruit.number)).all()
        wanted = [row for row in rows if row.camera_tier == "doubtful" and row.number != 1]
        station.judge(session, files, rows[0].id, "cull", worker, now=now, reason=first)
        for row in wanted:
            station.judge(session, files, row.id, row.nominal_tier, worker, now=now)
    return 1 + len(wanted)


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text("utf-8").splitlines()))


def test_what_is_exported_is_what_training_reads_and_not_a_fruit_is_ground(
    db: Database, files: FileStore, batches: list[str], worker: Actor, now: datetime, tmp_path: Path
) -> None:
    for ref, reason in zip(batches, (NOT_A_FRUIT, "bruise", "looked"), strict=True):
        judge_doubtful(db, files, ref, worker, now, first=reason)
    out = tmp_path / "out"
    with db.read() as session:
        told = export(session, files, out)
        fruit = session.exec(select(Fruit)).all()
    assert (told.pictures, told.fruit, told.not_fruit, told.left_out) == (3, len(fruit) - 1, 1, ())
    photos = read_folder(out)
    assert [photo.fruit for photo in photos] == batches  # one batch is never both learned from and measured on
    assert sum(len(photo.labels) for photo in photos) == len(fruit) - 1
    pixels, labels = photos[0].read()
    assert {label.kind for label in labels} == {"mango"}
    none = next(row for row in rows_of(out / "corrections.csv") if row["reason"] == NOT_A_FRUIT)
    middle = ((int(none["left"]) + int(none["right"])) / 2, (int(none["top"]) + int(none["bottom"])) / 2)
    assert none["kind"] == ""
    assert not any(
        cv2.pointPolygonTest(label.outline.astype(np.float32).reshape(-1, 1, 2), middle, measureDist=False) > 0
        for label in labels
    )
    assert pixels.shape == decode(tray(7)).pixels.shape
    prepared = prepare(photos[:2], photos[2:], tmp_path / "set", scenes=2)
    assert prepared.classes == ("coin", "mango")
    assert (prepared.training, prepared.held_out, prepared.scenes) == (2, 1, 2)


def test_tiers_and_reasons_are_told_and_people_are_not(
    db: Database, files: FileStore, batches: list[str], worker: Actor, now: datetime, tmp_path: Path
) -> None:
    judged = judge_doubtful(db, files, batches[0], worker, now, first="rot")
    with db.read() as session:
        export(session, files, tmp_path / "out", batches=batches[:1])
    rows = rows_of(tmp_path / "out" / "corrections.csv")
    assert rows[0]["judged_tier"] == "cull"
    assert rows[0]["reason"] == "rot"
    assert sum(row["judged_tier"] != "" for row in rows) == judged
    written = b"".join(path.read_bytes() for path in sorted((tmp_path / "out").rglob("*")) if path.is_file())
    assert worker.party.encode() not in written
    assert worker.party.rpartition("/")[2].encode() not in written
    assert f"{now:%Y-%m-%d}".encode() not in written


def test_what_a_telephone_notes_in_a_photograph_is_not_passed_on(
    db: Database, files: FileStore, batches: list[str], worker: Actor, now: datetime, tmp_path: Path
) -> None:
    noted = tray(11)[:2] + b"\xff\xe1\x00\x14Exif\x00\x00Li Hong here" + tray(11)[2:]
    with db.write() as session:
        station.inspect(session, files, batches[0], noted, now=now)
    judge_doubtful(db, files, batches[0], worker, now, first="looked")
    with db.write() as session:
        last = session.exec(select(Fruit).where(Fruit.batch == batches[0]).order_by(Fruit.number.desc())).first()
        station.judge(session, files, last.id, "cull", worker, now=now)
    with db.read() as session:
        assert export(session, files, tmp_path / "out").pictures == 2
    pictures = list((tmp_path / "out" / "images").iterdir())
    assert b"Li Hong" in noted
    assert not any(b"Li Hong" in picture.read_bytes() for picture in pictures)


def test_a_fruit_that_the_edge_cuts_is_covered_not_taught_as_ground(
    db: Database, files: FileStore, line: Line, worker: Actor, now: datetime, tmp_path: Path
) -> None:
    whole = decode(tray(7)).pixels
    cut = to_jpeg(whole[:, : whole.shape[1] - 190], quality=95)
    lot = lot_named("H260418-P03-1")
    with db.write() as session:
        receive(session, lot, now=now)
        ref = station.open_batch(session, files, lot, line=line, numbering=NUMBERING, now=now).ref
        station.inspect(session, files, ref, cut, now=now)
    judge_doubtful(db, files, ref, worker, now, first="looked")
    with db.read() as session:
        export(session, files, tmp_path / "out")
    pixels, labels = read_folder(tmp_path / "out")[0].read()
    edge = pixels[:, -3:].astype(int)
    covered = (abs(edge - 114).max(axis=2) < 12).mean()
    assert covered > 0.15
    assert (abs(decode(cut).pixels[:, -3:].astype(int) - 114).max(axis=2) < 12).mean() < covered / 3
    assert all(label.outline[:, 0].max() < pixels.shape[1] - 3 for label in labels)


def test_a_photograph_on_which_a_fruit_waits_is_left_out_and_counted(
    db: Database, files: FileStore, batches: list[str], worker: Actor, now: datetime, tmp_path: Path
) -> None:
    judge_doubtful(db, files, batches[0], worker, now, first="looked")
    with db.write() as session:
        rows = session.exec(select(Fruit).where(Fruit.batch == batches[1]).order_by(Fruit.number)).all()
        rows[1].camera_tier = "doubtful"
        session.add(rows[1])
        station.judge(session, files, rows[0].id, "cull", worker, now=now)
    with db.read() as session:
        told = export(session, files, tmp_path / "out")
    assert (told.pictures, told.left_out) == (1, (("a fruit waits for a person", 1),))


def test_nothing_to_export_and_a_folder_in_use_are_refused(
    db: Database, files: FileStore, batches: list[str], tmp_path: Path
) -> None:
    with db.read() as session:
        with pytest.raises(DatasetError, match="would hold nothing"):
            export(session, files, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        with pytest.raises(UnknownBatchError):
            export(session, files, tmp_path / "out", batches=["GR000000-0001"])
        (tmp_path / "kept.txt").write_text("x")
        with pytest.raises(DatasetError, match="is not empty"):
            export(session, files, tmp_path, batches=batches)


def test_a_belts_fruit_are_exported_view_by_view(
    db: Database, files: FileStore, worker: Actor, now: datetime, tmp_path: Path
) -> None:
    with db.write() as session:
        receive(session, test_arrivals.LOT, now=now)
    ref = test_arrivals.open_run(db, files, now)
    passed = belts.passed(1, 3)
    test_arrivals.count(db, files, ref, test_arrivals.delivered(files, passed, now), now)
    with db.write() as session:
        rows = session.exec(select(Fruit).where(Fruit.batch == ref).order_by(Fruit.number)).all()
        for row, reason in zip(rows, ("bruise", NOT_A_FRUIT), strict=False):
            station.judge(session, files, row.id, "cull", worker, now=now, reason=reason)
    with db.read() as session:
        told = export(session, files, tmp_path / "out")
    assert (told.fruit, told.not_fruit, told.left_out) == (1, 1, ())
    views = [len(each.views) for each in passed[:2]]
    assert 2 < told.pictures <= sum(views)
    photos = read_folder(tmp_path / "out")
    assert {photo.fruit for photo in photos} == {ref}
    outlined = [photo for photo in photos if photo.labels]
    assert len(outlined) <= views[0] < len(photos)
    for photo in outlined:
        pixels, (label,) = photo.read()
        inside = cv2.fillPoly(np.zeros(pixels.shape[:2], np.uint8), [label.outline.astype(np.int32)], (1,)) > 0
        ground = np.median(pixels[:6].reshape(-1, 3), axis=0)
        apart = np.abs(pixels.astype(int) - ground).max(axis=2) > 25
        assert (inside & apart).sum() / inside.sum() > 0.8
