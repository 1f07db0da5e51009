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
            epc_list=(f"https://id.gs1.org/01/09521002000015/21/A{number}",),
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
    "path", ["0/000", "0/1", "9/000", "64/000.p/1", "entries/x000/000.p/1", "../keys/log.key", "0/000.p/0", "%00", "0/٠٠٠"]
)
def test_any_other_path_is_not_here(client: TestClient, rt: Runtime, path: str) -> None:
    record(rt, 1)
    publish(rt)
    answer = client.get(f"/log/tile/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_here")
