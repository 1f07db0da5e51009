"""Training the network with ultralytics, and taking it out again as ONNX with a card. Needs the `[train]` extra.

Nothing else imports this module, nor torch or ultralytics: the station runs the exported file. Both are
kept from the network: no telemetry, no font, no weights and no packages are fetched.
"""

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from grading.errors import TrainingError
from grading.learned import MAX_WEIGHTS, Card, card_text

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
    learning_rate: float | None = None
    """Not said: 0.002 from random weights, 0.0012 from an earlier training's."""
    threads: int = 1
    seed: int = 1
    device: str = ""
    """`cpu`, `0` for the first GPU; empty: a GPU where there is one."""
    start: Path | None = None
    """Weights (.pt) of an earlier training to go on from; none: from random weights. A .pt file can run code
    when it is opened: only your own."""
    most_channels: int = 1024
    """No layer has more than a quarter of these; 512 halves the file, for small pictures."""
    of_single_fruit: bool = False
    """Each picture is one fruit, cut out: no mosaics, little scaling, masks at half the picture's resolution."""
    in_bfloat16: bool | None = None
    """Multiply in bfloat16; not said: where a processor, not a GPU, computes and has instructions for it."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training made: the run's folder, the last epoch's weights, and its measures on the held-out fruit.

    The last epoch's, not the best one's: to choose by the held-out fruit would make the report on them kinder
    than the truth. The step size falls to a hundredth by then, so the last epochs differ little.
    """

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
        return Trained(out / "run", last, measures(out / "run"))
    if recipe.start is not None and not recipe.start.is_file():
        raise TrainingError(f"there are no weights {recipe.start} to go on from")
    network = engine.YOLO(str(last if is_resumed else recipe.start or _architecture(engine, recipe, out)))
    if progress is not None:

        def after(trainer: Any) -> None:
            progress(trainer.epoch + 1, trainer.epochs, {name: float(value) for name, value in trainer.metrics.items()})

        network.add_callback("on_fit_epoch_end", after)
    try:
        with _bfloat16(engine, recipe):
            if is_resumed:
                network.train(resume=True, device=recipe.device or None)
            else:
                network.train(data=str(data.resolve()), project=str(out), **_arguments(recipe))
    except (AssertionError, OSError, RuntimeError, ValueError) as error:
        raise TrainingError(f"training stopped: {error}") from error
    if not last.exists():
        raise TrainingError(f"the training in {out} left no weights")
    return Trained(out / "run", last, measures(out / "run"))


def _architecture(engine: Any, recipe: Recipe, out: Path) -> str:
    """Return the network's description: ultralytics' own, or one with fewer channels that is written into `out`."""
    if recipe.most_channels == 1024:
        return ARCHITECTURE
    own = Path(engine.__file__).parent / "cfg" / "models" / "26" / "yolo26-seg.yaml"
    text, changed = re.subn(
        r"(?m)^(  n: \[[\d.]+, [\d.]+, )\d+\]", rf"\g<1>{recipe.most_channels}]", own.read_text("utf-8")
    )
    if changed != 1:
        raise TrainingError(f"{own.name} does not say how many channels {ARCHITECTURE} has")
    narrow = out / ARCHITECTURE
    narrow.write_text(text, "utf-8")
    return str(narrow)


def _arguments(recipe: Recipe) -> dict[str, Any]:
    """Return what ultralytics is told."""
    alone: dict[str, Any] = {"mosaic": 0.0, "scale": 0.15, "degrees": 15, "hsv_s": 0.4, "hsv_v": 0.35}
    alone |= {"overlap_mask": False, "mask_ratio": 2, "translate": 0.04, "cache": "ram"}
    return {
        "imgsz": recipe.side,
        "epochs": recipe.epochs,
        "batch": recipe.batch,
        "nbs": recipe.batch,
        "optimizer": "AdamW",
        "lr0": recipe.learning_rate or (0.002 if recipe.start is None else 0.0012),
        "cos_lr": True,
        "lrf": 0.01,
        # What already knows fruit needs no slow beginning.
        "warmup_epochs": 1 if recipe.start is None else 0.3,
        "pretrained": recipe.start is not None,
        "workers": 0,
        "device": recipe.device or None,
        "amp": False,
        "plots": False,
        # Scenes bring their own variety; mosaics only now and then, and none at the end.
        "mosaic": 0.3,
        "close_mosaic": 4,
        "fliplr": 0.5,
        "flipud": 0.5,
        "degrees": 8,
        "scale": 0.5,
        "hsv_h": 0.015,
        "hsv_s": 0.6,
        "hsv_v": 0.5,
        "seed": recipe.seed,
        "deterministic": True,
        "cache": False,
        "name": "run",
        "exist_ok": True,
        "verbose": False,
        **(alone if recipe.of_single_fruit else {}),
    }


@contextmanager
def _bfloat16(engine: Any, recipe: Recipe) -> Iterator[None]:
    """Train in bfloat16 on a processor that has it: ultralytics itself offers that on GPUs only."""
    import torch

    is_meant = recipe.in_bfloat16
    if is_meant is None:
        on_processor = recipe.device == "cpu" or not (recipe.device or torch.cuda.is_available())
        is_meant = on_processor and has_bfloat16()
    if not is_meant:
        yield
        return
    trainer: Any = importlib.import_module(f"{engine.__name__}.engine.trainer")
    own = trainer.autocast
    trainer.autocast = lambda *_, **__: torch.autocast("cpu", dtype=torch.bfloat16)
    try:
        yield
    finally:
        trainer.autocast = own


def has_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16 (AVX-512 BF16 or AMX) by its own account on Linux."""
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags.split())


def measures(run: Path) -> dict[str, float]:
    """Return the measures of a run's last epoch on the held-out fruit."""
    rows = (run / "results.csv").read_text("utf-8").splitlines()
    names = [name.strip() for name in rows[0].split(",")]
    last = dict(zip(names, (float(value) for value in rows[-1].split(",")), strict=True))
    return {name: value for name, value in last.items() if name == "epoch" or name.startswith("metrics/")}


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
    _join_late(onnx, graph)
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
    card = Card(
        name=name,
        version=version,
        file=exported.name,
        sha256=sha256(content).hexdigest(),
        side=side,
        classes=classes,
        least_score_permille=least_score_permille,
        sure_score_permille=sure_score_permille,
        licence=licence,
        data=data,
    )
    card_file.write_text(card_text(card), "utf-8")
    return exported


def _join_late(onnx: Any, model: Any) -> None:
    """Take boxes, scores and mask weights from where they are made, not from a join of them that is cut up again.

    The numbers stay the same. OpenVINO 2026 reads the cut-up join wrongly and then refuses the network.
    """
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    wide = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in inferred}
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        turned = makers.get(node.input[0]) if node.op_type == "Slice" else None
        joined = makers.get(turned.input[0]) if turned is not None and turned.op_type == "Transpose" else None
        if turned is None or joined is None or joined.op_type != "Concat":
            continue
        meant = [name for name in joined.input if wide[name][1] == wide[node.output[0]][-1]]
        if len(meant) == 1:
            node.CopyFrom(onnx.helper.make_node("Transpose", meant, list(node.output), node.name, perm=[0, 2, 1]))
    wanted = {each.name for each in model.graph.output}
    for node in reversed(list(model.graph.node)):
        if wanted.isdisjoint(node.output):
            model.graph.node.remove(node)
        else:
            wanted.update(node.input)
    for unused in (model.graph.value_info, model.graph.initializer):
        for value in [each for each in unused if each.name not in wanted]:
            unused.remove(value)


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
