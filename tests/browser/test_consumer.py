"""A visitor's phone checks for itself: what is true it calls checked, what was tampered with it does not believe."""

# ruff: noqa: RUF001  # the page speaks Chinese, with its own punctuation
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from sqlalchemy import text

from api.app import create_app
from api.migrations.tables import metadata
from api.runtime import Runtime
from ledger.cosign import WitnessSigner
from ledger.kernel.files import parse_ni
from ledger.kernel.settings import Environment, Settings
from ledger.log import latest_checkpoint
from ledger.witnessed import Cosigned, Watcher, question, states, take
from tests.api import golden
from tests.api.golden import PACK_PATH, RECALLED_LOT, WHEN, Golden
from tests.browsing import served

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
WITHOUT_SUBTLE = "Object.defineProperty(globalThis.crypto, 'subtle', { get: () => undefined })"


@contextmanager
def golden_site(home: Path, *, anchor: bool) -> Iterator[tuple[Runtime, Golden, str]]:
    """Serve the golden chain on a free port of this machine until the block ends."""
    settings = Settings(home=home, environment=Environment.DEMO, public_url="http://127.0.0.1", mqtt_port=0)
    rt = Runtime.open(settings)
    settings.clock.move_to(WHEN)  # type: ignore[attr-defined]  # the demonstration's clock
    metadata.create_all(rt.db.engine)
    furnished = golden.furnish(rt.files)
    golden.load(rt, furnished, anchored=anchor)
    with served(create_app(runtime=rt)) as address:
        yield rt, furnished, address
    rt.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runtime, Golden, str]]:
    with golden_site(tmp_path_factory.mktemp("anchored") / "home", anchor=True) as opened:
        yield opened


@pytest.fixture
def phone(browser: Browser, world: tuple[Runtime, Golden, str]) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=PHONE, locale="zh-CN", base_url=world[2], service_workers="block")
    yield context
    context.close()


@pytest.fixture
def page(phone: BrowserContext) -> Page:
    return phone.new_page()


def look(page: Page, path: str = PACK_PATH) -> str:
    """Open a page, wait until the phone has made up its mind, and return the state of the proof line."""
    page.goto(path)
    page.wait_for_selector("html[data-checked]")
    return page.locator("#proof-line").get_attribute("data-state") or ""


def the_page(url: str) -> bool:
    """Whether an address is the pack's own page, and not evidence that names it."""
    return urlsplit(url).path == PACK_PATH


def altering(page: Page, url: re.Pattern[str] | Callable[[str], bool], change: Callable[[str], str]) -> None:
    """Stand between the phone and the server, and change what one address answers."""

    def handle(route: Route) -> None:
        answer = route.fetch()
        before = answer.text()
        after = change(before)
        assert after != before, "the forgery changed nothing"
        route.fulfill(response=answer, body=after)

    page.route(url, handle)


def expect_contradiction(page: Page, *reasons: str) -> None:
    banner = page.locator("#contradicted")
    expect(banner).to_be_visible()
    expect(banner).to_contain_text("这一页和它自己的证明对不上")
    for reason in reasons:
        expect(banner).to_contain_text(reason)
    expect(page.locator("#proof-line")).to_have_attribute("data-state", "bad")


# --- what is true ---------------------------------------------------------------------------------


def test_the_phone_checks_every_step_and_the_chain(page: Page) -> None:
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    assert look(page) == "ok"
    expect(page.locator("#proof-line")).to_contain_text(
        re.compile(r"11 步里 11 步由您的手机核对无误，锁在公链第 \d+ 区块")
    )
    expect(page.locator("#contradicted")).to_be_hidden()
    assert page.locator("[data-leaves] .proof[data-state=ok]").count() == 11
    assert [trouble for trouble in troubles if "blocked by Playwright" not in trouble] == []


def test_it_needs_no_web_crypto_and_both_languages_check(browser: Browser, world: tuple[Runtime, Golden, str]) -> None:
    """On plain http a browser has no crypto.subtle. Every number is written by both sides alike in English too."""
    context = browser.new_context(
        viewport=DESK, locale="en-GB", color_scheme="dark", base_url=world[2], service_workers="block"
    )
    context.add_init_script(WITHOUT_SUBTLE)
    page = context.new_page()
    assert look(page) == "ok"
    assert page.evaluate("crypto.subtle === undefined")
    expect(page.locator("#proof-line")).to_contain_text("11 of 11 steps checked by your phone")
    context.close()


def test_the_drawer_names_the_witnesses_that_signed(page: Page, world: tuple[Runtime, Golden, str]) -> None:
    rt = world[0]
    north, south = (WitnessSigner(f"witness.example/{name}", name.encode() * 8) for name in ("nord", "sued"))
    rt.witnesses = tuple(Watcher(who.key, "http://127.0.0.1:1") for who in (north, south))
    try:
        with rt.db.write() as session:
            asked = question(session, north.key, now=rt.clock.now())
            newest = latest_checkpoint(session)
            assert asked
            assert newest
            line = north.cosign(newest.note, time_s=1_776_664_800)
            take(session, asked, Cosigned(line), now=rt.clock.now())
            assert states(session, [north.key])[0][1].error is None
        assert look(page) == "ok"
        page.locator("#proof-line").click()
        drawer = page.locator("#drawer")
        expect(drawer).to_contain_text("2 个见证方中有 1 个看到同一本账并签了名")
        expect(drawer).to_contain_text("witness.example/nord")
        expect(drawer).to_contain_text("2026-04-20 06:00 UTC")
        expect(drawer).not_to_contain_text("witness.example/sued")
    finally:
        rt.witnesses = ()


@pytest.mark.parametrize("fruit", [2, 13])
def test_each_fruit_of_the_box_is_checked_when_it_stands_first(page: Page, fruit: int) -> None:
    assert look(page, f"{PACK_PATH}?fruit={fruit}") == "ok"


def test_the_drawer_shows_the_work(page: Page) -> None:
    look(page)
    page.locator("article[data-kind=graded] summary").click()
    drawer = page.locator("#drawer")
    expect(drawer).to_be_visible()
    expect(drawer.locator("h2")).to_have_text("4 项全部相符")
    expect(drawer).to_contain_text("公链的合约里是同一个树头")
    expect(drawer).to_contain_text("这条链由运营方自己保存")
    expect(drawer.locator(".see-there pre")).to_contain_text("eth_call")
    drawer.locator("details summary").last.click()
    shown = json.loads(drawer.locator("details pre").last.text_content() or "")
    assert shown["gy:sentence"] == "graded/1"
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    page.locator("#proof-line").click()
    expect(drawer.locator("h2")).to_have_text("6 项全部相符")


def test_a_recalled_lot_checks_and_is_still_recalled(page: Page) -> None:
    assert look(page, RECALLED_LOT.removeprefix("https://id.gs1.org")) == "ok"
    expect(page.locator(".alarm").first).to_contain_text("请不要吃")


def test_without_scripts_the_story_is_there(browser: Browser, world: tuple[Runtime, Golden, str]) -> None:
    context = browser.new_context(viewport=PHONE, locale="zh-CN", base_url=world[2], java_script_enabled=False)
    page = context.new_page()
    page.goto(PACK_PATH)
    expect(page.locator("h1")).to_contain_text("采下这盒贵妃芒果")
    assert "浏览器关掉了脚本" in page.content()
    expect(page.locator("#proof-line")).to_have_attribute("data-state", "claimed")
    page.locator("article[data-kind=packed] summary").click()
    expect(page.locator("article[data-kind=packed] .hash")).to_be_visible()
    context.close()


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("width", [320, 960])
def test_nothing_is_wider_than_the_screen(page: Page, width: int, lang: str) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for path in (PACK_PATH, "/", "/01/09521002001013/21/AAAAAAAAAAAA"):
        page.goto(f"{path}?lang={lang}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


# --- what is not ----------------------------------------------------------------------------------


def test_a_server_that_shows_another_number_is_caught(page: Page) -> None:
    altering(page, the_page, lambda html: html.replace(">4.56\xa0kg<", ">5.56\xa0kg<"))
    assert look(page) == "bad"
    expect_contradiction(page, "页面写“5.56\xa0kg”，封存的记录是“4.56\xa0kg”")
    expect(page.locator("article[data-kind=packed]")).to_have_attribute("data-state", "bad")


def test_a_server_that_names_another_cooperative_is_caught(page: Page) -> None:
    """The name stands in no entry; the proof opens the digest that the plot's passport has of it."""
    altering(page, the_page, lambda html: html.replace(f">{golden.OWNER_NAME}<", ">别家合作社<"))
    assert look(page) == "bad"
    expect_contradiction(page, f"页面写“别家合作社”，封存的记录是“{golden.OWNER_NAME}”")


def test_a_true_number_of_another_record_is_caught(page: Page) -> None:
    """The mass of the whole harvest is true and sealed; it is not the mass of this box."""

    def swap(html: str) -> str:
        harvest = re.search(r'<span data-fact="[^"]+" data-as="kg">40\.2\xa0kg</span>', html)
        assert harvest
        claimed = harvest[0].replace('data-as="kg"', 'data-as="kg" data-claim="net"')
        return re.sub(r'<span data-fact="[^"]+" data-as="kg" data-claim="net">[^<]+</span>', claimed, html)

    altering(page, the_page, swap)
    assert look(page) == "bad"
    expect_contradiction(page, "是别的记录里的数")


def test_a_recall_that_the_page_does_not_tell_is_caught(page: Page) -> None:
    path = RECALLED_LOT.removeprefix("https://id.gs1.org")

    def hush(html: str) -> str:
        return re.sub(r'<section class="alarm" role="alert" data-recalled>.*?</section>', "", html, flags=re.DOTALL)

    altering(page, lambda url: urlsplit(url).path == path, hush)
    assert look(page, path) == "bad"
    expect_contradiction(page, "它已经召回")


def test_a_curve_that_was_smoothed_is_caught(page: Page) -> None:
    altering(
        page,
        the_page,
        lambda html: re.sub(r'<path class="over" d="[^"]*"/>', '<path class="over" d="M0 0L1 1"/>', html),
    )
    assert look(page) == "bad"
    expect_contradiction(page, "曲线和封存的读数对不上")


def test_a_record_kept_from_the_reader_is_caught(page: Page) -> None:
    def hide(html: str) -> str:
        return re.sub(r'"leaves":"(\d+)-(\d+)', lambda m: f'"leaves":"{int(m[1]) + 1}-{m[2]}', html)

    altering(page, the_page, hide)
    assert look(page) == "bad"
    expect_contradiction(page, "页面没有告诉您")


def test_another_photograph_is_caught(page: Page, world: tuple[Runtime, Golden, str]) -> None:
    crop = parse_ni(world[1].crops[0]).hex()
    page.route(
        re.compile(f"/files/{crop}"), lambda r: r.fulfill(body=golden.box_picture(seed=9), content_type="image/jpeg")
    )
    assert look(page) == "bad"
    expect_contradiction(page, "照片和封存的指纹对不上")


def test_other_readings_behind_a_curve_are_caught(page: Page) -> None:
    def smoothed(route: Route) -> None:
        answer = route.fetch()
        body = answer.body()
        is_readings = body.startswith(b'{"device"')
        route.fulfill(response=answer, body=body.replace(b'"value":12.', b'"value":11.') if is_readings else body)

    page.route(re.compile(r"/files/[0-9a-f]{64}"), smoothed)
    assert look(page) == "bad"
    expect_contradiction(page, "读数和封存的指纹对不上")


def test_a_fruit_record_that_was_rewritten_is_caught(page: Page) -> None:
    altering(page, re.compile(r"/files/records"), lambda records: records.replace('"priceFen":690', '"priceFen":490'))
    # The line no longer has the hash that the log names, and the true record is fetched by its own name instead.
    assert look(page) == "ok"


def test_a_forged_proof_is_caught(page: Page) -> None:
    altering(page, re.compile(r"/api/v1/proof"), lambda proof: proof.replace("4560", "4561"))
    assert look(page) == "bad"
    expect_contradiction(page, "证明不成立")


def test_a_chain_that_holds_another_head_is_caught(page: Page) -> None:
    def other_root(answer: str) -> str:
        results = json.loads(answer)
        for each in results:
            if isinstance(each["result"], str) and len(each["result"]) > 66:
                head = each["result"]
                each["result"] = head[:66] + ("0" if head[66] != "0" else "1") + head[67:]
        return json.dumps(results)

    altering(page, re.compile(r"/rpc$"), other_root)
    assert look(page) == "bad"
    expect_contradiction(page, "公链上锁着的是另一个树头")


def test_a_second_log_key_is_caught(page: Page) -> None:
    look(page)
    page.evaluate("localStorage.setItem('guoyuan.log.guoyuan.example/log', 'another key')")
    assert look(page) == "bad"
    expect_contradiction(page, "和您上次看到的不是同一把")


def test_one_changed_byte_behind_the_servers_back_is_caught(page: Page, world: tuple[Runtime, Golden, str]) -> None:
    rt = world[0]
    with rt.db.write() as session:
        index, data = session.execute(
            text("SELECT leaf_index, data FROM ledger_entry WHERE sentence = 'graded/1'")
        ).one()
        changed = bytes(data).replace(b'"gy:fruits":118', b'"gy:fruits":119')
        assert changed != bytes(data)
        session.execute(
            text("UPDATE ledger_entry SET data = :data WHERE leaf_index = :i"), {"data": changed, "i": index}
        )
    try:
        assert look(page) == "bad"
        expect_contradiction(page, "证明不成立")
    finally:
        with rt.db.write() as session:
            session.execute(
                text("UPDATE ledger_entry SET data = :data WHERE leaf_index = :i"), {"data": bytes(data), "i": index}
            )
    assert look(page) == "ok"


# --- what cannot be known now ---------------------------------------------------------------------


def test_a_chain_that_does_not_answer_is_not_a_lie(page: Page) -> None:
    page.route(re.compile(r"/rpc$"), lambda route: route.abort())
    assert look(page) == "claimed"
    expect(page.locator("#proof-line")).to_contain_text("公链现在问不到")


def test_without_a_proof_nothing_is_called_checked(page: Page) -> None:
    page.route(re.compile(r"/api/v1/proof"), lambda route: route.abort())
    assert look(page) == "none"
    expect(page.locator("#proof-line")).to_contain_text("取不到证明文件")


def test_what_the_chain_does_not_hold_yet_is_pending(browser: Browser, tmp_path: Path) -> None:
    with golden_site(tmp_path / "home", anchor=False) as (rt, _, address):
        context = browser.new_context(viewport=PHONE, locale="zh-CN", base_url=address, service_workers="block")
        page = context.new_page()
        assert look(page) == "pending"
        expect(page.locator("#proof-line")).to_contain_text("11 步的记录和签名由您的手机核对无误，等公链确认")
        expect(page.locator(".track .next")).to_have_text("锁上公链")
        with rt.db.read() as session:
            checkpoint = latest_checkpoint(session)
        assert checkpoint
        golden.anchor(rt, checkpoint)
        assert look(page) == "ok"
        context.close()


def test_without_a_network_the_kept_copy_is_shown_and_says_so(
    browser: Browser, world: tuple[Runtime, Golden, str]
) -> None:
    context = browser.new_context(viewport=PHONE, locale="zh-CN", base_url=world[2])
    page = context.new_page()
    look(page)
    page.evaluate("navigator.serviceWorker.ready.then(() => undefined)")
    page.wait_for_function("navigator.serviceWorker.controller !== null")
    look(page)  # now through the worker, which keeps what it sees
    context.set_offline(True)
    assert look(page) in {"ok", "claimed"}
    expect(page.locator("#offline")).to_be_visible()
    expect(page.locator("#offline")).to_contain_text("没有网络")
    context.close()
