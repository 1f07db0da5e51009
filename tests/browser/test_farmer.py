"""A farmer's phone: what she confirms is kept without a signal, sent once, and orders come up by themselves."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from sqlmodel import select

from orders.models import Crate, Pick, PickOrder
from tests.api.orchard import Orchard
from tests.waiting import until

pytestmark = pytest.mark.browser

READY = "html[data-ready]"
CONTROLLED = """async () => {
    await navigator.serviceWorker.ready;
    while (!navigator.serviceWorker.controller) await new Promise((later) => setTimeout(later, 20));
}"""


@pytest.fixture
def phone(browser: Browser, orchard: Orchard, site: str) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, locale="en-GB", permissions=["camera"], base_url=site
    )
    context.add_cookies([{"name": "guoyuan", "value": orchard.tokens["farmer-1"], "url": site}])
    yield context
    context.close()


def open_today(phone: BrowserContext) -> Page:
    page = phone.new_page()
    page.goto("/farmer")
    page.wait_for_selector(READY)
    return page


def confirm(page: Page, *, crate: str, weight: str, photograph: bool = False) -> None:
    """Three taps, from the order's own screen."""
    page.locator(".foot .btn-main").click()
    page.wait_for_selector(".taps")
    if page.locator("[data-do=type-mode]").count():
        page.locator("[data-do=type-mode]").click()
    for key in crate:
        page.locator(f"[data-arg='{key}']").click()
    page.locator("[data-do=take-crate]").click()
    for key in weight:
        page.locator(f"[data-arg='{key}']").click()
    page.locator("[data-do=take-weight]").click()
    page.locator("[data-do=shoot]" if photograph else "[data-do=no-photo]").click()
    page.wait_for_selector(".recorded")


def picks(orchard: Orchard) -> list[str]:
    with orchard.rt.db.read() as session:
        return list(session.exec(select(Pick.command_id)))


def unsent(page: Page) -> str | None:
    return page.locator(".unsent").get_attribute("data-count")


def test_a_new_order_stands_on_the_page_without_a_reload(phone: BrowserContext, orchard: Orchard):
    page = open_today(phone)
    expect(page.locator("h1")).to_have_text("Nothing to pick now")
    page.evaluate("window.sameDocument = true")
    order = orchard.order(A=4)
    expect(page.locator(f'[data-key="{order.ref}"]')).to_be_visible()
    expect(page.locator("#announce")).to_contain_text("New order: Guifei")
    assert page.evaluate("window.sameDocument")


def test_an_order_that_stood_on_the_screen_is_noted_as_seen(phone: BrowserContext, orchard: Orchard):
    order = orchard.order(A=4)
    page = open_today(phone)
    expect(page.locator(".new")).to_have_count(0)

    def is_noted() -> bool:
        with orchard.rt.db.read() as session:
            return session.get_one(PickOrder, order.id).seen_at is not None

    until(is_noted)


def test_the_first_screen_of_the_server_and_of_the_phone_say_the_same(
    browser: Browser, phone: BrowserContext, orchard: Orchard, site: str
):
    order = orchard.order(A=10)
    orchard.pick(order, 9_000, minutes_ago=30)
    done = orchard.order(B=2)
    lot = orchard.pick(done, done.ordered_g).lot
    orchard.receive(lot, done.ordered_g)
    orchard.cool(lot)
    orchard.order(C=2)
    with orchard.rt.db.write() as session:
        for row in session.exec(select(PickOrder)):
            row.seen_at = orchard.now
    plain = browser.new_context(java_script_enabled=False, locale="en-GB", base_url=site)
    plain.add_cookies(phone.cookies())
    page = plain.new_page()
    page.goto("/farmer")

    def cards(of: Page) -> list[str]:
        return [" ".join(text.split()) for text in of.locator(".cards li").all_inner_texts()]

    said = (page.locator("h1").text_content(), cards(page))
    plain.close()
    live = open_today(phone)
    assert (live.locator("h1").text_content(), cards(live)) == said
    assert len(said[1]) == 3


def test_what_is_confirmed_without_a_signal_is_counted_kept_and_sent_exactly_once(
    phone: BrowserContext, orchard: Orchard
):
    order = orchard.order(A=10)
    page = open_today(phone)
    page.evaluate(CONTROLLED)
    page.locator(f'[data-key="{order.ref}"] a').click()
    page.locator("[data-do=start]").click()
    phone.set_offline(True)
    confirm(page, crate="422", weight="11.6", photograph=True)
    expect(page.locator(".recorded")).to_contain_text("Kept on this phone")
    expect(page.locator(".unsent")).to_have_attribute("data-count", "2")
    assert picks(orchard) == []

    page.goto("/farmer")
    page.wait_for_selector(READY)
    expect(page.locator(".unsent")).to_have_attribute("data-count", "2")
    expect(page.locator(f'[data-key="{order.ref}"]')).to_contain_text("11.6 kg picked")
    page.locator(f'[data-key="{order.ref}"] a').click()
    confirm(page, crate="423", weight="9")
    expect(page.locator(".unsent")).to_have_attribute("data-count", "3")
    page.locator(".unsent").click()
    expect(page.locator(".waiting li")).to_have_count(3)

    phone.set_offline(False)
    expect(page.locator(".unsent")).to_have_attribute("data-count", "0")
    with orchard.rt.db.read() as session:
        masses = sorted(session.exec(select(Crate.mass_g)))
        row = session.get_one(PickOrder, order.id)
    assert (len(picks(orchard)), masses, row.picked_g) == (2, [9_000, 11_600], 20_600)
    assert len([file for file in orchard.rt.settings.files_dir.rglob("*") if file.is_file()]) == 1
    page.goto("/farmer#/")
    expect(page.locator(f'[data-key="{order.ref}"]')).to_contain_text("20.6 kg picked")


def test_an_answer_that_never_arrived_does_not_make_a_second_pick(browser: Browser, orchard: Orchard, site: str):
    order = orchard.order(A=10)
    # Without a service worker the test can take the answer away on its way back.
    phone = browser.new_context(viewport={"width": 390, "height": 844}, base_url=site, service_workers="block")
    phone.add_cookies([{"name": "guoyuan", "value": orchard.tokens["farmer-1"], "url": site}])
    page = open_today(phone)
    lost: list[str] = []

    def lose(route: Route) -> None:
        lost.append(route.fetch().text())
        route.abort()

    page.route("**/api/v1/farmer/picks", lose, times=1)
    page.locator(f'[data-key="{order.ref}"] a').click()
    page.locator("[data-do=start]").click()
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/picks")):
        confirm(page, crate="422", weight="8")
    assert (len(lost), len(picks(orchard)), unsent(page)) == (1, 1, "1")
    page.locator(".unsent").click()
    page.locator("[data-do=retry-all]").click()
    expect(page.locator(".unsent")).to_have_attribute("data-count", "0")
    assert len(picks(orchard)) == 1
    phone.close()


def test_a_refused_record_is_shown_with_its_reason_and_can_be_corrected(phone: BrowserContext, orchard: Orchard):
    order = orchard.order(A=10)
    page = open_today(phone)
    page.locator(f'[data-key="{order.ref}"] a').click()
    page.locator("[data-do=start]").click()
    phone.set_offline(True)
    # Meanwhile somebody else fills the same crate.
    taken = orchard.confirmation(order, 5_000)["crates"][0]["crate"]
    confirm(page, crate=taken.removeprefix("C-"), weight="8")
    orchard.pick(order, 5_000, crate=taken)
    phone.set_offline(False)
    page.locator(".unsent").click()
    refused = page.locator(".clash")
    expect(refused).to_contain_text(f"{taken} was not accepted")
    expect(refused).to_contain_text("still holds fruit")
    expect(page.locator(".unsent")).to_have_attribute("data-count", "1")
    refused.locator("[data-do=correct]").click()
    for key in "777":
        page.locator(f"[data-arg='{key}']").click()
    page.locator("[data-do=take-crate]").click()
    expect(page.locator(".weigh output")).to_contain_text("8")
    page.locator("[data-do=take-weight]").click()
    page.locator("[data-do=no-photo]").click()
    expect(page.locator(".unsent")).to_have_attribute("data-count", "0")
    with orchard.rt.db.read() as session:
        assert sorted(session.exec(select(Crate.mass_g))) == [5_000, 8_000]


def test_a_lost_session_keeps_the_queue_and_asks_to_sign_in(phone: BrowserContext, orchard: Orchard, site: str):
    order = orchard.order(A=10)
    page = open_today(phone)
    page.locator(f'[data-key="{order.ref}"] a').click()
    page.locator("[data-do=start]").click()
    cookies = phone.cookies()
    phone.clear_cookies()
    confirm(page, crate="422", weight="8")
    page.locator(".unsent").click()
    expect(page.locator(".foot .btn-main")).to_have_text("Sign in")
    expect(page.locator(".unsent")).to_have_attribute("data-count", "1")
    assert picks(orchard) == []
    phone.add_cookies(cookies)
    page.goto("/farmer")
    page.wait_for_selector(READY)
    expect(page.locator(".unsent")).to_have_attribute("data-count", "0")
    assert len(picks(orchard)) == 1


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_target_fits_a_gloved_thumb_and_nothing_runs_off_the_screen(
    browser: Browser, orchard: Orchard, site: str, lang: str
):
    order = orchard.order(A=10)
    orchard.pick(order, 9_000)
    context = browser.new_context(viewport={"width": 360, "height": 640}, base_url=site, permissions=["camera"])
    context.add_cookies([{"name": "guoyuan", "value": orchard.tokens["farmer-1"], "url": site}])
    page = context.new_page()
    page.goto(f"/farmer?lang={lang}")
    page.wait_for_selector(READY)
    serial = order.id.rpartition("/")[2]
    for screen in ("#/", f"#/order/{serial}", f"#/order/{serial}/crate", "#/unsent"):
        page.evaluate("hash => { location.hash = hash }", screen)
        page.wait_for_timeout(150)
        small = page.evaluate(
            """() => [...document.querySelectorAll("main a, main button")].filter((each) => {
                const { width, height } = each.getBoundingClientRect();
                return width > 0 && (height < 63.5 || width < 63.5);
            }).map((each) => each.outerHTML.slice(0, 120))"""
        )
        assert small == [], screen
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), screen
    context.close()
