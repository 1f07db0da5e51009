"""Facts: values that say where they stand, and how a page shows them so that a browser can check each one.

`show` writes `<span data-fact="25/childQuantityList/0/quantity" data-as="kg">4.56 kg</span>`. The browser
finds entry 25 among the entries it has verified, walks the JSON pointer, formats the value with the same
rule (`api/web/consumer/static/facts.js`) and compares the text. Both sides round halves up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from api.i18n import Speech, half_up
from ledger.kernel.clock import TimeError, parse_time

PRIVATE: Final = "~"
"""Before a leaf index: the private fields of that entry which the proof opens."""
WHOLE_STEP: Final = "step"
"""The source of a fact made from every entry of its step."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A value and where it stands.

    `refs` are `source/json/pointer`, separated by spaces; a source is a leaf index, the same behind `~`
    for its opened private fields, the SHA-256 of a file in hex, or `step`. `op` says how several make one:
    `sum`, `minus`, `between` (minutes from the first time to the second) or `count`. An entry that has no
    index yet gives facts without refs.
    """

    value: Any
    refs: str = ""
    op: str = ""


def walk(value: Any, path: Sequence[str | int]) -> Any:
    """Return what stands at a path of keys and positions, or None."""
    for part in path:
        if isinstance(part, int):
            if not isinstance(value, list) or not -len(value) <= part < len(value):
                return None
            value = value[part]
        else:
            if not isinstance(value, dict):
                return None
            value = value.get(part)
    return value


def fact_at(document: Any, path: Sequence[str | int], source: str | None) -> Fact | None:
    """Return the single value at a path as a fact, or None where there is none."""
    value = walk(document, path)
    if value is None or isinstance(value, dict | list):
        return None
    return Fact(value, "" if source is None else source + pointer(path))


def pointer(path: Sequence[str | int]) -> str:
    """Return the JSON pointer (RFC 6901) of a path."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def summed(facts: Sequence[Fact | None]) -> Fact | None:
    """Return the sum of whole numbers, or None where there is nothing to add."""
    found = [f for f in facts if f is not None and isinstance(f.value, int)]
    if not found:
        return None
    refs = " ".join(f.refs for f in found) if all(f.refs for f in found) else ""
    return Fact(sum(f.value for f in found), refs, "sum")


def difference(first: Fact | None, second: Fact | None) -> Fact | None:
    """Return first minus second."""
    if first is None or second is None:
        return None
    return Fact(first.value - second.value, _joined(first, second), "minus")


def minutes_between(first: Fact | None, second: Fact | None) -> Fact | None:
    """Return the whole minutes from one time to a later one, cut."""
    if first is None or second is None:
        return None
    seconds = (parse_time(second.value) - parse_time(first.value)).total_seconds()
    return Fact(int(seconds // 60), _joined(first, second), "between")


def _joined(first: Fact, second: Fact) -> str:
    return f"{first.refs} {second.refs}" if first.refs and second.refs else ""


# --- how a value is written ------------------------------------------------------------------------


def _millimetres(speech: Speech, micrometres: int) -> str:
    return speech.number((micrometres + 500) // 1000)


def _signed_kg(speech: Speech, mass_g: int) -> str:
    sign = "\N{MINUS SIGN}" if mass_g < 0 else "+"
    return sign + speech.kg(abs(mass_g))


def _word(prefix: str) -> Callable[[Speech, str], str]:
    return lambda speech, value: speech.word(f"consumer.js.{prefix}", str(value))


FORMATS: Final[Mapping[str, Callable[[Speech, Any], str]]] = {
    "text": lambda _, value: str(value),
    "number": lambda speech, value: speech.number(value),
    "kg": lambda speech, value: speech.kg(value),
    "kg-number": lambda speech, value: speech.kg_number(value),
    "kg-signed": _signed_kg,
    "grams-number": lambda speech, value: speech.number(value),
    "mm-number": _millimetres,
    "mm-tenths": lambda speech, value: speech.number(half_up(value / 1000, 1), 1),
    "cm2": lambda speech, value: speech.number(half_up(value / 100, 1), 1),
    "area": lambda speech, value: speech.area(value),
    "yuan": lambda speech, value: speech.yuan(value),
    "celsius": lambda speech, value: speech.celsius(value),
    "celsius-number": lambda speech, value: speech.celsius_number(value),
    "celsius-milli": lambda speech, value: speech.celsius_number(value / 1000),
    "span": lambda speech, value: speech.span(value),
    "clock": lambda speech, value: speech.clock(parse_time(value)),
    "day": lambda speech, value: speech.day(parse_time(value)),
    "day-short": lambda speech, value: speech.day_short(parse_time(value)),
    "moment": lambda speech, value: speech.moment(parse_time(value)),
    "date": lambda speech, value: speech.day(date.fromisoformat(value)),
    "date-full": lambda speech, value: speech.day_full(date.fromisoformat(value)),
    "variety": _word("variety"),
    "region": _word("region"),
    "treatment": _word("treatment"),
    "standard": _word("standard"),
    "tier-name": _word("tier"),
    "reason": _word("reason"),
    "product": _word("product"),
}


@pass_context
def show(context: Context, fact: Fact | None, kind: str = "text", claim: str = "") -> Markup:
    """Return a fact as checkable HTML; a dash where the record does not say.

    A `claim` is a fact about the very thing: the browser looks up by itself which entry may say it.
    """
    if fact is None:
        return Markup("&ndash;")
    written = written_as(context["speech"], fact, kind)
    if not fact.refs:
        return escape(written)
    op = f' data-op="{escape(fact.op)}"' if fact.op else ""
    op += f' data-claim="{escape(claim)}"' if claim else ""
    # Every part is escaped here: Markup.format does the same at five times the cost, a hundred times a page.
    return Markup(f'<span data-fact="{escape(fact.refs)}" data-as="{escape(kind)}"{op}>{escape(written)}</span>')  # noqa: S704


def written_as(speech: Speech, fact: Fact, kind: str) -> str:
    """Return a fact as plain text. A value that is not of its kind is shown as it stands."""
    try:
        return FORMATS[kind](speech, fact.value)
    except (TypeError, ValueError, ArithmeticError, TimeError):
        return str(fact.value)
