"""What a crop of one fruit is worth, against drawn fruit whose millimetres are known; what is no fruit is said so."""

from collections.abc import Iterator
from functools import cache

import cv2
import numpy as np
import pytest

from grading.camera import Pixels
from grading.line import views
from grading.line.doubts import Doubt
from grading.line.views import Finder, Found, Place, cut, measured
from grading.plausible import like_ellipse
from grading.profile import CameraProfile
from grading.rendering import Belt, Rendered, TrueFruit
from grading.standard import standard_for

BELT = Belt(seed=3, touching=0.0)
PROFILE = CameraProfile.plain(
    nm_per_px=BELT.profile().nm_per_px, camera_height_um=BELT.profile().camera_height_um, name="drawn"
)
MANGO = standard_for("mango")
FRAME = (640, 480)


@cache
def frames() -> tuple[Rendered, ...]:
    return tuple(BELT.shots(frames=14, first=20))


def finder() -> Finder:
    return Finder(least_px=20e6 / PROFILE.nm_per_px)


def whole() -> Iterator[tuple[Rendered, TrueFruit]]:
    for rendered in frames()[::3]:
        yield from ((rendered, each) for each in rendered.truth if each.is_whole and each.hidden_permille < 20)


def view(pixels: Pixels, box: tuple[int, int, int, int]) -> views.Measured | None:
    seeing = finder()
    seeing.find(pixels)
    crop, at = cut(pixels, box)
    x, y, w, h = box
    middle = (x + w // 2 - at[0], y + h // 2 - at[1])
    return measured(crop, Place(at, middle, seeing.ground_at(x, y), FRAME), PROFILE, MANGO)


def test_every_whole_fruit_is_one_blob_where_it_lies() -> None:
    seeing = finder()
    for rendered in frames():
        found = seeing.find(rendered.pixels)
        assert found.is_lit
        assert not found.is_flooded
        for fruit in rendered.truth:
            x, y, w, h = fruit.box
            if fruit.is_whole and fruit.hidden_permille < 20:
                (blob,) = [
                    b for b in found.blobs if abs(b.left + b.right - 2 * x - w) < w / 4 and b.top < y + h / 2 < b.bottom
                ]
                assert abs(blob.right - blob.left - w) <= 8
                assert abs(blob.bottom - blob.top - h) <= 8


def test_lengths_in_crops_are_true_to_two_per_cent_anywhere_in_the_picture() -> None:
    errors = []
    for rendered, fruit in whole():
        seen = view(rendered.pixels, fruit.box)
        assert seen is not None
        assert seen.side.doubts == ()
        errors.append(seen.side.measures.length_um / 1000 / fruit.length_mm - 1)
        assert fruit.thickness_mm * 0.96 < seen.side.measures.width_um / 1000 < fruit.diameter_mm * 1.04
    assert len(errors) > 20
    assert float(np.percentile(np.abs(errors), 95)) < 0.02


def test_control_off_the_axis_fruit_look_longer_than_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def widths() -> float:
        far = [(r, f) for r, f in whole() if abs(f.box[0] + f.box[2] / 2 - 320) > 170]
        seen = [(view(r.pixels, f.box), f) for r, f in far]
        return float(np.mean([m.side.measures.width_um / 1000 / f.diameter_mm for m, f in seen if m is not None]))

    straight = widths()
    monkeypatch.setattr(views, "_straightened", lambda *_: ((1.0, 0.0), (0.0, 1.0)))
    assert widths() > 1.02 * straight


def test_the_same_crop_gives_the_same_numbers() -> None:
    rendered, fruit = next(whole())
    first, again = view(rendered.pixels, fruit.box), view(rendered.pixels.copy(), fruit.box)
    assert first is not None
    assert again is not None
    assert first.side == again.side


def drawn(colour: tuple[int, int, int], size: tuple[int, int], *, second: tuple[int, int] | None = None) -> Pixels:
    """Something plain on a grey belt: its colour as blue, green, red."""
    picture = np.full((480, 640, 3), 70, np.uint8)
    cv2.ellipse(picture, (320, 240), size, 0, 0, 360, colour, -1)
    if second is not None:
        cv2.ellipse(picture, (320 + second[0], 240 + second[1]), size, 0, 0, 360, colour, -1)
    return np.asarray(picture, np.uint8)


MANGO_BGR = (50, 150, 220)


@pytest.mark.parametrize(
    ("pixels", "doubt"),
    [
        (drawn((200, 90, 40), (45, 62)), Doubt.COLOUR),
        (drawn(MANGO_BGR, (14, 18)), Doubt.SIZE),
        (drawn(MANGO_BGR, (140, 200)), Doubt.SIZE),
        (drawn(MANGO_BGR, (45, 62), second=(55, 62)), Doubt.SHAPE),
        (drawn(MANGO_BGR, (24, 70)), Doubt.SHAPE),
    ],
)
def test_what_is_no_single_fruit_of_the_crop_is_doubted(pixels: Pixels, doubt: Doubt) -> None:
    ys, xs = np.nonzero((pixels != 70).any(axis=2))
    box = (int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1)
    seen = view(pixels, box)
    assert seen is not None
    assert doubt in seen.side.doubts


def test_a_mango_that_is_bent_as_real_ones_are_is_not_doubted() -> None:
    """Drawn ones are nearly ellipses; of photographed ones half have less than 0.94 in common with theirs."""
    turns = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    across = 320 + 45 * np.cos(turns) + 14 * np.sin(turns) ** 2
    along = 240 + 62 * np.sin(turns) * (1 + 0.15 * np.cos(turns))
    pixels = np.full((480, 640, 3), 70, np.uint8)
    cv2.fillPoly(pixels, [np.stack([across, along], axis=1).astype(np.int32)], MANGO_BGR)
    seen = view(pixels, cv2.boundingRect((pixels != 70).any(axis=2).astype(np.uint8)))
    assert seen is not None
    assert 0.87 < like_ellipse(seen.skin.mask) < 0.9
    assert seen.side.doubts == ()


def test_control_a_plain_drawn_mango_is_not_doubted() -> None:
    seen = view(drawn(MANGO_BGR, (45, 62)), (275, 178, 91, 125))
    assert seen is not None
    assert seen.side.doubts == ()


def test_a_burnt_out_fruit_is_doubted() -> None:
    pixels = drawn(MANGO_BGR, (45, 62))
    cv2.ellipse(pixels, (320, 240), (16, 22), 0, 0, 360, (255, 255, 255), -1)
    seen = view(pixels, (275, 178, 91, 125))
    assert seen is not None
    assert seen.side.doubts == (Doubt.OVEREXPOSED,)


@pytest.mark.parametrize("crop", [b"", b"\xff\xd8\xff", b"no picture at all"])
def test_what_is_no_picture_shows_nothing(crop: bytes) -> None:
    assert measured(crop, Place((0, 0, 9, 9), (4, 4), (70, 128, 128), FRAME), PROFILE, MANGO) is None


def test_a_crop_of_the_bare_belt_shows_nothing() -> None:
    crop, at = cut(np.full((480, 640, 3), 70, np.uint8), (300, 200, 80, 80))
    assert measured(crop, Place(at, (40, 40), (74, 128, 128), FRAME), PROFILE, MANGO) is None


def test_two_fruit_that_touch_are_two_joined_blobs() -> None:
    seeing = finder()
    found = seeing.find(drawn(MANGO_BGR, (45, 62), second=(88, 10)))
    assert [blob.is_joined for blob in found.blobs] == [True, True]
    assert len(seeing.find(drawn(MANGO_BGR, (45, 62), second=(120, 10))).blobs) == 2


def test_a_changed_light_is_told_and_a_flooded_picture_shows_nothing() -> None:
    seeing = finder()
    seeing.find(drawn(MANGO_BGR, (45, 62)))
    brighter = cv2.convertScaleAbs(drawn(MANGO_BGR, (45, 62)), alpha=2.2)
    assert not seeing.find(np.asarray(brighter, np.uint8)).is_lit
    flooded: Found = seeing.find(np.full((480, 640, 3), (40, 120, 220), np.uint8))
    assert flooded.is_flooded
    assert flooded.blobs == ()


def test_the_belts_colour_is_learned_again_when_it_changes_for_good() -> None:
    seeing = finder()
    seeing.find(drawn(MANGO_BGR, (45, 62)))
    green = np.full((480, 640, 3), (70, 120, 60), np.uint8)
    cv2.ellipse(green, (320, 240), (45, 62), 0, 0, 360, MANGO_BGR, -1)
    assert seeing.find(green).is_flooded
    for _ in range(40):
        found = seeing.find(green)
    assert not found.is_flooded
    assert len(found.blobs) == 1
