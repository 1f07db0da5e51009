"""What people decided at the station, as a data set that `guoyuan train` reads.

Every photograph in which a person judged a fruit is written with the outlines of all its fruit; what a person
called not a fruit has none, so the network learns it as ground. Beside them `corrections.csv` tells tier and
reason by fruit. Nothing says who decided or when, and the pictures are written anew, without what a camera or
a telephone notes in them (place, owner). What is to be seen in a picture stays: look before you give it away.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from sqlmodel import Session, col, select

from grading.calibrate import Coin
from grading.camera import Pixels, decode, to_jpeg
from grading.errors import DatasetError, GradingError
from grading.grade import DOUBTFUL
from grading.look import Given, look_at
from grading.models import Batch, Fruit, Photograph
from grading.station import find_batch, setup_of
from ledger.kernel.errors import OriginError
from ledger.kernel.files import FileStore

NOT_A_FRUIT: Final = "not-a-fruit"
COLUMNS: Final = (
    *("picture", "number", "left", "top", "right", "bottom"),
    *("kind", "camera_tier", "judged_tier", "reason", "score_permille"),
)
"""Of `corrections.csv`: a row per fruit; `kind` is empty for what a person called none."""
_COVER: Final = (114, 114, 114)
"""Fruit at the edge have no outline: they are covered with what fills a network's border, or they would be ground."""

Corners = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Correction:
    """One fruit of an exported photograph: where, what the camera said, what a person said (empty: nobody)."""

    number: int
    outline: Corners
    camera_tier: str
    judged_tier: str
    reason: str
    score_permille: int

    @property
    def is_fruit(self) -> bool:
        """Whether it is one, by the last word on it."""
        return self.reason != NOT_A_FRUIT


@dataclass(frozen=True, slots=True)
class Corrected:
    """One photograph with everything on it."""

    batch: str
    crop: str
    frame: str
    cut: int
    fruit: tuple[Correction, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and what was left out with the reason and how often."""

    photographs: int
    fruit: int
    not_fruit: int
    left_out: tuple[tuple[str, int], ...]


def corrected(session: Session, batches: Sequence[str] = ()) -> list[Corrected]:
    """Return every photograph on which a person judged a fruit, of all batches or of these.

    Raises UnknownBatchError.
    """
    for ref in batches:
        find_batch(session, ref)
    judged = select(Fruit.photograph_id).where(col(Fruit.judged_tier).is_not(None))
    wanted = (
        select(Photograph, Batch.crop)
        .join(Batch, col(Batch.ref) == col(Photograph.batch))
        .where(col(Photograph.id).in_(judged))
        .order_by(col(Photograph.id))
    )
    if batches:
        wanted = wanted.where(col(Photograph.batch).in_(batches))
    found = []
    for photograph, crop in session.exec(wanted):
        fruit = session.exec(
            select(Fruit).where(Fruit.photograph_id == photograph.id).order_by(col(Fruit.number))
        ).all()
        found.append(
            Corrected(
                batch=photograph.batch,
                crop=crop,
                frame=photograph.frame,
                cut=photograph.cut,
                fruit=tuple(_correction(each) for each in fruit),
            )
        )
    return found


def export(session: Session, files: FileStore, out: Path, *, batches: Sequence[str] = ()) -> Exported:
    """Write what `corrected` returns to an empty folder, in the form that `dataset.read_folder` reads.

    Left out, and counted by reason: photographs with a fruit that still waits for a person, and those that are
    no longer kept. Photographs of one batch count as of one fruit, so none of them is trained on while another
    is held out. Raises DatasetError where `out` is not empty or nothing is left to write, and UnknownBatchError.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(out, "is not empty")
    left_out = Counter[str]()
    ready: list[tuple[Corrected, Pixels, Corners | None]] = []
    for photo in corrected(session, batches):
        if any(each.judged_tier == "" and each.camera_tier == DOUBTFUL for each in photo.fruit):
            left_out["a fruit waits for a person"] += 1
            continue
        try:
            ready.append((photo, *_picture(session, files, photo)))
        except OriginError as error:
            left_out[f"the photograph cannot be used: {error}" if isinstance(error, GradingError) else "not kept"] += 1
    if not ready:
        raise DatasetError(out, "would hold nothing: no person has judged a fruit on a photograph that is kept")
    kinds = ["coin", *sorted({photo.crop for photo, _, _ in ready})]
    for folder in ("images", "labels"):
        (out / folder).mkdir(parents=True)
    (out / "data.yaml").write_text("names:\n" + "".join(f"  {i}: {name}\n" for i, name in enumerate(kinds)), "utf-8")
    told = Counter[bool]()
    rows: list[tuple[str | int, ...]] = []
    groups: list[tuple[str, str]] = []
    for index, (photo, pixels, coin) in enumerate(ready, 1):
        name = f"{photo.batch}-{index:05d}"
        (out / "images" / f"{name}.jpg").write_bytes(to_jpeg(pixels, quality=95))
        shown = [(kinds.index(photo.crop), each.outline) for each in photo.fruit if each.is_fruit]
        shown += [(0, coin)] if coin is not None else []
        h, w = pixels.shape[:2]
        (out / "labels" / f"{name}.txt").write_text("".join(_line(kind, at, w, h) for kind, at in shown), "utf-8")
        groups.append((f"{name}.jpg", photo.batch))
        for each in photo.fruit:
            told[each.is_fruit] += 1
            kind = photo.crop if each.is_fruit else ""
            said = (kind, each.camera_tier, each.judged_tier, each.reason, each.score_permille)
            rows.append((f"{name}.jpg", each.number, *_box(each.outline), *said))
    _write(out / "groups.csv", ("image", "fruit_id"), groups)
    _write(out / "corrections.csv", COLUMNS, rows)
    return Exported(len(ready), told[True], told[False], tuple(sorted(left_out.items())))


def _correction(fruit: Fruit) -> Correction:
    return Correction(
        number=fruit.number,
        outline=tuple((int(x), int(y)) for x, y in json.loads(fruit.outline)),
        camera_tier=fruit.camera_tier,
        judged_tier=fruit.judged_tier or "",
        reason=fruit.judged_reason or "",
        score_permille=fruit.score_permille,
    )


def _picture(session: Session, files: FileStore, photo: Corrected) -> tuple[Pixels, Corners | None]:
    """Return the pixels to learn from, and the coin's outline where a coin lies there. Raises OriginError."""
    frame = decode(files.get(photo.frame))
    setup = setup_of(session, files, photo.batch)
    if not photo.cut and not isinstance(setup.reference, Coin):
        return frame.pixels, None
    # What the station's tables do not hold is looked for again: the coin, and fruit that the edge cuts.
    seen = look_at(frame, setup)
    pixels = frame.pixels.copy()
    kept = np.zeros(pixels.shape[:2], np.uint8)
    for each in photo.fruit:
        cv2.fillPoly(kept, [np.array(each.outline, np.int32)], (1,))
    for x, y, w, h in seen.cut_boxes:
        part = pixels[y : y + h, x : x + w]
        part[kept[y : y + h, x : x + w] == 0] = _COVER
    if not isinstance(setup.reference, Coin) or isinstance(seen.scale, Given):
        return pixels, None
    return pixels, tuple((round(float(x)), round(float(y))) for x, y in seen.scale.outline)


def _line(kind: int, outline: Corners, w: int, h: int) -> str:
    shares = [share for x, y in outline for share in (x / w, y / h)]
    return f"{kind} {' '.join(f'{min(1.0, max(0.0, share)):.5f}' for share in shares)}\n"


def _box(outline: Corners) -> tuple[int, int, int, int]:
    xs, ys = [x for x, _ in outline], [y for _, y in outline]
    return min(xs), min(ys), max(xs), max(ys)


def _write(file: Path, names: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    file.write_text(text.getvalue(), "utf-8")
