"""Live cameras: a thread that reads one into a short queue where the newest wins, USB devices, RTSP."""

import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Final

import cv2
import numpy as np

from grading.camera import Pixels
from grading.errors import CameraLostError, SkippedError
from grading.line.seeing import Camera, Encoder, Shot, SourceSettings, SourceState, belt_now, checked
from ledger.kernel.clock import Clock

_HANG_S: Final = 2.0
"""Beyond a camera's own time-outs: opening one may take as long as a silence."""


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
        self._stopping, self._heard_at = threading.Event(), time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """How it was named, without any password."""
        return self._name

    @property
    def state(self) -> SourceState:
        """How it does just now. A driver that hangs cannot say so: a silence longer than any of its own says it."""
        is_hung = time.monotonic() - self._heard_at > self._settings.silence_s + _HANG_S
        return SourceState.LOST if is_hung and self._state is not SourceState.ENDED else self._state

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
        if self._trouble or self.state is not SourceState.LOST:
            return self._trouble
        return f"the camera's driver has not answered for {time.monotonic() - self._heard_at:.0f} s"

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
        at_s, taken_at, belt_um = time.monotonic(), self._clock.now(), belt_now(self._encoder)
        self._heard_at = at_s
        self._size = checked(pixels, self._size, self._settings)
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
                self._state, self._trouble, self._heard_at = state, trouble, time.monotonic()


class _Capture:
    """A device or stream that OpenCV reads."""

    def __init__(self, capture: cv2.VideoCapture, what: str, unfit: Sequence[SkippedError] = ()) -> None:
        self._capture, self._what, self._unfit = capture, what, list(unfit)

    def read(self) -> Pixels:
        """Return the next picture. Raises CameraLostError where none comes any more."""
        if self._unfit:
            raise self._unfit.pop()
        is_there, pixels = self._capture.read()
        if not is_there or pixels is None:
            raise CameraLostError(f"{self._what} gives no more pictures")
        return np.asarray(pixels, dtype=np.uint8)

    def close(self) -> None:
        """Let it go."""
        self._capture.release()


_DEVICES: Final = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY


def usb(device: str, settings: SourceSettings) -> Camera:
    """Return a device by its number or path, set as the settings say.

    Raises CameraLostError where there is none, or where it does not make the pictures asked for. A driver that does not
    fix the exposure or the rate is named once among what is skipped.
    """
    _quiet()
    capture = cv2.VideoCapture(int(device) if device.isdecimal() else device, _DEVICES)
    if not capture.isOpened():
        raise CameraLostError(f"there is no camera at usb:{device}, or another program holds it")
    # Motion JPEG first: uncompressed pictures of a fast camera do not fit through USB 2.
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    for setting, wanted in ((cv2.CAP_PROP_FRAME_WIDTH, settings.width), (cv2.CAP_PROP_FRAME_HEIGHT, settings.height)):
        if wanted:
            capture.set(setting, wanted)
    made = tuple(round(capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if any(wanted not in {0, found} for wanted, found in zip((settings.width, settings.height), made, strict=True)):
        capture.release()
        raise CameraLostError(
            f"usb:{device} makes pictures of {made[0]} x {made[1]}, not of {settings.width} x {settings.height}"
        )
    unfit = []
    if settings.fps and not capture.set(cv2.CAP_PROP_FPS, settings.fps):
        unfit.append(SkippedError("rate_not_set", f"usb:{device} does not let its rate be set"))
    if settings.exposure:
        # 1 is V4L2_EXPOSURE_MANUAL.
        is_manual = capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, 1)
        if not (is_manual and capture.set(cv2.CAP_PROP_EXPOSURE, settings.exposure)):
            unfit.append(SkippedError("exposure_not_fixed", f"usb:{device} does not let its exposure be fixed"))
    return _Capture(capture, f"usb:{device}", unfit)


def rtsp(address: str, name: str, settings: SourceSettings) -> Camera:
    """Return a stream, asked for over TCP. Raises CameraLostError where it does not answer, or is too large."""
    _quiet()
    silence_ms = round(settings.silence_s * 1000)
    # OpenCV asks FFmpeg for RTSP over TCP unless OPENCV_FFMPEG_CAPTURE_OPTIONS says otherwise.
    capture = cv2.VideoCapture(
        address,
        cv2.CAP_FFMPEG,
        [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, silence_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, silence_ms],
    )
    if not capture.isOpened():
        raise CameraLostError(f"{name} does not answer with a stream")
    width, height = (int(capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > settings.most_pixels:
        capture.release()
        raise CameraLostError(f"the stream is {width} x {height}; at most {settings.most_pixels} pixels are read")
    _read_over_old(capture)
    return _Capture(capture, name)


def _read_over_old(capture: cv2.VideoCapture) -> None:
    """Throw away what came in while FFmpeg looked at the stream: it is old, and would seem to come all at once."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    soon_s = 0.5 / (fps if 1 <= fps <= 240 else 25)
    for _ in range(_MOST_OLD):
        began = time.monotonic()
        if not capture.grab() or time.monotonic() - began > soon_s:
            return


_MOST_OLD: Final = 240


@cache
def _quiet() -> None:
    """Keep OpenCV and FFmpeg from writing a line for every try: a camera that is off all night is asked often."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
