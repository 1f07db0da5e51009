"""What a source of shots is, and what every kind of it does alike."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from grading.camera import MIN_SIDE, Pixels
from grading.errors import SkippedError


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One picture of the belt. `number` counts what the camera gave, so a gap is what was left out.

    `at_s` never goes back: the machine's monotonic clock for a live camera, the recording's own time for files.
    """

    pixels: Pixels
    number: int
    at_s: float
    taken_at: datetime
    belt_um: int | None = None


class SourceState(StrEnum):
    """How a source does: no picture yet, pictures come, the camera went away, or nothing will come again."""

    WAITING = "waiting"
    RUNNING = "running"
    LOST = "lost"
    ENDED = "ended"


class Encoder(Protocol):
    """Whatever knows how far the belt has gone."""

    def belt_um(self) -> int | None:
        """Return the belt's position in micrometres, or None while it is not known."""
        ...


class Source(Protocol):
    """A camera, or what stands in for one."""

    @property
    def name(self) -> str:
        """How it was named, without any password."""
        ...

    @property
    def state(self) -> SourceState:
        """How it does just now; may be asked from any thread."""
        ...

    @property
    def dropped(self) -> int:
        """How many shots were left out because newer ones came."""
        ...

    @property
    def skipped(self) -> Mapping[str, int]:
        """How many pictures could not be used, by reason."""
        ...

    @property
    def trouble(self) -> str:
        """What went wrong last, or nothing."""
        ...

    def shots(self) -> Iterator[Shot]:
        """Yield shots until the source has ended or is closed."""
        ...

    def close(self) -> None:
        """Let the camera go; calling twice is safe."""
        ...


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How a source is read; 0 leaves a choice to the camera. In a source's text they follow a question mark.

    `exposure` is the driver's own number (0.1 ms on Linux), and makes it fixed. `paced` plays files in their own time,
    `loop` plays them for ever. `queue` shots at most wait for the line. A camera silent for `silence_s` is lost.
    """

    width: int = 0
    height: int = 0
    fps: int = 0
    exposure: int = 0
    paced: bool = False
    loop: bool = False
    queue: int = 4
    silence_s: float = 5.0
    most_pixels: int = 12_000_000


class Camera(Protocol):
    """An open live camera; only the thread that opened it touches it."""

    def read(self) -> Pixels:
        """Return the next picture. Raises SkippedError for one that cannot be used, CameraLostError when it is over."""
        ...

    def close(self) -> None:
        """Let it go."""
        ...


def checked(pixels: Pixels, size: tuple[int, ...] | None, settings: SourceSettings) -> tuple[int, ...]:
    """Return the size that the source keeps to. Raises SkippedError for a picture the line cannot use."""
    height, width = pixels.shape[:2]
    demand_size(width, height, settings.most_pixels)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise SkippedError("image_not_colour", "a picture without three colours")
    if size is not None and (height, width) != size:
        # The calibration is for one size: a camera that changes it must be told back, or calibrated again.
        raise SkippedError("size_changed", f"a picture of {width} x {height} where {size[1]} x {size[0]} came before")
    return height, width


def demand_size(width: int, height: int, most_pixels: int) -> None:
    """Raise SkippedError for a picture of a size that no line uses."""
    if height * width > most_pixels:
        raise SkippedError("image_too_large", f"a picture of {width} x {height}; at most {most_pixels} pixels")
    if min(height, width) < MIN_SIDE:
        raise SkippedError("image_too_small", f"a picture of {width} x {height}; at least {MIN_SIDE} on each side")


def belt_now(encoder: Encoder | None) -> int | None:
    """Return where the belt is, or None where nobody knows."""
    try:
        return None if encoder is None else encoder.belt_um()
    # The encoder's own state says what is wrong with it; a shot without a position is still a shot.
    except Exception:  # noqa: BLE001
        return None
