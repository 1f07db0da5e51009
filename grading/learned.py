"""Finding fruit with a trained network, run by one of `runtimes`: neither torch nor ultralytics is needed for it.

The network gives for every fruit a kind, a score, a box and a mask of a quarter of the input's
resolution. That mask, enlarged and cut to the box, is the fruit's outline; on request its edge is sought in
the photograph's own pixels instead (GrabCut between what the mask is sure of and what it excludes).
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import cv2
import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from grading import runtimes, scores
from grading.calibrate import Box, Polygon
from grading.camera import Pixels, Plane
from grading.detect import Detection, box_overlap, largest_contour
from grading.errors import ModelFileError

if TYPE_CHECKING:
    from grading.defects import DefectModel

MAX_WEIGHTS: Final = 12 * 1024 * 1024
"""No weights of ours are larger; a larger file is not even read."""
_GREY: Final = 114
"""What fills the border of a picture that is not square: what the training used."""
_EDGE_SIDE_PX: Final = 240
"""A fruit's edge is looked for at most at this size: finer than the eye would draw it, and fast."""
LEAST_COIN_PERMILLE: Final = 100
SURE_COIN_PERMILLE: Final = 500
"""A coin is reported from the first on, and is one by the network's word alone from the second on: on 156 photographs
beside unseen fruit 153 coins were told surer than that, and nothing else was."""
_LEAST_ROW_PERMILLE: Final = 15
"""What one kind says below this is noise."""
_SAME: Final = 0.6
"""Boxes that overlap by this share mean the same thing."""
_WITHIN: Final = 0.7
"""A find whose mask lies in a surer one's by this share is a part of it: fruit hide each other, and share nothing."""


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said of a model beside its weights, in TOML."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,40}$")]
    version: Annotated[str, Meta(min_length=1, max_length=40)]
    file: str
    sha256: str
    side: Annotated[int, Meta(ge=32, le=1280, multiple_of=32)]
    """Pixels of the square input."""
    classes: Annotated[tuple[str, ...], Meta(min_length=1, max_length=200)]
    """Kinds by number; `coin` is not a fruit."""
    least_score_permille: Annotated[int, Meta(ge=1, le=1000)]
    """From here on a find is reported: nearly all fruit, and some that are none."""
    sure_score_permille: Annotated[int, Meta(ge=1, le=1000)]
    """From here on a find is a fruit by the network's word alone."""
    licence: str
    data: tuple[str, ...]
    slope_permille: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    offset_permille: Annotated[int, Meta(ge=-10_000, le=10_000)] = 0
    """A fruit's score is `scores.believed(what the network says, slope, offset)`: of finds with score 0.8, eight in
    ten are fruit. Fitted to fruit that were held out, and not to those the report is about."""


def card_text(card: Card) -> str:
    """Return a card as the TOML that `load_model` reads."""
    told = msgspec.to_builtins(card)
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in told.items())


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Weights that are what their card says, ready to run."""

    card: Card
    answer: runtimes.Answer
    path: Path
    runtime: str = runtimes.ONNXRUNTIME

    def run(self, image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return finds (n rows: box, score, kind, mask weights) and mask prototypes. Raises ModelFileError."""
        finds, prototypes = self.answer(image)
        finds = finds[0][np.isfinite(finds[0]).all(axis=1)]
        if finds.size and not 0 <= finds[:, 5].min() <= finds[:, 5].max() < len(self.card.classes):
            raise ModelFileError(self.path, "names a kind that its card does not")
        return finds, prototypes[0]


def load_model(card_file: Path, *, runtime: str = runtimes.ONNXRUNTIME) -> Model:
    """Return the model of a card, run by one of `runtimes.RUNTIMES`.

    Raises ModelFileError unless card and weights are whole and belong together, and the runtime is there.
    """
    try:
        card = msgspec.convert(tomllib.loads(card_file.read_text("utf-8")), Card)
    except OSError as error:
        raise ModelFileError(card_file, f"cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ModelFileError(card_file, f"is no card of a model: {error}") from error
    weights = card_file.parent / card.file
    if weights.name != card.file:
        raise ModelFileError(card_file, "names weights in another folder")
    try:
        with weights.open("rb") as opened:
            data = opened.read(MAX_WEIGHTS + 1)
    except OSError as error:
        raise ModelFileError(weights, f"cannot be read ({error.strerror})") from error
    if len(data) > MAX_WEIGHTS:
        raise ModelFileError(weights, f"is larger than {MAX_WEIGHTS // 2**20} MiB")
    if sha256(data).hexdigest() != card.sha256:
        raise ModelFileError(weights, "is not the file its card describes: the SHA-256 differs")
    answer, shapes = runtimes.load(data, weights, runtime)
    _check(shapes, weights, card.side)
    return Model(card, answer, weights, runtime)


@cache
def shipped(name: str = "fruit", runtime: str = runtimes.ONNXRUNTIME) -> Model:
    """Return a model that comes with the product. Raises ModelFileError where there is none of this name."""
    return load_model(Path(__file__).parent / "weights" / f"{name}.toml", runtime=runtime)


def _check(shapes: runtimes.Shapes, weights: Path, side: int) -> None:
    """Raise ModelFileError unless a network has the inputs and outputs of a segmentation network of ours."""
    inputs, outputs = shapes
    is_ours = (
        inputs == (("images", (1, 3, side, side)),)
        and len(outputs) == 2
        and all(size > 0 for shape in outputs for size in shape)
        and (len(outputs[0]), len(outputs[1])) == (3, 4)
        and outputs[0][2] == 6 + outputs[1][1]
        and outputs[1][2] == outputs[1][3]
    )
    if not is_ours:
        raise ModelFileError(weights, "has other inputs or outputs than a segmentation network of ours")


@dataclass(frozen=True, slots=True, eq=False)
class Find:
    """One thing the network found, in pixels of the photograph.

    The score says how sure it is that something lies there: the sum over the kinds it may be of, made to mean
    what it says by the model's card. An orange that might be a tomato is a fruit all the same.
    """

    kind: str
    score_permille: int
    kind_permille: int
    """How sure the network is of the kind, if it is a fruit at all."""
    kinds: Mapping[str, int]
    """The same of every kind it thinks of."""
    box: Box
    mask: NDArray[np.float32]
    """How sure each cell of the coarse grid is, 0 to 1."""
    cells_per_px: float
    corner: tuple[float, float]
    """Where in the grid the photograph's left top corner lies."""


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Rows of the network's answer that mean one thing; `first` is the surest of them."""

    kind: str
    score_permille: int
    kinds: Mapping[str, float]
    """How sure of each kind of fruit; nothing for a coin."""
    box: Box
    first: NDArray[np.float32]


def find(pixels: Pixels, model: Model) -> list[Find]:
    """Return everything the network sees above its card's least score, best first. Raises ModelFileError."""
    places, prototypes, (scale, left, top) = _looked(pixels, model)
    cells = prototypes.shape[1] / model.card.side
    found = []
    for place in places:
        weights = place.first[6:] @ prototypes.reshape(prototypes.shape[0], -1)
        as_fruit = sum(place.kinds.values())
        found.append(
            Find(
                kind=place.kind,
                score_permille=place.score_permille,
                kind_permille=round(1000 * place.kinds[place.kind] / as_fruit) if place.kinds else 1000,
                kinds={kind: round(1000 * sure / as_fruit) for kind, sure in place.kinds.items()},
                box=place.box,
                mask=(1 / (1 + np.exp(-np.clip(weights.reshape(prototypes.shape[1:]), -30, 30)))).astype(np.float32),
                cells_per_px=scale * cells,
                corner=(left * cells, top * cells),
            )
        )
    return _without_parts(sorted(found, key=lambda each: -each.score_permille))


def _looked(pixels: Pixels, model: Model) -> tuple[list[_Place], NDArray[np.float32], tuple[float, int, int]]:
    """Return the places above the card's least score, their masks' prototypes, and the picture's scale and corner."""
    card = model.card
    image, scale, left, top = _letterbox(pixels, card.side)
    rows, prototypes = model.run(image)
    h, w = pixels.shape[:2]
    places = []
    for place in _places(rows[rows[:, 4] * 1000 >= _LEAST_ROW_PERMILLE]):
        kinds: dict[int, float] = {}
        for row in place:
            kinds[int(row[5])] = max(kinds.get(int(row[5]), 0.0), float(row[4]))
        # A coin is no fruit of another kind: its score stands for itself.
        coin = card.classes.index("coin") if "coin" in card.classes else -1
        as_coin, as_fruit = kinds.pop(coin, 0.0), sum(kinds.values())
        best = coin if as_coin >= as_fruit else max(kinds, key=lambda kind: (kinds[kind], -kind))
        told = min(1.0, max(as_coin, as_fruit))
        score = round(
            1000 * (told if best == coin else scores.believed(told, card.slope_permille, card.offset_permille))
        )
        # The place is drawn by the row that is surest of it.
        x0, y0, x1, y1 = (float(v) for v in (place[0][:4] - (left, top, left, top)) / scale)
        box = (max(0.0, x0), max(0.0, y0), min(float(w), x1), min(float(h), y1))
        least = LEAST_COIN_PERMILLE if best == coin else card.least_score_permille
        if score < least or box[2] - box[0] < 4 or box[3] - box[1] < 4:
            continue
        named = {} if best == coin else {card.classes[kind]: sure for kind, sure in kinds.items()}
        places.append(_Place(card.classes[best], score, named, box, place[0]))
    return places, prototypes, (scale, left, top)


def _without_parts(found: Sequence[Find]) -> list[Find]:
    """Return finds, surest first, without those that are part of a surer one or mean the same place."""
    kept: list[tuple[Find, NDArray[np.bool_]]] = []
    for each in found:
        cells = _cells(each)
        for other, theirs in kept:
            shared, areas = int((cells & theirs).sum()), (int(cells.sum()), int(theirs.sum()))
            # A coin may lie before a fruit, and is no part of it; but one place is not both.
            is_same_thing = (each.kind == "coin") == (other.kind == "coin")
            if shared >= _WITHIN * max(1, min(areas) if is_same_thing else max(areas)):
                break
        else:
            kept.append((each, cells))
    return [each for each, _ in kept]


def _cells(found: Find) -> NDArray[np.bool_]:
    """Return the cells of the coarse grid that a find covers, within its box."""
    (x0, y0, x1, y1), (left, top), size = found.box, found.corner, found.cells_per_px
    covered = np.zeros(found.mask.shape, np.bool_)
    rows = slice(max(0, int(y0 * size + top)), int(np.ceil(y1 * size + top)))
    columns = slice(max(0, int(x0 * size + left)), int(np.ceil(x1 * size + left)))
    covered[rows, columns] = found.mask[rows, columns] > 0.5
    return covered


def _places(rows: NDArray[np.float32]) -> list[list[NDArray[np.float32]]]:
    """Group rows that mean the same thing, under several kinds or twice; surest first, in and among the groups."""
    places: list[list[NDArray[np.float32]]] = []
    for row in rows[np.argsort(-rows[:, 4], kind="stable")]:
        box = row_box(row)
        place = next((place for place in places if box_overlap(row_box(place[0]), box) >= _SAME), None)
        if place is None:
            places.append([row])
        else:
            place.append(row)
    return places


def row_box(row: NDArray[np.float32]) -> Box:
    """Return the box at the beginning of a row of the network's answer."""
    return float(row[0]), float(row[1]), float(row[2]), float(row[3])


def _letterbox(pixels: Pixels, side: int) -> tuple[NDArray[np.float32], float, int, int]:
    """Return the network's input, its scale, and where the picture's left top corner lies in it."""
    h, w = pixels.shape[:2]
    scale = side / max(h, w)
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    canvas = np.full((side, side, 3), _GREY, np.uint8)
    canvas[top : top + size[1], left : left + size[0]] = small
    image = np.empty((1, 3, side, side), np.float32)
    for plane, channel in zip(image[0], reversed(cv2.split(canvas)), strict=True):
        np.divide(channel, np.float32(255), out=plane)
    return image, scale, left, top


@dataclass(frozen=True, slots=True)
class LearnedDetector:
    """The network finds, names and outlines the fruit."""

    model: Model
    finds_edges: bool = False
    """Whether edges are sought in the photograph (GrabCut): thirty times the work, and hardly a better size."""
    defects: "DefectModel | None" = None
    """A second network that looks at the marks of every fruit found (`second_look`)."""

    @property
    def description(self) -> Mapping[str, str | int]:
        """Name, version, weights and parameters."""
        card = self.model.card
        return {
            "name": f"learned-{card.name}",
            "version": card.version,
            "weights": card.sha256,
            "runtime": self.model.runtime,
            "leastScorePermille": card.least_score_permille,
            "edges": "grabcut" if self.finds_edges else "coarse",
            **({} if self.defects is None else {"defects": self.defects.model.card.sha256}),
        }

    def detect(self, pixels: Pixels, *, ignore: Sequence[Polygon] = ()) -> list[Detection]:
        """Return every fruit, top to bottom and left to right; coins and what `ignore` covers are none."""
        return self.outlined(pixels, find(pixels, self.model), ignore=ignore)

    def boxes(self, pixels: Pixels) -> list[Box]:
        """Return where fruit lie by the network's own boxes, parts of fruit among them: it needs no masks for that."""
        return [each.box for each in _looked(pixels, self.model)[0] if each.kind != "coin"]

    def coins(self, pixels: Pixels) -> list[Box]:
        """Return where coins lie, best first."""
        return [each.box for each in find(pixels, self.model) if each.kind == "coin"]

    def outlined(self, pixels: Pixels, finds: Sequence[Find], *, ignore: Sequence[Polygon] = ()) -> list[Detection]:
        """Return the fruit among the finds with their outlines, in the order of `detect`."""
        finds = [each for each in finds if each.kind != "coin" and not _lies_on(each, ignore)]
        found = [each for each in (self._detection(pixels, fruit) for fruit in finds) if each is not None]
        row = max(1, pixels.shape[0] // 8)
        return sorted(found, key=lambda d: ((d.y + d.mask.shape[0] // 2) // row, d.x))

    def _detection(self, pixels: Pixels, fruit: Find) -> Detection | None:
        outlined = outline(pixels, fruit, by_edges=self.finds_edges)
        if outlined is None:
            return None
        mask, x, y = outlined
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        contour = max(contours, key=cv2.contourArea)
        h, w = mask.shape
        return Detection(
            x=x,
            y=y,
            mask=mask.astype(bool),
            outline=(contour.reshape(-1, 2) + np.array([x, y])).astype(np.int32),
            score_permille=fruit.score_permille,
            is_cut=x <= 1 or y <= 1 or x + w >= pixels.shape[1] - 1 or y + h >= pixels.shape[0] - 1,
            kind=fruit.kind,
            kinds=fruit.kinds,
        )


def outline(pixels: Pixels, fruit: Find, *, by_edges: bool = True) -> tuple[Plane, int, int] | None:
    """Return a find's mask cut to its box, and where that box begins; None where nothing is left of it."""
    h, w = pixels.shape[:2]
    x0, y0, x1, y1 = fruit.box
    margin = 0.22 * max(x1 - x0, y1 - y0) + 2
    left, top = max(0, int(x0 - margin)), max(0, int(y0 - margin))
    right, bottom = min(w, round(x1 + margin)), min(h, round(y1 + margin))
    sure = _enlarged(fruit, (left, top, right, bottom))
    # The network's mask may spill over the box, which is drawn more sharply.
    inside = np.zeros(sure.shape, np.float32)
    inside[max(0, int(y0 - top)) : round(y1 - top) + 1, max(0, int(x0 - left)) : round(x1 - left) + 1] = 1
    coarse = ((sure * inside) > 0.5).astype(np.uint8)
    mask = _by_edges(pixels[top:bottom, left:right], sure, inside, coarse) if by_edges else coarse
    whole = _largest(mask)
    if whole is None:
        return None
    ys, xs = np.flatnonzero(whole.any(axis=1)), np.flatnonzero(whole.any(axis=0))
    return whole[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1], int(left + xs[0]), int(top + ys[0])


def _enlarged(fruit: Find, box: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Return the part of a coarse mask that covers a box of the photograph, at the photograph's resolution."""
    left, top, right, bottom = box
    xs = ((np.arange(left, right) + 0.5) * fruit.cells_per_px + fruit.corner[0] - 0.5).astype(np.float32)
    ys = ((np.arange(top, bottom) + 0.5) * fruit.cells_per_px + fruit.corner[1] - 0.5).astype(np.float32)
    across, down = np.meshgrid(xs, ys)
    enlarged = cv2.remap(fruit.mask, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(enlarged, np.float32)


def _by_edges(part: Pixels, sure: NDArray[np.float32], inside: NDArray[np.float32], coarse: NDArray[np.uint8]) -> Plane:
    """Return the fruit as the photograph's own colours bound it; the coarse mask where they do not."""
    shrink = min(1.0, _EDGE_SIDE_PX / max(part.shape[:2]))
    size = (max(8, round(part.shape[1] * shrink)), max(8, round(part.shape[0] * shrink)))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    seeds = np.full(size[::-1], cv2.GC_BGD, np.uint8)
    known = cv2.resize(sure, size, interpolation=cv2.INTER_AREA)
    box = cv2.resize(inside, size, interpolation=cv2.INTER_AREA)
    seeds[(box > 0.5) | (known > 0.3)] = cv2.GC_PR_BGD
    seeds[known > 0.5] = cv2.GC_PR_FGD
    core = cv2.erode((known > 0.9).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, min(size) // 30))
    seeds[core > 0] = cv2.GC_FGD
    if not (core.any() and (seeds == cv2.GC_BGD).any()):
        return coarse
    cv2.setRNGSeed(0)  # GrabCut starts from random colour clusters
    try:
        background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(small, seeds, (0, 0, 0, 0), background, foreground, 3, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        return coarse
    found = ((seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)).astype(np.float32)
    full = cv2.resize(found, part.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    grain = max(1, round(min(part.shape[:2]) / 60))
    opened = cv2.morphologyEx(full.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2 * grain + 1, 2 * grain + 1), np.uint8))
    mask = np.asarray(opened, np.uint8)
    both, either = int((mask & coarse).sum()), int((mask | coarse).sum())
    # Where colours lead elsewhere (a fruit like its ground, a shadow), the network is believed.
    return np.asarray(mask if either and both / either > 0.75 else coarse, np.uint8)


def _largest(mask: Plane) -> Plane | None:
    """Return the largest piece of a mask without holes, or None where there is none."""
    largest = largest_contour(mask)
    if largest is None or cv2.contourArea(largest) < 12:
        return None
    return np.asarray(cv2.drawContours(np.zeros(mask.shape, np.uint8), [largest], -1, 1, -1), np.uint8)


def _lies_on(found: Find, outlines: Sequence[Polygon]) -> bool:
    x0, y0, x1, y1 = found.box
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    return any(
        box_overlap(found.box, _bounds(each)) > 0.4
        or cv2.pointPolygonTest(each.reshape(-1, 1, 2), middle, measureDist=False) > 0
        for each in outlines
    )


def _bounds(outline: Polygon) -> Box:
    (x0, y0), (x1, y1) = outline.min(axis=0), outline.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)
