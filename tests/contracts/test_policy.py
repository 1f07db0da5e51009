"""When the policy anchors, and what: never later than the delay, and not oftener than needed."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.outbox import policy_of
from contracts.policy import GRACE_S, Backlog, BlockFee, Choice, Policy, Reason, choose, is_late
from contracts.transactions import GWEI
from ledger.kernel.settings import Settings

START = datetime(2026, 4, 18, tzinfo=UTC)
CHEAP = BlockFee(GWEI, GWEI // 10)
policies = st.builds(
    Policy,
    after_s=st.integers(5, 7200).map(float),
    after_entries=st.sampled_from([0, 1, 50, 5000]),
    fee_wei=st.sampled_from([0, 5 * GWEI]),
    cheap_percent=st.sampled_from([0, 25, 100]),
)
fees = st.builds(
    BlockFee,
    base_wei=st.integers(0, 60 * GWEI),
    priority_wei=st.just(GWEI // 10),
    recent_wei=st.lists(st.integers(0, 60 * GWEI), max_size=20).map(tuple),
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def backlog(*heads: tuple[int, float], anchored: int = 100) -> Backlog:
    return Backlog(anchored, at(heads[0][1]) if heads else None, heads[-1][0] if heads else 0)


@pytest.mark.parametrize(
    ("behind", "now_s", "fee", "wanted"),
    [
        (backlog(), 0, CHEAP, Choice(Reason.NOTHING_NEW)),
        (backlog((7, 0), anchored=0), 0, CHEAP, Choice(Reason.FIRST, 7, at(3600))),
        (backlog((101, 0)), 1700, CHEAP, Choice(Reason.NOT_YET, None, at(3600))),
        (backlog((101, 0)), 1800, CHEAP, Choice(Reason.FEE, 101, at(3600))),
        (backlog((101, 0)), 1800, None, Choice(Reason.NOT_YET, None, at(3600), asks_fee=True)),
        (backlog((101, 0)), 1800, BlockFee(9 * GWEI, 0), Choice(Reason.NOT_YET, None, at(3600))),
        (backlog((101, 0)), 3599, BlockFee(9 * GWEI, 0), Choice(Reason.NOT_YET, None, at(3600))),
        (backlog((101, 0)), 3599.5, BlockFee(9 * GWEI, 0), Choice(Reason.AGE, 101, at(3600))),
        (backlog((101, 0)), 9000, BlockFee(60 * GWEI, 0), Choice(Reason.TOO_DEAR, None, at(3600))),
        (backlog((101, 0)), 9000, BlockFee(49 * GWEI, 2 * GWEI), Choice(Reason.TOO_DEAR, None, at(3600))),
        (backlog((101, 0), (400, 1)), 5, BlockFee(9 * GWEI, 0), Choice(Reason.SIZE, 400, at(3600))),
        (backlog((101, 0), (399, 1)), 5, BlockFee(9 * GWEI, 0), Choice(Reason.NOT_YET, None, at(3600))),
    ],
    ids=range(12),
)
def test_age_size_and_fee_decide(behind: Backlog, now_s: float, fee: BlockFee | None, wanted: Choice) -> None:
    policy = Policy(3600, after_entries=300, fee_wei=5 * GWEI, max_fee_wei=50 * GWEI)
    assert choose(policy, behind, fee=fee, now=at(now_s)) == wanted


@pytest.mark.parametrize(
    ("base", "now_s", "goes"),
    [
        (24, 1800, True),
        (26, 1800, False),  # one of twice as many anchors must cost half
        (37, 2700, True),
        (38, 2700, False),
        (49, 3590, True),
        (50, 3590, False),  # where prices stand still, nothing is gained by going early
        (1, 1799, False),  # before half the time nobody looks
    ],
    ids=range(7),
)
def test_cheap_means_cheap_enough_for_going_so_early(base: int, now_s: float, *, goes: bool) -> None:
    policy = Policy(3600, cheap_percent=50)
    fee = BlockFee(base, 0, (10, 90, 50, 50, 50))
    chosen = choose(policy, backlog((101, 0)), fee=fee, now=at(now_s))
    assert (chosen.reason is Reason.FEE) is goes
    assert choose(Policy(3600), backlog((101, 0)), fee=fee, now=at(now_s)).size is None
    assert choose(policy, backlog((101, 0)), fee=BlockFee(base, 0), now=at(now_s)).size is None  # nothing known


@given(policies, fees, st.floats(0, 8000), st.floats(0, 8000), st.integers(1, 6000), st.integers(0, 6000))
def test_more_age_and_more_entries_never_turn_yes_into_no(
    policy: Policy, fee: BlockFee, now_s: float, more_s: float, entries: int, more: int
) -> None:
    first = choose(policy, backlog((100 + entries, 0)), fee=fee, now=at(now_s))
    if first.size is not None:
        assert choose(policy, backlog((100 + entries, 0)), fee=fee, now=at(now_s + more_s)).size is not None
        assert choose(policy, backlog((100 + entries + more, 0)), fee=fee, now=at(now_s)).size is not None


@given(policies, fees, st.integers(0, 60 * GWEI), st.floats(0, 8000))
def test_a_cheaper_block_never_turns_yes_into_no(policy: Policy, fee: BlockFee, cheaper: int, now_s: float) -> None:
    cheap = BlockFee(min(cheaper, fee.base_wei), fee.priority_wei, fee.recent_wei)
    if choose(policy, backlog((300, 0)), fee=fee, now=at(now_s)).size is not None:
        assert choose(policy, backlog((300, 0)), fee=cheap, now=at(now_s)).size is not None


@given(policies, st.floats(0, 8000))
def test_without_a_price_only_what_holds_at_any_price_is_decided(policy: Policy, now_s: float) -> None:
    blind = choose(policy, backlog((300, 0)), fee=None, now=at(now_s))
    for fee in (CHEAP, BlockFee(40 * GWEI, 0), BlockFee(3, 1, (1, 2, 3))):
        seeing = choose(policy, backlog((300, 0)), fee=fee, now=at(now_s))
        assert (seeing.size is not None) == (blind.size is not None) or blind.asks_fee


def a_day(policy: Policy, *, seed: int, hours: float = 3.0) -> tuple[list[tuple[float, int, Reason]], dict[int, float]]:
    """Every anchor of some hours, and when each head was published. Somebody looks every second."""
    random = Random(seed)
    heads: dict[int, float] = {}
    anchors: list[tuple[float, int, Reason]] = []
    size, anchored, price = 0, 0, 10.0
    for second in range(round(hours * 3600)):
        if second % 10 == 0 and random.random() < 0.7:
            size += random.randrange(1, 200)
            heads[size] = second
        price = max(0.5, price + random.uniform(-0.3, 0.3))
        oldest = next((at(s) for one, s in heads.items() if one > anchored), None)
        fee = BlockFee(round(price * GWEI), GWEI // 10, (8 * GWEI, 10 * GWEI, 12 * GWEI))
        chosen = choose(policy, Backlog(anchored, oldest, size if heads else 0), fee=fee, now=at(second))
        if chosen.size is not None:
            anchored = chosen.size
            anchors.append((second, anchored, chosen.reason))
    return anchors, heads


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "policy",
    [
        Policy(600),
        Policy(60),
        Policy(900, after_entries=4000),
        Policy(1200, fee_wei=9 * GWEI),
        Policy(900, cheap_percent=50),
    ],
    ids=range(5),
)
def test_no_head_waits_longer_than_the_delay_and_none_goes_sooner_than_it_must(policy: Policy, seed: int) -> None:
    anchors, heads = a_day(policy, seed=seed, hours=1.0)
    assert len(anchors) > 2
    for size, published in heads.items():
        done = next((second for second, anchored, _ in anchors if anchored >= size), None)
        if done is None:
            assert 3600 - published <= policy.after_s
        else:
            assert done - published <= policy.after_s
    for (before, small, _), (after, large, reason) in pairwise(anchors):
        assert large > small
        if reason is Reason.AGE:
            assert after - before >= policy.after_s - policy.every_s - 1
        if reason is Reason.FEE:
            assert after - before >= policy.after_s / 2 - 1
        if reason is Reason.SIZE:
            assert large - small >= policy.after_entries


def test_late_is_what_waits_longer_than_an_anchor_may_take() -> None:
    policy = Policy(600)
    assert not is_late(policy, None, now=at(0))
    assert not is_late(policy, at(0), now=at(600 + GRACE_S))
    assert is_late(policy, at(0), now=at(601 + GRACE_S))


def test_the_settings_become_a_policy() -> None:
    policy = policy_of(Settings(anchor_after_s=60, anchor_after_entries=9, anchor_fee_gwei=1.5, max_fee_gwei=7))
    assert (policy.after_s, policy.after_entries, policy.fee_wei, policy.max_fee_wei) == (60, 9, 15 * 10**8, 7 * GWEI)
