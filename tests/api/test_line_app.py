"""The console over HTTP: open on this machine alone, its pages trust nobody, its refusals speak two languages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.line_app import COOKIE, Door, create_app
from api.line_errors import UnknownCrateError
from tests.api.test_line_runtime import LOT, OTHER, Stand, frames

HERE = {"host": "127.0.0.1"}


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """A running line with its test's camera and gates."""
    made = Stand(tmp_path / "line")
    yield made
    made.end()


@pytest.fixture
def console(stand: Stand) -> TestClient:
    """A browser on the station's own computer."""
    return TestClient(create_app(stand.line), base_url="http://127.0.0.1:8090", follow_redirects=False)


def test_a_lot_is_opened_graded_judged_and_closed_by_touch(stand: Stand, console: TestClient) -> None:
    assert console.post("/batches", json={"scanned": LOT}).json()["batch"]["lot"] == LOT
    stand.give(5)
    state = console.get("/state").json()
    assert state["batch"]["fruit"] == 10
    assert console.post("/batches/close", json={"weighed_g": None}).json()["code"] == "line_undecided"
    while queue := console.get("/state").json()["queue"]:
        for waiting in queue:
            body = {"tier": waiting["nominal_tier"], "reason": "looked", "second_code": None}
            answer = console.post(f"/fruit/{waiting['number']}/judge", json=body)
            assert answer.status_code == 200, answer.text
    assert console.post("/batches/close", json={"weighed_g": None}).json()["batch"] is None


def test_a_panel_left_behind_neither_judges_nor_ends_what_it_does_not_show(stand: Stand, console: TestClient) -> None:
    console.post("/batches", json={"scanned": LOT})
    stand.give(5)
    seen = console.get("/state").json()
    opened, doubtful = seen["batch"]["opened_at"], seen["queue"][0]
    where = f"/fruit/{doubtful['number']}/judge"
    panel = {"opened_at": opened, "was": "doubtful"}
    decided = {"tier": "cull", "reason": "rot"}
    assert console.post(where, json=decided, params=panel).status_code == 200
    assert console.post(where, json=decided, params=panel).status_code == 200, "an answer was lost: once more is once"
    other = console.post(where, json={"tier": doubtful["nominal_tier"]}, params=panel)
    assert (other.status_code, other.json()["code"]) == (409, "line_decided")
    assert stand.journal.fruit(doubtful["number"]).tier == "cull"
    ending = {"weighed_g": None, "leaves_doubtful": True}
    assert console.post("/batches/close", json=ending, params={"opened_at": opened}).json()["batch"] is None
    console.post("/batches", json={"scanned": OTHER})
    stand.give()
    late = console.post("/batches/close", json=ending, params={"opened_at": opened})
    assert (late.status_code, late.json()["code"]) == (409, "line_other_lot")
    assert console.post("/fruit/1/judge", json=decided, params=panel).json()["code"] == "line_other_lot"
    assert stand.journal.open_batch is not None


def test_a_refusal_is_a_problem_in_both_languages(console: TestClient) -> None:
    answer = console.post("/batches", json={"scanned": "CRATE-7"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    body = answer.json()
    assert body["code"] == UnknownCrateError.code
    assert "CRATE-7" in body["detail"]
    assert "请扫描批次码" in body["detail_zh"]
    assert body["title"]


def test_pictures_are_shown_one_by_one_and_as_a_stream_and_crops_by_their_hash(
    stand: Stand, console: TestClient
) -> None:
    assert console.get("/picture.jpg").status_code == 404
    console.post("/batches", json={"scanned": LOT})
    stand.give(3)
    assert console.get("/picture.jpg").content[:2] == b"\xff\xd8"
    crop = console.get("/state").json()["last"][0]["crop"]
    answer = console.get(crop)
    assert (answer.headers["content-type"], answer.content[:2]) == ("image/jpeg", b"\xff\xd8")
    assert console.get("/files/" + "0" * 64).status_code == 404
    assert console.get("/files/../line.db").status_code == 404


def test_emergency_and_its_end(stand: Stand, console: TestClient) -> None:
    told = console.post("/emergency", json={"reason": "hand"}).json()
    assert [alarm["kind"] for alarm in told["alarms"]] == ["emergency"]
    assert stand.gates.emergency_reason == "hand"
    assert console.post("/emergency/clear").json()["alarms"] == []


def test_the_page_says_what_stands_and_loads_nothing_from_elsewhere(stand: Stand, console: TestClient) -> None:
    console.post("/batches", json={"scanned": LOT})
    stand.give(1)
    for language in ("zh", "en"):
        page = console.get(f"/?lang={language}", headers={"accept": "text/html"})
        assert page.status_code == 200, page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


def test_another_sites_page_presses_no_button(console: TestClient) -> None:
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        answer = console.post("/emergency", json={"reason": "x"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_origin")


def test_a_name_that_only_points_here_is_not_answered(stand: Stand) -> None:
    """A page whose name is made to point at this machine would be on our own origin."""
    rebound = TestClient(create_app(stand.line), base_url="http://evil.example:8090")
    assert rebound.get("/state").status_code == 400
    assert rebound.post("/emergency", json={}).status_code == 400


def test_from_other_machines_the_stations_code_is_asked_for(stand: Stand) -> None:
    app = create_app(stand.line, door=Door(lambda code: code == "K7Q2"), hosts=("*",))
    tablet = TestClient(app, base_url="http://10.0.0.7:8090", follow_redirects=False)
    for path in ("/state", "/picture.jpg", "/stream", "/files/" + "0" * 64):
        assert tablet.get(path).status_code == 401
    assert tablet.post("/emergency", json={}).status_code == 401
    page = tablet.get("/", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"][:8]) == (303, "/sign-in")
    assert tablet.get("/sign-in", headers={"accept": "text/html"}).status_code == 200
    assert tablet.post("/sign-in", data={"code": "WRONG"}).status_code == 401
    answer = tablet.post("/sign-in", data={"code": "K7Q2"})
    assert answer.status_code == 303
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert tablet.get("/state").status_code == 200
    assert TestClient(app, cookies={COOKIE: "9999999999.x"}).get("/state").status_code == 401


def test_guesses_are_counted_and_a_cookie_ends() -> None:
    time = [0.0]
    door = Door(lambda code: code == "right", clock=lambda: time[0])
    cookie = door.sign_in("right")
    assert door.is_signed_in(cookie)
    assert not door.is_signed_in(cookie.replace(cookie[0], "9", 1))
    assert not Door(lambda _: False).is_signed_in(cookie)
    from api.errors import SignInRefusedError, TooManyAttemptsError

    for _ in range(10):
        with pytest.raises(SignInRefusedError):
            door.sign_in("wrong")
    with pytest.raises(TooManyAttemptsError):
        door.sign_in("right")
    time[0] = 601.0
    assert door.is_signed_in(door.sign_in("right"))
    time[0] += 13 * 3600
    assert not door.is_signed_in(cookie)


def test_a_panel_that_is_looked_at_all_day_stays_signed_in_and_one_that_is_not_does_not(stand: Stand) -> None:
    time = [0.0]
    door = Door(lambda code: code == "K7Q2", clock=lambda: time[0])
    app = create_app(stand.line, door=door, hosts=("*",))
    tablet = TestClient(app, base_url="http://10.0.0.7:8090", follow_redirects=False)
    tablet.post("/sign-in", data={"code": "K7Q2"})
    left_alone = dict(tablet.cookies)
    for _ in range(4):
        time[0] += 7 * 3600
        assert tablet.get("/state").status_code == 200
        assert "set-cookie" not in tablet.get("/state").headers, "only once half of its time has gone"
    assert TestClient(app, base_url="http://10.0.0.7:8090", cookies=left_alone).get("/state").status_code == 401
    assert door.renewed(left_alone[COOKIE]) is None
    assert door.renewed("9999999999.x") is None


def test_a_drawn_belt_says_so_in_the_picture(stand: Stand) -> None:
    from grading.camera import decode
    from grading.line.picture import annotated

    plain = decode(annotated(frames()[0], ())).pixels.astype(int)
    sample = decode(annotated(frames()[0], (), is_sample=True)).pixels.astype(int)
    assert abs(plain - sample)[-70:, :220].max() > 100
    assert abs(plain - sample)[:300].max() < 40
