"""Every fruit is counted once, whatever the belt, the camera and the encoder do. Each protection has its control."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.line import track as track_module
from grading.line.doubts import Doubt
from grading.line.track import Blob, Direction, Track, Tracker
from tests.simulators.tracks import LENGTH, Ran, Rolling, belt, frozen, honest, run

COUNT = 30


def frames(speed: float, *, count: int = COUNT, pitch: float = 110.0) -> int:
    """How many frames it takes until the last of so many fruit has left."""
    return int((count / 3 * pitch + 900) / speed)


def exactly_once(ran: Ran, count: int = COUNT) -> bool:
    return ran.counted == Counter(range(count))


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("speed", [17.0, 31.0, 62.0])
def test_every_fruit_is_counted_once_in_any_direction_with_or_without_an_encoder(
    direction: Direction, speed: float
) -> None:
    for encoder in (None, honest, frozen):
        ran = run(belt(1, COUNT), [speed] * frames(speed), encoder=encoder, direction=direction)
        assert exactly_once(ran)
        assert not any(each.track.notes for each in ran.crossings)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    speed=st.floats(15, 70),
    changes=st.lists(st.floats(0.0, 1.6), min_size=1, max_size=6),
    lost=st.sets(st.integers(0, 400), max_size=60),
    has_encoder=st.booleans(),
)
def test_uneven_speed_stops_and_dropped_frames_neither_lose_nor_double(
    seed: int, speed: float, changes: list[float], lost: set[int], *, has_encoder: bool
) -> None:
    motion: list[float] = []
    while sum(motion) < 15 / 3 * 110 + 900:
        motion += [speed * factor for factor in [*changes, 1.0] for _ in range(12)]
    # Without an encoder nobody can know what happened in a long gap with another speed: single frames only.
    lost = lost if has_encoder else {each for each in lost if each - 1 not in lost and each % 12 > 2}
    ran = run(belt(seed, 15), motion, encoder=honest if has_encoder else None, dropped=lost)
    assert exactly_once(ran, 15)


def test_gaps_of_frames_are_bridged_by_the_encoder() -> None:
    gaps = {frame for start in range(20, 400, 30) for frame in range(start, start + 7)}
    assert exactly_once(run(belt(3, COUNT), [30.0] * frames(30), encoder=honest, dropped=gaps))


def test_control_without_motion_learned_dropped_frames_cost_fruit(monkeypatch: pytest.MonkeyPatch) -> None:
    def motionless(_self: Tracker, _seen: object, _lapse_s: float, _belt_um: int | None) -> float:
        return 0.0

    monkeypatch.setattr(Tracker, "_motion", motionless)
    gaps = {frame for start in range(20, 400, 30) for frame in range(start, start + 7)}
    assert not exactly_once(run(belt(3, COUNT), [30.0] * frames(30), encoder=honest, dropped=gaps))


def test_a_frozen_encoder_is_found_out_and_says_nothing_about_places() -> None:
    ran = run(belt(4, COUNT), [30.0] * frames(30), encoder=frozen)
    assert exactly_once(ran)
    assert not ran.tracker.trusts_encoder
    assert run(belt(4, COUNT), [30.0] * frames(30), encoder=honest).tracker.trusts_encoder


def test_control_an_encoder_that_is_believed_blindly_loses_fruit(monkeypatch: pytest.MonkeyPatch) -> None:
    def believing(self: Tracker, _seen: object, _lapse_s: float, belt_um: int | None) -> float:
        return 0.0 if self._belt_um is None or belt_um is None else (belt_um - self._belt_um) / 500

    monkeypatch.setattr(Tracker, "_motion", believing)
    assert not exactly_once(run(belt(4, COUNT), [45.0] * frames(45), encoder=frozen))


def back_and_forth(speed: float, back: int, until: float) -> list[float]:
    motion: list[float] = []
    while sum(motion) < until:
        motion += [speed] * 20 + [-speed] * back + [speed] * back
    return motion


@pytest.mark.parametrize("back", [6, 30])
@pytest.mark.parametrize("speed", [20.0, 30.0])
def test_a_belt_that_runs_back_counts_nobody_twice(speed: float, back: int) -> None:
    motion = back_and_forth(speed, back, COUNT / 3 * 110 + 900)
    assert exactly_once(run(belt(5, COUNT), motion, encoder=honest))


def test_control_what_has_passed_must_be_kept_in_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    sort = Tracker._sorted_out

    def forgetful(self: Tracker, moved: float) -> tuple[list[track_module.Crossing], list[Track]]:
        crossings, dropped = sort(self, moved)
        self._tracks = [each for each in self._tracks if not each.is_counted]
        return crossings, dropped

    monkeypatch.setattr(Tracker, "_sorted_out", forgetful)
    counted = run(belt(5, COUNT), back_and_forth(20, 6, COUNT / 3 * 110 + 900), encoder=honest).counted
    assert max(counted.values()) > 1


def test_a_fruit_that_stands_still_is_counted_once_and_doubted() -> None:
    fruit = belt(6, 24)
    stuck = fruit[4]
    stuck.moves = lambda s: s if s < 300 else max(300.0, s - 420)
    # Nobody lies behind it in its lane: it would be run into.
    fruit = [each for each in fruit if each is stuck or abs(each.c - stuck.c) > 60]
    ran = run(fruit, [25.0] * frames(25, count=24), encoder=honest)
    assert exactly_once(ran, len(fruit))
    doubted = [each for each in ran.crossings if Doubt.MOVED_BACK in each.track.notes]
    assert [ran.seen[each.track.key].most_common(1)[0][0] for each in doubted] == [fruit.index(stuck)]


class Joined:
    """Two fruit beside each other look like one blob on a part of the way."""

    def __init__(self, first: float, last: float) -> None:
        self.first, self.last = first, last

    def __call__(self, _frame: int, blobs: list[tuple[int, Blob]]) -> list[tuple[int, Blob]]:
        found: dict[int, tuple[int, Blob]] = dict(enumerate(blobs))
        for i, (one, a) in enumerate(blobs):
            for j, (other, b) in enumerate(blobs):
                middle = (a.left + a.right + b.left + b.right) / 4
                if other - one == 3 and one % 6 < 3 and self.first < middle < self.last:
                    box = (min(a.left, b.left), min(a.top, b.top), max(a.right, b.right), max(a.bottom, b.bottom))
                    found[i] = (one, Blob(*box, a.area + b.area, a.colour))
                    found.pop(j, None)
        return list(found.values())


@pytest.mark.parametrize(
    ("first", "last", "speed"),
    [(200, 400, 15), (200, 700, 15), (-50, 250, 15), (100, 550, 15), (200, 400, 33), (200, 700, 33), (-50, 250, 33)],
)
def test_two_that_look_like_one_and_part_again_are_two(first: float, last: float, speed: float) -> None:
    fruit = belt(8, 24, pitch=100)
    ran = run(fruit, [speed] * frames(speed, count=24), encoder=honest, joined=Joined(first, last))
    assert len(ran.crossings) == 24


def test_control_without_merging_two_that_join_are_lost_or_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    def apart(*_given: object) -> dict[int, list[Track]]:
        return {}

    monkeypatch.setattr(Tracker, "_merged", apart)
    ran = run(belt(8, 24, pitch=100), [15.0] * frames(15, count=24), encoder=honest, joined=Joined(200, 400))
    assert len(ran.crossings) != 24 or any(each.track.notes for each in ran.crossings)


def test_a_fruit_hidden_for_a_few_frames_stays_the_same() -> None:
    ran = run(
        belt(9, COUNT),
        [25.0] * frames(25),
        encoder=honest,
        hidden=lambda frame, index, _s: (index + frame // 4) % 5 == 0,
    )
    assert exactly_once(ran)


def test_what_is_taken_off_the_belt_is_counted_and_doubted() -> None:
    fruit = belt(10, 12)
    ran = run(
        fruit, [20.0] * frames(20, count=12), encoder=honest, hidden=lambda _frame, index, s: index == 5 and s > 300
    )
    assert exactly_once(ran, 12)
    (gone,) = [each for each in ran.crossings if each.is_gone]
    assert Doubt.VANISHED in gone.track.notes


def test_flickers_in_the_middle_of_the_belt_are_no_fruit() -> None:
    def flicker(frame: int, blobs: list[tuple[int, Blob]]) -> list[tuple[int, Blob]]:
        if frame % 9 < 2:
            blobs = [*blobs, (-1, Blob(300, 160, 340, 190, 900.0))]
        return blobs

    ran = run(belt(11, 24), [20.0] * frames(20, count=24), encoder=honest, joined=flicker)
    assert exactly_once(ran, 24)


def test_halves_of_one_fruit_at_the_edge_become_one() -> None:
    """Where a fruit peeps in it may look like two; the halves grow together and were never apart."""

    def halves(_frame: int, blobs: list[tuple[int, Blob]]) -> list[tuple[int, Blob]]:
        found = []
        for index, blob in blobs:
            if blob.left < 2 and blob.right < 40:
                middle = (blob.top + blob.bottom) / 2
                found += [
                    (index, Blob(blob.left, top, blob.right, bottom, blob.area / 2, blob.colour, is_joined=True))
                    for top, bottom in ((blob.top, middle), (middle, blob.bottom))
                ]
            else:
                found.append((index, blob))
        return found

    fruit = belt(12, 24)
    ran = run(fruit, [17.0] * frames(17, count=24), encoder=honest, joined=halves)
    assert exactly_once(ran, 24)


def test_a_fruit_never_whole_passes_and_was_never_whole() -> None:
    fruit = [*belt(13, 6), Rolling(-300, 20, 90, (50, 10, 40))]
    ran = run(fruit, [20.0] * frames(20, count=9), encoder=honest)
    (cut,) = [each for each in ran.crossings if not each.track.was_whole]
    assert ran.seen[cut.track.key].most_common(1)[0][0] == 6


def test_what_lies_there_when_the_belt_stops_for_good_is_counted_by_finish() -> None:
    ran = run(belt(14, 12), [20.0] * 40, encoder=honest)
    left = ran.tracker.finish()
    inside = [each for each in left if each.track.s < LENGTH]
    assert left == inside
    assert ran.tracker.finish() == []
    assert len({each.track.key for each in [*ran.crossings, *left]}) == len(ran.crossings) + len(left)


def test_a_jump_of_more_than_the_picture_is_told() -> None:
    fruit = belt(15, 60)
    assert run(fruit, [20.0] * 120, encoder=honest, dropped=range(30, 75)).tracker.blind == 1
    assert run(fruit, [20.0] * 120, encoder=honest).tracker.blind == 0


@settings(max_examples=30, deadline=None)
@given(
    boxes=st.lists(st.lists(st.tuples(*[st.floats(0, 640)] * 4), max_size=8), max_size=12), has_encoder=st.booleans()
)
def test_any_boxes_in_any_order_never_break_it_nor_count_a_track_twice(
    boxes: list[list[tuple[float, float, float, float]]],
    has_encoder: bool,  # noqa: FBT001  # Hypothesis names it
) -> None:
    tracker = Tracker(Direction.RIGHT, width=640, height=480, um_per_px=500.0 if has_encoder else None)
    counted: list[int] = []
    for number, found in enumerate(boxes):
        blobs = [
            Blob(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1, (abs(a - c) + 1) * (abs(b - d) + 1))
            for a, b, c, d in found
        ]
        step = tracker.step(blobs, number=number, at_s=number / 30, belt_um=number * 9000 if has_encoder else None)
        counted += [each.track.key for each in step.crossings]
        assert sorted({sight.blob for sight in step.sights}) == list(range(len(blobs)))
    counted += [each.track.key for each in tracker.finish()]
    assert len(counted) == len(set(counted))
