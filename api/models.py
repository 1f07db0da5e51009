"""Tables of the edge: accounts, their credentials and sessions, names that can be erased, sale channels."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from ledger.kernel.columns import BigKey, UtcTime


class Person(SQLModel, table=True):
    """An account. What it is called stands in `Name`, so that the name can be erased alone."""

    __tablename__ = "api_person"

    party: str = Field(primary_key=True, max_length=80)
    ref: str = Field(unique=True, max_length=64)
    role: str = Field(max_length=16)
    site: str | None = Field(default=None, max_length=200)
    created_at: datetime = Field(sa_type=UtcTime)
    erased_at: datetime | None = Field(default=None, sa_type=UtcTime)


class Name(SQLModel, table=True):
    """What a party or place is called. Rows may be deleted at any time; nothing else may depend on them."""

    __tablename__ = "api_name"

    subject: str = Field(primary_key=True, max_length=200)
    name: str = Field(max_length=200)


class Site(SQLModel, table=True):
    """A place of the cooperative, by the short reference its people use."""

    __tablename__ = "api_site"

    ref: str = Field(primary_key=True, max_length=64)
    place: str = Field(unique=True, max_length=200)


class Credential(SQLModel, table=True):
    """A printed code (argon2 behind a look-up prefix) or a one-time link (SHA-256 of a random token)."""

    __tablename__ = "api_credential"

    id: int | None = Field(default=None, primary_key=True, sa_type=BigKey)
    party: str = Field(foreign_key="api_person.party", index=True, max_length=80)
    kind: str = Field(max_length=8)
    lookup: str = Field(unique=True, max_length=64)
    secret_hash: str = Field(max_length=200)
    created_at: datetime = Field(sa_type=UtcTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcTime)


class AccountSession(SQLModel, table=True):
    """Someone signed in, by the SHA-256 of the random token that their browser or machine holds."""

    __tablename__ = "api_session"

    token_hash: bytes = Field(primary_key=True, max_length=32)
    party: str = Field(foreign_key="api_person.party", index=True, max_length=80)
    created_at: datetime = Field(sa_type=UtcTime)
    expires_at: datetime = Field(sa_type=UtcTime, index=True)


class SignInFailure(SQLModel, table=True):
    """How often signing in failed lately, by address and by code prefix."""

    __tablename__ = "api_sign_in_failure"

    key: str = Field(primary_key=True, max_length=100)
    failures: int = 0
    since: datetime = Field(sa_type=UtcTime)


class Channel(SQLModel, table=True):
    """A sale platform that sends us webhooks; its signing secret is sealed with the installation's own."""

    __tablename__ = "api_channel"

    name: str = Field(primary_key=True, max_length=40)
    sealed_secret: bytes
    created_at: datetime = Field(sa_type=UtcTime)


class OnAir(SQLModel, table=True):
    """What a broadcast's overlay shows: a tier, and the picture of a graded fruit by its `ni:` name."""

    __tablename__ = "api_on_air"

    broadcast: str = Field(primary_key=True, max_length=80)
    tier: str | None = Field(default=None, max_length=8)
    photograph: str | None = Field(default=None, max_length=80)
    changed_at: datetime = Field(sa_type=UtcTime)
