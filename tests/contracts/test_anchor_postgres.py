"""The outbox on PostgreSQL, where two anchorers really write at the same time."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from contracts import outbox, trouble
from contracts.anchor import Anchorer
from contracts.chain import Chain
from contracts.costs import costs
from contracts.errors import ChainUnreachableError
from contracts.heads import log_id
from contracts.keys import PublisherKey
from contracts.models import AnchorState
from contracts.policy import Policy
from ledger.kernel.database import Database
from ledger.models import Checkpoint
from tests.contracts.simulators import ORIGIN, Head, SampleLog, rows
from tests.databases import each_kind

pytestmark = pytest.mark.postgres


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Database]:
    """An empty PostgreSQL database."""
    with each_kind("postgresql", tmp_path) as database:
        yield database


def test_heads_are_anchored_and_read_back(
    anchorer: Anchorer, sample_log: SampleLog, postgres: Database, now: datetime
) -> None:
    for size in (4, 9):
        anchorer.anchor(postgres, sample_log.grow(size), now=now)
    assert [(row.size, row.state, row.final_at) for row in rows(postgres)] == [
        (4, AnchorState.FINAL, now),
        (9, AnchorState.FINAL, now),
    ]
    with postgres.read() as session:
        latest = outbox.latest_final(session, origin=ORIGIN)
        assert latest is not None
        assert latest.size == 9
        assert outbox.gas_per_event(session, origin=ORIGIN) is not None


def test_many_anchorers_at_once_anchor_every_head_once(
    chain: Chain, key: PublisherKey, sample_log: SampleLog, postgres: Database, now: datetime
) -> None:
    sample_log.grow(40)
    failed: list[BaseException] = []
    meeting = threading.Barrier(4)

    def run(sizes: range) -> None:
        anchorer = Anchorer(chain, key, origin=ORIGIN, tree=sample_log)
        try:
            for size in sizes:
                meeting.wait()
                anchorer.anchor(postgres, Head(size, sample_log.root(None, size)), now=now)
        except BaseException as error:
            failed.append(error)
            meeting.abort()
            raise

    Anchorer(chain, key, origin=ORIGIN, tree=sample_log).prepare()
    threads = [threading.Thread(target=run, args=(range(1 + first, 41, 4),)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    held = [one.size for one in chain.history(log_id(ORIGIN))]
    assert held == sorted(set(held))
    assert [row.size for row in rows(postgres)] == held
    assert {row.state for row in rows(postgres)} == {AnchorState.FINAL}
    assert chain.nonce(key.address) == 2 + len(held)


def test_the_policy_and_what_is_in_the_way_live_there_too(
    anchorer: Anchorer, sample_log: SampleLog, postgres: Database, now: datetime
) -> None:
    head = sample_log.grow(9)
    with postgres.write() as session:
        session.add(Checkpoint(size=9, previous_size=0, root=head.root, note="", signed_at=now))
    with postgres.read() as session:
        assert outbox.needs_a_look(session, Policy(60), origin=ORIGIN, now=now)
        assert outbox.waiting_since(session, origin=ORIGIN) == now
    with pytest.raises(ChainUnreachableError), trouble.noted(postgres, origin=ORIGIN, now=now):
        raise ChainUnreachableError("silence")
    with postgres.read() as session:
        assert not outbox.needs_a_look(session, Policy(60), origin=ORIGIN, now=now)
    later = now + timedelta(seconds=2)
    with trouble.noted(postgres, origin=ORIGIN, now=later):
        anchorer.tend(postgres, Policy(60), now=later)
    with postgres.read() as session:
        assert trouble.trouble(session, origin=ORIGIN) is None
        assert outbox.counts(session, origin=ORIGIN)[AnchorState.FINAL] == 1
        assert outbox.waiting_since(session, origin=ORIGIN) is None
        assert costs(session, origin=ORIGIN).total.events == 9
