"""The EPCIS 2.0 door: capture, jobs, events, headers, and whatever hostile bodies it is sent."""

import gzip
import json
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import jsonschema_rs
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlmodel import func, select

import contracts.models  # noqa: F401  # its tables, for /api/v1/status
from api import epcis
from api.routers import epcis as door
from api.runtime import Runtime
from ledger import follow
from ledger.kernel.actors import Role
from ledger.models import CaptureJob
from ledger.query import EFFECTIVE
from orders.stock import GradedStock
from tests.api.conftest import SignIn
from tests.serving import Served, served_apart
from tests.simulators import partner
from tests.simulators.partner import declared_wrong, document, shipped

JSON = {"Content-Type": "application/json"}
PROBLEM = "application/problem+json"


@pytest.fixture
def manager(signed_in: SignIn) -> TestClient:
    return signed_in(Role.MANAGER)


def post(client: TestClient, body: Any, *, at: str = "/epcis/capture", **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(at, content=content, headers={**JSON, **named})


def ids(answer: Any) -> list[str]:
    events = answer.json()["epcisBody"]["queryResults"]["resultsBody"]["eventList"]
    return [event["eventID"] for event in events]


# --- capture ------------------------------------------------------------------------------------------


def test_a_document_is_captured_and_its_job_says_so(manager: TestClient) -> None:
    answer = post(manager, document(shipped(1), shipped(2)))
    assert (answer.status_code, answer.content) == (202, b"")
    assert answer.headers["GS1-Capture-Error-Behaviour"] == "rollback"
    job = manager.get(answer.headers["Location"]).json()
    assert job["captureID"] in answer.headers["Location"]
    assert (job["running"], job["success"], job["captureErrorBehaviour"], job["errors"]) == (
        False,
        True,
        "rollback",
        [],
    )
    assert (job["gy:events"], job["gy:new"], job["gy:repeated"], job["gy:firstIndex"]) == (2, 2, 0, 0)
    assert job["gy:sender"] == manager.actor.party  # type: ignore[attr-defined]  # the fixture keeps it there
    again = manager.get(post(manager, document(shipped(1), shipped(2))).headers["Location"]).json()
    assert (again["success"], again["gy:new"], again["gy:repeated"]) == (True, 0, 2)
    assert ids(manager.get("/epcis/events")) == [partner.event_id(1), partner.event_id(2)]


def test_a_job_document_is_the_officials(manager: TestClient, shared: Path) -> None:
    official = json.loads((shared / "vectors" / "gs1-EPCIS" / "REST Bindings" / "openapi.json").read_text())
    # The second half of it is `errors` or `errorFile`, neither required: every job would be both at once.
    schema = {**official["components"]["schemas"]["CaptureJob"]["allOf"][0], "components": official["components"]}
    post(manager, document(shipped(1)))
    post(manager, document(shipped(1, disposition="in_progress"), shipped(2)), GS1_Capture_Error_Behaviour="proceed")
    for job in manager.get("/epcis/capture").json():
        jsonschema_rs.validate(schema, job)


def test_what_a_document_itself_shows_is_refused_at_once(manager: TestClient) -> None:
    answer = post(manager, document(shipped(1), shipped(2, action="NO")))
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)
    problem = answer.json()
    assert (problem["type"], problem["status"]) == ("epcisException:ValidationException", 400)
    assert problem["problems"][0]["path"] == "$.epcisBody.eventList[1].action"
    assert manager.get("/epcis/capture").json() == []
    assert ids(manager.get("/epcis/events")) == []


@pytest.mark.parametrize("behaviour", ["rollback", "proceed"])
def test_what_only_the_log_could_know_stands_in_the_job(manager: TestClient, behaviour: str) -> None:
    post(manager, document(shipped(1)))
    body = document(shipped(2), shipped(1, disposition="in_progress"))
    answer = post(manager, body, GS1_Capture_Error_Behaviour=behaviour)
    assert (answer.status_code, answer.headers["GS1-Capture-Error-Behaviour"]) == (202, behaviour)
    job = manager.get(answer.headers["Location"]).json()
    assert (job["running"], job["success"], job["captureErrorBehaviour"]) == (False, False, behaviour)
    assert job["gy:new"] == (0 if behaviour == "rollback" else 1)
    (error,) = job["errors"]
    assert (error["type"], error["status"]) == ("epcisException:ResourceAlreadyExistsException", 409)
    assert (error["path"], error["eventID"]) == ("$.epcisBody.eventList[1]", partner.event_id(1))
    assert len(ids(manager.get("/epcis/events"))) == (1 if behaviour == "rollback" else 2)


def test_proceed_takes_the_good_ones(manager: TestClient) -> None:
    body = document(shipped(1), shipped(2, action="NO"), shipped(3))
    job = manager.get(post(manager, body, GS1_Capture_Error_Behaviour="proceed").headers["Location"]).json()
    assert (job["success"], job["gy:new"], job["gy:refused"]) == (False, 2, 1)
    assert job["errors"][0]["type"] == "epcisException:ValidationException"
    assert ids(manager.get("/epcis/events")) == [partner.event_id(1), partner.event_id(3)]


def test_our_own_words_are_refused_by_name(manager: TestClient) -> None:
    forged = shipped(1, **{"https://ns.guoyuan.example/epcis/sentence": "graded/1"})
    job = manager.get(post(manager, document(forged)).headers["Location"]).json()
    (error,) = job["errors"]
    assert (job["success"], error["type"]) == (False, "epcisException:SecurityException")
    alone = post(manager, {"@context": partner.CONTEXT, **forged}, at="/epcis/events")
    assert (alone.status_code, alone.json()["type"]) == (403, "epcisException:SecurityException")
    assert ids(manager.get("/epcis/events")) == []


def test_a_query_document_may_be_captured_too(manager: TestClient) -> None:
    post(manager, document(shipped(1)))
    page = manager.get("/epcis/events").content
    job = manager.get(post(manager, page).headers["Location"]).json()
    assert (job["success"], job["gy:repeated"]) == (True, 1)


def test_the_lenient_profile_takes_the_known_deviations_of_real_documents(manager: TestClient, shared: Path) -> None:
    folder = shared / "vectors" / "openepcis-test-resources" / "2.0" / "EPCIS" / "JSON" / "Capture" / "Documents"
    for name in ("AggregationEvent_with_persistentDisposition", "SensorData_with_combined_events"):
        body = (folder / f"{name}.json").read_bytes()
        assert post(manager, body).status_code == 400
        answer = post(manager, body, at="/epcis/capture?guoyuan:profile=lenient")
        job = manager.get(answer.headers["Location"]).json()
        assert (job["success"], job["gy:new"]) == (True, job["gy:events"]), name
    for wrong in ("guoyuan:profile=lax", "profile=lenient"):
        answer = post(manager, document(shipped(1)), at=f"/epcis/capture?{wrong}")
        assert (answer.status_code, answer.json()["type"]) == (400, "epcisException:QueryParameterException")


def test_one_event_is_captured_by_itself(manager: TestClient) -> None:
    event = {"@context": partner.CONTEXT, **shipped(1)}
    for _ in range(2):
        answer = post(manager, event, at="/epcis/events")
        assert answer.status_code == 201
        assert answer.json()["epcList"][0] == "https://id.gs1.org/01/09521002010138/21/1"
        assert ids(manager.get(answer.headers["Location"])) == [partner.event_id(1)]
    answer = post(manager, {**event, "disposition": "in_progress"}, at="/epcis/events")
    assert (answer.status_code, answer.json()["type"]) == (409, "epcisException:ResourceAlreadyExistsException")
    declared = post(manager, declared_wrong(event), at="/epcis/events")
    assert (declared.status_code, "errorDeclaration" in declared.json()) == (201, True)
    for body, at in ((document(shipped(2)), "/epcis/events"), (event, "/epcis/capture"), ([event], "/epcis/capture")):
        answer = post(manager, body, at=at)
        assert (answer.status_code, answer.json()["type"]) == (400, "epcisException:ValidationException")


def test_an_event_without_an_id_has_an_address_all_the_same(manager: TestClient) -> None:
    answer = post(manager, {"@context": partner.CONTEXT, **shipped(1, eventID=None)}, at="/epcis/events")
    assert answer.json()["eventID"].endswith("?ver=CBV2.0")
    assert ids(manager.get(answer.headers["Location"])) == [answer.json()["eventID"]]


# --- who may --------------------------------------------------------------------------------------------

MAY = {
    "send": {Role.MANAGER, Role.STATION},
    "read": {Role.MANAGER, Role.STATION, Role.AUDITOR, Role.HOST},
    "watch": {Role.MANAGER, Role.STATION, Role.AUDITOR},
}


@pytest.mark.parametrize("role", Role)
def test_each_role_may_what_it_may(signed_in: SignIn, role: Role) -> None:
    client = signed_in(role)
    answers = {
        "send": post(client, document(shipped(1))),
        "read": client.get("/epcis/events"),
        "watch": client.get("/epcis/capture"),
    }
    for what, answer in answers.items():
        assert (answer.status_code < 300) is (role in MAY[what]), what
        if role not in MAY[what]:
            assert (answer.status_code, answer.json()["type"]) == (403, "epcisException:SecurityException")


def test_a_stranger_is_asked_who_they_are(client: TestClient) -> None:
    for answer in (post(client, document(shipped(1))), client.get("/epcis/events"), client.get("/epcis/capture")):
        assert (answer.status_code, answer.json()["type"]) == (401, "epcisException:SecurityException")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_station_sees_its_own_jobs_and_a_manager_all(signed_in: SignIn) -> None:
    one, two, manager, auditor = (
        signed_in(role, ref=ref)
        for role, ref in ((Role.STATION, "a"), (Role.STATION, "b"), (Role.MANAGER, "c"), (Role.AUDITOR, "d"))
    )
    where = post(one, document(shipped(1))).headers["Location"]
    assert [client.get(where).status_code for client in (one, two, manager, auditor)] == [200, 404, 200, 200]
    assert [len(client.get("/epcis/capture").json()) for client in (one, two, manager, auditor)] == [1, 0, 1, 1]
    assert two.get(where).json()["type"] == "epcisException:NoSuchResourceException"


# --- reading --------------------------------------------------------------------------------------------


def test_answers_are_valid_query_documents(manager: TestClient, shared: Path) -> None:
    validator = jsonschema_rs.validator_for(
        json.loads((shared / "vectors" / "gs1-EPCIS" / "EPCIS-JSON-Schema.json").read_text()), validate_formats=True
    )
    for path in sorted((shared / "vectors" / "gs1-EPCIS" / "JSON").rglob("*.jsonld")):
        post(manager, path.read_bytes(), GS1_Capture_Error_Behaviour="proceed")
    seen, address = 0, "/epcis/events?perPage=9"
    while address:
        answer = manager.get(address)
        assert [error.message for error in validator.iter_errors(answer.json())] == []
        seen += len(ids(answer))
        link = answer.links.get("next")
        address = link["url"].removeprefix("http://testserver") if link else ""
    assert seen >= 30


def test_an_event_comes_back_with_its_declaration_and_the_effective_view_hides_both(manager: TestClient) -> None:
    post(manager, document(shipped(1), declared_wrong(shipped(1)), shipped(2)))
    one = partner.event_id(1)
    assert ids(manager.get(f"/epcis/events/{one}")) == [one, one]
    assert ids(manager.get("/epcis/events", params={"EXISTS_errorDeclaration": "true"})) == [one]
    assert ids(manager.get("/epcis/events", params={EFFECTIVE: "true"})) == [partner.event_id(2)]
    unknown = manager.get("/epcis/events/urn:uuid:unknown")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "epcisException:NoSuchResourceException")


def test_pages_lead_on(manager: TestClient) -> None:
    for number in range(5):
        post(manager, document(shipped(number)))
    for path, size in (("/epcis/events?EQ_bizStep=shipping%7Cpacking&perPage=2", 5), ("/epcis/capture?perPage=2", 5)):
        seen, address = 0, path
        for _ in range(3):
            answer = manager.get(address)
            seen += len(answer.json()) if "capture" in path else len(ids(answer))
            link = answer.links.get("next")
            address = link["url"].removeprefix("http://testserver") if link else ""
        assert (seen, address) == (size, ""), path


@pytest.mark.parametrize(
    ("path", "exception", "status"),
    [
        ("/epcis/events?EQ_something=1", "QueryParameterException", 400),
        ("/epcis/events?GE_eventTime=today", "QueryParameterException", 400),
        ("/epcis/events?EQ_bizStep=a&EQ_bizStep=b", "QueryParameterException", 400),
        ("/epcis/events?maxEventCount=1", "QueryTooLargeException", 413),
        ("/epcis/events?EQ_bizStep=" + "a" * 8000, "URITooLongException", 414),
        ("/epcis/capture?perPage=0", "QueryParameterException", 400),
        ("/epcis/capture?nextPageToken=x", "QueryParameterException", 400),
        ("/epcis/capture?colour=red", "QueryParameterException", 400),
        ("/epcis/capture/unknown", "NoSuchResourceException", 404),
        ("/epcis/queries", "NoSuchResourceException", 404),
        ("/epcis/bizSteps/a%7Cb/events", "NoSuchResourceException", 404),
        ("/epcis/colours/red/events", "NoSuchResourceException", 404),
    ],
)
def test_a_question_that_cannot_be_answered_is_named(
    manager: TestClient, path: str, exception: str, status: int
) -> None:
    post(manager, document(shipped(1), shipped(2)))
    answer = manager.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert (answer.json()["type"], answer.json()["status"]) == (f"epcisException:{exception}", status)


def test_events_are_found_by_what_they_are_about(manager: TestClient) -> None:
    post(manager, document(shipped(1), shipped(2, bizStep="packing", bizLocation={"id": "https://example.org/loc/1"})))
    two = [partner.event_id(2)]
    for path in (
        "bizSteps/packing",
        "bizLocations/" + quote("https://example.org/loc/1", safe=""),
        "epcs/urn:epc:id:sgtin:9521002.001013.2",
        "epcs/" + quote("https://id.gs1.org/01/09521002010138/21/2", safe=""),
    ):
        assert ids(manager.get(f"/epcis/{path}/events")) == two, path
    assert len(ids(manager.get("/epcis/eventTypes/ObjectEvent/events"))) == 2
    assert len(ids(manager.get("/epcis/dispositions/in_transit/events?eventCountLimit=1&orderBy=eventTime"))) == 1
    assert manager.get("/epcis/eventTypes").json()["member"][0] == "AggregationEvent"
    assert "events" in manager.get("/epcis").json()["member"]


# --- headers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Accept": "application/json"}, 200),
        ({"Accept": "application/ld+json;q=0.9, text/html"}, 200),
        ({"Accept": "application/xml"}, 406),
        ({"Accept": "application/json;q=0"}, 406),
        ({"GS1-EPCIS-Min": "1.2.0", "GS1-EPCIS-Max": "2.0.0"}, 200),
        ({"GS1-EPCIS-Max": "2.0"}, 200),
        ({"GS1-EPCIS-Min": "2.1.0"}, 406),
        ({"GS1-EPCIS-Max": "1.2"}, 406),
        ({"GS1-CBV-Min": "2.0.0", "GS1-CBV-Max": "3"}, 200),
        ({"GS1-CBV-Max": "1.2.2"}, 406),
        ({"GS1-CBV-Min": "two"}, 406),
        ({"GS1-EPCIS-Version": "2.0"}, 200),
        ({"GS1-EPCIS-Version": "2.0.0"}, 200),
        ({"GS1-EPCIS-Version": "1.2"}, 406),
        ({"GS1-CBV-Version": "2.0.0"}, 200),
        ({"GS1-CBV-Version": "1.1"}, 406),
        ({"GS1-EPC-Format": "No_Preference"}, 200),
        ({"GS1-EPC-Format": "Always_GS1_Digital_Link"}, 200),
        ({"GS1-EPC-Format": "Always_EPC_URN"}, 406),
        ({"GS1-EPC-Format": "Never_Translates"}, 406),
        ({"GS1-CBV-XML-Format": "Always_URN"}, 200),
        ({"GS1-CBV-XML-Format": "Always_Latin"}, 406),
    ],
)
def test_what_is_asked_for_is_given_or_said_to_be_not_acceptable(
    manager: TestClient, headers: dict[str, str], status: int
) -> None:
    answer = manager.get("/epcis/events", headers=headers)
    assert answer.status_code == status
    if status == 406:
        assert answer.json()["type"] == "epcisException:NotAcceptableException"
    assert answer.headers["GS1-EPCIS-Version"] == answer.headers["GS1-CBV-Version"] == "2.0.0"
    assert answer.headers["GS1-EPC-Format"] == "Always_GS1_Digital_Link"


def test_options_say_what_may_be_done_to_anyone(client: TestClient) -> None:
    paths = {
        "/epcis": "OPTIONS, GET",
        "/epcis/capture": "OPTIONS, GET, POST",
        "/epcis/capture/x": "OPTIONS, GET",
        "/epcis/events": "OPTIONS, GET, POST",
        "/epcis/events/urn:uuid:x": "OPTIONS, GET",
    }
    for path, methods in paths.items():
        answer = client.options(path)
        assert (answer.status_code, answer.headers["Allow"]) == (204, methods)
        assert answer.headers["GS1-EPCIS-Min"] == answer.headers["GS1-EPCIS-Max"] == "2.0.0"
    limits = client.options("/epcis/capture").headers
    assert limits["GS1-EPCIS-Capture-Limit"] == "2000"
    assert limits["GS1-EPCIS-Capture-File-Size-Limit"] == str(epcis.BODY_LIMIT)
    assert limits["GS1-Capture-Error-Behaviour"] == "all"


def test_a_behaviour_that_does_not_exist_is_refused(manager: TestClient) -> None:
    for said in ("all", "ROLLBACK", "maybe"):
        answer = post(manager, document(shipped(1)), GS1_Capture_Error_Behaviour=said)
        assert (answer.status_code, answer.json()["type"]) == (400, "epcisException:ValidationException")


def test_too_many_documents_at_once_are_asked_to_come_again(
    app: FastAPI, manager: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = door._Desk()
    monkeypatch.setattr(door, "_desk", desk)
    for _ in range(door.AT_WORK + door.IN_LINE):
        desk._line.acquire()
    answer = post(manager, document(shipped(1)))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    desk._line.release()
    assert post(manager, document(shipped(1))).status_code == 202


def test_bulk_lets_urgent_work_through_and_its_followers_lag_is_seen(
    app: FastAPI, manager: TestClient, rt: Runtime
) -> None:
    """Somebody who asks for the writer's lane waits for the documents before it, and for no more."""
    bodies = iter(partner.documents(0, 4000, 50))
    counting = threading.Lock()
    overtaken = []

    def keep_sending() -> None:
        client = TestClient(app, headers=dict(manager.headers))
        while True:
            with counting:
                body = next(bodies, None)
            if body is None:
                return
            assert post(client, body).status_code == 202

    def jobs(session: Any) -> int:
        return int(session.exec(select(func.count()).select_from(CaptureJob)).one())

    threads = [threading.Thread(target=keep_sending) for _ in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with rt.db.read() as session:
            before = jobs(session)
        with rt.db.write() as session:
            overtaken.append(jobs(session) - before)
    for thread in threads:
        thread.join()
    assert max(overtaken) <= door.AT_WORK + 1
    assert len(overtaken) > 10
    follower = GradedStock()
    follow.drain(rt.db, [follower], now=rt.clock.now())
    post(manager, document(*(shipped(10_000 + i) for i in range(7))))
    status = manager.get("/api/v1/status").json()
    assert [each["behind"] for each in status["followers"]] == [7]
    assert status["integrated"] == status["recorded"] == 4007
    follow.drain(rt.db, [follower], now=rt.clock.now())
    assert [each["behind"] for each in manager.get("/api/v1/status").json()["followers"]] == [0]


# --- hostile bodies ---------------------------------------------------------------------------------------


def raw(event: str = "", *, inside: str = "") -> bytes:
    """A document as text, with something in an event, or in its list."""
    return json.dumps(document({"HERE": 0})).replace('{"HERE": 0}', inside or event).encode()


def with_field(text: str) -> bytes:
    """A document whose one event has this text as its last member."""
    return raw(json.dumps(shipped(1))[:-1] + "," + text + "}")


HOSTILE = {
    "not JSON": (b"{", {}, 400),
    "nothing": (b"", {}, 400),
    "a text": (b'"EPCISDocument"', {}, 400),
    "null": (b"null", {}, 400),
    "brackets": (b"[" * 60_000, {}, 400),
    "closed brackets": (b"[" * 50_000 + b"]" * 50_000, {}, 400),
    "deep objects": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, {}, 400),
    "deep in an event": (with_field('"ex:a":' + "[" * 100 + "]" * 100), {}, 400),
    "many empty lists": (b"[" + b"[]," * 690_000 + b"[]]", {}, 400),
    "many keys": (b"{" + b",".join(b'"%d":0' % i for i in range(150_000)) + b"}", {}, 400),
    "a repeated key": (with_field('"action":"ADD"'), {}, 400),
    "a repeated key, escaped": (with_field('"\\u0061ction":"ADD"'), {}, 400),
    "1e999": (with_field('"ex:a":1e999'), {}, 400),
    "-1e999": (with_field('"ex:a":-1e999'), {}, 400),
    "400 digits": (with_field('"ex:a":' + "9" * 400), {}, 400),
    "a million digits": (with_field('"ex:a":' + "9" * 1_000_000), {}, 400),
    "NaN": (with_field('"ex:a":NaN'), {}, 400),
    "half a character": (with_field('"ex:a":"\\ud800"'), {}, 400),
    "half a character in a key": (with_field('"ex:\\udfff":"a"'), {}, 400),
    "an unknown context": (
        json.dumps(document(shipped(1), **{"@context": "https://evil.example/c.jsonld"})).encode(),
        {},
        400,
    ),
    "a character that is none": (with_field('"ex:a":"https://example.org/\\u0000"'), {}, 202),
    "a context that turns in a circle": (
        json.dumps(document(shipped(2), **{"@context": [*partner.CONTEXT, {"a": "b:", "b": "a:"}]})).encode(),
        {},
        202,
    ),
    "UTF-16": (json.dumps(document(shipped(1))).encode("utf-16"), {}, 400),
    "Latin-1": (with_field('"ex:a":"é"').decode().encode("latin-1"), {}, 400),
    "another charset named": (b"{}", {"Content-Type": "application/json; charset=utf-16"}, 415),
    "text": (b"{}", {"Content-Type": "text/plain"}, 415),
    "XML": (b"<a/>", {"Content-Type": "application/xml"}, 415),
    "a form": (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "no type": (b"{}", {"Content-Type": ""}, 415),
    "a gzip bomb": (gzip.compress(b" " * 20_000_000), {"Content-Encoding": "gzip"}, 415),
    "brotli": (b"x", {"Content-Encoding": "br"}, 415),
    "one byte too many": (b" " * (epcis.BODY_LIMIT + 1), {}, 413),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with served_apart(tmp_path_factory.mktemp("hostile")) as served:
        yield served


def send_raw(server: Served, head: str, pieces: Any) -> tuple[int, bytes]:
    """Send bytes as they are, until the server answers or hangs up; its status and answer."""
    where = urlsplit(server.address)
    start = f"POST /epcis/capture HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {server.token}\r\n"
    with socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=90) as line:
        line.sendall((start + head + "Connection: close\r\n\r\n").encode())
        try:
            for piece in pieces:
                line.sendall(piece)
        except OSError:  # it hung up: what it said may still be read
            pass
        data = b""
        try:
            while chunk := line.recv(65536):
                data += chunk
        except OSError:
            pass
    return (int(data.split(b" ", 2)[1]) if data else 0), data.partition(b"\r\n\r\n")[2]


GROWTH_MIB = 160
"""How much more memory the worst of these may take at its worst moment."""


def test_hostile_bodies_are_refused_in_bounded_memory(server: Served) -> None:
    server.forget_peak()
    before = server.resident_mib()
    wrong = []
    for name, (body, headers, wanted) in HOSTILE.items():
        sent = {**JSON, **headers, "Content-Length": str(len(body))}
        head = "".join(f"{key}: {value}\r\n" for key, value in sent.items() if value)
        status, answer = send_raw(server, head, [body])
        is_named = status == 202 or json.loads(answer or b"{}").get("type", "").startswith("epcisException:")
        if status != wanted or not is_named:
            wrong.append((name, status, answer[:200]))
    assert wrong == []
    assert server.peak_mib() - before < GROWTH_MIB


def test_a_hundred_megabytes_are_cut_off_however_they_come(server: Served) -> None:
    server.forget_peak()
    before = server.resident_mib()
    size, piece = 100 * 1024 * 1024, b" " * 65536
    sent = {"length": 0, "chunks": 0}

    def counted(name: str, wrapped: bytes) -> Any:
        for _ in range(size // len(piece)):
            sent[name] += len(piece)
            yield wrapped

    head = "Content-Type: application/json\r\n"
    status, _ = send_raw(server, f"{head}Content-Length: {size}\r\n", counted("length", piece))
    assert status in {413, 0}, "refused, or hung up on while it was still talking"
    chunk = f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    status, _ = send_raw(server, f"{head}Transfer-Encoding: chunked\r\n", counted("chunks", chunk))
    assert status in {413, 0}
    assert max(sent.values()) < size / 2
    assert server.peak_mib() - before < GROWTH_MIB


def test_many_of_the_worst_at_once_are_refused_in_bounded_memory(server: Served) -> None:
    """Sixteen bodies of two megabytes that become fifty each: two at a time, and some are asked to come again."""
    server.forget_peak()
    before = server.resident_mib()
    body = HOSTILE["many empty lists"][0]
    answers: list[int] = []

    def one() -> None:
        head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        answers.append(send_raw(server, head, [body])[0])

    threads = [threading.Thread(target=one) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {400, 503}
    assert answers.count(400) >= door.AT_WORK + door.IN_LINE
    assert server.peak_mib() - before < 2 * GROWTH_MIB
    status, _ = send_raw(server, "Content-Type: application/json\r\nContent-Length: 2\r\n", [b"{}"])
    assert status == 400, "and it goes on"


# --- the other doors ------------------------------------------------------------------------------------

SMALL = {
    "brackets": b"[" * 100_000,
    "deep objects": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    "1e999": b'{"code": 1e999}',
    "400 digits": b'{"code": ' + b"9" * 400 + b"}",
    "5000 digits": b'{"code": ' + b"9" * 5000 + b"}",
    "NaN": b'{"code": NaN}',
    "UTF-16": '{"code": "x"}'.encode("utf-16"),
    "broken UTF-8": b'{"code": "\xff\xfe"}',
    "nothing": b"",
    "null": b"null",
}
HALVES = {"half a character": "\ud800", "no character at all": "\0"}


def hostile_for(operation: dict[str, Any], document: dict[str, Any]) -> dict[str, bytes]:
    """The small hostile bodies, and those shaped as they should be with such a character in every text."""
    schema = operation["requestBody"]["content"].get("application/json", {}).get("schema", {})
    shaped = {name: json.dumps(_filled(schema, document, text)).encode() for name, text in HALVES.items()}
    return {**SMALL, **shaped}


def _filled(schema: dict[str, Any], document: dict[str, Any], text: str) -> Any:
    if "$ref" in schema:
        return _filled(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, text)
    if "anyOf" in schema:
        return _filled(schema["anyOf"][0], document, text)
    match schema.get("type"):
        case "object":
            return {name: _filled(each, document, text) for name, each in schema.get("properties", {}).items()}
        case "array":
            return [_filled(schema["items"], document, text)]
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
    return schema.get("enum", [text * max(1, schema.get("minLength", 1))])[0]


def test_no_json_door_is_broken_by_a_hostile_body(app: FastAPI, rt: Runtime, signed_in: SignIn) -> None:
    people = {role: signed_in(role).headers["Authorization"] for role in Role}
    visitor = TestClient(app, raise_server_exceptions=False, follow_redirects=False)
    described = visitor.get("/openapi.json").json()
    broken, doors = [], 0
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            if "requestBody" not in operation:
                continue
            doors += 1
            role = next((role for role in Role if f"/{role}/" in path), Role.MANAGER)
            address = path.replace("{", "").replace("}", "")
            for name, body in hostile_for(operation, described).items():
                headers = {**JSON, "Authorization": people[role], "Guoyuan-Device": "x", "Guoyuan-Signature": "eA=="}
                answer = visitor.request(method, address, content=body, headers=headers)
                # A NUL is a character like others to some doors; a server error it is to none.
                is_fine = 400 <= answer.status_code < 500 or "jsonrpc" in answer.text
                if not is_fine and not (name == "no character at all" and answer.status_code < 300):
                    broken.append((method, path, name, answer.status_code, answer.text[:120]))
    assert doors > 20
    assert broken == []
