"""The door strangers use: it reads our contract, and does nothing else whatever it is sent."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web3 import Web3

from contracts import rpc
from contracts.chain import Chain
from contracts.heads import log_id
from contracts.keys import PublisherKey

OURS = "0x" + "aB" * 20
OTHER = "0x" + "11" * 20
HASH = "0x" + "0f" * 32
LATEST = "latest"


def call(method: object, *params: Any, **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)} | more


class Recorder:
    """A chain that answers anything, and remembers what came through the door."""

    def __init__(self) -> None:
        self.passed: list[tuple[str, list[Any]]] = []

    def __call__(self, method: str, params: list[Any]) -> dict[str, Any]:
        self.passed.append((method, params))
        return {"jsonrpc": "2.0", "id": 1, "result": "0x1"}


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        (call("eth_chainId"), []),
        (call("eth_blockNumber"), []),
        (call("net_version"), []),
        (call("eth_getCode", OURS.lower()), [OURS, LATEST]),
        (call("eth_getTransactionReceipt", HASH), [HASH]),
        (call("eth_getTransactionByHash", HASH), [HASH]),
        (call("eth_getBlockByNumber", "0x10"), ["0x10", False]),
        (call("eth_getBlockByNumber", LATEST, True), [LATEST, True]),
        (call("eth_call", {"to": OURS, "data": "0x00"}), [{"to": OURS, "data": "0x00", "gas": "0xf4240"}, LATEST]),
        (
            call("eth_call", {"to": OURS, "input": "0x00", "from": OTHER, "gas": "0xffffffff"}, "0x5"),
            [{"to": OURS, "data": "0x00", "gas": "0xf4240", "from": OTHER}, "0x5"],
        ),
        (call("eth_getLogs", {}), [{"address": OURS, "fromBlock": LATEST, "toBlock": LATEST}]),
        (
            call("eth_getLogs", {"fromBlock": "0x0", "toBlock": LATEST, "topics": [HASH, None, [HASH, HASH]]}),
            [{"address": OURS, "topics": [HASH, None, [HASH, HASH]], "fromBlock": "0x0", "toBlock": LATEST}],
        ),
        (call("eth_getLogs", {"address": [OURS]}), [{"address": OURS, "fromBlock": LATEST, "toBlock": LATEST}]),
        (call("eth_getLogs", {"blockHash": HASH, "address": OURS}), [{"address": OURS, "blockHash": HASH}]),
    ],
    ids=range(14),
)
def test_a_read_passes_in_the_form_we_gave_it(asked: dict[str, Any], passed: list[Any]) -> None:
    chain = Recorder()
    assert rpc.answer(asked, contract=OURS, ask=chain) == {"jsonrpc": "2.0", "id": 7, "result": "0x1"}
    assert chain.passed == [(asked["method"], passed)]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (call("eth_sendRawTransaction", "0x00"), -32601),
        (call("eth_sendTransaction", {}), -32601),
        (call("eth_accounts"), -32601),
        (call("anvil_setBalance", OURS, "0x0"), -32601),
        (call("debug_traceTransaction", HASH), -32601),
        (call("ETH_CHAINID"), -32601),
        (call(""), -32601),
        (call(7), -32600),
        (call(None), -32600),
        ({"method": "eth_chainId"}, -32600),
        (call("eth_chainId", jsonrpc="1.0"), -32600),
        (call("eth_chainId", 1), -32602),
        (call("eth_chainId", params={}), -32602),
        (call("eth_call", {"to": OTHER, "data": "0x"}), -32602),
        (call("eth_call", {"data": "0x600060"}), -32602),  # creating a contract
        (call("eth_call", {"to": OURS, "data": "0x0"}), -32602),
        (call("eth_call", {"to": OURS, "data": 5}), -32602),
        (call("eth_call", {"to": OURS, "data": "0x"}, LATEST, {OURS: {"code": "0x00"}}), -32602),  # another state
        (call("eth_call", {"to": OURS, "data": "0x" + "00" * rpc.MAX_CALL_BYTES}), -32602),
        (call("eth_call", {"to": OURS, "data": "0x"}, "pending"), -32602),
        (call("eth_call", {"to": OURS, "data": "0x"}, {"blockHash": HASH}), -32602),
        (call("eth_call", {"to": OURS, "data": "0x", "from": "me"}), -32602),
        (call("eth_call"), -32602),
        (call("eth_call", None), -32602),
        (call("eth_getCode", OTHER), -32602),
        (call("eth_getBlockByNumber", "0x01"), -32602),
        (call("eth_getBlockByNumber", 5), -32602),
        (call("eth_getBlockByNumber", LATEST, "yes"), -32602),
        (call("eth_getTransactionReceipt", HASH[:-1]), -32602),
        (call("eth_getTransactionReceipt", HASH, HASH), -32602),
        (call("eth_getLogs", {"address": OTHER}), -32602),
        (call("eth_getLogs", {"address": [OURS, OTHER]}), -32602),
        (call("eth_getLogs", {"address": [OTHER]}), -32602),
        (call("eth_getLogs", {"address": []}), -32602),
        (call("eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(rpc.MAX_BLOCKS + 1)}), -32602),
        (call("eth_getLogs", {"topics": [HASH] * 5}), -32602),
        (call("eth_getLogs", {"topics": [[HASH] * 21]}), -32602),
        (call("eth_getLogs", {"topics": ["head"]}), -32602),
        (call("eth_getLogs", {"topics": HASH}), -32602),
        (call("eth_getLogs", []), -32602),
        (5, -32600),
        (None, -32600),
        ("eth_chainId", -32600),
        ([], -32600),
        ([call("eth_chainId")] * (rpc.MAX_BATCH + 1), -32600),
    ],
    ids=range(45),
)
def test_everything_else_stays_outside_and_is_told_why(asked: object, code: int) -> None:
    chain = Recorder()
    answered = rpc.answer(asked, contract=OURS, ask=chain)
    assert isinstance(answered, dict)
    assert answered["error"]["code"] == code
    assert answered["error"]["message"]
    assert chain.passed == []


def test_a_batch_is_answered_call_by_call() -> None:
    answered = rpc.answer(
        [call("eth_chainId", id="a"), call("eth_sendRawTransaction", "0x", id=2), 5], contract=OURS, ask=Recorder()
    )
    assert isinstance(answered, list)
    assert [one["id"] for one in answered] == ["a", 2, None]
    assert ["result" in one for one in answered] == [True, False, False]


def test_an_id_that_is_no_id_is_not_echoed() -> None:
    for strange in ([1], {"a": 1}, "x" * 200, 1.5):
        answered = rpc.answer(call("eth_chainId", id=strange), contract=OURS, ask=Recorder())
        assert isinstance(answered, dict)
        assert answered["id"] is None


def test_before_there_is_a_contract_nothing_can_be_read_of_one() -> None:
    chain = Recorder()
    answered = rpc.answer(call("eth_call", {"to": OURS, "data": "0x"}), contract=None, ask=chain)
    assert isinstance(answered, dict)
    assert "error" in answered
    assert chain.passed == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([OURS, HASH, LATEST, "0x0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["to", "data", "topics", "x"]), inner),
    max_leaves=8,
)


@given(st.sampled_from(sorted(rpc.METHODS)), JSON)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_parameters_get_through_as_anything_but_a_read_of_ours(method: str, params: Any) -> None:
    chain = Recorder()
    answered = rpc.answer(call(method, params=params), contract=OURS, ask=chain)
    assert isinstance(answered, dict)
    assert ("error" in answered) != bool(chain.passed)
    for passed, values in chain.passed:
        assert passed == method
        assert all(v.get("to", OURS) == OURS and v.get("address", OURS) == OURS for v in values if isinstance(v, dict))


def test_the_door_reads_a_head_from_the_embedded_chain(chain: Chain, key: PublisherKey) -> None:
    address = chain.deploy_if_absent(key)
    name = log_id("log")
    chain.open_log_if_absent(key, name)
    data = chain.anchor_call(name, size=5, root=b"\7" * 32, proof=[])
    signed = chain.sign(key, data=data, nonce=chain.nonce(key.address), gas=200_000, fees=chain.fees())
    chain.send_raw(signed.raw)

    selector = "0x" + Web3.keccak(text="head(bytes32)")[:4].hex()
    answered = chain.rpc(
        [
            call("eth_call", {"to": address, "data": selector + name.hex()}),
            call("eth_getLogs", {"fromBlock": "0x0", "topics": [None, "0x" + name.hex()]}),
            call("eth_getTransactionReceipt", "0x" + signed.tx_hash.hex()),
            call("eth_call", {"to": address, "data": data, "from": key.address}),
        ]
    )
    assert isinstance(answered, list)
    held, logs, receipt, refused = answered
    assert held["result"] == "0x" + (5).to_bytes(32).hex() + "07" * 32 + (3).to_bytes(32).hex()
    assert [int(log["blockNumber"], 16) for log in logs["result"]] == [2, 3]
    assert receipt["result"]["status"] == "0x1"
    assert refused["error"]["data"].startswith("0x" + Web3.keccak(text="HeadNotNewer(uint64,uint64)")[:4].hex())
