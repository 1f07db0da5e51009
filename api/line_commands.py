"""The commands of a line: run it with its console, say how it stands, deliver what waits."""

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from api.line_io_commands import add_io_commands
from api.terminal import OK, UNREACHABLE, WRONG, AsJson, command, print_json, say, table

if TYPE_CHECKING:
    from api.line_delivery import Delivery
    from api.line_grading import Grading
    from grading.line.wiring import Wiring
    from grading.profile import CameraProfile
    from grading.standard import Tariff
    from ledger.kernel.clock import Clock
    from ledger.kernel.settings import Settings

app = typer.Typer(help="A line: its camera, its console, its deliveries.", no_args_is_help=True)
add_io_commands(app)

StateDir = Annotated[Path, typer.Option("--state", metavar="DIR", help="Where this line keeps what it counted.")]
Server = Annotated[str, typer.Option(metavar="URL", help="The house's server; without, nothing is delivered.")]
Code = Annotated[str, typer.Option(help="The station's printed code.", envvar="GUOYUAN_STATION_CODE")]
DEFAULT_STATE: Final = Path(".run/line")


@command(app)
def run(  # noqa: PLR0917  # options, not positions
    source: Annotated[
        str,
        typer.Option(
            metavar="SOURCE", help="usb:0, rtsp://..., http://... (MJPEG), video:PATH, folder:PATH, rendered:"
        ),
    ],
    profile: Annotated[
        Path | None, typer.Option(help="The camera's profile; a drawn belt brings its own.", exists=True)
    ] = None,
    server: Server = "",
    code: Code = "",
    pin: Annotated[str, typer.Option(help="Opens the console from other machines instead of the code.")] = "",
    wiring: Annotated[Path | None, typer.Option(help="Gates, encoder, scale: line.toml.", exists=True)] = None,
    moves_gates: Annotated[
        bool, typer.Option("--move-gates", help="Let a drawn belt move the gates of the wiring file, to try them.")
    ] = False,
    standard: Annotated[str, typer.Option(metavar="NAME", help="A standard's name, a crop, or a TOML file.")] = "mango",
    prices: Annotated[str, typer.Option(metavar="FILE", help="Price tiers; empty: the sample shipped.")] = "",
    brix: Annotated[
        float | None, typer.Option(min=0, max=50, help="A meter's reading of the lot, degrees Brix.")
    ] = None,
    detector: Annotated[
        str, typer.Option(metavar="classical|both", help="Colour alone, or checked by a network.")
    ] = "both",
    marks: Annotated[
        str,
        typer.Option(
            metavar="colour|both", help="Marks of round fruit by colour alone, or looked at by a network too."
        ),
    ] = "both",
    host: Annotated[str, typer.Option(help="Address of the console; only this machine's own asks for no code.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the console.")] = 8090,
    state: StateDir = DEFAULT_STATE,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Show the console.")] = True,
    as_json: AsJson = False,
) -> int:
    """Run a line until SIGTERM or Ctrl-C: camera, grading, gates, console, deliveries."""
    from api.line_app import LOOPBACK, Door, create_app
    from api.line_delivery import Delivery, House
    from api.line_journal import opened
    from api.line_rehearsal import SCHEME, RenderedSource, rendered_profile
    from api.line_runtime import LineRuntime
    from api.line_serving import serve
    from grading.line.sources import open_source
    from grading.profile import parse_profile
    from ledger.kernel.clock import SteadyClock

    is_rehearsal = source.startswith(SCHEME)
    if profile is None and not is_rehearsal:
        raise typer.BadParameter("a camera needs its profile; make one with: guoyuan camera", param_hint="--profile")
    if is_rehearsal and wiring is not None and not moves_gates:
        raise typer.BadParameter(
            "drawn fruit would move real gates: say --move-gates to try them", param_hint="--wiring"
        )
    if server and not code:
        raise typer.BadParameter("the server asks for the station's code", param_hint="--code")
    if host not in LOOPBACK and not (code or pin):
        raise typer.BadParameter("other machines need a code or a PIN to come in", param_hint="--pin")
    if detector not in {"classical", "both"}:
        raise typer.BadParameter(f"{detector!r} is neither classical nor both", param_hint="--detector")
    if marks not in {"colour", "both"}:
        raise typer.BadParameter(f"{marks!r} is neither colour nor both", param_hint="--marks")
    settings = _settings(is_rehearsal=is_rehearsal)
    camera = rendered_profile() if profile is None else parse_profile(profile.read_bytes())
    with ExitStack() as stack:
        journal = stack.enter_context(opened(state))
        house = stack.enter_context(closing(House(server))) if server else None
        delivery = Delivery(journal, house, code=code, clock=settings.clock, is_rehearsal=is_rehearsal)
        delivery.step()  # whoever is reached is asked now: a wrong code or another standard is told before fruit run
        network = settings.vision_runtime if detector == "both" else None
        looks_again = marks == "both" and network is not None
        grading = _grading(camera, standard, prices, brix=brix, network=network, looks_again=looks_again)
        _refuse_other_rules(delivery, grading)
        steady = SteadyClock(settings.clock)  # gates without an encoder are aimed by time
        wires = _wiring(wiring, grading.tariff, steady)
        opened_source = (
            RenderedSource(source, steady) if is_rehearsal else open_source(source, encoder=wires.encoder, clock=steady)
        )
        line = LineRuntime(
            settings=settings,
            clock=settings.clock,
            name=wires.line,
            house=str((delivery.known or {}).get("house", "")),
            journal=journal,
            delivery=delivery,
            source=opened_source,
            wiring=wires,
            grading=grading,
            is_sample=is_rehearsal,
            steady=steady,
        )
        if is_rehearsal and not server and journal.open_batch is None:
            line.open_batch(PRACTICE_LOT)
        line.start()
        stack.callback(line.stop)
        secret = pin or code
        door = Door(None if host in LOOPBACK else lambda typed: _is_same(typed, secret))
        hosts = LOOPBACK if host in LOOPBACK else ("*",)
        console = create_app(line, door=door, hosts=hosts)
        return serve(console, host=host, port=port, as_json=as_json, shows=browser and not as_json)


@command(app)
def status(state: StateDir = DEFAULT_STATE, as_json: AsJson = False) -> int:
    """Say what a line has counted and what of it the house has; the line may run meanwhile."""
    from api.line_journal import Journal

    if not (state / "line.db").exists():
        raise FileNotFoundError(2, "no line has run here", str(state))
    with closing(Journal(state, is_alone=False)) as journal:
        batches = journal.summary()
        waiting = journal.waiting()
    if as_json:
        print_json({"state": str(state), "waiting": waiting, "batches": batches})
        return OK
    rows = table("lot", "fruit", "sent", "doubt", "opened", "closed", "batch", "refused")
    for batch in batches:
        short = {
            "lot": batch["lot"].rpartition("/")[2],
            **{at: (batch[at] or "")[5:16].replace("T", " ") for at in _TIMES},
        }
        rows.add_row(*(str("" if value is None else value) for value in {**batch, **short}.values()))
    say(rows)
    say(f"{waiting} wait to be delivered")
    return OK


@command(app)
def deliver(server: Server, code: Code, state: StateDir = DEFAULT_STATE, as_json: AsJson = False) -> int:
    """Deliver what waits and end. Exit code 1 where the house refuses something, 3 where it is not reached."""
    from api.line_delivery import Delivery, House
    from api.line_journal import opened

    with opened(state) as journal, closing(House(server)) as house:
        delivery = Delivery(journal, house, code=code, clock=_settings(is_rehearsal=False).clock)
        before = journal.waiting()
        while delivery.step():
            pass
        standing = delivery.standing()
    error = None if standing.error is None else {"code": standing.error[0], "detail": standing.error[1]}
    if as_json:
        print_json({"delivered": before - standing.waiting, "waiting": standing.waiting, "error": error})
    else:
        say(f"{before - standing.waiting} delivered, {standing.waiting} wait")
        if error is not None:
            typer.echo(f"guoyuan: {error['code']}: {error['detail']}", err=True)
    return {"offline": UNREACHABLE, "refused": WRONG}.get(standing.state, OK)


_TIMES: Final = ("opened_at", "closed_at")
PRACTICE_LOT: Final = "https://id.gs1.org/01/99521001000218/10/SAMPLE-1"


def _settings(*, is_rehearsal: bool) -> "Settings":
    """Return this machine's settings; a rehearsal shows SAMPLE on every page."""
    from ledger.kernel.settings import Environment, Settings

    settings = Settings.load()
    return settings.model_copy(update={"environment": Environment.DEMO}) if is_rehearsal else settings


def _grading(
    camera: "CameraProfile",
    standard: str,
    prices: str,
    *,
    brix: float | None,
    network: str | None,
    looks_again: bool,
) -> "Grading":
    """Return what fruit are graded by; `network` is what runs the network, None for colour alone.

    With `looks_again` a second one looks at the marks of fruit whose stem and calyx come into view.
    """
    from api.line_grading import Grading
    from grading.defects import shipped_model
    from grading.learned import LearnedDetector, shipped
    from grading.line.asking import in_a_thread
    from grading.line.belt import Line, LineSetup
    from grading.line.record import belt_record, model_of
    from grading.second_look import shows_ends
    from grading.standard import load_standard, load_tariff

    by = load_standard(standard)
    brix_tenths = None if brix is None else round(brix * 10)
    setup = LineSetup(
        by,
        load_tariff(prices) if prices else load_tariff(),
        camera,
        learned=None if network is None else LearnedDetector(shipped(runtime=network)),
        brix_tenths=brix_tenths,
        defects=shipped_model() if looks_again and shows_ends(by) else None,
    )
    ask = None if setup.defects is None else in_a_thread(setup.defects)
    return Grading(
        standard=setup.standard,
        tariff=setup.tariff,
        profile=camera,
        belt=lambda first: Line(setup, first=first, ask=ask),
        record=lambda passed, run: belt_record(passed, setup, run=run),
        model=(model_of(setup),),
        brix_tenths=brix_tenths,
        looks_again=setup.defects is not None,
    )


def _wiring(file: Path | None, tariff: "Tariff", clock: "Clock") -> "Wiring":
    """Return the wired line, or one where people sort by what the screen shows."""
    from grading.line.lanes import REJECT, lanes_for
    from grading.line.wiring import NoOutputs, Wiring, open_wiring

    if file is not None:
        return open_wiring(file, tariff, clock=clock)
    lanes = lanes_for(tariff, dict.fromkeys(tariff.tiers, REJECT), {}, speed_um_s=1, lead_um=0, spacing_um=0)
    return Wiring("LINE-1", lanes, NoOutputs(), None, None, clock)


def _refuse_other_rules(delivery: "Delivery", grading: "Grading") -> None:
    """Raise OtherStandardError where the house is known to grade this crop otherwise."""
    from api.line_errors import OtherStandardError

    rules = grading.rules
    known = next((each for each in (delivery.known or {}).get("rules", ()) if each["crop"] == rules.crop), None)
    if known is None:
        return
    if known["standard_file"] != rules.standard_file:
        raise OtherStandardError("standard", rules.standard, known["standard"])
    if known["tariff_file"] != rules.tariff_file:
        raise OtherStandardError("price book", rules.tariff_file[:12], known["tariff_file"][:12])


def _is_same(typed: str, secret: str) -> bool:
    import hmac

    def plain(text: str) -> bytes:
        return "".join(text.upper().split()).replace("-", "").encode()

    return hmac.compare_digest(plain(typed), plain(secret))
