"""The history of an identifier: everything behind a pack, lot or plot, and the journey ahead of it, with quantities.

`history` walks by the rules a proof is checked with (`ledger.lineage`). `flow` keeps the books over what moved
(`ledger.holdings`) and says how many grams came from where and went where. `trace` is both.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Final

import msgspec
from sqlalchemy import Select, Table, bindparam
from sqlmodel import Session, col, select

from ledger.errors import UnknownIdentifierError
from ledger.flow import Amount, Kind, Spread, spread, supply, together
from ledger.gather import FLOW_LIMIT, Gathered, Way, gather, sentences_naming
from ledger.holdings import Account, Books, Fact, effective, replay
from ledger.kernel.clock import format_time, parse_time
from ledger.lineage import Found, Query, Role, Stance, sentence_of, walk
from ledger.log import pages
from ledger.models import Entry, Naming
from ledger.reach import Reach, Share, reach, shares, subject_nodes

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
    corrected_by: tuple[str, ...] = ()
    """The events that its error declaration names as the right ones."""
    corrects: tuple[str, ...] = ()
    """The events declared wrong that it puts right."""

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

    @property
    def is_effective(self) -> bool:
        """Whether it counts: it was not declared wrong, and declares nothing."""
        return self.declared_wrong_by is None and not self.is_declaration


@dataclass(frozen=True, slots=True)
class History:
    """Everything the log tells of a thing, in the order it happened."""

    subject: str
    steps: tuple[Step, ...]
    is_cut: bool
    """Whether there is more than LIMIT entries."""

    def effective(self) -> tuple[Step, ...]:
        """Return the steps without what was declared wrong and without the declarations."""
        return tuple(step for step in self.steps if step.is_effective)


def history(session: Session, identifier: str, *, limit: int = LIMIT, below: int | None = None) -> History:
    """Return all that concerns an identifier, by event time. Raises UnknownIdentifierError.

    With `below`, only what has a log index smaller than that.
    """
    finder = _Finder(session, below, limit)
    reached, is_cut = walk(identifier, finder, limit=limit)
    if not reached:
        raise UnknownIdentifierError(identifier)
    steps = _steps([(finder.entries[key], stance) for key, stance in reached.items()])
    return History(identifier, steps, is_cut)


def _steps(rows: Sequence[tuple["_Row", Stance]]) -> tuple[Step, ...]:
    """The entries in the order things happened, each marked with what corrects it and what it corrects."""
    declarations = {row.event["eventID"]: row.event["errorDeclaration"] for row, _ in rows if _declares(row)}
    corrected: dict[str, list[str]] = {}
    for event_id, declaration in declarations.items():
        for other in declaration.get("correctiveEventIDs", ()):
            corrected.setdefault(other, []).append(event_id)
    steps = []
    for row, stance in rows:
        event_id = row.event["eventID"]
        declaration = None if _declares(row) else declarations.get(event_id)
        steps.append(
            Step(
                entry_id=row.entry_id,
                index=row.index,
                data=row.data,
                event=row.event,
                stance=stance,
                declared_wrong_by=None if declaration is None else str(declaration.get("reason", "")),
                corrected_by=() if declaration is None else tuple(declaration.get("correctiveEventIDs", ())),
                corrects=() if _declares(row) else tuple(corrected.get(event_id, ())),
            )
        )
    return tuple(sorted(steps, key=lambda step: (step.event["eventTime"], step.entry_id)))


def _declares(row: "_Row") -> bool:
    return "errorDeclaration" in row.event


def entries_naming(session: Session, identifier: str, *, sentences: Collection[str] = ()) -> list[Entry]:
    """Return the entries that name an identifier in any role, in log order; those not yet integrated come last."""
    statement = select(Entry).join(Naming, col(Naming.entry_id) == col(Entry.id)).where(Naming.identifier == identifier)
    if sentences:
        statement = statement.where(col(Naming.sentence).in_(sorted(sentences)))
    return list(session.exec(statement.order_by(col(Entry.leaf_index).nulls_last(), col(Entry.id))))


# --- with quantities -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Flow:
    """How many grams came into a thing from where, and went from it where."""

    subject: str
    amount: Amount
    """How much there is, or was, of the subject. UNKNOWN where no event gives a mass."""
    behind: tuple[Share, ...]
    unexplained: Amount
    """How much of it came from nowhere by the books: first seen without an origin, grown, or weighed more."""
    ahead: Reach
    events: Mapping[int, Fact]
    """The events named in the reach, by their keys."""
    keys: Mapping[int, Stance]
    """Every entry that concerns what is behind and ahead, those declared wrong included."""
    is_cut: bool
    """Whether more than FLOW_LIMIT entries would have had to be read: then something may be missing."""


def flow(session: Session, identifier: str, *, limit: int = FLOW_LIMIT) -> Flow:
    """Return where the grams of a thing came from and where they went, over the effective history.

    What nobody weighed is unknown, and says so. A thing that no event moved (a document, a device) has an empty flow.
    """
    start = Way.AHEAD | Way.BEHIND | Way.WITHIN | Way.GROWN
    gathered = gather(session, {identifier: start}, limit=limit)
    return flow_in(gathered, identifier)


def flow_in(gathered: Gathered, identifier: str) -> Flow:
    """Return the flow of a thing over events that were read. Pure."""
    books = replay(effective(gathered.accounts))
    nodes = subject_nodes(books, identifier)
    forward = spread(books.graph, nodes)
    backward = spread(books.graph, nodes, backward=True)
    ahead = reach(books, forward)
    return Flow(
        subject=identifier,
        amount=supply(books.graph, nodes),
        behind=tuple(shares(books, backward, identifier)),
        unexplained=together(books.graph, backward, _unexplained(books, backward)),
        ahead=ahead,
        events=books.facts,
        keys=_concerned(gathered.accounts, books, backward, forward, ahead, identifier),
        is_cut=gathered.is_cut,
    )


def _unexplained(books: Books, backward: Spread) -> list[int]:
    nodes = books.graph.nodes
    return [n for n in backward.content if nodes[n].kind is Kind.ORIGIN and nodes[n].note != "created"]


def _concerned(  # noqa: PLR0917  # of one caller
    accounts: Sequence[Account], books: Books, backward: Spread, forward: Spread, ahead: Reach, subject: str
) -> dict[int, Stance]:
    """Every entry that moved, or names, what is behind or ahead, while it was that."""
    found: dict[int, Stance] = dict.fromkeys(ahead.keys, Stance.AHEAD)
    spans: dict[str, list[tuple[int, int | None]]] = {subject: [(-1, None)]}
    stances: dict[str, Stance] = {subject: Stance.SUBJECT}
    for side, stance in ((forward, Stance.AHEAD), (backward, Stance.BEHIND)):
        for edge in side.moved:
            if books.graph.edges[edge].key >= 0:
                found.setdefault(books.graph.edges[edge].key, stance)
        for node in side.content:
            at = books.graph.nodes[node]
            if at.kind is not Kind.STOCK:
                continue
            stances.setdefault(at.item, stance)
            spans.setdefault(at.item, []).append((-1, None))
            if at.holder:
                stances.setdefault(at.holder, stance)
                spans.setdefault(at.holder, []).append((at.born, at.closed))
    for name in list(spans):
        for stay in books.carriers(name):
            for since, until in spans[name]:
                starts, ends = max(stay.since, since), _earlier(stay.until, until)
                if ends is None or starts <= ends:
                    stances.setdefault(stay.parent, stances[name])
                    spans.setdefault(stay.parent, []).append((starts, ends))
                    found.setdefault(stay.key, stances[name])
    for account in accounts:
        fact, order = account.fact, books.order.get(account.key)
        named = (*fact.objects(), fact.parent_id) if order is not None else (*_all_names(fact),)
        for name in named:
            if account.key not in found and any(_is_within(order, span) for span in spans.get(name, ())):
                found[account.key] = stances[name]
    return found


def _all_names(fact: Fact) -> Iterator[str]:
    """What an event that does not count is about. (Only its parent's or its product's history shows it.)"""
    yield from fact.objects()
    yield from fact.outputs()
    if fact.parent_id:
        yield fact.parent_id


def _is_within(order: int | None, span: tuple[int, int | None]) -> bool:
    return order is None or (span[0] <= order and (span[1] is None or order <= span[1]))


def _earlier(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


@dataclass(frozen=True, slots=True)
class Trace:
    """A history and its quantities. The steps hold those of the history, and what only the flow leads to."""

    history: History
    flow: Flow


def trace(session: Session, identifier: str, *, limit: int = LIMIT) -> Trace:
    """Return everything behind and ahead of a thing, with quantities. Raises UnknownIdentifierError.

    The steps may be more than a proof holds: a proof is bound to the rules of connection, a trace follows goods through
    every container that held them.
    """
    found = history(session, identifier, limit=limit)
    flowed = flow(session, identifier)
    known = {step.entry_id for step in found.steps}
    missing = [key for key in flowed.keys if key not in known]
    room = max(0, limit - len(found.steps))
    if not missing or found.is_cut:
        return Trace(found, flowed)
    finder = _Finder(session, None, limit)
    rows = [(_Row(step.entry_id, step.index, step.data, step.event), step.stance) for step in found.steps]
    finder.load(missing[:room])
    rows += [(finder.entries[key], flowed.keys[key]) for key in missing if key in finder.entries]
    return Trace(History(identifier, _steps(rows), len(missing) > room), flowed)


@dataclass(frozen=True, slots=True)
class _Row:
    entry_id: int
    index: int | None
    data: bytes
    event: Mapping[str, Any]


class _Finder:
    """Answers the questions of a walk from the index, a round at a time and in few statements."""

    def __init__(self, session: Session, below: int | None, limit: int) -> None:
        self._session, self._below, self._limit = session, below, limit
        self._sentences: list[str] | None = None
        self.entries: dict[int, _Row] = {}

    def __call__(self, queries: Sequence[Query]) -> Iterable[Found]:
        by_event = {query.identifier: query for query in queries if query.stance is Stance.EVENT}
        listed = [q for q in queries if q.sentences and not q.since and q.stance is not Stance.SUBJECT]
        alike: dict[Query, dict[str, Query]] = {}
        for query in queries:
            if query.stance is not Stance.EVENT and query.stance is not Stance.SUBJECT and query not in listed:
                alike.setdefault(replace(query, identifier=""), {})[query.identifier] = query
        hits = [hit for query in queries if query.stance is Stance.SUBJECT for hit in self._ask_subject(query)]
        hits += self._ask_listed(listed) if listed else []
        for shape, group in alike.items():
            hits += self._ask(shape, group)
        wanted = [key for key in dict.fromkeys(key for _, key in hits) if key not in self.entries]
        if self._below is None:
            wanted = wanted[: self._limit + 1]  # one more than fits is enough to know that the history is cut
        hits += self._load(wanted, by_event)
        return [Found(query, key, self.entries[key].event) for query, key in hits if key in self.entries]

    def _ask_subject(self, query: Query) -> Iterator[tuple[Query, int]]:
        """Ask about the subject: at once, or, where that is too much (a plot, a dock), sentence by sentence."""
        if self._sentences is None:
            self._sentences = sentences_naming(self._session, query.identifier)
        wanted = [
            each
            for each in self._sentences
            if each not in query.without and (not query.sentences or each in query.sentences)
        ]
        if not wanted:
            return
        most = query.newest or self._limit + 1
        rows: Sequence[Any] = ()
        if not query.newest:
            rows = self._session.execute(
                _ALL, {"identifier": query.identifier, "sentences": wanted, "most": most}
            ).all()
        if query.newest or len(rows) == most:
            rows = [
                row
                for sentence in wanted
                for row in self._session.execute(
                    _NEWEST, {"identifier": query.identifier, "sentence": sentence, "most": most}
                )
            ]
        for row in sorted(rows, key=lambda row: (row.event_time, row.entry_id), reverse=True)[:most]:
            yield query, row.entry_id

    def _ask(self, shape: Query, group: Mapping[str, Query]) -> Iterator[tuple[Query, int]]:
        """Ask one question about many identifiers at once."""
        given: dict[str, Any] = {
            "identifiers": list(group),
            "mask": shape.roles,
            "sentences": shape.sentences or shape.without,
            "most": _MOST_HITS,
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

    def load(self, keys: Collection[int]) -> None:
        """Read entries by their keys."""
        list(self._load(keys, {}))

    def _event_in_columns(self, entry_id: int) -> Mapping[str, Any]:
        """What the row beside damaged bytes says of the event: enough to show that it is there."""
        entry = self._session.get_one(Entry, entry_id)
        return {
            "type": entry.event_type,
            "eventID": entry.event_id,
            "eventTime": format_time(entry.event_time),
            "gy:sentence": entry.sentence,
        }


_ALL: Final[Select[Any]] = (
    select(_NAMING.c.event_time, _NAMING.c.entry_id)
    .where(
        _NAMING.c.identifier == bindparam("identifier"),
        _NAMING.c.sentence.in_(bindparam("sentences", expanding=True)),
    )
    .limit(bindparam("most"))
)
_NEWEST: Final[Select[Any]] = (
    select(_NAMING.c.event_time, _NAMING.c.entry_id)
    .where(_NAMING.c.identifier == bindparam("identifier"), _NAMING.c.sentence == bindparam("sentence"))
    .order_by(_NAMING.c.event_time.desc(), _NAMING.c.entry_id.desc())
    .limit(bindparam("most"))
)


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
