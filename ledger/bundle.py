"""Makes proof files from the database. What it makes it does not judge: `ledger.proof.verify` does."""

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlmodel import Session, col, select

from ledger import merkle, tree
from ledger.checkpoint import LogKey, parse_head
from ledger.disclosure import kept_fields
from ledger.errors import NotPublishedError, UnknownIdentifierError
from ledger.log import latest_checkpoint
from ledger.merkle import Range
from ledger.models import Entry
from ledger.proof import FORMAT, Anchor, ProofBundle, ProvedEntry
from ledger.tlog_proof import TlogProof
from ledger.trace import Step, entries_naming, history
from ledger.tree import Nodes
from ledger.witnessed import vouched_checkpoint, vouched_note

MayReveal = Callable[[Mapping[str, Any], str], bool]
"""Whether a private field of an event may be opened, by the event's JSON-LD form and the field's name."""


@dataclass(frozen=True, slots=True)
class AnchoredHead:
    """A head that a chain holds, as whoever anchored it knows it."""

    chain_id: int
    contract: str
    size: int
    root: bytes
    transaction: str
    block: int


def prove(
    session: Session,
    identifier: str,
    *,
    key: LogKey,
    anchor: AnchoredHead | None = None,
    reveal: Collection[str] = (),
    may_reveal: MayReveal | None = None,
    evidence: Collection[str] = (),
) -> ProofBundle:
    """Return the proof file of an identifier's published history, under the checkpoint most witnesses vouch for.

    `reveal` names private fields to open, in the events that `may_reveal` allows; `evidence` the `ni:`
    names of files that can be handed out. Names that stand in no entry of the history are left away. An
    anchor beyond the checkpoint is an error of the caller. Raises UnknownIdentifierError, NotPublishedError.
    """
    checkpoint = latest_checkpoint(session)
    if checkpoint is None:
        raise NotPublishedError("no checkpoint has been signed yet")
    try:
        steps = sorted(history(session, identifier, below=checkpoint.size).steps, key=_index)
    except UnknownIdentifierError:
        if entries_naming(session, identifier):
            raise NotPublishedError(
                f"nothing of {identifier} is under the checkpoint of size {checkpoint.size} yet"
            ) from None
        raise
    # A checkpoint that witnesses signed is worth more than a newer one, where it covers as much of the history.
    covers = max(_index(steps[-1]) + 1, anchor.size if anchor else 0)
    checkpoint = vouched_checkpoint(session, at_least=covers) or checkpoint
    size, origin = checkpoint.size, parse_head(checkpoint.note)[0].origin
    spans = [merkle.inclusion_ranges(_index(step), size) for step in steps]
    extension = merkle.consistency_ranges(anchor.size, size) if anchor else []
    hashes = _HashList(Nodes(session, {span for path in (*spans, extension) for span in path}))
    return ProofBundle(
        format=FORMAT,
        subject=identifier,
        key=key.text(),
        checkpoint=vouched_note(session, checkpoint),
        entries=tuple(
            # A stored byte that is no longer text becomes a mark that is: the file then does not verify, as it must.
            ProvedEntry(index=_index(step), data=step.data.decode(errors="replace"), path=hashes.positions(path))
            for step, path in zip(steps, spans, strict=True)
        ),
        disclosures=_revealed(session, steps, reveal, may_reveal),
        evidence=tuple(sorted(name for name in set(evidence) if any(f'"{name}"'.encode() in s.data for s in steps))),
        anchor=_anchor(anchor, origin, hashes.positions(extension)) if anchor else None,
        hashes=tuple(base64.b64encode(node).decode() for node in hashes.hashes),
    )


def prove_entry(session: Session, index: int) -> TlogProof:
    """Return the proof of one published entry, which the file carries, under the checkpoint most witnesses vouch for.

    Raises NotPublishedError.
    """
    checkpoint = vouched_checkpoint(session, at_least=index + 1)
    entry = session.exec(select(Entry).where(Entry.leaf_index == index)).one_or_none()
    if checkpoint is None or entry is None:
        raise NotPublishedError(f"there is no published entry {index}")
    path = tuple(tree.inclusion(session, index, checkpoint.size))
    return TlogProof(index, path, vouched_note(session, checkpoint), entry.data)


def index_of_entry(session: Session, event_id: str) -> int:
    """Return where an event stands in the log; of one declared wrong, the event itself.

    Raises UnknownIdentifierError, NotPublishedError.
    """
    entry = session.exec(select(Entry).where(Entry.event_id == event_id).order_by(col(Entry.id))).first()
    if entry is None:
        raise UnknownIdentifierError(event_id)
    if entry.leaf_index is None:
        raise NotPublishedError(f"{event_id} has no place in the log yet")
    return entry.leaf_index


def _revealed(
    session: Session, steps: Sequence[Step], reveal: Collection[str], may_reveal: MayReveal | None
) -> tuple[str, ...]:
    if not reveal:
        return ()
    events = {step.event_id: step.event for step in steps}
    kept = kept_fields(session, events.keys(), names=reveal)
    return tuple(f.disclosure for f in kept if may_reveal is None or may_reveal(events[f.event_id], f.name))


class _HashList:
    """The list that all paths of a file share."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._positions: dict[Range, int] = {}
        self.hashes: list[bytes] = []

    def positions(self, path: Sequence[Range]) -> tuple[int, ...]:
        """Return where the hashes of a path stand, adding those that are new."""
        for span in path:
            if span not in self._positions:
                self._positions[span] = len(self.hashes)
                self.hashes.append(self._nodes.hash_of(span))
        return tuple(self._positions[span] for span in path)


def _anchor(head: AnchoredHead, origin: str, consistency: tuple[int, ...]) -> Anchor:
    return Anchor(
        block=head.block,
        chain_id=head.chain_id,
        consistency=consistency,
        contract=head.contract,
        log_id="0x" + sha256(origin.encode()).hexdigest(),
        root=base64.b64encode(head.root).decode(),
        size=head.size,
        transaction=head.transaction,
    )


def _index(step: Step) -> int:
    if step.index is None:
        raise NotPublishedError(f"{step.event_id} has no place in the log yet")
    return step.index
