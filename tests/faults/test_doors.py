"""A door that loses calls, answers late, or lies: what was decided stays right, and nothing false is ever said."""

import json
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from contracts.chain import Chain
from contracts.errors import ChainMismatchError
from contracts.models import AnchorState
from contracts.transactions import Fees
from tests.contracts.simulators import rows
from tests.faults.gate import Answer, Call, Script
from tests.faults.naive import NaiveAnchorer
from tests.faults.worlds import CONFIRMATIONS, Tally, World, nothing_false

HASH = "0x" + "11" * 32


# --- lost and slow --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_whatever_call_is_lost_late_or_garbled_the_head_is_anchored_once(
    seed: int, new_world: Callable[[], World], tally: Tally
) -> None:
    """Each run breaks a third of all calls, drawn anew, until the door is honest again."""
    for run in range(3):
        world, random = new_world(), Random(10 * seed + run)

        def broken(_call: Call, random: Random = random) -> Any:
            return random.choice(["drop", "lose", "503", "garbage", 0.4]) if random.random() < 0.3 else None

        anchorer = world.anchorer(timeout_s=0.3)
        for round_ in range(8):
            world.gate.begin(broken)
            world.try_anchor(9, anchorer if round_ % 2 else world.anchorer(timeout_s=0.3))
            nothing_false(world)
            if random.random() < 0.4:
                world.between(random.choice(["mined", "lost", "nothing"]))
        world.settle(9)
        world.settle(14)
        world.check(9, 14)
        tally.held["door"] += 1


JUNK: tuple[Any, ...] = (
    None,
    5,
    -1,
    2**300,
    "",
    "0x",
    "0xzz",
    "0x5",
    HASH,
    [],
    [{}],
    {},
    {"number": "x"},
    True,
    "x" * 70_000,
)


@pytest.mark.parametrize("seed", range(4))
def test_answers_that_cannot_be_read_are_no_answers(seed: int, new_world: Callable[[], World], tally: Tally) -> None:
    """A door may send any JSON at all: each is refused by name, and decides nothing."""
    for run in range(3):
        world, random = new_world(), Random(100 * seed + run)
        for _ in range(10):
            world.gate.begin(lambda _call, random=random: says(random.choice(JUNK)) if random.random() < 0.25 else None)
            world.try_anchor(9)
            nothing_false(world)
        world.settle(9, rounds=24)
        world.check(9, paid=world.paid)
        tally.held["door"] += 1


@pytest.mark.parametrize("how", ["drop", "lose", "503", "garbage"])
def test_the_sending_itself_is_lost_again_and_again(how: str, new_world: Callable[[], World], tally: Tally) -> None:
    for between in ("nothing", "mined", "lost", "reorganised"):
        world = new_world()
        for _ in range(3):
            world.gate.begin(lambda call: how if call.method == "eth_sendRawTransaction" else None)
            world.try_anchor(9)
            world.between(between)
        world.settle(9)
        world.check(9)
        tally.held["door"] += 1


# --- lies -------------------------------------------------------------------------------------------------


def answers(method: str, change: Callable[[Answer], Answer]) -> Script:
    return lambda call: change if call.method == method else None


def says(result: Any) -> Callable[[Answer], Answer]:
    return lambda _answer: {"result": result}


def fails(message: str) -> Callable[[Answer], Answer]:
    return lambda _answer: {"error": {"code": -32000, "message": message}}


def changed(**fields: Any) -> Callable[[Answer], Answer]:
    def change(answer: Answer) -> Answer:
        return answer if answer.get("result") is None else {"result": answer["result"] | fields}

    return change


def more(number: int) -> Callable[[Answer], Answer]:
    return lambda answer: {"result": hex(max(int(answer["result"], 16) + number, 0))}


def _word(value: int) -> str:
    return value.to_bytes(32, "big").hex()


def _mined_though_it_is_not(world: World) -> Script:
    """A whole receipt, with our own event in it and the hash of a block that is there."""

    def script(call: Call) -> Any:
        if call.method != "eth_getTransactionReceipt":
            return None
        block, head = world.anvil.ask("eth_getBlockByNumber", "0x3", False), world.head(9)
        topics = [
            "0x" + world.truth._contract.events.HeadAnchored().topic.removeprefix("0x"),
            "0x" + world.anchorer()._log_id.hex(),
            "0x" + _word(9),
        ]
        log = {
            "address": world.truth.address, "topics": topics, "data": "0x" + head.root.hex() + _word(0),
            "blockNumber": "0x3", "blockHash": block["hash"], "transactionHash": call.params[0],
            "transactionIndex": "0x0", "logIndex": "0x0", "removed": False,
        }  # fmt: skip
        return says(
            {
                "transactionHash": call.params[0], "transactionIndex": "0x0", "blockHash": block["hash"],
                "blockNumber": "0x3", "from": world.key.address, "to": world.truth.address, "contractAddress": None,
                "cumulativeGasUsed": "0xc350", "gasUsed": "0xc350", "effectiveGasPrice": "0x1", "status": "0x1",
                "type": "0x2", "logs": [log], "logsBloom": "0x" + "00" * 256,
            }
        )  # fmt: skip

    return script


def _dropped(answer_with: Callable[[Call], Answer]) -> Callable[[World], Script]:
    """The node never hears of the transaction, whatever the door says about it."""

    def make(world: World) -> Script:
        def script(call: Call) -> Any:
            if call.method == "eth_sendRawTransaction":
                world.gate.forward = lambda body: (  # type: ignore[method-assign]  # for as long as the lie lasts
                    {"jsonrpc": "2.0", "id": body["id"], **answer_with(call)}
                    if body["method"] == "eth_sendRawTransaction"
                    else world.gate._ask(body)
                )
            return None

        return script

    return make


def _hash_of(call: Call) -> str:
    from web3 import Web3

    return "0x" + Web3.keccak(hexstr=call.params[0]).hex()


LIES: dict[str, Callable[[World], Script]] = {
    "it is mined, with a whole receipt": _mined_though_it_is_not,
    "it is in another block": lambda _: answers("eth_getTransactionReceipt", changed(blockHash=HASH)),
    "it is in an older block": lambda _: answers("eth_getTransactionReceipt", changed(blockNumber="0x1")),
    "another transaction's receipt": lambda _: answers("eth_getTransactionReceipt", changed(transactionHash=HASH)),
    "it failed": lambda _: answers("eth_getTransactionReceipt", changed(status="0x0", logs=[])),
    "it has no events": lambda _: answers("eth_getTransactionReceipt", changed(logs=[])),
    "it is in no block": lambda _: answers("eth_getTransactionReceipt", says(None)),
    "another chain": lambda _: answers("eth_chainId", says("0x1")),
    "no chain at all": lambda _: answers("eth_chainId", fails("nothing")),
    "nonce zero": lambda _: answers("eth_getTransactionCount", says("0x0")),
    "nonce five too high": lambda _: answers("eth_getTransactionCount", more(5)),
    "nonce one too low": lambda _: answers("eth_getTransactionCount", more(-1)),
    "the head is empty": lambda _: answers("eth_call", says("0x" + _word(0) * 3)),
    "the head is another's": lambda _: answers("eth_call", says("0x" + _word(7) + "77" * 32 + _word(3))),
    "the head is ours already": lambda w: answers("eth_call", says("0x" + _word(9) + w.head(9).root.hex() + _word(3))),
    "an anchor needs no gas": lambda _: answers("eth_estimateGas", says("0x5208")),
    "an anchor needs all gas": lambda _: answers("eth_estimateGas", says("0x3b9aca00")),
    "gas is worth a fortune": lambda _: answers("eth_maxPriorityFeePerGas", says(hex(10**15))),
    "gas is worth nothing": lambda _: answers("eth_maxPriorityFeePerGas", says("0x0")),
    "not taken, though it is": lambda _: answers("eth_sendRawTransaction", fails("internal error")),
    "nonce too low, though it is taken": lambda _: answers("eth_sendRawTransaction", fails("nonce too low")),
    "already known, and dropped": _dropped(lambda _: {"error": {"code": -32000, "message": "already known"}}),
    "taken, and dropped": _dropped(lambda call: {"result": _hash_of(call)}),
    "unknown, though it waits": lambda _: answers("eth_getTransactionByHash", says(None)),
    "no events at all": lambda _: answers("eth_getLogs", says([])),
    "a thousand blocks more": lambda _: answers("eth_blockNumber", more(1000)),
    "no blocks at all": lambda _: answers("eth_blockNumber", says("0x0")),
    "other blocks": lambda _: answers("eth_getBlockByNumber", changed(hash=HASH)),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_door_that_lies_for_a_while_makes_nothing_false_and_nothing_double(
    lie: str, new_world: Callable[[], World], tally: Tally
) -> None:
    """It lies about a head on its way, and about one not yet signed; then it is honest."""
    for starts_honest in (False, True):
        world = new_world()
        if starts_honest:
            world.try_anchor(9)
        honest = world.gate.forward
        anchorer = world.anchorer() if starts_honest else None
        for _ in range(5):
            world.gate.begin(LIES[lie](world))
            world.try_anchor(9, anchorer)
            nothing_false(world)
            world.now += timedelta(minutes=1)
            world.gate.forward = honest  # type: ignore[method-assign]  # a lie may have put its own there
            if _ % 2:
                world.anvil.mine()
        world.settle(9, rounds=24)
        world.settle(14)
        assert world.anchored() == [9, 14]
        world.check(9, 14, paid=world.paid)
        assert world.paid <= 3, "a lie may cost one transaction that the contract refuses, never a second anchor"
        tally.held["lie"] += 1


@pytest.mark.parametrize("lie", ["it is mined, with a whole receipt", "a thousand blocks more", "it is in no block"])
def test_a_door_that_never_stops_lying_makes_nothing_final(
    lie: str, new_world: Callable[[], World], tally: Tally
) -> None:
    world = new_world()
    anchorer = world.anchorer()
    for _ in range(8):
        world.gate.begin(LIES[lie](world))
        world.try_anchor(9, anchorer)
        nothing_false(world)
        world.now += timedelta(minutes=1)
    assert all(row.state is not AnchorState.FINAL for row in rows(world.db))
    world.settle(9)
    world.check(9)
    tally.held["lie"] += 1


def test_a_door_that_lies_in_every_answer_is_caught_by_a_second_one(
    new_world: Callable[[], World], tally: Tally
) -> None:
    """One node alone can invent a whole chain. Two that are not in league cannot."""
    world = new_world()
    # The liar shows a chain that really holds the anchor; the world's chain, behind the second door, does not.
    from tests.contracts.simulators import Anvil

    invented = Anvil("--slots-in-an-epoch", "32")
    try:
        from contracts.anchor import Anchorer

        deployment = world.folder / "invented.json"
        liar = Chain.connect(invented.url, deployment=deployment)
        alone = Anchorer(liar, world.key, origin="sample.example/log", tree=world.log, confirmations=CONFIRMATIONS)
        alone.prepare()
        liars_tale = world.new_database("tale.db")
        alone.anchor(liars_tale, world.head(9), now=world.now)
        invented.mine(CONFIRMATIONS)
        second = Chain.connect(world.anvil.url, deployment=deployment)
        careful = Anchorer(
            liar,
            world.key,
            origin="sample.example/log",
            tree=world.log,
            confirmations=CONFIRMATIONS,
            second_door=second,
        )
        with_second = world.new_database("careful.db")
        careful.anchor(with_second, world.head(9), now=world.now)
        world.anvil.mine(20)
        careful.advance(with_second, now=world.now)
        assert [row.state for row in rows(with_second)] == [AnchorState.INCLUDED]
        alone.advance(liars_tale, now=world.now)
        assert [row.state for row in rows(liars_tale)] == [AnchorState.FINAL]  # the control: one door is believed
    finally:
        invented.stop()
    tally.held["lie"] += 1


def test_a_second_door_on_another_chain_is_named(new_world: Callable[[], World]) -> None:
    world = new_world()
    world.try_anchor(9)
    world.anvil.mine(1 + CONFIRMATIONS)
    second = Chain.connect(world.gate.url, deployment=world.folder / "deployment.json")
    assert second.chain_id
    world.gate.begin(answers("eth_chainId", says("0x1")))
    careful = world.anchorer(second_door=second)
    careful._chain = world.truth
    with pytest.raises(ChainMismatchError, match="now says 0x1"):
        careful.advance(world.db, now=world.now)


def test_no_lie_about_prices_makes_us_pay_more_than_the_cap(new_world: Callable[[], World]) -> None:
    world, caps = new_world(), Fees(40 * 10**9, 2 * 10**9)
    world.gate.begin(LIES["gas is worth a fortune"](world))
    world.try_anchor(9, world.anchorer(caps=caps))
    assert [(one.max_fee_wei, one.priority_fee_wei) for one in world.attempts()] == [(40 * 10**9, 2 * 10**9)]


def test_control_without_the_outbox_the_same_doors_pay_twice_or_lose_the_head(
    new_world: Callable[[], World], tally: Tally
) -> None:
    doubled = lost = runs = 0
    tried = ("not taken, though it is", "taken, and dropped", "nonce too low, though it is taken", "the head is empty")
    for lie in (*tried, "nonce five too high"):
        for between in ("mined", "nothing"):
            world = new_world()
            honest = world.gate.forward
            world.gate.begin(LIES[lie](world))
            chain = Chain.connect(world.gate.url, deployment=world.folder / "deployment.json")
            naive = NaiveAnchorer(chain, world.key, world.log, notes=world.folder / "notes.json")
            for _ in range(2):
                try:
                    naive.anchor(world.head(9))
                except Exception as error:  # noqa: BLE001  # it knows no better
                    (world.folder / "log.txt").write_text(json.dumps(str(error)))
                world.between(between)
                if _ == 0 and lie == "the head is empty":
                    naive.notes.unlink(missing_ok=True)  # its notes were on the disk that was put back
                world.gate.forward = honest  # type: ignore[method-assign]  # as above
                world.gate.begin()
            world.anvil.mine(3)
            runs += 1
            doubled += world.paid > 1
            lost += world.anchored() != [9]
            chain.close()
    assert doubled + lost > 0
    assert lost > 0
    tally.controls["doors that lie"] = f"of {runs} runs {doubled} paid twice and {lost} lost the head"
