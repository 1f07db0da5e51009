"""The commands that train: labelled photographs in, a model with its report card out; a station's own corrections."""

import json
from dataclasses import replace
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from api.terminal import OK, AsJson, bar, installation, print_json, say, table

if TYPE_CHECKING:
    from grading.dataset import Photo
    from grading.learned import Model
    from grading.train import Recipe


class What(StrEnum):
    """What a network learns to find."""

    FRUIT = "fruit"
    DEFECTS = "defects"


LEAST_SAID_PERMILLE = 15
"""What a network is less sure of is noise: nothing is chosen by it."""


def train(  # noqa: PLR0917  # options, not positions
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA...", help="Folders of labelled photographs.", exists=True, file_okay=False),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the data set, the run and the model go.")],
    what: Annotated[
        What,
        typer.Option(help="fruit: finds and names them. defects: marks on one fruit, by outlines and drawn fruit."),
    ] = What.FRUIT,
    epochs: Annotated[int, typer.Option(min=1, max=1000)] = 40,
    side: Annotated[
        int | None, typer.Option(min=64, max=1280, help="Side of the network's input in pixels: 320, for defects 128.")
    ] = None,
    scenes: Annotated[
        int | None,
        typer.Option(min=0, max=100_000, help="Scenes to lay from cut-out fruit: 800. For defects, drawn fruit: 3600."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    name: Annotated[str, typer.Option(help="What the model is called; what it finds, where nothing is said.")] = "",
    version: Annotated[str, typer.Option(help="Which one of that name.")] = "v1",
    licence: Annotated[
        str, typer.Option(help="What the card says about licences.")
    ] = "AGPL-3.0-or-later (ultralytics)",
    leave_out: Annotated[
        list[str] | None, typer.Option("--leave-out", metavar="CLASS", help="A labelled class to ignore. Repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, or 0 for the first GPU; a GPU where there is one.")] = "",
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="WEIGHTS.pt",
            exists=True,
            dir_okay=False,
            help="Go on from an earlier training of yours (DIR/run/weights/last.pt). Opening one can run code.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training that DIR holds.")] = False,
    as_json: AsJson = False,
) -> int:
    """Train a detector on labelled photographs: held out by physical fruit, measured on what it never saw.

    Needs the extra named train. Nothing is fetched and nothing is sent. Interrupted, go on with --resume.
    """
    from grading.train import Recipe, require_extra

    is_fruit, name = what is What.FRUIT, name or what.value
    side = side or (320 if is_fruit else 128)
    scenes = scenes if scenes is not None else 800 if is_fruit else 3600
    if side % 32:
        raise typer.BadParameter("must be a multiple of 32", param_hint="--side")
    require_extra()
    if not is_fruit and (start is not None or leave_out):
        raise typer.BadParameter("--from and --leave-out are for fruit", param_hint="--what")
    asked = {
        "data": [str(folder.resolve()) for folder in data],
        "seed": seed,
        "side": side,
        "scenes": scenes,
        "epochs": epochs,
    }
    card = {"name": name, "version": version, "licence": licence}
    if not is_fruit:
        recipe = Recipe(
            side=side, epochs=epochs, batch=16, seed=seed, device=device, most_channels=512, of_single_fruit=True
        )
        asked["what"] = what.value
        return _train_defects(data, out, recipe, asked=asked, card=card, resume=resume, as_json=as_json)
    asked["leave_out"] = sorted(leave_out or [])
    if start is not None:
        asked["from"] = sha256(start.read_bytes()).hexdigest()
    recipe = Recipe(side=side, epochs=epochs, seed=seed, device=device, start=start)
    return _train_fruit(data, out, recipe, asked=asked, card=card, resume=resume, as_json=as_json)


def _train_fruit(
    data: list[Path],
    out: Path,
    recipe: "Recipe",
    *,
    asked: dict[str, Any],
    card: dict[str, str],
    resume: bool,
    as_json: bool,
) -> int:
    """Train on what is labelled in `data` and on scenes laid from it; report on fruit that were held out."""
    from grading import report_card
    from grading.dataset import prepare, read_folder, split
    from grading.errors import TrainingError
    from grading.train import export, train

    photographs = [photo for folder in data for photo in read_folder(folder)]
    training, held_out = split(photographs, seed=recipe.seed)
    if not held_out:
        raise TrainingError("nothing could be held out: a kind needs at least three fruit")
    _must_be_new_or_match(out, asked, resume=resume)
    plan, folder = out / "plan.json", out / "data"
    if not resume:
        with bar("photographs", is_shown=not as_json) as step:
            told = prepare(
                training,
                held_out,
                folder,
                scenes=asked["scenes"],
                seed=recipe.seed,
                rename=dict.fromkeys(asked["leave_out"], ""),
                progress=step,
            )
        plan.write_text(json.dumps({**asked, "classes": told.classes}, indent=1) + "\n", "utf-8")
    classes = tuple(json.loads(plan.read_text("utf-8"))["classes"])
    with bar("epochs", is_shown=not as_json) as step:
        trained = train(folder / "data.yaml", recipe, out, progress=lambda done, total, _: step(done, total))
    card_file = out / f"{card['name']}.toml"
    export(
        trained.weights,
        card_file,
        side=recipe.side,
        classes=classes,
        data=tuple(folder.name for folder in data),
        name=card["name"],
        version=card["version"],
        licence=card["licence"],
    )
    model, chosen_on = _scored(card_file, held_out, as_json=as_json)
    reported = [photo for photo in held_out if photo.fruit not in chosen_on]
    with bar("held-out photographs", is_shown=not as_json) as step:
        found = report_card.tally(reported, model, progress=step)
    report = report_card.card(
        found,
        model,
        held_out=sorted({photo.fruit for photo in reported}),
        chosen_on=sorted(chosen_on),
        notes=["The last epoch's weights: held-out fruit did not choose them."],
    )
    report_card.write(report, found, out / "report")
    if as_json:
        print_json({"card": str(card_file), "report": report})
    else:
        _say(report, card_file, held_out)
    return OK


def _train_defects(
    data: list[Path],
    out: Path,
    recipe: "Recipe",
    *,
    asked: dict[str, Any],
    card: dict[str, str],
    resume: bool,
    as_json: bool,
) -> int:
    """Train on drawn fruit and on what is labelled in `data`; report both apart, beside what colour alone finds."""
    from grading import defect_data, defect_report
    from grading.dataset import read_folder
    from grading.defects import KINDS, DefectModel
    from grading.learned import load_model
    from grading.train import export, train

    training, held_out = defect_data.split([p for folder in data for p in read_folder(folder)], seed=recipe.seed)
    _must_be_new_or_match(out, asked, resume=resume)
    plan, folder = out / "plan.json", out / "data"
    if not resume:
        with bar("fruit", is_shown=not as_json) as step:
            defect_data.prepare(
                training, held_out, folder, drawn=asked["scenes"], side=recipe.side, seed=recipe.seed, progress=step
            )
        plan.write_text(json.dumps(asked, indent=1) + "\n", "utf-8")
    with bar("epochs", is_shown=not as_json) as step:
        trained = train(folder / "data.yaml", recipe, out, progress=lambda done, total, _: step(done, total))
    card_file = out / f"{card['name']}.toml"
    export(
        trained.weights,
        card_file,
        side=recipe.side,
        classes=KINDS,
        data=("drawn fruit of our own", *(folder.name for folder in data)),
        least_score_permille=250,
        name=card["name"],
        version=card["version"],
        licence=card["licence"],
    )
    model = DefectModel(load_model(card_file))
    drawn = defect_data.held_out_drawn(asked["scenes"], side=recipe.side, seed=recipe.seed)
    figures: dict[str, Any] = {
        "drawn": defect_report.report(drawn, model),
        "real": defect_report.report(defect_data.held_out_real(held_out, side=recipe.side), model),
        "held_out": sorted({photo.fruit for photo in held_out}),
    }
    (out / "report").mkdir(exist_ok=True)
    defect_report.write(figures, out / "report" / "defects.report.json", out / "report" / "defects.svg")
    if as_json:
        print_json({"card": str(card_file), "report": figures})
        return OK
    for part in ("drawn", "real"):
        told = figures[part]
        rows = table(f"{part}, held out: {told['fruit']} fruit, {told['defects']} defects", "network", "colour alone")
        for key in told["network"]:
            rows.add_row(key.replace("_", " "), str(told["network"][key]), str(told["colour"].get(key)))
        say(rows)
    say(f"{card_file}; report in {out / 'report'}")
    return OK


def _scored(card_file: Path, held_out: "list[Photo]", *, as_json: bool) -> "tuple[Model, set[str]]":
    """Choose the model's scores by half of the held-out fruit, and name them; none where they are too few."""
    from grading import report_card
    from grading.learned import card_text, load_model

    model = load_model(card_file)
    choosing, reported = report_card.halves(held_out)
    if not choosing or not reported:
        return model, set()
    told = model.card
    # Everything the network says, with its own confidence.
    asked = msgspec.structs.replace(told, least_score_permille=LEAST_SAID_PERMILLE)
    with bar("photographs to choose scores by", is_shown=not as_json) as step:
        found = report_card.tally(choosing, replace(model, card=asked), progress=step)
    choice = report_card.choose(
        found, least_score_permille=told.least_score_permille, sure_score_permille=told.sure_score_permille
    )
    if choice is None:
        return model, set()
    chosen = msgspec.structs.replace(
        told,
        least_score_permille=choice.least_score_permille,
        sure_score_permille=choice.sure_score_permille,
        slope_permille=choice.curve.slope_permille,
        offset_permille=choice.curve.offset_permille,
    )
    card_file.write_text(card_text(chosen), "utf-8")
    return load_model(card_file), {photo.fruit for photo in choosing}


def export_corrections(
    out: Annotated[Path, typer.Option(metavar="DIR", help="An empty folder for the data set.")],
    batch: Annotated[
        list[str] | None, typer.Option("--batch", metavar="BATCH", help="Only this batch. Repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Write what people decided at the station as a data set that `guoyuan train` reads.

    Photographs on which a person judged a fruit, with all outlines, and judged fruit of a belt, view by view. What
    was called not a fruit becomes ground.
    Says nothing of who decided. What can be seen in the photographs stays in them.
    """
    from grading.corrections import export

    with installation() as rt, rt.db.read() as session:
        told = export(session, rt.files, out, batches=batch or [])
    if as_json:
        left_out = [{"why": why, "count": count} for why, count in told.left_out]
        counted = {"pictures": told.pictures, "fruit": told.fruit, "not_fruit": told.not_fruit}
        print_json({"folder": str(out), **counted, "left_out": left_out})
    else:
        say(f"{out}: {told.pictures} pictures, {told.fruit} fruit, {told.not_fruit} that are none")
        for why, count in told.left_out:
            say(f"left out {count}: {why}")
    return OK


def _must_be_new_or_match(out: Path, asked: dict[str, Any], *, resume: bool) -> None:
    """Refuse to begin where a training is, to go on where none is, and to go on with one that was begun otherwise."""
    from grading.errors import TrainingError

    if not resume:
        if (out / "plan.json").exists() or (out / "run").exists():
            raise TrainingError(f"{out} holds a training already: go on with --resume, or name another folder")
        if (out / "data").exists():
            raise TrainingError(f"{out / 'data'} was left by a training that never began: remove it, or name another")
        return
    try:
        begun = json.loads((out / "plan.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{out} holds no training to go on with") from error
    said = set(asked) | (set(begun) & {"from"})
    if different := sorted(key for key in said if begun.get(key) != asked.get(key)):
        raise TrainingError(f"{out} was begun with another {', '.join(different)}")


def _say(report: dict[str, Any], card_file: Path, held_out: "list[Photo]") -> None:
    fruit = report["fruit"]
    rows = table("measured on held-out fruit", "figure")
    rows.add_row("photographs, physical fruit", f"{len(held_out)}, {len(report['held_out']['fruit'])}")
    for at in ("at_least_score", "at_sure_score"):
        told = fruit[at]
        rows.add_row(f"recall, precision from score {told['score_permille']}", f"{told['recall']}, {told['precision']}")
    rows.add_row("mAP50 by kind", str(fruit["map50_by_kind"]))
    rows.add_row("kind right", str(fruit["kind_right"]))
    say(rows)
    say(f"{card_file}; report in {card_file.parent / 'report'}")
