"""An EVM chain in one SQLite file, for installations that have no node to talk to.

py-evm executes, `chain_file` keeps: every block is one SQLite transaction, so a process that is killed
has either the whole block or none of it. Nothing is remembered between calls; each one starts from the
head the file holds. That is what lets a second process read, or even write, the same chain.

There is no pool and no reorganisation here: a transaction that is taken is in a block when the call
returns, and that block is final.
"""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import rlp  # type: ignore[import-untyped]  # it has no stubs
from eth.chains.base import MiningChain
from eth.constants import (
    BLANK_ROOT_HASH,
    POST_MERGE_DIFFICULTY,
    POST_MERGE_MIX_HASH,
    POST_MERGE_NONCE,
    ZERO_ADDRESS,
)
from eth.db.atomic import AtomicDB
from eth.db.schema import SchemaV1
from eth.exceptions import HeaderNotFound, PyEVMError, Revert, TransactionNotFound
from eth.vm.forks.prague import PragueVM
from eth.vm.interrupt import EVMMissingData
from eth.vm.spoof import SpoofTransaction
from eth_utils.exceptions import ValidationError
from web3.providers.base import BaseProvider
from web3.types import RPCEndpoint, RPCResponse

from contracts.chain_file import ChainFile, LogRow
from contracts.chain_json import block_json, from_hex, log_json, receipt_json, to_hex, transaction_json
from contracts.errors import ChainFileError
from contracts.pruning import stale
from contracts.recursion import keep_recursion_limit
from ledger.lookup import EMBEDDED_CHAIN_ID as CHAIN_ID

# py-evm's own types differ by fork and do not say which fields each has: its objects are Any here.

keep_recursion_limit()


GAS_LIMIT: Final = 30_000_000
_FUNDS_WEI: Final = 10**24
_MAX_LOGS: Final = 10_000
_UNREADABLE: Final = (TypeError, ValueError, KeyError, AttributeError, ValidationError)
"""What py-evm and our own reading of parameters raise for what a stranger may send."""


class RpcError(Exception):
    """A refusal, as JSON-RPC says it."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    def body(self) -> dict[str, Any]:
        """Return the `error` member of a JSON-RPC answer."""
        return {"code": self.code, "message": self.message} | ({} if self.data is None else {"data": self.data})


class EmbeddedNode:
    """The JSON-RPC methods of a node, over one chain file. Threads take turns."""

    def __init__(self, path: Path, *, funded: str | None, read_only: bool) -> None:
        self._file = ChainFile(path, read_only=read_only)
        self._turn = threading.RLock()
        self._methods: dict[str, Callable[..., Any]] = {
            "eth_chainId": lambda: hex(CHAIN_ID),
            "net_version": lambda: str(CHAIN_ID),
            "eth_blockNumber": lambda: hex(self._head.block_number),
            "eth_getBlockByNumber": self._get_block,
            "eth_getTransactionByHash": self._get_transaction,
            "eth_getTransactionReceipt": self._get_receipt,
            "eth_getTransactionCount": self._get_nonce,
            "eth_getBalance": self._get_balance,
            "eth_getCode": self._get_code,
            "eth_getLogs": self._get_logs,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate_gas,
            "eth_gasPrice": lambda: hex(self._head.base_fee_per_gas + 1),
            "eth_maxPriorityFeePerGas": lambda: "0x1",
        }
        try:
            with self._file.transaction(write=not read_only):
                self._chain = self._open(path, funded)
        except BaseException:
            self._file.close()
            raise

    @property
    def is_read_only(self) -> bool:
        """Whether another process is the one that writes."""
        return self._file.read_only

    def request(self, method: str, params: list[Any]) -> Any:
        """Answer one JSON-RPC call. Raises RpcError."""
        with self._turn:
            if method == "eth_sendRawTransaction":
                return self._send_raw(*params)
            known = self._methods.get(method)
            if known is None:
                raise RpcError(-32601, f"the method {method} does not exist here")
            with self._file.transaction(write=False):
                self._chain.header = self._chain.ensure_header()
                try:
                    return known(*params)
                except HeaderNotFound as error:
                    raise RpcError(-32001, "no such block") from error
                except EVMMissingData as error:
                    raise RpcError(-32000, "this chain keeps the newest state only; ask for latest") from error
                except _UNREADABLE as error:
                    raise RpcError(-32602, f"the parameters of {method} cannot be read: {error}") from error

    def close(self) -> None:
        """Close the chain's file."""
        with self._turn:
            self._file.close()

    def _open(self, path: Path, funded: str | None) -> Any:
        base = AtomicDB(self._file)
        if SchemaV1.make_canonical_head_hash_lookup_key() in base:
            return _Chain(base)
        if self._file.read_only:
            raise ChainFileError(f"{path} holds no chain yet")
        if funded is None:
            raise ChainFileError(f"a new chain at {path} needs an account that it funds")
        genesis: dict[str, Any] = {
            "coinbase": ZERO_ADDRESS,
            "difficulty": POST_MERGE_DIFFICULTY,
            "extra_data": os.urandom(32),  # two installations never share a genesis
            "gas_limit": GAS_LIMIT,
            "mix_hash": POST_MERGE_MIX_HASH,
            "nonce": POST_MERGE_NONCE,
            "receipt_root": BLANK_ROOT_HASH,
            "transaction_root": BLANK_ROOT_HASH,
            "timestamp": 1,
        }
        accounts: Any = {from_hex(funded): {"balance": _FUNDS_WEI, "nonce": 0, "code": b"", "storage": {}}}
        return _Chain.from_genesis(base, genesis, accounts)

    @property
    def _head(self) -> Any:
        return self._chain.get_canonical_head()

    def _header(self, tag: str = "latest") -> Any:
        if tag in ("latest", "pending", "safe", "finalized"):
            return self._head
        return self._chain.get_canonical_block_header_by_number(0 if tag == "earliest" else int(tag, 16))

    def _state(self, tag: str) -> Any:
        return self._chain.get_vm(self._header(tag)).state

    def _get_nonce(self, address: str, tag: str = "latest") -> str:
        """Count an account's transactions, up to any block: those after it are taken off, as its state is gone."""
        header, head, sender = self._header(tag), self._head, from_hex(address)
        later = range(header.block_number + 1, head.block_number + 1)
        blocks = (self._chain.get_canonical_block_by_number(number) for number in later)
        since = sum(transaction.sender == sender for block in blocks for transaction in block.transactions)
        return hex(self._state("latest").get_nonce(sender) - since)

    def _get_balance(self, address: str, tag: str = "latest") -> str:
        return hex(self._state(tag).get_balance(from_hex(address)))

    def _get_code(self, address: str, tag: str = "latest") -> str:
        return to_hex(self._state(tag).get_code(from_hex(address)))

    def _call(self, call: dict[str, str], tag: str = "latest") -> str:
        return to_hex(self._run(call, tag)[1].output)

    def _estimate_gas(self, call: dict[str, str], tag: str = "latest") -> str:
        # What one run takes, without refunds. Calls that pass gas on could need a little more; ours do not.
        transaction, computation = self._run(call, tag)
        tokens = sum(4 if byte else 1 for byte in transaction.data)
        return hex(max(transaction.gas - computation.get_gas_remaining(), 21_000 + 10 * tokens))  # EIP-7623

    def _run(self, call: dict[str, str], tag: str) -> tuple[Any, Any]:
        """Run a call that leaves no trace. Raises RpcError where it fails."""
        transaction = self._free_transaction(call, tag)
        with self._chain.get_vm(self._header(tag)).in_costless_state() as state:
            computation = state.apply_transaction(transaction)
        if computation.is_error:
            raise _refused(computation.error)
        return transaction, computation

    def _free_transaction(self, call: dict[str, str], tag: str) -> Any:
        """Return a call as a transaction that nobody signs and nobody pays."""
        unsigned = self._chain.get_vm().create_unsigned_transaction(
            nonce=0,
            gas_price=0,
            gas=min(int(call.get("gas", hex(GAS_LIMIT)), 16), GAS_LIMIT),
            to=from_hex(call.get("to") or "0x"),
            value=int(call.get("value", "0x0"), 16),
            data=from_hex(call.get("input", call.get("data", "0x"))),
        )
        sender = from_hex(call.get("from", "0x" + "00" * 20))
        return SpoofTransaction(unsigned, from_=sender, nonce=self._state(tag).get_nonce(sender))

    def _send_raw(self, raw: str) -> str:
        if self._file.read_only:
            raise RpcError(-32000, "this process opened the chain for reading only")
        with self._file.transaction(write=True):
            self._chain.header = self._chain.ensure_header()
            transaction = self._decode(raw)
            self._refuse_strange(transaction)
            before = self._head.state_root
            try:
                self._chain.apply_transaction(transaction)
                block = self._chain.mine_block(coinbase=ZERO_ADDRESS, mix_hash=os.urandom(32), blob_gas_used=0)
            except (ValidationError, PyEVMError) as error:
                raise RpcError(-32000, _reason(error)) from error
            receipts = block.get_receipts(self._chain.chaindb)
            self._file.add_logs(_log_rows(block, receipts[0]))
            self._file.drop(
                stale(self._file, written=self._file.written, before=before, block=block, receipts=receipts)
            )
        return to_hex(transaction.hash)

    def _decode(self, raw: str) -> Any:
        try:
            return self._chain.get_vm().get_transaction_builder().decode(from_hex(raw))
        except (*_UNREADABLE, IndexError, rlp.exceptions.RLPException, PyEVMError) as error:
            raise RpcError(-32602, "these bytes are not a transaction") from error

    def _refuse_strange(self, transaction: Any) -> None:
        """Refuse what py-evm would take, or would refuse in words no client knows."""
        if getattr(transaction, "chain_id", None) not in (None, CHAIN_ID):
            raise RpcError(-32003, f"signed for chain {transaction.chain_id}; this is chain {CHAIN_ID}")
        due = self._state("latest").get_nonce(transaction.sender)
        if transaction.nonce < due:
            raise RpcError(-32003, "nonce too low")
        if transaction.nonce > due:
            raise RpcError(-32003, f"nonce too high: {due} is next, and this chain keeps no pool")

    def _find(self, tx_hash: str) -> tuple[Any, int] | None:
        try:
            number, index = self._chain.get_canonical_transaction_index(from_hex(tx_hash))
        except TransactionNotFound:
            return None
        return self._chain.get_canonical_block_by_number(number), index

    def _get_transaction(self, tx_hash: str) -> dict[str, Any] | None:
        found = self._find(tx_hash)
        return None if found is None else transaction_json(*found, chain_id=CHAIN_ID)

    def _get_receipt(self, tx_hash: str) -> dict[str, Any] | None:
        found = self._find(tx_hash)
        if found is None:
            return None
        block, index = found
        logs = self._file.logs(first=block.number, last=block.number, choices={}, limit=_MAX_LOGS)
        return receipt_json(block, index, block.get_receipts(self._chain.chaindb)[index], logs)

    def _get_block(self, tag: str, full: bool = False) -> dict[str, Any] | None:  # noqa: FBT001, FBT002  # JSON-RPC's order
        try:
            header = self._header(tag)
        except HeaderNotFound:
            return None
        return block_json(self._chain.get_block_by_header(header), full=full, chain_id=CHAIN_ID)

    def _get_logs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in wanted:
            first = last = self._chain.get_block_header_by_hash(from_hex(wanted["blockHash"])).block_number
        else:
            first, last = (self._block_number(wanted.get(end, "latest")) for end in ("fromBlock", "toBlock"))
        columns = {"address": wanted.get("address")}
        columns |= {f"topic{i}": topic for i, topic in enumerate(wanted.get("topics", [])[:4])}
        choices = {
            column: [from_hex(one) for one in ([choice] if isinstance(choice, str) else choice)]
            for column, choice in columns.items()
            if choice
        }
        rows = self._file.logs(first=first, last=last, choices=choices, limit=_MAX_LOGS + 1)
        if len(rows) > _MAX_LOGS:
            raise RpcError(-32005, f"more than {_MAX_LOGS} logs; ask for fewer blocks")
        return [log_json(row) for row in rows]

    def _block_number(self, tag: str) -> int:
        return int(tag, 16) if tag.startswith("0x") else int(self._header(tag).block_number)


class EmbeddedProvider(BaseProvider):
    """What lets web3 talk to the node in this process as it talks to any other."""

    def __init__(self, node: EmbeddedNode) -> None:
        super().__init__()
        self.node = node

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer as a JSON-RPC node would."""
        answer: Any = {"jsonrpc": "2.0", "id": 1}
        try:
            answer["result"] = self.node.request(method, list(params))
        except RpcError as error:
            answer["error"] = error.body()
        return answer  # type: ignore[no-any-return]  # web3's type has no room for an error's data

    def is_connected(self, show_traceback: bool = False) -> bool:  # noqa: ARG002, FBT001, FBT002  # web3's signature
        """Return True: it is this process."""
        return True


class _Chain(MiningChain):
    """Prague from the first block, with a gas limit that stays."""

    chain_id = CHAIN_ID
    vm_configuration: Any = ((0, PragueVM),)

    def create_header_from_parent(self, parent_header: Any, **header_params: Any) -> Any:
        """Return the header a block on this parent begins with."""
        return super().create_header_from_parent(
            parent_header, **{**header_params, "gas_limit": parent_header.gas_limit}
        )


def _refused(error: Exception) -> RpcError:
    if isinstance(error, Revert):
        return RpcError(3, "execution reverted", to_hex(error.args[0] if error.args else b""))
    return RpcError(-32000, f"execution failed: {error}")


def _reason(error: Exception) -> str:
    text = str(error)
    return f"insufficient funds: {text}" if "cannot afford" in text or "enough balance" in text else text


def _log_rows(block: Any, receipt: Any) -> Iterator[LogRow]:
    for position, log in enumerate(receipt.logs):
        topic0, topic1, topic2, topic3 = (
            log.topics[i].to_bytes(32, "big") if i < len(log.topics) else None for i in range(4)
        )
        tx_hash, address = block.transactions[0].hash, log.address
        yield LogRow(block.number, position, block.hash, tx_hash, address, topic0, topic1, topic2, topic3, log.data)
