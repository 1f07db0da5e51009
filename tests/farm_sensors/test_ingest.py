"""A signed pack is taken once, whole, and never overwrites what was taken before."""

import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import func, select

from farm_sensors.codecs import senml
from farm_sensors.errors import (
    BadSignatureError,
    MalformedPackError,
    PackTooLargeError,
    ReadingFromFutureError,
    SensorError,
    UnknownDeviceError,
    UnknownQuantityError,
    WrongUnitError,
)
from farm_sensors.ingest import Accepted, accept, note_refusal
from farm_sensors.keys import DeviceKey
from farm_sensors.models import Message, Refusal, StoredReading
from farm_sensors.packs import Reading, open_pack, pack_bytes

START = datetime(2026, 4, 17, 21, 0, tzinfo=UTC)
SOON = START + timedelta(seconds=5)


def counts(db) -> tuple[int, int]:
    with db.read() as session:
        messages = session.exec(select(func.count()).select_from(Message)).one()
        readings = session.exec(select(func.count()).select_from(StoredReading)).one()
    return messages, readings


def test_a_pack_is_kept_byte_for_byte_and_decoded(db, make_device):
    device = make_device(at=START)
    body = device.pack([("air-temperature", START, 22.5), ("rain", START, 0.2)])
    assert device.send(body, now=SOON) == Accepted(2, duplicate=False)
    with db.read() as session:
        message = session.exec(select(Message)).one()
        readings = session.exec(select(StoredReading)).all()
    assert message.body == body
    assert message.signature == device.sign(body)
    assert message.sequence == 1
    assert {(r.quantity, r.at, r.value) for r in readings} == {
        ("air-temperature", START, 22.5),
        ("rain", START, 0.2),
    }


def test_the_same_bytes_again_are_acknowledged_and_not_stored_twice(db, make_device):
    device = make_device(at=START)
    body = device.pack([("rain", START, 0.2)])
    device.send(body, now=SOON)
    assert device.send(body, now=SOON + timedelta(days=3)) == Accepted(1, duplicate=True)
    assert counts(db) == (1, 1)


def test_a_signature_over_other_bytes_is_refused(db, make_device):
    device = make_device(at=START)
    body = device.pack([("rain", START, 0.2)])
    with pytest.raises(BadSignatureError):
        device.send(body.replace(b"0.2", b"9.2"), now=SOON, signature=device.sign(body))
    assert counts(db) == (0, 0)


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(63), bytes(65), b"\xff" * 64])
def test_what_is_no_signature_is_refused_as_a_bad_one(make_device, signature):
    device = make_device(at=START)
    with pytest.raises(BadSignatureError):
        device.send(device.pack([("rain", START, 0.2)]), now=SOON, signature=signature)


def test_another_device_s_key_is_refused(db, make_device):
    device, other = make_device(at=START), make_device("W02", at=START)
    body = device.pack([("rain", START, 0.2)])
    with pytest.raises(BadSignatureError):
        device.send(body, now=SOON, signature=other.sign(body))


def test_a_pack_that_speaks_of_another_device_is_refused(make_device):
    device, other = make_device(at=START), make_device("W02", at=START)
    with pytest.raises(UnknownQuantityError):
        device.send(other.pack([("rain", START, 0.2)]), now=SOON)


def test_an_unknown_device_is_refused(db):
    with db.write() as session, pytest.raises(UnknownDeviceError):
        accept(session, device_id="https://id.gs1.org/8004/1", body=b"[]", signature=bytes(64), now=SOON)


def test_another_pack_under_the_same_number_is_kept_and_marked(db, make_device):
    device = make_device(at=START)
    device.send(device.pack([("rain", START, 0.2)], sequence=7), now=SOON)
    later = START + timedelta(minutes=10)
    again = device.send(device.pack([("rain", later, 0.4)], sequence=7), now=later)
    assert again == Accepted(1, duplicate=False, conflict="sequence")
    with db.read() as session:
        readings = session.exec(select(StoredReading).order_by(StoredReading.id)).all()
    assert [(r.value, r.suspect) for r in readings] == [(0.2, None), (0.4, "conflict")]


def test_another_value_for_the_same_moment_is_kept_and_the_first_one_stands(db, make_device):
    device = make_device(at=START)
    device.send(device.pack([("rain", START, 0.2), ("air-temperature", START, 20.0)]), now=SOON)
    again = device.send(device.pack([("rain", START, 5.0), ("air-temperature", START, 20.0)]), now=SOON)
    assert again.conflict == "value"
    with db.read() as session:
        readings = session.exec(select(StoredReading).order_by(StoredReading.id)).all()
    assert [(r.quantity, r.value, r.suspect) for r in readings] == [
        ("air-temperature", 20.0, None),
        ("rain", 0.2, None),
        ("air-temperature", 20.0, "repeat"),
        ("rain", 5.0, "conflict"),
    ]


def test_one_reading_from_the_future_refuses_the_whole_pack(db, make_device):
    device = make_device(at=START)
    ahead = SOON + timedelta(minutes=5, seconds=1)
    with pytest.raises(ReadingFromFutureError, match=r"\$\[2\].*future"):
        device.send(device.pack([("rain", START, 0.2), ("rain", ahead, 0.2)]), now=SOON)
    assert counts(db) == (0, 0)


def test_a_clock_five_minutes_ahead_is_borne_with(make_device):
    device = make_device(at=START)
    device.send(device.pack([("rain", SOON + timedelta(minutes=5), 0.2)]), now=SOON)


def test_a_late_reading_is_kept_and_marked(db, make_device):
    device = make_device(at=START)
    taken = device.send(
        device.pack([("rain", START, 0.2), ("rain", START + timedelta(hours=2), 0.0)]), now=START + timedelta(hours=2)
    )
    assert taken.late == 1
    with db.read() as session:
        assert [r.is_late for r in session.exec(select(StoredReading).order_by(StoredReading.at))] == [True, False]


def edited(device, **change):
    records = json.loads(device.pack([("air-temperature", START, 20.0)]))
    records[1] |= change
    return senml.encode([{k: v for k, v in record.items() if v is not None} for record in records])


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"u": "degF"}, WrongUnitError, r"\$\[1\]: air-temperature came in 'degF'; expected Cel or K"),
        ({"u": None}, WrongUnitError, "no unit"),
        ({"u": "%RH"}, WrongUnitError, "expected Cel or K"),
        ({"n": "air-humidity-2"}, UnknownQuantityError, "air-humidity-2"),
        ({"n": "pulp-temperature"}, UnknownQuantityError, "not among this device's quantities"),
        ({"n": "fruit-image"}, UnknownQuantityError, "fruit-image"),
        ({"v": None, "vs": "20"}, MalformedPackError, "is a number"),
        ({"v": None, "vb": True}, MalformedPackError, "is a number"),
        ({"v": None, "s": 3}, MalformedPackError, "is a number"),
        ({"bt": 1e300}, ReadingFromFutureError, "future"),
        ({"bt": 300_000_000}, MalformedPackError, "before the year 2000"),
    ],
)
def test_a_pack_with_one_wrong_record_is_refused_by_name(db, make_device, change, error, says):
    device = make_device(at=START)
    body = edited(device, **change)
    with pytest.raises(error, match=says):
        device.send(body, now=SOON)
    assert counts(db) == (0, 0)


def test_a_unit_that_converts_exactly_is_taken(db, make_device):
    device = make_device(at=START)
    device.send(edited(device, u="K", v=293.15), now=SOON)
    with db.read() as session:
        assert session.exec(select(StoredReading.value)).one() == 20.0


def test_too_many_bytes_are_refused_before_anything_is_looked_up(db):
    with db.write() as session, pytest.raises(PackTooLargeError, match="70000 bytes"):
        accept(session, device_id="https://id.gs1.org/8004/1", body=bytes(70_000), signature=bytes(64), now=SOON)


def test_too_many_records_are_refused(make_device):
    device = make_device(at=START)
    body = senml.encode([{"n": "rain", "v": 0}] * 2001)
    with pytest.raises(PackTooLargeError, match="2001 records"):
        device.send(body, now=SOON)


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([{"n": "rain", "u": "mm", "v": 0}], "needs absolute times or a 'sequence'"),
        ([{"n": "sequence", "v": 1}], "holds no reading"),
        ([{"n": "sequence", "v": 1}, {"n": "sequence", "v": 2}], "a second time"),
        ([{"n": "sequence", "v": 1.5}], "whole number"),
        ([{"n": "sequence", "v": -1}], "between 0"),
        ([{"n": "sequence", "vs": "1"}], "whole number"),
        ([{"n": "rain", "u": "mm", "v": 0, "bt": 1776459600}] * 2, "a second time"),
    ],
)
def test_a_pack_that_cannot_be_told_from_a_copy_or_says_nothing_is_refused(make_device, records, says):
    device = make_device(at=START)
    with pytest.raises(MalformedPackError, match=says):
        device.send(senml.encode(records), now=SOON)


def test_times_relative_to_now_count_back_from_receipt(db, make_device):
    device = make_device(at=START)
    body = senml.encode([{"n": "sequence", "v": 1}, {"n": "rain", "u": "mm", "v": 0.2, "t": -60}])
    device.send(body, now=START)
    with db.read() as session:
        assert session.exec(select(StoredReading.at)).one() == START - timedelta(minutes=1)


@given(
    st.lists(
        st.tuples(st.integers(0, 3_000_000), st.floats(-30, 45, allow_nan=False)),
        min_size=1,
        max_size=20,
        unique_by=lambda pair: pair[0],
    )
)
def test_what_a_gateway_packs_is_what_the_ingest_opens(pairs):
    device = "https://id.gs1.org/8004/9521002W01"
    readings = [Reading("air-temperature", START + timedelta(milliseconds=ms), value) for ms, value in pairs]
    pack = open_pack(
        pack_bytes(device, 5, readings), device_id=device, quantities=["air-temperature"], now=START + timedelta(days=1)
    )
    assert pack.sequence == 5
    assert list(pack.readings) == sorted(readings, key=lambda reading: reading.at)


@given(st.binary(max_size=200))
def test_signed_rubbish_is_a_typed_refusal(body):
    with contextlib.suppress(SensorError):
        open_pack(body, device_id="d", quantities=["rain"], now=START)


def test_a_refusal_is_remembered_once_and_keeps_bytes_only_of_signed_packs(db):
    key = DeviceKey(bytes(32))
    with db.write() as session:
        for _ in range(3):
            note_refusal(session, device_id="d", body=b"junk", error=BadSignatureError("d"), now=SOON)
        wrong = MalformedPackError("$[0].a\x00\ud800", "must be understood")
        note_refusal(session, device_id="d", body=key.sign(b"x"), error=wrong, now=SOON)
    with db.read() as session:
        first, second = session.exec(select(Refusal).order_by(Refusal.id)).all()
    assert (first.times, first.body, second.body) == (3, None, key.sign(b"x"))
    assert "\x00" not in second.detail
