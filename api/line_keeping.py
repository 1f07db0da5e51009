"""What passed, on its way to this station's disk and only then to its lane."""

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy.exc import DatabaseError

from api.line_errors import NoBatchError
from api.line_grading import Grading
from api.line_journal import Journal, Lost, NewFruit
from grading.line.belt import Passed
from grading.line.lanes import REJECT, LaneCommand
from grading.line.waiting import Weighbridge
from grading.line.wiring import Wiring
from grading.standard import Text

_log = logging.getLogger(__name__)

PATIENCE_S: Final = 20.0
"""How long the end of a lot, and of the program, waits for the disk."""
_GROUP: Final = 32
"""How many fruit one commit holds at most: at thirty a second a commit of a tenth of a second holds three."""
_SOON_S: Final = 0.01
"""How often is looked for a weight while a fruit waits for one; a commit takes longer."""
_WEIGHTS_TOLD: Final = 20
_UNSURE: Final = "unsure"
"""The gates' word for a command of which nobody knows whether its gate acted."""


@dataclass(frozen=True, slots=True)
class Graded:
    """A passed fruit on its way to the disk and its lane."""

    passed: Passed
    run: str
    at: datetime


class Keeper:
    """Weighs, writes and directs passed fruit. One thread is in `run`; others `add` and `wait`."""

    def __init__(
        self,
        *,
        journal: Journal,
        wiring: Wiring,
        grading: Grading,
        stopping: threading.Event,
        on_kept: Callable[[], None],
    ) -> None:
        self._journal, self._wiring, self._grading = journal, wiring, grading
        self._stopping, self._on_kept = stopping, on_kept
        self._to_keep: queue.SimpleQueue[Graded] = queue.SimpleQueue()
        self._bridge: Weighbridge[Graded] | None = wiring.weighbridge()
        self._kept = threading.Condition()
        self._commanded: dict[int, int | None] = {}
        self._lost: list[Lost] = []
        self._lost_lock = threading.Lock()
        self.pending = 0
        """How many fruit have passed and are not written yet."""
        self.weights: tuple[bool, ...] = ()
        """Whether each of the last fruit was weighed."""
        self.disk_trouble: str | None = None
        """Why the journal cannot be written, while it cannot."""

    def add(self, passed: Sequence[Graded]) -> None:
        """Hand on what has passed."""
        with self._kept:
            self.pending += len(passed)
        for each in passed:
            self._to_keep.put(each)

    def wait(self, *, weights_s: float) -> bool:
        """Wait until all that passed is written, so long at most for their weights; return whether it is."""
        if self._bridge is not None:
            self._bridge.until_s = time.monotonic() + weights_s
        try:
            with self._kept:
                return self._kept.wait_for(lambda: self.pending == 0, timeout=PATIENCE_S)
        finally:
            if self._bridge is not None:
                self._bridge.until_s = math.inf

    def run(self) -> None:
        """Write what passed, in groups, each in one commit, and send to the lanes what is written; until all is."""
        while not (self._stopping.is_set() and self.pending == 0):
            group = self._weighed(self._next_group())
            if group:
                self._keep(group)
            else:
                self._keep_commands()
            self._keep_lost()
        self._keep_commands()
        self._keep_lost()

    def _next_group(self) -> list[Graded]:
        """Return what has passed since; nothing where nothing has for a while."""
        waits = self._bridge is not None and self._bridge.waits
        try:
            group = [self._to_keep.get(timeout=_SOON_S if waits else 0.2)]
        except queue.Empty:
            return []
        while len(group) < _GROUP:
            try:
                group.append(self._to_keep.get_nowait())
            except queue.Empty:
                break
        return group

    def _weighed(self, passed: list[Graded]) -> list[Graded]:
        """Return the fruit whose weight is known by now, or known to be missing; all of them where none is weighed."""
        bridge = self._bridge
        if bridge is None:
            return passed
        for each in passed:
            bridge.add(each, each.passed.belt_um)
        if self._stopping.is_set():
            bridge.until_s = 0.0
        decided = bridge.decided()
        weighed = [weight.mass_g is not None for _, weight in decided]
        self.weights = (*self.weights, *weighed)[-_WEIGHTS_TOLD:]
        return [replace(each, passed=self._grading.weighed(each.passed, weight)) for each, weight in decided]

    def _keep(self, group: Sequence[Graded]) -> None:
        new = [self._grading.kept(each.passed, each.run, each.at) for each in group]
        is_kept = self._written(new)
        while not is_kept and not self._stopping.wait(1.0):
            is_kept = self._written(new)
        if is_kept:
            self._commanded = {}
            for each in group:
                self._command(each)
        with self._kept:
            self.pending -= len(group)
            self._kept.notify_all()
        self._on_kept()

    def _written(self, new: Sequence[NewFruit]) -> bool:
        """Commit fruit. A full disk stops the grading by its alarm; what is graded already waits here."""
        try:
            self._journal.add(new, commanded=self._commanded)
        except (DatabaseError, OSError) as error:
            if self.disk_trouble is None:
                _log.exception("the journal cannot be written")
            self.disk_trouble = str(getattr(error, "orig", error))
            return False
        self.disk_trouble = None
        return True

    def _keep_commands(self) -> None:
        if self._commanded:
            try:
                self._journal.add((), commanded=self._commanded)
                self._commanded = {}
            except NoBatchError:  # the lot has ended: nobody looks for its fruit in the reject lane any more
                self._commanded = {}
            except (DatabaseError, OSError):
                _log.warning("lanes could not be written down; they are with the next fruit")

    def _keep_lost(self) -> None:
        """Write down which fruit lie in no lane of their tier, after the lanes they were sent to."""
        self._gather_lost()
        if not self._lost:
            return
        self._keep_commands()
        with self._lost_lock:
            lost, self._lost = self._lost, []
        try:
            self._journal.mark_lost(lost)
        except (DatabaseError, OSError):
            with self._lost_lock:
                self._lost = lost + self._lost

    def _gather_lost(self) -> None:
        found = self._wiring.lost()
        if found and self._wiring.has_gates:
            with self._lost_lock:
                self._lost += [_lost(each.command, each.why.kind, each.why.text) for each in found]

    def _command(self, each: Graded) -> None:
        verdict = each.passed.verdict
        sent = self._wiring.direct(
            each.run,
            each.passed.number,
            verdict.nominal_tier if verdict.is_doubtful else verdict.tier,
            is_doubtful=verdict.is_doubtful,
            seen_at=each.at,
            seen_um=each.passed.belt_um,
            across_um=each.passed.across_um,
        )
        self._commanded[each.passed.number] = sent.lane if self._wiring.has_gates else None
        lanes = self._wiring.lanes
        wanted = lanes.doubtful if verdict.is_doubtful else lanes.lane_of[verdict.tier]
        if self._wiring.has_gates and sent.why is not None and wanted != REJECT:
            with self._lost_lock:
                self._lost.append(_lost(sent, "rejected", sent.why))


def _lost(command: LaneCommand, kind: str, why: Text) -> Lost:
    """Return a fruit that its gate did not take: it lies at the belt's end, unless nobody can say what its gate did."""
    return Lost(command.run, command.fruit, kind, why, None if kind == _UNSURE else REJECT)
