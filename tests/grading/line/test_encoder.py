"""A counter that wraps, jumps, sticks and runs back; a belt without one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.errors import WiringError
from grading.line.encoder import (
    JITTER_UM,
    SETTLE_S,
    STALE_S,
    STUCK_S,
    CountedEncoder,
    Odometer,
    TimedEncoder,
    nm_per_count,
    parse_speed,
)
from grading.line.wires import State


class Watch:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def encoder(watch: Watch, *, bits: int = 16, nm: int = 1_000_000, jumps: list[str] | None = None) -> CountedEncoder:
    odometer = Odometer(bits=bits, nm_per_count=nm, most_um_per_s=750_000)
    heard = [] if jumps is None else jumps
    return CountedEncoder(odometer, "modbus://plc:502/1", on_jump=heard.append, monotonic=watch)


def run(made: CountedEncoder, watch: Watch, counts: list[int], every_s: float = 0.02) -> None:
    for count in counts:
        made.seen(count)
        watch.now_s += every_s
    watch.now_s -= every_s


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 65_535), st.lists(st.integers(0, 14), max_size=80), st.booleans())
def test_a_counter_that_wraps_counts_on(start, steps, falls) -> None:
    sign = -1 if falls else 1
    odometer = Odometer(bits=16, nm_per_count=sign * 1_000_000, most_um_per_s=750_000)
    first = odometer.moved(start, 0).position_um
    total = 0
    for index, step in enumerate(steps, 1):
        total += step
        moved = odometer.moved((start + sign * total) % 65_536, index * 0.02)
        assert moved.is_possible
        assert moved.position_um - first == total * 1000


def test_positions_stay_equal_to_a_counter_of_micrometres_whatever_wraps() -> None:
    odometer = Odometer(bits=32, nm_per_count=1000, most_um_per_s=750_000)
    odometer.moved((1 << 32) - 5_000, 0)
    moved = odometer.moved(3_000, 0.02)
    assert moved.position_um == (1 << 32) + 3_000
    assert moved.position_um % (1 << 32) == 3_000


def test_counts_of_odd_length_lose_nothing_over_a_kilometre() -> None:
    odometer = Odometer(bits=16, nm_per_count=333_333, most_um_per_s=10**9)
    at = odometer.moved(0, 0)
    for index in range(1, 3001):
        at = odometer.moved(index * 1000 % 65_536, float(index))
    assert at.position_um == 3_000_000 * 333_333 // 1000


def test_the_position_is_carried_on_between_readings_and_never_falls() -> None:
    watch = Watch()
    made = encoder(watch)
    run(made, watch, list(range(0, 500, 5)))
    assert made.um_per_s == pytest.approx(250_000, rel=0.01)
    at = made.belt_um()
    watch.now_s += 0.02
    carried = made.belt_um()
    assert (at, carried) == (495_000, pytest.approx(500_000, abs=100))
    # The belt stopped instead: the guess waits for it.
    made.seen(495)
    assert made.belt_um() == carried


def test_a_counter_nobody_can_read_is_lost_and_has_no_position() -> None:
    watch = Watch()
    made = encoder(watch)
    assert made.belt_um() is None
    assert made.state.state is State.LOST
    run(made, watch, [1, 2, 3])
    assert made.belt_um() is not None
    made.failed("no route")
    watch.now_s += STALE_S + 0.01
    assert made.belt_um() is None
    assert (made.state.state, made.state.detail, made.state.trouble.kind) == (State.LOST, "no route", "encoder_lost")


def test_a_jump_is_named_told_and_not_believed_for_a_while() -> None:
    watch, jumps = Watch(), []
    made = encoder(watch, jumps=jumps)
    run(made, watch, [0, 5, 10])
    watch.now_s += 0.02
    made.seen(2_000)
    assert jumps == ["encoder_jumped"]
    assert made.belt_um() is None
    assert made.um_per_s is None
    assert made.state.trouble.kind == "encoder_jumped"
    run(made, watch, list(range(2_000, 2_000 + 5 * int(SETTLE_S / 0.02) + 10, 5)))
    assert made.state.trouble is None
    assert made.belt_um() == pytest.approx(2_000_000 + SETTLE_S * 250_000, abs=20_000)


def test_a_gap_in_which_the_counter_may_have_wrapped_is_a_jump() -> None:
    watch, jumps = Watch(), []
    made = encoder(watch, jumps=jumps)
    run(made, watch, [0, 5])
    watch.now_s += 60
    made.seen(10)
    assert jumps == ["encoder_jumped"]


def test_a_belt_that_runs_backwards_is_named_and_one_that_swings_back_is_not() -> None:
    watch, jumps = Watch(), []
    made = encoder(watch, jumps=jumps)
    run(made, watch, [100, 105, 105 - JITTER_UM // 1000])
    assert made.state.trouble is None
    watch.now_s += 0.02
    made.seen(94)
    assert made.state.trouble.kind == "encoder_backwards"
    assert made.belt_um() is None
    assert jumps == []


def test_a_counter_that_stands_still_is_named_and_its_position_stays() -> None:
    watch = Watch()
    made = encoder(watch)
    run(made, watch, [7] * 20)
    assert made.state.trouble is None
    run(made, watch, [7] * int(STUCK_S / 0.02 + 20))
    assert made.state.trouble.kind == "encoder_stuck"
    assert made.belt_um() == 7_000


def test_a_fixed_speed_is_a_position_from_time() -> None:
    watch = Watch()
    made = TimedEncoder(parse_speed("speed:250mm/s"), monotonic=watch)
    watch.now_s += 2
    assert made.belt_um() == 500_000
    assert (made.um_per_s, made.is_counted, made.state.state) == (250_000, False, State.READY)


@pytest.mark.parametrize(
    ("text", "um"), [("speed:250mm/s", 250_000), ("speed:0.5mm/s", 500), ("speed:12.345mm/s", 12_345)]
)
def test_speeds_are_read_exactly(text, um) -> None:
    assert parse_speed(text) == um


@pytest.mark.parametrize("text", ["speed:0mm/s", "speed:250", "speed:-3mm/s", "speed:1e3mm/s", "speed:250 mm/s", ""])
def test_any_other_speed_is_refused(text) -> None:
    with pytest.raises(WiringError, match=r"encoder\.from"):
        parse_speed(text)


def test_an_encoder_is_calibrated_by_a_measured_piece_of_belt() -> None:
    assert nm_per_count(4_000, 1_000_000) == 250_000
    assert nm_per_count(-3, 1_000) == -333_333
    with pytest.raises(WiringError):
        nm_per_count(0, 1_000)
