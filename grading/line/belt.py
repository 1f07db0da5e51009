"""One line from its camera's frames to graded fruit: coarse finding, tracks, views, fusion, verdict.

`Line` is used from one thread, touches no file, network or clock, and keeps nothing but what is in the
picture. The same frames in the same order give the same fruit with the same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from grading.camera import Pixels
from grading.grade import Verdict
from grading.learned import LearnedDetector
from grading.line.doubts import Doubt
from grading.line.track import Direction
from grading.measure import Measures
from grading.standard import Standard, Tariff, Text

Box = tuple[int, int, int, int]
"""Left, top, width, height in pixels."""


class Picture(Protocol):
    """What a line needs of one frame; `grading.line.sources.Shot` and rendered frames are that."""

    @property
    def pixels(self) -> Pixels:
        """Blue green red."""
        ...

    @property
    def number(self) -> int:
        """Counts on with every frame the camera makes, dropped ones included."""
        ...

    @property
    def at_s(self) -> float:
        """Monotonic seconds."""
        ...

    @property
    def belt_um(self) -> int | None:
        """The encoder's position in micrometres, where there is one."""
        ...


class Profile(Protocol):
    """What a line needs of `grading.profile.CameraProfile`."""

    @property
    def nm_per_px(self) -> int:
        """Nanometres per pixel on the belt, in corrected pictures."""
        ...

    @property
    def camera_height_um(self) -> int | None:
        """The camera's height above the belt; None where it is not known."""
        ...

    @property
    def data(self) -> bytes:
        """Canonical bytes: their hash is the profile a record names."""
        ...

    def corrected(self, pixels: Pixels) -> Pixels:
        """Return a frame without the lens's and the light's errors."""
        ...


@dataclass(frozen=True, slots=True)
class LineSetup:
    """What a line grades by. `learned` is the network that checks the colour detector; None leaves that out."""

    standard: Standard
    tariff: Tariff
    profile: Profile
    learned: LearnedDetector | None = None
    brix_tenths: int | None = None
    """A meter's reading of the lot in tenths of a degree, where somebody took one."""
    direction: Direction = Direction.RIGHT
    """Where fruit move in the picture."""
    views: int = 5
    """How many views are taken of a fruit that passes undisturbed."""
    least_views: int = 4
    """With fewer, the fruit is doubtful."""
    network_every: int = 8
    """The network looks at every so many frames, sooner where a fruit would pass unseen by it."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One fruit in one frame, measured in its own small JPEG picture and nowhere else."""

    crop: bytes
    box: Box
    """Where in the corrected frame the crop was cut."""
    shot: int
    at_s: float
    belt_um: int | None
    middle: tuple[int, int]
    """A point of the fruit, in the crop's pixels."""
    ground: tuple[int, int, int]
    """The belt's colour there: Lab as 8 bits each."""
    measures: Measures | None
    """None where the crop shows no outline to measure."""
    doubts: tuple[Doubt, ...]
    """What is wrong with this view alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """One fruit that passed the camera, counted once. With any doubt its verdict is `doubtful`.

    `at_s` and `belt_um` are when, and at what reading of the encoder, its middle crosses the exit edge of
    the picture; they may lie a frame or two ahead. `measures` is None where no view could be measured.
    """

    number: int
    views: tuple[View, ...]
    measures: Measures | None
    verdict: Verdict
    score_permille: int
    belt_um: int | None
    at_s: float
    reasons: tuple[Doubt, ...] = ()
    noted: tuple[Doubt, ...] = field(default=())
    """Those of the reasons that its way along the belt gave, not its pictures."""

    @property
    def doubts(self) -> tuple[Text, ...]:
        """Why a person must look, in both languages; empty where nothing but the numbers decides."""
        return tuple(reason.text for reason in self.reasons)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One fruit for the live picture. `number` and `tier` are None until known."""

    box: Box
    outline: tuple[tuple[int, int], ...]
    number: int | None
    tier: str | None


class Line:
    """A belt under a camera. `first` is the number of its first fruit."""

    def __init__(self, setup: LineSetup, *, first: int = 1) -> None:
        self.setup = setup
        self._next = first

    def feed(self, shot: Picture) -> list[Passed]:
        """Return the fruit that this frame shows to have passed, in the order they pass."""
        raise NotImplementedError

    def flush(self) -> list[Passed]:
        """Return what is still under the camera, as if the belt had stopped for good; then the line is empty."""
        raise NotImplementedError

    def overlay(self) -> Sequence[Drawn]:
        """Return what the last frame showed."""
        raise NotImplementedError
