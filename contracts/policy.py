"""When to anchor, and which head: by age, by size, or when a block is cheap. Pure.

What is published is anchored at most `after_s` later, whatever anything costs, up to the cap; above the cap an
anchor waits, and is late in the open. Before that it may go earlier: for its size, or from half the time on for a
cheap block. It is always the newest head that goes.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from contracts.transactions import GWEI

GRACE_S: Final = 300.0
"""How long after the delay an anchor may take to reach a block before it is called late."""


class Reason(StrEnum):
    """Why a head is anchored now, or is not."""

    FIRST = "first"
    """Nothing is anchored yet."""
    AGE = "age"
    SIZE = "size"
    FEE = "fee"
    """The block is cheap."""
    NOTHING_NEW = "nothing new"
    NOT_YET = "not yet"
    TOO_DEAR = "too dear"
    """It is time, and a block costs more than may be paid."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is published and not on its way into the chain."""

    anchored: int
    """Leaves of the largest head that is in the chain or on its way; 0 for none."""
    oldest_at: datetime | None
    """When the first head beyond that was signed."""
    newest: int
    """Leaves of the newest head that is published; 0 for none."""

    @property
    def entries(self) -> int:
        """Leaves that are published and not on their way."""
        return max(self.newest - self.anchored, 0)


@dataclass(frozen=True, slots=True)
class BlockFee:
    """What the next block asks for a unit of gas, and what the ones before it asked, in wei."""

    base_wei: int
    priority_wei: int
    recent_wei: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """An installation's wishes. `every_s` is how often somebody looks."""

    after_s: float
    after_entries: int = 0
    fee_wei: int = 0
    cheap_percent: int = 0
    max_fee_wei: int = 200 * GWEI
    every_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do now. `size` is the head to anchor, None for none."""

    reason: Reason
    size: int | None = None
    due_at: datetime | None = None
    """When the oldest of what is new must be on its way."""
    asks_fee: bool = False
    """Whether the price of a block would change the answer."""


def choose(policy: Policy, backlog: Backlog, *, fee: BlockFee | None, now: datetime) -> Choice:
    """Decide whether the newest head is anchored now.

    Without a fee only what holds at any price is decided, and `asks_fee` says where a price would matter.
    """
    if backlog.oldest_at is None:
        return Choice(Reason.NOTHING_NEW)
    due_at = backlog.oldest_at + timedelta(seconds=policy.after_s)
    reason = _reason(policy, backlog, fee=fee, now=now, due_at=due_at)
    if reason is Reason.NOT_YET:
        return Choice(reason, due_at=due_at, asks_fee=fee is None and _may_be_cheap(policy, now=now, due_at=due_at))
    if fee is None:
        return Choice(reason, size=backlog.newest, due_at=due_at, asks_fee=True)
    if fee.base_wei + fee.priority_wei > policy.max_fee_wei:
        return Choice(Reason.TOO_DEAR, due_at=due_at)
    return Choice(reason, size=backlog.newest, due_at=due_at)


def is_late(policy: Policy, oldest_at: datetime | None, *, now: datetime) -> bool:
    """Whether the oldest head that no block holds has waited longer than an anchor may take."""
    return oldest_at is not None and now - oldest_at > timedelta(seconds=policy.after_s + GRACE_S)


def is_cheap(policy: Policy, fee: BlockFee, *, age_s: float) -> bool:
    """Whether a block's base fee is worth going early for.

    An anchor that goes at half the time is one of twice as many, so it must cost half of what blocks usually cost.
    """
    if fee.base_wei <= policy.fee_wei:
        return True
    if not policy.cheap_percent or not fee.recent_wei:
        return False
    rank = min(len(fee.recent_wei) * policy.cheap_percent // 100, len(fee.recent_wei) - 1)
    usual = sorted(fee.recent_wei)[rank]
    return fee.base_wei * policy.after_s < usual * age_s


def _reason(policy: Policy, backlog: Backlog, *, fee: BlockFee | None, now: datetime, due_at: datetime) -> Reason:
    if backlog.anchored == 0:
        return Reason.FIRST
    if now + timedelta(seconds=policy.every_s) > due_at:  # the next look would be too late
        return Reason.AGE
    if policy.after_entries and backlog.entries >= policy.after_entries:
        return Reason.SIZE
    age_s = policy.after_s - (due_at - now).total_seconds()
    if fee is not None and _may_be_cheap(policy, now=now, due_at=due_at) and is_cheap(policy, fee, age_s=age_s):
        return Reason.FEE
    return Reason.NOT_YET


def _may_be_cheap(policy: Policy, *, now: datetime, due_at: datetime) -> bool:
    """Whether half the time is over; before that a cheap block would only mean more anchors."""
    wishes = bool(policy.fee_wei or policy.cheap_percent)
    return wishes and due_at - now <= timedelta(seconds=policy.after_s / 2)
