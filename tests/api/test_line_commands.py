"""`guoyuan line`: refused with a reason, looked at while it runs, ended cleanly."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from api.deploy.services import free_port
from api.line_commands import PRACTICE_LOT
from api.line_journal import Journal
from grading.profile import CameraProfile
from tests.api.line_edge import Edge, now
from tests.faults.test_line_kills import true_at_last


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GUOYUAN_HOME", str(tmp_path / "home"))
    return tmp_path


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["line", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    """A line that counted five fruit and has no server."""
    made = Edge(tmp_path / "line")
    made.begin("https://id.gs1.org/01/99521001000218/10/X1")
    made.pass_by(5)
    yield made
    made.journal.close()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--source", "usb:0"], "needs its profile"),
        (["--source", "rendered:", "--server", "http://127.0.0.1:1"], "asks for the station's code"),
        (["--source", "rendered:", "--host", "10.0.0.7"], "code or a PIN"),
        (["--source", "rendered:", "--wiring", "grading/line/line-sample.toml"], "would move real gates"),
        (["--source", "rendered:", "--detector", "magic"], "neither classical nor both"),
        (["--source", "rendered:?kind=durian"], "durian"),
        (["--source", "rendered:?speed=9"], "speed"),
        (["--source", "rendered:", "--standard", "durian"], "durian"),
    ],
)
def test_what_cannot_run_is_refused_with_the_reason(tmp_path: Path, options: list[str], why: str) -> None:
    result = run("run", *options, "--no-browser", "--state", tmp_path / "line", code=2)
    assert why in " ".join(result.output.replace("│", " ").split())


def test_a_profile_that_was_altered_is_refused(tmp_path: Path) -> None:
    told = json.loads(CameraProfile.plain(nm_per_px=850_000, camera_height_um=680_000).data)
    (tmp_path / "camera.json").write_text(json.dumps(told | {"nm_per_px": 850_001}))
    options = ["--source", "folder:.", "--profile", tmp_path / "camera.json", "--state", tmp_path / "line"]
    assert "altered" in run("run", *options, "--no-browser", code=2).output


def test_two_processes_do_not_run_one_line(edge: Edge) -> None:
    options = ["--source", "rendered:", "--no-browser", "--state", edge.folder]
    assert "another process runs this line" in run("run", *options, code=2).output


def test_status_looks_on_while_the_line_runs(edge: Edge, tmp_path: Path) -> None:
    told = json.loads(run("status", "--state", edge.folder, "--json").stdout)
    assert (told["waiting"], told["batches"][0]["fruit"], told["batches"][0]["delivered"]) == (5, 5, 0)
    shown = run("status", "--state", edge.folder).output
    assert "5 wait to be delivered" in shown
    assert " X1 " in shown, "the lot by its own name, on a screen of 80 columns"
    assert "…" not in shown
    run("status", "--state", tmp_path / "nowhere", code=2)


def test_a_state_folder_whose_file_is_broken_is_named(tmp_path: Path) -> None:
    (tmp_path / "line.db").write_bytes(b"no journal" * 1000)
    for command in ("run", "status"):
        options = ["--source", "rendered:", "--detector", "classical"] if command == "run" else []
        told = run(command, *options, "--state", tmp_path, code=2).output
        assert f"{tmp_path}: line.db cannot be used: file is not a database" in told.replace("\n", " ")


def test_deliver_says_that_the_house_is_not_reached(edge: Edge) -> None:
    edge.journal.close()
    server = f"http://127.0.0.1:{free_port()}"
    result = run("deliver", "--server", server, "--code", "K7Q2-9FMX-3TRB", "--state", edge.folder, "--json", code=3)
    told = json.loads(result.stdout)
    assert (told["delivered"], told["waiting"], told["error"]["code"]) == (0, 5, "offline")
    edge.open()


def test_a_rehearsal_runs_without_camera_and_server_and_ends_cleanly(tmp_path: Path) -> None:
    port = free_port()
    command = ["-m", "api.cli", "line", "run", "--source", "rendered:", "--port", str(port), "--json", "--no-browser"]
    process = subprocess.Popen([sys.executable, *command, "--state", str(tmp_path / "line")], stdout=subprocess.PIPE)
    stack = ExitStack()
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"listens": f"http://127.0.0.1:{port}"}
        console = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30))
        true_at_last(lambda: console.get("/picture.jpg").is_success, what="a picture")
        state = console.get("/state").json()
        assert (state["is_sample"], state["batch"]["lot"]) == (True, PRACTICE_LOT)
        with console.stream("GET", "/picture.mjpg") as stream:
            assert stream.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
            assert next(stream.iter_bytes(16)).startswith(b"--frame")
        true_at_last(lambda: console.get("/state").json()["batch"]["fruit"] > 0, what="a fruit")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        stack.close()
        if process.stdout is not None:
            process.stdout.close()
    journal = Journal(tmp_path / "line")
    assert journal.tally.fruit > 0
    assert journal.uncommanded() == 0
    assert journal.open_batch is not None
    assert now() - journal.open_batch.opened_at < timedelta(minutes=10)
    journal.close()
