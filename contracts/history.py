"""The heads that one chain holds of a log, in one file that outlives the chain.

The file of a chain that was left is named in the log by its hash, so that a head on the next chain covers
it. With `next`, it also proves that each of its heads is extended by a head there: a proof file that names
the old chain can be checked on the new one, by anybody, without us.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from contracts.heads import AnchoredHead, log_id
from ledger import merkle
from ledger.canonical import canonical
from ledger.errors import VerificationError
from ledger.proof import Anchor

FORMAT: Final = "guoyuan-chain-history@1"
MAX_BYTES: Final = 256 * 1024 * 1024

_Hash = Annotated[str, Meta(pattern=r"^0x[0-9a-f]{64}$")]
_Address = Annotated[str, Meta(pattern=r"^0x[0-9a-fA-F]{40}$")]
_Root = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{43}=$")]
_Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class HeldHead(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One head as a chain announced it. `time` is its block's, in seconds since 1970; roots are base64."""

    block: _Count
    block_hash: _Hash
    extension: tuple[_Count, ...]
    """The proof that `next` extends it: positions in `hashes`."""
    previous_size: _Count
    root: _Root
    size: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    time: _Count
    transaction: _Hash


class NextHead(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A head on the chain that came after."""

    block: _Count
    chain_id: _Count
    contract: _Address
    root: _Root
    size: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    transaction: _Hash


class ChainHistory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every head of a log in one contract, the oldest first."""

    chain_id: _Count
    contract: _Address
    format: Annotated[str, Meta(pattern=f"^{FORMAT}$")]
    genesis: _Hash
    hashes: tuple[_Root, ...]
    heads: tuple[HeldHead, ...]
    next: NextHead | None
    origin: Annotated[str, Meta(min_length=1, max_length=200)]

    def encode(self) -> bytes:
        """Return the file: the RFC 8785 form of this."""
        return canonical(msgspec.to_builtins(self))

    @classmethod
    def parse(cls, data: bytes) -> "ChainHistory":
        """Return what a file says. Raises VerificationError."""
        if len(data) > MAX_BYTES:
            raise VerificationError("the history file is too large")
        try:
            found = msgspec.json.decode(data, type=cls)
            is_canonical = found.encode() == data
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
            raise VerificationError(f"this is not a history file: {error}") from error
        if not is_canonical:
            raise VerificationError("the history file is not in its one spelling")
        return found

    def holds(self, anchor: Anchor) -> bool:
        """Whether the file lists the head that a proof file names, in that contract and transaction."""
        return self._find(anchor) is not None

    def carry(self, anchor: Anchor) -> Anchor:
        """Return the head on the next chain that extends a listed one, as an anchor to ask that chain about.

        Raises VerificationError where the file does not list the head, or does not prove the extension.
        """
        head = self._find(anchor)
        if head is None:
            raise VerificationError("the history file does not list the head that the proof names")
        if self.next is None:
            raise VerificationError("the history file names no head on a later chain")
        if any(position >= len(self.hashes) for position in head.extension):
            raise VerificationError("the history file names hashes that it does not hold")
        path = [base64.b64decode(self.hashes[position]) for position in head.extension]
        first, second = base64.b64decode(head.root), base64.b64decode(self.next.root)
        merkle.verify_consistency(head.size, self.next.size, first, second, path)
        return Anchor(
            block=self.next.block,
            chain_id=self.next.chain_id,
            consistency=(),
            contract=self.next.contract,
            log_id=anchor.log_id,
            root=self.next.root,
            size=self.next.size,
            transaction=self.next.transaction,
        )

    def _find(self, anchor: Anchor) -> HeldHead | None:
        here = (self.chain_id, self.contract.lower(), "0x" + log_id(self.origin).hex())
        if (anchor.chain_id, anchor.contract.lower(), anchor.log_id) != here:
            return None
        wanted = (anchor.size, anchor.root, anchor.transaction, anchor.block)
        return next((one for one in self.heads if (one.size, one.root, one.transaction, one.block) == wanted), None)


def export(
    heads: Sequence[tuple[AnchoredHead, int]],
    *,
    origin: str,
    chain_id: int,
    genesis: str,
    contract: str,
) -> ChainHistory:
    """Return the history of heads, each with its block's time."""
    return ChainHistory(
        chain_id=chain_id,
        contract=contract,
        format=FORMAT,
        genesis=genesis,
        hashes=(),
        heads=tuple(
            HeldHead(
                block=head.block,
                block_hash="0x" + head.block_hash.hex(),
                extension=(),
                previous_size=head.previous_size,
                root=base64.b64encode(head.root).decode(),
                size=head.size,
                time=time,
                transaction="0x" + head.tx_hash.hex(),
            )
            for head, time in heads
        ),
        next=None,
        origin=origin,
    )


def bridged(history: ChainHistory, after: NextHead, consistency: Callable[[int, int], Sequence[bytes]]) -> ChainHistory:
    """Return a history with the proof that a head on a later chain extends each of its own."""
    positions: dict[bytes, int] = {}
    heads = []
    for head in history.heads:
        path = consistency(head.size, after.size) if head.size < after.size else ()
        steps = tuple(positions.setdefault(one, len(positions)) for one in path)
        heads.append(msgspec.structs.replace(head, extension=steps))
    hashes = tuple(base64.b64encode(one).decode() for one in positions)
    return msgspec.structs.replace(history, heads=tuple(heads), hashes=hashes, next=after)
