from fastapi.testclient import TestClient

from api import accounts
from api.models import Person
from api.runtime import Runtime
from ledger.kernel.actors import Role


def a_person(rt: Runtime, ref: str = "farmer-1", role: Role = Role.FARMER) -> tuple[Person, str]:
    with rt.db.write() as session:
        person = accounts.create_person(session, rt.numbering, ref=ref, role=role, site=None, now=rt.clock.now())
        accounts.set_name(session, person.party, "Sample farmer 1")
        return person, accounts.new_code(session, person, now=rt.clock.now())


def test_a_printed_code_signs_in_however_it_is_typed(rt: Runtime) -> None:
    person, code = a_person(rt)
    typed = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    signed_in = accounts.sign_in_with_code(rt.db, typed, address="::1", now=rt.clock.now())
    assert signed_in.actor.party == person.party
    with rt.db.read() as session:
        assert accounts.actor_of_token(session, signed_in.token, now=rt.clock.now()) == signed_in.actor


def test_pages(client: TestClient) -> None:
    answer = client.get("/sign-in")
    assert answer.status_code == 200
    print(answer.text)
