"""What lies on the scale: frames of bytes parsed strictly, and weighings joined to fruit by where they were.

Two families of frames are read, as makers' public manuals describe them: lines such as `ST,GS,+  0.345kg` (A&D and
many others, with or without the second header, a comma before the unit or spaces), and the twelve bytes of the
XK3190 family with their XOR. Whatever is neither is refused; a refused frame takes the last reading with it.
A scale with a serial port is reached through a serial server: this product opens no serial ports.
"""

import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

import msgspec

from grading.errors import ScaleFrameError
from grading.line.wires import State, Trouble, Weighing, WireState
from grading.standard import Text
from ledger.kernel.clock import Clock

STALE_S: Final = 1.0
SILENT_S: Final = 3.0
STILL_S: Final = 0.5
"""How long a scale that does not say whether it is stable must show the same weight."""
RETRY_S: Final = 0.2
MAX_RETRY_S: Final = 5.0
REMEMBERED: Final = 1000
"""Loads kept for whoever asks: nobody does where a scale weighs lots."""
_LONGEST_FRAME: Final = 40

Format = Literal["line", "xk3190"]


class Rest(StrEnum):
    """How a load lies."""

    STABLE = "stable"
    UNSTABLE = "unstable"
    OUT_OF_RANGE = "out_of_range"
    UNKNOWN = "unknown"
    """The scale does not say."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One frame: milligrams as shown, and how the load lies. Out of range there is no mass."""

    mass_mg: int
    rest: Rest


_LINE: Final = re.compile(
    rb"(?P<rest>ST|US|OL|UL|LO),(?:(?P<kind>GS|NT|TR)[, ])?"
    rb"(?P<sign>[+\- ])(?P<value>[ 0-9.\-]{1,9}?)[, ]? *(?P<unit>kg|g)"
)
_RESTS: Final = {b"ST": Rest.STABLE, b"US": Rest.UNSTABLE}
_PER_UNIT_MG: Final = {b"kg": 1_000_000, b"g": 1_000}


def parse_line(frame: bytes) -> Reading:
    """Return what a line says, its end cut off. Raises ScaleFrameError for anything else."""
    match = _LINE.fullmatch(frame.rstrip(b" "))
    if match is None:
        raise ScaleFrameError(frame, "is no line of a scale in kilograms or grams")
    if match["kind"] == b"TR":
        raise ScaleFrameError(frame, "tells the tare, not the weight")
    rest = _RESTS.get(match["rest"], Rest.OUT_OF_RANGE)
    if rest is Rest.OUT_OF_RANGE:
        return Reading(0, rest)
    value = match["value"].strip(b" ")
    if not re.fullmatch(rb"\d{1,7}(\.\d{1,6})?", value):
        raise ScaleFrameError(frame, "has no number where the weight belongs")
    whole, _, part = value.partition(b".")
    per_unit = _PER_UNIT_MG[match["unit"]]
    mass_mg, left = divmod(int(whole + part) * per_unit, 10 ** len(part))
    if left:
        raise ScaleFrameError(frame, "has more decimals than a milligram")
    return Reading(-mass_mg if match["sign"] == b"-" else mass_mg, rest)


def parse_xk3190(frame: bytes, unit_mg: int) -> Reading:
    """Return what twelve bytes say: 02, sign, six digits, decimals, XOR as two hex letters, 03.

    They name no unit and do not tell a still load from a moving one. Raises ScaleFrameError.
    """
    if len(frame) != 12 or frame[0] != 0x02 or frame[11] != 0x03:
        raise ScaleFrameError(frame, "is no frame of twelve bytes from 02 to 03")
    check = 0
    for byte in frame[1:9]:
        check ^= byte
    if frame[9:11] != b"%X%X" % (check >> 4, check & 0xF):
        raise ScaleFrameError(frame, "has a wrong checksum")
    sign, digits, decimals = frame[1:2], frame[2:8], frame[8:9]
    if sign not in {b"+", b"-"} or not digits.isdigit() or decimals not in {b"0", b"1", b"2", b"3", b"4"}:
        raise ScaleFrameError(frame, "has no number where the weight belongs")
    mass_mg, left = divmod(int(digits) * unit_mg, 10 ** int(decimals))
    if left:
        raise ScaleFrameError(frame, "has more decimals than a milligram")
    return Reading(-mass_mg if sign == b"-" else mass_mg, Rest.UNKNOWN)


class Cutter:
    """Cuts a stream of bytes into frames, however they arrive."""

    def __init__(self, kind: Format) -> None:
        self._kind: Format = kind
        self._held = b""

    def cut(self, data: bytes) -> list[bytes]:
        """Return the frames that are whole now; what grows without an end comes out as a frame nobody can parse."""
        self._held += data
        frames = self._lines() if self._kind == "line" else self._blocks()
        if len(self._held) > _LONGEST_FRAME:
            frames.append(self._held)
            self._held = b""
        return frames

    def _lines(self) -> list[bytes]:
        *whole, self._held = re.split(rb"[\r\n]+", self._held)
        return [line for line in whole if line]

    def _blocks(self) -> list[bytes]:
        frames: list[bytes] = []
        while (end := self._held.find(b"\x03")) >= 0:
            start = self._held.rfind(b"\x02", 0, end)
            frames.append(self._held[max(start, 0) : end + 1])
            self._held = self._held[end + 1 :]
        return frames


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mass_g: float
    stable: bool


def parse_payload(payload: bytes) -> Reading:
    """Return what `{"mass_g": 345, "stable": true}` says. Raises ScaleFrameError."""
    try:
        said = msgspec.json.decode(payload, type=_Payload)
    except (msgspec.DecodeError, ValueError) as error:
        raise ScaleFrameError(payload, f"is no weight: {error}") from error
    if not abs(said.mass_g) < 1e6:
        raise ScaleFrameError(payload, "is no weight of fruit")
    return Reading(round(said.mass_g * 1000), Rest.STABLE if said.stable else Rest.UNSTABLE)


class FedScale:
    """A scale whose readings somebody feeds. A load is weighed once: it must leave before the next one counts."""

    def __init__(
        self,
        detail: str,
        clock: Clock,
        *,
        least_g: int,
        where: Callable[[], int | None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._detail, self._clock, self._least_mg = detail, clock, least_g * 1000
        self._where, self._monotonic = where, monotonic
        self._lock = threading.Lock()
        self._last: Reading | None = None
        self._seen_s = self._heard_s = float("-inf")
        self._same_since_s = float("-inf")
        self._refused = ""
        self._failure = ""
        self._is_armed = False
        self._weighings: deque[Weighing] = deque(maxlen=REMEMBERED)
        self._closers: list[Callable[[], None]] = []

    def seen(self, reading: Reading) -> None:
        """Take one reading."""
        now_s = self._monotonic()
        with self._lock:
            if self._last is None or self._last.mass_mg != reading.mass_mg or now_s - self._seen_s > STALE_S:
                self._same_since_s = now_s
            self._last, self._seen_s, self._heard_s = reading, now_s, now_s
            self._refused = self._failure = ""
            if reading.rest is not Rest.OUT_OF_RANGE and reading.mass_mg < self._least_mg:
                self._is_armed = True
            elif self._is_armed and self._is_stable(now_s):
                self._is_armed = False
                self._weighings.append(Weighing(whole_grams(reading.mass_mg), self._clock.now(), self._where()))

    def refused(self, error: ScaleFrameError) -> None:
        """Note bytes that are no weight: then nobody knows what lies there."""
        with self._lock:
            self._last, self._refused, self._heard_s = None, str(error), self._monotonic()

    def failed(self, why: str) -> None:
        """Note why nothing can be read just now."""
        with self._lock:
            self._last, self._failure = None, why

    def stable_g(self) -> int | None:
        """Return the mass at rest, rounded half up; None in every other case."""
        with self._lock:
            now_s = self._monotonic()
            if self._last is None or now_s - self._seen_s > STALE_S or not self._is_stable(now_s):
                return None
            return whole_grams(self._last.mass_mg)

    def weighings(self) -> list[Weighing]:
        """Return the loads that came to rest since the last call."""
        with self._lock:
            weighings = list(self._weighings)
            self._weighings.clear()
            return weighings

    @property
    def state(self) -> WireState:
        """Lost while it is silent; with a trouble where it is overloaded or sends what nobody can read."""
        with self._lock:
            if self._monotonic() - self._heard_s > SILENT_S or self._failure:
                return WireState("scale", State.LOST, self._failure or self._detail, _LOST)
            if self._refused:
                return WireState("scale", State.READY, self._refused, _NOISE)
            is_over = self._last is not None and self._last.rest is Rest.OUT_OF_RANGE
            return WireState("scale", State.READY, self._detail, _OUT_OF_RANGE if is_over else None)

    def closing(self, closer: Callable[[], None]) -> None:
        """Have something done at the end: whatever feeds this scale stops."""
        self._closers.append(closer)

    def close(self) -> None:
        """Stop what feeds this scale."""
        while self._closers:
            self._closers.pop()()

    def _is_stable(self, now_s: float) -> bool:
        if self._last is None:
            return False
        if self._last.rest is Rest.UNKNOWN:
            return now_s - self._same_since_s >= STILL_S
        return self._last.rest is Rest.STABLE


class TcpFrames:
    """Follows a scale, or a serial server before one, that sends without being asked."""

    def __init__(self, host: str, port: int, kind: Format, unit_mg: int, scale: FedScale) -> None:
        self._host, self._port, self._kind, self._unit_mg, self._scale = host, port, kind, unit_mg, scale
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="scale", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up."""
        self._closing.set()
        self._thread.join(timeout=SILENT_S * 2)

    def _work(self) -> None:
        delay_s = RETRY_S
        while not self._closing.is_set():
            try:
                with socket.create_connection((self._host, self._port), timeout=SILENT_S) as connection:
                    connection.settimeout(0.2)
                    self._follow(connection)
                    delay_s = RETRY_S
            except OSError as error:
                self._scale.failed(f"tcp://{self._host}:{self._port}: {error}")
            self._closing.wait(delay_s)
            delay_s = min(delay_s * 2, MAX_RETRY_S)

    def _follow(self, connection: socket.socket) -> None:
        # What comes first began before we listened: a cut frame is refused, and that is no trouble yet.
        cutter, heard_s, is_first = Cutter(self._kind), time.monotonic(), True
        while not self._closing.is_set():
            try:
                data = connection.recv(4096)
            except TimeoutError:
                if time.monotonic() - heard_s > SILENT_S:
                    raise OSError("is silent") from None
                continue
            if not data:
                raise OSError("hung up")
            heard_s = time.monotonic()
            for frame in cutter.cut(data):
                try:
                    reading = parse_line(frame) if self._kind == "line" else parse_xk3190(frame, self._unit_mg)
                except ScaleFrameError as error:
                    if not is_first:
                        self._scale.refused(error)
                else:
                    self._scale.seen(reading)
                is_first = False


@dataclass(frozen=True, slots=True)
class Joined:
    """Weighings and the fruit they are of; what could be two things is neither."""

    mass_g: Mapping[int, int]
    ambiguous: tuple[int, ...] = ()
    """Fruit that could have lain there together with another, or at two weighings."""
    unweighed: tuple[int, ...] = ()
    strangers: tuple[Weighing, ...] = field(default=())
    """Weighings where no fruit was."""


def joined(fruit: Mapping[int, int], weighings: Sequence[Weighing], *, distance_um: int, tolerance_um: int) -> Joined:
    """Return which weighing is of which fruit. Pure.

    `fruit` gives where the belt was when each left the picture; the scale stands `distance_um` behind it. A
    weighing and a fruit belong together only when each is the other's only one within the tolerance.
    """
    near = [
        [number for number, seen_um in fruit.items() if _is_near(seen_um + distance_um, weighing, tolerance_um)]
        for weighing in weighings
    ]
    times = {number: sum(number in each for each in near) for number in fruit}
    mass_g = {
        each[0]: weighing.mass_g
        for each, weighing in zip(near, weighings, strict=True)
        if len(each) == 1 and times[each[0]] == 1
    }
    return Joined(
        mass_g,
        tuple(number for number in fruit if times[number] and number not in mass_g),
        tuple(number for number in fruit if not times[number]),
        tuple(weighing for each, weighing in zip(near, weighings, strict=True) if not each),
    )


def _is_near(place_um: int, weighing: Weighing, tolerance_um: int) -> bool:
    return weighing.belt_um is not None and abs(weighing.belt_um - place_um) <= tolerance_um


def whole_grams(mass_mg: int) -> int:
    """Return milligrams as whole grams, half away from zero."""
    grams = (abs(mass_mg) + 500) // 1000
    return -grams if mass_mg < 0 else grams


_LOST: Final = Trouble("scale_lost", Text("读不到秤", "the scale cannot be read"))
_NOISE: Final = Trouble("scale_noise", Text("秤发来的数据看不懂", "what the scale sends cannot be read"))
_OUT_OF_RANGE: Final = Trouble("scale_out_of_range", Text("秤超出量程", "the scale is out of its range"))
