"""The static layout of the log: C2SP tlog-tiles. Tiles of height 8, entry bundles, their paths.

Pure. A tile (level, number) holds the hashes of up to 256 neighbouring nodes of tree level
`8 * level`. We keep one more thing: a full tile is stored with the 255 nodes above its hashes
behind them, row by row, so that no proof has to hash anything to use it.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from ledger.errors import VerificationError
from ledger.merkle import node_hash

HEIGHT: Final = 8
WIDTH: Final = 256
HASH_BYTES: Final = 32
TILE_BYTES: Final = WIDTH * HASH_BYTES
MAX_ENTRY_BYTES: Final = 65_535
"""An entry's length is two bytes in a bundle."""

_PATH: Final = re.compile(r"(?:(entries)|([0-9]|[1-5][0-9]|6[0-3]))/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?")


class TileKey(NamedTuple):
    """Which tile: its level (entry bundles: -1), its number from the left, and how wide it is."""

    level: int
    number: int
    width: int = WIDTH

    def path(self) -> str:
        """Return the path under `tile/`: `0/x001/234`, `entries/067.p/8`."""
        digits = [f"{self.number % 1000:03d}"]
        rest = self.number // 1000
        while rest:
            digits.insert(0, f"x{rest % 1000:03d}")
            rest //= 1000
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"{'entries' if self.level < 0 else self.level}/{'/'.join(digits)}{partial}"


def parse_path(path: str) -> TileKey:
    """Return the tile that a path under `tile/` names. Raises VerificationError for any other text."""
    match = _PATH.fullmatch(path)
    if match is None or not path.isascii():
        raise VerificationError(f"{path[:80]!r} is not a tile path")
    number = int(match[3].replace("x", "").replace("/", ""))
    key = TileKey(-1 if match[1] else int(match[2]), number, int(match[4] or WIDTH))
    if key.width > WIDTH or key.path() != path:
        raise VerificationError(f"{path[:80]!r} is not the one spelling of a tile path")
    return key


def tiles_of(size: int) -> Iterator[TileKey]:
    """Yield every tile of a tree, level by level, the partial ones at its right edge included."""
    level, nodes = 0, size
    while nodes:
        for number in range(nodes // WIDTH):
            yield TileKey(level, number)
        if nodes % WIDTH:
            yield TileKey(level, nodes // WIDTH, nodes % WIDTH)
        level, nodes = level + 1, nodes // WIDTH


def place_of(level: int, number: int) -> tuple[int, int, int]:
    """Return where a node of the tree stands: tile level, tile number, and position in the stored tile."""
    tile_level, height = divmod(level, HEIGHT)
    per_tile = WIDTH >> height
    # Rows below this one in the stored tile: 256 + 128 + ... = 512 - 2 * per_tile.
    return tile_level, number // per_tile, 2 * WIDTH - 2 * per_tile + number % per_tile


def node_in(data: bytes, position: int) -> bytes:
    """Return one node of a stored tile; the rows above a partial tile's hashes are worked out."""
    if len(data) <= TILE_BYTES:
        data = expand(data)
    return data[position * HASH_BYTES : (position + 1) * HASH_BYTES]


def full_tile(hashes: bytes) -> bytes:
    """Return what is stored of a full tile: its 256 hashes and the 255 nodes above them."""
    return _expanded(hashes)


@lru_cache(maxsize=64)
def expand(hashes: bytes) -> bytes:
    """Return a tile with the nodes above its hashes, zero where no full subtree stands yet.

    Kept by content, not by name, so that a changed tile can never be answered from memory.
    """
    return _expanded(hashes)


def _expanded(hashes: bytes) -> bytes:
    row = [hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)]
    parts, width = [hashes.ljust(TILE_BYTES, b"\0")], WIDTH
    while width > 1:
        width //= 2
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        parts.append(b"".join(row).ljust(width * HASH_BYTES, b"\0"))
    return b"".join(parts)


def bundle(entries: Sequence[bytes]) -> bytes:
    """Return an entry bundle: each entry behind its length in two bytes, big-endian."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_bundle(data: bytes) -> list[bytes]:
    """Return the entries of a bundle. Raises VerificationError for a bundle cut short."""
    entries, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        entry = data[at + 2 : at + 2 + length]
        if at + 2 > len(data) or len(entry) != length:
            raise VerificationError("the entry bundle is cut short")
        entries.append(entry)
        at += 2 + length
    return entries
