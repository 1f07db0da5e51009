"""Two doors at once. Each race has its control: the same without the protection, which must lose."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, func, select

from farm_sensors import ingest, windows
from farm_sensors.models import Device, Message
from ledger.kernel.files import FileStore
from ledger.models import Entry

START = datetime(2026, 4, 17, 21, 0, tzinfo=UTC)


@pytest.fixture
def server(db):
    """SQLite has one writer lane and so no race; these are for PostgreSQL."""
    if db.is_sqlite:
        pytest.skip("SQLite's writer lane leaves no race; GUOYUAN_TEST_POSTGRES names a server for this one")
    return db


def meet(barrier: threading.Barrier, patience_s: float) -> None:
    """Wait for the other; go on alone where a lock keeps it away."""
    with suppress(threading.BrokenBarrierError):
        barrier.wait(patience_s)


def at_once(*jobs):
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


def two_packs_under_one_number(device, monkeypatch, *, patience_s):
    barrier, verify = threading.Barrier(2), ingest.verify

    def together(*args):
        verify(*args)
        meet(barrier, patience_s)

    monkeypatch.setattr(ingest, "verify", together)
    bodies = [device.pack([("rain", START, rain)], sequence=1) for rain in (0.0, 9.0)]
    return at_once(*(lambda body=body: device.send(body, now=START) for body in bodies))


@pytest.mark.postgres
def test_of_two_packs_under_one_number_one_is_marked(server, make_device, monkeypatch):
    taken = two_packs_under_one_number(make_device(at=START), monkeypatch, patience_s=1)
    assert sorted(str(one.conflict) for one in taken) == ["None", "sequence"]


@pytest.mark.postgres
def test_without_the_lock_neither_is_marked(server, make_device, monkeypatch):
    unlocked = select(Device).where(col(Device.id) == ingest.bindparam("id"))
    monkeypatch.setattr(ingest, "_DEVICE", unlocked)
    taken = two_packs_under_one_number(make_device(at=START), monkeypatch, patience_s=60)
    assert [one.conflict for one in taken] == [None, None]


@pytest.mark.postgres
def test_one_pack_through_many_doors_is_stored_once(server, make_device):
    device = make_device(at=START)
    body = device.pack([("rain", START, 0.2)])
    taken = at_once(*[lambda: device.send(body, now=START)] * 8)
    assert sorted(one.duplicate for one in taken) == [False] + [True] * 7
    with server.read() as session:
        assert session.exec(select(func.count()).select_from(Message)).one() == 1


def close_twice_at_once(db, tmp_path, make_device, monkeypatch, *, patience_s):
    device = make_device(at=START - timedelta(hours=1))
    device.report({"rain": lambda _: 0.0}, start=START, count=6, cadence_s=600)
    barrier, look = threading.Barrier(2), windows._windows

    def together(*args):
        found = look(*args)
        meet(barrier, patience_s)
        return found

    monkeypatch.setattr(windows, "_windows", together)

    def close() -> int:
        with db.write() as session:
            return windows.close_due(
                session, FileStore(tmp_path), now=START + timedelta(minutes=75), patience_s=600, zone="Asia/Shanghai"
            )

    return at_once(close, close)


@pytest.mark.postgres
def test_two_closers_close_an_hour_once(server, tmp_path, make_device, monkeypatch):
    assert sorted(close_twice_at_once(server, tmp_path, make_device, monkeypatch, patience_s=1)) == [0, 1]
    with server.read() as session:
        assert len(session.exec(select(Entry).where(Entry.sentence == "window_closed/1")).all()) == 1


@pytest.mark.postgres
def test_without_the_lane_the_second_closer_fails(server, tmp_path, make_device, monkeypatch):
    monkeypatch.setattr(windows, "_take_lane", lambda _session: None)
    with pytest.raises(IntegrityError):
        close_twice_at_once(server, tmp_path, make_device, monkeypatch, patience_s=60)
