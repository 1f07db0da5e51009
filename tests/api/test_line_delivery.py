"""What a line counted reaches the house once: whatever is lost on the way, refused, repeated or restored."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event
from sqlmodel import col, delete, select

from api import accounts, line_delivery
from api.bundles import bundled, unbundled
from api.line_delivery import FRUIT_AT_ONCE, OfflineError, RefusedError, lot_of
from api.line_errors import BatchOpenError, ServerError, StateFolderError
from api.line_journal import Journal, Lost
from api.line_tables import DELIVERED, WAITING, LineFile, LineFruit
from api.packhouse import portions_of
from api.routers.line import LOTS_KNOWN
from api.runtime import Runtime
from grading import arrivals
from grading.errors import EvidenceError
from grading.models import Batch, Fruit
from grading.regrading import roots
from grading.standard import CULL, Text
from ledger.canonical import canonical
from ledger.follow import drain
from ledger.kernel.actors import Role
from ledger.kernel.files import ni_uri
from ledger.kernel.ids import LotId
from ledger.models import Entry
from ledger.vocabulary import Sentence
from orders.models import Crate, GradedLot, Lot
from orders.states import LotState
from orders.stock import GradedStock
from tests.api.line_edge import Edge, Flaky, now
from tests.api.orchard import Orchard


class Place:
    """An orchard, its server, and the station's printed code."""

    def __init__(self, rt: Runtime, app: FastAPI) -> None:
        self.rt, self.orchard = rt, Orchard(rt)
        self.client = TestClient(app, headers=self.orchard.header("station-1"))
        self.transport = TestClient(app)._transport
        with rt.db.write() as session:
            self.code = accounts.new_code(session, accounts.person(session, "station-1"), now=rt.clock.now())

    def lot(self, mass_g: int = 3600, *, received: bool = True) -> str:
        lot = self.orchard.pick(self.orchard.order(A=1), mass_g).lot
        if received:
            self.receive(lot, mass_g)
        return lot

    def receive(self, lot: str, mass_g: int) -> None:
        answer = self.client.post("/api/v1/station/receipts", json={"lot": lot, "mass_g": mass_g})
        assert answer.status_code == 201, answer.text

    def fruit(self) -> list[Fruit]:
        with self.rt.db.read() as session:
            return list(session.exec(select(Fruit).order_by(Fruit.batch, Fruit.number)))

    def batch(self) -> Batch:
        with self.rt.db.read() as session:
            return session.exec(select(Batch)).one()

    def events(self, sentence: Sentence) -> int:
        with self.rt.db.read() as session:
            return len(session.exec(select(Entry).where(Entry.sentence == sentence.value)).all())

    def agrees(self) -> bool:
        with self.rt.db.read() as session:
            return [root.state for root in roots(session, self.rt.files, [self.batch().ref])] == ["agrees"]


@pytest.fixture
def place(rt: Runtime, app: FastAPI) -> Place:
    """A house with nothing graded."""
    return Place(rt, app)


@pytest.fixture
def edge(place: Place, tmp_path: Path) -> Iterator[Edge]:
    """A line's station at that house."""
    made = Edge(tmp_path / "line", place.code, place.transport)
    yield made
    made.journal.close()


def through(place: Place, edge: Edge, flaky: Flaky) -> None:
    edge.transport = flaky
    edge.restart()


# --- once ----------------------------------------------------------------------------------------


def test_a_run_is_delivered_whole_and_becomes_graded_lots(place: Place, edge: Edge) -> None:
    edge.begin(place.lot())
    edge.pass_by(FRUIT_AT_ONCE + 7)
    edge.deliver()
    assert edge.journal.waiting() == 0
    edge.pass_by(5)
    edge.end()
    assert edge.journal.waiting() > 0
    kept = edge.journal.undelivered()[0].profile_file, edge.journal.fruit_waiting(1, most=1)[0].files.split()[0]
    edge.deliver()
    assert [each.number for each in place.fruit()] == list(range(1, FRUIT_AT_ONCE + 13))
    assert place.batch().closed_at is not None
    assert place.events(Sentence.GRADED) == 1
    assert place.agrees()
    assert edge.delivery.standing().state == "up_to_date"
    profile, record = (edge.journal.file(bytes.fromhex(name)) for name in kept)
    assert (profile is None, record is None) == (False, True), "the house has them; the disk is needed for others"


def test_whatever_answer_or_question_is_lost_every_fruit_counts_once(rt: Runtime, app: FastAPI, tmp_path: Path) -> None:
    """The same small run, delivered over a network that loses each request once, before and after it is heard."""
    place = Place(rt, app)
    edge = Edge(tmp_path / "line", place.code, place.transport)
    asked: list[str] = []
    lost: set[tuple[str, str]] = set()

    def loses(number: int, request: httpx.Request) -> str | None:
        path = request.url.path.rsplit("/", 1)[-1] if request.method != "GET" else "look"
        for how in ("question", "answer"):
            if (path, how) not in lost:
                lost.add((path, how))
                return how
        del number
        return None

    flaky = Flaky(place.transport, loses)
    through(place, edge, flaky)
    edge.begin(place.lot())
    edge.pass_by(9)
    edge.end()
    edge.deliver()
    asked += flaky.paths
    assert {path for path, _ in lost} >= {"sessions", "look", "files", "batches", "fruit", "judgements", "close"}
    assert [each.number for each in place.fruit()] == list(range(1, 10))
    assert (place.events(Sentence.GRADED), place.events(Sentence.CALIBRATED)) == (1, 1)
    assert place.agrees()
    edge.journal.close()


def test_a_house_that_counts_what_it_hears_counts_twice(edge: Edge, place: Place) -> None:
    """The control: the same losses at a house that does not know a fruit again."""
    heard: list[int] = []
    lost: set[str] = set()

    def naive(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        body = json.loads(request.content) if path.endswith(("fruit", "sessions")) else {}
        if path.endswith("/fruit"):
            heard.extend(each["number"] for each in body["fruit"])
            return httpx.Response(201, json={"fruit": [{"number": n, "id": n} for n in heard]})
        if path.endswith("/files"):
            return httpx.Response(201, json={"kept": [sha256(d).hexdigest() for d in unbundled(request.content)]})
        told = {
            "role": "station",
            "token": "t",
            "lots": [],
            "rules": [],
            "is_sample": False,
            "ref": "GR",
            "variety": "",
        }
        return httpx.Response(201, json=told | {"received_g": 1})

    def loses(number: int, request: httpx.Request) -> str | None:
        del number
        if request.url.path in lost:
            return None
        lost.add(request.url.path)
        return "answer"

    through(place, edge, Flaky(httpx.MockTransport(naive), loses))
    edge.begin("https://id.gs1.org/01/99521001000218/10/X1")
    edge.pass_by(5)
    edge.end()
    edge.deliver()
    assert heard == [1, 2, 3, 4, 5] * 2


def test_what_the_line_leaves_undecided_waits_at_the_house_for_a_person(place: Place, edge: Edge) -> None:
    edge.begin(place.lot())
    edge.pass_by(6)
    assert edge.journal.doubtful()
    edge.journal.end(None, now=now())
    edge.deliver()
    standing = edge.delivery.standing()
    assert (standing.state, standing.waiting, standing.error) == ("waiting", 1, None)
    assert (place.batch().closed_at, place.batch().fruit_count) == (None, 6)
    for row in (each for each in place.fruit() if each.camera_tier == "doubtful"):
        decided = {"tier": row.nominal_tier, "reason": "looked"}
        assert place.client.post(f"/api/v1/station/fruits/{row.id}/judgement", json=decided).is_success
    edge.deliver()
    assert edge.delivery.standing().state == "up_to_date"
    assert place.batch().closed_at is not None


def test_fruit_whose_lane_command_was_lost_are_told_to_the_house(place: Place, edge: Edge) -> None:
    edge.begin(place.lot())
    edge.pass_by(6)
    batch = edge.journal.open_batch
    assert batch is not None
    text = Text("晚了", "too late")
    edge.journal.mark_lost([Lost(batch.run, 2, "too_late", text, 0), Lost(batch.run, 5, "unsure", text, None)])
    edge.end()
    edge.deliver()
    with place.rt.db.read() as session:
        assert arrivals.lost_of(session.exec(select(Batch)).one()) == {2: "too_late", 5: "unsure"}


def test_graded_belt_fruit_fill_packs_like_photographed_ones(place: Place, edge: Edge) -> None:
    edge.begin(place.lot())
    edge.pass_by(16)
    edge.end()
    edge.deliver()
    drain(place.rt.db, [GradedStock()], now=now())
    state = place.client.get("/api/v1/station/state").json()
    assert state["batch"]["closing"]["mass_from"] == "camera"
    tiers = {each["tier"]: each for each in state["batch"]["tiers"] if each["fruits"]}
    assert sum(each["mass_g"] for each in tiers.values()) == 3600
    sold = {tier: each for tier, each in tiers.items() if tier != CULL}
    assert {lot["tier"]: lot["mass_g"] for lot in state["graded_lots"]} == {t: e["mass_g"] for t, e in sold.items()}
    with place.rt.db.read() as session:
        filling = {lot.tier: len(portions_of(session, lot)) for lot in session.exec(select(GradedLot))}
    assert {tier: filling[tier] for tier in sold} == {tier: each["fruits"] for tier, each in sold.items()}
    report = place.client.get(f"/api/v1/station/batches/{place.batch().ref}/report").json()
    assert (report["fruits"], report["is_closed"]) == (16, True)


def test_killed_after_every_step_the_next_life_delivers_the_rest_once(place: Place, edge: Edge) -> None:
    edge.begin(place.lot())
    edge.pass_by(4)
    for _ in range(8):
        edge.ticks += 61
        edge.delivery.step()
        edge.restart()
        if edge.journal.tally.fruit == 4:
            edge.pass_by(3)
    edge.end()
    for _ in range(8):
        edge.ticks += 61
        edge.delivery.step()
        edge.restart()
    assert [each.number for each in place.fruit()] == list(range(1, 8))
    assert place.events(Sentence.GRADED) == 1
    assert edge.journal.waiting() == 0


def test_delivering_again_what_was_delivered_changes_nothing(place: Place, edge: Edge) -> None:
    batch = edge.begin(place.lot())
    edge.pass_by(8)
    edge.decide()
    edge.deliver()
    before = [each.model_dump() for each in place.fruit()]
    edge.journal.again_from(batch.id, 1)
    assert edge.journal.waiting() >= 8
    edge.deliver()
    assert [each.model_dump() for each in place.fruit()] == before


def test_a_house_restored_from_yesterdays_copy_gets_the_rest_again(place: Place, edge: Edge) -> None:
    edge.begin(place.lot())
    edge.pass_by(8)
    edge.deliver()
    with place.rt.db.write() as session:  # what the copy did not hold yet: three fruit, and every picture
        session.exec(delete(Fruit).where(col(Fruit.number) > 5))
        batch = session.exec(select(Batch)).one()
        batch.last_number = batch.fruit_count = 5
        session.add(batch)
    edge.pass_by(4)
    edge.deliver()
    edge.end()
    edge.deliver()
    assert [each.number for each in place.fruit()] == list(range(1, 13))
    assert place.agrees()


# --- without the house -----------------------------------------------------------------------------


def test_a_lot_begun_and_ended_out_of_reach_is_delivered_when_the_house_has_weighed_it(
    place: Place, edge: Edge
) -> None:
    lot = place.lot(received=False)
    through(place, edge, Flaky(place.transport, lambda *_: "question"))
    edge.begin(lot)
    edge.pass_by(6)
    edge.end()
    assert not edge.delivery.step()
    assert edge.delivery.standing().state == "offline"
    edge.transport = place.transport
    edge.restart()
    edge.deliver()
    standing = edge.delivery.standing()
    assert (standing.state, standing.error and standing.error[0]) == ("refused", "lot_unknown")
    assert place.fruit() == []
    place.receive(lot, 3600)
    edge.deliver()
    assert (edge.delivery.standing().state, len(place.fruit())) == ("up_to_date", 6)


def test_what_the_house_told_is_known_after_a_restart_without_it(place: Place, edge: Edge) -> None:
    lot = place.lot()
    edge.deliver()
    edge.transport = Flaky(place.transport, lambda *_: "question")
    edge.restart()
    with place.rt.db.read() as session:
        crate = session.exec(select(Crate.crate_id).where(Crate.lot_id == lot)).first()
    known = lot_of(edge.delivery.known, str(crate))
    assert known is not None
    assert (known["lot"], known["received_g"]) == (lot, 3600)
    assert lot_of(edge.delivery.known, "CRATE-0815") is None


def test_what_a_line_asks_four_times_a_minute_does_not_grow_with_every_lot_there_ever_was(place: Place) -> None:
    asked: list[str] = []
    event.listen(place.rt.db.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))

    def known() -> tuple[int, list[str]]:
        asked.clear()
        lots = place.client.get("/api/v1/station/line").json()["lots"]
        return len(asked), [each["lot"] for each in lots]

    first = place.lot()
    before, lots = known()
    assert lots == [first]
    second = place.lot()
    assert known() == (before, [first, second]), "as many questions for two lots as for one"
    with place.rt.db.write() as session:
        row = session.get_one(Lot, first)
        row.state, row.pick_ended_at = LotState.CONSUMED, row.pick_ended_at - LOTS_KNOWN - timedelta(days=1)
    assert known()[1] == [second]


def test_an_ended_session_is_opened_again_with_the_code(place: Place, edge: Edge) -> None:
    edge.deliver()
    with place.rt.db.write() as session:
        accounts.close_session(session, str(edge.journal.note("token")))
    edge.begin(place.lot())
    edge.pass_by(2)
    edge.deliver()
    assert len(place.fruit()) == 2


@pytest.mark.parametrize("code", ["AAAA-AAAA-AAAA", "host"])
def test_a_wrong_code_or_role_is_told_and_nothing_is_lost(place: Place, tmp_path: Path, code: str) -> None:
    if code == "host":
        with place.rt.db.write() as session:
            code = accounts.new_code(session, accounts.person(session, "host-1"), now=now())
    edge = Edge(tmp_path / "other", code, place.transport)
    edge.begin(place.lot())
    edge.pass_by(2)
    assert not edge.delivery.step()
    standing = edge.delivery.standing()
    assert standing.state == "refused"
    assert standing.error is not None
    assert standing.error[0] in {"sign_in_refused", "role_not_allowed"}
    assert (standing.waiting, place.fruit()) == (2, [])
    with pytest.raises(ServerError):
        edge.delivery.settle()
    edge.journal.close()


# --- refusals --------------------------------------------------------------------------------------


def test_a_second_line_on_the_same_lot_is_refused_by_name_and_keeps_its_fruit(
    place: Place, edge: Edge, tmp_path: Path
) -> None:
    lot = place.lot()
    edge.begin(lot)
    edge.pass_by(3)
    edge.deliver()
    other = Edge(tmp_path / "other", place.code, place.transport)
    other.begin(lot)
    other.pass_by(4)
    other.deliver()
    standing = other.delivery.standing()
    assert standing.error is not None
    assert (standing.state, standing.error[0], standing.waiting) == ("refused", "batch_of_other_run", 4)
    assert len(place.fruit()) == 3
    other.journal.close()


def test_one_refused_fruit_is_told_as_a_gap_and_the_others_count(place: Place, edge: Edge) -> None:
    batch = edge.begin(place.lot())
    edge.pass_by(5)
    with edge.journal.db.write() as session:  # a disk that altered one record
        third = session.exec(select(LineFruit).where(LineFruit.number == 3)).one()
        record, *crops = third.files.split()
        told = json.loads(session.get_one(LineFile, record).data)
        data = canonical(told | {"verdict": told["verdict"] | {"priceFen": 99_999}})
        session.add(LineFile(sha256=sha256(data).hexdigest(), batch_id=batch.id, data=data))
        third.files = " ".join([sha256(data).hexdigest(), *crops])
        session.add(third)
    edge.end()
    edge.deliver()
    assert [each.number for each in place.fruit()] == [1, 2, 4, 5]
    assert list(edge.journal.gaps(batch.id)) == [3]
    assert "not what its measures come to" in edge.journal.gaps(batch.id)[3]
    assert json.loads(place.batch().gaps) == [3]
    line = place.client.get("/api/v1/station/state").json()["batch"]["line"]
    assert (line["arrived"], line["reached"], line["expected"], line["gaps"], line["is_open"]) == (4, 5, 5, 1, False)
    (refused,) = line["refused"]
    assert (refused["number"], refused["code"]) == (3, "record")
    assert "not what its measures come to" in refused["reason"]
    assert place.agrees()


def test_many_refused_fruit_are_no_gaps_but_wait_for_a_person(
    place: Place, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an upgrade of one side alone: a batch must not melt away fruit by fruit."""
    batch = edge.begin(place.lot())
    edge.pass_by(8)
    with monkeypatch.context() as patched:
        patched.setattr(arrivals, "decided", lambda _: {})
        edge.deliver()
        standing = edge.delivery.standing()
        assert standing.error is not None
        assert (standing.error[0], standing.waiting) == ("fruit_refused", 8)
        assert edge.journal.gaps(batch.id) == {}
        line = place.client.get("/api/v1/station/state").json()["batch"]["line"]
        assert (line["arrived"], line["refusals"], len(line["refused"])) == (0, 8, 5), "the latest five are shown"
    edge.deliver()
    assert len(place.fruit()) == 8
    assert arrivals.refusals_of(place.batch()) == {}, "what counts later is refused no more"


def test_the_panel_is_told_how_far_a_line_has_filled_its_batch_and_when_it_falls_silent(
    place: Place, edge: Edge
) -> None:
    lot = place.lot()
    edge.begin(lot)
    edge.pass_by(6)
    edge.deliver()
    view = place.client.get("/api/v1/station/state").json()
    line = view["batch"]["line"]
    assert (line["arrived"], line["reached"], line["expected"], line["line"]) == (6, 6, None, "LINE-1")
    assert abs(datetime.fromisoformat(line["arrived_at"]) - now()) < timedelta(minutes=5)
    assert [each["number"] for each in view["batch"]["latest"]] == [6, 5, 4, 3, 2, 1]
    assert place.client.get(view["batch"]["latest"][0]["crop"]).content.startswith(b"\xff\xd8")
    assert [each["line"]["ref"] for each in view["lots"] if each["line"]] == [view["batch"]["ref"]]
    assert view["alarms"] == []
    assert {"zh": "与另一个果贴在一起，没有分开过", "en": "touched another fruit all the way"} in [  # noqa: RUF001  # Chinese
        text for each in view["batch"]["queue"] for text in each["doubts"]
    ]
    with place.rt.db.write() as session:
        batch = session.exec(select(Batch)).one()
        batch.arrived_at = now() - timedelta(minutes=21)
        session.add(batch)
    (alarm,) = place.client.get("/api/v1/station/state").json()["alarms"]
    assert (alarm["kind"], alarm["is_grave"], alarm["minutes"]) == ("line_silent", False, 21)
    edge.end()
    edge.deliver()
    view = place.client.get("/api/v1/station/state").json()
    assert (view["batch"]["line"]["expected"], view["alarms"]) == (6, [])


def test_fruit_from_a_clock_that_is_ahead_wait_and_are_no_gaps(place: Place, edge: Edge) -> None:
    edge.begin(place.lot())
    edge.pass_by(2)
    with edge.journal.db.write() as session:
        for row in session.exec(select(LineFruit)):
            row.at = now() + timedelta(minutes=9)
            session.add(row)
    edge.deliver()
    standing = edge.delivery.standing()
    assert standing.error is not None
    assert (standing.error[0], standing.waiting, place.fruit()) == ("clock_ahead", 2, [])


def test_evidence_that_the_house_lost_is_brought_again(place: Place, edge: Edge) -> None:
    edge.begin(place.lot())
    edge.pass_by(3)
    names = [name for row in edge.journal.last() for name in row.files.split()]
    edge.journal.mark_files(names, 1)  # the line believes that they are there
    edge.deliver()
    assert len(place.fruit()) == 3
    assert all(place.rt.files.has(ni_uri(bytes.fromhex(name))) for name in names)


def test_drawn_fruit_reach_a_demonstration_only(place: Place, edge: Edge) -> None:
    edge.delivery._is_rehearsal = True
    edge.begin(place.lot())
    edge.pass_by(1)
    edge.deliver()
    standing = edge.delivery.standing()
    assert standing.error is not None
    assert (standing.error[0], place.fruit()) == ("rehearsal", [])


def test_a_better_tier_is_agreed_by_a_second_person_in_the_houses_sight(place: Place, edge: Edge) -> None:
    with place.rt.db.write() as session:
        other = accounts.create_person(
            session, place.rt.numbering, ref="station-2", role=Role.STATION, site=None, now=now()
        )
        second = accounts.new_code(session, other, now=now())
    edge.begin(place.lot())
    edge.pass_by(10)
    worse = next(row for row in edge.journal.last(10) if row.nominal_tier != "A")
    with pytest.raises(RefusedError, match="not valid"):
        edge.delivery.judge_with_second(worse, "A", "looked", "AAAA-AAAA-AAAA")
    with pytest.raises(RefusedError, match="second person"):
        edge.delivery.judge_with_second(worse, "A", "looked", place.code)
    edge.delivery.judge_with_second(worse, "A", "looked", second)
    row = next(each for each in place.fruit() if each.number == worse.number)
    assert (row.judged_tier, row.second_person) == ("A", other.party)
    edge.transport = Flaky(place.transport, lambda *_: "question")
    edge.restart()
    with pytest.raises(OfflineError):
        edge.delivery.judge_with_second(worse, "A", "looked", second)


# --- the journal -----------------------------------------------------------------------------------


def test_one_folder_is_one_process(edge: Edge) -> None:
    with pytest.raises(StateFolderError):
        Journal(edge.folder)
    looking = Journal(edge.folder, is_alone=False)
    assert looking.summary() == []
    looking.close()


def test_counters_are_the_same_after_a_restart(edge: Edge) -> None:
    edge.begin("https://id.gs1.org/01/99521001000218/10/X1")
    edge.pass_by(9)
    edge.decide()
    before = edge.journal.tally
    edge.restart()
    assert edge.journal.tally.fruit == before.fruit == 9
    assert edge.journal.tally.mass_g == before.mass_g
    assert {t: v for t, v in edge.journal.tally.by_tier.items() if v[0]} == {
        t: v for t, v in before.by_tier.items() if v[0]
    }
    with pytest.raises(BatchOpenError):
        edge.begin("https://id.gs1.org/01/99521001000218/10/X2")


@pytest.mark.parametrize("later_s", [2, 0, -2], ids=["later", "at once", "by a clock set back"])
def test_a_decision_changed_while_it_is_delivered_is_delivered_again(place: Place, edge: Edge, later_s: int) -> None:
    edge.begin(place.lot())
    edge.pass_by(3)
    at = now() - timedelta(seconds=9)
    edge.journal.judge(1, "cull", "rot", 0, now=at, delivered=False)
    (first,) = [row for row in edge.journal.last() if row.judged_at is not None]
    edge.journal.judge(1, "cull", "bruise", 0, now=at + timedelta(seconds=later_s), delivered=False)
    edge.journal.mark_judgements([first], DELIVERED)
    assert edge.journal.fruit(1).judgement_state == WAITING
    edge.deliver()
    assert place.fruit()[0].judged_reason == "bruise"


def test_whatever_fails_in_a_delivery_is_told_and_tried_again(
    place: Place, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge.begin(place.lot())
    edge.pass_by(3)
    room = iter([OSError(5, "the disk does not answer")])
    real = edge.journal.free_bytes

    def free_bytes() -> int:
        if (error := next(room, None)) is not None:
            raise error
        return real()

    monkeypatch.setattr(edge.journal, "free_bytes", free_bytes)
    while edge.delivery.step():
        pass
    error = edge.delivery.standing().error
    assert error is not None
    assert error[0] == "unexpected"
    assert "does not answer" in error[1]
    edge.deliver()
    assert (len(place.fruit()), edge.delivery.standing().error) == (3, None)


def test_a_bundle_holds_what_was_put_in_and_ends_where_it_ends() -> None:
    files = [b"one", b"", b"\x00" * 300]
    assert unbundled(bundled(files)) == files
    for cut in (1, 5, 12):
        with pytest.raises(EvidenceError):
            unbundled(bundled(files)[:-cut] if cut != 5 else bundled(files) + b"\x00")


def test_parts_stay_below_what_one_body_holds() -> None:
    files = [(str(n), bytes(line_delivery.BUNDLE_BYTES // 3)) for n in range(7)]
    parts = list(line_delivery._parts(files))
    assert [name for part in parts for name in part] == [name for name, _ in files]
    assert all(len(bundled(part.values())) <= line_delivery.BUNDLE_BYTES + 64 for part in parts)


def test_a_short_disk_lets_go_of_what_the_house_has_but_not_of_what_people_look_at(
    place: Place, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_delivery, "DISK_SHORT_BYTES", 1 << 60)
    monkeypatch.setattr(line_delivery, "KEPT_LAST", 2)
    edge.begin(place.lot())
    edge.pass_by(10, unlike=True)
    edge.deliver()
    kept = {
        row.number
        for row in edge.journal.last(10)
        if edge.journal.file(bytes.fromhex(row.files.split()[0])) is not None
    }
    assert kept == {9, 10} | {row.number for row in edge.journal.queue()}
    edge.end()
    edge.deliver()
    assert (len(place.fruit()), place.agrees()) == (10, True)


def test_a_batch_whose_line_is_lost_is_ended_by_a_manager_with_what_arrived(
    rt: Runtime, place: Place, edge: Edge
) -> None:
    edge.begin(place.lot())
    edge.pass_by(4)
    edge.decide()
    edge.deliver()
    ref = place.batch().ref
    why = {"reason": "computer-lost"}
    assert place.client.post(f"/api/v1/station/batches/{ref}/give-up", json=why).status_code == 403
    assert place.client.post(f"/api/v1/station/batches/{ref}/close", json={}).json()["code"] == "batch_running"
    with rt.db.write() as session:
        boss = accounts.create_person(session, rt.numbering, ref="boss", role=Role.MANAGER, site=None, now=now())
        token = accounts.open_session(session, boss, now=now()).token
    boss_header = {"authorization": f"Bearer {token}"}
    for _ in range(2):
        answer = place.client.post(f"/api/v1/station/batches/{ref}/give-up", headers=boss_header, json=why)
        assert (answer.status_code, answer.json()["last"]) == (200, 4)
    shown = place.client.get("/api/v1/station/state").json()["batch"]["line"]
    assert (shown["given_up_reason"], shown["expected"], shown["arrived"]) == ("computer-lost", 4, 4)
    assert place.batch().given_up_by == boss.party
    assert place.client.post(f"/api/v1/station/batches/{ref}/close", json={}).status_code == 200
    edge.pass_by(2)  # found again
    edge.deliver()
    standing = edge.delivery.standing()
    assert standing.error is not None
    assert (standing.error[0], standing.waiting) == ("fruit_late", 2)
    assert place.agrees()


def test_a_lot_named_by_nobody_is_none() -> None:
    assert lot_of(None, str(LotId("x"))) is None
