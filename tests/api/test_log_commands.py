"""The commands of the log's keeper: a check that is interrupted, followers, proofs and what they reveal."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlmodel import col, delete, select, update
from typer.testing import CliRunner

from api.cli import app
from api.migrations import migrate
from api.runtime import Runtime
from ledger import disclosure, follow, log
from ledger.kernel.settings import Settings
from ledger.models import Checkpoint, Entry, Naming, Tile
from ledger.proof import verify
from orders.stock import GradedStock
from tests.simulators.orchard import PACK, PLOT, golden_events, noise

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with its tables, named by the environment."""
    for name in [name for name in os.environ if name.startswith("GUOYUAN_") and "TEST" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GUOYUAN_HOME", str(tmp_path / "home"))
    migrate(Settings.load())
    return tmp_path / "home"


@pytest.fixture
def rt(home: Path) -> Iterator[Runtime]:
    opened = Runtime.open(Settings.load())
    yield opened
    opened.close()


def record(rt: Runtime, events: list[Any]) -> None:
    with rt.db.write() as session:
        log.record_all(session, events, now=NOW)
        log.integrate(session)
        log.publish(session, rt.signer, now=NOW)


def run(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result


def as_json(*arguments: str, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


# --- fsck ------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests started in the background inherit that it is ignored
from ledger import fsck
fsck.KEEP_EVERY = 1024
whole, how = fsck.check, sys.argv.pop(1)
def check(session, **more):
    def die(done, of):
        if done > 1024:
            os.kill(os.getpid(), getattr(signal, how))
    return whole(session, **more | {"progress": die})
if how:
    fsck.check = check
from api.cli import app
app()
"""


def fsck(*arguments: str, how: str = "") -> subprocess.CompletedProcess[str]:
    """`guoyuan fsck` as a process of its own, which keeps its state every 1,024 entries and may be killed after."""
    return subprocess.run(
        [sys.executable, "-c", KILLED, how, "fsck", "--json", *arguments],
        cwd=Path(__file__).parents[2],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize(("how", "code"), [("SIGKILL", -signal.SIGKILL), ("SIGINT", 130)])
def test_a_check_that_was_interrupted_goes_on_where_it_was(
    rt: Runtime, home: Path, tmp_path: Path, how: str, code: int
) -> None:
    record(rt, noise(2500))
    state = tmp_path / "state"
    for place, chosen in ((home / "fsck.state", ()), (state, ("--state", str(state)))):
        killed = fsck(*chosen, how=how)
        assert killed.returncode == code, killed.stderr
        assert place.stat().st_mode & 0o777 == 0o600
        done = fsck(*chosen)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["sound"], found["entries"], found["resumed_from"]) == (True, 2500, 1024)
        assert not place.exists(), "it has come to its end"


@pytest.mark.parametrize("state", ["from the start", "written by others", "old", "torn", "another format"])
def test_a_state_that_cannot_be_believed_is_ignored(rt: Runtime, home: Path, state: str) -> None:
    record(rt, noise(1500))
    fsck(how="SIGKILL")

    path = home / "fsck.state"
    if state == "written by others":
        path.chmod(0o666)
    elif state == "old":
        os.utime(path, (0, 0))
    elif state == "torn":
        path.write_bytes(path.read_bytes()[:200])
    elif state == "another format":
        path.write_bytes(path.read_bytes().replace(b"guoyuan-fsck@1", b"guoyuan-fsck@0"))
    found = json.loads(fsck(*(["--from-start"] if state == "from the start" else [])).stdout)
    assert (found["sound"], found["resumed_from"]) == (True, 0)


def test_a_damaged_index_and_tree_are_made_again(rt: Runtime) -> None:
    record(rt, golden_events())
    with rt.db.write() as session:
        session.exec(delete(Naming).where(col(Naming.entry_id) == 3))
        session.exec(update(Tile).values(data=bytes(64)))
    assert {problem["kind"] for problem in as_json("fsck", code=1)["problems"]} >= {"naming", "tree"}
    assert as_json("rebuild")["entries"] == 38
    assert as_json("fsck")["sound"]
    with rt.db.write() as session:
        session.exec(update(Entry).where(col(Entry.leaf_index) == 5).values(data=b'{"a":1}'))
    run("rebuild", code=1)


# --- followers -------------------------------------------------------------------------------------


def test_followers_are_shown_with_their_lag_and_what_stopped_them(rt: Runtime) -> None:
    record(rt, golden_events())
    (waiting,) = as_json("followers")["followers"]
    assert (waiting["name"], waiting["position"], waiting["behind"]) == ("orders.graded_stock", 0, 38)
    follow.drain(rt.db, [GradedStock()], now=NOW)
    assert as_json("followers")["followers"][0]["behind"] == 0
    with rt.db.write() as session:
        session.exec(update(Entry).where(col(Entry.sentence) == "graded/1").values(data=b"{}"))
        follow.restart(session, GradedStock.name)
    follow.drain(rt.db, [GradedStock()], now=NOW)
    (stopped,) = as_json("followers", code=1)["followers"]
    assert stopped["error"]
    assert stopped["failed_index"] == 22
    assert "orders.graded_stock" in run("followers", code=1).stdout


def test_a_follower_is_sent_back_to_the_first_entry(rt: Runtime) -> None:
    record(rt, golden_events())
    follow.drain(rt.db, [GradedStock()], now=NOW)
    assert as_json("followers", "--restart", "orders.graded_stock")["followers"][0]["position"] == 0
    run("followers", "--restart", "nobody", code=2)


# --- private text ------------------------------------------------------------------------------------

SECRETS = {"holderName": "Sample holder with a long name", "contract": "no 1 of the sample book", "ownerName": "Coop"}


@pytest.fixture
def private(rt: Runtime) -> str:
    """The golden chain, whose plot commits to three private fields; returns that event's id."""
    plot, *others = golden_events()
    with rt.db.write() as session:
        made = disclosure.commit_fields(session, str(plot.event_id), SECRETS)
        told = msgspec.structs.replace(plot, extensions={**plot.extensions, "gy:digests": made})
        log.record_all(session, [told, *others], now=NOW)
        log.integrate(session)
        log.publish(session, rt.signer, now=NOW)
    return str(plot.event_id)


def opened(path: Path) -> dict[str, Any]:
    return dict(verify(path.read_bytes()).opened)


def test_a_proof_opens_what_is_public_or_what_was_asked_for(private: str, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    run("proof", PLOT, "-o", str(path))
    assert opened(path) == {"ownerName": "Coop"}
    run("proof", PLOT, "--reveal", "contract", "--reveal", "holderName", "-o", str(path))
    assert opened(path) == {name: SECRETS[name] for name in ("contract", "holderName")}
    assert "'phone'" in run("proof", PLOT, "--reveal", "phone", "-o", str(path)).stderr
    assert opened(path) == {}


def test_what_is_forgotten_leaves_every_proof_valid_and_no_byte_behind(
    rt: Runtime, private: str, home: Path, tmp_path: Path
) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    run("proof", PLOT, "--reveal", "contract", "-o", str(before))
    with rt.db.read() as session:
        texts = {field.name: field.disclosure for field in disclosure.kept_fields(session, [private])}
    rt.close()
    assert stored(home, texts["contract"]), "the control: it was there"
    run("forget", private, "--field", "contract", code=1)  # not without being sure
    assert as_json("forget", private, "--field", "contract", "--yes")["erased"] == [
        {"event_id": private, "field": "contract"}
    ]
    assert not stored(home, texts["contract"])
    assert stored(home, texts["holderName"])
    assert opened(before) == {"contract": SECRETS["contract"]}, "what was handed out stays provable"
    run("proof", PLOT, "--reveal", "contract", "--reveal", "holderName", "-o", str(after))
    assert opened(after) == {"holderName": SECRETS["holderName"]}
    run("verify", str(after), "--seen", str(before))
    assert as_json("fsck")["disclosures"] == 2
    assert as_json("forget", PLOT, "--yes")["erased"], "everything that names the plot"
    run("forget", "https://id.gs1.org/414/9521001000109/254/NONE", "--yes", code=1)


def stored(home: Path, text: str) -> bool:
    return any(text.encode() in path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_two_proof_files_are_held_against_each_other(private: str, rt: Runtime, tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    run("proof", PLOT, "-o", str(one))
    run("proof", PACK, "-o", str(other))
    run("verify", str(one), "--seen", str(other))
    rt.close()
    (Settings.load().keys_dir / "log.key").unlink()
    strange = Runtime.open(Settings.load())
    with strange.db.write() as session:
        for row in session.exec(select(Checkpoint)):
            row.note = strange.signer.sign(row.size, row.root)
    strange.close()
    run("proof", PLOT, "-o", str(one))
    assert "signed with the log key" in run("verify", str(one), "--seen", str(other), code=1).stderr
    other.write_bytes(b"{}")
    run("verify", str(one), "--seen", str(other), code=2)
