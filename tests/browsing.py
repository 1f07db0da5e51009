"""Headless Chromium, and an installation served on this machine, for whatever looks at a page."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, expect, sync_playwright

from tests.waiting import until

# A claim about a page waits for it to come true; on a busy machine that takes longer than five seconds.
expect.set_options(timeout=60_000)

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Open the machine's own Chromium; skip plainly where there is none, which must not be in CI."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have Chromium")
        pytest.skip(f"no Chromium found ({', '.join(_NAMES)}); install it to run the browser tests")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        yield opened
        opened.close()


@contextmanager
def served(app: FastAPI, *, port: int = 0) -> Iterator[str]:
    """Serve an application on a port (0: a free one) of this machine until the block ends; yield its address."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="critical", ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive())
    assert server.started, "uvicorn could not begin; its port may be taken"
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        app.state.is_stopping = server.should_exit = True
        thread.join(60)
