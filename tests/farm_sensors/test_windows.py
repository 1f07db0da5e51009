"""Windows: one hour of one place is one event, closed once, never rewritten."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlmodel import select

from farm_sensors.devices import attach
from farm_sensors.events import WindowCounts, WindowGap, window_closed
from farm_sensors.models import NO_WINDOW, StoredReading, Window
from farm_sensors.replay import day_of, onto, read
from farm_sensors.windows import SILENT_HOURS, close_due
from ledger.canonical import canonical
from ledger.events import document, parse_event
from ledger.kernel.clock import parse_time
from ledger.kernel.ids import Numbering
from ledger.models import Entry

ZONE = "Asia/Shanghai"
START = datetime(2026, 4, 17, 21, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
PATIENCE_S = 600
NUMBERING = Numbering("9521002")

FINE = {
    "air-temperature": lambda i: round(22.4 + 0.02 * i, 2),
    "air-humidity": lambda i: 90 - 0.1 * i,
    "soil-moisture": lambda _: 27.5,
    "rain": lambda _: 0.0,
    "irradiance": lambda i: 3.0 + (i % 5),
}
AIR = {"air-temperature": FINE["air-temperature"]}


def close(db, files, now, **kwargs):
    with db.write() as session:
        return close_due(session, files, now=now, patience_s=PATIENCE_S, zone=ZONE, **kwargs)


def window_events(db):
    with db.read() as session:
        entries = session.exec(select(Entry).where(Entry.sentence == "window_closed/1").order_by(Entry.id)).all()
    return [json.loads(entry.data) for entry in entries]


def windows(db):
    with db.read() as session:
        return session.exec(select(Window).order_by(Window.hour, Window.target)).all()


def test_a_full_hour_becomes_one_event_in_the_shape_of_the_golden_document(db, files, make_device):
    device = make_device(at=START - HOUR, cadence_s=60)
    device.report(FINE, start=START, count=60, cadence_s=60)
    assert close(db, files, START + HOUR + timedelta(minutes=10)) == 1
    (event,) = window_events(db)
    assert event["eventTime"] == "2026-04-17T22:00:00.000Z"
    assert event["eventTimeZoneOffset"] == "+08:00"
    assert event["gy:recorder"] == device.id
    assert event["gy:window"] == {
        "gy:expected": 60,
        "gy:received": 60,
        "gy:suspect": 0,
        "gy:late": 0,
        "gy:closedAt": "2026-04-17T22:10:00.000Z",
    }
    (element,) = event["sensorElementList"]
    assert element["sensorReport"] == [
        {"type": "Temperature", "minValue": 22.4, "maxValue": 23.6, "meanValue": 23, "sDev": 0.3, "uom": "CEL"},
        {"type": "RelativeHumidity", "minValue": 84.1, "maxValue": 90, "meanValue": 87, "uom": "P1"},
        {
            "type": "VolumeFraction",
            "component": "https://ns.guoyuan.example/epcis/component/soil-20cm",
            "meanValue": 27.5,
            "uom": "P1",
        },
        {
            "type": "Length",
            "component": "https://ns.guoyuan.example/epcis/component/rain-sum",
            "value": 0,
            "uom": "MMT",
        },
        {"type": "Irradiance", "maxValue": 7, "meanValue": 5, "uom": "D54"},
    ]


def test_the_raw_readings_stand_behind_their_hash_with_the_messages_that_carried_them(db, files, make_device):
    device = make_device(at=START - HOUR)
    device.report(AIR, start=START, count=6, cadence_s=600)
    close(db, files, START + 2 * HOUR)
    (event,) = window_events(db)
    data = files.get(event["sensorElementList"][0]["sensorMetadata"]["rawData"])
    raw = json.loads(data)
    assert canonical(raw) == data
    assert raw["device"] == device.id
    assert [reading["value"] for reading in raw["readings"]] == [22.4, 22.42, 22.44, 22.46, 22.48, 22.5]
    assert {reading["flag"] for reading in raw["readings"]} == {1}
    assert len(raw["messages"]) == 6


def test_the_builder_writes_the_golden_document(shared):
    golden = json.loads((shared / "events" / "08_window_closed.jsonld").read_text())["epcisBody"]["eventList"][0]
    wanted, window = parse_event(golden), golden["gy:window"]
    built = window_closed(
        event_id=wanted.event_id,
        end=parse_time(wanted.event_time),
        zone=ZONE,
        target=golden["readPoint"]["id"],
        recorder=golden["gy:recorder"],
        elements=wanted.sensor_element_list,
        counts=WindowCounts(
            expected=window["gy:expected"],
            received=window["gy:received"],
            suspect=window["gy:suspect"],
            late=window["gy:late"],
            gaps=tuple(
                WindowGap(golden["gy:recorder"], parse_time(gap["gy:fromAt"]), parse_time(gap["gy:toAt"]))
                for gap in window["gy:gaps"]
            ),
            closed_at=parse_time(window["gy:closedAt"]),
        ),
    )
    assert document(built) == document(wanted)


def test_closing_again_closes_nothing(db, files, make_device):
    device = make_device(at=START - HOUR)
    device.report(AIR, start=START, count=6, cadence_s=600)
    assert close(db, files, START + 2 * HOUR) == 1
    assert close(db, files, START + 2 * HOUR) == 0
    assert len(window_events(db)) == 1


def test_an_hour_waits_for_its_patience(db, files, make_device):
    device = make_device(at=START - HOUR)
    device.report(AIR, start=START, count=6, cadence_s=600)
    assert close(db, files, START + HOUR + timedelta(seconds=PATIENCE_S - 1)) == 0
    assert close(db, files, START + HOUR + timedelta(seconds=PATIENCE_S)) == 1


def test_a_crash_before_the_commit_leaves_the_hour_to_be_closed(db, files, make_device):
    device = make_device(at=START - HOUR)
    device.report(AIR, start=START, count=6, cadence_s=600)

    def close_and_die():
        with db.write() as session:
            close_due(session, files, now=START + 2 * HOUR, patience_s=PATIENCE_S, zone=ZONE)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        close_and_die()
    assert windows(db) == []
    assert close(db, files, START + 2 * HOUR) == 1
    assert len(window_events(db)) == 1


def test_many_hours_close_oldest_first_and_never_more_than_the_limit(db, files, make_device):
    device = make_device(at=START - HOUR)
    device.report(AIR, start=START, count=30, cadence_s=600)
    assert close(db, files, START + 5 * HOUR + 10 * MINUTE, limit=2) == 2
    assert close(db, files, START + 5 * HOUR + 10 * MINUTE, limit=9) == 3
    assert [event["eventTime"][11:13] for event in window_events(db)] == ["22", "23", "00", "01", "02"]


def test_missing_readings_are_counted_and_the_gap_is_named(db, files, make_device):
    device = make_device(at=START - HOUR, cadence_s=60)
    device.report(AIR, start=START, count=31, cadence_s=60)
    device.report(AIR, start=START + 33 * MINUTE, count=27, cadence_s=60)
    close(db, files, START + 2 * HOUR)
    window = window_events(db)[0]["gy:window"]
    assert (window["gy:expected"], window["gy:received"]) == (60, 58)
    assert window["gy:gaps"] == [{"gy:fromAt": "2026-04-17T21:31:00.000Z", "gy:toAt": "2026-04-17T21:33:00.000Z"}]


def test_a_fault_is_kept_flagged_and_left_out_of_the_summary(db, files, make_device):
    device = make_device(at=START - HOUR)
    device.report(
        {"air-temperature": lambda i: 999.0 if i == 3 else 22.0 + i / 10}, start=START, count=6, cadence_s=600
    )
    close(db, files, START + 2 * HOUR)
    (event,) = window_events(db)
    assert event["gy:window"]["gy:suspect"] == 1
    assert event["sensorElementList"][0]["sensorReport"][0]["maxValue"] == 22.5
    with db.read() as session:
        marked = session.exec(select(StoredReading).where(StoredReading.flag == 4)).all()
    assert [(reading.value, reading.suspect) for reading in marked] == [(999.0, "range")]


def test_a_quantity_without_a_good_reading_reports_an_error_and_no_number(db, files, make_device):
    device = make_device(at=START - HOUR, quantities=("air-temperature", "rain"))
    device.report({"air-temperature": lambda _: 999.0}, start=START, count=6, cadence_s=600)
    close(db, files, START + 2 * HOUR)
    reports = window_events(db)[0]["sensorElementList"][0]["sensorReport"]
    assert reports[0] == {"type": "Temperature", "exception": "ERROR_CONDITION", "uom": "CEL"}
    assert reports[1]["exception"] == "ERROR_CONDITION"


def test_a_conflicting_value_counts_as_suspect_and_the_first_one_stands(db, files, make_device):
    device = make_device(at=START - HOUR, quantities=("air-temperature",))
    device.report(AIR, start=START, count=6, cadence_s=600)
    device.send(device.pack([("air-temperature", START, 30.0)]), now=START + HOUR)
    close(db, files, START + 2 * HOUR)
    (event,) = window_events(db)
    assert (event["gy:window"]["gy:received"], event["gy:window"]["gy:suspect"]) == (6, 1)
    assert event["sensorElementList"][0]["sensorReport"][0]["maxValue"] == 22.5


def test_a_reading_repeated_in_a_later_pack_changes_no_number(db, files, make_device):
    device = make_device(at=START - HOUR, quantities=("air-temperature",))
    device.report(AIR, start=START, count=6, cadence_s=600)
    device.send(device.pack([("air-temperature", START, 22.4)]), now=START + HOUR)
    close(db, files, START + 2 * HOUR)
    window = window_events(db)[0]["gy:window"]
    assert (window["gy:received"], window["gy:suspect"], window["gy:late"]) == (6, 0, 0)


def test_readings_within_patience_are_in_the_window_and_counted_late(db, files, make_device):
    device = make_device(at=START - HOUR)
    device.report(AIR, start=START, count=4, cadence_s=600)
    late = [("air-temperature", START + timedelta(minutes=40), 22.5), ("air-temperature", START + 50 * MINUTE, 22.5)]
    device.send(device.pack(late), now=START + HOUR + timedelta(minutes=11))
    with db.write() as session:
        assert close_due(session, files, now=START + 2 * HOUR, patience_s=1800, zone=ZONE) == 1
    window = window_events(db)[0]["gy:window"]
    assert (window["gy:received"], window["gy:late"]) == (6, 2)


def test_a_reading_after_closing_is_kept_counted_and_rewrites_nothing(db, files, make_device):
    device = make_device(at=START - HOUR)
    device.report(AIR, start=START, count=4, cadence_s=600)
    close(db, files, START + 2 * HOUR - 50 * MINUTE)
    before = window_events(db)
    device.send(
        device.pack([("air-temperature", START + timedelta(minutes=40), 22.5)]),
        now=START + HOUR + timedelta(minutes=20),
    )
    assert close(db, files, START + HOUR + timedelta(minutes=30)) == 0
    assert window_events(db) == before
    assert [window.missed for window in windows(db)] == [1]
    with db.read() as session:
        missed = session.exec(select(StoredReading).where(StoredReading.missed_window)).all()
    assert [reading.value for reading in missed] == [22.5]
    assert close(db, files, START + HOUR + timedelta(minutes=40)) == 0
    assert [window.missed for window in windows(db)] == [1]


def test_silence_is_recorded_for_a_few_hours_and_then_left_alone(db, files, make_device):
    device = make_device(at=START - HOUR)
    device.report(AIR, start=START, count=6, cadence_s=600)
    assert close(db, files, START + 20 * HOUR) == 1 + SILENT_HOURS
    assert close(db, files, START + 30 * HOUR) == 0
    silent = window_events(db)[1]
    assert silent["gy:window"]["gy:received"] == 0
    assert silent["gy:window"]["gy:gaps"] == [
        {"gy:fromAt": "2026-04-17T22:00:00.000Z", "gy:toAt": "2026-04-17T23:00:00.000Z"}
    ]
    assert "rawData" not in silent["sensorElementList"][0]["sensorMetadata"]


def test_what_is_recorded_does_not_depend_on_when_it_is_closed(db, files, make_device, tmp_path):
    """Closing every ten minutes and closing once after an outage write the same windows."""
    device = make_device(at=START - HOUR)
    device.report(AIR, start=START, count=6, cadence_s=600)
    device.report(AIR, start=START + 6 * HOUR, count=12, cadence_s=600)
    close(db, files, START + 9 * HOUR)
    at_once = [(window.hour, window.received) for window in windows(db)]
    assert [received for _, received in at_once] == [6, 0, 0, 0, 6, 6]


def test_readings_from_before_the_enrolment_belong_to_no_place(db, files, make_device):
    device = make_device(at=START + 2 * HOUR)
    device.report(AIR, start=START, count=6, cadence_s=600, delay_s=4 * 3600)
    assert close(db, files, START + 9 * HOUR) == 0
    with db.read() as session:
        assert {reading.window_id for reading in session.exec(select(StoredReading)).all()} == {NO_WINDOW}


def test_several_devices_at_one_place_make_one_event_with_an_element_each(db, files, make_device):
    first, second = make_device("W01", at=START - HOUR), make_device("W02", at=START - HOUR)
    first.report(AIR, start=START, count=6, cadence_s=600)
    second.report(AIR, start=START, count=5, cadence_s=600)
    assert close(db, files, START + HOUR + timedelta(minutes=10)) == 1
    (event,) = window_events(db)
    assert [one["sensorMetadata"]["deviceID"] for one in event["sensorElementList"]] == [first.id, second.id]
    assert event["gy:recorder"] == NUMBERING.party(2)
    assert (event["gy:window"]["gy:expected"], event["gy:window"]["gy:received"]) == (12, 11)
    assert [gap["gy:device"] for gap in event["gy:window"]["gy:gaps"]] == [second.id]


def test_a_logger_s_hours_with_a_load_name_the_load(db, files, make_device):
    load = NUMBERING.load(731)
    logger = make_device("LOGGER1", at=START - HOUR, place=NUMBERING.place(10), quantities=("load-temperature",))
    with db.write() as session:
        attach(session, logger.id, load, now=START + timedelta(minutes=30))
    logger.report({"load-temperature": lambda i: 12.0 + i / 10}, start=START, count=12, cadence_s=600)
    assert close(db, files, START + 2 * HOUR + timedelta(minutes=10)) == 3
    on_the_way, room, next_hour = window_events(db)
    assert room["readPoint"]["id"] == NUMBERING.place(10)
    assert (room["gy:window"]["gy:expected"], room["gy:window"]["gy:received"]) == (3, 3)
    assert on_the_way["epcList"] == next_hour["epcList"] == [load]
    assert "readPoint" not in on_the_way
    assert next_hour["gy:window"]["gy:received"] == 6


def test_a_logger_at_rest_at_home_is_not_missed_there(db, files, make_device):
    load, home = NUMBERING.load(731), NUMBERING.place(10)
    logger = make_device("LOGGER1", at=START - HOUR, place=home, quantities=("load-temperature",))
    with db.write() as session:
        attach(session, logger.id, load, now=START)
    logger.report({"load-temperature": lambda _: 12.0}, start=START, count=12, cadence_s=600)
    with db.write() as session:
        attach(session, logger.id, home, now=START + 2 * HOUR)
    assert close(db, files, START + 9 * HOUR) == 2
    assert {window.target for window in windows(db)} == {load}


@pytest.mark.shared
def test_a_real_day_of_weather_closes_as_24_full_windows(db, files, make_device, shared):
    rows = day_of(read(shared / "sensors" / "refet" / "FALN_Agrimet_hourly_raw_2015.csv"), date(2015, 7, 1))
    names = tuple(name for name, _, _ in rows[0].values)
    start = datetime(2026, 4, 17, 16, 0, tzinfo=UTC)  # midnight on the farm
    device = make_device(at=start - HOUR, quantities=names, cadence_s=3600)
    for row in onto(rows, start):
        device.send(
            device.pack([(name, row.time, value) for name, value, _ in row.values]),
            now=row.time + timedelta(seconds=30),
        )
    assert close(db, files, start + 24 * HOUR + timedelta(minutes=10)) == 24
    events = window_events(db)
    assert {event["gy:window"]["gy:received"] for event in events} == {1}
    assert {event["gy:window"]["gy:suspect"] for event in events} == {0}
    assert all("gy:gaps" not in event["gy:window"] for event in events)
    noon = events[12]["sensorElementList"][0]["sensorReport"]
    assert [report["type"] for report in noon] == ["Temperature", "RelativeHumidity", "Speed", "Irradiance"]
    assert noon[0]["meanValue"] == 33.9
    assert noon[3]["meanValue"] == 768.7
