"""SIGKILL at any point of the day: it can be finished, and nothing that was acknowledged is missing."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.conftest import Play, make_play

KILLS_OF_THE_SERVER = 6
KILLS_OF_THE_WHOLE = 2


def kill_server(play: Play) -> bool:
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((play.home / "up.pid").read_text()), signal.SIGKILL)
        return True
    return False


def kill_all(play: Play) -> None:
    """The actors and the product die together, as in a power cut."""
    assert play.process is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(play.process.pid, signal.SIGKILL)
    kill_server(play)
    play.process.wait()


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    made = make_play(tmp_path / "home", "embedded", [])
    yield made
    if made.process is not None and made.process.poll() is None:  # where the test was interrupted
        kill_all(made)


def test_a_day_with_kills_ends_with_everything_that_was_acknowledged(play: Play) -> None:
    draw = random.Random(20261122)
    over = threading.Event()
    kills = 0

    def reaper() -> None:
        nonlocal kills
        while kills < KILLS_OF_THE_SERVER and not over.is_set():
            # Between two kills long enough to start again and do something, short enough to hit every step.
            over.wait(draw.uniform(3.0, 7.0))
            kills += kill_server(play)

    thread = threading.Thread(target=reaper, daemon=True)
    thread.start()
    for _ in range(KILLS_OF_THE_WHOLE):
        play.start(serve=False)
        assert play.process is not None
        time.sleep(draw.uniform(12, 16))
        kill_all(play)
    play.start(serve=False)
    summary = play.wait_for_summary()
    over.set()
    thread.join()
    assert play.process is not None
    assert play.process.wait(timeout=120) == 0
    assert kills >= 3

    journal = json.loads((play.home / "day.json").read_text())
    with sqlite3.connect(play.home / "guoyuan.db") as database:
        entries = database.execute("SELECT count(*), count(leaf_index) FROM ledger_entry").fetchone()
        packs = {row[0] for row in database.execute("SELECT id FROM orders_pack")}
        lots = {row[0] for row in database.execute("SELECT id FROM orders_lot")}
        held, oversold = database.execute("SELECT sum(held), sum(held > offered) FROM orders_tier_stock").fetchone()
        readings = database.execute("SELECT count(*) FROM sensors_reading").fetchone()[0]
    database.close()
    acknowledged = {name: result for name, result in journal.items() if result}
    assert {done["id"] for name, done in acknowledged.items() if name.startswith("pack ")} <= packs
    assert {done["lot"] for name, done in acknowledged.items() if name.startswith("picked ")} <= lots
    assert readings >= sum(done for name, done in acknowledged.items() if name.startswith("readings "))
    assert entries == (summary["events"], summary["leaves"])
    assert summary["events"] == summary["leaves"]
    assert oversold == 0 == summary["oversold"]
    assert held > 0
    assert play.command("fsck", "--json").returncode == 0
    assert play.command("verify", str(play.saved_proof)).returncode == 0
