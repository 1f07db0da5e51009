"""Reorganisations of every depth at every stage: what is dropped comes back, once, with the same bytes."""

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
from eth_utils.crypto import keccak

from contracts.models import AnchorState
from tests.contracts.simulators import rows
from tests.faults.worlds import CONFIRMATIONS, Tally, World, nothing_false

DEPTHS = (1, 2, 3, 5)


def stages(world: World) -> dict[str, Callable[[], None]]:
    return {
        "sent": lambda: None,
        "in a block": lambda: world.anvil.mine(1),
        "almost final": lambda: world.anvil.mine(CONFIRMATIONS),
        "final": lambda: world.anvil.mine(1 + CONFIRMATIONS),
    }


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("returns", ["dropped", "back in the pool", "in another block"])
def test_whatever_a_reorganisation_takes_comes_back_once(
    depth: int, returns: str, new_world: Callable[[], World], tally: Tally
) -> None:
    for stage in ("sent", "in a block", "almost final", "final"):
        world = new_world()
        anchorer = world.anchorer()
        world.anvil.mine(3)
        world.try_anchor(9, anchorer)
        stages(world)[stage]()
        world.try_anchor(9, anchorer)
        raw = world.attempts()[-1].raw_tx
        world.anvil.ask("anvil_reorg", depth, [["0x" + raw.hex(), 0]] if returns == "in another block" else [])
        if returns == "back in the pool" and world.truth.receipt(world.attempts()[-1].tx_hash) is None:
            world.truth.send_raw(raw)
        if stage != "final":
            nothing_false(world)
        anchorer.watch(world.db)
        nothing_false(world)
        world.settle(9)
        world.settle(14)
        world.check(9, 14)
        assert len(world.attempts()) == 2, "the same bytes, not a new transaction"
        tally.held["reorganisation"] += 1


@pytest.mark.parametrize("depth", [4, 6])
def test_one_deeper_than_what_counts_as_final_is_told_and_made_good(
    depth: int, new_world: Callable[[], World], tally: Tally, caplog: pytest.LogCaptureFixture
) -> None:
    """The chain broke its word, not we: three final anchors are on their way again, in order."""
    world = new_world()
    for size in (5, 9, 12):
        world.try_anchor(size)
        world.anvil.mine()
        world.try_anchor(size)
    world.anvil.mine(CONFIRMATIONS)
    world.settle(12)
    assert [row.state for row in rows(world.db)] == [AnchorState.FINAL] * 3
    world.anvil.ask("anvil_reorg", depth, [])
    with caplog.at_level(logging.ERROR, "contracts.anchor"):
        world.anchorer().watch(world.db)
    assert "raise GUOYUAN_CHAIN_CONFIRMATIONS" in caplog.text
    gone = [row for row in rows(world.db) if row.state is AnchorState.BROADCAST]
    assert gone
    assert all((row.block_number, row.final_at, row.gas_used) == (None, None, None) for row in gone)
    for _ in range(4):
        world.anchorer().advance(world.db, now=world.now)
        world.anvil.mine()
    world.settle(20)
    world.check(5, 9, 12, 20)
    assert len(world.attempts()) == 4
    tally.held["reorganisation"] += 1


def test_a_new_head_waits_until_a_deeply_reorganised_one_is_back(new_world: Callable[[], World], tally: Tally) -> None:
    """Nobody looked in between: planning the next head is what notices."""
    world = new_world()
    world.settle(9)
    world.anvil.mine(2)
    world.anvil.ask("anvil_reorg", 6, [])
    assert world.anchored() == []
    anchorer = world.anchorer()
    assert anchorer.plan(world.db, world.head(14), now=world.now) is None
    assert [(row.size, row.state) for row in rows(world.db)] == [(9, AnchorState.BROADCAST)]
    world.settle(9)
    world.settle(14)
    world.check(9, 14)
    assert len(world.attempts()) == 2
    tally.held["reorganisation"] += 1


def test_a_node_that_is_only_behind_drops_nothing(new_world: Callable[[], World], tally: Tally) -> None:
    """A second node of the same service has not seen the block yet: nothing is put back, nothing is sent."""
    world = new_world()
    world.settle(9)
    before = rows(world.db)[0]
    base = world.anvil.ask("eth_blockNumber")
    asks_head = "0x" + keccak(text="head(bytes32)")[:4].hex()
    world.gate.begin(
        lambda call: (
            (lambda _answer: {"result": hex(int(base, 16) - 6)})
            if call.method == "eth_blockNumber"
            else (lambda _answer: {"result": "0x" + "00" * 96})
            if call.method == "eth_call" and call.params[0]["data"].startswith(asks_head)
            else None
        )
    )
    assert world.try_anchor(14) == "ChainMismatchError"
    after = rows(world.db)
    assert [(row.size, row.state, row.block_hash) for row in after] == [(9, AnchorState.FINAL, before.block_hash)]
    world.settle(14)
    world.check(9, 14)
    tally.held["reorganisation"] += 1


@pytest.mark.parametrize("depth", [1, 2])
def test_control_what_forgets_its_bytes_loses_the_head(
    depth: int, new_world: Callable[[], World], tally: Tally
) -> None:
    """The naive anchorer wrote down that it sent; nobody sends again what a reorganisation dropped."""
    world = new_world()
    assert world.zygote is not None
    world.zygote.wait(world.life(9, naive=True))
    world.anvil.mine(depth)
    assert world.anchored() == [9]
    world.anvil.ask("anvil_reorg", depth, [])
    world.now += timedelta(hours=1)
    world.zygote.wait(world.life(9, naive=True))
    world.anvil.mine(3)
    assert world.anchored() == []
    tally.controls[f"a reorganisation {depth} deep"] = "the head is lost for good"
