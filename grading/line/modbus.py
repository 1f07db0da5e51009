# ruff: noqa: RUF001  # Chinese has its own comma
"""Lane commands to a PLC over Modbus TCP, and registers of other machines. The map is in grading/README.md.

A command is one write of one slot in a ring of sixteen, its sequence number in the first and the last word, so a
PLC that sees the last word sees the whole command. The PLC answers with the sequence it took last. Both sides meet
in a *session*: the PLC forgets everything and shows session 0 when it starts, when our heartbeat stops, when its
button is pressed and in an emergency. So there is one way back from every fault: a new session, in which what
still lies before its gate is commanded again and what does not is lost, and said to be.
"""

import contextlib
import logging
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException

from grading.errors import WiringError
from grading.line.lanes import REJECT, LaneCommand, Lanes
from grading.line.queued import IN_EMERGENCY, LATE, QueuedOutputs
from grading.line.wires import LostCommand, State, Trouble, WireState
from grading.standard import Text
from ledger.kernel.clock import Clock

_log = logging.getLogger(__name__)
# What goes wrong comes to us as an exception; on standard error it would only be there twice.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

MAP: Final = 0x4701
"""What the first register of a PLC with our map reads: `G`, edition 1."""
STATUS_WORDS: Final = 28
BELT_AT: Final = 5
ECHO_AT: Final = 7
MISSED_AT: Final = 8
ANSWERS_AT: Final = 12
CONTROL_AT: Final = 32
RING_AT: Final = 48
SLOTS: Final = 16
SLOT_WORDS: Final = 14
MOST_OUTSTANDING: Final = SLOTS - 1
"""One less than there are slots: where the numbers begin again, one slot is left out."""
SEQUENCES: Final = 65_535
"""Sequence numbers run from 1 to here and begin again; 0 is no command."""

EMERGENCY: Final = 1
WATCHDOG: Final = 2
STOPPED: Final = 4

DOUBTFUL: Final = 1
HAS_POSITION: Final = 2

HEARTBEAT_S: Final = 0.1
WATCHDOG_S: Final = 0.5
"""How long a PLC waits for a heartbeat before it rejects everything."""
POLL_S: Final = 0.05
AGAIN_S: Final = 0.3
SHARED_S: Final = 2.0
SESSIONS: Final = 50
"""How many sessions of our own are remembered, to tell them from another line's."""
HALTED_S: Final = 1.0
"""How long a PLC may leave our heartbeat without an echo."""
TIMEOUT_S: Final = 1.0
RETRY_S: Final = 0.1
MAX_RETRY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Address:
    """A machine that speaks Modbus TCP."""

    host: str
    port: int = 502
    unit: int = 1

    def __str__(self) -> str:
        return f"modbus://{self.host}:{self.port}/{self.unit}"


class LostError(Exception):
    """The machine does not answer, or refuses; the connection is given up."""

    def __init__(self, reason: str, trouble: Trouble | None = None) -> None:
        super().__init__(reason)
        self.trouble = trouble or NO_PLC


class Connection:
    """One TCP connection, used until its first error and never again.

    pymodbus would open a new connection by itself in the middle of a sequence of requests; what is at the other
    end of that may have been started anew, so it must not.
    """

    def __init__(self, address: Address, *, timeout_s: float = TIMEOUT_S) -> None:
        self._address = address
        self._client = _Once(address.host, port=address.port, timeout=timeout_s, retries=0)
        try:
            self._client.socket = socket.create_connection((address.host, address.port), timeout=timeout_s)
            self._client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self.close()
            raise LostError(f"{address}: {error}") from error

    def read(self, register: int, count: int, *, is_input: bool = False) -> list[int]:
        """Return holding (or input) registers. Raises LostError."""
        ask = self._client.read_input_registers if is_input else self._client.read_holding_registers
        answer = self._answer(lambda: ask(register, count=count, device_id=self._address.unit))
        if len(answer.registers) != count:
            self._give_up(f"answered {len(answer.registers)} registers for {count}")
        return list(answer.registers)

    def write(self, register: int, words: Sequence[int]) -> None:
        """Write holding registers in one transaction. Raises LostError; then nobody knows whether it was done."""
        self._answer(lambda: self._client.write_registers(register, list(words), device_id=self._address.unit))

    def close(self) -> None:
        """Hang up."""
        self._client.close()  # type: ignore[no-untyped-call]  # pymodbus leaves it untyped

    def _answer(self, request: Callable[[], Any]) -> Any:  # pymodbus has a response type for each function
        try:
            answer = request()
        except (ModbusException, OSError, ValueError) as error:
            self.close()
            what = "hung up" if isinstance(error, ConnectionException) else "gives no answer that can be read"
            raise LostError(f"{self._address} {what}") from error
        if answer.isError():
            self._give_up(f"refuses: {answer}")
        return answer

    def _give_up(self, why: str) -> NoReturn:
        self.close()
        raise LostError(f"{self._address} {why}")


class _Once(ModbusTcpClient):
    """A client that never connects by itself."""

    def connect(self) -> bool:
        return self.socket is not None


@dataclass(frozen=True, slots=True)
class Status:
    """What a PLC says of itself: the first registers of the map."""

    map: int
    session: int
    taken: int
    bits: int
    emergency: int
    belt_um: int
    echo: int
    """The heartbeat that its program saw last: without it, only its network part may be alive."""
    missed: int
    """How many commands it had taken and could not act on, counted on."""
    answers: tuple[int, ...]

    @classmethod
    def parse(cls, words: Sequence[int]) -> "Status":
        """Return the status in `STATUS_WORDS` registers."""
        return cls(
            map=words[0],
            session=words[1],
            taken=words[2],
            bits=words[3],
            emergency=words[4],
            belt_um=words[BELT_AT] << 16 | words[BELT_AT + 1],
            echo=words[ECHO_AT],
            missed=words[MISSED_AT],
            answers=tuple(words[ANSWERS_AT : ANSWERS_AT + SLOTS]),
        )


def slot_words(
    command: LaneCommand, *, sequence: int, session: int, run: int, tier_code: int, by_position: bool
) -> list[int]:
    """Return a command as the words of its slot, the sequence first and last.

    The session is last but one: a slot may hold the same sequence of an earlier session, and only words that come
    after the command can tell that the command is whole.
    """
    has_position = by_position and command.belt_um is not None
    return [
        sequence,
        run,
        *_two_words(command.fruit),
        tier_code,
        command.lane,
        command.row,
        (DOUBTFUL if command.is_doubtful else 0) | (HAS_POSITION if has_position else 0),
        *_two_words(command.belt_um or 0),
        *_two_words(_milliseconds(command.at)),
        session,
        sequence,
    ]


def next_sequence(sequence: int) -> int:
    """Return the sequence after one; 1 follows the last."""
    return sequence % SEQUENCES + 1


def _two_words(value: int) -> tuple[int, int]:
    return value >> 16 & 0xFFFF, value & 0xFFFF


def _milliseconds(moment: datetime) -> int:
    """Return milliseconds since 1970, without the rounding of a float."""
    return int(moment.timestamp() * 1000) & 0xFFFF_FFFF


@dataclass(slots=True)
class _Entry:
    command: LaneCommand
    sequence: int = 0
    first_s: float = 0.0
    written_s: float = 0.0
    is_written: bool = False
    """Whether it went out at all: then the PLC may have acted on it, whatever it says later."""


@dataclass(frozen=True, slots=True)
class _Recalled:
    """A command taken back, until the PLC shows that it has left the session it was in."""

    command: LaneCommand
    why: Trouble
    session: int


@dataclass(frozen=True, slots=True)
class _Moment:
    """Where the belt was, and when."""

    belt_um: int | None
    now: datetime
    at_s: float


def _key(entry: _Entry) -> tuple[str, int]:
    return entry.command.run, entry.command.fruit


class ModbusOutputs(QueuedOutputs):
    """A PLC with the map. One thread speaks to it; whoever sends never waits.

    `where` tells the belt's position now, `seen` takes the PLC's own count of it on every reading.
    """

    def __init__(
        self,
        address: Address,
        lanes: Lanes,
        clock: Clock,
        *,
        where: Callable[[], int | None] = lambda: None,
        seen: Callable[[int], None] | None = None,
        by_position: bool = True,
        first_register: int = 0,
        poll_s: float = POLL_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        super().__init__(
            "modbus-outputs",
            lanes,
            clock,
            where=where,
            by_position=by_position,
            away=NO_PLC,
            patience_s=timeout_s * 4,
        )
        self._address, self._seen = address, seen
        self._first, self._poll_s, self._timeout_s = first_register, poll_s, timeout_s
        self._queue: deque[_Entry] = deque()
        self._sent: deque[_Entry] = deque()
        self._taken: list[_Entry] = []
        self._recalled: list[_Recalled] = []
        self._beaten: dict[int, _Moment] = {}
        self._proven: _Moment | None = None
        self._missed = 0
        self._session = self._last_session = self._sequence = self._heartbeat = self._confirmed = 0
        self._sessions: deque[int] = deque(maxlen=SESSIONS)
        self._is_agreed = False
        self._told = (-1, -1)
        self._asked_s = 0.0
        self._runs: dict[str, int] = {}
        self._state, self._detail = State.LOST, str(address)
        self._trouble: Trouble | None = NO_PLC

    # --- what others call ---------------------------------------------------------------------------

    @property
    def state(self) -> tuple[WireState, ...]:
        """Ready only in a session that the PLC confirmed."""
        with self._wake:
            return (WireState("modbus", self._state, self._detail, self._trouble),)

    @property
    def waiting(self) -> int:
        """How many commands the PLC has not taken yet."""
        with self._wake:
            return len(self._queue) + len(self._sent)

    def close(self) -> None:
        """Stop. The PLC misses our heartbeat and rejects, so what still lay before a gate is lost."""
        super().close()
        with self._wake:
            self._settle_recalled(None)

    # --- the thread ---------------------------------------------------------------------------------

    def _work(self) -> None:
        delay_s = RETRY_S
        while not self._closing():
            try:
                connection = Connection(self._address, timeout_s=self._timeout_s)
                try:
                    self._greet(connection)
                    delay_s = RETRY_S
                    self._serve(connection)
                finally:
                    connection.close()
            except LostError as error:
                self._becomes(State.LOST, str(error), error.trouble)
                delay_s = delay_s if error.trouble is NO_PLC else MAX_RETRY_S
            except Exception:  # noqa: BLE001  # whatever it is, the line must not lose its gates for good
                _log.exception("the PLC's thread stumbled; connecting anew")
                self._becomes(State.LOST, str(self._address), NO_PLC)
            with self._wake:
                self._purge()
                self._wake.wait_for(lambda: self._is_closing, timeout=delay_s)
            delay_s = min(delay_s * 2, MAX_RETRY_S)

    def _greet(self, connection: Connection) -> None:
        """Hear the PLC out before anything is written to it: whether it is ours, and what it forgot."""
        status = self._read(connection)
        ends_s = time.monotonic() + SHARED_S
        while self._is_somebody_elses(status):
            # A line that died leaves its session behind until the PLC misses its heartbeat.
            if time.monotonic() > ends_s or self._closing():
                raise LostError(f"{self._address} follows session {status.session} of another line", SHARED)
            time.sleep(self._poll_s)
            status = self._read(connection)
        self._heed(status)
        with self._wake:
            if not self._is_agreed or self._has_forgotten(status):
                self._begin_session(status)

    def _serve(self, connection: Connection) -> None:
        """Keep the session: heartbeat, commands, acknowledgements, until something fails."""
        beaten_s = float("-inf")
        while not self._closing():
            if time.monotonic() - beaten_s >= HEARTBEAT_S or self._has_news():
                self._beat(connection)
                beaten_s = time.monotonic()
            status = self._read(connection)
            self._heed(status)
            with self._wake:
                self._settle_recalled(status)
                can_write = self._follow(status)
            if can_write:
                self._write_commands(connection)
            with self._wake:
                self._purge()
                if not (can_write and self._queue and len(self._sent) < MOST_OUTSTANDING):
                    self._wake.wait(timeout=self._pause_s(beaten_s))

        with self._wake:
            self._session, self._is_agreed = 0, False
        # A farewell, so that the PLC need not wait to miss us.
        with contextlib.suppress(LostError):
            self._beat(connection)

    def _is_somebody_elses(self, status: Status) -> bool:
        return status.session != 0 and status.session not in self._sessions

    def _follow(self, status: Status) -> bool:
        """Take in what the PLC answers, and return whether commands may be written now."""
        if self._is_somebody_elses(status):
            raise LostError(f"{self._address} follows session {status.session} of another line", SHARED)
        is_stopped = bool(status.bits & STOPPED)
        if is_stopped or status.bits & EMERGENCY or self._emergency_reason is not None:
            self._session, self._is_agreed = 0, False
            self._state, self._detail = State.READY, str(self._address)
            self._trouble = PLC_STOPPED if is_stopped else IN_EMERGENCY
            return False
        if not self._is_agreed and self._session and status.session == self._session:
            self._is_agreed, self._confirmed = True, 0
            self._beaten, self._proven, self._missed = {}, self._moment(), status.missed
        if not self._is_agreed and self._session:
            if time.monotonic() - self._asked_s > TIMEOUT_S:
                # It may have taken this one up and ended it before we looked; it never takes up the same one again.
                self._state, self._detail, self._trouble = State.LOST, str(self._address), NOT_TAKING
                self._begin_session(status)
            return False
        if not self._session or self._has_forgotten(status):
            self._begin_session(status)
            return False
        self._acknowledged(status)
        proven = self._beaten.get(status.echo)
        if proven is not None:
            # Its program ran after this beat was sent, in this session: what had passed by then was acted on.
            self._proven = proven
            self._let_go(None if status.missed == self._missed else UNSURE, proven)
            self._missed = status.missed
        if self._proven is not None and time.monotonic() - self._proven.at_s > HALTED_S:
            self._state, self._trouble = State.LOST, HALTED
        return True

    def _has_forgotten(self, status: Status) -> bool:
        """Return whether the PLC began anew: another session, or ours with nothing taken of what was."""
        return status.session != self._session or (status.taken == 0 and self._confirmed != 0)

    def _pause_s(self, beaten_s: float) -> float:
        """Return how long nothing has to be done: shorter while an acknowledgement is awaited."""
        until_beat_s = max(0.0, beaten_s + HEARTBEAT_S - time.monotonic())
        return min(until_beat_s, self._poll_s / 5 if self._sent else self._poll_s)

    def _has_news(self) -> bool:
        """Return whether the PLC has not been told the session or the emergency there is."""
        with self._wake:
            return (self._session, self._emergency_number) != self._told

    def _read(self, connection: Connection) -> Status:
        status = Status.parse(connection.read(self._first, STATUS_WORDS))
        if status.map != MAP:
            raise LostError(f"{self._address} register {self._first} reads {status.map}, not {MAP}", NOT_OURS)
        return status

    def _beat(self, connection: Connection) -> None:
        """Write the control block, the heartbeat last."""
        belt_um = self._where() if self._by_position else None
        with self._wake:
            self._heartbeat = self._heartbeat + 1 & 0xFFFF
            self._beaten[self._heartbeat] = self._moment()
            while len(self._beaten) > SLOTS:
                del self._beaten[next(iter(self._beaten))]
            words = [
                self._session,
                self._emergency_number,
                *_two_words(_milliseconds(self._clock.now())),
                *_two_words(belt_um or 0),
                0 if belt_um is None else 1,
                self._heartbeat,
            ]
            told = self._session, self._emergency_number
        connection.write(self._first + CONTROL_AT, words)
        self._told = told

    def _heed(self, status: Status) -> None:
        """Take over what the PLC knows: where the belt is, and an emergency that outlived us."""
        if self._seen is not None:
            self._seen(status.belt_um)
        with self._wake:
            latched = status.emergency if status.bits & EMERGENCY else None
            if latched is None or latched == self._emergency_number:
                return
            if self._emergency_reason is None and latched + 1 & 0xFFFF == self._emergency_number:
                return  # cleared here, and about to be there
            # It clears only for the number after the one it latched, so that no belated packet can clear it.
            self._emergency_number = latched
            if self._emergency_reason is None:
                self._emergency_reason = "plc"
                self._drop(IN_EMERGENCY)

    def _begin_session(self, status: Status) -> None:
        """Choose a new session; what the PLC may have forgotten is commanded again, where there is still time."""
        self._let_go(UNSURE, self._moment())
        latest = {_key(entry): entry for entry in (*self._taken, *self._sent, *self._queue)}
        self._taken, self._sent = [], deque()
        self._queue = deque(_Entry(entry.command, is_written=entry.is_written) for entry in latest.values())
        while (session := random.randrange(1, 1 << 16)) in {status.session, self._last_session}:
            pass
        self._session = self._last_session = session
        self._sessions.append(session)
        self._sequence, self._is_agreed, self._asked_s = 0, False, time.monotonic()
        self._purge()

    def _acknowledged(self, status: Status) -> None:
        """Let go of what was taken. An acknowledgement of something not outstanding is old, or a lie: no effect."""
        self._state, self._detail, self._trouble = State.READY, str(self._address), None
        outstanding = [entry.sequence for entry in self._sent]
        if status.taken in outstanding:
            for _ in range(outstanding.index(status.taken) + 1):
                entry = self._sent.popleft()
                answer = status.answers[entry.sequence % SLOTS]
                if answer == 0:
                    self._taken.append(entry)
                else:
                    self._lost.append(LostCommand(entry.command, REFUSALS.get(answer, REFUSED)))
            self._confirmed = status.taken
        if self._sent and time.monotonic() - self._sent[0].first_s > TIMEOUT_S:
            self._trouble = NOT_TAKING

    def _write_commands(self, connection: Connection) -> None:
        """Write what is due: all that waits, and again what the PLC has not taken for a while."""
        with self._wake:
            # A packet of an older connection may have overwritten a slot; the same words again change nothing else.
            is_overdue = bool(self._sent) and time.monotonic() - self._sent[-1].written_s > AGAIN_S
            again = list(self._sent) if is_overdue else []
        for entry in again:
            self._write(connection, entry)
        while True:
            with self._wake:
                self._purge()
                if not self._queue or len(self._sent) >= MOST_OUTSTANDING or not self._session:
                    return
                entry = self._queue.popleft()
                self._sequence = entry.sequence = next_sequence(self._sequence)
                entry.first_s = time.monotonic()
                self._sent.append(entry)
            self._write(connection, entry)

    def _write(self, connection: Connection, entry: _Entry) -> None:
        """Write one command, in one transaction, its sequence last; a late one as a reject, for its number's sake."""
        command = self._in_time(entry.command)
        with self._wake:
            if command is not entry.command and entry.command.lane != REJECT:
                self._lost.append(LostCommand(entry.command, UNSURE if entry.is_written else LATE))
                entry.command = command
            entry.is_written = True
            session = self._session
            run = self._runs.setdefault(command.run, len(self._runs) % 0xFFFF + 1)
        words = slot_words(
            command,
            sequence=entry.sequence,
            session=session,
            run=run,
            tier_code=self._lanes.tier_code(command.tier),
            by_position=self._by_position,
        )
        entry.written_s = time.monotonic()
        self._write_slot(connection, self._first + RING_AT + entry.sequence % SLOTS * SLOT_WORDS, words)

    def _write_slot(self, connection: Connection, register: int, words: Sequence[int]) -> None:
        connection.write(register, words)

    # --- under the lock -----------------------------------------------------------------------------

    def _in_time(self, command: LaneCommand) -> LaneCommand:
        return self._lanes.in_time(command, belt_um=self._where(), now=self._clock.now())

    def _enqueue(self, command: LaneCommand) -> None:
        key = (command.run, command.fruit)
        self._queue = deque(entry for entry in self._queue if _key(entry) != key)
        self._taken = [entry for entry in self._taken if _key(entry) != key]
        self._queue.append(_Entry(command))

    def _next_number(self, *, is_active: bool) -> int:
        """Return the next number; the one that begins an emergency is odd, whatever the PLC had latched before."""
        return (self._emergency_number + 1 | is_active) & 0xFFFF

    def _drop(self, why: Trouble) -> None:
        """Lose everything that has not acted yet, and the session with it."""
        self._purge()
        if self._proven is not None:
            self._let_go(None, self._proven)
        for entry in (*self._taken, *self._sent, *self._queue):
            if entry.command.lane == REJECT:
                continue
            if entry.is_written:
                self._recalled.append(_Recalled(entry.command, why, self._session))
            else:
                self._lost.append(LostCommand(entry.command, why))
        self._taken, self._sent, self._queue = [], deque(), deque()
        self._session, self._is_agreed = 0, False

    def _moment(self) -> _Moment:
        return _Moment(self._where(), self._clock.now(), time.monotonic())

    def _left_um(self, command: LaneCommand, then: _Moment) -> int:
        return self._lanes.left_um(command, belt_um=then.belt_um, now=then.now)

    def _settle_recalled(self, status: Status | None) -> None:
        """Say what became of what was taken back: kept from acting, or nobody knows. None: nobody will."""
        then = self._moment()
        waiting: list[_Recalled] = []
        for each in self._recalled:
            if status is not None and status.session == each.session != 0:
                waiting.append(each)
            else:
                is_kept = status is not None and self._left_um(each.command, then) >= self._lanes.lead_um
                self._lost.append(LostCommand(each.command, each.why if is_kept else UNSURE))
        self._recalled = waiting

    def _let_go(self, why: Trouble | None, then: _Moment) -> None:
        """Let go of what the PLC took and had well passed its gate by then: done, or lost where nobody knows."""
        passed = [entry for entry in self._taken if self._left_um(entry.command, then) < -self._lanes.lead_um]
        self._taken = [entry for entry in self._taken if entry not in passed]
        if why is not None:
            self._lost += [LostCommand(entry.command, why) for entry in passed if entry.command.lane != REJECT]

    def _purge(self) -> None:
        """Lose what can no longer be sent in time; a reject needs no gate, and is not missed."""
        belt_um, now = self._where(), self._clock.now()
        waiting, self._queue = self._queue, deque()
        for entry in waiting:
            left_um = self._lanes.left_um(entry.command, belt_um=belt_um, now=now)
            if left_um >= (0 if entry.command.lane == REJECT else self._lanes.lead_um):
                self._queue.append(entry)
            elif entry.command.lane != REJECT:
                self._lost.append(LostCommand(entry.command, UNSURE if entry.is_written else LATE))

    def _becomes(self, state: State, detail: str, trouble: Trouble | None) -> None:
        with self._wake:
            self._state, self._detail, self._trouble = state, detail, trouble


def probe(address: Address, *, first_register: int = 0) -> WireState:
    """Return how a PLC answers, writing nothing to it: safe while a line runs."""
    try:
        connection = Connection(address)
        try:
            status = Status.parse(connection.read(first_register, STATUS_WORDS))
        finally:
            connection.close()
    except LostError as error:
        return WireState("modbus", State.LOST, str(error), NO_PLC)
    if status.map != MAP:
        return WireState("modbus", State.LOST, f"{address} register {first_register} reads {status.map}", NOT_OURS)
    detail = f"{address}, session {status.session}, belt {status.belt_um / 1000:.0f} mm"
    if status.bits & STOPPED:
        return WireState("modbus", State.READY, detail, PLC_STOPPED)
    return WireState("modbus", State.READY, detail, IN_EMERGENCY if status.bits & EMERGENCY else None)


class Registers:
    """Registers of a machine, read over and over in a thread: an encoder's counter, a scale's weight."""

    def __init__(
        self,
        address: Address,
        register: int,
        count: int,
        *,
        is_input: bool,
        every_s: float,
        on_words: Callable[[list[int]], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._address, self._register, self._count, self._is_input = address, register, count, is_input
        self._every_s, self._on_words, self._on_failure = every_s, on_words, on_failure
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"modbus-registers-{register}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._closing.set()
        self._thread.join(timeout=TIMEOUT_S * 4)

    def _work(self) -> None:
        delay_s = RETRY_S
        while not self._closing.is_set():
            try:
                connection = Connection(self._address)
                try:
                    while not self._closing.is_set():
                        self._on_words(connection.read(self._register, self._count, is_input=self._is_input))
                        delay_s = RETRY_S
                        self._closing.wait(self._every_s)
                finally:
                    connection.close()
            except LostError as error:
                self._on_failure(str(error))
            except Exception as error:  # noqa: BLE001  # whatever it is, the registers are asked again
                _log.exception("registers of %s could not be read", self._address)
                self._on_failure(str(error) or type(error).__name__)
            self._closing.wait(delay_s)
            delay_s = min(delay_s * 2, MAX_RETRY_S)


def whole_number(words: Sequence[int], *, is_low_first: bool, is_signed: bool = False) -> int:
    """Return the number in one or two registers."""
    ordered = reversed(words) if is_low_first else words
    value = 0
    for word in ordered:
        value = value << 16 | word
    bits = 16 * len(words)
    return value - (1 << bits) if is_signed and value >> (bits - 1) else value


def parse_address(key: str, text: str) -> Address:
    """Return the machine that `modbus://host:port/unit` names; port 502 and unit 1 may be left out.

    Raises WiringError, naming the key.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise WiringError(key, f"is no address: {error}") from error
    unit = parts.path.strip("/") or "1"
    if parts.scheme != "modbus" or not parts.hostname or parts.query or parts.username:
        raise WiringError(key, f"is {text!r}; a machine reads modbus://host:502/1")
    if not unit.isdecimal() or int(unit) > 247:
        raise WiringError(key, f"names unit {unit!r}; units go from 0 to 247")
    return Address(parts.hostname, port or 502, int(unit))


NO_PLC: Final = Trouble("output_lost", Text("与 PLC 断开，果送到剔除道", "the PLC does not answer; fruit go to reject"))
NOT_OURS: Final = Trouble(
    "plc_foreign",
    Text(
        "这台设备没有果源的寄存器表，什么都没有写入", "this device does not hold our register map; nothing was written"
    ),
)
UNSURE: Final = Trouble(
    "unsure",
    Text(
        "过闸门时与 PLC 断开，不知落在本道还是剔除道", "it passed its gate while the PLC was away: its lane, or reject"
    ),
)
SHARED: Final = Trouble(
    "plc_shared",
    Text("另一条线正在指挥这台 PLC，本线没有写入", "another line commands this PLC; nothing was written to it"),
)
NOT_TAKING: Final = Trouble("plc_not_taking", Text("PLC 不接收命令", "the PLC does not take commands"))
HALTED: Final = Trouble("plc_halted", Text("PLC 有应答但程序没有运行", "the PLC answers, but its program does not run"))
PLC_STOPPED: Final = Trouble("plc_stopped", Text("PLC 上的急停按下了", "the stop button at the PLC is pressed"))
REFUSED: Final = Trouble("plc_refused", Text("PLC 拒绝了命令", "the PLC refused the command"))
REFUSALS: Final = {
    1: Trouble(
        "plc_too_late", Text("PLC 收到时果已过闸门", "the fruit had passed its gate when the PLC took the command")
    ),
    2: Trouble("plc_no_lane", Text("PLC 没有这条道", "the PLC has no such lane")),
    3: Trouble("plc_no_row", Text("PLC 没有这一列", "the PLC has no such row")),
}
