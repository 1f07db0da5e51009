"""He changes, deletes, reorders, inserts and back-dates entries, and signs it all anew with his own key."""

import json
from collections.abc import Callable

import pytest
from sqlmodel import col, select

from contracts.errors import CallRefusedError, ForkedHeadError
from contracts.heads import log_id
from ledger import log, merkle, tree
from ledger.canonical import canonical
from ledger.errors import ForkedLogError, LogInconsistentError, VerificationError
from ledger.events import parse_event
from ledger.kernel.clock import parse_time
from ledger.models import Entry
from ledger.proof import Unshown, verify
from ledger.witness import Submission
from tests.attacks.conftest import NORTH, ORIGIN, SAVED_AT, World, in_node, submission

LIE = (b'"gy:areaM2":6400', b'"gy:areaM2":9400')
"""The first entry, the plot's registration, said to be larger."""


def lied(history: list[bytes]) -> list[bytes]:
    return [data.replace(*LIE) for data in history]


def deleted(history: list[bytes]) -> list[bytes]:
    return [data for index, data in enumerate(history) if index != 2]


def reordered(history: list[bytes]) -> list[bytes]:
    """The first two change places, and their times of recording with them: a clock that went back would tell."""
    first, second = json.loads(history[0]), json.loads(history[1])
    first["recordTime"], second["recordTime"] = second["recordTime"], first["recordTime"]
    return [canonical(second), canonical(first), *history[2:]]


def inserted(history: list[bytes]) -> list[bytes]:
    """A treatment that never was, slipped in where it should have been."""
    treated = json.loads(next(data for data in history if b'"treated/1"' in data))
    treated["eventID"] = "urn:uuid:019da000-0000-7000-8000-000000000011"
    treated["recordTime"] = json.loads(history[3])["recordTime"]
    return [*history[:4], canonical(treated), *history[4:]]


def back_dated(history: list[bytes]) -> list[bytes]:
    """The first entry is said to have happened, and to have been recorded, a year earlier."""
    event = json.loads(history[0])
    for key in ("eventTime", "recordTime"):
        event[key] = f"{int(event[key][:4]) - 1}{event[key][4:]}"
    return [canonical(event), *history[1:]]


REWRITINGS = pytest.mark.parametrize("change", [lied, deleted, reordered, inserted, back_dated])


def test_nothing_was_done_yet(world: World) -> None:
    """The control of everything here: every door is open while nobody lies."""
    assert world.fsck("--files", "--proof", str(world.early), "--proof", str(world.late))["problems"] == []
    for data in (world.early.read_bytes(), world.late.read_bytes(), world.prove()):
        assert world.against_the_public_chain(data).anchor is not None
    assert in_node(world.file(world.prove()), world.known_key.text()) == (True, "")


# --- one byte ------------------------------------------------------------------------------------------


def test_fsck_names_an_edited_entry_and_what_still_holds(world: World) -> None:
    event_id = world.edit(0, lambda data: data.replace(*LIE))
    found = world.fsck()
    assert (found["first_wrong"]["kind"], found["first_wrong"]["index"]) == ("entry", 0)
    assert found["first_wrong"]["event_id"] == event_id
    assert {claim["verdict"] for claim in found["claims"]} == {"holds_except_wrong_entries"}


def test_a_proof_of_an_edited_entry_is_refused_by_both_verifiers(world: World) -> None:
    world.edit(0, lambda data: data.replace(*LIE))
    made = world.prove()
    with pytest.raises(VerificationError, match="leaf 0 is not under the root"):
        verify(made)
    assert in_node(world.file(made), world.known_key.text())[0] is False
    assert world.against_the_public_chain(world.early.read_bytes()), "what was handed out before still verifies"


def test_an_edited_entry_with_its_tree_and_index_is_never_signed_again(world: World) -> None:
    """He makes the tree anew but does not touch what was signed: the signer itself refuses."""
    world.edit(0, lambda data: data.replace(*LIE))
    with world.rt.db.write() as session:
        session.connection().exec_driver_sql("DELETE FROM ledger_tile")
        data = session.exec(select(Entry.data).order_by(col(Entry.leaf_index))).all()
        tree.append(session, 0, [merkle.leaf_hash(bytes(item)) for item in data])
    event = json.loads(world.read(1))
    event["eventID"] = "urn:uuid:019da000-0000-7000-8000-000000000002"
    with world.rt.db.write() as session:
        log.record(session, parse_event(event), now=world.rt.clock.now())
        log.integrate(session)
    with world.rt.db.write() as session, pytest.raises(LogInconsistentError):
        log.publish(session, world.rt.signer, now=world.rt.clock.now())
    found = world.fsck("--no-chain")
    assert found["first_wrong"] | {"what": ""} == {"kind": "checkpoint", "index": 0, "event_id": None, "what": ""}


# --- everything, signed anew ----------------------------------------------------------------------------


@REWRITINGS
def test_the_chain_contradicts_a_rewritten_history(world: World, change: Callable[[list[bytes]], list[bytes]]) -> None:
    world.rewrite(change)
    assert world.fsck("--no-chain")["problems"] == [], "the control: inside, nothing contradicts him"
    found = world.fsck()
    assert found["first_wrong"]["kind"] == "chain"
    assert found["first_wrong"]["index"] == 0
    assert {claim["verdict"] for claim in found["claims"]} == {"broken"}


@REWRITINGS
def test_a_saved_proof_contradicts_a_rewritten_history(
    world: World, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    """No chain is asked: what a consumer saved is enough."""
    world.rewrite(change)
    found = world.fsck("--no-chain", "--proof", str(world.early))
    assert (found["first_wrong"]["kind"], found["first_wrong"]["index"]) == ("proof", 0)


@REWRITINGS
def test_a_proof_of_a_rewritten_history_is_refuted_by_the_chain(
    world: World, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    world.rewrite(change)
    made = world.prove()
    assert verify(made, log_key=world.known_key), "the control: without a chain it verifies"
    with pytest.raises(VerificationError, match="the chain does not hold the head"):
        world.against_the_public_chain(made)


@REWRITINGS
def test_the_witness_does_not_cosign_a_rewritten_history(
    world: World, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    honest = world.witness.latest()[0].size
    world.rewrite(change)
    with world.rt.db.write() as session:
        event = json.loads(world.read(1)) | {"eventID": "urn:uuid:019da000-0000-7000-8000-000000000003"}
        log.record_all(
            session,
            [parse_event(event | {"eventID": f"{event['eventID'][:-1]}{i}"}) for i in range(4)],
            now=world.rt.clock.now(),
        )
        log.integrate(session)
        log.publish(session, world.rt.signer, now=world.rt.clock.now())
        body = submission(session, honest)
        assert Submission.parse(body).old_size == honest
    with pytest.raises(ForkedLogError):
        world.witness.add_checkpoint(body)
    with pytest.raises(VerificationError, match="quorum north is not met"):
        world.policy().check(json.loads(world.prove())["checkpoint"])
    assert world.policy().check(_vouched(world)).cosignatures[0].key == NORTH.key


def _vouched(world: World) -> str:
    """The checkpoint in the witness's own memory, with its word: what a careful verifier does take."""
    note = json.loads(world.late.read_bytes())["checkpoint"]
    return note if "witness" in note else note + NORTH.cosign(note, time_s=1_800_000_000)


@REWRITINGS
def test_the_contract_takes_no_head_of_a_rewritten_history(
    world: World, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    world.rewrite(change)
    with world.rt.db.write() as session:
        event = json.loads(world.read(1)) | {"eventID": "urn:uuid:019da000-0000-7000-8000-000000000004"}
        log.record(session, parse_event(event), now=world.rt.clock.now())
        log.integrate(session)
        checkpoint = log.publish(session, world.rt.signer, now=world.rt.clock.now())
        assert checkpoint is not None
        held = world.rt.chain.head(log_id(ORIGIN))
        proof = tree.consistency(session, held.size, checkpoint.size)
    with pytest.raises(ForkedHeadError):
        world.anchorer_sends(checkpoint)
    # Past our own refusal, he signs the call himself.
    with pytest.raises(CallRefusedError, match=r"Inconsistent|HeadNotNewer"):
        world.he_sends(size=checkpoint.size, root=checkpoint.root, proof=proof)
    with pytest.raises(CallRefusedError, match="HeadNotNewer"):
        world.he_sends(size=held.size, root=checkpoint.root, proof=[])


# --- back-dating ------------------------------------------------------------------------------------------


def test_a_late_story_shows_when_it_was_recorded_and_that_no_anchor_covers_it(world: World) -> None:
    """He says today what should have been said last week: the event's time is his word, the log's is not."""
    event = json.loads(world.read(0)) | {"eventID": "urn:uuid:019da000-0000-7000-8000-000000000005"}
    with world.rt.db.write() as session:
        entry = log.record(session, parse_event(event), now=world.rt.clock.now())
        log.integrate(session)
        log.publish(session, world.rt.signer, now=world.rt.clock.now())
        assert entry.record_time > entry.event_time
    verified = world.against_the_public_chain(world.prove())
    told = next(each for each in verified.entries if each.event_id == event["eventID"])
    assert told.event["recordTime"] > told.event["eventTime"]
    assert told.is_anchored is False
    assert Unshown.PARTLY_ANCHORED in verified.unshown


def test_a_log_clock_set_back_is_named(world: World) -> None:
    """To say that it was recorded last week he has to write behind entries that say they were recorded since."""
    event = json.loads(world.read(0)) | {"eventID": "urn:uuid:019da000-0000-7000-8000-000000000006"}
    size = _size(world)
    with world.rt.db.write() as session:
        log.record(session, parse_event(event), now=parse_time(json.loads(world.read(0))["recordTime"]))
        log.integrate(session)
        log.publish(session, world.rt.signer, now=world.rt.clock.now())
    found = world.fsck()
    assert (found["first_wrong"]["kind"], found["first_wrong"]["index"]) == ("time", size)
    assert found["first_wrong"]["event_id"] == event["eventID"]


def _size(world: World) -> int:
    with world.rt.db.read() as session:
        size = log.tree_size(session)
    assert size > SAVED_AT
    return size
