"""Private PostgreSQL, Redis, Mosquitto and anvil on free ports, under one folder, stopped cleanly.

For trying out the services profile and for tests; a real installation runs its own.

    python -m api.deploy.services                  start, print the settings, stop on Ctrl-C
    python -m api.deploy.services -- COMMAND ...   start, run COMMAND with the settings, stop

The command sees `GUOYUAN_DATABASE_URL`, `GUOYUAN_REDIS_URL`, `GUOYUAN_MQTT_URL` and
`GUOYUAN_CHAIN_URL`; with `--test` it sees `GUOYUAN_TEST_POSTGRES`, `_REDIS`, `_MQTT` and `_CHAIN`
instead, so that a test run never mistakes a private server for the installation's own. With
`--volatile` PostgreSQL does not wait for the disk. A service whose program is missing is left out
and named on standard error; under `CI=true` that is an error.
"""

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import psycopg

ROOT = Path(__file__).resolve().parents[2]
_START_S = 60.0
_TIDYING_S = 60.0
# Below what Linux hands out by itself (from 32768; others from 49152). Each process looks from a place of its own.
_LEAST_PORT, _MOST_PORT = 10_000, 32_000
_PORTS = count(secrets.randbelow(_MOST_PORT - _LEAST_PORT))
_TEST_NAMES = {
    "GUOYUAN_DATABASE_URL": "GUOYUAN_TEST_POSTGRES",
    "GUOYUAN_REDIS_URL": "GUOYUAN_TEST_REDIS",
    "GUOYUAN_MQTT_URL": "GUOYUAN_TEST_MQTT",
    "GUOYUAN_CHAIN_URL": "GUOYUAN_TEST_CHAIN",
}


class ServicesError(Exception):
    """A service could not be started."""


def find_program(name: str) -> str | None:
    """Return the path of a server program, looking where Debian and npm put them."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin", "/usr/local/sbin"]
    folders += [str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    folders += [str(ROOT / "contracts" / "node_modules" / ".bin")]
    return shutil.which(name, path=os.pathsep.join(folders))


def free_port(preferred: int = 0) -> int:
    """Return the preferred TCP port if it is free on the loopback address, any free one otherwise.

    Nothing keeps it until it is taken. It is one that no system gives to whoever connects or asks for any port,
    and a process gives none twice.
    """
    others = (_LEAST_PORT + next(_PORTS) % (_MOST_PORT - _LEAST_PORT) for _ in range(_LEAST_PORT))
    for port in chain([preferred] if preferred else [], others):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise ServicesError("no port is free")


@dataclass
class Services:
    """The four servers, each started if its program is there."""

    folder: Path
    is_volatile: bool = False
    """Whether PostgreSQL goes on without waiting for the disk: for tests, of which nothing outlives the machine."""
    env: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    _running: list[tuple[str, subprocess.Popen[bytes], signal.Signals]] = field(default_factory=list)
    _scratch: list[Path] = field(default_factory=list)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start what is there and wait until each answers. Raises ServicesError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        starters: Mapping[str, Callable[[str], None]] = {
            "postgres": self._start_postgres,
            "redis-server": self._start_redis,
            "mosquitto": self._start_mosquitto,
            "anvil": self._start_anvil,
        }
        for program, starter in starters.items():
            path = find_program(program)
            if path is None:
                self.missing.append(program)
            else:
                starter(path)
        (self.folder / "env").write_text("".join(f"{name}={value}\n" for name, value in sorted(self.env.items())))

    def stop(self) -> None:
        """Stop every server, the last started first, and remove their scratch folders."""
        for _name, process, how in reversed(self._running):
            process.send_signal(how)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()
        for folder in self._scratch:
            shutil.rmtree(folder, ignore_errors=True)
        self._scratch.clear()

    def _spawn(
        self,
        name: str,
        command: Sequence[str],
        port: int,
        *,
        how: signal.Signals = signal.SIGTERM,
        user: str | None = None,
    ) -> None:
        log = (self.folder / f"{name}.log").open("wb")
        # Its own session, so that Ctrl-C reaches us first and the servers are stopped in order.
        process = subprocess.Popen(  # noqa: S603  # the programs found above, with arguments of ours
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, user=user, start_new_session=True
        )
        log.close()
        self._running.append((name, process, how))
        deadline = time.monotonic() + _START_S
        while True:
            if process.poll() is not None:
                tail = (self.folder / f"{name}.log").read_text(errors="replace")[-800:]
                raise ServicesError(f"{name} stopped at once: {tail}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            if time.monotonic() > deadline:
                raise ServicesError(f"{name} does not answer on port {port}")
            time.sleep(0.05)

    def _start_postgres(self, path: str) -> None:
        port = free_port()
        # PostgreSQL refuses to run as root; Debian's package brings the user it wants.
        user = "postgres" if os.geteuid() == 0 else None
        data = Path(tempfile.mkdtemp(prefix="guoyuan-postgres-"))
        self._scratch.append(data)
        if user:
            shutil.chown(data, user, user)
        initdb = [
            str(Path(path).resolve().with_name("initdb")),
            "-D",
            str(data),
            "-U",
            "guoyuan",
            "-A",
            "trust",
            "-E",
            "UTF8",
        ]
        done = subprocess.run(  # noqa: S603  # as above
            [*initdb, "--no-locale", "--no-sync"], user=user, capture_output=True, check=False, cwd="/"
        )
        if done.returncode != 0:
            raise ServicesError(f"initdb: {done.stderr.decode(errors='replace')[-800:]}")
        options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", str(data), "-c", "max_connections=200"]
        if self.is_volatile:
            options += ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off"]
        # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave.
        self._spawn("postgres", [path, "-D", str(data), *options], port, how=signal.SIGINT, user=user)
        self._create_database(port)
        self.env["GUOYUAN_DATABASE_URL"] = f"postgresql://guoyuan@127.0.0.1:{port}/guoyuan"

    def _create_database(self, port: int) -> None:
        deadline = time.monotonic() + _START_S
        while True:
            try:
                with psycopg.connect(f"postgresql://guoyuan@127.0.0.1:{port}/postgres", autocommit=True) as connection:
                    connection.execute("CREATE DATABASE guoyuan")
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise ServicesError(f"postgres does not take a database: {error}") from error
                time.sleep(0.1)
            else:
                return

    def _start_redis(self, path: str) -> None:
        port = free_port()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._spawn("redis", [path, *options, "--dir", str(self.folder)], port)
        self.env["GUOYUAN_REDIS_URL"] = f"redis://127.0.0.1:{port}/0"

    def _start_mosquitto(self, path: str) -> None:
        port = free_port()
        config = self.folder / "mosquitto.conf"
        # Anonymous on loopback: messages are signed by their devices, the broker vouches for nothing.
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 100\npersistence false\n"
        )
        self._spawn("mosquitto", [path, "-c", str(config)], port)
        self.env["GUOYUAN_MQTT_URL"] = f"mqtt://127.0.0.1:{port}"

    def _start_anvil(self, path: str) -> None:
        port = free_port()
        options = ["--port", str(port), "--host", "127.0.0.1", "--hardfork", "prague", "--silent", "--block-time", "1"]
        self._spawn("anvil", [path, *options, "--slots-in-an-epoch", "1"], port)
        self.env["GUOYUAN_CHAIN_URL"] = f"http://127.0.0.1:{port}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the services in the foreground, or around a command. Returns the command's exit code."""
    parser = argparse.ArgumentParser(prog="guoyuan services", description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--dir", type=Path, default=Path(".run/services"), help="folder for logs and the env file")
    parser.add_argument("--test", action="store_true", help="name the settings GUOYUAN_TEST_* for a test run")
    parser.add_argument("--volatile", action="store_true", help="let PostgreSQL not wait for the disk")
    parser.add_argument("command", nargs="*", help="command to run; without one, wait for Ctrl-C")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with Services(options.dir.resolve(), is_volatile=options.volatile) as services:
            if services.missing:
                line = f"left out, because the program is not installed: {', '.join(services.missing)}"
                print(line, file=sys.stderr)  # noqa: T201  # this is a command
                if os.environ.get("CI"):
                    return 3
            names = _TEST_NAMES if options.test else {name: name for name in _TEST_NAMES}
            env = {names[name]: value for name, value in services.env.items()}
            if options.command:
                return run_to_its_end(options.command, {**os.environ, **env})
            for name, value in sorted(env.items()):
                print(f"{name}={value}", flush=True)  # noqa: T201  # this is a command
            signal.pause()
    except ServicesError as error:
        print(error, file=sys.stderr)  # noqa: T201  # this is a command
        return 3
    except KeyboardInterrupt:
        return 0
    return 0


def run_to_its_end(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a command and return its exit code. Interrupted, it has a while to tidy up before its servers go."""
    process = subprocess.Popen(command, env=dict(env))  # noqa: S603  # what the user asked for
    try:
        return process.wait()
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt, _Terminated):  # Ctrl-C has reached the command too, a signal to us alone has not
            process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(timeout=_TIDYING_S)
        raise
    finally:
        process.kill()
        process.wait()


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which reached us alone."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated


if __name__ == "__main__":
    sys.exit(main())
