"""The station's panel while a line fills a batch: what has arrived, what was refused, and a manager's way out."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlmodel import select

from api import accounts
from grading import arrivals
from grading.models import Batch
from ledger.kernel.actors import Role
from tests.api.line_edge import Edge
from tests.api.orchard import Orchard

pytestmark = pytest.mark.browser


@dataclass
class Filled:
    """A house to which a line has brought some fruit of a lot, and its people's sessions."""

    orchard: Orchard
    edge: Edge
    site: str
    tokens: dict[str, str]

    def ref(self) -> str:
        return self.batch().ref

    def batch(self) -> Batch:
        with self.orchard.rt.db.read() as session:
            return session.exec(select(Batch)).one()


@pytest.fixture
def filled(orchard: Orchard, site: str, tmp_path: Path) -> Iterator[Filled]:
    rt = orchard.rt
    with rt.db.write() as session:
        code = accounts.new_code(session, accounts.person(session, "station-1"), now=orchard.now)
        boss = accounts.create_person(session, rt.numbering, ref="boss", role=Role.MANAGER, site=None, now=orchard.now)
        tokens = {
            "station": orchard.tokens["station-1"],
            "manager": accounts.open_session(session, boss, now=orchard.now).token,
        }
    lot = orchard.pick(orchard.order(A=1), 3600).lot
    httpx.post(
        f"{site}/api/v1/station/receipts", json={"lot": lot, "mass_g": 3600}, headers=orchard.header("station-1")
    ).raise_for_status()
    transport = ToSite(site)
    edge = Edge(tmp_path / "line", code, transport)
    edge.begin(lot)
    edge.pass_by(9)
    edge.decide()
    edge.deliver()
    yield Filled(orchard, edge, site, tokens)
    edge.journal.close()
    transport.close()


class ToSite(httpx.HTTPTransport):
    """Sends what a line says to the served house, whatever name it calls it by."""

    def __init__(self, site: str) -> None:
        super().__init__()
        self.at = httpx.URL(site)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(host=self.at.host, port=self.at.port)
        return super().handle_request(request)


@pytest.fixture
def panel(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    yield context
    context.close()


def opened(panel: BrowserContext, filled: Filled, who: str, *, lang: str = "en") -> Page:
    panel.add_cookies([{"name": "guoyuan", "value": filled.tokens[who], "url": filled.site}])
    page = panel.new_page()
    page.goto(f"{filled.site}/station?lang={lang}#/grade")
    page.wait_for_selector("#main > *")
    return page


def test_what_a_line_brings_is_counted_live_and_what_was_refused_is_told_in_words(
    panel: BrowserContext, filled: Filled
) -> None:
    page = opened(panel, filled, "station")
    expect(page.locator(".filling h2")).to_contain_text("Graded by line LINE-1")
    expect(page.locator(".filling-sum")).to_contain_text("9")
    expect(page.locator(".filling-sum")).to_contain_text("the line has not ended the lot")
    expect(page.locator(".arrived li")).to_have_count(8)
    expect(page.locator(".filling .under")).to_contain_text("last arrived")
    expect(page.locator(".judge")).to_contain_text("The line is still grading")
    expect(page.locator(".judge")).to_contain_text("A manager can end the batch here")
    assert page.get_by_role("button", name="The line will not come back").count() == 0
    filled.edge.pass_by(3)
    filled.edge.decide()
    filled.edge.deliver()
    expect(page.locator(".filling-sum b")).to_have_text("12")
    with filled.orchard.rt.db.write() as session:
        run = filled.batch().line_run or ""
        arrivals.note_refusals(session, filled.ref(), run, {13: "its verdict is not what its measures come to"})
    expect(page.locator(".refused")).to_contain_text("1 fruit refused")
    expect(page.locator(".refused li")).to_have_text("Fruit 13 its record does not agree with itself or the batch")


def test_a_manager_ends_a_batch_whose_line_is_lost_with_a_reason_and_then_it_is_closed(
    panel: BrowserContext, filled: Filled
) -> None:
    page = opened(panel, filled, "manager")
    page.get_by_role("button", name="The line will not come back").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This cannot be undone")
    end = dialog.get_by_role("button", name="End it with 9 fruit")
    expect(end).to_be_disabled()
    dialog.get_by_role("button", name="Cancel").click()
    assert filled.batch().given_up_at is None, "a dialog that was closed did nothing"
    page.get_by_role("button", name="The line will not come back").click()
    dialog.get_by_role("button", name="computer is lost or broken").click()
    end.click()
    expect(page.locator(".filling-sum")).to_contain_text("ended by a manager")
    assert (filled.batch().given_up_reason, filled.batch().expected) == ("computer-lost", 9)
    page.get_by_role("button", name="Close the batch").click()
    page.get_by_role("dialog").get_by_role("button", name="Share").click()
    expect(page.locator(".judge")).to_contain_text("Closed")
    assert filled.batch().closed_at is not None
    report = page.get_by_role("link", name="Lot report").bounding_box()
    assert report is not None
    assert report["height"] >= 60, "gloves press it"


def test_a_line_that_brings_nothing_for_a_quarter_of_an_hour_is_told_across_the_panel(
    panel: BrowserContext, filled: Filled
) -> None:
    with filled.orchard.rt.db.write() as session:
        batch = session.exec(select(Batch)).one()
        batch.arrived_at = filled.orchard.now - timedelta(minutes=21)
        session.add(batch)
    page = opened(panel, filled, "station", lang="zh")
    expect(page.locator(".alarm")).to_contain_text("产线 21 分没有送果来")
    expect(page.locator(".alarm-go")).to_have_text("看批次")
    page.goto(f"{filled.site}/station#/dock")
    expect(page.locator(".lot-do")).to_contain_text("产线分级中")
