"""The three sentences come out as the golden chain has them."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from grading import events
from grading.station import Line
from ledger.canonical import canonical
from ledger.events import document
from ledger.kernel.ids import DeviceId, EventId, LotId, Numbering, PartyId

LINE = Line.of(Numbering("9521002"), zone="Asia/Shanghai", camera="CAMERA01")
HOUSE_PARTY = PartyId("https://id.gs1.org/417/9521002000016")


def golden(shared: Path, name: str) -> dict[str, object]:
    event = json.loads((shared / "events" / f"{name}.jsonld").read_text())["epcisBody"]["eventList"][0]
    assert isinstance(event, dict)
    return event


def said(event: dict[str, object]) -> events.Said:
    at = datetime.fromisoformat(str(event["eventTime"])).astimezone(UTC)
    return events.Said(EventId(str(event["eventID"])), at, "Asia/Shanghai", HOUSE_PARTY, LINE.line, LINE.house)


def test_calibrated_is_the_golden_document(shared: Path) -> None:
    wanted = golden(shared, "14_calibrated")
    made = events.calibrated(
        said(wanted),
        camera=DeviceId("https://id.gs1.org/8004/9521002CAMERA01"),
        certificate="https://id.gs1.org/253/9521002003123CAL260418-1",
        frame=wanted["sensorElementList"][0]["sensorMetadata"]["rawData"],
        target="sample-target-60",
        reference_um=60_000,
        measured_um=60_100,
        allowed_um=300,
        nm_per_pixel=212_400,
        valid_until=datetime(2026, 4, 18, 14, 20, tzinfo=UTC),
        digests=wanted["gy:digests"],
    )
    assert canonical(document(made)) == canonical(wanted)


def test_override_made_is_the_golden_document(shared: Path) -> None:
    wanted = golden(shared, "15_override_made")
    made = events.override_made(
        said(wanted),
        lot="https://id.gs1.org/01/99521001000218/10/H260418-P03-1",
        touched_g=692,
        run="https://id.gs1.org/253/9521002003062GR260418-0001",
        moves=[events.Move("A", "B", 1, "bruise"), events.Move("doubtful", "A", 1, "sap-mark")],
        second_person=True,
        records_root=wanted["gy:override"]["gy:recordsRoot"],
        evidence=wanted["gy:evidence"],
        digests=wanted["gy:digests"],
    )
    assert canonical(document(made)) == canonical(wanted)


@pytest.mark.parametrize("mass_from", ["scale", "camera"])
def test_graded_is_the_golden_document_and_says_where_the_mass_came_from(shared: Path, mass_from: str) -> None:
    wanted = golden(shared, "16_graded")
    verdicts = wanted["gy:verdicts"]
    made = events.graded(
        said(wanted),
        lot="https://id.gs1.org/01/99521001000218/10/H260418-P03-1",
        received_g=40_100,
        run="https://id.gs1.org/253/9521002003062GR260418-0001",
        pick_orders=["https://id.gs1.org/253/9521002003048PO260418-0001"],
        ilmd={
            "cbvmda:harvestStartDate": "2026-04-18",
            "gy:variety": "Guifei",
            "gy:region": "CN-460200",
            "gy:plots": ["https://id.gs1.org/414/9521001000109/254/P03"],
        },
        lots=[
            events.TierLot(each["gy:tier"], LotId(each["gy:lot"]), each["gy:fruits"], each["gy:massG"])
            for each in verdicts["gy:tiers"]
        ],
        standard="mango-sample",
        edition="ed-2026",
        standard_hash=verdicts["gy:standardHash"],
        model_hash=verdicts["gy:modelHash"],
        overridden=2,
        doubtful=3,
        unaccounted_g=200,
        mass_from=mass_from,
        records_root=verdicts["gy:recordsRoot"],
        calibration=verdicts["gy:calibration"],
        overrides=verdicts["gy:overrides"],
        evidence=wanted["gy:evidence"],
        digests=wanted["gy:digests"],
    )
    assert canonical(document(made)) == canonical({**wanted, "gy:verdicts": {**verdicts, "gy:massFrom": mass_from}})
