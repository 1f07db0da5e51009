import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlmodel import SQLModel

from contracts.chain import Chain
from contracts.chain_file import _unpack
from contracts.embedded import EmbeddedNode, RpcError
from contracts.errors import ChainFileError, NonceSpentError, ReadOnlyChainError, TransactionRefusedError
from contracts.heads import log_id
from contracts.keys import PublisherKey
from ledger.kernel.database import Database
from ledger.lookup import EMBEDDED_CHAIN_ID
from tests.contracts.simulators import ORIGIN, ROOT, SampleLog, rows


@pytest.fixture
def node(tmp_path: Path, key: PublisherKey) -> EmbeddedNode:
    return EmbeddedNode(tmp_path / "chain.db", funded=key.address, read_only=False)


def transfer(key: PublisherKey, nonce: int, **changes: Any) -> str:
    fields = {
        "chainId": EMBEDDED_CHAIN_ID,
        "type": 2,
        "nonce": nonce,
        "to": "0x" + "11" * 20,
        "value": 1,
        "gas": 21_000,
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 1,
    }
    return "0x" + key.sign(fields | changes).raw.hex()


def test_a_block_is_there_after_the_file_is_opened_again(node: EmbeddedNode, key: PublisherKey, tmp_path: Path) -> None:
    sent = [node.request("eth_sendRawTransaction", [transfer(key, nonce)]) for nonce in range(3)]
    before = [node.request("eth_getTransactionReceipt", [one]) for one in sent]
    node.close()
    again = EmbeddedNode(tmp_path / "chain.db", funded=None, read_only=False)
    assert [again.request("eth_getTransactionReceipt", [one]) for one in sent] == before
    assert again.request("eth_blockNumber", []) == "0x3"
    assert again.request("eth_getTransactionCount", [key.address]) == "0x3"
    again.request("eth_sendRawTransaction", [transfer(key, 3)])


def test_blocks_follow_each_other_in_hash_and_time(node: EmbeddedNode, key: PublisherKey) -> None:
    for nonce in range(3):
        node.request("eth_sendRawTransaction", [transfer(key, nonce)])
    blocks = [node.request("eth_getBlockByNumber", [hex(number), True]) for number in range(4)]
    for parent, block in pairwise(blocks):
        assert block["parentHash"] == parent["hash"]
        assert int(block["timestamp"], 16) > int(parent["timestamp"], 16)
        assert len(block["transactions"]) == 1


def test_a_reader_in_another_process_sees_every_block_at_once(
    node: EmbeddedNode, key: PublisherKey, tmp_path: Path
) -> None:
    reader = EmbeddedNode(tmp_path / "chain.db", funded=None, read_only=True)
    assert reader.request("eth_blockNumber", []) == "0x0"
    tx_hash = node.request("eth_sendRawTransaction", [transfer(key, 0)])
    assert reader.request("eth_blockNumber", []) == "0x1"
    assert reader.request("eth_getTransactionReceipt", [tx_hash])["status"] == "0x1"
    with pytest.raises(RpcError, match="reading only"):
        reader.request("eth_sendRawTransaction", [transfer(key, 1)])


def test_two_writers_take_turns_and_lose_nothing(node: EmbeddedNode, key: PublisherKey, tmp_path: Path) -> None:
    """By mistake two processes may open one chain for writing: each begins from what the file holds."""
    other = EmbeddedNode(tmp_path / "chain.db", funded=None, read_only=False)
    for nonce in range(4):
        (node, other)[nonce % 2].request("eth_sendRawTransaction", [transfer(key, nonce)])
    assert node.request("eth_blockNumber", []) == other.request("eth_blockNumber", []) == "0x4"
    with pytest.raises(RpcError, match="nonce too low"):
        other.request("eth_sendRawTransaction", [transfer(key, 2)])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"nonce": 7}, "nonce too high: 0 is next"),
        ({"value": 10**30}, "insufficient funds"),
        ({"maxFeePerGas": 1}, "max"),
        ({"gas": 20_000}, "gas"),
        ({"chainId": 1}, "chain"),
    ],
)
def test_a_transaction_that_breaks_a_rule_is_refused_and_leaves_nothing(
    node: EmbeddedNode, key: PublisherKey, changes: dict[str, int], reason: str
) -> None:
    with pytest.raises(RpcError, match=f"(?i){reason}"):
        node.request("eth_sendRawTransaction", [transfer(key, **({"nonce": 0} | changes))])
    assert node.request("eth_blockNumber", []) == "0x0"
    node.request("eth_sendRawTransaction", [transfer(key, 0)])  # and the chain goes on


@pytest.mark.parametrize("raw", ["0x", "0x02ff", "hello", "0x02f8" + "00" * 40, "0xc0", None])
def test_bytes_that_are_no_transaction_are_refused(node: EmbeddedNode, raw: str | None) -> None:
    with pytest.raises(RpcError, match="not a transaction"):
        node.request("eth_sendRawTransaction", [raw])
    assert node.request("eth_blockNumber", []) == "0x0"


def test_an_account_without_money_cannot_send(node: EmbeddedNode) -> None:
    with pytest.raises(RpcError, match="insufficient funds"):
        node.request("eth_sendRawTransaction", [transfer(PublisherKey.create(), 0)])


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_call", []),
        ("eth_call", [{"to": "0x12", "data": "0x"}]),
        ("eth_call", [{"to": 5}]),
        ("eth_call", ["latest"]),
        ("eth_getBalance", ["0x"]),
        ("eth_getBlockByNumber", ["yesterday", False]),
        ("eth_getTransactionReceipt", ["0xzz"]),
        ("eth_getLogs", [{"fromBlock": 7}]),
        ("eth_getTransactionCount", [None]),
    ],
)
def test_parameters_that_cannot_be_read_get_an_rpc_error(node: EmbeddedNode, method: str, params: list[Any]) -> None:
    with pytest.raises(RpcError):
        node.request(method, params)


def test_what_is_not_there_is_null_as_nodes_say_it(node: EmbeddedNode) -> None:
    assert node.request("eth_getTransactionReceipt", ["0x" + "00" * 32]) is None
    assert node.request("eth_getTransactionByHash", ["0x" + "00" * 32]) is None
    assert node.request("eth_getBlockByNumber", ["0x63", False]) is None
    with pytest.raises(RpcError, match="does not exist here"):
        node.request("debug_traceTransaction", [])


def test_two_new_chains_never_share_a_genesis(tmp_path: Path, key: PublisherKey) -> None:
    hashes = {
        EmbeddedNode(tmp_path / name, funded=key.address, read_only=False).request("eth_getBlockByNumber", ["0x0"])[
            "hash"
        ]
        for name in ("a.db", "b.db")
    }
    assert len(hashes) == 2


def test_a_file_that_is_no_chain_is_refused_by_name(tmp_path: Path, key: PublisherKey) -> None:
    with pytest.raises(ChainFileError, match="no embedded chain at"):
        Chain.embedded(tmp_path / "none.db", read_only=True)
    with pytest.raises(ChainFileError, match="needs an account"):
        Chain.embedded(tmp_path / "new.db")
    text = tmp_path / "text.db"
    text.write_text("not a database" * 100)
    with pytest.raises(ChainFileError, match=r"text\.db"):
        Chain.embedded(text, funded=key.address)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("PRAGMA user_version=9")
    with pytest.raises(ChainFileError, match="its format is 9"):
        Chain.embedded(tmp_path / "other.db", funded=key.address)


def test_a_reading_process_deploys_nothing(tmp_path: Path, key: PublisherKey) -> None:
    Chain.embedded(tmp_path / "chain.db", funded=key.address)
    with pytest.raises(ReadOnlyChainError):
        Chain.embedded(tmp_path / "chain.db", read_only=True).deploy_if_absent(key)


def test_sending_what_is_in_a_block_already_is_harmless(chain: Chain, key: PublisherKey) -> None:
    raw = bytes.fromhex(transfer(key, 0)[2:])
    assert chain.send_raw(raw) == chain.send_raw(raw)
    assert chain.nonce(key.address) == 1
    with pytest.raises(NonceSpentError):
        chain.send_raw(bytes.fromhex(transfer(key, 0, value=2)[2:]))
    with pytest.raises(TransactionRefusedError, match="not a transaction"):
        chain.send_raw(b"\x02nonsense")


def test_what_was_acknowledged_survives_sigkill_and_the_outbox_goes_on(tmp_path: Path) -> None:
    """A process that anchors is killed again and again, at moments nobody chose: some before its first head is done."""
    database, chain_db, key_file = tmp_path / "outbox.db", tmp_path / "chain.db", tmp_path / "publisher.key"
    db = Database(f"sqlite:///{database}")
    SQLModel.metadata.create_all(db.engine)
    moments, acknowledged = Random(9162), 0
    for life in range(5):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.contracts.worker", chain_db, key_file, database],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        first = [process.stdout.readline().strip()] if life % 2 else []  # a busy machine may take longer for one
        time.sleep(moments.uniform(0.05, 0.9))
        process.send_signal(signal.SIGKILL)
        said = [int(line) for line in [*first, *process.stdout.read().split("\n")[:-1]]]
        process.wait()
        process.stdout.close()
        acknowledged = max([acknowledged, *said])

        key = PublisherKey.load_or_create(key_file)
        chain = Chain.embedded(chain_db, read_only=True)
        held = [one.size for one in chain.history(log_id(ORIGIN))] if chain.is_deployed else []
        assert held == sorted(set(held)), "a head was anchored twice"
        assert not said or held[-1] >= acknowledged, "an acknowledged anchor is gone"
        chain.close()
    assert acknowledged > 0

    # What was under way when the last one was killed is finished by whoever opens the outbox next.
    from contracts.anchor import Anchorer

    log = SampleLog()
    chain = Chain.embedded(chain_db, funded=key.address)
    anchorer = Anchorer(chain, key, origin=ORIGIN, tree=log)
    now = rows(db)[-1].signed_at
    log.grow(rows(db)[-1].size)
    anchorer.advance(db, now=now)
    last = anchorer.anchor(db, log.grow(rows(db)[-1].size + 1), now=now)
    assert last is not None
    assert {row.state for row in rows(db)} == {"final"}
    assert [row.size for row in rows(db)] == [one.size for one in chain.history(log_id(ORIGIN))]
    assert [row.nonce for row in rows(db)] == sorted({row.nonce for row in rows(db)})
    chain.close()
    db.dispose()


def test_a_deeply_nested_body_is_refused_beside_the_embedded_chain() -> None:
    """A library of the EVM lifts the recursion limit so far that such a body used to kill the process."""
    program = (
        "import contracts.embedded, json, msgspec\n"
        "for decode, data in ((msgspec.json.decode, b'[' * 10**6), (json.loads, '[' * 10**6)):\n"
        "    try:\n        decode(data)\n"
        "    except RecursionError:\n        print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "refused\nrefused\n", done.stderr


def anchored(chain: Chain, key: PublisherKey, log: SampleLog, name: bytes, sizes: list[int]) -> None:
    """Anchor one head after the other, without an outbox."""
    chain.deploy_if_absent(key)
    chain.open_log_if_absent(key, name)
    before = chain.head(name).size
    for size in sizes:
        root = log.grow(size).root
        proof = log.consistency(None, before, size) if before else []
        data = chain.anchor_call(name, size=size, root=root, proof=proof)
        signed = chain.sign(key, data=data, nonce=chain.nonce(key.address), gas=400_000, fees=chain.fees())
        chain.send_raw(signed.raw)
        before = size


def stored(path: Path, wanted: str = "SELECT count(*) FROM node WHERE length(key) = 32") -> int:
    with closing(sqlite3.connect(path)) as file:
        return int(file.execute(wanted).fetchone()[0])


def test_an_anchor_leaves_its_header_its_transaction_and_its_receipt_and_no_state(
    quick_path: Path, key: PublisherKey, sample_log: SampleLog
) -> None:
    path, name = quick_path / "chain.db", log_id(ORIGIN)
    chain = Chain.embedded(path, funded=key.address)
    anchored(chain, key, sample_log, name, [5 * n for n in range(1, 11)])
    before = stored(path)
    anchored(chain, key, sample_log, name, [5 * n for n in range(11, 51)])
    assert stored(path) - before <= 3 * 40 + 2, "a state that is over was kept"
    assert stored(path, "SELECT count(*) FROM node WHERE length(key) <> 32") < 2 * chain.block_number() + 8
    chain.close()
    assert path.stat().st_size / 50 < 3_000


def test_every_head_stays_provable_after_its_state_is_gone(
    quick_path: Path, key: PublisherKey, sample_log: SampleLog
) -> None:
    name, sizes = log_id(ORIGIN), list(range(3, 60, 4))
    chain = Chain.embedded(quick_path / "chain.db", funded=key.address)
    anchored(chain, key, sample_log, name, sizes)
    reader = Chain.embedded(quick_path / "chain.db", read_only=True)
    history = list(reader.history(name))
    assert [(one.size, one.root) for one in history] == [(size, sample_log.root(None, size)) for size in sizes]
    for one in history:
        receipt = reader.receipt(one.tx_hash)
        assert receipt is not None
        assert [head.size for head in receipt.heads] == [one.size]
        assert reader.knows(one.tx_hash)
        assert reader.block_hash(one.block) == one.block_hash
    assert reader.head(name).size == sizes[-1]
    reader.close()
    chain.close()


def test_an_old_state_is_refused_in_plain_words(node: EmbeddedNode, key: PublisherKey) -> None:
    for nonce in range(3):
        node.request("eth_sendRawTransaction", [transfer(key, nonce)])
    with pytest.raises(RpcError, match="newest state only"):
        node.request("eth_getBalance", [key.address, "0x1"])
    counts = [node.request("eth_getTransactionCount", [key.address, hex(number)]) for number in range(4)]
    assert counts == ["0x0", "0x1", "0x2", "0x3"]
    assert node.request("eth_getTransactionCount", [PublisherKey.create().address, "0x1"]) == "0x0"


def test_what_two_contracts_share_is_kept_while_one_of_them_needs_it(
    quick_path: Path, key: PublisherKey, sample_log: SampleLog
) -> None:
    """Equal storage is stored once: dropping it with the first contract's change would break the second."""
    path, name = quick_path / "chain.db", log_id(ORIGIN)
    Chain.embedded(path, funded=key.address).close()
    contracts = []
    for _ in range(2):
        (quick_path / "chain.json").unlink(missing_ok=True)
        deployed = Chain.embedded(path)
        anchored(deployed, key, sample_log, name, [4])
        contracts.append(deployed)
    anchored(contracts[1], key, sample_log, name, [9])
    assert contracts[0].address != contracts[1].address
    assert [one.head(name).size for one in contracts] == [4, 9]
    anchored(contracts[0], key, sample_log, name, [11])
    assert [one.head(name).size for one in contracts] == [11, 9]


def test_a_block_that_fails_while_it_prunes_leaves_the_chain_as_it_was(
    node: EmbeddedNode, key: PublisherKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.request("eth_sendRawTransaction", [transfer(key, 0)])
    with monkeypatch.context() as broken:

        def half_dropped(keys: Any) -> None:
            type(node._file).drop(node._file, list(keys)[:2])
            raise OSError("the disk is full")

        broken.setattr(node._file, "drop", half_dropped)
        with pytest.raises(OSError, match="disk is full"):
            node.request("eth_sendRawTransaction", [transfer(key, 1)])
    assert node.request("eth_blockNumber", []) == "0x1"
    node.request("eth_sendRawTransaction", [transfer(key, 1)])
    assert node.request("eth_getTransactionCount", [key.address]) == "0x2"


def test_a_chain_of_the_first_format_is_taken_over_by_its_writer(tmp_path: Path, key: PublisherKey) -> None:
    path = tmp_path / "chain.db"
    node = EmbeddedNode(path, funded=key.address, read_only=False)
    tx_hash = node.request("eth_sendRawTransaction", [transfer(key, 0)])
    node.close()
    with closing(sqlite3.connect(path)) as file:
        rows = file.execute("SELECT key, value FROM node").fetchall()
        file.executemany("UPDATE node SET value = ? WHERE key = ?", [(_unpack(value), key_) for key_, value in rows])
        file.execute("PRAGMA user_version=1")
        file.commit()
    with pytest.raises(ChainFileError, match="its format is 1"):
        EmbeddedNode(path, funded=None, read_only=True)
    again = EmbeddedNode(path, funded=None, read_only=False)
    assert again.request("eth_getTransactionReceipt", [tx_hash])["status"] == "0x1"
    again.request("eth_sendRawTransaction", [transfer(key, 1)])
    again.close()
    assert stored(path, "PRAGMA user_version") == 2
