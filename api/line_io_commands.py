"""The line's wires on the command line: whether each machine answers, without touching any of them."""

from pathlib import Path
from typing import Annotated

import typer

from api.terminal import OK, UNREACHABLE, AsJson, command, print_json, say, table


def add_io_commands(app: typer.Typer) -> None:
    """Add `check` to the group of a line's commands."""

    @command(app)
    def check(
        wiring: Annotated[Path, typer.Option(metavar="FILE", help="Gates, encoder, scale: line.toml.", exists=True)],
        prices: Annotated[str, typer.Option(metavar="FILE", help="Price tiers; empty: the sample shipped.")] = "",
        wait: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds that machines have to answer.")] = 5,
        as_json: AsJson = False,
    ) -> int:
        """Ask every machine of a wiring file how it stands; nothing is written to any, a running line goes on."""
        from grading.line.wires import State
        from grading.line.wiring import check_wiring
        from grading.standard import load_tariff

        tariff = load_tariff(prices) if prices else load_tariff()
        states = check_wiring(wiring, tariff, wait_s=wait)
        if as_json:
            print_json(
                [
                    {
                        "name": each.name,
                        "state": each.state.value,
                        "detail": each.detail,
                        "trouble": None
                        if each.trouble is None
                        else {"kind": each.trouble.kind, "zh": each.trouble.text.zh, "en": each.trouble.text.en},
                    }
                    for each in states
                ]
            )
        elif states:
            shown = table("wire", "state", "where", "trouble")
            for each in states:
                shown.add_row(each.name, each.state.value, each.detail, each.trouble.text.en if each.trouble else "")
            say(shown)
        else:
            say("the wiring file names no machines: people sort by what the screen shows")
        return OK if all(each.state is State.READY for each in states) else UNREACHABLE
