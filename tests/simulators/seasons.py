"""A season of a cooperative as a log of any length: plots with a window every hour, lots, packs by the hundred, loads.

Rows are written as `ledger.log` writes them, without parsing each event. One plot has far more readings than the
others, and everything is packed at one line: what many events name must not slow down what few do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from ledger.kernel.clock import format_time
from ledger.kernel.columns import milliseconds
from ledger.kernel.database import Database, insert_rows
from ledger.kernel.ids import DocumentType, Numbering, lot_id, pack_id
from ledger.lineage import names
from ledger.models import Entry, Naming
from ledger.vocabulary import BTT, Action, BizStep, Disposition, PartyRole, Sentence

BEGIN: Final = datetime(2026, 4, 1, tzinfo=UTC)
LOTS: Final = 12
PACKS: Final = 220
"""Packs of each of a plot's twelve lots: a season of 12 tonnes."""
BIG_LOT: Final = 400
"""Packs of the one lot that is larger."""
PLOT_EVENTS: Final = 25_000
"""Events of one plot: its readings make up what its lots do not."""
HOT_SHARE: Final = 8
"""One in so many events is a reading of the hot plot."""
PACK_G: Final = 4500

_HOUSE: Final = Numbering("9521002")
_FARM: Final = Numbering("9521001")
_SHOP: Final = Numbering("9521004")
LINE: Final = _HOUSE.place(10, "LINE-1")
DOCK_IN: Final = _HOUSE.place(10, "DOCK-IN")
DOCK_OUT: Final = _HOUSE.place(10, "DOCK-OUT")
HOUSE: Final = _HOUSE.place(10)
HARVEST: Final = _FARM.gtin(21, indicator=9)
GRADED: Final = _HOUSE.gtin(41, indicator=9)
CULLS: Final = _HOUSE.gtin(49, indicator=9)
BOX: Final = _HOUSE.gtin(101)
_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_ENTRY_COLUMNS: Final = (
    "id", "event_id", "is_declaration", "sentence", "event_type", "event_time", "record_time", "data", "leaf_index",
)  # fmt: skip
_NAMING_COLUMNS: Final = ("identifier", "sentence", "event_time", "entry_id", "roles")


def plot(number: int) -> str:
    """The place of a plot; plot 0 is the hot one."""
    return _FARM.place(10, f"P{number:03d}")


def sensor(number: int) -> str:
    """The device on a plot."""
    return _FARM.device(f"SENSOR{number:04d}")


def harvest_lot(number: int, lot: int) -> str:
    """A lot as it was picked."""
    return lot_id(HARVEST, f"H{number:03d}-{lot:02d}")


def graded_lot(number: int, lot: int) -> str:
    """What was graded from it."""
    return lot_id(GRADED, f"G{number:03d}-{lot:02d}")


def pack(number: int, lot: int, place: int) -> str:
    """One pack of a lot."""
    return pack_id(BOX, f"{number:03d}{lot:02d}{place:05d}")


def packs_of(number: int, lot: int) -> int:
    """How many packs a lot has: the last of plot 1 is the large one."""
    return BIG_LOT if (number, lot) == (1, LOTS - 1) else PACKS


def load(number: int, lot: int, part: int) -> str:
    """A pallet of 110 packs."""
    return _HOUSE.load(number * 1000 + lot * 10 + part + 1)


@dataclass
class _Writer:
    db: Database
    written: int = 0
    entries: list[tuple[Any, ...]] = field(default_factory=list)
    namings: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, event: Mapping[str, Any], at: datetime) -> None:
        key, time_ms = self.written + 1, milliseconds(at)
        document = {
            "eventID": f"urn:uuid:{UUID(int=0x019D9D75_0000_7000_8000 << 48 | key)}",
            "eventTime": format_time(at),
            "eventTimeZoneOffset": "+08:00",
            **event,
        }
        sentence = document["gy:sentence"]
        self.entries.append((
            key, document["eventID"], False, sentence, document["type"], time_ms, time_ms,
            _ENCODER.encode(document), self.written,
        ))  # fmt: skip
        self.namings += [(name, sentence, time_ms, key, roles) for name, roles in names(document).items()]
        self.written += 1
        if len(self.entries) >= 20_000:
            self.flush()

    def flush(self) -> None:
        with self.db.write() as session:
            insert_rows(session, Entry.__table__, _ENTRY_COLUMNS, self.entries)  # type: ignore[attr-defined]
            # In the order of the index: neighbours are written together.
            insert_rows(session, Naming.__table__, _NAMING_COLUMNS, sorted(self.namings))  # type: ignore[attr-defined]
        self.entries, self.namings = [], []


def fill(db: Database, count: int) -> int:
    """Write about `count` events into an empty log; return how many plots they tell of, the hot one with them."""
    writer = _Writer(db)
    plots = max(2, (count - count // HOT_SHARE) // PLOT_EVENTS)
    lots = sum(len([*_lot(number, lot)]) for number, lot in ((0, 0),)) * LOTS * plots
    windows = max(1, (count - count // HOT_SHARE - lots) // plots)
    for number in range(plots):
        writer.add(_enrolled(number), BEGIN)
        # The days of a plot are written one after the other, its readings with what was picked and packed that day.
        readings = windows + (count // HOT_SHARE if number == 0 else 0)
        every = timedelta(minutes=60 if number else 10)
        for lot in range(LOTS):
            for hour in range(lot * readings // LOTS, (lot + 1) * readings // LOTS):
                writer.add(_window(number), BEGIN + every * hour)
            for event, after in _lot(number, lot):
                writer.add(event, BEGIN + every * ((lot + 1) * readings // LOTS) + timedelta(minutes=after))
    writer.flush()
    return plots


def _said(sentence: Sentence, kind: str, step: BizStep, place: str, **rest: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "bizStep": step.value,
        "readPoint": {"id": place},
        "gy:sentence": sentence.value,
        "gy:recorder": _HOUSE.party(10),
        **rest,
    }


def _enrolled(number: int) -> dict[str, Any]:
    return _said(
        Sentence.DEVICE_ENROLLED,
        "AssociationEvent",
        BizStep.INSTALLING,
        plot(number),
        action=Action.ADD.value,
        parentID=plot(number),
        childEPCs=[sensor(number)],
    )


def _window(number: int) -> dict[str, Any]:
    return _said(
        Sentence.WINDOW_CLOSED,
        "ObjectEvent",
        BizStep.SENSOR_REPORTING,
        plot(number),
        action=Action.OBSERVE.value,
        sensorElementList=[
            {
                "sensorMetadata": {"deviceID": sensor(number)},
                "sensorReport": [{"type": "Temperature", "meanValue": 23.1, "uom": "CEL"}],
            }
        ],
    )


def _grams(item: str, grams: int) -> list[dict[str, Any]]:
    return [{"epcClass": item, "quantity": grams, "uom": "GRM"}]


def _lot(number: int, lot: int) -> Iterator[tuple[dict[str, Any], int]]:
    """What happens to one lot, with the minutes after the start of its day."""
    count = packs_of(number, lot)
    good, picked = harvest_good(count)
    harvest, graded, where = harvest_lot(number, lot), graded_lot(number, lot), plot(number)
    add, observe = Action.ADD.value, Action.OBSERVE.value
    yield (
        _said(
            Sentence.PICKED, "ObjectEvent", BizStep.CREATING_CLASS_INSTANCE, where,
            action=add, quantityList=_grams(harvest, picked), ilmd={"gy:plot": where},
        ),
        0,
    )  # fmt: skip
    yield (
        _said(
            Sentence.RECEIVED, "ObjectEvent", BizStep.RECEIVING, DOCK_IN,
            action=observe, quantityList=_grams(harvest, picked), bizLocation={"id": HOUSE},
        ),
        60,
    )  # fmt: skip
    run = _HOUSE.document(DocumentType.GRADING_RUN, f"GR{number:03d}-{lot:02d}")
    yield (
        _said(
            Sentence.GRADED, "TransformationEvent", BizStep.CREATING_CLASS_INSTANCE, LINE,
            transformationID=run, inputQuantityList=_grams(harvest, picked),
            outputQuantityList=_grams(graded, good) + _grams(lot_id(CULLS, f"X{number:03d}-{lot:02d}"), picked - good),
        ),
        120,
    )  # fmt: skip
    quota = [{"type": BTT + "quota", "bizTransaction": _HOUSE.document(DocumentType.QUOTA, f"Q{number:03d}-{lot:02d}")}]
    serials = [pack(number, lot, place) for place in range(count)]
    yield (
        _said(
            Sentence.CODE_ACTIVATED, "ObjectEvent", BizStep.COMMISSIONING, LINE,
            action=add, epcList=serials, ilmd={"gy:gradedLot": graded}, bizTransactionList=quota,
        ),
        150,
    )  # fmt: skip
    for place, serial in enumerate(serials):
        yield (
            _said(
                Sentence.PACKED, "AggregationEvent", BizStep.PACKING, LINE,
                action=add, parentID=serial, childQuantityList=_grams(graded, PACK_G + place % 90),
                bizLocation={"id": HOUSE}, bizTransactionList=quota,
                disposition=Disposition.CONTAINER_CLOSED.value,
            ),
            151,
        )  # fmt: skip
    for part, first in enumerate(range(0, count, 110)):
        sscc, inside = load(number, lot, part), serials[first : first + 110]
        shop = _SHOP.place(10 + (number + part) % 30)
        yield (
            _said(
                Sentence.LOADED, "AggregationEvent", BizStep.PACKING, DOCK_OUT,
                action=add, parentID=sscc, childEPCs=inside,
            ),
            200,
        )  # fmt: skip
        to = [{"type": PartyRole.LOCATION.value, "destination": shop}]
        yield (
            _said(
                Sentence.SHIPPED, "ObjectEvent", BizStep.SHIPPING, DOCK_OUT,
                action=observe, epcList=[sscc], destinationList=to,
            ),
            240,
        )  # fmt: skip
        yield (
            _said(
                Sentence.DELIVERED, "AggregationEvent", BizStep.RECEIVING, shop,
                action=observe, parentID=sscc, childEPCs=inside, destinationList=to,
            ),
            2000,
        )  # fmt: skip


def harvest_good(count: int) -> tuple[int, int]:
    """Grams of the graded lot behind so many packs, and of the harvest behind that."""
    good = sum(PACK_G + place % 90 for place in range(count)) + 700
    return good, good + 90_000
