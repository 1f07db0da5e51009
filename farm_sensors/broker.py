"""An MQTT broker inside our own process, for trying out: no accounts, nothing kept, localhost only.

It forgets what it holds when the process ends. A gateway still loses nothing, because it waits for
the server's receipts and not for the broker's; in production run Mosquitto or EMQX.
"""

import asyncio
import logging
import threading
from typing import Final

from amqtt.broker import Broker  # type: ignore[import-untyped]  # amqtt ships no types

from farm_sensors.errors import TransportError

HOST: Final = "127.0.0.1"
_START_S: Final = 20.0


class EmbeddedBroker:
    """One broker on its own thread. `start` returns once it listens."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="mqtt-broker", daemon=True)
        self._broker: Broker | None = None
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.ERROR)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"mqtt://{HOST}:{self._port}"

    def start(self) -> None:
        """Listen. Raises TransportError where the port is taken."""
        self._thread.start()
        future = asyncio.run_coroutine_threadsafe(self._start(), self._loop)
        try:
            future.result(_START_S)
        except Exception as error:  # amqtt raises its own errors around OSError, and they vary by release
            self._end()
            raise TransportError(f"no MQTT broker on port {self._port}: {error}") from error

    def stop(self) -> None:
        """Close every connection and the port."""
        if self._broker is not None:
            asyncio.run_coroutine_threadsafe(self._broker.shutdown(), self._loop).result(_START_S)
        self._end()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_S)
        self._loop.close()

    async def _start(self) -> None:
        self._broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{self._port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await self._broker.start()
