"""The command that looks into the log and changes nothing: trace."""

from typing import Annotated

import typer

from api.terminal import OK, AsJson, grams_text, installation, print_json, say, table


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
