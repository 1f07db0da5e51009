"""What training is told, without the extra it needs: where it begins, how large its steps are, when in bfloat16."""

from pathlib import Path

import pytest

from grading.errors import TrainingError
from grading.train import Recipe, _arguments, has_bfloat16, measures, require_extra


def test_from_nothing_and_from_earlier_weights_are_told_apart(tmp_path: Path) -> None:
    new, on = _arguments(Recipe()), _arguments(Recipe(start=tmp_path / "last.pt"))
    assert (new["pretrained"], on["pretrained"]) == (False, True)
    assert (new["lr0"], on["lr0"]) == (0.002, 0.0012)
    assert on["warmup_epochs"] < new["warmup_epochs"]
    assert _arguments(Recipe(learning_rate=0.0006, start=tmp_path / "last.pt"))["lr0"] == 0.0006


def test_every_training_is_seeded_quiet_and_draws_nothing() -> None:
    told = _arguments(Recipe(seed=7))
    assert (told["seed"], told["deterministic"], told["workers"]) == (7, True, 0)
    assert not any(told[name] for name in ("verbose", "plots", "amp"))


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("flags : fpu avx512f avx512_bf16 sse2", True),
        ("flags : amx_bf16 amx_tile", True),
        ("Features : fp asimd bf16", True),
        ("flags : fpu avx2 sse2", False),
        ("model name : bfloat16 dreamer", False),
    ],
)
def test_bfloat16_is_what_the_processor_says(monkeypatch: pytest.MonkeyPatch, flags: str, has: bool) -> None:  # noqa: FBT001
    monkeypatch.setattr(Path, "read_text", lambda *_: flags)
    assert has_bfloat16() is has


def test_where_the_processor_tells_nothing_it_is_not_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert has_bfloat16() is False


def test_the_measures_are_the_last_epochs_not_the_best_ones(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("epoch, metrics/mAP50(B), lr/pg0\n1, 0.9, 0.1\n2, 0.8, 0.05\n")
    assert measures(tmp_path) == {"epoch": 2, "metrics/mAP50(B)": 0.8}


def test_without_the_extra_training_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(TrainingError, match=r"pip install 'guoyuan\[train\]'"):
        require_extra()
