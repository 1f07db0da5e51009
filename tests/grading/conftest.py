"""A received lot in the log, sample photographs drawn once, a line to grade on."""

from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from sqlmodel import Session

from grading import models, samples  # noqa: F401  # tables must be known before the database is made
from grading.calibrate import Marker
from grading.look import Setup
from grading.standard import load_standard, load_tariff
from grading.station import Line, calibrate
from ledger.events import ObjectEvent, Place, Quantity, TransactionReference
from ledger.kernel.actors import Actor, Role
from ledger.kernel.clock import format_time
from ledger.kernel.database import Database
from ledger.kernel.files import FileStore
from ledger.kernel.ids import Numbering, lot_id, new_event_id
from ledger.log import record
from ledger.vocabulary import Action, BizStep, Disposition, Sentence, Unit

NUMBERING = Numbering("9521002")
LINE = Line.of(NUMBERING, zone="Asia/Shanghai")
ORDER = "https://id.gs1.org/253/9521002003048PO260418-0001"
PLOT = "https://id.gs1.org/414/9521001000109/254/P03"


@cache
def tray(seed: int) -> bytes:
    """A sample photograph of twelve mangoes."""
    return samples.tray(seed).jpeg


@cache
def target() -> bytes:
    """An empty belt with the marker."""
    return samples.target(1).jpeg


def setup() -> Setup:
    return Setup(load_standard("mango"), load_tariff(), Marker())


def lot_named(number: str) -> str:
    return lot_id("99521001000218", number)


def receive(
    session: Session, lot: str, *, now: datetime, mass_g: int = 4000, difference_g: int = -10, allowed_g: int = 80
) -> None:
    """Put `picked` and `received` of a lot into the log."""
    quantity = (Quantity(epc_class=lot, quantity=mass_g, uom=Unit.GRAM),)
    orders = (TransactionReference(type="prodorder", biz_transaction=ORDER),)
    moment = now - timedelta(hours=1)
    picked = ObjectEvent(
        event_id=new_event_id(moment),
        event_time=format_time(moment),
        event_time_zone_offset="+08:00",
        action=Action.ADD,
        biz_step=BizStep.CREATING_CLASS_INSTANCE,
        disposition=Disposition.ACTIVE,
        quantity_list=quantity,
        read_point=Place(PLOT),
        biz_transaction_list=orders,
        ilmd={
            "cbvmda:harvestStartDate": "2026-04-18",
            "gy:variety": "Guifei",
            "gy:region": "CN-460200",
        },
        extensions={"gy:sentence": Sentence.PICKED.value, "gy:recorder": "https://id.gs1.org/417/9521001482134"},
    )
    received = ObjectEvent(
        event_id=new_event_id(moment),
        event_time=format_time(moment),
        event_time_zone_offset="+08:00",
        action=Action.OBSERVE,
        biz_step=BizStep.RECEIVING,
        quantity_list=quantity,
        biz_transaction_list=orders,
        extensions={
            "gy:sentence": Sentence.RECEIVED.value,
            "gy:recorder": LINE.recorder,
            "gy:receipt": {"gy:differenceG": difference_g, "gy:allowedG": allowed_g},
        },
    )
    for event in (picked, received):
        record(session, event, now=now)


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "files")


@pytest.fixture
def worker() -> Actor:
    return Actor(NUMBERING.party(48213), Role.STATION, LINE.house)


@pytest.fixture
def line(db: Database, files: FileStore, now: datetime) -> Line:
    """A calibrated line."""
    with db.write() as session:
        calibrate(session, files, target(), reference=Marker(), line=LINE, numbering=NUMBERING, now=now)
    return LINE
