"""Light is judged on both sides of every limit, on drawn belts made worse by known amounts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from grading.camera import Pixels, decode
from grading.line.light import Kind, Light, Limits, Trouble, Watch, judged, observed
from grading.rendering import Belt

FPS = 30


@dataclass
class Seen:
    """What the watch asks of a shot."""

    pixels: Pixels
    at_s: float
    belt_um: int | None = None


@pytest.fixture(scope="module")
def belt() -> list[Pixels]:
    """One second and a half of a drawn belt with fruit on it: half a second, three times."""
    return [each.pixels for each in islice(Belt(seed=11).shots(), 12, 27)] * 3


@pytest.fixture(scope="module")
def baseline(belt: list[Pixels]) -> Light:
    """The light that the camera was calibrated in."""
    return observed(belt[10])


def played(belt: Iterable[Pixels], *, start: int = 0, um_per_shot: int | None = None) -> list[Seen]:
    return [
        Seen(pixels, (start + n) / FPS, None if um_per_shot is None else (start + n) * um_per_shot)
        for n, pixels in enumerate(belt)
    ]


def worst(belt: Iterable[Pixels], baseline: Light, worse: Callable[[Pixels], Pixels]) -> Trouble | None:
    watch = Watch(baseline.baseline)
    found = None
    for shot in played(worse(each) for each in belt):
        found = watch.check(shot) or found
    return found


def gamma(power: float) -> Callable[[Pixels], Pixels]:
    table = np.round((np.arange(256) / 255) ** power * 255).astype(np.uint8)
    return lambda pixels: np.asarray(cv2.LUT(pixels, table), dtype=np.uint8)


def times(*factors: float) -> Callable[[Pixels], Pixels]:
    return lambda pixels: np.clip(pixels * np.array(factors), 0, 255).astype(np.uint8)


def blurred(sigma: float) -> Callable[[Pixels], Pixels]:
    return lambda pixels: np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), dtype=np.uint8)


def smeared(pixels_long: int) -> Callable[[Pixels], Pixels]:
    row = np.full((1, pixels_long), 1 / pixels_long, np.float32)
    return lambda pixels: np.asarray(cv2.filter2D(pixels, -1, row), dtype=np.uint8)


def test_an_ordinary_belt_is_no_trouble(belt: list[Pixels], baseline: Light) -> None:
    assert worst(belt, baseline, lambda pixels: pixels) is None


WORSE: dict[str, tuple[Callable[[Pixels], Pixels], Kind]] = {
    "lamp out": (times(0.02, 0.02, 0.02), Kind.TOO_DARK),
    "lamp half out": (times(0.45, 0.45, 0.45), Kind.TOO_DARK),
    "gamma": (gamma(0.15), Kind.TOO_BRIGHT),
    "overexposed": (times(2.4, 2.4, 2.4), Kind.TOO_BRIGHT),
    "out of focus": (blurred(2.0), Kind.BLURRED),
    "water on the lens": (blurred(6.0), Kind.BLURRED),
    "exposed too long along the belt": (smeared(15), Kind.BLURRED),
    "yellow cast": (times(0.85, 1.0, 1.0), Kind.COLOUR_SHIFT),
    "red cast": (times(1.0, 1.0, 1.15), Kind.COLOUR_SHIFT),
    "dirty lamp": (times(0.75, 0.75, 0.75), Kind.DRIFT),
    "another lamp": (times(1.3, 1.3, 1.3), Kind.DRIFT),
}
LITTLE: dict[str, Callable[[Pixels], Pixels]] = {
    "lighter": gamma(0.93),
    "darker": gamma(1.08),
    "softer": blurred(0.6),
    "yellower": times(0.95, 1, 1),
    "redder": times(1, 1, 1.05),
    "dimmer": times(0.9, 0.9, 0.9),
}


@pytest.mark.parametrize("name", WORSE)
def test_a_second_of_bad_light_is_named(belt: list[Pixels], baseline: Light, name: str) -> None:
    worse, kind = WORSE[name]
    found = worst(belt, baseline, worse)
    assert found is not None
    assert found.kind is kind
    assert found.text.zh
    assert str(abs(found.value)) in found.text.en


@pytest.mark.parametrize("name", LITTLE)
def test_a_little_worse_is_still_graded(belt: list[Pixels], baseline: Light, name: str) -> None:
    assert worst(belt, baseline, LITTLE[name]) is None


GOOD = Light(sharpness_permille=400, exposure=90, clipped_permille=10, dark_permille=0, belt=(80, 80, 80))


@pytest.mark.parametrize(
    ("kind", "bad", "good"),
    [
        (Kind.TOO_DARK, {"exposure": 17}, {"exposure": 18}),
        (Kind.TOO_DARK, {"dark_permille": 901}, {"dark_permille": 900}),
        (Kind.TOO_BRIGHT, {"exposure": 226}, {"exposure": 225}),
        (Kind.TOO_BRIGHT, {"clipped_permille": 71}, {"clipped_permille": 70}),
        (Kind.BLURRED, {"sharpness_permille": 219}, {"sharpness_permille": 220}),
        (Kind.TOO_DARK, {"belt": (43, 43, 43)}, {"belt": (44, 44, 44)}),
        (Kind.TOO_BRIGHT, {"belt": (129, 129, 129)}, {"belt": (128, 128, 128)}),
        (Kind.DRIFT, {"belt": (65, 65, 65)}, {"belt": (66, 66, 66)}),
        (Kind.COLOUR_SHIFT, {"belt": (72, 80, 80)}, {"belt": (73, 80, 80)}),
    ],
    ids=str,
)
def test_each_limit_holds_on_both_sides(kind: Kind, bad: dict[str, int], good: dict[str, int]) -> None:
    assert kind in judged(replace(GOOD, **bad), GOOD.baseline)
    assert kind not in judged(replace(GOOD, **good), GOOD.baseline)


def test_without_a_baseline_only_the_picture_itself_is_judged() -> None:
    assert not judged(replace(GOOD, belt=(20, 80, 200)))
    assert Kind.BLURRED in judged(replace(GOOD, sharpness_permille=189))
    assert Kind.BLURRED not in judged(replace(GOOD, sharpness_permille=190))


def test_an_empty_belt_has_no_edges_and_is_not_called_blurred() -> None:
    empty = np.random.default_rng(3).normal(80, 2, (480, 640, 3)).clip(0, 255).astype(np.uint8)
    light = observed(empty)
    assert light.sharpness_permille == 0
    assert not judged(light, replace(GOOD, belt=light.belt).baseline)


def test_one_bad_picture_stops_nothing(belt: list[Pixels], baseline: Light) -> None:
    watch = Watch(baseline.baseline)
    shots = played(belt)
    for n in range(10, len(shots), 15):
        shots[n].pixels = times(0.1, 0.1, 0.1)(shots[n].pixels)
    assert [watch.check(shot) for shot in shots] == [None] * len(shots)


def test_without_patience_one_bad_picture_would_stop_the_line(belt: list[Pixels], baseline: Light) -> None:
    """The control: it is the patience that keeps one picture from stopping anything."""
    watch = Watch(baseline.baseline, Limits(patience_s=0.0))
    watch.check(Seen(belt[0], 0.0))
    assert watch.check(Seen(times(0.1, 0.1, 0.1)(belt[1]), 1 / FPS)) is not None


def test_bad_light_stops_after_a_second_and_not_before(belt: list[Pixels], baseline: Light) -> None:
    dark = times(0.4, 0.4, 0.4)
    watch = Watch(baseline.baseline)
    watch.check(Seen(belt[0], 0.0))
    found = [watch.check(shot) for shot in played(map(dark, belt), start=1)]
    assert found[:29] == [None] * 29
    assert found[29] is not None


def test_good_light_is_believed_again_after_a_second(belt: list[Pixels], baseline: Light) -> None:
    watch = Watch(baseline.baseline)
    for shot in played(map(times(0.4, 0.4, 0.4), belt)):
        watch.check(shot)
    found = [watch.check(shot) is not None for shot in played(belt, start=45)]
    assert found[0]
    assert not found[-1]
    assert found.index(False) >= 20


def test_a_lamp_that_flickers_is_found(belt: list[Pixels], baseline: Light) -> None:
    watch = Watch(baseline.baseline)
    dark = times(0.4, 0.4, 0.4)
    shots = played([dark(each) if n % 2 else each for n, each in enumerate(belt * 3)])
    assert watch.check(shots[0]) is None
    assert any(watch.check(shot) for shot in shots[1:])


def test_a_camera_that_was_away_is_not_bad_light_for_that_long(belt: list[Pixels], baseline: Light) -> None:
    watch = Watch(baseline.baseline)
    watch.check(Seen(belt[0], 0.0))
    assert watch.check(Seen(times(0.4, 0.4, 0.4)(belt[1]), 60.0)) is None


def test_the_same_picture_over_a_moving_belt_is_frozen_at_once(belt: list[Pixels]) -> None:
    watch = Watch()
    found = [watch.check(shot) for shot in played([belt[0]] * 20, um_per_shot=5_000)]
    assert found[5] is None
    assert found[6] is not None
    assert found[6].kind is Kind.FROZEN
    assert "30 mm" in found[6].text.en


def test_the_same_picture_over_a_belt_that_stands_is_right(belt: list[Pixels]) -> None:
    watch = Watch()
    assert not any(watch.check(shot) for shot in played([belt[0]] * 200, um_per_shot=0))


def test_without_an_encoder_three_seconds_of_the_same_picture_are_frozen(belt: list[Pixels]) -> None:
    watch = Watch()
    found = [watch.check(shot) for shot in played([belt[0]] * 95)]
    assert found[89] is None
    assert found[91] is not None
    assert watch.check(Seen(belt[5], 4.0)) is None


def test_a_clock_drawn_into_a_frozen_picture_does_not_hide_it(belt: list[Pixels]) -> None:
    watch = Watch()
    frames = []
    for n in range(20):
        frame = belt[0].copy()
        cv2.putText(frame, f"{n:03d}", (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1)
        frames.append(frame)
    found = [watch.check(shot) for shot in played(frames, um_per_shot=5_000)]
    assert found[-1] is not None
    assert found[-1].kind is Kind.FROZEN


def test_an_empty_belt_under_a_real_sensor_is_not_frozen() -> None:
    noise = np.random.default_rng(4)
    frames = [noise.normal(80, 1.5, (480, 640, 3)).clip(0, 255).astype(np.uint8) for _ in range(20)]
    watch = Watch()
    assert not any(watch.check(shot) for shot in played(frames, um_per_shot=20_000))


def test_the_belt_is_seen_under_a_full_load_of_fruit() -> None:
    rng = np.random.default_rng(5)
    pixels = rng.normal((70, 90, 60), 3, (480, 640, 3))
    for n in range(12):
        fruit = np.zeros((480, 640), np.uint8)
        cv2.circle(fruit, (60 + 105 * (n % 6), 130 + 220 * (n // 6)), 62, 255, -1)
        pixels[fruit > 0] = rng.uniform((10, 60, 90), (80, 200, 250), (int((fruit > 0).sum()), 3))
    blue, green, red = observed(pixels.clip(0, 255).astype(np.uint8)).belt
    assert max(abs(blue - 70), abs(green - 90), abs(red - 60)) <= 2


def test_a_limit_can_be_set() -> None:
    assert Kind.TOO_DARK in judged(replace(GOOD, exposure=60), limits=Limits(least_exposure=61))


@pytest.mark.shared
def test_real_photographs_are_good_and_their_spoilt_copies_are_not(shared: Path) -> None:
    """Photographs by hand are a little soft: two in forty count as blurred. Spoilt ones are all found."""
    every = sorted((shared / "images" / "ecust_fruit_coin").rglob("*.[jJ][pP]*[gG]"))
    photographs = [decode(each.read_bytes()).pixels for each in every[:: max(1, len(every) // 12)][:12]]
    assert len(photographs) == 12
    found = [set(judged(observed(each))) for each in photographs]
    assert sum(bool(each) for each in found) <= 2
    assert set().union(*found) <= {Kind.BLURRED}
    for pixels in photographs:
        assert Kind.BLURRED in judged(observed(blurred(5.0)(pixels)))
        assert Kind.TOO_DARK in judged(observed(times(0.08, 0.08, 0.08)(pixels)))
        assert Kind.TOO_BRIGHT in judged(observed(times(6.0, 6.0, 6.0)(pixels)))
        light = observed(pixels)
        assert Kind.COLOUR_SHIFT in judged(observed(times(0.8, 1.0, 1.0)(pixels)), light.baseline)
        assert Kind.COLOUR_SHIFT not in judged(light, light.baseline)
