"""Draws the tracked belt that grading/README.md shows: python -m tests.journeys.belt_tracked docs/pictures

It is drawn, not photographed. Below the frame: the views of one fruit, what each alone says, and what they say
together.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from grading.camera import Pixels
from grading.line.belt import Drawn, Line, LineSetup, Passed
from grading.profile import CameraProfile
from grading.rendering import Belt, Light
from grading.standard import load_tariff, standard_for

SHOWN = 26
WHITE, RED, GREEN = (255, 255, 255), (70, 70, 235), (110, 220, 110)


def main(folder: Path) -> None:
    """Write the picture."""
    belt = Belt(seed=6, fruit=40, touching=0.1, light=Light(noise=0, blur_px=0.7))
    told = belt.profile()
    profile = CameraProfile.plain(nm_per_px=told.nm_per_px, camera_height_um=told.camera_height_um)
    line, passed = Line(LineSetup(standard_for("mango"), load_tariff(), profile)), []
    frame: Pixels = np.zeros((1, 1, 3), np.uint8)
    for shot in belt.shots():
        passed += line.feed(shot)
        if shot.number == SHOWN:
            frame = shot.pixels.copy()
            for drawn in line.overlay():
                _outlined(frame, drawn)
    marked = [each for each in passed if not each.reasons and len(each.views) == 5 and each.measures is not None]
    fruit = max(marked, key=lambda each: 0 if each.measures is None else len(each.measures.marks))
    picture = Image.fromarray(np.vstack([frame, _sides(fruit)])[:, :, ::-1])
    picture.quantize(64, dither=Image.Dither.NONE).save(folder / "belt-tracked.png", optimize=True)


def _outlined(frame: Pixels, drawn: Drawn) -> None:
    colour = WHITE if drawn.tier is None else RED if drawn.tier == "doubtful" else GREEN
    cv2.polylines(frame, [drawn.outline], True, colour, 2, cv2.LINE_AA)
    if drawn.number is not None:
        x, y, w, h = drawn.box
        _write(frame, f"{drawn.number} {drawn.tier}", min(x + w // 2 - 20, frame.shape[1] - 74), y + h // 2)


def _sides(fruit: Passed) -> Pixels:
    strip = np.full((188, 640, 3), 38, np.uint8)
    for place, view in enumerate(fruit.views):
        crop = np.asarray(cv2.imdecode(np.frombuffer(view.crop, np.uint8), cv2.IMREAD_COLOR), np.uint8)
        left, top, width, height = view.box
        cv2.polylines(crop, [np.subtract(view.outline, (left, top), dtype=np.int32)], True, WHITE, 1, cv2.LINE_AA)
        scale = min(96 / width, 140 / height)
        small = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        strip[6 : 6 + small.shape[0], 6 + 100 * place : 6 + 100 * place + small.shape[1]] = small
        if view.measures is not None:
            _write(strip, f"{view.measures.mass_g} g", 10 + 100 * place, 160)
            _write(strip, f"{view.measures.blemish_mm2} mm2", 10 + 100 * place, 178)
    measures = fruit.measures
    if measures is not None:
        lines = (
            f"fruit {fruit.number}",
            f"{measures.equatorial_um / 1000:.1f} x {measures.length_um / 1000:.1f} mm",
            f"{measures.mass_g} g",
            f"({measures.mass_low_g} to {measures.mass_high_g})",
            f"marks {measures.blemish_mm2} mm2",
            f"tier {fruit.verdict.tier}",
        )
        for place, text in enumerate(lines):
            _write(strip, text, 512, 30 + 26 * place)
    return strip


def _write(picture: Pixels, text: str, x: int, y: int) -> None:
    for colour, thickness in (((20, 20, 20), 3), (WHITE, 1)):
        cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.43, colour, thickness, cv2.LINE_AA)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
