"""Two languages as equals: messages from flat JSON files, and numbers, masses and times as each writes them.

A message is HTML written by us; what is put into it is escaped. `key.one` is the singular form of
`key`, used when `n=1`; Chinese needs none. In JavaScript the same messages are plain text.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date as babel_date
from babel.numbers import format_decimal
from markupsafe import Markup, escape

from ledger.kernel.errors import OriginError
from ledger.kernel.quantities import format_kilograms, format_yuan

WEB: Final = Path(__file__).resolve().parent / "web"
LANGUAGES: Final = ("zh", "en")
DEFAULT_LANGUAGE: Final = "zh"
HTML_LANG: Final[Mapping[str, str]] = {"zh": "zh-CN", "en": "en"}
_LOCALES: Final[Mapping[str, Locale]] = {"zh": Locale("zh", script="Hans"), "en": Locale("en")}
_DAY: Final[Mapping[str, str]] = {"zh": "M 月 d 日", "en": "d MMMM"}
_DAY_SHORT: Final[Mapping[str, str]] = {"zh": "M 月 d 日", "en": "d MMM"}
_DAY_FULL: Final[Mapping[str, str]] = {"zh": "y 年 M 月 d 日", "en": "d MMMM y"}
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_NBSP: Final = "\N{NO-BREAK SPACE}"


class MissingMessageError(OriginError):
    """A page asked for a message that its files do not hold."""

    code = "message_missing"


def choose_language(query: str | None, cookie: str | None, accept: str | None) -> str:
    """Return the language to answer in: asked for, remembered, preferred, or Chinese."""
    for wanted in (query, cookie):
        if wanted in LANGUAGES:
            return str(wanted)
    return next((lang for lang in _preferences(accept or "") if lang in LANGUAGES), DEFAULT_LANGUAGE)


def _preferences(header: str) -> Iterator[str]:
    weighed = []
    for position, item in enumerate(header.split(",")[:20]):
        tag, _, parameters = item.strip().partition(";")
        match = re.fullmatch(r"\s*q=([01](?:\.\d{1,3})?)\s*", parameters)
        weight = float(match[1]) if match else 1.0
        if weight > 0:
            weighed.append((-weight, position, tag.strip().lower().split("-")[0]))
    for _, _, tag in sorted(weighed):
        yield tag


@cache
def _catalogue(lang: str) -> Mapping[str, str]:
    messages: dict[str, str] = {}
    for path in sorted(WEB.glob(f"*/messages/{lang}.json")):
        messages.update(json.loads(path.read_text(encoding="utf-8")))
    return messages


def placeholders(message: str) -> set[str]:
    """Return the names a message wants filled in."""
    return set(_PLACEHOLDER.findall(message))


@dataclass(frozen=True, slots=True)
class Speech:
    """One language at one place: what a page says, and how it writes quantities and times."""

    lang: str
    zone: ZoneInfo

    def html(self, key: str, **params: object) -> Markup:
        """Return a message as HTML, its parameters escaped. Raises MissingMessageError."""
        return Markup(self._message(key, params)).format(**{k: escape(v) for k, v in params.items()})  # noqa: S704  # messages are ours; parameters are escaped

    def text(self, key: str, **params: object) -> str:
        """Return a message as plain text. Raises MissingMessageError."""
        return self._message(key, params).format(**params)

    def has(self, key: str) -> bool:
        """Return whether there is such a message."""
        return key in _catalogue(self.lang)

    def word(self, prefix: str, value: str) -> str:
        """Return the message `prefix.value`, or the value itself where the files do not know it."""
        key = f"{prefix}.{value}"
        return _catalogue(self.lang).get(key, value)

    def messages(self, prefix: str) -> dict[str, str]:
        """Return every message whose key starts with the prefix."""
        return {key: text for key, text in _catalogue(self.lang).items() if key.startswith(prefix)}

    def _message(self, key: str, params: Mapping[str, object]) -> str:
        catalogue = _catalogue(self.lang)
        if params.get("n") == 1 and f"{key}.one" in catalogue:
            return catalogue[f"{key}.one"]
        try:
            return catalogue[key]
        except KeyError as error:
            raise MissingMessageError(f"no message {key!r} in {self.lang}") from error

    # --- quantities ---

    def number(self, value: float, places: int | None = None) -> str:
        """Return `1,412`; with `places`, exactly that many decimals."""
        return _decimal(value, places, self.lang)

    def kg_number(self, mass_g: int) -> str:
        """Return `2.31` for 2310 g; grouped above a thousand kilograms."""
        whole, _, part = format_kilograms(mass_g).partition(".")
        return self.number(int(whole)) + (f".{part}" if part else "")

    def kg(self, mass_g: int) -> str:
        """Return `2.31 kg` for 2310 g."""
        return f"{self.kg_number(mass_g)}{_NBSP}kg"

    def grams(self, mass_g: int) -> str:
        """Return `192 g`."""
        return f"{self.number(mass_g)}{_NBSP}g"

    def yuan(self, price_fen: int) -> str:
        """Return `¥49.90` for 4990 fen."""
        return f"¥{format_yuan(price_fen)}"

    def area(self, square_metres: int) -> str:
        """Return an area as people say it: 亩 in Chinese, hectares in English."""
        if self.lang == "zh":
            return f"{self.number(half_up(square_metres * 3 / 2000, 1))}{_NBSP}亩"
        return f"{self.number(half_up(square_metres / 10_000, 2))}{_NBSP}ha"

    def span(self, minutes: float) -> str:
        """Return `1 小时 24 分` or `1 h 24 min` for 84 minutes, rounded down; days above two."""
        whole = math.floor(minutes)
        hours, rest = divmod(whole, 60)
        units = ("天", "小时", "分") if self.lang == "zh" else ("d", "h", "min")
        if hours >= 48:
            days, hours = divmod(hours, 24)
            parts = [(days, units[0]), (hours, units[1])]
        else:
            parts = [(hours, units[1]), (rest, units[2])]
        shown = [f"{value}{_NBSP}{unit}" for value, unit in parts if value]
        return _NBSP.join(shown) or f"0{_NBSP}{units[2]}"

    def celsius(self, degrees: float) -> str:
        """Return `13.2 °C`, tenths rounded halves up."""
        return f"{self.celsius_number(degrees)}{_NBSP}°C"

    def celsius_number(self, degrees: float) -> str:
        """Return `13.2`."""
        return self.number(half_up(degrees, 1))

    # --- times ---

    def local(self, moment: datetime) -> datetime:
        """Return the moment on the place's own clock."""
        return moment.astimezone(self.zone)

    def clock(self, moment: datetime) -> str:
        """Return `06:42`."""
        return f"{self.local(moment):%H:%M}"

    def day(self, moment: datetime | date) -> str:
        """Return `11 月 18 日` or `18 November`."""
        return self._date(moment, _DAY)

    def day_short(self, moment: datetime | date) -> str:
        """Return `11 月 18 日` or `18 Nov`."""
        return self._date(moment, _DAY_SHORT)

    def day_full(self, moment: datetime | date) -> str:
        """Return `2026 年 11 月 18 日` or `18 November 2026`."""
        return self._date(moment, _DAY_FULL)

    def moment(self, moment: datetime) -> str:
        """Return `11 月 18 日 06:42` or `18 Nov 06:42`."""
        return f"{self.day_short(moment)}{_NBSP}{self.clock(moment)}"

    def moment_full(self, moment: datetime) -> str:
        """Return `2026-11-18 06:42:04 +08:00`, for people who check."""
        local = self.local(moment)
        zone = f"{local:%z}"
        return f"{local:%Y-%m-%d %H:%M:%S} {zone[:3]}:{zone[3:]}"

    def _date(self, moment: datetime | date, patterns: Mapping[str, str]) -> str:
        if isinstance(moment, datetime):
            moment = self.local(moment).date()
        return babel_date(moment, format=patterns[self.lang], locale=_LOCALES[self.lang]).replace(" ", _NBSP)


def half_up(value: float, places: int) -> float:
    """Return the value rounded, halves up: the very arithmetic `consumer/static/facts.js` checks it with."""
    factor = 10.0**places
    return math.floor(value * factor + 0.5) / factor


@lru_cache(maxsize=8192)
def _decimal(value: float, places: int | None, lang: str) -> str:
    pattern = "#,##0.###" if places is None else "#,##0" + ("." + "0" * places if places else "")
    return format_decimal(value, format=pattern, locale=_LOCALES[lang])


def speech(lang: str, zone: str) -> Speech:
    """Return the speech of a language in a time zone."""
    return Speech(lang, ZoneInfo(zone))
