"""The lot report as a sheet, in either language: one layout in millimetres, drawn by two pens as PNG and as PDF.

The words are the pages' own messages; the letters come with this program (`orders.fonts`), so a sheet looks the same
on every machine. Where that font lacks a character of a text that somebody wrote (a standard of one's own), the
English text stands in; a character it lacks there too is written as a question mark, never as an empty box.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias

from PIL import Image, ImageDraw

from api.i18n import Speech
from grading.grade import DOUBTFUL
from grading.lot_report import Bar, LotReport, Lowered, Spread, TierBar, Tolerance
from grading.standard import CULL, Text
from ledger.kernel.ids import parse_digital_link
from orders.fonts import ANCHORS, BOLD, REGULAR, Align, sized, width_of

if TYPE_CHECKING:
    from fpdf import FPDF

WIDTH_MM: Final = 210.0
HEIGHT_MM: Final = 297.0
PNG_WIDTH: Final = 1240
"""Pixels: A4 at 150 dots an inch."""

_LEFT: Final = 18.0
_RIGHT: Final = WIDTH_MM - _LEFT
_ROOM: Final = _RIGHT - _LEFT
_BAR, _BAR_WIDE, _SHARE, _FRUIT, _MASS = _LEFT + 34, 53.0, _LEFT + 103, _LEFT + 132, _LEFT + 153
"""Where a row's bar begins and how wide it is; where share, fruit and mass end."""
_TOP, _FOOT = 16.0, 16.0
_MM_PER_POINT: Final = 25.4 / 72
_FINER: Final = 2
"""The PNG is drawn this many times larger and reduced, so that edges are smooth."""

_PAPER, _INK, _QUIET, _HAIRLINE, _RAIL = "#ffffff", "#1b2620", "#5b6a61", "#e6e2d6", "#efece2"
_MANGO, _MANGO_GROUND, _LEAF, _CLAY, _SLATE = "#e8890c", "#fff8ec", "#17704a", "#b3382c", "#52606d"
_SUN, _SUN_WASH = "#7a5300", "#fff4d6"


@dataclass(frozen=True, slots=True)
class _Words:
    x: float
    baseline: float
    points: float
    text: str
    ink: str = _INK
    is_bold: bool = False
    align: Align = "left"


@dataclass(frozen=True, slots=True)
class _Box:
    x: float
    y: float
    width: float
    height: float
    ink: str


@dataclass(frozen=True, slots=True)
class _Path:
    """A line through points, `width` millimetres thick."""

    points: tuple[tuple[float, float], ...]
    ink: str
    width: float


@dataclass(frozen=True, slots=True)
class _Tier:
    """A tier's mark: A filled, B half, C ring, anything else a square; with a letter where it has one."""

    x: float
    y: float
    tier: str


_Mark: TypeAlias = _Words | _Box | _Path | _Tier


@dataclass(frozen=True, slots=True)
class _Block:
    """Marks that stay together on a page, from their own top; `gap` is the room above unless a page begins."""

    height: float
    gap: float
    marks: tuple[_Mark, ...]


def lot_png(report: LotReport, speech: Speech, *, now: datetime, is_sample: bool = False) -> bytes:
    """Return the whole report as one PNG, as long as it needs; a closed batch gives the same bytes at any time."""
    placed: list[tuple[float, _Block]] = []
    height = _TOP
    for block in _blocks(report, speech, now=now, is_sample=is_sample):
        height += block.gap if placed else 0
        placed.append((height, block))
        height += block.height
    per_mm = PNG_WIDTH * _FINER / WIDTH_MM
    image = Image.new("RGB", (PNG_WIDTH * _FINER, round((height + _FOOT) * per_mm)), _PAPER)
    pen = ImageDraw.Draw(image)
    for top, block in placed:
        for mark in block.marks:
            _draw(pen, _lowered(mark, top), per_mm)
    out = io.BytesIO()
    image.resize((PNG_WIDTH, image.height // _FINER), Image.Resampling.LANCZOS).save(out, "PNG", dpi=(150, 150))
    return out.getvalue()


def lot_pdf(report: LotReport, speech: Speech, *, now: datetime, is_sample: bool = False) -> bytes:
    """Return the report as PDF on A4, as many pages as it needs, each with its number."""
    from fpdf import FPDF  # noqa: PLC0415  # it takes half a second, which no start should wait for

    pdf = FPDF(unit="mm", format="A4")
    pdf.set_creation_date(report.closed_at or now)
    pdf.set_auto_page_break(False)
    pdf.set_creator("Guoyuan")
    pdf.set_lang("zh-CN" if speech.lang == "zh" else "en")
    title = f"{speech.text('station.report.title')} {report.batch}"
    pdf.set_title(title)
    pdf.add_font("sheet", "", REGULAR)
    pdf.add_font("sheet", "B", BOLD)
    pages: list[list[tuple[float, _Block]]] = [[]]
    at = _TOP
    for block in _blocks(report, speech, now=now, is_sample=is_sample):
        at += block.gap if pages[-1] else 0
        if pages[-1] and at + block.height > HEIGHT_MM - _FOOT:
            pages.append([])
            at = _TOP
        pages[-1].append((at, block))
        at += block.height
    for number, page in enumerate(pages, 1):
        pdf.add_page()
        for top, block in page:
            for mark in block.marks:
                _print(pdf, _lowered(mark, top))
        if len(pages) > 1:
            _print(pdf, _Words(_LEFT, HEIGHT_MM - 8, 8, title, _QUIET))
            _print(pdf, _Words(_RIGHT, HEIGHT_MM - 8, 8, f"{number} / {len(pages)}", _QUIET, align="right"))
    return bytes(pdf.output())


# --- the layout -------------------------------------------------------------------------------------


def _blocks(report: LotReport, speech: Speech, *, now: datetime, is_sample: bool) -> Iterator[_Block]:
    sheet = _Sheet(speech)
    yield sheet.head(report, now=now, is_sample=is_sample)
    yield sheet.sums(report)
    if not report.fruits:
        yield _Block(8, 8, (_Words(_LEFT, 5, 12, sheet.say("none"), _QUIET),))
    else:
        yield from sheet.tiers(report.tiers)
        if report.near.fruits:
            yield sheet.near(report.near)
        yield from sheet.tolerances(report.tolerances)
        if report.spread.bins:
            yield sheet.spread(report.spread)
        yield sheet.pair(report.classes, report.sizes)
    yield sheet.truth()


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The parts of a sheet in one language."""

    speech: Speech

    def say(self, key: str, **facts: object) -> str:
        return self.speech.text(f"station.report.{key}", **facts)

    def said(self, text: Text) -> str:
        own = text.zh if self.speech.lang == "zh" else text.en
        return own if _has_all(own) else text.en

    def head(self, report: LotReport, *, now: datetime, is_sample: bool) -> _Block:
        lot = parse_digital_link(report.lot).values["10"]
        if report.closed_at is None:
            state, ink = f"{self.say('open')} {self.speech.moment(now)}", _SUN
        else:
            state, ink = f"{self.say('closed')} {self.speech.moment(report.closed_at)}", _QUIET
        marks: list[_Mark] = [
            _Words(_LEFT, 3, 9, "果源 Guoyuan", _QUIET),
            _Words(_LEFT, 15, 24, self.say("title"), is_bold=True),
            _Words(_RIGHT, 15, 15, report.batch, is_bold=True, align="right"),
        ]
        rows = (
            (self.say("lot"), lot),
            (self.say("standard"), f"{self.said(report.title)} · {report.standard} {report.edition}"),
            (self.say("prices"), report.price_book),
        )
        left = _LEFT + max(_wide(name, 9) for name, _ in rows) + 4
        for row, (name, value) in enumerate(rows):
            marks += [
                _Words(_LEFT, 23 + 5.2 * row, 9, name, _QUIET),
                _fit(left, 23 + 5.2 * row, 9, value, _RIGHT - left),
            ]
        if report.closed_at is None:
            marks.append(_Box(_LEFT, 36.4, _wide(state, 9) + 6, 7, _SUN_WASH))
        marks.append(_Words(_LEFT + (0 if report.closed_at else 3), 41.2, 9, state, ink))
        if is_sample:
            text = self.say("sample")
            marks.append(_Box(_RIGHT - _wide(text, 9) - 6, -1.6, _wide(text, 9) + 6, 6.6, _SUN_WASH))
            marks.append(_Words(_RIGHT - 3, 3, 9, text, _SUN, align="right"))
        return _Block(44, 0, tuple(marks))

    def sums(self, report: LotReport) -> _Block:
        told = (
            ("fruits", self.speech.number(report.fruits)),
            ("seen", self.speech.kg(report.mass_g)),
            ("received", self.speech.kg(report.received_g)),
            ("value", self.speech.yuan(report.value_fen)),
            ("judged", self.speech.number(report.judged)),
            ("waiting", self.speech.number(report.doubtful)),
        )
        marks: list[_Mark] = [_Box(_LEFT, 0, _ROOM, 0.25, _HAIRLINE), _Box(_LEFT, 17, _ROOM, 0.25, _HAIRLINE)]
        for at, (key, value) in enumerate(told):
            x, room = _LEFT + _ROOM * at / len(told), _ROOM / len(told) - 3
            waits = key == "waiting" and report.doubtful > 0
            marks.append(_fit(x, 9, 14, value, room, is_bold=True, ink=_SUN if waits else _INK))
            marks.append(_fit(x, 14, 8, self.say(key), room, ink=_QUIET))
        return _Block(17.3, 4, tuple(marks))

    def tiers(self, tiers: Sequence[TierBar]) -> Iterator[_Block]:
        """Yield the mix: each tier's share as a bar, its 95 % interval as a whisker."""
        title = self._title("tiers", "tiers_how", room=_ROOM - 70)
        heads = [
            _Words(x, title.height - 1.2, 8, self.say(key), _QUIET, align="right")
            for x, key in ((_FRUIT, "n"), (_MASS, "mass"), (_RIGHT, "sum"))
        ]
        title = replace(title, marks=(*title.marks, *heads))
        for row, tier in enumerate(tiers):
            made = _Block(8.6, 0, tuple(self._tier(tier)))
            yield made if row else _under(title, made)

    def near(self, near: Lowered) -> _Block:
        told = self.say("near_note", n=self.speech.number(near.fruits), sum=self.speech.yuan(near.value_fen))
        return _Block(5, 1, (_fit(_LEFT + 8.4, 3.6, 8.5, told, _ROOM - 8.4, ink=_QUIET),))

    def _tier(self, tier: TierBar) -> Iterator[_Mark]:
        bar = tier.bar
        ink, is_tier = _INK if bar.fruits else _QUIET, bar.name not in {CULL, DOUBTFUL}
        name = self.speech.word("station.js.tier", bar.name) if is_tier else self.said(bar.title)
        yield _Tier(_LEFT, 1.4, bar.name)
        yield _fit(_LEFT + 8.4, 5.7, 10, name, _BAR - _LEFT - 10, is_bold=True, ink=ink)
        yield from _share(_BAR, 4.2, _BAR_WIDE, bar, _MANGO if is_tier else _SLATE)
        yield _Words(_SHARE, 5.7, 10, _percent(bar.share.value), ink, is_bold=True, align="right")
        yield _Words(_SHARE + 2, 5.7, 9, _between(bar), _QUIET)
        yield _Words(_FRUIT, 5.7, 10, self.speech.number(bar.fruits), ink, align="right")
        yield _Words(_MASS, 5.7, 10, self.speech.kg(bar.mass_g), ink, align="right")
        yield _Words(_RIGHT, 5.7, 10, self.speech.yuan(tier.value_fen), ink, align="right")

    def tolerances(self, tolerances: Sequence[Tolerance]) -> Iterator[_Block]:
        """Yield, by tier, what missed its class or size against what the standard allows."""
        if not tolerances:
            return
        title = self._title("tolerances", "tolerances_how")
        for row, each in enumerate(tolerances):
            made = _Block(11.8, 0, tuple(self._tolerance(each)))
            yield made if row else _under(title, made)

    def _tolerance(self, each: Tolerance) -> Iterator[_Mark]:
        counted = {"number": each.number_permille, "mass": each.mass_permille}.get(
            each.by, max(each.number_permille, each.mass_permille)
        )
        reach = max(2 * each.allowed_permille, round(1.15 * counted), 1)
        ink = _LEAF if each.is_met else _CLAY
        yield _Tier(_LEFT, 1.6, each.tier)
        yield _fit(_LEFT + 8.4, 5.9, 10, self.say(f"kind_{each.kind}"), _BAR - _LEFT - 10, is_bold=True)
        yield _Box(_BAR, 2.9, _BAR_WIDE, 3, _RAIL)
        yield _Box(_BAR, 2.9, _BAR_WIDE * min(1, counted / reach), 3, ink)
        at = _BAR + _BAR_WIDE * each.allowed_permille / reach
        yield _Box(at - 0.25, 1.6, 0.5, 5.6, _INK)
        yield _Words(_SHARE, 5.9, 10, _permille(counted), ink, is_bold=True, align="right")
        yield _Words(_SHARE + 2, 5.9, 9, f"/ {_permille(each.allowed_permille)}", _QUIET)
        by = self.say(
            "tolerance_by",
            missed=each.missed,
            n=self.speech.number(each.fruits),
            number=_permille(each.number_permille),
            mass=_permille(each.mass_permille),
        )
        yield _fit(_LEFT + 8.4, 10.3, 8, by, _ROOM - 8.4, ink=_QUIET)
        word = self.say("met" if each.is_met else "not_met")
        x = _RIGHT - _wide(word, 10, is_bold=not each.is_met) - 6
        yield (
            _Path(((x, 4.4), (x + 1.5, 5.9), (x + 4.2, 2.6)), ink, 0.5)
            if each.is_met
            else _Path(((x + 0.4, 2.7), (x + 3.6, 5.9)), ink, 0.5)
        )
        if not each.is_met:
            yield _Path(((x + 3.6, 2.7), (x + 0.4, 5.9)), ink, 0.5)
        yield _Words(_RIGHT, 5.9, 10, word, ink, is_bold=not each.is_met, align="right")

    def spread(self, spread: Spread) -> _Block:
        """Return the histogram of what was measured, with the standard's sizes as dashed lines across it."""
        top, floor, unit = 15.0, 53.0, spread.of.rpartition("_")[2]
        marks: list[_Mark] = [*self._title(f"spread_{spread.of}").marks]
        starts = [each for each in spread.sizes if spread.bins[0].at < each.at <= spread.bins[-1].at]
        wide = min(14.0, (_ROOM - 8) / len(spread.bins))
        most = max(each.fruits for each in spread.bins)
        for at, each in enumerate(spread.bins):
            tall = (floor - top) * each.fruits / most
            if each.fruits:
                marks.append(_Box(_LEFT + at * wide, floor - tall, wide - min(0.6, wide / 8), tall, _MANGO))
                marks.append(
                    _Words(_LEFT + (at + 0.5) * wide, floor - tall - 1, 7, str(each.fruits), _QUIET, align="middle")
                )
        marks.append(_Box(_LEFT, floor, wide * len(spread.bins), 0.25, _INK))
        every = -(-len(spread.bins) // 12)
        for at, each in enumerate(spread.bins):
            if at % every == 0 and len(spread.bins) - at >= every:
                marks.append(_Words(_LEFT + at * wide, floor + 4, 8, str(each.at), _QUIET, align="middle"))
        end = f"{spread.bins[-1].at + spread.step} {unit}"
        marks.append(_Words(_LEFT + len(spread.bins) * wide - 2.5, floor + 4, 8, end, _QUIET))
        named = 0.0
        for start in starts:
            x = _LEFT + (start.at - spread.bins[0].at) / spread.step * wide
            marks += [_Path(((x, y), (x, y + 1.2)), _INK, 0.25) for y in _steps(top - 6, floor, 2.4)]
            if x > named:
                marks.append(_Words(x + 1.2, top - 3.6, 9, start.code, is_bold=True))
                named = x + 3 + _wide(start.code, 9, is_bold=True)
        return _Block(59, 6, tuple(marks))

    def pair(self, classes: Sequence[Bar], sizes: Sequence[Bar]) -> _Block:
        """Return classes on the left and sizes on the right."""
        half = (_ROOM - 10) / 2
        marks: list[_Mark] = []
        for x, key, bars in ((_LEFT, "classes", classes), (_LEFT + half + 10, "sizes", sizes)):
            marks.append(_Words(x, 6, 14, self.say(key), is_bold=True))
            names = max(_wide(self.said(bar.title), 9) for bar in bars) + 4
            names = min(names, half * 0.4)
            for row, bar in enumerate(bars):
                y = 10 + 7.4 * row
                ink = _INK if bar.fruits else _QUIET
                marks += [
                    _fit(x, y + 4.6, 9, self.said(bar.title), names - 2, ink=ink),
                    *_share(x + names, y + 3.3, half - names - 32, bar, _LEAF),
                    _Words(x + half - 19, y + 4.6, 9, _percent(bar.share.value), ink, is_bold=True, align="right"),
                    _Words(x + half, y + 4.6, 8, _between(bar), _QUIET, align="right"),
                ]
        return _Block(10 + 7.4 * max(len(classes), len(sizes)), 6, tuple(marks))

    def truth(self) -> _Block:
        lines = _wrapped(self.say("truth"), 9, _ROOM - 5)
        marks: list[_Mark] = [_Box(_LEFT, 0, 1, 5 * len(lines) + 1, _SLATE)]
        marks += [_Words(_LEFT + 5, 4 + 5 * row, 9, line) for row, line in enumerate(lines)]
        return _Block(5 * len(lines) + 1, 7, tuple(marks))

    def _title(self, key: str, how: str = "", *, room: float = _ROOM) -> _Block:
        marks: list[_Mark] = [_Words(_LEFT, 6, 14, self.say(key), is_bold=True)]
        lines = _wrapped(self.say(how), 8.5, room) if how else []
        marks += [_Words(_LEFT, 11 + 4.2 * row, 8.5, line, _QUIET) for row, line in enumerate(lines)]
        return _Block(9 + 4.2 * len(lines), 6, tuple(marks))


def _under(title: _Block, block: _Block) -> _Block:
    """Return a heading and what it stands over as one, so that no page ends between them."""
    return _Block(
        title.height + block.height, title.gap, (*title.marks, *(_lowered(mark, title.height) for mark in block.marks))
    )


def _share(x: float, middle: float, width: float, bar: Bar, ink: str) -> Iterator[_Mark]:
    yield _Box(x, middle - 1.5, width, 3, _RAIL)
    if bar.fruits:
        yield _Box(x, middle - 1.5, width * bar.share.value, 3, ink)
    low, high = x + width * bar.share.low, x + width * bar.share.high
    yield _Path(((low, middle), (high, middle)), _INK, 0.35)
    for end in (low, high):
        yield _Path(((end, middle - 1), (end, middle + 1)), _INK, 0.35)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _between(bar: Bar) -> str:
    return f"{100 * bar.share.low:.0f}–{100 * bar.share.high:.0f}%"  # noqa: RUF001  # an interval's dash


def _permille(permille: int) -> str:
    return f"{permille / 10:.1f}%"


def _steps(start: float, end: float, step: float) -> Iterator[float]:
    while start < end:
        yield start
        start += step


# --- letters ----------------------------------------------------------------------------------------


@cache
def _characters(*, is_bold: bool) -> frozenset[int]:
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]  # noqa: PLC0415  # has none; slow to load

    with TTFont(BOLD if is_bold else REGULAR, lazy=True) as font:
        return frozenset(font.getBestCmap())


def _has_all(text: str, *, is_bold: bool = False) -> bool:
    return all(ord(character) in _characters(is_bold=is_bold) for character in text.replace("\N{NO-BREAK SPACE}", " "))


def _written(text: str) -> str:
    plain = text.replace("\N{NO-BREAK SPACE}", " ")
    return "".join(each if ord(each) in _characters(is_bold=False) else "?" for each in plain)


def _wide(text: str, points: float, *, is_bold: bool = False) -> float:
    """Return a text's width in millimetres."""
    return width_of(_written(text), points * _MM_PER_POINT, is_bold=is_bold)


def _fit(
    x: float, baseline: float, points: float, text: str, room: float, *, is_bold: bool = False, ink: str = _INK
) -> _Words:
    """Return the text, smaller where it would be wider than its room."""
    wide = _wide(text, points, is_bold=is_bold)
    return _Words(x, baseline, points if wide <= room else points * room / wide, text, ink, is_bold)


def _wrapped(text: str, points: float, room: float) -> list[str]:
    """Return the text in lines: broken at spaces, and between Chinese characters, never before a mark."""
    lines, line, word = [], "", ""
    for character in [*text, " "]:
        is_chinese = character > "\u2e7f" and character not in "，。；：、！？）”"  # noqa: RUF001  # full-width on purpose
        if character == " " or is_chinese:
            if line and _wide((line + word).rstrip(), points) > room:
                lines.append(line.rstrip())
                line = ""
            line, word = (line + word).lstrip(), ""
        word += character
    if line and _wide(line + word.rstrip(), points) > room:
        lines.append(line.rstrip())
        line = ""
    return [*lines, (line + word).strip()]


# --- the pens ---------------------------------------------------------------------------------------


def _lowered(mark: _Mark, by: float) -> _Mark:
    if isinstance(mark, _Words):
        return replace(mark, baseline=mark.baseline + by, text=_written(mark.text))
    if isinstance(mark, _Path):
        return replace(mark, points=tuple((x, y + by) for x, y in mark.points))
    return replace(mark, y=mark.y + by)


_TIER_MM: Final = 6.0
_RING_MM: Final = 0.55


def _is_square(tier: str) -> bool:
    return len(tier) > 1


def _letter(mark: _Tier) -> _Words:
    letter = {CULL: "×", DOUBTFUL: "?"}.get(mark.tier, "" if _is_square(mark.tier) else mark.tier)  # noqa: RUF001  # a cross
    return _Words(mark.x + _TIER_MM / 2, mark.y + 4.2, 9.5, letter, _INK, is_bold=True, align="middle")


def _draw(pen: ImageDraw.ImageDraw, mark: _Mark, per_mm: float) -> None:
    if isinstance(mark, _Words):
        bold = mark.is_bold and _has_all(mark.text, is_bold=True)
        font = sized(max(1, round(mark.points * _MM_PER_POINT * per_mm)), is_bold=bold)
        at = (mark.x * per_mm, mark.baseline * per_mm)
        pen.text(at, mark.text, fill=mark.ink, font=font, anchor=ANCHORS[mark.align])
    elif isinstance(mark, _Box):
        if mark.width > 0 and mark.height > 0:
            left, top = round(mark.x * per_mm), round(mark.y * per_mm)
            right, low = round((mark.x + mark.width) * per_mm), round((mark.y + mark.height) * per_mm)
            pen.rectangle((left, top, max(left, right - 1), max(top, low - 1)), fill=mark.ink)
    elif isinstance(mark, _Path):
        points = [(x * per_mm, y * per_mm) for x, y in mark.points]
        pen.line(points, fill=mark.ink, width=max(1, round(mark.width * per_mm)), joint="curve")
    else:
        _draw_tier(pen, mark, per_mm)


def _draw_tier(pen: ImageDraw.ImageDraw, mark: _Tier, per_mm: float) -> None:
    box = tuple(round(each * per_mm) for each in (mark.x, mark.y, mark.x + _TIER_MM, mark.y + _TIER_MM))
    edge = max(1, round(_RING_MM * per_mm))
    if _is_square(mark.tier):
        pen.rounded_rectangle(box, round(per_mm), fill=_PAPER, outline=_SLATE, width=edge)
    else:
        pen.ellipse(box, fill=_MANGO if mark.tier == "A" else _MANGO_GROUND, outline=_MANGO, width=edge)
        if mark.tier == "B":
            pen.chord(box, 0, 180, fill=_MANGO)
    _draw(pen, _letter(mark), per_mm)


def _print(pdf: "FPDF", mark: _Mark) -> None:
    if isinstance(mark, _Words):
        pdf.set_font("sheet", "B" if mark.is_bold and _has_all(mark.text, is_bold=True) else "", mark.points)
        pdf.set_text_color(mark.ink)
        width = pdf.get_string_width(mark.text)
        shift = {"left": 0.0, "right": width, "middle": width / 2}[mark.align]
        pdf.text(mark.x - shift, mark.baseline, mark.text)
    elif isinstance(mark, _Box):
        pdf.set_fill_color(mark.ink)
        pdf.rect(mark.x, mark.y, mark.width, mark.height, style="F")
    elif isinstance(mark, _Path):
        pdf.set_draw_color(mark.ink)
        pdf.set_line_width(mark.width)
        pdf.polyline(mark.points)
    else:
        _print_tier(pdf, mark)


def _print_tier(pdf: "FPDF", mark: _Tier) -> None:
    inner, size = (mark.x + _RING_MM / 2, mark.y + _RING_MM / 2), _TIER_MM - _RING_MM
    pdf.set_line_width(_RING_MM)
    if _is_square(mark.tier):
        pdf.set_draw_color(_SLATE)
        pdf.set_fill_color(_PAPER)
        pdf.rect(*inner, size, size, style="DF", round_corners=True, corner_radius=1)
    else:
        pdf.set_draw_color(_MANGO)
        pdf.set_fill_color(_MANGO if mark.tier == "A" else _MANGO_GROUND)
        pdf.ellipse(*inner, size, size, style="DF")
        if mark.tier == "B":
            pdf.set_fill_color(_MANGO)
            pdf.solid_arc(*inner, a=size, b=size, start_angle=180, end_angle=360, style="F")
    _print(pdf, _letter(mark))
