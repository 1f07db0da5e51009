"""Whether the masses of a chain of events add up: the rules of trade, checked from the log alone. Pure.

The functions that record refuse most of this already. This check trusts none of them: it reads
events, as an auditor would, and names every rule that does not hold.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ledger.events import (
    AggregationEvent,
    Event,
    ObjectEvent,
    Quantity,
    TransactionEvent,
    TransformationEvent,
)
from ledger.kernel.errors import IdentifierError
from ledger.kernel.ids import parse_digital_link
from ledger.vocabulary import Action, Sentence, Transaction

RECEIVED_ALLOWED_PER_MILLE: Final = 20
UNACCOUNTED_ALLOWED_PER_MILLE: Final = 10


@dataclass(frozen=True, slots=True)
class Imbalance:
    """A rule that does not hold for a plot, lot, quota, pack or load, with its two numbers."""

    rule: str
    subject: str
    found: int
    allowed: int


@dataclass
class _Books:
    """What the events say, summed per subject."""

    offered: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    sold: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    caps: dict[str, int] = field(default_factory=dict)
    picked_on: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    picked: dict[str, int] = field(default_factory=dict)
    crated: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    received: dict[str, int] = field(default_factory=dict)
    graded_in: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    graded: dict[str, int] = field(default_factory=dict)
    codes: dict[str, tuple[int, int]] = field(default_factory=dict)
    active: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    nominal: dict[str, int] = field(default_factory=dict)
    packed: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    loaded: dict[str, set[str]] = field(default_factory=dict)
    wrong: list[Imbalance] = field(default_factory=list)


def check(events: Iterable[Event]) -> list[Imbalance]:
    """Return every imbalance in events given in log order; what was declared wrong does not count.

    A scale that differs within its allowance is no imbalance. An empty list means that everything
    the events tell of adds up.
    """
    books = _Books()
    for event in effective(events):
        read = _READERS.get(event.sentence or "")
        if read is not None:
            read(books, event)
    return [*_at_most(books), *_equal(books), *books.wrong]


def effective(events: Iterable[Event]) -> list[Event]:
    """Return the events without those that an error declaration took back, and without declarations."""
    kept = list(events)
    wrong = {event.event_id for event in kept if event.error_declaration is not None}
    return [event for event in kept if event.event_id not in wrong]


def _at_most(books: _Books) -> Iterable[Imbalance]:
    limits: Iterable[tuple[str, Mapping[Any, int], Mapping[Any, int]]] = (
        ("sold at most offered", books.sold, books.offered),
        ("picked at most the season's yield", books.picked_on, books.caps),
        ("packed at most graded", books.packed, books.graded),
        ("active codes at most the quota", books.active, {name: codes for name, (codes, _) in books.codes.items()}),
    )
    for rule, found, allowed in limits:
        for subject, value in found.items():
            # A season's cap, a lot or a quota that these events do not tell of cannot be judged.
            if subject in allowed and value > allowed[subject]:
                yield Imbalance(
                    rule, " ".join(subject) if isinstance(subject, tuple) else subject, value, allowed[subject]
                )
    for quota, (codes, most) in books.codes.items():
        if codes > most:
            yield Imbalance("codes at most measured over nominal", quota, codes, most)


def _equal(books: _Books) -> Iterable[Imbalance]:
    for lot, picked in books.picked.items():
        if lot in books.crated and books.crated[lot] != picked:
            yield Imbalance("crated equals picked", lot, books.crated[lot], picked)
        if lot in books.received:
            difference = abs(books.received[lot] - picked)
            allowed = picked * RECEIVED_ALLOWED_PER_MILLE // 1000
            if difference > allowed:
                yield Imbalance("received within 2 % of picked", lot, difference, allowed)
    for lot, graded in books.graded_in.items():
        if lot in books.received and graded != books.received[lot]:
            yield Imbalance("graded input equals received", lot, graded, books.received[lot])


# --- one reader per sentence ----------------------------------------------------------------------


def _plot_registered(books: _Books, event: Event) -> None:
    if isinstance(event, ObjectEvent) and event.read_point is not None:
        cap = event.ilmd.get("gy:yieldCapG")
        if isinstance(cap, int):
            books.caps[event.read_point.id] = cap


def _broadcast_opened(books: _Books, event: Event) -> None:
    if isinstance(event, TransactionEvent) and event.action is Action.ADD:
        for quantity in event.quantity_list:
            books.offered[_document(event, Transaction.BROADCAST), quantity.epc_class] += _whole(quantity)


def _sold(books: _Books, event: Event) -> None:
    if isinstance(event, TransactionEvent):
        sign = -1 if event.action is Action.DELETE else 1
        for quantity in event.quantity_list:
            books.sold[_document(event, Transaction.BROADCAST), quantity.epc_class] += sign * _whole(quantity)


def _picked(books: _Books, event: Event) -> None:
    if isinstance(event, ObjectEvent):
        for quantity in event.quantity_list:
            books.picked[quantity.epc_class] = _whole(quantity)
            if event.read_point is not None:
                books.picked_on[event.read_point.id] += _whole(quantity)


def _crated(books: _Books, event: Event) -> None:
    if isinstance(event, AggregationEvent):
        for quantity in event.child_quantity_list:
            books.crated[quantity.epc_class] += _whole(quantity)


def _received(books: _Books, event: Event) -> None:
    if isinstance(event, ObjectEvent):
        # A lot weighed again counts as it was weighed last.
        books.received |= {quantity.epc_class: _whole(quantity) for quantity in event.quantity_list}


def _graded(books: _Books, event: Event) -> None:
    if not isinstance(event, TransformationEvent):
        return
    went_in = sum(_whole(quantity) for quantity in event.input_quantity_list)
    came_out = sum(_whole(quantity) for quantity in event.output_quantity_list)
    for quantity in event.input_quantity_list:
        books.graded_in[quantity.epc_class] += _whole(quantity)
    books.graded |= {quantity.epc_class: _whole(quantity) for quantity in event.output_quantity_list}
    unaccounted = _field(event, "gy:verdicts", "gy:unaccountedG")
    run = event.transformation_id or event.event_id or ""
    if came_out + unaccounted != went_in:
        books.wrong.append(Imbalance("graded output and unaccounted equal input", run, came_out + unaccounted, went_in))
    allowed = went_in * UNACCOUNTED_ALLOWED_PER_MILLE // 1000
    if abs(unaccounted) > allowed:
        books.wrong.append(Imbalance("unaccounted within 1 %", run, abs(unaccounted), allowed))


def _quota_granted(books: _Books, event: Event) -> None:
    nominal = _field(event, "gy:quota", "gy:nominalMassG")
    most = _field(event, "gy:quota", "gy:measuredG") // nominal if nominal > 0 else 0
    books.codes[_document(event, Transaction.QUOTA)] = (_field(event, "gy:quota", "gy:codes"), most)


def _code_activated(books: _Books, event: Event) -> None:
    if isinstance(event, ObjectEvent):
        books.active[_document(event, Transaction.QUOTA)] += len(event.epc_list)
        nominal = event.ilmd.get("gy:nominalMassG")
        if isinstance(nominal, int):
            books.nominal |= dict.fromkeys(event.epc_list, nominal)


def _packed(books: _Books, event: Event) -> None:
    if not isinstance(event, AggregationEvent) or event.parent_id is None:
        return
    mass_g = sum(_whole(quantity) for quantity in event.child_quantity_list)
    for quantity in event.child_quantity_list:
        books.packed[quantity.epc_class] += _whole(quantity)
    if event.parent_id not in books.nominal:
        books.wrong.append(Imbalance("a pack's code is active before it is packed", event.parent_id, 0, 1))
    elif mass_g < books.nominal[event.parent_id]:
        books.wrong.append(
            Imbalance("a pack is at least nominal", event.parent_id, mass_g, books.nominal[event.parent_id])
        )


def _loaded(books: _Books, event: Event) -> None:
    if isinstance(event, AggregationEvent) and event.parent_id is not None:
        books.loaded[event.parent_id] = {child for child in event.child_epcs if _is_pack(child)}


def _delivered(books: _Books, event: Event) -> None:
    if isinstance(event, AggregationEvent) and event.parent_id in books.loaded:
        seen = {child for child in event.child_epcs if _is_pack(child)}
        sent = books.loaded[event.parent_id]
        if seen != sent:
            books.wrong.append(Imbalance("delivered equals loaded", event.parent_id, len(seen & sent), len(sent)))


_READERS: Final[Mapping[str, Callable[[_Books, Event], None]]] = {
    Sentence.PLOT_REGISTERED: _plot_registered,
    Sentence.BROADCAST_OPENED: _broadcast_opened,
    Sentence.SOLD: _sold,
    Sentence.PICKED: _picked,
    Sentence.CRATED: _crated,
    Sentence.RECEIVED: _received,
    Sentence.GRADED: _graded,
    Sentence.QUOTA_GRANTED: _quota_granted,
    Sentence.CODE_ACTIVATED: _code_activated,
    Sentence.PACKED: _packed,
    Sentence.LOADED: _loaded,
    Sentence.DELIVERED: _delivered,
}


def _whole(quantity: Quantity) -> int:
    return quantity.quantity if isinstance(quantity.quantity, int) else 0


def _document(event: Event, kind: Transaction) -> str:
    return next((ref.biz_transaction for ref in event.biz_transaction_list if ref.type == kind), "")


def _field(event: Event, group: str, name: str) -> int:
    fields = event.extensions.get(group)
    value = fields.get(name) if isinstance(fields, dict) else None
    return value if isinstance(value, int) else 0


def _is_pack(name: str) -> bool:
    try:
        return "21" in parse_digital_link(name).values
    except IdentifierError:
        return False
