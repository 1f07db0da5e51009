"""Detectors by name and by description; what a verdict names finds the detector that made it again."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from grading.agree import CrossCheckedDetector
from grading.calibrate import Coin
from grading.camera import Frame
from grading.detect import ClassicalDetector
from grading.detectors import CLASSICAL, DETECTORS, detector_described, detector_named
from grading.errors import EvidenceError, ModelFileError, NoScaleError
from grading.evidence import fruit_record, regrade
from grading.learned import LearnedDetector, load_model
from grading.look import look, look_at
from ledger.canonical import canonical
from tests.grading.conftest import setup, tray
from tests.grading.tiny_network import card, network


def test_the_classical_detector_needs_no_weights() -> None:
    assert DETECTORS[0] == CLASSICAL
    assert detector_named(CLASSICAL) == ClassicalDetector()


def test_without_weights_the_others_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**_: str) -> None:
        raise ModelFileError(Path("fruit.toml"), "cannot be read")

    monkeypatch.setattr("grading.learned.shipped", missing)
    for name in DETECTORS[1:]:
        with pytest.raises(ModelFileError, match=r"^fruit\.toml cannot be read"):
            detector_named(name)


def test_a_description_finds_its_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(card(tmp_path, network(np.zeros((1, 9)))))
    monkeypatch.setattr("grading.learned.shipped", lambda **_: model)
    for name in DETECTORS:
        told = canonical(dict(detector_named(name).description))
        assert detector_described(lambda each, told=told: each == told) == detector_named(name)
    with pytest.raises(EvidenceError, match="another detector"):
        detector_described(lambda _: False)


def test_a_fruit_graded_by_both_is_graded_again_by_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(card(tmp_path, network(np.zeros((1, 9)))))
    monkeypatch.setattr("grading.learned.shipped", lambda **_: model)
    crossed = replace(setup(), detector=CrossCheckedDetector(LearnedDetector(model)))
    seen = look(tray(7), crossed)
    assert {each.verdict.tier for each in seen.fruit} == {"doubtful"}  # the tiny network finds nothing
    record = fruit_record(seen, seen.fruit[0], crop="", number=1, run="run", setup=crossed)
    files = {"standard": crossed.standard.data, "tariff": crossed.tariff.data}
    assert regrade(record, tray(7), **files) == seen.fruit[0].verdict
    monkeypatch.setattr(
        "grading.learned.shipped", lambda **_: load_model(card(tmp_path / "b", network(np.zeros((2, 9)))))
    )
    with pytest.raises(EvidenceError, match="another detector"):
        regrade(record, tray(7), **files)


def test_a_coin_that_only_the_network_sees_gives_the_scale(tmp_path: Path) -> None:
    # Brass on a table of its own colour but lighter: the search of the whole photograph knows only grey coins.
    pixels = np.full((600, 800, 3), (60, 120, 150), np.uint8)
    cv2.circle(pixels, (250, 300), 40, (90, 170, 200), -1, cv2.LINE_AA)
    cv2.circle(pixels, (600, 300), 90, (30, 40, 220), -1, cv2.LINE_AA)
    frame = Frame(pixels, bytes(32))
    row = (205 / 12.5, (255 + 100) / 12.5, 293 / 12.5, (345 + 100) / 12.5, 0.9, 0, 25.0, -25.0, -25.0)
    learned = LearnedDetector(load_model(card(tmp_path, network(np.array([row])))))
    with pytest.raises(NoScaleError):
        look_at(frame, replace(setup(), reference=Coin()))
    seen = look_at(frame, replace(setup(), reference=Coin(), detector=CrossCheckedDetector(learned)))
    assert seen.scale.nm_per_px == pytest.approx(25_000_000 / 80, rel=0.02)
    assert len(seen.fruit) == 1
