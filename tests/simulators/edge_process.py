"""A line's station as a process of its own, with drawn fruit that pass at a steady pace: for tests that kill it.

    python -m tests.simulators.edge_process '{"state": ..., "server": ..., "code": ..., "port": ..., "fruit": ..., ...}'

`fruit` is a file of pickled fruit (drawing them takes longer than a life here), `total` how many pass in all lives
together, `lanes` a file that says of every lane command which fruit it was for, written through to the disk.
"""

import json
import os
import pickle
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.line_app import create_app
from api.line_delivery import Delivery, House
from api.line_grading import Grading
from api.line_journal import Journal
from api.line_runtime import LineRuntime
from api.line_serving import serve
from grading.line.belt import Drawn, LineSetup, Passed
from grading.line.lanes import LaneCommand, lanes_for
from grading.line.record import belt_record, model_of
from grading.line.sources import Shot, SourceState
from grading.line.wiring import NoOutputs, Wiring
from grading.profile import CameraProfile
from grading.standard import load_standard, load_tariff
from ledger.kernel.clock import SystemClock
from ledger.kernel.settings import Settings

EVERY_S = 0.03


class Camera:
    """A picture every now and then, as long as fruit are to come."""

    name, dropped, trouble = "drawn", 0, ""
    state = SourceState.RUNNING

    def __init__(self, pixels: Sequence[Any], journal: Journal, total: int) -> None:
        self.skipped: dict[str, int] = {}
        self._pixels, self._journal, self._total, self._closed = pixels, journal, total, False

    def shots(self) -> Iterator[Shot]:
        number, clock = 0, SystemClock()
        while not self._closed:
            time.sleep(EVERY_S)
            number += 1
            yield Shot(self._pixels[number % len(self._pixels)], number, number / 30, clock.now(), None)

    def close(self) -> None:
        self._closed = True


class Belt:
    """One fruit passes with each picture, until the last one has."""

    def __init__(self, first: int, total: int, drawn: Sequence[Passed]) -> None:
        self._next, self._total, self._drawn = first, total, drawn

    def feed(self, shot: Shot) -> list[Passed]:
        if self._next > self._total:
            return []
        fruit = replace(self._drawn[self._next % len(self._drawn)], number=self._next, at_s=shot.at_s)
        self._next += 1
        return [fruit]

    def flush(self) -> list[Passed]:
        return []

    blind = 0
    is_encoder_trusted = True

    def overlay(self) -> Sequence[Drawn]:
        return ()


class Gates(NoOutputs):
    """Outputs that write down every command."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file.open("a", encoding="ascii")

    def send(self, command: LaneCommand) -> None:
        self._file.write(f"{command.fruit}\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def main(given: dict[str, Any]) -> int:
    """Run until killed."""
    with Path(given["fruit"]).open("rb") as file:
        drawn, pixels, profile_data = pickle.load(file)  # noqa: S301  # the test that starts us wrote it
    profile: CameraProfile = profile_data
    setup = LineSetup(load_standard("mango"), load_tariff(), profile)
    journal = Journal(Path(given["state"]))
    delivery = Delivery(journal, House(given["server"], timeout_s=5), code=given["code"], clock=SystemClock())
    tariff = setup.tariff
    lanes = lanes_for(tariff, dict.fromkeys(tariff.tiers, 0), {}, speed_um_s=1000, lead_um=0, spacing_um=0)
    line = LineRuntime(
        settings=Settings(),
        clock=SystemClock(),
        name="LINE-1",
        house="",
        journal=journal,
        delivery=delivery,
        source=Camera(pixels, journal, given["total"]),
        wiring=Wiring("LINE-1", lanes, Gates(Path(given["lanes"])), None, None, SystemClock()),
        grading=Grading(
            standard=setup.standard,
            tariff=tariff,
            profile=profile,
            belt=lambda first: Belt(first, given["total"], drawn),
            record=lambda passed, run: belt_record(passed, setup, run=run),
            model=(model_of(setup),),
        ),
    )
    line.start()
    return serve(create_app(line), host="127.0.0.1", port=given["port"], as_json=True)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
