"""A running line: what passes is kept and only then sent to a lane; what must not be graded is not."""

import queue
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from sqlalchemy.exc import OperationalError

from api.line_delivery import Delivery
from api.line_errors import (
    BatchOpenError,
    NoBatchError,
    OfflineSecondError,
    RefusedLotError,
    StoppedLineError,
    TierError,
    UndecidedError,
    UnknownCrateError,
    UnknownLotError,
    WeighingError,
)
from api.line_journal import Journal, NewFruit
from api.line_runtime import LineRuntime
from grading.line.belt import Drawn, Passed
from grading.line.doubts import Doubt
from grading.line.lanes import LaneCommand, lanes_for
from grading.line.sources import Shot, SourceState
from grading.line.wires import LostCommand, State, Trouble, WireState
from grading.line.wiring import NoOutputs, Wiring
from grading.profile import CameraProfile
from grading.standard import Text
from ledger.kernel.clock import SystemClock
from ledger.kernel.settings import Settings
from tests.api.line_edge import GRADING, Edge, now
from tests.simulators import belts
from tests.waiting import until

LOT = "https://id.gs1.org/01/99521001000218/10/H261122-P01-1"
OTHER = "https://id.gs1.org/01/99521001000218/10/H261122-P02-1"


@cache
def frames() -> tuple[np.ndarray, ...]:
    """A few pictures of the belt in good light."""
    return tuple(rendered.pixels for rendered in belts.BELT.shots(4, first=20))


class Camera:
    """Gives a picture when the test says so."""

    name, dropped, trouble = "test", 3, "unplugged"
    skipped: Mapping[str, int] = MappingProxyType({"broken": 1, "other_size": 1})

    def __init__(self) -> None:
        self.state = SourceState.RUNNING
        self.given = 0
        self.belt_um: int | None = None
        self._waiting: queue.Queue[np.ndarray | Exception | None] = queue.Queue()

    def give(self, pixels: np.ndarray | None = None) -> None:
        self.given += 1
        self._waiting.put(frames()[self.given % len(frames())] if pixels is None else pixels)

    def fail(self, error: Exception) -> None:
        self._waiting.put(error)

    def shots(self) -> Iterator[Shot]:
        number = 0
        while (pixels := self._waiting.get()) is not None:
            if isinstance(pixels, Exception):
                raise pixels
            number += 1
            yield Shot(pixels, number, number / 30, now(), self.belt_um)

    def close(self) -> None:
        self._waiting.put(None)


class Script:
    """A belt that lets so many fruit pass with each picture, and some more when it is emptied."""

    def __init__(self, first: int, each: int, left: int) -> None:
        self.next, self.each, self.left = first, each, left

    def feed(self, shot: Shot) -> list[Passed]:
        return [replace(fruit, at_s=shot.at_s) for fruit in self._go(self.each)]

    def flush(self) -> list[Passed]:
        left, self.left = self.left, 0
        return self._go(left)

    def overlay(self) -> Sequence[Drawn]:
        return ()

    blind = 0
    is_encoder_trusted = True

    def _go(self, count: int) -> list[Passed]:
        fruit = belts.passed(self.next, count)
        self.next += count
        return fruit


class Gates:
    """Outputs that remember what they were told, and what the journal held then."""

    def __init__(self) -> None:
        self.sent: list[LaneCommand] = []
        self.kept_when_sent: list[bool] = []
        self.journal: Journal | None = None
        self.emergency_reason: str | None = None
        self.standing = State.READY
        self.losing: list[LostCommand] = []

    def send(self, command: LaneCommand) -> None:
        assert self.journal is not None
        self.sent.append(command)
        self.kept_when_sent.append(self.journal.tally.last_number >= command.fruit)

    def emergency(self, reason: str) -> None:
        self.emergency_reason = reason

    def clear(self) -> None:
        self.emergency_reason = None

    def forget(self, reason: str) -> None:
        """Nothing is forgotten."""

    @property
    def state(self) -> tuple[WireState, ...]:
        return (WireState("modbus", self.standing, "127.0.0.1:502"),)

    def lost(self) -> list[LostCommand]:
        lost, self.losing = self.losing, []
        return lost

    def lose(self, number: int, kind: str) -> None:
        """Say that a command that was sent came to nothing."""
        command = next(each for each in self.sent if each.fruit == number)
        self.losing.append(LostCommand(command, Trouble(kind, Text(f"丢了 {kind}", f"lost: {kind}"))))

    def close(self) -> None:
        """Nothing is open."""


class Stand:
    """A line whose camera, belt and gates are the test's."""

    def __init__(
        self,
        folder: Path,
        *,
        each: int = 2,
        left: int = 0,
        profile: CameraProfile = belts.PROFILE,
        disk: int = 0,
        rows_um: Sequence[tuple[int, int]] = (),
        outputs: NoOutputs | None = None,
    ) -> None:
        self.journal, self.camera, self.gates = Journal(folder), Camera(), Gates()
        self.gates.journal = self.journal
        tariff = GRADING.tariff
        lanes = lanes_for(
            tariff,
            {"A": 1, "B": 2, "C": 3, "cull": 0},
            {1: 10**6, 2: 2 * 10**6, 3: 3 * 10**6},
            speed_um_s=1000,
            lead_um=0,
            spacing_um=0,
            rows_um=rows_um,
        )
        grading = replace(GRADING, profile=profile, belt=lambda first: Script(first, each, left))
        self.delivery = Delivery(self.journal, None, code="", clock=SystemClock())
        self.line = LineRuntime(
            settings=Settings(),
            clock=SystemClock(),
            name="LINE-1",
            house="",
            journal=self.journal,
            delivery=self.delivery,
            source=self.camera,
            wiring=Wiring("LINE-1", lanes, outputs or self.gates, None, None, SystemClock()),
            grading=grading,
            disk_stop_bytes=disk,
        )
        self.line.start()

    def give(self, pictures: int = 1, pixels: np.ndarray | None = None) -> None:
        """Give pictures, and wait until the line has looked at them and kept what passed."""
        for _ in range(pictures):
            self.camera.give(pixels)
        until(lambda: (latest := self.line._latest) is not None and latest[0].number >= self.camera.given)
        until(lambda: self.line._keeper.pending == 0 or self.line._keeper.disk_trouble is not None)
        self.line._state = None  # what is shown may be a quarter of a second old

    def alarms(self) -> dict[str, str]:
        self.line._state = None
        return {each["kind"]: each["level"] for each in self.line.state()["alarms"]}

    def end(self) -> None:
        self.line.stop()
        self.journal.close()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """A running line."""
    made = Stand(tmp_path / "line")
    yield made
    made.end()


def test_every_fruit_is_kept_before_its_lane_is_told(stand: Stand) -> None:
    stand.line.open_batch(LOT)
    stand.give(5)
    assert stand.journal.tally.fruit == 10
    until(lambda: len(stand.gates.sent) == 10)
    assert stand.gates.kept_when_sent == [True] * 10
    assert [command.fruit for command in stand.gates.sent] == list(range(1, 11))
    lanes = {"A": 1, "B": 2, "C": 3, "cull": 0}
    for command, row in zip(stand.gates.sent, reversed(stand.journal.last(10)), strict=True):
        assert command.lane == (0 if row.camera_tier == "doubtful" else lanes[row.camera_tier])
    until(lambda: stand.journal.uncommanded() == 0)
    assert [row.lane for row in stand.journal.last(10)] == [c.lane for c in reversed(stand.gates.sent)]


def test_a_fruit_goes_to_the_gates_of_its_own_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(0, 100_000), (100_000, 200_000)]
    made = Stand(tmp_path / "line", each=3, rows_um=rows)
    places = iter((50_000, 150_000, 250_000))
    go = Script._go

    def side_by_side(belt: Script, count: int) -> list[Passed]:
        return [replace(fruit, across_um=next(places)) for fruit in go(belt, count)]

    monkeypatch.setattr(Script, "_go", side_by_side)
    made.line.open_batch(LOT)
    made.give()
    made.end()
    assert [command.row for command in made.gates.sent[:2]] == [1, 2]
    assert made.gates.sent[2].lane == 0, "beside both rows no gate is sure to reach it"


def test_a_lost_command_is_kept_with_its_fruit_and_the_fruits_true_lane_is_told(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "line")
    stand.line.open_batch(LOT)
    stand.give(3)
    until(lambda: len(stand.gates.sent) == 6 and stand.journal.uncommanded() == 0)
    sorted_out = [each.fruit for each in stand.gates.sent if each.lane]
    late, unsure = sorted_out[:2]
    before = {row.number: row.lane for row in stand.journal.last()}
    stand.gates.lose(late, "too_late")
    stand.gates.lose(late, "plc_lost")
    stand.gates.lose(unsure, "unsure")
    until(lambda: stand.journal.tally.lost == 2)
    stand.give(1)
    rows = {row.number: row.lane for row in stand.journal.last()}
    assert {number: rows[number] for number in before} == {**before, late: 0, unsure: None}
    state = stand.line.state()
    told = {each["number"]: (each["lane"], each["lost"] and each["lost"]["kind"]) for each in state["last"]}
    assert (told[late], told[unsure]) == ((0, "too_late"), (None, "unsure"))
    assert {number for number, (_, kind) in told.items() if kind} == {late, unsure}
    assert state["batch"]["lost"]["fruit"] == 2
    assert {each["number"]: each["why"]["en"] for each in state["batch"]["lost"]["last"]} == {
        late: "lost: too_late",
        unsure: "lost: unsure",
    }
    assert stand.alarms() == {"output_lost": "warning"}
    stand.end()
    again = Stand(tmp_path / "line")
    assert again.line.state()["batch"]["lost"]["fruit"] == 2, "over a restart too"
    again.end()


def test_a_fruit_sent_to_reject_although_its_tier_has_a_lane_says_why(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "line", rows_um=[(0, 1000), (1000, 2000), (5_000_000, 6_000_000)])
    stand.line.open_batch(LOT)
    stand.give(3)
    until(lambda: len(stand.gates.sent) == 6)
    until(lambda: stand.journal.tally.lost > 0)
    stand.give(1)
    rows = [row for row in stand.journal.last() if row.number <= 6]
    assert {row.lane for row in rows} == {0}, "between the rows no gate is sure to reach them"
    has_lane = {row.number for row in rows if row.tier in {"A", "B", "C"}}
    assert {row.number for row in rows if row.lost} == has_lane
    stand.end()


def test_without_gates_no_fruit_has_a_lane_and_none_is_lost(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "line", outputs=NoOutputs())
    stand.line.open_batch(LOT)
    stand.give(2)
    until(lambda: stand.journal.uncommanded() == 0)
    state = stand.line.state()
    assert {each["lane"] for each in (*state["last"], *state["batch"]["tiers"])} == {None}
    assert (state["batch"]["lost"]["fruit"], state["alarms"]) == (0, [])
    assert (state["source"]["dropped"], state["source"]["skipped"]) == (3, 2)
    assert (state["delivery"]["state"], state["delivery"]["waiting"]) == ("off", 4)
    stand.end()


def test_nothing_counts_without_a_batch(stand: Stand) -> None:
    stand.give(3)
    state = stand.line.state()
    assert (state["batch"], state["last"], stand.gates.sent) == (None, [], [])
    assert stand.line.picture() is not None


def test_a_closed_batch_holds_what_was_still_under_the_camera(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "line", each=1, left=2)
    stand.line.open_batch(LOT)
    stand.give(2)
    with pytest.raises(UndecidedError) as refused:
        stand.line.close_batch(None)
    assert stand.journal.tally.fruit == 4
    assert refused.value.fruits == stand.journal.doubtful()
    for row in stand.journal.queue():
        stand.line.judge(row.number, row.nominal_tier, "looked", None)
    stand.line.close_batch(None)
    assert stand.journal.open_batch is None
    assert stand.journal.summary()[0]["fruit"] == 4
    with pytest.raises(NoBatchError):
        stand.line.close_batch(None)
    stand.end()


def test_doubtful_fruit_can_be_left_to_the_house_but_not_with_weights(stand: Stand) -> None:
    stand.line.open_batch(LOT)
    stand.give(5)
    waiting = stand.journal.doubtful()
    assert waiting
    with pytest.raises(UndecidedError):
        stand.line.close_batch(None)
    with pytest.raises(WeighingError, match="no tier yet"):
        stand.line.close_batch({"A": 1000}, leaves_doubtful=True)
    stand.line.close_batch(None, leaves_doubtful=True)
    assert stand.journal.open_batch is None
    assert stand.journal.summary()[0]["doubtful"] == waiting


def test_numbers_go_on_after_a_restart_and_what_had_no_lane_is_told(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "line")
    stand.line.open_batch(LOT)
    stand.give(2)
    fruit = belts.passed(5, 1)[0]
    batch = stand.journal.open_batch
    assert batch is not None
    stand.journal.add([GRADING.kept(fruit, batch.run, now())])  # kept, and then the power went
    stand.end()
    again = Stand(tmp_path / "line")
    assert "output_lost" in again.alarms()
    again.give(1)
    assert [row.number for row in again.journal.last()] == [7, 6, 5, 4, 3, 2, 1]
    again.end()
    ungated = Stand(tmp_path / "line", outputs=NoOutputs())
    assert ungated.alarms() == {}, "where no gate sorts, none was missed"
    ungated.end()


# --- what stops the grading ------------------------------------------------------------------------


def test_bad_light_is_told_and_nothing_is_graded_in_it(stand: Stand) -> None:
    stand.line.open_batch(LOT)
    stand.give(2)
    dark = np.zeros_like(frames()[0])
    stand.give(90, dark)
    counted = stand.journal.tally.fruit
    assert stand.alarms().get("too_dark") == "stop"
    stand.give(10, dark)
    assert stand.journal.tally.fruit == counted < 2 * 92
    stand.give(200)
    assert "too_dark" not in stand.alarms()
    assert stand.journal.tally.fruit > counted


def test_an_ended_calibration_stops_the_grading(tmp_path: Path) -> None:
    profile = CameraProfile.plain(
        nm_per_px=belts.PROFILE.nm_per_px,
        camera_height_um=belts.PROFILE.camera_height_um,
        made_at=now() - timedelta(hours=2),
        valid_until=now() - timedelta(hours=1),
    )
    stand = Stand(tmp_path / "line", profile=profile)
    assert stand.alarms() == {"calibration": "stop"}
    assert stand.line.state()["calibration"]["state"] == "expired"
    with pytest.raises(StoppedLineError, match="calibration"):
        stand.line.open_batch(LOT)
    stand.journal.begin(LOT, GRADING.rules, variety="", received_g=None, now=now())
    stand.give(3)
    assert stand.journal.tally.fruit == 0
    stand.end()


@pytest.mark.parametrize("left", [timedelta(minutes=10), timedelta(hours=2)])
def test_a_calibration_that_ends_soon_is_told_and_graded_by(tmp_path: Path, left: timedelta) -> None:
    profile = CameraProfile.plain(
        nm_per_px=belts.PROFILE.nm_per_px,
        camera_height_um=belts.PROFILE.camera_height_um,
        made_at=now() - timedelta(hours=2),
        valid_until=now() + left,
    )
    stand = Stand(tmp_path / "line", profile=profile)
    assert stand.alarms() == ({"calibration": "warning"} if left < timedelta(hours=1) else {})
    stand.end()


def test_lost_gates_stop_the_grading_and_it_goes_on_with_them(stand: Stand) -> None:
    stand.line.open_batch(LOT)
    stand.give(1)
    stand.gates.standing = State.LOST
    stand.give(3)
    assert (stand.journal.tally.fruit, stand.alarms()) == (2, {"output_lost": "stop"})
    stand.gates.standing = State.READY
    stand.give(1)
    assert (stand.journal.tally.fruit, stand.alarms()) == (4, {})


def test_fruit_that_may_have_passed_unseen_are_told(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.line.open_batch(LOT)
    stand.give()
    assert stand.alarms() == {}
    monkeypatch.setattr(Script, "blind", 2)
    monkeypatch.setattr(Script, "is_encoder_trusted", False)
    stand.give()
    assert stand.alarms() == {"camera_lost": "warning"}, "without an encoder there is none to doubt"
    monkeypatch.setattr(stand.camera, "belt_um", 4711)
    stand.give()
    assert stand.alarms() == {"camera_lost": "warning", "encoder_lost": "warning"}
    monkeypatch.setattr(Script, "is_encoder_trusted", True)
    stand.give()
    assert stand.alarms() == {"camera_lost": "warning"}


def test_a_picture_that_breaks_the_grading_is_told_and_the_line_goes_on(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.line.open_batch(LOT)
    feed, broken = Script.feed, iter((RuntimeError("no memory for this picture"), KeyError()))

    def breaks(belt: Script, shot: Shot) -> list[Passed]:
        if (error := next(broken, None)) is not None:
            raise error
        return feed(belt, shot)

    monkeypatch.setattr(Script, "feed", breaks)
    stand.camera.give()
    until(lambda: stand.line._surprise is not None)
    assert stand.alarms() == {"camera_lost": "warning"}
    stand.camera.give()
    until(lambda: stand.line._surprise == "KeyError")
    stand.give()
    assert stand.alarms() == {}
    assert stand.journal.tally.fruit == 2


def test_a_fruit_that_cannot_be_written_down_stops_the_line_and_is_told(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.line.open_batch(LOT)
    keeper = stand.line._keeper
    monkeypatch.setattr(keeper, "_grading", replace(keeper._grading, record=lambda *_: str(1 // 0).encode()))
    stand.camera.give()
    until(lambda: stand.alarms() == {"program": "stop"})
    assert (stand.gates.sent, stand.journal.tally.fruit) == ([], 0)


def test_a_source_that_breaks_off_stops_the_line_and_is_told(stand: Stand) -> None:
    stand.camera.fail(RuntimeError("the driver is gone"))
    until(lambda: stand.alarms() == {"program": "stop"})
    with pytest.raises(StoppedLineError, match="the driver is gone"):
        stand.line.open_batch(LOT)


def test_a_lot_begun_by_another_calibration_is_ended_before_fruit_count_by_the_new_one(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "line")
    stand.line.open_batch(LOT)
    stand.give()
    stand.end()
    again = Stand(tmp_path / "line", profile=replace(belts.PROFILE, name="calibrated anew"))
    again.give(2)
    assert (again.alarms(), again.journal.tally.fruit) == ({"rules": "stop"}, 2)
    again.line.close_batch(None, leaves_doubtful=True)
    again.line.open_batch(OTHER)
    again.give()
    assert (again.alarms(), again.journal.tally.fruit) == ({}, 2)
    again.end()


def test_a_clock_that_is_set_is_heeded_between_lots_only_and_what_was_aimed_by_the_old_time_is_taken_back(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Jumping:
        heeded = 0

        def set(self) -> bool:
            self.heeded += 1
            return True

    steady, forgotten = Jumping(), list[str]()
    monkeypatch.setattr(stand.line, "_steady", steady)
    monkeypatch.setattr(stand.gates, "forget", forgotten.append)
    stand.give()
    stand.line.open_batch(LOT)
    stand.give(3)
    assert (steady.heeded, forgotten) == (1, ["clock_set"])


def test_a_lost_camera_is_told(stand: Stand) -> None:
    stand.camera.state = SourceState.LOST
    assert stand.alarms() == {"camera_lost": "stop"}
    assert stand.line.state()["source"]["state"] == "lost"


def test_an_emergency_stops_everything_until_cleared_and_over_a_restart(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "line")
    stand.line.open_batch(LOT)
    stand.line.emergency("hand on the belt")
    stand.give(2)
    assert (stand.gates.emergency_reason, stand.journal.tally.fruit) == ("hand on the belt", 0)
    assert stand.alarms() == {"emergency": "stop"}
    stand.end()
    again = Stand(tmp_path / "line")
    assert again.gates.emergency_reason == "hand on the belt"
    again.line.clear_emergency()
    again.give(1)
    assert (again.gates.emergency_reason, again.journal.tally.fruit) == (None, 2)
    again.end()


def test_a_full_disk_stops_the_grading_and_no_lane_is_told_before_it_has_room(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.line.open_batch(LOT)
    real, is_full = stand.journal.add, threading.Event()
    is_full.set()

    def add(fruit: Sequence[NewFruit], *, commanded: dict[int, int] | None = None) -> None:
        if is_full.is_set():
            raise OperationalError("INSERT", {}, Exception("database or disk is full"))
        real(fruit, commanded=commanded)

    monkeypatch.setattr(stand.journal, "add", add)
    stand.give(1)
    assert stand.alarms() == {"disk": "stop"}
    stand.give(4)
    assert (stand.gates.sent, stand.journal.tally.fruit) == ([], 0)
    is_full.clear()
    until(lambda: stand.journal.tally.fruit == 2)
    until(lambda: len(stand.gates.sent) == 2)
    assert stand.alarms() == {}
    stand.give(1)
    assert stand.journal.tally.fruit == 4


def test_too_little_room_on_the_disk_stops_before_it_is_full(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "line", disk=1 << 60)
    with pytest.raises(StoppedLineError, match="disk"):
        stand.line.open_batch(LOT)
    stand.end()


# --- people ----------------------------------------------------------------------------------------


def test_a_batch_is_opened_by_a_lots_code_or_a_known_crate(stand: Stand) -> None:
    for strange in ("https://id.gs1.org/8003/952100200001CRATE7", "CRATE-7", "", "https://id.gs1.org/01/1"):
        with pytest.raises(UnknownCrateError):
            stand.line.open_batch(strange)
    known = {"lot": LOT, "variety": "Guifei", "state": "received", "received_g": 5000, "crates": ["CRATE-7"]}
    held = {"lot": OTHER, "variety": "", "state": "held", "received_g": 5000, "crates": ["CRATE-8"]}
    stand.delivery._known = {"lots": [known, held], "rules": [], "is_sample": False}
    with pytest.raises(RefusedLotError):
        stand.line.open_batch("CRATE-8")
    stand.line.open_batch(" CRATE-7\n")
    batch = stand.line.state()["batch"]
    assert (batch["lot"], batch["variety"], batch["received_g"]) == (LOT, "Guifei", 5000)
    stand.line.open_batch(LOT)
    with pytest.raises(BatchOpenError):
        stand.line.open_batch("https://id.gs1.org/01/99521001000218/10/H261122-P03-1")


def test_a_lot_that_the_house_in_reach_has_not_received_is_refused_and_one_received_just_now_is_not(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    class House:
        token, lots = "signed in", list[dict[str, object]]()

        def look(self) -> dict[str, object]:
            return {"lots": list(self.lots)}

    house = House()
    monkeypatch.setattr(stand.delivery, "_house", house)
    stand.delivery.step()
    with pytest.raises(UnknownLotError):
        stand.line.open_batch(OTHER)
    assert stand.journal.open_batch is None
    house.lots = [{"lot": OTHER, "crates": [], "state": "received", "variety": "Guifei", "received_g": 5000}]
    stand.line.open_batch(OTHER)
    assert stand.line.state()["batch"]["variety"] == "Guifei"


def test_a_decision_moves_the_counters_and_a_better_one_needs_the_house(stand: Stand) -> None:
    stand.line.open_batch(LOT)
    stand.give(5)
    row = next(each for each in stand.journal.last(10) if not {each.tier, each.nominal_tier} & {"A", "cull"})
    before = stand.line.state()["batch"]
    with pytest.raises(OfflineSecondError) as refused:
        stand.line.judge(row.number, "A", "looked", "K7Q2-9FMX-3TRB")
    assert "第二人" in refused.value.detail_zh
    with pytest.raises(TierError):
        stand.line.judge(row.number, "S", "looked", None)
    with pytest.raises(TierError):
        stand.line.judge(row.number, "cull", "because", None)
    stand.line.judge(row.number, "cull", "rot", None)
    stand.line.judge(row.number, "cull", "rot", None)
    after = stand.line.state()["batch"]
    assert after["rejected"] == before["rejected"] + 1
    assert sum(each["fruit"] for each in after["tiers"]) + after["doubtful"] == after["fruit"] == 10


def test_fruit_given_the_lower_tier_are_counted_with_what_it_cost_until_a_person_decides(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "line")
    stand.line.open_batch(LOT)
    stand.give(5)
    near = [row for row in stand.journal.last(10) if row.near_fen is not None]
    assert near
    assert {row.tier for row in near}.isdisjoint({"doubtful"})
    counted = {"fruit": len(near), "fen": sum(row.near_fen or 0 for row in near)}
    assert stand.line.state()["batch"]["near"] == counted
    shown = {each["number"]: each["near_fen"] for each in stand.line.state()["last"]}
    assert {row.number: row.near_fen for row in near}.items() <= shown.items()
    one = next(row for row in near if row.near_fen)
    # As the numbers say: no second person is needed, for nobody makes it better than the camera saw it.
    stand.line.judge(one.number, one.nominal_tier, "looked", None)
    after = {"fruit": len(near) - 1, "fen": counted["fen"] - (one.near_fen or 0)}
    assert stand.line.state()["batch"]["near"] == after
    stand.end()
    again = Stand(tmp_path / "line")
    assert again.line.state()["batch"]["near"] == after
    again.end()


def test_a_file_of_an_earlier_version_is_read_and_written_on(tmp_path: Path) -> None:
    edge = Edge(tmp_path)
    edge.begin(LOT)
    edge.pass_by(3)
    edge.journal.close()
    new = ("near_fen", "is_weighed", "lost")
    with sqlite3.connect(tmp_path / "line.db") as old:
        for column in new:
            old.execute(f"ALTER TABLE line_fruit DROP COLUMN {column}")
    old.close()
    edge.open()
    edge.pass_by(3)
    rows = edge.journal.last(10)
    assert [row.number for row in rows] == [6, 5, 4, 3, 2, 1]
    assert all((row.near_fen, row.is_weighed, row.lost) == (None, False, None) for row in rows[3:])
    edge.journal.close()


def test_weights_are_checked_before_the_batch_is_closed(stand: Stand) -> None:
    stand.delivery._known = {
        "lots": [{"lot": LOT, "variety": "", "state": "received", "received_g": 3000, "crates": []}]
    }
    stand.line.open_batch(LOT)
    stand.give(5)
    for row in stand.journal.queue(100):
        stand.line.judge(row.number, row.nominal_tier, "looked", None)
    present = [each["tier"] for each in stand.line.state()["batch"]["tiers"] if each["fruit"]]
    for weighed in ({"A": 3000, "S": 1}, dict.fromkeys(present, 1), dict.fromkeys(present, 3000)):
        with pytest.raises(WeighingError):
            stand.line.close_batch(weighed)
    share = 2990 // len(present)
    stand.line.close_batch(dict.fromkeys(present, share))
    assert stand.journal.open_batch is None


def test_what_is_shown_is_what_the_brief_of_the_console_says(stand: Stand) -> None:
    stand.line.open_batch(LOT)
    stand.give(5)
    state = stand.line.state()
    assert set(state) >= {
        "as_of", "line", "house", "source", "batch", "queue", "last", "calibration", "alarms", "delivery", "outputs",
        "reasons",
    }  # fmt: skip
    assert set(state["batch"]) >= {
        "ref", "lot", "crop", "variety", "standard", "opened_at", "received_g", "fruit", "mass_g", "rate_per_min",
        "doubtful", "rejected", "tiers",
    }  # fmt: skip
    for waiting in state["queue"]:
        assert set(waiting) == {"number", "crops", "candidates", "nominal_tier", "why", "measures", "mass", "at"}
        assert all(stand.line.file(bytes.fromhex(crop.rpartition("/")[2])) for crop in waiting["crops"])
    assert datetime.fromisoformat(state["as_of"]).tzinfo is not None
    assert state["delivery"]["waiting"] == 10
    assert state["marks"] is None, "this line asks no network about marks"


def test_what_came_of_looking_again_at_marks_is_counted_by_fruit(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [belts.doubted(belts.seen()[0], doubt=each) for each in (Doubt.MARKS_UNCHECKED, Doubt.MARKS)]
    monkeypatch.setattr(
        belts, "passed", lambda first, count: [replace(shown[at], number=first + at) for at in range(count)]
    )
    stand.line._grading = replace(stand.line._grading, looks_again=True)
    stand.line.open_batch(LOT)
    stand.give()
    state = stand.line.state()
    assert state["marks"] == {"not_asked": 0, "agreed": 0, "hollows": 0, "disputed": 1, "too_late": 1}
    told = {each["number"]: each["why"][0]["en"] for each in state["queue"]}
    assert told == {1: Doubt.MARKS_UNCHECKED.text.en, 2: Doubt.MARKS.text.en}
