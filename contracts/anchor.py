"""Heads into the chain, each exactly once, whatever is killed, lost, reorganised or lied about on the way.

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
from typing import Final

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, func, select

from contracts import evidence
from contracts.chain import Chain, deployment_file
from contracts.errors import CallRefusedError, ChainMismatchError, FeeCapError, ForkedHeadError
from contracts.heads import AnchoredHead, Head, Place, log_id
from contracts.keys import PublisherKey
from contracts.models import Anchor, AnchorState, Attempt
from contracts.outbox import ON_ITS_WAY, UNSETTLED, TreeHead, anchors, backlog, unsettled
from contracts.policy import Policy, Reason, choose
from contracts.sending import Sender, Signed, Tree, attempts_of, new_attempt
from contracts.transactions import GWEI, Fees, Receipt
from ledger import tree as ledger_tree
from ledger.errors import LogInconsistentError
from ledger.kernel.database import Database
from ledger.kernel.settings import Settings
from ledger.models import Checkpoint

_log = logging.getLogger(__name__)

DEFAULT_CAPS: Final = Fees(max_wei=200 * GWEI, priority_wei=30 * GWEI)
_WATCHED: Final = 10
"""Final anchors looked at again, newest first, until one still stands."""
_GAP: Final = 1_000
"""More missing nonces than this are not counted one by one."""


class Step(Enum):
    """What to do about a head."""

    SIGN = auto()
    WAIT = auto()
    """An earlier one is on its way."""
    DONE = auto()


def next_step(head: TreeHead, *, chain_head: Head, rows: Sequence[Anchor]) -> Step:
    """Decide what a published head needs, from the contract's newest head and our newest rows."""
    if any(row.state in (AnchorState.SIGNED, AnchorState.BROADCAST) for row in rows):
        return Step.WAIT
    if any(row.state in UNSETTLED and row.size > chain_head.size for row in rows):
        return Step.WAIT  # reorganised away: it goes first again
    return Step.SIGN if head.size > chain_head.size else Step.DONE


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
        caps: Fees = DEFAULT_CAPS,
        second_door: Chain | None = None,
    ) -> None:
        self._chain = chain
        self._key = key
        self._origin = origin
        self._log_id = log_id(origin)
        self._confirmations = confirmations
        self._tree = tree
        self._second_door = second_door
        self._sender = Sender(chain, key, log_id=self._log_id, tree=tree, stuck_after=stuck_after, caps=caps)
        self._is_ready = False

    @classmethod
    def open(cls, settings: Settings, chain: Chain) -> "Anchorer":
        """Return the anchorer an installation's settings describe."""
        second: Chain | None = None
        if settings.chain_url and settings.chain_check_url:
            second = Chain.connect(settings.chain_check_url, deployment=deployment_file(settings))
        return cls(
            chain,
            PublisherKey.open(settings),
            origin=settings.log_origin,
            confirmations=settings.chain_confirmations,
            caps=Fees(round(settings.max_fee_gwei * GWEI), round(settings.max_priority_fee_gwei * GWEI)),
            second_door=second,
        )

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

    def tend(self, db: Database, policy: Policy, *, now: datetime) -> Anchor | None:
        """Bring on what is on its way, and anchor what the policy says is due. Return that row, or None.

        Raises ChainError; FeeCapError where it is time and a block costs more than may be paid.
        """
        self.advance(db, now=now)
        self.prepare()
        with db.read() as session:
            waiting = unsettled(session, origin=self._origin, place=self.place)
            behind = backlog(session, origin=self._origin, place=self.place)
        if any(row.state is not AnchorState.INCLUDED for row in waiting):
            return None
        choice = choose(policy, behind, fee=None, now=now)
        if choice.asks_fee:
            choice = choose(policy, behind, fee=self._sender.block_fee(now), now=now)
        if choice.reason is Reason.TOO_DEAR:
            raise FeeCapError("a block costs more than GUOYUAN_MAX_FEE_GWEI: the anchor that is due waits")
        if choice.size is None:
            return None
        with db.read() as session:
            head = session.get_one(Checkpoint, choice.size)
        _log.info("anchoring %d leaves: %s", head.size, choice.reason)
        return self.anchor(db, head, now=now)

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
        evidence.require_same_chain(self._chain)
        chain_head = self._chain.head(self._log_id)
        self._doubt(db, chain_head)
        with db.read() as session:
            # Before the rows: a number that another process takes in between is then one of a row we wait for.
            used = _last_nonce(session, self._chain.chain_id, self._key.address)
            rows = anchors(session, origin=self._origin, place=self.place, limit=50)
            self._require_ours(session, chain_head)
            step = next_step(head, chain_head=chain_head, rows=rows)
            is_known = any(row.size == chain_head.size and row.state in ON_ITS_WAY for row in rows)
            extends = step is Step.SIGN and chain_head.size > 0
            proof = self._tree.consistency(session, chain_head.size, head.size) if extends else []
        adopted: Anchor | None = None
        if chain_head.size > 0 and not is_known and step is not Step.WAIT:
            adopted = self._adopt(db, chain_head, now=now)
        if step is not Step.SIGN:
            return adopted
        nonce = self._next_nonce(used)
        if nonce is None:
            return None
        try:
            signed = self._sender.sign(head, proof, nonce=nonce)
        except CallRefusedError as error:
            # Another process was faster, between the question and now; the proof was from the head before its own.
            if error.name == "HeadNotNewer" or self._chain.head(self._log_id) != chain_head:
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
        evidence.require_same_chain(self._chain)
        with db.read() as session:
            rows = unsettled(session, origin=self._origin, place=self.place)
            attempts = {row.id: attempts_of(session, row) for row in rows}
        for row in rows:
            self._advance_one(db, row, attempts[row.id], now=now)
        return rows

    def watch(self, db: Database) -> None:
        """Look whether what counted as final is still in the chain; what is not is on its way again.

        A reorganisation deeper than the configured depth is the chain's broken word, and none of ours: the same
        bytes are sent again. Raises ChainError.
        """
        self.prepare()
        evidence.require_same_chain(self._chain)
        self._doubt(db, self._chain.head(self._log_id))
        with db.read() as session:
            rows = anchors(session, origin=self._origin, place=self.place, limit=_WATCHED)
        for row in rows:
            if row.state is not AnchorState.FINAL or row.block_number is None:
                continue
            if self._chain.block_hash(row.block_number) == row.block_hash:
                return
            if self._chain.block_number() > row.block_number:
                self._send_back(db, row)

    def _advance_one(self, db: Database, row: Anchor, attempts: Sequence[Attempt], *, now: datetime) -> None:
        ours = [attempt for attempt in attempts if attempt.nonce == row.nonce]
        receipt = self._receipt(row, attempts)
        if receipt is None and row.state is AnchorState.INCLUDED and attempts:
            self._send_back(db, row)
        due = self._chain.nonce(row.sender) if receipt is None and row.nonce is not None else None
        if due is not None and row.nonce is not None and due > row.nonce:
            receipt = self._receipt(row, attempts)  # it may have gone in between the two questions
            if receipt is None:
                self._nonce_spent(db, row, ours, now=now)
                return
        if receipt is None and not ours:
            self._leave(db, row, AnchorState.REFUSED)  # adopted, and reorganised away: nothing here to send again
        elif receipt is None:
            if due is not None and self._is_beyond_reach(db, row, ours[-1], due=due, now=now):
                self._leave(db, row, AnchorState.REFUSED)
                return
            self._sender.send(db, row, ours[-1], now=now)
            receipt = self._receipt(row, attempts)
        if receipt is not None:
            self._settle(db, row, receipt, now=now)

    def _receipt(self, row: Anchor, attempts: Sequence[Attempt]) -> Receipt | None:
        """Return the receipt of whatever anchored a row, or of what failed under its present nonce."""
        hashes = [attempt.tx_hash for attempt in reversed(attempts)]
        if row.tx_hash is not None and row.tx_hash not in hashes:
            hashes.append(row.tx_hash)  # a stranger's, which anchored this very head
        found = evidence.receipt_of(self._chain, hashes)
        is_past = any(one.tx_hash == found.tx_hash and one.nonce != row.nonce for one in attempts) if found else False
        return None if found is not None and is_past and not found.succeeded else found

    def _settle(self, db: Database, row: Anchor, receipt: Receipt, *, now: datetime) -> None:
        """Write down the block that holds an anchor, and whether it is deep enough."""
        if receipt.succeeded and not evidence.shows_head(receipt, row, name=self._log_id):
            raise ChainMismatchError(f"the chain says 0x{receipt.tx_hash.hex()} anchored, and shows no such head")
        state = AnchorState.INCLUDED if receipt.succeeded else AnchorState.REFUSED
        nonce = self._nonce_of(db, row, receipt)
        if receipt.succeeded and self._is_final(row, receipt, nonce=nonce):
            state = AnchorState.FINAL
        if not receipt.succeeded and not self._has_failed(receipt):
            return
        if (row.state, row.block_hash, row.tx_hash) == (state, receipt.block_hash, receipt.tx_hash):
            return
        with db.write() as session:
            anchor = session.get_one(Anchor, row.id)
            if anchor.state not in UNSETTLED:
                return
            anchor.state, anchor.tx_hash, anchor.nonce = state, receipt.tx_hash, nonce
            anchor.block_number, anchor.block_hash = receipt.block, receipt.block_hash
            anchor.gas_used, anchor.fee_wei = receipt.gas_used, receipt.fee_wei
            anchor.broadcast_at, anchor.included_at = anchor.broadcast_at or now, anchor.included_at or now
            if state is AnchorState.FINAL:
                anchor.final_at = now
            session.add(anchor)
        if state is AnchorState.REFUSED:
            _log.warning("the contract refused the anchor of %d leaves in 0x%s", row.size, receipt.tx_hash.hex())

    def _is_final(self, row: Anchor, receipt: Receipt, *, nonce: int | None) -> bool:
        doors = [self._chain] if self._second_door is None else [self._chain, self._second_door]
        return all(
            evidence.is_final(door, row, receipt, name=self._log_id, nonce=nonce, confirmations=self._confirmations)
            for door in doors
        )

    def _has_failed(self, receipt: Receipt) -> bool:
        """Whether a refusal stands so deep that no reorganisation can make it a success."""
        is_deep = evidence.is_deep(self._chain, receipt.block, confirmations=self._confirmations)
        return is_deep and self._chain.block_hash(receipt.block) == receipt.block_hash

    @staticmethod
    def _nonce_of(db: Database, row: Anchor, receipt: Receipt) -> int | None:
        """Return the row's nonce if it is the one that counted; None for a stranger's transaction, or an older one."""
        with db.read() as session:
            wanted = select(Attempt.nonce).where(Attempt.anchor_id == row.id, Attempt.tx_hash == receipt.tx_hash)
            return row.nonce if session.exec(wanted).one_or_none() == row.nonce else None

    def _nonce_spent(self, db: Database, row: Anchor, attempts: Sequence[Attempt], *, now: datetime) -> None:
        """Decide about an anchor whose nonce went to a transaction that is not in our outbox."""
        event = self._chain.find_anchor(self._log_id, row.size)
        if event is not None:
            receipt = evidence.receipt_of(self._chain, [self._same_root(event, row.root).tx_hash])
            if receipt is not None:
                self._settle(db, row, receipt, now=now)
            return
        if self._chain.head(self._log_id).size > row.size:
            self._leave(db, row, AnchorState.SUPERSEDED)
            return
        settled = self._chain.nonce(row.sender, block=self._settled_block())
        # Only now: while the other transaction can still be reorganised away, ours could still go in. And a node
        # that still holds ours contradicts itself.
        if settled > (row.nonce or 0) and not any(self._chain.knows(attempt.tx_hash) for attempt in attempts):
            self._leave(db, row, AnchorState.REFUSED)

    def _is_beyond_reach(self, db: Database, row: Anchor, newest: Attempt, *, due: int, now: datetime) -> bool:
        """Whether no block can take a transaction, because nonces before its own are nobody's.

        A door that lied about the count led us to sign there, or a reorganisation took what was before it. Not
        while another row of ours is due there, nor before blocks have passed it by.
        """
        nonce = row.nonce or 0
        if nonce <= due or not self._sender.is_stuck(newest, now):
            return False
        with db.read() as session:
            before = select(Anchor.nonce).where(
                Anchor.chain_id == row.chain_id,
                Anchor.sender == row.sender,
                col(Anchor.nonce) >= due,
                col(Anchor.nonce) < nonce,
            )
            held = set(session.exec(before))
        return bool(set(range(due, nonce)) - held) if nonce - due < _GAP else True

    def _next_nonce(self, used: int | None) -> int | None:
        """Return the nonce to sign under, or None while it is not settled who used those before it.

        Raises ChainMismatchError where the chain counts fewer transactions than our outbox holds.
        """
        nonce = self._chain.nonce(self._key.address)
        if used is None or nonce == used + 1:
            return nonce
        if nonce <= used:
            raise ChainMismatchError(
                f"the chain counts {nonce} transactions of {self._key.address}, and our outbox holds number {used}: "
                "it is behind, or was put back"
            )
        return nonce if self._chain.nonce(self._key.address, block=self._settled_block()) == nonce else None

    def _settled_block(self) -> int:
        return self._chain.settled_block(confirmations=self._confirmations)

    def _doubt(self, db: Database, chain_head: Head) -> None:
        """Put back on their way those final anchors that the contract no longer holds."""
        with db.read() as session:
            rows = anchors(session, origin=self._origin, place=self.place, limit=50)
        for row in rows:
            if row.state is AnchorState.FINAL and row.size > chain_head.size:
                if self._chain.block_number() < (row.block_number or 0):
                    raise ChainMismatchError(
                        f"the chain ends before block {row.block_number}, which holds our anchor of {row.size} leaves: "
                        "it is behind, or was put back"
                    )
                self._send_back(db, row)

    def _send_back(self, db: Database, row: Anchor) -> None:
        """Write down that a block which held an anchor is gone: it is on its way again."""
        if row.state is AnchorState.FINAL:
            _log.error(
                "the chain dropped block %s, which counted as final: raise GUOYUAN_CHAIN_CONFIRMATIONS; "
                "the anchor of %d leaves is sent again",
                row.block_number,
                row.size,
            )
        with db.write() as session:
            anchor = session.get_one(Anchor, row.id)
            if anchor.state in (AnchorState.INCLUDED, AnchorState.FINAL):
                anchor.state = AnchorState.BROADCAST
                anchor.block_number = anchor.block_hash = anchor.included_at = anchor.final_at = None
                anchor.gas_used = anchor.fee_wei = None
                session.add(anchor)

    def _leave(self, db: Database, row: Anchor, state: AnchorState) -> None:
        _log.warning("nonce %s cannot carry the anchor of %d leaves; it is %s", row.nonce, row.size, state)
        with db.write() as session:
            anchor = session.get_one(Anchor, row.id)
            if anchor.state in UNSETTLED:
                anchor.state, anchor.nonce = state, None
                session.add(anchor)

    def _adopt(self, db: Database, head: Head, *, now: datetime) -> Anchor | None:
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
                anchor.sender = self._key.address
                session.add(anchor)
                session.flush()
                known = select(Attempt).where(Attempt.tx_hash == signed.transaction.tx_hash)
                if session.exec(known).one_or_none() is None:
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


def _last_nonce(session: Session, chain_id: int, sender: str) -> int | None:
    """Return the highest nonce of an account that a row in the chain, or on its way there, holds."""
    wanted = select(func.max(Anchor.nonce)).where(
        Anchor.chain_id == chain_id, Anchor.sender == sender, col(Anchor.state).in_(ON_ITS_WAY)
    )
    return session.exec(wanted).one()
