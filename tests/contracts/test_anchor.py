"""Exactly one anchor per head, on the embedded chain: restarts at every step, two anchorers, rewritten histories."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlmodel import SQLModel, delete, select

from contracts import outbox
from contracts.anchor import Anchorer, Step, next_step
from contracts.chain import Chain
from contracts.errors import CallRefusedError, ChainMismatchError, ForkedHeadError
from contracts.heads import Head as ChainHead
from contracts.heads import log_id
from contracts.keys import PublisherKey
from contracts.models import Anchor, AnchorState, Attempt
from contracts.transactions import Receipt
from ledger.kernel.database import Database
from tests.contracts.simulators import ORIGIN, Fuse, FusedChain, FusedDatabase, Head, Killed, SampleLog, rows

SETUP = 2
"""Transactions before the first anchor: the deployment, and the log's opening."""


def make(chain: Any, key: PublisherKey, log: SampleLog, **choices: Any) -> Anchorer:
    return Anchorer(chain, key, origin=ORIGIN, tree=log, **choices)


def sizes_in_chain(chain: Chain) -> list[int]:
    return [one.size for one in chain.history(log_id(ORIGIN))]


@dataclass
class World:
    """One installation: its chain, its key, its log, its database."""

    chain: Chain
    key: PublisherKey
    log: SampleLog
    db: Database
    now: datetime

    @property
    def anchorer(self) -> Anchorer:
        return make(self.chain, self.key, self.log)

    @property
    def paid(self) -> int:
        """Transactions paid for since the contract stands and the log is open."""
        return self.chain.nonce(self.key.address) - SETUP


@pytest.fixture
def world(chain: Chain, key: PublisherKey, sample_log: SampleLog, db: Database, now: datetime) -> World:
    return World(chain, key, sample_log, db, now)


def test_a_head_goes_from_published_to_final(world: World) -> None:
    head = world.log.grow(7)
    row = world.anchorer.anchor(world.db, head, now=world.now)
    assert row is not None
    assert (row.state, row.size, row.root, row.previous_size) == (AnchorState.FINAL, 7, head.root, 0)
    held = world.chain.head(log_id(ORIGIN))
    assert (held.size, held.root, held.block) == (7, head.root, row.block_number)
    assert row.tx_hash is not None
    receipt = world.chain.receipt(row.tx_hash)
    assert receipt is not None
    assert (row.gas_used, row.fee_wei, row.block_hash) == (receipt.gas_used, receipt.fee_wei, receipt.block_hash)
    assert row.signed_at == row.final_at == world.now


def test_anchoring_a_head_again_costs_nothing(world: World) -> None:
    world.log.grow(8)
    for size in (3, 3, 8, 8, 3):
        world.anchorer.anchor(world.db, Head(size, world.log.root(None, size)), now=world.now)
    assert sizes_in_chain(world.chain) == [3, 8]
    assert world.paid == 2


def test_nothing_is_sent_while_planning(world: World) -> None:
    row = world.anchorer.plan(world.db, world.log.grow(7), now=world.now)
    assert row is not None
    assert row.state is AnchorState.SIGNED
    assert world.paid == 0
    assert world.anchorer.plan(world.db, world.log.grow(9), now=world.now) is None  # one at a time
    world.anchorer.advance(world.db, now=world.now)
    assert sizes_in_chain(world.chain) == [7]


@pytest.fixture
def template(world: World, tmp_path: Path, quick_path: Path) -> Path:
    """A folder with the files of an installation that has anchored five leaves."""
    world.anchorer.anchor(world.db, world.log.grow(5), now=world.now)
    folder = quick_path / "template"
    folder.mkdir()
    world.chain.close()
    world.db.dispose()
    for name in ("chain.db", "chain.json", "test.db"):
        shutil.copy(tmp_path / name, folder / name)
    return folder


@contextmanager
def copied(template: Path, key: PublisherKey, now: datetime) -> Iterator[World]:
    """An installation of its own, made from the files."""
    with TemporaryDirectory(dir=template.parent) as folder:
        shutil.copytree(template, folder, dirs_exist_ok=True)
        db = Database(f"sqlite:///{folder}/test.db")
        log = SampleLog()
        log.grow(12)
        world = World(Chain.embedded(Path(folder) / "chain.db"), key, log, db, now)
        yield world
        world.chain.close()
        db.dispose()


def anchor_until_killed(world: World, fuse: Fuse) -> None:
    fused: Any = FusedDatabase(world.db, fuse)
    anchorer = make(FusedChain(world.chain, fuse), world.key, world.log)
    anchorer.anchor(fused, Head(12, world.log.root(None, 12)), now=world.now)


def test_killed_at_any_step_and_started_again_a_head_is_anchored_once(
    template: Path, key: PublisherKey, now: datetime
) -> None:
    whole = Fuse()
    with copied(template, key, now) as world:
        anchor_until_killed(world, whole)
    assert {"send_raw", "commit", "receipt", "sign", "nonce", "preflight", "block_hash"} <= set(whole.steps)

    for at in range(1, len(whole.steps) + 1):
        for after in (False, True):
            with copied(template, key, now) as world:
                with pytest.raises(Killed):
                    anchor_until_killed(world, Fuse(at, after=after))
                anchor_until_killed(world, Fuse())
                where = f"{'after' if after else 'before'} step {at}, {whole.steps[at - 1]}"
                assert sizes_in_chain(world.chain) == [5, 12], where
                assert world.paid == 2, where
                assert [row.state for row in rows(world.db)] == [AnchorState.FINAL] * 2, where


class WithoutOutbox:
    """The control: what anchoring looks like without an outbox. It sends, and then writes down that it did."""

    def __init__(self, world: World, written: dict[int, bytes]) -> None:
        self.world, self.written = world, written

    def anchor(self, size: int, fuse: Fuse) -> None:
        if size in self.written:
            return
        chain, key, log = self.world.chain, self.world.key, self.world.log
        proof = log.consistency(None, 5, size)
        data = chain.anchor_call(log_id(ORIGIN), size=size, root=log.root(None, size), proof=proof)
        signed = chain.sign(key, data=data, nonce=chain.nonce(key.address), gas=200_000, fees=chain.fees())
        chain.send_raw(signed.raw)
        fuse.step("commit", lambda: self.written.update({size: signed.tx_hash}))


def test_control_without_the_outbox_the_same_kill_pays_twice(template: Path, key: PublisherKey, now: datetime) -> None:
    """If this ended with one transaction, the test above could not fail either."""
    with copied(template, key, now) as world:
        written: dict[int, bytes] = {}
        with pytest.raises(Killed):
            WithoutOutbox(world, written).anchor(12, Fuse(at=1))
        WithoutOutbox(world, written).anchor(12, Fuse())
        assert world.paid == 3  # one for the first five leaves, two for this head
        receipt = world.chain.receipt(written[12])
        assert receipt is not None
        assert not receipt.succeeded  # and what was written down is the one that the contract refused


def test_two_anchorers_over_one_database_anchor_once(
    chain: Chain, key: PublisherKey, sample_log: SampleLog, db: Database, now: datetime
) -> None:
    """Both have asked the chain before either has written: the rows' uniqueness decides."""
    one, two = make(chain, key, sample_log), make(chain, key, sample_log)
    head, later = sample_log.grow(6), sample_log.grow(9)

    class AtTheSameTime:
        """While `one` is about to write, `two` plans and writes."""

        def __init__(self) -> None:
            self.is_first = True

        def read(self) -> Any:
            return db.read()

        def write(self) -> Any:
            if self.is_first:
                self.is_first = False
                assert two.plan(db, later, now=now) is not None
            return db.write()

    meeting: Any = AtTheSameTime()
    assert one.plan(meeting, head, now=now) is None
    one.advance(db, now=now)
    two.advance(db, now=now)
    assert sizes_in_chain(chain) == [9]
    assert [row.size for row in rows(db)] == [9]


def test_two_installations_with_one_key_do_not_anchor_a_head_twice(
    chain: Chain, key: PublisherKey, tmp_path: Path, now: datetime
) -> None:
    """Each has a database of its own, so only the chain can decide between them."""
    databases = [Database(f"sqlite:///{tmp_path / name}") for name in ("a.db", "b.db")]
    for one in databases:
        SQLModel.metadata.create_all(one.engine)
    log = SampleLog()
    first, second = (make(chain, key, log) for _ in databases)
    small, large = log.grow(5), log.grow(9)
    assert first.plan(databases[0], small, now=now) is not None
    assert second.plan(databases[1], large, now=now) is not None  # the same nonce, and neither knows
    second.advance(databases[1], now=now)
    first.advance(databases[0], now=now)
    assert sizes_in_chain(chain) == [9]
    assert [row.state for row in rows(databases[0])] == [AnchorState.SUPERSEDED]
    # The loser goes on from the head it finds.
    row = first.anchor(databases[0], log.grow(11), now=now)
    assert row is not None
    assert row.state is AnchorState.FINAL
    assert sizes_in_chain(chain) == [9, 11]
    for one in databases:
        one.dispose()


def test_a_nonce_spent_elsewhere_gets_its_head_signed_anew(world: World) -> None:
    head = world.log.grow(5)
    assert world.anchorer.plan(world.db, head, now=world.now) is not None
    world.chain.open_log_if_absent(world.key, log_id("another log"))  # the publisher used the key for something else
    row = world.anchorer.anchor(world.db, head, now=world.now)
    assert row is not None
    assert (row.state, row.nonce) == (AnchorState.FINAL, SETUP + 1)
    with world.db.read() as session:
        assert len(session.exec(select(Attempt)).all()) == 2
    assert sizes_in_chain(world.chain) == [5]


def test_an_anchor_the_database_forgot_is_taken_up_from_the_chain(world: World) -> None:
    head = world.log.grow(5)
    sent = world.anchorer.anchor(world.db, head, now=world.now)
    with world.db.write() as session:
        session.execute(delete(Attempt))
        session.execute(delete(Anchor))
    found = world.anchorer.anchor(world.db, head, now=world.now)
    assert sent is not None
    assert found is not None
    assert (found.state, found.tx_hash, found.gas_used) == (AnchorState.FINAL, sent.tx_hash, sent.gas_used)
    assert world.paid == 1


def test_a_database_that_was_put_back_is_noticed(
    anchorer: Anchorer, sample_log: SampleLog, db: Database, now: datetime
) -> None:
    anchorer.anchor(db, sample_log.grow(9), now=now)
    with pytest.raises(ForkedHeadError, match="put back") as caught:
        anchorer.plan(db, sample_log.grow(7), now=now)
    assert caught.value.size == 9


def test_a_rewritten_log_is_refused_before_anything_is_sent(
    chain: Chain, key: PublisherKey, sample_log: SampleLog, db: Database, now: datetime
) -> None:
    make(chain, key, sample_log).anchor(db, sample_log.grow(9), now=now)
    rewritten = SampleLog(branch="rewritten", branches_at=4)
    with pytest.raises(ForkedHeadError, match="our first 9 leaves are not those"):
        make(chain, key, rewritten).anchor(db, rewritten.grow(12), now=now)
    assert chain.nonce(key.address) == SETUP + 1


def test_even_an_anchorer_that_does_not_look_is_refused_by_the_contract(
    chain: Chain, key: PublisherKey, sample_log: SampleLog, db: Database, now: datetime
) -> None:
    make(chain, key, sample_log).anchor(db, sample_log.grow(9), now=now)
    rewritten = SampleLog(branch="rewritten", branches_at=4)
    head = rewritten.grow(12)

    class Liar(SampleLog):
        def root(self, session: Any, size: int) -> bytes:
            return sample_log.root(session, size) if size == 9 else rewritten.root(session, size)

        def consistency(self, session: Any, first: int, second: int) -> list[bytes]:
            return rewritten.consistency(session, first, second)

    with pytest.raises(CallRefusedError) as caught:
        make(chain, key, Liar()).anchor(db, head, now=now)
    assert caught.value.name == "Inconsistent"
    assert sizes_in_chain(chain) == [9]


def test_a_receipt_that_shows_no_head_of_ours_is_not_believed(
    chain: Chain, key: PublisherKey, sample_log: SampleLog, db: Database, now: datetime
) -> None:
    class Lying(FusedChain):
        def receipt(self, tx_hash: bytes) -> Receipt:
            return Receipt(tx_hash, 1, b"\1" * 32, succeeded=True, gas_used=1, fee_wei=1, heads=())

    assert make(chain, key, sample_log).plan(db, sample_log.grow(5), now=now) is not None
    with pytest.raises(ChainMismatchError, match="shows no such head"):
        make(Lying(chain, Fuse()), key, sample_log).advance(db, now=now)
    assert [row.state for row in rows(db)] == [AnchorState.SIGNED]


def row_at(size: int, state: AnchorState, now: datetime) -> Anchor:
    return Anchor(
        log_origin=ORIGIN, size=size, root=b"", previous_size=0, chain_id=1, contract="", sender="", nonce=0,
        state=state, signed_at=now,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("size", "in_chain", "known", "step"),
    [
        (5, 0, [], Step.SIGN),
        (5, 3, [(3, AnchorState.FINAL)], Step.SIGN),
        (5, 3, [(3, AnchorState.INCLUDED)], Step.SIGN),
        (5, 0, [(3, AnchorState.INCLUDED)], Step.WAIT),  # reorganised away
        (5, 0, [(3, AnchorState.SIGNED)], Step.WAIT),
        (5, 0, [(5, AnchorState.BROADCAST)], Step.WAIT),
        (5, 0, [(5, AnchorState.REFUSED)], Step.SIGN),
        (5, 5, [(5, AnchorState.FINAL)], Step.DONE),
        (5, 5, [(5, AnchorState.REFUSED)], Step.DONE),  # another process brought it there: it is taken up
        (5, 5, [], Step.DONE),
        (5, 9, [(9, AnchorState.FINAL)], Step.DONE),
        (5, 9, [], Step.DONE),
    ],
    ids=range(12),
)
def test_the_next_step_follows_from_chain_and_rows(
    size: int, in_chain: int, known: list[tuple[int, AnchorState]], step: Step, now: datetime
) -> None:
    found = next_step(
        Head(size, b""), chain_head=ChainHead(in_chain, b"", 1), rows=[row_at(*one, now) for one in known]
    )
    assert found is step


def test_the_outbox_answers_what_the_rest_asks(
    anchorer: Anchorer, sample_log: SampleLog, db: Database, now: datetime
) -> None:
    with db.read() as session:
        assert outbox.latest_final(session, origin=ORIGIN) is None
        assert outbox.gas_per_event(session, origin=ORIGIN) is None
    for size in (4, 10):
        anchorer.anchor(db, sample_log.grow(size), now=now)
    with db.read() as session:
        latest = outbox.latest_final(session, origin=ORIGIN)
        assert latest is not None
        assert latest.size == 10
        gas = sum(row.gas_used or 0 for row in rows(db))
        assert outbox.gas_per_event(session, origin=ORIGIN) == gas / 10
        sizes = [
            found.size if found else None
            for found in (outbox.covering(session, origin=ORIGIN, index=i) for i in (0, 3, 4, 9, 10))
        ]
        assert sizes == [4, 4, 10, 10, None]
        assert outbox.unsettled(session, origin=ORIGIN) == []
