"""Recall at the edge: who may ask, every spelling, page, JSON, spreadsheet and command."""

import csv
import io
import json
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from api.cli import app
from api.recalling import recall_csv, recall_json
from api.runtime import Runtime
from ledger import log
from ledger.events import AggregationEvent, Event, parse_event
from ledger.kernel.actors import Role
from ledger.recall import recall
from ledger.vocabulary import Action
from tests.api.conftest import SignIn
from tests.simulators import seasons
from tests.simulators.orchard import LOAD, PACK, PLOT, golden_events

LATER = datetime(2026, 5, 1, tzinfo=UTC)
PAGE = {"accept": "text/html"}


def record(rt: Runtime, events: list[Event]) -> None:
    with rt.db.write() as session:
        log.record_all(session, events, now=LATER)
        log.integrate(session)


@pytest.fixture
def golden(rt: Runtime) -> Runtime:
    record(rt, golden_events())
    return rt


@pytest.mark.parametrize("role", [Role.MANAGER, Role.AUDITOR, Role.STATION])
def test_managers_auditors_and_the_station_may_ask(golden: Runtime, signed_in: SignIn, role: Role) -> None:
    visitor = signed_in(role)
    for path in ("/recall", "/api/v1/recall", "/api/v1/recall.csv"):
        assert visitor.get(path, params={"id": PLOT}).status_code == 200, path


def test_nobody_else_may(golden: Runtime, client: TestClient, signed_in: SignIn) -> None:
    for path in ("/api/v1/recall", "/api/v1/recall.csv"):
        assert client.get(path, params={"id": PLOT}).status_code == 401
        assert signed_in(Role.FARMER, ref=f"f{len(path)}").get(path, params={"id": PLOT}).status_code == 403
    asked = client.get("/recall", params={"id": PLOT}, headers=PAGE)
    assert asked.status_code == 303
    assert "sign-in" in asked.headers["location"]


def test_the_answer_says_how_many_grams_went_where_and_why(golden: Runtime, signed_in: SignIn) -> None:
    found = signed_in(Role.MANAGER).get("/api/v1/recall", params={"id": PLOT}).json()
    assert found["reach"]["grams"] == {"least_g": 40_200, "most_g": 40_200}
    assert found["reach"]["shipped"] == {"least_g": 22_870, "most_g": 22_870}
    assert found["reach"]["packs_by_state"] == {"delivered": 5}
    (load,) = found["reach"]["loads"]
    assert load["id"] == LOAD
    assert [found["events"][event]["name"] for event in load["why"]] == [
        "picked", "crated", "graded", "packed", "loaded",
    ]  # fmt: skip
    assert found["is_cut"] is False


@pytest.mark.parametrize(
    "spelling",
    [
        PACK,
        PACK.removeprefix("https://id.gs1.org"),
        "http://testserver/01/09521002001013/10/G260418-1A/21/7K3Q9X2MVD4T?17=260502",
        "urn:epc:id:sgtin:9521002.000101.7K3Q9X2MVD4T",
        "https://other.example/gtin/09521002001013/ser/7K3Q9X2MVD4T",
    ],
)
def test_every_spelling_of_a_key_is_the_same_thing(golden: Runtime, signed_in: SignIn, spelling: str) -> None:
    visitor = signed_in(Role.MANAGER)
    assert visitor.get("/api/v1/recall", params={"id": spelling}).json()["id"] == PACK
    assert visitor.get("/recall", params={"id": spelling}).status_code == 200


def test_what_nobody_recorded_is_unknown_and_not_safe(golden: Runtime, signed_in: SignIn) -> None:
    visitor = signed_in(Role.MANAGER)
    for path in ("/api/v1/recall", "/api/v1/recall.csv"):
        assert visitor.get(path, params={"id": PACK[:-1] + "0"}).status_code == 404
    page = visitor.get("/recall", params={"id": PACK[:-1] + "0", "lang": "en"})
    assert page.status_code == 404
    assert "No record does not mean safe" in page.text
    wrong = visitor.get("/recall", params={"id": "https://id.gs1.org/01/09521002001014/21/1", "lang": "en"})
    assert wrong.status_code == 404
    assert "not a valid key" in wrong.text
    assert visitor.get("/api/v1/recall", params={"id": "https://id.gs1.org/01/09521002001014"}).status_code == 422


def test_the_spreadsheet_opens_with_its_bytes_and_its_rows(golden: Runtime, signed_in: SignIn) -> None:
    answer = signed_in(Role.AUDITOR).get("/api/v1/recall.csv", params={"id": PLOT})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    packs = [row for row in rows if row["kind"] == "pack"]
    assert sum(int(row["least_g"]) for row in packs) == 22_870
    assert {row["row"] for row in rows} == {"thing", "load", "receiver", "open end"}


@pytest.mark.parametrize("lot", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"])
def test_no_cell_is_a_formula(rt: Runtime, lot: str) -> None:
    pack = "https://shop.example/obj/1"
    event = parse_event(
        {
            "type": "AggregationEvent",
            "eventID": "urn:uuid:1",
            "eventTime": "2026-04-18T00:00:00.000Z",
            "eventTimeZoneOffset": "+08:00",
            "action": "ADD",
            "parentID": lot,
            "childQuantityList": [{"epcClass": "芒果", "quantity": 5, "uom": "GRM"}],
        }
    )
    assert isinstance(event, AggregationEvent)
    assert event.action is Action.ADD
    record(rt, [event])
    with rt.db.read() as session:
        sheet = "".join(recall_csv(recall(session, "芒果")))
    assert "芒果" in sheet
    assert pack not in sheet
    cells = [cell for row in csv.reader(io.StringIO(sheet.removeprefix("\ufeff"))) for cell in row]
    assert "'" + lot in cells
    assert lot not in cells


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_page_shows_packs_by_the_hundred_and_both_languages(rt: Runtime, signed_in: SignIn, lang: str) -> None:
    seasons.fill(rt.db, 1000)
    visitor = signed_in(Role.STATION)
    first = visitor.get("/recall", params={"id": seasons.graded_lot(0, 3), "lang": lang})
    last = visitor.get("/recall", params={"id": seasons.graded_lot(0, 3), "lang": lang, "page": 3})
    assert first.status_code == last.status_code == 200
    assert first.text.count("/01/09521002001013/21/") > last.text.count("/01/09521002001013/21/") > 0
    assert quote(seasons.pack(0, 3, 219), safe="/:") in last.text.replace("%3A", ":")
    assert "data-label" in first.text
    assert "<script>" not in first.text


def test_the_command_prints_the_same(golden: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUOYUAN_HOME", str(golden.settings.home))
    run = CliRunner().invoke
    shown = json.loads(run(app, ["recall", PLOT, "--json"]).stdout)
    assert shown["reach"]["shipped"] == {"least_g": 22_870, "most_g": 22_870}
    assert "22870" in run(app, ["recall", PLOT]).stdout
    sheet = run(app, ["recall", PLOT, "--csv"])
    assert sheet.stdout_bytes.startswith(b"\xef\xbb\xbf")
    assert run(app, ["recall", PACK[:-1] + "0"]).exit_code == 1
    assert run(app, ["recall", PLOT, "--csv", "--json"]).exit_code == 2
    traced = json.loads(run(app, ["trace", PACK, "--json"]).stdout)
    assert {share["id"]: share["grams"]["least_g"] for share in traced["flow"]["behind"]}[PLOT] == 4560


def test_a_trace_carries_its_quantities(golden: Runtime, client: TestClient) -> None:
    found = client.get("/api/v1/trace", params={"id": PACK}).json()
    sources = {share["id"]: share["grams"] for share in found["flow"]["behind"]}
    assert sources[PLOT] == {"least_g": 4560, "most_g": 4560}
    assert found["flow"]["ahead"]["loads"][0]["id"] == LOAD
    wrong = [step for step in found["steps"] if step["declared_wrong_by"]]
    assert [(step["is_effective"], len(step["corrected_by"])) for step in wrong] == [(False, 1)]


def test_an_answer_is_whole_json(golden: Runtime) -> None:
    with golden.db.read() as session:
        answer = recall_json(recall(session, PLOT))
    assert json.loads(answer.model_dump_json())["kind"] == "place"
    named = {event for thing in answer.reach.things for event in thing.why}
    assert named <= answer.events.keys()
