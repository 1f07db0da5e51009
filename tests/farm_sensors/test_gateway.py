"""Store and forward: nothing is lost to a kill, nothing is doubled, nothing is sent twice without need."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlmodel import select

from farm_sensors.errors import InvalidDeviceError, KeyFileError, SensorError, TransportError
from farm_sensors.gateway import Flushed, Gateway, HttpTransport, Outcome, Receipt
from farm_sensors.ingest import accept
from farm_sensors.keys import DeviceKey, create_key
from farm_sensors.models import Message, StoredReading
from farm_sensors.packs import Reading

START = datetime(2026, 4, 17, 21, 0, tzinfo=UTC)
LATER = START + timedelta(hours=9)

ADD_FOREVER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from farm_sensors.gateway import Gateway
from farm_sensors.keys import DeviceKey
from farm_sensors.packs import Reading
store, device = sys.argv[1:]
start = datetime(2026, 4, 17, 21, 0, tzinfo=UTC)
with Gateway(Path(store), device, DeviceKey(b"W01" * 10 + b"W0"), None) as gateway:
    for i in range(100_000):
        gateway.add([Reading("air-temperature", start + timedelta(seconds=i), float(i))])
        print(i, flush=True)
"""

FLUSH = """
import sys
from pathlib import Path
from farm_sensors.gateway import Gateway, HttpTransport
from farm_sensors.keys import DeviceKey
store, device, url = sys.argv[1:]
with Gateway(Path(store), device, DeviceKey(b"W01" * 10 + b"W0"), HttpTransport(url)) as gateway:
    gateway.flush()
"""


class Server:
    """The readings door as far as a gateway sees it, over a real socket and the real ingest."""

    def __init__(self, db) -> None:
        self.db, self.requests, self.kill_at, self.victim = db, 0, -1, 0
        self.answer_with: int | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, document = outer.take(self.headers, body)
                outer.requests += 1
                if outer.requests == outer.kill_at:
                    os.kill(outer.victim, signal.SIGKILL)  # committed, and the answer never leaves
                    return
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, *args) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def take(self, headers, body: bytes) -> tuple[int, dict[str, object]]:
        if self.answer_with is not None:
            return self.answer_with, {}
        try:
            with self.db.write() as session:
                signature = base64.b64decode(headers["Guoyuan-Signature"])
                taken = accept(session, device_id=headers["Guoyuan-Device"], body=body, signature=signature, now=LATER)
        except SensorError as error:
            return 422, {"code": error.code}
        return 202, {"readings": taken.readings}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server(db) -> Iterator[Server]:
    running = Server(db)
    yield running
    running.stop()


def stored_values(db) -> list[float]:
    with db.read() as session:
        return sorted(session.exec(select(StoredReading.value)).all())


def readings(count: int) -> list[Reading]:
    return [Reading("air-temperature", START + timedelta(seconds=i), float(i)) for i in range(count)]


def one_by_one(gateway: Gateway, count: int) -> None:
    for reading in readings(count):
        gateway.add([reading])


def test_a_kill_between_commit_and_answer_doubles_nothing_and_loses_nothing(db, server, make_device, tmp_path):
    device = make_device(at=START)
    store = tmp_path / "gw.db"
    with Gateway(store, device.id, device.key, HttpTransport(server.url)) as gateway:
        one_by_one(gateway, 12)
    for kill_at in (3, 4, 9):
        server.kill_at = kill_at
        child = subprocess.Popen([sys.executable, "-c", FLUSH, store, device.id, server.url])
        server.victim = child.pid
        assert child.wait(120) == -signal.SIGKILL
    transport = HttpTransport(server.url)
    with Gateway(store, device.id, device.key, transport) as gateway:
        assert gateway.flush().left == 0
    transport.close()
    assert stored_values(db) == [float(i) for i in range(12)]
    assert server.requests > 12  # some packs did come twice
    with db.read() as session:
        sequences = session.exec(select(Message.sequence).order_by(Message.id)).all()
    assert sequences == sorted(set(sequences))


def test_what_add_has_returned_from_survives_a_kill(db, server, make_device, tmp_path):
    device = make_device(at=START)
    store = tmp_path / "gw.db"
    child = subprocess.Popen([sys.executable, "-c", ADD_FOREVER, store, device.id], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    promised = [int(child.stdout.readline()) for _ in range(40)]
    child.kill()
    promised += [int(line) for line in child.stdout if line.strip().isdigit() and line.endswith("\n")]
    child.wait(120)
    child.stdout.close()
    transport = HttpTransport(server.url)
    with Gateway(store, device.id, device.key, transport) as gateway:
        gateway.flush()
    transport.close()
    kept = stored_values(db)
    assert kept[: len(promised)] == [float(i) for i in promised]
    assert len(kept) - len(promised) <= 1  # the one being added when the kill came


def test_an_outage_keeps_packs_in_order_and_what_was_taken_is_forgotten(db, server, make_device, tmp_path):
    device = make_device(at=START)
    transport = HttpTransport(server.url)
    with Gateway(tmp_path / "gw.db", device.id, device.key, transport) as gateway:
        one_by_one(gateway, 3)
        server.answer_with = 503
        with pytest.raises(TransportError, match="503"):
            gateway.flush()
        assert gateway.waiting() == 3
        server.answer_with = None
        assert gateway.flush() == Flushed(delivered=3, refused=0, left=0)
        assert gateway.flush() == Flushed(delivered=0, refused=0, left=0)
    transport.close()
    assert server.requests == 4


def test_nobody_there_is_a_clear_error(make_device, tmp_path):
    device = make_device(at=START)
    transport = HttpTransport("http://127.0.0.1:9")
    with Gateway(tmp_path / "gw.db", device.id, device.key, transport) as gateway:
        gateway.add(readings(1))
        with pytest.raises(TransportError, match=r"127\.0\.0\.1:9"):
            gateway.flush()
        assert gateway.waiting() == 1
    transport.close()


class Scripted:
    """A transport that answers as told."""

    def __init__(self, *answers) -> None:
        self.answers = iter(answers)

    def deliver(self, _device_id, packs):
        for pack in packs:
            yield next(self.answers)(pack)


def refused(code):
    return lambda pack: Receipt(pack.digest, Outcome.REFUSED, code)


def taken(pack):
    return Receipt(pack.digest, Outcome.ACCEPTED)


def test_a_refusal_for_good_is_set_aside_and_one_that_may_pass_is_kept(make_device, tmp_path):
    device = make_device(at=START)
    transport = Scripted(refused("wrong_unit"), refused("unknown_device"), taken, taken)
    with Gateway(tmp_path / "gw.db", device.id, device.key, transport) as gateway:
        one_by_one(gateway, 3)
        assert gateway.flush() == Flushed(delivered=1, refused=1, left=1)
        assert [code for _, code in gateway.refused()] == ["wrong_unit"]
        assert gateway.flush() == Flushed(delivered=1, refused=0, left=0)


def test_a_receipt_for_something_else_is_no_receipt(make_device, tmp_path):
    device = make_device(at=START)
    with Gateway(
        tmp_path / "gw.db", device.id, device.key, Scripted(lambda _: Receipt(bytes(32), Outcome.ACCEPTED))
    ) as gateway:
        gateway.add(readings(1))
        assert gateway.flush() == Flushed(delivered=0, refused=0, left=1)


def test_numbers_grow_even_when_the_store_was_lost(make_device, tmp_path):
    device = make_device(at=START)
    sequences = []
    for name in ("first.db", "second.db"):
        seen = []
        transport = Scripted(*[lambda pack: (seen.append(pack.sequence), taken(pack))[1]] * 3)  # noqa: B023
        with Gateway(tmp_path / name, device.id, device.key, transport) as gateway:
            one_by_one(gateway, 3)
            gateway.flush()
        sequences += seen
    assert sequences == sorted(set(sequences))


def test_an_unknown_quantity_is_refused_before_it_is_kept(make_device, tmp_path):
    device = make_device(at=START)
    with Gateway(tmp_path / "gw.db", device.id, device.key, Scripted()) as gateway:
        with pytest.raises(InvalidDeviceError, match="air-temprature"):
            gateway.add([*readings(1), Reading("air-temprature", START, 1.0)])
        assert gateway.waiting() == 0


def test_a_key_file_is_made_once_and_only_its_owner_reads_it(tmp_path):
    path = tmp_path / "keys" / "W01.key"
    public = create_key(path)
    assert DeviceKey.load(path).public_base64 == public
    assert DeviceKey.load_or_create(path).public_base64 == public
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyFileError, match="already"):
        create_key(path)


@pytest.mark.parametrize("content", [b"", b"not base64!", base64.b64encode(bytes(31))])
def test_a_broken_key_file_is_named(tmp_path, content):
    path = tmp_path / "W01.key"
    path.write_bytes(content)
    with pytest.raises(KeyFileError):
        DeviceKey.load(path)
