"""Two hundred fruit, a belt, a PLC and a bad wire: no fruit in a better lane than its tier, each loss named."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.deploy.services import free_port
from grading.line import modbus
from grading.line.lanes import REJECT, LaneCommand, Lanes, lanes_for
from grading.line.modbus import (
    SLOTS,
    Address,
    Connection,
    LostError,
    ModbusOutputs,
    next_sequence,
    parse_address,
    slot_words,
    whole_number,
)
from grading.line.wires import State
from grading.standard import load_tariff
from tests.simulators.plc import Belt, Fruit, ModbusServer, Plc, serve
from tests.simulators.wire import Wire
from tests.waiting import until

START = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
TIERS = ["A", "B", "C", "cull"]
GATES = {1: 600_000, 2: 900_000, 3: 1_200_000, 4: 1_500_000}
SPEED = 2_400_000
"""Micrometres per second: one row at 30 fruit a second, 80 mm apart."""


def lanes(**changes) -> Lanes:
    given = {"doubtful": 4, "speed_um_s": SPEED, "lead_um": 40_000, "spacing_um": 30_000} | changes
    return lanes_for(load_tariff(), {"A": 1, "B": 2, "C": 3, "cull": 0}, GATES, **given)


class Line:
    """A belt that moves only when told, and the product's outputs at the other end of a wire."""

    def __init__(self, *, outputs=ModbusOutputs, watchdog_s: float = 30, **settings) -> None:
        self.belt = Belt(dict(GATES))
        self.begun_um = self.belt.read_um
        # A clock of its own, an hour and a bit beside ours.
        self.plc = Plc(self.belt, watchdog_s=watchdog_s, own_ms=lambda: self.now_ms() + 4_000_123)
        self.server = serve(self.plc, free_port())
        self.wire = Wire(self.server.port)
        self.commands: dict[int, LaneCommand] = {}
        self.lost: dict[int, str] = {}
        self.outputs = outputs(
            Address("127.0.0.1", self.wire.port),
            lanes(),
            self,
            where=lambda: self.belt.read_um,
            poll_s=0.01,
            timeout_s=2,
            **settings,
        )

    def now(self) -> datetime:
        return START + timedelta(microseconds=(self.belt.read_um - self.begun_um) * 1_000_000 // SPEED)

    def now_ms(self) -> int:
        return int(self.now().timestamp() * 1000) % (1 << 32)

    def ready(self) -> bool:
        return self.outputs.state[0].state is State.READY

    def fruit(self, number: int, *, tier: str | None = None, is_doubtful: bool = False) -> LaneCommand:
        """Lay a fruit on the camera's line and send its command."""
        tier = tier or TIERS[number * 7 % 4]
        self.belt.fruit.append(Fruit(number, tier, self.belt.read_um))
        command = lanes().command(
            "run", number, tier, is_doubtful=is_doubtful, seen_at=self.now(), seen_um=self.belt.read_um
        )
        self.commands[number] = command
        self.outputs.send(command)
        return command

    def taken(self) -> bool:
        return self.outputs.waiting == 0 and self.ready()

    def told(self) -> dict[str, object]:
        """Return what both sides know, for a test that waits in vain."""
        with self.plc.lock:
            return vars(self.outputs) | {
                "plc": self.plc.memory[:48],
                "ended": self.plc.ended,
                "taken": self.plc.taken_fruit,
                "requests": self.server.requests,
                "thread": self.outputs._thread.is_alive(),
            }

    def run_out(self) -> None:
        """Let the belt run until it is empty."""
        for _ in range(30):
            self.plc.run(80_000)
            time.sleep(0.001)
        self.note()

    def note(self) -> None:
        for each in self.outputs.lost():
            assert each.why.text.zh
            assert each.why.text.en
            self.lost[each.command.fruit] = each.why.kind

    def check(self) -> list[int]:
        """Hold every fruit against its command; return those that were rejected against it."""
        rejected = []
        for fruit in self.belt.fruit:
            command = self.commands[fruit.number]
            assert fruit.landed in {command.lane, REJECT}, f"{fruit} was commanded to {command.lane}"
            if fruit.landed != command.lane:
                assert fruit.number in self.lost, f"{fruit} was rejected, and nobody says why"
                rejected.append(fruit.number)
            elif command.lane != REJECT:
                assert self.lost.get(fruit.number) in {None, "unsure"}, f"{fruit} was called lost and is not"
        assert self.belt.stray == 0
        return rejected

    def close(self) -> None:
        self.outputs.close()
        self.wire.close()
        self.server.stop()


@contextmanager
def line(**settings) -> Iterator[Line]:
    made = Line(**settings)
    made.outputs.start()
    try:
        until(made.ready)
        yield made
    finally:
        made.close()


def test_two_hundred_fruit_at_thirty_a_second_each_land_in_their_lane() -> None:
    with line() as running:
        for number in range(1, 201):
            running.fruit(number, is_doubtful=number % 10 == 0)
            until(running.taken)
            running.plc.run(80_000)
        running.run_out()
        assert running.check() == []
        assert running.lost == {}
        landed = {lane: sum(f.landed == lane for f in running.belt.fruit) for lane in (0, 1, 2, 3, 4)}
        assert landed[4] == 20
        assert min(landed.values()) >= 20
        # Each was taken once, in order.
        assert running.plc.taken_fruit == list(range(1, 201))


def test_without_an_encoder_the_gates_act_by_the_time_whatever_the_plcs_clock_reads() -> None:
    with line(by_position=False) as running:
        for number in range(1, 41):
            running.fruit(number)
            until(running.taken)
            running.plc.run(80_000)
        running.run_out()
        assert running.check() == []
        assert running.lost == {}


def test_a_wire_that_is_cut_delayed_and_stutters_puts_no_fruit_into_a_wrong_lane() -> None:
    with line() as running:
        for number in range(1, 201):
            running.fruit(number)
            at = number % 40 if number <= 160 else 0
            running.wire.delay_s = 0.03 if 20 <= at < 25 else 0.0
            running.plc.stale_acknowledgements = 2 if 25 <= at < 30 else 0
            running.wire.repeats = 30 <= at < 35
            if at == 10:
                running.wire.blink()
            if number == 100:
                running.wire.cut()
            if number == 125:
                running.wire.mend()
            if number == 150:
                until(running.ready)
                running.plc.restart()
            if number > 160:
                # The last forty pass over a wire that is whole again, and all of them arrive.
                until(running.taken)
            running.plc.run(80_000)
            time.sleep(0.003)
        running.run_out()
        rejected = running.check()
        assert {100 < number < 125 for number in rejected} >= {True}
        assert [number for number in rejected if number > 160] == []
        # A session that the PLC did not forget is gone on with: nothing in it is commanded twice.
        assert len(running.plc.taken_fruit) - len(set(running.plc.taken_fruit)) <= 30


class SequenceFirst(ModbusOutputs):
    """The control: the words that say that a command is there go out before the command."""

    def _write_slot(self, connection, register, words) -> None:
        connection.write(register + len(words) - 2, words[-2:])
        connection.write(register, words[:-2])


class Believing(Plc):
    """A PLC that looks at the last words alone, as the control needs it."""

    def __init__(self, belt, **settings) -> None:
        super().__init__(belt, **settings | {"checks_both": False})


def test_the_control_sequence_first_lets_half_commands_through(monkeypatch) -> None:
    monkeypatch.setitem(Line.__init__.__globals__, "Plc", Believing)
    with line(outputs=SequenceFirst) as running:
        for number in range(1, 61):
            running.fruit(number)
            until(running.taken)
            running.plc.run(80_000)
        running.run_out()
        wrong = [f for f in running.belt.fruit if f.landed not in {running.commands[f.number].lane, REJECT}]
        unsaid = [f for f in running.belt.fruit if f.landed != running.commands[f.number].lane]
        assert wrong or unsaid


def test_the_same_plc_sees_no_half_command_when_the_sequence_goes_last(monkeypatch) -> None:
    monkeypatch.setitem(Line.__init__.__globals__, "Plc", Believing)
    with line() as running:
        for number in range(1, 61):
            running.fruit(number)
            until(running.taken)
            running.plc.run(80_000)
        running.run_out()
        assert running.check() == []


def test_a_slot_left_over_from_an_earlier_session_is_not_taken_for_a_new_command() -> None:
    """The new session counts from 1 again: the old slot's last word is already what the PLC waits for."""
    with line() as running:
        for number in range(1, 20):
            running.fruit(number)
            until(running.taken)
        running.outputs.forget("encoder_jumped")
        until(running.ready)
        before = len(running.plc.taken_fruit)
        for number in range(20, 39):
            running.fruit(number)
            until(running.taken)
        assert running.plc.taken_fruit[before:] == list(range(20, 39))


def test_the_control_a_plc_that_minds_no_session_takes_the_slots_left_over(monkeypatch) -> None:
    monkeypatch.setitem(Line.__init__.__globals__, "Plc", Believing)
    with line() as running:
        for number in range(1, 20):
            running.fruit(number)
            until(running.taken)
        running.outputs.forget("encoder_jumped")
        for number in range(20, 23):
            running.fruit(number)
        until(lambda: running.plc.taken_fruit[19:] == [20, 21, 22, *range(4, 17)])


def test_a_session_that_the_plc_ended_before_we_looked_is_not_insisted_on(monkeypatch) -> None:
    numbers = iter([4_711, 4_712])
    monkeypatch.setattr("grading.line.modbus.random.randrange", lambda *_: next(numbers))
    made = Line()
    made.plc.ended = 4_711
    made.outputs.start()
    try:
        until(lambda: made.plc.session == 4_712)
        until(made.ready)
    finally:
        made.close()


def test_what_waits_before_its_gate_is_commanded_again_after_a_plc_started_anew() -> None:
    with line() as running:
        for number in range(1, 7):
            running.fruit(number, tier="C")
            until(running.taken)
            running.plc.run(80_000)
        running.plc.restart()
        until(lambda: running.plc.session != 0 and running.plc.taken == 6)
        running.run_out()
        assert running.check() == []
        assert running.lost == {}
        assert running.plc.taken_fruit == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6]


def test_a_cut_wire_sends_nothing_twice_when_the_plc_remembers() -> None:
    with line() as running:
        for number in range(1, 7):
            running.fruit(number, tier="C")
            until(running.taken)
            running.plc.run(80_000)
        running.wire.blink()
        running.fruit(7, tier="C")
        until(lambda: running.wire.connections >= 2 and running.taken())
        running.run_out()
        assert running.check() == []
        assert running.plc.taken_fruit == [1, 2, 3, 4, 5, 6, 7]


def test_what_passed_while_the_wire_was_cut_is_lost_by_name_and_never_replayed() -> None:
    with line() as running:
        running.wire.cut()
        until(lambda: not running.ready())
        for number in range(1, 11):
            running.fruit(number, tier="A")
            running.plc.run(80_000)
        for number in range(11, 16):
            running.fruit(number, tier="C")
            running.plc.run(40_000)
        running.wire.mend()
        until(running.taken)
        running.run_out()
        rejected = running.check()
        assert rejected
        assert set(rejected) <= set(range(1, 11))
        assert {running.lost[number] for number in rejected} == {"too_late"}
        assert not set(rejected) & set(running.plc.taken_fruit)


def test_when_the_heartbeat_stops_the_plc_rejects_and_what_was_on_the_belt_is_called_unsure() -> None:
    with line(watchdog_s=1.5) as running:
        for number in range(1, 4):
            running.fruit(number, tier="B")
            until(running.taken)
            running.plc.run(80_000)
        running.wire.cut()

        def tripped() -> bool:
            running.plc.scan()
            return running.plc.is_tripped

        until(tripped)
        running.run_out()
        assert [f.landed for f in running.belt.fruit] == [0, 0, 0]
        running.wire.mend()
        until(running.ready)
        running.note()
        assert running.lost == {1: "unsure", 2: "unsure", 3: "unsure"}


def test_the_control_a_plc_without_a_watchdog_goes_on_with_what_nobody_confirms() -> None:
    with line(watchdog_s=1e9) as running:
        running.fruit(1, tier="B")
        until(running.taken)
        running.wire.cut()
        time.sleep(0.3)
        running.run_out()
        assert running.belt.fruit[0].landed == 2


def test_an_emergency_rejects_everything_and_outlives_a_cut_wire_and_a_new_plc() -> None:
    with line() as running:
        running.fruit(1, tier="A")
        until(running.taken)
        running.outputs.emergency("a hand on the belt")
        running.fruit(2, tier="A")
        until(lambda: running.plc.is_latched)
        running.wire.blink()
        running.plc.restart()
        until(lambda: running.wire.connections >= 2 and running.plc.is_latched)
        running.fruit(3, tier="B")
        assert running.outputs.emergency_reason == "a hand on the belt"
        running.run_out()
        assert [f.landed for f in running.belt.fruit] == [0, 0, 0]
        assert running.lost == {1: "emergency", 2: "emergency", 3: "emergency"}
        running.outputs.clear()
        until(lambda: running.plc.session and not running.plc.is_latched)
        running.fruit(4, tier="A")
        until(running.taken)
        running.run_out()
        assert running.belt.fruit[3].landed == 1


def test_an_emergency_told_while_the_wire_is_cut_is_told_when_it_is_whole() -> None:
    with line() as running:
        running.wire.cut()
        until(lambda: not running.ready())
        running.outputs.emergency("stop")
        running.wire.mend()
        until(lambda: running.plc.is_latched)
        running.wire.cut()
        until(lambda: not running.ready())
        running.outputs.clear()
        running.wire.mend()
        until(lambda: running.plc.session and not running.plc.is_latched)


def test_an_emergency_latched_at_the_plc_is_found_by_a_program_that_starts_anew() -> None:
    with line() as running:
        running.outputs.emergency("stop")
        until(lambda: running.plc.is_latched)
        second = ModbusOutputs(Address("127.0.0.1", running.wire.port), lanes(), running)
        running.outputs.close()
        second.start()
        try:
            until(lambda: second.emergency_reason == "plc")
            assert running.plc.is_latched
            second.clear()
            until(lambda: not running.plc.is_latched)
        finally:
            second.close()


def test_a_belated_clear_of_an_older_emergency_clears_nothing() -> None:
    with line() as running:
        for _ in range(2):
            running.outputs.emergency("stop")
            until(lambda: running.plc.is_latched)
            number = running.plc.latched
            running.outputs.clear()
            until(lambda: not running.plc.is_latched)
        running.outputs.emergency("stop")
        until(lambda: running.plc.is_latched and running.plc.latched != number)
        running.plc.write(33, [number - 1])
        assert running.plc.is_latched


def test_the_stop_button_at_the_plc_rejects_and_is_shown() -> None:
    with line() as running:
        running.fruit(1, tier="A")
        until(running.taken)
        running.plc.stop_button(pressed=True)
        until(
            lambda: (running.outputs.state[0].trouble or 0) and running.outputs.state[0].trouble.kind == "plc_stopped"
        )
        running.run_out()
        assert running.belt.fruit[0].landed == 0
        running.plc.stop_button(pressed=False)
        until(lambda: running.plc.session != 0)
        running.note()
        assert running.lost == {1: "unsure"}


@pytest.mark.parametrize("kind", ["plc_halted", "plc_not_taking"])
def test_a_plc_that_takes_nothing_is_named_and_nothing_is_overwritten(kind) -> None:
    with line() as running:
        running.fruit(1, tier="C")
        until(running.taken)
        take = running.plc._take
        if kind == "plc_halted":
            running.plc.is_scanning = False
        else:
            running.plc._take = lambda: None
        for number in range(2, 60):
            running.fruit(number, tier="C")
            running.plc.run(2_000)
        until(lambda: running.outputs.state[0].trouble and running.outputs.state[0].trouble.kind == kind)
        assert sorted(running.plc.memory[48 + at * 14] for at in range(SLOTS)) == list(range(1, 17))
        running.plc.is_scanning, running.plc._take = True, take
        until(running.taken)
        assert running.plc.taken_fruit == list(range(1, 60))


def test_what_passed_while_the_program_stood_still_is_unsure_and_not_done() -> None:
    """Its network part answered all the time; only the echo and the count of missed commands tell."""
    with line() as running:
        for number in range(1, 4):
            running.fruit(number, tier="A")
            until(running.taken)
            running.plc.run(80_000)
        running.plc.is_scanning = False
        running.plc.run(640_000)
        running.plc.is_scanning = True
        running.plc.run(80_000)
        until(lambda: not running.outputs._taken)
        running.note()
        assert [fruit.landed for fruit in running.belt.fruit] != [1, 1, 1]
        assert set(running.lost.values()) == {"unsure"}
        running.run_out()
        running.check()


def test_a_command_that_the_plc_refuses_is_reported_with_its_reason() -> None:
    with line() as running:
        del running.belt.gates_um[2]
        running.fruit(1, tier="B")
        until(running.taken)
        running.run_out()
        assert running.lost == {1: "plc_no_lane"}


def test_a_later_command_for_the_same_fruit_replaces_the_earlier_one() -> None:
    with line() as running:
        command = running.fruit(1, tier="A")
        until(running.taken)
        running.commands[1] = lanes().rejected(command, command.why)
        running.outputs.send(running.commands[1])
        until(running.taken)
        running.run_out()
        assert running.check() == []
        assert running.belt.fruit[0].landed == 0


def test_a_device_without_our_map_is_never_written_to() -> None:
    written: list[int] = []
    server = ModbusServer(lambda: [7] * 512, lambda *write: written.append(write[0]), port=free_port())
    server.start()
    outputs = ModbusOutputs(Address("127.0.0.1", server.port), lanes(), Line.__new__(Line))
    outputs._clock = type("Clock", (), {"now": staticmethod(lambda: START)})()
    outputs.start()
    try:
        until(lambda: outputs.state[0].trouble.kind == "plc_foreign")
        time.sleep(0.2)
        assert written == []
        assert outputs.state[0].state is State.LOST
    finally:
        outputs.close()
        server.stop()


def test_a_second_line_on_the_same_plc_writes_nothing_until_the_first_has_left(monkeypatch) -> None:
    monkeypatch.setattr(modbus, "SHARED_S", 0.3)
    monkeypatch.setattr(modbus, "MAX_RETRY_S", 0.5)
    with line() as running:
        second = ModbusOutputs(Address("127.0.0.1", running.server.port), lanes(), running, poll_s=0.01)
        second.start()
        try:
            until(lambda: second.state[0].trouble.kind == "plc_shared")
            for number in range(1, 9):
                running.fruit(number)
                until(running.taken)
                running.plc.run(80_000)
            running.run_out()
            assert running.check() == []
            assert running.lost == {}
            session = running.plc.session
            running.outputs.close()
            # Not after the heartbeat was missed (30 s here): the first said farewell.
            until(lambda: running.plc.session not in {0, session} and second.state[0].state is State.READY)
        finally:
            second.close()


def test_a_line_that_started_anew_waits_until_the_plc_missed_its_former_self() -> None:
    with line(watchdog_s=0.5) as running:
        running.wire.cut()
        running.wire.is_cut = True
        second = ModbusOutputs(Address("127.0.0.1", running.server.port), lanes(), running, poll_s=0.01)
        second.start()
        try:
            until(lambda: second.state[0].state is State.READY)
        finally:
            second.close()


def test_a_connection_is_never_opened_again_behind_our_back() -> None:
    """pymodbus connects anew by itself; at the other end may be a PLC that forgot everything."""
    server = ModbusServer(lambda: [0] * 512, lambda *_: None, port=free_port())
    server.start()
    wire = Wire(server.port)
    connection = Connection(Address("127.0.0.1", wire.port), timeout_s=0.5)
    assert connection.read(0, 2) == [0, 0]
    wire.blink()
    for _ in range(3):
        with pytest.raises(LostError):
            connection.read(0, 2)
    assert wire.connections == 1
    wire.close()
    server.stop()


def test_registers_that_nobody_can_make_sense_of_are_read_on(monkeypatch) -> None:
    class Answers:
        def __init__(self, *_: object, **__: object) -> None:
            """Always there."""

        def read(self, *_: object, **__: object) -> list[int]:
            return [7]

        def close(self) -> None:
            """Nothing is open."""

    monkeypatch.setattr(modbus, "Connection", Answers)
    read, failed = [], []

    def words(found: list[int]) -> None:
        read.append(found)
        if len(read) == 1:
            raise ZeroDivisionError("a scale of nothing")

    registers = modbus.Registers(
        modbus.Address("127.0.0.1"), 0, 1, is_input=True, every_s=0.001, on_words=words, on_failure=failed.append
    )
    until(lambda: len(read) > 2)
    registers.close()
    assert failed == ["a scale of nothing"]


def test_sequences_begin_again_at_one_and_never_share_a_slot_while_outstanding() -> None:
    assert next_sequence(65_535) == 1
    window = [65_521]
    while len(window) < SLOTS - 1:
        window.append(next_sequence(window[-1]))
    window.append(next_sequence(window[-1]))
    outstanding = [window[i : i + SLOTS - 1] for i in range(2)]
    assert all(len({number % SLOTS for number in each}) == SLOTS - 1 for each in outstanding)


def test_the_words_of_a_slot_are_those_of_the_register_map() -> None:
    command = LaneCommand("r", 70_000, "B", 2, (1 << 32) + 65_536 + 7, START, is_doubtful=True, row=1)
    words = slot_words(command, sequence=9, session=77, run=3, tier_code=2, by_position=True)
    milliseconds = int(START.timestamp() * 1000) % (1 << 32)
    assert words == [9, 3, 1, 4_464, 2, 2, 1, 3, 1, 7, milliseconds >> 16, milliseconds & 65_535, 77, 9]
    assert slot_words(command, sequence=9, session=77, run=3, tier_code=2, by_position=False)[7] == 1


def test_the_register_map_in_the_readme_is_the_one_in_the_code() -> None:
    text = (Path(__file__).parents[3] / "grading/README.md").read_text()
    section = text[text.index("### To a PLC over Modbus TCP") : text.index("### Over MQTT")]
    for said in (
        f"{modbus.MAP} (0x{modbus.MAP:04X})",
        f"| {modbus.BELT_AT}, {modbus.BELT_AT + 1} | PLC |",
        f"| {modbus.ECHO_AT} | PLC |",
        f"| {modbus.MISSED_AT} | PLC |",
        f"| {modbus.ANSWERS_AT} to {modbus.ANSWERS_AT + SLOTS - 1} | PLC |",
        f"| {modbus.CONTROL_AT} | line | session |",
        f"| {modbus.CONTROL_AT + 7} | line | heartbeat",
        f"| {modbus.RING_AT} + {modbus.SLOT_WORDS} s | line | slot s (0 to {SLOTS - 1})",
        f"| {modbus.SLOT_WORDS - 1} | sequence once more",
        f"unchanged for {modbus.WATCHDOG_S * 1000:.0f} ms",
    ):
        assert said in section, said


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("modbus://plc", Address("plc")),
        ("modbus://10.0.0.9:1502/17", Address("10.0.0.9", 1502, 17)),
    ],
)
def test_an_address_names_host_port_and_unit(text, found) -> None:
    assert parse_address("modbus.address", text) == found


@pytest.mark.parametrize(
    "text", ["tcp://plc", "modbus://", "modbus://plc/300", "modbus://plc:99999", "modbus://plc/x", "plc"]
)
def test_any_other_address_is_refused_with_its_key(text) -> None:
    with pytest.raises(Exception, match=r"modbus\.address"):
        parse_address("modbus.address", text)


def test_two_registers_are_one_number_either_way_round() -> None:
    assert whole_number([1, 2], is_low_first=False) == 65_538
    assert whole_number([1, 2], is_low_first=True) == 131_073
    assert whole_number([0xFFFF], is_low_first=False, is_signed=True) == -1


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_goes_wrong_in_whatever_order_no_fruit_lands_in_a_better_lane(seed) -> None:
    """Faults drawn from a seed: cut, blink, delay, stutter, stale answers, a PLC without power, its button, jumps."""
    chance = random.Random(seed)
    with line(watchdog_s=0.3) as running:
        for number in range(1, 121):
            running.fruit(number, is_doubtful=chance.random() < 0.05)
            fault = chance.randrange(30)
            if fault == 0:
                running.wire.blink()
            elif fault == 1:
                running.wire.cut()
            elif fault == 2:
                running.plc.restart()
            elif fault == 3:
                running.plc.stop_button(pressed=True)
            elif fault == 4:
                running.outputs.forget("encoder_jumped")
            elif fault == 5:
                running.outputs.emergency("drawn")
            elif fault == 6:
                running.plc.is_scanning = False
            if fault > 20:
                running.wire.mend()
                running.plc.stop_button(pressed=False)
                running.outputs.clear()
                running.plc.is_scanning = True
            running.wire.delay_s = chance.choice([0, 0, 0, 0.02])
            running.wire.repeats = chance.random() < 0.1
            running.plc.stale_acknowledgements = chance.choice([0, 0, 0, 1, 3])
            running.plc.run(80_000)
            time.sleep(0.004)
        running.wire.mend()
        running.wire.delay_s, running.wire.repeats, running.plc.stale_acknowledgements = 0, False, 0
        running.plc.is_scanning = True
        running.plc.stop_button(pressed=False)
        running.outputs.clear()
        running.run_out()
        until(lambda: running.ready() and running.plc.session)
        until(lambda: not (running.outputs.waiting or running.outputs._taken or running.outputs._recalled))
        running.note()
        running.check()
        # And afterwards everything is as if nothing had been.
        for number in range(201, 209):
            running.fruit(number)
            until(running.taken)
            running.plc.run(80_000)
        running.run_out()
        assert not [number for number in running.check() if number > 200]
