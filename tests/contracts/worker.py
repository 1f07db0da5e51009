"""A process to be killed: anchors one head after the other and says so, until it is stopped.

python worker.py CHAIN_DB KEY_FILE DATABASE MODE
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from contracts import outbox
from contracts.anchor import Anchorer
from contracts.chain import Chain
from contracts.keys import PublisherKey
from ledger.kernel.database import Database
from tests.contracts.simulators import ORIGIN, SampleLog


def main(chain_db: str, key_file: str, database: str) -> None:
    key = PublisherKey.load_or_create(Path(key_file))
    chain = Chain.embedded(Path(chain_db), funded=key.address)
    db, log = Database(f"sqlite:///{database}"), SampleLog()
    anchorer = Anchorer(chain, key, origin=ORIGIN, tree=log)
    with db.read() as session:
        newest = next(iter(outbox.anchors(session, origin=ORIGIN, limit=1)), None)
    size = newest.size if newest else 0
    print("ready", flush=True)  # noqa: T201  # this is what the parent reads
    if newest is not None:
        log.grow(size)
        anchorer.advance(db, now=datetime.now(UTC))
    while True:
        size += 3
        row = anchorer.anchor(db, log.grow(size), now=datetime.now(UTC))
        if row is not None and row.state == "final":
            print(row.size, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
