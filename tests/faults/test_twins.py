"""Two anchoring processes started by mistake: over one database, and each with its own and the same key."""

import threading
from collections.abc import Callable

import pytest

from contracts.models import AnchorState
from tests.contracts.simulators import rows
from tests.faults.gate import Call
from tests.faults.worlds import Tally, World, consistent

MEETINGS = ("eth_getTransactionCount", "eth_estimateGas", "eth_sendRawTransaction", "eth_chainId", "eth_call")


class Meeting:
    """Holds each process at its first call of a method until the other is there too, or a second is over."""

    def __init__(self, method: str) -> None:
        self.method, self._there, self._both = method, 0, threading.Event()

    def __call__(self, call: Call) -> None:
        if call.method == self.method and not self._both.is_set():
            self._there += 1
            if self._there == 2:
                self._both.set()
            self._both.wait(1.0)


@pytest.mark.parametrize("method", MEETINGS)
@pytest.mark.parametrize("sizes", [(9, 9), (9, 12)], ids=["one head", "two heads"])
def test_two_processes_over_one_database_anchor_each_head_once(
    method: str, sizes: tuple[int, int], new_world: Callable[[], World], tally: Tally
) -> None:
    world = new_world()
    assert world.zygote is not None
    world.gate.begin(Meeting(method))
    pids = [world.life(size) for size in sizes]
    assert {world.zygote.wait(pid) for pid in pids} <= {"0", "3"}
    world.anvil.mine()
    world.settle(rows(world.db)[-1].size)
    world.settle(20)
    assert world.anchored()[-1] == 20
    world.check(*world.anchored(), paid=len(world.anchored()))
    assert len(world.anchored()) == 2
    tally.held["twins"] += 1


@pytest.mark.parametrize("method", MEETINGS[:3])
@pytest.mark.parametrize("sizes", [(9, 9), (9, 12)], ids=["one head", "two heads"])
def test_two_installations_with_one_key_anchor_no_head_twice(
    method: str, sizes: tuple[int, int], new_world: Callable[[], World], tally: Tally
) -> None:
    """Each has a database of its own, so only the chain can decide; the loser may pay for a refusal."""
    world = new_world()
    assert world.zygote is not None
    other = world.new_database("other.db")
    world.gate.begin(Meeting(method))
    pids = [world.life(sizes[0]), world.life(sizes[1], database="other.db")]
    assert {world.zygote.wait(pid) for pid in pids} <= {"0", "3"}
    world.anvil.mine()
    for size in (20, 25):
        world.settle(size)
        world.settle(size, db=other)
    held = list(world.truth.history(world.anchorer()._log_id))
    assert [one.size for one in held] == sorted({one.size for one in held})
    assert world.paid <= len(held) + 1
    for db in (world.db, other):
        found = rows(db)
        assert {row.state for row in found} <= {AnchorState.FINAL, AnchorState.SUPERSEDED, AnchorState.REFUSED}
        known = {row.size for row in found}
        consistent(
            [row for row in found if row.state is not AnchorState.REFUSED],
            {one.size: (one.tx_hash, one.block, one.block_hash) for one in held if one.size in known},
        )
    tally.held["twins"] += 1


def test_control_two_naive_processes_pay_twice(new_world: Callable[[], World], tally: Tally) -> None:
    world = new_world()
    assert world.zygote is not None
    doubled = 0
    for _ in range(2):
        world = new_world()
        assert world.zygote is not None
        pids = [world.life(9, naive=True), world.life(9, naive=True, notes=str(world.folder / "others.json"))]
        for pid in pids:
            world.zygote.wait(pid)
        world.anvil.mine()
        for name in ("notes.json", "others.json"):  # each looks again: the other's transaction is none of its own
            world.zygote.wait(world.life(12, naive=True, notes=str(world.folder / name)))
            world.anvil.mine()
        doubled += world.paid > len(world.anchored())
    assert doubled == 2
    tally.controls["two processes"] = "each run paid for a head twice"
