"""Whole grams, whole millimetres, whole minor units of money. Floats stay in image measurement."""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import NewType, TypeVar

from ledger.kernel.errors import QuantityError

K = TypeVar("K")

Grams = NewType("Grams", int)
Millimetres = NewType("Millimetres", int)
Fen = NewType("Fen", int)
"""Hundredths of a yuan."""

MAX_MASS_G = 100_000_000
"""One hundred tonnes: no single fact in this trade weighs more."""


def grams(value: int) -> Grams:
    """Return the value as grams. Raises QuantityError below zero or above any lorry."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise QuantityError(f"{value!r} is not a whole number of grams")
    if not 0 <= value <= MAX_MASS_G:
        raise QuantityError(f"{value} g is outside 0 to {MAX_MASS_G} g")
    return Grams(value)


def grams_from_kilograms(text: str | float | Decimal) -> Grams:
    """Return the grams in a number of kilograms as people type it; half a gram rounds to even."""
    try:
        kilograms = Decimal(str(text).strip())
        whole = int((kilograms * 1000).to_integral_value(ROUND_HALF_EVEN))
    except (ArithmeticError, ValueError) as error:
        raise QuantityError(f"{text!r} is not a number of kilograms") from error
    return grams(whole)


def format_kilograms(mass_g: int) -> str:
    """Return `2.31` for 2310 g: at most three decimals, none that are zero."""
    text = f"{Decimal(mass_g) / 1000:.3f}".rstrip("0").rstrip(".")
    return text or "0"


def format_yuan(price_fen: int) -> str:
    """Return `49.90` for 4990 fen."""
    return f"{Decimal(price_fen) / 100:.2f}"


def divide_mass(whole_g: int, weights: Mapping[K, int | float]) -> dict[K, Grams]:
    """Share a measured mass out in proportion, in whole grams that add up to it exactly.

    Largest remainders get the odd grams; ties go to the earlier key. All-zero weights share nothing
    and raise QuantityError, because a mass must not vanish.
    """
    total = sum(weights.values())
    if total <= 0:
        raise QuantityError("a mass cannot be shared out over nothing")
    exact = {key: Decimal(whole_g) * Decimal(str(w)) / Decimal(str(total)) for key, w in weights.items()}
    shares = {key: int(value) for key, value in exact.items()}
    odd = whole_g - sum(shares.values())
    by_remainder: Sequence[K] = sorted(exact, key=lambda key: exact[key] - shares[key], reverse=True)
    for key in by_remainder[:odd]:
        shares[key] += 1
    return {key: Grams(value) for key, value in shares.items()}
