"""Stuck transactions, rising prices, an empty account: one nonce, an eighth more on both fees, never above the cap."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from contracts import trouble
from contracts.errors import FeeCapError, InsufficientFundsError
from contracts.models import AnchorState
from contracts.policy import Policy
from contracts.transactions import Fees
from ledger.kernel.database import Database
from ledger.models import Checkpoint
from tests.contracts.simulators import ORIGIN, rows
from tests.faults.worlds import Tally, World

HIGH = Fees(10**14, 10**13)


def pass_by(world: World, *, times: float) -> None:
    """Blocks that cost so many times what the newest attempt offers, and minutes."""
    price = int(world.attempts()[-1].max_fee_wei * times)
    for _ in range(4):
        world.anvil.ask("anvil_setNextBlockBaseFeePerGas", hex(price))
        world.anvil.mine()
    world.now += timedelta(minutes=4)


def cheap(world: World) -> None:
    world.anvil.ask("anvil_setNextBlockBaseFeePerGas", hex(10**6))
    world.anvil.mine()


def publish(db: Database, world: World, *sizes: int, at: datetime) -> None:
    """Checkpoints as the ledger keeps them."""
    with db.write() as session:
        for before, size in pairwise((0, *sizes)):
            root = world.log.root(None, size)
            session.add(Checkpoint(size=size, previous_size=before, root=root, note="", signed_at=at))


def test_the_gate_keeps_the_rule_of_a_public_pool(new_world: Callable[[], World]) -> None:
    """Without it, the tests below would pass whatever the replacement paid: anvil takes any bump at all."""
    world = new_world()
    world.try_anchor(9)
    first = world.attempts()[0]
    chain = world.anchorer()._chain
    data = chain.anchor_call(b"\0" * 32, size=9, root=b"\1" * 32, proof=[])

    def replacing(per_mille_max: int, per_mille_priority: int) -> str:
        fees = Fees(first.max_fee_wei * per_mille_max // 1000, first.priority_fee_wei * per_mille_priority // 1000)
        signed = chain.sign(world.key, data=data, nonce=first.nonce, gas=200_000, fees=fees)
        body = {"id": 1, "method": "eth_sendRawTransaction", "params": ["0x" + signed.raw.hex()]}
        return str(world.gate.handle(body)[1])

    assert "underpriced" in replacing(1050, 1050)
    assert "underpriced" in replacing(1200, 1000)
    assert "underpriced" in replacing(1000, 1200)
    assert "underpriced" not in replacing(1125, 1125)


@pytest.mark.parametrize("times", [1.5, 3, 20])
@pytest.mark.parametrize("rises", [1, 3])
def test_a_stuck_anchor_is_replaced_at_its_nonce_as_the_pool_wants_it(
    times: float, rises: int, new_world: Callable[[], World], tally: Tally
) -> None:
    world = new_world()
    anchorer = world.anchorer(caps=HIGH)
    world.try_anchor(9, anchorer)
    for _ in range(rises):
        pass_by(world, times=times)
        assert world.try_anchor(9, anchorer) == ""
    attempts = world.attempts()
    assert len(attempts) == 1 + rises
    assert len({one.nonce for one in attempts}) == 1
    for one, other in pairwise(attempts):
        assert other.max_fee_wei * 8 >= one.max_fee_wei * 9
        assert other.priority_fee_wei * 8 >= one.priority_fee_wei * 9
    assert all(one.broadcast_at is not None for one in attempts), "the pool took every one of them"
    cheap(world)
    world.settle(9)
    world.check(9)
    tally.held["price"] += 1


@pytest.mark.parametrize("winner", [0, 1, 2])
def test_whichever_of_the_attempts_a_block_takes_is_the_anchor(
    winner: int, new_world: Callable[[], World], tally: Tally
) -> None:
    """Another miner may still hold an older one."""
    world = new_world()
    anchorer = world.anchorer(caps=HIGH)
    world.try_anchor(9, anchorer)
    for _ in range(2):
        pass_by(world, times=2)
        world.try_anchor(9, anchorer)
    attempts = world.attempts()
    world.anvil.ask("anvil_dropAllTransactions")
    cheap(world)
    world.truth.send_raw(attempts[winner].raw_tx)
    cheap(world)
    world.settle(9)
    world.check(9)
    assert rows(world.db)[0].tx_hash == attempts[winner].tx_hash
    tally.held["price"] += 1


def test_at_the_cap_the_anchor_waits_by_name_and_goes_when_the_price_falls(
    new_world: Callable[[], World], tally: Tally
) -> None:
    world = new_world()
    caps = Fees(int(world.truth.fees().max_wei * 1.3), 10**10)
    anchorer = world.anchorer(caps=caps)
    world.try_anchor(9, anchorer)
    pass_by(world, times=2)
    for _ in range(3):
        world.try_anchor(9, anchorer)
        pass_by(world, times=2)
    with pytest.raises(FeeCapError, match="GUOYUAN_MAX_FEE_GWEI"):
        anchorer.advance(world.db, now=world.now)
    assert len(world.attempts()) == 2  # an eighth more was possible once
    assert all(one.max_fee_wei <= caps.max_wei for one in world.attempts())
    cheap(world)
    world.settle(9)
    world.check(9)
    tally.held["price"] += 1


def test_nothing_is_signed_while_a_block_costs_more_than_may_be_paid(
    new_world: Callable[[], World], tally: Tally
) -> None:
    """Late in the open, and then the newest head, not the one that was newest when it was due."""
    world = new_world()
    policy, anchorer = Policy(3600, max_fee_wei=5 * 10**9), world.anchorer()
    world.anvil.ask("anvil_setNextBlockBaseFeePerGas", hex(50 * 10**9))
    world.anvil.mine()
    publish(world.db, world, 5, at=world.now)
    with pytest.raises(FeeCapError, match="GUOYUAN_MAX_FEE_GWEI"):
        anchorer.tend(world.db, policy, now=world.now)
    assert rows(world.db) == []
    with world.db.write() as session:
        session.add(Checkpoint(size=9, previous_size=5, root=world.log.root(None, 9), note="", signed_at=world.now))
    cheap(world)
    world.now += timedelta(hours=3)
    anchorer.tend(world.db, policy, now=world.now)
    world.settle(9)
    world.check(9)
    tally.held["price"] += 1


def test_an_empty_account_is_named_and_tried_ever_more_rarely(new_world: Callable[[], World], tally: Tally) -> None:
    world = new_world()
    balance = world.anvil.ask("eth_getBalance", world.key.address, "latest")
    world.anvil.ask("anvil_setBalance", world.key.address, "0x1")
    publish(world.db, world, 9, at=world.now)
    anchorer, looks = world.anchorer(), 0
    anchorer._is_ready = True  # anvil would give money to whoever asks
    for _ in range(600):  # ten minutes, a second each
        world.now += timedelta(seconds=1)
        with world.db.read() as session:
            if trouble.is_waiting(session, origin=ORIGIN, now=world.now):
                continue
        looks += 1
        with pytest.raises(InsufficientFundsError), trouble.noted(world.db, origin=ORIGIN, now=world.now):
            anchorer.tend(world.db, Policy(60), now=world.now)
    assert looks < 20
    with world.db.read() as session:
        found = trouble.trouble(session, origin=ORIGIN)
    assert found is not None
    assert (found.code, found.times) == ("insufficient_funds", looks)
    assert len(world.attempts()) <= 1
    world.anvil.ask("anvil_setBalance", world.key.address, balance)
    world.now += timedelta(minutes=2)
    with trouble.noted(world.db, origin=ORIGIN, now=world.now):
        anchorer.tend(world.db, Policy(60), now=world.now)
    with world.db.read() as session:
        assert trouble.trouble(session, origin=ORIGIN) is None
    world.settle(9)
    world.check(9)
    assert rows(world.db)[0].state is AnchorState.FINAL
    tally.held["price"] += 1
