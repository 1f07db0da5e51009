"""Grading kept evidence again: every record of a lot, a batch or the whole house, and what the log says of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from grading.errors import EvidenceError, UnknownEvidenceError
from grading.evidence import Looked, regrade_kept
from grading.models import Batch, Fruit, Outcome
from grading.station import records_root
from ledger.canonical import decode_entry
from ledger.kernel.errors import IdentifierError, OriginError
from ledger.kernel.files import FileStore, parse_ni
from ledger.kernel.ids import parse_digital_link
from ledger.trace import entries_naming
from ledger.vocabulary import Sentence


@dataclass(frozen=True, slots=True)
class Asked:
    """One record to grade again. `camera_tier` is what the station's own table says; None where it has no row."""

    record: str
    batch: str | None = None
    number: int | None = None
    camera_tier: str | None = None


@dataclass(frozen=True, slots=True)
class Regraded:
    """What came of it: the tier again, or why not."""

    asked: Asked
    tier: str | None
    why: str | None

    @property
    def is_reproduced(self) -> bool:
        """Whether the record came out byte for byte, and the station says the same."""
        return self.why is None


@dataclass(frozen=True, slots=True)
class Root:
    """Whether a batch's records are those the log commits to: `agrees`, `differs`, or `open` for a batch not closed."""

    batch: str
    lot: str
    records: int
    state: str


def evidence_of(session: Session, wanted: Sequence[str]) -> list[Asked]:
    """Return the records meant by lots, batches and `ni:` names; all there are where nothing is named.

    Raises UnknownEvidenceError, naming what is not known.
    """
    if not wanted:
        return _rows(session, None)
    found: dict[str, Asked] = {}
    for name in wanted:
        asked = [_record(session, name)] if _is_record(name) else _rows(session, _batches(session, name))
        found |= {each.record: each for each in asked}
    return list(found.values())


def regrade_all(files: FileStore, asked: Iterable[Asked]) -> Iterator[Regraded]:
    """Yield what comes of every record, in the order given; a photograph that follows itself is looked at once."""
    looked = Looked()
    for each in asked:
        try:
            tier = regrade_kept(files, each.record, looked=looked).tier
        except EvidenceError as error:
            yield Regraded(each, None, str(error))
            continue
        told = each.camera_tier
        why = None if told in {None, tier} else f"the station's table says tier {told}, the evidence {tier}"
        yield Regraded(each, tier, why)


def roots(session: Session, files: FileStore, batches: Iterable[str]) -> list[Root]:
    """Return for every batch whether its records hash to the root that its `graded` event put into the log."""
    return [_root(session, files, session.get_one(Batch, ref)) for ref in sorted(set(batches))]


def class_kept(session: Session, name: str) -> tuple[str, int] | None:
    """Return class and mass of a fruit named by its record or as `BATCH#NUMBER`, or None where it is not kept."""
    wanted = select(Fruit).where(Fruit.record == name)
    batch, _, number = name.rpartition("#")
    if batch and number.isascii() and number.isdigit() and len(number) <= 9:  # no batch has more fruit
        wanted = select(Fruit).where(Fruit.batch == batch, Fruit.number == int(number))
    row = session.exec(wanted).first()
    return None if row is None else (row.quality, row.mass_g)


def _root(session: Session, files: FileStore, batch: Batch) -> Root:
    records = [each.record for each in _rows(session, [batch.ref])]
    if batch.event_id is None:
        return Root(batch.ref, batch.lot, len(records), "open")
    told = {
        event.extensions.get("gy:verdicts", {}).get("gy:recordsRoot")
        for entry in entries_naming(session, batch.lot, sentences={Sentence.GRADED.value})
        if (event := decode_entry(entry.data)).event_id == batch.event_id
    }
    try:
        made = records_root([files.get(name) for name in records])
    except OriginError:
        made = "not kept"
    return Root(batch.ref, batch.lot, len(records), "agrees" if told == {made} else "differs")


def _is_record(name: str) -> bool:
    try:
        parse_ni(name)
    except IdentifierError:
        return False
    return True


def _record(session: Session, name: str) -> Asked:
    row = session.exec(select(Fruit).where(Fruit.record == name)).first()
    # A record may come from elsewhere: its files are asked, not our tables.
    return Asked(name) if row is None else _asked(row)


def _batches(session: Session, name: str) -> list[str]:
    try:
        lot = parse_digital_link(name).canonical()
    except IdentifierError:
        lot = name
    harvest = select(Batch.ref).where((col(Batch.ref) == name) | (col(Batch.lot) == lot))
    graded = select(Outcome.batch).where(Outcome.lot == lot)
    refs = sorted({*session.exec(harvest), *session.exec(graded)})
    if not refs:
        raise UnknownEvidenceError(name)
    return refs


def _rows(session: Session, batches: Sequence[str] | None) -> list[Asked]:
    wanted = select(Fruit).order_by(col(Fruit.batch), col(Fruit.number))
    if batches is not None:
        wanted = wanted.where(col(Fruit.batch).in_(batches))
    return [_asked(row) for row in session.exec(wanted)]


def _asked(row: Fruit) -> Asked:
    return Asked(row.record, row.batch, row.number, row.camera_tier)
