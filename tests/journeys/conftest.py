"""A played day, in either profile, with the site left running."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.deploy.services import free_port
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
_SERVICES = {
    "GUOYUAN_DATABASE_URL": "GUOYUAN_TEST_POSTGRES",
    "GUOYUAN_REDIS_URL": "GUOYUAN_TEST_REDIS",
    "GUOYUAN_MQTT_URL": "GUOYUAN_TEST_MQTT",
    "GUOYUAN_CHAIN_URL": "GUOYUAN_TEST_CHAIN",
}


@dataclass
class Play:
    """One run of `guoyuan demo` under its own home."""

    home: Path
    env: dict[str, str]
    arguments: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def out(self) -> Path:
        return self.home.parent / f"{self.home.name}.json"

    @property
    def saved_proof(self) -> Path:
        return self.home / "proof.json"

    def start(self, *, serve: bool) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.out.unlink(missing_ok=True)  # of a day that was over before it could be killed
        flag = "--serve" if serve else "--no-serve"
        command = [sys.executable, "-m", "api.cli", "demo", flag, "--json-out", str(self.out), *self.arguments]
        with (self.home.parent / f"{self.home.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait_for_summary(self, patience_s: float = 400) -> dict[str, Any]:
        assert self.process is not None
        deadline = time.monotonic() + patience_s
        while not self.out.exists():
            if self.process.poll() not in (None, 0) or time.monotonic() > deadline:
                pytest.fail(f"the day did not end:\n{self.said()}")
            time.sleep(0.2)
        until(lambda: self.out.read_text().endswith("}\n"))
        summary: dict[str, Any] = json.loads(self.out.read_text())
        return summary

    def said(self) -> str:
        log = self.home.parent / f"{self.home.name}.log"
        up = self.home / "up.log"
        texts = [path.read_text(errors="replace")[-3000:] for path in (log, up) if path.exists()]
        return "\n---\n".join(texts)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=120)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.process = None

    def settings(self) -> dict[str, str]:
        """What the running product was started with."""
        chosen: dict[str, str] = json.loads((self.home / "day.json").read_text())["settings"]
        return {**self.env, **chosen}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line beside the running product."""
        return subprocess.run(
            [sys.executable, "-m", "api.cli", *arguments],
            cwd=ROOT,
            env=self.settings(),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def entries(self) -> list[bytes]:
        """Every entry of the log, as it is stored."""
        query = "SELECT data FROM ledger_entry ORDER BY leaf_index"
        url = self.settings().get("GUOYUAN_DATABASE_URL")
        if url:
            with psycopg.connect(url) as connection:
                return [bytes(row[0]) for row in connection.execute(query.encode())]
        with contextlib.closing(sqlite3.connect(self.home / "guoyuan.db", timeout=30)) as lite:
            return [row[0] for row in lite.execute(query)]

    def log_bytes(self) -> bytes:
        """Every stored byte of the log: all columns of all its tables, but the private text that can be erased."""
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'ledger%'"
        url = self.settings().get("GUOYUAN_DATABASE_URL")
        if url:
            with psycopg.connect(url) as connection:
                found = connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'ledger%%'").fetchall()
                rows = [row for name in _public(found) for row in connection.execute(_all_of(name).encode())]
        else:
            with contextlib.closing(sqlite3.connect(self.home / "guoyuan.db", timeout=30)) as lite:
                found = lite.execute(tables).fetchall()
                rows = [row for name in _public(found) for row in lite.execute(_all_of(name))]
        return b"\n".join(
            bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
            for row in rows
            for value in row
        )

    def change_one_byte(self, index: int) -> str:
        """Change one byte of a stored event behind the product's back; return its event id."""
        query = "SELECT event_id, data FROM ledger_entry WHERE leaf_index = {}"
        change = "UPDATE ledger_entry SET data = {} WHERE leaf_index = {}"
        url = self.settings().get("GUOYUAN_DATABASE_URL")
        if url:
            with psycopg.connect(url) as connection:
                event_id, data = connection.execute(query.format("%s").encode(), (index,)).fetchone() or ("", b"")
                connection.execute(change.format("%s", "%s").encode(), (_flip(bytes(data)), index))
        else:
            with contextlib.closing(sqlite3.connect(self.home / "guoyuan.db", timeout=30)) as lite, lite:
                event_id, data = lite.execute(query.format("?"), (index,)).fetchone()
                lite.execute(change.format("?", "?"), (_flip(data), index))
        return str(event_id)


def _all_of(table: str) -> str:
    return f"SELECT * FROM {table}"  # noqa: S608  # a name the database gave


def _public(tables: list[tuple[str]]) -> list[str]:
    names = sorted(name for (name,) in tables)
    for wanted in (
        "ledger_capture",
        "ledger_checkpoint",
        "ledger_cosignature",
        "ledger_entry",
        "ledger_naming",
        "ledger_tile",
    ):
        assert wanted in names
    names.remove("ledger_disclosure")
    return names


def _flip(data: bytes) -> bytes:
    """Change the last digit of the first mass or time in an entry: still JSON, no longer what was recorded."""
    for place, byte in enumerate(data):
        if place > len(data) // 2 and chr(byte).isdigit():
            return data[:place] + (b"8" if byte == ord("7") else b"7") + data[place + 1 :]
    raise AssertionError("no digit in the entry")


def make_play(home: Path, profile: str, arguments: list[str]) -> Play:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GUOYUAN_")}
    env["GUOYUAN_HOME"] = str(home)
    # A day that is killed comes back to the ports it had: no other day, in another part of the tests, may take them.
    env |= {"GUOYUAN_PORT": str(free_port()), "GUOYUAN_MQTT_PORT": str(free_port())}
    if profile == "services":
        missing = [name for name in _SERVICES.values() if not os.environ.get(name)]
        if missing:
            if os.environ.get("CI"):
                pytest.fail(f"CI must have every service: {', '.join(missing)} not set")
            pytest.skip(f"the services profile needs {', '.join(missing)}; `make test` starts them where installed")
        env |= {name: os.environ[source] for name, source in _SERVICES.items()}
        env["GUOYUAN_DATABASE_URL"] = _fresh_database(env["GUOYUAN_DATABASE_URL"], f"journey_{os.getpid()}")
        # Redis and the chain are shared with other tests: a database and an origin of our own keep us apart.
        env["GUOYUAN_REDIS_URL"] = env["GUOYUAN_REDIS_URL"].rsplit("/", 1)[0] + "/7"
    return Play(home, env, arguments)


def _fresh_database(url: str, name: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {name}".encode())
    return url.rsplit("/", 1)[0] + "/" + name


def real_input(shared: Path) -> list[str]:
    """The arguments that play the day on input nobody here made."""
    return [
        *("--readings", str(shared / "sensors/refet/FALN_Agrimet_hourly_raw_2015.csv")),
        *("--photos", str(shared / "images/ecust_fruit_coin")),
        *("--sales", str(next((shared / "sales").glob("retail_orders_*.csv.gz")))),
    ]


@pytest.fixture(scope="module", params=["embedded", "services"])
def played(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """A day on the real input, the site still running."""
    play = make_play(tmp_path_factory.mktemp(request.param) / "home", request.param, real_input(shared))
    play.start(serve=True)
    try:
        play.wait_for_summary()
        yield play
    finally:
        play.stop()
