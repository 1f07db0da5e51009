"""Recall: from anything the log names to everything it touched, as a page, as JSON and as a spreadsheet."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.deps import RuntimeDep, allow, page_actor
from api.identifiers import canonical
from api.pages import render
from api.recalling import RecallJson, recall_csv, recall_json
from api.runtime import Runtime
from ledger.errors import UnknownIdentifierError
from ledger.kernel.actors import Actor, Role
from ledger.kernel.errors import IdentifierError
from ledger.recall import Recall, recall

router = APIRouter(tags=["recall"])

_ROLES: Final = (Role.MANAGER, Role.AUDITOR, Role.STATION)
RecallActor = Annotated[Actor, Depends(allow(*_ROLES))]
RecallPageActor = Annotated[Actor, Depends(page_actor(*_ROLES))]
Identifier = Annotated[
    str, Query(alias="id", min_length=1, max_length=2048, description="any spelling of a GS1 key, or an event id")
]
PAGE: Final = 100
"""So many packs stand on one page."""
_CSV: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/csv": {}}, "description": "One row for each thing, load, receiver and open end."}
}

T = TypeVar("T")


@router.get("/api/v1/recall")
def recall_of(rt: RuntimeDep, _actor: RecallActor, identifier: Identifier) -> RecallJson:
    """Return everything that a plot, device, lot, pack, crate, load, document, place, party or event touched."""
    return recall_json(_find(rt, identifier))


@router.get("/api/v1/recall.csv", response_class=StreamingResponse, responses=_CSV)
def recall_sheet(rt: RuntimeDep, _actor: RecallActor, identifier: Identifier) -> Response:
    """Return the same as a spreadsheet: UTF-8 with a byte order mark, no cell a formula."""
    found = _find(rt, identifier)
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in found.subject.partition("//")[2] or "recall")
    headers = {"content-disposition": f'attachment; filename="recall-{name[:80]}.csv"', "cache-control": "no-store"}
    return StreamingResponse(recall_csv(found), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/recall", include_in_schema=False)
def recall_page(
    request: Request,
    rt: RuntimeDep,
    actor: RecallPageActor,
    identifier: Annotated[str, Query(alias="id", max_length=2048)] = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    """Show the recall of an identifier, or where to ask for one."""
    found: Recall | None = None
    refused = ""
    if identifier.strip():
        try:
            found = _find(rt, identifier)
        except UnknownIdentifierError:
            refused = "unknown"
        except IdentifierError:
            refused = "wrong"
    packs = [thing for thing in found.reach.things if thing.kind == "pack"] if found else []
    pages = max(1, -(-len(packs) // PAGE))
    shown = min(page, pages)
    return render(
        request,
        "recall/recall.html",
        status=404 if refused else 200,
        home="/station" if actor.role is Role.STATION else "/",
        asked=identifier.strip(),
        refused=refused,
        found=found,
        packs=_part(packs, shown),
        pack_count=len(packs),
        on_way=sum(thing.state in {"shipped", "loaded"} for thing in packs),
        delivered=sum(thing.state == "delivered" for thing in packs),
        goods=[thing for thing in found.reach.things if thing.kind != "pack"] if found else [],
        page=shown,
        pages=pages,
        query=urlencode({"id": identifier.strip()}),
    )


def _find(rt: Runtime, identifier: str) -> Recall:
    with rt.db.read() as session:
        return recall(session, canonical(identifier))


def _part(items: Sequence[T], page: int) -> Sequence[T]:
    return items[(page - 1) * PAGE : page * PAGE]
