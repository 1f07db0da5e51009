# ruff: noqa: RUF001  # Chinese has its own comma
"""From a tier to a gate: which lane, and where and when its gate must act. Pure.

The reject lane is the belt's end and has number 0: a fruit that no gate takes ends there, so every failure
(no command, no power, no connection) rejects. The camera's line is the edge of the picture where
fruit leave it (`Passed.belt_um`); a gate stands some distance behind it. A fruit that was there when the belt read p
is at the gate when it reads p + distance.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from grading.errors import WiringError
from grading.standard import Tariff, Text

REJECT: Final = 0


@dataclass(frozen=True, slots=True)
class LaneCommand:
    """One fruit to one lane. `belt_um` and `at` are where the belt is, and the time, when its gate must act.

    Without an encoder `belt_um` is None and the time decides. Lane 0 is reject: nothing acts.
    """

    run: str
    fruit: int
    tier: str
    lane: int
    belt_um: int | None
    at: datetime
    is_doubtful: bool
    row: int = 1
    """The row of the belt, from 1, where several run side by side with gates of their own."""
    why: Text | None = None
    """Why the fruit goes to the reject lane although its tier has another."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes of one belt, checked against its tariff by `lanes_for`."""

    tiers: tuple[str, ...]
    """Tiers of the tariff, best first: a command carries a tier's place from 1."""
    lane_of: Mapping[str, int]
    gates_um: Mapping[int, int]
    """Distance of each lane's gate behind the camera's line."""
    doubtful: int
    speed_um_s: int
    """The belt's nominal speed, for times; where an encoder counts, positions decide."""
    lead_um: int
    """How much belt must be left before the gate for a command to be in time."""
    spacing_um: int
    """Fruit of one row closer than this on the belt cannot be told apart by a gate."""
    rows_um: tuple[tuple[int, int], ...] = ()
    """From and to across the belt for each row; empty for a belt of one row."""

    def tier_code(self, tier: str) -> int:
        """Return a tier's place from 1, the best. Raises WiringError for a tier that the tariff does not have."""
        if tier not in self.tiers:
            raise WiringError(f"tier {tier!r}", f"is none of the tariff's ({', '.join(self.tiers)})")
        return self.tiers.index(tier) + 1

    def row_at(self, across_um: int) -> int | None:
        """Return the row of a place across the belt; None between rows, where no gate is sure to reach."""
        if not self.rows_um:
            return 1
        return next((row for row, (start, end) in enumerate(self.rows_um, 1) if start <= across_um < end), None)

    def command(
        self,
        run: str,
        fruit: int,
        tier: str,
        *,
        is_doubtful: bool,
        seen_at: datetime,
        seen_um: int | None,
        speed_um_s: int | None = None,
        across_um: int | None = None,
    ) -> LaneCommand:
        """Return the command for a fruit that was at the camera's line at `seen_at`, the belt then at `seen_um`.

        Raises WiringError for an unknown tier.
        """
        self.tier_code(tier)
        lane, why = (self.doubtful, None) if is_doubtful else (self.lane_of[tier], None)
        row = 1 if across_um is None and len(self.rows_um) <= 1 else self.row_at(across_um or 0)
        if row is None or (across_um is None and len(self.rows_um) > 1):
            lane, row, why = REJECT, 1, NO_ROW
        distance_um = self._distance_um(lane)
        seconds = distance_um / (speed_um_s or self.speed_um_s)
        return LaneCommand(
            run=run,
            fruit=fruit,
            tier=tier,
            lane=lane,
            belt_um=None if seen_um is None else seen_um + distance_um,
            at=seen_at + timedelta(seconds=seconds),
            is_doubtful=is_doubtful,
            row=row,
            why=why,
        )

    def rejected(self, command: LaneCommand, why: Text) -> LaneCommand:
        """Return the same fruit sent to the reject lane, and why."""
        further_um = self._distance_um(REJECT) - self._distance_um(command.lane)
        return replace(
            command,
            lane=REJECT,
            belt_um=None if command.belt_um is None else command.belt_um + further_um,
            at=command.at + timedelta(seconds=further_um / self.speed_um_s),
            why=why,
        )

    def left_um(self, command: LaneCommand, *, belt_um: int | None, now: datetime) -> int:
        """Return how much belt is left before the command's gate; negative once it has passed.

        By position where both are known, by time and nominal speed otherwise.
        """
        if command.belt_um is not None and belt_um is not None:
            return command.belt_um - belt_um
        return int((command.at - now).total_seconds() * self.speed_um_s)

    def in_time(self, command: LaneCommand, *, belt_um: int | None, now: datetime) -> LaneCommand:
        """Return the command, or its fruit to the reject lane where its gate can no longer act in time."""
        if command.lane == REJECT:
            return command
        left_um = self.left_um(command, belt_um=belt_um, now=now)
        return command if left_um >= self.lead_um else self.rejected(command, too_late(self.lead_um - left_um))

    def spaced(self, before: Sequence[LaneCommand], command: LaneCommand) -> list[LaneCommand]:
        """Return what must be sent for a new command: itself last, and before it earlier ones taken back.

        A gate that takes one of two fruit lying too close may take both, so unless they share a lane neither is
        taken: a fruit never lands in a lane better than its tier. One that is taken back may still be taken along
        by the gate of a neighbour of its own lane, and then lies where it belongs.
        """
        close = [
            other
            for other in before
            if (other.run, other.row) == (command.run, command.row)
            and other.fruit != command.fruit
            and self._apart_um(other, command) < self.spacing_um
            and other.lane != command.lane
        ]
        if not close:
            return [command]
        taken_back = [self.rejected(other, TOO_CLOSE) for other in close if other.lane != REJECT]
        return [*taken_back, command if command.lane == REJECT else self.rejected(command, TOO_CLOSE)]

    def _apart_um(self, one: LaneCommand, other: LaneCommand) -> int:
        """Return how far apart two fruit lie on the belt."""
        apart_um = self._distance_um(other.lane) - self._distance_um(one.lane)
        if one.belt_um is not None and other.belt_um is not None:
            return abs(other.belt_um - one.belt_um - apart_um)
        return abs(int((other.at - one.at).total_seconds() * self.speed_um_s) - apart_um)

    def _distance_um(self, lane: int) -> int:
        """Return where a lane begins; a reject is certain once it has passed the last gate."""
        return self.gates_um[lane] if lane else max(self.gates_um.values(), default=0)


def lanes_for(
    tariff: Tariff,
    lane_of: Mapping[str, int],
    gates_um: Mapping[int, int],
    *,
    doubtful: int = REJECT,
    speed_um_s: int,
    lead_um: int,
    spacing_um: int,
    rows_um: Iterable[tuple[int, int]] = (),
) -> Lanes:
    """Return the checked lane table. Raises WiringError, naming the key.

    Every tier of the tariff has a lane of its own or is said to go to reject (0); doubtful fruit have a lane of
    their own or go to reject; every lane but 0 has a gate.
    """
    tiers = tuple(tariff.tiers)
    missing = [tier for tier in tiers if tier not in lane_of]
    unknown = [tier for tier in lane_of if tier not in tiers]
    if unknown:
        raise WiringError(f"tiers.{unknown[0]}", f"is no tier of {tariff.id} ({', '.join(tiers)})")
    if missing:
        raise WiringError(f"tiers.{missing[0]}", "has no lane; give it one, or 0 for the reject lane")
    if REJECT in gates_um:
        raise WiringError("gates.0", "cannot be: lane 0 is the belt's end, where a fruit lands that no gate takes")
    users: dict[int, str] = {}
    for who, lane in [*((f"tiers.{tier}", lane_of[tier]) for tier in tiers), ("doubtful", doubtful)]:
        if lane == REJECT:
            continue
        if lane not in gates_um:
            raise WiringError(who, f"names lane {lane}, which has no gate")
        if lane in users:
            raise WiringError(who, f"names lane {lane} of {users[lane]}: their fruit could not be told apart")
        users[lane] = who
    distances: dict[int, int] = {}
    for lane, distance_um in gates_um.items():
        if not 0 < lane < 1 << 16:
            raise WiringError(f"gates.{lane}", "is not a lane number from 1 to 65535")
        if distance_um <= lead_um:
            raise WiringError(f"gates.{lane}", "stands so near that no command could be in time")
        if distance_um in distances:
            raise WiringError(f"gates.{lane}", f"stands at the same place as gate {distances[distance_um]}")
        distances[distance_um] = lane
    for key, value, least in (
        ("speed", speed_um_s, 1),
        ("lead", lead_um, 0),
        ("spacing", spacing_um, 0),
    ):
        if value < least:
            raise WiringError(key, f"is {value}; at least {least} is needed")
    rows = tuple(rows_um)
    for number, (start, end) in enumerate(rows, 1):
        if not start < end or (number > 1 and rows[number - 2][1] > start):
            raise WiringError(f"rows.{number}", "must go across the belt, each row beginning where the last one ended")
    return Lanes(tiers, dict(lane_of), dict(gates_um), doubtful, speed_um_s, lead_um, spacing_um, rows)


def too_late(missing_um: int) -> Text:
    """Return why a late command's fruit is rejected."""
    return Text(
        f"命令晚了 {missing_um / 1000:.0f} 毫米皮带行程，送到剔除道",
        f"the command came {missing_um / 1000:.0f} mm of belt too late; the fruit goes to reject",
    )


TOO_CLOSE: Final = Text(
    "两个果挨得太近，闸门分不开，送到剔除道",
    "two fruit lie too close for a gate; both go to reject",
)
NO_PLACE: Final = Text(
    "编码器读数不可信，位置不明，送到剔除道",
    "the encoder cannot be trusted, so nobody knows where the fruit is; it goes to reject",
)
NO_ROW: Final = Text(
    "果在两列之间，闸门够不准，送到剔除道",
    "the fruit lies between two rows of gates; it goes to reject",
)
