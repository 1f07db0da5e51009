"""Lot reports: what a batch came to, as a page, as JSON, as a plot and on paper."""

from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel

from api.deps import RuntimeDep, allow, page_actor
from api.lot_pdf import lot_pdf
from api.pages import render
from api.runtime import Runtime
from grading.lot_report import LotReport, lot_report
from grading.plots import lot_png
from ledger.kernel.actors import Actor, Role

router = APIRouter(tags=["station"])

_ROLES: Final = (Role.STATION, Role.MANAGER, Role.AUDITOR)
_ALLOWED: Final = (Depends(allow(*_ROLES)),)
PageActor = Annotated[Actor, Depends(page_actor(*_ROLES))]
Ref = Annotated[str, Path(min_length=1, max_length=40, description="a batch, such as GR261122-0001")]
_PNG: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"image/png": {}}}}
_PDF: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"application/pdf": {}}}}


class Words(BaseModel):
    """A text in both languages."""

    zh: str
    en: str


class Share(BaseModel):
    """A share of all fruit, and the interval that holds it 95 times in a hundred."""

    value: float
    low: float
    high: float


class BarJson(BaseModel):
    """One class, size or tier."""

    name: str
    title: Words
    fruits: int
    mass_g: int
    share: Share


class TierJson(BaseModel):
    """One tier, and the sum of its fruit's prices."""

    bar: BarJson
    value_fen: int


class ToleranceJson(BaseModel):
    """Whether a tier's fruit keep the lot tolerance of the class it takes."""

    tier: str
    quality: str
    kind: str
    fruits: int
    missed: int
    missed_g: int
    number_permille: int
    mass_permille: int
    allowed_permille: int
    by: str
    is_met: bool


class LotReportJson(BaseModel):
    """One batch as it stands."""

    batch: str
    lot: str
    standard: str
    edition: str
    title: Words
    price_book: str
    is_closed: bool
    fruits: int
    doubtful: int
    judged: int
    mass_g: int
    received_g: int
    value_fen: int
    classes: list[BarJson]
    sizes: list[BarJson]
    tiers: list[TierJson]
    tolerances: list[ToleranceJson]


@router.get("/api/v1/station/batches/{ref}/report", dependencies=_ALLOWED)
def report_of(rt: RuntimeDep, ref: Ref) -> LotReportJson:
    """Return what a batch came to: classes, sizes, tolerances, and the mix of tiers with its uncertainty."""
    found = asdict(_find(rt, ref))
    for words in (found, *found["classes"], *found["sizes"], *(tier["bar"] for tier in found["tiers"])):
        words["title"] = {"zh": words["title"].zh, "en": words["title"].en}
    return LotReportJson.model_validate(found)


@router.get("/api/v1/station/batches/{ref}/report.png", response_class=Response, responses=_PNG, dependencies=_ALLOWED)
def report_plot(rt: RuntimeDep, ref: Ref) -> Response:
    """Return the distributions as a picture."""
    return Response(lot_png(_find(rt, ref)), media_type="image/png", headers={"cache-control": "no-store"})


@router.get("/api/v1/station/batches/{ref}/report.pdf", response_class=Response, responses=_PDF, dependencies=_ALLOWED)
def report_paper(rt: RuntimeDep, ref: Ref) -> Response:
    """Return the report to print."""
    found = _find(rt, ref)
    headers = {"cache-control": "no-store", "content-disposition": f'inline; filename="lot-{found.batch}.pdf"'}
    return Response(lot_pdf(found), media_type="application/pdf", headers=headers)


@router.get("/station/batches/{ref}/report", include_in_schema=False)
def report_page(request: Request, rt: RuntimeDep, _actor: PageActor, ref: Ref) -> Response:
    """Show the report, in both languages and fit to print."""
    return render(request, "station/report.html", report=_find(rt, ref))


def _find(rt: Runtime, ref: str) -> LotReport:
    with rt.db.read() as session:
        return lot_report(session, rt.files, ref)
