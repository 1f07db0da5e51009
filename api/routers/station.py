"""The packing house's panel and what stands behind it: receipts, cooling, calibration, grading, packs, loads."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlmodel import Session

from api import accounts, live
from api.deps import RuntimeDep, allow, body_of, body_schema, page_actor
from api.errors import NotHereError
from api.packhouse import (
    BatchView,
    FruitView,
    LoadView,
    Moment,
    PackView,
    StationView,
    batch_view,
    chosen_fruit,
    device,
    filling,
    fruit_view,
    leg_of,
    line_of,
    load_view,
    pack_view,
    picture,
    rules_for,
    station_view,
)
from api.pages import render
from api.runtime import Runtime
from farm_sensors import cold_chain, devices
from grading import station
from grading.calibrate import Coin, Marker
from ledger.kernel.actors import Actor, Role
from ledger.kernel.ids import DeviceId, LoadId, PartyId, PlaceId, parse_digital_link
from orders import certificates, codes, intake, labels, packing, picking, shipping
from orders.models import GradedLot, Product
from orders.places import House, cooperative

router = APIRouter(tags=["station"])

StationActor = Annotated[Actor, Depends(allow(Role.STATION, Role.MANAGER))]
StationPageActor = Annotated[Actor, Depends(page_actor(Role.STATION, Role.MANAGER))]
STATION_ONLY = (Depends(allow(Role.STATION, Role.MANAGER)),)
PHOTOGRAPHS = ("image/jpeg", "image/png", "image/webp")
PhotographBytes = Annotated[bytes, Depends(body_of(*PHOTOGRAPHS))]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Grams = Annotated[int, Field(ge=1, le=100_000_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewReceipt(_Body):
    """A lot weighed at the dock. Crates are checked against those it was picked into, if given."""

    lot: Name
    mass_g: Grams
    scale: Name = "SCALE-1"
    crates: tuple[Name, ...] = Field(default=(), max_length=200)
    vehicle: Name | None = None


class Receipt(BaseModel):
    """What the house's scale said of a lot, and whether it may go on."""

    lot: str
    received_g: int
    difference_g: int
    allowed_g: int
    state: str
    held_reason: str


class NewCooling(_Body):
    """A received lot in a cooler. The temperatures come from the probes there."""

    lot: Name
    cooler: Name = "COOL-1"
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    medium: Name = "forced air"


class Cooling(BaseModel):
    """A lot's clock after cooling, with the pulp temperatures at both ends where a probe measured them."""

    lot: str
    minutes_from_pick: int
    limit_minutes: int
    is_late: bool
    started_at: Moment
    ended_at: Moment
    pulp_start_celsius: float | None
    pulp_end_celsius: float | None


class CalibrationOf(BaseModel):
    """What the calibration photograph shows: a printed marker's side or a coin's diameter, in millimetres."""

    reference: Literal["marker", "coin"] = "marker"
    size_mm: float | None = Field(default=None, ge=5, le=500)
    focal_px: int | None = Field(default=None, ge=50, le=50_000)


class Calibrated(BaseModel):
    """An accepted calibration."""

    event_id: str
    certificate: str
    reference_um: int
    measured_um: int
    nm_per_pixel: int
    valid_until: Moment


class NewBatch(_Body):
    """A received lot for the line. `crop` chooses the standard; `brix_tenths` is a meter's reading of the lot."""

    lot: Name
    crop: Name = "mango"
    brix_tenths: int | None = Field(default=None, ge=0, le=500)


class OpenedBatch(BaseModel):
    """An open batch."""

    ref: str
    lot: str
    received_g: int
    standard: str
    opened_at: Moment


class Graded(BaseModel):
    """What one photograph showed."""

    batch: str
    fruits: int
    doubtful: int
    fruit: list[FruitView]


class NewJudgement(_Body):
    """A person's decision. A tier better than the camera's needs a second person's reference and their own code."""

    tier: Name
    reason: Literal["looked", "bruise", "sap-mark", "rot", "insect", "shape", "not-a-fruit"] = "looked"
    second_code: str | None = Field(default=None, max_length=40)


class CloseBatch(_Body):
    """How a batch closes: with grams on the scale per tier, or shared out by what the camera saw."""

    weighed_g: dict[str, int] | None = Field(default=None, max_length=20)


class GradedTier(BaseModel):
    """One graded lot."""

    tier: str
    lot: str
    fruits: int
    mass_g: int


class ClosedBatch(BaseModel):
    """What a batch came to."""

    ref: str
    event_id: str
    received_g: int
    unaccounted_g: int
    mass_from: str
    lots: list[GradedTier]


class FillingView(BaseModel):
    """The next pack of a graded lot, as the fruit suggest it; empty where the free fruit do not reach its mass."""

    graded_lot: str
    gtin: str
    nominal_mass_g: int
    mass_g: int
    fruit: list[str]


class NewPack(_Body):
    """A pack on the scale. Without `fruit` (records), the next free fruit of the lot go in."""

    graded_lot: Name
    scale_g: Grams
    gtin: str | None = Field(default=None, pattern=r"^\d{14}$")
    scale: Name = "SCALE-1"
    fruit: tuple[Name, ...] | None = Field(default=None, max_length=200)
    serial: str | None = Field(default=None, min_length=1, max_length=20)


class NewCertificate(_Body):
    """The promise of a graded lot (承诺达标合格证). Contact and address stay out of the log."""

    graded_lot: Name
    product: Name
    contact: Name
    address: Name


class Issued(BaseModel):
    """An issued certificate."""

    id: str
    graded_lot: str


class NewLoad(_Body):
    """Packs, and a logger, for one SSCC."""

    packs: tuple[Name, ...] = Field(min_length=1, max_length=499)
    logger: Name | None = None


class NewShipment(_Body):
    """A load on its way. The receiver is a person's reference, or a party id."""

    load: Name
    destination: Name
    receiver: Name
    vehicle: Name | None = None


class NewDelivery(_Body):
    """What the receiver saw arrive: packs by id or label link."""

    load: Name
    packs_seen: tuple[Name, ...] = Field(max_length=499)


class Delivery(BaseModel):
    """Whether what arrived is what was sent."""

    load: str
    is_complete: bool
    missing: list[str]
    unexpected: list[str]
    is_duplicate: bool
    readings: int


# --- the page ------------------------------------------------------------------------------------


@router.get("/station", include_in_schema=False)
def station_page(request: Request, rt: RuntimeDep, actor: StationPageActor) -> Response:
    """Show the panel; the first view is true without scripts, the rest is live."""
    view = _view(rt)
    return render(
        request,
        "station/panel.html",
        theme="dark",
        view=view,
        view_json=view.model_dump(mode="json"),
        party=actor.party,
        is_manager=actor.role == Role.MANAGER,
        now=view.as_of,
    )


@router.get("/api/v1/station/state", dependencies=STATION_ONLY)
def station_state(
    rt: RuntimeDep,
) -> StationView:
    """Return everything the panel shows."""
    return _view(rt)


@router.get("/api/v1/station/stream", response_class=StreamingResponse, dependencies=STATION_ONLY)
def station_stream(
    request: Request,
    rt: RuntimeDep,
) -> StreamingResponse:
    """Follow the station: server-sent events `state`, each with the whole of what `/state` answers."""

    def look() -> tuple[str, str]:
        view = _view(rt)
        return view.model_dump_json(exclude={"as_of"}), view.model_dump_json()

    return live.stream(request, "state", look)


@router.get(
    "/api/v1/station/files/{sha256}",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}},
    dependencies=STATION_ONLY,
)
def station_file(rt: RuntimeDep, sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]) -> Response:
    """Return a photograph, fruit picture or fruit record of the station by its SHA-256."""
    with rt.db.read() as session:
        data = picture(session, rt.files, bytes.fromhex(sha256))
    if data is None:
        raise NotHereError(f"the station keeps no file {sha256}")
    headers = {"cache-control": "private, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
    return Response(data, media_type=_media_type(data), headers=headers)


# --- receiving, cooling, calibration -------------------------------------------------------------


@router.post("/api/v1/station/receipts", status_code=201)
def receive_lot(rt: RuntimeDep, actor: StationActor, body: NewReceipt) -> Receipt:
    """Weigh a picked lot in. The same weight again changes nothing."""
    with rt.db.write() as session:
        outcome = intake.receive(
            session,
            body.lot,
            mass_g=body.mass_g,
            scale=device(body.scale, rt.numbering),
            crates=body.crates,
            vehicle=body.vehicle,
            actor=actor,
            numbering=rt.numbering,
            now=rt.clock.now(),
            zone=rt.settings.time_zone,
        )
    return Receipt(
        lot=outcome.lot,
        received_g=outcome.received_g,
        difference_g=outcome.difference_g,
        allowed_g=outcome.allowed_g,
        state=outcome.state,
        held_reason=outcome.reason,
    )


@router.post("/api/v1/station/coolings", status_code=201)
def cool_lot(rt: RuntimeDep, actor: StationActor, body: NewCooling) -> Cooling:
    """Record that a received lot was cooled, with what the probes measured. Cooling it again changes nothing."""
    now = rt.clock.now()
    cooler = House.of(rt.numbering).spot(body.cooler)
    with rt.db.write() as session:
        lot = picking.lot(session, body.lot)
        end = body.ended_at or now
        series = cold_chain.pulp_series(
            session, rt.files, cooler, start=body.started_at or lot.received_at or lot.pick_ended_at, end=end
        )
        start = body.started_at or series.started_at
        clock = intake.pre_cool(
            session,
            body.lot,
            cooler=cooler,
            started_at=start,
            ended_at=end,
            sensor_elements=series.elements,
            actor=actor,
            now=now,
            zone=rt.settings.time_zone,
            medium=body.medium,
        )
    return Cooling(
        lot=lot.id,
        minutes_from_pick=clock.minutes,
        limit_minutes=clock.limit_minutes,
        is_late=clock.is_late,
        started_at=start,
        ended_at=end,
        pulp_start_celsius=series.pulp_start_celsius,
        pulp_end_celsius=series.pulp_end_celsius,
    )


@router.post("/api/v1/station/calibrations", status_code=201, openapi_extra=body_schema(*PHOTOGRAPHS))
def calibrate_line(
    rt: RuntimeDep, actor: StationActor, body: PhotographBytes, of: Annotated[CalibrationOf, Query()]
) -> Calibrated:
    """Check the line's scale on a photograph of its marker or of a coin."""
    if of.reference == "marker":
        reference: Marker | Coin = Marker(round((of.size_mm or 60) * 1000))
    else:
        reference = Coin(round((of.size_mm or 25) * 1000))
    with rt.db.write() as session:
        made = station.calibrate(
            session,
            rt.files,
            body,
            reference=reference,
            line=line_of(rt),
            numbering=rt.numbering,
            now=rt.clock.now(),
            operator=actor.party,
            focal_px=of.focal_px,
        )
    return Calibrated(
        event_id=made.event_id,
        certificate=made.certificate,
        reference_um=made.reference_um,
        measured_um=made.measured_um,
        nm_per_pixel=made.nm_per_pixel,
        valid_until=made.valid_until,
    )


# --- grading -------------------------------------------------------------------------------------


@router.post("/api/v1/station/batches", status_code=201, dependencies=STATION_ONLY)
def open_batch(rt: RuntimeDep, body: NewBatch) -> OpenedBatch:
    """Open a batch for a received lot, or return the one open for it."""
    standard, tariff = rules_for(rt, body.crop)
    with rt.db.write() as session:
        batch = station.open_batch(
            session,
            rt.files,
            body.lot,
            line=line_of(rt),
            numbering=rt.numbering,
            now=rt.clock.now(),
            standard=standard,
            tariff=tariff,
            detector=rt.settings.detector,
            brix_tenths=body.brix_tenths,
        )
    return OpenedBatch(
        ref=batch.ref, lot=batch.lot, received_g=batch.received_g, standard=standard.id, opened_at=batch.opened_at
    )


@router.post(
    "/api/v1/station/batches/{ref}/photographs",
    status_code=201,
    openapi_extra=body_schema(*PHOTOGRAPHS),
    dependencies=STATION_ONLY,
)
def grade_photograph(rt: RuntimeDep, ref: str, body: PhotographBytes) -> Graded:
    """Grade every whole fruit in a photograph. The same photograph again answers the same and counts nothing."""
    with rt.db.read() as session:
        setup = station.setup_of(session, rt.files, ref)
    sighting = station.sight(body, setup)
    with rt.db.write() as session:
        verdicts = station.inspect(session, rt.files, ref, sighting, now=rt.clock.now())
    return Graded(
        batch=ref,
        fruits=len(verdicts),
        doubtful=sum(each.is_doubtful for each in verdicts),
        fruit=[fruit_view(each, setup.standard) for each in verdicts],
    )


@router.post("/api/v1/station/fruits/{fruit}/judgement")
def judge_fruit(
    request: Request, rt: RuntimeDep, actor: StationActor, fruit: Annotated[int, Path(ge=1)], body: NewJudgement
) -> FruitView:
    """Decide about a fruit the camera doubts, or move one it graded."""
    second = None
    if body.second_code:
        second = _person_of_code(request, rt, body.second_code)
    with rt.db.write() as session:
        verdict = station.judge(
            session,
            rt.files,
            fruit,
            body.tier,
            actor,
            now=rt.clock.now(),
            reason=body.reason,
            second_person=second,
        )
        standard, _ = station.rules_of(session, rt.files, verdict.batch)
    return fruit_view(verdict, standard)


@router.post("/api/v1/station/batches/{ref}/close")
def close_batch(rt: RuntimeDep, actor: StationActor, ref: str, body: CloseBatch) -> ClosedBatch:
    """Close a batch: its fruit become graded lots in the log. Closing it again answers the same."""
    with rt.db.write() as session:
        closing = station.close_batch(
            session,
            rt.files,
            ref,
            line=line_of(rt),
            numbering=rt.numbering,
            now=rt.clock.now(),
            weighed_g=body.weighed_g,
            operator=actor.party,
        )
    return ClosedBatch(
        ref=closing.batch,
        event_id=closing.event_id,
        received_g=closing.received_g,
        unaccounted_g=closing.unaccounted_g,
        mass_from=closing.mass_from,
        lots=[
            GradedTier(tier=each.tier, lot=each.lot, fruits=each.fruits, mass_g=each.mass_g) for each in closing.lots
        ],
    )


@router.get("/api/v1/station/batches/{ref}", dependencies=STATION_ONLY)
def batch_state(rt: RuntimeDep, ref: str) -> BatchView:
    """Return one batch as the panel shows it."""
    with rt.db.read() as session:
        return batch_view(session, rt.files, station.find_batch(session, ref))


# --- packs, loads, the way out -------------------------------------------------------------------


@router.get("/api/v1/station/fillings", dependencies=STATION_ONLY)
def next_pack(
    rt: RuntimeDep,
    graded_lot: Annotated[str, Query(min_length=1, max_length=200)],
    gtin: Annotated[str | None, Query(pattern=r"^\d{14}$")] = None,
) -> FillingView:
    """Return which fruit of a graded lot make its next pack, and what they should weigh."""
    with rt.db.read() as session:
        proposed = filling(session, graded_lot, gtin=gtin)
    return FillingView(
        graded_lot=proposed.graded_lot,
        gtin=proposed.gtin,
        nominal_mass_g=proposed.nominal_mass_g,
        mass_g=proposed.mass_g,
        fruit=[each.record for each in proposed.fruit],
    )


@router.post("/api/v1/station/packs", status_code=201)
def close_pack(rt: RuntimeDep, actor: StationActor, body: NewPack) -> PackView:
    """Close a pack: its code becomes active, never more codes than measured mass allows."""
    now = rt.clock.now()
    with rt.db.write() as session:
        proposed = filling(session, body.graded_lot, gtin=body.gtin)
        codes.grant_quota(
            session,
            proposed.graded_lot,
            gtin=proposed.gtin,
            recorder=cooperative(rt.numbering),
            numbering=rt.numbering,
            now=now,
            zone=rt.settings.time_zone,
        )
        pack = packing.pack(
            session,
            graded_lot_name=proposed.graded_lot,
            gtin=proposed.gtin,
            fruits=chosen_fruit(session, proposed, body.fruit),
            scale_g=body.scale_g,
            scale=device(body.scale, rt.numbering),
            actor=actor,
            label_host=rt.settings.public_url,
            now=now,
            zone=rt.settings.time_zone,
            serial=body.serial,
        )
        lot = session.get_one(GradedLot, pack.graded_lot_id)
        return pack_view(pack, lot, session.get_one(Product, pack.gtin))


@router.get("/api/v1/packs/{gtin}/{serial}/label.png", response_class=Response, dependencies=STATION_ONLY)
def label_png(rt: RuntimeDep, gtin: str, serial: str) -> Response:
    """Return a pack's label as PNG at 300 dpi."""
    return Response(labels.render_png(_label(rt, gtin, serial)), media_type="image/png")


@router.get("/api/v1/packs/{gtin}/{serial}/label.pdf", response_class=Response, dependencies=STATION_ONLY)
def label_pdf(rt: RuntimeDep, gtin: str, serial: str) -> Response:
    """Return a pack's label as PDF, one page of its own size."""
    headers = {"content-disposition": f'inline; filename="label-{serial}.pdf"'}
    return Response(labels.render_pdf(_label(rt, gtin, serial)), media_type="application/pdf", headers=headers)


@router.post("/api/v1/station/certificates", status_code=201, dependencies=STATION_ONLY)
def issue_certificate(rt: RuntimeDep, body: NewCertificate) -> Issued:
    """Issue the certificate of a graded lot. A lot that has one gets the same one again."""
    promisor = House.of(rt.numbering).party
    with rt.db.write() as session:
        made = certificates.issue_certificate(
            session,
            body.graded_lot,
            files=rt.files,
            promisor=promisor,
            promisor_name=accounts.name_of(session, promisor),
            product=body.product,
            contact=body.contact,
            address=body.address,
            numbering=rt.numbering,
            now=rt.clock.now(),
            zone=rt.settings.time_zone,
        )
        return Issued(id=made.id, graded_lot=made.graded_lot_id)


@router.post("/api/v1/station/loads", status_code=201)
def load_packs(rt: RuntimeDep, actor: StationActor, body: NewLoad) -> LoadView:
    """Put packs and a logger under a new SSCC; the logger's readings count for the load from now on."""
    now = rt.clock.now()
    with rt.db.write() as session:
        logger = None if body.logger is None else device(body.logger, rt.numbering)
        made = shipping.load(
            session,
            [parse_digital_link(pack).canonical() for pack in body.packs],
            actor=actor,
            numbering=rt.numbering,
            now=now,
            zone=rt.settings.time_zone,
            logger=logger,
        )
        if logger is not None:
            devices.attach(session, DeviceId(logger), LoadId(made.id), now=now)
        return load_view(session, made)


@router.post("/api/v1/station/shipments", status_code=201)
def ship_load(rt: RuntimeDep, actor: StationActor, body: NewShipment) -> LoadView:
    """Send a load on its way. Sending it again to the same place changes nothing."""
    with rt.db.write() as session:
        made = shipping.ship(
            session,
            body.load,
            destination=parse_digital_link(body.destination).canonical(),
            receiver=_party(session, body.receiver),
            vehicle=body.vehicle,
            actor=actor,
            numbering=rt.numbering,
            now=rt.clock.now(),
            zone=rt.settings.time_zone,
        )
        return load_view(session, made)


@router.post("/api/v1/station/deliveries", status_code=201)
def deliver_load(rt: RuntimeDep, actor: StationActor, body: NewDelivery) -> Delivery:
    """Record what arrived, by the receiver, with the way's temperatures. Again answers the first outcome."""
    now = rt.clock.now()
    with rt.db.write() as session:
        load = shipping.load_of(session, body.load)
        elements, counts = leg_of(session, rt.files, load, now=now)
        outcome = shipping.deliver(
            session,
            body.load,
            packs_seen=body.packs_seen,
            actor=actor,
            numbering=rt.numbering,
            now=now,
            zone=rt.settings.time_zone,
            sensor_elements=elements,
            leg=counts,
        )
        if load.logger is not None and not outcome.is_duplicate:
            home = PlaceId(devices.find(session, load.logger).place)
            devices.attach(session, DeviceId(load.logger), home, now=now)
    return Delivery(
        load=outcome.load,
        is_complete=outcome.is_complete,
        missing=list(outcome.missing),
        unexpected=list(outcome.unexpected),
        is_duplicate=outcome.is_duplicate,
        readings=counts.get("received", 0),
    )


# --- helpers -------------------------------------------------------------------------------------


def _view(rt: Runtime) -> StationView:
    with rt.db.read() as session:
        return station_view(session, rt.files, line=line_of(rt), now=rt.clock.now())


def _label(rt: Runtime, gtin: str, serial: str) -> labels.Label:
    with rt.db.read() as session:
        return labels.label_for(
            session, gtin, serial, public_url=rt.settings.public_url, is_sample=rt.settings.is_sample
        )


def _party(session: Session, name: str) -> str:
    return parse_digital_link(name).canonical() if name.startswith("https://") else accounts.person(session, name).party


def _person_of_code(request: Request, rt: Runtime, code: str) -> PartyId:
    """Return whose printed code was typed, throttled like a sign-in; the session it opens is closed at once."""
    address = request.client.host if request.client else "unknown"
    opened = accounts.sign_in_with_code(rt.db, code, address=address, now=rt.clock.now())
    with rt.db.write() as session:
        accounts.close_session(session, opened.token)
    return opened.actor.party


def _media_type(data: bytes) -> str:
    known = {b"\xff\xd8": "image/jpeg", b"\x89P": "image/png", b"RI": "image/webp"}
    return known.get(data[:2], "application/json")
