"""The command that runs a witness, on whoever's machine it is."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from api.terminal import OK, AsJson, print_json, say

if TYPE_CHECKING:
    from ledger.checkpoint import LogKey
    from ledger.witness import Witness

_AT_ONCE: Final = 64


def witness(  # noqa: PLR0917  # options, not positions
    name: Annotated[
        str, typer.Option(metavar="NAME", help="The name it signs with, such as witness.example/north. Never changed.")
    ],
    log: Annotated[
        list[str] | None, typer.Option(metavar="VKEY", help="Key of a log to watch, name+id+key; repeatable.")
    ] = None,
    logs: Annotated[Path | None, typer.Option(metavar="FILE", help="Keys of logs to watch, one on a line.")] = None,
    folder: Annotated[Path, typer.Option(help="Where its key and its memory live. Keep both, or neither.")] = Path(
        "witness"
    ),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
    serve: Annotated[
        bool, typer.Option("--serve/--show", help="Answer logs, or say what it remembers and end.")
    ] = True,
    as_json: AsJson = False,
) -> int:
    """Run a witness: it cosigns the checkpoints of logs that only ever grow (C2SP tlog-witness).

    Needs no database and no settings. Prints its public key; who trusts it puts that into a policy file.
    """
    from ledger.witness import Witness

    opened = Witness.open(folder, name=name, logs=_watched(log or [], logs), clock=lambda: int(time.time()))
    if not serve:
        return _show(opened, as_json=as_json)
    if as_json:
        print_json({"key": opened.key.text(), "logs": [key.text() for key in opened.logs], "port": port})
    else:
        say(f"witness {opened.key.text()}")
        say(f"watches {', '.join(key.name for key in opened.logs) or 'no log yet: give --log'}; port {port}")
    return _serve(opened, host, port)


def _serve(opened: "Witness", host: str, port: int) -> int:
    import uvicorn

    from api.witness_server import create_witness_app

    server = uvicorn.Server(
        uvicorn.Config(
            create_witness_app(opened),
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=_AT_ONCE,
            timeout_graceful_shutdown=5,
        )
    )
    server.run()
    return OK if server.started else 3


def _show(opened: "Witness", *, as_json: bool) -> int:
    latest, forks = opened.latest(), opened.forks()
    if as_json:
        print_json(
            {
                "key": opened.key.text(),
                "latest": [
                    {"origin": at.origin, "size": at.size, "root": at.root.hex(), "time": _moment(at.time_s)}
                    for at in latest
                ],
                "forks": [fork._asdict() for fork in forks],
            }
        )
        return OK
    say(f"witness {opened.key.text()}")
    for at in latest:
        say(f"{at.origin}: {at.size} entries, root {at.root.hex()}, cosigned {_moment(at.time_s)}")
    for fork in forks:
        say(f"FORK at {fork.size} entries, seen {_moment(fork.time_s)}: the log signed both of")
        say(fork.one)
        say(fork.other)
    return OK


def _watched(texts: list[str], file: Path | None) -> "list[LogKey]":
    from ledger.checkpoint import LogKey
    from ledger.errors import VerificationError

    lines = file.read_text().splitlines() if file else []
    texts = [*texts, *(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))]
    try:
        return [LogKey.parse(text) for text in dict.fromkeys(texts)]
    except VerificationError as error:
        raise typer.BadParameter(str(error), param_hint="--log") from error


def _moment(time_s: int) -> Any:
    return datetime.fromtimestamp(time_s, UTC)
