"""The Celery application and its beat.

Without a Redis URL the tasks run in process: beat is a thread, and every task runs in it to its end
before the next one starts. With one, `guoyuan worker` and `guoyuan beat` run them on as many machines
as needed. The same task never runs twice at once, whoever starts it.
"""

import contextlib
import fcntl
import importlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final

from celery import Celery  # type: ignore[import-untyped]  # Celery brings no types
from celery.beat import Scheduler, Service  # type: ignore[import-untyped]  # as above
from sqlalchemy import text

from api.observe import TASKS
from api.runtime import Runtime
from ledger.kernel.settings import Settings

_log = logging.getLogger(__name__)

Every = float | Callable[[Settings], float]
_FORGET_AFTER_S: Final = 60.0
_SCHEDULE: Final[dict[str, Every]] = {}
_URGENT: Final[set[str]] = set()
_PATIENT: Final[set[str]] = set()

_lock = threading.Lock()
_current: Runtime | None = None


def use(rt: Runtime | None) -> None:
    """Let the tasks of this process work on an opened runtime; None lets go of it."""
    global _current  # noqa: PLW0603  # one process serves one installation
    with _lock:
        _current = rt


def runtime() -> Runtime:
    """Return the runtime of this process, opened now where it is not yet."""
    global _current  # noqa: PLW0603  # as above
    with _lock:
        if _current is None:
            _current = Runtime.open(Settings.load())
        return _current


def _configuration() -> dict[str, Any]:
    importlib.import_module("api.tasks")  # fills the schedule
    settings = runtime().settings
    return {
        "broker_url": settings.redis_url or "memory://",
        "task_always_eager": not settings.redis_url,
        "task_ignore_result": True,
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "broker_connection_retry_on_startup": True,
        "timezone": "UTC",
        "beat_schedule": {
            # A backlog of ticks is worth nothing: one late run does the work of all that were missed.
            name: {"task": name, "schedule": seconds, "options": {"expires": max(4 * seconds, 10)}}
            for name, seconds in intervals(settings).items()
        },
    }


app = Celery("guoyuan")
app.add_defaults(_configuration)


def intervals(settings: Settings) -> dict[str, float]:
    """Return how often each task runs, in seconds."""
    return {name: every(settings) if callable(every) else every for name, every in _SCHEDULE.items()}


def periodic(
    every: Every, *, is_urgent: bool = False, is_patient: bool = False
) -> Callable[[Callable[[Runtime], object]], Any]:
    """Make a function of the runtime a Celery task that beat runs every so many seconds.

    In process, urgent tasks have a beat of their own: somebody waits for them, and an anchor may take seconds.
    So have patient ones, which wait for other people's machines: nothing of ours waits with them.
    """

    def register(work: Callable[[Runtime], object]) -> Any:
        name = f"guoyuan.{work.__name__}"
        _SCHEDULE[name] = every
        if is_urgent:
            _URGENT.add(name)
        if is_patient:
            _PATIENT.add(name)

        def run() -> str:
            return run_alone(runtime(), name, work)

        return app.task(name=name)(run)

    return register


def run_alone(rt: Runtime, name: str, work: Callable[[Runtime], object]) -> str:
    """Run a task unless it is running elsewhere; return `done`, `failed` or `busy`.

    A failure is logged, once until it changes or a minute has passed, and does not stop the beat: the
    next run tries again.
    """
    with _alone(rt, name) as is_alone:
        if not is_alone:
            outcome = "busy"
        else:
            try:
                work(rt)
            except Exception as error:  # noqa: BLE001  # whatever it is, the beat goes on
                _failures.note(name, error)
                outcome = "failed"
            else:
                _failures.forget(name)
                outcome = "done"
    TASKS.labels(name, outcome).inc()
    return outcome


class _Failures:
    """Which tasks fail, so that a lasting failure does not fill the log twice a second."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float]] = {}

    def note(self, name: str, error: Exception) -> None:
        words, now = f"{type(error).__name__}: {error}", time.monotonic()
        before, at = self._seen.get(name, ("", 0.0))
        if words != before or now - at > _FORGET_AFTER_S:
            _log.error("%s failed: %s", name, words, exc_info=error)
            self._seen[name] = (words, now)

    def forget(self, name: str) -> None:
        if self._seen.pop(name, None) is not None:
            _log.info("%s works again", name)


_failures = _Failures()


@contextmanager
def _alone(rt: Runtime, name: str) -> Iterator[bool]:
    """Hold the task's lock if it is free: an advisory lock in PostgreSQL, a locked file beside SQLite.

    Both are given back by the system when the process dies.
    """
    if rt.db.is_sqlite:
        folder = rt.settings.home / "locks"
        folder.mkdir(exist_ok=True)
        with (folder / name).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        return
    key = int.from_bytes(sha256(name.encode()).digest()[:8], "big", signed=True)
    with rt.db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
            yield False
            return
        try:
            yield True
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})


def end_with_parent() -> None:
    """Send this process SIGTERM once the process that started it is gone, killed or not."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


class Beat:
    """Beat as three threads of this process, for the embedded default: the urgent, the patient, and the rest."""

    def __init__(self, rt: Runtime) -> None:
        use(rt)
        app.conf.update(_configuration())
        names = frozenset(intervals(rt.settings))
        self._services = [
            Service(app, scheduler_cls=_scheduler_of(lane), max_interval=1)
            for lane in (names & _URGENT, names & _PATIENT, names - _URGENT - _PATIENT)
        ]
        self._threads = [threading.Thread(target=each.start, name="beat", daemon=True) for each in self._services]

    def start(self) -> None:
        """Start beating."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop after the tasks that are running; returns when they have ended."""
        for service in self._services:
            service._is_shutdown.set()  # noqa: SLF001  # Service.stop waits for the persistent file we do not keep
        for thread in self._threads:
            with contextlib.suppress(RuntimeError):
                thread.join(timeout=30)
        use(None)


def _scheduler_of(names: frozenset[str]) -> type[Scheduler]:
    """Return a scheduler that knows these tasks alone."""

    class Lane(Scheduler):  # type: ignore[misc]  # Celery brings no types
        def setup_schedule(self) -> None:
            schedule = self.app.conf.beat_schedule
            self.merge_inplace({name: entry for name, entry in schedule.items() if name in names})

    return Lane
