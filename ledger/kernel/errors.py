"""The root of every refusal in Guoyuan.

    OriginError
    ├── SettingsError            the configuration cannot be used safely
    ├── IdentifierError          not a well-formed GS1 key, Digital Link or id of ours
    ├── QuantityError            a mass, length or price that cannot be what it says
    ├── ledger.errors.LedgerError
    ├── farm_sensors.errors.SensorError
    ├── orders.errors.OrderError
    ├── grading.errors.GradingError
    ├── contracts.errors.ChainError
    └── api.errors.AccessError

Leaves carry the facts as attributes; `code` is the stable word a client may switch on.
Nothing here knows of HTTP: `api/errors.py` holds the one table from type to status.
"""

from typing import ClassVar


class OriginError(Exception):
    """Something that was asked for cannot be done, and the message says which and why."""

    code: ClassVar[str] = "refused"


class SettingsError(OriginError):
    """The configuration is incomplete or unsafe."""

    code = "settings"


class IdentifierError(OriginError):
    """Text that should be an identifier is not one."""

    code = "identifier"

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"{text!r} {reason}")
        self.text, self.reason = text, reason


class QuantityError(OriginError):
    """A quantity outside what the trade allows."""

    code = "quantity"
