"""The lot report as a sheet: both languages really written, nothing outside the page, the same bytes again."""

import io
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from api import lot_sheet
from api.i18n import WEB, Speech, speech
from api.lot_sheet import HEIGHT_MM, PNG_WIDTH, WIDTH_MM, lot_pdf, lot_png
from grading.agreement import Interval, wilson
from grading.lot_report import Bar, Bin, LotReport, Lowered, SizeStart, Spread, TierBar, Tolerance
from grading.standard import Text, shipped_standards, standard_for
from orders.fonts.build import REPORT

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
ZH, EN = speech("zh", "Asia/Shanghai"), speech("en", "Asia/Shanghai")


def bar(name: str, zh: str, en: str, fruits: int, of: int) -> Bar:
    share = wilson(fruits, of) if of else Interval(0.0, 0.0, 1.0)
    return Bar(name, Text(zh, en), fruits, fruits * 330, share)


def report(fruits: int = 5218, *, sizes: Sequence[str] = ("A", "B", "C", "C+"), is_closed: bool = True) -> LotReport:
    """A lot of mangoes, one of whose tolerances is not kept."""
    half, rest = fruits // 2, fruits - fruits // 2
    tiers = (("A", "A", "A", half), ("B", "B", "B", rest), ("cull", "等外品", "cull", 0))
    tolerances = (
        Tolerance("A", "extra", "class", half, 75, 24_000, 32, 30, 50, "either", True),
        Tolerance("B", "class-1", "size", rest, 310, 99_000, 119, 121, 100, "either", False),
    )
    return LotReport(
        batch="GR261122-0001",
        lot="https://id.gs1.org/01/06901234000016/10/H261122-7",
        standard="mango-codex-184",
        edition="stan-184-1993-amd-2005",
        title=Text("芒果 · 食品法典 184-1993", "Mangoes, Codex Stan 184-1993"),
        price_book="tiers-sample",
        is_closed=is_closed,
        opened_at=NOW - timedelta(hours=3),
        closed_at=NOW - timedelta(hours=1) if is_closed else None,
        fruits=fruits,
        doubtful=0,
        judged=112,
        mass_g=fruits * 330,
        received_g=fruits * 331,
        value_fen=fruits * 690,
        classes=(bar("extra", "特级", "Extra", half, fruits), bar("none", "无等级", "no class", rest, fruits)),
        sizes=tuple(bar(code, code, code, fruits // len(sizes), fruits) for code in sizes),
        tiers=tuple(TierBar(bar(*tier, fruits), tier[3] * 690) for tier in tiers),
        tolerances=tolerances if fruits else (),
        near=Lowered(fruits // 10, fruits * 12),
        spread=Spread(
            "mass_g",
            25,
            tuple(Bin(200 + 25 * at, min(at, 24 - at)) for at in range(24)) if fruits else (),
            (SizeStart("A", 200), SizeStart("B", 351), SizeStart("C", 551)),
        ),
    )


def text_of(pdf: bytes, folder: Path) -> str:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler-utils) is not installed")
    (folder / "sheet.pdf").write_bytes(pdf)
    command = ["pdftotext", "-layout", "sheet.pdf", "-"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def closed_up(text: str) -> str:
    """The text without its spaces: between two scripts a reader of PDF finds some that nobody wrote."""
    return "".join(text.split())


@pytest.mark.parametrize(
    ("spoken", "wanted", "unwanted"),
    [
        (
            ZH,
            ["批次报告", "已结束 11 月 22 日 17:00", "芒果 · 食品法典", "A 果", "等外品", "符合", "超出", "估重分布",
             "2,609 果中 310 果不合格", "尚未与检验员的判定核对", "521 果离界限太近",
             "示例", "H261122-7", "¥36004.20"],
            ["Lot report", "Mangoes", "not met"],
        ),
        (
            EN,
            ["Lot report", "closed 22 Nov 17:00", "Mangoes, Codex Stan", "Tier A", "cull", "not met", "SAMPLE",
             "310 of 2,609 fruit missed", "they would have brought ¥626.16 more",
             "have not been checked against inspectors", "Fruit by estimated mass"],
            ["批次", "芒果", "示例"],
        ),
    ],
    ids=["zh", "en"],
)  # fmt: skip
def test_the_pdf_says_in_its_language_what_the_lot_came_to(
    tmp_path: Path, spoken: Speech, wanted: list[str], unwanted: list[str]
) -> None:
    said = text_of(lot_pdf(report(), spoken, now=NOW, is_sample=True), tmp_path)
    assert [text for text in wanted if closed_up(text) not in closed_up(said)] == []
    assert [text for text in unwanted if closed_up(text) in closed_up(said)] == []
    assert "?" not in said, "every character has its letter"


def test_every_word_of_a_sheet_has_its_letters_and_headings_are_bold_in_both_languages() -> None:
    missing = {}
    for lang in ("zh", "en"):
        told = json.loads((WEB / "station" / "messages" / f"{lang}.json").read_text(encoding="utf-8"))
        missing |= {
            f"{lang} {key}": text
            for key, text in told.items()
            if key.startswith(("station.report.", "station.js.tier.")) and not lot_sheet._has_all(text)
        }
        headings = [f"station.report.{key}" for key in ("title", "tiers", "tolerances", "classes", "sizes", "not_met")]
        assert all(lot_sheet._has_all(told[key], is_bold=True) for key in headings)
    for crop in shipped_standards():
        content = standard_for(crop).content
        for text in (content.title, *(quality.name for quality in content.classes)):
            missing |= {each: each for each in (text.zh, text.en) if not lot_sheet._has_all(each)}
    assert missing == {}
    assert lot_sheet._has_all(REPORT, is_bold=True)


def test_a_text_with_a_character_that_the_font_lacks_is_told_in_english_and_never_as_an_empty_box(
    tmp_path: Path,
) -> None:
    rare = replace(report(), title=Text("龘果 · 自订", "Own fruit"), price_book="价龘")
    said = text_of(lot_pdf(rare, ZH, now=NOW), tmp_path)
    assert "Own fruit" in said
    assert "龘" not in said
    assert "价?" in said


@pytest.mark.parametrize("spoken", [ZH, EN], ids=["zh", "en"])
@pytest.mark.parametrize(
    "lot",
    [report(), report(12, is_closed=False), report(0, is_closed=False), report(sizes=[str(n) for n in range(30)])],
    ids=["large", "open", "empty", "thirty sizes"],
)
def test_nothing_of_a_sheet_lies_outside_its_page_and_no_block_is_higher_than_one(
    spoken: Speech, lot: LotReport
) -> None:
    for block in lot_sheet._blocks(lot, spoken, now=NOW, is_sample=True):
        assert block.height < HEIGHT_MM - 32
        for mark in block.marks:
            if isinstance(mark, lot_sheet._Words):
                bold = mark.is_bold and lot_sheet._has_all(mark.text, is_bold=True)
                wide = lot_sheet._wide(mark.text, mark.points, is_bold=bold)
                left = mark.x - {"left": 0.0, "right": wide, "middle": wide / 2}[mark.align]
                assert left > 12, mark
                assert left + wide < WIDTH_MM - 12, mark
            elif isinstance(mark, lot_sheet._Box):
                assert mark.x >= 17.9, mark
                assert mark.x + mark.width <= WIDTH_MM - 17.9, mark


def test_a_closed_lot_gives_the_same_sheet_at_any_time_and_each_language_its_own() -> None:
    lot, later = report(), NOW + timedelta(days=9)
    assert lot_png(lot, ZH, now=NOW) == lot_png(lot, ZH, now=later)
    assert lot_pdf(lot, ZH, now=NOW) == lot_pdf(lot, ZH, now=later)
    assert lot_png(lot, ZH, now=NOW) != lot_png(lot, EN, now=NOW)
    with Image.open(io.BytesIO(lot_png(lot, ZH, now=NOW))) as picture:
        assert picture.width == PNG_WIDTH


def test_a_long_report_goes_on_overleaf_and_pages_are_numbered(tmp_path: Path) -> None:
    pages = text_of(lot_pdf(report(sizes=[str(n) for n in range(20)]), EN, now=NOW), tmp_path).split("\f")[:-1]
    assert len(pages) >= 2
    assert all(f"{at}/{len(pages)}" in closed_up(page) for at, page in enumerate(pages, 1))
    assert "1/1" not in closed_up(text_of(lot_pdf(report(0, is_closed=False), EN, now=NOW), tmp_path))
