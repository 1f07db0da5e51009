"""From tiers sold to kilograms asked of plots. Pure.

Nobody can pick grade A alone: a tree gives all tiers at once, in shares we expect. So each plot is
asked for a harvest large enough that every tier's demand is met, with a margin, and the plan says
why in data that a page can put into words.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from orders.tiers import Tier

MARGIN_PER_MILLE: Final = 70
MINIMUM_LOT_G: Final = 20_000
"""One crate: nobody walks to a tree for less."""
_STEP_G: Final = 100

Reason: TypeAlias = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Offer:
    """What a plot could give: grams left of its season, its expected shares in thousandths."""

    plot: str
    left_g: int
    shares_per_mille: Mapping[Tier, int]
    is_open: bool = False
    """Whether somebody is already sent there today."""


@dataclass(frozen=True, slots=True)
class PickTask:
    """Grams to pick on one plot, the tier that decided how many, and what may be counted on."""

    plot: str
    harvest_g: int
    tier_wanted: Tier
    demand_g: int
    expected_g: Mapping[Tier, int]
    why: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The tasks, and the grams of each tier that no plot can give."""

    tasks: tuple[PickTask, ...]
    unmet_g: Mapping[Tier, int]


def plan(
    demand_g: Mapping[Tier, int],
    offers: Iterable[Offer],
    *,
    margin_per_mille: int = MARGIN_PER_MILLE,
    minimum_lot_g: int = MINIMUM_LOT_G,
) -> Plan:
    """Return what to pick where so that every tier's demand is met.

    Plots already open come first, then those that can meet the demand alone, then the one that needs
    least, then the one with most left. The same input always gives the same plan.
    """
    missing = {tier: grams for tier, grams in demand_g.items() if grams > 0}
    left = {offer.plot: offer for offer in offers if offer.left_g > 0}
    tasks: list[PickTask] = []
    while missing and left:
        usable = [offer for offer in left.values() if _binding(missing, offer, margin_per_mille) is not None]
        if not usable:
            break
        offer = min(usable, key=lambda o: _rank(missing, o, margin_per_mille))
        task = _task(missing, offer, margin_per_mille, minimum_lot_g)
        tasks.append(task)
        del left[offer.plot]
        missing = {
            tier: grams - task.expected_g[tier] for tier, grams in missing.items() if grams > task.expected_g[tier]
        }
    return Plan(tuple(tasks), missing)


def needed_g(demand_g: int, *, share_per_mille: int, margin_per_mille: int) -> int:
    """Return the harvest that brings `demand_g` of a tier with the margin to spare, in whole hundred grams."""
    exact = -(-demand_g * (1000 + margin_per_mille) // share_per_mille)
    return -(-exact // _STEP_G) * _STEP_G


def countable_g(harvest_g: int, *, share_per_mille: int, margin_per_mille: int) -> int:
    """Return how much of a tier to count on from a harvest: its share, less the margin."""
    return harvest_g * share_per_mille // (1000 + margin_per_mille)


def _binding(missing: Mapping[Tier, int], offer: Offer, margin_per_mille: int) -> tuple[Tier, int] | None:
    """Return the tier that needs the largest harvest of this plot, and that harvest."""
    needs = [
        (needed_g(grams, share_per_mille=share, margin_per_mille=margin_per_mille), tier)
        for tier, grams in sorted(missing.items())
        if (share := offer.shares_per_mille.get(tier, 0)) > 0
    ]
    if not needs:
        return None
    harvest_g, tier = max(needs, key=lambda need: need[0])
    return tier, harvest_g


def _rank(missing: Mapping[Tier, int], offer: Offer, margin_per_mille: int) -> tuple[bool, bool, int, int, str]:
    binding = _binding(missing, offer, margin_per_mille)
    harvest_g = binding[1] if binding else 0
    return (not offer.is_open, harvest_g > offer.left_g, harvest_g, -offer.left_g, offer.plot)


def _task(missing: Mapping[Tier, int], offer: Offer, margin_per_mille: int, minimum_lot_g: int) -> PickTask:
    binding = _binding(missing, offer, margin_per_mille)
    assert binding is not None  # noqa: S101  # the caller kept only such plots
    tier, harvest_g = binding
    why: list[Reason] = [
        {
            "code": "tier_decides",
            "tier": tier,
            "demand_g": missing[tier],
            "share_per_mille": offer.shares_per_mille[tier],
            "margin_per_mille": margin_per_mille,
            "harvest_g": harvest_g,
        }
    ]
    if offer.is_open:
        why.append({"code": "plot_already_open"})
    if harvest_g < minimum_lot_g:
        harvest_g = minimum_lot_g
        why.append({"code": "minimum_lot", "minimum_g": minimum_lot_g})
    if harvest_g > offer.left_g:
        harvest_g = offer.left_g
        why.append({"code": "season_yield_left", "left_g": offer.left_g})
    expected = {
        t: countable_g(harvest_g, share_per_mille=offer.shares_per_mille.get(t, 0), margin_per_mille=margin_per_mille)
        for t in Tier
    }
    return PickTask(offer.plot, harvest_g, tier, missing[tier], expected, tuple(why))
