"""Files on disk: one report each, refusals among them."""

from pathlib import Path

import pytest

from grading.errors import UnknownCropError
from grading.report import grade_files, picture_paths
from tests.grading.conftest import target, tray


def test_every_file_gets_its_report_and_a_refusal_says_why(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(tray(7))
    (tmp_path / "b.jpg").write_bytes(target())
    (tmp_path / "c.png").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_text("not a picture")
    paths = [*picture_paths([tmp_path]), tmp_path / "gone.jpg"]
    reports = list(grade_files(paths))
    assert [report["ok"] for report in reports] == [True, False, False, False]
    assert [report.get("code") for report in reports] == [None, "no_fruit", "image_broken", "image_broken"]
    assert len(reports[0]["fruit"]) == 12
    first = reports[0]["fruit"][0]
    assert first["reason"]["zh"]
    assert first["mass_g"] > 0
    assert reports[0]["standard"] == "mango-codex-184"


def test_a_picture_with_neither_marker_nor_coin_names_both(tmp_path: Path) -> None:
    from grading import samples
    from grading.camera import to_jpeg

    (tmp_path / "a.jpg").write_bytes(to_jpeg(samples.tray(1).pixels[:, 300:]))
    (report,) = grade_files([tmp_path / "a.jpg"])
    assert report["code"] == "no_scale"
    assert "marker" in report["message"] or "aruco" in report["message"]
    assert "coin" in report["message"]


def test_an_unknown_crop_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UnknownCropError):
        next(grade_files([Path("x.jpg")], crop="durian"))
