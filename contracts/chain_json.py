"""What py-evm holds, as JSON-RPC writes it."""

from collections.abc import Sequence
from typing import Any

import rlp  # type: ignore[import-untyped]  # it has no stubs
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from contracts.chain_file import LogRow

# py-evm's blocks, transactions and receipts are Any here: its own types differ by fork and do not say
# which fields each has.


def log_json(log: LogRow) -> dict[str, Any]:
    """Return a log as `eth_getLogs` gives it."""
    return {
        "address": to_checksum_address(log.address),
        "topics": [to_hex(topic) for topic in (log.topic0, log.topic1, log.topic2, log.topic3) if topic is not None],
        "data": to_hex(log.data),
        "blockNumber": hex(log.block),
        "blockHash": to_hex(log.block_hash),
        "transactionHash": to_hex(log.tx_hash),
        "transactionIndex": "0x0",
        "logIndex": hex(log.position),
        "removed": False,
    }


def transaction_json(block: Any, index: int, *, chain_id: int) -> dict[str, Any]:
    """Return a transaction as `eth_getTransactionByHash` gives it."""
    transaction = block.transactions[index]
    kind = getattr(transaction, "type_id", 0)
    fields: dict[str, Any] = {
        "blockHash": to_hex(block.hash),
        "blockNumber": hex(block.number),
        "transactionIndex": hex(index),
        "hash": to_hex(transaction.hash),
        "type": hex(kind),
        "from": to_checksum_address(transaction.sender),
        "to": to_checksum_address(transaction.to) if transaction.to else None,
        "nonce": hex(transaction.nonce),
        "gas": hex(transaction.gas),
        "gasPrice": hex(_effective_gas_price(block, transaction)),
        "value": hex(transaction.value),
        "input": to_hex(transaction.data),
        "chainId": hex(chain_id),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
        "v": hex(transaction.v if kind == 0 else transaction.y_parity),
    }
    if kind >= 2:
        fields["maxFeePerGas"] = hex(transaction.max_fee_per_gas)
        fields["maxPriorityFeePerGas"] = hex(transaction.max_priority_fee_per_gas)
    return fields


def receipt_json(block: Any, index: int, receipt: Any, logs: Sequence[LogRow]) -> dict[str, Any]:
    """Return a receipt as `eth_getTransactionReceipt` gives it."""
    transaction = block.transactions[index]
    created = keccak(rlp.encode([transaction.sender, transaction.nonce]))[12:]
    return {
        "transactionHash": to_hex(transaction.hash),
        "transactionIndex": hex(index),
        "blockHash": to_hex(block.hash),
        "blockNumber": hex(block.number),
        "from": to_checksum_address(transaction.sender),
        "to": to_checksum_address(transaction.to) if transaction.to else None,
        "contractAddress": None if transaction.to else to_checksum_address(created),
        # One transaction per block: what it used is what the block used.
        "cumulativeGasUsed": hex(receipt.gas_used),
        "gasUsed": hex(receipt.gas_used),
        "effectiveGasPrice": hex(_effective_gas_price(block, transaction)),
        "status": "0x1" if receipt.state_root == b"\x01" else "0x0",
        "type": hex(getattr(transaction, "type_id", 0)),
        "logs": [log_json(log) for log in logs],
        "logsBloom": "0x" + receipt.bloom.to_bytes(256, "big").hex(),
    }


def block_json(block: Any, *, full: bool, chain_id: int) -> dict[str, Any]:
    """Return a block as `eth_getBlockByNumber` gives it, with whole transactions or their hashes."""
    header = block.header
    return {
        "number": hex(header.block_number),
        "hash": to_hex(header.hash),
        "parentHash": to_hex(header.parent_hash),
        "nonce": to_hex(header.nonce),
        "sha3Uncles": to_hex(header.uncles_hash),
        "logsBloom": "0x" + header.bloom.to_bytes(256, "big").hex(),
        "transactionsRoot": to_hex(header.transaction_root),
        "stateRoot": to_hex(header.state_root),
        "receiptsRoot": to_hex(header.receipt_root),
        "miner": to_checksum_address(header.coinbase),
        "difficulty": hex(header.difficulty),
        "mixHash": to_hex(header.mix_hash),
        "extraData": to_hex(header.extra_data),
        "size": hex(len(rlp.encode(block))),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "timestamp": hex(header.timestamp),
        "uncles": [],
        "transactions": [
            transaction_json(block, index, chain_id=chain_id) if full else to_hex(transaction.hash)
            for index, transaction in enumerate(block.transactions)
        ],
    }


def to_hex(data: bytes) -> str:
    """Return bytes as JSON-RPC writes them."""
    return "0x" + bytes(data).hex()


def from_hex(text: str) -> bytes:
    """Return the bytes JSON-RPC wrote. Raises ValueError."""
    if not text.startswith("0x"):
        raise ValueError(f"{text[:20]!r} does not begin with 0x")
    return bytes.fromhex(text[2:])


def _effective_gas_price(block: Any, transaction: Any) -> int:
    if getattr(transaction, "type_id", 0) < 2:
        return int(transaction.gas_price)
    return int(min(transaction.max_fee_per_gas, transaction.max_priority_fee_per_gas + block.header.base_fee_per_gas))
