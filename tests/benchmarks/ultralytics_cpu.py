# ruff: noqa: T201  # what calls it reads its one line
"""CPU milliseconds a frame of ultralytics with torch, for `bench_belt.py`: FRAMES.npy WEIGHTS.pt SIDE..."""

import json
import sys
import time
from pathlib import Path

import numpy as np

from grading.train import _ultralytics


def main(frames_file: str, weights: str, sides: list[int]) -> None:
    """Print the median of processor time per frame for each side the picture is brought to."""
    frames = np.load(frames_file)
    model = _ultralytics(Path(frames_file).parent, 1).YOLO(weights)
    told = {}
    for side in sides:
        taken = []
        for frame in [frames[0], frames[0], *frames]:
            start = time.process_time()
            model.predict(frame, imgsz=side, verbose=False, device="cpu")
            taken.append(time.process_time() - start)
        told[side] = 1000 * float(np.median(taken[2:]))
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(side) for side in sys.argv[3:]])
