"""A small cooperative that other tests act in: one plot, a house, people, and a grading line that obeys."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count

import pytest
from sqlmodel import Session, select

import ledger.log
import ledger.models  # its tables
import orders.models  # noqa: F401  # its tables
from ledger import follow
from ledger.canonical import decode_entry
from ledger.events import (
    Place,
    Quantity,
    SensorElement,
    SensorReport,
    TransactionReference,
    TransformationEvent,
)
from ledger.kernel.actors import Actor, Role
from ledger.kernel.clock import format_time
from ledger.kernel.database import Database
from ledger.kernel.files import ni_uri
from ledger.kernel.ids import DocumentType, Numbering, lot_id, new_event_id
from ledger.models import Entry
from orders import codes, intake, listings, packing, picking, plots, raising, sales
from orders.channels import CancelledOrder, PaidLine, PaidOrder
from orders.models import Broadcast, GradedLot, Listing, Lot, Pack, PickOrder, Plot
from orders.places import House
from orders.stock import GradedStock

ZONE = "Asia/Shanghai"
_GRADED_REFERENCE = {"A": 41, "B": 42, "C": 43, "cull": 49}


@dataclass
class Farm:
    """One cooperative in a fresh database. `at` is the time; tests move it."""

    db: Database
    at: datetime
    numbering: Numbering = field(default_factory=lambda: Numbering("9521002"))
    serial: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.host = Actor(self.numbering.random_party(), Role.HOST)
        self.farmer = Actor(self.numbering.random_party(), Role.FARMER)
        self.other_farmer = Actor(self.numbering.random_party(), Role.FARMER)
        self.station = Actor(self.numbering.random_party(), Role.STATION)
        self.receiver = Actor(self.numbering.random_party(), Role.STATION)
        self.house = House.of(self.numbering)
        self.scale = self.numbering.device("SCALE03")

    @contextmanager
    def write(self) -> Iterator[Session]:
        with self.db.write() as session:
            yield session

    def later(self, **delta: float) -> datetime:
        self.at += timedelta(**delta)
        return self.at

    def said(self) -> dict[str, object]:
        return {"now": self.at, "zone": ZONE}

    def new_plot(self, ref: str = "P01", **changes: object) -> plots.NewPlot:
        values: dict[str, object] = {
            "place": self.numbering.place(1, ref),
            "ref": ref,
            "name": f"Sample plot {ref}",
            "crop": "mango",
            "variety": "Guifei",
            "region": "CN-460200",
            "area_m2": 6400,
            "trees": 210,
            "season": "2026-spring",
            "yield_cap_kg": 12_000,
            "holder": self.farmer.party,
            "polygon": ((109.51, 18.31), (109.52, 18.31), (109.52, 18.32)),
        }
        return plots.NewPlot.model_validate(values | changes)

    def register(self, ref: str = "P01", **changes: object) -> Plot:
        with self.write() as session:
            return plots.register(
                session,
                self.new_plot(ref, **changes),
                recorder=self.numbering.party(1),
                numbering=self.numbering,
                now=self.at,
                zone=ZONE,
            )

    def open(self, pieces: Mapping[str, int] = {"A": 10, "B": 10, "C": 10}, *, mass_g: int = 2500) -> Broadcast:
        """Open a broadcast that lists these pieces per tier from plot P01."""
        with self.write() as session:
            show = listings.open_broadcast(
                session,
                host=self.host,
                title="Sample broadcast",
                closes_at=self.at + timedelta(hours=3),
                place=self.numbering.place(20),
                numbering=self.numbering,
                now=self.at,
                zone=ZONE,
            )
            for tier, offered in pieces.items():
                listings.list_tier(
                    session,
                    show.id,
                    tier=tier,
                    variety="Guifei",
                    nominal_mass_g=mass_g,
                    price_fen=4990,
                    pieces=offered,
                    plots=[self.numbering.place(1, "P01")],
                    numbering=self.numbering,
                    now=self.at,
                    zone=ZONE,
                )
            return show

    def paid(
        self, show: Broadcast, *lines: tuple[str, int], order: str | None = None, message: str | None = None
    ) -> PaidOrder:
        number = next(self.serial)
        return PaidOrder(
            source="sample-shop",
            message_id=message or f"msg-{number}",
            body=b"{}",
            order_ref=order or f"T-{number}",
            broadcast=show.id,
            paid_at=self.at,
            lines=tuple(PaidLine(i + 1, tier, quantity, 4990) for i, (tier, quantity) in enumerate(lines)),
        )

    def cancelled(self, order: str, *, message: str | None = None) -> CancelledOrder:
        return CancelledOrder("sample-shop", message or f"msg-{next(self.serial)}", b"{}", order)

    def take(self, message: PaidOrder | CancelledOrder) -> sales.Outcome:
        with self.write() as session:
            return sales.take(session, message, now=self.at)

    def sell(self, show: Broadcast, **pieces: int) -> list[PickOrder]:
        """Sell pieces per tier and raise the pick orders they call for."""
        self.take(self.paid(show, *pieces.items()))
        return self.raise_orders()

    def raise_orders(self) -> list[PickOrder]:
        with self.write() as session:
            return raising.raise_orders(session, now=self.at, numbering=self.numbering, zone=ZONE)

    def confirmation(self, order: PickOrder, mass_g: int, **changes: object) -> picking.PickConfirmation:
        number = next(self.serial)
        values: dict[str, object] = {
            "command_id": f"00000000-0000-7000-8000-{number:012d}",
            "pick_order": order.id,
            "crates": ({"crate": f"C-{number:04d}", "mass_g": mass_g},),
            "started_at": self.at - timedelta(minutes=30),
            "ended_at": self.at,
        }
        return picking.PickConfirmation.model_validate(values | changes)

    def confirm(self, given: picking.PickConfirmation, *, actor: Actor | None = None) -> picking.PickOutcome:
        with self.write() as session:
            return picking.confirm(
                session, given, actor=actor or self.farmer, numbering=self.numbering, now=self.at, zone=ZONE
            )

    def pick(self, order: PickOrder, mass_g: int | None = None) -> picking.PickOutcome:
        mass_g = mass_g or order.ordered_g
        crates = [
            {"crate": f"C-{next(self.serial):04d}", "mass_g": min(20_000, mass_g - start)}
            for start in range(0, mass_g, 20_000)
        ]
        return self.confirm(self.confirmation(order, mass_g, crates=tuple(crates)))

    def receive(self, lot: str, mass_g: int, *, actor: Actor | None = None, **changes: object) -> intake.ReceiptOutcome:
        with self.write() as session:
            return intake.receive(
                session,
                lot,
                mass_g=mass_g,
                scale=self.scale,
                actor=actor or self.station,
                numbering=self.numbering,
                now=self.at,
                zone=ZONE,
                **changes,
            )

    def cool(self, lot: str, *, after: timedelta = timedelta(0)) -> intake.CoolingClock:
        started = self.at + after
        self.at = started + timedelta(hours=1)
        with self.write() as session:
            return intake.pre_cool(
                session,
                lot,
                cooler=self.house.spot("COOL-1"),
                started_at=started,
                ended_at=self.at,
                sensor_elements=[
                    SensorElement(sensor_report=(SensorReport(type="Temperature", value=13.2, uom="CEL"),))
                ],
                actor=self.station,
                now=self.at,
                zone=ZONE,
            )

    def grade(self, lot: str, **tiers_g: int) -> dict[str, GradedLot]:
        """Record `graded` as the grading line would, and let stock follow."""
        with self.write() as session:
            row = session.get_one(Lot, lot)
            number = next(self.serial)
            lots = {
                tier: lot_id(self.numbering.gtin(_GRADED_REFERENCE[tier], indicator=9), f"G260418-{number}{tier[0]}")
                for tier in tiers_g
            }
            run = self.numbering.document(DocumentType.GRADING_RUN, f"GR260418-{number:04d}")
            ledger.log.record(
                session,
                TransformationEvent(
                    event_id=new_event_id(self.at),
                    event_time=format_time(self.at),
                    event_time_zone_offset="+08:00",
                    transformation_id=run,
                    input_quantity_list=(Quantity(epc_class=row.id, quantity=row.received_g, uom="GRM"),),
                    output_quantity_list=tuple(
                        Quantity(epc_class=lots[tier], quantity=grams, uom="GRM") for tier, grams in tiers_g.items()
                    ),
                    biz_step="creating_class_instance",
                    disposition="active",
                    read_point=Place(self.house.spot("LINE-1")),
                    biz_location=Place(self.house.place),
                    biz_transaction_list=(TransactionReference(type="prodorder", biz_transaction=row.pick_order_id),),
                    ilmd={"gy:variety": row.variety, "gy:region": "CN-460200", "gy:plots": [row.plot_id]},
                    extensions={
                        "gy:sentence": "graded/1",
                        "gy:recorder": self.station.party,
                        "gy:verdicts": {
                            "gy:standard": "mango-sample",
                            "gy:fruits": 8 * len(lots),
                            "gy:tiers": [
                                {"gy:tier": tier, "gy:lot": lots[tier], "gy:fruits": 8, "gy:massG": grams}
                                for tier, grams in tiers_g.items()
                            ],
                            "gy:unaccountedG": (row.received_g or 0) - sum(tiers_g.values()),
                        },
                    },
                ),
                now=self.at,
            )
        self.follow()
        with self.db.read() as session:
            return {tier: session.get_one(GradedLot, name) for tier, name in lots.items()}

    def follow(self) -> None:
        follow.drain(self.db, [GradedStock()], now=self.at)

    def graded(self, tiers_g: Mapping[str, int], show: Broadcast, **sold: int) -> dict[str, GradedLot]:
        """Go all the way from a sale to graded lots of these grams."""
        (order,) = self.sell(show, **sold)
        lot = self.pick(order, sum(tiers_g.values())).lot
        self.later(minutes=20)
        self.receive(lot, sum(tiers_g.values()))
        self.cool(lot)
        return self.grade(lot, **tiers_g)

    def grant(self, lot: GradedLot, gtin: str, **changes: object) -> codes.Quota:
        with self.write() as session:
            return codes.grant_quota(
                session,
                lot.id,
                gtin=gtin,
                recorder=self.numbering.party(10),
                numbering=self.numbering,
                now=self.at,
                zone=ZONE,
                **changes,
            )

    def fruits(self, number: int = 8, mass_g: int = 320) -> list[packing.Fruit]:
        return [
            packing.Fruit(ni_uri(sha256(f"sample fruit {next(self.serial)}".encode()).digest()), mass_g)
            for _ in range(number)
        ]

    def pack(self, lot: GradedLot, gtin: str, scale_g: int = 2560, **changes: object) -> Pack:
        with self.write() as session:
            values: dict[str, object] = {
                "graded_lot_name": lot.id,
                "gtin": gtin,
                "fruits": self.fruits(),
                "scale_g": scale_g,
                "scale": self.scale,
                "actor": self.station,
                "label_host": "127.0.0.1:8000",
                "now": self.at,
                "zone": ZONE,
            }
            return packing.pack(session, **(values | changes))

    def listing(self, show: Broadcast, tier: str) -> Listing:
        with self.db.read() as session:
            return next(row for row in listings.listings(session, show.id) if row.tier == tier)

    def stock(self, show: Broadcast) -> dict[str, tuple[int, int]]:
        """Return tier -> (offered, held)."""
        with self.db.read() as session:
            return {row.tier: (counter.offered, counter.held) for row, counter in sales.stock(session, show.id)}

    def entries(self, sentence: str | None = None) -> list[Entry]:
        with self.db.read() as session:
            rows = session.exec(select(Entry).order_by(Entry.id)).all()
            return [row for row in rows if sentence is None or row.sentence == f"{sentence}/1"]

    def events(self, sentence: str) -> list[object]:
        return [decode_entry(entry.data) for entry in self.entries(sentence)]


@pytest.fixture
def farm(db: Database, now: datetime) -> Farm:
    """A cooperative with one plot of Guifei mango."""
    farm = Farm(db, now)
    farm.register()
    return farm
