# ruff: noqa: T201  # a benchmark is read on the terminal
"""CPU milliseconds per frame at 640 x 480: classical, learned, both, beside the same network in ultralytics with torch.

Processor time of the whole process, so that work on other cores counts and waiting does not. `FRUIT_WEIGHTS` names
the .pt file the shipped ONNX was made of; with it and the [train] extra the baseline is measured in the same run.
"""

import importlib.util
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from grading import samples
from grading.camera import Pixels, decode
from grading.detectors import DETECTORS, detector_named
from grading.errors import ModelFileError
from grading.learned import LearnedDetector, find, shipped
from grading.runtimes import RUNTIMES

pytestmark = pytest.mark.benchmark
ROUNDS = 15


@cache
def frame() -> Pixels:
    """A rendered tray, four to six fruit in view, 640 x 480."""
    pixels = decode(samples.tray(7).jpeg).pixels
    return np.asarray(cv2.resize(pixels[:, : pixels.shape[0] * 4 // 3], (640, 480), interpolation=cv2.INTER_AREA))


def cpu_ms(work: Callable[[], object]) -> float:
    """Return the median of processor time per call, after two calls to warm up."""
    for _ in range(2):
        work()
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return 1000 * float(np.median(taken))


def test_cpu_milliseconds_per_frame() -> None:
    pixels, told = frame(), {}
    for name in DETECTORS:
        try:
            detector = detector_named(name)
        except ModelFileError:
            continue
        told[name] = cpu_ms(lambda detector=detector: detector.detect(pixels))
        print(f"\n{name}: {told[name]:.1f} CPU-ms, {len(detector.detect(pixels))} fruit")
    if "learned" not in told:
        pytest.skip("no weights are shipped")
    network = cpu_ms(lambda: find(pixels, shipped()))
    for runtime in RUNTIMES[1:]:
        try:
            other = cpu_ms(lambda runtime=runtime: find(pixels, shipped(runtime=runtime)))
        except ModelFileError as refused:
            print(f"{runtime} not measured: {refused}")
        else:
            print(f"network alone, {runtime}: {other:.1f} CPU-ms")
    edges = cpu_ms(lambda: LearnedDetector(shipped(), finds_edges=True).detect(pixels))
    print(
        f"network alone, boxes and coarse masks: {network:.1f} CPU-ms; with edges sought in the photograph: {edges:.1f}"
    )
    weights = os.environ.get("FRUIT_WEIGHTS", "")
    if not weights or importlib.util.find_spec("ultralytics") is None:
        print("baseline not measured: needs the [train] extra and FRUIT_WEIGHTS")
        return
    from grading.train import _ultralytics

    model = _ultralytics(Path(weights).parent, 1).YOLO(weights)
    side = shipped().card.side
    torch = cpu_ms(lambda: model.predict(pixels, imgsz=side, verbose=False, device="cpu"))
    print(f"ultralytics with torch, 1 thread: {torch:.1f} CPU-ms, {torch / network:.1f} times the network alone")
