"""Where lines deliver: what a line must know beforehand, its evidence, its fruit, what people there decided."""

from datetime import timedelta
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlmodel import col, select

from api.bundles import BUNDLE, unbundled
from api.deps import RuntimeDep, allow, body_of, body_schema
from api.packhouse import Moment, line_of, rules_for
from api.routers.station import STATION_ONLY, Name, StationActor
from api.runtime import Runtime
from grading import arrivals, station
from grading.arrivals import MOST_FRUIT, Delivered, Judged
from grading.errors import FruitRefusedError
from grading.models import Batch
from grading.standard import Standard, Tariff, shipped_standards
from ledger.kernel.actors import Actor, Role
from ledger.kernel.files import ni_uri, parse_ni
from orders import intake
from orders.models import Crate
from orders.states import LotState

router = APIRouter(tags=["station"])

ManagerActor = Annotated[Actor, Depends(allow(Role.MANAGER))]
LOTS_KNOWN: Final = timedelta(days=60)
"""For so long after its picking a line is told of a lot of which nothing is left; it asks four times a minute."""
EVIDENCE: Final = ("image/jpeg", "application/json")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
EvidenceBytes = Annotated[bytes, Depends(body_of(*EVIDENCE))]
BundleBytes = Annotated[bytes, Depends(body_of(BUNDLE))]
Run = Annotated[str, Field(pattern=r"^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Number = Annotated[int, Field(ge=1, le=10_000_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RulesView(BaseModel):
    """What the house grades a crop by today: names, and the SHA-256 of each file."""

    crop: str
    standard: str
    edition: str
    standard_file: str
    tariff_file: str


class LotHere(BaseModel):
    """A lot a line may meet, and the crates it lies in."""

    lot: str
    variety: str
    state: str
    received_g: int | None
    crates: list[str]
    batch: str | None


class LineHouse(BaseModel):
    """What a line must know to work alone. Fruit of a rehearsal are taken only where `is_sample`."""

    as_of: Moment
    is_sample: bool
    line: str
    house: str
    zone: str
    party: str
    rules: list[RulesView]
    lots: list[LotHere]


class KeptFiles(BaseModel):
    """The SHA-256 of what is kept now, in the order it came."""

    kept: list[str]


class NewRun(_Body):
    """A lot that a line has begun, perhaps hours ago. `run` names it in every record; files are SHA-256."""

    lot: Name
    run: Run
    crop: Name = "mango"
    standard_file: Sha256
    tariff_file: Sha256
    profile_file: Sha256
    brix_tenths: int | None = Field(default=None, ge=0, le=500)
    opened_at: AwareDatetime


class OpenedRun(BaseModel):
    """The batch that this run fills."""

    ref: str
    lot: str
    variety: str
    received_g: int


class NewFruit(_Body):
    """One fruit: its number in the run, when it passed, and the SHA-256 of its record."""

    number: Number
    at: AwareDatetime
    record: Sha256


class LostFruit(_Body):
    """A fruit whose lane command came to nothing: it lies at the belt's end, or nobody knows (`unsure`)."""

    number: Number
    why: str = Field(pattern=r"^[a-z_]{1,40}$")


class NewDelivery(_Body):
    """Fruit of a run, in order. `gaps` are numbers that none will come for; `last` says that the run has ended.

    `lost` are fruit that lie in no lane of their tier.
    """

    run: Run
    fruit: tuple[NewFruit, ...] = Field(default=(), max_length=MOST_FRUIT)
    gaps: tuple[Number, ...] = Field(default=(), max_length=10_000)
    last: int | None = Field(default=None, ge=0, le=10_000_000)
    lost: tuple[LostFruit, ...] = Field(default=(), max_length=10_000)


class CountedFruit(BaseModel):
    """A fruit that counts: its number in the run, and the id that judgements name."""

    number: int
    id: int


class Counted(BaseModel):
    """What of a delivery counts, whether it came now or before."""

    ref: str
    fruit: list[CountedFruit]


class GiveUp(_Body):
    """Why no more fruit will come: the line's computer or its records are lost, or it stopped for good."""

    reason: Literal["computer-lost", "records-lost", "line-stopped"]


class GivenUp(BaseModel):
    """A batch that waits for no more fruit: how many have arrived, and the last number it takes."""

    ref: str
    fruit: int
    last: int


class LineJudgement(_Body):
    """A decision at the line about one fruit, no better than its numbers say."""

    number: Number
    tier: Name
    reason: Name = "looked"
    at: AwareDatetime


class NewJudgements(_Body):
    """Decisions at the line, oldest first."""

    run: Run
    judgements: tuple[LineJudgement, ...] = Field(max_length=MOST_FRUIT)


@router.get("/api/v1/station/line")
def line_house(rt: RuntimeDep, actor: StationActor) -> LineHouse:
    """Return what a line must know to work while this server cannot be reached."""
    line = line_of(rt)
    own = rt.settings.standard_file
    crops = [""] if own else [*shipped_standards()]
    rules = [rules_for(rt, crop) for crop in crops]
    with rt.db.read() as session:
        batches = dict(session.exec(select(Batch.lot, Batch.ref)).all())
        crates: dict[str, list[str]] = {}
        for lot_id, crate in session.exec(select(Crate.lot_id, Crate.crate_id).order_by(col(Crate.crate_id))):
            crates.setdefault(lot_id, []).append(crate)
        since = rt.clock.now() - LOTS_KNOWN
        lots = [
            LotHere(
                lot=lot.id,
                variety=lot.variety,
                state=lot.state,
                received_g=lot.received_g,
                crates=crates.get(lot.id, []),
                batch=batches.get(lot.id),
            )
            for lot in intake.lots(session)
            if lot.state != LotState.CONSUMED or lot.pick_ended_at >= since
        ]
    return LineHouse(
        as_of=rt.clock.now(),
        is_sample=rt.settings.is_sample,
        line=line.line,
        house=line.house,
        zone=rt.settings.time_zone,
        party=actor.party,
        rules=[_rules_view(standard, tariff) for standard, tariff in rules],
        lots=lots,
    )


@router.put(
    "/api/v1/station/files/{sha256}", status_code=201, openapi_extra=body_schema(*EVIDENCE), dependencies=STATION_ONLY
)
def keep_file(
    rt: RuntimeDep, sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")], body: EvidenceBytes
) -> KeptFiles:
    """Keep a crop, a record or a profile under its hash. Bringing it again changes nothing."""
    arrivals.keep_evidence(rt.files, body, digest=bytes.fromhex(sha256))
    return KeptFiles(kept=[sha256])


@router.post("/api/v1/station/files", status_code=201, openapi_extra=body_schema(BUNDLE), dependencies=STATION_ONLY)
def keep_files(rt: RuntimeDep, body: BundleBytes) -> KeptFiles:
    """Keep several files at once: each is four bytes of length, most significant first, and then itself."""
    return KeptFiles(kept=[parse_ni(arrivals.keep_evidence(rt.files, data)).hex() for data in unbundled(body)])


@router.post("/api/v1/station/line/batches", status_code=201)
def open_run(rt: RuntimeDep, actor: StationActor, body: NewRun) -> OpenedRun:
    """Open the batch of a run, or return it: one run fills one batch, and one batch is filled by one run."""
    standard, tariff = rules_for(rt, body.crop)
    with rt.db.write() as session:
        batch = arrivals.open_for_line(
            session,
            rt.files,
            body.lot,
            run=body.run,
            profile=ni_uri(bytes.fromhex(body.profile_file)),
            opened_at=body.opened_at,
            standard=standard,
            tariff=tariff,
            told=(bytes.fromhex(body.standard_file), bytes.fromhex(body.tariff_file)),
            line=line_of(rt),
            numbering=rt.numbering,
            now=rt.clock.now(),
            brix_tenths=body.brix_tenths,
            operator=actor.party,
        )
        variety = station.origin_of(batch).variety
    return OpenedRun(ref=batch.ref, lot=batch.lot, variety=variety, received_g=batch.received_g)


@router.post("/api/v1/station/batches/{ref}/fruit", status_code=201, dependencies=STATION_ONLY)
def deliver_fruit(rt: RuntimeDep, ref: str, body: NewDelivery) -> Counted:
    """Count fruit that a line has graded, each once, however often they are delivered.

    Their evidence must be kept before. All are counted or none: a refusal names every fruit and why.
    """
    delivered = [Delivered(each.number, each.at, ni_uri(bytes.fromhex(each.record))) for each in body.fruit]
    with rt.db.read() as session:
        rules = arrivals.rules_of(session, rt.files, ref)
    try:
        examined = arrivals.examine(rt.files, rules, body.run, delivered)
        with rt.db.write() as session:
            ids = arrivals.count(
                session,
                ref,
                body.run,
                examined,
                now=rt.clock.now(),
                gaps=body.gaps,
                last=body.last,
                lost={each.number: each.why for each in body.lost},
            )
    except FruitRefusedError as refusal:
        _note(rt, ref, body.run, refusal)
        raise
    return Counted(ref=ref, fruit=[CountedFruit(number=number, id=ids[number]) for number in sorted(ids)])


@router.post("/api/v1/station/batches/{ref}/give-up")
def give_up_line(rt: RuntimeDep, actor: ManagerActor, ref: str, body: GiveUp) -> GivenUp:
    """End a batch whose line will not come back (its computer is lost), with the fruit that have arrived."""
    with rt.db.write() as session:
        batch = arrivals.give_up(session, ref, reason=body.reason, by=actor.party, now=rt.clock.now())
        return GivenUp(ref=batch.ref, fruit=batch.fruit_count, last=batch.expected or 0)


@router.post("/api/v1/station/batches/{ref}/judgements")
def deliver_judgements(rt: RuntimeDep, actor: StationActor, ref: str, body: NewJudgements) -> Counted:
    """Let what people at the line decided count; again changes nothing."""
    judged = [Judged(each.number, each.tier, each.reason, each.at) for each in body.judgements]
    with rt.db.write() as session:
        ids = arrivals.judge_delivered(session, rt.files, ref, body.run, judged=judged, actor=actor, now=rt.clock.now())
    return Counted(ref=ref, fruit=[CountedFruit(number=number, id=ids[number]) for number in sorted(ids)])


def _note(rt: Runtime, ref: str, run: str, refusal: FruitRefusedError) -> None:
    """Keep why fruit were refused, in a transaction of its own; evidence still on its way is no reason."""
    why = {number: reason for number, reason in refusal.reasons.items() if number not in refusal.missing}
    if why:
        with rt.db.write() as session:
            arrivals.note_refusals(session, ref, run, why)


def _rules_view(standard: Standard, tariff: Tariff) -> RulesView:
    return RulesView(
        crop=standard.content.crop,
        standard=standard.id,
        edition=standard.edition,
        standard_file=standard.digest.hex(),
        tariff_file=tariff.digest.hex(),
    )
