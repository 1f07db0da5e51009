"""Bytes become pixels whole, upright and not too large, or not at all."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from grading.camera import decode, to_jpeg, to_lab
from grading.errors import BrokenImageError, CannotGradeError, ImageTooLargeError, ImageTooSmallError


def picture(width: int = 160, height: int = 140, kind: str = "JPEG", **options: object) -> bytes:
    image = Image.new("RGB", (width, height), (30, 90, 200))
    image.putpixel((0, 0), (255, 0, 0))
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_reads_what_cameras_write(kind: str) -> None:
    frame = decode(picture(kind=kind))
    assert (frame.width, frame.height) == (160, 140)
    blue, green, red = frame.pixels[70, 80]
    assert abs(int(blue) - 200) < 9
    assert abs(int(green) - 90) < 9
    assert abs(int(red) - 30) < 9


def test_turns_a_photograph_upright_as_its_exif_asks() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    frame = decode(picture(exif=exif))
    assert (frame.width, frame.height) == (140, 160)


def test_transparency_and_palettes_are_no_obstacle() -> None:
    out = io.BytesIO()
    Image.new("P", (150, 150)).save(out, "PNG")
    assert decode(out.getvalue()).pixels.shape == (150, 150, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a picture",
        b"GIF89a" + bytes(50),
        picture()[:300],
        picture(kind="PNG")[:-40],
        b"\xff\xd8" + bytes(900),
    ],
    ids=["empty", "text", "gif", "short-jpeg", "short-png", "hollow"],
)
def test_refuses_what_is_no_whole_picture(data: bytes) -> None:
    with pytest.raises(BrokenImageError):
        decode(data)


def test_refuses_too_many_bytes_before_looking_at_them() -> None:
    with pytest.raises(ImageTooLargeError) as refused:
        decode(b"x" * 101, max_bytes=100)
    assert (refused.value.what, refused.value.found, refused.value.limit) == ("bytes", 101, 100)


def test_refuses_too_many_pixels_before_decoding_them() -> None:
    with pytest.raises(ImageTooLargeError) as refused:
        decode(picture(kind="PNG"), max_pixels=1000)
    assert refused.value.found == 160 * 140


def test_refuses_a_decompression_bomb_without_decoding_it() -> None:
    out = io.BytesIO()
    Image.new("1", (20_000, 12_000)).save(out, "PNG")
    with pytest.raises(ImageTooLargeError):
        decode(out.getvalue())


def test_refuses_a_thumbnail() -> None:
    with pytest.raises(ImageTooSmallError):
        decode(picture(60, 160))


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 600))
def test_damage_never_escapes_as_another_error(noise: bytes, at: int) -> None:
    whole = picture()
    damaged = whole[:at] + noise + whole[at + len(noise) :]
    with contextlib.suppress(CannotGradeError):
        decode(damaged)


def test_lab_of_white_and_jpeg_of_the_same_pixels_are_stable() -> None:
    white = np.full((130, 130, 3), 255, np.uint8)
    assert abs(float(to_lab(white)[0, 0, 0]) - 100) < 0.1
    assert to_jpeg(white) == to_jpeg(white.copy())
