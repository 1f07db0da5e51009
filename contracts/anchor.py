"""Heads into the chain, each exactly once, whatever is killed, lost or reorganised on the way.

    signed -> broadcast -> included -> final

A transaction is kept before it is sent, so a restart sends the same bytes again, and the chain takes
them once. A head has one row and an account's nonce one row; where that is not enough, because two
installations share a key by mistake, the contract takes a head only once. No database transaction is
open while the chain is asked.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum, auto

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from contracts.chain import Chain
from contracts.errors import (
    CallRefusedError,
    ChainMismatchError,
    ForkedHeadError,
)
from contracts.heads import AnchoredHead, Head, Place, log_id
from contracts.keys import PublisherKey
from contracts.models import Anchor, AnchorState, Attempt
from contracts.outbox import UNSETTLED, TreeHead, anchors, unsettled
from contracts.sending import Sender, Signed, Tree, attempts_of, new_attempt
from contracts.transactions import Receipt
from ledger import tree as ledger_tree
from ledger.errors import LogInconsistentError
from ledger.kernel.database import Database
from ledger.kernel.settings import Settings

_log = logging.getLogger(__name__)


class Step(Enum):
    """What to do about a head."""

    SIGN = auto()
    ADOPT = auto()
    """It is in the chain, and our database does not know."""
    WAIT = auto()
    """An earlier one is on its way."""
    DONE = auto()


def next_step(head: TreeHead, *, chain_head: Head, rows: Sequence[Anchor]) -> Step:
    """Decide what a published head needs, from the contract's newest head and our newest rows."""
    if any(row.state in (AnchorState.SIGNED, AnchorState.BROADCAST) for row in rows):
        return Step.WAIT
    if any(row.state in UNSETTLED and row.size > chain_head.size for row in rows):
        return Step.WAIT  # reorganised away: it goes first again
    if head.size > chain_head.size:
        return Step.SIGN
    known = any(row.size == head.size and row.state is not AnchorState.REFUSED for row in rows)
    return Step.DONE if known or head.size < chain_head.size else Step.ADOPT


class Anchorer:
    """Brings the heads of one log into the contract. One of them runs at a time; two do no harm."""

    def __init__(
        self,
        chain: Chain,
        key: PublisherKey,
        *,
        origin: str,
        confirmations: int = 1,
        tree: Tree = ledger_tree,
        stuck_after: timedelta = timedelta(minutes=3),
        fee_cap_wei: int = 10**12,
    ) -> None:
        self._chain = chain
        self._key = key
        self._origin = origin
        self._log_id = log_id(origin)
        self._confirmations = confirmations
        self._tree = tree
        self._sender = Sender(
            chain, key, log_id=self._log_id, tree=tree, stuck_after=stuck_after, fee_cap_wei=fee_cap_wei
        )
        self._is_ready = False

    @classmethod
    def open(cls, settings: Settings, chain: Chain) -> "Anchorer":
        """Return the anchorer an installation's settings describe."""
        key = PublisherKey.open(settings)
        return cls(chain, key, origin=settings.log_origin, confirmations=settings.chain_confirmations)

    @property
    def place(self) -> Place:
        """Where this anchors; only what is on its way there concerns it. Raises ChainError before `prepare`."""
        return Place(self._chain.chain_id, self._chain.address)

    def prepare(self) -> str:
        """Return the contract's address, deploying it and opening our log in it where that is still to do.

        Safe to repeat and to kill. Raises ChainError.
        """
        if self._is_ready:
            return self._chain.address
        self._chain.take_play_money(self._key.address)
        address = self._chain.deploy_if_absent(self._key)
        self._chain.open_log_if_absent(self._key, self._log_id)
        self._is_ready = True
        return address

    def anchor(self, db: Database, head: TreeHead, *, now: datetime) -> Anchor | None:
        """Bring a published head as far into the chain as one call can; calling again goes on from there.

        Return its row, or None where nothing was to do. Raises ChainError; what was kept stays kept.
        """
        self.advance(db, now=now)
        if self.plan(db, head, now=now) is not None:
            self.advance(db, now=now)
        with db.read() as session:
            return self._row_of(session, head.size)

    def plan(self, db: Database, head: TreeHead, *, now: datetime) -> Anchor | None:
        """Sign an anchor for a published head and keep it, sending nothing yet. None where nothing is to sign.

        Raises ForkedHeadError when the chain holds a head that our log does not have.
        """
        self.prepare()
        chain_head = self._chain.head(self._log_id)
        with db.read() as session:
            rows = anchors(session, origin=self._origin, place=self.place, limit=50)
            self._require_ours(session, chain_head)
            step = next_step(head, chain_head=chain_head, rows=rows)
            extends = step is Step.SIGN and chain_head.size > 0
            proof = self._tree.consistency(session, chain_head.size, head.size) if extends else []
        if step is Step.ADOPT:
            return self._adopt(db, head, now=now)
        if step is not Step.SIGN:
            return None
        try:
            signed = self._sender.sign(head, proof)
        except CallRefusedError as error:
            if error.name == "HeadNotNewer":  # another process was faster, between the question and now
                return None
            raise
        return self._keep(db, head, signed, previous_size=chain_head.size, now=now)

    def advance(self, db: Database, *, now: datetime) -> list[Anchor]:
        """Bring every anchor on its way as far as the chain allows, and return those rows as they were found.

        Safe to call at any time, from anywhere, as often as wanted. Raises ChainError.
        """
        with db.read() as session:
            if not unsettled(session, origin=self._origin):
                return []
        self.prepare()
        with db.read() as session:
            rows = unsettled(session, origin=self._origin, place=self.place)
            attempts = {row.id: attempts_of(session, row) for row in rows}
        for row in rows:
            self._advance_one(db, row, attempts[row.id], now=now)
        return rows

    def _advance_one(self, db: Database, row: Anchor, attempts: Sequence[Attempt], *, now: datetime) -> None:
        hashes = [attempt.tx_hash for attempt in attempts] or [row.tx_hash or b""]
        receipt = self._receipt(hashes)
        if receipt is None and row.nonce is not None and self._chain.nonce(self._key.address) > row.nonce:
            receipt = self._receipt(hashes)  # it may have gone in between the two questions
            if receipt is None:
                self._nonce_spent(db, row, now=now)
                return
        if receipt is None and not attempts:
            self._leave(db, row, AnchorState.REFUSED)  # adopted, and reorganised away: nothing here to send again
        elif receipt is None:
            self._sender.send(db, row, attempts[-1], now=now)
            receipt = self._receipt(hashes)
        if receipt is not None:
            self._settle(db, row, receipt, now=now)

    def _receipt(self, hashes: Sequence[bytes]) -> Receipt | None:
        return next((found for one in reversed(hashes) if (found := self._chain.receipt(one)) is not None), None)

    def _settle(self, db: Database, row: Anchor, receipt: Receipt, *, now: datetime) -> None:
        """Write down the block that holds an anchor, and whether it is deep enough."""
        wanted = (self._log_id, row.size, row.root)
        if receipt.succeeded and not any((one.log_id, one.size, one.root) == wanted for one in receipt.heads):
            raise ChainMismatchError(f"the chain says 0x{receipt.tx_hash.hex()} anchored, and shows no such head")
        state = AnchorState.INCLUDED if receipt.succeeded else AnchorState.REFUSED
        if receipt.succeeded and receipt.block <= self._settled_block():
            # Asked last: a reorganisation between the questions shows as another hash at this height.
            if self._chain.block_hash(receipt.block) != receipt.block_hash:
                return
            state = AnchorState.FINAL
        if (row.state, row.block_hash, row.tx_hash) == (state, receipt.block_hash, receipt.tx_hash):
            return
        with db.write() as session:
            anchor = session.get_one(Anchor, row.id)
            if anchor.state not in UNSETTLED:
                return
            anchor.state, anchor.tx_hash = state, receipt.tx_hash
            anchor.block_number, anchor.block_hash = receipt.block, receipt.block_hash
            anchor.gas_used, anchor.fee_wei = receipt.gas_used, receipt.fee_wei
            anchor.broadcast_at, anchor.included_at = anchor.broadcast_at or now, anchor.included_at or now
            if state is AnchorState.FINAL:
                anchor.final_at = now
            session.add(anchor)
        if state is AnchorState.REFUSED:
            _log.warning("the contract refused the anchor of %d leaves in 0x%s", row.size, receipt.tx_hash.hex())

    def _nonce_spent(self, db: Database, row: Anchor, *, now: datetime) -> None:
        """Decide about an anchor whose nonce went to a transaction that is not in our outbox."""
        event = self._chain.find_anchor(self._log_id, row.size)
        if event is not None:
            receipt = self._receipt([self._same_root(event, row.root).tx_hash])
            if receipt is not None:
                self._settle(db, row, receipt, now=now)
            return
        if self._chain.head(self._log_id).size > row.size:
            self._leave(db, row, AnchorState.SUPERSEDED)
        elif self._chain.nonce(self._key.address, block=self._settled_block()) > (row.nonce or 0):
            # Only now: while the other transaction can still be reorganised away, ours could still go in.
            self._leave(db, row, AnchorState.REFUSED)

    def _settled_block(self) -> int:
        return self._chain.settled_block(confirmations=self._confirmations)

    def _leave(self, db: Database, row: Anchor, state: AnchorState) -> None:
        _log.warning("nonce %s was spent outside the outbox; the anchor of %d leaves is %s", row.nonce, row.size, state)
        with db.write() as session:
            anchor = session.get_one(Anchor, row.id)
            if anchor.state in UNSETTLED:
                anchor.state = state
                session.add(anchor)

    def _adopt(self, db: Database, head: TreeHead, *, now: datetime) -> Anchor | None:
        """Take up an anchor that is in the chain and not in our database: it was put back, or another sent it."""
        event = self._chain.find_anchor(self._log_id, head.size)
        if event is None:
            raise ChainMismatchError(f"the contract holds {head.size} leaves, and no event says who anchored them")
        self._same_root(event, head.root)
        with db.write() as session:
            anchor = self._row_of(session, head.size) or self._new_row(head, now=now)
            anchor.state, anchor.tx_hash, anchor.nonce = AnchorState.INCLUDED, event.tx_hash, None
            anchor.previous_size = event.previous_size
            session.add(anchor)
        return anchor

    def _keep(
        self, db: Database, head: TreeHead, signed: Signed, *, previous_size: int, now: datetime
    ) -> Anchor | None:
        """Keep a signed anchor, in one transaction. None where another process kept one first."""
        try:
            with db.write() as session:
                waiting = unsettled(session, origin=self._origin, place=self.place)
                if any(row.state is not AnchorState.INCLUDED for row in waiting):
                    return None
                anchor = self._row_of(session, head.size) or self._new_row(head, now=now)
                if anchor.id is not None and anchor.state is not AnchorState.REFUSED:
                    return None
                anchor.state, anchor.signed_at, anchor.previous_size = AnchorState.SIGNED, now, previous_size
                anchor.nonce, anchor.tx_hash = signed.nonce, signed.transaction.tx_hash
                session.add(anchor)
                session.flush()
                session.add(new_attempt(signed, anchor, now))
        except IntegrityError:
            return None  # the head or the nonce has its row already
        return anchor

    def _row_of(self, session: Session, size: int) -> Anchor | None:
        place = self.place
        wanted = select(Anchor).where(Anchor.log_origin == self._origin, Anchor.size == size)
        wanted = wanted.where(Anchor.chain_id == place.chain_id, Anchor.contract == place.contract)
        return session.exec(wanted.with_for_update()).one_or_none()

    def _new_row(self, head: TreeHead, *, now: datetime) -> Anchor:
        return Anchor(
            log_origin=self._origin,
            size=head.size,
            root=head.root,
            previous_size=0,
            state=AnchorState.SIGNED,
            signed_at=now,
            chain_id=self._chain.chain_id,
            contract=self._chain.address,
            sender=self._key.address,
        )

    def _require_ours(self, session: Session, chain_head: Head) -> None:
        """Raise ForkedHeadError unless our log has the contract's newest head."""
        if chain_head.size == 0:
            return
        try:
            ours = self._tree.root(session, chain_head.size)
        except LogInconsistentError as error:
            raise ForkedHeadError(
                f"the contract holds a head of {chain_head.size} leaves, and our log is shorter or damaged: "
                "was the database put back?",
                size=chain_head.size,
                root=chain_head.root,
            ) from error
        if ours != chain_head.root:
            raise ForkedHeadError(
                f"our first {chain_head.size} leaves are not those the contract holds",
                size=chain_head.size,
                root=chain_head.root,
            )

    @staticmethod
    def _same_root(event: AnchoredHead, root: bytes) -> AnchoredHead:
        if event.root != root:
            raise ForkedHeadError(
                f"the chain holds another head of {event.size} leaves than ours", size=event.size, root=event.root
            )
        return event
