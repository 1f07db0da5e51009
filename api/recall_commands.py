"""The command `guoyuan recall`: from anything the log names to everything it touched."""

import sys
from typing import Annotated

import typer

from api.terminal import OK, AsJson, grams_text, installation, print_json, say, table


def recall(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="A label's link, a GS1 key, an event id.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a spreadsheet.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show everything that a plot, device, lot, pack, crate, load, document, place, party or event touched."""
    from api.identifiers import canonical
    from api.recalling import recall_csv, recall_json
    from ledger.recall import recall

    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json are two answers; ask for one")
    with installation() as rt, rt.db.read() as session:
        found = recall(session, canonical(identifier))
    if as_json:
        print_json(recall_json(found))
        return OK
    if as_csv:
        for line in recall_csv(found):
            sys.stdout.buffer.write(line.encode())
        return OK
    reach = found.reach
    packs = [thing for thing in reach.things if thing.kind == "pack"]
    say(found.subject)
    say(f"reached {grams_text(reach.amount)} g, shipped {grams_text(reach.shipped)} g, {len(packs)} packs")
    say(f"not yet shipped: {grams_text(reach.not_shipped)} g")
    rows = table("kind", "identifier", "grams", "state")
    for thing in reach.things:
        rows.add_row(thing.kind, thing.identifier, grams_text(thing.amount), _state(thing.state, thing.is_recalled))
    for load in reach.loads:
        rows.add_row("load", load.identifier, grams_text(load.amount), load.state)
    for receiver in reach.receivers:
        confirmed = "confirmed" if receiver.has_confirmed else "not confirmed"
        rows.add_row("receiver", receiver.identifier or "not said", grams_text(receiver.amount), confirmed)
    for end in reach.open_ends:
        rows.add_row("open end", end.identifier, grams_text(end.amount), end.what.replace("_", " "))
    say(rows)
    if found.is_cut:
        say(f"There is more: only the oldest {found.events_read} events were read.")
    return OK


def _state(state: str, is_recalled: bool) -> str:  # noqa: FBT001  # of one caller
    return f"{state}, recalled" if is_recalled else state
