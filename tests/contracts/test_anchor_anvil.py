"""Accidents only a real node has: lost and stuck transactions, reorganisations, finality, silence."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from contracts.anchor import DEFAULT_CAPS, Anchorer
from contracts.chain import Chain
from contracts.errors import ChainMismatchError, ChainUnreachableError, FeeCapError, UnderpricedError
from contracts.heads import log_id
from contracts.keys import PublisherKey
from contracts.models import Anchor, AnchorState, Attempt
from contracts.transactions import Fees, raise_fees
from ledger.kernel.database import Database
from tests.contracts.simulators import ORIGIN, Anvil, Fuse, FusedChain, FusedDatabase, Head, Killed, SampleLog, rows

MINUTES = timedelta(minutes=4)
"""Longer than an anchorer's patience."""


class World:
    """One installation whose chain is an anvil that mines only when told."""

    def __init__(self, anvil: Anvil, chain: Chain, db: Database, now: datetime) -> None:
        self.anvil, self.chain, self.db, self.now = anvil, chain, db, now
        self.key, self.log = PublisherKey.create(), SampleLog()
        self.log.grow(40)
        self.anchorer = self.make()
        self.anchorer.prepare()
        anvil.ask("evm_setAutomine", False)

    def make(self, chain: Any = None, **choices: Any) -> Anchorer:
        return Anchorer(chain or self.chain, self.key, origin=ORIGIN, tree=self.log, confirmations=3, **choices)

    def head(self, size: int) -> Head:
        return Head(size, self.log.root(None, size))

    def anchor(self, size: int) -> Anchor:
        row = self.anchorer.anchor(self.db, self.head(size), now=self.now)
        assert row is not None
        return row

    def advance(self) -> list[Anchor]:
        self.anchorer.advance(self.db, now=self.now)
        return rows(self.db)

    def pass_by(self, *, times: int) -> None:
        """Blocks that cost so many times what the newest attempt offers, and minutes."""
        price = self.attempts()[-1].max_fee_wei * times
        for _ in range(4):
            self.anvil.ask("anvil_setNextBlockBaseFeePerGas", hex(price))
            self.anvil.mine()
        self.now += MINUTES

    @property
    def states(self) -> list[str]:
        return [str(row.state) for row in rows(self.db)]

    @property
    def in_chain(self) -> list[int]:
        return [one.size for one in self.chain.history(log_id(ORIGIN))]

    def attempts(self) -> list[Attempt]:
        with self.db.read() as session:
            return list(session.exec(select(Attempt).order_by(Attempt.id)))  # type: ignore[arg-type]  # a column


@pytest.fixture
def world(anvil: Anvil, remote: Chain, db: Database, now: datetime) -> Iterator[World]:
    return World(anvil, remote, db, now)


def test_pending_included_and_final_are_told_apart(world: World) -> None:
    assert world.anchor(5).state is AnchorState.BROADCAST
    assert world.advance()[0].state is AnchorState.BROADCAST
    world.anvil.mine()
    assert world.advance()[0].state is AnchorState.INCLUDED
    world.anvil.mine(2)
    assert world.advance()[0].state is AnchorState.INCLUDED
    world.anvil.mine()
    row = world.advance()[0]
    assert row.state is AnchorState.FINAL
    assert world.chain.settled_block(confirmations=3) >= (row.block_number or 0)
    assert world.in_chain == [5]


def test_the_chains_own_finality_counts_too(world: World) -> None:
    """A great depth asks for what the chain itself calls final: here, eight blocks later."""
    patient = Anchorer(world.chain, world.key, origin=ORIGIN, tree=world.log, confirmations=10_000)
    patient.anchor(world.db, world.head(5), now=world.now)
    world.anvil.mine()
    states = []
    for _ in range(10):
        patient.advance(world.db, now=world.now)
        states.append(str(rows(world.db)[0].state))
        world.anvil.mine()
    assert states == ["included"] * 8 + ["final"] * 2


def test_a_lost_transaction_is_sent_again_with_the_same_bytes(world: World) -> None:
    world.anchor(5)
    world.anvil.ask("anvil_dropAllTransactions")
    assert world.advance()[0].state is AnchorState.BROADCAST
    world.anvil.mine(4)
    assert world.advance()[0].state is AnchorState.FINAL
    assert len(world.attempts()) == 1
    assert world.in_chain == [5]


def test_a_reorganisation_that_drops_an_anchor_is_made_good(world: World) -> None:
    world.anchor(5)
    world.anvil.mine()
    before = world.advance()[0]
    assert before.state is AnchorState.INCLUDED
    world.anvil.ask("anvil_reorg", 1, [])
    assert world.in_chain == []
    after = world.advance()[0]
    assert (after.state, after.block_number) == (AnchorState.BROADCAST, None)
    world.anvil.mine(4)
    after = world.advance()[0]
    assert (after.state, after.tx_hash, after.nonce) == (AnchorState.FINAL, before.tx_hash, before.nonce)
    assert after.block_hash != before.block_hash
    assert world.in_chain == [5]


def test_a_reorganisation_that_drops_two_anchors_brings_both_back_in_order(world: World) -> None:
    for size in (5, 9):
        world.anchor(size)
        world.anvil.mine()
        world.advance()
    assert world.states == ["included", "included"]
    world.anvil.ask("anvil_reorg", 2, [])
    assert world.in_chain == []
    assert world.anchorer.plan(world.db, world.head(12), now=world.now) is None  # they go first
    world.advance()
    world.anvil.mine(4)
    world.advance()
    assert world.states == ["final", "final"]
    assert world.in_chain == [5, 9]
    assert len(world.attempts()) == 2


def test_a_stuck_transaction_is_replaced_at_its_nonce_for_an_eighth_more(world: World) -> None:
    stuck = world.anchor(5)
    world.pass_by(times=10)
    world.advance()
    first, second = world.attempts()
    assert second.nonce == first.nonce == stuck.nonce
    assert second.max_fee_wei * 1000 >= first.max_fee_wei * 1125
    assert second.priority_fee_wei * 1000 >= first.priority_fee_wei * 1125
    world.anvil.ask("anvil_setNextBlockBaseFeePerGas", hex(10**6))
    world.anvil.mine(4)
    row = world.advance()[0]
    assert (row.state, row.tx_hash) == (AnchorState.FINAL, second.tx_hash)
    assert world.chain.receipt(first.tx_hash) is None
    assert world.in_chain == [5]


def test_a_replaced_transaction_that_gets_in_after_all_counts(world: World) -> None:
    """Another miner had the first one still: whichever is in a block is the anchor."""
    world.anchor(5)
    world.pass_by(times=10)
    world.advance()
    first, second = world.attempts()
    world.anvil.ask("anvil_dropTransaction", "0x" + second.tx_hash.hex())
    world.anvil.ask("anvil_setNextBlockBaseFeePerGas", hex(10**6))
    world.anvil.mine()
    world.chain.send_raw(first.raw_tx)
    world.anvil.mine(4)
    row = world.advance()[0]
    assert (row.state, row.tx_hash) == (AnchorState.FINAL, first.tx_hash)
    assert world.in_chain == [5]


def test_a_price_that_keeps_rising_is_followed_at_one_nonce(world: World) -> None:
    world.anchorer = world.make(caps=Fees(10**13, 10**11))
    world.anchor(5)
    for _ in range(3):
        world.pass_by(times=3)
        world.advance()
    attempts = world.attempts()
    assert len(attempts) == 4
    assert len({one.nonce for one in attempts}) == 1
    world.anvil.ask("anvil_setNextBlockBaseFeePerGas", hex(10**6))
    world.anvil.mine(4)
    assert world.advance()[0].state is AnchorState.FINAL
    assert world.in_chain == [5]


def test_a_chain_that_makes_no_blocks_for_a_day_is_waited_for(world: World) -> None:
    """Paying more to a chain that stands still would only raise the price for the hour it wakes."""
    world.anchor(5)
    for _ in range(24):
        world.now += timedelta(hours=1)
        world.advance()
    assert len(world.attempts()) == 1
    world.anvil.mine(4)
    assert world.advance()[0].state is AnchorState.FINAL


def test_no_replacement_pays_more_than_the_cap(world: World) -> None:
    fees = world.chain.fees()
    world.anchorer = world.make(caps=fees)
    world.anchor(5)
    world.pass_by(times=10)
    with pytest.raises(FeeCapError, match="GUOYUAN_MAX_FEE_GWEI"):
        world.advance()
    assert [one.max_fee_wei <= fees.max_wei for one in world.attempts()] == [True]


def test_silence_decides_nothing_and_the_same_bytes_are_sent_when_it_ends(world: World) -> None:
    planned = world.anchorer.plan(world.db, world.head(5), now=world.now)
    assert planned is not None

    class Silent(FusedChain):
        def send_raw(self, raw: bytes) -> bytes:  # noqa: ARG002  # the chain's signature
            raise ChainUnreachableError("silence")

    with pytest.raises(ChainUnreachableError):
        world.make(Silent(world.chain, Fuse())).advance(world.db, now=world.now)
    assert world.states == ["signed"]
    world.advance()
    world.anvil.mine(4)
    row = world.advance()[0]
    assert (row.state, row.tx_hash) == (AnchorState.FINAL, planned.tx_hash)


def test_a_node_that_is_not_there_is_unreachable_and_its_url_stays_secret(tmp_path: Path) -> None:
    away = Chain.connect("http://127.0.0.1:9/secret-key", deployment=tmp_path / "deployment.json", timeout_s=1)
    with pytest.raises(ChainUnreachableError) as caught:
        away.block_number()
    assert "secret-key" not in str(caught.value)
    answer = away.rpc({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber"})
    assert answer == {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "the chain does not answer"}}


def test_a_chain_that_was_replaced_is_not_anchored_in(world: World, tmp_path: Path) -> None:
    """Deploying again in silence would be a second contract: exactly what an operator who cheats would do."""
    world.anvil.stop()
    world.anvil.start()
    again = Chain.connect(world.anvil.url, deployment=tmp_path / "deployment.json")
    with pytest.raises(ChainMismatchError):
        Anchorer(again, world.key, origin=ORIGIN, tree=world.log).anchor(world.db, world.head(5), now=world.now)


def test_killed_between_any_two_steps_on_a_node_with_a_pool(world: World) -> None:
    """The node mines between the two lives, or does not, or loses what it was sent."""

    def live(size: int, fuse: Fuse) -> None:
        fused: Any = FusedDatabase(world.db, fuse)
        world.make(FusedChain(world.chain, fuse)).anchor(fused, world.head(size), now=world.now)

    whole, size = Fuse(), 1
    live(size, whole)
    world.anvil.mine(4)
    world.advance()
    for at in range(1, len(whole.steps) + 1):
        for between in ("nothing", "mined", "lost"):
            size += 1
            world.log.grow(size + 1)
            with pytest.raises(Killed):
                live(size, Fuse(at, after=True))
            if between == "mined":
                world.anvil.mine()
            if between == "lost":
                world.anvil.ask("anvil_dropAllTransactions")
            world.anchorer.anchor(world.db, world.head(size), now=world.now)
            world.anvil.mine(4)
            world.advance()
    assert set(world.states) == {"final"}
    assert world.in_chain == [row.size for row in rows(world.db)] == list(range(1, size + 1))
    assert world.chain.nonce(world.key.address) == 2 + size


def test_the_node_itself_refuses_a_replacement_that_pays_no_more(world: World) -> None:
    """anvil is lenient about how much more; that it must be more at all, it insists on."""
    planned = world.anchorer.plan(world.db, world.head(5), now=world.now)
    assert planned is not None
    attempt = world.attempts()[0]
    world.chain.send_raw(attempt.raw_tx)
    data = world.chain.anchor_call(log_id(ORIGIN), size=6, root=world.log.root(None, 6), proof=[])
    fees = Fees(attempt.max_fee_wei, attempt.priority_fee_wei)
    same = world.chain.sign(world.key, data=data, nonce=attempt.nonce, gas=200_000, fees=fees)
    with pytest.raises(UnderpricedError):
        world.chain.send_raw(same.raw)
    more = raise_fees(fees, world.chain.fees(), caps=DEFAULT_CAPS)
    assert more is not None
    world.chain.send_raw(world.chain.sign(world.key, data=data, nonce=attempt.nonce, gas=200_000, fees=more).raw)
