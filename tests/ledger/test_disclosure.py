"""Private fields: committed by salted digests, erasable, provable one by one."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import digests, disclosure
from ledger.errors import VerificationError
from ledger.events import Event
from ledger.kernel.database import Database

EVENT = "urn:uuid:019d9d9b-b2c0-730c-9fdc-2711eab98f91"
VALUES = st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(2**53) + 1, 2**53 - 1)


def test_fields_come_back_from_their_digests(any_db: Database) -> None:
    with any_db.write() as session:
        made = disclosure.commit_fields(
            session, EVENT, {"name": "Sample holder", "priceFen": 12_800, "crew": ["a", "b"]}
        )
        assert made == sorted(made)
        assert disclosure.opened(session, EVENT) == {"name": "Sample holder", "priceFen": 12_800, "crew": ["a", "b"]}
        (shown,) = disclosure.kept_fields(session, [EVENT], names=["name", "absent"])
        assert len(disclosure.kept_fields(session, [EVENT])) == 3
    assert (shown.event_id, shown.name, shown.value) == (EVENT, "name", "Sample holder")
    assert digests.digest_of(shown.disclosure) in made


def test_equal_fields_do_not_give_equal_digests(db: Database) -> None:
    """A phone number can be guessed; a phone number behind 128 random bits cannot."""
    with db.write() as session:
        made = [disclosure.commit_fields(session, EVENT, {"phone": "0000"})[0] for _ in range(20)]
    assert len(set(made)) == 20


def test_erasing_leaves_nothing_of_the_text(any_db: Database) -> None:
    with any_db.write() as session:
        disclosure.commit_fields(session, EVENT, {"name": "Sample holder", "phone": "0000"})
        assert disclosure.erase(session, [EVENT], names=["phone"]) == 1
        assert disclosure.opened(session, EVENT) == {"name": "Sample holder"}
        assert disclosure.erase(session, [EVENT]) == 1
        assert disclosure.opened(session, EVENT) == {}


def test_the_golden_disclosures_open(golden: list[Event]) -> None:
    path = Path(__file__).resolve().parent.parent / "vectors/golden/disclosures.json"
    committed = {digest for event in golden for digest in event.extensions.get("gy:digests", ())}
    opened = 0
    for texts in json.loads(path.read_text())["disclosures"].values():
        for text in texts:
            assert digests.open_disclosure(text).name
            assert digests.digest_of(text) in committed
            opened += 1
    assert opened == len(committed)


@given(st.text(st.characters(exclude_categories=["Cs"])), VALUES | st.lists(st.text(max_size=5).filter(str.isascii)))
def test_every_field_survives_sealing(name: str, value: digests.Value) -> None:
    assert digests.open_disclosure(digests.seal(name, value)) == (name, value)


@given(st.text())
def test_any_text_is_a_disclosure_or_refused(text: str) -> None:
    encoded = base64.urlsafe_b64encode(text.encode(errors="replace")).decode().rstrip("=")
    for attempt in (text, encoded):
        try:
            digests.open_disclosure(attempt)
        except VerificationError:
            continue


@pytest.mark.parametrize("text", ["[" * 50_000, '["x","y"]', '["saltsaltsaltsaltsaltsalt","a",NaN]', "{}", "null"])
def test_what_is_no_triple_is_refused(text: str) -> None:
    with pytest.raises(VerificationError):
        digests.open_disclosure(base64.urlsafe_b64encode(text.encode()).decode().rstrip("="))


def test_decoys_look_like_digests() -> None:
    assert len({len(digests.decoy()), len(digests.digest_of("x"))}) == 1
    assert digests.decoy() != digests.decoy()
