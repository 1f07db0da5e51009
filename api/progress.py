"""How far the log has come: recorded, integrated, published, anchored."""

from dataclasses import dataclass

from sqlmodel import Session, col, func, select

from contracts.models import Anchor
from contracts.outbox import latest_final
from ledger.bundle import AnchoredHead
from ledger.log import latest_checkpoint, tree_size
from ledger.models import Entry


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of entries that have come at least so far. `root` is that of the newest checkpoint."""

    recorded: int
    integrated: int
    published: int
    anchored: int
    root: bytes | None

    def state_of(self, index: int | None) -> str:
        """Return the furthest word that is true of an entry."""
        if index is None:
            return "recorded"
        if index < self.anchored:
            return "anchored"
        return "published" if index < self.published else "integrated"


def progress(session: Session, *, origin: str) -> Progress:
    """Return how far the log has come."""
    newest, anchor = latest_checkpoint(session), latest_final(session, origin=origin)
    integrated = tree_size(session)
    pending = session.exec(select(func.count()).select_from(Entry).where(col(Entry.leaf_index).is_(None))).one()
    return Progress(
        recorded=integrated + pending,
        integrated=integrated,
        published=newest.size if newest else 0,
        anchored=anchor.size if anchor else 0,
        root=newest.root if newest else None,
    )


def anchored_head(anchor: Anchor) -> AnchoredHead:
    """Return an anchor as a proof file names it."""
    return AnchoredHead(
        chain_id=anchor.chain_id,
        contract=anchor.contract,
        size=anchor.size,
        root=anchor.root,
        transaction="0x" + (anchor.tx_hash or b"").hex(),
        block=anchor.block_number or 0,
    )
