"""Lot reports: what a batch came to, as a page, as JSON, as a plot and on paper."""

from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel

from api.deps import RuntimeDep, allow, page_actor
from api.i18n import HTML_LANG
from api.lot_sheet import lot_pdf, lot_png
from api.packhouse import Moment
from api.pages import language, render, speech_of
from api.runtime import Runtime
from grading.agreement import Interval
from grading.lot_report import LotReport, Lowered, Spread, Tolerance, lot_report
from ledger.kernel.actors import Actor, Role

router = APIRouter(tags=["station"])

_ROLES: Final = (Role.STATION, Role.MANAGER, Role.AUDITOR)
_ALLOWED: Final = (Depends(allow(*_ROLES)),)
PageActor = Annotated[Actor, Depends(page_actor(*_ROLES))]
Ref = Annotated[str, Path(min_length=1, max_length=40, description="a batch, such as GR261122-0001")]
Language = Annotated[Literal["zh", "en"] | None, Query(description="the sheet's language; else cookie and browser say")]
_PNG: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"image/png": {}}}}
_PDF: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"application/pdf": {}}}}


class Words(BaseModel):
    """A text in both languages."""

    zh: str
    en: str


class BarJson(BaseModel):
    """One class, size or tier."""

    name: str
    title: Words
    fruits: int
    mass_g: int
    share: Interval


class TierJson(BaseModel):
    """One tier, and the sum of its fruit's prices."""

    bar: BarJson
    value_fen: int


class LotReportJson(BaseModel):
    """One batch as it stands."""

    batch: str
    lot: str
    standard: str
    edition: str
    title: Words
    price_book: str
    is_closed: bool
    opened_at: Moment
    closed_at: Moment | None
    fruits: int
    doubtful: int
    judged: int
    mass_g: int
    received_g: int
    value_fen: int
    classes: list[BarJson]
    sizes: list[BarJson]
    tiers: list[TierJson]
    tolerances: list[Tolerance]
    spread: Spread
    near: Lowered


@router.get("/api/v1/station/batches/{ref}/report", dependencies=_ALLOWED)
def report_of(rt: RuntimeDep, ref: Ref) -> LotReportJson:
    """Return what a batch came to: classes, sizes, tolerances, and the mix of tiers with its uncertainty."""
    found = asdict(_find(rt, ref))
    for words in (found, *found["classes"], *found["sizes"], *(tier["bar"] for tier in found["tiers"])):
        words["title"] = {"zh": words["title"].zh, "en": words["title"].en}
    return LotReportJson.model_validate(found)


@router.get("/api/v1/station/batches/{ref}/report.png", response_class=Response, responses=_PNG, dependencies=_ALLOWED)
def report_plot(request: Request, rt: RuntimeDep, ref: Ref, lang: Language = None) -> Response:  # noqa: ARG001  # `speech_of` reads it
    """Return the report as a picture, in Chinese or English."""
    now, is_sample = rt.clock.now(), rt.settings.is_sample
    data = lot_png(_find(rt, ref), speech_of(request), now=now, is_sample=is_sample)
    return Response(data, media_type="image/png", headers=_sheet_headers(request))


@router.get("/api/v1/station/batches/{ref}/report.pdf", response_class=Response, responses=_PDF, dependencies=_ALLOWED)
def report_paper(request: Request, rt: RuntimeDep, ref: Ref, lang: Language = None) -> Response:  # noqa: ARG001  # as above
    """Return the report to print, in Chinese or English."""
    found = _find(rt, ref)
    data = lot_pdf(found, speech_of(request), now=rt.clock.now(), is_sample=rt.settings.is_sample)
    headers = {"content-disposition": f'inline; filename="lot-{found.batch}.pdf"'}
    return Response(data, media_type="application/pdf", headers=_sheet_headers(request) | headers)


@router.get("/station/batches/{ref}/report", include_in_schema=False)
def report_page(request: Request, rt: RuntimeDep, _actor: PageActor, ref: Ref) -> Response:
    """Show the report, in both languages and fit to print."""
    return render(request, "station/report.html", report=_find(rt, ref))


def _find(rt: Runtime, ref: str) -> LotReport:
    with rt.db.read() as session:
        return lot_report(session, rt.files, ref)


def _sheet_headers(request: Request) -> dict[str, str]:
    return {
        "cache-control": "no-store",
        "content-language": HTML_LANG[language(request)],
        "vary": "Accept-Language, Cookie",
    }
