"""Files made to be slow or large: every verifier answers in bounded time and memory, whatever it is fed.

Run in a process of its own under a limit of memory and processor time; the limits are many times what is needed.
"""

import base64
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger import merkle
from ledger.canonical import canonical
from ledger.checkpoint import LogSigner
from ledger.errors import PolicyError, VerificationError
from ledger.policy import Policy
from ledger.proof import MAX_FILE_BYTES, verify
from ledger.tlog_proof import verify as verify_entry

ROOT = Path(__file__).resolve().parent.parent.parent
SIGNER = LogSigner("guoyuan.example/sample-log", bytes(32))
POLICY = Policy.parse(f"log {SIGNER.key.text()}\nquorum none\n".encode())
MOST_MEMORY = 1 << 30
MOST_SECONDS = 60


def names(count: int) -> list[str]:
    return [f"https://id.gs1.org/01/09521002001013/21/{number:06d}" for number in range(count)]


def event(number: int, **members: object) -> dict[str, object]:
    time = "2026-04-18T00:00:00.000Z"
    return {"action": "ADD", "eventID": f"urn:uuid:{number}", "eventTime": time, "type": "ObjectEvent", **members}


def history(events: list[dict[str, object]], subject: str, **members: object) -> bytes:
    """A true proof of a log that holds just these events: what a careless or hostile log may sign."""
    entries = [canonical(one) for one in events]
    rows = [[merkle.leaf_hash(entry) for entry in entries]]
    while len(rows[-1]) > 1:
        row = rows[-1]
        pairs = [merkle.node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        rows.append(pairs + row[len(pairs) * 2 :])
    hashes: dict[bytes, int] = {}

    def path(index: int) -> Iterator[int]:
        for row in rows[:-1]:
            if index ^ 1 < len(row):
                yield hashes.setdefault(row[index ^ 1], len(hashes))
            index //= 2

    proved = [{"data": e.decode(), "index": i, "path": list(path(i))} for i, e in enumerate(entries)]
    built = {"anchor": None, "checkpoint": SIGNER.sign(len(entries), rows[-1][0]), "disclosures": [], "entries": proved}
    built |= {"evidence": [], "format": "guoyuan-proof@1", "key": SIGNER.key.text(), "subject": subject}
    built |= {"hashes": [base64.b64encode(node).decode() for node in hashes]}
    return canonical(built | members)


def dense_trade() -> bytes:
    """Forty events, each of which turns the same five hundred things into each other."""
    ids = names(500)
    lists = {"inputEPCList": ids, "outputEPCList": ids}
    return history([event(i, type="TransformationEvent", **lists) for i in range(40)], ids[0])


def dense_packing() -> bytes:
    ids = names(900)
    packed = [event(i, type="AggregationEvent", parentID=ids[i], childEPCs=ids) for i in range(250)]
    return history(packed, ids[0])


def dense_references() -> bytes:
    ids = names(1)
    referring = [
        event(i, epcList=ids, ilmd={"gy:x": {f"gy:r{j}": f"urn:uuid:{(60 * i + j) % 4000}" for j in range(60)}})
        for i in range(4000)
    ]
    return history(referring, ids[0])


def much_evidence() -> bytes:
    """Five thousand names, all of them in the last of many long entries."""
    wanted = [f"ni:///sha-256;{number:0>43}" for number in range(1000)]
    ids = names(1)
    long = [event(i, epcList=ids, ilmd={"gy:x": "y" * 60_000}) for i in range(200)]
    last = event(200, epcList=ids, **{"gy:evidence": wanted})
    return history([*long, last], ids[0], evidence=wanted)


GOOD: dict[str, Callable[[], bytes]] = {
    "40 events that turn the same 500 things into each other": dense_trade,
    "250 events that pack the same 900 things": dense_packing,
    "4,000 events that refer to each other": dense_references,
    "1,000 pieces of evidence behind 12 MiB of entries": much_evidence,
}
BAD: dict[str, Callable[[], bytes]] = {
    "16 MiB of brackets": lambda: b"[" * MAX_FILE_BYTES,
    "16 MiB of open objects": lambda: b'{"a":' * (MAX_FILE_BYTES // 5),
    "16 MiB of digits": lambda: b"7" * MAX_FILE_BYTES,
    "16 MiB of null characters": lambda: bytes(MAX_FILE_BYTES),
    "two million repeated keys": lambda: b"{" + b'"a":1,' * 2_000_000 + b'"a":1}',
    "five million numbers": lambda: b"[" + b"1," * 5_000_000 + b"1]",
    "a million empty objects": lambda: b"[" + b"{}," * 1_000_000 + b"{}]",
    "escapes without end": lambda: b'"' + b"\\u0041" * 2_000_000 + b'"',
    "5,000 entries that share their hashes": lambda: history(
        [event(0, epcList=names(1))],
        names(1)[0],
        entries=[{"data": "{}", "index": i, "path": [j % 5 for j in range(128)]} for i in range(5000)],
        hashes=[base64.b64encode(bytes([i]) * 32).decode() for i in range(5)],
    ),
    "200,000 hashes that nothing uses": lambda: history(
        [event(0, epcList=names(1))], names(1)[0], hashes=[base64.b64encode(bytes(32)).decode()] * 200_000
    ),
    "5,000 pieces of evidence that are not there": lambda: history(
        [event(i, epcList=names(1), ilmd={"gy:x": "y" * 60_000}) for i in range(200)],
        names(1)[0],
        evidence=[f"ni:///sha-256;{number:0>43}" for number in range(5000)],
    ),
    "a million lines of a tlog-proof": lambda: b"c2sp.org/tlog-proof@v1\nindex 0\n" + b"A" * 43 + b"=\n" * 250_000,
}


def answer(data: bytes) -> str:
    """What each verifier says: `verifies`, or which of them refuse. Anything else is a traceback."""
    try:
        verify(data, policy=POLICY)
    except VerificationError:
        for attempt in (lambda: verify_entry(data, policy=POLICY), lambda: Policy.parse(data)):
            try:
                attempt()
            except (VerificationError, PolicyError):
                continue
            return "a reader of another format took it"
        return "refused"
    return "verifies"


@pytest.mark.parametrize(("description", "said"), [*((d, "verifies") for d in GOOD), *((d, "refused") for d in BAD)])
def test_nothing_takes_long_or_much_memory(description: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.ledger.test_hostile", description],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == (said, "")


def main() -> None:
    """Build a file, then judge it within the limits."""
    data = {**GOOD, **BAD}[sys.argv[1]]()
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(used.ru_utime + used.ru_stime)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (spent + MOST_SECONDS, spent + MOST_SECONDS))
    sys.stdout.write(answer(data))


if __name__ == "__main__":
    main()
