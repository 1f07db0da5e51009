"""The golden chain as an installation keeps it: recorded, with drawn photographs, fruit records and readings.

The published chain names evidence by hashes of sample texts. Here the same events name files that are
really kept, so that a page has something to show: every picture is drawn, none is of anything.
"""

import copy
import io
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image, ImageDraw, ImageFilter
from sqlmodel import Session

from api import accounts
from api.runtime import Runtime
from grading.grade import grade
from grading.measure import Measures
from grading.standard import load_standard, load_tariff
from ledger import disclosure, log
from ledger.canonical import canonical
from ledger.events import Event, parse_event
from ledger.kernel.clock import format_time, parse_time
from ledger.kernel.files import FileStore, ni_uri
from ledger.models import Checkpoint

GOLDEN = Path(__file__).resolve().parent.parent / "vectors" / "golden"
PACK = "https://id.gs1.org/01/09521002001013/21/7K3Q9X2MVD4T"
PACK_PATH = "/01/09521002001013/21/7K3Q9X2MVD4T"
RECALLED_LOT = "https://id.gs1.org/01/99521002000439/10/G260418-1C"
COOPERATIVE = "https://id.gs1.org/417/9521001000017"
OWNER_NAME = "示例合作社"
FRUITS = 13


@dataclass(frozen=True)
class Golden:
    """What was put in."""

    events: list[Event]
    crops: list[str]
    records: list[str]


def documents() -> Iterator[dict[str, Any]]:
    """Yield every event of the golden chain as JSON, in the order of its files."""
    for path in sorted(GOLDEN.glob("*.jsonld")):
        yield from json.loads(path.read_text(encoding="utf-8"))["epcisBody"]["eventList"]


def furnish(files: FileStore, *, hours: int = 30, stations: int = 1, fruits: int = FRUITS, seed: int = 7) -> Golden:
    """Return the golden chain with kept evidence, and `hours` of weather from so many stations instead of one."""
    draw = random.Random(seed)
    crops, records = _fruits(files, fruits, draw)
    built: list[dict[str, Any]] = []
    for document in documents():
        event = copy.deepcopy(document)
        match event["gy:sentence"]:
            case "window_closed/1":
                for station in range(stations):
                    built += _windows(event, hours, draw, station)
                continue
            case "packed/1" if event["parentID"] == PACK:
                event["gy:evidence"] = [files.put(box_picture(seed=3))]
                event["gy:pack"] |= {"gy:records": records, "gy:fruits": fruits}
            case "pre_cooled/1":
                _keep(files, event, "pulp-temperature", _cooling(event))
            case "delivered/1":
                _keep(files, event, "load-temperature", _journey(event, draw))
                leg = event["sensorElementList"][0]["sensorReport"]
                leg[0] |= {"minValue": 10.6, "maxValue": 15.2, "meanValue": 12.1}
                event["gy:leg"] |= {"gy:received": 501}
            case "graded/1":
                standard = load_standard("mango-codex-184")
                event["gy:verdicts"] |= {
                    "gy:standard": standard.id,
                    "gy:standardEdition": standard.content.edition,
                    "gy:standardHash": ni_uri(standard.digest),
                }
        built.append(event)
    return Golden([parse_event(each) for each in built], crops, records)


def load(rt: Runtime, golden: Golden, *, publish: bool = True, anchored: bool = False) -> None:
    """Record the chain as it happened, integrate, and publish and anchor it where asked."""
    with rt.db.write() as session:
        for event in golden.events:
            declared = event.error_declaration
            told = parse_time(declared.declaration_time if declared else event.event_time)
            log.record(session, _with_owner_name(session, event), now=told + timedelta(seconds=2))
        accounts.set_name(session, COOPERATIVE, OWNER_NAME)
    with rt.db.write() as session:
        log.integrate(session)
    if publish:
        with rt.db.write() as session:
            checkpoint = log.publish(session, rt.signer, now=rt.clock.now())
        if anchored and checkpoint is not None:
            anchor(rt, checkpoint)


def _with_owner_name(session: Session, event: Event) -> Event:
    """The plot's passport commits to the cooperative's name, as `orders.plots` lets it."""
    if event.sentence != "plot_registered/1":
        return event
    made = disclosure.commit_fields(session, str(event.event_id), {"ownerName": OWNER_NAME})
    digests = sorted([*event.extensions["gy:digests"], *made])
    return msgspec.structs.replace(event, extensions={**event.extensions, "gy:digests": digests})


def anchor(rt: Runtime, checkpoint: Checkpoint) -> None:
    """Anchor a checkpoint in the embedded chain, until it is final there."""
    rt.anchorer.anchor(rt.db, checkpoint, now=rt.clock.now())
    for _ in range(5):
        rt.anchorer.advance(rt.db, now=rt.clock.now())


# --- evidence -------------------------------------------------------------------------------------


def _fruits(files: FileStore, count: int, draw: random.Random) -> tuple[list[str], list[str]]:
    standard, tariff = load_standard("mango-codex-184"), load_tariff("tiers-sample")
    for data in (standard.data, tariff.data):
        files.put(data)
    crops, records = [], []
    for number in range(1, count + 1):
        length, width = draw.randint(98_000, 112_000), draw.randint(72_000, 80_000)
        marks = draw.randint(5, 80)
        volume = round(math.pi / 6 * length * width * width * 0.88 / 1e9)
        measures = Measures(
            length_um=length,
            width_um=width,
            equivalent_diameter_um=round(math.sqrt(length * width)),
            area_mm2=round(math.pi / 4 * length * width / 1e6),
            lab_l_centi=6210,
            lab_a_centi=1830,
            lab_b_centi=5120,
            blemish_mm2=marks,
            blemish_permille=marks // 8,
            volume_mm3=volume,
            mass_g=round(volume * 1020 / 1e6),
            height_corrected_permille=1000,
        )
        verdict = grade(measures, standard, tariff)
        # 0.25 mm a pixel: the drawn fruit fills the box that the record names.
        box = [400, 300, round(length / 250), round(width / 250)]
        crop = files.put(fruit_picture(box[2], box[3], marks=marks, seed=number))
        record = canonical(
            {
                "format": "guoyuan-fruit-record/1",
                "run": "https://id.gs1.org/253/9521002003062GR260418-0001",
                "number": number,
                "frame": ni_uri(bytes(32)),
                "crop": crop,
                "box": box,
                "scale": {
                    "reference": "marker",
                    "referenceUm": 60000,
                    "nmPerPixel": 250_000,
                    "focalPx": 0,
                    "cameraHeightUm": 0,
                },
                "model": ni_uri(bytes(32)),
                "scorePermille": 940,
                "measures": {
                    "lengthUm": measures.length_um,
                    "widthUm": measures.width_um,
                    "equivalentDiameterUm": measures.equivalent_diameter_um,
                    "areaMm2": measures.area_mm2,
                    "labLCenti": measures.lab_l_centi,
                    "labACenti": measures.lab_a_centi,
                    "labBCenti": measures.lab_b_centi,
                    "blemishMm2": measures.blemish_mm2,
                    "blemishPermille": measures.blemish_permille,
                    "volumeMm3": measures.volume_mm3,
                    "massG": measures.mass_g,
                    "heightCorrectedPermille": measures.height_corrected_permille,
                },
                "standard": {"id": standard.id, "edition": standard.content.edition, "file": ni_uri(standard.digest)},
                "tariff": {"id": tariff.id, "edition": tariff.content.edition, "file": ni_uri(tariff.digest)},
                "verdict": {
                    "tier": verdict.nominal_tier,
                    "nominalTier": verdict.nominal_tier,
                    "candidates": list(verdict.candidates),
                    "class": verdict.quality,
                    "size": verdict.size,
                    "rule": verdict.rule,
                    "priceFen": verdict.price_fen,
                    "marginPermille": verdict.margin_permille,
                },
            }
        )
        crops.append(crop)
        records.append(files.put(record))
    return crops, records


def _windows(first: dict[str, Any], hours: int, draw: random.Random, station: int) -> list[dict[str, Any]]:
    """Return hourly windows that end with the golden one; two hours in the middle have no window at all."""
    end = parse_time(first["eventTime"])
    built = []
    if station:
        first = copy.deepcopy(first)
        first["eventID"] = first["eventID"][:-12] + f"{station:06x}{0:06x}"
        first["gy:recorder"] = f"https://id.gs1.org/8004/9521001SENSOR1{station:03d}"
        first["sensorElementList"][0]["sensorMetadata"]["deviceID"] = first["gy:recorder"]
    for back in range(hours - 1, 0, -1):
        if hours > 12 and back in (11, 12):
            continue
        event, closes = copy.deepcopy(first), end - timedelta(hours=back)
        local_hour = (closes + timedelta(hours=8)).hour
        mean = round(25.2 + 4.6 * math.sin((local_hour - 9) / 24 * 2 * math.pi) + draw.uniform(-0.4, 0.4), 1)
        event["eventID"] = (
            f"urn:uuid:019d9d75-3f00-7{draw.getrandbits(12):03x}-8{draw.getrandbits(12):03x}-{station:06x}{back:06x}"
        )
        event["eventTime"] = format_time(closes)
        metadata = event["sensorElementList"][0]["sensorMetadata"]
        metadata |= {
            "startTime": format_time(closes - timedelta(hours=1)),
            "endTime": format_time(closes),
            "rawData": ni_uri(draw.randbytes(32)),
        }
        event["sensorElementList"][0]["sensorReport"][0] |= {
            "minValue": round(mean - 0.6, 1),
            "maxValue": round(mean + 0.7, 1),
            "meanValue": mean,
        }
        event["gy:window"] = {"gy:expected": 60, "gy:received": 60, "gy:suspect": 0, "gy:late": 0}
        built.append(event)
    return [*built, first]


def _keep(files: FileStore, event: dict[str, Any], quantity: str, series: list[tuple[datetime, float]]) -> None:
    element = event["sensorElementList"][0]
    element["sensorMetadata"]["rawData"] = files.put(
        canonical(
            {
                "format": "guoyuan-readings/1",
                "device": element["sensorMetadata"]["deviceID"],
                "from": element["sensorMetadata"]["startTime"],
                "to": element["sensorMetadata"]["endTime"],
                "messages": [],
                "readings": [
                    {
                        "at": format_time(at),
                        "quantity": quantity,
                        "value": value,
                        "unit": "Cel",
                        "flag": 1,
                        "message": 0,
                    }
                    for at, value in series
                ],
            }
        )
    )


def _cooling(event: dict[str, Any]) -> list[tuple[datetime, float]]:
    metadata = event["sensorElementList"][0]["sensorMetadata"]
    start, end = parse_time(metadata["startTime"]), parse_time(metadata["endTime"])
    minutes = round((end - start).total_seconds() / 60)
    fall = math.log((30.8 - 9.9) / (13.2 - 9.9)) / minutes
    return [
        (start + timedelta(minutes=m), round(9.9 + 20.9 * math.exp(-fall * m), 1)) for m in range(0, minutes + 1, 5)
    ]


def _journey(event: dict[str, Any], draw: random.Random) -> list[tuple[datetime, float]]:
    metadata = event["sensorElementList"][0]["sensorMetadata"]
    start, end = parse_time(metadata["startTime"]), parse_time(metadata["endTime"])
    series = []
    for step in range(525):
        at = start + timedelta(minutes=5 * step)
        if at > end or 330 <= step < 354:  # two hours without a reading
            continue
        peak = 3.4 * math.exp(-(((step - 248) / 3.2) ** 2))
        series.append((at, round(11.8 + 0.7 * math.sin(step / 17) + draw.uniform(-0.12, 0.12) + peak, 1)))
    return series


# --- drawn pictures -------------------------------------------------------------------------------


def fruit_picture(w: int, h: int, *, marks: int, seed: int) -> bytes:
    """Return a drawn fruit that fills a box of w x h pixels with the margin a crop keeps, as JPEG."""
    draw = random.Random(seed)
    margin = max(w, h) * 70 // 1000
    size, over = (w + 2 * margin, h + 2 * margin), 2
    picture = Image.new("RGB", (size[0] * over, size[1] * over), (74, 82, 78))
    pen = ImageDraw.Draw(picture)
    left, top = margin * over, margin * over
    right, bottom = (margin + w) * over, (margin + h) * over
    shadow = Image.new("L", picture.size, 0)
    ImageDraw.Draw(shadow).ellipse((left + 10, top + 26, right + 16, bottom + 34), fill=120)
    picture.paste((30, 34, 32), mask=shadow.filter(ImageFilter.GaussianBlur(16)))
    skin = Image.new("RGB", picture.size, (222, 154, 40))
    tint = ImageDraw.Draw(skin)
    for i in range(60):
        share = i / 60
        colour = (int(202 + 40 * share), int(112 + 76 * share), int(34 + 20 * share))
        inset = share * 0.42
        box = (
            left + (right - left) * inset * 0.8,
            top + (bottom - top) * inset * 0.7,
            right - (right - left) * inset * 1.15,
            bottom - (bottom - top) * inset * 1.25,
        )
        tint.ellipse(box, fill=colour)
    skin = skin.filter(ImageFilter.GaussianBlur(14))
    blush = Image.new("L", picture.size, 0)
    ImageDraw.Draw(blush).ellipse((left - 40, top - 60, left + (right - left) * 0.55, bottom * 0.66), fill=110)
    skin.paste((196, 66, 44), mask=blush.filter(ImageFilter.GaussianBlur(50)))
    tint = ImageDraw.Draw(skin)
    for _ in range(140):
        x, y = draw.uniform(left, right), draw.uniform(top, bottom)
        tint.ellipse((x, y, x + 3, y + 3), fill=(232, 190, 96))
    for _ in range(2 + marks // 20):
        x, y, r = draw.uniform(left + 60, right - 60), draw.uniform(top + 50, bottom - 50), draw.uniform(3, 8)
        tint.ellipse((x, y, x + r * 1.6, y + r), fill=(112, 68, 30))
    body = Image.new("L", picture.size, 0)
    ImageDraw.Draw(body).ellipse((left, top, right, bottom), fill=255)
    picture.paste(skin, mask=body.filter(ImageFilter.GaussianBlur(1.2)))
    shine = Image.new("L", picture.size, 0)
    ImageDraw.Draw(shine).ellipse(
        (
            left + (right - left) * 0.3,
            top + (bottom - top) * 0.13,
            left + (right - left) * 0.56,
            top + (bottom - top) * 0.3,
        ),
        fill=90,
    )
    picture.paste((255, 240, 214), mask=shine.filter(ImageFilter.GaussianBlur(22)))
    pen.line((right - 6, (top + bottom) / 2 - 10, right + 16, (top + bottom) / 2 - 26), fill=(74, 52, 28), width=9)
    out = io.BytesIO()
    picture.resize(size, Image.Resampling.LANCZOS).save(out, "JPEG", quality=88)
    return out.getvalue()


def box_picture(*, seed: int) -> bytes:
    """Return a drawn box of fruit, as JPEG."""
    draw = random.Random(seed)
    picture = Image.new("RGB", (720, 540), (176, 140, 96))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((30, 30, 690, 510), fill=(214, 190, 150), outline=(120, 90, 56), width=6)
    for i in range(13):
        x, y = 60 + (i % 5) * 126 + draw.randint(-8, 8), 60 + (i // 5) * 150 + draw.randint(-8, 8)
        pen.ellipse((x, y, x + 112, y + 128), fill=(226, 158, 46), outline=(186, 110, 30), width=3)
        pen.ellipse((x + 20, y + 20, x + 56, y + 50), fill=(240, 196, 104))
    out = io.BytesIO()
    picture.filter(ImageFilter.GaussianBlur(1)).save(out, "JPEG", quality=82)
    return out.getvalue()


WHEN = datetime(2026, 4, 20, 6, 5, tzinfo=UTC)
"""A moment after the delivery: somebody opens the box."""
