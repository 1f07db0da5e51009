"""The sentences of the orders side: one function per sentence, facts in, event out. Pure.

Who says what and when travels as `Said`. Private fields are given as digests
(`ledger.disclosure.commit_fields`); nothing personal, no price and no free text goes in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Self

from ledger.events import (
    AggregationEvent,
    Destination,
    ObjectEvent,
    Place,
    Quantity,
    SensorElement,
    Source,
    TransactionEvent,
    TransactionReference,
)
from ledger.kernel.clock import format_time, offset_text
from ledger.kernel.ids import EventId, new_event_id
from ledger.vocabulary import Action, BizStep, Disposition, PartyRole, Sentence, Transaction, Unit

COUNTRY = "CN"


@dataclass(frozen=True, slots=True)
class Said:
    """Who says it, when it was over, and under which event id."""

    event_id: EventId
    at: datetime
    offset: str
    recorder: str

    @classmethod
    def by(cls, recorder: str, *, at: datetime, zone: str) -> Self:
        """Return a fresh saying by a party, in the farm's zone."""
        return cls(new_event_id(at), at, offset_text(at, zone), recorder)


def plot_registered(
    said: Said,
    *,
    passport: str,
    plot: str,
    ilmd: Mapping[str, str | int],
    digests: Sequence[str],
) -> ObjectEvent:
    """A plot gets its passport for a season."""
    return ObjectEvent(
        **_frame(said),
        action=Action.ADD,
        biz_step=BizStep.COMMISSIONING,
        disposition=Disposition.ACTIVE,
        epc_list=(passport,),
        **_where(plot),
        ilmd={"cbvmda:countryOfOrigin": COUNTRY, **ilmd},
        extensions=_extensions(said, Sentence.PLOT_REGISTERED, digests),
    )


def broadcast_opened(
    said: Said,
    *,
    action: Action,
    broadcast: str,
    product: str,
    pieces: int,
    studio: str,
    owner: str,
    offer: Mapping[str, Any],
    digests: Sequence[str],
) -> TransactionEvent:
    """A tier is offered in a broadcast; with DELETE, the offer ends."""
    return TransactionEvent(
        **_frame(said),
        action=action,
        biz_step=BizStep.OTHER,
        biz_transaction_list=(_reference(Transaction.BROADCAST, broadcast),),
        quantity_list=(Quantity(epc_class=product, quantity=pieces),),
        read_point=Place(studio),
        source_list=(_from(PartyRole.OWNING, owner),),
        extensions=_extensions(said, Sentence.BROADCAST_OPENED, digests, offer=offer),
    )


def sold(
    said: Said,
    *,
    action: Action,
    sale_document: str,
    broadcast: str,
    product: str,
    pieces: int,
    owner: str,
    sale: Mapping[str, Any],
    digests: Sequence[str],
) -> TransactionEvent:
    """Pieces of one tier were sold in one minute; with DELETE, sales were cancelled."""
    return TransactionEvent(
        **_frame(said),
        action=action,
        biz_step=BizStep.RETAIL_SELLING,
        biz_transaction_list=(
            _reference(Transaction.PURCHASE_ORDER, sale_document),
            _reference(Transaction.BROADCAST, broadcast),
        ),
        quantity_list=(Quantity(epc_class=product, quantity=pieces),),
        source_list=(_from(PartyRole.OWNING, owner),),
        extensions=_extensions(said, Sentence.SOLD, digests, sale=sale),
    )


def pick_order_raised(
    said: Said,
    *,
    action: Action,
    pick_order: str,
    sale_documents: Sequence[str],
    harvest: str,
    mass_g: int,
    plot: str,
    holder: str,
    house_place: str,
    house_party: str,
    order: Mapping[str, Any],
    digests: Sequence[str] = (),
) -> TransactionEvent:
    """The house asks a plot's holder for kilograms; with DELETE, it no longer does."""
    return TransactionEvent(
        **_frame(said),
        action=action,
        biz_step=BizStep.OTHER,
        biz_transaction_list=(
            _reference(Transaction.PRODUCTION_ORDER, pick_order),
            *(_reference(Transaction.PURCHASE_ORDER, document) for document in sale_documents),
        ),
        quantity_list=(_grams(harvest, mass_g),),
        read_point=Place(house_place),
        source_list=(_from(PartyRole.LOCATION, plot), _from(PartyRole.POSSESSING, holder)),
        destination_list=(_to(PartyRole.LOCATION, house_place), _to(PartyRole.POSSESSING, house_party)),
        extensions=_extensions(said, Sentence.PICK_ORDER_RAISED, digests, order=order),
    )


def picked(
    said: Said,
    *,
    lot: str,
    lot_number: str,
    mass_g: int,
    plot: str,
    passport: str,
    variety: str,
    region: str,
    started_at: datetime,
    first_day: date,
    last_day: date,
    crates: Sequence[str],
    pick_order: str,
    owner: str,
    house_place: str,
    evidence: Sequence[str],
    digests: Sequence[str],
) -> ObjectEvent:
    """A harvest lot came into being on a plot."""
    return ObjectEvent(
        **_frame(said),
        action=Action.ADD,
        biz_step=BizStep.CREATING_CLASS_INSTANCE,
        disposition=Disposition.ACTIVE,
        quantity_list=(_grams(lot, mass_g),),
        **_where(plot),
        biz_transaction_list=(_reference(Transaction.PRODUCTION_ORDER, pick_order),),
        source_list=(_from(PartyRole.OWNING, owner),),
        destination_list=(_to(PartyRole.LOCATION, house_place),),
        ilmd={
            "cbvmda:lotNumber": lot_number,
            "cbvmda:countryOfOrigin": COUNTRY,
            "cbvmda:harvestStartDate": first_day.isoformat(),
            "cbvmda:harvestEndDate": last_day.isoformat(),
            "gy:plot": plot,
            "gy:plotPassport": passport,
            "gy:variety": variety,
            "gy:region": region,
            "gy:pickStartedAt": format_time(started_at),
            "gy:pickEndedAt": format_time(said.at),
            "gy:crates": list(crates),
        },
        extensions=_extensions(said, Sentence.PICKED, digests, evidence=evidence),
    )


def crated(said: Said, *, crate: str, lot: str, mass_g: int, plot: str, pick_order: str) -> AggregationEvent:
    """Part of a harvest lot lies in a crate."""
    return AggregationEvent(
        **_frame(said),
        parent_id=crate,
        child_quantity_list=(_grams(lot, mass_g),),
        action=Action.ADD,
        biz_step=BizStep.PACKING,
        disposition=Disposition.IN_PROGRESS,
        **_where(plot),
        biz_transaction_list=(_reference(Transaction.PRODUCTION_ORDER, pick_order),),
        extensions=_extensions(said, Sentence.CRATED),
    )


def received(
    said: Said,
    *,
    crates: Sequence[str],
    lot: str,
    mass_g: int,
    dock: str,
    house_place: str,
    house_party: str,
    plot: str,
    holder: str,
    receipt_document: str,
    pick_order: str,
    confirms: str,
    scale: str,
    difference_g: int,
    allowed_g: int,
    evidence: Sequence[str] = (),
    digests: Sequence[str] = (),
) -> ObjectEvent:
    """The house weighed a lot in, and thereby confirms what the field said."""
    return ObjectEvent(
        **_frame(said),
        action=Action.OBSERVE,
        biz_step=BizStep.RECEIVING,
        disposition=Disposition.IN_PROGRESS,
        epc_list=tuple(crates),
        quantity_list=(_grams(lot, mass_g),),
        **_where(dock, house_place),
        biz_transaction_list=(
            _reference(Transaction.RECEIVING_ADVICE, receipt_document),
            _reference(Transaction.PRODUCTION_ORDER, pick_order),
        ),
        source_list=(_from(PartyRole.LOCATION, plot), _from(PartyRole.POSSESSING, holder)),
        destination_list=(_to(PartyRole.LOCATION, house_place), _to(PartyRole.POSSESSING, house_party)),
        extensions=_extensions(
            said,
            Sentence.RECEIVED,
            digests,
            confirms=[confirms],
            receipt={"gy:scale": scale, "gy:differenceG": difference_g, "gy:allowedG": allowed_g},
            evidence=evidence,
        ),
    )


def pre_cooled(
    said: Said,
    *,
    lot: str,
    mass_g: int,
    cooler: str,
    sensor_elements: Sequence[SensorElement],
    started_at: datetime,
    minutes_from_pick: int,
    limit_minutes: int,
    medium: str,
) -> ObjectEvent:
    """A lot was brought down to its holding temperature."""
    return ObjectEvent(
        **_frame(said),
        action=Action.OBSERVE,
        biz_step=BizStep.STORING,
        disposition=Disposition.IN_PROGRESS,
        quantity_list=(_grams(lot, mass_g),),
        **_where(cooler),
        sensor_element_list=tuple(sensor_elements),
        extensions=_extensions(
            said,
            Sentence.PRE_COOLED,
            cooling={
                "gy:startedAt": format_time(started_at),
                "gy:endedAt": format_time(said.at),
                "gy:minutesFromPick": minutes_from_pick,
                "gy:limitMinutes": limit_minutes,
                "gy:medium": medium,
            },
        ),
    )


def quota_granted(
    said: Said,
    *,
    quota: str,
    graded_lot: str,
    measured_g: int,
    house_party: str,
    codes: int,
    nominal_mass_g: int,
    pack_product: str,
    measured_by: str,
    expires_at: datetime,
) -> TransactionEvent:
    """So many codes may become active against so many measured grams."""
    return TransactionEvent(
        **_frame(said),
        action=Action.ADD,
        biz_step=BizStep.OTHER,
        biz_transaction_list=(_reference(Transaction.QUOTA, quota),),
        quantity_list=(_grams(graded_lot, measured_g),),
        destination_list=(_to(PartyRole.POSSESSING, house_party),),
        extensions=_extensions(
            said,
            Sentence.QUOTA_GRANTED,
            quota={
                "gy:codes": codes,
                "gy:measuredG": measured_g,
                "gy:nominalMassG": nominal_mass_g,
                "gy:packProduct": pack_product,
                "gy:measuredBy": measured_by,
                "gy:expiresAt": format_time(expires_at),
            },
        ),
    )


def code_activated(
    said: Said,
    *,
    packs: Sequence[str],
    line: str,
    house_place: str,
    quota: str,
    lot_number: str,
    best_before: date,
    graded_lot: str,
    tier: str,
    nominal_mass_g: int,
    packed_on: date,
    label_host: str,
) -> ObjectEvent:
    """Printed serials become the names of packs."""
    return ObjectEvent(
        **_frame(said),
        action=Action.ADD,
        biz_step=BizStep.COMMISSIONING,
        disposition=Disposition.ACTIVE,
        epc_list=tuple(packs),
        **_where(line, house_place),
        biz_transaction_list=(_reference(Transaction.QUOTA, quota),),
        ilmd={
            "cbvmda:lotNumber": lot_number,
            "cbvmda:countryOfOrigin": COUNTRY,
            "cbvmda:bestBeforeDate": best_before.isoformat(),
            "gy:gradedLot": graded_lot,
            "gy:tier": tier,
            "gy:nominalMassG": nominal_mass_g,
            "gy:packedOn": packed_on.isoformat(),
        },
        extensions=_extensions(said, Sentence.CODE_ACTIVATED, labels={"gy:host": label_host}),
    )


def packed(
    said: Said,
    *,
    pack: str,
    graded_lot: str,
    mass_g: int,
    line: str,
    house_place: str,
    quota: str,
    fruits: int,
    records: Sequence[str],
    scale: str,
    evidence: Sequence[str],
) -> AggregationEvent:
    """Grams of a graded lot were closed into a pack."""
    contents: dict[str, Any] = {"gy:fruits": fruits, "gy:scale": scale}
    if records:
        contents["gy:records"] = list(records)
    return AggregationEvent(
        **_frame(said),
        parent_id=pack,
        child_quantity_list=(_grams(graded_lot, mass_g),),
        action=Action.ADD,
        biz_step=BizStep.PACKING,
        disposition=Disposition.CONTAINER_CLOSED,
        **_where(line, house_place),
        biz_transaction_list=(_reference(Transaction.QUOTA, quota),),
        extensions=_extensions(said, Sentence.PACKED, pack=contents, evidence=evidence),
    )


def code_voided(
    said: Said, *, packs: Sequence[str], line: str, quota: str, reason: str, was_active: bool
) -> ObjectEvent:
    """Serials will never name a pack (again)."""
    return ObjectEvent(
        **_frame(said),
        action=Action.DELETE,
        biz_step=BizStep.DECOMMISSIONING,
        disposition=Disposition.INACTIVE,
        epc_list=tuple(packs),
        read_point=Place(line),
        biz_transaction_list=(_reference(Transaction.QUOTA, quota),),
        extensions=_extensions(
            said, Sentence.CODE_VOIDED, void={"gy:reason": reason, "gy:wasActive": "yes" if was_active else "no"}
        ),
    )


def certificate_issued(
    said: Said,
    *,
    certificate: str,
    graded_lot: str,
    mass_g: int,
    house_place: str,
    owner: str,
    contents: Mapping[str, Any],
    digests: Sequence[str],
) -> TransactionEvent:
    """A promisor gives a 承诺达标合格证 for a graded lot."""
    return TransactionEvent(
        **_frame(said),
        action=Action.ADD,
        biz_step=BizStep.INSPECTING,
        disposition=Disposition.CONFORMANT,
        biz_transaction_list=(_reference(Transaction.CERTIFICATE, certificate),),
        quantity_list=(_grams(graded_lot, mass_g),),
        **_where(house_place),
        source_list=(_from(PartyRole.OWNING, owner),),
        extensions=_extensions(said, Sentence.CERTIFICATE_ISSUED, digests, certificate=contents),
    )


def loaded(
    said: Said,
    *,
    load: str,
    packs: Sequence[str],
    logger: str | None,
    net_mass_g: int,
    dock: str,
    house_place: str,
    despatch: str,
    evidence: Sequence[str] = (),
) -> AggregationEvent:
    """Packs, and the logger that rides with them, go under one SSCC."""
    contents: dict[str, Any] = {"gy:packs": len(packs), "gy:netMassG": net_mass_g}
    if logger is not None:
        contents["gy:logger"] = logger
    return AggregationEvent(
        **_frame(said),
        parent_id=load,
        child_epcs=(*packs, *([] if logger is None else [logger])),
        action=Action.ADD,
        biz_step=BizStep.PACKING,
        disposition=Disposition.IN_PROGRESS,
        **_where(dock, house_place),
        biz_transaction_list=(_reference(Transaction.DESPATCH_ADVICE, despatch),),
        extensions=_extensions(said, Sentence.LOADED, load=contents, evidence=evidence),
    )


def shipped(
    said: Said,
    *,
    load: str,
    dock: str,
    house_place: str,
    house_party: str,
    owner: str,
    destination: str,
    receiver: str,
    despatch: str,
    sale_documents: Sequence[str],
    lots: Sequence[str],
    certificates: Sequence[str],
    wanted_milli_celsius: tuple[int, int],
    digests: Sequence[str],
) -> ObjectEvent:
    """A load left the house."""
    shipment: dict[str, Any] = {"gy:lots": list(lots)}
    if certificates:
        shipment["gy:certificates"] = list(certificates)
    shipment["gy:wantedMilliCelMin"], shipment["gy:wantedMilliCelMax"] = wanted_milli_celsius
    return ObjectEvent(
        **_frame(said),
        action=Action.OBSERVE,
        biz_step=BizStep.SHIPPING,
        disposition=Disposition.IN_TRANSIT,
        epc_list=(load,),
        read_point=Place(dock),
        biz_transaction_list=(
            _reference(Transaction.DESPATCH_ADVICE, despatch),
            *(_reference(Transaction.PURCHASE_ORDER, document) for document in sale_documents),
        ),
        source_list=(
            _from(PartyRole.LOCATION, house_place),
            _from(PartyRole.OWNING, owner),
            _from(PartyRole.POSSESSING, house_party),
        ),
        destination_list=(
            _to(PartyRole.LOCATION, destination),
            _to(PartyRole.OWNING, owner),
            _to(PartyRole.POSSESSING, receiver),
        ),
        extensions=_extensions(said, Sentence.SHIPPED, digests, shipment=shipment),
    )


def delivered(
    said: Said,
    *,
    load: str,
    seen: Sequence[str],
    is_complete: bool,
    destination: str,
    receiver: str,
    house_place: str,
    house_party: str,
    receipt_document: str,
    despatch: str,
    confirms: str,
    sensor_elements: Sequence[SensorElement],
    leg: Mapping[str, int],
    digests: Sequence[str] = (),
) -> AggregationEvent:
    """The receiver says which packs arrived, and how warm it was on the way."""
    return AggregationEvent(
        **_frame(said),
        parent_id=load,
        child_epcs=tuple(seen),
        action=Action.OBSERVE,
        biz_step=BizStep.RECEIVING,
        disposition=Disposition.COMPLETENESS_VERIFIED if is_complete else Disposition.MISMATCH_QUANTITY,
        **_where(destination),
        biz_transaction_list=(
            _reference(Transaction.RECEIVING_ADVICE, receipt_document),
            _reference(Transaction.DESPATCH_ADVICE, despatch),
        ),
        source_list=(_from(PartyRole.LOCATION, house_place), _from(PartyRole.POSSESSING, house_party)),
        destination_list=(_to(PartyRole.LOCATION, destination), _to(PartyRole.POSSESSING, receiver)),
        sensor_element_list=tuple(sensor_elements),
        extensions=_extensions(
            said,
            Sentence.DELIVERED,
            digests,
            confirms=[confirms],
            leg={f"gy:{name}": value for name, value in leg.items()},
        ),
    )


# --- parts shared by the sentences ----------------------------------------------------------------


def _frame(said: Said) -> dict[str, Any]:
    return {
        "event_id": said.event_id,
        "event_time": format_time(said.at),
        "event_time_zone_offset": said.offset,
    }


def _where(read_point: str, location: str | None = None) -> dict[str, Any]:
    return {"read_point": Place(read_point), "biz_location": Place(location or read_point)}


def _grams(epc_class: str, mass_g: int) -> Quantity:
    return Quantity(epc_class=epc_class, quantity=mass_g, uom=Unit.GRAM)


def _reference(kind: Transaction, document: str) -> TransactionReference:
    return TransactionReference(type=kind, biz_transaction=document)


def _from(role: PartyRole, name: str) -> Source:
    return Source(type=role, source=name)


def _to(role: PartyRole, name: str) -> Destination:
    return Destination(type=role, destination=name)


def _extensions(said: Said, sentence: Sentence, digests: Sequence[str] = (), **fields: Any) -> dict[str, Any]:
    """Return the `gy:` fields. Empty lists are left out: hash generators disagree about them."""
    named = {"sentence": sentence, "recorder": said.recorder, **fields, "digests": sorted(digests)}
    return {
        f"gy:{name}": list(value) if isinstance(value, tuple) else value
        for name, value in named.items()
        if value not in ([], ())
    }
