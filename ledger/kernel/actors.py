"""Who acts: a pseudonymous party in a role, perhaps at a place. Names and logins live in `api`."""

from dataclasses import dataclass
from enum import StrEnum

from ledger.kernel.ids import PartyId, PlaceId


class Role(StrEnum):
    """What an account may do."""

    HOST = "host"
    FARMER = "farmer"
    STATION = "station"
    MANAGER = "manager"
    AUDITOR = "auditor"
    DEVICE = "device"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Actor:
    """A party acting in one role. `site` is the place it works at, where that is fixed."""

    party: PartyId
    role: Role
    site: PlaceId | None = None
