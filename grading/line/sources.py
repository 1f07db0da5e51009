"""Where shots come from: a USB camera, RTSP, MJPEG over HTTP, a video file, a folder of pictures.

A live camera is read by a thread of its own into a short queue where the newest wins: a line slower than its camera
leaves shots out and counts them, it never falls behind. A camera that goes away is `lost`, asked again after a growing
pause, and never an exception in the line. Files are read at the pace of whoever iterates, every picture of them.
What cannot be used (a broken picture, one of another size, one too large) is skipped and counted under its name.
"""

import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import cv2
import numpy as np

from grading.camera import MAX_BYTES, MIN_SIDE, Pixels, decode
from grading.errors import CameraLostError, CannotGradeError, SkippedError, SourceError
from grading.line.mjpeg import HttpCamera
from grading.line.seeing import Camera
from ledger.kernel.clock import Clock, SystemClock

PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})


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


def open_source(
    text: str,
    *,
    encoder: Encoder | None = None,
    settings: SourceSettings | None = None,
    clock: Clock | None = None,
) -> Source:
    """Return the source that a text names: `usb:0`, `rtsp://`, `http://` (MJPEG), `video:PATH`, `folder:PATH`, a path.

    Settings may follow: `usb:0?width=1280&height=720&fps=30&exposure=80`, `video:belt.mp4?loop=1&paced=1`; not after
    addresses, whose question mark is the camera's own. Raises SourceError for a text that names none, for a file that
    is not there or is no video, and for a folder without pictures. A live camera that does not answer is lost.
    """
    chosen, ticks = settings or SourceSettings(), clock or SystemClock()
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in {"rtsp", "rtsps", "http", "https"}:
        address = _address(text)
        if scheme.lower() in {"http", "https"}:
            return LiveSource(
                _without_password(text), lambda: HttpCamera(address, chosen.silence_s), chosen, encoder, ticks
            )
        return LiveSource(_without_password(text), lambda: _rtsp(address, chosen), chosen, encoder, ticks)
    if colon and scheme == "usb":
        device, chosen = _with_options(rest, chosen, is_path=False)
        return LiveSource(f"usb:{device}", lambda: _usb(device, chosen), chosen, encoder, ticks)
    if colon and scheme == "folder":
        path, chosen = _with_options(rest, chosen, is_path=True)
        return FileSource(f"folder:{path}", _folder(Path(path), chosen), chosen, encoder, ticks)
    is_named = bool(colon) and scheme == "video"
    path, chosen = _with_options(rest if is_named else text, chosen, is_path=True)
    if not is_named and not Path(path).is_file():
        raise SourceError(text, "is none of usb:N, rtsp://, http://, video:PATH, folder:PATH, and no file")
    return FileSource(f"video:{path}", _video(Path(path), chosen), chosen, encoder, ticks)


# --- live ------------------------------------------------------------------------------------------


class LiveSource:
    """A camera read by its own thread, newest first to be seen, asked again when it goes away."""

    _FIRST_PAUSE_S: Final = 0.25
    _LONGEST_PAUSE_S: Final = 8.0

    def __init__(
        self,
        name: str,
        opened: Callable[[], Camera],
        settings: SourceSettings,
        encoder: Encoder | None,
        clock: Clock,
    ) -> None:
        self._name, self._opened, self._settings = name, opened, settings
        self._encoder, self._clock = encoder, clock
        self._change = threading.Condition()
        self._waiting: deque[Shot] = deque(maxlen=max(1, settings.queue))
        self._state, self._trouble = SourceState.WAITING, ""
        self._dropped, self._skipped, self._number = 0, Counter[str](), 0
        self._size: tuple[int, ...] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """How it was named, without any password."""
        return self._name

    @property
    def state(self) -> SourceState:
        """How it does just now."""
        return self._state

    @property
    def dropped(self) -> int:
        """How many shots were left out because newer ones came."""
        return self._dropped

    @property
    def skipped(self) -> Mapping[str, int]:
        """How many pictures could not be used, by reason."""
        with self._change:
            return dict(self._skipped)

    @property
    def trouble(self) -> str:
        """What went wrong last, or nothing."""
        return self._trouble

    def shots(self) -> Iterator[Shot]:
        """Yield the newest shots, waiting for them, until the source is closed."""
        while True:
            with self._change:
                while not self._waiting and self._state is not SourceState.ENDED:
                    self._change.wait()
                if not self._waiting:
                    return
                shot = self._waiting.popleft()
            yield shot

    def close(self) -> None:
        """Stop reading and let the camera go; shots not yet taken are gone. Calling twice is safe."""
        self._stopping.set()
        with self._change:
            self._waiting.clear()
            self._state = SourceState.ENDED
            self._change.notify_all()
        # A camera that hangs is left to its own time-out: the thread ends by itself then.
        if threading.current_thread() is not self._thread:
            self._thread.join(self._settings.silence_s + 1)

    def _run(self) -> None:
        pause = self._FIRST_PAUSE_S
        while not self._stopping.is_set():
            before = self._number
            try:
                self._read_all()
            except CameraLostError as error:
                self._becomes(SourceState.LOST, str(error))
            # A driver fails by whatever exception it has; the line goes on, and says so.
            except Exception as error:  # noqa: BLE001
                self._becomes(SourceState.LOST, f"the camera's driver failed: {error}")
            pause = self._FIRST_PAUSE_S if self._number > before else min(2 * pause, self._LONGEST_PAUSE_S)
            self._stopping.wait(pause)

    def _read_all(self) -> None:
        camera = self._opened()
        try:
            good_at = time.monotonic()
            while not self._stopping.is_set():
                try:
                    self._take(camera.read())
                    good_at = time.monotonic()
                except SkippedError as error:
                    self._skip(error)
                if time.monotonic() - good_at > self._settings.silence_s:
                    raise CameraLostError(
                        f"no picture that can be used for {self._settings.silence_s:.0f} s: {self._trouble}"
                    )
        finally:
            camera.close()

    def _take(self, pixels: Pixels) -> None:
        at_s, taken_at, belt_um = time.monotonic(), self._clock.now(), _belt(self._encoder)
        self._size = _checked(pixels, self._size, self._settings)
        with self._change:
            if self._stopping.is_set():
                return
            self._dropped += len(self._waiting) == self._waiting.maxlen
            self._waiting.append(Shot(pixels, self._number, at_s, taken_at, belt_um))
            self._number += 1
            self._state = SourceState.RUNNING
            self._change.notify_all()

    def _skip(self, error: SkippedError) -> None:
        with self._change:
            self._skipped[error.kind] += 1
            self._trouble = str(error)

    def _becomes(self, state: SourceState, trouble: str) -> None:
        with self._change:
            if not self._stopping.is_set():
                self._state, self._trouble = state, trouble


class _Capture:
    """A device or stream that OpenCV reads."""

    def __init__(self, capture: cv2.VideoCapture, what: str) -> None:
        self._capture, self._what = capture, what

    def read(self) -> Pixels:
        """Return the next picture. Raises CameraLostError where none comes any more."""
        is_there, pixels = self._capture.read()
        if not is_there or pixels is None:
            raise CameraLostError(f"{self._what} gives no more pictures")
        return np.asarray(pixels, dtype=np.uint8)

    def close(self) -> None:
        """Let it go."""
        self._capture.release()


def _usb(device: str, settings: SourceSettings) -> Camera:
    capture = cv2.VideoCapture(int(device) if device.isdecimal() else device, cv2.CAP_ANY)
    if not capture.isOpened():
        raise CameraLostError(f"there is no camera at usb:{device}, or another program holds it")
    # Motion JPEG first: uncompressed pictures of a fast camera do not fit through USB 2.
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    for setting, wanted in (
        (cv2.CAP_PROP_FRAME_WIDTH, settings.width),
        (cv2.CAP_PROP_FRAME_HEIGHT, settings.height),
        (cv2.CAP_PROP_FPS, settings.fps),
    ):
        if wanted:
            capture.set(setting, wanted)
    if settings.exposure:
        # 1 is V4L2_EXPOSURE_MANUAL. A driver that cannot do it says no, and the light watch sees what comes of it.
        capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, 1)
        capture.set(cv2.CAP_PROP_EXPOSURE, settings.exposure)
    return _Capture(capture, f"usb:{device}")


def _rtsp(address: str, settings: SourceSettings) -> Camera:
    silence_ms = round(settings.silence_s * 1000)
    # OpenCV asks FFmpeg for RTSP over TCP unless OPENCV_FFMPEG_CAPTURE_OPTIONS says otherwise.
    capture = cv2.VideoCapture(
        address,
        cv2.CAP_FFMPEG,
        [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, silence_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, silence_ms],
    )
    if not capture.isOpened():
        raise CameraLostError(f"{_without_password(address)} does not answer with a stream")
    width, height = (int(capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > settings.most_pixels:
        capture.release()
        raise CameraLostError(f"the stream is {width} x {height}; at most {settings.most_pixels} pixels are read")
    return _Capture(capture, _without_password(address))


# --- files -----------------------------------------------------------------------------------------

_Stamped = tuple[float, Pixels | CannotGradeError]
"""Seconds since the start, and the picture or why it is none."""


class FileSource:
    """A recording: every picture of it, at the reader's pace or its own. `at_s` is the recording's time from 0."""

    def __init__(
        self,
        name: str,
        played: Callable[[], Iterator[_Stamped]],
        settings: SourceSettings,
        encoder: Encoder | None,
        clock: Clock,
    ) -> None:
        self._name, self._played, self._settings = name, played, settings
        self._encoder, self._clock = encoder, clock
        self._state, self._trouble, self._skipped = SourceState.WAITING, "", Counter[str]()
        self._closed = threading.Event()

    @property
    def name(self) -> str:
        """How it was named."""
        return self._name

    @property
    def state(self) -> SourceState:
        """How it does just now."""
        return self._state

    @property
    def dropped(self) -> int:
        """Nothing of a recording is ever left out."""
        return 0

    @property
    def skipped(self) -> Mapping[str, int]:
        """How many pictures could not be used, by reason."""
        return dict(self._skipped)

    @property
    def trouble(self) -> str:
        """What went wrong last, or nothing."""
        return self._trouble

    def shots(self) -> Iterator[Shot]:
        """Yield the recording's shots; once."""
        began, began_at = time.monotonic(), self._clock.now()
        number, size, base_s, at_s = 0, None, 0.0, 0.0
        while not self._closed.is_set():
            before = number
            for stamp_s, picture in self._played():
                at_s = base_s + stamp_s
                number += 1
                if self._settings.paced and self._closed.wait(max(0.0, began + at_s - time.monotonic())):
                    break
                if self._closed.is_set():
                    break
                try:
                    pixels = _whole(picture)
                    size = _checked(pixels, size, self._settings)
                except SkippedError as error:
                    self._skipped[error.kind] += 1
                    self._trouble = str(error)
                    continue
                self._state = SourceState.RUNNING
                taken_at = began_at + timedelta(seconds=at_s)
                yield Shot(pixels, number - 1, at_s, taken_at, _belt(self._encoder))
            if not self._settings.loop or number == before:
                break
            base_s = at_s + 1 / (self._settings.fps or 30)
        self._state = SourceState.ENDED

    def close(self) -> None:
        """Stop; calling twice is safe."""
        self._closed.set()
        self._state = SourceState.ENDED


def _video(path: Path, settings: SourceSettings) -> Callable[[], Iterator[_Stamped]]:
    def opened() -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise SourceError(str(path), "is no video that can be read")
        width, height = (int(capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > settings.most_pixels:
            capture.release()
            raise SourceError(str(path), f"is {width} x {height}; at most {settings.most_pixels} pixels are read")
        return capture

    def played() -> Iterator[_Stamped]:
        capture = opened()
        try:
            fps = capture.get(cv2.CAP_PROP_FPS)
            step_s = 1 / fps if 0.1 <= fps <= 1000 else 1 / (settings.fps or 30)
            first_s, last_s = None, -step_s
            while True:
                is_there, pixels = capture.read()
                if not is_there or pixels is None:
                    return
                stamp_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                first_s = stamp_s if first_s is None else first_s
                # Broken stamps stand still or jump back; time does not.
                last_s = stamp_s - first_s if stamp_s - first_s > last_s else last_s + step_s
                yield last_s, np.asarray(pixels, dtype=np.uint8)
        finally:
            capture.release()

    if not path.is_file():
        raise SourceError(str(path), "is not there")
    opened().release()
    return played


def _folder(path: Path, settings: SourceSettings) -> Callable[[], Iterator[_Stamped]]:
    if not path.is_dir():
        raise SourceError(str(path), "is no folder")
    if not _pictures(path):
        raise SourceError(str(path), f"holds no pictures ({', '.join(sorted(PICTURES))})")

    def played() -> Iterator[_Stamped]:
        for number, each in enumerate(_pictures(path)):
            at_s = number / (settings.fps or 30)
            try:
                if each.stat().st_size > MAX_BYTES:
                    yield at_s, CannotGradeError(f"{each.name} has more than {MAX_BYTES} bytes")
                    continue
                yield at_s, decode(each.read_bytes(), max_pixels=settings.most_pixels).pixels
            except OSError as error:
                yield at_s, CannotGradeError(f"{each.name} cannot be read: {error.strerror}")
            except CannotGradeError as error:
                yield at_s, error

    return played


def _pictures(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if each.suffix.lower() in PICTURES and each.is_file())


# --- what all share --------------------------------------------------------------------------------


def _checked(pixels: Pixels, size: tuple[int, ...] | None, settings: SourceSettings) -> tuple[int, ...]:
    """Return the size that the source keeps to. Raises SkippedError for a picture the line cannot use."""
    height, width = pixels.shape[:2]
    if height * width > settings.most_pixels:
        raise SkippedError("image_too_large", f"a picture of {width} x {height}; at most {settings.most_pixels} pixels")
    if min(height, width) < MIN_SIDE:
        raise SkippedError("image_too_small", f"a picture of {width} x {height}; at least {MIN_SIDE} on each side")
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise SkippedError("image_not_colour", "a picture without three colours")
    if size is not None and (height, width) != size:
        # The calibration is for one size: a camera that changes it must be told back, or calibrated again.
        raise SkippedError("size_changed", f"a picture of {width} x {height} where {size[1]} x {size[0]} came before")
    return height, width


def _whole(picture: Pixels | CannotGradeError) -> Pixels:
    if isinstance(picture, CannotGradeError):
        raise SkippedError(picture.code, str(picture)) from picture
    return picture


def _belt(encoder: Encoder | None) -> int | None:
    try:
        return None if encoder is None else encoder.belt_um()
    # The encoder's own state says what is wrong with it; a shot without a position is still a shot.
    except Exception:  # noqa: BLE001
        return None


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise SourceError(_without_password(text), f"is no address: {error}") from error
    if not is_whole or re.search(r"[\x00-\x20\x7f]", text):
        raise SourceError(_without_password(text), "is no address of a camera")
    return text


def _without_password(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        return text.rsplit("@", maxsplit=1)[-1]
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else text


_SWITCHES: Final = {"1": True, "true": True, "yes": True, "": True, "0": False, "false": False, "no": False}


def _with_options(text: str, settings: SourceSettings, *, is_path: bool) -> tuple[str, SourceSettings]:
    """Return the text before its last question mark and the settings behind it. Raises SourceError."""
    before, mark, query = text.rpartition("?")
    if not mark or (is_path and Path(text).exists()):
        return text, settings
    kinds = {each.name: type(getattr(settings, each.name)) for each in fields(settings)}
    found: dict[str, int | float | bool] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in kinds:
            raise SourceError(text, f"{name} is none of the settings {', '.join(kinds)}")
        if kinds[name] is bool:
            if value.lower() not in _SWITCHES:
                raise SourceError(text, f"{name} must be 0 or 1")
            found[name] = _SWITCHES[value.lower()]
            continue
        if not re.fullmatch(r"\d{1,8}(\.\d{1,3})?" if kinds[name] is float else r"\d{1,8}", value):
            raise SourceError(text, f"{name} must be a number")
        found[name] = kinds[name](value)
    return before, replace(settings, **found)  # type: ignore[arg-type]  # the kinds were just checked
