"""The key that pays for anchors, and that the contract knows as the log's publisher."""

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from contracts.errors import PublisherKeyError
from contracts.transactions import SignedTransaction

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount


class PublisherKey:
    """A secp256k1 key in a file only its owner can read."""

    def __init__(self, account: "LocalAccount") -> None:
        self._account = account

    @classmethod
    def create(cls) -> Self:
        """Return a new key that is kept nowhere."""
        from eth_account import Account  # noqa: PLC0415  # half a second, only where something is signed

        return cls(Account.create())

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Return the key kept at `path`, made first (mode 0600) where there is none. Raises PublisherKeyError."""
        from eth_account import Account  # noqa: PLC0415  # see above

        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _keep(path, bytes(Account.create().key).hex())
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise PublisherKeyError(f"{path} can be read by others; set its mode to 0600")
            return cls(Account.from_key(bytes.fromhex(path.read_text().strip())))
        except (OSError, ValueError) as error:
            raise PublisherKeyError(f"{path} does not hold a publisher key") from error

    @property
    def address(self) -> str:
        """The checksummed address."""
        return str(self._account.address)

    def sign(self, transaction: dict[str, Any]) -> SignedTransaction:
        """Return the signed transaction; the same fields give the same bytes (RFC 6979)."""
        signed = self._account.sign_transaction(transaction)
        return SignedTransaction(bytes(signed.raw_transaction), bytes(signed.hash))


def _keep(path: Path, text: str) -> None:
    """Write a new file whole or not at all; where two start at once, the first one's key counts."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(part)
    except FileExistsError:
        pass
    finally:
        part.unlink()
