"""Training the network with ultralytics, and taking it out again as ONNX with a card. Needs the `[train]` extra.

Nothing else imports this module, nor torch or ultralytics: the station runs the exported file. Both are
kept from the network: no telemetry, no font, no weights and no packages are fetched.
"""

import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from grading.errors import TrainingError
from grading.learned import MAX_WEIGHTS

ARCHITECTURE: Final = "yolo26n-seg.yaml"
"""Its head finds each thing once, so that no suppression of doubles is needed behind it."""

Progress = Callable[[int, int, dict[str, float]], None]
"""Told after each epoch: how many are done, of how many, and the measures on the held-out fruit."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained. `side` is the square input in pixels."""

    side: int = 320
    epochs: int = 40
    batch: int = 8
    learning_rate: float = 0.002
    threads: int = 1
    seed: int = 1
    device: str = ""
    """`cpu`, `0` for the first GPU; empty: a GPU where there is one."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training made: the run's folder, the best weights, and the measures of its best epoch."""

    folder: Path
    weights: Path
    measures: dict[str, float]


def require_extra() -> None:
    """Raise TrainingError unless the [train] extra is installed."""
    if missing := [name for name in ("torch", "ultralytics", "onnx") if importlib.util.find_spec(name) is None]:
        raise TrainingError(
            f"training needs {', '.join(missing)}: pip install 'guoyuan[train]' (two gigabytes; see grading/README.md)"
        )


def train(data: Path, recipe: Recipe, out: Path, *, progress: Progress | None = None) -> Trained:
    """Train from nothing, or go on with the training that `out` holds; a finished one is returned as it is.

    Raises TrainingError.

    The same data, recipe and machine give the same weights (ultralytics' `deterministic`, one thread).
    """
    engine = _ultralytics(out, recipe.threads)
    out = out.resolve()
    last = out / "run" / "weights" / "last.pt"
    is_resumed = last.exists()
    if is_resumed and _is_finished(out / "run"):
        return Trained(out / "run", last.with_name("best.pt"), measures(out / "run"))
    network = engine.YOLO(str(last) if is_resumed else ARCHITECTURE)
    if progress is not None:

        def after(trainer: Any) -> None:
            progress(trainer.epoch + 1, trainer.epochs, {name: float(value) for name, value in trainer.metrics.items()})

        network.add_callback("on_fit_epoch_end", after)
    try:
        if is_resumed:
            network.train(resume=True, device=recipe.device or None)
        else:
            network.train(
                data=str(data.resolve()),
                imgsz=recipe.side,
                epochs=recipe.epochs,
                batch=recipe.batch,
                nbs=recipe.batch,
                optimizer="AdamW",
                lr0=recipe.learning_rate,
                cos_lr=True,
                warmup_epochs=1,
                pretrained=False,
                workers=0,
                device=recipe.device or None,
                amp=False,
                plots=False,
                # Scenes bring their own variety; mosaics only now and then, and none at the end.
                mosaic=0.3,
                close_mosaic=3,
                fliplr=0.5,
                flipud=0.5,
                scale=0.4,
                hsv_h=0.012,
                hsv_s=0.5,
                hsv_v=0.45,
                seed=recipe.seed,
                deterministic=True,
                cache=False,
                project=str(out),
                name="run",
                exist_ok=True,
                verbose=False,
            )
    except (AssertionError, OSError, RuntimeError, ValueError) as error:
        raise TrainingError(f"training stopped: {error}") from error
    best = out / "run" / "weights" / "best.pt"
    if not best.exists():
        raise TrainingError(f"the training in {out} left no weights")
    return Trained(out / "run", best, measures(out / "run"))


def measures(run: Path) -> dict[str, float]:
    """Return the measures of a run's best epoch on the held-out fruit."""
    rows = (run / "results.csv").read_text("utf-8").splitlines()
    names = [name.strip() for name in rows[0].split(",")]
    epochs = [dict(zip(names, (float(value) for value in row.split(",")), strict=True)) for row in rows[1:]]
    best = max(epochs, key=lambda row: row.get("metrics/mAP50-95(B)", 0) + row.get("metrics/mAP50-95(M)", 0))
    return {name: value for name, value in best.items() if name == "epoch" or name.startswith("metrics/")}


def _is_finished(run: Path) -> bool:
    """Whether every epoch was trained: ultralytics then strips what it needs to go on."""
    asked = re.search(r"^epochs: (\d+)$", (run / "args.yaml").read_text("utf-8"), flags=re.MULTILINE)
    done = len((run / "results.csv").read_text("utf-8").splitlines()) - 1
    return asked is not None and done >= int(asked[1])


def export(
    weights: Path,
    card_file: Path,
    *,
    side: int,
    classes: tuple[str, ...],
    name: str,
    version: str,
    data: tuple[str, ...],
    licence: str,
    least_score_permille: int = 50,
    sure_score_permille: int = 500,
) -> Path:
    """Write trained weights as ONNX beside their card and return the path of the ONNX file. Raises TrainingError.

    What the exporter says of itself (paths, times) is taken out: the same weights give the same bytes.
    """
    engine = _ultralytics(weights.parent, 1)
    try:
        import onnx
    except ImportError as error:
        raise TrainingError(f"training needs the [train] extra: {error}") from error

    made = Path(
        engine.YOLO(str(weights)).export(
            format="onnx", imgsz=side, nms=False, dynamic=False, simplify=True, opset=17, verbose=False
        )
    )
    graph = onnx.load(str(made))
    made.unlink()
    del graph.metadata_props[:]
    graph.doc_string = graph.graph.doc_string = ""
    for node in graph.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    content = graph.SerializeToString(deterministic=True)
    if len(content) > MAX_WEIGHTS:
        raise TrainingError(f"the exported network has {len(content)} bytes; at most {MAX_WEIGHTS} are run")
    exported = card_file.with_suffix(".onnx")
    exported.write_bytes(content)
    lines = {
        "name": name,
        "version": version,
        "file": exported.name,
        "sha256": sha256(content).hexdigest(),
        "side": side,
        "classes": list(classes),
        "least_score_permille": least_score_permille,
        "sure_score_permille": sure_score_permille,
        "licence": licence,
        "data": list(data),
    }
    card_file.write_text(
        "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in lines.items()), "utf-8"
    )
    return exported


def _ultralytics(folder: Path, threads: int) -> Any:
    """Import ultralytics, kept from the network. Raises TrainingError where the extra is not installed."""
    require_extra()
    config = folder / "ultralytics"
    config.mkdir(parents=True, exist_ok=True)
    os.environ |= {
        "YOLO_OFFLINE": "1",
        "YOLO_AUTOINSTALL": "0",
        "YOLO_VERBOSE": "0",
        "YOLO_CONFIG_DIR": str(config.resolve()),
        "OMP_NUM_THREADS": str(threads),
    }
    try:
        import matplotlib as mpl
        import torch

        _let_torchvision_in(torch)
        import ultralytics
    except ImportError as error:
        raise TrainingError(f"training needs the [train] extra: {error}") from error
    # It would fetch a font to draw with; any will do.
    fonts = config / "Ultralytics"
    fonts.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", fonts / "Arial.ttf")
    torch.set_num_threads(threads)
    ultralytics.settings.update({"sync": False})
    return ultralytics


_REGISTERED: list[Any] = []
"""Operators live as long as the library object that defined them."""


def _let_torchvision_in(torch: Any) -> None:
    """Let a torchvision that was built for a GPU be imported beside a torch that was built without.

    Its compiled operators are then missing. Only their names are needed for the import, and one, the
    suppression of doubles, is also called; it is given here in torch.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    else:
        return
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

    def suppress(boxes: Any, scores: Any, most: float) -> Any:
        order, kept = scores.argsort(descending=True, stable=True), []
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
        while order.numel():
            best, rest = order[0], order[1:]
            kept.append(best)
            low = torch.maximum(boxes[best, :2], boxes[rest, :2])
            high = torch.minimum(boxes[best, 2:], boxes[rest, 2:])
            shared = (high - low).clamp_(min=0).prod(dim=1)
            order = rest[shared / (areas[best] + areas[rest] - shared) <= most]
        return torch.stack(kept) if kept else order

    library.impl("nms", suppress, "CPU")
    _REGISTERED.append(library)
    from torchvision.ops import boxes

    boxes._assert_has_ops = lambda: None  # noqa: SLF001  # it would miss the compiled operators once more
