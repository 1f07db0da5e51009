"""An installation served by a process of its own, for whatever measures memory, speed or survival."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlmodel import SQLModel

from api import accounts
from api.deploy.services import free_port
from api.runtime import Runtime
from ledger.kernel.actors import Role
from ledger.kernel.settings import Settings
from tests.waiting import until


@dataclass(frozen=True)
class Served:
    """Where it is served, the token of its manager, and the process."""

    address: str
    token: str
    pid: int

    def resident_mib(self) -> float:
        """What the process holds in memory now."""
        return self._memory("VmRSS")

    def peak_mib(self) -> float:
        """The most it held since it began, or since `forget_peak`."""
        return self._memory("VmHWM")

    def forget_peak(self) -> None:
        """Let the peak begin again (Linux)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _memory(self, name: str) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


@contextmanager
def served_apart(home: Path, *, database_url: str = "") -> Iterator[Served]:
    """Serve an empty installation until the block ends; its tasks do not run."""
    settings = Settings(home=home, mqtt_port=0, database_url=database_url)
    rt = Runtime.open(settings)
    SQLModel.metadata.create_all(rt.db.engine)
    now = rt.clock.now()
    with rt.db.write() as session:
        person = accounts.create_person(session, rt.numbering, ref="m", role=Role.MANAGER, site=None, now=now)
        token = accounts.open_session(session, person, now=now).token
    rt.close()
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "GUOYUAN_HOME": str(home),
        "GUOYUAN_DATABASE_URL": database_url,
        "GUOYUAN_MQTT_PORT": "0",
        "GUOYUAN_PUBLIC_URL": address,
    }
    command = [sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app", "--port", str(port)]
    process = subprocess.Popen([*command, "--log-level", "critical", "--no-access-log"], env=environment)
    try:
        _wait(address)
        yield Served(address, token, process.pid)
    finally:
        process.terminate()
        process.wait(60)


def _wait(address: str) -> None:
    def answers() -> bool:
        try:
            httpx.get(f"{address}/healthz", timeout=60)
        except httpx.TransportError:
            return False
        return True

    until(answers, what=address, every_s=0.1)
