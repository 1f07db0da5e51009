"""Commands that look and change nothing: trace, grade."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.terminal import BAD_INPUT, OK, AsJson, bar, grams_text, installation, print_json, say, table

if TYPE_CHECKING:
    from grading.calibrate import Reference


def trace(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="A label's link, a GS1 Digital Link, an event id.")],
    as_json: AsJson = False,
) -> int:
    """Show everything the log tells of a pack, lot, plot, crate or document, with its quantities."""
    from api.identifiers import canonical
    from api.progress import progress
    from api.recalling import flow_json
    from ledger.kernel.clock import format_time
    from ledger.trace import trace

    with installation() as rt, rt.db.read() as session:
        traced = trace(session, canonical(identifier))
        done = progress(session, origin=rt.settings.log_origin)
    found = traced.history
    steps = [
        {
            "index": step.index,
            "time": format_time(step.event_time),
            "sentence": step.sentence,
            "state": done.state_of(step.index),
            "stance": step.stance,
            "declared_wrong_by": step.declared_wrong_by,
            "is_effective": step.is_effective,
            "corrected_by": step.corrected_by,
            "corrects": step.corrects,
            "event_id": step.event_id,
        }
        for step in found.steps
    ]
    if as_json:
        print_json({"id": found.subject, "is_cut": found.is_cut, "steps": steps, "flow": flow_json(traced.flow)})
        return OK
    rows = table("leaf", "time (UTC)", "sentence", "state", "event")
    for step in steps:
        leaf = "" if step["index"] is None else str(step["index"])
        wrong = " (declared wrong)" if step["declared_wrong_by"] else ""
        rows.add_row(leaf, str(step["time"]), f"{step['sentence']}{wrong}", str(step["state"]), str(step["event_id"]))
    say(found.subject)
    say(rows)
    if traced.flow.behind:
        sources = table("came from", "kind", "grams")
        for share in traced.flow.behind:
            sources.add_row(share.identifier, share.kind, grams_text(share.amount))
        say(sources)
    if found.is_cut:
        say("There is more; a history is cut here.")
    return OK


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
