"""The farmer's page, and what stands behind it: orders, confirmations, photographs, the live stream."""

import json
from functools import cache
from hashlib import sha256
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from api import live
from api.deps import RuntimeDep, allow, body_of, body_schema, page_actor
from api.farm import FarmView, cards, clashes, farm_view, keep_photograph
from api.i18n import WEB
from api.pages import asset, render, speech_of
from api.runtime import Runtime
from ledger.kernel.actors import Actor, Role
from orders import picking
from orders.picking import PickConfirmation

router = APIRouter(tags=["farmer"])

FarmerActor = Annotated[Actor, Depends(allow(Role.FARMER))]
FarmerPageActor = Annotated[Actor, Depends(page_actor(Role.FARMER))]
Photograph = Annotated[bytes, Depends(body_of("image/jpeg"))]

_SHELL: Final = (
    *(f"farmer/{name}" for name in (
        "app.js", "camera.js", "crate.js", "orders.js", "outbox.js", "store.js", "views.js", "weight.js",
        "words.js", "farmer.css", "icon-192.png",
    )),
    *(f"shared/{name}" for name in ("kit.js", "dom.js", "tokens.css", "base.css", "icons.svg", "logo.svg")),
)  # fmt: skip


class PickReceipt(BaseModel):
    """The answer to a confirmation. It repeats the command's id: the phone forgets the command only then."""

    command_id: UUID
    pick_order: str
    lot: str
    lot_number: str
    mass_g: int
    surplus_g: int
    order_state: str
    is_duplicate: bool


class PhotographReceipt(BaseModel):
    """The answer to a photograph, by the name its pick's event carries."""

    command_id: UUID
    file: str


class PhotographOf(BaseModel):
    """Which photograph this is: the `command_id` of the pick that named it, its hash, and a command of its own."""

    pick: UUID
    command_id: UUID
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class SeenOrders(BaseModel):
    """Pick orders that stood on a screen somebody could see."""

    model_config = ConfigDict(extra="forbid")

    pick_orders: list[str] = Field(max_length=200)


@router.get("/farmer", include_in_schema=False)
def today_page(request: Request, rt: RuntimeDep, actor: FarmerPageActor) -> Response:
    """Show today's pick orders; true without scripts, live with them."""
    now = rt.clock.now()
    with rt.db.read() as session:
        view = farm_view(session, actor.party, now=now, zone=rt.settings.time_zone)
    made = cards(view)
    wanted = [card for card in made if card.standing in ("picking", "raised")]
    local = speech_of(request).local
    return render(
        request,
        "farmer/today.html",
        # Told apart from a sign-in portal's page by the service worker.
        headers={"x-guoyuan-page": "farmer"},
        theme="sun",
        now=now,
        weekday=local(now).isoweekday() % 7,
        party=actor.party,
        farm=view,
        farm_json=view.model_dump(mode="json"),
        made=made,
        wanted=wanted,
        to_go_g=sum(card.to_go_g for card in wanted),
        due={card.serial: (local(card.order.pick_by).date() - local(now).date()).days for card in made},
        clashes=clashes(view),
    )


@router.get("/farmer/offline", include_in_schema=False)
def offline_page(request: Request) -> Response:
    """Show what a phone without a signal shows that has kept no orders yet."""
    return render(request, "farmer/offline.html", theme="sun")


@router.get("/farmer/sw.js", include_in_schema=False)
def service_worker() -> Response:
    """Serve the service worker with the list of what it keeps, under a version made from those files."""
    headers = {"cache-control": "no-cache", "service-worker-allowed": "/farmer", "x-content-type-options": "nosniff"}
    return Response(_service_worker(tuple(map(asset, _SHELL))), media_type="text/javascript", headers=headers)


@router.get("/farmer/manifest.webmanifest", include_in_schema=False)
def manifest(request: Request) -> Response:
    """Serve what a phone needs to put the page on its home screen."""
    spoken = speech_of(request)
    icons = [
        {"src": asset(f"farmer/icon-{size}.png"), "sizes": f"{size}x{size}", "type": "image/png", "purpose": purpose}
        for size in (192, 512)
        for purpose in ("any", "maskable")
    ]
    body = {
        "id": "/farmer",
        "name": spoken.text("farmer.app_name"),
        "short_name": spoken.text("farmer.title"),
        "description": spoken.text("farmer.app_description"),
        "lang": "zh-CN" if spoken.lang == "zh" else "en",
        "start_url": "/farmer",
        "scope": "/farmer",
        "display": "standalone",
        "orientation": "portrait",
        "background_color": "#ffffff",
        "theme_color": "#ffffff",
        "icons": icons,
    }
    return JSONResponse(body, media_type="application/manifest+json", headers={"vary": "Accept-Language, Cookie"})


@router.get("/api/v1/farmer/orders")
def farmer_orders(rt: RuntimeDep, actor: FarmerActor) -> FarmView:
    """Return the open pick orders of the farmer's plots and those of today that are over."""
    return _view(rt, actor)


@router.post("/api/v1/farmer/orders/seen")
def seen_orders(rt: RuntimeDep, actor: FarmerActor, body: SeenOrders) -> SeenOrders:
    """Note that pick orders stood on the farmer's screen. Seeing them again changes nothing."""
    now = rt.clock.now()
    with rt.db.write() as session:
        return SeenOrders(
            pick_orders=[picking.seen(session, name, actor=actor, now=now).id for name in sorted(set(body.pick_orders))]
        )


@router.post(
    "/api/v1/farmer/picks", status_code=201, responses={200: {"model": PickReceipt, "description": "Recorded before"}}
)
def confirm_pick(rt: RuntimeDep, actor: FarmerActor, body: PickConfirmation, response: Response) -> PickReceipt:
    """Record picked crates. The same `command_id` again changes nothing and answers the first outcome with 200."""
    with rt.db.write() as session:
        outcome = picking.confirm(
            session,
            body,
            actor=actor,
            numbering=rt.numbering,
            now=rt.clock.now(),
            zone=rt.settings.time_zone,
        )
    if outcome.is_duplicate:
        response.status_code = 200
    return PickReceipt(
        command_id=body.command_id,
        pick_order=outcome.pick_order,
        lot=outcome.lot,
        lot_number=outcome.lot_number,
        mass_g=outcome.mass_g,
        surplus_g=outcome.surplus_g,
        order_state=outcome.order_state,
        is_duplicate=outcome.is_duplicate,
    )


@router.post("/api/v1/farmer/picks/photographs", status_code=201, openapi_extra=body_schema("image/jpeg"))
def keep_pick_photograph(
    rt: RuntimeDep, actor: FarmerActor, body: Photograph, of: Annotated[PhotographOf, Query()]
) -> PhotographReceipt:
    """Keep the photograph that a recorded pick named by its hash. Sending it twice is safe."""
    with rt.db.read() as session:
        name = keep_photograph(session, rt.files, body, claimed=of.sha256, pick=str(of.pick), actor=actor)
    return PhotographReceipt(command_id=of.command_id, file=name)


@router.get("/api/v1/farmer/stream", response_class=StreamingResponse)
def farmer_stream(request: Request, rt: RuntimeDep, actor: FarmerActor) -> StreamingResponse:
    """Follow the farmer's orders: server-sent events `orders`, each with the whole of what `/orders` answers."""

    def look() -> tuple[str, str]:
        view = _view(rt, actor)
        return view.model_dump_json(exclude={"as_of"}), view.model_dump_json()

    return live.stream(request, "orders", look)


def _view(rt: Runtime, actor: Actor) -> FarmView:
    with rt.db.read() as session:
        return farm_view(session, actor.party, now=rt.clock.now(), zone=rt.settings.time_zone)


@cache
def _service_worker(shell: tuple[str, ...]) -> bytes:
    code = (WEB / "farmer" / "static" / "sw.js").read_text(encoding="utf-8")
    paths = ["/farmer/offline", *(path.partition("?")[0] for path in shell)]
    version = sha256((code + "\n".join(shell)).encode()).hexdigest()[:12]
    head = f"const VERSION = {json.dumps(version)};\nconst SHELL = {json.dumps(paths)};\n"
    return (head + code).encode()
