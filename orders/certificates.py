"""承诺达标合格证: what a promisor promises of one graded lot, kept as a document and recorded by its hash."""

from datetime import datetime

from sqlmodel import Session, select

from ledger.canonical import canonical, decode_entry
from ledger.digests import Value
from ledger.disclosure import commit_fields
from ledger.kernel.files import FileStore
from ledger.kernel.ids import DocumentType, Numbering
from ledger.log import record
from ledger.trace import entries_naming
from ledger.vocabulary import Sentence
from orders import events
from orders.documents import local_day, next_document
from orders.errors import InvalidInputError
from orders.models import Certificate, GradedLot, Plot
from orders.places import House
from orders.stock import graded_lot

TITLE = "承诺达标合格证"
PROMISES = ("no-banned-substances", "residues-within-limits")
BASES = frozenset({"own-control", "own-test", "commissioned-test", "quality-system"})


def issue_certificate(
    session: Session,
    graded_lot_name: str,
    *,
    files: FileStore,
    promisor: str,
    promisor_name: str | None = None,
    product: str,
    basis: tuple[str, ...] = ("own-control",),
    contact: str,
    address: str,
    numbering: Numbering,
    now: datetime,
    zone: str,
    house: House | None = None,
) -> Certificate:
    """Issue the certificate of a graded lot and record it; name, contact and address only as digests.

    A lot that has one gets the same one again. Raises NotFoundError or InvalidInputError.
    """
    lot = graded_lot(session, graded_lot_name, is_for_update=True)
    known = certificate_of(session, lot.id)
    if known is not None:
        return known
    strange = sorted(set(basis) - BASES)
    if strange or not basis:
        raise InvalidInputError("basis", f"{', '.join(strange) or 'nothing'} is not one of {', '.join(sorted(BASES))}")
    document = next_document(session, DocumentType.CERTIFICATE, "CC", now=now, zone=zone, numbering=numbering)
    origin = _origin(session, lot)
    treatments = _treatments(session, lot)
    text = {
        "title": TITLE,
        "number": document.ref,
        "product": product,
        "lot": lot.number,
        "mass_g": lot.mass_g,
        "origin": origin,
        "promises": list(PROMISES),
        "basis": list(basis),
        "issued_on": local_day(now, zone).isoformat(),
        "promisor": promisor,
    }
    name = files.put(canonical(text))
    said = events.Said.by(promisor, at=now, zone=zone)
    contents: dict[str, str | list[str]] = {
        "gy:title": TITLE,
        "gy:product": product,
        "gy:origin": origin,
        "gy:promisor": promisor,
        "gy:promises": list(PROMISES),
        "gy:basis": list(basis),
        "gy:document": name,
    }
    if treatments:
        contents["gy:treatments"] = treatments
    private: dict[str, Value] = {"contact": contact, "address": address}
    if promisor_name:
        private["promisorName"] = promisor_name
    event = events.certificate_issued(
        said,
        certificate=document.id,
        graded_lot=lot.id,
        mass_g=lot.mass_g,
        house_place=(house or House.of(numbering)).place,
        owner=promisor,
        contents=contents,
        digests=commit_fields(session, said.event_id, private),
    )
    record(session, event, now=now)
    row = Certificate(
        id=document.id, ref=document.ref, graded_lot_id=lot.id, document=name, issued_at=now, event_id=said.event_id
    )
    lot.certificate_id = row.id
    session.add_all([row, lot])
    session.flush()
    return row


def certificate_of(session: Session, graded_lot_id: str) -> Certificate | None:
    """Return the certificate of a graded lot, if it has one."""
    return session.exec(select(Certificate).where(Certificate.graded_lot_id == graded_lot_id)).one_or_none()


def _origin(session: Session, lot: GradedLot) -> str:
    for place in lot.plots:
        plot = session.get(Plot, place)
        if plot is not None:
            return plot.region
    return lot.region


def _treatments(session: Session, lot: GradedLot) -> list[str]:
    found: set[str] = set()
    for place in lot.plots:
        for entry in entries_naming(session, place, sentences=[Sentence.TREATED]):
            found |= {reference.biz_transaction for reference in decode_entry(entry.data).biz_transaction_list}
    return sorted(found)
