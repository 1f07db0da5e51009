"""Commands of the log's keeper and its auditor: fsck, rebuild, followers, forget."""

import dataclasses
import os
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from api.terminal import OK, UNREACHABLE, WRONG, AsJson, bar, installation, print_json, say, table

if TYPE_CHECKING:
    from api.runtime import Runtime
    from ledger.findings import OutsideHead, Problem, Report
    from ledger.fsck import Kept

_STATE_FORMAT: Final = "guoyuan-fsck@1"
_STATE_LIVES_S: Final = 24 * 3600
"""An interrupted run older than this is begun anew."""


# --- fsck ------------------------------------------------------------------------------------------


def fsck(  # noqa: PLR0917  # options, not positions
    ask_chain: Annotated[
        bool, typer.Option("--chain/--no-chain", help="Compare with the heads the chain holds.")
    ] = True,
    with_files: Annotated[bool, typer.Option("--files", help="Read every file that entries name, too.")] = False,
    proofs: Annotated[
        list[Path] | None,
        typer.Option("--proof", metavar="PROOF", help="A proof file saved earlier: the log must still fit its heads."),
    ] = None,
    key: Annotated[str, typer.Option(metavar="VKEY", help="The log's key, from somewhere you trust.")] = "",
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where an interrupted run is kept; in the home folder unless given."),
    ] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="Ignore an interrupted run.")] = False,
    as_json: AsJson = False,
) -> int:
    """Recompute the whole log from its entries and compare with what was signed, anchored and handed out.

    Works on a running system. Names the first entry that is wrong. An interrupted run goes on where it
    was: for the entries it had read, that takes the word of its state file (see ledger/docs/threats.md).
    """
    from contracts.errors import ChainError
    from ledger.checkpoint import LogKey
    from ledger.findings import OutsideHead
    from ledger.fsck import check

    unasked: str | None = None
    with installation(reads_chain_only=True) as rt:
        verifier = LogKey.parse(key) if key else rt.signer.key
        heads: list[OutsideHead] = []
        found: list[Problem] = []
        for path in proofs or []:
            _add_proof(path, verifier.text(), heads, found)
        if ask_chain:
            try:
                _add_chain(rt, heads, found)
            except ChainError as error:
                unasked = str(error)
        kept_at = _State(state or rt.settings.home / "fsck.state")
        kept = None if from_start else kept_at.read()
        try:
            with bar("entries checked", is_shown=not as_json) as step, rt.db.read() as session:
                report = check(
                    session,
                    verifier_key=verifier,
                    outside_heads=heads,
                    progress=step,
                    files=rt.files if with_files else None,
                    kept=kept,
                    keep=kept_at.write,
                )
        except KeyboardInterrupt:
            typer.echo("guoyuan: interrupted; the same command goes on from here", err=True)
            raise
        kept_at.forget()
    for problem in found:
        report.note(problem)
    if as_json:
        print_json(_report_json(report, unasked))
    else:
        _say_report(report, unasked)
    if not report.is_sound:
        return WRONG
    return UNREACHABLE if unasked else OK


class _State:
    """An interrupted run, in a file that nobody but its owner may write."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> "Kept | None":
        """Return what an interrupted run kept, or None where there is none to be believed."""
        from ledger.fsck import Kept

        try:
            about = self._path.stat()
            document = msgspec.json.decode(self._path.read_bytes())
        except (OSError, msgspec.DecodeError):
            return None
        is_ours = about.st_uid == os.getuid() and not stat.S_IMODE(about.st_mode) & 0o022
        if not is_ours or time.time() - about.st_mtime > _STATE_LIVES_S:
            return None
        if not isinstance(document, dict) or document.get("format") != _STATE_FORMAT:
            return None
        try:
            return msgspec.convert(document.get("run"), Kept, strict=False)
        except msgspec.ValidationError:
            return None

    def write(self, kept: "Kept") -> None:
        """Keep a run, whole or not at all."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._path.parent, delete=False) as part:  # made with mode 0600
            part.write(msgspec.json.encode({"format": _STATE_FORMAT, "run": kept}))
            part.flush()
            os.fsync(part.fileno())
        Path(part.name).replace(self._path)

    def forget(self) -> None:
        """The run has come to its end."""
        self._path.unlink(missing_ok=True)


def _add_proof(path: Path, our_key: str, heads: "list[OutsideHead]", found: "list[Problem]") -> None:
    """Add the heads that a saved proof file holds, or what is wrong with its key. Raises BadParameter for no proof."""
    import base64

    from ledger.errors import VerificationError
    from ledger.findings import Kind, OutsideHead, Problem
    from ledger.proof import MAX_FILE_BYTES, verify

    with path.open("rb") as opened:
        data = opened.read(MAX_FILE_BYTES + 1)
    try:
        verified = verify(data)
    except VerificationError as error:
        raise typer.BadParameter(f"{path} does not verify, so it is evidence of nothing: {error}") from error
    if verified.key.text() != our_key:
        found.append(Problem(Kind.PROOF, f"{path.name} was signed with the log key {verified.key.text()}"))
    heads.append(OutsideHead(verified.head.size, verified.head.root, f"the checkpoint in {path.name}", Kind.PROOF))
    if verified.anchor is not None:
        root = base64.b64decode(verified.anchor.root)
        heads.append(OutsideHead(verified.anchor.size, root, f"the anchor in {path.name}", Kind.PROOF))


def _add_chain(rt: "Runtime", heads: "list[OutsideHead]", found: "list[Problem]") -> None:
    """Add every head of our log that the chain holds or one it left held, and our anchors that are there no longer.

    Nothing before our first anchor. Whether there was one is not for our own tables alone to say: a
    contract that is there is asked. Raises ChainError.
    """
    import base64

    from contracts.heads import log_id
    from contracts.models import AnchorState
    from contracts.moving import left
    from contracts.outbox import anchors
    from ledger.findings import Kind, OutsideHead, Problem
    from ledger.kernel.files import MissingFileError

    origin = rt.settings.log_origin
    with rt.db.read() as session:
        settled = [a for a in anchors(session, origin=origin, limit=100_000) if a.state is AnchorState.FINAL]
    is_there = bool(rt.settings.chain_url) or (rt.settings.home / "chain.db").exists()
    if not settled and not (is_there and rt.chain.is_deployed):
        return
    name, chain = log_id(origin), rt.chain
    held = {
        (head.size, head.root): f"chain {chain.chain_id}, transaction 0x{head.tx_hash.hex()}"
        for head in chain.history(name)
    }
    newest = chain.head(name)
    if newest.size:
        held.setdefault((newest.size, newest.root), f"chain {chain.chain_id}, the contract's newest head")
    heads.extend(OutsideHead(size, root, where) for (size, root), where in held.items())
    try:
        for history in left(rt.files, rt.settings):
            where = f"chain {history.chain_id}, which this log left"
            heads.extend(OutsideHead(one.size, base64.b64decode(one.root), where) for one in history.heads)
    except MissingFileError as error:
        found.append(Problem(Kind.CHAIN, f"the heads of a chain that this log left are gone: {error}"))
    for anchor in settled:
        is_here = (anchor.chain_id, anchor.contract) == (chain.chain_id, chain.address)
        if is_here and (anchor.size, anchor.root) not in held:
            what = f"the head of size {anchor.size} was final in this contract, which does not hold it any more"
            found.append(Problem(Kind.CHAIN, what))


def _report_json(report: "Report", unasked: str | None) -> dict[str, Any]:
    first = report.first_wrong
    return {
        "sound": report.is_sound,
        "entries": report.entries,
        "resumed_from": report.resumed_from,
        "pending": report.pending,
        "checkpoints": report.checkpoints,
        "cosignatures": report.cosignatures,
        "chain_heads": report.chain_heads,
        "proof_heads": report.proof_heads,
        "disclosures": report.disclosures,
        "files": report.files,
        "files_gone": report.files_gone,
        "chain_not_asked": unasked,
        "first_wrong": None if first is None else _problem_json(first),
        "problems": [_problem_json(problem) for problem in report.problems],
        "is_cut": report.is_cut,
        "claims": [{"kind": c.kind, "size": c.size, "verdict": c.verdict} for c in report.claims],
    }


def _problem_json(problem: "Problem") -> dict[str, Any]:
    return {"kind": problem.kind, "index": problem.index, "event_id": problem.event_id, "what": problem.what}


def _say_report(report: "Report", unasked: str | None) -> None:
    counted = f"{report.entries} entries, {report.checkpoints} checkpoints, {report.chain_heads} heads in the chain"
    if report.proof_heads:
        counted += f", {report.proof_heads} in proof files"
    say(f"{'sound' if report.is_sound else 'WRONG'}: {counted}")
    if report.resumed_from:
        say(f"the first {report.resumed_from} entries were read by a run that was interrupted; --from-start reads all")
    if report.pending:
        say(f"{report.pending} entries are recorded and not integrated yet; they were not checked")
    if report.files_gone:
        say(f"{report.files_gone} of {report.files} files that entries name are not kept here")
    for problem in report.problems:
        named = " ".join(
            part
            for part in (
                f"entry {problem.index}" if problem.index is not None else "",
                f"({problem.event_id})" if problem.event_id else "",
            )
            if part
        )
        say(f"  {problem.kind}: {named + ': ' if named else ''}{problem.what}")
    if report.is_cut:
        say("  and more")
    for claim in report.claims:
        say(f"  {claim.kind} of {claim.size} entries: {claim.verdict.replace('_', ' ')}")
    if unasked:
        say(f"the chain was not asked: {unasked}")


def rebuild(as_json: AsJson = False) -> int:
    """Make what is derived from the entries again: the index of identifiers and the tree.

    With the product stopped. Nothing is kept unless the entries give the root that was last signed.
    """
    from ledger.log import tree_size
    from ledger.rebuild import rebuild as make_again

    with installation(reads_chain_only=True) as rt, bar("entries", is_shown=not as_json) as step:
        with rt.db.write() as session:
            size = tree_size(session)
            done = make_again(session, progress=lambda count: step(count, size))
    if as_json:
        print_json({"entries": done})
    else:
        say(f"index and tree are made again from {done} entries")
    return OK


# --- followers -------------------------------------------------------------------------------------


def followers(
    restart: Annotated[
        str, typer.Option(metavar="NAME", help="Send this follower back to the first entry, to build its tables again.")
    ] = "",
    as_json: AsJson = False,
) -> int:
    """Show how far those who react to the log have come, and what stopped them."""
    from api.tasks import FOLLOWERS
    from ledger import follow

    names = sorted(follower.name for follower in FOLLOWERS)
    if restart and restart not in names:
        raise typer.BadParameter(f"no follower is called {restart!r}; there are: {', '.join(names)}")
    with installation(reads_chain_only=True) as rt:
        if restart:
            with rt.db.write() as session:
                follow.restart(session, restart)
        with rt.db.read() as session:
            states = follow.lag(session, names=names)
    if as_json:
        print_json({"followers": [dataclasses.asdict(state) for state in states]})
    else:
        rows = table("follower", "next entry", "behind", "stopped by")
        for state in states:
            stop = f"entry {state.failed_index}: {state.error}" if state.error else ""
            rows.add_row(state.name, str(state.position), str(state.behind), stop)
        say(rows)
    return WRONG if any(state.error for state in states) else OK


# --- private text -----------------------------------------------------------------------------------


def forget(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="An event's id, or what events name: a lot, a plot.")],
    fields: Annotated[
        list[str] | None, typer.Option("--field", metavar="NAME", help="Only these private fields; repeatable.")
    ] = None,
    is_sure: Annotated[bool, typer.Option("--yes", help="Erase without asking.")] = False,
    as_json: AsJson = False,
) -> int:
    """Erase the private text behind the digests of an event, or of every event that names a thing.

    Cannot be taken back. The log keeps its digests, which then say nothing; every proof stays valid.
    """
    from sqlmodel import select

    from api.identifiers import canonical
    from ledger.disclosure import erase, kept_fields
    from ledger.errors import UnknownIdentifierError
    from ledger.models import Entry
    from ledger.trace import entries_naming

    subject = canonical(identifier)
    with installation() as rt:
        with rt.db.write() as session:
            events = {entry.event_id for entry in entries_naming(session, subject)}
            events |= set(session.exec(select(Entry.event_id).where(Entry.event_id == subject)))
            if not events:
                raise UnknownIdentifierError(subject)
            kept = kept_fields(session, events, names=fields or ())
            told = sorted({(field.event_id, field.name) for field in kept})
            if kept and not is_sure:
                said = ", ".join(sorted({name for _, name in told}))
                typer.confirm(f"erase {len(kept)} private fields ({said}) for good?", abort=True, err=True)
            erase(session, events, names=fields or ())
        rt.db.scrub("ledger_disclosure")
    if as_json:
        print_json({"erased": [{"event_id": event_id, "field": name} for event_id, name in told]})
    else:
        say(f"{len(told)} private fields erased; the log and every proof stay")
    return OK


# --- registering ------------------------------------------------------------------------------------


def register(command: Callable[..., Callable[..., Any]], app: typer.Typer) -> None:
    """Add these commands to the command line."""
    command(app)(fsck)
    command(app)(rebuild)
    command(app)(followers)
    command(app)(forget)
