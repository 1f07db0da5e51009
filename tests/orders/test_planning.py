from hypothesis import given
from hypothesis import strategies as st

from orders.planning import MINIMUM_LOT_G, Offer, countable_g, needed_g, plan
from orders.tiers import PRIOR_MASS_G, PRIOR_PER_MILLE, Tier, expected_shares

SHARES = dict(PRIOR_PER_MILLE)
TONNES = 10_000_000

demands = st.dictionaries(st.sampled_from([Tier.A, Tier.B, Tier.C]), st.integers(-10_000, 2_000_000), max_size=3)
masses = st.dictionaries(st.sampled_from(list(Tier)), st.integers(0, 50_000_000), max_size=4)
offers = st.lists(
    st.builds(
        Offer,
        plot=st.uuids().map(str),
        left_g=st.integers(0, 3_000_000),
        shares_per_mille=masses.map(expected_shares),
        is_open=st.booleans(),
    ),
    max_size=5,
)


def test_harvest_is_large_enough_for_the_tier_that_is_scarcest() -> None:
    found = plan({Tier.A: 45_000, Tier.C: 30_000}, [Offer("P1", TONNES, SHARES)], margin_per_mille=0)
    (task,) = found.tasks
    assert (task.tier_wanted, task.harvest_g) == (Tier.C, 200_000)
    assert task.expected_g[Tier.A] == 90_000
    assert found.unmet_g == {}


def test_plan_says_why_in_data() -> None:
    (task,) = plan({Tier.A: 4_500}, [Offer("P1", TONNES, SHARES, is_open=True)]).tasks
    assert task.harvest_g == MINIMUM_LOT_G
    assert [reason["code"] for reason in task.why] == ["tier_decides", "plot_already_open", "minimum_lot"]
    assert task.why[0] == {
        "code": "tier_decides",
        "tier": "A",
        "demand_g": 4_500,
        "share_per_mille": 450,
        "margin_per_mille": 70,
        "harvest_g": 10_700,
    }


def test_demand_beyond_one_plot_goes_on_to_the_next() -> None:
    found = plan({Tier.A: 90_000}, [Offer("P1", 100_000, SHARES), Offer("P2", 150_000, SHARES)], margin_per_mille=0)
    assert [(task.plot, task.harvest_g) for task in found.tasks] == [("P2", 150_000), ("P1", 50_000)]
    assert found.unmet_g == {}


def test_what_no_plot_can_give_is_named() -> None:
    found = plan({Tier.A: 90_000}, [Offer("P1", 100_000, SHARES)], margin_per_mille=0)
    assert found.unmet_g == {Tier.A: 45_000}
    assert found.tasks[0].why[-1] == {"code": "season_yield_left", "left_g": 100_000}


def test_nothing_sold_asks_for_nothing() -> None:
    assert plan({}, [Offer("P1", TONNES, SHARES)]).tasks == ()
    assert plan({Tier.A: 0, Tier.B: -5}, [Offer("P1", TONNES, SHARES)]).tasks == ()


@given(demands, offers)
def test_every_tier_is_met_or_its_lack_is_named(demand: dict[Tier, int], given_offers: list[Offer]) -> None:
    found = plan(demand, given_offers)
    for tier, grams in demand.items():
        counted = sum(task.expected_g[tier] for task in found.tasks)
        assert counted + found.unmet_g.get(tier, 0) >= grams
    if found.unmet_g:
        assert {task.plot for task in found.tasks} >= {
            offer.plot
            for offer in given_offers
            if offer.left_g > 0 and any(offer.shares_per_mille[tier] for tier in found.unmet_g)
        }


@given(demands, offers)
def test_no_plot_is_asked_twice_or_for_more_than_it_has(demand: dict[Tier, int], given_offers: list[Offer]) -> None:
    found = plan(demand, given_offers)
    left = {offer.plot: offer.left_g for offer in given_offers}
    assert len({task.plot for task in found.tasks}) == len(found.tasks)
    assert all(0 < task.harvest_g <= left[task.plot] for task in found.tasks)


@given(demands, offers, st.randoms())
def test_same_facts_in_any_order_give_the_same_plan(demand, given_offers, random) -> None:
    shuffled = list(given_offers)
    random.shuffle(shuffled)
    assert plan(demand, given_offers) == plan(dict(reversed(demand.items())), shuffled)


@given(st.integers(1, TONNES), st.integers(1, 1000), st.integers(0, 500))
def test_what_is_needed_can_be_counted_on(demand: int, share: int, margin: int) -> None:
    harvest = needed_g(demand, share_per_mille=share, margin_per_mille=margin)
    assert countable_g(harvest, share_per_mille=share, margin_per_mille=margin) >= demand


@given(masses)
def test_shares_add_up_to_the_whole(graded: dict[Tier, int]) -> None:
    shares = expected_shares(graded)
    assert sum(shares.values()) == 1000
    assert all(share >= 0 for share in shares.values())


def test_shares_move_from_the_prior_to_what_was_graded() -> None:
    assert expected_shares({}) == dict(PRIOR_PER_MILLE)
    assert expected_shares({Tier.A: PRIOR_MASS_G})[Tier.A] == (PRIOR_PER_MILLE[Tier.A] + 1000) // 2
    assert expected_shares({Tier.A: 1_000_000_000})[Tier.A] == 1000
