"""Files on disk: one report each, in one form, refusals among them."""

import io
import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from grading import samples
from grading.calibrate import Coin, Marker, Polygon
from grading.camera import Pixels, to_jpeg
from grading.detect import ClassicalDetector, Detection
from grading.look import DOUBTS, Given
from grading.report import ASSUMED_FOCAL_MM, focal_px_of, grade_files, picture_paths
from grading.standard import Standard, load_standard, parse_standard
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
    assert "200000000 pixels" in report["refused"][0]["why"]


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


# --- which standard ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Naming(ClassicalDetector):
    """Colour finds the fruit, and all of them are said to be of these kinds."""

    told: tuple[tuple[str, int], ...] = ()

    def detect(self, pixels: Pixels, *, ignore: Sequence[Polygon] = ()) -> list[Detection]:
        kinds = dict(self.told)
        best = max(kinds, key=lambda kind: kinds[kind], default="")
        return [replace(each, kind=best, kinds=kinds) for each in super().detect(pixels, ignore=ignore)]

    def kinds(self, pixels: Pixels) -> dict[str, int]:  # noqa: ARG002  # whatever the photograph
        return {kind: 12 * share for kind, share in self.told}


def told(path: Path, standard: Standard | None, **kinds: int) -> dict[str, Any]:
    (path / "a.jpg").write_bytes(tray(7))
    (report,) = grade_files([path / "a.jpg"], standard=standard, detector=Naming(told=tuple(kinds.items())))
    return report


def doubted_for_kind(report: dict[str, Any]) -> list[bool]:
    return [any(each["rule"] == "doubt-kind" for each in fruit["reasons"]) for fruit in report["fruits"]]


@pytest.mark.parametrize(
    ("kind", "chosen"),
    [
        ("apple", "apple-unece-50"),
        ("orange", "citrus-unece-14"),
        ("tomato", "tomato-unece-36"),
    ],
)
def test_without_a_standard_the_one_for_the_fruit_seen_is_taken_and_named(
    tmp_path: Path, kind: str, chosen: str
) -> None:
    report = told(tmp_path, None, **{kind: 950, "mango": 50})
    assert (report["standard"]["id"], report["standard"]["from"]) == (chosen, "kind")
    assert not any(doubted_for_kind(report))


@pytest.mark.parametrize("kind", ["banana", "lemon"])
def test_fruit_that_no_standard_is_for_are_left_to_people(tmp_path: Path, kind: str) -> None:
    """Lemons are citrus fruit, and yet the sizes and colours of oranges are not theirs."""
    report = told(tmp_path, None, **{kind: 1000})
    assert (report["standard"]["id"], report["standard"]["from"]) == ("mango-codex-184", "assumed")
    assert all(doubted_for_kind(report))
    assert {fruit["tier"] for fruit in report["fruits"]} == {"doubtful"}


def test_away_from_coins_a_kind_the_network_is_not_sure_of_changes_nothing(tmp_path: Path) -> None:
    report = told(tmp_path, None, lemon=780, pear=180, mango=40)
    assert report["standard"]["from"] == "assumed"
    assert not any(doubted_for_kind(report))


@pytest.mark.shared
def test_beside_a_coin_the_network_is_heard(shared: Path) -> None:
    photographs = [
        shared / "images" / "ecust_fruit_coin" / "images" / f"{name}.jpg" for name in ("apple001T_1", "banana015T_3")
    ]
    apple, banana = grade_files(photographs, references=[Coin()])
    assert (apple["standard"]["id"], apple["standard"]["from"]) == ("apple-unece-50", "kind")
    assert apple["fruits"][0]["class"]
    assert banana["standard"]["from"] == "assumed"
    (as_mango,) = grade_files(photographs[:1], standard=MANGO, references=[Coin()])
    for fruit in (banana["fruits"][0], as_mango["fruits"][0]):
        assert (fruit["tier"], fruit["class"]) == ("doubtful", None)
        assert "doubt-kind" in {each["rule"] for each in fruit["reasons"]}
    assert as_mango["fruits"][0]["mass_g"] == pytest.approx(apple["fruits"][0]["mass_g"], rel=0.01)


def test_fruit_of_another_kind_than_was_said_get_no_class_and_their_own_mass(tmp_path: Path) -> None:
    apples = told(tmp_path, MANGO, apple=980, mango=20)
    mangoes = told(tmp_path, MANGO, mango=900, orange=100)
    assert (apples["standard"]["id"], apples["standard"]["from"]) == ("mango-codex-184", "given")
    assert all(doubted_for_kind(apples))
    assert not any(doubted_for_kind(mangoes))
    assert any(mango["class"] for mango in mangoes["fruits"])
    for apple, mango in zip(apples["fruits"], mangoes["fruits"], strict=True):
        assert (apple["class"], apple["size_code"], apple["price_fen"], apple["tier"]) == (None, None, None, "doubtful")
        assert {each["rule"] for each in apple["reasons"]} <= {f"doubt-{name}" for name in DOUBTS}
        assert mango["length_mm"] == apple["length_mm"]
        assert apple["mass_g"] / mango["mass_g"] == pytest.approx(1.060 * 0.810 / (0.880 * 1.020), abs=0.01)


def test_what_might_be_the_fruit_that_was_said_is_taken_for_it(tmp_path: Path) -> None:
    assert not any(doubted_for_kind(told(tmp_path, load_standard("tomato"), apple=700, tomato=300)))


def test_a_standard_for_a_fruit_no_network_knows_is_not_doubted(tmp_path: Path) -> None:
    data = MANGO.data.replace(b'crop = "mango"', b'crop = "pomelo"')
    assert not any(doubted_for_kind(told(tmp_path, parse_standard("pomelo", data), orange=1000)))
