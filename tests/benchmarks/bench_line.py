"""Processor time of what stands between camera and log: keeping a fruit at the line, delivering it to the house.

Baseline of keeping: one file and one row after the other, each made durable by itself. Baseline of delivering: one
request for every file and every fruit, as a first draft would.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlmodel import SQLModel

from api import accounts
from api.app import create_app
from api.line_journal import Journal
from api.runtime import Runtime
from ledger.kernel.clock import format_time, whole_ms
from ledger.kernel.files import FileStore
from ledger.kernel.settings import Settings
from tests.api.conftest import TestClient
from tests.api.line_edge import GRADING, Edge, now
from tests.api.orchard import Orchard
from tests.simulators import belts

pytestmark = pytest.mark.benchmark

FRUIT = 120
LOT = "https://id.gs1.org/01/99521001000218/10/X1"


def cpu_ms(work: Callable[[], object]) -> float:
    """Milliseconds of processor time for each fruit."""
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000 / FRUIT


def test_keeping_a_fruit_at_the_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "line")
    batch = journal.begin(LOT, GRADING.rules, variety="", received_g=None, now=now())
    at = whole_ms(datetime.now(UTC))
    fruit = [GRADING.kept(belts.unlike(each), batch.run, at) for each in belts.passed(1, FRUIT)]

    def ours() -> None:
        for first in range(0, FRUIT, 3):  # three pass in a tenth of a second
            journal.add(fruit[first : first + 3])

    files = FileStore(tmp_path / "files")

    def one_by_one() -> None:
        for each in fruit:
            for number, data in enumerate((each.record, *each.crops)):
                files.put(data + bytes(str(each.number * 100 + number), "ascii"))

    kept, apart = cpu_ms(ours), cpu_ms(one_by_one)
    journal.close()
    print(  # noqa: T201  # a benchmark's answer
        f"\nkeeping a fruit (record, {len(fruit[0].crops) - 1} crops): {kept:.2f} CPU-ms in groups of three; "
        f"its files alone, one by one: {apart:.2f} CPU-ms, and six waits for the disk"
    )


def test_delivering_a_fruit(tmp_path: Path) -> None:
    rt = Runtime.open(Settings(home=tmp_path / "home", public_url="http://testserver", mqtt_port=0))
    app = create_app(runtime=rt)
    SQLModel.metadata.create_all(rt.db.engine)
    orchard = Orchard(rt)
    lots = []
    for _ in range(2):
        lot = orchard.pick(orchard.order(A=1), 8000).lot
        orchard.receive(lot, 8000)
        lots.append(lot)
    with rt.db.write() as session:
        code = accounts.new_code(session, accounts.person(session, "station-1"), now=rt.clock.now())
    client = TestClient(app, headers=orchard.header("station-1"))
    edge = Edge(tmp_path / "line", code, client._transport)
    edge.begin(lots[0])
    edge.pass_by(FRUIT, unlike=True)
    edge.delivery.step()  # signs in and opens the batch
    bundled = cpu_ms(edge.deliver)
    assert edge.journal.waiting() == 0
    edge.decide()
    edge.journal.end(None, now=now())
    edge.deliver()
    batch = edge.begin(lots[1])
    edge.pass_by(FRUIT, unlike=True)
    ref = edge.delivery._house.open_batch(batch)["ref"]  # type: ignore[union-attr]

    def singly() -> None:
        for row in reversed(edge.journal.last(FRUIT)):
            for name, data in edge.journal.files_waiting([row]):
                media_type = "image/jpeg" if data[:2] == b"\xff\xd8" else "application/json"
                answer = client.put(f"/api/v1/station/files/{name}", content=data, headers={"content-type": media_type})
                assert answer.status_code == 201, answer.text
            told = {"number": row.number, "at": format_time(row.at), "record": row.files.split()[0]}
            answer = client.post(f"/api/v1/station/batches/{ref}/fruit", json={"run": batch.run, "fruit": [told]})
            assert answer.status_code == 201, answer.text

    apart = cpu_ms(singly)
    edge.journal.close()
    rt.close()
    print(  # noqa: T201  # a benchmark's answer
        f"\ndelivering a fruit, both sides together: {bundled:.1f} CPU-ms in bundles, {apart:.1f} one by one "
        f"({apart / bundled:.1f} times)"
    )
