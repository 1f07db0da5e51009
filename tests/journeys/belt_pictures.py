"""Draws the rendered belts that grading/README.md shows: python -m tests.journeys.belt_pictures docs/pictures

They are drawn, not photographed. Drawing them again changes nothing unless the renderer or the measures do.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from grading.camera import Pixels, to_lab
from grading.detect import ClassicalDetector
from grading.measure import Solid, marks, measure
from grading.rendering import TROUBLES, Belt, Light, Rendered

CALM = Light(noise=0, blur_px=0.7)
INK, PAPER, MARKED = (40, 40, 40), (250, 250, 250), (255, 0, 255)


def main(folder: Path) -> None:
    """Write the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder / "belt-measured.png", _measured(Belt(seed=1, light=CALM), 44), colours=128)
    _save(folder / "belt-turning.png", _turning(Belt(seed=1, light=CALM), range(34, 48), wanted=8), colours=128)
    kinds = Belt(seed=2, kind="orange,apple,tomato,lemon", light=CALM).frame(46).pixels
    trouble = Belt(seed=3, kind="lemon,mango", troubles=TROUBLES, light=CALM).frame(115).pixels
    both = np.concatenate([kinds, np.full((kinds.shape[0], 8, 3), 255, np.uint8), trouble], axis=1)
    _save(
        folder / "belt-kinds.png", cv2.resize(both, None, fx=0.62, fy=0.62, interpolation=cv2.INTER_AREA), colours=144
    )


def _measured(belt: Belt, number: int) -> Pixels:
    """Return a frame with what is measured on it: outline, diameter beside the true one, marks."""
    shot = belt.frame(number)
    picture, profile = shot.pixels.copy(), belt.profile()
    for found in ClassicalDetector().detect(shot.pixels):
        if found.is_cut:
            continue
        x, y, w, h = found.box
        lab = to_lab(np.ascontiguousarray(shot.pixels[y : y + h, x : x + w]))
        told = measure(
            lab,
            found.mask,
            mm_per_px=profile.nm_per_px / 1e6,
            solid=Solid(880, 1020),
            camera_height_mm=profile.camera_height_um / 1000,
        )
        cv2.polylines(picture, [found.outline], True, PAPER, 1, cv2.LINE_AA)
        edges, _ = cv2.findContours(
            marks(lab, found.mask).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x, y)
        )
        cv2.drawContours(picture, edges, -1, MARKED, 1)
        true = _true(shot, x + w // 2, y + h // 2)
        _write(picture, f"{told.width_um / 1000:.1f} mm ({true})", x + w // 2, y + h + 13)
        if told.blemish_mm2:
            _write(picture, f"{told.blemish_mm2} mm2", x + w // 2, y + h + 26)
    return picture


def _true(shot: Rendered, x: int, y: int) -> str:
    owner = int(shot.owner[y, x]) - 1
    each = next((each for each in shot.truth if each.id == owner), None)
    return "-" if each is None else f"{each.thickness_mm:.1f} to {each.diameter_mm:.1f}"


def _turning(belt: Belt, numbers: range, *, wanted: int) -> Pixels:
    """Return one fruit with a mark, frame after frame while the rollers turn it."""
    seen: dict[int, list[tuple[Pixels, int]]] = {}
    for shot in map(belt.frame, numbers):
        for each in shot.truth:
            if each.is_whole and each.marks:
                x, y, w, h = each.box
                middle = (x + w // 2, y + h // 2)
                part = shot.pixels[middle[1] - 80 : middle[1] + 80, max(0, middle[0] - 60) : middle[0] + 60]
                if part.shape[:2] == (160, 120):
                    seen.setdefault(each.id, []).append((part, max(mark.visible_px for mark in each.marks)))
    best = max(
        (views for views in seen.values() if len(views) >= wanted),
        key=lambda views: np.ptp([px for _, px in views[:wanted]]),
    )
    return np.concatenate([part for part, _ in best[:wanted]], axis=1)


def _write(picture: Pixels, text: str, x: int, y: int) -> None:
    (w, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.36, 1)
    at = (min(max(2, x - w // 2), picture.shape[1] - w - 2), min(y, picture.shape[0] - 4))
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.36, INK, 3, cv2.LINE_AA)
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.36, PAPER, 1, cv2.LINE_AA)


def _save(path: Path, picture: Pixels, *, colours: int) -> None:
    image = Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1]))
    image.quantize(colours, kmeans=3, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
