"""The lens and the belt: a printed ChArUco board, photographed several times by hand and once lying on the belt.

The photographs by hand give the lens (focal length, centre, distortion). The one on the belt gives where the belt is:
how high the camera stands, how far it leans, and how to turn its picture into one from straight above with the same
millimetres in every pixel. What cannot be trusted is refused by name, and the wizard says what is still missing.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.camera import Pixels
from grading.errors import BoardError
from grading.profile import Lens, Matrix, Plane, undistorted
from grading.standard import Text

LEAST_VIEWS: Final = 6
LEAST_CORNERS: Final = 12
MOST_ERROR_PERMILLE: Final = 1
"""Root mean square reprojection error, in thousandths of the picture's width."""
LEAST_TURN_DEG: Final = 20
LEAST_CELLS: Final = 11
"""Of sixteen parts of the picture, how many must hold corners of some view."""
MOST_FOCAL_SPREAD_PERMILLE: Final = 6
MOST_TILT_DEG: Final = 20
LEAST_BELT_PERMILLE: Final = 60
"""Share of the picture that the board on the belt must cover."""
_NOT_FLAT: Final = 3.0
"""A view whose error is this many times the others' middle is of a board that is bent, or was moved."""


@dataclass(frozen=True, slots=True)
class Board:
    """A chessboard whose white squares hold markers (DICT_5X5_100), which the station's own marker is not one of."""

    name: str
    columns: int
    rows: int
    square_um: int
    marker_permille: int = 720
    """A marker's side as a share of its square's."""

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height."""
        return self.columns * self.square_um / 1000, self.rows * self.square_um / 1000

    @property
    def pattern(self) -> cv2.aruco.CharucoBoard:
        """OpenCV's board, in millimetres."""
        side = self.square_um / 1000
        return cv2.aruco.CharucoBoard(
            (self.columns, self.rows), side, side * self.marker_permille / 1000, _dictionary()
        )

    @property
    def corners_mm(self) -> Matrix:
        """Where the inner corners lie on the board, x y 0, by number."""
        return np.asarray(self.pattern.getChessboardCorners(), dtype=np.float64)


BOARDS: Final[Mapping[str, Board]] = {
    "a4": Board("a4", 10, 7, 25_000),
    "a3": Board("a3", 12, 8, 32_000),
}
"""Sizes that leave a margin of a centimetre on the sheet."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The board's corners in one photograph: their numbers, and where they are in pixels."""

    name: str
    size: tuple[int, int]
    ids: NDArray[np.int32]
    points: Matrix


@dataclass(frozen=True, slots=True)
class Belt:
    """The belt as one photograph shows it: `plane` and what its pixels are in the corrected picture."""

    plane: Plane
    nm_per_px: int
    camera_height_um: int


def board_picture(board: Board, px_per_mm: int = 12) -> NDArray[np.uint8]:
    """Return the board as a grey picture without margin; `px_per_mm` must give whole pixels per square."""
    side = board.square_um * px_per_mm // 1000
    picture = board.pattern.generateImage((board.columns * side, board.rows * side), marginSize=0, borderBits=1)
    return np.asarray(picture, dtype=np.uint8)


def find_board(pixels: Pixels, board: Board, *, name: str = "the photograph") -> View:
    """Return the board's corners. Raises BoardError `no_board`, `wrong_board` or `board_small`."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    parameters = cv2.aruco.DetectorParameters()
    # The markers only say which corner is which; the corners themselves are found where squares meet.
    detector = cv2.aruco.CharucoDetector(board.pattern, cv2.aruco.CharucoParameters(), parameters)
    found: Any = detector.detectBoard(grey)  # OpenCV's stubs do not say that each of the four may be None
    corners, ids, _, marker_ids = found
    known = [] if marker_ids is None else [int(each) for each in marker_ids.ravel()]
    if not known:
        raise BoardError("no_board", f"{name} shows no board of ours: print one with `camera board`")
    strange = [each for each in known if each >= board.columns * board.rows // 2]
    if strange:
        raise BoardError("wrong_board", f"{name} shows another board than {board.name}: it has marker {strange[0]}")
    if corners is None or ids is None or len(ids) < LEAST_CORNERS:
        found = 0 if ids is None else len(ids)
        raise BoardError(
            "board_small",
            f"{name} shows {found} corners of the board, {LEAST_CORNERS} are needed: come nearer, show all of it",
        )
    points = np.asarray(corners, dtype=np.float64).reshape(-1, 2)
    numbers = np.asarray(ids, dtype=np.int32).ravel()
    _demand_one_board(points, board.corners_mm[numbers, :2], board, name)
    return View(name, (int(grey.shape[1]), int(grey.shape[0])), numbers, points)


def missing(views: Sequence[View], board: Board) -> tuple[Text, ...]:
    """Return what the views of the board still lack before a lens can be calibrated; nothing when they are enough."""
    lacks: list[Text] = []
    if len(views) < LEAST_VIEWS:
        left = LEAST_VIEWS - len(views)
        lacks.append(Text(f"还需要 {left} 张标定板照片", f"{left} more photographs of the board"))
    empty = _empty_parts(views)
    if 16 - len(empty) < LEAST_CELLS:
        zh, en = _PARTS[empty[0]]
        lacks.append(Text(f"标定板还没有到过画面{zh}", f"the board has not been at the {en} of the picture"))
    if _turn_deg(views, board) < LEAST_TURN_DEG:
        lacks.append(
            Text(
                "标定板的角度太相似: 请向左、右、前、后倾斜约 30 度",
                "the board was held alike each time: lean it left, right, towards and away by about 30 degrees",
            )
        )
    return tuple(lacks)


def calibrate_lens(views: Sequence[View], board: Board) -> Lens:
    """Return the lens that the views show.

    Raises BoardError: `size_differs`, `too_few_views`, `views_alike`, `board_not_flat`, `error_too_large`.
    """
    sizes = {view.size for view in views}
    if len(sizes) > 1:
        raise BoardError("size_differs", f"the photographs have different sizes: {sorted(sizes)}")
    if len(views) < LEAST_VIEWS:
        raise BoardError("too_few_views", f"{len(views)} photographs show the board; at least {LEAST_VIEWS} are needed")
    lacks = missing(views, board)
    if lacks:
        raise BoardError("views_alike", "; ".join(each.en for each in lacks))
    width, height = views[0].size
    corners_mm = board.corners_mm
    start = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], dtype=np.float64)
    error, matrix, distortion, _, _, spread, _, per_view = cv2.calibrateCameraExtended(
        [corners_mm[view.ids].astype(np.float32) for view in views],
        [view.points.astype(np.float32) for view in views],
        (width, height),
        start,
        np.zeros(5),
        flags=cv2.CALIB_USE_INTRINSIC_GUESS,
    )
    worst_px = MOST_ERROR_PERMILLE * width / 1000
    errors = np.asarray(per_view, dtype=np.float64).ravel()
    middle = float(np.median(errors))
    bent = [view.name for view, each in zip(views, errors, strict=True) if each > max(_NOT_FLAT * middle, worst_px / 2)]
    if bent and len(bent) < len(views) / 2:
        raise BoardError(
            "board_not_flat",
            f"in {', '.join(bent)} the corners lie {errors.max():.2f} pixels from where a flat board has them, "
            f"{middle:.2f} in the others: lay the board on something flat and take these again",
        )
    if not np.isfinite(error) or error > worst_px:
        raise BoardError(
            "error_too_large",
            f"the corners lie {error:.2f} pixels from where a lens would put them, at most {worst_px:.2f} is allowed: "
            "is the board flat, the picture sharp, and the square as long as you said?",
        )
    focal = np.array([matrix[0, 0], matrix[1, 1]])
    focal_spread = np.asarray(spread, dtype=np.float64).ravel()[:2]
    if (1000 * focal_spread > MOST_FOCAL_SPREAD_PERMILLE * focal).any():
        raise BoardError(
            "views_alike",
            f"the focal length is known to {float((focal_spread / focal).max()):.1%} only: lean the board more, nearer",
        )
    return Lens(
        (round(1000 * float(focal[0])), round(1000 * float(focal[1]))),
        (round(1000 * float(matrix[0, 2])), round(1000 * float(matrix[1, 2]))),
        _five(np.asarray(distortion, dtype=np.float64)),
        round(1000 * float(error)),
        len(views),
    )


def belt_plane(view: View, board: Board, lens: Lens, *, thickness_um: int = 0) -> Belt:
    """Return the belt on which the board lies; `thickness_um` is what lies between the board's face and the belt.

    Raises BoardError: `board_small`, `belt_tilted`, `error_too_large`.
    """
    width, height = view.size
    share = _share_permille(view)
    if share < LEAST_BELT_PERMILLE:
        raise BoardError(
            "board_small",
            f"on {view.name} the board covers {share / 10:.1f} % of the picture, at least "
            f"{LEAST_BELT_PERMILLE / 10:.0f} % is needed: take a larger board",
        )
    model = board.corners_mm[view.ids]
    is_found, turned, moved = cv2.solvePnP(model, view.points, lens.matrix, lens.distortion, flags=cv2.SOLVEPNP_IPPE)
    if is_found:
        turned, moved = cv2.solvePnPRefineLM(model, view.points, lens.matrix, lens.distortion, turned, moved)
    rotation = np.asarray(cv2.Rodrigues(turned)[0], dtype=np.float64)
    normal, at = rotation[:, 2], np.asarray(moved, dtype=np.float64).ravel()
    # The board's z looks into the sheet, away from the camera, so the camera's distance is positive.
    down = normal if float(normal @ at) > 0 else -normal
    height_mm = float(down @ at) + thickness_um / 1000
    tilt_deg = float(np.degrees(np.arccos(np.clip(down[2], -1, 1))))
    if tilt_deg > MOST_TILT_DEG:
        raise BoardError(
            "belt_tilted",
            f"the camera leans by {tilt_deg:.1f} degrees against the belt, at most {MOST_TILT_DEG} is allowed",
        )
    upright = _turned_down(down)
    focal = float(np.mean(np.diag(lens.matrix)[:2]))
    seen = _homography(upright, focal, (0.0, 0.0), lens)
    corners = _mapped(seen, np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64))
    # The corrected picture shows as much belt as the camera's, in as many pixels, about the same middle.
    zoom = float(np.sqrt(width * height / _area(corners)))
    nm_per_px = round(height_mm * 1e6 / (focal * zoom))
    focal = height_mm * 1e6 / nm_per_px
    middle = _mapped(_homography(upright, focal, (0.0, 0.0), lens), np.array([[width / 2, height / 2]]))[0]
    foot = width / 2 - float(middle[0]), height / 2 - float(middle[1])
    matrix = _homography(upright, focal, foot, lens)
    points = _mapped(matrix, undistorted(view.points, lens)) * nm_per_px / 1e6
    # A board that is thicker than nothing is nearer than the belt, and looks larger by as much.
    nearer = height_mm / (height_mm - thickness_um / 1000)
    error_um = round(1000 * _rigid_error(points, model[:, :2] * nearer))
    if error_um > 1.5 * nm_per_px / 1000:
        raise BoardError(
            "error_too_large",
            f"on {view.name} the corners lie {error_um / 1000:.2f} mm from where a flat board has them, at most "
            f"{1.5 * nm_per_px / 1e6:.2f} mm is allowed",
        )
    scaled = matrix / matrix[2, 2]
    whole = [round(float(each) * 1e10) for each in scaled.ravel()]
    plane = Plane(
        (whole[0], whole[1], whole[2], whole[3], whole[4], whole[5], whole[6], whole[7], 10**10),
        (round(1000 * foot[0]), round(1000 * foot[1])),
        round(100 * tilt_deg),
        error_um,
    )
    return Belt(plane, nm_per_px, round(height_mm * 1000))


# --- the views -------------------------------------------------------------------------------------

_ACROSS: Final = (("左", "left"), ("中左", "middle left"), ("中右", "middle right"), ("右", "right"))
_DOWN: Final = (("上", "upper"), ("中上", "upper middle"), ("中下", "lower middle"), ("下", "lower"))
_PARTS: Final = tuple((f"{down[0]}{across[0]}部", f"{down[1]} {across[1]}") for down in _DOWN for across in _ACROSS)


def _dictionary() -> cv2.aruco.Dictionary:
    return cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100)


def _demand_one_board(points: Matrix, model: Matrix, board: Board, name: str) -> None:
    """Raise BoardError `wrong_board` where the corners do not lie as the board's do, lens or no lens."""
    homography = np.asarray(cv2.findHomography(model, points, cv2.LMEDS)[0], dtype=np.float64)
    if homography.shape != (3, 3):
        raise BoardError("wrong_board", f"{name} shows corners that lie in no plane")
    beside = _mapped(homography, model + np.array([board.square_um / 1000, 0]))
    side = float(np.median(np.linalg.norm(beside - points, axis=1)))
    off = np.linalg.norm(_mapped(homography, model) - points, axis=1)
    if float(np.median(off)) > 0.2 * side:
        raise BoardError("wrong_board", f"{name} shows corners that do not lie as those of board {board.name} do")


def _empty_parts(views: Sequence[View]) -> list[int]:
    """Return which of sixteen parts of the picture no view's corners reach, the corners of the picture first."""
    counts = np.zeros(16, dtype=np.int64)
    for view in views:
        width, height = view.size
        column = np.clip(view.points[:, 0] * 4 // width, 0, 3).astype(np.int64)
        row = np.clip(view.points[:, 1] * 4 // height, 0, 3).astype(np.int64)
        counts += np.bincount(row * 4 + column, minlength=16)
    order = (0, 3, 12, 15, 1, 2, 4, 7, 8, 11, 13, 14, 5, 6, 9, 10)
    return [each for each in order if not counts[each]]


def _turn_deg(views: Sequence[View], board: Board) -> float:
    """Return the largest angle between two views' boards, by a plain camera as wide as the picture."""
    normals = []
    for view in views:
        width, height = view.size
        matrix = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], dtype=np.float64)
        is_found, turned, _ = cv2.solvePnP(
            board.corners_mm[view.ids], view.points, matrix, np.zeros(5), flags=cv2.SOLVEPNP_IPPE
        )
        if is_found:
            normals.append(np.asarray(cv2.Rodrigues(turned)[0])[:, 2])
    angles = [np.degrees(np.arccos(np.clip(a @ b, -1, 1))) for a, b in itertools.combinations(normals, 2)]
    return float(max(angles, default=0.0))


def _share_permille(view: View) -> int:
    hull = cv2.convexHull(view.points.astype(np.float32))
    return round(1000 * float(cv2.contourArea(hull)) / (view.size[0] * view.size[1]))


def _five(distortion: Matrix) -> tuple[int, int, int, int, int]:
    k1, k2, p1, p2, k3 = (round(float(each) * 1e9) for each in distortion.ravel()[:5])
    return k1, k2, p1, p2, k3


# --- the plane -------------------------------------------------------------------------------------


def _turned_down(down: Matrix) -> Matrix:
    """Return the smallest rotation after which `down` is the direction of view."""
    ahead = np.array([0.0, 0.0, 1.0])
    axis = np.cross(down, ahead)
    length = float(np.linalg.norm(axis))
    if length < 1e-12:
        return np.eye(3)
    angle = float(np.arctan2(length, down @ ahead))
    return np.asarray(cv2.Rodrigues(axis / length * angle)[0], dtype=np.float64)


def _homography(upright: Matrix, focal: float, foot: tuple[float, float], lens: Lens) -> Matrix:
    looking_down = np.array([[focal, 0, foot[0]], [0, focal, foot[1]], [0, 0, 1]])
    return np.asarray(looking_down @ upright @ np.linalg.inv(lens.matrix), dtype=np.float64)


def _mapped(homography: Matrix, points: Matrix) -> Matrix:
    seen = np.hstack([points, np.ones((len(points), 1))]) @ np.asarray(homography, dtype=np.float64).T
    return np.asarray(seen[:, :2] / seen[:, 2:], dtype=np.float64)


def _area(corners: Matrix) -> float:
    ahead = np.roll(corners, -1, axis=0)
    return abs(float((corners[:, 0] * ahead[:, 1] - corners[:, 1] * ahead[:, 0]).sum())) / 2


def _rigid_error(points: Matrix, model: Matrix) -> float:
    """Return the root mean square distance left after turning and moving, without any change of scale."""
    a, b = points - points.mean(axis=0), model - model.mean(axis=0)
    u, _, vt = np.linalg.svd(a.T @ b)
    sign = np.diag([1.0, float(np.sign(np.linalg.det(u @ vt)))])
    return float(np.sqrt(((a @ (u @ sign @ vt) - b) ** 2).sum(axis=1).mean()))
