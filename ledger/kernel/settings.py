"""One object with everything an installation may choose, read from `GUOYUAN_*` variables.

An empty URL means the embedded default: SQLite, an EVM chain in a file, tasks in process, our own
MQTT broker. Filling them in is the services profile; no code asks which profile it runs in.
"""

from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ledger.kernel.clock import Clock, ShiftedClock, SystemClock
from ledger.kernel.errors import SettingsError

DEFAULT_SECRET = "not-a-secret"  # noqa: S105  # the one value production refuses
DEFAULT_PASSPHRASE = "development-only"  # noqa: S105  # as above


class Environment(StrEnum):
    """What an installation is for. Only production is safe to show to strangers."""

    PRODUCTION = "production"
    DEVELOPMENT = "development"
    DEMO = "demo"


class Settings(BaseSettings):
    """Everything an installation may choose."""

    model_config = SettingsConfigDict(
        env_prefix="GUOYUAN_", env_file=None, extra="ignore", frozen=True, ignored_types=(cached_property,)
    )

    environment: Environment = Field(Environment.DEVELOPMENT, description="production, development or demo")
    home: Path = Field(
        Path(".run/home"), description="folder for the database, keys, photographs and the embedded chain"
    )
    secret: SecretStr = Field(
        SecretStr(DEFAULT_SECRET),
        description="signs sessions and webhook subscriptions; at least 32 characters in production",
    )
    public_url: str = Field("http://127.0.0.1:8000", description="how phones reach this site; printed on labels")
    host: str = Field("127.0.0.1", description="address the web server listens on")
    port: int = Field(8000, description="port the web server listens on")
    database_url: str = Field("", description="PostgreSQL URL; empty: SQLite in the home folder")
    redis_url: str = Field("", description="Redis URL for Celery workers; empty: tasks run in process")
    mqtt_url: str = Field("", description="mqtt://host:port of a broker; empty: the embedded broker")
    mqtt_port: int = Field(1883, description="port of the embedded broker; 0: do not start one")
    chain_url: str = Field("", description="EVM JSON-RPC URL; empty: the embedded chain")
    chain_confirmations: int = Field(
        1, ge=0, description="blocks that must stand on an anchor before it counts as final"
    )
    public_chain_url: str = Field(
        "", description="JSON-RPC URL a visitor's browser asks; empty: this site's read-only /rpc"
    )
    explorer_url: str = Field(
        "", description="block explorer strangers are sent to (EIP-3091); empty: the known one of the chain"
    )
    chain_check_url: str = Field(
        "", description="a second JSON-RPC URL, of somebody else: it must agree before an anchor counts as final"
    )
    keystore_passphrase: SecretStr = Field(
        SecretStr(DEFAULT_PASSPHRASE), description="opens keys/publisher.key; at least 12 characters in production"
    )
    keystore_passphrase_file: str = Field("", description="file that holds the passphrase instead")
    signer_url: str = Field(
        "", description="service that signs for the publisher as AWS KMS does; empty: keys/publisher.key"
    )
    signer_key_id: str = Field("", description="the key's name in that service")
    signer_token: SecretStr = Field(SecretStr(""), description="bearer token for that service")
    log_origin: str = Field("guoyuan.example/log", description="origin line of the log's checkpoints")
    witnesses: str = Field(
        "", description="who cosigns checkpoints: `vkey url, vkey url`, or a C2SP policy file with their URLs"
    )
    public_fields: str = Field(
        "ownerName, promisorName", description="private fields that anyone's proof file opens, by name; empty: none"
    )
    anchor_after_s: float = Field(3600, gt=0, description="anchor whatever is published at most this much later")
    anchor_after_entries: int = Field(
        0, ge=0, description="anchor as soon as so many entries are new; 0: never for that"
    )
    anchor_fee_gwei: float = Field(
        0, ge=0, description="anchor from half the time on where a block's base fee is at most this; 0: never for that"
    )
    anchor_cheap_percent: int = Field(
        0, ge=0, le=100, description="the same where it costs less over time than this percentile of recent blocks"
    )
    max_fee_gwei: float = Field(200, gt=0, description="no anchor pays more than this for a unit of gas")
    max_priority_fee_gwei: float = Field(30, ge=0, description="no anchor adds more than this for the block's maker")
    publish_after_s: float = Field(
        10, gt=0, description="sign a new checkpoint at least this often while there is something new"
    )
    gs1_prefix: str = Field("9521002", description="GS1 company prefix; 952 is GS1's own demonstration range")
    time_zone: str = Field("Asia/Shanghai", description="zone of the farms, for screens and event offsets")
    standard_file: str = Field("", description="standard TOML for every batch; empty: the one shipped for its crop")
    detector: Literal["classical", "learned", "both", "automatic"] = Field(
        "classical",
        description="who finds fruit in photographs: classical (colour), learned (a network), both, or automatic",
    )
    price_file: str = Field("", description="price-tier TOML; empty: the sample shipped")
    vision_runtime: Literal["onnxruntime", "openvino", "openvino-bf16"] = Field(
        "onnxruntime", description="what runs the network: onnxruntime, or with its extra openvino or openvino-bf16"
    )

    @model_validator(mode="after")
    def _refuse_unsafe(self) -> Self:
        if self.environment is Environment.PRODUCTION:
            secret = self.secret.get_secret_value()
            if secret == DEFAULT_SECRET or len(secret) < 32:
                raise ValueError("GUOYUAN_SECRET must be set to at least 32 random characters in production")
            passphrase = self.passphrase
            if not self.signer_url and (passphrase == DEFAULT_PASSPHRASE or len(passphrase) < 12):
                raise ValueError(
                    "GUOYUAN_KEYSTORE_PASSPHRASE must be set to at least 12 characters in production, "
                    "or GUOYUAN_SIGNER_URL to a service that signs"
                )
        return self

    @classmethod
    def load(cls) -> "Settings":
        """Read the environment. Raises SettingsError with one line per problem."""
        try:
            return cls()
        except ValidationError as error:
            lines = (".".join(map(str, e["loc"])) + ": " + e["msg"] for e in error.errors())
            raise SettingsError("; ".join(lines).replace(": Value error, ", ": ")) from error

    @property
    def is_sample(self) -> bool:
        """Whether every page must say that its data are samples."""
        return self.environment is Environment.DEMO

    @property
    def sqlalchemy_url(self) -> str:
        """The database URL as SQLAlchemy wants it."""
        if not self.database_url:
            return f"sqlite:///{(self.home / 'guoyuan.db').resolve()}"
        return self.database_url.replace("postgresql://", "postgresql+psycopg://", 1).replace(
            "postgres://", "postgresql+psycopg://", 1
        )

    @property
    def passphrase(self) -> str:
        """What opens the publisher's keystore. Raises SettingsError where its file cannot be read."""
        if not self.keystore_passphrase_file:
            return self.keystore_passphrase.get_secret_value() or DEFAULT_PASSPHRASE
        try:
            return Path(self.keystore_passphrase_file).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{self.keystore_passphrase_file} does not hold a passphrase") from error

    @property
    def public_field_names(self) -> frozenset[str]:
        """The private fields that anyone may see opened."""
        return frozenset(name.strip() for name in self.public_fields.split(",") if name.strip())

    @property
    def chain_door(self) -> str:
        """The JSON-RPC URL that anybody may ask about our anchors."""
        return self.public_chain_url or f"{self.public_url.rstrip('/')}/rpc"

    @property
    def keys_dir(self) -> Path:
        """Private keys: log signer, chain publisher."""
        return self.home / "keys"

    @property
    def files_dir(self) -> Path:
        """Content-addressed evidence: photographs, raw windows."""
        return self.home / "files"

    @cached_property
    def clock(self) -> Clock:
        """The clock this installation lives by; only a demonstration may shift it."""
        if self.environment is Environment.DEMO:
            return ShiftedClock(self.home / "clock.json")
        return SystemClock()
