"""Standard Webhooks 1.0 (standardwebhooks.com): our own channel, for partners and the sample day.

The library makes the signature; comparing it and judging its age is done here, because the library
judges age by the machine's clock only and lets `ValueError` out for a header that is not base64.
"""

import binascii
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from ledger.kernel.clock import TimeError, parse_time
from ledger.kernel.errors import IdentifierError, SettingsError
from ledger.kernel.ids import DocumentId, parse_digital_link
from orders.channels import CancelledOrder, Message, PaidLine, PaidOrder
from orders.errors import ForgedMessageError, MalformedMessageError, StaleMessageError

TOLERANCE_S = 300
MAX_BODY_BYTES = 256 * 1024
_MAX_ID = 128


class StandardChannel:
    """One partner with its secrets, newest first; older ones stay valid while they are listed."""

    def __init__(self, name: str, secrets: Sequence[str]) -> None:
        self.name = name
        try:
            self._signers = [Webhook(secret) for secret in secrets]
        except (EmptyWebhookSecretError, binascii.Error, ValueError) as error:
            raise SettingsError(f"channel {name}: a webhook secret is not base64 after whsec_") from error
        if not self._signers:
            raise SettingsError(f"channel {name} has no webhook secret")

    def read(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Message:
        """Return the message, its signature and age checked first.

        Raises ForgedMessageError, StaleMessageError or MalformedMessageError.
        """
        message_id = self._verify(headers, body, now)
        return _parse(self.name, message_id, body)

    def sign(self, message_id: str, body: bytes, *, now: datetime) -> dict[str, str]:
        """Return the headers a sender with our newest secret would add."""
        moment = datetime.fromtimestamp(int(now.timestamp()), UTC)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signers[0].sign(message_id, moment, body.decode()),
        }

    def _verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
        found = {name.lower(): value for name, value in headers.items()}
        missing = [n for n in ("webhook-id", "webhook-timestamp", "webhook-signature") if not found.get(n)]
        if missing:
            raise ForgedMessageError(self.name, f"no {', '.join(missing)} header")
        message_id, stamp = found["webhook-id"], found["webhook-timestamp"]
        if len(message_id) > _MAX_ID:
            raise ForgedMessageError(self.name, f"webhook-id is longer than {_MAX_ID} characters")
        if len(body) > MAX_BODY_BYTES:
            raise MalformedMessageError("$", f"{len(body)} bytes; at most {MAX_BODY_BYTES} are read")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 11):
            raise ForgedMessageError(self.name, "webhook-timestamp is not a number of seconds")
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise ForgedMessageError(self.name, "the body is not UTF-8") from error
        moment = datetime.fromtimestamp(int(stamp), UTC)
        # Only v1 (HMAC-SHA256) is ours; other versions in the list are for receivers that know them.
        given = [part[3:] for part in found["webhook-signature"].split(" ") if part.startswith("v1,")]
        expected = [signer.sign(message_id, moment, text)[3:] for signer in self._signers]
        if not any(hmac.compare_digest(a.encode(), b.encode()) for a in expected for b in given):
            raise ForgedMessageError(self.name, "the signature does not match")
        away_s = round(now.timestamp()) - int(stamp)
        if abs(away_s) > TOLERANCE_S:
            raise StaleMessageError(self.name, away_s=away_s, allowed_s=TOLERANCE_S)
        return message_id


_Reference = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class _Line(_Strict):
    line: int = Field(ge=1, le=10_000)
    tier: str = Field(min_length=1, max_length=16)
    quantity: int = Field(ge=1, le=10_000)
    unit_price_fen: int = Field(ge=0, le=100_000_000)


class _Paid(_Strict):
    order_id: _Reference
    broadcast: str
    paid_at: str
    lines: list[_Line] = Field(min_length=1, max_length=200)


class _Cancelled(_Strict):
    order_id: _Reference


class _PaidBody(_Strict):
    type: Literal["order.paid"]
    timestamp: str
    data: _Paid


class _CancelledBody(_Strict):
    type: Literal["order.cancelled"]
    timestamp: str
    data: _Cancelled


class _Kind(_Strict):
    type: str


def _parse(source: str, message_id: str, body: bytes) -> Message:
    try:
        kind = _Kind.model_validate_json(body).type
        if kind == "order.cancelled":
            cancelled = _CancelledBody.model_validate_json(body)
            return CancelledOrder(source, message_id, body, cancelled.data.order_id)
        paid = _PaidBody.model_validate_json(body).data
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = "$" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
        raise MalformedMessageError(path, first["msg"]) from error
    return PaidOrder(
        source=source,
        message_id=message_id,
        body=body,
        order_ref=paid.order_id,
        broadcast=_broadcast(paid.broadcast),
        paid_at=_time(paid.paid_at),
        lines=_lines(paid.lines),
    )


def _broadcast(text: str) -> DocumentId:
    try:
        link = parse_digital_link(text)
    except IdentifierError as error:
        raise MalformedMessageError("$.data.broadcast", str(error)) from error
    if link.key[0] != "253":
        raise MalformedMessageError("$.data.broadcast", f"{text!r} is not a document id (253)")
    return DocumentId(link.canonical())


def _time(text: str) -> datetime:
    try:
        return parse_time(text)
    except TimeError as error:
        raise MalformedMessageError("$.data.paid_at", str(error)) from error


def _lines(lines: Sequence[_Line]) -> tuple[PaidLine, ...]:
    numbers = [line.line for line in lines]
    if len(set(numbers)) != len(numbers):
        raise MalformedMessageError("$.data.lines", "the same line number stands twice")
    return tuple(PaidLine(line.line, line.tier, line.quantity, line.unit_price_fen) for line in lines)
