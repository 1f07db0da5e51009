"""One day from sensor to scan, on real input, in both profiles; then somebody changes one byte."""

import json
import re
from collections.abc import Iterator

import cv2
import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.browsing import chromium
from tests.journeys.conftest import Play

pytestmark = [pytest.mark.shared, pytest.mark.browser]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="en-GB")
    yield context.new_page()
    context.close()


def verdict(page: Page, url: str) -> str:
    """Open a page and return what the visitor's own browser found."""
    page.goto(url)
    checked = page.wait_for_selector("html[data-checked]", state="attached", timeout=60_000)
    return str(checked.get_attribute("data-checked")) if checked else "never"


def test_the_day_adds_up(played: Play) -> None:
    summary = json.loads(played.out.read_text())
    assert summary["events"] == summary["leaves"] > 40
    assert summary["anchors"] >= 1
    assert summary["gas_per_event"] > 0
    assert summary["readings"] >= 24 * 4
    assert summary["photographs"] >= 20
    assert summary["fruits"] >= 20
    assert summary["packs"] >= 1
    assert summary["orders"] > 100
    assert summary["oversold"] == 0
    assert summary["duplicates_refused"] > 0
    assert summary["forged_refused"] == 1
    assert summary["seconds_sale_to_phone"] > 0


def test_the_visitors_browser_checks_the_history(played: Play, page: Page) -> None:
    summary = json.loads(played.out.read_text())
    troubles: list[str] = []
    photographs: list[int] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("response", lambda answer: photographs.append(answer.status) if "/files/" in answer.url else None)
    assert verdict(page, summary["consumer_url"]) == "ok"
    assert page.locator("article.step").count() >= 8
    assert set(photographs) == {200}
    assert not troubles


def test_the_printed_label_leads_to_the_page(played: Play) -> None:
    summary = json.loads(played.out.read_text())
    pixels = cv2.imread(str(played.home / "label.png"))
    text, *_ = cv2.QRCodeDetectorAruco().detectAndDecode(pixels)
    assert text == summary["consumer_url"]
    assert (played.home / "label.pdf").read_bytes().startswith(b"%PDF-")


def test_people_and_places_stay_out_of_the_log(played: Play) -> None:
    """Every stored byte of it: entries, index, tiles, checkpoints, cosignatures, cursors, capture jobs."""
    stored = played.log_bytes()
    assert all(entry in stored for entry in played.entries())
    applied = (played.home / "cooperative.toml").read_text()
    names = re.findall(r'^name = "(.+)"$', applied, re.MULTILINE)
    people = [name for name in names if "Sample" in name]
    assert len(people) >= 6
    for private in [*people, "000-0000-0000", "示例省示例县示例村", "SAMPLE-01", "109.51", 'rice":', 'Fen":']:
        assert private.encode() not in stored, private
    for magic in (b"\xff\xd8\xff", b"/9j/", b"JFIF"):
        assert magic not in stored


def test_a_stranger_verifies_the_saved_proof_with_the_file_alone(played: Play) -> None:
    done = played.command("verify", str(played.saved_proof), "--json")
    assert done.returncode == 0, done.stderr
    assert played.command("fsck", "--json").returncode == 0


def test_one_changed_byte_is_found_by_page_fsck_and_verifier(played: Play, page: Page) -> None:
    summary = json.loads(played.out.read_text())
    history = json.loads(played.saved_proof.read_text())
    index = history["entries"][len(history["entries"]) // 2]["index"]
    event_id = played.change_one_byte(index)

    assert verdict(page, summary["consumer_url"]) == "bad"

    checked = played.command("fsck", "--json")
    assert checked.returncode == 1
    assert event_id in checked.stdout

    exported = httpx.get(
        f"{played.settings()['GUOYUAN_PUBLIC_URL']}/api/v1/proof", params={"id": history["subject"]}, timeout=60
    )
    fresh = played.home / "after.json"
    fresh.write_bytes(exported.content)
    refused = played.command("verify", str(fresh))
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1

    assert played.command("verify", str(played.saved_proof)).returncode == 0
