"""What a stranger asks any chain about an anchor: does it hold this head? Needs no installation and no key."""

import base64

from contracts.artifacts import anchor_log
from contracts.errors import ChainMismatchError
from contracts.refusals import asking
from ledger.proof import Anchor


def holds(url: str, anchor: Anchor, *, timeout_s: float = 10) -> bool:
    """Return whether the chain behind a JSON-RPC URL holds the head, in the transaction the anchor names.

    Raises ChainUnreachableError, and ChainMismatchError where it is another chain than the anchor's.
    """
    from web3 import HTTPProvider, Web3  # noqa: PLC0415  # a second of imports, only where a chain is asked
    from web3.exceptions import TransactionNotFound  # noqa: PLC0415
    from web3.logs import DISCARD  # noqa: PLC0415

    web3 = Web3(HTTPProvider(url, request_kwargs={"timeout": timeout_s}))
    with asking():
        chain_id = int(web3.eth.chain_id)
        if chain_id != anchor.chain_id:
            raise ChainMismatchError(f"{url} is chain {chain_id}; the proof is anchored in chain {anchor.chain_id}")
        address = Web3.to_checksum_address(anchor.contract)
        try:
            receipt = web3.eth.get_transaction_receipt(anchor.transaction)  # type: ignore[arg-type]  # hex text is taken
        except TransactionNotFound:
            return False
    if receipt["status"] != 1 or receipt["blockNumber"] != anchor.block:
        return False
    logs = [log for log in receipt["logs"] if log["address"] == address]
    event = web3.eth.contract(address=address, abi=anchor_log().abi).events.HeadAnchored()
    said = [found["args"] for found in event.process_receipt({"logs": logs}, errors=DISCARD)]
    wanted = (bytes.fromhex(anchor.log_id[2:]), anchor.size, base64.b64decode(anchor.root))
    return any((bytes(one["logId"]), one["size"], bytes(one["root"])) == wanted for one in said)
