import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.kernel.files import FileStore
from ledger.kernel.ids import SERIAL_ALPHABET, DigitalLink, parse_digital_link
from orders import certificates, labels
from orders.errors import NotFoundError
from orders.labels import HEIGHT_MM, WIDTH_MM, Label, render_pdf, render_png
from orders.tiers import Tier
from tests.orders.conftest import ZONE, Farm

GTIN = "09521002001013"


def _label(**changes: object) -> Label:
    values = {
        "crop": "mango",
        "variety": "Guifei",
        "tier": Tier.A,
        "nominal_mass_g": 2500,
        "mass_g": 2562,
        "gtin": GTIN,
        "lot": "G260418-1A",
        "serial": "7K3Q9X2MVD4T",
        "packed_on": "2026-04-18",
        "best_before": "2026-05-02",
        "link": f"https://trace.example/01/{GTIN}/10/G260418-1A/21/7K3Q9X2MVD4T",
        "certificate": "CC260418-0001",
        "is_sample": True,
    } | changes
    return Label(**values)


def _pixels(png: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)


def _decode(image: np.ndarray) -> str:
    """OpenCV's older reader misses about one perfect code in a hundred, whoever drew it; this one does not."""
    text, *_ = cv2.QRCodeDetectorAruco().detectAndDecode(image)
    return text


def _rasterise(pdf: bytes, folder: Path) -> np.ndarray:
    if shutil.which("pdftoppm") is None:
        pytest.skip("pdftoppm (poppler-utils) is not installed: the PDF cannot be looked at")
    (folder / "label.pdf").write_bytes(pdf)
    subprocess.run(["pdftoppm", "-r", "300", "-png", "label.pdf", "label"], cwd=folder, check=True, timeout=60)
    return cv2.imread(str(folder / "label-1.png"), cv2.IMREAD_GRAYSCALE)


def test_png_is_50_by_70_mm_at_300_dpi() -> None:
    image = _pixels(render_png(_label()))
    assert image.shape == (round(HEIGHT_MM / 25.4 * 300), round(WIDTH_MM / 25.4 * 300))


def test_code_in_the_png_reads_back() -> None:
    assert _decode(_pixels(render_png(_label()))) == _label().link


def test_code_in_the_pdf_reads_back(tmp_path: Path) -> None:
    assert _decode(_rasterise(render_pdf(_label()), tmp_path)) == _label().link


def test_png_and_pdf_show_the_same_label(tmp_path: Path) -> None:
    """Edges differ by a dot; ink on a coarse grid does not."""
    png, pdf = _pixels(render_png(_label())), _rasterise(render_pdf(_label()), tmp_path)
    grid = [cv2.resize(image, (50, 70), interpolation=cv2.INTER_AREA).astype(int) for image in (png, pdf)]
    assert np.abs(grid[0] - grid[1]).mean() < 6


def test_pdf_is_one_page_of_the_labels_size_with_its_words(tmp_path: Path) -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler-utils) is not installed")
    (tmp_path / "label.pdf").write_bytes(render_pdf(_label()))
    info = subprocess.run(["pdfinfo", "label.pdf"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    text = subprocess.run(
        ["pdftotext", "label.pdf", "-"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert "Pages:           1" in info
    assert "141.73 x 198.43 pts" in info
    for words in ("芒果", "Guifei", "2.5 kg", "承诺达标合格证", "示例 SAMPLE", f"(01) {GTIN}", "(21) 7K3Q9X2MVD4T"):
        assert words in text


def test_same_label_gives_the_same_bytes() -> None:
    assert render_png(_label()) == render_png(_label())
    assert render_pdf(_label()) == render_pdf(_label())


def test_every_module_of_the_code_is_whole_dots_wide_and_has_its_quiet_zone() -> None:
    image = _pixels(render_png(_label())) < 128
    found, corners = cv2.QRCodeDetector().detect(_pixels(render_png(_label())))
    assert found
    x0, y0 = np.rint(corners[0][0]).astype(int)
    x1, y1 = np.rint(corners[0][2]).astype(int)
    size = x1 - x0 + 1
    module = round(size / 37)
    assert module >= 7
    quiet = slice(max(0, x0 - 4 * module + 2), x0 - 1)
    assert not image[y0:y1, quiet].any()
    assert not image[y0:y1, x1 + 2 : x1 + 4 * module - 2].any()


def test_tiers_differ_by_letter_and_shape() -> None:
    pictures = {tier: _pixels(render_png(_label(tier=tier))) for tier in (Tier.A, Tier.B, Tier.C)}
    box = (slice(100, 200), slice(360, 455))
    ink = {tier: int((picture[box] < 128).sum()) for tier, picture in pictures.items()}
    assert ink[Tier.A] > ink[Tier.B] > ink[Tier.C] > 0


def test_label_without_a_certificate_does_not_claim_one() -> None:
    with_, without = _pixels(render_png(_label())), _pixels(render_png(_label(certificate=None)))
    assert (with_ < 128).sum() > (without < 128).sum()


@settings(max_examples=15, deadline=None)
@given(
    host=st.sampled_from(
        [
            "http://127.0.0.1:8000",
            "https://a.example",
            "https://fruit-traceability.a-rather-long-cooperative-name.example",
        ]
    ),
    lot=st.text("ABCDEFGHJK0123456789-", min_size=1, max_size=20),
    serial=st.text(SERIAL_ALPHABET, min_size=12, max_size=12),
)
def test_any_label_reads_back(host: str, lot: str, serial: str) -> None:
    link = DigitalLink(("01", GTIN), (("10", lot), ("21", serial))).uri(host)
    assert _decode(_pixels(render_png(_label(lot=lot, serial=serial, link=link)))) == link
    assert parse_digital_link(link).canonical() == f"https://id.gs1.org/01/{GTIN}/21/{serial}"


@pytest.mark.parametrize(
    "changes", [{"variety": "桂妃芒果特别长的品种名称写在这里"}, {"crop": "dragon fruit"}, {"crop": ""}]
)
def test_unusual_names_still_fit(changes: dict[str, str]) -> None:
    image = _pixels(render_png(_label(**changes)))
    assert _decode(image) == _label().link
    assert not (image[30:640, -int(2 * 300 / 25.4) :] < 128).any()


def test_label_of_a_pack_says_what_the_pack_is(farm: Farm, tmp_path: Path) -> None:
    show = farm.open()
    lots = farm.graded({"A": 9_000, "B": 6_000}, show, A=2)
    gtin = farm.listing(show, "A").gtin
    farm.grant(lots["A"], gtin)
    pack = farm.pack(lots["A"], gtin, 2_562)
    with farm.write() as session:
        certificate = certificates.issue_certificate(
            session,
            lots["A"].id,
            files=FileStore(tmp_path),
            promisor=farm.numbering.party(1),
            product="芒果 样例",
            contact="sample contact",
            address="sample address",
            numbering=farm.numbering,
            now=farm.at,
            zone=ZONE,
        )
        label = labels.label_for(session, gtin, pack.serial, public_url="http://127.0.0.1:8000/", is_sample=True)
        with pytest.raises(NotFoundError):
            labels.label_for(session, gtin, "NEVERPACKED0", public_url="http://127.0.0.1:8000", is_sample=True)
    assert (label.tier, label.nominal_mass_g, label.mass_g) == (Tier.A, 2_500, 2_562)
    assert label.link == f"http://127.0.0.1:8000/01/{gtin}/10/{lots['A'].number}/21/{pack.serial}"
    assert label.certificate == certificate.ref
    assert parse_digital_link(label.link).canonical() == pack.id


def test_font_can_write_every_character_of_gb2312_level_1_and_the_licence_lies_beside_it() -> None:
    from fontTools.ttLib import TTFont

    from orders.fonts.build import FOLDER, HEADINGS, LATIN, level_1

    drawn = TTFont(FOLDER / "GuoyuanLabel-Regular.otf").getBestCmap()
    bold = TTFont(FOLDER / "GuoyuanLabel-Bold.otf").getBestCmap()
    assert len(level_1()) == 3755
    assert {ord(c) for c in level_1() + LATIN + HEADINGS} <= set(drawn)
    assert {ord(c) for c in LATIN + HEADINGS} <= set(bold)
    assert "SIL OPEN FONT LICENSE Version 1.1" in (FOLDER / "OFL.txt").read_text()
    assert sum(path.stat().st_size for path in FOLDER.glob("*.otf")) < 2 * 1024 * 1024
