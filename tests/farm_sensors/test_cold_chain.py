"""Cold chain: extremes, minutes outside the range, and elements ready for other sentences."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_sensors.cold_chain import leg, pulp_series, summarise
from farm_sensors.devices import attach
from farm_sensors.errors import NoSeriesError
from farm_sensors.quantities import Span
from ledger.events import ObjectEvent, document
from ledger.kernel.ids import Numbering

START = datetime(2026, 4, 18, 4, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NUMBERING = Numbering("9521002")
COOLER, LOAD = NUMBERING.place(10, "COOL-1"), NUMBERING.load(731)
WANTED = Span(10, 13)


def test_minutes_count_from_where_the_line_crosses_the_range():
    summary = summarise([0, 600, 1200, 1800], [12, 14, 14, 12], wanted=WANTED, cadence_s=600)
    assert summary.minutes_above == 20  # half of the first ten, all of the second, half of the third
    assert summary.minutes_below == 0
    assert (summary.min_celsius, summary.max_celsius, summary.mean_celsius) == (12, 14, pytest.approx(40 / 3))


def test_a_gap_counts_for_neither_side():
    summary = summarise([0, 600, 7200, 7800], [14, 14, 14, 14], wanted=WANTED, cadence_s=600)
    assert summary.minutes_above == 20


def test_one_reading_is_a_summary_too():
    summary = summarise([0], [9.0], wanted=WANTED, cadence_s=600)
    assert (summary.mean_celsius, summary.minutes_below) == (9.0, 0)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=50))
def test_time_above_and_below_never_exceeds_the_time_there_was(values):
    times = [600.0 * i for i in range(len(values))]
    summary = summarise(times, values, wanted=WANTED, cadence_s=600)
    assert summary.min_celsius - 1e-9 <= summary.mean_celsius <= summary.max_celsius + 1e-9
    assert 0 <= summary.minutes_above + summary.minutes_below <= 10 * (len(values) - 1) + 1
    warmer = summarise(times, [value + 1 for value in values], wanted=WANTED, cadence_s=600)
    assert warmer.minutes_above >= summary.minutes_above
    assert warmer.minutes_below <= summary.minutes_below


@pytest.fixture
def logger(db, make_device):
    device = make_device(
        "LOGGER1",
        at=START - timedelta(days=1),
        place=NUMBERING.place(10),
        quantities=("load-temperature",),
        cadence_s=300,
    )
    with db.write() as session:
        attach(session, device.id, LOAD, now=START)
    return device


def test_a_leg_is_an_element_as_the_golden_delivery_has_it(db, files, logger):
    logger.report(
        {"load-temperature": lambda i: 15.2 if 20 <= i < 25 else 12.0 + (i % 3) / 10},
        start=START,
        count=73,
        cadence_s=300,
    )
    with db.read() as session:
        found = leg(session, files, LOAD, start=START, end=START + 360 * MINUTE, wanted=Span(10, 13))
    built = document(
        ObjectEvent(
            event_time="2026-04-20T00:15:00.000Z",
            event_time_zone_offset="+08:00",
            action="OBSERVE",
            sensor_element_list=(found.element,),
        )
    )
    metadata, reports = built["sensorElementList"][0]["sensorMetadata"], built["sensorElementList"][0]["sensorReport"]
    assert metadata["deviceID"] == logger.id
    assert metadata["startTime"] == "2026-04-18T04:30:00.000Z"
    assert metadata["dataProcessingMethod"] == "https://guoyuan.example/method/leg-1"
    assert reports[0] == {"type": "Temperature", "minValue": 12, "maxValue": 15.2, "meanValue": 12.3, "uom": "CEL"}
    assert reports[1] == {
        "type": "Time",
        "component": "https://ns.guoyuan.example/epcis/component/above-range",
        "exception": "ALARM_CONDITION",
        "value": found.summary.minutes_above,
        "uom": "MIN",
    }
    assert 20 <= found.summary.minutes_above <= 30
    assert (found.counts.expected, found.counts.received, found.counts.suspect) == (72, 73, 0)
    assert len(json.loads(files.get(metadata["rawData"]))["readings"]) == 73
    assert len(found.curve) == 73


def test_a_leg_within_its_range_alarms_nobody(db, files, logger):
    logger.report({"load-temperature": lambda i: 11.5 + (i % 2) / 10}, start=START, count=12, cadence_s=300)
    with db.read() as session:
        found = leg(session, files, LOAD, start=START, end=START + 55 * MINUTE, wanted=WANTED)
    assert len(found.element.sensor_report) == 1


def test_a_leg_counts_only_while_the_logger_was_with_the_load(db, files, logger):
    logger.report(
        {"load-temperature": lambda i: 25.0 if i < 6 else 12.0}, start=START - 30 * MINUTE, count=12, cadence_s=300
    )
    with db.read() as session:
        found = leg(session, files, LOAD, start=START - timedelta(hours=1), end=START + 25 * MINUTE, wanted=WANTED)
    assert found.summary.max_celsius == 12.0


def test_a_load_nobody_measured_says_so(db, files):
    with db.read() as session, pytest.raises(NoSeriesError, match="no temperature was measured"):
        leg(session, files, NUMBERING.load(1), start=START, end=START + timedelta(hours=1), wanted=WANTED)


def test_pulp_on_its_way_down_reads_as_the_golden_pre_cooling(db, files, make_device):
    probe = make_device(
        "PROBE02",
        at=START - timedelta(days=1),
        place=COOLER,
        quantities=("pulp-temperature", "room-temperature"),
        cadence_s=600,
    )
    probe.report(
        {"pulp-temperature": lambda i: 30.8 - 17.6 * i / 15, "room-temperature": lambda i: 9.8 + (i % 4) / 2},
        start=START,
        count=16,
        cadence_s=600,
    )
    with db.read() as session:
        cooling = pulp_series(session, files, COOLER, start=START, end=START + 150 * MINUTE)
    (element,) = cooling.elements
    first, last, room = element.sensor_report
    assert (first.value, first.time, last.value, last.time) == (
        30.8,
        "2026-04-18T04:30:00.000Z",
        13.2,
        "2026-04-18T07:00:00.000Z",
    )
    assert (room.component, room.min_value, room.max_value, room.s_dev) == (
        "https://ns.guoyuan.example/epcis/component/room",
        9.8,
        11.3,
        None,
    )
    assert (cooling.pulp_start_celsius, cooling.started_at, cooling.ended_at) == (30.8, START, START + 150 * MINUTE)


def test_a_cooler_without_probes_says_so(db, files):
    with db.read() as session, pytest.raises(NoSeriesError):
        pulp_series(session, files, COOLER, start=START, end=START + timedelta(hours=1))
