"""`guoyuan train` refuses plainly: without the extra, without fruit to hold out, with another training in the way."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from grading.samples import single


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["train", *arguments])
    assert result.exit_code == 2, (result.output, result.exception)
    return result


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Labels of three oranges; the pictures are never opened here."""
    folder = tmp_path / "house"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    (folder / "data.yaml").write_text("names: [coin, orange]\n")
    for fruit in "abc":
        (folder / "images" / f"{fruit}_1.jpg").write_bytes(b"")
        (folder / "labels" / f"{fruit}_1.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    return folder


def test_without_the_extra_it_says_what_to_install(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    told = run(str(data), "--out", str(tmp_path / "out")).stderr
    assert told.count("\n") == 1
    assert "training needs torch, ultralytics, onnx: pip install 'guoyuan[train]'" in told
    assert not (tmp_path / "out").exists()


@pytest.fixture
def extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra were installed: what follows refuses before it would be needed."""
    monkeypatch.setattr("grading.train.require_extra", lambda: None)


@pytest.mark.usefixtures("extra")
def test_a_label_at_fault_is_named(data: Path, tmp_path: Path) -> None:
    (data / "labels" / "b_1.txt").write_text("1 0.5 0.5 0.2 0.2\n9 0.5 0.5 0.2 0.2\n")
    assert "b_1.txt line 2 has class 9" in run(str(data), "--out", str(tmp_path / "out")).stderr


@pytest.mark.usefixtures("extra")
def test_too_few_fruit_to_hold_any_out_are_refused(data: Path, tmp_path: Path) -> None:
    (data / "images" / "c_1.jpg").unlink()
    assert "nothing could be held out" in run(str(data), "--out", str(tmp_path / "out")).stderr


@pytest.mark.usefixtures("extra")
def test_a_picture_that_is_none_is_named(data: Path, tmp_path: Path) -> None:
    assert "is no photograph to learn from" in run(str(data), "--out", str(tmp_path / "out")).stderr


@pytest.mark.usefixtures("extra")
def test_only_the_same_training_is_gone_on_with(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "holds no training to go on with" in run(str(data), "--out", str(out), "--resume").stderr
    out.mkdir()
    begun = {"data": [str(data)], "seed": 2, "side": 320, "scenes": 800, "leave_out": [], "classes": ["coin", "orange"]}
    (out / "plan.json").write_text(json.dumps(begun))
    assert "was begun with another epochs, seed" in run(str(data), "--out", str(out), "--resume").stderr
    (out / "plan.json").write_text(json.dumps({**begun, "seed": 1, "epochs": 40}))
    asked = (str(data), "--out", str(out), "--resume", "--epochs", "80")
    assert "was begun with another epochs" in run(*asked).stderr, "what is finished would be returned without a word"


@pytest.mark.usefixtures("extra")
@pytest.mark.parametrize("what", ["fruit", "defects"])
def test_a_training_is_not_begun_where_another_is(data: Path, tmp_path: Path, what: str) -> None:
    """The network of the old one would be shown for the new one's."""
    for file in (data / "images").iterdir():
        file.write_bytes(single(3).jpeg)
    for left, said in (("run", "holds a training already"), ("data", "was left by a training that never began")):
        (tmp_path / left / left).mkdir(parents=True)
        told = run(str(data), "--out", str(tmp_path / left), "--what", what, "--scenes", "0").stderr
        assert said in told


@pytest.mark.usefixtures("extra")
def test_going_on_from_other_weights_is_another_training(data: Path, tmp_path: Path) -> None:
    out, start = tmp_path / "out", tmp_path / "last.pt"
    out.mkdir()
    start.write_bytes(b"weights of last year")
    begun = {"data": [str(data)], "seed": 1, "side": 320, "scenes": 800, "epochs": 40, "leave_out": [], "classes": []}
    (out / "plan.json").write_text(json.dumps(begun))
    told = run(str(data), "--out", str(out), "--resume", "--from", str(start)).stderr
    assert "was begun with another from" in told
    (out / "plan.json").write_text(json.dumps({**begun, "from": "ab"}))
    assert "was begun with another from" in run(str(data), "--out", str(out), "--resume").stderr


def test_corrections_of_a_house_where_nobody_judged_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUOYUAN_HOME", str(tmp_path / "home"))
    assert CliRunner().invoke(app, ["migrate"]).exit_code == 0
    result = CliRunner().invoke(app, ["export-corrections", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2, (result.output, result.exception)
    assert "would hold nothing" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("extra")
def test_a_side_the_network_cannot_have_is_refused(data: Path, tmp_path: Path) -> None:
    assert "multiple of 32" in run(str(data), "--out", str(tmp_path / "out"), "--side", "100").stderr


@pytest.mark.usefixtures("extra")
def test_defects_are_learned_from_outlines_and_boxes_are_refused(data: Path, tmp_path: Path) -> None:
    (data / "data.yaml").write_text("names: [defect, orange]\n")
    for file in (data / "images").iterdir():
        file.write_bytes(single(3).jpeg)
    told = run(str(data), "--out", str(tmp_path / "out"), "--what", "defects", "--scenes", "0").stderr
    assert "outlines are needed" in told


@pytest.mark.usefixtures("extra")
def test_what_defects_cannot_be_asked_is_refused(data: Path, tmp_path: Path) -> None:
    told = run(str(data), "--out", str(tmp_path / "out"), "--what", "defects", "--leave-out", "coin").stderr
    assert "--from and --leave-out are for fruit" in " ".join(told.replace("│", " ").split())
