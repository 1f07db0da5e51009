"""Commands about proofs: `verify`, which needs nothing of ours but the file, and `proof`, which writes one."""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from api.terminal import OK, AsJson, installation, print_json, say

if TYPE_CHECKING:
    from sqlmodel import Session

    from api.runtime import Runtime
    from ledger.checkpoint import LogKey
    from ledger.cosign import Cosignature
    from ledger.policy import Policy
    from ledger.proof import Verified
    from ledger.tlog_proof import Included

_SHOWN: Final[Mapping[str, str]] = {
    "entries_unchanged": "every entry stands in the log exactly as it was recorded",
    "signed_by_the_log": "the log's key signed the tree they stand in",
    "cosigned_by_witnesses": "witnesses saw the same tree, and that it only grew",
    "all_entries_concern_the_subject": "every entry concerns the thing in question",
    "anchored_on_the_chain": "the chain holds this head of the log",
    "private_fields_match": "the private fields shown are those the log committed to",
}
_UNSHOWN: Final[Mapping[str, str]] = {
    "log_key_taken_from_the_file": "whose key it is: the file names it itself; give --key or --policy to be sure",
    "no_witness_vouches": "that others are shown the same log: no witness was asked for; give --policy",
    "no_anchor_in_the_file": "an anchor: the file names none",
    "chain_not_asked": "whether the chain holds the anchor: give --rpc to ask it",
    "some_entries_newer_than_the_anchor": "an anchor over the newest entries",
    "entries_may_be_left_out": "that no entry was left out of the file",
    "events_are_their_recorders_word": "that what the entries say is true: that is their recorders' word",
}


def verify(  # noqa: PLR0917  # options, not positions
    file: Annotated[Path, typer.Argument(metavar="PROOF", help="A proof file, or a .tlog-proof.")],
    rpc: Annotated[str, typer.Option(metavar="URL", help="A JSON-RPC door of the chain it is anchored in.")] = "",
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Whose signatures you demand (C2SP tlog-policy).")
    ] = None,
    key: Annotated[
        str, typer.Option(metavar="VKEY", help="The log's key, name+id+key, from somewhere you trust.")
    ] = "",
    contract: Annotated[str, typer.Option(metavar="ADDRESS", help="The contract it must be anchored in.")] = "",
    chain_id: Annotated[int, typer.Option(help="The chain it must be anchored in.")] = 0,
    seen: Annotated[
        list[Path] | None,
        typer.Option(metavar="PROOF", help="A proof file saved earlier: both must be able to be true. Repeatable."),
    ] = None,
    entry: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The entry a .tlog-proof is about, if it does not carry it.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check a proof file. Needs nothing but the file; with --rpc the chain is asked too."""
    from ledger.checkpoint import LogKey
    from ledger.policy import MAX_FILE_BYTES as MAX_POLICY_BYTES
    from ledger.policy import Policy
    from ledger.proof import MAX_FILE_BYTES
    from ledger.tlog_proof import is_tlog_proof

    data = _read(file, MAX_FILE_BYTES)
    log_key = LogKey.parse(key) if key else None
    demands = Policy.parse(_read(policy, MAX_POLICY_BYTES)) if policy else None
    if is_tlog_proof(data):
        return _verify_entry(data, entry=entry, log_key=log_key, policy=demands, as_json=as_json)
    verified = _verified_history(data, log_key=log_key, policy=demands, rpc=rpc, contract=contract, chain_id=chain_id)
    for saved in seen or []:
        _refuse_contradiction(verified, saved)
    return _show_history(verified, as_json=as_json)


def _refuse_contradiction(verified: "Verified", saved: Path) -> None:
    from ledger.agreement import refuse_contradiction
    from ledger.errors import VerificationError
    from ledger.proof import MAX_FILE_BYTES, verify

    try:
        earlier = verify(_read(saved, MAX_FILE_BYTES))
    except VerificationError as error:
        raise typer.BadParameter(f"{saved} does not verify itself: {error}", param_hint="--seen") from error
    refuse_contradiction(verified, earlier)


def _verified_history(
    data: bytes, *, log_key: "LogKey | None", policy: "Policy | None", rpc: str, contract: str, chain_id: int
) -> "Verified":
    from ledger.errors import VerificationError
    from ledger.proof import Anchor, verify

    def asked(anchor: Anchor) -> bool | None:
        if (contract and anchor.contract.lower() != contract.lower()) or (chain_id and anchor.chain_id != chain_id):
            raise VerificationError(
                f"the proof is anchored in {anchor.contract} on chain {anchor.chain_id}, not where you expect it"
            )
        if not rpc:
            return None
        from contracts.check import holds

        return holds(rpc, anchor)

    verified = verify(data, log_key=log_key, policy=policy, anchor_check=asked)
    if (contract or chain_id) and verified.anchor is None:
        raise VerificationError("the proof names no anchor; you expect one")
    return verified


def _show_history(verified: "Verified", *, as_json: bool) -> int:
    from ledger.lookup import lookup_lines

    if as_json:
        print_json(_history_json(verified))
        return OK
    say(f"verifies: {len(verified.entries)} entries about {verified.subject}")
    say(f"log {verified.head.origin}, {verified.head.size} entries, key {verified.key.text()}")
    _say_witnesses(verified.cosignatures)
    if verified.anchor is not None:
        at = verified.anchor
        say(f"anchored with {at.size} entries in {at.transaction}, contract {at.contract} on chain {at.chain_id}")
        for line in lookup_lines(at.chain_id, at.contract, verified.head.origin, transaction=at.transaction):
            say(f"  {line}")
    for shown in verified.shown:
        say(f"  shown:     {_SHOWN[shown]}")
    for unshown in verified.unshown:
        say(f"  not shown: {_UNSHOWN[unshown]}")
    return OK


def _verify_entry(
    data: bytes, *, entry: Path | None, log_key: "LogKey | None", policy: "Policy | None", as_json: bool
) -> int:
    from ledger.tiles import MAX_ENTRY_BYTES
    from ledger.tlog_proof import verify

    if log_key is None and not (policy and policy.logs):
        raise typer.BadParameter("a .tlog-proof names no key: give --key, or a --policy that names the log")
    given = _read(entry, MAX_ENTRY_BYTES + 1) if entry else None
    included = verify(data, entry=given, log_key=log_key, policy=policy)
    if as_json:
        print_json(_entry_json(included))
        return OK
    say(f"verifies: entry {included.index} of {included.head.size}, {len(included.entry)} bytes")
    say(f"log {included.head.origin}, key {included.log.text()}")
    _say_witnesses(included.cosignatures)
    for shown in _shown_of_entry(included):
        say(f"  shown:     {_SHOWN[shown]}")
    for unshown in _unshown_of_entry(included):
        say(f"  not shown: {_UNSHOWN[unshown]}")
    return OK


def proof(
    what: Annotated[
        str, typer.Argument(metavar="ID", help="A label's link, a GS1 Digital Link; with --tlog an entry.")
    ],
    tlog: Annotated[
        bool, typer.Option("--tlog", help="Prove one entry, given by its index or event id, as C2SP tlog-proof.")
    ] = False,
    reveal: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A private field to open, by its name; repeatable. Else those that are public."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where the file goes; else standard output.")
    ] = None,
) -> int:
    """Write a proof file of a thing's history, or of one entry."""
    with installation() as rt, rt.db.read() as session:
        if tlog:
            from ledger.bundle import index_of_entry, prove_entry

            index = int(what) if what.isascii() and what.isdigit() and len(what) < 16 else None
            data = prove_entry(session, index_of_entry(session, what) if index is None else index).encode()
        else:
            data = _history_proof(rt, session, what, reveal)
    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        out.write_bytes(data)
    return OK


def _history_proof(rt: "Runtime", session: "Session", what: str, reveal: Sequence[str] | None) -> bytes:
    from api.identifiers import canonical
    from api.proving import written_proof
    from api.routers.consumer import public_evidence
    from ledger.digests import open_disclosure

    subject = canonical(what)
    names = rt.settings.public_field_names if reveal is None else frozenset(reveal)
    files = public_evidence(rt, session, subject)
    made = written_proof(rt, session, subject, reveal=names, evidence=files)
    opened = {open_disclosure(text).name for text in made.disclosures}
    for name in sorted(names - opened) if reveal is not None else ():
        typer.echo(f"guoyuan: no private field {name!r} is kept in this history", err=True)
    return made.encode()


def _read(file: Path, most: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(most + 1)


def _moment(time_s: int) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _say_witnesses(cosignatures: "Sequence[Cosignature]") -> None:
    for given in cosignatures:
        say(f"cosigned by {given.key.name} at {_moment(given.time_s)} by its clock")


def _witnesses_json(cosignatures: "Sequence[Cosignature]") -> list[dict[str, str]]:
    return [{"name": given.key.name, "key": given.key.text(), "time": _moment(given.time_s)} for given in cosignatures]


def _history_json(verified: "Verified") -> dict[str, Any]:
    from ledger.lookup import lookup_lines

    anchor = verified.anchor
    return {
        "verifies": True,
        "format": "guoyuan-proof@1",
        "subject": verified.subject,
        "origin": verified.head.origin,
        "size": verified.head.size,
        "root": verified.head.root.hex(),
        "key": verified.key.text(),
        "witnesses": _witnesses_json(verified.cosignatures),
        "entries": [{"index": e.index, "event_id": e.event_id, "is_anchored": e.is_anchored} for e in verified.entries],
        "anchor": None
        if anchor is None
        else {
            "chain_id": anchor.chain_id,
            "contract": anchor.contract,
            "size": anchor.size,
            "transaction": anchor.transaction,
            "lookup": lookup_lines(
                anchor.chain_id, anchor.contract, verified.head.origin, transaction=anchor.transaction
            ),
        },
        "shown": list(verified.shown),
        "not_shown": list(verified.unshown),
    }


def _entry_json(included: "Included") -> dict[str, Any]:
    return {
        "verifies": True,
        "format": "c2sp.org/tlog-proof@v1",
        "index": included.index,
        "origin": included.head.origin,
        "size": included.head.size,
        "root": included.head.root.hex(),
        "key": included.log.text(),
        "witnesses": _witnesses_json(included.cosignatures),
        "shown": _shown_of_entry(included),
        "not_shown": _unshown_of_entry(included),
    }


def _shown_of_entry(included: "Included") -> list[str]:
    return ["entries_unchanged", "signed_by_the_log", *(["cosigned_by_witnesses"] if included.cosignatures else [])]


def _unshown_of_entry(included: "Included") -> list[str]:
    return [
        *([] if included.cosignatures else ["no_witness_vouches"]),
        "no_anchor_in_the_file",
        "events_are_their_recorders_word",
    ]
