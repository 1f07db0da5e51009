"""What a stranger asks any chain about our contract. Needs no installation, no key and no word of ours."""

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from contracts.artifacts import anchor_log
from contracts.errors import ChainMismatchError
from contracts.heads import Head, log_id
from contracts.refusals import asking
from ledger.proof import Anchor

if TYPE_CHECKING:
    from web3 import Web3

_NOBODY: Final = "0x" + "00" * 20
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a contract holds of one log, as the chain itself tells it. Times are seconds since 1970."""

    chain_id: int
    contract: str
    log_id: bytes
    registrar: str
    publisher: str | None
    """Who may anchor; None where the log is not open in this contract."""
    successor: str | None
    head: Head
    head_time: int | None
    """When the block was made that anchored the newest head."""
    transaction: bytes | None


def look(url: str, *, contract: str, origin: str, timeout_s: float = 10) -> Seen:
    """Return what a contract behind a JSON-RPC URL holds of a log.

    Raises ChainUnreachableError, and ChainMismatchError where the code there is not AnchorLog's: another
    contract could say anything.
    """
    web3 = _connect(url, timeout_s)
    with asking():
        address = _require_code(web3, contract)
        functions = web3.eth.contract(address=address, abi=anchor_log().abi).functions
        name = log_id(origin)
        block = web3.eth.block_number  # one moment for all questions
        size, root, anchored_at = functions.head(name).call(block_identifier=block)
        publisher, successor = functions.publisherOf(name).call(block_identifier=block)
        registrar = functions.registrar().call(block_identifier=block)
        transaction, time = None, None
        if size:
            event = web3.eth.contract(address=address, abi=anchor_log().abi).events.HeadAnchored()
            filters = {"logId": name, "size": size}
            found = event.get_logs(from_block=anchored_at, to_block=anchored_at, argument_filters=filters)
            transaction = bytes(found[0]["transactionHash"]) if found else None
            time = int(web3.eth.get_block(anchored_at)["timestamp"])
        return Seen(
            chain_id=int(web3.eth.chain_id),
            contract=address,
            log_id=name,
            registrar=registrar,
            publisher=_somebody(publisher),
            successor=_somebody(successor),
            head=Head(size=int(size), root=bytes(root), block=int(anchored_at)),
            head_time=time,
            transaction=transaction,
        )


def holds(url: str, anchor: Anchor, *, timeout_s: float = 10) -> bool:
    """Return whether the chain behind a JSON-RPC URL holds the head, in the transaction the anchor names.

    Raises ChainUnreachableError, and ChainMismatchError where it is another chain than the anchor's, or another
    contract than AnchorLog.
    """
    from web3.exceptions import TransactionNotFound  # noqa: PLC0415
    from web3.logs import DISCARD  # noqa: PLC0415

    web3 = _connect(url, timeout_s)
    with asking():
        chain_id = int(web3.eth.chain_id)
        if chain_id != anchor.chain_id:
            raise ChainMismatchError(f"{url} is chain {chain_id}; the proof is anchored in chain {anchor.chain_id}")
        address = _require_code(web3, anchor.contract)
        contract = web3.eth.contract(address=address, abi=anchor_log().abi)
        name, root = bytes.fromhex(anchor.log_id[2:]), base64.b64decode(anchor.root)
        # Heads only grow: a newest one that is smaller, or another at this size, refutes whatever stands elsewhere.
        newest, newest_root, _ = contract.functions.head(name).call()
        if newest < anchor.size or (newest == anchor.size and bytes(newest_root) != root):
            return False
        try:
            receipt = web3.eth.get_transaction_receipt(anchor.transaction)  # type: ignore[arg-type]  # hex text is taken
        except TransactionNotFound:
            return False
        if receipt["status"] != 1 or receipt["blockNumber"] != anchor.block:
            return False
        logs = [log for log in receipt["logs"] if log["address"] == address and not log.get("removed")]
        events = contract.events.HeadAnchored().process_receipt({"logs": logs}, errors=DISCARD)
        said = [found["args"] for found in events]
        return any((bytes(one["logId"]), one["size"], bytes(one["root"])) == (name, anchor.size, root) for one in said)


def _connect(url: str, timeout_s: float) -> "Web3":
    from web3 import HTTPProvider, Web3  # noqa: PLC0415  # a second of imports, only where a chain is asked
    from web3.middleware import ExtraDataToPOAMiddleware  # noqa: PLC0415

    web3 = Web3(HTTPProvider(url, request_kwargs={"timeout": timeout_s}))
    web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    return web3


def _require_code(web3: "Web3", contract: str) -> Any:  # web3's own checked address
    if not _ADDRESS.fullmatch(contract):
        raise ChainMismatchError(f"{contract[:60]!r} is not an address of a contract")
    address = web3.to_checksum_address(contract)
    if not anchor_log().is_code_of(bytes(web3.eth.get_code(address))):
        raise ChainMismatchError(f"what stands at {address} is not AnchorLog; what it says of a log proves nothing")
    return address


def _somebody(address: str) -> str | None:
    return None if address == _NOBODY else address
