"""Windows: one hour of one place is one event, closed once, never rewritten."""

import json
from datetime import UTC, datetime, timedelta

from sqlmodel import select

from farm_sensors.windows import close_due
from ledger.models import Entry

ZONE = "Asia/Shanghai"
START = datetime(2026, 4, 17, 21, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
PATIENCE_S = 600

FINE = {
    "air-temperature": lambda i: 22.4 + 0.02 * i,
    "air-humidity": lambda i: 90 - 0.1 * i,
    "soil-moisture": lambda _: 27.5,
    "rain": lambda _: 0.0,
    "irradiance": lambda i: 3.0 + (i % 5),
}


def close(db, files, now, **kwargs):
    with db.write() as session:
        return close_due(session, files, now=now, patience_s=PATIENCE_S, zone=ZONE, **kwargs)


def window_events(db):
    with db.read() as session:
        entries = session.exec(select(Entry).where(Entry.sentence == "window_closed/1").order_by(Entry.id)).all()
    return [json.loads(entry.data) for entry in entries]


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
    temperature = element["sensorReport"][0]
    assert temperature == {
        "type": "Temperature",
        "minValue": 22.4,
        "maxValue": 23.6,
        "meanValue": 23,
        "sDev": 0.3,
        "uom": "CEL",
    }
    raw = json.loads(files.get(element["sensorMetadata"]["rawData"]))
    assert len(raw["readings"]) == 300
    assert len(raw["messages"]) == 60


def test_closing_again_closes_nothing(db, files, make_device):
    device = make_device(at=START - HOUR)
    device.report(FINE, start=START, count=6, cadence_s=600)
    assert close(db, files, START + 2 * HOUR) == 1
    assert close(db, files, START + 2 * HOUR) == 0
    assert len(window_events(db)) == 1
