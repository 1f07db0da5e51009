"""The live picture that people at the belt look at: the camera's own, with every fruit outlined and its tier."""

from collections.abc import Sequence
from typing import Final

import cv2

from grading.camera import Pixels, to_jpeg
from grading.grade import DOUBTFUL
from grading.line.belt import Drawn
from grading.standard import CULL

_COLOURS: Final = {
    "A": (90, 200, 60),
    "B": (210, 190, 40),
    "C": (60, 170, 235),
    DOUBTFUL: (60, 220, 250),
    CULL: (70, 70, 235),
}
"""Blue green red; a tier that is not here, or not yet known, is drawn in white."""
_WHITE: Final = (245, 245, 245)
_SHADE: Final = (25, 25, 25)
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX


def annotated(pixels: Pixels, drawn: Sequence[Drawn], *, is_sample: bool = False) -> bytes:
    """Return the picture as JPEG, the fruit outlined; with SAMPLE across it where the belt was drawn, not seen."""
    canvas = pixels.copy()
    for fruit in drawn:
        colour = _COLOURS.get(fruit.tier or "", _WHITE)
        if len(fruit.outline) > 2:
            cv2.polylines(canvas, [fruit.outline.reshape(-1, 1, 2)], True, colour, 2, cv2.LINE_AA)
        else:
            x, y, w, h = fruit.box
            cv2.rectangle(canvas, (x, y), (x + w, y + h), colour, 1, cv2.LINE_AA)
        if fruit.number is not None:
            tier = {None: "", DOUBTFUL: "?", CULL: "x"}.get(fruit.tier, fruit.tier)
            _write(canvas, f"{fruit.number} {tier}".strip(), (fruit.box[0], max(12, fruit.box[1] - 4)), 0.45)
    if is_sample:
        scale = canvas.shape[1] / 640
        _write(canvas, "SAMPLE", (round(12 * scale), canvas.shape[0] - round(14 * scale)), 1.4 * scale, thickness=3)
    return to_jpeg(canvas)


def _write(canvas: Pixels, text: str, at: tuple[int, int], scale: float, *, thickness: int = 1) -> None:
    cv2.putText(canvas, text, at, _FONT, scale, _SHADE, thickness + 2, cv2.LINE_AA)
    cv2.putText(canvas, text, at, _FONT, scale, _WHITE, thickness, cv2.LINE_AA)
