"""The history of an identifier: everything behind a pack, lot or plot, and the journey ahead of it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Final

import msgspec
from sqlalchemy import Select, Table, bindparam
from sqlmodel import Session, col, select

from ledger.errors import UnknownIdentifierError
from ledger.kernel.clock import format_time, parse_time
from ledger.lineage import Found, Query, Role, Stance, sentence_of, walk
from ledger.log import pages
from ledger.models import Entry, Naming

LIMIT: Final = 1000
"""A history holds at most so many entries; a longer one says that it was cut."""

_NAMING: Final[Table] = Naming.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
_ENTRY: Final[Table] = Entry.__table__  # type: ignore[attr-defined]
_PAGE: Final = 500
_MOST_HITS: Final = 5000
"""One question answers with at most so many entries, the newest."""


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of a history."""

    entry_id: int
    index: int | None
    """Place in the log; None while it is recorded only."""
    data: bytes
    event: Mapping[str, Any]
    """The JSON-LD form of the data."""
    stance: Stance
    declared_wrong_by: str | None
    """The reason of an error declaration for this event, where there is one; the declaration itself keeps None."""

    @property
    def sentence(self) -> str:
        """`packed/1`, or empty."""
        return sentence_of(self.event)

    @property
    def event_id(self) -> str:
        """The event's own id."""
        return str(self.event["eventID"])

    @property
    def event_time(self) -> datetime:
        """When it happened."""
        return parse_time(self.event["eventTime"])

    @property
    def is_declaration(self) -> bool:
        """Whether this entry declares an earlier one wrong, and otherwise repeats it."""
        return "errorDeclaration" in self.event


@dataclass(frozen=True, slots=True)
class History:
    """Everything the log tells of a thing, in the order it happened."""

    subject: str
    steps: tuple[Step, ...]
    is_cut: bool
    """Whether there is more than LIMIT entries."""

    def effective(self) -> tuple[Step, ...]:
        """Return the steps without what was declared wrong and without the declarations."""
        return tuple(s for s in self.steps if s.declared_wrong_by is None and not s.is_declaration)


def history(session: Session, identifier: str, *, limit: int = LIMIT, below: int | None = None) -> History:
    """Return all that concerns an identifier, by event time. Raises UnknownIdentifierError.

    With `below`, only what has a log index smaller than that.
    """
    finder = _Finder(session, below)
    reached, is_cut = walk(identifier, finder, limit=limit)
    if not reached:
        raise UnknownIdentifierError(identifier)
    rows = [finder.entries[key] for key in reached]
    wrong = {
        row.event["eventID"]: str(row.event["errorDeclaration"].get("reason", ""))
        for row in rows
        if "errorDeclaration" in row.event
    }
    steps = [
        Step(
            entry_id=row.entry_id,
            index=row.index,
            data=row.data,
            event=row.event,
            stance=reached[row.entry_id],
            declared_wrong_by=None if "errorDeclaration" in row.event else wrong.get(row.event["eventID"]),
        )
        for row in rows
    ]
    steps.sort(key=lambda step: (step.event["eventTime"], step.entry_id))
    return History(identifier, tuple(steps), is_cut)


def entries_naming(session: Session, identifier: str, *, sentences: Collection[str] = ()) -> list[Entry]:
    """Return the entries that name an identifier in any role, in log order; those not yet integrated come last."""
    statement = select(Entry).join(Naming, col(Naming.entry_id) == col(Entry.id)).where(Naming.identifier == identifier)
    if sentences:
        statement = statement.where(col(Naming.sentence).in_(sorted(sentences)))
    return list(session.exec(statement.order_by(col(Entry.leaf_index).nulls_last(), col(Entry.id))))


@dataclass(frozen=True, slots=True)
class _Row:
    entry_id: int
    index: int | None
    data: bytes
    event: Mapping[str, Any]


class _Finder:
    """Answers the questions of a walk from the index, a round at a time and in few statements."""

    def __init__(self, session: Session, below: int | None) -> None:
        self._session, self._below = session, below
        self.entries: dict[int, _Row] = {}

    def __call__(self, queries: Sequence[Query]) -> Iterable[Found]:
        by_event = {query.identifier: query for query in queries if query.stance is Stance.EVENT}
        listed = [query for query in queries if query.sentences and not (query.newest or query.since)]
        alike: dict[Query, dict[str, Query]] = {}
        for query in queries:
            if query.stance is not Stance.EVENT and query not in listed:
                alike.setdefault(replace(query, identifier=""), {})[query.identifier] = query
        hits = list(self._ask_listed(listed)) if listed else []
        for shape, group in alike.items():
            hits += self._ask(shape, group)
        hits += self._load({key for _, key in hits} - self.entries.keys(), by_event)
        return [Found(query, key, self.entries[key].event) for query, key in hits if key in self.entries]

    def _ask(self, shape: Query, group: Mapping[str, Query]) -> Iterator[tuple[Query, int]]:
        """Ask one question about many identifiers at once."""
        given: dict[str, Any] = {
            "identifiers": list(group),
            "mask": shape.roles,
            "sentences": shape.sentences or shape.without,
            "most": shape.newest or _MOST_HITS,
        }
        if shape.since:
            given |= {"since": parse_time(shape.since), "until": parse_time(shape.until)}
        statement = _question(
            has_sentences=bool(shape.sentences), has_without=bool(shape.without), has_times=bool(shape.since)
        )
        for row in self._session.execute(statement, given):
            yield group[row.identifier], row.entry_id

    def _ask_listed(self, queries: Sequence[Query]) -> Iterator[tuple[Query, int]]:
        """Ask for a few sentences about many identifiers; which of them each one wanted is sorted out here."""
        wanted: dict[str, list[Query]] = {}
        for query in queries:
            wanted.setdefault(query.identifier, []).append(query)
        given = {
            "identifiers": list(wanted),
            "mask": Role.ANY,
            "sentences": sorted({sentence for query in queries for sentence in query.sentences}),
            "most": _MOST_HITS,
        }
        statement = _question(has_sentences=True, has_without=False, has_times=False)
        for row in self._session.execute(statement, given):
            for query in wanted[row.identifier]:
                is_in_time = query.until == "~" or row.event_time <= parse_time(query.until)
                if row.roles & query.roles and row.sentence in query.sentences and is_in_time:
                    yield query, row.entry_id

    def _load(self, keys: Collection[int], by_event: Mapping[str, Query]) -> Iterator[tuple[Query, int]]:
        """Read the entries of some keys and of some eventIDs; yield the answers the latter are."""
        statement = _entries(is_bounded=self._below is not None)
        identifiers = sorted(by_event)
        for page in pages(sorted(keys), _PAGE) if keys else [()]:
            given = {"keys": page, "event_ids": identifiers, "below": self._below}
            for entry_id, event_id, index, data in self._session.execute(statement, given):
                if entry_id not in self.entries:
                    event = _event_in(data) or self._event_in_columns(entry_id)
                    self.entries[entry_id] = _Row(entry_id, index, data, event)
                if event_id in by_event:
                    yield by_event[event_id], entry_id

    def _event_in_columns(self, entry_id: int) -> Mapping[str, Any]:
        """What the row beside damaged bytes says of the event: enough to show that it is there."""
        entry = self._session.get_one(Entry, entry_id)
        return {
            "type": entry.event_type,
            "eventID": entry.event_id,
            "eventTime": format_time(entry.event_time),
            "gy:sentence": entry.sentence,
        }


@cache
def _question(*, has_sentences: bool, has_without: bool, has_times: bool) -> Select[Any]:
    """The one statement for all questions of a shape: building it anew each time would cost more than asking."""
    statement: Select[Any] = select(*_NAMING.c).where(
        _NAMING.c.identifier.in_(bindparam("identifiers", expanding=True)),
        _NAMING.c.roles.bitwise_and(bindparam("mask")) != 0,
    )
    if has_sentences:
        statement = statement.where(_NAMING.c.sentence.in_(bindparam("sentences", expanding=True)))
    if has_without:
        statement = statement.where(_NAMING.c.sentence.not_in(bindparam("sentences", expanding=True)))
    if has_times:
        statement = statement.where(_NAMING.c.event_time.between(bindparam("since"), bindparam("until")))
    return statement.order_by(_NAMING.c.event_time.desc(), _NAMING.c.entry_id.desc()).limit(bindparam("most"))


@cache
def _entries(*, is_bounded: bool) -> Select[Any]:
    statement: Select[Any] = select(_ENTRY.c.id, _ENTRY.c.event_id, _ENTRY.c.leaf_index, _ENTRY.c.data).where(
        _ENTRY.c.id.in_(bindparam("keys", expanding=True))
        | _ENTRY.c.event_id.in_(bindparam("event_ids", expanding=True))
    )
    return statement.where(_ENTRY.c.leaf_index < bindparam("below")) if is_bounded else statement


def _event_in(data: bytes) -> Mapping[str, Any] | None:
    """The event in an entry's bytes, or None where they were damaged."""
    try:
        event = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    is_event = isinstance(event, dict) and all(
        isinstance(event.get(key), str) for key in ("type", "eventID", "eventTime")
    )
    return event if is_event else None
