"""The read-only JSON-RPC door: what a visitor's browser may ask our chain, and no more.

Only reads, only of our contract where a read can be large, and bounded in size. Everything else gets a
JSON-RPC error; nothing here can spend, change, or show more than the chain shows anybody.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final

MAX_BATCH: Final = 20
MAX_CALL_BYTES: Final = 16_384
MAX_BLOCKS: Final = 100_000
CALL_GAS: Final = 1_000_000
"""Three times what the longest call of our contract can take."""

METHODS: Final = frozenset(
    {
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_getBlockByNumber",
        "eth_getCode",
        "eth_getLogs",
        "eth_getTransactionByHash",
        "eth_getTransactionReceipt",
        "net_version",
    }
)

_TAGS: Final = frozenset({"latest", "safe", "finalized", "earliest"})
_QUANTITY: Final = re.compile(r"0x(0|[1-9a-f][0-9a-f]{0,15})", re.IGNORECASE)
_DATA: Final = re.compile(r"0x([0-9a-f]{2})*", re.IGNORECASE)
_HASH: Final = re.compile(r"0x[0-9a-f]{64}", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{40}", re.IGNORECASE)

Ask = Callable[[str, list[Any]], dict[str, Any]]
"""Puts one checked call to the chain; gives the whole JSON-RPC answer back."""


class DoorError(Exception):
    """A call that does not pass the door."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def answer(payload: object, *, contract: str | None, ask: Ask) -> dict[str, Any] | list[dict[str, Any]]:
    """Return the JSON-RPC answer to a decoded request or batch. Raises nothing for bad input."""
    if isinstance(payload, list):
        if not 0 < len(payload) <= MAX_BATCH:
            return _error(None, -32600, f"a batch holds 1 to {MAX_BATCH} calls")
        return [_answer_one(one, contract=contract, ask=ask) for one in payload]
    return _answer_one(payload, contract=contract, ask=ask)


def _answer_one(call: object, *, contract: str | None, ask: Ask) -> dict[str, Any]:
    number = call.get("id") if isinstance(call, dict) else None
    if not isinstance(number, int | str | None) or (isinstance(number, str) and len(number) > 100):
        number = None
    try:
        method, params = _checked(call, contract)
        answered = ask(method, params)
    except DoorError as error:
        return _error(number, error.code, error.message)
    if "error" in answered:
        refusal = {
            field: answered["error"][field] for field in ("code", "message", "data") if field in answered["error"]
        }
        return {"jsonrpc": "2.0", "id": number, "error": refusal}
    return {"jsonrpc": "2.0", "id": number, "result": answered.get("result")}


def _checked(call: object, contract: str | None) -> tuple[str, list[Any]]:
    """Return the method and the parameters as they may be passed on. Raises DoorError."""
    if not isinstance(call, dict) or call.get("jsonrpc") != "2.0" or not isinstance(call.get("method"), str):
        raise DoorError(-32600, "not a JSON-RPC 2.0 call")
    method, params = call["method"], call.get("params", [])
    if method not in METHODS:
        raise DoorError(-32601, f"the method {method[:60]} is not open here; this door only reads")
    if not isinstance(params, list):
        raise DoorError(-32602, "params must be an array")
    if len(json.dumps(params)) > MAX_CALL_BYTES:
        raise DoorError(-32602, f"params are larger than {MAX_CALL_BYTES} bytes")
    try:
        return method, _PARAMS[method](params, contract)
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise DoorError(-32602, f"the parameters of {method} are not what it takes") from error


def _none(params: list[Any], _contract: str | None) -> list[Any]:
    if params:
        raise DoorError(-32602, "this method takes no parameters")
    return []


def _one_hash(params: list[Any], _contract: str | None) -> list[Any]:
    (tx_hash,) = _exactly(params, 1)
    return [_match(_HASH, tx_hash, "a transaction hash")]


def _block(params: list[Any], _contract: str | None) -> list[Any]:
    tag, full = _exactly([*params, False][:2] if len(params) == 1 else params, 2)
    if not isinstance(full, bool):
        raise DoorError(-32602, "the second parameter is true or false")
    return [_tag(tag), full]


def _code(params: list[Any], contract: str | None) -> list[Any]:
    address, tag = _exactly([*params, "latest"][:2], 2)
    return [_ours(address, contract), _tag(tag)]


def _call(params: list[Any], contract: str | None) -> list[Any]:
    call, tag = _exactly([*params, "latest"][:2] if len(params) < 2 else params, 2)
    data = call.get("input", call.get("data", "0x"))
    passed = {"to": _ours(call["to"], contract), "data": _match(_DATA, data, "data"), "gas": hex(CALL_GAS)}
    if "from" in call:
        passed["from"] = _match(_ADDRESS, call["from"], "an address")
    return [passed, _tag(tag)]


def _logs(params: list[Any], contract: str | None) -> list[Any]:
    (wanted,) = _exactly(params, 1)
    address = wanted.get("address", contract)
    if isinstance(address, list) and len(address) == 1:
        address = address[0]  # as web3.py asks
    passed: dict[str, Any] = {"address": _ours(address, contract)}
    if "topics" in wanted:
        passed["topics"] = [_topic(topic) for topic in _at_most(wanted["topics"], 4)]
    if "blockHash" in wanted:
        return [passed | {"blockHash": _match(_HASH, wanted["blockHash"], "a block hash")}]
    passed["fromBlock"], passed["toBlock"] = (
        _tag(wanted.get("fromBlock", "latest")),
        _tag(wanted.get("toBlock", "latest")),
    )
    numbers = [passed[end] for end in ("fromBlock", "toBlock") if passed[end].startswith("0x")]
    if len(numbers) == 2 and int(numbers[1], 16) - int(numbers[0], 16) > MAX_BLOCKS:
        raise DoorError(-32602, f"at most {MAX_BLOCKS} blocks at a time")
    return [passed]


_PARAMS: Final[dict[str, Callable[[list[Any], str | None], list[Any]]]] = {
    "eth_blockNumber": _none,
    "eth_call": _call,
    "eth_chainId": _none,
    "eth_getBlockByNumber": _block,
    "eth_getCode": _code,
    "eth_getLogs": _logs,
    "eth_getTransactionByHash": _one_hash,
    "eth_getTransactionReceipt": _one_hash,
    "net_version": _none,
}


def _topic(topic: object) -> object:
    if topic is None:
        return None
    if isinstance(topic, list):
        return [_match(_HASH, one, "a topic") for one in _at_most(topic, 20)]
    return _match(_HASH, topic, "a topic")


def _tag(tag: object) -> str:
    if isinstance(tag, str) and (tag in _TAGS or _QUANTITY.fullmatch(tag)):
        return tag
    raise DoorError(-32602, "a block is named by a 0x number, latest, safe, finalized or earliest")


def _ours(address: object, contract: str | None) -> str:
    if contract is None or not isinstance(address, str) or address.lower() != contract.lower():
        raise DoorError(-32602, f"this door shows the contract at {contract} and no other")
    return contract


def _match(pattern: re.Pattern[str], text: object, what: str) -> str:
    if isinstance(text, str) and pattern.fullmatch(text):
        return text
    raise DoorError(-32602, f"{what} must be {pattern.pattern}")


def _exactly(params: list[Any], count: int) -> list[Any]:
    if len(params) != count:
        raise DoorError(-32602, "too many or too few parameters")
    return params


def _at_most(items: object, count: int) -> list[Any]:
    if not isinstance(items, list) or len(items) > count:
        raise DoorError(-32602, f"at most {count} topics")
    return items


def _error(number: object, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}
