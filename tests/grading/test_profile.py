"""A profile is read as it was written, or refused with the field that is wrong."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.camera import MAX_PIXELS, Pixels
from grading.errors import CalibrationExpiredError, ProfileError
from grading.profile import (
    BaseLight,
    CameraProfile,
    Colour,
    Lens,
    Plane,
    coded,
    linear,
    parse_profile,
    recoloured,
    straightened,
)
from ledger.canonical import canonical
from ledger.errors import EventError

T0 = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LENS = Lens((656_000, 655_900), (407_500, 294_400), (-280_000_000, 90_000_000, 800_000, -600_000, 0), 110, 8)
PLANE = Plane(
    (
        8_984_000_000,
        -297_000_000,
        250_800_000_000,
        -262_700_000,
        9_137_600_000,
        180_000_000_000,
        -950_000,
        -770_000,
        10**10,
    ),
    (363_000, 258_000),
    490,
    220,
)
COLOUR = Colour(
    (1_700_000, -560_000, -20_000, -320_000, 1_700_000, -300_000, 56_000, -630_000, 2_000_000), "x", 827, 51, 341
)
LIGHT = BaseLight(340, 90, 10, 0, (80, 80, 80))
WHOLE = CameraProfile(
    "belt 1",
    (800, 600),
    917_500,
    597_300,
    T0,
    T0 + timedelta(days=30),
    lens=LENS,
    plane=PLANE,
    colour=COLOUR,
    light=LIGHT,
)


def altered(change: Callable[[dict[str, Any]], None], *, is_sealed: bool = True) -> bytes:
    """A profile's file with a change in it, sealed again or not."""
    document = json.loads(WHOLE.data)
    del document["sha256"]
    change(document)
    try:
        seal = sha256(canonical(document)).hexdigest()
    except EventError:
        seal = "none: it has no canonical form"
    return json.dumps({**document, "sha256": seal if is_sealed else json.loads(WHOLE.data)["sha256"]}).encode()


def pictures(width: int = 800, height: int = 600) -> Pixels:
    return np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_profile_is_read_back_as_it_was_written() -> None:
    again = parse_profile(WHOLE.data)
    assert again == WHOLE
    assert again.data == WHOLE.data
    assert again.digest == sha256(WHOLE.data).digest()
    pretty = json.dumps(json.loads(WHOLE.data), indent=2, ensure_ascii=False).encode()
    assert parse_profile(pretty).digest == WHOLE.digest


def test_a_plain_profile_gives_back_the_very_same_picture() -> None:
    plain = CameraProfile.plain(nm_per_px=850_000, camera_height_um=680_000)
    picture = pictures(640, 480)
    assert plain.corrected(picture) is picture
    assert parse_profile(plain.data) == plain
    assert plain.is_valid(T0)
    assert plain.mm_per_px == 0.85


def test_a_profile_holds_from_its_making_to_its_end() -> None:
    assert not WHOLE.is_valid(T0 - timedelta(milliseconds=1))
    assert WHOLE.is_valid(T0)
    assert WHOLE.is_valid(T0 + timedelta(days=30) - timedelta(milliseconds=1))
    assert not WHOLE.is_valid(T0 + timedelta(days=30))
    WHOLE.demand_valid(T0)
    with pytest.raises(CalibrationExpiredError, match="belt 1 was valid until 2026-12-22"):
        WHOLE.demand_valid(T0 + timedelta(days=30))
    with pytest.raises(ProfileError, match="lies ahead"):
        WHOLE.demand_valid(T0 - timedelta(seconds=1))


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ProfileError, match="size is 800 x 600, the picture 640 x 480"):
        WHOLE.corrected(pictures(640, 480))


def put(*path: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        at: Any = document
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = to

    return change


def drop(name: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        del document[name]

    return change


WRONG: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "another edition": (put("edition", to="guoyuan-camera-profile/2"), "edition"),
    "no edition": (drop("edition"), "edition"),
    "a field too many": (put("zoom", to=2), "the file"),
    "a field too few": (drop("nm_per_px"), "the file"),
    "a text for a number": (put("nm_per_px", to="917500"), "nm_per_px"),
    "a fraction of a nanometre": (put("nm_per_px", to=917500.5), "nm_per_px"),
    "no name": (put("name", to=""), "name"),
    "a size that is none": (put("size", to=[0, 600]), "size"),
    "no size for a lens": (put("size", to=[0, 0]), "size"),
    "no scale": (put("nm_per_px", to=0), "nm_per_px"),
    "a camera in the sky": (put("camera_height_um", to=50_000_000), "camera_height_um"),
    "a height that the lens contradicts": (put("camera_height_um", to=900_000), "camera_height_um"),
    "an end before the beginning": (put("valid_until", to="2026-11-21T00:00:00.000Z"), "valid_until"),
    "a time without zone": (put("made_at", to="2026-11-22T08:00:00"), "made_at or valid_until"),
    "a lens as long as a street": (put("lens", "focal_milli_px", to=[99_000_000, 99_000_000]), "lens.focal_milli_px"),
    "pixels that are not square": (put("lens", "focal_milli_px", to=[656_000, 500_000]), "lens.focal_milli_px"),
    "a centre outside": (put("lens", "centre_milli_px", to=[5_000, 294_400]), "lens.centre_milli_px"),
    "a lens that folds": (put("lens", "distortion_nano", 0, to=-3_000_000_000), "lens.distortion_nano"),
    "a lens from nowhere": (put("lens", "distortion_nano", 0, to=10**14), "lens.distortion_nano"),
    "a number without end": (put("lens", "error_milli_px", to=10**17), "the file"),
    "half a character": (put("name", to="\ud800"), "the file"),
    "no views": (put("lens", "views", to=0), "lens"),
    "a plane without end": (put("plane", "homography_e10", 8, to=5), "plane.homography_e10"),
    "a plane out of range": (put("plane", "homography_e10", 0, to=10**17), "plane.homography_e10"),
    "the horizon": (put("plane", "homography_e10", 6, to=-20_000_000), "plane.homography_e10"),
    "a mirror": (put("plane", "homography_e10", 0, to=-8_984_000_000), "plane.homography_e10"),
    "a camera that looks aside": (put("plane", "tilt_centideg", to=7000), "plane.tilt_centideg"),
    "a matrix that is none": (put("colour", "matrix_micro", 4, to=-1), "colour.matrix_micro"),
    "a matrix of one colour": (put("colour", "matrix_micro", to=[10**6] * 9), "colour.matrix_micro"),
    "worse than before": (put("colour", "after_centi", to=900), "colour.after_centi"),
    "light that cannot be": (put("light", "exposure", to=300), "light"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_profile_that_says_what_cannot_be_is_refused_with_the_field(name: str) -> None:
    change, field = WRONG[name]
    with pytest.raises(ProfileError) as refused:
        parse_profile(altered(change))
    assert refused.value.field == field


def test_a_profile_altered_by_hand_is_refused() -> None:
    with pytest.raises(ProfileError, match="sha256 does not fit"):
        parse_profile(altered(put("nm_per_px", to=917_501), is_sealed=False))
    parse_profile(altered(put("nm_per_px", to=917_501)))


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b"[" * 30_000, b'{"edition":' + b"9" * 70_000 + b"}"],
    ids=["nothing", "half", "list", "null", "no text", "empty", "deep", "large"],
)
def test_what_is_no_profile_is_refused(data: bytes) -> None:
    with pytest.raises(ProfileError):
        parse_profile(data)


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_read_or_refused_by_name(data: bytes) -> None:
    with pytest.raises(ProfileError):
        parse_profile(data)


@given(st.integers(0, len(WHOLE.data) - 1), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_no_single_byte_can_be_changed_unseen(at: int, byte: int) -> None:
    data = bytearray(WHOLE.data)
    data[at] = byte
    try:
        again = parse_profile(bytes(data))
    except ProfileError:
        return
    assert again == WHOLE


def test_points_and_pictures_are_corrected_alike() -> None:
    """A white dot in the picture comes to lie where its point is said to."""
    seen = replace(WHOLE, colour=None)
    for x, y in ((100, 90), (400, 300), (700, 520)):
        picture = np.zeros((600, 800, 3), np.uint8)
        picture[y - 2 : y + 3, x - 2 : x + 3] = 255
        out = seen.corrected(picture)[..., 1].astype(np.float64)
        rows, columns = np.indices(out.shape)
        middle = (float((columns * out).sum() / out.sum()), float((rows * out).sum() / out.sum()))
        assert middle == pytest.approx(tuple(straightened(seen, np.array([[x, y]], dtype=np.float64))[0]), abs=0.3)


def test_correction_gives_the_same_bytes_each_time() -> None:
    picture = pictures()
    once = WHOLE.corrected(picture)
    assert once.tobytes() == parse_profile(WHOLE.data).corrected(picture).tobytes()
    assert once.shape == picture.shape
    assert once.dtype == np.uint8


def test_a_matrix_of_one_changes_no_level() -> None:
    same = Colour((10**6, 0, 0, 0, 10**6, 0, 0, 0, 10**6), "none", 0, 0, 0)
    levels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert (recoloured(levels, same) == levels).all()
    assert coded(linear(np.arange(256) / 255)) == pytest.approx(np.arange(256) / 255, abs=1e-9)


def test_a_matrix_that_makes_light_brighter_than_white_stays_white() -> None:
    bright = Colour((4 * 10**6, 0, 0, 0, 10**6, 0, 0, 0, 10**6), "none", 0, 0, 0)
    levels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    red = recoloured(levels, bright)[0, :, 2].astype(int)
    assert (np.diff(red) >= 0).all()
    assert red[-1] == 255


def test_the_largest_picture_that_is_read_has_maps_that_fit_in_memory() -> None:
    """Maps cost six bytes a pixel, and are kept for four profiles."""
    assert 4 * 6 * MAX_PIXELS <= 1_200_000_000
