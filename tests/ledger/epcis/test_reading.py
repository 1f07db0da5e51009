"""Bytes from anywhere become one value with one meaning, or a DocumentError with path and reason."""

import contextlib
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.epcis.profile import problems
from ledger.epcis.reading import MAX_PARTS, DocumentError, Kind, read

EVENT = '{"type":"ObjectEvent","eventTime":"2026-04-18T03:05:00.000Z"}'
HASH = "ni:///sha-256;" + "0f" * 32 + "?ver=CBV2.0"


@pytest.mark.parametrize(
    ("text", "kind", "paths", "context"),
    [
        (f'{{"type":"EPCISDocument","@context":"c","epcisBody":{{"eventList":[{EVENT},{EVENT}]}}}}',
         Kind.DOCUMENT, ("$.epcisBody.eventList[0]", "$.epcisBody.eventList[1]"), "c"),
        (f'{{"type":"EPCISQueryDocument","epcisBody":{{"queryResults":{{"resultsBody":{{"eventList":[{EVENT}]}}}}}}}}',
         Kind.QUERY_DOCUMENT, ("$.epcisBody.queryResults.resultsBody.eventList[0]",), None),
        (EVENT, Kind.EVENT, ("$",), None),
        (f"[{EVENT}, 7, {EVENT}]", Kind.LIST, ("$[0]", "$[2]"), None),
        ('{"type":"EPCISDocument","epcisBody":{"eventList":"none"}}', Kind.DOCUMENT, (), None),
        ("{}", Kind.EVENT, ("$",), None),
        ("[]", Kind.LIST, (), None),
    ],
)  # fmt: skip
def test_the_events_of_every_kind_of_document_are_found_with_their_paths(text, kind, paths, context) -> None:
    document = read(text.encode())
    assert (document.kind, document.paths, document.context) == (kind, paths, context)
    assert len(document.events) == len(paths)


def test_an_event_sees_the_contexts_of_its_document_and_its_own() -> None:
    document = read(
        b'{"type":"EPCISDocument","@context":["a",{"b":"c"}],"epcisBody":{"eventList":[{"@context":{"d":"e"}},{}]}}'
    )
    assert list(document.contexts()) == [["a", {"b": "c"}, {"d": "e"}], ["a", {"b": "c"}]]
    assert list(read(b'[{"@context":"a"},{}]').contexts()) == ["a", None]
    assert list(read(b'{"@context":"a"}').contexts()) == ["a"]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert read(b"\xef\xbb\xbf" + EVENT.encode()).value == json.loads(EVENT)


@pytest.mark.parametrize(
    ("data", "path", "reason"),
    [
        (b"", "$", "is empty"),
        (b" \r\n\t", "$", "is empty"),
        (b"nothing", "$", "is not JSON"),
        (b'{"a":1,}', "$", "line 1, column 8"),
        (b'{"a":1\n"b":2}', "$", "line 2, column 1"),
        (b'{"a":1} {}', "$", "extra data"),
        (b'{"a":"\t"}', "$", "invalid control character at line 1"),
        (b"\x1f\x8b\x08\x00\x00", "$", "compressed"),
        (b"<EPCISDocument/>", "$", "is XML"),
        (b'"text"', "$", "is not an EPCIS document"),
        (b"null", "$", "is not an EPCIS document"),
        (EVENT.encode("utf-16"), "$", "UTF-16"),
        (EVENT.encode("utf-16-le"), "$", "UTF-16"),
        (EVENT.encode("utf-32"), "$", "UTF-16 or UTF-32"),
        ('{"a":"Grüße"}'.encode("latin-1"), "$", "byte 0xfc at line 1, column 9"),
        (b'{"a":"\xed\xa0\x80"}', "$", "is not UTF-8"),
        (b'{"a":"\xc0\xaf"}', "$", "is not UTF-8"),
        (b'{"a":["\\ud800"]}', "$.a[0]", "half of a surrogate pair"),
        (b'{"a":"\\udc00\\ud800"}', "$.a", "half of a surrogate pair"),
        (b'{"\\udfff":1}', "$", "half of a surrogate pair"),
        (b'{"a":{"x:y":[NaN]}}', "$.a['x:y'][0]", "NaN"),
        (b'{"a":-Infinity}', "$.a", "-Infinity"),
        (b'{"a":1e400}', "$.a", "beyond"),
        (b'{"a":{"b":[0,9007199254740992]}}', "$.a.b[1]", "beyond"),
        (b'{"a":-9007199254740992}', "$.a", "beyond"),
        (b'{"a":' + b"9" * 10_000 + b"}", "$.a", "beyond"),
        (b'{"a":1,"a":1}', "$.a", "more than once"),
        (b'{"a":{"b":[{"c":1,"d":2,"c":3}]}}', "$.a.b[0].c", "more than once"),
        (b'{"\\u0061":1,"a":2,"b":":"}', "$.a", "more than once"),
        (b'{"a":1,"a":2,"b":"\\u003a","c":"\\"","d":"\\\\"}', "$.a", "more than once"),
        (b'{"a":"\\\\","a":"\\\\\\""}', "$.a", "more than once"),
        (b"[" * 65 + b"]" * 65, "$" + "[0]" * 64, "deeper than 64"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "$" + ".a" * 64, "deeper than 64"),
        (b"[" * 1_000_000, "$", "deeper than 64"),
        (b'{"a":' * 1_000_000, "$", "deeper than 64"),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_what_has_more_than_one_meaning_or_none_is_refused_with_path_and_reason(data, path, reason) -> None:
    with pytest.raises(DocumentError) as refused:
        read(data)
    [problem] = refused.value.problems
    assert problem.path == path
    assert reason in problem.reason


@pytest.mark.parametrize(
    "text",
    [
        '{"a":9007199254740991,"b":-9007199254740991,"c":1e300,"d":0.1}',
        '{"a":"\\ud83c\\udf4e 🍎","b":"\\"\\\\\\"","c":"\\\\u0022"}',
        '{"a":":","b":"\\":","c":" \\u003a","d":"\\",\\"a\\":1"}',
        "[" * 64 + "]" * 64,
        '{"a":{"a":1},"b":{"a":1}}',
        '{"a" : 1 , "b"\n:\t[ 1 , 2 ] }',
    ],
)
def test_what_only_looks_strange_is_read_as_it_is(text: str) -> None:
    assert read(text.encode()).value == json.loads(text)


def test_an_event_may_bear_its_hash_beside_an_id_of_its_own_as_an_official_example_does() -> None:
    for first, second in ((HASH, "urn:uuid:1"), ("urn:uuid:1", HASH)):
        event = read(f'{{"type":"ObjectEvent","eventID":"{first}","action":"ADD","eventID":"{second}"}}'.encode())
        assert event.value == {"type": "ObjectEvent", "eventID": "urn:uuid:1", "action": "ADD"}


@pytest.mark.parametrize(
    "ids",
    [
        ("urn:uuid:1", "urn:uuid:2"),
        ("urn:uuid:1", "urn:uuid:1"),
        (HASH, HASH),
        (HASH, "urn:uuid:1", "urn:uuid:1"),
        (HASH.replace("CBV2.0", "CBV9"), "urn:uuid:1"),
    ],
)
def test_two_ids_that_say_different_things_are_refused(ids: tuple[str, ...]) -> None:
    members = ",".join(f'"eventID":{json.dumps(each)}' for each in ids)
    with pytest.raises(DocumentError, match="eventID: stands more than once"):
        read(f"{{{members}}}".encode())


def test_the_exception_for_ids_hides_no_other_repetition() -> None:
    with pytest.raises(DocumentError, match=r"\$\.action"):
        read(f'{{"eventID":"{HASH}","eventID":"urn:x","action":"ADD","action":"DELETE"}}'.encode())


_KEYS = st.sampled_from(["a", "b", '"', "\\", ":", '":', "é", "a:b", ""])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab":\\,{}[] \n\u00e9', max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


def written(value: object, *, repeat: str | None, escaped: bool) -> str:
    """JSON of a value, every object of which repeats one of its keys if asked to."""
    if isinstance(value, dict):
        pairs = [(key, written(item, repeat=repeat, escaped=escaped)) for key, item in value.items()]
        if repeat is not None and pairs:
            pairs.append((pairs[0][0], repeat))
        texts = [
            f"{_escaped(key) if escaped and i % 2 else json.dumps(key)} : {item}" for i, (key, item) in enumerate(pairs)
        ]
        return "{" + ", ".join(texts) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(item, repeat=repeat, escaped=escaped) for item in value) + "]"
    return json.dumps(value)


def _escaped(key: str) -> str:
    return '"' + "".join(f"\\u{ord(c):04x}" for c in key) + '"'


def holds_an_object(value: object) -> bool:
    """Whether any object in it has a member."""
    if isinstance(value, dict):
        return bool(value)
    return isinstance(value, list) and any(map(holds_an_object, value))


@given(st.lists(_VALUES, max_size=4), st.booleans(), st.sampled_from(["1", '"a"', '"\\u0022"', "{}", '"\\\\"', '":"']))
def test_a_repeated_key_never_passes_and_nothing_else_is_taken_for_one(value, escaped, again) -> None:
    assert read(written(value, repeat=None, escaped=escaped).encode()).value == value
    if holds_an_object(value):
        with pytest.raises(DocumentError, match="more than once"):
            read(written(value, repeat=again, escaped=escaped).encode())


@given(st.binary(max_size=200) | st.text('{}[]",:\\u0d8e1-+.Ee\x00 nulltrefas\ud800', max_size=60).map(
    lambda text: text.encode("utf-8", "surrogatepass")
))  # fmt: skip
def test_no_bytes_raise_anything_but_document_error(data: bytes) -> None:
    with contextlib.suppress(DocumentError):
        read(data)


@pytest.mark.parametrize("filling", [b"[],", b"{},", b'{"a":[]},', b"[[", b"1,", b'"ab",'], ids=bytes.decode)
def test_a_body_of_tiny_parts_is_refused_before_it_fills_the_memory(filling: bytes) -> None:
    data = b"[" + filling * (MAX_PARTS + 1)
    tracemalloc.start()
    with pytest.raises(DocumentError, match="objects, lists and members"):
        read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("ending", [b"NaN", b'"\\ud800"', b"1e999", b'{"a":1,"a":2}', b"9007199254740993"], ids=repr)
def test_naming_one_bad_part_among_many_deep_ones_takes_no_path_for_each(ending: bytes) -> None:
    key = b'"' + b"k" * 2000 + b'":'
    data = (b"{" + key) * 60 + b"[" + b"1," * 20_000 + ending + b"]" + b"}" * 60
    tracemalloc.start()
    with pytest.raises(DocumentError) as refused:
        read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "[20000]" in refused.value.problems[0].path
    assert peak < 10_000_000


def test_a_huge_name_or_text_does_not_come_back_whole() -> None:
    huge = "x-" * 1_000_000
    event = {"type": "ObjectEvent", huge: 1, "bizStep": "urn:epcglobal:cbv:" + huge, "epcList": [huge, " " + huge]}
    found = problems(read(json.dumps(event).encode()))
    assert len(found) >= 4
    assert all(len(problem.path) + len(problem.reason) < 1000 for problem in found)
