import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from api.cli import app
from api.deploy.services import free_port
from api.migrations import migrate
from api.runtime import Runtime
from ledger.kernel.settings import Settings
from tests.api.commanding import PLOT, anchor, own_home
from tests.api.test_apply import COOP


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands read their installation from the environment, as they do for an operator."""
    return own_home(tmp_path, monkeypatch)


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    if code:
        assert result.stderr.count("\n") == 1, result.stderr
    return result


def as_json(*arguments: str, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


@pytest.fixture
def coop(tmp_path: Path) -> dict[str, Any]:
    """A cooperative set up from a file."""
    path = tmp_path / "coop.toml"
    path.write_text(COOP)
    applied: dict[str, Any] = as_json("apply", str(path))
    return applied


@pytest.fixture(scope="module")
def anchored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installation whose log is anchored, and a proof file of its plot."""
    folder = tmp_path_factory.mktemp("anchored")
    migrate(settings := Settings(home=folder / "home", mqtt_port=0))
    (folder / "plot.proof.json").write_bytes(anchor(settings))
    return folder


@pytest.fixture
def proof(anchored: Path, home: Path, tmp_path: Path) -> Path:
    """A proof file of the sample plot; the installation it came from is this test's own."""
    shutil.copytree(anchored / "home", home)
    return Path(shutil.copy(anchored / "plot.proof.json", tmp_path))


def test_help_needs_none_of_the_heavy_libraries() -> None:
    listed = "import sys, api.cli; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True)
    assert not {"sqlalchemy", "fastapi", "celery", "web3", "cv2", "pydantic"} & set(eval(done.stdout))  # noqa: S307


def test_applying_a_file_prints_codes_once(coop: dict[str, Any], tmp_path: Path) -> None:
    assert [p["ref"] for p in coop["people"]] == ["farmer-1", "host-1"]
    assert coop["people"][0]["link"].startswith("http://127.0.0.1:8000/sign-in/")
    assert coop["plots"] == [{"ref": "P01", "id": PLOT}]
    assert coop["places"][1] == {"ref": "house", "id": "https://id.gs1.org/414/9521002000108"}
    again = run("apply", str(tmp_path / "coop.toml")).stdout
    assert "given out before" in again
    assert coop["people"][0]["code"] not in again


def test_a_wrong_file_is_one_line_that_names_the_path(tmp_path: Path) -> None:
    path = tmp_path / "coop.toml"
    path.write_text(COOP.replace('role = "farmer"', 'role = "boss"'))
    assert "person[0].role" in run("apply", str(path), code=2).stderr
    assert "nowhere.toml" in run("apply", str(tmp_path / "nowhere.toml"), code=2).stderr


def test_people_are_listed_given_new_codes_and_erased(coop: dict[str, Any]) -> None:
    assert "Sample farmer 1" in run("people", "list").stdout
    new = as_json("people", "new-code", "farmer-1")
    assert new["code"] != coop["people"][0]["code"]
    assert as_json("people", "erase", "farmer-1")["party"] == coop["people"][0]["party"]
    listed = as_json("people", "list")["people"]
    assert [(p["ref"], p["name"], p["erased_at"] is None) for p in listed] == [
        ("farmer-1", None, False),
        ("host-1", "Sample host", True),
    ]
    assert "farmer-1" in run("people", "new-code", "farmer-1", code=2).stderr
    assert "nobody" in run("people", "erase", "farmer-9", code=2).stderr


def test_a_channel_is_added_once_and_replaced_on_request(coop: dict[str, Any]) -> None:
    added = as_json("channels", "add", "sample")
    assert base64.b64decode(added["secret"].removeprefix("whsec_"))
    assert added["url"] == "http://127.0.0.1:8000/api/v1/channels/sample/webhook"
    assert "--replace" in run("channels", "add", "sample", code=2).stderr
    assert as_json("channels", "add", "sample", "--replace")["secret"] != added["secret"]
    assert as_json("channels", "list") == {"channels": ["sample"]}


def test_a_device_key_is_made_once(tmp_path: Path) -> None:
    made = as_json("keygen", str(tmp_path / "W01.key"))
    assert len(base64.b64decode(made["public_key"])) == 32
    assert (tmp_path / "W01.key").stat().st_mode & 0o077 == 0
    run("keygen", str(tmp_path / "W01.key"), code=2)


def test_a_trace_shows_each_entry_and_an_unknown_id_is_wrong(coop: dict[str, Any]) -> None:
    traced = as_json("trace", PLOT)
    assert [step["sentence"] for step in traced["steps"]] == ["plot_registered/1", "device_enrolled/1"]
    assert "plot_registered/1" in run("trace", PLOT).stdout
    assert "nothing in the log names" in run("trace", "https://id.gs1.org/414/9521002000016/254/P99", code=1).stderr
    assert "check digit" in run("trace", "https://id.gs1.org/414/9521002000017/254/P01", code=2).stderr


def test_before_anything_was_migrated_a_command_says_what_to_run() -> None:
    assert "guoyuan migrate" in run("trace", PLOT, code=3).stderr
    assert as_json("migrate")["revision"] == "0001"
    run("trace", PLOT, code=1)


def test_a_default_secret_is_refused_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUOYUAN_ENVIRONMENT", "production")
    assert "GUOYUAN_SECRET" in run("people", "list", code=2).stderr


def test_workers_need_a_broker() -> None:
    assert "GUOYUAN_REDIS_URL" in run("worker", code=2).stderr
    assert "GUOYUAN_REDIS_URL" in run("beat", code=2).stderr


def test_a_proof_verifies_from_the_file_alone(proof: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GUOYUAN_HOME", str(tmp_path / "elsewhere"))
    verified = as_json("verify", str(proof))
    assert verified["subject"] == PLOT
    assert [entry["is_anchored"] for entry in verified["entries"]] == [True, True]
    assert "chain_not_asked" in verified["not_shown"]
    assert "verifies: 2 entries" in run("verify", str(proof), "--key", verified["key"]).stdout
    assert not (tmp_path / "elsewhere").exists()
    other = "guoyuan.example/log+00000000+" + verified["key"].rpartition("+")[2]
    run("verify", str(proof), "--key", other, code=1)


@pytest.mark.parametrize("damage", ["byte", "cut", "empty", "other"])
def test_a_damaged_proof_does_not_verify(proof: Path, damage: str) -> None:
    data = proof.read_bytes()
    damaged = {"byte": data.replace(b"mango", b"nango", 1), "cut": data[:-40], "empty": b"", "other": b"[1]"}[damage]
    proof.write_bytes(damaged)
    run("verify", str(proof), code=1)


def test_a_proof_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    assert "none.json" in run("verify", str(tmp_path / "none.json"), code=2).stderr


def test_fsck_finds_a_sound_log_sound_and_names_a_changed_entry(proof: Path) -> None:
    sound = as_json("fsck")
    assert (sound["sound"], sound["entries"], sound["checkpoints"], sound["chain_heads"]) == (True, 2, 1, 1)
    assert "sound: 2 entries" in run("fsck").stdout
    rt = Runtime.open(Settings.load())
    with rt.db.write() as session:
        data, event_id = session.execute(text("SELECT data, event_id FROM ledger_entry WHERE leaf_index = 0")).one()
        changed = {"data": data.replace(b"mango", b"nango")}
        session.execute(text("UPDATE ledger_entry SET data = :data WHERE leaf_index = 0"), changed)
    rt.close()
    result = CliRunner().invoke(app, ["fsck", "--json"])
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["sound"] is False
    assert found["problems"][0]["index"] == 0
    assert found["problems"][0]["event_id"] == event_id
    assert event_id in CliRunner().invoke(app, ["fsck"]).stdout
    assert as_json("verify", str(proof))["verifies"], "a proof saved before still verifies"


def test_fsck_says_when_the_chain_could_not_be_asked(proof: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUOYUAN_CHAIN_URL", "http://127.0.0.1:9/")
    result = CliRunner().invoke(app, ["fsck", "--json"])
    assert result.exit_code == 3
    assert json.loads(result.stdout)["chain_not_asked"]
    assert as_json("fsck", "--no-chain")["sound"]


def test_photographs_are_graded_and_refused_by_name(tmp_path: Path) -> None:
    from grading import samples

    (tmp_path / "good.jpg").write_bytes(tray := samples.tray(seed=7).jpeg)
    (tmp_path / "torn.jpg").write_bytes(tray[:500])
    result = CliRunner().invoke(app, ["grade", str(tmp_path), "--standard", "mango", "--scale", "marker", "--json"])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"guoyuan: {tmp_path / 'torn.jpg'}: ")
    good, torn = map(json.loads, result.stdout.splitlines())
    assert {"tier", "class", "size_code", "diameter_mm", "mass_g_interval", "reasons"} <= good["fruits"][0].keys()
    assert torn["refused"][0]["what"] == "image_broken"
    result = CliRunner().invoke(app, ["grade", str(tmp_path / "torn.jpg"), str(tmp_path / "gone.jpg")])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 2)
    assert CliRunner().invoke(app, ["grade", str(tmp_path / "good.jpg"), "--scale", "0.38"]).exit_code == 0


def test_what_a_folder_holds_and_nobody_reads_is_told(tmp_path: Path) -> None:
    from grading import samples

    (tmp_path / "none").mkdir()
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "good.jfif").write_bytes(samples.tray(seed=7).jpeg)
    (tmp_path / "some" / "telephone.HEIC").write_bytes(b"....ftypheic")
    folders = [str(tmp_path / name) for name in ("none", "some")]
    result = CliRunner().invoke(app, ["grade", *folders, "--scale", "marker", "--json"])
    assert result.exit_code == 2
    good, telephone = map(json.loads, result.stdout.splitlines())
    assert len(good["fruits"]) == 12
    assert telephone["refused"][0]["what"] == "image_broken"
    assert f"{folders[0]}: no photographs there" in result.stderr


def test_a_network_of_ones_own_finds_the_fruit_and_other_weights_than_its_cards_are_not_run(tmp_path: Path) -> None:
    from grading import samples

    weights = Path("grading/weights").resolve()
    card = tmp_path / "own.toml"
    card.write_text((weights / "fruit.toml").read_text().replace('name = "fruit"', 'name = "own"'))
    shutil.copy(weights / "fruit.onnx", tmp_path)
    (tmp_path / "a.jpg").write_bytes(samples.tray(seed=7).jpeg)
    asked = ("grade", str(tmp_path / "a.jpg"), "--model", str(card))
    assert len(as_json(*asked)["fruits"]) == 12
    (tmp_path / "fruit.onnx").write_bytes(b"others")
    assert "the SHA-256 differs" in run(*asked, code=2).stderr
    assert "asks no network" in CliRunner().invoke(app, [*asked, "--detector", "classical"]).stderr


def test_a_reader_that_has_enough_ends_the_command_without_a_word() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "api.cli", "grade", "gone.jpg", "--json"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_unknown_standard_is_bad_usage_and_names_the_known(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    result = CliRunner().invoke(app, ["grade", str(tmp_path / "a.jpg"), "--standard", "durian"])
    assert result.exit_code == 2
    assert "mango-codex-184" in result.stderr.replace("\n", "")


def test_nothing_kept_is_nothing_to_grade_again_and_an_unknown_lot_is_bad_input(coop: dict[str, Any]) -> None:
    assert as_json("regrade") == {"records": 0, "reproduced": 0, "failed": [], "batches": []}
    result = CliRunner().invoke(app, ["regrade", "GR000000-0001"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "GR000000-0001" in result.stderr


def test_an_inspectors_table_is_compared_with_ours(tmp_path: Path) -> None:
    file = tmp_path / "inspected.csv"
    file.write_text("fruit,inspector,ours,mass_g\n1,extra,extra,300\n2,class-1,extra,300\n3,class-1,class-1,300\n")
    found = as_json("validate", str(file))
    assert found["table"] == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert found["kappa"]["value"] == pytest.approx(0.4)
    assert found["cost"]["over_fen"] == 200
    assert "Cohen's kappa 0.400" in CliRunner().invoke(app, ["validate", str(file)]).stdout
    file.write_text("fruit,inspector\n")
    result = CliRunner().invoke(app, ["validate", str(file)])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("scale", ["ruler", "coin:25", "-1", "0", "nan", "1e9"])
def test_a_scale_that_cannot_be_is_bad_usage(tmp_path: Path, scale: str) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    result = CliRunner().invoke(app, ["grade", str(tmp_path / "a.jpg"), f"--scale={scale}"])
    assert result.exit_code == 2


# --- the running product ---------------------------------------------------------------------------


@pytest.fixture
def product(coop: dict[str, Any], tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`guoyuan up` as a process of its own, with its broker, and where it listens."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "GUOYUAN_PORT": str(port),
        "GUOYUAN_MQTT_PORT": str(free_port()),
        "GUOYUAN_PUBLIC_URL": url,
        "GUOYUAN_PUBLISH_AFTER_S": "0.2",
    }
    with (tmp_path / "up.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.cli", "up"],
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == f"Guoyuan listens on {url} as {url}\n", (tmp_path / "up.log").read_text()
        yield process, url
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_up_anchors_what_was_recorded_answers_the_chain_and_stops_cleanly(
    product: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, url = product
    deadline = time.monotonic() + 60
    while (status := httpx.get(f"{url}/api/v1/status").json())["anchored"] < 2:
        assert time.monotonic() < deadline, (status, (tmp_path / "up.log").read_text())
        time.sleep(0.2)
    assert status["gas_per_event"] > 0
    assert status["anchors"][0]["state"] == "final"
    path = tmp_path / "plot.proof.json"
    path.write_bytes(httpx.get(f"{url}/api/v1/proof", params={"id": PLOT}).content)
    known = httpx.get(f"{url}/.well-known/guoyuan.json").json()
    verified = as_json("verify", str(path), "--rpc", known["chain"]["rpc_url"], "--key", known["log_key"])
    assert "anchored_on_the_chain" in verified["shown"]
    assert as_json("fsck")["chain_heads"] >= 1, "fsck works beside the running product"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert "Traceback" not in (tmp_path / "up.log").read_text()


def test_a_port_in_use_is_said_and_is_not_success() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [sys.executable, "-m", "api.cli", "up", "--no-tasks", "--no-sensors"],
            env=os.environ | {"GUOYUAN_PORT": str(taken.getsockname()[1])},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    assert "address already in use" in done.stderr
