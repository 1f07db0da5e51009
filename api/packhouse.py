"""What the station's panel is told: lots and their clocks, the batch on the line, stock, packs, loads, alarms.

Composes what grading, orders and farm_sensors know; decides nothing about fruit.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import BaseModel, PlainSerializer
from sqlmodel import Session, col, func, select

from api.runtime import Runtime
from farm_sensors import cold_chain
from farm_sensors.errors import NoSeriesError
from farm_sensors.quantities import Span
from grading import arrivals, station
from grading.filling import Portion, fill, portions
from grading.grade import DOUBTFUL
from grading.line.doubts import Doubt
from grading.look import DOUBTS
from grading.models import Batch, Calibration, Fruit, Outcome, Photograph
from grading.standard import (
    Standard,
    Tariff,
    load_standard,
    load_tariff,
    parse_standard,
    parse_tariff,
    standard_for,
)
from grading.station import FruitVerdict, Line, fruit_of_photograph, fruit_verdict, latest_calibration
from ledger.events import SensorElement
from ledger.kernel.clock import format_time
from ledger.kernel.files import FileStore, MissingFileError, ni_uri, parse_ni
from ledger.kernel.ids import LoadId, Numbering, parse_digital_link
from orders import fulfilment, intake, packing, shipping, stock
from orders.errors import InvalidInputError
from orders.models import Crate, GradedLot, Load, Lot, Pack, PackFruit, Plot, Product
from orders.products import PACK
from orders.states import LotState

Moment = Annotated[datetime, PlainSerializer(format_time, return_type=str, when_used="json")]
"""A time that JSON writes as RFC 3339, UTC, with milliseconds."""

COOLING_WARNING: Final = timedelta(minutes=20)
LINE_SILENT: Final = timedelta(minutes=15)
"""So long nothing arrives from a line whose batch is open before the panel says so."""
CALIBRATION_WARNING: Final = timedelta(minutes=30)
LOT_STAYS: Final = timedelta(hours=18)
_BIN_MM: Final = 4
_QUEUE: Final = 12
_PACKS: Final = 24
_LATEST: Final = 8
_REFUSED_SHOWN: Final = 5


class CalibrationView(BaseModel):
    """The line's latest calibration."""

    reference: str
    reference_um: int
    measured_um: int
    nm_per_pixel: int
    made_at: Moment
    valid_until: Moment
    is_valid: bool


class StandardView(BaseModel):
    """The standard a batch is graded by."""

    id: str
    edition: str
    title_zh: str
    title_en: str
    size_by: str


class TierView(BaseModel):
    """One tier's counter. Grams are the camera's until the batch is closed, then what was recorded."""

    tier: str
    fruits: int
    mass_g: int
    permille: int
    value_fen: int
    lot: str | None


class WordsView(BaseModel):
    """A text in both languages."""

    zh: str
    en: str


class FruitView(BaseModel):
    """One fruit as the panel draws it: its outline in the photograph's pixels, what was measured and decided.

    `doubts` say why a person is asked, whatever the numbers say; of fruit in the queue only, and empty where the
    numbers lie near a limit. `is_unsure` says that its outline is less sure than the standard asks for.
    """

    id: int
    number: int
    tier: str
    camera_tier: str
    nominal_tier: str
    candidates: list[str]
    quality: str
    size: str
    rule: str
    reason_zh: str
    reason_en: str
    price_fen: int
    mass_g: int
    length_um: int
    width_um: int
    blemish_mm2: int
    blemish_permille: int
    limits_mm2: list[int]
    doubts: list[WordsView]
    is_unsure: bool
    outline: list[tuple[int, int]]
    crop: str


class PhotographView(BaseModel):
    """The photograph graded last."""

    id: int
    picture: str
    width: int
    height: int
    nm_per_pixel: int
    milliseconds: int
    cut: int
    seen_at: Moment
    fruit: list[FruitView]


class SizeBin(BaseModel):
    """How many fruit are so wide."""

    from_mm: int
    fruits: int


class ClosingView(BaseModel):
    """What a closed batch came to."""

    received_g: int
    unaccounted_g: int
    mass_from: str
    event_id: str


class RefusedView(BaseModel):
    """A fruit that a line brought and that was not taken, and why: a name, and in words."""

    number: int
    code: str
    reason: str


class LineFillView(BaseModel):
    """How far a line has filled a batch. `expected` is the run's last number, known when the line has ended it.

    Every number up to `reached` has arrived or is known not to come: `gaps` so many. `refused` are the latest.
    """

    ref: str
    line: str
    run: str
    arrived: int
    reached: int
    expected: int | None
    gaps: int
    refused: list[RefusedView]
    refusals: int
    arrived_at: Moment | None
    given_up_at: Moment | None
    given_up_reason: str | None
    is_open: bool


class BatchView(BaseModel):
    """The batch on the line, or the one that was there last."""

    ref: str
    lot: str
    lot_number: str
    crop: str
    variety: str
    plots: list[str]
    received_g: int
    opened_at: Moment
    closed_at: Moment | None
    standard: StandardView
    tariff: str
    fruits: int
    photographs: int
    camera_mass_g: int
    doubtful: int
    judged: int
    tiers: list[TierView]
    widths: list[SizeBin]
    photograph: PhotographView | None
    queue: list[FruitView]
    line: LineFillView | None
    latest: list[FruitView]
    closing: ClosingView | None


class ClockView(BaseModel):
    """A lot's two hours from the end of picking to cooling."""

    minutes: int
    limit_minutes: int
    due_at: Moment
    is_stopped: bool
    is_late: bool


class LotView(BaseModel):
    """A harvest lot on its way into or through the house."""

    id: str
    number: str
    variety: str
    plot: str
    crates: list[str]
    state: str
    picked_g: int
    received_g: int | None
    pick_ended_at: Moment
    held_reason: str
    clock: ClockView
    batch: str | None
    line: LineFillView | None


class OfferView(BaseModel):
    """A pack product a graded lot can fill, with how many are sold and still missing."""

    gtin: str
    nominal_mass_g: int
    missing: int


class GradedLotView(BaseModel):
    """Graded stock."""

    id: str
    number: str
    tier: str
    variety: str
    mass_g: int
    left_g: int
    fruits: int
    certificate: str | None
    products: list[OfferView]


class PackView(BaseModel):
    """A closed pack and where its label is."""

    id: str
    gtin: str
    serial: str
    graded_lot: str
    tier: str
    variety: str
    mass_g: int
    nominal_mass_g: int
    fruits: int
    packed_at: Moment
    is_sold: bool
    load: str | None
    label_png: str
    label_pdf: str


class LoadView(BaseModel):
    """A load and how far it is."""

    id: str
    ref: str
    packs: list[str]
    net_mass_g: int
    logger: str | None
    destination: str | None
    loaded_at: Moment
    shipped_at: Moment | None
    delivered_at: Moment | None
    mismatch: list[str]


class AlarmView(BaseModel):
    """Something that must not be missed. `key` stays the same as long as it is the same thing."""

    key: str
    kind: str
    is_grave: bool
    subject: str
    at: Moment | None
    minutes: int
    detail: str


class StationView(BaseModel):
    """Everything the panel shows."""

    as_of: Moment
    line: str
    calibration: CalibrationView | None
    batch: BatchView | None
    lots: list[LotView]
    graded_lots: list[GradedLotView]
    packs: list[PackView]
    loads: list[LoadView]
    alarms: list[AlarmView]


@dataclass(frozen=True, slots=True)
class Filling:
    """The next pack of a graded lot: its product, its fruit, what they should weigh together."""

    graded_lot: str
    gtin: str
    nominal_mass_g: int
    fruit: tuple[Portion, ...]

    @property
    def mass_g(self) -> int:
        """What the fruit should weigh together."""
        return sum(each.mass_g for each in self.fruit)


def line_of(rt: Runtime) -> Line:
    """Return the installation's grading line."""
    return Line.of(rt.numbering, zone=rt.settings.time_zone)


def rules_for(rt: Runtime, crop: str) -> tuple[Standard, Tariff]:
    """Return what the house grades a crop by today: files of its own, or those shipped. Raises UnknownCropError."""
    own_standard, own_prices = rt.settings.standard_file, rt.settings.price_file
    return (
        load_standard(own_standard) if own_standard else standard_for(crop),
        load_tariff(own_prices) if own_prices else load_tariff(),
    )


def station_view(session: Session, files: FileStore, *, line: Line, now: datetime) -> StationView:
    """Return what stands at the station."""
    calibration = _calibration(latest_calibration(session, line.line), now=now)
    batch = _batch(session, files, line)
    lots = _lots(session, now=now)
    return StationView(
        as_of=now,
        line=line.line,
        calibration=calibration,
        batch=batch,
        lots=lots,
        graded_lots=[_graded_lot(session, row) for row in stock.graded_lots(session, open_only=True)],
        packs=_packs(session),
        loads=_loads(session),
        alarms=_alarms(calibration, batch, lots, now=now),
    )


def filling(session: Session, graded_lot: str, *, gtin: str | None) -> Filling:
    """Return the next pack of a graded lot. Raises NotFoundError, and InvalidInputError where it cannot be filled."""
    lot = stock.graded_lot(session, graded_lot)
    products = _products(session, lot)
    if gtin is None and len(products) != 1:
        listed = ", ".join(product.gtin for product in products) or "none"
        raise InvalidInputError("gtin", f"say which product lot {lot.number} is packed as: {listed}")
    chosen = next((product for product in products if gtin in (None, product.gtin)), None)
    if chosen is None:
        raise InvalidInputError("gtin", f"{gtin} is no pack of {lot.variety} {lot.tier}")
    own = portions_of(session, lot)
    taken = session.exec(
        select(PackFruit.record).where(col(PackFruit.record).in_([portion.record for portion in own]))
    ).all()
    fruit = fill(own, chosen.nominal_mass_g, taken=set(taken))
    return Filling(lot.id, chosen.gtin, chosen.nominal_mass_g, tuple(fruit))


def chosen_fruit(session: Session, proposed: Filling, records: Sequence[str] | None) -> list[packing.Fruit]:
    """Return the fruit of a pack: those named, or those proposed. Raises InvalidInputError for a strange record."""
    if records is None:
        return [packing.Fruit(each.record, each.mass_g) for each in proposed.fruit]
    own = {each.record: each.mass_g for each in portions_of(session, stock.graded_lot(session, proposed.graded_lot))}
    strange = [record for record in records if record not in own]
    if strange:
        raise InvalidInputError("fruit", f"{strange[0]} is no fruit of {proposed.graded_lot}")
    return [packing.Fruit(record, own[record]) for record in records]


def portions_of(session: Session, lot: GradedLot) -> list[Portion]:
    """Return every fruit of a graded lot with its share of the measured mass."""
    batch = session.exec(select(Outcome.batch).where(Outcome.lot == lot.id)).first()
    if batch is None:
        return []
    rows = session.exec(select(Fruit).where(Fruit.batch == batch).order_by(col(Fruit.number)))
    own = [row for row in rows if (row.judged_tier or row.camera_tier) == lot.tier]
    return portions([(row.record, row.volume_mm3) for row in own], lot.mass_g)


def leg_of(
    session: Session, files: FileStore, load: Load, *, now: datetime
) -> tuple[tuple[SensorElement, ...], dict[str, int]]:
    """Return a load's temperatures from shipping to now, with the logger's counts; empty where none came in."""
    if load.shipped_at is None:
        return (), {}
    low, high = shipping.WANTED_MILLI_CELSIUS
    wanted = Span(low / 1000, high / 1000)
    try:
        leg = cold_chain.leg(session, files, LoadId(load.id), start=load.shipped_at, end=now, wanted=wanted)
    except NoSeriesError:
        return (), {}
    counts = leg.counts
    return (leg.element,), {"expected": counts.expected, "received": counts.received, "suspect": counts.suspect}


def picture(session: Session, files: FileStore, digest: bytes) -> bytes | None:
    """Return a photograph, crop or record that the station keeps, or None for a hash it does not know."""
    name = ni_uri(digest)
    known = session.exec(select(Photograph.id).where(Photograph.frame == name)).first()
    if known is None:
        known = session.exec(select(Fruit.id).where((Fruit.crop == name) | (Fruit.record == name))).first()
    return None if known is None else files.get(name)


def device(text: str, numbering: Numbering) -> str:
    """Return the id of a device given by its GIAI or by the reference behind our prefix."""
    return parse_digital_link(text).canonical() if text.startswith("https://") else numbering.device(text)


# --- parts ---------------------------------------------------------------------------------------


def _calibration(row: Calibration | None, *, now: datetime) -> CalibrationView | None:
    if row is None:
        return None
    return CalibrationView(
        reference=row.reference,
        reference_um=row.reference_um,
        measured_um=row.measured_um,
        nm_per_pixel=row.nm_per_pixel,
        made_at=row.made_at,
        valid_until=row.valid_until,
        is_valid=row.valid_until >= now,
    )


def _batch(session: Session, files: FileStore, line: Line) -> BatchView | None:
    """Return the open batch of the line, or the one closed last; first one that waits for a person to close it."""
    row = session.exec(
        select(Batch)
        .where(Batch.line == line.line)
        .order_by(
            col(Batch.closed_at).is_not(None),
            (col(Batch.given_up_at).is_not(None) & col(Batch.closed_at).is_(None)).desc(),
            col(Batch.opened_at).desc(),
            col(Batch.ref).desc(),
        )
        .limit(1)
    ).first()
    return None if row is None else batch_view(session, files, row)


def batch_view(session: Session, files: FileStore, row: Batch) -> BatchView:
    """Return a batch as the panel shows it."""
    standard = parse_standard(row.crop, files.get(ni_uri(row.standard)))
    tariff = parse_tariff("tariff", files.get(ni_uri(row.tariff)))
    fruit = session.exec(select(Fruit).where(Fruit.batch == row.ref).order_by(col(Fruit.number))).all()
    photographs = session.exec(select(func.count()).where(Photograph.batch == row.ref)).one()
    latest = session.exec(
        select(Photograph).where(Photograph.batch == row.ref).order_by(col(Photograph.id).desc()).limit(1)
    ).first()
    waiting = [each for each in fruit if (each.judged_tier or each.camera_tier) == DOUBTFUL]
    origin = station.origin_of(row)
    return BatchView(
        ref=row.ref,
        lot=row.lot,
        lot_number=parse_digital_link(row.lot).values["10"],
        crop=row.crop,
        variety=origin.variety,
        plots=[_spot(plot) for plot in origin.plots],
        received_g=row.received_g,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        standard=StandardView(
            id=standard.id,
            edition=standard.edition,
            title_zh=standard.content.title.zh,
            title_en=standard.content.title.en,
            size_by=standard.content.size.by,
        ),
        tariff=tariff.id,
        fruits=len(fruit),
        photographs=photographs,
        camera_mass_g=sum(each.mass_g for each in fruit),
        doubtful=len(waiting),
        judged=sum(each.judged_tier is not None for each in fruit),
        tiers=_tiers(session, row, fruit, [*tariff.tiers]),
        widths=_widths(fruit),
        photograph=None if latest is None else _photograph(session, latest, standard),
        queue=[_queued(files, fruit_verdict(each), standard) for each in waiting[:_QUEUE]],
        line=line_fill(row),
        latest=[fruit_view(fruit_verdict(each), standard) for each in fruit[: -_LATEST - 1 : -1]]
        if row.line_run
        else [],
        closing=_closing(row),
    )


def line_fill(batch: Batch) -> LineFillView | None:
    """Return how far a line has filled a batch, or None where photographs fill it."""
    if batch.line_run is None:
        return None
    refused = sorted(arrivals.refusals_of(batch).items(), reverse=True)
    return LineFillView(
        ref=batch.ref,
        line=_spot(batch.line),
        run=batch.line_run.rpartition(":")[2][:8],
        arrived=batch.fruit_count,
        reached=batch.last_number,
        expected=batch.expected,
        gaps=len(json.loads(batch.gaps)),
        refused=[
            RefusedView(number=number, code=arrivals.refusal_code(why), reason=why)
            for number, why in refused[:_REFUSED_SHOWN]
        ],
        refusals=len(refused),
        arrived_at=batch.arrived_at,
        given_up_at=batch.given_up_at,
        given_up_reason=batch.given_up_reason,
        is_open=batch.closed_at is None,
    )


def _tiers(session: Session, batch: Batch, fruit: Sequence[Fruit], tiers: Sequence[str]) -> list[TierView]:
    recorded = {row.tier: row for row in session.exec(select(Outcome).where(Outcome.batch == batch.ref))}
    decided = [(each, each.judged_tier or each.camera_tier) for each in fruit]
    total = sum(tier != DOUBTFUL for _, tier in decided) or 1
    views = []
    for tier in tiers:
        own = [each for each, at in decided if at == tier]
        known = recorded.get(tier)
        views.append(
            TierView(
                tier=tier,
                fruits=len(own),
                mass_g=known.mass_g if known else sum(each.mass_g for each in own),
                permille=round(1000 * len(own) / total),
                value_fen=sum(each.price_fen for each in own),
                lot=known.lot if known else None,
            )
        )
    return views


def _widths(fruit: Sequence[Fruit]) -> list[SizeBin]:
    bins = Counter(each.width_um // 1000 // _BIN_MM * _BIN_MM for each in fruit)
    if not bins:
        return []
    return [SizeBin(from_mm=mm, fruits=bins[mm]) for mm in range(min(bins), max(bins) + _BIN_MM, _BIN_MM)]


def _closing(batch: Batch) -> ClosingView | None:
    if batch.event_id is None or batch.mass_from is None or batch.unaccounted_g is None:
        return None
    return ClosingView(
        received_g=batch.received_g,
        unaccounted_g=batch.unaccounted_g,
        mass_from=batch.mass_from,
        event_id=batch.event_id,
    )


def _photograph(session: Session, row: Photograph, standard: Standard) -> PhotographView:
    return PhotographView(
        id=row.id,
        picture=_address(row.frame),
        width=row.width,
        height=row.height,
        nm_per_pixel=row.nm_per_pixel,
        milliseconds=row.milliseconds,
        cut=row.cut,
        seen_at=row.seen_at,
        fruit=[fruit_view(each, standard) for each in fruit_of_photograph(session, row.id)],
    )


def fruit_view(fruit: FruitVerdict, standard: Standard) -> FruitView:
    """Return a fruit as the panel draws it."""
    code = fruit.size if fruit.size != "-" else standard.content.size.codes[0].code
    limits = [
        limit.at_most[code]
        for quality in standard.content.classes
        for limit in quality.limits
        if limit.quantity == "blemish_mm2"
    ]
    return FruitView(
        id=fruit.id,
        number=fruit.number,
        tier=fruit.tier,
        camera_tier=fruit.camera_tier,
        nominal_tier=fruit.nominal_tier,
        candidates=list(fruit.candidates),
        quality=fruit.quality,
        size=fruit.size,
        rule=fruit.rule,
        reason_zh=fruit.reason_zh,
        reason_en=fruit.reason_en,
        price_fen=fruit.price_fen,
        mass_g=fruit.mass_g,
        length_um=fruit.length_um,
        width_um=fruit.width_um,
        blemish_mm2=fruit.blemish_mm2,
        blemish_permille=fruit.blemish_permille,
        limits_mm2=limits,
        doubts=[],
        is_unsure=fruit.score_permille < standard.content.doubt.least_score_permille,
        outline=list(fruit.outline),
        crop=_address(fruit.crop),
    )


def _queued(files: FileStore, fruit: FruitVerdict, standard: Standard) -> FruitView:
    """Return a fruit that waits for a person, with what its record says is doubted about it."""
    try:
        told = json.loads(files.get(fruit.record))
    except (MissingFileError, ValueError):
        told = {}
    texts = [DOUBTS[name] for name in told.get("doubts", ()) if name in DOUBTS]
    texts += [Doubt(name).text for name in told.get("reasons", ()) if name in set(Doubt)]
    doubts = [WordsView(zh=text.zh, en=text.en) for text in texts]
    return fruit_view(fruit, standard).model_copy(update={"doubts": doubts})


def _lots(session: Session, *, now: datetime) -> list[LotView]:
    rows = [
        row
        for row in intake.lots(session)
        if row.state != LotState.CONSUMED or (row.received_at and now - row.received_at < LOT_STAYS)
    ]
    batches = {
        batch.lot: batch for batch in session.exec(select(Batch).where(col(Batch.lot).in_([r.id for r in rows])))
    }
    return [_lot(session, row, batches.get(row.id), now=now) for row in rows]


def _lot(session: Session, row: Lot, batch: Batch | None, *, now: datetime) -> LotView:
    clock = intake.clock_of(row.pick_ended_at, now=now, cooling_started_at=row.cooling_started_at)
    plot = session.get(Plot, row.plot_id)
    crates = session.exec(select(Crate.crate_id).where(Crate.lot_id == row.id).order_by(Crate.crate_id))
    return LotView(
        id=row.id,
        number=row.number,
        variety=row.variety,
        plot=plot.name if plot else _spot(row.plot_id),
        crates=[_spot(crate) for crate in crates],
        state=row.state,
        picked_g=row.picked_g,
        received_g=row.received_g,
        pick_ended_at=row.pick_ended_at,
        held_reason=row.held_reason,
        clock=ClockView(
            minutes=clock.minutes,
            limit_minutes=clock.limit_minutes,
            due_at=clock.due_at,
            is_stopped=clock.is_stopped,
            is_late=clock.is_late,
        ),
        batch=None if batch is None else batch.ref,
        line=None if batch is None else line_fill(batch),
    )


def _products(session: Session, lot: GradedLot) -> Sequence[Product]:
    return session.exec(
        select(Product)
        .where(Product.kind == PACK, Product.variety == lot.variety, Product.tier == lot.tier)
        .order_by(col(Product.nominal_mass_g))
    ).all()


def _graded_lot(session: Session, row: GradedLot) -> GradedLotView:
    missing = Counter[str]()
    for shortage in fulfilment.shortages(session):
        missing[shortage.gtin] += shortage.missing
    return GradedLotView(
        id=row.id,
        number=row.number,
        tier=row.tier,
        variety=row.variety,
        mass_g=row.mass_g,
        left_g=stock.left_g(row),
        fruits=row.fruits,
        certificate=row.certificate_id,
        products=[
            OfferView(gtin=each.gtin, nominal_mass_g=each.nominal_mass_g, missing=missing[each.gtin])
            for each in _products(session, row)
        ],
    )


def _packs(session: Session) -> list[PackView]:
    rows = session.exec(
        select(Pack, GradedLot, Product)
        .join(GradedLot, col(GradedLot.id) == Pack.graded_lot_id)
        .join(Product, col(Product.gtin) == Pack.gtin)
        .order_by(col(Pack.load_id).is_not(None), col(Pack.packed_at).desc(), col(Pack.id))
        .limit(_PACKS)
    ).all()
    return [pack_view(pack, lot, product) for pack, lot, product in rows]


def pack_view(pack: Pack, lot: GradedLot, product: Product) -> PackView:
    """Return a pack as the panel lists it."""
    label = f"/api/v1/packs/{pack.gtin}/{pack.serial}/label"
    return PackView(
        id=pack.id,
        gtin=pack.gtin,
        serial=pack.serial,
        graded_lot=lot.number,
        tier=lot.tier,
        variety=lot.variety,
        mass_g=pack.mass_g,
        nominal_mass_g=product.nominal_mass_g,
        fruits=pack.fruits,
        packed_at=pack.packed_at,
        is_sold=pack.line_id is not None,
        load=pack.load_id,
        label_png=label + ".png",
        label_pdf=label + ".pdf",
    )


def load_view(session: Session, load: Load) -> LoadView:
    """Return a load as the panel lists it."""
    return LoadView(
        id=load.id,
        ref=load.ref,
        packs=[pack.id for pack in shipping.packs_in(session, load.id)],
        net_mass_g=load.net_mass_g,
        logger=load.logger,
        destination=load.destination,
        loaded_at=load.loaded_at,
        shipped_at=load.shipped_at,
        delivered_at=load.delivered_at,
        mismatch=list(load.mismatch),
    )


def _loads(session: Session) -> list[LoadView]:
    return [load_view(session, row) for row in shipping.loads(session)[:8]]


def _alarms(
    calibration: CalibrationView | None, batch: BatchView | None, lots: Sequence[LotView], *, now: datetime
) -> list[AlarmView]:
    alarms = [alarm for lot in lots for alarm in (*_lot_alarms(lot, now=now), *_line_alarms(lot, now=now))]
    is_open = batch is not None and batch.closed_at is None
    if calibration is not None and is_open and calibration.valid_until - now < CALIBRATION_WARNING:
        minutes = int((calibration.valid_until - now) / timedelta(minutes=1))
        alarms.append(
            AlarmView(
                key=f"calibration-{format_time(calibration.made_at)}-{calibration.is_valid}",
                kind="calibration_ends" if calibration.is_valid else "calibration_over",
                is_grave=not calibration.is_valid,
                subject="",
                at=calibration.valid_until,
                minutes=abs(minutes),
                detail="",
            )
        )
    return sorted(alarms, key=lambda alarm: (not alarm.is_grave, alarm.kind, alarm.subject))


def _lot_alarms(lot: LotView, *, now: datetime) -> list[AlarmView]:
    if lot.state == LotState.HELD:
        return [
            AlarmView(
                key=f"held-{lot.number}",
                kind="lot_held",
                is_grave=True,
                subject=lot.number,
                at=None,
                minutes=0,
                detail=lot.held_reason,
            )
        ]
    if lot.clock.is_stopped or lot.clock.due_at - now > COOLING_WARNING:
        return []
    is_late = now > lot.clock.due_at
    return [
        AlarmView(
            key=f"{'late' if is_late else 'soon'}-{lot.number}",
            kind="cooling_late" if is_late else "cooling_soon",
            is_grave=is_late,
            subject=lot.number,
            at=lot.clock.due_at,
            minutes=abs(lot.clock.limit_minutes - lot.clock.minutes),
            detail="",
        )
    ]


def _line_alarms(lot: LotView, *, now: datetime) -> list[AlarmView]:
    line = lot.line
    if line is None or not line.is_open or line.expected is not None or line.arrived_at is None:
        return []
    silent = now - line.arrived_at
    if silent < LINE_SILENT:
        return []
    return [
        AlarmView(
            key=f"line-{line.ref}-{format_time(line.arrived_at)}",
            kind="line_silent",
            is_grave=False,
            subject=lot.number,
            at=line.arrived_at,
            minutes=int(silent / timedelta(minutes=1)),
            detail=line.line,
        )
    ]


def _address(name: str) -> str:
    return f"/api/v1/station/files/{parse_ni(name).hex()}"


def _spot(place: str) -> str:
    return place.rstrip("/").rpartition("/")[2]
