"""Foreign documents into the log: all or not at all, once, and never in our own words."""

import contextlib
import json
import signal
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlmodel import Session, col, func, select

from ledger import capture, log, merkle, tree
from ledger.canonical import decode_entry
from ledger.capture import EVENT_LIMIT, OnError
from ledger.epcis.cbv_hash import document_hashes, event_hash
from ledger.epcis.normal import normal_event
from ledger.epcis.profile import Profile
from ledger.epcis.reading import read
from ledger.errors import DocumentError, TooManyEventsError, UnknownCaptureError
from ledger.events import Event, document
from ledger.kernel.database import Database
from ledger.kernel.ids import PartyId
from ledger.models import CaptureJob, Entry
from ledger.query import events_of
from ledger.vocabulary import GY
from tests.simulators import partner
from tests.simulators.partner import declared_wrong, send, shipped

ROOT = Path(__file__).resolve().parent.parent.parent


def named(data: bytes) -> str:
    """The name of bytes (RFC 6920)."""
    return "ni:///sha-256;" + urlsafe_b64encode(sha256(data).digest()).decode().rstrip("=")


def entries(session: Session) -> int:
    return session.exec(select(func.count()).select_from(Entry)).one()


# --- what comes in comes out --------------------------------------------------------------------------


def test_every_official_example_is_captured_and_reads_back_with_the_same_hash(db: Database, shared: Path) -> None:
    paths = sorted((shared / "vectors" / "gs1-EPCIS" / "JSON").rglob("*.jsonld"))
    assert len(paths) >= 31
    for path in paths:
        read_in = read(path.read_bytes())
        with db.write() as session:
            captured = capture.capture(
                session, read_in, profile=Profile.STRICT, on_error=OnError.ROLLBACK, now=partner.NOW
            )
            assert captured.refused == (), path
            assert captured.total == len(read_in.events)
            assert all(each.is_new for each in captured.recorded)
            stored = session.exec(select(Entry.data).order_by(col(Entry.leaf_index))).all()
            session.rollback()
        back = [msgspec.json.decode(data) for data in stored]
        assert [event_hash(normal_event(event)) for event in back] == document_hashes(read_in), path
        for event, given in zip(back, read_in.events, strict=True):
            assert event["eventID"] == given.get("eventID", event["eventID"])


def test_an_event_is_stored_in_normal_form(db: Database) -> None:
    with db.write() as session:
        send(session, partner.document(shipped(7, recordTime="2026-04-18T11:20:11Z")))
        (stored,) = events_of(session, partner.event_id(7))
    assert stored["eventTime"] == "2026-04-18T03:20:10.000Z"
    assert stored["recordTime"] == "2026-05-01T00:00:00.000Z", "when we took it, whatever they say"
    assert stored["epcList"][0] == "https://id.gs1.org/01/09521002010138/21/7"
    assert stored["readPoint"] == {"id": "https://id.gs1.org/414/9521001000109/254/P03"}
    assert stored["https://example.org/epcis/lane"] == "L0"
    assert "ex:lane" not in stored


def test_an_event_without_an_id_is_known_by_its_hash(db: Database) -> None:
    nameless = shipped(1, eventID=None)
    spelt_otherwise = {
        **nameless,
        "bizStep": "https://ref.gs1.org/cbv/BizStep-shipping",
        "eventTime": "2026-04-18T03:20:10Z",
        "epcList": [f"https://id.gs1.org/01/09521002010138/21/{serial}" for serial in ("1", "B1")],
    }
    with db.write() as session:
        first = send(session, partner.document(nameless)).recorded[0]
        again = send(session, partner.document(spelt_otherwise)).recorded[0]
        assert entries(session) == 1
    assert first.event_id.startswith("ni:///sha-256;")
    assert first.event_id.endswith("?ver=CBV2.0")
    assert (first.is_new, again.is_new) == (True, False)
    assert first.event_id == again.event_id


# --- once -----------------------------------------------------------------------------------------------


def test_the_same_document_twice_is_recorded_once(any_db: Database) -> None:
    body = partner.document(*(shipped(i) for i in range(5)))
    with any_db.write() as session:
        first = send(session, body)
    with any_db.write() as session:
        again = send(session, body)
        assert entries(session) == 5
        assert log.integrate(session) == 0
    assert (first.new, again.new, len(again.recorded)) == (5, 0, 5)
    assert [each.leaf_index for each in again.recorded] == [0, 1, 2, 3, 4]


def test_other_content_under_a_known_id_is_refused_and_named(any_db: Database) -> None:
    with any_db.write() as session:
        send(session, partner.document(shipped(1)))
    with any_db.write() as session:
        found = send(session, partner.document(shipped(2), shipped(1, disposition="in_progress")))
        assert entries(session) == 1
    (refused,) = found.refused
    assert (refused.code, refused.path) == ("event_conflict", "$.epcisBody.eventList[1]")
    assert refused.event_id == partner.event_id(1)


def test_an_error_declaration_is_no_duplicate_and_both_come_back(any_db: Database) -> None:
    event = shipped(1)
    with any_db.write() as session:
        send(session, partner.document(event))
        send(session, partner.document(declared_wrong(event)))
        again = send(session, partner.document(declared_wrong(event), event))
        both = events_of(session, partner.event_id(1))
    assert again.new == 0
    assert ["errorDeclaration" in each for each in both] == [False, True]
    with any_db.write() as session:
        together = send(session, partner.document(shipped(2), declared_wrong(shipped(2))))
    assert together.new == 2


# --- one bad event --------------------------------------------------------------------------------------

BAD = {
    "not valid": (shipped(2, action="OBSERVED"), "event_invalid", ".action"),
    "in the future": (shipped(2, eventTime="2026-05-02T00:00:00Z"), "event_in_future", ""),
    "too long": (shipped(2, **{"ex:text": "x" * 70_000}), "entry_too_large", ""),
    "too many identifiers": (shipped(2, epcList=[f"https://example.org/obj/{i}" for i in range(2501)]), "", ".epcList"),
    "in our words": (shipped(2, **{GY + "sentence": "graded/1"}), "words_borrowed", ""),
}


@pytest.mark.parametrize("kind", BAD)
def test_one_bad_event_refuses_the_document_or_is_left_out(any_db: Database, kind: str) -> None:
    bad, code, where = BAD[kind]
    body = partner.document(shipped(1), bad, shipped(3))
    with any_db.write() as session:
        refused = send(session, body, on_error=OnError.ROLLBACK)
        assert (refused.recorded, refused.total, entries(session)) == ((), 3, 0)
    with any_db.write() as session:
        parts = send(session, body, on_error=OnError.PROCEED)
        assert [each.event_id for each in parts.recorded] == [partner.event_id(1), partner.event_id(3)]
        assert log.tree_size(session) == entries(session) == 2
    assert parts.refused == refused.refused
    (problem,) = parts.refused
    assert problem.path.startswith("$.epcisBody.eventList[1]")
    assert problem.path.endswith(where)
    assert problem.event_id == partner.event_id(2)
    assert code in {problem.code, ""}


def test_what_is_wrong_around_the_events_refuses_the_document_either_way(db: Database) -> None:
    for body in (
        partner.document(shipped(1), schemaVersion=None),
        partner.document(shipped(1), **{"@context": ["https://evil.example/context.jsonld"]}),
        partner.document(shipped(1), epcisBody={}),
        {**shipped(1), "type": "EPCISDocument"},
    ):
        for on_error in OnError:
            with db.write() as session, pytest.raises(DocumentError):
                send(session, body, on_error=on_error)


def test_a_document_with_a_hundred_problems_is_refused_as_a_whole(db: Database) -> None:
    body = partner.document(*(shipped(i, action="NO") for i in range(120)), shipped(999))
    with db.write() as session, pytest.raises(DocumentError) as refused:
        send(session, body, on_error=OnError.PROCEED)
    assert len(refused.value.problems) == 100


def test_a_document_holds_so_many_events_and_no_more(db: Database) -> None:
    body = partner.document(*(shipped(i) for i in range(EVENT_LIMIT + 1)))
    with db.write() as session, pytest.raises(TooManyEventsError) as refused:
        send(session, body)
    assert (refused.value.count, refused.value.limit) == (EVENT_LIMIT + 1, EVENT_LIMIT)


# --- our own words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"gy:sentence": "graded/1"},
        {"mine:recorder": "https://id.gs1.org/417/9521002000017"},
        {GY + "digests": ["x"]},
        {"action": "ADD", "ilmd": {"gy:plot": "https://id.gs1.org/414/9521001000109/254/P03"}},
        {"ex:deep": {"ex:deeper": [{"mine:quota": "5"}]}},
        {"readPoint": {"id": "https://example.org/loc/1", "gy:x": "1"}},
    ],
    ids=repr,
)
def test_nobody_outside_speaks_in_our_words(db: Database, changes: dict[str, Any]) -> None:
    context = [partner.CONTEXT[0], {"ex": "https://example.org/epcis/", "gy": GY, "mine": GY}]
    with db.write() as session:
        found = send(session, partner.document(shipped(1, **changes), **{"@context": context}))
        assert entries(session) == 0
    assert [each.code for each in found.refused] == ["words_borrowed"]


def test_a_prefix_like_ours_that_means_something_else_is_no_word_of_ours(db: Database) -> None:
    context = [partner.CONTEXT[0], {"ex": "https://example.org/epcis/", "gy": "https://example.org/gy/"}]
    with db.write() as session:
        send(session, partner.document(shipped(1, **{"gy:sentence": "graded/1"}), **{"@context": context}))
        (stored,) = session.exec(select(Entry)).all()
    assert stored.sentence == "", "no follower looks at it"
    assert decode_entry(stored.data).sentence is None
    assert decode_entry(stored.data).extensions["https://example.org/gy/sentence"] == "graded/1"


def test_our_own_events_may_come_back_word_for_word_and_not_otherwise(db: Database, golden: list[Event]) -> None:
    ours = [document(event) for event in golden]
    context = [partner.CONTEXT[0], {"gy": GY, "cbvmda": "urn:epcglobal:cbv:mda:"}]
    with db.write() as session:
        log.record_all(session, golden, now=partner.NOW)
        log.integrate(session)
        back = send(session, partner.document(*ours, **{"@context": context}))
        assert (back.new, len(back.recorded), back.refused) == (0, 38, ())
        changed = send(session, partner.document({**ours[0], "disposition": "inactive"}, **{"@context": context}))
        assert entries(session) == 38
    assert [each.code for each in changed.refused] == ["words_borrowed"]


def test_nobody_outside_declares_our_events_wrong(db: Database, golden: list[Event]) -> None:
    plain = {name: value for name, value in document(golden[0]).items() if ":" not in name and name != "ilmd"}
    with db.write() as session:
        log.record_all(session, golden[:1], now=partner.NOW)
        found = send(session, partner.document(declared_wrong(plain)))
        assert entries(session) == 1
        proceeding = send(session, partner.document(declared_wrong(plain), shipped(1)), on_error=OnError.PROCEED)
    assert [(each.code, each.path) for each in found.refused] == [
        ("words_borrowed", "$.epcisBody.eventList[0].errorDeclaration")
    ]
    assert proceeding.new == 1


# --- who sent it ----------------------------------------------------------------------------------------


def test_a_job_says_who_sent_a_document_and_what_became_of_it(any_db: Database, golden: list[Event]) -> None:
    body = partner.document(shipped(1), shipped(2), shipped(2, action="NO"))
    with any_db.write() as session:
        log.record_batch(session, golden[:1], now=partner.NOW, is_whole=True)
        captured = send(session, body, on_error=OnError.PROCEED)
        job = partner.kept(session, captured, b"as it came")
        assert (job.events, job.new, job.repeated, job.refused, job.first_index) == (3, 2, 0, 1, 1)
        assert json.loads(job.errors)[0]["path"] == "$.epcisBody.eventList[2].action"
        assert job.digest == named(b"as it came")
        log.record_batch(session, golden[1:2], now=partner.NOW, is_whole=True)
        senders = [capture.sender_of(session, index) for index in range(4)]
        assert [sender and sender.id for sender in senders] == [None, job.id, job.id, None]
        assert capture.job(session, job.id, party=partner.PARTY).id == job.id
        for party, wanted in ((PartyId("https://id.gs1.org/417/other"), job.id), (None, "nothing")):
            with pytest.raises(UnknownCaptureError):
                capture.job(session, wanted, party=party)


def test_jobs_are_listed_page_by_page_the_newest_first(db: Database) -> None:
    with db.write() as session:
        made = [partner.kept(session, send(session, partner.document(shipped(i))), b"") for i in range(5)]
        first = capture.jobs(session, limit=3)
        rest = capture.jobs(session, before=first[-1].number, limit=3)
        assert [job.id for job in (*first, *rest)] == [job.id for job in reversed(made)]
        assert capture.jobs(session, party=PartyId("nobody")) == []


# --- never half-way ---------------------------------------------------------------------------------------

PER_DOCUMENT = 60


def kill_a_sender(url: str, first: int, *, how: str) -> None:
    """Let another process capture documents for a moment, and kill it as a power cut would."""
    command = [sys.executable, "-m", "tests.simulators.partner", url, str(first), str(PER_DOCUMENT), how]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"one is in\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.25 + (first // PER_DOCUMENT % 7) * 0.07)
        process.send_signal(signal.SIGKILL)


def events_by_document(session: Session) -> Counter[int]:
    numbers = [int(event_id[-12:], 16) for event_id in session.exec(select(Entry.event_id))]
    return Counter(number // PER_DOCUMENT for number in numbers)


def test_a_sender_killed_at_any_moment_leaves_whole_documents(any_db: Database) -> None:
    url = any_db.engine.url.render_as_string(hide_password=False)
    for turn in range(3):
        kill_a_sender(url, turn * PER_DOCUMENT * 10_001, how="whole")
    with any_db.write() as session:
        found = events_by_document(session)
        assert len(found) >= 3
        assert set(found.values()) == {PER_DOCUMENT}
        jobs = session.exec(select(CaptureJob)).all()
        assert sum(job.new for job in jobs) == entries(session) == log.tree_size(session)
        leaves = [merkle.leaf_hash(data) for data in session.exec(select(Entry.data).order_by(col(Entry.leaf_index)))]
        assert tree.root(session, len(leaves)) == merkle.root(leaves)


def test_a_sender_that_records_event_by_event_is_caught_half_way(db: Database) -> None:
    """The control: without one transaction for a document, the same kill leaves a part of one."""
    url = db.engine.url.render_as_string(hide_password=False)
    for turn in range(4):
        kill_a_sender(url, turn * PER_DOCUMENT * 10_000, how="parts")
        with db.read() as session:
            if set(events_by_document(session).values()) - {PER_DOCUMENT}:
                return
    pytest.fail("it was never caught half-way")
