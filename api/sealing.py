"""How far a history has come: recorded, integrated, published, anchored. What we claim; the browser checks."""

from dataclasses import dataclass
from typing import Final

STATES: Final = ("recorded", "integrated", "published", "anchored")


@dataclass(frozen=True, slots=True)
class Sealing:
    """The furthest state that every entry of a history has reached."""

    last_index: int | None
    published_size: int
    anchored_size: int
    block: int | None = None
    contract: str | None = None
    chain_id: int | None = None

    @property
    def state(self) -> str:
        """The state in one word."""
        if self.last_index is None:
            return "recorded"
        if self.last_index < self.anchored_size:
            return "anchored"
        return "published" if self.last_index < self.published_size else "integrated"

    def reached(self, state: str) -> bool:
        """Return whether the history has come at least this far."""
        return STATES.index(state) <= STATES.index(self.state)

    def is_next(self, state: str) -> bool:
        """Return whether this is the state being waited for."""
        return STATES.index(state) == STATES.index(self.state) + 1
