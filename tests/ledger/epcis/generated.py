"""Events drawn at random, and other spellings of the same event. For laws."""

import random
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from ledger.epcis import words

OFFICIAL = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
NS = "https://ns.example.com/epcis/"
OTHER = "https://other.example.com/voc#"
CONTEXT = [OFFICIAL, {"ex": NS, "other": OTHER}]
WORDS = {
    "bizStep": ("https://ref.gs1.org/cbv/BizStep-", "urn:epcglobal:cbv:bizstep:", "cbv:BizStep-", words.BIZ_STEPS),
    "disposition": ("https://ref.gs1.org/cbv/Disp-", "urn:epcglobal:cbv:disp:", "cbv:Disp-", words.DISPOSITIONS),
}

_text = st.text("abcdefghijk ,.()", min_size=1, max_size=12).map(lambda text: f"x{text}x")
_serials = st.text("0123456789ABCDEF-()!'", min_size=1, max_size=10).map(lambda text: f"S{text}")
_times = st.integers(0, 2**40).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))
_numbers = st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9).map(lambda x: round(x, 4)).filter(lambda x: x != 0)


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_items = st.builds(lambda serial: f"urn:epc:id:sgtin:4012345.011111.{serial}", _serials)
_places = st.builds(lambda ext: f"urn:epc:id:sgln:4012345.00011.{ext}", _serials)
_extensions = st.dictionaries(
    st.sampled_from(["ex:colour", "ex:size", "ex:note", "other:grade", "other:fooList", "cbvmda:lotNumber"]),
    st.recursive(
        _text | _numbers | st.booleans(),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(st.sampled_from(["ex:a", "ex:b", "other:c"]), inner, min_size=1, max_size=3)
        ),
        max_leaves=5,
    ),
    max_size=3,
)
_quantities = st.fixed_dictionaries(
    {"epcClass": st.builds(lambda lot: f"urn:epc:class:lgtin:4012345.012345.{lot}", _serials), "quantity": _numbers},
    optional={"uom": st.sampled_from(["KGM", "GRM"])},
)
_reports = st.fixed_dictionaries(
    {"type": st.sampled_from(words.MEASUREMENTS), "value": _numbers},
    optional={
        "uom": st.sampled_from(["CEL", "P1"]),
        "time": _times.map(iso),
        "booleanValue": st.booleans(),
        "component": st.sampled_from(words.COMPONENTS),
        "bizRules": st.just("https://example.org/rules"),
    },
)
_sensors = st.builds(
    lambda metadata, reports, extension: {"sensorMetadata": metadata, "sensorReport": reports, **extension},
    st.builds(
        lambda time, device, extension: {"time": iso(time), "deviceID": device, **extension},
        _times,
        st.builds(lambda ref: f"urn:epc:id:giai:4012345.{ref}", _serials),
        _extensions,
    ),
    st.lists(_reports, min_size=1, max_size=3),
    _extensions,
)


def _references(item: str, types: list[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(
        st.fixed_dictionaries(
            {
                "type": st.sampled_from(types),
                item: st.builds(lambda serial: f"urn:epc:id:gdti:4012345.00009.{serial}", _serials),
            }
        ),
        min_size=1,
        max_size=3,
    )


events = st.builds(
    lambda fixed, place, extension: {**fixed, **({"readPoint": place} if place else {}), **extension},
    st.fixed_dictionaries(
        {
            "type": st.just("ObjectEvent"),
            "eventTime": _times.map(iso),
            "eventTimeZoneOffset": st.sampled_from(["+08:00", "-06:00"]),
            "epcList": st.lists(_items, min_size=1, max_size=4, unique=True),
            "action": st.sampled_from(["ADD", "OBSERVE"]),
        },
        optional={
            "bizStep": st.sampled_from(words.BIZ_STEPS),
            "disposition": st.sampled_from(words.DISPOSITIONS),
            "quantityList": st.lists(_quantities, min_size=1, max_size=3),
            "bizTransactionList": _references("bizTransaction", words.TRANSACTION_TYPES),
            "sourceList": _references("source", words.SOURCE_DESTINATION_TYPES),
            "destinationList": _references("destination", words.SOURCE_DESTINATION_TYPES),
            "persistentDisposition": st.fixed_dictionaries(
                {"set": st.lists(st.sampled_from(words.DISPOSITIONS), min_size=1)}
            ),
            "sensorElementList": st.lists(_sensors, min_size=1, max_size=2),
            "ilmd": _extensions.filter(bool),
            "certificationInfo": st.just("https://example.org/certificate/1"),
        },
    ),
    st.none() | st.builds(lambda place, extension: {"id": place, **extension}, _places, _extensions),
    _extensions,
)
"""Events as a document with CONTEXT would hold them, their identifiers as EPC URNs."""


def shuffled(value: Any, rng: random.Random) -> Any:
    """Return the same value with every object's keys and every list's items in another order."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    if isinstance(value, list):
        items = [shuffled(item, rng) for item in value]
        rng.shuffle(items)
        return items
    return value


def respelled(event: dict[str, Any], rng: random.Random) -> tuple[dict[str, Any], list[Any]]:
    """Return the same event in other spellings, and the context that goes with them."""
    built = {key: _respelled(key, value, rng) for key, value in deepcopy(event).items()}
    prefixes = {"ex": rng.choice(["ex", "zzz"]), "other": rng.choice(["other", "aaa"])}
    renamed = _renamed(built, prefixes)
    return renamed, [
        rng.choice([OFFICIAL, "https://gs1.github.io/EPCIS/epcis-context.jsonld"]),
        {prefixes["ex"]: NS},
        {prefixes["other"]: OTHER},
    ]


def _renamed(value: Any, prefixes: dict[str, str]) -> Any:
    if isinstance(value, dict):
        renamed = {}
        for key, item in value.items():
            prefix, colon, local = key.partition(":")
            renamed[f"{prefixes.get(prefix, prefix)}{colon}{local}"] = _renamed(item, prefixes)
        return renamed
    return [_renamed(item, prefixes) for item in value] if isinstance(value, list) else value


def _respelled(name: str, value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        return {key: _respelled(key, item, rng) for key, item in value.items()}
    if isinstance(value, list):
        return [_respelled(name, item, rng) for item in value]
    if name in WORDS:
        uri, urn, curie, _ = WORDS[name]
        return rng.choice([value, uri + value, urn + value, curie + value])
    if name == "set":
        return rng.choice([value, f"urn:epcglobal:cbv:disp:{value}", f"cbv:Disp-{value}"])
    if name == "type" and value in words.MEASUREMENTS:
        return rng.choice([value, f"gs1:{value}", f"https://gs1.org/voc/{value}"])
    if name == "type" and value in words.TRANSACTION_TYPES:
        return rng.choice([value, f"cbv:BTT-{value}", f"urn:epcglobal:cbv:btt:{value}"])
    if name in {"eventTime", "time"}:
        return _other_zone(value, rng)
    if name in {"quantity", "value"} and isinstance(value, int):
        return rng.choice([value, float(value), str(value), f"{value}.0"])
    if isinstance(value, int) and not isinstance(value, bool):
        return rng.choice([value, float(value)])
    if isinstance(value, str) and value.startswith("urn:epc:id:sgtin:4012345.011111."):
        serial = value.removeprefix("urn:epc:id:sgtin:4012345.011111.")
        return rng.choice(
            [
                value,
                f"https://id.gs1.org/01/04012345111118/21/{serial}",
                f"http://brand.example/a/gtin/4012345111118/lot/L1/ser/{serial}?17=260101",
            ]
        )
    if isinstance(value, str) and value.startswith("urn:epc:class:lgtin:4012345.012345."):
        lot = value.removeprefix("urn:epc:class:lgtin:4012345.012345.")
        return rng.choice([value, f"https://x.example/01/4012345123456/10/{lot}/"])
    return value


def _other_zone(text: str, rng: random.Random) -> str:
    moment = datetime.fromisoformat(text)
    there = moment.astimezone(timezone(timedelta(minutes=rng.choice([-360, 0, 345, 480]))))
    return rng.choice([text, there.isoformat(timespec="milliseconds"), there.isoformat(timespec="microseconds")])
