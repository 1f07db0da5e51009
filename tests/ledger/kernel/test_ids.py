import contextlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.errors import IdentifierError
from ledger.kernel.ids import (
    CANONICAL_HOST,
    SERIAL_ALPHABET,
    DocumentType,
    Numbering,
    check_digit,
    has_check_digit,
    lot_id,
    new_serial,
    pack_id,
    parse_digital_link,
    uuid7,
    with_check_digit,
)

OURS = Numbering("9521002")


@pytest.mark.parametrize("number", ["4006381333931", "09521002001013", "95210020000007312"[:-1] + "2", "9521002000108"])
def test_known_check_digits_are_right(number: str) -> None:
    assert has_check_digit(number) == (check_digit(number[:-1]) == number[-1])


@given(st.from_regex(r"[0-9]{7,17}", fullmatch=True), st.integers(0, 16), st.integers(1, 9))
def test_one_changed_digit_never_keeps_its_check_digit(digits: str, place: int, by: int) -> None:
    whole = with_check_digit(digits)
    at = place % len(whole)
    changed = whole[:at] + str((int(whole[at]) + by) % 10) + whole[at + 1 :]
    assert has_check_digit(whole)
    assert not has_check_digit(changed)


def test_keys_are_those_of_the_golden_chain() -> None:
    assert OURS.gtin(101) == "09521002001013"
    assert OURS.gtin(41, indicator=9) == "99521002000415"
    assert OURS.place(10, "LINE-1") == f"{CANONICAL_HOST}/414/9521002000108/254/LINE-1"
    assert OURS.party(1) == f"{CANONICAL_HOST}/417/9521002000016"
    assert OURS.load(731) == f"{CANONICAL_HOST}/00/095210020000007312"
    assert OURS.document(DocumentType.PICK_ORDER, "PO260418-0001").endswith("/253/9521002003048PO260418-0001")
    assert OURS.crate(201, "C0017") == f"{CANONICAL_HOST}/8003/09521002002010C0017"


@pytest.mark.parametrize("prefix", ["", "952", "9521002x", "1234567890123"])
def test_a_wrong_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(IdentifierError):
        Numbering(prefix)


def test_a_reference_that_does_not_fit_is_refused() -> None:
    with pytest.raises(IdentifierError, match="does not fit"):
        OURS.gtin(100_000)


@given(st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=20))
def test_a_link_gives_back_what_it_was_built_from(serial: str) -> None:
    if serial in {".", ".."}:
        return  # a path cannot hold them
    link = parse_digital_link(pack_id("09521002001013", serial))
    assert link.values == {"01": "09521002001013", "21": serial}
    assert parse_digital_link("https://label.example" + link.path()) == link


def test_a_serialised_item_is_named_without_its_lot() -> None:
    link = parse_digital_link("https://label.example/01/09521002001013/10/G1/21/7K3Q?17=261205")
    assert link.canonical() == pack_id("09521002001013", "7K3Q")
    assert link.attributes == (("17", "261205"),)
    assert parse_digital_link(lot_id("09521002001013", "G1")).canonical() == lot_id("09521002001013", "G1")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https://label.example/01/09521002001014/21/X", "check digit"),
        ("https://label.example/about/us", "holds no GS1 key"),
        ("https://label.example/01/09521002001013/21/X/10/L", "cannot stand here"),
        ("https://label.example/414/9521002000108/21/X", "cannot stand here"),
        ("ftp://label.example/01/09521002001013", "not an http"),
        ("", "holds no GS1 key"),
        ("http://[", "is not a link"),
    ],
)
def test_what_is_no_digital_link_is_refused_by_name(text: str, why: str) -> None:
    with pytest.raises(IdentifierError, match=re.escape(why)):
        parse_digital_link(text)


@given(st.text(max_size=200))
def test_any_text_is_a_link_or_refused(text: str) -> None:
    with contextlib.suppress(IdentifierError):
        parse_digital_link(text)


@pytest.mark.shared
def test_the_golden_chain_names_things_as_we_do(shared: Path) -> None:
    named = set()
    for path in sorted((shared / "events").glob("*.jsonld")):
        named |= set(re.findall(r'"(https://id\.gs1\.org/[^"]+)"', json.dumps(json.loads(path.read_text()))))
    assert len(named) >= 50
    for text in named:
        assert parse_digital_link(text).canonical() == text


def test_event_ids_sort_by_time_and_serials_are_readable() -> None:
    early, late = datetime(2026, 4, 18, tzinfo=UTC), datetime(2026, 4, 19, tzinfo=UTC)
    assert uuid7(early) < uuid7(late)
    assert uuid7(early).version == 7
    assert set(new_serial(200)) <= set(SERIAL_ALPHABET)
    assert not set("ILOU") & set(SERIAL_ALPHABET)
