"""What tests of the command line have before them: an operator's environment, and a log that is anchored."""

import os
from pathlib import Path

import pytest

from api import apply as setup_files
from api import tasks, worker
from api.progress import anchored_head
from api.runtime import Runtime
from contracts.outbox import latest_final
from ledger.bundle import prove
from ledger.kernel.settings import Settings
from tests.api.test_apply import COOP

PLOT = "https://id.gs1.org/414/9521002000016/254/P01"


def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let commands find an installation of this test's own in the environment, and nothing else there."""
    for name in [name for name in os.environ if name.startswith("GUOYUAN_") and "TEST" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GUOYUAN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GUOYUAN_MQTT_PORT", "0")
    return tmp_path / "home"


def anchor(settings: Settings) -> bytes:
    """Set up the sample cooperative, let the installation's own tasks anchor it, return its plot's proof file."""
    rt = Runtime.open(settings)
    with rt.db.write() as session:
        setup_files.apply(
            session, setup_files.parse(COOP), settings=settings, numbering=rt.numbering, now=rt.clock.now()
        )
    worker.use(rt)
    for task in (tasks.follow_log, tasks.publish, tasks.anchor, tasks.anchor):
        assert task() == "done"
    worker.use(None)
    with rt.db.read() as session:
        found = latest_final(session, origin=settings.log_origin)
        assert found is not None
        proof = prove(session, PLOT, key=rt.signer.key, anchor=anchored_head(found)).encode()
    rt.close()
    return proof
