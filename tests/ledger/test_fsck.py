"""An operator with every right on the database: what fsck says of what he did."""

import random
import tracemalloc
from collections.abc import Callable
from datetime import datetime

import pytest
from sqlmodel import Session, col, delete, select, update

from ledger import fsck, log, merkle, tree
from ledger.checkpoint import LogSigner
from ledger.errors import LogInconsistentError
from ledger.events import Event
from ledger.fsck import ChainHead, Kind, Verdict
from ledger.kernel.database import Database
from ledger.models import Checkpoint, Entry, Naming, Tile
from ledger.rebuild import rebuild
from ledger.trace import history
from tests.simulators.orchard import PACK, noise

SIZES = (38, 338, 700)


@pytest.fixture
def long_db(any_db: Database, golden: list[Event], signer: LogSigner, later: datetime) -> Database:
    """700 entries under three checkpoints."""
    events = [*golden, *noise(662)]
    for start, end in zip((0, *SIZES), SIZES, strict=False):
        with any_db.write() as session:
            log.record_all(session, events[start:end], now=later)
            log.integrate(session)
            log.publish(session, signer, now=later)
    return any_db


def checked(db: Database, signer: LogSigner, *heads: ChainHead) -> fsck.Report:
    with db.read() as session:
        return fsck.check(session, verifier_key=signer.key, chain_heads=heads)


def chain_head(db: Database, size: int) -> ChainHead:
    with db.read() as session:
        return ChainHead(size, tree.root(session, size), f"chain 31337 at size {size}")


def edit(session: Session, index: int, change: Callable[[bytes], bytes]) -> None:
    data = session.exec(select(Entry.data).where(Entry.leaf_index == index)).one()
    session.exec(update(Entry).where(col(Entry.leaf_index) == index).values(data=change(data)))


def test_an_honest_log_is_sound(long_db: Database, signer: LogSigner, golden: list[Event], later: datetime) -> None:
    told: list[tuple[int, int]] = []
    with long_db.write() as session:
        log.record_all(session, noise(665)[662:], now=later)
    heads = [chain_head(long_db, size) for size in (1, 38, 300, 700)]
    with long_db.read() as session:
        report = fsck.check(
            session,
            verifier_key=signer.key,
            chain_heads=heads,
            progress=lambda done, of: told.append((done, of)),
        )
    assert report.is_sound
    assert (report.entries, report.pending, report.checkpoints, report.chain_heads) == (700, 3, 3, 4)
    assert (report.claims, report.first_wrong) == ([], None)
    assert told[-1] == (700, 700)


def test_an_empty_log_is_sound(db: Database, signer: LogSigner) -> None:
    assert checked(db, signer).is_sound


@pytest.mark.parametrize("index", [0, 1, 37, 38, 255, 256, 511, 699])
def test_one_changed_byte_is_named(long_db: Database, signer: LogSigner, index: int) -> None:
    head = chain_head(long_db, 338)
    with long_db.write() as session:
        edit(session, index, lambda data: data.replace(b"+08:00", b"+08:30"))
        event_id = session.exec(select(Entry.event_id).where(Entry.leaf_index == index)).one()
    report = checked(long_db, signer, head)
    assert [(p.kind, p.index, p.event_id) for p in report.problems] == [(Kind.ENTRY, index, event_id)]
    assert {claim.size for claim in report.claims} == {size for size in SIZES if size > index}
    assert {claim.verdict for claim in report.claims} == {Verdict.HOLDS_EXCEPT}


def test_the_first_of_several_is_named_first(long_db: Database, signer: LogSigner) -> None:
    with long_db.write() as session:
        for index in (600, 50, 7):
            edit(session, index, lambda data: data[:-1] + b" ")
    report = checked(long_db, signer)
    assert report.first_wrong is not None
    assert (report.first_wrong.kind, report.first_wrong.index) in {(Kind.ENTRY, 7), (Kind.ROW, 7)}
    assert {p.index for p in report.problems if p.kind is Kind.ENTRY} == {7, 50, 600}


def test_an_entry_no_checkpoint_covers_yet_is_named_too(long_db: Database, signer: LogSigner, later: datetime) -> None:
    with long_db.write() as session:
        log.record_all(session, noise(665)[662:], now=later)
        log.integrate(session)
        edit(session, 701, lambda data: data.replace(b"+08:00", b"+08:30"))
    report = checked(long_db, signer)
    assert [(p.kind, p.index) for p in report.problems] == [(Kind.ENTRY_OR_TREE, 701)]


@pytest.mark.parametrize("index", [0, 300, 650])
def test_a_rewritten_entry_and_tree_do_not_fit_what_was_signed(
    long_db: Database, signer: LogSigner, index: int
) -> None:
    """He rewrote entry and tree together; only the signed heads can tell, and they do."""
    honest = chain_head(long_db, 700)
    with long_db.write() as session:
        edit(session, index, lambda data: data.replace(b"+08:00", b"+08:30"))
        regrow(session)
    report = checked(long_db, signer, honest)
    broken = [size for size in SIZES if size > index]
    assert [claim.size for claim in report.claims if claim.kind is Kind.CHECKPOINT] == broken
    assert [claim.size for claim in report.claims if claim.kind is Kind.CHAIN] == [700]
    assert {claim.verdict for claim in report.claims} == {Verdict.BROKEN}
    assert report.first_wrong is not None
    assert report.first_wrong.index == max([0, *(size for size in SIZES if size <= index)])


def regrow(session: Session) -> None:
    """Make the tree again from whatever the entries are now."""
    session.exec(delete(Tile))
    data = session.exec(select(Entry.data).where(col(Entry.leaf_index).is_not(None)).order_by(col(Entry.leaf_index)))
    tree.append(session, 0, [merkle.leaf_hash(item) for item in data])


def test_re_signing_a_rewritten_log_does_not_help_against_the_chain(long_db: Database, signer: LogSigner) -> None:
    """He has the log's key as well, and signs it all anew. The chain remembers."""
    honest = chain_head(long_db, 338)
    with long_db.write() as session:
        edit(session, 5, lambda data: data.replace(b"+08:00", b"+08:30"))
        regrow(session)
        for row in session.exec(select(Checkpoint)):
            row.root = tree.root(session, row.size)
            row.note = signer.sign(row.size, row.root)
    assert checked(long_db, signer).is_sound
    report = checked(long_db, signer, honest)
    assert [(p.kind, p.index) for p in report.problems] == [(Kind.CHAIN, 0)]
    assert "between 0 and 338" in report.problems[0].what


@pytest.mark.parametrize(("gone", "kind"), [(range(690, 700), Kind.CHECKPOINT), (range(5, 6), Kind.INDEX)])
def test_removed_entries_are_missed(long_db: Database, signer: LogSigner, gone: range, kind: Kind) -> None:
    head = chain_head(long_db, 700)
    with long_db.write() as session:
        session.exec(delete(Entry).where(col(Entry.leaf_index).in_(gone)))
    report = checked(long_db, signer, head)
    assert report.first_wrong is not None
    assert (report.first_wrong.kind, report.first_wrong.index) == (kind, gone.start)


def test_a_log_cut_back_with_its_checkpoints_is_missed_by_the_chain(long_db: Database, signer: LogSigner) -> None:
    head = chain_head(long_db, 700)
    with long_db.write() as session:
        session.exec(delete(Entry).where(col(Entry.leaf_index) >= 338))
        session.exec(delete(Checkpoint).where(col(Checkpoint.size) > 338))
        regrow(session)
    assert checked(long_db, signer).is_sound
    report = checked(long_db, signer, head)
    assert [(p.kind, p.index) for p in report.problems] == [(Kind.CHAIN, 338)]
    assert "cut short" in report.problems[0].what


def test_two_entries_that_changed_places_are_both_named(long_db: Database, signer: LogSigner) -> None:
    with long_db.write() as session:
        for given, index in ((-1, 40), (40, 41), (41, -1)):
            session.exec(update(Entry).where(col(Entry.leaf_index) == index).values(leaf_index=given))
    report = checked(long_db, signer)
    assert [(p.kind, p.index) for p in report.problems] == [(Kind.ENTRY, 40), (Kind.ENTRY, 41)]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("sentence", "packed/1"),
        ("event_type", "ObjectEvent?"),
        ("event_id", "urn:uuid:other"),
        ("is_declaration", True),
    ],
)
def test_columns_that_say_something_else_are_named(
    long_db: Database, signer: LogSigner, column: str, value: object
) -> None:
    with long_db.write() as session:
        session.exec(update(Entry).where(col(Entry.leaf_index) == 12).values({column: value}))
    report = checked(long_db, signer)
    assert [(p.kind, p.index) for p in report.problems] == [(Kind.ROW, 12)]
    assert column in report.problems[0].what


@pytest.mark.parametrize(("level", "number", "byte"), [(0, 0, 40), (0, 0, 8200), (0, 2, 9), (1, 0, 1)])
def test_a_damaged_tree_is_told_from_a_damaged_entry_and_can_be_rebuilt(
    long_db: Database, signer: LogSigner, level: int, number: int, byte: int
) -> None:
    with long_db.write() as session:
        tile = session.get(Tile, (level, number))
        assert tile is not None
        changed = bytearray(tile.data)
        changed[byte] ^= 1
        tile.data = bytes(changed)
    report = checked(long_db, signer)
    assert report.problems
    assert {problem.kind for problem in report.problems} == {Kind.TREE}
    with long_db.write() as session:
        assert rebuild(session) == 700
    assert checked(long_db, signer).is_sound


@pytest.mark.parametrize("forgery", ["another key", "another root", "row", "left out"])
def test_a_checkpoint_that_is_not_ours_is_named(long_db: Database, signer: LogSigner, forgery: str) -> None:
    with long_db.write() as session:
        row = session.get(Checkpoint, 338)
        assert row is not None
        if forgery == "another key":
            row.note = LogSigner(signer.origin, bytes(32)).sign(338, row.root)
        elif forgery == "another root":
            row.note = signer.sign(338, bytes(32))
        elif forgery == "row":
            row.root = bytes(32)
        else:
            session.delete(row)
    report = checked(long_db, signer)
    assert not report.is_sound
    assert {problem.kind for problem in report.problems} == {Kind.CHECKPOINT}


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[" * 5000, b"null"])
def test_bytes_that_are_no_event_do_not_stop_it(long_db: Database, signer: LogSigner, data: bytes) -> None:
    with long_db.write() as session:
        edit(session, 100, lambda _: data)
    report = checked(long_db, signer)
    assert {problem.kind for problem in report.problems} == {Kind.ENTRY, Kind.ROW}
    assert {problem.index for problem in report.problems} == {100}


def test_random_damage_is_always_found(long_db: Database, signer: LogSigner) -> None:
    dice = random.Random(9162)
    for _ in range(12):
        index = dice.randrange(700)
        with long_db.write() as session:
            before = session.exec(select(Entry.data).where(Entry.leaf_index == index)).one()
            changed = bytearray(before)
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
            edit(session, index, lambda _, changed=changed: bytes(changed))
        report = checked(long_db, signer)
        assert report.first_wrong is not None
        assert report.first_wrong.index == index
        with long_db.write() as session:
            edit(session, index, lambda _, before=before: before)
    assert checked(long_db, signer).is_sound


def test_memory_does_not_grow_with_the_log(
    db: Database, golden: list[Event], signer: LogSigner, later: datetime
) -> None:
    def peak_after(count: int) -> int:
        with db.write() as session:
            log.record_all(session, noise(count), now=later)
            log.integrate(session)
            log.publish(session, signer, now=later)
        tracemalloc.start()
        assert checked(db, signer).is_sound
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    small, large = peak_after(2200), peak_after(5500)
    assert large < 1.5 * small


# --- derived tables -------------------------------------------------------------------------------


def test_the_index_comes_back_from_the_entries(long_db: Database) -> None:
    with long_db.read() as session:
        before = [step.event_id for step in history(session, PACK).steps]
        rows = len(session.exec(select(Naming.entry_id)).all())
    with long_db.write() as session:
        session.exec(delete(Naming).where(col(Naming.identifier) == PACK))
    with long_db.write() as session:
        rebuild(session)
    with long_db.read() as session:
        assert [step.event_id for step in history(session, PACK).steps] == before
        assert len(session.exec(select(Naming.entry_id)).all()) == rows


def test_a_changed_entry_cannot_be_made_right_by_rebuilding(long_db: Database) -> None:
    with long_db.write() as session:
        edit(session, 12, lambda data: data.replace(b"+08:00", b"+08:30"))
    with long_db.write() as session:
        with pytest.raises(LogInconsistentError, match="signed at size 700"):
            rebuild(session)
        session.rollback()
