import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlmodel import select

from api import accounts
from api.app import create_app
from api.errors import SignInRefusedError, TooManyAttemptsError, UnknownPersonError
from api.migrations import migrate
from api.models import AccountSession, Credential, Person, SignInFailure
from api.runtime import Runtime
from ledger.kernel.actors import Role
from ledger.kernel.ids import Numbering
from ledger.kernel.settings import Settings

HTML = {"Accept": "text/html"}


def a_person(rt: Runtime, ref: str = "farmer-1", role: Role = Role.FARMER) -> Person:
    with rt.db.write() as session:
        person = accounts.create_person(session, rt.numbering, ref=ref, role=role, site=None, now=rt.clock.now())
        accounts.set_name(session, person.party, "Sample <farmer>")
        return person


def a_code(rt: Runtime, person: Person) -> str:
    with rt.db.write() as session:
        return accounts.new_code(session, person, now=rt.clock.now())


def a_link_token(rt: Runtime, person: Person) -> str:
    with rt.db.write() as session:
        return accounts.new_link_token(session, person, now=rt.clock.now())


def sign_in(rt: Runtime, code: str, *, address: str = "::1", later: timedelta = timedelta(0)) -> accounts.SignedIn:
    return accounts.sign_in_with_code(rt.db, code, address=address, now=rt.clock.now() + later)


def test_a_printed_code_signs_in_however_it_is_typed(rt: Runtime) -> None:
    person = a_person(rt)
    typed = a_code(rt, person).lower().replace("-", " ").replace("0", "o").replace("1", "l")
    signed_in = sign_in(rt, typed)
    assert signed_in.actor.party == person.party
    with rt.db.read() as session:
        assert accounts.actor_of_token(session, signed_in.token, now=rt.clock.now()) == signed_in.actor


def test_no_secret_is_kept_as_it_was_given_out(rt: Runtime) -> None:
    person = a_person(rt)
    code, link = a_code(rt, person), a_link_token(rt, person)
    token = sign_in(rt, code).token
    with rt.db.read() as session:
        kept = repr([c.model_dump() for c in session.exec(select(Credential))])
        kept += repr([s.model_dump() for s in session.exec(select(AccountSession))])
    for secret in (code, code.replace("-", ""), code.replace("-", "")[4:], link, token):
        assert secret not in kept
    assert "$argon2id$" in kept


def test_a_new_code_ends_the_old_one(rt: Runtime) -> None:
    person = a_person(rt)
    old = a_code(rt, person)
    new = a_code(rt, person)
    assert sign_in(rt, new).actor.party == person.party
    with pytest.raises(SignInRefusedError):
        sign_in(rt, old)


@pytest.mark.parametrize("code", ["", "----", "ZZZZ-ZZZZ-ZZZZ", "K7Q2", "果源果源", "A" * 64, "\x00" * 12])
def test_an_unknown_code_is_refused_like_a_wrong_one(rt: Runtime, code: str) -> None:
    with pytest.raises(SignInRefusedError) as refused:
        sign_in(rt, code)
    right = a_code(rt, a_person(rt))
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    with pytest.raises(SignInRefusedError) as also:
        sign_in(rt, wrong, address="::2")
    assert str(refused.value) == str(also.value)


def test_unknown_and_wrong_codes_cost_the_same_hashing(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    real = accounts._matches
    monkeypatch.setattr(accounts, "_matches", lambda kept, text: hashed.append(kept) or real(kept, text))
    right = a_code(rt, a_person(rt))
    for code in (right[:5] + "0000-0000", "ZZZZ-0000-0000"):
        with pytest.raises(SignInRefusedError):
            sign_in(rt, code)
    assert len(hashed) == 2
    assert all(kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for kept in hashed)


def test_too_many_wrong_codes_make_even_the_right_one_wait(rt: Runtime) -> None:
    right = a_code(rt, a_person(rt))
    for _ in range(accounts.FAILURES_ALLOWED):
        with pytest.raises(SignInRefusedError):
            sign_in(rt, "ZZZZ-ZZZZ-ZZZZ", address="10.0.0.9")
    with pytest.raises(TooManyAttemptsError) as refused:
        sign_in(rt, right, address="10.0.0.9")
    assert 0 < refused.value.retry_after_s <= 601
    assert sign_in(rt, right, address="10.0.0.8")
    assert sign_in(rt, right, address="10.0.0.9", later=accounts.FAILURES_FORGOTTEN_AFTER)


def test_guesses_at_one_code_are_counted_whatever_address_they_come_from(rt: Runtime) -> None:
    right = a_code(rt, a_person(rt))
    for number in range(accounts.FAILURES_ALLOWED):
        with pytest.raises(SignInRefusedError):
            sign_in(rt, right[:5] + "0000-0000", address=f"10.0.0.{number}")
    with pytest.raises(TooManyAttemptsError):
        sign_in(rt, right, address="10.0.1.1")


def test_guesses_at_once_all_count_and_one_link_opens_one_session(either: Settings) -> None:
    migrate(either)
    rt = Runtime.open(either)
    person = a_person(rt)
    code, token = a_code(rt, person), a_link_token(rt, person)
    begin = threading.Barrier(8)

    def guess(_: int) -> type[Exception] | None:
        begin.wait()
        try:
            sign_in(rt, code[:5] + "0000-0000", address="10.0.0.1")
        except Exception as error:  # noqa: BLE001  # what it is, is what is tested
            return type(error)
        return None

    def follow(_: int) -> bool:
        begin.wait()
        try:
            with rt.db.write() as session:
                accounts.sign_in_with_link(session, token, now=rt.clock.now())
        except SignInRefusedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(guess, range(8))) == {SignInRefusedError}
        assert sorted(pool.map(follow, range(8))) == [False] * 7 + [True]
    with rt.db.read() as session:
        assert {row.key: row.failures for row in session.exec(select(SignInFailure))} == {
            "address:10.0.0.1": 8,
            f"code:{code[:4]}": 8,
        }
    rt.close()


def test_a_link_signs_in_once_and_shows_whom_first(rt: Runtime) -> None:
    person = a_person(rt)
    token = a_link_token(rt, person)
    now = rt.clock.now()
    with rt.db.write() as session:
        assert accounts.holder_of_link(session, token, now=now).party == person.party
        assert accounts.sign_in_with_link(session, token, now=now).actor.party == person.party
        with pytest.raises(SignInRefusedError):
            accounts.sign_in_with_link(session, token, now=now)


def test_a_link_ends_after_seven_days(rt: Runtime) -> None:
    token = a_link_token(rt, a_person(rt))
    with rt.db.write() as session, pytest.raises(SignInRefusedError):
        accounts.sign_in_with_link(session, token, now=rt.clock.now() + accounts.LINK_LASTS)


def test_a_session_ends(rt: Runtime) -> None:
    token = sign_in(rt, a_code(rt, a_person(rt))).token
    with rt.db.write() as session:
        later = rt.clock.now() + accounts.SESSION_LASTS
        assert accounts.actor_of_token(session, token, now=later) is None
        accounts.close_session(session, token)
        assert accounts.actor_of_token(session, token, now=rt.clock.now()) is None


def test_what_is_over_is_forgotten_and_the_rest_stays(rt: Runtime) -> None:
    person = a_person(rt)
    code = a_code(rt, person)
    token = sign_in(rt, code).token
    a_link_token(rt, person)
    with pytest.raises(SignInRefusedError):
        sign_in(rt, "ZZZZ-ZZZZ-ZZZZ")
    now = rt.clock.now()
    with rt.db.write() as session:
        assert accounts.forget_ended(session, now=now) == 0
        assert accounts.forget_ended(session, now=now + accounts.LINK_LASTS) == 3
        assert accounts.actor_of_token(session, token, now=now) is not None
        assert accounts.forget_ended(session, now=now + accounts.SESSION_LASTS) == 1
    assert sign_in(rt, code).actor.party == person.party


def test_erasing_a_person_leaves_the_party_and_nothing_to_sign_in_with(rt: Runtime) -> None:
    person = a_person(rt)
    code, link = a_code(rt, person), a_link_token(rt, person)
    token = sign_in(rt, code).token
    for _ in range(2):
        with rt.db.write() as session:
            assert accounts.erase(session, person.ref, now=rt.clock.now()) == person.party
    with rt.db.write() as session:
        assert accounts.person(session, person.ref).party == person.party
        assert accounts.name_of(session, person.party) is None
        assert accounts.actor_of_token(session, token, now=rt.clock.now()) is None
        with pytest.raises(SignInRefusedError):
            accounts.sign_in_with_link(session, link, now=rt.clock.now())
        with pytest.raises(UnknownPersonError):
            accounts.active_person(session, person.ref)
    with pytest.raises(SignInRefusedError):
        sign_in(rt, code)


def test_people_are_drawn_where_no_place_has_its_number() -> None:
    numbering = Numbering("9521002")
    assert accounts._is_low(numbering, numbering.party(999))
    assert not accounts._is_low(numbering, numbering.party(1000))


# --- at the door -----------------------------------------------------------------------------------


def test_the_form_signs_in_with_a_cookie_no_script_can_read(client: TestClient, rt: Runtime) -> None:
    code = a_code(rt, a_person(rt))
    assert client.get("/sign-in", headers=HTML).status_code == 200
    answer = client.post("/sign-in", data={"code": code, "next": "/farmer?day=1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/farmer?day=1")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    assert client.get("/api/v1/account").json()["role"] == "farmer"
    assert client.get("/sign-in", headers=HTML).headers["location"] == "/farmer"


def test_over_tls_the_cookie_is_secure_and_bound_to_this_host(rt: Runtime) -> None:
    rt.settings = Settings(home=rt.settings.home, public_url="https://origin.example")
    client = TestClient(create_app(runtime=rt), base_url="https://origin.example", follow_redirects=False)
    answer = client.post("/sign-in", data={"code": a_code(rt, a_person(rt))})
    assert re.match(
        r"__Host-guoyuan=\S+; HttpOnly; Max-Age=\d+; Path=/; SameSite=lax; Secure", answer.headers["set-cookie"]
    )


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\nb"])
def test_signing_in_leads_nowhere_else(client: TestClient, rt: Runtime, elsewhere: str) -> None:
    answer = client.post("/sign-in", data={"code": a_code(rt, a_person(rt)), "next": elsewhere})
    assert answer.headers["location"] == "/farmer"


def test_a_wrong_code_is_answered_with_the_form_and_too_many_with_a_wait(client: TestClient) -> None:
    for _ in range(accounts.FAILURES_ALLOWED):
        answer = client.post("/sign-in?lang=en", data={"code": "ZZZZ-ZZZZ-ZZZZ"})
        assert answer.status_code == 401
        assert 'role="alert"' in answer.text
    answer = client.post("/sign-in?lang=en", data={"code": "ZZZZ-ZZZZ-ZZZZ"})
    assert answer.status_code == 429
    assert "10 minutes" in answer.text


def test_opening_a_link_uses_nothing_up_and_its_button_signs_in(client: TestClient, rt: Runtime) -> None:
    token = a_link_token(rt, a_person(rt))
    for _ in range(2):
        page = client.get(f"/sign-in/{token}", headers=HTML)
        assert page.status_code == 200
        assert "Sample &lt;farmer&gt;" in page.text
        assert page.headers["referrer-policy"] == "no-referrer"
    assert client.post("/sign-in", data={"token": token}).status_code == 303
    assert client.get("/api/v1/account").status_code == 200
    assert client.get(f"/sign-in/{token}", headers=HTML).status_code == 401


def test_signing_out_ends_the_session_on_the_server(client: TestClient, rt: Runtime) -> None:
    client.post("/sign-in", data={"code": a_code(rt, a_person(rt))})
    token = client.cookies["guoyuan"]
    assert client.post("/sign-out").headers["location"] == "/"
    assert client.get("/api/v1/account", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_a_machine_gets_a_bearer_token_for_its_code(client: TestClient, rt: Runtime) -> None:
    person = a_person(rt, "station-1", Role.STATION)
    answer = client.post("/api/v1/sessions", json={"code": a_code(rt, person)})
    assert answer.status_code == 201
    assert "set-cookie" not in answer.headers
    bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
    assert client.get("/api/v1/account", headers=bearer).json() == {
        "party": person.party, "role": "station", "site": None,
    }  # fmt: skip
    assert client.delete("/api/v1/sessions", headers=bearer).status_code == 204
    assert client.get("/api/v1/account", headers=bearer).status_code == 401


@pytest.mark.parametrize(
    ("headers", "is_allowed"),
    [
        ({}, True),
        ({"Origin": "http://testserver"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://other.testserver"}, False),
    ],
)
def test_a_cookie_does_not_write_for_another_site(
    client: TestClient,
    rt: Runtime,
    headers: dict[str, str],
    is_allowed: bool,  # noqa: FBT001  # pytest names it
) -> None:
    client.post("/sign-in", data={"code": a_code(rt, a_person(rt))})
    answer = client.post("/sign-out", headers=headers)
    assert answer.status_code == (303 if is_allowed else 403)
    if not is_allowed:
        assert answer.json()["code"] == "cross_origin"
        assert client.get("/api/v1/account").status_code == 200


def test_another_site_cannot_sign_a_visitor_in(client: TestClient, rt: Runtime) -> None:
    answer = client.post("/sign-in", data={"code": a_code(rt, a_person(rt))}, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403


def test_a_page_sends_a_stranger_to_sign_in_and_the_interface_says_so(app: FastAPI, client: TestClient) -> None:
    from typing import Annotated

    from fastapi import Depends

    from api.deps import allow
    from ledger.kernel.actors import Actor

    @app.get("/only/managers")
    def only_managers(actor: Annotated[Actor, Depends(allow(Role.MANAGER))]) -> str:
        return actor.party

    page = client.get("/only/managers?day=1", headers=HTML)
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=%2Fonly%2Fmanagers%3Fday%3D1")
    answer = client.get("/only/managers")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_wrong_role_is_told_which_one_is_needed(client: TestClient, signed_in: object, app: FastAPI) -> None:
    from typing import Annotated

    from fastapi import Depends

    from api.deps import allow
    from ledger.kernel.actors import Actor

    @app.get("/api/v1/only-managers")
    def only_managers(actor: Annotated[Actor, Depends(allow(Role.MANAGER, Role.AUDITOR))]) -> str:
        return actor.party

    answer = signed_in(Role.FARMER).get("/api/v1/only-managers")  # type: ignore[operator]
    assert answer.status_code == 403
    assert answer.json()["allowed"] == ["manager", "auditor"]
    assert signed_in(Role.MANAGER).get("/api/v1/only-managers").status_code == 200  # type: ignore[operator]
