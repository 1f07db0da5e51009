"""Commands about the chain: deploy the contract, see how anchoring stands, ask any chain for a log's head."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from api.terminal import OK, WRONG, AsJson, command, installation, print_json, say, table

if TYPE_CHECKING:
    from datetime import datetime

    from sqlmodel import Session

    from api.runtime import Runtime
    from contracts.chain import Chain
    from contracts.check import Seen
    from contracts.heads import Place
    from contracts.keys import PublisherKey

app = typer.Typer(help="The chain that heads of the log are anchored in.", no_args_is_help=True)

_RATE_DAYS: Final = 30
"""Anchors of so many days say what anchoring costs a day."""


@command(app)
def head(
    rpc: Annotated[str, typer.Option(metavar="URL", help="A JSON-RPC node that you trust.")],
    contract: Annotated[str, typer.Option(metavar="ADDRESS", help="The contract, as a proof file names it.")],
    log: Annotated[str, typer.Option(metavar="ORIGIN", help="The log's name: the first line of its checkpoints.")],
    as_json: AsJson = False,
) -> int:
    """Ask a chain for the newest head of a log. Needs nothing of ours: the code at the address is compared too."""
    from contracts.check import look

    seen = look(rpc, contract=contract, origin=log)
    if as_json:
        print_json(_seen_json(seen, log))
        return OK if seen.publisher else WRONG
    if seen.publisher is None:
        say(f"{log} is not open in {seen.contract} on chain {seen.chain_id}: nothing was ever anchored there")
        return WRONG
    say(f"{log} in {seen.contract} on {_named(seen.chain_id)}, which is AnchorLog as published")
    if seen.head.size:
        say(f"newest head: {seen.head.size} entries, root {seen.head.root.hex()}")
        when = "" if seen.head_time is None else f", {_utc(seen.head_time)}"
        by = "" if seen.transaction is None else f", transaction 0x{seen.transaction.hex()}"
        say(f"anchored in block {seen.head.block}{when}{by}")
    else:
        say("nothing is anchored yet")
    say(f"publisher {seen.publisher}" + (f", offered to {seen.successor}" if seen.successor else ""))
    return OK


@command(app)
def deploy(
    rpc: Annotated[
        str, typer.Option(metavar="URL", help="A JSON-RPC node of the chain; GUOYUAN_CHAIN_URL unless given.")
    ] = "",
    contract: Annotated[
        str, typer.Option(metavar="ADDRESS", help="An AnchorLog that stands there already: use that one.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before paying.")] = False,
    as_json: AsJson = False,
) -> int:
    """Deploy the contract and open our log in it, once: killed and started again, it goes on where it was.

    The address is remembered in the home folder. Where one is remembered, nothing is paid.
    """
    from contracts.chain import Chain, deployment_file
    from contracts.heads import log_id
    from contracts.keys import PublisherKey

    with installation() as rt:
        key = PublisherKey.open(rt.settings)
        url = rpc or rt.settings.chain_url
        chain = Chain.connect(url, deployment=deployment_file(rt.settings)) if url else rt.chain
        try:
            chain.take_play_money(key.address)
            if contract:
                chain.adopt_deployment(contract)
            if not chain.is_deployed and not (yes or chain.is_embedded or _agreed(chain, key)):
                say("nothing was sent")
                return OK
            address = chain.deploy_if_absent(key)
            name = log_id(rt.settings.log_origin)
            chain.open_log_if_absent(key, name)
            document = _place_json(rt, chain) | {
                "publisher": chain.publisher(name),
                "deployment_block": chain.deployment_block,
            }
        finally:
            chain.close()
    if as_json:
        print_json(document)
        return OK
    say(f"AnchorLog is at {address} on {_named(document['chain_id'])}; {rt.settings.log_origin} is open in it")
    if document["contract_url"]:
        say(f"see it there: {document['contract_url']}")
    if rpc and rpc != rt.settings.chain_url:
        say("to anchor there, set GUOYUAN_CHAIN_URL; from another chain, move with: guoyuan chain move")
    return OK


@command(app, "open")
def open_log(
    log: Annotated[str, typer.Argument(metavar="ORIGIN", help="The other log's name.")],
    publisher: Annotated[str, typer.Argument(metavar="ADDRESS", help="Whose key may anchor in it.")],
    as_json: AsJson = False,
) -> int:
    """Open another installation's log in our contract, so that both share it. Only the key that deployed it can."""
    from contracts.heads import log_id
    from contracts.keys import PublisherKey

    with installation() as rt:
        rt.chain.open_log_if_absent(PublisherKey.open(rt.settings), log_id(log), publisher=publisher)
        found = rt.chain.publisher(log_id(log))
        document = _place_json(rt, rt.chain) | {"log": log, "publisher": found}
    if as_json:
        print_json(document)
    else:
        say(f"{log} is open in {document['contract']}; {found} may anchor in it")
    return OK if found is not None and found.lower() == publisher.lower() else WRONG


@command(app)
def move(
    to: Annotated[str, typer.Option(metavar="URL", help="A JSON-RPC node of the chain to move to.")] = "",
    contract: Annotated[
        str, typer.Option(metavar="ADDRESS", help="An AnchorLog there with our log open; deployed anew unless given.")
    ] = "",
    drop: Annotated[bool, typer.Option("--drop", help="Give up a move that the log does not speak of yet.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before paying.")] = False,
    as_json: AsJson = False,
) -> int:
    """Move the log to another chain, its history with it. Killed and started again, it goes on where it was.

    The old chain takes no more heads; an entry in the log says where it went and names a file with every head it
    holds; and a head that covers that entry becomes final on the new chain, which is ours from then on.
    """
    from contracts.errors import MoveRefusedError
    from contracts.keys import PublisherKey
    from contracts.moves import MovesFile
    from contracts.moving import Mover

    with installation() as rt:
        known = MovesFile(rt.settings.home).under_way()
        url = to or (known.to_url if known else "")
        if not url:
            raise MoveRefusedError("no move is under way; say where to with --to URL")
        mover = Mover.open(rt.settings, rt.db, rt.files, rt.signer, url=url, now=rt.clock.now)
        try:
            if drop:
                is_dropped = mover.drop()
                say("the move is given up" if is_dropped else "there is no move that could be given up")
                return OK if is_dropped else WRONG
            key = PublisherKey.open(rt.settings)
            mover.new.take_play_money(key.address)
            if not (yes or known or contract or mover.new.is_deployed or _agreed(mover.new, key)):
                say("nothing was begun")
                return OK
            mover.begin(contract=contract)
            done = mover.finish()
            document = _place_json(rt, mover.new) | {
                "from_chain_id": done.from_chain_id,
                "from_contract": done.from_contract,
                "last_size": done.last_size,
                "history": done.history,
                "event_id": done.event_id,
            }
        finally:
            mover.old.close()
            mover.new.close()
    if as_json:
        print_json(document)
        return OK
    say(f"{rt.settings.log_origin} is anchored on {_named(document['chain_id'])}, contract {document['contract']}")
    say(f"the {document['last_size']} entries anchored on {_named(done.from_chain_id)} are covered there")
    say(f"what the old chain held is in {done.history}; write it out with: guoyuan chain history")
    say("set GUOYUAN_CHAIN_URL to the new chain when convenient; until then it is remembered in moves.json")
    return OK


@command(app)
def history(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the files go.", file_okay=False)] = Path(),
    as_json: AsJson = False,
) -> int:
    """Write one file for every chain this log has left: its heads, and the proof that today's chain extends each."""
    from contracts.moving import histories

    with installation(reads_chain_only=True) as rt, rt.db.read() as session:
        found = histories(session, rt.files, rt.settings)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for one in found:
        file = out / f"heads-{one.chain_id}-{one.contract}.json"
        file.write_bytes(one.encode())
        written.append({"file": str(file), "chain_id": one.chain_id, "heads": len(one.heads)})
    if as_json:
        print_json({"histories": written})
    else:
        say("\n".join(f"{one['file']}: {one['heads']} heads" for one in written) or "this log has left no chain yet")
    return OK


@command(app)
def carried(
    proof: Annotated[Path, typer.Argument(metavar="PROOF", help="A proof file from before the move.")],
    history: Annotated[Path, typer.Option(metavar="FILE", help="The history of the chain it names.")],
    rpc: Annotated[str, typer.Option(metavar="URL", help="A JSON-RPC node of the chain that came after.")] = "",
    key: Annotated[
        str, typer.Option(metavar="VKEY", help="The log's key, name+id+key, from somewhere you trust.")
    ] = "",
    as_json: AsJson = False,
) -> int:
    """Check a proof file whose chain was left: on the chain that came after. Needs nothing of ours but the files."""
    from contracts.check import holds
    from contracts.history import MAX_BYTES, ChainHistory
    from ledger.checkpoint import LogKey
    from ledger.errors import VerificationError
    from ledger.proof import MAX_FILE_BYTES, verify

    with proof.open("rb") as opened, history.open("rb") as heads:
        data, listed = opened.read(MAX_FILE_BYTES + 1), ChainHistory.parse(heads.read(MAX_BYTES + 1))
    verified = verify(data, log_key=LogKey.parse(key) if key else None)
    if verified.anchor is None:
        raise VerificationError("the proof file names no anchor")
    after = listed.carry(verified.anchor)
    is_held = holds(rpc, after) if rpc else None
    if is_held is False:
        raise VerificationError(f"chain {after.chain_id} does not hold the head that is to extend the old one")
    if as_json:
        print_json(
            {
                "verifies": True,
                "subject": verified.subject,
                "from": {"chain_id": verified.anchor.chain_id, "size": verified.anchor.size},
                "to": {"chain_id": after.chain_id, "contract": after.contract, "size": after.size},
                "chain_asked": bool(rpc),
            }
        )
        return OK
    say(f"verifies: {len(verified.entries)} entries about {verified.subject}")
    say(f"its head of {verified.anchor.size} entries on {_named(verified.anchor.chain_id)} is listed, and")
    say(f"extended by the head of {after.size} entries in {after.contract} on {_named(after.chain_id)}")
    asked = f"{_named(after.chain_id)} holds that head" if rpc else "the new chain was not asked: give --rpc to ask it"
    say(asked)
    return OK


@command(app)
def status(as_json: AsJson = False) -> int:
    """Show chain, contract, publisher, money, newest head, and every anchor on its way."""
    with installation(reads_chain_only=True) as rt:
        has_chain = bool(rt.settings.chain_url) or (rt.settings.home / "chain.db").exists()
        document = _status(rt) if has_chain and rt.chain.is_deployed else {"contract": None}
    if as_json:
        print_json(document)
    elif document["contract"] is None:
        say("no contract is deployed yet; the first anchor deploys it")
    else:
        _say_status(document)
    return WRONG if document.get("is_ours") is False else OK


def _status(rt: "Runtime") -> dict[str, Any]:
    from api.progress import progress
    from contracts.heads import Place, log_id
    from contracts.keys import PublisherKey
    from contracts.outbox import counts, unsettled
    from ledger import tree
    from ledger.errors import LogInconsistentError

    chain, origin, now = rt.chain, rt.settings.log_origin, rt.clock.now()
    name, place = log_id(origin), Place(chain.chain_id, chain.address)
    newest = chain.head(name)
    address = PublisherKey.open(rt.settings).address
    balance = chain.balance(address)
    with rt.db.read() as session:
        done = progress(session, origin=origin)
        try:
            is_ours = newest.size == 0 or tree.root(session, newest.size) == newest.root
        except LogInconsistentError:
            is_ours = False
        states = counts(session, origin=origin)
        waiting = unsettled(session, origin=origin, place=place)
        wei_per_day = _wei_per_day(session, origin, place, now)
    return _place_json(rt, chain) | {
        "publisher": chain.publisher(name),
        "key": address,
        "balance_wei": balance,
        "wei_per_day": wei_per_day,
        "days_left": round(balance / wei_per_day) if wei_per_day and not chain.is_embedded else None,
        "head": {"size": newest.size, "root": newest.root.hex(), "block": newest.block},
        "is_ours": is_ours,
        "published": done.published,
        "anchors": states,
        "waiting": [
            {
                "size": row.size,
                "state": row.state,
                "nonce": row.nonce,
                "transaction": f"0x{row.tx_hash.hex()}" if row.tx_hash else None,
                "signed_at": row.signed_at,
            }
            for row in waiting
        ],
    }


def _wei_per_day(session: "Session", origin: str, place: "Place", now: "datetime") -> int:
    """What anchoring here has cost a day, over the last month or since the first anchor of it."""
    from datetime import timedelta

    from sqlmodel import col, select

    from contracts.models import Anchor

    since = now - timedelta(days=_RATE_DAYS)
    wanted = select(Anchor.included_at, Anchor.fee_wei).where(
        Anchor.log_origin == origin,
        Anchor.chain_id == place.chain_id,
        Anchor.contract == place.contract,
        col(Anchor.included_at) >= since,
    )
    paid = [(at, fee or 0) for at, fee in session.exec(wanted) if at is not None]
    if not paid:
        return 0
    days = max((now - min(at for at, _ in paid)).total_seconds() / 86_400, 1)
    return round(sum(fee for _, fee in paid) / days)


def _say_status(found: dict[str, Any]) -> None:
    from ledger.lookup import currency_of, is_private

    coins = currency_of(found["chain_id"])
    say(f"{_named(found['chain_id'])}, contract {found['contract']}")
    if found["contract_url"]:
        say(f"see it there:  {found['contract_url']}")
    if is_private(found["chain_id"]):
        say("this chain is in the operator's own hands: it shows order, and binds nobody else")
    say(f"ask yourself:  {found['ask']}")
    say(f"publisher      {found['publisher']}" + ("" if found["publisher"] == found["key"] else ", NOT our key"))
    say(f"our key        {found['key']}, {_coins(found['balance_wei'])} {coins}")
    if found["days_left"] is not None:
        say(f"               {_coins(found['wei_per_day'])} a day: enough for {found['days_left']} days at this rate")
    ours = "a head of our log" if found["is_ours"] else "NOT a head of our log: one of the two was rewritten"
    at = f"{found['head']['size']} entries in block {found['head']['block']}, {ours}"
    say(f"newest head    {at if found['head']['size'] else 'none yet'}")
    say(f"published      {found['published']} entries")
    counted = ", ".join(f"{count} {state}" for state, count in found["anchors"].items() if count)
    say(f"anchors        {counted or 'none yet'}")
    if found["waiting"]:
        rows = table("entries", "state", "nonce", "transaction")
        for row in found["waiting"]:
            rows.add_row(str(row["size"]), row["state"], str(row["nonce"]), row["transaction"] or "")
        say(rows)


def _agreed(chain: "Chain", key: "PublisherKey") -> bool:
    """Show what deploying costs and ask."""
    from ledger.lookup import currency_of

    gas, fees, balance = chain.deployment_gas(key), chain.fees(), chain.balance(key.address)
    coins = currency_of(chain.chain_id)
    typer.echo(f"{_named(chain.chain_id)}: {gas:,} gas, at most {_coins(gas * fees.max_wei)} {coins}", err=True)
    typer.echo(f"paid by {key.address}, which has {_coins(balance)} {coins}", err=True)
    return typer.confirm("Deploy AnchorLog there?", err=True)


def _place_json(rt: "Runtime", chain: "Chain") -> dict[str, Any]:
    from ledger.lookup import Lookup, ask_yourself, name_of

    lookup = Lookup.of(chain.chain_id, chain.address, explorer=rt.settings.explorer_url)
    return {
        "chain_id": chain.chain_id,
        "chain": name_of(chain.chain_id),
        "is_embedded": chain.is_embedded,
        "contract": chain.address,
        "contract_url": lookup.contract_url,
        "ask": ask_yourself(chain.address, rt.settings.log_origin, url=rt.settings.chain_door),
    }


def _seen_json(seen: "Seen", origin: str) -> dict[str, Any]:
    return {
        "chain_id": seen.chain_id,
        "contract": seen.contract,
        "is_anchor_log": True,
        "log": origin,
        "log_id": "0x" + seen.log_id.hex(),
        "registrar": seen.registrar,
        "publisher": seen.publisher,
        "successor": seen.successor,
        "head": {"size": seen.head.size, "root": seen.head.root.hex(), "block": seen.head.block},
        "head_time": None if seen.head_time is None else _utc(seen.head_time),
        "transaction": f"0x{seen.transaction.hex()}" if seen.transaction else None,
    }


def _named(chain_id: int) -> str:
    from ledger.lookup import name_of

    return f"{name_of(chain_id)} ({chain_id})"


def _coins(wei: int) -> str:
    """Wei as coins of 10^18, without a tail of noughts."""
    whole, rest = divmod(wei, 10**18)
    digits = f"{rest:018d}"[:9].rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def _utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
