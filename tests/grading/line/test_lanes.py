"""Which lane, where and when: pure functions, and the laws that keep fruit out of better lanes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.errors import WiringError
from grading.line.lanes import NO_ROW, REJECT, TOO_CLOSE, LaneCommand, Lanes, lanes_for
from grading.standard import load_tariff

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
GATES = {1: 600_000, 2: 900_000, 3: 1_200_000, 4: 1_500_000}
LANES = {"A": 1, "B": 2, "C": 3, "cull": 0}


def lanes(lane_of=LANES, gates=GATES, **changes) -> Lanes:
    given_ = {"doubtful": 4, "speed_um_s": 250_000, "lead_um": 40_000, "spacing_um": 30_000} | changes
    return lanes_for(load_tariff(), lane_of, gates, **given_)


def command(number: int = 1, tier: str = "A", um: int | None = 0, *, doubtful: bool = False, **more) -> LaneCommand:
    at = NOW + timedelta(seconds=(um or 0) / 250_000)
    return lanes().command("r", number, tier, is_doubtful=doubtful, seen_at=at, seen_um=um, **more)


def test_a_gate_acts_its_distance_behind_where_the_fruit_left_the_picture() -> None:
    made = command(tier="B", um=1_000_000)
    assert (made.lane, made.belt_um) == (2, 1_900_000)
    assert made.at == NOW + timedelta(seconds=4 + 3.6)


def test_without_an_encoder_there_is_a_time_and_no_position() -> None:
    made = command(um=None)
    assert made.belt_um is None
    assert made.at == NOW + timedelta(seconds=2.4)


def test_a_measured_speed_moves_the_time_and_not_the_position() -> None:
    made = command(um=0, speed_um_s=500_000)
    assert (made.belt_um, made.at) == (600_000, NOW + timedelta(seconds=1.2))


def test_doubtful_fruit_have_a_lane_of_their_own_or_the_reject_lane() -> None:
    assert command(doubtful=True).lane == 4
    made = lanes(doubtful=0).command("r", 1, "A", is_doubtful=True, seen_at=NOW, seen_um=0)
    assert made.lane == REJECT


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(WiringError, match=r"'D'.*A, B, C, cull"):
        command(tier="D")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"lane_of": {"A": 1, "B": 2, "cull": 0}}, "tiers.C"),
        ({"lane_of": LANES | {"D": 4}}, "tiers.D"),
        ({"lane_of": LANES | {"C": 9}}, "tiers.C"),
        ({"lane_of": LANES | {"C": 1}}, "tiers.C"),
        ({"doubtful": 3}, "doubtful"),
        ({"doubtful": 7}, "doubtful"),
        ({"gates": GATES | {0: 100_000}}, "gates.0"),
        ({"gates": GATES | {5: 600_000}}, "gates.5"),
        ({"gates": GATES | {5: 30_000}}, "gates.5"),
        ({"gates": GATES | {70_000: 31_000_000}}, "gates.70000"),
        ({"speed_um_s": 0}, "speed"),
        ({"spacing_um": -1}, "spacing"),
        ({"rows_um": [(0, 100), (50, 200)]}, "rows.2"),
        ({"rows_um": [(100, 100)]}, "rows.1"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_and_the_key_is_named(changes, key) -> None:
    with pytest.raises(WiringError) as refused:
        lanes(**changes)
    assert refused.value.key == key


def test_several_tiers_may_share_the_reject_lane_and_no_other() -> None:
    assert lanes({"A": 1, "B": 0, "C": 0, "cull": 0}).lane_of["B"] == REJECT


def test_a_late_command_goes_to_reject_and_says_how_late() -> None:
    made = command(um=0)
    assert lanes().in_time(made, belt_um=560_000, now=NOW) is made
    late = lanes().in_time(made, belt_um=561_000, now=NOW)
    assert late.lane == REJECT
    assert late.why is not None
    assert "1 mm" in late.why.en


def test_without_positions_the_time_decides_what_is_late() -> None:
    made = command(um=None)
    assert lanes().in_time(made, belt_um=None, now=NOW + timedelta(seconds=2)) is made
    assert lanes().in_time(made, belt_um=None, now=NOW + timedelta(seconds=2.3)).lane == REJECT


def test_a_belt_that_stands_still_makes_no_command_late() -> None:
    assert lanes().in_time(command(um=0), belt_um=10_000, now=NOW + timedelta(hours=1)).lane == 1


def test_fruit_too_close_for_a_gate_both_go_to_reject() -> None:
    first, second = command(1, "A", 0), command(2, "C", 29_000)
    back, sent = lanes().spaced([first], second)
    assert (back.fruit, back.lane, back.why) == (1, REJECT, TOO_CLOSE)
    assert (sent.fruit, sent.lane, sent.why) == (2, REJECT, TOO_CLOSE)


@pytest.mark.parametrize(("tier", "um"), [("C", 30_000), ("A", 10_000)])
def test_fruit_of_one_lane_or_far_enough_apart_are_left_alone(tier, um) -> None:
    second = command(2, tier, um)
    assert lanes().spaced([command(1, "A", 0)], second) == [second]


def test_a_reject_too_close_takes_only_the_other_back() -> None:
    first, second = command(1, "A", 0), command(2, "cull", 10_000)
    assert [each.fruit for each in lanes().spaced([first], second)] == [1, 2]
    assert lanes().spaced([first], second)[1] is second


def test_spacing_works_by_time_where_there_are_no_positions() -> None:
    lanes_ = lanes()

    def at(number: int, tier: str, seconds: float) -> LaneCommand:
        seen = NOW + timedelta(seconds=seconds)
        return lanes_.command("r", number, tier, is_doubtful=False, seen_at=seen, seen_um=None)

    assert len(lanes_.spaced([at(1, "A", 0)], at(2, "C", 0.11))) == 2
    assert len(lanes_.spaced([at(1, "A", 0)], at(2, "C", 0.13))) == 1


def test_rows_have_gates_of_their_own_and_between_rows_is_reject() -> None:
    rows = lanes(rows_um=[(0, 100_000), (120_000, 200_000)])

    def made(across: int | None) -> LaneCommand:
        return rows.command("r", 1, "A", is_doubtful=False, seen_at=NOW, seen_um=0, across_um=across)

    assert (made(50_000).row, made(50_000).lane) == (1, 1)
    assert (made(130_000).row, made(130_000).lane) == (2, 1)
    assert (made(110_000).lane, made(110_000).why) == (REJECT, NO_ROW)
    assert (made(None).lane, made(None).why) == (REJECT, NO_ROW)
    side_by_side = rows.spaced(
        [made(50_000)], rows.command("r", 2, "C", is_doubtful=False, seen_at=NOW, seen_um=0, across_um=130_000)
    )
    assert len(side_by_side) == 1


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["A", "B", "C", "cull"]), st.booleans(), st.integers(0, 120_000)),
        min_size=1,
        max_size=25,
    )
)
def test_no_gate_can_take_along_a_fruit_that_belongs_elsewhere(fruit) -> None:
    table, um = lanes(), 0
    sent: dict[int, LaneCommand] = {}
    places: dict[int, int] = {}
    for number, (tier, is_doubtful, gap) in enumerate(fruit):
        um += gap
        places[number] = um
        new = table.command("r", number, tier, is_doubtful=is_doubtful, seen_at=NOW, seen_um=um)
        for each in table.spaced(list(sent.values()), new):
            sent[each.fruit] = each
    own = {n: table.doubtful if each.is_doubtful else table.lane_of[each.tier] for n, each in sent.items()}
    for number, each in sent.items():
        assert each.lane in {own[number], REJECT}
        for other in range(number + 1, len(fruit)):
            if places[other] - places[number] < 30_000 and sent[other].lane != each.lane:
                # What a gate may take along with its fruit goes where it belongs, if not where it was sent.
                lane = each.lane or sent[other].lane
                assert (own[number], own[other]) == (lane, lane), f"{each} and {sent[other]} lie too close"
