"""A camera that is known exactly: it photographs a flat sheet through a lens with distortion, from any place."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.camera import Pixels

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Glass:
    """A lens: focal length and centre in pixels, distortion k1 k2 p1 p2 k3."""

    width: int = 800
    height: int = 600
    focal: float = 656.0
    centre: tuple[float, float] = (407.5, 294.4)
    distortion: tuple[float, float, float, float, float] = (-0.28, 0.09, 0.0008, -0.0006, 0.0)

    @property
    def matrix(self) -> Matrix:
        return np.array([[self.focal, 0, self.centre[0]], [0, self.focal, self.centre[1]], [0, 0, 1]])

    def seen(self, places_mm: Matrix, rotation: Matrix, at_mm: Matrix) -> Matrix:
        """Where points of the sheet (x, y, or x, y, z) come to lie in the picture."""
        if places_mm.shape[1] == 2:
            places_mm = np.hstack([places_mm, np.zeros((len(places_mm), 1))])
        points, _ = cv2.projectPoints(
            places_mm, cv2.Rodrigues(rotation)[0], at_mm, self.matrix, np.array(self.distortion)
        )
        return np.asarray(points).reshape(-1, 2)

    def photograph(
        self,
        sheet: NDArray[np.uint8],
        px_per_mm: float,
        rotation: Matrix,
        at_mm: Matrix,
        *,
        bend_mm: float = 0.0,
        ground: tuple[int, int, int] = (96, 100, 104),
        noise: float = 1.5,
        seed: int = 1,
    ) -> Pixels:
        """The sheet lying with its first corner at `at_mm`; `bend_mm` lifts its middle line towards the camera."""
        rays = _rays(self) @ rotation
        camera = -rotation.T @ at_mm
        wide = sheet.shape[1] / px_per_mm
        # The sheet is z = -bend (1 - (2 x / wide - 1)^2): met by a few steps from the flat one.
        z = np.zeros(len(rays))
        for _ in range(1 if bend_mm == 0 else 6):
            far = (z - camera[2]) / rays[:, 2]
            x = camera[0] + far * rays[:, 0]
            z = -bend_mm * np.clip(1 - (2 * x / wide - 1) ** 2, 0, 1)
        far = (z - camera[2]) / rays[:, 2]
        x, y = camera[0] + far * rays[:, 0], camera[1] + far * rays[:, 1]
        shape = (self.height, self.width)
        colour = sheet if sheet.ndim == 3 else cv2.cvtColor(sheet, cv2.COLOR_GRAY2BGR)
        picture = cv2.remap(
            colour,
            (x * px_per_mm - 0.5).reshape(shape).astype(np.float32),
            (y * px_per_mm - 0.5).reshape(shape).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=ground,
        )
        picture = cv2.GaussianBlur(picture, (0, 0), 0.6).astype(np.float32)
        picture += np.random.default_rng(seed).standard_normal(picture.shape, dtype=np.float32) * np.float32(noise)
        return np.clip(np.round(picture), 0, 255).astype(np.uint8)


@lru_cache(maxsize=2)
def _rays(glass: Glass) -> Matrix:
    """The direction that each pixel looks in; `px_per_mm` of a sheet should be near the picture's own."""
    u, v = np.meshgrid(np.arange(glass.width), np.arange(glass.height))
    points = np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64).reshape(-1, 1, 2)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-9)
    straight = cv2.undistortPoints(
        points, glass.matrix, np.array(glass.distortion), None, np.eye(3), np.eye(3), criteria
    ).reshape(-1, 2)
    return np.hstack([straight, np.ones((len(straight), 1))])


def turned(x_deg: float, y_deg: float = 0.0, z_deg: float = 0.0) -> Matrix:
    """A rotation about x, then y, then z."""
    x, y, z = (cv2.Rodrigues(np.radians(each) * np.eye(3)[n])[0] for n, each in enumerate((x_deg, y_deg, z_deg)))
    return np.asarray(z @ y @ x)


def placed(rotation: Matrix, middle_mm: Matrix, at: tuple[float, float, float]) -> Matrix:
    """The sheet's shift that puts the point `middle_mm` of it at `at` before the camera."""
    return np.asarray(at) - rotation @ np.array([*middle_mm, 0.0])
