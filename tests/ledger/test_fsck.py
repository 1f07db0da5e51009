"""An operator with every right on the database: what fsck says of what he did."""

import random
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text
from sqlmodel import Session, col, delete, select, update

from ledger import beside, digests, disclosure, events, fsck, log, merkle, tree
from ledger.canonical import canonical
from ledger.checkpoint import LogSigner
from ledger.cosign import WitnessSigner
from ledger.errors import LogInconsistentError
from ledger.events import Event
from ledger.findings import MOST_PROBLEMS
from ledger.fsck import Kept, Kind, OutsideHead, Verdict
from ledger.kernel.database import Database
from ledger.kernel.files import FileStore, parse_ni
from ledger.models import Checkpoint, Cosignature, Disclosure, Entry, FollowerCursor, Naming, Tile, WitnessState
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


def checked(db: Database, signer: LogSigner, *heads: OutsideHead) -> fsck.Report:
    with db.read() as session:
        return fsck.check(session, verifier_key=signer.key, outside_heads=heads)


def chain_head(db: Database, size: int) -> OutsideHead:
    with db.read() as session:
        return OutsideHead(size, tree.root(session, size), f"chain 31337 at size {size}")


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
            outside_heads=heads,
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
        gone = select(Entry.id).where(col(Entry.leaf_index) >= 338)
        session.exec(delete(Naming).where(col(Naming.entry_id).in_(gone)))
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


# --- going on where it was --------------------------------------------------------------------------


class Interrupted(Exception):  # noqa: N818  # not an error
    """The process died here."""


@pytest.fixture
def two_thousand(db: Database, signer: LogSigner, later: datetime, monkeypatch: pytest.MonkeyPatch) -> Database:
    """2,500 entries under five checkpoints; a run is kept every 1,024 entries."""
    monkeypatch.setattr(fsck, "KEEP_EVERY", 1024)
    events = noise(2500)
    for start in range(0, 2500, 500):
        with db.write() as session:
            log.record_all(session, events[start : start + 500], now=later)
            log.integrate(session)
            log.publish(session, signer, now=later)
    return db


def interrupted(db: Database, signer: LogSigner, *, after: int) -> Kept:
    """What a run had kept that died after so many entries."""
    runs: list[Kept] = []

    def die(done: int, _of: int) -> None:
        if done > after:
            raise Interrupted

    with pytest.raises(Interrupted), db.read() as session:
        fsck.check(session, verifier_key=signer.key, progress=die, keep=runs.append)
    return runs[-1]


def gone_on(db: Database, signer: LogSigner, kept: Kept, *heads: OutsideHead) -> fsck.Report:
    with db.read() as session:
        return fsck.check(session, verifier_key=signer.key, outside_heads=heads, kept=kept)


@pytest.mark.parametrize("after", [1024, 2048])
def test_an_interrupted_run_goes_on_where_it_was(two_thousand: Database, signer: LogSigner, after: int) -> None:
    kept = interrupted(two_thousand, signer, after=after)
    assert kept.size == after
    heads = [chain_head(two_thousand, size) for size in (700, 2300)]
    report = gone_on(two_thousand, signer, kept, *heads)
    assert report.is_sound
    assert (report.entries, report.resumed_from, report.checkpoints, report.chain_heads) == (2500, after, 5, 2)


def test_what_is_wrong_further_on_is_named_as_by_a_whole_run(two_thousand: Database, signer: LogSigner) -> None:
    kept = interrupted(two_thousand, signer, after=1024)
    with two_thousand.write() as session:
        edit(session, 1400, lambda data: data.replace(b"+08:00", b"+08:30"))
        session.exec(delete(Naming).where(col(Naming.entry_id) == 2001))
    whole, resumed = checked(two_thousand, signer), gone_on(two_thousand, signer, kept)
    assert whole.problems == resumed.problems
    assert whole.claims == resumed.claims
    assert {(p.kind, p.index) for p in whole.problems} == {(Kind.ENTRY, 1400), (Kind.NAMING, 2000)}


@pytest.mark.parametrize("rewritten", ["tree", "tree and checkpoints"])
def test_a_run_that_no_longer_fits_is_begun_anew(two_thousand: Database, signer: LogSigner, rewritten: str) -> None:
    kept = interrupted(two_thousand, signer, after=1024)
    honest = chain_head(two_thousand, 700)
    with two_thousand.write() as session:
        edit(session, 7, lambda data: data.replace(b"+08:00", b"+08:30"))
        regrow(session)
        if rewritten == "tree and checkpoints":
            for row in session.exec(select(Checkpoint)):
                row.root = tree.root(session, row.size)
                row.note = signer.sign(row.size, row.root)
    report = gone_on(two_thousand, signer, kept, honest)
    assert report.resumed_from == 0
    assert report.first_wrong is not None
    assert report.first_wrong.index == 0


def test_a_run_over_another_log_is_begun_anew(two_thousand: Database, signer: LogSigner) -> None:
    kept = interrupted(two_thousand, signer, after=1024)
    with two_thousand.read() as session:
        other = LogSigner(signer.origin, bytes(32)).key
        assert fsck.check(session, verifier_key=other, kept=kept).resumed_from == 0


def test_a_head_that_a_kept_run_did_not_know_is_judged_all_the_same(two_thousand: Database, signer: LogSigner) -> None:
    kept = interrupted(two_thousand, signer, after=2048)
    report = gone_on(two_thousand, signer, kept, OutsideHead(700, bytes(32), "another chain"))
    assert (report.resumed_from, report.first_wrong and report.first_wrong.kind) == (0, Kind.CHAIN)


def test_nothing_is_kept_once_something_is_wrong(two_thousand: Database, signer: LogSigner) -> None:
    with two_thousand.write() as session:
        edit(session, 1100, lambda data: data.replace(b"+08:00", b"+08:30"))
    assert interrupted(two_thousand, signer, after=2048).size == 1024


def test_going_on_takes_the_word_of_the_kept_run_for_what_it_read(two_thousand: Database, signer: LogSigner) -> None:
    """Said in threats.md: a byte changed behind the reader's back is seen by the next whole run, not by this one."""
    kept = interrupted(two_thousand, signer, after=1024)
    with two_thousand.write() as session:
        edit(session, 7, lambda data: data.replace(b"+08:00", b"+08:30"))
    assert gone_on(two_thousand, signer, kept).is_sound
    assert [(p.kind, p.index) for p in checked(two_thousand, signer).problems] == [(Kind.ENTRY, 7)]


# --- beside running writers ---------------------------------------------------------------------------


@pytest.fixture
def busy_db(
    any_db: Database, signer: LogSigner, later: datetime, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """A log that somebody writes to whenever a check goes on to its next part."""
    events = iter(noise(4000))

    def write(count: int) -> None:
        with any_db.write() as session:
            log.record_all(session, [next(events) for _ in range(count)], now=later)
            log.integrate(session, limit=count - 10)
            log.publish(session, signer, now=later)

    write(2500)
    for name in ("verify_checkpoint", "milliseconds"):  # called all along
        calls, original = count(), getattr(fsck, name)
        monkeypatch.setattr(
            fsck, name, lambda *a, o=original, c=calls: (write(40) if next(c) % 900 == 0 else None, o(*a))[1]
        )
    finish, look = fsck._Check._finish, beside.naming_problems
    monkeypatch.setattr(fsck._Check, "_finish", lambda check: (write(40), finish(check))[1])
    monkeypatch.setattr(beside, "naming_problems", lambda *a, **k: (write(40), look(*a, **k))[1])
    yield any_db
    with any_db.read() as session:
        assert log.tree_size(session) > 2600, "somebody did write"


def test_a_log_that_grows_under_the_check_is_sound(busy_db: Database, signer: LogSigner) -> None:
    for _ in range(3):
        report = checked(busy_db, signer)
        assert report.problems == []
        assert report.entries >= 2490


def test_without_one_snapshot_it_would_not_be(busy_db: Database, signer: LogSigner) -> None:
    """The control: PostgreSQL shows every statement the newest rows unless it is asked for a snapshot."""
    with busy_db.read() as session:
        session.connection()  # begun before the check could ask for a snapshot
        report = fsck.check(session, verifier_key=signer.key)
    assert report.is_sound is busy_db.is_sqlite, "SQLite's transactions are snapshots by themselves"


# --- what stands beside the entries -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DELETE FROM ledger_naming WHERE entry_id = 13 AND identifier LIKE '%/P03'", "the index lacks"),
        (
            "INSERT INTO ledger_naming SELECT 'bad', sentence, event_time, entry_id, roles FROM ledger_naming"  # noqa: ISC004
            " WHERE entry_id = 13 AND identifier LIKE '%/P03'",
            "the index has bad",
        ),
        ("UPDATE ledger_naming SET roles = 1 WHERE entry_id = 13 AND identifier LIKE '%/P03'", "something else of"),
        ("UPDATE ledger_naming SET sentence = 'packed/1' WHERE entry_id = 13", "something else of"),
        ("UPDATE ledger_naming SET event_time = event_time + 1 WHERE entry_id = 13", "something else of"),
    ],
)
def test_an_index_that_misleads_queries_is_named(long_db: Database, signer: LogSigner, damage: str, said: str) -> None:
    with long_db.write() as session:
        session.execute(text(damage))
    report = checked(long_db, signer)
    assert {(p.kind, p.index) for p in report.problems} == {(Kind.NAMING, 12)}
    assert said in report.problems[0].what
    with long_db.write() as session:
        rebuild(session)
    assert checked(long_db, signer).is_sound


def test_index_rows_that_changed_places_are_named(long_db: Database, signer: LogSigner) -> None:
    """The sums are over whole rows: two that swap their entries do not cancel out."""
    with long_db.write() as session:
        session.execute(text("UPDATE ledger_naming SET entry_id = -1 WHERE entry_id = 100"))
        session.execute(text("UPDATE ledger_naming SET entry_id = 100 WHERE entry_id = 101"))
        session.execute(text("UPDATE ledger_naming SET entry_id = 101 WHERE entry_id = -1"))
    report = checked(long_db, signer)
    assert {(p.kind, p.index) for p in report.problems} == {(Kind.NAMING, 99), (Kind.NAMING, 100)}


def test_index_rows_of_no_entry_are_named(long_db: Database, signer: LogSigner) -> None:
    with long_db.write() as session:
        session.execute(text("UPDATE ledger_naming SET entry_id = 100000 WHERE entry_id = 13"))
    assert {p.index for p in checked(long_db, signer).problems} == {12, None}


def test_an_index_that_is_wrong_everywhere_is_told_in_a_bounded_report(long_db: Database, signer: LogSigner) -> None:
    with long_db.write() as session:
        session.execute(text("UPDATE ledger_naming SET roles = 1"))
    report = checked(long_db, signer)
    assert report.is_cut
    assert len(report.problems) == MOST_PROBLEMS


def test_pending_entries_are_indexed_too(long_db: Database, signer: LogSigner, later: datetime) -> None:
    with long_db.write() as session:
        log.record_all(session, noise(665)[662:], now=later)
    assert checked(long_db, signer).is_sound
    with long_db.write() as session:
        session.execute(text("DELETE FROM ledger_naming WHERE entry_id = 702"))
    report = checked(long_db, signer)
    assert {(p.kind, p.index) for p in report.problems} == {(Kind.NAMING, None)}
    assert report.problems[0].event_id


@pytest.mark.parametrize("position", [701, -1])
def test_a_cursor_beyond_the_log_is_named(long_db: Database, signer: LogSigner, position: int) -> None:
    with long_db.write() as session:
        session.add(FollowerCursor(name="orders.graded_stock", position=700))
        session.add(FollowerCursor(name="other", position=position))
    assert [(p.kind, p.what[:5]) for p in checked(long_db, signer).problems] == [(Kind.FOLLOWER, "other")]


@pytest.fixture
def private_db(any_db: Database, golden: list[Event], signer: LogSigner, later: datetime) -> Database:
    """The golden chain, whose first event commits to two private fields."""
    with any_db.write() as session:
        made = disclosure.commit_fields(session, str(golden[0].event_id), {"holderName": "A", "contract": "no 1"})
        event = msgspec.structs.replace(golden[0], extensions={**golden[0].extensions, "gy:digests": made})
        log.record_all(session, [event, *golden[1:]], now=later)
        log.integrate(session)
        log.publish(session, signer, now=later)
    return any_db


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("disclosure", digests.seal("holderName", "B"), "is not the text that its digest stands for"),
        ("disclosure", "?", "cannot be opened"),
        ("name", "phone", "is called 'holderName' inside"),
        ("event_id", "urn:uuid:019d9d9b-b2c0-730c-9fdc-2711eab98f91", "stands in no entry of its event"),
    ],
)
def test_private_text_that_was_exchanged_is_named(
    private_db: Database, signer: LogSigner, column: str, value: str, said: str
) -> None:
    report = checked(private_db, signer)
    assert (report.is_sound, report.disclosures) == (True, 2)
    with private_db.write() as session:
        session.exec(update(Disclosure).where(col(Disclosure.name) == "holderName").values({column: value}))
    problems = checked(private_db, signer).problems
    assert [problem.kind for problem in problems] == [Kind.DISCLOSURE]
    assert said in problems[0].what


def test_private_text_that_was_erased_is_nothing_wrong(private_db: Database, signer: LogSigner) -> None:
    with private_db.write() as session:
        disclosure.erase(session, list(session.exec(select(Entry.event_id))))
    report = checked(private_db, signer)
    assert (report.is_sound, report.disclosures) == (True, 0)


def test_files_that_entries_name_are_read_where_asked(
    db: Database, golden: list[Event], signer: LogSigner, later: datetime, tmp_path: Path
) -> None:
    files = FileStore(tmp_path / "files")
    kept, gone = files.put(b"kept"), files.put(b"gone")
    names = [kept, gone]
    packed = msgspec.structs.replace(golden[26], extensions={**golden[26].extensions, "gy:evidence": names})
    bare = [event for event in golden if b"ni:///" not in canonical(events.document(event))]
    with db.write() as session:
        log.record_all(session, [*bare, packed], now=later)
        log.integrate(session)

    def problems() -> tuple[list[tuple[Kind, int | None]], int]:
        with db.read() as session:
            report = fsck.check(session, verifier_key=signer.key, files=files)
        assert report.files == 2
        return [(problem.kind, problem.index) for problem in report.problems], report.files_gone

    assert problems() == ([], 0)
    next((tmp_path / "files").glob(f"*/{parse_ni(kept).hex()}")).write_bytes(b"swapped")
    assert problems() == ([(Kind.FILE, len(bare))], 0)
    files.erase(gone)
    assert problems() == ([(Kind.FILE, len(bare))], 1), "what was erased is told, and is nothing wrong"
    assert checked(db, signer).is_sound, "only where asked"


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


# --- what witnesses signed ----------------------------------------------------------------------------

NORTH = WitnessSigner("witness.example/north", b"n" * 32)


@pytest.fixture
def witnessed_db(long_db: Database, later: datetime) -> Database:
    """A witness signed the first and the last checkpoint."""
    with long_db.write() as session:
        for size in (38, 700):
            note = session.get_one(Checkpoint, size).note
            line = NORTH.cosign(note, time_s=1_780_000_000)
            session.add(Cosignature(size=size, key=NORTH.key.text(), line=line, cosigned_at=later))
        session.add(WitnessState(key=NORTH.key.text(), size=700))
    return long_db


def test_cosignatures_are_checked_and_counted(witnessed_db: Database, signer: LogSigner) -> None:
    report = checked(witnessed_db, signer)
    assert (report.problems, report.cosignatures) == ([], 2)


@pytest.mark.parametrize("damage", ["other line", "other checkpoint", "no line", "re-signed head"])
def test_a_cosignature_that_does_not_hold_is_named(witnessed_db: Database, signer: LogSigner, damage: str) -> None:
    with witnessed_db.write() as session:
        row = session.get_one(Cosignature, (700, NORTH.key.text()))
        if damage == "other line":
            row.line = WitnessSigner("witness.example/south", b"s" * 32).cosign(signer.sign(700, bytes(32)), time_s=9)
        elif damage == "other checkpoint":
            row.size = 338
        elif damage == "no line":
            row.line = "signed by north\n"
        else:
            head = session.get_one(Checkpoint, 700)
            head.note = signer.sign(700, bytes(32))
            head.root = bytes(32)
    found = [problem.what for problem in checked(witnessed_db, signer).problems if problem.kind is Kind.COSIGNATURE]
    assert len(found) == 1
    assert "witness.example/north" in found[0]


def test_a_log_cut_back_is_missed_by_what_a_witness_signed(witnessed_db: Database, signer: LogSigner) -> None:
    with witnessed_db.write() as session:
        session.exec(delete(Checkpoint).where(col(Checkpoint.size) > 338))
        gone = select(Entry.id).where(col(Entry.leaf_index) >= 338)
        session.exec(delete(Naming).where(col(Naming.entry_id).in_(gone)))
        session.exec(delete(Entry).where(col(Entry.leaf_index) >= 338))
        regrow(session)
    report = checked(witnessed_db, signer)
    assert {problem.kind for problem in report.problems} == {Kind.COSIGNATURE}
    assert [problem.index for problem in report.problems] == [None, 338]


def test_a_clock_set_back_is_named(long_db: Database, signer: LogSigner, later: datetime) -> None:
    """An hour is forgiven: a slow transaction is overtaken by quick ones."""
    with long_db.write() as session:
        log.record_all(session, noise(664)[662:663], now=later - timedelta(minutes=59))
        log.record_all(session, noise(664)[663:], now=later - timedelta(minutes=61))
        log.integrate(session)
    assert [(p.kind, p.index) for p in checked(long_db, signer).problems] == [(Kind.TIME, 701)]
