"""Events in any number, made from the golden chain: a longer history of its pack, and other farms' events around it."""

import json
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import msgspec

from ledger.events import Event, ObjectEvent, Place, parse_event
from ledger.kernel.clock import format_time, parse_time

GOLDEN = Path(__file__).resolve().parent.parent / "vectors" / "golden"
PACK = "https://id.gs1.org/01/09521002001013/21/7K3Q9X2MVD4T"
HARVEST_LOT = "https://id.gs1.org/01/99521001000218/10/H260418-P03-1"
GRADED_LOT = "https://id.gs1.org/01/99521002000415/10/G260418-1A"
PLOT = "https://id.gs1.org/414/9521001000109/254/P03"
LOAD = "https://id.gs1.org/00/095210020000007312"
WINDOW = 12
"""Where the golden chain has its window."""


def golden_events() -> list[Event]:
    """The 38 events of the golden chain, in order."""
    return [
        parse_event(event)
        for path in sorted(GOLDEN.glob("*.jsonld"))
        for event in json.loads(path.read_text())["epcisBody"]["eventList"]
    ]


def windows(count: int) -> list[Event]:
    """More windows of the golden plot, evenly over the 47 hours before its picking."""
    window = golden_events()[WINDOW]
    end = parse_time(window.event_time)
    return [
        msgspec.structs.replace(
            window,
            event_id=_event_id(1, i),
            event_time=format_time(end - timedelta(hours=47) * (i + 1) / count),
        )
        for i in range(count)
    ]


def noise(count: int) -> list[Event]:
    """Windows of ten thousand other plots."""
    window = golden_events()[WINDOW]
    assert isinstance(window, ObjectEvent)
    places = [Place(f"https://id.gs1.org/414/9521001000109/254/N{i:04d}") for i in range(10_000)]
    return [
        msgspec.structs.replace(
            window, event_id=_event_id(2, i), read_point=places[i % 10_000], biz_location=places[i % 10_000]
        )
        for i in range(count)
    ]


def _event_id(kind: int, number: int) -> str:
    return f"urn:uuid:{UUID(int=0x019D9D75_0000_7000_8000 << 48 | kind << 40 | number)}"
