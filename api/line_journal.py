"""What a line has counted, on the station's own disk, until the house has it: batches, fruit, judgements, pictures.

One SQLite file, one process, one commit for every group of fruit. A fruit is durable before its lane command goes
out; what SIGKILL can lose is fruit that were still under the camera or waiting for the commit then running, and
none of those had a lane. Numbers of a batch follow one another without a gap, over any number of restarts.
"""

import contextlib
import fcntl
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sqlalchemy import inspect, text
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session, col, delete, func, insert, or_, select, update

from api.line_errors import BatchOpenError, NoBatchError, StateFolderError, UnknownNumberError
from api.line_tables import DELIVERED, REFUSED, WAITING, Kept, LineBatch, LineFile, LineFruit, LineNote
from grading.grade import DOUBTFUL
from grading.standard import Text
from ledger.kernel.clock import format_time
from ledger.kernel.database import Database

_LAST: Final = 12


@dataclass(frozen=True, slots=True)
class Rules:
    """What a batch is graded by: names to show, and the SHA-256 of each file."""

    crop: str
    standard: str
    edition: str
    standard_file: str
    tariff_file: str
    profile: bytes
    brix_tenths: int | None = None


@dataclass(frozen=True, slots=True)
class NewFruit:
    """A fruit to be kept. `files` are its record and crops; `shown` is what the console shows of it."""

    number: int
    at: datetime
    tier: str
    nominal_tier: str
    mass_g: int
    price_fen: int
    record: bytes
    crops: tuple[bytes, ...]
    shown: Mapping[str, Any]
    near_fen: int | None = None
    is_weighed: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """A fruit whose lane command came to nothing: why, and where it lies; `lane` is None where nobody can say."""

    run: str
    number: int
    kind: str
    text: Text
    lane: int | None


@dataclass
class Tally:
    """Counters of the open batch, kept in memory and counted again when the file is opened."""

    fruit: int = 0
    mass_g: int = 0
    last_number: int = 0
    lost: int = 0
    """Fruit whose lane command came to nothing."""
    weighed: int = 0
    """Fruit whose grams are a scale's."""
    near: list[int] = field(default_factory=lambda: [0, 0])
    """Fruit given the lower tier because they are near a limit, and the fen they would have brought more."""
    by_tier: dict[str, list[int]] = field(default_factory=dict)
    """Fruit, grams and fen of each tier."""

    def add(self, tier: str, mass_g: int, price_fen: int, *, near_fen: int | None = None, times: int = 1) -> None:
        """Count fruit of a tier, or take them back with `times=-1`."""
        if near_fen is not None:
            self.near = [self.near[0] + times, self.near[1] + times * near_fen]
        own = self.by_tier.setdefault(tier, [0, 0, 0])
        for place, value in enumerate((1, mass_g, price_fen)):
            own[place] += times * value
        self.fruit += times
        self.mass_g += times * mass_g


class Journal:
    """The station's file in a folder, for one process; with `is_alone=False` for one more that only looks.

    Raises StateFolderError where another process has it open, and for a file that is no journal.
    """

    def __init__(self, folder: Path, *, is_alone: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self._lock_file = (folder / "line.lock").open("w")
        try:
            if is_alone:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock_file.close()
            raise StateFolderError(str(folder), "another process runs this line") from error
        self.db = Database(f"sqlite:///{(folder / 'line.db').resolve()}")
        try:
            Kept.metadata.create_all(self.db.engine)
            _grow(self.db)
        except DatabaseError as error:
            self.close()
            raise StateFolderError(str(folder), f"line.db cannot be used: {error.orig}") from error
        os.chmod(folder / "line.db", 0o600)  # noqa: PTH101  # it holds the session's token
        self._lock = threading.RLock()
        self._open: LineBatch | None = None
        self.tally = Tally()
        self._load()

    def close(self) -> None:
        """Let the file go."""
        self.db.dispose()
        self._lock_file.close()

    # --- batches ---

    @property
    def open_batch(self) -> LineBatch | None:
        """The batch on the line, or None."""
        return self._open

    def begin(self, lot: str, rules: Rules, *, variety: str, received_g: int | None, now: datetime) -> LineBatch:
        """Open a batch. Opening the open lot again returns it. Raises BatchOpenError for another one."""
        with self._lock:
            if self._open is not None:
                if self._open.lot == lot:
                    return self._open
                raise BatchOpenError(self._open.lot)
            with self.db.write() as session:
                profile = sha256(rules.profile).hexdigest()
                _keep(session, {profile: rules.profile}, 0)
                batch = LineBatch(
                    run=f"urn:uuid:{uuid.uuid4()}",
                    lot=lot,
                    crop=rules.crop,
                    variety=variety,
                    standard=rules.standard,
                    edition=rules.edition,
                    standard_file=rules.standard_file,
                    tariff_file=rules.tariff_file,
                    profile_file=profile,
                    brix_tenths=rules.brix_tenths,
                    received_g=received_g,
                    opened_at=now,
                )
                session.add(batch)
            self._open, self.tally = batch, Tally()
            return batch

    def end(self, weighed_g: Mapping[str, int] | None, *, now: datetime) -> LineBatch:
        """Close the open batch: no fruit comes to it any more. Raises NoBatchError."""
        with self._lock:
            if self._open is None:
                raise NoBatchError
            with self.db.write() as session:
                batch = session.get_one(LineBatch, self._open.id)
                batch.closed_at, batch.weighed_g = now, json.dumps(weighed_g)
                session.add(batch)
            self._open, self.tally = None, Tally()
            return batch

    def has_closed(self, lot: str) -> bool:
        """Return whether this line has graded and closed a lot before."""
        with self.db.read() as session:
            own = (LineBatch.lot == lot, col(LineBatch.closed_at).is_not(None))
            return session.exec(select(LineBatch.id).where(*own)).first() is not None

    def settle(self, lot: str, *, variety: str, received_g: int | None) -> None:
        """Put in what the house knows of a lot that was opened without it."""
        with self._lock, self.db.write() as session:
            for batch in session.exec(select(LineBatch).where(LineBatch.lot == lot)):
                batch.variety, batch.received_g = variety, received_g
                session.add(batch)
                if self._open is not None and self._open.id == batch.id:
                    self._open = batch

    # --- fruit ---

    def add(self, fruit: Sequence[NewFruit], *, commanded: Mapping[int, int | None] | None = None) -> None:
        """Keep fruit of the open batch in one commit; they are durable when it returns.

        `commanded` are fruit kept before whose lane command has gone out, with the lane, None where no gates are.
        Raises NoBatchError.
        """
        with self._lock:
            batch = self._open
            if batch is None:
                raise NoBatchError
            with self.db.write() as session:
                _add(session, batch.id, fruit)
                for number, lane in (commanded or {}).items():
                    own = (col(LineFruit.number) == number, col(LineFruit.batch_id) == batch.id)
                    session.exec(update(LineFruit).where(*own).values(is_commanded=True, lane=lane))
            for each in fruit:
                self.tally.add(each.tier, each.mass_g, each.price_fen, near_fen=each.near_fen)
                self.tally.weighed += each.is_weighed
                self.tally.last_number = max(self.tally.last_number, each.number)

    def mark_lost(self, lost: Sequence[Lost]) -> None:
        """Say of fruit, of whatever batch, that their lane command came to nothing. The first reason stays."""
        with self._lock:
            count = 0
            with self.db.write() as session:
                for each in lost:
                    told = {"kind": each.kind, "zh": each.text.zh, "en": each.text.en}
                    batch = select(LineBatch.id).where(LineBatch.run == each.run).scalar_subquery()
                    own = (col(LineFruit.batch_id) == batch, col(LineFruit.number) == each.number)
                    values = {"lane": each.lane, "lost": json.dumps(told, ensure_ascii=False)}
                    found = session.exec(update(LineFruit).where(*own, col(LineFruit.lost).is_(None)).values(**values))
                    count += found.rowcount if self._open is not None and self._open.run == each.run else 0
            self.tally.lost += count

    def lost(self, batch: int, *, most: int | None = None) -> list[LineFruit]:
        """Return the fruit of a batch whose lane command came to nothing, the newest first."""
        with self.db.read() as session:
            own = (LineFruit.batch_id == batch, col(LineFruit.lost).is_not(None))
            return list(session.exec(select(LineFruit).where(*own).order_by(col(LineFruit.number).desc()).limit(most)))

    def judge(self, number: int, tier: str, reason: str, price_fen: int, *, now: datetime, delivered: bool) -> None:
        """Keep a person's decision about a fruit of the open batch. Raises NoBatchError, UnknownNumberError."""
        with self._lock:
            with self.db.write() as session:
                row = self._fruit(session, number)
                before, near_fen = (row.tier, row.mass_g, row.price_fen), row.near_fen
                row.near_fen = None  # a person has decided
                row.tier, row.price_fen, row.judged_reason, row.judged_at = tier, price_fen, reason, now
                row.judgement_state = DELIVERED if delivered else WAITING
                session.add(row)
            self.tally.add(*before, near_fen=near_fen, times=-1)
            self.tally.add(row.tier, row.mass_g, row.price_fen)

    def fruit(self, number: int) -> LineFruit:
        """Return a fruit of the open batch. Raises NoBatchError, UnknownNumberError."""
        with self.db.read() as session:
            return self._fruit(session, number)

    def doubtful(self) -> int:
        """Return how many fruit of the open batch wait for a person."""
        return self.tally.by_tier.get(DOUBTFUL, [0])[0]

    def queue(self, most: int = _LAST) -> list[LineFruit]:
        """Return the fruit that wait for a person, oldest first."""
        return self._some(col(LineFruit.tier) == DOUBTFUL, order=col(LineFruit.number), most=most)

    def last(self, most: int = _LAST) -> list[LineFruit]:
        """Return the fruit that passed last, newest first."""
        return self._some(order=col(LineFruit.number).desc(), most=most)

    def uncommanded(self) -> int:
        """Return how many fruit of the open batch are kept whose lane command may not have gone out."""
        if self._open is None:
            return 0
        with self.db.read() as session:
            mine = (LineFruit.batch_id == self._open.id, col(LineFruit.is_commanded).is_(False))
            return session.exec(select(func.count()).where(*mine)).one()

    def file(self, digest: bytes) -> bytes | None:
        """Return a crop, record or profile, or None where it is not kept (any more)."""
        with self.db.read() as session:
            return session.exec(select(LineFile.data).where(LineFile.sha256 == digest.hex())).first()

    # --- what the house has not got yet ---

    def undelivered(self) -> list[LineBatch]:
        """Return the batches that the house does not have whole, oldest first."""
        with self.db.read() as session:
            wanted = select(LineBatch).where(col(LineBatch.delivered_at).is_(None)).order_by(col(LineBatch.id))
            return list(session.exec(wanted))

    def waiting(self) -> int:
        """Return how many fruit and judgements wait for the house."""
        with self.db.read() as session:
            fruit = session.exec(select(func.count()).where(LineFruit.state == WAITING)).one()
            judged = session.exec(select(func.count()).where(LineFruit.judgement_state == WAITING)).one()
            closes = session.exec(
                select(func.count()).where(col(LineBatch.closed_at).is_not(None), col(LineBatch.delivered_at).is_(None))
            ).one()
        return fruit + judged + closes

    def fruit_waiting(self, batch: int, *, most: int) -> list[LineFruit]:
        """Return the next fruit of a batch to be delivered, in order."""
        with self.db.read() as session:
            own = (LineFruit.batch_id == batch, LineFruit.state == WAITING)
            return list(session.exec(select(LineFruit).where(*own).order_by(col(LineFruit.number)).limit(most)))

    def files_waiting(self, fruit: Iterable[LineFruit]) -> list[tuple[str, bytes]]:
        """Return the files of some fruit that the house does not have, by their SHA-256."""
        names = {name for each in fruit for name in each.files.split()}
        with self.db.read() as session:
            own = (col(LineFile.sha256).in_(names), LineFile.state == WAITING)
            return list(session.exec(select(LineFile.sha256, LineFile.data).where(*own).order_by(LineFile.sha256)))

    def judgements_waiting(self, batch: int, *, most: int) -> list[LineFruit]:
        """Return the judged fruit of a batch that the house has, and whose judgement it has not."""
        with self.db.read() as session:
            own = (
                LineFruit.batch_id == batch,
                LineFruit.judgement_state == WAITING,
                LineFruit.state == DELIVERED,
            )
            return list(session.exec(select(LineFruit).where(*own).order_by(col(LineFruit.number)).limit(most)))

    def gaps(self, batch: int) -> dict[int, str]:
        """Return the numbers of a batch that the house refused for good, with the reason."""
        with self.db.read() as session:
            rows = select(LineFruit).where(LineFruit.batch_id == batch, LineFruit.state == REFUSED)
            return {row.number: row.refused or "" for row in session.exec(rows)}

    def last_number(self, batch: int) -> int:
        """Return the highest number of a batch, 0 where it has no fruit."""
        with self.db.read() as session:
            return session.exec(
                select(func.coalesce(func.max(LineFruit.number), 0)).where(LineFruit.batch_id == batch)
            ).one()

    def mark_files(self, names: Sequence[str], state: int) -> None:
        """Say how some files stand with the house."""
        with self.db.write() as session:
            session.exec(update(LineFile).where(col(LineFile.sha256).in_(names)).values(state=state))

    def mark_fruit(self, batch: int, ids: Mapping[int, int]) -> None:
        """Say that the house has counted fruit: their numbers, and its own id of each."""
        with self.db.write() as session:
            rows = select(LineFruit).where(LineFruit.batch_id == batch, col(LineFruit.number).in_(list(ids)))
            for row in session.exec(rows):
                row.state, row.server_id = DELIVERED, ids[row.number]
                session.add(row)

    def mark_refused(self, batch: int, refused: Mapping[int, str]) -> None:
        """Say that the house will not take some fruit, and why. They stay here."""
        with self.db.write() as session:
            rows = select(LineFruit).where(LineFruit.batch_id == batch, col(LineFruit.number).in_(list(refused)))
            for row in session.exec(rows):
                row.state, row.refused = REFUSED, refused[row.number]
                session.add(row)

    def mark_judgements(self, judged: Sequence[LineFruit], state: int) -> None:
        """Say how judgements stand with the house; a fruit judged again since, by whatever clock, is another one."""
        with self.db.write() as session:
            for each in judged:
                own = (
                    col(LineFruit.id) == each.id,
                    col(LineFruit.judged_at) == each.judged_at,
                    col(LineFruit.tier) == each.tier,
                    col(LineFruit.judged_reason) == each.judged_reason,
                )
                session.exec(update(LineFruit).where(*own).values(judgement_state=state))

    def again_from(self, batch: int, number: int) -> None:
        """Deliver a batch again from a number on: the house says that it has them no more."""
        with self.db.write() as session:
            own = (col(LineFruit.batch_id) == batch, col(LineFruit.number) >= number)
            session.exec(update(LineFruit).where(*own, col(LineFruit.state) == DELIVERED).values(state=WAITING))
            judged = (*own, col(LineFruit.judgement_state) == DELIVERED)
            session.exec(update(LineFruit).where(*judged).values(judgement_state=WAITING))

    def mark_batch(
        self,
        batch: int,
        *,
        server_ref: str | None = None,
        refused: str | None = None,
        delivered_at: datetime | None = None,
    ) -> None:
        """Say how a batch stands with the house. Its refusal is forgotten unless one is given."""
        with self._lock, self.db.write() as session:
            row = session.get_one(LineBatch, batch)
            row.server_ref = server_ref or row.server_ref
            row.delivered_at = delivered_at or row.delivered_at
            row.refused = refused
            session.add(row)
            if self._open is not None and self._open.id == batch:
                self._open = row

    def forget_files(self, batch: int, *, keep_last: int = 0) -> int:
        """Let the files that the house has go, and return how many went.

        Kept are those of fruit that were refused or wait for a person, and of the `keep_last` newest.
        """
        with self.db.write() as session:
            newest = self.last_number(batch) - keep_last
            wanted = or_(
                col(LineFruit.state) != DELIVERED, col(LineFruit.tier) == DOUBTFUL, col(LineFruit.number) > newest
            )
            needed = select(LineFruit.files).where(LineFruit.batch_id == batch, wanted)
            kept = {name for names in session.exec(needed) for name in names.split()}
            own = (
                col(LineFile.batch_id) == batch,
                col(LineFile.state) == DELIVERED,
                col(LineFile.sha256).not_in(kept),
            )
            return int(session.exec(delete(LineFile).where(*own)).rowcount)

    # --- notes ---

    def note(self, name: str) -> Any:
        """Return what was remembered under a name, or None."""
        with self.db.read() as session:
            row = session.get(LineNote, name)
            return None if row is None else json.loads(row.text)

    def remember(self, name: str, value: Any) -> None:
        """Remember a JSON value under a name."""
        with self.db.write() as session:
            session.merge(LineNote(name=name, text=json.dumps(value, ensure_ascii=False)))

    def summary(self, most: int = 20) -> list[dict[str, Any]]:
        """Return the newest batches with what of them the house has."""
        with self.db.read() as session:
            batches = list(session.exec(select(LineBatch).order_by(col(LineBatch.id).desc()).limit(most)))
            return [self._summed(session, batch) for batch in batches]

    def free_bytes(self) -> int:
        """Return how much room the folder's disk has."""
        return shutil.disk_usage(self.folder).free

    # --- parts ---

    def _summed(self, session: Session, batch: LineBatch) -> dict[str, Any]:
        def counted(*where: Any) -> int:
            return session.exec(select(func.count()).where(LineFruit.batch_id == batch.id, *where)).one()

        return {
            "lot": batch.lot,
            "fruit": counted(),
            "delivered": counted(LineFruit.state == DELIVERED),
            "doubtful": counted(LineFruit.tier == DOUBTFUL),
            "opened_at": format_time(batch.opened_at),
            "closed_at": None if batch.closed_at is None else format_time(batch.closed_at),
            "ref": batch.server_ref,
            "refused": None if batch.refused is None else json.loads(batch.refused)["code"],
        }

    def _load(self) -> None:
        with self.db.read() as session:
            self._open = session.exec(select(LineBatch).where(col(LineBatch.closed_at).is_(None))).first()
            if self._open is None:
                return
            own = LineFruit.batch_id == self._open.id
            sums = select(LineFruit.tier, func.count(), func.sum(LineFruit.mass_g), func.sum(LineFruit.price_fen))
            for tier, fruit, mass_g, price_fen in session.exec(sums.where(own).group_by(LineFruit.tier)):
                self.tally.by_tier[tier] = [fruit, int(mass_g), int(price_fen)]
                self.tally.fruit += fruit
                self.tally.mass_g += int(mass_g)
            is_near = col(LineFruit.near_fen).is_not(None)
            near = select(func.count(), func.coalesce(func.sum(LineFruit.near_fen), 0)).where(own, is_near)
            fruit, fen = session.exec(near).one()
            self.tally.near = [fruit, int(fen or 0)]
            lost = select(func.count()).where(own, col(LineFruit.lost).is_not(None))
            self.tally.lost = session.exec(lost).one()
            self.tally.weighed = session.exec(select(func.count()).where(own, col(LineFruit.is_weighed))).one()
        self.tally.last_number = self.last_number(self._open.id)

    def _fruit(self, session: Session, number: int) -> LineFruit:
        if self._open is None:
            raise NoBatchError
        own = (LineFruit.batch_id == self._open.id, LineFruit.number == number)
        row = session.exec(select(LineFruit).where(*own)).first()
        if row is None:
            raise UnknownNumberError(number)
        return row

    def _some(self, *where: Any, order: Any, most: int) -> list[LineFruit]:
        batch = self._open
        if batch is None:
            return []
        with self.db.read() as session:
            wanted = select(LineFruit).where(LineFruit.batch_id == batch.id, *where).order_by(order).limit(most)
            return list(session.exec(wanted))


def _grow(db: Database) -> None:
    """Add the columns that an earlier version's file does not have: what it holds may not have been delivered yet."""
    known = inspect(db.engine)
    with db.engine.begin() as connection:
        for table in Kept.metadata.tables.values():
            held = {each["name"] for each in known.get_columns(table.name)}
            for column in (each for each in table.columns if each.name not in held):
                kind = column.type.compile(db.engine.dialect)
                default = "" if column.nullable else " NOT NULL DEFAULT 0"
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}{default}"))


def _add(session: Session, batch: int, fruit: Sequence[NewFruit]) -> None:
    """Write many rows in two statements: at thirty fruit a second, one object for every crop would cost too much."""
    rows: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    for each in fruit:
        named = {sha256(data).hexdigest(): data for data in (each.record, *each.crops)}
        files |= named
        rows.append(
            {
                "batch_id": batch,
                "number": each.number,
                "at": each.at,
                "tier": each.tier,
                "camera_tier": each.tier,
                "nominal_tier": each.nominal_tier,
                "mass_g": each.mass_g,
                "price_fen": each.price_fen,
                "near_fen": each.near_fen,
                "is_weighed": each.is_weighed,
                "files": " ".join(named),
                "shown": json.dumps(each.shown, ensure_ascii=False),
                "is_commanded": False,
                "state": WAITING,
            }
        )
    if rows:
        session.execute(insert(LineFruit), rows)
        _keep(session, files, batch)


def _keep(session: Session, files: Mapping[str, bytes], batch: int) -> None:
    rows = [{"sha256": name, "batch_id": batch, "state": WAITING, "data": data} for name, data in files.items()]
    session.execute(insert(LineFile).prefix_with("OR IGNORE"), rows)


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Journal]:
    """Open a station's file for the length of a block."""
    journal = Journal(folder)
    try:
        yield journal
    finally:
        journal.close()
