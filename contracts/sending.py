"""Transactions for anchors: signed, kept, sent, sent again, and replaced by dearer ones at the same nonce."""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from contracts.chain import Chain
from contracts.errors import NonceSpentError, UnderpricedError
from contracts.keys import PublisherKey
from contracts.models import Anchor, AnchorState, Attempt
from contracts.outbox import UNSETTLED, TreeHead
from contracts.transactions import Fees, SignedTransaction, raise_fees
from ledger.kernel.database import Database

_log = logging.getLogger(__name__)

_GAS_MARGIN_PERCENT: Final = 125
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
        self, chain: Chain, key: PublisherKey, *, log_id: bytes, tree: Tree, stuck_after: timedelta, fee_cap_wei: int
    ) -> None:
        self._chain = chain
        self._key = key
        self._log_id = log_id
        self._tree = tree
        self._stuck_after = stuck_after
        self._fee_cap_wei = fee_cap_wei

    def sign(self, head: TreeHead, proof: Sequence[bytes]) -> Signed:
        """Return a signed anchor of a head, sent nowhere. Raises CallRefusedError where it would be refused."""
        nonce, asked = self._chain.nonce(self._key.address), self._chain.fees()
        fees = Fees(min(asked.max_wei, self._fee_cap_wei), min(asked.priority_wei, self._fee_cap_wei))
        data = self._chain.anchor_call(self._log_id, size=head.size, root=head.root, proof=proof)
        gas = self._chain.preflight(data, sender=self._key.address) * _GAS_MARGIN_PERCENT // 100
        return Signed(self._chain.sign(self._key, data=data, nonce=nonce, gas=gas, fees=fees), nonce, gas, fees)

    def send(self, db: Database, row: Anchor, newest: Attempt, *, now: datetime) -> None:
        """Send the newest attempt, again where the chain lost it, and a dearer one where it is stuck."""
        if newest.broadcast_at is not None and self._chain.knows(newest.tx_hash):
            if self._is_stuck(newest, now):
                self._send_dearer(db, row, newest, now=now)
            return
        try:
            self._send_attempt(db, row, newest, now=now)
        except UnderpricedError:
            # The price rose past what was signed, or a dearer attempt is known after all.
            if self._is_stuck(newest, now):
                self._send_dearer(db, row, newest, now=now)

    def _send_dearer(self, db: Database, row: Anchor, stuck: Attempt, *, now: datetime) -> None:
        replacement = self._replace(db, row, stuck, now=now)
        if replacement is not None:
            with contextlib.suppress(UnderpricedError):  # it rose again; the next round raises once more
                self._send_attempt(db, row, replacement, now=now)

    def _send_attempt(self, db: Database, row: Anchor, attempt: Attempt, *, now: datetime) -> None:
        """Send the bytes that were kept, and write down that they are sent. Raises UnderpricedError."""
        block = self._chain.block_number()
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

    def _is_stuck(self, attempt: Attempt, now: datetime) -> bool:
        if now - (attempt.broadcast_at or attempt.signed_at) < self._stuck_after:
            return False
        # Never sent at all: the price rose before it could be, which only new blocks can have done.
        sent_at = attempt.broadcast_block
        return sent_at is None or self._chain.block_number() - sent_at >= _PATIENT_BLOCKS

    def _replace(self, db: Database, row: Anchor, stuck: Attempt, *, now: datetime) -> Attempt | None:
        """Sign the same anchor at the same nonce for more, and keep it. None where it would pass the cap."""
        fees = raise_fees(Fees(stuck.max_fee_wei, stuck.priority_fee_wei), self._chain.fees())
        if fees.max_wei > self._fee_cap_wei:
            _log.warning("anchor of %d leaves waits: its fee would pass the cap", row.size)
            return None
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
    """Return the transactions signed under the row's nonce, oldest first."""
    wanted = select(Attempt).where(Attempt.anchor_id == row.id, Attempt.nonce == row.nonce)
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
