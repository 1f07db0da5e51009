"""Deploying once, finding the contract again, and refusing a chain that is not the one remembered."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import SQLModel

from contracts.anchor import Anchorer
from contracts.chain import Chain, open_chain
from contracts.errors import ChainFileError, ChainMismatchError, NotDeployedError
from contracts.heads import log_id
from contracts.keys import PublisherKey
from contracts.public_chains import DEVELOPMENT_CHAIN_ID
from ledger.kernel.database import Database
from ledger.kernel.settings import Settings
from tests.contracts.simulators import Anvil, Killed


class Stopping(Chain):
    """A chain whose process ends when a transaction is sent: before it left, or before anybody heard."""

    stop: str = ""

    def send_raw(self, raw: bytes) -> bytes:
        if self.stop == "before":
            raise Killed
        tx_hash = super().send_raw(raw)
        if self.stop == "after":
            raise Killed
        return tx_hash


def test_the_contract_is_deployed_once(chain: Chain, key: PublisherKey) -> None:
    address = chain.deploy_if_absent(key)
    assert chain.deploy_if_absent(key) == chain.address == address
    assert chain.is_deployed
    assert chain.nonce(key.address) == 1
    assert chain.deployment_block == 1


def test_another_process_finds_the_contract(chain: Chain, key: PublisherKey, tmp_path: Path) -> None:
    reader = Chain.embedded(tmp_path / "chain.db", read_only=True)
    assert not reader.is_deployed
    address = chain.deploy_if_absent(key)
    assert reader.address == address
    assert reader.head(log_id("nobody's")).size == 0
    assert reader.publisher(log_id("nobody's")) is None


@pytest.mark.parametrize("stop", ["before", "after"])
def test_killed_while_deploying_and_started_again_one_contract_stands(
    tmp_path: Path, key: PublisherKey, stop: str
) -> None:
    first = Stopping.embedded(tmp_path / "chain.db", funded=key.address)
    first.stop = stop
    with pytest.raises(Killed):
        first.deploy_if_absent(key)
    with pytest.raises(NotDeployedError):
        _ = first.address
    again = Chain.embedded(tmp_path / "chain.db")
    promised = json.loads((tmp_path / "chain.json").read_text())["address"]
    assert again.deploy_if_absent(key) == promised
    assert again.nonce(key.address) == 1


@pytest.mark.parametrize("stop", ["before", "after"])
def test_killed_while_opening_the_log_and_started_again_it_is_open(
    tmp_path: Path, key: PublisherKey, stop: str
) -> None:
    first = Stopping.embedded(tmp_path / "chain.db", funded=key.address)
    first.deploy_if_absent(key)
    first.stop = stop
    with pytest.raises(Killed):
        first.open_log_if_absent(key, log_id("log"))
    again = Chain.embedded(tmp_path / "chain.db")
    again.open_log_if_absent(key, log_id("log"))
    assert again.publisher(log_id("log")) == key.address
    assert again.nonce(key.address) == 2


def test_a_deployment_whose_nonce_was_spent_elsewhere_starts_anew(tmp_path: Path, key: PublisherKey) -> None:
    first = Stopping.embedded(tmp_path / "chain.db", funded=key.address)
    first.stop = "before"
    with pytest.raises(Killed):
        first.deploy_if_absent(key)
    first.stop = ""
    other = key.sign(
        {
            "chainId": first.chain_id,
            "type": 2,
            "nonce": 0,
            "to": key.address,
            "value": 1,
            "gas": 21_000,
            "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 1,
        }
    )
    first.send_raw(other.raw)
    again = Chain.embedded(tmp_path / "chain.db")
    address = again.deploy_if_absent(key)
    assert again.address == address
    assert again.nonce(key.address) == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chain_id": 1}, "chain 1 "),
        ({"genesis": "0x" + "00" * 32}, "0x000000000000"),
        ({"address": "0x" + "11" * 20}, "no contract at 0x1111"),
    ],
    ids=["chain", "genesis", "address"],
)
def test_a_remembered_contract_that_is_not_there_is_not_replaced(
    chain: Chain, key: PublisherKey, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    """A second contract is how an operator would start a second history: it never happens in silence."""
    chain.deploy_if_absent(key)
    file = tmp_path / "chain.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    again = Chain.embedded(tmp_path / "chain.db")
    with pytest.raises(ChainMismatchError, match=reason):
        again.deploy_if_absent(key)
    assert again.nonce(key.address) == 1


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"chain_id": 1}', "null"])
def test_a_deployment_file_that_says_nothing_is_refused_by_name(
    chain: Chain, key: PublisherKey, tmp_path: Path, text: str
) -> None:
    (tmp_path / "chain.json").write_text(text)
    with pytest.raises(ChainMismatchError, match=r"chain\.json"):
        chain.deploy_if_absent(key)


def test_fees_leave_room_for_the_price_to_double(chain: Chain) -> None:
    block = chain.rpc({"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["latest", False]})
    base = int(block["result"]["baseFeePerGas"], 16)  # type: ignore[call-overload]  # one call, one answer
    fees = chain.fees()
    assert fees.max_wei == 2 * base + fees.priority_wei
    assert fees.priority_wei > 0


def test_the_installations_settings_choose_the_chain(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(ChainFileError):
        open_chain(settings, read_only=True)
    chain = open_chain(settings)
    assert chain.is_embedded
    address = Anchorer.open(settings, chain).prepare()
    assert open_chain(settings, read_only=True).address == address
    assert not open_chain(Settings(home=tmp_path, chain_url="http://127.0.0.1:9")).is_embedded


def test_on_a_development_node_the_publisher_gets_play_money(anvil: Anvil, remote: Chain, tmp_path: Path) -> None:
    key = PublisherKey.create()
    assert remote.chain_id == DEVELOPMENT_CHAIN_ID
    assert remote.balance(key.address) == 0
    db = Database(f"sqlite:///{tmp_path / 'outbox.db'}")
    SQLModel.metadata.create_all(db.engine)
    Anchorer(remote, key, origin="sample.example/log").prepare()
    assert remote.balance(key.address) > 0
    assert remote.publisher(log_id("sample.example/log")) == key.address


def test_play_money_is_not_asked_for_elsewhere(chain: Chain) -> None:
    stranger = PublisherKey.create().address
    chain.take_play_money(stranger)
    assert chain.balance(stranger) == 0


def test_gas_is_the_same_on_the_embedded_chain_and_on_anvil(
    chain: Chain, anvil: Anvil, remote: Chain, key: PublisherKey
) -> None:
    used = []
    for one in (chain, remote):
        one.take_play_money(key.address)
        one.deploy_if_absent(key)
        one.open_log_if_absent(key, log_id("log"))
        data = one.anchor_call(log_id("log"), size=5, root=b"\7" * 32, proof=[])
        signed = one.sign(key, data=data, nonce=one.nonce(key.address), gas=200_000, fees=one.fees())
        one.send_raw(signed.raw)
        receipt = one.receipt(signed.tx_hash)
        assert receipt is not None
        used.append((receipt.succeeded, receipt.gas_used))
    assert used[0] == used[1]
