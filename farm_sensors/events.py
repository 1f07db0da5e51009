"""The sensor side's sentences in the log, as `EVENTS.md` writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ledger.events import AssociationEvent, ObjectEvent, Place, SensorElement
from ledger.kernel.clock import format_time, offset_text
from ledger.kernel.ids import CANONICAL_HOST, DeviceId, EventId, LoadId, PartyId, PlaceId
from ledger.vocabulary import METHOD, Action, BizStep, Sentence

WINDOW_METHOD: Final = METHOD + "window-1"
LEG_METHOD: Final = METHOD + "leg-1"
PULP_METHOD: Final = METHOD + "pulp-1"

LISTED_GAPS: Final = 60
"""Gaps an event lists before it only counts them: an entry has a size limit."""


@dataclass(frozen=True, slots=True)
class WindowGap:
    """A stretch in which a device's readings were due and none came."""

    device: DeviceId
    from_at: datetime
    to_at: datetime


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """How complete a window is, counted in moments at which a device measured."""

    expected: int
    received: int
    suspect: int
    late: int
    gaps: tuple[WindowGap, ...]
    closed_at: datetime


def device_enrolled(
    *,
    event_id: EventId,
    at: datetime,
    zone: str,
    device: DeviceId,
    place: PlaceId,
    recorder: PartyId,
    model: str,
    quantities: Sequence[str],
    key_thumbprint: str,
    digests: Sequence[str] = (),
) -> AssociationEvent:
    """Return the sentence that a device was installed at a place."""
    extensions: dict[str, Any] = {
        "gy:sentence": Sentence.DEVICE_ENROLLED.value,
        "gy:recorder": recorder,
        "gy:enrolment": {
            "gy:model": model,
            "gy:quantities": list(quantities),
            "gy:keyThumbprint": key_thumbprint,
        },
    }
    if digests:
        extensions["gy:digests"] = sorted(digests)
    return AssociationEvent(
        event_id=event_id,
        event_time=format_time(at),
        event_time_zone_offset=offset_text(at, zone),
        action=Action.ADD,
        biz_step=BizStep.INSTALLING,
        parent_id=place,
        child_epcs=(device,),
        read_point=Place(place),
        biz_location=Place(place),
        extensions=extensions,
    )


def window_closed(
    *,
    event_id: EventId,
    end: datetime,
    zone: str,
    target: PlaceId | LoadId,
    recorder: DeviceId | PartyId,
    elements: Sequence[SensorElement],
    counts: WindowCounts,
) -> ObjectEvent:
    """Return the sentence that an hour of a place, or of a load on its way, is closed."""
    window: dict[str, Any] = {
        "gy:expected": counts.expected,
        "gy:received": counts.received,
        "gy:suspect": counts.suspect,
        "gy:late": counts.late,
        "gy:closedAt": format_time(counts.closed_at),
    }
    is_shared = len(elements) > 1
    if counts.gaps:
        window["gy:gaps"] = [_gap(gap, is_shared=is_shared) for gap in counts.gaps[:LISTED_GAPS]]
    if len(counts.gaps) > LISTED_GAPS:
        window["gy:gapsNotListed"] = len(counts.gaps) - LISTED_GAPS
    on_the_way = is_load(target)
    return ObjectEvent(
        event_id=event_id,
        event_time=format_time(end),
        event_time_zone_offset=offset_text(end, zone),
        action=Action.OBSERVE,
        biz_step=BizStep.SENSOR_REPORTING,
        epc_list=(target,) if on_the_way else (),
        read_point=None if on_the_way else Place(target),
        biz_location=None if on_the_way else Place(target),
        sensor_element_list=tuple(elements),
        extensions={
            "gy:sentence": Sentence.WINDOW_CLOSED.value,
            "gy:recorder": recorder,
            "gy:window": window,
        },
    )


def is_load(target: str) -> bool:
    """Return whether an id names a load (SSCC) and not a place."""
    return target.startswith(f"{CANONICAL_HOST}/00/")


def _gap(gap: WindowGap, *, is_shared: bool) -> dict[str, str]:
    built = {"gy:fromAt": format_time(gap.from_at), "gy:toAt": format_time(gap.to_at)}
    if is_shared:
        built["gy:device"] = gap.device
    return built
