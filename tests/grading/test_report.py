"""Files on disk: one report each, in one form, refusals among them."""

import io
import json
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from grading import samples
from grading.calibrate import Coin, Marker
from grading.camera import to_jpeg
from grading.look import Given
from grading.report import ASSUMED_FOCAL_MM, focal_px_of, grade_files, picture_paths
from grading.standard import load_standard
from tests.grading.conftest import target, tray

MANGO = load_standard("mango")
KEYS = {"image", "width", "height", "scale", "fruits", "refused", "standard", "detector", "ground", "same_as"}


def test_every_file_gets_its_report_and_a_refusal_says_why(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(tray(7))
    (tmp_path / "b.jpg").write_bytes(target())
    (tmp_path / "c.png").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_text("not a picture")
    paths = [*picture_paths([tmp_path]), tmp_path / "gone.jpg"]
    reports = list(grade_files(paths, standard=MANGO))
    assert all(set(report) == KEYS for report in reports)
    assert [len(report["fruits"]) for report in reports] == [12, 0, 0, 0]
    whats = [[each["what"] for each in report["refused"]] for report in reports]
    assert whats == [[], ["no_fruit"], ["image_broken"], ["file_unreadable"]]
    assert reports[0]["standard"]["id"] == "mango-codex-184"
    assert [(report["detector"], report["ground"]) for report in reports[:3]] == [
        ("automatic", "plain"),
        ("automatic", "plain"),
        ("automatic", None),
    ]
    assert (reports[1]["width"], reports[1]["height"]) == (1600, 1000), "a picture without fruit is still a picture"
    json.dumps(reports)


def test_a_fruit_is_told_in_pixels_millimetres_grams_and_words(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(tray(7))
    (report,) = grade_files([tmp_path / "a.jpg"], standard=MANGO, references=[Marker()])
    assert report["scale"]["method"] == "marker"
    assert report["scale"]["mm_per_px"] == pytest.approx(samples.MM_PER_PX, rel=0.01)
    for fruit in report["fruits"]:
        x1, y1, x2, y2 = fruit["box"]
        assert all(x1 <= x <= x2 and y1 <= y <= y2 for x, y in fruit["polygon"])
        assert fruit["diameter_mm"] <= fruit["length_mm"]
        low, high = fruit["mass_g_interval"]
        assert low < fruit["mass_g"] < high
        assert 0 <= fruit["confidence"] <= 1
        assert {"zh", "en", "rule"} <= set(fruit["reasons"][0])
        for defect in fruit["defects"]:
            a, b, c, d = defect["box"]
            assert x1 <= a < c <= x2
            assert y1 <= b < d <= y2
            assert 0 <= defect["area_mm2"] <= (c - a) * (d - b)


def test_half_a_fruit_at_the_edge_is_refused_and_the_others_are_graded(tmp_path: Path) -> None:
    drawn = samples.tray(7)
    middle = max(fruit.x for fruit in drawn.fruit)
    (tmp_path / "a.jpg").write_bytes(to_jpeg(drawn.pixels[:, :middle]))
    (report,) = grade_files([tmp_path / "a.jpg"], standard=MANGO, references=[Marker()])
    cut = [each for each in report["refused"] if each["what"] == "fruit_cut"]
    assert cut
    assert report["fruits"]
    assert all(each["box"][2] == middle for each in cut)


def test_a_picture_with_neither_marker_nor_coin_names_both_and_a_stated_scale_needs_neither(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(to_jpeg(samples.tray(1).pixels[:, 300:]))
    (report,) = grade_files([path], standard=MANGO)
    refused = report["refused"][0]
    assert refused["what"] == "no_scale"
    assert "marker" in refused["why"]
    assert "coin" in refused["why"]
    assert report["scale"] is None
    assert len(report["fruits"]) >= 9, "fruit are told all the same"
    for fruit in report["fruits"]:
        assert (fruit["tier"], fruit["class"], fruit["reasons"][0]["rule"]) == ("doubtful", None, "doubt-no-scale")
        lengths = [fruit[name] for name in ("diameter_mm", "length_mm", "sphere_mm", "mass_g", "mass_g_interval")]
        assert lengths == [None] * 5, "never a guessed size"
        assert all(mark["area_mm2"] is None for mark in fruit["defects"])
    (report,) = grade_files([path], standard=MANGO, references=[Given(round(samples.MM_PER_PX * 1e6))])
    assert report["scale"]["method"] == "given"
    assert report["fruits"]


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(60_001) * 50, 9)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    (report,) = grade_files([path], standard=MANGO)
    assert report["refused"][0]["what"] == "image_too_large"


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    reports = list(grade_files([tmp_path / "folder.jpg", Path("/dev/zero"), tmp_path / "a\x00b"], standard=MANGO))
    assert {report["refused"][0]["what"] for report in reports} == {"file_unreadable"}


@pytest.mark.parametrize("at", range(40, 4000, 330))
def test_a_file_torn_anywhere_is_refused_by_name(tmp_path: Path, at: int) -> None:
    path = tmp_path / "torn.jpg"
    path.write_bytes(tray(7)[:at])
    (report,) = grade_files([path], standard=MANGO)
    assert report["refused"][0]["what"] == "image_broken"


def test_a_camera_that_tells_its_focal_length_is_believed_and_nonsense_is_not() -> None:
    def photograph(focal: object) -> bytes:
        image, out = Image.new("RGB", (400, 300)), io.BytesIO()
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0xA405] = focal
        image.save(out, "JPEG", exif=exif)
        return out.getvalue()

    assert focal_px_of(photograph(43), width=400, height=300) == round(43 / 43.267 * 500)
    assert focal_px_of(photograph(0), width=400, height=300) is None
    assert focal_px_of(photograph(5000), width=400, height=300) is None
    assert focal_px_of(b"no picture", width=400, height=300) is None
    assert 8 <= ASSUMED_FOCAL_MM <= 600


@pytest.mark.shared
def test_the_coin_gives_the_scale_of_a_real_photograph(shared: Path) -> None:
    path = shared / "images" / "ecust_fruit_coin" / "images" / "orange001T_1.jpg"
    if not path.exists():
        path = next(iter(sorted((shared / "images" / "ecust_fruit_coin" / "images").glob("orange*T_*.jpg"))))
    (report,) = grade_files([path], standard=load_standard("mango-small"), references=[Coin()])
    assert report["scale"]["method"] == "coin"
    assert report["scale"]["camera_height_mm"] > 100, "an ordinary camera's focal length was taken"
    assert 50 < report["fruits"][0]["diameter_mm"] < 110
