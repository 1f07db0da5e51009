"""Milliseconds per fruit: the classical detector and the measuring, beside a plain Otsu threshold on grey."""

import cv2
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from grading import samples
from grading.calibrate import Marker, find_scale
from grading.camera import decode, to_lab
from grading.detect import ClassicalDetector
from grading.look import Setup, look
from grading.measure import measure
from grading.standard import load_standard, load_tariff

pytestmark = pytest.mark.benchmark

TRAY = samples.tray(7)
PIXELS = decode(TRAY.jpeg).pixels
MARKER = find_scale(PIXELS, Marker())
FRUIT = len(TRAY.fruit)


def per_fruit(benchmark: BenchmarkFixture) -> None:
    benchmark.extra_info["fruit"] = FRUIT
    if benchmark.stats is not None:
        benchmark.extra_info["ms_per_fruit"] = round(benchmark.stats.stats.median * 1000 / FRUIT, 2)


def test_baseline_otsu_on_grey(benchmark: BenchmarkFixture) -> None:
    """What anyone would try first: it takes shadows and the marker for fruit."""

    def run() -> int:
        grey = cv2.GaussianBlur(cv2.cvtColor(PIXELS, cv2.COLOR_BGR2GRAY), (5, 5), 0)
        _, mask = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        return int(np.sum(stats[1:count, cv2.CC_STAT_AREA] > 2000))

    benchmark(run)
    per_fruit(benchmark)


def test_classical_detector(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(ClassicalDetector().detect, PIXELS, ignore=[MARKER.outline])) == FRUIT
    per_fruit(benchmark)


def test_measuring(benchmark: BenchmarkFixture) -> None:
    solid = load_standard("mango").solid
    found = ClassicalDetector().detect(PIXELS, ignore=[MARKER.outline])

    def run() -> None:
        for each in found:
            x, y, w, h = each.box
            measure(to_lab(PIXELS[y : y + h, x : x + w]), each.mask, mm_per_px=0.38, solid=solid)

    benchmark(run)
    per_fruit(benchmark)


def test_whole_photograph_from_bytes_to_verdicts(benchmark: BenchmarkFixture) -> None:
    data = TRAY.jpeg
    setup = Setup(load_standard("mango"), load_tariff(), Marker())
    assert len(benchmark(look, data, setup).fruit) == FRUIT
    per_fruit(benchmark)
