"""The command line `guoyuan`.

Exit codes: 0 fine; 1 something was found wrong or does not verify; 2 bad usage or input; 3 something
could not be reached. Errors are one line on standard error. `--json` prints one JSON document.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from api import (
    anchor_commands,
    auditing,
    camera_commands,
    chain_commands,
    epcis_commands,
    grading_commands,
    line_commands,
    log_commands,
    proof_commands,
    recall_commands,
    training_commands,
    witness_commands,
)
from api.terminal import OK, AsJson, command, installation, print_json, say, table

app = typer.Typer(
    name="guoyuan",
    help="From the orchard to the eater, every step recorded and checkable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 fine, 1 found wrong or does not verify, 2 bad usage or input, 3 cannot reach something.",
)
channels_app = typer.Typer(help="Sale platforms that send webhooks.", no_args_is_help=True)
people_app = typer.Typer(help="Accounts, their codes and their names.", no_args_is_help=True)
WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True, help="End when the starting process does.")]

app.add_typer(channels_app, name="channels")
app.add_typer(people_app, name="people")
anchor_commands.join(chain_commands.app)
app.add_typer(chain_commands.app, name="chain")
app.add_typer(epcis_commands.app, name="epcis")
app.add_typer(line_commands.app, name="line")
app.add_typer(camera_commands.app, name="camera")


# --- running ---------------------------------------------------------------------------------------


@command(app)
def up(
    with_tasks: Annotated[
        bool, typer.Option("--tasks/--no-tasks", help="Run the tasks beside the web server, in process or as workers.")
    ] = True,
    with_sensors: Annotated[bool, typer.Option("--sensors/--no-sensors", help="Listen to the sensors' broker.")] = True,
    as_json: AsJson = False,
) -> int:
    """Run everything: migrate, web server, tasks, sensors. SIGTERM stops it cleanly."""
    import gc

    gc.disable()  # nothing made while starting is garbage, and looking for some takes a fifth of it; serve enables it
    from api.serve import serve
    from ledger.kernel.settings import Settings

    return serve(Settings.load(), with_tasks=with_tasks, with_sensors=with_sensors, as_json=as_json)


@command(app)
def demo(  # noqa: PLR0917  # options, not positions
    readings: Annotated[Path | None, typer.Option(help="Hourly weather to replay.", exists=True)] = None,
    photos: Annotated[Path | None, typer.Option(help="Folder of photographs.", exists=True, file_okay=False)] = None,
    sales: Annotated[Path | None, typer.Option(help="Orders to replay (CSV).", exists=True)] = None,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Leave the site running afterwards.")] = True,
    as_json: AsJson = False,
    json_out: Annotated[Path | None, typer.Option(help="Write the summary here too.")] = None,
) -> int:
    """Play one working day through the product's own doors and print the consumer's link."""
    from api.demo.day import main

    return main(readings=readings, photos=photos, sales=sales, serve=serve, as_json=as_json, json_out=json_out)


@command(app)
def migrate(as_json: AsJson = False) -> None:
    """Bring the database to its newest shape."""
    from api.migrations import current, migrate
    from ledger.kernel.settings import Settings

    settings = Settings.load()
    migrate(settings)
    revision = current(settings)
    if as_json:
        print_json({"revision": revision})
    else:
        typer.echo(f"the database is at {revision}")


@command(app)
def worker(
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 2,
    with_parent: WithParent = False,
) -> int:
    """Run a Celery worker on the broker that GUOYUAN_REDIS_URL names."""
    concurrent = f"--concurrency={concurrency}"
    return _celery("worker", concurrent, "--loglevel=WARNING", "--without-mingle", with_parent=with_parent)


@command(app)
def beat(with_parent: WithParent = False) -> int:
    """Run the beat that starts the tasks; one is enough, a second does no harm."""
    return _celery(
        "beat", "--scheduler=celery.beat:Scheduler", "--loglevel=WARNING", "--pidfile=", with_parent=with_parent
    )


def _celery(*arguments: str, with_parent: bool) -> int:
    from api import worker
    from api.observe import configure_logging
    from ledger.kernel.errors import SettingsError
    from ledger.kernel.settings import Settings

    settings = Settings.load()
    if not settings.redis_url:
        raise SettingsError("GUOYUAN_REDIS_URL is empty: the tasks run inside `guoyuan up`")
    configure_logging(settings)
    if with_parent:
        worker.end_with_parent()
    worker.app.start(["--quiet", *arguments])
    return OK


@command(app)
def services() -> int:
    """Start private PostgreSQL, Redis, Mosquitto and anvil for trying out; Ctrl-C stops them."""
    import runpy

    sys.argv = ["guoyuan services"]
    runpy.run_module("api.deploy.services", run_name="__main__")
    return OK


# --- setting up ------------------------------------------------------------------------------------


@command(app)
def apply(
    file: Annotated[Path, typer.Argument(help="TOML: places, people, plots, devices.")], as_json: AsJson = False
) -> None:
    """Set a cooperative up from a file. Applying it again changes nothing."""
    from api import apply as setup_files
    from api.migrations import migrate
    from ledger.kernel.settings import Settings

    setup = setup_files.read(file)
    migrate(Settings.load())
    with installation() as rt, rt.db.write() as session:
        applied = setup_files.apply(session, setup, settings=rt.settings, numbering=rt.numbering, now=rt.clock.now())
    if as_json:
        print_json(applied)
        return
    rows = table("person", "party", "code")
    for person in applied.people:
        rows.add_row(person.ref, person.party.rpartition("/")[2], person.code or "given out before")
    say(rows)
    for person in applied.people:
        if person.link:
            say(f"{person.ref}: {person.link}")
    counts = f"{len(applied.places)} places, {len(applied.plots)} plots, {len(applied.devices)} devices"
    say(f"{counts}. Codes and links are shown this once.")


@command(app)
def keygen(file: Annotated[Path, typer.Argument(help="Where the private key goes.")], as_json: AsJson = False) -> None:
    """Make an Ed25519 key for a device and print its public half for the set-up file."""
    from farm_sensors.keys import create_key

    public_key = create_key(file)
    if as_json:
        print_json({"file": str(file), "public_key": public_key})
    else:
        typer.echo(public_key)


@command(channels_app, "add")
def add_channel(
    name: Annotated[str, typer.Argument(help="Small letters, digits and dashes.")],
    replace: Annotated[bool, typer.Option("--replace", help="Give a known channel a new secret.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a sale platform send webhooks, and print the secret it signs with."""
    from api import channels

    with installation() as rt, rt.db.write() as session:
        secret = channels.add(session, rt.settings, name, replace=replace, now=rt.clock.now())
        url = f"{rt.settings.public_url.rstrip('/')}/api/v1/channels/{name}/webhook"
    if as_json:
        print_json({"channel": name, "secret": secret, "url": url})
    else:
        typer.echo(secret)
        typer.echo(f"shown this once; the platform sends to {url}", err=True)


@command(channels_app, "list")
def list_channels(as_json: AsJson = False) -> None:
    """List the sale channels."""
    from api import channels

    with installation() as rt, rt.db.read() as session:
        names = channels.names(session)
    if as_json:
        print_json({"channels": names})
    else:
        typer.echo("\n".join(names) or "no channels yet")


@command(people_app, "list")
def list_people(as_json: AsJson = False) -> None:
    """List the accounts."""
    from api import accounts

    with installation() as rt, rt.db.read() as session:
        people = accounts.people(session)
    if as_json:
        listed = [
            {"ref": p.ref, "party": p.party, "role": p.role, "site": p.site, "name": name, "erased_at": p.erased_at}
            for p, name in people
        ]
        print_json({"people": listed})
        return
    rows = table("ref", "name", "role", "party")
    for person, name in people:
        rows.add_row(
            person.ref, name or ("erased" if person.erased_at else ""), person.role, person.party.rpartition("/")[2]
        )
    say(rows)


@command(people_app, "erase")
def erase_person(ref: str, as_json: AsJson = False) -> None:
    """Forget a person's name and ways to sign in; the party id and the log stay."""
    from api import accounts

    with installation() as rt:
        with rt.db.write() as session:
            party = accounts.erase(session, ref, now=rt.clock.now())
        rt.db.scrub("ledger_disclosure", "api_name")
    if as_json:
        print_json({"ref": ref, "party": party})
    else:
        typer.echo(f"{ref} is erased; {party} stays in the log and names nobody")


@command(people_app, "new-code")
def new_code(ref: str, as_json: AsJson = False) -> None:
    """Print a new code and a one-time link for a person; older codes stop working."""
    from api import accounts

    with installation() as rt, rt.db.write() as session:
        person = accounts.active_person(session, ref)
        code = accounts.new_code(session, person, now=rt.clock.now())
        token = accounts.new_link_token(session, person, now=rt.clock.now())
        link = f"{rt.settings.public_url.rstrip('/')}/sign-in/{token}"
    if as_json:
        print_json({"ref": ref, "party": person.party, "code": code, "link": link})
    else:
        typer.echo(f"{code}\n{link}")


# --- looking -----------------------------------------------------------------------------------------

command(app)(auditing.trace)
command(app)(recall_commands.recall)
command(app)(proof_commands.verify)
command(app)(proof_commands.proof)
log_commands.register(command, app)
command(app)(witness_commands.witness)
command(app)(grading_commands.grade)
command(app)(grading_commands.regrade)
command(app)(grading_commands.validate)
command(app)(training_commands.train)
command(app, "export-corrections")(training_commands.export_corrections)


if __name__ == "__main__":
    app()
