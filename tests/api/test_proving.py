"""Which private fields a proof file opens for whom, and which files go with it."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from api.proving import may_reveal
from api.runtime import Runtime
from ledger import disclosure, log
from ledger.kernel.actors import Actor, Role
from ledger.kernel.files import ni_uri
from ledger.kernel.ids import PartyId
from ledger.proof import verify
from tests.api import golden
from tests.api.conftest import SignIn, TestClient
from tests.api.golden import PACK, PACK_PATH
from tests.simulators.orchard import PLOT, golden_events

NOW = datetime(2026, 5, 1, tzinfo=UTC)
PROOF = "/api/v1/proof"


def record(rt: Runtime, holder: str) -> None:
    """The golden chain, its plot held by somebody and committed to three private fields."""
    plot, *others = golden_events()
    with rt.db.write() as session:
        fields = {"ownerName": "Coop", "holderName": "Sample holder", "boundary": "{}"}
        made = disclosure.commit_fields(session, str(plot.event_id), fields)
        told = msgspec.structs.replace(
            plot,
            ilmd={**plot.ilmd, "gy:holder": holder},  # type: ignore[union-attr]  # it is an ObjectEvent
            extensions={**plot.extensions, "gy:digests": made},
        )
        log.record_all(session, [told, *others], now=NOW)
        log.integrate(session)
        log.publish(session, rt.signer, now=NOW)


def opened(client: TestClient, *names: str) -> dict[str, Any]:
    answer = client.get(PROOF, params={"id": PLOT, "reveal": list(names)} if names else {"id": PLOT})
    assert answer.status_code == 200, answer.text
    return dict(verify(answer.content).opened)


def test_a_visitor_gets_what_is_declared_public_and_no_more(client: TestClient, rt: Runtime) -> None:
    record(rt, "https://id.gs1.org/417/9521001482134")
    assert opened(client) == {"ownerName": "Coop"}
    assert opened(client, "ownerName") == {"ownerName": "Coop"}
    refused = client.get(PROOF, params={"id": PLOT, "reveal": "holderName"})
    assert (refused.status_code, refused.json()["code"]) == (401, "not_signed_in")
    assert "Sample holder" not in refused.text


def test_a_holder_shows_what_is_said_of_their_own_plot(signed_in: SignIn, rt: Runtime) -> None:
    holder, neighbour = signed_in(Role.FARMER, ref="farmer-1"), signed_in(Role.FARMER, ref="farmer-2")
    record(rt, holder.actor.party)  # type: ignore[attr-defined]
    assert opened(holder, "holderName", "boundary") == {"holderName": "Sample holder", "boundary": "{}"}
    assert opened(holder) == {"ownerName": "Coop"}, "nothing private unless it is asked for"
    assert holder.get(PROOF, params={"id": PLOT, "reveal": "holderName"}).headers["cache-control"] == "no-store"
    refused = neighbour.get(PROOF, params={"id": PLOT, "reveal": "holderName"})
    assert (refused.status_code, "Sample holder" in refused.text) == (403, False)


@pytest.mark.parametrize("role", [Role.MANAGER, Role.AUDITOR])
def test_managers_and_auditors_may_show_all(signed_in: SignIn, rt: Runtime, role: Role) -> None:
    record(rt, "https://id.gs1.org/417/9521001482134")
    assert opened(signed_in(role), "holderName", "nosuch") == {"holderName": "Sample holder"}


def test_a_recorder_shows_what_it_said_itself() -> None:
    event = {"gy:recorder": "https://id.gs1.org/417/1", "ilmd": {"gy:holder": "https://id.gs1.org/417/2"}}

    def is_allowed(party: int, role: Role = Role.STATION) -> bool:
        return may_reveal(Actor(PartyId(f"https://id.gs1.org/417/{party}"), role), event, "vehicle", public=())

    assert [is_allowed(party) for party in (1, 2, 3)] == [True, True, False]
    assert not may_reveal(None, event, "vehicle", public=())
    assert may_reveal(None, event, "vehicle", public=("vehicle",))


def test_a_proof_lists_the_files_that_can_be_had(client: TestClient, rt: Runtime) -> None:
    furnished = golden.furnish(rt.files)
    golden.load(rt, furnished)
    listed = verify(client.get(PROOF, params={"id": PACK}).content)
    names = msgspec.json.decode(client.get(PROOF, params={"id": PACK}).content)["evidence"]
    assert listed.subject == PACK
    assert set(furnished.records) < set(names)
    for name in names:
        digest = rt.files.get(name)
        answer = client.get(f"/files/{_hex(name)}", params={"of": PACK_PATH})
        assert (answer.status_code, answer.content) == (200, digest)
    rt.files.erase(furnished.records[0])
    left = msgspec.json.decode(client.get(PROOF, params={"id": PACK}).content)["evidence"]
    assert furnished.records[0] not in left
    bare = msgspec.json.decode(client.get(PROOF, params={"id": PACK, "evidence": "false"}).content)
    assert bare["evidence"] == []


def _hex(name: str) -> str:
    from ledger.kernel.files import parse_ni

    digest = parse_ni(name)
    assert ni_uri(digest) == name
    return digest.hex()
