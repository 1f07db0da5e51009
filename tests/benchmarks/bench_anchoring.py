"""What the anchoring policies cost over a simulated week, beside other ways of anchoring the same events.

The prices are drawn (a daily swing, slow noise, and a few spikes), not taken from a chain; the events come by day, in
bursts. Gas is exact: every anchor's is run on the contract, from the very head to the very head.
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest

from api.cost_plot import Line, chart
from contracts.costs import PER_EVENT_GAS, TIMESTAMP_GAS, TWO_SLOT_GAS
from contracts.policy import Backlog, BlockFee, Policy, choose
from contracts.transactions import GWEI
from tests.contracts.gauge import Gauge

pytestmark = pytest.mark.benchmark

START = datetime(2026, 4, 18, tzinfo=UTC)
DAYS = 7
BEFORE = 1_000_000
"""Entries the log holds already."""
LOOK_S = 10
BLOCK_S = 12
RECENT = 1_024
PRIORITY = GWEI // 10


def say(text: str) -> None:
    print(text)  # noqa: T201  # a benchmark is read


@dataclass(frozen=True)
class Week:
    """Heads by the time they were signed, and the price of every block."""

    heads: list[tuple[int, int]]
    prices: list[int]

    @property
    def events(self) -> int:
        return self.heads[-1][1] - BEFORE


def a_week(per_day: int, *, seed: int = 9162) -> Week:
    """Events in bursts between five and twenty-one o'clock, a head every ten seconds that brought some."""
    random = Random(seed)
    heads: list[tuple[int, int]] = []
    size, noise, spike = BEFORE, 0.0, 0.0
    prices: list[int] = []
    for second in range(0, DAYS * 86_400, LOOK_S):
        hour = second / 3600 % 24
        wanted = per_day * LOOK_S / 57_600 if 5 <= hour < 21 else 0.0
        came = (
            sum(random.random() < 0.25 for _ in range(round(4 * wanted))) if wanted >= 1 else random.random() < wanted
        )
        if came:
            size += int(came)
            heads.append((second, size))
    for block in range(DAYS * 86_400 // BLOCK_S + 1):
        hour = block * BLOCK_S / 3600 % 24
        noise = 0.9995 * noise + random.gauss(0, 0.02)
        spike = 1.5 if random.random() < 1 / 3000 else spike * 0.99
        prices.append(round(10 * GWEI * math.exp(0.35 * math.sin(hour * math.pi / 12 - 1.2) + noise + spike)))
    return Week(heads, prices)


@dataclass
class Outcome:
    anchors: int = 0
    gas: int = 0
    fee_wei: int = 0
    longest_s: float = 0
    median_s: float = 0


def play(week: Week, policy: Policy, gauge: Gauge) -> Outcome:
    """Let a policy decide every ten seconds for a week; nothing but what it decides is done."""
    done, anchored, first, known = Outcome(), BEFORE, 0, 0
    waits: list[float] = []
    for second in range(0, DAYS * 86_400, LOOK_S):
        while known < len(week.heads) and week.heads[known][0] <= second:
            known += 1
        if first == known:
            continue
        block, now = second // BLOCK_S, START + timedelta(seconds=second)
        behind = Backlog(anchored, START + timedelta(seconds=week.heads[first][0]), week.heads[known - 1][1])
        chosen = choose(policy, behind, fee=None, now=now)
        if chosen.asks_fee:
            recent = tuple(week.prices[max(0, block - RECENT) : block])
            chosen = choose(policy, behind, fee=BlockFee(week.prices[block], PRIORITY, recent), now=now)
        if chosen.size is None:
            continue
        gas = gauge.gas(anchored, chosen.size)
        assert gas is not None
        waits += [second - signed for signed, _ in week.heads[first:known]]
        first = known
        anchored = chosen.size
        done.anchors += 1
        done.gas += gas
        done.fee_wei += gas * (week.prices[block] + PRIORITY)
    done.longest_s, done.median_s = max(waits), median(waits)
    return done


HOURLY = Policy(3600, max_fee_wei=10**15, every_s=LOOK_S)
POLICIES = {
    "hourly": HOURLY,
    "hourly, or 500 entries": replace(HOURLY, after_entries=500),
    "hourly, or cheap by the 25th per cent": replace(HOURLY, cheap_percent=25),
    "hourly, or cheap by the 50th": replace(HOURLY, cheap_percent=50),
    "every six hours": replace(HOURLY, after_s=6 * 3600),
    "six hours, or cheap by the 25th": replace(HOURLY, after_s=6 * 3600, cheap_percent=25),
    "six hours, or cheap by the 50th": replace(HOURLY, after_s=6 * 3600, cheap_percent=50),
    "six hours, or 500 entries": replace(HOURLY, after_s=6 * 3600, after_entries=500),
}


@pytest.mark.parametrize("per_day", [2_000, 50_000])
def test_a_week_of_each_policy(benchmark: Any, tmp_path: Path, per_day: int) -> None:
    week, gauge = a_week(per_day), Gauge(tmp_path)
    outcomes = {name: play(week, policy, gauge) for name, policy in POLICIES.items()}
    benchmark.pedantic(lambda: choose(HOURLY, Backlog(5, START, 9), fee=None, now=START), rounds=50)
    gauge.close()
    say(
        f"\n{DAYS} days of {per_day:,} events a day on a log of {BEFORE:,}; prices drawn, median "
        f"{median(week.prices) / GWEI:.1f} gwei"
    )
    columns = f"{'gas/event':>11}{'gwei/event':>12}{'gwei/gas':>9}{'longest wait':>13}{'median':>8}"
    say(f"{'policy':<38}{'anchors':>8}{columns}")
    for name, done in outcomes.items():
        say(
            f"{name:<38}{done.anchors:>8}{done.gas / week.events:>11,.2f}{done.fee_wei / GWEI / week.events:>12,.1f}"
            f"{done.fee_wei / done.gas / GWEI:>9.2f}{done.longest_s:>11,.0f} s{done.median_s:>6,.0f} s"
        )
    hourly = outcomes["hourly"]
    price = hourly.fee_wei / hourly.gas / GWEI
    for name, gas in (
        ("a transaction per event", PER_EVENT_GAS),
        ("a two-slot store, hourly", TWO_SLOT_GAS * hourly.anchors / week.events),
        ("a timestamp of a root, hourly", TIMESTAMP_GAS * hourly.anchors / week.events),
    ):
        say(f"{name:<38}{'':>8}{gas:>11,.2f}{gas * price:>12,.1f}")
    benchmark.extra_info |= {name: [done.anchors, done.gas, done.fee_wei] for name, done in outcomes.items()}
    for name, done in outcomes.items():
        assert done.longest_s <= POLICIES[name].after_s
    assert hourly.gas / week.events < PER_EVENT_GAS / 20


def drawn(gas: int) -> str:
    """Return the figure of the README: gas for an event against events in an anchor."""
    batches = [10**power for power in range(7)]
    lines = [Line("transaction per event", (float(PER_EVENT_GAS),) * 7)]
    lines += [
        Line(name, tuple(each / batch for batch in batches))
        for name, each in (
            ("two-slot store", TWO_SLOT_GAS),
            ("AnchorLog, proved", gas),
            ("timestamp of a root", TIMESTAMP_GAS),
        )
    ]
    return chart(
        "Gas for an event, by events in an anchor", unit="gas", labels=[f"{batch:,}" for batch in batches], lines=lines
    )


def test_draw_the_figure(tmp_path: Path) -> None:
    """Write docs/pictures/anchor-costs.svg; drawing it again changes nothing unless an anchor costs otherwise."""
    gauge = Gauge(tmp_path)
    gas = round(median(gauge.gas(BEFORE + 997 * n, BEFORE + 997 * (n + 1)) or 0 for n in range(25)))
    gauge.close()
    say(f"\nan anchor of about a thousand events on {BEFORE:,}: {gas:,} gas, median of 25")
    (Path(__file__).resolve().parents[2] / "docs" / "pictures" / "anchor-costs.svg").write_text(drawn(gas))
