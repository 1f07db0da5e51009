"""The same commands over a real Mosquitto, to gates that follow the topics: cut, killed, repeated, cleared."""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema_rs
import msgspec
import paho.mqtt.client as paho
import pytest

from api.deploy.services import free_port
from grading.errors import WiringError
from grading.line.broker import Listener, MqttOutputs, broker_address, schemas, without_password
from grading.line.lanes import REJECT, LaneCommand, Lanes, lanes_for
from grading.line.wires import State
from grading.standard import load_tariff
from tests.simulators.gates import Gates
from tests.simulators.mosquitto import Mosquitto
from tests.simulators.plc import Belt, Fruit
from tests.waiting import until

START = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
TIERS = ["A", "B", "C", "cull"]
GATES = {1: 600_000, 2: 900_000, 3: 1_200_000, 4: 1_500_000}
SPEED = 2_400_000


def lanes() -> Lanes:
    return lanes_for(
        load_tariff(),
        {"A": 1, "B": 2, "C": 3, "cull": 0},
        GATES,
        doubtful=4,
        speed_um_s=SPEED,
        lead_um=40_000,
        spacing_um=30_000,
    )


@pytest.fixture
def mosquitto(tmp_path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path)
    made.start()
    yield made
    made.kill()


class Line:
    def __init__(self, broker: Mosquitto, **gates) -> None:
        self.broker = broker
        self.belt = Belt(dict(GATES))
        self.begun_um = self.belt.read_um
        self.gates = Gates(self.belt, broker.port, "guoyuan/line/L-1", **{"follow_s": 30} | gates)
        self.commands: dict[int, LaneCommand] = {}
        self.lost: dict[int, str] = {}
        self.outputs = MqttOutputs(broker.url, "L-1", lanes(), self, where=lambda: self.belt.read_um)
        self.outputs.start()
        until(self.ready)

    def now(self) -> datetime:
        return START + timedelta(microseconds=(self.belt.read_um - self.begun_um) * 1_000_000 // SPEED)

    def ready(self) -> bool:
        return self.outputs.state[0].state is State.READY and self.gates.session == self.outputs._session != 0

    def fruit(self, number: int, *, tier: str | None = None, is_doubtful: bool = False) -> None:
        tier = tier or TIERS[number * 7 % 4]
        self.belt.fruit.append(Fruit(number, tier, self.belt.read_um))
        command = lanes().command(
            "run", number, tier, is_doubtful=is_doubtful, seen_at=self.now(), seen_um=self.belt.read_um
        )
        self.commands[number] = command
        self.outputs.send(command)

    def taken(self, number: int) -> None:
        until(lambda: number in self.gates.taken)

    def run_out(self) -> None:
        for _ in range(30):
            self.gates.run(80_000)
        self.note()

    def note(self) -> None:
        self.lost |= {each.command.fruit: each.why.kind for each in self.outputs.lost()}

    def check(self) -> list[int]:
        rejected = []
        for fruit in self.belt.fruit:
            command = self.commands[fruit.number]
            assert fruit.landed in {command.lane, REJECT}, f"{fruit} was commanded to {command.lane}"
            if fruit.landed != command.lane:
                assert fruit.number in self.lost, f"{fruit} was rejected, and nobody says why"
                rejected.append(fruit.number)
        assert self.belt.stray == 0
        return rejected

    def close(self) -> None:
        self.outputs.close()
        self.gates.close()


@pytest.fixture
def line(mosquitto) -> Iterator[Line]:
    made = Line(mosquitto)
    yield made
    made.close()


def test_sixty_fruit_each_land_in_their_lane_and_what_is_published_fits_its_schema(line) -> None:
    for number in range(1, 61):
        line.fruit(number, is_doubtful=number % 10 == 0)
        line.taken(number)
        line.gates.run(80_000)
    line.run_out()
    assert line.check() == []
    assert line.gates.taken == list(range(1, 61))
    assert line.lost == {}
    line.outputs.emergency("stop")
    until(lambda: line.gates.emergency)
    validators = {word: jsonschema_rs.validator_for(schema) for word, schema in schemas().items()}
    assert {word for word, _ in line.gates.messages} == set(validators) - {"missed"}
    for word, payload in line.gates.messages:
        validators[word].validate(json.loads(payload))


def test_a_broker_that_dies_and_comes_back_delivers_nothing_to_a_wrong_fruit(line) -> None:
    for number in range(1, 61):
        line.fruit(number)
        if number == 20:
            line.broker.kill()
        if number == 40:
            line.broker.start()
            until(line.ready)
        if number < 18 or number > 45:
            line.taken(number)
        line.gates.run(80_000)
    line.run_out()
    rejected = line.check()
    assert rejected
    assert [number for number in rejected if number > 45] == []


def test_a_command_that_reaches_the_gate_too_late_is_reported_by_it(line) -> None:
    line.fruit(1, tier="A")
    with line.gates.lock:
        until(lambda: line.outputs._entries and line.outputs._entries[0].is_published)
        line.gates.run(1_000_000)
    line.taken(1)
    until(lambda: line.note() or 1 in line.lost)
    assert line.lost == {1: "gate_too_late"}
    line.run_out()
    missed = {"v": 1, "session": line.gates.session, "run": "run", "fruit": 1, "why": "late"}
    line.gates._client.publish("guoyuan/line/L-1/missed", json.dumps(missed), qos=1).wait_for_publish(10)
    line.fruit(2, tier="A")
    line.taken(2)
    assert line.outputs.lost() == []
    line.commands.pop(2)
    line.belt.fruit.pop()
    assert line.check() == [1]


def test_what_was_published_is_not_published_again_by_the_client_library(line) -> None:
    """paho would repeat what the broker had not confirmed, in the next connection, whenever that comes."""
    line.fruit(1, tier="A")
    line.taken(1)
    line.broker.kill()
    until(lambda: line.outputs.state[0].state is State.LOST)
    line.fruit(2, tier="A")
    line.gates.run(2_000_000)
    line.broker.start()
    until(line.ready)
    line.fruit(3, tier="A")
    line.taken(3)
    assert 2 not in line.gates.taken
    line.run_out()
    assert line.lost[2] == "too_late"


def test_the_control_gates_that_mind_no_session_follow_a_message_that_comes_late(mosquitto) -> None:
    landed = {}
    for minds_sessions in (True, False):
        line = Line(mosquitto, minds_sessions=minds_sessions)
        line.fruit(1, tier="A")
        line.taken(1)
        late = next(payload for word, payload in line.gates.messages if word == "command")
        line.outputs.forget("encoder_jumped")
        session = line.gates.session
        until(lambda gates=line.gates, session=session: gates.session not in {0, session})
        line.gates.repeat(late)
        line.run_out()
        landed[minds_sessions] = line.belt.fruit[0].landed
        line.note()
        assert line.lost == {1: "encoder_jumped"}
        line.close()
    assert landed == {True: REJECT, False: 1}


def test_a_program_that_dies_leaves_offline_behind_and_the_gates_reject(mosquitto) -> None:
    line = Line(mosquitto)
    try:
        line.fruit(1, tier="A")
        line.taken(1)
        line.outputs.close()
        until(lambda: line.gates.session == 0)
        line.run_out()
        assert line.belt.fruit[0].landed == REJECT
        assert line.lost == {1: "output_lost"}
        heard: list[bytes] = []
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.on_message = lambda _c, _d, message: heard.append(message.payload)
        client.connect("127.0.0.1", mosquitto.port)
        client.subscribe("guoyuan/line/L-1/state", qos=1)
        client.loop_start()
        until(lambda: heard)
        client.disconnect()
        client.loop_stop()
        client.reinitialise()
        assert json.loads(heard[0])["state"] == "offline"
    finally:
        line.close()


def test_a_heartbeat_that_stops_rejects(mosquitto) -> None:
    line = Line(mosquitto, follow_s=1.0)
    try:
        until(lambda: line.gates.beats >= 2)
        line.fruit(1, tier="B")
        line.taken(1)
        line.broker.kill()
        time.sleep(1.2)
        line.run_out()
        assert line.belt.fruit[0].landed == REJECT
    finally:
        line.close()


def test_an_emergency_outlives_the_broker_and_is_found_by_whoever_comes_next(line) -> None:
    line.fruit(1, tier="A")
    line.taken(1)
    line.outputs.emergency("a hand on the belt")
    until(lambda: line.gates.emergency)
    line.fruit(2, tier="A")
    line.broker.kill()
    line.broker.start()
    until(line.ready)
    until(lambda: line.gates.emergency and line.gates.messages[-1])
    second = MqttOutputs(line.broker.url, "L-1", lanes(), line)
    second.start()
    try:
        until(lambda: second.emergency_reason == "a hand on the belt")
    finally:
        second.close()
    line.run_out()
    assert [fruit.landed for fruit in line.belt.fruit] == [REJECT, REJECT]
    assert line.lost == {1: "emergency", 2: "emergency"}
    line.outputs.clear()
    until(lambda: not line.gates.emergency)


def test_somebody_elses_clear_does_not_end_our_emergency(line) -> None:
    line.outputs.emergency("stop")
    until(lambda: line.gates.emergency)
    number = json.loads(next(p for w, p in reversed(line.gates.messages) if w == "emergency"))["number"]
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", line.broker.port)
    client.loop_start()
    said = msgspec.json.encode({"v": 1, "active": False, "number": number + 1, "reason": ""})
    client.publish("guoyuan/line/L-1/emergency", said, qos=1, retain=True).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()
    client.reinitialise()

    def told() -> list[int]:
        return [json.loads(payload)["number"] for word, payload in line.gates.messages if word == "emergency"]

    until(lambda: told()[-1] == number + 2)
    assert line.gates.emergency
    assert line.outputs.emergency_reason == "stop"


def test_a_listener_hears_what_is_said_now_and_not_what_was_kept(mosquitto) -> None:
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    client.publish("belt/count", b'{"count": 1}', qos=1, retain=True).wait_for_publish(10)
    heard: list[bytes] = []
    listener = Listener(mosquitto.url, "belt/#", on_payload=heard.append, on_failure=lambda _: None)
    try:

        def say() -> bool:
            client.publish("belt/count", b'{"count": 2}', qos=1)
            time.sleep(0.02)
            return bool(heard)

        until(say)
        assert set(heard) == {b'{"count": 2}'}
    finally:
        listener.close()
        client.disconnect()
        client.loop_stop()
        client.reinitialise()


def test_a_command_that_the_broker_never_confirms_is_unsure_once_its_gate_has_passed() -> None:
    """A broker may answer every ping and confirm nothing; what waits for it must not pile up without an end."""
    place = {"um": 0}

    class Still:
        def now(self) -> datetime:
            return START

    outputs = MqttOutputs("mqtt://127.0.0.1:1", "L-1", lanes(), Still(), where=lambda: place["um"])
    command = lanes().command("run", 1, "A", is_doubtful=False, seen_at=START, seen_um=0)
    assert command.belt_um is not None
    outputs.send(command)
    for entry in outputs._entries:
        entry.is_published = True
    for past_um, left in ((0, 1), (SPEED, 1), (SPEED + 1, 0)):
        place["um"] = command.belt_um + past_um
        with outputs._wake:
            outputs._settle()
        assert outputs.waiting == left
    assert [each.why.kind for each in outputs.lost()] == ["unsure"]


@pytest.mark.skipif("GUOYUAN_TEST_MQTT" not in os.environ, reason="GUOYUAN_TEST_MQTT names no broker")
def test_the_outputs_come_up_on_the_services_broker() -> None:
    url = os.environ["GUOYUAN_TEST_MQTT"]
    outputs = MqttOutputs(url, f"T-{free_port()}", lanes(), Line.__new__(Line))
    outputs._clock = type("Clock", (), {"now": staticmethod(lambda: START)})()
    outputs.start()
    until(lambda: outputs.state[0].state is State.READY)
    assert urlsplit(url).hostname in outputs.state[0].detail
    outputs.close()


def test_without_an_encoder_no_position_is_published(mosquitto) -> None:
    line = Line(mosquitto)
    line.outputs.close()
    timed = MqttOutputs(mosquitto.url, "L-1", lanes(), line, where=lambda: line.belt.read_um, by_position=False)
    timed.start()
    try:
        until(lambda: line.gates.session == timed._session != 0)
        with line.gates.lock:
            line.gates.messages.clear()
            line.gates.session = -1
        timed.send(lanes().command("r", 1, "A", is_doubtful=False, seen_at=line.now(), seen_um=line.belt.read_um))
        until(lambda: {"command", "heartbeat"} <= {word for word, _ in line.gates.messages})
        said = [json.loads(payload) for word, payload in line.gates.messages if word in {"command", "heartbeat"}]
        assert {each["belt_um"] for each in said} == {None}
    finally:
        timed.close()
        line.close()


def test_an_address_is_checked_and_its_password_is_not_shown() -> None:
    assert broker_address("mqtt.url", "mqtts://line:secret@farm") == ("farm", 8883)
    assert without_password("mqtts://line:secret@farm") == "mqtts://farm"
    with pytest.raises(WiringError) as refused:
        broker_address("mqtt.url", "http://line:secret@farm")
    assert refused.value.key == "mqtt.url"
    assert "secret" not in str(refused.value)


def test_the_schemas_are_those_that_are_committed() -> None:
    committed = Path(__file__).parents[3] / "grading/line/mqtt.schema.json"
    assert json.loads(committed.read_text()) == schemas()
