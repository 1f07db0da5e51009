import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from ledger.kernel.errors import SettingsError
from ledger.kernel.ids import DocumentType, Numbering
from orders.channels import CancelledOrder, PaidLine, PaidOrder
from orders.channels.standard import MAX_BODY_BYTES, StandardChannel
from orders.errors import ForgedMessageError, MalformedMessageError, MessageError, StaleMessageError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_b2xkLXNlY3JldC1vZi10aGUtc2hvcA"
BROADCAST = Numbering("9521002").document(DocumentType.BROADCAST, "L260418-0001")
NOW = datetime(2026, 4, 18, 3, 5, 0, 250_000, tzinfo=UTC)
CHANNEL = StandardChannel("sample-shop", [SECRET])


def _body(**changes: object) -> bytes:
    data = {
        "order_id": "S-1001",
        "broadcast": BROADCAST,
        "paid_at": "2026-04-18T11:05:00+08:00",
        "lines": [{"line": 1, "tier": "A", "quantity": 2, "unit_price_fen": 4990}],
    } | changes
    return json.dumps({"type": "order.paid", "timestamp": "2026-04-18T03:05:00Z", "data": data}).encode()


def _read(body: bytes, *, channel: StandardChannel = CHANNEL, **headers: str) -> object:
    signed = CHANNEL.sign("msg_1", body, now=NOW) | {k.replace("_", "-"): v for k, v in headers.items()}
    return channel.read(signed, body, now=NOW)


def test_signed_paid_order_is_read() -> None:
    assert _read(_body()) == PaidOrder(
        source="sample-shop",
        message_id="msg_1",
        body=_body(),
        order_ref="S-1001",
        broadcast=BROADCAST,
        paid_at=datetime(2026, 4, 18, 3, 5, tzinfo=UTC),
        lines=(PaidLine(1, "A", 2, 4990),),
    )


def test_signed_cancellation_is_read() -> None:
    body = b'{"type":"order.cancelled","timestamp":"2026-04-18T03:05:00Z","data":{"order_id":"S-1001"}}'
    assert _read(body) == CancelledOrder("sample-shop", "msg_1", body, "S-1001")


def test_signature_of_the_public_example_is_accepted() -> None:
    """The example of the Standard Webhooks specification, so that our reading is not only our own."""
    body, moment = b'{"test": 2432232314}', datetime.fromtimestamp(1614265330, UTC)
    headers = {
        "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "Webhook-Timestamp": "1614265330",
        "Webhook-Signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    with pytest.raises(MalformedMessageError, match=r"\$\.type"):
        CHANNEL.read(headers, body, now=moment)


def test_older_secret_is_good_while_it_is_listed() -> None:
    body = _body()
    headers = StandardChannel("sample-shop", [OLD_SECRET]).sign("msg_1", body, now=NOW)
    assert StandardChannel("sample-shop", [SECRET, OLD_SECRET]).read(headers, body, now=NOW)
    with pytest.raises(ForgedMessageError):
        CHANNEL.read(headers, body, now=NOW)


def test_one_good_signature_among_several_is_enough() -> None:
    signature = CHANNEL.sign("msg_1", _body(), now=NOW)["webhook-signature"]
    assert _read(_body(), webhook_signature=f"v1a,AAAA v1,bm90IGl0 {signature}")


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook_signature": "v1,bm90IGl0"},
        {"webhook_signature": "v1,not base64 at all"},
        {"webhook_signature": "v1"},
        {"webhook_signature": ""},
        {"webhook_signature": "v1a,x"},
        {"webhook_signature": "v1,ключ"},
        {"webhook_id": "msg_2"},
        {"webhook_id": ""},
        {"webhook_id": "m" * 129},
        {"webhook_timestamp": "1"},
        {"webhook_timestamp": "soon"},
        {"webhook_timestamp": "-5"},
        {"webhook_timestamp": "9" * 400},
        {"webhook_timestamp": "٣"},
    ],
)
def test_forged_header_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ForgedMessageError):
        _read(_body(), **headers)


def test_unsigned_message_is_refused_and_names_what_is_missing() -> None:
    with pytest.raises(ForgedMessageError, match="no webhook-id, webhook-timestamp, webhook-signature header"):
        CHANNEL.read({}, _body(), now=NOW)


def test_one_changed_byte_is_refused() -> None:
    headers = CHANNEL.sign("msg_1", _body(), now=NOW)
    with pytest.raises(ForgedMessageError):
        CHANNEL.read(headers, _body().replace(b"4990", b"4991"), now=NOW)


@pytest.mark.parametrize("away", [301, -301, 100_000])
def test_signed_time_more_than_five_minutes_away_is_stale(away: int) -> None:
    headers = CHANNEL.sign("msg_1", _body(), now=NOW - timedelta(seconds=away))
    with pytest.raises(StaleMessageError) as caught:
        CHANNEL.read(headers, _body(), now=NOW)
    assert caught.value.away_s == away


@pytest.mark.parametrize("away", [299, -299])
def test_signed_time_within_five_minutes_is_good(away: int) -> None:
    headers = CHANNEL.sign("msg_1", _body(), now=NOW - timedelta(seconds=away))
    assert CHANNEL.read(headers, _body(), now=NOW)


def test_age_is_told_only_to_those_with_the_secret() -> None:
    """A stale forgery is a forgery: the answer says nothing about clocks to strangers."""
    with pytest.raises(ForgedMessageError):
        _read(_body(), webhook_timestamp="1000000000")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "$"),
        (b"[]", "$"),
        (b'{"type":"order.paid"} trailing', "$"),
        (b'{"type":7}', "$.type"),
        (b'{"type":"order.exploded","timestamp":"","data":{}}', "$.type"),
        (b'{"type":"order.cancelled","timestamp":"","data":{}}', "$.data.order_id"),
        (_body(lines=[]), "$.data.lines"),
        (_body(lines=[{"line": 1, "tier": "A", "quantity": 0, "unit_price_fen": 1}]), "$.data.lines[0].quantity"),
        (_body(lines=[{"line": 1, "tier": "A", "quantity": 1.5, "unit_price_fen": 1}]), "$.data.lines[0].quantity"),
        (_body(lines=[{"line": 1, "tier": "A", "quantity": "1", "unit_price_fen": 1}]), "$.data.lines[0].quantity"),
        (_body(lines=[{"line": 1, "tier": "A", "quantity": True, "unit_price_fen": 1}]), "$.data.lines[0].quantity"),
        (_body(lines=[{"line": 1, "tier": "", "quantity": 1, "unit_price_fen": 1}]), "$.data.lines[0].tier"),
        (
            _body(lines=[{"line": 1, "tier": "A", "quantity": 1, "unit_price_fen": -1}]),
            "$.data.lines[0].unit_price_fen",
        ),
        (_body(lines=[{"line": 1, "tier": "A", "quantity": 1, "unit_price_fen": 1}] * 2), "$.data.lines"),
        (_body(order_id="two words"), "$.data.order_id"),
        (_body(order_id="\u0000"), "$.data.order_id"),
        (_body(broadcast="L260418-0001"), "$.data.broadcast"),
        (_body(broadcast="https://id.gs1.org/253/9521002003029L260418-0001"), "$.data.broadcast"),
        (_body(broadcast="https://id.gs1.org/01/09521002001013"), "$.data.broadcast"),
        (_body(paid_at="2026-04-18T03:05:00"), "$.data.paid_at"),
        (_body(paid_at="yesterday"), "$.data.paid_at"),
    ],
)
def test_signed_nonsense_is_malformed_and_says_where(body: bytes, path: str) -> None:
    with pytest.raises(MalformedMessageError) as caught:
        _read(body)
    assert caught.value.path == path


def test_oversized_body_is_refused_before_it_is_hashed() -> None:
    with pytest.raises(MalformedMessageError, match="at most"):
        _read(b" " * (MAX_BODY_BYTES + 1))


def test_body_that_is_not_text_is_refused() -> None:
    with pytest.raises(ForgedMessageError, match="UTF-8"):
        CHANNEL.read(CHANNEL.sign("m", b"{}", now=NOW), b"\xff\xfe", now=NOW)


@given(st.binary(max_size=300))
def test_no_signed_bytes_bring_out_anything_but_a_message_error(body: bytes) -> None:
    moment = datetime.fromtimestamp(int(NOW.timestamp()), UTC)
    try:
        signature = Webhook(SECRET).sign("m", moment, body.decode())
    except UnicodeDecodeError:
        signature = "v1,AAAA"
    headers = {"webhook-id": "m", "webhook-timestamp": str(int(NOW.timestamp())), "webhook-signature": signature}
    with pytest.raises(MessageError):
        CHANNEL.read(headers, body, now=NOW)


@pytest.mark.parametrize("secrets", [[], [""], ["whsec_"], ["whsec_%%%"]])
def test_channel_without_a_usable_secret_is_a_settings_error(secrets: list[str]) -> None:
    with pytest.raises(SettingsError, match="sample-shop"):
        StandardChannel("sample-shop", secrets)
