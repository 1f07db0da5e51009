"""What fruit on a belt are graded by, and how a belt, a record and the journal's row come of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from api.line_journal import NewFruit, Rules
from api.line_shown import fruit_shown
from grading.grade import caution_fen
from grading.line.belt import Drawn, Passed
from grading.line.fusing import Judging
from grading.line.sources import Shot
from grading.line.weights import Weight
from grading.profile import CameraProfile
from grading.standard import Standard, Tariff


class Belt(Protocol):
    """The part of `grading.line.belt.Line` that a running line needs."""

    def feed(self, shot: Shot) -> list[Passed]:
        """Return the fruit that this frame shows to have passed."""
        ...

    def flush(self) -> list[Passed]:
        """Return what is still under the camera; then the line is empty."""
        ...

    def overlay(self) -> Sequence[Drawn]:
        """Return what the last frame showed."""
        ...

    @property
    def blind(self) -> int:
        """How often the belt moved on by so much between two frames that fruit may have passed unseen."""
        ...

    @property
    def is_encoder_trusted(self) -> bool:
        """Whether the encoder agrees with the picture."""
        ...


@dataclass(frozen=True, slots=True)
class Grading:
    """What fruit are graded by, and how a belt and a record come of it.

    `belt` takes the number of the first fruit; `record` a passed fruit, its run, and returns the record's bytes.
    """

    standard: Standard
    tariff: Tariff
    profile: CameraProfile
    belt: Callable[[int], Belt]
    record: Callable[[Passed, str], bytes]
    model: Sequence[bytes] = ()
    """Files that records name besides their crops: descriptions of what found the fruit."""
    brix_tenths: int | None = None
    looks_again: bool = False
    """Whether a network is asked about marks that decide."""

    @property
    def rules(self) -> Rules:
        """What the journal keeps of it."""
        return Rules(
            crop=self.standard.content.crop,
            standard=self.standard.id,
            edition=self.standard.edition,
            standard_file=self.standard.digest.hex(),
            tariff_file=self.tariff.digest.hex(),
            profile=self.profile.data,
            brix_tenths=self.brix_tenths,
        )

    def weighed(self, passed: Passed, weight: Weight) -> Passed:
        """Return a passed fruit with what a scale says of it."""
        return passed.weighed(weight, Judging.fused(self.standard, self.tariff, brix_tenths=self.brix_tenths))

    def kept(self, passed: Passed, run: str, at: datetime) -> NewFruit:
        """Return a passed fruit as the journal keeps it: its record, its crops, what the console shows of it."""
        verdict = passed.verdict
        return NewFruit(
            number=passed.number,
            at=at,
            tier=verdict.tier,
            nominal_tier=verdict.nominal_tier,
            mass_g=passed.mass_g,
            price_fen=verdict.price_fen,
            near_fen=caution_fen(verdict, self.tariff, passed.mass_g) if verdict.is_near else None,
            is_weighed=passed.mass_from == "scale",
            record=self.record(passed, run),
            crops=(*(view.crop for view in passed.views), *self.model),
            shown=fruit_shown(passed),
        )
