"""The Merkle tree in the database: tiles that only grow, and the nodes proofs are made of."""

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Final

from sqlalchemy import Table, TextClause, text
from sqlmodel import Session

from ledger import merkle, tiles
from ledger.errors import LogInconsistentError
from ledger.kernel.database import insert_into
from ledger.models import Tile

_TILE: Final[Table] = Tile.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
_PAGE: Final = 32
"""Tiles asked for in one statement."""


class Nodes:
    """The nodes of the tree that a number of proofs need, fetched together."""

    def __init__(self, session: Session, spans: Iterable[merkle.Range]) -> None:
        wanted = {node for span in spans for node in merkle.subtrees(*span)}
        places = {node: tiles.place_of(*node) for node in wanted}
        stored = _read(session, {place[:2] for place in places.values()})
        self._hashes: dict[tuple[int, int], bytes] = {}
        for node, (level, number, position) in places.items():
            data = stored.get((level, number))
            found = tiles.node_in(data, position) if data is not None else b""
            if len(found) != tiles.HASH_BYTES or not any(found):
                raise LogInconsistentError(f"the stored tree lacks node {node}; rebuild it from the entries")
            self._hashes[node] = found

    def hash_of(self, span: merkle.Range) -> bytes:
        """Return the hash of one of the ranges asked for."""
        return merkle.fold([self._hashes[node] for node in merkle.subtrees(*span)])


def root(session: Session, size: int) -> bytes:
    """Return the root of the first `size` leaves."""
    if size == 0:
        return merkle.EMPTY_ROOT
    return Nodes(session, [(0, size)]).hash_of((0, size))


def inclusion(session: Session, index: int, size: int) -> list[bytes]:
    """Return the inclusion path of a leaf in the tree of `size` leaves."""
    spans = merkle.inclusion_ranges(index, size)
    nodes = Nodes(session, spans)
    return [nodes.hash_of(span) for span in spans]


def consistency(session: Session, first: int, second: int) -> list[bytes]:
    """Return the proof that the tree of `second` leaves extends the tree of `first`."""
    spans = merkle.consistency_ranges(first, second)
    nodes = Nodes(session, spans)
    return [nodes.hash_of(span) for span in spans]


def append(session: Session, size: int, leaves: Sequence[bytes]) -> None:
    """Extend the stored tree of `size` leaves by leaf hashes. The caller holds the integrator's lock."""
    level, first, new = 0, size, list(leaves)
    changed: list[dict[str, object]] = []
    while new:
        number, held = divmod(first, tiles.WIDTH)
        edge = b""
        if held:
            edge = _read(session, {(level, number)}).get((level, number), b"")[: tiles.TILE_BYTES]
            if len(edge) != held * tiles.HASH_BYTES:
                raise LogInconsistentError(f"tile {level}/{number} is not {held} wide; rebuild it from the entries")
        data = edge + b"".join(new)
        above = []
        for start in range(0, len(data), tiles.TILE_BYTES):
            row = data[start : start + tiles.TILE_BYTES]
            if len(row) == tiles.TILE_BYTES:
                row = tiles.full_tile(row)
                above.append(row[-tiles.HASH_BYTES :])
            changed.append({"level": level, "number": number, "data": row})
            number += 1
        level, first, new = level + 1, first // tiles.WIDTH, above
    if changed:
        insert = insert_into(session, _TILE)
        session.execute(
            insert.on_conflict_do_update(index_elements=["level", "number"], set_={"data": insert.excluded.data}),
            changed,
        )


def _read(session: Session, keys: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    found: dict[tuple[int, int], bytes] = {}
    ordered = sorted(keys)
    for start in range(0, len(ordered), _PAGE):
        page = ordered[start : start + _PAGE]
        given = {name: value for i, (level, number) in enumerate(page) for name, value in _named(i, level, number)}
        for level, number, data in session.execute(_question(len(page)), given):
            found[level, number] = data
    return found


def _named(place: int, level: int, number: int) -> tuple[tuple[str, int], tuple[str, int]]:
    return (f"l{place}", level), (f"n{place}", number)


@cache
def _question(count: int) -> TextClause:
    """The statement for so many tiles. Not `(level, number) IN (...)`: for that SQLite reads every tile there is."""
    alternatives = " OR ".join(f"(level = :l{place} AND number = :n{place})" for place in range(count))
    return text(f"SELECT level, number, data FROM ledger_tile WHERE {alternatives}")  # noqa: S608  # numbers alone
