"""Devices: enrolled once, with a sentence in the log, and found again."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from farm_sensors.devices import NewDevice, attach, attachments, enrol, find, last_seen, thumbprint
from farm_sensors.errors import AlreadyEnrolledError, InvalidDeviceError, NotAttachableError, UnknownDeviceError
from farm_sensors.events import device_enrolled
from farm_sensors.models import Device
from ledger.events import document, parse_event
from ledger.kernel.clock import parse_time
from ledger.kernel.ids import Numbering
from ledger.models import Entry

NUMBERING = Numbering("9521002")
PLOT, OTHER_PLOT = NUMBERING.place(1, "P01"), NUMBERING.place(1, "P02")
RECORDER = NUMBERING.party(1)
ZONE = "Asia/Shanghai"
NOW = datetime(2026, 1, 15, 2, 0, tzinfo=UTC)


def new(**changes) -> NewDevice:
    return NewDevice(
        **{
            "reference": "W01",
            "model": "sample-weather-1",
            "place": PLOT,
            "quantities": ("air-temperature", "rain"),
            "public_key": bytes(range(32)),
            "cadence_s": 600,
        }
        | changes
    )


def do_enrol(session, device, now=NOW):
    return enrol(session, device, recorder=RECORDER, numbering=NUMBERING, now=now, zone=ZONE)


def test_an_enrolment_stands_in_the_log_with_the_key_s_thumbprint(db):
    with db.write() as session:
        device = do_enrol(session, new())
        (entry,) = session.exec(select(Entry)).all()
    event = json.loads(entry.data)
    assert device.id == "https://id.gs1.org/8004/9521002W01"
    assert event["childEPCs"] == [device.id]
    assert event["parentID"] == event["readPoint"]["id"] == PLOT
    assert event["gy:enrolment"]["gy:keyThumbprint"] == thumbprint(bytes(range(32)))
    assert "gy:digests" not in event


def test_private_fields_reach_the_log_as_digests_only(db):
    with db.write() as session:
        do_enrol(session, new(hardware_serial="sample hardware 0007", installer="Sample Installer"))
        (entry,) = session.exec(select(Entry)).all()
    assert b"sample hardware" not in entry.data
    assert b"Sample Installer" not in entry.data
    assert len(json.loads(entry.data)["gy:digests"]) == 2


def test_the_builder_writes_the_golden_document(shared):
    golden = json.loads((shared / "events" / "02_device_enrolled.jsonld").read_text())
    for wanted in golden["epcisBody"]["eventList"]:
        enrolment = wanted["gy:enrolment"]
        built = device_enrolled(
            event_id=wanted["eventID"],
            at=parse_time(wanted["eventTime"]),
            zone=ZONE,
            device=wanted["childEPCs"][0],
            place=wanted["parentID"],
            recorder=wanted["gy:recorder"],
            model=enrolment["gy:model"],
            quantities=enrolment["gy:quantities"],
            key_thumbprint=enrolment["gy:keyThumbprint"],
            digests=wanted["gy:digests"],
        )
        assert document(built) == document(parse_event(wanted)) | {"gy:digests": sorted(wanted["gy:digests"])}


def test_enrolling_again_changes_nothing(db):
    with db.write() as session:
        first = do_enrol(session, new())
        again = do_enrol(session, new(), now=NOW + timedelta(days=1))
        assert again is first
        assert len(session.exec(select(Entry)).all()) == 1


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"public_key": bytes(32)}, "key"),
        ({"place": OTHER_PLOT}, "place"),
        ({"model": "other"}, "model"),
        ({"cadence_s": 60}, "cadence"),
        ({"quantities": ("rain",)}, "list of quantities"),
    ],
)
def test_a_known_device_is_not_enrolled_otherwise(db, change, word):
    with db.write() as session:
        do_enrol(session, new())
        with pytest.raises(AlreadyEnrolledError) as refused:
            do_enrol(session, new(**change))
    assert refused.value.differs == (word,)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"public_key": b"short"}, "5 bytes"),
        ({"quantities": ()}, "measures nothing"),
        ({"quantities": ("air-temprature",)}, "air-temprature"),
        ({"quantities": ("rain", "rain")}, "twice"),
        ({"cadence_s": None}, "cadence"),
        ({"cadence_s": 7200}, "cadence"),
        ({"installed_at": NOW + timedelta(hours=1)}, "future"),
    ],
)
def test_an_impossible_enrolment_is_refused_and_leaves_nothing(db, change, word):
    with pytest.raises(InvalidDeviceError, match=word), db.write() as session:
        do_enrol(session, new(**change))
    with db.read() as session:
        assert session.exec(select(Device)).all() == []
        assert session.exec(select(Entry)).all() == []


def test_cameras_and_scales_need_no_beat(db):
    with db.write() as session:
        camera = do_enrol(session, new(reference="CAMERA01", quantities=("fruit-image",), cadence_s=None))
        assert find(session, camera.id).cadence_s is None


def test_an_unknown_device_is_named(db):
    with db.read() as session, pytest.raises(UnknownDeviceError, match="9521002GHOST"):
        find(session, "https://id.gs1.org/8004/9521002GHOST")


def test_a_logger_travels_with_a_load_and_comes_home(db):
    load = NUMBERING.load(731)
    left, arrived = NOW + timedelta(hours=1), NOW + timedelta(hours=9)
    with db.write() as session:
        logger = do_enrol(session, new(reference="LOGGER1", quantities=("load-temperature",)))
        attach(session, logger.id, load, now=left)
        attach(session, logger.id, load, now=left + timedelta(minutes=1))
        attach(session, logger.id, PLOT, now=arrived)
        assert [(a.from_at, a.until_at) for a, _ in attachments(session, load, start=NOW, end=arrived)] == [
            (left, arrived)
        ]
        assert attachments(session, load, start=arrived, end=arrived + timedelta(hours=1)) == []
        home = attachments(session, PLOT, start=NOW, end=arrived + timedelta(hours=1))
        assert [(a.from_at, a.until_at) for a, _ in home] == [(NOW, left), (arrived, None)]


def test_a_device_is_not_moved_to_another_place_in_silence(db):
    with db.write() as session:
        device = do_enrol(session, new())
        with pytest.raises(NotAttachableError):
            attach(session, device.id, OTHER_PLOT, now=NOW)


def test_last_seen_is_when_a_pack_was_taken(db, make_device):
    device = make_device(at=NOW)
    with db.read() as session:
        assert last_seen(session, device.id) is None
    device.send(device.pack([("rain", NOW, 0.0)]), now=NOW + timedelta(seconds=7))
    with db.read() as session:
        assert last_seen(session, device.id) == NOW + timedelta(seconds=7)
