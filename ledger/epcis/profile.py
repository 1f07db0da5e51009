"""Whether a document is valid EPCIS 2.0, and if not, everything that is wrong with it. Pure.

The strict profile says what the official JSON schema says, in `schema.py`'s own words. The lenient one
takes more, where it can be brought into normal form without guessing; docs/conformance.md lists both.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

from ledger.epcis import words
from ledger.epcis.checks import MAX_FOUND, below_path, is_time, shown
from ledger.epcis.contexts import Context
from ledger.epcis.normal import normal_event
from ledger.epcis.reading import Document, Problem
from ledger.epcis.schema import checks_of
from ledger.errors import EventError, UnknownContextError
from ledger.events import Json, parse_event
from ledger.vocabulary import EPCIS_CONTEXT


class Profile(StrEnum):
    """How strictly documents are taken."""

    STRICT = "strict"
    """Exactly what the official JSON schema takes, its formats asserted."""
    LENIENT = "lenient"
    """Also the known deviations of real documents."""


def problems(document: Document, profile: Profile = Profile.STRICT) -> tuple[Problem, ...]:
    """Return all that is wrong with a document, at most 100 problems; empty means valid.

    Contexts are not looked up here: whether one is known is asked when an event is hashed or captured.
    """
    found = _STRICT[document.kind](document.value)
    if found is not None and profile is Profile.LENIENT:
        found = _LOOSE[document.kind](document.value) or list(_unreadable(document))
    return tuple(Problem("$" + path, reason) for path, reason in (found or ())[:MAX_FOUND])


_STRICT: Final = checks_of(loose=False)
_LOOSE: Final = checks_of(loose=True)


def _unreadable(document: Document) -> Iterator[tuple[str, str]]:
    """Yield what keeps an event from its normal form: a loose reading must not take what cannot be recorded."""
    for event, path, context in zip(document.events, document.paths, document.contexts(), strict=True):
        bare = {key: value for key, value in event.items() if key != "@context"}
        try:
            parse_event(normal_event(bare, _known(context)))
        except EventError as error:
            yield path[1:] + error.path[1:], error.reason


def _known(context: Json) -> Context:
    """The part of a context that is known here; what it leaves out changes no field of the standard."""
    known: list[Json] = []
    for part in context if isinstance(context, list) else [context]:
        try:
            Context.of(part)
        except UnknownContextError:
            continue
        known.append(part)
    return Context.of([EPCIS_CONTEXT, *known])


# --- the rules of our own sentences ------------------------------------------------------------------


def house_problems(event: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return what in an event of ours two event-hash implementations are known to disagree about.

    `event` is its JSON form (`ledger.events.document`). Extension fields hold text, whole numbers, or objects and
    lists of these; the rules stand in docs/conformance.md. Foreign events need not keep them.
    """
    found = list(_in_extensions("$", {key: event[key] for key in event if ":" in key}))
    for name in ("ilmd", "readPoint", "bizLocation", "errorDeclaration"):
        if isinstance(event.get(name), Mapping):
            found += _in_extensions(f"$.{name}", {k: v for k, v in event[name].items() if name == "ilmd" or ":" in k})
    for path, part in _sensor_parts(event):
        found += [Problem(path + below_path(key), "stands inside a sensor element") for key in part if ":" in key]
    count = sum(len(event.get(name) or ()) for name in _NAMING_LISTS)
    if count > MAX_IDENTIFIERS:
        found.append(Problem("$", f"names {count} identifiers; a sentence names at most {MAX_IDENTIFIERS}"))
    return tuple(found)


MAX_IDENTIFIERS: Final = 500
"""Most identifiers in one sentence of ours: more of them are several events."""

_NAMING_LISTS: Final = (
    *("epcList", "childEPCs", "inputEPCList", "outputEPCList"),
    *("quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList"),
)
_CBV_WORDS: Final = frozenset(
    word
    for listed in (
        *(words.BIZ_STEPS, words.DISPOSITIONS, words.TRANSACTION_TYPES, words.SOURCE_DESTINATION_TYPES),
        *(words.ERROR_REASONS, words.COMPONENTS, words.SENSOR_ALERTS, words.MEASUREMENTS),
    )
    for word in listed
)


def _in_extensions(path: str, fields: Mapping[str, Any]) -> Iterator[Problem]:
    for key, value in fields.items():
        where = path + below_path(key)
        prefix, colon, local = key.partition(":")
        if not colon:
            yield Problem(where, "has no prefix")
        if local.endswith("List") or "action" in local.lower():
            yield Problem(where, "ends in 'List' or contains 'action'")
        for item in value if isinstance(value, list | tuple) else [value]:
            yield from _in_value(where, item, is_time_key=local.endswith(("At", "By")) or prefix == "cbvmda")
        if isinstance(value, list | tuple) and not value:
            yield Problem(where, "is an empty list")


def _in_value(where: str, value: Any, *, is_time_key: bool) -> Iterator[Problem]:
    if isinstance(value, Mapping):
        yield from _in_extensions(where, value)
    elif isinstance(value, str):
        if value in _CBV_WORDS:
            yield Problem(where, f"'{value}' is a word of the CBV")
        elif _is_number(value):
            yield Problem(where, f"'{value}' looks like a number")
        elif is_time(value) and not is_time_key:
            yield Problem(where, "holds a time, yet its name ends neither in 'At' nor, for a deadline, in 'By'")
    elif type(value) is not int:
        yield Problem(where, f"holds {shown(value)}: only text, whole numbers, objects and lists of these may stand")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sensor_parts(event: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for i, element in enumerate(event.get("sensorElementList", ())):
        path = f"$.sensorElementList[{i}]"
        yield path, element
        yield f"{path}.sensorMetadata", element.get("sensorMetadata", {})
        for j, report in enumerate(element.get("sensorReport", ())):
            yield f"{path}.sensorReport[{j}]", report
