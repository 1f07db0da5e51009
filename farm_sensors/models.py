"""Tables of the sensor side. Raw bytes stay as they came; everything else can be decoded again."""

from datetime import datetime

from sqlalchemy import JSON, Column, Float, Index, LargeBinary, SmallInteger, UniqueConstraint
from sqlmodel import Field, SQLModel

from ledger.kernel.columns import BigKey, UtcTime

NO_WINDOW = 0
"""`StoredReading.window_id` of a reading that belongs to no place: measured before the device was enrolled."""


class Device(SQLModel, table=True):
    """A device with its key and the place it was enrolled at."""

    __tablename__ = "sensors_device"

    number: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    id: str = Field(unique=True, max_length=120)
    reference: str = Field(max_length=60)
    model: str = Field(max_length=80)
    public_key: bytes = Field(sa_type=LargeBinary)
    quantities: list[str] = Field(sa_type=JSON)
    cadence_s: int | None
    place: str = Field(max_length=120)
    recorder: str = Field(max_length=120)
    enrolled_at: datetime = Field(sa_type=UtcTime)
    event_id: str = Field(max_length=60)


class Attachment(SQLModel, table=True):
    """Where a device was, from when until when: its place, or a load it travels with."""

    __tablename__ = "sensors_attachment"
    __table_args__ = (Index("sensors_attachment_target", "target", "from_at"),)

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    device: int = Field(foreign_key="sensors_device.number", index=True)
    target: str = Field(max_length=120)
    from_at: datetime = Field(sa_type=UtcTime)
    until_at: datetime | None = Field(default=None, sa_type=UtcTime)


class Message(SQLModel, table=True):
    """One signed pack, exactly as it came."""

    __tablename__ = "sensors_message"
    __table_args__ = (
        UniqueConstraint("device", "digest"),
        Index("sensors_message_sequence", "device", "sequence"),
        Index("sensors_message_times", "device", "last_at", "first_at"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    device: int = Field(foreign_key="sensors_device.number")
    digest: bytes = Field(sa_type=LargeBinary)
    sequence: int | None = Field(default=None, sa_type=BigKey)
    received_at: datetime = Field(sa_type=UtcTime)
    first_at: datetime = Field(sa_type=UtcTime)
    last_at: datetime = Field(sa_type=UtcTime)
    readings: int
    conflict: str | None = Field(default=None, max_length=20)
    signature: bytes = Field(sa_type=LargeBinary)
    body: bytes = Field(sa_type=LargeBinary)


class StoredReading(SQLModel, table=True):
    """One decoded value, in the unit of its quantity. Flags are set when its window closes."""

    __tablename__ = "sensors_reading"
    __table_args__ = (
        Index("sensors_reading_series", "device", "at"),
        Index("sensors_reading_open", "window_id", "hour"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    message_id: int = Field(sa_type=BigKey)
    device: int = Field(sa_type=BigKey)
    quantity: str = Field(max_length=32)
    at: datetime = Field(sa_type=UtcTime)
    hour: int
    value: float = Field(sa_type=Float(53))
    is_late: bool
    flag: int | None = Field(default=None, sa_type=SmallInteger)
    suspect: str | None = Field(default=None, max_length=20)
    window_id: int | None = Field(default=None, sa_type=BigKey)
    missed_window: bool = False


class Window(SQLModel, table=True):
    """One closed hour of one place or load, and what its event said. `missed` counts what came after."""

    __tablename__ = "sensors_window"
    __table_args__ = (UniqueConstraint("target", "hour"),)

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    target: str = Field(max_length=120)
    hour: int
    closed_at: datetime = Field(sa_type=UtcTime)
    event_id: str = Field(max_length=60)
    expected: int
    received: int
    suspect: int
    late: int
    missed: int = 0


class Refusal(SQLModel, table=True):
    """A pack that was not taken. The bytes are kept only where the signature was good."""

    __tablename__ = "sensors_refusal"

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    device_id: str = Field(max_length=120, index=True)
    digest: bytes = Field(sa_type=LargeBinary)
    code: str = Field(max_length=40)
    detail: str = Field(max_length=500)
    received_at: datetime = Field(sa_type=UtcTime)
    times: int = 1
    body: bytes | None = Field(default=None, sa_type=LargeBinary)
