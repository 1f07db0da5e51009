"""A chain that halts for a day: what was sent waits, and the backlog ends as one anchor of the newest head."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from contracts import outbox, trouble
from contracts.errors import ChainError
from contracts.models import AnchorState
from contracts.policy import Policy, is_late
from ledger.models import Checkpoint
from tests.contracts.simulators import ORIGIN, rows
from tests.faults.worlds import Tally, World

POLICY = Policy(3600)


def tend(world: World) -> str:
    """One look of the task that runs each second."""
    with world.db.read() as session:
        if not outbox.needs_a_look(session, POLICY, origin=ORIGIN, now=world.now):
            return "nothing to do"
    try:
        with trouble.noted(world.db, origin=ORIGIN, now=world.now):
            world.keeper.tend(world.db, POLICY, now=world.now)  # type: ignore[attr-defined]  # set below
    except ChainError as error:
        return type(error).__name__
    return ""


def publish(world: World, size: int) -> None:
    with world.db.write() as session:
        before = session.get(Checkpoint, size - 2)
        previous = before.size if before else 0
        root = world.log.root(None, size)
        session.add(Checkpoint(size=size, previous_size=previous, root=root, note="", signed_at=world.now))


def late(world: World) -> bool:
    with world.db.read() as session:
        return is_late(POLICY, outbox.waiting_since(session, origin=ORIGIN), now=world.now)


@pytest.mark.parametrize("how", ["no blocks", "no answers", "no answers while one is on its way"])
@pytest.mark.parametrize("jump", ["hour by hour", "at once"])
def test_after_a_day_without_a_chain_the_newest_head_is_anchored_once(
    how: str, jump: str, new_world: Callable[[], World], tally: Tally
) -> None:
    world = new_world()
    world.keeper = world.anchorer()  # type: ignore[attr-defined]  # one process for the whole day
    if how == "no answers":
        world.gate.begin(lambda _call: "drop")
    publish(world, 2)
    tend(world)
    if how == "no answers while one is on its way":
        world.gate.begin(lambda _call: "drop")
    for hour in range(1, 25):  # the clock jumps at once where a machine slept through the day
        world.now += timedelta(hours=1) if jump == "hour by hour" else timedelta(0)
        publish(world, 2 + 2 * hour)
        for _ in range(3):
            tend(world)
            world.now += timedelta(seconds=1)
    world.now += timedelta(days=1) if jump == "at once" else timedelta(0)
    assert late(world)
    assert len(world.attempts()) <= 1, "nothing dearer was sent to a chain that stood still"
    world.gate.begin()
    for _ in range(8):
        world.now += timedelta(seconds=61)
        tend(world)
        world.anvil.mine()
    sent = [2, 50] if how != "no answers" else [50]
    assert world.anchored() == sent
    world.check(*sent)
    assert rows(world.db)[-1].state is AnchorState.FINAL
    assert not late(world)
    with world.db.read() as session:
        assert trouble.trouble(session, origin=ORIGIN) is None
    tally.held["halt"] += 1
