"""`guoyuan line check`: what each machine answers, and nothing written to any of them."""

import json

import pytest
import typer
from typer.testing import CliRunner

from api.deploy.services import free_port
from api.line_io_commands import add_io_commands
from tests.grading.line.test_broker import mosquitto  # noqa: F401  # a fixture
from tests.grading.line.test_wiring import BASE
from tests.simulators.mosquitto import Mosquitto
from tests.simulators.plc import Belt, Plc, serve
from tests.simulators.scale import TcpScale

app = typer.Typer()
add_io_commands(app)


@app.callback()
def group() -> None:
    """Keep `check` a command of a group."""


def check(tmp_path, more: str, *options: str):
    path = tmp_path / "line.toml"
    path.write_text(BASE + more)
    return CliRunner().invoke(app, ["check", "--wiring", str(path), *options])


def test_every_machine_that_answers_is_ready_and_none_was_written_to(tmp_path, mosquitto: Mosquitto) -> None:  # noqa: F811
    plc = Plc(Belt({1: 600_000}), watchdog_s=30)
    server = serve(plc, free_port())
    scale = TcpScale(b"ST,GS,+  0.345kg\r\n")
    try:
        result = check(
            tmp_path,
            f'[encoder]\nfrom = "plc"\n[modbus]\naddress = "modbus://127.0.0.1:{server.port}"\n'
            f'[mqtt]\nurl = "{mosquitto.url}"\n[scale]\nfrom = "tcp://127.0.0.1:{scale.port}"\n',
            "--json",
        )
    finally:
        scale.close()
        server.stop()
    assert result.exit_code == 0, result.output
    states = {each["name"]: each for each in json.loads(result.output)}
    assert {name: each["state"] for name, each in states.items()} == dict.fromkeys(
        ["modbus", "mqtt", "encoder", "scale"], "ready"
    )
    assert plc.seen_heartbeats == 0
    assert plc.memory[32:272] == [0] * 240


def test_what_does_not_answer_is_named_and_the_exit_code_says_unreachable(tmp_path) -> None:
    port = free_port()
    result = check(
        tmp_path,
        f'[modbus]\naddress = "modbus://127.0.0.1:{port}"\n[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\n'
        f'[scale]\nfrom = "tcp://127.0.0.1:{port}"\n',
        "--wait",
        "0.3",
    )
    assert result.exit_code == 3
    assert result.output.count("lost") == 3


def test_a_wrong_key_is_named_and_the_exit_code_says_bad_input(tmp_path) -> None:
    result = check(tmp_path, '[modbus]\naddress = "plc"\n')
    assert result.exit_code == 2
    assert "modbus.address" in result.stderr


@pytest.mark.parametrize("more", ["", '[encoder]\nfrom = "speed:250mm/s"\n'])
def test_a_line_without_machines_is_in_order(tmp_path, more) -> None:
    assert check(tmp_path, more).exit_code == 0
