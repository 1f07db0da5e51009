"""MQTT: acknowledged after the commit, answered with a receipt, resent until then."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import paho.mqtt.client as paho
import pytest
from sqlmodel import func, select

from api.deploy.services import free_port
from farm_sensors.broker import EmbeddedBroker
from farm_sensors.errors import TransportError
from farm_sensors.gateway import Gateway
from farm_sensors.models import Message, Refusal, StoredReading
from farm_sensors.mqtt import MqttTransport, Subscriber, topic_of
from farm_sensors.packs import Reading
from tests.simulators.mosquitto import Mosquitto
from tests.waiting import until

START = datetime(2026, 4, 17, 21, 0, tzinfo=UTC)


class StillClock:
    def now(self) -> datetime:
        return START + timedelta(hours=1)


def readings(count: int, first: int = 0) -> list[Reading]:
    return [Reading("air-temperature", START + timedelta(seconds=i), 20 + i / 100) for i in range(first, first + count)]


def count(db, table) -> int:
    with db.read() as session:
        return session.exec(select(func.count()).select_from(table)).one()


@pytest.fixture(params=["embedded", "mosquitto"])
def broker(request, tmp_path) -> Iterator[EmbeddedBroker | Mosquitto]:
    made = EmbeddedBroker(free_port()) if request.param == "embedded" else Mosquitto(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def subscriber(db, broker) -> Iterator[Subscriber]:
    running = Subscriber(db, broker.url, StillClock())
    running.start()
    assert running.wait_until_connected(60)
    yield running
    running.stop()


def test_what_a_gateway_sends_is_stored_and_leaves_the_gateway(db, broker, subscriber, make_device, tmp_path):
    device = make_device(at=START)
    transport = MqttTransport(broker.url, device.id)
    with Gateway(tmp_path / "gw.db", device.id, device.key, transport) as gateway:
        gateway.add(readings(700))
        flushed = gateway.flush()
    transport.close()
    assert (flushed.delivered, flushed.left) == (3, 0)
    assert count(db, StoredReading) == 700


def test_a_forged_pack_is_refused_noted_and_blocks_nobody(db, broker, subscriber, make_device, tmp_path):
    device = make_device(at=START)
    body = device.pack([("air-temperature", START, 20.0)])
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", int(broker.url.rsplit(":", 1)[1]))
    client.loop_start()
    client.publish(topic_of(device.id, "senml"), bytes(64) + body, qos=1).wait_for_publish(10)
    client.publish(topic_of("https://id.gs1.org/8004/9521002NOBODY", "senml"), b"short", qos=1).wait_for_publish(10)
    client.publish(topic_of(device.id, "senml"), device.sign(body) + body, qos=1).wait_for_publish(10)
    until(lambda: count(db, Message) == 1)
    client.disconnect()
    client.loop_stop()
    client.reinitialise()
    with db.read() as session:
        refusals = session.exec(select(Refusal).order_by(Refusal.id)).all()
    assert [(one.code, one.body) for one in refusals] == [("bad_signature", None), ("unknown_device", None)]


def test_a_gateway_keeps_its_packs_until_the_server_has_committed(db, broker, make_device, tmp_path):
    """The broker has acknowledged them; that alone must not count."""
    device = make_device(at=START)
    transport = MqttTransport(broker.url, device.id, timeout_s=1)
    with Gateway(tmp_path / "gw.db", device.id, device.key, transport) as gateway:
        gateway.add(readings(10))
        with pytest.raises(TransportError, match="no receipt"):
            gateway.flush()
        assert gateway.waiting() == 1
        running = Subscriber(db, broker.url, StillClock())
        running.start()
        assert running.wait_until_connected(60)
        until(lambda: _flushed(gateway))
        running.stop()
    transport.close()
    assert count(db, StoredReading) == 10


def _flushed(gateway: Gateway) -> bool:
    try:
        return gateway.flush().left == 0
    except TransportError:
        return False


def test_a_database_that_fails_for_a_while_loses_nothing(db, broker, make_device, tmp_path, monkeypatch):
    device = make_device(at=START)
    failures = iter([True, True])
    write = Subscriber._write

    def sometimes(self, batch):
        if next(failures, False):
            raise OSError("disk full")
        return write(self, batch)

    monkeypatch.setattr(Subscriber, "_write", sometimes)
    monkeypatch.setattr("farm_sensors.mqtt.RETRY_S", 0.05)
    running = Subscriber(db, broker.url, StillClock())
    running.start()
    assert running.wait_until_connected(60)
    transport = MqttTransport(broker.url, device.id)
    with Gateway(tmp_path / "gw.db", device.id, device.key, transport) as gateway:
        gateway.add(readings(10))
        assert gateway.flush().left == 0
    transport.close()
    running.stop()
    assert count(db, StoredReading) == 10


def test_a_taken_port_is_a_clear_error():
    first = EmbeddedBroker(free_port())
    first.start()
    try:
        with pytest.raises(TransportError, match="no MQTT broker on port"):
            EmbeddedBroker(int(first.url.rsplit(":", 1)[1])).start()
    finally:
        first.stop()


def test_an_address_that_is_not_mqtt_is_refused(db):
    with pytest.raises(TransportError, match="not an mqtt"):
        Subscriber(db, "http://127.0.0.1:1883", StillClock())
