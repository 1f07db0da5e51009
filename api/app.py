"""The application: every router that exists, the static files of the sites, and what stands around them."""

import importlib
import pkgutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware

from api import pages, problems, routers
from api.limits import BodyLimits
from api.observe import Observe
from api.runtime import Runtime
from ledger.kernel.settings import Settings

_DESCRIPTION = """\
People sign in on `/sign-in` and carry a cookie; machines open a session with their printed code
(`POST /api/v1/sessions`) and send `Authorization: Bearer <token>`. Times are RFC 3339 UTC with
milliseconds, masses end in `_g` (grams), money in `_fen`. Refusals are `application/problem+json`
(RFC 9457) with a stable `code` and their facts as members of their own.
"""


def create_app(settings: Settings | None = None, *, runtime: Runtime | None = None) -> FastAPI:
    """Return the application over an opened runtime, or over one it opens now and closes when it stops."""
    owned = runtime is None
    rt = runtime or Runtime.open(settings or Settings.load())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        if owned:
            rt.close()

    app = FastAPI(
        title="Guoyuan",
        summary="From the orchard to the eater, every step recorded and checkable",
        description=_DESCRIPTION,
        version=version("guoyuan"),
        lifespan=lifespan,
        # The interactive pages would load scripts from elsewhere; the document itself is served.
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        responses={"default": problems.DOCUMENTED},
    )
    app.state.runtime = rt
    problems.install(app)
    for name in sorted(module.name for module in pkgutil.iter_modules(routers.__path__)):
        app.include_router(importlib.import_module(f"api.routers.{name}").router)
    pages.mount_static(app)
    problems.describe(app)
    app.add_middleware(BodyLimits)
    app.add_middleware(GZipMiddleware, minimum_size=600)
    app.add_middleware(Observe)
    return app
