# ruff: noqa: RUF001  # Chinese has its own comma
"""Lane commands over MQTT, for gates without a PLC, and what sensors publish. Topics are in grading/README.md.

Every connection is a session of its own, and its number stands in each message: who follows us forgets the
commands of any other session, and everything when our state is `offline` or our heartbeat stops. So nothing that a
broker kept, or delivers late or twice, can move a gate for another fruit.
"""

import contextlib
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from grading.errors import WiringError
from grading.line.lanes import REJECT, LaneCommand, Lanes
from grading.line.queued import IN_EMERGENCY, LATE, QueuedOutputs
from grading.line.wires import LostCommand, State, Trouble, WireState
from grading.standard import Text
from ledger.kernel.clock import Clock, format_time

TOPIC: Final = "guoyuan/line"
HEARTBEAT_S: Final = 0.5
FOLLOW_S: Final = 1.5
"""How long a follower waits for a heartbeat before it rejects everything."""
RETRY_S: Final = 0.2
MAX_RETRY_S: Final = 5.0
CONNECT_S: Final = 5.0
CONFIRM_S: Final = 1.0
"""How long after its gate a command may still be confirmed, in seconds of the belt's nominal speed."""
POLL_S: Final = 0.05
REMEMBERED: Final = 256
"""Commands kept after their gate, for followers that say late that they missed one."""

_log = logging.getLogger(__name__)
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


class CommandMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{line}/command`, QoS 1: one fruit to one lane. A later one for the same run and fruit replaces it."""

    v: Literal[1]
    session: int
    sequence: int
    run: str
    fruit: int
    tier: str
    tier_code: int
    lane: int
    row: int
    belt_um: int | None
    at: str
    doubtful: bool


class StateMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{line}/state`, QoS 1, retained, and the last will: whom to follow."""

    v: Literal[1]
    state: Literal["online", "offline"]
    session: int


class HeartbeatMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{line}/heartbeat`, QoS 0: we are alive, it is this time, and the belt is there."""

    v: Literal[1]
    session: int
    count: int
    at: str
    belt_um: int | None


class EmergencyMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{line}/emergency`, QoS 1, retained: everything to reject while `active`. The number rises with each change."""

    v: Literal[1]
    active: bool
    number: int
    reason: str


class MissedMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{line}/missed`, QoS 1, from whoever follows: a command it could not obey. Its fruit went to reject."""

    v: Literal[1]
    session: int
    run: str
    fruit: int
    why: Literal["late", "no_lane", "no_row"]


def schemas() -> dict[str, Any]:
    """Return the JSON Schema of each topic's messages, by the topic's last word."""
    kinds = {
        "command": CommandMessage,
        "state": StateMessage,
        "heartbeat": HeartbeatMessage,
        "emergency": EmergencyMessage,
        "missed": MissedMessage,
    }
    return {word: msgspec.json.schema(kind) for word, kind in kinds.items()}


@dataclass(slots=True)
class _Entry:
    command: LaneCommand
    message: paho.MQTTMessageInfo | None = None
    is_published: bool = False
    is_taken: bool = False


class MqttOutputs(QueuedOutputs):
    """A broker between us and the gates. One thread keeps the session; whoever sends never waits."""

    def __init__(
        self,
        url: str,
        line: str,
        lanes: Lanes,
        clock: Clock,
        *,
        where: Callable[[], int | None] = lambda: None,
        by_position: bool = True,
    ) -> None:
        super().__init__(
            "mqtt-outputs",
            lanes,
            clock,
            where=where,
            by_position=by_position,
            away=NO_BROKER,
            patience_s=CONNECT_S * 2,
        )
        self._url, self._topic, self._detail = url, f"{TOPIC}/{line}", without_password(url)
        self._entries: list[_Entry] = []
        self._gone: deque[LaneCommand] = deque(maxlen=REMEMBERED)
        self._session = self._sequence = self._beats = 0
        self._told_number = -1
        self._retained: EmergencyMessage | None = None
        self._is_connected = self._is_subscribed = self._is_over = self._is_forgetting = False
        self._state = State.LOST

    # --- what others call ---------------------------------------------------------------------------

    def forget(self, reason: str) -> None:
        """Take everything back by beginning a new session, which here is a new connection."""
        with self._wake:
            self._is_forgetting = True
            super().forget(reason)

    @property
    def state(self) -> tuple[WireState, ...]:
        """Ready while the broker is there and was told the session."""
        with self._wake:
            trouble = IN_EMERGENCY if self._emergency_reason is not None else None
            return (WireState("mqtt", self._state, self._detail, trouble if self._state is State.READY else NO_BROKER),)

    @property
    def waiting(self) -> int:
        """How many commands the broker has not confirmed."""
        with self._wake:
            return sum(not entry.is_taken for entry in self._entries)

    # --- the thread ---------------------------------------------------------------------------------

    def _work(self) -> None:
        delay_s = RETRY_S
        while not self._closing():
            try:
                # A client of its own for every session: paho would send again what it had not confirmed in the last.
                if self._one_session():
                    delay_s = RETRY_S
            except (OSError, ValueError, RuntimeError) as error:
                _log.debug("no broker at %s: %s", self._detail, error)
            except Exception:  # noqa: BLE001  # whatever it is, the line must not lose its gates for good
                _log.exception("the broker's thread stumbled; connecting anew")
            with self._wake:
                self._state = State.LOST
                if not self._is_forgetting:
                    self._wake.wait_for(lambda: self._is_closing, timeout=delay_s)
            delay_s = min(delay_s * 2, MAX_RETRY_S)

    def _one_session(self) -> bool:
        """Connect and serve until something breaks; return whether the session was ever told."""
        with self._wake:
            self._is_connected = self._is_subscribed = self._is_over = self._is_forgetting = False
            self._session = random.randrange(1, 1 << 31)
            self._sequence, self._retained, self._told_number = 0, None, -1
        client = self._client()
        host, port = broker_address("mqtt.url", self._url)
        try:
            client.connect(host, port, keepalive=5)
            client.loop_start()
            if not self._until(lambda: self._is_subscribed):
                return False
            # The broker sends what it retained before it confirms what comes after.
            if not self._confirm(client, "state", StateMessage(1, "online", self._session), retain=True):
                return False
            with self._wake:
                self._adopt()
                self._begin()
            self._serve(client)
            return True
        finally:
            with self._wake:
                is_connected, session = self._is_connected, self._session
            # Where it went away in this very moment, the last will says the same.
            with contextlib.suppress(ValueError, RuntimeError):
                if is_connected:
                    self._confirm(client, "state", StateMessage(1, "offline", session), retain=True)
            leave(client)

    def _serve(self, client: paho.Client) -> None:
        beaten_s = float("-inf")
        while True:
            with self._wake:
                if self._is_closing or self._is_forgetting or not self._is_connected:
                    return
                self._state = State.READY
                self._settle()
                number, reason = self._emergency_number, self._emergency_reason
                is_news = number != self._told_number
                due = [] if reason is not None else [entry for entry in self._entries if not entry.is_published]
            if is_news:
                message = EmergencyMessage(1, active=reason is not None, number=number, reason=reason or "")
                if not self._confirm(client, "emergency", message, retain=True):
                    return
                with self._wake:
                    self._told_number = number
            if time.monotonic() - beaten_s >= HEARTBEAT_S:
                beaten_s = time.monotonic()
                self._beats += 1
                at, belt_um = format_time(self._clock.now()), self._where() if self._by_position else None
                beat = HeartbeatMessage(1, self._session, self._beats, at, belt_um)
                self._publish(client, "heartbeat", beat, qos=0)
            for entry in due:
                self._send(client, entry)
            with self._wake:
                if (
                    not any(not entry.is_published for entry in self._entries)
                    and self._told_number == self._emergency_number
                ):
                    self._wake.wait(timeout=POLL_S)

    def _send(self, client: paho.Client, entry: _Entry) -> None:
        """Publish one command, unless it came too late or was dropped meanwhile."""
        with self._wake:
            if entry not in self._entries:
                return
            command = entry.command
            if self._lanes.in_time(command, belt_um=self._where(), now=self._clock.now()) is not command:
                self._entries.remove(entry)
                self._lost.append(LostCommand(command, LATE))
                return
            self._sequence += 1
            entry.is_published = True
            message = CommandMessage(
                v=1,
                session=self._session,
                sequence=self._sequence,
                run=command.run,
                fruit=command.fruit,
                tier=command.tier,
                tier_code=self._lanes.tier_code(command.tier),
                lane=command.lane,
                row=command.row,
                belt_um=command.belt_um if self._by_position else None,
                at=format_time(command.at),
                doubtful=command.is_doubtful,
            )
        sent = self._publish(client, "command", message, qos=1)
        with self._wake:
            entry.message = sent

    def _publish(
        self, client: paho.Client, word: str, message: msgspec.Struct, *, qos: int, retain: bool = False
    ) -> paho.MQTTMessageInfo:
        return client.publish(f"{self._topic}/{word}", msgspec.json.encode(message), qos=qos, retain=retain)

    def _confirm(self, client: paho.Client, word: str, message: msgspec.Struct, *, retain: bool) -> bool:
        """Publish and wait until the broker has it; return whether it has."""
        sent = self._publish(client, word, message, qos=1, retain=retain)
        ends_s = time.monotonic() + CONNECT_S
        while not sent.is_published() and time.monotonic() < ends_s and not self._is_over:
            sent.wait_for_publish(0.1)
        return sent.is_published()

    def _until(self, is_so: Callable[[], bool]) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: is_so() or self._is_over, timeout=CONNECT_S)
            return is_so()

    # --- the broker's answers, on paho's thread ------------------------------------------------------

    def _client(self) -> paho.Client:
        client = new_client(self._url, f"guoyuan-line-{self._session:08x}")
        will = msgspec.json.encode(StateMessage(1, "offline", self._session))
        client.will_set(f"{self._topic}/state", will, qos=1, retain=True)
        session = self._session

        def on_connect(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            with self._wake:
                if session == self._session and not reason.is_failure:
                    self._is_connected = True
            client.subscribe([(f"{self._topic}/emergency", 1), (f"{self._topic}/missed", 1)])

        def on_subscribe(*_: Any) -> None:
            with self._wake:
                self._is_subscribed = self._is_connected
                self._wake.notify_all()

        def on_disconnect(*_: Any) -> None:
            with self._wake:
                if session == self._session:
                    self._is_connected, self._is_over = False, True
                    self._wake.notify_all()

        def on_message(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
            try:
                if message.topic.endswith("/missed"):
                    self._missed(msgspec.json.decode(message.payload, type=MissedMessage))
                    return
                found = msgspec.json.decode(message.payload, type=EmergencyMessage)
            except (msgspec.DecodeError, ValueError):
                _log.warning("unreadable: %s", message.topic)
                return
            with self._wake:
                self._retained = found
                if self._told_number >= 0:
                    self._adopt()

        client.on_connect, client.on_subscribe, client.on_disconnect = on_connect, on_subscribe, on_disconnect
        client.on_message = on_message
        return client

    def _missed(self, message: MissedMessage) -> None:
        """Lose what a follower could not obey, if it is of this session."""
        with self._wake:
            if message.session != self._session:
                return
            for command in (*(entry.command for entry in self._entries), *self._gone):
                if (command.run, command.fruit) == (message.run, message.fruit):
                    self._lost.append(LostCommand(command, MISSED[message.why]))
                    break
            # Once: the same message again says nothing new.
            self._gone = deque(
                (each for each in self._gone if (each.run, each.fruit) != (message.run, message.fruit)), REMEMBERED
            )
            self._entries = [
                e for e in self._entries if (e.command.run, e.command.fruit) != (message.run, message.fruit)
            ]

    # --- under the lock -----------------------------------------------------------------------------

    def _adopt(self) -> None:
        """Take over an emergency that outlived us, or that somebody else declared."""
        found = self._retained
        if found is None or found.number <= self._emergency_number:
            return
        self._emergency_number = found.number
        if found.active and self._emergency_reason is None:
            self._emergency_reason = found.reason or "mqtt"
            self._drop(IN_EMERGENCY)
        elif not found.active and self._emergency_reason is not None:
            # Ours is newer than what anybody cleared before: say it again with a number of its own.
            self._emergency_number += 1

    def _begin(self) -> None:
        """Command again what still lies before its gate; what passed while nobody listened is unsure."""
        belt_um, now = self._where(), self._clock.now()
        again: list[_Entry] = []
        for entry in self._entries:
            command = entry.command
            if self._lanes.in_time(command, belt_um=belt_um, now=now) is command:
                again.append(_Entry(command))
            elif command.lane != REJECT:
                self._lost.append(LostCommand(command, UNSURE if entry.is_published else LATE))
        self._entries = again

    def _settle(self) -> None:
        """Let go of what has passed its gate; of what the broker never confirmed nobody knows where it lies."""
        belt_um, now = self._where(), self._clock.now()
        kept: list[_Entry] = []
        for entry in self._entries:
            entry.is_taken = entry.is_taken or (entry.message is not None and entry.message.is_published())
            left_um = self._lanes.left_um(entry.command, belt_um=belt_um, now=now)
            if entry.is_taken and left_um < 0:
                self._gone.append(entry.command)
            elif entry.is_published and left_um < -int(self._lanes.speed_um_s * CONFIRM_S):
                if entry.command.lane != REJECT:
                    self._lost.append(LostCommand(entry.command, UNSURE))
            else:
                kept.append(entry)
        self._entries = kept

    def _enqueue(self, command: LaneCommand) -> None:
        key = (command.run, command.fruit)
        self._entries = [e for e in self._entries if (e.command.run, e.command.fruit) != key]
        self._entries.append(_Entry(command))

    def _drop(self, why: Trouble) -> None:
        self._lost += [LostCommand(entry.command, why) for entry in self._entries if entry.command.lane != REJECT]
        self._entries = []


class Listener:
    """One topic of a broker, followed for good."""

    def __init__(
        self, url: str, topic: str, *, on_payload: Callable[[bytes], None], on_failure: Callable[[str], None]
    ) -> None:
        self._client = new_client(url, f"guoyuan-line-{random.randrange(1 << 32):08x}")
        host, port = broker_address("url", url)

        def on_connect(client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            if reason.is_failure:
                on_failure(f"{without_password(url)}: {reason}")
            else:
                client.subscribe(topic, qos=1)

        def on_disconnect(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            on_failure(f"{without_password(url)}: {reason}")

        def on_message(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
            # What was retained is from before, and says nothing about now.
            if not message.retain:
                on_payload(bytes(message.payload))

        self._client.on_connect, self._client.on_disconnect = on_connect, on_disconnect
        self._client.on_message = on_message
        self._client.connect_async(host, port, keepalive=10)
        self._client.loop_start()

    def close(self) -> None:
        """Leave the broker."""
        leave(self._client)


def probe(url: str, *, timeout_s: float = CONNECT_S) -> WireState:
    """Return whether a broker lets us in, publishing nothing: safe while a line runs."""
    host, port = broker_address("mqtt.url", url)
    client = new_client(url, f"guoyuan-check-{random.randrange(1 << 32):08x}")
    answered, answers = threading.Event(), list[Any]()

    def on_connect(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        answers.append(reason)
        answered.set()

    client.on_connect = on_connect
    try:
        client.connect(host, port)
        client.loop_start()
        answered.wait(timeout_s)
    except OSError as error:
        return WireState("mqtt", State.LOST, f"{without_password(url)}: {error}", NO_BROKER)
    finally:
        leave(client)
    if not answers or answers[0].is_failure:
        why = answers[0] if answers else "no answer"
        return WireState("mqtt", State.LOST, f"{without_password(url)}: {why}", NO_BROKER)
    return WireState("mqtt", State.READY, without_password(url))


def leave(client: paho.Client) -> None:
    """Say goodbye and let go of everything: by itself paho keeps a pair of sockets until it is collected."""
    client.disconnect()
    client.loop_stop()
    client.reinitialise()


def new_client(url: str, client_id: str) -> paho.Client:
    """Return a client that is not connected yet, with the name, password and TLS that the address asks for."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True)
    client.reconnect_delay_set(min_delay=1, max_delay=10)
    parts = urlsplit(url)
    if parts.username:
        client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
    if parts.scheme == "mqtts":
        client.tls_set()
    return client


def broker_address(key: str, url: str) -> tuple[str, int]:
    """Return host and port of `mqtt://host` or `mqtts://host`. Raises WiringError, naming the key."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise WiringError(key, f"is no address: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise WiringError(key, f"is {without_password(url)!r}; a broker reads mqtt://host:1883 or mqtts://host:8883")
    return parts.hostname, port or _PORTS[parts.scheme]


def without_password(url: str) -> str:
    """Return an address as it may be shown."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://{tail}" if at else url


NO_BROKER: Final = Trouble(
    "output_lost", Text("与 MQTT 服务器断开，果送到剔除道", "no MQTT broker; fruit go to reject")
)
MISSED: Final = {
    "late": Trouble(
        "gate_too_late", Text("命令到闸门时果已过去", "the fruit had passed its gate when the command came")
    ),
    "no_lane": Trouble("gate_no_lane", Text("没有这条道的闸门", "there is no gate for this lane")),
    "no_row": Trouble("gate_no_row", Text("没有这一列的闸门", "there is no gate for this row")),
}
UNSURE: Final = Trouble(
    "unsure",
    Text("过闸门时连接断开，不知落在本道还是剔除道", "it passed its gate while nobody listened: its lane, or reject"),
)
