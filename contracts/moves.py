"""Moves from one chain to another, remembered in the home folder: which chain is ours now, and which were.

    begun -> recorded -> done

While a move is under way nothing is anchored but by the move itself. Once it is done, whoever opens the
chain of the settings gets the new one, also where the settings still name the old.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from contracts.errors import ChainMismatchError
from contracts.heads import Place


class MoveState(StrEnum):
    """How far a move has come."""

    BEGUN = "begun"
    """The old chain takes no more heads; the contract on the new one is being deployed or looked at."""
    RECORDED = "recorded"
    """What the log's entry about the move says is settled."""
    DONE = "done"
    """A head that covers that entry is final on the new chain."""


@dataclass(frozen=True, slots=True)
class Move:
    """One move. URLs may hold an access key: the file is its owner's alone."""

    state: MoveState
    began_at: str
    event_id: str
    from_url: str
    """Empty: the embedded chain."""
    from_chain_id: int
    from_genesis: str
    from_contract: str
    to_url: str
    to_chain_id: int
    to_genesis: str
    deployment: str
    """The file beside this one that remembers the contract on the new chain."""
    to_contract: str = ""
    history: str = ""
    """`ni:` name of the file with every head that the old chain holds."""
    last_size: int = 0
    last_root: str = ""
    last_block: int = 0

    @property
    def is_done(self) -> bool:
        """Whether the new chain is ours."""
        return self.state is MoveState.DONE

    @property
    def left(self) -> Place:
        """The place that was left."""
        return Place(self.from_chain_id, self.from_contract)


class MovesFile:
    """All moves of an installation, the oldest first, written whole or not at all."""

    def __init__(self, home: Path) -> None:
        self.path = home / "moves.json"

    def read(self) -> list[Move]:
        """Return every move. Raises ChainMismatchError for a file that cannot be read."""
        try:
            return [Move(**one | {"state": MoveState(one["state"])}) for one in json.loads(self.path.read_text())]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError, KeyError) as error:
            raise ChainMismatchError(f"{self.path} does not say where this log moved") from error

    def under_way(self) -> Move | None:
        """Return the move that is not done, or None."""
        return next((move for move in self.read() if not move.is_done), None)

    def done(self) -> list[Move]:
        """Return the moves that are done, the oldest first."""
        return [move for move in self.read() if move.is_done]

    def keep(self, move: Move) -> Move:
        """Remember how far a move has come; a new one goes behind the others."""
        moves = [one for one in self.read() if one.event_id != move.event_id]
        self._write([*moves, move])
        return move

    def drop(self, move: Move) -> None:
        """Forget a move that will not happen."""
        self._write([one for one in self.read() if one.event_id != move.event_id])

    def stamp(self) -> int:
        """Return a number that changes with the file; 0 while there is none."""
        try:
            return self.path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _write(self, moves: Sequence[Move]) -> None:
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump([asdict(move) for move in moves], file, indent=2, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)
