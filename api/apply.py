"""Setting a cooperative up from one TOML file: places, people, plots, devices.

Applying the same file again changes nothing and gives out no new codes. All of a file is applied or
none of it.
"""

import base64
import binascii
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from sqlmodel import Session

from api import accounts
from api.errors import SetupFileError, UnknownPersonError
from api.models import Person, Site
from farm_sensors import devices
from ledger.kernel.actors import Role
from ledger.kernel.errors import OriginError
from ledger.kernel.ids import Numbering, PartyId, PlaceId
from ledger.kernel.settings import Settings
from orders import places, plots

Ref = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Label = Annotated[str, Field(min_length=1, max_length=80)]


def _unpack_key(text: str) -> str:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("is not base64") from error
    if len(key) != devices.KEY_BYTES:
        raise ValueError(f"holds {len(key)} bytes; an Ed25519 public key has {devices.KEY_BYTES}")
    return text


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CooperativePart(_Part):
    """The cooperative's own name; it stays in a table that can be erased."""

    name: Label


class PlacePart(_Part):
    """A farm, packing house, studio or pick-up point, by the reference in its GLN."""

    ref: Ref
    gln: int = Field(ge=0, le=999)


class PersonPart(_Part):
    """Someone who may sign in."""

    ref: Ref
    name: Label
    role: Role
    site: Ref | None = None


class PlotPart(_Part):
    """A plot of trees on a place."""

    ref: Ref
    place: Ref
    name: Label
    crop: Label
    variety: Label
    region: str
    area_m2: int
    trees: int
    season: str
    yield_cap_kg: int
    holder: Ref
    polygon: tuple[tuple[float, float], ...]


class DevicePart(_Part):
    """A sensor, camera or scale; `place` is a place, or a spot on it: `farm/P01`."""

    ref: Ref
    model: Label
    place: str = Field(pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]{1,20})?$")
    quantities: tuple[str, ...] = Field(min_length=1)
    public_key: Annotated[str, AfterValidator(_unpack_key)]
    cadence_s: int | None = None


class SetupFile(_Part):
    """A whole file."""

    cooperative: CooperativePart
    place: tuple[PlacePart, ...] = ()
    person: tuple[PersonPart, ...] = ()
    plot: tuple[PlotPart, ...] = ()
    device: tuple[DevicePart, ...] = ()


@dataclass(frozen=True, slots=True)
class AppliedPerson:
    """An account. `code` and `link` stand here once, when it is new."""

    ref: str
    party: str
    code: str | None
    link: str | None


@dataclass(frozen=True, slots=True)
class AppliedThing:
    """A place, plot or device and the id it has in the log."""

    ref: str
    id: str


@dataclass(slots=True)
class Applied:
    """What a file came to."""

    people: list[AppliedPerson] = field(default_factory=list)
    devices: list[AppliedThing] = field(default_factory=list)
    plots: list[AppliedThing] = field(default_factory=list)
    places: list[AppliedThing] = field(default_factory=list)


def read(path: Path) -> SetupFile:
    """Return the parsed file. Raises SetupFileError naming every path in it that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupFileError([f"{path}: {error}"]) from error
    return parse(text)


def parse(text: str) -> SetupFile:
    """Return the parsed text, its references looked up. Raises SetupFileError."""
    try:
        parsed = SetupFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SetupFileError([f"not TOML: {error}"]) from error
    except ValidationError as error:
        problems = [f"{_path(item['loc'])}: {_message(item)}" for item in error.errors(include_url=False)]
        raise SetupFileError(problems) from error
    problems = [*_repeated(parsed), *_dangling(parsed)]
    if problems:
        raise SetupFileError(problems)
    return parsed


def apply(session: Session, setup: SetupFile, *, settings: Settings, numbering: Numbering, now: datetime) -> Applied:
    """Bring the installation to what the file says. Raises SetupFileError naming the part that cannot be.

    Roles, sites and names of known people follow the file; plots and devices are facts in the log and a
    changed description of one is refused.
    """
    applied = Applied()
    cooperative = places.cooperative(numbering)
    if accounts.name_of(session, cooperative) != setup.cooperative.name:
        accounts.set_name(session, cooperative, setup.cooperative.name)
    glns = {part.ref: part.gln for part in setup.place}
    for index, part in enumerate(setup.place):
        place = numbering.place(part.gln)
        with _named(f"place[{index}]"):
            _keep_site(session, part.ref, place)
        applied.places.append(AppliedThing(part.ref, place))
    for person in setup.person:
        site = numbering.place(glns[person.site]) if person.site else None
        applied.people.append(
            _apply_person(session, person, site=site, settings=settings, numbering=numbering, now=now)
        )
    holders = {part.ref: (accounts.person(session, part.ref), part.name) for part in setup.person}
    for index, plot in enumerate(setup.plot):
        with _named(f"plot[{index}]"):
            holder, holder_name = holders[plot.holder]
            new = _new_plot(
                plot,
                place=numbering.place(glns[plot.place], plot.ref),
                holder=holder,
                holder_name=holder_name,
                owner_name=setup.cooperative.name,
            )
            row = plots.register(
                session, new, recorder=cooperative, numbering=numbering, now=now, zone=settings.time_zone
            )
        applied.plots.append(AppliedThing(plot.ref, row.id))
    for index, device in enumerate(setup.device):
        ref, _, spot = device.place.partition("/")
        with _named(f"device[{index}]"):
            enrolled = devices.enrol(
                session,
                devices.NewDevice(
                    reference=device.ref,
                    model=device.model,
                    place=numbering.place(glns[ref], spot or None),
                    quantities=device.quantities,
                    public_key=base64.b64decode(device.public_key),
                    cadence_s=device.cadence_s,
                ),
                recorder=numbering.party(glns[ref]),
                numbering=numbering,
                now=now,
                zone=settings.time_zone,
            )
        applied.devices.append(AppliedThing(device.ref, enrolled.id))
    return applied


def _apply_person(
    session: Session, part: PersonPart, *, site: PlaceId | None, settings: Settings, numbering: Numbering, now: datetime
) -> AppliedPerson:
    try:
        person = accounts.person(session, part.ref)
    except UnknownPersonError:
        person = accounts.create_person(session, numbering, ref=part.ref, role=part.role, site=site, now=now)
        accounts.set_name(session, person.party, part.name)
        code = accounts.new_code(session, person, now=now)
        token = accounts.new_link_token(session, person, now=now)
        link = f"{settings.public_url.rstrip('/')}/sign-in/{token}"
        return AppliedPerson(part.ref, person.party, code, link)
    if person.erased_at is None:  # a file that still names an erased person must not bring the name back
        person.role, person.site = part.role, site
        session.add(person)
        accounts.set_name(session, person.party, part.name)
    return AppliedPerson(part.ref, person.party, None, None)


def _new_plot(part: PlotPart, *, place: PlaceId, holder: Person, holder_name: str, owner_name: str) -> plots.NewPlot:
    fields: dict[str, Any] = part.model_dump(exclude={"place", "holder"})
    # The log gets salted digests of the names; their text can be erased.
    return plots.NewPlot(
        place=place, holder=PartyId(holder.party), holder_name=holder_name, owner_name=owner_name, **fields
    )


def _keep_site(session: Session, ref: str, place: PlaceId) -> None:
    known = session.get(Site, ref)
    if known is not None and known.place != place:
        raise SetupFileError([f"{ref} is {known.place}; a place keeps its GLN, add a new place instead"])
    if known is None:
        session.add(Site(ref=ref, place=place))
        session.flush()


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Put the path in front of what the domain refuses."""
    try:
        yield
    except ValidationError as error:
        items = error.errors(include_url=False)
        raise SetupFileError([f"{path}.{_path(item['loc'])}: {_message(item)}" for item in items]) from error
    except OriginError as error:
        raise SetupFileError([f"{path}: {error}"]) from error


def _repeated(setup: SetupFile) -> Iterator[str]:
    for kind in ("place", "person", "plot", "device"):
        seen: set[str] = set()
        for index, part in enumerate(getattr(setup, kind)):
            if part.ref in seen:
                yield f"{kind}[{index}].ref: {part.ref!r} stands twice"
            seen.add(part.ref)


def _dangling(setup: SetupFile) -> Iterator[str]:
    known = {part.ref for part in setup.place}
    people = {part.ref for part in setup.person}
    wanted: list[tuple[str, str, set[str], str]] = []
    wanted += [(f"person[{i}].site", p.site, known, "place") for i, p in enumerate(setup.person) if p.site]
    wanted += [(f"plot[{i}].place", p.place, known, "place") for i, p in enumerate(setup.plot)]
    wanted += [(f"plot[{i}].holder", p.holder, people, "person") for i, p in enumerate(setup.plot)]
    wanted += [(f"device[{i}].place", d.place.partition("/")[0], known, "place") for i, d in enumerate(setup.device)]
    for path, ref, refs, kind in wanted:
        if ref not in refs:
            yield f"{path}: no [[{kind}]] has the ref {ref!r}"


def _path(location: Sequence[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text or "the file"


def _message(item: Mapping[str, Any]) -> str:
    text = str(item["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
