"""The people and machines of the day. Each holds only what the real one would: a code, a key, a secret.

What they are sent twice or were asked before a crash they send again under the same number, so nothing
happens twice: that is the product's promise, and the day leans on it.
"""

import base64
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as local_time
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

import httpx
from standardwebhooks.webhooks import Webhook

from api.demo.stage import Door, Journal, RefusedError, Stage, StageError
from api.demo.world import Bought, Photographed, World, leg_curve, pulp_curve
from farm_sensors.errors import TransportError
from farm_sensors.gateway import Gateway, HttpTransport
from farm_sensors.keys import DeviceKey
from farm_sensors.mqtt import MqttTransport
from farm_sensors.packs import Reading
from ledger.kernel.clock import format_time

FARM_ZONE: Final = ZoneInfo("Asia/Shanghai")
VARIETY: Final = "Guifei"
Lot: TypeAlias = dict[str, Any]
"""A farmer's receipt for a lot, with the trays the crates hold and the crates as they were confirmed."""
_PLOT_POLYGONS: Final = {
    "P01": [[109.5112, 18.3121], [109.5124, 18.3124], [109.5127, 18.3115], [109.5118, 18.3110], [109.5111, 18.3114]],
    "P02": [[109.5129, 18.3125], [109.5139, 18.3127], [109.5141, 18.3117], [109.5130, 18.3114]],
    "P03": [[109.5113, 18.3108], [109.5126, 18.3113], [109.5129, 18.3103], [109.5117, 18.3099]],
}
_BY_MQTT: Final = {"W01", "W03", "LOGGER-1"}
_TRIES: Final = 100
_CRATE_G: Final = 15_000
_NAMESPACE: Final = uuid.UUID("6f1c4b52-5d8e-4a0f-9a3c-5b1d6a0e7c11")


class Cooperative:
    """Whoever installs the product: applies one file and hands the printed codes out."""

    def __init__(self, stage: Stage, world: World, journal: Journal) -> None:
        self._stage, self._world, self._journal = stage, world, journal
        self.people: dict[str, dict[str, str]] = {}
        self.ids: dict[str, str] = {}
        self.device_refs = [f"W{plot[1:]}" for plot in world.plots] + ["PROBE-1", "CAMERA-1", "SCALE-1", "LOGGER-1"]
        self.farmers = sorted({_holder(plot) for plot in world.plots})
        self.webhook_secret = ""

    def set_up(self) -> None:
        """Apply the file with the command an operator uses, and open a sale channel."""
        applied = self._journal.once("applied", self._apply)
        self.people = {person["ref"]: person for person in applied["people"]}
        self.ids = {thing["ref"]: thing["id"] for kind in ("devices", "plots", "places") for thing in applied[kind]}
        # A run that was killed between the channel and its note here cannot know the secret: it asks for a new one.
        self.webhook_secret = self._journal.once(
            "channel", lambda: self._stage.command("channels", "add", "sample-platform", "--replace")["secret"]
        )

    def key(self, ref: str) -> DeviceKey:
        """Return a device's private key; it lies with the device, not in the product's home."""
        return DeviceKey.load_or_create(self._stage.home / "devices" / f"{ref}.key")

    def code(self, ref: str) -> str:
        """Return the code printed for a person."""
        return self.people[ref]["code"]

    def _apply(self) -> Any:
        path = self._stage.home / "cooperative.toml"
        path.write_text("\n".join(self._lines()), encoding="utf-8")
        return self._stage.command("apply", str(path))

    def _lines(self) -> Iterable[str]:
        yield '[cooperative]\nname = "示例合作社 Sample Cooperative"'
        people = [
            *((ref, f"示例果农 Sample farmer {ref[-1]}", "farmer", "farm") for ref in self.farmers),
            ("host-1", "示例主播 Sample host", "host", "studio"),
            ("station-1", "示例包装间 Sample packing house", "station", "house"),
            ("receiver-1", "示例驿站 Sample pick-up point", "station", "receiver"),
            ("manager-1", "示例管理员 Sample manager", "manager", "house"),
            ("auditor-1", "示例审计 Sample auditor", "auditor", "house"),
        ]
        for ref, name, role, site in people:
            yield f'[[person]]\nref = "{ref}"\nname = "{name}"\nrole = "{role}"\nsite = "{site}"'
        for ref, gln in (("farm", 1), ("house", 10), ("studio", 20), ("receiver", 30)):
            yield f'[[place]]\nref = "{ref}"\ngln = {gln}'
        for number, plot in enumerate(self._world.plots, start=1):
            # Young trees bear little yet, so that one day's sale reaches two farmers.
            yield_cap_kg = 28 if len(self._world.plots) > 1 else 12_000
            yield (
                f'[[plot]]\nref = "{plot}"\nplace = "farm"\nname = "示例 {number} 号地"\ncrop = "mango"\n'
                f'variety = "{VARIETY}"\nregion = "CN-460200"\narea_m2 = {4200 + 700 * number}\n'
                f'trees = {130 + 25 * number}\nseason = "2026"\nyield_cap_kg = {yield_cap_kg}\n'
                f'holder = "{_holder(plot)}"\n'
                f"polygon = {_PLOT_POLYGONS[plot]}"
            )
        weather = '["air-temperature", "air-humidity", "irradiance", "wind-speed"]'
        devices: list[tuple[str, str, str, str, int | None]] = [
            (f"W{plot[1:]}", "sample-weather-1", f"farm/{plot}", weather, self._world.cadence_s)
            for plot in self._world.plots
        ]
        devices += [
            ("PROBE-1", "sample-probe-1", "house/COOL-1", '["pulp-temperature", "room-temperature"]', 300),
            ("CAMERA-1", "sample-camera-1", "house/LINE-1", '["fruit-image"]', None),
            ("SCALE-1", "sample-scale-1", "house/LINE-1", '["mass"]', None),
            ("LOGGER-1", "sample-logger-1", "house/DOCK-OUT", '["load-temperature"]', 300),
        ]
        for ref, model, place, quantities, cadence_s in devices:
            cadence = "" if cadence_s is None else f"\ncadence_s = {cadence_s}"
            yield (
                f'[[device]]\nref = "{ref}"\nmodel = "{model}"\nplace = "{place}"\nquantities = {quantities}\n'
                f'public_key = "{self.key(ref).public_base64}"{cadence}'
            )


def _holder(plot: str) -> str:
    return "farmer-1" if plot == "P01" else "farmer-2"


class Devices:
    """The instruments of the day, each with its own key and its own way to send."""

    def __init__(self, stage: Stage, coop: Cooperative, world: World, journal: Journal) -> None:
        self._stage, self._coop, self._world, self._journal = stage, coop, world, journal

    @property
    def sent(self) -> int:
        """How many readings were acknowledged."""
        return sum(count for name, count in self._journal.items() if name.startswith("readings "))

    def measure(self, start: datetime, end: datetime) -> None:
        """Let every plot's instrument measure from `start` to `end`, sending hour by hour."""
        hour = start
        while hour < end:
            until = min(hour + timedelta(hours=1), end)
            self._stage.at(until)
            for plot in self._world.plots:
                readings = [
                    Reading(quantity, at, value)
                    for measured in self._world.weather[plot]
                    if hour <= (at := _today(hour, measured.after)) < until
                    for quantity, value in measured.values
                ]
                self._send(f"W{plot[1:]}", readings, name=f"{plot} {hour.isoformat()}")
            hour = until

    def cool(self, start: datetime, end: datetime) -> None:
        """Let the probe in the cooler measure a fruit's middle and the room."""
        minutes = range(0, round((end - start).total_seconds() / 60) + 1, 5)
        readings = [
            Reading(quantity, start + timedelta(minutes=m), value)
            for m in minutes
            for quantity, value in (("pulp-temperature", round(pulp_curve(m), 1)), ("room-temperature", 10.8))
        ]
        self._stage.at(end)
        self._send("PROBE-1", readings, name="cooling")

    def travel(self, start: datetime, end: datetime) -> None:
        """Let the logger in the load measure all the way."""
        minutes = range(0, round((end - start).total_seconds() / 60) + 1, 5)
        readings = [Reading("load-temperature", start + timedelta(minutes=m), round(leg_curve(m), 1)) for m in minutes]
        self._stage.at(end)
        self._send("LOGGER-1", readings, name="travel")

    def _send(self, ref: str, readings: Sequence[Reading], *, name: str) -> None:
        if readings:
            self._journal.once(f"readings {name}", lambda: self._deliver(ref, readings, name))

    def _deliver(self, ref: str, readings: Sequence[Reading], name: str) -> int:
        transport = self._transport(ref)
        store = self._stage.home / "devices" / f"{ref}.db"
        try:
            with Gateway(store, self._coop.ids[ref], self._coop.key(ref), transport) as gateway:
                # Once in the gateway's file they need not be measured again, whatever dies now.
                self._journal.once(f"measured {name}", lambda: gateway.add(readings))
                for _ in range(_TRIES):
                    try:
                        if gateway.flush().left == 0:
                            return len(readings)
                    except TransportError:
                        self._stage.raise_curtain()
                    time.sleep(0.2)
        finally:
            transport.close()
        raise StageError(f"device {ref} cannot deliver its readings")

    def _transport(self, ref: str) -> HttpTransport | MqttTransport:
        """Half of the instruments speak MQTT, the others HTTP."""
        if ref in _BY_MQTT:
            return MqttTransport(self._stage.mqtt_url, self._coop.ids[ref])
        return HttpTransport(self._stage.url)


class Host:
    """Sells on a livestream before anything is picked."""

    def __init__(self, stage: Stage, coop: Cooperative, world: World, journal: Journal) -> None:
        self._stage, self._world, self._journal = stage, world, journal
        self._door = Door(stage, code=coop.code("host-1"))
        self.offer = _offer(world)
        self.broadcast = ""

    def open_broadcast(self, *, closes_at: datetime) -> str:
        """Open a broadcast, list the tiers and return its id."""
        self.broadcast = self._journal.once("broadcast", partial(self._open, closes_at))
        for tier, (pieces, price_fen) in self.offer.items():
            body = {
                "tier": tier,
                "variety": VARIETY,
                "nominal_mass_g": self._world.nominal_mass_g,
                "price_fen": price_fen,
                "pieces": pieces,
                "plots": list(self._world.plots[:2]),
            }
            self._journal.once(f"listing {tier}", partial(self._list, body))
        return self.broadcast

    def close(self, *, at: datetime) -> None:
        """Close the broadcast."""
        self._stage.at(at)
        self._journal.once("broadcast closed", lambda: self._door.post(self._path("close"), {}))

    def state(self) -> Any:
        """Return what the host's board shows of the broadcast."""
        return self._door.get("/api/v1/host/state", broadcast=self._ref)

    def _open(self, closes_at: datetime) -> str:
        # An earlier try whose answer was lost may have opened it.
        standing = self.state()["broadcast"]
        if standing is None or standing["closed_at"] is not None:
            body = {"title": "示例专场 Sample broadcast", "closes_at": format_time(closes_at)}
            standing = self._door.post("/api/v1/host/broadcasts", body)
        return str(standing["broadcast"])

    def _list(self, body: dict[str, Any]) -> dict[str, Any]:
        try:
            listed: dict[str, Any] = self._door.post(self._path("listings"), body)
        except StageError:
            listed = next((each for each in self.state()["listings"] if each["tier"] == body["tier"]), {})
            if not listed:
                raise
        return listed

    @property
    def _ref(self) -> str:
        return self.broadcast.rpartition("/")[2][13:]

    def _path(self, action: str) -> str:
        return f"/api/v1/host/broadcasts/{self._ref}/{action}"


def _offer(world: World) -> dict[str, tuple[int, int]]:
    """Pieces and price per tier: what the trees should give, less a margin kept on them."""
    offered_g = world.mass_g * 0.75
    shares = {"A": (0.46, 2590), "B": (0.34, 1990), "C": (0.20, 1390)}
    return {
        tier: (max(1, int(offered_g * share // world.nominal_mass_g)), price * world.nominal_mass_g // 1000)
        for tier, (share, price) in shares.items()
    }


@dataclass
class Burst:
    """What the platform was answered."""

    orders: int = 0
    held: int = 0
    sold_out: int = 0
    duplicates: int = 0
    forged: int = 0
    first_paid_at: float = 0.0

    def count(self, answer: Any) -> None:
        """Count one answer in."""
        outcomes = Counter(line["outcome"] for line in answer["lines"])
        self.duplicates += bool(answer["duplicate"])
        self.held += outcomes["held"]
        self.sold_out += outcomes["sold_out"]


class Platform:
    """The sale platform: pushes paid orders as signed webhooks, some twice, while somebody forges one."""

    def __init__(self, stage: Stage, coop: Cooperative, world: World, journal: Journal) -> None:
        self._stage, self._world, self._journal = stage, world, journal
        self._door = Door(stage)
        self._signer = Webhook(coop.webhook_secret)
        self._forger = Webhook("whsec_" + base64.b64encode(b"somebody else's secret, 32 bytes").decode())

    def burst(self, broadcast: str, *, begin: threading.Barrier) -> Burst:
        """Push the first two thirds of the day's orders at once and return what came back."""
        return Burst(**self._journal.once("burst", lambda: vars(self._push(broadcast, begin))))

    def trickle(self, broadcast: str, burst: Burst, *, start: datetime, end: datetime) -> None:
        """Push the other orders one by one over the rest of the broadcast, and count them in."""
        rest = self._world.orders[self._in_burst :]
        for number, order in enumerate(rest, start=1):
            self._stage.at(start + (end - start) * number / (len(rest) + 1))
            body = self._body(order, broadcast, self._stage.clock.now())
            message = (f"msg_{order.number}", body)
            burst.orders += 1
            burst.count(self._journal.once(f"sold {order.number}", partial(self._answer, message)))

    @property
    def _in_burst(self) -> int:
        return len(self._world.orders) * 2 // 3

    def _push(self, broadcast: str, begin: threading.Barrier) -> Burst:
        now = self._stage.clock.now()
        orders = self._world.orders[: self._in_burst]
        messages = [(f"msg_{order.number}", self._body(order, broadcast, now)) for order in orders]
        repeated = messages[:: max(1, len(messages) // 6)]
        burst = Burst(orders=len(messages))
        begin.wait()
        burst.first_paid_at = time.time()
        with ThreadPoolExecutor(max_workers=8) as pool:
            for answer in pool.map(self._answer, messages + repeated):
                burst.count(answer)
        greedy = messages[0][1].replace(b'"quantity":', b'"quantity":9')
        forged = self._send(self._door, ("msg_forged", greedy), signer=self._forger)
        burst.forged += forged.status_code in (400, 401, 403)
        return burst

    def _answer(self, message: tuple[str, bytes]) -> Any:
        answer = self._send(self._door, message, signer=self._signer)
        if not answer.is_success:
            raise RefusedError(answer)
        return answer.json()

    def _send(self, door: Door, message: tuple[str, bytes], *, signer: Webhook) -> httpx.Response:
        number, body = message
        now = self._stage.clock.now()
        headers = {
            "content-type": "application/json",
            "webhook-id": number,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signer.sign(number, datetime.fromtimestamp(int(now.timestamp()), UTC), body.decode()),
        }
        return door.ask("POST", "/api/v1/channels/sample-platform/webhook", content=body, headers=headers)

    def _body(self, order: Bought, broadcast: str, now: datetime) -> bytes:
        lines = [
            {"line": number, "tier": tier, "quantity": pieces, "unit_price_fen": 4990}
            for number, (tier, pieces) in enumerate(order.lines, start=1)
        ]
        data = {"order_id": order.number, "broadcast": broadcast, "paid_at": format_time(now), "lines": lines}
        message = {"type": "order.paid", "timestamp": format_time(now), "data": data}
        return json.dumps(message, separators=(",", ":")).encode()


class Farmer:
    """A farmer with a phone: sees pick orders come up, picks, weighs and confirms crate by crate."""

    def __init__(self, stage: Stage, coop: Cooperative, ref: str, journal: Journal) -> None:
        self._stage, self._journal, self._ref = stage, journal, ref
        self._door = Door(stage, code=coop.code(ref))

    def watch(self, begin: threading.Barrier, seen: threading.Event, patience_s: float = 120) -> float | None:
        """Look at the phone until a pick order stands there; return when that was.

        `seen` tells farmers whose plots nobody bought from to stop looking.
        """
        begin.wait()
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and not seen.is_set():
            try:
                with self._door.client.stream("GET", "/api/v1/farmer/stream", timeout=5) as stream:
                    for line in stream.iter_lines():
                        if line.startswith("data:") and json.loads(line[5:]).get("orders"):
                            seen.set()
                            return time.time()
            except httpx.ReadTimeout:
                continue
            except httpx.TransportError:
                self._stage.raise_curtain()
        return None

    def orders(self) -> list[dict[str, Any]]:
        """Return the pick orders on the phone."""
        orders: list[dict[str, Any]] = self._door.get("/api/v1/farmer/orders")["orders"]
        self._door.post("/api/v1/farmer/orders/seen", {"pick_orders": [order["pick_order"] for order in orders]})
        return orders

    def pick(self, order: dict[str, Any], trays: Sequence[Photographed], *, started: datetime) -> dict[str, Any]:
        """Fill crates with what the trays hold, confirm them and return the lot."""
        crates = _crates(trays)
        ended = started + timedelta(minutes=12 * len(crates))
        self._stage.at(ended)
        number = order["pick_order"].rpartition("/")[2][13:]
        # Orders are counted from one each day: a crate of yesterday's first order is not one of today's.
        day, count = number[-7:-5], int(number[-4:])
        body = {
            "command_id": str(uuid.uuid5(_NAMESPACE, f"pick {number}")),
            "pick_order": order["pick_order"],
            "crates": [
                {"crate": f"C-{day}{count * 10 + i:04d}", "mass_g": sum(tray.mass_g for tray in crate)}
                for i, crate in enumerate(crates, start=1)
            ],
            "started_at": format_time(started),
            "ended_at": format_time(ended),
            "position": {"lat": 18.3117, "lon": 109.5119},
        }
        receipt = self._journal.once(f"picked {number}", lambda: self._door.post("/api/v1/farmer/picks", body))
        return {
            **receipt,
            "trays": [tray.name for tray in trays],
            "ended_at": format_time(ended),
            "crates": body["crates"],
        }


def _today(hour: datetime, after: timedelta) -> datetime:
    """Return the moment of the farm's day in which `hour` lies."""
    local = hour.astimezone(FARM_ZONE)
    return datetime.combine(local.date(), local_time(0), FARM_ZONE).astimezone(UTC) + after


def harvest(farmers: Sequence[Farmer], world: World, *, started: datetime) -> list[Lot]:
    """Let the farmers fill their pick orders, one after the other, for as long as there is ripe fruit."""
    trees = list(world.photographs)
    lots = []
    for farmer in farmers:
        for order in sorted(farmer.orders(), key=lambda each: str(each["number"])):
            trays: list[Photographed] = []
            for tray in list(trees):
                # Exactly what was sold: a tray that would exceed the order stays on the tree.
                if sum(each.mass_g for each in trays) + tray.mass_g <= order["ordered_g"]:
                    trays.append(tray)
                    trees.remove(tray)
            if trays:
                lots.append(farmer.pick(order, trays, started=started))
    return lots


def _crates(trays: Sequence[Photographed]) -> list[list[Photographed]]:
    """Share the trays out to crates a person can carry."""
    crates: list[list[Photographed]] = [[]]
    for tray in trays:
        if crates[-1] and sum(each.mass_g for each in crates[-1]) + tray.mass_g > _CRATE_G:
            crates.append([])
        crates[-1].append(tray)
    return crates


def oversold(board: Any) -> int:
    """Return how many pieces stand sold beyond what was offered, over all tiers of a host's board."""
    return sum(max(0, tier["sold_pieces"] - tier["pieces"]) for tier in board["listings"])


_CERTIFICATE: Final = {"product": "芒果 贵妃", "contact": "000-0000-0000", "address": "示例省示例县示例村"}


class Station:
    """The packing house: weighs in, cools, photographs every fruit, packs, labels and ships."""

    def __init__(self, stage: Stage, coop: Cooperative, world: World, journal: Journal) -> None:
        self._stage, self._coop, self._world, self._journal = stage, coop, world, journal
        self._door = Door(stage, code=coop.code("station-1"))

    def receive(self, lots: Sequence[Lot], *, at: datetime) -> None:
        """Weigh every lot in. The dock's scale shows a little less than the field's."""
        for number, lot in enumerate(lots):
            self._stage.at(at + timedelta(minutes=3 * number))
            body = {
                "lot": lot["lot"],
                "mass_g": lot["mass_g"] - lot["mass_g"] // 400,
                "crates": [crate["crate"] for crate in lot["crates"]],
                "vehicle": "SAMPLE-01",
            }
            self._once(f"received {lot['lot_number']}", "receipts", body)

    def cool(self, lots: Sequence[Lot], *, start: datetime, end: datetime) -> None:
        """Keep every lot in forced air; the probe measured meanwhile."""
        for lot in lots:
            times = {"started_at": format_time(start), "ended_at": format_time(end)}
            self._once(f"cooled {lot['lot_number']}", "coolings", {"lot": lot["lot"], **times})

    def calibrate(self) -> None:
        """Check the camera's scale before the first fruit."""
        if self._world.has_coin:
            query, picture = "reference=coin&size_mm=25&focal_px=840", self._world.photographs[0].data
        else:
            query, picture = "reference=marker&size_mm=60", self._world.target
        self._journal.once("calibrated", lambda: self._photograph(f"calibrations?{query}", picture))

    def grade(self, lots: Sequence[Lot], *, at: datetime) -> Counter[str]:
        """Photograph every tray of every lot, settle what the camera doubts, and close each batch."""
        seen: Counter[str] = Counter()
        trays = {tray.name: tray for tray in self._world.photographs}
        for number, lot in enumerate(lots):
            self._stage.at(at + timedelta(minutes=14 * number))
            batch = self._once(f"batch {lot['lot_number']}", "batches", {"lot": lot["lot"], "crop": self._world.crop})
            for name in lot["trays"]:
                path = f"batches/{batch['ref']}/photographs"
                graded = self._journal.once(f"graded {name}", partial(self._inspect, path, trays[name].data))
                seen.update(graded)
            self._judge(batch["ref"])
            closed = self._once(f"closed {lot['lot_number']}", f"batches/{batch['ref']}/close", {})
            for tier in closed["lots"]:
                seen[tier["tier"]] += tier["fruits"]
        return seen

    def pack(self, *, at: datetime) -> list[dict[str, Any]]:
        """Fill packs from every graded lot until its free fruit no longer reach the nominal mass."""
        self._stage.at(at)
        packs: list[dict[str, Any]] = []
        for lot in self._graded_lots():
            if not lot["products"]:
                continue
            self._once(f"certificate {lot['number']}", "certificates", {"graded_lot": lot["id"], **_CERTIFICATE})
            number = 0
            while True:
                pack = self._journal.once(f"pack {lot['number']} {number}", partial(self._fill, lot["id"]))
                if pack is None:
                    break
                packs.append(pack)
                number += 1
        return packs

    def print_label(self, pack: dict[str, Any]) -> Path:
        """Print a pack's label as PNG and PDF beside the day's state; return the PNG."""
        for kind in ("png", "pdf"):
            answer = self._door.ask("GET", pack[f"label_{kind}"])
            if not answer.is_success:
                raise RefusedError(answer)
            (self._stage.home / f"label.{kind}").write_bytes(answer.content)
        return self._stage.home / "label.png"

    def ship(self, packs: Sequence[dict[str, Any]], *, at: datetime) -> dict[str, Any]:
        """Load every pack and the logger, and send them to the pick-up point."""
        self._stage.at(at - timedelta(minutes=20))
        names = [pack["id"] for pack in packs]
        load: dict[str, Any] = self._journal.once(
            "load",
            lambda: self._make("loads", {"packs": names, "logger": "LOGGER-1"}, lambda one: names[0] in one["packs"]),
        )
        self._stage.at(at)
        body = {"load": load["id"], "destination": self._coop.ids["receiver"], "receiver": "receiver-1"}
        self._once("shipped", "shipments", body)
        return load

    def _once(self, name: str, path: str, body: dict[str, Any]) -> Any:
        return self._journal.once(name, lambda: self._door.post(f"/api/v1/station/{path}", body))

    def _photograph(self, path: str, picture: bytes) -> Any:
        return self._door.post(f"/api/v1/station/{path}", content=picture, headers={"content-type": "image/jpeg"})

    def _inspect(self, path: str, picture: bytes) -> dict[str, int]:
        """Send a photograph; one the station cannot use (no scale, no whole fruit) counts for nothing."""
        try:
            graded = self._photograph(path, picture)
        except RefusedError as error:
            if error.status != httpx.codes.UNPROCESSABLE_ENTITY:
                raise
            return {"refused": 1}
        return {"photographs": 1, "fruits": graded["fruits"], "doubtful": graded["doubtful"]}

    def _judge(self, batch: str) -> None:
        """A person looks at what the camera doubts and takes the lower of the tiers it wavers between."""
        queue = self._door.get(f"/api/v1/station/batches/{batch}")["queue"]
        while queue:
            for fruit in queue:
                tier = max(fruit["candidates"] or [fruit["nominal_tier"]])
                self._door.post(f"/api/v1/station/fruits/{fruit['id']}/judgement", {"tier": tier})
            queue = self._door.get(f"/api/v1/station/batches/{batch}")["queue"]

    def _graded_lots(self) -> list[dict[str, Any]]:
        """Wait until the graded stock has followed the log."""
        closed = {
            tier["lot"] for name, done in self._journal.items() if name.startswith("closed ") for tier in done["lots"]
        }
        for _ in range(_TRIES):
            lots = [lot for lot in self._door.get("/api/v1/station/state")["graded_lots"] if lot["tier"] != "cull"]
            if _covers(lots, closed):
                return self._journal.once("graded lots", partial(list[dict[str, Any]], lots))
            time.sleep(0.2)
        raise StageError("the graded lots do not reach the stock")

    def _fill(self, lot: str) -> dict[str, Any] | None:
        filling = self._door.get("/api/v1/station/fillings", graded_lot=lot)
        if not filling["fruit"]:
            return None
        body = {"graded_lot": lot, "gtin": filling["gtin"], "fruit": filling["fruit"], "scale_g": filling["mass_g"]}
        known = {done["id"] for name, done in self._journal.items() if name.startswith("pack ") and done}
        return self._make("packs", body, lambda pack: pack["graded_lot"] == lot and pack["id"] not in known)

    def _make(self, kind: str, body: dict[str, Any], is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """POST something new; where that is refused, look whether an earlier try whose answer was lost had made it."""
        try:
            made: dict[str, Any] = self._door.post(f"/api/v1/station/{kind}", body)
        except StageError:
            made = next(filter(is_it, self._door.get("/api/v1/station/state")[kind]), {})
            if not made:
                raise
        return made


class Receiver:
    """The pick-up point: counts what arrives."""

    def __init__(self, stage: Stage, coop: Cooperative, journal: Journal) -> None:
        self._journal = journal
        self._door = Door(stage, code=coop.code("receiver-1"))

    def deliver(self, load: dict[str, Any]) -> Any:
        """Confirm the load, pack by pack."""
        body = {"load": load["id"], "packs_seen": load["packs"]}
        return self._journal.once("delivered", lambda: self._door.post("/api/v1/station/deliveries", body))


class Consumer:
    """Whoever scans a label: no account, no trust."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._door = Door(stage)

    def wait_until_anchored(self, patience_s: float) -> Any:
        """Return the state of the log once the chain holds all of it."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            status = self._door.get("/api/v1/status")
            if status["anchored"] >= status["integrated"] == status["recorded"]:
                return status
            time.sleep(0.25)
        raise StageError(f"the log is not anchored after {patience_s:.0f} s: {status}")

    def scan(self, pack: dict[str, Any]) -> tuple[str, Path]:
        """Open the page its label leads to, save its proof beside the day's state and return both."""
        lot = pack["graded_lot"].rpartition("/10/")[2]
        url = f"{self._stage.url}/01/{pack['gtin']}/10/{lot}/21/{pack['serial']}"
        page = self._door.ask("GET", url, headers={"accept": "text/html"})
        if page.status_code != 200:
            raise StageError(f"{url}: {page.status_code}")
        proof = self._door.ask("GET", "/api/v1/proof", params={"id": pack["id"]})
        if proof.status_code != 200:
            raise StageError(f"proof of {pack['id']}: {proof.status_code} {proof.text[:300]}")
        path = self._stage.home / "proof.json"
        path.write_bytes(proof.content)
        return url, path

    def verify(self, proof: Path) -> Any:
        """Check the saved proof with the command a stranger would use."""
        return self._stage.command("verify", str(proof))


def _covers(lots: Sequence[dict[str, Any]], closed: set[str]) -> bool:
    return {lot["id"] for lot in lots} >= {name for name in closed if not name.split("/10/")[1].endswith("X")}
