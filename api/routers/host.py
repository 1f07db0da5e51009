"""The host's console and the overlay, and what stands behind them: broadcasts, tiers, prices, what is on air."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlmodel import Session

from api import accounts, live, studio
from api.board import BroadcastView, HostView, broadcast_view, host_view, overlay_view
from api.deps import RuntimeDep, allow, page_actor
from api.pages import render
from api.runtime import Runtime
from ledger.kernel.actors import Actor, Role
from orders import listings, plots
from orders.models import Broadcast
from orders.plots import yield_left_g

router = APIRouter(tags=["host"])

HostActor = Annotated[Actor, Depends(allow(Role.HOST, Role.MANAGER))]
HostPageActor = Annotated[Actor, Depends(page_actor(Role.HOST, Role.MANAGER))]
Ref = Annotated[
    str,
    Path(
        min_length=1,
        max_length=40,
        description="The broadcast's `ref` (`L261122-0001`), or the value of its GDTI (thirteen digits and that ref).",
    ),
]
TierName = Annotated[str, Path(min_length=1, max_length=8, description="`A`, `B` or `C`")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewBroadcast(_Body):
    """A live session to open. `place` is a studio's ref or id; without it, the host's own studio."""

    title: str = Field(max_length=200)
    closes_at: AwareDatetime
    place: str | None = Field(default=None, max_length=200)


class NewListing(_Body):
    """A tier to offer: boxes of one nominal mass, from plots named by ref or id."""

    tier: str = Field(max_length=8)
    variety: str = Field(max_length=80)
    nominal_mass_g: int
    price_fen: int
    pieces: int
    plots: list[str] = Field(max_length=50)
    standard: str = Field(default="", max_length=80)
    standard_edition: str = Field(default="", max_length=40)


class Price(_Body):
    """The price of a box from now on."""

    price_fen: int


class MorePieces(_Body):
    """Pieces to offer on top of what is offered."""

    pieces: int


class Air(_Body):
    """What the overlay shows: a tier, or a graded fruit's picture by its hash in hex; empty takes it off."""

    kind: Literal["tier", "photograph"]
    value: str = Field(max_length=64)


class Listed(BaseModel):
    """A tier as it is offered."""

    listing: int
    broadcast: str
    tier: str
    gtin: str
    nominal_mass_g: int
    price_fen: int
    pieces: int


# --- pages ------------------------------------------------------------------------------------------


@router.get("/host", include_in_schema=False)
def console_page(
    request: Request, rt: RuntimeDep, actor: HostPageActor, broadcast: str = "", new: str = ""
) -> Response:
    """Show the console: the open broadcast, or (also with `?new=1`) how to open one."""
    return _board(request, rt, actor, broadcast, "host/console.html", is_new=bool(new))


@router.get("/host/board", include_in_schema=False)
def board_fragment(request: Request, rt: RuntimeDep, actor: HostPageActor, broadcast: str = "") -> Response:
    """Return the console's inside alone; the page puts it in place of its own when something changed."""
    return _board(request, rt, actor, broadcast, "host/board.html")


@router.get("/host/fruit/{name}", include_in_schema=False)
def fruit_picture(rt: RuntimeDep, _actor: HostPageActor, name: str) -> Response:
    """Return the picture of a graded fruit, by its hash in hex."""
    with rt.db.read() as session:
        return _picture(rt, studio.fruit_photograph(session, name))


@router.get("/overlay/{token}", include_in_schema=False)
def overlay_page(request: Request, rt: RuntimeDep, token: str, part: bool = False) -> Response:  # noqa: FBT001, FBT002  # a query parameter
    """Show the transparent page that broadcasting software lays over the picture."""
    with rt.db.read() as session:
        show = studio.overlay_broadcast(session, rt.settings, token)
        view = overlay_view(session, show, settings=rt.settings, now=rt.clock.now())
        cooperative = accounts.name_of(session, rt.numbering.party(1))
    shown = next((row for row in view.listings if row.is_on_air), None)
    picture = next((each for each in view.photographs if each.is_on_air), None)
    return render(
        request,
        "host/overlay_part.html" if part else "host/overlay.html",
        headers={"referrer-policy": "no-referrer"},
        theme="light",
        token=token,
        view=view,
        shown=shown,
        picture=picture,
        cooperative=cooperative,
    )


@router.get("/overlay/{token}/fruit", include_in_schema=False)
def overlay_picture(rt: RuntimeDep, token: str) -> Response:
    """Return the picture that is on air."""
    with rt.db.read() as session:
        show = studio.overlay_broadcast(session, rt.settings, token)
        return _picture(rt, studio.on_air_photograph(session, show))


@router.get("/overlay/{token}/stream", include_in_schema=False)
def overlay_stream(request: Request, rt: RuntimeDep, token: str) -> StreamingResponse:
    """Follow what the overlay shows."""
    with rt.db.read() as session:
        studio.overlay_broadcast(session, rt.settings, token)

    def look() -> tuple[str, str]:
        with rt.db.read() as session:
            show = studio.overlay_broadcast(session, rt.settings, token)
            view = overlay_view(session, show, settings=rt.settings, now=rt.clock.now())
        return _standing(view), view.model_dump_json(include={"as_of"})

    return live.stream(request, "changed", look)


# --- the interface ----------------------------------------------------------------------------------


@router.get("/api/v1/host/state")
def host_state(rt: RuntimeDep, actor: HostActor, broadcast: str = "") -> HostView:
    """Return the whole board of a broadcast (by ref); without one, of the newest that is open."""
    return _view(rt, actor, broadcast)


@router.get("/api/v1/host/stream", response_class=StreamingResponse)
def host_stream(request: Request, rt: RuntimeDep, actor: HostActor, broadcast: str = "") -> StreamingResponse:
    """Follow a board: server-sent events `state`, each with the whole of what `/state` answers."""
    _view(rt, actor, broadcast)

    def look() -> tuple[str, str]:
        view = _view(rt, actor, broadcast)
        return _standing(view), view.model_dump_json()

    return live.stream(request, "state", look)


@router.post("/api/v1/host/broadcasts", status_code=201)
def open_broadcast(rt: RuntimeDep, actor: HostActor, body: NewBroadcast) -> BroadcastView:
    """Open a broadcast. It offers nothing until tiers are listed."""
    with rt.db.write() as session:
        show = listings.open_broadcast(
            session,
            host=actor,
            title=body.title,
            closes_at=body.closes_at,
            place=studio.studio_of(session, actor, body.place, rt.numbering),
            numbering=rt.numbering,
            now=rt.clock.now(),
            zone=rt.settings.time_zone,
        )
        return broadcast_view(show)


@router.post("/api/v1/host/broadcasts/{ref}/listings", status_code=201)
def list_tier(rt: RuntimeDep, actor: HostActor, ref: Ref, body: NewListing) -> Listed:
    """Offer pieces of a tier in an open broadcast. A broadcast lists each tier once."""
    with rt.db.write() as session:
        show = studio.own_broadcast(session, ref, actor)
        row = listings.list_tier(
            session,
            show.id,
            tier=body.tier,
            variety=body.variety,
            nominal_mass_g=body.nominal_mass_g,
            price_fen=body.price_fen,
            pieces=body.pieces,
            plots=studio.plot_ids(session, body.plots),
            standard=body.standard,
            standard_edition=body.standard_edition,
            numbering=rt.numbering,
            now=rt.clock.now(),
            zone=rt.settings.time_zone,
        )
        return Listed(
            listing=row.id or 0,
            broadcast=show.id,
            tier=row.tier,
            gtin=row.gtin,
            nominal_mass_g=row.nominal_mass_g,
            price_fen=row.price_fen,
            pieces=body.pieces,
        )


@router.post("/api/v1/host/broadcasts/{ref}/listings/{tier}/price")
def change_price(rt: RuntimeDep, actor: HostActor, ref: Ref, tier: TierName, body: Price) -> HostView:
    """Set the price of a tier's box from now on; what was sold keeps what was paid. Answers the board."""
    with rt.db.write() as session:
        show = studio.own_broadcast(session, ref, actor)
        row = studio.listing_of(session, show, tier)
        listings.change_price(session, row.id or 0, price_fen=body.price_fen)
    return _view(rt, actor, show.ref)


@router.post("/api/v1/host/broadcasts/{ref}/listings/{tier}/pieces")
def offer_more(rt: RuntimeDep, actor: HostActor, ref: Ref, tier: TierName, body: MorePieces) -> HostView:
    """Offer pieces of a listed tier on top of those offered. Answers the board."""
    with rt.db.write() as session:
        show = studio.own_broadcast(session, ref, actor)
        row = studio.listing_of(session, show, tier)
        listings.offer_more(session, row.id or 0, pieces=body.pieces, now=rt.clock.now(), zone=rt.settings.time_zone)
    return _view(rt, actor, show.ref)


@router.post("/api/v1/host/broadcasts/{ref}/air")
def put_on_air(rt: RuntimeDep, actor: HostActor, ref: Ref, body: Air) -> HostView:
    """Show a tier or a fruit's picture in the overlay, or take it off. Answers the board."""
    with rt.db.write() as session:
        show = studio.own_broadcast(session, ref, actor)
        studio.put_on_air(session, show, kind=body.kind, value=body.value, now=rt.clock.now())
    return _view(rt, actor, show.ref)


@router.post("/api/v1/host/broadcasts/{ref}/close")
def close_broadcast(rt: RuntimeDep, actor: HostActor, ref: Ref) -> BroadcastView:
    """Close a broadcast: no more is sold. Closing it again changes nothing."""
    with rt.db.write() as session:
        show = studio.own_broadcast(session, ref, actor)
        return broadcast_view(listings.close(session, show.id, now=rt.clock.now(), zone=rt.settings.time_zone))


# --- shared -----------------------------------------------------------------------------------------


def _board(
    request: Request, rt: Runtime, actor: Actor, broadcast: str, template: str, *, is_new: bool = False
) -> Response:
    with rt.db.read() as session:
        show = _show(session, actor, broadcast)
        view = host_view(session, show, actor=actor, settings=rt.settings, now=rt.clock.now())
        fields = [(row, yield_left_g(row)) for row in plots.plots(session)]
        name = accounts.name_of(session, actor.party)
    listed = {row.tier for row in view.listings}
    return render(
        request,
        template,
        view=view,
        is_new=is_new,
        show=view.broadcast,
        is_open=view.broadcast is not None and view.broadcast.closed_at is None,
        fields=fields,
        varieties=sorted({row.variety for row, _ in fields}),
        unlisted=[tier for tier in ("A", "B", "C") if tier not in listed],
        host_name=name,
    )


def _show(session: Session, actor: Actor, broadcast: str) -> Broadcast | None:
    return studio.own_broadcast(session, broadcast, actor) if broadcast else studio.current_broadcast(session, actor)


def _view(rt: Runtime, actor: Actor, broadcast: str) -> HostView:
    with rt.db.read() as session:
        show = _show(session, actor, broadcast)
        return host_view(session, show, actor=actor, settings=rt.settings, now=rt.clock.now())


def _standing(view: HostView) -> str:
    """Return what makes a page draw again: everything but the time."""
    return view.model_dump_json(exclude={"as_of"})


def _picture(rt: Runtime, name: str) -> Response:
    # Named by its own hash: it can never change.
    headers = {"cache-control": "private, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
    return Response(rt.files.get(name), media_type="image/jpeg", headers=headers)
