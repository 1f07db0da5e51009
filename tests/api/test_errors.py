"""Every refusal has a status, and every answer is one of two shapes."""

import ast
import importlib
import pkgutil
from http import HTTPStatus

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

import api
import contracts
import farm_sensors
import grading
import ledger
import orders
from api.errors import STATUS, TooManyAttemptsError, status_of
from api.problems import _plain
from ledger.errors import ConflictingEventError
from ledger.kernel.errors import OriginError

HTML = {"Accept": "text/html,application/xhtml+xml"}


def every_refusal() -> list[type[OriginError]]:
    """Every subclass of OriginError in the product; the sample day's own actors answer nobody."""
    for package in (api, contracts, farm_sensors, grading, ledger, orders):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.startswith(("api.demo", "api.migrations", "grading.train")):
                importlib.import_module(module.name)
    found: list[type[OriginError]] = []
    waiting = [OriginError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    names = ("api.", "contracts.", "farm_sensors.", "grading.", "ledger.", "orders.")
    return [k for k in found if k.__module__.startswith(names) and not k.__module__.startswith("api.demo")]


def test_every_refusal_in_the_product_has_a_status_of_its_own() -> None:
    missing = sorted(f"{kind.__module__}.{kind.__name__}" for kind in every_refusal() if kind not in STATUS)
    assert missing == []


def test_the_codes_are_words_and_no_two_refusals_share_one() -> None:
    codes: dict[str, str] = {}
    for kind in every_refusal():
        assert kind.code.isidentifier(), kind
        if "code" in vars(kind):
            assert codes.setdefault(kind.code, kind.__name__) == kind.__name__
        else:
            pytest.fail(f"{kind.__name__} has no code of its own")


def test_no_refusal_is_a_success_and_only_our_own_faults_are_500() -> None:
    faults = {kind.__name__ for kind, status in STATUS.items() if status is HTTPStatus.INTERNAL_SERVER_ERROR}
    assert all(status >= 400 for status in STATUS.values())
    assert faults <= {
        "SettingsError",
        "MissingMessageError",
        "ChainFileError",
        "PublisherKeyError",
        "StandardError",
        "ModelFileError",
    }


def test_a_new_leaf_answers_like_its_branch_until_it_has_its_own() -> None:
    class NewError(ConflictingEventError):
        code = "new"

    assert status_of(NewError) is HTTPStatus.CONFLICT


class Crate(BaseModel):
    mass_g: int


class Body(BaseModel):
    crates: list[Crate]


@pytest.fixture
def strict(app: FastAPI) -> TestClient:
    """A client to an application with doors that refuse in every way."""

    @app.post("/api/v1/test/crates")
    def take(body: Body) -> int:
        return len(body.crates)

    @app.get("/test/refused")
    def refused() -> None:
        raise ConflictingEventError("urn:uuid:1 <script>")

    @app.get("/test/wait")
    def wait() -> None:
        raise TooManyAttemptsError(30)

    @app.get("/test/surprise")
    def surprise() -> None:
        raise RuntimeError("secret detail")

    return TestClient(app, raise_server_exceptions=False)


def test_a_refusal_carries_its_facts(strict: TestClient) -> None:
    answer = strict.get("/test/refused")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == "https://ns.guoyuan.example/problems/event_conflict"
    assert body["code"] == "event_conflict"
    assert body["title"] == "Event conflict"
    assert body["event_id"] == "urn:uuid:1 <script>"
    assert "is already recorded" in body["detail"]


def test_a_person_gets_a_page_and_nothing_of_it_runs(strict: TestClient) -> None:
    answer = strict.get("/test/refused?lang=en", headers=HTML)
    assert answer.status_code == 409
    assert answer.headers["content-type"].startswith("text/html")
    assert "&lt;script&gt;" in answer.text
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(("lang", "words"), [("en", "There is nothing at /nowhere"), ("zh", "/nowhere 这里什么也没有")])
def test_a_person_is_told_in_their_own_language(strict: TestClient, lang: str, words: str) -> None:
    assert words in strict.get(f"/nowhere?lang={lang}", headers=HTML).text


def test_waiting_is_told_in_seconds(strict: TestClient) -> None:
    assert strict.get("/test/wait").headers["retry-after"] == "30"
    assert strict.get("/test/wait", headers=HTML).headers["retry-after"] == "30"


@pytest.mark.parametrize("headers", [{}, HTML])
def test_a_surprise_tells_nothing_of_the_inside(strict: TestClient, headers: dict[str, str]) -> None:
    answer = strict.get("/test/surprise", headers=headers)
    assert answer.status_code == 500
    assert "secret detail" not in answer.text


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ('{"crates": [{"mass_g": 1}, {"mass_g": "heavy"}]}', "$.crates[1].mass_g"),
        ('{"crates": 1}', "$.crates"),
        ("{}", "$.crates"),
        ("[1]", "$"),
        ("not json", "$"),
        ("", "$"),
    ],
)
def test_an_unreadable_body_names_the_place(strict: TestClient, content: str, path: str) -> None:
    answer = strict.post("/api/v1/test/crates", content=content, headers={"Content-Type": "application/json", **HTML})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unreadable"
    assert answer.json()["errors"][0]["path"].startswith(path)


def test_another_kind_of_body_is_415(strict: TestClient) -> None:
    answer = strict.post("/api/v1/test/crates", content="<crates/>", headers={"Content-Type": "application/xml"})
    assert answer.status_code == 415
    assert answer.json()["media_type"] == "application/xml"


def test_unknown_addresses_and_methods_say_so(strict: TestClient) -> None:
    answer = strict.get("/api/v1/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_here")
    answer = strict.put("/api/v1/test/crates")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    assert "<!doctype html>" in strict.get("/nothing", headers=HTML).text


def test_facts_are_said_as_json() -> None:
    facts = _plain({"hash": b"\x01\xff", "role": HTTPStatus.OK, "parts": (1, "a", None), 3: {"x"}})
    assert facts == {"hash": "01ff", "role": 200, "parts": [1, "a", None], "3": ["x"]}
    assert ast.literal_eval(repr(facts)) == facts
