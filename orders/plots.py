"""Plots: who holds them, where they lie, what they may yield in a season."""

import json
from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlmodel import Session, select

from ledger.disclosure import commit_fields
from ledger.kernel.actors import Actor
from ledger.kernel.ids import DocumentType, Numbering, PartyId, PlaceId
from ledger.log import record
from orders import events
from orders.errors import InvalidInputError, NotFoundError
from orders.models import Plot, PlotBoundary


class NewPlot(BaseModel):
    """A plot as a cooperative describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: PlaceId
    ref: str = Field(pattern=r"^[A-Z0-9][A-Z0-9-]{0,7}$")
    name: str = Field(min_length=1, max_length=80)
    crop: str = Field(min_length=1, max_length=80)
    variety: str = Field(min_length=1, max_length=80)
    region: str = Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,6})?$")
    area_m2: int = Field(gt=0, le=100_000_000)
    trees: int = Field(ge=0, le=10_000_000)
    season: str = Field(pattern=r"^[0-9]{4}(-[a-z]+)?$")
    yield_cap_kg: int = Field(gt=0, le=90_000)
    holder: PartyId
    holder_name: str = ""
    owner_name: str = ""
    """The cooperative's; like the holder's, it is committed to and not logged."""
    polygon: tuple[tuple[float, float], ...] = Field(min_length=3, max_length=1000)

    @field_validator("polygon")
    @classmethod
    def _on_earth(cls, polygon: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        for longitude, latitude in polygon:
            if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
                raise ValueError(f"[{longitude}, {latitude}] is not [longitude, latitude]")
        return polygon


def register(
    session: Session, new: NewPlot, *, recorder: PartyId, numbering: Numbering, now: datetime, zone: str
) -> Plot:
    """Give a plot its passport for the season and record `plot_registered`.

    Registering the same plot again changes nothing and returns it; a changed description of a
    registered plot raises InvalidInputError.
    """
    known = session.get(Plot, new.place)
    if known is not None:
        _refuse_change(known, new)
        return known
    passport = numbering.document(DocumentType.PASSPORT, f"{new.ref}-{new.season}"[:17])
    said = events.Said.by(recorder, at=now, zone=zone)
    boundary = _geojson(new.polygon)
    digests = commit_fields(
        session, said.event_id, _private(boundary, holder_name=new.holder_name, owner_name=new.owner_name)
    )
    event = events.plot_registered(
        said,
        passport=passport,
        plot=new.place,
        ilmd={
            "gy:plotName": new.name,
            "gy:crop": new.crop,
            "gy:variety": new.variety,
            "gy:region": new.region,
            "gy:areaM2": new.area_m2,
            "gy:treeCount": new.trees,
            "gy:season": new.season,
            "gy:yieldCapG": new.yield_cap_kg * 1000,
            "gy:holder": new.holder,
        },
        digests=digests,
    )
    record(session, event, now=now)
    plot = Plot(
        id=new.place,
        ref=new.ref,
        name=new.name,
        crop=new.crop,
        variety=new.variety,
        region=new.region,
        area_m2=new.area_m2,
        trees=new.trees,
        season=new.season,
        yield_cap_g=new.yield_cap_kg * 1000,
        holder=new.holder,
        owner=recorder,
        passport=passport,
        event_id=said.event_id,
        registered_at=now,
    )
    session.add(plot)
    session.flush()
    session.add(PlotBoundary(plot_id=plot.id, geojson=boundary))
    session.flush()
    return plot


def plots(session: Session, *, holder: PartyId | None = None) -> Sequence[Plot]:
    """Return the registered plots by their ref; with `holder`, only that party's."""
    query = select(Plot).order_by(Plot.ref, Plot.id)
    if holder is not None:
        query = query.where(Plot.holder == holder)
    return session.exec(query).all()


def plot(session: Session, place: str) -> Plot:
    """Return one plot. Raises NotFoundError."""
    found = session.get(Plot, place)
    if found is None:
        raise NotFoundError("plot", place)
    return found


def boundary(session: Session, place: str, *, actor: Actor) -> str | None:
    """Return a plot's GeoJSON outline for its holder or owner; None where it was erased or is not theirs."""
    row = plot(session, place)
    if actor.party not in (row.holder, row.owner):
        return None
    outline = session.get(PlotBoundary, place)
    return None if outline is None else outline.geojson


def yield_left_g(row: Plot) -> int:
    """Return the grams that may still be picked on a plot this season."""
    return row.yield_cap_g - row.picked_g


def _private(boundary: str, **names: str) -> dict[str, str]:
    given = {"boundary": boundary, "holderName": names["holder_name"], "ownerName": names["owner_name"]}
    return {name: value for name, value in given.items() if value}


def _geojson(polygon: Sequence[tuple[float, float]]) -> str:
    ring = [list(point) for point in polygon]
    if ring[0] != ring[-1]:
        ring.append(ring[0])
    return json.dumps({"type": "Polygon", "coordinates": [ring]}, separators=(",", ":"))


def _refuse_change(known: Plot, new: NewPlot) -> None:
    given = new.model_dump(include={"ref", "name", "crop", "variety", "region", "area_m2", "trees", "season", "holder"})
    given["yield_cap_g"] = new.yield_cap_kg * 1000
    for field, value in given.items():
        if getattr(known, field) != value:
            raise InvalidInputError(
                f"plot {new.ref}: {field}",
                f"is registered as {getattr(known, field)!r}, not {value!r}; a passport is not edited",
            )
