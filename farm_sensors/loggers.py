"""Follows the log for loggers that travel: `loaded` takes one along with a load, `delivered` sends it home."""

from typing import ClassVar

from sqlmodel import Session

from farm_sensors.devices import attach, find
from farm_sensors.errors import UnknownDeviceError
from farm_sensors.events import is_load
from ledger.events import AggregationEvent, Event
from ledger.kernel.clock import parse_time
from ledger.kernel.ids import CANONICAL_HOST, LoadId, PlaceId
from ledger.models import Entry
from ledger.vocabulary import Action, Sentence


class Loggers:
    """A follower. Handling an entry twice changes nothing; devices of others are left alone."""

    name: ClassVar[str] = "farm_sensors.loggers"
    sentences: ClassVar[frozenset[str]] = frozenset({Sentence.LOADED.value, Sentence.DELIVERED.value})

    def handle(self, session: Session, entry: Entry, event: Event) -> None:
        """Attach the loggers among the children to the load, or back to where they were enrolled."""
        del entry
        if not isinstance(event, AggregationEvent) or event.parent_id is None or not is_load(event.parent_id):
            return
        leaves = event.sentence == Sentence.LOADED and event.action is Action.ADD
        for child in event.child_epcs:
            if not child.startswith(f"{CANONICAL_HOST}/8004/"):
                continue
            try:
                home = PlaceId(find(session, child).place)
            except UnknownDeviceError:
                continue
            attach(session, child, LoadId(event.parent_id) if leaves else home, now=parse_time(event.event_time))
