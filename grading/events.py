"""The sentences of grading: calibrated, override_made, graded. Facts in, event out; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledger.events import (
    ObjectEvent,
    Place,
    Quantity,
    SensorElement,
    SensorMetadata,
    SensorReport,
    TransactionReference,
    TransformationEvent,
)
from ledger.kernel.clock import format_time, offset_text
from ledger.kernel.ids import DeviceId, EventId, LotId, PartyId, PlaceId
from ledger.vocabulary import METHOD, Action, BizStep, Disposition, Sentence, Transaction, Unit

COUNTRY = "CN"


@dataclass(frozen=True, slots=True)
class Said:
    """Who says it, when it was over, where, and under which event id."""

    event_id: EventId
    at: datetime
    zone: str
    recorder: PartyId
    line: PlaceId
    house: PlaceId


@dataclass(frozen=True, slots=True)
class TierLot:
    """One graded lot: its tier, fruit and measured grams."""

    tier: str
    lot: LotId
    fruits: int
    mass_g: int


@dataclass(frozen=True, slots=True)
class Move:
    """So many fruit moved from one tier to another by hand, for one reason."""

    from_tier: str
    to_tier: str
    fruits: int
    reason: str


def calibrated(
    said: Said,
    *,
    camera: DeviceId,
    certificate: str,
    frame: str,
    target: str,
    reference_um: int,
    measured_um: int,
    allowed_um: int,
    nm_per_pixel: int,
    valid_until: datetime,
    digests: Sequence[str],
) -> ObjectEvent:
    """A camera's scale was checked against a reference of known length."""
    return ObjectEvent(
        **_when(said),
        certification_info=certificate,
        action=Action.OBSERVE,
        biz_step=BizStep.INSPECTING,
        disposition=Disposition.CONFORMANT,
        epc_list=(camera,),
        read_point=Place(said.line),
        biz_location=Place(said.line),
        sensor_element_list=(
            SensorElement(
                sensor_metadata=SensorMetadata(
                    time=format_time(said.at),
                    device_id=camera,
                    raw_data=frame,
                    data_processing_method=METHOD + "scale-1",
                ),
                sensor_report=(SensorReport(type="Length", value=measured_um / 1000, uom=Unit.MILLIMETRE),),
            ),
        ),
        extensions=_extensions(
            said,
            Sentence.CALIBRATED,
            digests,
            calibration={
                "gy:quantity": "scale",
                "gy:referenceUm": reference_um,
                "gy:measuredUm": measured_um,
                "gy:allowedUm": allowed_um,
                "gy:nmPerPixel": nm_per_pixel,
                "gy:target": target,
                "gy:validUntilAt": format_time(valid_until),
            },
        ),
    )


def override_made(
    said: Said,
    *,
    lot: str,
    touched_g: int,
    run: str,
    moves: Sequence[Move],
    second_person: bool,
    records_root: str,
    evidence: Sequence[str],
    digests: Sequence[str],
) -> ObjectEvent:
    """People decided about fruit the camera doubted, or moved fruit the camera had graded."""
    return ObjectEvent(
        **_when(said),
        action=Action.OBSERVE,
        biz_step=BizStep.INSPECTING,
        quantity_list=(Quantity(epc_class=lot, quantity=touched_g, uom=Unit.GRAM),),
        read_point=Place(said.line),
        biz_location=Place(said.line),
        biz_transaction_list=(_run(run),),
        extensions=_extensions(
            said,
            Sentence.OVERRIDE_MADE,
            digests,
            override={
                "gy:fruits": sum(move.fruits for move in moves),
                "gy:moves": [
                    {
                        "gy:fromTier": move.from_tier,
                        "gy:toTier": move.to_tier,
                        "gy:fruits": move.fruits,
                        "gy:reason": move.reason,
                    }
                    for move in moves
                ],
                "gy:secondPerson": "present" if second_person else "not needed",
                "gy:recordsRoot": records_root,
            },
            evidence=list(evidence),
        ),
    )


def graded(
    said: Said,
    *,
    lot: str,
    received_g: int,
    run: str,
    pick_orders: Sequence[str],
    ilmd: Mapping[str, Any],
    lots: Sequence[TierLot],
    standard: str,
    edition: str,
    standard_hash: str,
    model_hash: str,
    overridden: int,
    doubtful: int,
    unaccounted_g: int,
    mass_from: str,
    records_root: str,
    calibration: str,
    overrides: Sequence[str],
    evidence: Sequence[str],
    digests: Sequence[str],
) -> TransformationEvent:
    """A harvest lot became graded lots, one per tier."""
    return TransformationEvent(
        **_when(said),
        transformation_id=run,
        input_quantity_list=(Quantity(epc_class=lot, quantity=received_g, uom=Unit.GRAM),),
        output_quantity_list=tuple(Quantity(epc_class=each.lot, quantity=each.mass_g, uom=Unit.GRAM) for each in lots),
        biz_step=BizStep.CREATING_CLASS_INSTANCE,
        disposition=Disposition.ACTIVE,
        read_point=Place(said.line),
        biz_location=Place(said.house),
        biz_transaction_list=(
            _run(run),
            *(TransactionReference(type=Transaction.PRODUCTION_ORDER, biz_transaction=order) for order in pick_orders),
        ),
        ilmd={"cbvmda:countryOfOrigin": COUNTRY, **ilmd},
        extensions=_extensions(
            said,
            Sentence.GRADED,
            digests,
            verdicts={
                "gy:standard": standard,
                "gy:standardEdition": edition,
                "gy:standardHash": standard_hash,
                "gy:modelHash": model_hash,
                "gy:fruits": sum(each.fruits for each in lots),
                "gy:overridden": overridden,
                "gy:doubtful": doubtful,
                "gy:tiers": [
                    {"gy:tier": each.tier, "gy:lot": each.lot, "gy:fruits": each.fruits, "gy:massG": each.mass_g}
                    for each in lots
                ],
                "gy:massFrom": mass_from,
                "gy:unaccountedG": unaccounted_g,
                "gy:recordsRoot": records_root,
                "gy:calibration": calibration,
                **({"gy:overrides": list(overrides)} if overrides else {}),
            },
            evidence=list(evidence),
        ),
    )


def _run(run: str) -> TransactionReference:
    return TransactionReference(type=Transaction.GRADING_RUN, biz_transaction=run)


def _when(said: Said) -> dict[str, Any]:
    return {
        "event_id": said.event_id,
        "event_time": format_time(said.at),
        "event_time_zone_offset": offset_text(said.at, said.zone),
    }


def _extensions(said: Said, sentence: Sentence, digests: Sequence[str], **fields: Any) -> dict[str, Any]:
    built: dict[str, Any] = {"gy:sentence": sentence.value, "gy:recorder": said.recorder}
    built |= {f"gy:{name}": value for name, value in fields.items() if value}
    if digests:
        built["gy:digests"] = list(digests)
    return built
