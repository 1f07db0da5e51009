"""The file behind the embedded chain: py-evm's key-value store and an index of logs, in SQLite."""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from eth.db.backends.base import BaseDB

from contracts.errors import ChainFileError

_FORMAT: Final = 2
_UNPACKED: Final = 1
"""The format before, which wrote values as they are."""
_SCHEMA: Final = """
CREATE TABLE node (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE log (
    block INTEGER NOT NULL, position INTEGER NOT NULL, block_hash BLOB NOT NULL, tx_hash BLOB NOT NULL,
    address BLOB NOT NULL, topic0 BLOB, topic1 BLOB, topic2 BLOB, topic3 BLOB, data BLOB NOT NULL,
    PRIMARY KEY (block, position)
) WITHOUT ROWID;
CREATE INDEX log_topics ON log (topic0, topic1, topic2);
"""


class LogRow(NamedTuple):
    """One log of a transaction. Blocks here hold one transaction each, so its index is always 0."""

    block: int
    position: int
    block_hash: bytes
    tx_hash: bytes
    address: bytes
    topic0: bytes | None
    topic1: bytes | None
    topic2: bytes | None
    topic3: bytes | None
    data: bytes


class ChainFile(BaseDB):
    """py-evm's key-value store, as a table of one SQLite file, with the logs of every block beside it."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.read_only = read_only
        self.written: set[bytes] = set()
        """The keys that the transaction under way has written so far."""
        if read_only and not path.exists():
            raise ChainFileError(f"there is no embedded chain at {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        uri = f"{path.resolve().as_uri()}?mode={'ro' if read_only else 'rwc'}"
        try:
            self._connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False, timeout=15, cached_statements=32
            )
            self._prepare(path)
        except sqlite3.Error as error:
            raise ChainFileError(f"{path} cannot be used as an embedded chain: {error}") from error

    def __getitem__(self, key: bytes) -> bytes:
        row = self._connection.execute("SELECT value FROM node WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return _unpack(row[0])

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._connection.execute("INSERT OR REPLACE INTO node VALUES (?, ?)", (key, _pack(value)))
        self.written.add(key)

    def __delitem__(self, key: bytes) -> None:
        if self._connection.execute("DELETE FROM node WHERE key = ?", (key,)).rowcount == 0:
            raise KeyError(key)

    def _exists(self, key: bytes) -> bool:
        return self._connection.execute("SELECT 1 FROM node WHERE key = ?", (key,)).fetchone() is not None

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[None]:
        """All or nothing for a writer; one moment's view for a reader."""
        self._connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        self.written.clear()
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def drop(self, keys: Iterable[bytes]) -> None:
        """Delete keys, those that are not there included; the caller holds the block's transaction."""
        self._connection.executemany("DELETE FROM node WHERE key = ?", [(key,) for key in keys])

    def add_logs(self, rows: Iterable[LogRow]) -> None:
        """Keep the logs of a new block; the caller holds the block's transaction."""
        self._connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def logs(self, *, first: int, last: int, choices: Mapping[str, Sequence[bytes]], limit: int) -> list[LogRow]:
        """Return at most `limit` logs of a span of blocks, in order; `choices` maps a column to what it may hold."""
        where, values = (
            ["block BETWEEN ? AND ?"],
            [first, last, *(value for some in choices.values() for value in some)],
        )
        where += [f"{column} IN ({', '.join('?' * len(some))})" for column, some in choices.items()]
        query = f"SELECT * FROM log WHERE {' AND '.join(where)} ORDER BY block, position LIMIT ?"  # noqa: S608  # our own column names
        return [LogRow(*row) for row in self._connection.execute(query, [*values, limit])]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _prepare(self, path: Path) -> None:
        if not self.read_only:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA cache_size=-4000")
        with self.transaction(write=not self.read_only):
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not self.read_only:
                for statement in _SCHEMA.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version={_FORMAT}")
            elif version == _UNPACKED and not self.read_only:
                self._connection.create_function("pack", 1, _pack, deterministic=True)
                self._connection.execute("UPDATE node SET value = pack(value)")
                self._connection.execute(f"PRAGMA user_version={_FORMAT}")
            elif version != _FORMAT:
                raise ChainFileError(f"{path} is not an embedded chain of this version (its format is {version})")


def _pack(value: bytes) -> bytes:
    """Headers and receipts carry 256 bytes of bloom filter, nearly all noughts; what does not shrink stays as it is."""
    packed = zlib.compress(value)
    return b"\x01" + packed if len(packed) < len(value) else b"\x00" + value


def _unpack(stored: bytes) -> bytes:
    return zlib.decompress(stored[1:]) if stored[0] else stored[1:]
