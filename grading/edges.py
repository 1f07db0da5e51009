"""A fruit's edge, sought in the photograph along rays from its middle, starting from a coarse outline.

A network's mask is a grid of coarse cells: on a photograph its outline is off by several pixels. Along every ray
the place is sought where colour changes most, and over all rays the closed line that is strong and smooth
(dynamic programming). Only outlines that their middle sees whole can be followed; others stay as they are.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.camera import Pixels
from grading.detect import Mask

_RAYS: Final = 120
_REACH: Final = 0.15
"""The edge is sought within this share of the coarse outline's radius, inwards and outwards."""
_STEPS: Final = 31
_GAP: Final = 0.03
"""Colours are compared this share of the radius inside and outside."""
_LIGHT_WEIGHT: Final = 0.5
_SMOOTH: Final = 0.04
"""What one step between neighbouring rays costs, in shares of a strong edge."""
_NEAR: Final = 0.15
"""What the far end of the reach costs, in the same."""
_LEAST_SOLID: Final = 0.88

_Points = NDArray[np.float64]


def followed(pixels: Pixels, outline: NDArray[np.int32]) -> _Points | None:
    """Return the edge near an outline as points, or None where the outline is too hollow to be followed so."""
    hull = cv2.convexHull(outline.reshape(-1, 1, 2).astype(np.int32))
    area = cv2.contourArea(hull)
    if area < 400 or cv2.contourArea(outline.reshape(-1, 1, 2)) < _LEAST_SOLID * area:
        return None
    moments = cv2.moments(hull)
    centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    angles = np.linspace(0, 2 * np.pi, _RAYS, endpoint=False)
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    radii = _radii(hull.reshape(-1, 2) - centre, rays)
    mean = float(radii.mean())
    left, top = np.maximum(0, np.floor(centre - 1.3 * radii.max())).astype(int)
    right, bottom = np.ceil(centre + 1.3 * radii.max()).astype(int) + 1
    lab = cv2.cvtColor(pixels[top:bottom, left:right], cv2.COLOR_BGR2LAB).astype(np.float32)
    lab = np.asarray(cv2.GaussianBlur(lab, (0, 0), max(0.8, 0.012 * mean)), np.float32)
    shares = np.linspace(1 - _REACH, 1 + _REACH, _STEPS)
    reach = radii[:, None] * shares[None, :]

    def colours(at: _Points) -> NDArray[np.float32]:
        points = centre + rays[:, None, :] * at[..., None] - (left, top)
        xs, ys = (np.ascontiguousarray(points[..., axis], np.float32) for axis in (0, 1))
        return np.asarray(cv2.remap(lab, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)

    change = colours(reach + _GAP * mean) - colours(reach - _GAP * mean)
    edge = np.sqrt(_LIGHT_WEIGHT * change[..., 0] ** 2 + change[..., 1] ** 2 + change[..., 2] ** 2)
    edge = np.minimum(edge / (float(np.median(edge.max(axis=1))) + 1e-6), 1.2)
    path = _closed_path(_NEAR * np.abs(shares - 1) / _REACH - edge)
    return np.asarray(centre + rays * reach[np.arange(_RAYS), path][:, None])


def filled(points: _Points, shape: tuple[int, ...]) -> tuple[Mask, int, int] | None:
    """Return the mask within a closed line, cut to its box, and where that box begins; None where nothing is."""
    corners = np.rint(points).astype(np.int32)
    low = np.clip(corners.min(axis=0), 0, None)
    high = np.minimum(corners.max(axis=0) + 1, (shape[1], shape[0]))
    if (high - low).min() < 4:
        return None
    mask = np.zeros((int(high[1] - low[1]), int(high[0] - low[0])), np.uint8)
    # Eighths of a pixel, with pixel centres at whole numbers.
    cv2.fillPoly(mask, [np.rint((points - low) * 8).astype(np.int32)], 1, shift=3)
    return mask.astype(bool), int(low[0]), int(low[1])


def _radii(hull: _Points, rays: _Points) -> _Points:
    """Return how far a hull around the origin reaches along every ray, a little smoothed."""
    ends = np.roll(hull, -1, axis=0)
    normals = np.stack([-rays[:, 1], rays[:, 0]], axis=1)
    side, other = normals @ hull.T, normals @ ends.T
    crosses = (side * other <= 0) & (side != other)
    share = np.where(crosses, side / np.where(crosses, side - other, 1), 0)
    along = np.einsum("rk,rsk->rs", rays, hull[None] + share[..., None] * (ends - hull)[None])
    radii = np.where(crosses, along, 0).max(axis=1)
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / 2.5) ** 2)
    around = np.concatenate([radii[-6:], radii, radii[:6]])
    return np.asarray(np.convolve(around, kernel / kernel.sum(), "valid"))


def _closed_path(costs: _Points) -> NDArray[np.intp]:
    """Return for every ray the step on the cheapest closed line."""
    count = len(costs)
    half = count // 2
    middle = _path(costs, None)[half]
    return np.roll(_path(np.roll(costs, -half, axis=0), int(middle)), half)


def _path(costs: _Points, start: int | None) -> NDArray[np.intp]:
    steps = np.arange(costs.shape[1])
    turns = _SMOOTH * np.abs(steps[:, None] - steps[None, :])
    total = costs[0] if start is None else np.where(steps == start, costs[0], 1e9)
    came = []
    for row in costs[1:]:
        ways = total[:, None] + turns
        best = ways.argmin(axis=0)
        came.append(best)
        total = ways[best, steps] + row
    at = int((total if start is None else total + turns[:, start]).argmin())
    path = [at]
    for best in reversed(came):
        at = int(best[at])
        path.append(at)
    return np.array(path[::-1], np.intp)
