"""Is it running, how far has the log come, and where is the chain."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from sqlalchemy import text

from api.anchoring import Anchoring, anchoring
from api.deps import RuntimeDep, body_of, body_schema
from api.observe import (
    ANCHOR_FEE,
    ANCHOR_GAS,
    ANCHOR_LATE,
    ANCHOR_TROUBLE,
    ANCHORED_ENTRIES,
    ANCHORS,
    FOLLOWER_FAILED,
    FOLLOWER_LAG,
    LOG_ENTRIES,
    REGISTRY,
    WITNESS_ALARM,
    WITNESS_BEHIND,
    WITNESS_FAILED,
)
from api.progress import progress
from api.runtime import Runtime
from contracts.errors import ChainError
from contracts.heads import log_id
from contracts.outbox import anchors, gas_per_event
from contracts.transactions import GWEI
from ledger.follow import lag
from ledger.kernel.clock import format_time
from ledger.lookup import Lookup, is_private, name_of
from ledger.witnessed import states

router = APIRouter(tags=["system"])


class Head(BaseModel):
    """A tree head; the root is hex."""

    size: int
    root: str


class AnchorState(BaseModel):
    """A head on its way into the chain."""

    size: int
    root: str
    state: str
    chain_id: int
    contract: str
    transaction: str | None
    block: int | None
    gas_used: int | None
    signed_at: str
    final_at: str | None


class FollowerState(BaseModel):
    """How far a follower of the log has come; where one stands still, at which entry and why."""

    name: str
    position: int
    behind: int
    error: str | None
    failed_index: int | None


class WitnessStatus(BaseModel):
    """How far a witness has followed the log. `alarm` says what it holds against us: look at once."""

    name: str
    key: str
    size: int
    behind: int
    cosigned_at: str | None
    error: str | None
    alarm: str | None


class Status(BaseModel):
    """How far the log has come. An entry is recorded, integrated, published, anchored."""

    recorded: int
    integrated: int
    published: int
    anchored: int
    head: Head | None
    anchors: list[AnchorState]
    followers: list[FollowerState]
    witnesses: list[WitnessStatus]
    anchoring: Anchoring
    gas_per_event: float
    time: str


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


@router.get("/api/v1/status")
def status(rt: RuntimeDep) -> Status:
    """Return how far the log has come, its anchors newest first, and its followers."""
    origin = rt.settings.log_origin
    with rt.db.read() as session:
        done = progress(session, origin=origin)
        return Status(
            recorded=done.recorded,
            integrated=done.integrated,
            published=done.published,
            anchored=done.anchored,
            head=Head(size=done.published, root=done.root.hex()) if done.root else None,
            anchors=[
                AnchorState(
                    size=anchor.size,
                    root=anchor.root.hex(),
                    state=anchor.state,
                    chain_id=anchor.chain_id,
                    contract=anchor.contract,
                    transaction=f"0x{anchor.tx_hash.hex()}" if anchor.tx_hash else None,
                    block=anchor.block_number,
                    gas_used=anchor.gas_used,
                    signed_at=format_time(anchor.signed_at),
                    final_at=format_time(anchor.final_at) if anchor.final_at else None,
                )
                for anchor in anchors(session, origin=origin)
            ],
            followers=[
                FollowerState(
                    name=f.name, position=f.position, behind=f.behind, error=f.error, failed_index=f.failed_index
                )
                for f in lag(session)
            ],
            witnesses=[
                WitnessStatus(
                    name=key.name,
                    key=key.text(),
                    size=state.size,
                    behind=max(done.published - state.size, 0),
                    cosigned_at=format_time(state.cosigned_at) if state.cosigned_at else None,
                    error=state.error,
                    alarm=state.alarm,
                )
                for key, state in states(session, [watcher.key for watcher in rt.witnesses])
            ],
            anchoring=anchoring(session, rt.settings, now=rt.clock.now()),
            gas_per_event=round(gas_per_event(session, origin=origin) or 0.0, 2),
            time=format_time(rt.clock.now()),
        )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(rt: RuntimeDep) -> Response:
    """Return the numbers for Prometheus."""
    origin = rt.settings.log_origin
    with rt.db.read() as session:
        done = progress(session, origin=origin)
        for state in ("recorded", "integrated", "published", "anchored"):
            LOG_ENTRIES.labels(state).set(getattr(done, state))
        for key, seen in states(session, [watcher.key for watcher in rt.witnesses]):
            WITNESS_BEHIND.labels(key.name).set(max(done.published - seen.size, 0))
            WITNESS_FAILED.labels(key.name).set(seen.error is not None)
            WITNESS_ALARM.labels(key.name).set(seen.alarm is not None)
        for follower in lag(session):
            FOLLOWER_LAG.labels(follower.name).set(follower.behind)
            FOLLOWER_FAILED.labels(follower.name).set(follower.error is not None)
        stands = anchoring(session, rt.settings, now=rt.clock.now())
    for name, count in stands.by_state.items():
        ANCHORS.labels(name).set(count)
    for name, size in (("sent", stands.sent_size), ("included", stands.included_size), ("final", stands.final_size)):
        ANCHORED_ENTRIES.labels(name).set(size)
    ANCHOR_LATE.set(stands.is_late)
    ANCHOR_TROUBLE.clear()
    if stands.trouble is not None:
        ANCHOR_TROUBLE.labels(stands.trouble.code).set(stands.trouble.times)
    ANCHOR_GAS.set(stands.cost.gas)
    ANCHOR_FEE.set(stands.cost.fee_wei / GWEI)
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


class WellKnownChain(BaseModel):
    """Where the log's heads are anchored."""

    chain_id: int
    name: str
    is_private: bool
    """It is in one party's hands: it shows order, and binds nobody else."""
    address: str
    log_id: str
    rpc_url: str
    explorer_url: str
    """The contract's page at somebody else's; empty where there is none."""


class WellKnown(BaseModel):
    """What a verifier needs to know of this installation. `chain` is null until the first anchor."""

    origin: str
    log_key: str
    witnesses: list[str]
    """Keys of those who are asked to cosign. Whoever verifies chooses for himself whom he believes."""
    chain: WellKnownChain | None


@router.get("/.well-known/guoyuan.json")
def well_known(rt: RuntimeDep) -> WellKnown:
    """Return the log's key and where its heads are anchored."""
    return WellKnown(
        origin=rt.settings.log_origin,
        log_key=rt.signer.key.text(),
        witnesses=[watcher.key.text() for watcher in rt.witnesses],
        chain=_chain(rt),
    )


def _chain(rt: Runtime) -> WellKnownChain | None:
    try:
        chain_id, address = rt.chain.chain_id, rt.chain.address
    except ChainError:  # not deployed yet, or not to be reached: the log stands without it
        return None
    return WellKnownChain(
        chain_id=chain_id,
        name=name_of(chain_id),
        is_private=is_private(chain_id),
        address=address,
        log_id="0x" + log_id(rt.settings.log_origin).hex(),
        rpc_url=rt.settings.chain_door,
        explorer_url=Lookup.of(chain_id, address, explorer=rt.settings.explorer_url).contract_url,
    )


@router.post("/rpc", openapi_extra=body_schema("application/json"))
def rpc(rt: RuntimeDep, body: Annotated[bytes, Depends(body_of("application/json"))]) -> Any:
    """Answer JSON-RPC 2.0 reads of our chain, so that a browser can ask it without another server.

    Bad calls are answered as JSON-RPC errors, as its clients expect.
    """
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "not JSON"}}
    return rt.chain.rpc(payload)
