"""Graded stock, read off the log: what grading measured is what may be packed and sold."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlmodel import Session, col, func, select

from ledger.events import Event, Quantity, TransformationEvent
from ledger.kernel.clock import parse_time
from ledger.kernel.errors import IdentifierError
from ledger.kernel.ids import parse_digital_link
from ledger.models import Entry
from ledger.vocabulary import Sentence, Unit
from orders.errors import NotFoundError
from orders.models import GradedLot, Lot, TierTotal
from orders.states import LotState
from orders.tiers import SELLABLE, Tier


class GradedStock:
    """Follows `graded`: keeps one row per graded lot, and learns what share each tier takes."""

    name = "orders.graded_stock"
    sentences = frozenset({Sentence.GRADED.value})

    def handle(self, session: Session, entry: Entry, event: Event) -> None:
        """Keep the graded lots of one run. What is there already stays; what was lost is made again."""
        if not isinstance(event, TransformationEvent) or entry.is_declaration:
            return
        inputs = [quantity.epc_class for quantity in event.input_quantity_list]
        verdicts = _verdicts(event)
        for verdict in verdicts:
            if session.get(GradedLot, verdict[1]) is None:
                session.add(_row(entry, event, verdict, inputs))
        session.flush()
        _total(session, str(event.ilmd.get("gy:variety", "")), {tier for tier, *_ in verdicts})
        for row in session.exec(select(Lot).where(col(Lot.id).in_(inputs)).order_by(Lot.id).with_for_update()):
            row.state = LotState.CONSUMED
            session.add(row)
        session.flush()


def graded_lots(session: Session, *, tier: str | None = None, open_only: bool = False) -> Sequence[GradedLot]:
    """Return graded stock, oldest first; `open_only`: with grams left to pack, culls left out."""
    query = select(GradedLot).order_by(col(GradedLot.graded_at), GradedLot.id)
    if tier is not None:
        query = query.where(GradedLot.tier == tier)
    if open_only:
        query = query.where(GradedLot.packed_g < GradedLot.mass_g, col(GradedLot.tier).in_(SELLABLE))
    return session.exec(query).all()


def graded_lot(session: Session, name: str, *, is_for_update: bool = False) -> GradedLot:
    """Return a graded lot by its id or number. Raises NotFoundError."""
    query = select(GradedLot).where((GradedLot.id == name) | (GradedLot.number == name))
    if is_for_update:
        query = query.with_for_update().execution_options(populate_existing=True)
    row = session.exec(query).one_or_none()
    if row is None:
        raise NotFoundError("graded lot", name)
    return row


def left_g(row: GradedLot) -> int:
    """Return the grams of a graded lot that are not packed yet."""
    return row.mass_g - row.packed_g


_Verdict = tuple[Tier, str, int, int]


def _verdicts(event: TransformationEvent) -> list[_Verdict]:
    """Return tier, lot, fruits and grams per output; the grams are those of the output list itself."""
    masses = {quantity.epc_class: _grams(quantity) for quantity in event.output_quantity_list}
    verdicts: list[_Verdict] = []
    for entry in _tiers(event):
        lot, tier = str(entry.get("gy:lot", "")), str(entry.get("gy:tier", ""))
        if lot not in masses or tier not in set(Tier):
            raise ValueError(f"graded {event.event_id}: verdict for tier {tier!r} names lot {lot!r}, not an output")
        verdicts.append((Tier(tier), lot, int(entry.get("gy:fruits", 0)), masses[lot]))
    return verdicts


def _tiers(event: TransformationEvent) -> list[dict[str, Any]]:
    verdicts = event.extensions.get("gy:verdicts")
    tiers = verdicts.get("gy:tiers") if isinstance(verdicts, dict) else None
    return [tier for tier in tiers if isinstance(tier, dict)] if isinstance(tiers, list) else []


def _grams(quantity: Quantity) -> int:
    if quantity.uom != Unit.GRAM or not isinstance(quantity.quantity, int):
        raise ValueError(f"{quantity.epc_class}: {quantity.quantity} {quantity.uom} is not whole grams")
    return quantity.quantity


def _row(entry: Entry, event: TransformationEvent, verdict: _Verdict, inputs: Sequence[str]) -> GradedLot:
    tier, lot, fruits, mass_g = verdict
    verdicts = event.extensions.get("gy:verdicts", {})
    plots = event.ilmd.get("gy:plots", [])
    return GradedLot(
        id=lot,
        number=_lot_number(lot),
        tier=tier,
        variety=str(event.ilmd.get("gy:variety", "")),
        region=str(event.ilmd.get("gy:region", "")),
        plots=[plots] if isinstance(plots, str) else list(plots),
        harvest_lots=list(inputs),
        fruits=fruits,
        mass_g=mass_g,
        graded_event_id=entry.event_id,
        graded_by=str(event.extensions.get("gy:recorder", "")),
        graded_at=parse_time(event.event_time),
        line=event.read_point.id if event.read_point else "",
        standard=str(verdicts.get("gy:standard", "")),
    )


def _lot_number(lot: str) -> str:
    try:
        return parse_digital_link(lot).values.get("10", lot)
    except IdentifierError:
        return lot


def _total(session: Session, variety: str, tiers: Collection[Tier]) -> None:
    """Set what was graded into some tiers to the sum over their lots: doing it twice changes nothing."""
    graded = select(GradedLot.tier, func.sum(GradedLot.mass_g), func.sum(GradedLot.fruits)).where(
        GradedLot.variety == variety, col(GradedLot.tier).in_(sorted(tiers))
    )
    for tier, mass_g, fruits in session.exec(graded.group_by(col(GradedLot.tier))):
        total = session.get(TierTotal, (variety, tier)) or TierTotal(variety=variety, tier=tier)
        total.mass_g, total.fruits = int(mass_g), int(fruits)
        session.add(total)
