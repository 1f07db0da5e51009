# ruff: noqa: T201  # a benchmark is read on the terminal
"""Real photographs: fruit found that the network never saw, lemons' outlines, tomatoes by age, apples on the tree.

Needs the folder of real input (GUOYUAN_SHARED); without it, it skips. `FRUIT_WEIGHTS` names the .pt file the shipped
ONNX was made of: with it and the [train] extra the same weights go straight through ultralytics in the same run.
"""

import csv
import importlib.util
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from grading.camera import Pixels, decode, to_jpeg
from grading.dataset import Photo, read_folder
from grading.detectors import detector_named
from grading.errors import CannotGradeError, NoFruitError
from grading.learned import LearnedDetector, find, shipped
from grading.look import Given, Setup, look
from grading.measure import Measures
from grading.report_card import MATCH, Tally, average_precision, card, tally
from grading.report_card import _overlap as overlap
from grading.standard import load_standard, load_tariff

pytestmark = [pytest.mark.benchmark, pytest.mark.shared]

Box = tuple[float, float, float, float]
BALL_MM = 65.46
APPLE_DETECTORS = ("classical", "learned", "automatic")


def held_out(shared: Path) -> tuple[list[Photo], dict[str, str], set[str]]:
    """The photographs of fruit the shipped network never saw, their views, and the fruit its scores were chosen on."""
    told = json.loads((shipped().path.parent / "fruit.report.json").read_text("utf-8"))["held_out"]
    folder = shared / "images" / "ecust_fruit_coin"
    rows = {row["file"]: row for row in csv.DictReader((folder / "size.csv").read_text().splitlines())}
    wanted = {*told["fruit"], *told["scores_chosen_on"]}
    photos = [photo for photo in read_folder(folder) if photo.fruit in wanted]
    return photos, {name: row["view"] for name, row in rows.items()}, set(told["scores_chosen_on"])


def line(name: str, found: Tally) -> None:
    told = card(found, shipped(), held_out=[])
    fruit, coin = told["fruit"], told["coin"]
    least, sure = fruit["at_least_score"], fruit["at_sure_score"]
    print(
        f"{name}: {found.photographs} photographs; recall {least['recall']}, precision {least['precision']} from score "
        f"{least['score_permille']}; {sure['recall']}, {sure['precision']} from {sure['score_permille']}; AP50 "
        f"{fruit['ap50_of_any_kind']}; kind right {fruit['kind_right']}; coin {coin['recall']}, {coin['precision']}; "
        f"box size error {told['size_error_permille']}"
    )


def test_fruit_it_never_saw(shared: Path) -> None:
    photos, views, chosen_on = held_out(shared)
    reported = [photo for photo in photos if photo.fruit not in chosen_on]
    print()
    line("fruit that chose nothing", tally(reported, shipped()))
    line("fruit the scores were chosen on", tally([photo for photo in photos if photo.fruit in chosen_on], shipped()))
    for view in ("top", "side"):
        line(f"all held-out fruit, {view} view", tally([p for p in photos if views[p.path.name] == view], shipped()))
    weights = os.environ.get("FRUIT_WEIGHTS", "")
    if not weights or importlib.util.find_spec("ultralytics") is None:
        print("baseline not measured: needs the [train] extra and FRUIT_WEIGHTS")
        return
    through_ultralytics("fruit that chose nothing", reported, Path(weights))
    through_ultralytics("all held-out fruit", photos, Path(weights))


def through_ultralytics(name: str, photos: Sequence[Photo], weights: Path) -> None:
    """The baseline: the same weights as their own library runs them, a fruit of whatever kind counts."""
    from grading.train import _ultralytics

    network = _ultralytics(weights.parent, 1).YOLO(str(weights))
    scored: list[tuple[float, bool]] = []
    labelled = 0
    for photo in photos:
        pixels, labels = photo.read()
        truths = dict(enumerate(_box(each.outline) for each in labels if each.kind != "coin"))
        labelled += len(truths)
        boxes = network.predict(pixels, imgsz=shipped().card.side, conf=0.015, verbose=False, device="cpu")[0].boxes
        names = network.names
        seen = sorted(zip(boxes.conf.tolist(), boxes.cls.tolist(), boxes.xyxy.tolist(), strict=True), reverse=True)
        for score, kind, box in seen:
            if names[int(kind)] == "coin":
                continue
            best = max(truths, key=lambda index: overlap(tuple(box), truths[index]), default=None)
            is_right = best is not None and overlap(tuple(box), truths[best]) >= MATCH
            if is_right:
                del truths[best]
            scored.append((score, is_right))
    for least in (0.05, 0.1, 0.25, 0.4, 0.5):
        taken = [is_right for score, is_right in scored if score >= least]
        print(f"{name}, ultralytics from {least}: recall {sum(taken) / labelled:.3f}, precision {np.mean(taken):.3f}")
    print(f"{name}, ultralytics: AP50 {average_precision([(round(1000 * s), r) for s, r in scored], labelled)}")


def test_outlines_of_lemons(shared: Path) -> None:
    photos = read_folder(shared / "images" / "lemon_polygons")
    print()
    for lemon in ("lemon9", "others, trained on"):
        own = [photo for photo in photos if (photo.fruit == "lemon9") == (lemon == "lemon9")]
        for finds_edges in (False, True):
            detector = LearnedDetector(shipped(), finds_edges=finds_edges)
            alike, kinds = [], []
            for photo in own if lemon == "lemon9" else own[::4]:
                pixels, labels = photo.read()
                truth = np.zeros(pixels.shape[:2], np.uint8)
                for each in labels:
                    if each.kind == "lemon":
                        cv2.fillPoly(truth, [np.rint(each.outline).astype(np.int32)], (1,))
                found = max(
                    ((_alike(each, truth > 0), each.kind) for each in detector.detect(pixels)), default=(0.0, "")
                )
                alike.append(found[0])
                kinds.append(found[1] == "lemon")
            print(
                f"{lemon}, {'edges sought' if finds_edges else 'network outline'}: {len(alike)} photographs, mask IoU "
                f"mean {np.mean(alike):.3f}, least {min(alike):.3f}, at least 0.9 on {sum(a >= 0.9 for a in alike)}; "
                f"called a lemon {np.mean(kinds):.0%}"
            )


def _alike(found: Any, truth: np.ndarray) -> float:
    whole = np.zeros(truth.shape, bool)
    x, y, w, h = found.box
    whole[y : y + h, x : x + w] = found.mask
    return float((whole & truth).sum() / (whole | truth).sum())


FEATURES = ("lab_l_centi", "lab_a_centi", "lab_b_centi", "blemish_permille", "roundness_permille")


def test_tomatoes_by_age(shared: Path) -> None:
    """Three bins of storage time from what the product measures, each tomato judged by models that never saw it."""
    folder = shared / "images" / "fgrade_tomato"
    setup = Setup(load_standard("tomato"), load_tariff(), Given(200_000))
    seen: dict[tuple[str, int], list[list[float]]] = defaultdict(list)
    refused = 0
    for row in csv.DictReader((folder / "labels.csv").read_text().splitlines()):
        try:
            fruit = look(_on_white(decode((folder / row["file"]).read_bytes()).pixels), setup).fruit
        except CannotGradeError:
            refused += 1
            continue
        best = max(fruit, key=lambda each: each.measures.area_mm2).measures
        seen[row["tomato_group"], int(row["class0_9"])].append(_features(best))
    groups = sorted({group for group, _ in seen})
    told = [(group, _bin(stage), np.median(np.array(views), axis=0)) for (group, stage), views in sorted(seen.items())]
    single = [(group, _bin(stage), np.array(view)) for (group, stage), views in sorted(seen.items()) for view in views]
    print(f"\n{len(groups)} tomatoes, {len(single)} photographs measured, {refused} refused")
    start = {group: np.median([f for g, b, f in told if g == group and b == 0][:1], axis=0) for group in groups}
    since = [(group, which, features - start[group]) for group, which, features in told]
    for name, judged in (
        ("one photograph", single), ("the views of a day together", told), ("change since the first day", since)
    ):  # fmt: skip
        table = np.zeros((3, 3), int)
        for group in groups:
            known = [(which, features) for other, which, features in judged if other != group]
            for other, which, features in judged:
                if other == group:
                    table[which, _nearest(features, known)] += 1
        right = np.trace(table) / table.sum()
        most = table.sum(axis=1).max() / table.sum()
        far = (table[0, 2] + table[2, 0]) / table.sum()
        print(
            f"{name}: right {right:.3f} of {table.sum()} (always the commonest bin: {most:.3f}), "
            f"first for last {far:.3f}; table {table.tolist()}"
        )


def _bin(stage: int) -> int:
    return 0 if stage <= 2 else 1 if stage <= 6 else 2


def _features(measures: Measures) -> list[float]:
    bands = dict(measures.bands)
    return [float(getattr(measures, name)) for name in FEATURES] + [float(bands[name]) for name in sorted(bands)]


def _nearest(features: np.ndarray, known: Sequence[tuple[int, np.ndarray]]) -> int:
    """The bin whose mean lies nearest, each measure in units of its own spread."""
    spread = np.std([each for _, each in known], axis=0) + 1e-6
    means = [np.mean([each for which, each in known if which == index], axis=0) for index in range(3)]
    return int(np.argmin([np.abs((features - mean) / spread).sum() for mean in means]))


def _on_white(pixels: Pixels) -> bytes:
    """The cut-out with white around it: it touches the edges of its picture, which the product refuses."""
    h, w = pixels.shape[:2]
    return to_jpeg(cv2.copyMakeBorder(pixels, h // 3, h // 3, w // 3, w // 3, cv2.BORDER_CONSTANT, value=(255,) * 3))


def test_apples_on_the_tree(shared: Path) -> None:
    """Caliper against picture; the scale of a photograph from the boxes of its tennis balls, by people."""
    folder = shared / "images" / "ecopom_apple_mm"
    rows = list(csv.DictReader((folder / "size_mm.csv").read_text().splitlines()))
    by_file: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by_file[row["file"]].append(row)
    by_hand, nearest, ours = [], [], defaultdict(list)
    counted, whole, balls = 0, defaultdict(int), []
    for file, things in sorted(by_file.items()):
        pixels = decode((folder / "images" / file).read_bytes()).pixels
        drawn = [_corners(each) for each in things if each["kind"] != "apple"]
        if not drawn:
            continue
        spans = [_span(each) for each in drawn]
        mm_per_px = BALL_MM / float(np.median(spans))
        balls += [span * mm_per_px / BALL_MM for span in spans]
        apples = [each for each in things if each["kind"] == "apple" and each["caliper_mm"]]
        for name in APPLE_DETECTORS:
            found = [_xyxy(each.box) for each in detector_named(name).detect(pixels)]
            whole[name] += sum(any(overlap(box, _corners(each)) >= MATCH for box in found) for each in apples)
        for each in apples:
            counted += 1
            truth, box = float(each["caliper_mm"]), _corners(each)
            by_hand.append(_span(box) * mm_per_px - truth)
            ball = min(drawn, key=lambda other: _between(other, box))
            nearest.append(_span(box) * BALL_MM / _span(ball) - truth)
            for name in APPLE_DETECTORS:
                got = _close_up(pixels, box, mm_per_px, name)
                if got is not None:
                    ours[name].append(got - truth)
    print(f"\n{counted} apples with a caliper value; balls within one photograph differ by {np.std(balls):.1%}")
    _say("box drawn by a person", by_hand, counted)
    _say("the same, scale of the nearest ball", nearest, counted)
    for name in APPLE_DETECTORS:
        print(f"{name}, whole photograph of 1920 x 1080: {whole[name]} of {counted} found")
        _say(f"{name}, close-up of four apples' width", ours[name], counted)


def _close_up(pixels: Pixels, box: Box, mm_per_px: float, name: str) -> float | None:
    """The diameter (mm) in a picture four times as wide as the apple; None where it is not found there."""
    middle, half = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), 2 * _span(box)
    left, top = max(0, round(middle[0] - half)), max(0, round(middle[1] - half))
    part = pixels[top : round(middle[1] + half), left : round(middle[0] + half)]
    enlarged = 640 / max(part.shape[:2])
    jpeg = to_jpeg(np.asarray(cv2.resize(part, None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_CUBIC)))
    given = Given(round(mm_per_px / enlarged * 1e6))
    setup = Setup(load_standard("apple"), load_tariff(), given, detector=detector_named(name))
    try:
        seen = look(jpeg, setup)
    except (CannotGradeError, NoFruitError):
        return None
    here = tuple((value - start) * enlarged for value, start in zip(box, (left, top, left, top), strict=True))
    best = max(seen.fruit, key=lambda each: overlap(_xyxy(each.detection.box), here))
    return best.measures.equatorial_um / 1000 if overlap(_xyxy(best.detection.box), here) >= MATCH else None


def _say(name: str, errors: Iterable[float], counted: int) -> None:
    values = np.array(list(errors))
    if not len(values):
        print(f"{name}: none of {counted} found")
        return
    print(
        f"{name}: {len(values)} of {counted}; error mean {values.mean():+.1f} mm, median {np.median(values):+.1f}, "
        f"mean absolute {np.abs(values).mean():.1f}, 90 % within {np.percentile(np.abs(values), 90):.1f}"
    )


def _corners(row: dict[str, str]) -> Box:
    return float(row["xmin"]), float(row["ymin"]), float(row["xmax"]), float(row["ymax"])


def _xyxy(box: tuple[int, int, int, int]) -> Box:
    x, y, w, h = box
    return float(x), float(y), float(x + w), float(y + h)


def _span(box: Box) -> float:
    return (box[2] - box[0] + box[3] - box[1]) / 2


def _between(a: Box, b: Box) -> float:
    return float(np.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]))


def _box(points: np.ndarray) -> Box:
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def test_coins_are_no_fruit_and_fruit_no_coins(shared: Path) -> None:
    photos, _, _ = held_out(shared)
    wrong = 0
    for photo in photos:
        pixels, labels = photo.read()
        coins = [_box(each.outline) for each in labels if each.kind == "coin"]
        finds = find(pixels, shipped())
        wrong += sum(each.kind != "coin" and any(overlap(each.box, coin) > 0.3 for coin in coins) for each in finds)
    print(f"\nfinds called a fruit that lie on the coin, {len(photos)} photographs: {wrong}")
