"""The log for everyone: checkpoint, tiles (C2SP tlog-tiles), its key, and what it says of one thing."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel
from sqlmodel import Session, col, select

from api.deps import MaybeActor, RuntimeDep
from api.errors import NotHereError
from api.identifiers import canonical
from api.progress import progress
from api.proving import proof_for
from api.recalling import FlowJson, flow_json
from api.routers.consumer import public_evidence
from ledger import tiles
from ledger.bundle import prove_entry
from ledger.checkpoint import MAX_SIZE
from ledger.errors import VerificationError
from ledger.kernel.clock import format_time
from ledger.log import latest_checkpoint
from ledger.models import Entry, Tile
from ledger.trace import trace as trace_in_log
from ledger.witnessed import vouched_note

router = APIRouter(tags=["log"])

FOREVER: Final = "public, max-age=31536000, immutable"
_BINARY: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "The tile."}
}
_TEXT: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"text/plain": {}}, "description": "The text."}}


@router.get("/log/checkpoint", response_class=Response, responses=_TEXT)
def checkpoint(rt: RuntimeDep) -> Response:
    """Return the newest signed tree head (C2SP tlog-checkpoint), with the cosignatures there are of it."""
    with rt.db.read() as session:
        newest = latest_checkpoint(session)
        note = vouched_note(session, newest) if newest else None
    if note is None:
        raise NotHereError("nothing was published yet")
    return Response(note, media_type="text/plain; charset=utf-8", headers={"cache-control": "no-cache"})


@router.get("/log/key", response_class=Response, responses=_TEXT)
def key(rt: RuntimeDep) -> Response:
    """Return the public key that checkpoints are signed with (C2SP verifier key)."""
    return Response(rt.signer.key.text() + "\n", media_type="text/plain; charset=utf-8")


@router.get("/log/tile/{path:path}", response_class=Response, responses=_BINARY)
def tile(rt: RuntimeDep, path: Annotated[str, Path(max_length=80)]) -> Response:
    """Return a tile of hashes (`0/x001/234`) or a bundle of entries (`entries/067.p/8`).

    Only what a checkpoint covers is served, so a tile never changes.
    """
    try:
        wanted = tiles.parse_path(path)
    except VerificationError as error:
        raise NotHereError(str(error)) from error
    with rt.db.read() as session:
        data = _bundle(session, wanted) if wanted.level < 0 else _tile(session, wanted)
    return Response(data, media_type="application/octet-stream", headers={"cache-control": FOREVER})


@router.get("/log/proof/{index}", response_class=Response, responses=_TEXT)
def entry_proof(rt: RuntimeDep, index: Annotated[int, Path(ge=0, le=MAX_SIZE)]) -> Response:
    """Return the proof of one published entry, which it carries (C2SP tlog-proof)."""
    with rt.db.read() as session:
        data = prove_entry(session, index).encode()
    headers = {"content-disposition": f'attachment; filename="{index}.tlog-proof"', "cache-control": "no-cache"}
    return Response(data, media_type="text/plain; charset=utf-8", headers=headers)


Identifier = Annotated[
    str, Query(alias="id", min_length=1, max_length=2048, description="a GS1 Digital Link or event id")
]


class TraceStep(BaseModel):
    """One entry. `state` is the furthest of recorded, integrated, published, anchored.

    What was declared wrong stays, marked: `is_effective` says what counts. `corrected_by` and `corrects` are event ids.
    """

    index: int | None
    event_id: str
    sentence: str
    event_time: str
    state: str
    stance: str
    declared_wrong_by: str | None
    is_effective: bool
    corrected_by: list[str]
    corrects: list[str]
    event: dict[str, Any]


class Trace(BaseModel):
    """Everything the log tells of a thing, in the order it happened; how many grams came from where and went where."""

    id: str
    is_cut: bool
    steps: list[TraceStep]
    flow: FlowJson


@router.get("/api/v1/trace")
def trace(rt: RuntimeDep, identifier: Identifier) -> Trace:
    """Return the history of a pack, lot, plot, crate, load or document, events in full, with its quantities."""
    with rt.db.read() as session:
        traced = trace_in_log(session, canonical(identifier))
        done = progress(session, origin=rt.settings.log_origin)
    found = traced.history
    return Trace(
        id=found.subject,
        is_cut=found.is_cut,
        steps=[
            TraceStep(
                index=step.index,
                event_id=step.event_id,
                sentence=step.sentence,
                event_time=format_time(step.event_time),
                state=done.state_of(step.index),
                stance=step.stance,
                declared_wrong_by=step.declared_wrong_by,
                is_effective=step.is_effective,
                corrected_by=list(step.corrected_by),
                corrects=list(step.corrects),
                event=dict(step.event),
            )
            for step in found.steps
        ],
        flow=flow_json(traced.flow),
    )


@router.get(
    "/api/v1/proof",
    response_class=Response,
    responses={200: {"content": {"application/json": {}}, "description": "The proof file."}},
)
def proof(
    rt: RuntimeDep,
    who: MaybeActor,
    identifier: Identifier,
    reveal: Annotated[
        list[Annotated[str, Query(max_length=200)]] | None,
        Query(max_length=50, description="private fields to open, by name; else those that are public"),
    ] = None,
    evidence: Annotated[bool, Query(description="whether to list the files that can be handed out")] = True,  # noqa: FBT002
) -> Response:
    """Return a proof file that `guoyuan verify` or anyone's verifier checks offline (ledger/docs/format.md).

    A private field that is not declared public is opened for managers and auditors, and for whoever
    recorded the event or holds the plot it is about.
    """
    subject = canonical(identifier)
    with rt.db.read() as session:
        names = public_evidence(rt, session, subject) if evidence else ()
        bundle = proof_for(rt, session, subject, actor=who, reveal=reveal, evidence=names)
    name = "".join(c if c.isalnum() else "-" for c in bundle.subject.partition("//")[2])[:80]
    is_for_all = who is None or reveal is None
    headers = {
        "content-disposition": f'attachment; filename="{name}.proof.json"',
        "cache-control": "no-cache" if is_for_all else "no-store",
    }
    return Response(bundle.encode(), media_type="application/json", headers=headers)


def _tile(session: Session, wanted: tiles.TileKey) -> bytes:
    _refuse_beyond(session, wanted)
    row = session.get(Tile, (wanted.level, wanted.number))
    if row is None:
        raise NotHereError(f"no tile {wanted.path()}")
    return row.data[: wanted.width * tiles.HASH_BYTES]


def _bundle(session: Session, wanted: tiles.TileKey) -> bytes:
    _refuse_beyond(session, wanted)
    first = wanted.number * tiles.WIDTH
    rows = session.exec(
        select(Entry.data)
        .where(col(Entry.leaf_index) >= first, col(Entry.leaf_index) < first + wanted.width)
        .order_by(col(Entry.leaf_index))
    )
    return tiles.bundle(list(rows))


def _refuse_beyond(session: Session, wanted: tiles.TileKey) -> None:
    newest = latest_checkpoint(session)
    nodes = (newest.size if newest else 0) >> (tiles.HEIGHT * max(wanted.level, 0))
    if wanted.number * tiles.WIDTH + wanted.width > nodes:
        raise NotHereError(f"the newest checkpoint does not cover {wanted.path()}")
