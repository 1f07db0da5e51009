"""`guoyuan chain` as an operator and as a stranger run it, on the embedded chain and on a node."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from api.migrations import migrate
from api.progress import anchored_head
from api.runtime import Runtime
from contracts.outbox import latest_final
from ledger import log
from ledger.bundle import prove
from ledger.kernel.settings import Settings
from tests.api import commanding
from tests.api.commanding import PLOT, own_home
from tests.contracts.simulators import Anvil

ORIGIN = "guoyuan.example/log"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = own_home(tmp_path, monkeypatch)
    migrate(Settings(home=home, mqtt_port=0))
    return home


@pytest.fixture
def node() -> Iterator[Anvil]:
    """A node that makes a block every second, as chains do."""
    started = Anvil("--block-time", "1", "--slots-in-an-epoch", "4")
    yield started
    started.stop()


def run(*arguments: object, code: int = 0, answers: str = "") -> Result:
    result = CliRunner().invoke(app, ["chain", *map(str, arguments)], input=answers)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def as_json(*arguments: object, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


def anchor(home: Path) -> bytes:
    """Let the installation's own tasks anchor what it has, as soon as they may."""
    return commanding.anchor(Settings(home=home, mqtt_port=0, anchor_after_s=0.001))


def test_status_before_and_after_the_first_anchor(home: Path) -> None:
    assert as_json("status") == {"contract": None}
    assert "the first anchor deploys it" in run("status").stdout
    anchor(home)
    found = as_json("status")
    assert (found["is_embedded"], found["is_ours"], found["waiting"], found["days_left"]) == (True, True, [], None)
    assert found["head"]["size"] == found["published"] > 0
    assert found["anchors"]["final"] == 1
    assert found["publisher"] == found["key"]
    said = run("status").stdout
    assert "in the operator's own hands" in said
    assert "eth_call" in said


def test_status_says_when_the_chain_holds_what_our_log_does_not(home: Path) -> None:
    anchor(home)
    (home / "guoyuan.db").unlink()
    for leftover in home.glob("guoyuan.db-*"):
        leftover.unlink()
    migrate(Settings(home=home, mqtt_port=0))
    assert as_json("status", code=1)["is_ours"] is False
    assert "NOT a head of our log" in run("status", code=1).stdout


def test_the_contract_is_deployed_once_after_asking_and_anybody_can_look(home: Path, node: Anvil) -> None:
    asked = run("deploy", "--rpc", node.url, answers="n\n")
    assert "nothing was sent" in asked.stdout
    assert "gas, at most" in asked.stderr
    first = as_json("deploy", "--rpc", node.url, "--yes")
    assert as_json("deploy", "--rpc", node.url) == first
    assert first["publisher"] is not None

    seen = as_json("head", "--rpc", node.url, "--contract", first["contract"], "--log", ORIGIN)
    assert (seen["chain_id"], seen["is_anchor_log"], seen["head"]["size"]) == (31_337, True, 0)
    unknown = run("head", "--rpc", node.url, "--contract", first["contract"], "--log", "nobody.example", code=1)
    assert "not open" in unknown.stdout
    other = run("head", "--rpc", node.url, "--contract", "0x" + "11" * 20, "--log", ORIGIN, code=2)
    assert "is not AnchorLog" in other.stderr
    run("head", "--rpc", "http://127.0.0.1:9", "--contract", first["contract"], "--log", ORIGIN, code=3)


def test_a_log_is_moved_and_its_old_proof_is_checked_without_us(home: Path, node: Anvil, tmp_path: Path) -> None:
    assert "say where to" in run("move", code=2).stderr
    (tmp_path / "old.json").write_bytes(anchor(home))
    assert "nothing was begun" in run("move", "--to", node.url, answers="n\n").stdout
    moved = as_json("move", "--to", node.url, "--yes")
    assert (moved["chain_id"], moved["last_size"]) == (31_337, as_json("status")["head"]["size"] - 1)
    assert "given up" in run("move", "--to", node.url, "--drop", code=1).stdout

    (written,) = as_json("history", "--out", tmp_path)["histories"]
    assert written["heads"] == 1
    asked = ["carried", tmp_path / "old.json", "--history", written["file"]]
    assert as_json(*asked)["chain_asked"] is False
    carried = as_json(*asked, "--rpc", node.url)
    assert (carried["chain_asked"], carried["to"]["chain_id"]) == (True, 31_337)
    assert "holds that head" in run(*asked, "--rpc", node.url).stdout

    # What the old chain held is still held against the log.
    checked = CliRunner().invoke(app, ["fsck", "--json"])
    assert (checked.exit_code, json.loads(checked.stdout)["chain_heads"]) == (0, 2)
    for kept in (home / "files").rglob("*"):
        if kept.is_file() and kept.read_bytes().startswith(b'{"chain_id"'):
            kept.unlink()
    checked = CliRunner().invoke(app, ["fsck"])
    assert checked.exit_code == 1
    assert "a chain that this log left are gone" in checked.stdout

    # A proof of today does not stand in the history of the chain that was left.
    rt = Runtime.open(Settings(home=home, mqtt_port=0))
    with rt.db.read() as session:
        found, head = latest_final(session, origin=ORIGIN), log.latest_checkpoint(session)
        assert found is not None
        assert head is not None
        assert (found.chain_id, found.size) == (31_337, head.size)
        new = prove(session, PLOT, key=rt.signer.key, anchor=anchored_head(found)).encode()
    rt.close()
    (tmp_path / "new.json").write_bytes(new)
    refused = run("carried", tmp_path / "new.json", "--history", written["file"], code=1)
    assert "does not list" in refused.stderr
    run("carried", tmp_path / "old.json", "--history", tmp_path / "old.json", code=1)
