"""QARTOD flags: as the public implementation gives them on real series, and right on planted faults."""

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from math import sin
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_sensors.quality import Flag, assess, flat_line, gaps, gross_range, rate_of_change, spike
from farm_sensors.quantities import QUANTITIES, Limits, Span
from farm_sensors.replay import read

AIR = QUANTITIES["air-temperature"]


def digest(flags):
    return sha256(bytes(int(flag) for flag in flags)).hexdigest()[:16]


def water_level(shared):
    with (shared / "sensors" / "ioos" / "water_level_example.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [float(r["timestamp"]) for r in rows], [float(r["sea_surface_height_above_sea_level"]) for r in rows]


def salinity(shared):
    times, values = [], []
    with (shared / "sensors" / "ioos" / "attenuated_salinity_example.csv").open() as file:
        for row in csv.reader(file, quotechar="'"):
            if not row[0].startswith(("#", "time")):
                times.append(datetime.fromisoformat(row[0]).replace(tzinfo=UTC).timestamp())
                values.append(float(row[1]))
    return times, values


# Flags of ioos_qc 3.0.0 with the same thresholds, as the first 16 hex digits of their SHA-256.
# Flat line is the exception: ioos_qc counts values at the median beat, we measure time, so the two
# differ where the beat is irregular (8 of 7,241 and 1 of 24,436 values).
@dataclass(frozen=True)
class Oracle:
    read: Callable[[Path], tuple[list[float], list[float]]]
    plausible: Span
    usual: Span
    spikes: Limits
    per_s: float
    flat_s: Limits
    tolerance: float
    range_flags: str
    spike_flags: str
    rate_flags: str
    flat_counts: dict[int, int]


WATER = Oracle(
    read=water_level,
    plausible=Span(-1.5, 2.5),
    usual=Span(-1, 2),
    spikes=Limits(0.2, 0.5),
    per_s=0.5 / 3600,
    flat_s=Limits(3 * 3600, 5 * 3600),
    tolerance=0.001,
    range_flags="cbcc0496479b9202",
    spike_flags="97b6fdf2be227a11",
    rate_flags="216c0337b6ff5980",
    flat_counts={1: 3036, 3: 4, 4: 4201},
)
SALINITY = Oracle(
    read=salinity,
    plausible=Span(0, 40),
    usual=Span(1, 33),
    spikes=Limits(1, 4),
    per_s=0.05,
    flat_s=Limits(600, 1800),
    tolerance=0.02,
    range_flags="356ab83f48c9fc1b",
    spike_flags="7d93b6e81430e526",
    rate_flags="c6b35162efc29225",
    flat_counts={1: 24311, 3: 111, 4: 14},
)


@pytest.mark.shared
@pytest.mark.parametrize("oracle", [WATER, SALINITY], ids=["water level, hourly", "salinity, by the minute"])
def test_flags_on_real_series_are_those_of_ioos_qc(shared, oracle):
    times, values = oracle.read(shared)
    ranges = [gross_range(value, plausible=oracle.plausible, usual=oracle.usual) for value in values]
    assert digest(ranges) == oracle.range_flags
    assert digest(spike(values, oracle.spikes)) == oracle.spike_flags
    assert digest(rate_of_change(values, times, oracle.per_s)) == oracle.rate_flags
    flat = flat_line(values, times, oracle.flat_s, tolerance=oracle.tolerance)
    assert Counter(int(flag) for flag in flat) == oracle.flat_counts


@pytest.mark.shared
def test_a_year_of_real_weather_raises_no_false_alarm(shared):
    rows = read(shared / "sensors" / "refet" / "FALN_Agrimet_hourly_raw_2015.csv")
    times = [row.time.timestamp() for row in rows]
    for index, (name, _, _) in enumerate(rows[0].values):
        values = [row.values[index][1] for row in rows]
        verdicts = assess(QUANTITIES[name], times, values, cadence_s=3600)
        assert {verdict.flag for verdict in verdicts} == {Flag.GOOD}, name


def plant(faults, *, count=300, cadence_s=600):
    times = [1_776_000_000.0 + cadence_s * i for i in range(count)]
    values = [22 + 3 * sin(i / 20) for i in range(count)]
    for index, value in faults.items():
        values[index] = value
    verdicts = assess(AIR, times, values, cadence_s=cadence_s)
    return {i: (v.flag, v.reason) for i, v in enumerate(verdicts) if v.flag is not Flag.GOOD}


def test_an_impossible_value_is_failed_and_its_neighbours_are_not():
    assert plant({50: 999.0}) == {50: (Flag.FAIL, "range")}


def test_an_unusual_value_is_suspect():
    assert plant({50: 55.0})[50][0] is Flag.FAIL  # out and back by 30 degrees: also a spike
    assert plant(dict.fromkeys(range(50, 300), 49.0))[60] == (Flag.SUSPECT, "range")


def test_a_spike_is_failed_alone():
    assert plant({50: 40.0}) == {50: (Flag.FAIL, "spike")}


def test_a_small_spike_is_suspect():
    assert plant({50: 22 + 3 * sin(50 / 20) + 5}) == {50: (Flag.SUSPECT, "spike")}


def test_a_jump_to_another_level_is_one_suspect_step():
    assert plant({i: 34.0 + (i % 2) / 5 for i in range(50, 60)}) == {
        50: (Flag.SUSPECT, "step"),
        60: (Flag.SUSPECT, "step"),
    }


def test_a_stuck_sensor_is_suspect_after_three_hours_and_failed_after_six():
    flags = plant(dict.fromkeys(range(100, 160), 22.0))
    assert flags[118] == (Flag.SUSPECT, "flatline")
    assert 117 not in flags
    assert flags[136] == (Flag.FAIL, "flatline")
    assert 160 not in flags


def test_humidity_may_stay_saturated_all_night():
    times = [600.0 * i for i in range(200)]
    verdicts = assess(QUANTITIES["air-humidity"], times, [100.0] * 200, cadence_s=600)
    assert {verdict.flag for verdict in verdicts} == {Flag.GOOD}


def test_neighbours_beyond_a_gap_prove_nothing():
    times = [0.0, 600.0, 90_000.0, 180_000.0, 180_600.0]
    verdicts = assess(AIR, times, [20.0, 20.1, 32.0, 21.0, 21.1], cadence_s=600)
    assert {verdict.flag for verdict in verdicts} == {Flag.GOOD}


def test_a_missing_value_is_flagged_missing():
    assert gross_range(None, plausible=AIR.plausible, usual=AIR.usual) is Flag.MISSING
    assert spike([1.0, None, 1.0], Limits(1, 2))[1] is Flag.MISSING
    assert rate_of_change([1.0, None, 1.0], [0, 1, 2], 0.1) == [Flag.GOOD, Flag.MISSING, Flag.GOOD]
    assert flat_line([1.0, None], [0, 1], Limits(1, 2), tolerance=0.1)[1] is Flag.MISSING


series = st.lists(
    st.tuples(st.floats(1, 1200), st.sampled_from([20.0, 20.01, 20.2, 25.0, 31.5, 80.0])), min_size=1, max_size=60
)


@given(series, st.floats(60, 4000))
def test_the_streaming_flat_line_agrees_with_looking_at_every_window(steps, span_s):
    times, values, clock = [], [], 0.0
    for gap, value in steps:
        clock += gap
        times.append(clock)
        values.append(value)
    flags = flat_line(values, times, Limits(span_s, 1e9), tolerance=0.05)
    for index, flag in enumerate(flags):
        old = [k for k in range(index + 1) if times[index] - times[k] >= span_s]
        window = values[old[-1] : index + 1] if old else []
        is_flat = len(window) >= 3 and max(window) - min(window) < 0.05
        assert flag is (Flag.SUSPECT if is_flat else Flag.GOOD)


@given(series)
def test_every_reading_gets_exactly_one_verdict(steps):
    times = [600.0 * i for i in range(len(steps))]
    verdicts = assess(AIR, times, [value for _, value in steps], cadence_s=600)
    assert len(verdicts) == len(steps)
    assert all((v.reason is None) == (v.flag is Flag.GOOD) for v in verdicts)


def found(times, cadence_s=60):
    return [(gap.from_s, gap.to_s) for gap in gaps(times, start_s=0, end_s=600, cadence_s=cadence_s)]


def test_gaps_run_from_the_first_reading_due_to_the_next_that_came():
    full = [60.0 * i for i in range(10)]
    assert found(full) == []
    assert found(full[:3] + full[5:]) == [(180, 300)]
    assert found(full[2:]) == [(0, 120)]
    assert found(full[:8]) == [(480, 600)]
    assert found([]) == [(0, 600)]


def test_readings_around_the_stretch_tell_the_beat():
    shifted = [30.0 + 60 * i for i in range(-2, 12)]
    assert found(shifted) == []
    assert found([moment for moment in shifted if moment != 30]) == [(30, 90)]
