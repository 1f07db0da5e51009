import json
from datetime import timedelta
from hashlib import sha256
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlmodel import func, select

from api.farm import Standing, cards, clashes, crate_code, farm_view
from api.runtime import Runtime
from ledger.kernel.clock import format_time
from ledger.models import Entry
from tests.api.orchard import ZONE, Orchard

HTML = {"Accept": "text/html"}
JPEG = b"\xff\xd8\xff\xe0 a sample photograph"


@pytest.fixture
def orchard(rt: Runtime) -> Orchard:
    return Orchard(rt)


@pytest.fixture
def farmer(app: FastAPI, orchard: Orchard) -> TestClient:
    return TestClient(app, follow_redirects=False, headers=orchard.header("farmer-1"))


def entries(rt: Runtime) -> int:
    with rt.db.read() as session:
        return session.exec(select(func.count()).select_from(Entry)).one()


# --- who may come in --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/farmer/orders"),
        ("POST", "/api/v1/farmer/orders/seen"),
        ("POST", "/api/v1/farmer/picks"),
        ("POST", "/api/v1/farmer/picks/photographs"),
        ("GET", "/api/v1/farmer/stream"),
    ],
)
def test_only_a_farmer_comes_in(app: FastAPI, orchard: Orchard, client: TestClient, method: str, path: str):
    assert client.request(method, path).status_code == 401
    host = TestClient(app, headers=orchard.header("host-1"))
    refused = host.request(method, path)
    assert (refused.status_code, refused.json()["code"]) == (403, "role_not_allowed")


def test_a_browser_that_is_not_signed_in_is_sent_to_sign_in_and_back(client: TestClient):
    answer = client.get("/farmer", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Ffarmer")


# --- orders -----------------------------------------------------------------------------------------


def test_an_order_names_its_plot_its_tier_and_its_kilograms(farmer: TestClient, orchard: Orchard):
    raised = orchard.order(A=4)
    answer = farmer.get("/api/v1/farmer/orders").json()
    (order,) = answer["orders"]
    assert answer["cool_within_minutes"] == 120
    assert (order["pick_order"], order["number"], order["tier"]) == (raised.id, raised.ref, "A")
    assert order["plot"] == {"id": raised.plot_id, "ref": "P01", "name": "Sample plot 1"}
    assert order["ordered_g"] == raised.ordered_g >= 4 * 2500
    assert order["enough_g"] < order["ordered_g"]
    assert (order["state"], order["seen_at"], order["crates"]) == ("raised", None, [])
    assert order["pick_by"] == format_time(raised.pick_by)


def test_nobody_sees_the_orders_of_another_holder(app: FastAPI, orchard: Orchard):
    orchard.order(A=4)
    other = TestClient(app, headers=orchard.header("farmer-2"))
    assert other.get("/api/v1/farmer/orders").json()["orders"] == []


def test_seen_is_noted_once_and_by_the_holder_alone(app: FastAPI, farmer: TestClient, orchard: Orchard):
    order = orchard.order(A=4)
    other = TestClient(app, headers=orchard.header("farmer-2"))
    refused = other.post("/api/v1/farmer/orders/seen", json={"pick_orders": [order.id]})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_your_plot")
    assert farmer.post("/api/v1/farmer/orders/seen", json={"pick_orders": [order.id]}).json() == {
        "pick_orders": [order.id]
    }
    first = farmer.get("/api/v1/farmer/orders").json()["orders"][0]["seen_at"]
    assert first is not None
    farmer.post("/api/v1/farmer/orders/seen", json={"pick_orders": [order.ref]})
    assert farmer.get("/api/v1/farmer/orders").json()["orders"][0]["seen_at"] == first


def test_an_order_that_is_over_stays_for_the_day_and_then_goes(orchard: Orchard, rt: Runtime):
    order = orchard.order(A=4)
    lot = orchard.pick(order, order.ordered_g).lot
    orchard.receive(lot, order.ordered_g)
    party = orchard.actors["farmer-1"].party
    with rt.db.read() as session:
        today = farm_view(session, party, now=orchard.now, zone=ZONE)
        tomorrow = farm_view(session, party, now=orchard.now + timedelta(days=1), zone=ZONE)
    assert [o.state for o in today.orders] == ["closed"]
    assert tomorrow.orders == []


# --- confirming -------------------------------------------------------------------------------------


def test_a_pick_is_recorded_and_its_answer_repeats_the_command_id(farmer: TestClient, orchard: Orchard):
    given = orchard.confirmation(orchard.order(A=4), 9_000)
    answer = farmer.post("/api/v1/farmer/picks", json=given)
    assert answer.status_code == 201
    receipt = answer.json()
    assert (receipt["command_id"], receipt["mass_g"], receipt["is_duplicate"]) == (given["command_id"], 9_000, False)
    (order,) = farmer.get("/api/v1/farmer/orders").json()["orders"]
    (crate,) = order["crates"]
    assert (order["state"], order["picked_g"]) == ("picking", 9_000)
    assert (crate["code"], crate["mass_g"], crate["command_id"]) == (
        given["crates"][0]["crate"],
        9_000,
        given["command_id"],
    )
    assert crate["cooling_started_at"] is None


def test_the_same_command_again_answers_the_first_outcome_and_records_nothing(
    farmer: TestClient, orchard: Orchard, rt: Runtime
):
    given = orchard.confirmation(orchard.order(A=4), 9_000)
    first = farmer.post("/api/v1/farmer/picks", json=given)
    recorded = entries(rt)
    again = farmer.post("/api/v1/farmer/picks", json=given)
    assert (again.status_code, again.json()) == (200, {**first.json(), "is_duplicate": True})
    assert entries(rt) == recorded


def test_another_content_under_a_known_command_is_refused(farmer: TestClient, orchard: Orchard):
    order = orchard.order(A=4)
    given = orchard.confirmation(order, 9_000)
    farmer.post("/api/v1/farmer/picks", json=given)
    other = orchard.confirmation(order, 8_000, command_id=given["command_id"])
    refused = farmer.post("/api/v1/farmer/picks", json=other)
    assert refused.status_code == 422
    assert "command_id" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"command_id": "seven"}, "$.command_id"),
        ({"crates": []}, "$.crates"),
        ({"crates": [{"crate": "C-0001", "mass_g": 0}]}, "$.crates[0].mass_g"),
        ({"crates": [{"crate": "C-0001", "mass_g": 9.5}]}, "$.crates[0].mass_g"),
        ({"crates": [{"crate": "C-0001", "mass_g": 9_000, "colour": "red"}]}, "$.crates[0].colour"),
        ({"started_at": "yesterday"}, "$.started_at"),
        ({"started_at": "2026-04-18T03:05:00"}, "$.started_at"),
        ({"position": {"lat": 181, "lon": 0}}, "$.position.lat"),
        ({"photo_sha256": "abc"}, "$.photo_sha256"),
    ],
)
def test_a_confirmation_that_cannot_be_is_refused_by_the_name_of_what_is_wrong(
    farmer: TestClient, orchard: Orchard, rt: Runtime, change: dict[str, object], names: str
):
    given = orchard.confirmation(orchard.order(A=4), 9_000, **change)
    recorded = entries(rt)
    refused = farmer.post("/api/v1/farmer/picks", json=given)
    assert refused.status_code == 422
    assert names in refused.json()["detail"]
    assert entries(rt) == recorded


def test_a_crate_that_is_full_is_refused_with_a_word_the_phone_knows(farmer: TestClient, orchard: Orchard):
    order = orchard.order(A=4)
    given = orchard.confirmation(order, 4_000)
    farmer.post("/api/v1/farmer/picks", json=given)
    again = orchard.confirmation(order, 4_000, crates=given["crates"])
    refused = farmer.post("/api/v1/farmer/picks", json=again)
    assert (refused.status_code, refused.json()["code"]) == (409, "crate_in_use")


def test_nobody_picks_for_another_holder_or_for_no_order(app: FastAPI, farmer: TestClient, orchard: Orchard):
    order = orchard.order(A=4)
    other = TestClient(app, headers=orchard.header("farmer-2"))
    refused = other.post("/api/v1/farmer/picks", json=orchard.confirmation(order, 4_000))
    assert (refused.status_code, refused.json()["code"]) == (403, "not_your_plot")
    nowhere = {**orchard.confirmation(order, 4_000), "pick_order": order.id + "9"}
    assert farmer.post("/api/v1/farmer/picks", json=nowhere).status_code == 404


# --- photographs ------------------------------------------------------------------------------------


def send_photograph(client: TestClient, data: bytes, *, pick: object, **changes: str):
    query = {"pick": str(pick), "command_id": str(uuid4()), "sha256": sha256(data).hexdigest(), **changes}
    return client.post(
        "/api/v1/farmer/picks/photographs", params=query, content=data, headers={"content-type": "image/jpeg"}
    )


def test_a_photograph_is_kept_under_the_hash_its_pick_named(farmer: TestClient, orchard: Orchard, rt: Runtime):
    given = orchard.confirmation(orchard.order(A=4), 9_000, photo_sha256=sha256(JPEG).hexdigest())
    farmer.post("/api/v1/farmer/picks", json=given)
    kept = send_photograph(farmer, JPEG, pick=given["command_id"])
    assert kept.status_code == 201
    assert rt.files.get(kept.json()["file"]) == JPEG
    assert send_photograph(farmer, JPEG, pick=given["command_id"]).json()["file"] == kept.json()["file"]


def test_a_photograph_that_no_pick_named_is_not_kept(farmer: TestClient, orchard: Orchard, rt: Runtime):
    given = orchard.confirmation(orchard.order(A=4), 9_000, photo_sha256=sha256(JPEG).hexdigest())
    farmer.post("/api/v1/farmer/picks", json=given)
    other = JPEG + b"!"
    assert send_photograph(farmer, other, pick=given["command_id"]).status_code == 422
    assert send_photograph(farmer, other, pick=given["command_id"], sha256=sha256(JPEG).hexdigest()).status_code == 422
    assert send_photograph(farmer, JPEG, pick=uuid4()).status_code == 404
    text = send_photograph(farmer, b"GIF89a", pick=given["command_id"])
    assert (text.status_code, "JPEG" in text.json()["detail"]) == (422, True)
    assert not rt.settings.files_dir.exists() or not list(rt.settings.files_dir.rglob("*"))


# --- the first screen -------------------------------------------------------------------------------


def test_the_first_screen_says_what_to_pick_without_scripts(farmer: TestClient, orchard: Orchard):
    order = orchard.order(A=4)
    page = farmer.get("/farmer?lang=en", headers=HTML)
    assert page.headers["x-guoyuan-page"] == "farmer"
    kilograms = f"{(order.ordered_g + 50) // 100 / 10:g}"
    assert f"1 order left, {kilograms} kg" in page.text
    assert "Sample plot 1" in page.text
    assert f'data-key="{order.ref}" data-standing="raised"' in page.text
    assert "style=" not in page.text
    assert "还有 1 单" in farmer.get("/farmer?lang=zh", headers=HTML).text


def test_with_nothing_to_pick_the_first_screen_says_so(farmer: TestClient):
    assert "Nothing to pick now" in farmer.get("/farmer?lang=en", headers=HTML).text


def test_two_weights_that_disagree_stand_side_by_side(farmer: TestClient, orchard: Orchard):
    order = orchard.order(A=4)
    lot = orchard.pick(order, 9_000).lot
    orchard.receive(lot, 9_900)
    page = farmer.get("/farmer?lang=en", headers=HTML).text
    assert "has two weights" in page
    assert "9 kg" in page
    assert "9.9 kg" in page


def test_an_order_moves_from_raised_to_delivered_as_its_crates_do(orchard: Orchard, rt: Runtime):
    order = orchard.order(A=4)
    party = orchard.actors["farmer-1"].party

    def now() -> tuple[Standing, int | None]:
        with rt.db.read() as session:
            (card,) = cards(farm_view(session, party, now=orchard.now, zone=ZONE))
        return card.standing, card.minutes_left

    assert now() == (Standing.RAISED, None)
    orchard.pick(order, 4_000, minutes_ago=90)
    assert now() == (Standing.PICKING, 30)
    lot = orchard.pick(order, order.ordered_g, minutes_ago=5).lot
    assert now() == (Standing.BRING, 30)
    with rt.db.read() as session:
        first = farm_view(session, party, now=orchard.now, zone=ZONE).orders[0].crates[0].lot
    for each, mass_g in ((first, 4_000), (lot, order.ordered_g)):
        orchard.receive(each, mass_g)
        orchard.cool(each)
    assert now() == (Standing.DELIVERED, None)


def test_past_two_hours_the_minutes_are_below_zero_and_never_zero(orchard: Orchard, rt: Runtime):
    order = orchard.order(A=4)
    orchard.pick(order, 4_000, minutes_ago=130)
    with rt.db.read() as session:
        view = farm_view(session, orchard.actors["farmer-1"].party, now=orchard.now, zone=ZONE)
    (card,) = cards(view)
    assert card.minutes_left == -10
    assert clashes(view) == []


def test_a_crate_is_called_what_is_printed_on_it(rt: Runtime):
    assert crate_code(rt.numbering.crate(201, "C0417")) == "C-0417"
    assert crate_code(rt.numbering.crate(201, "88")) == "88"


# --- what makes it an app ---------------------------------------------------------------------------


def test_the_service_worker_lists_files_that_are_there_and_changes_with_them(client: TestClient):
    worker = client.get("/farmer/sw.js")
    assert (worker.headers["service-worker-allowed"], worker.headers["content-type"]) == (
        "/farmer",
        "text/javascript; charset=utf-8",
    )
    head = worker.text.splitlines()
    version, shell = (json.loads(line.partition(" = ")[2].rstrip(";")) for line in head[:2])
    assert len(version) == 12
    for path in shell:
        assert client.get(path).status_code == 200, path


def test_every_module_the_page_imports_is_kept_for_the_field(client: TestClient):
    shell = client.get("/farmer/sw.js").text.splitlines()[1]
    for path in json.loads(shell.partition(" = ")[2].rstrip(";")):
        if path.endswith(".js"):
            folder = path.rpartition("/")[0]
            for line in client.get(path).text.splitlines():
                if line.startswith(("import ", "export {")) and " from " in line:
                    wanted = line.rpartition(" from ")[2].strip('";')
                    assert wanted.replace("./", folder + "/") in shell, f"{path} imports {wanted}"


def test_the_manifest_speaks_both_languages_and_its_icons_are_there(client: TestClient):
    for lang, name in (("zh", "果源采果"), ("en", "Guoyuan picking")):
        manifest = client.get(f"/farmer/manifest.webmanifest?lang={lang}").json()
        assert (manifest["name"], manifest["start_url"], manifest["scope"]) == (name, "/farmer", "/farmer")
        for icon in manifest["icons"]:
            assert client.get(icon["src"]).status_code == 200


def test_a_phone_without_a_signal_and_without_orders_is_told_so(client: TestClient):
    assert "No signal" in client.get("/farmer/offline?lang=en").text
