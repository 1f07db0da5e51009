import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlmodel import func, select

from api.runtime import Runtime
from farm_sensors import devices
from farm_sensors.keys import DeviceKey
from farm_sensors.models import StoredReading
from ledger.kernel.ids import DeviceId


@pytest.fixture
def key(tmp_path: Path) -> DeviceKey:
    return DeviceKey.create(tmp_path / "W01.key")


@pytest.fixture
def device(rt: Runtime, key: DeviceKey) -> DeviceId:
    """A weather instrument on plot P01, enrolled an hour ago."""
    now = rt.clock.now()
    new = devices.NewDevice(
        reference="W01",
        model="sample-weather-1",
        place=rt.numbering.place(1, "P01"),
        quantities=("air-temperature",),
        public_key=key.public,
        cadence_s=600,
        installed_at=now - timedelta(hours=1),
    )
    with rt.db.write() as session:
        enrolled = devices.enrol(
            session, new, recorder=rt.numbering.party(1), numbering=rt.numbering, now=now, zone="Asia/Shanghai"
        )
        return DeviceId(enrolled.id)


def pack(rt: Runtime, *, sequence: int = 1, unit: str = "Cel", seconds: int = -60) -> bytes:
    base = rt.clock.now().timestamp() + seconds
    return json.dumps(
        [{"n": "sequence", "u": "count", "v": sequence}, {"n": "air-temperature", "u": unit, "v": 27.4, "t": base}]
    ).encode()


def send(client: TestClient, device: str, body: bytes, key: DeviceKey, **headers: str):
    given = {
        "Content-Type": "application/senml+json",
        "Guoyuan-Device": device,
        "Guoyuan-Signature": base64.b64encode(key.sign(body)).decode(),
    }
    return client.post("/api/v1/readings", content=body, headers=given | headers)


def readings(rt: Runtime) -> int:
    with rt.db.read() as session:
        return session.exec(select(func.count()).select_from(StoredReading)).one()


def test_a_signed_pack_is_stored_and_sent_again_it_is_a_duplicate(
    client: TestClient, rt: Runtime, device: DeviceId, key: DeviceKey
) -> None:
    body = pack(rt)
    first, second = send(client, device, body, key), send(client, device, body, key)
    assert first.status_code == second.status_code == 202
    assert first.json() == {"readings": 1, "duplicate": False, "late": 0, "conflict": None}
    assert second.json()["duplicate"] is True
    assert readings(rt) == 1


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"unit": "m"}, 422, "wrong_unit"),
        ({"seconds": 3600}, 422, "reading_from_future"),
        ({"sequence": -1}, 422, "pack_malformed"),
    ],
)
def test_a_pack_that_cannot_be_is_refused_whole_and_named(
    client: TestClient,
    rt: Runtime,
    device: DeviceId,
    key: DeviceKey,
    *,
    change: dict[str, object],
    status: int,
    code: str,
) -> None:
    answer = send(client, device, pack(rt, **change), key)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert readings(rt) == 0


@pytest.mark.parametrize("signature", ["", "AAAA", "not base64!", base64.b64encode(bytes(64)).decode()])
def test_a_forged_or_unsigned_pack_is_refused(
    client: TestClient, rt: Runtime, device: DeviceId, key: DeviceKey, signature: str
) -> None:
    answer = send(client, device, pack(rt), key, **{"Guoyuan-Signature": signature})
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    assert readings(rt) == 0


def test_an_unknown_device_a_missing_header_and_another_type_are_named(
    client: TestClient, rt: Runtime, device: DeviceId, key: DeviceKey
) -> None:
    assert send(client, device + "X", pack(rt), key).json()["code"] == "unknown_device"
    answer = client.post("/api/v1/readings", content=b"[]", headers={"Content-Type": "application/senml+json"})
    assert answer.status_code == 422
    assert {each["path"] for each in answer.json()["errors"]} == {"header.Guoyuan-Device", "header.Guoyuan-Signature"}
    answer = send(client, device, pack(rt), key, **{"Content-Type": "application/cbor"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media")
