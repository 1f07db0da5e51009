# ruff: noqa: T201  # a benchmark is read on the terminal
"""The CBV 2.0 event hash beside the reference generator: JSON-LD in, hashes out.

    GUOYUAN_SHARED=... pytest -m benchmark tests/benchmarks/bench_cbv_hash.py -s

The generator is measured in the same run where `epcis_event_hash_generator` can be imported. It is no dependency of
ours: it fetches contexts and brings a web server. Otherwise its figure is the one in tests/benchmarks/README.md.
"""

import importlib.util
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledger.epcis import cbv_hash, identifiers
from ledger.epcis.cbv_hash import document_hashes, event_hash
from ledger.epcis.normal import normal_events
from ledger.epcis.reading import read
from ledger.errors import DocumentError, EventError

pytestmark = pytest.mark.benchmark

OFFICIAL = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
COPIES = 400
TIMES = 3


@pytest.mark.shared
def test_hashing_one_event_of_each_kind_many_times(shared: Path) -> None:
    paths = [*(shared / "events").glob("*.jsonld"), *(shared / "vectors/gs1-EPCIS/JSON").rglob("*.jsonld")]
    documents = [data for path in sorted(paths) if _is_hashed(data := path.read_bytes())]
    events = sum(len(read(data).events) for data in documents)
    read_documents = [read(data) for data in documents]
    normal = [event for document in read_documents for event in normal_events(document)]

    parsed_rate = events / _seconds(lambda: [document_hashes(document) for document in read_documents])
    bytes_rate = events / _seconds(lambda: [document_hashes(read(data)) for data in documents])
    normal_rate = events / _seconds(lambda: [event_hash(event) for event in normal])
    print(f"\n{events} events of {len(documents)} documents; caches of identifiers and values emptied before each run")
    print(f"  from bytes       {bytes_rate:10,.0f} events/s")
    print(f"  from parsed JSON {parsed_rate:10,.0f} events/s")
    print(f"  from normal form {normal_rate:10,.0f} events/s")
    theirs = _reference_rate(documents)
    if theirs is None:
        print("  epcis-event-hash-generator 1.9.3 is not installed: see tests/benchmarks/README.md for its figure")
    else:
        print(
            f"  epcis-event-hash-generator {theirs:,.0f} events/s from parsed JSON, {parsed_rate / theirs:,.0f} times"
        )


@pytest.mark.shared
def test_hashing_a_large_document(shared: Path) -> None:
    document = msgspec.json.decode((shared / "events/09_picked.jsonld").read_bytes())
    events = document["epcisBody"]["eventList"]
    document["epcisBody"]["eventList"] = many = [
        {**event, "epcList": [f"urn:epc:id:sgtin:4012345.011111.{copy}-{n}" for n in range(10)]}
        for copy in range(COPIES)
        for event in events
    ]
    data = msgspec.json.encode(document)
    rate = len(many) / _seconds(lambda: document_hashes(read(data)))
    print(f"\n{len(many)} events in one document, ten identifiers each, {len(data):,} bytes: {rate:,.0f} events/s")


def _is_hashed(data: bytes) -> bool:
    try:
        return bool(document_hashes(read(data)))
    except (DocumentError, EventError):
        return False


def _seconds(work: Callable[[], Any]) -> float:
    """The shortest of a few runs, each with empty caches, in seconds of one core."""
    taken = []
    for _ in range(TIMES):
        cbv_hash._remembered_text.cache_clear()
        identifiers._canonical.cache_clear()
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def _reference_rate(documents: list[bytes]) -> float | None:
    if importlib.util.find_spec("epcis_event_hash_generator") is None:
        return None
    from epcis_event_hash_generator import hash_generator, json_to_py

    logging.disable(logging.CRITICAL)
    events, began = 0, time.process_time()
    for data in documents:
        document = msgspec.json.decode(data)
        context = document["@context"] if isinstance(document["@context"], list) else [document["@context"]]
        document["@context"] = [OFFICIAL if isinstance(part, str) else part for part in context]
        try:
            found = json_to_py.event_list_from_epcis_document_json(document)
            prehashes = hash_generator.derive_prehashes_from_events(found)
            events += len(hash_generator.calculate_hashes_from_pre_hashes(prehashes))
        except Exception:  # noqa: BLE001, S112  # what it cannot read, it is not measured on
            continue
    return events / (time.process_time() - began)
