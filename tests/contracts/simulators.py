"""A log small enough to see through, and anvil with its own methods for accidents."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlmodel import Session

from api.deploy.services import free_port
from contracts import outbox
from contracts.models import Anchor
from ledger import merkle
from ledger.errors import LogInconsistentError
from ledger.kernel.database import Database

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
ORIGIN = "sample.example/log"


@dataclass(frozen=True)
class Head:
    size: int
    root: bytes


@dataclass
class SampleLog:
    """A log in memory, in place of ledger.tree. `branch` makes another history from some leaf on."""

    branch: str = ""
    branches_at: int = 0
    length: int = 0
    _leaves: list[bytes] = field(default_factory=list)

    def grow(self, size: int) -> Head:
        self.length = size
        while len(self._leaves) < size:
            index = len(self._leaves)
            name = f"{index}{self.branch if index >= self.branches_at else ''}"
            self._leaves.append(merkle.leaf_hash(name.encode()))
        return Head(size, merkle.root(self._leaves[:size]))

    def root(self, session: Session | None, size: int) -> bytes:  # noqa: ARG002  # the protocol's
        if size > self.length:
            raise LogInconsistentError(f"the log has {self.length} leaves, not {size}")
        return merkle.root(self._leaves[:size])

    def consistency(self, session: Session | None, first: int, second: int) -> list[bytes]:  # noqa: ARG002  # the protocol's
        return merkle.prove_consistency(first, self._leaves[:second])

    def leaf(self, index: int) -> bytes:
        return self._leaves[index]

    def inclusion(self, index: int, size: int) -> list[bytes]:
        return merkle.prove_inclusion(index, self._leaves[:size])


def rows(db: Database) -> list[Anchor]:
    """Every anchor, oldest first."""
    with db.read() as session:
        return sorted(outbox.anchors(session, origin=ORIGIN), key=lambda row: row.size)


def program(name: str) -> Path:
    """A program from npm, or a plain skip where `npm --prefix contracts ci` has not run (never in CI)."""
    path = CONTRACTS / "node_modules" / ".bin" / name
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"CI must have {name}: run npm --prefix contracts ci")
        pytest.skip(f"{name} is not installed; npm --prefix contracts ci installs it")
    return path


class Anvil:
    """A private anvil, and the few of its own methods these tests use."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        path = program("anvil")
        options = ["--port", str(self.port), "--host", "127.0.0.1", "--hardfork", "prague", "--silent", *self._options]
        # Of more than 500 blocks it keeps the older states on disk, and goes back to one without the contract's code.
        options += ["--prune-history", "100000"]
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                # Where it was started again, its own last connections may still hold the port for a moment.
                self._process = subprocess.Popen([path, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            # Only an answer counts: a bare connection to a free local port can be one to itself.
            with contextlib.suppress(requests.RequestException):
                self.ask("eth_chainId")
                return
            time.sleep(0.05)
        raise TimeoutError("anvil does not answer")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=60)
            self._process = None

    def ask(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = requests.post(self.url, json=body, timeout=60).json()
        assert "error" not in answer, answer
        return answer["result"]

    def mine(self, blocks: int = 1) -> None:
        self.ask("anvil_mine", hex(blocks))


class Killed(BaseException):
    """The process ends here. No `except Exception` may see it, as none sees SIGKILL."""


@dataclass
class Fuse:
    """Counts the steps of a run, and ends it before or after one of them."""

    at: int | None = None
    after: bool = False
    steps: list[str] = field(default_factory=list)

    def step(self, name: str, do: Any) -> Any:
        """Do one step, unless the process ends here."""
        self.steps.append(name)
        is_last = self.at is not None and len(self.steps) == self.at
        if is_last and not self.after:
            raise Killed(name)
        result = do()
        if is_last:
            raise Killed(name)
        return result


class FusedChain:
    """A chain whose every call may be the process's last."""

    def __init__(self, chain: Any, fuse: Fuse) -> None:
        self._chain, self._fuse = chain, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._chain, name)
        if not callable(found):
            return found
        return lambda *args, **kwargs: self._fuse.step(name, lambda: found(*args, **kwargs))


class FusedDatabase:
    """A database whose every commit may be the process's last step, done or not."""

    def __init__(self, db: Database, fuse: Fuse) -> None:
        self._db, self._fuse = db, fuse

    def read(self) -> Any:
        return self._db.read()

    @contextmanager
    def write(self) -> Iterator[Session]:
        unit = self._db.write()
        session = unit.__enter__()
        try:
            yield session
            if self._fuse.at == len(self._fuse.steps) + 1 and not self._fuse.after:
                self._fuse.step("commit", lambda: None)
        except BaseException as error:
            unit.__exit__(type(error), error, error.__traceback__)
            raise
        self._fuse.step("commit", lambda: unit.__exit__(None, None, None))
