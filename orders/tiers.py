"""Price tiers, and what share of a harvest each is expected to be. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Tier(StrEnum):
    """What a fruit is sold as. Every harvest brings all of them off the same trees."""

    A = "A"
    B = "B"
    C = "C"
    CULL = "cull"


SELLABLE: Final = (Tier.A, Tier.B, Tier.C)

PRIOR_PER_MILLE: Final[Mapping[Tier, int]] = {Tier.A: 450, Tier.B: 300, Tier.C: 150, Tier.CULL: 100}
"""What we expect of a variety nobody has graded here yet."""

PRIOR_MASS_G: Final = 200_000
"""How much graded fruit the prior is worth: after this much, what was seen weighs as heavily."""


def expected_shares(graded_g: Mapping[Tier, int]) -> dict[Tier, int]:
    """Return the expected share of each tier, in thousandths, adding up to 1000.

    The mean of a Dirichlet distribution: the prior counts as `PRIOR_MASS_G` grams, every graded gram
    as one more.
    """
    total = PRIOR_MASS_G + sum(graded_g.values())
    exact = {t: (PRIOR_PER_MILLE[t] * PRIOR_MASS_G + 1000 * graded_g.get(t, 0)) / total for t in Tier}
    shares = {tier: int(value) for tier, value in exact.items()}
    odd = 1000 - sum(shares.values())
    for tier in sorted(Tier, key=lambda t: (shares[t] - exact[t], t))[:odd]:
        shares[tier] += 1
    return shares
