"""What runs by itself: a few lines each, one transaction each. The functions they call know the rest."""

from typing import Final

from api import accounts, witness_client
from api.runtime import Runtime
from api.worker import periodic
from contracts import outbox, trouble
from farm_sensors import windows
from ledger import follow, log
from orders import fulfilment, raising, sentences
from orders.stock import GradedStock

PATIENCE_S = 120
"""How long after its end an hour of readings stays open for late ones."""


FOLLOWERS: Final[tuple[follow.Follower, ...]] = (GradedStock(),)
"""Everyone who reacts to the log."""


@periodic(every=0.5, is_urgent=True)
def follow_log(rt: Runtime) -> None:
    """Integrate what was recorded and let every follower catch up."""
    follow.drain(rt.db, FOLLOWERS, now=rt.clock.now())


@periodic(every=lambda settings: settings.publish_after_s)
def publish(rt: Runtime) -> None:
    """Sign a checkpoint over what is new."""
    with rt.db.write() as session:
        log.publish(session, rt.signer, now=rt.clock.now())


@periodic(every=1)
def anchor(rt: Runtime) -> None:
    """Bring anchors on their way further into the chain, and send the next one when it is time."""
    now, origin, policy = rt.clock.now(), rt.settings.log_origin, outbox.policy_of(rt.settings)
    with rt.db.read() as session:
        if not outbox.needs_a_look(session, policy, origin=origin, now=now):
            return
    with trouble.noted(rt.db, origin=origin, now=now):
        rt.anchorer.tend(rt.db, policy, now=now)


@periodic(every=300)
def watch_anchors(rt: Runtime) -> None:
    """Look whether a public chain still holds what counted as final; the embedded one drops nothing."""
    if not rt.chain.is_embedded:
        rt.anchorer.watch(rt.db)


@periodic(every=2)
def close_windows(rt: Runtime) -> None:
    """Close the hours of readings that are over."""
    with rt.db.write() as session:
        windows.close_due(session, rt.files, now=rt.clock.now(), patience_s=PATIENCE_S, zone=rt.settings.time_zone)


@periodic(every=5)
def write_sold(rt: Runtime) -> None:
    """Write what was sold into the log, minute by minute."""
    with rt.db.write() as session:
        sentences.write_sold(session, now=rt.clock.now(), zone=rt.settings.time_zone)


@periodic(every=0.5, is_urgent=True)
def raise_pick_orders(rt: Runtime) -> None:
    """Ask farmers for what was sold and is not on its way yet."""
    with rt.db.write() as session:
        raising.raise_orders(session, now=rt.clock.now(), numbering=rt.numbering, zone=rt.settings.time_zone)


@periodic(every=5)
def assign_spare_packs(rt: Runtime) -> None:
    """Give packs that nobody has yet to the buyers who wait for them."""
    with rt.db.write() as session:
        fulfilment.assign_spare(session)


@periodic(every=1, is_patient=True)
def ask_witnesses(rt: Runtime) -> None:
    """Ask whoever has not cosigned the newest checkpoint yet."""
    witness_client.ask_witnesses(rt)


@periodic(every=600)
def forget_ended(rt: Runtime) -> None:
    """Delete sessions, links and counted failures that are over."""
    with rt.db.write() as session:
        accounts.forget_ended(session, now=rt.clock.now())
