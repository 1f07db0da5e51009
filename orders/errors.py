"""What the orders side refuses.

OrderError
├── MessageError                 a sale platform's message that cannot be taken
│   ├── ForgedMessageError       no secret of ours made its signature
│   ├── StaleMessageError        its signed time is more than five minutes away
│   └── MalformedMessageError    signed, but not the message it claims to be; `path` says where
├── NotFoundError                nothing of this kind and name is known here
├── InvalidInputError            a field that cannot be what it says; `field` names it
├── ListingError                 an offer that cannot be made or changed
│   ├── BroadcastClosedError
│   ├── DuplicateListingError
│   └── BelowHeldError           fewer pieces than are already sold
├── PickError                    a pick confirmation that breaks a rule of the trade
│   ├── NotYourPlotError
│   ├── YieldCapError            more than the plot may yield this season
│   ├── TooEarlyError            before the waiting time after a treatment is over
│   └── CrateInUseError
├── LotStateError                a lot that is held, not yet received, already used
├── SamePartyError               a confirmation by the party that made the claim
├── QuotaError                   more codes than measured mass allows
├── PackError                    a pack that its lot, quota or label does not allow
└── LoadError                    a load whose packs are not free, or that is not where it should be
"""

from ledger.kernel.errors import OriginError


class OrderError(OriginError):
    """The orders side refuses."""

    code = "order"


class MessageError(OrderError):
    """A sale platform's message that cannot be taken."""

    code = "message"


class ForgedMessageError(MessageError):
    """No secret of ours made this signature, or there is none."""

    code = "message_forged"

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"message from {source} refused: {reason}")
        self.source, self.reason = source, reason


class StaleMessageError(MessageError):
    """The signed time is too far from now: a replay, or a clock that is wrong."""

    code = "message_stale"

    def __init__(self, source: str, *, away_s: int, allowed_s: int) -> None:
        side = "old" if away_s > 0 else "ahead of us"
        super().__init__(f"message from {source} is {abs(away_s)} s {side}; at most {allowed_s} s is accepted")
        self.source, self.away_s, self.allowed_s = source, away_s, allowed_s


class MalformedMessageError(MessageError):
    """Properly signed, but not the message it claims to be. `path` says where."""

    code = "message_malformed"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


class NotFoundError(OrderError):
    """Nothing of this kind and name is known here."""

    code = "not_found"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"no {kind} {name}")
        self.kind, self.name = kind, name


class InvalidInputError(OrderError):
    """A field that cannot be what it says."""

    code = "input_invalid"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


class ListingError(OrderError):
    """An offer that cannot be made or changed."""

    code = "listing"


class BroadcastClosedError(ListingError):
    """The broadcast is over; its offers stand as they are."""

    code = "broadcast_closed"

    def __init__(self, broadcast: str) -> None:
        super().__init__(f"broadcast {broadcast} is closed")
        self.broadcast = broadcast


class DuplicateListingError(ListingError):
    """A broadcast lists each tier once."""

    code = "listing_duplicate"

    def __init__(self, broadcast: str, tier: str) -> None:
        super().__init__(f"broadcast {broadcast} already lists tier {tier}")
        self.broadcast, self.tier = broadcast, tier


class BelowHeldError(ListingError):
    """An offer cannot shrink below what is sold already."""

    code = "listing_below_held"

    def __init__(self, tier: str, *, wanted: int, held: int) -> None:
        super().__init__(f"tier {tier}: cannot offer {wanted} pieces, {held} are sold")
        self.tier, self.wanted, self.held = tier, wanted, held


class PickError(OrderError):
    """A pick confirmation that breaks a rule of the trade."""

    code = "pick"


class NotYourPlotError(PickError):
    """Only the holder of a plot confirms what was picked on it."""

    code = "not_your_plot"

    def __init__(self, pick_order: str) -> None:
        super().__init__(f"pick order {pick_order} is for another holder's plot")
        self.pick_order = pick_order


class YieldCapError(PickError):
    """The plot cannot have yielded this much in one season."""

    code = "yield_cap"

    def __init__(self, plot: str, *, picked_g: int, left_g: int, cap_g: int) -> None:
        super().__init__(f"plot {plot}: {picked_g} g picked, but {left_g} g of its season's {cap_g} g are left")
        self.plot, self.picked_g, self.left_g, self.cap_g = plot, picked_g, left_g, cap_g


class TooEarlyError(PickError):
    """A treatment's waiting time is not over."""

    code = "pick_too_early"

    def __init__(self, plot: str, *, started_at: str, earliest_at: str) -> None:
        super().__init__(f"plot {plot} may be picked from {earliest_at} after its treatment, not at {started_at}")
        self.plot, self.started_at, self.earliest_at = plot, started_at, earliest_at


class CrateInUseError(PickError):
    """A crate holds one lot at a time."""

    code = "crate_in_use"

    def __init__(self, crate: str, lot: str) -> None:
        super().__init__(f"crate {crate} still holds lot {lot}")
        self.crate, self.lot = crate, lot


class LotStateError(OrderError):
    """The lot is not in a state in which this can be done."""

    code = "lot_state"

    def __init__(self, lot: str, *, state: str, needed: str, reason: str = "") -> None:
        super().__init__(f"lot {lot} is {state}{f' ({reason})' if reason else ''}; this needs {needed}")
        self.lot, self.state, self.needed, self.reason = lot, state, needed, reason


class SamePartyError(OrderError):
    """A confirmation counts only from the other side."""

    code = "same_party"

    def __init__(self, what: str, party: str) -> None:
        super().__init__(f"{what} was recorded by {party}; the other side has to confirm it")
        self.what, self.party = what, party


class QuotaError(OrderError):
    """More codes than the measured mass allows."""

    code = "quota"

    def __init__(self, lot: str, reason: str, *, wanted: int, allowed: int) -> None:
        super().__init__(f"lot {lot}: {reason} (wanted {wanted}, allowed {allowed})")
        self.lot, self.wanted, self.allowed = lot, wanted, allowed


class PackError(OrderError):
    """A pack that its lot, quota or label does not allow. `rule` is the stable word for which."""

    code = "pack"

    def __init__(self, rule: str, message: str, **facts: int | str) -> None:
        super().__init__(message)
        self.rule, self.facts = rule, facts


class LoadError(OrderError):
    """A load whose packs are not free, or that is not where it should be."""

    code = "load"

    def __init__(self, load: str, reason: str) -> None:
        super().__init__(f"load {load}: {reason}")
        self.load, self.reason = load, reason
