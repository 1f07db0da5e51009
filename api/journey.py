"""The stations of a fruit's way, one function each: which entries make it, and which facts it shows. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

import msgspec

from api import drawing
from api.evidence import Files, kept_series
from api.facts import Fact, difference, minutes_between, summed
from api.story import DrawnCurve, Step, Told
from ledger.kernel.clock import TimeError, parse_time
from ledger.kernel.errors import IdentifierError
from ledger.kernel.files import parse_ni
from ledger.kernel.ids import DigitalLink, parse_digital_link
from ledger.vocabulary import COMPONENT, Disposition

ORDER: Final = (
    "plot", "weather", "sold", "picked", "received", "cooled",
    "graded", "packed", "certified", "travelled", "delivered",
)  # fmt: skip
_AIR: Final = (None, "air")


@dataclass(frozen=True, eq=False)
class Tale:
    """The entries behind one thing, without what was declared wrong, sorted by sentence."""

    subject: str
    told: tuple[Told, ...]
    files: Files
    boundary: str | None

    @cached_property
    def wrong(self) -> frozenset[str]:
        """The event ids that a later entry declares wrong."""
        return frozenset(t.event_id for t in self.told if t.is_declaration)

    @cached_property
    def by_name(self) -> dict[str, list[Told]]:
        """The effective entries of each sentence, in order."""
        found: dict[str, list[Told]] = {}
        for each in self.told:
            if each.event_id not in self.wrong:
                found.setdefault(each.name, []).append(each)
        return found

    def all(self, name: str) -> list[Told]:
        """Return the effective entries of a sentence."""
        return self.by_name.get(name, [])

    def added(self, name: str) -> list[Told]:
        """Return those of a sentence that were not taken back by the same sentence with DELETE."""
        ended = {_documents(t) for t in self.all(name) if t.get("action") == "DELETE"}
        return [t for t in self.all(name) if t.get("action") == "ADD" and _documents(t) not in ended]

    @cached_property
    def packed(self) -> Told | None:
        """The entry that closed this pack."""
        return next((t for t in self.all("packed") if t.get("parentID") == self.subject), None)

    @cached_property
    def activated(self) -> Told | None:
        """The entry that made this pack's code valid."""
        return next((t for t in self.all("code_activated") if self.subject in t.texts("epcList")), None)

    @cached_property
    def product(self) -> str | None:
        """The product the subject is sold as."""
        link = link_of(self.subject)
        return DigitalLink(link.key).uri() if link else None

    @cached_property
    def graded_lot(self) -> str | None:
        """The lot this pack was filled from, or the lot itself."""
        if self.packed is not None:
            return self.packed.text("childQuantityList", 0, "epcClass")
        link = link_of(self.subject)
        return self.subject if link and "10" in link.values else None

    def confirming(self, name: str, confirmed: Told) -> Told | None:
        """Return the other party's word on an entry: by another recorder, naming it."""
        return next(
            (
                t
                for t in self.all(name)
                if confirmed.event_id in t.texts("gy:confirms") and t.recorder != confirmed.recorder
            ),
            None,
        )

    def curve_of(self, told: Told, wanted: tuple[float, float] | None) -> DrawnCurve | None:
        """Return the temperatures in the kept file behind an entry, drawn."""
        for element in told.rows("sensorElementList"):
            name = element.get("sensorMetadata", {}).get("rawData")
            data = self.files(name) if isinstance(name, str) else None
            series = kept_series(data) if data is not None else None
            if series is None:
                continue
            step = drawing.median_step(series.readings)
            drawn = drawing.curve(series.readings, step=step, wanted=wanted)
            if drawn is not None:
                return DrawnCurve(drawn, drawing.span_ms(step), parse_ni(name).hex(), series.quantity, wanted=wanted)
        return None


def steps(tale: Tale) -> tuple[Step, ...]:
    """Return the stations in the order of the way."""
    found = [step for tell in _STATIONS for step in tell(tale)]
    return tuple(sorted(found, key=lambda step: (ORDER.index(step.kind), step.at)))


def _plots(tale: Tale) -> Iterator[Step]:
    for each in tale.all("plot_registered"):
        treated = [t for t in tale.all("treated") if t.place == each.place]
        area = each.whole("ilmd", "gy:areaM2")
        yield Step(
            kind="plot",
            main=each,
            told=(each, *treated),
            facts={
                "name": each.fact("ilmd", "gy:plotName"),
                "area": each.fact("ilmd", "gy:areaM2"),
                "trees": each.fact("ilmd", "gy:treeCount"),
                "region": each.fact("ilmd", "gy:region"),
                "variety": each.fact("ilmd", "gy:variety"),
                "since": each.fact("eventTime"),
            },
            extra={
                "number": extension(each.place),
                "drawing": drawing.plot_drawing(area, each.whole("ilmd", "gy:treeCount") or 0, _ring(tale.boundary))
                if area
                else None,
                "treatments": [
                    {
                        "at": t.fact("eventTime"),
                        "kind": t.fact("gy:treatment", "gy:kind"),
                        "days": t.fact("gy:treatment", "gy:preHarvestDays"),
                        "earliest": t.fact("gy:treatment", "gy:earliestHarvestAt"),
                    }
                    for t in treated
                ],
            },
        )


def _sold(tale: Tale) -> Iterator[Step]:
    sales, orders, offers = tale.added("sold"), tale.added("pick_order_raised"), tale.all("broadcast_opened")
    offers = [t for t in offers if t.get("action") == "ADD"]
    if not sales:
        return
    # A pick order serves sales of every tier; this thing was sold as its own product.
    sales = [t for t in sales if t.text("quantityList", 0, "epcClass") == tale.product] or sales
    main = sales[0]
    offers = [t for t in offers if _same_offer(t, main)] or offers
    offer = next(iter(offers), None)
    picked = tale.all("picked")
    yield Step(
        kind="sold",
        main=main,
        told=(*offers, *sales, *orders),
        facts={
            "at": main.fact("eventTime"),
            "pieces": summed([t.fact("quantityList", 0, "quantity") for t in sales]),
            "tier": main.fact("gy:sale", "gy:tier"),
            "offered": offer.fact("quantityList", 0, "quantity") if offer else None,
            "nominal": offer.fact("gy:offer", "gy:nominalMassG") if offer else None,
            "ordered": summed([t.fact("quantityList", 0, "quantity") for t in orders]),
        },
        extra={"is_before_picking": bool(picked) and main.at < picked[0].at},
    )


def _same_offer(offer: Told, sale: Told) -> bool:
    return _document(offer, "broadcast") == _document(sale, "broadcast") and (
        offer.text("quantityList", 0, "epcClass") == sale.text("quantityList", 0, "epcClass")
    )


def _picked(tale: Tale) -> Iterator[Step]:
    for each in tale.all("picked"):
        lot = each.text("quantityList", 0, "epcClass")
        # The wrong weight stays in the log and on the page, next to the right one.
        crated = [t for t in tale.told if t.name == "crated" and t.text("childQuantityList", 0, "epcClass") == lot]
        confirmed_by = tale.confirming("received", each)
        yield Step(
            kind="picked",
            main=each,
            told=(each, *crated),
            facts={
                "started": each.fact("ilmd", "gy:pickStartedAt"),
                "ended": each.fact("ilmd", "gy:pickEndedAt") or each.fact("eventTime"),
                "mass": each.fact("quantityList", 0, "quantity"),
                "lot": each.fact("ilmd", "cbvmda:lotNumber"),
                "region": each.fact("ilmd", "gy:region"),
            },
            extra={
                "plot": extension(each.text("ilmd", "gy:plot") or each.place),
                "crates": len(each.texts("ilmd", "gy:crates")),
            },
            confirmed_by=confirmed_by,
            is_one_sided=confirmed_by is None,
        )


def _received(tale: Tale) -> Iterator[Step]:
    for each in tale.all("received"):
        yield Step(
            kind="received",
            main=each,
            told=(each,),
            facts={
                "at": each.fact("eventTime"),
                "mass": each.fact("quantityList", 0, "quantity"),
                "difference": each.fact("gy:receipt", "gy:differenceG"),
                "allowed": each.fact("gy:receipt", "gy:allowedG"),
            },
            extra={"crates": len(each.texts("epcList"))},
        )


def _cooled(tale: Tale) -> Iterator[Step]:
    for each in tale.all("pre_cooled"):
        pulp, room = reports(each, "Temperature", "pulp"), reports(each, "Temperature", "room")
        minutes, limit = each.whole("gy:cooling", "gy:minutesFromPick"), each.whole("gy:cooling", "gy:limitMinutes")
        yield Step(
            kind="cooled",
            main=each,
            told=(each,),
            facts={
                "started": each.fact("gy:cooling", "gy:startedAt"),
                "ended": each.fact("gy:cooling", "gy:endedAt"),
                "minutes": each.fact("gy:cooling", "gy:minutesFromPick"),
                "limit": each.fact("gy:cooling", "gy:limitMinutes"),
                "spare": difference(
                    each.fact("gy:cooling", "gy:limitMinutes"), each.fact("gy:cooling", "gy:minutesFromPick")
                ),
                "pulp_before": each.fact(*pulp[0], "value") if pulp else None,
                "pulp_after": each.fact(*pulp[-1], "value") if pulp else None,
                "room": each.fact(*room[0], "meanValue") if room else None,
            },
            extra={
                "share": minutes / limit if minutes is not None and limit else None,
                "is_late": minutes is not None and limit is not None and minutes > limit,
                "curve": tale.curve_of(each, None),
            },
        )


def _graded(tale: Tale) -> Iterator[Step]:
    for each in tale.all("graded"):
        tiers = each.rows("gy:verdicts", "gy:tiers")
        mine = next((i for i, t in enumerate(tiers) if t.get("gy:lot") == tale.graded_lot), None)
        calibrated = [t for t in tale.all("calibrated") if t.event_id == each.text("gy:verdicts", "gy:calibration")]
        overridden = [t for t in tale.all("override_made") if t.event_id in each.texts("gy:verdicts", "gy:overrides")]
        masses = [each.whole("gy:verdicts", "gy:tiers", i, "gy:massG") or 0 for i in range(len(tiers))]
        row: tuple[str | int, ...] = ("gy:verdicts", "gy:tiers", mine or 0)
        yield Step(
            kind="graded",
            main=each,
            told=(each, *calibrated, *overridden),
            facts={
                "at": each.fact("eventTime"),
                "input": each.fact("inputQuantityList", 0, "quantity"),
                "fruits": each.fact("gy:verdicts", "gy:fruits"),
                "tier": each.fact(*row, "gy:tier") if mine is not None else None,
                "tier_fruits": each.fact(*row, "gy:fruits") if mine is not None else None,
                "tier_mass": each.fact(*row, "gy:massG") if mine is not None else None,
                "standard": each.fact("gy:verdicts", "gy:standard"),
                "edition": each.fact("gy:verdicts", "gy:standardEdition"),
                "overridden": each.fact("gy:verdicts", "gy:overridden"),
                "unaccounted": each.fact("gy:verdicts", "gy:unaccountedG"),
                "reference": calibrated[0].fact("gy:calibration", "gy:referenceUm") if calibrated else None,
                "measured": calibrated[0].fact("gy:calibration", "gy:measuredUm") if calibrated else None,
            },
            extra={
                "tiers": [
                    {
                        "tier": each.fact("gy:verdicts", "gy:tiers", i, "gy:tier"),
                        "mass": each.fact("gy:verdicts", "gy:tiers", i, "gy:massG"),
                        "is_mine": i == mine,
                        "from": sum(masses[:i]) / max(sum(masses), 1),
                        "share": masses[i] / max(sum(masses), 1),
                    }
                    for i in range(len(tiers))
                ],
                "has_overrides": bool(each.whole("gy:verdicts", "gy:overridden")),
            },
        )


def _packed(tale: Tale) -> Iterator[Step]:
    packed, activated = tale.packed, tale.activated
    if packed is None:
        return
    quota = _document(packed, "quota")
    granted = next((t for t in tale.added("quota_granted") if _document(t, "quota") == quota), None)
    yield Step(
        kind="packed",
        main=packed,
        told=tuple(t for t in (granted, activated, packed) if t is not None),
        facts={
            "at": packed.fact("eventTime"),
            "mass": packed.fact("childQuantityList", 0, "quantity"),
            "fruits": packed.fact("gy:pack", "gy:fruits"),
            "codes": granted.fact("gy:quota", "gy:codes") if granted else None,
            "measured": granted.fact("gy:quota", "gy:measuredG") if granted else None,
            "nominal": granted.fact("gy:quota", "gy:nominalMassG") if granted else None,
        },
    )


def _certified(tale: Tale) -> Iterator[Step]:
    for each in tale.added("certificate_issued"):
        yield Step(
            kind="certified",
            main=each,
            told=(each,),
            facts={
                "at": each.fact("eventTime"),
                "title": each.fact("gy:certificate", "gy:title"),
                "product": each.fact("gy:certificate", "gy:product"),
                "mass": each.fact("quantityList", 0, "quantity"),
                "origin": each.fact("gy:certificate", "gy:origin"),
            },
            extra={
                "promises": each.texts("gy:certificate", "gy:promises"),
                "basis": each.texts("gy:certificate", "gy:basis"),
                "promisor": each.text("gy:certificate", "gy:promisor"),
                "document": each.text("gy:certificate", "gy:document"),
            },
        )


def _travelled(tale: Tale) -> Iterator[Step]:
    for each in tale.all("shipped"):
        loaded = [t for t in tale.all("loaded") if t.get("parentID") in each.texts("epcList")]
        arrived = tale.confirming("delivered", each)
        facts: dict[str, Fact | None] = {
            "from": each.fact("eventTime"),
            "packs": loaded[0].fact("gy:load", "gy:packs") if loaded else None,
            "low": each.fact("gy:shipment", "gy:wantedMilliCelMin"),
            "high": each.fact("gy:shipment", "gy:wantedMilliCelMax"),
        }
        curve = None
        if arrived is not None:
            series, above = reports(arrived, "Temperature"), reports(arrived, "Time", "above-range")
            facts |= {
                "to": arrived.fact("eventTime"),
                "duration": minutes_between(each.fact("eventTime"), arrived.fact("eventTime")),
                "min": arrived.fact(*series[0], "minValue") if series else None,
                "max": arrived.fact(*series[0], "maxValue") if series else None,
                "mean": arrived.fact(*series[0], "meanValue") if series else None,
                "above": arrived.fact(*above[0], "value") if above else None,
                "expected": arrived.fact("gy:leg", "gy:expected"),
                "readings": arrived.fact("gy:leg", "gy:received"),
            }
            curve = tale.curve_of(arrived, _wanted(each))
        expected = arrived.whole("gy:leg", "gy:expected") if arrived else None
        received = arrived.whole("gy:leg", "gy:received") if arrived else None
        yield Step(
            kind="travelled",
            main=each,
            told=(*loaded, each),
            facts=facts,
            extra={
                "has_arrived": arrived is not None,
                "curve": curve,
                "has_gaps": expected is not None and received is not None and received < expected,
            },
            confirmed_by=arrived,
            is_one_sided=arrived is None,
        )


def _delivered(tale: Tale) -> Iterator[Step]:
    for each in tale.all("delivered"):
        yield Step(
            kind="delivered",
            main=each,
            told=(each,),
            facts={"at": each.fact("eventTime"), "packs": each.fact("gy:leg", "gy:packsSeen")},
            extra={
                "is_here": tale.subject in each.texts("childEPCs"),
                "is_complete": each.get("disposition") == Disposition.COMPLETENESS_VERIFIED,
            },
        )


# --- the weather of a plot ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Window:
    """The air temperature in one closed window."""

    told: Told
    start: datetime
    end: datetime
    element: int
    report: int
    mean: float

    def fact(self, name: str) -> Fact | None:
        return self.told.fact("sensorElementList", self.element, "sensorReport", self.report, name)

    def time(self, name: str) -> Fact | None:
        return self.told.fact("sensorElementList", self.element, "sensorMetadata", name)

    def value(self, name: str) -> float:
        value = self.told.get("sensorElementList", self.element, "sensorReport", self.report, name)
        return float(value) if isinstance(value, int | float) else self.mean


def _weather(tale: Tale) -> Iterator[Step]:
    by_place: dict[str, list[Told]] = {}
    for each in tale.all("window_closed"):
        if each.place is not None:
            by_place.setdefault(each.place, []).append(each)
    for place, windows in by_place.items():
        conflicts = [t for t in tale.all("reading_conflict") if t.place == place]
        yield _weather_step(place, windows, conflicts)


def _weather_step(place: str, windows: Sequence[Told], conflicts: Sequence[Told]) -> Step:
    air = sorted(_air(windows), key=lambda window: window.start)
    facts: dict[str, Fact | None] = {
        "windows": Fact(len(windows), "step/gy:window" if _integrated(windows) else "", "count"),
        "expected": _over_step(windows, "gy:window", "gy:expected"),
        "received": _over_step(windows, "gy:window", "gy:received"),
        "suspect": _over_step(windows, "gy:window", "gy:suspect"),
    }
    curve = None
    if air:
        facts |= {
            "min": min(air, key=lambda window: window.value("minValue")).fact("minValue"),
            "max": max(air, key=lambda window: window.value("maxValue")).fact("maxValue"),
            "from": air[0].time("startTime"),
            "to": air[-1].time("endTime"),
        }
        lengths = sorted(window.end - window.start for window in air)
        step = max(lengths[len(lengths) // 2], timedelta(minutes=1))
        readings = [drawing.Reading(w.start + (w.end - w.start) / 2, w.mean) for w in air]
        drawn = drawing.curve(readings, step=step)
        if drawn is not None:
            points = tuple((w.told.index, w.element, w.report) for w in air)
            curve = DrawnCurve(drawn, drawing.span_ms(step), points=points)
    received, expected = facts["received"], facts["expected"]
    return Step(
        kind="weather",
        main=max(windows, key=lambda t: t.at),
        told=(*windows, *conflicts),
        facts=facts,
        extra={
            "plot": extension(place),
            "rain": _rain(windows),
            "conflicts": len(conflicts),
            "curve": curve,
            "has_gaps": received is not None and expected is not None and received.value < expected.value,
        },
    )


def _air(windows: Sequence[Told]) -> Iterable[_Window]:
    """Return the air temperature of each window, from the device that reported most of them."""
    found: dict[str, dict[str, _Place]] = {}
    for told in windows:
        for i, element in enumerate(told.rows("sensorElementList")):
            for j, report in enumerate(element.get("sensorReport", ())):
                if report.get("type") == "Temperature" and _component(report) in _AIR:
                    metadata = element.get("sensorMetadata", {})
                    device, start = str(metadata.get("deviceID")), str(metadata.get("startTime"))
                    found.setdefault(device, {}).setdefault(start, (told, i, j))
    best = max(found.values(), key=len, default={})
    return [window for place in best.values() if (window := _window(*place)) is not None]


_Place = tuple[Told, int, int]


def _window(told: Told, element: int, report: int) -> _Window | None:
    metadata = told.get("sensorElementList", element, "sensorMetadata")
    measured = told.get("sensorElementList", element, "sensorReport", report)
    mean = measured.get("meanValue", measured.get("value"))
    if not isinstance(mean, int | float):
        return None
    try:
        start, end = parse_time(metadata["startTime"]), parse_time(metadata["endTime"])
    except (KeyError, TimeError):
        return None
    return _Window(told, start, end, element, report, float(mean))


def _over_step(windows: Sequence[Told], *path: str) -> Fact | None:
    values = [value for t in windows if (value := t.whole(*path)) is not None]
    if not values:
        return None
    return Fact(sum(values), "step/" + "/".join(path) if _integrated(windows) else "", "sum")


def _integrated(told: Sequence[Told]) -> bool:
    return all(t.index is not None for t in told)


def _rain(windows: Sequence[Told]) -> float | None:
    sums = [t.get(*path, "value") for t in windows for path in reports(t, "Length", "rain-sum")]
    found = [float(value) for value in sums if isinstance(value, int | float)]
    return round(sum(found), 1) if found else None


# --- reading events -------------------------------------------------------------------------------


def reports(told: Told, kind: str, component: str | None = None) -> list[tuple[str | int, ...]]:
    """Return the paths of an entry's sensor reports of a type, and of a component where one is asked for."""
    return [
        ("sensorElementList", i, "sensorReport", j)
        for i, element in enumerate(told.rows("sensorElementList"))
        for j, report in enumerate(element.get("sensorReport", ()))
        if report.get("type") == kind and component in (None, _component(report))
    ]


def link_of(identifier: str | None) -> DigitalLink | None:
    """Return the Digital Link that an identifier is, or None."""
    try:
        return parse_digital_link(identifier) if identifier else None
    except IdentifierError:
        return None


def extension(place: str | None) -> str | None:
    """Return `P03` of a plot's SGLN."""
    link = link_of(place)
    return link.values.get("254") if link else None


def _component(report: dict[str, Any]) -> str | None:
    return str(report.get("component", "")).removeprefix(COMPONENT) or None


def _documents(told: Told) -> tuple[str, ...]:
    return tuple(str(row.get("bizTransaction")) for row in told.rows("bizTransactionList"))


def _document(told: Told, kind: str) -> str | None:
    """Return the document of a type, by the last part of its type's name."""
    for row in told.rows("bizTransactionList"):
        if str(row.get("type", "")).rpartition("/")[2] == kind:
            return str(row.get("bizTransaction"))
    return None


def _wanted(shipped: Told) -> tuple[float, float] | None:
    low = shipped.whole("gy:shipment", "gy:wantedMilliCelMin")
    high = shipped.whole("gy:shipment", "gy:wantedMilliCelMax")
    return (low / 1000, high / 1000) if low is not None and high is not None and low < high else None


def _ring(geojson: str | None) -> list[tuple[float, float]] | None:
    if geojson is None:
        return None
    try:
        shape = msgspec.json.decode(geojson)
        ring = shape.get("geometry", shape)["coordinates"][0]
        points = [(float(x), float(y)) for x, y, *_ in ring]
    except (msgspec.DecodeError, KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None
    return points[:-1] if points[0] == points[-1] else points


_STATIONS: Final = (
    _plots, _weather, _sold, _picked, _received, _cooled, _graded, _packed, _certified, _travelled, _delivered,
)  # fmt: skip
