"""A process that has imported everything and forks installations on demand: each starts at once, and dies alone.

Reads one JSON command a line, answers one line: {"start": {...}} forks and answers the pid, {"wait": pid} answers
how it ended: "done", "killed", or the error's name.
"""

import json
import os
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from contracts import embedded  # noqa: F401  # imported before the fork, so that no child pays for it
from contracts.anchor import Anchorer
from contracts.chain import Chain
from contracts.errors import ChainError
from contracts.keys import PublisherKey
from contracts.signers import LocalSigner
from ledger.kernel.database import Database
from tests.contracts.simulators import ORIGIN, Fuse, FusedChain, FusedDatabase, SampleLog
from tests.faults.naive import NaiveAnchorer


class Deadly(Fuse):
    """A fuse that ends the whole process, as the kernel does: no handler runs, no file is closed."""

    def step(self, name: str, do: Any) -> Any:
        """Do one step, unless the process ends before or after it."""
        self.steps.append(name)
        is_last = self.at is not None and len(self.steps) == self.at
        if is_last and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = do()
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


def run(task: dict[str, Any]) -> None:
    """Anchor one head, as an installation that has just started."""
    key, log = PublisherKey(LocalSigner(bytes.fromhex(task["secret"]))), SampleLog()
    head, now = log.grow(task["size"]), datetime.fromisoformat(task["now"])
    deployment = Path(task["deployment"])
    chain: Any = (
        Chain.connect(task["url"], deployment=deployment, timeout_s=task.get("timeout_s", 10))
        if "url" in task
        else Chain.embedded(Path(task["chain"]))
    )
    if task.get("naive"):
        NaiveAnchorer(chain, key, log, notes=Path(task["notes"])).anchor(head)
        return
    fuse = Deadly(task.get("at"), after=task.get("after", False))
    db: Any = Database(task["database"])
    fused_chain: Any = FusedChain(chain, fuse) if task.get("counts_chain") else chain
    anchorer = Anchorer(
        fused_chain,
        key,
        origin=ORIGIN,
        tree=log,
        confirmations=task["confirmations"],
        stuck_after=timedelta(minutes=3),
    )
    anchorer.anchor(FusedDatabase(db, fuse), head, now=now)  # type: ignore[arg-type]  # the two methods it uses
    if "steps" in task:
        Path(task["steps"]).write_text(json.dumps(fuse.steps))


def child(task: dict[str, Any]) -> None:
    code = 0
    try:
        run(task)
    except ChainError as error:
        Path(task["error"]).write_text(type(error).__name__)
        code = 3
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    print("ready", flush=True)  # noqa: T201  # the answers are what the parent reads
    for line in sys.stdin:
        command = json.loads(line)
        if "start" in command:
            pid = os.fork()
            if pid == 0:
                child(command["start"])
            print(pid, flush=True)  # noqa: T201
        else:
            _, status = os.waitpid(command["wait"], 0)
            print("killed" if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
