"""What a network learns defects from: single fruit, cut out on grey, with the outline of every mark on them.

Most are drawn (`rendering`), because their marks are known to the pixel; real ones come from photographs labelled
with outlines of fruit, of stem or pedicel, and of defects. Small marks are painted on both, for real ones are rare and
drawn ones are large. Photographs of one fruit never part between training and
held-out, and a held-out drawn belt has another seed, other light and other sizes of picture.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.camera import Pixels
from grading.dataset import Label, Photo
from grading.defects import KINDS, Mask, on_grey
from grading.errors import DatasetError
from grading.rendered_fruit import CALYX, STEM
from grading.rendering import Belt, Camera, Light, Rendered, TrueFruit

Progress = Callable[[int, int], None]
Region = tuple[str, NDArray[np.float64]]
"""A kind and an outline, in pixels of the square."""

RENAME: Final = {"pedicel": "stem", "peduncle": "stem", "defect": "mark", "illness": "mark", "blemish": "mark"}
"""Names that labelled collections use."""
_DRAWN: Final = "mango,orange,apple,tomato,lemon"
_LEAST_PX: Final = 5
"""Fewer pixels of a mark cannot be seen, so that they are not taught."""
_TONES: Final = ((0.35, 0.50, 0.62), (0.25, 0.32, 0.40), (0.62, 0.72, 0.80), (0.70, 0.82, 0.72), (1.35, 1.10, 1.02))
"""What marks make of the skin's blue, green, red: brown, dark, faint brown, greenish, pale."""
_TURNS: Final = 14
"""How often a real training fruit is shown turned and lit anew, every second time with small marks painted on it."""
_PAINTED: Final = 3
"""Every third drawn training fruit gets small marks painted on it, too."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One fruit on grey with its regions; `mm_per_px` is the square's, 0 where nothing says it."""

    pixels: Pixels
    mask: Mask
    """Where the square shows the fruit."""
    regions: tuple[Region, ...]
    mm_per_px: float = 0.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A data set on disk."""

    yaml: Path
    drawn: int
    real: int
    held_out_drawn: int
    held_out_real: int


def split(photos: Sequence[Photo], *, held_out_permille: int = 300, seed: int = 1) -> tuple[list[Photo], list[Photo]]:
    """Return training and held-out photographs by fruit: of those with defects and of those without, the same share."""
    with_defects = {photo.fruit for photo in photos if "mark" in map(_known, _names_in(photo))}
    rng = np.random.default_rng(seed)
    held: set[str] = set()
    for group in (with_defects, {photo.fruit for photo in photos} - with_defects):
        own = sorted(group)
        rng.shuffle(own)
        held |= set(own[: math.ceil(len(own) * held_out_permille / 1000)] if len(own) > 1 else ())
    return [p for p in photos if p.fruit not in held], [p for p in photos if p.fruit in held]


def prepare(
    training: Sequence[Photo],
    held_out: Sequence[Photo],
    out: Path,
    *,
    drawn: int,
    side: int,
    seed: int = 1,
    progress: Progress | None = None,
) -> Prepared:
    """Write a segmentation data set of single fruit; the same input gives the same files. Raises DatasetError."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(out, "is not empty")
    if shared := {photo.fruit for photo in training} & {photo.fruit for photo in held_out}:
        raise DatasetError(out, f"would train on held-out fruit: {', '.join(sorted(shared))}")
    rng = np.random.default_rng([seed, 9])
    held_drawn = drawn // 10
    total, done = drawn + held_drawn + len(training) + len(held_out), 0
    counts = {"real-train": 0, "real-val": 0}
    for part in ("train", "val"):
        for folder in ("images", "labels"):
            (out / folder / part).mkdir(parents=True, exist_ok=True)
    made = (
        ("train", drawn_fruit(drawn, side=side, seed=1000 + seed)),
        ("val", held_out_drawn(drawn, side=side, seed=seed)),
    )
    for part, samples in made:
        for index, sample in enumerate(samples):
            is_painted = part == "train" and index % _PAINTED == 0
            shown = painted(sample, np.random.default_rng([seed, index, 7])) if is_painted else sample
            _write(out, part, f"drawn-{index:05d}", shown)
            done += 1
            if progress:
                progress(done, total)
    for part, photos in (("train", training), ("val", held_out)):
        for photo in photos:
            pixels, labels = photo.read()
            for index, (fruit, regions) in enumerate(_fruit_in(labels)):
                turns = range(_TURNS) if part == "train" else (None,)
                for turn in turns:
                    sample = real_fruit(pixels, fruit, regions, side=side, rng=None if turn is None else rng)
                    if turn is not None and turn % 2:
                        sample = painted(sample, rng)
                    _write(out, part, f"real-{photo.path.stem}-{index}-{turn or 0}", sample)
                    counts[f"real-{part}"] += 1
            done += 1
            if progress:
                progress(done, total)
    if training and not counts["real-train"]:
        raise DatasetError(out, "has no real fruit: outlines are needed of the fruit and of what is on it, not boxes")
    yaml = out / "data.yaml"
    listed = "".join(f"  {index}: {name}\n" for index, name in enumerate(KINDS))
    yaml.write_text(f"train: images/train\nval: images/val\nnames:\n{listed}", "utf-8")
    return Prepared(yaml, drawn, counts["real-train"], held_drawn, counts["real-val"])


def held_out_drawn(drawn: int, *, side: int, seed: int = 1) -> Iterator[Sample]:
    """Yield drawn fruit that no training sees: a tenth as many as it does."""
    return drawn_fruit(drawn // 10, side=side, seed=900_000 + seed)


def held_out_real(photos: Sequence[Photo], *, side: int) -> Iterator[Sample]:
    """Yield every labelled fruit of photographs as it is."""
    for photo in photos:
        pixels, labels = photo.read()
        for fruit, regions in _fruit_in(labels):
            yield real_fruit(pixels, fruit, regions, side=side, rng=None)


def drawn_fruit(count: int, *, side: int, seed: int) -> Iterator[Sample]:
    """Yield so many fruit from drawn belts of all kinds, lights and distances; at most a third without any mark."""
    rng = np.random.default_rng([seed, 8])
    given = clean = 0
    while given < count:
        belt = Belt(
            seed=int(rng.integers(2**31)),
            kind=_DRAWN,
            fruit_per_s=24,
            mm_a_turn=int(rng.integers(260, 520)),
            light=Light(
                exposure=float(rng.uniform(0.72, 1.35)),
                cast=(float(rng.uniform(0.88, 1.12)), 1.0, float(rng.uniform(0.9, 1.1))),
                noise=float(rng.uniform(0.6, 3.2)),
                blur_px=float(rng.uniform(0.35, 1.0)),
                smear_px=float(rng.uniform(0.05, 0.8)),
            ),
            camera=Camera(mm_per_px=float(rng.uniform(0.62, 0.95)), height_mm=float(rng.uniform(520, 1000))),
            ground=str(rng.choice(["rollers", "rubber"])),
        )
        first = 25 + int(rng.integers(20))
        # Three pictures of a belt, so far apart that a fruit shows another side in each.
        for number in (first, first + 4, first + 8):
            shot = belt.frame(number)
            for fruit in shot.truth:
                if not fruit.is_whole or fruit.hidden_permille > 30:
                    continue
                sample = _sample(shot, fruit, side=side, mm_per_px=belt.camera.mm_per_px, rng=rng)
                is_clean = not any(kind not in ("stem", "calyx") for kind, _ in sample.regions)
                if is_clean and clean * 3 > given:
                    continue
                clean += is_clean
                given += 1
                yield sample
                if given == count:
                    return


def painted(sample: Sample, rng: np.random.Generator) -> Sample:
    """Return the fruit with small marks painted on its bare skin: specks, faint patches, pale scars.

    Drawn marks are large and plain beside those of real fruit, of which most are a few millimetres of slightly
    darker skin. Where no skin is left the fruit comes back as it is.
    """
    side = sample.pixels.shape[0]
    ys, xs = np.nonzero(sample.mask)
    width = math.sqrt(len(xs))
    taken = np.zeros((side, side), np.uint8)
    for _, outline in sample.regions:
        cv2.fillPoly(taken, [np.rint(outline).astype(np.int32)], (1,))
    far = cv2.distanceTransform(np.pad((sample.mask & (taken == 0)).astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    image, regions = sample.pixels.astype(np.float32), list(sample.regions)
    tone = np.asarray(_TONES[int(rng.integers(len(_TONES)))], np.float32)
    across, down = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    for _ in range(int(rng.integers(1, 6))):
        radius = width * math.exp(rng.uniform(math.log(0.018), math.log(0.085)))
        at = int(rng.integers(len(xs)))
        x, y = float(xs[at]), float(ys[at])
        if far[ys[at], xs[at]] < 1.3 * radius + 2:
            continue
        turn, flat = rng.uniform(0, math.pi), rng.uniform(0.55, 1.0)
        u = (across - x) * math.cos(turn) + (down - y) * math.sin(turn)
        v = ((down - y) * math.cos(turn) - (across - x) * math.sin(turn)) / flat
        angle = np.arctan2(v, u)
        ragged = sum(rng.uniform(0, 0.12) * np.cos(waves * angle + rng.uniform(0, 6)) for waves in (2, 3, 5))
        distance = np.hypot(u, v) / (radius * (1 + ragged))
        soft = rng.uniform(0.25, 1.0)
        weight = np.clip((1 - distance) / soft + 0.5, 0, 1).astype(np.float32)
        covers = (weight >= 0.5) & sample.mask
        outlines = list(_outlines(np.asarray(covers, bool)))
        if not outlines:
            continue
        # The smaller a mark, the darker it must be for anybody to see it.
        strength = np.float32(rng.uniform(0.35, 0.75) + (0.2 if radius < 0.035 * width else 0.0))
        image *= 1 - strength * weight[..., None] * (1 - tone)
        far = np.where(distance < 1.6, 0, far)
        regions += [("mark", outline) for outline in outlines]
    image[~sample.mask] = sample.pixels[~sample.mask]
    pixels = np.asarray(np.clip(np.rint(image), 0, 255), np.uint8)
    return Sample(pixels, sample.mask, tuple(regions), sample.mm_per_px)


def real_fruit(
    pixels: Pixels, fruit: Label, regions: Sequence[Label], *, side: int, rng: np.random.Generator | None
) -> Sample:
    """Return a labelled fruit of a photograph on grey; with `rng` turned, mirrored and lit anew."""
    points = fruit.outline
    turn: NDArray[np.float64] = np.eye(2, 3)
    if rng is not None:
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        about = (float(middle[0]), float(middle[1]))
        turn = np.asarray(cv2.getRotationMatrix2D(about, float(rng.uniform(0, 360)), 1.0), np.float64)
        if rng.random() < 0.5:
            turn = turn @ np.array([[-1, 0, 2 * middle[0]], [0, 1, 0], [0, 0, 1.0]])
    moved = [(region.kind, region.outline @ turn[:, :2].T + turn[:, 2]) for region in regions]
    around = points @ turn[:, :2].T + turn[:, 2]
    low, high = np.floor(around.min(axis=0)), np.ceil(around.max(axis=0))
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    shift = turn.copy()
    shift[:, 2] -= low
    part = np.asarray(cv2.warpAffine(pixels, shift, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)
    if rng is not None:
        lit = part.astype(np.float32) * np.asarray(rng.uniform(0.8, 1.2) * rng.uniform(0.94, 1.06, 3), np.float32)
        part = np.asarray(np.clip(lit + rng.normal(0, 2.0, part.shape), 0, 255), np.uint8)
    mask = np.zeros(size[::-1], np.uint8)
    cv2.fillPoly(mask, [np.rint(around - low).astype(np.int32)], (1,))
    seen = on_grey(part, mask > 0, side)
    return Sample(
        seen.pixels,
        seen.mask,
        tuple((_known(kind), (outline - low) * seen.scale + [seen.left, seen.top]) for kind, outline in moved),
    )


def _sample(shot: Rendered, fruit: TrueFruit, *, side: int, mm_per_px: float, rng: np.random.Generator) -> Sample:
    x, y, w, h = fruit.box
    # A detector's outline is a little off: too wide or too narrow by a pixel.
    mask = fruit.part.astype(np.uint8)
    off = int(rng.integers(-1, 2))
    if off:
        padded = np.pad(mask, 1)
        changed = (
            cv2.dilate(padded, np.ones((3, 3), np.uint8)) if off > 0 else cv2.erode(padded, np.ones((3, 3), np.uint8))
        )
        mask = np.asarray(changed[1:-1, 1:-1], np.uint8)
    seen = on_grey(np.ascontiguousarray(shot.pixels[y : y + h, x : x + w]), mask > 0, side)
    label = np.where(fruit.part, shot.label[y : y + h, x : x + w], 0).astype(np.uint8)
    regions: list[Region] = []
    names = {index: mark.kind for index, mark in enumerate(fruit.marks, start=1)} | {STEM: "stem", CALYX: "calyx"}
    for number, kind in names.items():
        regions += [(kind, outline * seen.scale + [seen.left, seen.top]) for outline in _outlines(label == number)]
    return Sample(seen.pixels, seen.mask, tuple(regions), mm_per_px / seen.scale)


def _outlines(covers: Mask) -> Iterator[NDArray[np.float64]]:
    """Yield the outlines of a region's pieces, along the edges of its pixels; near pieces are one."""
    if int(covers.sum()) < _LEAST_PX:
        return
    fine = np.asarray(np.kron(np.pad(covers, 2).astype(np.uint8), np.ones((4, 4), np.uint8)), np.uint8)
    closed = cv2.morphologyEx(fine, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13)))
    contours, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for contour in contours:
        if cv2.contourArea(contour) >= 16 * _LEAST_PX:
            few = cv2.approxPolyDP(contour, 1.0, closed=True).reshape(-1, 2)
            if len(few) >= 3:
                yield (few + 0.5) / 4 - 2


def _fruit_in(labels: Sequence[Label]) -> Iterator[tuple[Label, list[Label]]]:
    """Yield every fruit with the regions whose middle lies in it."""
    for fruit in labels:
        if fruit.is_box or _known(fruit.kind) in KINDS:
            continue
        corners = fruit.outline.astype(np.float32).reshape(-1, 1, 2)
        inside = [
            each
            for each in labels
            if _known(each.kind) in KINDS
            and cv2.pointPolygonTest(corners, tuple(map(float, each.outline.mean(axis=0))), measureDist=False) >= 0
        ]
        yield fruit, inside


def _names_in(photo: Photo) -> set[str]:
    return {photo.names[number] for number, _ in photo.labels}


def _known(name: str) -> str:
    return RENAME.get(name, name)


def _write(out: Path, part: str, stem: str, sample: Sample) -> None:
    cv2.imwrite(str(out / "images" / part / f"{stem}.png"), sample.pixels)
    side = sample.pixels.shape[0]
    lines = []
    for kind, outline in sample.regions:
        shares = np.clip(outline / side, 0, 1)
        if np.ptp(shares, axis=0).min() > 0:
            lines.append(f"{KINDS.index(kind)} " + " ".join(f"{value:.5f}" for value in shares.ravel()))
    (out / "labels" / part / f"{stem}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
