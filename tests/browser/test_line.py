"""The touch console of a belt: every state of the line on a panel, worked by scanner, thumb and keyboard."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from api.i18n import LANGUAGES, WEB
from api.line_app import create_app
from tests.browser.line_stand import EMERGENCY, TOO_DARK, Behind, Stand, alarm, doubtful_fruit, idle, running, scenes
from tests.browsing import served
from tests.waiting import until

pytestmark = pytest.mark.browser

READY = "html[data-ready]"
SIZES = {"panel": (1280, 800), "small": (1024, 768), "large": (1920, 1080), "phone": (390, 844)}
SCENES = scenes()


@pytest.fixture(scope="module")
def served_stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stand, str]]:
    stand = Stand(tmp_path_factory.mktemp("line"))
    with stand.serving() as address:
        yield stand, address


@pytest.fixture
def stand(served_stand: tuple[Stand, str]) -> Stand:
    """The line program, with nothing on it and nothing posted yet."""
    served_stand[0].reset()
    return served_stand[0]


@pytest.fixture
def site(served_stand: tuple[Stand, str]) -> str:
    return served_stand[1]


@pytest.fixture
def mortal(tmp_path: Path) -> Stand:
    """One that a test starts and stops by itself."""
    return Stand(tmp_path)


@pytest.fixture
def panel(browser: Browser, site: str) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB", base_url=site)
    yield context
    context.close()


def console(context: BrowserContext, address: str = "/") -> Page:
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(READY)
    return page


def scan(page: Page, code: str, gap_ms: int = 0) -> bool:
    """Type as a scanner does, and press Enter; return whether the page kept that Enter from what has the focus.

    The keys are dispatched in the page: sent one by one from here, a busy machine would type as slowly as a person.
    """
    return bool(
        page.evaluate(
            """async ([keys, gap]) => {
              let isKept = false;
              for (const key of keys) {
                const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
                isKept = !document.activeElement.dispatchEvent(event);
                if (gap) await new Promise((resolve) => setTimeout(resolve, gap));
              }
              return isKept;
            }""",
            [[*code, "Enter"], gap_ms],
        )
    )


def answer(page: Page, tier: str) -> Locator:
    return page.locator(f'.answer[data-tier="{tier}"]')


def press_when_ready(page: Page, button: Locator) -> None:
    """Press after the half second in which a new fruit takes no answer."""
    expect(button).to_be_visible()
    page.wait_for_timeout(550)
    button.click()


def posted(stand: Stand, path: str) -> list[Any]:
    """What was posted to a path, once something was: a page says that a fruit is judged before the post arrives."""
    until(lambda: stand.posts(path))
    return stand.posts(path)


def hold_until(page: Page, button: Locator, shown: Locator) -> None:
    """Hold a button until something shows."""
    button.hover()
    page.mouse.down()
    expect(shown).to_be_visible()
    page.mouse.up()


def brush(page: Page, selector: str) -> None:
    """Touch and let go, as a sleeve does."""
    page.evaluate(
        """(selector) => {
          const button = document.querySelector(selector);
          button.setPointerCapture = () => {};
          button.dispatchEvent(new PointerEvent("pointerdown", { button: 0, pointerId: 1, bubbles: true }));
          button.dispatchEvent(new PointerEvent("pointerup", { button: 0, pointerId: 1, bubbles: true }));
          button.click();
        }""",
        selector,
    )


# --- what stands is shown -------------------------------------------------------------------------


def test_a_running_line_shows_its_counters_lanes_rate_and_live_picture(stand: Stand, panel: BrowserContext):
    stand.state = running()
    page = console(panel)
    first = page.locator(".counter").first
    expect(first).to_contain_text("5,218")
    expect(first).to_contain_text("2,271 kg")
    expect(first).to_contain_text("Lane 1")
    expect(page.locator(".pace-now")).to_contain_text("1,710")
    expect(page.locator(".caption")).to_contain_text("Live")
    expect(page.locator("#veil")).to_be_hidden()
    expect(page.locator(".passed").first).to_contain_text("¥12.40")
    assert page.locator("#picture").evaluate("each => each.width") == 640
    stand.state = running() | {"batch": running()["batch"] | {"rate_per_min": 1333}}
    expect(page.locator(".pace-now")).to_contain_text("1,333")


def test_fruit_that_missed_their_lane_are_listed_with_where_they_lie_and_why(stand: Stand, panel: BrowserContext):
    stand.state = SCENES["astray"]
    page = console(panel)
    page.get_by_role("button", name="23 fruit missed their lane").click()
    listed = page.locator(".astray-list li")
    expect(listed).to_have_count(5)
    expect(listed.first).to_contain_text("Fruit 9701")
    expect(listed.first).to_contain_text("Reject lane")
    expect(listed.first).to_contain_text("the sorter did not answer")
    expect(listed.nth(2)).to_contain_text("nobody knows where")
    expect(page.get_by_role("dialog")).to_contain_text("Only the newest 5 are listed")


def test_frames_left_out_are_told_while_it_happens_and_in_sum_afterwards(stand: Stand, panel: BrowserContext):
    """One time in three looked at for ten seconds; then well again, and the sum stays on the sheet."""
    stand.state = running()
    page = console(panel)
    camera = page.locator(".cell-camera")
    expect(camera).to_contain_text("30 fps")
    stand.state = running() | {"batch": running()["batch"] | {"rate_per_min": 1333}}
    expect(page.locator(".pace-now")).to_contain_text("1,333")  # the page follows, and counts from here at the latest
    page.wait_for_timeout(5500)
    stand.state = running() | {"source": running()["source"] | {"dropped": 200, "skipped": 7}}
    expect(camera).to_contain_text("% missed")
    assert camera.get_attribute("data-how") == "wait"
    page.locator("#system").click()
    expect(page.locator(".sheet")).to_contain_text("200 frames came too fast to look at · 7 broken frames")


SAID = [
    ("idle", "#side", "Scan a crate to start"),
    ("running", "#side", "No doubtful fruit"),
    ("queue", "#side", "Fruit 17 · 6 waiting"),
    ("stop", ".band-stop", "Too dark"),
    ("stop", ".band-steps", "See that all lamps are on"),
    ("stop", "#veil", "Not grading"),
    ("drift", ".band-warning", "Light or camera drifts"),
    ("offline", ".cell-delivery", "42 waiting, grading goes on"),
    ("refused", ".cell-delivery", "refused, 3 kept here"),
    ("emergency", ".band-stop", "Everything goes to reject"),
    ("emergency", "#foot", "Resume grading"),
    ("expired", ".cell-calibration", "expired"),
    ("camera-lost", "#veil", "Camera lost since"),
    ("camera-lost", ".caption", "Not live"),
    ("outputs-lost", ".cell-outputs", "modbus lost"),
    ("astray", ".cell-delivery", "no server, 9,706 kept here"),
    ("astray", ".sums", "Near a limit−¥1542.80812"),  # noqa: RUF001  # a minus
    ("astray", ".sums", "Weighed9,650"),
    ("astray", ".astray", "23 fruit missed their lane"),
    ("astray", ".passed-astray", "Reject lane"),
    ("many", ".chips", "Disk is filling up"),
]


def test_every_state_says_so_in_words(stand: Stand, panel: BrowserContext):
    page = console(panel)
    for scene, place, words in SAID:
        stand.state = SCENES[scene]
        expect(page.locator(place).first, scene).to_contain_text(words)
        if scene == "offline":
            expect(page.locator(".band"), "being offline is no alarm").to_have_count(0)
    assert {scene for scene, _, _ in SAID} == set(SCENES)


def test_the_first_view_is_true_without_scripts(stand: Stand, browser: Browser, site: str):
    stand.state = SCENES["stop"]
    context = browser.new_context(java_script_enabled=False, base_url=site, locale="en-GB")
    page = context.new_page()
    page.goto("/")
    expect(page.locator(".counter").first).to_contain_text("5,218")
    expect(page.locator(".band-stop")).to_contain_text("Brightness 71")
    expect(page.locator(".cell-lot")).to_contain_text("0618-07")
    assert page.locator("img.picture").evaluate("each => each.naturalWidth") == 640
    expect(page.locator("#bands .band-warning")).to_contain_text("red switch")
    context.close()


def test_alarms_are_read_aloud_once(stand: Stand, panel: BrowserContext):
    stand.state = running()
    page = console(panel)
    stand.state = running() | {"alarms": [alarm(*TOO_DARK)]}
    expect(page.locator("#aloud")).to_contain_text("Too dark")
    assert page.locator("#aloud").get_attribute("aria-live") == "assertive"
    page.evaluate("document.querySelector('#aloud').textContent = ''")
    page.wait_for_timeout(1500)
    assert page.locator("#aloud").text_content() == ""


# --- the picture ----------------------------------------------------------------------------------


def test_single_pictures_take_over_where_the_stream_does_not_come(stand: Stand, panel: BrowserContext):
    stand.state = running()
    stand.has_stream = False
    page = console(panel)
    expect(page.locator(".caption")).to_contain_text("Single pictures")
    assert page.locator("#picture").evaluate("each => each.width") == 640


def test_a_picture_that_stands_still_says_how_old_it_is(stand: Stand, panel: BrowserContext):
    stand.state = running()
    page = console(panel)
    expect(page.locator(".caption")).to_contain_text("Live")
    stand.is_frozen = True
    expect(page.locator("#veil")).to_contain_text(re.compile(r"The picture is \d+ s old"))


# --- scanning -------------------------------------------------------------------------------------


def test_a_scanned_crate_starts_a_lot_wherever_the_focus_is(stand: Stand, panel: BrowserContext):
    page = console(panel)
    page.locator("#system").focus()
    assert scan(page, "https://id.gs1.org/8003/0695012345678"), "the scanner's Enter presses no button"
    expect(page.locator(".cell-lot")).to_contain_text("0618-07")
    assert posted(stand, "/batches") == [{"scanned": "https://id.gs1.org/8003/0695012345678"}]
    assert page.locator("dialog").count() == 0


def test_slow_typing_is_not_a_scan(stand: Stand, panel: BrowserContext):
    page = console(panel)
    assert not scan(page, "CRATE-1", gap_ms=160)
    assert stand.posted == []


def test_a_code_is_typed_on_the_panels_own_keys(stand: Stand, panel: BrowserContext):
    page = console(panel)
    page.locator("#type-code").click()
    for key in "C7-1":
        page.locator(".letters .key", has_text=re.compile(f"^{key}$")).click()
    page.get_by_role("button", name="OK").click()
    expect(page.locator(".cell-lot")).to_contain_text("0618-07")
    assert posted(stand, "/batches") == [{"scanned": "C7-1"}]


def test_a_refused_crate_is_answered_in_the_readers_language(stand: Stand, panel: BrowserContext):
    stand.answers["batches"] = (404, {"title": "x", "detail": "no such crate", "detail_zh": "没有这个筐"})
    page = console(panel, "/?lang=zh")
    scan(page, "CRATE-404")
    expect(page.locator("#say")).to_have_text("没有这个筐")
    page.goto("/?lang=en")
    page.wait_for_selector(READY)
    scan(page, "CRATE-404")
    expect(page.locator("#say")).to_have_text("no such crate")


def test_a_scan_with_a_lot_on_the_line_asks_before_it_ends_it(stand: Stand, panel: BrowserContext):
    stand.state = running()
    page = console(panel)
    scan(page, "CRATE-99")
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("End lot 0618-07?")
    expect(dialog).to_contain_text("CRATE-99")
    scan(page, "CRATE-98")
    expect(page.locator("dialog")).to_have_count(1)
    assert stand.posted == []
    page.locator("#end-next").click()
    expect(page.locator("#say")).to_contain_text("The lot is on the line")
    assert stand.posted == [("/batches/close", {"weighed_g": None}), ("/batches", {"scanned": "CRATE-99"})]


def test_a_lot_ends_with_the_weights_of_its_tiers(stand: Stand, panel: BrowserContext):
    stand.state = running()
    page = console(panel)
    page.locator("#end-lot").click()
    page.locator("#end-weigh").click()
    expect(page.locator("#end-weighed")).to_be_disabled()
    for tier, kilograms in (("A", "2250.5"), ("B", "1400"), ("C", "250"), ("cull", "38.2")):
        page.locator(f'.weight[data-tier="{tier}"]').click()
        for key in kilograms:
            page.locator(".keys .key", has_text=re.compile(f"^{re.escape(key)}$")).click()
    expect(page.locator(".typed-verdict")).to_contain_text("3,938.7")
    page.locator("#end-weighed").click()
    expect(page.locator("#say")).to_contain_text("Lot 0618-07 has ended")
    weighed = {"A": 2_250_500, "B": 1_400_000, "C": 250_000, "cull": 38_200}
    assert posted(stand, "/batches/close") == [{"weighed_g": weighed}]


def test_a_lot_ends_although_fruit_wait_when_the_house_decides_about_them(stand: Stand, panel: BrowserContext):
    stand.state = running(2)
    page = console(panel)
    page.locator("#end-lot").click()
    page.locator("#end-leave").click()
    expect(page.locator("#say")).to_contain_text("Lot 0618-07 has ended")
    assert posted(stand, "/batches/close") == [{"weighed_g": None, "leaves_doubtful": True}]
    stand.state = running()
    page.reload()
    page.locator("#end-lot").click()
    expect(page.locator("#end-camera")).to_be_visible()
    expect(page.locator("#end-leave")).to_have_count(0)


# --- judging --------------------------------------------------------------------------------------


def test_one_press_judges_a_doubtful_fruit_and_the_next_one_comes(stand: Stand, panel: BrowserContext):
    stand.state = running(2)
    page = console(panel)
    expect(page.locator(".why")).to_contain_text("Marks of 3.1 cm²")
    expect(page.locator(".measures")).to_contain_text("71.2mm")
    expect(page.locator(".side-one")).to_have_count(5)
    press_when_ready(page, answer(page, "B"))
    expect(page.locator('.judge[data-fruit="21"]')).to_be_visible()
    assert posted(stand, "/fruit/17/judge") == [{"tier": "B", "reason": "looked", "second_code": None}]


def test_a_second_tap_of_the_same_finger_does_not_judge_the_next_fruit(stand: Stand, panel: BrowserContext):
    stand.state = running(2)
    page = console(panel)
    page.wait_for_timeout(550)
    page.evaluate(
        """() => { const tap = () => document.querySelector('.answer[data-tier="B"]').click();
                   tap(); tap(); tap(); }"""
    )
    expect(page.locator('.judge[data-fruit="21"]')).to_be_visible()
    page.wait_for_timeout(600)
    assert posted(stand, "/fruit/17/judge")
    assert [path for path, _ in stand.posted] == ["/fruit/17/judge"]
    answer(page, "B").click()  # the control: the same tap, half a second later, is a judgement
    expect(page.locator("#side")).to_contain_text("No doubtful fruit")
    assert posted(stand, "/fruit/21/judge")
    assert [path for path, _ in stand.posted] == ["/fruit/17/judge", "/fruit/21/judge"]


@pytest.mark.parametrize("size", [(800, 480), (1280, 800)])
def test_a_second_tap_of_the_finger_that_asked_for_the_end_does_not_end_the_lot(
    stand: Stand, browser: Browser, site: str, size: tuple[int, int]
):
    """Both taps come in one go: how fast the machine is does not matter."""
    stand.state = running(6)
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, locale="en-GB", base_url=site)
    page = console(context)
    page.evaluate(
        """() => {
          const box = document.querySelector("#end-lot").getBoundingClientRect();
          for (const _ of [1, 2])
            document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)
              .dispatchEvent(new MouseEvent("click", { bubbles: true }));
        }"""
    )
    expect(page.locator("dialog")).to_be_visible()
    page.locator("#end-leave").click()
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator("#end-lot")).to_have_count(0)
    assert posted(stand, "/batches/close") == [{"weighed_g": None, "leaves_doubtful": True}]
    context.close()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_low_panel_shows_the_belt_and_the_fruit_to_be_judged_beside_its_answers(
    stand: Stand, browser: Browser, site: str, lang: str
):
    context = browser.new_context(viewport={"width": 800, "height": 480}, base_url=site)
    page = console(context, f"/?lang={lang}")
    for name, scene in SCENES.items():
        stand.state = scene if scene["batch"] is None else scene | {"batch": scene["batch"] | {"lot": name}}
        expect(page.locator(".cell-lot b")).to_have_text(name if scene["batch"] else NO_LOT[lang])
        page.evaluate(_DRAWN)
        assert page.evaluate(_CRAMPED) == [], (name, lang)
    context.close()


_CRAMPED = """() => {
  const wrong = [];
  const box = (one) => (typeof one === "string" ? document.querySelector(one) : one).getBoundingClientRect();
  if (document.documentElement.scrollWidth > 800 || document.documentElement.scrollHeight > 480) wrong.push("scrolls");
  if (box(".screen").height < 100) wrong.push(`the belt is ${box(".screen").height} high`);
  if (box(".caption").bottom > box("#pace").top + 1 && box("#pace").height) wrong.push("caption and rate overlap");
  for (const each of document.querySelectorAll(".counter-big"))
    if (box(each).height > 1.6 * parseFloat(getComputedStyle(each).fontSize)) wrong.push(`${each.textContent} wraps`);
  const foot = box(".foot").top;
  for (const each of [...document.querySelectorAll(".suspect"), ...document.querySelectorAll(".answer")].slice(0, 2))
    if (box(each).bottom - Math.max(0, box(each).bottom - foot) - box(each).top < 60) wrong.push("nothing to judge by");
  for (const each of document.querySelectorAll(".answer, .hold, .foot .push, .queue-one, .tool"))
    if (each.checkVisibility() && Math.min(box(each).width, box(each).height) < 59.5)
      wrong.push(`${each.className} is small`);
  return wrong;
}"""


def test_a_key_held_down_judges_one_fruit_only(stand: Stand, panel: BrowserContext):
    stand.state = running(3)
    page = console(panel)
    page.wait_for_timeout(550)
    answer(page, "B").focus()
    page.keyboard.down("Enter")
    expect(page.locator('.judge[data-fruit="21"]')).to_be_visible()
    expect(answer(page, "B")).to_be_focused()
    page.wait_for_timeout(600)
    page.keyboard.down("Enter")  # a second time without going up: the key repeats
    page.keyboard.up("Enter")
    assert posted(stand, "/fruit/17/judge")
    assert [path for path, _ in stand.posted] == ["/fruit/17/judge"]
    page.keyboard.press("Enter")  # the control: a press of its own is a judgement
    expect(page.locator('.judge[data-fruit="25"]')).to_be_visible()


def test_a_tier_better_than_the_numbers_takes_a_second_person(stand: Stand, panel: BrowserContext):
    stand.state = running(1)
    page = console(panel)
    expect(answer(page, "A")).to_contain_text("two people")
    press_when_ready(page, answer(page, "A"))
    page.keyboard.type("K7Q2")
    assert stand.posted == []
    page.get_by_role("button", name="We both agree").click()
    expect(page.locator("#say")).to_contain_text("Fruit 17 is Tier A")
    assert posted(stand, "/fruit/17/judge") == [{"tier": "A", "reason": "looked", "second_code": "K7Q2"}]
    assert "K7Q2" not in page.evaluate("JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")


def test_a_wrong_second_code_is_asked_for_again(stand: Stand, panel: BrowserContext):
    stand.state = running(1)
    stand.answers["fruit/17/judge"] = (403, {"code": "second_person", "detail": "that is your own code"})
    page = console(panel)
    press_when_ready(page, answer(page, "A"))
    page.get_by_label("Second person's code").fill("OWN")
    page.get_by_role("button", name="We both agree").click()
    expect(page.locator(".wrong-words")).to_have_text("that is your own code")
    stand.answers.clear()
    page.get_by_label("Second person's code").fill("OTHER")
    page.get_by_role("button", name="We both agree").click()
    expect(page.locator("#say")).to_contain_text("Fruit 17 is Tier A")


def test_another_tier_wants_a_reason_and_a_half_made_judgement_survives_a_reload(stand: Stand, panel: BrowserContext):
    stand.state = running(1)
    page = console(panel)
    press_when_ready(page, page.get_by_role("button", name="Another tier, with a reason"))
    page.locator('[data-focus="tier-C"]').click()
    expect(page.get_by_role("button", name="Choose tier and reason")).to_be_disabled()
    page.reload()
    page.wait_for_selector(READY)
    expect(page.locator('[data-focus="tier-C"]')).to_have_attribute("aria-pressed", "true")
    press_when_ready(page, page.locator('[data-focus="reason-bruise"]'))
    page.get_by_role("button", name="Tier C: Bruise").click()
    expect(page.locator("#side")).to_contain_text("No doubtful fruit")
    assert posted(stand, "/fruit/17/judge") == [{"tier": "C", "reason": "bruise", "second_code": None}]


def test_a_half_made_judgement_stays_when_the_house_names_the_batch(stand: Stand, panel: BrowserContext):
    stand.state = running(1)
    page = console(panel)
    press_when_ready(page, page.get_by_role("button", name="Another tier, with a reason"))
    page.locator('[data-focus="tier-C"]').click()
    stand.state = stand.state | {"batch": stand.state["batch"] | {"ref": "GB-2026-0007", "lot": "named"}}
    expect(page.locator(".cell-lot b")).to_have_text("named")
    expect(page.locator('[data-focus="tier-C"]')).to_have_attribute("aria-pressed", "true")


def test_a_fruit_the_camera_graded_is_corrected_with_a_reason(stand: Stand, panel: BrowserContext):
    stand.state = running()
    page = console(panel)
    page.get_by_role("button", name="Fruit 9706 · Tier A").click()
    expect(page.locator("dialog")).to_contain_text("Large and clean enough for tier A")
    page.get_by_role("button", name="Correct this fruit").click()
    page.get_by_role("button", name="Rot").click()
    page.locator("dialog .pick-tier").last.click()
    page.get_by_role("button", name="Cull: Rot").click()
    expect(page.locator("#say")).to_contain_text("Fruit 9706 is Cull")
    assert posted(stand, "/fruit/9706/judge") == [{"tier": "cull", "reason": "rot", "second_code": None}]


def test_without_a_network_the_panel_says_beforehand_that_two_people_need_it(stand: Stand, panel: BrowserContext):
    stand.state = SCENES["offline"] | {"queue": running(1)["queue"]}
    expect(answer(console(panel), "A")).to_contain_text("needs network")


def test_a_line_that_forgot_who_signed_in_asks_again(stand: Stand, panel: BrowserContext):
    stand.state = running(1)
    page = console(panel)
    stand.is_shut = True
    page.wait_for_url("**/sign-in")


def test_a_new_doubtful_fruit_does_not_push_away_the_one_being_looked_at(stand: Stand, panel: BrowserContext):
    stand.state = running(2)
    page = console(panel)
    page.locator(".queue-one").first.click()
    expect(page.locator('.judge[data-fruit="21"]')).to_be_visible()
    page.evaluate("document.querySelector('.answer').marked = true")
    stand.state = running(2) | {"queue": [doubtful_fruit(3), *running(2)["queue"]]}
    expect(page.locator(".judge h2")).to_contain_text("3 waiting")
    assert page.locator(".judge").get_attribute("data-fruit") == "21"


# --- the program dies -----------------------------------------------------------------------------


def test_the_page_outlives_the_program_and_sends_what_was_judged_meanwhile_once(mortal: Stand, browser: Browser):
    mortal.state = running(2)
    with mortal.serving() as address:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB", base_url=address)
        page = console(context)
        page.evaluate("window.sameDocument = true")
        expect(page.locator(".caption")).to_contain_text("Live")
    expect(page.locator(".band-stop")).to_contain_text("The line program does not answer")
    expect(page.locator("#veil")).to_contain_text("No new pictures")
    has_shape = "each => document.querySelector(each.getAttribute('href'))?.tagName === 'symbol'"
    assert page.locator(".band-stop use").evaluate(has_shape), "its icon needs no program"
    press_when_ready(page, answer(page, "B"))
    expect(page.locator(".unsent")).to_contain_text("1 judgement kept")
    expect(page.locator('.judge[data-fruit="21"]')).to_be_visible()
    assert page.locator(".suspect img").evaluate("each => each.decode().then(() => each.naturalWidth > 0)")
    assert mortal.posted == []
    with mortal.serving():
        expect(page.locator(".unsent")).to_have_count(0)
        expect(page.locator(".band")).to_have_count(0)
        expect(page.locator(".caption")).to_contain_text("Live")
        page.wait_for_timeout(1800)
        assert posted(mortal, "/fruit/17/judge") == [{"tier": "B", "reason": "looked", "second_code": None}]
        assert page.evaluate("window.sameDocument")
        context.close()


def test_a_judgement_whose_answer_was_lost_is_not_sent_twice(mortal: Stand, browser: Browser):
    """The program takes it and dies before it answers; started again, it no longer asks about the fruit."""
    mortal.state = running(2)
    mortal.swallows.add("fruit/17/judge")
    with mortal.serving() as address:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB", base_url=address)
        page = console(context)
        press_when_ready(page, answer(page, "B"))
        expect(page.locator(".unsent")).to_be_visible()
        assert posted(mortal, "/fruit/17/judge")
    mortal.state = running(2) | {"queue": running(2)["queue"][1:]}
    mortal.swallows.clear()
    with mortal.serving():
        expect(page.locator("#say")).to_contain_text("The judgement of fruit 17 had arrived")
        page.wait_for_timeout(1800)
        assert len(posted(mortal, "/fruit/17/judge")) == 1
        context.close()


def test_a_judgement_that_died_with_the_program_is_sent_again(mortal: Stand, browser: Browser):
    """The control of the test above: the program started again still asks about the fruit."""
    mortal.state = running(2)
    mortal.swallows.add("fruit/17/judge")
    with mortal.serving() as address:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB", base_url=address)
        page = console(context)
        press_when_ready(page, answer(page, "B"))
        expect(page.locator(".unsent")).to_be_visible()
        assert posted(mortal, "/fruit/17/judge")
    mortal.swallows.clear()
    mortal.posted.clear()
    with mortal.serving():
        expect(page.locator("#say")).to_contain_text("Fruit 17 is Tier B")
        assert len(posted(mortal, "/fruit/17/judge")) == 1
        context.close()


def test_a_judgement_of_a_lot_that_ended_meanwhile_is_not_sent_to_the_next(mortal: Stand, browser: Browser):
    mortal.state = running(1)
    with mortal.serving() as address:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB", base_url=address)
        page = console(context)
    expect(page.locator(".band-stop")).to_be_visible()
    press_when_ready(page, answer(page, "B"))
    mortal.state = running(1) | {
        "batch": running()["batch"] | {"opened_at": "2026-11-22T09:00:00.000Z", "lot": "0618-08"}
    }
    with mortal.serving():
        expect(page.locator("#say")).to_contain_text("this judgement was not used")
        expect(page.locator('.judge[data-fruit="17"]')).to_be_visible()
        page.wait_for_timeout(1800)
        assert mortal.posted == []
        context.close()


# --- emergency ------------------------------------------------------------------------------------


def test_everything_to_reject_is_held_not_brushed_and_cleared_by_holding(stand: Stand, panel: BrowserContext):
    stand.state = running()
    page = console(panel)
    brush(page, "#emergency")
    page.wait_for_timeout(1200)
    assert stand.posted == []
    hold_until(page, page.locator("#emergency"), page.locator("#clear"))
    expect(page.locator(".band-stop")).to_contain_text("Everything goes to reject")
    assert posted(stand, "/emergency") == [{"reason": "console"}]
    brush(page, "#clear")
    page.wait_for_timeout(2100)
    assert stand.posts("/emergency/clear") == []
    hold_until(page, page.locator("#clear"), page.locator("#emergency"))
    expect(page.locator(".band")).to_have_count(0)
    assert len(stand.posts("/emergency/clear")) == 1


def test_an_emergency_is_sent_until_the_program_takes_it(mortal: Stand, browser: Browser):
    mortal.state = running()
    with mortal.serving() as address:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB", base_url=address)
        page = console(context)
    hold_until(page, page.locator("#emergency"), page.locator('[data-kind="unconfirmed"]'))
    expect(page.locator('[data-kind="unconfirmed"]')).to_contain_text("Press the red switch on the belt")
    with mortal.serving():
        expect(page.locator('.band[data-kind="emergency"]')).to_be_visible()
        expect(page.locator('[data-kind="unconfirmed"]')).to_have_count(0)
        assert posted(mortal, "/emergency") == [{"reason": "console"}]
        context.close()


def test_the_emergency_button_is_held_by_keyboard_too(stand: Stand, panel: BrowserContext):
    stand.state = running()
    page = console(panel)
    page.locator("#emergency").focus()
    page.evaluate(
        """() => ["keydown", "keyup"].forEach((name) =>
          document.activeElement.dispatchEvent(new KeyboardEvent(name, { key: "Enter", bubbles: true })))"""
    )
    page.wait_for_timeout(1200)
    assert stand.posted == []
    page.keyboard.down(" ")
    expect(page.locator("#clear")).to_be_visible()
    page.keyboard.up(" ")
    assert posted(stand, "/emergency") == [{"reason": "console"}]


def test_an_emergency_pressed_elsewhere_shows_here(stand: Stand, panel: BrowserContext):
    stand.state = running()
    page = console(panel)
    stand.state = running() | {"alarms": [alarm(*EMERGENCY)]}
    expect(page.locator("#clear")).to_be_visible()


def test_a_dialog_does_not_hide_the_emergency(stand: Stand, panel: BrowserContext):
    stand.state = running()
    page = console(panel)
    page.locator("#end-lot").click()
    assert page.evaluate("document.activeElement.tagName") == "H2", "no button has the focus by itself"
    hold_until(page, page.locator("dialog .hold-stop"), page.locator('.band[data-kind="emergency"]'))
    assert posted(stand, "/emergency") == [{"reason": "console"}]


def test_the_line_programs_own_application_serves_the_console(stand: Stand, browser: Browser):
    stand.state = running(1)
    with served(create_app(Behind(stand))) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB", base_url=address)
        page = console(context)
        expect(page.locator(".caption")).to_contain_text("Live")
        assert page.locator(".suspect img").evaluate("each => each.decode().then(() => each.naturalWidth > 0)")
        press_when_ready(page, answer(page, "B"))
        expect(page.locator("#say")).to_contain_text("Fruit 17 is Tier B")
        hold_until(page, page.locator("#emergency"), page.locator("#clear"))
        hold_until(page, page.locator("#clear"), page.locator("#emergency"))
        scan(page, "CRATE-9")
        page.locator("#end-next").click()
        expect(page.locator("#say")).to_contain_text("The lot is on the line")
        context.close()
    assert [path for path, _ in stand.posted] == [
        "/fruit/17/judge",
        "/emergency",
        "/emergency/clear",
        "/batches/close",
        "/batches",
    ]


# --- hands, eyes, languages -----------------------------------------------------------------------


@pytest.mark.parametrize(("lang", "size"), [*(("en", size) for size in SIZES), ("zh", "panel"), ("zh", "phone")])
def test_no_state_overflows_and_every_target_is_large(stand: Stand, browser: Browser, site: str, lang: str, size: str):
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, base_url=site)
    page = console(context, f"/?lang={lang}")
    for name, scene in SCENES.items():
        stand.state = scene if scene["batch"] is None else scene | {"batch": scene["batch"] | {"lot": name}}
        expect(page.locator(".cell-lot b")).to_have_text(name if scene["batch"] else NO_LOT[lang])
        page.evaluate(_DRAWN)
        assert page.evaluate(_OVERFLOW, size != "phone") == [], (name, size, lang)
        assert page.evaluate(_SMALL) == [], (name, size, lang)
    context.close()


NO_LOT = {"zh": "线上无果", "en": "none on the line"}
_DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
_OVERFLOW = """(isPanel) => {
  const wrong = [];
  const page = document.documentElement;
  if (page.scrollWidth > innerWidth) wrong.push(`page is ${page.scrollWidth} wide`);
  if (isPanel && page.scrollHeight > innerHeight) wrong.push(`page is ${page.scrollHeight} high`);
  for (const each of document.querySelectorAll(".floor > *, .counter, .pace > *, .answers, .foot > *, .judge > *")) {
    const box = each.getBoundingClientRect();
    if (!box.width) continue;
    const isOut = box.right > innerWidth + 1 || (isPanel && box.bottom > innerHeight + 1);
    if (isOut) wrong.push(`${each.className} leaves the screen`);
  }
  for (const each of document.querySelectorAll(".counter, .answer, .hold, .push, .pace, .cell-lot, .judge-head"))
    if (each.scrollWidth > each.clientWidth + 1) wrong.push(`${each.className} is cut: ${each.textContent}`);
  return wrong;
}"""
_SMALL = """() => [...document.querySelectorAll("button, a")].filter((each) => {
  if (each.closest(".skip")) return false;
  const { width, height } = each.getBoundingClientRect();
  const least = each.matches(".answer, .hold, .foot .push, .pick-tier, .judge > .push") ? 71.5 : 43.5;
  return width > 0 && each.checkVisibility() && (height < least || width < 43.5);
}).map((each) => `${each.className} ${each.getBoundingClientRect().width}x${each.getBoundingClientRect().height}`)"""


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_words_stand_out_from_their_ground(stand: Stand, browser: Browser, site: str, theme: str):
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="zh-CN", base_url=site)
    context.add_cookies([{"name": "guoyuan_line_theme", "value": theme, "url": site}])
    page = console(context)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    for name in ("idle", "queue", "stop", "drift", "offline", "emergency", "expired", "many"):
        scene = SCENES[name]
        stand.state = scene if scene["batch"] is None else scene | {"batch": scene["batch"] | {"lot": name}}
        expect(page.locator(".cell-lot b")).to_have_text(name if scene["batch"] else NO_LOT["zh"])
        page.evaluate(_DRAWN)
        assert page.evaluate(_PALE) == [], (name, theme)
    context.close()


_PALE = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== "none") {
        const stops = style.backgroundImage.match(/rgba?\\([^)]*\\)/g) ?? [];
        return stops.map(parse);
      }
      const colour = parse(style.backgroundColor);
      if (colour.length === 3 || colour[3] > 0.8) return [colour];
    }
    return [[255, 255, 255]];
  };
  const wrong = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !node.checkVisibility({ opacityProperty: true })) continue;
    if (node.closest("script, .visually-hidden, .skip, .say, [disabled], .veil:not(.wrong)")) continue;
    const style = getComputedStyle(node);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 600) ? 3 : 4.5;
    const ink = light(parse(style.color));
    for (const colour of ground(node)) {
      const other = light(colour);
      const ratio = (Math.max(ink, other) + 0.05) / (Math.min(ink, other) + 0.05);
      const words = walk.currentNode.data.trim().slice(0, 24);
      if (ratio < least) wrong.add(`${node.className || node.tagName}: ${ratio.toFixed(2)} ${words}`);
    }
  }
  return [...wrong];
}"""


def test_theme_and_language_are_switched_on_the_page_and_kept(stand: Stand, panel: BrowserContext):
    stand.state = running(1)
    page = console(panel)
    page.locator("#system").click()
    page.get_by_role("button", name="Light colours").click()
    page.keyboard.press("Escape")
    page.locator("#tongue").click()
    page.wait_for_selector(READY)
    expect(page.locator(".judge h2")).to_contain_text("请您判定")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_the_keyboard_reaches_what_matters_in_order(stand: Stand, panel: BrowserContext):
    stand.state = running(1)
    page = console(panel)
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.dataset.focus || document.activeElement.className"
            )
        )
    order = [reached.index(name) for name in ("skip", "system", "tongue", "answer-A", "answer-B", "emergency")]
    assert order == sorted(order)


def test_nothing_moves_where_reduced_motion_is_asked_for(stand: Stand, browser: Browser, site: str):
    stand.state = running()
    context = browser.new_context(reduced_motion="reduce", base_url=site)
    page = console(context)
    assert page.locator("#say").evaluate("each => getComputedStyle(each).transitionDuration") in ("0s", "0s, 0s")
    context.close()


def test_every_alarm_kind_has_a_name_in_both_languages():
    kinds = (
        "too_dark too_bright blurred colour_shift frozen drift camera_lost output_lost encoder_lost scale_lost "
        "calibration disk program rules"
    )
    for lang in LANGUAGES:
        known = json.loads((WEB / "line" / "messages" / f"{lang}.json").read_text(encoding="utf-8"))
        for kind in (*kinds.split(), "delivery", "emergency"):
            assert f"line.js.alarm.{kind}" in known
            assert f"line.js.do.{kind}.1" in known


def test_an_idle_line_is_calm(stand: Stand, panel: BrowserContext):
    stand.state = idle()
    page = console(panel)
    expect(page.locator(".band")).to_have_count(0)
    expect(page.locator("#end-lot")).to_have_count(0)
    expect(page.locator("#emergency")).to_be_visible()
