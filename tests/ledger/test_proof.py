"""Proof files made from the database. The ways one can be wrong are in tests/vectors/proof.json."""

import base64
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import col, select, update

from ledger import disclosure, log, tree
from ledger.bundle import AnchoredHead, prove
from ledger.checkpoint import LogSigner
from ledger.digests import OpenedField
from ledger.errors import NotPublishedError, UnknownIdentifierError, VerificationError
from ledger.events import Event, Place
from ledger.kernel.database import Database
from ledger.models import Entry
from ledger.proof import Anchor, ProofBundle, Shown, Unshown, Verified, verify
from tests.simulators.orchard import PACK, PLOT, WINDOW, windows

ROOT = Path(__file__).resolve().parent.parent.parent
VOIDED = "https://id.gs1.org/01/09521002001013/21/E4GM7S1QWX8V"
PICTURE = "ni:///sha-256;unJcy5bKyP5toQPrui6Ry9nLxt_GFcjgdoqTXdi8cMg"


def anchored_at(db: Database, size: int) -> AnchoredHead:
    with db.read() as session:
        root = tree.root(session, size)
    return AnchoredHead(
        chain_id=31337, contract="0x" + "5f" * 20, size=size, root=root, transaction="0x" + "ab" * 32, block=17
    )


def file_of(db: Database, identifier: str, signer: LogSigner, **more: Any) -> bytes:
    with db.read() as session:
        return prove(session, identifier, key=signer.key, **more).encode()


def test_a_pack_proves_its_published_history(
    any_db: Database, golden: list[Event], signer: LogSigner, later: datetime
) -> None:
    with any_db.write() as session:
        log.record_all(session, golden, now=later)
        log.integrate(session)
        log.publish(session, signer, now=later)
    verified = verify(file_of(any_db, PACK, signer), log_key=signer.key)
    assert (verified.subject, verified.head.size, len(verified.entries)) == (PACK, 38, 32)
    assert verified.shown == (Shown.UNCHANGED, Shown.SIGNED, Shown.CONCERNS)
    assert verified.unshown == (Unshown.UNWITNESSED, Unshown.NOT_ANCHORED, Unshown.COMPLETENESS, Unshown.TRUTH)
    assert [entry.event_id for entry in verified.entries][:2] == [golden[0].event_id, golden[1].event_id]


def test_only_what_is_published_is_proved(
    golden_db: Database, golden: list[Event], signer: LogSigner, later: datetime
) -> None:
    with golden_db.write() as session:
        log.record_all(session, windows(4), now=later)
        log.integrate(session)
    assert len(verify(file_of(golden_db, PACK, signer)).entries) == 32
    with golden_db.write() as session:
        log.publish(session, signer, now=later)
    assert len(verify(file_of(golden_db, PACK, signer)).entries) == 36


def test_nothing_is_proved_before_the_first_checkpoint(
    db: Database, golden: list[Event], signer: LogSigner, later: datetime
) -> None:
    with db.write() as session:
        log.record_all(session, golden, now=later)
        log.integrate(session)
    with pytest.raises(NotPublishedError):
        file_of(db, PACK, signer)


def test_an_unknown_pack_has_no_proof(golden_db: Database, signer: LogSigner) -> None:
    with pytest.raises(UnknownIdentifierError):
        file_of(golden_db, PACK + "X", signer)


def test_a_pack_recorded_but_not_yet_published_is_told_apart(
    golden_db: Database, golden: list[Event], signer: LogSigner, later: datetime
) -> None:
    with golden_db.write() as session:
        log.record(session, _elsewhere(golden), now=later)
        log.integrate(session)
    with pytest.raises(NotPublishedError):
        file_of(golden_db, "https://id.gs1.org/414/9521001000109/254/P09", signer)


def _elsewhere(golden: list[Event]) -> Event:
    place = Place("https://id.gs1.org/414/9521001000109/254/P09")
    return msgspec.structs.replace(golden[WINDOW], event_id="urn:uuid:p09", read_point=place, biz_location=place)


# --- anchors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 12, 34, 37, 38])
def test_an_anchor_of_any_earlier_head_is_carried_along(golden_db: Database, signer: LogSigner, size: int) -> None:
    verified = verify(file_of(golden_db, PACK, signer, anchor=anchored_at(golden_db, size)))
    assert [entry.index for entry in verified.entries if entry.is_anchored] == [
        entry.index for entry in verified.entries if entry.index < size
    ]
    assert (Unshown.PARTLY_ANCHORED in verified.unshown) is (size < 37)
    assert Unshown.CHAIN_NOT_ASKED in verified.unshown


def test_the_chain_has_the_last_word_on_an_anchor(golden_db: Database, signer: LogSigner) -> None:
    anchor = anchored_at(golden_db, 38)
    data = file_of(golden_db, PACK, signer, anchor=anchor)
    asked: list[Anchor] = []

    def answering(answer: bool | None) -> Verified:  # noqa: FBT001  # a chain's three answers
        return verify(data, anchor_check=lambda claim: asked.append(claim) or answer)

    assert Shown.ANCHORED in answering(True).shown
    assert Unshown.CHAIN_NOT_ASKED in answering(None).unshown
    with pytest.raises(VerificationError, match="chain does not hold"):
        answering(False)
    assert {(claim.size, base64.b64decode(claim.root)) for claim in asked} == {(38, anchor.root)}


# --- private fields -------------------------------------------------------------------------------


def test_an_erased_field_leaves_every_other_proof_valid(
    db: Database, golden: list[Event], signer: LogSigner, later: datetime
) -> None:
    with db.write() as session:
        event = golden[0]
        made = disclosure.commit_fields(
            session, str(event.event_id), {"holderName": "Sample holder", "contract": "no 1"}
        )
        event = msgspec.structs.replace(event, extensions={**event.extensions, "gy:digests": made})
        log.record_all(session, [event, *golden[1:]], now=later)
        log.integrate(session)
        log.publish(session, signer, now=later)
    shown = file_of(db, PLOT, signer, reveal=["contract", "no such field"])
    assert verify(shown).opened == (OpenedField("contract", "no 1"),)
    with db.write() as session:
        disclosure.erase(session, [str(golden[0].event_id)])
    hidden = file_of(db, PLOT, signer, reveal=["contract"])
    assert verify(hidden).opened == ()
    assert verify(shown).opened == (OpenedField("contract", "no 1"),), "what was handed out stays provable"
    assert b"Sample holder" not in shown


def test_evidence_is_listed_where_an_entry_names_it(golden_db: Database, signer: LogSigner) -> None:
    other = PICTURE[:-1] + "A"
    bundle = ProofBundle.decode(file_of(golden_db, PACK, signer, evidence=[PICTURE, other, PICTURE]))
    assert bundle.evidence == (PICTURE,)


# --- tampering ------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 5, 100, 400, -2, -1])
@pytest.mark.parametrize("sentence", ["picked/1", "packed/1", "window_closed/1", "plot_registered/1"])
def test_one_changed_byte_makes_the_file_refused(
    golden_db: Database, signer: LogSigner, sentence: str, at: int
) -> None:
    before = file_of(golden_db, PACK, signer)
    with golden_db.write() as session:
        entry = session.exec(select(Entry).where(Entry.sentence == sentence).order_by(col(Entry.id))).first()
        assert entry is not None
        changed = bytearray(entry.data)
        changed[at] ^= 0x80 if at % 2 else 0x01
        session.exec(update(Entry).where(col(Entry.id) == entry.id).values(data=bytes(changed)))
    with pytest.raises(VerificationError):
        verify(file_of(golden_db, PACK, signer))
    verify(before)


@pytest.mark.parametrize("sentence", ["calibrated/1", "override_made/1", "graded/1"])
def test_a_changed_event_id_makes_the_file_refused(golden_db: Database, signer: LogSigner, sentence: str) -> None:
    with golden_db.write() as session:
        entry = session.exec(select(Entry).where(Entry.sentence == sentence)).one()
        entry.data = entry.data.replace(entry.event_id.encode(), b"urn:uuid:00000000-0000-7000-8000-000000000000")
    with pytest.raises(VerificationError):
        verify(file_of(golden_db, PACK, signer))


def test_a_proof_of_what_was_not_changed_still_holds(golden_db: Database, signer: LogSigner) -> None:
    with golden_db.write() as session:
        session.exec(update(Entry).where(col(Entry.sentence) == "picked/1").values(data=b"{}"))
    verify(file_of(golden_db, VOIDED, signer))


def test_a_file_stays_valid_while_the_log_goes_on(golden_db: Database, signer: LogSigner, later: datetime) -> None:
    old = file_of(golden_db, PACK, signer)
    with golden_db.write() as session:
        log.record_all(session, windows(300), now=later + timedelta(hours=1))
        log.integrate(session)
        log.publish(session, signer, now=later + timedelta(hours=1))
    assert verify(old).head.size == 38
    assert verify(file_of(golden_db, PACK, signer)).head.size == 338


# --- hostile bytes --------------------------------------------------------------------------------

EXAMPLE = next(
    case["file"].encode()
    for case in json.loads((ROOT / "tests/vectors/proof.json").read_text())
    if case["description"] == "a voided code: two entries, anchored"
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def refuses(data: bytes) -> bool:
    """Whether the verifier refuses; anything else it throws fails the test."""
    try:
        verify(data)
    except VerificationError:
        return True
    return False


@given(st.binary(max_size=400))
def test_no_bytes_make_it_crash(data: bytes) -> None:
    assert refuses(data)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(EXAMPLE) - 1), st.integers(1, 255))
def test_no_byte_of_a_file_can_be_changed(at: int, difference: int) -> None:
    changed = bytearray(EXAMPLE)
    changed[at] ^= difference
    # Block, chain, contract and transaction say where to look: the chain's answer decides over those.
    told = [m.span() for m in re.finditer(rb'"(block|chain_id|contract|transaction)":("[^"]*"|\d+)', EXAMPLE)]
    assert any(start <= at < end for start, end in told) or refuses(bytes(changed))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_value_in_any_place_makes_it_crash_or_pass(data: st.DataObject) -> None:
    proof = json.loads(EXAMPLE)
    place: Any = proof
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        before, place[key] = place[key], data.draw(VALUES)
        break
    text = json.dumps(proof, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")
    if place[key] != before and key not in {"anchor", "block", "chain_id", "contract", "transaction"}:
        assert refuses(text)
    else:
        refuses(text)


def test_a_file_beyond_sixteen_megabytes_is_not_even_parsed() -> None:
    with pytest.raises(VerificationError, match="at most"):
        verify(b" " * (16 * 1024 * 1024 + 1))


# --- documents ------------------------------------------------------------------------------------


def test_the_example_in_the_format_page_verifies() -> None:
    page = (ROOT / "ledger/docs/format.md").read_text()
    block = page.split("<!-- example:begin -->")[1].split("<!-- example:end -->")[0]
    text = "".join(block.strip().split("\n")[1:-1])
    verified = verify(text.encode())
    assert (len(verified.entries), verified.head.size) == (1, 2)
    assert verified.anchor is not None
