# ruff: noqa: RUF001  # Chinese has its own punctuation
"""Whether the light on the belt can be graded by: sharpness, exposure, the belt's colour, and whether pictures move.

`observed` looks at one picture in a few hundred microseconds; `Watch` compares a stream of them with the light the
camera was calibrated in. One bad picture is nothing, a second of them is a `Trouble`, and while there is one nothing
is graded. The belt is the commonest colour of the picture: fruit spread over many, a belt has one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from grading.camera import Pixels
from grading.profile import BaseLight
from grading.standard import Text


@dataclass(frozen=True, slots=True)
class Light:
    """The light of one picture. Levels run from 0 to 255, shares are thousandths.

    `sharpness_permille` is how much of its height an edge climbs in one pixel, at the strongest edges of the picture; 0
    says that there are no edges to judge by. `exposure` is the mean level. `belt` is the belt's blue, green and red.
    """

    sharpness_permille: int
    exposure: int
    clipped_permille: int
    dark_permille: int
    belt: tuple[int, int, int]

    @property
    def white_shift_permille(self) -> int:
        """How far the belt is from grey: by how much its red or blue differs from its green."""
        blue, green, red = self.belt
        return round(1000 * max(abs(red - green), abs(blue - green)) / max(green, 1))

    @property
    def baseline(self) -> BaseLight:
        """The same, as a camera profile keeps it."""
        return BaseLight(self.sharpness_permille, self.exposure, self.clipped_permille, self.dark_permille, self.belt)


class Kind(StrEnum):
    """What can be wrong with the light; the worst first."""

    FROZEN = "frozen"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    BLURRED = "blurred"
    COLOUR_SHIFT = "colour_shift"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong: the value, the limit it broke, and a sentence for the person at the belt."""

    kind: Kind
    value: int
    limit: int
    text: Text


class Picture(Protocol):
    """What is watched of a shot."""

    @property
    def pixels(self) -> Pixels:
        """Blue green red."""
        ...

    @property
    def at_s(self) -> float:
        """Monotonic seconds."""
        ...

    @property
    def belt_um(self) -> int | None:
        """The encoder's position, where there is one."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """From where light is bad. Shares are thousandths; of the baseline's where there is one.

    `patience_s` of bad light is a trouble; `frozen_s` of the very same picture is one without an encoder, and with one
    as soon as the belt has gone `frozen_um`.
    """

    least_exposure: int = 18
    most_exposure: int = 225
    most_dark_permille: int = 900
    most_clipped_permille: int = 60
    least_sharpness_permille: int = 190
    least_sharpness_of_baseline_permille: int = 550
    least_level_of_baseline_permille: int = 550
    most_level_of_baseline_permille: int = 1600
    most_drift_permille: int = 180
    most_shift_permille: int = 90
    most_still_permille: int = 5
    patience_s: float = 1.0
    frozen_s: float = 3.0
    frozen_um: int = 30_000


def observed(pixels: Pixels) -> Light:
    """Return the light of one picture. Cheap: it looks at one pixel in 64, at one row in 24 and one column in 40."""
    sample = np.ascontiguousarray(pixels[4::8, 4::8])
    flat = sample.reshape(-1, 3)
    blue, green, red = cv2.split(sample)
    low, high = cv2.min(blue, green), cv2.max(blue, green)
    # Red alone is clipped on many a ripe fruit; where two colours are, nothing of the skin is left to measure.
    second = cv2.max(low, cv2.min(high, red))
    return Light(
        sharpness_permille=_sharpness(pixels[..., 1]),
        exposure=round(sum(cv2.mean(sample)[:3]) / 3),
        clipped_permille=round(1000 * np.count_nonzero(second >= _CLIPPED) / second.size),
        dark_permille=round(1000 * np.count_nonzero(cv2.max(high, red) <= _DARK) / second.size),
        belt=_commonest(flat),
    )


class Watch:
    """Looks at every shot and says what is wrong with the light, or nothing. For one camera, in one thread."""

    def __init__(self, baseline: BaseLight | None = None, limits: Limits | None = None) -> None:
        self._baseline, self._limits = baseline, limits or Limits()
        self._debt_s: dict[Kind, float] = dict.fromkeys(Kind, 0.0)
        self._standing: dict[Kind, Trouble] = {}
        self._last_s: float | None = None
        self._still: _Still = _Still()
        self.light: Light | None = None
        """The light of the last shot."""

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """Everything that is wrong just now, the worst first."""
        standing = dict(self._standing)  # whoever asks may be another thread than the one that watches
        return tuple(standing[kind] for kind in Kind if kind in standing)

    def check(self, shot: Picture) -> Trouble | None:
        """Take in a shot and return the worst that is wrong just now, or None while it can be graded."""
        self.light = observed(shot.pixels)
        found = judged(self.light, self._baseline, self._limits)
        # A camera that was away for a while is no bad light for that while.
        passed_s = 0.0 if self._last_s is None else min(max(shot.at_s - self._last_s, 0.0), _LONGEST_STEP_S)
        self._last_s = shot.at_s
        for kind in Kind:
            if kind is not Kind.FROZEN:
                self._weigh(kind, found.get(kind), passed_s)
        frozen = self._still.seen(shot, self._limits)
        if frozen is None:
            self._standing.pop(Kind.FROZEN, None)
        else:
            self._standing[Kind.FROZEN] = frozen
        return next(iter(self.troubles), None)

    def _weigh(self, kind: Kind, trouble: Trouble | None, passed_s: float) -> None:
        """Bad light counts fully, good light half of it back: a lamp that flickers is found, one bad picture is not."""
        patience_s = self._limits.patience_s
        change_s = passed_s if trouble is not None else -passed_s / 2
        self._debt_s[kind] = min(max(self._debt_s[kind] + change_s, 0.0), patience_s)
        if trouble is not None and (kind in self._standing or self._debt_s[kind] >= patience_s * _NEARLY):
            self._standing[kind] = trouble
        elif self._debt_s[kind] <= patience_s / 2:
            self._standing.pop(kind, None)


def judged(light: Light, baseline: BaseLight | None = None, limits: Limits | None = None) -> Mapping[Kind, Trouble]:
    """Return what is wrong with one picture's light, by itself and against the light of the calibration."""
    least = limits or Limits()
    found: dict[Kind, Trouble] = {}
    if light.exposure < least.least_exposure:
        found[Kind.TOO_DARK] = _trouble(Kind.TOO_DARK, light.exposure, least.least_exposure)
    elif light.dark_permille > least.most_dark_permille:
        found[Kind.TOO_DARK] = _trouble(Kind.TOO_DARK, light.dark_permille, least.most_dark_permille, "share")
    if light.exposure > least.most_exposure:
        found[Kind.TOO_BRIGHT] = _trouble(Kind.TOO_BRIGHT, light.exposure, least.most_exposure)
    clipped = least.most_clipped_permille + (baseline.clipped_permille if baseline else 0)
    if light.clipped_permille > clipped:
        found[Kind.TOO_BRIGHT] = _trouble(Kind.TOO_BRIGHT, light.clipped_permille, clipped, "share")
    sharp = max(
        least.least_sharpness_permille,
        least.least_sharpness_of_baseline_permille * (baseline.sharpness_permille if baseline else 0) // 1000,
    )
    if 0 < light.sharpness_permille < sharp:
        found[Kind.BLURRED] = _trouble(Kind.BLURRED, light.sharpness_permille, sharp)
    if baseline is not None:
        found.update(_against(light, baseline, least))
    return found


# --- one picture -----------------------------------------------------------------------------------

_CLIPPED: Final = 252
_DARK: Final = 8
_LONGEST_STEP_S: Final = 0.25
_NEARLY: Final = 0.999
"""Sums of frame times come out a hair below a whole second."""
_REACH: Final = 8
_LEAST_EDGE: Final = 30
_LEAST_EDGES: Final = 12
_LEAST_BELT: Final = 24
"""A belt darker than this has no colour that could be compared."""


def _sharpness(green: NDArray[np.uint8]) -> int:
    """Return the smaller of the sharpness along rows and along columns; 0 where neither has edges."""
    along = (np.ascontiguousarray(green[12::24]), np.ascontiguousarray(green[:, 20::40].T))
    return min((each for each in map(_climb, along) if each), default=0)


def _climb(lines: NDArray[np.uint8]) -> int:
    """Return how steep the strongest edges along some lines are: the largest step of one pixel as a share of eight."""
    rise = cv2.absdiff(lines[:, _REACH:], lines[:, :-_REACH]).ravel()
    wanted = max(_LEAST_EDGES, rise.size // 200)
    # The level that only the strongest edges reach, from their histogram: cheaper than sorting.
    above = np.cumsum(np.bincount(rise, minlength=256)[::-1])[::-1]
    level = max(_LEAST_EDGE, int(np.searchsorted(-above, -wanted, side="right")) - 1)
    strongest = np.flatnonzero(rise >= level)
    if strongest.size < _LEAST_EDGES:
        return 0
    steps = cv2.absdiff(lines[:, 1:], lines[:, :-1])
    row, column = np.divmod(strongest, lines.shape[1] - _REACH)
    within = steps[row[:, None], column[:, None] + np.arange(_REACH)]
    return min(1000, round(1000 * float(np.median(within.max(axis=1) / rise[strongest]))))


def _commonest(flat: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Return the mean blue, green and red of the pixels about the commonest colour."""
    # Cells overlap by half, so that no belt's colour lies astride two: a histogram summed over 2 x 2 x 2.
    cells = (flat >> 4).astype(np.int32) @ np.array([256, 16, 1], dtype=np.int32)
    fine = np.bincount(cells, minlength=4096).reshape(16, 16, 16)
    fine = fine[1:] + fine[:-1]
    fine = fine[:, 1:] + fine[:, :-1]
    fine = fine[:, :, 1:] + fine[:, :, :-1]
    best = np.unravel_index(int(np.argmax(fine)), fine.shape)
    row = flat.reshape(-1, 1, 3)
    middle = [16.0 * int(each) + 15.5 for each in best]
    # A cell is wider than a belt's own noise: its mean is the middle of a narrower second look.
    for reach in (15.5, 12):
        low, high = ([each + way * reach for each in middle] for way in (-1, 1))
        near = cv2.inRange(row, np.maximum(low, 0), np.minimum(high, 255))
        middle = list(cv2.mean(row, near)[:3])
    blue, green, red = map(round, middle)
    return blue, green, red


def _against(light: Light, baseline: BaseLight, limits: Limits) -> dict[Kind, Trouble]:
    """Return what is wrong with the belt's level and colour against the calibration's."""
    found: dict[Kind, Trouble] = {}
    level, before = sum(light.belt), sum(baseline.belt)
    share = 1000 * level // max(before, 1)
    if share < limits.least_level_of_baseline_permille:
        found[Kind.TOO_DARK] = _trouble(Kind.TOO_DARK, share, limits.least_level_of_baseline_permille, "belt")
    elif share > limits.most_level_of_baseline_permille:
        found[Kind.TOO_BRIGHT] = _trouble(Kind.TOO_BRIGHT, share, limits.most_level_of_baseline_permille, "belt")
    elif abs(share - 1000) > limits.most_drift_permille:
        found[Kind.DRIFT] = _trouble(Kind.DRIFT, share - 1000, limits.most_drift_permille)
    if min(light.belt[1], baseline.belt[1]) >= _LEAST_BELT:
        shift = max(
            abs(light.belt[each] * baseline.belt[1] / (light.belt[1] * max(baseline.belt[each], 1)) - 1)
            for each in (0, 2)
        )
        if 1000 * shift > limits.most_shift_permille:
            found[Kind.COLOUR_SHIFT] = _trouble(Kind.COLOUR_SHIFT, round(1000 * shift), limits.most_shift_permille)
    return found


# --- a camera that stands still --------------------------------------------------------------------


class _Still:
    """How long, and over how much belt, the very same picture has come."""

    def __init__(self) -> None:
        self._sample: NDArray[np.uint8] | None = None
        self._since_s = 0.0
        self._since_um: int | None = None

    def seen(self, shot: Picture, limits: Limits) -> Trouble | None:
        """Return the trouble of a camera that shows an old picture, or None."""
        sample = shot.pixels[1::4, 1::4, 1]
        if self._sample is None or self._sample.shape != sample.shape:
            changed = 1000
        else:
            # A sensor's noise changes most pixels; a clock drawn into a frozen picture only a few.
            changed = 1000 * int(np.count_nonzero(sample != self._sample)) // sample.size
        if changed > limits.most_still_permille:
            self._sample = sample.copy()
            self._since_s, self._since_um = shot.at_s, shot.belt_um
            return None
        stood_s = shot.at_s - self._since_s
        if shot.belt_um is not None and self._since_um is not None:
            gone_um = abs(shot.belt_um - self._since_um)
            if gone_um >= limits.frozen_um and stood_s > 0:
                return _trouble(Kind.FROZEN, gone_um // 1000, limits.frozen_um // 1000, "belt")
            return None
        if stood_s >= limits.frozen_s:
            return _trouble(Kind.FROZEN, round(stood_s * 10), round(limits.frozen_s * 10))
        return None


# --- in words --------------------------------------------------------------------------------------

_TEXTS: Final[dict[tuple[Kind, str], Text]] = {
    (Kind.FROZEN, ""): Text(
        "画面静止：{tenths:.1f} 秒内没有变化。请检查相机",
        "The picture stands still for {tenths:.1f} s. Check the camera.",
    ),
    (Kind.FROZEN, "belt"): Text(
        "画面静止：输送带已走 {value} 毫米，画面没有变化。请检查相机",
        "The picture stands still while the belt went {value} mm. Check the camera.",
    ),
    (Kind.TOO_DARK, ""): Text(
        "太暗：平均亮度 {value}，至少需要 {limit}。请检查灯和镜头盖",
        "Too dark: mean level {value}, at least {limit} is needed. Check the lamp and the lens cap.",
    ),
    (Kind.TOO_DARK, "share"): Text(
        "太暗：{value}‰ 的画面是黑的，最多允许 {limit}‰。请检查灯和镜头盖",
        "Too dark: {value} ‰ of the picture is black, at most {limit} ‰ is allowed. Check the lamp and the lens cap.",
    ),
    (Kind.TOO_DARK, "belt"): Text(
        "太暗：输送带亮度只有校准时的 {value}‰，至少需要 {limit}‰。请检查灯",
        "Too dark: the belt has {value} ‰ of its calibrated brightness, at least {limit} ‰ is needed. Check the lamp.",
    ),
    (Kind.TOO_BRIGHT, ""): Text(
        "太亮：平均亮度 {value}，最多允许 {limit}。请缩短曝光时间",
        "Too bright: mean level {value}, at most {limit} is allowed. Shorten the exposure.",
    ),
    (Kind.TOO_BRIGHT, "share"): Text(
        "过曝：{value}‰ 的画面是全白的，最多允许 {limit}‰。请缩短曝光时间或挡住反光",
        "Overexposed: {value} ‰ of the picture is burnt out, at most {limit} ‰ is allowed. Shorten the exposure or"
        " shade the reflection.",
    ),
    (Kind.TOO_BRIGHT, "belt"): Text(
        "太亮：输送带亮度是校准时的 {value}‰，最多允许 {limit}‰。请检查灯和曝光",
        "Too bright: the belt has {value} ‰ of its calibrated brightness, at most {limit} ‰ is allowed. Check lamp and"
        " exposure.",
    ),
    (Kind.BLURRED, ""): Text(
        "模糊：清晰度 {value}‰，至少需要 {limit}‰。请擦净镜头、检查对焦和曝光时间",
        "Blurred: sharpness {value} ‰, at least {limit} ‰ is needed. Clean the lens, check focus and exposure time.",
    ),
    (Kind.COLOUR_SHIFT, ""): Text(
        "偏色：输送带颜色与校准时相差 {value}‰，最多允许 {limit}‰。请检查灯，关闭自动白平衡",
        "Colour shift: the belt's colour is {value} ‰ off its calibration, at most {limit} ‰ is allowed. Check the"
        " lamp, switch automatic white balance off.",
    ),
    (Kind.DRIFT, ""): Text(
        "亮度漂移：输送带亮度与校准时相差 {value}‰，最多允许 {limit}‰。请清洁灯和镜头，或重新校准",
        "Drift: the belt's brightness is {value} ‰ off its calibration, at most {limit} ‰ is allowed. Clean lamp and"
        " lens, or calibrate again.",
    ),
}


def _trouble(kind: Kind, value: int, limit: int, form: str = "") -> Trouble:
    return Trouble(kind, value, limit, _TEXTS[kind, form].filled(value=value, limit=limit, tenths=value / 10))
