"""The tables of grading: calibrations, batches, photographs, fruit, and what a closed batch came to."""

from datetime import datetime

from sqlalchemy import Column, Index, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from ledger.kernel.columns import BigKey, UtcTime


class Calibration(SQLModel, table=True):
    """One check of a line's camera against a reference. The latest one of a line counts."""

    __tablename__ = "grading_calibration"
    __table_args__ = (Index("grading_calibration_line", "line", "id"),)

    id: int = Field(default=None, primary_key=True, sa_type=BigKey)
    line: str = Field(max_length=200)
    event_id: str = Field(max_length=80)
    certificate: str = Field(max_length=200)
    reference: str = Field(max_length=10)
    """`marker`, `coin`, or `profile`: then `frame` names the camera profile of a belt."""
    reference_um: int
    measured_um: int
    nm_per_pixel: int
    focal_px: int | None = None
    frame: str = Field(max_length=80)
    made_at: datetime = Field(sa_type=UtcTime)
    valid_until: datetime = Field(sa_type=UtcTime)


class Batch(SQLModel, table=True):
    """One harvest lot on its way over a line."""

    __tablename__ = "grading_batch"

    ref: str = Field(primary_key=True, max_length=40)
    run: str = Field(max_length=200, unique=True)
    lot: str = Field(max_length=200, unique=True)
    line: str = Field(max_length=200)
    number: int
    """Running number of the day, part of the graded lots' names."""
    day: str = Field(max_length=6)
    received_g: int
    pick_orders: str = Field(default="", max_length=4000)
    ilmd: str = Field(default="{}", sa_type=Text)
    """What the picked event says of origin, as JSON, carried into the graded event."""
    crop: str = Field(max_length=60)
    standard: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    tariff: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """SHA-256 of the standard's and the tariff's files, which the file store keeps."""
    calibration_id: int = Field(foreign_key="grading_calibration.id", sa_type=BigKey)
    detector: str = Field(default="classical", max_length=20)
    brix_tenths: int | None = None
    """A meter's reading of the lot in tenths of a degree, where somebody took one."""
    fruit_count: int = 0
    line_run: str | None = Field(default=None, max_length=80, unique=True)
    """The run of the line that fills this batch; None where photographs do."""
    last_number: int = 0
    """The highest number a line has delivered or told to be a gap."""
    expected: int | None = None
    """The run's last number, told when the line has closed: what is missing below it is still on its way."""
    gaps: str = Field(default="[]", sa_type=Text)
    """Numbers of the run that have no fruit here, as JSON: those refused when they were delivered."""
    refusals: str = Field(default="{}", sa_type=Text)
    """Why fruit of the run were refused, by number, as JSON; those that counted later are no longer here."""
    lost: str = Field(default="{}", sa_type=Text)
    """Why fruit of the run lie in no lane of their tier, by number, as JSON: their lane command came to nothing."""
    arrived_at: datetime | None = Field(default=None, sa_type=UtcTime)
    """When fruit of a line last arrived here."""
    given_up_at: datetime | None = Field(default=None, sa_type=UtcTime)
    given_up_by: str | None = Field(default=None, max_length=200)
    given_up_reason: str | None = Field(default=None, max_length=40)
    model: str | None = Field(default=None, max_length=80)
    """The detector that a line's records name."""
    opened_at: datetime = Field(sa_type=UtcTime)
    closed_at: datetime | None = Field(default=None, sa_type=UtcTime)
    event_id: str | None = Field(default=None, max_length=80)
    mass_from: str | None = Field(default=None, max_length=20)
    unaccounted_g: int | None = None


class Photograph(SQLModel, table=True):
    """One counted photograph. A photograph counts once, in one batch, for ever."""

    __tablename__ = "grading_photograph"
    __table_args__ = (Index("grading_photograph_batch", "batch", "id"),)

    id: int = Field(default=None, primary_key=True, sa_type=BigKey)
    batch: str = Field(foreign_key="grading_batch.ref", max_length=40)
    frame: str = Field(max_length=80, unique=True)
    width: int
    height: int
    nm_per_pixel: int
    camera_height_um: int | None = None
    cut: int = 0
    milliseconds: int = 0
    seen_at: datetime = Field(sa_type=UtcTime)


class Fruit(SQLModel, table=True):
    """One fruit: where, how large, what the camera says, and what a person said after it.

    It was seen in one photograph, or by a line in several views, which its record names.
    """

    __tablename__ = "grading_fruit"
    __table_args__ = (
        UniqueConstraint("batch", "number", name="grading_fruit_number"),
        Index("grading_fruit_photograph", "photograph_id"),
    )

    id: int = Field(default=None, primary_key=True, sa_type=BigKey)
    batch: str = Field(foreign_key="grading_batch.ref", max_length=40)
    photograph_id: int | None = Field(default=None, foreign_key="grading_photograph.id", sa_type=BigKey)
    number: int
    seen_at: datetime | None = Field(default=None, sa_type=UtcTime)
    """When it passed on a line; of a photographed fruit its photograph tells."""
    outline: str = Field(sa_type=Text)
    """Points as JSON, in the photograph's pixels."""
    length_um: int
    width_um: int
    equivalent_diameter_um: int
    blemish_mm2: int
    blemish_permille: int
    volume_mm3: int
    mass_g: int
    mass_from: str = Field(default="camera", max_length=10)
    """Whose grams these are: the camera's estimate, or a line's scale's, `scale`."""
    score_permille: int
    camera_tier: str = Field(max_length=20)
    """A tier, or `doubtful`."""
    nominal_tier: str = Field(max_length=20)
    candidates: str = Field(max_length=100)
    """Tiers the camera's uncertainty spans, best first, separated by spaces."""
    quality: str = Field(max_length=60)
    size: str = Field(max_length=20)
    rule: str = Field(max_length=60)
    reason_zh: str = Field(max_length=200)
    reason_en: str = Field(max_length=200)
    price_fen: int
    crop: str = Field(max_length=80)
    record: str = Field(max_length=80)
    judged_tier: str | None = Field(default=None, max_length=20)
    judged_reason: str | None = Field(default=None, max_length=40)
    judged_by: str | None = Field(default=None, max_length=200)
    second_person: str | None = Field(default=None, max_length=200)
    judged_at: datetime | None = Field(default=None, sa_type=UtcTime)


class Outcome(SQLModel, table=True):
    """What a closed batch came to in one tier."""

    __tablename__ = "grading_outcome"
    __table_args__ = (UniqueConstraint("batch", "tier", name="grading_outcome_tier"),)

    id: int = Field(default=None, primary_key=True, sa_type=BigKey)
    batch: str = Field(foreign_key="grading_batch.ref", max_length=40)
    tier: str = Field(max_length=20)
    lot: str = Field(max_length=200)
    fruits: int
    mass_g: int
