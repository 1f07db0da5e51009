"""Coarse blobs of each frame to tracks: every fruit followed from edge to edge and counted once. Pure numpy."""

from enum import StrEnum


class Direction(StrEnum):
    """Where fruit move in the picture."""

    RIGHT = "right"
    LEFT = "left"
    DOWN = "down"
    UP = "up"
