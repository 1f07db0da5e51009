"""Record, integrate, publish: on SQLite and PostgreSQL."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, delete, select, update

from ledger import log, merkle, tree
from ledger.canonical import entry_bytes
from ledger.checkpoint import LogSigner, verify
from ledger.errors import (
    ConflictingEventError,
    EntryTooLargeError,
    EventError,
    FutureEventError,
    LogInconsistentError,
)
from ledger.events import Event, document, parse_event, readable
from ledger.kernel.clock import format_time
from ledger.kernel.database import Database
from ledger.models import Checkpoint, Entry, Naming, Tile
from ledger.rebuild import rebuild


def renamed(event: Event, name: str) -> Event:
    """The same event under another id."""
    return msgspec.structs.replace(event, event_id=f"urn:uuid:{name}")


def leaves(session: Session) -> list[bytes]:
    return [merkle.leaf_hash(data) for data in session.exec(select(Entry.data).order_by(col(Entry.leaf_index)))]


def test_the_golden_chain_goes_through(
    any_db: Database, golden: list[Event], signer: LogSigner, later: datetime
) -> None:
    with any_db.write() as session:
        entries = [log.record(session, event, now=later) for event in golden]
        assert log.integrate(session) == 38
        checkpoint = log.publish(session, signer, now=later)
    assert [entry.event_id for entry in entries] == [event.event_id for event in golden]
    assert all(entry.leaf_index is None for entry in entries)
    with any_db.read() as session:
        stored = session.exec(select(Entry).order_by(col(Entry.leaf_index))).all()
        assert [entry.leaf_index for entry in stored] == list(range(38))
        assert [entry.data for entry in stored] == [entry_bytes(event, later) for event in golden]
        assert checkpoint is not None
        head = verify(checkpoint.note, signer.key)
        assert (head.size, head.root) == (38, merkle.root(leaves(session)))


def test_the_same_event_again_is_the_first_entry(any_db: Database, golden: list[Event], later: datetime) -> None:
    with any_db.write() as session:
        first = log.record(session, golden[0], now=later)
    with any_db.write() as session:
        again = log.record(session, golden[0], now=later + timedelta(hours=1))
        assert (again.id, again.record_time, again.data) == (first.id, later, first.data)
        assert log.integrate(session) == 1
        namings = session.exec(select(Naming.entry_id)).all()
    assert set(namings) == {first.id}


def test_a_repetition_inside_one_batch_is_one_entry(any_db: Database, golden: list[Event], later: datetime) -> None:
    with any_db.write() as session:
        entries = log.record_all(session, [golden[0], golden[1], golden[0]], now=later)
        assert entries[0] is entries[2]
        assert log.integrate(session) == 2


def test_other_content_under_a_known_id_is_refused(any_db: Database, golden: list[Event], later: datetime) -> None:
    changed = msgspec.structs.replace(golden[0], disposition="inactive")
    with any_db.write() as session:
        log.record(session, golden[0], now=later)
        with pytest.raises(ConflictingEventError) as refused:
            log.record(session, changed, now=later)
        assert refused.value.event_id == golden[0].event_id
        assert log.integrate(session) == 1
    with pytest.raises(ConflictingEventError), any_db.write() as session:
        log.record_all(session, [golden[1], msgspec.structs.replace(golden[1], disposition="active")], now=later)
    with any_db.write() as session:
        assert log.integrate(session) == 0


def test_an_error_declaration_repeats_its_events_id(any_db: Database, golden: list[Event], later: datetime) -> None:
    declaration = next(event for event in golden if event.error_declaration)
    declared = next(event for event in golden if event.event_id == declaration.event_id)
    with any_db.write() as session:
        wrong, right = (log.record(session, event, now=later) for event in (declared, declaration))
        assert wrong.id != right.id
        assert log.record(session, declaration, now=later).id == right.id
        other = msgspec.structs.replace(declaration, disposition="active")
        with pytest.raises(ConflictingEventError):
            log.record(session, other, now=later)


def test_entries_recorded_together_keep_their_order(any_db: Database, golden: list[Event], later: datetime) -> None:
    events = [renamed(golden[0], str(i)) for i in range(1200)]
    with any_db.write() as session:
        entries = log.record_all(session, events, now=later)
        log.integrate(session)
        stored = session.exec(select(Entry.event_id).order_by(col(Entry.leaf_index))).all()
    assert stored == [event.event_id for event in events]
    assert [entry.id for entry in entries] == sorted(entry.id for entry in entries)


def test_an_entry_just_recorded_can_be_used_like_any_other(db: Database, golden: list[Event], later: datetime) -> None:
    with db.write() as session:
        entry = log.record(session, golden[0], now=later)
        session.add(entry)
        assert session.get(Entry, entry.id) is entry
        log.integrate(session)
        session.refresh(entry)
        assert entry.leaf_index == 0
        assert "sentence='plot_registered/1'" in repr(entry)


def test_the_future_begins_after_five_minutes(db: Database, golden: list[Event], later: datetime) -> None:
    allowed, ahead = (
        msgspec.structs.replace(event, event_time=format_time(later + timedelta(milliseconds=300_000 + more)))
        for more, event in enumerate(golden[:2])
    )
    with db.write() as session:
        log.record(session, allowed, now=later)
        with pytest.raises(FutureEventError):
            log.record(session, ahead, now=later)


def test_an_entry_holds_65535_bytes_and_no_more(db: Database, golden: list[Event], later: datetime) -> None:
    room = 65_535 - len(entry_bytes(msgspec.structs.replace(golden[0], extensions={"gy:x": ""}), later))
    with db.write() as session:
        full = msgspec.structs.replace(golden[0], extensions={"gy:x": "x" * room})
        assert len(log.record(session, full, now=later).data) == 65_535
        over = msgspec.structs.replace(golden[0], extensions={"gy:x": "x" * (room + 1)})
        with pytest.raises(EntryTooLargeError) as refused:
            log.record(session, over, now=later)
        assert refused.value.size == 65_536


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"event_id": None}, id="no id"),
        pytest.param({"extensions": {"plain": 1}}, id="no namespace"),
        pytest.param({"extensions": {"gy:x": float("nan")}}, id="NaN"),
        pytest.param({"extensions": {"gy:x": 2**60}}, id="too large a number"),
        pytest.param({"extensions": {"gy:x": object}}, id="no JSON"),
        pytest.param({"epc_list": ("",)}, id="an empty identifier"),
        pytest.param({"disposition": "\ud800"}, id="half a character"),
        pytest.param({"epc_list": ("https://example.org/\0",)}, id="no character at all"),
    ],
)
def test_what_could_not_be_read_back_is_not_recorded(
    db: Database, golden: list[Event], later: datetime, changes: dict[str, object]
) -> None:
    with db.write() as session:
        with pytest.raises((EventError, TypeError)):
            log.record(session, msgspec.structs.replace(golden[0], **changes), now=later)
        assert session.exec(select(Entry)).all() == []


def test_what_is_rolled_back_was_never_recorded(any_db: Database, golden: list[Event], later: datetime) -> None:
    def fail_after_recording() -> None:
        with any_db.write() as session:
            log.record_all(session, golden[:5], now=later)
            raise RuntimeError("the caller's own work failed")

    with pytest.raises(RuntimeError):
        fail_after_recording()
    with any_db.write() as session:
        assert session.exec(select(Naming)).all() == []
        log.record(session, golden[5], now=later)
        assert log.integrate(session) == 1
        assert log.tree_size(session) == 1


def test_integrating_in_pieces_makes_the_same_tree(any_db: Database, golden: list[Event], later: datetime) -> None:
    with any_db.write() as session:
        log.record_all(session, golden, now=later)
    sizes = []
    for _ in range(6):
        with any_db.write() as session:
            sizes.append(log.integrate(session, limit=9))
    assert sizes == [9, 9, 9, 9, 2, 0]
    with any_db.read() as session:
        assert tree.root(session, 38) == merkle.root(leaves(session))


def test_nothing_new_publishes_nothing(
    any_db: Database, golden: list[Event], signer: LogSigner, later: datetime
) -> None:
    with any_db.write() as session:
        assert log.publish(session, signer, now=later) is None
        log.record(session, golden[0], now=later)
        assert log.publish(session, signer, now=later) is None, "recorded, but not yet integrated"
        log.integrate(session)
        assert log.publish(session, signer, now=later) is not None
        assert log.publish(session, signer, now=later) is None


def published(db: Database, golden: list[Event], signer: LogSigner, now: datetime) -> None:
    """Publish twice, so that there is something to extend."""
    for part in (golden[:20], golden[20:30]):
        with db.write() as session:
            log.record_all(session, part, now=now)
            log.integrate(session)
            log.publish(session, signer, now=now)


def test_checkpoints_form_one_chain(any_db: Database, golden: list[Event], signer: LogSigner, later: datetime) -> None:
    published(any_db, golden, signer, later)
    with any_db.read() as session:
        rows = session.exec(select(Checkpoint).order_by(col(Checkpoint.size))).all()
        assert [(row.previous_size, row.size) for row in rows] == [(0, 20), (20, 30)]
        proof = tree.consistency(session, 20, 30)
    merkle.verify_consistency(20, 30, rows[0].root, rows[1].root, proof)


@pytest.mark.parametrize("attack", ["rewrite", "truncate", "another key", "forged head"])
def test_a_tree_that_does_not_extend_the_last_head_is_never_signed(
    db: Database, golden: list[Event], signer: LogSigner, later: datetime, attack: str
) -> None:
    published(db, golden, signer, later)
    with db.write() as session:
        if attack == "rewrite":
            tile = session.get(Tile, (0, 0))
            assert tile is not None
            tile.data = bytes(32) + tile.data[32:]
        elif attack == "truncate":
            session.exec(update(Entry).where(col(Entry.leaf_index) >= 25).values(leaf_index=None))
        elif attack == "another key":
            signer = LogSigner(signer.origin, bytes(32))
        else:
            session.exec(update(Checkpoint).where(col(Checkpoint.size) == 30).values(note=signer.sign(30, bytes(32))))
    with db.write() as session:
        log.record_all(session, golden[30:], now=later)
        if attack != "truncate":
            log.integrate(session)
        with pytest.raises(LogInconsistentError):
            log.publish(session, signer, now=later)
        assert session.exec(select(Checkpoint.size)).all() == [20, 30]


def test_a_lost_tile_stops_the_integrator(
    db: Database, golden: list[Event], signer: LogSigner, later: datetime
) -> None:
    published(db, golden, signer, later)
    with db.write() as session:
        session.exec(delete(Tile))
    with db.write() as session:
        log.record(session, golden[31], now=later)
        with pytest.raises(LogInconsistentError, match="rebuild"):
            log.integrate(session)
        session.rollback()


def race(db: Database, events: list[Event], now: datetime) -> None:
    """Four recorders and two integrators at once."""
    failures: list[BaseException] = []

    def run(work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001  # a thread's failure must reach the test
            failures.append(error)

    def record_some(part: list[Event]) -> None:
        for event in part:
            with db.write() as session:
                log.record(session, event, now=now)

    def integrate_often() -> None:
        for _ in range(15):
            with db.write() as session:
                log.integrate(session)

    threads = [threading.Thread(target=run, args=(lambda i=i: record_some(events[i::4]),)) for i in range(4)]
    threads += [threading.Thread(target=run, args=(integrate_often,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    with db.write() as session:
        log.integrate(session)


def test_recorders_and_integrators_at_once_leave_no_gap(any_db: Database, golden: list[Event], later: datetime) -> None:
    race(any_db, [renamed(golden[0], str(i)) for i in range(120)], later)
    with any_db.read() as session:
        indexes = session.exec(select(Entry.leaf_index).order_by(col(Entry.leaf_index))).all()
        assert indexes == list(range(120))
        assert tree.root(session, 120) == merkle.root(leaves(session))


def collide(
    db: Database, golden: list[Event], now: datetime, monkeypatch: pytest.MonkeyPatch, *, patience_s: float
) -> list[str]:
    """Let one integrator look, then another with more to see finish, then the first go on; return what failed.

    The first goes on after `patience_s` at the latest: with the lock, the other waits for it.
    The entry with the lower id is committed in between, so the two number the same entries differently.
    """
    slow_has_looked, slow_may_go_on = threading.Event(), threading.Event()
    size_of, failed = log.tree_size, []

    def slow_tree_size(session: Session) -> int:
        size = size_of(session)
        if threading.current_thread().name == "slow":
            slow_has_looked.set()
            slow_may_go_on.wait(120)
        return size

    monkeypatch.setattr(log, "tree_size", slow_tree_size)

    def integrate_once() -> None:
        try:
            with db.write() as session:
                log.integrate(session)
        except SQLAlchemyError as error:
            failed.append(type(error).__name__)

    slow, quick = (threading.Thread(target=integrate_once, name=name) for name in ("slow", "quick"))
    with db.write() as first:
        log.record(first, golden[0], now=now)
        with db.write() as second:
            log.record(second, golden[1], now=now)
        slow.start()
        slow_has_looked.wait(60)
    quick.start()
    quick.join(patience_s)
    slow_may_go_on.set()
    slow.join()
    quick.join()
    return failed


@pytest.mark.postgres
def test_two_integrators_take_turns(
    any_db: Database, golden: list[Event], later: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    if any_db.is_sqlite:
        pytest.skip("SQLite has one writer lane")
    assert collide(any_db, golden, later, monkeypatch, patience_s=0.5) == []
    with any_db.read() as session:
        assert tree.root(session, 2) == merkle.root(leaves(session))


@pytest.mark.postgres
def test_without_the_lock_two_integrators_collide(
    any_db: Database, golden: list[Event], later: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: it is the lock that the test above relies on."""
    if any_db.is_sqlite:
        pytest.skip("SQLite has one writer lane, which cannot be taken away")
    monkeypatch.setattr(log, "lock_integrator", lambda _session: None)
    assert collide(any_db, golden, later, monkeypatch, patience_s=60) == ["IntegrityError"]


# --- many at once ------------------------------------------------------------------------------------


def test_a_batch_is_recorded_and_integrated_in_one_step(
    any_db: Database, golden: list[Event], signer: LogSigner, later: datetime
) -> None:
    with any_db.write() as session:
        log.record(session, golden[0], now=later)
    with any_db.write() as session:
        done = log.record_batch(session, golden[1:], now=later, is_whole=True).recorded
        log.publish(session, signer, now=later)
    assert done == [log.Recorded(str(event.event_id), index, True) for index, event in enumerate(golden[1:], 1)]
    with any_db.write() as session:
        log.record_all(session, [renamed(golden[0], "after")], now=later)
        assert log.integrate(session) == 1, "whoever records one by one goes on behind it"
        entries = session.exec(select(Entry).order_by(col(Entry.leaf_index))).all()
        assert [entry.data for entry in entries[:38]] == [entry_bytes(event, later) for event in golden]
        assert tree.root(session, 39) == merkle.root(leaves(session))
        by_hand = {(row.identifier, row.entry_id, row.roles) for row in session.exec(select(Naming))}
        rebuild(session)
        assert {(row.identifier, row.entry_id, row.roles) for row in session.exec(select(Naming))} == by_hand


def test_a_batch_passes_over_what_is_there_already(any_db: Database, golden: list[Event], later: datetime) -> None:
    with any_db.write() as session:
        log.record_all(session, [golden[3], golden[5]], now=later)
    hour_later = later + timedelta(hours=1)
    with any_db.write() as session:
        done = log.record_batch(session, [*golden[:8], golden[2]], now=hour_later, is_whole=True).recorded
    assert [(each.leaf_index, each.is_new) for each in done if each] == [
        *[(2, True), (3, True), (4, True), (0, False), (5, True), (1, False), (6, True), (7, True)],
        (4, False),
    ]
    with any_db.write() as session:
        assert log.record_batch(session, [], now=later, is_whole=True) == log.Batch([], {})
        assert log.integrate(session) == 0
        assert tree.root(session, 8) == merkle.root(leaves(session))


def test_one_bad_event_refuses_the_batch_or_is_left_out(any_db: Database, golden: list[Event], later: datetime) -> None:
    changed = msgspec.structs.replace(golden[1], disposition="inactive")
    future = msgspec.structs.replace(golden[4], event_time=format_time(later + timedelta(hours=1)))
    twice = msgspec.structs.replace(golden[2], disposition="inactive")
    batch = [golden[0], changed, golden[2], twice, future, golden[5]]
    with any_db.write() as session:
        log.record_all(session, [golden[1]], now=later)
    with any_db.write() as session:
        whole = log.record_batch(session, batch, now=later, is_whole=True)
        assert log.tree_size(session) == 1
    with any_db.write() as session:
        found = log.record_batch(session, [changed, golden[3]], now=later, is_whole=True)
        assert {place: error.code for place, error in found.refused.items()} == {0: "event_conflict"}
        assert log.tree_size(session) == 1
    with any_db.write() as session:
        parts = log.record_batch(session, batch, now=later, is_whole=False)
        assert log.integrate(session) == 0
        assert tree.root(session, 4) == merkle.root(leaves(session))
    assert whole.recorded == [None] * 6
    assert {place: error.code for place, error in whole.refused.items()} == {3: "event_conflict", 4: "event_in_future"}
    assert {place: error.code for place, error in parts.refused.items()} == {
        1: "event_conflict",
        3: "event_conflict",
        4: "event_in_future",
    }
    assert [each and each.leaf_index for each in parts.recorded] == [1, None, 2, None, None, 3]


def test_batches_and_recorders_and_integrators_at_once_leave_no_gap(
    any_db: Database, golden: list[Event], later: datetime
) -> None:
    """The batches and the single events overlap: each is written once, whoever comes first."""
    events = [renamed(golden[0], str(i)) for i in range(120)]
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # a thread's failure must reach the test
            failures.append(error)

    def batches() -> None:
        for start in range(0, 120, 30):
            with any_db.write() as session:
                log.record_batch(session, events[start : start + 30], now=later, is_whole=True)

    threads = [
        threading.Thread(target=run, args=(lambda: race(any_db, events[60:], later),)),
        *(threading.Thread(target=run, args=(batches,)) for _ in range(2)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with any_db.read() as session:
        indexes = session.exec(select(Entry.leaf_index).order_by(col(Entry.leaf_index))).all()
        assert indexes == list(range(120))
        assert tree.root(session, 120) == merkle.root(leaves(session))


@pytest.mark.parametrize("written", ["2026-04-18T03:05:00Z", "2026-04-18T11:05:00.000+08:00", "yesterday"])
def test_a_time_is_recorded_in_its_one_form_or_not_at_all(
    db: Database, golden: list[Event], later: datetime, written: str
) -> None:
    with db.write() as session, pytest.raises(EventError, match=r"\$\.eventTime"):
        log.record(session, msgspec.structs.replace(golden[0], event_time=written), now=later)
    declaration = next(event for event in golden if event.error_declaration)
    assert declaration.error_declaration is not None
    wrong = msgspec.structs.replace(declaration.error_declaration, declaration_time=written)
    with db.write() as session, pytest.raises(EventError, match=r"declarationTime"):
        log.record(session, msgspec.structs.replace(declaration, error_declaration=wrong), now=later)


HOSTILE = st.sampled_from(
    ["", "x" * 2049, "x", 1, 1.5, None, True, (), ("",), ("a",) * 501, {"a:b": 1}, {"plain": 1}, {}, "+24:00", "ADD"]
)


FIELDS = sorted({field.name for kind in get_args(Event) for field in msgspec.structs.fields(kind)})
FIELDS.remove("record_time")  # whatever it says, the log writes its own


@given(st.integers(0, 37), st.dictionaries(st.sampled_from(FIELDS), HOSTILE, max_size=3))
def test_whatever_is_recorded_reads_back(golden: list[Event], number: int, changes: dict[str, Any]) -> None:
    """The cheap look of `readable` against parsing itself, over events with anything at all in their fields."""
    event = golden[number]
    names = {field.name for field in msgspec.structs.fields(event)}
    event = msgspec.structs.replace(event, **{name: value for name, value in changes.items() if name in names})
    try:
        built = readable(event)
    except (EventError, TypeError):
        return
    assert document(parse_event(built)) == document(event)
