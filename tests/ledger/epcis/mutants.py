"""Documents that are nearly right: one or two small things of a good document changed at random."""

import copy
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from ledger.epcis import words

Json = Any


def _listed(text: str) -> list[str]:
    return text.split("|") if "|" in text else text.split()


FIELDS = _listed(
    "@context action attribute attributes bizLocation bizRules bizStep bizTransaction bizTransactionList booleanValue"
    " certificationInfo chemicalSubstance childEPCs childQuantityList children component coordinateReferenceSystem"
    " correctiveEventIDs creationDate dataProcessingMethod declarationTime destination destinationList deviceID"
    " deviceMetadata disposition endTime epcClass epcList epcisBody epcisHeader epcisMasterData errorDeclaration"
    " eventID eventList eventTime eventTimeZoneOffset exception hexBinaryValue id ilmd inputEPCList inputQuantityList"
    " instanceIdentifier maxValue meanValue microorganism minValue outputEPCList outputQuantityList parentID percRank"
    " percValue persistentDisposition quantity quantityList queryName queryResults rawData readPoint reason receiver"
    " recordTime resultsBody sDev schemaVersion sender sensorElementList sensorMetadata sensorReport set source"
    " sourceList startTime stringValue subscriptionID time transformationID type unset uom uriValue value"
    " vocabularyList vocabularyElementList"
)
TYPES = _listed(
    "ObjectEvent AggregationEvent TransactionEvent TransformationEvent AssociationEvent EPCISDocument"
    " EPCISQueryDocument QuantityEvent objectevent example:OwnEvent https://ns.example.com/OwnEvent"
)
STRANGE_KEYS = ["", ":", "_comment", "example:x", "https://ns.example.com/x", "x y:z", "gs1:x", "1:x", "ünï:x", "a:b c"]
STRANGE_KEYS += ["example:ü", "a:", "bizstep", "EpcList", "lotNumber", "a:%41", "a:%4", "a://h:1/x", "a://h:x/", "@id"]
URIS = _listed(
    "urn:epc:id:sgtin:4012345.011111.9876|https://id.gs1.org/01/09521141012345/21/2017|a:|:a|a|a:b c|a:é|a:%zz|a:%41"
    "|a:b#c|a:b#c#d|a:?q|a://h|a://|a:///x|http://u:p@h:80/x|http://h:port/|http://h:/|http://[::1]/|http://[::1|"
    "http://[1.2.3.4]/|http://[v1.x]/|http://[::ffff:1.2.3.4]|http://[::ffff:1.2.3.04]|http://h/[x]|a:{b}|a:^|a:\\"
    "|http://a@b@c|http://%41|x://y//z|x:////y|_:b0|A1+.-:x|1a:b|http://[::1]:80?q#f|http://:80|a:b\n|urn:uuid:x|//h/x"
    "|ni:///sha-256;00?ver=CBV2.0|urn:epcglobal:cbv:bizstep:shipping|https://ns.gs1.org/cbv/BizStep-shipping"
    "|https://ref.gs1.org/cbv/BizStep-shipping|cbv:BizStep-shipping|http://ns.gs1.org/cbv/Disp-active|urn:epcglobal:cbv"
    "|gs1:Temperature|https://gs1.org/voc/Temperature|http://www.gs1.org/voc/Temperature|https://www.gs1.org/vocabulary"
    "|urn:epcglobal:cbv:sdt:owning_party|urn:epcglobal:cbv:btt:po|urn:epcglobal:cbv:er:incorrect_data|https:gs1.org/voc/"
)
TIMES = _listed(
    "2020-01-01T00:00:00Z|2020-01-01t00:00:00z|2020-01-01 00:00:00Z|2020-01-01T00:00:00|2020-01-01T00:00:00+0100"
    "|2020-01-01T00:00:00.Z|2020-01-01T00:00:00.123456789012Z|2020-01-01T24:00:00Z|2020-01-01T23:59:60Z"
    "|2020-01-01T23:58:60Z|2016-12-31T15:59:60-08:00|2016-12-31T15:59:60+08:00|2020-02-30T00:00:00Z"
    "|2019-02-29T00:00:00Z|2020-02-29T00:00:00Z|1900-02-29T00:00:00Z|2000-02-29T00:00:00Z|0000-01-01T00:00:00Z"
    "|2020-01-01T00:00:00+24:00|2020-01-01T00:00:00+23:59|2020-01-01T00:00:00-00:00|2020-1-1T00:00:00Z|2020-01-01"
    "|2020-01-01T00:00Z| 2020-01-01T00:00:00Z|2020-04-31T00:00:00Z|2020-13-01T00:00:00Z"
    "|\u0968\u0966\u0968\u0966-01-01T00:00:00Z|22-07-2026"
)
OFFSETS = _listed(
    "+01:00|-00:00|+14:00|+14:01|+1:00|01:00|Z|+13:59|-14:00|+00:60|+01:00 |+\uff101:00|+0100|\u221201:00"
)
SCALARS: list[Json] = [None, True, False, 0, 1, 1.0, -1, 1.5, 2**40, "", " ", "x", "2.0", "2", "2.", "v2", "KGM", "kgm"]
SCALARS += [
    "TOOLONG",
    "AF09",
    "0xAF",
    "\u0661.\u0660",
    "DELETE",
    "add",
    [],
    {},
    [None],
    [1],
    [[]],
    ["a:b"],
    ["a:b", "a:b"],
    ["a"],
]
SCALARS += [{"id": "a:b"}, {"id": "a"}, {"a:b": 1}, {"a": 1}, [{}], [1, True], [1, 1.0], [{"a": 1}, {"a": 1.0}], "a:b"]
WORDS = [
    *words.BIZ_STEPS,
    *words.DISPOSITIONS,
    *words.TRANSACTION_TYPES,
    *words.SOURCE_DESTINATION_TYPES,
    *words.ERROR_REASONS,
    *words.COMPONENTS,
    *words.SENSOR_ALERTS,
    *words.MEASUREMENTS,
]


def mutants(documents: list[Json], number: int, *, seed: int) -> Iterator[tuple[Json, str]]:
    """Yield changed copies, each with what was done to it."""
    random = Random(seed)
    for _ in range(number):
        document = copy.deepcopy(random.choice(documents))
        done = [_change(document, random) for _ in range(random.choice((1, 1, 1, 2, 3)))]
        yield document, "; ".join(done)


def _change(document: Json, random: Random) -> str:
    holder, key, path = random.choice(list(_places(document)))
    how = random.choice(_CHANGES)
    return f"{how.__name__} {path}: {how(holder, key, random)}"


def _places(value: Json, path: str = "$") -> Iterator[tuple[Json, Any, str]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key, f"{path}[{key!r}]"
        yield from _places(item, f"{path}[{key!r}]")


def _remove(holder: Json, key: Any, _: Random) -> str:
    del holder[key]
    return ""


def _replace(holder: Json, key: Any, random: Random) -> str:
    pool = random.choice((SCALARS, URIS, TIMES, OFFSETS, WORDS, TYPES))
    holder[key] = copy.deepcopy(random.choice(pool))
    return repr(holder[key])


def _misspell(holder: Json, key: Any, random: Random) -> str:
    text = holder[key]
    if isinstance(text, str) and text:
        at = random.randrange(len(text))
        holder[key] = (
            text[:at] + random.choice(["", "x", "X", " ", "%", "é", "#", "[", "\n", ":", "//"]) + text[at + 1 :]
        )
    return repr(holder[key])


def _rename(holder: Json, key: Any, random: Random) -> str:
    if isinstance(holder, dict):
        new = random.choice([key.rpartition(":")[2], f"example:{key}", key[:-1], key.lower(), random.choice(FIELDS)])
        holder[new] = holder.pop(key)
        return repr(new)
    return ""


def _add(holder: Json, key: Any, random: Random) -> str:
    value = copy.deepcopy(random.choice([holder[key], random.choice(SCALARS), random.choice(URIS)]))
    if isinstance(holder, list):
        holder.append(value)
        return repr(value)
    new = random.choice([random.choice(FIELDS), random.choice(STRANGE_KEYS)])
    holder[new] = value
    return f"{new!r}={value!r}"


def _repeat(holder: Json, key: Any, _: Random) -> str:
    if isinstance(holder[key], list):
        holder[key] += copy.deepcopy(holder[key][:1])
    elif isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    return ""


def _wrap(holder: Json, key: Any, random: Random) -> str:
    holder[key] = random.choice([[holder[key]], {"id": holder[key]}, {"example:x": holder[key]}])
    return ""


def _unwrap(holder: Json, key: Any, random: Random) -> str:
    value = holder[key]
    if isinstance(value, list) and value:
        holder[key] = random.choice([value[0], []])
    elif isinstance(value, dict) and value:
        holder[key] = random.choice([next(iter(value.values())), {}])
    return ""


def _retype(holder: Json, key: Any, random: Random) -> str:
    if isinstance(holder, dict) and "type" in holder:
        holder["type"] = random.choice([*TYPES, random.choice(WORDS), random.choice(URIS)])
        return repr(holder["type"])
    return ""


_CHANGES: list[Callable[[Json, Any, Random], str]] = [
    _remove,
    _remove,
    _replace,
    _replace,
    _replace,
    _misspell,
    _misspell,
    _rename,
    _add,
    _add,
    _repeat,
    _wrap,
    _unwrap,
    _retype,
]
