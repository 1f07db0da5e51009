"""A drawn belt through the whole line: every fruit once, seen from several sides; what is wrong goes to a person."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from grading.errors import ModelFileError
from grading.learned import LearnedDetector
from grading.line.belt import Line, LineSetup, Passed
from grading.line.doubts import Doubt
from grading.line.record import belt_record
from grading.line.track import Direction
from grading.profile import CameraProfile
from grading.rendering import Belt, Rendered, TrueFruit
from grading.standard import load_tariff, standard_for

COUNT = 18
BELT = Belt(seed=6, fruit=COUNT, touching=0.1)
PROFILE = CameraProfile.plain(
    nm_per_px=BELT.profile().nm_per_px, camera_height_um=BELT.profile().camera_height_um, name="drawn"
)
SETUP = LineSetup(standard_for("mango"), load_tariff(), PROFILE)


@cache
def frames() -> tuple[Rendered, ...]:
    return tuple(BELT.shots())


def ran(shots: Sequence[Any], setup: LineSetup = SETUP) -> list[Passed]:
    line, passed = Line(setup), []
    for shot in shots:
        passed += line.feed(shot)
    return passed + line.flush()


@cache
def usual() -> tuple[Passed, ...]:
    """What passes when nothing is wrong."""
    return tuple(ran(frames()))


@cache
def truth() -> dict[int, TrueFruit]:
    return {each.id: each for rendered in frames() for each in rendered.truth}


def identity(fruit: Passed) -> int:
    """Which true fruit it is: the one in whose boxes its views lie."""
    boxes = {rendered.number: rendered.truth for rendered in frames()}
    votes = []
    for view in fruit.views:
        x, y = view.box[0] + view.place.middle[0], view.box[1] + view.place.middle[1]
        votes += [
            t.id
            for t in boxes[view.shot]
            if t.box[0] <= x <= t.box[0] + t.box[2] and t.box[1] <= y <= t.box[1] + t.box[3]
        ]
    return max(set(votes), key=votes.count)


def shot(rendered: Rendered, **changes: Any) -> Any:
    """A frame with something else in it."""
    plain = {name: getattr(rendered, name) for name in ("pixels", "number", "at_s", "belt_um")}
    return SimpleNamespace(**{**plain, **changes})


def test_every_fruit_passes_once_with_four_views_or_more_and_grades() -> None:
    passed = usual()
    assert sorted(identity(each) for each in passed) == list(range(COUNT))
    assert [each.number for each in passed] == list(range(1, COUNT + 1))
    assert all(len(each.views) >= 4 for each in passed)
    assert {each.reasons for each in passed} <= {(), (Doubt.TOUCHING,)}


def test_two_that_touch_all_the_way_are_measured_apart_and_doubted() -> None:
    touching = [each for each in usual() if each.reasons]
    assert len(touching) == 2
    for each in touching:
        assert each.verdict.is_doubtful
        assert m(each) == pytest.approx(truth()[identity(each)].mass_g, rel=0.08)


def test_a_fruit_that_the_pictures_side_cuts_is_seen_all_the_same_and_doubted() -> None:
    passed = ran([shot(each, pixels=np.ascontiguousarray(each.pixels[50:])) for each in frames()])
    assert len(passed) == COUNT
    cut = [each for each in passed if Doubt.NEVER_WHOLE in each.reasons]
    assert 3 <= len(cut) <= COUNT / 2
    for each in passed:
        assert len(each.views) >= 4
        assert each.verdict.is_doubtful == bool(each.reasons)
    for each in cut:
        assert all(view.place.box[1] == 0 for view in each.views)
        assert any(view.side is not None and Doubt.NEVER_WHOLE in view.side.doubts for view in each.views)


def test_fused_views_are_closer_to_the_truth_than_one_view() -> None:
    fused, single = [], []
    for each in usual():
        true = truth()[identity(each)]
        view = each.views[len(each.views) // 2].measures
        assert each.measures is not None
        assert view is not None
        fused.append(abs(each.measures.mass_g / true.mass_g - 1))
        single.append(abs(view.mass_g / true.mass_g - 1))
        assert each.measures.mass_low_g <= true.mass_g <= each.measures.mass_high_g
        assert each.measures.length_um / 1000 == pytest.approx(true.length_mm, rel=0.03)
    assert float(np.mean(fused)) < 0.03
    assert float(np.mean(single)) > 2 * float(np.mean(fused))


def test_the_same_frames_give_the_same_records() -> None:
    once, again = ([belt_record(each, SETUP, run="r") for each in seen] for seen in (usual(), ran(frames())))
    assert once == again


def test_the_place_it_leaves_at_is_where_the_belt_carries_its_middle_to_the_edge() -> None:
    camera = BELT.camera
    for each in usual():
        true = truth()[identity(each)]
        # Its middle lies above the belt, so it leaves the picture before the belt under it does.
        height_mm = true.centre_mm[2]
        edge_um = 1000 * camera.width / 2 * camera.mm_per_px * (1 - height_mm / camera.height_mm)
        assert each.belt_um == pytest.approx(true.belt_um + edge_um, abs=8000)
        assert each.at_s == pytest.approx((true.belt_um + edge_um) / 1000 / BELT.speed_mm_s, abs=0.01)


@pytest.mark.parametrize("has_encoder", [True, False])
def test_dropped_frames_lose_nobody(*, has_encoder: bool) -> None:
    shots = [
        shot(each, belt_um=each.belt_um if has_encoder else None) for each in frames() if each.number % 5 not in {1, 2}
    ]
    passed = ran(shots)
    assert sorted(identity(each) for each in passed) == list(range(COUNT))
    assert all((each.belt_um is None) is not has_encoder for each in passed)


@pytest.mark.parametrize(("direction", "turns"), [(Direction.LEFT, 2), (Direction.DOWN, 3), (Direction.UP, 1)])
def test_a_belt_may_run_any_way_in_the_picture(direction: Direction, turns: int) -> None:
    shots = [shot(each, pixels=np.ascontiguousarray(np.rot90(each.pixels, turns))) for each in frames()]
    passed = ran(shots, replace(SETUP, direction=direction))
    right = usual()
    assert len(passed) == COUNT
    for one, other in zip(sorted(m(each) for each in passed), sorted(m(each) for each in right), strict=True):
        assert one == pytest.approx(other, rel=0.08)


def m(each: Passed) -> int:
    assert each.measures is not None
    return each.measures.mass_g


def test_a_light_that_changes_goes_to_a_person_and_loses_nobody() -> None:
    shots = [
        shot(each, pixels=np.clip(each.pixels.astype(np.int32) * 3, 0, 255).astype(np.uint8))
        if 18 <= each.number < 26
        else each
        for each in frames()
    ]
    passed = ran(shots)
    assert len(passed) == COUNT
    struck = [each for each in passed if Doubt.BAD_LIGHT in each.reasons]
    assert struck
    assert all(each.verdict.is_doubtful for each in struck)


class Network:
    """What a trained network would say, told by the truth; it may be blind."""

    def __init__(self, *, sees: bool) -> None:
        self.sees, self.looks = sees, 0
        self.frames = {each.pixels.tobytes(): each for each in frames()}
        self.description = {"name": "told"}

    def boxes(self, pixels: Any) -> list[tuple[float, float, float, float]]:
        self.looks += 1
        found = [each.box for each in self.frames[pixels.tobytes()].truth] if self.sees else []
        return [(x, y, x + w, y + h) for x, y, w, h in found]


@pytest.mark.parametrize("sees", [True, False])
def test_what_only_colour_sees_goes_to_a_person(*, sees: bool) -> None:
    network = Network(sees=sees)
    passed = ran(frames(), replace(SETUP, learned=cast("LearnedDetector", network)))
    assert len(passed) == COUNT
    assert all((Doubt.ONE_DETECTOR in each.reasons) is not sees for each in passed)
    # It is asked now and then, and every fruit was before it all the same.
    assert network.looks < len(frames()) / 2


def test_a_network_that_fails_stops_no_line() -> None:
    class Broken(Network):
        def boxes(self, pixels: Any) -> list[tuple[float, float, float, float]]:
            raise ModelFileError(Path("fruit.onnx"), f"cannot be run on {pixels.shape}")

    passed = ran(frames()[:30], replace(SETUP, learned=cast("LearnedDetector", Broken(sees=True))))
    assert passed
    assert all(Doubt.ONE_DETECTOR in each.reasons for each in passed)


def test_what_still_lies_there_when_the_line_stops_is_counted_once() -> None:
    line, passed = Line(SETUP), []
    for each in frames()[:26]:
        passed += line.feed(each)
    left = line.flush()
    assert left
    assert line.flush() == []
    numbers = [each.number for each in [*passed, *left]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert line.next_number == len(numbers) + 1


def test_the_live_picture_shows_what_the_frame_shows() -> None:
    line = Line(SETUP, first=100)
    numbers = set()
    for each in frames():
        line.feed(each)
        assert len(line.overlay()) >= sum(t.is_whole for t in each.truth)
        numbers |= {drawn.number for drawn in line.overlay() if drawn.tier is not None}
    assert min(numbers) == 100  # type: ignore[type-var]  # a tier comes with a number


def test_an_empty_belt_gives_nothing() -> None:
    assert ran([shot(frames()[0], number=number, at_s=number / 30) for number in range(5)]) == []
