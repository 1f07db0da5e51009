"""Transactions for anchors: signed, kept, sent, sent again, and replaced by dearer ones at the same nonce."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from contracts.chain import Chain
from contracts.errors import FeeCapError, NonceSpentError, UnderpricedError
from contracts.keys import PublisherKey
from contracts.models import Anchor, AnchorState, Attempt
from contracts.outbox import UNSETTLED, TreeHead
from contracts.policy import BlockFee
from contracts.transactions import GWEI, Fees, SignedTransaction, raise_fees
from ledger.kernel.database import Database

_GAS_MARGIN_PERCENT: Final = 125
_LEAST_GAS: Final = 120_000
"""Above what any anchor of a log of 2^53 leaves takes."""
_MOST_GAS: Final = 400_000
_NO_BLOCK: Final = 2**62
_FEE_HOLDS: Final = timedelta(seconds=10)
_RECENT_BLOCKS: Final = 1_024
"""As many as a node answers at once; three and a half hours where a block comes every twelve seconds."""
_PATIENT_BLOCKS: Final = 3
"""Blocks that must pass a transaction by before it counts as stuck."""


class Tree(Protocol):
    """What anchoring asks of the log. `ledger.tree` is one."""

    def root(self, session: Session, size: int) -> bytes:
        """Return the root of the first `size` leaves. Raises LogInconsistentError where there are fewer."""
        ...

    def consistency(self, session: Session, first: int, second: int) -> Sequence[bytes]:
        """Return the RFC 9162 proof that the tree of `second` leaves extends the tree of `first`."""
        ...


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed transaction and what it offers to pay."""

    transaction: SignedTransaction
    nonce: int
    gas: int
    fees: Fees


class Sender:
    """Signs and sends what anchors one log, from one account."""

    def __init__(
        self, chain: Chain, key: PublisherKey, *, log_id: bytes, tree: Tree, stuck_after: timedelta, caps: Fees
    ) -> None:
        self._chain = chain
        self._key = key
        self._log_id = log_id
        self._tree = tree
        self._stuck_after = stuck_after
        self._caps = caps
        self._fee: tuple[datetime, BlockFee] | None = None

    def block_fee(self, now: datetime) -> BlockFee:
        """Return what the next block asks and what recent ones asked; asked of the chain every few seconds at most."""
        if self._fee is None or abs(now - self._fee[0]) >= _FEE_HOLDS:
            self._fee = now, self._ask_fee()
        return self._fee[1]

    def _ask_fee(self) -> BlockFee:
        asked = self._chain.fees()
        base = (asked.max_wei - asked.priority_wei) // 2
        if base == 0:  # a chain with one price
            return BlockFee(asked.max_wei, 0)
        said = self._chain.ask("eth_feeHistory", [hex(_RECENT_BLOCKS), "latest", []]).get("result")
        try:
            recent = tuple(int(one, 16) for one in said["baseFeePerGas"][:_RECENT_BLOCKS]) if said else ()
        except (KeyError, TypeError, ValueError):
            recent = ()  # the embedded chain keeps none; a strange answer is none
        return BlockFee(base, min(asked.priority_wei, self._caps.priority_wei), recent)

    def sign(self, head: TreeHead, proof: Sequence[bytes], *, nonce: int) -> Signed:
        """Return a signed anchor of a head, sent nowhere. Raises CallRefusedError where it would be refused."""
        fees = self._chain.fees().at_most(self._caps)
        data = self._chain.anchor_call(self._log_id, size=head.size, root=head.root, proof=proof)
        needed = self._chain.preflight(data, sender=self._key.address) * _GAS_MARGIN_PERCENT // 100
        # What is not used is not paid; a node that says less than an anchor takes would have us pay for a failure.
        gas = min(max(needed, _LEAST_GAS), _MOST_GAS)
        return Signed(self._chain.sign(self._key, data=data, nonce=nonce, gas=gas, fees=fees), nonce, gas, fees)

    def send(self, db: Database, row: Anchor, newest: Attempt, *, now: datetime) -> None:
        """Send the newest attempt, again where the chain lost it, and a dearer one where it is stuck."""
        if newest.broadcast_at is not None and self._chain.knows(newest.tx_hash):
            if self.is_stuck(newest, now):
                self._send_dearer(db, row, newest, now=now)
            return
        try:
            self._send_attempt(db, row, newest, now=now)
        except UnderpricedError:
            # The price rose past what was signed, or a dearer attempt is known after all.
            if self.is_stuck(newest, now):
                self._send_dearer(db, row, newest, now=now)

    def _send_dearer(self, db: Database, row: Anchor, stuck: Attempt, *, now: datetime) -> None:
        # A node may say it holds what it dropped: the same bytes cost nothing.
        with contextlib.suppress(UnderpricedError):
            self._send_attempt(db, row, stuck, now=now)
        if row.sender != self._key.address:
            return  # signed by the publisher before this one
        replacement = self._replace(db, row, stuck, now=now)
        if replacement is not None:
            with contextlib.suppress(UnderpricedError):  # it rose again; the next round raises once more
                self._send_attempt(db, row, replacement, now=now)

    def _send_attempt(self, db: Database, row: Anchor, attempt: Attempt, *, now: datetime) -> None:
        """Send the bytes that were kept, and write down that they are sent. Raises UnderpricedError."""
        block = min(max(self._chain.block_number(), 0), _NO_BLOCK)
        try:
            self._chain.send_raw(attempt.raw_tx)
        except NonceSpentError:
            return  # another attempt is in a block by now; the next round finds it
        with db.write() as session:
            sent, anchor = session.get_one(Attempt, attempt.id), session.get_one(Anchor, row.id)
            if sent.broadcast_at is None:
                sent.broadcast_at, sent.broadcast_block = now, block
            if anchor.state in UNSETTLED:
                anchor.state, anchor.broadcast_at = AnchorState.BROADCAST, anchor.broadcast_at or now
                anchor.block_number = anchor.block_hash = anchor.included_at = None
            session.add_all([sent, anchor])

    def is_stuck(self, attempt: Attempt, now: datetime) -> bool:
        """Whether blocks have passed a transaction by, for longer than patience lasts."""
        if now - (attempt.broadcast_at or attempt.signed_at) < self._stuck_after:
            return False
        # Never sent at all: the price rose before it could be, which only new blocks can have done.
        sent_at = attempt.broadcast_block
        if sent_at is None:
            return True
        passed = self._chain.block_number() - sent_at
        return passed >= _PATIENT_BLOCKS or passed < 0  # fewer blocks than before: one of the two was not true

    def _replace(self, db: Database, row: Anchor, stuck: Attempt, *, now: datetime) -> Attempt | None:
        """Sign the same anchor at the same nonce for more, and keep it. Raises FeeCapError where it may not be more."""
        paid = Fees(stuck.max_fee_wei, stuck.priority_fee_wei)
        fees = raise_fees(paid, self._chain.fees(), caps=self._caps)
        if fees is None:
            raise FeeCapError(
                f"the anchor of {row.size} leaves waits at {paid.max_wei / GWEI:g} gwei: an eighth more passes "
                "GUOYUAN_MAX_FEE_GWEI or GUOYUAN_MAX_PRIORITY_FEE_GWEI"
            )
        with db.read() as session:
            proof = self._tree.consistency(session, row.previous_size, row.size) if row.previous_size else []
        data = self._chain.anchor_call(self._log_id, size=row.size, root=row.root, proof=proof)
        signed = self._chain.sign(self._key, data=data, nonce=stuck.nonce, gas=stuck.gas, fees=fees)
        attempt = new_attempt(Signed(signed, stuck.nonce, stuck.gas, fees), row, now)
        try:
            with db.write() as session:
                anchor = session.get_one(Anchor, row.id)
                anchor.tx_hash = signed.tx_hash
                session.add_all([attempt, anchor])
        except IntegrityError:
            return None  # another process signed the very same replacement
        return attempt


def attempts_of(session: Session, row: Anchor) -> list[Attempt]:
    """Return the transactions ever signed for a row, oldest first; those of its present nonce share that."""
    wanted = select(Attempt).where(Attempt.anchor_id == row.id)
    return list(session.exec(wanted.order_by(col(Attempt.id))))


def new_attempt(signed: Signed, anchor: Anchor, now: datetime) -> Attempt:
    """Return the row that keeps a signed transaction."""
    return Attempt(
        anchor_id=anchor.id or 0,
        nonce=signed.nonce,
        raw_tx=signed.transaction.raw,
        tx_hash=signed.transaction.tx_hash,
        max_fee_wei=signed.fees.max_wei,
        priority_fee_wei=signed.fees.priority_wei,
        gas=signed.gas,
        signed_at=now,
    )
