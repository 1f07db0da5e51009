"""What is true outside the product on the day that is played: weather, fruit, buyers.

Either generated samples, the same every time, or a day's worth of real input that the caller names.
"""

import csv
import gzip
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from math import cos, exp, pi, sin
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from farm_sensors import replay
from grading import samples
from ledger.kernel.errors import OriginError

SEED: Final = 20260418
TIERS: Final = ("A", "B", "C")
PHOTOGRAPHS: Final = 16
"""Sample photographs of a dozen fruits each."""
REAL_PHOTOGRAPHS: Final = 80
"""At most so many real photographs are graded: about what a station sees in a quarter of an hour."""
ORDERS: Final = 30


class WorldError(OriginError):
    """The input named for the day cannot be played."""

    code = "demo_input"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one instrument on a plot read, `after` the start of the day that is replayed."""

    after: timedelta
    values: tuple[tuple[str, float], ...]
    """Quantity and value, in the unit `farm_sensors.quantities` keeps it in."""


@dataclass(frozen=True, slots=True)
class Photographed:
    """A photograph the station will take, and what the fruit in it truly weighs together."""

    name: str
    data: bytes
    mass_g: int


@dataclass(frozen=True, slots=True)
class Bought:
    """One paid order: its number on the platform, and pieces per tier."""

    number: str
    lines: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class World:
    """A whole day."""

    plots: tuple[str, ...]
    weather: dict[str, tuple[Measured, ...]]
    cadence_s: int
    photographs: tuple[Photographed, ...]
    orders: tuple[Bought, ...]
    target: bytes
    """A photograph of the empty belt with its marker, to check the camera's scale by."""
    has_coin: bool
    """Whether the photographs' scale is a 25 mm coin instead."""
    crop: str
    """Which standard the station grades by."""
    nominal_mass_g: int
    says: tuple[str, ...]
    """One line per kind of input: what it is and where it comes from."""

    @property
    def mass_g(self) -> int:
        """What hangs ripe on the trees today."""
        return sum(p.mass_g for p in self.photographs)


def imagine(*, readings: Path | None = None, photos: Path | None = None, sales: Path | None = None) -> World:
    """Return the day: real where a path is given, generated samples otherwise. Raises WorldError."""
    plots = ("P01", "P02", "P03") if readings is None else ("P01",)
    says = []
    if readings is None:
        weather = {plot: tuple(_sample_weather(plot)) for plot in plots}
        cadence_s = 600
        says.append("readings: generated samples")
    else:
        day, weather_rows = _real_weather(readings)
        weather, cadence_s = {"P01": weather_rows}, 3600
        says.append(f"readings: {readings.name}, {day:%Y-%m-%d}, replayed")
    photographs = tuple(_sample_photographs() if photos is None else _real_photographs(photos))
    says.append(
        "photographs: " + ("generated samples" if photos is None else f"{photos.name}, {len(photographs)} of mangoes")
    )
    orders = tuple(_sample_orders()) if sales is None else tuple(_real_orders(sales))
    says.append(
        "orders: " + ("generated samples" if sales is None else f"{sales.name}, first day, {len(orders)} orders")
    )
    return World(
        plots=plots,
        weather=weather,
        cadence_s=cadence_s,
        photographs=photographs,
        orders=orders,
        nominal_mass_g=1000 if photos is None else 500,
        target=samples.target(SEED).jpeg,
        has_coin=photos is not None,
        # The photographed mangoes are of a small kind, below the least size of the Codex standard.
        crop="mango" if photos is None else "mango-small",
        says=tuple(says),
    )


# --- generated samples --------------------------------------------------------------------------


def _sample_weather(plot: str) -> Iterator[Measured]:
    """A fair spring day in the dry tropics every ten minutes, with one short power cut on plot P02."""
    noise = random.Random(f"{SEED}{plot}")
    shift = noise.uniform(-0.6, 0.6)
    for minute in range(0, 24 * 60, 10):
        if plot == "P02" and 14 * 60 <= minute < 14 * 60 + 40:
            continue
        sun = max(0.0, sin((minute - 6 * 60 - 20) / (12 * 60 + 20) * pi))
        temperature = 26.2 + shift - 4.6 * cos((minute - 2.6 * 60) / 720 * pi) + noise.gauss(0, 0.12)
        humidity = min(98.0, max(42.0, 71 + 17 * cos((minute - 3 * 60) / 720 * pi) + noise.gauss(0, 0.8)))
        wind = max(0.2, 1.1 + 1.6 * sun + noise.gauss(0, 0.25))
        yield Measured(
            timedelta(minutes=minute),
            (
                ("air-temperature", round(temperature, 1)),
                ("air-humidity", round(humidity, 1)),
                ("irradiance", round(870 * sun**1.2 * (1 - 0.15 * noise.random()), 1)),
                ("wind-speed", round(wind, 1)),
            ),
        )


def _sample_photographs() -> list[Photographed]:
    """Draw the trays, on every core: each takes the better part of a second."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(pool.map(_sample_photograph, range(PHOTOGRAPHS)))


def _sample_photograph(number: int) -> Photographed:
    sample = samples.tray(seed=SEED + number)
    return Photographed(f"sample-{number + 1:02d}.jpg", sample.jpeg, sample.mass_g)


def _sample_orders() -> Iterator[Bought]:
    draw = random.Random(SEED)
    for number in range(1, ORDERS + 1):
        tiers = draw.choices(TIERS, weights=(6, 3, 2), k=draw.choice((1, 1, 1, 2)))
        lines = tuple((tier, draw.choice((1, 1, 1, 2))) for tier in sorted(set(tiers)))
        yield Bought(f"S-{number:04d}", lines)


def pulp_curve(minutes: int, *, start: float = 30.6, room: float = 10.8) -> float:
    """Return the temperature of a fruit's middle after so many minutes of forced air, in degrees Celsius."""
    return room + (start - room) * exp(-minutes / 52)


def leg_curve(minutes: int) -> float:
    """Return the air in the lorry after so many minutes: steady, with the doors open once at a transfer."""
    opened = max(0.0, 1 - abs(minutes - 610) / 35)
    return 11.7 + 0.5 * sin(minutes / 47) + 4.2 * opened


# --- real input ---------------------------------------------------------------------------------


def _real_weather(path: Path) -> tuple[datetime, tuple[Measured, ...]]:
    rows = replay.warmest_day(replay.read(path))
    start = rows[0].time.replace(hour=0, minute=0)
    return start, tuple(Measured(row.time - start, tuple((q, v) for q, v, _ in row.values)) for row in rows)


def _real_photographs(folder: Path) -> list[Photographed]:
    """Mangoes from above; where a `size.csv` beside them knows a weight, the scale shows that weight."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not files:
        raise WorldError(f"{folder}: no photographs (.jpg, .png) in it")
    mangoes = [p for p in files if p.name.startswith("mango") and "T" in p.name] or files
    step = max(1, len(mangoes) // REAL_PHOTOGRAPHS)
    weights = _known_weights(folder)
    return [Photographed(p.name, p.read_bytes(), weights.get(p.name, 250)) for p in mangoes[::step][:REAL_PHOTOGRAPHS]]


def _known_weights(folder: Path) -> dict[str, int]:
    table = folder / "size.csv"
    if not table.exists():
        return {}
    with table.open(newline="") as file:
        return {row["file"]: round(float(row["weight_g"])) for row in csv.DictReader(file)}


def _real_orders(path: Path) -> Iterator[Bought]:
    """The first whole day of a shop's orders: its three commonest articles stand for the three tiers."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", newline="") as file:
            reader = csv.DictReader(file)
            if not {"order_id", "sku", "quantity", "ordered_at"} <= set(reader.fieldnames or ()):
                raise WorldError(f"{path.name}: needs the columns order_id, sku, quantity, ordered_at")
            day, rows = next(groupby(reader, key=lambda row: row["ordered_at"][:10]), ("", iter(())))
            bought = [row for row in rows if float(row["quantity"]) > 0]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WorldError(f"{path}: {error}") from error
    if not bought:
        raise WorldError(f"{path.name}: no orders on its first day {day}")
    tier_of = _tiers_by_article([row["sku"] for row in bought])
    for number, lines in groupby(bought, key=lambda row: row["order_id"]):
        pieces = Counter[str]()
        for line in lines:
            pieces[tier_of[line["sku"]]] += 1
        yield Bought(number, tuple(sorted(pieces.items())))


def _tiers_by_article(articles: Sequence[str]) -> dict[str, str]:
    """Deal the articles out to the tiers, the commonest first, so that each tier has buyers."""
    return {sku: TIERS[rank % len(TIERS)] for rank, (sku, _) in enumerate(Counter(articles).most_common())}
