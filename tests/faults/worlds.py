"""Installations to break: one on anvil behind a gate, one on the embedded chain, each thrown away after use."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlmodel import SQLModel, select

from contracts.anchor import Anchorer
from contracts.chain import Chain
from contracts.errors import ChainError
from contracts.heads import log_id
from contracts.keys import PublisherKey
from contracts.models import Anchor, AnchorState, Attempt
from contracts.signers import LocalSigner
from ledger.kernel.database import Database
from tests.contracts.simulators import ORIGIN, ROOT, Anvil, Head, SampleLog, rows
from tests.faults.gate import Gate

SECRET = b"\x5a" * 32
CONFIRMATIONS = 2
NAME = log_id(ORIGIN)


class Zygote:
    """The process that forks installations."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"

    def start(self, task: dict[str, Any]) -> int:
        return int(self._ask({"start": task}))

    def wait(self, pid: int) -> str:
        return self._ask({"wait": pid})

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=15)
        self._process.stdout.close()

    def _ask(self, command: dict[str, Any]) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@dataclass
class Tally:
    """How many scenarios of each kind ended with exactly one anchor per head, and how the controls ended."""

    held: Counter[str] = field(default_factory=Counter)
    controls: dict[str, str] = field(default_factory=dict)


@dataclass
class AnvilSite:
    """One anvil with our contract on it, brought back to that state before every scenario."""

    anvil: Anvil
    folder: Path
    snapshot: str = ""

    @classmethod
    def build(cls, anvil: Anvil, folder: Path) -> "AnvilSite":
        key = PublisherKey(LocalSigner(SECRET))
        chain = Chain.connect(anvil.url, deployment=folder / "deployment.json")
        Anchorer(chain, key, origin=ORIGIN).prepare()
        chain.close()
        anvil.ask("evm_setAutomine", False)
        empty = Database(f"sqlite:///{folder / 'empty.db'}")
        SQLModel.metadata.create_all(empty.engine)
        empty.dispose()
        return cls(anvil, folder, anvil.ask("evm_snapshot"))

    def again(self) -> None:
        self.anvil.ask("evm_revert", self.snapshot)
        self.anvil.ask("anvil_dropAllTransactions")
        self.snapshot = self.anvil.ask("evm_snapshot")
        self.anvil.mine(8)  # anvil cannot go back to a block that a reorganisation took


class World:
    """One installation on anvil, behind a gate, and the node itself to look at the truth."""

    def __init__(self, site: AnvilSite, folder: Path, *, now: datetime, zygote: Zygote | None = None) -> None:
        site.again()
        self.site, self.folder, self.now, self.zygote = site, folder, now, zygote
        self.anvil, self.gate = site.anvil, Gate(site.anvil.port)
        shutil.copy(site.folder / "deployment.json", folder / "deployment.json")
        self.key, self.log = PublisherKey(LocalSigner(SECRET)), SampleLog()
        self.log.grow(64)
        self.databases: list[Database] = []
        self.db = self.new_database("outbox.db")
        self.truth = Chain.connect(self.anvil.url, deployment=folder / "deployment.json")
        self.base_nonce = self.truth.nonce(self.key.address)

    def close(self) -> None:
        self.gate.close()
        self.truth.close()
        for db in self.databases:
            db.dispose()

    def new_database(self, name: str) -> Database:
        shutil.copy(self.site.folder / "empty.db", self.folder / name)
        self.databases.append(Database(f"sqlite:///{self.folder / name}"))
        return self.databases[-1]

    def head(self, size: int) -> Head:
        return Head(size, self.log.root(None, size))

    def anchorer(self, *, timeout_s: float = 10, **choices: Any) -> Anchorer:
        """An installation that has just started, behind the gate."""
        chain = Chain.connect(self.gate.url, deployment=self.folder / "deployment.json", timeout_s=timeout_s)
        given = {"origin": ORIGIN, "tree": self.log, "confirmations": CONFIRMATIONS} | choices
        return Anchorer(chain, self.key, **given)

    def try_anchor(self, size: int, anchorer: Anchorer | None = None, db: Database | None = None) -> str:
        """Anchor a head as far as it goes, and return what stopped it."""
        try:
            (anchorer or self.anchorer()).anchor(db or self.db, self.head(size), now=self.now)
        except ChainError as error:
            return type(error).__name__
        return ""

    def life(self, size: int, *, database: str = "outbox.db", **choices: Any) -> int:
        """Start a process that anchors a head; return its number."""
        assert self.zygote is not None
        return self.zygote.start(
            {
                "secret": SECRET.hex(),
                "size": size,
                "now": self.now.isoformat(),
                "deployment": str(self.folder / "deployment.json"),
                "url": self.gate.url,
                "database": f"sqlite:///{self.folder / database}",
                "notes": str(self.folder / "notes.json"),
                "error": str(self.folder / "error.txt"),
                "confirmations": CONFIRMATIONS,
                **choices,
            }
        )

    def between(self, what: str) -> None:
        """What the chain does while nobody looks."""
        self.now += timedelta(seconds=20)
        if what == "mined":
            self.anvil.mine()
        if what == "lost":
            self.anvil.ask("anvil_dropAllTransactions")
        if what == "reorganised":
            self.anvil.mine(2)
            self.anvil.ask("anvil_reorg", 2, [])

    def settle(self, size: int, *, rounds: int = 14, db: Database | None = None) -> None:
        """Go on as an installation does, with an honest door, until the head is final."""
        self.gate.begin()
        anchorer = self.anchorer()
        for _ in range(rounds):
            stopped = self.try_anchor(size, anchorer, db)
            found = [row for row in rows(db or self.db) if row.size == size]
            if not stopped and found and found[0].state is AnchorState.FINAL:
                return
            self.anvil.mine()
            self.now += timedelta(minutes=1)
        raise AssertionError(f"not final after {rounds} rounds: {[(row.size, row.state) for row in rows(self.db)]}")

    def anchored(self) -> list[int]:
        return [one.size for one in self.truth.history(NAME)]

    @property
    def paid(self) -> int:
        """Transactions of ours that blocks hold since the log was opened."""
        return self.truth.nonce(self.key.address) - self.base_nonce

    def attempts(self) -> list[Attempt]:
        with self.db.read() as session:
            return sorted(session.exec(select(Attempt)), key=lambda one: one.id or 0)

    def check(self, *sizes: int, db: Database | None = None, paid: int | None = None) -> None:
        """Exactly one anchor for each head, and an outbox that says what the chain says."""
        held = list(self.truth.history(NAME))
        assert [one.size for one in held] == list(sizes)
        newest = self.truth.head(NAME)
        assert (newest.size, newest.root) == (sizes[-1], self.log.root(None, sizes[-1]))
        assert self.paid == (len(sizes) if paid is None else paid)
        consistent(rows(db or self.db), {one.size: (one.tx_hash, one.block, one.block_hash) for one in held})


def consistent(found: list[Anchor], held: dict[int, tuple[bytes, int, bytes]]) -> None:
    """The outbox holds each head of the chain once, as final, in the very transaction and block."""
    assert {row.state for row in found} <= {AnchorState.FINAL, AnchorState.SUPERSEDED}
    final = {
        row.size: (row.tx_hash, row.block_number, row.block_hash) for row in found if row.state is AnchorState.FINAL
    }
    assert final == held


def nothing_false(world: World) -> None:
    """No row says final of what the chain does not hold to that depth, and none says included of nothing."""
    newest = world.truth.block_number()
    for row in rows(world.db):
        if row.state is AnchorState.FINAL:
            receipt = world.truth.receipt(row.tx_hash or b"")
            assert receipt is not None, "final, and in no block"
            assert receipt.succeeded
            assert receipt.block + CONFIRMATIONS <= newest, "final before its time"


@dataclass(frozen=True)
class Scenario:
    """One run: what is done to which call or step, and what happens meanwhile."""

    name: str
    run: Callable[[World], None]
