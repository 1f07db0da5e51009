"""Plots as PNG, drawn with Pillow: how a lot falls into classes, sizes and tiers."""

import io
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from grading.lot_report import Bar, LotReport

WIDTH: Final = 1200
_ROW: Final = 44
_LEFT: Final = 210
_RIGHT: Final = 330
_PAPER, _INK, _QUIET, _RULE, _FILL, _SPAN = "#fbfaf6", "#1c211b", "#5d665b", "#d9d6ca", "#5f8f4e", "#1c211b"


def lot_png(report: LotReport) -> bytes:
    """Return the report's three distributions as one PNG; whiskers are 95 % intervals. One report, one picture."""
    groups = [
        ("Classes", report.classes),
        ("Sizes", report.sizes),
        ("Tiers", tuple(tier.bar for tier in report.tiers)),
    ]
    rows = sum(len(bars) for _, bars in groups)
    image = Image.new("RGB", (WIDTH, 130 + rows * _ROW + len(groups) * 76), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((40, 34), f"Lot report {report.batch}", _INK, ImageFont.load_default(32))
    told = f"{report.fruits} fruit, {report.mass_g / 1000:.1f} kg seen, by {report.standard} {report.edition}"
    draw.text((40, 78), told, _QUIET, ImageFont.load_default(20))
    top = 130
    for title, bars in groups:
        draw.text((40, top + 14), title, _INK, ImageFont.load_default(24))
        top = _group(draw, bars, top + 58) + 18
    out = io.BytesIO()
    image.save(out, "PNG", optimize=False)
    return out.getvalue()


def _group(draw: ImageDraw.ImageDraw, bars: Sequence[Bar], top: int) -> int:
    font = ImageFont.load_default(20)
    reach = WIDTH - _LEFT - _RIGHT
    for bar in bars:
        middle = top + _ROW // 2
        draw.text((40, middle - 12), latin(bar), _INK, font)
        draw.line((_LEFT, top + _ROW - 6, _LEFT + reach, top + _ROW - 6), _RULE)
        draw.rectangle((_LEFT, middle - 11, _LEFT + round(reach * bar.share.value), middle + 11), _FILL)
        if bar.fruits:
            low, high = (_LEFT + round(reach * share) for share in (bar.share.low, bar.share.high))
            draw.line((low, middle, high, middle), _SPAN, 2)
            for x in (low, high):
                draw.line((x, middle - 6, x, middle + 6), _SPAN, 2)
        share = f"{bar.share.value:.0%} ({bar.share.low:.0%} to {bar.share.high:.0%})"
        draw.text((_LEFT + reach + 24, middle - 12), f"{bar.fruits}   {share}", _QUIET, font)
        top += _ROW
    return top


def latin(bar: Bar) -> str:
    """Return a bar's English name where its letters are ones that Pillow's own font has."""
    text = bar.title.en or bar.name
    return text if text.isascii() else {"小": "small", "大": "large"}.get(text, ascii(text))
