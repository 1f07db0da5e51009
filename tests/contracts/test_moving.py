"""From the embedded chain to a node, and from one node to another, with every old head still provable."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import SQLModel, select

from contracts import outbox
from contracts.anchor import Anchorer
from contracts.chain import Chain, open_chain
from contracts.check import holds
from contracts.errors import ChainMovingError, ForkedHeadError, MoveRefusedError
from contracts.heads import Place, log_id
from contracts.history import ChainHistory
from contracts.keys import PublisherKey
from contracts.models import Anchor, AnchorState
from contracts.moves import Move, MovesFile, MoveState
from contracts.moving import Mover, histories
from ledger import log, tree
from ledger.bundle import AnchoredHead, prove
from ledger.checkpoint import LogSigner
from ledger.errors import VerificationError
from ledger.events import ObjectEvent
from ledger.kernel.clock import format_time
from ledger.kernel.database import Database
from ledger.kernel.files import FileStore
from ledger.kernel.ids import Numbering, lot_id, new_event_id
from ledger.kernel.settings import Settings
from ledger.models import Entry
from ledger.proof import Anchor as ProofAnchor
from ledger.proof import ProofBundle, verify
from ledger.vocabulary import Action, BizStep, Sentence
from tests.contracts.simulators import Anvil, Fuse, FusedChain, FusedDatabase, Killed

START = datetime(2026, 4, 18, 3, 0, tzinfo=UTC)
ORIGIN = "moving.example/log"
LOT = lot_id(Numbering("9521002").gtin(41, indicator=9), "G260418-1A")


@dataclass
class Installation:
    """A log that grows, its outbox, and whatever chain its settings and moves name."""

    home: Path
    at: datetime = START
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = Settings(home=self.home, log_origin=ORIGIN, chain_confirmations=1)
        self.home.mkdir(parents=True, exist_ok=True)
        self.db = Database(self.settings.sqlalchemy_url)
        SQLModel.metadata.create_all(self.db.engine)
        self.files = FileStore(self.settings.files_dir)
        self.settings.keys_dir.mkdir(exist_ok=True)
        self.signer = LogSigner.load_or_create(self.settings.keys_dir / "log.key", origin=ORIGIN)

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at

    def grow(self, count: int) -> int:
        """Record and publish events; return the size of the log."""
        for _ in range(count):
            with self.db.write() as session:
                log.record(session, seen(self.now()), now=self.at)
                log.integrate(session)
        with self.db.write() as session:
            published = log.publish(session, self.signer, now=self.now())
        assert published is not None
        return published.size

    def anchor(self, pause: Callable[[], None]) -> Anchor:
        """Anchor the newest head in today's chain until it is final."""
        chain = open_chain(self.settings)
        anchorer = Anchorer.open(self.settings, chain)
        with self.db.read() as session:
            head = log.latest_checkpoint(session)
        assert head is not None
        for _ in range(20):
            row = anchorer.anchor(self.db, head, now=self.now())
            if row is not None and row.state is AnchorState.FINAL:
                chain.close()
                return row
            pause()
        raise AssertionError("the anchor is not final")

    def mover(self, url: str, pause: Callable[[], None]) -> Mover:
        opened = Mover.open(self.settings, self.db, self.files, self.signer, url=url, now=self.now)
        return replace(opened, pause=pause, patience_s=20)

    def proof(self) -> bytes:
        """The lot's proof file as the site would hand it out now."""
        with self.db.read() as session:
            anchor = outbox.latest_final(session, origin=ORIGIN)
            assert anchor is not None
            head = AnchoredHead(
                chain_id=anchor.chain_id,
                contract=anchor.contract,
                size=anchor.size,
                root=anchor.root,
                transaction="0x" + (anchor.tx_hash or b"").hex(),
                block=anchor.block_number or 0,
            )
            return prove(session, LOT, key=self.signer.key, anchor=head).encode()

    def rows(self) -> list[Anchor]:
        with self.db.read() as session:
            return list(session.exec(select(Anchor).order_by(Anchor.size)))  # type: ignore[arg-type]  # a column


def seen(at: datetime) -> ObjectEvent:
    return ObjectEvent(
        event_id=new_event_id(at),
        event_time=format_time(at),
        event_time_zone_offset="+08:00",
        action=Action.OBSERVE,
        biz_step=BizStep.OTHER,
        epc_list=(LOT,),
        extensions={"gy:sentence": Sentence.FEEDBACK_GIVEN, "gy:recorder": Numbering("9521002").party(1)},
    )


@pytest.fixture
def installation(quick_path: Path) -> Iterator[Installation]:
    made = Installation(quick_path / "home")
    yield made
    made.db.dispose()


@pytest.fixture
def second_anvil() -> Iterator[Anvil]:
    node = Anvil("--slots-in-an-epoch", "4", "--chain-id", "31338")
    yield node
    node.stop()


def nothing() -> None:
    pass


def anchor_of(proof: bytes) -> ProofAnchor:
    anchor = ProofBundle.decode(proof).anchor
    assert anchor is not None
    return anchor


def heads_on(chain: Chain) -> list[int]:
    return [head.size for head in chain.history(log_id(ORIGIN))]


def test_from_the_embedded_chain_to_a_node_with_the_history(installation: Installation, anvil: Anvil) -> None:
    proofs = []
    for count in (3, 1, 6):
        installation.grow(count)
        installation.anchor(nothing)
        proofs.append(installation.proof())
    old = open_chain(installation.settings, read_only=True)
    left = Place(old.chain_id, old.address)
    old.close()

    mover = installation.mover(anvil.url, anvil.mine)
    begun = mover.begin()
    assert mover.begin() == begun
    with pytest.raises(ChainMovingError, match="guoyuan chain move"):
        open_chain(installation.settings)
    done = mover.finish()
    assert done.state is MoveState.DONE
    assert (done.left, done.last_size) == (left, 10)

    # The settings still name the embedded chain; what is opened is the new one, and its one head covers the entry.
    new = open_chain(installation.settings)
    assert (new.chain_id, new.is_embedded, heads_on(new)) == (31_337, False, [11])
    with installation.db.read() as session:
        entry = session.exec(select(Entry).where(Entry.event_id == done.event_id)).one()
        assert entry.leaf_index == 10
        assert b"chain_moved/1" in entry.data
        assert done.history.encode() in entry.data
        kept = outbox.anchors(session, origin=ORIGIN, place=left)
        (history,) = histories(session, installation.files, installation.settings)
    assert [row.size for row in kept] == [10, 4, 3]

    # Every old proof file: in the history by what the old chain said, and on the new chain by an extension.
    written = ChainHistory.parse(history.encode())
    assert [head.size for head in written.heads] == [3, 4, 10]
    for proof in proofs:
        before = anchor_of(proof)
        assert before.chain_id == left.chain_id
        assert written.holds(before)
        carried = written.carry(before)
        assert (carried.chain_id, carried.size) == (31_337, 11)
        assert holds(anvil.url, carried)
        assert verify(proof, anchor_check=lambda one: written.holds(one) and holds(anvil.url, written.carry(one)))

    # Proof files handed out from now on name the new chain, and hold the same entries.
    again = installation.proof()
    assert anchor_of(again).chain_id == 31_337
    assert holds(anvil.url, anchor_of(again))
    older = ProofBundle.decode(proofs[-1])
    assert {(e.index, e.data) for e in older.entries} <= {(e.index, e.data) for e in ProofBundle.decode(again).entries}

    # And the log goes on there.
    installation.grow(2)
    assert installation.anchor(anvil.mine).chain_id == 31_337
    assert heads_on(new) == [11, 13]
    new.close()


def test_from_one_node_to_another_and_both_histories_are_carried(
    installation: Installation, anvil: Anvil, second_anvil: Anvil
) -> None:
    installation.grow(3)
    installation.anchor(nothing)
    first_proof = installation.proof()
    second_anvil.ask("anvil_setBalance", PublisherKey.open(installation.settings).address, hex(10**20))
    for node in (anvil, second_anvil):
        mover = installation.mover(node.url, node.mine)
        mover.begin()
        mover.finish()
        mover.old.close()
        installation.grow(2)
        installation.anchor(node.mine)
    chain = open_chain(installation.settings)
    assert (chain.url, heads_on(chain)) == (second_anvil.url, [7, 9])
    with installation.db.read() as session:
        embedded, between = histories(session, installation.files, installation.settings)
    assert [head.size for head in between.heads] == [4, 6]
    assert holds(second_anvil.url, embedded.carry(anchor_of(first_proof)))
    with pytest.raises(VerificationError, match="does not list"):
        between.carry(anchor_of(first_proof))
    chain.close()


def test_a_move_killed_at_any_step_ends_with_one_entry_and_one_anchor(quick_path: Path, anvil: Anvil) -> None:
    """A call to a chain or a commit is the last one, before or after it is done: every fifth of them."""
    steps = 0
    for after in (False, True):
        at = 3 if after else 1
        while True:
            installation = Installation(quick_path / f"{after}{at}")
            fuse = Fuse(at=at, after=after)
            fork = anvil.ask("evm_snapshot")
            is_over = killed_once(installation, anvil, fuse)
            anvil.ask("evm_revert", fork)
            installation.db.dispose()
            if is_over:
                break
            at += 5
            steps += 1
    assert steps > 12


def killed_once(installation: Installation, anvil: Anvil, fuse: Fuse) -> bool:
    """Move with a fuse, then again without; return whether the fuse was longer than the move."""
    installation.grow(3)
    installation.anchor(nothing)
    mover = installation.mover(anvil.url, anvil.mine)
    fused: Any = replace(
        mover,
        db=FusedDatabase(installation.db, fuse),  # type: ignore[arg-type]  # stands in for it
        old=FusedChain(mover.old, fuse),  # type: ignore[arg-type]
        new=FusedChain(mover.new, fuse),  # type: ignore[arg-type]
    )
    try:
        fused.begin()
        fused.finish()
        is_over = True
    except Killed:
        is_over = False
        again = installation.mover(anvil.url, anvil.mine)
        again.begin()
        again.finish()
        again.old.close()
    mover.old.close()
    chain = open_chain(installation.settings)
    (move,) = MovesFile(installation.home).read()
    assert move.is_done
    assert heads_on(chain) == [4], fuse.steps[-1]
    with installation.db.read() as session:
        assert len(session.exec(select(Entry).where(Entry.event_id == move.event_id)).all()) == 1
        assert len(session.exec(select(Entry)).all()) == 4
    here = [row for row in installation.rows() if row.chain_id == 31_337]
    assert [(row.size, row.state) for row in here] == [(4, AnchorState.FINAL)]
    chain.close()
    return is_over


def test_a_contract_that_holds_another_head_is_refused(
    installation: Installation, anvil: Anvil, quick_path: Path
) -> None:
    """Somebody else's log under our log's name, or our own from a database that was put back."""
    other = Installation(quick_path / "other")
    other.settings = other.settings.model_copy(update={"chain_url": anvil.url})
    (other.settings.keys_dir / "publisher.key").write_bytes(key_file(installation))
    (other.settings.keys_dir / "publisher.key").chmod(0o600)
    other.grow(5)
    contract = other.anchor(anvil.mine).contract

    installation.grow(3)
    installation.anchor(nothing)
    mover = installation.mover(anvil.url, anvil.mine)
    with pytest.raises(ForkedHeadError, match="not our log's"):
        mover.begin(contract=contract)
    assert MovesFile(installation.home).read() == []
    mover.old.close()
    other.db.dispose()


def key_file(installation: Installation) -> bytes:
    PublisherKey.open(installation.settings)
    return (installation.settings.keys_dir / "publisher.key").read_bytes()


def test_what_cannot_be_moved_is_said_and_nothing_begins(installation: Installation, anvil: Anvil) -> None:
    mover = installation.mover(anvil.url, anvil.mine)
    with pytest.raises(MoveRefusedError, match="nothing is anchored yet"):
        mover.begin()
    with pytest.raises(MoveRefusedError, match="no move is under way"):
        mover.finish()
    installation.grow(1)
    mover.old.close()
    installation.anchor(nothing)
    mover = installation.mover(anvil.url, anvil.mine)
    with pytest.raises(MoveRefusedError, match="that is the chain"):
        replace(mover, new=mover.old).begin()
    twin = Chain.connect(anvil.url, deployment=installation.home / "twin.json")
    twin.__dict__ |= {"chain_id": mover.old.chain_id}  # a chain that took our number
    with pytest.raises(MoveRefusedError, match="could not tell them apart"):
        replace(mover, new=twin).begin()
    mover.begin()
    assert mover.drop()
    assert open_chain(installation.settings, read_only=True).is_embedded
    mover.begin()
    mover.finish()
    assert not mover.drop()
    mover.old.close()


def test_a_history_file_that_was_changed_proves_nothing(installation: Installation, anvil: Anvil) -> None:
    installation.grow(3)
    installation.anchor(nothing)
    before = anchor_of(installation.proof())
    mover = installation.mover(anvil.url, anvil.mine)
    mover.begin()
    mover.finish()
    mover.old.close()
    with installation.db.read() as session:
        (history,) = histories(session, installation.files, installation.settings)
        root = tree.root(session, 2)
    data = history.encode()
    for wrong in (b"", b"{}", data[:-1], data + b" ", data.replace(b'"size":3', b'"size":-3'), b"[" * 100_000, b"\xff"):
        with pytest.raises(VerificationError):
            ChainHistory.parse(wrong)
    text = base64.b64encode(root)
    forged = ChainHistory.parse(data.replace(history.heads[0].root.encode(), text))
    with pytest.raises(VerificationError, match="does not list"):
        forged.carry(before)
    elsewhere = ChainHistory.parse(data.replace(history.hashes[0].encode(), text))
    with pytest.raises(VerificationError):
        elsewhere.carry(before)
    assert history.carry(before).size == 4  # the honest one still does


def test_moves_are_remembered_for_their_owner_alone(tmp_path: Path) -> None:
    file = MovesFile(tmp_path)
    assert (file.read(), file.stamp(), file.done()) == ([], 0, [])
    move = Move(
        state=MoveState.BEGUN,
        began_at=START.isoformat(),
        event_id="urn:uuid:0",
        from_url="",
        from_chain_id=1,
        from_genesis="0x1",
        from_contract="0x2",
        to_url="https://node.example/key",
        to_chain_id=2,
        to_genesis="0x3",
        deployment="deployment-2.json",
    )
    file.keep(move)
    assert file.path.stat().st_mode & 0o077 == 0
    assert file.under_way() == move
    file.keep(replace(move, state=MoveState.DONE))
    assert (file.under_way(), len(file.done())) == (None, 1)
