"""He leaves the log alone and works beside it: the index, the tree, private text, files, cursors, labels."""

import json

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from ledger import digests, disclosure, follow
from ledger.errors import LogInconsistentError, VerificationError
from ledger.follow import lag
from ledger.kernel.clock import parse_time
from ledger.kernel.files import MissingFileError, parse_ni
from ledger.models import Entry
from ledger.proof import Unshown, verify
from ledger.rebuild import rebuild
from ledger.trace import history
from orders.stock import GradedStock
from tests.api.golden import PACK
from tests.attacks.conftest import NOW, World, in_node

OTHER_PACK = "https://id.gs1.org/01/09521002001013/21/M2TJ4Y7EQS9K"


def rebuilt(world: World) -> None:
    """What the operator, honest again, does about derived tables."""
    with world.rt.db.write() as session:
        rebuild(session)
    assert world.fsck()["sound"]


# --- what answers queries ----------------------------------------------------------------------------


def test_an_index_that_hides_a_bad_entry_is_named(world: World) -> None:
    """The pack's history leaves out what was recorded of its delivery. Proofs verify; the index is found out."""
    with world.rt.db.read() as session:
        before = len(history(session, PACK).steps)
        hidden = session.exec(select(Entry.id, Entry.leaf_index).where(Entry.sentence == "delivered/1")).one()
    world.sql("DELETE FROM ledger_naming WHERE entry_id = :id", id=hidden[0])
    with world.rt.db.read() as session:
        assert len(history(session, PACK).steps) < before
    assert Unshown.COMPLETENESS in verify(world.prove()).unshown, "a proof never claims to be all there is"
    found = world.fsck()
    assert {(p["kind"], p["index"]) for p in found["problems"]} == {("naming", hidden[1])}
    rebuilt(world)
    with world.rt.db.read() as session:
        assert len(history(session, PACK).steps) == before


def test_one_packs_label_cannot_be_led_to_anothers_history(world: World) -> None:
    """He gives the pack in the consumer's hand the entries of a better one, in the index that labels lead to."""
    world.sql("DELETE FROM ledger_naming WHERE identifier = :pack", pack=PACK)
    world.sql("UPDATE ledger_naming SET identifier = :pack WHERE identifier = :other", pack=PACK, other=OTHER_PACK)
    made = world.prove(PACK)
    with pytest.raises(VerificationError, match="has nothing to do with"):
        verify(made)
    assert in_node(world.file(made), world.known_key.text())[0] is False
    found = world.fsck()
    assert {p["kind"] for p in found["problems"]} == {"naming"}
    assert any(PACK in p["what"] for p in found["problems"])
    assert any(OTHER_PACK in p["what"] for p in found["problems"])
    rebuilt(world)


def test_a_proof_under_another_packs_name_is_refused(world: World) -> None:
    made = json.loads(world.prove(OTHER_PACK))
    renamed = json.dumps(made | {"subject": PACK}, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    with pytest.raises(VerificationError, match="nothing to do with"):
        verify(renamed)


def test_columns_that_say_something_else_are_named(world: World) -> None:
    world.sql("UPDATE ledger_entry SET sentence = 'graded/1' WHERE leaf_index = 3")
    found = world.fsck()
    assert (found["first_wrong"]["kind"], found["first_wrong"]["index"]) == ("row", 3)


# --- the stored tree --------------------------------------------------------------------------------------


@pytest.mark.parametrize("byte", [0, 40, 700])
def test_a_damaged_tree_proves_nothing_and_is_made_again(world: World, byte: int) -> None:
    with world.rt.db.read() as session:
        data = bytearray(bytes(session.connection().exec_driver_sql("SELECT data FROM ledger_tile").scalar_one()))
    data[byte] ^= 1
    world.sql("UPDATE ledger_tile SET data = :data", data=bytes(data))
    with pytest.raises((VerificationError, LogInconsistentError)):
        verify(world.prove())
    assert world.kinds() == {"tree"}
    rebuilt(world)


# --- private text and files ---------------------------------------------------------------------------------


def test_private_text_that_was_exchanged_opens_nothing(world: World) -> None:
    """He wants to have named another person all along."""
    event_id = json.loads(world.read(0))["eventID"]
    digest = json.loads(world.read(0))["gy:digests"][0]
    forged = digests.seal("holderName", "Somebody else")
    world.sql(
        "INSERT INTO ledger_disclosure VALUES (:digest, :event, 'holderName', :text)",
        digest=digest,
        event=event_id,
        text=forged,
    )
    made = world.prove(reveal=["holderName"])
    with pytest.raises(VerificationError, match="stands in no entry"):
        verify(made)
    assert in_node(world.file(made), world.known_key.text())[0] is False
    found = world.fsck()
    assert [(p["kind"], p["index"]) for p in found["problems"]] == [("disclosure", 0)]
    with world.rt.db.write() as session:
        disclosure.erase(session, [event_id])
    assert verify(world.prove(reveal=["holderName"])).opened == ()


def test_an_exchanged_photograph_is_neither_served_nor_sound(world: World) -> None:
    packed = next(entry for entry in verify(world.late.read_bytes()).entries if entry.event.get("parentID") == PACK)
    name = packed.event["gy:evidence"][0]
    digest = parse_ni(name).hex()
    path = world.home / "files" / digest[:2] / digest
    path.write_bytes(b"a nicer photograph")
    with pytest.raises(MissingFileError, match="altered"):
        world.rt.files.get(name)
    assert world.fsck()["sound"], "the control: files are read where asked"
    found = world.fsck("--files")
    assert [(p["kind"], p["index"]) for p in found["problems"]] == [("file", packed.index)]


# --- cursors ----------------------------------------------------------------------------------------------------


def test_a_follower_said_to_be_ahead_of_the_log_is_named(world: World) -> None:
    follow.drain(world.rt.db, [GradedStock()], now=NOW)
    world.sql("UPDATE ledger_follower SET position = 1000")
    assert world.kinds() == {"follower"}


def test_a_follower_made_to_skip_is_only_made_whole_again(world: World) -> None:
    """Not caught, and said so: a cursor within the log may be true. Starting it from zero makes its tables again."""
    world.sql("INSERT INTO ledger_follower (name, position) VALUES ('orders.graded_stock', 49)")
    assert world.fsck()["sound"]
    with world.rt.db.write() as session:
        follow.restart(session, GradedStock.name)
    assert follow.drain(world.rt.db, [GradedStock()], now=NOW) == 1
    with world.rt.db.read() as session:
        assert lag(session)[0].behind == 0


def test_two_entries_of_one_event_cannot_be_stored(world: World) -> None:
    """The same event said twice, each to another reader: the table itself refuses."""
    with pytest.raises(IntegrityError):
        world.sql(
            "INSERT INTO ledger_entry (event_id, is_declaration, sentence, event_type, event_time, record_time, data)"
            " SELECT event_id, is_declaration, sentence, event_type, event_time, record_time, data"
            " FROM ledger_entry WHERE leaf_index = 1"
        )
    with world.rt.db.read() as session:
        times = session.exec(select(Entry.data).order_by(col(Entry.leaf_index))).all()
    assert all(parse_time(json.loads(data)["recordTime"]) <= NOW for data in times)
