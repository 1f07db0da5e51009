"""Small checks that larger ones are put together from: a URI, a time, a word, a list, an object.

A check takes a JSON value and returns None, or all that is wrong with it as (path below it, reason).
What is right costs one call and no text; paths are put together only on the way back from a problem. Pure.
"""

import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Any, Final, TypeAlias

import msgspec

Found: TypeAlias = list[tuple[str, str]] | None
Check: TypeAlias = Callable[[Any], Found]

MAX_FOUND: Final = 100
"""Most problems of one document that are looked for."""

_SHOWN: Final = 60
_NAMED: Final = 200
_SHORT: Final = frozenset((int, float, bool, type(None)))
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_@][A-Za-z0-9_]*").fullmatch
_SORTED: Final = msgspec.json.Encoder(order="sorted")

# --- text ------------------------------------------------------------------------------------------

_SUB_DELIMS: Final = "!$&'()*+,;="
_HEX: Final = "%[0-9A-Fa-f]{2}"
_NAME: Final = rf"(?:[A-Za-z0-9\-._~{_SUB_DELIMS}]++|{_HEX})*+"
_USER: Final = rf"(?:[A-Za-z0-9\-._~{_SUB_DELIMS}:]++|{_HEX})*+"
_PATH: Final = rf"(?:[A-Za-z0-9\-._~{_SUB_DELIMS}:@/]++|{_HEX})*+"
_QUERY: Final = rf"(?:[A-Za-z0-9\-._~{_SUB_DELIMS}:@/?]++|{_HEX})*+"
_LITERAL: Final = rf"\[(?:([0-9A-Fa-f:.]+)|[vV][0-9A-Fa-f]+\.[A-Za-z0-9\-._~{_SUB_DELIMS}:]+)\]"
_URI: Final = re.compile(
    rf"[A-Za-z][A-Za-z0-9+.\-]*+:(?://(?:{_USER}@)?(?:{_LITERAL}|{_NAME})(?::[0-9]*+)?(?=[/?#]|\Z)|(?!//)){_PATH}"
    rf"(?:\?{_QUERY})?(?:#{_QUERY})?"
).fullmatch
"""RFC 3986, section 3 and appendix A: an absolute URI, in ASCII. Possessive, so that no text takes it long."""

_PLAIN_URI: Final = re.compile(
    rf"[A-Za-z][A-Za-z0-9+.\-]*:(?://[A-Za-z0-9.\-]+(?![^/?#])|(?!//))[A-Za-z0-9\-._~{_SUB_DELIMS}:@/]*"
    rf"(?:[?#][A-Za-z0-9\-._~{_SUB_DELIMS}:@/?]*)?"
).fullmatch
"""What most URIs look like; the rest are asked of `_URI`, which takes everything that this takes."""

_TIME: Final = re.compile(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)"
    r"(?:\.[0-9]+)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
).fullmatch
"""RFC 3339, section 5.6: date-time, but for the length of months and leap seconds."""

_SHORT_MONTHS: Final = {"02": 29, "04": 30, "06": 30, "09": 30, "11": 30}


def is_uri(text: str) -> bool:
    """Whether text is a URI by RFC 3986. A CURIE such as `example:lot` is one too."""
    if _PLAIN_URI(text) is not None:
        return True
    match = _URI(text)
    return match is not None and (match[1] is None or _is_ipv6(match[1]))


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def is_time(text: str) -> bool:
    """Whether text is a date and time by RFC 3339, in a day that the calendar has."""
    if _TIME(text) is None:
        return False
    if text[8:10] > "28" and not _has_day(int(text[:4]), text[5:7], int(text[8:10])):
        return False
    return text[17:19] != "60" or _is_leap_second(text)


def _has_day(year: int, month: str, day: int) -> bool:
    if month == "02" and (year % 4 or (year % 100 == 0 and year % 400)):
        return day <= 28
    return day <= _SHORT_MONTHS.get(month, 31)


def _is_leap_second(text: str) -> bool:
    """RFC 3339, section 5.7: a leap second is the last of a day, in UTC."""
    minutes = int(text[11:13]) * 60 + int(text[14:16])
    if text[-1] not in "Zz":
        offset = int(text[-5:-3]) * 60 + int(text[-2:])
        minutes -= offset if text[-6] == "+" else -offset
    return minutes % 1440 == 1439


# --- checks of single values ------------------------------------------------------------------------


def wrong(reason: str) -> Found:
    """Say what is wrong with the value itself."""
    return [("", reason)]


def shown(value: Any) -> str:
    """Return a value as a message shows it: short."""
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…")
    return msgspec.json.encode(value).decode() if type(value) in _SHORT else kind_of(value)


def anything(_: Any) -> Found:
    """Take everything."""
    return None


def text(value: Any) -> Found:
    """Demand text."""
    return None if type(value) is str else wrong(f"must be text, not {kind_of(value)}")


def number(value: Any) -> Found:
    """Demand a number; true and false are none."""
    return None if type(value) in _NUMBERS else wrong(f"must be a number, not {kind_of(value)}")


_NUMBERS: Final = frozenset((int, float))
_NOTHING: Final = (None, "")


def boolean(value: Any) -> Found:
    """Demand true or false."""
    return None if type(value) is bool else wrong(f"must be true or false, not {kind_of(value)}")


def uri(value: Any) -> Found:
    """Demand a URI."""
    if type(value) is str and (_PLAIN_URI(value) is not None or is_uri(value)):
        return None
    if type(value) is not str:
        return wrong(f"must be a URI, not {kind_of(value)}")
    return wrong(f"{shown(value)} is not a URI: {_why_no_uri(value)}")


def _why_no_uri(text: str) -> str:
    if not text:
        return "it is empty"
    if re.search(r"\s", text):
        return "it holds white space"
    if not text.isascii():
        return "write letters beyond ASCII as % and two hexadecimal digits"
    if re.match(r"[A-Za-z][A-Za-z0-9+.\-]*:", text) is None:
        return "it has no scheme in front, as urn:… or https://… have"
    return "it holds a character, a % sequence or a host that RFC 3986 does not allow"


def time(value: Any) -> Found:
    """Demand a time with an offset."""
    if type(value) is str and is_time(value):
        return None
    if type(value) is not str:
        return wrong(f"must be a time such as '2026-04-18T11:05:00+08:00', not {kind_of(value)}")
    return wrong(
        f"{shown(value)} is not a time with an offset, such as '2026-04-18T11:05:00+08:00' or '2026-04-18T03:05:00Z'"
    )


def matching(pattern: str, form: str) -> Check:
    """Return a check for text of a form. `pattern` must match the whole of it."""
    match = re.compile(pattern).fullmatch

    def check(value: Any) -> Found:
        if type(value) is str and match(value):
            return None
        return wrong(f"must be {form}, not {shown(value) if type(value) is str else kind_of(value)}")

    return check


def one_of(words: Collection[str], what: str) -> Check:
    """Return a check for one of a few words."""
    known = frozenset(words)

    def check(value: Any) -> Found:
        if type(value) is str and value in known:
            return None
        listed = ", ".join(words)
        return wrong(f"{shown(value)} is not {what}: it must be one of {listed}{did_you_mean(value, words)}")

    return check


def word(words: Collection[str], what: str, standard: Callable[[str], object]) -> Check:
    """Return a check for a bare word, or a URI of somebody's own: one of which `standard` finds nothing."""
    known = frozenset(words)

    def check(value: Any) -> Found:
        if type(value) is not str:
            return wrong(f"must be {what}, not {kind_of(value)}")
        if value in known:
            return None
        if not is_uri(value):
            hint = did_you_mean(value, words)
            return wrong(f"{shown(value)} is not {what} of the standard, nor a URI for one of your own{hint}")
        if standard(value):
            bare = re.split(r"[:/\-]", value[-_SHOWN:])[-1]
            hint = f"write '{bare}'" if bare in known else f"'{bare}' is none{did_you_mean(bare, words)}"
            return wrong(f"{shown(value)}: the standard's own words stand bare; {hint}")
        return None

    return check


def did_you_mean(value: Any, words: Collection[str]) -> str:
    """Return `; did you mean 'shipping'?` where a word is near, else nothing."""
    if type(value) is not str or value in words or len(value) > _SHOWN:
        return ""
    alike = {w.lower(): w for w in sorted(words)}
    near = get_close_matches(value.lower().replace("-", "_").replace(" ", "_"), alike, n=1, cutoff=0.6)
    return f"; did you mean '{alike[near[0]]}'?" if near else ""


def uris(value: Any) -> Found:
    """Demand a list of URIs."""
    if type(value) is list:
        try:
            if None not in map(_PLAIN_URI, value):
                return None
        except TypeError:
            pass  # not all of them are text: the list is looked at one by one
    return _each_uri(value)


def unique_uris(value: Any) -> Found:
    """Demand a list of URIs without repetition."""
    found = uris(value)
    return _repeated(value) if found is None else found


# --- checks of lists and objects ---------------------------------------------------------------------


def many(item: Check, *, at_least: int = 0, unique: bool = False, loose: bool = False) -> Check:
    """Return a check for a list. `loose` takes one value alone as a list of one."""

    def check(value: Any) -> Found:
        if type(value) is not list:
            return item(value) if loose else wrong(f"must be a list, not {kind_of(value)}")
        found: Found = None
        for i, member in enumerate(value):
            below = item(member)
            if below is not None:
                found = _within(found, f"[{i}]", below)
                if len(found) >= MAX_FOUND:
                    return found
        if len(value) < at_least:
            return wrong("must not be empty")
        if unique and len(value) > 1 and found is None:
            return _repeated(value)
        return found

    return check


def _repeated(value: list[Any]) -> Found:
    try:
        if len(set(value)) == len(value):
            return None
        seen = value
    except TypeError:  # objects among them
        seen = [_identity(item) for item in value]
    first: dict[Any, int] = {}
    for i, item in enumerate(seen):
        if first.setdefault(item, i) != i:
            return [(f"[{i}]", f"repeats member {first[item]} of the list")]
    return None


def _identity(value: Any) -> Any:
    """What two equal JSON values have in common, and unequal ones have not: 1 and 1.0 are equal, 1 and true are not."""
    return _SORTED.encode(_whole(value))


def _whole(value: Any) -> Any:
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is list:
        return [_whole(item) for item in value]
    if type(value) is dict:
        return {key: _whole(item) for key, item in value.items()}
    return value


_each_uri: Final = many(uri)


def by_kind(checks: Mapping[type, Check], form: str) -> Check:
    """Return a check that asks another one, by whether the value is text, a list, an object."""
    check_of = dict(checks).get

    def check(value: Any) -> Found:
        one = check_of(type(value))
        return wrong(f"must be {form}, not {kind_of(value)}") if one is None else one(value)

    return check


def extension_key(key: str) -> bool:
    """Whether a field's name is a URI or CURIE, as the names of extensions are."""
    return _known_key(key) if len(key) <= _SHOWN else is_uri(key)


_known_key: Final = lru_cache(maxsize=4096)(is_uri)
"""The same few names stand in every event."""


def closed_key(_: str) -> bool:
    """No further field is allowed."""
    return False


def any_key(_: str) -> bool:
    """Every further field is allowed."""
    return True


def object_of(
    fields: Mapping[str, Check],
    *,
    required: Collection[str] = (),
    further: Callable[[str], bool] = extension_key,
    what: str,
    loose: bool = False,
) -> Check:
    """Return a check for an object: its fields, which of them must stand, what other names may stand beside them.

    `loose` takes null and empty text for a field that does not stand, and passes over comments (`_comment`).
    """
    known, demanded = dict(fields), tuple(required)
    check_of = known.get

    def check(value: Any) -> Found:
        if type(value) is not dict:
            return wrong(f"must be an object, not {kind_of(value)}")
        found: Found = None
        for key, item in value.items():
            field = check_of(key)
            if field is not None:
                below = field(item)
                if below is not None and not (loose and item in _NOTHING):
                    found = _within(found, below_path(key), below)
            elif not further(key) and not (loose and key.startswith("_")):
                found = _within(found, below_path(key), [("", _why_no_field(key))])
            else:
                continue
            if found is not None and len(found) >= MAX_FOUND:
                return found
        for key in demanded:
            if key not in value:
                found = _within(found, below_path(key), [("", "is missing")])
        return found

    def _why_no_field(key: str) -> str:
        hint = did_you_mean(key, known)
        if further is closed_key:
            return f"is not a field of {what}, which takes no extensions{hint}"
        return f"is not a field of {what}; a field of your own needs a prefix, as in 'example:{_tail(key)}'{hint}"

    return check


def _tail(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", key[:_SHOWN]) or "name"


def all_of(first: Check, *rules: Callable[[dict[str, Any]], Found]) -> Check:
    """Return a check, followed by rules over several fields of the object, which see any object."""

    def check(value: Any) -> Found:
        found = first(value)
        if type(value) is dict:
            for rule in rules:
                more = rule(value)
                if more is not None:
                    found = more if found is None else found + more
        return found

    return check


def below_path(key: str) -> str:
    """Return how a path goes on to a member: `.bizStep`, `['gy:pack']`. A very long name is cut."""
    key = key if len(key) <= _NAMED else f"{key[:_NAMED]}…"
    return f".{key}" if _PLAIN_KEY(key) else f"[{key!r}]"


def kind_of(value: Any) -> str:
    """Return what a JSON value is, in words."""
    return _KINDS.get(type(value), "text")


_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "a list",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def _within(found: Found, step: str, below: list[tuple[str, str]]) -> list[tuple[str, str]]:
    placed = [(step + path, reason) for path, reason in below]
    return placed if found is None else found + placed
