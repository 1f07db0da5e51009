"""Photographs nobody should trust, through the command: each is refused by name or left to a person, none breaks it."""

import io
import json
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from api.cli import app as commands
from api.runtime import Runtime
from grading import learned, samples
from grading.camera import decode, to_jpeg
from grading.damage import torn_row
from grading.detect import ClassicalDetector
from grading.errors import BrokenImageError, CannotGradeError
from grading.look import Given
from grading.report import grade_files
from grading.standard import load_standard
from tests.api.test_station import House

Pixels = NDArray[np.uint8]
SINGLE = samples.single(3)
COIN_FOLDER = Path("images") / "ecust_fruit_coin"


BELT = ("--scale", "marker", "--standard", "mango")


def graded(*paths: Path | str, options: tuple[str, ...] = BELT) -> tuple[int, list[dict[str, Any]]]:
    """Run the command and return its exit code and its lines: every one of them JSON, one per photograph."""
    result = CliRunner().invoke(commands, ["grade", *map(str, paths), "--json", *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


def seen(tmp_path: Path, pixels: Pixels, options: tuple[str, ...] = BELT) -> dict[str, Any]:
    path = tmp_path / "a.jpg"
    path.write_bytes(to_jpeg(pixels, quality=92))
    _, (report,) = graded(path, options=options)
    return report


def rules(report: dict[str, Any]) -> set[str]:
    return {reason["rule"] for fruit in report["fruits"] for reason in fruit["reasons"]}


def is_left_to_people(report: dict[str, Any]) -> bool:
    return all(fruit["tier"] == "doubtful" for fruit in report["fruits"])


# --- what lies before the camera -------------------------------------------------------------------


def with_hand(pixels: Pixels) -> Pixels:
    """A hand of skin colour reaches in from below, with soft light on it."""
    shape = np.zeros(pixels.shape[:2], np.uint8)
    cv2.ellipse(shape, (560, 330), (70, 85), 0, 0, 360, 255, -1)
    for degrees in (-40, -18, 2, 22, 60):
        angle = np.deg2rad(degrees - 90)
        end = (int(560 + 150 * np.cos(angle)), int(300 + 150 * np.sin(angle)))
        cv2.line(shape, (560, 300), end, 255, 32)
    cv2.line(shape, (560, 380), (560, 519), 255, 100)
    cover = cv2.GaussianBlur(shape, (0, 0), 2).astype(np.float32)[..., None] / 255
    light = 0.7 + 0.3 * cv2.GaussianBlur(cover, (0, 0), 25)[..., None]
    return np.clip(pixels * (1 - cover) + np.array((125, 158, 214)) * light * cover, 0, 255).astype(np.uint8)


def with_second(dx: int, dy: int) -> Pixels:
    """The fruit once more, lying on itself."""
    pixels = SINGLE.pixels.copy()
    found = max(ClassicalDetector().detect(pixels), key=lambda each: int(each.mask.sum()))
    x, y, w, h = found.box
    end = min(y + dy + h, pixels.shape[0] - 3)
    mask = found.mask[: end - y - dy]
    pixels[y + dy : end, x + dx : x + dx + w][mask] = SINGLE.pixels[y : y + h, x : x + w][: end - y - dy][mask]
    return pixels


def test_the_same_fruit_in_good_light_is_graded(tmp_path: Path) -> None:
    """The control of what follows: nothing about it is doubted."""
    report = seen(tmp_path, SINGLE.pixels)
    (fruit,) = report["fruits"]
    assert fruit["tier"] != "doubtful"
    assert report["refused"] == []


def test_a_hand_is_no_fruit_without_a_person(tmp_path: Path) -> None:
    report = seen(tmp_path, with_hand(samples.target(1).pixels[200:720, :760]))
    assert report["scale"] is not None
    assert is_left_to_people(report)
    assert report["fruits"] or report["refused"]


@pytest.mark.parametrize(("dx", "dy"), [(-70, 30), (-110, 40), (0, 105)])
def test_two_fruit_on_one_another_go_to_a_person(tmp_path: Path, dx: int, dy: int) -> None:
    report = seen(tmp_path, with_second(dx, dy))
    assert report["fruits"] or report["refused"]
    assert is_left_to_people(report)


@pytest.mark.parametrize("gain", [2.5, 6.0, 0.08])
def test_in_bad_light_nothing_is_decided(tmp_path: Path, gain: float) -> None:
    report = seen(tmp_path, np.clip(SINGLE.pixels * gain, 0, 255).astype(np.uint8))
    assert is_left_to_people(report)
    assert report["fruits"] or report["refused"]
    assert "doubt-light" in rules(report) or report["refused"]


def test_an_empty_belt_has_no_fruit_and_a_white_one_no_scale(tmp_path: Path) -> None:
    assert [each["what"] for each in seen(tmp_path, samples.target(1).pixels)["refused"]] == ["no_fruit"]
    white = np.full((480, 640, 3), 255, np.uint8)
    assert seen(tmp_path, white)["refused"][0]["what"] == "no_scale"


def coin_photograph(shared: Path, name: str) -> tuple[Pixels, tuple[int, int, int]]:
    """A real photograph, and where its coin lies."""
    folder = shared / COIN_FOLDER
    pixels = cv2.imread(str(folder / "images" / f"{name}.jpg"))
    height, width = pixels.shape[:2]
    for line in (folder / "labels" / f"{name}.txt").read_text().splitlines():
        kind, *box = line.split()
        if kind == "0":
            x, y, w, h = (float(value) for value in box)
            return np.asarray(pixels, np.uint8), (int(x * width), int(y * height), int((w * width + h * height) / 4))
    raise AssertionError(name)


COIN = ("--scale", "coin", "--standard", "citrus")


@pytest.mark.shared
@pytest.mark.parametrize("colour", [(40, 40, 200), (190, 90, 30), (60, 150, 40)], ids=["red", "blue", "green"])
def test_a_bottle_cap_is_no_coin(shared: Path, tmp_path: Path, colour: tuple[int, int, int]) -> None:
    pixels, (x, y, radius) = coin_photograph(shared, "orange009T_9")
    assert seen(tmp_path, pixels, COIN)["scale"] is not None
    cv2.circle(pixels, (x, y), round(radius * 1.2), [value * 0.7 for value in colour], -1, cv2.LINE_AA)
    cv2.circle(pixels, (x, y), radius, colour, -1, cv2.LINE_AA)
    for angle in np.linspace(0, 2 * np.pi, 21, endpoint=False):
        out = np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple(int(v) for v in (x, y) + out * radius * share) for share in (1, 1.2)]
        cv2.line(pixels, ends[0], ends[1], [value * 0.5 for value in colour], 1)
    report = seen(tmp_path, pixels, COIN)
    assert report["scale"] is None or is_left_to_people(report)
    assert report["fruits"], "the fruit is told all the same"


@pytest.mark.shared
@pytest.mark.parametrize("name", ["mango010T_1", "orange009T_9"])
def test_two_coins_of_two_sizes_are_nobodys_scale(shared: Path, tmp_path: Path, name: str) -> None:
    pixels, (x, y, radius) = coin_photograph(shared, name)
    small = cv2.resize(
        pixels[y - radius : y + radius, x - radius : x + radius], None, fx=0.72, fy=0.72, interpolation=cv2.INTER_AREA
    )
    disc = np.zeros(small.shape[:2], np.uint8)
    cv2.circle(disc, (len(disc) // 2, len(disc) // 2), len(disc) // 2 - 2, 1, -1)
    pixels[20 : 20 + len(disc), 20 : 20 + len(disc)][disc > 0] = small[disc > 0]
    report = seen(tmp_path, pixels, COIN)
    assert is_left_to_people(report)
    assert "doubt-scale" in rules(report) or report["scale"] is None


@pytest.mark.shared
def test_a_photograph_from_the_side_goes_to_a_person_unless_said(shared: Path, tmp_path: Path) -> None:
    pixels, _ = coin_photograph(shared, "orange008S_1")
    report = seen(tmp_path, pixels, COIN)
    assert (report["scale"]["view"], report["scale"]["view_from"]) == ("side", "seen")
    assert "doubt-view" in rules(report)
    assert is_left_to_people(report)
    said = seen(tmp_path, pixels, (*COIN, "--view", "side"))
    assert "doubt-view" not in rules(said)
    assert (said["scale"]["view"], said["scale"]["view_from"]) == ("side", "given")
    assert said["scale"]["camera_height_mm"] is None
    assert said["fruits"][0]["diameter_mm"] == report["fruits"][0]["diameter_mm"]
    above = seen(tmp_path, pixels, (*COIN, "--view", "above"))
    assert above["fruits"][0]["diameter_mm"] < report["fruits"][0]["diameter_mm"]


# --- what the file is ------------------------------------------------------------------------------


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def lying(width: int, height: int) -> bytes:
    """A small JPEG whose header announces another size."""
    data = encoded(Image.new("RGB", (160, 140)), "JPEG")
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(100_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


PLAIN = Image.new("RGB", (160, 140), (40, 160, 220))
OTHER = Image.new("RGB", (160, 140), (200, 60, 20))
FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "bomb": (lambda: bomb(20_000, 10_000), "image_too_large"),
    "small-bomb": (lambda: bomb(7_000, 7_000), "image_broken"),
    "lying-jpeg": (lambda: lying(20_000, 20_000), "image_too_large"),
    "lying-a-little": (lambda: lying(7_000, 7_000), "image_broken"),
    "webp-16k": (lambda: encoded(Image.new("1", (16_000, 12_500)).convert("L"), "WEBP", quality=1), "image_too_large"),
    "animated-png": (lambda: encoded(PLAIN, save_all=True, append_images=[OTHER]), "image_broken"),
    "animated-webp": (
        lambda: encoded(PLAIN, "WEBP", save_all=True, append_images=[OTHER], duration=100),
        "image_broken",
    ),
    "gif": (lambda: encoded(PLAIN, "GIF"), "image_broken"),
    "cmyk": (lambda: encoded(PLAIN.convert("CMYK"), "JPEG"), "image_broken"),
    "thumbnail": (lambda: encoded(PLAIN.resize((90, 300))), "image_too_small"),
    "empty": (lambda: b"", "image_broken"),
    "text": (lambda: b"not a picture", "image_broken"),
    "torn": (lambda: SINGLE.jpeg[: len(SINGLE.jpeg) // 2], "image_broken"),
}


def test_every_odd_file_is_named_and_the_good_one_among_them_is_graded(tmp_path: Path) -> None:
    for name, (made, _) in FILES.items():
        (tmp_path / f"{name}.jpg").write_bytes(made())
    (tmp_path / "good.jpg").write_bytes(SINGLE.jpeg)
    (tmp_path / "link.jpg").symlink_to(tmp_path / "good.jpg")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path)
    strange = os.fsdecode(os.fsencode(tmp_path) + b"/na\xefme.jpg")
    Path(strange).write_bytes(SINGLE.jpeg)
    code, reports = graded(tmp_path)
    by_name = {Path(report["image"]).name: report for report in reports}
    assert code == 2
    assert len(reports) == len(by_name) == len(FILES) + 4
    for name, (_, what) in FILES.items():
        assert [each["what"] for each in by_name[f"{name}.jpg"]["refused"]] == [what], name
    assert by_name["dangling.jpg"]["refused"][0]["what"] == "file_unreadable"
    assert len(by_name["good.jpg"]["fruits"]) == 1
    assert by_name["link.jpg"]["same_as"].endswith("good.jpg"), "the same bytes under another name are noticed"
    assert by_name["na\N{REPLACEMENT CHARACTER}me.jpg"]["fruits"] == by_name["good.jpg"]["fruits"]


@pytest.mark.parametrize("turned", range(1, 9))
def test_all_eight_ways_to_hold_a_camera_give_the_same_fruit(turned: int) -> None:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = Image.fromarray(SINGLE.pixels[:, :, ::-1])
    exif = Image.Exif()
    exif[0x0112] = turned
    stored = upright.transpose(turns[turned]) if turned > 1 else upright
    assert (decode(encoded(stored, exif=exif)).pixels == SINGLE.pixels).all()


def test_sixteen_bits_and_transparency_are_seen_as_a_person_sees_them() -> None:
    ramp = (np.arange(160 * 140, dtype=np.uint32).reshape(140, 160) * 65535 // (160 * 140)).astype(np.uint16)
    read = decode(encoded(Image.fromarray(ramp))).pixels
    assert abs(read[..., 0].astype(int) - (ramp >> 8)).max() <= 1
    clear = PLAIN.convert("RGBA")
    clear.putalpha(0)
    assert (decode(encoded(clear)).pixels == 255).all(), "what is transparent is not there"
    assert decode(encoded(PLAIN.convert("L"))).pixels.shape == (140, 160, 3)


def test_a_telephones_second_picture_is_no_harm() -> None:
    data = encoded(PLAIN, "MPO", save_all=True, append_images=[PLAIN.rotate(180)])
    assert decode(data).pixels.shape == (140, 160, 3)


def test_a_picture_as_wide_as_a_belt_is_no_harm(tmp_path: Path) -> None:
    assert seen(tmp_path, np.full((125, 6000, 3), 90, np.uint8), ("--scale", "0.4"))["refused"][0]["what"] == "no_fruit"


@pytest.mark.parametrize("start", range(0, 1024, 128))
def test_a_jpeg_cut_off_anywhere_is_refused(start: int) -> None:
    data = to_jpeg(np.ascontiguousarray(SINGLE.pixels[:200, :260]))
    for at in range(start, len(data), 1024):
        with pytest.raises(BrokenImageError):
            decode(data[:at])
    for at in range(len(data) - 40, len(data) - 1):
        with pytest.raises(BrokenImageError):
            decode(data[:at])


def test_most_flipped_bits_that_change_the_picture_are_noticed() -> None:
    """libjpeg reports hardly any of them; without `torn_row` (the control) nearly all would be graded."""
    data, rng = SINGLE.jpeg, random.Random(1)
    start = data.rfind(b"\xff\xda") + 14
    noticed = silent = unseen = 0
    for _ in range(60):
        damaged = bytearray(data)
        damaged[rng.randrange(start, len(data) - 2)] ^= 1 << rng.randrange(8)
        try:
            image = Image.open(io.BytesIO(bytes(damaged)))
            pixels = np.asarray(image.convert("RGB"))[:, :, ::-1]
        except OSError:
            continue
        changed = (np.abs(pixels.astype(int) - SINGLE.pixels).max(axis=2) > 40).mean()
        if changed < 0.02:
            continue
        silent += 1
        try:
            decode(bytes(damaged))
            unseen += 1
        except BrokenImageError:
            noticed += 1
    assert silent >= 5, "the decoder said nothing"
    assert noticed >= 0.8 * silent, (noticed, unseen)


@pytest.mark.shared
def test_no_sound_photograph_is_called_damaged(shared: Path) -> None:
    paths = sorted((shared / "images").rglob("*.jpg"))[::60]
    assert len(paths) > 30
    assert [path.name for path in paths if torn_row(np.asarray(cv2.imread(str(path)), np.uint8)) is not None] == []


def test_five_hundred_random_mutations_end_in_a_report(tmp_path: Path) -> None:
    rng = random.Random(20261122)
    drawn = cv2.resize(SINGLE.pixels, (190, 130), interpolation=cv2.INTER_AREA)
    small = Image.fromarray(np.ascontiguousarray(drawn[:, :, ::-1]))
    whole = [
        encoded(small, "JPEG"),
        encoded(small, "JPEG", progressive=True),
        encoded(small, "PNG"),
        encoded(small, "WEBP"),
        encoded(small, "WEBP", lossless=True),
    ]
    path, standard = tmp_path / "a.jpg", load_standard("mango")
    outcomes = set()
    for turn in range(500):
        data = bytearray(whole[turn % len(whole)])
        for _ in range(rng.choice((1, 1, 2, 8))):
            at, kind = rng.randrange(len(data)), rng.randrange(5)
            if kind == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                data[at] = rng.randrange(256)
            elif kind == 2:
                del data[at : at + rng.randrange(1, 40)]
            elif kind == 3:
                data[at:at] = rng.randbytes(rng.randrange(1, 40))
            else:
                data[at:] = data[at // 2 :]
            data = data or bytearray(b"\x00")
        path.write_bytes(bytes(data))
        (report,) = grade_files([path], standard=standard, references=[Given(1_600_000)], detector=ClassicalDetector())
        assert report["fruits"] or report["refused"]
        json.loads(json.dumps(report, allow_nan=False))
        outcomes |= {each["what"] for each in report["refused"]} or {"graded"}
    assert {"graded", "image_broken"} <= outcomes
    assert outcomes <= {"graded", "image_broken", "image_too_small", "image_too_large", "no_fruit", "fruit_cut"}


def test_a_model_that_is_not_the_one_its_card_describes_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in learned.shipped().path.parent.glob("fruit.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / learned.shipped().path.name
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")

    def shipped(name: str = "fruit", **_: object) -> learned.Model:
        return learned.load_model(tmp_path / f"{name}.toml")

    monkeypatch.setattr(learned, "shipped", shipped)
    (tmp_path / "a.jpg").write_bytes(SINGLE.jpeg)
    result = CliRunner().invoke(commands, ["grade", str(tmp_path / "a.jpg")])
    assert result.exit_code == 2
    assert "SHA-256 differs" in result.output
    assert CliRunner().invoke(commands, ["grade", str(tmp_path / "a.jpg"), "--detector", "classical"]).exit_code == 0


def test_a_standard_with_a_gap_between_sizes_is_not_graded_by(tmp_path: Path) -> None:
    text = load_standard("mango").data.decode().replace("from = 351", "from = 360")
    (tmp_path / "gap.toml").write_text(text)
    (tmp_path / "a.jpg").write_bytes(SINGLE.jpeg)
    result = CliRunner().invoke(commands, ["grade", str(tmp_path / "a.jpg"), "--standard", str(tmp_path / "gap.toml")])
    assert result.exit_code == 2
    assert "gap" in result.output


def test_whatever_cannot_be_graded_is_said_once_more_to_a_person(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(to_jpeg(SINGLE.pixels[:, 260:]))
    code, (report,) = graded(tmp_path / "a.jpg", options=())
    assert (code, report["refused"][0]["what"], report["fruits"][0]["tier"]) == (2, "no_scale", "doubtful")
    for refused in report["refused"]:
        assert CannotGradeError.__name__ not in refused["why"]


@pytest.mark.parametrize("seed", [11, 19, 33])
def test_a_picture_stored_very_coarsely_is_not_called_damaged(seed: int) -> None:
    """Every block steps against its neighbours there, now and then as a shift would."""
    rng = np.random.default_rng(seed)
    smooth = cv2.resize(rng.integers(0, 255, (16, 16, 3)).astype(np.uint8), (512, 512), interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (512, 512, 3)).astype(np.float32), (0, 0), 3)
    pixels = np.clip(smooth + grain / grain.std() * 10, 0, 255).astype(np.uint8)
    coarse = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 2])[1], cv2.IMREAD_COLOR)
    assert torn_row(np.asarray(coarse, np.uint8)) is None


# --- the station's door ----------------------------------------------------------------------------


@pytest.fixture
def house(rt: Runtime, app: FastAPI) -> House:
    return House(rt, app)


def test_the_stations_door_refuses_and_doubts_the_same(house: House) -> None:
    ref = house.batch()
    path = f"batches/{ref}/photographs"
    for name, (made, what) in FILES.items():
        if made():
            answer = house.client.post(
                f"/api/v1/station/{path}", content=made(), headers={"content-type": "image/jpeg"}
            )
            assert (answer.json()["code"], answer.status_code // 100) == (what, 4), name
    assert house.state()["batch"]["photographs"] == 0
    counted = house.send(path, to_jpeg(np.clip(samples.tray(7).pixels * 2.5, 0, 255).astype(np.uint8)))
    assert counted["doubtful"] == counted["fruits"] == 12, "burnt out: a person decides about every one"
