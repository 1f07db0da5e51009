"""What anchoring costs, and whose key anchors: `guoyuan chain costs`, `guoyuan chain publisher`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from api.terminal import BAD_INPUT, OK, WRONG, AsJson, command, installation, print_json, say, table

if TYPE_CHECKING:
    from api.runtime import Runtime
    from contracts.costs import Cost, Costs
    from contracts.keys import PublisherKey

chain_app = typer.Typer()
publisher_app = typer.Typer(help="The key that anchors: seal it, and hand the log on to another.", no_args_is_help=True)

_GWEI = 10**9


def join(chain: typer.Typer) -> None:
    """Add these commands to the group `guoyuan chain`."""
    chain.add_typer(chain_app)
    chain.add_typer(publisher_app, name="publisher")


@command(chain_app)
def costs(
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw gas per event day by day into an SVG file.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Show what anchoring has cost: gas and fee, for a day and for an event, beside other ways of anchoring."""
    from contracts.costs import costs as costs_of

    if plot is not None and plot.suffix.lower() != ".svg":
        typer.echo(f"guoyuan: {plot.name} does not end in .svg, the one form that is drawn", err=True)
        return BAD_INPUT
    with installation() as rt, rt.db.read() as session:
        found = costs_of(session, origin=rt.settings.log_origin, zone=ZoneInfo(rt.settings.time_zone))
    if plot is not None:
        plot.write_text(_drawn(found))
    if as_json:
        days = [{"day": day.isoformat(), **_json(cost)} for day, cost in found.days]
        print_json({"total": _json(found.total), "days": days})
        return OK
    if not found.days:
        say("nothing is anchored yet")
        return OK
    rows = table("day", "anchors", "events", "gas", "gas an event", "fee in gwei", "gwei an event")
    for name, cost in [*((day.isoformat(), cost) for day, cost in found.days), ("all", found.total)]:
        each, paid = cost.gas_per_event, cost.wei_per_event
        rows.add_row(
            name,
            f"{cost.anchors}",
            f"{cost.events}",
            f"{cost.gas:,}",
            "" if each is None else f"{each:,.2f}",
            f"{cost.fee_wei / _GWEI:,.0f}",
            "" if paid is None else f"{paid / _GWEI:,.4f}",
        )
    say(rows)
    for name, gas in found.total.others_gas.items():
        say(f"{name.replace('_', ' ')}: {gas:,} gas, {gas / max(found.total.gas, 1):,.2f} times as much")
    if plot is not None:
        say(f"drawn in {plot}")
    return OK


def _json(cost: "Cost") -> dict[str, Any]:
    return {
        "anchors": cost.anchors,
        "events": cost.events,
        "gas": cost.gas,
        "fee_wei": cost.fee_wei,
        "gas_per_event": cost.gas_per_event,
        "wei_per_event": cost.wei_per_event,
        "gas_of_other_ways": cost.others_gas,
    }


def _drawn(found: "Costs") -> str:
    from api.cost_plot import Line, chart

    days = [cost for _, cost in found.days]
    names = ("transaction_per_event", "two_slot_store", "timestamp_of_a_root")
    lines = [Line("AnchorLog, enforced", tuple(cost.gas_per_event for cost in days))]
    for name in names:
        each = tuple(cost.others_gas[name] / cost.events if cost.events else None for cost in days)
        lines.append(Line(name.replace("_", " "), each))
    labels = [f"{day:%m-%d}" for day, _ in found.days]
    return chart("Gas for an event", unit="gas", labels=labels, lines=lines)


@command(publisher_app)
def show(as_json: AsJson = False) -> int:
    """Show whose key anchors, whom the log is offered to, and the successor that is kept here."""
    from contracts.heads import log_id
    from contracts.keys import PublisherKey

    with installation(reads_chain_only=True) as rt:
        name, after = log_id(rt.settings.log_origin), rt.settings.keys_dir / "publisher-next.key"
        document = {
            "publisher": rt.chain.publisher(name),
            "offered_to": rt.chain.successor(name),
            "our_key": PublisherKey.open(rt.settings).address,
            "next_key": _next_key(rt).address if after.exists() else None,
        }
    if as_json:
        print_json(document)
    else:
        say("\n".join(f"{word.replace('_', ' ')}: {address or 'nobody'}" for word, address in document.items()))
    return OK if document["publisher"] == document["our_key"] else WRONG


@command(publisher_app)
def propose(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="Whose key; a new one is made here unless given.")
    ] = "",
    as_json: AsJson = False,
) -> int:
    """Offer the log to another key: the first of two steps. Proposing another takes the offer back."""
    from contracts import rotation
    from contracts.heads import log_id
    from contracts.keys import PublisherKey

    with installation() as rt:
        key, name = PublisherKey.open(rt.settings), log_id(rt.settings.log_origin)
        successor = address or _next_key(rt).address
        rotation.offer(rt.chain, key, name, successor)
        rotation.give_play_money(rt.chain, key, successor)
        document = {"publisher": key.address, "offered_to": rt.chain.successor(name)}
    if as_json:
        print_json(document)
        return OK
    say(f"{rt.settings.log_origin} is offered to {successor}, which needs a little money to accept")
    say("the second step, where that key is: guoyuan chain publisher accept")
    return OK


@command(publisher_app)
def accept(as_json: AsJson = False) -> int:
    """Take over the log with the key it was offered to: the second step. Restart what runs afterwards."""
    from contracts import rotation
    from contracts.heads import Place, log_id
    from contracts.keys import PublisherKey

    with installation() as rt:
        folder, name = rt.settings.keys_dir, log_id(rt.settings.log_origin)
        is_ours = (folder / "publisher-next.key").exists() and not rt.settings.signer_url
        before, key = PublisherKey.open(rt.settings), _next_key(rt) if is_ours else PublisherKey.open(rt.settings)
        if rt.chain.publisher(name) != key.address:
            with rt.db.read() as session:
                place = Place(rt.chain.chain_id, rt.chain.address)
                rotation.require_settled(session, origin=rt.settings.log_origin, place=place)
        rotation.accept(rt.chain, key, name)
        kept = rotation.change_files(folder, retired=before.address) if is_ours else None
    if as_json:
        print_json({"publisher": key.address, "kept": str(kept) if kept else None})
        return OK
    say(f"{key.address} anchors {rt.settings.log_origin} from now on; restart guoyuan up and the workers")
    if kept:
        say(f"the key before it is kept in {kept}")
    return OK


@command(publisher_app)
def seal(
    old_passphrase_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What opens it now; the development default unless given.", exists=True),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Seal keys/publisher.key anew under GUOYUAN_KEYSTORE_PASSPHRASE. Safe to kill: it holds one or the other."""
    from contracts.keystore import Keystore, seal
    from ledger.kernel.settings import DEFAULT_PASSPHRASE, Settings

    settings = Settings.load()
    old = old_passphrase_file.read_text().rstrip("\r\n") if old_passphrase_file else DEFAULT_PASSPHRASE
    path = settings.keys_dir / "publisher.key"
    keystore = Keystore(path, old)
    seal(path, keystore.secret(), settings.passphrase)
    if as_json:
        print_json({"address": keystore.address})
    else:
        say(f"the key of {keystore.address} is sealed under the new passphrase")
    return OK


def _next_key(rt: "Runtime") -> "PublisherKey":
    from contracts.keys import PublisherKey

    return PublisherKey.load_or_create(rt.settings.keys_dir / "publisher-next.key", passphrase=rt.settings.passphrase)
