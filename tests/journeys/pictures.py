"""Takes the screenshots that the documents show: python -m tests.journeys.pictures docs/pictures [day|line]

The sample day is stopped (SIGSTOP) at the moments worth seeing, looked at in Chromium, and let go on. The line is
the real program on a drawn belt, looked at once enough fruit have passed.
"""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Browser

from api.deploy.services import free_port
from tests.browsing import chromium
from tests.journeys.conftest import make_play

PHONE, DESKTOP, PANEL = (390, 844), (1440, 900), (1280, 800)


def take(browser: Browser, play: Any, folder: Path, name: str, path: str, size: tuple[int, int], **how: Any) -> None:
    """Open a page as someone and keep what it looks like."""
    journal = json.loads((play.home / "day.json").read_text())
    url = journal["settings"]["GUOYUAN_PUBLIC_URL"]
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if how.get("dark") else "light",
        device_scale_factor=1,
    )
    if who := how.get("who"):
        code = next(person["code"] for person in journal["applied"]["people"] if person["ref"] == who)
        token = httpx.post(f"{url}/api/v1/sessions", json={"code": code}).json()["token"]
        context.add_cookies([{"name": "guoyuan", "value": token, "url": url}])
    page = context.new_page()
    page.goto(f"{url}{path}?lang={how.get('lang', 'zh')}")
    time.sleep(2.5)
    for press in how.get("press", ()):
        page.locator(press).first.click()
        time.sleep(1)
    keep(page.screenshot(full_page=bool(how.get("whole"))), folder / f"{name}.png")
    context.close()


def keep(png: bytes, file: Path) -> None:
    """Write a picture in 256 colours: a third of the bytes, and the same to the eye."""
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(file, optimize=True)


def wait_for(play: Any, key: str) -> None:
    """Wait until the day has done something, and stop it there."""
    while key not in (play.home / "day.json").read_text():
        assert play.process.poll() is None, play.said()
        time.sleep(0.03)
    os.kill(play.process.pid, signal.SIGSTOP)


def day(folder: Path) -> None:
    """The four sites on a sample day."""
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        play = make_play(Path(scratch) / "home", "embedded", [])
        (play.home).mkdir(parents=True)
        (play.home / "day.json").write_text("{}")
        play.start(serve=True)
        wait_for(play, '"sold S-0028"')
        take(browser, play, folder, "host-desktop", "/host", DESKTOP, who="host-1")
        take(browser, play, folder, "host-phone", "/host", PHONE, who="host-1", lang="en")
        take(browser, play, folder, "farmer-phone", "/farmer", PHONE, who="farmer-1")
        take(browser, play, folder, "farmer-phone-en", "/farmer", PHONE, who="farmer-1", lang="en")
        take(browser, play, folder, "farmer-desktop", "/farmer", DESKTOP, who="farmer-1")
        os.kill(play.process.pid, signal.SIGCONT)

        wait_for(play, '"graded sample-06.jpg"')
        take(browser, play, folder, "station-panel", "/station", PANEL, who="station-1")
        take(browser, play, folder, "station-panel-en", "/station", PANEL, who="station-1", lang="en")
        take(browser, play, folder, "station-phone", "/station", PHONE, who="station-1")
        os.kill(play.process.pid, signal.SIGCONT)

        link = play.wait_for_summary()["consumer_url"]
        path = "/01/" + link.partition("/01/")[2]
        take(browser, play, folder, "consumer-phone", path, PHONE)
        take(browser, play, folder, "consumer-phone-en", path, PHONE, lang="en", dark=True)
        take(browser, play, folder, "consumer-whole", path, PHONE, whole=True)
        take(browser, play, folder, "consumer-desktop", path, DESKTOP, lang="en")
        play.stop()


def line(folder: Path, *, fruit: int = 120) -> None:
    """The console of a line that grades a drawn belt, by a price book that sends fruit near a limit to a person."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as state, chromium() as browser:
        prices = Path(state) / "prices.toml"
        prices.write_text(
            'near_at_line = "person"\n' + (files("grading") / "standards" / "tiers-sample.toml").read_text()
        )
        command = ["line", "run", "--source", "rendered:", "--no-browser", "--state", state, "--port", str(port)]
        command += ["--prices", str(prices)]
        program = subprocess.Popen([sys.executable, "-m", "api.cli", *command], stdout=subprocess.DEVNULL)
        try:
            context = browser.new_context(viewport={"width": PANEL[0], "height": PANEL[1]})
            page = context.new_page()
            counted, doubtful = -1, 0
            while counted < fruit or (not doubtful and counted < 5 * fruit):
                assert program.poll() is None, "the line ended"
                time.sleep(1)
                try:
                    batch = httpx.get(f"{url}/state", timeout=10).json()["batch"]
                except httpx.TransportError:
                    continue
                if counted < 0:
                    page.goto(f"{url}/?lang=en")  # the rate is drawn from what the page has seen
                counted, doubtful = batch["fruit"], batch["doubtful"]
            page.wait_for_selector("#picture:not([hidden])")
            keep(page.screenshot(), folder / "line-console-en.png")
            page.goto(f"{url}/?lang=zh")
            page.wait_for_selector("#picture:not([hidden])")
            time.sleep(2.5)
            keep(page.screenshot(), folder / "line-console.png")
            context.close()
        finally:
            program.terminate()
            program.wait(30)


def main(folder: Path, parts: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts or ["day", "line"]:
        {"day": day, "line": line}[part](folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
