"""The stage the day is played on: the running product, the doors to it, and a journal of what is done.

The product runs as its own process, `guoyuan up`. When it dies it is started again, as systemd would;
a door that finds nobody there waits and asks again, so an actor's repeat is the retry a real one would
make. The journal lets a day that was interrupted, by SIGKILL too, be finished from where it stood.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx

from ledger.kernel.clock import ShiftedClock
from ledger.kernel.errors import OriginError

_PATIENCE_S = 120.0
T = TypeVar("T")


class StageError(OriginError):
    """The product did not do what an actor asked of it."""

    code = "demo"


class RefusedError(StageError):
    """The product answered an actor with a refusal."""

    def __init__(self, answer: httpx.Response) -> None:
        detail = answer.text[:500]
        with contextlib.suppress(ValueError):
            detail = answer.json().get("detail", detail)
        super().__init__(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {detail}")
        self.status = answer.status_code


class Journal:
    """What has been done, kept in one small file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def once(self, name: str, act: Callable[[], T]) -> T:
        """Return what `act` returned, now or in the run before this one. Its result must be JSON."""
        if name not in self._done:
            self.set(name, act())
        result: T = self._done[name]
        return result

    def set(self, name: str, value: Any) -> None:
        """Write a result down before anything else happens."""
        self._done[name] = value
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(self._done))
        part.replace(self._path)

    def get(self, name: str) -> Any:
        """Return a result, or None."""
        return self._done.get(name)

    def items(self) -> list[tuple[str, Any]]:
        """Return every result by name."""
        return list(self._done.items())


class Stage:
    """The product under `home`, started with `settings` (GUOYUAN_* variables)."""

    def __init__(self, home: Path, settings: Mapping[str, str]) -> None:
        self.home = home
        self.clock = ShiftedClock(home / "clock.json")
        self.env = {**os.environ, **settings}
        self.url = settings["GUOYUAN_PUBLIC_URL"]
        self.mqtt_url = settings.get("GUOYUAN_MQTT_URL") or f"mqtt://127.0.0.1:{settings['GUOYUAN_MQTT_PORT']}"
        self._server: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()

    def command(self, *arguments: str) -> Any:
        """Run `guoyuan ARGUMENTS --json` and return what it printed. Raises StageError with its one line."""
        done = subprocess.run(  # noqa: S603  # our own command line
            [sys.executable, "-m", "api.cli", *arguments, "--json"], env=self.env, capture_output=True, check=False
        )
        if done.returncode != 0:
            raise StageError(f"guoyuan {' '.join(arguments)}: {done.stderr.decode().strip()}")
        return json.loads(done.stdout)

    def raise_curtain(self) -> None:
        """Start the product unless it runs, and wait until it is ready. Any actor may ask, several at once."""
        with self._starting:
            deadline = time.monotonic() + _PATIENCE_S
            while not self._is_ready():
                if self._server is None or self._server.poll() == -signal.SIGKILL:
                    self._start()
                elif self._server.poll() is not None:
                    tail = (self.home / "up.log").read_text(errors="replace")[-1500:]
                    raise StageError(f"guoyuan up stopped at once:\n{tail}")
                if time.monotonic() > deadline:
                    raise StageError(f"guoyuan up is not ready after {_PATIENCE_S:.0f} s; see {self.home / 'up.log'}")
                time.sleep(0.1)

    def _is_ready(self) -> bool:
        if self._server is None or self._server.poll() is not None:
            return False
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == httpx.codes.OK
        return False

    def _start(self) -> None:
        with (self.home / "up.log").open("ab") as log:
            self._server = subprocess.Popen(  # our own command line
                [sys.executable, "-m", "api.cli", "up"],
                env=self.env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        (self.home / "up.pid").write_text(str(self._server.pid))

    def lower_curtain(self) -> None:
        """Stop the product as an operator would."""
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(signal.SIGTERM)
            try:
                self._server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        self._server = None

    @property
    def resident_mib(self) -> int:
        """Memory the product holds, in MiB, or 0 where the system does not say."""
        if self._server is None:
            return 0
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self._server.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) // 1024
        return 0

    def wait_for_visitors(self) -> None:
        """Stay up until Ctrl-C."""
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                self.raise_curtain()
                time.sleep(1)

    def at(self, moment: datetime) -> None:
        """Let the day go on until `moment`; once begun it never goes back."""
        if self.clock.is_still_real or moment > self.clock.now():
            self.clock.move_to(moment)


class Door:
    """One actor's way in: HTTP with their own session, asked again while nobody answers."""

    def __init__(self, stage: Stage, *, code: str | None = None) -> None:
        self._stage = stage
        self.client = httpx.Client(base_url=stage.url, timeout=60)
        if code is not None:
            token = self.post("/api/v1/sessions", {"code": code})["token"]
            self.client.headers["Authorization"] = f"Bearer {token}"

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Return the answer, waiting for the product to come back if it is away."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                answer = self.client.request(method, path, **content)
                if answer.status_code not in (502, 503, 504):
                    return answer
            except httpx.TransportError as error:
                if time.monotonic() > deadline:
                    raise StageError(f"{method} {path}: {error}") from error
                self._stage.raise_curtain()
            time.sleep(0.2)

    def post(self, path: str, body: Any = None, **content: Any) -> Any:
        """POST JSON and return the JSON answer. Raises StageError with the problem's own words."""
        if body is not None:
            content["json"] = body
        return _result(self.ask("POST", path, **content))

    def get(self, path: str, **parameters: str) -> Any:
        """GET JSON. Raises StageError with the problem's own words."""
        return _result(self.ask("GET", path, params=parameters))


def _result(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json() if answer.content else None
    raise RefusedError(answer)
