"""A witness over HTTP, as C2SP tlog-witness says, and the command that runs one."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from api.cli import app
from api.deploy.services import free_port
from api.witness_server import create_witness_app
from ledger import merkle
from ledger.checkpoint import LogSigner
from ledger.cosign import WitnessKey, WitnessSigner, cosignatures
from ledger.witness import MAX_BODY_BYTES, Submission, Witness

LOG = LogSigner("guoyuan.example/sample-log", bytes(32))
LEAVES = [merkle.leaf_hash(f"entry {number}".encode()) for number in range(20)]
FORKED = [merkle.leaf_hash(b"rewritten"), *LEAVES[1:]]


def body(old: int, size: int, leaves: list[bytes] = LEAVES, signer: LogSigner = LOG) -> bytes:
    path = merkle.prove_consistency(old, leaves[:size]) if old <= size else []
    return Submission(old, tuple(path), signer.sign(size, merkle.root(leaves[:size]))).encode()


@pytest.fixture
def north(tmp_path: Path) -> Iterator[TestClient]:
    signer = WitnessSigner("witness.example/north", b"n" * 32)
    witness = Witness(tmp_path / "w.db", signer, [LOG.key], clock=lambda: 1_776_500_000)
    with TestClient(create_witness_app(witness)) as client:
        yield client


def test_answers_are_those_of_the_specification(north: TestClient) -> None:
    def answer(sent: bytes) -> tuple[int, str, str]:
        response = north.post("/add-checkpoint", content=sent)
        return response.status_code, response.headers["content-type"], response.text

    status, _, line = answer(body(0, 7))
    assert (status, line[:2], line[-1]) == (200, "\u2014 ", "\n")
    assert cosignatures(Submission.parse(body(0, 7)).note + line, [WitnessKey.parse(_key(north))])
    assert answer(body(0, 9)) == (409, "text/x.tlog.size", "7\n")
    assert answer(body(7, 7, FORKED)) == (409, "text/x.tlog.size", "7\n")
    assert answer(body(7, 9, FORKED))[0] == 422
    assert answer(body(7, 9, signer=LogSigner("elsewhere.example", bytes(32))))[0] == 404
    assert answer(body(7, 9, signer=LogSigner(LOG.origin, b"t" * 32)))[0] == 403
    assert answer(body(9, 7))[0] == 400
    assert answer(b"hello")[0] == 400
    assert answer(b"x" * (MAX_BODY_BYTES + 1))[0] == 413
    assert answer(body(7, 9))[0] == 200


def test_only_the_one_address_writes(north: TestClient) -> None:
    assert north.get("/add-checkpoint").status_code == 405
    assert north.post("/").status_code == 405
    assert north.get("/anything").status_code == 404


def test_a_body_without_end_is_cut_off(north: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 10_000

    assert north.post("/add-checkpoint", content=endless()).status_code == 413


def test_a_memory_that_cannot_be_written_cosigns_nothing(
    north: TestClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "w.db").write_bytes(b"this is no database" * 100)
    assert north.post("/add-checkpoint", content=body(0, 7)).status_code == 503
    assert "nothing is cosigned" in caplog.text


def _key(north: TestClient) -> str:
    return north.get("/").text.splitlines()[0].removeprefix("witness ")


# --- the command ----------------------------------------------------------------------------------


def shown(folder: Path, *more: str) -> dict[str, object]:
    arguments = ["witness", "--name", "witness.example/north", "--folder", str(folder), "--show", "--json", *more]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    first = shown(tmp_path / "w")
    assert stat.S_IMODE((tmp_path / "w" / "witness.key").stat().st_mode) == 0o600
    assert shown(tmp_path / "w")["key"] == first["key"]
    assert WitnessKey.parse(str(first["key"])).name == "witness.example/north"


def test_a_key_that_is_none_is_bad_usage(tmp_path: Path) -> None:
    arguments = ["witness", "--name", "w.example", "--folder", str(tmp_path), "--show", "--log", "nonsense"]
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_a_witness_runs_by_itself_and_remembers(tmp_path: Path) -> None:
    """No settings, no database, no home: what somebody else's machine has."""
    port = free_port()
    (tmp_path / "logs").write_text(f"# whom I watch\n{LOG.key.text()}\n")
    command = [sys.executable, "-m", "api.cli", "witness", "--name", "witness.example/north", "--json",
               "--folder", str(tmp_path / "w"), "--logs", str(tmp_path / "logs"), "--port", str(port)]  # fmt: skip
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GUOYUAN_")}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=tmp_path, env={**clean, "PYTHONPATH": str(Path.cwd())}
    )
    try:
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=10) as client:
            assert client.post("/add-checkpoint", content=body(0, 7)).status_code == 200
            assert client.post("/add-checkpoint", content=body(7, 7, FORKED)).status_code == 409
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    said = json.loads(out)
    after = shown(tmp_path / "w")
    assert said["key"] == after["key"]
    assert [latest["size"] for latest in after["latest"]] == [7]  # type: ignore[attr-defined]
    assert len(after["forks"]) == 1  # type: ignore[arg-type]
    assert not (tmp_path / ".run").exists()
