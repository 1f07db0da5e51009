"""A line's station without a camera: real fruit in a real journal, delivered to whatever house a test gives it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from api.line_delivery import Delivery, House
from api.line_grading import Grading
from api.line_journal import Journal
from api.line_tables import LineBatch
from grading.grade import DOUBTFUL
from grading.line.belt import Line
from ledger.kernel.clock import SystemClock, whole_ms
from tests.simulators import belts

GRADING = Grading(
    standard=belts.SETUP.standard,
    tariff=belts.SETUP.tariff,
    profile=belts.PROFILE,
    belt=lambda first: Line(belts.SETUP, first=first),
    record=belts.record_of,
    model=(belts.MODEL,),
)


def now() -> datetime:
    return whole_ms(datetime.now(UTC))


@dataclass
class Edge:
    """A journal and its deliveries; `ticks` is its monotonic clock, moved by the test."""

    folder: Path
    code: str = ""
    transport: httpx.BaseTransport | None = None
    ticks: float = 0.0

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.journal = Journal(self.folder)
        house = None if self.transport is None else House("http://testserver", transport=self.transport)
        self.delivery = Delivery(self.journal, house, code=self.code, clock=SystemClock(), ticks=lambda: self.ticks)

    def restart(self) -> None:
        """End as by a kill, and begin again."""
        self.journal.close()
        self.open()

    def begin(self, lot: str, *, received_g: int | None = None) -> LineBatch:
        return self.journal.begin(lot, GRADING.rules, variety="", received_g=received_g, now=now())

    def pass_by(self, count: int, *, unlike: bool = False) -> None:
        """Let so many fruit pass, drawn from few; `unlike` gives each pictures of its own."""
        batch = self.journal.open_batch
        assert batch is not None
        fruit = belts.passed(self.journal.tally.last_number + 1, count)
        if unlike:
            fruit = [belts.unlike(each) for each in fruit]
        self.journal.add([GRADING.kept(each, batch.run, now()) for each in fruit])

    def decide(self) -> int:
        """Let a person take the doubtful fruit as their numbers say."""
        waiting = self.journal.queue(10_000)
        for row in waiting:
            price = GRADING.tariff.price_fen(row.nominal_tier, row.mass_g)
            self.journal.judge(row.number, row.nominal_tier, "looked", price, now=now(), delivered=False)
        assert self.journal.doubtful() == 0 == self.journal.tally.by_tier.get(DOUBTFUL, [0])[0]
        return len(waiting)

    def end(self) -> None:
        self.decide()
        self.journal.end(None, now=now())

    def deliver(self, most: int = 500) -> int:
        """Deliver until nothing is left to do, over whatever the network does; return how many steps it took."""
        for step in range(most):
            self.ticks += 61.0  # every pause is over
            if not self.delivery.step() and self.delivery.standing().state != "offline":
                return step
        raise AssertionError(f"never done: {self.delivery.standing()}")


class Flaky(httpx.BaseTransport):
    """A network that loses some requests, before the house hears them or before its answer comes."""

    def __init__(self, through: httpx.BaseTransport, loses: Callable[[int, httpx.Request], str | None]) -> None:
        self.through, self.loses, self.asked = through, loses, 0
        self.paths: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        self.paths.append(f"{request.method} {request.url.path}")
        how = self.loses(self.asked, request)
        if how == "question":
            raise httpx.ConnectError("the cable is out", request=request)
        answer = self.through.handle_request(request)
        answer.read()
        if how == "answer":
            raise httpx.ReadTimeout("the answer was lost", request=request)
        return answer


def numbers(fruit: Sequence[object]) -> list[int]:
    return [each.number for each in fruit]  # type: ignore[attr-defined]  # rows of either side
