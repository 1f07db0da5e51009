"""What a defect model can do on fruit it never saw, beside what colour alone can do (`measure.marks`), in one run;
and what is left of colour's marks once the model has said where stem and calyx are (`second_look`).

Drawn and real fruit are reported apart: on drawn ones every mark is known to the pixel, real ones carry a person's
outlines, which are wide and not complete. A defect counts as found where two outlines share half of what they cover.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from grading.camera import to_lab
from grading.defect_data import Sample
from grading.defects import NO_DEFECTS, DefectModel, Found, Mask
from grading.measure import marks
from grading.second_look import is_hollow

MATCH: Final = 0.5
_INK, _OURS, _THEIRS, _CHECKED = "#4a4a4a", "#2f7d4f", "#b5651d", "#3465a4"
_WAYS: Final = ((-13, "network", _OURS), (-4, "colour", _THEIRS), (5, "colour_without_hollows", _CHECKED))
"""Each way of looking: how far below a name its bar is drawn, and its colour."""


@dataclass(slots=True)
class Count:
    """What one way of looking found."""

    tried: list[tuple[int, bool, bool]] = field(default_factory=list)
    """Score, whether it is a defect, whether the kind is right too."""
    labelled: int = 0
    both_px: int = 0
    ours_px: int = 0
    true_px: int = 0
    area_off_mm2: list[float] = field(default_factory=list)
    true_mm2: list[float] = field(default_factory=list)
    clean: int = 0
    clean_marked: int = 0
    clean_marks: int = 0
    clean_px: int = 0
    clean_marked_px: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A defect as one way of looking has it: kind, score, and its pixels in the square."""

    kind: str
    score_permille: int
    covers: Mask


def by_network(sample: Sample, model: DefectModel) -> list[Seen]:
    """Return what the network finds."""
    found = []
    for each in model.find(sample.pixels, sample.mask, mm_per_px=1.0):
        covers = np.zeros(sample.mask.shape, bool)
        x, y, w, h = each.box
        covers[y : y + h, x : x + w] = each.part
        found.append(Seen(each.kind, each.score_permille, covers))
    return found


def by_colour(sample: Sample, found: Found | None = None) -> list[Seen]:
    """Return what is darker and duller than the skin around it; the larger, the surer.

    With what the network found, without the hollows about stem and calyx.
    """
    marked = marks(to_lab(sample.pixels), sample.mask).astype(np.uint8)
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(marked, connectivity=8)
    area_px = int(sample.mask.sum())
    return [
        Seen("", min(1000, area), numbers == index)
        for index, (x, y, w, h, area) in enumerate(stats[1:count].tolist(), start=1)
        if found is None or not is_hollow((x, y, w, h), found, area_px=area_px)
    ]


def report(samples: Iterable[Sample], model: DefectModel) -> dict[str, Any]:
    """Return the figures of the network and of colour alone on the same fruit."""
    least = model.model.card.least_score_permille
    sure = DefectModel(model.model, least)
    every = DefectModel(model.model, 20)
    network, colour, checked, fruit = Count(), Count(), Count(), 0
    for sample in samples:
        fruit += 1
        truth = [
            Seen(kind, 1000, _filled(outline, sample.mask))
            for kind, outline in sample.regions
            if kind not in NO_DEFECTS
        ]
        truth = [each for each in truth if each.covers.any()]
        _tally(network, truth, by_network(sample, every), by_network(sample, sure), sample)
        by_eye = by_colour(sample)
        _tally(colour, truth, by_eye, by_eye, sample)
        left = by_colour(sample, sure.look(sample.pixels, sample.mask, mm_per_px=1.0))
        _tally(checked, truth, left, left, sample)
    return {
        "fruit": fruit,
        "defects": network.labelled,
        "network": _figures(network, least),
        "colour": _figures(colour, 1),
        "colour_without_hollows": _figures(checked, 1),
    }


def average_precision(tried: Sequence[tuple[int, bool]], labelled: int) -> float | None:
    """Return the area under precision over recall, precision made falling; None where nothing is labelled."""
    if not labelled:
        return None
    right = np.array([is_right for _, is_right in sorted(tried, key=lambda each: -each[0])], float)
    if not len(right):
        return 0.0
    found = right.cumsum()
    precision = found / np.arange(1, len(right) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return round(float((np.diff(np.concatenate([[0], found / labelled])) * falling).sum()), 3)


def write(figures: dict[str, Any], json_file: Path, plot: Path) -> None:
    """Write the figures, and a plot of network and colour side by side."""
    json_file.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
    plot.write_text(_svg(figures), "utf-8")


def _filled(outline: Any, mask: Mask) -> Mask:
    # Fourfold, so that an outline of few pixels keeps its area.
    fine = np.zeros((mask.shape[0] * 4, mask.shape[1] * 4), np.uint8)
    cv2.fillPoly(fine, [np.rint(np.asarray(outline) * 4 - 0.5).astype(np.int32)], (255,))
    return np.asarray((cv2.resize(fine, mask.shape[::-1], interpolation=cv2.INTER_AREA) > 127) & mask, bool)


def _tally(count: Count, truth: list[Seen], tried: list[Seen], taken: list[Seen], sample: Sample) -> None:
    count.labelled += len(truth)
    open_ = list(truth)
    for each in sorted(tried, key=lambda seen: -seen.score_permille):
        best = max(open_, key=lambda other: _overlap(each.covers, other.covers), default=None)
        is_right = best is not None and _overlap(each.covers, best.covers) >= MATCH
        if best is not None and is_right:
            open_.remove(best)
        count.tried.append((each.score_permille, is_right, is_right and best is not None and best.kind == each.kind))
    ours, true = _union(taken, sample.mask), _union(truth, sample.mask)
    count.both_px += int((ours & true).sum())
    count.ours_px += int(ours.sum())
    count.true_px += int(true.sum())
    if not truth:
        count.clean += 1
        count.clean_marked += bool(taken)
        count.clean_marks += len(taken)
        count.clean_px += int(sample.mask.sum())
        count.clean_marked_px += int(ours.sum())
    if sample.mm_per_px:
        cell = sample.mm_per_px**2
        count.area_off_mm2.append((int(ours.sum()) - int(true.sum())) * cell)
        count.true_mm2.append(int(true.sum()) * cell)


def _figures(count: Count, least: int) -> dict[str, Any]:
    taken = [each for each in count.tried if each[0] >= least]
    right = sum(each[1] for each in taken)
    off = np.array(count.area_off_mm2)
    figures: dict[str, Any] = {
        "ap50": average_precision([(score, is_right) for score, is_right, _ in count.tried], count.labelled),
        "recall": _share(right, count.labelled),
        "precision": _share(right, len(taken)),
        "kind_right": _share(sum(each[2] for each in taken), right),
        "pixel_recall": _share(count.both_px, count.true_px),
        "pixel_precision": _share(count.both_px, count.ours_px),
        "pixel_iou": _share(count.both_px, count.true_px + count.ours_px - count.both_px),
        "clean_fruit": count.clean,
        "clean_fruit_with_a_mark": _share(count.clean_marked, count.clean),
        "marks_per_clean_fruit": _share(count.clean_marks, count.clean),
        "clean_fruit_marked_permille": _share(1000 * count.clean_marked_px, count.clean_px),
    }
    if len(off):
        figures |= {
            "area_mean_absolute_error_mm2": round(float(np.abs(off).mean()), 1),
            "area_bias_mm2": round(float(off.mean()), 1),
            "area_mean_mm2": round(float(np.mean(count.true_mm2)), 1),
        }
    return figures


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None


def _union(seen: Sequence[Seen], mask: Mask) -> Mask:
    covered = np.zeros(mask.shape, bool)
    for each in seen:
        covered |= each.covers
    return covered


def _overlap(a: Mask, b: Mask) -> float:
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 0.0


def _svg(figures: dict[str, Any]) -> str:
    """Bars of the shares that both ways have, drawn and real fruit under each other."""
    names = ("ap50", "recall", "precision", "pixel_recall", "pixel_precision", "pixel_iou", "clean_fruit_with_a_mark")
    parts = [(name, figures[name]) for name in ("drawn", "real") if name in figures]
    lines, y = [], 18
    for title, part in parts:
        lines.append(
            _text(8, y, f"{title} fruit, held out: {part['fruit']} crops, {part['defects']} defects", bold=True)
        )
        y += 10
        for name in names:
            y += 32
            lines.append(_text(8, y, name.replace("_", " ").replace("ap50", "AP at IoU 0.5")))
            for offset, way, colour in _WAYS:
                value = part[way][name]
                width, told = 300 * (value or 0), "-" if value is None else f"{value:.2f}"
                lines.append(f'<rect x="190" y="{y + offset}" width="{width:.1f}" height="7" fill="{colour}"/>')
                lines.append(_text(196 + width, y + offset + 7, told, small=True))
        y += 40
    for x, (_, way, colour) in zip((8, 98, 218), _WAYS, strict=True):
        lines.append(f'<rect x="{x}" y="{y - 9}" width="10" height="8" fill="{colour}"/>')
        lines.append(_text(x + 15, y, {"colour": "colour alone"}.get(way, way.replace("_", " "))))
    body = "\n".join(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="560" height="{y + 14}" font-family="sans-serif">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, text: str, *, bold: bool = False, small: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{9 if small else 12}" fill="{_INK}"{weight}>{text}</text>'
