"""A scale between camera and gates, for real: a drawn belt, an encoder over Modbus TCP, a scale over TCP, one line."""

import json
import queue
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from api.deploy.services import free_port
from api.line_delivery import Delivery
from api.line_journal import Journal
from api.line_runtime import LineRuntime
from grading.evidence import regrade_kept
from grading.grade import caution_fen
from grading.line import encoder, scales, waiting
from grading.line.belt import Line, LineSetup
from grading.line.doubts import Doubt
from grading.line.lanes import LaneCommand
from grading.line.record import belt_record, model_of
from grading.line.sources import Shot, SourceState
from grading.line.weights import Unweighed
from grading.line.wires import State, WireState
from grading.line.wiring import NoOutputs, open_wiring
from grading.profile import CameraProfile
from grading.rendering import Belt
from grading.standard import load_standard, load_tariff
from ledger.kernel.clock import SystemClock
from ledger.kernel.files import FileStore
from ledger.kernel.settings import Settings
from tests.api.line_edge import GRADING, now
from tests.simulators.plc import WORDS, ModbusServer
from tests.simulators.scale import TcpScale
from tests.waiting import until

LOT = "https://id.gs1.org/01/99521001000218/10/H261122-P01-1"
FRUIT = 9
BELT = Belt(seed=11, lanes=1, fruit_per_s=2, speed_mm_s=600, fps=15, touching=0.0, fruit=FRUIT)
PROFILE = CameraProfile.plain(
    nm_per_px=BELT.profile().nm_per_px, camera_height_um=BELT.profile().camera_height_um, name="drawn"
)
SETUP = LineSetup(load_standard("mango"), load_tariff(), PROFILE)
SCALE_MM, PLATE_UM, STEP_UM = 300, 25_000, 10_000
TOLERANCE_UM, LEAD_UM, FIRST_GATE_UM = 60_000, 40_000, 700_000
HALF_UM = PROFILE.nm_per_px * 640 // 2000
EMPTY = b"ST,GS,+  0.000kg\r\n"
WIRING = """
line = "L-1"
[belt]
speed_mm_per_s = 600
lead_mm = 40
spacing_mm = 30
[tiers]
A = 1
B = 2
C = 3
cull = 0
[gates_mm]
1 = 700
2 = 1000
3 = 1300
[encoder]
from = "modbus://127.0.0.1:{encoder}/1"
register = 0
nm_per_count = 100000
most_mm_per_s = 20000
[scale]
from = "tcp://127.0.0.1:{scale}"
{behind}
tolerance_mm = 60
"""


@dataclass
class Load:
    """What the scale shows of one fruit: so many times its true grams, at these offsets from its place."""

    permille: int = 1000
    from_um: int = -PLATE_UM
    to_um: int = PLATE_UM
    gap_um: tuple[int, int] = (0, 0)
    """Where the load seems gone for a moment."""


@dataclass
class Camera:
    """Gives the pictures that the test hands it."""

    name: str = "drawn"
    dropped: int = 0
    trouble: str = ""
    state: SourceState = SourceState.RUNNING
    skipped: Mapping[str, int] = field(default_factory=dict)
    waiting: "queue.Queue[Shot | None]" = field(default_factory=queue.Queue)

    def shots(self) -> Iterator[Shot]:
        while (shot := self.waiting.get()) is not None:
            yield shot

    def close(self) -> None:
        self.waiting.put(None)


class Stand:
    """One belt that really runs: the counter, the pictures and what lies on the scale follow one position."""

    def __init__(
        self,
        folder: Path,
        loads: Mapping[int, Load],
        *,
        dies_at: int | None = None,
        behind: str = f"behind_mm = {SCALE_MM}",
    ) -> None:
        self.loads, self.dies_at = loads, dies_at
        self.due_um = TOLERANCE_UM + 2 * STEP_UM if behind else -150_000
        self.words = [0] * WORDS
        self.server = ModbusServer(lambda: list(self.words), lambda *_: None, port=free_port())
        self.server.start()
        self.scale = TcpScale(EMPTY)
        (folder / "line.toml").write_text(WIRING.format(encoder=self.server.port, scale=self.scale.port, behind=behind))
        self.wiring = open_wiring(folder / "line.toml", SETUP.tariff)
        self.gates = Gates(self)
        self.wiring.outputs = self.gates
        self.journal, self.camera = Journal(folder / "state"), Camera()
        grading = replace(
            GRADING,
            profile=PROFILE,
            belt=lambda first: Line(SETUP, first=first),
            record=lambda passed, run: belt_record(passed, SETUP, run=run),
            model=(model_of(SETUP),),
        )
        self.line = LineRuntime(
            settings=Settings(),
            clock=SystemClock(),
            name="L-1",
            house="",
            journal=self.journal,
            delivery=Delivery(self.journal, None, code="", clock=SystemClock()),
            source=self.camera,
            wiring=self.wiring,
            grading=grading,
            disk_stop_bytes=0,
        )
        self.places: dict[int, int] = {}
        self.grams: dict[int, int] = {}
        self.um, self.is_alive = 0, True
        until(lambda: self.wiring.encoder.belt_um() is not None)
        until(lambda: self.wiring.scale.stable_g() == 0)
        self.line.start()
        self.line.open_batch(LOT)

    def run(self, *, fruit: int = FRUIT) -> None:
        """Let so many fruit pass camera and scale."""
        number, end_um = 0, None
        while end_um is None or self.um < end_um:
            shot = BELT.frame(number)
            self._go_to(shot.belt_um)
            for each in shot.truth:
                self.places[each.id] = each.belt_um + HALF_UM + SCALE_MM * 1000
                self.grams[each.id] = round(each.mass_g)
            if end_um is None and len(self.places) >= fruit:
                end_um = sorted(self.places.values())[fruit - 1] + 150_000
            self.camera.waiting.put(Shot(shot.pixels, number, number / 15, now(), self.wiring.encoder.belt_um()))
            until(lambda number=number: (seen := self.line._latest) is not None and seen[0].number >= number)
            number += 1
        until(lambda: self.line._keeper.pending == 0)

    def _go_to(self, belt_um: int) -> None:
        while self.um < belt_um:
            self.um = min(belt_um, self.um + STEP_UM)
            count = self.um // 100
            self.words[0:2] = [count >> 16, count & 0xFFFF]
            until(lambda: (read := self.wiring.encoder.belt_um()) is not None and read >= self.um)
            grams = self._on_the_plate()
            frame = b"ST,GS,+%7.3fkg\r\n" % (grams / 1000)
            if (
                self.is_alive
                and self.dies_at is not None
                and self.um >= self.places.get(self.dies_at, 1 << 60) - 100_000
            ):
                self.scale.close()
                self.is_alive = False
                until(lambda: self.wiring.scale.state.state == "lost")
            elif self.is_alive and self.scale.frame != frame:
                self.scale.frame = frame
                until(lambda grams=grams: self.wiring.scale.stable_g() == grams)
            # The belt runs on when what is due is done: how far a command comes after its weight is no matter of speed.
            for each, place in self.places.items():
                if self.um >= place + self.due_um:
                    until(lambda each=each: each + 1 in self.gates.sent, what=f"the command of fruit {each + 1}")
            time.sleep(0.02)

    def _on_the_plate(self) -> int:
        for each, place in self.places.items():
            load, offset = self.loads.get(each, Load()), self.um - place
            if load.from_um <= offset <= load.to_um and not load.gap_um[0] < offset < load.gap_um[1]:
                return self.grams[each] * load.permille // 1000
        return 0

    def close(self) -> None:
        self.line.stop()
        self.server.stop()
        self.scale.close()
        self.journal.close()


class Gates(NoOutputs):
    """Outputs that write down each command, and where the belt was then."""

    def __init__(self, stand: "Stand") -> None:
        super().__init__()
        self.stand, self.sent = stand, {}

    def send(self, command: LaneCommand) -> None:
        self.sent[command.fruit] = command, self.stand.um

    @property
    def state(self) -> tuple[WireState, ...]:
        return (WireState("modbus", State.READY, ""),)


@pytest.fixture(autouse=True)
def belt_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """This belt stands between its steps, as long as this machine needs: that is no fault of it, nor any speed."""
    monkeypatch.setattr(encoder, "_LONGEST_GUESS_S", 0.0)
    for module, name in ((encoder, "STALE_S"), (encoder, "STUCK_S"), (waiting, "PATIENCE_S")):
        monkeypatch.setattr(module, name, 600.0)
    for name in ("STALE_S", "SILENT_S"):
        monkeypatch.setattr(scales, name, 60.0)


def test_each_fruit_is_weighed_on_its_way_and_whatever_the_scale_does_is_told(tmp_path: Path) -> None:
    """One run holds the faults and their control: the fruit between two faulty ones has none, and its own weight."""
    odd, twice, late, dead = 2, 4, 6, 8
    faults = {
        odd: Load(permille=1900),
        twice: Load(gap_um=(-10_000, 10_000)),
        late: Load(from_um=90_000, to_um=110_000),
    }
    stand = Stand(tmp_path, {number - 1: load for number, load in faults.items()}, dies_at=dead - 1)
    try:
        stand.run()
        rows, state = {row.number: row for row in stand.journal.last(FRUIT)}, stand.line.state()
        files = FileStore(tmp_path / "kept")
        for data in (PROFILE.data, SETUP.standard.data, SETUP.tariff.data, model_of(SETUP)):
            files.put(data)
        kept = {
            number: [stand.journal.file(bytes.fromhex(name)) for name in row.files.split()]
            for number, row in rows.items()
        }
    finally:
        stand.close()
    assert sorted(rows) == list(range(1, FRUIT + 1))
    told = {number: json.loads(row.shown)["mass"] for number, row in rows.items()}
    for number in (1, 3, 5, 7):
        assert (rows[number].mass_g, told[number]["from"]) == (stand.grams[number - 1], "scale")
        assert rows[number].is_weighed
    for number in (odd, twice, late, dead, 9):
        assert (rows[number].mass_g, told[number]["from"]) == (told[number]["estimated_g"], "camera")
    assert told[odd]["scale_g"] == stand.grams[odd - 1] * 19 // 10
    assert Doubt.SCALE_DIFFERS.text.en in [each["en"] for each in json.loads(rows[odd].shown)["why"]]
    whys = {twice: Unweighed.AMBIGUOUS, late: Unweighed.MISSING, dead: Unweighed.SCALE_LOST, 9: Unweighed.SCALE_LOST}
    assert {number: told[number]["unweighed"]["en"] for number in whys} == {n: why.text.en for n, why in whys.items()}
    assert [number for number, row in rows.items() if row.tier == "doubtful"] == [odd]
    # The lane command waits for the weight, and is in time all the same.
    for number, (command, at_um) in stand.gates.sent.items():
        known_um = stand.places[number - 1] + TOLERANCE_UM
        assert known_um - 30_000 <= at_um <= stand.places[number - 1] - SCALE_MM * 1000 + FIRST_GATE_UM - LEAD_UM
        assert command.why is None
    assert sorted(stand.gates.sent) == sorted(rows)
    # The console tells.
    assert [(each["kind"], each["level"]) for each in state["alarms"]] == [("scale_lost", "warning")]
    assert (state["batch"]["weighed"], state["batch"]["fruit"]) == (4, FRUIT)
    assert {each["number"]: each["mass"] for each in state["last"]} == told
    near = [row for row in rows.values() if row.near_fen is not None]
    assert state["batch"]["near"] == {"fruit": len(near), "fen": sum(row.near_fen or 0 for row in near)}
    # Anybody grades it again.
    for number, (record, *crops) in kept.items():
        for crop in crops:
            files.put(crop)
        verdict = regrade_kept(files, files.put(record))
        assert (verdict.tier, verdict.price_fen) == (rows[number].tier, rows[number].price_fen)
        assert rows[number].near_fen == (
            caution_fen(verdict, SETUP.tariff, rows[number].mass_g) if verdict.is_near else None
        )
        record_told = json.loads(record)
        assert record_told["massFrom"] == told[number]["from"]


def test_without_a_scale_by_fruit_nothing_waits_and_the_estimate_counts(tmp_path: Path) -> None:
    """The control of the waiting: the same belt, the scale said to weigh lots."""
    stand = Stand(tmp_path, {}, behind="")
    try:
        stand.run(fruit=2)
        rows = stand.journal.last(2)
        sent = dict(stand.gates.sent)
    finally:
        stand.close()
    for row in rows:
        told = json.loads(row.shown)["mass"]
        assert (told["from"], told["unweighed"], row.mass_g) == ("camera", None, told["estimated_g"])
    assert all(at_um < stand.places[number - 1] - 100_000 for number, (_, at_um) in sent.items())
