"""Reading a document: bytes from anywhere become one JSON value with one meaning, or a DocumentError.

JSON leaves open what two equal keys, a lone surrogate or a number of a thousand digits mean; two
programs that read such a document may hash and show different things. None of it is let in. Pure.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from ledger.canonical import MAX_DEPTH, MAX_SAFE_INTEGER
from ledger.epcis.checks import below_path
from ledger.errors import DocumentError, Problem
from ledger.events import Json

__all__ = ["MAX_PARTS", "Document", "DocumentError", "Kind", "Problem", "read"]

MAX_PARTS: Final = 2_000_000
"""Most objects, lists and commas in one document: a body of nothing else must not fill the memory."""

_DECODER: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder()
_HASH_ID: Final = re.compile(r"ni:///sha-256;[0-9a-f]{64}\?ver=CBV2\.0").fullmatch
_SURROGATE: Final = re.compile("[\ud800-\udfff]").search


class Kind(StrEnum):
    """What a document is."""

    DOCUMENT = "EPCISDocument"
    QUERY_DOCUMENT = "EPCISQueryDocument"
    EVENT = "event"
    """One bare event with its `@context`."""
    LIST = "list"
    """A JSON array of bare events."""


@dataclass(frozen=True, slots=True)
class Document:
    """What was read: the JSON value, and the events in it with the path of each.

    `events` holds every object that stands where an event stands; whether it is a valid event is for
    `ledger.epcis.profile` to say. `context` is the document's `@context`, None in a list.
    """

    kind: Kind
    events: tuple[dict[str, Any], ...]
    paths: tuple[str, ...]
    context: Json
    value: Any

    def contexts(self) -> Iterator[Json]:
        """Yield the whole `@context` of each event in turn: the document's, and then the event's own."""
        whole = self.kind in {Kind.DOCUMENT, Kind.QUERY_DOCUMENT}
        for event in self.events:
            own = event.get("@context")
            if own is None or not whole:
                yield self.context if own is None else own
            else:
                yield [*_listed(self.context), *_listed(own)]


def read(data: bytes) -> Document:
    """Return the document in UTF-8 JSON. Raises DocumentError, and nothing else, with path and reason.

    A byte order mark in front is passed over. The caller bounds the size of `data`; memory beyond it
    is at most about 200 bytes for each of MAX_PARTS parts.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    if data.count(b"{") + data.count(b"[") + data.count(b",") > MAX_PARTS:
        raise _refused("$", f"holds more than {MAX_PARTS:,} objects, lists and members")
    try:
        value = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _why_unreadable(data, error) from None
    _check_values(value)
    if _quotes(data) != _quotes(_ENCODER.encode(value)):
        value = _without_repetition(data)
    return _document(value)


def _document(value: Any) -> Document:
    if type(value) is list:
        return _with_events(Kind.LIST, value, "$", None, value)
    if type(value) is not dict:
        raise _refused("$", "is not an EPCIS document: it must be an object with a type, or a list of events")
    context = value.get("@context")
    match value.get("type"):
        case Kind.DOCUMENT.value:
            events = _inside(value, "epcisBody", "eventList")
            single = _inside(value, "epcisBody", "event")
            if events is None and type(single) is dict:  # no schema has it; the generator of event hashes reads it
                return Document(Kind.DOCUMENT, (single,), ("$.epcisBody.event",), context, value)
            return _with_events(Kind.DOCUMENT, events, "$.epcisBody.eventList", context, value)
        case Kind.QUERY_DOCUMENT.value:
            events = _inside(value, "epcisBody", "queryResults", "resultsBody", "eventList")
            path = "$.epcisBody.queryResults.resultsBody.eventList"
            return _with_events(Kind.QUERY_DOCUMENT, events, path, context, value)
    return Document(Kind.EVENT, (value,), ("$",), context, value)


def _with_events(kind: Kind, events: Any, path: str, context: Json, value: Any) -> Document:
    listed = events if type(events) is list else []
    found = [(event, f"{path}[{i}]") for i, event in enumerate(listed) if type(event) is dict]
    return Document(kind, tuple(event for event, _ in found), tuple(where for _, where in found), context, value)


def _inside(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if type(value) is dict else None
    return value


def _listed(context: Json) -> list[Json]:
    return context if isinstance(context, list) else [] if context is None else [context]


def _check_values(value: Any) -> None:
    """Refuse what is nested too deep, and whole numbers that not every reader can hold.

    Level by level, without recursion; text, the bulk of every document, is passed over first.
    """
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for part in level:
            for item in part.values() if type(part) is dict else part:
                kind = type(item)
                if kind is str:
                    continue
                if kind is dict or kind is list:
                    below.append(item)
                elif kind is int and not -MAX_SAFE_INTEGER <= item <= MAX_SAFE_INTEGER:
                    raise _refused(_path_of(value, item), _BEYOND)
        if not below:
            return
        level = below
    raise _refused(_path_of(value, level[0]), _TOO_DEEP)


_BEYOND: Final = "is a number beyond what every reader can hold; write it as text"
_TOO_DEEP: Final = f"is nested deeper than {MAX_DEPTH} levels"


def _quotes(data: bytes) -> int:
    """How many quotation marks open or close a text. A repeated key has two that its value does not have."""
    if b"\\" not in data:
        return data.count(b'"')
    unescaped = data.replace(b"\\\\", b"")
    return unescaped.count(b'"') - unescaped.count(b'\\"')


# --- saying where, once something is wrong: slow and exact -------------------------------------------


class _Marked(NamedTuple):
    """Stands for what cannot be taken, in a value that is read only to name its path."""

    reason: str


class _Repeating(dict[str, Any]):
    """An object with a key that stands in it twice."""

    key = ""


def _why_unreadable(data: bytes, error: Exception) -> DocumentError:
    if data[:64].lstrip().startswith(b"<"):
        return _refused("$", "is XML; EPCIS 2.0 is read here as JSON-LD alone")
    if data.startswith(b"\x1f\x8b"):
        return _refused("$", "is compressed (gzip); unpack it first")
    if data[:4].count(0) or data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return _refused("$", "is not UTF-8 (it looks like UTF-16 or UTF-32); save it as UTF-8")
    try:
        text = data.decode()
    except UnicodeDecodeError as wrong:
        where = _line_and_column(data, wrong.start)
        return _refused("$", f"is not UTF-8: byte 0x{data[wrong.start]:02x} at {where}; save it as UTF-8")
    if not text.strip(" \t\r\n"):
        return _refused("$", "is empty")
    try:
        value = json.loads(
            text,
            parse_int=lambda digits: _Marked(_BEYOND) if len(digits) > 17 else int(digits),
            parse_float=lambda number: _Marked(_BEYOND) if abs(float(number)) == float("inf") else 0.0,
            parse_constant=lambda name: _Marked(f"is {name}, which JSON does not have"),
        )
    except RecursionError:
        return _refused("$", _TOO_DEEP)
    except json.JSONDecodeError as wrong:
        what = wrong.msg.lower().removesuffix(" at")
        return _refused("$", f"is not JSON: {what} at line {wrong.lineno}, column {wrong.colno}")
    found = _first(value, lambda item: isinstance(item, _Marked) or (isinstance(item, str) and _SURROGATE(item)))
    if found is not None:
        path, item = found
        return _refused(path, item.reason if isinstance(item, _Marked) else "holds half of a surrogate pair")
    return _refused("$", f"is not JSON: {error}")


def _without_repetition(data: bytes) -> Any:
    """Return the value in which some key is repeated, where it still has one meaning; else raise DocumentError."""
    value = json.loads(data, object_pairs_hook=_object)
    found = _first(value, lambda item: isinstance(item, _Repeating))
    if found is not None:
        path, item = found
        raise _refused(path + below_path(item.key), "stands more than once in the same object")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) == len(pairs):
        return built
    repeated = {key: times for key, times in Counter(key for key, _ in pairs).items() if times > 1}
    if repeated.get("eventID") == 2:
        # An official example gives an event its hash and an id of its own. The hash follows from the event.
        ids = [value for key, value in pairs if key == "eventID"]
        own = [value for value in ids if not (isinstance(value, str) and _HASH_ID(value))]
        if len(own) == 1:
            built["eventID"] = own[0]
            del repeated["eventID"]
    if not repeated:
        return built
    marked = _Repeating(built)
    marked.key = next(iter(repeated))
    return marked


def _path_of(value: Any, part: Any) -> str:
    found = _first(value, lambda item: item is part)
    return "$" if found is None else found[0]


def _first(value: Any, is_it: Callable[[Any], object]) -> tuple[str, Any] | None:
    """Return the first value or key that is looked for, with its path, in the order of the document.

    The path is put together at the end: a document of millions of parts has as many paths.
    """
    steps: list[str | int] = [""]
    levels: list[Iterator[tuple[str | int, Any]]] = [iter([("", value)])]
    while levels:
        for step, item in levels[-1]:
            steps[-1] = step
            if is_it(item):
                return _path(steps[1:]), item
            if isinstance(item, dict):
                if any(map(is_it, item)):
                    return _path(steps[1:]), next(filter(is_it, item))
                levels.append(iter(item.items()))
                steps.append("")
                break
            if type(item) is list:
                levels.append(enumerate(item))
                steps.append(0)
                break
        else:
            levels.pop()
            steps.pop()
    return None


def _path(steps: list[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else below_path(step) for step in steps)


def _line_and_column(data: bytes, position: int) -> str:
    before = data[:position]
    return f"line {before.count(10) + 1}, column {position - before.rfind(10)}"


def _refused(path: str, reason: str) -> DocumentError:
    return DocumentError([Problem(path, reason)])
