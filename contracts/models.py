"""The outbox of anchors: what was signed, what was sent, and what the chain made of it."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Column, Enum, LargeBinary, UniqueConstraint
from sqlmodel import BigInteger, Field, SQLModel

from ledger.kernel.columns import BigKey, UtcTime


class AnchorState(StrEnum):
    """How far one head has come on its way into the chain."""

    SIGNED = "signed"
    """Kept here, and nowhere else yet."""
    BROADCAST = "broadcast"
    """Handed to the chain; no block holds it."""
    INCLUDED = "included"
    """In a block, which could still be reorganised away."""
    FINAL = "final"
    """In a block so deep that this installation takes it for settled."""
    REFUSED = "refused"
    """It is not in the chain and never will be under its nonce; the head is to be signed anew."""
    SUPERSEDED = "superseded"
    """Never sent through: another process anchored a newer head, from which this one is provable."""


_STATE = Enum(AnchorState, native_enum=False, length=20, values_callable=lambda states: [one.value for one in states])


class Anchor(SQLModel, table=True):
    """One head of one log on its way into a chain; at most one row for each, in each contract it was anchored in."""

    __tablename__ = "contracts_anchor"
    __table_args__ = (
        UniqueConstraint("log_origin", "chain_id", "contract", "size", name="contracts_anchor_head"),
        UniqueConstraint("chain_id", "sender", "nonce", name="contracts_anchor_nonce"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BigKey)
    log_origin: str = Field(max_length=200)
    size: int = Field(sa_type=BigInteger)
    root: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    previous_size: int = Field(sa_type=BigInteger)
    """Size of the head it extends in the contract, 0 for the first."""
    chain_id: int = Field(sa_type=BigInteger)
    contract: str = Field(max_length=42)
    sender: str = Field(max_length=42)
    nonce: int | None = Field(default=None, sa_type=BigInteger)
    """The account's nonce it is sent under; None where a stranger's transaction anchored this very head."""
    state: AnchorState = Field(index=True, sa_type=_STATE)
    tx_hash: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    """The transaction that is in the block; until then, the newest one signed."""
    block_number: int | None = Field(default=None, sa_type=BigInteger)
    block_hash: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    gas_used: int | None = Field(default=None, sa_type=BigInteger)
    fee_wei: int | None = Field(default=None, sa_type=BigInteger)
    signed_at: datetime = Field(sa_type=UtcTime)
    broadcast_at: datetime | None = Field(default=None, sa_type=UtcTime)
    included_at: datetime | None = Field(default=None, sa_type=UtcTime)
    final_at: datetime | None = Field(default=None, sa_type=UtcTime)


class Attempt(SQLModel, table=True):
    """One signed transaction for an anchor. A replacement shares the nonce, so at most one is ever in the chain."""

    __tablename__ = "contracts_attempt"

    id: int | None = Field(default=None, primary_key=True, sa_type=BigKey)
    anchor_id: int = Field(foreign_key="contracts_anchor.id", index=True, sa_type=BigKey)
    nonce: int = Field(sa_type=BigInteger)
    raw_tx: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    tx_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    max_fee_wei: int = Field(sa_type=BigInteger)
    priority_fee_wei: int = Field(sa_type=BigInteger)
    gas: int = Field(sa_type=BigInteger)
    signed_at: datetime = Field(sa_type=UtcTime)
    broadcast_at: datetime | None = Field(default=None, sa_type=UtcTime)
    broadcast_block: int | None = Field(default=None, sa_type=BigInteger)
    """The newest block when it was first sent: a chain that makes no blocks is no reason to pay more."""


class Trouble(SQLModel, table=True):
    """What keeps a log's anchors from going on; no row while all is well."""

    __tablename__ = "contracts_trouble"

    log_origin: str = Field(primary_key=True, max_length=200)
    code: str = Field(max_length=40)
    """The refusal's word: `insufficient_funds`, `fee_cap`, `chain_unreachable` ..."""
    message: str
    since: datetime = Field(sa_type=UtcTime)
    last_at: datetime = Field(sa_type=UtcTime)
    times: int
    retry_at: datetime = Field(sa_type=UtcTime)
