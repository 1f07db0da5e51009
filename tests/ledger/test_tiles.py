"""C2SP tlog-tiles: which tiles a tree has, how they are named, what is in one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle, tiles
from ledger.errors import VerificationError
from ledger.tiles import TileKey

LEAVES = [merkle.leaf_hash(i.to_bytes(4, "big")) for i in range(1500)]


def test_a_tree_of_seventy_thousand_has_the_tiles_the_specification_lists() -> None:
    found = list(tiles.tiles_of(70_000))
    assert [key.path() for key in found if key.width < 256] == ["0/273.p/112", "1/001.p/17", "2/000.p/1"]
    assert sum(key.level == 0 for key in found) == 274
    assert [key.path() for key in found if key.level == 1] == ["1/000", "1/001.p/17"]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (TileKey(0, 0), "0/000"),
        (TileKey(0, 1_234_067), "0/x001/x234/067"),
        (TileKey(3, 999, 1), "3/999.p/1"),
        (TileKey(-1, 1_000, 8), "entries/x001/000.p/8"),
    ],
)
def test_a_tile_has_one_path(key: TileKey, path: str) -> None:
    assert key.path() == path
    assert tiles.parse_path(path) == key


@given(st.integers(-1, 63), st.integers(0, 10**15), st.integers(1, 256))
def test_paths_come_back(level: int, number: int, width: int) -> None:
    key = TileKey(level, number, width)
    assert tiles.parse_path(key.path()) == key


@pytest.mark.parametrize(
    "path",
    [
        *("", "0", "0/0", "0/00", "0/0000", "64/000", "00/000", "0/x000/000", "-1/000", "../etc/passwd", "/0/001"),
        *("0/001.p/0", "0/001.p/256", "0/001.p/257", "0/001.p/01", "0/001.p/", "0/001.P/3", "0/001/", "0/001\n"),
        *("0/x001/x002", "0/\uff10\uff10\uff11", "entries/1", "Entries/001", "0/" + "x001/" * 500 + "001x"),
    ],
    ids=repr,
)
def test_any_other_path_is_refused(path: str) -> None:
    with pytest.raises(VerificationError):
        tiles.parse_path(path)


@given(st.integers(1, 1500), st.data())
def test_every_full_subtree_is_found_in_its_tile(size: int, data: st.DataObject) -> None:
    level = data.draw(st.integers(0, size.bit_length() - 1))
    number = data.draw(st.integers(0, (size >> level) - 1))
    tile_level, tile_number, position = tiles.place_of(level, number)
    assert tiles.node_in(stored_tile(size, tile_level, tile_number), position) == merkle.root(
        LEAVES[number << level : (number + 1) << level]
    )


def stored_tile(size: int, level: int, number: int) -> bytes:
    """A tile as the database keeps it, worked out from the leaves."""
    step = 256**level
    nodes = [merkle.root(LEAVES[i * step : (i + 1) * step]) for i in range(size // step)]
    hashes = b"".join(nodes[number * 256 : (number + 1) * 256])
    return tiles.full_tile(hashes) if len(hashes) == tiles.TILE_BYTES else hashes


def test_a_stored_full_tile_begins_with_the_published_one() -> None:
    hashes = b"".join(LEAVES[:256])
    stored = tiles.full_tile(hashes)
    assert stored[: tiles.TILE_BYTES] == hashes
    assert stored[-32:] == merkle.root(LEAVES[:256])
    assert len(stored) == 511 * 32


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_gives_its_entries_back(entries: list[bytes]) -> None:
    assert tiles.parse_bundle(tiles.bundle(entries)) == entries


def test_an_entry_may_be_as_long_as_two_bytes_can_say() -> None:
    assert tiles.parse_bundle(tiles.bundle([b"x" * tiles.MAX_ENTRY_BYTES])) == [b"x" * 65_535]


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_bundle_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(VerificationError, match="cut short"):
        tiles.parse_bundle(tiles.bundle([b"abc"])[:-cut] or b"\0")
