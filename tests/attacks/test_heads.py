"""He shows two histories, cuts one back, swaps databases, keys, contracts and the chain itself."""

import base64
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlmodel import col, delete, select

from contracts.errors import CallRefusedError, ForkedHeadError
from ledger import log, merkle, tree
from ledger.agreement import refuse_contradiction
from ledger.checkpoint import LogSigner
from ledger.errors import ForkedLogError, OtherSizeError, UnsignedCheckpointError, VerificationError
from ledger.events import parse_event
from ledger.models import Checkpoint, Cosignature, Entry, Naming, Tile
from ledger.proof import verify
from ledger.witnessed import vouched_note
from tests.attacks.conftest import NORTH, ORIGIN, SAVED_AT, World, in_node, submission
from tests.attacks.test_entries import lied


def other_story(world: World, count: int) -> None:
    """Record events that the honest log does not have, and sign."""
    event = json.loads(world.read(1))
    with world.rt.db.write() as session:
        for number in range(count):
            told = parse_event(event | {"eventID": f"urn:uuid:019da000-0000-7000-8000-0000000001{number:02d}"})
            log.record(session, told, now=world.rt.clock.now())
        log.integrate(session)
        log.publish(session, world.rt.signer, now=world.rt.clock.now())


@pytest.fixture
def fork(world: World, tmp_path: Path) -> Iterator[World]:
    """Another home of his, with what the honest one had when SAVED_AT entries were on it, and another story since."""
    shutil.copytree(world.folder / "earlier", tmp_path / "fork" / "home")
    shutil.copytree(world.outside, tmp_path / "fork" / "outside")
    made = World(tmp_path / "fork", world.monkeypatch)
    with world.rt.db.read() as session:
        size = log.tree_size(session)
    other_story(made, size - SAVED_AT)
    world.close()
    yield made
    made.close()


# --- two views ---------------------------------------------------------------------------------------


def test_two_views_each_verify_by_themselves(world: World, fork: World) -> None:
    """The control: without anyone to compare with, each consumer is content."""
    for data in (world.late.read_bytes(), fork.prove()):
        verify(data, log_key=world.known_key)
    assert fork.fsck("--no-chain")["sound"]


def test_the_witness_signs_one_of_two_views_and_keeps_the_proof_of_the_fork(world: World, fork: World) -> None:
    with fork.rt.db.read() as session, pytest.raises(OtherSizeError):
        world.witness.add_checkpoint(submission(session, SAVED_AT).replace(b"old 40", b"old 49"))
    (found,) = world.witness.forks()
    assert {found.one.splitlines()[0], found.other.splitlines()[0]} == {ORIGIN}
    assert found.one != found.other
    other_story_grown = fork.rt
    with other_story_grown.db.write() as session:
        event = parse_event(json.loads(fork.read(1)) | {"eventID": "urn:uuid:019da000-0000-7000-8000-000000000199"})
        log.record(session, event, now=fork.rt.clock.now())
        log.integrate(session)
        log.publish(session, fork.rt.signer, now=fork.rt.clock.now())
    with fork.rt.db.read() as session, pytest.raises(ForkedLogError):
        world.witness.add_checkpoint(submission(session, 49))


def test_a_verifier_with_a_policy_takes_only_the_view_that_was_witnessed(world: World, fork: World) -> None:
    with pytest.raises(VerificationError, match="quorum north is not met"):
        world.policy().check(json.loads(fork.prove())["checkpoint"])
    note = json.loads(world.late.read_bytes())["checkpoint"]
    cosigned = note if NORTH.name in note else note + _kept_line(world)
    assert world.policy().check(cosigned).log == world.known_key


def _kept_line(world: World) -> str:
    with world.rt.db.read() as session:
        return session.exec(select(Cosignature.line).order_by(col(Cosignature.size).desc())).first() or ""


def test_the_contract_holds_one_of_two_views(world: World, fork: World) -> None:
    fork.close()
    for path in (world.outside / "chain.db", world.outside / "chain.json"):
        shutil.copy(path, fork.home)
    with fork.rt.db.write() as session:
        newest = log.latest_checkpoint(session)
        assert newest is not None
        proof = tree.consistency(session, SAVED_AT, newest.size)
    with pytest.raises(ForkedHeadError):
        fork.anchorer_sends(newest)
    with pytest.raises(CallRefusedError, match="HeadNotNewer"):
        fork.he_sends(size=newest.size, root=newest.root, proof=proof)
    other_story_event = json.loads(fork.read(1)) | {"eventID": "urn:uuid:019da000-0000-7000-8000-000000000198"}
    with fork.rt.db.write() as session:
        log.record(session, parse_event(other_story_event), now=fork.rt.clock.now())
        log.integrate(session)
        newest = log.publish(session, fork.rt.signer, now=fork.rt.clock.now())
        assert newest is not None
        proof = tree.consistency(session, newest.size - 1, newest.size)
    with pytest.raises(CallRefusedError, match="Inconsistent"):
        fork.he_sends(size=newest.size, root=newest.root, proof=proof)
    assert {problem["kind"] for problem in fork.fsck()["problems"]} == {"chain"}


def test_two_consumers_who_compare_their_files_see_two_histories(world: World, fork: World) -> None:
    early, late, theirs = (verify(data) for data in (world.early.read_bytes(), world.late.read_bytes(), fork.prove()))
    refuse_contradiction(early, late)
    refuse_contradiction(early, theirs)
    with pytest.raises(VerificationError, match="two roots for the tree of 49"):
        refuse_contradiction(late, theirs)
    found = fork.fsck("--no-chain", "--proof", str(world.early), "--proof", str(world.late))
    assert {(p["kind"], p["index"]) for p in found["problems"]} == {("proof", SAVED_AT)}


# --- cut back, replayed, replaced ------------------------------------------------------------------------


def cut_back(world: World) -> None:
    """He takes away everything since SAVED_AT: entries, heads, cosignatures, and the outbox's memory of it."""
    with world.rt.db.write() as session:
        gone = list(session.exec(select(Entry.id).where(col(Entry.leaf_index) >= SAVED_AT)))
        session.exec(delete(Naming).where(col(Naming.entry_id).in_(gone)))
        session.exec(delete(Entry).where(col(Entry.id).in_(gone)))
        session.exec(delete(Checkpoint).where(col(Checkpoint.size) > SAVED_AT))
        session.exec(delete(Cosignature).where(col(Cosignature.size) > SAVED_AT))
        kept = [bytes(data) for data in session.exec(select(Entry.data).order_by(col(Entry.leaf_index)))]
        session.exec(delete(Tile))
        tree.append(session, 0, [merkle.leaf_hash(data) for data in kept])
    world.forget_anchors(above=SAVED_AT)
    world.sql("UPDATE ledger_witness SET size = :size", size=SAVED_AT)


def test_a_log_cut_back_is_missed_by_the_chain_even_if_the_outbox_forgets(world: World) -> None:
    cut_back(world)
    assert world.fsck("--no-chain")["problems"] == [], "the control"
    world.forget_anchors(above=0)
    found = world.fsck()
    assert (found["first_wrong"]["kind"], found["first_wrong"]["index"]) == ("chain", SAVED_AT)
    assert "cut short" in found["first_wrong"]["what"]


def test_a_log_cut_back_is_missed_by_a_saved_proof(world: World) -> None:
    cut_back(world)
    found = world.fsck("--no-chain", "--proof", str(world.late))
    assert (found["first_wrong"]["kind"], found["first_wrong"]["index"]) == ("proof", SAVED_AT)


def test_a_log_cut_back_is_missed_by_the_witness(world: World) -> None:
    """It is asked about a head older than the one it signed, and says which it remembers."""
    cut_back(world)
    with world.rt.db.read() as session, pytest.raises(OtherSizeError) as refused:
        world.witness.add_checkpoint(submission(session, SAVED_AT))
    assert refused.value.size == 49


def test_a_replayed_old_checkpoint_covers_nothing_newer(world: World) -> None:
    """He serves the old head again. What it covers is true; what a consumer saved since is not under it."""
    world.sql("DELETE FROM ledger_cosignature WHERE size > :size", size=SAVED_AT)
    world.sql("DELETE FROM ledger_checkpoint WHERE size > :size", size=SAVED_AT)
    world.forget_anchors(above=SAVED_AT)
    replayed = world.against_the_public_chain(world.prove())
    assert replayed.head.size == SAVED_AT
    refuse_contradiction(replayed, verify(world.early.read_bytes()))
    with world.rt.db.read() as session, pytest.raises(OtherSizeError) as refused:
        world.witness.add_checkpoint(submission(session, SAVED_AT))
    assert refused.value.size == 49
    assert world.kinds() == {"cosignature"}, "what the witness is known to remember is missed"


def test_an_older_database_in_place_of_the_newer_is_missed(world: World) -> None:
    """The whole file of an earlier day, with its checkpoints, anchors and all."""
    world.close()
    for path in world.home.glob("guoyuan.db*"):
        path.unlink()
    for path in (world.folder / "earlier").glob("guoyuan.db*"):
        shutil.copy(path, world.home)
    assert world.fsck("--no-chain")["sound"], "the control"
    assert world.fsck()["first_wrong"]["kind"] == "chain"
    assert world.kinds("--no-chain", "--proof", str(world.late)) == {"proof"}


def test_another_log_in_place_of_this_one_is_missed(world: World) -> None:
    """Another database, another key: a new beginning under the old name."""
    theirs = LogSigner(ORIGIN, b"another key of the same name....")
    world.rewrite(lambda history: lied(history)[:30], signer=theirs)
    key = world.home / "keys" / "log.key"
    world.close()
    key.write_text(_private(theirs))
    assert world.fsck("--no-chain")["sound"], "the control"
    assert world.fsck()["first_wrong"]["kind"] == "chain"
    assert "proof" in world.kinds("--no-chain", "--proof", str(world.early))
    assert world.kinds("--no-chain", "--key", world.known_key.text()) == {"checkpoint"}
    made = world.file(world.prove("https://id.gs1.org/414/9521001000109/254/P03"))
    with pytest.raises(VerificationError, match="not of"):
        verify(made.read_bytes(), log_key=world.known_key)
    assert in_node(made, world.known_key.text())[0] is False
    with pytest.raises(VerificationError, match="no log that the policy names"):
        world.policy().check(json.loads(made.read_bytes())["checkpoint"])
    with world.rt.db.read() as session, pytest.raises(UnsignedCheckpointError):
        world.witness.add_checkpoint(submission(session, 0))
    with pytest.raises(VerificationError, match="log key"):
        refuse_contradiction(verify(made.read_bytes()), verify(world.early.read_bytes()))


def _private(signer: LogSigner) -> str:
    return f"PRIVATE+KEY+{ORIGIN}+{base64.b64encode(bytes([1]) + bytes(signer._key)).decode()}\n"


# --- the chain in his own hands ----------------------------------------------------------------------------


def new_chain(world: World) -> None:
    """He throws the embedded chain away, makes a new one with a new contract, and anchors his history there."""
    world.close()
    for path in world.home.glob("chain.*"):
        path.unlink()
    world.forget_anchors(above=0)
    other_story(world, 1)
    with world.rt.db.read() as session:
        newest = log.latest_checkpoint(session)
    assert newest is not None
    world.anchorer_sends(newest)


def test_a_chain_made_anew_for_another_history_convinces_only_who_saved_nothing(world: World) -> None:
    """Said in threats.md: before the log moves to a chain that is not his, this chain is in his own hands."""
    world.rewrite(lied)
    new_chain(world)
    assert world.fsck()["problems"] == [], "the control: chain and history agree, and both are his"
    found = world.fsck("--proof", str(world.early))
    assert (found["first_wrong"]["kind"], found["first_wrong"]["index"]) == ("proof", 0)
    with pytest.raises(VerificationError, match="chain does not hold"):
        world.against_the_public_chain(world.prove())
    with world.rt.db.read() as session, pytest.raises(ForkedLogError):
        world.witness.add_checkpoint(submission(session, 49))


def test_a_chain_thrown_away_is_missed_by_the_outbox(world: World) -> None:
    """He only replaces the chain: our own tables remember heads that were final in that very contract."""
    world.close()
    with closing(sqlite3.connect(world.home / "chain.db")) as chain, chain:
        chain.execute("DELETE FROM log")
    found = world.fsck()
    assert found["sound"] is False
    assert {problem["kind"] for problem in found["problems"]} == {"chain"}
    assert "does not hold it any more" in found["problems"][0]["what"]


def test_a_second_contract_is_told_from_the_first(world: World) -> None:
    """He leaves the chain and deploys the contract once more, for another history; pages and settings name the new."""
    saved = verify(world.early.read_bytes())
    world.rewrite(lied)
    world.forget_anchors(above=0)
    world.close()
    (world.home / "chain.json").unlink()
    other_story(world, 1)
    with world.rt.db.read() as session:
        newest = log.latest_checkpoint(session)
    assert newest is not None
    world.anchorer_sends(newest)
    made = verify(world.prove(), log_key=world.known_key)
    assert made.anchor is not None
    assert made.anchor.contract != world.contract
    assert world.fsck()["problems"] == [], "the control: his settings name his contract"
    with pytest.raises(VerificationError, match="one is anchored in"):
        refuse_contradiction(made, saved)
    assert world.kinds("--proof", str(world.early)) == {"proof"}
    with pytest.raises(VerificationError, match="chain does not hold"):
        world.against_the_public_chain(world.prove())


def test_an_anchor_that_never_was_is_refuted(world: World) -> None:
    """He writes into the outbox that the newest head is final, in a transaction that does not exist."""
    other_story(world, 3)
    with world.rt.db.read() as session:
        newest = log.latest_checkpoint(session)
    assert newest is not None
    world.sql(
        "UPDATE contracts_anchor SET size = :size, root = :root, tx_hash = :tx WHERE size = 49",
        size=newest.size,
        root=newest.root,
        tx=b"\xab" * 32,
    )
    assert "chain" in world.kinds()
    with pytest.raises(VerificationError, match="chain does not hold"):
        world.against_the_public_chain(world.prove())


# --- witnesses erased -----------------------------------------------------------------------------------------


def test_erased_cosignatures_satisfy_no_policy(world: World) -> None:
    with world.rt.db.read() as session:
        newest = log.latest_checkpoint(session)
        assert newest is not None
        assert world.policy().check(vouched_note(session, newest)).cosignatures
    world.sql("DELETE FROM ledger_cosignature")
    with world.rt.db.read() as session, pytest.raises(VerificationError, match="quorum"):
        world.policy().check(vouched_note(session, newest))


def test_a_cosignature_moved_to_another_head_is_named(world: World) -> None:
    world.sql("DELETE FROM ledger_cosignature WHERE size = :size", size=SAVED_AT)
    world.sql("UPDATE ledger_cosignature SET size = :size", size=SAVED_AT)
    assert world.kinds() == {"cosignature"}
