"""What keeps anchors from going on, by name, where every process can read it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from contracts.errors import ChainError
from contracts.models import Trouble
from ledger.kernel.database import Database

_log = logging.getLogger(__name__)

LONGEST_WAIT_S: Final = 60.0
_WORDS: Final = 500


def trouble(session: Session, *, origin: str) -> Trouble | None:
    """Return what keeps a log's anchors from going on, or None."""
    return session.get(Trouble, origin)


def is_waiting(session: Session, *, origin: str, now: datetime) -> bool:
    """Whether the last failure is so fresh that trying again would only be noise."""
    found = trouble(session, origin=origin)
    # A clock that was put back must not make the wait longer.
    return found is not None and now < found.retry_at <= now + timedelta(seconds=LONGEST_WAIT_S)


@contextmanager
def noted(db: Database, *, origin: str, now: datetime) -> Iterator[None]:
    """Write down what a look at the chain fails with, and when to look again; forget it when one succeeds."""
    try:
        yield
    except ChainError as error:
        _note(db, error, origin=origin, now=now)
        raise
    _forget(db, origin=origin)


def _note(db: Database, error: ChainError, *, origin: str, now: datetime) -> None:
    with db.write() as session:
        found = session.get(Trouble, origin)
        if found is None or found.code != error.code:
            found = session.merge(
                Trouble(log_origin=origin, code=error.code, message="", since=now, times=0, last_at=now, retry_at=now)
            )
        found.times += 1
        found.message, found.last_at = str(error)[:_WORDS], now
        found.retry_at = now + timedelta(seconds=min(2.0 ** min(found.times - 1, 10), LONGEST_WAIT_S))
        session.add(found)


def _forget(db: Database, *, origin: str) -> None:
    with db.read() as session:
        if trouble(session, origin=origin) is None:
            return
    with db.write() as session:
        found = trouble(session, origin=origin)
        if found is not None:
            _log.info("anchoring goes on again after %s (%d times)", found.code, found.times)
            session.delete(found)
