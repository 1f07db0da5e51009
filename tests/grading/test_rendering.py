"""What drawn belts claim is true: outlines, millimetres, marks, motion; by other arithmetic than the drawing's."""

import math
from hashlib import sha256
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.errors import RenderingError
from grading.measure import belt_to_fruit
from grading.rendered_fruit import KINDS, MARKS, Wanted, fruit
from grading.rendering import (
    TROUBLES,
    Belt,
    Camera,
    Light,
    Placed,
    lowest_mm,
    outline,
    rendered,
    write_video,
)

CAMERA = Camera()
DARK = np.zeros((CAMERA.height, CAMERA.width * 2, 3), np.float32)


def _alone(body, rotation=None, *, x=0.0, y=0.0, camera=CAMERA):
    rotation = np.eye(3) if rotation is None else rotation
    placed = Placed(7, body, (x, y, lowest_mm(body, rotation)), rotation)
    return placed, rendered(camera, [placed], Light(noise=0), DARK, np.random.default_rng(1))


def _turned(axis, angle):
    axis = np.asarray(axis, float) / np.linalg.norm(axis)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * k @ k


def _projected(camera, placed):
    """The outline by brute force: the hull of the surface's points, each seen through the pinhole."""
    latitude, longitude = np.meshgrid(np.linspace(0, np.pi, 200), np.linspace(0, 2 * np.pi, 400))
    on_body = np.stack(
        [np.sin(latitude) * np.cos(longitude), np.sin(latitude) * np.sin(longitude), np.cos(latitude)], axis=-1
    ).reshape(-1, 3) * np.asarray(placed.body.semi_mm)
    world = on_body @ placed.rotation.T + np.asarray(placed.centre_mm)
    away = camera.height_mm - world[:, 2]
    u = world[:, 0] / away * camera.focal_px + camera.width / 2
    v = world[:, 1] / away * camera.focal_px + camera.height / 2
    return cv2.convexHull(np.stack([u, v], axis=1).astype(np.float32))


def test_a_sphere_under_the_camera_has_the_circle_that_its_tangent_cone_cuts():
    body = fruit("orange", np.random.default_rng(3), uneven=0, marks=[], diameter_mm=70)
    round_ = fruit("orange", np.random.default_rng(3), uneven=0, marks=[], diameter_mm=70)
    r = 35.0
    object.__setattr__(round_, "semi_mm", (r, r, r))
    _, shot = _alone(round_)
    away = CAMERA.height_mm - r
    radius_px = CAMERA.focal_px * r / math.sqrt(away**2 - r**2)
    seen = shot.truth[0]
    assert int(seen.part.sum()) == pytest.approx(math.pi * radius_px**2, rel=0.01)
    # What it looks wide on the belt's plane is more than it is, and by so much as the product takes back.
    apparent = 2 * math.sqrt(int(seen.part.sum()) / math.pi) * CAMERA.mm_per_px
    assert apparent > 1.04 * 2 * r
    assert belt_to_fruit(apparent, CAMERA.height_mm) == pytest.approx(2 * r, rel=0.01)
    assert body.diameter_mm == pytest.approx(70, rel=0.005)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(sorted(KINDS)),
    st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.1, 1)),
    st.floats(0, 6.2),
    st.floats(-150, 150),
    st.floats(-90, 90),
)
def test_a_plain_body_covers_the_pixels_of_its_projected_surface(kind, axis, angle, x, y):
    body = fruit(kind, np.random.default_rng(5), uneven=0, marks=[], rows=64)
    placed, shot = _alone(body, _turned(axis, angle), x=x, y=y)
    hull = _projected(CAMERA, placed)
    ellipse = outline(CAMERA, placed)
    assert math.pi * ellipse.longer * ellipse.shorter == pytest.approx(cv2.contourArea(hull), rel=0.002)
    seen = shot.truth[0]
    assert int(seen.part.sum()) == pytest.approx(cv2.contourArea(hull), rel=0.01)
    left, top, wide, high = seen.box
    (x0, y0), (x1, y1) = hull.reshape(-1, 2).min(axis=0), hull.reshape(-1, 2).max(axis=0)
    assert (left, top) == (pytest.approx(x0, abs=1.01), pytest.approx(y0, abs=1.01))
    assert (left + wide, top + high) == (pytest.approx(x1, abs=1.01), pytest.approx(y1, abs=1.01))
    assert seen.is_whole
    assert seen.hidden_permille == 0


def test_an_uneven_fruit_is_as_large_as_its_own_millimetres_say():
    for kind in KINDS:
        for seed in range(3):
            body = fruit(kind, np.random.default_rng(seed), marks=[])
            camera = Camera(mm_per_px=0.25, height_mm=3000)
            _, shot = _alone(body, _turned((1, 0, 0), math.pi / 2), camera=camera)
            away = camera.height_mm - shot.truth[0].centre_mm[2]
            mm = camera.mm_per_px * away / camera.height_mm
            _, _, wide, high = shot.truth[0].box
            assert high * mm == pytest.approx(body.length_mm, rel=0.015), kind
            assert body.thickness_mm * 0.985 <= wide * mm <= body.diameter_mm * 1.015, kind
            # An ellipsoid of its three extents is near to what it holds; hollows and necks make it less.
            whole = math.pi / 6 * body.diameter_mm * body.thickness_mm * body.length_mm
            assert 0.8 * whole < body.volume_mm3 < 1.15 * whole, kind
            assert body.mass_g == pytest.approx(body.volume_mm3 * KINDS[kind].density / 1000)


@pytest.mark.parametrize("kind", MARKS)
def test_a_mark_covers_the_area_that_was_asked_for(kind):
    for wanted in (30.0, 90.0, 240.0):
        body = fruit("mango", np.random.default_rng(8), marks=[Wanted(kind, wanted)])
        assert body.marks[0].area_mm2 == pytest.approx(wanted, abs=0.5)
        # Counted otherwise: the cells of a plain ellipsoid by the closed form of its surface element.
        plain = fruit("mango", np.random.default_rng(8), uneven=0, marks=[Wanted(kind, wanted)])
        rows = len(plain.label)
        a, b, c = plain.semi_mm
        latitude = ((np.arange(rows) + 0.5) * math.pi / rows)[:, None]
        longitude = ((np.arange(2 * rows) + 0.5) * math.pi / rows)[None, :]
        sine, cosine = np.sin(latitude), np.cos(latitude)
        across = (c * sine) ** 2 * ((b * np.cos(longitude)) ** 2 + (a * np.sin(longitude)) ** 2)
        cells = sine * np.sqrt(across + (a * b * cosine) ** 2) * (math.pi / rows) ** 2
        assert float((cells * (plain.label == 1)).sum()) == pytest.approx(wanted, rel=0.03)


def test_a_mark_keeps_its_area_while_it_turns():
    """What is seen of it shrinks by the cosine only."""
    camera = Camera(mm_per_px=0.2, height_mm=2500)
    for angle in (0.0, 0.35, 0.7, 1.0):
        body = fruit("orange", np.random.default_rng(2), uneven=0, diameter_mm=70, marks=[Wanted("rot", 60, (1, 0, 0))])
        # The mark lies on the body's x axis; turned about y by -90 degrees, that points up.
        _, shot = _alone(body, _turned((0, 1, 0), -math.pi / 2 + angle), camera=camera)
        seen = shot.truth[0]
        # The mark's own distance: it is nearer to the camera than the middle.
        away = camera.height_mm - seen.centre_mm[2] - 35 * math.cos(angle)
        mm = camera.mm_per_px * away / camera.height_mm
        assert seen.marks[0].visible_px * mm * mm / math.cos(angle) == pytest.approx(60, rel=0.05), angle


def test_a_mark_goes_round_the_back_and_comes_up_again():
    belt = Belt(seed=4, kind="mango", fruit_per_s=6, speed_mm_s=600, mm_a_turn=150, lanes=1)
    seen: dict[tuple[int, int], list[int]] = {}
    for shot in belt.shots(frames=60):
        for each in shot.truth:
            if each.is_whole:
                for index, mark in enumerate(each.marks):
                    seen.setdefault((each.id, index), []).append(mark.visible_px)
    patterns = ["".join("x" if px else "." for px in counts) for counts in seen.values() if max(counts) > 20]
    assert any(".x" in p.lstrip(".") and "x." in p for p in patterns)


def test_the_same_seed_draws_the_same_bytes_in_any_order():
    one, other = Belt(seed=9, kind="apple,lemon"), Belt(seed=9, kind="apple,lemon")
    in_order = [sha256(shot.pixels.tobytes()).digest() for shot in one.shots(frames=33)]
    assert sha256(other.frame(32).pixels.tobytes()).digest() == in_order[32]
    assert sha256(other.frame(7).pixels.tobytes()).digest() == in_order[7]
    assert len(set(in_order)) == 33
    assert sha256(Belt(seed=10, kind="apple,lemon").frame(32).pixels.tobytes()).digest() != in_order[32]


def test_fruit_go_with_the_belt_and_pass_the_middle_when_the_encoder_says_so():
    belt = Belt(seed=2, speed_mm_s=1000, touching=0.3)
    before: dict[int, float] = {}
    for number in range(20, 50):
        shot = belt.frame(number)
        assert shot.belt_um == 1_000_000 * number // 30
        for each in shot.truth:
            assert round(each.centre_mm[0] * 1000) == shot.belt_um - each.belt_um
            if each.id in before:
                assert each.centre_mm[0] - before[each.id] == pytest.approx(1000 / 30, abs=0.01)
            before[each.id] = each.centre_mm[0]


def test_thirty_fruit_a_second_come_and_every_one_is_seen_whole_often_enough():
    belt = Belt(seed=3, fruit=60)
    views: dict[int, int] = {}
    in_view = []
    for shot in belt.shots():
        whole = [each.id for each in shot.truth if each.is_whole]
        in_view.append(len(whole))
        for index in whole:
            views[index] = views.get(index, 0) + 1
        assert int((shot.owner > 0).sum()) == sum(int(each.part.sum()) for each in shot.truth)
        for each in shot.truth:
            assert (shot.owner[each.mask(shot.owner.shape)] == each.id + 1).all()
    assert sorted(views) == list(range(60))
    assert min(views.values()) >= 8
    assert max(in_view) >= 9
    # The last of sixty passes two seconds after the first, give or take a lane's spacing.
    passed = [belt._slots[index].belt_um for index in (0, 59)]
    assert (passed[1] - passed[0]) / 1e6 / 1.2 == pytest.approx(59 / 30, abs=0.1)


def test_fruit_that_touch_do_not_lie_in_each_other():
    belt = Belt(seed=6, kind="orange", touching=1.0)
    belt.frame(60)
    slots = [slot for slot in belt._slots if slot.lane == 1]
    gaps = [b.belt_um / 1000 - a.belt_um / 1000 - a.half_mm - b.half_mm for a, b in pairwise(slots)]
    assert max(map(abs, gaps)) < 0.01


def test_troubles_happen_and_are_told():
    belt = Belt(seed=1, kind="orange", troubles=TROUBLES)
    shots = {number: belt.frame(number) for number in (*range(20, 70, 2), 115, 215)}
    hand = shots[115]
    assert {each.kind for each in hand.strangers} >= {"hand"}
    assert hand.truth  # fruit go on under it
    assert any(each.hidden_permille > 100 and each.is_whole for each in hand.truth)
    assert any(each.kind in ("stone", "leaf") for shot in shots.values() for each in shot.strangers)
    bright = float((shots[215].pixels == 255).any(axis=2).mean())
    assert bright > 0.1 > 10 * float((shots[115].pixels == 255).any(axis=2).mean())
    stacked = [
        (upper, lower)
        for shot in shots.values()
        for upper in shot.truth
        for lower in shot.truth
        if upper.id == lower.id + 3 and upper.id % 40 == 5
    ]
    assert any(lower.hidden_permille > 200 and upper.hidden_permille == 0 for upper, lower in stacked)
    edge = [each for shot in shots.values() for each in shot.truth if each.id % 40 == 17]
    assert edge
    assert not any(each.is_whole for each in edge)
    places = [
        (shot.number, each.centre_mm[0])
        for shot in map(belt.frame, range(30, 62))
        for each in shot.truth
        if each.id == 23
    ]
    still = [b - a for (_, a), (_, b) in pairwise(places)]
    assert still.count(0.0) >= 8
    assert max(still) == pytest.approx(40, abs=0.01)


def test_what_cannot_be_drawn_is_refused_by_name():
    with pytest.raises(RenderingError, match="durian is no kind of fruit"):
        Belt(seed=1, kind="durian")
    with pytest.raises(RenderingError, match="flood is no trouble"):
        Belt(seed=1, troubles=("flood",))
    with pytest.raises(RenderingError, match="lie 40 mm apart"):
        Belt(seed=1, lanes=1)
    with pytest.raises(RenderingError, match="no ground"):
        Belt(seed=1, ground="sand").frame(0)
    with pytest.raises(RenderingError, match="no kind of mark"):
        fruit("apple", np.random.default_rng(1), marks=[Wanted("worm", 10)])
    with pytest.raises(RenderingError, match="does not fit"):
        fruit("apple", np.random.default_rng(1), marks=[Wanted("scab", 30_000)])


def test_the_profile_is_what_a_calibration_would_find():
    belt = Belt(seed=1, camera=Camera(mm_per_px=0.8, height_mm=700))
    assert belt.profile() == (800_000, 700_000)
    assert belt.camera.focal_px == pytest.approx(875)


def test_a_film_has_the_frames_that_were_asked_for(tmp_path):
    belt = Belt(seed=5)
    film = cv2.VideoCapture(str(write_video(tmp_path / "belt.avi", belt, 4)))
    frames = []
    while (got := film.read())[0]:
        frames.append(got[1])
    film.release()
    assert len(frames) == 4
    assert float(np.abs(frames[3].astype(int) - belt.frame(3).pixels).mean()) < 4
    with pytest.raises(RenderingError, match="cannot be written"):
        write_video(tmp_path / "no such folder" / "belt.avi", belt, 1)
