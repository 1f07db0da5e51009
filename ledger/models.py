"""The tables of the log. Written by the functions of `ledger` alone; read by whoever needs to.

`ledger_entry` is the truth. `ledger_naming` and `ledger_tile` are derived from it and can be rebuilt.
`ledger_disclosure` holds private text that may be erased. Nothing is deleted from the rest.
"""

from datetime import datetime

from sqlalchemy import Column, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from ledger.kernel.columns import BigKey, Key, UtcTime


class Entry(SQLModel, table=True):
    """One event in the log, as the exact bytes that are hashed."""

    __tablename__ = "ledger_entry"
    __table_args__ = (
        # An error declaration legitimately repeats the eventID of what it declares wrong.
        UniqueConstraint("event_id", "is_declaration", name="ledger_entry_event"),
        # For queries in the order of time. No more: each costs when recording, and again when integrating.
        Index("ledger_entry_event_time", "event_time", "id"),
        Index("ledger_entry_record_time", "record_time", "id"),
    )

    id: int = Field(default=None, primary_key=True, sa_type=BigKey)
    event_id: str = Field(sa_type=Key)
    is_declaration: bool = False
    sentence: str = Field(default="", max_length=80)
    """`packed/1`; empty for an event that is none of our sentences."""
    event_type: str = Field(max_length=24)
    event_time: datetime = Field(sa_type=UtcTime)
    record_time: datetime = Field(sa_type=UtcTime)
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    leaf_index: int | None = Field(default=None, unique=True, sa_type=BigKey)
    """Place in the log from 0, once integrated."""


class Naming(SQLModel, table=True):
    """One identifier that an entry names, in which roles. Derived: `ledger.rebuild` makes it again."""

    __tablename__ = "ledger_naming"
    __table_args__ = ({"sqlite_with_rowid": False},)

    # The key is the whole row's order: what a history asks for stands together on the disk.
    identifier: str = Field(primary_key=True, sa_type=Key)
    sentence: str = Field(primary_key=True, sa_type=Key)
    event_time: datetime = Field(primary_key=True, sa_type=UtcTime)
    # No foreign key: checking it costs more than the row, and `ledger.log` alone writes both tables.
    entry_id: int = Field(primary_key=True, sa_type=BigKey)
    roles: int
    """Bits of `ledger.lineage.Role`."""


class CaptureJob(SQLModel, table=True):
    """One document that somebody outside sent us: who, when, what became of it. Its events stand in the log alone."""

    __tablename__ = "ledger_capture"

    number: int = Field(default=None, primary_key=True, sa_type=BigKey)
    id: str = Field(unique=True, max_length=40)
    """What the sender asks for it by: random."""
    party: str = Field(index=True, max_length=80)
    """Whose account sent it."""
    digest: str = Field(max_length=80)
    """`ni:///sha-256;` of the body, as it came."""
    body_bytes: int
    on_error: str = Field(max_length=8)
    received_at: datetime = Field(sa_type=UtcTime)
    finished_at: datetime = Field(sa_type=UtcTime)
    events: int
    """How many the document held: new, repeated and refused together."""
    new: int
    repeated: int
    refused: int
    first_index: int | None = Field(default=None, index=True, sa_type=BigKey)
    """Where its new events begin in the log; they stand there one behind the other."""
    errors: str
    """JSON list of what was wrong, `{code, path, reason, event_id}`; at most 100."""


class Tile(SQLModel, table=True):
    """Up to 256 neighbouring node hashes of the tree and, once full, all nodes above them.

    Derived: `ledger.rebuild` makes it again from the entries.
    """

    __tablename__ = "ledger_tile"

    level: int = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_type=BigKey, sa_column_kwargs={"autoincrement": False})
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class Checkpoint(SQLModel, table=True):
    """A tree head that was signed."""

    __tablename__ = "ledger_checkpoint"

    size: int = Field(primary_key=True, sa_type=BigKey, sa_column_kwargs={"autoincrement": False})
    previous_size: int = Field(unique=True, sa_type=BigKey)
    """Size of the one before it, 0 for the first: unique, so that two signers cannot both extend one head."""
    root: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    note: str
    """The C2SP signed note, exactly as published."""
    signed_at: datetime = Field(sa_type=UtcTime)


class Cosignature(SQLModel, table=True):
    """A witness's word on a checkpoint of ours, checked before it was kept."""

    __tablename__ = "ledger_cosignature"

    size: int = Field(primary_key=True, sa_type=BigKey, sa_column_kwargs={"autoincrement": False})
    key: str = Field(primary_key=True, max_length=400)
    """The witness's C2SP verifier key."""
    line: str
    """The line of the signed note, its newline included."""
    cosigned_at: datetime = Field(sa_type=UtcTime)
    """By the witness's clock."""


class WitnessState(SQLModel, table=True):
    """How far a witness has followed our log, and what is wrong with it."""

    __tablename__ = "ledger_witness"

    key: str = Field(primary_key=True, max_length=400)
    size: int = Field(default=0, sa_type=BigKey)
    """The size it remembers, as far as we know."""
    cosigned_at: datetime | None = Field(default=None, sa_type=UtcTime)
    error: str | None = None
    failed_at: datetime | None = Field(default=None, sa_type=UtcTime)
    failures: int = 0
    """In a row."""
    ask_after: datetime | None = Field(default=None, sa_type=UtcTime)
    alarm: str | None = None
    """What it holds against us: a head we do not know. Ends when it cosigns again."""
    alarmed_at: datetime | None = Field(default=None, sa_type=UtcTime)


class FollowerCursor(SQLModel, table=True):
    """How far one follower has come, and what stopped it."""

    __tablename__ = "ledger_follower"

    name: str = Field(primary_key=True, max_length=80)
    position: int = Field(default=0, sa_type=BigKey)
    """The next leaf index to look at."""
    error: str | None = None
    failed_index: int | None = Field(default=None, sa_type=BigKey)
    failed_at: datetime | None = Field(default=None, sa_type=UtcTime)


class Disclosure(SQLModel, table=True):
    """The text behind one salted digest of an event. Erasing the row leaves every proof valid."""

    __tablename__ = "ledger_disclosure"

    digest: str = Field(primary_key=True, max_length=43)
    event_id: str = Field(index=True, max_length=2048)
    name: str = Field(max_length=200)
    disclosure: str
    """Base64url of the JSON text `[salt, name, value]`, as RFC 9901 has it."""
