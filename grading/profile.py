"""A camera's profile: what its pixels are. Lens, belt plane, colour and the light it was calibrated in, in one file.

A profile is canonical JSON, named by its SHA-256, with an edition, a date and an end. Numbers in it are whole, so
that the same file corrects the same pixels alike on every machine with one OpenCV release.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Any, Final, TypeAlias

import cv2
import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from grading.camera import Pixels
from grading.errors import CalibrationExpiredError, ProfileError
from ledger.canonical import canonical
from ledger.errors import EventError
from ledger.kernel.clock import TimeError, format_time, parse_time

EDITION: Final = "guoyuan-camera-profile/1"
MOST_BYTES: Final = 65_536
"""A profile's file is never larger."""
_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FOR_EVER: Final = datetime(9999, 12, 31, tzinfo=UTC)

Matrix: TypeAlias = NDArray[np.float64]


class Lens(Struct, frozen=True, forbid_unknown_fields=True):
    """Focal lengths and centre in thousandths of a pixel, distortion (k1 k2 p1 p2 k3, OpenCV's model) in 10^-9.

    `error_milli_px` is the root mean square distance between the board's corners and where this lens puts them.
    """

    focal_milli_px: tuple[int, int]
    centre_milli_px: tuple[int, int]
    distortion_nano: tuple[int, int, int, int, int]
    error_milli_px: int
    views: int

    @property
    def matrix(self) -> Matrix:
        """The camera matrix in pixels."""
        (fx, fy), (cx, cy) = self.focal_milli_px, self.centre_milli_px
        return np.array([[fx / 1e3, 0, cx / 1e3], [0, fy / 1e3, cy / 1e3], [0, 0, 1]])

    @property
    def distortion(self) -> Matrix:
        """OpenCV's five coefficients."""
        return np.array(self.distortion_nano) / 1e9


class Plane(Struct, frozen=True, forbid_unknown_fields=True):
    """The belt: pixels without distortion to pixels seen from straight above, row by row in 10^-10.

    `foot_milli_px` is the point of the corrected picture straight below the camera; `tilt_centideg` how far the camera
    leaned before; `error_um` the root mean square error of the board's corners on the belt.
    """

    homography_e10: tuple[int, int, int, int, int, int, int, int, int]
    foot_milli_px: tuple[int, int]
    tilt_centideg: int
    error_um: int

    @property
    def matrix(self) -> Matrix:
        """The homography."""
        return np.array(self.homography_e10).reshape(3, 3) / 1e10


class Colour(Struct, frozen=True, forbid_unknown_fields=True):
    """Linear light as this camera in this light gives it, to linear sRGB: 3 x 3 red green blue, row by row in 10^-6.

    The errors are CIEDE2000 in hundredths over the card's patches, before and after.
    """

    matrix_micro: tuple[int, int, int, int, int, int, int, int, int]
    card: str
    before_centi: int
    after_centi: int
    worst_centi: int

    @property
    def matrix(self) -> Matrix:
        """The matrix, red green blue."""
        return np.array(self.matrix_micro).reshape(3, 3) / 1e6


class BaseLight(Struct, frozen=True, forbid_unknown_fields=True):
    """The light when the camera was calibrated; see `grading.line.light.Light`."""

    sharpness_permille: int
    exposure: int
    clipped_permille: int
    dark_permille: int
    belt: tuple[int, int, int]


@dataclass(frozen=True)
class CameraProfile:
    """What a camera's pixels are, from `made_at` until `valid_until`.

    `nm_per_px` and `camera_height_um` hold on the belt, in the corrected picture. `size` is width and height of the
    pictures it is for; (0, 0) says any. A part that is None corrects nothing.
    """

    name: str
    size: tuple[int, int]
    nm_per_px: int
    camera_height_um: int
    made_at: datetime
    valid_until: datetime
    lens: Lens | None = None
    plane: Plane | None = None
    colour: Colour | None = None
    light: BaseLight | None = None

    @classmethod
    def plain(
        cls,
        *,
        nm_per_px: int,
        camera_height_um: int,
        size: tuple[int, int] = (0, 0),
        name: str = "plain",
        light: BaseLight | None = None,
        made_at: datetime = _LONG_AGO,
        valid_until: datetime = _FOR_EVER,
    ) -> "CameraProfile":
        """Return a profile that only states a scale and a height: for drawn belts, and where a person measured both."""
        return cls(name, size, nm_per_px, camera_height_um, made_at, valid_until, light=light)

    @cached_property
    def data(self) -> bytes:
        """The canonical bytes: what is kept, and what `digest` names."""
        return canonical(_sealed(_document(self)))

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of `data`."""
        return sha256(self.data).digest()

    @property
    def mm_per_px(self) -> float:
        """Millimetres per pixel on the belt, in the corrected picture."""
        return self.nm_per_px / 1e6

    def is_valid(self, now: datetime) -> bool:
        """Whether it may be graded by at `now`."""
        return self.made_at <= now < self.valid_until

    def demand_valid(self, now: datetime) -> None:
        """Raise CalibrationExpiredError where its time is over, ProfileError where it has not begun."""
        if now >= self.valid_until:
            raise CalibrationExpiredError(self.name, self.valid_until)
        if now < self.made_at:
            raise ProfileError("made_at", f"{format_time(self.made_at)} lies ahead: the clock here is wrong, or was")

    def corrected(self, pixels: Pixels) -> Pixels:
        """Return the picture as seen from straight above in neutral light; the same array where nothing is to correct.

        Raises ProfileError for a picture of another size than the profile is for.
        """
        height, width = pixels.shape[:2]
        if self.size not in {(0, 0), (width, height)}:
            raise ProfileError("size", f"is {self.size[0]} x {self.size[1]}, the picture {width} x {height}")
        if self.lens is not None or self.plane is not None:
            steps, fine = _maps(self)
            pixels = np.asarray(
                cv2.remap(pixels, steps, fine, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8
            )
        return pixels if self.colour is None else recoloured(pixels, self.colour)


def parse_profile(data: bytes) -> CameraProfile:
    """Return the profile in a file's bytes. Raises ProfileError with the field that is missing, altered or impossible.

    Says nothing of its time: `demand_valid` does.
    """
    if len(data) > MOST_BYTES:
        raise ProfileError("the file", f"has {len(data)} bytes; a profile has at most {MOST_BYTES}")
    try:
        raw = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProfileError("the file", f"is no JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ProfileError("the file", "is no JSON object")
    if raw.get("edition") != EDITION:
        raise ProfileError("edition", f"is {str(raw.get('edition'))[:60]!r}; {EDITION!r} is read here")
    try:
        file = msgspec.convert(raw, _File, strict=True)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        raise ProfileError(place.strip("`.") or "the file", f"cannot be read: {reason}") from error
    try:
        made_at, valid_until = parse_time(file.made_at), parse_time(file.valid_until)
    except TimeError as error:
        raise ProfileError("made_at or valid_until", str(error)) from error
    profile = CameraProfile(
        file.name,
        file.size,
        file.nm_per_px,
        file.camera_height_um,
        made_at,
        valid_until,
        file.lens,
        file.plane,
        file.colour,
        file.light,
    )
    _demand_sense(profile)
    try:
        right = _sealed(_document(profile))["sha256"]
    except EventError as error:
        raise ProfileError("the file", f"holds what no JSON can: {error}") from error
    if right != file.sha256:
        raise ProfileError(
            "sha256", f"does not fit what the file says ({right[:12]}...): it was altered; calibrate again"
        )
    return profile


def straightened(profile: CameraProfile, points: Matrix) -> Matrix:
    """Return where points (x, y by row) of the camera's picture lie in the corrected one."""
    if profile.lens is not None:
        points = undistorted(points, profile.lens)
    if profile.plane is None:
        return points
    seen = np.hstack([points, np.ones((len(points), 1))]) @ profile.plane.matrix.T
    return np.asarray(seen[:, :2] / seen[:, 2:], dtype=np.float64)


def recoloured(pixels: Pixels, colour: Colour) -> Pixels:
    """Return the pixels in neutral light: to linear light, through the matrix, and back to sRGB."""
    # Sixteen bits of linear light, white at a quarter of them: what a matrix makes brighter than white is not wrapped.
    light = cv2.transform(cv2.LUT(pixels, _TO_LINEAR), colour.matrix[::-1, ::-1])
    return np.asarray(np.take(_TO_SRGB, np.asarray(light, dtype=np.uint16)), dtype=np.uint8)


def undistorted(points: Matrix, lens: Lens) -> Matrix:
    """Return where points of the camera's picture would be without its distortion, in pixels."""
    k1, k2, p1, p2, k3 = lens.distortion
    (fx, fy), (cx, cy) = (np.diag(lens.matrix)[:2], lens.matrix[:2, 2])
    seen = (points - [cx, cy]) / [fx, fy]
    straight = seen.copy()
    # OpenCV's own inverse stops after five steps; the name under which it takes more changed between its releases.
    for _ in range(60):
        x, y = straight.T
        square = x * x + y * y
        radial = 1 + square * (k1 + square * (k2 + square * k3))
        aside = np.stack(
            [2 * p1 * x * y + p2 * (square + 2 * x * x), p1 * (square + 2 * y * y) + 2 * p2 * x * y], axis=1
        )
        straight = (seen - aside) / radial[:, None]
    return np.asarray(straight * [fx, fy] + [cx, cy], dtype=np.float64)


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    """The file as it is written."""

    edition: str
    name: str
    size: tuple[int, int]
    nm_per_px: int
    camera_height_um: int
    made_at: str
    valid_until: str
    sha256: str
    lens: Lens | None
    plane: Plane | None
    colour: Colour | None
    light: BaseLight | None


def _document(profile: CameraProfile) -> dict[str, Any]:
    return {
        "edition": EDITION,
        "name": profile.name,
        "size": list(profile.size),
        "nm_per_px": profile.nm_per_px,
        "camera_height_um": profile.camera_height_um,
        "made_at": format_time(profile.made_at),
        "valid_until": format_time(profile.valid_until),
        "lens": msgspec.to_builtins(profile.lens),
        "plane": msgspec.to_builtins(profile.plane),
        "colour": msgspec.to_builtins(profile.colour),
        "light": msgspec.to_builtins(profile.light),
    }


def _sealed(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the hash of everything else in it: against a slip of the hand, not against malice."""
    return {**document, "sha256": sha256(canonical(document)).hexdigest()}


def _demand_sense(profile: CameraProfile) -> None:
    """Raise ProfileError with the field that cannot be, or that another contradicts."""
    width, height = profile.size
    if not 1 <= len(profile.name) <= 80:
        raise ProfileError("name", "must have 1 to 80 letters")
    if profile.size != (0, 0) and not (120 <= width <= 20_000 and 120 <= height <= 20_000):
        raise ProfileError("size", f"{width} x {height} is no camera's")
    if not 1_000 <= profile.nm_per_px <= 10_000_000:
        raise ProfileError("nm_per_px", f"{profile.nm_per_px} lies outside 1000 to 10000000")
    if not 10_000 <= profile.camera_height_um <= 10_000_000:
        raise ProfileError("camera_height_um", f"{profile.camera_height_um} lies outside 10000 to 10000000")
    if profile.valid_until <= profile.made_at:
        raise ProfileError("valid_until", "is not after made_at")
    if (profile.lens is not None or profile.plane is not None) and profile.size == (0, 0):
        raise ProfileError("size", "is missing: a lens and a plane are those of one size of picture")
    if profile.lens is not None:
        _demand_lens(profile.lens, width, height)
    if profile.plane is not None:
        _demand_plane(profile.plane, width, height)
    if profile.lens is not None and profile.plane is not None:
        focal_um = sum(profile.lens.focal_milli_px) / 2e3 * profile.nm_per_px / 1e3
        if not 0.8 <= profile.camera_height_um / focal_um <= 1.25:
            raise ProfileError(
                "camera_height_um",
                f"{profile.camera_height_um} contradicts the focal length and nm_per_px, by which it is {focal_um:.0f}",
            )
    if profile.colour is not None:
        _demand_colour(profile.colour)
    if profile.light is not None:
        _demand_light(profile.light)


def _demand_lens(lens: Lens, width: int, height: int) -> None:
    if any(not 0.2 * width <= each / 1e3 <= 20 * width for each in lens.focal_milli_px):
        raise ProfileError("lens.focal_milli_px", f"{lens.focal_milli_px} is no focal length of a picture {width} wide")
    if not 0.9 <= lens.focal_milli_px[0] / lens.focal_milli_px[1] <= 1.11:
        raise ProfileError("lens.focal_milli_px", "differ by more than a tenth: pixels are square")
    cx, cy = (each / 1e3 for each in lens.centre_milli_px)
    if not (0.25 * width <= cx <= 0.75 * width and 0.25 * height <= cy <= 0.75 * height):
        raise ProfileError("lens.centre_milli_px", "lies far from the middle of the picture")
    if any(abs(each) > 10**11 for each in lens.distortion_nano):
        raise ProfileError("lens.distortion_nano", "is no lens's")
    focal = min(lens.focal_milli_px) / 1e3
    radius = np.linspace(0, np.hypot(max(cx, width - cx), max(cy, height - cy)) / focal, 64)
    k1, k2, _, _, k3 = lens.distortion
    if (np.diff(radius * (1 + k1 * radius**2 + k2 * radius**4 + k3 * radius**6)) <= 0).any():
        raise ProfileError("lens.distortion_nano", "folds the picture over itself before its corners")
    if lens.error_milli_px < 0 or lens.views < 1:
        raise ProfileError("lens", "has an error below zero, or no views")


def _demand_plane(plane: Plane, width: int, height: int) -> None:
    if plane.homography_e10[8] != 10**10:
        raise ProfileError("plane.homography_e10", "does not end in 1")
    if any(abs(each) > 2**53 - 1 for each in plane.homography_e10):
        raise ProfileError("plane.homography_e10", "is out of range")
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], dtype=np.float64)
    seen = corners @ plane.matrix.T
    if (seen[:, 2] <= 0.1).any():
        raise ProfileError("plane.homography_e10", "puts the horizon into the picture")
    across = seen[:, :2] / seen[:, 2:]
    ahead = np.roll(across, -1, axis=0)
    area = float((across[:, 0] * ahead[:, 1] - across[:, 1] * ahead[:, 0]).sum()) / 2
    if not 0.2 <= area / (width * height) <= 5:
        raise ProfileError("plane.homography_e10", "turns the picture over, or away from the belt")
    if not 0 <= plane.tilt_centideg <= 4500 or plane.error_um < 0:
        raise ProfileError("plane.tilt_centideg", "is no camera's that looks down on a belt")


def _demand_colour(colour: Colour) -> None:
    matrix = colour.matrix
    if any(abs(each) > 8_000_000 for each in colour.matrix_micro) or (np.diag(matrix) <= 0).any():
        raise ProfileError("colour.matrix_micro", "is no camera's")
    if np.linalg.det(matrix) <= 1e-3:
        raise ProfileError("colour.matrix_micro", "takes colours together that differ")
    if not 0 <= colour.after_centi <= colour.before_centi or colour.worst_centi < colour.after_centi:
        raise ProfileError("colour.after_centi", "is larger than before, or than the worst patch")


def _demand_light(light: BaseLight) -> None:
    permille = (light.sharpness_permille, light.clipped_permille, light.dark_permille)
    if any(not 0 <= each <= 1000 for each in permille) or any(
        not 0 <= each <= 255 for each in (light.exposure, *light.belt)
    ):
        raise ProfileError("light", "lies outside what a picture can be")


@lru_cache(maxsize=4)
def _maps(profile: CameraProfile) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Return OpenCV's maps from a corrected pixel to where it stands in the camera's picture."""
    width, height = profile.size
    x, y = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    at = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    if profile.plane is not None:
        at = np.linalg.inv(profile.plane.matrix) @ at
    at = at[:2] / at[2]
    if profile.lens is not None:
        rays = np.linalg.inv(profile.lens.matrix) @ np.vstack([at, np.ones(at.shape[1])])
        none = np.zeros(3)
        points, _ = cv2.projectPoints(rays.T.copy(), none, none, profile.lens.matrix, profile.lens.distortion)
        at = np.asarray(points, dtype=np.float64).reshape(-1, 2).T
    xs, ys = (each.reshape(height, width).astype(np.float32) for each in at)
    steps, fine = cv2.convertMaps(xs, ys, cv2.CV_16SC2)
    return np.asarray(steps, dtype=np.int16), np.asarray(fine, dtype=np.uint16)


def linear(srgb: Matrix) -> Matrix:
    """IEC 61966-2-1: from 0 to 1, coded to linear."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def coded(light: Matrix) -> Matrix:
    """IEC 61966-2-1: from 0 to 1, linear to coded."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)


_WHITE: Final = 16_383
_TO_LINEAR: Final = np.round(linear(np.arange(256) / 255) * _WHITE).astype(np.uint16)
_TO_SRGB: Final = np.round(coded(np.minimum(np.arange(65_536) / _WHITE, 1.0)) * 255).astype(np.uint8)
