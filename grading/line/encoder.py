# ruff: noqa: RUF001  # Chinese has its own comma
"""Where the belt is: a counter that wraps, turned into micrometres that only rise, and doubted when it lies.

`Odometer` is pure. `CountedEncoder` is fed by whatever reads the counter (`grading.line.modbus`,
`grading.line.broker`); `TimedEncoder` works the position out from time, for belts without an encoder.
"""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from grading.errors import WiringError
from grading.line.wires import State, Trouble, WireState
from grading.standard import Text

STALE_S: Final = 0.5
STUCK_S: Final = 3.0
SETTLE_S: Final = 2.0
"""How long a counter that lied is not believed: longer than a fruit is under the camera."""
JITTER_UM: Final = 5_000
"""A belt that stops swings back by so much."""
_LONGEST_GUESS_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Moved:
    """What one reading of the counter says: where the belt is, how far it went, and whether that can be."""

    position_um: int
    by_um: int
    is_possible: bool


class Odometer:
    """Counts without end from a counter that wraps. Pure: the same readings give the same positions.

    `nm_per_count` is negative where the counter falls as the belt runs. The first reading is taken as it is, so
    the position stays equal to the counter, whatever wraps in between.
    """

    def __init__(self, *, bits: int, nm_per_count: int, most_um_per_s: int) -> None:
        self._range, self._nm, self._most_um_per_s = 1 << bits, nm_per_count, most_um_per_s
        self._total: int | None = None
        self._at_s = 0.0

    def moved(self, count: int, at_s: float) -> Moved:
        """Return what a reading says. It is impossible when faster than the belt can run, or too late to tell."""
        if self._total is None:
            self._total, self._at_s = count, at_s
            return Moved(self._position_um(), 0, is_possible=True)
        step = (count - self._total) % self._range
        if step >= self._range // 2:
            step -= self._range
        gone_s = at_s - self._at_s
        self._total += step
        self._at_s = at_s
        by_um = step * self._nm // 1000
        could_um = int(self._most_um_per_s * gone_s) + JITTER_UM
        is_told_apart = could_um < self._range // 2 * abs(self._nm) // 1000
        return Moved(self._position_um(), by_um, is_possible=abs(by_um) <= could_um and is_told_apart)

    def _position_um(self) -> int:
        return (self._total or 0) * self._nm // 1000


class CountedEncoder:
    """A counter that somebody reads, at least five times a second.

    `on_jump` is called, from the reading thread, when the position jumped: what was aimed before must not act.
    """

    is_counted = True

    def __init__(
        self,
        odometer: Odometer,
        detail: str,
        *,
        on_jump: Callable[[str], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._odometer, self._detail, self._monotonic = odometer, detail, monotonic
        self.on_jump = on_jump
        self._lock = threading.Lock()
        self._position_um: int | None = None
        self._told_um = 0
        self._um_per_s = 0.0
        self._seen_s = self._moved_s = 0.0
        self._doubted_until_s = 0.0
        self._trouble: Trouble | None = None
        self._failure = ""
        self._closers: list[Callable[[], None]] = []

    def seen(self, count: int) -> None:
        """Take one reading of the counter."""
        now_s = self._monotonic()
        with self._lock:
            is_first = self._position_um is None
            moved = self._odometer.moved(count, now_s)
            gone_s = now_s - self._seen_s
            if moved.by_um or is_first:
                self._moved_s = now_s
            if not moved.is_possible:
                self._trouble, self._doubted_until_s = _JUMPED, now_s + SETTLE_S
                self._um_per_s, self._told_um = 0.0, moved.position_um
            elif moved.by_um < -JITTER_UM:
                self._trouble, self._doubted_until_s = _BACKWARDS, now_s + SETTLE_S
                self._um_per_s, self._told_um = 0.0, moved.position_um
            elif not is_first and gone_s > 0:
                # Half the old, half the new: a reading that came late does not swing the guess.
                self._um_per_s = (self._um_per_s + moved.by_um / gone_s) / 2
            self._position_um, self._seen_s, self._failure = moved.position_um, now_s, ""
        if not moved.is_possible:
            self.on_jump("encoder_jumped")

    def failed(self, why: str) -> None:
        """Note why the counter cannot be read just now."""
        with self._lock:
            self._failure = why

    def belt_um(self) -> int | None:
        """Return the position now, carried on from the last reading; None while it is old or not to be believed."""
        now_s = self._monotonic()
        with self._lock:
            gone_s = now_s - self._seen_s
            if self._position_um is None or gone_s > STALE_S or now_s < self._doubted_until_s:
                return None
            guess_um = int(self._um_per_s * min(gone_s, _LONGEST_GUESS_S))
            # A guess that ran ahead of a stopping belt waits for it: positions never fall.
            self._told_um = max(self._told_um, self._position_um + max(0, guess_um))
            return self._told_um

    @property
    def um_per_s(self) -> int | None:
        """Measured speed; None before two readings, or while the encoder is not believed."""
        return int(self._um_per_s) if self.belt_um() is not None else None

    @property
    def state(self) -> WireState:
        """Lost while nothing is read; with a trouble where the counter jumped, ran back or stands still."""
        now_s = self._monotonic()
        with self._lock:
            if self._position_um is None or now_s - self._seen_s > STALE_S:
                return WireState("encoder", State.LOST, self._failure or self._detail, _LOST)
            if now_s < self._doubted_until_s:
                return WireState("encoder", State.READY, self._detail, self._trouble)
            stuck = _STUCK if now_s - self._moved_s > STUCK_S else None
            return WireState("encoder", State.READY, self._detail, stuck)

    def closing(self, closer: Callable[[], None]) -> None:
        """Have something done at the end: whatever feeds this encoder stops."""
        self._closers.append(closer)

    def close(self) -> None:
        """Stop what feeds this encoder."""
        while self._closers:
            self._closers.pop()()


class TimedEncoder:
    """A belt that is believed to run at one speed. Stopping it puts fruit in wrong places: an encoder does not."""

    is_counted = False

    def __init__(self, um_per_s: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._um_per_s, self._monotonic = um_per_s, monotonic
        self._began_s = monotonic()

    def belt_um(self) -> int:
        """Return how far the belt must have run since this was made."""
        return int((self._monotonic() - self._began_s) * self._um_per_s)

    @property
    def um_per_s(self) -> int:
        """The speed it was told."""
        return self._um_per_s

    @property
    def state(self) -> WireState:
        """Always ready: nothing is read."""
        return WireState("encoder", State.READY, f"speed:{self._um_per_s / 1000:g}mm/s")

    def close(self) -> None:
        """Nothing is open."""


def parse_speed(text: str) -> int:
    """Return the micrometres per second of `speed:250mm/s`. Raises WiringError."""
    match = re.fullmatch(r"speed:(\d{1,4})(?:\.(\d{1,3}))?mm/s", text)
    if match is None or not int(match[1] + (match[2] or "")):
        raise WiringError("encoder.from", f"is {text!r}; a fixed speed reads speed:250mm/s")
    return int(match[1]) * 1000 + int((match[2] or "").ljust(3, "0"))


def nm_per_count(counts: int, distance_um: int) -> int:
    """Return the calibration of an encoder that counted so much over a measured piece of belt. Raises WiringError."""
    if counts == 0 or distance_um <= 0:
        raise WiringError("encoder.nm_per_count", "needs a belt that moved while it was measured")
    value = (2 * distance_um * 1000 + abs(counts)) // (2 * abs(counts))
    return value if counts > 0 else -value


_LOST = Trouble("encoder_lost", Text("读不到编码器", "the encoder cannot be read"))
_STUCK = Trouble(
    "encoder_stuck",
    Text("编码器不动：皮带停了，或编码器卡住", "the encoder stands still: the belt stopped, or it is stuck"),
)
_JUMPED = Trouble(
    "encoder_jumped", Text("编码器读数跳变，位置暂不可信", "the encoder jumped; positions are not believed for a while")
)
_BACKWARDS = Trouble("encoder_backwards", Text("皮带倒转", "the belt runs backwards"))
