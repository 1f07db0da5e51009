"""What the line's wires promise: outputs to the gates, the belt's encoder, the scale. No wire is touched here.

A wire has a state and at most one trouble with a name. Nothing here blocks: readings and commands are handed to
a thread that speaks to the machine, so a slow machine never stops the camera.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from grading.line.lanes import LaneCommand
from grading.standard import Text


class State(StrEnum):
    """How a wire stands: `off` is not wired or refused for good, `lost` is being tried again."""

    READY = "ready"
    LOST = "lost"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a wire: a stable word, and the sentence for people."""

    kind: str
    text: Text


@dataclass(frozen=True, slots=True)
class WireState:
    """One wire: its name (`modbus`, `mqtt`, `encoder`, `scale`), how it stands, where it leads, what is wrong."""

    name: str
    state: State
    detail: str
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class LostCommand:
    """A command that no gate follows: the fruit runs on to the belt's end, which is the reject lane."""

    command: LaneCommand
    why: Trouble


class Outputs(Protocol):
    """Where lane commands go. Every function returns at once and may be called from any thread."""

    def send(self, command: LaneCommand) -> None:
        """Hand a command over; a later one for the same run and fruit replaces it."""
        ...

    def emergency(self, reason: str) -> None:
        """Send everything to the reject lane until `clear`. Latched: it outlives a lost connection."""
        ...

    def clear(self) -> None:
        """End the emergency. What was commanded before it stays forgotten: those fruit are rejects."""
        ...

    def forget(self, reason: str) -> None:
        """Take back every command that has not acted yet: their fruit go to the reject lane."""
        ...

    @property
    def emergency_reason(self) -> str | None:
        """Why everything is rejected now; None in normal running."""
        ...

    @property
    def state(self) -> tuple[WireState, ...]:
        """How each output stands; never empty."""
        ...

    def lost(self) -> list[LostCommand]:
        """Return the commands lost since the last call, each once."""
        ...

    def close(self) -> None:
        """Stop the threads and leave. Twice is fine."""
        ...


class Encoder(Protocol):
    """Where the belt is."""

    is_counted: bool
    """Whether a real encoder counts; False where the position is worked out from time."""

    def belt_um(self) -> int | None:
        """Return the belt's position in micrometres, rising as the belt runs; None while it cannot be trusted."""
        ...

    @property
    def um_per_s(self) -> int | None:
        """Measured speed of the belt in micrometres per second; None while unknown."""
        ...

    @property
    def state(self) -> WireState:
        """How the encoder stands."""
        ...

    def close(self) -> None:
        """Stop reading. Twice is fine."""
        ...


@dataclass(frozen=True, slots=True)
class Weighing:
    """One load that came to rest on the scale: whole grams, when, and where the belt was."""

    mass_g: int
    at: datetime
    belt_um: int | None


class Scale(Protocol):
    """What lies on the scale."""

    def stable_g(self) -> int | None:
        """Return the mass in whole grams; None while unstable, overloaded, stale or unreadable."""
        ...

    def weighings(self) -> list[Weighing]:
        """Return the loads that came to rest since the last call, each once."""
        ...

    @property
    def state(self) -> WireState:
        """How the scale stands."""
        ...

    def close(self) -> None:
        """Stop reading. Twice is fine."""
        ...
