"""The event hash of CBV 2.0, section 8.9, over events in normal form: `ni:///sha-256;...?ver=CBV2.0`.

The pre-hash text is the one that the reference generator (RalphTro/epcis-event-hash-generator, October 2025) writes,
for its vectors are what others test with; `ledger/docs/event-hash.md` states each rule, and where that generator
departs from the standard's own words. Pure.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

from ledger.epcis.contexts import (
    BIZ_STEP,
    COMPONENT,
    DISPOSITION,
    ERROR_REASON,
    MEASUREMENT,
    PARTY_TYPE,
    SENSOR_ALERT,
    TRANSACTION_TYPE,
    Context,
    Vocabulary,
    namespaced,
)
from ledger.epcis.identifiers import canonical_identifier
from ledger.epcis.normal import normal_events
from ledger.epcis.reading import Document

VERSION: Final = "CBV2.0"

Normal: TypeAlias = Mapping[str, Any]
"""An event in normal form (ledger.epcis.normal)."""


def event_hash(normal: Normal, ignored: frozenset[str] = frozenset()) -> str:
    """Return the CBV 2.0 event hash of an event in normal form.

    `ignored` names extension fields, by their normal key, that do not count. Whether the event is valid does not
    matter: whatever JSON can hold has a hash.
    """
    return hash_of(prehash(normal, ignored))


def hash_of(text: str) -> str:
    """Return the hash of a pre-hash text."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"ni:///sha-256;{digest}?ver={VERSION}"


def prehash(normal: Normal, ignored: frozenset[str] = frozenset()) -> str:
    """Return the text that is hashed."""
    text: list[str] = ["eventType=", _text(normal.get("type"))]
    rest: list[str] = []
    for name, write in _EVENT.items():
        value = normal.get(name)
        if value is not None:
            write(name, value, text, rest)
    for name, value in normal.items():
        if name not in _EVENT and name not in _NOT_HASHED and name not in ignored:
            rest += _member(name, value)
    rest.sort()
    return "".join(text + rest)


def document_prehashes(document: Document) -> list[str]:
    """Return the pre-hash text of every event of a document, in order.

    Fields that the document tells readers to ignore (`...:ignoreFields`) do not count. Raises UnknownContextError
    or EventError where names cannot be understood.
    """
    ignored = ignored_fields(document)
    return [prehash(event, ignored) for event in normal_events(document)]


def document_hashes(document: Document) -> list[str]:
    """Return the event hash of every event of a document, in order; see document_prehashes."""
    return [hash_of(text) for text in document_prehashes(document)]


def ignored_fields(document: Document) -> frozenset[str]:
    """Return the normal keys of the fields that a document declares as its repository's own, not the event's.

    They stand under a key whose local name is `ignoreFields`, in the document or around its query results, as the
    reference generator takes it. A repository adds such fields when it answers a query.
    """
    found: set[str] = set()
    part: Any = document.value
    for inner in ("epcisBody", "queryResults", "resultsBody", None):
        if not isinstance(part, dict):
            break
        for name, value in part.items():
            if name.partition(":")[2] == "ignoreFields":
                context = Context.of(document.context)
                found |= {context.key(item) for item in _items(value) if isinstance(item, str)}
        part = part.get(inner) if inner else None
    return frozenset(found)


# --- values -------------------------------------------------------------------------------------

_CBV_URNS: Final = tuple(
    (words.urn, words.uri) for words in (BIZ_STEP, DISPOSITION, TRANSACTION_TYPE, PARTY_TYPE, ERROR_REASON)
)


_SIGNS: Final = frozenset("+-.")


def _text(value: Any) -> str:
    """Return a value as the pre-hash text has it."""
    kind = type(value)
    if kind is str:
        return _canonical_text(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return str(int(value)) if value.is_integer() else repr(value)
    return "" if value is None else str(value)


_LONGEST_KEPT: Final = 256
"""Longer texts are not remembered: a hostile document must not fill the memory with them."""


def _canonical_text(text: str) -> str:
    return _remembered_text(text) if len(text) <= _LONGEST_KEPT else _text_anew(text)


@lru_cache(maxsize=8192)
def _remembered_text(text: str) -> str:
    return _text_anew(text)


def _text_anew(text: str) -> str:
    text = text.strip()
    if "urn:epcglobal:cbv:" in text:
        for urn, uri in _CBV_URNS:
            text = text.replace(urn, uri)
    if text[:1].isdecimal() or text[:1] in _SIGNS:
        return _canonical_number(text)
    return canonical_identifier(text)


def _canonical_number(text: str) -> str:
    """Return text that is a number without the sign, zeros and exponent that say nothing; other text unchanged.

    A number is what Python's `float` reads, to the precision of a double: the vectors hold
    `111100001111000011110000` as `111100001111000003641344`.
    """
    try:
        number = float(text)
    except ValueError:
        return text
    if number.is_integer():
        return str(int(number))
    return str(number) if math.isfinite(number) else text


def _time(value: Any) -> str:
    return value.strip() if type(value) is str else _text(value)


def _word(vocabulary: Vocabulary) -> Callable[[Any], str]:
    uris = {word: vocabulary.uri + word for word in vocabulary.words}

    def text(value: Any) -> str:
        return uris.get(value) or _canonical_text(value) if type(value) is str else _text(value)

    return text


# --- what the order does not name ---------------------------------------------------------------

_COMMENTS: Final = frozenset({"comment", "http://www.w3.org/2000/01/rdf-schema#comment"})
_NOT_HASHED: Final = _COMMENTS | {"type", "eventID", "recordTime", "errorDeclaration", "@context"}


def _items(value: Any) -> Sequence[Any]:
    return value if type(value) is list or type(value) is tuple else (value,)


def _label(key: str) -> str:
    return _remembered_label(key) if len(key) <= _LONGEST_KEPT else _label_anew(key)


@lru_cache(maxsize=4096)
def _remembered_label(key: str) -> str:
    return _label_anew(key)


def _label_anew(key: str) -> str:
    namespace, local = namespaced(key) if ":" in key else ("", key)
    return f"{{{namespace}}}{local}" if namespace else local


def _member(key: str, value: Any) -> list[str]:
    """Return the texts of one member of an object: one for each of its values."""
    label = _label(key)
    if type(value) is str and label[-4:] != "List":
        text = _canonical_text(value)
        return [f"{label}={text}" if text else label]
    if label.endswith("List"):  # as in the standard's own lists: the name once, its members by the name without it
        texts = sorted(_entry(label[:-4], item) for item in _items(value))
        return [label + "".join(texts)] if texts else []
    return [_entry(label, item) for item in _items(value)]


def _entry(label: str, value: Any) -> str:
    if type(value) is dict:
        return label + _members(value)
    if type(value) is list:
        return label + "".join(sorted(_entry("", item) for item in value))
    text = _text(value)
    return f"{label}={text}" if text else label


def _members(part: Mapping[str, Any]) -> str:
    texts: list[str] = []
    for key, value in part.items():
        if key not in _COMMENTS:
            texts += _member(key, value)
    texts.sort()
    return "".join(texts)


# --- what it does -------------------------------------------------------------------------------

_Write: TypeAlias = Callable[[str, Any, list[str], list[str]], None]
"""Writes one field: its place in the order into the first list, what has no place there into the second."""


def _leaf(read: Callable[[Any], str] = _text) -> _Write:
    def write(name: str, value: Any, text: list[str], rest: list[str]) -> None:
        if type(value) is str:
            read_text = read(value)
            if read_text:
                text.append(f"{name}={read_text}")
            return
        found = []
        for item in _items(value):
            if type(item) is dict or type(item) is list:
                rest.append(_entry(name, item))
            elif read_text := read(item):
                found.append(f"{name}={read_text}")
        text += sorted(found)

    return write


def _list(item_name: str) -> _Write:
    item = _leaf()

    def write(name: str, value: Any, text: list[str], rest: list[str]) -> None:
        found: list[str] = []
        left: list[str] = []
        item(item_name, value, found, left)
        if found:
            text.append(name + "".join(found))
        if left:
            rest.append(name + "".join(sorted(left)))

    return write


def _object(fields: Mapping[str, _Write]) -> _Write:
    """One object, or several of the same name."""

    def write(name: str, value: Any, text: list[str], rest: list[str]) -> None:
        found = []
        for item in _items(value):
            if type(item) is dict:
                own, left = _in_order(item, fields)
                if own:
                    found.append(name + own)
                if left:
                    rest.append(name + left)
            else:
                rest.append(_entry(name, item))
        text += sorted(found)

    return write


def _objects(item_name: str, fields: Mapping[str, _Write]) -> _Write:
    item = _object(fields)

    def write(name: str, value: Any, text: list[str], rest: list[str]) -> None:
        found: list[str] = []
        left: list[str] = []
        item(item_name, value, found, left)
        if found:
            text.append(name + "".join(found))
        if left:
            rest.append(name + "".join(sorted(left)))

    return write


def _in_order(part: Mapping[str, Any], fields: Mapping[str, _Write]) -> tuple[str, str]:
    """Return the text of a part in its order, extensions last; and the text of what stands at the event's end."""
    text: list[str] = []
    rest: list[str] = []
    for name, write in fields.items():
        value = part.get(name)
        if value is not None:
            write(name, value, text, rest)
    extras = [name for name in part if name not in fields and name not in _COMMENTS]
    if extras:
        inline = _takes_extensions(part)
        extensions: list[str] = []
        for name in extras:
            into = extensions if inline and "/}" in _label(name) else rest
            into += _member(name, part[name])
        text += sorted(extensions)
    return "".join(text), "".join(sorted(rest))


def _takes_extensions(part: Mapping[str, Any]) -> bool:
    """Whether extensions stand at the end of their part (rule 21): not where one stands alone.

    Neither, in the reference generator, where a name contains `action` or `eventTime`: it takes the part for an
    event.
    """
    count = sum(1 if key.endswith("List") else len(_items(part[key])) for key in part if key not in _COMMENTS)
    return count > 1 and not any("action" in label or "eventTime" in label for label in map(_label, part))


def _references(item_name: str, types: Vocabulary) -> _Write:
    """A list of typed references. They have no place in the generator's order: `type` comes first in each."""
    type_text = _word(types)

    def write(name: str, value: Any, _: list[str], rest: list[str]) -> None:
        found = []
        for item in _items(value):
            if type(item) is dict:
                others = {key: held for key, held in item.items() if key not in {"type", item_name}}
                kind = f"type={type_text(item['type'])}" if item.get("type") else ""
                found.append(kind + "".join(_member(item_name, item.get(item_name, ""))) + _members(others))
            else:
                found.append(_entry(item_name, item))
        if found:
            rest.append(name + "".join(sorted(found)))

    return write


_QUANTITY: Final[Mapping[str, _Write]] = {"epcClass": _leaf(), "quantity": _leaf(), "uom": _leaf()}
_PLACE: Final[Mapping[str, _Write]] = {"id": _leaf()}
_METADATA: Final[Mapping[str, _Write]] = {
    "time": _leaf(_time),
    "startTime": _leaf(_time),
    "endTime": _leaf(_time),
    **dict.fromkeys(("deviceID", "deviceMetadata", "rawData", "dataProcessingMethod", "bizRules"), _leaf()),
}
_REPORT: Final[Mapping[str, _Write]] = {
    "type": _leaf(_word(MEASUREMENT)),
    "exception": _leaf(_word(SENSOR_ALERT)),
    **dict.fromkeys(("deviceID", "deviceMetadata", "rawData", "dataProcessingMethod"), _leaf()),
    "time": _leaf(_time),
    **dict.fromkeys(("microorganism", "chemicalSubstance", "value"), _leaf()),
    "component": _leaf(_word(COMPONENT)),
    **dict.fromkeys(
        (
            "stringValue",
            "booleanValue",
            "hexBinaryValue",
            "uriValue",
            "minValue",
            "maxValue",
            "meanValue",
            "sDev",
            "percRank",
            "percValue",
            "uom",
            "coordinateReferenceSystem",
        ),
        _leaf(),
    ),
}
_EVENT: Final[Mapping[str, _Write]] = {
    "eventTime": _leaf(_time),
    "eventTimeZoneOffset": _leaf(),
    "certificationInfo": _leaf(),
    "parentID": _leaf(),
    "epcList": _list("epc"),
    "inputEPCList": _list("epc"),
    "childEPCs": _list("epc"),
    "quantityList": _objects("quantityElement", _QUANTITY),
    "childQuantityList": _objects("quantityElement", _QUANTITY),
    "inputQuantityList": _objects("quantityElement", _QUANTITY),
    "outputEPCList": _list("epc"),
    "outputQuantityList": _objects("quantityElement", _QUANTITY),
    "action": _leaf(),
    "transformationID": _leaf(),
    "bizStep": _leaf(_word(BIZ_STEP)),
    "disposition": _leaf(_word(DISPOSITION)),
    "persistentDisposition": _object({"set": _leaf(_word(DISPOSITION)), "unset": _leaf(_word(DISPOSITION))}),
    "readPoint": _object(_PLACE),
    "bizLocation": _object(_PLACE),
    "bizTransactionList": _references("bizTransaction", TRANSACTION_TYPE),
    "sourceList": _references("source", PARTY_TYPE),
    "destinationList": _references("destination", PARTY_TYPE),
    "sensorElementList": _objects(
        "sensorElement", {"sensorMetadata": _object(_METADATA), "sensorReport": _object(_REPORT)}
    ),
}
"""The fields of an event in the order of the pre-hash text (CBV 2.0, 8.9, as the reference generator keeps it)."""
