"""Belt fruit arriving at the house: a line counted them, perhaps hours ago and alone; here they are counted once.

A fruit is known by the line's run and its number. Its evidence comes first, under its hash; then records, in the
order of their numbers. What a record says is checked against itself and the batch before it counts; grading it
again from its pictures is `regrade`'s work and takes longer. Functions take the caller's session and `now`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from sqlmodel import Session, col, select

from grading import station
from grading.camera import decode
from grading.errors import (
    CalibrationExpiredError,
    CalibrationFailedError,
    CannotGradeError,
    ClockAheadError,
    EvidenceError,
    FruitGapError,
    FruitRefusedError,
    GradingError,
    LateFruitError,
    OtherRunError,
    OtherStandardError,
    UnknownFruitError,
)
from grading.evidence import decided
from grading.grade import Verdict
from grading.line.doubts import Doubt
from grading.line.fusing import Judging, verdict_of, weighed_reasons
from grading.line.record import FORMAT, weight_of
from grading.line.weights import MassFrom, Weight, counted, mass_from
from grading.look import recorded
from grading.measure import Measures
from grading.models import Batch, Calibration, Fruit
from grading.profile import EDITION, CameraProfile, parse_profile
from grading.standard import Standard, Tariff, parse_standard, parse_tariff
from grading.station import Line
from ledger.canonical import canonical
from ledger.errors import LedgerError
from ledger.kernel.actors import Actor
from ledger.kernel.files import FileStore, MissingFileError, ni_uri
from ledger.kernel.ids import LotId, Numbering, PartyId, parse_digital_link

MOST_BYTES: Final = 512 * 1024
"""A crop, record or profile is never larger."""
MOST_FRUIT: Final = 500
"""How many fruit one delivery brings at most."""
_REFERENCE_UM: Final = 100_000
_ALLOWED_UM: Final = 500
_SKEW: Final = timedelta(minutes=5)
"""How far a line's clock may be ahead of ours."""
_CROP_PIXELS: Final = 4_000_000
_OTHER_RECORD: Final = "was counted with another record"
_TOLD_GAP: Final = "was told to be a gap"
_CALIBRATION_OVER: Final = "passed after the camera's calibration had ended"
_OTHER_DETECTOR: Final = "was seen by another detector than the batch's first fruit"
_REFUSAL_CODES: Final = {
    _OTHER_RECORD: "other_record",
    _TOLD_GAP: "told_gap",
    _CALIBRATION_OVER: "calibration_over",
    _OTHER_DETECTOR: "other_detector",
}
_REFUSALS_KEPT: Final = 200
_REFUSAL_CHARS: Final = 200

GIVE_UP_REASONS: Final = ("computer-lost", "records-lost", "line-stopped")
"""Why nothing more will come from a line: its computer is lost, its records are, or it never goes on with this lot."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One fruit of a delivery: its number in the run, when it passed, and its record's `ni:` name."""

    number: int
    at: datetime
    record: str


@dataclass(frozen=True, slots=True)
class Examined:
    """A delivered fruit whose record was read and found to agree with itself and its batch.

    `measures` carry the mass that counts: the scale's where the record says so.
    """

    delivered: Delivered
    model: str
    crop: str
    measures: Measures | None
    mass_from: MassFrom
    score_permille: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """A person's decision at the line, made when the house may have been out of reach."""

    number: int
    tier: str
    reason: str
    at: datetime


# --- evidence ------------------------------------------------------------------------------------


def keep_evidence(files: FileStore, data: bytes, *, digest: bytes | None = None) -> str:
    """Keep a file a line brings, and return its `ni:` name; bringing it again changes nothing.

    Raises EvidenceError where it is not the file announced, too large, or of a kind that is not kept here:
    JPEG pictures that decode, and canonical JSON that names one of our formats.
    """
    if digest is not None and sha256(data).digest() != digest:
        raise EvidenceError("the file is not the one its name says")
    if len(data) > MOST_BYTES:
        raise EvidenceError(f"the file has {len(data)} bytes; at most {MOST_BYTES} are kept")
    if data[:2] == b"\xff\xd8":
        try:
            decode(data, max_pixels=_CROP_PIXELS, min_side=1)
        except CannotGradeError as error:
            raise EvidenceError(f"the picture is not kept: {error}") from error
    elif not _is_ours(data):
        raise EvidenceError("the file is neither a JPEG picture nor canonical JSON in one of our formats")
    return files.put(data)


def _is_ours(data: bytes) -> bool:
    try:
        told = json.loads(data)
        return isinstance(told, dict) and _names_format(told) and canonical(told) == data
    except (ValueError, RecursionError, LedgerError):
        return False


def _names_format(told: Mapping[str, Any]) -> bool:
    """Whether it says that it is a belt fruit's record, a camera profile, or the description of a detector."""
    return told.get("format") == FORMAT or told.get("edition") == EDITION or isinstance(told.get("detector"), str)


# --- opening -------------------------------------------------------------------------------------


def open_for_line(
    session: Session,
    files: FileStore,
    lot: str,
    *,
    run: str,
    profile: str,
    opened_at: datetime,
    standard: Standard,
    tariff: Tariff,
    told: tuple[bytes, bytes],
    line: Line,
    numbering: Numbering,
    now: datetime,
    brix_tenths: int | None = None,
    operator: PartyId | None = None,
) -> Batch:
    """Open a batch for a lot that a line has begun at `opened_at`, or return it where this run has it open.

    `told` are the digests of standard and tariff that the line graded by: the house's own of today, or a pair
    that a batch here was graded by before. `profile` names the kept camera profile, which becomes a
    calibration of the line once. Raises as `station.open_batch`, and OtherStandardError.
    """
    lot = LotId(parse_digital_link(lot).canonical())
    known = session.exec(select(Batch).where(Batch.lot == lot)).first()
    if known is not None and known.line_run == run:
        return known
    if told != (standard.digest, tariff.digest):
        before = session.exec(select(Batch).where(Batch.standard == told[0], Batch.tariff == told[1])).first()
        if before is None:
            what = "standard" if told[0] != standard.digest else "price book"
            wanted = standard.digest if what == "standard" else tariff.digest
            raise OtherStandardError(what, found=told[what != "standard"].hex()[:12], wanted=wanted.hex()[:12])
        standard, tariff = _parsed_pair(files, before)
    calibration = calibrate_by_profile(
        session, files, profile, line=line, numbering=numbering, now=now, operator=operator
    )
    if not calibration.made_at - _SKEW <= opened_at <= calibration.valid_until:
        raise CalibrationExpiredError(line.line, calibration.valid_until)
    return station.open_batch(
        session,
        files,
        lot,
        line=line,
        numbering=numbering,
        now=now,
        standard=standard,
        tariff=tariff,
        brix_tenths=brix_tenths,
        calibration=calibration,
        line_run=run,
    )


def calibrate_by_profile(
    session: Session,
    files: FileStore,
    profile: str,
    *,
    line: Line,
    numbering: Numbering,
    now: datetime,
    operator: PartyId | None = None,
) -> Calibration:
    """Return the calibration that a kept camera profile is, and record `calibrated` the first time it is seen.

    What it says of 100 mm on the belt is the board's root mean square error there. Raises EvidenceError where
    the profile is not kept or is none, CalibrationFailedError where it is off by more than half a millimetre.
    """
    known = session.exec(
        select(Calibration).where(
            Calibration.line == line.line, Calibration.reference == "profile", Calibration.frame == profile
        )
    ).first()
    if known is not None:
        return known
    found = _profile(files, profile)
    measured_um = _REFERENCE_UM + (found.plane.error_um if found.plane else 0)
    if measured_um - _REFERENCE_UM > _ALLOWED_UM:
        raise CalibrationFailedError(reference_um=_REFERENCE_UM, measured_um=measured_um, allowed_um=_ALLOWED_UM)
    checked = station.Checked(
        kind="profile",
        target="camera profile",
        frame=profile,
        reference_um=_REFERENCE_UM,
        measured_um=measured_um,
        allowed_um=_ALLOWED_UM,
        nm_per_px=found.nm_per_px,
        made_at=found.made_at,
        valid_until=found.valid_until,
    )
    return station.record_calibration(session, checked, line=line, numbering=numbering, now=now, operator=operator)


# --- fruit ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """What the records of a line's batch must have been made by. `profile` is an `ni:` name."""

    batch: Batch
    standard: Standard
    tariff: Tariff
    profile: str


def rules_of(session: Session, files: FileStore, batch: str) -> Rules:
    """Return what a line's batch is graded by. Raises UnknownBatchError, OtherRunError where photographs fill it."""
    row = station.find_batch(session, batch)
    if row.line_run is None:
        raise OtherRunError(row.ref, station.filled_by(row))
    profile = session.get_one(Calibration, row.calibration_id).frame
    return Rules(row, *station.rules_of(session, files, batch), profile)


def examine(files: FileStore, rules: Rules, run: str, fruit: Sequence[Delivered]) -> list[Examined]:
    """Read the records of delivered fruit; needs no session. Raises FruitRefusedError, naming each and why."""
    found: list[Examined] = []
    refused: dict[int, str] = {}
    missing: list[int] = []
    for each in fruit:
        try:
            found.append(_examined(files, rules, run, each))
        except (EvidenceError, MissingFileError) as error:
            refused[each.number] = str(error)
            missing += [each.number] if isinstance(error, MissingFileError) else []
    if refused:
        raise FruitRefusedError(refused, missing=missing)
    return found


def count(
    session: Session,
    batch: str,
    run: str,
    fruit: Sequence[Examined],
    *,
    now: datetime,
    gaps: Sequence[int] = (),
    last: int | None = None,
    lost: Mapping[int, str] = MappingProxyType({}),
) -> dict[int, int]:
    """Count delivered fruit in their batch and return the id of each by its number; again changes nothing.

    `gaps` are numbers of the run that no fruit will come for; `last` is the run's last number, told when the
    line has closed the batch; `lost` says by number why a fruit lies in no lane of its tier. Raises OtherRunError,
    FruitGapError, LateFruitError, ClockAheadError, and FruitRefusedError: counted with another record, passed after
    the calibration's end, seen by another detector.
    """
    row = station.find_batch(session, batch, lock=True)
    if row.line_run != run:
        raise OtherRunError(row.ref, station.filled_by(row))
    known = _known(session, row, [each.delivered.number for each in fruit])
    new = [each for each in fruit if each.delivered.number not in known]
    _refuse_others(session, row, fruit, known, now=now)
    told = set(json.loads(row.gaps)) | set(gaps)
    arriving = sorted({each.delivered.number for each in new} | {gap for gap in told if gap > row.last_number})
    for number in arriving:
        if row.expected is not None:
            raise LateFruitError(row.ref, last=row.expected, found=number)
        if number != row.last_number + 1:
            raise FruitGapError(row.ref, wanted=row.last_number + 1, found=number)
        row.last_number = number
    if last is not None and last != row.last_number:
        raise FruitGapError(row.ref, wanted=row.last_number + 1, found=last + 1)
    row.expected = row.expected if last is None else last
    row.gaps = json.dumps(sorted(told))
    if row.closed_at is None:  # its manifest is written when it closes
        row.lost = json.dumps(dict(sorted({**lost_of(row), **lost}.items())))
    if new:
        counted = {each.delivered.number for each in new}
        row.arrived_at = now
        row.refusals = json.dumps({n: why for n, why in refusals_of(row).items() if n not in counted})
    row.fruit_count += len(new)
    row.model = row.model or next((each.model for each in new), None)
    rows = [_row(row, each) for each in new]
    session.add(row)
    session.add_all(rows)
    session.flush()
    return {number: each.id for number, each in known.items()} | {each.number: each.id for each in rows}


def note_refusals(session: Session, batch: str, run: str, refused: Mapping[int, str]) -> None:
    """Remember why fruit of a run were refused, for the people at the station: the latest 200 numbers.

    Of another run, or of a batch that is closed, nothing is noted.
    """
    row = station.find_batch(session, batch, lock=True)
    if row.line_run != run or row.closed_at is not None:
        return
    told = refusals_of(row) | {number: why[:_REFUSAL_CHARS] for number, why in refused.items()}
    row.refusals = json.dumps(dict(sorted(told.items())[-_REFUSALS_KEPT:]), ensure_ascii=False)
    session.add(row)


def lost_of(batch: Batch) -> dict[int, str]:
    """Return why fruit of a line's batch lie in no lane of their tier, by number: the gates' own words."""
    return {int(number): why for number, why in json.loads(batch.lost).items()}


def refusals_of(batch: Batch) -> dict[int, str]:
    """Return why fruit of a line's batch were refused, by number."""
    return {int(number): why for number, why in json.loads(batch.refusals).items()}


def refusal_code(why: str) -> str:
    """Return a refusal's name for those who say it in their own words; `record` for all that a record got wrong."""
    return _REFUSAL_CODES.get(why, "record")


def give_up(session: Session, batch: str, *, reason: str, by: PartyId, now: datetime) -> Batch:
    """End a batch whose line will not come back, with the fruit that have arrived; again changes nothing.

    What the line still holds is refused as late. Raises OtherRunError where photographs fill the batch.
    """
    row = station.find_batch(session, batch, lock=True)
    if row.line_run is None:
        raise OtherRunError(row.ref, station.filled_by(row))
    if row.expected is None:
        row.expected = row.last_number
        row.given_up_at, row.given_up_by, row.given_up_reason = now, by, reason
        session.add(row)
        session.flush()
    return row


def judge_delivered(
    session: Session,
    files: FileStore,
    batch: str,
    run: str,
    *,
    judged: Sequence[Judged],
    actor: Actor,
    now: datetime,
) -> dict[int, int]:
    """Let decisions made at the line count, and return the ids of their fruit; the same ones again change nothing.

    None of them may be better than the numbers say: a second person agrees in the house's sight alone. Raises as
    `station.judge`, UnknownFruitError, OtherRunError.
    """
    row = station.find_batch(session, batch, lock=True)
    if row.line_run != run:
        raise OtherRunError(row.ref, station.filled_by(row))
    known = _known(session, row, [each.number for each in judged])
    for each in judged:
        fruit = known.get(each.number)
        if fruit is None:
            raise UnknownFruitError(each.number)
        if (fruit.judged_tier, fruit.judged_reason, fruit.judged_at) != (each.tier, each.reason, each.at):
            station.judge(session, files, fruit.id, each.tier, actor, now=min(each.at, now), reason=each.reason)
    return {number: fruit.id for number, fruit in known.items()}


# --- parts ---------------------------------------------------------------------------------------


def _examined(files: FileStore, rules: Rules, run: str, delivered: Delivered) -> Examined:
    batch = rules.batch
    told = _parsed(files.get(delivered.record))
    try:
        if (told["run"], told["number"]) != (run, delivered.number):
            raise EvidenceError("its record is of another run or number")
        if told["standard"]["file"] != ni_uri(batch.standard) or told["tariff"]["file"] != ni_uri(batch.tariff):
            raise EvidenceError("its record was made by another standard or price book than the batch's")
        brix = told["brixTenths"]
        if brix != (-1 if batch.brix_tenths is None else batch.brix_tenths):
            raise EvidenceError("its record was made with another Brix reading than the batch's")
        if told["profile"] != rules.profile:
            raise EvidenceError("its record was made with another camera profile than the batch's")
        crops = [view["crop"] for view in told["views"]]
        for name in (*crops, told["model"]):
            if not files.has(name):
                raise MissingFileError(f"{name}, which its record names, is not kept here")
        measures, weight = recorded(told) if told["measures"] else None, weight_of(told)
        if weight is not None and told["massFrom"] != mass_from(measures, weight):
            raise EvidenceError("its mass is not whose it says")
        verdict = _verdict(told, measures, weight, rules)
        if decided(verdict) != told["verdict"]:
            raise EvidenceError("its verdict is not what its measures come to")
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"its record is not complete: {error!r}") from error
    return Examined(
        delivered,
        told["model"],
        crops[0] if crops else "",
        None if measures is None else counted(measures, weight),
        mass_from(measures, weight),
        told["scorePermille"],
        verdict,
    )


def _verdict(told: Mapping[str, Any], measures: Measures | None, weight: Weight | None, rules: Rules) -> Verdict:
    brix = told["brixTenths"]
    by = Judging.fused(rules.standard, rules.tariff, brix_tenths=None if brix < 0 else brix)
    reasons = tuple(Doubt(reason) for reason in told["reasons"])
    if weighed_reasons(measures, reasons, weight) != reasons:
        raise EvidenceError("it does not say what its weight and its pictures' estimate come to")
    return verdict_of(measures, reasons, by, score_permille=told["scorePermille"], weight=weight)


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        told = json.loads(data)
        is_canonical = isinstance(told, dict) and canonical(told) == data
    except (ValueError, RecursionError, LedgerError) as error:
        raise EvidenceError("its record is not canonical JSON") from error
    if not is_canonical or told.get("format") != FORMAT:
        raise EvidenceError(f"its record is no {FORMAT} in canonical form")
    found: dict[str, Any] = told
    return found


def _row(batch: Batch, fruit: Examined) -> Fruit:
    measures, verdict = fruit.measures, fruit.verdict
    return Fruit(
        batch=batch.ref,
        number=fruit.delivered.number,
        seen_at=fruit.delivered.at,
        outline="[]",
        length_um=measures.length_um if measures else 0,
        width_um=measures.width_um if measures else 0,
        equivalent_diameter_um=measures.equivalent_diameter_um if measures else 0,
        blemish_mm2=measures.blemish_mm2 if measures else 0,
        blemish_permille=measures.blemish_permille if measures else 0,
        volume_mm3=measures.volume_mm3 if measures else 0,
        mass_g=measures.mass_g if measures else 0,
        mass_from=fruit.mass_from,
        score_permille=fruit.score_permille,
        camera_tier=verdict.tier,
        nominal_tier=verdict.nominal_tier,
        candidates=" ".join(verdict.candidates),
        quality=verdict.quality,
        size=verdict.size,
        rule=verdict.rule,
        reason_zh=verdict.reason.zh,
        reason_en=verdict.reason.en,
        price_fen=verdict.price_fen,
        crop=fruit.crop,
        record=fruit.delivered.record,
    )


def _parsed_pair(files: FileStore, batch: Batch) -> tuple[Standard, Tariff]:
    return (
        parse_standard(batch.crop, files.get(ni_uri(batch.standard))),
        parse_tariff("tariff", files.get(ni_uri(batch.tariff))),
    )


def _profile(files: FileStore, name: str) -> CameraProfile:
    try:
        return parse_profile(files.get(name))
    except (MissingFileError, GradingError) as error:
        raise EvidenceError(f"the camera profile is not usable: {error}") from error


def _known(session: Session, batch: Batch, numbers: Sequence[int]) -> dict[int, Fruit]:
    rows = session.exec(select(Fruit).where(Fruit.batch == batch.ref, col(Fruit.number).in_(numbers)))
    return {row.number: row for row in rows}


def _refuse_others(
    session: Session, batch: Batch, fruit: Sequence[Examined], known: Mapping[int, Fruit], *, now: datetime
) -> None:
    calibration = session.get_one(Calibration, batch.calibration_id)
    gaps = set(json.loads(batch.gaps))
    ahead = next((each.delivered for each in fruit if each.delivered.at > now + _SKEW), None)
    if ahead is not None:
        raise ClockAheadError(ahead.number, ahead.at, now)
    refused: dict[int, str] = {}
    for each in fruit:
        number, at = each.delivered.number, each.delivered.at
        if number in known:
            if known[number].record != each.delivered.record:
                refused[number] = _OTHER_RECORD
        elif number in gaps:
            refused[number] = _TOLD_GAP
        elif at > calibration.valid_until:
            refused[number] = _CALIBRATION_OVER
        elif batch.model not in {None, each.model}:
            refused[number] = _OTHER_DETECTOR
    if refused:
        raise FruitRefusedError(refused)
