"""A door to a node that does what doors do: loses calls, answers late, lies, and sees its caller killed.

It stands between an installation and anvil, and keeps the one rule of a public pool that anvil does not: a
transaction takes another's place only for a tenth more on both fees.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import rlp  # type: ignore[import-untyped]  # it has no stubs
from eth_utils.crypto import keccak

Answer = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One JSON-RPC call, counted since the script began."""

    number: int
    method: str
    params: list[Any]


Script = Callable[[Call], "str | float | Callable[[Answer], Answer] | None"]
"""What happens to a call. None: it goes through. `drop`, `lose`, `kill`, `kill after`, `503`, `garbage`: that.
A number: the answer comes so many seconds late. A function: the answer goes through it."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: a caller that was killed leaves its line open."""


@dataclass
class Pool:
    """What a public node's pool would hold of one account."""

    pending: dict[int, tuple[str, int, int]] = field(default_factory=dict)

    def refusal(self, raw: bytes, *, is_waiting: Callable[[str], bool]) -> Answer | None:
        """Return the error for a transaction that pays too little to take another's place."""
        fields = rlp.decode(raw[1:])
        nonce, priority, most = (int.from_bytes(fields[i], "big") for i in (1, 2, 3))
        tx_hash = "0x" + keccak(raw).hex()
        known = self.pending.get(nonce)
        if known is not None and known[0] != tx_hash and is_waiting(known[0]):
            _, before_priority, before_most = known
            if priority * 10 < before_priority * 11 or most * 10 < before_most * 11:
                return {"code": -32000, "message": "replacement transaction underpriced"}
        self.pending[nonce] = tx_hash, priority, most
        return None


class Gate:
    """The door. `script` says what happens to each call; `victim` is the process it kills."""

    def __init__(self, port: int) -> None:
        self._node = port
        self.script: Script = lambda _call: None
        self.victim = 0
        self.calls: list[str] = []
        self.pool = Pool()
        self._turn = threading.Lock()
        self._lines = threading.local()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # headers and body leave together

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = gate.handle(json.loads(body))
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def finish(self) -> None:
                super().finish()
                gate.hang_up()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close this thread's line to the node."""
        if hasattr(self._lines, "node"):
            self._lines.node.close()

    def begin(self, script: Script | None = None, *, victim: int = 0) -> None:
        """Count from one again, under another script."""
        with self._turn:
            self.script, self.victim, self.calls = script or (lambda _call: None), victim, []

    def handle(self, body: Any) -> tuple[int, bytes | None]:
        """Return an HTTP status and what is sent back; None hangs up."""
        with self._turn:
            self.calls.append(body["method"])
            call, script = Call(len(self.calls), body["method"], body.get("params", [])), self.script
        what = script(call)
        if what == "kill":
            return self._kill()
        if what == "drop":
            return 0, None
        if what in ("503", "garbage"):
            return (503, b"busy") if what == "503" else (200, b"<html>not here</html>")
        answer = self.forward(body)
        if what == "kill after":
            return self._kill()
        if what == "lose":
            return 0, None
        if isinstance(what, float):
            time.sleep(what)
        elif callable(what):
            answer = {"jsonrpc": "2.0", "id": body["id"]} | what(answer)
        return 200, json.dumps(answer).encode()

    def forward(self, body: Any) -> Answer:
        """Ask the node, unless a public pool would refuse."""
        if body["method"] == "eth_sendRawTransaction":
            with self._turn:
                refusal = self.pool.refusal(bytes.fromhex(body["params"][0][2:]), is_waiting=self._is_waiting)
            if refusal is not None:
                return {"jsonrpc": "2.0", "id": body["id"], "error": refusal}
        return self._ask(body)

    def _is_waiting(self, tx_hash: str) -> bool:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionByHash", "params": [tx_hash]}
        found = self._ask(asked).get("result")
        return found is not None and found["blockNumber"] is None

    def _ask(self, body: Any) -> Answer:
        if not hasattr(self._lines, "node"):
            self._lines.node = HTTPConnection("127.0.0.1", self._node, timeout=10)
        self._lines.node.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        return dict(json.loads(self._lines.node.getresponse().read()))

    def _kill(self) -> tuple[int, None]:
        os.kill(self.victim, signal.SIGKILL)
        return 0, None
