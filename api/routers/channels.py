"""Webhooks of sale platforms: proven, taken once, answered line by line."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from api import channels
from api.deps import RuntimeDep, body_of, body_schema
from orders import sales
from orders.channels.standard import StandardChannel

router = APIRouter(prefix="/api/v1/channels", tags=["channels"])


class LineAnswer(BaseModel):
    """What became of one order line. `sold_out` and `unknown_tier` are kept for the host to settle."""

    line: int
    tier: str
    quantity: int
    outcome: Literal["held", "duplicate", "sold_out", "unknown_tier", "cancelled"]


class WebhookAnswer(BaseModel):
    """The answer to a message; the same message again gets the same lines, as duplicates."""

    channel: str
    message_id: str
    order_id: str
    duplicate: bool
    lines: list[LineAnswer]


@router.post(
    "/{channel}/webhook",
    openapi_extra=body_schema("application/json"),
)
def take_webhook(
    rt: RuntimeDep, request: Request, channel: str, body: Annotated[bytes, Depends(body_of("application/json"))]
) -> WebhookAnswer:
    """Take a Standard Webhooks 1.0 message: `order.paid` or `order.cancelled`.

    A forged or stale message is refused and nothing of it is kept. Everything else is acknowledged:
    a buyer has paid, so running out of stock is an outcome, not an error.
    """
    now = rt.clock.now()
    with rt.db.read() as session:
        secret = channels.secret_of(session, rt.settings, channel)
    message = StandardChannel(channel, [secret]).read(request.headers, body, now=now)
    with rt.db.write() as session:
        outcome = sales.take(session, message, now=now)
    return WebhookAnswer(
        channel=channel,
        message_id=outcome.message_id,
        order_id=outcome.order_ref,
        duplicate=outcome.is_duplicate,
        lines=[
            LineAnswer(
                line=line.line_no,
                tier=line.tier,
                quantity=line.quantity,
                outcome="duplicate" if outcome.is_duplicate or line.is_duplicate else line.state.value,
            )
            for line in outcome.lines
        ],
    )
