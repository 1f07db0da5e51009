"""A small cooperative at work, over an opened installation: what the farmer's and the host's pages are tested on."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from sqlmodel import Session

from api import accounts
from api.runtime import Runtime
from ledger.events import SensorElement, SensorReport
from ledger.kernel.actors import Actor, Role
from ledger.kernel.clock import format_time
from ledger.kernel.ids import PlaceId
from orders import intake, listings, picking, plots, raising, sales
from orders.channels import PaidLine, PaidOrder
from orders.models import Broadcast, PickOrder
from orders.places import House

ZONE = "Asia/Shanghai"


@dataclass
class Orchard:
    """Two sample farmers with three plots, a host, a packing house. Every time is the installation's clock."""

    rt: Runtime
    tokens: dict[str, str] = field(default_factory=dict)
    actors: dict[str, Actor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.serial = count(1)
        self.house = House.of(self.rt.numbering)
        self.studio = self.rt.numbering.place(20)
        with self.rt.db.write() as session:
            for ref, role, site in (
                ("farmer-1", Role.FARMER, None),
                ("farmer-2", Role.FARMER, None),
                ("host-1", Role.HOST, self.studio),
                ("station-1", Role.STATION, self.house.place),
            ):
                self._sign_in(session, ref, role, site)
            for ref, holder, variety in (
                ("P01", "farmer-1", "Guifei"),
                ("P02", "farmer-1", "Tainong No. 1"),
                ("P03", "farmer-2", "Guifei"),
            ):
                self._register(session, ref, holder, variety)

    @property
    def now(self) -> datetime:
        return self.rt.clock.now()

    def _sign_in(self, session: Session, ref: str, role: Role, site: PlaceId | None) -> None:
        person = accounts.create_person(session, self.rt.numbering, ref=ref, role=role, site=site, now=self.now)
        accounts.set_name(session, person.party, f"Sample {ref.replace('-', ' ')}")
        opened = accounts.open_session(session, person, now=self.now)
        self.tokens[ref], self.actors[ref] = opened.token, opened.actor

    def _register(self, session: Session, ref: str, holder: str, variety: str) -> None:
        plots.register(
            session,
            plots.NewPlot(
                place=self.rt.numbering.place(1, ref),
                ref=ref,
                name=f"Sample plot {int(ref[1:])}",
                crop="mango",
                variety=variety,
                region="CN-460200",
                area_m2=6400,
                trees=210,
                season="2026-autumn",
                yield_cap_kg=12_000,
                holder=self.actors[holder].party,
                polygon=((109.51, 18.31), (109.52, 18.31), (109.52, 18.32)),
            ),
            recorder=self.rt.numbering.party(1),
            numbering=self.rt.numbering,
            now=self.now,
            zone=ZONE,
        )

    def header(self, ref: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[ref]}"}

    def open(
        self,
        *,
        variety: str = "Guifei",
        plots_: tuple[str, ...] = ("P01",),
        pieces: int = 40,
        title: str = "Sample broadcast",
    ) -> Broadcast:
        """Open a broadcast that lists three tiers of 2.5 kg boxes."""
        with self.rt.db.write() as session:
            show = listings.open_broadcast(
                session,
                host=self.actors["host-1"],
                title=title,
                closes_at=self.now + timedelta(minutes=42),
                place=self.studio,
                numbering=self.rt.numbering,
                now=self.now,
                zone=ZONE,
            )
            for tier, price_fen in (("A", 4990), ("B", 3990), ("C", 2790)):
                listings.list_tier(
                    session,
                    show.id,
                    tier=tier,
                    variety=variety,
                    nominal_mass_g=2500,
                    price_fen=price_fen,
                    pieces=pieces,
                    plots=[self.rt.numbering.place(1, ref) for ref in plots_],
                    numbering=self.rt.numbering,
                    now=self.now,
                    zone=ZONE,
                )
        return show

    def sell(self, show: Broadcast, **pieces: int) -> sales.Outcome:
        """Take one paid order with a line for each tier."""
        number = next(self.serial)
        message = PaidOrder(
            source="sample-shop",
            message_id=f"msg-{number}",
            body=b"{}",
            order_ref=f"S-{1000 + number}",
            broadcast=show.id,
            paid_at=self.now,
            lines=tuple(PaidLine(i + 1, tier, quantity, 4990) for i, (tier, quantity) in enumerate(pieces.items())),
        )
        with self.rt.db.write() as session:
            return sales.take(session, message, now=self.now)

    def raise_orders(self) -> list[PickOrder]:
        with self.rt.db.write() as session:
            return raising.raise_orders(session, now=self.now, numbering=self.rt.numbering, zone=ZONE)

    def order(self, **pieces: int) -> PickOrder:
        """Sell pieces of a fresh broadcast and return the pick order this raises."""
        self.sell(self.open(), **pieces)
        return self.raise_orders()[0]

    def confirmation(
        self, order: PickOrder, mass_g: int, *, minutes_ago: int = 10, **changes: object
    ) -> dict[str, object]:
        number = next(self.serial)
        ended_at = self.now - timedelta(minutes=minutes_ago)
        return {
            "command_id": f"00000000-0000-4000-8000-{number:012d}",
            "pick_order": order.id,
            "crates": [{"crate": f"C-{number:04d}", "mass_g": mass_g}],
            "started_at": format_time(ended_at - timedelta(minutes=25)),
            "ended_at": format_time(ended_at),
            **changes,
        }

    def pick(
        self, order: PickOrder, mass_g: int, *, by: str = "farmer-1", minutes_ago: int = 10, crate: str = ""
    ) -> picking.PickOutcome:
        changes = {"crates": [{"crate": crate, "mass_g": mass_g}]} if crate else {}
        given = picking.PickConfirmation.model_validate(
            self.confirmation(order, mass_g, minutes_ago=minutes_ago, **changes)
        )
        with self.rt.db.write() as session:
            return picking.confirm(
                session, given, actor=self.actors[by], numbering=self.rt.numbering, now=self.now, zone=ZONE
            )

    def receive(self, lot: str, mass_g: int) -> intake.ReceiptOutcome:
        with self.rt.db.write() as session:
            return intake.receive(
                session,
                lot,
                mass_g=mass_g,
                scale=self.rt.numbering.device("SCALE03"),
                actor=self.actors["station-1"],
                numbering=self.rt.numbering,
                now=self.now,
                zone=ZONE,
            )

    def cool(self, lot: str, *, minutes_ago: int = 5) -> None:
        with self.rt.db.write() as session:
            intake.pre_cool(
                session,
                lot,
                cooler=self.house.spot("COOL-1"),
                started_at=self.now - timedelta(minutes=minutes_ago),
                ended_at=self.now,
                sensor_elements=[
                    SensorElement(sensor_report=(SensorReport(type="Temperature", value=13.2, uom="CEL"),))
                ],
                actor=self.actors["station-1"],
                now=self.now,
                zone=ZONE,
            )
