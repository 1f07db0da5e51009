"""Running an installation in one process: web server, tasks, sensors, and a clean end."""

import gc
import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

import typer
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.migrations import migrate
from api.observe import configure_logging
from api.runtime import Runtime
from api.worker import Beat
from ledger.kernel.settings import Settings

_log = logging.getLogger(__name__)
_GRACE_S = 5
_WORKERS_GRACE_S = 20
_LOOK_EVERY_S = 1.0


def serve(settings: Settings, *, with_tasks: bool, with_sensors: bool, as_json: bool = False) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code."""
    configure_logging(settings)
    migrate(settings)
    with ExitStack() as stack:
        rt = Runtime.open(settings, reads_chain_only=not with_tasks or bool(settings.redis_url))
        stack.callback(rt.close)
        application = create_app(runtime=rt)
        if with_sensors:
            stack.enter_context(_sensors(rt))
        if with_tasks:
            stack.enter_context(_Workers() if settings.redis_url else _beat(rt))
        config = uvicorn.Config(
            application,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        server = _Server(config, settings, as_json=as_json)
        gc.freeze()
        gc.enable()
        # uvicorn raises the signal that stopped it once more when it is done; our own cleaning up comes after.
        for caught in (signal.SIGTERM, signal.SIGINT):
            signal.signal(caught, lambda *_: None)
        server.run()
    return 0 if server.started else 3


class _Server(uvicorn.Server):
    """uvicorn's server, saying once where it listens."""

    def __init__(self, config: uvicorn.Config, settings: Settings, *, as_json: bool) -> None:
        super().__init__(config)
        self._settings, self._as_json = settings, as_json

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]  # sockets are passed through
        """Start listening and say so."""
        await super().startup(sockets=sockets)  # type: ignore[arg-type]
        if self.started:
            address, public = f"http://{self.config.host}:{self.config.port}", self._settings.public_url
            said = json.dumps({"listens": address, "public_url": public})
            typer.echo(said if self._as_json else f"Guoyuan listens on {address} as {public}")
            sys.stdout.flush()

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]  # sockets are passed through
        """Let the live streams end by themselves, then stop."""
        if isinstance(self.config.app, FastAPI):
            self.config.app.state.is_stopping = True
        await super().shutdown(sockets=sockets)  # type: ignore[arg-type]


@contextmanager
def _beat(rt: Runtime) -> Iterator[None]:
    beat = Beat(rt)
    beat.start()
    try:
        yield
    finally:
        beat.stop()


class _Workers:
    """A worker and a beat as processes of their own: started again when they die, stopped with us."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._watch = threading.Thread(target=self._keep_running, name="workers", daemon=True)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stopping.set()
        self._watch.join()
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                process.wait(timeout=_WORKERS_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _keep_running(self) -> None:
        while not self._stopping.is_set():
            for name in ("worker", "beat"):
                process = self._running.get(name)
                if process is not None and process.poll() is None:
                    continue
                if process is not None:
                    _log.error("the %s ended with %d; starting it again", name, process.returncode)
                # Should we be killed, it sees that its parent is gone and ends too.
                command = [sys.executable, "-m", "api.cli", name, "--with-parent"]
                self._running[name] = subprocess.Popen(command)  # noqa: S603  # our own command line
            self._stopping.wait(_LOOK_EVERY_S)


@contextmanager
def _sensors(rt: Runtime) -> Iterator[None]:
    """Listen to the broker that the settings name, or to one in this process; to none with port 0."""
    settings = rt.settings
    if not settings.mqtt_url and settings.mqtt_port == 0:
        yield
        return
    from farm_sensors.mqtt import Subscriber  # noqa: PLC0415  # an installation without MQTT loads none of it

    with ExitStack() as stack:
        url = settings.mqtt_url
        if not url:
            from farm_sensors.broker import EmbeddedBroker  # noqa: PLC0415  # as above

            broker = EmbeddedBroker(settings.mqtt_port)
            broker.start()
            stack.callback(broker.stop)
            url = broker.url
        subscriber = Subscriber(rt.db, url, rt.clock)
        subscriber.start()
        stack.callback(subscriber.stop)
        yield
