"""White and colour: a bought card with known patches, laid into a frame that we print.

Any printer can print the frame, none can print known colours: so the patches are those of a card that somebody made and
measured, and their values stand in a TOML file (`cards/`, or your own). The frame's four markers say where each patch
is, whatever its size, and its white paper says whether the light is even. A 3 x 3 matrix in linear light is fitted so
that the patches come out as their values say; the difference, CIEDE2000, is reported before and after.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from grading.camera import Pixels
from grading.errors import ColourCardError
from grading.profile import Colour, Matrix, coded, linear, recoloured

MARKER_MM: Final = 18.0
GAP_MM: Final = 5.0
MARGIN_MM: Final = 27.0
"""White paper around the window, markers in it."""
MARKERS: Final = (96, 97, 98, 99)
"""Of DICT_5X5_100: upper left, upper right, lower right, lower left."""
MOST_UNEVEN_PERMILLE: Final = 300
MOST_AFTER_CENTI: Final = 600
"""A card that is no better known than this on average is not this card, or not this light's."""
LEAST_PATCH_PX: Final = 10
_CLIPPED: Final = 250
_LEAST_WHITE: Final = 0.12
_MOST_SPREAD: Final = 0.12
"""Of a patch's mean: more, and something else than the patch is in its middle."""


class Patch(Struct, frozen=True, forbid_unknown_fields=True):
    """One patch and its CIE L*a*b*."""

    name: str
    lab: tuple[float, float, float]


class Card(Struct, frozen=True, forbid_unknown_fields=True):
    """A card: its patches row by row, and how far its outermost patches' middles are apart, where that is known."""

    id: str
    edition: str
    source: str
    illuminant: str
    columns: int
    rows: int
    patches: tuple[Patch, ...]
    across_mm: float | None = None
    down_mm: float | None = None

    @property
    def lab(self) -> Matrix:
        """The values, one row per patch."""
        return np.array([each.lab for each in self.patches])

    @property
    def name(self) -> str:
        """How a profile names it."""
        return f"{self.id} {self.edition}"


@dataclass(frozen=True, slots=True)
class Frame:
    """The printed sheet around a card, in millimetres from the window's upper left corner."""

    window_mm: tuple[float, float]
    patches_mm: tuple[tuple[float, float], ...]
    patch_mm: float

    @property
    def markers_mm(self) -> tuple[tuple[float, float], ...]:
        """The upper left corner of each marker, in the order of MARKERS."""
        wide, high = self.window_mm
        out = GAP_MM + MARKER_MM
        return (-out, -out), (wide + GAP_MM, -out), (wide + GAP_MM, high + GAP_MM), (-out, high + GAP_MM)

    @property
    def paper_mm(self) -> tuple[tuple[float, float], ...]:
        """Places of white paper all round the window."""
        wide, high = self.window_mm
        aside = GAP_MM + MARKER_MM / 2
        rows = [(wide * share, y) for y in (-aside, high + aside) for share in (0.2, 0.5, 0.8)]
        return (*rows, *((x, high * share) for x in (-aside, wide + aside) for share in (0.3, 0.7)))


def load_card(name: str = "classic-24") -> Card:
    """Return a card that comes with us, or one from the path of a TOML file. Raises ColourCardError `card_file`."""
    path = Path(name) if name.endswith(".toml") else Path(__file__).parent / "cards" / f"{Path(name).name}.toml"
    try:
        data = path.read_bytes()
    except OSError as error:
        known = sorted(each.stem for each in (Path(__file__).parent / "cards").glob("*.toml"))
        raise ColourCardError("card_file", f"there is no card {name!r}; there are {', '.join(known)}") from error
    return parse_card(name, data)


def parse_card(name: str, data: bytes) -> Card:
    """Return the card in TOML bytes. Raises ColourCardError `card_file` with what is wrong with it."""
    try:
        card = msgspec.convert(tomllib.loads(data.decode()), Card, strict=False)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ColourCardError("card_file", f"{name}: {error}") from error
    lab = card.lab
    for wrong, why in (
        (card.illuminant not in _WHITES, f"illuminant {card.illuminant!r} is none of {', '.join(_WHITES)}"),
        (not (2 <= card.columns <= 20 and 2 <= card.rows <= 20), "columns and rows must be 2 to 20"),
        (
            len(card.patches) != card.columns * card.rows,
            f"{len(card.patches)} patches for {card.columns} x {card.rows}",
        ),
        (len({each.name for each in card.patches}) != len(card.patches), "two patches have one name"),
        (not np.isfinite(lab).all() or (lab[:, 0] < 0).any() or (lab[:, 0] > 100).any(), "L* must be 0 to 100"),
        ((np.abs(lab[:, 1:]) > 128).any(), "a* and b* must be -128 to 128"),
    ):
        if wrong:
            raise ColourCardError("card_file", f"{name}: {why}")
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    greys = lab[chroma < 6, 0]
    if len(greys) < 3 or greys.max() < 85 or int((chroma > 25).sum()) < 6:
        raise ColourCardError("card_file", f"{name}: a card needs a white, two more greys and six colours")
    if any(each is not None and not 20 <= each <= 400 for each in (card.across_mm, card.down_mm)):
        raise ColourCardError("card_file", f"{name}: across_mm and down_mm must be 20 to 400")
    return card


def frame_of(card: Card) -> Frame:
    """Return the frame for a card. Raises ColourCardError `card_size` where nobody has measured it."""
    if card.across_mm is None or card.down_mm is None:
        raise ColourCardError(
            "card_size",
            "measure the card: across_mm and down_mm go from the middle of its first patch to that of the last one",
        )
    x_step, y_step = card.across_mm / (card.columns - 1), card.down_mm / (card.rows - 1)
    edge = 0.75 * min(x_step, y_step)
    places = tuple((edge + x * x_step, edge + y * y_step) for y in range(card.rows) for x in range(card.columns))
    return Frame((card.across_mm + 2 * edge, card.down_mm + 2 * edge), places, 0.7 * min(x_step, y_step))


def frame_picture(frame: Frame, px_per_mm: int = 14) -> NDArray[np.uint8]:
    """Return the sheet to print, grey: four markers, the window, notches where the outer patches' middles belong.

    The arrow is at the first patch. It is `2 * MARGIN_MM` wider and higher than the window.
    """
    wide, high = frame.window_mm
    shape = [round((each + 2 * MARGIN_MM) * px_per_mm) for each in (high, wide)]
    sheet = np.full(shape, 255, np.uint8)

    def at(x_mm: float, y_mm: float) -> tuple[int, int]:
        return round((x_mm + MARGIN_MM) * px_per_mm), round((y_mm + MARGIN_MM) * px_per_mm)

    side = round(MARKER_MM * px_per_mm)
    for number, corner in zip(MARKERS, frame.markers_mm, strict=True):
        column, row = at(*corner)
        sheet[row : row + side, column : column + side] = cv2.aruco.generateImageMarker(_dictionary(), number, side)
    cv2.rectangle(sheet, at(0, 0), at(wide, high), 170, max(1, px_per_mm // 5))
    (left, top), (right, bottom) = frame.patches_mm[0], frame.patches_mm[-1]
    notch, thick = 3.0, max(1, px_per_mm // 4)
    for x in (left, right):
        cv2.line(sheet, at(x, -notch), at(x, 0), 0, thick)
        cv2.line(sheet, at(x, high), at(x, high + notch), 0, thick)
    for y in (top, bottom):
        cv2.line(sheet, at(-notch, y), at(0, y), 0, thick)
        cv2.line(sheet, at(wide, y), at(wide + notch, y), 0, thick)
    cv2.arrowedLine(sheet, at(left, -4 * notch), at(left, -notch), 0, thick, tipLength=0.4)
    return sheet


def calibrate_colour(pixels: Pixels, card: Card) -> Colour:
    """Return the matrix under which the card in a photograph comes out as its values say.

    The photograph should be corrected for the lens. Raises ColourCardError: `no_card`, `card_small`, `clipped`,
    `too_dark`, `uneven_light`, `card_moved`, `card_turned`, `wrong_card`.
    """
    patches = _levelled(pixels, frame_of(card))
    _demand_order(patches, card)
    reference = card.lab
    matrix = _fitted(patches, reference, card.illuminant)
    whole = [round(float(each) * 1e6) for each in matrix.ravel()]
    colour = Colour(
        (whole[0], whole[1], whole[2], whole[3], whole[4], whole[5], whole[6], whole[7], whole[8]), card.name, 0, 0, 0
    )
    before = delta_e_2000(to_lab(patches, card.illuminant), reference)
    shown = recoloured(np.round(coded(np.clip(patches[:, ::-1], 0, 1)) * 255).astype(np.uint8)[None], colour)[0]
    after = delta_e_2000(to_lab(linear(shown[:, ::-1] / 255), card.illuminant), reference)
    if 100 * float(after.mean()) > MOST_AFTER_CENTI or after.mean() >= before.mean():
        raise ColourCardError(
            "wrong_card",
            f"after the best correction the patches are still {after.mean():.1f} (CIEDE2000) from the values of "
            f"{card.name}, {before.mean():.1f} before: it is another card, faded, or under a strange lamp",
        )
    return Colour(
        colour.matrix_micro,
        card.name,
        round(100 * float(before.mean())),
        round(100 * float(after.mean())),
        round(100 * float(after.max())),
    )


def to_lab(rgb: Matrix, illuminant: str) -> Matrix:
    """Return CIE L*a*b* under an illuminant of linear sRGB, one row each."""
    xyz = rgb @ _TO_XYZ.T @ _adapted("D65", illuminant).T / np.array(_WHITES[illuminant])
    cut = (6 / 29) ** 3
    f = np.where(xyz > cut, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def from_lab(lab: Matrix, illuminant: str) -> Matrix:
    """Return linear sRGB of CIE L*a*b* under an illuminant; below 0 or above 1 where sRGB does not reach."""
    fy = (lab[:, 0] + 16) / 116
    f = np.stack([fy + lab[:, 1] / 500, fy, fy - lab[:, 2] / 200], axis=1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * np.array(_WHITES[illuminant])
    return np.asarray(xyz @ _adapted(illuminant, "D65").T @ np.linalg.inv(_TO_XYZ).T, dtype=np.float64)


def delta_e_2000(one: Matrix, other: Matrix) -> Matrix:
    """Return CIEDE2000 between rows of L*a*b* (CIE 142-2001, in the form of Sharma, Wu and Dalal, 2005)."""
    c_mean = (np.hypot(one[:, 1], one[:, 2]) + np.hypot(other[:, 1], other[:, 2])) / 2
    g = 0.5 * (1 - np.sqrt(c_mean**7 / (c_mean**7 + 25.0**7)))
    a1, a2 = (1 + g) * one[:, 1], (1 + g) * other[:, 1]
    c1, c2 = np.hypot(a1, one[:, 2]), np.hypot(a2, other[:, 2])
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, one[:, 2]), (a2, other[:, 2])))
    has_hue = (c1 * c2) != 0
    turn = np.where(has_hue, (h2 - h1 + 180) % 360 - 180, 0.0)
    # Exactly opposite hues count as +180, as in the paper's own table.
    turn = np.where(has_hue & (np.abs(h2 - h1) == 180), h2 - h1, turn)
    d_l, d_c = other[:, 0] - one[:, 0], c2 - c1
    d_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    l_mean, c_mean = (one[:, 0] + other[:, 0]) / 2, (c1 + c2) / 2
    wraps = np.abs(h1 - h2) > 180
    h_mean = np.where(
        has_hue,
        np.where(wraps, np.where(h1 + h2 < 360, (h1 + h2 + 360) / 2, (h1 + h2 - 360) / 2), (h1 + h2) / 2),
        h1 + h2,
    )
    t = (
        1
        - 0.17 * np.cos(np.radians(h_mean - 30))
        + 0.24 * np.cos(np.radians(2 * h_mean))
        + 0.32 * np.cos(np.radians(3 * h_mean + 6))
        - 0.20 * np.cos(np.radians(4 * h_mean - 63))
    )
    s_l = 1 + 0.015 * (l_mean - 50) ** 2 / np.sqrt(20 + (l_mean - 50) ** 2)
    s_c, s_h = 1 + 0.045 * c_mean, 1 + 0.015 * c_mean * t
    r_t = -np.sin(np.radians(60 * np.exp(-(((h_mean - 275) / 25) ** 2)))) * (
        2 * np.sqrt(c_mean**7 / (c_mean**7 + 25.0**7))
    )
    l, c, h = d_l / s_l, d_c / s_c, d_h / s_h  # noqa: E741  # the formula's own letters
    return np.asarray(np.sqrt(np.maximum(l * l + c * c + h * h + r_t * c * h, 0)), dtype=np.float64)


# --- the photograph --------------------------------------------------------------------------------


def _dictionary() -> cv2.aruco.Dictionary:
    return cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100)


def _levelled(pixels: Pixels, frame: Frame) -> Matrix:
    """Return the patches' mean linear red green blue, as if the light were even."""
    to_pixels, px_per_mm = _place(pixels, frame)
    if frame.patch_mm * px_per_mm < LEAST_PATCH_PX:
        raise ColourCardError(
            "card_small",
            f"a patch is {frame.patch_mm * px_per_mm:.0f} pixels wide, {LEAST_PATCH_PX} are needed: come nearer",
        )
    places = np.array([*frame.patches_mm, *frame.paper_mm])
    sides = np.array([0.45 * frame.patch_mm] * len(frame.patches_mm) + [0.3 * MARKER_MM] * len(frame.paper_mm))
    raw = _samples(pixels, to_pixels, places, sides)
    count = len(frame.patches_mm)
    for number, each in enumerate(raw):
        if float((each >= _CLIPPED).any(axis=1).mean()) > 0.02:
            what = f"patch {number + 1}" if number < count else "the paper around the card"
            raise ColourCardError("clipped", f"{what} is burnt out: shorten the exposure and take it again")
    light = np.array([linear(each / 255.0).mean(axis=0) for each in raw])
    if float(light[count:].mean()) < _LEAST_WHITE:
        raise ColourCardError("too_dark", "the paper around the card is dark: more light, or a longer exposure")
    for number, each in enumerate(raw[:count]):
        spread = float(each.std(axis=0).max())
        if spread > max(8.0, 255 * _MOST_SPREAD * float(coded(light[number]).mean())):
            raise ColourCardError("card_moved", f"patch {number + 1} is not even: the card does not lie in its window")
    across = np.hstack([places, np.ones((len(places), 1))])
    paper = light[count:, 1]
    slope = np.linalg.lstsq(across[count:], paper, rcond=None)[0]
    lit = across @ slope
    off = float(np.abs(paper - lit[count:]).max() / paper.mean())
    uneven = float((lit[:count].max() - lit[:count].min()) / lit[:count].mean()) + off
    if 1000 * uneven > MOST_UNEVEN_PERMILLE:
        raise ColourCardError(
            "uneven_light",
            f"the light on the card differs by {uneven:.0%}, at most {MOST_UNEVEN_PERMILLE / 10:.0f} % is allowed: no"
            " shadow, no reflection, the lamp straight above",
        )
    return np.asarray(light[:count] / (lit[:count, None] / lit[:count].mean()), dtype=np.float64)


def _place(pixels: Pixels, frame: Frame) -> tuple[Matrix, float]:
    """Return the homography from the sheet's millimetres to pixels, and how many pixels a millimetre has."""
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    # OpenCV's stubs do not say that the numbers are None where no marker is.
    found, ids, _ = cv2.aruco.ArucoDetector(_dictionary(), parameters).detectMarkers(
        cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    )
    numbers = [int(each) for each in ids.ravel()] if found else []
    seen = {
        number: np.asarray(quad, dtype=np.float64).reshape(4, 2) for number, quad in zip(numbers, found, strict=True)
    }
    lost = [number for number in MARKERS if number not in seen]
    if lost:
        raise ColourCardError(
            "no_card",
            f"{len(lost)} of the four markers of the card's frame are not seen: all four must be in the picture",
        )
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * MARKER_MM
    sheet = np.vstack([square + corner for corner in frame.markers_mm])
    picture = np.vstack([seen[number] for number in MARKERS])
    homography, _ = cv2.findHomography(sheet, picture)
    if np.asarray(homography).shape != (3, 3):
        raise ColourCardError("no_card", "the frame's markers lie in no plane")
    side = float(np.mean([np.linalg.norm(q - np.roll(q, 1, axis=0), axis=1).mean() for q in seen.values()]))
    px_per_mm = side / MARKER_MM
    off = np.linalg.norm(_mapped(np.asarray(homography), sheet) - picture, axis=1).max()
    if off > max(2.0, 1.5 * px_per_mm):
        raise ColourCardError("no_card", f"the frame's markers do not lie as on the sheet ({off:.1f} pixels off)")
    return np.asarray(homography, dtype=np.float64), px_per_mm


def _samples(pixels: Pixels, to_pixels: Matrix, places: Matrix, sides: Matrix) -> list[Matrix]:
    """Return the raw pixels (red green blue) in the middle of each place."""
    steps = np.linspace(-0.5, 0.5, 11)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    height, width = pixels.shape[:2]
    found = []
    for place, side in zip(places, sides, strict=True):
        x, y = np.round(_mapped(to_pixels, place + grid * side)).astype(np.int64).T
        if x.min() < 0 or y.min() < 0 or x.max() >= width or y.max() >= height:
            raise ColourCardError("no_card", "a part of the card lies outside the picture")
        found.append(pixels[y, x, ::-1].astype(np.float64))
    return found


def _mapped(homography: Matrix, points: Matrix) -> Matrix:
    seen = np.hstack([points, np.ones((len(points), 1))]) @ homography.T
    return np.asarray(seen[:, :2] / seen[:, 2:], dtype=np.float64)


def _demand_order(patches: Matrix, card: Card) -> None:
    """Raise ColourCardError where the patches are not as light and dark as the card's, or are turned about."""
    wanted, found = card.lab[:, 0], to_lab(patches, card.illuminant)[:, 0]
    alike = [float(np.corrcoef(wanted, each)[0, 1]) for each in (found, found[::-1])]
    if alike[1] > 0.9 > alike[0]:
        raise ColourCardError(
            "card_turned", "the card lies upside down in its frame: its first patch belongs at the arrow"
        )
    if not alike[0] > 0.9:
        raise ColourCardError("wrong_card", f"what lies in the frame is not {card.name}, or something covers it")


# --- the matrix ------------------------------------------------------------------------------------


def _fitted(patches: Matrix, reference: Matrix, illuminant: str) -> Matrix:
    """Return the matrix with the least squares of differences in L*a*b* (Levenberg, Marquardt, from linear light)."""
    wanted = from_lab(reference, illuminant)
    start = np.linalg.lstsq(patches, wanted, rcond=None)[0].T

    def off(matrix: Matrix) -> Matrix:
        return np.asarray((to_lab(patches @ matrix.reshape(3, 3).T, illuminant) - reference).ravel(), dtype=np.float64)

    at, damping = np.asarray(start.ravel(), dtype=np.float64), 1e-3
    here = off(at)
    for _ in range(60):
        slope = np.stack([(off(at + 1e-6 * step) - here) / 1e-6 for step in np.eye(9)], axis=1)
        normal = slope.T @ slope
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -slope.T @ here)
        there = off(at + step)
        if there @ there < here @ here:
            gained = float(here @ here - there @ there)
            at, here, damping = at + step, there, damping / 4
            if gained < 1e-9:
                break
        else:
            damping *= 8
    return np.asarray(at.reshape(3, 3), dtype=np.float64)


_WHITES: Final = {"D50": (0.96422, 1.0, 0.82521), "D65": (0.95047, 1.0, 1.08883)}
_TO_XYZ: Final = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to XYZ (IEC 61966-2-1, D65)."""
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def _adapted(one: str, other: str) -> Matrix:
    """Return the matrix that takes XYZ from one white to another (Bradford)."""
    gains = (_BRADFORD @ np.array(_WHITES[other])) / (_BRADFORD @ np.array(_WHITES[one]))
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD, dtype=np.float64)
