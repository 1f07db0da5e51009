"""The official JSON schema of EPCIS 2.0, asked through jsonschema-rs with formats asserted: the judge in tests."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec

from ledger.epcis.profile import Profile, problems
from ledger.epcis.reading import read
from ledger.errors import DocumentError, Problem


@lru_cache(maxsize=1)
def schema(shared: Path) -> jsonschema_rs.Draft7Validator:
    """The schema as one validator."""
    official = json.loads((shared / "vectors/gs1-EPCIS/EPCIS-JSON-Schema.json").read_text(encoding="utf-8"))
    return jsonschema_rs.Draft7Validator(official, validate_formats=True)


@lru_cache(maxsize=1)
def documents(shared: Path) -> dict[str, bytes]:
    """Every JSON document of the shared vectors that says it is EPCIS, or holds an event."""
    found = {}
    for path in sorted((shared / "vectors").rglob("*.json*")):
        data = path.read_bytes()
        is_document = b"EPCISDocument" in data or b"EPCISQueryDocument" in data or b'"eventTime"' in data
        if path.suffix in {".json", ".jsonld"} and is_document and "/Queries/" not in str(path):
            found[str(path.relative_to(shared / "vectors"))] = data
    return found


@lru_cache(maxsize=1)
def good(shared: Path) -> list[Any]:
    """Valid documents of moderate size, and their first events bare: the stock that mutants are made of."""
    taken: list[Any] = []
    for data in documents(shared).values():
        try:
            value = msgspec.json.decode(data)
        except msgspec.DecodeError:
            continue
        if len(data) > 30_000 or not isinstance(value, dict) or not schema(shared).is_valid(value):
            continue
        taken.append(value)
        if "epcisBody" in value:
            taken += [{**event, "@context": value["@context"]} for event in read(data).events[:3]]
    return taken


def ours(data: bytes, profile: Profile = Profile.STRICT) -> tuple[Problem, ...]:
    """What we find wrong with bytes."""
    try:
        return problems(read(data), profile)
    except DocumentError as error:
        return error.problems
