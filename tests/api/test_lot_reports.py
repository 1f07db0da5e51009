"""The lot report over HTTP: page, figures, plot and paper of one graded batch."""

import io

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from api import accounts, live  # noqa: F401  # every table must be known before the installation is opened
from api.runtime import Runtime
from tests.api.test_station import House


@pytest.fixture
def house(rt: Runtime, app: FastAPI) -> House:
    return House(rt, app)


def test_a_lots_report_adds_up_and_comes_as_page_plot_and_paper(house: House, app: FastAPI) -> None:
    ref = house.graded()
    at = f"/api/v1/station/batches/{ref}/report"
    report = house.client.get(at).json()
    assert report["fruits"] == 12
    assert report["is_closed"]
    for bars in (report["classes"], report["sizes"], [tier["bar"] for tier in report["tiers"]]):
        assert sum(bar["fruits"] for bar in bars) == 12
        assert sum(bar["mass_g"] for bar in bars) == report["mass_g"]
        assert all(bar["share"]["low"] <= bar["share"]["value"] <= bar["share"]["high"] for bar in bars)
    assert sum(tier["value_fen"] for tier in report["tiers"]) == report["value_fen"] > 0
    assert report["tolerances"]
    assert report["opened_at"] <= report["closed_at"]
    assert sum(each["fruits"] for each in report["spread"]["bins"]) == 12

    plot = house.client.get(f"{at}.png")
    assert plot.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(plot.content)).size[0] == 1240
    assert house.client.get(f"{at}.png").content == plot.content
    paper = house.client.get(f"{at}.pdf")
    assert paper.headers["content-type"] == "application/pdf"
    assert paper.content.startswith(b"%PDF")

    for lang, title in (("zh", "批次报告"), ("en", "Lot report")):
        page = house.client.get(f"/station/batches/{ref}/report", params={"lang": lang})
        assert page.status_code == 200
        assert title in page.text
        assert "style=" not in page.text, "the page's policy allows no inline style"
        assert f"report.pdf?lang={lang}" in page.text
    stranger = TestClient(app, follow_redirects=False)
    assert stranger.get(at).status_code == 401
    assert stranger.get(f"/station/batches/{ref}/report").status_code == 401


def test_plot_and_paper_follow_the_language_that_is_asked_for_remembered_or_preferred(house: House) -> None:
    at = f"/api/v1/station/batches/{house.batch()}/report"
    by_lang = {}
    for lang in ("zh", "en"):
        asked = house.client.get(f"{at}.pdf", params={"lang": lang})
        preferred = house.client.get(f"{at}.pdf", headers={"accept-language": lang})
        remembered = house.client.get(f"{at}.png", headers={"cookie": f"lang={lang}"})
        told = {answer.headers["content-language"] for answer in (asked, preferred, remembered)}
        assert told == {{"zh": "zh-CN", "en": "en"}[lang]}
        by_lang[lang] = (asked.content, remembered.content)
    assert by_lang["zh"][0] != by_lang["en"][0]
    assert by_lang["zh"][1] != by_lang["en"][1]
    assert house.client.get(f"{at}.pdf", params={"lang": "fr"}).status_code == 422


def test_an_unknown_batch_has_no_report_and_an_empty_one_says_so(house: House) -> None:
    assert house.client.get("/api/v1/station/batches/GR000000-9/report").status_code == 404
    ref = house.batch()
    report = house.client.get(f"/api/v1/station/batches/{ref}/report").json()
    assert (report["fruits"], report["is_closed"], report["tolerances"]) == (0, False, [])
    page = house.client.get(f"/station/batches/{ref}/report", params={"lang": "en"})
    assert "No fruit yet." in page.text
    assert house.client.get(f"/api/v1/station/batches/{ref}/report.png").status_code == 200
    assert house.client.get(f"/api/v1/station/batches/{ref}/report.pdf").status_code == 200
