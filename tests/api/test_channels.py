import json
from datetime import datetime, timedelta

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from api import channels
from api.errors import ChannelExistsError, ChannelNameError, UnknownChannelError
from api.models import Channel
from api.runtime import Runtime
from ledger.kernel.clock import format_time
from ledger.kernel.errors import SettingsError
from ledger.kernel.ids import DocumentType
from ledger.kernel.settings import Settings
from orders.channels.standard import StandardChannel
from orders.models import SalesLine


@pytest.fixture
def platform(rt: Runtime) -> StandardChannel:
    """A sale platform that knows its secret."""
    with rt.db.write() as session:
        secret = channels.add(session, rt.settings, "sample", replace=False, now=rt.clock.now())
    assert secret.startswith("whsec_")
    return StandardChannel("sample", [secret])


def paid(rt: Runtime, order: str = "S-1001") -> bytes:
    now = format_time(rt.clock.now())
    lines = [{"line": 1, "tier": "A", "quantity": 2, "unit_price_fen": 4990}]
    data = {
        "order_id": order,
        "broadcast": rt.numbering.document(DocumentType.BROADCAST, "B260418-0001"),
        "paid_at": now,
        "lines": lines,
    }
    return json.dumps({"type": "order.paid", "timestamp": now, "data": data}).encode()


def push(client: TestClient, headers: dict[str, str], body: bytes, channel: str = "sample") -> httpx.Response:
    return client.post(
        f"/api/v1/channels/{channel}/webhook", content=body, headers={"Content-Type": "application/json", **headers}
    )


def lines(rt: Runtime) -> list[str]:
    with rt.db.read() as session:
        return [line.state for line in session.exec(select(SalesLine))]


def test_a_paid_order_is_kept_and_sent_again_it_is_a_duplicate(
    client: TestClient, rt: Runtime, platform: StandardChannel
) -> None:
    body = paid(rt)
    headers = platform.sign("msg_1", body, now=rt.clock.now())
    first, second = push(client, headers, body), push(client, headers, body)
    assert first.status_code == second.status_code == 200
    assert first.json()["lines"] == [{"line": 1, "tier": "A", "quantity": 2, "outcome": "unknown_tier"}]
    assert first.json()["duplicate"] is False
    assert second.json()["duplicate"] is True
    assert second.json()["lines"][0]["outcome"] == "duplicate"
    assert lines(rt) == ["unknown_tier"]


def stale(rt: Runtime) -> datetime:
    return rt.clock.now() - timedelta(hours=1)


def test_forged_stale_and_unsigned_messages_are_refused_and_nothing_is_kept(
    client: TestClient, rt: Runtime, platform: StandardChannel
) -> None:
    body, now = paid(rt), rt.clock.now()
    forger = StandardChannel("sample", ["whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCwgMzIgYnl0ZXM="])
    answers = [
        push(client, forger.sign("msg_1", body, now=now), body),
        push(client, platform.sign("msg_1", body, now=stale(rt)), body),
        push(client, platform.sign("msg_1", body, now=now), body.replace(b"4990", b"1")),
        push(client, {}, body),
    ]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert {answer.json()["code"] for answer in answers} == {"message_forged", "message_stale"}
    assert lines(rt) == []


def test_a_signed_message_that_says_nonsense_names_the_place(
    client: TestClient, rt: Runtime, platform: StandardChannel
) -> None:
    body = paid(rt).replace(b'"quantity": 2', b'"quantity": 0')
    answer = push(client, platform.sign("msg_1", body, now=rt.clock.now()), body)
    assert (answer.status_code, answer.json()["code"]) == (422, "message_malformed")
    assert answer.json()["path"] == "$.data.lines[0].quantity"


def test_an_unknown_channel_is_not_found(client: TestClient, rt: Runtime, platform: StandardChannel) -> None:
    body = paid(rt)
    answer = push(client, platform.sign("msg_1", body, now=rt.clock.now()), body, channel="other")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_channel")


def test_a_secret_is_sealed_with_the_installations_own(rt: Runtime, platform: StandardChannel) -> None:
    with rt.db.read() as session:
        secret = channels.secret_of(session, rt.settings, "sample")
        row = session.get_one(Channel, "sample")
        assert secret.encode() not in row.sealed_secret
        assert secret.encode()[6:] not in row.sealed_secret
        other = Settings(home=rt.settings.home, secret="another secret of forty characters or so")
        with pytest.raises(SettingsError, match="--replace"):
            channels.secret_of(session, other, "sample")
        assert channels.names(session) == ["sample"]


def test_a_known_channel_keeps_its_secret_unless_asked(rt: Runtime, platform: StandardChannel) -> None:
    with rt.db.write() as session:
        with pytest.raises(ChannelExistsError):
            channels.add(session, rt.settings, "sample", replace=False, now=rt.clock.now())
        before = channels.secret_of(session, rt.settings, "sample")
        new = channels.add(session, rt.settings, "sample", replace=True, now=rt.clock.now())
        assert new != before
        assert channels.secret_of(session, rt.settings, "sample") == new


@pytest.mark.parametrize("name", ["", "-a", "A", "a b", "a/b", "果", "a" * 41])
def test_a_name_that_cannot_stand_in_an_address_is_refused(rt: Runtime, name: str) -> None:
    with rt.db.write() as session, pytest.raises(ChannelNameError):
        channels.add(session, rt.settings, name, replace=False, now=rt.clock.now())
    with rt.db.read() as session, pytest.raises(UnknownChannelError):
        channels.secret_of(session, rt.settings, name)
