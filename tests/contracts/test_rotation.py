"""Another key for the log: two steps, each safe to repeat, and never in the middle of an anchor."""

from datetime import datetime
from pathlib import Path

import pytest

from contracts import rotation
from contracts.anchor import Anchorer
from contracts.chain import Chain
from contracts.errors import CallRefusedError, InsufficientFundsError, RotationError
from contracts.heads import log_id
from contracts.keys import PublisherKey
from contracts.models import AnchorState
from ledger.kernel.database import Database
from tests.contracts.simulators import ORIGIN, Anvil, SampleLog, rows

NAME = log_id(ORIGIN)


def anchorer(chain: Chain, key: PublisherKey, log: SampleLog) -> Anchorer:
    return Anchorer(chain, key, origin=ORIGIN, tree=log, confirmations=1)


def hand_over(chain: Chain, key: PublisherKey, after: PublisherKey) -> None:
    for _ in range(2):  # repeating a step changes nothing
        rotation.offer(chain, key, NAME, after.address)
        rotation.give_play_money(chain, key, after.address)
    for _ in range(2):
        rotation.accept(chain, after, NAME)


@pytest.mark.parametrize("where", ["embedded", "node"])
def test_the_next_key_anchors_and_the_last_one_no_more(
    where: str, tmp_path: Path, sample_log: SampleLog, db: Database, now: datetime, request: pytest.FixtureRequest
) -> None:
    key, after = PublisherKey.create(), PublisherKey.create()
    if where == "embedded":
        chain = Chain.embedded(tmp_path / "chain.db", funded=key.address)
    else:
        chain = Chain.connect(request.getfixturevalue("anvil").url, deployment=tmp_path / "deployment.json")
    anchorer(chain, key, sample_log).anchor(db, sample_log.grow(5), now=now)
    if where == "node":
        anvil: Anvil = request.getfixturevalue("anvil")
        anvil.mine(2)
        anchorer(chain, key, sample_log).advance(db, now=now)
    assert chain.successor(NAME) is None
    hand_over(chain, key, after)
    assert (chain.publisher(NAME), chain.successor(NAME)) == (after.address, None)
    with pytest.raises(CallRefusedError) as caught:
        anchorer(chain, key, sample_log).anchor(db, sample_log.grow(9), now=now)
    assert caught.value.name == "NotPublisher"
    anchorer(chain, after, sample_log).anchor(db, sample_log.grow(9), now=now)
    if where == "node":
        anvil.mine(2)
        anchorer(chain, after, sample_log).advance(db, now=now)
    assert [(row.size, row.state, row.sender) for row in rows(db)] == [
        (5, AnchorState.FINAL, key.address),
        (9, AnchorState.FINAL, after.address),
    ]
    chain.close()


def test_only_the_publisher_offers_and_only_whom_it_offers_to_accepts(chain: Chain, key: PublisherKey) -> None:
    anchorer(chain, key, SampleLog()).prepare()
    first, second, thief = PublisherKey.create(), PublisherKey.create(), PublisherKey.create()
    with pytest.raises(CallRefusedError, match="NotPublisher"):
        rotation.offer(chain, thief, NAME, thief.address)
    with pytest.raises(CallRefusedError, match="NotSuccessor"):
        rotation.accept(chain, thief, NAME)
    rotation.offer(chain, key, NAME, first.address)
    rotation.offer(chain, key, NAME, second.address)  # which takes the first offer back
    with pytest.raises(CallRefusedError, match="NotSuccessor"):
        rotation.accept(chain, first, NAME)
    with pytest.raises(InsufficientFundsError):
        rotation.accept(chain, second, NAME)
    assert chain.publisher(NAME) == key.address


def test_while_an_anchor_is_on_its_way_nobody_hands_over(
    chain: Chain, key: PublisherKey, sample_log: SampleLog, db: Database, now: datetime
) -> None:
    one = anchorer(chain, key, sample_log)
    one.plan(db, sample_log.grow(5), now=now)
    with db.read() as session, pytest.raises(RotationError, match="5 leaves is signed"):
        rotation.require_settled(session, origin=ORIGIN, place=one.place)
    one.advance(db, now=now)
    with db.read() as session:
        rotation.require_settled(session, origin=ORIGIN, place=one.place)


def test_the_files_change_places_and_nothing_is_lost(tmp_path: Path) -> None:
    before = PublisherKey.load_or_create(tmp_path / "publisher.key").address
    after = PublisherKey.load_or_create(tmp_path / "publisher-next.key").address
    kept = rotation.change_files(tmp_path, retired=before)
    assert PublisherKey.load_or_create(tmp_path / "publisher.key").address == after
    assert PublisherKey.load_or_create(kept).address == before
    assert not (tmp_path / "publisher-next.key").exists()
    # Killed after the first of the two steps, the whole is done again.
    third = PublisherKey.load_or_create(tmp_path / "publisher-next.key").address
    (tmp_path / f"publisher-{after}.key").hardlink_to(tmp_path / "publisher.key")
    rotation.change_files(tmp_path, retired=after)
    assert PublisherKey.load_or_create(tmp_path / "publisher.key").address == third
