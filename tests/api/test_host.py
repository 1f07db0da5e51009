from datetime import timedelta
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api import studio
from api.board import host_view
from api.runtime import Runtime
from grading.models import Batch, Calibration, Fruit, Photograph
from ledger.kernel.clock import format_time
from orders import picking
from orders.models import GradedLot
from orders.states import OrderState
from tests.api.orchard import Orchard

HTML = {"Accept": "text/html"}
JPEG = b"\xff\xd8\xff\xe0 a sample fruit"


@pytest.fixture
def orchard(rt: Runtime) -> Orchard:
    return Orchard(rt)


@pytest.fixture
def host(app: FastAPI, orchard: Orchard) -> TestClient:
    return TestClient(app, follow_redirects=False, headers=orchard.header("host-1"))


def new_broadcast(host: TestClient, orchard: Orchard, **changes: object) -> dict[str, str]:
    body = {"title": "Sample broadcast", "closes_at": format_time(orchard.now + timedelta(hours=1)), **changes}
    answer = host.post("/api/v1/host/broadcasts", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def listing(**changes: object) -> dict[str, object]:
    return {
        "tier": "A",
        "variety": "Guifei",
        "nominal_mass_g": 2500,
        "price_fen": 4990,
        "pieces": 40,
        "plots": ["P01"],
        **changes,
    }


def state(host: TestClient, ref: str = "") -> dict[str, object]:
    return host.get("/api/v1/host/state", params={"broadcast": ref}).json()


def grade(rt: Runtime, orchard: Orchard, *, tier: str = "A", mass_g: int = 60_000) -> str:
    """Put a graded lot and one photographed fruit of it on the books, as a grading run would."""
    crop = rt.files.put(JPEG)
    with rt.db.write() as session:
        session.add(
            GradedLot(
                id=f"https://id.gs1.org/01/99521002000418/10/G-{tier}",
                number=f"G-{tier}",
                tier=tier,
                variety="Guifei",
                region="CN-460200",
                fruits=9,
                mass_g=mass_g,
                plots=[],
                harvest_lots=[],
                graded_event_id="urn:uuid:0",
                graded_by="station",
                graded_at=orchard.now,
                line="line",
                standard="sample",
            )
        )
        calibration = Calibration(
            line="line",
            event_id="urn:uuid:1",
            certificate="sample",
            reference="marker",
            reference_um=50_000,
            measured_um=50_000,
            nm_per_pixel=100_000,
            frame="frame",
            made_at=orchard.now,
            valid_until=orchard.now,
        )
        session.add(calibration)
        session.flush()
        session.add(
            Batch(
                ref="B1",
                run="run",
                lot="lot",
                line="line",
                number=1,
                day="261122",
                received_g=mass_g,
                crop="mango",
                standard=b"",
                tariff=b"",
                calibration_id=calibration.id,
                opened_at=orchard.now,
            )
        )
        session.flush()
        shot = Photograph(batch="B1", frame="frame-1", width=640, height=480, nm_per_pixel=1, seen_at=orchard.now)
        session.add(shot)
        session.flush()
        for number, verdict in ((1, tier), (2, "cull")):
            session.add(
                Fruit(
                    batch="B1",
                    photograph_id=shot.id,
                    number=number,
                    outline="[]",
                    length_um=90_000,
                    width_um=71_400,
                    equivalent_diameter_um=80_000,
                    blemish_mm2=0,
                    blemish_permille=0,
                    volume_mm3=1,
                    mass_g=310,
                    score_permille=990,
                    camera_tier=verdict,
                    nominal_tier=verdict,
                    candidates=verdict,
                    quality="sample",
                    size="sample",
                    rule="sample",
                    reason_zh="",
                    reason_en="",
                    price_fen=0,
                    crop=crop,
                    record=f"record-{number}",
                )
            )
    return studio.crop_name(crop)


# --- who may come in --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/host/state"),
        ("GET", "/api/v1/host/stream"),
        ("POST", "/api/v1/host/broadcasts"),
        ("POST", "/api/v1/host/broadcasts/L1/listings"),
        ("POST", "/api/v1/host/broadcasts/L1/listings/A/price"),
        ("POST", "/api/v1/host/broadcasts/L1/listings/A/pieces"),
        ("POST", "/api/v1/host/broadcasts/L1/air"),
        ("POST", "/api/v1/host/broadcasts/L1/close"),
        ("GET", "/host/fruit/" + "0" * 64),
    ],
)
def test_only_a_host_comes_in(app: FastAPI, orchard: Orchard, client: TestClient, method: str, path: str):
    assert client.request(method, path).status_code == 401
    farmer = TestClient(app, headers=orchard.header("farmer-1"))
    assert farmer.request(method, path).status_code == 403


def test_a_host_does_not_see_or_touch_another_hosts_broadcast(
    app: FastAPI, host: TestClient, orchard: Orchard, signed_in
):
    ref = new_broadcast(host, orchard)["ref"]
    rival = signed_in(studio.Role.HOST, ref="host-2")
    assert state(rival)["broadcast"] is None
    assert rival.get("/api/v1/host/state", params={"broadcast": ref}).status_code == 404
    assert rival.post(f"/api/v1/host/broadcasts/{ref}/close").status_code == 404
    assert rival.get(f"/host?broadcast={ref}").status_code == 404
    manager = signed_in(studio.Role.MANAGER, ref="manager-1")
    assert state(manager, ref)["broadcast"]["ref"] == ref


# --- opening and listing ----------------------------------------------------------------------------


def test_a_broadcast_is_addressed_by_its_ref_or_by_the_value_of_its_gdti(host: TestClient, orchard: Orchard):
    opened = new_broadcast(host, orchard)
    assert opened["broadcast"].endswith(opened["ref"])
    assert opened["place"] == orchard.studio
    first = host.post(f"/api/v1/host/broadcasts/{opened['ref']}/listings", json=listing())
    assert (first.status_code, first.json()["pieces"], first.json()["broadcast"]) == (201, 40, opened["broadcast"])
    gdti = opened["broadcast"].rpartition("/")[2]
    second = host.post(f"/api/v1/host/broadcasts/{gdti}/listings", json=listing(tier="B", plots=["P01", "P03"]))
    assert second.status_code == 201
    assert [row["tier"] for row in state(host, gdti)["listings"]] == ["A", "B"]


@pytest.mark.parametrize(
    ("body", "status", "names"),
    [
        ({"title": "", "closes_at": "2099-01-01T00:00:00Z"}, 422, "title"),
        ({"title": "x", "closes_at": "2020-01-01T00:00:00Z"}, 422, "closes_at"),
        ({"title": "x", "closes_at": "2099-01-01T00:00:00"}, 422, "$.closes_at"),
        ({"title": "x", "closes_at": "2099-01-01T00:00:00Z", "room": 1}, 422, "$.room"),
        ({"title": "x", "closes_at": "2099-01-01T00:00:00Z", "place": "moon"}, 404, "moon"),
    ],
)
def test_a_broadcast_that_cannot_be_is_refused_by_the_name_of_what_is_wrong(
    host: TestClient, orchard: Orchard, body: dict[str, object], status: int, names: str
):
    refused = host.post("/api/v1/host/broadcasts", json=body)
    assert (refused.status_code, names in refused.json()["detail"]) == (status, True), refused.text
    assert state(host)["broadcast"] is None


@pytest.mark.parametrize(
    ("change", "status", "names"),
    [
        ({"tier": "D"}, 422, "tier"),
        ({"pieces": 0}, 422, "pieces"),
        ({"price_fen": -1}, 422, "price_fen"),
        ({"nominal_mass_g": "heavy"}, 422, "$.nominal_mass_g"),
        ({"plots": []}, 422, "plots"),
        ({"plots": ["P99"]}, 404, "P99"),
        ({"plots": ["P02"]}, 422, "Tainong"),
    ],
)
def test_a_listing_that_cannot_be_is_refused_by_the_name_of_what_is_wrong(
    host: TestClient, orchard: Orchard, change: dict[str, object], status: int, names: str
):
    ref = new_broadcast(host, orchard)["ref"]
    refused = host.post(f"/api/v1/host/broadcasts/{ref}/listings", json=listing(**change))
    assert (refused.status_code, names in refused.json()["detail"]) == (status, True), refused.text
    assert state(host, ref)["listings"] == []


def test_a_tier_is_listed_once_and_not_after_closing(host: TestClient, orchard: Orchard):
    ref = new_broadcast(host, orchard)["ref"]
    path = f"/api/v1/host/broadcasts/{ref}"
    assert host.post(f"{path}/listings", json=listing()).status_code == 201
    again = host.post(f"{path}/listings", json=listing())
    assert (again.status_code, again.json()["code"]) == (409, "listing_duplicate")
    closed = host.post(f"{path}/close").json()
    assert closed["closed_at"] is not None
    assert host.post(f"{path}/close").json() == closed
    late = host.post(f"{path}/listings", json=listing(tier="B"))
    assert (late.status_code, late.json()["code"]) == (409, "broadcast_closed")


# --- the board --------------------------------------------------------------------------------------


def test_every_gram_that_is_offered_is_somewhere(host: TestClient, orchard: Orchard, rt: Runtime):
    show = orchard.open()
    orchard.sell(show, A=10)
    grade(rt, orchard, mass_g=60_000)
    row = next(each for each in state(host, show.ref)["listings"] if each["tier"] == "A")
    assert (row["offered_g"], row["sold_g"], row["free_g"]) == (100_000, 25_000, 75_000)
    assert (row["ready_g"], row["to_pick_g"]) == (25_000, 0)
    assert (row["on_hand_g"], row["on_tree_g"]) == (35_000, 40_000)


def test_graded_fruit_covers_older_sales_first(host: TestClient, orchard: Orchard, rt: Runtime):
    older, newer = orchard.open(), orchard.open()
    orchard.sell(older, A=16)
    orchard.sell(newer, A=10)
    grade(rt, orchard, mass_g=50_000)
    rows = {show.ref: state(host, show.ref)["listings"][0] for show in (older, newer)}
    assert (rows[older.ref]["ready_g"], rows[older.ref]["to_pick_g"]) == (40_000, 0)
    assert (rows[newer.ref]["ready_g"], rows[newer.ref]["to_pick_g"]) == (10_000, 15_000)
    assert rows[newer.ref]["on_hand_g"] == 0


def test_speed_is_of_the_last_minutes_and_says_when_a_tier_runs_out(host: TestClient, orchard: Orchard):
    show = orchard.open()
    orchard.sell(show, A=20)
    answer = state(host, show.ref)
    row, quiet = answer["listings"][:2]
    assert (row["speed_g_per_minute"], row["minutes_left"], row["left_at_close_g"]) == (50_000, 1, 0)
    assert (quiet["speed_g_per_minute"], quiet["minutes_left"], quiet["left_at_close_g"]) == (0, None, 100_000)
    assert (len(row["spark_g"]), sum(row["spark_g"])) == (30, 50_000)
    assert answer["pace"]["sold_g"][-1] == answer["sold_g"] == 50_000
    assert answer["pace"]["at_close_g"] == 100_000


def test_a_paid_line_over_stock_is_an_exception_with_other_tiers_and_what_they_cost(host: TestClient, orchard: Orchard):
    show = orchard.open(pieces=5)
    orchard.sell(show, A=6)
    (found,) = state(host, show.ref)["exceptions"]
    assert (found["kind"], found["tier"], found["pieces"], found["mass_g"]) == ("sold_out", "A", 6, 15_000)
    assert found["paid_fen"] == 6 * 4990
    assert found["alternatives"] == [], "no other tier has six boxes"
    orchard.sell(show, B=1)
    orchard.sell(show, A=4)
    orchard.sell(show, A=2)
    small = state(host, show.ref)["exceptions"][1]
    assert [(each["tier"], each["difference_fen"]) for each in small["alternatives"]] == [
        ("B", 2 * 3990 - 2 * 4990),
        ("C", 2 * 2790 - 2 * 4990),
    ]


def test_a_line_for_a_tier_that_is_not_listed_is_an_exception(host: TestClient, orchard: Orchard):
    show = orchard.open()
    orchard.sell(show, Z=1)
    (found,) = state(host, show.ref)["exceptions"]
    assert (found["kind"], found["tier"], found["mass_g"]) == ("unknown_tier", "Z", 0)


def test_short_orders_and_held_lots_are_exceptions_until_they_are_settled(
    host: TestClient, orchard: Orchard, rt: Runtime
):
    show = orchard.open()
    orchard.sell(show, A=4)
    (order,) = orchard.raise_orders()
    lot = orchard.pick(order, 9_000).lot
    orchard.receive(lot, 9_900)
    with rt.db.write() as session:
        picking.finish(session, order.id, actor=orchard.actors["farmer-1"])
    found = {each["kind"]: each for each in state(host, show.ref)["exceptions"]}
    assert found["held_lot"]["plot"]["name"] == "Sample plot 1"
    assert found["short"]["mass_g"] == order.ordered_g - 9_000
    orchard.receive(lot, 9_050)
    assert [each["kind"] for each in state(host, show.ref)["exceptions"]] == ["short"]


def test_an_order_nobody_looked_at_is_late_and_stands_first(host: TestClient, orchard: Orchard, rt: Runtime):
    show = orchard.open()
    orchard.sell(show, A=4)
    (order,) = orchard.raise_orders()
    later = orchard.now + timedelta(minutes=4)
    with rt.db.read() as session:
        view = host_view(session, show, actor=orchard.actors["host-1"], settings=rt.settings, now=later)
    assert [(each.is_late, each.seen_at) for each in view.answers] == [(True, None)]
    with rt.db.write() as session:
        picking.seen(session, order.id, actor=orchard.actors["farmer-1"], now=later)
    (answer,) = state(host, show.ref)["answers"]
    assert (answer["is_late"], answer["state"], answer["ordered_g"]) == (False, OrderState.RAISED, order.ordered_g)


def test_price_and_pieces_change_and_what_was_sold_keeps_what_was_paid(host: TestClient, orchard: Orchard):
    show = orchard.open()
    orchard.sell(show, A=1)
    path = f"/api/v1/host/broadcasts/{show.ref}/listings/A"
    assert host.post(f"{path}/price", json={"price_fen": 4890}).json()["listings"][0]["price_fen"] == 4890
    assert host.post(f"{path}/pieces", json={"pieces": 10}).json()["listings"][0]["pieces"] == 50
    assert host.post(f"{path}/price", json={"price_fen": 0}).status_code == 422
    assert host.post(f"{path}/pieces", json={"pieces": -3}).status_code == 422
    unlisted = host.post(f"/api/v1/host/broadcasts/{show.ref}/listings/Z/price", json={"price_fen": 100})
    assert (unlisted.status_code, unlisted.json()["code"]) == (404, "not_found")


def test_without_a_broadcast_named_the_open_one_stands_before_newer_closed_ones(host: TestClient, orchard: Orchard):
    first = new_broadcast(host, orchard)["ref"]
    second = new_broadcast(host, orchard)["ref"]
    host.post(f"/api/v1/host/broadcasts/{second}/close")
    assert state(host)["broadcast"]["ref"] == first
    host.post(f"/api/v1/host/broadcasts/{first}/close")
    assert state(host)["broadcast"]["ref"] == second


# --- pages ------------------------------------------------------------------------------------------


def test_the_console_draws_the_board_without_scripts(host: TestClient, orchard: Orchard, rt: Runtime):
    show = orchard.open(title="Sample <show>")
    orchard.sell(show, A=10)
    orchard.sell(show, A=60)
    orchard.raise_orders()
    grade(rt, orchard)
    page = host.get("/host?lang=en", headers=HTML).text
    assert "Sample &lt;show&gt;" in page
    assert "150 kg over" in page
    assert "Tier A · Guifei" in page
    assert "1 pick order" in page
    assert "style=" not in page
    fragment = host.get("/host/board?lang=zh", headers=HTML).text
    assert "超订 150 kg" in fragment
    assert "<html" not in fragment


def test_with_no_broadcast_the_console_offers_to_open_one(host: TestClient):
    assert "Open a broadcast" in host.get("/host?lang=en", headers=HTML).text
    assert "开一场直播" in host.get("/host?lang=zh", headers=HTML).text


def test_a_broadcast_without_tiers_asks_for_one_and_a_closed_one_offers_another(host: TestClient, orchard: Orchard):
    ref = new_broadcast(host, orchard)["ref"]
    assert "Nothing is listed yet" in host.get("/host?lang=en", headers=HTML).text
    host.post(f"/api/v1/host/broadcasts/{ref}/close")
    page = host.get("/host?lang=en", headers=HTML).text
    assert "Open another" in page
    assert 'data-form="list"' not in page


def test_a_fruits_picture_goes_on_air_and_off_again(
    app: FastAPI, client: TestClient, host: TestClient, orchard: Orchard, rt: Runtime
):
    show = orchard.open()
    fruit = grade(rt, orchard)
    path = f"/api/v1/host/broadcasts/{show.ref}/air"
    (photo,) = state(host, show.ref)["photographs"]
    assert (photo["id"], photo["tier"], photo["width_um"], photo["is_on_air"]) == (fruit, "A", 71_400, False)
    assert host.get(f"/host/fruit/{fruit}").content == JPEG
    overlay = state(host, show.ref)["overlay"]
    assert client.get(f"{overlay}/fruit").status_code == 404
    answer = host.post(path, json={"kind": "photograph", "value": fruit}).json()
    assert answer["photographs"][0]["is_on_air"]
    assert client.get(f"{overlay}/fruit").content == JPEG
    host.post(path, json={"kind": "photograph", "value": ""})
    assert client.get(f"{overlay}/fruit").status_code == 404
    for bad in ("0" * 64, "not hex"):
        assert host.post(path, json={"kind": "photograph", "value": bad}).status_code == 404
        assert host.get(f"/host/fruit/{bad}").status_code == 404
    assert host.post(path, json={"kind": "tier", "value": "Z"}).status_code == 404
    assert host.post(path, json={"kind": "room", "value": "A"}).status_code == 422


# --- the overlay ------------------------------------------------------------------------------------


def test_the_overlay_shows_the_tier_on_air_and_no_orders_or_people(
    client: TestClient, host: TestClient, orchard: Orchard
):
    show = orchard.open()
    orchard.sell(show, A=60)
    overlay = state(host, show.ref)["overlay"]
    assert "Tier A" not in client.get(f"{overlay}?lang=en").text
    host.post(f"/api/v1/host/broadcasts/{show.ref}/air", json={"kind": "tier", "value": "A"})
    page = client.get(f"{overlay}?lang=en")
    assert page.status_code == 200
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "100 kg picked only to order" in page.text
    assert "49.90" in page.text
    assert "S-10" not in page.text, "no order number"
    assert "<html" not in client.get(f"{overlay}?part=1").text


@pytest.mark.parametrize("spoil", ["{ref}", "{ref}.", "{token}x", "L999999-0001.{mac}", "{uuid}"])
def test_an_overlay_token_that_is_not_ours_shows_nothing(
    client: TestClient, host: TestClient, orchard: Orchard, spoil: str
):
    show = orchard.open()
    token = str(state(host, show.ref)["overlay"]).removeprefix("/overlay/")
    wrong = spoil.format(ref=show.ref, token=token, mac=token.partition(".")[2], uuid=uuid4())
    for path in ("", "/fruit", "/stream"):
        assert client.get(f"/overlay/{wrong}{path}").status_code == 404


def test_an_overlay_token_opens_nothing_else(app: FastAPI, host: TestClient, orchard: Orchard):
    show = orchard.open()
    token = str(state(host, show.ref)["overlay"]).removeprefix("/overlay/")
    visitor = TestClient(app, headers={"Authorization": f"Bearer {token}"})
    assert visitor.get("/api/v1/host/state").status_code == 401
