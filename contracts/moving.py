"""The move of a log from one chain to another, its history with it.

    begin     the old chain takes no more heads
    settle    what was on its way there becomes final
    deploy    our contract stands on the new chain, with our log open in it, and without another head
    record    an entry in the log says so, and names a file with every head the old chain holds
    anchor    a head that covers that entry becomes final on the new chain
    done      the installation's chain is the new one

The tree is the same one, so every old head is provable from every new one. Each step can be repeated: a move
that was killed is finished by calling it again. Anchors on the old chain stay in the outbox under its number.
"""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlmodel import Session, col, select

from contracts.anchor import Anchorer
from contracts.chain import Chain, chain_of, connect_place
from contracts.errors import ChainUnreachableError, ForkedHeadError, MoveRefusedError
from contracts.events import chain_moved
from contracts.heads import Place, log_id
from contracts.history import ChainHistory, NextHead, bridged, export
from contracts.keys import PublisherKey
from contracts.models import Anchor, AnchorState
from contracts.moves import Move, MovesFile, MoveState
from contracts.outbox import unsettled
from ledger import log, tree
from ledger.checkpoint import LogSigner
from ledger.errors import LogInconsistentError
from ledger.kernel.clock import offset_text
from ledger.kernel.database import Database
from ledger.kernel.files import FileStore
from ledger.kernel.ids import DocumentType, Numbering, new_event_id
from ledger.kernel.settings import Settings
from ledger.models import Entry

_POLL_S: Final = 1.0


@dataclass(frozen=True)
class Mover:
    """A move between two opened chains. `begin` once, then `finish` as often as it takes."""

    settings: Settings
    db: Database
    files: FileStore
    signer: LogSigner
    old: Chain
    new: Chain
    now: Callable[[], datetime]
    patience_s: float = 900
    pause: Callable[[], None] = lambda: time.sleep(_POLL_S)

    @classmethod
    def open(
        cls,
        settings: Settings,
        db: Database,
        files: FileStore,
        signer: LogSigner,
        *,
        url: str,
        now: Callable[[], datetime],
    ) -> "Mover":
        """Return a mover from the chain the installation anchors in to the one behind a JSON-RPC URL."""
        key = PublisherKey.open(settings)
        old = chain_of(settings, funded=key.address)
        return cls(settings, db, files, signer, old, connect_place(settings, url), now)

    @property
    def _moves(self) -> MovesFile:
        return MovesFile(self.settings.home)

    @property
    def _name(self) -> bytes:
        return log_id(self.settings.log_origin)

    def begin(self, *, contract: str = "") -> Move:
        """Remember that the log moves, so that nothing else is anchored; return that move, or the one under way.

        `contract` is one of ours that stands on the new chain already. Raises MoveRefusedError, ChainError.
        """
        known = self._moves.under_way()
        if known is not None:
            if (known.to_chain_id, known.to_genesis) != (self.new.chain_id, self.new.genesis):
                raise MoveRefusedError(f"a move to chain {known.to_chain_id} is under way; finish or drop it first")
            return known
        if (self.new.chain_id, self.new.genesis) == (self.old.chain_id, self.old.genesis):
            raise MoveRefusedError("that is the chain this log is anchored in")
        left = {one.from_chain_id for one in self._moves.done()} | {self.old.chain_id}
        if self.new.chain_id in left:
            raise MoveRefusedError(f"the log was in chain {self.new.chain_id} before; proofs could not tell them apart")
        if not self.old.is_deployed or self.old.head(self._name).size == 0:
            raise MoveRefusedError("nothing is anchored yet: set GUOYUAN_CHAIN_URL, there is no history to carry")
        self._require_ours(self.old)
        if contract:
            self.new.adopt_deployment(contract)
        if self.new.is_deployed:
            self._require_ours(self.new)
        moment = self.now()
        return self._moves.keep(
            Move(
                state=MoveState.BEGUN,
                began_at=moment.isoformat(),
                event_id=new_event_id(moment),
                from_url=self.old.url,
                from_chain_id=self.old.chain_id,
                from_genesis=self.old.genesis,
                from_contract=self.old.address,
                to_url=self.new.url,
                to_chain_id=self.new.chain_id,
                to_genesis=self.new.genesis,
                deployment=self.new.deployment_file.name,
            )
        )

    def drop(self) -> bool:
        """Forget a move that the log does not speak of yet; the old chain is ours again. False where it is too late."""
        known = self._moves.under_way()
        if known is None or known.state is not MoveState.BEGUN:
            return False
        self._moves.drop(known)
        return True

    def finish(self) -> Move:
        """Take a begun move to its end, from wherever it is. Raises ChainError; calling again goes on from there."""
        move = self._moves.under_way()
        if move is None:
            raise MoveRefusedError("no move is under way")
        if move.state is MoveState.BEGUN:
            self._settle()
            self._anchorer(self.new).prepare()
            self._require_ours(self.new)
            move = self._moves.keep(self._described(move))
        index = self._record(move)
        self._anchor_over(index)
        return self._moves.keep(replace(move, state=MoveState.DONE))

    def _anchorer(self, chain: Chain) -> Anchorer:
        # A second door that the settings name leads to the old chain.
        settings = self.settings if chain is self.old else self.settings.model_copy(update={"chain_check_url": ""})
        return Anchorer.open(settings, chain)

    def _settle(self) -> None:
        """Wait until nothing of ours is on its way to the old chain."""
        anchorer, place = self._anchorer(self.old), Place(self.old.chain_id, self.old.address)

        def is_settled() -> bool:
            anchorer.advance(self.db, now=self.now())
            with self.db.read() as session:
                return not unsettled(session, origin=self.settings.log_origin, place=place)

        self._wait(is_settled, "anchors are on their way to the old chain, and not final there")

    def _described(self, move: Move) -> Move:
        """Return the move with all that its entry in the log will say."""
        last = self.old.head(self._name)
        heads = [(head, self.old.block_time(head.block)) for head in self.old.history(self._name)]
        history = export(
            heads,
            origin=self.settings.log_origin,
            chain_id=self.old.chain_id,
            genesis=self.old.genesis,
            contract=self.old.address,
        )
        return replace(
            move,
            state=MoveState.RECORDED,
            to_contract=self.new.address,
            history=self.files.put(history.encode()),
            last_size=last.size,
            last_root="0x" + last.root.hex(),
            last_block=last.block,
        )

    def _record(self, move: Move) -> int:
        """Write the entry, once, and publish a checkpoint that covers it; return its index."""
        numbering = Numbering(self.settings.gs1_prefix)
        at = datetime.fromisoformat(move.began_at)
        event = chain_moved(
            move,
            document=numbering.document(DocumentType.CHAIN_MOVE, f"{at:%Y%m%d}-{move.event_id[-12:].upper()}"),
            recorder=numbering.party(1),
            at=at,
            offset=offset_text(at, self.settings.time_zone),
        )
        with self.db.write() as session:
            log.record(session, event, now=self.now())
            while log.integrate(session):
                pass
        with self.db.write() as session:
            entry = session.exec(select(Entry).where(Entry.event_id == move.event_id)).first()
            index = entry.leaf_index if entry is not None else None
            if index is None:
                raise LogInconsistentError("the entry about the move was written and has no index")
            newest = log.latest_checkpoint(session)
            if newest is None or newest.size <= index:
                log.publish(session, self.signer, now=self.now())
        return index

    def _anchor_over(self, index: int) -> None:
        """Bring a head that covers the entry to the new chain, and wait until it is final there."""
        anchorer = self._anchorer(self.new)
        anchorer.prepare()

        def is_covered() -> bool:
            anchorer.advance(self.db, now=self.now())
            with self.db.read() as session:
                here = select(Anchor).where(
                    Anchor.log_origin == self.settings.log_origin,
                    Anchor.chain_id == self.new.chain_id,
                    Anchor.contract == self.new.address,
                )
                rows = session.exec(here.where(col(Anchor.size) > index)).all()
                head = log.latest_checkpoint(session)
            if any(row.state is AnchorState.FINAL for row in rows):
                return True
            if head is not None and not any(row.state is not AnchorState.REFUSED for row in rows):
                anchorer.anchor(self.db, head, now=self.now())
            return False

        self._wait(is_covered, "the first anchor on the new chain is sent, and not final there")

    def _require_ours(self, chain: Chain) -> None:
        """Raise ForkedHeadError where a contract holds a head of our log's name that is not our log's."""
        head = chain.head(self._name)
        if head.size == 0:
            return
        with self.db.read() as session:
            try:
                is_ours = tree.root(session, head.size) == head.root
            except LogInconsistentError:
                is_ours = False
        if not is_ours:
            raise ForkedHeadError(
                f"the contract at {chain.address} holds a head of {head.size} leaves that is not our log's",
                size=head.size,
                root=head.root,
            )

    def _wait(self, is_there: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self.patience_s
        while not is_there():
            if time.monotonic() > deadline:
                raise ChainUnreachableError(f"{what}; run the same command again")
            self.pause()


def left(files: FileStore, settings: Settings) -> list[ChainHistory]:
    """Return the heads of every chain that was left, as the log's entries fixed them. Raises MissingFileError."""
    return [ChainHistory.parse(files.get(move.history)) for move in MovesFile(settings.home).done()]


def histories(session: Session, files: FileStore, settings: Settings) -> list[ChainHistory]:
    """Return the history of every chain that was left, each with the proof that today's chain extends it.

    Raises MissingFileError where the files of a move were lost.
    """
    found = []
    wanted = select(Anchor).where(Anchor.log_origin == settings.log_origin, Anchor.state == AnchorState.FINAL)
    newest = session.exec(wanted.order_by(col(Anchor.size).desc(), col(Anchor.id).desc()).limit(1)).first()
    for history in left(files, settings):
        if newest is None or newest.chain_id == history.chain_id:
            found.append(history)
            continue
        after = NextHead(
            block=newest.block_number or 0,
            chain_id=newest.chain_id,
            contract=newest.contract,
            root=base64.b64encode(newest.root).decode(),
            size=newest.size,
            transaction="0x" + (newest.tx_hash or b"").hex(),
        )
        found.append(bridged(history, after, lambda first, second: tree.consistency(session, first, second)))
    return found
