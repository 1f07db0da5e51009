# ruff: noqa: RUF001  # Chinese has its own comma
"""What outputs to gates do alike: commands wait for one thread, an emergency latches, what is lost is told.

What they keep of a command, how they speak to their machine, and which numbers that machine wants is theirs.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from grading.line.lanes import LaneCommand, Lanes
from grading.line.wires import LostCommand, Trouble
from grading.standard import Text
from ledger.kernel.clock import Clock

TAKEN_BACK: Final = Text(
    "此前的命令已全部收回，果送到剔除道", "all earlier commands were taken back; the fruit goes to reject"
)
IN_EMERGENCY: Final = Trouble("emergency", Text("紧急剔除中，果全部送到剔除道", "emergency: everything goes to reject"))
LATE: Final = Trouble(
    "too_late", Text("命令来不及，果送到剔除道", "the command could not come in time; the fruit goes to reject")
)


class QueuedOutputs(ABC):
    """Outputs (`grading.line.wires.Outputs`) with a thread of their own; whoever sends never waits.

    `where` tells the belt's position now. `away` is why commands are lost once nobody speaks to the machine, and
    `patience_s` how long `close` waits for the thread.
    """

    def __init__(
        self,
        name: str,
        lanes: Lanes,
        clock: Clock,
        *,
        where: Callable[[], int | None],
        by_position: bool,
        away: Trouble,
        patience_s: float,
    ) -> None:
        self._lanes, self._clock, self._where, self._by_position = lanes, clock, where, by_position
        self._away, self._patience_s = away, patience_s
        self._wake = threading.Condition()
        self._is_closing = False
        self._lost: list[LostCommand] = []
        self._emergency_number = 0
        self._emergency_reason: str | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin in the background; a machine that is not there is waited for."""
        self._thread.start()

    def send(self, command: LaneCommand) -> None:
        """Queue a command; a later one for the same run and fruit replaces it."""
        with self._wake:
            if self._emergency_reason is not None or self._is_closing:
                why = IN_EMERGENCY if self._emergency_reason is not None else self._away
                self._lost.append(LostCommand(command, why))
                return
            self._enqueue(command)
            self._wake.notify_all()

    def emergency(self, reason: str) -> None:
        """Reject everything from now on, until `clear`."""
        with self._wake:
            if self._emergency_reason is None:
                self._emergency_number = self._next_number(is_active=True)
            self._emergency_reason = reason
            self._drop(IN_EMERGENCY)
            self._wake.notify_all()

    def clear(self) -> None:
        """End the emergency."""
        with self._wake:
            if self._emergency_reason is not None:
                self._emergency_number = self._next_number(is_active=False)
                self._emergency_reason = None
                self._wake.notify_all()

    def forget(self, reason: str) -> None:
        """Take everything back by beginning a new session."""
        with self._wake:
            self._drop(Trouble(reason, TAKEN_BACK))
            self._wake.notify_all()

    @property
    def emergency_reason(self) -> str | None:
        """Why everything is rejected; None in normal running."""
        with self._wake:
            return self._emergency_reason

    def lost(self) -> list[LostCommand]:
        """Return what was lost since the last call."""
        with self._wake:
            lost, self._lost = self._lost, []
            return lost

    def close(self) -> None:
        """Stop. Whoever follows misses us and rejects, so what still lay before a gate is lost."""
        with self._wake:
            self._is_closing = True
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=self._patience_s)
        with self._wake:
            self._drop(self._away)

    def _closing(self) -> bool:
        with self._wake:
            return self._is_closing

    @abstractmethod
    def _work(self) -> None:
        """Speak to the machine until `_closing`."""

    @abstractmethod
    def _enqueue(self, command: LaneCommand) -> None:
        """Keep a command for the thread, in place of an earlier one for the same run and fruit. Under the lock."""

    @abstractmethod
    def _drop(self, why: Trouble) -> None:
        """Lose everything that has not acted yet. Under the lock."""

    def _next_number(self, *, is_active: bool) -> int:  # noqa: ARG002  # the PLC's numbers tell which it is
        """Return the emergency's number when it begins or ends. Under the lock."""
        return self._emergency_number + 1
