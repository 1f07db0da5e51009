"""The stored tree gives what the tree in memory gives, however it grew."""

import random

import pytest
from sqlmodel import select

from ledger import merkle, tiles, tree
from ledger.errors import LogInconsistentError
from ledger.kernel.database import Database
from ledger.models import Tile

SIZE = 66_200  # reaches the third level of tiles, and leaves every right edge partial
LEAVES = [merkle.leaf_hash(i.to_bytes(4, "big")) for i in range(SIZE)]


def grow(db: Database, steps: list[int]) -> int:
    """Append leaves in steps, one transaction each; return the size reached."""
    size = 0
    for step in steps:
        with db.write() as session:
            tree.append(session, size, LEAVES[size : size + step])
        size += step
    return size


@pytest.mark.parametrize("seed", range(3))
def test_it_does_not_matter_how_it_grew(any_db: Database, seed: int) -> None:
    dice = random.Random(seed)
    size = grow(any_db, [dice.choice([1, 2, 17, 255, 256, 257, 300]) for _ in range(12)])
    with any_db.read() as session:
        for n in sorted({0, 1, 2, 255, 256, 257, size // 2, size} & set(range(size + 1))):
            assert tree.root(session, n) == merkle.root(LEAVES[:n])
            for m in sorted({0, 1, n // 3, n - 1} & set(range(n))):
                assert tree.inclusion(session, m, n) == merkle.prove_inclusion(m, LEAVES[:n])
                assert tree.consistency(session, m, n) == merkle.prove_consistency(m, LEAVES[:n])


def test_three_levels_of_tiles(any_db: Database) -> None:
    grow(any_db, [40_000, SIZE - 40_000])
    with any_db.read() as session:
        assert tree.root(session, SIZE) == merkle.root(LEAVES)
        for m in (0, 255, 256, 65_535, 65_536, SIZE - 1):
            path = tree.inclusion(session, m, SIZE)
            merkle.verify_inclusion(LEAVES[m], m, SIZE, path, merkle.root(LEAVES))
        found = {(level, number) for level, number in session.exec(select(Tile.level, Tile.number))}
        assert found == {(key.level, key.number) for key in tiles.tiles_of(SIZE)}


def test_full_tiles_are_never_written_again(db: Database) -> None:
    grow(db, [300])
    with db.read() as session:
        before = session.get(Tile, (0, 0))
        assert before is not None
    with db.write() as session:
        tree.append(session, 300, LEAVES[300:600])
    with db.read() as session:
        after = session.get(Tile, (0, 0))
        assert after is not None
        assert after.data == before.data


def test_a_lost_tile_is_noticed(db: Database) -> None:
    grow(db, [700])
    with db.write() as session:
        session.delete(session.get(Tile, (0, 1)))
    with db.read() as session, pytest.raises(LogInconsistentError, match="rebuild"):
        tree.inclusion(session, 300, 700)


def test_a_tree_shorter_than_its_log_is_not_extended(db: Database) -> None:
    grow(db, [100])
    with db.write() as session, pytest.raises(LogInconsistentError, match="not 150 wide"):
        tree.append(session, 150, LEAVES[150:151])
    with db.read() as session, pytest.raises(LogInconsistentError, match="lacks node"):
        tree.root(session, 101)
