"""The wiring file, read strictly, and a line opened from it against real machines."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from api.deploy.services import free_port
from grading.errors import WiringError
from grading.line import encoder
from grading.line.encoder import CountedEncoder, TimedEncoder
from grading.line.lanes import NO_PLACE, REJECT, TOO_CLOSE
from grading.line.scales import FedScale
from grading.line.weights import Unweighed, Weight
from grading.line.wires import State, Trouble
from grading.line.wiring import AllOutputs, NoOutputs, Wiring, open_wiring, parse_count, parse_wiring
from grading.standard import load_tariff
from tests.grading.line.test_broker import mosquitto  # noqa: F401  # a fixture
from tests.simulators.mosquitto import Mosquitto
from tests.simulators.plc import Belt, Fruit, ModbusServer, Plc, serve
from tests.simulators.scale import TcpScale
from tests.waiting import until

SAMPLE = Path(__file__).parents[3] / "grading/line/line-sample.toml"
START = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
BASE = """
line = "L-1"
doubtful = 4
[belt]
speed_mm_per_s = 250
lead_mm = 40
spacing_mm = 30
[tiers]
A = 1
B = 2
C = 3
cull = 0
[gates_mm]
1 = 600
2 = 900
3 = 1200
4 = 1500
"""


class Clock:
    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at


def opened(folder: Path, more: str = "", base: str = BASE) -> Wiring:
    path = folder / "line.toml"
    path.write_text(base + more)
    return open_wiring(path, load_tariff(), clock=Clock())


def test_the_sample_shows_every_key_and_each_of_its_lines_can_be_read(tmp_path) -> None:
    text = SAMPLE.read_text()
    file = parse_wiring(SAMPLE)
    assert file.encoder.from_ == "plc"
    from grading.line import wiring

    for kind in (wiring._File, wiring._Belt, wiring._Encoder, wiring._Modbus, wiring._Mqtt, wiring._Scale):
        for key in kind.__struct_encode_fields__:
            assert key in text, f"{key} is not shown"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("[belt]", "[belts]"), "belts"),
        (("lead_mm = 40", "lead_cm = 4"), "lead_cm"),
        (("lead_mm = 40", ""), "lead_mm"),
        (("speed_mm_per_s = 250", "speed_mm_per_s = 0"), "belt.speed_mm_per_s"),
        (("lead_mm = 40", "lead_mm = 4.5"), "belt.lead_mm"),
        (('line = "L-1"', 'line = "L 1"'), "line"),
        (("A = 1", "A = 9"), "tiers.A"),
        (("A = 1", "AA = 1"), "tiers.AA"),
        (("4 = 1500", "04 = 1500"), "gates_mm.04"),
        (("4 = 1500", ""), "doubtful"),
        (("cull = 0", "cull = [0"), "line.toml"),
    ],
)
def test_a_wrong_key_is_named(tmp_path, change, named) -> None:
    with pytest.raises(WiringError, match=named.replace(".", r"\.")):
        opened(tmp_path, base=BASE.replace(*change))


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ('[encoder]\nfrom = "speed:fast"', "encoder.from"),
        ('[encoder]\nfrom = "usb:0"', "encoder.from"),
        ('[encoder]\nfrom = "plc"', "encoder.from"),
        ('[encoder]\nfrom = "modbus://h:502/1"', "encoder.register"),
        ('[encoder]\nfrom = "mqtt://h"', "encoder.topic"),
        ('[encoder]\nfrom = "modbus://h:502/1"\nregister = 0\nnm_per_count = 0', "encoder.nm_per_count"),
        ('[modbus]\naddress = "10.0.0.1"', "modbus.address"),
        ('[mqtt]\nurl = "http://h"', "mqtt.url"),
        ('[scale]\nfrom = "/dev/ttyUSB0"', "scale.from"),
        ('[scale]\nfrom = "tcp://h"', "scale.from"),
        ('[scale]\nfrom = "tcp://h:4001"\nbehind_mm = 300', "scale.behind_mm"),
        ('[encoder]\nfrom = "speed:250mm/s"\n[scale]\nfrom = "tcp://h:4001"\nbehind_mm = 491', "scale.behind_mm"),
        ('[scale]\nfrom = "mqtt://h"', "scale.topic"),
        ('[scale]\nfrom = "modbus://h:502/1"', "scale.weight_register"),
        ('[scale]\nfrom = "modbus://h:502/1"\nweight_register = 0', "scale.stable_register"),
        ('[scale]\nfrom = "modbus://h:502/1"\nweight_register = 0\nstable_register = 500', "scale.stable_register"),
    ],
)
def test_keys_that_do_not_fit_together_are_refused_before_anything_is_connected(tmp_path, more, key) -> None:
    with pytest.raises(WiringError) as refused:
        opened(tmp_path, more)
    assert refused.value.key == key


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(WiringError, match=r"nothing\.toml cannot be read"):
        open_wiring(tmp_path / "nothing.toml", load_tariff())


def test_a_line_without_machines_works_and_says_that_it_has_none(tmp_path) -> None:
    wiring = opened(tmp_path, '[encoder]\nfrom = "speed:250mm/s"')
    assert isinstance(wiring.outputs, NoOutputs)
    assert isinstance(wiring.encoder, TimedEncoder)
    assert [(state.name, state.state) for state in wiring.states()] == [
        ("outputs", State.OFF),
        ("encoder", State.READY),
    ]
    wiring.outputs.emergency("stop")
    assert wiring.outputs.emergency_reason == "stop"
    wiring.close()
    wiring.close()


def test_fruit_too_close_are_taken_back_and_reported(tmp_path) -> None:
    wiring = opened(tmp_path)

    def direct(number: int, tier: str, um: int):
        return wiring.direct("r", number, tier, is_doubtful=False, seen_at=START, seen_um=um)

    assert direct(1, "A", 0).lane == 1
    assert direct(2, "C", 10_000).why == TOO_CLOSE
    assert [(lost.command.fruit, lost.why.kind) for lost in wiring.lost()] == [(1, "too_close")]
    assert wiring.lost() == []
    # The next one lies too close to the second, which goes to reject: so must it.
    assert direct(3, "B", 35_000).why == TOO_CLOSE
    assert direct(4, "B", 70_000).lane == 2


def test_a_command_that_comes_too_late_is_sent_to_reject(tmp_path) -> None:
    wiring = opened(tmp_path)
    wiring.clock.at = START + timedelta(seconds=3)
    late = wiring.direct("r", 1, "A", is_doubtful=False, seen_at=START, seen_um=None)
    assert late.lane == REJECT
    assert "too late" in late.why.en


def test_a_position_reckoned_from_time_makes_no_command_late(tmp_path) -> None:
    wiring = opened(tmp_path, '[encoder]\nfrom = "speed:250mm/s"')
    assert wiring.direct("r", 1, "A", is_doubtful=False, seen_at=START, seen_um=-10_000_000).lane == 1


def test_an_unknown_tier_is_refused(tmp_path) -> None:
    with pytest.raises(WiringError, match="'D'"):
        opened(tmp_path).direct("r", 1, "D", is_doubtful=False, seen_at=START, seen_um=0)


class Line:
    """A whole wiring against a simulated PLC that is also the encoder."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.belt = Belt({1: 600_000, 2: 900_000, 3: 1_200_000, 4: 1_500_000})
        self.plc = Plc(self.belt, watchdog_s=30)
        self.server = serve(self.plc, free_port())
        address = f'[encoder]\nfrom = "plc"\nmost_mm_per_s = 20000\n[modbus]\naddress = "modbus://127.0.0.1:{self.server.port}"\n'
        self.wiring = opened(folder, address + more)

    def near(self) -> bool:
        """Whether the program knows where the belt is, to the last scan."""
        at = self.wiring.encoder.belt_um()
        return at is not None and abs(at - self.belt.read_um % (1 << 32)) < 20_000

    def walk(self, um: int) -> None:
        for _ in range(um // 4_000):
            self.plc.run(4_000)
            time.sleep(0.001)

    def close(self) -> None:
        self.wiring.close()
        self.server.stop()


@pytest.fixture
def line(tmp_path, monkeypatch):
    monkeypatch.setattr(encoder, "STALE_S", 3.0)  # this machine may be busy for a moment
    made = Line(tmp_path)
    yield made
    made.close()


def test_the_plc_counts_the_belt_and_each_fruit_lands_in_its_lane(line) -> None:
    until(line.near)
    for number, tier in enumerate(["A", "B", "C", "cull", "A", "B"], 1):
        line.belt.fruit.append(Fruit(number, tier, line.belt.read_um))
        sent = line.wiring.direct(
            "r", number, tier, is_doubtful=number == 5, seen_at=START, seen_um=line.belt.read_um % (1 << 32)
        )
        assert sent.lane == (4 if number == 5 else {"A": 1, "B": 2, "C": 3, "cull": 0}[tier])
        until(lambda number=number: number in line.plc.taken_fruit)
        # The belt runs at the pace of a belt, or the encoder would rightly call it a jump.
        line.walk(80_000)
        until(line.near)
    line.walk(1_600_000)
    assert [fruit.landed for fruit in line.belt.fruit] == [1, 2, 3, 0, 4, 2]
    assert line.wiring.lost() == []
    assert {state.name: state.state for state in line.wiring.states()} == {
        "modbus": State.READY,
        "encoder": State.READY,
    }


def test_while_the_encoder_is_away_nothing_is_aimed(line) -> None:
    until(line.near)
    line.server.stop()
    until(lambda: line.wiring.encoder.belt_um() is None)
    sent = line.wiring.direct("r", 1, "A", is_doubtful=False, seen_at=START, seen_um=1_000_000)
    assert (sent.lane, sent.why) == (REJECT, NO_PLACE)
    assert {state.name for state in line.wiring.states() if state.state is State.LOST} == {"modbus", "encoder"}


def test_an_encoder_that_jumps_takes_back_what_was_aimed_before(line) -> None:
    until(line.near)
    line.belt.fruit.append(Fruit(1, "A", line.belt.read_um))
    line.wiring.direct("r", 1, "A", is_doubtful=False, seen_at=START, seen_um=line.belt.read_um % (1 << 32))
    until(lambda: line.plc.taken_fruit == [1])
    session = line.plc.session
    with line.plc.lock:
        line.belt.read_um += 500_000_000
        line.belt.fruit[0].at_um += 500_000_000
    until(lambda: line.plc.session not in {0, session})
    assert not line.plc.orders
    line.plc.run(2_000_000)
    assert line.belt.fruit[0].landed == REJECT
    lost = []
    until(lambda: lost.extend(line.wiring.lost()) or lost)
    assert [(each.command.fruit, each.why.kind) for each in lost] == [(1, "encoder_jumped")]


def test_a_counter_of_its_own_and_a_scale_are_read_over_modbus(tmp_path) -> None:
    words = [0] * 512
    server = ModbusServer(lambda: list(words), lambda *_: None, port=free_port())
    server.start()
    words[10], words[20], words[21], words[22] = 65_000, 345, 0, 0b100
    address = f'from = "modbus://127.0.0.1:{server.port}/1"'
    wiring = opened(
        tmp_path,
        f"[encoder]\n{address}\nregister = 10\nbits = 16\nnm_per_count = 250000\n"
        f"[scale]\n{address}\nweight_register = 20\nlow_word_first = true\nstable_register = 22\nstable_bit = 2\n",
    )
    try:
        assert isinstance(wiring.encoder, CountedEncoder)
        until(lambda: wiring.encoder.belt_um() == 16_250_000)
        until(lambda: wiring.scale.stable_g() == 345)
        words[10] = 65_036
        until(lambda: wiring.encoder.belt_um() >= 16_259_000)
        words[22] = 0
        until(lambda: wiring.scale.stable_g() is None)
    finally:
        wiring.close()
        server.stop()


def test_counter_scale_and_outputs_over_mqtt_and_modbus_together(tmp_path, mosquitto: Mosquitto) -> None:  # noqa: F811
    plc = Plc(Belt({1: 600_000}), watchdog_s=30)
    server = serve(plc, free_port())
    wiring = opened(
        tmp_path,
        f'[encoder]\nfrom = "{mosquitto.url}"\ntopic = "belt/count"\n'
        f'[scale]\nfrom = "{mosquitto.url}"\ntopic = "scale/weight"\n'
        f'[modbus]\naddress = "modbus://127.0.0.1:{server.port}"\n[mqtt]\nurl = "{mosquitto.url}"\n',
    )
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()

    def say(topic: str, payload: bytes, condition: Callable[[], object]) -> bool:
        client.publish(topic, payload, qos=1)
        time.sleep(0.02)
        return bool(condition())

    try:
        assert isinstance(wiring.outputs, AllOutputs)
        until(lambda: say("belt/count", b'{"count": 123000}', lambda: wiring.encoder.belt_um() == 123_000))
        until(lambda: say("scale/weight", b'{"mass_g": 345, "stable": true}', lambda: wiring.scale.stable_g() == 345))
        until(lambda: say("scale/weight", b"345 g", lambda: wiring.scale.stable_g() is None))
        until(lambda: all(state.state is State.READY for state in wiring.outputs.state))
        assert [state.name for state in wiring.outputs.state] == ["modbus", "mqtt"]
        wiring.outputs.emergency("stop")
        until(lambda: plc.is_latched)
        assert wiring.outputs.emergency_reason == "stop"
        wiring.outputs.clear()
        until(lambda: not plc.is_latched)
        # The PLC latches by itself: its emergency is that of the gates on MQTT too.
        plc.write(33, [plc.latched + 1])
        until(lambda: wiring.outputs.emergency_reason == "plc")
        wiring.direct("r", 1, "A", is_doubtful=False, seen_at=START, seen_um=123_000)
        assert all(state.trouble.kind == "emergency" for state in wiring.outputs.state)
        wiring.outputs.clear()
        until(lambda: not plc.is_latched)
        until(lambda: say("belt/count", b"many", lambda: "no count" in wiring.encoder._failure))
    finally:
        wiring.close()
        client.disconnect()
        client.loop_stop()
        client.reinitialise()
        server.stop()


def test_an_emergency_that_one_machine_latched_is_everybodys_although_no_fruit_passes() -> None:
    plc, broker = NoOutputs(), NoOutputs()
    both = AllOutputs([plc, broker])
    plc.emergency("plc")
    both.lost()
    assert broker.emergency_reason == "plc", "what lies before its gates goes to reject too"
    both.clear()
    both.lost()
    assert both.emergency_reason is None


def test_a_scale_behind_the_camera_is_joined_to_its_fruit(tmp_path) -> None:
    simulator = TcpScale(b"ST,GS,+  0.000kg\r\n")
    wiring = opened(
        tmp_path,
        f'[encoder]\nfrom = "speed:250mm/s"\n[scale]\nfrom = "tcp://127.0.0.1:{simulator.port}"\nbehind_mm = 400\n',
    )
    try:
        assert isinstance(wiring.scale, FedScale)
        until(lambda: wiring.scale.stable_g() == 0)
        simulator.frame = b"ST,GS,+  0.345kg\r\n"
        until(lambda: wiring.scale.stable_g() == 345)
        bridge = wiring.weighbridge()
        at_um = wiring.scale._weighings[-1].belt_um - 400_000  # the belt has run on since
        for number, passed_um in ((7, at_um), (8, at_um + 200_000), (9, None)):
            bridge.add(number, passed_um)
        decided = []
        until(lambda: decided.extend(bridge.decided()) or len(decided) == 3)
        assert decided[0] == (7, Weight(345))
        assert [weight.why for _, weight in decided[1:]] == [Unweighed.MISSING, Unweighed.NO_PLACE]
    finally:
        wiring.close()
        simulator.close()


def test_a_scale_for_lots_lets_no_fruit_wait(tmp_path) -> None:
    simulator = TcpScale(b"ST,GS,+  0.000kg\r\n")
    wiring = opened(tmp_path, f'[scale]\nfrom = "tcp://127.0.0.1:{simulator.port}"\n')
    assert wiring.weighbridge() is None
    wiring.close()
    simulator.close()


def test_a_count_is_read_strictly() -> None:
    assert parse_count(b'{"count": 65535}', 16) == 65_535
    for payload in (b'{"count": 65536}', b'{"count": -1}', b'{"count": 1.5}', b"1", b'{"count": 1, "x": 2}'):
        with pytest.raises(WiringError, match="encoder"):
            parse_count(payload, 16)


def test_every_trouble_has_a_name_and_both_languages() -> None:
    from grading.line import broker, encoder, modbus, queued, scales, wiring

    troubles = [each for module in (broker, encoder, modbus, queued, scales, wiring) for each in vars(module).values()]
    troubles = [
        *[each for each in troubles if isinstance(each, Trouble)],
        *modbus.REFUSALS.values(),
        *broker.MISSED.values(),
    ]
    assert len(troubles) > 15
    for trouble in troubles:
        assert trouble.kind.replace("_", "").isalpha()
        assert trouble.text.zh != trouble.text.en
