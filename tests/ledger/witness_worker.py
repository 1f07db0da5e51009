"""A witness in a process of its own, to be killed: submissions come in on stdin, answers go out on stdout."""

import base64
import sys
import time
from pathlib import Path

from ledger.checkpoint import LogKey
from ledger.cosign import WitnessSigner
from ledger.errors import OtherSizeError, WitnessRefusalError
from ledger.witness import Witness


class Forgetful(Witness):
    """The control: it keeps what it cosigned in memory and writes it down a little later."""

    def _connect(self):
        connection = super()._connect()
        if not hasattr(self, "_shared"):
            import sqlite3

            self._shared = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            connection.backup(self._shared)
        connection.close()
        return _Kept(self._shared)


class _Kept:
    """The shared connection, which nobody closes."""

    def __init__(self, connection):
        self._connection = connection

    def close(self):
        """Keep it."""

    def __getattr__(self, name):
        return getattr(self._connection, name)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(memory: str, kind: str, log: str) -> None:
    signer = WitnessSigner("witness.example/north", b"n" * 32)
    made = {"durable": Witness, "forgetful": Forgetful}[kind]
    witness = made(Path(memory), signer, [LogKey.parse(log)], clock=lambda: int(time.time()))
    say("ready")
    for line in sys.stdin:
        try:
            answer = witness.add_checkpoint(base64.b64decode(line))
        except WitnessRefusalError as error:
            answer = str(error.size) if isinstance(error, OtherSizeError) else error.code
        say(base64.b64encode(answer.encode()).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
