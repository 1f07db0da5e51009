"""The console's web server: one process with the line, ended by SIGTERM or Ctrl-C."""

import json
import signal
import sys
import webbrowser

import typer
import uvicorn
from fastapi import FastAPI

from api.terminal import OK, UNREACHABLE

_GRACE_S = 3


def serve(app: FastAPI, *, host: str, port: int, as_json: bool, shows: bool = False) -> int:
    """Serve the console until told to stop, shown in a browser once it listens; return the exit code."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config, as_json=as_json, shows=shows)
    # uvicorn raises the signal that stopped it once more when it is done; the line is ended after that.
    for caught in (signal.SIGTERM, signal.SIGINT):
        signal.signal(caught, lambda *_: None)
    server.run()
    return OK if server.started else UNREACHABLE


class _Server(uvicorn.Server):
    """uvicorn's server, saying once where it listens."""

    def __init__(self, config: uvicorn.Config, *, as_json: bool, shows: bool) -> None:
        super().__init__(config)
        self._as_json, self._shows = as_json, shows

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]  # sockets are passed through
        """Start listening and say so."""
        await super().startup(sockets=sockets)  # type: ignore[arg-type]
        if self.started:
            address = f"http://{self.config.host}:{self.config.port}"
            typer.echo(json.dumps({"listens": address}) if self._as_json else f"the line's console: {address}")
            sys.stdout.flush()
            if self._shows:
                webbrowser.open(address)

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]  # as above
        """Let the live streams end by themselves, then stop."""
        if isinstance(self.config.app, FastAPI):
            self.config.app.state.is_stopping = True
        await super().shutdown(sockets=sockets)  # type: ignore[arg-type]
