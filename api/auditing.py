"""Commands that look and change nothing: trace, verify, grade."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from api.terminal import BAD_INPUT, OK, AsJson, bar, installation, print_json, say, table

if TYPE_CHECKING:
    from grading.calibrate import Reference
    from ledger.proof import Verified

_SHOWN: Final[Mapping[str, str]] = {
    "entries_unchanged": "every entry stands in the log exactly as it was recorded",
    "signed_by_the_log": "the log's key signed the tree they stand in",
    "all_entries_concern_the_subject": "every entry concerns the thing in question",
    "anchored_on_the_chain": "the chain holds this head of the log",
    "private_fields_match": "the private fields shown are those the log committed to",
}
_UNSHOWN: Final[Mapping[str, str]] = {
    "log_key_taken_from_the_file": "whose key it is: the file names it itself; give --key to be sure",
    "no_anchor_in_the_file": "an anchor: the file names none",
    "chain_not_asked": "whether the chain holds the anchor: give --rpc to ask it",
    "some_entries_newer_than_the_anchor": "an anchor over the newest entries",
    "entries_may_be_left_out": "that no entry was left out of the file",
    "events_are_their_recorders_word": "that what the entries say is true: that is their recorders' word",
}


def trace(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="A label's link, a GS1 Digital Link, an event id.")],
    as_json: AsJson = False,
) -> int:
    """Show everything the log tells of a pack, lot, plot, crate or document."""
    from api.identifiers import canonical
    from api.progress import progress
    from ledger.kernel.clock import format_time
    from ledger.trace import history

    with installation() as rt, rt.db.read() as session:
        found, done = history(session, canonical(identifier)), progress(session, origin=rt.settings.log_origin)
    steps = [
        {
            "index": step.index,
            "time": format_time(step.event_time),
            "sentence": step.sentence,
            "state": done.state_of(step.index),
            "stance": step.stance,
            "declared_wrong_by": step.declared_wrong_by,
            "event_id": step.event_id,
        }
        for step in found.steps
    ]
    if as_json:
        print_json({"id": found.subject, "is_cut": found.is_cut, "steps": steps})
        return OK
    rows = table("leaf", "time (UTC)", "sentence", "state", "event")
    for step in steps:
        leaf = "" if step["index"] is None else str(step["index"])
        wrong = " (declared wrong)" if step["declared_wrong_by"] else ""
        rows.add_row(leaf, str(step["time"]), f"{step['sentence']}{wrong}", str(step["state"]), str(step["event_id"]))
    say(found.subject)
    say(rows)
    if found.is_cut:
        say("There is more; a history is cut here.")
    return OK


def verify(
    file: Annotated[Path, typer.Argument(metavar="PROOF", help="A proof file.")],
    rpc: Annotated[str, typer.Option(metavar="URL", help="A JSON-RPC door of the chain it is anchored in.")] = "",
    key: Annotated[
        str, typer.Option(metavar="VKEY", help="The log's key, name+id+key, from somewhere you trust.")
    ] = "",
    as_json: AsJson = False,
) -> int:
    """Check a proof file. Needs nothing but the file; with --rpc the chain is asked too."""
    from contracts.check import holds
    from ledger.checkpoint import LogKey
    from ledger.proof import MAX_FILE_BYTES, verify

    with file.open("rb") as opened:
        data = opened.read(MAX_FILE_BYTES + 1)
    verified = verify(
        data,
        log_key=LogKey.parse(key) if key else None,
        anchor_check=(lambda anchor: holds(rpc, anchor)) if rpc else None,
    )
    if as_json:
        print_json(_verified_json(verified))
        return OK
    say(f"verifies: {len(verified.entries)} entries about {verified.subject}")
    say(f"log {verified.head.origin}, {verified.head.size} entries, key {verified.key.text()}")
    if verified.anchor is not None:
        at = verified.anchor
        say(f"anchored with {at.size} entries in {at.transaction} on chain {at.chain_id}")
    for shown in verified.shown:
        say(f"  shown:     {_SHOWN[shown]}")
    for unshown in verified.unshown:
        say(f"  not shown: {_UNSHOWN[unshown]}")
    return OK


def _verified_json(verified: "Verified") -> dict[str, Any]:
    return {
        "verifies": True,
        "subject": verified.subject,
        "origin": verified.head.origin,
        "size": verified.head.size,
        "root": verified.head.root.hex(),
        "key": verified.key.text(),
        "entries": [{"index": e.index, "event_id": e.event_id, "is_anchored": e.is_anchored} for e in verified.entries],
        "anchor": None
        if verified.anchor is None
        else {
            "chain_id": verified.anchor.chain_id,
            "contract": verified.anchor.contract,
            "size": verified.anchor.size,
            "transaction": verified.anchor.transaction,
        },
        "shown": list(verified.shown),
        "not_shown": list(verified.unshown),
    }


def grade(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Photographs, or folders of them.", exists=True)
    ],
    crop: Annotated[str, typer.Option(help="Whose standard: mango, apple.")] = "mango",
    scale: Annotated[
        str, typer.Option(help="What of known size lies in the picture, in millimetres: marker:60 or coin:25.")
    ] = "",
    as_json: AsJson = False,
) -> int:
    """Find, measure and grade the fruit in photographs. Records nothing.

    Without --scale a 60 mm marker is looked for, then a 25 mm coin.
    """
    from grading.report import grade_files, picture_paths
    from grading.standard import load_tariff
    from ledger.kernel.settings import Settings

    settings = Settings.load()
    photographs = picture_paths(paths)
    if not photographs:
        raise typer.BadParameter("no photographs (.jpg, .png, .webp) there")
    graded = grade_files(
        photographs,
        crop=settings.standard_file or crop,
        reference=_reference(scale) if scale else None,
        tariff=load_tariff(settings.price_file) if settings.price_file else None,
    )
    reports: list[dict[str, Any]] = []
    with bar("photographs", is_shown=not as_json and len(photographs) > 1) as step:
        for report in graded:
            reports.append(report)
            step(len(reports), len(photographs))
    if as_json:
        print_json({"photographs": reports})
    else:
        _say_grades(reports)
    refused = [report for report in reports if not report["ok"]]
    for report in refused:
        typer.echo(f"guoyuan: {report['path']}: {report['message']}", err=True)
    return BAD_INPUT if refused else OK


def _reference(text: str) -> "Reference":
    from grading.calibrate import Coin, Marker

    kind, _, size = text.partition(":")
    try:
        size_um = round(float(size) * 1000)
    except ValueError:
        size_um = 0
    if kind not in {"marker", "coin"} or not 1_000 <= size_um <= 1_000_000:
        raise typer.BadParameter(f"{text!r} is neither marker:SIZE nor coin:SIZE in millimetres", param_hint="--scale")
    return Marker(size_um) if kind == "marker" else Coin(size_um)


def _say_grades(reports: Sequence[Mapping[str, Any]]) -> None:
    rows = table("photograph", "fruit", "tier", "size", "length", "width", "mass", "why")
    for report in reports:
        for fruit in report["fruit"]:
            rows.add_row(
                Path(report["path"]).name,
                str(fruit["number"]),
                fruit["tier"],
                fruit["size"],
                f"{fruit['length_um'] / 1000:.0f} mm",
                f"{fruit['width_um'] / 1000:.0f} mm",
                f"{fruit['mass_g']} g",
                fruit["reason"]["en"],
            )
    say(rows)
