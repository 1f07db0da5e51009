"""Tables of the orders side.

Counters (`held`, `picked_g`, `packed_g`, `activated`) are guarded three times: by the statement that
moves them, by a CHECK here, and by `recount`, which rebuilds them from the rows they count.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from ledger.kernel.columns import BigKey, UtcTime


def _json() -> Any:
    return Field(sa_column=Column(JSON, nullable=False))


def _key() -> Any:
    return Field(default=None, sa_column=Column(BigKey, primary_key=True, autoincrement=True))


class Plot(SQLModel, table=True):
    """A plot in one season: its passport, its holder, what it may yield and what was picked."""

    __tablename__ = "orders_plot"
    __table_args__ = (CheckConstraint("picked_g >= 0 AND picked_g <= yield_cap_g", name="orders_plot_yield"),)

    id: str = Field(primary_key=True)
    ref: str = Field(index=True)
    name: str
    crop: str
    variety: str
    region: str
    area_m2: int
    trees: int
    season: str
    yield_cap_g: int
    picked_g: int = 0
    holder: str = Field(index=True)
    owner: str
    passport: str
    event_id: str
    registered_at: datetime = Field(sa_type=UtcTime)


class PlotBoundary(SQLModel, table=True):
    """Where a plot lies. Not in the log (a digest is); may be erased."""

    __tablename__ = "orders_plot_boundary"

    plot_id: str = Field(primary_key=True, foreign_key="orders_plot.id")
    geojson: str


class Product(SQLModel, table=True):
    """A GTIN of ours: a pack of one variety, tier and nominal mass, or a variety as harvested."""

    __tablename__ = "orders_product"
    __table_args__ = (UniqueConstraint("kind", "variety", "tier", "nominal_mass_g"),)

    gtin: str = Field(primary_key=True, max_length=14)
    kind: str
    crop: str
    variety: str
    tier: str
    nominal_mass_g: int
    shelf_life_days: int


class Broadcast(SQLModel, table=True):
    """One live selling session."""

    __tablename__ = "orders_broadcast"

    id: str = Field(primary_key=True)
    ref: str = Field(unique=True)
    title: str
    host: str
    place: str
    opened_at: datetime = Field(sa_type=UtcTime)
    closes_at: datetime = Field(sa_type=UtcTime)
    closed_at: datetime | None = Field(default=None, sa_type=UtcTime)


class Listing(SQLModel, table=True):
    """One tier offered in a broadcast. How many pieces: `TierStock`."""

    __tablename__ = "orders_listing"
    __table_args__ = (UniqueConstraint("broadcast_id", "tier"),)

    id: int | None = _key()
    broadcast_id: str = Field(foreign_key="orders_broadcast.id")
    tier: str
    gtin: str = Field(foreign_key="orders_product.gtin", index=True)
    variety: str
    nominal_mass_g: int
    price_fen: int
    plots: list[str] = _json()
    owner: str
    sale_document: str
    standard: str
    standard_edition: str
    event_id: str
    listed_at: datetime = Field(sa_type=UtcTime)
    planned_pieces: int = 0
    unmet_g: int = 0


class TierStock(SQLModel, table=True):
    """The scarce counter. Only `orders.allocation` moves it, in one lock order."""

    __tablename__ = "orders_tier_stock"
    __table_args__ = (CheckConstraint("held >= 0 AND held <= offered", name="orders_tier_stock_never_oversold"),)

    listing_id: int = Field(
        sa_column=Column(BigKey, primary_key=True, autoincrement=False),
    )
    offered: int
    held: int = 0


class InboxMessage(SQLModel, table=True):
    """A sale platform's message as it came, and the first answer to it."""

    __tablename__ = "orders_inbox"
    __table_args__ = (UniqueConstraint("source", "message_id"),)

    id: int | None = _key()
    source: str
    message_id: str
    kind: str
    received_at: datetime = Field(sa_type=UtcTime)
    body: bytes = Field(sa_type=LargeBinary)
    outcome: str = ""


class SalesOrder(SQLModel, table=True):
    """A paid order of a sale platform. A cancellation that overtakes its order leaves a row too."""

    __tablename__ = "orders_sales_order"
    __table_args__ = (UniqueConstraint("source", "order_ref"),)

    id: int | None = _key()
    source: str
    order_ref: str
    broadcast_id: str
    paid_at: datetime = Field(sa_type=UtcTime)
    taken_at: datetime = Field(sa_type=UtcTime)
    cancelled_at: datetime | None = Field(default=None, sa_type=UtcTime)


class SalesLine(SQLModel, table=True):
    """One line of a paid order and what became of it. Kept whatever became of it."""

    __tablename__ = "orders_sales_line"
    __table_args__ = (
        UniqueConstraint("source", "order_ref", "line_no"),
        CheckConstraint("quantity > 0", name="orders_sales_line_quantity"),
        CheckConstraint("packed >= 0 AND packed <= quantity", name="orders_sales_line_packed"),
    )

    id: int | None = _key()
    source: str
    order_ref: str
    line_no: int
    broadcast_id: str
    tier: str
    listing_id: int | None = Field(default=None, index=True)
    quantity: int
    unit_price_fen: int
    state: str
    taken_at: datetime = Field(sa_type=UtcTime, index=True)
    sold_event_id: str | None = Field(default=None, index=True)
    unsold_event_id: str | None = None
    packed: int = 0


class SaleMinute(SQLModel, table=True):
    """The lines behind one `sold` event, as the bytes its digest is over. Erasable."""

    __tablename__ = "orders_sale_minute"

    event_id: str = Field(primary_key=True)
    listing_id: int = Field(sa_type=BigKey, index=True)
    lines: bytes = Field(sa_type=LargeBinary)


class TierTotal(SQLModel, table=True):
    """How much of a variety was graded into a tier so far; a read model of `graded`."""

    __tablename__ = "orders_tier_total"

    variety: str = Field(primary_key=True)
    tier: str = Field(primary_key=True)
    mass_g: int = 0
    fruits: int = 0


class PickOrder(SQLModel, table=True):
    """Kilograms asked of one plot."""

    __tablename__ = "orders_pick_order"

    id: str = Field(primary_key=True)
    ref: str = Field(unique=True)
    broadcast_id: str = Field(foreign_key="orders_broadcast.id", index=True)
    plot_id: str = Field(foreign_key="orders_plot.id", index=True)
    holder: str = Field(index=True)
    variety: str
    tier_wanted: str
    demand_g: int
    share_per_mille: int
    ordered_g: int
    picked_g: int = 0
    expected_g: dict[str, int] = _json()
    why: list[dict[str, Any]] = _json()
    sale_documents: list[str] = _json()
    house_place: str
    house_party: str
    state: str = Field(index=True)
    raised_at: datetime = Field(sa_type=UtcTime)
    sold_at: datetime = Field(sa_type=UtcTime)
    pick_by: datetime = Field(sa_type=UtcTime)
    seen_at: datetime | None = Field(default=None, sa_type=UtcTime)
    event_id: str


class Lot(SQLModel, table=True):
    """A harvest lot: what one confirmation brought from one plot."""

    __tablename__ = "orders_lot"
    __table_args__ = (CheckConstraint("picked_g > 0", name="orders_lot_picked"),)

    id: str = Field(primary_key=True)
    number: str
    pick_order_id: str = Field(foreign_key="orders_pick_order.id", index=True)
    plot_id: str = Field(foreign_key="orders_plot.id")
    variety: str
    picked_by: str
    picked_g: int
    surplus_g: int
    pick_started_at: datetime = Field(sa_type=UtcTime)
    pick_ended_at: datetime = Field(sa_type=UtcTime)
    picked_event_id: str
    state: str = Field(index=True)
    held_reason: str = ""
    received_g: int | None = None
    received_at: datetime | None = Field(default=None, sa_type=UtcTime)
    received_event_id: str | None = None
    cooling_started_at: datetime | None = Field(default=None, sa_type=UtcTime)
    cooled_at: datetime | None = Field(default=None, sa_type=UtcTime)
    cooled_event_id: str | None = None


class Pick(SQLModel, table=True):
    """One confirmation from the field, under the command id its phone gave it."""

    __tablename__ = "orders_pick"

    command_id: str = Field(primary_key=True)
    pick_order_id: str = Field(foreign_key="orders_pick_order.id", index=True)
    lot_id: str = Field(foreign_key="orders_lot.id")
    recorded_at: datetime = Field(sa_type=UtcTime)
    fingerprint: str
    position: str | None = None


class Crate(SQLModel, table=True):
    """A crate with part of a lot in it, from the field until the house has emptied it."""

    __tablename__ = "orders_crate"

    lot_id: str = Field(primary_key=True, foreign_key="orders_lot.id")
    crate_id: str = Field(primary_key=True, index=True)
    mass_g: int
    is_full: bool = True


class GradedLot(SQLModel, table=True):
    """Graded stock: one tier of one grading run; a read model of `graded`, plus what was packed."""

    __tablename__ = "orders_graded_lot"
    __table_args__ = (CheckConstraint("packed_g >= 0 AND packed_g <= mass_g", name="orders_graded_lot_balance"),)

    id: str = Field(primary_key=True)
    number: str
    tier: str
    variety: str
    region: str
    plots: list[str] = _json()
    harvest_lots: list[str] = _json()
    fruits: int
    mass_g: int
    packed_g: int = 0
    graded_event_id: str = Field(index=True)
    graded_by: str
    graded_at: datetime = Field(sa_type=UtcTime)
    line: str
    standard: str
    certificate_id: str | None = None


class Quota(SQLModel, table=True):
    """How many codes of a product may become active against one graded lot."""

    __tablename__ = "orders_quota"
    __table_args__ = (CheckConstraint("activated >= 0 AND activated <= codes", name="orders_quota_never_exceeded"),)

    id: str = Field(primary_key=True)
    graded_lot_id: str = Field(foreign_key="orders_graded_lot.id", index=True)
    gtin: str = Field(foreign_key="orders_product.gtin")
    nominal_mass_g: int
    codes: int
    activated: int = 0
    granted_at: datetime = Field(sa_type=UtcTime)
    expires_at: datetime = Field(sa_type=UtcTime)
    event_id: str


class Code(SQLModel, table=True):
    """A serial under a GTIN: printed, active or void."""

    __tablename__ = "orders_code"

    gtin: str = Field(primary_key=True, max_length=14)
    serial: str = Field(primary_key=True, max_length=20)
    quota_id: str = Field(foreign_key="orders_quota.id", index=True)
    state: str
    printed_at: datetime = Field(sa_type=UtcTime)
    event_id: str | None = None


class Load(SQLModel, table=True):
    """Packs under one SSCC, from the house to a receiver."""

    __tablename__ = "orders_load"

    id: str = Field(primary_key=True)
    ref: str = Field(unique=True)
    despatch: str
    logger: str | None = None
    net_mass_g: int
    packs: int
    house_place: str
    house_party: str
    loaded_at: datetime = Field(sa_type=UtcTime)
    loaded_event_id: str
    destination: str | None = None
    receiver: str | None = None
    shipped_at: datetime | None = Field(default=None, sa_type=UtcTime)
    shipped_by: str | None = None
    shipped_event_id: str | None = None
    delivered_at: datetime | None = Field(default=None, sa_type=UtcTime)
    delivered_event_id: str | None = None
    mismatch: list[str] = _json()


class Pack(SQLModel, table=True):
    """A closed pack with an active code."""

    __tablename__ = "orders_pack"

    id: str = Field(primary_key=True)
    gtin: str = Field(foreign_key="orders_product.gtin", index=True)
    serial: str
    graded_lot_id: str = Field(foreign_key="orders_graded_lot.id", index=True)
    quota_id: str = Field(foreign_key="orders_quota.id")
    mass_g: int
    fruits: int
    packed_at: datetime = Field(sa_type=UtcTime)
    packed_on: str
    best_before: str
    line_id: int | None = Field(default=None, sa_type=BigKey, index=True)
    load_id: str | None = Field(default=None, foreign_key="orders_load.id", index=True)
    event_id: str


class PackFruit(SQLModel, table=True):
    """Which fruit lies in which pack. A fruit's record names one pack only."""

    __tablename__ = "orders_pack_fruit"

    record: str = Field(primary_key=True)
    pack_id: str = Field(foreign_key="orders_pack.id", index=True)
    mass_g: int


class Certificate(SQLModel, table=True):
    """A 承诺达标合格证: what its promisor promises of one graded lot."""

    __tablename__ = "orders_certificate"

    id: str = Field(primary_key=True)
    ref: str
    graded_lot_id: str = Field(foreign_key="orders_graded_lot.id", unique=True)
    document: str
    issued_at: datetime = Field(sa_type=UtcTime)
    event_id: str
