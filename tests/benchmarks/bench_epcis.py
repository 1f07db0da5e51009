# ruff: noqa: T201  # a benchmark is read on the terminal
"""Validating EPCIS documents beside general JSON Schema validators, with formats asserted in each.

    GUOYUAN_SHARED=... pytest -m benchmark tests/benchmarks/bench_epcis.py -s

jsonschema is measured in the same run where it can be imported with its format checkers (`jsonschema[format-nongpl]`).
Otherwise its figure is the one in tests/benchmarks/README.md.
"""

import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from ledger.epcis.normal import normal_events
from ledger.epcis.profile import problems
from ledger.epcis.reading import read
from ledger.events import parse_event

pytestmark = pytest.mark.benchmark

LARGE = 1000
RUNS = 5


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["the official examples", "one document of 1,000 events"])
def test_validating(shared: Path, kind: str) -> None:
    schema = json.loads((shared / "vectors/gs1-EPCIS/EPCIS-JSON-Schema.json").read_text(encoding="utf-8"))
    official = [path.read_bytes() for path in sorted((shared / "vectors/gs1-EPCIS/JSON").rglob("*.jsonld"))]
    stock = [data for data in official if read(data).events]
    documents = stock if kind == "the official examples" else [_large(shared)]
    found = [read(data) for data in documents]
    events = sum(len(document.events) for document in found)
    values = [document.value for document in found]

    def rate(work: Callable[[], Any], runs: int = RUNS) -> float:
        return events / min(_seconds(work) for _ in range(runs))

    general = jsonschema_rs.Draft7Validator(schema, validate_formats=True)
    assert not any(problems(document) for document in found)
    assert all(map(general.is_valid, values))
    ours = rate(lambda: [problems(document) for document in found])
    ours_bytes = rate(lambda: [problems(read(data)) for data in documents])
    theirs = rate(lambda: [general.is_valid(value) for value in values])
    theirs_bytes = rate(lambda: [general.is_valid(json.loads(data)) for data in documents])
    size = sum(map(len, documents)) / events
    print(f"\n{kind}: {events} events, {size:,.0f} bytes each")
    print(f"  ours           {ours:10,.0f} events/s; from bytes, read strictly {ours_bytes:10,.0f}")
    print(f"  jsonschema-rs  {theirs:10,.0f} events/s; from bytes by json.loads {theirs_bytes:9,.0f}")
    slow = _jsonschema(schema)
    if slow is None:
        print("  jsonschema is not installed: see tests/benchmarks/README.md for its figure")
    else:
        slowly = rate(lambda: [slow(value) for value in values], 1)
        print(f"  jsonschema     {slowly:10,.0f} events/s: ours is {ours / slowly:,.0f} times as fast")
    normal = [event for document in found for event in normal_events(document)]
    print(f"  parse_event    {rate(lambda: [parse_event(event) for event in normal]):10,.0f} events/s of normal form")


def _large(shared: Path) -> bytes:
    """The golden chain's events over and over, with other ids."""
    document = msgspec.json.decode((shared / "events/09_picked.jsonld").read_bytes())
    chain = [
        event
        for path in sorted((shared / "events").glob("*.jsonld"))
        for event in msgspec.json.decode(path.read_bytes())["epcisBody"]["eventList"]
    ]
    document["epcisBody"]["eventList"] = [
        {**chain[i % len(chain)], "eventID": f"urn:uuid:019d9d75-0000-7000-8000-{i:012x}"} for i in range(LARGE)
    ]
    return msgspec.json.encode(document)


def _seconds(work: Callable[[], Any]) -> float:
    """Seconds of processor time of one core, of one run over a good number of events."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _jsonschema(schema: dict[str, Any]) -> Callable[[Any], bool] | None:
    if any(importlib.util.find_spec(name) is None for name in ("jsonschema", "rfc3339_validator", "rfc3986_validator")):
        return None
    import jsonschema

    checker = jsonschema.Draft7Validator(schema, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)
    valid: Callable[[Any], bool] = checker.is_valid
    return valid
