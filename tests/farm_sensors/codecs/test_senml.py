"""SenML (RFC 8428): base values resolve as the standard says, and nothing else passes."""

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_sensors.codecs import senml
from farm_sensors.errors import MalformedPackError

# RFC 8428, 5.1.3, with the version field of today.
MULTIPLE = [
    {"bn": "urn:dev:ow:10e2073a01080063:", "bt": 1.276020076001e9, "bu": "A", "bver": 10},
    {"n": "voltage", "u": "V", "v": 120.1},
    {"n": "current", "t": -5, "v": 1.2},
    {"n": "current", "t": -4, "v": 1.3},
    {"n": "current", "v": 1.7},
]


def decode(*records):
    return senml.decode(json.dumps(records).encode())


def test_the_standard_s_own_example_resolves_as_it_says():
    """RFC 8428, 5.1.2 and 5.1.4."""
    first = MULTIPLE[0] | MULTIPLE[1]
    resolved = decode(first, *MULTIPLE[2:])
    assert [(r.name.rpartition(":")[2], r.unit, r.value) for r in resolved] == [
        ("voltage", "V", 120.1),
        ("current", "A", 1.2),
        ("current", "A", 1.3),
        ("current", "A", 1.7),
    ]
    assert [r.time for r in resolved] == [1.276020076001e9, 1276020071.001, 1276020072.001, 1276020076.001]


def test_values_of_every_kind_are_read():
    resolved = decode(
        {"n": "a", "vs": "Machine Room"}, {"n": "b", "vb": False}, {"n": "c", "vd": "aGkgCg"}, {"n": "d", "s": 5.5}
    )
    assert [r.value for r in resolved] == ["Machine Room", False, b"hi \n", None]
    assert resolved[3].sum == 5.5


def test_a_base_value_adds_to_numbers_only():
    resolved = decode({"bv": 20, "n": "a", "v": 1.5}, {"n": "b", "vs": "x"}, {"bv": 0, "n": "c", "v": 2})
    assert [r.value for r in resolved] == [21.5, "x", 2]


def test_times_below_two_to_the_28_are_relative():
    now, then = decode({"n": "a", "v": 1, "t": -60}, {"n": "b", "v": 1, "bt": 2**28})
    assert now.is_relative
    assert not then.is_relative


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "$"),
        (b"nonsense", "$"),
        (b"[]", "$"),
        (b"{}", "$"),
        (b'[{"n":"a","v":1}', "$"),
        (b'[{"n":"a","v":"1"}]', "$[0].v"),
        (b'[{"n":"a","v":null}]', "$[0].v"),
        (b'[{"n":"a","v":true}]', "$[0].v"),
        (b'[{"n":"a","v":NaN}]', "$"),
        (b'[{"n":"a","v":1e400}]', "$"),
        (b'[{"n":"a"}]', "$[0]"),
        (b'[{"n":"a","v":1},{"n":"b","v":1,"vs":"x"}]', "$[1]"),
        (b'[{"v":1}]', "$[0].n"),
        (b'[{"n":"-a","v":1}]', "$[0].n"),
        (b'[{"n":"a b","v":1}]', "$[0].n"),
        (b'[{"n":"\\u6c14","v":1}]', "$[0].n"),
        (b'[{"bver":11,"n":"a","v":1}]', "$[0].bver"),
        (b'[{"bver":0,"n":"a","v":1}]', "$[0].bver"),
        (b'[{"bver":10,"n":"a","v":1},{"bver":26,"n":"b","v":1}]', "$[1].bver"),
        (b'[{"n":"a","vd":"not base64!"}]', "$[0].vd"),
        (b'[{"n":"a","v":1},{"n":"a","v":1,"must_":1}]', "$[1].must_"),
        (b'[{"bv":1.7e308,"n":"a","v":1.7e308}]', "$[0]"),
        (b"[" * 100_000, "$"),
        (b'[{"n":"\xff","v":1}]', "$"),
    ],
)
def test_what_is_not_senml_is_refused_by_path(body, path):
    with pytest.raises(MalformedPackError) as refused:
        senml.decode(body)
    assert refused.value.path.startswith(path)


def test_unknown_labels_are_skipped():
    (record,) = decode({"n": "a", "v": 1, "colour": "red"})
    assert record.value == 1


names = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789", min_size=1, max_size=8)
numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3))
bases = st.fixed_dictionaries(
    {},
    optional={
        "bn": names.map(lambda n: n + "/"),
        "bt": st.integers(10**9, 2 * 10**9),
        "bu": st.sampled_from(["Cel", "%RH"]),
        "bv": st.integers(-100, 100),
    },
)
records = st.builds(
    lambda base, n, v, t, u: (
        base | {"n": n, "v": v} | ({} if t is None else {"t": t}) | ({} if u is None else {"u": u})
    ),
    bases,
    names,
    numbers,
    st.none() | st.integers(-1000, 1000),
    st.none() | st.just("m/s"),
)


@given(st.lists(records, min_size=1, max_size=12))
def test_resolving_agrees_with_writing_every_base_into_every_record(pack):
    name, time, unit, value = "", 0, None, 0
    expected = []
    for record in pack:
        name, time = record.get("bn", name), record.get("bt", time)
        unit, value = record.get("bu", unit), record.get("bv", value)
        expected.append((name + record["n"], record.get("u", unit), time + record.get("t", 0), value + record["v"]))
    assert [(r.name, r.unit, r.time, r.value) for r in decode(*pack)] == expected


@given(st.lists(records, min_size=1, max_size=6))
def test_a_resolved_pack_resolves_to_itself(pack):
    resolved = decode(*pack)
    again = decode(
        *({"n": r.name, "v": r.value, "t": r.time} | ({} if r.unit is None else {"u": r.unit}) for r in resolved)
    )
    assert again == resolved


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["n", "v", "t", "bn", "x_"]), inner),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_read_or_refused_as_malformed(value):
    try:
        resolved = senml.decode(json.dumps(value).encode())
    except MalformedPackError:
        return
    assert all(math.isfinite(record.time) for record in resolved)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_as_malformed(body):
    with contextlib.suppress(MalformedPackError):
        senml.decode(body)
