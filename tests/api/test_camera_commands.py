"""`guoyuan camera`: what is printed measures what it says, and a profile is only written when it can be trusted."""

import json
import re
import zlib
from datetime import timedelta
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from api.cli import app
from grading.camera import Pixels
from grading.colour_card import calibrate_colour, load_card
from grading.errors import ColourCardError
from grading.lens import BOARDS, find_board
from grading.line.light import observed
from grading.profile import CameraProfile, parse_profile
from tests.grading.test_lens import GLASS, ON_THE_BELT, POSES, photograph
from tests.grading.test_profile import WHOLE
from tests.simulators.cameras import MjpegServer

PT_PER_MM = 72 / 25.4


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["camera", *map(str, arguments)])


def written(path: Path, pixels: Pixels) -> Path:
    cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The board before the camera, eight times, as PNG files; the last is the board on the belt."""
    folder = tmp_path_factory.mktemp("photos")
    return [written(folder / f"{n}.png", photograph(pose)) for n, pose in enumerate((*POSES, ON_THE_BELT))]


def placed_mm(pdf: bytes) -> tuple[float, float]:
    """Width and height at which the page's picture is placed."""
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            text = zlib.decompress(stream)
        except zlib.error:
            continue
        found = re.search(rb"([\d.]+) 0 0 ([\d.]+) [\d.]+ [\d.]+ cm", text)
        if found:
            return float(found[1]) / PT_PER_MM, float(found[2]) / PT_PER_MM
    raise AssertionError("no picture is placed")


@pytest.mark.parametrize(("size", "sheet_mm"), [("a4", (297, 210)), ("a3", (420, 297))])
def test_the_printed_board_has_true_millimetres(tmp_path: Path, size: str, sheet_mm: tuple[int, int]) -> None:
    out = tmp_path / "board.pdf"
    assert run("board", "--out", out, "--board", size).exit_code == 0
    pdf = out.read_bytes()
    assert placed_mm(pdf) == pytest.approx(BOARDS[size].size_mm, abs=0.01)
    box = re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    assert box is not None
    assert [float(each) / PT_PER_MM for each in box.groups()] == pytest.approx(sheet_mm, abs=0.1)


def test_the_board_as_a_picture_knows_its_dots_and_is_found(tmp_path: Path) -> None:
    out = tmp_path / "board.png"
    assert run("board", "--out", out).exit_code == 0
    with Image.open(out) as image:
        per_mm = image.info["dpi"][0] / 25.4
        pixels = np.asarray(image.convert("RGB"))[:, :, ::-1].copy()
    assert (pixels.shape[1] - 20 * per_mm) / per_mm == pytest.approx(250, abs=0.1)
    view = find_board(cv2.resize(pixels, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA), BOARDS["a4"])
    assert len(view.ids) == 54
    step = np.linalg.norm(view.points[1] - view.points[0]) / 0.3 / per_mm
    assert step == pytest.approx(25.0, abs=0.05)


def test_the_frame_of_a_card_comes_with_the_cards_values(tmp_path: Path) -> None:
    out = tmp_path / "mine.pdf"
    assert run("card", "--out", out, "--across-mm", 140, "--down-mm", 84).exit_code == 0
    assert placed_mm(out.read_bytes()) == pytest.approx((140 + 2 * 21 + 54, 84 + 2 * 21 + 54), abs=0.01)
    assert load_card(str(tmp_path / "mine.toml")) == msgspec.structs.replace(load_card(), across_mm=140, down_mm=84)
    refused = run("card", "--out", out, "--values", tmp_path / "mine.toml", "--across-mm", 140, "--down-mm", 84)
    assert refused.exit_code == 2
    assert run("card", "--out", tmp_path / "big.pdf", "--across-mm", 390, "--down-mm", 300).exit_code == 2
    assert run("card", "--out", tmp_path / "big.docx", "--across-mm", 140, "--down-mm", 84).exit_code == 2


def test_calibrating_tells_what_is_missing_and_writes_a_profile(tmp_path: Path, photos: list[Path]) -> None:
    out = tmp_path / "profile.json"
    light = written(tmp_path / "light.png", photograph(ON_THE_BELT))
    result = run("calibrate", *photos[:-1], "--belt", photos[-1], "--light", light, "--out", out, "--days", 10)
    assert result.exit_code == 0, result.output
    assert "still missing: 5 more photographs of the board" in result.output
    assert "no --card" in result.output
    profile = parse_profile(out.read_bytes())
    assert profile.camera_height_um == pytest.approx(597_310, rel=0.003)
    assert profile.valid_until - profile.made_at == timedelta(days=10)
    assert profile.light == observed(photograph(ON_THE_BELT)).baseline
    shown = run("show", out, "--json")
    assert shown.exit_code == 0
    assert json.loads(shown.output)["digest"] == profile.digest.hex()
    assert profile.digest.hex() in run("show", out).output
    assert out.with_suffix(".part").exists() is False


def test_a_colour_card_becomes_part_of_the_profile(tmp_path: Path, photos: list[Path]) -> None:
    assert run("card", "--out", tmp_path / "card.pdf", "--across-mm", 140, "--down-mm", 84).exit_code == 0
    from tests.grading.test_colour_card import sheet
    from tests.grading.test_lens import place

    # The frame and the card in it, lying flat on the belt under the same camera.
    rotation, at = place((3, -4, 2, -20, -10, 560))
    card = written(tmp_path / "card.png", GLASS.photograph(sheet(), 4, rotation, at))
    out = tmp_path / "profile.json"
    given = ("--card", card, "--card-values", tmp_path / "card.toml")
    result = run("calibrate", *photos[:-1], "--belt", photos[-1], *given, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    colour = parse_profile(out.read_bytes()).colour
    assert colour is not None
    assert colour.before_centi > 5 * colour.after_centi
    without = run("calibrate", *photos[:-1], "--belt", photos[-1], "--card", card, "--out", out)
    assert without.exit_code == 2
    assert "say whose values" in without.output


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("few", "at least 6 are needed"),
        ("something else", "shows no board of ours"),
        ("bomb", "pixels; at most 50000000 are read"),
        ("broken", "cannot be read"),
        ("other size", "take all of them with the line's camera"),
    ],
)
def test_what_cannot_be_trusted_writes_nothing(tmp_path: Path, photos: list[Path], what: str, why: str) -> None:
    out, views, belt = tmp_path / "profile.json", photos[:-1], photos[-1]
    if what == "few":
        views = views[:3]
    elif what == "something else":
        belt = written(tmp_path / "cat.png", np.full((600, 800, 3), 90, np.uint8))
    elif what == "bomb":
        belt = tmp_path / "bomb.png"
        Image.new("L", (20_000, 10_000)).save(belt)
    elif what == "broken":
        belt = tmp_path / "broken.png"
        belt.write_bytes(photos[-1].read_bytes()[:5000])
    elif what == "other size":
        belt = written(tmp_path / "half.png", cv2.resize(photograph(ON_THE_BELT), (640, 480)))
    result = run("calibrate", *views, "--belt", belt, "--out", out)
    assert result.exit_code == 2
    assert why in " ".join(result.output.split())
    assert not out.exists()


def test_an_expired_profile_is_shown_and_found_wrong(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    file.write_bytes(
        CameraProfile(
            "old", (0, 0), 850_000, 680_000, WHOLE.made_at - timedelta(days=999), WHOLE.made_at - timedelta(days=900)
        ).data
    )
    result = run("show", file)
    assert result.exit_code == 1
    assert "calibrate again" in result.output
    file.write_bytes(WHOLE.data.replace(b"917500", b"917501"))
    altered = run("show", file)
    assert altered.exit_code == 2
    assert "sha256 does not fit" in altered.output


def test_watching_a_camera_tells_its_light_line_by_line(tmp_path: Path) -> None:
    picture = photograph(POSES[0])
    with MjpegServer(lambda n: np.roll(picture, n, axis=1), fps=25) as server:
        result = run("watch", server.url, "--seconds", 2, "--every", 0.5, "--json")
    lines = [json.loads(line) for line in result.output.splitlines()]
    assert len(lines) >= 3
    assert lines[-1]["source"]["state"] == "running"
    assert lines[-1]["light"]["sharpness_permille"] > 200
    assert result.exit_code == (1 if lines[-1]["troubles"] else 0)


def test_watching_a_dark_camera_finds_it_wrong(tmp_path: Path) -> None:
    for number in range(45):
        written(tmp_path / f"{number:03d}.png", np.full((240, 320, 3), number % 3, np.uint8))
    result = run("watch", f"folder:{tmp_path}")
    assert result.exit_code == 1
    assert "Too dark" in result.output


def test_watching_a_camera_that_is_not_there_cannot_be_done(tmp_path: Path) -> None:
    assert run("watch", "usb:63", "--seconds", 0.6, "--every", 0.2).exit_code == 3
    assert run("watch", "nothing.mp4").exit_code == 2


def test_a_photograph_is_taken_with_the_lines_own_camera(tmp_path: Path) -> None:
    with MjpegServer(lambda _: photograph(POSES[0]), fps=15) as server:
        result = run("photo", server.url, "--out", tmp_path / "one.png", "--wait-s", 0.5)
    assert result.exit_code == 0
    assert "800 x 600; the board with 5" in result.output
    assert run("photo", "usb:63", "--out", tmp_path / "none.png", "--wait-s", 0.2).exit_code == 3
    assert run("photo", "usb:63", "--out", tmp_path / "none.jpg").exit_code == 2


def test_a_card_that_nobody_measured_is_not_guessed() -> None:
    with pytest.raises(ColourCardError, match="measure the card"):
        calibrate_colour(photograph(POSES[0]), load_card())
