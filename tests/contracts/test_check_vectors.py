"""What strangers make of a chain's answers: the vectors of the JavaScript verifier, and the code both expect."""

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from contracts.artifacts import anchor_log
from contracts.check import holds
from contracts.errors import ChainError
from ledger.proof import Anchor

ROOT = Path(__file__).resolve().parent.parent.parent
CODE_JS = ROOT / "api" / "web" / "shared" / "static" / "verify" / "code.js"
FIRST, *OTHERS = json.loads((ROOT / "tests" / "vectors" / "chain.json").read_text(encoding="ascii"))
ANCHOR = msgspec.convert(FIRST["anchor"], Anchor)


READ_ALL_THE_SAME = {"a head with a word too many", "a chain id that is a number"}
"""Another spelling of the truth, which web3 reads and the other verifier does not."""


class Door:
    """A JSON-RPC door that answers as it is told, by method."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                call = json.loads(self.rfile.read(int(self.headers["content-length"])))
                answer = {"jsonrpc": "2.0", "id": call["id"]}
                if call["method"] in door.answers:
                    answer["result"] = door.answers[call["method"]]
                else:
                    answer["error"] = {"code": -32601, "message": "no answer"}
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    opened = Door()
    yield opened
    opened.stop()


def receipt(logs: Any) -> Any:
    """The receipt of the transaction the anchor names, from a door whose events these are."""
    if not isinstance(logs, list):
        return logs
    own = [log for log in logs if isinstance(log, dict) and log.get("transactionHash") == ANCHOR.transaction]
    if not own:
        return None
    shared = {"transactionHash": ANCHOR.transaction, "blockHash": "0x" + "22" * 32, "transactionIndex": "0x0"}
    return shared | {
        "status": "0x1", "blockNumber": own[0]["blockNumber"], "from": "0x" + "33" * 20, "to": ANCHOR.contract,
        "cumulativeGasUsed": "0x1", "gasUsed": "0x1", "effectiveGasPrice": "0x1", "contractAddress": None,
        "type": "0x2", "logsBloom": "0x" + "00" * 256, "logs": [log | shared | {"logIndex": "0x0"} for log in own],
    }  # fmt: skip


@pytest.mark.parametrize("case", [FIRST, *OTHERS], ids=lambda case: case["description"])
def test_no_chain_that_lies_is_taken_for_one_that_holds_the_head(door: Door, case: dict[str, Any]) -> None:
    """This verifier looks at the transaction's receipt, the other one at the log's events: neither is fooled."""
    answers = {**FIRST["answers"], **case.get("changes", {})}
    door.answers = {method: said for method, said in answers.items() if method not in case.get("without", ())}
    door.answers["eth_getTransactionReceipt"] = receipt(door.answers.get("eth_getLogs"))
    try:
        said: bool | None = holds(door.url, ANCHOR)
    except ChainError:
        said = None
    assert (said is True) is (case["answer"] is True or case["description"] in READ_ALL_THE_SAME)


def test_both_verifiers_expect_the_same_code() -> None:
    """If this fails after the contract changed: write the new hash and places into code.js."""
    artifact, text = anchor_log(), CODE_JS.read_text()
    (code,) = re.findall(r'const CODE = "([0-9a-f]{64})"', text)
    (places,) = re.findall(r"const CODE_ADDRESSES = \[([^\]]*)\]", text)
    assert code == sha256(artifact.deployed_bytecode).hexdigest()
    assert [int(place) for place in places.split(",")] == [where.start for where in artifact.immutables]
