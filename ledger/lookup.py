"""Chains that strangers can look into, and the words and links with which they see an anchor there without us.

Facts, not trust: numbers, names, currencies and explorers are those that ethereum-lists/chains publishes for
EIP-155 (read on 2026-11-22). An explorer that follows EIP-3091 has the paths used here.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

EMBEDDED_CHAIN_ID: Final = 131_277_322_940_537
"""The chain in a file of ours. py-evm's tester chains have had this number for years; no public chain has it."""

DEVELOPMENT_CHAIN_ID: Final = 31_337
"""What anvil and its like call themselves; money there is worth nothing."""

HEAD_SELECTOR: Final = "0xf339e3b2"
"""Of `head(bytes32)` in IAnchorLog: what anybody can ask by `eth_call`."""


@dataclass(frozen=True, slots=True)
class PublicChain:
    """A chain by the number wallets know it by."""

    chain_id: int
    name: str
    currency: str
    explorer: str


_KNOWN: Final = {
    chain.chain_id: chain
    for chain in (
        PublicChain(1, "Ethereum", "ETH", "https://etherscan.io"),
        PublicChain(10, "OP Mainnet", "ETH", "https://optimistic.etherscan.io"),
        PublicChain(56, "BNB Smart Chain", "BNB", "https://bscscan.com"),
        PublicChain(100, "Gnosis", "xDAI", "https://gnosisscan.io"),
        PublicChain(137, "Polygon", "POL", "https://polygonscan.com"),
        PublicChain(8_453, "Base", "ETH", "https://basescan.org"),
        PublicChain(42_161, "Arbitrum One", "ETH", "https://arbiscan.io"),
        PublicChain(59_144, "Linea", "ETH", "https://lineascan.build"),
        PublicChain(84_532, "Base Sepolia (test)", "test ETH", "https://base-sepolia.blockscout.com"),
        PublicChain(11_155_111, "Sepolia (test)", "test ETH", "https://sepolia.etherscan.io"),
    )
}


def is_private(chain_id: int) -> bool:
    """Whether a chain is in one party's hands: our own in a file, or a development node."""
    return chain_id in (EMBEDDED_CHAIN_ID, DEVELOPMENT_CHAIN_ID)


def name_of(chain_id: int) -> str:
    """Return a chain's name, or its number in words where we do not know it."""
    if chain_id == EMBEDDED_CHAIN_ID:
        return "the embedded chain"
    if chain_id == DEVELOPMENT_CHAIN_ID:
        return "a development chain"
    known = _KNOWN.get(chain_id)
    return known.name if known else f"chain {chain_id}"


def currency_of(chain_id: int) -> str:
    """Return what a chain's fees are paid in."""
    known = _KNOWN.get(chain_id)
    return known.currency if known else "play money" if is_private(chain_id) else "coins"


@dataclass(frozen=True, slots=True)
class Lookup:
    """Where a stranger sees one contract, and one transaction of it, without asking us. Empty where nowhere."""

    chain_id: int
    contract: str
    explorer: str

    @classmethod
    def of(cls, chain_id: int, contract: str, *, explorer: str = "") -> "Lookup":
        """Return the links for a chain; `explorer` is an installation's own choice for chains we do not know."""
        known = _KNOWN.get(chain_id)
        return cls(chain_id, contract, (explorer or (known.explorer if known else "")).rstrip("/"))

    @property
    def contract_url(self) -> str:
        """The contract's page (EIP-3091)."""
        return f"{self.explorer}/address/{self.contract}" if self.explorer else ""

    def transaction_url(self, tx_hash: str) -> str:
        """Return a transaction's page (EIP-3091)."""
        return f"{self.explorer}/tx/{tx_hash}" if self.explorer else ""


def head_call(contract: str, origin: str) -> dict[str, object]:
    """Return the JSON-RPC call that asks any node of the chain for the newest head of a log."""
    call = {"to": contract, "data": HEAD_SELECTOR + sha256(origin.encode()).hexdigest()}
    return {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, "latest"]}


def lookup_lines(chain_id: int, contract: str, origin: str, *, transaction: str, explorer: str = "") -> list[str]:
    """Return, line by line, how a stranger sees an anchor without asking us."""
    lookup = Lookup.of(chain_id, contract, explorer=explorer)
    if is_private(chain_id):
        lines = [f"{name_of(chain_id)} is in the operator's own hands: it shows order, and binds nobody else"]
    elif lookup.explorer:
        lines = [f"see it there: {lookup.transaction_url(transaction)}", f"and all of it: {lookup.contract_url}"]
    else:
        lines = []
    return [*lines, f"ask any node of {name_of(chain_id)}: {ask_yourself(contract, origin)}"]


def ask_yourself(contract: str, origin: str, *, url: str = "URL") -> str:
    """Return one shell command that asks a node of one's own choice. Three words come back: size, root, block."""
    return f"curl -H 'content-type: application/json' -d '{json.dumps(head_call(contract, origin))}' {url}"
