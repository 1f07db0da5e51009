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
    sent_size: int = 0
    """Entries under the largest head on its way into the chain."""
    included_size: int = 0
    """Entries under the largest head that a block holds, final or not."""

    @property
    def on_chain(self) -> str:
        """How far the whole history has come on the chain: `none`, `sent`, `included` or `final`."""
        sizes = {"final": self.anchored_size, "included": self.included_size, "sent": self.sent_size}
        if self.last_index is None:
            return "none"
        return next((word for word, size in sizes.items() if self.last_index < size), "none")

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
