"""What every live camera is to its reading thread: opened, read until it is lost, closed."""

from typing import Protocol

from grading.camera import Pixels


class Camera(Protocol):
    """An open camera; only the thread that opened it touches it."""

    def read(self) -> Pixels:
        """Return the next picture. Raises SkippedError for one that cannot be used, CameraLostError when it is over."""
        ...

    def close(self) -> None:
        """Let it go."""
        ...
