"""The commands of grading: grade photographs on disk, grade kept evidence again, compare with an inspector."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.terminal import BAD_INPUT, OK, WRONG, AsJson, bar, installation, print_json, say, table
from ledger.kernel.quantities import format_yuan

if TYPE_CHECKING:
    from rich.table import Table
    from sqlmodel import Session

    from grading.look import Known
    from grading.standard import Standard


def grade(  # noqa: PLR0917  # options, not positions
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Photographs, or folders of them.")],
    standard: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A standard's name, a crop, or a TOML file of your own. Without it, the one for the fruit seen.",
        ),
    ] = "",
    scale: Annotated[
        str,
        typer.Option(
            metavar="marker|coin|MM_PER_PX",
            help="What gives the scale. Without it a marker is looked for, then a coin.",
        ),
    ] = "",
    marker_mm: Annotated[float, typer.Option(min=5, max=1000, help="Side of the marker's black square.")] = 60.0,
    coin_mm: Annotated[float, typer.Option(min=10, max=60, help="Diameter of the coin.")] = 25.0,
    focal_px: Annotated[
        int | None, typer.Option(min=50, max=100_000, help="Focal length in pixels, where it is known.")
    ] = None,
    view: Annotated[
        str,
        typer.Option(
            metavar="automatic|above|side",
            help="Where the camera is: above the fruit, level with coin and fruit, or what the photograph shows.",
        ),
    ] = "automatic",
    brix: Annotated[
        float | None, typer.Option(min=0, max=50, help="A meter's reading of the lot, degrees Brix.")
    ] = None,
    detector: Annotated[
        str,
        typer.Option(
            metavar="automatic|classical|learned|both",
            help="Who finds the fruit: colour, a network, both, or what the ground in the picture asks for.",
        ),
    ] = "automatic",
    model: Annotated[
        Path | None, typer.Option(metavar="CARD.toml", help="The card of a network of your own, from `guoyuan train`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per photograph and line.")] = False,
) -> int:
    """Find, measure and grade the fruit in photographs. Records nothing.

    A photograph that cannot be graded is named with the reason, the others are graded, and the exit code is 2.
    One without a scale still tells its fruit, but neither sizes nor classes: all of them are left to a person.
    """
    from grading.detectors import CLASSICAL, DETECTORS, detector_named
    from grading.report import grade_files, picture_paths
    from grading.standard import load_tariff
    from grading.viewpoint import VIEWS
    from ledger.kernel.settings import Settings

    if detector not in DETECTORS:
        raise typer.BadParameter(f"{detector!r} is none of {', '.join(DETECTORS)}", param_hint="--detector")
    if model is not None and detector == CLASSICAL:
        raise typer.BadParameter("the classical detector asks no network", param_hint="--model")
    told = next((each for each in VIEWS if each == view), None)
    if told is None:
        raise typer.BadParameter(f"{view!r} is none of {', '.join(VIEWS)}", param_hint="--view")
    settings = Settings.load()
    named = standard or settings.standard_file
    chosen = _standard(named) if named else None
    references = _references(scale, marker_mm=marker_mm, coin_mm=coin_mm)
    photographs = picture_paths(paths)
    if not photographs:
        raise typer.BadParameter("no photographs (.jpg, .png, .webp) there")
    empty = [path for path in paths if path.is_dir() and not picture_paths([path])]
    for path in empty:
        typer.echo(f"guoyuan: {path}: no photographs there", err=True)
    reports = grade_files(
        photographs,
        standard=chosen,
        references=references,
        focal_px=focal_px,
        tariff=load_tariff(settings.price_file) if settings.price_file else None,
        brix_tenths=None if brix is None else round(brix * 10),
        view=told,
        detector=detector_named(detector, runtime=settings.vision_runtime, card_file=model),
    )
    rows = table("photograph", "fruit", "standard", "tier", "class", "size", "diameter", "mass", "why")
    ungraded = 0
    with bar("photographs", is_shown=not as_json and len(photographs) > 1) as step:
        for done, report in enumerate(reports, 1):
            if as_json:
                typer.echo(json.dumps(report, ensure_ascii=False, separators=(",", ":")))
            else:
                _add_rows(rows, report)
            if not report["fruits"] or report["scale"] is None:
                ungraded += 1
                typer.echo(f"guoyuan: {report['image']}: {report['refused'][0]['why']}", err=True)
            step(done, len(photographs))
    if not as_json:
        say(rows)
    return BAD_INPUT if ungraded or empty else OK


def regrade(
    wanted: Annotated[
        list[str] | None, typer.Argument(metavar="[LOT|BATCH|RECORD]...", help="What to grade again; all that is kept.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Grade kept evidence again, from the photographs on, and say whether every verdict comes out bit for bit.

    Closed batches are also compared with the root that the log commits to. Changes nothing. Exit code 1 where
    one differs, with the reason: a file missing or altered, another model, a measure that comes out otherwise.
    """
    from grading.regrading import evidence_of, regrade_all, roots

    with installation() as rt:
        with rt.db.read() as session:
            asked = evidence_of(session, wanted or [])
        done = []
        with bar("records", is_shown=not as_json) as step:
            for number, each in enumerate(regrade_all(rt.files, asked), 1):
                done.append(each)
                step(number, len(asked))
        with rt.db.read() as session:
            batches = roots(session, rt.files, [each.batch for each in asked if each.batch])
    failed = [each for each in done if not each.is_reproduced]
    changed = [each for each in batches if each.state == "differs"]
    if as_json:
        print_json(
            {
                "records": len(done),
                "reproduced": len(done) - len(failed),
                "failed": [
                    {"record": f.asked.record, "batch": f.asked.batch, "number": f.asked.number, "why": f.why}
                    for f in failed
                ],
                "batches": [{"batch": b.batch, "lot": b.lot, "records": b.records, "root": b.state} for b in batches],
            }
        )
    else:
        for each in failed:
            say(f"{each.asked.batch or 'record'} {each.asked.number or ''} {each.asked.record}: {each.why}")
        for root in changed:
            say(f"{root.batch}: its records are not those the log commits to")
        say(f"{len(done) - len(failed)} of {len(done)} verdicts come out the same, bit for bit.")
    return WRONG if failed or changed else OK


def validate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.csv", help="Columns fruit, inspector; ours and mass_g or kept fruit.")
    ],
    standard: Annotated[str, typer.Option(metavar="NAME", help="Whose classes both sides speak of.")] = "mango",
    as_json: AsJson = False,
) -> int:
    """Compare an inspector's classes with ours: table, Cohen's kappa with its interval, what errors cost.

    A fruit is named as you like where `ours` gives our class; else by its record or as BATCH#NUMBER.
    """
    from grading.agreement import agree, read_comparison
    from grading.regrading import class_kept
    from grading.standard import load_tariff
    from ledger.kernel.settings import Settings

    settings = Settings.load()
    chosen = _standard(standard)
    tariff = load_tariff(settings.price_file) if settings.price_file else load_tariff()
    with ExitStack() as opened:
        session: Session | None = None

        def kept(name: str) -> tuple[str, int] | None:
            # The installation is opened only for a table that leans on it.
            nonlocal session
            if session is None:
                rt = opened.enter_context(installation())
                session = opened.enter_context(rt.db.read())
            return class_kept(session, name)

        found = agree(list(read_comparison(file, chosen, kept)), chosen, tariff)
    if as_json:
        print_json({"standard": chosen.id, "edition": chosen.edition, "price_book": tariff.id, **asdict(found)})
        return OK
    rows = table("inspector \\ ours", *found.classes, "sum")
    for name, counts in zip(found.classes, found.table, strict=True):
        rows.add_row(name, *map(str, counts), str(sum(counts)))
    say(rows)
    share = found.share
    say(f"agreement {share.value:.1%} (95 % interval {share.low:.1%} to {share.high:.1%})")
    if found.kappa is None:
        say("kappa is not defined: one side gave every fruit the same class")
    else:
        say(f"Cohen's kappa {found.kappa.value:.3f} (95 % interval {found.kappa.low:.3f} to {found.kappa.high:.3f})")
    if found.weighted_kappa is not None:
        say(f"weighted kappa (linear) {found.weighted_kappa:.3f}")
    if found.cost is not None and found.cost.fruit:
        cost = found.cost
        say(
            f"{cost.fruit} fruit worth {format_yuan(cost.value_fen)} yuan by the inspector: classed too well "
            f"{format_yuan(cost.over_fen)}, too poorly {format_yuan(cost.under_fen)} yuan ({tariff.id})"
        )
    return OK


def _standard(name: str) -> "Standard":
    from grading.errors import StandardError
    from grading.standard import load_standard

    try:
        return load_standard(name)
    except StandardError as error:
        raise typer.BadParameter(str(error), param_hint="--standard") from error


def _references(text: str, *, marker_mm: float, coin_mm: float) -> list["Known"]:
    from grading.calibrate import Coin, Marker
    from grading.look import Given

    marker, coin = Marker(round(marker_mm * 1000)), Coin(round(coin_mm * 1000))
    if text in {"", "marker", "coin"}:
        return [each for each, name in ((marker, "marker"), (coin, "coin")) if text in {"", name}]
    try:
        mm_per_px = float(text)
    except ValueError:
        mm_per_px = 0.0
    if not 0.001 <= mm_per_px <= 100:
        raise typer.BadParameter(
            f"{text!r} is neither marker nor coin nor a number of millimetres per pixel (0.001 to 100)",
            param_hint="--scale",
        )
    return [Given(round(mm_per_px * 1e6))]


def _add_rows(rows: "Table", report: Mapping[str, Any]) -> None:
    for number, fruit in enumerate(report["fruits"], 1):
        low, high = fruit["mass_g_interval"] or (None, None)
        rows.add_row(
            Path(report["image"]).name,
            str(number),
            report["standard"]["id"],
            fruit["tier"],
            fruit["class"] or "-",
            fruit["size_code"] or "-",
            "-" if fruit["diameter_mm"] is None else f"{fruit['diameter_mm']:.0f} mm",
            "-" if low is None else f"{fruit['mass_g']} g ({low} to {high})",
            fruit["reasons"][-1 if fruit["tier"] == "doubtful" else 0]["en"],
        )
    if report["fruits"]:
        for refused in report["refused"]:
            rows.add_row(Path(report["image"]).name, "-", "-", "refused", "-", "-", "-", "-", refused["why"])
