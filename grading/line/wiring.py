"""The line's wiring file: which lanes, gates and machines there are. Read strictly; the wrong key is named.

`line-sample.toml` beside this file shows every key. `Wiring` is what the line works with: `direct` turns a graded
fruit into a command and sends it, and rejects whatever cannot be aimed for certain.
"""

import threading
import tomllib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from grading.errors import WiringError
from grading.line.encoder import TimedEncoder, parse_speed
from grading.line.lanes import NO_PLACE, REJECT, LaneCommand, Lanes, lanes_for
from grading.line.wires import Encoder, LostCommand, Outputs, Scale, State, WireState
from grading.standard import Tariff
from ledger.kernel.clock import Clock, SystemClock

REMEMBERED: Final = 64
"""Commands kept to see whether the next fruit lies too close: more than lie on any belt within the spacing."""

Millimetres = Annotated[int, Meta(ge=0, le=100_000)]


class _Belt(Struct, frozen=True, forbid_unknown_fields=True):
    speed_mm_per_s: Annotated[int, Meta(ge=1, le=5_000)]
    lead_mm: Millimetres
    spacing_mm: Millimetres
    rows_mm: tuple[tuple[Millimetres, Millimetres], ...] = ()


class _Encoder(Struct, frozen=True, forbid_unknown_fields=True):
    from_: str = msgspec.field(name="from")


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    line: Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9._-]+$")]
    belt: _Belt
    tiers: Mapping[str, Annotated[int, Meta(ge=0, le=65_535)]]
    gates_mm: Mapping[str, Annotated[int, Meta(ge=1, le=100_000)]]
    doubtful: Annotated[int, Meta(ge=0, le=65_535)] = REJECT
    encoder: _Encoder | None = None


@dataclass(slots=True)
class Wiring:
    """An open line: its lanes and the machines at the other ends of its wires."""

    line: str
    lanes: Lanes
    outputs: Outputs
    encoder: Encoder | None
    scale: Scale | None
    clock: Clock
    _recent: deque[LaneCommand] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def direct(
        self,
        run: str,
        fruit: int,
        tier: str,
        *,
        is_doubtful: bool,
        seen_at: datetime,
        seen_um: int | None,
        across_um: int | None = None,
    ) -> LaneCommand:
        """Send a fruit to its tier's lane and return the command as sent: to reject, with the reason, where in doubt.

        `seen_at` and `seen_um` are when, and where the belt was when, it left the picture. Returns at once.
        Raises WiringError for an unknown tier.
        """
        with self._lock:
            is_counted = self.encoder is not None and self.encoder.is_counted
            belt_um = None if self.encoder is None else self.encoder.belt_um()
            command = self.lanes.command(
                run,
                fruit,
                tier,
                is_doubtful=is_doubtful,
                seen_at=seen_at,
                seen_um=seen_um,
                speed_um_s=None if self.encoder is None else self.encoder.um_per_s,
                across_um=across_um,
            )
            if is_counted and command.lane != REJECT and (belt_um is None or seen_um is None):
                command = self.lanes.rejected(command, NO_PLACE)
            command = self.lanes.in_time(command, belt_um=belt_um, now=self.clock.now())
            sent = self.lanes.spaced(list(self._recent), command)
            for each in sent:
                self.outputs.send(each)
                self._recent = deque(
                    (old for old in self._recent if (old.run, old.fruit) != (each.run, each.fruit)), maxlen=REMEMBERED
                )
                self._recent.append(each)
            return sent[-1]

    def states(self) -> tuple[WireState, ...]:
        """Return how every wire stands."""
        inputs = [wire.state for wire in (self.encoder, self.scale) if wire is not None]
        return (*self.outputs.state, *inputs)

    def close(self) -> None:
        """Leave every machine; twice is fine."""
        for wire in (self.scale, self.encoder, self.outputs):
            if wire is not None:
                wire.close()


class NoOutputs:
    """A line without gates: people sort by what the screen shows."""

    def __init__(self) -> None:
        self._reason: str | None = None

    def send(self, command: LaneCommand) -> None:
        """Nobody is told."""

    def emergency(self, reason: str) -> None:
        """Remember it for the screen."""
        self._reason = reason

    def clear(self) -> None:
        """Forget it."""
        self._reason = None

    def forget(self, reason: str) -> None:
        """Nothing was commanded."""

    @property
    def emergency_reason(self) -> str | None:
        """Why, where there is one."""
        return self._reason

    @property
    def state(self) -> tuple[WireState, ...]:
        """Off."""
        return (WireState("outputs", State.OFF, "no [modbus] and no [mqtt] in the wiring file"),)

    def lost(self) -> list[LostCommand]:
        """Nothing can be lost."""
        return []

    def close(self) -> None:
        """Nothing is open."""


def open_wiring(path: Path, tariff: Tariff, *, clock: Clock | None = None) -> Wiring:
    """Return the line that a wiring file describes, its machines being connected in the background.

    Raises WiringError, naming the wrong key, before anything is connected.
    """
    file = parse_wiring(path)
    lanes = _lanes(file, tariff)
    encoder = TimedEncoder(parse_speed(file.encoder.from_)) if file.encoder is not None else None
    return Wiring(file.line, lanes, NoOutputs(), encoder, None, clock or SystemClock())


def parse_wiring(path: Path) -> _File:
    """Return what a wiring file says. Raises WiringError, naming the wrong key."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), type=_File)
    except OSError as error:
        raise WiringError(path.name, f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise WiringError(path.name, f"is no wiring file: {error}") from error


def _lanes(file: _File, tariff: Tariff) -> Lanes:
    gates_um: dict[int, int] = {}
    for key, distance_mm in file.gates_mm.items():
        if not key.isdecimal() or str(int(key)) != key:
            raise WiringError(f"gates_mm.{key}", "is no lane number")
        gates_um[int(key)] = distance_mm * 1000
    return lanes_for(
        tariff,
        file.tiers,
        gates_um,
        doubtful=file.doubtful,
        speed_um_s=file.belt.speed_mm_per_s * 1000,
        lead_um=file.belt.lead_mm * 1000,
        spacing_um=file.belt.spacing_mm * 1000,
        rows_um=[(start * 1000, end * 1000) for start, end in file.belt.rows_mm],
    )
