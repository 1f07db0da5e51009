import logging
import threading
from collections.abc import Iterator

import pytest
from sqlmodel import select

from api import tasks, worker
from api.runtime import Runtime
from ledger.events import ObjectEvent
from ledger.kernel.clock import format_time
from ledger.kernel.ids import new_event_id
from ledger.kernel.settings import Settings
from ledger.log import latest_checkpoint, record, tree_size
from ledger.vocabulary import Action
from tests.databases import postgres_url
from tests.waiting import until


@pytest.fixture
def used(rt: Runtime) -> Iterator[Runtime]:
    """The runtime that the tasks of this process work on."""
    worker.use(rt)
    yield rt
    worker.use(None)


def record_something(rt: Runtime) -> None:
    now = rt.clock.now()
    event = ObjectEvent(
        event_time=format_time(now),
        event_time_zone_offset="+08:00",
        event_id=new_event_id(now),
        action=Action.OBSERVE,
        epc_list=("https://id.gs1.org/01/09521002000016/21/A1",),
    )
    with rt.db.write() as session:
        record(session, event, now=now)


def test_every_task_is_on_the_beat_and_every_beat_has_its_task(used: Runtime) -> None:
    named = {name for name in worker.app.tasks if name.startswith("guoyuan.")}
    assert named == set(worker.intervals(used.settings))
    assert worker.intervals(used.settings)["guoyuan.publish"] == used.settings.publish_after_s


def test_every_task_runs_on_an_empty_installation(used: Runtime) -> None:
    for name in worker.intervals(used.settings):
        assert worker.app.tasks[name].apply().get() == "done", name


def test_beat_in_process_brings_what_is_recorded_under_a_checkpoint(rt: Runtime) -> None:
    rt.settings = rt.settings.model_copy(update={"publish_after_s": 0.2})
    record_something(rt)
    beat = worker.Beat(rt)
    beat.start()
    try:
        until(lambda: is_published(rt))
    finally:
        beat.stop()
    with rt.db.read() as session:
        newest = latest_checkpoint(session)
        assert newest is not None
        assert newest.size == tree_size(session) == 1
    assert not any(thread.is_alive() for thread in beat._threads)


def test_a_failing_task_is_logged_once_and_the_next_run_tries_again(
    rt: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_rt: Runtime) -> None:
        raise RuntimeError("the cooler is warm")

    with caplog.at_level(logging.INFO, "api.worker"):
        assert [worker.run_alone(rt, "guoyuan.test", broken) for _ in range(3)] == ["failed"] * 3
        assert worker.run_alone(rt, "guoyuan.test", lambda _rt: None) == "done"
    said = [record.getMessage() for record in caplog.records]
    assert said == ["guoyuan.test failed: RuntimeError: the cooler is warm", "guoyuan.test works again"]


def test_what_a_failing_task_wrote_is_rolled_back(rt: Runtime) -> None:
    def broken(rt: Runtime) -> None:
        with rt.db.write() as session:
            record(session, _an_event(rt), now=rt.clock.now())
            raise RuntimeError("after writing")

    from ledger.models import Entry

    worker.run_alone(rt, "guoyuan.test", broken)
    with rt.db.read() as session:
        assert session.exec(select(Entry)).all() == []


def _an_event(rt: Runtime) -> ObjectEvent:
    now = rt.clock.now()
    return ObjectEvent(
        event_time=format_time(now),
        event_time_zone_offset="+08:00",
        event_id=new_event_id(now),
        action=Action.OBSERVE,
        epc_list=("https://id.gs1.org/01/09521002000016/21/A1",),
    )


def is_published(rt: Runtime) -> bool:
    with rt.db.read() as session:
        return latest_checkpoint(session) is not None


def overlap(first: Runtime, second: Runtime, *, other_name: str) -> str:
    """Return how a run ends that starts while `guoyuan.slow` is running."""
    entered, leave = threading.Event(), threading.Event()

    def slow(_rt: Runtime) -> None:
        entered.set()
        assert leave.wait(120)

    thread = threading.Thread(target=worker.run_alone, args=(first, "guoyuan.slow", slow))
    thread.start()
    try:
        assert entered.wait(120)
        return worker.run_alone(second, other_name, lambda _rt: None)
    finally:
        leave.set()
        thread.join()


def test_a_task_does_not_overlap_itself_and_does_not_keep_others_waiting(rt: Runtime) -> None:
    assert overlap(rt, rt, other_name="guoyuan.slow") == "busy"
    assert overlap(rt, rt, other_name="guoyuan.other") == "done"
    assert worker.run_alone(rt, "guoyuan.slow", lambda _rt: None) == "done"


@pytest.mark.postgres
def test_a_task_does_not_overlap_itself_on_another_machine(settings: Settings) -> None:
    with postgres_url() as url:
        there = settings.model_copy(update={"database_url": url})
        machines = [Runtime.open(there), Runtime.open(there)]
        try:
            assert overlap(*machines, other_name="guoyuan.slow") == "busy"
            assert overlap(*machines, other_name="guoyuan.other") == "done"
            assert worker.run_alone(machines[1], "guoyuan.slow", lambda _rt: None) == "done"
        finally:
            for machine in machines:
                machine.close()


def test_followers_have_names_of_their_own() -> None:
    names = [follower.name for follower in tasks.FOLLOWERS]
    assert len(set(names)) == len(names)
