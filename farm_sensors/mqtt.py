"""MQTT: packs come in on one topic per device and are acknowledged only after they are committed.

`guoyuan/v1/{device}/senml` carries a pack: 64 bytes of Ed25519 signature, then the body. On
`guoyuan/v1/{device}/receipt` the server answers `{"digest", "outcome", "code"}` after its commit; a
gateway forgets a pack only then, because a broker's own acknowledgement is a promise of the broker
alone. `{device}` is the reference of the device's GIAI. On a broker of your own let a device
write only to its own topic, and only the server write receipts.
"""

import logging
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from sqlmodel import Session

from farm_sensors.errors import SensorError, TransportError
from farm_sensors.gateway import Outcome, Receipt, SignedPack
from farm_sensors.ingest import accept, note_refusal
from farm_sensors.packs import MAX_PACK_BYTES, SIGNATURE_BYTES
from ledger.kernel.clock import Clock
from ledger.kernel.database import Database
from ledger.kernel.ids import CANONICAL_HOST

TOPIC: Final = "guoyuan/v1"
BATCH: Final = 100
QUEUED: Final = 1_000
RETRY_S: Final = 1.0
MAX_RETRY_S: Final = 30.0

_log = logging.getLogger(__name__)
_DEVICE: Final = f"{CANONICAL_HOST}/8004/"


class _ReceiptText(msgspec.Struct, frozen=True, omit_defaults=True):
    digest: str
    outcome: Outcome
    code: str | None = None


def topic_of(device_id: str, kind: str) -> str:
    """Return the topic of a device: `kind` is `senml` or `receipt`."""
    return f"{TOPIC}/{device_id.removeprefix(_DEVICE)}/{kind}"


class Subscriber:
    """Takes packs from a broker into the database. One network thread, one writing thread.

    The session at the broker persists under `client_id`, so packs sent while we are away wait there.
    """

    def __init__(self, db: Database, url: str, clock: Clock, *, client_id: str = "guoyuan-ingest") -> None:
        self._db, self._clock = db, clock
        self._host, self._port = _address(url)
        # Each message with the connection it came on: its number means nothing to the next one.
        self._inbox: queue.Queue[tuple[int, paho.MQTTMessage]] = queue.Queue(maxsize=QUEUED)
        self._connection = 0
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._writer = threading.Thread(target=self._write_all, name="mqtt-writer", daemon=True)
        self._client = _client(client_id, url, clean_session=False)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Begin in the background. A broker that is not there yet is waited for."""
        self._writer.start()
        self._client.connect_async(self._host, self._port, keepalive=30)
        self._client.loop_start()

    def stop(self) -> None:
        """Finish the batch in hand and leave. What was not acknowledged waits at the broker."""
        self._stopping.set()
        self._writer.join(timeout=30)
        _leave(self._client)

    def wait_until_connected(self, timeout_s: float) -> bool:
        """Return whether the subscription stands, waiting for it up to `timeout_s` seconds."""
        return self._connected.wait(timeout_s)

    @property
    def is_connected(self) -> bool:
        """Whether the broker is there and subscribed to."""
        return self._connected.is_set()

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            _log.warning("the MQTT broker refused us: %s", reason)
            return
        self._connection += 1
        client.subscribe(f"{TOPIC}/+/senml", qos=1)

    def _on_subscribe(self, *_: Any) -> None:
        self._connected.set()

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        self._connected.clear()
        if not self._stopping.is_set():
            _log.warning("lost the MQTT broker (%s); trying again", reason)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        # Blocks the network thread when writing falls behind: the broker then holds the rest.
        while not self._stopping.is_set():
            try:
                self._inbox.put((self._connection, message), timeout=0.5)
            except queue.Full:
                continue
            return

    def _write_all(self) -> None:
        delay = RETRY_S
        batch: list[tuple[int, paho.MQTTMessage]] = []
        while not self._stopping.is_set():
            batch = batch or self._next_batch()
            if not batch:
                continue
            try:
                receipts = self._write([message for _, message in batch])
            except Exception:  # noqa: BLE001  # whatever it is, nothing may be acknowledged that is not committed
                _log.exception("could not write %d packs; trying again in %.0f s", len(batch), delay)
                self._stopping.wait(delay)
                delay = min(delay * 2, MAX_RETRY_S)
                continue
            delay = RETRY_S
            for (connection, message), receipt in zip(batch, receipts, strict=True):
                # Only now, after the commit: a crash before this line has the broker send it again.
                if connection == self._connection:
                    self._client.ack(message.mid, message.qos)
                self._client.publish(message.topic.removesuffix("senml") + "receipt", msgspec.json.encode(receipt))
            batch = []

    def _next_batch(self) -> list[tuple[int, paho.MQTTMessage]]:
        try:
            batch = [self._inbox.get(timeout=0.2)]
        except queue.Empty:
            return []
        while len(batch) < BATCH:
            try:
                batch.append(self._inbox.get_nowait())
            except queue.Empty:
                break
        return batch

    def _write(self, batch: Sequence[paho.MQTTMessage]) -> list[_ReceiptText]:
        with self._db.write() as session:
            return [self._take(session, message) for message in batch]

    def _take(self, session: Session, message: paho.MQTTMessage) -> _ReceiptText:
        device_id = _DEVICE + message.topic.split("/")[2]
        payload = bytes(message.payload)
        signature, body = payload[:SIGNATURE_BYTES], payload[SIGNATURE_BYTES:]
        digest = SignedPack(0, body, signature).digest.hex()
        now = self._clock.now()
        try:
            taken = accept(session, device_id=device_id, body=body, signature=signature, now=now)
        except SensorError as error:
            note_refusal(session, device_id=device_id, body=body[: MAX_PACK_BYTES + 1], error=error, now=now)
            return _ReceiptText(digest, Outcome.REFUSED, error.code)
        return _ReceiptText(digest, Outcome.DUPLICATE if taken.duplicate else Outcome.ACCEPTED)


class MqttTransport:
    """A gateway's way over MQTT: publishes at QoS 1 and waits for the server's receipts."""

    def __init__(self, url: str, device_id: str, *, timeout_s: float = 10) -> None:
        self._device_id, self._timeout_s = device_id, timeout_s
        self._host, self._port = _address(url)
        self._receipts: queue.Queue[Receipt] = queue.Queue()
        self._ready = threading.Event()
        self._client = _client(f"gw-{device_id.removeprefix(_DEVICE)}", url, clean_session=True)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_receipt
        self._client.connect_async(self._host, self._port, keepalive=30)
        self._client.loop_start()

    def deliver(self, device_id: str, packs: Sequence[SignedPack]) -> Iterator[Receipt]:
        """Send the packs and yield the server's receipts. Raises TransportError when they stop coming."""
        if device_id != self._device_id:
            raise TransportError(f"this connection is that of {self._device_id}, not of {device_id}")
        if not self._ready.wait(self._timeout_s):
            raise TransportError(f"no MQTT broker at {self._host}:{self._port}")
        for pack in packs:
            self._client.publish(topic_of(device_id, "senml"), pack.signature + pack.body, qos=1)
        missing = {pack.digest for pack in packs}
        while missing:
            try:
                receipt = self._receipts.get(timeout=self._timeout_s)
            except queue.Empty:
                raise TransportError(f"{len(missing)} packs had no receipt within {self._timeout_s:g} s") from None
            if receipt.digest in missing:
                missing.discard(receipt.digest)
                yield receipt

    def close(self) -> None:
        """Leave the broker."""
        _leave(self._client)

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if not reason.is_failure:
            client.subscribe(topic_of(self._device_id, "receipt"), qos=0)

    def _on_subscribe(self, *_: Any) -> None:
        self._ready.set()

    def _on_disconnect(self, *_: Any) -> None:
        self._ready.clear()

    def _on_receipt(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            text = msgspec.json.decode(message.payload, type=_ReceiptText)
            receipt = Receipt(bytes.fromhex(text.digest), text.outcome, text.code)
        except (msgspec.DecodeError, ValueError):
            _log.warning("an unreadable receipt on %s", message.topic)
        else:
            self._receipts.put(receipt)
        if message.qos:
            self._client.ack(message.mid, message.qos)


def _leave(client: paho.Client) -> None:
    client.disconnect()
    client.loop_stop()
    client.reinitialise()  # by itself paho keeps a pair of sockets until it is collected


def _client(client_id: str, url: str, *, clean_session: bool) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean_session, manual_ack=True)
    client.reconnect_delay_set(min_delay=1, max_delay=60)
    parts = urlsplit(url)
    if parts.username:
        client.username_pw_set(parts.username, parts.password)
    if parts.scheme == "mqtts":
        client.tls_set()
    return client


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise TransportError(f"{url!r} is not an mqtt:// or mqtts:// address")
    return parts.hostname, parts.port or _PORTS[parts.scheme]


_PORTS: Final[Mapping[str, int]] = {"mqtt": 1883, "mqtts": 8883}
