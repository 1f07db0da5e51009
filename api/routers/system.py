"""Is it running, how far has the log come, and where is the chain."""

from fastapi import APIRouter
from sqlalchemy import text

from api.deps import RuntimeDep

router = APIRouter(tags=["system"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Answer that the process is alive; asks nothing of anything else."""
    return {"status": "alive"}


@router.get("/readyz")
def readyz(rt: RuntimeDep) -> dict[str, str]:
    """Answer that the database answers."""
    with rt.db.read() as session:
        session.execute(text("SELECT 1"))
    return {"status": "ready"}
