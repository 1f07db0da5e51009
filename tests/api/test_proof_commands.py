"""`guoyuan verify` and `guoyuan proof`: what a stranger runs, with nothing of ours but the file."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select
from typer.testing import CliRunner, Result

from api.cli import app
from api.migrations.tables import metadata
from api.runtime import Runtime
from ledger import log
from ledger.checkpoint import LogSigner
from ledger.cosign import WitnessSigner
from ledger.models import Entry
from ledger.tlog_proof import verify as verify_entry
from ledger.witnessed import Cosigned, question, take
from tests.api.test_log import publish, record

NORTH = WitnessSigner("witness.example/north", b"n" * 32)
SOUTH = WitnessSigner("witness.example/south", b"s" * 32)
THING = "https://id.gs1.org/01/09521002000016/21/A0"


def run(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture
def cosigned(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """An installation whose newest checkpoint one witness signed."""
    metadata.create_all(rt.db.engine)
    monkeypatch.setenv("GUOYUAN_HOME", str(rt.settings.home))
    record(rt, 5)
    publish(rt)
    now = rt.clock.now()
    with rt.db.write() as session:
        asked = question(session, NORTH.key, now=now)
        assert asked is not None
        newest = log.latest_checkpoint(session)
        assert newest is not None
        take(session, asked, Cosigned(NORTH.cosign(newest.note, time_s=int(now.timestamp()))), now=now)
    return rt


@pytest.fixture
def proof(cosigned: Runtime, tmp_path: Path) -> Path:
    path = tmp_path / "thing.proof.json"
    run("proof", THING, "--out", path)
    return path


@pytest.fixture
def tlog_proof(cosigned: Runtime, tmp_path: Path) -> Path:
    path = tmp_path / "3.tlog-proof"
    run("proof", "3", "--tlog", "--out", path)
    return path


def policy(folder: Path, rt: Runtime, quorum: str) -> Path:
    path = folder / "policy"
    path.write_text(
        f"log {rt.signer.key.text()}\nwitness north {NORTH.key.text()}\nwitness south {SOUTH.key.text()}\n"
        f"group both all north south\nquorum {quorum}\n"
    )
    return path


def test_a_proof_says_which_witnesses_signed_and_when(cosigned: Runtime, proof: Path, tmp_path: Path) -> None:
    said = json.loads(run("verify", proof, "--policy", policy(tmp_path, cosigned, "north"), "--json").stdout)
    (witness,) = said["witnesses"]
    assert (witness["name"], witness["key"]) == (NORTH.name, NORTH.key.text())
    assert witness["time"].startswith(f"{cosigned.clock.now():%Y-%m-%d}")
    assert "cosigned_by_witnesses" in said["shown"]
    assert not {"no_witness_vouches", "log_key_taken_from_the_file"} & set(said["not_shown"])
    words = run("verify", proof, "--policy", policy(tmp_path, cosigned, "north")).stdout
    assert "cosigned by witness.example/north at 20" in words


def test_without_a_policy_nobody_s_word_is_taken(proof: Path) -> None:
    said = json.loads(run("verify", proof, "--json").stdout)
    assert said["witnesses"] == []
    assert {"no_witness_vouches", "log_key_taken_from_the_file"} <= set(said["not_shown"])


def test_a_quorum_that_is_not_met_is_exit_code_1(cosigned: Runtime, proof: Path, tmp_path: Path) -> None:
    refused = run("verify", proof, "--policy", policy(tmp_path, cosigned, "both"), code=1)
    assert "quorum both is not met" in refused.stderr
    other = LogSigner("guoyuan.example/log", b"x" * 32)
    (tmp_path / "policy").write_text(f"log {other.key.text()}\nquorum none\n")
    assert "does not name the log key" in run("verify", proof, "--policy", tmp_path / "policy", code=1).stderr


def test_a_policy_that_says_nothing_is_exit_code_2(proof: Path, tmp_path: Path) -> None:
    (tmp_path / "policy").write_text("quorum none\nquorum none\n")
    assert "policy, line 2" in run("verify", proof, "--policy", tmp_path / "policy", code=2).stderr
    run("verify", proof, "--policy", tmp_path / "nowhere", code=2)
    run("verify", proof, "--key", "nonsense", code=1)


def test_an_anchor_that_is_expected_must_be_there(proof: Path) -> None:
    for demand in (("--contract", "0x" + "11" * 20), ("--chain-id", "5")):
        assert "names no anchor" in run("verify", proof, *demand, code=1).stderr


def test_one_entry_is_proved_as_text_that_others_read(
    cosigned: Runtime, tlog_proof: Path, tmp_path: Path, client: TestClient
) -> None:
    key = cosigned.signer.key.text()
    assert tlog_proof.read_text().startswith("c2sp.org/tlog-proof@v1\nextra ")
    said = json.loads(run("verify", tlog_proof, "--policy", policy(tmp_path, cosigned, "north"), "--json").stdout)
    assert (said["index"], said["size"], [w["name"] for w in said["witnesses"]]) == (3, 5, [NORTH.name])
    assert "verifies: entry 3 of 5" in run("verify", tlog_proof, "--key", key).stdout
    served = client.get("/log/proof/3")
    assert served.content == tlog_proof.read_bytes()
    assert served.headers["content-type"].startswith("text/plain")
    run("verify", tlog_proof, code=2)
    with cosigned.db.read() as session:
        entry = session.exec(select(Entry).where(Entry.leaf_index == 3)).one()
    (tmp_path / "entry").write_bytes(entry.data)
    run("verify", tlog_proof, "--key", key, "--entry", tmp_path / "entry")
    (tmp_path / "entry").write_bytes(entry.data + b" ")
    run("verify", tlog_proof, "--key", key, "--entry", tmp_path / "entry", code=1)
    by_id = CliRunner().invoke(app, ["proof", entry.event_id, "--tlog"])
    assert verify_entry(by_id.stdout_bytes, log_key=cosigned.signer.key).index == 3


def test_what_is_not_published_has_no_proof(cosigned: Runtime, client: TestClient) -> None:
    record(cosigned, 1)
    for index in (5, 6, 2**53 - 1):
        assert client.get(f"/log/proof/{index}").status_code == 409
    run("proof", "5", "--tlog", code=2)
    assert client.get("/log/proof/-1").status_code == 422
    run("proof", "urn:uuid:nobody", "--tlog", code=1)


def test_an_older_checkpoint_that_witnesses_signed_is_preferred_where_it_says_as_much(
    cosigned: Runtime, proof: Path, tmp_path: Path
) -> None:
    record(cosigned, 2)
    publish(cosigned)
    assert json.loads(run("verify", proof, "--json").stdout)["size"] == 5
    run("proof", THING, "--out", tmp_path / "again")
    again = json.loads(run("verify", tmp_path / "again", "--json").stdout)
    assert again["size"] == 7, "the newest entries about it are not under the cosigned checkpoint"
    run("proof", "2", "--tlog", "--out", tmp_path / "two")
    two = json.loads(run("verify", tmp_path / "two", "--key", cosigned.signer.key.text(), "--json").stdout)
    assert two["size"] == 5


# --- with nothing of ours -------------------------------------------------------------------------

BARE = """
import sys
from api.cli import app
try:
    app(sys.argv[1:])
finally:
    print(sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def bare(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command in an empty folder, with an empty home and settings that could not be loaded."""
    folder.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GUOYUAN_PORT": "no port",
        "PYTHONPATH": str(Path.cwd()),
    }
    command = [sys.executable, "-B", "-c", BARE, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", ["history", "entry"])
def test_verify_needs_nothing_but_the_file(
    cosigned: Runtime, proof: Path, tlog_proof: Path, tmp_path: Path, kind: str
) -> None:
    demands = policy(tmp_path, cosigned, "north")
    done = bare(tmp_path / "empty", "verify", {"history": proof, "entry": tlog_proof}[kind], "--policy", demands)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "empty").iterdir()) == []
    loaded: set[str] = set(eval(done.stderr.splitlines()[-1]))  # noqa: S307
    heavy = {"sqlalchemy", "sqlmodel", "fastapi", "starlette", "celery", "web3", "eth", "httpx"}
    assert sorted(heavy & loaded) == []
    assert not {"grading", "orders", "farm_sensors", "contracts", "numpy", "cv2"} & loaded


def test_a_refusal_needs_no_more(proof: Path, tmp_path: Path) -> None:
    data: dict[str, Any] = json.loads(proof.read_text())
    bad = tmp_path / "bad"
    bad.write_text(
        json.dumps({**data, "subject": THING + "x"}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    )
    done = bare(tmp_path / "empty", "verify", bad)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith("guoyuan: ")
    assert list((tmp_path / "empty").iterdir()) == []
