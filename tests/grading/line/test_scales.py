"""Frames as makers' manuals show them, noise, a scale on the network, and weighings joined to fruit."""

import socket
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.errors import ScaleFrameError
from grading.line.scales import (
    REMEMBERED,
    STALE_S,
    STILL_S,
    Cutter,
    FedScale,
    Reading,
    Rest,
    TcpFrames,
    joined,
    parse_line,
    parse_payload,
    parse_xk3190,
    whole_grams,
)
from grading.line.wires import State, Weighing
from ledger.kernel.clock import SystemClock
from tests.simulators.scale import TcpScale
from tests.waiting import until

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
KG = 1_000_000


class Clock:
    def now(self) -> datetime:
        return NOW


class Watch:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def xk(text: bytes, decimals: int = 3, sign: bytes = b"+") -> bytes:
    body = sign + text + str(decimals).encode()
    check = 0
    for byte in body:
        check ^= byte
    return b"\x02" + body + b"%X%X" % (check >> 4, check & 15) + b"\x03"


@pytest.mark.parametrize(
    ("frame", "mass_mg", "rest"),
    [
        (b"ST,GS,+  0.345kg", 345_000, Rest.STABLE),
        (b"ST,GS,+  0.345kg ", 345_000, Rest.STABLE),
        (b"US,NT,-  0.012kg", -12_000, Rest.UNSTABLE),
        (b"ST,GS,   245.6 g", 245_600, Rest.STABLE),
        (b"ST,GS    20.7g", 20_700, Rest.STABLE),
        (b"ST,GS,     0.0,kg", 0, Rest.STABLE),
        (b"ST,NT,+0012.34kg", 12_340_000, Rest.STABLE),
        (b"ST,+00012.345  g", 12_345, Rest.STABLE),
        (b"ST,GS,+0012345kg", 12_345_000_000, Rest.STABLE),
        (b"OL,GS,+       kg", 0, Rest.OUT_OF_RANGE),
        (b"OL,+9999999.9  g", 0, Rest.OUT_OF_RANGE),
        (b"UL,GS,-     . kg", 0, Rest.OUT_OF_RANGE),
    ],
)
def test_lines_are_read_as_their_makers_write_them(frame, mass_mg, rest) -> None:
    assert parse_line(frame) == Reading(mass_mg, rest)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"  0.345kg",
        b"S,GS,+  0.345kg",
        b"ST,GS,+  0.345lb",
        b"ST,GS,+  0.345",
        b"ST,GS,+  0.3?5kg",
        b"ST,GS,+  0..45kg",
        b"ST,GS,+  0 345kg",
        b"ST,GS,+      .kg",
        b"ST,GS,+       kg",
        b"ST,TR,+  0.345kg",
        b"QT,GS,+      12PC",
        b"ST,GS,+  0.345kgST,GS,+  0.345kg",
        b"st,gs,+  0.345kg",
        b"\xffST,GS,+  0.345kg",
        b"ST,GS,+0.00000001kg",
        b"ST,GS,+0.0000001kg",
    ],
)
def test_anything_else_is_refused(frame) -> None:
    with pytest.raises(ScaleFrameError):
        parse_line(frame)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=30))
def test_noise_is_refused_and_nothing_else_happens(noise) -> None:
    for parse in (parse_line, parse_payload, lambda data: parse_xk3190(data, KG)):
        try:
            reading = parse(noise)
        except ScaleFrameError:
            continue
        assert noise.startswith((b"ST", b"US", b"OL", b"UL", b"LO", b"\x02", b"{"))
        assert isinstance(reading, Reading)


def test_twelve_bytes_with_a_checksum_are_read_in_the_unit_given() -> None:
    assert parse_xk3190(xk(b"000345"), KG) == Reading(345_000, Rest.UNKNOWN)
    assert parse_xk3190(xk(b"000345", 1, b"-"), 1_000) == Reading(-34_500, Rest.UNKNOWN)


@pytest.mark.parametrize("at", range(1, 11))
@pytest.mark.parametrize("bit", [0, 3, 6])
def test_every_flipped_bit_breaks_the_checksum(at, bit) -> None:
    frame = bytearray(xk(b"001345"))
    frame[at] ^= 1 << bit
    with pytest.raises(ScaleFrameError):
        parse_xk3190(bytes(frame), KG)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.sampled_from(["line", "xk3190"]))
def test_frames_are_cut_alike_however_they_arrive(piece, kind) -> None:
    frames = [b"ST,GS,+  0.345kg", b"US,GS,+  0.350kg"] if kind == "line" else [xk(b"000345"), xk(b"000350")]
    data = b"".join(frame + (b"\r\n" if kind == "line" else b"") for frame in frames)
    cutter = Cutter(kind)
    cut = [frame for at in range(0, len(data), piece) for frame in cutter.cut(data[at : at + piece])]
    assert cut == frames


@pytest.mark.parametrize("kind", ["line", "xk3190"])
def test_a_stream_without_ends_does_not_fill_the_memory(kind) -> None:
    cutter = Cutter(kind)
    for _ in range(1000):
        for frame in cutter.cut(b"x" * 30):
            assert len(frame) <= 70
    assert len(cutter._held) <= 40


def test_grams_are_rounded_half_away_from_zero() -> None:
    assert [whole_grams(mg) for mg in (344_499, 344_500, -344_500, 0)] == [344, 345, -345, 0]


def fed(watch: Watch, **settings_) -> FedScale:
    return FedScale("tcp://scale:4001", Clock(), least_g=20, monotonic=watch, **settings_)


def test_only_a_stable_fresh_reading_is_a_mass() -> None:
    watch = Watch()
    scale = fed(watch)
    assert scale.stable_g() is None
    scale.seen(Reading(345_400, Rest.UNSTABLE))
    assert scale.stable_g() is None
    scale.seen(Reading(345_400, Rest.STABLE))
    assert scale.stable_g() == 345
    scale.seen(Reading(0, Rest.OUT_OF_RANGE))
    assert scale.stable_g() is None
    assert scale.state.trouble.kind == "scale_out_of_range"
    scale.seen(Reading(345_400, Rest.STABLE))
    scale.refused(ScaleFrameError(b"?", "is noise"))
    assert scale.stable_g() is None
    assert scale.state.trouble.kind == "scale_noise"
    scale.seen(Reading(345_400, Rest.STABLE))
    watch.now_s += STALE_S + 0.1
    assert scale.stable_g() is None
    watch.now_s += 5
    assert scale.state.state is State.LOST


def test_a_scale_that_does_not_tell_must_stand_still() -> None:
    watch = Watch()
    scale = fed(watch)
    for _ in range(int(STILL_S / 0.125)):
        scale.seen(Reading(345_000, Rest.UNKNOWN))
        assert scale.stable_g() is None
        watch.now_s += 0.125
    scale.seen(Reading(345_000, Rest.UNKNOWN))
    assert scale.stable_g() == 345
    scale.seen(Reading(346_000, Rest.UNKNOWN))
    assert scale.stable_g() is None


def test_one_load_is_one_weighing_and_the_next_needs_an_empty_scale() -> None:
    watch, belt = Watch(), [1_000]
    scale = fed(watch, where=lambda: belt[0])
    # What lay there when we came is not known to be new.
    scale.seen(Reading(200_000, Rest.STABLE))
    for reading in [(0, Rest.STABLE), (345_000, Rest.UNSTABLE), (345_000, Rest.STABLE), (345_000, Rest.STABLE)]:
        scale.seen(Reading(*reading))
    belt[0] = 90_000
    for reading in [(345_000, Rest.UNSTABLE), (346_000, Rest.STABLE), (3_000, Rest.UNSTABLE), (210_000, Rest.STABLE)]:
        scale.seen(Reading(*reading))
    assert scale.weighings() == [Weighing(345, NOW, 1_000), Weighing(210, NOW, 90_000)]
    assert scale.weighings() == []


def test_weighings_that_nobody_asks_for_do_not_fill_the_memory() -> None:
    scale = FedScale("here", SystemClock(), least_g=20)
    for mass_g in range(100, 100 + 2 * REMEMBERED):
        scale.seen(Reading(0, Rest.STABLE))
        scale.seen(Reading(mass_g * 1000, Rest.STABLE))
    assert [each.mass_g for each in scale.weighings()] == list(range(100 + REMEMBERED, 100 + 2 * REMEMBERED))
    assert scale.weighings() == []


def test_a_scale_on_the_network_is_followed_through_noise_and_hanging_up() -> None:
    simulator = TcpScale(b"ST,GS,+  0.345kg\r\n")
    scale = FedScale("tcp://scale", Clock(), least_g=20)
    follower = TcpFrames("127.0.0.1", simulator.port, "line", KG, scale)
    scale.closing(follower.close)
    try:
        until(lambda: scale.stable_g() == 345)
        simulator.frame = b"US,GS,+  0.350kg\r\n"
        until(lambda: scale.stable_g() is None)
        simulator.frame = b"\xf0\xf1ST,G\r\n"
        until(lambda: scale.state.trouble and scale.state.trouble.kind == "scale_noise")
        simulator.frame = b"ST,GS,+  0.200kg\r\n"
        until(lambda: scale.stable_g() == 200)
        simulator.hang_up()
        until(lambda: simulator.connections >= 2 and scale.stable_g() == 200)
    finally:
        scale.close()
        simulator.close()


def test_the_checksummed_frames_come_over_the_network_too() -> None:
    simulator = TcpScale(xk(b"000345"), every_s=0.02)
    scale = FedScale("tcp://scale", Clock(), least_g=20)
    scale.closing(TcpFrames("127.0.0.1", simulator.port, "xk3190", KG, scale).close)
    try:
        until(lambda: scale.stable_g() == 345)
        simulator.frame = xk(b"000345")[:-1] + b"\x04"
        until(lambda: scale.stable_g() is None)
    finally:
        scale.close()
        simulator.close()


def test_a_scale_that_is_not_there_is_lost_by_name() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    scale = FedScale("tcp://scale", Clock(), least_g=20)
    scale.closing(TcpFrames("127.0.0.1", port, "line", KG, scale).close)
    until(lambda: f":{port}:" in scale.state.detail)
    assert (scale.state.state, scale.state.trouble.kind) == (State.LOST, "scale_lost")
    scale.close()


def test_a_published_weight_says_whether_it_is_stable() -> None:
    assert parse_payload(b'{"mass_g": 345.5, "stable": true}') == Reading(345_500, Rest.STABLE)
    for payload in (
        b'{"mass_g": 345}',
        b'{"mass_g": "345", "stable": true}',
        b'{"mass_g": 1e9, "stable": true}',
        b"345",
    ):
        with pytest.raises(ScaleFrameError):
            parse_payload(payload)


def at(mass_g: int, belt_um: int | None) -> Weighing:
    return Weighing(mass_g, NOW, belt_um)


def test_weighings_are_joined_by_where_the_belt_was() -> None:
    found = joined({1: 0, 2: 80_000}, [at(300, 401_000), at(310, 478_000)], distance_um=400_000, tolerance_um=20_000)
    assert found.mass_g == {1: 300, 2: 310}
    assert (found.ambiguous, found.unweighed, found.strangers) == ((), (), ())


def test_what_could_be_two_fruit_is_neither() -> None:
    found = joined({1: 0, 2: 25_000}, [at(300, 412_000)], distance_um=400_000, tolerance_um=20_000)
    assert found.mass_g == {}
    assert found.ambiguous == (1, 2)
    twice = joined({1: 0}, [at(300, 395_000), at(310, 405_000)], distance_um=400_000, tolerance_um=20_000)
    assert (twice.mass_g, twice.ambiguous) == ({}, (1,))


def test_a_weighing_of_nobody_and_a_fruit_without_one_are_said() -> None:
    found = joined({1: 0}, [at(300, 900_000), at(310, None)], distance_um=400_000, tolerance_um=20_000)
    assert (found.mass_g, found.unweighed, len(found.strangers)) == ({}, (1,), 2)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 2_000_000), max_size=8, unique=True),
    st.lists(st.integers(0, 2_000_000), max_size=8, unique=True),
)
def test_nothing_is_joined_twice_and_nothing_beyond_the_tolerance(places, weighed) -> None:
    fruit = dict(enumerate(places))
    weighings = [at(100 + index, um) for index, um in enumerate(weighed)]
    found = joined(fruit, weighings, distance_um=0, tolerance_um=20_000)
    assert sorted([*found.mass_g, *found.ambiguous, *found.unweighed]) == sorted(fruit)
    assert len(set(found.mass_g.values())) == len(found.mass_g)
    for number, mass_g in found.mass_g.items():
        near = [each for each in places if abs(each - weighed[mass_g - 100]) <= 20_000]
        assert near == [fruit[number]]
