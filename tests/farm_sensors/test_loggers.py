"""Loggers travel with loads because the log says so."""

from datetime import UTC, datetime, timedelta

from farm_sensors.devices import attachments
from farm_sensors.loggers import Loggers
from ledger.events import AggregationEvent
from ledger.follow import drain, restart
from ledger.kernel.clock import format_time
from ledger.kernel.ids import Numbering, new_event_id
from ledger.log import integrate, record
from ledger.vocabulary import Action, Sentence

START = datetime(2026, 4, 18, 4, 30, tzinfo=UTC)
NUMBERING = Numbering("9521002")
LOAD, HOUSE = NUMBERING.load(731), NUMBERING.place(10)


def said(sentence, action, at, *children):
    return AggregationEvent(
        event_id=new_event_id(at),
        event_time=format_time(at),
        event_time_zone_offset="+08:00",
        action=action,
        parent_id=LOAD,
        child_epcs=children,
        extensions={"gy:sentence": sentence.value, "gy:recorder": NUMBERING.party(10)},
    )


def test_a_logger_belongs_to_the_load_from_loading_to_delivery_however_often_the_log_is_read(db, make_device):
    logger = make_device("LOGGER1", at=START - timedelta(days=1), place=HOUSE, quantities=("load-temperature",))
    loaded, delivered = START, START + timedelta(hours=30)
    strangers = ("https://id.gs1.org/8004/9521009X1", "https://id.gs1.org/01/09521002001013/21/7K3Q9X2MVD4T")
    with db.write() as session:
        record(session, said(Sentence.LOADED, Action.ADD, loaded, *strangers, logger.id), now=loaded)
        record(session, said(Sentence.DELIVERED, Action.OBSERVE, delivered, logger.id), now=delivered)
        integrate(session)
    for _ in range(2):
        drain(db, [Loggers()], now=delivered)
        with db.write() as session:
            with_load = attachments(session, LOAD, start=START - timedelta(days=9), end=START + timedelta(days=9))
            at_home = attachments(session, HOUSE, start=delivered, end=delivered + timedelta(days=1))
            restart(session, Loggers.name)
        assert [(one.from_at, one.until_at) for one, _ in with_load] == [(loaded, delivered)]
        assert [one.from_at for one, _ in at_home] == [delivered]
