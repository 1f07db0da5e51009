"""Private servers around a command: it may tidy up before they go."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
TIDIES = """
import pathlib, sys, time
mark = pathlib.Path(sys.argv[1])
try:
    mark.with_suffix(".up").touch()
    time.sleep(600)
except KeyboardInterrupt:
    time.sleep(0.6)  # longer than Python waits by itself
    mark.with_suffix(".tidy").touch()
"""
AROUND = """
import os, signal, sys
from api.deploy import services
signal.signal(signal.SIGTERM, services._terminate)
sys.exit(services.run_to_its_end(sys.argv[1:], os.environ))
"""


def around(*command: str) -> list[str]:
    return [sys.executable, "-c", AROUND, *command]


def test_the_commands_exit_code_is_ours() -> None:
    done = subprocess.run(around(sys.executable, "-c", "raise SystemExit(7)"), cwd=ROOT, check=False)
    assert done.returncode == 7


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_tidies_up(tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C goes to the whole group, SIGTERM to us alone: the command hears of it once either way."""
    mark = tmp_path / "mark"
    process = subprocess.Popen(
        around(sys.executable, "-c", TIDIES, str(mark)), cwd=ROOT, process_group=0, stderr=subprocess.DEVNULL
    )
    until(mark.with_suffix(".up").exists)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    assert process.wait(timeout=30) != 0
    assert mark.with_suffix(".tidy").exists()
