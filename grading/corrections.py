"""What people decided at the station, as a data set that `guoyuan train` reads.

Every photograph in which a person judged a fruit is written with the outlines of all its fruit, and of a belt's
fruit every view by itself; what a person called not a fruit has no outline, so the network learns it as ground.
Beside them `corrections.csv` tells tier and reason by fruit. Nothing says who decided or when, and the pictures are
written anew, without what a camera or a telephone notes in them (place, owner). What is to be seen in a picture
stays: look before you give it away.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from sqlmodel import Session, col, select

from grading.calibrate import Coin, Scale
from grading.camera import Pixels, decode, to_jpeg
from grading.errors import DatasetError, GradingError
from grading.grade import DOUBTFUL
from grading.line.views import Place, measured
from grading.look import look_at
from grading.models import Fruit, Photograph
from grading.profile import parse_profile
from grading.standard import parse_standard
from grading.station import find_batch, setup_of
from ledger.kernel.errors import OriginError
from ledger.kernel.files import FileStore

NOT_A_FRUIT: Final = "not-a-fruit"
COLUMNS: Final = (
    *("picture", "number", "left", "top", "right", "bottom"),
    *("kind", "camera_tier", "judged_tier", "reason", "score_permille"),
)
"""Of `corrections.csv`: a row per fruit; `kind` is empty for what a person called none."""
_LEAST_SIDE_PX: Final = 160
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
    """One photograph with everything on it, or one fruit of a belt; `source` names the frame or the record."""

    batch: str
    crop: str
    source: str
    cut: int
    is_of_belt: bool
    fruit: tuple[Correction, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and what was left out with the reason and how often. A belt's fruit has several pictures."""

    pictures: int
    fruit: int
    not_fruit: int
    left_out: tuple[tuple[str, int], ...]


def corrected(session: Session, batches: Sequence[str] = ()) -> list[Corrected]:
    """Return every photograph on which a person judged a fruit, and every judged fruit of a belt.

    Of all batches or of these. Raises UnknownBatchError.
    """
    for ref in batches:
        find_batch(session, ref)
    judged = select(Fruit).where(col(Fruit.judged_tier).is_not(None)).order_by(col(Fruit.id))
    if batches:
        judged = judged.where(col(Fruit.batch).in_(batches))
    crops: dict[str, str] = {}
    found: list[Corrected] = []
    photographs: set[int] = set()
    for fruit in session.exec(judged).all():
        crop = crops.setdefault(fruit.batch, find_batch(session, fruit.batch).crop)
        if fruit.photograph_id is None:
            found.append(Corrected(fruit.batch, crop, fruit.record, 0, is_of_belt=True, fruit=(_correction(fruit),)))
        elif fruit.photograph_id not in photographs:
            photographs.add(fruit.photograph_id)
            photograph = session.get_one(Photograph, fruit.photograph_id)
            shown = session.exec(select(Fruit).where(Fruit.photograph_id == photograph.id).order_by(col(Fruit.number)))
            everything = tuple(_correction(each) for each in shown)
            found.append(
                Corrected(
                    fruit.batch, crop, photograph.frame, photograph.cut, is_of_belt=False, fruit=everything
                )
            )  # fmt: skip
    return found


def export(session: Session, files: FileStore, out: Path, *, batches: Sequence[str] = ()) -> Exported:
    """Write what `corrected` returns to an empty folder, in the form that `dataset.read_folder` reads.

    Left out, and counted by reason: photographs with a fruit that still waits for a person, and what is no longer
    kept. Pictures of one batch count as of one fruit, so none of them is trained on while another is held out.
    Raises DatasetError where `out` is not empty or nothing is left to write, and UnknownBatchError.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(out, "is not empty")
    wanted = corrected(session, batches)
    kinds = ["coin", *sorted({each.crop for each in wanted})]
    left_out = Counter[str]()
    told: dict[tuple[str, int], bool] = {}
    rows: list[tuple[str | int, ...]] = []
    groups: list[tuple[str, str]] = []
    for each in wanted:
        if any(one.judged_tier == "" and one.camera_tier == DOUBTFUL for one in each.fruit):
            left_out["a fruit waits for a person"] += 1
            continue
        try:
            pictures = _of_belt(files, each) if each.is_of_belt else [_of_photograph(session, files, each)]
        except GradingError as error:
            left_out[f"the photograph cannot be used: {error}"] += 1
            continue
        except (OriginError, KeyError, TypeError, ValueError):
            left_out["the picture or its record is not kept whole"] += 1
            continue
        for picture in pictures:
            for folder in ("images", "labels"):
                (out / folder).mkdir(parents=True, exist_ok=True)
            name = f"{each.batch}-{len(groups) + 1:05d}"
            groups.append((f"{name}.jpg", each.batch))
            (out / "images" / f"{name}.jpg").write_bytes(to_jpeg(picture.pixels, quality=95))
            shown = [(kinds.index(each.crop), one.outline) for one in picture.fruit if one.is_fruit]
            shown += [(0, picture.coin)] if picture.coin is not None else []
            h, w = picture.pixels.shape[:2]
            (out / "labels" / f"{name}.txt").write_text("".join(_line(kind, at, w, h) for kind, at in shown), "utf-8")
            for one in picture.fruit:
                told[each.batch, one.number] = one.is_fruit
                said = (each.crop if one.is_fruit else "", one.camera_tier, one.judged_tier, one.reason)
                rows.append((f"{name}.jpg", one.number, *_box(one.outline), *said, one.score_permille))
    if not groups:
        raise DatasetError(out, "would hold nothing: no person has judged a fruit whose pictures are kept")
    (out / "data.yaml").write_text("names:\n" + "".join(f"  {i}: {name}\n" for i, name in enumerate(kinds)), "utf-8")
    _write(out / "groups.csv", ("image", "fruit_id"), groups)
    _write(out / "corrections.csv", COLUMNS, rows)
    fruit = sum(told.values())
    return Exported(len(groups), fruit, len(told) - fruit, tuple(sorted(left_out.items())))


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """What is written as one photograph: the fruit with their outlines in its pixels, and the coin's outline."""

    pixels: Pixels
    fruit: tuple[Correction, ...]
    coin: Corners | None = None


def _correction(fruit: Fruit) -> Correction:
    return Correction(
        number=fruit.number,
        outline=tuple((int(x), int(y)) for x, y in json.loads(fruit.outline)),
        camera_tier=fruit.camera_tier,
        judged_tier=fruit.judged_tier or "",
        reason=fruit.judged_reason or "",
        score_permille=fruit.score_permille,
    )


def _of_photograph(session: Session, files: FileStore, photo: Corrected) -> _Picture:
    """Return a photograph to learn from. Raises OriginError."""
    frame = decode(files.get(photo.source))
    setup = setup_of(session, files, photo.batch)
    if not photo.cut and not isinstance(setup.reference, Coin):
        return _Picture(frame.pixels, photo.fruit)
    # What the station's tables do not hold is looked for again: the coin, and fruit that the edge cuts.
    seen = look_at(frame, setup)
    pixels = frame.pixels.copy()
    kept = np.zeros(pixels.shape[:2], np.uint8)
    for each in photo.fruit:
        cv2.fillPoly(kept, [np.array(each.outline, np.int32)], (1,))
    for x, y, w, h in seen.cut_boxes:
        part = pixels[y : y + h, x : x + w]
        part[kept[y : y + h, x : x + w] == 0] = _COVER
    if not isinstance(setup.reference, Coin) or not isinstance(seen.scale, Scale):
        return _Picture(pixels, photo.fruit)
    return _Picture(pixels, photo.fruit, tuple((round(float(x)), round(float(y))) for x, y in seen.scale.outline))


def _of_belt(files: FileStore, fruit: Corrected) -> list[_Picture]:
    """Return a picture per view that can be measured, its outline found again. Raises OriginError, KeyError.

    A crop is filled by its fruit. It is set into ground of its own border's colour, as a frame would show it.
    """
    (said,) = fruit.fruit
    told = json.loads(files.get(fruit.source))
    profile = parse_profile(files.get(told["profile"]))
    standard = parse_standard(told["standard"]["id"], files.get(told["standard"]["file"]))
    pictures = []
    for view in told["views"]:
        crop = files.get(view["crop"])
        place = Place(tuple(view["box"]), tuple(view["middle"]), tuple(view["ground"]), tuple(told["frame"]))
        seen = measured(crop, place, profile, standard)
        pixels = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR)
        if seen is None or pixels is None:
            continue
        h, w = pixels.shape[:2]
        around = max(h, w, _LEAST_SIDE_PX) // 2
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        ground = [float(value) for value in np.median(border, axis=0)]
        wide = cv2.copyMakeBorder(pixels, around, around, around, around, cv2.BORDER_CONSTANT, value=ground)
        outline = tuple((int(x) + around, int(y) + around) for x, y in seen.outline.reshape(-1, 2))
        pictures.append(_Picture(np.asarray(wide, np.uint8), (replace(said, outline=outline),)))
    if not pictures:
        raise KeyError("views")
    return pictures


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
