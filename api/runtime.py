"""Everything a running installation holds open: database, evidence, clock, log signer, chain."""

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ledger.checkpoint import LogSigner
from ledger.kernel.clock import Clock
from ledger.kernel.database import Database
from ledger.kernel.files import FileStore
from ledger.kernel.ids import Numbering
from ledger.kernel.settings import Settings
from ledger.witnessed import Watcher, watchers

if TYPE_CHECKING:
    from contracts.anchor import Anchorer
    from contracts.chain import Chain


@dataclass
class Runtime:
    """One installation, opened. Threads share it; it holds no session."""

    settings: Settings
    db: Database
    files: FileStore
    clock: Clock
    numbering: Numbering
    signer: LogSigner
    witnesses: tuple[Watcher, ...] = ()
    reads_chain_only: bool = False
    """Whether another process of this installation writes the embedded chain."""
    _chain: "Chain | None" = None
    _anchorer: "Anchorer | None" = None
    _moves: int = 0
    _opening: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def open(cls, settings: Settings, *, reads_chain_only: bool = False) -> "Runtime":
        """Open an installation, making its folders and its signing key where they are not there yet."""
        witnesses = watchers(settings.witnesses)
        settings.home.mkdir(parents=True, exist_ok=True)
        settings.keys_dir.mkdir(mode=0o700, exist_ok=True)
        return cls(
            settings=settings,
            db=Database(settings.sqlalchemy_url),
            files=FileStore(settings.files_dir),
            clock=settings.clock,
            numbering=Numbering(settings.gs1_prefix),
            signer=LogSigner.load_or_create(settings.keys_dir / "log.key", origin=settings.log_origin),
            witnesses=witnesses,
            reads_chain_only=reads_chain_only,
        )

    @property
    def chain(self) -> "Chain":
        """The chain we anchor in, opened when first asked for: an EVM in process costs 100 MB and a second."""
        with self._opening:
            moves = self._forget_chain_that_was_left()
            if self._chain is None:
                from contracts.chain import open_chain  # noqa: PLC0415  # see above

                self._chain, self._moves = open_chain(self.settings, read_only=self.reads_chain_only), moves
            return self._chain

    @property
    def anchorer(self) -> "Anchorer":
        """Whoever brings this log's heads into the chain."""
        with self._opening:
            self._forget_chain_that_was_left()
            if self._anchorer is None:
                from contracts.anchor import Anchorer  # noqa: PLC0415  # as above

                self._anchorer = Anchorer.open(self.settings, self.chain)
            return self._anchorer

    def _forget_chain_that_was_left(self) -> int:
        """Let go of a chain opened before the log began to move or moved, and return the moves' stamp.

        It is not closed: another thread may be reading. What holds it last closes it.
        """
        from contracts.moves import MovesFile  # noqa: PLC0415  # as above

        stamp = MovesFile(self.settings.home).stamp()
        if self._chain is not None and stamp != self._moves:
            self._chain = self._anchorer = None
        return stamp

    def close(self) -> None:
        """Let go of the database and the chain. Closing twice is safe."""
        with self._opening:
            if self._chain is not None:
                self._chain.close()
                self._chain = self._anchorer = None
        self.db.dispose()
