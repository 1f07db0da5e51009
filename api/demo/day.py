"""The day itself, from the first sensor reading to the scan, and the summary it ends with."""

import json
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as local_time
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.console import Console

from api.demo import actors
from api.demo.stage import Journal, Stage, StageError
from api.demo.world import World, imagine
from api.deploy.services import free_port
from ledger.kernel.settings import Settings

_ANCHOR_PATIENCE_S: Final = 180.0
_HOME: Final = Path(".run/demo")


@dataclass(frozen=True, slots=True)
class Times:
    """When what happens. All of it lies in the past: the last moment is the newest 10:00 at the farm."""

    morning: datetime
    broadcast: datetime
    close: datetime
    pick: datetime
    receive: datetime
    cool: datetime
    cooled: datetime
    grade: datetime
    pack: datetime
    ship: datetime
    deliver: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """What the day came to."""

    consumer_url: str
    proof_file: str
    events: int
    leaves: int
    anchors: int
    gas_per_event: float
    seconds_sale_to_phone: float
    seconds_total: float
    readings: int
    photographs: int
    photographs_refused: int
    fruits: int
    packs: int
    orders: int
    oversold: int
    duplicates_refused: int
    forged_refused: int
    resident_mib: int


def schedule(now: datetime, zone: ZoneInfo) -> Times:
    """Return the times of the newest whole day that has ended by `now`."""
    local = now.astimezone(zone)
    end = datetime.combine(local.date(), local_time(10), zone)
    if end > local:
        end -= timedelta(days=1)
    day = end.date() - timedelta(days=1)

    def at(hour: int, minute: int = 0, *, days: int = 0) -> datetime:
        moment = datetime.combine(day + timedelta(days=days), local_time(hour, minute), zone)
        return moment.astimezone(UTC)

    return Times(
        morning=at(7, days=-1),
        broadcast=at(20, days=-1),
        close=at(21, days=-1),
        pick=at(6, 4),
        receive=at(7, 12),
        cool=at(7, 26),
        cooled=at(9, 32),
        grade=at(9, 45),
        pack=at(10, 40),
        ship=at(11, 30),
        deliver=at(10, days=1),
    )


def main(
    *,
    readings: Path | None = None,
    photos: Path | None = None,
    sales: Path | None = None,
    serve: bool = True,
    as_json: bool = False,
    json_out: Path | None = None,
) -> int:
    """Play the day, print what it came to, and leave the site running unless told not to.

    A day that was interrupted under the same home is finished; a finished one is played afresh.
    """
    base = Settings.load()
    home = (base.home if "home" in base.model_fields_set else _HOME).resolve()
    inputs = [str(p) if p else "" for p in (readings, photos, sales)]
    journal = _journal(home, inputs)
    say = Console(stderr=as_json, highlight=False)
    world = imagine(readings=readings, photos=photos, sales=sales)
    stage = Stage(home, journal.once("settings", lambda: _settings(home, base)))
    began = time.monotonic()
    try:
        summary = play(stage, world, journal, say, began=began)
        text = json.dumps(asdict(summary), indent=2, ensure_ascii=False)
        if json_out is not None:
            json_out.write_text(text + "\n")
        if as_json:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        _print_summary(say, summary)
        if serve:
            say.print("\nThe site is running; Ctrl-C stops it.")
            stage.wait_for_visitors()
    finally:
        stage.lower_curtain()
    return 0


def play(stage: Stage, world: World, journal: Journal, say: Console, *, began: float) -> Summary:
    """Play the whole day and return its summary."""
    times = Times(**{k: datetime.fromisoformat(v) for k, v in journal.once("times", _times_json).items()})

    def step(text: str) -> None:
        local = stage.clock.now().astimezone(actors.FARM_ZONE)
        say.print(f"[dim]{time.monotonic() - began:5.1f} s  {local:%d %b %H:%M}[/]  {text}")

    for line in world.says:
        say.print(f"  [dim]{line}[/]")
    stage.at(times.morning)
    coop = actors.Cooperative(stage, world, journal)
    coop.set_up()
    step(f"A sample cooperative: {len(world.plots)} plots, {len(coop.device_refs)} devices, {len(coop.people)} people")
    stage.raise_curtain()

    devices = actors.Devices(stage, coop, world, journal)
    devices.measure(times.morning, times.broadcast)
    stage.at(times.broadcast)
    host = actors.Host(stage, coop, world, journal)
    broadcast = host.open_broadcast(closes_at=times.close)
    step(f"The host opens a broadcast and lists {len(host.offer)} tiers")

    farmers = [actors.Farmer(stage, coop, ref, journal) for ref in coop.farmers]
    platform = actors.Platform(stage, coop, world, journal)
    burst, seconds = _sell(platform, farmers, broadcast, journal)
    for farmer in farmers:
        farmer.orders()
    platform.trickle(broadcast, burst, start=times.broadcast, end=times.close - timedelta(minutes=12))
    step(
        f"{burst.orders} paid orders, most at once: {burst.held} lines held, {burst.sold_out} sold out, "
        f"{burst.duplicates} duplicates and {burst.forged} forged message refused; on a phone after {seconds:.2f} s"
    )
    devices.measure(times.broadcast, times.close)
    host.close(at=times.close)

    devices.measure(times.close, times.pick)
    stage.at(times.pick)
    lots = actors.harvest(farmers, world, started=times.pick)
    step(f"Farmers pick {sum(lot['mass_g'] for lot in lots) / 1000:.1f} kg in {len(lots)} lots")

    station = actors.Station(stage, coop, world, journal)
    station.receive(lots, at=times.receive)
    devices.cool(times.cool, times.cooled)
    station.cool(lots, start=times.cool, end=times.cooled)
    step("Crates weighed in and pre-cooled, the two-hour clock kept")

    stage.at(times.grade)
    station.calibrate()
    graded = station.grade(lots, at=times.grade)
    tiers = ", ".join(f"{tier} {graded[tier]}" for tier in ("A", "B", "C", "cull") if graded[tier])
    refused = f", {graded['refused']} refused" if graded["refused"] else ""
    step(f"{graded['photographs']} photographs graded{refused}: {graded['fruits']} fruits ({tiers})")
    packs = station.pack(at=times.pack)
    station.print_label(packs[0])
    step(f"{len(packs)} packs filled and labelled, codes issued against measured mass")

    load = station.ship(packs, at=times.ship)
    devices.travel(times.ship, times.deliver)
    actors.Receiver(stage, coop, journal).deliver(load)
    step("The load travels with its logger and arrives complete")

    consumer = actors.Consumer(stage)
    stage.at(datetime.now(UTC))
    sealed = consumer.wait_until_anchored(_ANCHOR_PATIENCE_S)
    url, proof = consumer.scan(packs[0])
    consumer.verify(proof)
    step(f"{sealed['anchored']} leaves anchored; a label scanned, its proof saved and verified")
    board = host.state()
    summary = Summary(
        consumer_url=url,
        proof_file=str(proof),
        events=sealed["recorded"],
        leaves=sealed["integrated"],
        anchors=len(sealed["anchors"]),
        gas_per_event=round(sealed["gas_per_event"], 1),
        seconds_sale_to_phone=round(seconds, 3),
        seconds_total=round(time.monotonic() - began, 1),
        readings=devices.sent,
        photographs=graded["photographs"],
        photographs_refused=graded["refused"],
        fruits=graded["fruits"],
        packs=len(packs),
        orders=burst.orders,
        oversold=actors.oversold(board),
        duplicates_refused=burst.duplicates,
        forged_refused=burst.forged,
        resident_mib=stage.resident_mib,
    )
    journal.set("done", asdict(summary))
    return summary


def _sell(
    platform: actors.Platform, farmers: list[actors.Farmer], broadcast: str, journal: Journal
) -> tuple[actors.Burst, float]:
    """Let the burst loose while the farmers look at their phones.

    Returns it, and the seconds from the first payment until an order stood on a phone.
    """
    if journal.get("burst") is None:
        begin, seen = threading.Barrier(len(farmers) + 1), threading.Event()
        with ThreadPoolExecutor(max_workers=len(farmers)) as pool:
            watched = [pool.submit(farmer.watch, begin, seen) for farmer in farmers]
            burst = platform.burst(broadcast, begin=begin)
            shown = [at for at in (watch.result() for watch in watched) if at is not None]
        if not shown:
            raise StageError("no pick order came up on any farmer's phone")
        journal.set("seconds_sale_to_phone", min(shown) - burst.first_paid_at)
    burst = platform.burst(broadcast, begin=threading.Barrier(1))
    # A day interrupted between the burst and this line has orders on the phones, but no measured seconds.
    return burst, journal.once("seconds_sale_to_phone", lambda: 0.0)


def _times_json() -> dict[str, str]:
    return {name: moment.isoformat() for name, moment in asdict(schedule(datetime.now(UTC), actors.FARM_ZONE)).items()}


def _journal(home: Path, inputs: list[str]) -> Journal:
    journal = Journal(home / "day.json")
    if journal.get("done") or (journal.get("inputs") or inputs) != inputs:
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    journal = Journal(home / "day.json")
    journal.set("inputs", inputs)
    return journal


def _settings(home: Path, base: Settings) -> dict[str, str]:
    port = free_port(base.port)
    settings = {
        "GUOYUAN_ENVIRONMENT": "demo",
        "GUOYUAN_HOME": str(home),
        "GUOYUAN_HOST": "127.0.0.1",
        "GUOYUAN_PORT": str(port),
        "GUOYUAN_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "GUOYUAN_MQTT_PORT": str(free_port(base.mqtt_port)),
        "GUOYUAN_TIME_ZONE": str(actors.FARM_ZONE),
        "GUOYUAN_PUBLISH_AFTER_S": "2",
        "GUOYUAN_ANCHOR_AFTER_S": "5",
    }
    for name in ("database_url", "redis_url", "mqtt_url", "chain_url"):
        if value := getattr(base, name):
            settings[f"GUOYUAN_{name.upper()}"] = value
    return settings


def _print_summary(say: Console, summary: Summary) -> None:
    rows: list[tuple[str, Any]] = [
        ("link", summary.consumer_url),
        ("proof", summary.proof_file),
        ("events", f"{summary.events} recorded, {summary.leaves} leaves, {summary.anchors} anchors"),
        ("gas per event", f"{summary.gas_per_event:,.0f}"),
        ("sale to phone", f"{summary.seconds_sale_to_phone:.2f} s"),
        ("orders", f"{summary.orders} taken, {summary.packs} packs filled, {summary.oversold} oversold"),
        ("the whole day", f"{summary.seconds_total:.0f} s, {summary.resident_mib} MiB resident"),
    ]
    say.print()
    for name, value in rows:
        say.print(f"  [bold]{name:>14}[/]  {value}", soft_wrap=True)
