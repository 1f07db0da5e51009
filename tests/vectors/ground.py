"""What the makers of vectors stand on: keys, leaves, the golden chain as a log, and small ways to break bytes."""

import base64
import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from ledger import merkle
from ledger.canonical import entry_bytes
from ledger.checkpoint import LogSigner
from ledger.events import parse_event
from ledger.lineage import walk
from ledger.proof import FileFinder

FOLDER = Path(__file__).resolve().parent

Case = dict[str, Any]

LEAVES = [merkle.leaf_hash(f"guoyuan sample leaf {i}".encode()) for i in range(65)]
ZERO = bytes(32)

ORIGIN = "guoyuan.example/sample-log"
SIGNER = LogSigner(ORIGIN, sha256(b"guoyuan sample log key").digest())
OTHER_SIGNER = LogSigner("guoyuan.example/other-log", sha256(b"guoyuan other log key").digest())
THIEF = LogSigner(ORIGIN, sha256(b"a thief's key").digest())
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
SMALL_ORDER = bytes([1]) + bytes(31)  # the neutral point: under it, R = S = 0 "signs" everything


def flip(data: bytes, bit: int = 0) -> bytes:
    """Return the bytes with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8 % len(changed)] ^= 1 << bit % 8
    return bytes(changed)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def line(name: str, material: bytes) -> str:
    return f"\u2014 {name} {b64(material)}\n"


def malleable(material: bytes, start: int = 4) -> bytes:
    """The same signature, from `start` on, with S + L for S: equal modulo the order, refused by RFC 8032, 5.1.7."""
    s = int.from_bytes(material[start + 32 :], "little") + ED25519_ORDER
    return material[: start + 32] + s.to_bytes(32, "little")


RECORDED = datetime(2026, 5, 1, tzinfo=UTC)
VOIDED = "https://id.gs1.org/01/09521002001013/21/E4GM7S1QWX8V"
PACK = "https://id.gs1.org/01/09521002001013/21/7K3Q9X2MVD4T"
OTHER_PACK = "https://id.gs1.org/01/09521002001013/21/B5WZ8N1RCG6H"
BROADCAST = "https://id.gs1.org/253/9521003003023L260417-1"
HARVEST_LOT = "https://id.gs1.org/01/99521001000218/10/H260418-P03-1"
PLOT = "https://id.gs1.org/414/9521001000109/254/P03"
PASSPORT = "https://id.gs1.org/253/9521001003018P03-2026"
ANCHORED = 34


def golden_entries() -> list[bytes]:
    """Return the entries of the golden chain, as a log that took them all at one moment holds them."""
    return [
        entry_bytes(parse_event(event), RECORDED)
        for path in sorted((FOLDER / "golden").glob("*.jsonld"))
        for event in json.loads(path.read_text())["epcisBody"]["eventList"]
    ]


def built(
    subject: str,
    entries: list[bytes],
    *,
    chosen: list[int] | None = None,
    anchored: int | None = ANCHORED,
    disclosures: tuple[str, ...] = (),
    evidence: tuple[str, ...] = (),
    signer: LogSigner = SIGNER,
) -> dict[str, Any]:
    """Return a proof file as a JSON object, made in memory from all entries of a log."""
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    events = {index: json.loads(entry) for index, entry in enumerate(entries)}
    if chosen is None:
        chosen = sorted(walk(subject, FileFinder(events), limit=len(events))[0])
    hashes: list[str] = []

    def positions(path: list[bytes]) -> list[int]:
        hashes.extend(text for text in dict.fromkeys(map(b64, path)) if text not in hashes)
        return [hashes.index(b64(node)) for node in path]

    proved = [
        {"data": entries[i].decode(), "index": i, "path": positions(merkle.prove_inclusion(i, leaves))} for i in chosen
    ]
    anchor = anchored and {
        "block": 17,
        "chain_id": 31337,
        "consistency": positions(merkle.prove_consistency(anchored, leaves)),
        "contract": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
        "log_id": "0x" + sha256(signer.origin.encode()).hexdigest(),
        "root": b64(merkle.root(leaves[:anchored])),
        "size": anchored,
        "transaction": "0x" + sha256(b"guoyuan sample transaction").hexdigest(),
    }
    return {
        "anchor": anchor,
        "checkpoint": signer.sign(len(entries), merkle.root(leaves)),
        "disclosures": list(disclosures),
        "entries": proved,
        "evidence": list(evidence),
        "format": "guoyuan-proof@1",
        "hashes": hashes,
        "key": signer.key.text(),
        "subject": subject,
    }
