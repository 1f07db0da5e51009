"""Samples are drawn from their seed alone, and the camera reads off them what was drawn."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from grading import samples
from grading.errors import StandardError
from grading.look import look
from tests.grading.conftest import setup, tray


def test_the_same_seed_draws_the_same_picture() -> None:
    assert sha256(samples.tray(7).jpeg).digest() == sha256(tray(7)).digest()
    assert not np.array_equal(samples.tray(7, fruits=1).pixels, samples.tray(8, fruits=1).pixels)


def test_the_camera_reads_sizes_within_three_percent_and_mass_within_eight() -> None:
    drawn = samples.tray(12)
    seen = look(drawn.jpeg, setup())
    for fruit in seen.fruit:
        x, y, w, h = fruit.detection.box
        true = min(drawn.fruit, key=lambda each: (each.x - x - w / 2) ** 2 + (each.y - y - h / 2) ** 2)
        assert fruit.measures.length_um / 1000 == pytest.approx(true.length_mm, rel=0.03)
        assert fruit.measures.width_um / 1000 == pytest.approx(true.width_mm, rel=0.03)
        assert fruit.measures.mass_g == pytest.approx(true.mass_g, rel=0.08)


def test_a_single_fruit_picture_can_be_graded() -> None:
    assert len(look(samples.single(4).jpeg, setup()).fruit) == 1


def test_thirteen_fruit_do_not_fit() -> None:
    with pytest.raises(StandardError):
        samples.tray(1, fruits=13)


def test_trays_are_written_once(tmp_path: Path) -> None:
    (path,) = samples.write_trays(tmp_path, count=1, seed=7)
    assert path.read_bytes() == tray(7)
