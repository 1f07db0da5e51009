import json
import logging

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.observe import JsonLines, configure_logging
from api.runtime import Runtime
from ledger.kernel.settings import Settings
from ledger.lookup import head_call


def test_health_asks_nothing_and_readiness_asks_the_database(client: TestClient, rt: Runtime) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_the_status_of_an_empty_log(client: TestClient) -> None:
    status = client.get("/api/v1/status").json()
    counts = [status[name] for name in ("recorded", "integrated", "published", "anchored")]
    assert counts == [0, 0, 0, 0]
    assert (status["head"], status["anchors"], status["gas_per_event"]) == (None, [], 0.0)


def test_what_a_verifier_needs_stands_at_the_well_known_address(client: TestClient, rt: Runtime) -> None:
    known = client.get("/.well-known/guoyuan.json").json()
    assert known["origin"] == rt.settings.log_origin
    assert known["log_key"] == rt.signer.key.text()
    assert known["chain"] is None, "no contract is deployed before the first anchor"
    rt.anchorer.prepare()
    chain = client.get("/.well-known/guoyuan.json").json()["chain"]
    assert chain["address"] == rt.chain.address
    assert chain["rpc_url"] == "http://testserver/rpc"
    assert (chain["name"], chain["is_private"], chain["explorer_url"]) == ("the embedded chain", True, "")
    asked = client.post("/rpc", json=head_call(chain["address"], rt.settings.log_origin)).json()["result"]
    assert (len(asked), int(asked, 16)) == (2 + 3 * 64, 0)
    call = {"jsonrpc": "2.0", "id": 7, "method": "eth_getCode", "params": [chain["address"], "latest"]}
    answer = client.post("/rpc", json=call).json()
    assert answer["id"] == 7
    assert len(answer["result"]) > 1000


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", -32700),
        (b"[" * 5000, -32700),
        (b"[]", -32600),
        (b'"text"', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0x00"]}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"evm_mine","params":[]}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"personal_listAccounts","params":[]}', -32601),
    ],
)
def test_the_chain_door_only_reads(client: TestClient, content: bytes, code: int) -> None:
    answer = client.post("/rpc", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert answer.json()["error"]["code"] == code


def test_requests_are_counted_by_route_and_never_by_path(client: TestClient) -> None:
    client.get("/log/tile/0/000.p/1")
    client.get("/nothing/with/7K3QX9")
    text = client.get("/metrics").text
    assert 'guoyuan_requests_total{method="GET",route="/log/tile/{path:path}",status="404"}' in text
    assert "7K3QX9" not in text
    assert 'guoyuan_log_entries{state="recorded"} 0.0' in text


def test_an_answer_names_its_request_and_the_log_line_too(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "api.access"):
        answer = client.get("/healthz")
    record = next(record for record in caplog.records if record.name == "api.access")
    assert record.request_id == answer.headers["x-request-id"]  # type: ignore[attr-defined]  # an extra field


def test_one_time_links_do_not_reach_the_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "api.access"):
        client.get("/sign-in/very-secret-token", headers={"Accept": "text/html"})
        client.get("/overlay/very-secret-token")
    assert "very-secret-token" not in caplog.text


def test_a_json_line_holds_its_extra_fields_and_its_exception() -> None:
    error = ValueError("果")
    record = logging.LogRecord("a", logging.ERROR, "f", 1, "said %s", ("果",), (ValueError, error, None))
    record.request_id = "7"
    line = json.loads(JsonLines().format(record))
    assert (line["level"], line["message"], line["request_id"]) == ("error", "said 果", "7")
    assert "ValueError: 果" in line["exception"]
    assert line["time"].endswith("Z")


def test_production_logs_json(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    configure_logging(Settings(environment="production", secret="x" * 40, keystore_passphrase="y" * 12))
    assert isinstance(root.handlers[0].formatter, JsonLines)


def test_large_answers_are_compressed(client: TestClient, app: FastAPI) -> None:
    answer = client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
