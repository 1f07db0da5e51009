"""Training data from labelled photographs: split by fruit, outlines found in boxes, scenes put together.

A folder of photographs is what the YOLO tools know: `images/`, `labels/` (one text file per photograph;
a line is a class and a box, or a class and a polygon, in shares of width and height) and `data.yaml`
with the names. Where a label is only a box, the fruit's outline inside it is found by colour and then
stretched to the box, which a person drew.

Scenes multiply few photographs: fruit cut out of the training photographs, turned, scaled, lit anew and
laid on drawn grounds, alone and touching, with exact outlines. Nothing of a fruit that is held out is in them.
"""

import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.camera import Pixels, decode
from grading.errors import CannotGradeError, DatasetError

Outline = NDArray[np.float64]
"""Corner points (x, y), in pixels."""
Progress = Callable[[int, int], None]

LONGEST_PX: Final = 640
"""Photographs are kept at this size: more than the network sees, less than a disk minds."""
_PICTURES: Final = frozenset({".jpg", ".jpeg", ".png"})
_OUTLINE_POINTS: Final = 60
_LEAST_FIT: Final = 0.8
"""How well an outline's own box must fit the drawn one, else an ellipse stands in for it."""
_MOST_ALONG: Final = 0.5
"""A round thing touches its box in four places; what runs along it further has taken ground with it."""
_BENT_SOLIDITY: Final = 0.8
"""What fills less of its convex hull is bent: of 145 other fruit two were, of 87 bananas 47."""
_BENT_SHARE: Final = 0.8
"""Something that covers less of the middle of its box, and yet fits the box, is bent."""


@dataclass(frozen=True, slots=True)
class Label:
    """One thing in a photograph."""

    kind: str
    outline: Outline
    is_box: bool


@dataclass(frozen=True, slots=True)
class Photo:
    """A labelled photograph. `fruit` names the physical fruit: photographs of one never part."""

    path: Path
    fruit: str
    labels: tuple[tuple[int, tuple[float, ...]], ...]
    names: tuple[str, ...]

    def read(self) -> tuple[Pixels, list[Label]]:
        """Return pixels and labels in pixels. Raises DatasetError."""
        try:
            frame = decode(self.path.read_bytes())
        except OSError as error:
            raise DatasetError(self.path, f"cannot be read ({error.strerror})") from error
        except CannotGradeError as error:
            raise DatasetError(self.path, f"is no photograph to learn from: {error}") from error
        return frame.pixels, [
            _label(self.names[number], numbers, frame.width, frame.height) for number, numbers in self.labels
        ]


def read_folder(folder: Path) -> list[Photo]:
    """Return a folder's photographs, sorted by name. Raises DatasetError naming the file and line at fault.

    The fruit of a photograph is its row's `fruit_id` (or `lemon_id`, `tomato_group`) in a CSV beside the folders,
    else its file name without the last number.
    """
    names = _names(folder)
    fruit = _fruit_ids(folder)
    photos: list[Photo] = []
    try:
        paths = sorted(path for path in (folder / "images").iterdir() if path.suffix.lower() in _PICTURES)
    except OSError as error:
        raise DatasetError(folder, f"has no folder images/ ({error.strerror})") from error
    for path in paths:
        if photos and photos[-1].path.stem == path.stem:
            raise DatasetError(path, f"has the same name as {photos[-1].path.name}: one label cannot be for both")
        labels = tuple(_lines(folder / "labels" / f"{path.stem}.txt", len(names)))
        photos.append(Photo(path, fruit.get(path.name) or re.sub(r"[_-]?\d+$", "", path.stem), labels, names))
    if not photos:
        raise DatasetError(folder, "has no photographs in images/")
    return photos


def split(photos: Sequence[Photo], *, held_out_permille: int = 170, seed: int = 1) -> tuple[list[Photo], list[Photo]]:
    """Return training and held-out photographs: of each kind a share of its fruit, never of its photographs."""
    by_kind: dict[str, set[str]] = {}
    for photo in photos:
        kinds = [photo.names[number] for number, _ in photo.labels if photo.names[number] != "coin"]
        by_kind.setdefault(kinds[0] if kinds else "", set()).add(photo.fruit)
    rng = np.random.default_rng(seed)
    held: set[str] = set()
    for kind in sorted(by_kind):
        own = sorted(by_kind[kind])
        rng.shuffle(own)
        if len(own) >= 3:
            held |= set(own[: max(1, round(len(own) * held_out_permille / 1000))])
    return [p for p in photos if p.fruit not in held], [p for p in photos if p.fruit in held]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A data set on disk, ready for training."""

    yaml: Path
    classes: tuple[str, ...]
    training: int
    scenes: int
    held_out: int
    outlines_found_permille: int
    """Boxes whose outline was found by colour."""


def prepare(
    training: Sequence[Photo],
    held_out: Sequence[Photo],
    out: Path,
    *,
    scenes: int,
    seed: int = 1,
    rename: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Write photographs, outlines and scenes as a segmentation data set; the same input gives the same files.

    `rename` maps a source's class to ours; a class mapped to an empty name is left out. Raises DatasetError,
    also where `out` holds anything: what lay there before could be of a fruit that is held out now.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(out, "is not empty")
    shared = {photo.fruit for photo in training} & {photo.fruit for photo in held_out}
    if shared:
        raise DatasetError(out, f"would train on held-out fruit: {', '.join(sorted(shared))}")
    stems = [_stem(photo) for photo in (*training, *held_out)]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise DatasetError(out, f"would write {twice[0]} twice: two folders and photographs have the same names")
    rename = rename or {}
    kinds = {rename.get(name, name) for photo in (*training, *held_out) for name in photo.names} - {""}
    classes = tuple(sorted(kinds, key=lambda name: (name != "coin", name)))
    number = {name: index for index, name in enumerate(classes)}
    total, done, boxes, outlined = len(training) + len(held_out) + scenes, 0, 0, 0
    cuttings: list[Cutting] = []
    for part, photos in (("train", training), ("val", held_out)):
        for folder in ("images", "labels"):
            (out / folder / part).mkdir(parents=True, exist_ok=True)
        for photo in photos:
            pixels, labels = photo.read()
            things = []
            for label in labels:
                kind = rename.get(label.kind, label.kind)
                if not kind:
                    continue
                points, found = outline_in(pixels, label, is_round=kind == "coin")
                boxes, outlined = boxes + label.is_box, outlined + (label.is_box and found)
                things.append((number[kind], points))
                if part == "train" and (found or kind == "coin"):
                    cuttings.extend(cut_out(pixels, kind, points))
            _write(out, part, _stem(photo), pixels, things)
            done += 1
            if progress:
                progress(done, total)
    rng = np.random.default_rng(seed)
    if scenes and not any(cutting.kind != "coin" for cutting in cuttings):
        raise DatasetError(out, "can have no scenes: no outline was found on any training photograph")
    for index in range(scenes):
        pixels, laid = scene(rng, cuttings, LONGEST_PX)
        _write(out, "train", f"scene-{index:05d}", pixels, [(number[kind], points) for kind, points in laid])
        done += 1
        if progress:
            progress(done, total)
    yaml = out / "data.yaml"
    listed = "".join(f"  {index}: {name}\n" for index, name in enumerate(classes))
    yaml.write_text(f"train: images/train\nval: images/val\nnames:\n{listed}", "utf-8")
    return Prepared(yaml, classes, len(training), scenes, len(held_out), outlined * 1000 // max(1, boxes))


def outline_in(pixels: NDArray[np.uint8], label: Label, *, is_round: bool) -> tuple[Outline, bool]:
    """Return a label's outline, and whether it was drawn or found rather than assumed to be an ellipse."""
    if not label.is_box:
        return label.outline, True
    x0, y0, x1, y1 = _box(label.outline)
    if is_round:
        return _ellipse(x0, y0, x1, y1), True
    found = _found_in_box(pixels, (x0, y0, x1, y1))
    if found is None:
        return _ellipse(x0, y0, x1, y1), False
    a0, b0, a1, b1 = _box(found)
    # A person drew the box: it is the size, what was found is only the shape.
    return (found - [a0, b0]) / [max(1.0, a1 - a0), max(1.0, b1 - b0)] * [x1 - x0, y1 - y0] + [x0, y0], True


@dataclass(frozen=True, slots=True)
class Cutting:
    """A thing cut out of a photograph."""

    kind: str
    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    outline: Outline


def cut_out(pixels: NDArray[np.uint8], kind: str, points: Outline) -> Iterator[Cutting]:
    """Yield the thing inside an outline, unless the photograph's edge cuts it."""
    h, w = pixels.shape[:2]
    x0, y0 = np.floor(points.min(axis=0)).astype(int)
    x1, y1 = np.ceil(points.max(axis=0)).astype(int)
    if x0 <= 1 or y0 <= 1 or x1 >= w - 1 or y1 >= h - 1 or min(x1 - x0, y1 - y0) < 12:
        return
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(mask, [np.rint(points - [x0, y0]).astype(np.int32)], (255,))
    shrink = min(1.0, 400 / max(mask.shape))
    part = cv2.resize(pixels[y0:y1, x0:x1], None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    mask = np.asarray(cv2.resize(mask, part.shape[1::-1]), np.uint8)
    yield Cutting(kind, np.asarray(part, np.uint8), mask, (points - [x0, y0]) * shrink)


def scene(
    rng: np.random.Generator, cuttings: Sequence[Cutting], width: int
) -> tuple[NDArray[np.uint8], list[tuple[str, Outline]]]:
    """Return one scene: fruit of one kind or of many on a drawn ground, and what lies where."""
    height = int(rng.choice([width * 5 // 8, width * 3 // 4, width * 3 // 4, width]))
    picture = _ground(rng, height, width)
    owner = np.zeros((height, width), np.uint8)
    by_kind: dict[str, list[Cutting]] = {}
    for cutting in cuttings:
        by_kind.setdefault(cutting.kind, []).append(cutting)
    kinds = sorted(set(by_kind) - {"coin"})
    alike, scale = rng.random() < 0.5, rng.uniform(0.5, 1.5)
    first = kinds[int(rng.integers(len(kinds)))]
    wanted = [first if alike else kinds[int(rng.integers(len(kinds)))] for _ in range(int(rng.integers(1, 11)))]
    if "coin" in by_kind and rng.random() < 0.6:
        wanted.append("coin")
    areas = []
    for index, kind in enumerate(wanted, start=1):
        cutting = by_kind[kind][int(rng.integers(len(by_kind[kind])))]
        size = width * (rng.uniform(0.04, 0.094) if kind == "coin" else rng.uniform(0.094, 0.3) * scale)
        areas.append(_lay(picture, owner, cutting, rng, size=size, index=index))
    # What is laid later hides a little of what lies there: an outline is of what can be seen.
    laid = [
        (kind, points)
        for index, (kind, area) in enumerate(zip(wanted, areas, strict=True), start=1)
        if area and (points := _seen(owner == index, at_least=area // 2)) is not None
    ]
    picture *= np.asarray(rng.uniform(0.88, 1.12, 3), np.float32)
    picture += rng.standard_normal(picture.shape).astype(np.float32) * rng.uniform(1, 5)
    return np.asarray(np.clip(picture, 0, 255), np.uint8), laid


def _stem(photo: Photo) -> str:
    return f"{photo.path.parent.parent.name}-{photo.path.stem}"


# --- reading -------------------------------------------------------------------------------------


def _names(folder: Path) -> tuple[str, ...]:
    """The class names of data.yaml: the few lines of YAML these files are made of."""
    file = folder / "data.yaml"
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(file, f"cannot be read ({error})") from error
    below = text.partition("names:")[2]
    listed = re.match(r"\s*\[([^\]]*)\]", below)
    if listed:
        names = dict(enumerate(name.strip(" \t\n\"'") for name in listed[1].split(",")))
    else:
        numbered = re.findall(r"^\s+(\d+):\s*[\"']?([\w .-]+?)[\"']?\s*$", below, flags=re.MULTILINE)
        names = {int(index): name for index, name in numbered}
    if not names or "" in names.values() or sorted(names) != list(range(len(names))):
        raise DatasetError(file, "does not name the classes 0, 1, 2, ... below `names:`")
    if len(set(names.values())) != len(names):
        raise DatasetError(file, "names one class twice")
    return tuple(names[index] for index in range(len(names)))


def _fruit_ids(folder: Path) -> dict[str, str]:
    ids: dict[str, str] = {}
    for file in sorted(folder.glob("*.csv")):
        try:
            with file.open(newline="", encoding="utf-8-sig") as opened:
                for row in csv.DictReader(opened):
                    name = row.get("file") or row.get("image")
                    fruit = row.get("fruit_id") or row.get("lemon_id") or row.get("tomato_group")
                    if name and fruit:
                        ids[name.rpartition("/")[2]] = fruit
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DatasetError(file, f"cannot be read ({error})") from error
    return ids


def _lines(file: Path, classes: int) -> Iterator[tuple[int, tuple[float, ...]]]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(file, f"cannot be read ({error})") from error
    for index, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            first, *rest = line.split()
            number, numbers = int(first), tuple(float(value) for value in rest)
        except ValueError as error:
            raise DatasetError(file, f"line {index} is not a class and numbers") from error
        if not 0 <= number < classes:
            raise DatasetError(file, f"line {index} has class {number}; data.yaml names {classes}")
        if len(numbers) != 4 and (len(numbers) < 6 or len(numbers) % 2):
            raise DatasetError(file, f"line {index} is neither a box nor a polygon")
        if not all(-0.01 <= value <= 1.01 for value in numbers):
            raise DatasetError(file, f"line {index} reaches outside the picture")
        corners = np.array(numbers[2:] if len(numbers) == 4 else numbers).reshape(-1, 2)
        if min(corners[0] if len(numbers) == 4 else np.ptp(corners, axis=0)) <= 0:
            raise DatasetError(file, f"line {index} encloses nothing")
        yield number, numbers


def _label(kind: str, numbers: Sequence[float], w: int, h: int) -> Label:
    if len(numbers) == 4:
        cx, cy, bw, bh = numbers
        corners = [
            (cx - bw / 2, cy - bh / 2),
            (cx + bw / 2, cy - bh / 2),
            (cx + bw / 2, cy + bh / 2),
            (cx - bw / 2, cy + bh / 2),
        ]
        return Label(kind, np.array(corners) * [w, h], is_box=True)
    return Label(kind, np.array(numbers).reshape(-1, 2) * [w, h], is_box=False)


# --- outlines ------------------------------------------------------------------------------------


def _box(points: Outline) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _ellipse(x0: float, y0: float, x1: float, y1: float) -> Outline:
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.stack(
        [(x0 + x1) / 2 + (x1 - x0) / 2 * np.cos(turn), (y0 + y1) / 2 + (y1 - y0) / 2 * np.sin(turn)], axis=1
    )


def _found_in_box(pixels: NDArray[np.uint8], box: tuple[float, float, float, float]) -> Outline | None:
    """The outline of what stands out from its surroundings inside a box, or None where it does not fill the box."""
    h, w = pixels.shape[:2]
    x0, y0, x1, y1 = box
    margin = 0.35 * np.array([x1 - x0, y1 - y0])
    left, top = max(0, int(x0 - margin[0])), max(0, int(y0 - margin[1]))
    right, bottom = min(w, int(x1 + margin[0])), min(h, int(y1 + margin[1]))
    shrink = min(1.0, 160 / max(1.0, x1 - x0, y1 - y0))
    near = cv2.resize(pixels[top:bottom, left:right], None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    part = np.asarray(near, np.uint8)
    inner = np.rint((np.array(box) - [left, top, left, top]) * shrink).astype(int)
    if min(inner[2] - inner[0], inner[3] - inner[1]) < 8:
        return None
    bent = _own_colours(part, inner)
    points = None if bent is None else _corners(bent, shrink, (left, top))
    if points is not None and _solidity(points) < _BENT_SOLIDITY and _fits(points, box):
        return points
    seeds = np.zeros(part.shape[:2], np.uint8)
    seeds[max(0, inner[1]) : inner[3], max(0, inner[0]) : inner[2]] = cv2.GC_PR_FGD
    if not (seeds == cv2.GC_BGD).any():
        return None
    middle = np.zeros(part.shape[:2], np.uint8)
    radii = (int((inner[2] - inner[0]) * 0.27), int((inner[3] - inner[1]) * 0.27))
    centre = (int((inner[0] + inner[2]) / 2), int((inner[1] + inner[3]) / 2))
    cv2.ellipse(middle, centre, radii, 0, 0, 360, (1,), -1)
    free, sure = _grab_cut(part, seeds), _grab_cut(part, np.where(middle > 0, np.uint8(cv2.GC_FGD), seeds))
    fits = [
        (mask, points)
        for mask in (sure, free)
        if (points := _corners(mask, shrink, (left, top))) is not None and _fits(points, box)
    ]
    if not fits:
        return None
    # A round fruit is all there in the middle of its box, whatever shines there; a banana bends around it.
    bends = len(fits) == 2 and free[middle > 0].mean() < _BENT_SHARE
    return fits[-1 if bends else 0][1]


def _own_colours(part: Pixels, inner: NDArray[np.int_]) -> NDArray[np.uint8] | None:
    """Return where a box has colours that are twice as frequent in it as around it; None without anything around.

    A bent thing leaves much of its box to the ground, which GrabCut then takes for a part of it.
    """
    inside = np.zeros(part.shape[:2], np.bool_)
    inside[max(0, inner[1]) : inner[3], max(0, inner[0]) : inner[2]] = True
    if inside.all():
        return None
    lab = cv2.cvtColor(part, cv2.COLOR_BGR2LAB).astype(np.int64) // 4
    cells = lab[..., 1] * 64 + lab[..., 2]

    def share(of: NDArray[np.bool_]) -> NDArray[np.float32]:
        counted = np.bincount(cells[of], minlength=64 * 64).reshape(64, 64).astype(np.float32)
        smooth = np.asarray(cv2.GaussianBlur(counted, (0, 0), 1.0), np.float32)
        return smooth / max(1.0, float(smooth.sum()))

    more = (share(inside) > 2 * (share(~inside) + 2e-4)).reshape(-1)
    own = (more[cells] & inside).astype(np.uint8)
    closed = cv2.morphologyEx(own, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    return np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)), np.uint8)


def _solidity(points: Outline) -> float:
    """Return how much of its convex hull an outline fills."""
    corners = points.astype(np.float32)
    return float(cv2.contourArea(corners) / max(1e-9, cv2.contourArea(cv2.convexHull(corners))))


def _fits(points: Outline, box: tuple[float, float, float, float]) -> bool:
    return _fit(_box(points), box) >= _LEAST_FIT and _along(points, box) <= _MOST_ALONG


def _along(points: Outline, box: tuple[float, float, float, float]) -> float:
    """Return the share of an outline that runs along the drawn box: ground that colour took for the thing."""
    gaps = np.abs(np.concatenate([points - box[:2], points - box[2:]], axis=1)).min(axis=1)
    return float((gaps < 0.015 * max(box[2] - box[0], box[3] - box[1])).mean())


def _grab_cut(part: Pixels, seeds: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what colour tells apart from the ground: 1 for the thing; nothing where it tells nothing apart."""
    seeds = seeds.copy()
    cv2.setRNGSeed(0)  # GrabCut starts from random colour clusters
    try:
        cv2.grabCut(part, seeds, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        return np.zeros_like(seeds)
    mask = ((seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)


def _corners(mask: NDArray[np.uint8], shrink: float, corner: tuple[int, int]) -> Outline | None:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    return (max(contours, key=cv2.contourArea)[:, 0].astype(np.float64) + 0.5) / shrink + corner


def _fit(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared + 1e-9)


def _write(out: Path, part: str, name: str, pixels: NDArray[np.uint8], things: Iterable[tuple[int, Outline]]) -> None:
    shrink = min(1.0, LONGEST_PX / max(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else pixels
    cv2.imwrite(str(out / "images" / part / f"{name}.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 90])
    h, w = pixels.shape[:2]
    lines = []
    for number, points in things:
        kept = points[np.linspace(0, len(points) - 1, min(len(points), _OUTLINE_POINTS)).astype(int)]
        shares = np.clip(kept / [w, h], 0, 1)
        lines.append(f"{number} " + " ".join(f"{value:.5f}" for value in shares.ravel()))
    (out / "labels" / part / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")


# --- scenes --------------------------------------------------------------------------------------


def _noise(rng: np.random.Generator, h: int, w: int, grain: int) -> NDArray[np.float32]:
    small = rng.standard_normal((max(2, h // grain + 2), max(2, w // grain + 2))).astype(np.float32)
    return np.asarray(cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC), np.float32)


def _ground(rng: np.random.Generator, h: int, w: int) -> NDArray[np.float32]:
    """A belt, a wooden table, a painted one or paper; with a lamp, and now and then a plate."""
    kind = int(rng.integers(0, 4))
    colours = (
        np.array([70.0, 70.0, 72.0]) * rng.uniform(0.6, 2.6),
        np.array([60.0, 110.0, 165.0]) * rng.uniform(0.5, 1.3),
        rng.uniform(20, 235, 3),
        np.array([215.0, 215.0, 215.0]) * rng.uniform(0.75, 1.1),
    )
    picture = np.broadcast_to(colours[kind], (h, w, 3)).astype(np.float32)
    fine = _noise(rng, h, w, int(rng.integers(2, 6))) * rng.uniform(1, 7)
    picture = picture + (fine + _noise(rng, h, w, 60) * rng.uniform(2, 14))[..., None]
    if kind == 1:
        picture += _noise(rng, h, 3, int(rng.integers(3, 6)))[:, :1, None] * rng.uniform(2, 10)
    if kind == 0 and rng.random() < 0.6:
        pitch = int(rng.integers(20, 90))
        picture[:, (np.arange(w) % pitch) < rng.integers(1, 4)] *= 0.8
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    fall = (x / w - rng.random()) ** 2 + (y / h - rng.random()) ** 2
    picture = np.ascontiguousarray(picture * (1.12 - rng.uniform(0.1, 0.5) * fall)[..., None], np.float32)
    if rng.random() < 0.35:
        centre = (int(rng.uniform(0.25, 0.75) * w), int(rng.uniform(0.25, 0.75) * h))
        radius = int(rng.uniform(0.25, 0.48) * h)
        for size, grey in ((radius, 225), (int(radius * 0.72), 210), (int(radius * 0.68), 228)):
            cv2.circle(
                picture, centre, size, [float(v) for v in np.full(3, grey) * rng.uniform(0.8, 1.05)], -1, cv2.LINE_AA
            )
    return picture


def _lay(
    picture: NDArray[np.float32],
    owner: NDArray[np.uint8],
    cutting: Cutting,
    rng: np.random.Generator,
    *,
    size: float,
    index: int,
) -> int:
    """Lay a cutting somewhere with room for it, with its shadow; return how many pixels it covers, 0 without room."""
    h, w = owner.shape
    mh, mw = cutting.mask.shape
    scale = size / max(mh, mw)
    side = int(math.hypot(mh, mw) * scale) + 4
    turn = cv2.getRotationMatrix2D((mw / 2, mh / 2), rng.uniform(0, 360), scale)
    turn[:, 2] += [side / 2 - mw / 2, side / 2 - mh / 2]
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    pixels = cv2.warpAffine(cutting.pixels, turn, (side, side), flags=smooth, borderMode=cv2.BORDER_REFLECT)
    # A pixel less all round: the outline of a photograph takes in a little of its ground.
    mask = cv2.erode(cv2.warpAffine(cutting.mask, turn, (side, side)), np.ones((3, 3), np.uint8))
    solid = mask > 127
    allowed = 0.02 if rng.random() < 0.7 else 0.12
    for _ in range(20):
        x, y = int(rng.uniform(-0.2 * side, w - 0.8 * side)), int(rng.uniform(-0.2 * side, h - 0.8 * side))
        there = (slice(max(0, y), min(h, y + side)), slice(max(0, x), min(w, x + side)))
        own = (slice(there[0].start - y, there[0].stop - y), slice(there[1].start - x, there[1].stop - x))
        seen = solid[own]
        if seen.sum() >= 0.5 * solid.sum() and (owner[there][seen] > 0).mean() < allowed:
            break
    else:
        return 0
    dark = cv2.GaussianBlur(mask, (0, 0), max(1.0, side * 0.06)).astype(np.float32) / 255 * rng.uniform(0.15, 0.6)
    shift = int(side * 0.045)
    dark = np.roll(dark, (shift, shift), axis=(0, 1))
    picture[there] *= (1 - dark[own] * (owner[there] == 0))[..., None]
    weight = (cv2.GaussianBlur(mask, (0, 0), 0.8).astype(np.float32) / 255)[own][..., None]
    lit = pixels[own].astype(np.float32) * rng.uniform(0.75, 1.2)
    picture[there] = picture[there] * (1 - weight) + lit * weight
    owner[there][seen] = index
    return int(seen.sum())


def _seen(mask: NDArray[np.bool_], *, at_least: int) -> Outline | None:
    """Return the outline of the largest piece of a mask, or None where it is smaller than `at_least` pixels."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea, default=None)
    if largest is None or len(largest) < 3 or cv2.contourArea(largest) < max(9, at_least):
        return None
    # Contours run through the middle of pixels; shares are measured from the picture's corner.
    return largest[:, 0].astype(np.float64) + 0.5
