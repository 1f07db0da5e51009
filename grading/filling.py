"""Which fruit go into the next pack: graded fruit in counting order until their mass reaches the label's. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ledger.kernel.quantities import divide_mass


@dataclass(frozen=True, slots=True)
class Portion:
    """One graded fruit: its record's `ni:` name and its share of the lot's measured mass."""

    record: str
    mass_g: int


def portions(seen: Sequence[tuple[str, int]], lot_mass_g: int) -> list[Portion]:
    """Return what each fruit weighs, so that all of them weigh what the lot does.

    `seen` holds record and camera volume (or mass); one camera, one error, so proportions are
    better than absolute values.
    """
    if not seen:
        return []
    shares = divide_mass(lot_mass_g, {record: max(1, size) for record, size in seen})
    return [Portion(record, int(mass)) for record, mass in shares.items()]


def fill(free: Sequence[Portion], nominal_g: int, *, taken: Collection[str] = ()) -> list[Portion]:
    """Return the fruit of the next pack, or an empty list where the free fruit do not reach its mass.

    Takes fruit in order until they weigh enough, then leaves out what is not needed.
    """
    chosen: list[Portion] = []
    total = 0
    for portion in free:
        if portion.record in taken:
            continue
        chosen.append(portion)
        total += portion.mass_g
        if total >= nominal_g:
            break
    if total < nominal_g:
        return []
    for portion in sorted(chosen, key=lambda each: each.mass_g):
        if total - portion.mass_g >= nominal_g:
            chosen.remove(portion)
            total -= portion.mass_g
    return chosen
