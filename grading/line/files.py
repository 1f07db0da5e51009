"""Recordings: video files and folders of pictures, every picture of them, in their own time."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from grading.camera import MAX_BYTES, Pixels, decode
from grading.errors import CannotGradeError, SkippedError, SourceError
from grading.line.seeing import Encoder, Shot, SourceSettings, SourceState, belt_now, checked
from ledger.kernel.clock import Clock

PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})

Stamped = tuple[float, Pixels | CannotGradeError]
"""Seconds since the start, and the picture or why it is none."""


class PlayedSource:
    """What every recording says of itself, a drawn one too: none of its shots is ever left out."""

    dropped: Final = 0

    def __init__(self, name: str) -> None:
        self._name, self._state, self._trouble = name, SourceState.WAITING, ""
        self._skipped, self._closed = Counter[str](), threading.Event()

    @property
    def name(self) -> str:
        """How it was named."""
        return self._name

    @property
    def state(self) -> SourceState:
        """How it does just now."""
        return self._state

    @property
    def skipped(self) -> Mapping[str, int]:
        """How many pictures could not be used, by reason."""
        return dict(self._skipped)

    @property
    def trouble(self) -> str:
        """What went wrong last, or nothing."""
        return self._trouble

    def close(self) -> None:
        """Stop; calling twice is safe."""
        self._closed.set()
        self._state = SourceState.ENDED


class FileSource(PlayedSource):
    """A recording: every picture of it, at the reader's pace or its own. `at_s` is the recording's time from 0."""

    def __init__(
        self,
        name: str,
        played: Callable[[], Iterator[Stamped]],
        settings: SourceSettings,
        encoder: Encoder | None,
        clock: Clock,
    ) -> None:
        super().__init__(name)
        self._played, self._settings = played, settings
        self._encoder, self._clock = encoder, clock

    def shots(self) -> Iterator[Shot]:
        """Yield the recording's shots; once."""
        began, began_at = time.monotonic(), self._clock.now()
        number, size, base_s, at_s = 0, None, 0.0, 0.0
        while not self._closed.is_set():
            is_of_use = False
            for stamp_s, picture in self._pass():
                at_s = base_s + stamp_s
                number += 1
                if self._settings.paced and self._closed.wait(max(0.0, began + at_s - time.monotonic())):
                    break
                if self._closed.is_set():
                    break
                try:
                    pixels = _whole(picture)
                    size = checked(pixels, size, self._settings)
                except SkippedError as error:
                    self._skipped[error.kind] += 1
                    self._trouble = str(error)
                    continue
                self._state, is_of_use = SourceState.RUNNING, True
                taken_at = began_at + timedelta(seconds=at_s)
                yield Shot(pixels, number - 1, at_s, taken_at, belt_now(self._encoder))
            # A recording without one usable picture would be played for ever, and give nothing.
            if not self._settings.loop or not is_of_use:
                break
            base_s = at_s + 1 / (self._settings.fps or 30)
        self._state = SourceState.ENDED

    def _pass(self) -> Iterator[Stamped]:
        """Play the recording once; one that is gone by now, or breaks its reader, ends it with the reason."""
        try:
            yield from self._played()
        except (SourceError, OSError, cv2.error) as error:
            self._trouble = str(error)


def video(path: Path, settings: SourceSettings) -> Callable[[], Iterator[Stamped]]:
    """Return what plays a video file. Raises SourceError for a file that is not there, is none, or is too large."""

    def opened() -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise SourceError(str(path), "is no video that can be read")
        width, height = (int(capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > settings.most_pixels:
            capture.release()
            raise SourceError(str(path), f"is {width} x {height}; at most {settings.most_pixels} pixels are read")
        return capture

    def played() -> Iterator[Stamped]:
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


def folder(path: Path, settings: SourceSettings) -> Callable[[], Iterator[Stamped]]:
    """Return what plays a folder's pictures by name. Raises SourceError for one that is not there or holds none."""
    if not path.is_dir():
        raise SourceError(str(path), "is no folder")
    if not _pictures(path):
        raise SourceError(str(path), f"holds no pictures ({', '.join(sorted(PICTURES))})")

    def played() -> Iterator[Stamped]:
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


def _whole(picture: Pixels | CannotGradeError) -> Pixels:
    if isinstance(picture, CannotGradeError):
        raise SkippedError(picture.code, str(picture)) from picture
    return picture
