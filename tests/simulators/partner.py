"""A partner's own system: EPCIS documents as others write them, with EPC URNs, local times and an extension."""

import json
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session

from ledger import capture
from ledger.capture import Captured, OnError
from ledger.epcis.profile import Profile
from ledger.epcis.reading import read
from ledger.kernel.database import Database
from ledger.kernel.ids import PartyId
from ledger.log import record
from ledger.models import CaptureJob

CONTEXT = ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld", {"ex": "https://example.org/epcis/"}]
PARTY = PartyId("https://id.gs1.org/417/9521002000505")
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def event_id(number: int) -> str:
    """The eventID of a numbered event."""
    return f"urn:uuid:{uuid.UUID(int=0x7000_8000 << 64 | number)}"


def shipped(number: int, **changes: Any) -> dict[str, Any]:
    """A shipping event; `changes` replace fields, None takes one away."""
    event: dict[str, Any] = {
        "type": "ObjectEvent",
        "eventID": event_id(number),
        "eventTime": "2026-04-18T11:20:10+08:00",
        "eventTimeZoneOffset": "+08:00",
        "action": "OBSERVE",
        "bizStep": "shipping",
        "disposition": "in_transit",
        "epcList": [f"urn:epc:id:sgtin:9521002.001013.{number}", f"urn:epc:id:sgtin:9521002.001013.B{number}"],
        "readPoint": {"id": "urn:epc:id:sgln:9521001.00010.P03"},
        "bizTransactionList": [{"type": "po", "bizTransaction": f"urn:epcglobal:cbv:bt:9521001000010:{number // 100}"}],
        "ex:lane": f"L{number % 7}",
    }
    return {name: value for name, value in {**event, **changes}.items() if value is not None}


def declared_wrong(event: dict[str, Any]) -> dict[str, Any]:
    """The error declaration of an event: the whole of it again, and why."""
    declaration = {"declarationTime": "2026-04-19T00:00:00Z", "reason": "incorrect_data"}
    return {**event, "errorDeclaration": declaration}


def document(*events: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An EPCISDocument."""
    around = {
        "@context": CONTEXT,
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-04-18T11:20:10+08:00",
    }
    return {**around, "epcisBody": {"eventList": list(events)}, **changes}


def documents(first: int, count: int, per_document: int) -> list[bytes]:
    """EPCIS documents of so many events each."""
    return [
        json.dumps(document(*(shipped(first + start + i) for i in range(per_document)))).encode()
        for start in range(0, count, per_document)
    ]


def send(
    session: Session,
    body: dict[str, Any],
    *,
    on_error: OnError = OnError.ROLLBACK,
    profile: Profile = Profile.STRICT,
    now: datetime = NOW,
) -> Captured:
    """Capture a document in a session, as the door does."""
    return capture.capture(session, read(json.dumps(body).encode()), profile=profile, on_error=on_error, now=now)


def keep_sending(url: str, first: int, per_document: int, *, is_whole: bool) -> None:
    """Capture one document after the other until killed; without `is_whole`, event by event: what must not be."""
    db = Database(url)
    for number, body in enumerate(documents(first, 6000, per_document)):
        if number == 1:
            print("one is in", flush=True)  # noqa: T201  # whoever kills this waits for it
        ready = capture.prepare(read(body), profile=Profile.STRICT)
        if not is_whole:
            for foreign in ready.events:
                with db.write() as session:
                    record(session, foreign.event, now=NOW)
            continue
        with db.write() as session:
            captured = capture.record_ready(session, ready, on_error=OnError.ROLLBACK, now=NOW)
            kept(session, captured, body)


def kept(session: Session, captured: Captured, body: bytes) -> CaptureJob:
    """Write down that this partner sent it."""
    return capture.keep(session, captured, party=PARTY, body=body, on_error=OnError.ROLLBACK, received_at=NOW, now=NOW)


if __name__ == "__main__":
    keep_sending(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), is_whole=sys.argv[4] == "whole")
