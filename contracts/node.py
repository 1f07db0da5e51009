"""An EVM node, asked through web3 and answered in our own types: accounts, blocks, fees, transactions."""

import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from contracts.errors import ChainUnreachableError
from contracts.refusals import asking, explain
from contracts.transactions import Fees
from ledger.lookup import DEVELOPMENT_CHAIN_ID

if TYPE_CHECKING:
    from eth_typing import ChecksumAddress
    from web3 import Web3

    from contracts.embedded import EmbeddedNode

T = TypeVar("T")


class Node:
    """One chain, behind a URL or in a file. Threads may share one."""

    def __init__(self, web3: "Web3", *, embedded: "EmbeddedNode | None" = None) -> None:
        self._web3 = web3
        self._embedded = embedded

    def close(self) -> None:
        """Let go of the file or the connection. Closing twice is safe."""
        if self._embedded is not None:
            self._embedded.close()

    @property
    def is_embedded(self) -> bool:
        """Whether this is the chain in a file: one machine's word, until it moves to a public one."""
        return self._embedded is not None

    @property
    def is_read_only(self) -> bool:
        """Whether another process is the one that writes to this embedded chain."""
        return self._embedded is not None and self._embedded.is_read_only

    @cached_property
    def chain_id(self) -> int:
        """The number wallets and explorers know the chain by."""
        with asking():
            return int(self._web3.eth.chain_id)

    @cached_property
    def genesis(self) -> str:
        """The hash of the first block: what tells apart chains that share a number."""
        found = self.block_hash(0)
        return "0x" + (found or b"").hex()

    def take_play_money(self, address: str) -> None:
        """Fill an empty account from a development node, which gives to whoever asks. Elsewhere this does nothing."""
        if self.chain_id == DEVELOPMENT_CHAIN_ID and self.balance(address) == 0:
            self.ask("anvil_setBalance", [address, hex(10**21)])

    def balance(self, address: str) -> int:
        """Return an account's balance in wei."""
        with asking():
            return int(self._web3.eth.get_balance(checksum(address)))

    def fees(self) -> Fees:
        """Return what the next block asks for, with room for its price to double."""
        with asking():
            base = self._web3.eth.get_block("latest").get("baseFeePerGas")
            if base is None:  # a chain without EIP-1559 takes one price for both
                price = int(self._web3.eth.gas_price)
                return Fees(max_wei=price, priority_wei=price)
            priority = int(self._web3.eth.max_priority_fee)
        return Fees(max_wei=2 * int(base) + priority, priority_wei=priority)

    def nonce(self, address: str, *, block: int | None = None) -> int:
        """Return how many transactions of an account the chain holds, at a block or by now."""
        with asking():
            return int(self._web3.eth.get_transaction_count(checksum(address), "latest" if block is None else block))

    def block_number(self) -> int:
        """Return the newest block's number."""
        with asking():
            return int(self._web3.eth.block_number)

    def block_hash(self, number: int) -> bytes | None:
        """Return the hash of the block that now stands at a height, or None above the newest."""
        from web3.exceptions import BlockNotFound  # noqa: PLC0415

        with asking():
            try:
                return bytes(self._web3.eth.get_block(number)["hash"])
            except BlockNotFound:
                return None

    def block_time(self, number: int) -> int:
        """Return when the block at a height was made, in seconds since 1970."""
        with asking():
            return int(self._web3.eth.get_block(number)["timestamp"])

    def finalized_block(self) -> int:
        """Return the newest block the chain itself calls final; 0 where it says nothing about that."""
        from web3.exceptions import BlockNotFound, Web3RPCError  # noqa: PLC0415

        with asking():
            try:
                return int(self._web3.eth.get_block("finalized")["number"])
            except (BlockNotFound, Web3RPCError):
                return 0

    def settled_block(self, *, confirmations: int) -> int:
        """Return the newest block with so many blocks on it, or the newest the chain itself calls final."""
        return max(self.block_number() - confirmations, self.finalized_block(), 0)

    def knows(self, tx_hash: bytes) -> bool:
        """Whether the node has a transaction, in a block or waiting."""
        from web3.exceptions import TransactionNotFound  # noqa: PLC0415

        with asking():
            try:
                return self._web3.eth.get_transaction(tx_hash) is not None  # type: ignore[arg-type]  # bytes are taken
            except TransactionNotFound:
                return False

    def send_raw(self, raw: bytes) -> bytes:
        """Hand a signed transaction to the chain and return its hash. Sending the same bytes again is harmless.

        Raises NonceSpentError, UnderpricedError, InsufficientFundsError, TransactionRefusedError.
        """
        from web3 import Web3  # noqa: PLC0415
        from web3.exceptions import Web3RPCError  # noqa: PLC0415

        tx_hash = bytes(Web3.keccak(raw))
        with asking():
            try:
                self._web3.eth.send_raw_transaction(raw)
            except Web3RPCError as error:
                refusal = explain(error)
                # Whatever a node says of bytes it holds, it holds them.
                if refusal is not None and not self.knows(tx_hash):
                    raise refusal from error
        return tx_hash

    def ask(self, method: str, params: list[Any]) -> dict[str, Any]:
        """Put one JSON-RPC call to the node and return its whole answer, errors included."""
        try:
            with asking():
                return dict(self._web3.provider.make_request(method, params))  # type: ignore[arg-type]  # checked names
        except ChainUnreachableError:
            return {"error": {"code": -32000, "message": "the chain does not answer"}}

    def wait(self, look: Callable[[], T | None], patience_s: float, what: str) -> T:
        """Return what `look` finds, once it finds something. Raises ChainUnreachableError when patience ends."""
        deadline = time.monotonic() + patience_s
        while (found := look()) is None:
            if time.monotonic() > deadline:
                raise ChainUnreachableError(f"{what} was sent, and no block holds it after {patience_s:g} s")
            time.sleep(0.25)
        return found


def checksum(address: str) -> "ChecksumAddress":
    """Return an address as web3 wants it."""
    from eth_utils.address import to_checksum_address  # noqa: PLC0415  # loaded already where a chain is open

    return to_checksum_address(address)
