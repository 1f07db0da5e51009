"""The grading station: calibrate the line, open a batch for a received lot, inspect photographs, let
people judge what the camera doubts, close the batch.

Functions take the caller's session and `now`, and never commit. Photographs and records go to the file
store first: should the transaction fail, files that nothing names are left over, and nothing else.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from sqlalchemy.exc import NoResultFound
from sqlmodel import Session, col, select

from grading import events
from grading.calibrate import Coin, Marker, Reference, find_scale
from grading.camera import decode
from grading.detectors import CLASSICAL, detector_named
from grading.errors import (
    CalibrationExpiredError,
    CalibrationFailedError,
    CalibrationMissingError,
    ClosedBatchError,
    DoubtfulLeftError,
    EmptyBatchError,
    GradedLotError,
    HeldLotError,
    JudgementError,
    OtherRunError,
    ScaleMovedError,
    SecondPersonError,
    StillRunningError,
    UnbalancedError,
    UnknownBatchError,
    UnknownFruitError,
    UnknownLotError,
    UsedPhotographError,
)
from grading.evidence import Kept, keep_fruit, keep_setup
from grading.grade import DOUBTFUL
from grading.look import Seen, Setup, look
from grading.models import Batch, Calibration, Fruit, Outcome, Photograph
from grading.standard import CULL, Standard, Tariff, load_standard, load_tariff, parse_standard, parse_tariff
from ledger import merkle
from ledger.canonical import canonical, decode_entry
from ledger.disclosure import commit_fields
from ledger.events import Event, ObjectEvent
from ledger.kernel.actors import Actor
from ledger.kernel.files import FileStore, ni_uri
from ledger.kernel.ids import (
    DeviceId,
    DocumentType,
    EventId,
    LotId,
    Numbering,
    PartyId,
    PlaceId,
    lot_id,
    new_event_id,
    parse_digital_link,
)
from ledger.kernel.quantities import divide_mass, grams
from ledger.kernel.sequences import next_number
from ledger.log import record
from ledger.trace import entries_naming
from ledger.vocabulary import Sentence, Transaction

VALID_FOR = timedelta(hours=12)
MANIFEST_FORMAT = "guoyuan-grading-manifest/1"
JUDGEMENT_FORMAT = "guoyuan-judgement/1"
JUDGEMENT_REASONS = ("looked", "bruise", "sap-mark", "rot", "insect", "shape", "not-a-fruit")

_MOVED_PERMILLE = 30
_UNACCOUNTED_PERMILLE = 10
_VARIABLE_MEASURE = 9
_HOUSE_REFERENCE = 10
_CARRIED = ("gy:variety", "gy:region", "cbvmda:harvestStartDate")


@dataclass(frozen=True, slots=True)
class Line:
    """One grading line of a packing house: its place, its camera, the party that records, its time zone."""

    house: PlaceId
    line: PlaceId
    camera: DeviceId
    recorder: PartyId
    zone: str

    @classmethod
    def of(cls, numbering: Numbering, *, zone: str, spot: str = "LINE-1", camera: str = "CAMERA-1") -> Self:
        """Return the line of an installation with one company prefix."""
        return cls(
            house=numbering.place(_HOUSE_REFERENCE),
            line=numbering.place(_HOUSE_REFERENCE, spot),
            camera=numbering.device(camera),
            recorder=numbering.party(_HOUSE_REFERENCE),
            zone=zone,
        )


@dataclass(frozen=True, slots=True)
class FruitVerdict:
    """One fruit as the station shows it. `tier` is what counts now; `camera_tier` what the camera said."""

    id: int
    batch: str
    number: int
    tier: str
    camera_tier: str
    nominal_tier: str
    candidates: tuple[str, ...]
    quality: str
    size: str
    rule: str
    reason_zh: str
    reason_en: str
    price_fen: int
    mass_g: int
    length_um: int
    width_um: int
    equivalent_diameter_um: int
    blemish_mm2: int
    blemish_permille: int
    score_permille: int
    outline: tuple[tuple[int, int], ...]
    crop: str
    record: str

    @property
    def is_doubtful(self) -> bool:
        """Whether a person still has to decide."""
        return self.tier == DOUBTFUL


@dataclass(frozen=True, slots=True)
class Closing:
    """What a batch came to. `mass_from` says how grams were shared: by `scale` or by `camera`."""

    batch: str
    event_id: str
    received_g: int
    unaccounted_g: int
    mass_from: str
    lots: tuple[events.TierLot, ...]


# --- calibration ---------------------------------------------------------------------------------


def calibrate(
    session: Session,
    files: FileStore,
    image: bytes,
    *,
    reference: Reference,
    line: Line,
    numbering: Numbering,
    now: datetime,
    operator: PartyId | None = None,
    focal_px: int | None = None,
    valid_for: timedelta = VALID_FOR,
) -> Calibration:
    """Check the line's scale on a photograph of its reference and record `calibrated`.

    Raises CannotGradeError for an unusable photograph and CalibrationFailedError where the reference's
    worst side reads wrong by more than is allowed (0.5 % for a marker, 5 % for a coin held by hand).
    """
    scale = find_scale(decode(image).pixels, reference)
    allowed_um = reference.size_um // (200 if isinstance(reference, Marker) else 20)
    if abs(scale.worst_um - reference.size_um) > allowed_um:
        raise CalibrationFailedError(reference_um=reference.size_um, measured_um=scale.worst_um, allowed_um=allowed_um)
    checked = Checked(
        kind="marker" if isinstance(reference, Marker) else "coin",
        target=reference.name,
        frame=files.put(image),
        reference_um=reference.size_um,
        measured_um=scale.worst_um,
        allowed_um=allowed_um,
        nm_per_px=scale.nm_per_px,
        made_at=now,
        valid_until=now + valid_for,
        focal_px=focal_px,
    )
    return record_calibration(session, checked, line=line, numbering=numbering, now=now, operator=operator)


@dataclass(frozen=True, slots=True)
class Checked:
    """A scale that was found right: by what, how it read, and how long that holds. `frame` is an `ni:` name."""

    kind: str
    target: str
    frame: str
    reference_um: int
    measured_um: int
    allowed_um: int
    nm_per_px: int
    made_at: datetime
    valid_until: datetime
    focal_px: int | None = None


def record_calibration(
    session: Session,
    checked: Checked,
    *,
    line: Line,
    numbering: Numbering,
    now: datetime,
    operator: PartyId | None = None,
) -> Calibration:
    """Record `calibrated` with a certificate of its own, and return the row that batches name."""
    day = day_of(now, line.zone)
    certificate = numbering.document(DocumentType.CALIBRATION, f"CAL{day}-{next_number(session, f'CAL{day}')}")
    event_id = new_event_id(now)
    record(
        session,
        events.calibrated(
            said(line, now, event_id),
            camera=line.camera,
            certificate=certificate,
            frame=checked.frame,
            target=checked.target,
            reference_um=checked.reference_um,
            measured_um=checked.measured_um,
            allowed_um=checked.allowed_um,
            nm_per_pixel=checked.nm_per_px,
            valid_until=checked.valid_until,
            digests=private(session, event_id, operator=operator),
        ),
        now=now,
    )
    calibration = Calibration(
        line=line.line,
        event_id=event_id,
        certificate=certificate,
        reference=checked.kind,
        reference_um=checked.reference_um,
        measured_um=checked.measured_um,
        nm_per_pixel=checked.nm_per_px,
        focal_px=checked.focal_px,
        frame=checked.frame,
        made_at=checked.made_at,
        valid_until=checked.valid_until,
    )
    session.add(calibration)
    session.flush()
    return calibration


def current_calibration(session: Session, line: PlaceId, *, now: datetime) -> Calibration:
    """Return the line's latest calibration. Raises CalibrationMissingError or CalibrationExpiredError."""
    latest = latest_calibration(session, line)
    if latest is None:
        raise CalibrationMissingError(line)
    if latest.valid_until < now:
        raise CalibrationExpiredError(line, latest.valid_until)
    return latest


def latest_calibration(session: Session, line: PlaceId) -> Calibration | None:
    """Return the line's latest calibration, valid or not."""
    return session.exec(
        select(Calibration).where(Calibration.line == line).order_by(col(Calibration.id).desc()).limit(1)
    ).first()


# --- batches -------------------------------------------------------------------------------------


def open_batch(
    session: Session,
    files: FileStore,
    lot: str,
    *,
    line: Line,
    numbering: Numbering,
    now: datetime,
    standard: Standard | None = None,
    tariff: Tariff | None = None,
    detector: str = CLASSICAL,
    brix_tenths: int | None = None,
    calibration: Calibration | None = None,
    line_run: str | None = None,
) -> Batch:
    """Open a batch for a received lot, or return the one already open for it.

    A batch with a `line_run` is filled by that run of a line, under the line's own calibration, and by
    nothing else; without, by photographs. Raises UnknownLotError, HeldLotError, GradedLotError,
    OtherRunError, CalibrationMissingError, CalibrationExpiredError.
    """
    lot = LotId(parse_digital_link(lot).canonical())
    existing = session.exec(select(Batch).where(Batch.lot == lot)).first()
    if existing is not None:
        if existing.event_id is not None and existing.line_run != line_run:
            raise GradedLotError(lot, existing.event_id)
        if existing.line_run != line_run:
            raise OtherRunError(existing.ref, filled_by(existing))
        if existing.event_id is not None and line_run is None:
            raise GradedLotError(lot, existing.event_id)
        return existing
    received, picked = _origin(session, lot)
    calibration = calibration or current_calibration(session, line.line, now=now)
    standard = standard or load_standard("mango")
    tariff = tariff or load_tariff()
    for data in (standard.data, tariff.data):
        files.put(data)
    if line_run is None:
        setup = Setup(
            standard, tariff, _reference(calibration), calibration.focal_px, detector_named(detector), brix_tenths
        )
        keep_setup(files, setup)
    day = day_of(now, line.zone)
    number = next_number(session, f"GR{day}")
    ref = f"GR{day}-{number:04d}"
    orders = {
        transaction.biz_transaction
        for event in (*received, *picked)
        for transaction in event.biz_transaction_list
        if transaction.type == Transaction.PRODUCTION_ORDER
    }
    batch = Batch(
        ref=ref,
        run=numbering.document(DocumentType.GRADING_RUN, ref),
        lot=lot,
        line=line.line,
        number=number,
        day=day,
        received_g=sum(_grams_of(event, lot) for event in received),
        pick_orders=" ".join(sorted(orders)),
        ilmd=json.dumps(_carried(picked)),
        crop=standard.content.crop,
        standard=standard.digest,
        tariff=tariff.digest,
        calibration_id=calibration.id,
        detector=detector,
        brix_tenths=brix_tenths,
        line_run=line_run,
        opened_at=now,
    )
    session.add(batch)
    session.flush()
    return batch


@dataclass(frozen=True, slots=True)
class Origin:
    """What a batch's lot is: variety, and the plots it came from."""

    variety: str
    plots: tuple[str, ...]


def origin_of(batch: Batch) -> Origin:
    """Return what the picked event said of the batch's lot."""
    ilmd = json.loads(batch.ilmd)
    return Origin(str(ilmd.get("gy:variety", "")), tuple(ilmd.get("gy:plots", ())))


def setup_of(session: Session, files: FileStore, batch: str) -> Setup:
    """Return what the batch's photographs are judged by. Raises UnknownBatchError, and OtherRunError for a line's."""
    row = find_batch(session, batch)
    if row.line_run is not None:
        raise OtherRunError(row.ref, filled_by(row))
    calibration = session.get_one(Calibration, row.calibration_id)
    return Setup(
        standard=parse_standard(row.crop, files.get(ni_uri(row.standard))),
        tariff=parse_tariff("tariff", files.get(ni_uri(row.tariff))),
        reference=_reference(calibration),
        focal_px=calibration.focal_px,
        detector=detector_named(row.detector),
        brix_tenths=row.brix_tenths,
    )


def rules_of(session: Session, files: FileStore, batch: str) -> tuple[Standard, Tariff]:
    """Return the standard and the tariff a batch is graded by. Raises UnknownBatchError."""
    row = find_batch(session, batch)
    return (
        parse_standard(row.crop, files.get(ni_uri(row.standard))),
        parse_tariff("tariff", files.get(ni_uri(row.tariff))),
    )


def filled_by(batch: Batch) -> str:
    """Return in words what fills a batch."""
    return "photographs" if batch.line_run is None else f"the line's run {batch.line_run}"


def find_batch(session: Session, batch: str, *, lock: bool = False) -> Batch:
    """Return a batch by reference, locked until the transaction ends if asked. Raises UnknownBatchError."""
    wanted = select(Batch).where(Batch.ref == batch)
    try:
        return session.exec(wanted.with_for_update() if lock else wanted).one()
    except NoResultFound as error:
        raise UnknownBatchError(batch) from error


# --- inspecting ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A photograph already looked at, so that the unit of work need not wait for the camera's arithmetic."""

    image: bytes
    seen: Seen
    setup: Setup
    milliseconds: int


def sight(image: bytes, setup: Setup) -> Sighting:
    """Look at a photograph; needs no session. Raises CannotGradeError."""
    started = time.perf_counter()
    seen = look(image, setup)
    return Sighting(image, seen, setup, round((time.perf_counter() - started) * 1000))


def inspect(
    session: Session, files: FileStore, batch: str, image: bytes | Sighting, *, now: datetime
) -> list[FruitVerdict]:
    """Grade every whole fruit of a photograph and count it in the batch.

    The same photograph again gives the same answer and counts nothing. Raises CannotGradeError (broken,
    without scale, without fruit, counted in another batch), ClosedBatchError, CalibrationExpiredError.
    """
    row = find_batch(session, batch, lock=True)
    sighting = image if isinstance(image, Sighting) else sight(image, setup_of(session, files, batch))
    seen = sighting.seen
    known = session.exec(select(Photograph).where(Photograph.frame == ni_uri(seen.frame.digest))).first()
    if known is not None:
        if known.batch != row.ref:
            raise UsedPhotographError(known.frame, known.batch)
        return fruit_of_photograph(session, known.id)
    if row.closed_at is not None:
        raise ClosedBatchError(row.ref)
    if row.line_run is not None:
        raise OtherRunError(row.ref, filled_by(row))
    calibration = session.get_one(Calibration, row.calibration_id)
    if calibration.valid_until < now:
        raise CalibrationExpiredError(row.line, calibration.valid_until)
    _refuse_moved(sighting, calibration)
    frame = files.put(sighting.image)
    photograph = Photograph(
        batch=row.ref,
        frame=frame,
        width=seen.frame.width,
        height=seen.frame.height,
        nm_per_pixel=seen.scale.nm_per_px,
        camera_height_um=seen.camera_height_um,
        cut=seen.cut,
        milliseconds=sighting.milliseconds,
        seen_at=now,
    )
    session.add(photograph)
    session.flush()
    first = row.fruit_count + 1
    row.fruit_count += len(seen.fruit)
    kept = [
        keep_fruit(files, seen, fruit, number=number, run=row.run, setup=sighting.setup)
        for number, fruit in enumerate(seen.fruit, first)
    ]
    session.add_all(
        _fruit_row(sighting, index, kept[index], number=first + index, photograph=photograph)
        for index in range(len(seen.fruit))
    )
    session.flush()
    return fruit_of_photograph(session, photograph.id)


def fruit_of_photograph(session: Session, photograph_id: int) -> list[FruitVerdict]:
    """Return a photograph's fruit in counting order."""
    rows = session.exec(select(Fruit).where(Fruit.photograph_id == photograph_id).order_by(col(Fruit.number)))
    return [fruit_verdict(row) for row in rows]


def fruit_verdict(row: Fruit) -> FruitVerdict:
    """Return a fruit as the station shows it."""
    return FruitVerdict(
        id=row.id,
        batch=row.batch,
        number=row.number,
        tier=row.judged_tier or row.camera_tier,
        camera_tier=row.camera_tier,
        nominal_tier=row.nominal_tier,
        candidates=tuple(row.candidates.split()),
        quality=row.quality,
        size=row.size,
        rule=row.rule,
        reason_zh=row.reason_zh,
        reason_en=row.reason_en,
        price_fen=row.price_fen,
        mass_g=row.mass_g,
        length_um=row.length_um,
        width_um=row.width_um,
        equivalent_diameter_um=row.equivalent_diameter_um,
        blemish_mm2=row.blemish_mm2,
        blemish_permille=row.blemish_permille,
        score_permille=row.score_permille,
        outline=tuple((x, y) for x, y in json.loads(row.outline)),
        crop=row.crop,
        record=row.record,
    )


def judge(
    session: Session,
    files: FileStore,
    fruit: int,
    tier: str,
    actor: Actor,
    *,
    now: datetime,
    reason: str = "looked",
    second_person: PartyId | None = None,
) -> FruitVerdict:
    """Let a person decide about a fruit, doubted or graded by the camera; the same judgement twice is one.

    Raises SecondPersonError for a tier better than the numbers say without somebody else's agreement,
    JudgementError for an unknown tier or reason, UnknownFruitError, ClosedBatchError.
    """
    row = session.get(Fruit, fruit)
    if row is None:
        raise UnknownFruitError(fruit)
    batch = find_batch(session, row.batch, lock=True)
    if batch.closed_at is not None:
        raise ClosedBatchError(batch.ref)
    session.refresh(row)
    _, tariff = rules_of(session, files, batch.ref)
    if tier not in tariff.tiers:
        raise JudgementError(f"{tier!r} is none of the tiers {', '.join(tariff.tiers)}")
    if reason not in JUDGEMENT_REASONS:
        raise JudgementError(f"{reason!r} is none of the reasons {', '.join(JUDGEMENT_REASONS)}")
    if tariff.rank(tier) < tariff.rank(row.nominal_tier) and second_person in (None, actor.party):
        raise SecondPersonError(from_tier=row.nominal_tier, to_tier=tier)
    row.judged_tier, row.judged_reason = tier, reason
    row.judged_by, row.second_person = actor.party, second_person
    row.judged_at = now
    row.price_fen = tariff.price_fen(tier, row.mass_g)
    session.add(row)
    session.flush()
    return fruit_verdict(row)


# --- closing -------------------------------------------------------------------------------------


def close_batch(
    session: Session,
    files: FileStore,
    batch: str,
    *,
    line: Line,
    numbering: Numbering,
    now: datetime,
    weighed_g: Mapping[str, int] | None = None,
    operator: PartyId | None = None,
) -> Closing:
    """Close a batch and record `graded` (and `override_made` where people decided); twice is once.

    With `weighed_g` (grams on the scale per tier) the tiers weigh what the scale says. Without, they weigh what
    their fruit do if a line weighed each one and nothing but the usual percent is missing. Else the
    received mass is shared out in proportion to what the camera saw: an estimate, and the
    event says `camera`. A batch that a line fills closes only when all fruit up to the last number the line
    told have arrived. Raises DoubtfulLeftError, EmptyBatchError, UnbalancedError, StillRunningError.
    """
    row = find_batch(session, batch, lock=True)
    if row.closed_at is not None:
        return closing_of(session, row)
    if row.line_run is not None and row.last_number != row.expected:
        raise StillRunningError(row.ref, arrived=row.last_number, expected=row.expected)
    fruit = list(session.exec(select(Fruit).where(Fruit.batch == row.ref).order_by(col(Fruit.number))))
    if not fruit:
        raise EmptyBatchError(row.ref)
    waiting = [each.number for each in fruit if (each.judged_tier or each.camera_tier) == DOUBTFUL]
    if waiting:
        raise DoubtfulLeftError(row.ref, waiting)
    standard, tariff = rules_of(session, files, batch)
    present = [tier for tier in tariff.tiers if any(_tier(each) == tier for each in fruit)]
    masses, mass_from = _masses(row, fruit, present, weighed_g)
    unaccounted_g = row.received_g - sum(masses.values())
    lots = tuple(
        events.TierLot(
            tier=tier,
            lot=_graded_lot(row, tier, tariff, numbering),
            fruits=sum(_tier(each) == tier for each in fruit),
            mass_g=masses[tier],
        )
        for tier in present
    )
    overrides = _record_overrides(session, files, row, fruit, line=line, now=now)
    event_id = new_event_id(now)
    records = [each.record for each in fruit]
    ilmd = json.loads(row.ilmd)
    record(
        session,
        events.graded(
            said(line, now, event_id),
            lot=row.lot,
            received_g=row.received_g,
            run=row.run,
            pick_orders=row.pick_orders.split(),
            ilmd=ilmd,
            lots=lots,
            standard=standard.id,
            edition=standard.edition,
            standard_hash=ni_uri(row.standard),
            model_hash=row.model or files.put(setup_of(session, files, batch).model),
            overridden=sum(each.judged_tier is not None for each in fruit),
            doubtful=sum(each.camera_tier == DOUBTFUL for each in fruit),
            unaccounted_g=unaccounted_g,
            mass_from=mass_from,
            records_root=records_root([files.get(name) for name in records]),
            calibration=session.get_one(Calibration, row.calibration_id).event_id,
            overrides=overrides,
            evidence=[files.put(_manifest(session, row, fruit))],
            digests=private(session, event_id, operator=operator),
        ),
        now=now,
    )
    row.closed_at, row.event_id = now, event_id
    row.mass_from, row.unaccounted_g = mass_from, unaccounted_g
    session.add(row)
    session.add_all(
        Outcome(batch=row.ref, tier=each.tier, lot=each.lot, fruits=each.fruits, mass_g=each.mass_g) for each in lots
    )
    session.flush()
    return closing_of(session, row)


def closing_of(session: Session, batch: Batch) -> Closing:
    """Return what a closed batch came to. Raises EmptyBatchError for one that is open."""
    if batch.event_id is None or batch.mass_from is None or batch.unaccounted_g is None:
        raise EmptyBatchError(batch.ref)
    rows = session.exec(select(Outcome).where(Outcome.batch == batch.ref).order_by(col(Outcome.id)))
    lots = tuple(events.TierLot(row.tier, LotId(row.lot), row.fruits, row.mass_g) for row in rows)
    return Closing(batch.ref, batch.event_id, batch.received_g, batch.unaccounted_g, batch.mass_from, lots)


def records_root(records: Sequence[bytes]) -> str:
    """Return the `ni:` name of the RFC 9162 root over fruit records, in counting order."""
    return ni_uri(merkle.root([merkle.leaf_hash(data) for data in records]))


def _masses(
    batch: Batch, fruit: Sequence[Fruit], present: Sequence[str], weighed_g: Mapping[str, int] | None
) -> tuple[dict[str, int], str]:
    """Return the grams of each tier, and whose they are."""
    allowed_g = batch.received_g * _UNACCOUNTED_PERMILLE // 1000
    if weighed_g is None:
        seen, each_g = Counter[str](), Counter[str]()
        for each in fruit:
            # A line may have weighed some fruit: grams of both kinds are one unit. Photographs tell volumes.
            seen[_tier(each)] += max(1, each.volume_mm3 if batch.line_run is None else each.mass_g)
            each_g[_tier(each)] += each.mass_g
        is_weighed = all(each.mass_from == "scale" for each in fruit)
        if is_weighed and 0 <= batch.received_g - each_g.total() <= allowed_g:
            return {tier: each_g[tier] for tier in present}, "scale"
        shares = divide_mass(batch.received_g, {tier: seen[tier] for tier in present})
        return {tier: int(mass) for tier, mass in shares.items()}, "camera"
    if set(weighed_g) != set(present):
        raise JudgementError(
            f"scale readings are for {', '.join(sorted(weighed_g))}; the fruit are in {', '.join(present)}"
        )
    masses = {tier: int(grams(weighed_g[tier])) for tier in present}
    if not 0 <= batch.received_g - sum(masses.values()) <= allowed_g:
        raise UnbalancedError(received_g=batch.received_g, weighed_g=sum(masses.values()), allowed_g=allowed_g)
    return masses, "scale"


def _record_overrides(
    session: Session, files: FileStore, batch: Batch, fruit: Sequence[Fruit], *, line: Line, now: datetime
) -> list[str]:
    judged = [each for each in fruit if each.judged_tier is not None]
    if not judged:
        return []
    moves = Counter((each.camera_tier, str(each.judged_tier), str(each.judged_reason)) for each in judged)
    frames = session.exec(
        select(Photograph.frame)
        .where(col(Photograph.id).in_({each.photograph_id for each in judged if each.photograph_id is not None}))
        .order_by(col(Photograph.id))
    )
    views = [each.crop for each in judged if each.photograph_id is None and each.crop]
    persons = {each.judged_by for each in judged} | {each.second_person for each in judged}
    event_id = new_event_id(now)
    files_of = [files.put(_judgement(batch, each)) for each in judged]
    record(
        session,
        events.override_made(
            said(line, now, event_id),
            lot=batch.lot,
            touched_g=sum(each.mass_g for each in judged),
            run=batch.run,
            moves=[events.Move(a, b, count, reason) for (a, b, reason), count in sorted(moves.items())],
            second_person=any(each.second_person for each in judged),
            records_root=records_root([files.get(name) for name in files_of]),
            evidence=[*frames, *views][:100],
            digests=private(
                session, event_id, **{f"person{i}": p for i, p in enumerate(sorted(p for p in persons if p), 1)}
            ),
        ),
        now=now,
    )
    return [event_id]


def _judgement(batch: Batch, fruit: Fruit) -> bytes:
    return canonical(
        {
            "format": JUDGEMENT_FORMAT,
            "run": batch.run,
            "number": fruit.number,
            "record": fruit.record,
            "fromTier": fruit.camera_tier,
            "toTier": fruit.judged_tier,
            "reason": fruit.judged_reason,
            "secondPerson": "present" if fruit.second_person else "not needed",
        }
    )


def _manifest(session: Session, batch: Batch, fruit: Sequence[Fruit]) -> bytes:
    """Return the list of everything a batch rests on: how one gets from the event to a fruit's picture."""
    frames = session.exec(select(Photograph.frame).where(Photograph.batch == batch.ref).order_by(col(Photograph.id)))
    return canonical(
        {
            "format": MANIFEST_FORMAT,
            "run": batch.run,
            "standard": ni_uri(batch.standard),
            "tariff": ni_uri(batch.tariff),
            "frames": list(frames),
            **_line_told(session, batch),
            "fruit": [{"record": each.record, "crop": each.crop, "tier": _tier(each)} for each in fruit],
        }
    )


def _line_told(session: Session, batch: Batch) -> dict[str, object]:
    """Return what a line's batch rests on besides its records; a record names its own views."""
    if batch.line_run is None:
        return {}
    profile = session.get_one(Calibration, batch.calibration_id).frame
    return {
        "lineRun": batch.line_run,
        "profile": profile,
        "gaps": json.loads(batch.gaps),
        "lost": json.loads(batch.lost),
    }


# --- helpers -------------------------------------------------------------------------------------


def _origin(session: Session, lot: LotId) -> tuple[list[ObjectEvent], list[ObjectEvent]]:
    """Return the lot's received and picked events. Raises UnknownLotError, HeldLotError, GradedLotError."""
    wanted = {Sentence.RECEIVED, Sentence.PICKED, Sentence.RECALLED, Sentence.GRADED}
    entries = entries_naming(session, lot, sentences={sentence.value for sentence in wanted})
    declared_wrong = {entry.event_id for entry in entries if entry.is_declaration}
    found: dict[str, list[Event]] = {}
    for entry in entries:
        if entry.event_id not in declared_wrong:
            found.setdefault(entry.sentence, []).append(decode_entry(entry.data))
    received = [e for e in found.get(Sentence.RECEIVED, []) if isinstance(e, ObjectEvent)]
    picked = [e for e in found.get(Sentence.PICKED, []) if isinstance(e, ObjectEvent)]
    if not received:
        raise UnknownLotError(lot)
    if Sentence.RECALLED in found:
        raise HeldLotError(lot, "it was recalled")
    if Sentence.GRADED in found:
        raise GradedLotError(lot, str(found[Sentence.GRADED][0].event_id))
    for event in received:
        receipt = event.extensions.get("gy:receipt", {})
        difference, allowed = receipt.get("gy:differenceG", 0), receipt.get("gy:allowedG", 0)
        if abs(difference) > allowed:
            raise HeldLotError(lot, f"received and picked differ by {abs(difference)} g, {allowed} g is allowed")
    return received, picked


def _grams_of(event: ObjectEvent, lot: LotId) -> int:
    return sum(int(q.quantity or 0) for q in event.quantity_list if q.epc_class == lot)


def _carried(picked: Sequence[ObjectEvent]) -> dict[str, object]:
    ilmd: dict[str, object] = {}
    for event in picked:
        ilmd |= {name: event.ilmd[name] for name in _CARRIED if name in event.ilmd}
    plots = sorted({event.read_point.id for event in picked if event.read_point is not None})
    return ilmd | ({"gy:plots": plots} if plots else {})


def _reference(calibration: Calibration) -> Reference:
    if calibration.reference == "marker":
        return Marker(calibration.reference_um)
    return Coin(calibration.reference_um)


def _refuse_moved(sighting: Sighting, calibration: Calibration) -> None:
    """A marker is printed on the line, so its scale stands still; a coin lies wherever a hand put it."""
    found, calibrated = sighting.seen.scale.nm_per_px, calibration.nm_per_pixel
    if calibration.reference == "marker" and abs(found - calibrated) * 1000 > _MOVED_PERMILLE * calibrated:
        raise ScaleMovedError(found_nm=found, calibrated_nm=calibrated)


def _fruit_row(sighting: Sighting, index: int, kept: Kept, *, number: int, photograph: Photograph) -> Fruit:
    fruit = sighting.seen.fruit[index]
    measures, verdict = fruit.measures, fruit.verdict
    return Fruit(
        batch=photograph.batch,
        photograph_id=photograph.id,
        number=number,
        outline=json.dumps(fruit.outline, separators=(",", ":")),
        length_um=measures.length_um,
        width_um=measures.width_um,
        equivalent_diameter_um=measures.equivalent_diameter_um,
        blemish_mm2=measures.blemish_mm2,
        blemish_permille=measures.blemish_permille,
        volume_mm3=measures.volume_mm3,
        mass_g=measures.mass_g,
        score_permille=fruit.detection.score_permille,
        camera_tier=verdict.tier,
        nominal_tier=verdict.nominal_tier,
        candidates=" ".join(verdict.candidates),
        quality=verdict.quality,
        size=verdict.size,
        rule=verdict.rule,
        reason_zh=verdict.reason.zh,
        reason_en=verdict.reason.en,
        price_fen=verdict.price_fen,
        crop=kept.crop,
        record=kept.record,
    )


def _tier(fruit: Fruit) -> str:
    return fruit.judged_tier or fruit.camera_tier


def _graded_lot(batch: Batch, tier: str, tariff: Tariff, numbering: Numbering) -> LotId:
    letter = "X" if tier == CULL else tier
    gtin = numbering.gtin(tariff.rule(tier).gtin_reference, indicator=_VARIABLE_MEASURE)
    return lot_id(gtin, f"G{batch.day}-{batch.number}{letter}")


def said(line: Line, now: datetime, event_id: EventId) -> events.Said:
    """Return who says a sentence of this line, when, and under which event id."""
    return events.Said(event_id, now, line.zone, line.recorder, line.line, line.house)


def day_of(now: datetime, zone: str) -> str:
    """Return the day at the line as names carry it: `260418`."""
    return f"{now.astimezone(ZoneInfo(zone)):%y%m%d}"


def private(session: Session, event_id: EventId, **people: PartyId | str | None) -> list[str]:
    """Commit to who took part in an event, and return the salted digests that the event carries."""
    named = {name: str(value) for name, value in people.items() if value is not None}
    return commit_fields(session, event_id, named) if named else []
