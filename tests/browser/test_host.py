"""A host at work: opens a broadcast, lists a tier, watches it sell, changes the price, puts fruit on air."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlmodel import select

from orders.models import Broadcast, Listing
from tests.api.orchard import Orchard

pytestmark = pytest.mark.browser

READY = "html[data-ready]"


@pytest.fixture
def desk(browser: Browser, orchard: Orchard, site: str) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB", base_url=site)
    context.add_cookies([{"name": "guoyuan", "value": orchard.tokens["host-1"], "url": site}])
    yield context
    context.close()


def console(desk: BrowserContext, address: str = "/host") -> Page:
    page = desk.new_page()
    page.goto(address)
    page.wait_for_selector(READY)
    return page


def test_a_broadcast_is_opened_and_its_first_tier_listed_on_the_page(desk: BrowserContext, orchard: Orchard):
    page = console(desk)
    page.get_by_label("Name of the broadcast").fill("Sample mangoes")
    page.get_by_role("button", name="Go live").click()
    expect(page.locator(".hh h1")).to_have_text("Sample mangoes")
    expect(page.locator(".list-tier")).to_contain_text("Nothing is listed yet")
    page.get_by_label("Price of a box").fill("49.90")
    page.get_by_label("Boxes to sell").fill("40")
    page.get_by_role("button", name="List it").click()
    expect(page.locator(".list-tier .wrong")).to_have_text("Choose at least one plot")
    page.get_by_label("Sample plot 1").check()
    page.get_by_role("button", name="List it").click()
    expect(page.locator('[data-key="tier-A"]')).to_contain_text("100")
    with orchard.rt.db.read() as session:
        row = session.exec(select(Listing)).one()
    assert (row.tier, row.price_fen, row.nominal_mass_g) == ("A", 4990, 2500)


def test_what_is_sold_moves_on_the_board_without_a_reload(desk: BrowserContext, orchard: Orchard):
    show = orchard.open()
    page = console(desk)
    page.evaluate("window.sameDocument = true")
    row = page.locator('[data-key="tier-A"]')
    expect(row.locator(".left b")).to_have_text("100")
    row.locator("summary").click()
    orchard.sell(show, A=10)
    expect(row.locator(".left b")).to_have_text("75")
    expect(page.locator(".latest li")).to_contain_text("tier A, 10 boxes")
    assert row.locator("details").get_attribute("open") is not None, "what the reader opened stays open"
    orchard.sell(show, A=31)
    expect(page.locator(".exc")).to_contain_text("78 kg over")
    orchard.raise_orders()
    expect(page.locator(".farm li")).to_have_count(1)
    assert page.evaluate("window.sameDocument")


def test_a_price_goes_down_by_one_yuan_and_a_refusal_is_said_in_words(desk: BrowserContext, orchard: Orchard):
    show = orchard.open()
    page = console(desk)
    row = page.locator('[data-key="tier-B"]')
    row.get_by_role("button", name="1 yuan less").click()
    expect(row.locator(".price b")).to_have_text("¥38.90")
    with orchard.rt.db.write() as session:
        session.get_one(Broadcast, show.id).closed_at = orchard.now
    row.get_by_role("button", name="1 yuan more").evaluate("each => { each.disabled = false; each.click(); }")
    expect(page.locator("#toast")).to_contain_text("is closed")


def test_a_tier_put_on_air_appears_on_the_overlay_by_itself(desk: BrowserContext, browser: Browser, orchard: Orchard):
    orchard.open()
    page = console(desk)
    address = page.locator("[data-url]").get_attribute("data-url")
    studio = browser.new_context(viewport={"width": 1920, "height": 1080}, base_url=page.url, locale="en-GB")
    overlay = studio.new_page()
    overlay.goto(str(address))
    overlay.wait_for_selector(READY)
    expect(overlay.locator(".o-card")).to_have_count(0)
    page.locator('[data-key="tier-A"] .push').click()
    expect(overlay.locator(".o-card")).to_contain_text("¥49.90")
    expect(page.locator('[data-key="tier-A"] .push')).to_have_text("Take off")
    assert overlay.evaluate("getComputedStyle(document.body).backgroundColor") == "rgba(0, 0, 0, 0)"
    page.locator('[data-key="tier-A"] .push').click()
    expect(overlay.locator(".o-card")).to_have_count(0)
    studio.close()


def test_closing_asks_first(desk: BrowserContext, orchard: Orchard):
    show = orchard.open()
    page = console(desk)
    page.get_by_role("button", name="Close", exact=True).click()
    page.get_by_role("button", name="Keep selling").click()
    with orchard.rt.db.read() as session:
        assert session.get_one(Broadcast, show.id).closed_at is None
    page.get_by_role("button", name="Close", exact=True).click()
    page.get_by_role("button", name="Close orders").click()
    expect(page.locator(".livep")).to_have_text("Closed")


@pytest.mark.parametrize(("lang", "scheme"), [("zh", "light"), ("en", "dark")])
def test_the_board_fits_a_phone(browser: Browser, orchard: Orchard, site: str, lang: str, scheme: str):
    show = orchard.open()
    orchard.sell(show, A=60)
    orchard.sell(show, B=4)
    orchard.raise_orders()
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme, base_url=site)
    context.add_cookies([{"name": "guoyuan", "value": orchard.tokens["host-1"], "url": site}])
    page = console(context, f"/host?lang={lang}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.evaluate(
        """() => [...document.querySelectorAll("main button, .tabs a, .hh button")].filter((each) => {
            const { width, height } = each.getBoundingClientRect();
            return width > 0 && (height < 43.5 || width < 43.5);
        }).map((each) => each.outerHTML.slice(0, 120))"""
    )
    assert small == []
    page.locator(".excbar").click()
    expect(page.locator(".exc")).to_be_in_viewport()
    context.close()
