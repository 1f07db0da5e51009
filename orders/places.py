"""The packing house that pick orders deliver to."""

from dataclasses import dataclass
from typing import Self

from ledger.kernel.ids import Numbering, PartyId, PlaceId

_HOUSE_REFERENCE = 10
_COOPERATIVE_REFERENCE = 1


@dataclass(frozen=True, slots=True)
class House:
    """A packing house: the place, and the party that holds what is in it."""

    place: PlaceId
    party: PartyId

    @classmethod
    def of(cls, numbering: Numbering) -> Self:
        """Return the packing house of an installation with one company prefix."""
        return cls(numbering.place(_HOUSE_REFERENCE), numbering.party(_HOUSE_REFERENCE))

    def spot(self, extension: str) -> PlaceId:
        """Return a dock, cooler or line in the house: `DOCK-IN`, `COOL-1`, `LINE-1`, `DOCK-OUT`."""
        return PlaceId(f"{self.place}/254/{extension}")


def cooperative(numbering: Numbering) -> PartyId:
    """Return the party that owns the fruit in an installation with one company prefix."""
    return numbering.party(_COOPERATIVE_REFERENCE)
