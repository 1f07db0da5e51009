"""One day from sale to delivery through the public functions."""

from ledger.kernel.files import FileStore
from ledger.vocabulary import Sentence
from orders import certificates, fulfilment, listings, shipping
from tests.orders.conftest import ZONE, Farm


def test_a_sale_becomes_a_delivered_pack_and_every_sentence_is_said(farm: Farm, tmp_path) -> None:
    show = farm.open()
    gtin = farm.listing(show, "A").gtin
    lots = farm.graded({"A": 9_000, "B": 6_000, "C": 3_000, "cull": 1_900}, show, A=2)
    quota = farm.grant(lots["A"], gtin)
    assert quota.codes == 3
    packs = [farm.pack(lots["A"], gtin) for _ in range(2)]
    farm.later(minutes=1)
    with farm.write() as session:
        certificate = certificates.issue_certificate(
            session,
            lots["A"].id,
            files=FileStore(tmp_path / "files"),
            promisor=farm.numbering.party(1),
            product="芒果 样例",
            contact="sample contact",
            address="sample address",
            numbering=farm.numbering,
            **farm.said(),
        )
        load = shipping.load(
            session,
            [pack.id for pack in packs],
            actor=farm.station,
            numbering=farm.numbering,
            logger=farm.numbering.device("LOGGER0031"),
            **farm.said(),
        )
        shipping.ship(
            session,
            load.id,
            destination=farm.numbering.place(30),
            receiver=farm.receiver.party,
            actor=farm.station,
            numbering=farm.numbering,
            **farm.said(),
        )
        assert fulfilment.shortages(session) == []
    farm.later(hours=20)
    with farm.write() as session:
        outcome = shipping.deliver(
            session,
            load.id,
            packs_seen=[pack.id for pack in packs],
            actor=farm.receiver,
            numbering=farm.numbering,
            leg={"expected": 525, "received": 525, "suspect": 0},
            **farm.said(),
        )
        listings.close(session, show.id, now=farm.at, zone=ZONE)
    assert outcome.is_complete
    assert certificate.id
    assert {entry.sentence for entry in farm.entries()} == _SAID


_SAID = {
    Sentence.PLOT_REGISTERED,
    Sentence.BROADCAST_OPENED,
    Sentence.SOLD,
    Sentence.PICK_ORDER_RAISED,
    Sentence.PICKED,
    Sentence.CRATED,
    Sentence.RECEIVED,
    Sentence.PRE_COOLED,
    Sentence.GRADED,
    Sentence.QUOTA_GRANTED,
    Sentence.CODE_ACTIVATED,
    Sentence.PACKED,
    Sentence.CERTIFICATE_ISSUED,
    Sentence.LOADED,
    Sentence.SHIPPED,
    Sentence.DELIVERED,
}
