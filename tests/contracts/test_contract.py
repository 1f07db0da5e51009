"""The compiled contract, on the embedded chain, against the vectors every verifier shares."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.chain import Chain
from contracts.errors import CallRefusedError, NotDeployedError
from contracts.heads import log_id
from contracts.keys import PublisherKey
from ledger.merkle import EMPTY_ROOT
from tests.contracts.simulators import SampleLog

VECTORS = Path(__file__).resolve().parents[1] / "vectors"


class Publisher:
    """Anchors whatever it is told, each first head in a log of its own."""

    def __init__(self, chain: Chain, key: PublisherKey) -> None:
        self.chain, self.key = chain, key
        chain.deploy_if_absent(key)
        self._logs: dict[tuple[int, bytes], bytes] = {}

    def anchor(self, name: bytes, size: int, root: bytes, proof: list[bytes]) -> None:
        data = self.chain.anchor_call(name, size=size, root=root, proof=proof)
        nonce, fees = self.chain.nonce(self.key.address), self.chain.fees()
        signed = self.chain.sign(self.key, data=data, nonce=nonce, gas=200_000, fees=fees)
        self.chain.send_raw(signed.raw)
        receipt = self.chain.receipt(signed.tx_hash)
        assert receipt is not None
        assert receipt.succeeded

    def log_at(self, size: int, root: bytes) -> bytes:
        """A log whose newest head is this one."""
        if (size, root) not in self._logs:
            name = log_id(f"log {len(self._logs)}")
            self.chain.open_log_if_absent(self.key, name)
            if size > 0:
                self.anchor(name, size, root, [])
            self._logs[size, root] = name
        return self._logs[size, root]

    def takes(self, name: bytes, size: int, root: bytes, proof: list[bytes]) -> bool:
        """Whether the contract would take a head, asked as anybody can ask."""
        data = self.chain.anchor_call(name, size=size, root=root, proof=proof)
        call = {"from": self.key.address, "to": self.chain.address, "data": data}
        answer = self.chain.rpc({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, "latest"]})
        return "error" not in answer


@pytest.fixture
def publisher(quick_path: Path, key: PublisherKey) -> Iterator[Publisher]:
    chain = Chain.embedded(quick_path / "chain.db", funded=key.address)
    yield Publisher(chain, key)
    chain.close()


def cases(name: str) -> list[dict[str, Any]]:
    return [case for case in json.loads((VECTORS / name).read_text()) if fits_the_abi(case)]


def fits_the_abi(case: dict[str, Any]) -> bool:
    """Sizes of 64 bits and hashes of 32 bytes: a call cannot even say anything else."""
    numbers = [case[field] for field in ("size1", "size2", "index", "size") if field in case]
    hashes = [*case["proof"], *(case[field] for field in ("root", "root1", "root2", "leaf") if field in case)]
    return all(0 <= n < 2**64 for n in numbers) and all(len(h) == 64 for h in hashes)


def test_the_contract_agrees_with_every_consistency_vector(publisher: Publisher) -> None:
    checked = 0
    for case in cases("consistency.json"):
        first, second = bytes.fromhex(case["root1"]), bytes.fromhex(case["root2"])
        if case["size1"] == 0 and first != EMPTY_ROOT:
            continue  # a log without a head has no root that could be another one
        proof = [bytes.fromhex(one) for one in case["proof"]]
        name = publisher.log_at(case["size1"], first)
        # A head of the same size is no news to a contract, however true.
        wanted = case["ok"] and case["size2"] > case["size1"]
        assert publisher.takes(name, case["size2"], second, proof) == wanted, case["description"]
        checked += 1
    assert checked > 250


def test_the_contract_agrees_with_every_inclusion_vector(publisher: Publisher) -> None:
    checked = 0
    for case in cases("inclusion.json"):
        if case["size"] == 0:
            continue
        name = publisher.log_at(case["size"], bytes.fromhex(case["root"]))
        leaf, proof = bytes.fromhex(case["leaf"]), [bytes.fromhex(one) for one in case["proof"]]
        found = publisher.chain.is_included(name, index=case["index"], leaf_hash=leaf, proof=proof)
        assert found == case["ok"], case["description"]
        checked += 1
    assert checked > 150


def test_a_refusal_carries_the_contracts_own_words(publisher: Publisher, sample_log: SampleLog) -> None:
    head = sample_log.grow(8)
    name = publisher.log_at(8, head.root)
    with pytest.raises(CallRefusedError) as caught:
        publisher.chain.preflight(
            publisher.chain.anchor_call(name, size=8, root=head.root, proof=[]), sender=publisher.key.address
        )
    assert (caught.value.name, caught.value.arguments) == ("HeadNotNewer", (8, 8))
    stranger = PublisherKey.create()
    with pytest.raises(CallRefusedError, match="NotPublisher") as caught:
        publisher.chain.preflight(
            publisher.chain.anchor_call(name, size=9, root=head.root, proof=[]), sender=stranger.address
        )
    assert caught.value.arguments == (stranger.address.lower(),)


def test_a_stranger_cannot_open_a_log(publisher: Publisher) -> None:
    with pytest.raises(CallRefusedError, match="NotRegistrar"):
        publisher.chain.open_log_if_absent(PublisherKey.create(), log_id("somebody else's"))


def test_every_head_stays_in_the_events(publisher: Publisher, sample_log: SampleLog) -> None:
    name, sizes = log_id("history"), [3, 4, 9, 64, 65]
    publisher.chain.open_log_if_absent(publisher.key, name)
    before = 0
    for size in sizes:
        head = sample_log.grow(size)
        publisher.anchor(name, size, head.root, sample_log.consistency(None, before, size) if before else [])
        before = size
    history = list(publisher.chain.history(name))
    assert [(one.size, one.previous_size) for one in history] == list(zip(sizes, [0, *sizes[:-1]], strict=True))
    assert [one.root for one in history] == [sample_log.root(None, size) for size in sizes]
    found = publisher.chain.find_anchor(name, 9)
    assert found == history[2]
    assert publisher.chain.find_anchor(name, 10) is None
    assert publisher.chain.head(name).block == history[-1].block


def test_the_contract_is_asked_for_an_address_before_there_is_one(chain: Chain) -> None:
    assert not chain.is_deployed
    with pytest.raises(NotDeployedError):
        _ = chain.address
