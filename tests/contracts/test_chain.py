"""Deploying once, finding the contract again, and refusing a chain that is not the one remembered."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import SQLModel

from contracts.anchor import Anchorer
from contracts.chain import Chain, open_chain
from contracts.check import holds, look
from contracts.errors import (
    CallRefusedError,
    ChainFileError,
    ChainMismatchError,
    ChainUnreachableError,
    NotDeployedError,
)
from contracts.heads import log_id
from contracts.keys import PublisherKey
from ledger.kernel.database import Database
from ledger.kernel.settings import Settings
from ledger.lookup import DEVELOPMENT_CHAIN_ID
from ledger.proof import Anchor as ProofAnchor
from tests.contracts.simulators import ORIGIN, Anvil, Head, Killed, SampleLog
from tests.waiting import until


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
        until(lambda one=one, signed=signed: one.receipt(signed.tx_hash) is not None)  # anvil answers, then mines
        receipt = one.receipt(signed.tx_hash)
        assert receipt is not None
        used.append((receipt.succeeded, receipt.gas_used))
    assert used[0] == used[1]


def test_two_installations_share_one_contract_and_do_not_disturb_each_other(
    anvil: Anvil, tmp_path: Path, key: PublisherKey
) -> None:
    """Their own keys, logs, databases and files; the one that deployed opens the other's log and can do no more."""
    other_key, names = PublisherKey.create(), ("first.example/log", "second.example/log")
    first, second = (Chain.connect(anvil.url, deployment=tmp_path / f"{number}.json") for number in (1, 2))
    first.take_play_money(key.address)
    second.take_play_money(other_key.address)
    address = first.deploy_if_absent(key)
    second.adopt_deployment(address)
    second.adopt_deployment(address)
    with pytest.raises(CallRefusedError, match="NotRegistrar"):
        second.open_log_if_absent(other_key, log_id(names[1]))
    first.open_log_if_absent(key, log_id(names[1]), publisher=other_key.address)

    logs, databases, now = (SampleLog(), SampleLog(branch="other")), [], datetime(2026, 4, 18, tzinfo=UTC)
    anchorers = []
    for number, (chain, who) in enumerate(((first, key), (second, other_key))):
        db = Database(f"sqlite:///{tmp_path / f'{number}.db'}")
        SQLModel.metadata.create_all(db.engine)
        databases.append(db)
        anchorers.append(Anchorer(chain, who, origin=names[number], tree=logs[number], confirmations=0))
    for size in (3, 8, 21):
        for anchorer, log, db in zip(anchorers, logs, databases, strict=True):
            grown = log.grow(size)

            def is_final(anchorer: Anchorer = anchorer, db: Database = db, head: Head = grown) -> bool:
                row = anchorer.anchor(db, head, now=now)
                return row is not None and row.state == "final"

            until(is_final)  # anvil answers, then mines
    for name, log in zip(names, logs, strict=True):
        assert [head.root for head in first.history(log_id(name))] == [log.root(None, size) for size in (3, 8, 21)]
    proof = logs[1].consistency(None, 21, 30) if logs[1].grow(30) else []
    data = first.anchor_call(log_id(names[1]), size=30, root=logs[1].root(None, 30), proof=proof)
    with pytest.raises(CallRefusedError, match="NotPublisher"):
        first.preflight(data, sender=key.address)
    for db in databases:
        db.dispose()


def test_a_contract_that_is_not_ours_is_not_adopted(anvil: Anvil, tmp_path: Path, key: PublisherKey) -> None:
    chain = Chain.connect(anvil.url, deployment=tmp_path / "deployment.json")
    with pytest.raises(ChainMismatchError, match="not AnchorLog"):
        chain.adopt_deployment("0x" + "11" * 20)
    chain.take_play_money(key.address)
    chain.deploy_if_absent(key)
    with pytest.raises(ChainMismatchError, match="not AnchorLog"):
        chain.adopt_deployment(key.address)


def test_a_deployment_that_is_stuck_is_sent_dearer_at_its_nonce(tmp_path: Path, key: PublisherKey) -> None:
    node = Anvil("--no-mining")
    chain = Chain.connect(node.url, deployment=tmp_path / "deployment.json")
    chain.take_play_money(key.address)
    with pytest.raises(ChainUnreachableError, match="no block holds it"):
        chain.deploy_if_absent(key, patience_s=0.1)
    kept = json.loads((tmp_path / "deployment.json").read_text())
    node.ask("anvil_setNextBlockBaseFeePerGas", hex(4 * kept["max_fee_wei"]))
    node.mine()
    with pytest.raises(ChainUnreachableError):
        chain.deploy_if_absent(key, patience_s=0.1)
    dearer = json.loads((tmp_path / "deployment.json").read_text())
    assert (dearer["address"], dearer["nonce"]) == (kept["address"], kept["nonce"])
    assert dearer["max_fee_wei"] >= kept["max_fee_wei"] * 9 // 8
    assert dearer["priority_fee_wei"] >= kept["priority_fee_wei"] * 9 // 8
    node.mine()
    assert chain.deploy_if_absent(key) == kept["address"]
    assert chain.nonce(key.address) == kept["nonce"] + 1
    node.stop()


def test_a_stranger_sees_head_publisher_and_code_of_any_contract(
    remote: Chain, anvil: Anvil, key: PublisherKey, sample_log: SampleLog, tmp_path: Path
) -> None:
    remote.take_play_money(key.address)
    address = remote.deploy_if_absent(key)
    unknown = look(anvil.url, contract=address, origin=ORIGIN)
    assert (unknown.publisher, unknown.head.size, unknown.transaction) == (None, 0, None)
    db = Database(f"sqlite:///{tmp_path / 'outbox.db'}")
    SQLModel.metadata.create_all(db.engine)
    anchorer = Anchorer(remote, key, origin=ORIGIN, tree=sample_log, confirmations=0)
    row = anchorer.anchor(db, sample_log.grow(7), now=datetime(2026, 4, 18, tzinfo=UTC))
    assert row is not None
    until(lambda: remote.receipt(row.tx_hash or b"") is not None)  # anvil answers, then mines
    seen = look(anvil.url, contract=address.lower(), origin=ORIGIN)
    assert (seen.publisher, seen.registrar, seen.successor) == (key.address, key.address, None)
    assert (seen.head.size, seen.head.root, seen.transaction) == (7, sample_log.root(None, 7), row.tx_hash)
    assert seen.head_time is not None
    for wrong in ("0x12", key.address, "", "0x" + "00" * 20):
        with pytest.raises(ChainMismatchError):
            look(anvil.url, contract=wrong, origin=ORIGIN)
    db.dispose()


def test_another_contracts_word_is_refused_by_whoever_checks_a_proof(
    remote: Chain, anvil: Anvil, key: PublisherKey
) -> None:
    """A contract of the operator's own could announce any head: its code is compared before it is heard."""
    remote.take_play_money(key.address)
    runtime = bytes.fromhex("00")
    creation = bytes.fromhex("6001600c60003960016000f3") + runtime
    fees = remote.fees()
    signed = key.sign(
        {
            "chainId": remote.chain_id,
            "type": 2,
            "nonce": remote.nonce(key.address),
            "to": "",
            "value": 0,
            "data": creation,
            "gas": 200_000,
            "maxFeePerGas": fees.max_wei,
            "maxPriorityFeePerGas": fees.priority_wei,
        }
    )
    remote.send_raw(signed.raw)
    until(lambda: remote.receipt(signed.tx_hash) is not None)  # anvil answers, then mines
    receipt = anvil.ask("eth_getTransactionReceipt", "0x" + signed.tx_hash.hex())
    lookalike = receipt["contractAddress"]
    assert bytes.fromhex(anvil.ask("eth_getCode", lookalike, "latest")[2:]) == runtime
    anchor = ProofAnchor(
        block=int(receipt["blockNumber"], 16),
        chain_id=remote.chain_id,
        consistency=(),
        contract=lookalike,
        log_id="0x" + log_id(ORIGIN).hex(),
        root="A" * 43 + "=",
        size=1,
        transaction="0x" + signed.tx_hash.hex(),
    )
    with pytest.raises(ChainMismatchError, match="not AnchorLog"):
        holds(anvil.url, anchor)
    with pytest.raises(ChainMismatchError, match="not AnchorLog"):
        look(anvil.url, contract=lookalike, origin=ORIGIN)
