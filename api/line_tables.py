"""The tables of a line's own file. They hold what the house has not got yet; the house's database has none of them."""

from datetime import datetime
from typing import Final

from sqlalchemy import Column, Index, LargeBinary, MetaData, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from ledger.kernel.columns import UtcTime

WAITING: Final = 0
DELIVERED: Final = 1
REFUSED: Final = 2
"""How a row stands with the house."""


class Kept(SQLModel):
    """Tables of the station's own file; the house's database has none of them."""

    metadata = MetaData()


class LineBatch(Kept, table=True):
    """One lot on its way over this line."""

    __tablename__ = "line_batch"

    id: int = Field(default=None, primary_key=True)
    run: str = Field(unique=True)
    """The name of this batch here and in its records: made when it was opened, without asking anybody."""
    lot: str
    crop: str
    variety: str
    standard: str
    edition: str
    standard_file: str
    tariff_file: str
    profile_file: str
    """SHA-256 in hexadecimal of what the batch is graded by."""
    brix_tenths: int | None = None
    received_g: int | None = None
    opened_at: datetime = Field(sa_type=UtcTime)
    closed_at: datetime | None = Field(default=None, sa_type=UtcTime)
    weighed_g: str = Field(default="null", sa_type=Text)
    """Grams per tier as JSON, where the tiers were weighed."""
    server_ref: str | None = None
    delivered_at: datetime | None = Field(default=None, sa_type=UtcTime)
    refused: str | None = Field(default=None, sa_type=Text)
    """Why the house does not take it, as JSON; asked again from time to time."""


class LineFruit(Kept, table=True):
    """One fruit as it passed, and what a person said of it."""

    __tablename__ = "line_fruit"
    __table_args__ = (
        UniqueConstraint("batch_id", "number", name="line_fruit_number"),
        Index("line_fruit_state", "state", "batch_id", "number"),
        Index("line_fruit_judgement", "judgement_state", "batch_id", "number"),
        Index("line_fruit_queue", "batch_id", "tier", "number"),
    )

    id: int = Field(default=None, primary_key=True)
    batch_id: int = Field(foreign_key="line_batch.id")
    number: int
    at: datetime = Field(sa_type=UtcTime)
    tier: str
    """What counts now; `camera_tier` is what the camera said."""
    camera_tier: str
    nominal_tier: str
    mass_g: int
    price_fen: int
    near_fen: int | None = None
    """Of a fruit given the lower tier because it is near a limit: what it would have brought more. None: it is not."""
    is_weighed: bool = False
    """Whether the grams are a scale's."""
    lane: int | None = None
    """Where it was sent: 0 is the belt's end. None while nobody has told its gate, or nobody can say where it lies."""
    lost: str | None = Field(default=None, sa_type=Text)
    """Why its lane command came to nothing, as JSON: a word and a text."""
    files: str = Field(sa_type=Text)
    """SHA-256 of its record, then of its crops, separated by spaces."""
    shown: str = Field(sa_type=Text)
    """What the console shows of it, as JSON."""
    is_commanded: bool = False
    state: int = WAITING
    server_id: int | None = None
    refused: str | None = Field(default=None, sa_type=Text)
    judged_reason: str | None = None
    judged_at: datetime | None = Field(default=None, sa_type=UtcTime)
    judgement_state: int | None = None


class LineFile(Kept, table=True):
    """Crops, records, profiles. They stand in the same file as the rows that name them: one commit keeps both."""

    __tablename__ = "line_file"
    __table_args__ = (Index("line_file_batch", "batch_id", "state"),)

    sha256: str = Field(primary_key=True)
    batch_id: int
    state: int = WAITING
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class LineNote(Kept, table=True):
    """Small things to remember over a restart, by name, as JSON."""

    __tablename__ = "line_note"

    name: str = Field(primary_key=True)
    text: str = Field(sa_type=Text)
