"""The lot report on paper: one A4 page in English, with the plot; Chinese is on the page itself."""

import io

from fpdf import FPDF

from grading.lot_report import LotReport
from grading.plots import latin, lot_png
from ledger.kernel.quantities import format_yuan


def lot_pdf(report: LotReport) -> bytes:
    """Return the report as PDF bytes."""
    pdf = FPDF(format="A4")
    pdf.set_auto_page_break(auto=True, margin=14)
    pdf.set_creator("Guoyuan")
    pdf.set_title(f"Lot report {report.batch}")
    pdf.add_page()
    pdf.set_font("Helvetica", "B", 18)
    pdf.cell(0, 10, f"Lot report {report.batch}", new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("Helvetica", "", 9)
    state = "closed" if report.is_closed else "open, the figures still change"
    for line in (
        f"Lot {report.lot} ({state})",
        f"Standard {report.standard}, edition {report.edition}; price book {report.price_book}",
        (
            f"{report.fruits} fruit, {report.judged} judged by people, {report.doubtful} waiting; "
            f"{report.mass_g / 1000:.2f} kg by camera, {report.received_g / 1000:.2f} kg received; "
            f"sum of the fruit's prices {format_yuan(report.value_fen)} yuan"
        ),
    ):
        pdf.multi_cell(0, 5, _latin1(line), new_x="LMARGIN", new_y="NEXT")
    pdf.image(io.BytesIO(lot_png(report)), w=pdf.epw)
    _heading(pdf, "Tiers")
    _rows(
        pdf,
        ("tier", "fruit", "share (95 %)", "kg", "yuan"),
        [
            (
                latin(tier.bar),
                str(tier.bar.fruits),
                f"{tier.bar.share.value:.0%} ({tier.bar.share.low:.0%} to {tier.bar.share.high:.0%})",
                f"{tier.bar.mass_g / 1000:.2f}",
                format_yuan(tier.value_fen),
            )
            for tier in report.tiers
        ],
    )
    _heading(pdf, "Tolerances")
    _rows(
        pdf,
        ("tier", "counted", "missed", "by number", "by mass", "allowed", "result"),
        [
            (
                each.tier,
                f"{each.quality} {each.kind}",
                f"{each.missed} of {each.fruits}",
                f"{each.number_permille / 10:.1f} %",
                f"{each.mass_permille / 10:.1f} %",
                f"{each.allowed_permille / 10:.1f} % ({each.by})",
                "met" if each.is_met else "not met",
            )
            for each in report.tolerances
        ],
    )
    pdf.set_font("Helvetica", "I", 8)
    truth = "Classes are the camera's by the standard and have not been checked against inspectors (guoyuan validate)."
    pdf.multi_cell(0, 5, truth, new_x="LMARGIN", new_y="NEXT")
    return bytes(pdf.output())


def _heading(pdf: FPDF, text: str) -> None:
    pdf.set_font("Helvetica", "B", 12)
    pdf.cell(0, 8, text, new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("Helvetica", "", 9)


def _rows(pdf: FPDF, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    with pdf.table(line_height=5, text_align="LEFT") as made:
        for cells in (head, *rows):
            row = made.row()
            for cell in cells:
                row.cell(_latin1(cell))


def _latin1(text: str) -> str:
    # The core fonts of PDF hold no Chinese; names of ours are ASCII, a lot's may be anything.
    return text.encode("latin-1", "replace").decode("latin-1")
