# ruff: noqa: T201  # a benchmark is read on the terminal
"""Verifying: Merkle proofs of a million leaves in Python, a history of 30 events in Node and in a browser.

    pytest -m benchmark tests/benchmarks/bench_verify.py -s

Each prints what it measured and the baseline of the same run.
"""

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pymerkle
import pytest

from api.app import create_app
from api.migrations.tables import metadata
from api.runtime import Runtime
from ledger import merkle
from ledger.cosign import WitnessSigner
from ledger.kernel.settings import Settings
from ledger.policy import Policy
from ledger.proof import verify
from tests.browsing import chromium, served
from tests.vectors.ground import PACK, SIGNER, built, golden_entries

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).resolve().parent.parent.parent
STATIC = ROOT / "api" / "web" / "shared" / "static"
LEAVES = 1_000_000
PROOFS = 200
ROUNDS = 20
FRESH = 7
MOST_US, MOST_MS = 50, 100

NORTH = WitnessSigner("witness.example/north", bytes(32))
POLICY = f"log {SIGNER.key.text()}\nwitness north {NORTH.key.text()}\nquorum north\n"


def median_us(work: Callable[[int], object], *, times: int) -> float:
    taken = []
    for i in range(times):
        began = time.perf_counter()
        work(i)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


def test_merkle_proofs_of_a_million_leaves() -> None:
    chosen = random.Random(1)
    entries = [b"leaf %d" % i for i in range(LEAVES)]
    rows = [[merkle.leaf_hash(entry) for entry in entries]]
    while len(rows[-1]) > 1:
        row = rows[-1]
        above = [merkle.node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        rows.append(above + row[2 * len(above) :])

    def proof(spans: list[merkle.Range]) -> list[bytes]:
        return [merkle.hash_of(span, lambda level, number: rows[level][number]) for span in spans]

    root = rows[-1][0]
    indexes = [chosen.randrange(LEAVES) for _ in range(PROOFS)]
    sizes = [chosen.randrange(1, LEAVES) for _ in range(PROOFS)]
    inclusion = [(rows[0][m], m, LEAVES, proof(merkle.inclusion_ranges(m, LEAVES)), root) for m in indexes]
    firsts = [merkle.hash_of((0, m), lambda level, number: rows[level][number]) for m in sizes]
    consistency = [
        (m, LEAVES, first, root, proof(merkle.consistency_ranges(m, LEAVES)))
        for m, first in zip(sizes, firsts, strict=True)
    ]
    ours = (
        median_us(lambda i: merkle.verify_inclusion(*inclusion[i]), times=PROOFS),
        median_us(lambda i: merkle.verify_consistency(*consistency[i]), times=PROOFS),
    )
    theirs = _pymerkle(entries, indexes[:20], sizes[:20])
    print(
        f"\nverifying at {LEAVES:,} leaves, Python: inclusion {ours[0]:.1f} us, consistency {ours[1]:.1f} us "
        f"(wanted: under {MOST_US}); pymerkle {theirs[0]:.1f} and {theirs[1]:.1f} us; "
        f"ratio {theirs[0] / ours[0]:.1f} and {theirs[1] / ours[1]:.1f}"
    )


def _pymerkle(entries: list[bytes], indexes: list[int], sizes: list[int]) -> tuple[float, float]:
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in entries:
        tree.append_entry(entry)
    root = tree.get_root()
    included = [(tree.get_leaf(i + 1), root, tree.prove_inclusion(i + 1)) for i in indexes]
    grown = [(tree.get_root(m), root, tree.prove_consistency(m, LEAVES)) for m in sizes]
    return (
        median_us(lambda i: pymerkle.verify_inclusion(*included[i]), times=len(included)),
        median_us(lambda i: pymerkle.verify_consistency(*grown[i]), times=len(grown)),
    )


SCRIPT = """
  const { verify, parsePolicy } = await import(base + "verify/index.js");
  const { sha256 } = await import(base + "vendor/noble-hashes/sha2.js");
  const policy = parsePolicy(new TextEncoder().encode(policyText));
  const taken = [];
  for (let i = 0; i < rounds + 1; i++) {
    const began = performance.now();
    verify(file, { policy });
    taken.push(performance.now() - began);
  }
  // The baseline: hashing alone, as many nodes as the file has entries times the height of its tree.
  const nodes = Array.from({ length: 192 }, () => crypto.getRandomValues(new Uint8Array(65)));
  let began = performance.now();
  for (let i = 0; i < rounds; i++) for (const node of nodes) sha256(node);
  const noble = (performance.now() - began) / rounds;
  began = performance.now();
  for (let i = 0; i < rounds; i++) for (const node of nodes) await crypto.subtle.digest("SHA-256", node);
  const subtle = (performance.now() - began) / rounds;
  const [first, ...rest] = taken;
  const told = { first, then: rest.sort((a, b) => a - b)[rounds >> 1], noble, subtle };
"""


def thirty_events() -> bytes:
    """A true proof of the golden pack's history, cut to 30 entries, under a checkpoint that a witness signed."""
    entries = golden_entries()
    whole = built(PACK, entries)
    chosen = [entry["index"] for entry in whole["entries"]]
    for left_out in reversed(chosen):  # one whose absence keeps the others connected
        if len(chosen) == 30:
            break
        fewer = built(PACK, entries, chosen=[index for index in chosen if index != left_out])
        try:
            verify(json.dumps(fewer, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
        except Exception:  # noqa: BLE001, S112  # a bridge to the others: it stays
            continue
        chosen.remove(left_out)
    proof = built(PACK, entries, chosen=chosen)
    proof["checkpoint"] += NORTH.cosign(proof["checkpoint"], time_s=1)
    data = json.dumps(proof, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert len(verify(data, policy=Policy.parse(POLICY.encode())).entries) == 30
    return data


def test_a_history_of_thirty_events_in_python_node_and_a_browser(tmp_path: Path) -> None:
    data = thirty_events()
    file = tmp_path / "proof.json"
    file.write_bytes(data)
    policy = Policy.parse(POLICY.encode())
    python = median_us(lambda _: verify(data, policy=policy), times=ROUNDS) / 1000
    node, page = _in_node(file), _in_chromium(data, tmp_path)
    print(f"\na history of 30 events ({len(data) / 1000:.0f} kB), a witness demanded: Python {python:.1f} ms")
    for name, told in (("Node", node), ("Chromium", page)):
        print(
            f"  {name}: {told['first']:.0f} ms the first time, {told['then']:.1f} ms then (wanted: under {MOST_MS}); "
            f"192 nodes hashed by noble {told['noble']:.2f} ms, by WebCrypto {told['subtle']:.2f} ms, "
            f"ratio {told['subtle'] / told['noble']:.1f}"
        )


def _middle(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of every number over fresh processes or pages: what is first is first only once in each."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def _in_node(file: Path) -> dict[str, float]:
    given = (
        f"import {{ readFileSync }} from 'node:fs'; const base = 'file://{STATIC}/'; const rounds = {ROUNDS};"
        f"const file = readFileSync('{file}'); const policyText = {json.dumps(POLICY)};"
    )
    script = f"{given}{SCRIPT} console.log(JSON.stringify(told));"
    command = ["node", "--input-type=module", "-e", script]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(FRESH)]
    return _middle([json.loads(out) for out in runs])


def _in_chromium(data: bytes, folder: Path) -> dict[str, float]:
    rt = Runtime.open(Settings(home=folder / "home", public_url="http://127.0.0.1", mqtt_port=0))
    metadata.create_all(rt.db.engine)
    with served(create_app(runtime=rt)) as address, chromium() as browser:
        work = f"""async ([text, base, policyText, rounds]) => {{
          const file = new TextEncoder().encode(text);
          {SCRIPT}
          return told;
        }}"""
        runs = []
        for _ in range(FRESH):
            page = browser.new_context().new_page()
            page.goto(f"{address}/healthz")
            runs.append(page.evaluate(work, [data.decode(), f"{address}/web/shared/", POLICY, ROUNDS]))
            page.context.close()
    rt.close()
    return _middle(runs)


def test_the_commands_from_a_standing_start(tmp_path: Path) -> None:
    """What a stranger waits for, with a process to start first."""
    file, policy = tmp_path / "proof.json", tmp_path / "policy"
    file.write_bytes(thirty_events())
    policy.write_text(POLICY)
    commands = {
        "guoyuan verify": [sys.executable, "-m", "api.cli", "verify", str(file), "--policy", str(policy)],
        "node cli.js": ["node", str(STATIC / "verify" / "cli.js"), str(file), "--policy", str(policy)],
        "python -c pass": [sys.executable, "-c", "pass"],
        "node -e 0": ["node", "-e", "0"],
    }
    taken = {
        name: median_us(lambda _, c=command: subprocess.run(c, check=True, capture_output=True, cwd=ROOT), times=7)
        / 1000  # type: ignore[misc]
        for name, command in commands.items()
    }
    print("\nfrom a standing start: " + ", ".join(f"{name} {ms:.0f} ms" for name, ms in taken.items()))
