"""What anyone sees who scans a label: the story, its evidence, and honest answers where there is none."""

# ruff: noqa: RUF001  # the page speaks Chinese, with its own punctuation

import html
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlmodel import SQLModel, select

from api import evidence, history
from api.app import create_app
from api.drawing import Reading, curve, plot_drawing
from api.facts import FORMATS, Fact, summed, written_as
from api.i18n import speech
from api.journey import Tale, steps
from api.routers.consumer import ranges
from api.runtime import Runtime
from api.scans import SAME_VISIT, Scan, ScanSalt, note_scan, scans_of
from api.sealing import Sealing
from api.story import Told
from contracts.models import Anchor, AnchorState
from ledger import trace
from ledger.disclosure import kept_fields
from ledger.events import document, parse_event
from ledger.kernel.clock import parse_time
from ledger.kernel.database import Database
from ledger.kernel.files import parse_ni
from ledger.kernel.settings import Environment, Settings
from ledger.log import integrate, record

from . import golden
from .conftest import TestClient
from .golden import PACK, PACK_PATH, RECALLED_LOT, WHEN, Golden

PAGE = {"accept": "text/html"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runtime, Golden]]:
    """The golden chain, furnished and published, on the day the box is opened. Nothing writes to its log."""
    home = tmp_path_factory.mktemp("golden")
    settings = Settings(home=home, environment=Environment.DEMO, public_url="http://testserver", mqtt_port=0)
    rt = Runtime.open(settings)
    settings.clock.move_to(WHEN)  # type: ignore[attr-defined]  # the demonstration's clock
    create_app(runtime=rt)  # imports every table
    SQLModel.metadata.create_all(rt.db.engine)
    furnished = golden.furnish(rt.files)
    golden.load(rt, furnished)
    yield rt, furnished
    rt.close()


@pytest.fixture
def rt(world: tuple[Runtime, Golden]) -> Runtime:
    return world[0]


@pytest.fixture
def app(rt: Runtime) -> FastAPI:
    return create_app(runtime=rt)


def text_of(page: str) -> str:
    """The words of a page, as a reader meets them."""
    body = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", body)).replace("\xa0", " "))


# --- the story ------------------------------------------------------------------------------------


def test_the_page_tells_the_whole_way_without_scripts(client: TestClient) -> None:
    answer = client.get(PACK_PATH, headers=PAGE)
    assert answer.status_code == 200
    words = text_of(answer.text)
    for said in (
        "4 月 18 日 06:42，示例合作社的一位社员在 P03 地块采下这盒贵妃芒果，采后 58 分就开始预冷。",
        "9.6 亩，210 棵贵妃树",
        "还挂在树上，就卖出了 5 盒",
        "手采 40.2 kg，装了 2 箱",
        "写错过一次：18.9 kg，更正为 19.8 kg",
        "与地里称的相差 −0.1 kg，允许相差 0.804 kg",
        "定为 A 级",
        "13 只一盒，净重 4.56 kg",
        "路上有 25 分高于 14 °C",
        "收货的一方点过：5 盒，一盒不少",
        "5 月 2 日 还有 12 天",
        "承诺达标合格证",
        "这个码可能被复制过",
        "这一页证明不了的",
        "示例数据",
    ):
        assert said in words, said


def test_both_languages_show_the_same_facts(client: TestClient) -> None:
    shown = [
        re.findall(r'data-fact="([^"]+)" data-as="([^"]+)"', client.get(f"{PACK_PATH}?lang={lang}", headers=PAGE).text)
        for lang in ("zh", "en")
    ]
    assert sorted(set(shown[0])) == sorted(set(shown[1]))
    assert "A member of" in client.get(f"{PACK_PATH}?lang=en", headers=PAGE).text


def test_every_number_shown_stands_where_it_says(client: TestClient, rt: Runtime) -> None:
    """The server's side of the check the browser does: pointer, format and text agree."""
    page = client.get(PACK_PATH, headers=PAGE).text
    with rt.db.read() as session:
        sources = {str(step.index): step.event for step in trace.history(session, PACK).steps}
        for kept in kept_fields(session, [step.event["eventID"] for step in trace.history(session, PACK).steps]):
            index = next(i for i, event in sources.items() if event["eventID"] == kept.event_id)
            sources[f"~{index}"] = {kept.name: kept.value}
    for line in client.get("/files/records", params={"of": PACK_PATH}).content.split(b"\n"):
        sources[sha256(line).hexdigest()] = json.loads(line)
    spoken = speech("zh", rt.settings.time_zone)
    found = re.findall(r'<span data-fact="([^" ]+)" data-as="([^"]+)">(.*?)</span>', page)
    assert len(found) > 80
    for refs, kind, text in found:
        source, _, pointer = refs.partition("/")
        if source == "step":
            continue
        value = sources[source]
        for part in pointer.split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            value = value[int(key)] if isinstance(value, list) else value[key]
        assert written_as(spoken, Fact(value), kind) == html.unescape(text)


def test_the_history_says_in_json_what_the_page_says(client: TestClient) -> None:
    answer = client.get("/api/v1/history", params={"id": PACK_PATH}).json()
    kinds = [step["kind"] for step in answer["steps"]]
    assert kinds == [
        "plot", "weather", "sold", "picked", "received", "cooled",
        "graded", "packed", "certified", "travelled", "delivered",
    ]  # fmt: skip
    assert answer["state"] == "published"
    packed = answer["steps"][7]
    assert packed["facts"]["mass"]["value"] == 4560
    assert all(
        entry["leaf_hash"] and entry["index"] is not None for step in answer["steps"] for entry in step["entries"]
    )


def test_another_fruit_stands_first_when_it_is_asked_for(client: TestClient, world: tuple[Runtime, Golden]) -> None:
    second = client.get(f"{PACK_PATH}?fruit=2", headers=PAGE).text
    crop = parse_ni(world[1].crops[1]).hex()
    assert f'data-photo="{crop}"' in second
    assert f'data-photo="{crop}"' not in client.get(PACK_PATH, headers=PAGE).text


def test_a_recalled_lot_says_so_before_anything_else(client: TestClient) -> None:
    page = text_of(client.get(RECALLED_LOT.removeprefix("https://id.gs1.org"), headers=PAGE).text)
    assert page.index("请不要吃") < page.index("它走过的路")
    assert "冷库温度超限" in page


def test_a_pack_from_another_lot_is_not_recalled(client: TestClient) -> None:
    assert "请不要吃" not in client.get(PACK_PATH, headers=PAGE).text


def test_a_withdrawn_code_is_no_pack(client: TestClient) -> None:
    page = text_of(client.get("/01/09521002001013/21/E4GM7S1QWX8V", headers=PAGE).text)
    assert "这个码作废了" in page


def test_a_label_with_its_lot_leads_to_the_same_pack(client: TestClient) -> None:
    page = client.get("/01/09521002001013/10/G260418-1A/21/7K3Q9X2MVD4T", headers=PAGE)
    assert f'data-subject="{PACK}"' in page.text


# --- where there is nothing -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/01/09521002001013/21/AAAAAAAAAAAA", "/01/09521002001013/21/%3Cb%3E", "/414/9521002000108/254/NOWHERE"]
)
def test_an_unknown_code_is_called_unknown(client: TestClient, path: str) -> None:
    answer = client.get(path, headers=PAGE)
    assert answer.status_code == 404
    assert "这个码不是我们发的" in answer.text
    assert "<b>" not in answer.text.partition('class="typed')[2][:60]


def test_a_wrong_check_digit_is_named(client: TestClient) -> None:
    answer = client.get("/01/09521002001014/21/7K3Q9X2MVD4T", headers=PAGE)
    assert answer.status_code == 404
    assert "校验位不对" in answer.text


def test_a_letter_misread_for_a_digit_leads_to_the_right_code(client: TestClient) -> None:
    answer = client.get("/01/09521002001013/21/M2TJ4Y7EQS9K", headers=PAGE)
    assert answer.status_code == 200
    slip = client.get("/01/09521002001013/21/B5WZ8NLRCG6H", headers=PAGE)  # L where the label has 1
    assert slip.status_code == 404
    assert 'href="/01/09521002001013/21/B5WZ8N1RCG6H"' in slip.text


def test_the_first_page_finds_a_pack_by_its_serial_or_link(client: TestClient) -> None:
    assert client.get("/", headers=PAGE).status_code == 200
    for typed in ("7k3q 9x2m-vd4t", PACK, f"https://any.example{PACK_PATH}?x=1"):
        answer = client.get("/", params={"code": typed}, headers=PAGE)
        assert (answer.status_code, answer.headers["location"]) == (303, PACK_PATH)
    assert client.get("/", params={"code": "NOSUCHSERIAL"}, headers=PAGE).status_code == 404


# --- GS1 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "accept"), [({"linkType": "linkset"}, "text/html"), ({}, "application/linkset+json")]
)
def test_a_linkset_is_given_to_whoever_asks_for_one(client: TestClient, params: dict[str, str], accept: str) -> None:
    answer = client.get(PACK_PATH, params=params, headers={"accept": accept})
    assert answer.headers["content-type"] == "application/linkset+json"
    (context,) = answer.json()["linkset"]
    assert context["anchor"] == f"http://testserver{PACK_PATH}"
    (default,) = context["https://ref.gs1.org/voc/defaultLink"]
    assert default["type"] == "text/html"


def test_the_page_points_to_its_linkset(client: TestClient) -> None:
    assert 'rel="linkset"' in client.get(PACK_PATH, headers=PAGE).headers["link"]


# --- evidence -------------------------------------------------------------------------------------


def test_evidence_is_given_byte_for_byte(client: TestClient, world: tuple[Runtime, Golden]) -> None:
    for name in (*world[1].crops[:2], *world[1].records[:2]):
        digest = parse_ni(name).hex()
        answer = client.get(f"/files/{digest}", params={"of": PACK_PATH})
        assert sha256(answer.content).hexdigest() == digest
        assert "sandbox" in answer.headers["content-security-policy"]


def test_only_what_this_pack_names_for_everyone_is_given(client: TestClient, world: tuple[Runtime, Golden]) -> None:
    rt, furnished = world
    secret = parse_ni(rt.files.put(b"a scale ticket")).hex()
    assert client.get(f"/files/{secret}", params={"of": PACK_PATH}).status_code == 404
    other = "/01/09521002001013/21/B5WZ8N1RCG6H"
    assert client.get(f"/files/{parse_ni(furnished.crops[0]).hex()}", params={"of": other}).status_code == 404


def test_evidence_of_peoples_work_is_not_public(rt: Runtime) -> None:
    told = tuple(
        Told(i, json.dumps(document(parse_event(e))).encode(), document(parse_event(e)))
        for i, e in enumerate(golden.documents())
    )
    named = history.public_names(history.tell(PACK, told, files=lambda _: None), lambda _: None)
    private = {"picked", "received", "override_made", "treated", "calibrated"}
    for each in told:
        if each.name in private:
            assert not named & set(each.texts("gy:evidence"))


def test_records_come_in_one_answer_each_with_its_own_hash(client: TestClient, world: tuple[Runtime, Golden]) -> None:
    lines = client.get("/files/records", params={"of": PACK_PATH}).content.split(b"\n")
    assert {sha256(line).hexdigest() for line in lines} == {parse_ni(name).hex() for name in world[1].records}


def test_small_pictures_come_in_one_image(client: TestClient) -> None:
    answer = client.get("/files/sheet", params={"of": PACK_PATH})
    assert answer.headers["content-type"] == "image/webp"
    assert len(answer.content) < 30_000


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"<svg onload=alert(1)>", "application/octet-stream"),
        (b"{}", "application/json"),
    ],
)
def test_evidence_is_never_of_a_type_that_runs(data: bytes, kind: str) -> None:
    assert evidence.media_type(data) == kind


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format":"guoyuan-readings/1","readings":[{}]}', b"\xff"])
def test_a_file_that_is_no_readings_draws_nothing(data: bytes) -> None:
    assert evidence.kept_series(data) is None


# --- drawing --------------------------------------------------------------------------------------


def readings(*values: float, minutes: int = 5) -> list[Reading]:
    return [Reading(WHEN + timedelta(minutes=minutes * i), value) for i, value in enumerate(values)]


def test_a_curve_breaks_where_readings_are_missing() -> None:
    series = [*readings(1, 2, 3), *(Reading(r.at + timedelta(hours=2), r.value) for r in readings(4, 5))]
    drawn = curve(series, step=timedelta(minutes=5))
    assert drawn
    assert drawn.line.count("M") == 2
    assert len(drawn.gaps) == 1


def test_an_excursion_is_drawn_again() -> None:
    drawn = curve(readings(11, 12, 15, 12), step=timedelta(minutes=5), wanted=(10, 14))
    assert drawn
    assert drawn.over.startswith("M")
    assert drawn.highest.value == 15
    kept = curve(readings(11, 12, 13), step=timedelta(minutes=5), wanted=(10, 14))
    assert kept
    assert kept.over == ""


def test_one_reading_is_no_curve() -> None:
    assert curve(readings(3), step=timedelta(minutes=5)) is None


def test_a_private_plot_is_drawn_by_its_area_alone() -> None:
    private = plot_drawing(6400, 210)
    public = plot_drawing(6400, 210, [(109.51, 18.31), (109.52, 18.31), (109.52, 18.32)])
    assert not private.is_outline_public
    assert public.is_outline_public
    assert private.outline != public.outline
    assert private.trees.count("h0") == 210


# --- facts ----------------------------------------------------------------------------------------


def test_a_fact_without_a_place_in_the_log_is_shown_but_never_claimed_checkable() -> None:
    told = Told(None, b"", {"a": 1})
    assert told.fact("a") == Fact(1)
    assert told.fact("b") is None
    assert summed([Fact(1, "3/a"), Fact(2, "")]) == Fact(3, "", "sum")


def test_a_value_of_the_wrong_kind_is_shown_as_it_stands() -> None:
    spoken = speech("zh", "UTC")
    assert all(written_as(spoken, Fact("nonsense"), kind) for kind in FORMATS)


def test_runs_of_numbers_are_written_short() -> None:
    assert ranges([3, 5, 6, 7, 9]) == "3,5-7,9"
    assert ranges([]) == ""


def test_states_only_advance() -> None:
    def state(last: int | None, published: int, anchored: int) -> str:
        return Sealing(last, published, anchored).state

    assert [state(None, 9, 9), state(5, 3, 0), state(5, 6, 5), state(5, 6, 6)] == [
        "recorded", "integrated", "published", "anchored",
    ]  # fmt: skip


def test_on_its_way_in_a_block_and_final_are_three_things() -> None:
    def said(final: int, included: int, sent: int) -> str:
        return Sealing(5, 9, final, included_size=included, sent_size=sent).on_chain

    assert [said(0, 0, 0), said(0, 0, 6), said(0, 6, 9), said(6, 6, 9), said(5, 5, 5)] == [
        "none", "sent", "included", "final", "none",
    ]  # fmt: skip
    assert Sealing(None, 9, 9).on_chain == "none"


# --- what contradicts itself ----------------------------------------------------------------------


def altered(sentence: str, change: dict[str, object]) -> tuple[Told, ...]:
    told = []
    for index, each in enumerate(golden.documents()):
        event = dict(each)
        if event["gy:sentence"] == sentence:
            event |= change
        told.append(Told(index, json.dumps(event).encode(), event))
    return tuple(told)


def test_two_weights_that_differ_too_much_are_shown_side_by_side() -> None:
    receipt = {"gy:scale": "x", "gy:differenceG": -2000, "gy:allowedG": 804}
    story = history.tell(PACK, altered("received/1", {"gy:receipt": receipt}), files=lambda _: None)
    (found,) = story.contradictions
    assert (found.kind, found.first and found.first.value, found.second and found.second.value) == (
        "weight",
        40200,
        40100,
    )


def test_missing_boxes_are_a_contradiction() -> None:
    story = history.tell(PACK, altered("delivered/1", {"disposition": "mismatch_quantity"}), files=lambda _: None)
    assert [each.kind for each in story.contradictions] == ["packs"]


def test_a_step_that_only_one_side_says_is_marked() -> None:
    tale = Tale(PACK, altered("received/1", {"gy:confirms": []}), lambda _: None, None)
    assert [step.is_one_sided for step in steps(tale) if step.kind == "picked"] == [True]
    own = altered("received/1", {"gy:recorder": "https://id.gs1.org/417/9521001482134"})
    assert [s.is_one_sided for s in steps(Tale(PACK, own, lambda _: None, None)) if s.kind == "picked"] == [True]


def test_an_event_that_says_nothing_we_know_breaks_no_page() -> None:
    """A foreign or half-empty event is in the log all the same; what it does not say is not shown."""
    for sentence in {e["gy:sentence"] for e in golden.documents()}:
        bare = []
        for index, each in enumerate(golden.documents()):
            event = dict(each)
            if event["gy:sentence"] == sentence:
                keep = ("type", "eventID", "eventTime", "gy:sentence", "action", "parentID", "epcList", "readPoint")
                event = {k: v for k, v in event.items() if k in keep}
            bare.append(Told(index, b"", event))
        assert history.tell(PACK, tuple(bare), files=lambda _: None).steps


# --- how far it has come --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "on_chain", "words"),
    [(AnchorState.BROADCAST, "sent", "还没进区块"), (AnchorState.INCLUDED, "included", "才算锁定")],
)
def test_a_seal_on_its_way_is_told_from_one_in_a_block(
    client: TestClient, rt: Runtime, state: AnchorState, on_chain: str, words: str
) -> None:
    anchor = Anchor(
        log_origin=rt.settings.log_origin, size=10_000, root=b"\1" * 32, previous_size=0, chain_id=1,
        contract="0x" + "11" * 20, sender="0x" + "22" * 20, state=state, signed_at=rt.clock.now(),
    )  # fmt: skip
    with rt.db.write() as session:
        session.add(anchor)
    page = client.get(PACK_PATH, headers=PAGE).text
    told = client.get("/api/v1/history", params={"id": PACK}).json()
    with rt.db.write() as session:
        session.delete(session.get_one(Anchor, anchor.id))
    assert words in page
    assert 'data-state="pending"' in page
    assert (told["state"], told["on_chain"]) == ("published", on_chain)


def test_what_is_not_anchored_yet_is_called_pending(client: TestClient) -> None:
    page = client.get(PACK_PATH, headers=PAGE).text
    assert 'id="proof-line" href="#check" data-state="pending"' in page
    assert "公链还没确认" in page
    assert page.count('<li class="done">') == 3


def test_the_page_follows_the_log(tmp_path: Path) -> None:
    """A page kept in memory is not shown once the log has grown."""
    settings = Settings(home=tmp_path / "home", public_url="http://testserver", mqtt_port=0)
    opened = Runtime.open(settings)
    visitor = TestClient(create_app(runtime=opened))
    SQLModel.metadata.create_all(opened.db.engine)
    events = [parse_event(e) for e in golden.documents()]
    with opened.db.write() as session:
        for event in (e for e in events if not e.error_declaration):
            if event.sentence == "recalled/1":
                recalled = event
                continue
            record(session, event, now=parse_time(event.event_time))
    path = RECALLED_LOT.removeprefix("https://id.gs1.org")
    before = visitor.get(path, headers=PAGE).text
    assert "已记录，等待编号" in before
    with opened.db.write() as session:
        integrate(session)
        record(session, recalled, now=parse_time(recalled.event_time))
    after = visitor.get(path, headers=PAGE).text
    assert "请不要吃" in after
    assert "请不要吃" not in before
    opened.close()


# --- scans ----------------------------------------------------------------------------------------


def test_a_visit_counts_once_in_half_an_hour(db: Database) -> None:
    with db.write() as session:
        assert scans_of(session, PACK, visitor="a", now=WHEN).count == 1
        assert note_scan(session, PACK, visitor="a", now=WHEN)
        assert not note_scan(session, PACK, visitor="a", now=WHEN + SAME_VISIT / 2)
        assert scans_of(session, PACK, visitor="a", now=WHEN + SAME_VISIT / 2).count == 1
        assert scans_of(session, PACK, visitor="b", now=WHEN + SAME_VISIT / 2).count == 2
        assert note_scan(session, PACK, visitor="a", now=WHEN + SAME_VISIT)
        assert scans_of(session, PACK, visitor="b", now=WHEN + SAME_VISIT).first_at == WHEN


def test_yesterdays_salt_is_gone_so_nobody_can_be_told_apart(db: Database) -> None:
    with db.write() as session:
        note_scan(session, PACK, visitor="192.0.2.7|browser", now=WHEN)
        note_scan(session, PACK, visitor="192.0.2.7|browser", now=WHEN + timedelta(days=1))
        assert [row.day for row in session.exec(select(ScanSalt))] == [f"{WHEN + timedelta(days=1):%Y-%m-%d}"]
        rows = session.exec(select(Scan)).all()
        assert rows[0].visitor != rows[1].visitor
        assert not any(b"192.0.2.7" in row.visitor for row in rows)
        assert {row.region for row in rows} == {"unknown"}


def test_looking_at_a_page_is_a_scan(client: TestClient, rt: Runtime) -> None:
    def count() -> int:
        with rt.db.read() as session:
            return len(session.exec(select(Scan).where(Scan.subject == PACK)).all())

    agent = {"user-agent": "a phone nobody used before"}
    before = count()
    client.get(PACK_PATH, headers=PAGE | agent)
    client.get(f"{PACK_PATH}?fruit=3", headers=PAGE | agent)
    client.head(PACK_PATH, headers=PAGE | agent)
    assert count() == before + 1
