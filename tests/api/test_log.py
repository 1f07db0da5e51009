import base64

import pytest
from fastapi.testclient import TestClient

from api.runtime import Runtime
from ledger import checkpoint, log, merkle, tiles
from ledger.events import ObjectEvent
from ledger.kernel.clock import format_time
from ledger.kernel.ids import new_event_id
from ledger.vocabulary import Action


def record(rt: Runtime, count: int) -> None:
    now = rt.clock.now()
    events = [
        ObjectEvent(
            event_time=format_time(now),
            event_time_zone_offset="+08:00",
            event_id=new_event_id(now),
            action=Action.OBSERVE,
            epc_list=(f"https://id.gs1.org/01/09521002000016/21/A{number}",),
        )
        for number in range(count)
    ]
    with rt.db.write() as session:
        log.record_all(session, events, now=now)
        log.integrate(session)


def publish(rt: Runtime) -> None:
    with rt.db.write() as session:
        log.publish(session, rt.signer, now=rt.clock.now())


def test_a_stranger_rebuilds_the_signed_root_from_tiles_alone(client: TestClient, rt: Runtime) -> None:
    record(rt, 300)
    publish(rt)
    key = checkpoint.LogKey.parse(client.get("/log/key").text.strip())
    head = checkpoint.verify(client.get("/log/checkpoint").text, key)
    assert head.size == 300
    entries = [
        entry
        for path in ("entries/000", "entries/001.p/44")
        for entry in tiles.parse_bundle(client.get(f"/log/tile/{path}").content)
    ]
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    assert merkle.root(leaves) == head.root
    assert client.get("/log/tile/0/000").content + client.get("/log/tile/0/001.p/44").content == b"".join(leaves)
    assert len(client.get("/log/tile/1/000.p/1").content) == 32


def test_only_what_a_checkpoint_covers_is_served(client: TestClient, rt: Runtime) -> None:
    assert client.get("/log/checkpoint").status_code == 404
    record(rt, 5)
    assert client.get("/log/tile/entries/000.p/5").status_code == 404
    publish(rt)
    record(rt, 5)
    assert client.get("/log/tile/entries/000.p/5").status_code == 200
    assert client.get("/log/tile/0/000.p/3").status_code == 200
    assert client.get("/log/tile/0/000.p/6").status_code == 404


def test_tiles_never_change_and_say_so_and_the_checkpoint_does_not(client: TestClient, rt: Runtime) -> None:
    record(rt, 1)
    publish(rt)
    assert "immutable" in client.get("/log/tile/0/000.p/1").headers["cache-control"]
    assert client.get("/log/checkpoint").headers["cache-control"] == "no-cache"
    assert base64.b64decode(client.get("/log/checkpoint").text.split("\n")[2])


@pytest.mark.parametrize(
    "path",
    [
        "0/000",
        "0/1",
        "9/000",
        "64/000.p/1",
        "entries/x000/000.p/1",
        "../keys/log.key",
        "0/000.p/0",
        "%00",
        "0/\u0660\u0660\u0660",
    ],
)
def test_any_other_path_is_not_here(client: TestClient, rt: Runtime, path: str) -> None:
    record(rt, 1)
    publish(rt)
    answer = client.get(f"/log/tile/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_here")


# --- what the log says of one thing -----------------------------------------------------------------

PACK = "https://id.gs1.org/01/09521002000016/21/A1"


def test_a_trace_says_how_far_each_entry_has_come(client: TestClient, rt: Runtime) -> None:
    record(rt, 2)
    trace = client.get("/api/v1/trace", params={"id": PACK}).json()
    assert trace["id"] == PACK
    assert [(step["index"], step["state"]) for step in trace["steps"]] == [(1, "integrated")]
    assert trace["steps"][0]["event"]["epcList"] == [PACK]
    publish(rt)
    assert client.get("/api/v1/trace", params={"id": PACK}).json()["steps"][0]["state"] == "published"


@pytest.mark.parametrize(
    "written",
    [PACK, PACK + " ", "https://origin.example/01/09521002000016/10/L1/21/A1?15=260425", "/01/09521002000016/21/A1"],
)
def test_a_label_and_the_log_mean_the_same_pack(client: TestClient, rt: Runtime, written: str) -> None:
    record(rt, 2)
    assert client.get("/api/v1/trace", params={"id": written}).json()["id"] == PACK


@pytest.mark.parametrize(
    ("written", "status", "code"),
    [
        ("https://id.gs1.org/01/09521002000016/21/UNKNOWN", 404, "unknown_identifier"),
        ("https://id.gs1.org/01/09521002000015/21/A1", 422, "identifier"),
        ("urn:uuid:00000000-0000-7000-8000-000000000000", 404, "unknown_identifier"),
        ("https://id.coop.example/obj/mango-a/ser/7K3Q", 404, "unknown_identifier"),
        ("mango", 422, "identifier"),
        ("", 422, "unreadable"),
    ],
)
@pytest.mark.parametrize("door", ["trace", "proof"])
def test_an_unknown_or_impossible_identifier_is_named(
    client: TestClient,
    rt: Runtime,
    *,
    door: str,
    written: str,
    status: int,
    code: str,
) -> None:
    record(rt, 1)
    publish(rt)
    answer = client.get(f"/api/v1/{door}", params={"id": written})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_proof_file_verifies_with_the_logs_key_alone(client: TestClient, rt: Runtime) -> None:
    from ledger import proof
    from ledger.errors import VerificationError

    record(rt, 20)
    assert client.get("/api/v1/proof", params={"id": PACK}).json()["code"] == "not_published"
    publish(rt)
    answer = client.get("/api/v1/proof", params={"id": PACK})
    assert answer.headers["content-disposition"].endswith('.proof.json"')
    key = checkpoint.LogKey.parse(client.get("/.well-known/guoyuan.json").json()["log_key"])
    verified = proof.verify(answer.content, log_key=key)
    assert verified.subject == PACK
    assert [entry.index for entry in verified.entries] == [1]
    with pytest.raises(VerificationError):
        proof.verify(answer.content.replace(b"OBSERVE", b"OBSERVF"), log_key=key)
