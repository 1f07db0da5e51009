"""A PLC with the line's register map: a real Modbus TCP server, a belt with fruit, gates that throw them out.

Nothing of the product's Modbus code is used: the map is written down here a second time, from its description.
The memory changes one word at a time, with the program running in between, as in a PLC whose communication is not
in step with its program.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

WORDS = 512
CONTROL, RING, SLOTS, SLOT_WORDS = 32, 48, 16, 14
COUNTER = 1 << 32


@dataclass
class Fruit:
    number: int
    tier: str
    at_um: int
    """What the belt reads when it leaves the picture."""
    row: int = 1
    landed: int | None = None


@dataclass
class Belt:
    """The real belt: fruit lie on it, gates stand beside it. A gate throws out whatever lies before it."""

    gates_um: dict[int, int]
    half_um: int = 12_000
    read_um: int = COUNTER - 1_000_000
    """What the encoder has counted, without wrapping; it starts where 32 bits are about to."""
    fruit: list[Fruit] = field(default_factory=list)
    stray: int = 0

    def fire(self, lane: int, row: int) -> None:
        """Throw out what lies before a gate now."""
        distance = self.gates_um[lane]
        hit = [
            f
            for f in self.fruit
            if f.landed is None and f.row == row and abs(f.at_um + distance - self.read_um) <= self.half_um
        ]
        self.stray += not hit
        for each in hit:
            each.landed = lane

    def move(self, um: int) -> None:
        """Run on; what passes the last gate falls off the end."""
        self.read_um += um
        end = max(self.gates_um.values()) + 2 * self.half_um
        for each in self.fruit:
            if each.landed is None and each.at_um + end < self.read_um:
                each.landed = 0


@dataclass
class Order:
    lane: int
    row: int
    position: int | None
    at_ms: int = 0


class Plc:
    """The program. `scan` is one cycle of it."""

    def __init__(
        self,
        belt: Belt,
        *,
        watchdog_s: float = 0.5,
        rows: int = 1,
        monotonic: Callable[[], float] = time.monotonic,
        checks_both: bool = True,
        own_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        self.own_ms = own_ms
        """Its own clock, which is not ours: what ours reads comes with each heartbeat."""
        self.belt, self.watchdog_s, self.rows, self.monotonic = belt, watchdog_s, rows, monotonic
        self.checks_both = checks_both
        self.lock = threading.RLock()
        self.is_scanning = True
        self.stale_acknowledgements = 0
        self.seen_heartbeats = 0
        self.taken_fruit: list[int] = []
        self.scans_per_word = 1
        self.restart()

    def restart(self) -> None:
        """Power off and on: the memory is gone."""
        with self.lock:
            self.memory = [0] * WORDS
            self.memory[0] = 0x4701
            self.session, self.ended = 0, 0
            self.taken = 0
            self.latched = 0
            self.is_latched = self.is_tripped = self.is_stopped = False
            self.heartbeat, self.beaten_s = 0, self.monotonic()
            self.ahead_ms = COUNTER
            self.orders: dict[tuple[int, int], Order] = {}
            self.missed = 0
            self._tell()

    def write(self, address: int, values: list[int]) -> None:
        """Take a write as the network gives it: word by word, the program running in between."""
        with self.lock:
            for offset, value in enumerate(values):
                self.memory[address + offset] = value
                if self.is_scanning:
                    self.scan()

    def run(self, um: int, step_um: int = 2_000) -> None:
        """Run the belt and the program."""
        for _ in range(max(1, um // step_um)):
            with self.lock:
                self.belt.move(step_um)
                if self.is_scanning:
                    self.scan()

    def stop_button(self, *, pressed: bool) -> None:
        with self.lock:
            self.is_stopped = pressed
            self.scan()

    def scan(self) -> None:
        with self.lock:
            self._control()
            self._take()
            self._act()
            self._tell()

    def _forget(self) -> None:
        self.orders.clear()
        for slot in range(SLOTS if self.checks_both else 0):
            self.memory[RING + slot * SLOT_WORDS + 13] = 0
        self.ended, self.session, self.taken = self.session or self.ended, 0, 0

    def _control(self) -> None:
        session, number, heartbeat = self.memory[CONTROL], self.memory[CONTROL + 1], self.memory[CONTROL + 7]
        if heartbeat != self.heartbeat:
            self.heartbeat, self.beaten_s, self.is_tripped = heartbeat, self.monotonic(), False
            self.seen_heartbeats += 1
            told_ms = self.memory[CONTROL + 2] << 16 | self.memory[CONTROL + 3]
            # A packet that came late makes it larger, never smaller.
            self.ahead_ms = min(self.own_ms() - told_ms, self.ahead_ms)
        elif self.session and self.monotonic() - self.beaten_s > self.watchdog_s:
            self.is_tripped = True
        if not self.is_latched and number % 2:
            self.is_latched, self.latched = True, number
        elif self.is_latched and number == (self.latched + 1) % 65_536:
            self.is_latched, self.latched = False, number
        if self.is_latched or self.is_stopped or self.is_tripped:
            self._forget()
        elif session != self.session:
            self._forget()
            if session != self.ended:
                self.session = session

    def _take(self) -> None:
        if not self.session:
            return
        expected = self.taken % 65_535 + 1
        at = RING + expected % SLOTS * SLOT_WORDS
        if self.memory[at + 13] != expected:
            return
        slot = self.memory[at : at + SLOT_WORDS]
        if self.checks_both and (slot[0] != expected or slot[12] != self.session):
            return
        answer = 0
        fruit, lane, row = slot[2] << 16 | slot[3], slot[5], slot[6]
        ahead = ((slot[8] << 16 | slot[9]) - self.belt.read_um + COUNTER // 2) % COUNTER - COUNTER // 2
        self.orders.pop((slot[1], fruit), None)
        if lane:
            if lane not in self.belt.gates_um:
                answer = 2
            elif not 1 <= row <= self.rows:
                answer = 3
            elif not slot[7] & 2:
                at_ms = (slot[10] << 16 | slot[11]) + self.ahead_ms
                if at_ms < self.own_ms():
                    answer = 1
                else:
                    self.orders[slot[1], fruit] = Order(lane, row, None, at_ms)
            elif ahead < 0:
                answer = 1
            else:
                self.orders[slot[1], fruit] = Order(lane, row, self.belt.read_um + ahead)
        self.taken_fruit.append(fruit)
        self.taken = expected
        self.memory[12 + expected % SLOTS] = answer

    def _act(self) -> None:
        for key, order in list(self.orders.items()):
            if order.position is None:
                if order.at_ms <= self.own_ms():
                    del self.orders[key]
                    self.belt.fire(order.lane, order.row)
            elif order.position <= self.belt.read_um:
                del self.orders[key]
                # A place that is further behind than a gate reaches was missed, whatever the reason.
                if self.belt.read_um - order.position <= self.belt.half_um:
                    self.belt.fire(order.lane, order.row)
                else:
                    self.missed = (self.missed + 1) % 65_536

    def _tell(self) -> None:
        counter = self.belt.read_um % COUNTER
        self.memory[0:9] = [
            0x4701,
            self.session,
            self.taken,
            self.is_latched | self.is_tripped << 1 | self.is_stopped << 2,
            self.latched,
            counter >> 16,
            counter & 0xFFFF,
            self.heartbeat,
            self.missed,
        ]


class ModbusServer:
    """Any memory behind a real Modbus TCP server, in a thread of its own."""

    def __init__(
        self,
        read: Callable[[], list[int]],
        write: Callable[[int, list[int]], None],
        *,
        port: int,
    ) -> None:
        self.port, self._read, self._write = port, read, write
        self.requests = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: ModbusTcpServer | None = None
        self._thread: threading.Thread | None = None

    async def _action(self, _code, _start, address, _count, registers, values):
        self.requests += 1
        if values is not None:
            self._write(address, list(values))
        registers[:WORDS] = self._read()

    def start(self) -> None:
        up = threading.Event()

        async def serve() -> None:
            device = SimDevice(1, simdata=[SimData(0, count=WORDS, datatype=DataType.REGISTERS)], action=self._action)
            self._server = ModbusTcpServer(device, address=("127.0.0.1", self.port))
            await self._server.serve_forever(background=True)
            up.set()
            await self._server.serving

        def work() -> None:
            self._loop = asyncio.new_event_loop()
            try:
                self._loop.run_until_complete(serve())
            finally:
                self._loop.close()

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()
        assert up.wait(60)

    def stop(self) -> None:
        if self._loop is not None and self._server is not None and self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._server.shutdown(), self._loop).result(60)
            self._thread.join(60)
            self._loop = None


def serve(plc: Plc, port: int) -> ModbusServer:
    """Put a PLC on the network."""

    def read() -> list[int]:
        with plc.lock:
            if plc.is_scanning:
                plc.scan()
            words = list(plc.memory)
            if plc.stale_acknowledgements:
                # The same acknowledgement once more, although it has taken others since.
                words[2] = max(0, words[2] - plc.stale_acknowledgements)
            return words

    server = ModbusServer(read, plc.write, port=port)
    server.start()
    return server
