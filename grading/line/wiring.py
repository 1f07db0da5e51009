"""The line's wiring file: which lanes, gates and machines there are. Read strictly; the wrong key is named.

`line-sample.toml` beside this file shows every key. `Wiring` is what the line works with: `direct` turns a graded
fruit into a command and sends it, and rejects whatever cannot be aimed for certain.
"""

import threading
import time
import tomllib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from grading.errors import ScaleFrameError, WiringError
from grading.line.broker import Listener, MqttOutputs, broker_address, without_password
from grading.line.broker import probe as probe_broker
from grading.line.encoder import CountedEncoder, Odometer, TimedEncoder, parse_speed
from grading.line.lanes import NO_PLACE, REJECT, TOO_CLOSE, LaneCommand, Lanes, lanes_for
from grading.line.modbus import BELT_AT, POLL_S, ModbusOutputs, Registers, parse_address, whole_number
from grading.line.modbus import probe as probe_plc
from grading.line.scales import FedScale, Format, Reading, Rest, TcpFrames, parse_payload
from grading.line.waiting import Weighbridge
from grading.line.wires import Encoder, LostCommand, Outputs, Scale, State, Trouble, WireState
from grading.standard import Tariff
from ledger.kernel.clock import Clock, SystemClock

REMEMBERED: Final = 64
"""Commands kept to see whether the next fruit lies too close: more than lie on any belt within the spacing."""

PLC_ENCODER_S: Final = 0.02
"""How often a counter is read: at a metre a second the belt goes 20 mm in between, and is carried on from there."""
WEIGHED_S: Final = 0.2
"""How much belt, in seconds of its nominal speed, is kept free between a fruit's weight and its first gate: to write
the fruit down and to tell the gates."""
TAKEN_BACK: Final = Trouble("too_close", TOO_CLOSE)

Millimetres = Annotated[int, Meta(ge=0, le=100_000)]


class _Belt(Struct, frozen=True, forbid_unknown_fields=True):
    speed_mm_per_s: Annotated[int, Meta(ge=1, le=5_000)]
    lead_mm: Millimetres
    spacing_mm: Millimetres
    rows_mm: tuple[tuple[Millimetres, Millimetres], ...] = ()


class _Encoder(Struct, frozen=True, forbid_unknown_fields=True):
    """`from` is speed:250mm/s, plc, modbus://host:502/1 or mqtt://host; the rest is for the last two."""

    from_: str = msgspec.field(name="from")
    bits: Literal[16, 32] = 32
    nm_per_count: Annotated[int, Meta(ge=-10_000_000, le=10_000_000)] = 1000
    most_mm_per_s: Annotated[int, Meta(ge=1, le=20_000)] | None = None
    register: Annotated[int, Meta(ge=0, le=65_534)] | None = None
    registers: Literal["input", "holding"] = "input"
    low_word_first: bool = False
    topic: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class _Modbus(Struct, frozen=True, forbid_unknown_fields=True):
    address: str
    first_register: Annotated[int, Meta(ge=0, le=65_000)] = 0


class _Mqtt(Struct, frozen=True, forbid_unknown_fields=True):
    url: str


class _Scale(Struct, frozen=True, forbid_unknown_fields=True):
    """`from` is tcp://host:port, modbus://host:502/1 or mqtt://host."""

    from_: str = msgspec.field(name="from")
    least_g: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    behind_mm: Millimetres | None = None
    tolerance_mm: Millimetres = 20
    format: Format = "line"
    unit: Literal["kg", "g"] = "kg"
    weight_register: Annotated[int, Meta(ge=0, le=65_534)] | None = None
    stable_register: Annotated[int, Meta(ge=0, le=65_535)] | None = None
    stable_bit: Annotated[int, Meta(ge=0, le=15)] = 0
    bits: Literal[16, 32] = 32
    mg_per_count: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    registers: Literal["input", "holding"] = "input"
    low_word_first: bool = False
    topic: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    line: Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9._-]+$")]
    belt: _Belt
    tiers: Mapping[str, Annotated[int, Meta(ge=0, le=65_535)]]
    gates_mm: Mapping[str, Annotated[int, Meta(ge=1, le=100_000)]]
    doubtful: Annotated[int, Meta(ge=0, le=65_535)] = REJECT
    encoder: _Encoder | None = None
    modbus: _Modbus | None = None
    mqtt: _Mqtt | None = None
    scale: _Scale | None = None


@dataclass(slots=True)
class Wiring:
    """An open line: its lanes and the machines at the other ends of its wires."""

    line: str
    lanes: Lanes
    outputs: Outputs
    encoder: Encoder | None
    scale: Scale | None
    clock: Clock
    scale_um: int | None = None
    """How far the scale stands behind the camera's line; None where it weighs lots."""
    scale_tolerance_um: int = 0
    _recent: deque[LaneCommand] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _taken_back: list[LostCommand] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def has_gates(self) -> bool:
        """Whether anything sorts what is graded."""
        return not isinstance(self.outputs, NoOutputs)

    def direct(
        self,
        run: str,
        fruit: int,
        tier: str,
        *,
        is_doubtful: bool,
        seen_at: datetime,
        seen_um: int | None,
        across_um: int | None = None,
    ) -> LaneCommand:
        """Send a fruit to its tier's lane and return the command as sent: to reject, with the reason, where in doubt.

        `seen_at` and `seen_um` are when, and where the belt was when, it left the picture. Returns at once.
        Raises WiringError for an unknown tier.
        """
        with self._lock:
            is_counted = self.encoder is not None and self.encoder.is_counted
            # A position that is only reckoned from time says no more than the time does.
            belt_um = self.encoder.belt_um() if self.encoder is not None and is_counted else None
            command = self.lanes.command(
                run,
                fruit,
                tier,
                is_doubtful=is_doubtful,
                seen_at=seen_at,
                seen_um=seen_um,
                speed_um_s=None if self.encoder is None else self.encoder.um_per_s,
                across_um=across_um,
            )
            if is_counted and command.lane != REJECT and (belt_um is None or seen_um is None):
                command = self.lanes.rejected(command, NO_PLACE)
            command = self.lanes.in_time(command, belt_um=belt_um, now=self.clock.now())
            sent = self.lanes.spaced(list(self._recent), command)
            for each in sent:
                self.outputs.send(each)
                self._recent = deque(
                    (old for old in self._recent if (old.run, old.fruit) != (each.run, each.fruit)), maxlen=REMEMBERED
                )
                self._recent.append(each)
            self._taken_back += [LostCommand(each, TAKEN_BACK) for each in sent[:-1]]
            return sent[-1]

    def lost(self) -> list[LostCommand]:
        """Return the fruit that go to reject after all, since the last call: sent in vain, or taken back."""
        with self._lock:
            taken_back, self._taken_back = self._taken_back, []
        return [*taken_back, *self.outputs.lost()]

    def weighbridge(self) -> Weighbridge[Any] | None:
        """Return where fruit wait for their weight; None where no scale weighs each of them."""
        if self.scale is None or self.encoder is None or self.scale_um is None:
            return None
        return Weighbridge(
            self.scale,
            self.encoder,
            scale_um=self.scale_um,
            tolerance_um=self.scale_tolerance_um,
            speed_um_s=self.lanes.speed_um_s,
        )

    def states(self) -> tuple[WireState, ...]:
        """Return how every wire stands."""
        inputs = [wire.state for wire in (self.encoder, self.scale) if wire is not None]
        return (*self.outputs.state, *inputs)

    def close(self) -> None:
        """Leave every machine; twice is fine."""
        for wire in (self.scale, self.encoder, self.outputs):
            if wire is not None:
                wire.close()


class NoOutputs:
    """A line without gates: people sort by what the screen shows."""

    def __init__(self) -> None:
        self._reason: str | None = None

    def send(self, command: LaneCommand) -> None:
        """Nobody is told."""

    def emergency(self, reason: str) -> None:
        """Remember it for the screen."""
        self._reason = reason

    def clear(self) -> None:
        """Forget it."""
        self._reason = None

    def forget(self, reason: str) -> None:
        """Nothing was commanded."""

    @property
    def emergency_reason(self) -> str | None:
        """Why, where there is one."""
        return self._reason

    @property
    def state(self) -> tuple[WireState, ...]:
        """Off."""
        return (WireState("outputs", State.OFF, "no [modbus] and no [mqtt] in the wiring file"),)

    def lost(self) -> list[LostCommand]:
        """Nothing can be lost."""
        return []

    def close(self) -> None:
        """Nothing is open."""


class AllOutputs:
    """Several outputs told the same: a PLC and a broker."""

    def __init__(self, outputs: Sequence[Outputs]) -> None:
        self._outputs = tuple(outputs)
        self._lock = threading.RLock()

    def send(self, command: LaneCommand) -> None:
        """Tell each. An emergency that one of them found at its machine is first made that of all."""
        with self._lock:
            self._share()
            for each in self._outputs:
                each.send(command)

    def emergency(self, reason: str) -> None:
        """Tell each."""
        with self._lock:
            for each in self._outputs:
                each.emergency(reason)

    def clear(self) -> None:
        """Tell each."""
        with self._lock:
            for each in self._outputs:
                each.clear()

    def forget(self, reason: str) -> None:
        """Tell each."""
        for each in self._outputs:
            each.forget(reason)

    @property
    def emergency_reason(self) -> str | None:
        """The first there is: one output's emergency is the line's."""
        return next((each.emergency_reason for each in self._outputs if each.emergency_reason is not None), None)

    @property
    def state(self) -> tuple[WireState, ...]:
        """Each one's."""
        return tuple(state for each in self._outputs for state in each.state)

    def lost(self) -> list[LostCommand]:
        """Lost to any of them: each fruit once. The line asks all the time: soon one's emergency is that of all."""
        with self._lock:
            self._share()
        found: dict[tuple[str, int], LostCommand] = {}
        for each in self._outputs:
            for lost in each.lost():
                found.setdefault((lost.command.run, lost.command.fruit), lost)
        return list(found.values())

    def _share(self) -> None:
        reason = self.emergency_reason
        if reason is None:
            return
        for each in self._outputs:
            if each.emergency_reason is None:
                each.emergency(reason)

    def close(self) -> None:
        """Leave each."""
        for each in self._outputs:
            each.close()


def open_wiring(path: Path, tariff: Tariff, *, clock: Clock | None = None) -> Wiring:
    """Return the line that a wiring file describes, its machines being connected in the background.

    Raises WiringError, naming the wrong key, before anything is connected.
    """
    file = parse_wiring(path)
    lanes = _lanes(file, tariff)
    time_by = clock or SystemClock()
    plc = None if file.modbus is None else parse_address("modbus.address", file.modbus.address)
    if file.mqtt is not None:
        broker_address("mqtt.url", file.mqtt.url)
    encoder = _encoder(file)
    scale_um = _scale_um(file)
    where = encoder.belt_um if encoder is not None else _nowhere
    scale = None if file.scale is None else _scale(file.scale, time_by, where)
    # From here on every key has been looked at, and threads begin.
    outputs: list[Outputs] = []
    is_counted = encoder is not None and encoder.is_counted
    aimed_by = where if is_counted else _nowhere
    if plc is not None and file.modbus is not None:
        is_its_own = file.encoder is not None and file.encoder.from_ == "plc"
        by_modbus = ModbusOutputs(
            plc,
            lanes,
            time_by,
            where=aimed_by,
            seen=encoder.seen if is_its_own and isinstance(encoder, CountedEncoder) else None,
            by_position=is_counted,
            first_register=file.modbus.first_register,
            poll_s=PLC_ENCODER_S if is_its_own else POLL_S,
        )
        outputs.append(by_modbus)
        by_modbus.start()
    if file.mqtt is not None:
        by_mqtt = MqttOutputs(file.mqtt.url, file.line, lanes, time_by, where=aimed_by, by_position=is_counted)
        outputs.append(by_mqtt)
        by_mqtt.start()
    everywhere: Outputs = NoOutputs() if not outputs else outputs[0] if len(outputs) == 1 else AllOutputs(outputs)
    if isinstance(encoder, CountedEncoder):
        encoder.on_jump = everywhere.forget
        _feed_encoder(file, encoder)
    if file.scale is not None and scale is not None:
        _feed_scale(file.scale, scale)
    return Wiring(
        file.line,
        lanes,
        everywhere,
        encoder,
        scale,
        time_by,
        scale_um=scale_um,
        scale_tolerance_um=0 if file.scale is None else file.scale.tolerance_mm * 1000,
    )


def check_wiring(path: Path, tariff: Tariff, *, wait_s: float, clock: Clock | None = None) -> list[WireState]:
    """Return how each machine of a wiring file answers within `wait_s` seconds. Nothing is written to any of them.

    Raises WiringError, naming the wrong key.
    """
    file = parse_wiring(path)
    _lanes(file, tariff)
    time_by = clock or SystemClock()
    plc = None if file.modbus is None else parse_address("modbus.address", file.modbus.address)
    first_register = 0 if file.modbus is None else file.modbus.first_register
    if file.mqtt is not None:
        broker_address("mqtt.url", file.mqtt.url)
    encoder = _encoder(file)
    _scale_um(file)
    scale = None if file.scale is None else _scale(file.scale, time_by, _nowhere)
    states = [] if plc is None else [probe_plc(plc, first_register=first_register)]
    if file.mqtt is not None:
        states.append(probe_broker(file.mqtt.url, timeout_s=wait_s))
    if isinstance(encoder, CountedEncoder):
        if plc is not None and file.encoder is not None and file.encoder.from_ == "plc":
            feed = Registers(
                plc,
                first_register + BELT_AT,
                2,
                is_input=False,
                every_s=PLC_ENCODER_S,
                on_words=lambda words: encoder.seen(whole_number(words, is_low_first=False)),
                on_failure=encoder.failed,
            )
            encoder.closing(feed.close)
        _feed_encoder(file, encoder)
    if file.scale is not None and scale is not None:
        _feed_scale(file.scale, scale)
    inputs: list[Encoder | Scale] = [wire for wire in (encoder, scale) if wire is not None]
    ends_s = time.monotonic() + wait_s
    while any(wire.state.state is not State.READY for wire in inputs) and time.monotonic() < ends_s:
        time.sleep(0.05)
    states += [wire.state for wire in inputs]
    for wire in inputs:
        wire.close()
    return states


def _nowhere() -> None:
    return None


def _encoder(file: _File) -> CountedEncoder | TimedEncoder | None:
    """Return the encoder, not fed yet. Raises WiringError for keys that do not fit together."""
    given = file.encoder
    if given is None:
        return None
    if given.from_.startswith("speed:"):
        return TimedEncoder(parse_speed(given.from_))
    most_mm_per_s = given.most_mm_per_s or 3 * file.belt.speed_mm_per_s
    if given.nm_per_count == 0:
        raise WiringError("encoder.nm_per_count", "is 0; measure how far the belt runs for one count")
    if given.from_ == "plc":
        if file.modbus is None:
            raise WiringError("encoder.from", "is plc, but there is no [modbus]")
        # The map gives micrometres in 32 bits.
        return CountedEncoder(Odometer(bits=32, nm_per_count=1000, most_um_per_s=most_mm_per_s * 1000), "plc")
    if given.from_.startswith("modbus://"):
        parse_address("encoder.from", given.from_)
        if given.register is None:
            raise WiringError("encoder.register", "is missing: which register holds the count?")
    elif given.from_.startswith(("mqtt://", "mqtts://")):
        broker_address("encoder.from", given.from_)
        if given.topic is None:
            raise WiringError("encoder.topic", "is missing: where is the count published?")
    else:
        raise WiringError(
            "encoder.from", f"is {given.from_!r}; it reads speed:250mm/s, plc, modbus://host:502/1 or mqtt://host"
        )
    odometer = Odometer(bits=given.bits, nm_per_count=given.nm_per_count, most_um_per_s=most_mm_per_s * 1000)
    return CountedEncoder(odometer, without_password(given.from_))


def _feed_encoder(file: _File, encoder: CountedEncoder) -> None:
    given = file.encoder
    if given is None or given.from_ == "plc":
        return
    if given.from_.startswith("modbus://"):
        registers = Registers(
            parse_address("encoder.from", given.from_),
            given.register or 0,
            given.bits // 16,
            is_input=given.registers == "input",
            every_s=PLC_ENCODER_S,
            on_words=lambda words: encoder.seen(whole_number(words, is_low_first=given.low_word_first)),
            on_failure=encoder.failed,
        )
        encoder.closing(registers.close)
        return

    def payload(data: bytes) -> None:
        try:
            encoder.seen(parse_count(data, given.bits))
        except WiringError as error:
            encoder.failed(str(error))

    listener = Listener(given.from_, given.topic or "", on_payload=payload, on_failure=encoder.failed)
    encoder.closing(listener.close)


class _Count(Struct, frozen=True, forbid_unknown_fields=True):
    count: Annotated[int, Meta(ge=0)]


def parse_count(data: bytes, bits: int) -> int:
    """Return the counter in `{"count": 12345}`. Raises WiringError for anything else."""
    try:
        count = msgspec.json.decode(data, type=_Count).count
    except (msgspec.DecodeError, ValueError) as error:
        raise WiringError("encoder.topic", f"carries no count: {error}") from error
    if count >> bits:
        raise WiringError("encoder.bits", f"is {bits}, but the count reads {count}")
    return count


def _scale(given: _Scale, clock: Clock, where: Callable[[], int | None]) -> FedScale:
    """Return the scale, not fed yet. Raises WiringError for keys that do not fit together."""
    if given.from_.startswith("tcp://"):
        _tcp_address(given.from_)
    elif given.from_.startswith("modbus://"):
        parse_address("scale.from", given.from_)
        if given.weight_register is None:
            raise WiringError("scale.weight_register", "is missing: which register holds the weight?")
        if given.stable_register is None:
            raise WiringError("scale.stable_register", "is missing: which register tells that the load is at rest?")
        if not 0 <= _scale_block(given)[1] <= 100:
            raise WiringError("scale.stable_register", "lies too far from weight_register to be read with it")
    elif given.from_.startswith(("mqtt://", "mqtts://")):
        broker_address("scale.from", given.from_)
        if given.topic is None:
            raise WiringError("scale.topic", "is missing: where is the weight published?")
    else:
        raise WiringError(
            "scale.from",
            f"is {given.from_!r}; it reads tcp://host:port, modbus://host:502/1 or mqtt://host "
            "(a serial port needs a serial server)",
        )
    return FedScale(without_password(given.from_), clock, least_g=given.least_g, where=where)


def _scale_um(file: _File) -> int | None:
    """Return how far behind the camera's line each fruit is weighed; None where lots are.

    Raises WiringError where a fruit's weight could not be known before its first gate: what a gate has taken out is
    in its lane, and never comes to a scale that stands behind it.
    """
    if file.scale is None or file.scale.behind_mm is None:
        return None
    if file.encoder is None:
        raise WiringError("scale.behind_mm", "needs an [encoder]: a weight is a fruit's by where the belt is")
    known_mm = file.scale.behind_mm + file.scale.tolerance_mm
    needed_mm = known_mm + file.belt.lead_mm + int(file.belt.speed_mm_per_s * WEIGHED_S)
    first_mm = min(file.gates_mm.values(), default=needed_mm)
    if needed_mm > first_mm:
        raise WiringError(
            "scale.behind_mm",
            f"is {file.scale.behind_mm}: with the tolerance, the lead and {WEIGHED_S} s of belt a weight is of use to "
            f"gates from {needed_mm} mm on, but the first stands at {first_mm} mm; move the scale before it, or leave "
            "behind_mm out to weigh lots",
        )
    return file.scale.behind_mm * 1000


def _scale_block(given: _Scale) -> tuple[int, int]:
    """Return the first register and how many to read for weight and status together."""
    weight, stable = given.weight_register or 0, given.stable_register or 0
    first = min(weight, stable)
    return first, max(weight + given.bits // 16, stable + 1) - first


def _feed_scale(given: _Scale, scale: FedScale) -> None:
    if given.from_.startswith("tcp://"):
        host, port = _tcp_address(given.from_)
        unit_mg = 1_000_000 if given.unit == "kg" else 1_000
        scale.closing(TcpFrames(host, port, given.format, unit_mg, scale).close)
        return
    if given.from_.startswith("modbus://"):
        first, count = _scale_block(given)
        weight, stable = (given.weight_register or 0) - first, (given.stable_register or 0) - first

        def words(found: list[int]) -> None:
            part = found[weight : weight + given.bits // 16]
            value = whole_number(part, is_low_first=given.low_word_first, is_signed=True)
            is_stable = bool(found[stable] >> given.stable_bit & 1)
            scale.seen(Reading(value * given.mg_per_count, Rest.STABLE if is_stable else Rest.UNSTABLE))

        registers = Registers(
            parse_address("scale.from", given.from_),
            first,
            count,
            is_input=given.registers == "input",
            every_s=POLL_S,
            on_words=words,
            on_failure=scale.failed,
        )
        scale.closing(registers.close)
        return

    def payload(data: bytes) -> None:
        try:
            scale.seen(parse_payload(data))
        except ScaleFrameError as error:
            scale.refused(error)

    scale.closing(Listener(given.from_, given.topic or "", on_payload=payload, on_failure=scale.failed).close)


def _tcp_address(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise WiringError("scale.from", f"is no address: {error}") from error
    if not parts.hostname or not port or parts.path.strip("/"):
        raise WiringError("scale.from", f"is {text!r}; a scale on the network reads tcp://host:4001")
    return parts.hostname, port


def parse_wiring(path: Path) -> _File:
    """Return what a wiring file says. Raises WiringError, naming the wrong key."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), type=_File)
    except OSError as error:
        raise WiringError(path.name, f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise WiringError(path.name, f"is no wiring file: {error}") from error


def _lanes(file: _File, tariff: Tariff) -> Lanes:
    gates_um: dict[int, int] = {}
    for key, distance_mm in file.gates_mm.items():
        if not key.isdecimal() or str(int(key)) != key:
            raise WiringError(f"gates_mm.{key}", "is no lane number")
        gates_um[int(key)] = distance_mm * 1000
    return lanes_for(
        tariff,
        file.tiers,
        gates_um,
        doubtful=file.doubtful,
        speed_um_s=file.belt.speed_mm_per_s * 1000,
        lead_um=file.belt.lead_mm * 1000,
        spacing_um=file.belt.spacing_mm * 1000,
        rows_um=[(start * 1000, end * 1000) for start, end in file.belt.rows_mm],
    )
