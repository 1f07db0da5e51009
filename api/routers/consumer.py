"""The consumer's door: any GS1 Digital Link, the page behind it, its evidence, and where to type a code."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel
from sqlalchemy import func
from sqlmodel import Session, col, select
from starlette.background import BackgroundTask

from api import accounts, evidence, pages
from api.caching import LruCache
from api.deps import RuntimeDep
from api.drawing import tenths
from api.errors import NotHereError
from api.facts import PRIVATE, Fact, show
from api.history import public_names, read, tell
from api.journey import link_of
from api.runtime import Runtime
from api.scans import note_scan, scans_of
from api.sealing import Sealing
from api.story import Fruit, Plate, Step, Story, Told
from contracts.outbox import IN_CHAIN, ON_ITS_WAY, largest, latest_final
from ledger.disclosure import kept_fields
from ledger.errors import UnknownIdentifierError
from ledger.kernel.errors import IdentifierError
from ledger.kernel.files import MissingFileError, ni_uri
from ledger.kernel.ids import SERIAL_ALPHABET, DigitalLink, pack_id, parse_digital_link
from ledger.log import latest_checkpoint, tree_size
from ledger.models import Entry, Naming
from ledger.trace import history

router = APIRouter(tags=["consumer"])

LINKSET: Final = "application/linkset+json"
FOREVER: Final = "public, max-age=31536000, immutable"
_GS1: Final = "https://ref.gs1.org/voc/"
_CONFUSED: Final = str.maketrans({"I": "1", "L": "1", "O": "0", "U": "V"})
_STORIES: Final[LruCache[tuple[str, str, tuple[int, int]], Story]] = LruCache(128)
_PAGES: Final[LruCache[tuple[Any, ...], tuple[str, str]]] = LruCache(256)
_SCANS_HERE: Final = "<!-- scans -->"


# --- the page -------------------------------------------------------------------------------------


@router.get("/01/{rest:path}", include_in_schema=False)
@router.get("/00/{rest:path}", include_in_schema=False)
@router.get("/253/{rest:path}", include_in_schema=False)
@router.get("/414/{rest:path}", include_in_schema=False)
@router.get("/8003/{rest:path}", include_in_schema=False)
def thing(
    request: Request,
    rt: RuntimeDep,
    rest: Annotated[str, Path(max_length=300)],
    link_type: Annotated[str | None, Query(alias="linkType", max_length=80)] = None,
    fruit: Annotated[int, Query(ge=1, le=500)] = 1,
) -> Response:
    """Answer a GS1 Digital Link: the story of what it names, or a linkset of everything known about it."""
    del rest  # the whole path is read below, still percent-encoded
    path = request.scope["raw_path"].decode("ascii", "replace")
    try:
        link = parse_digital_link(path)
    except IdentifierError:
        return _unknown(request, rt, path)
    if link_type in ("linkset", "all") or LINKSET in request.headers.get("accept", ""):
        return _linkset(rt, link)
    visitor = _visitor(request)
    now = rt.clock.now()
    with rt.db.read() as session:
        version = _version(session)
        try:
            story = _story(rt, session, link.canonical(), version)
        except UnknownIdentifierError:
            return _unknown(request, rt, link.path())
        seen = _Seen(
            version=version,
            sealing=_sealing(rt, session, story),
            owner_name=_owner_name(rt, session, story),
            promisor_name=_promisor_name(rt, session, story),
            today=now.astimezone(ZoneInfo(rt.settings.time_zone)).date(),
            fruit=fruit,
        )
        scans = scans_of(session, story.identifier, visitor=visitor, now=now)
    before, after = _drawn(request, rt, story, seen)
    counted = pages.page(request, "consumer/scans.html", scans=scans, story=story) if story.kind == "pack" else ""
    linkset = f'<{link.uri(rt.settings.public_url)}?linkType=linkset>; rel="linkset"; type="{LINKSET}"'
    response = pages.finish(request, HTMLResponse(before + counted + after), {"link": linkset})
    if request.method == "GET" and story.kind == "pack":
        response.background = BackgroundTask(_note, rt, story.identifier, visitor)
    return response


def forget() -> None:
    """Drop what is kept in memory: stories, drawn pages, sheets. Everything is made again when asked for."""
    for kept in (_STORIES, _PAGES, _SHEETS):
        kept.clear()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a drawn page depends on besides its story, the language and who looks."""

    version: tuple[int, int]
    sealing: Sealing
    owner_name: Fact | None
    promisor_name: Fact | None
    today: date
    fruit: int


def _drawn(request: Request, rt: Runtime, story: Story, seen: _Seen) -> tuple[str, str]:
    """Return the page before and after the one part that differs from visit to visit. Drawn once while it is true."""
    key = (str(rt.settings.home), story.identifier, pages.language(request), request.url.query, seen)
    found = _PAGES.get(key)
    if found is not None:
        return found
    hero = _hero(story, seen.fruit)
    whole = pages.page(
        request,
        "consumer/thing.html",
        story=story,
        sealing=seen.sealing,
        owner_name=seen.owner_name,
        promisor_name=seen.promisor_name,
        hero=hero,
        hero_href=_href(story, hero["photo"].digest) if hero else None,
        sheet=_sheet(story),
        proof_url=_proof_url(story),
        days_left=_days_left(story, seen.today),
        has_gaps=any(step.extra.get("has_gaps") for step in story.steps),
        lang_query=request.query_params.get("lang"),
        page_data=_page_data(story, seen.version[1]),
        scans_here=_SCANS_HERE,
    )
    before, _, after = whole.partition(_SCANS_HERE)
    return _PAGES.put(key, (before, after))


def _owner_name(rt: Runtime, session: Session, story: Story) -> Fact | None:
    """Return the cooperative's name: as the plot's passport commits to it, else as our own table has it."""
    passports = [told for told in story.told if told.name == "plot_registered" and told.recorder == story.owner]
    return _name(rt, session, story.owner, passports, "ownerName")


def _promisor_name(rt: Runtime, session: Session, story: Story) -> Fact | None:
    certified = story.step("certified")
    if certified is None:
        return None
    return _name(rt, session, certified.extra["promisor"], [certified.main], "promisorName")


def _name(rt: Runtime, session: Session, party: str | None, told: Sequence[Told], field: str) -> Fact | None:
    """Return a party's name as a fact: one that the proof opens can be checked, one of our own table cannot."""
    if party is None:
        return None
    indexes = {each.event_id: each.index for each in told if each.index is not None}
    if indexes and field in rt.settings.public_field_names:
        for kept in kept_fields(session, indexes.keys(), names=[field]):
            return Fact(kept.value, f"{PRIVATE}{indexes[kept.event_id]}/{field}")
    name = accounts.name_of(session, party)
    return None if name is None else Fact(name)


def _note(rt: Runtime, subject: str, visitor: str) -> None:
    with rt.db.write() as session:
        note_scan(session, subject, visitor=visitor, now=rt.clock.now())


def _visitor(request: Request) -> str:
    """Return what tells one visitor from another for a day. It is hashed with that day's salt, never kept."""
    address = request.client.host if request.client else ""
    return f"{address}|{request.headers.get('user-agent', '')}"


def _story(rt: Runtime, session: Session, identifier: str, version: tuple[int, int] | None = None) -> Story:
    """Return the story of an identifier as the log stands. Told once for each length of the log."""
    key = (str(rt.settings.home), identifier, version or _version(session))
    found = _STORIES.get(key)
    if found is None:
        steps = history(session, identifier)
        found = _STORIES.put(key, tell(identifier, read(steps.steps), files=_files(rt), is_cut=steps.is_cut))
    return found


def _version(session: Session) -> tuple[int, int]:
    """Return how long the log is and how much of it has its place: nothing else changes a history."""
    return session.exec(select(func.max(Entry.id))).one() or 0, tree_size(session)


def public_evidence(rt: Runtime, session: Session, identifier: str) -> frozenset[str]:
    """Return the `ni:` names of files that a history names for everyone; none where the log knows nothing of it."""
    try:
        return public_names(_story(rt, session, identifier), _files(rt))
    except UnknownIdentifierError:
        return frozenset()


def _files(rt: Runtime) -> evidence.Files:
    """Return a way to kept files that reads each once: a dozen fruits name the same standard."""
    seen: dict[str, bytes | None] = {}

    def get(name: str) -> bytes | None:
        if name not in seen:
            try:
                seen[name] = rt.files.get(name)
            except (MissingFileError, IdentifierError):
                seen[name] = None
        return seen[name]

    return get


def _sealing(rt: Runtime, session: Session, story: Story) -> Sealing:
    checkpoint = latest_checkpoint(session)
    anchor = latest_final(session, origin=rt.settings.log_origin)
    return Sealing(
        last_index=story.last_index,
        published_size=checkpoint.size if checkpoint else 0,
        anchored_size=anchor.size if anchor else 0,
        block=anchor.block_number if anchor else None,
        contract=anchor.contract if anchor else None,
        chain_id=anchor.chain_id if anchor else None,
        sent_size=largest(session, ON_ITS_WAY, origin=rt.settings.log_origin),
        included_size=largest(session, IN_CHAIN, origin=rt.settings.log_origin),
    )


def _hero(story: Story, number: int) -> dict[str, Any] | None:
    """Return the photograph that stands first: the fruit asked for, any fruit, or the pack."""
    shown: list[Fruit] = [f for f in story.fruits if f.photo is not None and f.photo.is_kept and f.photo.width]
    fruit = next((f for f in shown if f.number == number), shown[0] if shown else None)
    if fruit is not None:
        return {"fruit": fruit, "photo": fruit.photo, "plate": fruit.plate}
    photo = story.pack_photo
    if photo is not None and photo.is_kept and photo.width:
        return {"fruit": None, "photo": photo, "plate": None}
    return None


def _href(story: Story, name: str) -> str:
    return f"/files/{name}?of={quote(story.path)}"


def _proof_url(story: Story) -> str:
    return f"/api/v1/proof?id={quote(story.identifier, safe='')}"


def _sheet(story: Story) -> dict[str, Any]:
    count, columns = len(story.fruits), evidence.SHEET_COLUMNS
    return {
        "href": _href(story, "sheet"),
        "side": evidence.SHEET_SIDE,
        "width": min(count, columns) * evidence.SHEET_SIDE,
        "height": -(-count // columns) * evidence.SHEET_SIDE,
        "place": evidence.sheet_place,
    }


def _days_left(story: Story, today: date) -> int | None:
    try:
        return (date.fromisoformat(story.best_before.value) - today).days if story.best_before else None
    except (TypeError, ValueError):
        return None


def _page_data(story: Story, size: int) -> dict[str, Any]:
    """Return what the page's own script needs; `size` is the log's, so that later entries are no surprise."""
    return {
        "subject": story.identifier,
        "path": story.path,
        "proof": f"{_proof_url(story)}&evidence=false",  # the page fetches every file it shows by itself
        "records": _href(story, "records") if story.fruits else None,
        "leaves": ranges(sorted({t.index for t in story.told if t.index is not None})),
        "size": size,
        "steps": len(story.steps),
    }


def ranges(numbers: Iterable[int]) -> str:
    """Return `3,5-9` for 3, 5, 6, 7, 8, 9."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)


# --- what we do not know --------------------------------------------------------------------------


def _unknown(request: Request, rt: Runtime, path: str) -> Response:
    link = link_of(path)
    serial = link.values.get("21") if link else None
    better = _corrected(serial) if serial else None
    suggestion = None
    if link is not None and better and better != serial:
        with rt.db.read() as session:
            known = _is_known(session, DigitalLink(link.key, (("21", better),)).canonical())
        suggestion = {"code": better, "href": DigitalLink(link.key, (("21", better),)).path()} if known else None
    return pages.render(
        request,
        "consumer/unknown.html",
        status=HTTPStatus.NOT_FOUND,
        code=serial or path.strip("/"),
        is_malformed=link is None,
        suggestion=suggestion,
    )


def _corrected(code: str) -> str:
    """Return the code with the letters our alphabet leaves out replaced by what they are mistaken for."""
    return "".join(c for c in code.upper() if c.isalnum()).translate(_CONFUSED)


def _is_known(session: Session, identifier: str) -> bool:
    return session.exec(select(Naming.entry_id).where(Naming.identifier == identifier).limit(1)).first() is not None


@router.get("/", include_in_schema=False)
def start(request: Request, rt: RuntimeDep, code: Annotated[str, Query(max_length=2000)] = "") -> Response:
    """Show where to scan or type a code; with `?code=` go to what it names."""
    typed = code.strip()
    if not typed:
        return pages.render(request, "consumer/start.html", code="")
    link = link_of(typed)
    if link is not None:
        return RedirectResponse(link.path(), status_code=HTTPStatus.SEE_OTHER)
    serial = _corrected(typed)
    with rt.db.read() as session:
        found = _find_serial(session, serial)
    if found is not None:
        return RedirectResponse(parse_digital_link(found).path(), status_code=HTTPStatus.SEE_OTHER)
    return pages.render(
        request,
        "consumer/unknown.html",
        status=HTTPStatus.NOT_FOUND,
        code=typed[:80],
        is_malformed=False,
        suggestion=None,
    )


def _find_serial(session: Session, serial: str) -> str | None:
    """Return the pack with this serial. Serials are random, so one is enough to tell packs of all products apart."""
    if not serial or len(serial) > 20 or any(c not in SERIAL_ALPHABET for c in serial):
        return None
    for gtin in _pack_gtins(session):
        identifier = pack_id(gtin, serial)
        if _is_known(session, identifier):
            return identifier
    return None


def _pack_gtins(session: Session) -> list[str]:
    """Return the GTINs that packs were offered under: few, so that a serial alone finds its pack by index."""
    rows = session.exec(
        select(Naming.identifier)
        .where(col(Naming.sentence).in_(["quota_granted/1"]), col(Naming.identifier).like("https://id.gs1.org/01/%"))
        .distinct()
    )
    links = (link_of(identifier) for identifier in rows)
    return sorted({link.values["01"] for link in links if link is not None and not link.qualifiers})


# --- evidence -------------------------------------------------------------------------------------


Of = Annotated[str, Query(max_length=300, description="Digital Link path of the pack or lot it belongs to")]
_EVIDENCE_HEADERS: Final = {
    "cache-control": FOREVER,
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
}


@router.get("/files/records", response_class=Response)
def records(rt: RuntimeDep, of: Of) -> Response:
    """Return the records of a pack's fruits, one per line: each line has the SHA-256 that the log names."""
    story = _known(rt, of)
    kept = (_files(rt)(ni_uri(bytes.fromhex(fruit.digest))) for fruit in story.fruits)
    lines = b"\n".join(data for data in kept if data is not None)
    return Response(lines, media_type="application/x-ndjson", headers=_EVIDENCE_HEADERS)


@router.get("/files/sheet", response_class=Response)
def sheet(rt: RuntimeDep, of: Of) -> Response:
    """Return small pictures of a pack's fruits in one image. To look at: its bytes are not what the log names."""
    story, get = _known(rt, of), _files(rt)
    digests = tuple(fruit.photo.digest if fruit.photo else "" for fruit in story.fruits)
    if not digests:
        raise NotHereError(f"{of} has no pictures of fruits")
    data = _drawn_sheet(digests, lambda: [get(ni_uri(bytes.fromhex(d))) if d else None for d in digests])
    return Response(data, media_type="image/webp", headers=_EVIDENCE_HEADERS)


@router.get("/files/{digest}", response_class=Response)
def file(rt: RuntimeDep, digest: Annotated[str, Path(pattern="^[0-9a-f]{64}$")], of: Of) -> Response:
    """Return a piece of evidence that a history names for everyone, byte for byte."""
    name = ni_uri(bytes.fromhex(digest))
    if name not in public_names(_known(rt, of), _files(rt)):
        raise NotHereError(f"{of} names no public file {digest}")
    data = rt.files.get(name)
    headers = _EVIDENCE_HEADERS | {"etag": f'"{digest}"'}
    kind = evidence.media_type(data)
    if not kind.startswith("image/"):
        headers["content-disposition"] = f'attachment; filename="{digest[:16]}"'
    return Response(data, media_type=kind, headers=headers)


def _known(rt: Runtime, of: str) -> Story:
    """Return the story of a path. Raises NotHereError where the log knows nothing of it."""
    link = link_of(of)
    with rt.db.read() as session:
        try:
            if link is not None:
                return _story(rt, session, link.canonical())
        except UnknownIdentifierError:
            pass
    raise NotHereError(f"nothing is kept of {of}")


_SHEETS: Final[LruCache[tuple[str, ...], bytes]] = LruCache(64)


def _drawn_sheet(digests: tuple[str, ...], pictures: Callable[[], list[bytes | None]]) -> bytes:
    found = _SHEETS.get(digests)
    if found is None:
        found = _SHEETS.put(digests, evidence.sheet(pictures()))
    return found


# --- for programs ---------------------------------------------------------------------------------


class FactOut(BaseModel):
    """A value, and where in which entry or file it stands."""

    value: str | int | float | bool
    refs: str
    op: str


class EntryOut(BaseModel):
    """One entry of the log behind a step."""

    index: int | None
    event_id: str
    sentence: str
    leaf_hash: str
    event: dict[str, Any]


class StepOut(BaseModel):
    """One station of the way."""

    kind: str
    at: str
    is_one_sided: bool
    facts: dict[str, FactOut]
    entries: list[EntryOut]


class HistoryOut(BaseModel):
    """The history of one thing as the page shows it."""

    identifier: str
    kind: str
    state: str
    on_chain: str
    """`none`, `sent`, `included` or `final`; only the last is anchored."""
    published_size: int
    anchored_size: int
    is_recalled: bool
    is_cut: bool
    steps: list[StepOut]


@router.get("/api/v1/history")
def history_of(rt: RuntimeDep, id: Annotated[str, Query(max_length=300)]) -> HistoryOut:  # noqa: A002  # the interface says id
    """Return the history of a pack, lot or plot in steps, each with its entries and where its numbers stand."""
    link = parse_digital_link(id)
    with rt.db.read() as session:
        story = _story(rt, session, link.canonical())
        sealing = _sealing(rt, session, story)
    return HistoryOut(
        identifier=story.identifier,
        kind=story.kind,
        state=sealing.state,
        on_chain=sealing.on_chain,
        published_size=sealing.published_size,
        anchored_size=sealing.anchored_size,
        is_recalled=story.recall is not None,
        is_cut=story.is_cut,
        steps=[_step_out(step) for step in story.steps],
    )


def _step_out(step: Step) -> StepOut:
    return StepOut(
        kind=step.kind,
        at=step.main.event["eventTime"],
        is_one_sided=step.is_one_sided,
        facts={k: FactOut(value=f.value, refs=f.refs, op=f.op) for k, f in step.facts.items() if f is not None},
        entries=[
            EntryOut(
                index=t.index,
                event_id=t.event_id,
                sentence=t.sentence,
                leaf_hash=t.leaf_hash,
                event=dict(t.event),
            )
            for t in step.told
        ],
    )


def _linkset(rt: Runtime, link: DigitalLink) -> Response:
    """Return an RFC 9264 linkset. It says where to ask, whether or not the log knows the thing."""
    home = rt.settings.public_url.rstrip("/")
    identifier = quote(link.canonical(), safe="")
    here = link.uri(home)
    entries: Mapping[str, list[dict[str, Any]]] = {
        _GS1 + "defaultLink": [{"href": here, "title": "果源 Guoyuan", "type": "text/html", "hreflang": ["zh", "en"]}],
        _GS1 + "pip": [{"href": here, "title": "果源 Guoyuan", "type": "text/html", "hreflang": ["zh", "en"]}],
        _GS1 + "traceability": [
            {"href": f"{home}/api/v1/history?id={identifier}", "title": "History", "type": "application/json"}
        ],
        _GS1 + "certificationInfo": [
            {"href": f"{home}/api/v1/proof?id={identifier}", "title": "Proof", "type": "application/json"}
        ],
    }
    body = {"linkset": [{"anchor": here, **entries}]}
    headers = {"access-control-allow-origin": "*", "cache-control": "public, max-age=300", "vary": "Accept"}
    return JSONResponse(body, media_type=LINKSET, headers=headers)


# --- how a page writes what only it needs ---------------------------------------------------------


def longest_gap(gaps: Iterable[tuple[float, float, Any, Any]]) -> tuple[float, float, Any, Any, float]:
    """Return the widest gap of a curve, with its minutes."""
    left, right, since, until = max(gaps, key=lambda gap: gap[1] - gap[0])
    return left, right, since, until, (until - since).total_seconds() / 60


def rule_ticks(place: Plate, left: float, side: float) -> list[tuple[float, int, int | None]]:
    """Return the ticks of a millimetre rule whose zero is the fruit's left edge: place, length, label."""
    zero = left + place.left
    first = -math.floor(zero / place.px_per_mm)
    last = math.floor((side - zero) / place.px_per_mm)
    fine = 2 if (last - first) <= 160 else 5
    label = 20 if (last - first) <= 160 else 50
    ticks = []
    for mm in range(first, last + 1):
        if mm % fine:
            continue
        size = 9 if mm % 10 == 0 else 4
        x = zero + mm * place.px_per_mm
        is_labelled = mm % label == 0 and mm >= 0 and side * 0.03 < x < side * 0.97
        ticks.append((x, size, mm if is_labelled else None))
    return ticks


pages.environment().filters.update(show=show, px=tenths, ranges=ranges, longest_gap=longest_gap, rule_ticks=rule_ticks)
