"""Gas for an anchor on a log of a million leaves, beside what keeping less costs with less proof.

Gas is exact: it does not depend on the machine, and the embedded chain counts it as any node does
(tests/contracts/test_chain.py holds it against anvil). Times are this machine's.
"""

import json
import subprocess
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest
from sqlmodel import SQLModel

from contracts.anchor import Anchorer
from contracts.chain import Chain
from contracts.heads import log_id
from contracts.keys import PublisherKey
from contracts.transactions import Receipt
from ledger import merkle
from ledger.kernel.database import Database
from tests.contracts.gauge import Gauge
from tests.contracts.simulators import CONTRACTS, ORIGIN, Head, SampleLog, program
from tests.contracts.test_gas import dearest

pytestmark = pytest.mark.benchmark

LEAVES = 1_000_000
GOAL_GAS = 60_000
GOAL_GAS_PER_EVENT = 0.06
ANCHORS = 12
HOURS = 2_190
ENTRIES_AN_HOUR = 24
MOST_BYTES_AN_ANCHOR = 3_000


def say(text: str) -> None:
    print(text)  # noqa: T201  # a benchmark is read


class Levels:
    """Every node of a large tree, so that any proof is a matter of looking."""

    def __init__(self, count: int) -> None:
        self.rows = [[merkle.leaf_hash(number.to_bytes(8)) for number in range(count)]]
        while len(row := self.rows[-1]) > 1:
            pairs = zip(row[::2], row[1::2], strict=False)
            self.rows.append([sha256(b"\x01" + left + right).digest() for left, right in pairs])

    def root(self, size: int) -> bytes:
        return merkle.hash_of((0, size), self._node)

    def consistency(self, first: int, second: int) -> list[bytes]:
        return [merkle.hash_of(span, self._node) for span in merkle.consistency_ranges(first, second)]

    def _node(self, level: int, number: int) -> bytes:
        return self.rows[level][number]


class Payer:
    """Sends transactions one by one and keeps what each took."""

    def __init__(self, folder: Path) -> None:
        self.key = PublisherKey.create()
        self.chain = Chain.embedded(folder / "chain.db", funded=self.key.address)
        self._nonce = self.chain.nonce(self.key.address)

    def send(self, *, to: str, data: str) -> Receipt:
        fees = self.chain.fees()
        signed = self.key.sign(
            {
                "chainId": self.chain.chain_id,
                "type": 2,
                "nonce": self.chain.nonce(self.key.address),
                "to": to,
                "value": 0,
                "data": data,
                "gas": 2_000_000,
                "maxFeePerGas": fees.max_wei,
                "maxPriorityFeePerGas": fees.priority_wei,
            }
        )
        receipt = self.chain.receipt(self.chain.send_raw(signed.raw))
        assert receipt is not None
        assert receipt.succeeded
        return receipt

    def anchor(self, name: bytes, size: int, root: bytes, proof: list[bytes]) -> int:
        data = self.chain.anchor_call(name, size=size, root=root, proof=proof)
        return self.send(to=self.chain.address, data=data).gas_used


@pytest.fixture(scope="module")
def levels() -> Levels:
    return Levels(2 * LEAVES + 200_000)


@pytest.fixture
def payer(tmp_path: Path) -> Payer:
    made = Payer(tmp_path)
    made.chain.deploy_if_absent(made.key)
    return made


def anchors(payer: Payer, levels: Levels, *, batch: int, count: int = ANCHORS, start: int = LEAVES) -> list[int]:
    """Gas of a run of anchors, each extending the one before by `batch` leaves."""
    name = log_id(f"{start} and {batch} more")
    payer.chain.open_log_if_absent(payer.key, name)
    payer.anchor(name, start, levels.root(start), [])
    sizes = [start + batch * number for number in range(count + 1)]
    return [
        payer.anchor(name, size, levels.root(size), levels.consistency(before, size))
        for before, size in pairwise(sizes)
    ]


def baseline(payer: Payer, name: str, signature: str, rounds: int = 3) -> int:
    """Gas of one call of a baseline contract, once it has been called before."""
    from web3 import Web3

    program("forge")
    subprocess.run([CONTRACTS / "node_modules" / ".bin" / "forge", "build", "-q"], cwd=CONTRACTS, check=True)
    compiled = json.loads((CONTRACTS / "out" / "Baselines.sol" / f"{name}.json").read_text())
    deployed = payer.send(to="", data=compiled["bytecode"]["object"])
    address = _created(payer, deployed)
    selector, random = Web3.keccak(text=signature)[:4], Random(9162)
    gas = 0
    for number in range(1, rounds + 1):
        words = [random.randbytes(32)] + ([(LEAVES + number).to_bytes(32)] if "uint64" in signature else [])
        gas = payer.send(to=address, data="0x" + (selector + b"".join(words)).hex()).gas_used
    return gas


def _created(payer: Payer, receipt: Receipt) -> str:
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "eth_getTransactionReceipt",
        "params": ["0x" + receipt.tx_hash.hex()],
    }
    answered: Any = payer.chain.rpc(call)
    return str(answered["result"]["contractAddress"])


def _weight(shape: tuple[int, int]) -> int:
    """Two hashes for a left sibling, one for a right one."""
    return 2 * shape[0] + shape[1]


def test_gas_of_an_anchor_on_a_million_leaves(benchmark: Any, payer: Payer, levels: Levels, tmp_path: Path) -> None:
    """The enforced anchor, in batches, beside a transaction per event, a timestamp per root, and a two-slot store."""
    runs = {batch: anchors(payer, levels, batch=batch) for batch in (1, 100, 1_000, 10_000)}
    runs[LEAVES] = anchors(payer, levels, batch=LEAVES, count=1)
    per_event = baseline(payer, "PerEvent", "keep(bytes32)")
    timestamp = baseline(payer, "Timestamp", "timestamp(bytes32)")
    two_slot = baseline(payer, "TwoSlot", "keep(bytes32,uint64)")
    benchmark.pedantic(lambda: anchors(payer, levels, batch=7_919, count=4), rounds=1)

    say(f"\ngas of one anchor on {LEAVES:,} leaves, median (most) of {ANCHORS}, and gas per event:")
    say(
        f"{'batch':>9}  {'AnchorLog':>16}  {'per event':>10}  {'two-slot':>10}  {'timestamp':>10}  {'tx per event':>12}"
    )
    for batch, gas in runs.items():
        mine = median(gas)
        say(
            f"{batch:>9,}  {f'{mine:,.0f} ({max(gas):,})':>16}  {mine / batch:>10,.4f}  {two_slot / batch:>10,.4f}"
            f"  {timestamp / batch:>10,.4f}  {per_event:>12,}"
        )
    gauge = Gauge(tmp_path)
    shapes = dearest(range(LEAVES * 9 // 10, LEAVES * 11 // 10), 2 * LEAVES + LEAVES // 10)
    costs = {at: gauge.gas(*at) or 0 for at in [shapes[one] for one in sorted(shapes, key=_weight)[-12:]]}
    gauge.close()
    worst = max(costs, key=lambda at: costs[at])
    say(f"the dearest of all anchors on 900,000 to 1,100,000 leaves: {worst[0]:,} to {worst[1]:,}, {costs[worst]:,}")
    thousand = median(runs[1_000])
    say(f"an anchor that proves costs {thousand / two_slot:.2f} of a two-slot store that proves nothing,")
    say(f"{thousand / timestamp:.2f} of a timestamp; with 1,000 events in it, an event costs")
    say(f"1/{1000 * per_event / thousand:,.0f} of a transaction of its own")
    benchmark.extra_info |= {
        "anchor gas, median": {str(batch): median(gas) for batch, gas in runs.items()},
        "anchor gas, most": {str(batch): max(gas) for batch, gas in runs.items()},
        "two-slot": two_slot,
        "timestamp": timestamp,
        "tx per event": per_event,
        "dearest anchor": costs[worst],
    }
    assert costs[worst] <= GOAL_GAS
    assert all(max(gas) <= GOAL_GAS for gas in runs.values())
    assert median(runs[LEAVES]) / LEAVES < GOAL_GAS_PER_EVENT
    assert thousand < two_slot


def test_anchors_per_second_through_the_outbox(benchmark: Any, tmp_path: Path) -> None:
    """Plan, keep, send, include and settle on the embedded chain: what a small installation waits for."""
    key, log = PublisherKey.create(), SampleLog()
    chain = Chain.embedded(tmp_path / "chain.db", funded=key.address)
    db = Database(f"sqlite:///{tmp_path / 'outbox.db'}")
    SQLModel.metadata.create_all(db.engine)
    anchorer, now = Anchorer(chain, key, origin=ORIGIN, tree=log), datetime.now(UTC)
    anchorer.prepare()
    log.grow(1)
    sizes = iter(range(1, 10_000))

    def one() -> None:
        size = next(sizes)
        log.grow(size)
        anchorer.anchor(db, Head(size, log.root(None, size)), now=now)

    benchmark.pedantic(one, rounds=50, warmup_rounds=2)
    blocks = chain.block_number()
    chain.close()  # which folds the write-ahead log into the file
    per_block = (tmp_path / "chain.db").stat().st_size / blocks
    benchmark.extra_info |= {"chain bytes per anchor": round(per_block)}
    say(
        f"\nan anchor through the outbox: {benchmark.stats.stats.median * 1000:.0f} ms, {per_block:,.0f} bytes of chain"
    )
    db.dispose()


def test_three_months_of_hourly_anchors(benchmark: Any, tmp_path: Path) -> None:
    """What they leave on the disk of an embedded chain, and how quickly it opens then."""
    payer, name = Payer(tmp_path), log_id("three months")
    payer.chain.deploy_if_absent(payer.key)
    payer.chain.open_log_if_absent(payer.key, name)
    levels = Levels(HOURS * ENTRIES_AN_HOUR)
    for size in range(ENTRIES_AN_HOUR, HOURS * ENTRIES_AN_HOUR + 1, ENTRIES_AN_HOUR):
        before = size - ENTRIES_AN_HOUR
        payer.anchor(name, size, levels.root(size), levels.consistency(before, size) if before else [])
    payer.chain.close()
    size = (tmp_path / "chain.db").stat().st_size

    def opened() -> None:
        chain = Chain.embedded(tmp_path / "chain.db")
        assert chain.head(name).size == HOURS * ENTRIES_AN_HOUR
        chain.close()

    benchmark.pedantic(opened, rounds=20)
    say(f"\nthree months, {HOURS:,} anchors: {size / 1e6:.1f} MB, {size / HOURS:,.0f} bytes each;")
    say(f"opened and asked for its head in {benchmark.stats.stats.median * 1000:.1f} ms")
    benchmark.extra_info |= {"bytes": size}
    assert size / HOURS < MOST_BYTES_AN_ANCHOR
