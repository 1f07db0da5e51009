"""A line's station and its house as real processes, killed again and again: every fruit counts once on both sides."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import SQLModel, select

from api import accounts
from api.deploy.services import free_port
from api.line_journal import Journal
from api.runtime import Runtime
from grading.models import Batch, Fruit
from grading.regrading import evidence_of, regrade_all, roots
from ledger.kernel.settings import Settings
from ledger.models import Entry
from ledger.vocabulary import Sentence
from tests.api.orchard import Orchard
from tests.simulators import belts
from tests.waiting import until

PATIENCE_S = 90.0
TOTAL = 70


def true_at_last(true: Callable[[], bool], what: str) -> None:
    """Wait as long as a house and a line that are killed and started again may take on a slow machine."""
    until(true, PATIENCE_S, what=what, every_s=0.02)


@dataclass
class Processes:
    """A house and a line, each started, killed and started again as the test says."""

    folder: Path
    lot: str
    code: str
    home: Path
    ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))
    house: subprocess.Popen[bytes] | None = None
    line: subprocess.Popen[bytes] | None = None

    @property
    def server(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def console(self) -> str:
        return f"http://127.0.0.1:{self.ports[1]}"

    def start_house(self) -> None:
        environment = os.environ | {
            "GUOYUAN_HOME": str(self.home),
            "GUOYUAN_MQTT_PORT": "0",
            "GUOYUAN_PUBLIC_URL": self.server,
        }
        command = [sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app", "--port", str(self.ports[0])]
        self.house = subprocess.Popen([*command, "--log-level", "critical", "--no-access-log"], env=environment)

    def start_line(self) -> None:
        given = {
            "state": str(self.folder / "line"),
            "server": self.server,
            "code": self.code,
            "port": self.ports[1],
            "fruit": str(self.folder / "fruit.pickle"),
            "lanes": str(self.folder / "lanes.txt"),
            "total": TOTAL,
        }
        command = [sys.executable, "-m", "tests.simulators.edge_process", json.dumps(given)]
        self.line = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """Ask the console; None while it does not answer."""
        try:
            answer = httpx.request(method, self.console + path, json=body, timeout=5)
        except httpx.TransportError:
            return None
        assert answer.is_success, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def counted(self) -> int:
        """How many fruit the line's open batch has, as its console says; -1 while it does not answer."""
        told = self.ask("GET", "/state")
        return -1 if told is None or told["batch"] is None else int(told["batch"]["fruit"])

    def kill(self, process: subprocess.Popen[bytes] | None) -> None:
        assert process is not None
        process.send_signal(signal.SIGKILL)
        process.wait(20)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """A house with a received lot; nothing runs yet."""
    home = tmp_path / "home"
    rt = Runtime.open(Settings(home=home, mqtt_port=0))
    SQLModel.metadata.create_all(rt.db.engine)
    orchard = Orchard(rt)
    lot = orchard.pick(orchard.order(A=1), 20_000).lot
    orchard.receive(lot, 20_000)
    with rt.db.write() as session:
        code = accounts.new_code(session, accounts.person(session, "station-1"), now=rt.clock.now())
    rt.close()
    pictures = [rendered.pixels for rendered in belts.BELT.shots(4, first=20)]
    (tmp_path / "fruit.pickle").write_bytes(pickle.dumps((belts.seen(), pictures, belts.PROFILE)))
    made = Processes(tmp_path, lot, code, home)
    yield made
    for process in (made.line, made.house):
        if process is not None and process.poll() is None:
            process.kill()
            process.wait(20)


def test_killed_at_every_stage_both_sides_count_every_fruit_once(processes: Processes) -> None:
    """Line killed while grading, while out of reach and after closing; house killed while it is delivered to."""
    processes.start_house()
    processes.start_line()
    true_at_last(lambda: processes.ask("GET", "/healthz") is not None, "the console answers")
    processes.ask("POST", "/batches", {"scanned": processes.lot})
    true_at_last(lambda: processes.counted() >= 8, "eight fruit")
    processes.kill(processes.line)
    processes.start_line()
    true_at_last(lambda: processes.counted() >= 16, "sixteen fruit")
    processes.kill(processes.house)
    true_at_last(lambda: processes.counted() >= 32, "the line grades on without its house")
    processes.kill(processes.line)
    processes.start_line()
    true_at_last(lambda: processes.counted() >= 44, "and again")
    state = processes.ask("GET", "/state")
    assert state is not None
    assert state["delivery"]["state"] in {"offline", "waiting"}
    assert state["delivery"]["waiting"] > 0
    processes.start_house()
    true_at_last(lambda: processes.counted() == TOTAL, "all have passed")
    while queue := (processes.ask("GET", "/state") or {"queue": []})["queue"]:
        for waiting in queue:
            processes.ask("POST", f"/fruit/{waiting['number']}/judge", {"tier": waiting["nominal_tier"]})
        time.sleep(0.3)
    closed = processes.ask("POST", "/batches/close", {"weighed_g": None})
    assert closed is not None
    processes.kill(processes.line)
    processes.start_line()
    delivered = lambda: ((processes.ask("GET", "/state") or {}).get("delivery") or {}).get("state")  # noqa: E731
    true_at_last(lambda: delivered() == "up_to_date", "everything is delivered")
    processes.kill(processes.line)
    processes.kill(processes.house)

    journal = Journal(processes.folder / "line")
    (batch,) = journal.summary()
    assert (batch["fruit"], batch["delivered"], journal.waiting()) == (TOTAL, TOTAL, 0)
    journal.close()
    rt = Runtime.open(Settings(home=processes.home, mqtt_port=0))
    with rt.db.read() as session:
        numbers = list(session.exec(select(Fruit.number).order_by(Fruit.number)))
        graded = session.exec(select(Entry).where(Entry.sentence == Sentence.GRADED.value)).all()
        row = session.exec(select(Batch)).one()
        root = roots(session, rt.files, [row.ref])
        asked = evidence_of(session, [row.ref])
    assert numbers == list(range(1, TOTAL + 1))
    assert len(graded) == 1
    assert [each.state for each in root] == ["agrees"]
    assert [each.why for each in regrade_all(rt.files, asked) if not each.is_reproduced] == []
    rt.close()
    lanes = [int(line) for line in (processes.folder / "lanes.txt").read_text().split()]
    assert len(lanes) == len(set(lanes)), "no fruit was sent to a lane twice"
    assert set(lanes) <= set(numbers), "no fruit had a lane that is not kept"
    # What a kill may take is the command of fruit kept in the very commit before it; the next life tells of them.
    assert len(lanes) >= TOTAL - 3 * 6
