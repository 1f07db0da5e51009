"""Pack labels: 50 x 70 mm, with a GS1 Digital Link as QR code, as PNG (300 dpi) and as PDF.

One layout, two pens. The layout is a list of marks in millimetres; a pen only knows how to draw them.
Tiers carry a letter and a shape, so that neither colour nor ink density tells them apart.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import qrcode  # type: ignore[import-untyped]  # has none
from PIL import Image, ImageDraw
from qrcode.constants import ERROR_CORRECT_M  # type: ignore[import-untyped]  # has none
from sqlmodel import Session

from ledger.kernel.ids import DigitalLink
from ledger.kernel.quantities import format_kilograms
from orders.fonts import ANCHORS, BOLD, REGULAR, Align, sized, width_of
from orders.models import Certificate, GradedLot
from orders.packing import pack_of
from orders.products import product
from orders.tiers import Tier

if TYPE_CHECKING:
    from fpdf import FPDF

WIDTH_MM: Final = 50.0
HEIGHT_MM: Final = 70.0
DOTS_PER_MM: Final = 300 / 25.4

_QUIET_MODULES: Final = 4
_QR_ROOM_MM: Final = 31.0
_MARGIN_MM: Final = 3.0
_POINTS_PER_MM: Final = 72 / 25.4

_CROPS: Final = {
    "mango": ("芒果", "Mango"),
    "mangifera indica": ("芒果", "Mango"),
    "litchi": ("荔枝", "Litchi"),
    "longan": ("龙眼", "Longan"),
    "orange": ("橙", "Orange"),
    "apple": ("苹果", "Apple"),
    "pear": ("梨", "Pear"),
    "peach": ("桃", "Peach"),
    "tomato": ("番茄", "Tomato"),
}


@dataclass(frozen=True, slots=True)
class Label:
    """What stands on one pack's label."""

    crop: str
    variety: str
    tier: Tier
    nominal_mass_g: int
    mass_g: int
    gtin: str
    lot: str
    serial: str
    packed_on: str
    best_before: str
    link: str
    certificate: str | None
    is_sample: bool


def label_for(session: Session, gtin: str, serial: str, *, public_url: str, is_sample: bool) -> Label:
    """Return the label of a closed pack. Raises NotFoundError: an unpacked code has no label to print."""
    pack = pack_of(session, gtin, serial)
    lot = session.get_one(GradedLot, pack.graded_lot_id)
    packed_as = product(session, pack.gtin)
    certificate = None if lot.certificate_id is None else session.get_one(Certificate, lot.certificate_id)
    link = DigitalLink(("01", pack.gtin), (("10", lot.number), ("21", pack.serial)))
    return Label(
        crop=packed_as.crop,
        variety=packed_as.variety,
        tier=Tier(lot.tier),
        nominal_mass_g=packed_as.nominal_mass_g,
        mass_g=pack.mass_g,
        gtin=pack.gtin,
        lot=lot.number,
        serial=pack.serial,
        packed_on=pack.packed_on,
        best_before=pack.best_before,
        link=link.uri(public_url),
        certificate=None if certificate is None else certificate.ref,
        is_sample=is_sample,
    )


def render_png(label: Label) -> bytes:
    """Return the label as a black and white PNG at 300 dpi."""
    size = (round(WIDTH_MM * DOTS_PER_MM), round(HEIGHT_MM * DOTS_PER_MM))
    image = Image.new("L", size, 255)
    pen = ImageDraw.Draw(image)
    for mark in _layout(label):
        _draw(pen, mark)
    out = io.BytesIO()
    image.save(out, "PNG", dpi=(300, 300), optimize=True)
    return out.getvalue()


def render_pdf(label: Label) -> bytes:
    """Return the label as a one-page PDF of its own size; the same label gives the same bytes."""
    from fpdf import FPDF  # noqa: PLC0415  # it takes half a second, which no start should wait for

    pdf = FPDF(unit="mm", format=(WIDTH_MM, HEIGHT_MM))
    pdf.set_creation_date(datetime.combine(date.fromisoformat(label.packed_on), time(), tzinfo=UTC))
    pdf.set_auto_page_break(False)
    pdf.set_title(f"(01){label.gtin}(21){label.serial}")
    pdf.add_font("label", "", REGULAR)
    pdf.add_font("label", "B", BOLD)
    pdf.add_page()
    for mark in _layout(label):
        _print(pdf, mark)
    return bytes(pdf.output())


# --- the layout -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Text:
    x: float
    baseline: float
    size: float
    text: str
    is_bold: bool = False
    align: Align = "left"
    ink: int = 0


@dataclass(frozen=True, slots=True)
class _Box:
    x: float
    y: float
    width: float
    height: float
    ink: int = 0


@dataclass(frozen=True, slots=True)
class _Shape:
    """A tier's shape: a filled circle, one filled in its left half, or a ring."""

    x: float
    y: float
    diameter: float
    kind: Literal["full", "half", "ring"]


_Mark: TypeAlias = _Text | _Box | _Shape

_TIER_SHAPES: Final[dict[Tier, Literal["full", "half", "ring"]]] = {Tier.A: "full", Tier.B: "half", Tier.C: "ring"}


def _layout(label: Label) -> Iterator[_Mark]:
    right, left = WIDTH_MM - _MARGIN_MM, _MARGIN_MM
    # The bold cut holds the crops named here; any other name is set in the regular one.
    chinese, english = _CROPS.get(label.crop.lower(), (label.crop, ""))
    yield _Text(left, 5.6, 2.9, "果源 Guoyuan", is_bold=True)
    yield _Text(right, 5.6, 2.3, "产地直供", align="right")
    yield _Box(left, 7.0, right - left, 0.3)

    yield from _fit(left, 13.6, 5.8, chinese, room=24.0, is_bold=bool(english))
    yield from _fit(left, 17.4, 3.1, f"{english} · {label.variety}".strip(" ·"), room=27.0)
    yield _Text(left, 22.6, 3.9, f"净含量 {format_kilograms(label.nominal_mass_g)} kg", is_bold=True)
    yield _Text(left, 25.7, 2.2, f"实测 measured {format_kilograms(label.mass_g)} kg")

    yield _Shape(right - 15.6, 9.6, 6.4, _TIER_SHAPES.get(label.tier, "ring"))
    yield _Text(right, 16.4, 9.6, label.tier.value, is_bold=True, align="right")
    yield _Text(right, 20.4, 2.5, "等级 Tier", align="right")

    yield from _qr(label.link, top=27.4)
    column = left + _QR_ROOM_MM - 2.2
    for row, (name, value) in enumerate(
        (("包装日期 Packed", label.packed_on), ("最佳食用 Best before", label.best_before))
    ):
        yield from _fit(column, 31.6 + row * 7.4, 1.9, name, room=right - column)
        yield from _fit(column, 34.7 + row * 7.4, 2.7, value, room=right - column, is_bold=True)
    yield from _fit(column, 46.4, 1.9, "扫码看全程", room=right - column)
    yield from _fit(column, 48.9, 1.9, "Scan to check", room=right - column)
    if label.certificate is not None:
        yield from _fit(column, 52.3, 2.1, "承诺达标合格证", room=right - column, is_bold=True)
        yield from _fit(column, 54.7, 1.9, label.certificate, room=right - column)

    for row, (identifier, value) in enumerate((("01", label.gtin), ("10", label.lot), ("21", label.serial))):
        yield from _fit(left, 58.7 + row * 2.9, 2.4, f"({identifier}) {value}", room=right - left)
    yield from _foot(label)


def _foot(label: Label) -> Iterator[_Mark]:
    if label.is_sample:
        yield _Box(0, HEIGHT_MM - 4.6, WIDTH_MM, 4.6)
        yield _Text(WIDTH_MM / 2, HEIGHT_MM - 1.3, 2.9, "示例 SAMPLE", is_bold=True, align="middle", ink=255)
    else:
        yield _Text(WIDTH_MM / 2, HEIGHT_MM - 1.6, 1.9, "码不可复制使用 · one code, one pack", align="middle")


def _fit(
    x: float, baseline: float, size: float, text: str, *, room: float, is_bold: bool = False, ink: int = 0
) -> Iterator[_Mark]:
    """Yield the text, smaller where it would be wider than its room."""
    if text:
        wide = width_of(text, size, is_bold=is_bold)
        yield _Text(x, baseline, size if wide <= room else size * room / wide, text, is_bold, "left", ink)


def _qr(link: str, *, top: float) -> Iterator[_Mark]:
    """Yield the code's dark runs. Modules are whole printer dots wide, so that none comes out thin."""
    code = qrcode.QRCode(error_correction=ERROR_CORRECT_M, border=0)
    code.add_data(link)
    code.make(fit=True)
    rows = code.get_matrix()
    count = len(rows) + 2 * _QUIET_MODULES
    module = int(_QR_ROOM_MM * DOTS_PER_MM / count) / DOTS_PER_MM
    # The label's own white margin serves as quiet zone on the left.
    x0 = _MARGIN_MM + max(0.0, _QUIET_MODULES * module - _MARGIN_MM)
    y0 = top + _QUIET_MODULES * module / 2
    for r, row in enumerate(rows):
        start: int | None = None
        for c, dark in enumerate([*row, False]):
            if dark and start is None:
                start = c
            elif not dark and start is not None:
                yield _Box(x0 + start * module, y0 + r * module, (c - start) * module, module)
                start = None


# --- the pens ---------------------------------------------------------------------------------------


def _draw(pen: ImageDraw.ImageDraw, mark: _Mark) -> None:
    def dots(mm: float) -> int:
        return round(mm * DOTS_PER_MM)

    if isinstance(mark, _Text):
        font = sized(dots(mark.size), is_bold=mark.is_bold)
        pen.text((dots(mark.x), dots(mark.baseline)), mark.text, fill=mark.ink, font=font, anchor=ANCHORS[mark.align])
    elif isinstance(mark, _Box):
        corner = (dots(mark.x + mark.width) - 1, dots(mark.y + mark.height) - 1)
        pen.rectangle(((dots(mark.x), dots(mark.y)), corner), fill=mark.ink)
    else:
        box = (dots(mark.x), dots(mark.y), dots(mark.x + mark.diameter), dots(mark.y + mark.diameter))
        pen.ellipse(box, fill=0 if mark.kind == "full" else 255, outline=0, width=dots(0.8))
        if mark.kind == "half":
            pen.pieslice(box, 90, 270, fill=0)


def _print(pdf: "FPDF", mark: _Mark) -> None:
    if isinstance(mark, _Text):
        pdf.set_font("label", "B" if mark.is_bold else "", mark.size * _POINTS_PER_MM)
        pdf.set_text_color(mark.ink)
        width = pdf.get_string_width(mark.text)
        shift = {"left": 0.0, "right": width, "middle": width / 2}[mark.align]
        pdf.text(mark.x - shift, mark.baseline, mark.text)
    elif isinstance(mark, _Box):
        pdf.set_fill_color(mark.ink)
        pdf.rect(mark.x, mark.y, mark.width, mark.height, style="F")
    else:
        pdf.set_draw_color(0)
        pdf.set_line_width(0.8)
        pdf.set_fill_color(0 if mark.kind == "full" else 255)
        inner = (mark.x + 0.4, mark.y + 0.4, mark.diameter - 0.8)
        pdf.ellipse(inner[0], inner[1], inner[2], inner[2], style="DF")
        if mark.kind == "half":
            pdf.set_fill_color(0)
            pdf.solid_arc(inner[0], inner[1], a=inner[2], b=inner[2], start_angle=90, end_angle=270, style="F")
