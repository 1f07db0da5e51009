"""What an operator sees: structured log lines, a request id, and the numbers behind `/metrics`."""

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ledger.kernel.clock import format_time
from ledger.kernel.ids import uuid7
from ledger.kernel.settings import Environment, Settings

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nothing here asks for
REGISTRY: Final = CollectorRegistry()
REQUESTS: Final = Counter(
    "guoyuan_requests", "HTTP requests by route and status", ["method", "route", "status"], registry=REGISTRY
)
SECONDS: Final = Histogram(
    "guoyuan_request_seconds",
    "Time until the last byte of an answer",
    ["route"],
    buckets=(0.005, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
    registry=REGISTRY,
)
LOG_ENTRIES: Final = Gauge(
    "guoyuan_log_entries", "Entries of the log by how far they have come", ["state"], registry=REGISTRY
)
FOLLOWER_LAG: Final = Gauge(
    "guoyuan_follower_lag", "Entries a follower has not handled yet", ["follower"], registry=REGISTRY
)
FOLLOWER_FAILED: Final = Gauge(
    "guoyuan_follower_failed",
    "1 where a follower stopped at an entry it cannot handle",
    ["follower"],
    registry=REGISTRY,
)
WITNESS_BEHIND: Final = Gauge(
    "guoyuan_witness_behind", "Published entries a witness has not cosigned yet", ["witness"], registry=REGISTRY
)
WITNESS_FAILED: Final = Gauge(
    "guoyuan_witness_failed", "1 where a witness did not cosign when last asked", ["witness"], registry=REGISTRY
)
WITNESS_ALARM: Final = Gauge(
    "guoyuan_witness_alarm",
    "1 where a witness holds a head of the log that we do not know",
    ["witness"],
    registry=REGISTRY,
)
ANCHORS: Final = Gauge("guoyuan_anchors", "Anchors by state", ["state"], registry=REGISTRY)
ANCHORED_ENTRIES: Final = Gauge(
    "guoyuan_anchored_entries",
    "Entries under a head sent to the chain, in a block, or final",
    ["how"],
    registry=REGISTRY,
)
ANCHOR_LATE: Final = Gauge(
    "guoyuan_anchor_late", "1 where a published head waits longer than the configured delay", registry=REGISTRY
)
ANCHOR_TROUBLE: Final = Gauge(
    "guoyuan_anchor_trouble",
    "How often anchoring has failed in a row, by what is in the way",
    ["code"],
    registry=REGISTRY,
)
ANCHOR_GAS: Final = Gauge("guoyuan_anchor_gas", "Gas paid for anchors so far", registry=REGISTRY)
ANCHOR_FEE: Final = Gauge("guoyuan_anchor_fee_gwei", "Fees paid for anchors so far", registry=REGISTRY)
TASKS: Final = Counter("guoyuan_tasks", "Task runs by outcome", ["task", "outcome"], registry=REGISTRY)

_access = logging.getLogger("api.access")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonLines(logging.Formatter):
    """One JSON object for each log line; `extra` fields become members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": format_time(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({name: value for name, value in vars(record).items() if name not in _STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class PlainLines(logging.Formatter):
    """One line for a person at a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname).1s %(name)s: %(message)s", "%H:%M:%S")


def configure_logging(settings: Settings) -> None:
    """Send every log line to stderr: JSON in production, plain text elsewhere. Calling twice is safe."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.environment is Environment.PRODUCTION else PlainLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # These say on INFO what ours say better, once.
    for noisy in (
        "uvicorn.access",
        "uvicorn.error",
        "httpx",
        "amqtt",
        "celery.beat",
        "celery.app.trace",
        "alembic",
        "eth",
        "transitions",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class Observe:
    """ASGI middleware: a request id, one access line, one count and one duration for each request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and watch its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid7(datetime.now(UTC)).hex
        started = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # Not on scripts and styles: nobody reports one, and a first visit carries thirty of them.
                if not scope["path"].startswith("/web/"):
                    message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - started
            # The route's template, not the path: a label for each pack would fill the memory.
            route = getattr(scope.get("route"), "path", "(none)")
            REQUESTS.labels(scope["method"], route, str(status)).inc()
            SECONDS.labels(route).observe(seconds)
            _access.info(
                "%s %s %d %.0f ms",
                scope["method"],
                _without_secrets(scope["path"]),
                status,
                seconds * 1000,
                extra={"request_id": request_id, "route": route},
            )


def _without_secrets(path: str) -> str:
    """Return a path as the log may keep it: a one-time link or overlay key is a password."""
    for prefix in ("/sign-in/", "/overlay/"):
        if path.startswith(prefix):
            return prefix + "…"
    return path
