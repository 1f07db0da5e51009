"""Each builder, given the facts of the golden chain, says the golden event word for word."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from ledger.events import Event, document, parse_event
from ledger.kernel.clock import parse_time
from ledger.kernel.ids import EventId
from ledger.vocabulary import Action, Sentence
from orders import events
from orders.events import Said


def _said(event: Event) -> Said:
    return Said(
        EventId(event.event_id or ""),
        parse_time(event.event_time),
        event.event_time_zone_offset,
        event.extensions["gy:recorder"],
    )


def _transactions(event: Event, kind: str) -> list[str]:
    return [t.biz_transaction for t in event.biz_transaction_list if (t.type or "").split("/")[-1] == kind]


def _source(event: Event, kind: str) -> str:
    return next(s.source for s in event.source_list if s.type == kind)


def _destination(event: Event, kind: str) -> str:
    return next(d.destination for d in event.destination_list if d.type == kind)


def _bare(fields: dict[str, int]) -> dict[str, int]:
    return {name.removeprefix("gy:"): value for name, value in fields.items()}


def _plot_registered(e, x, digests):
    own = {k: v for k, v in e.ilmd.items() if k.startswith("gy:")}
    return events.plot_registered(_said(e), passport=e.epc_list[0], plot=e.read_point.id, ilmd=own, digests=digests)


def _broadcast_opened(e, x, digests):
    return events.broadcast_opened(
        _said(e),
        action=Action.ADD,
        broadcast=_transactions(e, "broadcast")[0],
        product=e.quantity_list[0].epc_class,
        pieces=e.quantity_list[0].quantity,
        studio=e.read_point.id,
        owner=_source(e, "owning_party"),
        offer=x["gy:offer"],
        digests=digests,
    )


def _sold(e, x, digests):
    return events.sold(
        _said(e),
        action=Action.ADD,
        sale_document=_transactions(e, "po")[0],
        broadcast=_transactions(e, "broadcast")[0],
        product=e.quantity_list[0].epc_class,
        pieces=e.quantity_list[0].quantity,
        owner=_source(e, "owning_party"),
        sale=x["gy:sale"],
        digests=digests,
    )


def _pick_order_raised(e, x, digests):
    return events.pick_order_raised(
        _said(e),
        action=Action.ADD,
        pick_order=_transactions(e, "prodorder")[0],
        sale_documents=_transactions(e, "po"),
        harvest=e.quantity_list[0].epc_class,
        mass_g=e.quantity_list[0].quantity,
        plot=_source(e, "location"),
        holder=_source(e, "possessing_party"),
        house_place=_destination(e, "location"),
        house_party=_destination(e, "possessing_party"),
        order=x["gy:order"],
        digests=digests,
    )


def _picked(e, x, digests):
    return events.picked(
        _said(e),
        lot=e.quantity_list[0].epc_class,
        lot_number=e.ilmd["cbvmda:lotNumber"],
        mass_g=e.quantity_list[0].quantity,
        plot=e.read_point.id,
        passport=e.ilmd["gy:plotPassport"],
        variety=e.ilmd["gy:variety"],
        region=e.ilmd["gy:region"],
        started_at=parse_time(e.ilmd["gy:pickStartedAt"]),
        first_day=date.fromisoformat(e.ilmd["cbvmda:harvestStartDate"]),
        last_day=date.fromisoformat(e.ilmd["cbvmda:harvestEndDate"]),
        crates=e.ilmd["gy:crates"],
        pick_order=_transactions(e, "prodorder")[0],
        owner=_source(e, "owning_party"),
        house_place=_destination(e, "location"),
        evidence=x["gy:evidence"],
        digests=digests,
    )


def _crated(e, x, digests):
    return events.crated(
        _said(e),
        crate=e.parent_id,
        lot=e.child_quantity_list[0].epc_class,
        mass_g=e.child_quantity_list[0].quantity,
        plot=e.read_point.id,
        pick_order=_transactions(e, "prodorder")[0],
    )


def _received(e, x, digests):
    return events.received(
        _said(e),
        crates=e.epc_list,
        lot=e.quantity_list[0].epc_class,
        mass_g=e.quantity_list[0].quantity,
        dock=e.read_point.id,
        house_place=e.biz_location.id,
        house_party=_destination(e, "possessing_party"),
        plot=_source(e, "location"),
        holder=_source(e, "possessing_party"),
        receipt_document=_transactions(e, "recadv")[0],
        pick_order=_transactions(e, "prodorder")[0],
        confirms=x["gy:confirms"][0],
        scale=x["gy:receipt"]["gy:scale"],
        difference_g=x["gy:receipt"]["gy:differenceG"],
        allowed_g=x["gy:receipt"]["gy:allowedG"],
        evidence=x["gy:evidence"],
        digests=digests,
    )


def _pre_cooled(e, x, digests):
    cooling = x["gy:cooling"]
    return events.pre_cooled(
        _said(e),
        lot=e.quantity_list[0].epc_class,
        mass_g=e.quantity_list[0].quantity,
        cooler=e.read_point.id,
        sensor_elements=e.sensor_element_list,
        started_at=parse_time(cooling["gy:startedAt"]),
        minutes_from_pick=cooling["gy:minutesFromPick"],
        limit_minutes=cooling["gy:limitMinutes"],
        medium=cooling["gy:medium"],
    )


def _quota_granted(e, x, digests):
    quota = x["gy:quota"]
    return events.quota_granted(
        _said(e),
        quota=_transactions(e, "quota")[0],
        graded_lot=e.quantity_list[0].epc_class,
        measured_g=quota["gy:measuredG"],
        house_party=_destination(e, "possessing_party"),
        codes=quota["gy:codes"],
        nominal_mass_g=quota["gy:nominalMassG"],
        pack_product=quota["gy:packProduct"],
        measured_by=quota["gy:measuredBy"],
        expires_at=parse_time(quota["gy:expiresAt"]),
    )


def _code_activated(e, x, digests):
    built = events.code_activated(
        _said(e),
        packs=e.epc_list,
        line=e.read_point.id,
        house_place=e.biz_location.id,
        quota=_transactions(e, "quota")[0],
        lot_number=e.ilmd["cbvmda:lotNumber"],
        best_before=date.fromisoformat(e.ilmd["cbvmda:bestBeforeDate"]),
        graded_lot=e.ilmd["gy:gradedLot"],
        tier=e.ilmd["gy:tier"],
        nominal_mass_g=e.ilmd["gy:nominalMassG"],
        packed_on=date.fromisoformat(e.ilmd["gy:packedOn"]),
        label_host=x["gy:labels"]["gy:host"],
    )
    # Hidden second codes are printed later in the product's life; today's labels carry none.
    built.extensions["gy:labels"]["gy:secondCodesRoot"] = x["gy:labels"]["gy:secondCodesRoot"]
    return built


def _packed(e, x, digests):
    return events.packed(
        _said(e),
        pack=e.parent_id,
        graded_lot=e.child_quantity_list[0].epc_class,
        mass_g=e.child_quantity_list[0].quantity,
        line=e.read_point.id,
        house_place=e.biz_location.id,
        quota=_transactions(e, "quota")[0],
        fruits=x["gy:pack"]["gy:fruits"],
        records=[],
        scale=x["gy:pack"]["gy:scale"],
        evidence=x["gy:evidence"],
    )


def _code_voided(e, x, digests):
    return events.code_voided(
        _said(e),
        packs=e.epc_list,
        line=e.read_point.id,
        quota=_transactions(e, "quota")[0],
        reason=x["gy:void"]["gy:reason"],
        was_active=x["gy:void"]["gy:wasActive"] == "yes",
    )


def _certificate_issued(e, x, digests):
    return events.certificate_issued(
        _said(e),
        certificate=_transactions(e, "cert")[0],
        graded_lot=e.quantity_list[0].epc_class,
        mass_g=e.quantity_list[0].quantity,
        house_place=e.read_point.id,
        owner=_source(e, "owning_party"),
        contents=x["gy:certificate"],
        digests=digests,
    )


def _loaded(e, x, digests):
    return events.loaded(
        _said(e),
        load=e.parent_id,
        packs=[child for child in e.child_epcs if "/21/" in child],
        logger=x["gy:load"]["gy:logger"],
        net_mass_g=x["gy:load"]["gy:netMassG"],
        dock=e.read_point.id,
        house_place=e.biz_location.id,
        despatch=_transactions(e, "desadv")[0],
        evidence=x["gy:evidence"],
    )


def _shipped(e, x, digests):
    shipment = x["gy:shipment"]
    return events.shipped(
        _said(e),
        load=e.epc_list[0],
        dock=e.read_point.id,
        house_place=_source(e, "location"),
        house_party=_source(e, "possessing_party"),
        owner=_source(e, "owning_party"),
        destination=_destination(e, "location"),
        receiver=_destination(e, "possessing_party"),
        despatch=_transactions(e, "desadv")[0],
        sale_documents=_transactions(e, "po"),
        lots=shipment["gy:lots"],
        certificates=shipment["gy:certificates"],
        wanted_milli_celsius=(shipment["gy:wantedMilliCelMin"], shipment["gy:wantedMilliCelMax"]),
        digests=digests,
    )


def _delivered(e, x, digests):
    return events.delivered(
        _said(e),
        load=e.parent_id,
        seen=e.child_epcs,
        is_complete=e.disposition == "completeness_verified",
        destination=e.read_point.id,
        receiver=_destination(e, "possessing_party"),
        house_place=_source(e, "location"),
        house_party=_source(e, "possessing_party"),
        receipt_document=_transactions(e, "recadv")[0],
        despatch=_transactions(e, "desadv")[0],
        confirms=x["gy:confirms"][0],
        sensor_elements=e.sensor_element_list,
        leg=_bare(x["gy:leg"]),
        digests=digests,
    )


_BUILDERS: dict[Sentence, Callable] = {
    Sentence.PLOT_REGISTERED: _plot_registered,
    Sentence.BROADCAST_OPENED: _broadcast_opened,
    Sentence.SOLD: _sold,
    Sentence.PICK_ORDER_RAISED: _pick_order_raised,
    Sentence.PICKED: _picked,
    Sentence.CRATED: _crated,
    Sentence.RECEIVED: _received,
    Sentence.PRE_COOLED: _pre_cooled,
    Sentence.QUOTA_GRANTED: _quota_granted,
    Sentence.CODE_ACTIVATED: _code_activated,
    Sentence.PACKED: _packed,
    Sentence.CODE_VOIDED: _code_voided,
    Sentence.CERTIFICATE_ISSUED: _certificate_issued,
    Sentence.LOADED: _loaded,
    Sentence.SHIPPED: _shipped,
    Sentence.DELIVERED: _delivered,
}


@pytest.mark.shared
@pytest.mark.parametrize("sentence", _BUILDERS, ids=lambda s: s.name.lower())
def test_builder_says_the_golden_sentence_word_for_word(sentence: Sentence, shared: Path) -> None:
    (path,) = (shared / "events").glob(f"*_{sentence.name.lower()}.jsonld")
    golden = json.loads(path.read_text())["epcisBody"]["eventList"]
    assert golden
    for written in golden:
        event = parse_event(written)
        built = _BUILDERS[sentence](event, event.extensions, event.extensions.get("gy:digests", []))
        assert document(built) == written


def test_every_sentence_of_this_package_is_compared() -> None:
    public = {
        name
        for name, value in vars(events).items()
        if callable(value) and getattr(value, "__module__", "") == events.__name__ and name[0].islower()
    }
    assert public == {sentence.name.lower() for sentence in _BUILDERS}


def test_empty_lists_never_stand_in_an_event() -> None:
    said = Said(EventId("urn:uuid:0"), parse_time("2026-04-18T03:05:00Z"), "+08:00", "https://id.gs1.org/417/x")
    built = events.packed(
        said,
        pack="p",
        graded_lot="g",
        mass_g=1,
        line="l",
        house_place="h",
        quota="q",
        fruits=1,
        records=[],
        scale="s",
        evidence=[],
    )
    assert "gy:evidence" not in built.extensions
    assert "gy:records" not in built.extensions["gy:pack"]
