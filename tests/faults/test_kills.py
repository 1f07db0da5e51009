"""SIGKILL between any two steps of a real process: the next one goes on, and a head is anchored once."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlmodel import SQLModel

from contracts.anchor import Anchorer
from contracts.chain import Chain
from contracts.keys import PublisherKey
from contracts.signers import LocalSigner
from ledger.kernel.database import Database
from tests.contracts.simulators import ORIGIN, SampleLog, rows
from tests.faults.gate import Call, Script
from tests.faults.worlds import NAME, SECRET, Tally, World, Zygote, consistent

BETWEEN = ("nothing", "mined", "lost", "reorganised")


# --- the embedded chain: killed after every call of the chain and every commit ----------------------------


@dataclass
class Template:
    """A folder with the files of an installation that has anchored five leaves."""

    folder: Path
    now: datetime
    zygote: Zygote

    def task(self, folder: Path, **choices: Any) -> dict[str, Any]:
        return {
            "secret": SECRET.hex(),
            "size": 12,
            "now": self.now.isoformat(),
            "chain": str(folder / "chain.db"),
            "deployment": "",
            "database": f"sqlite:///{folder / 'outbox.db'}",
            "notes": str(folder / "notes.json"),
            "error": str(folder / "error.txt"),
            "confirmations": 1,
            "counts_chain": True,
            **choices,
        }

    def live(self, folder: Path, **choices: Any) -> str:
        return self.zygote.wait(self.zygote.start(self.task(folder, **choices)))

    @contextmanager
    def copied(self) -> Iterator[Path]:
        with TemporaryDirectory(dir=self.folder.parent) as folder:
            shutil.copytree(self.folder, folder, dirs_exist_ok=True)
            yield Path(folder)


@pytest.fixture(scope="module")
def template(memory: Path, zygote: Zygote) -> Template:
    folder = memory / "embedded"
    folder.mkdir()
    now = datetime.fromisoformat("2026-04-18T03:05:00Z")
    key, log = PublisherKey(LocalSigner(SECRET)), SampleLog()
    chain, db = Chain.embedded(folder / "chain.db", funded=key.address), Database(f"sqlite:///{folder / 'outbox.db'}")
    SQLModel.metadata.create_all(db.engine)
    Anchorer(chain, key, origin=ORIGIN, tree=log).anchor(db, log.grow(5), now=now)
    chain.close()
    db.dispose()
    return Template(folder, now, zygote)


def look(folder: Path) -> tuple[list[int], int, list[Any], dict[int, tuple[bytes, int, bytes]]]:
    """Heads in the chain, anchors paid for, the outbox, and the chain's own record."""
    chain, db = Chain.embedded(folder / "chain.db", read_only=True), Database(f"sqlite:///{folder / 'outbox.db'}")
    held = list(chain.history(NAME))
    found, paid = rows(db), chain.nonce(PublisherKey(LocalSigner(SECRET)).address) - 2
    chain.close()
    db.dispose()
    return [one.size for one in held], paid, found, {one.size: (one.tx_hash, one.block, one.block_hash) for one in held}


def test_killed_between_any_two_steps_on_the_embedded_chain(template: Template, tally: Tally) -> None:
    with template.copied() as folder:
        assert template.live(folder, steps=str(folder / "steps.json")) == "0"
        steps = json.loads((folder / "steps.json").read_text())
    assert {"send_raw", "commit", "receipt", "sign", "nonce", "preflight", "block_hash", "find_anchor"} <= set(steps)
    for at in range(len(steps) + 1):  # between two steps is after one and before the next: once is enough
        where = f"after step {at}, {steps[at - 1]}" if at else "before the first step"
        with template.copied() as folder:
            assert template.live(folder, at=max(at, 1), after=at > 0) == "killed", where
            assert template.live(folder) == "0", where
            sizes, paid, found, held = look(folder)
            assert sizes == [5, 12], where
            assert paid == 2, where
            consistent(found, held)
            tally.held["kill, embedded chain"] += 1


# --- a node: the gate kills the process at a call, before the node hears it or before the answer comes --------


def killer(at: int, how: str) -> Script:
    return lambda call: how if call.number == at else None


def test_killed_at_every_call_to_a_node_before_it_is_heard_and_before_the_answer(
    new_world: Callable[[], World], tally: Tally
) -> None:
    world = new_world()
    assert world.zygote is not None
    assert world.zygote.wait(world.life(9)) == "0"
    calls = list(world.gate.calls)
    world.settle(9)
    world.check(9)
    assert {"eth_sendRawTransaction", "eth_estimateGas", "eth_getTransactionCount", "eth_call"} <= set(calls)
    happening = cycle(BETWEEN)
    for at, method in enumerate(calls, start=1):
        for how in ("kill", "kill after") if method == "eth_sendRawTransaction" else ("kill after",):
            between = next(happening)
            where = f"{how} at {method} ({at}), then {between}"
            world = new_world()
            assert world.zygote is not None
            world.gate.begin(killer(at, how))
            pid = world.gate.victim = world.life(9)
            assert world.zygote.wait(pid) == "killed", where
            world.between(between)
            world.settle(9)
            world.settle(14)
            world.check(9, 14)
            tally.held["kill, node"] += 1


@pytest.mark.parametrize("between", BETWEEN)
def test_killed_before_and_after_every_commit_while_a_node_goes_on(
    between: str, new_world: Callable[[], World], tally: Tally
) -> None:
    for at in (1, 2):  # the signed transaction is kept; it is written down as sent
        for after in (False, True):
            world = new_world()
            assert world.zygote is not None
            assert world.zygote.wait(world.life(9, at=at, after=after)) == "killed"
            world.between(between)
            world.settle(9)
            world.check(9)
            tally.held["kill, node"] += 1


def test_killed_again_and_again_on_the_way(new_world: Callable[[], World], tally: Tally) -> None:
    """Each life gets one call further than the one before."""
    for between in BETWEEN:
        world = new_world()
        assert world.zygote is not None
        for at in (8, 11, 14, 17):
            world.gate.begin(killer(at, "kill after"))
            pid = world.gate.victim = world.life(9)
            world.zygote.wait(pid)
            world.between(between)
        world.settle(9)
        world.check(9)
        tally.held["kill, node"] += 1


def test_control_without_the_outbox_the_same_kills_pay_twice_or_lose_the_head(
    new_world: Callable[[], World], tally: Tally
) -> None:
    """If this ended well, the tests above could not fail either."""
    world = new_world()
    assert world.zygote is not None
    assert world.zygote.wait(world.life(9, naive=True)) == "0"
    sends = world.gate.calls.index("eth_sendRawTransaction") + 1
    doubled = lost = runs = 0
    for how, between in [(how, what) for how in ("kill", "kill after", "") for what in BETWEEN]:
        world = new_world()
        assert world.zygote is not None
        world.gate.begin(killer(sends, how) if how else None)
        pid = world.gate.victim = world.life(9, naive=True)
        world.zygote.wait(pid)
        world.between(between)
        world.gate.begin()
        world.zygote.wait(world.life(9, naive=True))
        world.anvil.mine(3)
        runs += 1
        doubled += world.paid > 1
        lost += world.anchored() != [9]
    assert doubled > 0
    assert lost > 0
    tally.controls["kills at the sending"] = f"of {runs} runs {doubled} paid twice and {lost} lost the head"


def test_a_call_is_counted_as_the_gate_sees_it() -> None:
    assert killer(3, "kill")(Call(3, "eth_chainId", [])) == "kill"
    assert killer(3, "kill")(Call(4, "eth_chainId", [])) is None
