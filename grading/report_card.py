"""What a trained model can do, measured on photographs of fruit it has never seen: figures, plots, failures.

A find is right when its outline's box overlaps a labelled one by half (intersection over union). Every
figure is about physical fruit that are held out; what was chosen by looking at them is said in `notes`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.calibrate import Box
from grading.camera import Pixels, decode
from grading.dataset import Photo
from grading.detect import box_overlap
from grading.errors import DatasetError
from grading.learned import LEAST_COIN_PERMILLE, SURE_COIN_PERMILLE, Find, LearnedDetector, Model, find
from grading.scores import Curve, believed, fitted, least_for_recall

MATCH: Final = 0.5
"""Least overlap of a right find with the label."""
_BINS: Final = 10
_STEP: Final = 50
"""Scores, in thousandths, at which the curve of recall and precision is told."""
RECALL_PERMILLE: Final = 980
PRECISION_PERMILLE: Final = 990
"""What the scores of a model are chosen for, on fruit that its report is not about."""
_FEW: Final = 20
_INK, _PALE, _MINE = "#4a4a4a", "#c9c9c9", "#2f7d4f"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Tried:
    """One find on a held-out photograph: what it was taken for, how surely, and what it is (empty: nothing)."""

    kind: str
    truth: str
    score_permille: int
    size_permille: int = 0
    """Geometric mean of width and height against the label's, in thousandths; 0 where it is not right."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A photograph that shows what went wrong."""

    photo: Path
    what: str
    box: Box


@dataclass(slots=True)
class Tally:
    """Everything found and not found."""

    tried: list[Tried] = field(default_factory=list)
    labelled: dict[str, int] = field(default_factory=dict)
    missed: list[Missed] = field(default_factory=list)
    photographs: int = 0


def tally(photos: Sequence[Photo], model: Model, *, progress: Progress | None = None) -> Tally:
    """Return what a model finds on labelled photographs. Raises DatasetError, ModelFileError."""
    found = Tally()
    detector = LearnedDetector(model)
    for done, photo in enumerate(photos, start=1):
        pixels, labels = photo.read()
        truths = [(label.kind, _box(label.outline)) for label in labels if label.kind in model.card.classes]
        for kind, _ in truths:
            found.labelled[kind] = found.labelled.get(kind, 0) + 1
        finds = find(pixels, model)
        seen = [(each.kind, each.score_permille, each.box) for each in finds if each.kind == "coin"]
        seen += _outlined(detector, pixels, finds)
        _match(found, photo.path, truths, sorted(seen, key=lambda each: -each[1]), model.card.sure_score_permille)
        found.photographs += 1
        if progress:
            progress(done, len(photos))
    if not found.labelled:
        raise DatasetError(photos[0].path.parent if photos else Path("images"), "shows nothing that the model knows")
    return found


def halves(photos: Sequence[Photo]) -> tuple[list[Photo], list[Photo]]:
    """Return held-out photographs to choose scores by, and the others to report on; no fruit is in both.

    By kind and number of photographs alone: two fruit of one kind part, and the halves are about as large.
    """
    counted: dict[str, int] = {}
    kinds: dict[str, str] = {}
    for photo in photos:
        counted[photo.fruit] = counted.get(photo.fruit, 0) + 1
        of_fruit = [photo.names[number] for number, _ in photo.labels if photo.names[number] != "coin"]
        kinds.setdefault(photo.fruit, of_fruit[0] if of_fruit else "")
    of_kind: dict[str, int] = {}
    for fruit, kind in kinds.items():
        of_kind[kind] = of_kind.get(kind, 0) + counted[fruit]
    sides: tuple[list[str], list[str]] = ([], [])
    for fruit in sorted(counted, key=lambda each: (-of_kind[kinds[each]], kinds[each], -counted[each], each)):
        smaller = min(
            (0, 1),
            key=lambda side: (sum(kinds[e] == kinds[fruit] for e in sides[side]), sum(counted[e] for e in sides[side])),
        )
        sides[smaller].append(fruit)
    return [p for p in photos if p.fruit in sides[0]], [p for p in photos if p.fruit in sides[1]]


@dataclass(frozen=True, slots=True)
class Choice:
    """What a model's card says of scores."""

    curve: Curve
    least_score_permille: int
    sure_score_permille: int


def choose(found: Tally, *, least_score_permille: int, sure_score_permille: int) -> Choice | None:
    """Return scores for a model from what it found with its own confidence; None where that is too little.

    The curve makes a score the share of finds that are fruit; the least score finds `RECALL_PERMILLE` of the fruit,
    and from the sure one on `PRECISION_PERMILLE` of the finds are fruit. The scores given stand in where none does.
    """
    fruit = [(each.score_permille, _is_fruit(each)) for each in found.tried if each.kind != "coin"]
    labelled = sum(count for kind, count in found.labelled.items() if kind != "coin")
    if len(fruit) < _FEW or not labelled:
        return None
    curve = fitted([(score / 1000, is_right) for score, is_right in fruit])
    meant = [
        (round(1000 * believed(score / 1000, curve.slope_permille, curve.offset_permille)), is_right)
        for score, is_right in fruit
    ]
    least = least_for_recall(meant, labelled, recall_permille=RECALL_PERMILLE) or least_score_permille
    sure = 1000
    ordered = sorted(meant, key=lambda each: -each[0])
    for index, (score, _) in enumerate(ordered):
        if score < sure_score_permille:
            break
        above = [is_right for each, is_right in ordered if each >= score]
        if sum(above) * 1000 >= PRECISION_PERMILLE * len(above) and index + 1 == len(above):
            sure = score
    # Whole steps of ten: nobody can tell them finer from so few fruit.
    return Choice(curve, max(1, least // 10 * 10), min(990, max(least, -(-sure // 10) * 10)))


def card(
    found: Tally, model: Model, *, held_out: Sequence[str], chosen_on: Sequence[str] = (), notes: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the report card of a tally, ready for JSON. `chosen_on` names the fruit by which scores were chosen."""
    told = model.card
    fruit = [each for each in found.tried if each.kind != "coin"]
    coins = [each for each in found.tried if each.kind == "coin"]
    of_fruit = sum(count for kind, count in found.labelled.items() if kind != "coin")
    right = [each for each in fruit if _is_fruit(each)]
    errors = np.array([each.size_permille - 1000 for each in right if each.size_permille], float)
    kinds = {
        kind: average_precision([(e.score_permille, e.kind == e.truth == kind) for e in fruit if e.kind == kind], count)
        for kind, count in sorted(found.labelled.items())
        if kind != "coin"
    }
    return {
        "model": {"name": told.name, "version": told.version, "sha256": told.sha256, "side": told.side},
        "licence": told.licence,
        "data": list(told.data),
        "held_out": {
            "fruit": sorted(held_out),
            "photographs": found.photographs,
            "labelled": of_fruit,
            "scores_chosen_on": sorted(chosen_on),
        },
        "notes": list(notes),
        "fruit": {
            "at_least_score": _at(fruit, of_fruit, told.least_score_permille),
            "at_sure_score": _at(fruit, of_fruit, told.sure_score_permille),
            "ap50_of_any_kind": average_precision([(e.score_permille, _is_fruit(e)) for e in fruit], of_fruit),
            "map50_by_kind": round(float(np.mean(list(kinds.values()))), 3) if kinds else None,
            "ap50_by_kind": kinds,
            "kind_right": round(sum(e.kind == e.truth for e in right) / max(1, len(right)), 3),
            "by_score": [_at(fruit, of_fruit, score) for score in range(_STEP, 1000, _STEP)],
        },
        "coin": _at(coins, found.labelled.get("coin", 0), LEAST_COIN_PERMILLE) if coins else None,
        "coin_at_sure_score": _at(coins, found.labelled.get("coin", 0), SURE_COIN_PERMILLE) if coins else None,
        "size_error_permille": {
            "mean": round(float(errors.mean())), "mean_absolute": round(float(np.abs(errors).mean())),
            "p90_absolute": round(float(np.percentile(np.abs(errors), 90))),
        } if len(errors) else None,
        "confusion": confusion(found),
        "calibration": calibration(fruit),
    }  # fmt: skip


def average_precision(scored: Sequence[tuple[int, bool]], labelled: int) -> float:
    """Return the area under precision over recall (every point, precision made monotone), 0 to 1."""
    order = sorted(scored, key=lambda each: -each[0])
    hits = np.cumsum([is_right for _, is_right in order])
    if not order or not labelled:
        return 0.0
    precision = hits / np.arange(1, len(order) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(np.concatenate([[0], hits])) / labelled
    return round(float((precision * steps).sum()), 3)


def confusion(found: Tally) -> dict[str, dict[str, int]]:
    """Return by kind of fruit what it was taken for; `missed` is what was not found, `nothing` what was none."""
    table: dict[str, dict[str, int]] = {}
    for each in found.tried:
        row = table.setdefault(each.truth or "nothing", {})
        row[each.kind] = row.get(each.kind, 0) + 1
    for kind, count in found.labelled.items():
        row = table.setdefault(kind, {})
        if count > sum(row.values()):
            row["missed"] = count - sum(row.values())
    return {kind: dict(sorted(row.items())) for kind, row in sorted(table.items())}


def calibration(fruit: Sequence[Tried]) -> list[dict[str, int]]:
    """Return per tenth of the score how many finds there are, and how many in a thousand are right."""
    bins = []
    for index in range(_BINS):
        low, high = index * 1000 // _BINS, (index + 1) * 1000 // _BINS
        within = [e for e in fruit if low <= e.score_permille < high + (index == _BINS - 1)]
        right = sum(map(_is_fruit, within))
        bins.append(
            {"from": low, "to": high, "finds": len(within), "right_permille": round(1000 * right / max(1, len(within)))}
        )
    return bins


def write(report: Mapping[str, Any], found: Tally, folder: Path, *, failures: int = 40) -> None:
    """Write report-card.json, calibration.svg, confusion.svg, precision.svg and the failures as pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report-card.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "calibration.svg").write_text(calibration_svg(report["calibration"]), "utf-8")
    (folder / "confusion.svg").write_text(confusion_svg(report["confusion"]), "utf-8")
    (folder / "precision.svg").write_text(precision_svg(report["fruit"]["by_score"]), "utf-8")
    pictures = folder / "failures"
    pictures.mkdir(exist_ok=True)
    for number, each in enumerate(found.missed[:failures]):
        pixels = decode(each.photo.read_bytes()).pixels.copy()
        x0, y0, x1, y1 = (round(value) for value in each.box)
        cv2.rectangle(pixels, (x0, y0), (x1, y1), (40, 40, 230), max(2, pixels.shape[1] // 300))
        shrink = min(1.0, 640 / max(pixels.shape[:2]))
        small = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(pictures / f"{number:03d}-{each.what}-{each.photo.stem}.jpg"), small)


def calibration_svg(bins: Sequence[Mapping[str, int]]) -> str:
    """Return the calibration curve: score across, share of right finds up; the dashed line is a score that is true."""
    side, edge = 320, 44
    points = [
        (
            edge + side * (each["from"] + each["to"]) / 2000,
            10 + side * (1 - each["right_permille"] / 1000),
            each["finds"],
        )
        for each in bins
        if each["finds"]
    ]
    most = max((finds for _, _, finds in points), default=1)
    marks = "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{3 + 7 * (finds / most) ** 0.5:.1f}" fill="{_MINE}" fill-opacity=".6"/>'
        f"{_text(x, y - 12 if y > 24 else y + 24, finds)}"
        for x, y, finds in points
    )
    # A tenth with hardly a find says nothing of the curve; it is shown, and not joined.
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y, finds in points if finds >= _FEW // 4)
    return (
        f"{_svg(side + edge + 12, side + edge)}"
        f'<rect x="{edge}" y="10" width="{side}" height="{side}" fill="none" stroke="{_PALE}"/>'
        f'<path d="M{edge} {10 + side}L{edge + side} 10" stroke="{_PALE}" stroke-dasharray="4 4"/>'
        f'<polyline points="{line}" fill="none" stroke="{_MINE}" stroke-width="2"/>{marks}'
        f"{_text(edge + side / 2, side + 38, 'score')}{_text(edge - 8, 16, 'all', anchor='end')}"
        f"{_text(edge - 8, 10 + side, 'none', anchor='end')}{_text(14, 10 + side / 2, 'right', turn=-90)}</svg>\n"
    )


def precision_svg(by_score: Sequence[Mapping[str, Any]]) -> str:
    """Return precision up over recall across, both from a half to all, with the score at every point."""
    side, edge = 320, 52
    points = [
        (edge + side * (each["recall"] - 0.5) * 2, 10 + side * (1 - each["precision"]) * 2, each["score_permille"])
        for each in by_score
        if each["recall"] is not None and each["precision"] is not None
        if each["recall"] >= 0.5 and each["precision"] >= 0.5
    ]
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y, _ in points)
    told: list[tuple[float, float, int]] = []
    for point in reversed(points):
        if not told or abs(point[0] - told[-1][0]) + abs(point[1] - told[-1][1]) > 22:
            told.append(point)
    marks = "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{_MINE}"/>{_text(x - 6, y + 12, score, anchor="end")}'
        for x, y, score in told
    )
    return (
        f"{_svg(side + edge + 12, side + edge)}"
        f'<rect x="{edge}" y="10" width="{side}" height="{side}" fill="none" stroke="{_PALE}"/>'
        f'<polyline points="{line}" fill="none" stroke="{_MINE}" stroke-width="2"/>{marks}'
        f"{_text(edge + side / 2, side + 44, 'recall')}{_text(edge, side + 28, '50 %')}"
        f"{_text(edge + side, side + 28, '100 %', anchor='end')}{_text(edge - 6, 16, '100 %', anchor='end')}"
        f"{_text(edge - 6, 10 + side, '50 %', anchor='end')}{_text(12, 10 + side / 2, 'precision', turn=-90)}</svg>\n"
    )


def confusion_svg(table: Mapping[str, Mapping[str, int]]) -> str:
    """Return the confusion table: what it is down, what it was taken for across."""
    rows = list(table)
    columns = sorted({kind for row in table.values() for kind in row}, key=lambda kind: (kind == "missed", kind))
    cell, left, top = 34, 84, 70
    parts = []
    for i, truth in enumerate(rows):
        total = max(1, sum(table[truth].values()))
        y = top + i * cell
        parts.append(_text(left - 6, y + 21, truth, anchor="end"))
        for j, kind in enumerate(columns):
            count, x = table[truth].get(kind, 0), left + j * cell
            colour = _MINE if kind == truth else "#b3423a"
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell - 2}" height="{cell - 2}" fill="{colour}" '
                f'fill-opacity="{0.05 + 0.75 * count / total:.2f}"/>'
            )
            if count:
                parts.append(_text(x + cell / 2 - 1, y + 21, count))
    parts += [_text(left + j * cell + cell / 2, top - 8, k, anchor="start", turn=-45) for j, k in enumerate(columns)]
    return f"{_svg(left + cell * len(columns) + 40, top + cell * len(rows) + 8)}{''.join(parts)}</svg>\n"


def _svg(width: int, height: int) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">'


def _text(x: float, y: float, text: str | int, *, anchor: str = "middle", turn: int = 0) -> str:
    turned = f' transform="rotate({turn} {x:.0f} {y:.0f})"' if turn else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="11" text-anchor="{anchor}" fill="{_INK}"{turned}>{text}</text>'


def _is_fruit(each: Tried) -> bool:
    """Whether a find is a fruit, of whatever kind."""
    return each.truth not in {"", "coin"}


def _outlined(detector: LearnedDetector, pixels: Pixels, finds: Sequence[Find]) -> list[tuple[str, int, Box]]:
    return [
        (
            each.kind,
            each.score_permille,
            (float(each.x), float(each.y), float(each.x + each.box[2]), float(each.y + each.box[3])),
        )
        for each in detector.outlined(pixels, finds)
    ]


def _match(
    found: Tally,
    photo: Path,
    truths: Sequence[tuple[str, Box]],
    seen: Sequence[tuple[str, int, Box]],
    sure_permille: int,
) -> None:
    """Give every find the label it overlaps most, surest first; a label is found once."""
    open_ = dict(enumerate(truths))
    for kind, score, box in seen:
        best = max(open_, key=lambda index: box_overlap(box, open_[index][1]), default=None)
        if best is not None and box_overlap(box, open_[best][1]) >= MATCH:
            truth, drawn = open_.pop(best)
            size = round(1000 * ((box[2] - box[0]) * (box[3] - box[1]) / _area(drawn)) ** 0.5)
            found.tried.append(Tried(kind, truth, score, size))
            if kind != truth and score >= sure_permille:
                found.missed.append(Missed(photo, f"{truth}-as-{kind}", box))
        else:
            found.tried.append(Tried(kind, "", score))
            if score >= sure_permille:
                found.missed.append(Missed(photo, f"nothing-as-{kind}", box))
    found.missed += [Missed(photo, f"{kind}-missed", box) for kind, box in open_.values()]


def _at(tried: Sequence[Tried], labelled: int, score_permille: int) -> dict[str, Any]:
    """Return recall and precision from a score on; of which kind a fruit was taken to be does not matter here."""
    taken = [each for each in tried if each.score_permille >= score_permille]
    right = sum(bool(each.truth) and (each.truth == "coin") == (each.kind == "coin") for each in taken)
    return {
        "score_permille": score_permille,
        "recall": round(right / labelled, 3) if labelled else None,
        "precision": round(right / len(taken), 3) if taken else None,
    }


def _box(outline: NDArray[np.float64]) -> Box:
    (x0, y0), (x1, y1) = outline.min(axis=0), outline.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _area(box: Box) -> float:
    return max(1e-9, (box[2] - box[0]) * (box[3] - box[1]))
