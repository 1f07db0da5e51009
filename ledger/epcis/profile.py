"""Whether a document is valid EPCIS 2.0, and if not, everything that is wrong with it. Pure.

The strict profile says what the official JSON schema says, in `schema.py`'s own words. The lenient one
takes more, where it can be brought into normal form without guessing; docs/conformance.md lists both.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from ledger.epcis.checks import MAX_FOUND
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
