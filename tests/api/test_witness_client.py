"""Asking witnesses over a network: real ones, and machines that are slow, dead, or say anything at all."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from celery._state import _set_task_join_will_block
from fastapi.testclient import TestClient
from sqlmodel import SQLModel

from api import tasks, witness_client, worker
from api.app import create_app
from api.deploy.services import free_port
from api.runtime import Runtime
from api.witness_server import create_witness_app
from ledger import log
from ledger.checkpoint import LogKey
from ledger.cosign import WitnessSigner, cosignatures
from ledger.kernel.settings import Settings
from ledger.witness import Witness
from ledger.witnessed import Watcher, states
from tests.api.test_log import publish, record
from tests.browsing import served

NORTH = WitnessSigner("witness.example/north", b"n" * 32)
SOUTH = WitnessSigner("witness.example/south", b"s" * 32)


@contextmanager
def running(who: WitnessSigner, key: LogKey, folder: Path) -> Iterator[Watcher]:
    """A witness on a port of its own."""
    witness = Witness(folder / f"{who.name[-5:]}.db", who, [key], clock=lambda: int(time.time()))
    with served(create_witness_app(witness)) as address:
        yield Watcher(who.key, address)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy this machine is, who answers at all is heard."""
    monkeypatch.setattr(witness_client, "ASK_S", 60)


def hear(connection: socket.socket) -> None:
    """Take a whole request: an answer to half of one may be lost on its way."""
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += connection.recv(100_000)
    head, _, body = heard.partition(b"\r\n\r\n")
    length = int(next(line.split(b":")[1] for line in head.lower().splitlines() if line.startswith(b"content-length")))
    while len(body) < length:
        body += connection.recv(100_000)


@contextmanager
def saying(speak: Callable[[socket.socket], None], who: WitnessSigner = NORTH) -> Iterator[Watcher]:
    """A machine that takes a connection and does as it likes with it."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listening.accept()
                except TimeoutError:
                    continue
                connection.settimeout(60)
                with connection:
                    try:
                        hear(connection)
                        speak(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Watcher(who.key, f"http://127.0.0.1:{listening.getsockname()[1]}/")
        finally:
            stop.set()
            thread.join()


def error_of(rt: Runtime, watcher: Watcher) -> str | None:
    with rt.db.read() as session:
        return states(session, [watcher.key])[0][1].error


def test_the_served_checkpoint_and_the_status_carry_the_witnesses(
    rt: Runtime, client: TestClient, tmp_path: Path
) -> None:
    record(rt, 5)
    publish(rt)
    with running(NORTH, rt.signer.key, tmp_path) as north, running(SOUTH, rt.signer.key, tmp_path) as south:
        rt.witnesses = (north, south)
        assert client.get("/api/v1/status").json()["witnesses"][0]["behind"] == 5
        witness_client.ask_witnesses(rt)
        record(rt, 3)
        publish(rt)
        witness_client.ask_witnesses(rt)
        witness_client.ask_witnesses(rt)
    note = client.get("/log/checkpoint").text
    assert [c.key for c in cosignatures(note, [north.key, south.key])] == [north.key, south.key]
    told = client.get("/api/v1/status").json()["witnesses"]
    assert [(w["name"], w["size"], w["behind"], w["error"], w["alarm"]) for w in told] == [
        ("witness.example/north", 8, 0, None, None),
        ("witness.example/south", 8, 0, None, None),
    ]
    assert told[0]["cosigned_at"].endswith("Z")
    metrics = client.get("/metrics").text
    assert 'guoyuan_witness_behind{witness="witness.example/north"} 0.0' in metrics
    assert 'guoyuan_witness_alarm{witness="witness.example/south"} 0.0' in metrics


def test_two_installations_under_one_key_are_an_alarm_on_the_status_page(
    rt: Runtime, client: TestClient, tmp_path: Path
) -> None:
    """An operator who shows somebody else another history, through a witness both of them use."""
    settings = Settings(home=tmp_path / "fork", mqtt_port=0)
    (settings.home / "keys").mkdir(parents=True, mode=0o700)
    (settings.home / "keys/log.key").write_bytes((rt.settings.keys_dir / "log.key").read_bytes())
    (settings.home / "keys/log.key").chmod(0o600)
    fork = Runtime.open(settings)
    SQLModel.metadata.create_all(fork.db.engine)
    for installation, count in ((rt, 3), (fork, 7)):
        record(installation, count)
        publish(installation)
    with running(NORTH, rt.signer.key, tmp_path) as north:
        for installation in (fork, rt):
            installation.witnesses = (north,)
            witness_client.ask_witnesses(installation)
    fork.close()
    assert "7 entries; we never signed one so large" in client.get("/api/v1/status").json()["witnesses"][0]["alarm"]
    assert 'guoyuan_witness_alarm{witness="witness.example/north"} 1.0' in client.get("/metrics").text
    assert "witness.example" not in client.get("/log/checkpoint").text


OK = b"HTTP/1.1 200 OK\r\n"


def drip(connection: socket.socket) -> None:
    """A byte at a time, so that no single wait is ever long."""
    connection.sendall(OK + b"content-length: 1000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def drip_headers(connection: socket.socket) -> None:
    connection.sendall(OK)
    while True:
        connection.sendall(b"x-more: y\r\n")
        time.sleep(0.05)


def sends(data: bytes, status: bytes = b"200 OK", header: bytes = b"") -> Callable[[socket.socket], None]:
    """One answer, whole."""
    length = b"content-length: %d\r\n" % len(data)
    return lambda connection: connection.sendall(b"HTTP/1.1 " + status + b"\r\n" + header + length + b"\r\n" + data)


HOSTILE: dict[str, tuple[Callable[[socket.socket], None], str]] = {
    "drips its body": (drip, "did not answer within"),
    "drips its headers": (drip_headers, "did not answer within"),
    "is silent": (lambda connection: connection.recv(1), "did not answer within"),  # until the other side hangs up
    "never ends": (sends(b"x" * 100_000), "longer than 16384 bytes"),
    "sends no text": (sends(b"\xff\xfe"), "bytes that are no text"),
    "says hello": (sends(b"hello"), "is no cosignature"),
    "packs its answer": (sends(b"\x1f\x8b", header=b"content-encoding: gzip\r\n"), "no text"),
    "sends us elsewhere": (sends(b"", b"302 Found", b"location: http://127.0.0.1:1/\r\n"), "302"),
    "conflicts without a size": (sends(b"9\n", b"409 Conflict"), "answered 409"),
    "conflicts with a size of 20 digits": (
        sends(b"9" * 20, b"409 Conflict", b"content-type: text/x.tlog.size\r\n"),
        "answered 409",
    ),
    "speaks another protocol": (lambda c: c.sendall(b"SSH-2.0-OpenSSH\r\n"), "could not be asked"),
    "hangs up": (lambda _: None, "could not be asked"),
}


@pytest.mark.parametrize("machine", HOSTILE)
def test_a_machine_that_is_no_witness_is_named_and_nothing_of_it_kept(
    rt: Runtime, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak, error = HOSTILE[machine]
    if "within" in error:
        monkeypatch.setattr(witness_client, "ASK_S", 0.5)
    record(rt, 2)
    publish(rt)
    with saying(speak) as north:
        rt.witnesses = (north,)
        witness_client.ask_witnesses(rt)
        assert error in str(error_of(rt, north))
    with rt.db.read() as session:
        newest = log.latest_checkpoint(session)
    assert newest is not None
    with TestClient(create_app(runtime=rt)) as visitor:
        assert visitor.get("/log/checkpoint").text == newest.note


def test_a_dead_witness_does_not_keep_the_others_word_away(rt: Runtime, tmp_path: Path) -> None:
    record(rt, 2)
    publish(rt)
    with running(SOUTH, rt.signer.key, tmp_path) as south:
        dead = Watcher(NORTH.key, f"http://127.0.0.1:{free_port()}")
        nowhere = Watcher(WitnessSigner("witness.example/east", b"e" * 32).key, "http://[bad")
        rt.witnesses = (dead, nowhere, south)
        witness_client.ask_witnesses(rt)
    assert "could not be asked" in str(error_of(rt, dead))
    assert "could not be asked" in str(error_of(rt, nowhere))
    assert error_of(rt, south) is None


@contextmanager
def beating_beside_a_witness_that_hangs(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    asked, go_on = threading.Event(), threading.Event()

    def hang(_rt: Runtime) -> None:
        asked.set()
        go_on.wait(60)

    monkeypatch.setattr(witness_client, "ask_witnesses", hang)
    monkeypatch.setattr(tasks, "FOLLOWERS", ())
    rt.settings = rt.settings.model_copy(update={"publish_after_s": 0.2})
    beat = worker.Beat(rt)
    beat.start()
    try:
        assert asked.wait(90)
        yield
    finally:
        go_on.set()
        beat.stop()
        # Celery notes in one global that a task runs; two that run at once in threads leave it set.
        _set_task_join_will_block(False)


def published(rt: Runtime, size: int, *, within_s: float) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with rt.db.read() as session:
            newest = log.latest_checkpoint(session)
        if newest and newest.size == size:
            return True
        time.sleep(0.05)
    return False


def test_a_witness_that_hangs_holds_up_no_checkpoint(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    with beating_beside_a_witness_that_hangs(rt, monkeypatch):
        for size in (3, 6):
            record(rt, 3)
            assert published(rt, size, within_s=60)


def test_without_a_beat_of_its_own_it_would(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same witness among the other tasks."""
    monkeypatch.setattr(worker, "_PATIENT", {"guoyuan.forget_ended"})
    with beating_beside_a_witness_that_hangs(rt, monkeypatch):
        record(rt, 3)
        assert not published(rt, 3, within_s=2)


def test_a_wrong_setting_stops_the_installation_at_its_start(tmp_path: Path) -> None:
    from ledger.kernel.errors import SettingsError

    with pytest.raises(SettingsError, match="GUOYUAN_WITNESSES"):
        Runtime.open(Settings(home=tmp_path / "home", witnesses="nonsense+"))
    assert not (tmp_path / "home").exists()


def test_a_witness_is_asked_again_when_its_wait_is_over(rt: Runtime, tmp_path: Path) -> None:
    record(rt, 2)
    publish(rt)
    moment = rt.clock.now()
    rt.clock = type("Still", (), {"now": lambda _self: moment})()
    with running(NORTH, rt.signer.key, tmp_path) as north:
        rt.witnesses = (Watcher(NORTH.key, f"http://127.0.0.1:{free_port()}"),)
        witness_client.ask_witnesses(rt)
        rt.witnesses = (north,)
        witness_client.ask_witnesses(rt)
        assert error_of(rt, north) is not None, "its wait is not over"
        rt.clock = type("Later", (), {"now": lambda _self: moment + timedelta(seconds=3)})()
        witness_client.ask_witnesses(rt)
    assert error_of(rt, north) is None
