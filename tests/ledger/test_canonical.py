"""Canonical bytes: RFC 8785, by the fast way and the reference alike."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.canonical import MAX_SAFE_INTEGER, canonical, decode_entry, entry_bytes
from ledger.errors import EventError
from ledger.events import Event

SAFE = st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
NUMBERS = SAFE | st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda x: not (x.is_integer() and MAX_SAFE_INTEGER < abs(x) < 1e21)
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=25,
)


@given(JSON)
@example([1e-5, 9.999e-6, 1e15, 123456789012345.6, 5e-324, -0.0, 1e21, 1.7976931348623157e308])
@example({"\U0001f600": 1, "\ufb33": 2, "a": {"\u00e9": 1e-7}})
def test_the_fast_way_equals_the_reference(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(JSON)
def test_what_was_written_reads_back_and_writes_the_same(value: Any) -> None:
    text = canonical(value)
    assert canonical(json.loads(text)) == text
    assert canonical(msgspec.json.decode(text)) == text


@given(st.dictionaries(TEXTS, NUMBERS, min_size=2), st.randoms(use_true_random=False))
def test_the_order_of_keys_changes_nothing(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(value)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, 2**53, -(2**53), 10**400, "\ud800", {"\udc00": 1}, {1: 2}, {None: 1}, {1, 2}, b"x"],
    ids=repr,
)
@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: [x], lambda x: {"a": {"\u00e9": x}}], ids=["bare", "listed", "nested"]
)
def test_what_has_no_canonical_form_is_refused(value: Any, wrap: Any) -> None:
    with pytest.raises(EventError, match="no canonical form"):
        canonical(wrap(value))


@pytest.mark.parametrize("key", ["a", "\u00e9"])
def test_nesting_ends_at_64_levels(key: str) -> None:
    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = {key: value}
        return value

    assert canonical(nested(64)).count(b"{") == 64
    for levels in (65, 10_000):
        with pytest.raises(EventError):
            canonical(nested(levels))


def test_an_entry_is_the_bare_event_with_context_and_record_time(golden: list[Event]) -> None:
    moment = datetime(2026, 5, 1, 8, 30, 0, 123_000, tzinfo=UTC)
    data = entry_bytes(golden[0], moment)
    event = json.loads(data)
    assert event["recordTime"] == "2026-05-01T08:30:00.123Z"
    assert event["@context"][1] == {"gy": "https://ns.guoyuan.example/epcis/", "cbvmda": "urn:epcglobal:cbv:mda:"}
    assert data.startswith(b'{"@context":[')
    assert "epcisBody" not in event


def test_every_golden_event_reads_back_from_its_entry(golden: list[Event]) -> None:
    moment = datetime(2026, 5, 1, tzinfo=UTC)
    for event in golden:
        again = decode_entry(entry_bytes(event, moment))
        assert msgspec.structs.replace(again, record_time=None) == event
        assert entry_bytes(again, moment) == entry_bytes(event, moment)


@pytest.mark.parametrize("data", [b"", b"\xff", b"[1]", b"{", b"[" * 100_000, b'{"type":"x"}', b"null"])
def test_bytes_that_are_no_event_are_refused(data: bytes) -> None:
    with pytest.raises(EventError):
        decode_entry(data)
