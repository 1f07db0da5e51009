"""Whether a JPEG's pixels tell of bits that changed on the way: its decoder does not.

A JPEG is one long chain of differences. One flipped bit shifts lightness or colour of every block after it, and
libjpeg says nothing nine times in ten. The shift starts in the middle of a row of blocks: to the right of there the
step lies on the row's upper edge, to the left on its lower edge. No real edge does that exactly on the grid.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_BLOCKS: Final = (16, 8)
"""Rows of blocks are 8 pixels high, or 16 where colour is kept at half the resolution."""
_LEAST_BLOCKS: Final = 12
_LEAST_STEP: Final = 6.0
_LEAST_SHARE: Final = 0.6
"""Share of a row's width that must step in one direction, upper and lower edge together."""
_MOST_ELSEWHERE: Final = 0.15
_COARSE: Final = 0.12
"""Where the median row of blocks steps along this share, the picture is stored so coarsely that no step tells."""
_EDGE: Final = 0.05
"""A step that starts this near to the picture's side may be the edge of a plank."""


def torn_row(pixels: NDArray[np.uint8]) -> int | None:
    """Return the row of pixels from which on everything is shifted, or None: upright as decoded, never turned."""
    for block in _BLOCKS:
        height, width = pixels.shape[:2]
        count = width // block
        if height < _LEAST_BLOCKS * block or count < _LEAST_BLOCKS:
            continue
        rows = np.arange(block, height - 2, block)
        before, last, first, after = (
            pixels[rows + at, : count * block].astype(np.int16).reshape(len(rows), count, block, 3)
            for at in (-2, -1, 0, 1)
        )
        # What changes there beyond what changes anyway just above and below.
        steps = np.median((first - last) - ((last - before) + (after - first)) / 2, axis=2)
        for channel in range(3):
            for sign in (1, -1):
                row = _shifted(steps[..., channel] * sign > _LEAST_STEP)
                if row is not None:
                    return int(rows[row])
    return None


def _shifted(steps: NDArray[np.bool_]) -> int | None:
    """Return the first row of blocks whose right part steps on its upper edge and whose left part on its lower."""
    shares = steps.mean(axis=1)
    if shares.max() < _LEAST_SHARE / 3 or np.median(shares) > _COARSE:
        return None
    count = steps.shape[1]
    upper, lower = steps, np.vstack([steps[1:], np.zeros((1, count), np.bool_)])
    none = np.zeros((len(steps), 1), np.int64)
    # For every start of the shift: blocks that step to its right and left, on the upper and the lower edge.
    upper_left = np.hstack([none, np.cumsum(upper, axis=1)])
    lower_left = np.hstack([none, np.cumsum(lower, axis=1)])
    upper_right = upper_left[:, -1:] - upper_left
    lower_right = lower_left[:, -1:] - lower_left
    start = np.arange(count + 1)
    is_shift = (
        ((upper_right + lower_left) / count > _LEAST_SHARE)
        & ((upper_left + lower_right) / count < _MOST_ELSEWHERE)
        & (upper_right > 0.5 * (count - start))
        & (lower_left > 0.5 * start)
        & (start > _EDGE * count)
        & (start < (1 - _EDGE) * count)
    )
    found = np.flatnonzero(is_shift.any(axis=1))
    return int(found[0]) if len(found) else None
