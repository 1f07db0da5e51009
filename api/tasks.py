"""What runs by itself: three lines each, one transaction each. The functions they call know the rest."""

from api.runtime import Runtime
from api.worker import periodic
from farm_sensors import windows
from ledger import follow, log
from orders import sentences

PATIENCE_S = 120
"""How long after its end an hour of readings stays open for late ones."""


def followers(rt: Runtime) -> list[follow.Follower]:
    """Return everyone who reacts to the log."""
    del rt
    return []


@periodic(every=0.5)
def follow_log(rt: Runtime) -> None:
    """Integrate what was recorded and let every follower catch up."""
    follow.drain(rt.db, followers(rt), now=rt.clock.now())


@periodic(every=lambda settings: settings.publish_after_s)
def publish(rt: Runtime) -> None:
    """Sign a checkpoint over what is new."""
    with rt.db.write() as session:
        log.publish(session, rt.signer, now=rt.clock.now())


@periodic(every=2)
def close_windows(rt: Runtime) -> None:
    """Close the hours of readings that are over."""
    with rt.db.write() as session:
        windows.close_due(
            session, rt.files, now=rt.clock.now(), patience_s=PATIENCE_S, zone=rt.settings.time_zone
        )


@periodic(every=5)
def write_sold(rt: Runtime) -> None:
    """Write what was sold into the log, minute by minute."""
    with rt.db.write() as session:
        sentences.write_sold(session, now=rt.clock.now(), zone=rt.settings.time_zone)
