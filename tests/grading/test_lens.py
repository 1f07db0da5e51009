"""A camera that is known exactly photographs the printed board; what the calibration finds is compared with it."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from grading.calibrate import Marker, find_scale
from grading.camera import Pixels
from grading.errors import BoardError, CannotGradeError
from grading.lens import BOARDS, Belt, Board, View, belt_plane, board_picture, calibrate_lens, find_board, missing
from grading.measure import belt_to_fruit
from grading.profile import CameraProfile, Lens, parse_profile, straightened
from tests.grading.cameras_of_glass import Glass, Matrix, placed, turned

A4, A3 = BOARDS["a4"], BOARDS["a3"]
GLASS = Glass()
T0 = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
EDGE_MM = 10.0
POSES = (
    (0, 0, 0, 0, 0, 330),
    (25, 0, 3, -60, -40, 320),
    (-25, 5, 0, 70, -50, 330),
    (0, 28, 0, -60, 60, 340),
    (0, -28, 8, 60, 50, 340),
    (20, 20, 0, -90, 30, 380),
    (-20, -20, 90, 80, -10, 400),
    (15, -25, 40, 0, 0, 300),
)
"""Turned about x, y, z in degrees; the board's middle at x, y, z millimetres before the camera."""
ON_THE_BELT = (3, -4, 2, 10, -5, 600)
HEIGHT_MM = 597.31


@cache
def sheet(board: Board = A4, px_per_mm: int = 2) -> NDArray[np.uint8]:
    """The board as printed, with a margin of paper."""
    picture = cv2.resize(
        board_picture(board, 8), None, fx=px_per_mm / 8, fy=px_per_mm / 8, interpolation=cv2.INTER_AREA
    )
    edge = round(EDGE_MM * px_per_mm)
    return np.asarray(cv2.copyMakeBorder(picture, *[edge] * 4, cv2.BORDER_CONSTANT, value=255), dtype=np.uint8)


def place(pose: tuple[float, ...], board: Board = A4) -> tuple[Matrix, Matrix]:
    rotation = turned(*pose[:3])
    middle = np.array(board.size_mm) / 2 + EDGE_MM
    return rotation, placed(rotation, middle, (pose[3], pose[4], pose[5]))


@cache
def photograph(pose: tuple[float, ...], *, bend_mm: float = 0.0, board: Board = A4) -> Pixels:
    rotation, at = place(pose, board)
    return GLASS.photograph(sheet(board), 2, rotation, at, bend_mm=bend_mm, seed=round(sum(pose)) % 97)


@cache
def views() -> tuple[View, ...]:
    return tuple(find_board(photograph(pose), A4, name=f"photo {n + 1}") for n, pose in enumerate(POSES))


@cache
def lens() -> Lens:
    return calibrate_lens(views(), A4)


@cache
def belt() -> Belt:
    return belt_plane(find_board(photograph(ON_THE_BELT), A4, name="belt"), A4, lens())


def profile() -> CameraProfile:
    found = belt()
    return CameraProfile(
        "glass",
        (GLASS.width, GLASS.height),
        found.nm_per_px,
        found.camera_height_um,
        T0,
        T0 + timedelta(days=30),
        lens=lens(),
        plane=found.plane,
    )


def test_corners_are_found_to_a_fifth_of_a_pixel() -> None:
    for pose, view in zip(POSES, views(), strict=True):
        rotation, at = place(pose)
        true = GLASS.seen(A4.corners_mm[view.ids, :2] + EDGE_MM, rotation, at)
        assert len(view.ids) >= 50
        assert float(np.sqrt(((view.points - true) ** 2).sum(axis=1).mean())) < 0.2


def test_the_lens_comes_back() -> None:
    found = lens()
    assert [each / 1000 for each in found.focal_milli_px] == pytest.approx([GLASS.focal] * 2, rel=0.002)
    assert [each / 1000 for each in found.centre_milli_px] == pytest.approx(GLASS.centre, abs=1.5)
    assert found.error_milli_px < 200
    # The coefficients trade with each other; what counts is where they put a point.
    ends = np.array([[-0.55, -0.42, 1], [0.55, 0.42, 1], [0.5, -0.4, 1], [0.3, 0, 1], [0, 0.3, 1]])
    none = np.zeros(3)
    true = GLASS.seen(ends, np.eye(3), none)
    ours = cv2.projectPoints(ends, none, none, found.matrix, found.distortion)[0].reshape(-1, 2)
    assert float(np.abs(ours - true).max()) < 1.2


def test_height_tilt_and_scale_of_the_belt_come_back() -> None:
    found = belt()
    assert found.camera_height_um / 1000 == pytest.approx(HEIGHT_MM, rel=0.003)
    assert found.plane.tilt_centideg / 100 == pytest.approx(5.0, abs=0.4)
    assert found.plane.error_um < 400


def test_what_lies_under_the_board_is_taken_off() -> None:
    view = find_board(photograph(ON_THE_BELT), A4)
    thick = belt_plane(view, A4, lens(), thickness_um=10_000)
    assert thick.camera_height_um == belt().camera_height_um + 10_000
    assert thick.nm_per_px * 1.0 == pytest.approx(belt().nm_per_px * (HEIGHT_MM + 10) / HEIGHT_MM, rel=1e-3)


def test_lengths_on_the_belt_under_a_thick_board_are_true() -> None:
    """The board lay on 10 mm of plywood: what is measured is the belt beneath it."""
    thick = belt_plane(find_board(photograph(ON_THE_BELT), A4), A4, lens(), thickness_um=10_000)
    seen = replace(profile(), nm_per_px=thick.nm_per_px, camera_height_um=thick.camera_height_um, plane=thick.plane)
    rotation, at = place(ON_THE_BELT)
    x, y = np.array(A4.size_mm) / 2 + EDGE_MM
    for depth_mm, wanted_mm in ((10.0, 60.0), (0.0, 61.0)):
        ends = np.array([[x - 30, y, depth_mm], [x + 30, y, depth_mm]])
        points = straightened(seen, GLASS.seen(ends, rotation, at)) * seen.mm_per_px
        assert float(np.linalg.norm(points[1] - points[0])) == pytest.approx(wanted_mm, abs=0.1)


def lengths(length_mm: float = 60.0) -> dict[str, tuple[float, float, float]]:
    """A length on the belt, where it lies: how far off it reads with one scale for all, and corrected, at worst."""
    rotation, at = place(ON_THE_BELT)
    seen = profile()
    middle = np.array(A4.size_mm) / 2 + EDGE_MM
    ends = np.array([[-length_mm / 2, 0], [length_mm / 2, 0]])
    straight_up = np.array([[0, -length_mm / 2], [0, length_mm / 2]])
    # As the station does it with its marker: the scale where the marker lies, for all of the picture.
    at_middle = GLASS.seen(middle + ends, rotation, at)
    plain = length_mm / float(np.linalg.norm(at_middle[1] - at_middle[0]))
    found = {}
    for name, places in {
        "middle": [(0, 0)],
        "half way out": [(x, y) for x in (-150, 150) for y in (-110, 110)],
        "corner": [(x, y) for x in (-285, 285) for y in (-205, 205)],
    }.items():
        before, after = [], []
        for spot in places:
            for both in (ends, straight_up):
                points = GLASS.seen(middle + np.array(spot) + both, rotation, at)
                before.append(float(np.linalg.norm(points[1] - points[0])) * plain - length_mm)
                right = straightened(seen, points)
                after.append(float(np.linalg.norm(right[1] - right[0])) * seen.mm_per_px - length_mm)
        worst = [max(each, key=abs) for each in (before, after)]
        found[name] = (worst[0], worst[1], len(places) * 2.0)
    return found


def test_millimetres_are_the_same_all_over_the_belt() -> None:
    """The table in grading/README.md; the board only lay in the middle."""
    found = lengths()
    assert abs(found["corner"][0]) > 5
    assert abs(found["half way out"][0]) > 1.5
    assert abs(found["middle"][1]) < 0.2
    assert abs(found["half way out"][1]) < 0.3
    assert abs(found["corner"][1]) < 0.6


def ball_mm(radius_mm: float, spot: tuple[float, float]) -> tuple[float, float]:
    """What a ball measures in the corrected picture: on the belt's plane, and with its height taken back."""
    rotation, at = place(ON_THE_BELT)
    seen = profile()
    ground = rotation @ np.array([*(np.array(A4.size_mm) / 2 + EDGE_MM + spot), 0.0]) + at
    centre = ground - rotation[:, 2] * radius_mm
    share = radius_mm / float(np.linalg.norm(centre))
    axis = centre / np.linalg.norm(centre)
    aside = np.cross(axis, [0.0, 1.0, 0.0])
    aside /= np.linalg.norm(aside)
    up = np.cross(axis, aside)
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)[:, None]
    # The circle in which the cone of sight touches the ball.
    touched = centre * (1 - share**2) + radius_mm * np.sqrt(1 - share**2) * (np.cos(angle) * aside + np.sin(angle) * up)
    outline = straightened(seen, GLASS.seen(touched, np.eye(3), np.zeros(3)))
    apparent = 2 * float(np.sqrt(cv2.contourArea(outline.astype(np.float32)) / np.pi)) * seen.mm_per_px
    assert seen.plane is not None
    far = float(np.linalg.norm(outline.mean(axis=0) - np.array(seen.plane.foot_milli_px) / 1000)) * seen.mm_per_px
    height = seen.camera_height_um / 1000
    return apparent, belt_to_fruit(apparent, height, axis_cosine=height / float(np.hypot(height, far)))


@pytest.mark.parametrize("spot", [(0, 0), (150, 110), (-150, -110), (285, 205), (-285, -205)], ids=str)
def test_a_ball_has_its_diameter_wherever_it_lies(spot: tuple[float, float]) -> None:
    """Lens, plane, the foot below the camera and the fruit's own height, together, against exact geometry."""
    apparent, diameter = ball_mm(40.0, spot)
    assert apparent > 85
    assert diameter == pytest.approx(80.0, abs=0.4)


def test_the_corrected_picture_is_where_its_points_are_said_to_be() -> None:
    """The picture itself, not only points: the board in it measures what it measures."""
    seen = profile()
    picture = seen.corrected(photograph(ON_THE_BELT))
    assert picture.shape == (GLASS.height, GLASS.width, 3)
    view = find_board(picture, A4)
    raw = find_board(photograph(ON_THE_BELT), A4)
    order = {int(number): n for n, number in enumerate(raw.ids)}
    said = straightened(seen, raw.points[[order[int(each)] for each in view.ids]])
    assert float(np.abs(view.points - said).max()) < 0.6
    mm = view.points * seen.mm_per_px
    model = A4.corners_mm[view.ids, :2]
    for a, b in ((0, -1), (5, -6), (10, -11)):
        assert float(np.linalg.norm(mm[a] - mm[b])) == pytest.approx(
            float(np.linalg.norm(model[a] - model[b])), rel=0.004
        )


def test_a_profile_made_of_it_is_read_back_the_same() -> None:
    seen = profile()
    again = parse_profile(seen.data)
    assert again == seen
    assert again.corrected(photograph(ON_THE_BELT)).tobytes() == seen.corrected(photograph(ON_THE_BELT)).tobytes()


# --- refusals --------------------------------------------------------------------------------------


def refusal(kind: str, photographs: tuple[View, ...]) -> str:
    with pytest.raises(BoardError) as refused:
        calibrate_lens(photographs, A4)
    assert refused.value.kind == kind
    return str(refused.value)


def test_too_few_views_are_refused() -> None:
    assert "5 photographs" in refusal("too_few_views", views()[:5])


def test_views_too_alike_are_refused() -> None:
    flat = tuple(
        find_board(photograph((1, n / 4, 0, 12 * n - 30, 10 - 4 * n, 330 + n)), A4, name=f"photo {n}") for n in range(6)
    )
    assert "held alike" in refusal("views_alike", flat)


def test_views_of_the_middle_only_are_refused() -> None:
    far = tuple(
        find_board(photograph((*pose[:3], 0, 0, 700)), A4, name=f"photo {n}") for n, pose in enumerate(POSES[:6])
    )
    assert "has not been at" in refusal("views_alike", far)


def test_a_bent_board_is_named_with_its_photograph() -> None:
    bent = find_board(photograph(POSES[1], bend_mm=12.0), A4, name="photo 2")
    assert "photo 2" in refusal("board_not_flat", (views()[0], bent, *views()[2:]))


def test_a_board_that_is_bent_in_every_view_is_refused() -> None:
    all_bent = tuple(find_board(photograph(pose, bend_mm=14.0), A4, name=str(pose)) for pose in POSES)
    with pytest.raises(BoardError) as refused:
        calibrate_lens(all_bent, A4)
    assert refused.value.kind in {"error_too_large", "board_not_flat"}


def test_photographs_of_different_sizes_are_refused() -> None:
    other = replace(views()[0], size=(1024, 768))
    refusal("size_differs", (other, *views()[1:]))


def test_another_board_is_refused() -> None:
    large = photograph((0, 0, 0, 0, 0, 560), board=A3)
    with pytest.raises(BoardError) as refused:
        find_board(large, A4)
    assert refused.value.kind == "wrong_board"
    assert len(find_board(large, A3).ids) > 60


def test_a_board_of_the_same_name_with_other_squares_is_refused() -> None:
    """Eight columns instead of ten: the same markers stand elsewhere."""
    narrow = Board("narrow", 8, 7, 25_000)
    with pytest.raises(BoardError) as refused:
        find_board(photograph((0, 0, 0, 0, 0, 330), board=narrow), A4)
    assert refused.value.kind in {"wrong_board", "board_small"}


@pytest.mark.parametrize("what", ["nothing", "noise", "a chessboard", "the station's marker", "half a board"])
def test_a_photograph_of_something_else_is_no_board(what: str) -> None:
    rng = np.random.default_rng(9)
    pixels = np.full((600, 800, 3), 120, np.uint8)
    if what == "noise":
        pixels = rng.integers(0, 256, (600, 800, 3), dtype=np.uint8)
    elif what == "a chessboard":
        pixels[:] = (np.indices((600, 800)) // 60).sum(axis=0)[..., None] % 2 * 255
    elif what == "the station's marker":
        marker = cv2.aruco.generateImageMarker(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50), 0, 200)
        pixels[150:350, 250:450] = marker[..., None]
    elif what == "half a board":
        pixels = photograph(POSES[0]).copy()
        pixels[:, 280:] = 100
    with pytest.raises(BoardError) as refused:
        find_board(pixels, A4)
    assert refused.value.kind in {"no_board", "board_small"}


def test_the_board_is_not_taken_for_the_stations_marker() -> None:
    with pytest.raises(CannotGradeError):
        find_scale(photograph(POSES[0]), Marker())


def test_a_camera_that_leans_too_far_is_refused() -> None:
    view = find_board(photograph((26, 0, 0, 0, 0, 420)), A4)
    with pytest.raises(BoardError) as refused:
        belt_plane(view, A4, lens())
    assert refused.value.kind == "belt_tilted"


def test_a_board_too_small_on_the_belt_is_refused() -> None:
    view = find_board(photograph((0, 0, 0, 0, 0, 700)), A4)
    small = replace(view, points=(view.points - 300) * 0.4 + 300)
    with pytest.raises(BoardError) as refused:
        belt_plane(small, A4, lens())
    assert refused.value.kind == "board_small"


def test_a_board_that_is_bent_on_the_belt_is_refused() -> None:
    view = find_board(photograph((0, 0, 0, 0, 0, 330), bend_mm=25.0), A4)
    with pytest.raises(BoardError) as refused:
        belt_plane(view, A4, lens())
    assert refused.value.kind == "error_too_large"


def test_the_wizard_says_what_is_missing_until_nothing_is() -> None:
    said = [tuple(each.en for each in missing(views()[:n], A4)) for n in range(len(POSES) + 1)]
    assert said[0][0] == "6 more photographs of the board"
    assert any("held alike" in each for each in said[1])
    assert all(len(a) >= len(b) for a, b in itertools.pairwise(said))
    assert said[-1] == ()
    assert all(each.zh for each in missing((), A4))
