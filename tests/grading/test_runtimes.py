"""The same weights in another runtime: found again by name, refused by name, and alike in what they find."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from grading import runtimes
from grading.camera import decode
from grading.detectors import detector_described, detector_named
from grading.errors import EvidenceError, ModelFileError
from grading.learned import LearnedDetector, load_model, shipped
from grading.runtimes import ONNXRUNTIME, OPENVINO, OPENVINO_BF16, RUNTIMES
from ledger.canonical import canonical
from tests.grading.conftest import tray
from tests.grading.tiny_network import card, network

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="needs the [openvino] extra")


def test_a_runtime_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    told = card(tmp_path, network(np.zeros((1, 9))))
    with pytest.raises(
        ModelFileError, match=r"cannot be run by 'abacus': the runtimes are onnxruntime, openvino, open"
    ):
        load_model(told, runtime="abacus")


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    told = card(tmp_path, network(np.zeros((1, 9))))
    for runtime in (OPENVINO, OPENVINO_BF16):
        with pytest.raises(ModelFileError, match=rf"cannot be run by {runtime}: pip install 'guoyuan\[openvino\]'"):
            load_model(told, runtime=runtime)


def test_the_description_names_the_runtime() -> None:
    assert LearnedDetector(shipped()).description["runtime"] == ONNXRUNTIME
    assert detector_named("learned", runtime=ONNXRUNTIME) == detector_named("learned")


def test_a_record_of_a_runtime_that_is_gone_finds_no_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    told = canonical({**LearnedDetector(shipped()).description, "runtime": OPENVINO})
    with pytest.raises(EvidenceError, match="another detector"):
        detector_described(lambda each: each == told)


@openvino
@pytest.mark.parametrize("runtime", RUNTIMES[1:])
def test_openvino_finds_what_onnxruntime_finds(runtime: str) -> None:
    pixels = decode(tray(7)).pixels
    usual = LearnedDetector(shipped()).detect(pixels)
    try:
        other = LearnedDetector(shipped(runtime=runtime))
    except ModelFileError as refused:
        pytest.skip(str(refused))
    found = other.detect(pixels)
    again = other.detect(pixels)
    assert [(a.box, a.score_permille) for a in found] == [(b.box, b.score_permille) for b in again]
    sure = [each for each in usual if each.score_permille >= 800]
    boxes = np.array([each.box for each in found])
    for each in sure:
        assert np.abs(boxes - np.array(each.box)).max(axis=1).min() <= 12


@openvino
def test_openvino_refuses_what_is_no_network(tmp_path: Path) -> None:
    for weights in (b"", b"no network", network(np.zeros((1, 9)), side=128)):
        with pytest.raises(ModelFileError, match=r"cannot be run|has other inputs or outputs"):
            load_model(card(tmp_path, weights), runtime=OPENVINO)


@openvino
def test_a_description_finds_its_runtime() -> None:
    meant = LearnedDetector(shipped(runtime=OPENVINO))
    told = canonical(dict(meant.description))
    assert detector_described(lambda each: each == told) == meant


def test_the_networks_answer_is_its_own(tmp_path: Path) -> None:
    answer, _ = runtimes.load(network(np.ones((1, 9))), tmp_path / "x.onnx")
    first = answer(np.zeros((1, 3, 64, 64), np.float32))[1].copy()
    second = answer(np.ones((1, 3, 64, 64), np.float32))[1]
    assert first.max() == 0
    assert second.min() == 1
