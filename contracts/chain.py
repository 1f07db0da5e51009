"""The chain we anchor in: our contract, on a chain in a file of ours or on any EVM node.

Past this module nobody sees web3: bytes, whole numbers and our own small types come out, ChainErrors
are raised.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from contracts import rpc
from contracts.artifacts import anchor_log
from contracts.deployment import Deployment, DeploymentFile
from contracts.errors import (
    ChainMismatchError,
    ChainMovingError,
    NonceSpentError,
    NotDeployedError,
    ReadOnlyChainError,
    TransactionRefusedError,
    UnderpricedError,
)
from contracts.heads import AnchoredHead, Head
from contracts.keys import PublisherKey
from contracts.moves import MovesFile
from contracts.node import Node, checksum
from contracts.recursion import keep_recursion_limit
from contracts.refusals import asking
from contracts.transactions import Fees, Receipt, SignedTransaction, raise_fees
from ledger.kernel.settings import Settings

if TYPE_CHECKING:
    from web3 import Web3
    from web3.contract import Contract

    from contracts.embedded import EmbeddedNode

_OPEN_GAS: Final = 120_000
_LOG_BLOCKS: Final = 5_000
"""Blocks asked for at once: public nodes refuse longer ranges."""


def open_chain(settings: Settings, *, read_only: bool = False) -> "Chain":
    """Return the chain an installation anchors in: the one it chose, or the one it moved to.

    The embedded one is made on first use. Raises ChainMovingError while a move is under way and more than
    reading is wanted; ChainError.
    """
    under_way = MovesFile(settings.home).under_way()
    if under_way is not None and not read_only:
        raise ChainMovingError(
            f"this log is being moved to chain {under_way.to_chain_id}; finish with: guoyuan chain move"
        )
    return chain_of(settings, read_only=read_only)


def chain_of(settings: Settings, *, read_only: bool = False, funded: str | None = None) -> "Chain":
    """Return the chain that the settings name, or where they name one that was left, the one moved to."""
    moves = MovesFile(settings.home).done()
    url = settings.chain_url
    if moves and url in {"", *(move.from_url for move in moves)}:
        url = moves[-1].to_url
    if url:
        return Chain.connect(url, deployment=deployment_file(settings))
    path = settings.home / "chain.db"
    if read_only:
        return Chain.embedded(path, read_only=True)
    return Chain.embedded(path, funded=funded or PublisherKey.open(settings).address)


def deployment_file(settings: Settings) -> Path:
    """Return the file that remembers our contract on the chain behind a URL."""
    moves = MovesFile(settings.home).done()
    return settings.home / (moves[-1].deployment if moves else "deployment.json")


def connect_place(settings: Settings, url: str) -> "Chain":
    """Return a chain that is not ours yet, with a file of its own for our contract there."""
    found = Chain.connect(url, deployment=settings.home / "deployment.json")
    name = f"deployment-{found.chain_id}-{found.genesis[2:10]}.json"
    return Chain.connect(url, deployment=settings.home / name)


class Chain(Node):
    """A chain, and our contract on it."""

    def __init__(
        self, web3: "Web3", *, deployment: Path, embedded: "EmbeddedNode | None" = None, url: str = ""
    ) -> None:
        super().__init__(web3, embedded=embedded)
        self.url = url
        self._file = DeploymentFile(deployment)
        self._deployed: Deployment | None = None

    @classmethod
    def connect(cls, url: str, *, deployment: Path, timeout_s: float = 10) -> Self:
        """Return the chain behind a JSON-RPC URL. `deployment` is the file that remembers our contract.

        Nothing is asked yet: an unreachable chain shows at the first call.
        """
        from web3 import HTTPProvider, Web3  # noqa: PLC0415  # a second of imports, only where a chain is opened
        from web3.middleware import ExtraDataToPOAMiddleware  # noqa: PLC0415
        from web3.providers.rpc.utils import ExceptionRetryConfiguration  # noqa: PLC0415

        keep_recursion_limit()
        # The outbox tries again, with its own patience; a call that fails should say so at once.
        once = ExceptionRetryConfiguration(errors=(ConnectionError,), retries=1)
        web3 = Web3(HTTPProvider(url, request_kwargs={"timeout": timeout_s}, exception_retry_configuration=once))
        web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
        return cls(web3, deployment=deployment, url=url)

    @classmethod
    def embedded(cls, path: Path, *, funded: str | None = None, read_only: bool = False) -> Self:
        """Return the chain kept in a file, made on first use with `funded` as the one rich account.

        A second process may open it with `read_only`, while this one writes. Raises ChainFileError.
        """
        from web3 import Web3  # noqa: PLC0415  # see above

        from contracts.embedded import EmbeddedNode, EmbeddedProvider  # noqa: PLC0415

        node = EmbeddedNode(path, funded=funded, read_only=read_only)
        return cls(Web3(EmbeddedProvider(node)), deployment=path.with_suffix(".json"), embedded=node)

    @property
    def address(self) -> str:
        """The contract's checksummed address. Raises NotDeployedError, ChainMismatchError."""
        return self._deployment().address

    @property
    def deployment_block(self) -> int:
        """The block that holds the contract's creation; nothing of ours is before it."""
        return self._deployment().block or 0

    @property
    def deployment_file(self) -> Path:
        """The file that remembers our contract on this chain."""
        return self._file.path

    def adopt_deployment(self, address: str) -> None:
        """Remember a contract that stands here already, in place of deploying one. Safe to repeat.

        Raises ChainMismatchError where it is not AnchorLog, or where another contract is remembered.
        """
        with asking():
            place = checksum(address)
            is_ours = anchor_log().is_code_of(bytes(self._web3.eth.get_code(place)))
        if not is_ours:
            raise ChainMismatchError(f"what stands at {place} is not AnchorLog")
        # Where it holds heads of ours, they may be as old as the chain; what is looked for begins there.
        self._file.begin(Deployment(self.chain_id, self.genesis, str(place), block=0, raw=None))
        if self.address != place:
            raise ChainMismatchError(f"{self._file.path.name} remembers the contract at {self.address}, not {place}")

    @property
    def is_deployed(self) -> bool:
        """Whether a contract of ours is known on this chain."""
        try:
            return bool(self._deployment().address)
        except NotDeployedError:
            return False

    def deploy_if_absent(self, key: PublisherKey, *, patience_s: float = 180) -> str:
        """Return the contract's address, deploying it first where none is remembered.

        Safe to repeat and to kill at any point: the signed transaction is kept before it is sent. Raises
        ChainMismatchError when a contract is remembered and the chain does not have it.
        """
        for _ in range(3):
            remembered = self._remembered()
            if remembered is None:
                self._begin_deployment(key)
            elif remembered.raw is None or self._finish_deployment(key, remembered, patience_s):
                return self.address
        raise ChainMismatchError("another program keeps spending the publisher's nonces")

    def deployment_gas(self, key: PublisherKey) -> int:
        """Return the gas that deploying the contract takes."""
        with asking():
            call: Any = {"from": checksum(key.address), "data": "0x" + _creation(key).hex()}
            return int(self._web3.eth.estimate_gas(call))

    def open_log_if_absent(
        self, key: PublisherKey, name: bytes, *, publisher: str | None = None, patience_s: float = 180
    ) -> None:
        """Make the key, or another address, the publisher of a log. Opening twice changes nothing.

        Only the registrar's key opens logs. Raises CallRefusedError.
        """
        if self.publisher(name) is not None:
            return
        call = self._contract.encode_abi("openLog", [name, checksum(publisher or key.address)])
        self.preflight(call, sender=key.address)
        signed = self.sign(key, data=call, nonce=self.nonce(key.address), gas=_OPEN_GAS, fees=self.fees())
        # The same step, sent before this process was killed, may be on its way.
        with contextlib.suppress(NonceSpentError, UnderpricedError):
            self.send_raw(signed.raw)
        self.wait(lambda: self.publisher(name), patience_s, "the log's opening")

    def publisher(self, name: bytes) -> str | None:
        """Return who may anchor in a log, or None where the log is not open."""
        address = self._read("publisherOf", name)[0]
        return None if int(address, 16) == 0 else str(address)

    def successor(self, name: bytes) -> str | None:
        """Return whom a log is offered to, or None."""
        address = self._read("publisherOf", name)[1]
        return None if int(address, 16) == 0 else str(address)

    def offer_call(self, name: bytes, successor: str) -> str:
        """Return the call data that offers a log to another key."""
        return str(self._contract.encode_abi("offerPublisher", [name, checksum(successor)]))

    def accept_call(self, name: bytes) -> str:
        """Return the call data that takes an offered log over."""
        return str(self._contract.encode_abi("acceptPublisher", [name]))

    def head(self, name: bytes) -> Head:
        """Return the newest head of a log."""
        size, root, block = self._read("head", name)
        return Head(size=size, root=bytes(root), block=block)

    def is_included(self, name: bytes, *, index: int, leaf_hash: bytes, proof: Sequence[bytes]) -> bool:
        """Ask the contract whether a leaf stands under the newest head."""
        return bool(self._read("isIncluded", name, index, leaf_hash, list(proof)))

    def history(self, name: bytes, *, since_block: int | None = None) -> Iterator[AnchoredHead]:
        """Yield every head ever anchored in a log, oldest first."""
        first = self.deployment_block if since_block is None else since_block
        newest = self.block_number()
        for start in range(first, newest + 1, _LOG_BLOCKS):
            yield from self._events(start, min(start + _LOG_BLOCKS - 1, newest), logId=name)

    def find_anchor(self, name: bytes, size: int) -> AnchoredHead | None:
        """Return the event that anchored exactly this size, or None."""
        newest = self.block_number()
        for last in range(newest, self.deployment_block - 1, -_LOG_BLOCKS):
            for event in self._events(max(last - _LOG_BLOCKS + 1, self.deployment_block), last, logId=name, size=size):
                return event
        return None

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """Return what became of a transaction, or None while no block holds it."""
        from web3.exceptions import TransactionNotFound  # noqa: PLC0415

        with asking():
            try:
                found = self._web3.eth.get_transaction_receipt(tx_hash)  # type: ignore[arg-type]  # bytes are taken
            except TransactionNotFound:
                return None
            if found.get("blockHash") is None:
                return None
            return Receipt(
                tx_hash=bytes(found["transactionHash"]),
                block=int(found["blockNumber"]),
                block_hash=bytes(found["blockHash"]),
                succeeded=found["status"] == 1,
                gas_used=int(found["gasUsed"]),
                fee_wei=int(found["gasUsed"]) * int(found["effectiveGasPrice"]),
                heads=tuple(self._heads_in(found["logs"])),
            )

    def anchor_call(self, name: bytes, *, size: int, root: bytes, proof: Sequence[bytes]) -> str:
        """Return the call data of an anchor."""
        return str(self._contract.encode_abi("anchor", [name, size, root, list(proof)]))

    def preflight(self, data: str, *, sender: str) -> int:
        """Return the gas a call of our contract needs. Raises CallRefusedError where it would be refused."""
        with asking():
            return int(
                self._web3.eth.estimate_gas({"from": checksum(sender), "to": checksum(self.address), "data": data})  # type: ignore[typeddict-item]  # hex text is taken
            )

    def sign(self, key: PublisherKey, *, data: str, nonce: int, gas: int, fees: Fees) -> SignedTransaction:
        """Return a signed call of our contract, sent nowhere."""
        return key.sign(
            {
                "chainId": self.chain_id,
                "type": 2,
                "nonce": nonce,
                "to": self.address,
                "value": 0,
                "data": data,
                "gas": gas,
                "maxFeePerGas": fees.max_wei,
                "maxPriorityFeePerGas": fees.priority_wei,
            }
        )

    def rpc(self, payload: object) -> dict[str, Any] | list[dict[str, Any]]:
        """Answer a decoded JSON-RPC request or batch from a stranger: reads of our contract, and no more."""
        contract = self.address if self.is_deployed else None
        return rpc.answer(payload, contract=contract, ask=self.ask)

    @cached_property
    def _contract(self) -> "Contract":
        return self._web3.eth.contract(address=checksum(self.address), abi=anchor_log().abi)

    def _read(self, function: str, *arguments: object) -> Any:
        with asking():
            return self._contract.get_function_by_name(function)(*arguments).call()

    def _events(self, first: int, last: int, **wanted: object) -> Iterator[AnchoredHead]:
        with asking():
            found = self._contract.events.HeadAnchored.get_logs(
                from_block=first, to_block=last, argument_filters=wanted
            )
            return iter([_anchored(event) for event in found])

    def _heads_in(self, logs: Sequence[Any]) -> Iterator[AnchoredHead]:
        from web3.logs import DISCARD  # noqa: PLC0415

        if self.is_deployed:
            ours = [log for log in logs if log["address"] == self.address]
            for event in self._contract.events.HeadAnchored().process_receipt({"logs": ours}, errors=DISCARD):
                yield _anchored(event)

    def _deployment(self) -> Deployment:
        if self._deployed is None:
            found = self._remembered()
            if found is None or found.raw is not None:
                raise NotDeployedError
            if not self._has_code(found.address):
                raise ChainMismatchError(
                    f"the chain has no contract at {found.address}, where {self._file.path.name} remembers ours; "
                    "if it is still catching up, wait; if the chain was replaced, its anchors are gone with it"
                )
            self._deployed = found
        return self._deployed

    def _remembered(self) -> Deployment | None:
        found = self._file.read()
        if found is not None and (found.chain_id, found.genesis) != (self.chain_id, self.genesis):
            raise ChainMismatchError(
                f"{self._file.path.name} remembers a contract on chain {found.chain_id} ({found.genesis[:14]}...); "
                f"this is chain {self.chain_id} ({self.genesis[:14]}...)"
            )
        return found

    def _begin_deployment(self, key: PublisherKey) -> None:
        from web3.utils import get_create_address  # noqa: PLC0415

        if self.is_read_only:
            raise ReadOnlyChainError("the contract is not deployed yet, and this process may only read")
        nonce, fees, newest = self.nonce(key.address), self.fees(), self.block_number()
        gas = self.deployment_gas(key) * 5 // 4
        address = str(get_create_address(key.address, nonce))  # type: ignore[arg-type]  # a checksummed address
        planned = Deployment(self.chain_id, self.genesis, address, block=newest, raw="", nonce=nonce, gas=gas)
        self._file.begin(self._signed_deployment(key, planned, fees))

    def _signed_deployment(self, key: PublisherKey, planned: Deployment, fees: Fees) -> Deployment:
        signed = key.sign(
            {
                "chainId": self.chain_id,
                "type": 2,
                "nonce": planned.nonce,
                "to": "",
                "value": 0,
                "data": _creation(key),
                "gas": planned.gas,
                "maxFeePerGas": fees.max_wei,
                "maxPriorityFeePerGas": fees.priority_wei,
            }
        )
        return replace(planned, raw=signed.raw.hex(), max_fee_wei=fees.max_wei, priority_fee_wei=fees.priority_wei)

    def _finish_deployment(self, key: PublisherKey, started: Deployment, patience_s: float) -> bool:
        """Whether the contract is there now; False where its nonce went to another transaction.

        What counts is the code at the address, whichever of the transactions under that nonce brought it.
        """
        tx_hash = b""
        if not self._has_code(started.address):
            try:
                started = self._dearer_deployment(key, started)
                tx_hash = self.send_raw(bytes.fromhex(started.raw or ""))
            except NonceSpentError:
                if not self._has_code(started.address):
                    self._file.forget()
                    return False

        def arrived() -> bool | None:
            if self._has_code(started.address):
                return True
            found = self.receipt(tx_hash)
            return None if found is None or found.succeeded else False

        if not self.wait(arrived, patience_s, "the contract's deployment"):
            self._file.forget()
            raise TransactionRefusedError("the contract's deployment failed; its nonce is spent")
        receipt = self.receipt(tx_hash) if tx_hash else None
        self._file.replace(replace(started, block=receipt.block if receipt else started.block, raw=None))
        return True

    def _dearer_deployment(self, key: PublisherKey, started: Deployment) -> Deployment:
        """Return the deployment to send: signed again at its nonce where the price rose past what it offers."""
        asked = self.fees()
        if started.max_fee_wei is None or started.priority_fee_wei is None:
            return started  # kept by an earlier version, which did not write down what it offers
        paid = Fees(started.max_fee_wei, started.priority_fee_wei)
        if 2 * paid.max_wei > asked.max_wei:  # `asked` leaves room for the price to double
            return started
        raised = raise_fees(paid, asked, caps=Fees(2 * asked.max_wei, 2 * asked.max_wei))
        if raised is None:
            return started
        dearer = self._signed_deployment(key, started, raised)
        self._file.replace(dearer)
        return dearer

    def _has_code(self, address: str) -> bool:
        with asking():
            return bool(self._web3.eth.get_code(checksum(address)))


def _creation(key: PublisherKey) -> bytes:
    """Return what a transaction that deploys the contract carries: the key's address may open logs in it."""
    return anchor_log().bytecode + bytes.fromhex(key.address[2:]).rjust(32, b"\0")


def _anchored(event: Any) -> AnchoredHead:
    values = event["args"]
    return AnchoredHead(
        log_id=bytes(values["logId"]),
        size=int(values["size"]),
        root=bytes(values["root"]),
        previous_size=int(values["previousSize"]),
        block=int(event["blockNumber"]),
        block_hash=bytes(event["blockHash"]),
        tx_hash=bytes(event["transactionHash"]),
    )
